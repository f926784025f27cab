// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The portal emulation over the emulated board: what it answers is held against what
//! the board's Management Complex answers, and what it lets through against what must
//! not change.

mod board_host;
mod buses;
mod commands;
mod hostile;
mod interrupts;
mod late;
mod membership;
mod tokens;
