// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Virtual networks.

/// Option of [`VlanAddIf`]: the forwarding table is given.
pub const VLAN_ADD_IF_FDB_ID: u16 = 1;

commands! {
    /// Adds a VLAN.
    VlanAdd = 0x060, version 1 {
        /// Its forwarding table.
        fdb_id: u16 @ 0,
        /// VLAN.
        vlan_id: u16 @ 2,
    } -> ();

    /// Adds interfaces to a VLAN.
    VlanAddIf = 0x061, version 2 {
        /// Bit 0: `fdb_id` counts.
        options: u16 @ 0 since 2,
        /// VLAN.
        vlan_id: u16 @ 2,
        /// The forwarding table that the VLAN has for these interfaces.
        fdb_id: u16 @ 4 since 2,
        /// The interfaces, a bitmap.
        interfaces: [u64; 4] @ 8,
    } -> ();

    /// Makes frames of a VLAN leave interfaces without tag.
    VlanAddIfUntagged = 0x062, version 1 {
        /// VLAN.
        vlan_id: u16 @ 2,
        /// The interfaces, a bitmap.
        interfaces: [u64; 4] @ 8,
    } -> ();

    /// Makes frames of a VLAN with unknown destination go to interfaces.
    VlanAddIfFlooding = 0x063, version 1 {
        /// VLAN.
        vlan_id: u16 @ 2,
        /// The interfaces, a bitmap.
        interfaces: [u64; 4] @ 8,
    } -> ();

    /// Takes interfaces out of a VLAN.
    VlanRemoveIf = 0x064, version 1 {
        /// VLAN.
        vlan_id: u16 @ 2,
        /// The interfaces, a bitmap.
        interfaces: [u64; 4] @ 8,
    } -> ();

    /// Undoes [`VlanAddIfUntagged`].
    VlanRemoveIfUntagged = 0x065, version 1 {
        /// VLAN.
        vlan_id: u16 @ 2,
        /// The interfaces, a bitmap.
        interfaces: [u64; 4] @ 8,
    } -> ();

    /// Undoes [`VlanAddIfFlooding`].
    VlanRemoveIfFlooding = 0x066, version 1 {
        /// VLAN.
        vlan_id: u16 @ 2,
        /// The interfaces, a bitmap.
        interfaces: [u64; 4] @ 8,
    } -> ();

    /// Removes a VLAN.
    VlanRemove = 0x067, version 1 {
        /// VLAN.
        vlan_id: u16 @ 2,
    } -> ();

    /// Asks for the interfaces of a VLAN.
    VlanGetIf = 0x068, version 1 {
        /// VLAN.
        vlan_id: u16 @ 0,
    } -> VlanGetIfReply {
        /// How many.
        num_ifs: u16 @ 2,
        /// The interfaces, a bitmap.
        interfaces: [u64; 4] @ 8,
    };

    /// Asks for the interfaces that a VLAN's unknown frames go to.
    VlanGetIfFlooding = 0x069, version 1 {
        /// VLAN.
        vlan_id: u16 @ 0,
    } -> VlanGetIfFloodingReply {
        /// How many.
        num_ifs: u16 @ 2,
        /// The interfaces, a bitmap.
        interfaces: [u64; 4] @ 8,
    };

    /// Asks for the interfaces that a VLAN's frames leave without tag.
    VlanGetIfUntagged = 0x06a, version 1 {
        /// VLAN.
        vlan_id: u16 @ 0,
    } -> VlanGetIfUntaggedReply {
        /// How many.
        num_ifs: u16 @ 2,
        /// The interfaces, a bitmap.
        interfaces: [u64; 4] @ 8,
    };

    /// Asks what a VLAN is.
    VlanGetAttributes = 0x06b, version 1 {
        /// VLAN.
        vlan_id: u16 @ 0,
    } -> VlanGetAttributesReply {
        /// Its forwarding table.
        fdb_id: u16 @ 8,
        /// How many interfaces it has.
        num_ifs: u16 @ 10,
        /// How many of them send its frames without tag.
        num_untagged_ifs: u16 @ 12,
        /// How many take its unknown frames.
        num_flooding_ifs: u16 @ 14,
    };
}
