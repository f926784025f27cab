// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Guest memory that commands name by its address.

use super::State;
use crate::mc::refusal::{Because, Refusal};
use mc_abi::{ObjectId, Status};

/// Reads guest memory as the container of `owner` sees it.
///
/// # Errors
/// [`Status::DmaError`] where that cannot be read.
pub(crate) fn read(
    state: &State,
    owner: ObjectId,
    iova: u64,
    to: &mut [u8],
) -> Result<(), Refusal> {
    let container = state.object(owner)?.container;
    let icid = state
        .icid(container)
        .ok_or_else(|| Status::InvalidState.because("the container has no isolation id"))?;
    state.fabric.memory().read(icid, iova, to).map_err(|fault| {
        tracing::warn!(%owner, %fault, "a command names memory that cannot be read");
        Status::DmaError.because(fault.to_string())
    })
}

/// Writes guest memory as the container of `owner` sees it.
///
/// # Errors
/// [`Status::DmaError`] where that cannot be written.
pub(crate) fn write(state: &State, owner: ObjectId, iova: u64, data: &[u8]) -> Result<(), Refusal> {
    let container = state.object(owner)?.container;
    let icid = state
        .icid(container)
        .ok_or_else(|| Status::InvalidState.because("the container has no isolation id"))?;
    state.fabric.memory().write(icid, iova, data).map_err(|fault| {
        tracing::warn!(%owner, %fault, "a command names memory that cannot be written");
        Status::DmaError.because(fault.to_string())
    })
}
