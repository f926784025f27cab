// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Forwarding tables: where a destination address leads.

use crate::MacAddr;

commands! {
    /// Asks for a multicast entry.
    FdbGetMulticast = 0x080, version 1 {
        /// Table.
        fdb_id: u16 @ 0,
        /// Address.
        address: MacAddr @ 2,
    } -> FdbGetMulticastReply {
        /// How many interfaces.
        num_ifs: u16 @ 8,
        /// 0: static, 1: dynamic.
        kind: u8 @ 10 bits 0..4,
        /// The interfaces, a bitmap.
        interfaces: [u64; 4] @ 16,
    };

    /// Asks for a unicast entry.
    FdbGetUnicast = 0x081, version 1 {
        /// Table.
        fdb_id: u16 @ 0,
        /// Address.
        address: MacAddr @ 2,
    } -> FdbGetUnicastReply {
        /// Interface.
        if_egress: u16 @ 8,
        /// 0: static, 1: dynamic.
        kind: u8 @ 10 bits 0..4,
    };

    /// Adds a table.
    FdbAdd = 0x082, version 1 {
        /// Seconds until an entry ages.
        fdb_aging_time: u16 @ 4,
        /// Most entries.
        num_fdb_entries: u16 @ 6,
    } -> FdbAddReply {
        /// The new table.
        fdb_id: u16 @ 0,
    };

    /// Removes a table.
    FdbRemove = 0x083, version 1 {
        /// Table.
        fdb_id: u16 @ 0,
    } -> ();

    /// Adds a unicast entry.
    FdbAddUnicast = 0x084, version 1 {
        /// Table.
        fdb_id: u16 @ 0,
        /// Address.
        address: MacAddr @ 2,
        /// Interface.
        if_egress: u16 @ 8,
        /// 0: static, 1: dynamic.
        kind: u8 @ 10 bits 0..4,
    } -> ();

    /// Removes a unicast entry.
    FdbRemoveUnicast = 0x085, version 1 {
        /// Table.
        fdb_id: u16 @ 0,
        /// Address.
        address: MacAddr @ 2,
        /// Interface.
        if_egress: u16 @ 8,
        /// 0: static, 1: dynamic.
        kind: u8 @ 10 bits 0..4,
    } -> ();

    /// Adds interfaces to a multicast entry.
    FdbAddMulticast = 0x086, version 1 {
        /// Table.
        fdb_id: u16 @ 0,
        /// How many interfaces.
        num_ifs: u16 @ 2,
        /// 0: static, 1: dynamic.
        kind: u8 @ 4 bits 0..4,
        /// Address.
        address: MacAddr @ 8,
        /// The interfaces, a bitmap.
        interfaces: [u64; 4] @ 16,
    } -> ();

    /// Takes interfaces out of a multicast entry; with its last one it goes.
    FdbRemoveMulticast = 0x087, version 1 {
        /// Table.
        fdb_id: u16 @ 0,
        /// How many interfaces.
        num_ifs: u16 @ 2,
        /// 0: static, 1: dynamic.
        kind: u8 @ 4 bits 0..4,
        /// Address.
        address: MacAddr @ 8,
        /// The interfaces, a bitmap.
        interfaces: [u64; 4] @ 16,
    } -> ();

    /// Chooses how a table learns addresses.
    FdbSetLearningMode = 0x088, version 1 {
        /// Table.
        fdb_id: u16 @ 0,
        /// 0 not, 1 hardware, 2 software unsecured, 3 software secured.
        mode: u8 @ 2 bits 0..4,
    } -> ();

    /// Asks what a table is.
    FdbGetAttributes = 0x089, version 1 {
        /// Table.
        fdb_id: u16 @ 0,
    } -> FdbGetAttributesReply {
        /// Most entries.
        max_fdb_entries: u16 @ 2,
        /// Seconds until an entry ages.
        fdb_aging_time: u16 @ 4,
        /// Multicast groups now.
        num_fdb_mc_groups: u16 @ 6,
        /// Most multicast groups.
        max_fdb_mc_groups: u16 @ 8,
        /// As in [`FdbSetLearningMode`].
        learning_mode: u8 @ 10 bits 0..4,
    };

    /// Writes a table's entries to memory.
    FdbDump = 0x08a, version 1 {
        /// Table.
        fdb_id: u16 @ 0,
        /// I/O virtual address of the memory.
        iova_addr: u64 @ 8,
        /// Its size, bytes.
        iova_size: u32 @ 16,
    } -> FdbDumpReply {
        /// Entries written.
        num_entries: u16 @ 0,
    };

    /// Chooses where a table's broadcast or unknown frames go.
    SetEgressFlood = 0x0ac, version 1 {
        /// Table.
        fdb_id: u16 @ 0,
        /// 0: broadcast frames, 1: those with unknown destination.
        flood_type: u8 @ 2,
        /// The interfaces, a bitmap, the control interface among them.
        interfaces: u64 @ 8,
    } -> ();
}
