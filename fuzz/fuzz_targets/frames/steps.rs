// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What an input makes happen.

use crate::{
    settings::Settings,
    world::{ATTACKERS, OWN_MEMORY, OWN_POOLS, PORT, World, mac, rx, tx},
};
use arbitrary::Arbitrary;
use qbman_abi::{Fd, Format, SgEntry};

#[derive(Debug, Arbitrary)]
pub enum Step {
    /// The container's processor writes memory of its own.
    Store { at: u16, bytes: Vec<u8> },
    /// It writes a table that leads somewhere.
    Table { at: u16, entries: Vec<Entry> },
    /// It writes a frame.
    Frame { at: u16, frame: Frame },
    /// It sends frames of any kind.
    Send { second: bool, descriptors: Vec<Descriptor> },
    /// It sends a frame as it is to be done.
    Transmit { second: bool, frame: Frame, frc: u32, ctrl: u32 },
    /// It gives buffers away.
    Release { pool: u8, addresses: Vec<Address> },
    /// It takes what has come, and sends some of it on.
    Receive { second: bool, send_on: bool },
    /// A frame comes over the wire.
    Wire { frame: Frame },
    /// Its Management Complex commands change an interface.
    Change { second: bool, settings: Settings },
    /// Time passes: meters, ageing.
    Wait { by: u32 },
    /// Another container sends a frame through the switch.
    Bystander,
}

/// A place that a descriptor, an entry or a pool names.
#[derive(Debug, Arbitrary)]
pub enum Address {
    Own(u16),
    /// Of memory that is not the container's, or of no memory.
    Near(u16),
    Any(u64),
}

impl Address {
    fn iova(&self) -> u64 {
        match *self {
            Self::Own(at) => own(at),
            Self::Near(at) => at.into(),
            Self::Any(address) => address,
        }
    }
}

#[derive(Debug, Arbitrary)]
pub struct Entry {
    address: Address,
    offset: u16,
    length: u16,
    pool: u8,
    last: bool,
    raw: Option<[u8; 16]>,
}

#[derive(Debug, Arbitrary)]
pub enum Descriptor {
    Likely {
        address: Address,
        offset: u16,
        length: u16,
        table: bool,
        pool: u8,
        frc: u32,
        ctrl: u32,
    },
    Raw([u8; Fd::SIZE]),
}

impl Descriptor {
    fn fd(&self) -> Fd {
        match self {
            Self::Raw(bytes) => Fd::from_bytes(bytes),
            Self::Likely { address, offset, length, table, pool, frc, ctrl } => {
                let length_word = u32::from(*length) & 0x3fff;
                let (address, frc, ctrl) = (address.iova(), *frc, *ctrl);
                let format = if *table { Format::ScatterGather } else { Format::Single };
                let fd = Fd { address, length_word, frc, ctrl, ..Fd::default() };
                fd.with_layout(offset & 0x1ff, format).with_pool(pool_of(*pool))
            }
        }
    }
}

/// A frame of protocols that the parser knows.
#[derive(Debug, Arbitrary)]
pub struct Frame {
    to: u8,
    from: u8,
    kind: Kind,
    headers: Vec<Header>,
    payload: Vec<u8>,
    /// More bytes behind those.
    more: u8,
}

impl Frame {
    fn bytes(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        Header::Ethernet { to: self.to, from: self.from, kind: self.kind }.append(&mut frame);
        self.headers.iter().take(12).for_each(|header| header.append(&mut frame));
        frame.extend(&self.payload);
        frame.resize(frame.len() + usize::from(self.more) * 8, 0x5a);
        frame
    }
}

/// A header of a frame, by the rules of its protocol as far as the parser has to
/// find the next one.
#[derive(Debug, Arbitrary)]
pub enum Header {
    Ethernet { to: u8, from: u8, kind: Kind },
    Vlan { tag: u16, service: bool, kind: Kind },
    Snap { kind: Kind },
    Mpls { label: u32 },
    Pppoe { kind: u16 },
    Arp([u8; 28]),
    Ipv4 { protocol: Protocol, fragment: u16, options: u8, length: Option<u16>, end: [u8; 10] },
    Ipv6 { protocol: Protocol, length: u16, end: [u8; 32] },
    Extension { protocol: Protocol, length: u8, bytes: [u8; 6] },
    Tcp { offset: u8, bytes: [u8; 19] },
    Udp { ports: [u16; 2], length: u16, checksum: u16 },
    Gre { flags: u16, kind: Kind },
    Raw(Vec<u8>),
}

/// An Ethernet type.
#[derive(Debug, Arbitrary, Clone, Copy)]
pub enum Kind {
    Ipv4,
    Ipv6,
    Arp,
    Vlan,
    Service,
    Mpls,
    Pppoe,
    Any(u16),
}

impl Kind {
    fn bytes(self) -> [u8; 2] {
        let number: u16 = match self {
            Self::Ipv4 => 0x0800,
            Self::Ipv6 => 0x86dd,
            Self::Arp => 0x0806,
            Self::Vlan => 0x8100,
            Self::Service => 0x88a8,
            Self::Mpls => 0x8847,
            Self::Pppoe => 0x8864,
            Self::Any(number) => number,
        };
        number.to_be_bytes()
    }
}

/// A protocol behind an IP header.
#[derive(Debug, Arbitrary, Clone, Copy)]
pub enum Protocol {
    Tcp,
    Udp,
    Icmp,
    Gre,
    Ipv4,
    Ipv6,
    Fragment,
    Routing,
    Esp,
    Sctp,
    Any(u8),
}

impl Protocol {
    fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Icmp => 1,
            Self::Gre => 47,
            Self::Ipv4 => 4,
            Self::Ipv6 => 41,
            Self::Fragment => 44,
            Self::Routing => 43,
            Self::Esp => 50,
            Self::Sctp => 132,
            Self::Any(number) => number,
        }
    }
}

impl Header {
    fn append(&self, frame: &mut Vec<u8>) {
        match self {
            Self::Ethernet { to, from, kind } => {
                // To a station, a group or all.
                match to % 8 {
                    6 => frame.extend([1, 0, 0x5e, 0, 0, *to]),
                    7 => frame.extend([0xff; 6]),
                    to => frame.extend(mac(to.into())),
                }
                frame.extend(mac((from % 8).into()));
                frame.extend(kind.bytes());
            }
            Self::Vlan { tag, service, kind } => {
                // The Ethernet type before it says what it is.
                let outer = if *service { Kind::Service } else { Kind::Vlan };
                if let Some(at) = frame.len().checked_sub(2) {
                    frame[at..].copy_from_slice(&outer.bytes());
                }
                frame.extend(tag.to_be_bytes());
                frame.extend(kind.bytes());
            }
            Self::Snap { kind } => {
                frame.extend([0xaa, 0xaa, 3, 0, 0, 0]);
                frame.extend(kind.bytes());
            }
            Self::Mpls { label } => frame.extend(label.to_be_bytes()),
            Self::Pppoe { kind } => {
                frame.extend([0x11, 0, 0, 1, 0, 64]);
                frame.extend(kind.to_be_bytes());
            }
            Self::Arp(bytes) => frame.extend(bytes),
            Self::Ipv4 { protocol, fragment, options, length, end } => {
                let words = 5 + options % 11;
                frame.extend([0x40 | words, 0]);
                frame.extend(length.unwrap_or(60).to_be_bytes());
                frame.extend([0, 1]);
                frame.extend(fragment.to_be_bytes());
                frame.extend([64, protocol.number()]);
                frame.extend(end);
                frame.resize(frame.len() + usize::from(words - 5) * 4, 0);
            }
            Self::Ipv6 { protocol, length, end } => {
                frame.extend([0x60, 0, 0, 0]);
                frame.extend(length.to_be_bytes());
                frame.extend([protocol.number(), 64]);
                frame.extend(end);
            }
            Self::Extension { protocol, length, bytes } => {
                frame.extend([protocol.number(), length % 4]);
                frame.extend(bytes);
                frame.resize(frame.len() + usize::from(length % 4) * 8, 0);
            }
            Self::Tcp { offset, bytes } => {
                frame.extend(&bytes[..12]);
                frame.push(offset << 4);
                frame.extend(&bytes[12..]);
            }
            Self::Udp { ports, length, checksum } => {
                for field in [ports[0], ports[1], *length, *checksum] {
                    frame.extend(field.to_be_bytes());
                }
            }
            Self::Gre { flags, kind } => {
                frame.extend(flags.to_be_bytes());
                frame.extend(kind.bytes());
            }
            Self::Raw(bytes) => frame.extend(bytes),
        }
    }
}

/// An address of the container's memory.
fn own(at: u16) -> u64 {
    OWN_MEMORY.start + u64::from(at) % (OWN_MEMORY.end - OWN_MEMORY.start)
}

/// Bytes before a frame that is sent as it is to be done: its annotation.
const HEAD_ROOM: u64 = 128;

/// Mostly a pool of the container's own, sometimes none, or somebody else's.
fn pool_of(number: u8) -> Option<u16> {
    match number {
        0..200 => Some(OWN_POOLS[usize::from(number) % OWN_POOLS.len()]),
        200..230 => None,
        _ => Some(u16::from(number) % 8),
    }
}

impl World {
    pub fn step(&mut self, step: Step) {
        let attacker = |second: bool| ATTACKERS[usize::from(second)];
        match step {
            Step::Store { at, bytes } => self.store(own(at), &bytes),
            Step::Table { at, entries } => {
                let bytes = entries.iter().flat_map(|entry| {
                    let Entry { address, offset, length, pool, last, raw } = entry;
                    let (offset, length) = (offset & 0x1ff, u32::from(*length) & 0xfff);
                    let pool = pool_of(*pool).unwrap_or_default();
                    let likely = SgEntry::new(address.iova(), offset, length, pool, *last);
                    raw.unwrap_or_else(|| likely.to_bytes())
                });
                self.store(own(at), &bytes.collect::<Vec<_>>());
            }
            Step::Frame { at, frame } => self.store(own(at), &frame.bytes()),
            Step::Transmit { second, frame, frc, ctrl } => {
                let bytes = frame.bytes();
                let length = (bytes.len() as u32).min(0x1000);
                let address = OWN_MEMORY.end - 0x1000 - HEAD_ROOM;
                self.store(address + HEAD_ROOM, &bytes);
                let fd = Fd { address, length_word: length, frc, ctrl, ..Fd::default() };
                let fd = fd.with_layout(HEAD_ROOM as u16, Format::Single).with_pool(None);
                self.send(tx(attacker(second)), &[fd]);
            }
            Step::Send { second, descriptors } => {
                let id = attacker(second);
                let fds: Vec<Fd> = descriptors.iter().map(Descriptor::fd).collect();
                self.send(tx(id), &fds);
            }
            Step::Release { pool, addresses } => {
                let pool = OWN_POOLS[usize::from(pool) % OWN_POOLS.len()];
                let buffers: Vec<u64> = addresses.iter().take(16).map(Address::iova).collect();
                self.release(pool, &buffers);
            }
            Step::Receive { second, send_on } => {
                let id = attacker(second);
                let received = self.take(rx(id));
                if send_on {
                    let fds: Vec<Fd> = received.into_iter().map(Fd::to_send_on).collect();
                    self.send(tx(id), &fds);
                }
            }
            Step::Wire { frame } => self.arrive(PORT, &frame.bytes()),
            Step::Change { second, settings } => self.set_up(attacker(second), &settings),
            Step::Wait { by } => self.wait(u64::from(by) * 1000),
            Step::Bystander => self.bystander(),
        }
    }
}
