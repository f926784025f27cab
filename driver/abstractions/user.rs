// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! Copies of a few words to and from user space, whose size the C compiler knows: the general
//! ones of `kernel::uaccess` spend more on their checks than on the words.
//!
//! C header: `include/linux/uaccess.h`

use super::bindings as ext;
use kernel::{
    prelude::*,
    uaccess::UserPtr, //
};

/// A byte.
pub(crate) fn read_u8(from: UserPtr) -> Result<u8> {
    let mut byte = 0;
    // SAFETY: `byte` is valid for writes; any user address may be asked for.
    copied(unsafe { ext::vfm_user_read_u8(&mut byte, from.as_const_ptr().cast()) })?;
    Ok(byte)
}

/// 32 bits.
pub(crate) fn read_u32(from: UserPtr) -> Result<u32> {
    let mut word = 0;
    // SAFETY: As in `read_u8`.
    copied(unsafe { ext::vfm_user_read_u32(&mut word, from.as_const_ptr().cast()) })?;
    Ok(word)
}

/// Sixteen bytes.
pub(crate) fn read_4_u32(from: UserPtr) -> Result<[u32; 4]> {
    let mut words = [0; 4];
    // SAFETY: `words` has room for the four that are written; any user address may be asked for.
    copied(unsafe { ext::vfm_user_read_4_u32(words.as_mut_ptr(), from.as_const_ptr().cast()) })?;
    Ok(words)
}

/// Sixteen bytes. Where only some of them can be written, it may be that those were.
pub(crate) fn write_4_u32(to: UserPtr, words: &[u32; 4]) -> Result {
    // SAFETY: `words` has the four that are read; any user address may be asked for.
    copied(unsafe { ext::vfm_user_write_4_u32(to.as_mut_ptr().cast(), words.as_ptr()) })
}

/// Sixty-four bytes.
pub(crate) fn read_8_u64(from: UserPtr, words: &mut [u64; 8]) -> Result {
    // SAFETY: `words` has room for the eight that are written; any user address may be asked for.
    copied(unsafe { ext::vfm_user_read_8_u64(words.as_mut_ptr(), from.as_const_ptr().cast()) })
}

/// Sixty-four bytes. Where only some of them can be written, it may be that those were.
pub(crate) fn write_8_u64(to: UserPtr, words: &[u64; 8]) -> Result {
    // SAFETY: `words` has the eight that are read; any user address may be asked for.
    copied(unsafe { ext::vfm_user_write_8_u64(to.as_mut_ptr().cast(), words.as_ptr()) })
}

/// What the C functions say: 0, or that an address is not the user's.
fn copied(result: c_int) -> Result {
    if result == 0 {
        Ok(())
    } else {
        Err(EFAULT)
    }
}
