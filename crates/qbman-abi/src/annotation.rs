// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Hardware annotations: what the network interface hardware (WRIOP) and
//! software tell each other beside a frame.
//!
//! A buffer starts with bytes that are software's (none or 64), then comes the
//! hardware's annotation. Layouts and bits: Linux `dpaa2-eth.h`, DPDK
//! `dpaa2_hw_dpni_annot.h` and `dpaa2_ethdev.h`.

/// Bits of the frame context (FRC) of a descriptor.
pub mod frc {
    /// The frame annotation status is valid.
    pub const STATUS_VALID: u32 = 0x8000;
    /// The egress action descriptor is valid.
    pub const EGRESS_ACTION_VALID: u32 = 0x4000;
    /// The parse result is valid.
    pub const PARSE_VALID: u32 = 0x2000;
    /// Software's opaque value is valid.
    pub const SOFTWARE_OPAQUE_VALID: u32 = 0x0800;
    /// Where the summary of the parse result starts (16 bits), which an LX2160A
    /// puts there.
    pub const SUMMARY_SHIFT: u32 = 16;
}

/// The summary of the parse result in the frame context of an LX2160A: a layer 3
/// code, or-ed with a layer 4 code.
pub mod summary {
    /// No layer 3 that the hardware knows.
    pub const ETHERNET: u16 = 0x0060;
    /// IPv4.
    pub const IPV4: u16 = 0x0000;
    /// IPv6.
    pub const IPV6: u16 = 0x0020;
    /// IPv4 options, or IPv6 extension headers, and no known layer 4.
    pub const EXTENDED: u16 = 0x0001;
    /// ICMP.
    pub const ICMP: u16 = 0x0003;
    /// TCP.
    pub const TCP: u16 = 0x000e;
    /// SCTP.
    pub const SCTP: u16 = 0x000f;
    /// UDP.
    pub const UDP: u16 = 0x0010;
    /// One VLAN tag.
    pub const VLAN_ONE: u16 = 0x0100;
    /// More than one VLAN tag.
    pub const VLAN_MANY: u16 = 0x0200;
    /// Nothing that has a code: the parse result says it. The value is chosen;
    /// clients take whatever they do not know for this.
    pub const SEE_PARSE_RESULT: u16 = 0xffff;
}

/// Bits of the control word of a descriptor that are set in one that software
/// gets.
pub mod control {
    /// The format of the frame is not supported.
    pub const UNSUPPORTED_FORMAT: u32 = 0x04;
    /// An access to memory failed.
    pub const BUS_ERROR: u32 = 0x08;
    /// The length of the frame and that of its pieces do not fit.
    pub const FRAME_SIZE_ERROR: u32 = 0x20;
    /// The annotation says what is wrong with the frame.
    pub const ANNOTATION_ERROR: u32 = 0x40;
    /// All error bits.
    pub const ERRORS: u32 = 0xff;
    /// Where the length of the hardware's annotation starts, four bits, in
    /// units of 64 bytes.
    pub const ANNOTATION_LENGTH_SHIFT: u32 = 16;
    /// The colour of a received frame (three bits from here): 0 is green.
    pub const DROP_PRIORITY_SHIFT: u32 = 24;
}

/// Bits of the frame annotation status.
pub mod status {
    /// To a group of stations.
    pub const MULTICAST: u32 = 0x0400_0000;
    /// To all stations.
    pub const BROADCAST: u32 = 0x0200_0000;
    /// The precision time protocol.
    pub const PTP: u32 = 0x0800_0000;
    /// No key could be built from the frame.
    pub const KEY_SIZE_ERROR: u32 = 0x0004_0000;
    /// The frame is longer than the interface takes, or shorter than it says.
    pub const FRAME_LENGTH_ERROR: u32 = 0x2000;
    /// The physical layer found an error.
    pub const PHYSICAL_ERROR: u32 = 0x1000;
    /// The parser found an error in a header.
    pub const HEADER_ERROR: u32 = 0x20;
    /// A header lies past the bytes that the parser looks at.
    pub const BLOCK_LIMIT_ERROR: u32 = 0x10;
    /// The layer 3 checksum was looked at.
    pub const L3_CHECKED: u32 = 0x8;
    /// It is wrong.
    pub const L3_ERROR: u32 = 0x4;
    /// The layer 4 checksum was looked at.
    pub const L4_CHECKED: u32 = 0x2;
    /// It is wrong.
    pub const L4_ERROR: u32 = 0x1;
    /// All bits that tell of an error: what Linux asks for by one mask.
    pub const ERRORS: u32 = 0x0007_f0f5;
}

/// What the parser found: the frame attribute flags, by their position (0 to
/// 95) in the parse result.
pub mod flag {
    const fn at(position: u32) -> u128 {
        1 << (95 - position)
    }

    /// The precision time protocol.
    pub const PTP: u128 = at(3);
    /// VXLAN.
    pub const VXLAN: u128 = at(4);
    /// An error in the VXLAN header.
    pub const VXLAN_ERROR: u128 = at(5);
    /// Any error in a header.
    pub const PARSING_ERROR: u128 = at(9);
    /// Ethernet.
    pub const ETHERNET: u128 = at(10);
    /// To a single station.
    pub const ETHERNET_UNICAST: u128 = at(11);
    /// To a group of stations.
    pub const ETHERNET_MULTICAST: u128 = at(12);
    /// To all stations.
    pub const ETHERNET_BROADCAST: u128 = at(13);
    /// A bridge protocol data unit.
    pub const BPDU: u128 = at(14);
    /// Fibre Channel over Ethernet.
    pub const FCOE: u128 = at(15);
    /// The FCoE initialization protocol.
    pub const FIP: u128 = at(16);
    /// An error in the Ethernet header.
    pub const ETHERNET_ERROR: u128 = at(17);
    /// LLC and SNAP.
    pub const LLC_SNAP: u128 = at(18);
    /// LLC with another identifier than that of SNAP over Ethernet.
    pub const LLC_UNKNOWN: u128 = at(19);
    /// An error in LLC or SNAP.
    pub const LLC_SNAP_ERROR: u128 = at(20);
    /// A VLAN tag.
    pub const VLAN: u128 = at(21);
    /// More than one VLAN tag.
    pub const VLAN_MANY: u128 = at(22);
    /// The drop-eligible bit of a VLAN tag is set.
    pub const VLAN_CFI: u128 = at(23);
    /// An error in a VLAN tag.
    pub const VLAN_ERROR: u128 = at(24);
    /// PPPoE.
    pub const PPPOE: u128 = at(25);
    /// An error in PPPoE.
    pub const PPPOE_ERROR: u128 = at(26);
    /// MPLS.
    pub const MPLS: u128 = at(27);
    /// More than one MPLS label.
    pub const MPLS_MANY: u128 = at(28);
    /// An error in MPLS.
    pub const MPLS_ERROR: u128 = at(29);
    /// ARP.
    pub const ARP: u128 = at(30);
    /// An error in ARP.
    pub const ARP_ERROR: u128 = at(31);
    /// Nothing known follows layer 2.
    pub const L2_UNKNOWN: u128 = at(32);
    /// IPv4, the first (or only) IP header.
    pub const IPV4: u128 = at(34);
    /// To a single station.
    pub const IPV4_UNICAST: u128 = at(35);
    /// To a group.
    pub const IPV4_MULTICAST: u128 = at(36);
    /// To all.
    pub const IPV4_BROADCAST: u128 = at(37);
    /// IPv4, the last of several IP headers.
    pub const IPV4_INNER: u128 = at(38);
    /// To a single station.
    pub const IPV4_INNER_UNICAST: u128 = at(39);
    /// To a group.
    pub const IPV4_INNER_MULTICAST: u128 = at(40);
    /// To all.
    pub const IPV4_INNER_BROADCAST: u128 = at(41);
    /// IPv6, the first (or only) IP header.
    pub const IPV6: u128 = at(42);
    /// To a single station.
    pub const IPV6_UNICAST: u128 = at(43);
    /// To a group.
    pub const IPV6_MULTICAST: u128 = at(44);
    /// IPv6, the last of several IP headers.
    pub const IPV6_INNER: u128 = at(45);
    /// To a single station.
    pub const IPV6_INNER_UNICAST: u128 = at(46);
    /// To a group.
    pub const IPV6_INNER_MULTICAST: u128 = at(47);
    /// Options or extension headers of the first IP header.
    pub const IP_OPTIONS: u128 = at(48);
    /// Nothing known follows the first IP header.
    pub const IP_UNKNOWN: u128 = at(49);
    /// The first IP header is that of a fragment.
    pub const IP_FRAGMENT: u128 = at(50);
    /// It is the first fragment.
    pub const IP_FIRST_FRAGMENT: u128 = at(51);
    /// An error in the first IP header.
    pub const IP_ERROR: u128 = at(52);
    /// Options or extension headers of the last IP header.
    pub const IP_INNER_OPTIONS: u128 = at(53);
    /// Nothing known follows the last IP header.
    pub const IP_INNER_UNKNOWN: u128 = at(54);
    /// The last IP header is that of a fragment.
    pub const IP_INNER_FRAGMENT: u128 = at(55);
    /// It is the first fragment.
    pub const IP_INNER_FIRST_FRAGMENT: u128 = at(56);
    /// ICMP.
    pub const ICMP: u128 = at(57);
    /// IGMP.
    pub const IGMP: u128 = at(58);
    /// ICMP for IPv6.
    pub const ICMPV6: u128 = at(59);
    /// UDP-Lite.
    pub const UDP_LITE: u128 = at(60);
    /// An error in the last IP header.
    pub const IP_INNER_ERROR: u128 = at(61);
    /// GRE.
    pub const GRE: u128 = at(65);
    /// GRE with routing information.
    pub const GRE_ROUTING: u128 = at(66);
    /// An error in GRE.
    pub const GRE_ERROR: u128 = at(67);
    /// Nothing known follows layer 3.
    pub const L3_UNKNOWN: u128 = at(68);
    /// UDP.
    pub const UDP: u128 = at(70);
    /// An error in UDP.
    pub const UDP_ERROR: u128 = at(71);
    /// TCP.
    pub const TCP: u128 = at(72);
    /// TCP options.
    pub const TCP_OPTIONS: u128 = at(73);
    /// One of the flags URG, ACK, PSH, RST, SYN, FIN.
    pub const TCP_FLAGS: u128 = at(74);
    /// One of the flags NS, CWR, ECE.
    pub const TCP_ECN_FLAGS: u128 = at(75);
    /// An error in TCP.
    pub const TCP_ERROR: u128 = at(76);
    /// IPsec.
    pub const IPSEC: u128 = at(77);
    /// IPsec ESP.
    pub const IPSEC_ESP: u128 = at(78);
    /// IPsec AH.
    pub const IPSEC_AH: u128 = at(79);
    /// An error in IPsec.
    pub const IPSEC_ERROR: u128 = at(80);
    /// SCTP.
    pub const SCTP: u128 = at(81);
    /// An error in SCTP.
    pub const SCTP_ERROR: u128 = at(82);
    /// DCCP.
    pub const DCCP: u128 = at(83);
    /// An error in DCCP.
    pub const DCCP_ERROR: u128 = at(84);
    /// Nothing known follows layer 4.
    pub const L4_UNKNOWN: u128 = at(85);
    /// GTP.
    pub const GTP: u128 = at(87);
    /// An error in GTP.
    pub const GTP_ERROR: u128 = at(88);
    /// ESP in UDP.
    pub const ESP: u128 = at(89);
    /// An error in ESP.
    pub const ESP_ERROR: u128 = at(90);
    /// An IPv6 routing header of the first IP header.
    pub const IPV6_ROUTING: u128 = at(95);
}

/// An offset in a parse result of a header that there is not.
pub const ABSENT: u8 = 0xff;

/// The parse result: which headers there are, and where. Offsets count from the
/// first byte of the frame and are [`ABSENT`] where there is no such header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseResult {
    /// What follows the last header that was parsed: an Ethernet type or an IP
    /// protocol.
    pub next_header: u16,
    /// Bits of [`flag`], in the lower 96 bits.
    pub flags: u128,
    /// The byte of the IP header that names what follows.
    pub ip_protocol: u8,
    /// The Ethernet header.
    pub ethernet: u8,
    /// LLC and SNAP.
    pub llc_snap: u8,
    /// The first VLAN tag's control information.
    pub vlan_first: u8,
    /// The last one's.
    pub vlan_last: u8,
    /// The last Ethernet type.
    pub last_ethertype: u8,
    /// PPPoE.
    pub pppoe: u8,
    /// The first MPLS label.
    pub mpls_first: u8,
    /// The last one.
    pub mpls_last: u8,
    /// The first layer 3 header: IP or ARP.
    pub l3: u8,
    /// The last IP header of several.
    pub l3_inner: u8,
    /// GRE.
    pub gre: u8,
    /// Layer 4.
    pub l4: u8,
    /// What follows layer 4: GTP, ESP, or data.
    pub l5: u8,
    /// The first IPv6 routing header.
    pub routing_first: u8,
    /// The second one.
    pub routing_second: u8,
    /// The byte that named the last header.
    pub next_header_byte: u8,
    /// The IPv6 fragment header.
    pub ipv6_fragment: u8,
    /// Sum of the bytes from layer 4 on (one's complement).
    pub running_sum: u16,
    /// Which error was met; 0: none.
    pub error_code: u8,
    /// The byte of the IPv6 fragment header that names what follows.
    pub fragment_next_header: u8,
    /// The byte of the last IP header that names what follows.
    pub ip_protocol_inner: u8,
}

impl ParseResult {
    /// Bytes of a parse result.
    pub const SIZE: usize = 48;

    /// Nothing found yet.
    pub const EMPTY: Self = Self {
        next_header: 0,
        flags: 0,
        ip_protocol: ABSENT,
        ethernet: ABSENT,
        llc_snap: ABSENT,
        vlan_first: ABSENT,
        vlan_last: ABSENT,
        last_ethertype: ABSENT,
        pppoe: ABSENT,
        mpls_first: ABSENT,
        mpls_last: ABSENT,
        l3: ABSENT,
        l3_inner: ABSENT,
        gre: ABSENT,
        l4: ABSENT,
        l5: ABSENT,
        routing_first: ABSENT,
        routing_second: ABSENT,
        next_header_byte: ABSENT,
        ipv6_fragment: ABSENT,
        running_sum: 0,
        error_code: 0,
        fragment_next_header: ABSENT,
        ip_protocol_inner: ABSENT,
    };

    /// Whether all of these flags are set.
    #[inline]
    pub const fn has(&self, flags: u128) -> bool {
        self.flags & flags == flags
    }

    /// Whether any of these flags is set.
    #[inline]
    pub const fn has_any(&self, flags: u128) -> bool {
        self.flags & flags != 0
    }

    /// The six words of the result, as hardware counts its bytes: the first byte
    /// is the highest of the first word.
    #[inline]
    const fn words(&self) -> [u64; 6] {
        let shim = ABSENT;
        let head = (self.next_header as u128) << 112 | self.flags;
        [
            (head >> 64) as u64,
            head as u64,
            u64::from_be_bytes([
                shim,
                shim,
                self.ip_protocol,
                self.ethernet,
                self.llc_snap,
                self.vlan_first,
                self.vlan_last,
                self.last_ethertype,
            ]),
            u64::from_be_bytes([
                self.pppoe,
                self.mpls_first,
                self.mpls_last,
                self.l3,
                self.l3_inner,
                self.gre,
                self.l4,
                self.l5,
            ]),
            (u32::from_be_bytes([
                self.routing_first,
                self.routing_second,
                self.next_header_byte,
                self.ipv6_fragment,
            ]) as u64)
                << 32
                | self.running_sum as u64,
            u64::from_be_bytes([
                self.error_code,
                self.fragment_next_header,
                self.ip_protocol_inner,
                0,
                0,
                0,
                0,
                0,
            ]),
        ]
    }

    /// The result as keys are extracted from it: DPDK's offsets
    /// (`DPAA2_PR_L3_OFF_OFFSET` and so on) count in this array.
    #[inline]
    pub fn to_array(&self) -> [u8; Self::SIZE] {
        self.in_order(u64::to_be_bytes)
    }

    /// The result as it lies in an annotation: each word little-endian.
    #[inline]
    pub fn to_annotation(&self) -> [u8; Self::SIZE] {
        self.in_order(u64::to_le_bytes)
    }

    #[inline]
    fn in_order(&self, bytes: impl Fn(u64) -> [u8; 8]) -> [u8; Self::SIZE] {
        let mut array = [0; Self::SIZE];
        for (part, word) in array.chunks_exact_mut(8).zip(self.words()) {
            part.copy_from_slice(&bytes(word));
        }
        array
    }
}

/// The annotation of a received frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiveAnnotation {
    /// The policy that handled the frame.
    pub policy: u8,
    /// The interface that received it.
    pub interface: u16,
    /// Bits of [`status`].
    pub status: u32,
    /// When it was received, nanoseconds.
    pub timestamp: u64,
    /// What the parser found.
    pub parse: ParseResult,
}

impl ReceiveAnnotation {
    /// Bytes of the annotation.
    pub const SIZE: usize = 64;
    /// Where the time stamp lies.
    pub const TIMESTAMP: u64 = 8;

    /// The annotation's bytes.
    #[inline]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        self.write(&mut bytes);
        bytes
    }

    /// Writes the annotation's bytes.
    #[inline]
    pub fn write(&self, bytes: &mut [u8; Self::SIZE]) {
        bytes[..8].copy_from_slice(&status_bytes(self.policy, self.interface, self.status));
        bytes[8..16].copy_from_slice(&self.timestamp.to_le_bytes());
        for (part, word) in bytes[16..].chunks_exact_mut(8).zip(self.parse.words()) {
            part.copy_from_slice(&word.to_le_bytes());
        }
    }
}

/// The first eight bytes of an annotation: the frame annotation status.
#[inline]
pub fn status_bytes(policy: u8, interface: u16, status: u32) -> [u8; 8] {
    let [i0, i1] = interface.to_le_bytes();
    let [s0, s1, s2, s3] = status.to_le_bytes();
    [0, policy, i0, i1, s0, s1, s2, s3]
}

/// The egress action descriptor: what software asks for one frame that it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EgressAction {
    /// Queue that the frame is confirmed on; 0: none.
    pub confirmation: u32,
    /// Control bits.
    pub control: u32,
}

impl EgressAction {
    /// Bytes of a descriptor.
    pub const SIZE: usize = 8;
    /// Where it lies in the annotation, bytes.
    pub const OFFSET: u64 = 0x58;

    const A2_VALID: u32 = 0x2000_0000;
    const CONFIRMATION_VALID: u32 = 0x0800_0000;
    const DEALLOCATION_VALID: u32 = 0x2000;
    const DEALLOCATION_DISABLED: u32 = 0x20;
    const UPDATE_VALID: u32 = 0x1000;
    const UPDATE: u32 = 0x10;

    /// Reads a descriptor.
    #[inline]
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let [f0, f1, f2, f3, c0, c1, c2, c3] = *bytes;
        Self {
            confirmation: u32::from_le_bytes([f0, f1, f2, f3]),
            control: u32::from_le_bytes([c0, c1, c2, c3]),
        }
    }

    /// The queue that replaces the one that the frame would be confirmed on:
    /// `Some(0)` for none.
    #[inline]
    pub fn confirmation(&self) -> Option<u32> {
        (self.control & Self::CONFIRMATION_VALID != 0).then_some(self.confirmation)
    }

    /// Whether the buffer goes back to its pool after sending, where the
    /// descriptor says so.
    #[inline]
    pub fn deallocates(&self) -> Option<bool> {
        let valid = Self::A2_VALID | Self::DEALLOCATION_VALID;
        (self.control & valid == valid).then_some(self.control & Self::DEALLOCATION_DISABLED == 0)
    }

    /// Whether status and time of sending are to be written to the annotation.
    #[inline]
    pub fn updates_annotation(&self) -> bool {
        let all = Self::A2_VALID | Self::UPDATE_VALID | Self::UPDATE;
        self.control & all == all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flags from DPDK's `dpaa2_hw_dpni_annot.h`: bits of words 3 and 4.
    #[test]
    fn flags_are_where_dpdk_reads_them() {
        let parse = ParseResult {
            flags: flag::VLAN | flag::ETHERNET | flag::IPV4 | flag::TCP | flag::IPV6_ROUTING,
            ..ParseResult::EMPTY
        };
        let bytes = ReceiveAnnotation { policy: 0, interface: 0, status: 0, timestamp: 0, parse }
            .to_bytes();
        let word = |index: usize| {
            u64::from_le_bytes(bytes[index * 8 - 8..index * 8].try_into().expect("eight bytes"))
        };
        assert_eq!(word(3), 1 << 10 | 1 << 21);
        assert_eq!(word(4), 1 << 61 | 1 << 23 | 1);
    }

    /// Offsets from `struct dpaa2_fapr` of Linux and from `dpaa2_ethdev.h` of DPDK.
    #[test]
    fn offsets_are_where_clients_read_them() {
        let parse = ParseResult {
            next_header: 0x1234,
            ethernet: 0,
            vlan_first: 14,
            last_ethertype: 16,
            l3: 18,
            l4: 38,
            l5: 58,
            next_header_byte: 27,
            running_sum: 0xabcd,
            error_code: 0x5a,
            ..ParseResult::EMPTY
        };
        let array = parse.to_array();
        assert_eq!(array[..2], [0x12, 0x34]);
        for (offset, value) in [(19, 0), (21, 14), (23, 16), (27, 18), (30, 38), (31, 58), (34, 27)]
        {
            assert_eq!(array[offset], value, "parse result {offset}");
        }
        // Linux counts from its `faf_lo`.
        let annotation = parse.to_annotation();
        let [last_ethertype, vlan_first, ethernet, l5, l4, l3, code] =
            [0x10, 0x12, 0x14, 0x18, 0x19, 0x1c, 0x2f].map(|offset| annotation[offset]);
        assert_eq!(
            [last_ethertype, vlan_first, ethernet, l5, l4, l3, code],
            [16, 14, 0, 58, 38, 18, 0x5a]
        );
        assert_eq!(annotation[6..8], [0x34, 0x12]);
        assert_eq!(annotation[0x20..0x22], [0xcd, 0xab]);
    }

    /// The masks that Linux and DPDK give the hardware.
    #[test]
    fn status_lies_behind_the_interface_and_errors_are_those_of_linux() {
        let bytes = status_bytes(3, 0x0102, status::L3_CHECKED | status::BROADCAST);
        assert_eq!(bytes, [0, 3, 2, 1, 0x08, 0, 0, 0x02]);
        // KSE, EOFHE, MNLE, TIDE, PIEE, FLE, FPE, PTE, ISP, PHE, BLE, L3CE, L4CE.
        let linux = 0x40000 | 0x20000 | 0x10000 | 0x8000 | 0x4000 | 0x2000 | 0x1000 | 0xf0 | 4 | 1;
        assert_eq!(status::ERRORS, linux);
    }

    /// What Linux writes for a frame that an XDP program sends back, and for one
    /// whose time of sending it wants.
    #[test]
    fn egress_actions_of_linux_are_understood() {
        let release = EgressAction { confirmation: 0, control: 0x0800_0000 | 0x2000_0000 | 0x2000 };
        assert_eq!(release.confirmation(), Some(0));
        assert_eq!((release.deallocates(), release.updates_annotation()), (Some(true), false));
        let stamp = EgressAction { confirmation: 0, control: 0x2000_0000 | 0x1000 | 0x10 };
        assert_eq!((stamp.confirmation(), stamp.deallocates()), (None, None));
        assert!(stamp.updates_annotation());
        let mut bytes = [0x78, 0x56, 0x34, 0x12, 0, 0x20, 0, 0x28];
        assert_eq!(EgressAction::from_bytes(&bytes).confirmation(), Some(0x1234_5678));
        bytes[7] = 0;
        assert_eq!(EgressAction::from_bytes(&bytes).confirmation(), None);
    }
}
