// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Interfaces behind Ethernet ports, as commands set them up.

use super::{
    frames::{Nic, send_bytes, take},
    *,
};
use crate::mc::dpmac as ports;
use mc_abi::blocks::LinkConfig;

fn connected() -> (TestMc, Nic, ObjectId, Token) {
    let mut mc = TestMc::new();
    let nic = Nic::new(&mut mc, dpni::Create::default());
    let (id, port) = super::port(&mut mc, 3);
    mc.connect((nic.id, 0), (id, 0)).expect("they fit");
    (mc, nic, id, port)
}

fn receive(mc: &mut TestMc, port: u32, frame: &[u8]) {
    let fabric = mc.state.fabric.clone();
    let (qbman, memory) = (fabric.qbman(), fabric.memory());
    fabric.wriop().receive(port, frame, qbman, memory, &mut mc.state.pass);
}

fn counter(mc: &mut TestMc, port: Token, counter: u8) -> u64 {
    mc.call(port, &dpmac::GetCounter { counter }).expect("a counter").value
}

/// `DPMAC_CNT_ING_GOOD_FRAME` and `DPMAC_CNT_EGR_GOOD_FRAME`.
const RECEIVED: u8 = 26;
const SENT: u8 = 27;

#[test]
fn a_port_passes_frames_both_ways_and_counts_them() {
    let (mut mc, nic, id, port) = connected();
    receive(&mut mc, id.id, &[2; 100]);
    assert_eq!(take(&mut mc, nic.rx).len(), 1);
    send_bytes(&mut mc, &nic, &[2; 100]);
    assert_eq!(take(&mut mc, nic.confirm).len(), 1);
    assert_eq!((counter(&mut mc, port, RECEIVED), counter(&mut mc, port, SENT)), (1, 1));
    // As many counters at once as software asks for, in guest memory.
    let icid = mc.icid();
    let numbers = [u32::from(SENT), 15].map(u32::to_le_bytes).concat();
    mc.state.fabric.memory().write(icid, 0x4000, &numbers).expect("memory");
    let get = dpni::GetMacStatistics { numbers_iova: 0x4000, values_iova: 0x5000, count: 2 };
    mc.call(nic.dpni, &get).expect("counters");
    let mut values = [0; 16];
    mc.state.fabric.memory().read(icid, 0x5000, &mut values).expect("memory");
    assert_eq!(values, *[1u64, 104].map(u64::to_le_bytes).concat());
    let direct = dpmac::GetStatistics { numbers_iova: 0x4000, values_iova: 0x6000, count: 2 };
    mc.call(port, &direct).expect("counters");
    let nowhere = dpni::GetMacStatistics { values_iova: 0x1_0000_0000, ..get.clone() };
    assert_eq!(mc.call(nic.dpni, &nowhere), Err(Status::DmaError));
    let many = dpni::GetMacStatistics { count: u32::MAX, ..get };
    assert_eq!(mc.call(nic.dpni, &many), Err(Status::ConfigurationError));
}

#[test]
fn the_link_follows_the_wire() {
    let (mut mc, nic, id, _) = connected();
    assert!(up(&mut mc, nic.dpni));
    happened(&mut mc, nic.dpni);
    ports::set_wire(&mut mc.state, id.id, false);
    mc.state.program();
    assert!(!up(&mut mc, nic.dpni));
    assert_eq!(happened(&mut mc, nic.dpni), events::LINK_CHANGED);
    receive(&mut mc, id.id, &[2; 100]);
    assert!(take(&mut mc, nic.rx).is_empty());
    send_bytes(&mut mc, &nic, &[2; 100]);
    assert_eq!(nic.statistics(&mut mc, 2)[3], 1, "discarded");
    // Twice is once.
    ports::set_wire(&mut mc.state, id.id, true);
    ports::set_wire(&mut mc.state, id.id, true);
    mc.state.program();
    assert!(up(&mut mc, nic.dpni));
    receive(&mut mc, id.id, &[2; 100]);
    assert_eq!(take(&mut mc, nic.rx).len(), 1);
}

#[test]
fn a_port_that_is_disconnected_or_gone_passes_nothing() {
    let (mut mc, nic, id, port) = connected();
    let disconnect = mc_abi::dprc::Disconnect { kind: nic.id.kind, id: nic.id.id, interface: 0 };
    let root = mc.root;
    mc.call(root, &disconnect).expect("undone");
    receive(&mut mc, id.id, &[2; 100]);
    assert!(take(&mut mc, nic.rx).is_empty());
    assert_eq!(counter(&mut mc, port, 9), 1, "discarded");
    mc.destroy(id).expect("destroyed");
    receive(&mut mc, id.id, &[2; 100]);
    assert!(take(&mut mc, nic.rx).is_empty());
}

#[test]
fn a_port_in_loopback_sends_everything_back() {
    let (mut mc, nic, _, port) = connected();
    let set = dpni::SetPortCfg { flags: 1, loopback: true };
    mc.call(nic.dpni, &set).expect("loopback");
    send_bytes(&mut mc, &nic, &[2; 100]);
    assert_eq!(take(&mut mc, nic.rx).len(), 1);
    assert_eq!(counter(&mut mc, port, SENT), 0);
}

#[test]
fn a_fixed_link_pauses_as_the_interface_wants() {
    use mc_abi::blocks::link_options::{ASYM_PAUSE, PAUSE};
    let (mut mc, nic, id, port) = connected();
    let mut pause = [0; 60];
    pause[..6].copy_from_slice(&[0x01, 0x80, 0xc2, 0, 0, 1]);
    pause[12..18].copy_from_slice(&[0x88, 0x08, 0, 1, 0xff, 0xff]);
    for (options, obeyed) in [(0, false), (ASYM_PAUSE, false), (PAUSE, true), (0, false)] {
        let link = LinkConfig { options, ..LinkConfig::default() };
        mc.call(nic.dpni, &dpni::SetLinkCfg { link }).expect("taken");
        let link = mc.call(nic.dpni, &dpni::GetLinkState {}).expect("a state").link;
        assert_eq!((link.up, link.options), (true, options));
        receive(&mut mc, id.id, &pause);
        send_bytes(&mut mc, &nic, &[2; 100]);
        // What has waited for the end of the pause is sent when that is forgotten.
        let sent = take(&mut mc, nic.confirm).len();
        assert_eq!(sent == 0, obeyed, "{options:#x}: {sent}");
    }
    // DPMAC_CNT_ING_VALID_PAUSE_FRAME
    assert_eq!(counter(&mut mc, port, 13), 4);
    assert_eq!(counter(&mut mc, port, SENT), 4);
}
