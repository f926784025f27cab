// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The board of the record: what a LX2160A (SolidRun ClearFog CX, MC 10.39.0) was
//! seen to say, asked of this one.
//!
//! The record is the public ledger `cunabli/dpaa2-controlplane`. Its clean boot is
//! `models/board/baselines/reference.json` at 25979b5, its suites are rows of
//! `models/board/README.md` at 852f697. Expected values are the record's.

use crate::{
    dpl::{self, Connection, Container, Dpc, Dpl, Endpoint, IcidPool, Object, Placement},
    mc::{Config, Inventory, testing::TestMc},
    soc::Soc,
};
use mc_abi::{
    MacAddr, ObjectId, ObjectType, ResourceType, Status, Token, common, dpbp, dpcon, dpio, dpmac,
    dpmcp, dpni, dprc, dprtc, dpseci,
};

/// The families of the clean boot in the order of its list, and their numbers, the
/// highest first as there.
fn listed() -> Vec<ObjectId> {
    let family = |kind, ids: &[u32]| ids.iter().map(move |id| ObjectId::new(kind, *id)).collect();
    let down = |last: u32, first: u32| (first..=last).rev().collect::<Vec<u32>>();
    let parts: [Vec<ObjectId>; 8] = [
        family(ObjectType::Dpni, &[0]),
        family(ObjectType::Dpbp, &[0]),
        family(ObjectType::Dpmac, &[17, 10, 9, 8, 7, 6, 5, 4, 3]),
        family(ObjectType::Dpseci, &[0]),
        family(ObjectType::Dpmcp, &down(52, 1)),
        family(ObjectType::Dprtc, &[0]),
        family(ObjectType::Dpio, &down(15, 0)),
        family(ObjectType::Dpcon, &down(15, 0)),
    ];
    parts.concat()
}

fn config(id: ObjectId) -> dpl::Config {
    match id.kind {
        ObjectType::Dpni => {
            dpl::Config::Dpni(dpni::Create { num_queues: 16, ..Default::default() })
        }
        ObjectType::Dpbp => dpl::Config::Dpbp(dpbp::Create {}),
        ObjectType::Dpmac => dpl::Config::Dpmac(dpmac::Create { mac: id.id }),
        ObjectType::Dpseci => {
            let priorities = [1; 8];
            dpl::Config::Dpseci(dpseci::Create {
                num_tx_queues: 16,
                num_rx_queues: 16,
                priorities,
                priorities2: priorities,
                ..Default::default()
            })
        }
        ObjectType::Dpmcp => {
            dpl::Config::Dpmcp(dpmcp::Create { portal: dpmcp::PORTAL_FROM_POOL, options: 0 })
        }
        ObjectType::Dprtc => dpl::Config::Dprtc(dprtc::Create::default()),
        ObjectType::Dpio => dpl::Config::Dpio(dpio::Create { channel_mode: 1, num_priorities: 8 }),
        ObjectType::Dpcon => dpl::Config::Dpcon(dpcon::Create { num_priorities: 2 }),
        kind => panic!("{kind} is not there"),
    }
}

fn layout() -> Dpl {
    // In ascending order, as layouts are written.
    let mut ids = listed();
    ids.sort();
    let end = |kind, id| Endpoint { object: ObjectId::new(kind, id), interface: 0 };
    Dpl {
        containers: vec![Container {
            id: 1,
            objects: ids
                .iter()
                .map(|object| Placement { object: *object, plugged: true, label: None })
                .collect(),
            ..Default::default()
        }],
        objects: ids.iter().map(|id| Object::new(id.id, config(*id))).collect(),
        connections: vec![Connection {
            endpoint1: end(ObjectType::Dpni, 0),
            endpoint2: end(ObjectType::Dpmac, 17),
            committed_rate: 0,
            max_rate: 0,
        }],
        ..Default::default()
    }
}

/// What the reference boards' configurations say, with the record's ports.
fn configuration() -> Dpc {
    let ports = [3, 4, 5, 6, 7, 8, 9, 10, 17].map(|id| dpl::Port {
        id,
        link_type: Some(dpl::LinkType::Phy),
        interface: None,
        fec_mode: None,
        mac_address: None,
    });
    Dpc {
        icid_pools: vec![IcidPool { base: 0, count: 100 }],
        wq_ch_conversion: Some(32),
        ports: ports.to_vec(),
        ..Default::default()
    }
}

fn clean_boot() -> TestMc {
    TestMc::loaded(&layout(), Some(&configuration()))
}

/// Free numbers by the names of their pools, as the MC's own container lists them.
fn free(mc: &mut TestMc) -> Vec<(String, u32)> {
    let global = mc.open(ObjectId::new(ObjectType::Dprc, 0));
    let count = mc.call(global, &dprc::GetPoolCount {}).unwrap().count;
    let mut pools = Vec::new();
    for index in 0..count {
        let kind = mc.call(global, &dprc::GetPool { index }).unwrap().kind;
        let name = String::from_utf8(kind.as_bytes().to_vec()).unwrap();
        let count = mc.call(global, &dprc::GetResourceCount { kind }).unwrap().count;
        pools.push((name, count));
    }
    mc.close(global).unwrap();
    pools
}

/// What a step has taken of each pool: all that is not nothing.
fn drawn(before: &[(String, u32)], after: &[(String, u32)]) -> Vec<(String, i64)> {
    let mut drawn: Vec<(String, i64)> = before
        .iter()
        .zip(after)
        .map(|((name, before), (_, after))| (name.clone(), i64::from(*before) - i64::from(*after)))
        .filter(|(_, drawn)| *drawn != 0)
        .collect();
    drawn.sort();
    drawn
}

fn named(drawn: &[(&str, i64)]) -> Vec<(String, i64)> {
    drawn.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn mcp(mc: &mut TestMc) -> u32 {
    let global = mc.open(ObjectId::new(ObjectType::Dprc, 0));
    let kind = ResourceType::new("mcp");
    mc.call(global, &dprc::GetResourceCount { kind }).unwrap().count
}

/// `resources`: every pool that the firmware lists, with what is free. It has no
/// isolation ids among them, which this board lists as well.
#[test]
fn a_clean_boot_leaves_free_what_the_record_lists() {
    let recorded = [
        ("bp", 63),
        ("cg", 253),
        ("cqch.ctm0.ins0", 32),
        ("cqch.ctm0.ins1", 31),
        ("dct.ctm0.ins0", 1568),
        ("dct.ctm0.ins1", 1552),
        ("fq", 1981),
        ("ifp.wr0", 252),
        ("kp.wr0.ctlue", 256),
        ("kp.wr0.ctlui", 252),
        ("lfqmt.ctm0.ins0", 2048),
        ("lfqmt.ctm0.ins1", 2016),
        ("lni.ctm0.ins0", 7),
        ("lni.ctm0.ins1", 6),
        ("mcp", 203),
        ("opr", 256),
        ("plcr.wr0.ctlui", 255),
        ("plcy.wr0.ctlui", 255),
        ("plcye.wr0.ctlui", 253),
        ("prp.wr0.ctlue", 63),
        ("prp.wr0.ctlui", 63),
        ("qd", 253),
        ("qpr", 2045),
        ("rplr", 2048),
        ("swp", 49),
        ("swpch.2wq", 112),
        ("swpch.8wq", 80),
        ("tcame.wr0.ctlui", 1024),
    ];
    let mut mc = clean_boot();
    let mut found = free(&mut mc);
    found.retain(|(name, _)| name != "icid");
    found.sort();
    let recorded = recorded.map(|(name, count)| (name.to_owned(), count));
    assert_eq!(found, recorded);
}

/// `containers`: the order in which Linux probes.
#[test]
fn a_container_lists_families_and_numbers_in_the_order_of_the_record() {
    let mut mc = clean_boot();
    let root = mc.root;
    let count = mc.call(root, &dprc::GetObjectCount {}).unwrap().count;
    assert_eq!(count, 97);
    let found: Vec<ObjectId> = (0..count)
        .map(|index| {
            let object = mc.call(root, &dprc::GetObject { index }).unwrap().object;
            ObjectId::new(object.kind, object.id)
        })
        .collect();
    assert_eq!(found, listed());
}

/// `objects`: the numbers of `dpbp.0`, `dpcon.N`, `dpio.N`.
#[test]
fn hardware_numbers_are_those_of_the_record() {
    let mut mc = clean_boot();
    let dpbp = mc.open(ObjectId::new(ObjectType::Dpbp, 0));
    assert_eq!(mc.call(dpbp, &dpbp::GetAttributes {}).unwrap().bpid, 0);
    for (id, channel) in [(0, 1), (1, 2), (15, 16)] {
        let dpcon = mc.open(ObjectId::new(ObjectType::Dpcon, id));
        let attributes = mc.call(dpcon, &dpcon::GetAttributes {}).unwrap();
        assert_eq!((attributes.qbman_ch_id, attributes.num_priorities), (channel, 2));
    }
    for (id, portal, ce, ci) in [
        (0, 0x2, 0x2_0000, 0x402_0000),
        (9, 0xb, 0xb_0000, 0x40b_0000),
        (15, 0x11, 0x11_0000, 0x411_0000),
    ] {
        let dpio = mc.open(ObjectId::new(ObjectType::Dpio, id));
        let attributes = mc.call(dpio, &dpio::GetAttributes {}).unwrap();
        assert_eq!(attributes.qbman_portal_id, portal);
        assert_eq!(attributes.qbman_portal_ce_offset, ce);
        assert_eq!(attributes.qbman_portal_ci_offset, ci);
        assert_eq!((attributes.channel_mode, attributes.num_priorities), (1, 8));
    }
    // V-POOL-5: one made later has the number of its object, too.
    let (id, dpbp) = mc.make(&dpbp::Create {});
    assert_eq!((id.id, mc.call(dpbp, &dpbp::GetAttributes {}).unwrap().bpid), (1, 1));
}

/// `dpni.0`.
#[test]
fn the_network_interface_of_the_clean_boot_says_what_is_on_record() {
    let mut mc = clean_boot();
    let dpni = mc.open(ObjectId::new(ObjectType::Dpni, 0));
    let attributes = mc.call(dpni, &dpni::GetAttributes {}).unwrap();
    let expected = dpni::GetAttributesReply {
        options: 0,
        num_queues: 16,
        num_rx_tcs: 1,
        num_tx_tcs: 1,
        mac_filter_entries: 16,
        vlan_filter_entries: 0,
        qos_entries: 0,
        qos_key_size: 0,
        fs_entries: 64,
        fs_key_size: 56,
        num_cgs: 1,
        num_channels: 1,
        num_opr: 0,
        wriop_version: 0xc00,
    };
    assert_eq!(attributes, expected);
}

/// V-POOL-4: three of each, one after the other, and back.
#[test]
fn a_software_portal_and_a_network_interface_draw_what_is_on_record() {
    let mut mc = clean_boot();
    let (child, token) = mc.make_container();
    let start = free(&mut mc);
    let portal = named(&[("swp", 1), ("swpch.8wq", 1)]);
    let interface = named(&[
        ("cg", 2),
        ("fq", 4),
        ("ifp.wr0", 1),
        ("kp.wr0.ctlui", 4),
        ("plcy.wr0.ctlui", 1),
        ("plcye.wr0.ctlui", 3),
        ("prp.wr0.ctlue", 1),
        ("prp.wr0.ctlui", 1),
        ("qd", 2),
        ("qpr", 3),
    ]);
    let mut before = start.clone();
    for _ in 0..3 {
        mc.create_in(token, &dpio::Create { channel_mode: 1, num_priorities: 8 }).unwrap();
        let after = free(&mut mc);
        assert_eq!(drawn(&before, &after), portal);
        before = after;
    }
    for _ in 0..3 {
        mc.create_in(token, &dpni::Create::default()).unwrap();
        let after = free(&mut mc);
        assert_eq!(drawn(&before, &after), interface);
        before = after;
    }
    let root = mc.root;
    mc.call(root, &dprc::DestroyContainer { child }).unwrap();
    // With the container goes its isolation id, which no board lists.
    assert_eq!(drawn(&start, &free(&mut mc)), named(&[("icid", -1)]));
}

/// V-CEIL-1 (ADR-0011), rev 2, step by step from a clean boot: three portals have gone
/// to what is no more, the scratch container has one of them, and 64 `dpmcp` take the
/// other two and 62 of the list. None of it is listed again.
#[test]
fn command_portals_of_what_is_gone_are_used_again_but_not_listed() {
    let portal = dpmcp::Create { portal: dpmcp::PORTAL_FROM_POOL, options: 0 };
    let mut mc = clean_boot();
    assert_eq!(mcp(&mut mc), 203);
    let containers: Vec<u32> = (0..3).map(|_| mc.make_container().0).collect();
    let root = mc.root;
    for child in containers {
        mc.call(root, &dprc::DestroyContainer { child }).unwrap();
    }
    assert_eq!(mcp(&mut mc), 200);
    let (child, token) = mc.make_container();
    assert_eq!(mcp(&mut mc), 200);
    let made: Vec<_> = (0..64).map(|_| mc.create_in(token, &portal).unwrap()).collect();
    assert_eq!(mcp(&mut mc), 138);
    for id in made {
        mc.destroy_in(token, id).unwrap();
    }
    assert_eq!(mcp(&mut mc), 138);
    mc.call(root, &dprc::DestroyContainer { child }).unwrap();
    assert_eq!(mcp(&mut mc), 138);
    // What the reboot restored.
    assert_eq!(mcp(&mut clean_boot()), 203);

    // Who does not want that: the listing goes up again.
    let config = Config { quirks: false, ..Config::default() };
    let mut mc = TestMc::with(config);
    let start = mcp(&mut mc);
    let (id, _) = mc.make(&portal);
    assert_eq!(mcp(&mut mc), start - 1);
    mc.state.sessions.forget(id);
    mc.destroy(id).unwrap();
    assert_eq!(mcp(&mut mc), start);
}

/// V-CEIL-1 (ADR-0011): 17 on top of `dpni.0`, and room in every pool that is listed.
#[test]
fn the_eighteenth_more_network_interface_is_refused() {
    let mut mc = clean_boot();
    let (_, token) = mc.make_container();
    let before = free(&mut mc);
    let made: Vec<ObjectId> =
        (0..17).map(|_| mc.create_in(token, &dpni::Create::default()).unwrap()).collect();
    assert_eq!(mc.create_in(token, &dpni::Create::default()), Err(Status::NoResource));
    let after = free(&mut mc);
    assert!(after.iter().filter(|(name, _)| name != "icid").all(|(_, free)| *free > 0));
    let moved = drawn(&before, &after);
    for (name, count) in [("fq", 68), ("cg", 34), ("qd", 34), ("kp.wr0.ctlui", 68), ("qpr", 51)] {
        assert!(moved.contains(&(name.to_owned(), count)), "{name}: {moved:?}");
    }
    // It comes back with a destroyed one.
    mc.destroy_in(token, made[0]).unwrap();
    mc.create_in(token, &dpni::Create::default()).unwrap();

    let mut mc = TestMc::with(Config { quirks: false, ..Config::default() });
    for _ in 0..30 {
        mc.create(&dpni::Create::default()).unwrap();
    }
}

/// V-DPNI-3: neither the reset of a driver that goes nor that of one that comes takes
/// the primary address away; the frame length reads 1536 then.
#[test]
fn the_primary_address_outlives_resets() {
    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x29]);
    let mut mc = clean_boot();
    let (id, dpni) = mc.make(&dpni::Create::default());
    let address = |mc: &mut TestMc, token: Token| {
        mc.call(token, &dpni::GetPrimaryMacAddr {}).unwrap().address
    };
    // V-DPNI-10.
    assert_eq!(address(&mut mc, dpni), MacAddr::ZERO);
    mc.call(dpni, &dpni::SetPrimaryMacAddr { address: MAC }).unwrap();
    mc.call(dpni, &dpni::SetMaxFrameLength { length: 10240 }).unwrap();
    mc.call(dpni, &common::Reset {}).unwrap();
    assert_eq!(address(&mut mc, dpni), MAC);
    assert_eq!(mc.call(dpni, &dpni::GetMaxFrameLength {}).unwrap().length, 1536);
    let root = mc.root;
    mc.call(root, &dprc::Reset { child: 1, options: 0 }).unwrap();
    let dpni = mc.open(id);
    assert_eq!(address(&mut mc, dpni), MAC);
}

/// V-DPNI-5, V-DPNI-7, V-DPNI-8, V-DPNI-9: options and numbers as they come back.
#[test]
fn options_and_sizes_come_back_as_on_record() {
    let mut mc = clean_boot();
    let mut read = |request: dpni::Create| {
        let (id, token) = mc.make(&request);
        let attributes = mc.call(token, &dpni::GetAttributes {}).unwrap();
        mc.close(token).unwrap();
        mc.destroy(id).unwrap();
        attributes
    };
    let profile = dpni::Create {
        options: 0x8000_03d0,
        num_queues: 16,
        num_tcs: 16,
        vlan_filter_entries: 16,
        qos_entries: 64,
        fs_entries: 1,
        num_cgs: 24,
        ..Default::default()
    };
    let a = read(profile);
    assert_eq!((a.options, a.num_cgs, a.num_opr), (0x8000_03d0, 24, 8));
    assert_eq!((a.num_queues, a.num_tx_tcs, a.num_rx_tcs), (16, 16, 8));
    assert_eq!(a.mac_filter_entries, 16);
    assert_eq!(read(dpni::Create { options: 0xd, ..Default::default() }).options, 0x5);
    assert_eq!(read(dpni::Create { options: 0x4000, ..Default::default() }).options, 0);
    for num_cgs in [1, 8, 24, 64, 128] {
        assert_eq!(read(dpni::Create { num_cgs, ..Default::default() }).num_cgs, 1);
    }
    for num_opr in [1, 16, 128] {
        assert_eq!(read(dpni::Create { num_opr, ..Default::default() }).num_opr, 0);
    }
    // V-DPNI-2.
    for num_queues in [32, 24, 28, 20] {
        let a = read(dpni::Create { num_queues, ..Default::default() });
        assert_eq!(a.num_queues, num_queues);
    }
}

/// V-DPMAC-2: 11 is a MAC of the chip that the configuration does not have. A layout
/// may use one, as that of the LX2160A-RDB does.
#[test]
fn a_port_that_the_configuration_lacks_is_made_by_a_layout_only() {
    let mut mc = clean_boot();
    let (_, token) = mc.make_container();
    let refused = mc.create_in(token, &dpmac::Create { mac: 11 });
    assert_eq!(refused, Err(Status::ConfigurationError));
    let id = ObjectId::new(ObjectType::Dpmac, 10);
    mc.destroy(id).unwrap();
    assert_eq!(mc.create_in(token, &dpmac::Create { mac: 10 }), Ok(id));

    let mut layout = layout();
    layout.objects.push(Object::new(2, dpl::Config::Dpmac(dpmac::Create { mac: 2 })));
    let object = ObjectId::new(ObjectType::Dpmac, 2);
    layout.containers[0].objects.push(Placement { object, plugged: true, label: None });
    TestMc::loaded(&layout, Some(&configuration())).open(object);
}

/// V-LINK-1, V-DPCI-2: the attributes that the two ends of a connection tell.
#[test]
fn each_end_of_a_connection_tells_its_own_priorities() {
    use mc_abi::dpci;
    let mut mc = clean_boot();
    let ends = [1, 2].map(|num_of_priorities| {
        mc.make(&dpci::Create { num_of_priorities, ..Default::default() })
    });
    mc.connect((ends[0].0, 0), (ends[1].0, 0)).unwrap();
    for (own, (_, token)) in [1, 2].into_iter().zip(ends) {
        let peer = mc.call(token, &dpci::GetPeerAttributes {}).unwrap();
        assert_eq!(peer.num_of_priorities, own);
        assert!(!mc.call(token, &dpci::GetLinkState {}).unwrap().up);
    }
}

/// Layouts: `dpc-usxgmii.dts` of the LX2160A-RDB has `base_icid` 0, `num` 100 and
/// `wq_ch_conversion` 32; with other figures it is those that count.
#[test]
fn a_configuration_bounds_isolation_ids_and_converts_channels() {
    let ids = |base, count| Dpc { icid_pools: vec![IcidPool { base, count }], ..configuration() };
    let of = |configuration: &Dpc| {
        let config = Config::default().within(Some(configuration));
        (config.first_icid, config.icids)
    };
    assert_eq!(of(&ids(0, 100)), (23, 16), "as before");
    assert_eq!(of(&ids(0, 30)), (23, 7));
    assert_eq!(of(&ids(64, 4)), (64, 4));
    let few = Inventory::of_layout(Config::default(), &layout(), Some(&ids(64, 4))).unwrap();
    assert_eq!(few.containers[0].icid, 64);

    let channels = |converted| {
        let configuration = Dpc { wq_ch_conversion: converted, ..configuration() };
        let pools = Config::default().within(Some(&configuration)).soc.pools;
        (pools.channel2.count, pools.channel8.count)
    };
    assert_eq!(channels(Some(32)), (128, 96));
    assert_eq!(channels(None), (128, 96));
    assert_eq!(channels(Some(0)), (0, 128));
    assert_eq!(channels(Some(128)), (512, 0));
}

/// Linux device trees and boot loaders of the LS1088A-RDB (SerDes 0x1d): MACs 1 and 2
/// are of 10 Gbit/s, the others four to a lane.
#[test]
fn ports_of_other_chips_are_of_their_kinds() {
    use mc_abi::dpmac::eth_if::{QSGMII, SGMII, XFI};
    for (soc, mac, kind, rate) in [
        (Soc::LS1088A, 1, XFI, 10_000),
        (Soc::LS1088A, 3, QSGMII, 1000),
        (Soc::LS2088A, 1, XFI, 10_000),
        (Soc::LS2088A, 9, SGMII, 1000),
    ] {
        let mut mc = TestMc::with(Config { soc, ..Config::default() });
        let (_, dpmac) = mc.make(&dpmac::Create { mac });
        let attributes = mc.call(dpmac, &dpmac::GetAttributes {}).unwrap();
        assert_eq!((attributes.eth_if, attributes.max_rate), (kind, rate));
    }
}
