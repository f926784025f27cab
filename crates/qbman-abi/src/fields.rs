// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Fields of a ring entry. Offsets are constants of this crate, all of them
//! inside an entry.

use crate::Fd;

/// An entry of a ring, a command or an answer: 64 bytes.
pub type Entry = [u8; 64];

/// Where the frame descriptor is in an enqueue command, an enqueue response and
/// a dequeue entry.
const FD: usize = 32;

macro_rules! fields {
    ($($get:ident $put:ident $type:ty;)*) => {
        $(
            #[inline]
            pub(crate) fn $get(entry: &Entry, at: usize) -> $type {
                let mut bytes = [0; size_of::<$type>()];
                bytes.copy_from_slice(&entry[at..at + size_of::<$type>()]);
                <$type>::from_le_bytes(bytes)
            }

            #[inline]

            pub(crate) fn $put(entry: &mut Entry, at: usize, value: $type) {
                entry[at..at + size_of::<$type>()].copy_from_slice(&value.to_le_bytes());
            }
        )*
    };
}

fields! {
    get_u16 put_u16 u16;
    get_u32 put_u32 u32;
    get_u64 put_u64 u64;
}

#[inline]
pub(crate) fn get_fd(entry: &Entry) -> Fd {
    let mut bytes = [0; Fd::SIZE];
    bytes.copy_from_slice(&entry[FD..]);
    Fd::from_bytes(&bytes)
}

#[inline]
pub(crate) fn put_fd(entry: &mut Entry, fd: &Fd) {
    entry[FD..].copy_from_slice(&fd.to_bytes());
}
