// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Demultiplexers: one uplink (interface 0), shared by downlinks. Layouts:
//! `fsl_dpdmux_cmd.h` of MC 10.40; what version brought which field, from the
//! same header of the releases since 10.2.

use crate::{
    MacAddr,
    blocks::{LinkConfig, LinkState, TailDrop},
};

pub use crate::common::Created;

/// `DPDMUX_OPT_*` (`fsl_dpdmux.h`): what a demultiplexer is created with.
pub mod options {
    /// Downlinks reach each other.
    pub const BRIDGE_EN: u64 = 0x02;
    /// Rules have masks.
    pub const CLS_MASK_SUPPORT: u64 = 0x20;
    /// The longest frame follows that of the connected `dpni`.
    pub const AUTO_MAX_FRAME_LEN: u64 = 0x40;
    /// All of them.
    pub const ALL: u64 = 0x62;

    names!(BRIDGE_EN, CLS_MASK_SUPPORT, AUTO_MAX_FRAME_LEN);
}

/// `DPDMUX_METHOD_*`: what chooses a frame's downlink.
pub mod method {
    /// Nothing.
    pub const NONE: u8 = 0;
    /// VLAN and address.
    pub const C_VLAN_MAC: u8 = 1;
    /// Address.
    pub const MAC: u8 = 2;
    /// VLAN.
    pub const C_VLAN: u8 = 3;
    /// Service VLAN.
    pub const S_VLAN: u8 = 4;
    /// A key that software composes.
    pub const CUSTOM: u8 = 5;
}

/// `DPDMUX_IRQ_EVENT_*`: events of interrupt 0. The upper half of the status is
/// the number of the interface that they happened to (Linux reads it so).
pub mod events {
    /// A link went up or down, or changed its rate or options.
    pub const LINK_CHANGED: u32 = 1;
    /// An interface was connected or disconnected.
    pub const ENDPOINT_CHANGED: u32 = 2;

    names!(LINK_CHANGED, ENDPOINT_CHANGED);
}

/// `DPDMUX_SKIP_*`: what a reset leaves as it is.
pub mod skip_reset {
    /// The reset does not change which interface is the default.
    pub const MODIFY_DEFAULT_INTERFACE: u8 = 1;
    /// Rules for unicast addresses stay.
    pub const UNICAST_RULES: u8 = 2;
    /// Rules for multicast addresses stay.
    pub const MULTICAST_RULES: u8 = 4;
    /// The default interface itself is not reset.
    pub const RESET_DEFAULT_INTERFACE: u8 = 8;

    names!(MODIFY_DEFAULT_INTERFACE, UNICAST_RULES, MULTICAST_RULES, RESET_DEFAULT_INTERFACE);
}

/// How many counters an interface has (`enum dpdmux_counter_type`).
pub const COUNTERS: u8 = 12;
/// `DPDMUX_MAX_KEY_SIZE`: longest key of a custom rule, bytes.
pub const MAX_KEY_SIZE: u8 = 56;

commands! {
    /// Makes a demultiplexer. 0 asks for the firmware's default where one is
    /// named.
    Create = 0x906, version 5 {
        /// One of [`method`].
        method: u8 @ 0,
        /// 0: frames stay as they are, 1: a service tag is added and removed.
        manip: u8 @ 1,
        /// Downlinks; the uplink is not counted.
        num_ifs: u16 @ 2,
        /// Downlink that takes what nothing else matches; 0: none.
        default_if: u16 @ 4 since 2,
        /// Bytes of the key in the method CUSTOM.
        custom_key_size: u8 @ 6 since 5,
        /// Entries of the address table; 0: 64 per interface.
        max_dmat_entries: u16 @ 8,
        /// Multicast groups; 0: 32.
        max_mc_groups: u16 @ 10,
        /// VLANs in the method C_VLAN_MAC; 0: 16.
        max_vlan_ids: u16 @ 12,
        /// Internal buffers of 256 bytes.
        mem_size: u16 @ 14 since 3,
        /// Bits of [`options`].
        options: u64 @ 16 named options::NAMES,
    } -> Created;

    /// Asks what the demultiplexer is.
    GetAttributes = 0x004, version 4 {} -> GetAttributesReply {
        /// One of [`method`].
        method: u8 @ 0,
        /// As in [`Create`].
        manip: u8 @ 1,
        /// Downlinks.
        num_ifs: u16 @ 2,
        /// Internal buffers of 256 bytes.
        mem_size: u16 @ 4,
        /// As in [`Create`].
        default_if: u16 @ 6 since 2,
        /// Number of the object.
        id: u32 @ 16,
        /// Bytes of the key in the method CUSTOM.
        custom_key_size: u8 @ 20 since 4,
        /// Bits of [`options`].
        options: u64 @ 24 named options::NAMES,
        /// Entries of the address table.
        max_dmat_entries: u16 @ 32 since 3,
        /// Multicast groups.
        max_mc_groups: u16 @ 34 since 3,
        /// VLANs.
        max_vlan_ids: u16 @ 36 since 3,
    };

    /// Asks which events happened, and forgets those of them that are named.
    /// The upper half of the status is the number of the interface that they
    /// happened to.
    GetIrqStatus = 0x016, version 1 {
        /// The events to forget.
        status: u32 @ 0 named crate::words::EVENTS,
        /// Which of the object's interrupts.
        index: u8 @ 4,
    } -> GetIrqStatusReply {
        /// One bit an event, and the interface.
        status: u32 @ 0 named crate::words::EVENTS,
    };

    /// Forgets events of an interface.
    ClearIrqStatus = 0x017, version 1 {
        /// The events to forget, and the interface.
        status: u32 @ 0 named crate::words::EVENTS,
        /// Which of the object's interrupts.
        index: u8 @ 4,
    } -> ();

    /// Sets the longest frame, of all interfaces.
    SetMaxFrameLength = 0x0a1, version 1 {
        /// Bytes.
        max_frame_length: u16 @ 0,
    } -> ();

    /// Asks for the longest frame of an interface.
    GetMaxFrameLength = 0x0a2, version 1 {
        /// Interface.
        if_id: u16 @ 0,
    } -> GetMaxFrameLengthReply {
        /// Bytes.
        max_frame_length: u16 @ 0,
    };

    /// Sets the uplink's counters to zero.
    UlResetCounters = 0x0a3, version 1 {} -> ();

    /// Chooses which frames come in.
    IfSetAcceptedFrames = 0x0a7, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// 0 all, 1 only those with a VLAN tag, 2 only those without.
        kind: u8 @ 2 bits 0..4,
        /// What becomes of the others: 0 dropped, 1 to the control interface.
        unaccepted: u8 @ 2 bits 4..8,
    } -> ();

    /// Asks what an interface is.
    IfGetAttributes = 0x0a8, version 1 {
        /// Interface.
        if_id: u16 @ 0,
    } -> IfGetAttributesReply {
        /// Whether the interface is on.
        enabled: bool @ 3 bits 0..1,
        /// Whether it takes what nothing else matches.
        is_default: bool @ 3 bits 1..2,
        /// As [`IfSetAcceptedFrames::kind`].
        accepted_frames: u8 @ 7 bits 0..4,
        /// Configured rate, bit/s.
        rate: u32 @ 8,
    };

    /// Switches an interface on.
    IfEnable = 0x0a9, version 1 {
        /// Interface.
        if_id: u16 @ 0,
    } -> ();

    /// Switches an interface off.
    IfDisable = 0x0aa, version 1 {
        /// Interface.
        if_id: u16 @ 0,
    } -> ();

    /// Adds a rule: which frames go to an interface.
    IfAddL2Rule = 0x0b0, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// Destination address.
        address: MacAddr @ 2,
        /// VLAN.
        vlan_id: u16 @ 12,
    } -> ();

    /// Removes a rule.
    IfRemoveL2Rule = 0x0b1, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// Destination address.
        address: MacAddr @ 2,
        /// VLAN.
        vlan_id: u16 @ 12,
    } -> ();

    /// Reads a counter.
    IfGetCounter = 0x0b2, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// `enum dpdmux_counter_type`.
        kind: u8 @ 2,
    } -> IfGetCounterReply {
        /// Frames or bytes.
        counter: u64 @ 8,
    };

    /// Says what link software wants.
    IfSetLinkCfg = 0x0b3, version 2 {
        /// Interface.
        if_id: u16 @ 0,
        /// The link.
        link: LinkConfig @ 8,
    } -> ();

    /// Asks for the link as it is.
    IfGetLinkState = 0x0b4, version 2 {
        /// Interface.
        if_id: u16 @ 0,
    } -> IfGetLinkStateReply {
        /// The link.
        link: LinkState @ 4,
    };

    /// Composes the key of the method CUSTOM.
    SetCustomKey = 0x0b5, version 1 {
        /// I/O virtual address of the key's composition.
        key_cfg_iova: u64 @ 48,
    } -> ();

    /// Adds a rule of the method CUSTOM.
    AddCustomClsEntry = 0x0b6, version 2 {
        /// Bytes of the key.
        key_size: u8 @ 3,
        /// Order of rules with masks.
        entry_index: u16 @ 4 since 2,
        /// Interface that matching frames go to.
        dest_if: u16 @ 6,
        /// I/O virtual address of the key.
        key_iova: u64 @ 8,
        /// I/O virtual address of the mask.
        mask_iova: u64 @ 16,
    } -> ();

    /// Removes a rule of the method CUSTOM.
    RemoveCustomClsEntry = 0x0b7, version 1 {
        /// Bytes of the key.
        key_size: u8 @ 3,
        /// I/O virtual address of the key.
        key_iova: u64 @ 8,
        /// I/O virtual address of the mask.
        mask_iova: u64 @ 16,
    } -> ();

    /// Chooses the interface that takes what nothing else matches.
    IfSetDefault = 0x0b8, version 1 {
        /// Interface; 0: none.
        if_id: u16 @ 0,
    } -> ();

    /// Asks for that interface.
    IfGetDefault = 0x0b9, version 1 {} -> IfGetDefaultReply {
        /// Interface; 0: none.
        if_id: u16 @ 0,
    };

    /// Chooses what a reset leaves as it is.
    SetResetable = 0x0ba, version 1 {
        /// Bits of [`skip_reset`].
        skip_reset_flags: u8 @ 0 bits 0..4 named skip_reset::NAMES,
    } -> ();

    /// Asks for that.
    GetResetable = 0x0bb, version 1 {} -> GetResetableReply {
        /// Bits of [`skip_reset`].
        skip_reset_flags: u8 @ 0 bits 0..4 named skip_reset::NAMES,
    };

    /// Sets how full an interface's queue may get.
    IfSetTaildrop = 0x0bc, version 1 {
        /// Interface.
        if_id: u16 @ 4,
        /// The limit.
        drop: TailDrop @ 8 of version 1,
    } -> ();

    /// Asks for that.
    IfGetTaildrop = 0x0bd, version 1 {
        /// Interface.
        if_id: u16 @ 4,
    } -> IfGetTaildropReply {
        /// Interface.
        if_id: u16 @ 4,
        /// The limit.
        drop: TailDrop @ 8 of version 1,
    };

    /// Writes a table of the hardware to memory.
    DumpTable = 0x0be, version 1 {
        /// 1 addresses, 2 misses, 3 pruning.
        table_type: u16 @ 0,
        /// Which of them.
        table_index: u16 @ 2,
        /// I/O virtual address of the memory.
        iova_addr: u64 @ 8,
        /// Its size, bytes.
        iova_size: u32 @ 16,
    } -> DumpTableReply {
        /// Entries written.
        num_entries: u16 @ 0,
    };

    /// Says what becomes of frames with errors.
    IfSetErrorsBehavior = 0x0bf, version 1 {
        /// Bits of `DPDMUX_ERROR_*`.
        errors: u32 @ 0,
        /// 0: discarded, 1: let through.
        action: u8 @ 4 bits 0..4,
        /// Interface.
        if_id: u16 @ 6,
    } -> ();

    /// Chooses a program of the frame parser.
    SetSpProfile = 0x0c0, version 1 {
        /// Name of the program, zero padded.
        profile: [u8; 8] @ 0,
        /// Bit 0: ingress, bit 1: egress.
        kind: u8 @ 8,
    } -> ();

    /// Switches the program on or off for an interface.
    SpEnable = 0x0c1, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// Bit 0: ingress, bit 1: egress.
        kind: u8 @ 2,
        /// Whether on.
        enable: bool @ 3,
    } -> ();
}
