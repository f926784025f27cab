// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The conversation with the host: one loop over control port, byte streams and the
//! running command.

use crate::failure::Failure;
use crate::orders::{Conclusion, Orders};
use crate::ports::Ports;
use crate::program;
use crate::running::{Running, status_of};
use crate::shuttle::{Fill, Shuttle};
use fsl_mc_linux::errno::describe;
use guest_protocol::{Answer, Ask, Lines, Order, Report, Run, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::process::{Signal, WaitOptions, kill_process_group};
use rustix::termios::tcgetpgrp;
use std::time::{Duration, Instant};

/// How long the host may take to connect the control port.
const HOST_PATIENCE: Duration = Duration::from_secs(60);

/// Why the conversation is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The host asks to switch off.
    PowerOff,
    /// The host has closed the control port.
    HostGone,
}

/// The state of the conversation.
pub struct Session {
    ports: Ports,
    orders: Orders,
    incoming: Lines,
    outgoing: Vec<u8>,
    connected: bool,
    started: Instant,
    stdin: StdinStream,
    running: Option<Running>,
    /// Whether to collect every process that ends, as pid 1 has to.
    reaps_all: bool,
    end: Option<End>,
}

/// Which bytes of the stdin port belong to which run.
#[derive(Debug, Default)]
struct StdinStream {
    /// Bytes of ended runs that are still to come, to be thrown away.
    stale: u64,
    /// The present or last run.
    span: Option<Span>,
}

/// The part of the stdin port that is one run's.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    taken: u64,
    length: Option<u64>,
}

impl Span {
    fn remaining(&self) -> Option<u64> {
        self.length.map(|length| length.saturating_sub(self.taken))
    }
}

/// What a polled descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Control,
    StdinPort,
    StdoutPort,
    StderrPort,
    ChildStdin,
    ChildStdout,
    ChildStderr,
    Process,
}

impl Session {
    /// A conversation over these ports.
    pub fn new(ports: Ports, orders: Orders, reaps_all: bool) -> Self {
        Self {
            ports,
            orders,
            incoming: Lines::default(),
            outgoing: Vec::new(),
            connected: false,
            started: Instant::now(),
            stdin: StdinStream::default(),
            running: None,
            reaps_all,
            end: None,
        }
    }

    /// Puts a report in the queue to the host.
    pub fn report(&mut self, report: &Report) {
        match guest_protocol::encode(report) {
            Ok(line) => self.outgoing.extend(line),
            Err(error) => crate::console::say(&format!("cannot encode a report: {error}")),
        }
    }

    /// Serves the host until it asks to switch off or goes away.
    ///
    /// # Errors
    /// When the host does not connect in time, or the ports cannot be polled.
    pub fn serve(&mut self) -> Result<End, Failure> {
        loop {
            self.pass_on();
            self.collect_processes();
            self.conclude_run();
            if self.end == Some(End::HostGone) || (self.end.is_some() && self.outgoing.is_empty()) {
                return Ok(self.end.unwrap_or(End::HostGone));
            }
            if !self.wait_for_host()? {
                continue;
            }
            let ready = self.wait()?;
            self.serve_ready(&ready);
        }
    }

    /// Tells the host of a failure that ends the agent, as far as the port takes it.
    pub fn last_words(&mut self, failure: &Failure) {
        self.report(&Report::Failure {
            id: None,
            what: failure.what.clone(),
            place: failure.place.clone(),
            advice: failure.advice.clone(),
        });
        let end = Instant::now() + Duration::from_secs(2);
        while !self.outgoing.is_empty() && Instant::now() < end {
            self.send();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Until the host has connected, the control port shows a hang-up at every poll.
    fn wait_for_host(&mut self) -> Result<bool, Failure> {
        if self.connected {
            return Ok(true);
        }
        let mut fds = [PollFd::new(&self.ports.control, PollFlags::OUT)];
        poll(&mut fds, Some(&timespec(Duration::from_millis(20)))).map_err(poll_failed)?;
        let [control] = &fds;
        let ready = control.revents();
        if ready.contains(PollFlags::OUT) && !ready.contains(PollFlags::HUP) {
            self.connected = true;
            return Ok(true);
        }
        if self.started.elapsed() > HOST_PATIENCE {
            return Err(Failure::new(
                format!("the host has not connected within {} s", HOST_PATIENCE.as_secs()),
                guest_protocol::CONTROL_PORT,
                "Let the emulator's character device be connected before the guest starts",
            ));
        }
        std::thread::sleep(Duration::from_millis(2));
        Ok(false)
    }

    fn wait(&self) -> Result<Vec<(Role, PollFlags)>, Failure> {
        let (roles, mut fds): (Vec<Role>, Vec<PollFd<'_>>) = self
            .interests()
            .into_iter()
            .map(|(role, fd, flags)| (role, PollFd::from_borrowed_fd(fd, flags)))
            .unzip();
        // As pid 1, look once a second for processes that others left behind.
        let timeout = self.reaps_all.then(|| timespec(Duration::from_secs(1)));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(poll_failed(errno)),
        }
        Ok(roles
            .into_iter()
            .zip(fds.iter().map(PollFd::revents))
            .filter(|(_, ready)| !ready.is_empty())
            .collect())
    }

    fn interests(&self) -> Vec<(Role, BorrowedFd<'_>, PollFlags)> {
        let mut control = PollFlags::IN;
        if !self.outgoing.is_empty() {
            control |= PollFlags::OUT;
        }
        let mut all = vec![(Role::Control, self.ports.control.as_fd(), control)];
        if self.stdin_appetite() > 0 {
            all.push((Role::StdinPort, self.ports.stdin.as_fd(), PollFlags::IN));
        }
        let Some(running) = &self.running else { return all };
        if running.status.is_none() {
            all.push((Role::Process, running.pidfd.as_fd(), PollFlags::IN));
        }
        if let Some(sink) = running.to_child.as_ref().filter(|_| running.stdin.wants_output()) {
            all.push((Role::ChildStdin, sink.as_fd(), PollFlags::OUT));
        }
        for (output, source_role, sink_role, sink) in [
            (&running.stdout, Role::ChildStdout, Role::StdoutPort, &self.ports.stdout),
            (&running.stderr, Role::ChildStderr, Role::StderrPort, &self.ports.stderr),
        ] {
            if let Some(source) = output.source.as_ref().filter(|_| output.shuttle.wants_input()) {
                all.push((source_role, source.as_fd(), PollFlags::IN));
            }
            if output.shuttle.wants_output() {
                all.push((sink_role, sink.as_fd(), PollFlags::OUT));
            }
        }
        all
    }

    fn serve_ready(&mut self, ready: &[(Role, PollFlags)]) {
        for &(role, flags) in ready {
            let gone = flags.intersects(PollFlags::HUP | PollFlags::ERR);
            match role {
                Role::Control => self.hear(gone && !flags.contains(PollFlags::IN)),
                Role::StdinPort => self.take_stdin(gone && !flags.contains(PollFlags::IN)),
                // A port whose host end is closed takes nothing more.
                Role::StdoutPort if gone => self.lose_port(|running| &mut running.stdout),
                Role::StderrPort if gone => self.lose_port(|running| &mut running.stderr),
                Role::ChildStdin if gone => {
                    if let Some(running) = &mut self.running {
                        running.close_stdin();
                    }
                }
                _ => {}
            }
        }
    }

    fn lose_port(&mut self, output: impl Fn(&mut Running) -> &mut crate::running::Output) {
        if let Some(running) = &mut self.running {
            output(running).shuttle.lose_sink();
            running.end_unread();
        }
    }

    /// Moves whatever can be moved without waiting.
    fn pass_on(&mut self) {
        self.send();
        let Some(running) = &mut self.running else { return };
        running.stdout.pass_on(self.ports.stdout.as_fd(), running.status.is_some());
        running.stderr.pass_on(self.ports.stderr.as_fd(), running.status.is_some());
        running.end_unread();
        running.feed();
        if self.stdin.span.is_some_and(|span| span.remaining() == Some(0)) {
            running.end_stdin();
        }
    }

    fn send(&mut self) {
        match rustix::io::write(&self.ports.control, &self.outgoing) {
            Ok(count) => {
                self.outgoing.drain(..count.min(self.outgoing.len()));
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.end = Some(End::HostGone),
        }
    }

    fn hear(&mut self, gone: bool) {
        if gone {
            self.end = Some(End::HostGone);
            return;
        }
        let mut bytes = vec![0; 64 << 10];
        match rustix::io::read(&self.ports.control, &mut bytes) {
            Ok(0) => self.end = Some(End::HostGone),
            Ok(count) => self.incoming.push(bytes.get(..count).unwrap_or_default()),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.end = Some(End::HostGone),
        }
        loop {
            match self.incoming.next::<Order>() {
                Ok(Some(order)) => self.obey(order),
                Ok(None) => break,
                Err(error) => self.refuse(
                    None,
                    &Failure::new(
                        error.to_string(),
                        guest_protocol::CONTROL_PORT,
                        "Build host and guest programs from the same source",
                    ),
                ),
            }
        }
    }

    fn obey(&mut self, Order { id, ask }: Order) {
        let conclusion = match ask {
            Ask::Run(run) => self.start_run(id, &run),
            Ask::StdinClosed { bytes } => self.close_stdin(bytes),
            Ask::Signal { number } => self.signal(number),
            Ask::Resize { rows, columns } => self.resize(rows, columns),
            Ask::PowerOff => {
                self.end = Some(End::PowerOff);
                Ok(Some(Answer::Nothing))
            }
            other => {
                let Conclusion { steps, result } = self.orders.carry_out(other);
                for step in steps {
                    self.report(&step.report(Some(id)));
                }
                result.map(Some)
            }
        };
        match conclusion {
            Ok(Some(answer)) => self.report(&Report::Done { id, answer }),
            Ok(None) => {}
            Err(failure) => self.refuse(Some(id), &failure),
        }
    }

    fn refuse(&mut self, id: Option<u64>, failure: &Failure) {
        self.report(&Report::Failure {
            id,
            what: failure.what.clone(),
            place: failure.place.clone(),
            advice: failure.advice.clone(),
        });
    }

    fn start_run(&mut self, id: u64, run: &Run) -> Result<Option<Answer>, Failure> {
        if self.running.is_some() {
            return Err(out_of_turn(
                "a command is running already",
                "Wait for its end, or send it a signal",
            ));
        }
        if let Some(span) = self.stdin.span {
            let Some(remaining) = span.remaining() else {
                return Err(out_of_turn(
                    "the stdin stream of the last run has no end yet",
                    "Send StdinClosed for each run, also after its end",
                ));
            };
            self.stdin.stale += remaining;
        }
        self.stdin.span = Some(Span::default());
        match program::start(run) {
            Ok(program) => {
                self.report(&Report::Started { id, pid: program.pid.as_raw_pid() });
                self.running = Some(Running::new(id, program));
            }
            Err(not_started) => self.report(&Report::Exited {
                id,
                status: Status::NotStarted { code: not_started.code, reason: not_started.reason },
                stdout_bytes: 0,
                stderr_bytes: 0,
            }),
        }
        Ok(None)
    }

    fn close_stdin(&mut self, bytes: u64) -> Result<Option<Answer>, Failure> {
        let Some(span) = &mut self.stdin.span else {
            return Err(out_of_turn("there is no run whose stdin could end", "Send Run first"));
        };
        if span.length.is_some() || bytes < span.taken {
            return Err(out_of_turn(
                &format!(
                    "stdin cannot end at byte {bytes}: it {}",
                    match span.length {
                        Some(length) => format!("has ended at byte {length}"),
                        None => format!("has had {} bytes already", span.taken),
                    }
                ),
                "Send StdinClosed once per run, with the number of bytes written to the port",
            ));
        }
        span.length = Some(bytes);
        Ok(Some(Answer::Nothing))
    }

    fn signal(&self, number: i32) -> Result<Option<Answer>, Failure> {
        let running = self.running.as_ref().ok_or_else(no_command)?;
        let signal = Signal::from_named_raw(number).ok_or_else(|| {
            out_of_turn(&format!("there is no signal {number}"), "Use the numbers of Linux")
        })?;
        // With a terminal, its foreground job is what a key press would reach.
        let foreground = running.terminal.as_ref().and_then(|master| tcgetpgrp(master).ok());
        match kill_process_group(foreground.unwrap_or(running.pid), signal) {
            // It has just ended: nothing left to signal.
            Ok(()) | Err(Errno::SRCH) => Ok(Some(Answer::Nothing)),
            Err(errno) => Err(Failure::new(
                format!("sending signal {number}: {}", describe(&errno.into())),
                format!("process group {}", running.pid.as_raw_pid()),
                "This is unexpected",
            )),
        }
    }

    fn resize(&self, rows: u16, columns: u16) -> Result<Option<Answer>, Failure> {
        let running = self.running.as_ref().ok_or_else(no_command)?;
        let terminal = running.terminal.as_ref().ok_or_else(|| {
            out_of_turn("the command has no terminal", "Send Resize to runs with a terminal only")
        })?;
        program::set_window_size(terminal, rows, columns).map(|()| Some(Answer::Nothing)).map_err(
            |error| {
                Failure::new(
                    format!("setting the window size: {}", describe(&error)),
                    "the command's terminal",
                    "This is unexpected",
                )
            },
        )
    }

    /// How many bytes of the stdin port may be read now.
    fn stdin_appetite(&self) -> u64 {
        if self.stdin.stale > 0 {
            return self.stdin.stale;
        }
        let Some(span) = &self.stdin.span else { return 0 };
        let has_room = self.running.as_ref().is_none_or(|running| running.stdin.wants_input());
        if has_room { span.remaining().unwrap_or(u64::MAX) } else { 0 }
    }

    fn take_stdin(&mut self, gone: bool) {
        let most = self.stdin_appetite();
        if most == 0 {
            return;
        }
        let mut waste = Shuttle::new();
        waste.lose_sink();
        let stale = self.stdin.stale > 0;
        let shuttle = match &mut self.running {
            Some(running) if !stale => &mut running.stdin,
            _ => &mut waste,
        };
        // A port reads as empty, not as ended, while its host end is open; nothing at
        // all on a closed one.
        let fill = if gone { Fill::End } else { shuttle.fill(self.ports.stdin.as_fd(), most) };
        match fill {
            Fill::Bytes(count) if stale => self.stdin.stale -= count as u64,
            Fill::Bytes(count) => {
                if let Some(span) = &mut self.stdin.span {
                    span.taken += count as u64;
                }
            }
            Fill::Empty => {}
            Fill::End => {
                self.stdin.stale = 0;
                if let Some(span) = &mut self.stdin.span {
                    span.length = Some(span.taken);
                }
            }
        }
    }

    fn collect_processes(&mut self) {
        loop {
            let ended = match &self.running {
                _ if self.reaps_all => rustix::process::wait(WaitOptions::NOHANG),
                Some(running) if running.status.is_none() => {
                    rustix::process::waitpid(Some(running.pid), WaitOptions::NOHANG)
                }
                _ => return,
            };
            let Ok(Some((pid, status))) = ended else { return };
            if let Some(running) = self.running.as_mut().filter(|running| running.pid == pid) {
                running.status = Some(status_of(status));
                // Read what it wrote before it ended.
                running.stdout.pass_on(self.ports.stdout.as_fd(), true);
                running.stderr.pass_on(self.ports.stderr.as_fd(), true);
            }
        }
    }

    fn conclude_run(&mut self) {
        let done = self.running.take_if(|running| {
            running.status.is_some()
                && running.stdout.shuttle.finished()
                && running.stderr.shuttle.finished()
        });
        let Some(running) = done else { return };
        if let Some(status) = running.status {
            self.report(&Report::Exited {
                id: running.id,
                status,
                stdout_bytes: running.stdout.shuttle.delivered(),
                stderr_bytes: running.stderr.shuttle.delivered(),
            });
            self.send();
        }
    }
}

fn out_of_turn(what: &str, advice: &str) -> Failure {
    Failure::new(what, "the agent", advice)
}

fn no_command() -> Failure {
    out_of_turn("no command is running", "Send Run first")
}

fn poll_failed(errno: Errno) -> Failure {
    Failure::new(
        format!("waiting for the host: {}", describe(&errno.into())),
        "the agent's ports",
        "This is unexpected",
    )
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
