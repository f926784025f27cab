// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The counters of Ethernet ports, which a port and the interface behind it read.

use super::{State, memory};
use crate::mc::refusal::{Because, Refusal};
use mc_abi::{ObjectId, Status, dpmac::counters};

/// A counter of a port.
///
/// # Errors
/// [`Status::ConfigurationError`] for one that the firmware lacks; which status
/// a real MC gives then is not known.
pub(crate) fn counter(state: &State, port: ObjectId, number: u32) -> Result<u64, Refusal> {
    if number >= known(state).into() {
        return Err(Status::ConfigurationError
            .because(format!("the firmware here has no counter {number}")));
    }
    Ok(state.fabric.wriop().port_counter(port.id, number).unwrap_or(0))
}

/// Writes counters of a port to the memory that the container of `owner` sees:
/// those whose numbers, 32 bits each, lie at `numbers`, as 64 bits each to
/// `values`.
///
/// # Errors
/// [`Status::ConfigurationError`] for more of them than there are, or one that
/// the firmware lacks, [`Status::DmaError`] where memory cannot be reached.
pub(crate) fn write(
    state: &State,
    owner: ObjectId,
    port: ObjectId,
    numbers: u64,
    values: u64,
    count: u32,
) -> Result<(), Refusal> {
    if count > known(state).into() {
        return Err(
            Status::ConfigurationError.because(format!("there are {} counters", known(state)))
        );
    }
    let mut asked = vec![0; count as usize * 4];
    memory::read(state, owner, numbers, &mut asked)?;
    let mut written = Vec::with_capacity(count as usize * 8);
    for number in asked.chunks_exact(4) {
        let number = number.first_chunk().map_or(u32::MAX, |word| u32::from_le_bytes(*word));
        written.extend(counter(state, port, number)?.to_le_bytes());
    }
    memory::write(state, owner, values, &written)
}

/// How many counters the firmware knows.
fn known(state: &State) -> u8 {
    let (major, minor, _) = state.config.soc.firmware;
    if (major, minor) >= (10, 40) { counters::SINCE_10_40 } else { counters::BEFORE_10_40 }
}
