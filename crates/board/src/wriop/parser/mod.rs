// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The parser: which headers a frame has, and where.
//!
//! It follows the headers that the parse result of the hardware has words for:
//! Ethernet, LLC/SNAP, VLAN tags, PPPoE, MPLS, ARP, IPv4 and IPv6 (with options,
//! extension headers and fragments, and a second IP header inside the first, also
//! behind GRE), and behind these ICMP, IGMP, TCP, UDP, UDP-Lite, SCTP, DCCP,
//! IPsec; behind UDP it knows VXLAN, GTP, ESP and PTP by their ports. Offsets in
//! the result have eight bits, and so only the first 255 bytes of a frame are
//! looked at.
//!
//! What counts as an error in a header is chosen: a header that does not fit into
//! the frame, or whose length or version cannot be. Which error codes the
//! hardware gives is not known; [`ErrorCode`] has the board's.

mod ip;
mod l2;
mod l4;

pub(super) use ip::protocol;

use qbman_abi::{
    ParseResult,
    annotation::{flag, status, summary},
};

/// What stopped the parser: the parse error code of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorCode {
    /// A header does not fit into the frame.
    Truncated = 0x10,
    /// A header has a version or length that it cannot have.
    Malformed = 0x11,
    /// A header lies past the bytes that are looked at.
    TooDeep = 0x12,
}

/// An IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ip {
    /// Whether it is IPv6.
    pub v6: bool,
    /// Its first byte in the frame.
    pub start: usize,
    /// Bytes of the header, for IPv6 without extension headers.
    pub header: usize,
    /// What follows options and extension headers: first byte in the frame.
    pub payload: usize,
    /// End of the packet in the frame.
    pub end: usize,
    /// The protocol of what follows.
    pub protocol: u8,
    /// Whether this is a part of a packet.
    pub fragment: bool,
}

/// What the parser found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parsed {
    /// The result as software gets it.
    pub result: ParseResult,
    /// Errors: bits of [`status`].
    pub errors: u32,
    /// The control information of the first VLAN tag.
    pub vlan: Option<u16>,
    /// The last Ethernet type.
    pub ethertype: u16,
    /// The first IP header.
    pub ip: Option<Ip>,
    /// The IP header inside the first one.
    pub inner: Option<Ip>,
}

impl Parsed {
    /// Nothing found yet.
    pub const NOTHING: Self = Self {
        result: ParseResult::EMPTY,
        errors: 0,
        vlan: None,
        ethertype: 0,
        ip: None,
        inner: None,
    };

    /// Parses a frame as [`parse`] does, where nothing is found yet: in place, since this
    /// is large.
    #[inline]
    pub fn fill(&mut self, frame: &[u8], tpids: [u16; 2]) {
        l2::ethernet(&mut Cursor { frame, parsed: self }, tpids);
    }

    /// Where the ports of layer 4 lie in the frame: source, then destination.
    pub fn ports(&self) -> Option<usize> {
        const PORTS: u128 = flag::TCP | flag::UDP | flag::SCTP | flag::UDP_LITE | flag::DCCP;
        self.result.has_any(PORTS).then_some(self.result.l4.into())
    }

    /// The summary in the frame context of an LX2160A.
    ///
    /// Codes that DPDK knows are used where they say all that there is to say;
    /// for others, and where there is an error, the value that makes it look at
    /// the annotation.
    pub fn summary(&self, errors: u32) -> u16 {
        use summary as code;
        let result = &self.result;
        let special = flag::MPLS
            | flag::PPPOE
            | flag::LLC_SNAP
            | flag::ARP
            | flag::IP_FRAGMENT
            | flag::GRE
            | flag::IPSEC
            | flag::IGMP
            | flag::UDP_LITE
            | flag::DCCP;
        if errors != 0 || self.inner.is_some() || result.has_any(special) {
            return code::SEE_PARSE_RESULT;
        }
        let tags = match (result.has(flag::VLAN), result.has(flag::VLAN_MANY)) {
            (false, _) => 0,
            (true, false) => code::VLAN_ONE,
            (true, true) => code::VLAN_MANY,
        };
        let Some(ip) = self.ip else { return tags | code::ETHERNET };
        let l3 = if ip.v6 { code::IPV6 } else { code::IPV4 };
        let extended = result.has(flag::IP_OPTIONS);
        let l4 = if result.has_any(flag::ICMP | flag::ICMPV6) {
            Some(code::ICMP)
        } else if result.has(flag::TCP) {
            Some(code::TCP)
        } else if result.has(flag::UDP) {
            Some(code::UDP)
        } else if result.has(flag::SCTP) {
            Some(code::SCTP)
        } else {
            None
        };
        match (l4, extended) {
            // No code says both.
            (Some(_), true) => code::SEE_PARSE_RESULT,
            (Some(l4), false) => tags | l3 | l4,
            (None, true) => tags | l3 | code::EXTENDED,
            (None, false) => tags | l3,
        }
    }
}

/// Why the parser goes no further.
type Stop = ErrorCode;

/// The parser on its way through a frame.
struct Cursor<'a> {
    frame: &'a [u8],
    parsed: &'a mut Parsed,
}

/// Parses a frame. VLAN tags are those of the usual Ethernet types and of
/// `tpids` (0: none).
pub(super) fn parse(frame: &[u8], tpids: [u16; 2]) -> Parsed {
    let mut parsed = Parsed::NOTHING;
    parsed.fill(frame, tpids);
    parsed
}

impl Cursor<'_> {
    /// The `N` bytes at `at`.
    fn bytes<const N: usize>(&self, at: usize) -> Result<&[u8; N], Stop> {
        self.frame.get(at..).and_then(<[u8]>::first_chunk).ok_or(ErrorCode::Truncated)
    }

    /// The byte at `at`.
    fn byte(&self, at: usize) -> Result<u8, Stop> {
        self.frame.get(at).copied().ok_or(ErrorCode::Truncated)
    }

    /// The big-endian number at `at`.
    fn word(&self, at: usize) -> Result<u16, Stop> {
        self.bytes(at).map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// Sets flags.
    fn set(&mut self, flags: u128) {
        self.parsed.result.flags |= flags;
    }

    /// Notes that a header is not as it must be.
    fn fail(&mut self, code: Stop, flag: u128) {
        self.set(flag | flag::PARSING_ERROR);
        self.parsed.result.error_code = code as u8;
        self.parsed.errors |= match code {
            ErrorCode::TooDeep => status::BLOCK_LIMIT_ERROR,
            ErrorCode::Truncated | ErrorCode::Malformed => status::HEADER_ERROR,
        };
    }

    /// Runs a step, and notes what stopped it.
    fn attempt(&mut self, flag: u128, step: impl FnOnce(&mut Self) -> Result<(), Stop>) {
        if let Err(code) = step(self) {
            self.fail(code, flag);
        }
    }
}

/// An offset as the result holds it.
fn offset(at: usize) -> Result<u8, Stop> {
    u8::try_from(at).ok().filter(|at| *at != u8::MAX).ok_or(ErrorCode::TooDeep)
}

#[cfg(test)]
mod tests;
