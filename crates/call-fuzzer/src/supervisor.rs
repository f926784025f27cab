// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The process that starts the workers, watches them and the kernel, and reports.
//! It makes none of the calls that are tested, so that it survives what they do.
//!
//! Children of workers that were killed become its own. Until they have ended, they use
//! the slots of children and hold files and memory: it waits for them as well, before
//! it starts other workers and before it says that a run is over.
#![allow(unsafe_code)]

use crate::caller::{Setup, mix};
use crate::kernel_log::KernelLog;
use crate::kind::Kind;
use crate::mode_lock::Mode;
use crate::report::Finding;
use crate::shared::{HELPER, SLOTS, Shared};
use crate::steps;
use crate::worker::{self, Identity};
use fsl_mc_linux::bus::{self, SYSFS, VFIO_DRIVER};
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How often the supervisor looks.
const LOOK: Duration = Duration::from_millis(20);
/// How often it says how far it has come.
const PROGRESS: Duration = Duration::from_secs(5);
/// Calls of each party that are reported with a finding.
const HISTORY: usize = 8;
/// How often the helper tries to start, and how long it waits in between.
const TRIES: u32 = 1000;
const TRY: Duration = Duration::from_millis(1);

/// How far a run goes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Calls to be made, about.
    pub calls: u64,
    /// Time to spend at most.
    pub time: Duration,
    /// How long a call, or the end of a process, may take.
    pub hang: Duration,
    /// How often the container is unbound and bound again.
    pub rebind: Option<Duration>,
}

struct Worker {
    id: i32,
    /// When it is to be killed.
    kill: Option<Instant>,
    /// Since when it has been ending.
    ending: Option<Instant>,
    killed: bool,
}

/// The helper that unbinds and binds.
struct Rebind {
    id: i32,
    /// When workers that hold the devices are killed.
    kill: Instant,
}

pub struct Supervisor<'a> {
    setup: &'a Setup,
    shared: &'static Shared,
    limits: Limits,
    container: String,
    workers: Vec<Option<Worker>>,
    generation: u64,
    random: fastrand::Rng,
    log: KernelLog,
    rebind: Option<Rebind>,
    rebound: Instant,
    /// Whether there was no child process at all when it looked last.
    alone: bool,
    /// Since when there is nobody but processes that workers have left behind.
    left: Option<Instant>,
    /// What each slot was doing when it was last seen doing something new.
    seen: Vec<(u64, Instant)>,
    started: Instant,
}

impl<'a> Supervisor<'a> {
    /// Opens the kernel's log.
    pub fn new(
        setup: &'a Setup,
        shared: &'static Shared,
        container: &str,
        limits: Limits,
    ) -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            setup,
            shared,
            limits,
            container: container.to_owned(),
            workers: (0..setup.processes).map(|_| None).collect(),
            generation: 0,
            random: fastrand::Rng::with_seed(mix(setup.seed, [u64::MAX; 3])),
            log: KernelLog::open()?,
            rebind: None,
            rebound: now,
            alone: true,
            left: None,
            seen: vec![(0, now); SLOTS],
            started: now,
        })
    }

    /// Runs to the end. A finding ends it early; it has been reported by then.
    pub fn run(&mut self) -> io::Result<Option<Finding>> {
        self.say(&format!("seed {} on {}", self.setup.seed, self.container));
        // Children whose parents were killed come here.
        // SAFETY: numbers only.
        unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
        let finding = self.watch()?;
        if let Some(finding) = &finding {
            self.report(finding);
        }
        self.end();
        Ok(finding)
    }

    /// How long it took.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn watch(&mut self) -> io::Result<Option<Finding>> {
        let mut said = Instant::now();
        let mut stopped = None;
        loop {
            if let Some(finding) = self.reap() {
                return Ok(Some(finding));
            }
            if let Some(complaint) = self.log.complaint() {
                return Ok(Some(Finding::Kernel(complaint)));
            }
            if let Some(finding) = self.hang() {
                return Ok(Some(finding));
            }
            let done = self.shared.calls() >= self.limits.calls
                || self.started.elapsed() >= self.limits.time;
            if done && stopped.is_none() {
                self.shared.stop.store(true, Relaxed);
                stopped = Some(Instant::now());
            }
            if stopped.is_none() {
                self.renew()?;
            } else if self.alone {
                // The kernel's last words come a little later.
                std::thread::sleep(LOOK);
                return Ok(self.log.complaint().map(Finding::Kernel));
            }
            self.kill_due();
            if said.elapsed() >= PROGRESS {
                said = Instant::now();
                self.progress();
            }
            std::thread::sleep(LOOK);
        }
    }

    fn say(&mut self, line: &str) {
        println!("{line}");
        self.log.say(line);
    }

    /// Seed, calls, and how far each thread is.
    fn progress(&mut self) {
        let calls = self.shared.calls();
        let seconds = self.started.elapsed().as_secs_f64();
        let mut line = format!(
            "seed {}: {calls} calls in {seconds:.0} s, {:.0}/s, process {}; at",
            self.setup.seed,
            calls as f64 / seconds.max(0.001),
            self.generation
        );
        for number in 0..SLOTS {
            let slot = &self.shared.slots[number];
            if slot.process.load(Relaxed) != 0 {
                line += &format!(" {}#{}", self.shared.name(number), slot.sequence());
            }
        }
        self.say(&line);
    }

    /// Starts what is missing: the helper, or a round of workers. Nothing as long as
    /// somebody is there whom a worker has left behind.
    fn renew(&mut self) -> io::Result<()> {
        if self.rebind.is_some() || self.left.is_some() {
            return Ok(());
        }
        if let Some(every) = self.limits.rebind {
            if self.rebound.elapsed() >= every {
                return self.start_rebind();
            }
        }
        // All end before the next ones start: now and then nobody has the group open.
        if self.alone {
            // A worker that is killed between waiting for its child and saying so leaves the
            // child's slot taken.
            (0..SLOTS).for_each(|number| self.shared.vacate(number));
            for index in 0..self.workers.len() {
                let worker = self.start_worker(index)?;
                self.workers[index] = Some(worker);
            }
        }
        Ok(())
    }

    fn start_worker(&mut self, index: usize) -> io::Result<Worker> {
        self.generation += 1;
        let identity = Identity { index, generation: self.generation };
        self.shared.processes[index].clear();
        let (setup, shared) = (self.setup, self.shared);
        let id = self.fork(|| match worker::live(setup, shared, identity) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("worker {index}: {error}");
                1
            }
        })?;
        // A few do not live as long as they would like to.
        let kill = (self.random.u32(..4) == 0)
            .then(|| Instant::now() + Duration::from_millis(self.random.u64(..2000)));
        Ok(Worker { id, kill, ending: None, killed: false })
    }

    /// Unbinds the container and binds it again, half the time while the workers have
    /// its devices open.
    fn start_rebind(&mut self) -> io::Result<()> {
        let idle = self.random.bool();
        if idle {
            for index in 0..self.workers.len() {
                self.kill(index);
            }
            if !self.alone {
                return Ok(());
            }
        }
        let (container, shared) = (self.container.clone(), self.shared);
        let id = self.fork(|| rebind(shared, &container))?;
        let kill = Instant::now() + Duration::from_millis(self.random.u64(..1500));
        self.rebind = Some(Rebind { id, kill });
        Ok(())
    }

    /// Runs `child` in a new process, and ends that with what it returns.
    fn fork(&mut self, child: impl FnOnce() -> i32) -> io::Result<i32> {
        let id = fork(child)?;
        self.alone = false;
        Ok(id)
    }

    fn kill(&mut self, index: usize) {
        if let Some(worker) = self.workers[index].as_mut().filter(|worker| !worker.killed) {
            worker.killed = true;
            worker.ending.get_or_insert_with(Instant::now);
            // SAFETY: numbers only; the process is a child that was not waited for yet.
            unsafe { libc::kill(worker.id, libc::SIGKILL) };
        }
    }

    fn kill_due(&mut self) {
        let now = Instant::now();
        let unbinding = self.rebind.as_ref().is_some_and(|rebind| rebind.kill <= now);
        for index in 0..self.workers.len() {
            let Some(worker) = &mut self.workers[index] else { continue };
            if self.shared.processes[index].ending.load(Relaxed) || self.shared.stop.load(Relaxed) {
                worker.ending.get_or_insert(now);
            }
            if unbinding || worker.kill.is_some_and(|at| at <= now) {
                self.kill(index);
            }
        }
    }

    /// Collects processes that have ended, and notes whether any are left.
    fn reap(&mut self) -> Option<Finding> {
        loop {
            let mut status = 0;
            // SAFETY: `status` is a live number.
            let id = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
            if id <= 0 {
                let error = io::Error::last_os_error();
                self.alone = id < 0 && error.raw_os_error() == Some(libc::ECHILD);
                return None;
            }
            for number in 0..SLOTS {
                if self.shared.slots[number].process.load(Relaxed) == id {
                    self.shared.vacate(number);
                }
            }
            if self.rebind.as_ref().is_some_and(|rebind| rebind.id == id) {
                self.rebind = None;
                self.rebound = Instant::now();
                self.shared.facts.iter().for_each(|facts| facts.known.store(false, Relaxed));
                if !libc::WIFEXITED(status) || libc::WEXITSTATUS(status) != 0 {
                    return Some(Finding::Died(format!(
                        "unbind or bind of {} is refused",
                        self.container
                    )));
                }
                continue;
            }
            let of_worker = |worker: &Option<Worker>| worker.as_ref().is_some_and(|w| w.id == id);
            let Some(index) = self.workers.iter().position(of_worker) else { continue };
            let killed = self.workers[index].take().is_some_and(|worker| worker.killed);
            self.shared.processes[index].clear();
            if libc::WIFSIGNALED(status) {
                let signal = libc::WTERMSIG(status);
                if !(killed && signal == libc::SIGKILL) {
                    // An oops kills like this: what the kernel says is the better story.
                    std::thread::sleep(LOOK);
                    return Some(match self.log.complaint() {
                        Some(complaint) => Finding::Kernel(complaint),
                        None => Finding::Died(format!("worker {index} of signal {signal}")),
                    });
                }
            } else if libc::WEXITSTATUS(status) != 0 {
                return Some(Finding::Died(format!(
                    "worker {index} with exit code {}",
                    libc::WEXITSTATUS(status)
                )));
            }
        }
    }

    /// A call that does not return, or a process that does not end.
    fn hang(&mut self) -> Option<Finding> {
        let now = Instant::now();
        for (number, slot) in self.shared.slots.iter().enumerate() {
            let sequence = slot.sequence();
            let (before, since) = self.seen[number];
            if !slot.is_busy() || sequence != before {
                self.seen[number] = (sequence, now);
            } else if now.duration_since(since) >= self.limits.hang {
                let process = slot.process.load(Relaxed);
                return Some(Finding::Hang(format!(
                    "{} for {} s: {}{}",
                    self.shared.name(number),
                    self.limits.hang.as_secs(),
                    slot.history(1).join(""),
                    stacks(process)
                )));
            }
        }
        // A call that hangs is the better story: it gets a little longer.
        let patience = self.limits.hang + Duration::from_secs(3);
        for worker in self.workers.iter().flatten() {
            if worker.ending.is_some_and(|since| now.duration_since(since) >= patience) {
                return Some(Finding::Hang(format!(
                    "process {} does not end{}",
                    worker.id,
                    stacks(worker.id)
                )));
            }
        }
        let has_others = self.rebind.is_some() || self.workers.iter().any(Option::is_some);
        if self.alone || has_others {
            self.left = None;
        } else if now.duration_since(*self.left.get_or_insert(now)) >= patience {
            return Some(Finding::Hang(format!(
                "a process that a worker has left behind has not ended in {} s{}",
                patience.as_secs(),
                self.left_behind()
            )));
        }
        None
    }

    /// Where the processes are that workers have left behind, as far as slots name them.
    fn left_behind(&self) -> String {
        let mut text = String::new();
        for (number, slot) in self.shared.slots.iter().enumerate() {
            let process = slot.process.load(Relaxed);
            if process != 0 {
                let last = slot.history(1).join("");
                let name = self.shared.name(number);
                text += &format!("\n{name}, process {process}: {last}{}", stacks(process));
            }
        }
        if text.is_empty() { "; no slot says which".into() } else { text }
    }

    /// Tells a finding, and what everybody did before it.
    fn report(&mut self, finding: &Finding) {
        let mut lines = vec![
            format!("finding with seed {}: {finding}", self.setup.seed),
            format!("after {} calls, in process {}", self.shared.calls(), self.generation),
        ];
        // A child whose call ended it may be gone by now, its parent having waited for it.
        let there =
            |slot: &crate::shared::Slot| slot.process.load(Relaxed) != 0 || slot.is_in_call();
        let mut parties: Vec<_> =
            self.shared.slots.iter().enumerate().filter(|(_, slot)| there(slot)).collect();
        // Those that are in a call first: the console may not get further.
        parties.sort_by_key(|(_, slot)| (!slot.is_busy(), !slot.is_in_call()));
        for (number, slot) in parties {
            lines.push(format!("last calls of {}:", self.shared.name(number)));
            lines.extend(slot.history(HISTORY).into_iter().map(|call| format!("  {call}")));
        }
        for line in lines.iter().flat_map(|line| line.lines()) {
            eprintln!("{line}");
            self.log.say(line);
        }
    }

    /// Ends all processes and waits for them, and for their children; those that the
    /// kernel does not let end are left behind.
    fn end(&mut self) {
        self.shared.stop.store(true, Relaxed);
        for index in 0..self.workers.len() {
            self.kill(index);
        }
        let limit = Instant::now() + Duration::from_secs(3);
        while !self.alone && Instant::now() < limit {
            // What is found now comes of the end.
            let _ = self.reap();
            std::thread::sleep(LOOK);
        }
    }
}

/// Where the threads of a process are in the kernel.
fn stacks(process: i32) -> String {
    let mut text = String::new();
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return text };
    for thread in threads.flatten() {
        let stack = std::fs::read_to_string(thread.path().join("stack")).unwrap_or_default();
        let name = thread.file_name();
        text += &format!("\nthread {} is at\n{stack}", name.to_string_lossy());
    }
    text
}

/// Forks; the child ends with what `child` returns.
fn fork(child: impl FnOnce() -> i32) -> io::Result<i32> {
    // SAFETY: the supervisor has one thread, so that the child finds no lock held by
    // threads that it does not have.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: numbers only.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(101);
            if code == 0 {
                steps::leave()
            }
            // SAFETY: ends this process.
            unsafe { libc::_exit(code) }
        }
        id if id > 0 => Ok(id),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The helper's life.
fn rebind(shared: &'static Shared, container: &str) -> i32 {
    shared.slots[HELPER].try_lock();
    // Unbinding takes the group from its VFIO container. Where no moment is found for it,
    // the device stays bound until the next time.
    let unbound = (0..TRIES).find_map(|_| {
        let unbind = || counted(shared, Kind::Unbind, || SYSFS.unbind_from(container, VFIO_DRIVER));
        let unbound = shared.iommu_lock.try_with(HELPER, Mode::Change, unbind);
        if unbound.is_none() {
            std::thread::sleep(TRY);
        }
        unbound
    });
    let bind = || counted(shared, Kind::Bind, || SYSFS.bind(container, VFIO_DRIVER));
    match unbound.map_or(Ok(()), |unbound| unbound.and_then(|()| bind())) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

/// Counts a step of the helper as a call.
fn counted(
    shared: &Shared,
    kind: Kind,
    work: impl FnOnce() -> Result<(), bus::Error>,
) -> Result<(), bus::Error> {
    let slot = &shared.slots[HELPER];
    slot.start(kind, [0; 6]);
    let done = work();
    let errno = match &done {
        Ok(()) => 0,
        Err(error) => error.errno.map_or(libc::EIO, |errno| errno.raw_os_error()),
    };
    slot.end(kind, -i64::from(errno));
    done
}
