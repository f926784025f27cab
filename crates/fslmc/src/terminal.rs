// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The user's terminal while the guest has it.

use rustix::process::getpgrp;
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
    /// input is none, or is another's at the moment.
    ///
    /// # Errors
    /// What the system says.
    pub fn enter() -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() || is_in_background() {
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

/// Whether standard input is a terminal that somebody else has: a shell that has started this
/// process in the background. The system would stop it, with its board, as soon as it read
/// from there or changed the settings.
pub fn is_in_background() -> bool {
    // An error: it is no terminal, or none that controls this process.
    termios::tcgetpgrp(io::stdin()).is_ok_and(|foreground| foreground != getpgrp())
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use std::fs::File;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    /// Tells a process of the test below where it is.
    const PLACE: &str = "FSLMC_TEST_PLACE";

    /// A shell with jobs; each of them is the test below again.
    const JOBS: &str = r#"FSLMC_TEST_PLACE=foreground "$0" --exact "$1" || exit 1
        FSLMC_TEST_PLACE=background "$0" --exact "$1" &
        wait $!"#;

    #[test]
    fn a_terminal_is_taken_in_the_foreground_only() {
        match std::env::var(PLACE).as_deref() {
            Ok("foreground") => {
                assert!(!is_in_background());
                assert!(RawTerminal::enter().unwrap().is_some());
            }
            Ok("background") => {
                assert!(is_in_background());
                assert!(RawTerminal::enter().unwrap().is_none());
            }
            _ => {
                let host = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
                grantpt(&host).unwrap();
                unlockpt(&host).unwrap();
                let name = ptsname(&host, Vec::new()).unwrap();
                let terminal = File::options().read(true).write(true).open(name.to_str().unwrap());
                let test = concat!(module_path!(), "::a_terminal_is_taken_in_the_foreground_only");
                let mut shell = Command::new("setsid")
                    .args(["--ctty", "--wait", "sh", "-m", "-c", JOBS])
                    .arg(std::env::current_exe().unwrap())
                    .arg(test.split_once("::").unwrap().1)
                    .stdin(terminal.unwrap())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap();
                let end = Instant::now() + Duration::from_secs(60);
                loop {
                    if let Some(status) = shell.try_wait().unwrap() {
                        assert!(status.success(), "{status}");
                        return;
                    }
                    if Instant::now() > end {
                        shell.kill().unwrap();
                        shell.wait().unwrap();
                        panic!("it is stopped");
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
    }
}
