// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The host's end of the conversation with the agent in the guest.

use fsl_mc_linux::program::NOBODY_READS;
use guest_protocol::{Answer, Ask, LineError, Lines, Order, Report, Run, Status, VERSION};
use std::{
    io::{self, Read, Write},
    net::Shutdown,
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
    /// How long output that is announced may stay away.
    quiet_limit: Duration,
}

/// What the guest has written before the end of a command comes at once, but for a busy host.
const QUIET_LIMIT: Duration = Duration::from_secs(10);

/// Where a stream of the command goes, and how much of it came.
struct Sink {
    /// To close it.
    port: UnixStream,
    state: Mutex<SinkState>,
    grown: Condvar,
}

#[derive(Default)]
struct SinkState {
    out: Option<Box<dyn Write + Send>>,
    /// `out` is away, being written to: who reads it takes the time that it takes.
    writing: bool,
    /// How many have been attached.
    attached: u64,
    bytes: u64,
    failed: Option<io::Error>,
    closed: bool,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// As the guest reports it.
    pub status: Status,
    /// Whether the reader of its output has gone before the end, as `head` does.
    pub nobody_reads: bool,
}

impl Exit {
    /// The command's exit code as a shell has it. One that has not noticed that nobody reads
    /// its output has written for nothing all the same.
    pub fn code(&self) -> i32 {
        match self.status.exit_code() {
            0 if self.nobody_reads => NOBODY_READS.into(),
            code => code,
        }
    }
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
            stdout: Sink::start(ports.stdout)?,
            stderr: Sink::start(ports.stderr)?,
            next: 1,
            watch: Box::new(watch),
            quiet_limit: QUIET_LIMIT,
        })
    }

    /// Waits for the agent to say that it is there.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn hello(&mut self, limit: Duration) -> Result<Hello, AgentError> {
        let what = "the start of the guest";
        let deadline = Instant::now() + limit;
        match self.report(None, what, deadline, limit)? {
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
            match self.report(Some(id), &what, deadline, limit)? {
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
            match self.report(Some(id), &what, deadline, limit)? {
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
        // Both in any case: the one may have failed, and the other say why.
        let quiet = self.quiet_limit;
        let stdout = self.stdout.drain(out_before.saturating_add(out), deadline, quiet);
        let stderr = self.stderr.drain(err_before.saturating_add(err), deadline, quiet);
        let nobody_reads = [stdout?, stderr?].contains(&Drained::NobodyReads);
        Ok(Exit { status, nobody_reads })
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

    /// The next report that is no step, and no failure of another order than `own`: a signal
    /// or a window size may come too late for the command, which is nobody's concern.
    fn report(
        &mut self,
        own: Option<u64>,
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
                Ok(Ok(Report::Failure { id: Some(id), what, place, .. })) if own != Some(id) => {
                    tracing::debug!(id, what, place, "another order was refused");
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

/// What became of a command's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drained {
    Whole,
    /// Its reader has seen enough.
    NobodyReads,
}

impl Sink {
    fn start(mut port: UnixStream) -> Result<Arc<Self>, AgentError> {
        let sink = Self { port: clone(&port)?, state: Mutex::default(), grown: Condvar::new() };
        let sink = Arc::new(sink);
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
        Ok(sink)
    }

    fn take(&self, data: &[u8]) {
        let mut state = lock(&self.state);
        let attached = state.attached;
        let out = if state.failed.is_none() { state.out.take() } else { None };
        state.writing = out.is_some();
        // Not under the lock: whoever reads it may take its time, as `less` does.
        drop(state);
        let written = out.map(|mut out| {
            let result = out.write_all(data).and_then(|()| out.flush());
            (out, result)
        });
        let mut state = lock(&self.state);
        state.writing = false;
        state.bytes += data.len() as u64;
        if let Some((out, result)) = written
            && state.attached == attached
        {
            state.out = Some(out);
            if let Err(error) = result {
                state.failed = Some(error);
                // The command learns of it as of any closed pipe.
                let _ = self.port.shutdown(Shutdown::Both);
            }
        }
        drop(state);
        self.grown.notify_all();
    }

    /// Sends what comes from now on to `out`; returns how much came before.
    fn attach(&self, out: Box<dyn Write + Send>) -> u64 {
        let mut state = lock(&self.state);
        state.out = Some(out);
        state.attached += 1;
        state.failed = None;
        state.bytes
    }

    /// Waits until `bytes` came in all, as long as some come within `quiet`. The time that
    /// their reader takes does not count.
    fn drain(&self, bytes: u64, deadline: Instant, quiet: Duration) -> Result<Drained, AgentError> {
        let mut state = lock(&self.state);
        let (mut seen, mut since) = (state.bytes, Instant::now());
        while state.bytes < bytes && !state.closed && state.failed.is_none() {
            if state.writing || state.bytes != seen {
                (seen, since) = (state.bytes, Instant::now());
            }
            let left = quiet
                .saturating_sub(since.elapsed())
                .min(deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                let what = format!("{} bytes of output", bytes - state.bytes);
                return Err(AgentError::TimedOut { what, limit: quiet });
            }
            let waited = self.grown.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.out = None;
        match state.failed.take() {
            Some(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(Drained::NobodyReads),
            Some(cause) => Err(AgentError::Port { what: "writing its output here", cause }),
            None if state.bytes < bytes => {
                Err(AgentError::Gone { what: "the rest of the output".into() })
            }
            None => Ok(Drained::Whole),
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

#[cfg(test)]
mod tests {
    use super::*;
    use guest_protocol::encode;

    const LIMIT: Duration = Duration::from_secs(20);

    /// The guest's ends of the ports.
    struct Guest {
        control: UnixStream,
        lines: Lines,
        stdout: UnixStream,
        stderr: UnixStream,
        _stdin: UnixStream,
    }

    impl Guest {
        /// The next order that is not the end of a command's input, as long as there is a
        /// host.
        fn next(&mut self) -> Option<u64> {
            loop {
                match self.lines.next().unwrap() {
                    Some(Order { id, ask: Ask::StdinClosed { .. } }) => {
                        self.say(&Report::Done { id, answer: Answer::Nothing });
                    }
                    Some(Order { id, .. }) => return Some(id),
                    None => {
                        let mut bytes = [0; 4096];
                        match self.control.read(&mut bytes) {
                            Ok(count @ 1..) => self.lines.push(&bytes[..count]),
                            _ => return None,
                        }
                    }
                }
            }
        }

        fn say(&mut self, report: &Report) {
            // The host may have gone.
            let _ = self.control.write_all(&encode(report).unwrap());
        }

        fn refuse(&mut self, id: u64) {
            let (what, place, advice) = ("no command is running", "the agent", "Send Run first");
            let [what, place, advice] = [what, place, advice].map(str::to_owned);
            self.say(&Report::Failure { id: Some(id), what, place, advice });
        }

        fn end_run(&mut self, id: u64, stdout_bytes: u64, stderr_bytes: u64) {
            let status = Status::Code(0);
            self.say(&Report::Exited { id, status, stdout_bytes, stderr_bytes });
        }
    }

    /// An agent, and a guest that does what it is told to do here.
    fn with_guest(guest: impl FnOnce(Guest) + Send + 'static) -> Agent {
        let pair = || UnixStream::pair().unwrap();
        let ((control, one), (stdin, two)) = (pair(), pair());
        let ((stdout, three), (stderr, four)) = (pair(), pair());
        let lines = Lines::default();
        let end = Guest { control: one, lines, stdout: three, stderr: four, _stdin: two };
        thread::spawn(move || guest(end));
        Agent::new(Ports { control, stdin, stdout, stderr }, |_| ()).unwrap()
    }

    fn run_with(
        agent: &mut Agent,
        stdout: impl Write + Send + 'static,
        stderr: impl Write + Send + 'static,
    ) -> Result<Exit, AgentError> {
        let run = Run { argv: vec!["true".into()], cwd: None, env: Vec::new(), terminal: None };
        let (stdout, stderr) = (Box::new(stdout), Box::new(stderr));
        agent.run(run, Streams { stdin: Box::new(io::empty()), stdout, stderr }, Some(LIMIT))
    }

    /// Keeps what is written, each time after a while, and fails from some length on.
    #[derive(Clone, Default)]
    struct Reader {
        pace: Duration,
        most: Option<usize>,
        has: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            thread::sleep(self.pace);
            let mut has = lock(&self.has);
            if self.most.is_some_and(|most| has.len() >= most) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            has.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_slow_reader_gets_all_of_the_output() {
        let reader = Reader { pace: Duration::from_millis(600), ..Reader::default() };
        let mut agent = with_guest(|mut guest| {
            let id = guest.next().unwrap();
            guest.end_run(id, 3, 0);
            guest.stdout.write_all(b"abc").unwrap();
            guest.next();
        });
        agent.quiet_limit = Duration::from_millis(200);
        let exit = run_with(&mut agent, reader.clone(), io::sink()).unwrap();
        assert_eq!((exit.code(), &lock(&reader.has)[..]), (0, &b"abc"[..]));
    }

    #[test]
    fn output_that_does_not_come_is_not_waited_for_for_ever() {
        let mut agent = with_guest(|mut guest| {
            let id = guest.next().unwrap();
            guest.end_run(id, 3, 0);
            guest.next();
        });
        agent.quiet_limit = Duration::from_millis(200);
        let error = run_with(&mut agent, io::sink(), io::sink()).unwrap_err().to_string();
        assert!(error.contains("within 0.2 s: 3 bytes of output"), "{error}");
    }

    #[test]
    fn what_another_order_is_refused_is_not_the_answer() {
        let mut agent = with_guest(|mut guest| {
            let id = guest.next().unwrap();
            guest.refuse(2 * REMOTE_ORDERS);
            guest.say(&Report::Done { id, answer: Answer::Nothing });
            let id = guest.next().unwrap();
            guest.refuse(2 * REMOTE_ORDERS + 1);
            guest.end_run(id, 0, 0);
            let id = guest.next().unwrap();
            guest.refuse(id);
        });
        agent.ask(Ask::Devices, LIMIT).unwrap();
        assert_eq!(run_with(&mut agent, io::sink(), io::sink()).unwrap().code(), 0);
        let error = agent.ask(Ask::Devices, LIMIT).unwrap_err();
        assert!(matches!(error, AgentError::Refused { .. }), "{error}");
    }

    #[test]
    fn a_command_whose_output_nobody_reads_learns_of_it() {
        let (stdout, stderr) = (Reader { most: Some(1), ..Reader::default() }, Reader::default());
        let mut agent = with_guest(|mut guest| {
            let id = guest.next().unwrap();
            let mut sent = 0;
            while guest.stdout.write_all(b"y\n").is_ok() {
                sent += 2;
            }
            guest.stderr.write_all(b"why").unwrap();
            guest.end_run(id, sent, 3);
            guest.next();
        });
        let exit = run_with(&mut agent, stdout, stderr.clone()).unwrap();
        assert!(exit.nobody_reads && exit.code() == 141, "{exit:?}");
        assert_eq!(&lock(&stderr.has)[..], b"why");
    }
}
