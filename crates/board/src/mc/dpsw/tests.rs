// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Switches as clients meet them.

use crate::{fabric::Message as Msi, mc::testing::TestMc};
use mc_abi::{
    MacAddr, Message, ObjectId, Params, Status, Token,
    blocks::{Destination, LinkConfig, LinkState, TailDrop},
    common::{Disable, Enable, Reset},
    dpbp, dpio, dpmac, dpni,
    dpsw::{self, control_queue, events, options},
};
use proptest::prelude::*;

fn request(num_ifs: u16) -> dpsw::Create {
    dpsw::Create { num_ifs, flooding_cfg: 1, broadcast_cfg: 1, ..Default::default() }
}

fn make(mc: &mut TestMc, num_ifs: u16) -> (ObjectId, Token) {
    mc.make(&request(num_ifs))
}

fn one(interface: u16) -> [u64; 4] {
    [1 << interface, 0, 0, 0]
}

fn link(mc: &mut TestMc, dpsw: Token, if_id: u16) -> LinkState {
    mc.call(dpsw, &dpsw::IfGetLinkState { if_id }).unwrap().link
}

/// What is shown, without forgetting it.
fn status(mc: &mut TestMc, dpsw: Token) -> u32 {
    mc.call(dpsw, &dpsw::GetIrqStatus { status: 0, index: 0 }).unwrap().status
}

fn clear(mc: &mut TestMc, dpsw: Token, status: u32) {
    mc.call(dpsw, &dpsw::ClearIrqStatus { status, index: 0 }).unwrap();
}

const fn shown(interface: u32, events: u32) -> u32 {
    interface << 16 | events
}

#[test]
fn defaults_are_those_of_the_headers() {
    let mut mc = TestMc::new();
    let (id, dpsw) = make(&mut mc, 4);
    let attributes = mc.call(dpsw, &dpsw::GetAttributes {}).unwrap();
    let expected = dpsw::GetAttributesReply {
        num_ifs: 4,
        max_fdbs: 16,
        num_fdbs: 1,
        max_vlans: 16,
        num_vlans: 1,
        max_fdb_entries: 1024,
        fdb_aging_time: 300,
        id: id.id,
        max_fdb_mc_groups: 32,
        flooding_cfg: 1,
        broadcast_cfg: 1,
        ..Default::default()
    };
    assert_eq!(attributes, expected);
    // Older clients get no replication settings.
    let older = mc.call_version(dpsw, &dpsw::GetAttributes {}, 1).unwrap();
    assert_eq!((older.num_ifs, older.flooding_cfg), (4, 0));
}

#[test]
fn what_cannot_be_made_leaves_nothing_taken() {
    let mut mc = TestMc::new();
    let bad = |change: fn(&mut dpsw::Create)| {
        let mut request = request(4);
        change(&mut request);
        request
    };
    for request in [
        bad(|r| r.num_ifs = 0),
        bad(|r| r.num_ifs = 65),
        bad(|r| r.options = 2),
        bad(|r| r.component_type = 2),
        bad(|r| r.flooding_cfg = 2),
        bad(|r| r.broadcast_cfg = 2),
        bad(|r| r.mem_size = 5),
    ] {
        assert_eq!(mc.create(&request), Err(Status::ConfigurationError), "{request:?}");
    }
    mc.assert_pools_full();
    let mut made = Vec::new();
    while let Ok(id) = mc.create(&request(64)) {
        made.push(id);
    }
    assert_eq!(mc.create(&request(64)), Err(Status::NoResource));
    assert_eq!(made.len(), 3, "255 queuing destinations");
    for id in made {
        mc.destroy(id).unwrap();
    }
    mc.assert_pools_full();
}

/// The commands of Linux's driver from its binding to a port that is up, in
/// their order and versions.
#[test]
fn linux_takes_the_switch_apart_and_sets_it_up() {
    let mut mc = TestMc::new();
    let (_, dpsw) = make(&mut mc, 2);
    let dpbp = mc.create(&dpbp::Create {}).unwrap();
    let dpio = mc.create(&dpio::Create { channel_mode: 1, num_priorities: 8 }).unwrap();
    mc.call(dpsw, &Reset {}).unwrap();
    for if_id in [0, 1] {
        let interfaces = one(if_id);
        mc.call(dpsw, &dpsw::IfDisable { if_id }).unwrap();
        mc.call(dpsw, &dpsw::IfSetStp { if_id, vlan_id: 1, state: 3 }).unwrap();
        mc.call(dpsw, &dpsw::VlanRemoveIfUntagged { vlan_id: 1, interfaces }).unwrap();
        mc.call(dpsw, &dpsw::IfSetTci { if_id, vlan_id: 4095, dei: false, pcp: 0 }).unwrap();
        mc.call(dpsw, &dpsw::VlanRemoveIf { vlan_id: 1, interfaces }).unwrap();
    }
    mc.call(dpsw, &dpsw::VlanRemove { vlan_id: 1 }).unwrap();
    mc.call(dpsw, &dpsw::FdbRemove { fdb_id: 0 }).unwrap();
    let queues = mc.call(dpsw, &dpsw::CtrlIfGetAttributes {}).unwrap();
    assert!(queues.rx_fqid != queues.tx_err_conf_fqid && queues.rx_fqid != 0);
    let mut pools = dpsw::CtrlIfSetPools { num_dpbp: 1, ..Default::default() };
    (pools.dpbp_id[0], pools.buffer_size[0]) = (dpbp.id, 4096);
    mc.call(dpsw, &pools).unwrap();
    for queue in [control_queue::RX, control_queue::TX_ERR_CONF] {
        let destination = Destination { kind: 1, id: dpio.id, priority: 0 };
        let set = dpsw::CtrlIfSetQueue { destination, queue, user_ctx: 0x1234, options: 3 };
        mc.call(dpsw, &set).unwrap();
    }
    let body = mc.state.body::<super::Switch>(0).unwrap();
    let rx = body.control.as_ref().unwrap().queue(control_queue::RX);
    assert_eq!((rx.user_ctx, rx.destination.id), (0x1234, dpio.id));
    mc.call(dpsw, &dpsw::CtrlIfEnable {}).unwrap();

    let mut qdids = Vec::new();
    for if_id in [0u16, 1] {
        qdids.push(mc.call(dpsw, &dpsw::IfGetAttributes { if_id }).unwrap().qdid);
        let add = dpsw::FdbAdd { fdb_aging_time: 0, num_fdb_entries: 512 };
        let fdb_id = mc.call(dpsw, &add).unwrap().fdb_id;
        assert_eq!(fdb_id, if_id);
        if if_id == 0 {
            mc.call(dpsw, &dpsw::VlanAdd { fdb_id, vlan_id: 1 }).unwrap();
        }
        let interfaces = one(if_id);
        let options = dpsw::VLAN_ADD_IF_FDB_ID;
        mc.call(dpsw, &dpsw::VlanAddIf { options, vlan_id: 1, fdb_id, interfaces }).unwrap();
        mc.call(dpsw, &dpsw::VlanAddIfUntagged { vlan_id: 1, interfaces }).unwrap();
        mc.call(dpsw, &dpsw::IfSetTci { if_id, vlan_id: 1, dei: false, pcp: 0 }).unwrap();
        for flood_type in [0, 1] {
            // The control interface has the number 2.
            let interfaces = 1 << if_id | 1 << 2;
            mc.call(dpsw, &dpsw::SetEgressFlood { fdb_id, flood_type, interfaces }).unwrap();
        }
        let acl_id = mc.call(dpsw, &dpsw::AclAdd { max_entries: 16 }).unwrap().acl_id;
        mc.call(dpsw, &dpsw::AclAddIf { acl_id, num_ifs: 1, interfaces }).unwrap();
        let trap = dpsw::AclAddEntry { acl_id, action: 3, key_iova: 0x1000, ..Default::default() };
        mc.call(dpsw, &trap).unwrap();
        let list = mc.call(dpsw, &dpsw::AclGetAttributes { acl_id }).unwrap();
        assert_eq!((list.max_entries, list.num_entries, list.num_ifs), (16, 1, 1));
        mc.call(dpsw, &dpsw::IfGetPortMacAddr { if_id }).unwrap();
        mc.call(dpsw, &dpsw::IfSetLearningMode { if_id, mode: 0 }).unwrap();
    }
    assert_ne!(qdids[0], qdids[1]);
    let vlan = mc.call(dpsw, &dpsw::VlanGetAttributes { vlan_id: 1 }).unwrap();
    assert_eq!((vlan.fdb_id, vlan.num_ifs, vlan.num_untagged_ifs), (0, 2, 2));
    // The second table is in use by an interface.
    let remove = mc.call(dpsw, &dpsw::FdbRemove { fdb_id: 1 });
    assert_eq!(remove, Err(Status::InvalidState));
    let attributes = mc.call(dpsw, &dpsw::GetAttributes {}).unwrap();
    assert_eq!((attributes.num_vlans, attributes.num_fdbs), (1, 2));
}

#[test]
fn a_link_is_up_while_both_ends_are_on() {
    let mut mc = TestMc::new();
    let (id, dpsw) = make(&mut mc, 4);
    let (mac, mac_token) = mc.make(&dpmac::Create { mac: 3 });
    let (ni, dpni) = mc.make(&dpni::Create::default());
    mc.connect((id, 2), (mac, 0)).unwrap();
    mc.connect((ni, 0), (id, 1)).unwrap();
    assert_eq!(mc.connect((id, 4), (id, 3)), Err(Status::NoResource));
    assert!(!link(&mut mc, dpsw, 2).up);
    mc.call(dpsw, &dpsw::IfEnable { if_id: 2 }).unwrap();
    let up = link(&mut mc, dpsw, 2);
    assert_eq!((up.up, up.rate), (true, 10_000));
    let address = mc.call(mac_token, &dpmac::GetMacAddr {}).unwrap().address;
    let reported = mc.call(dpsw, &dpsw::IfGetPortMacAddr { if_id: 2 }).unwrap().address;
    assert_eq!(reported, address);
    let wanted = LinkConfig { rate: 100, options: 1, advertising: 4 };
    mc.call(dpsw, &dpsw::IfSetLinkCfg { if_id: 2, link: wanted }).unwrap();
    assert_eq!(mc.call(mac_token, &dpmac::GetLinkCfg {}).unwrap().link, wanted);

    // The other side of a virtual link is notified as well.
    mc.call(dpni, &Enable {}).unwrap();
    assert!(!mc.call(dpni, &dpni::GetLinkState {}).unwrap().link.up);
    mc.call(dpsw, &dpsw::IfEnable { if_id: 1 }).unwrap();
    assert!(mc.call(dpni, &dpni::GetLinkState {}).unwrap().link.up);
    assert!(link(&mut mc, dpsw, 1).up);
    mc.call(dpni, &Disable {}).unwrap();
    assert!(!link(&mut mc, dpsw, 1).up);
    // The switch as a whole: all interfaces.
    mc.call(dpni, &Enable {}).unwrap();
    mc.call(dpsw, &Disable {}).unwrap();
    assert!(!link(&mut mc, dpsw, 1).up && !link(&mut mc, dpsw, 2).up);
    mc.call(dpsw, &Enable {}).unwrap();
    assert!(link(&mut mc, dpsw, 1).up && link(&mut mc, dpsw, 2).up);
    mc.call(dpsw, &Reset {}).unwrap();
    assert!(!mc.call(dpni, &dpni::GetLinkState {}).unwrap().link.up);
}

#[test]
fn interfaces_take_turns_in_the_status() {
    let mut mc = TestMc::new();
    let (id, dpsw) = make(&mut mc, 4);
    let (mac, _) = mc.make(&dpmac::Create { mac: 3 });
    mc.listen(dpsw, 0, 0x1000);
    mc.messages();
    mc.connect((id, 1), (id, 2)).unwrap();
    mc.connect((id, 3), (mac, 0)).unwrap();
    let messages = |mc: &mut TestMc| {
        let of = |message: &Msi| message.address == 0x1000;
        mc.messages().iter().filter(|message| of(message)).count()
    };
    assert_eq!(messages(&mut mc), 1);
    assert_eq!(status(&mut mc, dpsw), shown(1, events::ENDPOINT_CHANGED));
    mc.call(dpsw, &dpsw::IfEnable { if_id: 3 }).unwrap();
    assert_eq!(messages(&mut mc), 0);
    clear(&mut mc, dpsw, shown(1, events::ENDPOINT_CHANGED));
    assert_eq!(messages(&mut mc), 1);
    // What was seen of one interface forgets nothing of another.
    clear(&mut mc, dpsw, shown(1, events::ENDPOINT_CHANGED));
    let read = dpsw::GetIrqStatus { status: u32::MAX, index: 0 };
    let seen = mc.call(dpsw, &read).unwrap().status;
    assert_eq!(seen, shown(2, events::ENDPOINT_CHANGED));
    assert_eq!(messages(&mut mc), 1);
    let both = events::ENDPOINT_CHANGED | events::LINK_CHANGED;
    assert_eq!(status(&mut mc, dpsw), shown(3, both));
    clear(&mut mc, dpsw, shown(3, both));
    assert_eq!((status(&mut mc, dpsw), messages(&mut mc)), (0, 0));
}

/// An event that may not interrupt does not keep others from it.
#[test]
fn masked_events_let_others_pass() {
    let mut mc = TestMc::new();
    let (id, dpsw) = make(&mut mc, 4);
    let (mac, _) = mc.make(&dpmac::Create { mac: 3 });
    mc.connect((id, 0), (id, 1)).unwrap();
    mc.connect((id, 3), (mac, 0)).unwrap();
    mc.listen(dpsw, 0, 0x1000);
    let mask = mc_abi::common::SetIrqMask { mask: events::LINK_CHANGED, index: 0 };
    mc.call(dpsw, &mask).unwrap();
    mc.call(dpsw, &dpsw::IfEnable { if_id: 3 }).unwrap();
    assert_eq!(status(&mut mc, dpsw) >> 16, 3);
    clear(&mut mc, dpsw, shown(3, 3));
    assert_eq!(status(&mut mc, dpsw), shown(0, events::ENDPOINT_CHANGED));
}

#[test]
fn entries_come_back_and_tables_fill_up() {
    let mut mc = TestMc::new();
    let (_, dpsw) = make(&mut mc, 4);
    let fdb_id = {
        let add = dpsw::FdbAdd { fdb_aging_time: 60, num_fdb_entries: 2 };
        mc.call(dpsw, &add).unwrap().fdb_id
    };
    let unicast = |last| MacAddr([2, 0, 0, 0, 0, last]);
    let add = |address, if_egress| dpsw::FdbAddUnicast { fdb_id, address, if_egress, kind: 0 };
    mc.call(dpsw, &add(unicast(1), 3)).unwrap();
    let get = dpsw::FdbGetUnicast { fdb_id, address: unicast(1) };
    assert_eq!(mc.call(dpsw, &get).unwrap().if_egress, 3);
    mc.call(dpsw, &add(unicast(1), 2)).unwrap();
    assert_eq!(mc.call(dpsw, &get).unwrap().if_egress, 2);
    let group = MacAddr([1, 0, 0x5e, 0, 0, 1]);
    let join = |if_id| dpsw::FdbAddMulticast {
        fdb_id,
        num_ifs: 1,
        kind: 0,
        address: group,
        interfaces: one(if_id),
    };
    mc.call(dpsw, &join(0)).unwrap();
    mc.call(dpsw, &join(3)).unwrap();
    assert_eq!(mc.call(dpsw, &join(3)), Err(Status::ConfigurationError));
    let entry = mc.call(dpsw, &dpsw::FdbGetMulticast { fdb_id, address: group }).unwrap();
    assert_eq!((entry.num_ifs, entry.interfaces), (2, [0b1001, 0, 0, 0]));
    assert_eq!(mc.call(dpsw, &add(unicast(2), 0)), Err(Status::NoResource));
    let attributes = mc.call(dpsw, &dpsw::FdbGetAttributes { fdb_id }).unwrap();
    assert_eq!((attributes.max_fdb_entries, attributes.fdb_aging_time), (2, 60));
    assert_eq!((attributes.num_fdb_mc_groups, attributes.max_fdb_mc_groups), (1, 32));

    let refused = Err(Status::ConfigurationError);
    assert_eq!(mc.call(dpsw, &add(unicast(1), 4)), refused);
    assert_eq!(mc.call(dpsw, &add(group, 1)), refused);
    let gone = dpsw::FdbRemoveUnicast { fdb_id, address: unicast(1), if_egress: 2, kind: 0 };
    mc.call(dpsw, &gone).unwrap();
    assert_eq!(mc.call(dpsw, &gone), Err(Status::ConfigurationError));
    let leave = dpsw::FdbRemoveMulticast {
        fdb_id,
        num_ifs: 2,
        kind: 0,
        address: group,
        interfaces: [0b1001, 0, 0, 0],
    };
    mc.call(dpsw, &leave).unwrap();
    assert_eq!(mc.call(dpsw, &leave), Err(Status::NoResource));
}

#[test]
fn vlans_keep_their_sets_of_interfaces() {
    let mut mc = TestMc::new();
    let per_vlan = dpsw::Create { num_ifs: 3, max_vlans: 2, ..Default::default() };
    let (_, dpsw) = mc.make(&per_vlan);
    mc.call(dpsw, &dpsw::VlanAdd { fdb_id: 0, vlan_id: 100 }).unwrap();
    let again = dpsw::VlanAdd { fdb_id: 0, vlan_id: 100 };
    assert_eq!(mc.call(dpsw, &again), Err(Status::ConfigurationError));
    let third = dpsw::VlanAdd { fdb_id: 0, vlan_id: 101 };
    assert_eq!(mc.call(dpsw, &third), Err(Status::NoResource));
    let add =
        |bits| dpsw::VlanAddIf { vlan_id: 100, interfaces: [bits, 0, 0, 0], ..Default::default() };
    // Version 1 has neither options nor a table.
    mc.call_version(dpsw, &add(0b011), 1).unwrap();
    assert_eq!(mc.call(dpsw, &add(0b1000)), Err(Status::ConfigurationError));
    let untagged = |bits| dpsw::VlanAddIfUntagged { vlan_id: 100, interfaces: [bits, 0, 0, 0] };
    assert_eq!(mc.call(dpsw, &untagged(0b100)), Err(Status::ConfigurationError));
    mc.call(dpsw, &untagged(0b010)).unwrap();
    let interfaces = [0b001, 0, 0, 0];
    mc.call(dpsw, &dpsw::VlanAddIfFlooding { vlan_id: 100, interfaces }).unwrap();
    let vlan = mc.call(dpsw, &dpsw::VlanGetAttributes { vlan_id: 100 }).unwrap();
    assert_eq!((vlan.num_ifs, vlan.num_untagged_ifs, vlan.num_flooding_ifs), (2, 1, 1));
    let set = mc.call(dpsw, &dpsw::VlanGetIfUntagged { vlan_id: 100 }).unwrap();
    assert_eq!((set.num_ifs, set.interfaces[0]), (1, 0b010));
    mc.call(dpsw, &dpsw::VlanRemoveIf { vlan_id: 100, interfaces: [0b010, 0, 0, 0] }).unwrap();
    let set = mc.call(dpsw, &dpsw::VlanGetIf { vlan_id: 100 }).unwrap();
    assert_eq!((set.num_ifs, set.interfaces[0]), (1, 0b001));
    // Flooding is up to the VLANs here.
    let flood = dpsw::SetEgressFlood { fdb_id: 0, flood_type: 1, interfaces: 1 };
    assert_eq!(mc.call(dpsw, &flood), Err(Status::ConfigurationError));
    mc.call(dpsw, &Reset {}).unwrap();
    let set = mc.call(dpsw, &dpsw::VlanGetIf { vlan_id: 1 }).unwrap();
    assert_eq!((set.num_ifs, set.interfaces[0]), (3, 0b111));
}

#[test]
fn settings_of_an_interface_come_back() {
    let mut mc = TestMc::new();
    let (_, dpsw) = make(&mut mc, 2);
    let tci = dpsw::IfSetTci { if_id: 1, vlan_id: 77, dei: true, pcp: 5 };
    mc.call(dpsw, &tci).unwrap();
    let tag = mc.call(dpsw, &dpsw::IfGetTci { if_id: 1 }).unwrap();
    assert_eq!((tag.vlan_id, tag.dei, tag.pcp), (77, true, 5));
    mc.call(dpsw, &dpsw::IfSetAcceptedFrames { if_id: 1, kind: 3, unaccepted: 1 }).unwrap();
    mc.call(dpsw, &dpsw::IfSetAcceptAllVlan { if_id: 1, accept_all: true }).unwrap();
    let attributes = mc.call(dpsw, &dpsw::IfGetAttributes { if_id: 1 }).unwrap();
    assert_eq!((attributes.admit_untagged, attributes.num_tcs), (3, 8));
    assert!(attributes.accept_all_vlan && !attributes.enabled);
    mc.call(dpsw, &dpsw::IfSetMaxFrameLength { if_id: 1, frame_length: 9000 }).unwrap();
    let length = mc.call(dpsw, &dpsw::IfGetMaxFrameLength { if_id: 1 }).unwrap();
    assert_eq!(length.frame_length, 9000);
    let limit = dpsw::IfSetTaildrop {
        tc: 7,
        if_id: 1,
        drop: TailDrop { enable: true, units: 1, threshold: 0x1_0000, overhead: 0 },
    };
    mc.call(dpsw, &limit).unwrap();
    let kept = mc.call(dpsw, &dpsw::IfGetTaildrop { tc: 7, if_id: 1 }).unwrap();
    assert_eq!(kept.drop, limit.drop);
    let lag = dpsw::LagSet { group_id: 1, num_ifs: 2, if_id: [1, 0, 0, 0, 0, 0, 0, 0], phase: 0 };
    mc.call(dpsw, &dpsw::LagSet { phase: 1, ..lag.clone() }).unwrap();
    assert_eq!(mc.call(dpsw, &dpsw::LagGetCfg { group_id: 1 }).unwrap().num_ifs, 0);
    mc.call(dpsw, &lag).unwrap();
    let group = mc.call(dpsw, &dpsw::LagGetCfg { group_id: 1 }).unwrap();
    assert_eq!((group.num_ifs, &group.if_id[..2]), (2, &[1, 0][..]));
    let refused = Err(Status::ConfigurationError);
    assert_eq!(mc.call(dpsw, &dpsw::LagSet { group_id: 2, ..lag }), refused);
    assert_eq!(mc.call(dpsw, &dpsw::IfSetTci { if_id: 2, ..tci }), refused);
    assert_eq!(mc.call(dpsw, &dpsw::IfSetTaildrop { tc: 8, ..limit }), refused);
    let count = |counter| dpsw::IfSetCounter { if_id: 1, kind: 8, counter };
    mc.call(dpsw, &count(77)).unwrap();
    let get = dpsw::IfGetCounter { if_id: 1, kind: 8 };
    assert_eq!(mc.call(dpsw, &get).unwrap().counter, 77);
    assert_eq!(mc.call(dpsw, &dpsw::IfGetCounter { if_id: 2, kind: 8 }).map(drop), refused);
}

/// Bytes of guest memory.
fn read<const N: usize>(mc: &TestMc, at: u64) -> [u8; N] {
    let mut bytes = [0; N];
    mc.state.fabric.memory().read(mc.icid(), at, &mut bytes).unwrap();
    bytes
}

/// The layout of `struct fdb_dump_entry`, as Linux's driver reads it.
#[test]
fn entries_are_dumped_as_far_as_there_is_room() {
    let mut mc = TestMc::new();
    let (_, dpsw) = make(&mut mc, 4);
    let address = MacAddr([2, 1, 2, 3, 4, 5]);
    let add = dpsw::FdbAddUnicast { fdb_id: 0, address, if_egress: 3, kind: 0 };
    mc.call(dpsw, &add).unwrap();
    let group = MacAddr([1, 0, 0x5e, 0, 0, 1]);
    let interfaces = [0b1001, 0, 0, 0];
    let join =
        dpsw::FdbAddMulticast { num_ifs: 2, interfaces, address: group, ..Default::default() };
    mc.call(dpsw, &join).unwrap();
    let dump = |iova_size| dpsw::FdbDump { fdb_id: 0, iova_addr: 0x1000, iova_size };
    assert_eq!(mc.call(dpsw, &dump(64)).unwrap().num_entries, 2);
    assert_eq!(read(&mc, 0x1000), [1, 0, 0x5e, 0, 0, 1, 0, 2, 0b1001, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(read(&mc, 0x1010), [2, 1, 2, 3, 4, 5, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(mc.call(dpsw, &dump(31)).unwrap().num_entries, 1);
    let nowhere = dpsw::FdbDump { iova_addr: u64::MAX / 2, ..dump(64) };
    assert_eq!(mc.call(dpsw, &nowhere).map(drop), Err(Status::DmaError));
    // The same as a table of the hardware: a header, then entries of 140 bytes.
    let table =
        dpsw::DumpTable { table_type: 1, iova_addr: 0x2000, iova_size: 4096, table_index: 0 };
    assert_eq!(mc.call(dpsw, &table).unwrap().num_entries, 2);
    assert_eq!(read(&mc, 0x2000), [1, 0, 2, 0, 0, 4, 1, 0]);
    assert_eq!(read(&mc, 0x2000 + 32 + 140), [2, 1, 2, 3, 4, 5, 0, 0]);
    assert_eq!(read(&mc, 0x2000 + 32 + 140 + 112), [1, 3, 0]);
    for table_type in [2, 3] {
        let table = dpsw::DumpTable { table_type, ..table.clone() };
        assert_eq!(mc.call(dpsw, &table).unwrap().num_entries, 1);
    }
    let none = dpsw::DumpTable { table_type: 5, ..table };
    assert_eq!(mc.call(dpsw, &none).map(drop), Err(Status::ConfigurationError));
}

/// Linux gives each rule a fresh copy of its key.
#[test]
fn rules_are_known_by_what_their_keys_are() {
    let mut mc = TestMc::new();
    let (_, dpsw) = make(&mut mc, 2);
    let acl_id = mc.call(dpsw, &dpsw::AclAdd { max_entries: 2 }).unwrap().acl_id;
    let write = |mc: &TestMc, at: u64, byte: u8| {
        mc.state.fabric.memory().write(mc.icid(), at, &[byte; 66]).unwrap();
    };
    write(&mc, 0x1000, 1);
    write(&mc, 0x2000, 2);
    let add = |key_iova, precedence| dpsw::AclAddEntry {
        acl_id,
        action: 2,
        key_iova,
        precedence,
        ..Default::default()
    };
    mc.call(dpsw, &add(0x1000, 5)).unwrap();
    mc.call(dpsw, &add(0x2000, 5)).unwrap();
    assert_eq!(mc.call(dpsw, &add(0x2000, 6)), Err(Status::NoResource));
    let remove = |key_iova, precedence| dpsw::AclRemoveEntry {
        acl_id,
        action: 2,
        key_iova,
        precedence,
        ..Default::default()
    };
    assert_eq!(mc.call(dpsw, &remove(0x1000, 6)), Err(Status::NoResource));
    write(&mc, 0x3000, 1);
    mc.call(dpsw, &remove(0x3000, 5)).unwrap();
    assert_eq!(mc.call(dpsw, &remove(0x1000, 5)), Err(Status::NoResource));
    mc.call(dpsw, &remove(0x2000, 5)).unwrap();
    assert_eq!(mc.call(dpsw, &add(u64::MAX / 2, 5)), Err(Status::DmaError));
}

/// Linux's driver gives the filter that it is to try first the lowest number: its trap of
/// spanning tree frames 0, and those of `tc` by their priority.
#[test]
fn the_rule_with_the_lowest_number_is_tried_first() {
    let mut mc = TestMc::new();
    let (id, dpsw) = make(&mut mc, 2);
    for (port, mac) in [3, 4].into_iter().enumerate() {
        let mac = mc.create(&dpmac::Create { mac }).unwrap();
        mc.connect((id, port as u16), (mac, 0)).unwrap();
        mc.call(dpsw, &dpsw::IfEnable { if_id: port as u16 }).unwrap();
    }
    let acl_id = mc.call(dpsw, &dpsw::AclAdd { max_entries: 16 }).unwrap().acl_id;
    let interfaces = one(0);
    mc.call(dpsw, &dpsw::AclAddIf { acl_id, num_ifs: 1, interfaces }).unwrap();
    // All frames, and those to one station: the last byte of the address.
    let mut station = [0; 66];
    (station[0], station[32]) = (9, 0xff);
    mc.state.fabric.memory().write(mc.icid(), 0x1000, &[0; 66]).unwrap();
    mc.state.fabric.memory().write(mc.icid(), 0x2000, &station).unwrap();
    let add = |key_iova, action, precedence| dpsw::AclAddEntry {
        acl_id,
        action,
        key_iova,
        precedence,
        ..Default::default()
    };
    const DROP: u8 = 0;
    const ACCEPT: u8 = 2;
    mc.call(dpsw, &add(0x1000, DROP, 5)).unwrap();
    let fabric = mc.state.fabric.clone();
    let out = |mc: &mut TestMc, to| {
        let mut frame = [0x88; 60];
        frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, 1]);
        fabric.receive(3, &frame);
        let count = dpsw::IfGetCounter { if_id: 1, kind: 8 };
        mc.call(dpsw, &count).unwrap().counter
    };
    assert_eq!(out(&mut mc, 9), 0);
    mc.call(dpsw, &add(0x2000, ACCEPT, 6)).unwrap();
    assert_eq!(out(&mut mc, 9), 0, "after the one that drops it");
    mc.call(dpsw, &add(0x2000, ACCEPT, 5)).unwrap();
    assert_eq!(out(&mut mc, 9), 0, "of equal ones the older first");
    mc.call(dpsw, &add(0x2000, ACCEPT, 4)).unwrap();
    assert_eq!(out(&mut mc, 9), 1);
    assert_eq!(out(&mut mc, 8), 1);
}

/// However many tables there may be: they are memory of who runs the board.
#[test]
fn the_tables_of_a_switch_have_a_limit_together() {
    let mut mc = TestMc::new();
    let (_, dpsw) = mc.make(&dpsw::Create { max_fdbs: 255, ..request(4) });
    let add = |num_fdb_entries| dpsw::FdbAdd { fdb_aging_time: 0, num_fdb_entries };
    assert_eq!(mc.call(dpsw, &add(u16::MAX)).map(drop), Err(Status::NoResource));
    mc.call(dpsw, &add(60_000)).unwrap();
    // 1024 of the default table and these leave room for four of the default size.
    let made = std::iter::from_fn(|| mc.call(dpsw, &add(0)).ok()).take(255);
    let made: Vec<u16> = made.map(|added| added.fdb_id).collect();
    assert_eq!(made, [2, 3, 4, 5]);
    mc.call(dpsw, &dpsw::FdbRemove { fdb_id: 1 }).unwrap();
    mc.call(dpsw, &add(60_000)).unwrap();
    // As Linux's driver has it: without the default table, one for each interface.
    let largest = dpsw::Create { max_fdb_entries: u16::MAX, ..request(4) };
    let (_, dpsw) = mc.make(&largest);
    mc.call(dpsw, &dpsw::VlanRemove { vlan_id: 1 }).unwrap();
    mc.call(dpsw, &dpsw::FdbRemove { fdb_id: 0 }).unwrap();
    for _ in 0..4 {
        mc.call(dpsw, &add(u16::MAX / 4)).unwrap();
    }
}

/// A port, a network interface and software, by commands alone.
#[test]
fn frames_pass_as_commands_have_set_it_up() {
    let mut mc = TestMc::new();
    let (id, dpsw) = make(&mut mc, 3);
    let (mac, _) = mc.make(&dpmac::Create { mac: 3 });
    let (two, _) = mc.make(&dpmac::Create { mac: 4 });
    mc.connect((id, 0), (mac, 0)).unwrap();
    mc.connect((id, 1), (two, 0)).unwrap();
    let (pool, dpbp) = mc.make(&dpbp::Create {});
    let bpid = mc.call(dpbp, &dpbp::GetAttributes {}).unwrap().bpid;
    let mut pools = dpsw::CtrlIfSetPools { num_dpbp: 1, ..Default::default() };
    (pools.dpbp_id[0], pools.buffer_size[0]) = (pool.id, 2048);
    mc.call(dpsw, &pools).unwrap();
    let fabric = mc.state.fabric.clone();
    let icid = mc.icid();
    fabric.qbman().release(icid, bpid.into(), &[0x4000], &mut mc.state.pass);
    let queues = mc.call(dpsw, &dpsw::CtrlIfGetAttributes {}).unwrap();
    mc.call(dpsw, &dpsw::CtrlIfEnable {}).unwrap();
    mc.call(dpsw, &dpsw::SetEgressFlood { fdb_id: 0, flood_type: 0, interfaces: 0b1011 }).unwrap();
    for if_id in [0, 1] {
        mc.call(dpsw, &dpsw::IfEnable { if_id }).unwrap();
    }
    let mut frame = [0x88; 60];
    frame[..12].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9]);
    fabric.receive(3, &frame);
    let received = fabric.qbman().dequeue(queues.rx_fqid).expect("it was flooded to software");
    assert_eq!((received.length(), received.flc), (64, 0));
    let counter = |mc: &mut TestMc, if_id, kind| {
        mc.call(dpsw, &dpsw::IfGetCounter { if_id, kind }).unwrap().counter
    };
    assert_eq!((counter(&mut mc, 0, 0), counter(&mut mc, 0, 6), counter(&mut mc, 1, 8)), (1, 1, 1));
    let address = MacAddr([2, 0, 0, 0, 0, 9]);
    let entry = mc.call(dpsw, &dpsw::FdbGetUnicast { fdb_id: 0, address }).unwrap();
    assert_eq!((entry.if_egress, entry.kind), (0, 1), "learned");
    // What software sends goes out of one interface and is confirmed. Linux sends
    // with priority 8.
    let qdid = mc.call(dpsw, &dpsw::IfGetAttributes { if_id: 1 }).unwrap().qdid;
    let fqid = fabric.qbman().destination_queue(icid, qdid.into(), 8, 0).expect("a queue");
    fabric.memory().write(icid, 0x8000, &frame).unwrap();
    let fd = qbman_abi::Fd { address: 0x8000, length_word: 60, ..Default::default() };
    fabric.qbman().enqueue(fqid, &fd, &mut mc.state.pass).unwrap();
    mc.run_engines();
    assert_eq!(fabric.qbman().dequeue(queues.tx_err_conf_fqid), Some(fd));
    assert_eq!((counter(&mut mc, 1, 8), counter(&mut mc, 0, 8)), (2, 0));
    mc.call(dpsw, &Reset {}).unwrap();
    assert_eq!(
        mc.call(dpsw, &dpsw::FdbGetUnicast { fdb_id: 0, address }).map(drop),
        Err(Status::ConfigurationError)
    );
    mc.destroy(id).unwrap();
    fabric.receive(3, &frame);
}

/// Tables of thousands of entries are not written anew because somebody asks for a counter.
#[test]
fn questions_leave_the_data_plane_alone() {
    let mut mc = TestMc::new();
    let (id, dpsw) = make(&mut mc, 2);
    mc.call(dpsw, &dpsw::CtrlIfEnable {}).unwrap();
    mc.run_engines();
    // The switch is woken whenever it is programmed.
    let programmed = |mc: &mut TestMc| {
        let woken = std::iter::from_fn(|| mc.state.pass.next_engine());
        woken.filter(|engine| *engine == crate::fabric::Engine::Switch(id.id)).count()
    };
    assert_eq!(programmed(&mut mc), 0);
    mc.call(dpsw, &dpsw::GetAttributes {}).unwrap();
    mc.call(dpsw, &dpsw::IfGetLinkState { if_id: 0 }).unwrap();
    mc.call(dpsw, &dpsw::IfGetCounter { if_id: 0, kind: 0 }).unwrap();
    mc.call(dpsw, &dpsw::VlanGetIf { vlan_id: 1 }).unwrap();
    mc.call(dpsw, &dpsw::ClearIrqStatus { status: u32::MAX, index: 0 }).unwrap();
    let address = MacAddr([2, 0, 0, 0, 0, 1]);
    let add = dpsw::FdbAddUnicast { fdb_id: 0, address, if_egress: 1, kind: 0 };
    mc.call(dpsw, &add).unwrap();
    assert_eq!(programmed(&mut mc), 0);
    mc.call(dpsw, &dpsw::VlanAdd { fdb_id: 0, vlan_id: 5 }).unwrap();
    assert_eq!(programmed(&mut mc), 1);
}

#[test]
fn a_switch_without_control_interface_says_so() {
    let mut mc = TestMc::new();
    let (id, dpsw) = mc.make(&dpsw::Create { options: options::CTRL_IF_DIS, ..request(2) });
    let none = mc.call(dpsw, &dpsw::CtrlIfGetAttributes {}).map(drop);
    assert_eq!(none, Err(Status::UnsupportedOperation));
    let flood = dpsw::SetEgressFlood { fdb_id: 0, flood_type: 0, interfaces: 0b100 };
    assert_eq!(mc.call(dpsw, &flood), Err(Status::ConfigurationError));
    mc.destroy(id).unwrap();
    mc.assert_pools_full();
}

proptest! {
    /// No command, whatever it carries, panics or leaks.
    #[test]
    fn anything_goes(commands in prop::collection::vec((0usize..200, 0u8..4, any::<[u8; 32]>()), 1..60)) {
        let mut mc = TestMc::new();
        let (id, dpsw) = mc.make(&dpsw::Create { options: options::METERING_EN, ..request(64) });
        let (mac, _) = mc.make(&dpmac::Create { mac: 4 });
        mc.connect((id, 0), (mac, 0)).unwrap();
        mc.connect((id, 63), (id, 62)).unwrap();
        for (which, version, bytes) in commands {
            let mut params = Params::ZERO;
            // Small numbers are the ones that pass the checks.
            for (slot, byte) in params.0.iter_mut().zip(bytes.iter().cycle()) {
                *slot = if *byte > 200 { *byte } else if *byte > 100 { byte % 4 } else { 0 };
            }
            let numbers = dpsw::COMMANDS.iter().map(|row| row.number).chain([2, 3, 5, 0x14]);
            let number = numbers.clone().nth(which % numbers.count()).unwrap();
            let _ = mc.send(1, &Message::command(number, version, dpsw, params));
        }
        mc.destroy(id).unwrap();
        mc.destroy(mac).unwrap();
        mc.assert_pools_full();
    }
}
