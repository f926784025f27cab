// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Data notifications and interrupts, as Linux uses them.

use crate::{
    client::{Client, From, WAYS, Way},
    host::{ICID, OTHER, TestQbman, context, own_channel},
    portals::version,
};
use board::qbman::{ChannelConfig, Consumer, NotificationConfig, QueueConfig, Version};
use std::sync::atomic::Ordering;

const CONTEXT: u64 = 0xffff_8000_1234_5678;
const NO_INTERRUPT: [u32; 0] = [];

fn in_channel(channel: u32) -> Consumer {
    Consumer::Channel { channel, priority: 1 }
}

/// What Linux's interrupt handler does: how many notifications it took.
fn handle(client: &mut Client<'_>) -> usize {
    let status = client.read(0xe00);
    assert_ne!(status, 0, "an interrupt without a status is nobody's");
    let mut taken = 0;
    while let Some(entry) = client.take() {
        assert_eq!((entry.verb(), entry.notice()), (0x26, (0, 2, CONTEXT)));
        taken += 1;
    }
    client.write(0xe00, status);
    client.write(0xec0, 0);
    taken
}

#[test]
fn a_channel_with_data_is_notified_once_until_it_is_armed_again() {
    for way in WAYS {
        let test = TestQbman::new(version(way));
        test.give_channel(2, Some(1));
        test.give_queue(7, in_channel(2));
        let mut sender = Client::new(&test, 0, way);
        let mut client = Client::new(&test, 1, way).with_interrupts();
        sender.send(7, [1]);
        assert_eq!(test.interrupts(), NO_INTERRUPT, "{way:?}: not armed");
        assert_eq!(client.notify(2, true, Some(CONTEXT)), 0xf0);
        assert_eq!(test.interrupts(), [101], "{way:?}: armed with data there");
        assert_eq!(handle(&mut client), 1, "{way:?}");
        sender.send(7, [2, 3]);
        assert_eq!(test.interrupts(), NO_INTERRUPT, "{way:?}: disarmed");
        assert_eq!(client.receive(From::Channel(2), 16), [1, 2, 3], "{way:?}");
        assert_eq!(client.notify(2, true, None), 0xf0);
        assert_eq!(test.interrupts(), NO_INTERRUPT, "{way:?}: nothing there");
        sender.send(7, [4]);
        assert_eq!(test.interrupts(), [101], "{way:?}");
        assert_eq!(handle(&mut client), 1, "{way:?}");
    }
}

/// Linux arms the notification before the MC is told where it goes.
#[test]
fn arming_may_come_before_the_destination() {
    let test = TestQbman::new(Version::V5);
    test.give_channel(2, None);
    test.give_queue(7, in_channel(2));
    let mut client = Client::new(&test, 1, Way::LinuxMemory).with_interrupts();
    assert_eq!(client.notify(2, true, Some(CONTEXT)), 0xf0);
    client.send(7, [1]);
    assert!(client.next().is_none());
    let notification = Some(NotificationConfig { portal: 1, priority: 1, context: CONTEXT });
    let config = ChannelConfig { icid: ICID, priorities: 8, notifies: true, notification };
    test.pass(|qbman, pass| qbman.configure_channel(2, Some(config), pass));
    assert_eq!(test.interrupts(), [101]);
    assert_eq!(handle(&mut client), 1);
}

#[test]
fn a_notification_that_is_disarmed_on_its_way_does_not_arrive() {
    let test = TestQbman::new(Version::V5);
    test.give_channel(2, Some(1));
    test.give_queue(7, in_channel(2));
    // The portal takes nothing yet.
    let mut client = Client::new(&test, 1, Way::LinuxMemory);
    client.notify(2, true, Some(CONTEXT));
    client.send(7, [1]);
    client.notify(2, false, None);
    client.push_from(1);
    assert!(client.next().is_none());
    client.notify(2, true, Some(CONTEXT + 1));
    assert_eq!(client.take().expect("again").notice(), (0, 2, CONTEXT + 1));
}

/// What a driver that was killed has left is reset. Linux, in the same place, arms its
/// channels long before it can take a notification: one that tells of frames which are not
/// there any more is a call through a null pointer (`__napi_poll`).
#[test]
fn a_channel_does_not_tell_of_queues_that_were_taken_away() {
    let test = TestQbman::new(Version::V5);
    test.give_channel(2, Some(1));
    test.give_queue(7, in_channel(2));
    let mut client = Client::new(&test, 1, Way::LinuxMemory).with_interrupts();
    client.send(7, [1]);
    test.pass(|qbman, pass| qbman.configure_queue(7, None, pass));
    assert_eq!(client.notify(2, true, Some(CONTEXT)), 0xf0);
    assert_eq!(test.interrupts(), NO_INTERRUPT);
    test.give_queue(7, in_channel(2));
    assert_eq!(test.interrupts(), NO_INTERRUPT);
    client.send(7, [2]);
    assert_eq!(test.interrupts(), [101]);
    assert_eq!(handle(&mut client), 1);
    assert_eq!(client.receive(From::Channel(2), 4), [2]);
}

#[test]
fn a_channel_that_loses_its_destination_is_disarmed() {
    let test = TestQbman::new(Version::V5);
    test.give_channel(2, Some(1));
    test.give_queue(7, in_channel(2));
    let mut client = Client::new(&test, 1, Way::LinuxMemory).with_interrupts();
    assert_eq!(client.notify(2, true, Some(CONTEXT)), 0xf0);
    test.give_channel(2, None);
    test.give_channel(2, Some(1));
    client.send(7, [1]);
    assert_eq!(test.interrupts(), NO_INTERRUPT);
    assert_eq!(client.notify(2, true, Some(CONTEXT)), 0xf0);
    assert_eq!(test.interrupts(), [101]);
    assert_eq!(handle(&mut client), 1);
}

#[test]
fn a_disabled_channel_gives_frames_and_notifies_when_it_is_enabled() {
    let test = TestQbman::new(Version::V5);
    let notification = Some(NotificationConfig { portal: 1, priority: 1, context: CONTEXT });
    let config = ChannelConfig { icid: ICID, priorities: 8, notifies: false, notification };
    test.pass(|qbman, pass| qbman.configure_channel(2, Some(config), pass));
    test.give_queue(7, in_channel(2));
    let mut client = Client::new(&test, 1, Way::LinuxMemory).with_interrupts();
    client.notify(2, true, None);
    client.send(7, [1, 2]);
    assert!(client.next().is_none(), "no notification");
    assert_eq!(client.receive(From::Channel(2), 1), [1]);
    let config = ChannelConfig { notifies: true, ..config };
    test.pass(|qbman, pass| qbman.configure_channel(2, Some(config), pass));
    assert_eq!(handle(&mut client), 1);
    assert_eq!(client.receive(From::Channel(2), 4), [2]);
}

#[test]
fn a_queue_tells_of_its_data_once_until_it_is_scheduled_again() {
    for way in WAYS {
        let test = TestQbman::new(version(way));
        let consumer = Consumer::Notify { channel: own_channel(1), priority: 0 };
        test.give_queue(7, consumer);
        let mut client = Client::new(&test, 1, way).with_interrupts();
        client.send(7, [1, 2]);
        let entry = client.take().expect("a notification");
        assert_eq!((entry.verb(), entry.notice()), (0x25, (0, 7, context(7))), "{way:?}");
        assert!(client.next().is_none(), "{way:?}: once");
        assert_eq!(client.receive(From::Queue(7), 1), [1], "{way:?}");
        // Scheduled with a frame left: at once.
        assert_eq!(client.on_queue(0x48, 7).0, 0xf0, "{way:?}");
        assert_eq!(client.take().expect("again").verb(), 0x25, "{way:?}");
        assert_eq!(client.receive(From::Queue(7), 4), [2], "{way:?}");
        assert_eq!(client.on_queue(0x48, 7).0, 0xf0, "{way:?}");
        assert!(client.next().is_none(), "{way:?}: nothing to tell");
    }
    let test = TestQbman::new(Version::V5);
    test.give_queue(7, Consumer::Parked);
    let mut client = Client::new(&test, 1, Way::LinuxMemory);
    assert_eq!(client.on_queue(0x48, 7).0, 0xf2, "nobody serves a parked queue");
}

#[test]
fn many_channels_with_data_are_all_told_though_the_ring_is_small() {
    let test = TestQbman::new(Version::V5);
    let mut client = Client::new(&test, 1, Way::LinuxMemory).with_interrupts();
    for channel in 0..16 {
        test.give_channel(channel, Some(1));
        test.give_queue(20 + channel, in_channel(channel));
        client.notify(channel, true, Some(channel.into()));
    }
    for channel in 0..16 {
        client.send(20 + channel, [1]);
    }
    let notified: Vec<u64> = std::iter::from_fn(|| client.take()).map(|e| e.notice().2).collect();
    assert_eq!(notified, Vec::from_iter(0..16));
}

#[test]
fn an_interrupt_is_sent_when_the_signal_rises() {
    let test = TestQbman::new(Version::V5);
    test.give_queue(7, Consumer::Parked);
    let mut client = Client::new(&test, 1, Way::LinuxMemory).with_interrupts();
    client.send(7, 0..6);
    client.write(0xec0, u32::MAX);
    client.pull_to_ring(From::Queue(7), 1);
    assert_eq!((client.read(0xe00) & 4, test.interrupts()), (4, vec![]), "inhibited");
    client.write(0xec0, 0);
    assert_eq!(test.interrupts(), [101]);
    client.pull_to_ring(From::Queue(7), 1);
    assert_eq!(test.interrupts(), NO_INTERRUPT, "it is up already");
    // Cleared while entries wait: it rises again.
    client.write(0xe00, 4);
    assert_eq!((client.read(0xe00) & 4, test.interrupts()), (4, vec![101]));
    client.write(0xe40, 0);
    client.write(0xe40, 4);
    assert_eq!(test.interrupts(), [101], "enabled with the status set");
    client.write(0xe80, 4);
    assert_eq!(client.read(0xe00) & 4, 0, "what is disabled does not show");
    client.write(0xe80, 0);
    assert_eq!((client.read(0xe00) & 4, test.interrupts()), (4, vec![101]));
    while client.take().is_some() {}
    assert_eq!(client.read(0xe00) & 4, 4, "the status stays until it is cleared");
    client.write(0xe00, 4);
    assert_eq!((client.read(0xe00) & 4, test.interrupts()), (0, vec![]));
    client.pull_to_ring(From::Queue(7), 1);
    assert_eq!(test.interrupts(), [101]);
    // The end of a volatile dequeue is another bit.
    assert_eq!(client.read(0xe00) & 0x20, 0x20);
}

#[test]
fn interrupts_wait_for_the_threshold_or_the_hold_off_time() {
    let test = TestQbman::new(Version::V5);
    test.give_queue(7, Consumer::Parked);
    let mut client = Client::new(&test, 1, Way::LinuxMemory).with_interrupts();
    client.send(7, 0..20);
    // More than three entries, or one for 10 microseconds.
    client.write(0xa80, 3);
    client.write(0xf40, 10);
    assert_eq!(test.qbman.deadline(), None);
    client.pull_to_ring(From::Queue(7), 3);
    assert_eq!(test.interrupts(), NO_INTERRUPT);
    assert_eq!(test.qbman.deadline(), Some(10_000));
    test.now.store(9_999, Ordering::Relaxed);
    test.pass(|qbman, pass| qbman.tick(pass));
    assert_eq!((test.interrupts(), test.qbman.deadline()), (vec![], Some(10_000)));
    test.now.store(10_000, Ordering::Relaxed);
    test.pass(|qbman, pass| qbman.tick(pass));
    assert_eq!((test.interrupts(), test.qbman.deadline()), (vec![101], None));
    // Not served, and cleared: the time starts anew.
    client.write(0xe00, 4);
    assert_eq!((test.interrupts(), test.qbman.deadline()), (vec![], Some(20_000)));
    client.pull_to_ring(From::Queue(7), 1);
    assert_eq!(test.interrupts(), [101], "the fourth entry");
    test.now.store(30_000, Ordering::Relaxed);
    test.pass(|qbman, pass| qbman.tick(pass));
    assert_eq!((test.interrupts(), test.qbman.deadline()), (vec![], None));
}

/// Things in all work queues of a channel.
fn waiting(client: &mut Client<'_>, channel: u32) -> u32 {
    let answer = client.command(0x47, &[(2, &(channel as u16).to_le_bytes())]);
    assert_eq!(answer[1], 0xf0);
    let lengths = answer[32..].chunks(4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()));
    lengths.sum()
}

/// Work queues are the host's memory: software that takes nothing out of them fills them
/// with no more than there is to tell.
#[test]
fn what_software_repeats_waits_once() {
    let test = TestQbman::new(Version::V5);
    let own = own_channel(1);
    test.give_channel(own, None);
    test.give_channel(2, Some(1));
    test.give_channel(3, None);
    let mut client = Client::new(&test, 1, Way::LinuxMemory);
    test.give_queue(7, Consumer::Notify { channel: own, priority: 0 });
    client.send(7, [1]);
    for _ in 0..1000 {
        assert_eq!(client.on_queue(0x48, 7).0, 0xf0);
    }
    assert_eq!(waiting(&mut client, own), 1, "a queue that is scheduled again");
    test.give_queue(8, in_channel(2));
    client.send(8, [1]);
    for _ in 0..1000 {
        client.notify(2, true, Some(CONTEXT));
        client.notify(2, false, None);
    }
    client.notify(2, true, Some(CONTEXT));
    assert_eq!(waiting(&mut client, own), 2, "a channel that is armed again");
    for n in 0..1000 {
        test.give_queue(8, in_channel(2 + n % 2));
    }
    let (one, other) = (waiting(&mut client, 2), waiting(&mut client, 3));
    assert!(one < 100 && other < 100, "a queue that moves: {one}, {other}");
    // What there is to tell is told.
    client.push_from(1);
    assert_eq!(client.take().expect("the queue").verb(), 0x25);
    assert_eq!(client.take().expect("the channel").notice(), (0, 2, CONTEXT));
    assert!(client.next().is_none());
    assert_eq!(client.receive(From::Channel(3), 4), [1]);
    // And the next time, too.
    assert_eq!(client.on_queue(0x48, 7).0, 0xf0);
    assert_eq!(client.take().expect("again").verb(), 0x25);
}

#[test]
fn a_notification_that_goes_elsewhere_meanwhile_arrives_there_only() {
    let test = TestQbman::new(Version::V5);
    test.give_channel(2, Some(1));
    test.give_queue(7, in_channel(2));
    let mut one = Client::new(&test, 1, Way::LinuxMemory);
    let mut other = Client::new(&test, 2, Way::LinuxMemory);
    one.send(7, [1]);
    one.notify(2, true, None);
    test.give_channel(2, Some(2));
    one.notify(2, true, Some(CONTEXT));
    one.push_from(1);
    assert!(one.next().is_none());
    other.push_from(1);
    assert_eq!(other.take().expect("a notification").notice(), (0, 2, CONTEXT));
}

/// Neither a queue nor a channel tells the portals of another isolation id.
#[test]
fn notifications_stay_within_their_isolation_id() {
    let test = TestQbman::new(Version::V5);
    let mut victim = Client::new(&test, 1, Way::LinuxMemory).with_interrupts();
    let mut sender = Client::new(&test, 0, Way::LinuxMemory);
    test.give_portal(0, OTHER, [None; 16]);
    let foreign = QueueConfig::new(OTHER, in_channel(2));
    test.give_queue_with(7, foreign);
    let notify = Consumer::Notify { channel: own_channel(1), priority: 0 };
    test.give_queue_with(8, QueueConfig { consumer: notify, ..foreign });
    let notification = Some(NotificationConfig { portal: 1, priority: 1, context: CONTEXT });
    let config = ChannelConfig { icid: OTHER, priorities: 8, notifies: true, notification };
    test.pass(|qbman, pass| qbman.configure_channel(2, Some(config), pass));
    sender.send(7, [1]);
    sender.send(8, [1]);
    assert_eq!(sender.notify(2, true, None), 0xf0);
    assert_eq!(test.interrupts(), NO_INTERRUPT);
    assert!(victim.next().is_none());
    assert_eq!(test.qbman.notifications_crossed(), 2);
    // The portal comes to the same container: what was not told is told.
    test.give_portal(1, OTHER, [None; 16]);
    sender.send(8, [2]);
    assert_eq!(victim.take().expect("the queue").notice().1, 8);
    assert_eq!(sender.notify(2, true, Some(CONTEXT)), 0xf0);
    assert_eq!(victim.take().expect("the channel").notice(), (0, 2, CONTEXT));
}
