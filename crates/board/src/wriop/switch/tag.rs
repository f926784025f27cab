// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The tag of a frame, and frames with another one.

/// Bytes of both addresses.
pub const ADDRESSES: usize = 12;
/// Bytes of a tag.
const TAG: usize = 4;
/// The VLAN in a tag's control information.
pub const VLAN: u16 = 0xfff;

/// A frame taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Both addresses.
    pub addresses: &'a [u8],
    /// The outermost tag: Ethernet type and control information.
    pub tag: Option<(u16, u16)>,
    /// What follows.
    pub rest: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Takes a frame apart; tags are those of the Ethernet types `tpids`. `None`
    /// where the frame is too short for an Ethernet header.
    pub fn of(frame: &'a [u8], tpids: [u16; 3]) -> Option<Self> {
        let (addresses, rest) = frame.split_at_checked(ADDRESSES)?;
        let word = |at: usize| {
            rest.get(at..).and_then(<[u8]>::first_chunk).map(|bytes| u16::from_be_bytes(*bytes))
        };
        let kind = word(0)?;
        let tagged = kind != 0 && tpids.contains(&kind);
        // A tag has an Ethernet type behind it.
        match (word(2), word(TAG)) {
            (Some(control), Some(_)) if tagged => {
                let rest = rest.get(TAG..).unwrap_or_default();
                Some(Self { addresses, tag: Some((kind, control)), rest })
            }
            _ => Some(Self { addresses, tag: None, rest }),
        }
    }
}

/// Four bytes of a tag.
pub fn bytes(tpid: u16, control: u16) -> [u8; TAG] {
    let ([a, b], [c, d]) = (tpid.to_be_bytes(), control.to_be_bytes());
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_where_it_is_one() {
        let mut frame = [0x11; 18];
        frame[12..18].copy_from_slice(&[0x81, 0, 0x20, 5, 8, 0]);
        let parts = Parts::of(&frame, [0x8100, 0, 0]).expect("a frame");
        assert_eq!((parts.tag, parts.rest), (Some((0x8100, 0x2005)), &[8, 0][..]));
        let parts = Parts::of(&frame, [0x88a8, 0, 0]).expect("a frame");
        assert_eq!((parts.tag, parts.rest.len()), (None, 6));
        // Cut off inside the tag.
        assert_eq!(Parts::of(&frame[..17], [0x8100, 0, 0]).expect("a frame").tag, None);
        assert_eq!(Parts::of(&frame[..13], [0x8100, 0, 0]), None);
        assert_eq!(bytes(0x8100, 0x2005), [0x81, 0, 0x20, 5]);
    }
}
