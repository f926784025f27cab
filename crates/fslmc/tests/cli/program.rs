// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The program, started and watched.

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How long a program that boots a guest may take, where other tests have the processors too.
pub const LIMIT: Duration = Duration::from_secs(300);

/// The program under test, with the kernel's own driver where it is not told another. Whatever
/// these tests were started to ignore, as by nohup, it does not, and so can be interrupted.
pub fn fslmc(arguments: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/env");
    command.args(["--default-signal=HUP,INT,QUIT,TERM", env!("CARGO_BIN_EXE_fslmc")]);
    command.args(arguments).env("FSLMC_DRIVER", "stock");
    command
}

/// A process. Dropping it ends it.
pub struct Process(Child);

impl Process {
    /// Starts it.
    pub fn start(command: &mut Command) -> Result<Self> {
        command.spawn().context("starting fslmc").map(Self)
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }

    /// Waits for its end, not for ever.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.wait_for(LIMIT)
    }

    /// The same, for another time.
    pub fn wait_for(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            ensure!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already, as a rule.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that runs. Dropping it ends it.
pub struct Running {
    process: Process,
    stdout: Stream,
    stderr: Stream,
}

/// How it ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The exit code.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// Runs a program to its end, with `input` on its standard input.
pub fn run(command: &mut Command, input: &[u8]) -> Result<Ended> {
    let mut running = Running::start(command)?;
    let mut stdin = running.process.0.stdin.take().context("no standard input")?;
    let input = input.to_vec();
    // The program may end without reading it.
    thread::spawn(move || stdin.write_all(&input));
    running.wait()
}

/// The one of a program's streams that nobody reads.
pub enum Unread {
    Output,
    Errors,
}

/// Runs a program to its end; whoever read one of its streams is gone.
pub fn run_unread(command: &mut Command, unread: Unread) -> Result<Ended> {
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    match unread {
        Unread::Output => command.stdout(writer),
        Unread::Errors => command.stderr(writer),
    };
    Running::follow(Process::start(command)?).wait()
}

impl Running {
    /// Starts a program with pipes.
    pub fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Self::follow(Process::start(command)?))
    }

    /// Collects what a process says through the pipes that it has.
    fn follow(mut process: Process) -> Self {
        let stdout = process.0.stdout.take().map(Stream::follow).unwrap_or_default();
        let stderr = process.0.stderr.take().map(Stream::follow).unwrap_or_default();
        Self { process, stdout, stderr }
    }

    /// Waits until it has printed `text`.
    pub fn wait_for(&mut self, text: &str) -> Result<()> {
        self.wait_until(text, |running| &running.stdout)
    }

    /// Waits until it has printed `text` on standard error.
    pub fn wait_for_error(&mut self, text: &str) -> Result<()> {
        self.wait_until(text, |running| &running.stderr)
    }

    fn wait_until(&mut self, text: &str, stream: fn(&Self) -> &Stream) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while !stream(self).text().contains(text) {
            if let Some(status) = self.process.0.try_wait()? {
                bail!("it ended ({status}) before {text:?}: {}", self.stderr.text());
            }
            ensure!(Instant::now() < deadline, "{text:?} is not printed: {}", self.stderr.text());
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Time that all threads of the program, not those of its children, have had a
    /// processor.
    pub fn processor_time(&self) -> Result<Duration> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.0.id()))?;
        let of = |task: std::io::Result<fs::DirEntry>| {
            let times = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            times.split_whitespace().next()?.parse::<u64>().ok()
        };
        Ok(Duration::from_nanos(tasks.filter_map(of).sum()))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    fn pid(&self) -> Result<Pid> {
        Pid::from_raw(i32::try_from(self.process.0.id())?).context("no process id")
    }

    /// The QEMU process that it started.
    pub fn qemu(&self) -> Result<Pid> {
        let parent = self.process.0.id().to_string();
        for entry in fs::read_dir("/proc")?.flatten() {
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            // After the name in parentheses: state, parent.
            let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
            if rest.split(' ').nth(1) != Some(&parent) {
                continue;
            }
            let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&arguments).contains("qemu-system-aarch64") {
                let pid = entry.file_name().to_string_lossy().parse()?;
                return Pid::from_raw(pid).context("no process id");
            }
        }
        bail!("it has no QEMU");
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> Result<bool> {
        self.process.is_running()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Result<Ended> {
        let status = self.process.wait().with_context(|| {
            format!("it printed {} and {}", self.stdout.text(), self.stderr.text())
        })?;
        let (stdout, stderr) = (self.stdout.end()?, self.stderr.end()?);
        Ok(Ended { status, stdout, stderr })
    }
}

/// Waits until a process is gone; a zombie that nobody has waited for is.
pub fn wait_gone(pid: Pid) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        let alive =
            stat.is_ok_and(|s| !s.rsplit_once(") ").is_some_and(|(_, r)| r.starts_with('Z')));
        if !alive {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "process {} is still there", pid.as_raw_nonzero());
        thread::sleep(Duration::from_millis(20));
    }
}

#[derive(Default)]
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Stream {
    fn follow(mut from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = bytes.clone();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                let mut bytes = shared.lock().unwrap_or_else(PoisonError::into_inner);
                bytes.extend_from_slice(&buffer[..count]);
            }
        });
        Self { bytes, thread: Some(thread) }
    }

    fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn end(&mut self) -> Result<String> {
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
        }
        Ok(self.text())
    }
}
