// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Layer 3: IPv4 and IPv6, also inside each other.

use super::{Cursor, ErrorCode, Ip, Stop, l4, offset};
use qbman_abi::annotation::flag;

/// IP protocols (IANA).
pub(in crate::wriop) mod protocol {
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const IGMP: u8 = 2;
    pub const IPV4: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const DCCP: u8 = 33;
    pub const IPV6: u8 = 41;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const GRE: u8 = 47;
    pub const ESP: u8 = 50;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const DESTINATION_OPTIONS: u8 = 60;
    pub const SCTP: u8 = 132;
    pub const UDP_LITE: u8 = 136;
}

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// Most extension headers that are followed; more are too deep anyway.
const MOST_EXTENSIONS: usize = 32;

/// Flags of one of the two IP headers that the result knows.
struct Flags {
    v4: u128,
    v4_unicast: u128,
    v4_multicast: u128,
    v4_broadcast: u128,
    v6: u128,
    v6_unicast: u128,
    v6_multicast: u128,
    options: u128,
    unknown: u128,
    fragment: u128,
    first_fragment: u128,
    error: u128,
}

const FIRST: Flags = Flags {
    v4: flag::IPV4,
    v4_unicast: flag::IPV4_UNICAST,
    v4_multicast: flag::IPV4_MULTICAST,
    v4_broadcast: flag::IPV4_BROADCAST,
    v6: flag::IPV6,
    v6_unicast: flag::IPV6_UNICAST,
    v6_multicast: flag::IPV6_MULTICAST,
    options: flag::IP_OPTIONS,
    unknown: flag::IP_UNKNOWN,
    fragment: flag::IP_FRAGMENT,
    first_fragment: flag::IP_FIRST_FRAGMENT,
    error: flag::IP_ERROR,
};

const INNER: Flags = Flags {
    v4: flag::IPV4_INNER,
    v4_unicast: flag::IPV4_INNER_UNICAST,
    v4_multicast: flag::IPV4_INNER_MULTICAST,
    v4_broadcast: flag::IPV4_INNER_BROADCAST,
    v6: flag::IPV6_INNER,
    v6_unicast: flag::IPV6_INNER_UNICAST,
    v6_multicast: flag::IPV6_INNER_MULTICAST,
    options: flag::IP_INNER_OPTIONS,
    unknown: flag::IP_INNER_UNKNOWN,
    fragment: flag::IP_INNER_FRAGMENT,
    first_fragment: flag::IP_INNER_FIRST_FRAGMENT,
    error: flag::IP_INNER_ERROR,
};

/// The first IP header and all that follows.
pub(super) fn first(cursor: &mut Cursor, at: usize, v6: bool) {
    header(cursor, at, v6, &FIRST);
}

/// An IP header inside another packet. The result has room for one only; what
/// lies deeper is not looked at.
pub(super) fn inner(cursor: &mut Cursor, at: usize, v6: bool) {
    if cursor.parsed.inner.is_none() {
        header(cursor, at, v6, &INNER);
    }
}

fn header(cursor: &mut Cursor, at: usize, v6: bool, flags: &Flags) {
    let read = if v6 { read_v6(cursor, at, flags) } else { read_v4(cursor, at, flags) };
    let packet = match read {
        Ok(packet) => packet,
        Err(code) => return cursor.fail(code, flags.error),
    };
    if flags.v4 == FIRST.v4 {
        cursor.parsed.ip = Some(packet);
    } else {
        cursor.parsed.inner = Some(packet);
    }
    cursor.parsed.result.next_header = packet.protocol.into();
    follow(cursor, &packet, flags);
}

/// Where layer 4 and the encapsulations go on.
fn follow(cursor: &mut Cursor, packet: &Ip, flags: &Flags) {
    // Of a later fragment, only the first one's headers are known.
    let later = packet.fragment && !cursor.parsed.result.has(flags.first_fragment);
    if later {
        return;
    }
    let at = packet.payload;
    match packet.protocol {
        protocol::IPV4 => inner(cursor, at, false),
        protocol::IPV6 => inner(cursor, at, true),
        protocol::GRE => l4::gre(cursor, at),
        _ => l4::transport(cursor, packet, flags.unknown),
    }
}

fn read_v4(cursor: &mut Cursor, at: usize, flags: &Flags) -> Result<Ip, Stop> {
    const MORE_FRAGMENTS: u16 = 0x2000;
    const FRAGMENT_OFFSET: u16 = 0x1fff;
    let place = offset(at)?;
    place_header(cursor, place, flags);
    let bytes: [u8; IPV4_HEADER] = *cursor.bytes(at)?;
    let [first, _, l0, l1, _, _, f0, f1, _, protocol, _, _, _, _, _, _, d0, d1, d2, d3] = bytes;
    cursor.set(flags.v4);
    cursor.set(match [d0, d1, d2, d3] {
        [0xff, 0xff, 0xff, 0xff] => flags.v4_broadcast,
        [224..=239, ..] => flags.v4_multicast,
        _ => flags.v4_unicast,
    });
    let header = usize::from(first & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([l0, l1]));
    if first >> 4 != 4 || header < IPV4_HEADER || total < header {
        return Err(ErrorCode::Malformed);
    }
    let end = at + total;
    if end > cursor.frame.len() {
        return Err(ErrorCode::Truncated);
    }
    if header > IPV4_HEADER {
        cursor.set(flags.options);
    }
    let fragmentation = u16::from_be_bytes([f0, f1]);
    let fragment = fragmentation & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0;
    if fragment {
        cursor.set(flags.fragment);
        if fragmentation & FRAGMENT_OFFSET == 0 {
            cursor.set(flags.first_fragment);
        }
    }
    place_protocol(cursor, offset(at + 9)?, flags);
    Ok(Ip { v6: false, start: at, header, payload: at + header, end, protocol, fragment })
}

fn read_v6(cursor: &mut Cursor, at: usize, flags: &Flags) -> Result<Ip, Stop> {
    let place = offset(at)?;
    place_header(cursor, place, flags);
    let bytes: &[u8; IPV6_HEADER] = cursor.bytes(at)?;
    let [first, _, _, _, l0, l1, next, _, ..] = *bytes;
    let multicast = bytes[24] == 0xff;
    cursor.set(flags.v6);
    cursor.set(if multicast { flags.v6_multicast } else { flags.v6_unicast });
    if first >> 4 != 6 {
        return Err(ErrorCode::Malformed);
    }
    let end = at + IPV6_HEADER + usize::from(u16::from_be_bytes([l0, l1]));
    if end > cursor.frame.len() {
        return Err(ErrorCode::Truncated);
    }
    let mut packet = Ip {
        v6: true,
        start: at,
        header: IPV6_HEADER,
        payload: at + IPV6_HEADER,
        end,
        protocol: next,
        fragment: false,
    };
    place_protocol(cursor, offset(at + 6)?, flags);
    extensions(cursor, &mut packet, flags)?;
    Ok(packet)
}

/// Goes past the extension headers of IPv6.
fn extensions(cursor: &mut Cursor, packet: &mut Ip, flags: &Flags) -> Result<(), Stop> {
    let mut routing = 0u32;
    for _ in 0..MOST_EXTENSIONS {
        let at = packet.payload;
        let length = match packet.protocol {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                (usize::from(cursor.byte(at + 1)?) + 1) * 8
            }
            protocol::FRAGMENT => 8,
            _ => return Ok(()),
        };
        cursor.set(flags.options);
        let place = offset(at)?;
        if packet.protocol == protocol::ROUTING {
            routing += 1;
            match routing {
                1 => cursor.parsed.result.routing_first = place,
                2 => cursor.parsed.result.routing_second = place,
                _ => {}
            }
            if flags.v4 == FIRST.v4 {
                cursor.set(flag::IPV6_ROUTING);
            }
        }
        let mut last = false;
        if packet.protocol == protocol::FRAGMENT {
            let fragmentation = cursor.word(at + 2)?;
            packet.fragment = true;
            cursor.set(flags.fragment);
            let first = fragmentation & 0xfff8 == 0;
            if first {
                cursor.set(flags.first_fragment);
            }
            last = !first;
            cursor.parsed.result.ipv6_fragment = place;
            cursor.parsed.result.fragment_next_header = place;
        }
        if at + length > packet.end {
            return Err(ErrorCode::Truncated);
        }
        packet.protocol = cursor.byte(at)?;
        packet.payload = at + length;
        cursor.parsed.result.next_header_byte = place;
        // What follows lies in the first fragment.
        if last {
            return Ok(());
        }
    }
    Err(ErrorCode::TooDeep)
}

fn place_header(cursor: &mut Cursor, place: u8, flags: &Flags) {
    if flags.v4 == FIRST.v4 {
        cursor.parsed.result.l3 = place;
    } else {
        cursor.parsed.result.l3_inner = place;
    }
}

fn place_protocol(cursor: &mut Cursor, place: u8, flags: &Flags) {
    cursor.parsed.result.next_header_byte = place;
    if flags.v4 == FIRST.v4 {
        cursor.parsed.result.ip_protocol = place;
    } else {
        cursor.parsed.result.ip_protocol_inner = place;
    }
}
