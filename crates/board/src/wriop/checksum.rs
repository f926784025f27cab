// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The Internet checksum (RFC 1071): checked in what is received, computed in
//! what is sent.

use super::parser::{Ip, Parsed, protocol};
use qbman_abi::annotation::{flag, status};

/// Where the checksum lies in the headers.
const IN_IPV4: usize = 10;
const IN_TCP: usize = 16;
const IN_UDP: usize = 6;

/// The one's complement sum of `bytes` and what was summed before, not folded.
/// A last odd byte counts as the upper half of a word.
fn sum(bytes: &[u8], before: u64) -> u64 {
    // Words of four bytes in the machine's own order: the sum of a rotated
    // number is the rotated sum, and so the order is put right at the end. 2^32
    // words fit into the accumulators.
    let mut lanes = [0u64; 4];
    let mut chunks = bytes.chunks_exact(16);
    for chunk in &mut chunks {
        for (lane, word) in lanes.iter_mut().zip(chunk.chunks_exact(4)) {
            *lane += word.first_chunk().map_or(0, |word| u64::from(u32::from_ne_bytes(*word)));
        }
    }
    let mut words = chunks.remainder().chunks_exact(2);
    for word in &mut words {
        lanes[0] += word.first_chunk().map_or(0, |word| u64::from(u16::from_ne_bytes(*word)));
    }
    if let [odd] = *words.remainder() {
        lanes[1] += u64::from(u16::from_ne_bytes([odd, 0]));
    }
    let native = fold(lanes.iter().map(|lane| fold(*lane)).map(u64::from).sum());
    before + u64::from(u16::from_be_bytes(native.to_ne_bytes()))
}

/// Folds a sum to its 16 bits.
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The sum of the pseudo header of a packet's transport (RFC 9293, RFC 8200).
fn pseudo_header(frame: &[u8], ip: &Ip) -> Option<u64> {
    let addresses = if ip.v6 {
        frame.get(ip.start + 8..ip.start + 40)?
    } else {
        frame.get(ip.start + 12..ip.start + 20)?
    };
    let length = ip.end.checked_sub(ip.payload)? as u64;
    Some(sum(addresses, u64::from(ip.protocol) + length))
}

/// Where the checksum of a transport header is, where the hardware knows it.
fn transport(parsed: &Parsed) -> Option<(Ip, usize)> {
    // Of what is tunnelled the hardware knows where it lies; that its sums are
    // left alone is chosen.
    let ip = parsed.ip.filter(|ip| parsed.inner.is_none() && !ip.fragment)?;
    let result = &parsed.result;
    let at = match ip.protocol {
        protocol::TCP if result.has(flag::TCP) && !result.has(flag::TCP_ERROR) => IN_TCP,
        protocol::UDP if result.has(flag::UDP) && !result.has(flag::UDP_ERROR) => IN_UDP,
        _ => return None,
    };
    // What follows a UDP datagram in its packet does not belong to it.
    Some((ip, ip.payload + at))
}

/// The end of the transport's bytes, and so its length.
fn transport_end(frame: &[u8], ip: &Ip) -> usize {
    if ip.protocol != protocol::UDP {
        return ip.end;
    }
    let length = frame.get(ip.payload + 4..).and_then(<[u8]>::first_chunk);
    length.map_or(ip.end, |length| ip.payload + usize::from(u16::from_be_bytes(*length)))
}

/// What checking the layer 3 checksum says: bits of [`status`]. IPv6 has none
/// and is taken for right: Linux looks at the sums of a frame only where both
/// layers were checked.
pub(super) fn check_l3(frame: &[u8], parsed: &Parsed) -> u32 {
    if parsed.result.has(flag::IP_ERROR) {
        return 0;
    }
    match parsed.ip {
        Some(ip) if ip.v6 => status::L3_CHECKED,
        Some(ip) => match frame.get(ip.start..ip.start + ip.header) {
            Some(header) if fold(sum(header, 0)) == 0xffff => status::L3_CHECKED,
            Some(_) => status::L3_CHECKED | status::L3_ERROR,
            None => 0,
        },
        None => 0,
    }
}

/// The same of layer 4.
pub(super) fn check_l4(frame: &[u8], parsed: &Parsed) -> u32 {
    let Some((ip, at)) = transport(parsed) else { return 0 };
    let ip = Ip { end: transport_end(frame, &ip), ..ip };
    let Some(bytes) = frame.get(ip.payload..ip.end) else { return 0 };
    let none = frame.get(at..at + 2) == Some(&[0, 0]);
    if none && ip.protocol == protocol::UDP {
        // Not summed; over IPv6 that is not allowed (RFC 8200).
        return if ip.v6 { status::L4_CHECKED | status::L4_ERROR } else { 0 };
    }
    match pseudo_header(frame, &ip).map(|before| fold(sum(bytes, before))) {
        Some(0xffff) => status::L4_CHECKED,
        Some(_) => status::L4_CHECKED | status::L4_ERROR,
        None => 0,
    }
}

/// Computes the header checksum of the first IPv4 header.
pub(super) fn fill_l3(frame: &mut [u8], parsed: &Parsed) {
    let Some(ip) = parsed.ip.filter(|ip| !ip.v6 && !parsed.result.has(flag::IP_ERROR)) else {
        return;
    };
    let Some(header) = frame.get_mut(ip.start..ip.start + ip.header) else { return };
    put(header, IN_IPV4, 0);
    let value = !fold(sum(header, 0));
    put(header, IN_IPV4, value);
}

/// Computes the checksum of TCP or UDP. A UDP datagram over IPv4 that asks for
/// none (its field is zero) gets none: what a sender leaves for the hardware to
/// complete is the sum of the pseudo header, which is never zero.
pub(super) fn fill_l4(frame: &mut [u8], parsed: &Parsed) {
    let Some((ip, at)) = transport(parsed) else { return };
    let ip = Ip { end: transport_end(frame, &ip), ..ip };
    let udp = ip.protocol == protocol::UDP;
    if udp && !ip.v6 && frame.get(at..at + 2) == Some(&[0, 0]) {
        return;
    }
    let Some(before) = pseudo_header(frame, &ip) else { return };
    let Some(bytes) = frame.get_mut(ip.payload..ip.end) else { return };
    let field = at - ip.payload;
    put(bytes, field, 0);
    let value = match !fold(sum(bytes, before)) {
        // Zero would mean that there is none (RFC 768).
        0 if udp => 0xffff,
        value => value,
    };
    put(bytes, field, value);
}

/// Writes a big-endian number, where there is room for it.
fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wriop::parser::parse;
    use proptest::prelude::*;

    /// The example of RFC 1071, section 3.
    #[test]
    fn the_rfc_sum() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&bytes, 0)), 0xddf2);
    }

    proptest! {
        /// Against the plain way: 16-bit words, one after the other.
        #[test]
        fn sums_are_those_of_words(bytes in prop::collection::vec(any::<u8>(), 0..200), before: u32) {
            let plain = bytes.chunks(2).fold(u64::from(before), |sum, word| {
                let low = word.get(1).copied().unwrap_or(0);
                sum + u64::from(u16::from_be_bytes([word[0], low]))
            });
            let folded = fold(sum(&bytes, before.into()));
            // Zero has two forms in one's complement.
            prop_assert_eq!(folded % 0xffff, fold(plain) % 0xffff);
        }

        #[test]
        fn what_is_filled_in_is_found_right(
            payload in prop::collection::vec(any::<u8>(), 0..100), v6: bool, udp: bool,
        ) {
            use etherparse::PacketBuilder;
            let link = PacketBuilder::ethernet2([2; 6], [4; 6]);
            let ip = if v6 { link.ipv6([1; 16], [2; 16], 9) } else { link.ipv4([1; 4], [2; 4], 9) };
            let mut frame = Vec::new();
            if udp {
                ip.udp(1, 2).write(&mut frame, &payload).unwrap();
            } else {
                ip.tcp(1, 2, 3, 4).write(&mut frame, &payload).unwrap();
            }
            let wanted = frame.clone();
            let parsed = parse(&frame, [0; 2]);
            let (ip, at) = transport(&parsed).unwrap();
            put(&mut frame, at, 0x1234);
            if !ip.v6 {
                put(&mut frame, ip.start + IN_IPV4, 0x4321);
            }
            fill_l3(&mut frame, &parsed);
            fill_l4(&mut frame, &parsed);
            prop_assert_eq!(&frame, &wanted);
            prop_assert_eq!(check_l3(&frame, &parsed), status::L3_CHECKED);
            prop_assert_eq!(check_l4(&frame, &parsed), status::L4_CHECKED);
            let last = frame.len() - 1;
            frame[last] ^= 0x40;
            prop_assert_eq!(check_l4(&frame, &parsed), status::L4_CHECKED | status::L4_ERROR);
        }
    }
}
