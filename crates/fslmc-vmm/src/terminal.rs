// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The terminal that a guest's console is on.
#![cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]

use fsl_mc_linux::program::is_in_background;
use rustix::termios::{OptionalActions, OutputModes, Termios, tcgetattr, tcsetattr};
use std::io;

/// A terminal that gives keys as they are typed; as it was, afterwards.
pub struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// Takes standard input, where that is a terminal and this process has it: one that a shell
    /// has started in the background would change the settings of whoever is in the foreground.
    ///
    /// Whether it is one, the question for its settings tells: `is_terminal` asks by another
    /// ioctl with some C libraries. All of it is asked before the process gives up what it does
    /// not need, the terminal's process group among it.
    pub fn take() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok().filter(|_| !is_in_background(io::stdin()))?;
        let mut raw = before.clone();
        raw.make_raw();
        // Lines of the program's own start at the left.
        raw.output_modes |= OutputModes::OPOST;
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // Nobody is left to report to. Where it is in the background by now, it is not stopped
        // for this: SIGTTOU is ignored (`signals`).
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
#[allow(unsafe_code)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, open};
    use rustix::io::Errno;
    use rustix::process::{ioctl_tiocsctty, setsid};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::LocalModes;
    use std::os::fd::{BorrowedFd, OwnedFd};
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Command, Stdio};

    /// Tells a process of the test below which one it is.
    const PLACE: &str = "FSLMC_VMM_TEST_PLACE";

    /// The test below in another process, which has an end of its own.
    fn again(place: &str) -> Command {
        let name = concat!(module_path!(), "::a_terminal_is_taken_in_the_foreground_only");
        let name = name.split_once("::").unwrap().1;
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", name]).env(PLACE, place);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn is_cooked() -> bool {
        tcgetattr(io::stdin()).unwrap().local_modes.contains(LocalModes::ICANON)
    }

    #[test]
    fn a_terminal_is_taken_in_the_foreground_only() {
        match std::env::var(PLACE).as_deref() {
            Ok("foreground") => {
                let taken = RawTerminal::take();
                assert!(taken.is_some() && !is_cooked());
                drop(taken);
                assert!(is_cooked());
                // A shell does this to what it starts in the background.
                let mut background = again("background").process_group(0).spawn().unwrap();
                let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
                while std::time::Instant::now() < end {
                    if let Some(status) = background.try_wait().unwrap() {
                        assert!(status.success(), "{status}");
                        return;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                background.kill().unwrap();
                background.wait().unwrap();
                panic!("it is stopped");
            }
            Ok("background") => {
                crate::signals::catch().unwrap();
                assert!(RawTerminal::take().is_none());
                // As it is where somebody has put it into the background since.
                let before = tcgetattr(io::stdin()).unwrap();
                drop(RawTerminal { before });
                let read = rustix::io::read(io::stdin(), &mut [0; 1]);
                assert_eq!(read, Err(Errno::IO));
            }
            _ => {
                let host = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
                grantpt(&host).unwrap();
                unlockpt(&host).unwrap();
                let name = ptsname(&host, Vec::new()).unwrap();
                let flags = OFlags::RDWR | OFlags::NOCTTY;
                let terminal: OwnedFd = open(name.as_c_str(), flags, Mode::empty()).unwrap();
                // No process's controlling terminal, and no terminal.
                assert!(!is_in_background(&terminal));
                let mut leader = again("foreground");
                leader.stdin(Stdio::from(terminal));
                let of_its_own = || {
                    setsid()?;
                    // SAFETY: standard input is open, it is the terminal.
                    Ok(ioctl_tiocsctty(unsafe { BorrowedFd::borrow_raw(0) })?)
                };
                // SAFETY: between fork and exec it makes two system calls and nothing else.
                unsafe { leader.pre_exec(of_its_own) };
                let status = leader.status().unwrap();
                assert!(status.success(), "{status} {:?}", status.signal());
            }
        }
    }
}
