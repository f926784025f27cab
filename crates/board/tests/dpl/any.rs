// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Any layout that the loader takes.

use std::collections::BTreeSet;

use board::dpl::{Config, Connection, Container, Dpl, Endpoint, Object, Placement};
use mc_abi::{
    MacAddr, ObjectId, ObjectType, dpbp, dpci, dpcon, dpdbg, dpdcei, dpdmai, dpdmux, dpio, dpmac,
    dpmcp, dpni, dprtc, dpseci, dpsw,
};
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

/// Layouts without errors and warnings.
pub fn layout() -> impl Strategy<Value = Dpl> {
    let objects = prop::collection::btree_map((config_family(), 1..100u32), any::<()>(), 0..30)
        .prop_flat_map(|names| {
            let objects: Vec<_> =
                names.into_keys().map(|(family, id)| object(family, id)).collect();
            objects
        });
    (1..5u32, objects).prop_flat_map(|(count, objects)| {
        let places =
            prop::collection::vec((0..count as usize, any::<bool>(), label()), objects.len());
        let containers = prop::collection::vec(container(), count as usize);
        let connections = connections(&objects);
        let version = prop_oneof![Just(None), Just(Some(10))];
        (version, containers, Just(objects), places, connections).prop_map(assemble)
    })
}

type Place = (usize, bool, Option<String>);

type Parts = (Option<u32>, Vec<(Index, Container)>, Vec<Object>, Vec<Place>, Vec<Connection>);

fn assemble((version, mut containers, objects, places, connections): Parts) -> Dpl {
    for (index, (parent, container)) in containers.iter_mut().enumerate() {
        container.id = index as u32 + 1;
        // A parent with a smaller number makes a tree.
        container.parent = (index > 0).then(|| parent.index(index) as u32 + 1);
    }
    let mut containers: Vec<_> = containers.into_iter().map(|(_, container)| container).collect();
    for (object, (container, plugged, label)) in objects.iter().zip(places) {
        containers[container].objects.push(Placement { object: object.name(), plugged, label });
    }
    Dpl { version, containers, objects, connections }
}

fn container() -> impl Strategy<Value = (Index, Container)> {
    let icid = prop::option::of(0..u16::MAX);
    let portal = prop::option::of(0..1000u32);
    (any::<Index>(), any::<u32>(), icid, portal, label()).prop_map(
        |(parent, options, icid, portal_id, label)| {
            (parent, Container { options, icid, portal_id, label, ..Container::default() })
        },
    )
}

fn label() -> impl Strategy<Value = Option<String>> {
    prop_oneof![3 => Just(None), 1 => "[a-zA-Z0-9 \"\\\\_.ä-]{1,7}".prop_map(Some)]
}

/// All but dpaiop, which needs a container with an option of its own.
fn config_family() -> impl Strategy<Value = ObjectType> {
    let families: Vec<_> =
        Config::FAMILIES.iter().copied().filter(|family| *family != ObjectType::Dpaiop).collect();
    prop::sample::select(families)
}

fn object(family: ObjectType, id: u32) -> BoxedStrategy<Object> {
    let address = any::<[u8; 5]>().prop_map(|[b, c, d, e, f]| MacAddr([2, b, c, d, e, f]));
    let addresses = if family == ObjectType::Dpni { 0..=1usize } else { 0..=0 };
    let address = prop::collection::vec(address, addresses).prop_map(|all| all.first().copied());
    (config(family, id), address)
        .prop_map(move |(config, mac_address)| Object { id, config, mac_address })
        .boxed()
}

fn config(family: ObjectType, id: u32) -> BoxedStrategy<Config> {
    let priority = 1..=8u8;
    match family {
        ObjectType::Dpni => dpni().prop_map(Config::Dpni).boxed(),
        ObjectType::Dpmac => Just(Config::Dpmac(dpmac::Create { mac: id })).boxed(),
        ObjectType::Dpsw => dpsw().prop_map(Config::Dpsw).boxed(),
        ObjectType::Dpdmux => dpdmux().prop_map(Config::Dpdmux).boxed(),
        ObjectType::Dpio => (0..=1u8, priority)
            .prop_map(|(channel_mode, num_priorities)| {
                Config::Dpio(dpio::Create { channel_mode, num_priorities })
            })
            .boxed(),
        ObjectType::Dpmcp => {
            let portal = prop_oneof![Just(dpmcp::PORTAL_FROM_POOL), 0..500u32];
            (portal, any::<u32>())
                .prop_map(|(portal, options)| Config::Dpmcp(dpmcp::Create { portal, options }))
                .boxed()
        }
        ObjectType::Dpbp => Just(Config::Dpbp(dpbp::Create {})).boxed(),
        ObjectType::Dpcon => priority
            .prop_map(|num_priorities| Config::Dpcon(dpcon::Create { num_priorities }))
            .boxed(),
        ObjectType::Dpci => (any::<u32>(), 1..=4u8)
            .prop_map(|(options, num_of_priorities)| {
                Config::Dpci(dpci::Create { options, num_of_priorities })
            })
            .boxed(),
        ObjectType::Dpseci => (any::<u32>(), prop::collection::vec(priority, 1..=16))
            .prop_map(|(options, priorities)| {
                let queues = priorities.len() as u8;
                let at = |i: usize| priorities.get(i).copied().unwrap_or(0);
                Config::Dpseci(dpseci::Create {
                    priorities: std::array::from_fn(at),
                    num_tx_queues: queues,
                    num_rx_queues: queues,
                    options,
                    priorities2: std::array::from_fn(|i| at(8 + i)),
                })
            })
            .boxed(),
        ObjectType::Dpdmai => (0..=16u8, any::<u32>(), priority, 0..=8u8)
            .prop_map(|(num_queues, options, first, second)| {
                let priorities = [first, second];
                Config::Dpdmai(dpdmai::Create { num_queues, options, priorities })
            })
            .boxed(),
        ObjectType::Dpdcei => (0..=1u8, priority)
            .prop_map(|(engine, priority)| Config::Dpdcei(dpdcei::Create { engine, priority }))
            .boxed(),
        ObjectType::Dprtc => Just(Config::Dprtc(dprtc::Create {})).boxed(),
        ObjectType::Dpdbg => (any::<u32>(), any::<u32>())
            .prop_map(|(dpdbg_id, dpdbg_container_id)| {
                Config::Dpdbg(dpdbg::Create { dpdbg_id, dpdbg_container_id })
            })
            .boxed(),
        ObjectType::Dpaiop | ObjectType::Dprc => unreachable!("neither is among the families"),
    }
}

fn dpni() -> impl Strategy<Value = dpni::Create> {
    let tables = (0..=1024u16, 0..=16u8, 0..=80u8, 0..=64u8, 0..=56u8);
    let queues = (0..=32u8, 0..=16u8, 0..=8u8, 0..=128u8, 0..=128u16, 0..=32u8);
    (any::<u32>(), tables, queues).prop_map(|(options, tables, queues)| dpni::Create {
        options,
        fs_entries: tables.0,
        vlan_filter_entries: tables.1,
        mac_filter_entries: tables.2,
        qos_entries: tables.3,
        dist_key_size: tables.4,
        num_queues: queues.0,
        num_tcs: queues.1,
        num_rx_tcs: queues.2,
        num_cgs: queues.3,
        num_opr: queues.4,
        num_channels: queues.5,
    })
}

fn dpsw() -> impl Strategy<Value = dpsw::Create> {
    let halves = any::<[u16; 5]>();
    let choices = (0..=1u8, 0..=1u8, 0..=1u8);
    (1..=64u16, any::<u64>(), halves, any::<[u8; 2]>(), choices).prop_map(
        |(num_ifs, options, halves, bytes, choices)| dpsw::Create {
            num_ifs,
            options,
            max_vlans: halves[0],
            max_fdb_entries: halves[1],
            fdb_aging_time: halves[2],
            max_fdb_mc_groups: halves[3],
            mem_size: halves[4],
            max_meters_per_if: bytes[0],
            max_fdbs: bytes[1],
            component_type: choices.0,
            flooding_cfg: choices.1,
            broadcast_cfg: choices.2,
        },
    )
}

fn dpdmux() -> impl Strategy<Value = dpdmux::Create> {
    let ports = (1..100u16).prop_flat_map(|num_ifs| (Just(num_ifs), 0..=num_ifs));
    (0..=5u8, 0..=1u8, ports, any::<u64>(), any::<[u16; 4]>(), 0..=56u8).prop_map(
        |(method, manip, (num_ifs, default_if), options, halves, key)| dpdmux::Create {
            method,
            manip,
            num_ifs,
            default_if,
            options,
            max_dmat_entries: halves[0],
            max_mc_groups: halves[1],
            max_vlan_ids: halves[2],
            mem_size: halves[3],
            custom_key_size: if method == 5 { key } else { 0 },
        },
    )
}

/// Pairs of endpoints that fit, each used once.
fn connections(objects: &[Object]) -> impl Strategy<Value = Vec<Connection>> + use<> {
    let mut ports = Vec::new();
    let mut macs = Vec::new();
    let mut peers = Vec::new();
    for object in objects {
        let name = object.name();
        match &object.config {
            Config::Dpmac(_) => macs.push(endpoint(name, 0)),
            Config::Dpni(_) => ports.push(endpoint(name, 0)),
            Config::Dpsw(config) => ports.extend((0..config.num_ifs).map(|i| endpoint(name, i))),
            // The uplink goes to a dpmac only.
            Config::Dpdmux(c) => ports.extend((1..=c.num_ifs).map(|i| endpoint(name, i))),
            Config::Dpci(_) => peers.push(endpoint(name, 0)),
            _ => {}
        }
    }
    let chosen = BTreeSet::from_iter(ports).into_iter().collect::<Vec<_>>();
    let most = chosen.len().min(20);
    let rates = prop::collection::vec((any::<u32>(), any::<u32>()), 40);
    (subsequence(chosen, 0..=most).prop_shuffle(), rates).prop_map(move |(ports, rates)| {
        let (to_macs, rest) = ports.split_at(macs.len().min(ports.len() / 2));
        let pairs = to_macs.iter().copied().zip(macs.iter().copied());
        let pairs = pairs.chain(rest.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        let pairs = pairs.chain(peers.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        pairs
            .zip(rates.iter().cycle())
            .map(|((endpoint1, endpoint2), (a, b))| Connection {
                endpoint1,
                endpoint2,
                committed_rate: *a.min(b),
                max_rate: *a.max(b),
            })
            .collect()
    })
}

fn endpoint(object: ObjectId, interface: u16) -> Endpoint {
    Endpoint { object, interface }
}
