// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The data plane: what moves frames, beside the Management Complex, which
//! only writes its tables.

mod dma;
mod pass;

pub use dma::Dma;
pub use pass::{Engine, Message, Pass};
