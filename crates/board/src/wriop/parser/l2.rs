// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Layer 2: Ethernet, LLC/SNAP, VLAN tags, PPPoE, MPLS, ARP.

use super::{Cursor, ErrorCode, Stop, ip, offset};
use qbman_abi::annotation::flag;

/// Ethernet types.
pub(super) mod ethertype {
    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    pub const VLAN: u16 = 0x8100;
    pub const IPV6: u16 = 0x86dd;
    pub const MPLS: u16 = 0x8847;
    pub const MPLS_MULTICAST: u16 = 0x8848;
    pub const PPPOE_SESSION: u16 = 0x8864;
    pub const SERVICE_VLAN: u16 = 0x88a8;
    pub const PTP: u16 = 0x88f7;
    pub const FCOE: u16 = 0x8906;
    pub const FIP: u16 = 0x8914;
}

/// Below this the field after the addresses is a length (IEEE 802.3).
const FIRST_ETHERTYPE: u16 = 0x0600;
const HEADER: usize = 14;
const BROADCAST: [u8; 6] = [0xff; 6];
/// Bridges send their protocol's units here (IEEE 802.1D).
const BRIDGES: [u8; 6] = [0x01, 0x80, 0xc2, 0x00, 0x00, 0x00];
const TAG: usize = 4;
const DROP_ELIGIBLE: u16 = 1 << 12;

/// The Ethernet header and all that follows.
pub(super) fn ethernet(cursor: &mut Cursor, tpids: [u16; 2]) {
    cursor.attempt(flag::ETHERNET_ERROR, |cursor| {
        let header: &[u8; HEADER] = cursor.bytes(0)?;
        let [d0, d1, d2, d3, d4, d5, _, _, _, _, _, _, t0, t1] = *header;
        let destination = [d0, d1, d2, d3, d4, d5];
        let kind = match destination {
            BROADCAST => flag::ETHERNET_BROADCAST,
            BRIDGES => flag::ETHERNET_MULTICAST | flag::BPDU,
            _ if d0 & 1 == 1 => flag::ETHERNET_MULTICAST,
            _ => flag::ETHERNET_UNICAST,
        };
        cursor.set(flag::ETHERNET | kind);
        cursor.parsed.result.ethernet = 0;
        tagged(cursor, HEADER - 2, u16::from_be_bytes([t0, t1]), tpids);
        Ok(())
    });
}

/// VLAN tags, as many as there are. `at` is the place of the Ethernet type
/// `kind`.
fn tagged(cursor: &mut Cursor, mut at: usize, mut kind: u16, tpids: [u16; 2]) {
    let is_tag = |kind: u16| {
        matches!(kind, ethertype::VLAN | ethertype::SERVICE_VLAN)
            || kind != 0 && (kind == tpids[0] || kind == tpids[1])
    };
    let mut tags = 0u32;
    cursor.attempt(flag::VLAN_ERROR, |cursor| {
        while is_tag(kind) {
            let control = cursor.word(at + 2)?;
            let place = offset(at + 2)?;
            kind = cursor.word(at + TAG)?;
            at += TAG;
            tags += 1;
            cursor.set(if tags == 1 { flag::VLAN } else { flag::VLAN_MANY });
            if control & DROP_ELIGIBLE != 0 {
                cursor.set(flag::VLAN_CFI);
            }
            if tags == 1 {
                cursor.parsed.vlan = Some(control);
                cursor.parsed.result.vlan_first = place;
            }
            cursor.parsed.result.vlan_last = place;
        }
        Ok(())
    });
    if cursor.parsed.errors == 0 {
        named(cursor, at, kind);
    }
}

/// What an Ethernet type names.
fn named(cursor: &mut Cursor, at: usize, kind: u16) {
    cursor.parsed.result.last_ethertype = offset(at).unwrap_or(u8::MAX);
    cursor.parsed.ethertype = kind;
    cursor.parsed.result.next_header = kind;
    let next = at + 2;
    match kind {
        ethertype::IPV4 | ethertype::IPV6 => ip::first(cursor, next, kind == ethertype::IPV6),
        ethertype::ARP => cursor.attempt(flag::ARP_ERROR, |cursor| arp(cursor, next)),
        ethertype::MPLS | ethertype::MPLS_MULTICAST => mpls(cursor, next),
        ethertype::PPPOE_SESSION => pppoe(cursor, next),
        ethertype::FCOE => cursor.set(flag::FCOE),
        ethertype::FIP => cursor.set(flag::FIP),
        ethertype::PTP => cursor.set(flag::PTP),
        0..FIRST_ETHERTYPE => llc(cursor, next, kind),
        _ => cursor.set(flag::L2_UNKNOWN),
    }
}

/// A frame with a length instead of a type.
fn llc(cursor: &mut Cursor, at: usize, length: u16) {
    /// Both access points and the control field of SNAP.
    const SNAP: [u8; 3] = [0xaa, 0xaa, 0x03];
    /// SNAP's identifier of Ethernet types (RFC 1042).
    const ENCAPSULATED_ETHERNET: [u8; 3] = [0; 3];
    if at + usize::from(length) > cursor.frame.len() {
        return cursor.fail(ErrorCode::Truncated, flag::ETHERNET_ERROR);
    }
    let Ok([a, b, c, o0, o1, o2, t0, t1]) = cursor.bytes::<8>(at).copied() else {
        return cursor.set(flag::L2_UNKNOWN);
    };
    if [a, b, c] != SNAP || length < 8 {
        return cursor.set(flag::L2_UNKNOWN);
    }
    cursor.set(flag::LLC_SNAP);
    cursor.parsed.result.llc_snap = offset(at).unwrap_or(u8::MAX);
    if [o0, o1, o2] != ENCAPSULATED_ETHERNET {
        return cursor.set(flag::LLC_UNKNOWN | flag::L2_UNKNOWN);
    }
    match u16::from_be_bytes([t0, t1]) {
        0..FIRST_ETHERTYPE => cursor.fail(ErrorCode::Malformed, flag::LLC_SNAP_ERROR),
        kind => named(cursor, at + 6, kind),
    }
}

fn arp(cursor: &mut Cursor, at: usize) -> Result<(), Stop> {
    cursor.set(flag::ARP);
    cursor.parsed.result.l3 = offset(at)?;
    // Types, lengths of addresses, operation; then two addresses of each kind.
    let [_, _, _, _, hardware, protocol, _, _] = *cursor.bytes::<8>(at)?;
    let addresses = 2 * (usize::from(hardware) + usize::from(protocol));
    if at + 8 + addresses > cursor.frame.len() {
        return Err(ErrorCode::Truncated);
    }
    Ok(())
}

fn pppoe(cursor: &mut Cursor, at: usize) {
    const IPV4: u16 = 0x0021;
    const IPV6: u16 = 0x0057;
    const VERSION_AND_TYPE: u8 = 0x11;
    let mut inside = None;
    cursor.attempt(flag::PPPOE_ERROR, |cursor| {
        cursor.set(flag::PPPOE);
        cursor.parsed.result.pppoe = offset(at)?;
        let [version, _, _, _, l0, l1] = *cursor.bytes::<6>(at)?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if version != VERSION_AND_TYPE || length < 2 {
            return Err(ErrorCode::Malformed);
        }
        if at + 6 + length > cursor.frame.len() {
            return Err(ErrorCode::Truncated);
        }
        let protocol = cursor.word(at + 6)?;
        cursor.parsed.result.next_header = protocol;
        inside = Some(protocol);
        Ok(())
    });
    match inside {
        Some(IPV4) => ip::first(cursor, at + 8, false),
        Some(IPV6) => ip::first(cursor, at + 8, true),
        Some(_) => cursor.set(flag::L2_UNKNOWN),
        None => {}
    }
}

fn mpls(cursor: &mut Cursor, mut at: usize) {
    const BOTTOM: u8 = 1;
    let mut inside = None;
    cursor.attempt(flag::MPLS_ERROR, |cursor| {
        let mut labels = 0u32;
        loop {
            let [_, _, low, _] = *cursor.bytes::<4>(at)?;
            let place = offset(at)?;
            labels += 1;
            cursor.set(if labels == 1 { flag::MPLS } else { flag::MPLS_MANY });
            if labels == 1 {
                cursor.parsed.result.mpls_first = place;
            }
            cursor.parsed.result.mpls_last = place;
            at += 4;
            if low & BOTTOM != 0 {
                // Nothing says what follows: IP shows by its version.
                inside = cursor.byte(at).ok().map(|byte| byte >> 4);
                return Ok(());
            }
        }
    });
    match inside {
        Some(4) => ip::first(cursor, at, false),
        Some(6) => ip::first(cursor, at, true),
        Some(_) => cursor.set(flag::L2_UNKNOWN),
        None => {}
    }
}
