// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The user's terminal while the guest has it.

use fsl_mc_linux::program;
use fslmc_vmm::keys::Keys;
use rustix::termios::{self, OptionalActions, Termios};
use std::collections::VecDeque;
use std::io::{self, IsTerminal, Read};

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

/// Whether standard input is a terminal that somebody else has: this process would be stopped,
/// with its board, if it used it.
pub fn is_in_background() -> bool {
    program::is_in_background(io::stdin())
}

/// Lines and columns of the terminal on standard input.
pub fn size() -> (u16, u16) {
    match termios::tcgetwinsize(io::stdin()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row, size.ws_col),
        _ => (24, 80),
    }
}

/// What is typed on a raw terminal, without the keys that are not for the guest: Ctrl-A X ends
/// the machine.
pub struct Typed<R, F> {
    from: R,
    keys: Keys,
    end: F,
    /// Not given out yet.
    rest: VecDeque<u8>,
}

impl<R: Read, F: FnMut()> Typed<R, F> {
    /// What comes `from` the terminal; `end` ends the machine.
    pub fn new(from: R, end: F) -> Self {
        Self { from, keys: Keys::default(), end, rest: VecDeque::new() }
    }
}

impl<R: Read, F: FnMut()> Read for Typed<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut typed = [0; 256];
        // A key alone may be none for the guest, which is not the end of the input.
        while self.rest.is_empty() {
            let count = self.from.read(&mut typed)?;
            if count == 0 {
                return Ok(0);
            }
            let (sent, is_end) = self.keys.typed(typed.get(..count).unwrap_or_default());
            self.rest.extend(sent);
            if is_end {
                (self.end)();
            }
        }
        self.rest.read(buffer)
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

    /// Gives a piece at a time, as a terminal gives keys.
    struct Pieces(VecDeque<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let piece = self.0.pop_front().unwrap_or_default();
            buffer[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    #[test]
    fn two_keys_end_the_machine_and_all_others_are_the_guests() {
        let pieces = |pieces: &[&[u8]]| Pieces(pieces.iter().map(|piece| piece.to_vec()).collect());
        let read = |from: Pieces| {
            let (mut ends, mut sent) = (0, Vec::new());
            Typed::new(from, || ends += 1).read_to_end(&mut sent).unwrap();
            (sent, ends)
        };
        // The prefix comes alone, as it is typed; nothing is the end of the input but its end.
        assert_eq!(read(pieces(&[b"ls\r", b"\x01", b"\x01", b"x"])), (b"ls\r\x01x".to_vec(), 0));
        assert_eq!(read(pieces(&[b"a", b"\x01", b"x", b"b"])), (b"ab".to_vec(), 1));
        assert_eq!(read(pieces(&[b"\x03\x01X"])), (b"\x03".to_vec(), 1));
    }

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
