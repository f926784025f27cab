// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The interface as a whole: creation, attributes, events, buffer pools,
//! statistics, port settings.

use crate::{common::Created, field::Older};

commands! {
    /// Makes a network interface. 0 asks for a default wherever a number is
    /// given.
    Create = 0x901, version 8 {
        /// Bits of [`options`](super::options).
        options: u32 @ 0 named super::options::NAMES,
        /// Queues that traffic is spread over, in each traffic class.
        num_queues: u8 @ 4,
        /// Traffic classes, at most 16; receive has at most 8.
        num_tcs: u8 @ 5,
        /// Entries of the MAC filter besides the primary address, at most 80.
        mac_filter_entries: u8 @ 6,
        /// Egress channels.
        num_channels: u8 @ 7 since 6,
        /// Entries of the VLAN filter, at most 16; 0: no such filter.
        vlan_filter_entries: u8 @ 8,
        /// Entries of the QoS table, at most 64.
        qos_entries: u8 @ 10,
        /// Entries of the flow steering table, at most 1024.
        fs_entries: u16 @ 12,
        /// Traffic classes for receive, at most 8; 0: as `num_tcs`.
        num_rx_tcs: u8 @ 14 since 2,
        /// Congestion groups.
        num_cgs: u8 @ 16 since 3,
        /// Order point records.
        num_opr: u16 @ 17 since 4,
        /// Bytes of a distribution key, at most 56.
        dist_key_size: u8 @ 19 since 5,
    } -> Created;

    /// Asks what the interface was made with.
    GetAttributes = 0x004, version 6 {} -> GetAttributesReply {
        /// Bits of [`options`](super::options).
        options: u32 @ 0 named super::options::NAMES,
        /// Queues a traffic class.
        num_queues: u8 @ 4,
        /// Receive traffic classes.
        num_rx_tcs: u8 @ 5,
        /// Entries of the MAC filter.
        mac_filter_entries: u8 @ 6,
        /// Transmit traffic classes; version 1 has one number for both ways.
        num_tx_tcs: u8 @ 7 since 2,
        /// Entries of the VLAN filter.
        vlan_filter_entries: u8 @ 8,
        /// Egress channels.
        num_channels: u8 @ 9 since 4,
        /// Entries of the QoS table.
        qos_entries: u8 @ 10,
        /// Entries of the flow steering table.
        fs_entries: u16 @ 12,
        /// Order point records.
        num_opr: u16 @ 14 since 5,
        /// Longest key of the QoS table, bytes.
        qos_key_size: u8 @ 16,
        /// Longest key of distribution and flow steering, bytes.
        fs_key_size: u8 @ 17,
        /// Version of the hardware: 6, 5 and 5 bits (0xc00: 3.0.0, LX2160A).
        wriop_version: u16 @ 18,
        /// Congestion groups.
        num_cgs: u8 @ 20 since 3,
    };

    /// Asks which events happened. The layout is that of every family; it is
    /// repeated because here the answer also forgets events.
    GetIrqStatus = 0x016, version 1 {
        /// The events to forget with the answer.
        status: u32 @ 0 named crate::words::EVENTS,
        /// Which of the object's interrupts.
        index: u8 @ 4,
    } -> GetIrqStatusReply {
        /// One bit an event.
        status: u32 @ 0 named crate::words::EVENTS,
    };

    /// Names the pools that received frames take buffers from.
    SetPools = 0x200, version 3 {
        /// How many of `pools` are meant.
        num_pools: u8 @ 0,
        /// One bit a pool: use it when the others are empty.
        backup_mask: u8 @ 1,
        /// 0: `priority_mask` selects by priority, 1: by queuing bin.
        assignment: u8 @ 3 since 3,
        /// The pools; version 1 has no priorities, but wider numbers.
        pools: [Pool; 8] @ 4 ([u32; 8] until 1),
        /// Bytes of a buffer of each pool.
        buffer_sizes: [u16; 8] @ 36,
    } -> ();

    /// Asks for counters. What they count, `union dpni_statistics` says.
    GetStatistics = 0x25d, version 4 {
        /// Which seven counters, 0 to 6.
        page: u8 @ 0,
        /// For pages 3 and 4: traffic class, and in the upper byte the channel
        /// or queue.
        param: u16 @ 1 since 2 (u8 until 2),
    } -> GetStatisticsReply {
        /// The page's counters.
        counters: [u64; 7] @ 0,
    };

    /// Puts all counters to zero.
    ResetStatistics = 0x25e, version 1 {} -> ();

    /// Sets up time stamps that the hardware writes into frames it sends.
    SetSingleStepCfg = 0x279, version 1 {
        /// On or off; off, the rest does not count.
        enable: bool @ 0 bits 0..1,
        /// Correct the UDP checksum.
        update_checksum: bool @ 0 bits 1..2,
        /// Where in the frame the stamp lies, bytes.
        offset: u16 @ 2,
        /// Added to the correction field, nanoseconds.
        peer_delay: u32 @ 4,
    } -> ();

    /// Asks for what [`SetSingleStepCfg`] set.
    GetSingleStepCfg = 0x27a, version 2 {} -> GetSingleStepCfgReply {
        /// On or off.
        enable: bool @ 0 bits 0..1,
        /// Correct the UDP checksum.
        update_checksum: bool @ 0 bits 1..2,
        /// Where in the frame the stamp lies, bytes.
        offset: u16 @ 2,
        /// Added to the correction field, nanoseconds.
        peer_delay: u32 @ 4,
        /// Physical address of the register that does the same; 0: none.
        register_base: u32 @ 8 since 2,
    };

    /// Sets up the hardware port behind the interface.
    SetPortCfg = 0x27b, version 1 {
        /// Which settings are meant; bit 0: loopback.
        flags: u32 @ 0,
        /// What is sent comes back.
        loopback: bool @ 4 bits 0..1,
    } -> ();

    /// Asks for what [`SetPortCfg`] set.
    GetPortCfg = 0x27c, version 1 {} -> GetPortCfgReply {
        /// Which settings are meant; bit 0: loopback.
        flags: u32 @ 0,
        /// What is sent comes back.
        loopback: bool @ 4 bits 0..1,
    };

    /// Asks for counters of the MAC that the interface is connected to; the
    /// MC reads and writes memory for it.
    GetMacStatistics = 0x283, version 1 {
        /// I/O virtual address of the counters' numbers, 32 bits each.
        numbers_iova: u64 @ 0,
        /// I/O virtual address for their values, 64 bits each.
        values_iova: u64 @ 8,
        /// How many.
        count: u32 @ 16,
    } -> ();
}

layout! {
    /// A buffer pool of [`SetPools`].
    pub struct Pool [4] {
        /// Number of the `dpbp`.
        dpbp: u32 @ 0 bits 0..16,
        /// Traffic classes that use it; 0: all.
        priority_mask: u8 @ 2,
    }
}

impl Older<[u32; 8]> for [Pool; 8] {
    fn from_older(numbers: [u32; 8]) -> Self {
        numbers.map(|dpbp| Pool { dpbp, priority_mask: 0 })
    }

    fn to_older(&self) -> [u32; 8] {
        self.map(|pool| pool.dpbp)
    }
}
