// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Demultiplexers as clients meet them.

use crate::mc::testing::TestMc;
use mc_abi::{
    MacAddr, Message, ObjectId, Params, Status, Token,
    blocks::TailDrop,
    common::{Disable, Enable, IsEnabled, Reset},
    dpdmux::{self, events, method, options, skip_reset},
    dpmac, dpni,
    dprc::Disconnect,
    dpsw,
};
use proptest::prelude::*;

fn request(method: u8) -> dpdmux::Create {
    dpdmux::Create { method, num_ifs: 2, options: options::BRIDGE_EN, ..Default::default() }
}

fn make(mc: &mut TestMc, method: u8) -> (ObjectId, Token) {
    mc.make(&request(method))
}

fn rule(if_id: u16, address: [u8; 6], vlan_id: u16) -> dpdmux::IfAddL2Rule {
    dpdmux::IfAddL2Rule { if_id, address: MacAddr(address), vlan_id }
}

fn unrule(if_id: u16, address: [u8; 6], vlan_id: u16) -> dpdmux::IfRemoveL2Rule {
    dpdmux::IfRemoveL2Rule { if_id, address: MacAddr(address), vlan_id }
}

fn disconnect(id: ObjectId, interface: u32) -> Disconnect {
    Disconnect { id: id.id, interface, kind: id.kind }
}

#[test]
fn defaults_are_those_of_the_headers() {
    let mut mc = TestMc::new();
    let (id, dpdmux) = make(&mut mc, method::MAC);
    let expected = dpdmux::GetAttributesReply {
        method: method::MAC,
        num_ifs: 2,
        id: id.id,
        options: options::BRIDGE_EN,
        max_dmat_entries: 128,
        max_mc_groups: 32,
        max_vlan_ids: 16,
        ..Default::default()
    };
    assert_eq!(mc.call(dpdmux, &dpdmux::GetAttributes {}).unwrap(), expected);
    assert!(mc.call(dpdmux, &IsEnabled {}).unwrap().enabled);
    // What older versions of the command lack.
    let older = mc.call_version(dpdmux, &dpdmux::GetAttributes {}, 2).unwrap();
    assert_eq!((older.num_ifs, older.max_dmat_entries), (2, 0));
    mc.destroy(id).unwrap();
    mc.assert_pools_full();
}

/// Each interface has a profile: they run out, and come back.
#[test]
fn demultiplexers_run_out_and_come_back() {
    let mut mc = TestMc::new();
    let profiles = mc.state.pools.ifp.free();
    let largest = dpdmux::Create { num_ifs: 63, ..request(method::MAC) };
    let made: Vec<_> = std::iter::from_fn(|| mc.create(&largest).ok()).take(100).collect();
    assert_eq!(made.len() as u32, profiles / 64);
    assert_eq!(mc.create(&largest), Err(Status::NoResource));
    let smallest = dpdmux::Create { num_ifs: 1, ..request(method::MAC) };
    let rest = std::iter::from_fn(|| mc.create(&smallest).ok()).take(100).count() as u32;
    assert_eq!(rest, profiles % 64 / 2);
    assert_eq!(mc.create(&smallest), Err(Status::NoResource));
    mc.destroy(made[0]).unwrap();
    assert_eq!(mc.create(&largest), Ok(made[0]));
}

#[test]
fn malformed_requests_are_refused() {
    let mut mc = TestMc::new();
    let bad = |change: fn(&mut dpdmux::Create)| {
        let mut request = request(method::MAC);
        change(&mut request);
        request
    };
    for request in [
        bad(|r| r.num_ifs = 0),
        bad(|r| r.num_ifs = u16::MAX),
        bad(|r| r.method = 6),
        bad(|r| r.manip = 2),
        bad(|r| r.options = 1),
        bad(|r| r.default_if = 3),
        bad(|r| r.custom_key_size = 8),
        bad(|r| (r.method, r.custom_key_size) = (method::CUSTOM, 57)),
    ] {
        assert_eq!(mc.create(&request), Err(Status::ConfigurationError), "{request:?}");
    }
}

/// Board observation: firmware 10.39 makes a connection of a demultiplexer and
/// a network interface, uplink or not, and does not undo it before one of the
/// two is destroyed.
#[test]
fn an_interface_leaves_a_demultiplexer_by_destruction_only() {
    let mut mc = TestMc::new();
    let (id, _) = make(&mut mc, method::MAC);
    let up = mc.create(&dpni::Create::default()).unwrap();
    let down = mc.create(&dpni::Create::default()).unwrap();
    mc.connect((id, 0), (up, 0)).unwrap();
    mc.connect((id, 2), (down, 0)).unwrap();
    let refused = Err(Status::ConfigurationError);
    for ask in [disconnect(id, 0), disconnect(up, 0), disconnect(id, 2), disconnect(down, 0)] {
        assert_eq!(mc.call(mc.root, &ask), refused, "{ask:?}");
    }
    mc.destroy(up).unwrap();
    assert_eq!(mc.call(mc.root, &disconnect(id, 0)), Err(Status::NoResource));
    mc.destroy(id).unwrap();
    let other = mc.create(&dpni::Create::default()).unwrap();
    mc.connect((down, 0), (other, 0)).unwrap();
}

#[test]
fn ports_and_switches_come_and_go() {
    let mut mc = TestMc::new();
    let (id, _) = make(&mut mc, method::MAC);
    let mac = mc.create(&dpmac::Create { mac: 3 }).unwrap();
    let dpsw = mc.create(&dpsw::Create { num_ifs: 1, ..Default::default() }).unwrap();
    assert_eq!(mc.connect((id, 1), (mac, 0)), Err(Status::ConfigurationError));
    assert_eq!(mc.connect((id, 0), (dpsw, 0)), Err(Status::ConfigurationError));
    assert_eq!(mc.connect((id, 3), (mac, 0)), Err(Status::NoResource));
    mc.connect((id, 0), (mac, 0)).unwrap();
    mc.connect((dpsw, 0), (id, 2)).unwrap();
    mc.call(mc.root, &disconnect(mac, 0)).unwrap();
    mc.call(mc.root, &disconnect(id, 2)).unwrap();
    mc.connect((id, 0), (mac, 0)).unwrap();
}

#[test]
fn a_link_is_up_while_both_ends_are_on() {
    let mut mc = TestMc::new();
    let (id, dpdmux) = make(&mut mc, method::MAC);
    let (mac, _) = mc.make(&dpmac::Create { mac: 3 });
    let (ni, dpni) = mc.make(&dpni::Create::default());
    mc.connect((id, 0), (mac, 0)).unwrap();
    mc.connect((id, 1), (ni, 0)).unwrap();
    let link =
        |mc: &mut TestMc, if_id| mc.call(dpdmux, &dpdmux::IfGetLinkState { if_id }).unwrap().link;
    assert!(link(&mut mc, 0).up && !link(&mut mc, 1).up);
    mc.call(dpdmux, &dpdmux::ClearIrqStatus { status: u32::MAX, index: 0 }).unwrap();
    mc.call(dpdmux, &dpdmux::ClearIrqStatus { status: u32::MAX, index: 0 }).unwrap();
    mc.call(dpni, &Enable {}).unwrap();
    assert!(link(&mut mc, 1).up);
    let ask = dpdmux::GetIrqStatus { status: 0, index: 0 };
    let status = mc.call(dpdmux, &ask).unwrap().status;
    assert_eq!(status, 1 << 16 | events::LINK_CHANGED);
    mc.call(dpdmux, &dpdmux::IfDisable { if_id: 1 }).unwrap();
    assert!(!mc.call(dpni, &dpni::GetLinkState {}).unwrap().link.up);
    mc.call(dpdmux, &dpdmux::IfEnable { if_id: 1 }).unwrap();
    assert!(mc.call(dpni, &dpni::GetLinkState {}).unwrap().link.up);
    mc.call(dpdmux, &Disable {}).unwrap();
    assert!(!link(&mut mc, 0).up && !link(&mut mc, 1).up);
    assert!(!mc.call(dpdmux, &dpdmux::IfGetAttributes { if_id: 1 }).unwrap().enabled);
}

#[test]
fn rules_follow_the_method() {
    let mut mc = TestMc::new();
    let (_, by_mac) = make(&mut mc, method::MAC);
    let unicast = [2, 0, 0, 0, 0, 1];
    let group = [1, 0, 0x5e, 0, 0, 1];
    mc.call(by_mac, &rule(1, unicast, 0)).unwrap();
    // The VLAN does not count.
    let again = mc.call(by_mac, &rule(2, unicast, 9));
    assert_eq!(again, Err(Status::ConfigurationError));
    mc.call(by_mac, &rule(1, group, 0)).unwrap();
    mc.call(by_mac, &rule(2, group, 0)).unwrap();
    mc.call(by_mac, &unrule(1, unicast, 0)).unwrap();
    let gone = mc.call(by_mac, &unrule(1, unicast, 0));
    assert_eq!(gone, Err(Status::NoResource));
    assert_eq!(mc.call(by_mac, &rule(3, unicast, 0)), Err(Status::ConfigurationError));

    let (_, none) = make(&mut mc, method::NONE);
    assert_eq!(mc.call(none, &rule(1, unicast, 0)), Err(Status::ConfigurationError));
    let small =
        dpdmux::Create { max_dmat_entries: 3, max_vlan_ids: 1, ..request(method::C_VLAN_MAC) };
    let (_, both) = mc.make(&small);
    mc.call(both, &rule(1, unicast, 5)).unwrap();
    assert_eq!(mc.call(both, &rule(1, unicast, 6)), Err(Status::NoResource));
    mc.call(both, &rule(1, [2; 6], 5)).unwrap();
    mc.call(both, &rule(1, [4; 6], 5)).unwrap();
    assert_eq!(mc.call(both, &rule(1, [6; 6], 5)), Err(Status::NoResource));
}

/// What DPDK does, and what a reset leaves then.
#[test]
fn custom_rules_need_a_key_and_survive_a_reset_when_told_so() {
    let mut mc = TestMc::new();
    let (_, dpdmux) = make(&mut mc, method::CUSTOM);
    let add = |key_iova| dpdmux::AddCustomClsEntry {
        key_size: 14,
        dest_if: 1,
        key_iova,
        mask_iova: 0x9000,
        ..Default::default()
    };
    mc.call(dpdmux, &dpdmux::IfSetDefault { if_id: 2 }).unwrap();
    let skip_reset_flags = skip_reset::MODIFY_DEFAULT_INTERFACE | skip_reset::UNICAST_RULES;
    mc.call(dpdmux, &dpdmux::SetResetable { skip_reset_flags }).unwrap();
    let errors = dpdmux::IfSetErrorsBehavior { errors: 0x8000_0020, action: 1, if_id: 0 };
    mc.call(dpdmux, &errors).unwrap();
    assert_eq!(mc.call(dpdmux, &add(0x1000)), Err(Status::InvalidState));
    let key = dpdmux::SetCustomKey { key_cfg_iova: 0x5000 };
    mc.call(dpdmux, &key).unwrap();
    mc.call(dpdmux, &add(0x1000)).unwrap();
    assert_eq!(mc.call(dpdmux, &key), Err(Status::InvalidState));
    mc.call(dpdmux, &Reset {}).unwrap();
    assert_eq!(mc.call(dpdmux, &key), Err(Status::InvalidState));
    assert_eq!(mc.call(dpdmux, &dpdmux::IfGetDefault {}).unwrap().if_id, 2);
    assert!(mc.call(dpdmux, &dpdmux::IfGetAttributes { if_id: 2 }).unwrap().is_default);
    // Another place, the same bytes.
    let remove = dpdmux::RemoveCustomClsEntry { key_size: 14, key_iova: 0x2000, mask_iova: 0x9000 };
    mc.call(dpdmux, &remove).unwrap();
    assert_eq!(mc.call(dpdmux, &remove), Err(Status::NoResource));
    for at in 1..65 {
        mc.call(dpdmux, &add(at)).unwrap();
    }
    assert_eq!(mc.call(dpdmux, &add(99)), Err(Status::NoResource));
    mc.call(dpdmux, &dpdmux::SetResetable { skip_reset_flags: 0 }).unwrap();
    mc.call(dpdmux, &Reset {}).unwrap();
    mc.call(dpdmux, &key).unwrap();
    assert_eq!(mc.call(dpdmux, &dpdmux::IfGetDefault {}).unwrap().if_id, 0);
}

#[test]
fn a_reset_spares_the_default_interface_when_told_so() {
    let mut mc = TestMc::new();
    let (_, dpdmux) = make(&mut mc, method::MAC);
    let skip_reset_flags = skip_reset::RESET_DEFAULT_INTERFACE;
    mc.call(dpdmux, &dpdmux::SetResetable { skip_reset_flags }).unwrap();
    mc.call(dpdmux, &dpdmux::IfSetDefault { if_id: 1 }).unwrap();
    for if_id in [1, 2] {
        mc.call(dpdmux, &dpdmux::IfSetAcceptedFrames { if_id, kind: 2, unaccepted: 0 }).unwrap();
    }
    mc.call(dpdmux, &Reset {}).unwrap();
    let accepted = |mc: &mut TestMc, if_id| {
        mc.call(dpdmux, &dpdmux::IfGetAttributes { if_id }).unwrap().accepted_frames
    };
    assert_eq!((accepted(&mut mc, 1), accepted(&mut mc, 2)), (2, 0));
    let kept = mc.call(dpdmux, &dpdmux::GetResetable {}).unwrap();
    assert_eq!(kept.skip_reset_flags, skip_reset_flags);
}

/// 0 says that there is no default interface, not that it is the uplink.
#[test]
fn a_reset_spares_the_default_interface_only_where_there_is_one() {
    let mut mc = TestMc::new();
    let (_, dpdmux) = make(&mut mc, method::MAC);
    let skip_reset_flags = skip_reset::RESET_DEFAULT_INTERFACE;
    mc.call(dpdmux, &dpdmux::SetResetable { skip_reset_flags }).unwrap();
    let accepted = dpdmux::IfSetAcceptedFrames { if_id: 0, kind: 2, unaccepted: 0 };
    mc.call(dpdmux, &accepted).unwrap();
    mc.call(dpdmux, &Reset {}).unwrap();
    let uplink = mc.call(dpdmux, &dpdmux::IfGetAttributes { if_id: 0 }).unwrap();
    assert_eq!(uplink.accepted_frames, 0);
}

/// Its links are what they were: nothing has happened.
#[test]
fn a_reset_is_no_change_of_a_link() {
    let mut mc = TestMc::new();
    let (id, dpdmux) = make(&mut mc, method::MAC);
    let mac = mc.create(&dpmac::Create { mac: 3 }).unwrap();
    mc.connect((id, 0), (mac, 0)).unwrap();
    mc.listen(dpdmux, 0, 0x1000);
    mc.messages();
    mc.call(dpdmux, &Reset {}).unwrap();
    assert!(mc.messages().is_empty());
    let ask = dpdmux::GetIrqStatus { status: 0, index: 0 };
    assert_eq!(mc.call(dpdmux, &ask).unwrap().status, 0);
    // What happens later is told.
    mc.call(dpdmux, &dpdmux::IfDisable { if_id: 0 }).unwrap();
    assert_eq!(mc.messages().len(), 1);
    assert_eq!(mc.call(dpdmux, &ask).unwrap().status, events::LINK_CHANGED);
}

#[test]
fn the_longest_frame_is_that_of_the_interface_behind_where_it_is_to_be() {
    let mut mc = TestMc::new();
    let automatic = options::BRIDGE_EN | options::AUTO_MAX_FRAME_LEN;
    for (options, expected) in [(options::BRIDGE_EN, [1000; 3]), (automatic, [1000, 9000, 1000])] {
        let (id, dpdmux) = mc.make(&dpdmux::Create { options, ..request(method::MAC) });
        let (ni, dpni) = mc.make(&dpni::Create::default());
        mc.call(dpdmux, &dpdmux::SetMaxFrameLength { max_frame_length: 1000 }).unwrap();
        mc.connect((id, 1), (ni, 0)).unwrap();
        mc.call(dpni, &dpni::SetMaxFrameLength { length: 9000 }).unwrap();
        let length = |mc: &mut TestMc, if_id| {
            let get = dpdmux::GetMaxFrameLength { if_id };
            mc.call(dpdmux, &get).unwrap().max_frame_length
        };
        assert_eq!([0, 1, 2].map(|if_id| length(&mut mc, if_id)), expected);
        // And of frames: one that goes up from the interface.
        mc.call(dpni, &Enable {}).unwrap();
        let discarded = |mc: &mut TestMc| {
            let count = dpdmux::IfGetCounter { if_id: 1, kind: 3 };
            mc.call(dpdmux, &count).unwrap().counter
        };
        let send = |mc: &mut TestMc, length: u32| {
            let qdid = mc.call(dpni, &dpni::GetQdid { queue_type: 1 }).unwrap().qdid;
            let fabric = mc.state.fabric.clone();
            let fqid = fabric.qbman().destination_queue(mc.icid(), qdid.into(), 0, 0);
            let fd = qbman_abi::Fd { address: 0x8000, length_word: length, ..Default::default() };
            fabric.qbman().enqueue(fqid.unwrap(), &fd, &mut mc.state.pass).unwrap();
            mc.run_engines();
        };
        send(&mut mc, 2000);
        let too_long = u64::from(expected[1] < 2000);
        assert_eq!(discarded(&mut mc), too_long);
        mc.call(dpni, &dpni::SetMaxFrameLength { length: 1600 }).unwrap();
        send(&mut mc, 2000);
        assert_eq!(discarded(&mut mc), too_long + 1);
        // Where software says so, they pass all the same.
        let errors = dpdmux::IfSetErrorsBehavior { errors: 0x2000, action: 1, if_id: 1 };
        mc.call(dpdmux, &errors).unwrap();
        send(&mut mc, 2000);
        assert_eq!(discarded(&mut mc), too_long + 1);
    }
}

#[test]
fn settings_come_back() {
    let mut mc = TestMc::new();
    let (_, dpdmux) = make(&mut mc, method::MAC);
    mc.call(dpdmux, &dpdmux::SetMaxFrameLength { max_frame_length: 9000 }).unwrap();
    let length = mc.call(dpdmux, &dpdmux::GetMaxFrameLength { if_id: 2 }).unwrap();
    assert_eq!(length.max_frame_length, 9000);
    let limit = TailDrop { enable: true, units: 2, threshold: 64, overhead: 0 };
    mc.call(dpdmux, &dpdmux::IfSetTaildrop { if_id: 2, drop: limit }).unwrap();
    let kept = mc.call(dpdmux, &dpdmux::IfGetTaildrop { if_id: 2 }).unwrap();
    assert_eq!(kept.drop, limit);
    let count = |if_id, kind| dpdmux::IfGetCounter { if_id, kind };
    assert_eq!(mc.call(dpdmux, &count(2, 11)).unwrap().counter, 0);
    for refused in [count(3, 0), count(0, 12)] {
        let outcome = mc.call(dpdmux, &refused).map(drop);
        assert_eq!(outcome, Err(Status::ConfigurationError));
    }
}

/// A port above, a network interface below, by commands alone.
#[test]
fn frames_pass_as_commands_have_set_it_up() {
    let mut mc = TestMc::new();
    let (id, dpdmux) = make(&mut mc, method::MAC);
    let macs = [3, 4].map(|mac| mc.make(&dpmac::Create { mac }).0);
    mc.connect((id, 0), (macs[0], 0)).unwrap();
    let (ni, dpni) = mc.make(&dpni::Create::default());
    mc.connect((id, 2), (ni, 0)).unwrap();
    mc.call(dpni, &Enable {}).unwrap();
    mc.call(dpdmux, &rule(2, [2, 0, 0, 0, 0, 1], 0)).unwrap();
    let mut frame = [0x88; 60];
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    let fabric = mc.state.fabric.clone();
    fabric.receive(3, &frame);
    let count = |mc: &mut TestMc, if_id, kind| {
        mc.call(dpdmux, &dpdmux::IfGetCounter { if_id, kind }).unwrap().counter
    };
    assert_eq!((count(&mut mc, 0, 0), count(&mut mc, 2, 8), count(&mut mc, 1, 8)), (1, 1, 0));
    mc.call(dpdmux, &unrule(2, [2, 0, 0, 0, 0, 1], 0)).unwrap();
    fabric.receive(3, &frame);
    assert_eq!((count(&mut mc, 0, 0), count(&mut mc, 0, 2)), (1, 1));
    mc.call(dpdmux, &dpdmux::IfSetDefault { if_id: 2 }).unwrap();
    fabric.receive(3, &frame);
    assert_eq!(count(&mut mc, 2, 8), 2);
    mc.call(dpdmux, &dpdmux::UlResetCounters {}).unwrap();
    assert_eq!((count(&mut mc, 0, 0), count(&mut mc, 2, 8)), (0, 2));
    let dump = |table_type| dpdmux::DumpTable {
        table_type,
        iova_addr: 0x1000,
        iova_size: 4096,
        table_index: 0,
    };
    mc.call(dpdmux, &rule(1, [2, 0, 0, 0, 0, 7], 0)).unwrap();
    assert_eq!(mc.call(dpdmux, &dump(1)).unwrap().num_entries, 1);
    let mut entry = [0; 6];
    fabric.memory().read(mc.icid(), 0x1020, &mut entry).unwrap();
    assert_eq!(entry, [2, 0, 0, 0, 0, 7]);
    assert_eq!(mc.call(dpdmux, &dump(2)).unwrap().num_entries, 1);
    assert_eq!(mc.call(dpdmux, &dump(4)).map(drop), Err(Status::ConfigurationError));
    mc.destroy(id).unwrap();
}

proptest! {
    /// No command, whatever it carries, panics or leaks.
    #[test]
    fn anything_goes(
        method in 0u8..6,
        commands in prop::collection::vec((0usize..200, 0u8..6, any::<[u8; 32]>()), 1..60),
    ) {
        let mut mc = TestMc::new();
        let (id, dpdmux) = make(&mut mc, method);
        let (mac, _) = mc.make(&dpmac::Create { mac: 4 });
        mc.connect((id, 0), (mac, 0)).unwrap();
        for (which, version, bytes) in commands {
            let mut params = Params::ZERO;
            // Small numbers are the ones that pass the checks.
            for (slot, byte) in params.0.iter_mut().zip(bytes.iter().cycle()) {
                *slot = if *byte > 200 { *byte } else if *byte > 100 { byte % 4 } else { 0 };
            }
            let numbers = dpdmux::COMMANDS.iter().map(|row| row.number).chain([2, 3, 5, 0x14]);
            let number = numbers.clone().nth(which % numbers.count()).unwrap();
            let _ = mc.send(1, &Message::command(number, version, dpdmux, params));
        }
        mc.destroy(id).unwrap();
        mc.destroy(mac).unwrap();
        mc.assert_pools_full();
    }
}
