// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The SMMU as its driver and the board's bus masters see it: registers
//! written in the order of Linux's `arm-smmu`, tables built by code that shares
//! nothing with the walker.

mod concurrency;
mod driver;
mod faults;
mod host;
mod hostile;
mod invalidation;
mod mappings;
mod permissions;
mod registers;
mod streams;
mod tables;
