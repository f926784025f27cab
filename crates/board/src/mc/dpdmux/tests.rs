// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Demultiplexers as clients meet them.

use crate::mc::testing::Bench;
use mc_abi::{
    MacAddr, Message, ObjectId, Params, Status, Token,
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

fn make(bench: &mut Bench, method: u8) -> (ObjectId, Token) {
    bench.make(&request(method))
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
    let mut bench = Bench::new();
    let (id, dpdmux) = make(&mut bench, method::MAC);
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
    assert_eq!(bench.call(dpdmux, &dpdmux::GetAttributes {}).unwrap(), expected);
    assert!(bench.call(dpdmux, &IsEnabled {}).unwrap().enabled);
    // What older versions of the command lack.
    let older = bench.call_version(dpdmux, &dpdmux::GetAttributes {}, 2).unwrap();
    assert_eq!((older.num_ifs, older.max_dmat_entries), (2, 0));
    bench.destroy(id).unwrap();
    bench.assert_pools_full();
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut bench = Bench::new();
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
        assert_eq!(bench.create(&request), Err(Status::ConfigurationError), "{request:?}");
    }
}

/// Board observation: firmware 10.39 makes a connection of a demultiplexer and
/// a network interface, uplink or not, and does not undo it before one of the
/// two is destroyed.
#[test]
fn an_interface_leaves_a_demultiplexer_by_destruction_only() {
    let mut bench = Bench::new();
    let (id, _) = make(&mut bench, method::MAC);
    let up = bench.create(&dpni::Create::default()).unwrap();
    let down = bench.create(&dpni::Create::default()).unwrap();
    bench.connect((id, 0), (up, 0)).unwrap();
    bench.connect((id, 2), (down, 0)).unwrap();
    let refused = Err(Status::ConfigurationError);
    for ask in [disconnect(id, 0), disconnect(up, 0), disconnect(id, 2), disconnect(down, 0)] {
        assert_eq!(bench.call(bench.root, &ask), refused, "{ask:?}");
    }
    bench.destroy(up).unwrap();
    assert_eq!(bench.call(bench.root, &disconnect(id, 0)), Err(Status::NoResource));
    bench.destroy(id).unwrap();
    let other = bench.create(&dpni::Create::default()).unwrap();
    bench.connect((down, 0), (other, 0)).unwrap();
}

#[test]
fn ports_and_switches_come_and_go() {
    let mut bench = Bench::new();
    let (id, _) = make(&mut bench, method::MAC);
    let mac = bench.create(&dpmac::Create { mac: 3 }).unwrap();
    let dpsw = bench.create(&dpsw::Create { num_ifs: 1, ..Default::default() }).unwrap();
    assert_eq!(bench.connect((id, 1), (mac, 0)), Err(Status::ConfigurationError));
    assert_eq!(bench.connect((id, 0), (dpsw, 0)), Err(Status::ConfigurationError));
    assert_eq!(bench.connect((id, 3), (mac, 0)), Err(Status::NoResource));
    bench.connect((id, 0), (mac, 0)).unwrap();
    bench.connect((dpsw, 0), (id, 2)).unwrap();
    bench.call(bench.root, &disconnect(mac, 0)).unwrap();
    bench.call(bench.root, &disconnect(id, 2)).unwrap();
    bench.connect((id, 0), (mac, 0)).unwrap();
}

#[test]
fn a_link_is_up_while_both_ends_are_on() {
    let mut bench = Bench::new();
    let (id, dpdmux) = make(&mut bench, method::MAC);
    let (mac, _) = bench.make(&dpmac::Create { mac: 3 });
    let (ni, dpni) = bench.make(&dpni::Create::default());
    bench.connect((id, 0), (mac, 0)).unwrap();
    bench.connect((id, 1), (ni, 0)).unwrap();
    let link =
        |bench: &mut Bench, if_id| bench.call(dpdmux, &dpdmux::IfGetLinkState { if_id }).unwrap();
    assert!(link(&mut bench, 0).up && !link(&mut bench, 1).up);
    bench.call(dpdmux, &dpdmux::ClearIrqStatus { status: u32::MAX, index: 0 }).unwrap();
    bench.call(dpdmux, &dpdmux::ClearIrqStatus { status: u32::MAX, index: 0 }).unwrap();
    bench.call(dpni, &Enable {}).unwrap();
    assert!(link(&mut bench, 1).up);
    let ask = dpdmux::GetIrqStatus { status: 0, index: 0 };
    let status = bench.call(dpdmux, &ask).unwrap().status;
    assert_eq!(status, 1 << 16 | events::LINK_CHANGED);
    bench.call(dpdmux, &dpdmux::IfDisable { if_id: 1 }).unwrap();
    assert!(!bench.call(dpni, &dpni::GetLinkState {}).unwrap().up);
    bench.call(dpdmux, &dpdmux::IfEnable { if_id: 1 }).unwrap();
    assert!(bench.call(dpni, &dpni::GetLinkState {}).unwrap().up);
    bench.call(dpdmux, &Disable {}).unwrap();
    assert!(!link(&mut bench, 0).up && !link(&mut bench, 1).up);
    assert!(!bench.call(dpdmux, &dpdmux::IfGetAttributes { if_id: 1 }).unwrap().enabled);
}

#[test]
fn rules_follow_the_method() {
    let mut bench = Bench::new();
    let (_, by_mac) = make(&mut bench, method::MAC);
    let unicast = [2, 0, 0, 0, 0, 1];
    let group = [1, 0, 0x5e, 0, 0, 1];
    bench.call(by_mac, &rule(1, unicast, 0)).unwrap();
    // The VLAN does not count.
    let again = bench.call(by_mac, &rule(2, unicast, 9));
    assert_eq!(again, Err(Status::ConfigurationError));
    bench.call(by_mac, &rule(1, group, 0)).unwrap();
    bench.call(by_mac, &rule(2, group, 0)).unwrap();
    bench.call(by_mac, &unrule(1, unicast, 0)).unwrap();
    let gone = bench.call(by_mac, &unrule(1, unicast, 0));
    assert_eq!(gone, Err(Status::NoResource));
    assert_eq!(bench.call(by_mac, &rule(3, unicast, 0)), Err(Status::ConfigurationError));

    let (_, none) = make(&mut bench, method::NONE);
    assert_eq!(bench.call(none, &rule(1, unicast, 0)), Err(Status::ConfigurationError));
    let small =
        dpdmux::Create { max_dmat_entries: 3, max_vlan_ids: 1, ..request(method::C_VLAN_MAC) };
    let (_, both) = bench.make(&small);
    bench.call(both, &rule(1, unicast, 5)).unwrap();
    assert_eq!(bench.call(both, &rule(1, unicast, 6)), Err(Status::NoResource));
    bench.call(both, &rule(1, [2; 6], 5)).unwrap();
    bench.call(both, &rule(1, [4; 6], 5)).unwrap();
    assert_eq!(bench.call(both, &rule(1, [6; 6], 5)), Err(Status::NoResource));
}

/// What DPDK does, and what a reset leaves then.
#[test]
fn custom_rules_need_a_key_and_survive_a_reset_when_told_so() {
    let mut bench = Bench::new();
    let (_, dpdmux) = make(&mut bench, method::CUSTOM);
    let add = |key_iova| dpdmux::AddCustomClsEntry {
        key_size: 14,
        dest_if: 1,
        key_iova,
        mask_iova: 0x9000,
        ..Default::default()
    };
    bench.call(dpdmux, &dpdmux::IfSetDefault { if_id: 2 }).unwrap();
    let skip_reset_flags = skip_reset::MODIFY_DEFAULT_INTERFACE | skip_reset::UNICAST_RULES;
    bench.call(dpdmux, &dpdmux::SetResetable { skip_reset_flags }).unwrap();
    let errors = dpdmux::IfSetErrorsBehavior { errors: 0x8000_0020, action: 1, if_id: 0 };
    bench.call(dpdmux, &errors).unwrap();
    assert_eq!(bench.call(dpdmux, &add(0x1000)), Err(Status::InvalidState));
    let key = dpdmux::SetCustomKey { key_cfg_iova: 0x5000 };
    bench.call(dpdmux, &key).unwrap();
    bench.call(dpdmux, &add(0x1000)).unwrap();
    assert_eq!(bench.call(dpdmux, &key), Err(Status::InvalidState));
    bench.call(dpdmux, &Reset {}).unwrap();
    assert_eq!(bench.call(dpdmux, &key), Err(Status::InvalidState));
    assert_eq!(bench.call(dpdmux, &dpdmux::IfGetDefault {}).unwrap().if_id, 2);
    assert!(bench.call(dpdmux, &dpdmux::IfGetAttributes { if_id: 2 }).unwrap().is_default);
    let remove = dpdmux::RemoveCustomClsEntry { key_size: 14, key_iova: 0x2000, mask_iova: 0x9000 };
    bench.call(dpdmux, &remove).unwrap();
    assert_eq!(bench.call(dpdmux, &remove), Err(Status::NoResource));
    for at in 0..64 {
        bench.call(dpdmux, &add(at)).unwrap();
    }
    assert_eq!(bench.call(dpdmux, &add(99)), Err(Status::NoResource));
    bench.call(dpdmux, &dpdmux::SetResetable { skip_reset_flags: 0 }).unwrap();
    bench.call(dpdmux, &Reset {}).unwrap();
    bench.call(dpdmux, &key).unwrap();
    assert_eq!(bench.call(dpdmux, &dpdmux::IfGetDefault {}).unwrap().if_id, 0);
}

#[test]
fn a_reset_spares_the_default_interface_when_told_so() {
    let mut bench = Bench::new();
    let (_, dpdmux) = make(&mut bench, method::MAC);
    let skip_reset_flags = skip_reset::RESET_DEFAULT_INTERFACE;
    bench.call(dpdmux, &dpdmux::SetResetable { skip_reset_flags }).unwrap();
    bench.call(dpdmux, &dpdmux::IfSetDefault { if_id: 1 }).unwrap();
    for if_id in [1, 2] {
        bench.call(dpdmux, &dpdmux::IfSetAcceptedFrames { if_id, kind: 2, unaccepted: 0 }).unwrap();
    }
    bench.call(dpdmux, &Reset {}).unwrap();
    let accepted = |bench: &mut Bench, if_id| {
        bench.call(dpdmux, &dpdmux::IfGetAttributes { if_id }).unwrap().accepted_frames
    };
    assert_eq!((accepted(&mut bench, 1), accepted(&mut bench, 2)), (2, 0));
    let kept = bench.call(dpdmux, &dpdmux::GetResetable {}).unwrap();
    assert_eq!(kept.skip_reset_flags, skip_reset_flags);
}

#[test]
fn settings_come_back() {
    let mut bench = Bench::new();
    let (_, dpdmux) = make(&mut bench, method::MAC);
    bench.call(dpdmux, &dpdmux::SetMaxFrameLength { max_frame_length: 9000 }).unwrap();
    let length = bench.call(dpdmux, &dpdmux::GetMaxFrameLength { if_id: 2 }).unwrap();
    assert_eq!(length.max_frame_length, 9000);
    let limit = dpdmux::IfSetTaildrop { if_id: 2, enable: true, units: 2, threshold: 64 };
    bench.call(dpdmux, &limit).unwrap();
    let kept = bench.call(dpdmux, &dpdmux::IfGetTaildrop { if_id: 2 }).unwrap();
    assert_eq!((kept.enable, kept.units, kept.threshold), (true, 2, 64));
    let count = |if_id, kind| dpdmux::IfGetCounter { if_id, kind };
    assert_eq!(bench.call(dpdmux, &count(2, 11)).unwrap().counter, 0);
    for refused in [count(3, 0), count(0, 12)] {
        let outcome = bench.call(dpdmux, &refused).map(drop);
        assert_eq!(outcome, Err(Status::ConfigurationError));
    }
}

proptest! {
    /// No command, whatever it carries, panics or leaks.
    #[test]
    fn anything_goes(
        method in 0u8..6,
        commands in prop::collection::vec((0usize..200, 0u8..6, any::<[u8; 32]>()), 1..60),
    ) {
        let mut bench = Bench::new();
        let (id, dpdmux) = make(&mut bench, method);
        let (mac, _) = bench.make(&dpmac::Create { mac: 4 });
        bench.connect((id, 0), (mac, 0)).unwrap();
        for (which, version, bytes) in commands {
            let mut params = Params::ZERO;
            // Small numbers are the ones that pass the checks.
            for (slot, byte) in params.0.iter_mut().zip(bytes.iter().cycle()) {
                *slot = if *byte > 200 { *byte } else if *byte > 100 { byte % 4 } else { 0 };
            }
            let numbers = dpdmux::COMMANDS.iter().map(|row| row.number).chain([2, 3, 5, 0x14]);
            let number = numbers.clone().nth(which % numbers.count()).unwrap();
            let _ = bench.send(1, &Message::command(number, version, dpdmux, params));
        }
        bench.destroy(id).unwrap();
        bench.destroy(mac).unwrap();
        bench.assert_pools_full();
    }
}
