// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Which context bank a stream came to lately, for a look without a lock.
//!
//! Every entry is one word, so that it is whole or not there. Any register write
//! but an invalidation forgets all of them.

use std::sync::atomic::{AtomicU64, Ordering};

use super::access::{Access, AccessKind};
use super::streams::Route;

const ENTRIES: usize = 128;

const VALID: u64 = 1 << 0;
const BYPASS: u64 = 1 << 1;
const PRIVILEGED: u64 = 1 << 2;
const STREAM_SHIFT: u32 = 16;
const BANK_SHIFT: u32 = 32;

/// Routes of data accesses that their bus master marks as unprivileged.
#[derive(Debug)]
pub(super) struct Routes {
    entries: [AtomicU64; ENTRIES],
}

impl Default for Routes {
    fn default() -> Self {
        Self { entries: [const { AtomicU64::new(0) }; ENTRIES] }
    }
}

impl Routes {
    /// Where `stream` goes with `access`, if that is known.
    #[inline]
    pub(super) fn find(&self, stream: u16, access: Access) -> Option<Route> {
        let entry = self.place(stream)?.load(Ordering::Relaxed);
        if entry & VALID == 0
            || (entry >> STREAM_SHIFT) as u16 != stream
            || access.privileged
            || access.kind == AccessKind::Fetch
        {
            return None;
        }
        Some(if entry & BYPASS != 0 {
            Route::Bypass
        } else {
            let privileged = entry & PRIVILEGED != 0;
            Route::Bank((entry >> BANK_SHIFT) as usize, Access { privileged, ..access })
        })
    }

    /// Notes where [`Access::READ`] of `stream` goes. Writes go there too; only a
    /// read may be turned into something else on the way, and is not kept then.
    pub(super) fn insert(&self, stream: u16, read: Route) {
        let found = match read {
            Route::Bypass => BYPASS,
            Route::Bank(bank, Access { kind: AccessKind::Read, privileged }) => {
                (bank as u64) << BANK_SHIFT | if privileged { PRIVILEGED } else { 0 }
            }
            Route::Bank(..) => return,
        };
        if let Some(place) = self.place(stream) {
            let entry = VALID | u64::from(stream) << STREAM_SHIFT | found;
            place.store(entry, Ordering::Relaxed);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.entries.iter().for_each(|entry| entry.store(0, Ordering::Relaxed));
    }

    #[inline]
    fn place(&self, stream: u16) -> Option<&AtomicU64> {
        self.entries.get(usize::from(stream) % ENTRIES)
    }
}
