// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Random bytes: nothing panics, and nobody is harmed by what another container
//! does.

use crate::{
    client::{Client, Descriptor, From, WAYS, Way, frame},
    host::{OTHER, TestQbman},
    portals::version,
};
use board::{
    fabric::Pass,
    qbman::{CI_OFFSET, Consumer, PORTAL_STRIDE, QueueConfig, Version, WINDOW_SIZE},
};
use proptest::prelude::*;

proptest! {
    /// Another container stores anything anywhere and rings anything.
    #[test]
    fn no_bytes_harm_others(
        way in prop::sample::select(WAYS.to_vec()),
        steps in prop::collection::vec(
            (any::<bool>(), 0..0x2000u64, prop::collection::vec(any::<u8>(), 0..=64), any::<u32>()),
            1..200,
        ),
    ) {
        let test = TestQbman::new(version(way));
        test.give_channel(1, Some(0));
        test.give_queue(1, Consumer::Channel { channel: 1, priority: 0 });
        test.give_queue(2, Consumer::Parked);
        test.give_pool(1);
        let mut victim = Client::new(&test, 0, way).with_interrupts();
        victim.send(1, 100..120);
        victim.send(2, 200..220);
        prop_assert!(victim.release(1, &[0x1000, 0x2000]));
        victim.notify(1, true, Some(77));
        test.give_portal(1, OTHER, [None; 16]);
        // Something of its own, so that some of it works.
        let config = QueueConfig::new(OTHER, Consumer::Parked);
        test.give_queue_with(3, config);
        let _ = Client::new(&test, 1, way);
        for (memory, at, bytes, value) in steps {
            if memory {
                test.portals.write(PORTAL_STRIDE + at, &bytes);
                test.pass(|qbman, pass| qbman.write(PORTAL_STRIDE + at, &bytes, pass));
            } else {
                let register = at & 0xffc;
                let at = CI_OFFSET + PORTAL_STRIDE + register;
                let value = if value % 3 == 0 { value } else { 0x100 | value & 0xff };
                test.pass(|qbman, pass| qbman.write(at, &value.to_le_bytes(), pass));
                test.qbman.read(at, &mut [0; 4]);
            }
        }
        prop_assert_eq!(victim.take().map(|entry| entry.notice()), Some((0, 1, 77)));
        prop_assert!(victim.next().is_none());
        prop_assert_eq!(victim.receive(From::Channel(1), 16), Vec::from_iter(100..116));
        prop_assert_eq!(victim.receive(From::Channel(1), 16), Vec::from_iter(116..120));
        prop_assert_eq!(victim.receive(From::Queue(2), 16), Vec::from_iter(200..216));
        let mut buffers = victim.acquire(1, 2).unwrap();
        buffers.sort_unstable();
        prop_assert_eq!(buffers, [0x1000, 0x2000]);
        prop_assert_eq!(test.qbman.portal_counters(0), Default::default());
    }

    #[test]
    fn no_access_panics_and_reset_forgets_all(
        accesses in prop::collection::vec((0..WINDOW_SIZE + 0x100, any::<[u8; 8]>(), 0usize..=8), 0..64),
        registers in prop::collection::vec((0u64..0x1000, any::<u32>()), 0..64),
    ) {
        let test = TestQbman::new(Version::V5);
        let mut pass = Pass::default();
        for (offset, data, length) in accesses {
            test.qbman.write(offset, &data[..length], &mut pass);
            let mut back = data;
            test.qbman.read(offset, &mut back[..length]);
        }
        for (register, value) in registers {
            let at = CI_OFFSET + PORTAL_STRIDE + (register & !3);
            test.qbman.write(at, &value.to_le_bytes(), &mut pass);
            test.qbman.read(at, &mut [0; 4]);
        }
        test.qbman.reset_portal(1, &mut pass);
        // A driver finds it as after power-on, and it works.
        test.give_queue(7, Consumer::Parked);
        let mut client = Client::new(&test, 1, Way::LinuxMemory);
        prop_assert_eq!(client.enqueue(&[(Descriptor::to_queue(7), frame(5, 64))]), 1);
        prop_assert_eq!(client.receive(From::Queue(7), 4), [5]);
    }
}
