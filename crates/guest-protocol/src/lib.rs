// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The language between the host and the agent in the guest.
//!
//! # Ports
//! Four virtio-serial ports, found by name: [`CONTROL_PORT`] carries one JSON
//! value per line in both directions, [`STDIN_PORT`], [`STDOUT_PORT`] and
//! [`STDERR_PORT`] carry the bytes of the running command as they are.
//!
//! # Conversation
//! 1. The agent sends [`Report::Hello`] once, after the host has connected the
//!    control port, then the [`Report::Step`]s of its own start.
//! 2. The host sends [`Order`]s. Each one ends in exactly one concluding report
//!    that repeats its `id`: [`Report::Done`], [`Report::Failure`], or, for
//!    [`Ask::Run`], [`Report::Exited`]. Steps may come before the conclusion.
//! 3. Orders are carried out one after the other; only a [`Ask::Run`] goes on while
//!    later orders are served. One command runs at a time.
//! 4. [`Ask::PowerOff`] is answered by [`Report::Done`], then the guest goes off.
//!    The guest also goes off by itself when the host closes the control port, and
//!    after a [`Report::Failure`] without an order.
//!
//! # Byte streams
//! A port has no end of file, so every stream of a run ends by a count:
//! - **stdin** ends at [`Ask::StdinClosed`], which carries the number of bytes that
//!   the host has written (or is about to write) for this run. Each run needs one, also
//!   after the command has exited: the agent throws away what the command did not
//!   read. The next [`Ask::Run`] is refused before that.
//! - **stdout** and **stderr** end where [`Report::Exited`] says. All of the command's
//!   output is in the ports before that report is sent; the host reads until it has
//!   that many bytes.
//!
//! With a terminal, the stdin and stdout ports carry the two directions of the pty
//! and the stderr port carries nothing.

#![forbid(unsafe_code)]

pub mod module_list;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Version of this protocol. Host and agent are built together; the host refuses
/// an agent that says anything else in its [`Report::Hello`].
pub const VERSION: u32 = 2;

/// Name of the port with the JSON lines.
pub const CONTROL_PORT: &str = "fslmc.control";
/// Name of the port with the bytes to the command.
pub const STDIN_PORT: &str = "fslmc.stdin";
/// Name of the port with the command's standard output, or its terminal.
pub const STDOUT_PORT: &str = "fslmc.stdout";
/// Name of the port with the command's standard error.
pub const STDERR_PORT: &str = "fslmc.stderr";

/// Longest line that either side accepts, in bytes.
pub const LONGEST_LINE: usize = 32 << 20;

/// One line from the host to the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Chosen by the host; the reports about this order repeat it.
    pub id: u64,
    /// What to do.
    pub ask: Ask,
}

/// What the host can ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Loads kernel modules by name, in order. Each name is looked up in the
    /// shipped list; the modules it needs by that list come first; one that is
    /// loaded already is no error. Concluded by [`Answer::Nothing`].
    Load {
        /// The modules.
        modules: Vec<ModuleChoice>,
    },
    /// Mounts a host directory that the emulator offers by 9p.
    /// Concluded by [`Answer::Nothing`].
    Mount {
        /// The mount tag of the emulator's device.
        tag: String,
        /// Where in the guest; made when it is not there.
        path: String,
        /// Whether the guest may not write.
        read_only: bool,
    },
    /// Makes a file system the root of all that runs from now on, under a layer in memory
    /// that takes what is written. What the guest has started with stays at
    /// [`INITIAL_ROOT`]. Once only. Concluded by [`Answer::Nothing`].
    EnterRoot {
        /// The file system.
        source: RootSource,
        /// Serial number of a disk (erofs) with the kernel's modules, to be seen at
        /// `/lib/modules/<release>`.
        modules: Option<String>,
    },
    /// Reserves huge pages of 2 MiB and mounts them at `/dev/hugepages`; refused where
    /// the kernel does not find as many. Concluded by [`Answer::Nothing`].
    HugePages {
        /// How many.
        pages: u64,
    },
    /// Gives containers to a driver: loads what the driver needs, takes each
    /// container from its present driver, sets `driver_override` and binds.
    /// Concluded by [`Answer::Nothing`].
    Bind {
        /// Names on the bus, such as `dprc.2`.
        containers: Vec<String>,
        /// Name of the driver on the bus, such as `vfio-fsl-mc`.
        driver: String,
    },
    /// Takes containers from their driver, clears `driver_override` and lets the bus
    /// choose again. Concluded by [`Answer::Nothing`].
    Release {
        /// Names on the bus, such as `dprc.2`.
        containers: Vec<String>,
    },
    /// Runs a command. Concluded by [`Report::Exited`].
    Run(Run),
    /// Tells how long the stdin stream of the present (or just ended) run is.
    /// Concluded by [`Answer::Nothing`] at once.
    StdinClosed {
        /// All bytes written to the stdin port for this run.
        bytes: u64,
    },
    /// Sends a signal to the process group of the command.
    Signal {
        /// Number as Linux on arm64 counts (`2` is SIGINT).
        number: i32,
    },
    /// Sets the window size of the command's terminal.
    Resize {
        /// Lines.
        rows: u16,
        /// Characters per line.
        columns: u16,
    },
    /// Lists the devices of the fsl-mc bus. Concluded by [`Answer::Devices`].
    Devices,
    /// Reads a small file, such as an attribute in sysfs. Concluded by
    /// [`Answer::File`].
    ReadFile {
        /// Absolute path in the guest.
        path: String,
        /// Most bytes to read.
        limit: u64,
    },
    /// Reads the kernel's log. Concluded by [`Answer::KernelLog`].
    Dmesg {
        /// Only messages after this sequence number.
        after: Option<u64>,
    },
    /// Writes everything back and switches the machine off.
    PowerOff,
}

/// Where the guest has the files that it started with, once it has another root.
pub const INITIAL_ROOT: &str = "/run/fslmc";

/// A file system that can be the guest's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootSource {
    /// On a disk.
    Disk {
        /// The disk's serial number.
        serial: String,
        /// Its type, as mount(8) has it.
        kind: String,
    },
    /// A directory of the host that the emulator offers by 9p.
    Directory {
        /// The mount tag of the emulator's device.
        tag: String,
    },
}

/// A module to load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleChoice {
    /// Name as in `/proc/modules`; `-` and `_` are the same.
    pub name: String,
    /// Parameters (`a=1 b=2`) beside those that the shipped list has.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parameters: String,
}

impl ModuleChoice {
    /// A module without further parameters.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), parameters: String::new() }
    }
}

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Program and arguments. Empty: an interactive shell.
    pub argv: Vec<String>,
    /// Working directory; `/` when `None`.
    pub cwd: Option<String>,
    /// Variables on top of the agent's own small set (PATH, HOME, TERM, USER).
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// The terminal to run it on; `None` means three separate streams.
    pub terminal: Option<Terminal>,
}

/// What the guest must know of the user's terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Lines.
    pub rows: u16,
    /// Characters per line.
    pub columns: u16,
    /// Value of TERM.
    pub name: String,
}

/// One line from the agent to the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The agent is there.
    Hello {
        /// [`VERSION`] of the agent.
        protocol: u32,
        /// Kernel release, such as `7.3.4+deb13-arm64`.
        kernel: String,
        /// Time since the kernel started, in milliseconds.
        uptime_ms: u64,
        /// Processors online.
        cpus: usize,
    },
    /// Something was done, for whoever watches.
    Step {
        /// The order it belongs to; `None` during the agent's start.
        id: Option<u64>,
        /// What was attempted.
        what: String,
        /// Whether it worked. A step that fails may be followed by more.
        ok: bool,
        /// What came of it, or why not.
        detail: String,
        /// Time since the kernel started, in milliseconds.
        uptime_ms: u64,
    },
    /// The command of a run exists.
    Started {
        /// The order.
        id: u64,
        /// Process id in the guest.
        pid: i32,
    },
    /// The command of a run is over, and all its output is in the ports.
    Exited {
        /// The order.
        id: u64,
        /// How it ended.
        status: Status,
        /// Length of the stdout stream of this run.
        stdout_bytes: u64,
        /// Length of the stderr stream of this run.
        stderr_bytes: u64,
    },
    /// An order is fulfilled.
    Done {
        /// The order.
        id: u64,
        /// What it yields.
        answer: Answer,
    },
    /// An order cannot be fulfilled, or, without an id, the agent cannot go on and
    /// switches the machine off.
    Failure {
        /// The order, if it is about one.
        id: Option<u64>,
        /// What was attempted and what came back.
        what: String,
        /// Which part of the guest refused: a path, a module, a device.
        place: String,
        /// What one can do about it.
        advice: String,
    },
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It never ran.
    NotStarted {
        /// What a shell would return: 127 not found, 126 not executable.
        code: i32,
        /// Why, in words, with advice.
        reason: String,
    },
}

impl Status {
    /// The exit code that a shell would report: 128 + number for a signal.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Code(code) | Self::NotStarted { code, .. } => *code,
            Self::Signal(number) => number.saturating_add(128),
        }
    }
}

/// What an order yields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Nothing but its being done.
    Nothing,
    /// The devices of the bus, by container and name.
    Devices(Vec<BusDevice>),
    /// A file.
    File {
        /// Its bytes as UTF-8; others are replaced by U+FFFD.
        text: String,
        /// Whether there was more than the limit.
        truncated: bool,
    },
    /// The kernel's log, oldest first.
    KernelLog(Vec<KernelMessage>),
}

/// A device of the fsl-mc bus as sysfs shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusDevice {
    /// Such as `dpio.3`.
    pub name: String,
    /// The part before the dot.
    #[serde(rename = "type")]
    pub kind: String,
    /// The container it is in; `None` for the root container.
    pub container: Option<String>,
    /// Name of its driver.
    pub driver: Option<String>,
    /// Value of `driver_override`, if set.
    pub driver_override: Option<String>,
    /// Number of its IOMMU group.
    pub iommu_group: Option<u32>,
    /// Such as `fsl-mc:v00001957ddpio`.
    pub modalias: String,
    /// Version of the object, major and minor, where the management interface
    /// has it; sysfs has not.
    pub version: Option<(u16, u16)>,
}

/// One message of the kernel's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelMessage {
    /// Position in the log; counts up.
    pub sequence: u64,
    /// Severity, 0 (emergency) to 7 (debug).
    pub level: u8,
    /// Time since start in microseconds.
    pub micros: u64,
    /// The text, without its newline.
    pub text: String,
}

/// What can be wrong with a line of the control port.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// No newline within [`LONGEST_LINE`].
    #[error(
        "a line on the control port is longer than {LONGEST_LINE} bytes; the other side does not speak this protocol"
    )]
    TooLong,
    /// Not what the protocol has.
    #[error(
        "a line on the control port is not a message of protocol version {VERSION}: {cause}; it starts {start:?}"
    )]
    Malformed {
        /// What the parser says.
        cause: serde_json::Error,
        /// The first characters of the line.
        start: String,
    },
}

/// The bytes of one message, newline included.
///
/// # Errors
/// Those of serde_json; the types of this module do not cause any.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// Cuts a byte stream into messages.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are known to hold no newline.
    searched: usize,
}

impl Lines {
    /// Takes bytes as they come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message, or `None` until more bytes come. Empty lines are skipped.
    ///
    /// # Errors
    /// [`LineError`]; a malformed line is consumed, one that is too long is dropped
    /// with everything buffered.
    #[allow(clippy::should_implement_trait)] // Each call may want another type.
    pub fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LineError> {
        loop {
            let Some(unsearched) = self.buffer.get(self.searched..) else {
                self.searched = 0;
                continue;
            };
            let Some(offset) = unsearched.iter().position(|&byte| byte == b'\n') else {
                self.searched = self.buffer.len();
                if self.buffer.len() > LONGEST_LINE {
                    self.buffer.clear();
                    self.searched = 0;
                    return Err(LineError::TooLong);
                }
                return Ok(None);
            };
            let line: Vec<u8> = self.buffer.drain(..=self.searched + offset).collect();
            self.searched = 0;
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            return match serde_json::from_slice(text) {
                Ok(message) => Ok(Some(message)),
                Err(cause) => Err(LineError::Malformed {
                    cause,
                    start: String::from_utf8_lossy(text).chars().take(80).collect(),
                }),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(ask: Ask) -> Order {
        Order { id: 7, ask }
    }

    #[test]
    fn messages_survive_the_wire_in_any_cut() {
        let messages = vec![
            order(Ask::Devices),
            order(Ask::Run(Run {
                argv: vec!["sh".into(), "-c".into(), "echo 'a\nb'".into()],
                cwd: None,
                env: vec![("A".into(), "ü".into())],
                terminal: Some(Terminal { rows: 24, columns: 80, name: "xterm".into() }),
            })),
            order(Ask::StdinClosed { bytes: u64::MAX }),
        ];
        let mut stream = Vec::new();
        for message in &messages {
            stream.extend(encode(message).unwrap());
        }
        for cut in 1..stream.len() {
            let mut lines = Lines::default();
            let mut seen: Vec<Order> = Vec::new();
            for chunk in stream.chunks(cut) {
                lines.push(chunk);
                while let Some(message) = lines.next().unwrap() {
                    seen.push(message);
                }
            }
            assert_eq!(seen, messages, "cut every {cut} bytes");
        }
    }

    #[test]
    fn a_malformed_line_is_told_and_skipped() {
        let mut lines = Lines::default();
        lines.push(b"{\"id\":1,\"ask\":\"dance\"}\n\n{\"id\":2,\"ask\":\"devices\"}\n");
        let error = lines.next::<Order>().unwrap_err().to_string();
        assert!(error.contains("dance"), "{error}");
        assert_eq!(lines.next::<Order>().unwrap(), Some(Order { id: 2, ask: Ask::Devices }));
        assert_eq!(lines.next::<Order>().unwrap(), None);
    }

    #[test]
    fn a_stream_without_newlines_does_not_grow_for_ever() {
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; LONGEST_LINE + 1]);
        assert!(matches!(lines.next::<Order>(), Err(LineError::TooLong)));
        assert_eq!(lines.next::<Order>().unwrap(), None);
    }

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        assert_eq!(Status::Code(3).exit_code(), 3);
        assert_eq!(Status::Signal(9).exit_code(), 137);
        assert_eq!(Status::NotStarted { code: 127, reason: String::new() }.exit_code(), 127);
    }
}
