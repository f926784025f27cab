// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Small clients for people and for tests, one thing each.

pub mod bus;
pub mod mgmt;
pub mod session;
pub mod vfio;
