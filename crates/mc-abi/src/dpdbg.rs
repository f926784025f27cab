// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The debug interface. Layouts: `fsl_dpdbg_cmd.h` of MC 10.40.

use crate::Label;
pub use crate::common::Created;

commands! {
    /// Makes the debug interface.
    Create = 0x90f, version 1 {
        /// Number that software wishes for; the MC picks one.
        dpdbg_id: u32 @ 0,
        /// Number of the container; the token's counts.
        dpdbg_container_id: u32 @ 4,
    } -> Created;

    /// Asks for the object's identity.
    GetAttributes = 0x004, version 1 {} -> GetAttributesReply {
        /// Number of the object.
        id: u32 @ 0,
    };

    /// Writes what the MC knows of an object, or of its memory, to the MC's
    /// log.
    Dump = 0x130, version 1 {
        /// Number of the object.
        id: u32 @ 0,
        /// Its type, or `mem`.
        kind: Label @ 4,
    } -> ();

    /// Changes a setting of the MC's log.
    Set = 0x140, version 1 {
        /// The new value.
        state: u32 @ 0,
        /// The setting: `console`, `log_mode`, `timestamp`, `log_level` or
        /// `uart_id`.
        module: Label @ 4,
    } -> ();

    /// Switches the counters of a classifier on or off.
    SetCtluProfilingCounters = 0x152, version 1 {
        /// 0: network egress, 1: network ingress, 2 and 3: AIOP.
        ctlu_type: u8 @ 0 bits 0..3,
        /// Whether counting is on.
        enable: bool @ 1 bits 6..7,
        /// Whether only one table counts.
        for_table: bool @ 2 bits 7..8,
        /// Which one.
        table_id: u16 @ 3,
    } -> ();

    /// Asks for the counters of a classifier. The reference library sends
    /// [`SetCtluProfilingCounters`] in its place.
    GetCtluProfilingCounters = 0x153, version 1 {
        /// 0: network egress, 1: network ingress, 2 and 3: AIOP.
        ctlu_type: u8 @ 0 bits 0..3,
    } -> GetCtluProfilingCountersReply {
        /// Rules looked up.
        rule_lookups: u32 @ 0,
        /// Rules found.
        rule_hits: u32 @ 4,
        /// Entries looked up.
        entry_lookups: u32 @ 8,
        /// Entries found.
        entry_hits: u32 @ 12,
        /// Accesses to the cache.
        cache_accesses: u32 @ 16,
        /// Accesses that the cache answered.
        cache_hits: u32 @ 20,
        /// Changes of the cache.
        cache_updates: u32 @ 24,
        /// Accesses to memory.
        memory_accesses: u32 @ 28,
    };
}
