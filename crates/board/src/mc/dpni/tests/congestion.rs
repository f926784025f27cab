// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Full queues: limits, messages in memory, drop curves.

use super::{
    frames::{Nic, send_bytes, take},
    *,
};
use mc_abi::common::Disable;

const MESSAGE: u64 = 0x4000;
const CURVES: u64 = 0x5000;

fn pair(request: dpni::Create) -> (TestMc, Nic, Nic) {
    let mut mc = TestMc::new();
    let one = Nic::new(&mut mc, request.clone());
    let two = Nic::new(&mut mc, request);
    mc.connect((one.id, 0), (two.id, 0)).expect("they fit");
    (mc, one, two)
}

fn read<const N: usize>(mc: &TestMc, at: u64) -> [u8; N] {
    let mut bytes = [0; N];
    mc.state.fabric.memory().read(mc.icid(), at, &mut bytes).expect("memory");
    bytes
}

fn write(mc: &TestMc, at: u64, bytes: &[u8]) {
    mc.state.fabric.memory().write(mc.icid(), at, bytes).expect("memory");
}

fn send_many(mc: &mut TestMc, from: &Nic, count: usize) {
    for _ in 0..count {
        send_bytes(mc, from, &[2; 60]);
    }
}

/// DPDK's transmit queues: it stops sending while byte 2 of the message is not
/// zero, and does not clear the memory itself.
#[test]
fn a_sender_is_told_of_congestion() {
    let (mut mc, one, two) = pair(dpni::Create::default());
    write(&mc, MESSAGE, &[0xff; 16]);
    let notify = dpni::SetCongestionNotification {
        queue_type: queue_type::TX,
        congestion_point: 0,
        notification: CongestionNotification {
            units: 1,
            mode: 0x7,
            message_iova: MESSAGE,
            threshold_entry: 4,
            threshold_exit: 3,
            ..Default::default()
        },
        ..Default::default()
    };
    mc.call(one.dpni, &notify).expect("set");
    assert_eq!(read::<3>(&mc, MESSAGE)[2], 0, "not congested");
    mc.call(one.dpni, &Disable {}).expect("disabled");
    for sent in 1..=6 {
        send_bytes(&mut mc, &one, &[2; 60]);
        let congested = read::<3>(&mc, MESSAGE)[2];
        assert_eq!(congested != 0, sent > 4, "after {sent}");
    }
    mc.call(one.dpni, &Enable {}).expect("enabled");
    mc.run_engines();
    assert_eq!(read::<3>(&mc, MESSAGE)[2], 0, "not any more");
    assert_eq!(take(&mut mc, two.rx).len(), 6);
}

/// Linux's limit of a traffic class, in frames; and a queue in a numbered group,
/// as DPDK has it.
#[test]
fn classes_and_groups_have_limits() {
    let limit = |congestion_point, index| dpni::SetTaildrop {
        congestion_point,
        queue_type: queue_type::RX,
        index,
        drop: TailDrop { enable: true, units: 1, threshold: 3, overhead: 0 },
        ..Default::default()
    };
    let (mut mc, one, two) = pair(dpni::Create::default());
    mc.call(two.dpni, &limit(1, 0)).expect("a limit");
    send_many(&mut mc, &one, 5);
    assert_eq!(take(&mut mc, two.rx).len(), 3);
    assert_eq!(two.statistics(&mut mc, 4)[..2], [2, 120]);

    let (mut mc, one, two) = pair(dpni::Create::default());
    mc.call(two.dpni, &limit(2, 0)).expect("a limit");
    send_many(&mut mc, &one, 4);
    assert_eq!(take(&mut mc, two.rx).len(), 4, "the queue is in no group");
    let put = dpni::SetQueue {
        queue_type: queue_type::RX,
        options: queue_options::SET_CONGESTION_GROUP,
        congestion_group: 0,
        ..Default::default()
    };
    mc.call(two.dpni, &put).expect("a group");
    send_many(&mut mc, &one, 5);
    assert_eq!(take(&mut mc, two.rx).len(), 3);
}

/// `dpni_prepare_early_drop`: flags at 0, then for each colour probability,
/// maximum, minimum.
#[test]
fn drop_curves_are_read_and_written() {
    let (mut mc, one, two) = pair(dpni::Create::default());
    let mut bytes = [0; 96];
    // Enabled, frames: green frames are all dropped above two.
    bytes[0] = 1 | 1 << 2;
    (bytes[8], bytes[16], bytes[24]) = (100, 2, 2);
    write(&mc, CURVES, &bytes);
    let set = dpni::SetEarlyDrop { queue_type: queue_type::RX, iova: CURVES, ..Default::default() };
    mc.call(two.dpni, &set).expect("curves");
    let get = dpni::GetEarlyDrop {
        queue_type: queue_type::RX,
        iova: CURVES + 0x100,
        ..Default::default()
    };
    mc.call(two.dpni, &get).expect("curves");
    assert_eq!(read::<96>(&mc, CURVES + 0x100), bytes);
    send_many(&mut mc, &one, 5);
    assert_eq!(take(&mut mc, two.rx).len(), 2);
    assert_eq!(two.statistics(&mut mc, 2)[1], 3);
    // A minimum above the maximum means nothing.
    bytes[24] = 3;
    write(&mc, CURVES, &bytes);
    assert_eq!(mc.call(two.dpni, &set), Err(Status::ConfigurationError));
    let nowhere = dpni::GetEarlyDrop { iova: 0x1_0000_0000, ..get };
    assert_eq!(mc.call(two.dpni, &nowhere), Err(Status::DmaError));
    // Off again.
    write(&mc, CURVES, &[0; 96]);
    mc.call(two.dpni, &set).expect("curves");
    send_many(&mut mc, &one, 5);
    assert_eq!(take(&mut mc, two.rx).len(), 5);
}
