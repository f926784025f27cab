// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands to the MC itself: they need no token.

use super::{Call, State, families::Outcome};
use mc_abi::Params;

/// Executes a command of the MC; `None` where `number` is none of them.
pub(crate) fn run(
    _state: &mut State,
    _call: &Call,
    _number: u16,
    _params: &Params,
) -> Option<Outcome> {
    None
}
