// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Whatever is sent: nothing panics, every frame is counted once, every buffer
//! is somewhere.

use super::testing::*;
use proptest::prelude::*;
use qbman_abi::Fd;

/// Descriptors that are nearly right more often than not.
fn any_fd() -> impl Strategy<Value = Fd> {
    let address = prop_oneof![4 => (0u64..8).prop_map(free), 1 => any::<u64>()];
    let length = prop_oneof![4 => 0u32..3000, 1 => 0u32..12_000, 1 => any::<u32>()];
    let pool = prop_oneof![3 => Just(0x4000u16), 1 => any::<u16>()];
    let format = prop_oneof![Just(0u16), Just(2), any::<u16>()];
    let words = (0u16..300, any::<bool>(), any::<bool>(), any::<u64>());
    (address, length, pool, format, words).prop_map(
        |(address, length_word, pool_word, format, (offset, frc, ctrl, flc))| Fd {
            address,
            length_word,
            pool_word,
            format_word: offset | format << 12,
            frc: if frc { 0x4000 } else { 0 },
            ctrl: if ctrl { 0x0082_0000 } else { 0 },
            flc,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn frames_and_buffers_are_conserved(
        memory in prop::collection::vec(any::<u8>(), 2000),
        fds in prop::collection::vec(any_fd(), 1..40),
        confirmed: bool, checks: bool, promiscuous: bool,
    ) {
        let mut test = TestWriop::new();
        test.change(1, |config| {
            if !confirmed {
                config.transmit.queues[0].confirmation = None;
            }
            config.transmit.l3_checksum = checks;
            config.transmit.l4_checksum = checks;
        });
        test.change(2, |config| {
            config.receive.macs.all_unicast = promiscuous;
            config.receive.l3_checksum = checks;
            config.receive.l4_checksum = checks;
        });
        for index in 0..8 {
            test.write(free(index), &memory);
        }
        let count = fds.len() as u64;
        test.send(1, &fds);
        let (sender, receiver) = (test.wriop.counters(1), test.wriop.counters(2));
        prop_assert_eq!(sender.egress_frames + sender.egress_discarded, count);
        prop_assert_eq!(
            receiver.ingress_frames + receiver.ingress_filtered + receiver.ingress_discarded
                + receiver.ingress_no_buffer,
            sender.egress_frames
        );
        if confirmed {
            prop_assert!(sender.egress_confirmed <= count);
        }
        let received = test.take(rx(2));
        prop_assert_eq!(received.len() as u64, receiver.ingress_frames);
        let mut held: Vec<u64> = received
            .iter()
            .flat_map(|fd| {
                let pieces = match fd.format() {
                    qbman_abi::Format::ScatterGather => {
                        test.entries(fd).iter().map(|entry| entry.address).collect()
                    }
                    _ => Vec::new(),
                };
                pieces.into_iter().chain([fd.address])
            })
            .collect();
        held.extend(test.pool(2));
        held.retain(|buffer| (0..BUFFERS).any(|index| *buffer == super::testing::buffer(2, index)));
        held.sort_unstable();
        held.dedup();
        prop_assert_eq!(held.len() as u64, BUFFERS, "buffers of the receiver");
    }
}
