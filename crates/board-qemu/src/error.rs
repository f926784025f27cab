// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What can go wrong between the board and QEMU.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// RAM that QEMU announced could not be shared.
#[derive(Debug, thiserror::Error)]
#[error("cannot share guest RAM at {address:#x} (size {size:#x}): {reason}")]
pub struct RamError {
    /// Guest physical address.
    pub address: u64,
    /// Length in bytes.
    pub size: u64,
    /// What the host said.
    pub reason: String,
}

/// The conversation over QEMU's test socket failed.
#[derive(Debug, thiserror::Error)]
pub enum QtestError {
    /// The socket failed or QEMU closed it.
    #[error("QEMU's test socket failed while {command:?} waited for its answer")]
    Socket {
        /// The line that was sent.
        command: String,
        /// What the socket said.
        #[source]
        source: io::Error,
    },
    /// No answer in time.
    #[error("QEMU did not answer {command:?} on its test socket within {limit:?}")]
    Timeout {
        /// The line that was sent.
        command: String,
        /// How long it waited.
        limit: Duration,
    },
    /// QEMU refused.
    #[error("QEMU answered {answer:?} to {command:?} on its test socket")]
    Refused {
        /// The line that was sent.
        command: String,
        /// QEMU's line.
        answer: String,
    },
}

/// The conversation over QEMU's monitor socket failed.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The socket failed or QEMU closed it.
    #[error("QEMU's monitor socket failed during {command:?}")]
    Socket {
        /// The command that was under way.
        command: String,
        /// What the socket said.
        #[source]
        source: io::Error,
    },
    /// No answer in time.
    #[error("QEMU's monitor did not answer {command:?} within {limit:?}")]
    Timeout {
        /// The command that was under way.
        command: String,
        /// How long it waited.
        limit: Duration,
    },
    /// QEMU sent what the protocol does not allow.
    #[error("QEMU's monitor sent a line that is not its protocol: {line:?}")]
    Garbled {
        /// The line.
        line: String,
    },
    /// QEMU refused.
    #[error("QEMU's monitor refused {command:?}: {description}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's description.
        description: String,
    },
}

/// The machine's device tree could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DeviceTreeError {
    /// QEMU's blob is none.
    #[error("QEMU wrote a device tree that cannot be read: {0}")]
    Unreadable(String),
    /// A node or property that every `virt` machine has is absent.
    #[error("QEMU's device tree has no {0}; was the machine started as `-M virt,gic-version=3`?")]
    Missing(String),
    /// A name that device trees do not allow.
    #[error("the device tree would have a bad name: {0}")]
    Name(String),
}

/// A virtual machine could not be started, or ended otherwise than it should.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The configuration asks for what cannot be.
    #[error("{0}")]
    Config(String),
    /// The private directory for sockets could not be made.
    #[error("cannot make a private directory for the machine's sockets under {}", .parent.display())]
    RuntimeDirectory {
        /// Where it should have been.
        parent: PathBuf,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// A socket path is taken or cannot be bound.
    #[error("cannot listen on {}: {reason}", .path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the host said, and what to do.
        reason: String,
    },
    /// A file of the machine could not be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the host said (for example that the disk is full).
        #[source]
        source: io::Error,
    },
    /// A file that the machine needs cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start the thread {name:?}")]
    Thread {
        /// Its name.
        name: String,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// QEMU could not be executed.
    #[error("cannot run QEMU ({program})")]
    Spawn {
        /// The program.
        program: String,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// The board refused to be made.
    #[error("the board cannot be made")]
    Board(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The device tree.
    #[error(transparent)]
    DeviceTree(#[from] DeviceTreeError),
    /// The test socket.
    #[error(transparent)]
    Qtest(#[from] QtestError),
    /// The monitor socket.
    #[error(transparent)]
    Qmp(#[from] QmpError),
    /// QEMU did not connect to one of the sockets in time.
    #[error("QEMU did not connect its {what} within {limit:?}{report}")]
    NotConnected {
        /// Which socket.
        what: &'static str,
        /// How long it waited.
        limit: Duration,
        /// What QEMU and the console said so far.
        report: Report,
    },
    /// QEMU ended although nobody asked it to.
    #[error("QEMU ended unexpectedly ({status}){advice}{report}")]
    QemuDied {
        /// Its exit status and, where known, the reason that it gave.
        status: String,
        /// What to do about it, where that is known.
        advice: String,
        /// What QEMU and the console said.
        report: Report,
    },
    /// A thread of the board's own ended while the machine ran.
    #[error("the board's {function} stopped serving: {reason}{report}")]
    ServerDied {
        /// Which function.
        function: String,
        /// Why.
        reason: String,
        /// What QEMU and the console said.
        report: Report,
    },
    /// The machine still runs when the time is over.
    #[error("the machine still runs after {limit:?}{report}")]
    Timeout {
        /// How long it waited.
        limit: Duration,
        /// What QEMU and the console said so far.
        report: Report,
    },
    /// Somebody stopped the machine while it was being started.
    #[error("the machine was stopped")]
    Stopped,
}

/// What QEMU printed and the last lines of the guest's console.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// QEMU's standard error.
    pub stderr: String,
    /// The last console lines.
    pub console: Vec<String>,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.stderr.trim().is_empty() {
            write!(f, "\nQEMU said:")?;
            for line in self.stderr.trim().lines() {
                write!(f, "\n  {line}")?;
            }
        }
        if !self.console.is_empty() {
            write!(f, "\nlast lines of the guest's console:")?;
            for line in &self.console {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}
