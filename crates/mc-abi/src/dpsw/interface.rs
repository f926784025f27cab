// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! One interface of a switch: its switch, link, and what it lets in.

use crate::{
    MacAddr,
    blocks::{LinkConfig, LinkState},
};

commands! {
    /// Sets the tag of frames that come in without one.
    IfSetTci = 0x030, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// VLAN.
        vlan_id: u16 @ 2 bits 0..12,
        /// Drop eligible indicator.
        dei: bool @ 2 bits 12..13,
        /// Priority code point.
        pcp: u8 @ 2 bits 13..16,
    } -> ();

    /// Asks for that tag.
    IfGetTci = 0x04a, version 1 {
        /// Interface.
        if_id: u16 @ 0,
    } -> IfGetTciReply {
        /// VLAN.
        vlan_id: u16 @ 2,
        /// Drop eligible indicator.
        dei: bool @ 4,
        /// Priority code point.
        pcp: u8 @ 5,
    };

    /// Sets an interface's spanning tree state in a VLAN.
    IfSetStp = 0x031, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// VLAN.
        vlan_id: u16 @ 2,
        /// 0 blocking, 1 listening, 2 learning, 3 forwarding.
        state: u8 @ 4 bits 0..4,
    } -> ();

    /// Chooses which frames come in.
    IfSetAcceptedFrames = 0x032, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// 1: all, 3: only those with a VLAN tag.
        kind: u8 @ 2 bits 0..4,
        /// What becomes of the others: 0 dropped, 1 to the control interface.
        unaccepted: u8 @ 2 bits 4..8,
    } -> ();

    /// Chooses whether frames of VLANs come in that the interface is not in.
    IfSetAcceptAllVlan = 0x033, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// Whether they do.
        accept_all: bool @ 2 bits 0..1,
    } -> ();

    /// Reads a counter.
    IfGetCounter = 0x034, version 2 {
        /// Interface.
        if_id: u16 @ 0,
        /// `enum dpsw_counter`.
        kind: u8 @ 2 bits 0..5,
    } -> IfGetCounterReply {
        /// Frames or bytes.
        counter: u64 @ 8,
    };

    /// Writes a counter.
    IfSetCounter = 0x035, version 2 {
        /// Interface.
        if_id: u16 @ 0,
        /// `enum dpsw_counter`.
        kind: u8 @ 2 bits 0..5,
        /// Frames or bytes.
        counter: u64 @ 8,
    } -> ();

    /// Mirrors what comes in.
    IfAddReflection = 0x037, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// VLAN, where `filter` is 1.
        vlan_id: u16 @ 2,
        /// 0: all frames, 1: those of the VLAN.
        filter: u8 @ 4 bits 0..2,
    } -> ();

    /// Mirrors it no longer.
    IfRemoveReflection = 0x038, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// VLAN, where `filter` is 1.
        vlan_id: u16 @ 2,
        /// 0: all frames, 1: those of the VLAN.
        filter: u8 @ 4 bits 0..2,
    } -> ();

    /// Switches an interface on.
    IfEnable = 0x03d, version 1 {
        /// Interface.
        if_id: u16 @ 0,
    } -> ();

    /// Switches an interface off.
    IfDisable = 0x03e, version 1 {
        /// Interface.
        if_id: u16 @ 0,
    } -> ();

    /// Asks what an interface is. The layout is packed: `options` and `rate`
    /// lie right after `qdid` and a gap of four bytes.
    IfGetAttributes = 0x042, version 1 {
        /// Interface.
        if_id: u16 @ 0,
    } -> IfGetAttributesReply {
        /// As [`IfSetAcceptedFrames::kind`].
        admit_untagged: u8 @ 0 bits 0..4,
        /// Whether the interface is on.
        enabled: bool @ 0 bits 5..6,
        /// As [`IfSetAcceptAllVlan`].
        accept_all_vlan: bool @ 0 bits 6..7,
        /// Traffic classes.
        num_tcs: u8 @ 2,
        /// Queuing destination of what software sends out of this interface.
        qdid: u16 @ 4,
        /// Options of the interface. The reference header is packed: this and
        /// the rate are not aligned, though MC 10.1 had them at 8 and 16.
        options: u32 @ 6,
        /// Transmit rate, bit/s.
        rate: u32 @ 14,
    };

    /// Sets the longest frame that comes in.
    IfSetMaxFrameLength = 0x044, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// Bytes.
        frame_length: u16 @ 2,
    } -> ();

    /// Asks for that.
    IfGetMaxFrameLength = 0x045, version 1 {
        /// Interface.
        if_id: u16 @ 0,
    } -> IfGetMaxFrameLengthReply {
        /// Bytes.
        frame_length: u16 @ 2,
    };

    /// Asks for the link as it is.
    IfGetLinkState = 0x046, version 2 {
        /// Interface.
        if_id: u16 @ 0,
    } -> IfGetLinkStateReply {
        /// The link.
        link: LinkState @ 4,
    };

    /// Says what link software wants.
    IfSetLinkCfg = 0x04c, version 2 {
        /// Interface.
        if_id: u16 @ 0,
        /// The link.
        link: LinkConfig @ 8,
    } -> ();

    /// Chooses whether frames to unknown destinations go out here.
    IfSetFlooding = 0x047, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// Whether they do.
        enable: bool @ 2 bits 0..1,
    } -> ();

    /// Chooses whether broadcast frames go out here.
    IfSetBroadcast = 0x048, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// Whether they do.
        enable: bool @ 2 bits 0..1,
    } -> ();

    /// Chooses whether multicast frames go out here.
    IfSetMulticast = 0x049, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// Whether they do.
        enable: bool @ 2 bits 0..1,
    } -> ();

    /// Asks for the address of the port that an interface is connected to.
    IfGetPortMacAddr = 0x0a7, version 1 {
        /// Interface.
        if_id: u16 @ 0,
    } -> IfGetPortMacAddrReply {
        /// All zeros: no port.
        address: MacAddr @ 2,
    };

    /// Says what becomes of frames with errors. The layout is packed.
    IfSetErrorsBehavior = 0x0ab, version 1 {
        /// Bits of `DPSW_ERROR_*`.
        errors: u32 @ 0,
        /// 0: discarded, 1: let through.
        action: u8 @ 4 bits 0..4,
        /// Whether they are marked.
        set_frame_annotation: bool @ 4 bits 4..5,
        /// Interface.
        if_id: u16 @ 5,
    } -> ();

    /// Chooses how an interface learns addresses.
    IfSetLearningMode = 0x0ad, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// 0 not, 1 hardware, 2 software unsecured, 3 software secured.
        mode: u8 @ 2 bits 0..4,
    } -> ();

    /// Chooses whether an aggregation group sends through an interface.
    IfSetLagState = 0x0b0, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// Whether it does.
        tx_enabled: bool @ 2,
    } -> ();
}
