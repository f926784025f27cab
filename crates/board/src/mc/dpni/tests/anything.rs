// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Arbitrary commands.

use super::*;
use mc_abi::{Message, Params, dpni::COMMANDS};
use proptest::prelude::*;

proptest! {
    /// No command, whatever it carries, panics or leaks.
    #[test]
    fn goes(commands in prop::collection::vec((0usize..200, 0u8..9, any::<[u8; 32]>()), 1..60)) {
        let mut mc = TestMc::new();
        let request = dpni::Create {
            options: 0x16d4,
            num_queues: 3,
            num_tcs: 3,
            num_channels: 2,
            vlan_filter_entries: 2,
            ..Default::default()
        };
        let (id, dpni) = create(&mut mc, request);
        let (mac, mac_token) = port(&mut mc, 4);
        mc.connect((id, 0), (mac, 0)).unwrap();
        for (which, version, bytes) in commands {
            let mut block = [0; Message::SIZE];
            // Small numbers are the ones that pass the checks.
            for (slot, byte) in block[8..].iter_mut().zip(bytes.iter().cycle()) {
                *slot = if *byte > 100 { byte % 4 } else { 0 };
            }
            block[40..].copy_from_slice(&bytes[8..]);
            let params: Params = Message::from_bytes(&block).params;
            let all = || COMMANDS.iter().map(|row| (dpni, row.number))
                .chain(mc_abi::dpmac::COMMANDS.iter().map(|row| (mac_token, row.number)))
                .chain([2, 3, 5].map(|number| (dpni, number)));
            let (token, number) = all().nth(which % all().count()).unwrap();
            let _ = mc.send(1, &Message::command(number, version, token, params));
        }
        mc.destroy(mac).unwrap();
        mc.destroy(id).unwrap();
        mc.assert_pools_full();
    }
}
