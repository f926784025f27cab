// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The QEMU process: started, watched, and ended with us.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::VmError;

/// Bytes of QEMU's standard error that are kept.
const KEPT_STDERR: usize = 64 * 1024;

/// A QEMU process. Its parent is a thread that lives as long as it does, so
/// that QEMU's own `exit-with-parent` means this process, not a passing thread.
pub struct Qemu {
    pidfd: OwnedFd,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stderr: String,
    cause: Option<Cause>,
    exit: Option<ExitStatus>,
}

/// Why we ended QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Somebody asked for it.
    Stopped,
    /// A server of the board's ended.
    ServerDied {
        /// Which function.
        function: String,
        /// Why.
        reason: String,
    },
}

impl Qemu {
    /// Starts the process and the thread that watches it.
    ///
    /// # Errors
    /// Where the program cannot be executed.
    pub fn spawn(mut command: Command) -> Result<(Arc<Self>, JoinHandle<()>), VmError> {
        // A process group of its own keeps a terminal's Ctrl-C from it: who
        // started the machine decides how it ends.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let (sender, receiver) = sync_channel(1);
        let watcher = thread::Builder::new()
            .name("qemu".into())
            .spawn(move || watch(command, &sender))
            .map_err(|source| VmError::Thread { name: "qemu".into(), source })?;
        match receiver.recv() {
            Ok(started) => Ok((started?, watcher)),
            Err(_) => {
                Err(VmError::Config("the thread that starts QEMU ended without a word".into()))
            }
        }
    }

    /// Ends QEMU at once, unless it has ended. The first cause counts.
    pub fn end(&self, cause: Cause) {
        let mut state = self.lock();
        if state.exit.is_none() {
            state.cause.get_or_insert(cause);
            // It may end by itself between the look and the signal.
            let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        }
    }

    /// Waits for the process's end; None where the time is over.
    pub fn wait(&self, limit: Option<Duration>) -> Option<ExitStatus> {
        let end = limit.map(|limit| Instant::now() + limit);
        let mut state = self.lock();
        loop {
            if state.exit.is_some() {
                return state.exit;
            }
            state = match end {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(end) => {
                    let left = end.checked_duration_since(Instant::now())?;
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Why we ended it, if we did.
    pub fn cause(&self) -> Option<Cause> {
        self.lock().cause.clone()
    }

    /// What it has printed on standard error.
    pub fn stderr(&self) -> String {
        self.lock().stderr.clone()
    }

    fn new(child: &Child) -> std::io::Result<Self> {
        let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
        Ok(Self { pidfd, state: Mutex::default(), changed: Condvar::new() })
    }

    fn collect_stderr(&self, mut stderr: ChildStderr) {
        let mut buf = [0; 4096];
        loop {
            match stderr.read(&mut buf) {
                Ok(0) => return,
                Ok(count) => {
                    let text = String::from_utf8_lossy(&buf[..count]);
                    tracing::debug!("QEMU: {}", text.trim_end());
                    let mut state = self.lock();
                    if state.stderr.len() < KEPT_STDERR {
                        state.stderr.push_str(&text);
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No holder leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Qemu {
    /// A descriptor that is readable from the process's end on.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

fn watch(mut command: Command, sender: &SyncSender<Result<Arc<Qemu>, VmError>>) {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| VmError::Spawn { program: program.clone(), source };
    let started = command.spawn().map_err(failed).and_then(|mut child| match Qemu::new(&child) {
        Ok(qemu) => Ok((Arc::new(qemu), child)),
        Err(source) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(failed(source))
        }
    });
    let (qemu, mut child) = match started {
        Ok(started) => started,
        Err(error) => {
            let _ = sender.send(Err(error));
            return;
        }
    };
    let _ = sender.send(Ok(qemu.clone()));
    if let Some(stderr) = child.stderr.take() {
        qemu.collect_stderr(stderr);
    }
    match child.wait() {
        Ok(exit) => qemu.lock().exit = Some(exit),
        // Nobody else waits for our child, so this does not happen; a machine
        // that seems to run for ever would be worse than an odd status.
        Err(error) => {
            tracing::error!("cannot wait for QEMU: {error}");
            qemu.lock().exit = Some(ExitStatus::default());
        }
    }
    qemu.changed.notify_all();
}

/// Stops a machine from another thread (a signal handler's, for example). May
/// be made and used before the machine is started.
#[derive(Debug, Clone, Default)]
pub struct StopHandle {
    state: Arc<Mutex<StopState>>,
}

#[derive(Debug, Default)]
struct StopState {
    stopped: bool,
    /// A start has begun with this handle.
    begun: bool,
    qemu: Weak<Qemu>,
}

impl StopHandle {
    /// A handle for the machine whose configuration it is put into.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the machine at once; one that is not started yet will not start. Returns whether
    /// its start had begun: otherwise nobody may look at this handle for a long time.
    pub fn stop(&self) -> bool {
        let mut state = self.lock();
        state.stopped = true;
        if let Some(qemu) = state.qemu.upgrade() {
            qemu.end(Cause::Stopped);
        }
        state.begun
    }

    /// Begins the start of a machine, unless it was stopped before: from now on whoever
    /// starts it looks at the handle. To be called earlier than the machine does it where there
    /// is something to be given back.
    pub fn begin(&self) -> bool {
        let mut state = self.lock();
        state.begun |= !state.stopped;
        !state.stopped
    }

    /// Whether [`StopHandle::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Makes `qemu` the process that the handle ends.
    pub(crate) fn attach(&self, qemu: &Arc<Qemu>) {
        let mut state = self.lock();
        state.qemu = Arc::downgrade(qemu);
        if state.stopped {
            qemu.end(Cause::Stopped);
        }
    }

    fn lock(&self) -> MutexGuard<'_, StopState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to do about words of QEMU's that are known.
pub fn advice(stderr: &str) -> &'static str {
    const KNOWN: [(&[&str], &str); 5] = [
        (
            &["vfio-user-pci", "not a valid device model"],
            "; this QEMU has no vfio-user-pci: version 11.1 or newer is needed",
        ),
        (&["exit-with-parent"], "; this QEMU is too old: version 11.1 or newer is needed"),
        (
            &["annot set up guest memory"],
            "; the host has too little free memory: give the machine less",
        ),
        (
            &["annot allocate memory"],
            "; the host has too little free memory: give the machine less",
        ),
        (
            &["unable to find CPU model"],
            "; `qemu-system-aarch64 -cpu help` lists the processor models",
        ),
    ];
    KNOWN
        .iter()
        .find(|(words, _)| words.iter().all(|word| stderr.contains(word)))
        .map_or("", |(_, advice)| advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (Arc<Qemu>, JoinHandle<()>) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Qemu::spawn(command).unwrap()
    }

    #[test]
    fn the_end_and_the_last_words_are_known() {
        let (process, watcher) = shell("echo 'no such thing' >&2; exit 3");
        assert_eq!(process.wait(Some(Duration::from_secs(10))).unwrap().code(), Some(3));
        assert_eq!(process.stderr(), "no such thing\n");
        assert_eq!(process.cause(), None);
        process.end(Cause::Stopped);
        assert_eq!(process.cause(), None, "it ended by itself");
        watcher.join().unwrap();
    }

    #[test]
    fn ending_it_is_immediate_and_the_first_cause_counts() {
        let (process, watcher) = shell("exec sleep 600");
        assert_eq!(process.wait(Some(Duration::from_millis(20))), None);
        let died = Cause::ServerDied { function: "MC function".into(), reason: "panic".into() };
        process.end(died.clone());
        process.end(Cause::Stopped);
        assert!(!process.wait(None).unwrap().success());
        assert_eq!(process.cause(), Some(died));
        watcher.join().unwrap();
    }

    #[test]
    fn a_stop_counts_before_the_start_too() {
        let handle = StopHandle::new();
        assert!(!handle.clone().stop(), "nothing was there to stop");
        assert!(!handle.begin());
        let (process, watcher) = shell("exec sleep 600");
        handle.attach(&process);
        assert!(process.wait(Some(Duration::from_secs(10))).is_some());
        assert_eq!(process.cause(), Some(Cause::Stopped));
        watcher.join().unwrap();
    }

    #[test]
    fn a_stop_tells_whether_a_start_had_begun() {
        let handle = StopHandle::new();
        assert!(handle.begin());
        assert!(handle.clone().stop());
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Qemu::spawn(Command::new("no-such-qemu")).err().unwrap();
        assert!(error.to_string().contains("no-such-qemu"), "{error}");
    }

    #[test]
    fn known_words_bring_advice() {
        let old = "qemu: -device {...}: 'vfio-user-pci' is not a valid device model name";
        assert!(advice(old).contains("11.1"));
        assert!(
            advice("cannot set up guest memory 'ram': Cannot allocate memory").contains("memory")
        );
        assert_eq!(advice("all is well"), "");
    }
}
