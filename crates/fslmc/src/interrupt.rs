// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Ctrl-C and friends: passed to the command while one runs, else the end of
//! the machine, and before there is one the end of this process.

use crate::{agent::Remote, terminal};
use board_qemu::StopHandle;
use fsl_mc_linux::program::{Ignored, ignored_signals};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH},
    iterator::Signals,
    low_level::emulate_default_handler,
};
use std::{
    fmt::Display,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// A second interrupt within this time ends the machine.
const IMPATIENCE: Duration = Duration::from_secs(2);

/// Signals of this process, caught.
pub struct Interrupts(Arc<Mutex<State>>);

struct State {
    stop: StopHandle,
    remote: Option<Remote>,
    /// The command has a terminal of its own, which makes signals of keys.
    raw: bool,
    last: Option<Instant>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Interrupts {
    /// Starts catching signals; each stops the machine until a command is
    /// there. As long as no machine is being started with `stop`, a signal does what it does
    /// to a process that catches none. Those that are ignored now stay so.
    ///
    /// # Errors
    /// What the system says.
    pub fn catch(stop: StopHandle) -> io::Result<Self> {
        let state = State { stop, remote: None, raw: false, last: None };
        let state = Arc::new(Mutex::new(state));
        let mut signals = Signals::new(to_catch(ignored_signals()?))?;
        let shared = state.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                lock(&shared).handle(signal);
            }
        });
        Ok(Self(state))
    }

    /// Passes signals on to a command.
    pub fn pass_to(&self, remote: Remote, raw: bool) {
        let mut state = lock(&self.0);
        state.remote = Some(remote);
        state.raw = raw;
    }

    /// Signals stop the machine again.
    pub fn command_is_over(&self) {
        lock(&self.0).remote = None;
    }
}

/// What was started to ignore a signal, as by nohup or by a shell in the background, goes on
/// ignoring it.
fn to_catch(ignored: Ignored) -> impl Iterator<Item = i32> {
    let signals = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH];
    signals.into_iter().filter(move |signal| !ignored.has(*signal))
}

impl State {
    fn handle(&mut self, signal: i32) {
        if signal == SIGWINCH {
            if let (Some(remote), true) = (&self.remote, self.raw) {
                let (rows, columns) = terminal::size();
                report(remote.resize(rows, columns));
            }
            return;
        }
        let impatient = matches!(signal, SIGINT | SIGQUIT) && self.impatient();
        match (&self.remote, signal) {
            (Some(remote), SIGINT | SIGQUIT) if !impatient => report(remote.signal(signal)),
            // The set-up waits for locks, downloads and compilers, and never looks at the handle.
            _ if !self.stop.stop() => report(emulate_default_handler(signal)),
            _ => {}
        }
    }

    /// Whether this is the second interrupt in a short time.
    fn impatient(&mut self) -> bool {
        let now = Instant::now();
        let last = self.last.replace(now);
        last.is_some_and(|last| now.duration_since(last) < IMPATIENCE)
    }
}

fn report(result: Result<(), impl Display>) {
    if let Err(error) = result {
        tracing::debug!(%error, "signal without effect");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// Tells a process of the test below that it was started to ignore signals.
    const IGNORING: &str = "FSLMC_TEST_IGNORING";

    #[test]
    fn what_is_ignored_at_the_start_is_not_caught() {
        if std::env::var_os(IGNORING).is_some() {
            let caught: Vec<i32> = to_catch(ignored_signals().unwrap()).collect();
            // SIGQUIT may be among those that the tests themselves were started to ignore.
            let certain = caught.iter().copied().filter(|signal| *signal != SIGQUIT);
            assert!(certain.eq([SIGTERM, SIGWINCH]), "{caught:?}");
            return;
        }
        let test = concat!(module_path!(), "::what_is_ignored_at_the_start_is_not_caught");
        let status = Command::new("sh")
            .args(["-c", r#"trap '' HUP INT; exec "$0" --exact "$1""#])
            .arg(std::env::current_exe().unwrap())
            .arg(test.split_once("::").unwrap().1)
            .env(IGNORING, "1")
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{status}");
    }
}
