// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Links: interfaces, ports, and who is notified of what.

use super::*;
use crate::{dpl, fabric::Message as Msi};
use mc_abi::{
    ObjectType,
    blocks::{LinkConfig, LinkState},
    common::Disable,
    dpmac, dprc,
};

const MAC: MacAddr = MacAddr([0x00, 0x04, 0x9f, 0x01, 0x02, 0x03]);

#[test]
fn a_link_follows_both_ends() {
    let mut mc = TestMc::new();
    let (one, one_token) = plain(&mut mc);
    let (two, two_token) = plain(&mut mc);
    mc.connect((one, 0), (two, 0)).unwrap();
    assert_eq!(happened(&mut mc, one_token), events::ENDPOINT_CHANGED);
    assert_eq!(happened(&mut mc, one_token), 0, "reading forgets");
    happened(&mut mc, two_token);

    mc.call(one_token, &Enable {}).unwrap();
    assert!(!up(&mut mc, one_token));
    assert_eq!(happened(&mut mc, one_token), 0);
    mc.call(two_token, &Enable {}).unwrap();
    for token in [one_token, two_token] {
        assert!(up(&mut mc, token));
        assert_eq!(happened(&mut mc, token), events::LINK_CHANGED);
    }
    mc.call(two_token, &Disable {}).unwrap();
    for token in [one_token, two_token] {
        assert!(!up(&mut mc, token));
        assert_eq!(happened(&mut mc, token), events::LINK_CHANGED);
    }
    mc.call(two_token, &Enable {}).unwrap();
    mc.destroy(two).unwrap();
    let both = events::LINK_CHANGED | events::ENDPOINT_CHANGED;
    assert_eq!(happened(&mut mc, one_token) & both, both);
    assert!(!up(&mut mc, one_token));
}

#[test]
fn an_interface_can_talk_to_itself() {
    let mut mc = TestMc::new();
    let (id, dpni) = plain(&mut mc);
    mc.connect((id, 0), (id, 0)).unwrap();
    mc.call(dpni, &Enable {}).unwrap();
    assert!(up(&mut mc, dpni));
}

#[test]
fn the_interrupt_tells_of_up_and_down() {
    let mut mc = TestMc::new();
    let (id, dpni) = plain(&mut mc);
    let (mac, _) = port(&mut mc, 3);
    mc.connect((id, 0), (mac, 0)).unwrap();
    // What drivers do first: nothing from before may reach them.
    mc.call(dpni, &Reset {}).unwrap();
    mc.messages();
    mc.listen(dpni, 0, 0x1000);
    assert_eq!(mc.messages(), []);
    for on in [true, false, true] {
        if on {
            mc.call(dpni, &Enable {}).unwrap();
        } else {
            mc.call(dpni, &Disable {}).unwrap();
        }
        let messages = mc.messages();
        assert!(matches!(messages[..], [Msi { address: 0x1000, .. }]), "{on} {messages:?}");
        assert_eq!(up(&mut mc, dpni), on);
        assert_eq!(happened(&mut mc, dpni), events::LINK_CHANGED);
    }
    // Read with no bits, cleared by the command: the other way.
    mc.call(dpni, &Disable {}).unwrap();
    let get = dpni::GetIrqStatus { status: 0, index: 0 };
    assert_eq!(mc.call(dpni, &get).unwrap().status, events::LINK_CHANGED);
    assert_eq!(mc.call(dpni, &get).unwrap().status, events::LINK_CHANGED);
    let clear = mc_abi::common::ClearIrqStatus { status: events::LINK_CHANGED, index: 0 };
    mc.call(dpni, &clear).unwrap();
    assert_eq!(mc.call(dpni, &get).unwrap().status, 0);
}

#[test]
fn a_port_gives_its_address_and_its_link() {
    let mut mc = TestMc::new();
    mc.state.ports.push(dpl::Port {
        id: 17,
        link_type: Some(dpl::LinkType::Phy),
        interface: None,
        fec_mode: None,
        mac_address: Some(MAC.0),
    });
    let (id, dpni) = plain(&mut mc);
    let (mac, mac_token) = port(&mut mc, 17);
    assert_eq!(mac.id, 17);
    let attributes = mc.call(mac_token, &dpmac::GetAttributes {}).unwrap();
    assert_eq!((attributes.id, attributes.link_type), (17, dpmac::link_type::PHY));
    assert_eq!((attributes.eth_if, attributes.max_rate), (dpmac::eth_if::RGMII, 1000));
    assert_eq!(mc.call(mac_token, &dpmac::GetMacAddr {}).unwrap().address, MAC);

    let primary = |mc: &mut TestMc| mc.call(dpni, &dpni::GetPrimaryMacAddr {}).unwrap().address;
    assert_eq!(primary(&mut mc), MacAddr::ZERO);
    mc.connect((id, 0), (mac, 0)).unwrap();
    assert_eq!(primary(&mut mc), MAC, "inherited");
    assert_eq!(mc.call(dpni, &dpni::GetPortMacAddr {}).unwrap().address, MAC);
    let end = crate::mc::Endpoint { object: id, interface: 0 };
    mc.state.disconnect(end).unwrap();
    assert_eq!(primary(&mut mc), MAC, "kept");
    mc.connect((id, 0), (mac, 0)).unwrap();
    let own = MacAddr([2, 0, 0, 0, 0, 9]);
    mc.call(dpni, &dpni::SetPrimaryMacAddr { address: own }).unwrap();
    assert_eq!(primary(&mut mc), own);
    // Board: V-DPNI-3 of the ledger.
    mc.call(dpni, &Reset {}).unwrap();
    assert_eq!(primary(&mut mc), own);

    let want = LinkConfig { rate: 1000, options: 5, advertising: 4 };
    mc.call(dpni, &dpni::SetLinkCfg { link: want }).unwrap();
    assert_eq!(mc.call(mac_token, &dpmac::GetLinkCfg {}).unwrap().link, want);
    assert_eq!(mc.call(dpni, &dpni::GetLinkCfg {}).unwrap().link, want);

    mc.call(dpni, &Enable {}).unwrap();
    assert!(!up(&mut mc, dpni), "the PHY has no link");
    happened(&mut mc, dpni);
    let state = dpmac::SetLinkState {
        link: LinkState { up: true, rate: 100, options: 1, ..LinkState::default() },
    };
    mc.call(mac_token, &state).unwrap();
    assert_eq!(happened(&mut mc, dpni), events::LINK_CHANGED);
    let link = mc.call(dpni, &dpni::GetLinkState {}).unwrap().link;
    assert_eq!((link.up, link.rate, link.options), (true, 100, 1));
    mc.call(mac_token, &state).unwrap();
    assert_eq!(happened(&mut mc, dpni), 0, "nothing new");

    mc.call(dpni, &dpni::SetPortCfg { flags: 1, loopback: true }).unwrap();
    let disconnect = dprc::Disconnect { id: id.id, kind: ObjectType::Dpni, interface: 0 };
    mc.call(mc.root, &disconnect).unwrap();
    assert!(!up(&mut mc, dpni));
    assert_eq!(mc.call(dpni, &dpni::GetPortCfg {}), Err(Status::InvalidState));
    assert_eq!(mc.call(dpni, &dpni::GetPortMacAddr {}).unwrap().address, MacAddr::ZERO);
}

#[test]
fn ports_are_those_of_the_chip() {
    let mut mc = TestMc::new();
    for mac in [0, 19, 0x1_0001] {
        assert_eq!(mc.create(&dpmac::Create { mac }), Err(Status::ConfigurationError));
    }
    let (_, token) = port(&mut mc, 5);
    assert_eq!(mc.create(&dpmac::Create { mac: 5 }), Err(Status::NoResource));
    let attributes = mc.call(token, &dpmac::GetAttributes {}).unwrap();
    assert_eq!((attributes.max_rate, attributes.ipg_length), (25_000, 12));
    mc.call(token, &dpmac::SetProtocol { eth_if: dpmac::eth_if::XFI }).unwrap();
    assert_eq!(mc.call(token, &dpmac::GetAttributes {}).unwrap().max_rate, 10_000);
    let pins = dpmac::SetProtocol { eth_if: dpmac::eth_if::RGMII };
    assert_eq!(mc.call(token, &pins), Err(Status::ConfigurationError));
    assert_eq!(mc.call(token, &dpmac::GetCounter { counter: 27 }).unwrap().value, 0);
    let newer = dpmac::GetCounter { counter: 28 };
    assert_eq!(mc.call(token, &newer), Err(Status::ConfigurationError));
    let read = dpmac::MdioRead::default();
    assert_eq!(mc.call(token, &read), Err(Status::UnsupportedOperation));
}

#[test]
fn a_layout_gives_addresses_and_a_configuration_ports() {
    use dpl::{Connection, Container, Dpc, Dpl, Endpoint, Object, Placement};
    let names = [
        ObjectId::new(ObjectType::Dpni, 4),
        ObjectId::new(ObjectType::Dpni, 7),
        ObjectId::new(ObjectType::Dpmac, 5),
    ];
    let [own, inheriting, port] = names;
    let place = |object| Placement { object, plugged: true, label: None };
    let interface = |id, mac_address| {
        let config = dpl::Config::Dpni(dpni::Create::default());
        Object { id, config, mac_address }
    };
    let layout = Dpl {
        containers: vec![Container {
            id: 1,
            objects: names.map(place).to_vec(),
            ..Default::default()
        }],
        objects: vec![
            interface(own.id, Some(MacAddr([2, 0, 0, 0, 0, 8]))),
            interface(inheriting.id, None),
            Object::new(port.id, dpl::Config::Dpmac(dpmac::Create { mac: 5 })),
        ],
        connections: vec![Connection {
            endpoint1: Endpoint { object: inheriting, interface: 0 },
            endpoint2: Endpoint { object: port, interface: 0 },
            committed_rate: 0,
            max_rate: 0,
        }],
        ..Default::default()
    };
    let configuration = Dpc {
        ports: vec![dpl::Port {
            id: 5,
            link_type: None,
            interface: Some(dpl::EthInterface::Xfi),
            fec_mode: Some(dpl::FecMode::Rs),
            mac_address: Some(MAC.0),
        }],
        ..Default::default()
    };
    let mut mc = TestMc::loaded(&layout, Some(&configuration));
    let address = |mc: &mut TestMc, id| {
        let dpni = mc.open(ObjectId::new(ObjectType::Dpni, id));
        mc.call(dpni, &Reset {}).unwrap();
        mc.call(dpni, &dpni::GetPrimaryMacAddr {}).unwrap().address
    };
    assert_eq!(address(&mut mc, own.id), MacAddr([2, 0, 0, 0, 0, 8]));
    assert_eq!(address(&mut mc, inheriting.id), MAC);
    let port = mc.open(ObjectId::new(ObjectType::Dpmac, port.id));
    let attributes = mc.call(port, &dpmac::GetAttributes {}).unwrap();
    assert_eq!((attributes.max_rate, attributes.fec_mode), (10_000, 1));
}
