// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The driver's decisions, each against an independent statement of what it is
//! to be. One binary for all.

mod command;
mod irq_set;
// It runs the compiler, which Miri has no way to.
#[cfg(not(miri))]
mod no_panics;
mod pace;
mod policy;
mod portal;
mod region;
mod usage;
mod vectors;

use vfio_fsl_mc_core::command::TypeName;

/// Which cases an exhaustive test takes: all of them, but where Miri interprets it,
/// thousands of times as slow, one in so many.
struct Cases {
    one_in: u32,
    turn: u32,
}

impl Cases {
    /// `one_in` has no divisor in common with the numbers of values that the test
    /// combines: what is taken moves through all of them.
    fn one_in_miri(one_in: u32) -> Self {
        let one_in = if cfg!(miri) { one_in } else { 1 };
        Self { one_in, turn: 0 }
    }

    fn take(&mut self) -> bool {
        self.turn = (self.turn + 1) % self.one_in;
        self.turn == 0
    }
}

/// A type's name as it is on the wire.
fn type_name(text: &str) -> TypeName {
    let mut name = [0; 16];
    name[..text.len()].copy_from_slice(text.as_bytes());
    name
}
