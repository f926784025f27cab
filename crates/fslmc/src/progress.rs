// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a person sees of the set-up.

use setup::{Progress, Terminal};

/// Progress on standard error.
pub fn progress() -> Box<dyn Progress> {
    Box::new(Terminal::new())
}
