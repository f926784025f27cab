// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Frames through a demultiplexer between ports, whose wires are watched.

use super::testing::*;
use crate::wriop::*;
use mc_abi::MacAddr;
use std::collections::HashMap;

const DEMUX: u32 = 3;
const ALL: [u8; 6] = [0xff; 6];

/// Interface `n` leads to port `n + 1`.
struct TestDemux {
    test: TestWriop,
    config: DemuxConfig,
}

impl TestDemux {
    fn new(method: DemuxMethod) -> Self {
        let test = TestWriop::new();
        let port = |at: u16| {
            let peer = Some(Endpoint::Demux { id: DEMUX, port: at });
            test.wriop.configure_port(
                u32::from(at) + 1,
                Some(PortConfig { peer, ..PortConfig::default() }),
            );
            let peer = Some(Endpoint::Port(u32::from(at) + 1));
            DemuxPortConfig { peer, admit: DemuxAdmit::All, max_length: 1536, accept_long: false }
        };
        let ports = (0..4).map(port).collect();
        let config = DemuxConfig { ports, method, ..DemuxConfig::default() };
        let demux = Self { test, config };
        demux.apply();
        demux
    }

    fn apply(&self) {
        self.test.wriop.configure_demux(DEMUX, Some(self.config.clone()));
    }

    fn change(&mut self, change: impl FnOnce(&mut DemuxConfig)) {
        change(&mut self.config);
        self.apply();
    }

    fn enter(&mut self, at: u32, frame: &[u8]) -> Vec<(u32, Vec<u8>)> {
        self.test.receive(at + 1, frame);
        let mut out = std::mem::take(&mut *self.test.wires.0.lock());
        out.sort();
        out.into_iter().map(|(port, frame)| (port - 1, frame)).collect()
    }

    fn out(&mut self, at: u32, frame: &[u8]) -> Vec<u32> {
        self.enter(at, frame).into_iter().map(|(at, _)| at).collect()
    }

    fn count(&self, port: u16, number: u8) -> u64 {
        self.test.wriop.demux_counter(DEMUX, port, number).expect("a counter")
    }
}

fn stations(rules: &[([u8; 6], u64)]) -> DemuxMethod {
    DemuxMethod::Stations(rules.iter().map(|(mac, set)| (MacAddr(*mac), *set)).collect())
}

fn tagged(tpid: u16, to: [u8; 6], tag: u16) -> Vec<u8> {
    let mut frame = ethernet(to, mac(9), 60);
    let ([a, b], [c, d]) = (tpid.to_be_bytes(), tag.to_be_bytes());
    frame.splice(12..12, [a, b, c, d]);
    frame
}

#[test]
fn the_uplink_is_shared_by_address() {
    let group = [1, 0, 0x5e, 0, 0, 1];
    let mut demux =
        TestDemux::new(stations(&[(mac(1), 0b0010), (mac(2), 0b0100), (group, 0b1100)]));
    let frame = |to| ethernet(to, mac(9), 60);
    assert_eq!(demux.out(0, &frame(mac(1))), [1]);
    assert_eq!(demux.out(0, &frame(mac(2))), [2]);
    assert_eq!(demux.out(0, &frame(group)), [2, 3]);
    assert!(demux.out(0, &frame(mac(3))).is_empty());
    assert_eq!((demux.count(0, 0), demux.count(0, 2), demux.count(2, 8)), (3, 1, 2));
    demux.change(|config| config.default = Some(3));
    assert_eq!(demux.out(0, &frame(mac(3))), [3]);
    // Back up, whoever it is for.
    assert_eq!(demux.out(1, &frame(mac(2))), [0]);
    assert_eq!(demux.out(1, &frame(ALL)), [0]);
    demux.change(|config| config.bridges = true);
    assert_eq!(demux.out(1, &frame(mac(2))), [2]);
    assert_eq!(demux.out(1, &frame(mac(3))), [0]);
    assert_eq!(demux.out(2, &frame(group)), [0, 3]);
    demux.test.wriop.reset_uplink_counters(DEMUX);
    assert_eq!((demux.count(0, 0), demux.count(0, 8), demux.count(2, 8)), (0, 0, 3));
}

#[test]
fn vlans_tell_frames_apart() {
    let rules = HashMap::from([(5, 0b0010), (6, 0b1100)]);
    let mut demux = TestDemux::new(DemuxMethod::Vlans { service: false, rules: rules.clone() });
    assert_eq!(demux.out(0, &tagged(0x8100, mac(1), 5)), [1]);
    assert_eq!(demux.out(0, &tagged(0x8100, mac(1), 7 << 13 | 6)), [2, 3]);
    assert!(demux.out(0, &tagged(0x88a8, mac(1), 5)).is_empty());
    assert!(demux.out(0, &ethernet(mac(1), mac(9), 60)).is_empty());
    demux.change(|config| config.ports[0].admit = DemuxAdmit::Untagged);
    assert!(demux.out(0, &tagged(0x8100, mac(1), 5)).is_empty());
    let both = HashMap::from([((MacAddr(mac(1)), 5), 0b0010), ((MacAddr(mac(1)), 6), 0b0100)]);
    let mut demux = TestDemux::new(DemuxMethod::StationsInVlans(both));
    assert_eq!(demux.out(0, &tagged(0x8100, mac(1), 5)), [1]);
    assert_eq!(demux.out(0, &tagged(0x8100, mac(1), 6)), [2]);
    assert!(demux.out(0, &tagged(0x8100, mac(2), 6)).is_empty());
    demux.change(|config| config.ports[0].max_length = 63);
    assert!(demux.out(0, &tagged(0x8100, mac(1), 6)).is_empty());
    // The one to nobody is filtered, the long one is not.
    assert_eq!((demux.count(0, 2), demux.count(0, 3)), (1, 1));
    demux.change(|config| config.ports[0].accept_long = true);
    assert_eq!(demux.out(0, &tagged(0x8100, mac(1), 6)), [2]);
}

#[test]
fn service_tags_come_off_and_go_on_again() {
    let rules = HashMap::from([(5, 0b0010)]);
    let mut demux = TestDemux::new(DemuxMethod::Vlans { service: true, rules });
    let frame = tagged(0x88a8, mac(1), 5);
    assert_eq!(demux.enter(0, &frame), [(1, frame.clone())]);
    demux.change(|config| config.service_tags = true);
    let plain = ethernet(mac(1), mac(9), 60);
    assert_eq!(demux.enter(0, &frame), [(1, plain.clone())]);
    assert_eq!(demux.enter(1, &plain), [(0, frame)]);
    assert_eq!(demux.enter(2, &plain), [(0, plain)]);
}

/// `rte_pmd_dpaa2_mux_flow_create` of DPDK: a key of the Ethernet type.
#[test]
fn keys_of_software_tell_frames_apart() {
    let mut description = [0; 32];
    description[0] = 1;
    (description[8], description[9], description[12]) = (2, 2, 8);
    let key = KeyProfile::parse(&description).expect("a key");
    let mut bytes = [0; MAX_KEY_SIZE];
    bytes[..2].copy_from_slice(&[0x88, 0xb5]);
    let rules = vec![Rule { key: bytes, mask: None, size: 2, index: 0, action: 2 }];
    let mut demux = TestDemux::new(DemuxMethod::Custom { key, rules });
    assert_eq!(demux.out(0, &ethernet(mac(1), mac(9), 60)), [2]);
    let mut other = ethernet(mac(1), mac(9), 60);
    other[13] = 0xb6;
    assert!(demux.out(0, &other).is_empty());
    demux.change(|config| config.default = Some(1));
    assert_eq!(demux.out(0, &other), [1]);
    assert_eq!(demux.out(3, &other), [0]);
}

/// Nobody adds rules for what hangs on a demultiplexer.
#[test]
fn interfaces_are_found_by_their_own_addresses() {
    let mut demux = TestDemux::new(stations(&[]));
    demux.change(|config| {
        config.ports[1].peer = Some(Endpoint::Interface(1));
        config.ports[2].peer = Some(Endpoint::Interface(2));
        config.default = Some(3);
    });
    for id in [1, 2] {
        demux.test.change(id, |config| {
            config.peer = Some(Endpoint::Demux { id: DEMUX, port: id as u16 });
            config.receive.macs.others = vec![(MacAddr([2, 2, 2, 2, 2, id as u8]), None)];
        });
    }
    let mut reach = |to: [u8; 6]| {
        let wire = demux.out(0, &ethernet(to, mac(9), 60));
        let count = |id| demux.test.take(rx(id)).len();
        (count(1), count(2), wire)
    };
    assert_eq!(reach(mac(1)), (1, 0, vec![]));
    assert_eq!(reach([2, 2, 2, 2, 2, 2]), (0, 1, vec![]));
    assert_eq!(reach(ALL), (1, 1, vec![]));
    assert_eq!(reach(mac(7)), (0, 0, vec![3]), "promiscuous modes do not count");
}
