// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Ctrl-C and friends: passed to the command while one runs, else the end of
//! the machine, and before there is one the end of this process.

use crate::{agent::Remote, terminal};
use board_qemu::StopHandle;
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
    /// to a process that catches none.
    ///
    /// # Errors
    /// What the system says.
    pub fn catch(stop: StopHandle) -> io::Result<Self> {
        let state = State { stop, remote: None, raw: false, last: None };
        let state = Arc::new(Mutex::new(state));
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH])?;
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
