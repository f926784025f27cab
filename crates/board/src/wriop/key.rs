// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Keys: bytes of a frame that software chooses, for hashing and for tables.
//!
//! A key is described by a structure in guest memory (`struct
//! dpni_ext_set_rx_tc_dist` of DPDK, `dpkg_prepare_key_cfg` of Linux): a list of
//! extractions, one after the other. Protocols and fields have the numbers of
//! `fsl_net.h`.
//!
//! What is chosen, since no source says it: a field of a header that the frame
//! does not have is zero; an IP address takes four or sixteen bytes, as the
//! frame has it (DPDK puts addresses last because of that), and four where there
//! is none; ports are the first bytes of any layer 4 header that has ports,
//! whichever protocol is named (Linux counts on that).

use super::parser::Parsed;
use qbman_abi::annotation::{ABSENT, flag};

/// Longest key, bytes (`DPNI_MAX_KEY_SIZE`).
pub const MAX_KEY_SIZE: usize = 56;
/// Bytes of the structure before its list.
const HEADER: usize = 8;
/// Bytes of an extraction in the structure.
const EXTRACTION: usize = 24;
/// Most extractions (`DPKG_MAX_NUM_OF_EXTRACTS`; Linux has ten).
const MOST_EXTRACTIONS: usize = 20;
/// Bytes that can be masked in an extraction.
const MASKS: usize = 4;

/// A description of a key that means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// More extractions than there can be.
    #[error("a key of {0} extractions")]
    TooMany(usize),
    /// An extraction of a kind, protocol or field that there is not.
    #[error("extraction {0} of a key is of an unknown kind, protocol or field")]
    Unknown(usize),
    /// The key is longer than the hardware's.
    #[error("a key of {0} bytes")]
    TooLong(usize),
}

/// How a key is made from a frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyProfile {
    extractions: Vec<Extraction>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extraction {
    source: Source,
    size: u8,
    /// A byte's number in what is extracted, and what remains of it.
    masks: [(u8, u8); MASKS],
    masked: u8,
}

/// Where bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The frame, from its start.
    Frame { offset: u8 },
    /// The parse result.
    Result { offset: u8 },
    /// A header.
    Header { header: Header, offset: u8 },
    /// An IP address.
    Address { inner: bool, destination: bool },
    /// A value of at most two bytes that does not lie in the frame as it is.
    Value(Value),
}

/// A header that bytes are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    Ethernet,
    LastEthertype,
    Vlan {
        last: bool,
    },
    Ip {
        inner: bool,
        version: Version,
    },
    /// Layer 4 of any protocol that has ports.
    Ports,
    /// Layer 4, where these flags are set.
    L4(u128),
    Mpls {
        last: bool,
    },
    SecondMpls,
    Gre,
    Pppoe,
    Arp,
    /// What follows layer 4, where these flags are set.
    L5(u128),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Any,
    Four,
    Six,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    VlanPriority { last: bool },
    VlanId { last: bool },
    IpProtocol { inner: bool, version: Version },
    TrafficClass { inner: bool },
}

/// A key. Bytes past its length are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub bytes: [u8; MAX_KEY_SIZE],
    pub length: usize,
    /// There was more than fits.
    pub overflowed: bool,
}

impl Key {
    /// One without bytes.
    pub const EMPTY: Self = Self { bytes: [0; MAX_KEY_SIZE], length: 0, overflowed: false };

    /// The key's bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Room for `size` more bytes, zero so far.
    #[inline]
    fn extend(&mut self, size: usize) -> &mut [u8] {
        let start = self.length;
        if start + size > MAX_KEY_SIZE {
            self.overflowed = true;
            return &mut [];
        }
        self.length += size;
        self.bytes.get_mut(start..start + size).unwrap_or_default()
    }
}

/// Numbers of `fsl_net.h`.
mod net {
    pub const ETH: u8 = 2;
    pub const VLAN: u8 = 3;
    pub const IPV4: u8 = 4;
    pub const IPV6: u8 = 5;
    pub const IP: u8 = 6;
    pub const TCP: u8 = 7;
    pub const UDP: u8 = 8;
    pub const UDP_LITE: u8 = 9;
    pub const SCTP: u8 = 11;
    pub const PPPOE: u8 = 13;
    pub const MPLS: u8 = 24;
    pub const IPSEC_AH: u8 = 25;
    pub const IPSEC_ESP: u8 = 26;
    pub const GRE: u8 = 29;
    pub const DCCP: u8 = 31;
    pub const ICMP: u8 = 32;
    pub const IGMP: u8 = 33;
    pub const ARP: u8 = 34;
    pub const ICMPV6: u8 = 38;
    pub const GTP: u8 = 42;
}

impl KeyProfile {
    /// Bytes of the longest description.
    pub const MAX_SIZE: usize = HEADER + MOST_EXTRACTIONS * EXTRACTION;

    /// How many bytes of the description there are, from its first ones.
    ///
    /// # Errors
    /// [`KeyError::TooMany`].
    pub fn size(header: [u8; HEADER]) -> Result<usize, KeyError> {
        let count = usize::from(header[0]);
        if count > MOST_EXTRACTIONS {
            return Err(KeyError::TooMany(count));
        }
        Ok(HEADER + count * EXTRACTION)
    }

    /// Reads a description.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn parse(description: &[u8]) -> Result<Self, KeyError> {
        let list = description.get(HEADER..).unwrap_or_default();
        let extractions = list.chunks_exact(EXTRACTION).enumerate().map(|(index, bytes)| {
            let bytes = bytes.first_chunk().ok_or(KeyError::Unknown(index))?;
            Extraction::parse(bytes).ok_or(KeyError::Unknown(index))
        });
        let profile = Self { extractions: extractions.collect::<Result<_, _>>()? };
        let size = profile.extractions.iter().map(|extraction| usize::from(extraction.size)).sum();
        if size > MAX_KEY_SIZE { Err(KeyError::TooLong(size)) } else { Ok(profile) }
    }

    /// Whether there is nothing to extract.
    pub fn is_empty(&self) -> bool {
        self.extractions.is_empty()
    }

    /// The key of a frame.
    pub(super) fn extract(&self, frame: &[u8], parsed: &Parsed) -> Key {
        let mut key = Key::EMPTY;
        self.extract_to(&mut key, frame, parsed);
        key
    }

    /// Puts the key of a frame where there is an empty one: keys are large.
    pub(super) fn extract_to(&self, key: &mut Key, frame: &[u8], parsed: &Parsed) {
        for extraction in &self.extractions {
            extraction.extract(frame, parsed, key);
        }
    }
}

impl Extraction {
    fn parse(bytes: &[u8; EXTRACTION]) -> Option<Self> {
        const FROM_HEADER: u8 = 0;
        const FROM_DATA: u8 = 1;
        const FROM_RESULT: u8 = 3;
        let [
            prot,
            how,
            size,
            offset,
            f0,
            f1,
            f2,
            f3,
            index,
            _,
            _,
            masked,
            kind,
            _,
            _,
            _,
            rest @ ..,
        ] = *bytes;
        let field = u32::from_le_bytes([f0, f1, f2, f3]);
        let (source, size) = match kind & 0xf {
            FROM_HEADER => from_header(prot, how & 0xf, field, size, offset, index)?,
            FROM_DATA => (Source::Frame { offset }, size),
            FROM_RESULT => (Source::Result { offset }, size),
            _ => return None,
        };
        let [m0, o0, m1, o1, m2, o2, m3, o3] = rest;
        let masks = [(o0, m0), (o1, m1), (o2, m2), (o3, m3)];
        (usize::from(masked) <= MASKS).then_some(Self { source, size, masks, masked })
    }

    #[inline]
    fn extract(&self, frame: &[u8], parsed: &Parsed, key: &mut Key) {
        let start = key.length;
        match self.source {
            Source::Header { header, offset } => {
                header.extract(offset, self.size.into(), frame, parsed, key);
            }
            // Not in this loop, which is to stay small.
            source => source.extract(self.size.into(), frame, parsed, key),
        }
        for (place, mask) in self.masks.iter().take(self.masked.into()) {
            if let Some(byte) = key.bytes.get_mut(start + usize::from(*place)) {
                *byte &= mask;
            }
        }
    }
}

impl Source {
    /// Adds `size` bytes to a key.
    #[inline(never)]
    fn extract(self, size: usize, frame: &[u8], parsed: &Parsed, key: &mut Key) {
        match self {
            Self::Frame { offset } => copy(frame, Some(offset.into()), key.extend(size)),
            Self::Result { offset } => {
                copy(&parsed.result.to_array(), Some(offset.into()), key.extend(size));
            }
            Self::Header { header, offset } => header.extract(offset, size, frame, parsed, key),
            Self::Address { inner, destination } => address(frame, parsed, inner, destination, key),
            Self::Value(value) => {
                let value = value.of(frame, parsed).unwrap_or(0).to_be_bytes();
                let target = key.extend(size);
                let from = value.len().saturating_sub(target.len());
                copy(&value, Some(from), target);
            }
        }
    }
}

/// Copies what there is from `at` on.
#[inline]
fn copy(from: &[u8], at: Option<usize>, to: &mut [u8]) {
    let rest = at.and_then(|at| from.get(at..)).unwrap_or_default();
    let there = rest.len().min(to.len());
    if let (Some(to), Some(rest)) = (to.get_mut(..there), rest.get(..there)) {
        // Fields are short: a call costs more than what it copies.
        match there {
            0..=8 => to.iter_mut().zip(rest).for_each(|(to, from)| *to = *from),
            _ => to.copy_from_slice(rest),
        }
    }
}

fn address(frame: &[u8], parsed: &Parsed, inner: bool, destination: bool, key: &mut Key) {
    let (ip, size, source) = match ip_header(parsed, inner) {
        Some(ip) if ip.v6 => (Some(ip), 16, 8),
        ip => (ip, 4, 12),
    };
    let offset = source + if destination { size } else { 0 };
    copy(frame, ip.map(|ip| ip.start + offset), key.extend(size));
}

/// The first IP header or the last one.
fn ip_header(parsed: &Parsed, inner: bool) -> Option<super::parser::Ip> {
    if inner { parsed.inner.or(parsed.ip) } else { parsed.ip }
}

impl Header {
    /// Adds `size` bytes of the header, from `offset` on, to a key.
    #[inline]
    fn extract(self, offset: u8, size: usize, frame: &[u8], parsed: &Parsed, key: &mut Key) {
        let at = self.place(parsed).map(|at| at + usize::from(offset));
        copy(frame, at, key.extend(size));
    }

    /// Where the header starts in the frame.
    fn place(self, parsed: &Parsed) -> Option<usize> {
        const PORTS: u128 = flag::TCP | flag::UDP | flag::SCTP | flag::UDP_LITE | flag::DCCP;
        let result = &parsed.result;
        let place = match self {
            Self::Ethernet => result.ethernet,
            Self::LastEthertype => result.last_ethertype,
            Self::Vlan { last: false } => result.vlan_first,
            Self::Vlan { last: true } => result.vlan_last,
            Self::Ip { inner, version } => {
                let ip = ip_header(parsed, inner).filter(|ip| version.is(ip.v6))?;
                return Some(ip.start);
            }
            Self::Ports if result.has_any(PORTS) => result.l4,
            Self::L4(flags) if result.has_any(flags) => result.l4,
            Self::L5(flags) if result.has_any(flags) => result.l5,
            Self::Ports | Self::L4(_) | Self::L5(_) => ABSENT,
            Self::Mpls { last: false } => result.mpls_first,
            Self::Mpls { last: true } => result.mpls_last,
            Self::SecondMpls if result.mpls_last != result.mpls_first => {
                return Some(usize::from(result.mpls_first) + 4);
            }
            Self::SecondMpls => ABSENT,
            Self::Gre => result.gre,
            Self::Pppoe => result.pppoe,
            Self::Arp if result.has(flag::ARP) => result.l3,
            Self::Arp => ABSENT,
        };
        (place != ABSENT).then_some(place.into())
    }
}

impl Version {
    fn is(self, v6: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Four => !v6,
            Self::Six => v6,
        }
    }
}

impl Value {
    fn of(self, frame: &[u8], parsed: &Parsed) -> Option<u16> {
        const VLAN: u16 = 0xfff;
        const PRIORITY_SHIFT: u32 = 13;
        let word = |at: usize| {
            frame.get(at..).and_then(<[u8]>::first_chunk).map(|word| u16::from_be_bytes(*word))
        };
        let tag = |last| Header::Vlan { last }.place(parsed).and_then(word);
        match self {
            Self::VlanPriority { last } => tag(last).map(|tag| tag >> PRIORITY_SHIFT),
            Self::VlanId { last } => tag(last).map(|tag| tag & VLAN),
            Self::IpProtocol { inner, version } => {
                ip_header(parsed, inner).filter(|ip| version.is(ip.v6)).map(|ip| ip.protocol.into())
            }
            Self::TrafficClass { inner } => {
                let ip = ip_header(parsed, inner)?;
                let first = word(ip.start)?;
                Some(if ip.v6 { first >> 4 } else { first } & 0xff)
            }
        }
    }
}

/// An extraction from a header: where from, and how many bytes.
fn from_header(
    prot: u8,
    how: u8,
    field: u32,
    size: u8,
    offset: u8,
    index: u8,
) -> Option<(Source, u8)> {
    const FROM_START: u8 = 0;
    const FROM_FIELD: u8 = 1;
    const WHOLE_FIELD: u8 = 2;
    /// The last of several headers of a kind.
    const LAST: u8 = 0xff;
    let last = index == LAST;
    match how {
        FROM_START => Some((Source::Header { header: header(prot, last)?, offset }, size)),
        FROM_FIELD => match whole_field(prot, field, last)? {
            (Source::Header { header, offset: start }, _) => {
                let offset = start.checked_add(offset)?;
                Some((Source::Header { header, offset }, size))
            }
            _ => None,
        },
        WHOLE_FIELD => whole_field(prot, field, last),
        _ => None,
    }
}

/// The header of a protocol.
fn header(prot: u8, last: bool) -> Option<Header> {
    Some(match prot {
        net::ETH => Header::Ethernet,
        net::VLAN => Header::Vlan { last },
        net::IP => Header::Ip { inner: last, version: Version::Any },
        net::IPV4 => Header::Ip { inner: last, version: Version::Four },
        net::IPV6 => Header::Ip { inner: last, version: Version::Six },
        net::TCP => Header::L4(flag::TCP),
        net::UDP => Header::L4(flag::UDP),
        net::UDP_LITE => Header::L4(flag::UDP_LITE),
        net::SCTP => Header::L4(flag::SCTP),
        net::DCCP => Header::L4(flag::DCCP),
        net::ICMP => Header::L4(flag::ICMP),
        net::ICMPV6 => Header::L4(flag::ICMPV6),
        net::IGMP => Header::L4(flag::IGMP),
        net::IPSEC_AH => Header::L4(flag::IPSEC_AH),
        net::IPSEC_ESP => Header::L4(flag::IPSEC_ESP),
        net::PPPOE => Header::Pppoe,
        net::MPLS => Header::Mpls { last },
        net::GRE => Header::Gre,
        net::ARP => Header::Arp,
        net::GTP => Header::L5(flag::GTP),
        _ => return None,
    })
}

/// A field of a protocol: the masks are those of `fsl_net.h`.
fn whole_field(prot: u8, field: u32, last: bool) -> Option<(Source, u8)> {
    let at = |header, offset, size| Some((Source::Header { header, offset }, size));
    let value = |value, size| Some((Source::Value(value), size));
    let inner = last;
    let address = |destination| Some((Source::Address { inner, destination }, 4));
    let own = || header(prot, last);
    let protocol = |version| value(Value::IpProtocol { inner, version }, 1);
    match (prot, field) {
        (net::ETH, 0x01) => at(Header::Ethernet, 0, 6),
        (net::ETH, 0x02) => at(Header::Ethernet, 6, 6),
        (net::ETH, 0x04) => at(Header::Ethernet, 12, 2),
        (net::ETH, 0x08) => at(Header::LastEthertype, 0, 2),
        (net::VLAN, 0x01) => value(Value::VlanPriority { last }, 1),
        (net::VLAN, 0x04) => value(Value::VlanId { last }, 2),
        (net::VLAN, 0x07) => at(Header::Vlan { last }, 0, 2),
        (net::VLAN, 0x10) => at(Header::Vlan { last }, 2, 2),
        (net::IP, 0x10) => protocol(Version::Any),
        (net::IP, 0x20) => address(false),
        (net::IP, 0x40) => address(true),
        (net::IP, 0x80) => value(Value::TrafficClass { inner }, 1),
        (net::IPV4, 0x04) => at(own()?, 1, 1),
        (net::IPV4, 0x08) => at(own()?, 2, 2),
        (net::IPV4, 0x10) => at(own()?, 4, 2),
        (net::IPV4, 0x100) => at(own()?, 8, 1),
        (net::IPV4, 0x200) => protocol(Version::Four),
        (net::IPV4, 0x400) => at(own()?, 10, 2),
        (net::IPV4, 0x800) => at(own()?, 12, 4),
        (net::IPV4, 0x1000) => at(own()?, 16, 4),
        (net::IPV6, 0x02) => value(Value::TrafficClass { inner }, 1),
        (net::IPV6, 0x04) => at(own()?, 8, 16),
        (net::IPV6, 0x08) => at(own()?, 24, 16),
        (net::IPV6, 0x10) => protocol(Version::Six),
        (net::IPV6, 0x40) => at(own()?, 7, 1),
        (net::TCP | net::UDP | net::UDP_LITE | net::SCTP | net::DCCP, 0x01) => {
            at(Header::Ports, 0, 2)
        }
        (net::TCP | net::UDP | net::UDP_LITE | net::SCTP | net::DCCP, 0x02) => {
            at(Header::Ports, 2, 2)
        }
        (net::TCP, 0x04) | (net::SCTP, 0x04) => at(own()?, 4, 4),
        (net::TCP, 0x08) => at(own()?, 8, 4),
        (net::TCP, 0x20) => at(own()?, 13, 1),
        (net::TCP, 0x40) => at(own()?, 14, 2),
        (net::TCP, 0x80) => at(own()?, 16, 2),
        (net::UDP, 0x04) => at(own()?, 4, 2),
        (net::UDP, 0x08) => at(own()?, 6, 2),
        (net::ICMP | net::ICMPV6, 0x01) => at(own()?, 0, 1),
        (net::ICMP | net::ICMPV6, 0x02) => at(own()?, 1, 1),
        (net::ICMP | net::ICMPV6, 0x08) => at(own()?, 4, 2),
        (net::ICMP | net::ICMPV6, 0x10) => at(own()?, 6, 2),
        (net::IGMP, 0x02) => at(own()?, 0, 1),
        (net::IPSEC_AH, 0x01) => at(own()?, 4, 4),
        (net::IPSEC_AH, 0x02) => at(own()?, 0, 1),
        (net::IPSEC_ESP, 0x01) => at(own()?, 0, 4),
        (net::IPSEC_ESP, 0x02) => at(own()?, 4, 4),
        (net::PPPOE, 0x08) => at(Header::Pppoe, 2, 2),
        (net::PPPOE, 0x40) => at(Header::Pppoe, 6, 2),
        (net::MPLS, 0x01) => at(Header::Mpls { last: false }, 0, 4),
        (net::MPLS, 0x02) => at(Header::SecondMpls, 0, 4),
        (net::MPLS, 0x04) => at(Header::Mpls { last: true }, 0, 4),
        (net::GRE, 0x01) => at(Header::Gre, 2, 2),
        (net::ARP, 0x10) => at(Header::Arp, 6, 2),
        (net::ARP, 0x20) => at(Header::Arp, 8, 6),
        (net::ARP, 0x40) => at(Header::Arp, 14, 4),
        (net::ARP, 0x80) => at(Header::Arp, 18, 6),
        (net::ARP, 0x100) => at(Header::Arp, 24, 4),
        (net::GTP, 0x01) => at(Header::L5(flag::GTP), 4, 4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wriop::parser::parse;
    use proptest::prelude::*;

    /// The bytes that Linux writes for a list of whole fields.
    fn description(fields: &[(u8, u32)]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[0] = fields.len() as u8;
        for (prot, field) in fields {
            let mut extraction = [0; EXTRACTION];
            extraction[0] = *prot;
            extraction[1] = 2;
            extraction[4..8].copy_from_slice(&field.to_le_bytes());
            bytes.extend(extraction);
        }
        bytes
    }

    fn key(description: &[u8], frame: &[u8]) -> Vec<u8> {
        let profile = KeyProfile::parse(description).expect("a key");
        profile.extract(frame, &parse(frame, [0; 2])).as_slice().to_vec()
    }

    /// `DPAA2_RXH_DEFAULT` of Linux: addresses, protocol, ports.
    const LINUX_HASH: &[(u8, u32)] = &[(6, 0x20), (6, 0x40), (6, 0x10), (8, 1), (8, 2)];

    fn tcp() -> Vec<u8> {
        let mut frame = Vec::new();
        let link = etherparse::PacketBuilder::ethernet2([2; 6], [4; 6]);
        let tcp = link.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9).tcp(0x1234, 0x5678, 1, 2);
        tcp.write(&mut frame, b"data").expect("written");
        frame
    }

    #[test]
    fn the_key_of_linux_is_the_five_tuple() {
        let description = description(LINUX_HASH);
        assert_eq!(KeyProfile::size(*description.first_chunk().expect("a header")), Ok(128));
        let wanted = [10, 0, 0, 1, 10, 0, 0, 2, 6, 0x12, 0x34, 0x56, 0x78];
        assert_eq!(key(&description, &tcp()), wanted);
        let mut frame = Vec::new();
        let link = etherparse::PacketBuilder::ethernet2([2; 6], [4; 6]);
        link.ipv6([1; 16], [2; 16], 9).udp(7, 8).write(&mut frame, b"data").expect("written");
        let wanted = [[1; 16].as_slice(), &[2; 16], &[17, 0, 7, 0, 8]].concat();
        assert_eq!(key(&description, &frame), wanted);
        // No IP: zeros.
        assert_eq!(key(&description, &[0xff; 60]), [0; 13]);
    }

    #[test]
    fn the_ethernet_type_is_the_last_one() {
        let description = description(&[(2, 1), (2, 2), (2, 8), (3, 7)]);
        let mut frame = tcp();
        frame.splice(12..12, [0x81, 0, 0x20, 5]);
        let wanted = [[4; 6].as_slice(), &[2; 6], &[8, 0, 0x20, 5]].concat();
        assert_eq!(key(&description, &frame), wanted);
    }

    /// `rte_pmd_dpaa2_set_custom_hash` of DPDK takes bytes from the frame's start;
    /// its flows take bytes of the parse result.
    #[test]
    fn bytes_come_from_the_frame_and_from_the_parse_result() {
        let mut bytes = vec![0; HEADER];
        bytes[0] = 2;
        let mut extraction = [0; EXTRACTION];
        (extraction[2], extraction[3], extraction[12]) = (4, 26, 1);
        // Two bytes are masked.
        extraction[11] = 2;
        extraction[16..20].copy_from_slice(&[0x0f, 0, 0, 3]);
        bytes.extend(extraction);
        let mut extraction = [0; EXTRACTION];
        (extraction[2], extraction[3], extraction[12]) = (1, 27, 3);
        bytes.extend(extraction);
        // DPAA2_PR_L3_OFF_OFFSET is 27, and IP starts at 14.
        assert_eq!(key(&bytes, &tcp()), [10, 0, 0, 0, 14]);
    }

    #[test]
    fn descriptions_without_meaning_are_refused() {
        assert_eq!(KeyProfile::parse(&description(&[(2, 1), (99, 1)])), Err(KeyError::Unknown(1)));
        assert_eq!(KeyProfile::parse(&description(&[(2, 0x400)])), Err(KeyError::Unknown(0)));
        let long = description(&[(5, 4); 4]);
        assert_eq!(KeyProfile::parse(&long), Err(KeyError::TooLong(64)));
        assert_eq!(KeyProfile::size([21, 0, 0, 0, 0, 0, 0, 0]), Err(KeyError::TooMany(21)));
    }

    #[test]
    fn a_key_that_grows_too_long_is_marked() {
        let fields = [(6, 0x20), (6, 0x40), (6, 0x20), (6, 0x40)];
        let profile = KeyProfile::parse(&description(&fields)).expect("a key");
        let mut frame = Vec::new();
        let link = etherparse::PacketBuilder::ethernet2([2; 6], [4; 6]);
        link.ipv6([1; 16], [2; 16], 9).udp(7, 8).write(&mut frame, &[]).expect("written");
        let key = profile.extract(&frame, &parse(&frame, [0; 2]));
        assert!(key.overflowed);
        assert_eq!(key.length, 48);
    }

    proptest! {
        #[test]
        fn no_description_and_no_frame_panics(
            description in prop::collection::vec(any::<u8>(), 0..500),
            fields in prop::collection::vec((0u8..50, 0u32..14, 0u8..4, any::<[u8; 24]>()), 0..8),
            frame in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut likely = vec![0; HEADER];
            likely[0] = fields.len() as u8;
            for (prot, bit, how, mut extraction) in fields {
                (extraction[0], extraction[1], extraction[2]) = (prot, how, extraction[2] % 8);
                extraction[4..8].copy_from_slice(&(1u32 << bit).to_le_bytes());
                (extraction[11], extraction[12]) = (extraction[11] % 5, extraction[12] % 4);
                likely.extend(extraction);
            }
            for bytes in [description, likely] {
                if let Ok(profile) = KeyProfile::parse(&bytes) {
                    for frame in [&frame, &tcp()] {
                        profile.extract(frame, &parse(frame, [0; 2]));
                    }
                }
            }
        }
    }
}
