// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The user's terminal while the guest has it.

use rustix::termios::{self, OptionalActions, Termios};
use std::io::{self, IsTerminal};

/// The terminal in raw mode: keys go to the guest as they are. Dropping it
/// puts the terminal back.
#[derive(Debug)]
pub struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// Puts the terminal on standard input into raw mode; `None` where standard
    /// input is none.
    ///
    /// # Errors
    /// What the system says.
    pub fn enter() -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let before = termios::tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(&stdin, OptionalActions::Flush, &raw)?;
        Ok(Some(Self { before }))
    }

    /// Lines and columns; 24 by 80 where the terminal does not say.
    pub fn size(&self) -> (u16, u16) {
        size()
    }
}

/// Lines and columns of the terminal on standard input.
pub fn size() -> (u16, u16) {
    match termios::tcgetwinsize(io::stdin()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row, size.ws_col),
        _ => (24, 80),
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let stdin = io::stdin();
        if let Err(error) = termios::tcsetattr(&stdin, OptionalActions::Flush, &self.before) {
            eprintln!("fslmc: the terminal stays in raw mode ({error}): type `reset`");
        }
    }
}
