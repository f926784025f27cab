// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! How a machine comes to life: sockets and files, QEMU, the functions'
//! addresses, and off it goes.

use std::any::Any;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vm_memory::MmapRegion;

use crate::arguments::{Arguments, Machine, PORTS, Paths};
use crate::config_space::{
    BAR0, COMMAND, COMMAND_MEMORY_MASTER, Interrupts, MSIX_CONTROL, MSIX_ENABLE,
};
use crate::console::Console;
use crate::device_tree::{MachineTree, Nodes};
use crate::error::{Report, VmError};
use crate::function::{Backplane, Function, Serving};
use crate::guest_ram::GuestRam;
use crate::hardware::Hardware;
use crate::interrupts::{Lines, Pin, Programmer, Vectors};
use crate::memory_map::{MAX_ICIDS, MC_PORTALS, QBMAN_MEMORY};
use crate::process::{Cause, Qemu, advice};
use crate::qmp::Qmp;
use crate::qtest::{Qtest, Store};
use crate::runtime_directory::RuntimeDirectory;
use crate::shared_memory::map_shared;
use crate::vm::{HostInterfaces, Platform, Ports, Vm, VmConfig};

/// How long QEMU may take to end when one of its connections has.
const FOLLOW_LIMIT: Duration = Duration::from_secs(2);

/// The kernel's command line, before what the caller adds. A panic resets the
/// machine at once, which ends it. The cipher implementations' self-tests would
/// be a fifth of an emulated boot. Linux's drivers have their old mappings taken out of the
/// SMMU in batches: else each frame waits for two or three answers of the SMMU's, which come
/// from another process here, and traffic has a twentieth of the speed. What user space maps
/// through VFIO is taken out at once all the same.
const APPEND: &str = "console=ttyAMA0 panic=-1 cryptomgr.notests iommu.strict=0";

/// What a board is connected to, made before the board.
pub struct BoardSide {
    vectors: Vec<Arc<Vectors>>,
    pin: Arc<Pin>,
    ram: Arc<GuestRam>,
    lines: Arc<Lines>,
    programmer: Programmer,
    portals: Arc<MmapRegion>,
    /// What `portals` maps, for QEMU to map too.
    portals_file: OwnedFd,
}

impl BoardSide {
    /// The connections of a board with the configured ICIDs.
    pub fn new(config: &VmConfig) -> Result<Self, VmError> {
        if config.icids == 0 || config.icids > MAX_ICIDS {
            return Err(VmError::Config(format!(
                "a machine has 1 to {MAX_ICIDS} ICIDs, not {}",
                config.icids
            )));
        }
        let (portals, portals_file) = portal_memory()
            .map_err(|e| VmError::Config(format!("no memory for the QBMan portals: {e}")))?;
        let vectors: Vec<Arc<Vectors>> = (0..config.icids).map(|_| Arc::default()).collect();
        let (pin, ram) = (Arc::<Pin>::default(), Arc::<GuestRam>::default());
        let (lines, programmer) =
            Lines::new(config.first_icid, vectors.clone(), pin.clone(), ram.clone());
        let (lines, portals) = (Arc::new(lines), Arc::new(portals));
        Ok(Self { vectors, pin, ram, lines, programmer, portals, portals_file })
    }

    /// The board's view of them.
    pub fn host_interfaces(&self) -> HostInterfaces {
        HostInterfaces {
            memory: self.ram.clone(),
            lines: self.lines.clone(),
            portals: self.portals.clone(),
        }
    }

    fn functions(&self) -> Result<Vec<Function>, VmError> {
        let mut functions = Function::icids(&self.vectors);
        functions.push(Function::smmu(self.pin.clone()));
        let file = self
            .portals_file
            .try_clone()
            .map_err(|e| VmError::Config(format!("no descriptor for the QBMan portals: {e}")))?;
        functions.push(Function::portals(file));
        Ok(functions)
    }
}

fn portal_memory() -> io::Result<(MmapRegion, OwnedFd)> {
    let file = memfd_create("qbman-portals", MemfdFlags::CLOEXEC)?;
    ftruncate(&file, QBMAN_MEMORY.size)?;
    let mapping = map_shared(File::from(file.try_clone()?), 0, QBMAN_MEMORY.size)?;
    Ok((mapping, file))
}

/// Starts a machine, with or without a board.
pub fn launch(
    mut config: VmConfig,
    platform: &Platform,
    board: Option<(BoardSide, Arc<dyn Hardware>)>,
) -> Result<Vm, VmError> {
    let start = Instant::now();
    check(&config, platform)?;
    let directory = RuntimeDirectory::new(config.runtime_parent.as_deref())?;
    let paths = Paths::new(directory.path().to_path_buf());
    let dump = Dump::start(&config.machine, platform, &paths)?;
    let listeners = Listeners::bind(&paths)?;
    let initramfs = std::mem::take(&mut config.initramfs);
    write(&paths.initramfs(), &initramfs)?;
    let console_file = config.console_file.as_deref().map(create).transpose()?;
    let mut tree = dump.finish(config.limit)?;
    let ecam = tree.ecam()?;
    tree.drop_layout_seed();
    if config.machine.virtio_pair {
        tree.add_virtio_bus()?;
    }
    let functions = match &board {
        Some((side, _)) => {
            tree.add_board(&nodes(&config))?;
            side.functions()?
        }
        None => vec![],
    };
    write(&paths.tree(), &tree.to_blob())?;

    let mut command = (platform.qemu)();
    let append = format!("{APPEND} {}", config.append);
    Arguments {
        machine: &config.machine,
        paths: &paths,
        kernel: &platform.kernel,
        append: append.trim_end(),
        functions: &functions,
        shared: config.shared.as_ref(),
        root: config.root.as_ref(),
        disks: &config.disks,
    }
    .add_to(&mut command);
    let set_up = SetUp { ecam, stores: set_up_stores(ecam, &functions) };
    let servers: Vec<PathBuf> = functions.iter().map(|function| paths.function(function)).collect();
    let (servings, board) = match board {
        None => (vec![], None),
        Some((side, hardware)) => {
            let backplane = Backplane { hardware, ram: side.ram };
            (serve(functions, &paths, &backplane)?, Some((side.lines, side.programmer)))
        }
    };
    let (lines, programmer) = board.unzip();

    tracing::debug!(elapsed = ?start.elapsed(), "starting QEMU");
    tracing::trace!(?command);
    let (qemu, watcher) = Qemu::spawn(command)?;
    config.stop.attach(&qemu);
    // From here on dropping the machine takes back what was done.
    let mut vm = Vm {
        qemu,
        console: Arc::new(Console::default()),
        ports: None,
        events: Mutex::new(None),
        reason: OnceLock::new(),
        lines,
        threads: vec![watcher],
        servers,
        stop: config.stop.clone(),
        directory,
    };
    let started =
        bring_up(&mut vm, &mut config, listeners, console_file, servings, programmer, set_up);
    started.map_err(|error| match error {
        // QEMU's own end explains a failed conversation better than the failure.
        VmError::Qtest(_) | VmError::Qmp(_) => vm.end_during_start(FOLLOW_LIMIT).unwrap_or(error),
        error => error,
    })?;
    tracing::debug!(elapsed = ?start.elapsed(), "the machine runs");
    Ok(vm)
}

fn check(config: &VmConfig, platform: &Platform) -> Result<(), VmError> {
    let readable = |path: &Path| {
        File::open(path).map(drop).map_err(|source| VmError::Read { path: path.into(), source })
    };
    readable(&platform.kernel)?;
    let directories = config.shared.iter().chain(&config.root).map(|directory| &directory.path);
    for path in directories.chain(config.disks.iter().map(|disk| &disk.path)) {
        readable(path)?;
    }
    if config.machine.cpus == 0 {
        return Err(VmError::Config("a machine needs at least one processor".into()));
    }
    if !config.machine.memory.is_multiple_of(2 << 20) || config.machine.memory < 128 << 20 {
        return Err(VmError::Config(format!(
            "{} bytes of memory: a machine needs 128 MiB or more, in multiples of 2 MiB",
            config.machine.memory
        )));
    }
    if !config.stop.begin() {
        return Err(VmError::Stopped);
    }
    Ok(())
}

fn nodes(config: &VmConfig) -> Nodes {
    Nodes {
        first_icid: config.first_icid,
        icids: config.icids,
        context_banks: config.context_banks,
        dpmacs: config.dpmacs.clone(),
    }
}

fn bring_up(
    vm: &mut Vm,
    config: &mut VmConfig,
    listeners: Listeners,
    console_file: Option<File>,
    servings: Vec<Serving>,
    programmer: Option<Programmer>,
    set_up: SetUp,
) -> Result<(), VmError> {
    for serving in servings {
        let name = serving.name().to_string();
        let thread = supervise(&vm.qemu, name, move || serving.run().map_err(|e| e.to_string()))?;
        vm.threads.push(thread);
    }
    let console = accept(vm, &listeners.console, "console", config.limit)?;
    let (log, hook) = (vm.console.clone(), config.console_hook.take());
    vm.threads.push(thread("console", move || log.follow(console, console_file, hook))?);
    let qmp = accept(vm, &listeners.qmp, "monitor", config.limit)?;
    vm.ports = Some(accept_ports(vm, &listeners.ports, config.limit)?);
    let qtest = match programmer {
        Some(programmer) => {
            Some((programmer, accept(vm, &listeners.qtest, "test socket", config.limit)?))
        }
        None => None,
    };
    let mut qmp = Qmp::new(qmp, config.limit)?;
    if let Some((programmer, stream)) = qtest {
        let mut qtest = Qtest::new(stream, config.limit)
            .map_err(|e| VmError::Config(format!("the test socket takes no time limit: {e}")))?;
        set_up.perform(&mut qtest)?;
        let work = move || programmer.run(qtest).map_err(|e| e.to_string());
        let thread = supervise(&vm.qemu, "interrupt programmer".into(), work)?;
        vm.threads.push(thread);
    }
    qmp.execute("cont")?;
    vm.events = Mutex::new(Some(thread("monitor", move || qmp.shutdown_reason())?));
    Ok(())
}

fn write(path: &Path, contents: &[u8]) -> Result<(), VmError> {
    fs::write(path, contents).map_err(|source| VmError::Write { path: path.into(), source })
}

fn create(path: &Path) -> Result<File, VmError> {
    File::create(path).map_err(|source| VmError::Write { path: path.into(), source })
}

/// QEMU writing its device tree, beside our other preparations.
struct Dump {
    qemu: Arc<Qemu>,
    watcher: JoinHandle<()>,
    output: PathBuf,
}

impl Dump {
    fn start(machine: &Machine, platform: &Platform, paths: &Paths) -> Result<Self, VmError> {
        let mut command: Command = (platform.qemu)();
        let output = paths.dumped_tree();
        machine.dump_device_tree(&mut command, &output);
        let (qemu, watcher) = Qemu::spawn(command)?;
        Ok(Self { qemu, watcher, output })
    }

    fn finish(self, limit: Duration) -> Result<MachineTree, VmError> {
        let report = || Report { stderr: self.qemu.stderr(), console: vec![] };
        let Some(exit) = self.qemu.wait(Some(limit)) else {
            self.qemu.end(Cause::Stopped);
            return Err(VmError::Timeout { limit, report: report() });
        };
        let _ = self.watcher.join();
        if !exit.success() {
            let report = Report { stderr: self.qemu.stderr(), console: vec![] };
            return Err(VmError::QemuDied {
                status: exit.to_string(),
                advice: advice(&report.stderr).into(),
                report,
            });
        }
        let blob = fs::read(&self.output)
            .map_err(|source| VmError::Read { path: self.output.clone(), source })?;
        Ok(MachineTree::read(&blob)?)
    }
}

/// The sockets that QEMU connects to, besides the functions'.
struct Listeners {
    qtest: UnixListener,
    qmp: UnixListener,
    console: UnixListener,
    ports: Vec<UnixListener>,
}

impl Listeners {
    fn bind(paths: &Paths) -> Result<Self, VmError> {
        Ok(Self {
            qtest: bind(paths.qtest())?,
            qmp: bind(paths.qmp())?,
            console: bind(paths.console())?,
            ports: PORTS.iter().map(|port| bind(paths.port(port))).collect::<Result<_, _>>()?,
        })
    }
}

fn bind(path: PathBuf) -> Result<UnixListener, VmError> {
    let bound = UnixListener::bind(&path)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    bound.map_err(|error| {
        let advice = match error.kind() {
            io::ErrorKind::InvalidInput => ": choose a shorter directory with XDG_RUNTIME_DIR",
            io::ErrorKind::AddrInUse => ": another program listens there",
            _ => "",
        };
        VmError::Socket { path, reason: format!("{error}{advice}") }
    })
}

fn serve(
    functions: Vec<Function>,
    paths: &Paths,
    backplane: &Backplane,
) -> Result<Vec<Serving>, VmError> {
    let listen = |function: Function| {
        let path = paths.function(&function);
        function
            .listen(&path, backplane.clone())
            .map_err(|error| VmError::Socket { path, reason: error.to_string() })
    };
    functions.into_iter().map(listen).collect()
}

/// Waits for QEMU's connection, its end, or the limit.
fn accept(
    vm: &Vm,
    listener: &UnixListener,
    what: &'static str,
    limit: Duration,
) -> Result<UnixStream, VmError> {
    let end = Instant::now() + limit;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                let blocking = stream.set_nonblocking(false).map(|()| stream);
                return blocking
                    .map_err(|e| VmError::Config(format!("QEMU's {what} cannot be used: {e}")));
            }
            Err(e)
                if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(e) => {
                return Err(VmError::Config(format!("QEMU's {what} cannot be accepted: {e}")));
            }
        }
        if let Some(error) = vm.end_during_start(Duration::ZERO) {
            return Err(error);
        }
        let Some(left) = end.checked_duration_since(Instant::now()) else {
            return Err(VmError::NotConnected { what, limit, report: vm.report() });
        };
        let mut fds = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::from_borrowed_fd(vm.qemu.as_fd(), PollFlags::IN),
        ];
        // The process descriptor tells the end a moment before its watcher
        // does, hence the short wait.
        let ended = poll(&mut fds, Timespec::try_from(left).ok().as_ref()).is_ok()
            && !fds[1].revents().is_empty();
        if ended
            && fds[0].revents().is_empty()
            && let Some(error) = vm.end_during_start(FOLLOW_LIMIT)
        {
            return Err(error);
        }
    }
}

fn accept_ports(vm: &Vm, listeners: &[UnixListener], limit: Duration) -> Result<Ports, VmError> {
    let mut streams =
        listeners.iter().map(|listener| accept(vm, listener, "virtio-serial port", limit));
    let mut next = || {
        streams
            .next()
            .unwrap_or_else(|| Err(VmError::Config("a virtio-serial port is missing".into())))
    };
    Ok(Ports { control: next()?, stdin: next()?, stdout: next()?, stderr: next()? })
}

fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, VmError> {
    let failed = |source| VmError::Thread { name: name.to_string(), source };
    // Linux keeps fifteen bytes of a thread's name.
    thread::Builder::new().name(name.chars().take(15).collect()).spawn(work).map_err(failed)
}

/// Runs what the machine cannot do without: its end ends the machine.
fn supervise(
    qemu: &Arc<Qemu>,
    name: String,
    work: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> Result<JoinHandle<()>, VmError> {
    let qemu = qemu.clone();
    let title = name.clone();
    thread(&title, move || {
        let (reason, limit) = match catch_unwind(AssertUnwindSafe(work)) {
            // Mostly because QEMU ends.
            Ok(Ok(())) => ("its connection is closed".to_string(), FOLLOW_LIMIT),
            Ok(Err(reason)) => (reason, FOLLOW_LIMIT),
            Err(panic) => (format!("it panicked: {}", panic_text(&*panic)), Duration::ZERO),
        };
        if qemu.wait(Some(limit)).is_none() {
            qemu.end(Cause::ServerDied { function: name, reason });
        }
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "for an unknown reason",
    }
}

/// Gives the functions their addresses, which no firmware and no PCI driver of
/// the guest's does.
struct SetUp {
    ecam: u64,
    stores: Vec<Store>,
}

impl SetUp {
    fn perform(&self, qtest: &mut Qtest) -> Result<(), VmError> {
        qtest.store(&self.stores)?;
        let at = register(self.ecam, crate::memory_map::requester_id(0), BAR0);
        let bar = qtest.load(at)?;
        if u64::from(bar) & !0xf != MC_PORTALS.base {
            return Err(VmError::Config(format!(
                "QEMU's PCI host at {:#x} does not take addresses: BAR 0 of the MC function reads {bar:#x}",
                self.ecam
            )));
        }
        Ok(())
    }
}

fn set_up_stores(ecam: u64, functions: &[Function]) -> Vec<Store> {
    functions.iter().flat_map(|function| function_stores(ecam, function)).collect()
}

fn function_stores(ecam: u64, function: &Function) -> Vec<Store> {
    let requester = u16::from(function.slot) * 8 + u16::from(function.number);
    let at = |offset| register(ecam, requester, offset);
    let bars = function.bars();
    let bars = bars
        .iter()
        .map(|(bar, area)| Store::Long(at(BAR0 + 4 * u16::from(*bar)), area.base as u32));
    let mut stores: Vec<Store> = bars.collect();
    stores.push(Store::Word(at(COMMAND), COMMAND_MEMORY_MASTER));
    if function.interrupts() == Interrupts::Msix {
        stores.push(Store::Word(at(MSIX_CONTROL), MSIX_ENABLE));
    }
    stores
}

/// Where the configuration space of a function on bus 0 has a register.
fn register(ecam: u64, requester: u16, offset: u16) -> u64 {
    ecam + (u64::from(requester) << 12) + u64::from(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_gets_bars_then_decoding_then_messages() {
        let functions = Function::icids(&[Arc::default(), Arc::default()]);
        let stores = set_up_stores(0x40_1000_0000, &functions);
        assert_eq!(
            stores,
            [
                Store::Long(0x40_1002_0010, 0x1000_0000),
                Store::Long(0x40_1002_0014, 0x1400_0000),
                Store::Long(0x40_1002_0020, 0x1600_0000),
                Store::Word(0x40_1002_0004, 6),
                Store::Word(0x40_1002_0042, 0x8000),
                Store::Long(0x40_1002_1020, 0x1601_0000),
                Store::Word(0x40_1002_1004, 6),
                Store::Word(0x40_1002_1042, 0x8000),
            ]
        );
        assert_eq!(set_up_stores(0, &[Function::smmu(Arc::default())]).len(), 2);
    }

    #[test]
    fn taken_and_long_socket_paths_are_explained() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("taken");
        let _listener = bind(path.clone()).unwrap();
        let error = bind(path.clone()).unwrap_err().to_string();
        assert!(error.contains("taken") && error.contains("another program"), "{error}");
        let error = bind(parent.path().join("x".repeat(120))).unwrap_err().to_string();
        assert!(error.contains("XDG_RUNTIME_DIR"), "{error}");
    }

    #[test]
    fn impossible_machines_are_refused() {
        let kernel = tempfile::NamedTempFile::new().unwrap();
        let platform = Platform {
            qemu: Box::new(|| Command::new("no-such-qemu")),
            kernel: kernel.path().into(),
        };
        let refused = |config: VmConfig| check(&config, &platform).unwrap_err().to_string();
        let machine = |cpus, memory| Machine { cpus, memory, ..Machine::default() };
        assert!(
            refused(VmConfig { machine: machine(0, 1 << 30), ..VmConfig::default() })
                .contains("processor")
        );
        assert!(
            refused(VmConfig { machine: machine(1, 1 << 20), ..VmConfig::default() })
                .contains("128 MiB")
        );
        let stopped = VmConfig::default();
        stopped.stop.stop();
        assert!(matches!(check(&stopped, &platform), Err(VmError::Stopped)));
        assert!(BoardSide::new(&VmConfig { icids: 0, ..VmConfig::default() }).is_err());
        assert!(BoardSide::new(&VmConfig { icids: MAX_ICIDS + 1, ..VmConfig::default() }).is_err());
        let platform = Platform { qemu: platform.qemu, kernel: "/no/such/kernel".into() };
        assert!(
            check(&VmConfig::default(), &platform)
                .unwrap_err()
                .to_string()
                .contains("/no/such/kernel")
        );
        // And a start that gets past that names the missing program.
        let platform = Platform { qemu: platform.qemu, kernel: kernel.path().into() };
        let error = Vm::start_bare(VmConfig::default(), &platform).err().unwrap().to_string();
        assert!(error.contains("no-such-qemu"), "{error}");
    }
}
