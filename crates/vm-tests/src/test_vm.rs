// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A machine to be tested.

use crate::{
    complaints,
    line_session::{LineSession, Lines},
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use board::{
    Board,
    dpl::{Dpl, Loader},
};
use board_qemu::{Console, SharedDirectory, StopHandle};
use fslmc::{
    agent::Streams,
    artifacts::{Artifacts, Driver},
    kernel::KernelChoice,
    machine::{Machine, Options},
    root::Root,
    session,
};
use guest_protocol::{Answer, Ask, BusDevice, Run, Status};
use setup::{DEFAULT_SUITE, Userland};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// How long Linux may take to notice a change of the board.
const PATIENCE: Duration = Duration::from_secs(15);

/// The packages of programs that tests run in the guest.
const GUEST_PACKAGES: [&str; 5] =
    ["vfio-fsl-mc-conformance", "call-fuzzer", "mc-attack", "rings-attack", fslmc::nested::VMM];

/// The packages that tests use in the guest; one list, so that there is one image.
pub const PACKAGES: [&str; 5] = ["dpdk", "ethtool", "iperf3", "iproute2", "tcpdump"];

/// How long a guest may take to answer that is likely not well.
const ANSWER: Duration = Duration::from_secs(5);

/// By what times are multiplied: `FSLMC_PATIENCE`, for kernels that are slow because they
/// watch themselves. 1 where it is not set to a number above.
pub fn patience() -> u32 {
    let set = std::env::var("FSLMC_PATIENCE").ok().and_then(|text| text.parse().ok());
    set.unwrap_or(1).max(1)
}

/// Says what a kernel that watches itself has found by the end and does not print: lockdep
/// sees nothing after its first alarm, and kmemleak looks when it is asked. The first scan
/// may come too early for what is being freed.
const FINDINGS: &str = "
    mount -t debugfs none /sys/kernel/debug 2> /dev/null
    if [ -e /proc/lockdep_stats ] && ! grep -q 'debug_locks: *1$' /proc/lockdep_stats; then
        echo 'lockdep has switched itself off'
    fi
    leaks=/sys/kernel/debug/kmemleak
    if [ -e $leaks ]; then
        echo scan > $leaks; sleep 6; echo scan > $leaks; cat $leaks
    fi
    true";

/// The artifacts, set up once for all tests of a run, without the driver in Rust.
pub fn artifacts() -> Result<&'static Artifacts> {
    artifacts_with(Driver::Stock)
}

/// The artifacts for machines with a certain driver.
pub fn artifacts_with(driver: Driver) -> Result<&'static Artifacts> {
    artifacts_of(&KernelChoice::from_env()?, driver)
}

/// The artifacts for machines with a certain kernel and driver.
pub fn artifacts_of(kernel: &KernelChoice, driver: Driver) -> Result<&'static Artifacts> {
    type Prepared = (KernelChoice, bool, Result<&'static Artifacts, String>);
    static PREPARED: Mutex<Vec<Prepared>> = Mutex::new(Vec::new());
    let mut prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner);
    let with_rust = driver == Driver::Rust;
    let known = prepared.iter().position(|(k, rust, _)| k == kernel && *rust == with_rust);
    let at = known.unwrap_or_else(|| {
        let artifacts = Artifacts::with_kernel(kernel, driver, &*fslmc::progress());
        // As many as there are kernels and drivers; they serve all tests of the run.
        let artifacts = artifacts.map(|artifacts| &*Box::leak(Box::new(artifacts)));
        let artifacts = artifacts.map_err(|error| format!("{:?}", miette_text(&error)));
        prepared.push((kernel.clone(), with_rust, artifacts));
        prepared.len() - 1
    });
    prepared[at].2.as_ref().copied().map_err(|error| anyhow!("setting up: {error}"))
}

/// Builds what tests run in the guest besides the agent, once for all tests of a run and
/// in one call of cargo, and gives the folder that holds it.
pub fn guest_programs() -> Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let packages = &artifacts().map_err(|error| format!("{error:#}"))?.packages;
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        setup::build_guest_programs(&workspace, packages, &GUEST_PACKAGES)
            .map_err(|error| miette_text(&error))
    });
    built.as_deref().map_err(|error| anyhow!("building the guest's programs: {error}"))
}

fn miette_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A layout that comes with the project.
pub fn layout(name: &str) -> Result<Dpl> {
    let found = board::dpl::layouts::find(name).with_context(|| format!("no layout {name}"))?;
    let artifacts = artifacts()?;
    let dtc = || session::dtc(&artifacts.packages);
    Ok(Loader::new(&dtc).source(found.name, found.source)?.into_dpl()?)
}

/// A layout in a file.
pub fn layout_of(file: &Path) -> Result<Dpl> {
    let artifacts = artifacts()?;
    let dtc = || session::dtc(&artifacts.packages);
    Ok(Loader::new(&dtc).file(file)?.into_dpl()?)
}

/// What a machine to be tested is like.
pub struct TestVmBuilder {
    options: Options,
    kernel: Option<KernelChoice>,
    packages: Option<Userland>,
    limit: Duration,
    expected: Vec<&'static str>,
}

/// A machine to be tested. It is stopped when its time is over.
pub struct TestVm {
    machine: Option<Machine>,
    /// Stays when the machine is off.
    console: Arc<Console>,
    expected: Vec<&'static str>,
    /// The kernel may be one that watches itself.
    is_other_kernel: bool,
    overdue: Arc<AtomicBool>,
    limit: Duration,
    // Ends the watchdog when it is dropped.
    _alive: mpsc::Sender<()>,
}

/// What came of a command in the guest.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit code as a shell reports it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl TestVm {
    /// A machine with a layout that comes with the project.
    pub fn with(name: &str) -> Result<TestVmBuilder> {
        Ok(Self::with_layout(layout(name)?))
    }

    /// A machine with any layout.
    pub fn with_layout(layout: Dpl) -> TestVmBuilder {
        TestVmBuilder {
            options: Options::new(layout),
            kernel: None,
            packages: None,
            limit: Duration::from_secs(120),
            expected: Vec::new(),
        }
    }
}

impl TestVmBuilder {
    /// Changes anything about the machine.
    #[must_use]
    pub fn options(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    /// Which vfio-fsl-mc the guest loads when it needs one; the stock one where
    /// nothing is said. With [`Driver::Rust`], the image has both: see
    /// [`fslmc::image::STOCK_DRIVER`] and [`fslmc::image::RUST_DRIVER`].
    #[must_use]
    pub fn driver(mut self, driver: Driver) -> Self {
        self.options.driver = driver;
        self
    }

    /// Another time limit than two minutes, from boot to power-off.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// A known complaint of the kernel's, by a part of its line.
    #[must_use]
    pub fn expect_complaint(mut self, part: &'static str) -> Self {
        self.expected.push(part);
        self
    }

    /// Another kernel than the one of the environment (`FSLMC_KERNEL`), or the board's.
    #[must_use]
    pub fn kernel(mut self, kernel: KernelChoice) -> Self {
        self.kernel = Some(kernel);
        self
    }

    /// A guest with [`PACKAGES`] instead of busybox alone.
    ///
    /// # Errors
    /// Those of [`Userland::new`].
    pub fn with_packages(self) -> Result<Self> {
        let packages = Userland::new(&PACKAGES, DEFAULT_SUITE)?;
        Ok(Self { packages: Some(packages), ..self })
    }

    /// Huge pages of 2 MiB.
    #[must_use]
    pub fn hugepages(mut self, pages: u64) -> Self {
        self.options.hugepages = pages;
        self
    }

    /// A directory that the guest sees at `/host`.
    #[must_use]
    pub fn share(mut self, path: &Path) -> Self {
        self.options.shared = Some(SharedDirectory { path: path.into(), read_only: false });
        self
    }

    /// Boots the machine, runs `test`, switches the machine off and looks at
    /// its console. When anything of that fails, the error carries the console.
    pub fn run(self, test: impl FnOnce(&mut TestVm) -> Result<()>) -> Result<()> {
        let mut vm = self.boot()?;
        let outcome = test(&mut vm).and_then(|()| vm.finish());
        outcome.map_err(|error| vm.explain(&error))
    }

    fn boot(mut self) -> Result<TestVm> {
        let kernel = self.kernel.map_or_else(KernelChoice::from_env, Ok)?;
        let artifacts = artifacts_of(&kernel, self.options.driver)?;
        if let Some(packages) = &self.packages {
            let root = Root::of_packages(artifacts, packages, &*fslmc::progress())?;
            self.options.root = Some(Arc::new(root));
        }
        // Not before: what is fetched and built on the way takes its time, for this test or,
        // under the lock, for another.
        let overdue = Arc::new(AtomicBool::new(false));
        let (alive, ended) = mpsc::channel();
        self.limit = self.limit.saturating_mul(patience());
        let (stop, flag, limit) = (StopHandle::new(), overdue.clone(), self.limit);
        self.options.stop = stop.clone();
        thread::spawn(move || {
            if ended.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                flag.store(true, Ordering::Release);
                stop.stop();
            }
        });
        let machine = Machine::start(artifacts, self.options)
            .map_err(|error| anyhow!("{}{}", miette_text(&error), help(&error)))?;
        let (expected, limit) = (self.expected, self.limit);
        let is_other_kernel = kernel != KernelChoice::Board;
        let console = machine.vm().console().clone();
        let machine = Some(machine);
        Ok(TestVm { machine, console, expected, is_other_kernel, overdue, limit, _alive: alive })
    }
}

fn help(error: &dyn miette::Diagnostic) -> String {
    error.help().map(|help| format!("\n{help}")).unwrap_or_default()
}

impl TestVm {
    /// The machine.
    pub fn machine(&mut self) -> Result<&mut Machine> {
        self.machine.as_mut().context("the machine is off")
    }

    /// Runs a shell command; any exit code is fine.
    pub fn try_sh(&mut self, script: &str) -> Result<Output> {
        self.command(&["sh", "-c", script], &[])
    }

    /// Runs a shell command that must succeed; returns its output.
    pub fn sh(&mut self, script: &str) -> Result<String> {
        self.succeed("sh", "", script)
    }

    /// Runs a script by a shell, behind functions that it uses; it must succeed.
    pub(crate) fn succeed(&mut self, shell: &str, words: &str, script: &str) -> Result<String> {
        let output = self.command(&[shell, "-c", &format!("{words}{script}")], &[])?;
        ensure!(
            output.code == 0,
            "`{script}` exits with {}\nstdout: {}\nstderr: {}",
            output.code,
            output.stdout,
            output.stderr
        );
        Ok(output.stdout)
    }

    /// Runs any command with standard input.
    pub fn command(&mut self, argv: &[&str], stdin: &[u8]) -> Result<Output> {
        let (stdout, stderr) = (Shared::default(), Shared::default());
        let streams = Streams {
            stdin: Box::new(io::Cursor::new(stdin.to_vec())),
            stdout: Box::new(stdout.clone()),
            stderr: Box::new(stderr.clone()),
        };
        let code = self.run_command(argv, streams)?;
        Ok(Output { code, stdout: stdout.text(), stderr: stderr.text() })
    }

    /// Runs a program that answers each line of its standard input with a line, for the
    /// time of `converse`. The program must exit with 0 when its input ends.
    pub fn session<T>(
        &mut self,
        argv: &[&str],
        converse: impl FnOnce(&mut LineSession) -> Result<T>,
    ) -> Result<T> {
        let (stdin, answers) = (io::pipe()?, mpsc::channel());
        let stderr = Shared::default();
        let streams = Streams {
            stdin: Box::new(stdin.0),
            stdout: Box::new(Lines::new(answers.0)),
            stderr: Box::new(stderr.clone()),
        };
        let (near, errors) = (LineSession::new(stdin.1, answers.1), stderr.clone());
        thread::scope(|scope| {
            let program = scope.spawn(|| self.run_command(argv, streams));
            let mut near = near;
            let outcome = converse(&mut near);
            // Ends the program's input.
            drop(near);
            let code = program.join().map_err(|_| anyhow!("the program's thread panicked"))?;
            let outcome = outcome.with_context(|| format!("stderr: {}", errors.text()))?;
            let code = code?;
            ensure!(code == 0, "{argv:?} exits with {code}: {}", errors.text());
            Ok(outcome)
        })
    }

    /// Runs a command to its end; returns its exit code.
    fn run_command(&mut self, argv: &[&str], streams: Streams) -> Result<i32> {
        let run = Run {
            argv: argv.iter().map(ToString::to_string).collect(),
            cwd: None,
            env: Vec::new(),
            terminal: None,
        };
        let limit = self.limit;
        let machine = self.machine()?;
        let exit = machine.agent().run(run, streams, Some(limit));
        let exit = exit.map_err(|e| anyhow!("{}", miette_text(&machine.explain(e))))?;
        if let Status::NotStarted { reason, .. } = &exit.status {
            bail!("{reason}");
        }
        Ok(exit.status.exit_code())
    }

    /// The board, to look at and to provoke.
    pub fn board(&mut self) -> Result<Arc<Board>> {
        Ok(self.machine()?.board().clone())
    }

    /// Isolation id of a container.
    pub fn icid(&mut self, container: &str) -> Result<u16> {
        let inventory = self.board()?.mc().inventory();
        let found = inventory.containers.iter().find(|c| c.id.to_string() == container);
        Ok(found.with_context(|| format!("the MC has no {container}"))?.icid)
    }

    /// Waits until a device of the bus is as wanted; `None` stands for its absence.
    pub fn wait_for_device(
        &mut self,
        name: &str,
        wanted: impl Fn(Option<&BusDevice>) -> bool,
    ) -> Result<()> {
        self.wait_for_devices(|devices| {
            let device = devices.iter().find(|device| device.name == name);
            ensure!(wanted(device), "{name} stays {device:?}");
            Ok(())
        })
    }

    /// Waits until the devices of the bus are as `check` wants them: Linux hears of
    /// changes by interrupts, and a scan of its that meets another change is put right by
    /// the next one.
    pub fn wait_for_devices(&mut self, check: impl Fn(&[BusDevice]) -> Result<()>) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            match check(&self.devices()?) {
                Err(_) if Instant::now() < end => thread::sleep(Duration::from_millis(50)),
                outcome => return outcome,
            }
        }
    }

    /// The devices of the bus.
    pub fn devices(&mut self) -> Result<Vec<BusDevice>> {
        match self.ask(Ask::Devices)? {
            Answer::Devices(devices) => Ok(devices),
            other => bail!("asked for devices, got {other:?}"),
        }
    }

    /// Asks the agent for something.
    pub fn ask(&mut self, ask: Ask) -> Result<Answer> {
        self.machine()?.ask(ask).map_err(|e| anyhow!("{}{}", miette_text(&e), help(&e)))
    }

    /// Loads modules.
    pub fn load(&mut self, names: &[&str]) -> Result<()> {
        self.machine()?.load(names).map_err(|e| anyhow!("{}{}", miette_text(&e), help(&e)))
    }

    /// Binds containers to vfio-fsl-mc.
    pub fn bind(&mut self, containers: &[&str]) -> Result<()> {
        let containers: Vec<String> = containers.iter().map(ToString::to_string).collect();
        let machine = self.machine()?;
        machine.bind(&containers).map_err(|e| anyhow!("{}{}", miette_text(&e), help(&e)))
    }

    /// What the console has printed.
    pub fn console(&mut self) -> Result<Vec<String>> {
        Ok(self.console.lines())
    }

    fn finish(&mut self) -> Result<()> {
        if self.is_other_kernel {
            let found = self.sh(FINDINGS)?;
            ensure!(found.is_empty(), "the kernel has found:\n{found}");
        }
        let Answer::KernelLog(log) = self.ask(Ask::Dmesg { after: None })? else {
            bail!("asked for the kernel's log, got something else");
        };
        let mut lines: Vec<String> = log.into_iter().map(|message| message.text).collect();
        let machine = self.machine.take().context("the machine is off")?;
        machine.power_off().map_err(|e| anyhow!("{}{}", miette_text(&e), help(&e)))?;
        lines.extend(self.console.lines());
        let complaints = complaints(&lines, &self.expected);
        let Some(first) = complaints.first() else { return Ok(()) };
        let at = lines.iter().position(|line| line == first).unwrap_or_default();
        let around = &lines[at.saturating_sub(24)..lines.len().min(at + 24)];
        bail!("the kernel complains:\n{}\nfirst:\n{}", complaints.join("\n"), around.join("\n"))
    }

    fn explain(&mut self, error: &anyhow::Error) -> anyhow::Error {
        let late = if self.overdue.load(Ordering::Acquire) {
            format!("stopped after {} s\n", self.limit.as_secs())
        } else {
            String::new()
        };
        let console = self.console.lines().join("\n");
        let log = self.last_messages(40).join("\n");
        anyhow!(
            "{late}{error:#}\n--- console ---\n{console}\n--- kernel log ends with ---\n{log}\n---"
        )
    }

    /// The end of the kernel's log, which has more than the console; nothing where
    /// the guest no longer answers.
    fn last_messages(&mut self, count: usize) -> Vec<String> {
        let answer = self.machine().map(|m| m.agent().ask(Ask::Dmesg { after: None }, ANSWER));
        let Ok(Ok(Answer::KernelLog(log))) = answer else { return Vec::new() };
        let skipped = log.len().saturating_sub(count);
        log.into_iter().skip(skipped).map(|message| message.text).collect()
    }
}

/// Output that is kept.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Shared {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
