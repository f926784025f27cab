// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The portal client of `dprc` against the board: what goes in comes out, what is full says
//! so, what is refused is named.

mod world;

use dprc::qbman::{DequeueEntry, Fd, Format, NoticeKind, Pushed, Schedule, Source, Target};
use dprc::{Access, Backend, Dataplane, DmaBuffer, Error, InterfaceConfig, RxDestination};
use dprc_board::Contents;
use std::time::Duration;
use world::{Pair, addresses, container_on, frame};

/// Tests on chips whose portals are used in different ways.
macro_rules! on_each_chip {
    ($($name:ident),* $(,)?) => {
        /// Rings in memory, and doorbells.
        mod memory_backed {
            $(#[test] fn $name() { super::$name("lx2160a"); })*
        }
        /// Rings in the portal.
        mod direct {
            $(#[test] fn $name() { super::$name("ls1088a"); })*
        }
    };
}

on_each_chip! {
    frames_reach_the_other_interface_and_their_buffers_the_pool,
    frames_keep_their_order_over_many_laps_of_the_ring,
    what_is_stopped_receives_nothing,
    more_than_the_ring_has_room_for_is_a_number_and_no_error,
    queues_are_queried_and_emptied,
    a_frame_goes_to_a_queue_by_its_number_too,
    buffers_come_out_of_a_pool_as_they_went_in,
    what_is_not_the_containers_is_refused_by_name,
    a_channel_tells_a_portal_and_its_interrupt_that_frames_wait,
    a_channel_pushes_frames_into_the_portal,
    a_frame_larger_than_a_buffer_is_read_and_given_back_whole,
    memory_for_frames_is_checked,
    threads_have_a_portal_each,
    memory_that_is_not_mapped_is_not_reached,
}

type Chip = &'static str;

fn frames_reach_the_other_interface_and_their_buffers_the_pool(chip: Chip) {
    let (_board, held) = container_on(chip);
    let mut pair = Pair::new(&held);
    for length in [60, 61, 1514] {
        let fd = pair.put(&frame(length, length as u8));
        assert_eq!(pair.portal.enqueue(pair.one.transmit, &[fd]).unwrap(), 1);
        let received = pair.receive(Source::Queue(pair.other.receive_queue()));
        assert_eq!(received.len(), 1, "of {length} bytes");
        assert_eq!(received[0].queue, pair.other.receive_queue());
        assert_eq!(pair.bytes(&received[0].fd), frame(length, length as u8));
        pair.give_back(&received[0].fd);
    }
    assert_eq!(pair.free(), Pair::BUFFERS, "every buffer is back");
    let (one, other) = (pair.one.clone(), pair.other.clone());
    let sent = pair.plane.counters(&one).unwrap();
    let received = pair.plane.counters(&other).unwrap();
    assert_eq!((sent.sent, sent.sent_bytes, sent.received), (3, 60 + 61 + 1514, 0));
    assert_eq!((received.received, received.received_bytes), (3, 60 + 61 + 1514));
    assert_eq!((received.filtered, received.discarded, received.no_buffer), (0, 0, 0));
    assert!(pair.plane.link_is_up(&one).unwrap());
}

fn frames_keep_their_order_over_many_laps_of_the_ring(chip: Chip) {
    let (_board, held) = container_on(chip);
    let mut pair = Pair::new(&held);
    let mut next = 0u8;
    for burst in (1..=32).chain([32, 17, 32, 31, 32]) {
        let frames: Vec<Fd> =
            (0..burst).map(|n| pair.put(&frame(64, next.wrapping_add(n)))).collect();
        let mut left = &frames[..];
        while !left.is_empty() {
            let taken = pair.portal.enqueue(pair.one.transmit, left).unwrap();
            left = &left[taken..];
        }
        let mut seen = 0;
        while seen < burst {
            let received = pair.receive(Source::Queue(pair.other.receive_queue()));
            assert!(!received.is_empty(), "{seen} of {burst}");
            for entry in received {
                assert_eq!(pair.bytes(&entry.fd)[63], next.wrapping_add(seen));
                pair.give_back(&entry.fd);
                seen += 1;
            }
        }
        next = next.wrapping_add(burst);
    }
    assert_eq!(pair.free(), Pair::BUFFERS);
}

fn what_is_stopped_receives_nothing(chip: Chip) {
    let (board, held) = container_on(chip);
    let mut pair = Pair::new(&held);
    let (one, dpbp) = (pair.one.clone(), pair.pool.object);
    pair.plane.stop().unwrap();
    for object in [one.object, dpbp] {
        let mut open = pair.plane.mc().session(object).unwrap();
        assert!(!open.call(&mc_abi::common::IsEnabled {}).unwrap().enabled, "{object}");
    }
    pair.plane.stop().unwrap();
    assert_eq!(board.faults(), 0);
}

fn more_than_the_ring_has_room_for_is_a_number_and_no_error(chip: Chip) {
    let (_board, held) = container_on(chip);
    let mut pair = Pair::new(&held);
    let frames: Vec<Fd> = (0..40).map(|n| pair.put(&frame(60, n))).collect();
    let entries = if chip == "lx2160a" { 32 } else { 8 };
    let taken = pair.portal.enqueue(pair.one.transmit, &frames).unwrap();
    assert_eq!(taken, entries, "the ring's entries");
    assert_eq!(pair.portal.enqueue(pair.one.transmit, &[]).unwrap(), 0);
    assert_eq!(pair.portal.enqueue(pair.one.transmit, &frames[taken..taken + 8]).unwrap(), 8);
}

fn queues_are_queried_and_emptied(chip: Chip) {
    let (_board, held) = container_on(chip);
    let mut pair = Pair::new(&held);
    let queue = pair.other.receive_queue();
    let state = pair.portal.queue_state(queue).unwrap();
    assert_eq!((state.frames, state.bytes, state.xoff), (0, 0, false));
    let frames: Vec<Fd> = (0..5).map(|n| pair.put(&frame(100, n))).collect();
    assert_eq!(pair.portal.enqueue(pair.one.transmit, &frames).unwrap(), 5);
    let state = pair.portal.queue_state(queue).unwrap();
    assert_eq!((state.frames, state.bytes), (5, 500));
    assert_ne!(state.schedule, Schedule::OutOfService);
    let mut entries: Vec<DequeueEntry> = Vec::new();
    assert_eq!(pair.portal.dequeue(Source::Queue(queue), 3, &mut entries).unwrap(), 3);
    assert_eq!(pair.portal.dequeue(Source::Queue(queue), 16, &mut entries).unwrap(), 2);
    assert_eq!(pair.portal.dequeue(Source::Queue(queue), 1, &mut entries).unwrap(), 0);
    assert_eq!(entries.len(), 5, "they are appended");
    // QMan 4.1 has a smaller limit than 5.0.
    let (limit, words) = if chip == "lx2160a" { (32, "1 to 32") } else { (16, "1 to 16") };
    assert_eq!(pair.portal.most(), limit);
    for most in [0, limit + 1] {
        let error = pair.portal.dequeue(Source::Queue(queue), most, &mut entries).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(pair.portal.dequeue(Source::Queue(queue), limit, &mut entries).unwrap(), 0);
    let error = pair.portal.dequeue(Source::Reserved, 1, &mut entries).unwrap_err();
    assert!(error.to_string().contains("name a channel"), "{error}");
}

fn a_frame_goes_to_a_queue_by_its_number_too(chip: Chip) {
    let (_board, held) = container_on(chip);
    let mut pair = Pair::new(&held);
    let fd = pair.put(&frame(60, 1));
    let target = Target::Queue(pair.one.transmit_queue);
    assert_eq!(pair.portal.enqueue(target, &[fd]).unwrap(), 1);
    let received = pair.receive(Source::Queue(pair.other.receive_queue()));
    assert_eq!(received.len(), 1);
}

fn buffers_come_out_of_a_pool_as_they_went_in(chip: Chip) {
    let (_board, held) = container_on(chip);
    let mut pair = Pair::new(&held);
    let mut all = vec![0; Pair::BUFFERS + 10];
    assert_eq!(pair.portal.acquire(pair.pool.number, &mut all).unwrap(), Pair::BUFFERS);
    let mut found = all[..Pair::BUFFERS].to_vec();
    found.sort_unstable();
    assert_eq!(found, pair.frames.buffers().collect::<Vec<_>>());
    assert_eq!(pair.portal.acquire(pair.pool.number, &mut all).unwrap(), 0, "it is empty");
    assert_eq!(pair.portal.release(pair.pool.number, &found[..10]).unwrap(), 10);
    assert_eq!(pair.portal.acquire(pair.pool.number, &mut all[..20]).unwrap(), 10);
}

fn what_is_not_the_containers_is_refused_by_name(chip: Chip) {
    let (board, held) = container_on(chip);
    let other = board.make_container(&Contents::pair_of_interfaces()).unwrap();
    let other = board.open(other).unwrap();
    let mut pair = Pair::new(&held);
    let stranger = Pair::new(&other);
    let error = pair.portal.acquire(stranger.pool.number, &mut [0; 3]).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::PortalRefused { result: 0xf1, .. }), "{text}");
    let pool = format!("buffer pool {}", stranger.pool.number);
    assert!(text.contains("refuses Acquire") && text.contains(&pool), "{text}");
    let error = pair.portal.queue_state(stranger.one.receive_queue()).unwrap_err();
    assert!(error.to_string().contains("QueryQueue of frame queue"), "{error}");
    let error = pair.portal.notify(9999, true, None).unwrap_err();
    assert!(error.to_string().contains("channel 9999"), "{error}");
}

fn a_channel_tells_a_portal_and_its_interrupt_that_frames_wait(chip: Chip) {
    let (_board, held) = container_on(chip);
    let mut plane = Dataplane::open(&held).unwrap();
    let mut portal = plane.portal().unwrap();
    let channel = plane.channel().unwrap();
    let frames = plane.frames(Pair::BUFFERS, 2048).unwrap();
    let pool = plane.pool(&mut portal, &frames).unwrap();
    let one = plane.interface(&InterfaceConfig::new(pool)).unwrap();
    let destination = RxDestination::Channel(channel);
    let config = InterfaceConfig { destination, context: 0x1234, ..InterfaceConfig::new(pool) };
    plane.interface(&config).unwrap();
    let interrupt = held.enable_interrupt(portal.object(), 0).unwrap();
    plane.notify(channel, &mut portal, 0xabcd).unwrap();
    portal.arm_interrupt().unwrap();
    assert_eq!((portal.take().unwrap(), interrupt.events().take().unwrap()), (None, 0));

    for lap in 0..20u8 {
        let mut buffer = [0];
        portal.acquire(pool.number, &mut buffer).unwrap();
        let fd = frames.put(buffer[0], one.transmit_offset, &frame(60, lap), pool.number).unwrap();
        assert_eq!(portal.enqueue(one.transmit, &[fd]).unwrap(), 1);
        assert_eq!(interrupt.events().wait(Duration::from_secs(5)).unwrap(), 1, "lap {lap}");
        let Some(Pushed::Notice(notice)) = portal.take().unwrap() else { panic!("no notice") };
        assert_eq!((notice.kind, notice.context), (NoticeKind::ChannelData, 0xabcd));
        let mut entries = Vec::new();
        portal.dequeue(Source::Channel(channel.number.into()), 16, &mut entries).unwrap();
        assert_eq!((entries.len(), entries[0].context), (1, 0x1234), "lap {lap}");
        frames.buffers_of(&entries[0].fd).unwrap().iter().for_each(|(pool, buffer)| {
            assert_eq!(portal.release(*pool, &[*buffer]).unwrap(), 1);
        });
        portal.notify(channel.number, true, None).unwrap();
        portal.arm_interrupt().unwrap();
        assert_eq!(portal.take().unwrap(), None);
    }
}

fn a_channel_pushes_frames_into_the_portal(chip: Chip) {
    let (_board, held) = container_on(chip);
    let mut plane = Dataplane::open(&held).unwrap();
    let mut portal = plane.portal().unwrap();
    let channel = plane.channel().unwrap();
    let frames = plane.frames(Pair::BUFFERS, 2048).unwrap();
    let pool = plane.pool(&mut portal, &frames).unwrap();
    let one = plane.interface(&InterfaceConfig::new(pool)).unwrap();
    let destination = RxDestination::Channel(channel);
    let config = InterfaceConfig { destination, context: 7, ..InterfaceConfig::new(pool) };
    plane.interface(&config).unwrap();
    let bit = plane.allow_push(channel, &portal).unwrap();
    assert_ne!(bit, 1, "the portal's own");
    portal.push_from(bit).unwrap();
    let mut next = 0u8;
    let mut buffers = [0; 30];
    assert_eq!(portal.acquire(pool.number, &mut buffers).unwrap(), 30);
    let put = |(mark, buffer): (u8, &u64)| {
        frames.put(*buffer, one.transmit_offset, &frame(60, mark), pool.number).unwrap()
    };
    let sent: Vec<Fd> = (0..).zip(&buffers).map(put).collect();
    let mut left = &sent[..];
    while !left.is_empty() {
        let taken = portal.enqueue(one.transmit, left).unwrap();
        left = &left[taken..];
    }
    // More than the ring holds: what is taken makes room.
    while let Some(pushed) = portal.take().unwrap() {
        let Pushed::Frame(entry) = pushed else { panic!("{pushed:?}") };
        let mut bytes = Vec::new();
        frames.get(&entry.fd, &mut bytes).unwrap();
        assert_eq!((bytes[59], entry.context), (next, 7));
        next += 1;
    }
    assert_eq!(next, 30);
    portal.push_from(0).unwrap();
    let fd = frames.put(buffers[0], one.transmit_offset, &frame(60, 0), pool.number).unwrap();
    assert_eq!(portal.enqueue(one.transmit, &[fd]).unwrap(), 1);
    assert_eq!(portal.take().unwrap(), None);
}

fn a_frame_larger_than_a_buffer_is_read_and_given_back_whole(chip: Chip) {
    let (_board, held) = container_on(chip);
    let mut plane = Dataplane::open(&held).unwrap();
    let mut portal = plane.portal().unwrap();
    let (large, small) = (plane.frames(4, 2048).unwrap(), plane.frames(40, 512).unwrap());
    let from = plane.pool(&mut portal, &large).unwrap();
    let to = plane.pool(&mut portal, &small).unwrap();
    let one = plane.interface(&InterfaceConfig::new(from)).unwrap();
    let other = plane.interface(&InterfaceConfig::new(to)).unwrap();
    let mut buffer = [0];
    portal.acquire(from.number, &mut buffer).unwrap();
    let sent: Vec<u8> = (0..1514).map(|n| if n < 6 { 0xff } else { n as u8 }).collect();
    let fd = large.put(buffer[0], one.transmit_offset, &sent, from.number).unwrap();
    assert_eq!(portal.enqueue(one.transmit, &[fd]).unwrap(), 1);
    let (mut entries, mut bytes) = (Vec::new(), Vec::new());
    let source = Source::Queue(other.receive_queue());
    assert_eq!(portal.dequeue(source, 16, &mut entries).unwrap(), 1);
    let received = entries[0].fd;
    assert_eq!(received.format(), Format::ScatterGather);
    small.get(&received, &mut bytes).unwrap();
    assert_eq!(bytes, sent);
    assert!(large.get(&received, &mut bytes).is_err(), "it lies in other memory");
    assert!(small.patch(&received, 0, &[1]).is_err());
    for (pool, buffer) in small.buffers_of(&received).unwrap() {
        assert_eq!((pool, portal.release(pool, &[buffer]).unwrap()), (to.number, 1));
    }
    assert_eq!(portal.acquire(to.number, &mut [0; 41]).unwrap(), 40, "every buffer is back");
}

fn memory_for_frames_is_checked(chip: Chip) {
    let (_board, held) = container_on(chip);
    let mut pair = Pair::new(&held);
    let [buffer, ..] = addresses(&mut pair);
    let put = |buffer, offset, length: usize| {
        pair.frames.put(buffer, offset, &vec![0; length], 1).map_err(|error| error.to_string())
    };
    assert!(put(buffer, 48, 2000).is_ok());
    assert!(put(buffer, 49, 2000).unwrap_err().contains("too long for the buffer"));
    for stranger in [buffer + 1, 0, u64::MAX, buffer + 2048 * 200] {
        assert!(
            put(stranger, 0, 60).unwrap_err().contains("outside of the memory"),
            "{stranger:#x}"
        );
    }
    let fd = put(buffer, 64, 60).unwrap();
    pair.frames.patch(&fd, 58, &[1, 2]).unwrap();
    assert_eq!(pair.bytes(&fd)[57..], [0, 1, 2]);
    assert!(pair.frames.patch(&fd, 59, &[1, 2]).is_err());
    assert!(pair.frames.patch(&fd, usize::MAX, &[1]).is_err());
    // Descriptors as hardware that is broken could write them.
    for address in [0, buffer + (1 << 40), u64::MAX] {
        let fd = Fd { address, ..fd };
        let formats = [Format::Single, Format::List, Format::ScatterGather, Format::Reserved];
        for format in formats {
            let fd = fd.with_layout(64, format);
            assert!(pair.frames.get(&fd, &mut Vec::new()).is_err(), "{fd:?}");
        }
    }
    let endless = fd.with_layout(0, Format::ScatterGather);
    assert!(pair.frames.get(&endless, &mut Vec::new()).is_err());
    for (count, size) in [(0, 2048), (4, 0), (4, 100), (4, 65536), (usize::MAX, 2048)] {
        assert!(pair.plane.frames(count, size).is_err(), "{count} of {size}");
    }
    // As many as were asked for, though memory comes by pages.
    let one = pair.plane.frames(1, 2048).unwrap();
    let only: Vec<u64> = one.buffers().collect();
    assert_eq!(only.len(), 1);
    assert!(one.put(only[0], 0, &[0; 60], 1).is_ok());
    assert!(one.put(only[0] + 2048, 0, &[0; 60], 1).is_err());
    // A descriptor has 12 bits for the offset.
    let large = pair.plane.frames(1, 8192).unwrap();
    let buffer = large.buffers().next().unwrap();
    assert_eq!(large.put(buffer, 4095, &[1], 1).unwrap().offset(), 4095);
    let error = large.put(buffer, 4096, &[1], 1).unwrap_err().to_string();
    assert!(error.contains("4096 bytes is too large"), "{error}");
    let own = DmaBuffer::allocate(8192).unwrap();
    assert_eq!(pair.plane.frames_in(own, 2048).unwrap().buffers().count(), 4);
}

/// What one thread sends another receives: entries, frames and buffers are complete when they
/// are seen.
fn threads_have_a_portal_each(chip: Chip) {
    const FRAMES: u32 = 5000;
    let (_board, held) = container_on(chip);
    let mut pair = Pair::new(&held);
    let mut receiver = pair.plane.portal().unwrap();
    let Pair { portal: sender, frames, pool, one, other, .. } = &mut pair;
    let (frames, pool, other) = (&*frames, *pool, &*other);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (mut next, mut entries, mut bytes) = (0u32, Vec::new(), Vec::new());
            while next < FRAMES {
                entries.clear();
                let source = Source::Queue(other.receive_queue());
                receiver.dequeue(source, receiver.most(), &mut entries).unwrap();
                for entry in &entries {
                    bytes.clear();
                    frames.get(&entry.fd, &mut bytes).unwrap();
                    assert_eq!(bytes[14..18], next.to_le_bytes());
                    while receiver.release(pool.number, &[entry.fd.address]).unwrap() == 0 {}
                    next += 1;
                }
                std::thread::yield_now();
            }
        });
        for number in 0..FRAMES {
            let mut buffer = [0];
            while sender.acquire(pool.number, &mut buffer).unwrap() == 0 {
                std::thread::yield_now();
            }
            let mut bytes = frame(60, 0);
            bytes[14..18].copy_from_slice(&number.to_le_bytes());
            let fd = frames.put(buffer[0], one.transmit_offset, &bytes, pool.number).unwrap();
            while sender.enqueue(one.transmit, &[fd]).unwrap() == 0 {}
        }
    });
    assert_eq!(pair.free(), Pair::BUFFERS);
}

fn memory_that_is_not_mapped_is_not_reached(chip: Chip) {
    let (board, held) = container_on(chip);
    let mut pair = Pair::new(&held);
    assert_eq!(board.faults(), 0);
    let [buffer, ..] = addresses(&mut pair);
    let page = held.map(DmaBuffer::allocate(4096).unwrap(), 0x7000_0000, Access::Read).unwrap();
    let mut fd = pair.frames.put(buffer, pair.one.transmit_offset, &frame(60, 1), 0).unwrap();
    fd = fd.with_pool(None);
    fd.address = page.iova();
    pair.portal.enqueue(pair.one.transmit, &[fd]).unwrap();
    let received = pair.receive(Source::Queue(pair.other.receive_queue()));
    assert_eq!(received.len(), 1, "it is read where it is mapped");
    page.unmap().unwrap();
    pair.portal.enqueue(pair.one.transmit, &[fd]).unwrap();
    assert!(pair.receive(Source::Queue(pair.other.receive_queue())).is_empty());
    assert!(board.faults() > 0, "and a fault where it is not any more");
}
