// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Frames between interfaces, with the plainest queues that there can be.

mod conservation;
mod demux;
mod isolation;
mod ports;
mod receiving;
mod sending;
mod shaping;
pub(crate) mod testing;
