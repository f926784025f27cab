// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Layer 4 and what tunnels packets.

use super::{
    Cursor, ErrorCode, Ip, Stop,
    ip::{self, protocol},
    l2::ethertype,
    offset,
};
use qbman_abi::annotation::flag;

const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;

/// UDP ports of what the parser knows behind UDP (IANA).
mod port {
    pub const PTP_EVENT: u16 = 319;
    pub const PTP_GENERAL: u16 = 320;
    pub const GTP_CONTROL: u16 = 2123;
    pub const GTP_USER: u16 = 2152;
    pub const GTP_PRIME: u16 = 3386;
    pub const ESP: u16 = 4500;
    pub const VXLAN: u16 = 4789;
}

/// The transport header of a packet; `unknown` is the flag of an IP header with
/// a protocol that the parser does not know.
pub(super) fn transport(cursor: &mut Cursor, packet: &Ip, unknown: u128) {
    let at = packet.payload;
    match packet.protocol {
        protocol::TCP => cursor.attempt(flag::TCP_ERROR, |cursor| tcp(cursor, packet)),
        protocol::UDP => cursor.attempt(flag::UDP_ERROR, |cursor| udp(cursor, packet)),
        protocol::UDP_LITE => {
            known(cursor, at, UDP_HEADER, packet, flag::UDP_LITE, flag::UDP_ERROR);
        }
        protocol::SCTP => known(cursor, at, 12, packet, flag::SCTP, flag::SCTP_ERROR),
        protocol::DCCP => known(cursor, at, 12, packet, flag::DCCP, flag::DCCP_ERROR),
        protocol::ICMP if !packet.v6 => known(cursor, at, 4, packet, flag::ICMP, 0),
        protocol::ICMPV6 if packet.v6 => {
            known(cursor, at, 4, packet, flag::ICMP | flag::ICMPV6, 0);
        }
        protocol::IGMP => known(cursor, at, 8, packet, flag::IGMP, 0),
        protocol::ESP => {
            let esp = flag::IPSEC | flag::IPSEC_ESP;
            known(cursor, at, 8, packet, esp, flag::IPSEC_ERROR);
        }
        protocol::AH => {
            known(cursor, at, 12, packet, flag::IPSEC | flag::IPSEC_AH, flag::IPSEC_ERROR);
        }
        _ => cursor.set(unknown | flag::L3_UNKNOWN),
    }
}

/// A header of which only presence and least length matter.
fn known(cursor: &mut Cursor, at: usize, least: usize, packet: &Ip, there: u128, error: u128) {
    cursor.attempt(error, |cursor| {
        cursor.set(there);
        cursor.parsed.result.l4 = offset(at)?;
        if at + least > packet.end { Err(ErrorCode::Truncated) } else { Ok(()) }
    });
}

fn tcp(cursor: &mut Cursor, packet: &Ip) -> Result<(), Stop> {
    const FLAGS: u16 = 0x003f;
    const ECN_FLAGS: u16 = 0x01c0;
    let at = packet.payload;
    cursor.set(flag::TCP);
    cursor.parsed.result.l4 = offset(at)?;
    if at + TCP_HEADER > packet.end {
        return Err(ErrorCode::Truncated);
    }
    let control = cursor.word(at + 12)?;
    let header = usize::from(control >> 12) * 4;
    if header < TCP_HEADER {
        return Err(ErrorCode::Malformed);
    }
    if at + header > packet.end {
        return Err(ErrorCode::Truncated);
    }
    if header > TCP_HEADER {
        cursor.set(flag::TCP_OPTIONS);
    }
    if control & FLAGS != 0 {
        cursor.set(flag::TCP_FLAGS);
    }
    if control & ECN_FLAGS != 0 {
        cursor.set(flag::TCP_ECN_FLAGS);
    }
    cursor.set(flag::L4_UNKNOWN);
    behind(cursor, at + header, packet);
    Ok(())
}

fn udp(cursor: &mut Cursor, packet: &Ip) -> Result<(), Stop> {
    let at = packet.payload;
    cursor.set(flag::UDP);
    cursor.parsed.result.l4 = offset(at)?;
    if at + UDP_HEADER > packet.end {
        return Err(ErrorCode::Truncated);
    }
    let [s0, s1, d0, d1, l0, l1, _, _] = *cursor.bytes::<UDP_HEADER>(at)?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if length < UDP_HEADER {
        return Err(ErrorCode::Malformed);
    }
    // The first fragment has the length of the whole.
    if at + length > packet.end && !packet.fragment {
        return Err(ErrorCode::Truncated);
    }
    behind(cursor, at + UDP_HEADER, packet);
    let source = u16::from_be_bytes([s0, s1]);
    let destination = u16::from_be_bytes([d0, d1]);
    let inside = match (source, destination) {
        (_, port::VXLAN) => flag::VXLAN,
        (_, port::GTP_CONTROL | port::GTP_USER | port::GTP_PRIME) => flag::GTP,
        (port::ESP, _) | (_, port::ESP) => flag::ESP,
        (_, port::PTP_EVENT | port::PTP_GENERAL) => flag::PTP,
        _ => flag::L4_UNKNOWN,
    };
    cursor.set(inside);
    Ok(())
}

/// Notes where what follows layer 4 starts, where there is anything.
fn behind(cursor: &mut Cursor, at: usize, packet: &Ip) {
    if at < packet.end
        && let Ok(place) = offset(at)
    {
        cursor.parsed.result.l5 = place;
    }
}

/// GRE, and the packet inside.
pub(super) fn gre(cursor: &mut Cursor, at: usize) {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const VERSION: u16 = 0x0007;
    let mut inside = None;
    cursor.attempt(flag::GRE_ERROR, |cursor| {
        cursor.set(flag::GRE);
        cursor.parsed.result.gre = offset(at)?;
        let control = cursor.word(at)?;
        let kind = cursor.word(at + 2)?;
        cursor.parsed.result.next_header = kind;
        // Routing information and version 1 (PPTP) are laid out otherwise.
        if control & ROUTING != 0 {
            cursor.set(flag::GRE_ROUTING);
            return Ok(());
        }
        if control & VERSION != 0 {
            return Ok(());
        }
        let optional = [CHECKSUM, KEY, SEQUENCE].iter().filter(|bit| control & *bit != 0);
        inside = Some((at + 4 + 4 * optional.count(), kind));
        Ok(())
    });
    match inside {
        Some((at, ethertype::IPV4)) => ip::inner(cursor, at, false),
        Some((at, ethertype::IPV6)) => ip::inner(cursor, at, true),
        _ => {}
    }
}
