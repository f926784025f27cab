// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The parser against another one (etherparse), and against what DPDK expects
//! of the usual frames.

use super::*;
use etherparse::{NetHeaders, PacketBuilder, PacketHeaders, TransportHeader};
use proptest::prelude::*;
use qbman_abi::annotation::ABSENT;

const A: [u8; 6] = [2, 0, 0, 0, 0, 1];
const B: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// The word that DPDK compares for chips that have no summary.
fn word4(frame: &[u8]) -> u64 {
    let annotation = parse(frame, [0; 2]).result.to_annotation();
    u64::from_le_bytes(annotation[8..16].try_into().expect("eight bytes"))
}

fn build(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = Vec::new();
    write(&mut frame);
    frame
}

/// `DPAA2_L3_IPv4_TCP` and its sisters of DPDK's `dpaa2_hw_dpni_annot.h`.
#[test]
fn usual_frames_have_the_words_that_dpdk_compares() {
    let v4 = || PacketBuilder::ethernet2(A, B).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    let v6 = || PacketBuilder::ethernet2(A, B).ipv6([0x20; 16], [0x21; 16], 64);
    let tcp = build(|to| v4().tcp(1, 2, 3, 4).ack(5).write(to, &[0; 9]).expect("written"));
    assert_eq!(word4(&tcp), 1 << 61 | 1 << 60 | 1 << 23 | 1 << 21 | 1 << 10);
    let udp = build(|to| v4().udp(1, 2).write(to, &[0; 9]).expect("written"));
    assert_eq!(word4(&udp), 1 << 61 | 1 << 60 | 1 << 25 | 1 << 10);
    let tcp6 = build(|to| v6().tcp(1, 2, 3, 4).ack(5).write(to, &[0; 9]).expect("written"));
    assert_eq!(word4(&tcp6), 1 << 53 | 1 << 52 | 1 << 23 | 1 << 21 | 1 << 10);
    let udp6 = build(|to| v6().udp(1, 2).write(to, &[0; 9]).expect("written"));
    assert_eq!(word4(&udp6), 1 << 53 | 1 << 52 | 1 << 25 | 1 << 10);
    let mut other = build(|to| v4().udp(1, 2).write(to, &[0; 9]).expect("written"));
    other[23] = 253;
    assert_eq!(word4(&other), 1 << 61 | 1 << 60 | 1 << 46 | 1 << 27);
    // Word 3: only what the slow way need not look at.
    for frame in [tcp, udp, tcp6, udp6, other] {
        let annotation = parse(&frame, [0; 2]).result.to_annotation();
        let word3 = u64::from_le_bytes(annotation[..8].try_into().expect("eight bytes"));
        assert_eq!(word3 & 0x07ff_ffc3_ffff, 0);
        assert_eq!(word3 & (1 << 21 | 1 << 20), 1 << 21 | 1 << 20);
    }
}

/// `DPAA2_PKT_TYPE_*` of DPDK's `dpaa2_ethdev.h`.
#[test]
fn summaries_are_the_packet_types_of_dpdk() {
    let v4 = || PacketBuilder::ethernet2(A, B).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    let v6 = || PacketBuilder::ethernet2(A, B).ipv6([0x20; 16], [0x21; 16], 64);
    let summary = |frame: &[u8]| parse(frame, [0; 2]).summary(0);
    let frames: [(Vec<u8>, u16); 7] = [
        (build(|to| v4().tcp(1, 2, 3, 4).write(to, &[]).expect("written")), 0x000e),
        (build(|to| v4().udp(1, 2).write(to, &[]).expect("written")), 0x0010),
        (build(|to| v4().icmpv4_echo_request(1, 2).write(to, &[]).expect("written")), 0x0003),
        (build(|to| v6().tcp(1, 2, 3, 4).write(to, &[]).expect("written")), 0x002e),
        (build(|to| v6().udp(1, 2).write(to, &[]).expect("written")), 0x0030),
        (build(|to| v6().icmpv6_echo_request(1, 2).write(to, &[]).expect("written")), 0x0023),
        ([A.as_slice(), &B, &[0x88, 0xb5], &[0; 46]].concat(), 0x0060),
    ];
    for (frame, wanted) in &frames {
        assert_eq!(summary(frame), *wanted, "{frame:x?}");
    }
    let mut sctp = frames[1].0.clone();
    sctp[23] = 132;
    sctp[16..18].copy_from_slice(&[0, 32]);
    sctp.resize(14 + 32, 0);
    assert_eq!(summary(&sctp), 0x000f);
    let arp = [A.as_slice(), &B, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &[0; 38]].concat();
    assert_eq!(summary(&arp), 0xffff);
    let tagged = |frame: &[u8]| [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat();
    assert_eq!(summary(&tagged(&frames[0].0)), 0x010e);
    assert_eq!(summary(&tagged(&tagged(&frames[6].0))), 0x0260);
}

/// A frame as Wireshark's sample of GRE has it: IPv4, GRE with key, IPv4, ICMP.
#[test]
fn a_packet_in_gre_is_found() {
    let mut inner = Vec::new();
    let icmp = PacketBuilder::ipv4([10, 0, 0, 1], [224, 0, 0, 2], 64).icmpv4_echo_request(1, 1);
    icmp.write(&mut inner, &[0; 8]).expect("written");
    let gre = [&[0x20, 0, 8, 0, 0, 0, 0, 9], inner.as_slice()].concat();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(A, B)
        .ipv4([1; 4], [2; 4], 64)
        .write(&mut frame, 47.into(), &gre)
        .expect("written");
    let parsed = parse(&frame, [0; 2]);
    let result = parsed.result;
    assert_eq!((result.l3, result.gre, result.l3_inner, result.l4), (14, 34, 42, 62));
    assert!(result.has(flag::GRE | flag::IPV4_INNER | flag::IPV4_INNER_MULTICAST | flag::ICMP));
    assert_eq!(parsed.errors, 0);
    assert_eq!(parsed.summary(0), 0xffff);
}

#[test]
fn extension_headers_and_fragments_of_ipv6_are_found() {
    // Hop-by-hop (8), routing (24), fragment (first, more follow), UDP.
    let extensions = [
        [43, 0, 1, 4, 0, 0, 0, 0].as_slice(),
        &[44, 2, 0, 0, 0, 0, 0, 0],
        &[0; 16],
        &[17, 0, 0, 1, 0, 0, 0, 7],
    ]
    .concat();
    let udp = [0, 1, 0, 2, 0, 60, 0, 0, 9, 9];
    let mut ip = vec![0x60, 0, 0, 0, 0, 50, 0, 64];
    ip.extend([0x20; 32]);
    let frame = [A.as_slice(), &B, &[0x86, 0xdd], &ip, &extensions, &udp].concat();
    let parsed = parse(&frame, [0; 2]);
    let result = parsed.result;
    assert_eq!(parsed.errors, 0);
    assert!(result.has(flag::IPV6 | flag::IP_OPTIONS | flag::IPV6_ROUTING | flag::UDP));
    assert!(result.has(flag::IP_FRAGMENT | flag::IP_FIRST_FRAGMENT));
    assert_eq!((result.l3, result.routing_first, result.ipv6_fragment), (14, 62, 86));
    assert_eq!((result.l4, result.next_header_byte), (94, 86));
    let ip = parsed.ip.expect("IPv6");
    assert_eq!((ip.protocol, ip.payload, ip.fragment), (17, 94, true));
    // A later fragment has no UDP header.
    let mut later = frame.clone();
    later[88..90].copy_from_slice(&[1, 1]);
    let result = parse(&later, [0; 2]).result;
    assert!(result.has(flag::IP_FRAGMENT) && !result.has_any(flag::IP_FIRST_FRAGMENT | flag::UDP));
    assert_eq!(result.l4, ABSENT);
}

#[test]
fn labels_tags_and_sessions_are_found() {
    let inner = build(|to| {
        PacketBuilder::ipv4([1; 4], [2; 4], 9).udp(1, 4789).write(to, &[0; 9]).expect("written");
    });
    let mpls = [A.as_slice(), &B, &[0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64], &inner].concat();
    let result = parse(&mpls, [0; 2]).result;
    assert!(result.has(flag::MPLS | flag::MPLS_MANY | flag::IPV4 | flag::UDP | flag::VXLAN));
    assert_eq!((result.mpls_first, result.mpls_last, result.l3), (14, 18, 22));
    let length = inner.len() as u8 + 2;
    let pppoe =
        [A.as_slice(), &B, &[0x88, 0x64, 0x11, 0, 0, 1, 0, length, 0, 0x21], &inner].concat();
    let result = parse(&pppoe, [0; 2]).result;
    assert!(result.has(flag::PPPOE | flag::IPV4));
    assert_eq!((result.pppoe, result.l3), (14, 22));
    let tags = [0x88, 0xa8, 0x10, 2, 0x99, 0x99, 0, 3, 8, 0];
    let tagged = [A.as_slice(), &B, &tags, &inner].concat();
    assert!(!parse(&tagged, [0; 2]).result.has(flag::IPV4), "0x9999 is not a tag");
    let parsed = parse(&tagged, [0, 0x9999]);
    assert!(parsed.result.has(flag::VLAN | flag::VLAN_MANY | flag::VLAN_CFI | flag::IPV4));
    assert_eq!((parsed.result.vlan_first, parsed.result.vlan_last), (14, 18));
    assert_eq!((parsed.vlan, parsed.result.l3), (Some(0x1002), 22));
    let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    let length = (snap.len() + inner.len()) as u8;
    let llc = [A.as_slice(), &B, &[0, length], &snap, &inner].concat();
    let result = parse(&llc, [0; 2]).result;
    assert!(result.has(flag::LLC_SNAP | flag::IPV4));
    assert_eq!((result.llc_snap, result.l3), (14, 22));
}

/// Padding of short frames is no error; what is cut off is.
#[test]
fn only_broken_headers_are_errors() {
    let mut frame = build(|to| {
        let builder = PacketBuilder::ethernet2(A, B).ipv4([1; 4], [2; 4], 9);
        builder.udp(1, 2).write(to, &[0; 4]).expect("written");
    });
    frame.resize(60, 0);
    assert_eq!(parse(&frame, [0; 2]).errors, 0);
    frame.truncate(43);
    let parsed = parse(&frame, [0; 2]);
    assert_eq!(parsed.errors, status::HEADER_ERROR);
    assert!(parsed.result.has(flag::PARSING_ERROR | flag::IP_ERROR));
    assert_eq!(parsed.result.error_code, ErrorCode::Truncated as u8);
    let parsed = parse(&[0; 13], [0; 2]);
    assert!(parsed.result.has(flag::ETHERNET_ERROR));
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop::collection::vec(any::<u8>(), 0..80);
    (any::<[u8; 32]>(), 0u8..3, any::<bool>(), 0u8..4, payload).prop_map(
        |(bytes, tags, v6, l4, payload)| {
            let mut frame = Vec::new();
            let link = PacketBuilder::ethernet2(A, B);
            let one: [u8; 4] = bytes[..4].try_into().expect("four bytes");
            let wide: [u8; 16] = bytes[..16].try_into().expect("sixteen bytes");
            let vlan = |id: u8| u16::from(id).try_into().expect("twelve bits");
            let ip = match (tags, v6) {
                (0, false) => link.ipv4(one, one, 9),
                (0, true) => link.ipv6(wide, wide, 9),
                (1, false) => link.single_vlan(vlan(bytes[20])).ipv4(one, one, 9),
                (1, true) => link.single_vlan(vlan(bytes[20])).ipv6(wide, wide, 9),
                (_, false) => link.double_vlan(vlan(bytes[20]), vlan(bytes[21])).ipv4(one, one, 9),
                (_, true) => link.double_vlan(vlan(bytes[20]), vlan(bytes[21])).ipv6(wide, wide, 9),
            };
            let done = match l4 {
                0 => ip.udp(bytes[16].into(), bytes[17].into()).write(&mut frame, &payload),
                1 => ip.tcp(1, 2, 3, 4).write(&mut frame, &payload),
                2 if v6 => ip.icmpv6_echo_request(1, 2).write(&mut frame, &payload),
                2 => ip.icmpv4_echo_request(1, 2).write(&mut frame, &payload),
                _ => ip.write(&mut frame, 253.into(), &payload),
            };
            done.expect("written");
            frame
        },
    )
}

proptest! {
    #[test]
    fn headers_are_where_another_parser_finds_them(frame in any_frame()) {
        let parsed = parse(&frame, [0; 2]);
        prop_assert_eq!(parsed.errors, 0);
        let headers = PacketHeaders::from_ethernet_slice(&frame).expect("a frame");
        let at = |rest: &[u8]| (frame.len() - rest.len()) as u8;
        let tags = headers.link_exts.len();
        let l3 = 14 + 4 * tags as u8;
        prop_assert_eq!(parsed.result.l3, l3);
        prop_assert_eq!(parsed.result.has(flag::VLAN), tags > 0);
        prop_assert_eq!(parsed.result.has(flag::VLAN_MANY), tags > 1);
        let v6 = matches!(headers.net, Some(NetHeaders::Ipv6(..)));
        prop_assert_eq!(parsed.result.has(flag::IPV6), v6);
        prop_assert_eq!(parsed.result.has(flag::IPV4), !v6);
        let l4 = l3 + if v6 { 40 } else { 20 };
        let behind = at(headers.payload.slice());
        let (flag, known) = match headers.transport {
            Some(TransportHeader::Udp(_)) => (flag::UDP, true),
            Some(TransportHeader::Tcp(_)) => (flag::TCP, true),
            Some(TransportHeader::Icmpv4(_)) => (flag::ICMP, false),
            Some(TransportHeader::Icmpv6(_)) => (flag::ICMPV6, false),
            Some(TransportHeader::Igmp(_)) => (flag::IGMP, false),
            None => (flag::L3_UNKNOWN, false),
        };
        prop_assert!(parsed.result.has(flag));
        if headers.transport.is_some() {
            prop_assert_eq!(parsed.result.l4, l4);
        }
        if known && !headers.payload.slice().is_empty() {
            prop_assert_eq!(parsed.result.l5, behind);
        }
    }

    #[test]
    fn nothing_panics(mut frame in any_frame(), cuts: [prop::sample::Index; 4], bytes: [u8; 3]) {
        let [length, places @ ..] = cuts;
        for (place, byte) in places.iter().zip(bytes) {
            let at = place.index(frame.len());
            frame[at] = byte;
        }
        frame.truncate(length.index(frame.len() + 1));
        let parsed = parse(&frame, [0x9100, 0]);
        parsed.summary(parsed.errors);
        crate::wriop::checksum::check_l3(&frame, &parsed);
        crate::wriop::checksum::check_l4(&frame, &parsed);
        crate::wriop::checksum::fill_l3(&mut frame, &parsed);
        crate::wriop::checksum::fill_l4(&mut frame, &parsed);
    }

    #[test]
    fn random_bytes_do_not_panic_either(frame in prop::collection::vec(any::<u8>(), 0..300)) {
        let parsed = parse(&frame, [0; 2]);
        parsed.summary(parsed.errors);
    }
}
