// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A running machine: QEMU, the board's servers, console and ports.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use board::host::{GuestMemory, IrqLines, PortalMemory};

use crate::arguments::{Disk, Machine, SharedDirectory};
use crate::console::{Console, LineHook};
use crate::error::{Report, VmError};
use crate::hardware::Hardware;
use crate::interrupts::Lines;
use crate::launch::{BoardSide, launch};
use crate::process::{Cause, Qemu, StopHandle, advice};
use crate::runtime_directory::RuntimeDirectory;

/// Console lines in a [`Report`].
const REPORTED_LINES: usize = 25;
/// How long a thread of the machine's may take to end after QEMU.
const JOIN_LIMIT: Duration = Duration::from_secs(5);

/// Where QEMU and the kernel are.
pub struct Platform {
    /// Makes the command that runs `qemu-system-aarch64`, version 11.1 or
    /// newer; arguments are added to it.
    pub qemu: Box<dyn Fn() -> Command + Send + Sync>,
    /// An arm64 kernel image (`Image`, as Debian's `vmlinuz` is).
    pub kernel: PathBuf,
}

/// What a machine is made of.
pub struct VmConfig {
    /// Processors and memory.
    pub machine: Machine,
    /// The initial file system, see [`Initramfs`](crate::Initramfs).
    pub initramfs: Vec<u8>,
    /// Added to the kernel's command line.
    pub append: String,
    /// ICID of the root container. Must be what the board is made with.
    pub first_icid: u16,
    /// Number of ICIDs, hence of containers that can interrupt at once.
    pub icids: u16,
    /// Context banks of the SMMU. Must be what the board is made with.
    pub context_banks: u32,
    /// Ids of the dpmacs that the device tree names.
    pub dpmacs: Vec<u32>,
    /// A directory that the guest can mount, tag [`SHARED_TAG`](crate::SHARED_TAG).
    pub shared: Option<SharedDirectory>,
    /// A directory that the guest is to have as its root file system, tag
    /// [`ROOT_TAG`](crate::ROOT_TAG).
    pub root: Option<SharedDirectory>,
    /// The guest's disks.
    pub disks: Vec<Disk>,
    /// Receives all that the console prints.
    pub console_file: Option<PathBuf>,
    /// Called with each console line.
    pub console_hook: Option<LineHook>,
    /// Where the private directory for sockets is made; else
    /// `$XDG_RUNTIME_DIR`, else the directory for temporary files.
    pub runtime_parent: Option<PathBuf>,
    /// Stops the machine from elsewhere.
    pub stop: StopHandle,
    /// How long QEMU may take for its start, and for each answer.
    pub limit: Duration,
}

impl Default for VmConfig {
    fn default() -> Self {
        let board = board::mc::Config::default();
        let smmu = board::smmu::Shape::default();
        Self {
            machine: Machine::default(),
            initramfs: vec![],
            append: String::new(),
            first_icid: board.first_icid,
            icids: board.icids,
            context_banks: smmu.context_banks() as u32,
            dpmacs: vec![],
            shared: None,
            root: None,
            disks: vec![],
            console_file: None,
            console_hook: None,
            runtime_parent: None,
            stop: StopHandle::new(),
            limit: Duration::from_secs(60),
        }
    }
}

/// What a board gets to be made with.
pub struct HostInterfaces {
    /// The guest's RAM; empty until the machine runs.
    pub memory: Arc<dyn GuestMemory>,
    /// The interrupt lines.
    pub lines: Arc<dyn IrqLines>,
    /// The memory of the memory-backed QBMan portals, shared with the guest.
    pub portals: Arc<dyn PortalMemory>,
}

/// The host's ends of the virtio-serial ports.
pub struct Ports {
    /// The agent's control channel, `fslmc.control`.
    pub control: UnixStream,
    /// To the guest, `fslmc.stdin`.
    pub stdin: UnixStream,
    /// From the guest, `fslmc.stdout`.
    pub stdout: UnixStream,
    /// From the guest, `fslmc.stderr`.
    pub stderr: UnixStream,
}

/// How a machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The guest switched itself off.
    PoweredOff,
    /// The guest asked for a reset, which ends the machine: a panicked kernel
    /// does that too.
    Reset,
    /// It was stopped from outside.
    Stopped,
}

/// A running machine. Dropping it ends it.
pub struct Vm {
    pub(crate) qemu: Arc<Qemu>,
    pub(crate) console: Arc<Console>,
    pub(crate) ports: Option<Ports>,
    /// Follows QEMU's events to their end, and gives the reason of the machine's.
    pub(crate) events: Mutex<Option<JoinHandle<Option<String>>>>,
    pub(crate) reason: OnceLock<Option<String>>,
    pub(crate) lines: Option<Arc<Lines>>,
    pub(crate) threads: Vec<JoinHandle<()>>,
    /// The functions' sockets.
    pub(crate) servers: Vec<PathBuf>,
    pub(crate) stop: StopHandle,
    // Last, so that sockets vanish after their users.
    pub(crate) directory: RuntimeDirectory,
}

impl Vm {
    /// Starts a machine with the board that `make` makes, and lets it run.
    ///
    /// # Errors
    /// See [`VmError`]; nothing is left behind.
    pub fn start<H: Hardware + 'static>(
        config: VmConfig,
        platform: &Platform,
        make: impl FnOnce(HostInterfaces) -> Result<Arc<H>, Box<dyn std::error::Error + Send + Sync>>,
    ) -> Result<Self, VmError> {
        let side = BoardSide::new(&config)?;
        let hardware = make(side.host_interfaces()).map_err(VmError::Board)?;
        launch(config, platform, Some((side, hardware as Arc<dyn Hardware>)))
    }

    /// Starts a machine without a board: what a bare QEMU does with the same
    /// kernel and initial file system.
    ///
    /// # Errors
    /// As [`Vm::start`].
    pub fn start_bare(config: VmConfig, platform: &Platform) -> Result<Self, VmError> {
        launch(config, platform, None)
    }

    /// The guest's console.
    pub fn console(&self) -> &Arc<Console> {
        &self.console
    }

    /// The host's ends of the guest's ports; None from the second call on.
    pub fn take_ports(&mut self) -> Option<Ports> {
        self.ports.take()
    }

    /// The machine's private directory, which goes away with it: a place for more
    /// sockets. [`running`](crate::running) finds it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A handle that stops this machine.
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// Waits for the machine's end.
    ///
    /// # Errors
    /// [`VmError::QemuDied`], [`VmError::ServerDied`], and [`VmError::Timeout`]
    /// where it still runs after `limit`.
    pub fn wait(&self, limit: Option<Duration>) -> Result<Ended, VmError> {
        let exit = match (self.qemu.wait(limit), limit) {
            (Some(exit), _) => exit,
            (None, limit) => {
                return Err(VmError::Timeout {
                    limit: limit.unwrap_or_default(),
                    report: self.report(),
                });
            }
        };
        let reason = self.reason.get_or_init(|| {
            let events = self.events.lock().unwrap_or_else(PoisonError::into_inner).take();
            // What it panicked with has been reported.
            events.and_then(|events| events.join().ok()).flatten()
        });
        match (self.qemu.cause(), reason.as_deref()) {
            (Some(cause), _) => self.ended_by(cause),
            (None, Some("guest-shutdown")) if exit.success() => Ok(Ended::PoweredOff),
            (None, Some("guest-reset")) if exit.success() => Ok(Ended::Reset),
            (None, reason) => Err(self.died(exit, reason)),
        }
    }

    fn ended_by(&self, cause: Cause) -> Result<Ended, VmError> {
        match cause {
            Cause::Stopped => Ok(Ended::Stopped),
            Cause::ServerDied { function, reason } => {
                Err(VmError::ServerDied { function, reason, report: self.report() })
            }
        }
    }

    fn died(&self, exit: ExitStatus, reason: Option<&str>) -> VmError {
        let report = self.report();
        let status = reason.map_or(exit.to_string(), |reason| format!("{exit}, {reason}"));
        VmError::QemuDied { status, advice: advice(&report.stderr).into(), report }
    }

    /// The end of QEMU, if it comes within `limit`, as the error of a start
    /// that it made fail.
    pub(crate) fn end_during_start(&self, limit: Duration) -> Option<VmError> {
        let exit = self.qemu.wait(Some(limit))?;
        Some(match self.qemu.cause().map(|cause| self.ended_by(cause)) {
            Some(Ok(_)) => VmError::Stopped,
            Some(Err(error)) => error,
            None => self.died(exit, None),
        })
    }

    /// Ends the machine at once.
    pub fn stop(&self) {
        self.stop.stop();
    }

    /// What QEMU and the console have said.
    pub fn report(&self) -> Report {
        Report { stderr: self.qemu.stderr(), console: self.console.last_lines(REPORTED_LINES) }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.qemu.end(Cause::Stopped);
        self.ports = None;
        if let Some(lines) = &self.lines {
            lines.stop();
        }
        // A server that QEMU never came to still waits for its connection.
        for socket in &self.servers {
            let _ = UnixStream::connect(socket);
        }
        join(&mut self.threads);
    }
}

fn join(threads: &mut Vec<JoinHandle<()>>) {
    let end = Instant::now() + JOIN_LIMIT;
    for thread in threads.drain(..) {
        while !thread.is_finished() && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
        if thread.is_finished() {
            // What it panicked with has been reported where it matters.
            let _ = thread.join();
        } else {
            tracing::warn!("the thread {:?} does not end", thread.thread().name().unwrap_or("?"));
        }
    }
}
