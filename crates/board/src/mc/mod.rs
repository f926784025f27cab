// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The Management Complex: what its firmware does.
//!
//! A command comes in through a [portal](portal), is matched to an open object
//! by its [token](session), decoded by `mc-abi`, and handled by the object's
//! family: one file each, named after it. What a command causes outside (an
//! interrupt) is collected as an [effect](Effect) and performed when the state
//! is no longer locked.

mod call;
mod dispatch;
mod families;
mod irq;
mod object;
mod pools;
mod portal;
mod session;
mod state;

mod dpbp;
mod dpmng;
mod dprc;

pub use call::Record;
pub use portal::{Mc, PORTAL_STRIDE, Performer, Tracer};
pub use state::{Config, Effect};

pub(crate) use call::{Answer, Call};
pub(crate) use families::{Family, Kind};
pub(crate) use irq::Irq;
pub(crate) use object::{Object, Region};
pub(crate) use state::State;
