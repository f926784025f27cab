// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the queue manager costs its host for each frame and each buffer.
//!
//! A portal is driven through its doorbells, by as many frames as one doorbell
//! hands over. Frames do not move: there are only descriptors, and entries of 64
//! bytes for them. What that copying alone takes is measured beside it.

#[path = "../tests/qbman/driver.rs"]
mod driver;
#[allow(dead_code)]
#[path = "../tests/qbman/host.rs"]
mod host;

use board::{
    fabric::Engine,
    qbman::{Consumer, GroupConfig, QueueConfig, Unit},
};
use divan::{Bencher, black_box, counter::ItemsCount};
use driver::{Portal, RINGS, STORAGE};
use host::{ICID, TestQbman};
use qbman_abi::{Fd, ReleaseCommand, registers};

fn main() {
    divan::main();
}

/// Frames of a doorbell.
const BURSTS: [u32; 3] = [1, 8, 32];

/// Queues that frames are spread over.
const QUEUES: [u32; 2] = [1, 32];

fn parked(test: &TestQbman) {
    for fqid in 1..=32 {
        test.give_queue(fqid, Consumer::Parked);
    }
}

/// In through one doorbell, out through another, to memory: two copies of 64
/// bytes for each frame.
#[divan::bench(args = BURSTS)]
fn enqueue_and_dequeue(bencher: Bencher<'_, '_>, burst: u32) {
    let mut portal = Portal::new(parked);
    portal.fill_ring(1);
    portal.set_dequeue(2, 1);
    bencher.counter(ItemsCount::new(burst)).bench_local(|| {
        portal.enqueue(burst);
        portal.dequeue();
    });
    assert_eq!(portal.test.qbman.queue_state(1).0, 0);
}

/// What two copies of 64 bytes take through the portal's and the guest's memory.
#[divan::bench(args = BURSTS)]
fn copies_of_that(bencher: Bencher<'_, '_>, burst: u32) {
    let portal = Portal::new(parked);
    let mut bytes = vec![0; 64 * burst as usize];
    bencher.counter(ItemsCount::new(burst)).bench_local(|| {
        portal.test.portals.read(0, &mut bytes);
        portal.test.ram.store(STORAGE, black_box(&bytes));
    });
}

/// To an engine, which takes the frames out of their queues.
#[divan::bench(args = QUEUES)]
fn enqueue_to_an_engine(bencher: Bencher<'_, '_>, queues: u32) {
    let mut portal = Portal::new(|test| {
        for fqid in 1..=queues {
            test.give_queue(fqid, Consumer::Engine(Engine::Interface(fqid)));
        }
    });
    portal.fill_ring(queues);
    let mut frames = [Fd::default(); 32];
    bencher.counter(ItemsCount::new(32u32)).bench_local(|| {
        portal.enqueue(32);
        while let Some(engine) = portal.pass.next_engine() {
            let Engine::Interface(fqid) = engine else { continue };
            black_box(portal.test.qbman.dequeue_many(fqid, &mut frames));
        }
    });
}

/// From an engine, into a channel, and out of that.
#[divan::bench(args = QUEUES)]
fn from_an_engine_through_a_channel(bencher: Bencher<'_, '_>, queues: u32) {
    let mut portal = Portal::new(|test| {
        test.give_channel(2, None);
        for fqid in 1..=queues {
            test.give_queue(fqid, Consumer::Channel { channel: 2, priority: 0 });
        }
    });
    portal.set_dequeue(0, 2);
    let fd = Fd { address: 0x1000, length_word: 64, ..Fd::default() };
    bencher.counter(ItemsCount::new(32u32)).bench_local(|| {
        for n in 0..32 {
            let _ = portal.test.qbman.enqueue(1 + n % queues, black_box(&fd), &mut portal.pass);
        }
        for _ in 0..queues {
            portal.dequeue();
        }
    });
    assert_eq!(portal.test.qbman.queue_state(1).0, 0);
}

/// As the first, with a congestion group that counts.
#[divan::bench]
fn in_a_congestion_group(bencher: Bencher<'_, '_>) {
    let mut portal = Portal::new(|test| {
        let config = GroupConfig { enter: Some(1 << 20), ..GroupConfig::new(ICID, Unit::Frames) };
        test.pass(|qbman, pass| qbman.configure_group(2, Some(config), pass));
        let config = QueueConfig::new(ICID, Consumer::Parked);
        test.give_queue_with(1, QueueConfig { congestion_group: Some(2), ..config });
    });
    portal.fill_ring(1);
    portal.set_dequeue(2, 1);
    bencher.counter(ItemsCount::new(32u32)).bench_local(|| {
        portal.enqueue(32);
        portal.dequeue();
    });
}

/// Pushed into the dequeue ring one by one, each entry consumed by a doorbell.
#[divan::bench]
fn pushed_into_the_ring(bencher: Bencher<'_, '_>) {
    let mut portal = Portal::new(|test| {
        let mut channels = [None; 16];
        channels[1] = Some(2);
        test.give_portal(0, ICID, channels);
        test.give_channel(2, None);
        test.give_queue(1, Consumer::Channel { channel: 2, priority: 0 });
    });
    portal.fill_ring(1);
    portal.write(registers::SDQCR, 1 << 24 | 1 << 29 | 2);
    let mut index = 0;
    bencher.counter(ItemsCount::new(8u32)).bench_local(|| {
        portal.enqueue(8);
        for _ in 0..8 {
            portal.write(registers::DCAP, index);
            index = (index + 1) % 8;
        }
    });
    assert_eq!(portal.test.qbman.portal_counters(0), Default::default());
}

/// Seven buffers into a pool and out of it, by a doorbell each.
#[divan::bench]
fn release_and_acquire(bencher: Bencher<'_, '_>) {
    let mut portal = Portal::new(|test| test.give_pool(3));
    let release = ReleaseCommand { pool: 3, buffers: [0x1000; 7], count: 7, interrupt: false };
    portal.test.portals.write(RINGS.rcr, &release.to_bytes(0x80));
    portal.test.portals.write(RINGS.cr, &[0x30, 0, 3, 0, 7]);
    bencher.counter(ItemsCount::new(7u32)).bench_local(|| {
        portal.write(registers::RCR_AM_RT, registers::READ_TRIGGER);
        portal.write(registers::CR_RT, registers::READ_TRIGGER);
    });
    assert_eq!(portal.test.qbman.free_buffers(3), 0);
}
