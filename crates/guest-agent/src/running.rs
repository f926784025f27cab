// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The running command with its streams.

use crate::program::Program;
use crate::shuttle::{Fill, Shuttle};
use guest_protocol::Status;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{Pid, WaitStatus};

/// Most that is read of an output stream after the command has ended: the largest
/// pipe that an ordinary program can make. More can only come from processes that it
/// left behind.
const TAIL_LIMIT: usize = 1 << 20;

/// A command with its streams.
pub struct Running {
    /// The order that started it.
    pub id: u64,
    /// Process id, and that of its process group.
    pub pid: Pid,
    /// Readable when it has ended.
    pub pidfd: OwnedFd,
    /// The master of its terminal.
    pub terminal: Option<OwnedFd>,
    /// Its standard input, as long as it takes any.
    pub to_child: Option<OwnedFd>,
    /// From the port to it.
    pub stdin: Shuttle,
    /// From it to the port.
    pub stdout: Output,
    /// From it to the port.
    pub stderr: Output,
    /// How it ended, once it has.
    pub status: Option<Status>,
}

/// An output stream of the command.
pub struct Output {
    /// Where it comes from, until that has ended.
    pub source: Option<OwnedFd>,
    /// The bytes on their way.
    pub shuttle: Shuttle,
    /// Bytes read since the command ended.
    tail: usize,
}

impl Running {
    /// A command that has just started.
    pub fn new(id: u64, program: Program) -> Self {
        let mut stderr = Output { source: program.stderr, shuttle: Shuttle::new(), tail: 0 };
        if stderr.source.is_none() {
            stderr.shuttle.end_source();
        }
        Self {
            id,
            pid: program.pid,
            pidfd: program.pidfd,
            terminal: program.terminal,
            to_child: Some(program.stdin),
            stdin: Shuttle::new(),
            stdout: Output { source: Some(program.stdout), shuttle: Shuttle::new(), tail: 0 },
            stderr,
            status: None,
        }
    }

    /// Writes to the command what there is for it.
    pub fn feed(&mut self) {
        if let Some(sink) = &self.to_child {
            self.stdin.drain(sink.as_fd());
        }
        if self.stdin.sink_gone() || self.stdin.finished() {
            self.to_child = None;
        }
    }

    /// All of its input has come.
    pub fn end_stdin(&mut self) {
        if self.stdin.source_ended() {
            return;
        }
        if self.terminal.is_some() {
            // The end of input as one types it: ^D.
            self.stdin.insert(&[4]);
        }
        self.stdin.end_source();
        self.feed();
    }

    /// Closes each output that nobody takes any more, by which the command learns of it as of
    /// any closed pipe; with its output a terminal hangs up, by which the kernel tells its
    /// session, as when a terminal's window is closed.
    pub fn end_unread(&mut self) {
        for output in [&mut self.stdout, &mut self.stderr] {
            if output.shuttle.sink_gone() {
                output.finish();
            }
        }
        if self.stdout.shuttle.sink_gone() && self.terminal.take().is_some() {
            // Its standard input is the master, too.
            self.close_stdin();
        }
    }

    /// The command reads no more.
    pub fn close_stdin(&mut self) {
        self.stdin.lose_sink();
        self.to_child = None;
    }
}

impl Output {
    /// Moves what there is; `ended` says that the command has ended, so that an empty
    /// source is a finished one.
    pub fn pass_on(&mut self, sink: BorrowedFd<'_>, ended: bool) {
        loop {
            self.shuttle.drain(sink);
            let Some(source) = &self.source else { return };
            if !self.shuttle.wants_input() {
                return;
            }
            match self.shuttle.fill(source.as_fd(), u64::MAX) {
                Fill::Bytes(count) if ended => {
                    self.tail += count;
                    if self.tail >= TAIL_LIMIT {
                        self.finish();
                    }
                }
                // Leave time for the others.
                Fill::Bytes(_) => {
                    self.shuttle.drain(sink);
                    return;
                }
                Fill::Empty if ended => self.finish(),
                Fill::Empty => return,
                Fill::End => self.finish(),
            }
        }
    }

    fn finish(&mut self) {
        self.shuttle.end_source();
        self.source = None;
    }
}

/// How a process ended, in the words of the protocol.
pub fn status_of(status: WaitStatus) -> Status {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Status::Code(code),
        (None, Some(signal)) => Status::Signal(signal),
        // Only ends are waited for, and those are of these two kinds.
        (None, None) => Status::Code(1),
    }
}
