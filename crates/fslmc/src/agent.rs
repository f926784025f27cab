// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The host's end of the conversation with the agent in the guest.

use guest_protocol::{Answer, Ask, LineError, Lines, Order, Report, Run, Status, VERSION};
use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

/// The four ports of the agent, connected.
#[derive(Debug)]
pub struct Ports {
    /// JSON lines in both directions.
    pub control: UnixStream,
    /// To the command.
    pub stdin: UnixStream,
    /// From the command.
    pub stdout: UnixStream,
    /// From the command.
    pub stderr: UnixStream,
}

/// Why the agent did not do what was asked.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum AgentError {
    /// Nothing came in time.
    #[error("the guest did not answer within {} s: {what}", .limit.as_secs_f32())]
    #[diagnostic(help("the guest's console shows what it did last"))]
    TimedOut {
        /// What was asked.
        what: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The guest went away.
    #[error("the guest is gone: {what}")]
    #[diagnostic(help("the guest's console shows what it did last"))]
    Gone {
        /// What was asked.
        what: String,
    },
    /// The agent says no.
    #[error("{place}: {what}")]
    #[diagnostic(help("{advice}"))]
    Refused {
        /// What was attempted and what came back.
        what: String,
        /// Which part of the guest refused.
        place: String,
        /// What one can do about it.
        advice: String,
    },
    /// The agent says something that was not asked for.
    #[error("the guest answered {what} with {got}: host and guest are from different builds")]
    Unexpected {
        /// What was asked.
        what: String,
        /// What came.
        got: String,
    },
    /// A port failed.
    #[error("cannot communicate with the guest ({what}): {cause}")]
    Port {
        /// What was being done.
        what: &'static str,
        /// What the system says.
        cause: io::Error,
    },
}

/// What the agent says when it starts.
#[derive(Debug, Clone)]
pub struct Hello {
    /// Kernel release.
    pub kernel: String,
    /// Time from the kernel's start.
    pub uptime: Duration,
    /// Processors online.
    pub cpus: usize,
}

/// A step that the agent reports on its way.
#[derive(Debug, Clone)]
pub struct Step {
    /// What was attempted.
    pub what: String,
    /// Whether it worked.
    pub ok: bool,
    /// What came of it, or why not.
    pub detail: String,
}

/// The agent, ready for orders.
pub struct Agent {
    control: UnixStream,
    stdin: UnixStream,
    reports: Receiver<Result<Report, AgentError>>,
    stdout: Arc<Sink>,
    stderr: Arc<Sink>,
    next: u64,
    watch: Box<dyn FnMut(&Step) + Send>,
}

/// Where a stream of the command goes, and how much of it came.
struct Sink {
    state: Mutex<SinkState>,
    grown: Condvar,
}

#[derive(Default)]
struct SinkState {
    out: Option<Box<dyn Write + Send>>,
    bytes: u64,
    failed: Option<io::Error>,
    closed: bool,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// As the guest reports it.
    pub status: Status,
}

/// What feeds a command and takes its output.
pub struct Streams {
    /// Read until its end, or until the command is over.
    pub stdin: Box<dyn Read + Send>,
    /// Gets standard output.
    pub stdout: Box<dyn Write + Send>,
    /// Gets standard error.
    pub stderr: Box<dyn Write + Send>,
}

/// Sends signals and window sizes to the command that runs.
#[derive(Debug)]
pub struct Remote {
    control: UnixStream,
    next: AtomicU64,
}

/// Orders of a [`Remote`] have numbers of their own, so that their reports can
/// be told from those that the [`Agent`] waits for.
const REMOTE_ORDERS: u64 = 1 << 32;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Agent {
    /// Starts listening on the ports. `watch` gets each step that the agent
    /// reports.
    ///
    /// # Errors
    /// [`AgentError::Port`].
    pub fn new(
        ports: Ports,
        watch: impl FnMut(&Step) + Send + 'static,
    ) -> Result<Self, AgentError> {
        let (sender, reports) = mpsc::channel();
        let control = clone(&ports.control)?;
        thread::spawn(move || listen(ports.control, &sender));
        Ok(Self {
            control,
            stdin: ports.stdin,
            reports,
            stdout: Sink::start(ports.stdout),
            stderr: Sink::start(ports.stderr),
            next: 1,
            watch: Box::new(watch),
        })
    }

    /// Waits for the agent to say that it is there.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn hello(&mut self, limit: Duration) -> Result<Hello, AgentError> {
        let what = "the start of the guest";
        let deadline = Instant::now() + limit;
        match self.report(what, deadline, limit)? {
            Report::Hello { protocol, kernel, uptime_ms, cpus } if protocol == VERSION => {
                Ok(Hello { kernel, uptime: Duration::from_millis(uptime_ms), cpus })
            }
            other => Err(unexpected(what, &other)),
        }
    }

    /// Asks for something and waits for the answer.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn ask(&mut self, ask: Ask, limit: Duration) -> Result<Answer, AgentError> {
        let what = describe(&ask);
        let id = self.order(ask)?;
        let deadline = Instant::now() + limit;
        loop {
            match self.report(&what, deadline, limit)? {
                Report::Done { id: done, answer } if done == id => return Ok(answer),
                // What a remote sent while a command ran.
                Report::Done { id, .. } if id >= REMOTE_ORDERS => {}
                other => return Err(unexpected(&what, &other)),
            }
        }
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// [`AgentError`]; [`AgentError::TimedOut`] leaves the command running.
    pub fn run(
        &mut self,
        run: Run,
        streams: Streams,
        limit: Option<Duration>,
    ) -> Result<Exit, AgentError> {
        let what = run.argv.first().map_or_else(|| "a shell".into(), |p| format!("command {p}"));
        let limit = limit.unwrap_or(Duration::from_secs(365 * 24 * 3600));
        let deadline = Instant::now() + limit;
        let out_before = self.stdout.attach(streams.stdout);
        let err_before = self.stderr.attach(streams.stderr);
        let id = self.order(Ask::Run(run))?;
        let feed = Feed::start(clone(&self.stdin)?, streams.stdin, clone(&self.control)?);
        let (status, out, err) = loop {
            match self.report(&what, deadline, limit)? {
                Report::Exited { id: done, status, stdout_bytes, stderr_bytes } if done == id => {
                    break (status, stdout_bytes, stderr_bytes);
                }
                Report::Started { .. } => {}
                Report::Done { .. } => {}
                other => return Err(unexpected(&what, &other)),
            }
        };
        if let Some(bytes) = feed.stop() {
            self.ask(Ask::StdinClosed { bytes }, Duration::from_secs(10))?;
        }
        self.stdout.drain(out_before.saturating_add(out), deadline)?;
        self.stderr.drain(err_before.saturating_add(err), deadline)?;
        Ok(Exit { status })
    }

    /// A handle that can signal and resize while [`run`](Self::run) waits.
    ///
    /// # Errors
    /// [`AgentError::Port`].
    pub fn remote(&self) -> Result<Remote, AgentError> {
        Ok(Remote { control: clone(&self.control)?, next: AtomicU64::new(2 * REMOTE_ORDERS) })
    }

    fn order(&mut self, ask: Ask) -> Result<u64, AgentError> {
        let id = self.next;
        self.next += 1;
        send(&self.control, id, ask)?;
        Ok(id)
    }

    /// The next report that is no step.
    fn report(
        &mut self,
        what: &str,
        deadline: Instant,
        limit: Duration,
    ) -> Result<Report, AgentError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.reports.recv_timeout(left) {
                Ok(Ok(Report::Step { what, ok, detail, .. })) => {
                    (self.watch)(&Step { what, ok, detail });
                }
                Ok(Ok(Report::Failure { what, place, advice, .. })) => {
                    return Err(AgentError::Refused { what, place, advice });
                }
                Ok(report) => return report,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(AgentError::TimedOut { what: what.into(), limit });
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(AgentError::Gone { what: what.into() });
                }
            }
        }
    }
}

impl Remote {
    /// Sends a signal to the command.
    ///
    /// # Errors
    /// [`AgentError::Port`].
    pub fn signal(&self, number: i32) -> Result<(), AgentError> {
        self.order(Ask::Signal { number })
    }

    /// Tells the command its window size.
    ///
    /// # Errors
    /// [`AgentError::Port`].
    pub fn resize(&self, rows: u16, columns: u16) -> Result<(), AgentError> {
        self.order(Ask::Resize { rows, columns })
    }

    fn order(&self, ask: Ask) -> Result<(), AgentError> {
        send(&self.control, self.next.fetch_add(1, Ordering::Relaxed), ask)
    }
}

impl Sink {
    fn start(mut port: UnixStream) -> Arc<Self> {
        let sink = Arc::new(Self { state: Mutex::default(), grown: Condvar::new() });
        let shared = sink.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let count = match port.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => count,
                };
                shared.take(&buffer[..count]);
            }
            lock(&shared.state).closed = true;
            shared.grown.notify_all();
        });
        sink
    }

    fn take(&self, data: &[u8]) {
        let mut state = lock(&self.state);
        if state.failed.is_none()
            && let Some(out) = &mut state.out
            && let Err(error) = out.write_all(data).and_then(|()| out.flush())
        {
            // The reader of our output is gone (a closed pipe): the command
            // goes on, as it would not notice on a machine across a network.
            state.failed = Some(error);
        }
        state.bytes += data.len() as u64;
        drop(state);
        self.grown.notify_all();
    }

    /// Sends what comes from now on to `out`; returns how much came before.
    fn attach(&self, out: Box<dyn Write + Send>) -> u64 {
        let mut state = lock(&self.state);
        state.out = Some(out);
        state.failed = None;
        state.bytes
    }

    /// Waits until `bytes` came in all.
    fn drain(&self, bytes: u64, deadline: Instant) -> Result<(), AgentError> {
        let mut state = lock(&self.state);
        while state.bytes < bytes && !state.closed {
            let left =
                deadline.saturating_duration_since(Instant::now()).min(Duration::from_secs(10));
            let (next, timeout) =
                self.grown.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if timeout.timed_out() && state.bytes < bytes {
                let what = format!("{} bytes of output", bytes - state.bytes);
                return Err(AgentError::TimedOut { what, limit: left });
            }
        }
        if state.bytes < bytes {
            return Err(AgentError::Gone { what: "the rest of the output".into() });
        }
        state.out = None;
        match state.failed.take() {
            Some(cause) => Err(AgentError::Port { what: "writing its output here", cause }),
            None => Ok(()),
        }
    }
}

/// The thread that passes standard input on.
struct Feed(Arc<Mutex<FeedState>>);

struct FeedState {
    port: UnixStream,
    bytes: u64,
    /// Set when the command is over, or the input ended and its length was
    /// sent: nothing may be written any more.
    over: bool,
}

impl Feed {
    fn start(port: UnixStream, mut input: Box<dyn Read + Send>, control: UnixStream) -> Self {
        let state = Arc::new(Mutex::new(FeedState { port, bytes: 0, over: false }));
        let shared = state.clone();
        // Not joined: it may wait for a terminal for ever, and holds nothing
        // that anybody else needs.
        thread::spawn(move || {
            let mut buffer = vec![0; 16 << 10];
            loop {
                let count = input.read(&mut buffer).unwrap_or(0);
                let mut state = lock(&shared);
                if state.over {
                    return;
                }
                if count == 0 {
                    state.over = true;
                    let bytes = state.bytes;
                    let ask = Ask::StdinClosed { bytes };
                    if let Err(error) = send(&control, REMOTE_ORDERS, ask) {
                        tracing::debug!(%error, "end of input not sent");
                    }
                    return;
                }
                // Counted first: the agent is told how much there is to come.
                state.bytes += count as u64;
                if let Err(error) = state.port.write_all(&buffer[..count]) {
                    tracing::debug!(%error, "input not sent");
                    return;
                }
            }
        });
        Self(state)
    }

    /// Stops passing on. How many bytes there were, unless that has been sent.
    fn stop(&self) -> Option<u64> {
        let mut state = lock(&self.0);
        let was_over = std::mem::replace(&mut state.over, true);
        (!was_over).then_some(state.bytes)
    }
}

fn listen(mut control: UnixStream, reports: &mpsc::Sender<Result<Report, AgentError>>) {
    let mut lines = Lines::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match lines.next::<Report>() {
            Ok(Some(report)) => {
                if reports.send(Ok(report)).is_err() {
                    return;
                }
                continue;
            }
            Ok(None) => {}
            Err(error) => {
                let _ = reports.send(Err(malformed(&error)));
                return;
            }
        }
        match control.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => lines.push(&buffer[..count]),
        }
    }
}

fn send(mut control: &UnixStream, id: u64, ask: Ask) -> Result<(), AgentError> {
    let order = Order { id, ask };
    let line = guest_protocol::encode(&order)
        .map_err(|e| AgentError::Port { what: "encoding an order", cause: e.into() })?;
    // One write: a remote and the agent share the port.
    control.write_all(&line).map_err(|cause| AgentError::Port { what: "sending an order", cause })
}

fn clone(port: &UnixStream) -> Result<UnixStream, AgentError> {
    port.try_clone().map_err(|cause| AgentError::Port { what: "sharing a port", cause })
}

fn malformed(error: &LineError) -> AgentError {
    AgentError::Unexpected { what: "the conversation".into(), got: error.to_string() }
}

fn unexpected(what: &str, report: &Report) -> AgentError {
    AgentError::Unexpected { what: what.into(), got: format!("{report:?}") }
}

fn describe(ask: &Ask) -> String {
    match ask {
        Ask::Load { modules } => {
            let names: Vec<_> = modules.iter().map(|m| m.name.as_str()).collect();
            format!("loading modules {}", names.join(", "))
        }
        Ask::Mount { path, .. } => format!("mounting the shared directory at {path}"),
        Ask::EnterRoot { .. } => "entering the root file system".into(),
        Ask::HugePages { pages } => format!("reserving {pages} huge pages"),
        Ask::Bind { containers, driver } => {
            format!("binding {} to {driver}", containers.join(", "))
        }
        Ask::Release { containers } => format!("releasing {}", containers.join(", ")),
        Ask::Run(_) => "running a command".into(),
        Ask::Devices => "listing the devices".into(),
        Ask::ReadFile { path, .. } => format!("reading {path}"),
        Ask::Dmesg { .. } => "reading the kernel's log".into(),
        Ask::PowerOff => "switching off".into(),
        other => format!("{other:?}"),
    }
}
