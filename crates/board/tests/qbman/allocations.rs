// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Frames and buffers cost no allocation, once queues and pools have been as
//! full as they get.

#[allow(dead_code)]
mod driver;
#[allow(dead_code)]
mod host;

use board::{
    fabric::Engine,
    qbman::{Consumer, GroupConfig, MemoryNotification, OrderConfig, QueueConfig, Unit},
};
use driver::{Portal, RINGS};
use host::ICID;
use qbman_abi::{Fd, ReleaseCommand, registers};

/// Runs something twice, and then often: how many allocations that made.
fn allocations(mut work: impl FnMut()) -> u64 {
    work();
    work();
    let often = || (0..1000).for_each(|_| work());
    allocation_counter::measure(often).count_total
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(5)))), 1000);
}

#[test]
fn frames_through_a_queue_cost_none() {
    let mut portal = Portal::new(|test| {
        let memory = Some(MemoryNotification { address: 0x8000, on_entry: true, on_exit: true });
        let (enter, exit) = (Some(20), 10);
        let config = GroupConfig { enter, exit, memory, ..GroupConfig::new(ICID, Unit::Frames) };
        test.pass(|qbman, pass| qbman.configure_group(2, Some(config), pass));
        let config = QueueConfig::new(ICID, Consumer::Parked);
        test.give_queue_with(1, QueueConfig { congestion_group: Some(2), ..config });
    });
    portal.fill_ring(1);
    portal.set_dequeue(2, 1);
    let count = allocations(|| {
        portal.enqueue(32);
        portal.dequeue();
    });
    assert_eq!((count, portal.test.qbman.queue_state(1)), (0, (0, 0)));
}

#[test]
fn frames_to_engines_cost_none() {
    let mut portal = Portal::new(|test| {
        for fqid in 1..=32 {
            test.give_queue(fqid, Consumer::Engine(Engine::Interface(fqid)));
        }
    });
    portal.fill_ring(32);
    let mut frames = [Fd::default(); 4];
    let mut taken = 0;
    let count = allocations(|| {
        portal.enqueue(32);
        while let Some(Engine::Interface(fqid)) = portal.pass.next_engine() {
            taken += portal.test.qbman.dequeue_many(fqid, &mut frames);
        }
    });
    assert_eq!((count, taken), (0, 32 * 1002));
}

/// Pushed frames that hold their queue, with data notifications and interrupts
/// on the way.
#[test]
fn pushed_frames_and_notifications_cost_none() {
    let mut portal = Portal::new(|test| {
        let mut channels = [None; 16];
        channels[1] = Some(2);
        test.give_portal(0, ICID, channels);
        test.give_channel(2, None);
        test.give_channel(3, Some(0));
        let in_channel =
            |channel| QueueConfig::new(ICID, Consumer::Channel { channel, priority: 0 });
        test.give_queue_with(1, QueueConfig { hold_active: true, ..in_channel(2) });
        test.give_queue_with(2, in_channel(3));
    });
    portal.write(registers::IER, 4);
    portal.write(registers::SDQCR, 1 << 24 | 1 << 29 | 3);
    portal.fill_ring(2);
    portal.set_dequeue(0, 3);
    // Arms the data notification of channel 3.
    portal.test.portals.write(RINGS.cr, &[0x46, 0, 3, 0, 1, 1]);
    let (mut index, mut interrupts) = (0, 0);
    let count = allocations(|| {
        portal.write(registers::CR_RT, registers::READ_TRIGGER);
        portal.enqueue(8);
        // Four frames and one notification.
        for _ in 0..5 {
            portal.write(registers::DCAP, index);
            index = (index + 1) % 8;
        }
        portal.write(registers::ISR, 4);
        portal.dequeue();
        interrupts += portal.pass.take_messages().count();
    });
    assert_eq!((count, interrupts), (0, 1002));
    assert_eq!(portal.test.qbman.portal_counters(0), Default::default());
}

#[test]
fn buffers_cost_none() {
    let mut portal = Portal::new(|test| test.give_pool(3));
    let release = ReleaseCommand { pool: 3, buffers: [0x1000; 7], count: 7, interrupt: false };
    portal.test.portals.write(RINGS.rcr, &release.to_bytes(0x80));
    portal.test.portals.write(RINGS.cr, &[0x30, 0, 3, 0, 7]);
    let count = allocations(|| {
        for _ in 0..50 {
            portal.write(registers::RCR_AM_RT, registers::READ_TRIGGER);
        }
        for _ in 0..50 {
            portal.write(registers::CR_RT, registers::READ_TRIGGER);
        }
    });
    assert_eq!((count, portal.test.qbman.free_buffers(3)), (0, 0));
}

/// Numbers that come in the wrong order, two by two.
#[test]
fn order_restoration_costs_none() {
    let mut portal = Portal::new(|test| {
        test.qbman.configure_order(1, Some(OrderConfig::new(ICID, 32)));
        test.give_queue(1, Consumer::Parked);
    });
    portal.set_dequeue(2, 1);
    let mut number = 0u16;
    let count = allocations(|| {
        for n in 0..32u16 {
            let sequence = (number + (n ^ 1)) & 0x3fff;
            portal.set_command(n.into(), |command| {
                command.verb |= 4;
                command.record = 1;
                command.sequence_word = sequence;
            });
        }
        number = (number + 32) & 0x3fff;
        portal.enqueue(32);
        portal.dequeue();
    });
    assert_eq!((count, portal.test.qbman.queue_state(1)), (0, (0, 0)));
    assert_eq!(portal.test.qbman.order_state(1).next_expected, number);
}
