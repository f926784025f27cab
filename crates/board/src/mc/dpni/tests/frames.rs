// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Frames through interfaces that are set up by commands alone.

use super::*;
use mc_abi::dpni::Pool;
use qbman_abi::{Fd, Format};

/// An interface with its pool of buffers, set up as a driver does it.
pub struct Nic {
    pub id: ObjectId,
    pub dpni: Token,
    pool: ObjectId,
    tx: u32,
    pub confirm: u32,
    pub rx: u32,
    bpid: u32,
}

const BUFFER: u16 = 2048;
const BUFFERS: u64 = 16;

fn fqid(mc: &mut TestMc, dpni: Token, queue_type: u8) -> u32 {
    queue(mc, dpni, queue_type, 0, 0)
}

/// The number of a queue.
pub fn queue(mc: &mut TestMc, dpni: Token, queue_type: u8, tc: u8, index: u8) -> u32 {
    let get = dpni::GetQueue { queue_type, tc, index, channel: 0 };
    mc.call(dpni, &get).expect("a queue").fqid
}

impl Nic {
    pub fn new(mc: &mut TestMc, request: dpni::Create) -> Self {
        let (id, dpni) = mc.make(&request);
        let (pool, dpbp) = mc.make(&dpbp::Create {});
        let bpid = mc.call(dpbp, &dpbp::GetAttributes {}).expect("a pool").bpid.into();
        let mut pools = dpni::SetPools { num_pools: 1, ..Default::default() };
        pools.pools[0] = Pool { dpbp: pool.id, priority_mask: 0 };
        pools.buffer_sizes[0] = BUFFER;
        mc.call(dpni, &pools).expect("pools");
        let icid = mc.icid();
        let qbman = mc.state.fabric.qbman();
        let buffers: Vec<u64> = (0..BUFFERS).map(|index| buffer(id.id, index)).collect();
        assert_eq!(qbman.release(icid, bpid, &buffers, &mut mc.state.pass), buffers.len());
        let tx = fqid(mc, dpni, queue_type::TX);
        let confirm = match request.options & options::TX_FRAME_RELEASE {
            0 => fqid(mc, dpni, queue_type::TX_CONFIRM),
            _ => 0,
        };
        let rx = fqid(mc, dpni, queue_type::RX);
        mc.call(dpni, &dpni::SetUnicastPromisc { enable: true }).expect("promiscuous");
        mc.call(dpni, &Enable {}).expect("enabled");
        Self { id, dpni, pool, tx, confirm, rx, bpid }
    }

    /// The counters of a page.
    pub fn statistics(&self, mc: &mut TestMc, page: u8) -> [u64; 7] {
        let get = dpni::GetStatistics { page, param: 0 };
        mc.call(self.dpni, &get).expect("a page").counters
    }
}

fn buffer(id: u32, index: u64) -> u64 {
    0x10_0000 * u64::from(id + 1) + index * 0x1000
}

/// Sends a frame of `length` bytes to `to`.
fn send(mc: &mut TestMc, from: &Nic, to: [u8; 6], length: usize) -> Fd {
    let mut bytes = vec![0x88; length];
    bytes[..6].copy_from_slice(&to);
    send_bytes(mc, from, &bytes)
}

/// Sends a frame.
pub fn send_bytes(mc: &mut TestMc, from: &Nic, bytes: &[u8]) -> Fd {
    let (address, icid) = (0xf0_0000, mc.icid());
    mc.state.fabric.memory().write(icid, address + 192, bytes).expect("memory");
    let fd = Fd { address, length_word: bytes.len() as u32, ctrl: Fd::CTRL_PTA, ..Fd::default() };
    let fd = fd.with_layout(192, Format::Single);
    let fabric = mc.state.fabric.clone();
    fabric.qbman().enqueue(from.tx, &fd, &mut mc.state.pass).expect("room");
    mc.run_engines();
    fd
}

/// The descriptors in a queue, which is empty then.
pub fn take(mc: &mut TestMc, fqid: u32) -> Vec<Fd> {
    let fabric = mc.state.fabric.clone();
    std::iter::from_fn(|| fabric.qbman().dequeue(fqid)).collect()
}

fn pair() -> (TestMc, Nic, Nic) {
    let mut mc = TestMc::new();
    let one = Nic::new(&mut mc, dpni::Create::default());
    let two = Nic::new(&mut mc, dpni::Create::default());
    mc.connect((one.id, 0), (two.id, 0)).expect("they fit");
    (mc, one, two)
}

#[test]
fn connected_interfaces_exchange_frames() {
    let (mut mc, one, two) = pair();
    let sent = send(&mut mc, &one, [2; 6], 1000);
    assert_eq!(take(&mut mc, one.confirm), [sent]);
    let received = take(&mut mc, two.rx);
    assert_eq!(received.len(), 1);
    assert_eq!((received[0].length(), received[0].pool()), (1000, Some(two.bpid as u16)));
    assert_eq!(two.statistics(&mut mc, 0)[..2], [1, 1000]);
    assert_eq!(one.statistics(&mut mc, 1)[..2], [1, 1000]);
    // Confirmed; dequeued from the class.
    assert_eq!(one.statistics(&mut mc, 2), [0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(one.statistics(&mut mc, 3)[..2], [1000, 1]);
    assert_eq!(one.statistics(&mut mc, 6)[0], 0);
    mc.call(two.dpni, &dpni::ResetStatistics {}).expect("reset");
    assert_eq!(two.statistics(&mut mc, 0), [0; 7]);
}

/// `ifdown` of Linux: a disabled interface keeps what it has not sent, and says
/// how much that is; what its peer sends is dropped.
#[test]
fn a_disabled_interface_sends_when_it_is_enabled_again() {
    let (mut mc, one, two) = pair();
    mc.call(one.dpni, &common_disable()).expect("disabled");
    send(&mut mc, &one, [2; 6], 100);
    assert_eq!(one.statistics(&mut mc, 6)[0], 1);
    assert!(take(&mut mc, two.rx).is_empty());
    send(&mut mc, &two, [2; 6], 100);
    assert_eq!(two.statistics(&mut mc, 2)[3], 1);
    assert_eq!(take(&mut mc, two.confirm).len(), 1);
    mc.call(one.dpni, &Enable {}).expect("enabled");
    mc.run_engines();
    assert_eq!(take(&mut mc, two.rx).len(), 1);
    assert_eq!(one.statistics(&mut mc, 6)[0], 0);
}

fn common_disable() -> mc_abi::common::Disable {
    mc_abi::common::Disable {}
}

#[test]
fn a_reset_forgets_frames() {
    let (mut mc, one, two) = pair();
    mc.call(one.dpni, &common_disable()).expect("disabled");
    send(&mut mc, &one, [2; 6], 100);
    mc.call(one.dpni, &Reset {}).expect("reset");
    assert_eq!(one.statistics(&mut mc, 6)[0], 0);
    mc.call(one.dpni, &Enable {}).expect("enabled");
    mc.run_engines();
    assert!(take(&mut mc, two.rx).is_empty());
}

#[test]
fn filters_that_commands_set_count() {
    let (mut mc, one, two) = pair();
    mc.call(two.dpni, &dpni::SetUnicastPromisc { enable: false }).expect("off");
    let address = MacAddr([2, 0, 0, 0, 0, 5]);
    mc.call(two.dpni, &dpni::SetPrimaryMacAddr { address }).expect("set");
    send(&mut mc, &one, [2, 0, 0, 0, 0, 6], 100);
    assert!(take(&mut mc, two.rx).is_empty());
    assert_eq!(two.statistics(&mut mc, 2)[0], 1);
    send(&mut mc, &one, address.0, 100);
    assert_eq!(take(&mut mc, two.rx).len(), 1);
    // Broadcast only where somebody asked for it: Linux does.
    send(&mut mc, &one, [0xff; 6], 100);
    assert!(take(&mut mc, two.rx).is_empty());
    let add = dpni::AddMacAddr { flags: 0, address: MacAddr([0xff; 6]), tc: 0, flow: 0 };
    mc.call(two.dpni, &add).expect("room");
    send(&mut mc, &one, [0xff; 6], 100);
    assert_eq!(take(&mut mc, two.rx).len(), 1);
    assert_eq!(two.statistics(&mut mc, 0)[4..6], [1, 100]);
}

/// DPDK's mode: buffers go back to their pools, nothing is confirmed.
#[test]
fn confirmation_can_be_switched_off() {
    let (mut mc, one, two) = pair();
    let mode = dpni::SetTxConfirmationMode { channel: 0, mode: 2 };
    mc.call(one.dpni, &mode).expect("no confirmation");
    send(&mut mc, &one, [2; 6], 100);
    assert!(take(&mut mc, one.confirm).is_empty());
    assert_eq!(take(&mut mc, two.rx).len(), 1);
}

#[test]
fn a_queue_drops_past_its_limit() {
    let (mut mc, one, two) = pair();
    let set = dpni::SetTaildrop {
        congestion_point: 0,
        queue_type: queue_type::RX,
        tc: 0,
        index: 0,
        channel: 0,
        drop: TailDrop { enable: true, overhead: 0, units: 0, threshold: 250 },
    };
    mc.call(two.dpni, &set).expect("a limit");
    for _ in 0..4 {
        send(&mut mc, &one, [2; 6], 100);
    }
    assert_eq!(take(&mut mc, two.rx).len(), 2);
    assert_eq!(two.statistics(&mut mc, 2)[1], 2);
    assert_eq!(two.statistics(&mut mc, 4)[..2], [2, 200]);
}

#[test]
fn without_its_pool_an_interface_has_no_buffers() {
    let (mut mc, one, two) = pair();
    mc.destroy(two.pool).expect("destroyed");
    send(&mut mc, &one, [2; 6], 100);
    assert_eq!(two.statistics(&mut mc, 2)[2], 1);
}

#[test]
fn a_destroyed_interface_leaves_nothing_behind() {
    let (mut mc, one, two) = pair();
    mc.destroy(two.id).expect("destroyed");
    send(&mut mc, &one, [2; 6], 100);
    assert_eq!(one.statistics(&mut mc, 2)[3], 1);
    assert_eq!(take(&mut mc, one.confirm).len(), 1);
    let fabric = mc.state.fabric.clone();
    let mut pass = crate::fabric::Pass::default();
    let refused = fabric.qbman().enqueue(two.rx, &Fd::default(), &mut pass);
    assert!(refused.is_err(), "its queues are nobody's");
}

/// A limit in frames: what exceeds it is counted by its colour, and dropped where
/// that is asked for.
#[test]
fn a_class_may_be_policed() {
    let mut mc = TestMc::new();
    let one = Nic::new(&mut mc, dpni::Create::default());
    let request = dpni::Create { options: options::HAS_POLICING, ..Default::default() };
    let two = Nic::new(&mut mc, request);
    mc.connect((one.id, 0), (two.id, 0)).expect("they fit");
    let police = |mc: &mut TestMc, options| {
        let policer = mc_abi::blocks::Policer {
            mode: 2,
            units: 1,
            options,
            committed_rate: 1,
            committed_burst: 1,
            excess_rate: 1,
            excess_burst: 3,
            ..Default::default()
        };
        mc.call(two.dpni, &dpni::SetRxTcPolicing { tc: 0, policer }).expect("a policer");
    };
    police(&mut mc, 2);
    for _ in 0..5 {
        send(&mut mc, &one, [2; 6], 100);
    }
    assert_eq!(take(&mut mc, two.rx).len(), 3);
    assert_eq!(two.statistics(&mut mc, 5)[..3], [2, 2, 1], "red, yellow, green");
    assert_eq!(two.statistics(&mut mc, 2)[1], 2);
    // The same limit once more: nothing is filled up by that. Red frames pass now.
    police(&mut mc, 0);
    send(&mut mc, &one, [2; 6], 100);
    assert_eq!(take(&mut mc, two.rx).len(), 1);
    assert_eq!(two.statistics(&mut mc, 5)[0], 3);
    mc.call(two.dpni, &dpni::ResetStatistics {}).expect("reset");
    assert_eq!(two.statistics(&mut mc, 5), [0; 7]);
}

/// Linux's `tbf` and DPDK's traffic manager: a rate holds frames back, and no rate lets them go.
#[test]
fn a_rate_that_commands_set_holds_frames_back() {
    let (mut mc, one, two) = pair();
    let slow = dpni::SetTxShaping {
        committed_rate: 1,
        committed_burst: 2000,
        ..dpni::SetTxShaping::default()
    };
    mc.call(one.dpni, &slow).expect("a rate");
    for _ in 0..5 {
        send(&mut mc, &one, [2; 6], 1000);
    }
    assert_eq!(take(&mut mc, two.rx).len(), 2);
    assert!(mc.state.fabric.wriop().deadline().is_some());
    mc.call(one.dpni, &dpni::SetTxShaping::default()).expect("no rate");
    mc.run_engines();
    assert_eq!(take(&mut mc, two.rx).len(), 3);
}

/// Eight classes: two groups, the second one first, beside strict priorities.
#[test]
fn priorities_that_commands_set_order_frames() {
    let mut mc = TestMc::new();
    let request = dpni::Create { num_tcs: 8, ..dpni::Create::default() };
    let one = Nic::new(&mut mc, request);
    let two = Nic::new(&mut mc, dpni::Create::default());
    mc.connect((one.id, 0), (two.id, 0)).expect("they fit");
    mc.call(one.dpni, &common_disable()).expect("disabled");
    // Classes 0 and 1 in group A, 2 and 3 in group B, the others strict.
    let set = dpni::SetTxPriorities {
        separate_groups: true,
        priority_a: 5,
        priority_b: 4,
        modes: [0x11, 0x22, 0, 0],
        weights: [100; 8],
        ..dpni::SetTxPriorities::default()
    };
    mc.call(one.dpni, &set).expect("priorities");
    let fabric = mc.state.fabric.clone();
    for class in 0..8 {
        let fqid = queue(&mut mc, one.dpni, queue_type::TX, class, 0);
        // Its length tells where it comes from.
        let length_word = 100 + u32::from(class);
        let fd = Fd { address: 0xf0_0000, length_word, ..Fd::default() };
        fabric.qbman().enqueue(fqid, &fd, &mut mc.state.pass).expect("room");
    }
    mc.call(one.dpni, &Enable {}).expect("enabled");
    mc.run_engines();
    let mut classes: Vec<u32> = take(&mut mc, two.rx).iter().map(|fd| fd.length() - 100).collect();
    // Those of a group in any order.
    classes[1..3].sort_unstable();
    classes[4..6].sort_unstable();
    assert_eq!(classes, [4, 2, 3, 5, 0, 1, 6, 7]);
}
