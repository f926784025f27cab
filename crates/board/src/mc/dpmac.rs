// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Ethernet ports.
//!
//! What a port is, the board's configuration says; whoever drives its PHY
//! tells the MC the link's state, which the connected interface then sees.

use super::{
    Answer, Body, Call, Endpoint, Family, Object, State, connections, family::PhysicalPort,
    port_counters,
};
use crate::dpl::{Fields, Properties, Writing};
use crate::mc::refusal::{Because, CREATED_BY_CONTAINER, NOT_IMPLEMENTED, Refusal};
use crate::{dpl, fabric::Pass, soc::Mac, wriop::PortConfig};
use mc_abi::{
    MacAddr, ObjectId, ObjectType, Status,
    blocks::{LinkConfig, LinkState, link_options},
    dpmac::{self, Command, eth_if, events, link_type},
};

/// Length of the gap between frames, octets (`dpmac_ifg_cfg`).
const DEFAULT_IPG: u8 = 12;
/// Flag of [`dpmac::SetParams`]: the gap is meant.
const PARAMS_IPG: u32 = 1;
/// Longest gap that the field of the hardware's register takes.
const MAX_IPG: u8 = 0x7f;

/// An Ethernet port.
#[derive(Debug)]
pub(crate) struct Port {
    /// Number of the hardware MAC.
    mac: u16,
    /// Fastest rate of its SerDes lanes, Mbit/s.
    fastest: u32,
    link_type: u8,
    fec_mode: u8,
    initial_eth_if: u8,
    eth_if: u8,
    ipg_mode: u8,
    ipg_length: u8,
    /// Burned-in address.
    pub address: MacAddr,
    /// The physical side of the link.
    pub link: LinkState,
}

impl Port {
    /// A port from what the board says of it; where it says nothing, as the
    /// chip's reference design board has it.
    fn new(mac: u16, chip: &Mac, board: Option<&dpl::Port>, wire: bool) -> Self {
        let given = board.and_then(|port| port.interface).map(|kind| kind as u8);
        let kind = given.unwrap_or(chip.interface);
        // There are no PHYs behind the ports of this board: a link is up by
        // itself unless a configuration says that somebody drives one.
        let link_type = board.and_then(|port| port.link_type);
        let fec_mode = board.and_then(|port| port.fec_mode);
        let address = board.and_then(|port| port.mac_address);
        let mut port = Self {
            mac,
            fastest: chip.fastest,
            link_type: link_type.map_or(link_type::FIXED, |kind| kind as u8),
            fec_mode: fec_mode.map_or(0, |mode| mode as u8),
            initial_eth_if: kind,
            eth_if: kind,
            ipg_mode: 0,
            ipg_length: DEFAULT_IPG,
            address: address.map_or_else(|| default_address(mac), MacAddr),
            link: LinkState::default(),
        };
        port.reset_link(wire);
        port
    }

    /// A fixed link is up while there is a wire. Others are as who drives the PHY
    /// says.
    fn reset_link(&mut self, wire: bool) {
        self.link = LinkState {
            up: self.link_type == link_type::FIXED && wire,
            rate: self.max_rate(),
            ..LinkState::default()
        };
    }

    /// Fastest rate, Mbit/s.
    fn max_rate(&self) -> u32 {
        match self.eth_if {
            eth_if::MII | eth_if::RMII | eth_if::SMII => 100,
            eth_if::GMII..=eth_if::QSGMII | eth_if::BASE_X_1000 => 1000,
            // The same kind for 25, 40, 50 and 100 Gbit/s.
            eth_if::CAUI => self.fastest,
            _ => 10_000,
        }
    }

    fn attributes(&self) -> dpmac::GetAttributesReply {
        dpmac::GetAttributesReply {
            eth_if: self.eth_if,
            link_type: self.link_type,
            id: self.mac,
            max_rate: self.max_rate(),
            fec_mode: self.fec_mode,
            ipg_mode: self.ipg_mode,
            ipg_length: self.ipg_length,
            // Nothing configures the equaliser: all at its default.
            ..Default::default()
        }
    }
}

/// The address of a port that none was burned into: locally administered, told
/// apart by its last byte. On a board the boot loader sees to it.
const fn default_address(mac: u16) -> MacAddr {
    let [high, low] = mac.to_be_bytes();
    MacAddr([0x02, 0x00, 0x00, 0x00, high, low])
}

impl Family for Port {
    /// Of firmware 10.39 (board observation).
    const VERSION: (u16, u16) = (4, 10);
    const IRQS: u8 = 1;
    type Create = dpmac::Create;

    /// A port has the number of its hardware MAC.
    fn number(request: &dpmac::Create) -> Option<u32> {
        Some(request.mac)
    }

    fn create(
        state: &mut State,
        id: u32,
        _container: u32,
        request: &dpmac::Create,
    ) -> Result<Self, Refusal> {
        let mac = u16::try_from(request.mac).ok().filter(|mac| u32::from(*mac) == id);
        let chip = state.config.soc.mac(request.mac);
        let (Some(mac), Some(chip)) = (mac, chip) else {
            return Err(
                Status::ConfigurationError.because(format!("this SoC has no MAC {}", request.mac))
            );
        };
        let board = state.ports.iter().find(|port| port.id == mac);
        // That it is refused is on record (board: V-DPMAC-2 of the ledger), with
        // which status is not.
        if board.is_none() && state.only_these_ports {
            let reason = format!("the board's configuration (DPC) has no mac@{mac}");
            return Err(Status::ConfigurationError.because(reason));
        }
        Ok(Self::new(mac, chip, board, !state.wires_down.contains(&id)))
    }

    fn destroy(self, state: &mut State, id: u32) {
        state.fabric.wriop().configure_port(id, None);
    }

    fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
        let id = call.object;
        match command {
            Command::GetCounter(get) => {
                let value = port_counters::counter(state, id, get.counter.into())?;
                return call.reply(get, dpmac::GetCounterReply { value });
            }
            Command::GetStatistics(get) => {
                let dpmac::GetStatistics { numbers_iova, values_iova, count } = *get;
                port_counters::write(state, id, id, numbers_iova, values_iova, count)?;
                return Ok(Answer::DONE);
            }
            _ => {}
        }
        let wire = !state.wires_down.contains(&id.id);
        let port = state.body_mut::<Self>(call.object.id)?;
        match command {
            Command::GetAttributes(get) => return call.reply(get, port.attributes()),
            Command::GetMacAddr(get) => {
                return call.reply(get, dpmac::GetMacAddrReply { address: port.address });
            }
            Command::GetLinkCfg(get) => {
                let link = wanted(state, call.object);
                return call.reply(get, dpmac::GetLinkCfgReply { link });
            }
            Command::SetLinkState(set) => set_link_state(state, call.object, set)?,
            Command::SetParams(set) => {
                let wrong = set.ipg_mode > 1 || set.ipg_length > MAX_IPG;
                if set.flags & !PARAMS_IPG != 0 || wrong {
                    return Err(Status::ConfigurationError
                        .because(format!("the gap is at most {MAX_IPG} bytes, its mode 0 or 1")));
                }
                if set.flags & PARAMS_IPG != 0 {
                    (port.ipg_mode, port.ipg_length) = (set.ipg_mode, set.ipg_length);
                }
            }
            Command::SetProtocol(set) => {
                // RGMII has pins of its own, the others share a SerDes lane.
                let rgmii = |kind| kind == eth_if::RGMII;
                let moves = rgmii(set.eth_if) != rgmii(port.initial_eth_if);
                if set.eth_if > eth_if::USXGMII || moves {
                    return Err(Status::ConfigurationError
                        .because("the MAC has no such interface on its pins"));
                }
                port.eth_if = set.eth_if;
                if port.link_type == link_type::FIXED {
                    port.reset_link(wire);
                    tell_peer(state, call.object);
                }
            }
            // There is no PHY to talk to.
            Command::MdioRead(_) | Command::MdioWrite(_) => {
                return Err(Status::UnsupportedOperation.because("there is no PHY on the board"));
            }
            // Executed above.
            Command::GetCounter(_) | Command::GetStatistics(_) => {
                return Err(Status::UnsupportedOperation.because(NOT_IMPLEMENTED));
            }
            // Firmware 10.40 has them, the 10.39 that this board reports has
            // not.
            Command::GetIeventRegBase(_) | Command::SetSupportedEthIf(_) => {
                return Err(Status::UnsupportedOperation
                    .because("firmware 10.40 has this command, the one here has not"));
            }
            // Made through the container's token, never through the object's.
            Command::Create(_) => {
                return Err(Status::UnsupportedOperation.because(CREATED_BY_CONTAINER));
            }
        }
        Ok(Answer::DONE)
    }

    fn reset(state: &mut State, id: u32) {
        let wire = !state.wires_down.contains(&id);
        if let Ok(port) = state.body_mut::<Self>(id) {
            (port.ipg_mode, port.ipg_length) = (0, DEFAULT_IPG);
            port.eth_if = port.initial_eth_if;
            port.reset_link(wire);
        }
        tell_peer(state, ObjectId::new(ObjectType::Dpmac, id));
    }

    /// A port is notified when an interface becomes ready or ceases to be, so that
    /// it is programmed anew.
    fn link_changed(state: &mut State, id: u32, _interface: u16) {
        state.touch(ObjectId::new(ObjectType::Dpmac, id));
    }

    fn connected(state: &mut State, id: u32, _interface: u16, _peer: Option<Endpoint>) {
        let name = ObjectId::new(ObjectType::Dpmac, id);
        state.raise(name, 0, events::ENDPOINT_CHANGED);
        state.touch(name);
    }
}

impl Body for Port {
    fn link_ready(&self, _interface: u16) -> bool {
        self.link.up
    }

    fn interfaces(&self) -> u16 {
        1
    }

    fn port(&self) -> Option<PhysicalPort> {
        let is_fixed = self.link_type == link_type::FIXED;
        Some(PhysicalPort { link: self.link, address: self.address, is_fixed })
    }

    fn program(&self, state: &State, object: &Object, _icid: u16, _pass: &mut Pass) {
        let end = Endpoint { object: object.id, interface: 0 };
        let peer = state.peer(end).filter(|_| state.link_up(end));
        let options = self.port().map_or(0, |port| port.options(wanted(state, object.id)));
        let has = |option| options & option != 0;
        let config = PortConfig {
            peer: peer.and_then(connections::in_data_plane),
            address: self.address,
            rate: self.link.rate,
            obeys_pause: has(link_options::PAUSE),
            asks_to_pause: has(link_options::PAUSE) != has(link_options::ASYM_PAUSE),
        };
        state.fabric.wriop().configure_port(object.id.id, Some(config));
    }
}

/// The physical side of a port's link comes up or goes down.
pub(crate) fn set_wire(state: &mut State, id: u32, up: bool) {
    let changed = if up { state.wires_down.remove(&id) } else { state.wires_down.insert(id) };
    let name = ObjectId::new(ObjectType::Dpmac, id);
    let Ok(port) = state.body_mut::<Port>(id) else { return };
    if changed && port.link_type == link_type::FIXED {
        port.reset_link(up);
        state.raise(name, 0, events::LINK_CHANGED);
        tell_peer(state, name);
    }
}

/// The link that the connected interface asks for.
fn wanted(state: &State, port: ObjectId) -> LinkConfig {
    let peer = state.peer(Endpoint { object: port, interface: 0 });
    peer.map_or_else(LinkConfig::default, |peer| state.link_wanted(peer))
}

/// Takes the physical side's state. Whether it vouches for it or not, the
/// state counts: Linux never says so, and boards follow (board observation).
fn set_link_state(
    state: &mut State,
    id: ObjectId,
    set: &dpmac::SetLinkState,
) -> Result<(), Refusal> {
    let port = state.body_mut::<Port>(id.id)?;
    let mut link = set.link;
    if !link.state_valid {
        (link.supported, link.advertising) = (0, 0);
    }
    if port.link != link {
        port.link = link;
        state.raise(id, 0, events::LINK_CHANGED);
        tell_peer(state, id);
    }
    Ok(())
}

/// Tells the connected interface that its link may have changed.
fn tell_peer(state: &mut State, port: ObjectId) {
    state.tell_peer(Endpoint { object: port, interface: 0 });
}

impl Properties for dpmac::Create {
    /// How the port is linked is a fact of the board and stands in its data path
    /// configuration, not in a layout.
    fn read(fields: &Fields<'_>, id: u32) -> Self {
        if !(1..=u16::MAX.into()).contains(&id) {
            let remedy = "name the node after the MAC, such as dpmac@1";
            fields.error(format!("{id} is not a hardware MAC: they are numbered from 1"), remedy);
        }
        if let Some(given) = fields.number("mac_id", 0..=u32::MAX).filter(|given| *given != id) {
            let reason = format!("{given} is not the {id} of the node's name");
            fields.error_in("mac_id", reason, "make them equal, or leave the property out");
        }
        Self { mac: id }
    }

    /// The node's name says it all.
    fn write(&self, _to: &mut Writing) {}
}
