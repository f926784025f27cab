// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Filters: which frames the interface takes in.

use crate::MacAddr;

commands! {
    /// Takes in all frames to groups, or only filtered ones.
    SetMulticastPromisc = 0x220, version 1 {
        /// All.
        enable: bool @ 0 bits 0..1,
    } -> ();

    /// Asks for what [`SetMulticastPromisc`] set.
    GetMulticastPromisc = 0x221, version 1 {} -> GetMulticastPromiscReply {
        /// All.
        enabled: bool @ 0 bits 0..1,
    };

    /// Takes in all frames to single stations, or only filtered ones.
    SetUnicastPromisc = 0x222, version 1 {
        /// All.
        enable: bool @ 0 bits 0..1,
    } -> ();

    /// Asks for what [`SetUnicastPromisc`] set.
    GetUnicastPromisc = 0x223, version 1 {} -> GetUnicastPromiscReply {
        /// All.
        enabled: bool @ 0 bits 0..1,
    };

    /// Sets the interface's own address.
    SetPrimaryMacAddr = 0x224, version 1 {
        /// The address.
        address: MacAddr @ 2,
    } -> ();

    /// Asks for the interface's own address.
    GetPrimaryMacAddr = 0x225, version 1 {} -> GetPrimaryMacAddrReply {
        /// The address; all zeros: none.
        address: MacAddr @ 2,
    };

    /// Adds an address to the filter.
    AddMacAddr = 0x226, version 2 {
        /// Bit 0: frames to it go to the queue given here.
        flags: u8 @ 0 since 2,
        /// The address.
        address: MacAddr @ 2,
        /// Traffic class of that queue.
        tc: u8 @ 8 since 2,
        /// Number of that queue in its class.
        flow: u8 @ 9 since 2,
    } -> ();

    /// Removes an address from the filter.
    RemoveMacAddr = 0x227, version 1 {
        /// The address.
        address: MacAddr @ 2,
    } -> ();

    /// Removes addresses from the filter.
    ClearMacFilters = 0x228, version 1 {
        /// Those of single stations.
        unicast: bool @ 0 bits 0..1,
        /// Those of groups.
        multicast: bool @ 0 bits 1..2,
    } -> ();

    /// Takes in only frames of listed VLANs, or of all.
    EnableVlanFilter = 0x230, version 1 {
        /// Only listed ones.
        enable: bool @ 0 bits 0..1,
    } -> ();

    /// Adds a VLAN to the list.
    AddVlanId = 0x231, version 2 {
        /// Bit 0: its frames go to the queue given here.
        flags: u8 @ 0 since 2,
        /// Traffic class of that queue.
        tc: u8 @ 1 since 2,
        /// Number of that queue in its class.
        flow: u8 @ 2 since 2,
        /// The VLAN.
        vlan: u16 @ 4,
    } -> ();

    /// Removes a VLAN from the list.
    RemoveVlanId = 0x232, version 1 {
        /// The VLAN.
        vlan: u16 @ 4,
    } -> ();

    /// Removes all VLANs from the list.
    ClearVlanFilters = 0x233, version 1 {} -> ();
}
