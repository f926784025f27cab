// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Wild descriptors, tables, annotations, keys and pools of one container, while
//! another one's frames pass the same switch.

use super::testing::*;
use crate::{
    fabric::Engine,
    wriop::{fixtures, *},
};
use proptest::prelude::*;
use qbman_abi::{Fd, Format, SgEntry};

const SWITCH: u32 = 7;

/// Sets up an interface on the switch.
fn attach(test: &mut TestWriop, id: u32, change: impl FnOnce(&mut InterfaceConfig)) {
    let mut config = interface(id, 0);
    config.peer = Some(Endpoint::Switch { id: SWITCH, port: id as u16 });
    config.icid = if id < 3 { ICID } else { OTHER_ICID };
    change(&mut config);
    test.configure(id, config);
}

/// Interfaces 1 and 2 of one container in VLAN 1, 3 and 4 of another in VLAN 2.
fn bench() -> TestWriop {
    let mut test = TestWriop::new();
    for id in 1..5 {
        attach(&mut test, id, |_| {});
    }
    let config = fixtures::switch_of_two_vlans(ICID);
    test.wriop.configure_switch(SWITCH, Some(config));
    test
}

/// A descriptor of any bytes, or one that is almost right.
fn any_descriptor() -> impl Strategy<Value = Fd> {
    let likely = (0u64..0x3000, 0u32..12_000, any::<u32>(), any::<u32>(), 0u8..4, 0u16..0x200);
    let likely = likely.prop_map(|(at, length_word, frc, ctrl, format, offset)| {
        let fd = Fd { address: free(0) + at, length_word, frc, ctrl, ..Fd::default() };
        let format = match format {
            0 => Format::Single,
            1 => Format::List,
            _ => Format::ScatterGather,
        };
        fd.with_layout(offset, format).with_pool(Some(3))
    });
    let wild = any::<[u8; Fd::SIZE]>().prop_map(|bytes| Fd::from_bytes(&bytes));
    prop_oneof![2 => likely, 1 => wild]
}

/// Entries that lead into the sender's memory, and some that lead anywhere.
fn any_table() -> impl Strategy<Value = Vec<u8>> {
    let entry = (0u64..0x3000, 0u32..3_000, any::<bool>(), prop::option::of(any::<[u8; 16]>()));
    let entry = entry.prop_map(|(at, length, last, wild)| {
        wild.unwrap_or_else(|| SgEntry::new(free(0) + at, 0, length, 3, last).to_bytes())
    });
    prop::collection::vec(entry, 1..40).prop_map(|entries| entries.concat())
}

proptest! {
    #[test]
    fn wild_descriptors_harm_nobody_else(
        descriptors in prop::collection::vec(any_descriptor(), 1..20),
        table in any_table(),
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        description in prop::collection::vec(any::<u8>(), 8..200),
        buffers in prop::collection::vec(
            prop_oneof![0x17_0000u64..0x17_8000, Just(1 << 40), any::<u64>().prop_map(|a| a | 1 << 60)],
            0..6,
        ),
        size in 0u16..3000,
        confirmed in any::<bool>(),
    ) {
        let mut test = bench();
        test.make_pool(3, OTHER_ICID, []);
        test.make_pool(4, OTHER_ICID, buffers);
        attach(&mut test, 3, |config| {
            config.transmit.l3_checksum = true;
            config.transmit.l4_checksum = true;
            if !confirmed {
                config.transmit.queues[0].confirmation = None;
            }
        });
        attach(&mut test, 4, |config| {
            config.receive.pools[0].size = size;
            config.receive.l4_checksum = true;
            if let Ok(key) = KeyProfile::parse(&description) {
                let hash = Some(Spread { key, size: 1 });
                config.receive.classes[0].distribution.hash = hash;
            }
        });
        test.write(free(0), &table);
        test.write(free(0) + 0x1000, &bytes);
        test.write(free(0) + 0x2000, &ethernet(mac(4), mac(3), 200));
        let before = (test.pool(1), test.pool(2).len());
        let mut received = 0;
        for fd in descriptors {
            test.send(3, &[fd]);
            // The others' frames pass as if nothing had happened.
            let frame = ethernet(mac(2), mac(1), 100);
            let good = test.frame(free(2), &frame);
            test.send(1, &[good]);
            let arrived = test.take(rx(2));
            prop_assert_eq!(arrived.len(), 1);
            prop_assert_eq!(test.bytes(&arrived[0]), frame);
            prop_assert_eq!(test.take(confirm(1)), [good]);
            // Software gives the buffer back.
            let TestWriop { queues, pass, .. } = &mut test;
            queues.release(ICID, 2, &[arrived[0].address], pass);
            received += test.take(rx(4)).len();
            prop_assert!(test.take(rx(1)).is_empty() && test.take(confirm(2)).is_empty());
        }
        prop_assert_eq!((test.pool(1), test.pool(2).len()), before);
        prop_assert!(test.pass.next_engine() != Some(Engine::Interface(1)));
        prop_assert_eq!(test.wriop.counters(4).ingress_frames as usize, received);
        prop_assert_eq!(test.wriop.counters(1).ingress_frames, 0);
    }
}
