// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Any layout that the loader takes.

use std::collections::BTreeSet;

use board::dpl::family::*;
use board::dpl::{Connection, Container, Dpl, Endpoint, Object, ObjectName, Placement};
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
fn config_family() -> impl Strategy<Value = Family> {
    let families: Vec<_> =
        Family::ALL.iter().copied().filter(|family| *family != Family::Dpaiop).collect();
    prop::sample::select(families)
}

fn object(family: Family, id: u32) -> BoxedStrategy<Object> {
    config(family, id).prop_map(move |config| Object { id, config }).boxed()
}

fn config(family: Family, id: u32) -> BoxedStrategy<Config> {
    let priority = 1..=8u8;
    match family {
        Family::Dpni => dpni().prop_map(Config::Dpni).boxed(),
        Family::Dpmac => Just(Config::Dpmac(DpmacConfig { mac_id: id as u16 })).boxed(),
        Family::Dpsw => dpsw().prop_map(Config::Dpsw).boxed(),
        Family::Dpdmux => dpdmux().prop_map(Config::Dpdmux).boxed(),
        Family::Dpio => (0..=1u8, priority)
            .prop_map(|(channel_mode, num_priorities)| {
                Config::Dpio(DpioConfig { channel_mode, num_priorities })
            })
            .boxed(),
        Family::Dpmcp => (prop::option::of(0..500u32), any::<u32>())
            .prop_map(|(portal_id, options)| Config::Dpmcp(DpmcpConfig { portal_id, options }))
            .boxed(),
        Family::Dpbp => {
            any::<u32>().prop_map(|options| Config::Dpbp(DpbpConfig { options })).boxed()
        }
        Family::Dpcon => priority
            .prop_map(|num_priorities| Config::Dpcon(DpconConfig { num_priorities }))
            .boxed(),
        Family::Dpci => (any::<u32>(), 1..=4u8)
            .prop_map(|(options, num_of_priorities)| {
                Config::Dpci(DpciConfig { options, num_of_priorities })
            })
            .boxed(),
        Family::Dpseci => (any::<u32>(), prop::collection::vec(priority, 1..=16))
            .prop_map(|(options, priorities)| Config::Dpseci(DpseciConfig { options, priorities }))
            .boxed(),
        Family::Dpdmai => (0..=16u8, any::<u32>(), prop::collection::vec(priority, 1..=2))
            .prop_map(|(num_queues, options, priorities)| {
                Config::Dpdmai(DpdmaiConfig { num_queues, options, priorities })
            })
            .boxed(),
        Family::Dpdcei => (0..=1u8, priority)
            .prop_map(|(engine, priority)| Config::Dpdcei(DpdceiConfig { engine, priority }))
            .boxed(),
        Family::Dprtc => {
            any::<u32>().prop_map(|options| Config::Dprtc(DprtcConfig { options })).boxed()
        }
        Family::Dpaiop => (any::<u32>(), any::<u32>())
            .prop_map(|(aiop_id, aiop_container_id)| {
                Config::Dpaiop(DpaiopConfig { aiop_id, aiop_container_id })
            })
            .boxed(),
        Family::Dpdbg => (any::<u32>(), prop::option::of(any::<u32>()))
            .prop_map(|(dpdbg_id, dpdbg_container_id)| {
                Config::Dpdbg(DpdbgConfig { dpdbg_id, dpdbg_container_id })
            })
            .boxed(),
    }
}

fn dpni() -> impl Strategy<Value = DpniConfig> {
    let tables = (0..=1024u16, 0..=16u8, 0..=80u8, 0..=64u8, 0..=56u8);
    let queues = (0..=32u8, 0..=16u8, 0..=8u8, 0..=128u8, 0..=128u16, 0..=32u8);
    let address = prop::option::of(any::<[u8; 5]>().prop_map(|[b, c, d, e, f]| [2, b, c, d, e, f]));
    (any::<u32>(), tables, queues, address).prop_map(|(options, tables, queues, mac_address)| {
        DpniConfig {
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
            mac_address,
        }
    })
}

fn dpsw() -> impl Strategy<Value = DpswConfig> {
    let halves = any::<[u16; 5]>();
    let choices = (0..=1u8, 0..=1u8, 0..=1u8);
    (1..=64u16, any::<u64>(), halves, any::<[u8; 2]>(), choices).prop_map(
        |(num_ifs, options, halves, bytes, choices)| DpswConfig {
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

fn dpdmux() -> impl Strategy<Value = DpdmuxConfig> {
    let ports = (1..100u16).prop_flat_map(|num_ifs| (Just(num_ifs), 0..=num_ifs));
    (0..=5u8, 0..=1u8, ports, any::<u64>(), any::<[u16; 4]>(), 0..=56u8).prop_map(
        |(method, manip, (num_ifs, default_if), options, halves, key)| DpdmuxConfig {
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

fn endpoint(object: ObjectName, interface: u16) -> Endpoint {
    Endpoint { object, interface }
}
