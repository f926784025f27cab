// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A machine with a board, booted, its agent ready for orders.

use crate::{
    agent::{Agent, AgentError, Hello, Ports, Step},
    artifacts::{Artifacts, ArtifactsError, Driver},
    control::Control,
    image::{self, Image, ImageError},
    root::Root,
    trace::Trace,
};
use board::{
    Board, BoardConfig, Soc,
    dpl::{Dpc, Dpl, Loader},
    faults::Faults,
    host::Host,
    mc,
};
use board_qemu::{
    LineHook, Platform, SHARED_TAG, SharedDirectory, StopHandle, Vm, VmConfig, VmError,
};
use guest_protocol::{Ask, ModuleChoice, module_list::ModuleList};
use std::{
    ffi::OsString,
    path::PathBuf,
    process::Command,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};
use wires::{CaptureError, CaptureSpec, Captures, Network, WireError, WireSpec};

/// Where the guest sees the shared directory.
pub const SHARED_PATH: &str = "/host";

/// How long a boot may take, with a busy host in mind.
pub const BOOT_LIMIT: Duration = Duration::from_secs(120);
/// How long an order may take that only changes the guest's configuration.
pub const ORDER_LIMIT: Duration = Duration::from_secs(60);

/// What a machine is like.
pub struct Options {
    /// The chip.
    pub soc: Soc,
    /// Processors, memory, model.
    pub machine: board_qemu::Machine,
    /// Containers and objects.
    pub layout: Dpl,
    /// Ports.
    pub ports: Option<Dpc>,
    /// Most containers at once.
    pub containers: u16,
    /// What the Ethernet ports are connected to; one without a wire has no link.
    pub wires: Vec<WireSpec>,
    /// Frames that are written to files.
    pub captures: Vec<CaptureSpec>,
    /// Whether the MC has the faults of its firmware: [`mc::Config::quirks`].
    pub quirks: bool,
    /// Delays and faults.
    pub faults: Faults,
    /// Receives a record of each MC command.
    pub tracer: Option<mc::Tracer>,
    /// The trace that `tracer` belongs to, if it is one's; complete once the machine has ended.
    pub trace: Option<Trace>,
    /// Added to the kernel's command line.
    pub append: String,
    /// A directory that the guest sees.
    pub shared: Option<SharedDirectory>,
    /// The guest's root file system; busybox and the agent where there is none.
    pub root: Option<Arc<Root>>,
    /// Huge pages of 2 MiB that the guest reserves.
    pub hugepages: u64,
    /// Which vfio-fsl-mc the machine gets when it asks for it.
    pub driver: Driver,
    /// Modules for the image beyond the usual ones.
    pub modules: Vec<String>,
    /// Receives all that the console prints.
    pub console_file: Option<PathBuf>,
    /// Called with each console line.
    pub console_hook: Option<LineHook>,
    /// Stops the machine from elsewhere.
    pub stop: StopHandle,
    /// Told each step that the agent reports.
    pub watch: Box<dyn FnMut(&Step) + Send>,
}

impl Options {
    /// The usual machine with a layout, and with the driver that is always there: the
    /// stock one.
    pub fn new(layout: Dpl) -> Self {
        Self {
            soc: Soc::default(),
            machine: board_qemu::Machine::default(),
            layout,
            ports: None,
            containers: mc::Config::default().icids,
            wires: Vec::new(),
            captures: Vec::new(),
            quirks: true,
            faults: Faults::default(),
            tracer: None,
            trace: None,
            append: String::new(),
            shared: None,
            root: None,
            hugepages: 0,
            driver: Driver::Stock,
            modules: Vec::new(),
            console_file: None,
            console_hook: None,
            stop: StopHandle::new(),
            watch: Box::new(|_| ()),
        }
    }
}

/// Why there is no machine.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum MachineError {
    /// A file is missing.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Artifacts(#[from] ArtifactsError),
    /// The guest's file system cannot be made.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Image(#[from] ImageError),
    /// A wire cannot be plugged in.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Frames cannot be captured.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// A wire for a port that is not there.
    #[error("the layout has no dpmac.{port} to plug a wire into")]
    #[diagnostic(help("{}", port_advice(.ports, *.port)))]
    NoPort {
        /// Number of the port.
        port: u32,
        /// Numbers of those that are there.
        ports: Vec<u32>,
    },
    /// QEMU or the board failed.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// The agent does not do what it should.
    #[error("{error}")]
    #[diagnostic(help("{}", advice(.error, .console)))]
    Agent {
        /// What is wrong.
        error: AgentError,
        /// The last lines of the guest's console.
        console: Vec<String>,
    },
}

fn advice(error: &AgentError, console: &[String]) -> String {
    let own = miette::Diagnostic::help(error).map(|h| h.to_string()).unwrap_or_default();
    if matches!(error, AgentError::Refused { .. }) || console.is_empty() {
        return own;
    }
    format!("the guest's console ends with\n{}", console.join("\n"))
}

fn port_advice(ports: &[u32], missing: u32) -> String {
    if ports.is_empty() {
        return format!("it has no ports at all: add dpmac@{missing} to its objects");
    }
    let ports: Vec<String> = ports.iter().map(|port| format!("dpmac.{port}")).collect();
    format!("it has {}", ports.join(", "))
}

/// A booted machine. Dropping it ends it.
pub struct Machine {
    // Before the VM, so that its ports are closed first.
    agent: Agent,
    // Before the VM, which removes the socket.
    _control: Control,
    vm: Vm,
    board: Arc<Board>,
    network: Unplugged,
    _captures: Closed,
    // Behind the VM, which has the last of the board's commands.
    _trace: Option<Trace>,
    hello: Hello,
    modules: ModuleList,
}

/// Captures that end with the machine, whoever still has the board.
struct Closed(Arc<Captures>);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Wires that are unplugged when the machine ends, whoever still has the board.
struct Unplugged(Arc<Network>);

impl Drop for Unplugged {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Machine {
    /// Boots a machine.
    ///
    /// # Errors
    /// [`MachineError`]; nothing is left behind.
    pub fn start(artifacts: &Artifacts, options: Options) -> Result<Self, MachineError> {
        let root = options.root.as_deref();
        let Image { archive: initramfs, modules } = image::build(
            artifacts,
            options.shared.is_some(),
            root,
            options.driver,
            &options.modules,
        )?;
        let packages = &artifacts.packages;
        // Fails here, not in QEMU's thread, where the emulator is not there.
        packages.command("qemu-system-aarch64").map_err(ArtifactsError::from)?;
        let layout = options.layout;
        let platform = platform(artifacts)?;
        let ports = dpmacs(&layout);
        // Until here a signal ends this process, which would leave the programs and files of
        // wires behind from now on.
        if !options.stop.begin() {
            return Err(VmError::Stopped.into());
        }
        let network = Unplugged(plug(&options.wires, &ports, &platform, &options.stop)?);
        let captures = Closed(Captures::start(&options.captures)?);
        let without = without_wire(&options.soc, &network.0);
        let (soc, icids, quirks) = (options.soc, options.containers, options.quirks);
        let mc = mc::Config { soc, icids, quirks, ..Default::default() };
        // The machine has as many functions as there are isolation ids.
        let mc = mc.within(options.ports.as_ref());
        let config = BoardConfig {
            mc,
            layout,
            ports: options.ports,
            faults: options.faults,
            tracer: options.tracer,
        };
        let vm_config = VmConfig {
            machine: options.machine,
            initramfs,
            append: append(&options.append, options.hugepages),
            first_icid: config.mc.first_icid,
            icids: config.mc.icids,
            dpmacs: ports,
            shared: options.shared.clone(),
            root: root.and_then(Root::directory),
            disks: root.map(Root::disks).unwrap_or_default(),
            console_file: options.console_file,
            console_hook: options.console_hook,
            stop: options.stop,
            ..Default::default()
        };
        let made = OnceLock::new();
        let (wires, capture) = (network.0.clone(), captures.0.clone());
        let mut vm = Vm::start(vm_config, &platform, |around| {
            let host = Host::new(around.memory, around.lines, around.portals);
            let host = Host { wires: wires.clone(), capture, ..host };
            let board = Arc::new(Board::new(config, host)?);
            without.iter().for_each(|port| board.set_wire(*port, false));
            let weak: Weak<Board> = Arc::downgrade(&board);
            wires.attach(weak)?;
            let _ = made.set(board.clone());
            Ok(board)
        })?;
        // The closure has run once the VM is there.
        let Some(board) = made.into_inner() else {
            return Err(VmError::Config("the board was not made".into()).into());
        };
        let Some(ports) = vm.take_ports() else {
            return Err(VmError::Config("the machine has no ports".into()).into());
        };
        let ports = Ports {
            control: ports.control,
            stdin: ports.stdin,
            stdout: ports.stdout,
            stderr: ports.stderr,
        };
        let fail = |vm: &Vm, error| match vm.wait(Some(Duration::from_millis(200))) {
            // QEMU's own end says more than the port that closed.
            Err(error @ (VmError::QemuDied { .. } | VmError::ServerDied { .. })) => error.into(),
            _ => MachineError::Agent { error, console: vm.console().last_lines(15) },
        };
        let mut agent = Agent::new(ports, options.watch).map_err(|e| fail(&vm, e))?;
        let hello = agent.hello(BOOT_LIMIT).map_err(|e| fail(&vm, e))?;
        let control = Control::serve(vm.directory(), network.0.clone()).map_err(|error| {
            VmError::Config(format!("no socket to control the machine: {error}"))
        })?;
        let mut machine = Self {
            agent,
            _control: control,
            vm,
            board,
            network,
            _captures: captures,
            _trace: options.trace,
            hello,
            modules,
        };
        if let Some(root) = &options.root {
            machine.ask(root.order())?;
        }
        if options.hugepages > 0 {
            machine.ask(Ask::HugePages { pages: options.hugepages })?;
        }
        if let Some(shared) = options.shared {
            machine.ask(Ask::Mount {
                tag: SHARED_TAG.into(),
                path: SHARED_PATH.into(),
                read_only: shared.read_only,
            })?;
        }
        Ok(machine)
    }

    /// The agent in the guest.
    pub fn agent(&mut self) -> &mut Agent {
        &mut self.agent
    }

    /// What the guest said when it started.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The board, to look at and to provoke.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// The wires of its ports.
    pub fn network(&self) -> &Arc<Network> {
        &self.network.0
    }

    /// The machine around it.
    pub fn vm(&self) -> &Vm {
        &self.vm
    }

    /// Asks the agent for something that takes no longer than [`ORDER_LIMIT`].
    ///
    /// # Errors
    /// [`MachineError`].
    pub fn ask(&mut self, ask: Ask) -> Result<guest_protocol::Answer, MachineError> {
        self.agent.ask(ask, ORDER_LIMIT).map_err(|error| self.explain(error))
    }

    /// Loads kernel modules of the image.
    ///
    /// # Errors
    /// [`MachineError`].
    pub fn load(&mut self, names: &[&str]) -> Result<(), MachineError> {
        let modules = names.iter().map(|name| ModuleChoice::named(*name)).collect();
        self.ask(Ask::Load { modules }).map(drop)
    }

    /// Loads Linux's driver of software portals, where the kernel has it: one that was built
    /// by hand may do without.
    ///
    /// # Errors
    /// [`MachineError`].
    pub fn load_portals(&mut self) -> Result<(), MachineError> {
        const PORTALS: &str = "fsl-mc-dpio";
        if self.modules.has(PORTALS) { self.load(&[PORTALS]) } else { Ok(()) }
    }

    /// Binds containers to vfio-fsl-mc.
    ///
    /// # Errors
    /// [`MachineError`].
    pub fn bind(&mut self, containers: &[String]) -> Result<(), MachineError> {
        let driver = "vfio-fsl-mc".into();
        self.ask(Ask::Bind { containers: containers.to_vec(), driver }).map(drop)
    }

    /// Switches the guest off and waits for its end.
    ///
    /// # Errors
    /// [`MachineError`].
    pub fn power_off(mut self) -> Result<(), MachineError> {
        self.ask(Ask::PowerOff)?;
        self.vm.wait(Some(ORDER_LIMIT))?;
        Ok(())
    }

    /// What is wrong, with what the machine knows of it.
    pub fn explain(&self, error: AgentError) -> MachineError {
        if !matches!(error, AgentError::Refused { .. })
            && let Err(error @ (VmError::QemuDied { .. } | VmError::ServerDied { .. })) =
                self.vm.wait(Some(Duration::from_millis(200)))
        {
            return error.into();
        }
        MachineError::Agent { error, console: self.vm.console().last_lines(15) }
    }
}

/// Plugs wires into ports that are there.
fn plug(
    wires: &[WireSpec],
    ports: &[u32],
    platform: &Platform,
    stop: &StopHandle,
) -> Result<Arc<Network>, MachineError> {
    let missing = wires.iter().flat_map(WireSpec::ports).find(|port| !ports.contains(port));
    if let Some(port) = missing {
        let mut ports = ports.to_vec();
        ports.sort_unstable();
        return Err(MachineError::NoPort { port, ports });
    }
    let plugged = Network::plug_unless(wires, &*platform.qemu, &|| stop.is_stopped());
    if stop.is_stopped() {
        return Err(VmError::Stopped.into());
    }
    Ok(plugged?)
}

/// The ports of a chip that have no wire, whether they are there yet or not.
fn without_wire(soc: &Soc, network: &Network) -> Vec<u32> {
    let with: Vec<u32> = network.ports().collect();
    let numbers = (1..).zip(soc.macs).map(|(number, _)| number);
    numbers.filter(|number| !with.contains(number)).collect()
}

/// QEMU and the kernel.
///
/// # Errors
/// [`ArtifactsError`].
pub fn platform(artifacts: &Artifacts) -> Result<Platform, ArtifactsError> {
    let qemu = again_and_again(&artifacts.packages.command("qemu-system-aarch64")?);
    Ok(Platform { qemu: Box::new(qemu), kernel: artifacts.kernel.image().into() })
}

/// Makes the same command each time.
fn again_and_again(command: &Command) -> impl Fn() -> Command + Send + Sync + use<> {
    let program = command.get_program().to_owned();
    let words: Vec<OsString> = command.get_args().map(Into::into).collect();
    // Variables that the program gets, and those (without a value) that are kept from it.
    let environment: Vec<(OsString, Option<OsString>)> =
        command.get_envs().map(|(name, value)| (name.into(), value.map(Into::into))).collect();
    move || {
        let mut command = Command::new(&program);
        command.args(&words);
        for (name, value) in &environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }
}

/// The kernel's command line. Huge pages are found best when memory is still whole.
fn append(given: &str, hugepages: u64) -> String {
    match hugepages {
        0 => given.to_owned(),
        pages => format!("hugepagesz=2M hugepages={pages} {given}"),
    }
}

/// The ports that the device tree names.
fn dpmacs(layout: &Dpl) -> Vec<u32> {
    let names = layout.objects.iter().map(|object| object.name());
    names.filter(|name| name.kind == mc_abi::ObjectType::Dpmac).map(|name| name.id).collect()
}

/// Reads a layout, or the one that comes with the project.
///
/// # Errors
/// What is wrong with the file.
pub fn layout(
    loader: &Loader,
    file: Option<&std::path::Path>,
) -> Result<board::dpl::Loaded, board::dpl::LoadError> {
    match file {
        Some(file) => loader.file(file),
        None => {
            let default = &board::dpl::layouts::ALL[0];
            loader.source(&format!("{} layout", default.name), default.source)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loader of QEMU's packages complains about a library that is not for it.
    #[test]
    fn what_is_kept_from_a_command_is_kept_from_each_of_its_like() {
        let mut command = Command::new("qemu");
        command.args(["-machine", "virt"]).env("LC_ALL", "C").env_remove("LD_PRELOAD");
        let make = again_and_again(&command);
        for made in [make(), make()] {
            assert_eq!(made.get_program(), "qemu");
            assert!(made.get_args().eq(command.get_args()));
            assert!(made.get_envs().eq(command.get_envs()));
            assert!(made.get_envs().any(|(name, value)| name == "LD_PRELOAD" && value.is_none()));
        }
    }
}
