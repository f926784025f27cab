// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Literal frames through a switch between ports, whose wires are watched.

use super::*;
use crate::fabric::Engine;
use crate::wriop::{Color, MeterConfig, MeterMode, MeterUnit, PortConfig, tests::testing::*};
use qbman_abi::Fd;

const SWITCH: u32 = 7;
const ALL: [u8; 6] = [0xff; 6];
const GROUP: [u8; 6] = [1, 0, 0x5e, 1, 2, 3];

/// A switch whose interface `n` leads to port `n + 1`.
struct TestSwitch {
    test: TestWriop,
    config: SwitchConfig,
}

impl TestSwitch {
    fn new(config: SwitchConfig) -> Self {
        let test = TestWriop::new();
        for at in 0..config.ports.len() {
            let peer = Some(Endpoint::Switch { id: SWITCH, port: at as u16 });
            test.wriop
                .configure_port(at as u32 + 1, Some(PortConfig { peer, ..PortConfig::default() }));
        }
        let switch = Self { test, config };
        switch.apply();
        switch
    }

    fn apply(&self) {
        self.test.wriop.configure_switch(SWITCH, Some(self.config.clone()));
    }

    fn change(&mut self, change: impl FnOnce(&mut SwitchConfig)) {
        change(&mut self.config);
        self.apply();
    }

    /// A frame comes in at an interface; what goes out, by interface.
    fn enter(&mut self, at: usize, frame: &[u8]) -> Vec<(usize, Vec<u8>)> {
        self.test.receive(at as u32 + 1, frame);
        let mut out = std::mem::take(&mut *self.test.wires.0.lock());
        out.sort();
        out.into_iter().map(|(port, frame)| (port as usize - 1, frame)).collect()
    }

    /// The interfaces that a frame goes out at.
    fn out(&mut self, at: usize, frame: &[u8]) -> Vec<usize> {
        self.enter(at, frame).into_iter().map(|(at, _)| at).collect()
    }

    fn counters(&self, at: u16) -> [u64; 13] {
        std::array::from_fn(|number| {
            self.test.wriop.switch_counter(SWITCH, at, number as u8).expect("a counter")
        })
    }
}

fn tagged(to: [u8; 6], from: [u8; 6], tag: u16) -> Vec<u8> {
    let mut frame = ethernet(to, from, 60);
    let [high, low] = tag.to_be_bytes();
    frame.splice(12..12, [0x81, 0, high, low]);
    frame
}

#[test]
fn unknown_stations_are_flooded_and_known_ones_are_not() {
    let mut switch = TestSwitch::new(config(4));
    assert_eq!(switch.out(0, &ethernet(mac(2), mac(1), 60)), [1, 2, 3]);
    assert_eq!(switch.out(2, &ethernet(mac(1), mac(2), 60)), [0]);
    assert_eq!(switch.out(0, &ethernet(mac(2), mac(1), 60)), [2]);
    // To its own interface: its station has heard it.
    assert_eq!(switch.out(0, &ethernet(mac(1), mac(3), 60)), [] as [usize; 0]);
    assert_eq!(switch.out(1, &ethernet(ALL, mac(4), 60)), [0, 2, 3]);
    let mut first = [0; 13];
    // Two frames in, one to nowhere filtered, one back, one broadcast out.
    (first[0], first[1], first[2], first[8], first[9]) = (2, 120, 1, 2, 120);
    assert_eq!(switch.counters(0), first);
    let mut second = [0; 13];
    (second[0], second[1], second[6], second[7], second[8], second[9]) = (1, 60, 1, 60, 1, 60);
    assert_eq!(switch.counters(1), second);
}

#[test]
fn what_was_learned_is_forgotten_after_its_time() {
    let mut switch = TestSwitch::new(config(3));
    switch.out(1, &ethernet(ALL, mac(2), 60));
    switch.test.pass.set_now(0x1234 + 299);
    assert_eq!(switch.out(0, &ethernet(mac(2), mac(1), 60)), [1]);
    switch.test.pass.set_now(0x1234 + 300);
    assert_eq!(switch.out(0, &ethernet(mac(2), mac(1), 60)), [1, 2]);
}

#[test]
fn tags_come_and_go_as_the_vlan_says() {
    let mut switch = TestSwitch::new(config(4));
    switch.change(|config| {
        let members = set(&[0, 1, 2]);
        config.vlans.push(vlan(5, members, set(&[1]), &table(u64::MAX)));
        config.ports[2].tag = 3 << 13 | 5;
    });
    let frame = tagged(mac(9), mac(1), 6 << 13 | 5);
    let plain = ethernet(mac(9), mac(1), 60);
    assert_eq!(switch.enter(0, &frame), [(1, plain.clone()), (2, frame.clone())]);
    // Without a tag it gets that of the interface.
    let with_its_own = tagged(mac(9), mac(1), 3 << 13 | 5);
    assert_eq!(switch.enter(2, &plain), [(0, with_its_own), (1, plain.clone())]);
    // A tag that only says a priority keeps it.
    let priority = tagged(mac(9), mac(1), 7 << 13);
    let out = switch.enter(2, &priority);
    assert_eq!(out, [(0, tagged(mac(9), mac(1), 7 << 13 | 5)), (1, plain.clone())]);
    // The interface is not in the VLAN; there is no such VLAN.
    assert!(switch.out(3, &frame).is_empty());
    assert!(switch.out(0, &tagged(mac(9), mac(1), 6)).is_empty());
    switch.change(|config| config.ports[3].accept_all_vlans = true);
    assert_eq!(switch.out(3, &frame), [0, 1, 2]);
    // The same station in another VLAN is another one.
    assert_eq!(switch.out(3, &ethernet(mac(1), mac(3), 60)), [0, 1, 2]);
}

#[test]
fn frames_without_tag_may_be_kept_out() {
    let mut switch = TestSwitch::new(config(2));
    switch.change(|config| config.ports[0].admit = Admit::Tagged { others_to_control: false });
    assert!(switch.out(0, &ethernet(mac(9), mac(1), 60)).is_empty());
    assert!(switch.out(0, &tagged(mac(9), mac(1), 7 << 13)).is_empty());
    assert_eq!(switch.out(0, &tagged(mac(9), mac(1), 1)), [1]);
    assert_eq!(switch.counters(0)[2], 2);
    assert!(switch.out(1, &ethernet(mac(9), mac(1), 1523)).is_empty());
    assert_eq!(switch.counters(1)[3], 1);
    switch.change(|config| config.ports[1].accept_long = true);
    assert_eq!(switch.out(1, &ethernet(mac(9), mac(2), 1523)), [0]);
}

#[test]
fn groups_go_where_software_said() {
    let mut switch = TestSwitch::new(config(4));
    assert_eq!(switch.out(0, &ethernet(GROUP, mac(1), 60)), [1, 2, 3]);
    let fdb = switch.config.vlans[0].tables[0].fdb.clone();
    fdb.add_group(mc_abi::MacAddr(GROUP), set(&[0, 2]), false, 0).expect("room");
    assert_eq!(switch.out(0, &ethernet(GROUP, mac(1), 60)), [2]);
    assert_eq!(switch.out(1, &ethernet(GROUP, mac(1), 60)), [0, 2]);
    switch.change(|config| config.ports[3].floods.multicast = false);
    assert_eq!(switch.out(0, &ethernet([1, 1, 1, 1, 1, 1], mac(1), 60)), [1, 2]);
    switch.change(|config| config.ports[3].floods.broadcast = false);
    assert_eq!(switch.out(0, &ethernet(ALL, mac(1), 60)), [1, 2]);
    switch.change(|config| config.ports[1].floods.unknown = false);
    assert_eq!(switch.out(0, &ethernet(mac(9), mac(1), 60)), [2, 3]);
}

#[test]
fn the_spanning_tree_silences_interfaces() {
    let mut switch = TestSwitch::new(config(3));
    // Interface 1 learns, interface 2 is blocked.
    switch.change(|config| {
        config.vlans[0].silent = set(&[1, 2]);
        config.vlans[0].deaf = set(&[2]);
    });
    assert!(switch.out(0, &ethernet(ALL, mac(1), 60)).is_empty());
    assert_eq!((switch.counters(1)[11], switch.counters(2)[11]), (1, 1));
    assert!(switch.out(1, &ethernet(ALL, mac(2), 60)).is_empty());
    assert!(switch.out(2, &ethernet(ALL, mac(3), 60)).is_empty());
    assert_eq!((switch.counters(1)[3], switch.counters(2)[3]), (1, 1));
    switch.change(|config| (config.vlans[0].silent, config.vlans[0].deaf) = (0, 0));
    assert_eq!(switch.out(0, &ethernet(mac(2), mac(1), 60)), [1], "learned");
    assert_eq!(switch.out(0, &ethernet(mac(3), mac(1), 60)), [1, 2], "not learned");
}

/// A rule for a destination.
fn rule(to: [u8; 6], precedence: i32, action: AclAction) -> AclRule {
    let mut key = [0; ACL_KEY_SIZE];
    for (index, byte) in to.iter().rev().enumerate() {
        (key[index], key[32 + index]) = (*byte, 0xff);
    }
    AclRule { key: AclKey::parse(&key), precedence, action }
}

#[test]
fn access_control_lists_come_before_everything_else() {
    let mut switch = TestSwitch::new(config(4));
    switch.change(|config| {
        config.lists = vec![
            Vec::new(),
            vec![
                rule(mac(9), 0, AclAction::Accept),
                rule(mac(9), 1, AclAction::Drop),
                rule(mac(8), 2, AclAction::Drop),
                rule(mac(7), 3, AclAction::Redirect(3)),
            ],
        ];
        (config.ports[0].list, config.ports[1].list) = (Some(1), Some(0));
    });
    assert_eq!(switch.out(0, &ethernet(mac(9), mac(1), 60)), [1, 2, 3]);
    assert!(switch.out(0, &ethernet(mac(8), mac(1), 60)).is_empty());
    assert_eq!(switch.counters(0)[2], 1);
    assert_eq!(switch.out(0, &ethernet(mac(7), mac(1), 60)), [3]);
    assert_eq!(switch.out(1, &ethernet(mac(8), mac(1), 60)), [0, 2, 3]);
}

#[test]
fn mirrored_frames_leave_as_they_came() {
    let mut switch = TestSwitch::new(config(4));
    switch.change(|config| {
        config.vlans.push(vlan(5, set(&[0, 1]), set(&[1]), &table(set(&[0, 1]))));
        config.mirror = Some(3);
        config.ports[0].mirrors.vlans = vec![5];
    });
    let frame = tagged(mac(9), mac(1), 5);
    assert_eq!(switch.enter(0, &frame), [(1, ethernet(mac(9), mac(1), 60)), (3, frame)]);
    assert_eq!(switch.out(0, &tagged(mac(9), mac(1), 1)), [1, 2, 3]);
    switch.change(|config| config.ports[1].mirrors.all = true);
    let frame = tagged(mac(1), mac(9), 5);
    assert_eq!(switch.out(1, &frame), [0, 3]);
}

#[test]
fn interfaces_that_are_one_send_once() {
    let mut switch = TestSwitch::new(config(4));
    switch.change(|config| config.groups = vec![set(&[2, 3])]);
    let mut seen = [0; 4];
    for station in 0..40 {
        let out = switch.out(0, &ethernet(ALL, mac(station), 60));
        assert!(out == [1, 2] || out == [1, 3]);
        out.iter().for_each(|at| seen[*at] += 1);
    }
    assert!(seen[2] > 5 && seen[3] > 5, "{seen:?}");
    // Nothing comes back to a group.
    assert_eq!(switch.out(2, &ethernet(ALL, mac(50), 60)), [0, 1]);
    assert!(switch.out(3, &ethernet(mac(50), mac(51), 60)).is_empty());
    switch.change(|config| config.ports[3].aggregates = false);
    for station in 0..20 {
        assert_eq!(switch.out(0, &ethernet(mac(50), mac(station), 60)), [2]);
    }
}

/// A sender is chosen among those that can send the frame, and where there is none, one
/// counts it.
#[test]
fn a_group_sends_through_those_that_can() {
    let mut switch = TestSwitch::new(config(5));
    switch.change(|config| {
        config.groups = vec![set(&[2, 3, 4])];
        // Interface 4 is not in the VLAN, interface 3 is silent there.
        config.vlans[0].members = set(&[0, 1, 2, 3]);
        config.vlans[0].silent = set(&[3]);
    });
    for station in 0..20 {
        assert_eq!(switch.out(0, &ethernet(ALL, mac(station), 60)), [1, 2]);
    }
    switch.change(|config| config.ports[2].peer = None);
    for station in 0..20 {
        assert_eq!(switch.out(0, &ethernet(ALL, mac(station), 60)), [1]);
    }
    assert_eq!(switch.counters(2)[10], 20);
    // None of them is to send.
    switch.change(|config| {
        config.vlans[0].silent = 0;
        config.ports[2].peer = Some(Endpoint::Port(3));
        config.ports[2..].iter_mut().for_each(|port| port.aggregates = false);
    });
    assert_eq!(switch.out(0, &ethernet(ALL, mac(1), 60)), [1]);
    assert_eq!(switch.counters(2)[10], 21);
    // A frame of no VLAN that a rule sends there goes through any of them.
    switch.change(|config| {
        config.ports.iter_mut().for_each(|port| port.aggregates = true);
        config.lists = vec![vec![rule(mac(9), 0, AclAction::Redirect(2))]];
        config.ports[0].list = Some(0);
    });
    let mut seen = [0; 5];
    for station in 10..50 {
        for at in switch.out(0, &tagged(mac(9), mac(station), 77)) {
            seen[at] += 1;
        }
    }
    assert!(seen[..2] == [0, 0] && seen[2..].iter().all(|count| *count > 3), "{seen:?}");
}

/// No frame is received and then nowhere.
#[test]
fn what_has_nowhere_to_go_is_counted() {
    let mut switch = TestSwitch::new(config(3));
    let nowhere = |switch: &TestSwitch| {
        let counters = switch.counters(0);
        (counters[0], counters[3])
    };
    // To software, which does not receive.
    switch.change(|config| {
        config.lists = vec![vec![rule(mac(9), 0, AclAction::ToControl)]];
        config.ports[0].list = Some(0);
    });
    assert!(switch.out(0, &ethernet(mac(9), mac(1), 60)).is_empty());
    assert_eq!(nowhere(&switch), (0, 1));
    switch.change(|config| config.ports[0].admit = Admit::Tagged { others_to_control: true });
    assert!(switch.out(0, &ethernet(mac(8), mac(1), 60)).is_empty());
    assert_eq!(nowhere(&switch), (0, 2));
    // To a station whose interface is not in the VLAN.
    switch.change(|config| {
        config.ports[0].admit = Admit::All;
        config.vlans[0].members = set(&[0, 1]);
    });
    let fdb = switch.config.vlans[0].tables[0].fdb.clone();
    fdb.add_station(mc_abi::MacAddr(mac(7)), 2, false, 0).expect("room");
    assert!(switch.out(0, &ethernet(mac(7), mac(1), 60)).is_empty());
    assert_eq!(nowhere(&switch), (0, 3));
    // Flooded to nobody.
    switch.change(|config| config.ports[1].floods.broadcast = false);
    assert!(switch.out(0, &ethernet(ALL, mac(1), 60)).is_empty());
    assert_eq!(nowhere(&switch), (0, 4));
    assert_eq!(switch.out(0, &ethernet(mac(6), mac(1), 60)), [1]);
    assert_eq!(nowhere(&switch), (1, 4));
}

#[test]
fn meters_stop_what_is_too_much() {
    let mut switch = TestSwitch::new(config(3));
    let meter = MeterConfig {
        mode: MeterMode::TwoRate,
        unit: MeterUnit::Frames,
        committed_rate: 1,
        committed_burst: 2,
        excess_rate: 1,
        excess_burst: 2,
        initial: Color::Green,
    };
    switch.change(|config| {
        config.ports[0].flooding_meter = Some(meter);
        config.ports[1].meters[5] = Some(meter);
    });
    let flooded = [(); 3].map(|()| switch.out(0, &ethernet(ALL, mac(1), 60)).len());
    assert_eq!(flooded, [2, 2, 0]);
    let urgent = tagged(mac(1), mac(2), 5 << 13 | 1);
    let counts = [(); 3].map(|()| switch.out(1, &urgent).len());
    assert_eq!(counts, [1, 1, 0]);
    assert_eq!(switch.out(1, &tagged(mac(1), mac(2), 1)), [0]);
    // A command that changes something else leaves the meters as they are.
    switch.change(|config| config.ports[2].max_length = 100);
    assert!(switch.out(1, &urgent).is_empty());
    // A second later there is room for one more; its station is forgotten by then.
    switch.test.pass.set_now(0x1234 + 1_000_000_000);
    assert_eq!([(); 2].map(|()| switch.out(1, &urgent).len()), [2, 0]);
}

/// Queue numbers of the control interface.
const RX: u32 = 900;
const CONFIRM: u32 = 901;
const TX: u32 = 910;
const POOL: u16 = 9;

fn with_control(ports: usize) -> TestSwitch {
    let mut switch = TestSwitch::new(config(ports));
    switch.test.make_pool(POOL, ICID, [free(0), free(1)]);
    switch.change(|config| {
        let count = config.ports.len() as u32;
        config.control = Some(ControlConfig {
            rx: RX,
            confirmation: CONFIRM,
            tx: (0..count).map(|at| TX + at).collect(),
            pools: vec![crate::wriop::Pool { bpid: POOL, size: 2048, backup: false, selector: 0 }],
        });
    });
    switch
}

/// What Linux's driver relies on: the flow context says the interface, the frame
/// always has a tag.
#[test]
fn software_gets_frames_with_their_interface_and_tag() {
    let mut switch = with_control(2);
    switch.change(|config| {
        config.lists = vec![vec![rule(mac(9), 0, AclAction::ToControl)]];
        config.ports[1].list = Some(0);
        // The control interface floods too, as Linux sets it up.
        for vlan in &mut config.vlans {
            vlan.tables.iter_mut().for_each(|table| table.broadcast |= set(&[2]));
        }
    });
    assert!(switch.out(1, &ethernet(mac(9), mac(1), 60)).is_empty());
    let received = switch.test.take(RX);
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].flc >> 32 & 0xffff, 1);
    assert_eq!(received[0].pool(), Some(POOL));
    assert_eq!(switch.test.bytes(&received[0]), tagged(mac(9), mac(1), 1));
    assert_eq!(switch.out(0, &tagged(ALL, mac(1), 6 << 13 | 1)), [1]);
    let received = switch.test.take(RX);
    assert_eq!(switch.test.bytes(&received[0]), tagged(ALL, mac(1), 6 << 13 | 1));
    assert_eq!(received[0].flc >> 32 & 0xffff, 0);
    // No buffer is left.
    assert!(switch.out(1, &ethernet(mac(9), mac(1), 60)).is_empty());
    assert_eq!(switch.counters(1)[12], 1);
}

/// Sets have no bit for the control interface then.
#[test]
fn software_receives_from_a_switch_of_64_interfaces() {
    let mut switch = with_control(64);
    switch.change(|config| {
        config.lists = vec![vec![rule(mac(9), 0, AclAction::ToControl)]];
        config.ports[63].list = Some(0);
        config.ports[62].learning = Learning::SoftwareSecure;
    });
    assert!(switch.out(63, &ethernet(mac(9), mac(1), 60)).is_empty());
    assert!(switch.out(62, &ethernet(mac(8), mac(2), 60)).is_empty());
    let received = switch.test.take(RX);
    assert_eq!(received.iter().map(|fd| fd.flc >> 32 & 0xffff).collect::<Vec<_>>(), [63, 62]);
    switch.change(|config| config.control = None);
    assert!(switch.out(63, &ethernet(mac(9), mac(1), 60)).is_empty());
    assert_eq!(switch.counters(63)[3], 1);
}

#[test]
fn software_sends_through_one_interface_and_is_told() {
    let mut switch = with_control(3);
    let fd = Fd { ctrl: 0, ..switch.test.frame(free(2), &ethernet(mac(9), mac(8), 60)) };
    let TestSwitch { test, .. } = &mut switch;
    assert!(test.queues.enqueue(TX + 1, &fd, &mut test.pass));
    test.wriop.transmit_switch(SWITCH, &test.queues, &test.memory, &mut test.pass);
    let out = std::mem::take(&mut *test.wires.0.lock());
    assert_eq!(out, [(2, ethernet(mac(9), mac(8), 60))]);
    assert_eq!(test.take(CONFIRM), [fd]);
    assert_eq!(switch.counters(1)[8..11], [1, 60, 0]);
    switch.test.wriop.set_switch_counter(SWITCH, 1, 8, 41);
    assert_eq!(switch.counters(1)[8], 41);
    switch.test.wriop.reset_switch_counters(SWITCH);
    assert_eq!(switch.counters(1), [0; 13]);
}

/// A pause holds back the interface behind a port, not what a switch sends through it.
#[test]
fn what_software_sends_is_not_held_by_a_pause() {
    let mut switch = with_control(3);
    let peer = Some(Endpoint::Switch { id: SWITCH, port: 1 });
    let config = PortConfig { peer, rate: 1000, obeys_pause: true, ..PortConfig::default() };
    switch.test.wriop.configure_port(2, Some(config));
    let mut pause = ethernet([1, 0x80, 0xc2, 0, 0, 1], mac(9), 60);
    pause[12..18].copy_from_slice(&[0x88, 8, 0, 1, 3, 0xe8]);
    let fd = switch.test.frame(free(2), &ethernet(mac(9), mac(8), 60));
    let TestSwitch { test, .. } = &mut switch;
    test.receive(2, &pause);
    assert!(test.queues.enqueue(TX + 1, &fd, &mut test.pass));
    test.wriop.transmit_switch(SWITCH, &test.queues, &test.memory, &mut test.pass);
    assert_eq!(test.wires.0.lock().len(), 1);
    assert_eq!(test.take(CONFIRM), [fd]);
    assert_eq!(test.wriop.deadline(), None);
}

#[test]
fn learning_by_software_reports_unknown_stations() {
    let mut switch = with_control(2);
    let learn = |learning| move |config: &mut SwitchConfig| config.ports[0].learning = learning;
    switch.change(learn(Learning::Software));
    assert_eq!(switch.out(0, &ethernet(mac(9), mac(1), 60)), [1]);
    assert_eq!(switch.test.take(RX).len(), 1);
    let fdb = switch.config.vlans[0].tables[0].fdb.clone();
    fdb.add_station(mc_abi::MacAddr(mac(1)), 0, true, 0x1234).expect("room");
    assert_eq!(switch.out(0, &ethernet(mac(9), mac(1), 60)), [1]);
    assert!(switch.test.take(RX).is_empty());
    switch.change(learn(Learning::SoftwareSecure));
    assert_eq!(switch.out(0, &ethernet(mac(9), mac(1), 60)), [1]);
    assert!(switch.out(0, &ethernet(mac(9), mac(2), 60)).is_empty());
    assert_eq!(switch.test.take(RX).len(), 1);
    switch.change(learn(Learning::Off));
    assert_eq!(switch.out(0, &ethernet(mac(9), mac(3), 60)), [1]);
    assert!(switch.test.take(RX).is_empty());
    assert_eq!(switch.out(1, &ethernet(mac(3), mac(9), 60)), [0], "flooded");
}

/// A network interface at one end, a wire at the other; and a switch behind a
/// switch.
#[test]
fn interfaces_and_further_switches_are_connected_like_ports() {
    let mut switch = TestSwitch::new(config(3));
    let end = |id, port| Endpoint::Switch { id, port };
    switch.change(|config| {
        config.ports[0].peer = Some(Endpoint::Interface(1));
        config.ports[1].peer = Some(end(8, 1));
    });
    switch.test.change(1, |config| config.peer = Some(end(SWITCH, 0)));
    let mut second = config(2);
    second.ports[1].peer = Some(end(SWITCH, 1));
    second.ports[0].peer = Some(Endpoint::Interface(2));
    switch.test.change(2, |config| config.peer = Some(end(8, 0)));
    switch.test.wriop.configure_switch(8, Some(second));
    let frame = ethernet(mac(2), mac(1), 200);
    let fd = switch.test.frame(free(2), &frame);
    switch.test.send(1, &[fd]);
    let received = switch.test.take(rx(2));
    assert_eq!(switch.test.bytes(&received[0]), frame);
    assert_eq!(switch.test.take(confirm(1)), [fd]);
    assert_eq!(std::mem::take(&mut *switch.test.wires.0.lock()), [(3, frame)], "flooded");
    assert_eq!(switch.test.wriop.counters(1).egress_frames, 1);
    // Back over both; nothing is flooded any more.
    let fd = switch.test.frame(free(3), &ethernet(mac(1), mac(2), 200));
    switch.test.send(2, &[fd]);
    assert_eq!(switch.test.take(rx(1)).len(), 1);
    assert!(switch.test.wires.0.lock().is_empty());
}

/// Two switches connected twice would send a broadcast round for ever.
#[test]
fn a_storm_comes_to_an_end() {
    let mut switch = TestSwitch::new(config(4));
    let end = |id, port| Endpoint::Switch { id, port };
    switch.change(|config| {
        for at in 1..4 {
            config.ports[usize::from(at)].peer = Some(end(8, at));
        }
    });
    let mut second = config(4);
    for at in 0..4 {
        second.ports[usize::from(at)].peer = Some(end(SWITCH, at));
    }
    switch.test.wriop.configure_switch(8, Some(second));
    let out = switch.out(0, &ethernet(ALL, mac(1), 60));
    assert!(out.len() < 9000, "{} frames", out.len());
    assert!(switch.test.pass.next_engine() != Some(Engine::Switch(SWITCH)));
}

/// A frame that was on its way when the connection was undone is lost.
#[test]
fn nothing_arrives_from_where_nothing_is_connected() {
    let mut switch = TestSwitch::new(config(2));
    switch.change(|config| config.ports[0].peer = Some(Endpoint::Interface(1)));
    assert!(switch.out(0, &ethernet(ALL, mac(1), 60)).is_empty());
    assert_eq!(switch.counters(0)[3], 1);
    // The interface has another peer: what the switch sends is not for it.
    assert!(switch.out(1, &ethernet(ALL, mac(1), 60)).is_empty());
    assert!(switch.test.take(rx(1)).is_empty());
}
