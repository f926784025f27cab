// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The switch as a whole: how it is made, what it is, mirroring, tags,
//! aggregation.

use crate::common::Created;

commands! {
    /// Makes a switch. 0 asks for the firmware's default where one is named.
    Create = 0x902, version 3 {
        /// Interfaces, 1 to 64, without the control interface.
        num_ifs: u16 @ 0,
        /// Most forwarding tables; 0: 16.
        max_fdbs: u8 @ 2,
        /// Meters of an interface.
        max_meters_per_if: u8 @ 3,
        /// 0: C-VLAN, 1: S-VLAN.
        component_type: u8 @ 4 bits 0..4,
        /// 0: flooding is set up per VLAN, 1: per forwarding table.
        flooding_cfg: u8 @ 5 bits 0..4 since 3,
        /// 0: one broadcast domain, 1: one per forwarding table.
        broadcast_cfg: u8 @ 5 bits 4..8 since 3,
        /// Internal buffers of 256 bytes: a multiple of the number of
        /// interfaces.
        mem_size: u16 @ 6 since 2,
        /// Most VLANs; 0: 16.
        max_vlans: u16 @ 8,
        /// Entries of the default forwarding table; 0: 1024.
        max_fdb_entries: u16 @ 10,
        /// Seconds until an entry of it ages; 0: 300.
        fdb_aging_time: u16 @ 12,
        /// Multicast groups of a forwarding table; 0: 32.
        max_fdb_mc_groups: u16 @ 14,
        /// Bits of [`options`](super::options).
        options: u64 @ 16 named super::options::NAMES,
    } -> Created;

    /// Asks what the switch is.
    GetAttributes = 0x004, version 2 {} -> GetAttributesReply {
        /// Interfaces, without the control interface.
        num_ifs: u16 @ 0,
        /// Most forwarding tables.
        max_fdbs: u8 @ 2,
        /// Forwarding tables now.
        num_fdbs: u8 @ 3,
        /// Most VLANs.
        max_vlans: u16 @ 4,
        /// VLANs now.
        num_vlans: u16 @ 6,
        /// Entries of the default forwarding table.
        max_fdb_entries: u16 @ 8,
        /// Seconds until an entry of it ages.
        fdb_aging_time: u16 @ 10,
        /// Number of the object.
        id: u32 @ 12,
        /// Internal buffers of 256 bytes.
        mem_size: u16 @ 16,
        /// Multicast groups of a forwarding table.
        max_fdb_mc_groups: u16 @ 18,
        /// Meters of an interface.
        max_meters_per_if: u8 @ 20,
        /// As in [`Create`].
        component_type: u8 @ 21 bits 0..4,
        /// As in [`Create`].
        flooding_cfg: u8 @ 22 bits 0..4 since 2,
        /// As in [`Create`].
        broadcast_cfg: u8 @ 22 bits 4..8 since 2,
        /// As in [`Create`].
        options: u64 @ 24 named super::options::NAMES,
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

    /// Chooses the interface that mirrored frames go to.
    SetReflectionIf = 0x022, version 1 {
        /// Interface.
        if_id: u16 @ 0,
    } -> ();

    /// Adds a protocol number that marks a VLAN tag.
    AddCustomTpid = 0x024, version 1 {
        /// Ethernet type of the tag.
        tpid: u16 @ 2,
    } -> ();

    /// Removes such a number.
    RemoveCustomTpid = 0x026, version 1 {
        /// Ethernet type of the tag.
        tpid: u16 @ 2,
    } -> ();

    /// Sets, or by an empty one removes, a link aggregation group.
    LagSet = 0x0a4, version 2 {
        /// Group.
        group_id: u8 @ 0,
        /// How many of `if_id` count.
        num_ifs: u8 @ 1,
        /// Its interfaces.
        if_id: [u8; 8] @ 8,
        /// 0: apply, 1: only check. Since MC 10.35; Linux calls that version 2.
        phase: u8 @ 16,
    } -> ();

    /// Asks for a link aggregation group.
    LagGetCfg = 0x0a5, version 1 {
        /// Group.
        group_id: u8 @ 0,
    } -> LagGetCfgReply {
        /// Group.
        group_id: u8 @ 0,
        /// How many of `if_id` count.
        num_ifs: u8 @ 1,
        /// Its interfaces.
        if_id: [u8; 8] @ 8,
    };

    /// Writes a table of the hardware to memory.
    DumpTable = 0x0aa, version 1 {
        /// 1 forwarding, 2 VLANs at ingress, 3 VLANs at egress, 4 filters.
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

    /// Chooses a program of the frame parser.
    SetSpProfile = 0x0ae, version 1 {
        /// Name of the program, zero padded.
        profile: [u8; 8] @ 0,
        /// Bit 0: ingress, bit 1: egress.
        kind: u8 @ 8,
    } -> ();

    /// Switches the program on or off for an interface.
    SpEnable = 0x0af, version 1 {
        /// Interface.
        if_id: u16 @ 0,
        /// Bit 0: ingress, bit 1: egress.
        kind: u8 @ 2,
        /// Whether on.
        enable: bool @ 3,
    } -> ();
}
