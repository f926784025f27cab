// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Access control lists: rules that frames have to pass.

commands! {
    /// Adds a list.
    AclAdd = 0x090, version 1 {
        /// Most rules.
        max_entries: u16 @ 2,
    } -> AclAddReply {
        /// The new list.
        acl_id: u16 @ 0,
    };

    /// Removes a list.
    AclRemove = 0x091, version 1 {
        /// List.
        acl_id: u16 @ 0,
    } -> ();

    /// Adds a rule.
    AclAddEntry = 0x092, version 1 {
        /// List.
        acl_id: u16 @ 0,
        /// Interface that matching frames go to, where `action` is 1.
        if_id: u16 @ 2,
        /// Order of the rules; 0 is the lowest.
        precedence: i32 @ 4,
        /// 0 drop, 1 to an interface, 2 accept, 3 to the control interface.
        action: u8 @ 8 bits 0..4,
        /// I/O virtual address of the key.
        key_iova: u64 @ 48,
    } -> ();

    /// Removes a rule.
    AclRemoveEntry = 0x093, version 1 {
        /// List.
        acl_id: u16 @ 0,
        /// As in [`AclAddEntry`].
        if_id: u16 @ 2,
        /// As in [`AclAddEntry`].
        precedence: i32 @ 4,
        /// As in [`AclAddEntry`].
        action: u8 @ 8 bits 0..4,
        /// I/O virtual address of the key.
        key_iova: u64 @ 48,
    } -> ();

    /// Makes interfaces use a list.
    AclAddIf = 0x094, version 1 {
        /// List.
        acl_id: u16 @ 0,
        /// How many interfaces.
        num_ifs: u16 @ 2,
        /// The interfaces, a bitmap.
        interfaces: [u64; 4] @ 8,
    } -> ();

    /// Makes interfaces use a list no longer.
    AclRemoveIf = 0x095, version 1 {
        /// List.
        acl_id: u16 @ 0,
        /// How many interfaces.
        num_ifs: u16 @ 2,
        /// The interfaces, a bitmap.
        interfaces: [u64; 4] @ 8,
    } -> ();

    /// Asks what a list is.
    AclGetAttributes = 0x096, version 1 {
        /// List.
        acl_id: u16 @ 0,
    } -> AclGetAttributesReply {
        /// Most rules.
        max_entries: u16 @ 8,
        /// Rules now.
        num_entries: u16 @ 10,
        /// Interfaces that use it.
        num_ifs: u16 @ 12,
    };
}
