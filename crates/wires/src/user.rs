// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A network behind address translation, without any rights on this machine: the
//! one that QEMU has built in (libslirp), in a QEMU without a machine.
//!
//! The network is 10.0.2.0/24: gateway 10.0.2.2, name server 10.0.2.3, addresses
//! by DHCP from 10.0.2.15 on.

use crate::error::Problem;
use std::{
    io::{self, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::sync_channel,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::os::fd::OwnedFd;

/// How long the program may take to connect.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How much of its output is reported.
const KEPT: u64 = 4096;

/// Makes the command that runs `qemu-system-aarch64`, or any other of QEMU's
/// system emulators; arguments are added to it.
pub type MakeQemu<'a> = dyn Fn() -> Command + 'a;

/// The program at work. Dropping it ends it.
#[derive(Debug)]
pub struct UserNetwork {
    process: OwnedFd,
    /// Whether its end is a surprise that nobody else tells of.
    watched: Arc<AtomicBool>,
    /// Started the program, and lives as long: who ends with its parent ends with
    /// the thread that started it.
    parent: Option<JoinHandle<String>>,
}

impl UserNetwork {
    /// Starts the program, which connects to the socket at `path`. If it ends by itself, once
    /// it has been waited for, its last words go to `ended`.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(
        qemu: &MakeQemu<'_>,
        path: &Path,
        ended: impl FnOnce(&str) + Send + 'static,
    ) -> Result<Self, Problem> {
        let mut command = qemu();
        arguments(&mut command, path);
        // A process group of its own keeps a terminal's Ctrl-C from it.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let (sender, started) = sync_channel(1);
        let watched = Arc::new(AtomicBool::new(false));
        let shared = watched.clone();
        let name = command.get_program().to_string_lossy().into_owned();
        let parent = thread::Builder::new()
            .name("user network".into())
            .spawn(move || {
                let started = start(command);
                let (child, process) = match started {
                    Ok(started) => started,
                    Err(error) => {
                        let _ = sender.send(Err(error));
                        return String::new();
                    }
                };
                let _ = sender.send(Ok(process));
                let words = last_words(child);
                if shared.load(Ordering::Acquire) {
                    ended(words.trim());
                }
                words
            })
            .map_err(|source| Problem::System { what: "no thread", source })?;
        let failed = |reason: String| Problem::User(format!("{name} cannot be started: {reason}"));
        let process = started
            .recv()
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { process, watched, parent: Some(parent) })
    }

    /// Waits for `connected` to say yes.
    ///
    /// # Errors
    /// Where the program ends before, or takes too long, or all of it `is_over`.
    pub fn wait(
        &mut self,
        connected: impl Fn() -> bool,
        is_over: &dyn Fn() -> bool,
    ) -> Result<(), Problem> {
        let start = Instant::now();
        while !connected() {
            if is_over() {
                return Err(Problem::Stopped);
            }
            let ended = self.parent.as_ref().is_none_or(JoinHandle::is_finished);
            if ended {
                let words = self.parent.take().and_then(|parent| parent.join().ok());
                let words = words.unwrap_or_default();
                return Err(Problem::User(format!("the program ended: {}", words.trim())));
            }
            if start.elapsed() > START_LIMIT {
                return Err(Problem::User(format!("not there after {START_LIMIT:?}")));
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.watched.store(true, Ordering::Release);
        Ok(())
    }
}

impl Drop for UserNetwork {
    fn drop(&mut self) {
        self.watched.store(false, Ordering::Release);
        // It may have ended.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
        if let Some(parent) = self.parent.take() {
            let _ = parent.join();
        }
    }
}

fn start(mut command: Command) -> io::Result<(Child, OwnedFd)> {
    let mut child = command.spawn()?;
    match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
        Ok(process) => Ok((child, process)),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error.into())
        }
    }
}

/// Waits for the program's end; what it said on standard error.
fn last_words(mut child: Child) -> String {
    let mut words = vec![];
    if let Some(stderr) = child.stderr.take() {
        let mut stderr = stderr;
        let _ = stderr.by_ref().take(KEPT).read_to_end(&mut words);
        // What it says beyond that must not block it.
        let _ = io::copy(&mut stderr, &mut io::sink());
    }
    let _ = child.wait();
    String::from_utf8_lossy(&words).into_owned()
}

/// No machine and no devices: two network backends on one hub.
fn arguments(command: &mut Command, path: &Path) {
    let mut stream =
        std::ffi::OsString::from("stream,id=wire,server=off,addr.type=unix,addr.path=");
    // A comma in a value is written twice.
    stream.push(path.to_string_lossy().replace(',', ",,"));
    command.args(["-machine", "none", "-nodefaults", "-display", "none", "-monitor", "none"]);
    command.args(["-serial", "none", "-run-with", "exit-with-parent=on"]);
    command.args(["-netdev", "user,id=net"]).arg("-netdev").arg(stream);
    command.args(["-netdev", "hubport,id=near,hubid=0,netdev=wire"]);
    command.args(["-netdev", "hubport,id=far,hubid=0,netdev=net"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{RecvTimeoutError, channel};

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn an_end_is_told_of_with_the_last_words_unless_it_was_asked_for() {
        for (script, by_itself) in [("sleep 0.3; echo no memory >&2", true), ("sleep 600", false)] {
            let shell = || {
                let mut command = Command::new("sh");
                command.args(["-c", script]);
                command
            };
            let (sender, words) = channel();
            let ended = move |words: &str| sender.send(words.to_owned()).unwrap();
            let mut program = UserNetwork::start(&shell, Path::new("none"), ended).unwrap();
            program.wait(|| true, &|| false).unwrap();
            if by_itself {
                assert_eq!(words.recv_timeout(LIMIT).unwrap(), "no memory");
                continue;
            }
            drop(program);
            assert_eq!(words.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected));
        }
    }
}
