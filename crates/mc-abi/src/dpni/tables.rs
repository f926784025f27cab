// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Tables: how received frames find their traffic class and queue. Keys, masks
//! and key layouts lie in memory.

use crate::blocks::Policer;

commands! {
    /// Sets how a traffic class spreads frames over its queues (the older
    /// command, hash and flow steering in one).
    SetRxTcDist = 0x235, version 4 {
        /// Over how many queues.
        size: u16 @ 0,
        /// Traffic class.
        tc: u8 @ 2,
        /// 0 none, 1 hash, 2 flow steering.
        mode: u8 @ 3 bits 0..4,
        /// Where no rule matches: 0 drop, 1 to the default queue, 2 hash.
        miss_action: u8 @ 3 bits 4..8,
        /// Do not delete the rules there are.
        keep_entries: bool @ 5 bits 6..7 since 3,
        /// Hash by the previous key.
        keep_hash_key: bool @ 5 bits 7..8 since 2,
        /// The default queue.
        default_flow: u16 @ 6,
        /// I/O virtual address of the key's layout, 256 bytes.
        key_iova: u64 @ 48,
    } -> ();

    /// Sets up flow steering for a traffic class.
    SetRxFsDist = 0x273, version 2 {
        /// Over how many queues.
        size: u16 @ 0,
        /// On or off.
        enable: bool @ 2 bits 0..1,
        /// Traffic class.
        tc: u8 @ 3,
        /// Queue where no rule matches; 0xffff: drop.
        miss_flow: u16 @ 4,
        /// I/O virtual address of the key's layout, 256 bytes.
        key_iova: u64 @ 8,
    } -> ();

    /// Sets up spreading by hash for a traffic class.
    SetRxHashDist = 0x274, version 2 {
        /// Over how many queues.
        size: u16 @ 0,
        /// On or off.
        enable: bool @ 2 bits 0..1,
        /// Traffic class.
        tc: u8 @ 3,
        /// I/O virtual address of the key's layout, 256 bytes.
        key_iova: u64 @ 8,
    } -> ();

    /// Limits the rate of a traffic class of what is received.
    SetRxTcPolicing = 0x23e, version 2 {
        /// Traffic class.
        tc: u8 @ 2,
        /// The policer.
        policer: Policer @ 0,
    } -> ();

    /// Asks for what [`SetRxTcPolicing`] set.
    GetRxTcPolicing = 0x251, version 1 {
        /// Traffic class.
        tc: u8 @ 2,
    } -> GetRxTcPolicingReply {
        /// The policer.
        policer: Policer @ 0,
    };

    /// Sets up the table that chooses the traffic class.
    SetQosTable = 0x240, version 3 {
        /// Queue where no rule matches, if `set_default_flow`.
        default_flow: u16 @ 2 since 3,
        /// Traffic class where no rule matches.
        default_tc: u8 @ 4,
        /// Drop where no rule matches.
        discard_on_miss: bool @ 5 bits 0..1,
        /// Do not delete the rules there are.
        keep_entries: bool @ 5 bits 1..2 since 2,
        /// `default_flow` counts.
        set_default_flow: bool @ 5 bits 2..3 since 3,
        /// I/O virtual address of the key's layout, 256 bytes.
        key_iova: u64 @ 48,
    } -> ();

    /// Adds a rule that chooses the traffic class.
    AddQosEntry = 0x241, version 2 {
        /// Bit 0 `flow` counts, 1 change the rule if it is there.
        flags: u8 @ 0 since 2,
        /// Queue of the class.
        flow: u8 @ 1 since 2,
        /// Traffic class.
        tc: u8 @ 2,
        /// Bytes of key and mask.
        key_size: u8 @ 3,
        /// Place in a ternary table: lower ones match first.
        index: u16 @ 4,
        /// I/O virtual address of the key.
        key_iova: u64 @ 8,
        /// I/O virtual address of the mask; 0: none.
        mask_iova: u64 @ 16,
    } -> ();

    /// Removes a rule that chooses the traffic class.
    RemoveQosEntry = 0x242, version 1 {
        /// Bytes of key and mask.
        key_size: u8 @ 3,
        /// I/O virtual address of the key.
        key_iova: u64 @ 8,
        /// I/O virtual address of the mask; 0: none.
        mask_iova: u64 @ 16,
    } -> ();

    /// Removes all rules that choose the traffic class.
    ClearQosTable = 0x243, version 1 {} -> ();

    /// Adds a flow steering rule.
    AddFsEntry = 0x244, version 3 {
        /// Bits of `DPNI_FS_OPT_*`.
        options: u16 @ 0,
        /// Traffic class.
        tc: u8 @ 2,
        /// Bytes of key and mask.
        key_size: u8 @ 3,
        /// Place in a ternary table: lower ones match first.
        index: u16 @ 4,
        /// The queue that frames go to.
        flow: u16 @ 6,
        /// I/O virtual address of the key.
        key_iova: u64 @ 8,
        /// I/O virtual address of the mask; 0: none.
        mask_iova: u64 @ 16,
        /// Flow context of matching frames.
        flow_context: u64 @ 24,
        /// Tokens of the interfaces that frames go to instead; version 2 has
        /// the first one only.
        redirect_tokens: [u16; 8] @ 32 since 2 (u16 until 2),
        /// How many of them.
        redirect_count: u8 @ 48 since 3,
    } -> ();

    /// Removes a flow steering rule.
    RemoveFsEntry = 0x245, version 1 {
        /// Traffic class.
        tc: u8 @ 2,
        /// Bytes of key and mask.
        key_size: u8 @ 3,
        /// I/O virtual address of the key.
        key_iova: u64 @ 8,
        /// I/O virtual address of the mask; 0: none.
        mask_iova: u64 @ 16,
    } -> ();

    /// Removes all flow steering rules of a traffic class.
    ClearFsEntries = 0x246, version 1 {
        /// Traffic class.
        tc: u8 @ 2,
    } -> ();

    /// Has the MC write a table to memory.
    DumpTable = 0x27d, version 1 {
        /// 1 flow steering, 2 MAC, 3 QoS, 4 VLAN.
        table: u16 @ 0,
        /// Which of several tables.
        index: u16 @ 2,
        /// I/O virtual address for the table.
        iova: u64 @ 8,
        /// Bytes there.
        size: u32 @ 16,
    } -> DumpTableReply {
        /// Entries written.
        entries: u16 @ 0,
    };
}
