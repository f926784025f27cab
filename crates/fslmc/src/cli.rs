// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The command line.

use crate::{
    artifacts::Driver,
    faults,
    kernel::{self, KernelChoice, KernelChoiceError},
    trace::{self, Filter},
};
use board::{Soc, faults::Rule};
use clap::{Args, Parser, Subcommand};
use miette::miette;
use setup::{DEFAULT_SUITE, Userland};
use std::{ffi::OsString, path::PathBuf};
use wires::{CaptureSpec, WireSpec};

/// DPAA2 without hardware: an emulated Layerscape board under unmodified Linux.
#[derive(Debug, Parser)]
#[command(name = "fslmc", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Boot the board and hand a container to user space, step by step.
    Demo(Demo),
    /// Boot the board and run a command in it, or a shell.
    Run(Run),
    /// Show the wires of running boards, and take links up or down.
    Wire(Wire),
    /// On a board: take containers from Linux, boot a guest of KVM with them, and give them
    /// back.
    Assign(fslmc_vmm::cli::Assign),
    /// Inspect board layouts.
    #[command(subcommand)]
    Board(Board),
    /// Fetch and unpack what the other commands need.
    Setup(Setup),
}

/// Shows the wires of running boards, or takes a link up or down.
#[derive(Debug, Args)]
pub struct Wire {
    /// Process id of the board's fslmc; required if several are running.
    #[arg(long, value_name = "PID")]
    pub board: Option<u32>,

    /// The port.
    #[arg(value_name = "dpmac.N", value_parser = port, requires = "to")]
    pub port: Option<u32>,

    /// What to do with the link of its wire.
    #[arg(value_name = "up|down")]
    pub to: Option<Plug>,
}

/// Where a wire's plug is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Plug {
    /// Plugged in.
    Up,
    /// Unplugged.
    Down,
}

/// Inspects board layouts.
#[derive(Debug, Subcommand)]
pub enum Board {
    /// Check a layout and print what the Management Complex creates from it.
    Check {
        /// The chip that the layout is for: lx2160a, ls2088a or ls1088a.
        #[arg(long, value_name = "CHIP", default_value = DEFAULT_SOC, value_parser = soc)]
        soc: Soc,
        /// Device tree source (.dts) or blob (.dtb).
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Replay recorded Management Complex commands on the board and print the replies that
    /// differ. Exits with 1 if any do.
    Replay {
        /// The chip: lx2160a, ls2088a or ls1088a (default: the record's).
        #[arg(long, value_name = "CHIP", value_parser = soc)]
        soc: Option<Soc>,
        /// Layout of containers and objects (default: the record's).
        #[arg(long, value_name = "FILE")]
        dpl: Option<PathBuf>,
        /// Ports and other board settings (default: the record's).
        #[arg(long, value_name = "FILE")]
        dpc: Option<PathBuf>,
        /// Maximum number of containers: 64 on a chip, 16 by default in `run`.
        #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=64))]
        containers: u16,
        /// Do not emulate certain firmware defects; see `run`.
        #[arg(long)]
        no_quirks: bool,
        /// Records written by `fslmc-guest record` on a board.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print the layout that `run` boots with when none is given.
    Default,
}

/// Fetches and unpacks all that the other commands need.
#[derive(Debug, Args)]
pub struct Setup {
    /// Check the archive for newer versions.
    #[arg(long)]
    pub refresh: bool,
    /// Compare every unpacked file of emulator, compilers and the board's kernel with its
    /// package; the next setup mends what differs. Other kernels and packages for the guest
    /// are not compared.
    #[arg(long, conflicts_with_all = ["refresh", "packages", "suite"])]
    pub verify: bool,
    /// vfio-fsl-mc driver to set up for (default: rust, or stock with --kernel); only rust
    /// needs the packages that build modules.
    #[arg(long, value_name = DRIVERS, env = DRIVER, default_value = "", hide_default_value = true, value_parser = driver)]
    pub driver: DriverChoice,
    /// The kernel to set up for.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// Packages of the guest's root file system, to fetch in advance.
    #[command(flatten)]
    pub userland: UserlandArgs,
}

/// The demonstration.
#[derive(Debug, Args)]
pub struct Demo {
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArgs,

    /// vfio-fsl-mc driver to hand the container over with (default: rust, or stock with
    /// --kernel).
    #[arg(long, value_name = DRIVERS, env = DRIVER, default_value = "", hide_default_value = true, value_parser = driver)]
    pub driver: DriverChoice,

    /// File for the frames that the demonstration forwards, in pcapng format. It is
    /// overwritten.
    #[arg(long, value_name = "FILE", default_value = "fslmc-demo.pcapng")]
    pub frames: PathBuf,

    /// Show user space alone, on a board in this process: no guest is booted, nothing is
    /// fetched, and it takes less than a second. --driver and --kernel mean nothing then.
    #[arg(long, conflicts_with_all = OF_A_GUEST)]
    pub in_process: bool,

    /// Show a guest with a container of its own: Linux in KVM in Linux on the board. Two
    /// emulations lie on each other: it takes a minute.
    #[arg(long, conflicts_with_all = ["in_process", "frames", "dpl"])]
    pub guest: bool,
}

/// What only a machine with a guest has.
const OF_A_GUEST: [&str; 16] = [
    "soc",
    "dpl",
    "dpc",
    "cpus",
    "memory",
    "cpu",
    "virtualization",
    "wire",
    "capture",
    "append",
    "containers",
    "no_quirks",
    "trace",
    "delay",
    "inject",
    "console",
];

/// Boots the board and runs a command in it, or a shell. On a terminal, Ctrl-A X ends the
/// board, whatever the guest does, and Ctrl-A Ctrl-A is one Ctrl-A.
#[derive(Debug, Args)]
pub struct Run {
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArgs,

    /// vfio-fsl-mc driver to load (default: rust, or stock with --kernel).
    #[arg(long, value_name = DRIVERS, env = DRIVER, default_value = "", hide_default_value = true, value_parser = driver)]
    pub driver: DriverChoice,

    /// Bind this container to vfio-fsl-mc before COMMAND runs. May be repeated.
    #[arg(long, value_name = "dprc.N", value_parser = container)]
    pub bind: Vec<String>,

    /// Load another kernel module. May be repeated.
    #[arg(long = "module", value_name = "NAME")]
    pub modules: Vec<String>,

    /// Packages of the guest's root file system.
    #[command(flatten)]
    pub userland: UserlandArgs,

    /// Root file system of the guest: an image (ext4, erofs, squashfs, xfs, btrfs) or a
    /// directory. It is not written: changes are kept in memory and lost at the end.
    #[arg(long, value_name = "IMAGE|DIR", conflicts_with_all = ["packages", "suite"])]
    pub root: Option<PathBuf>,

    /// Huge pages of 2 MiB to reserve in the guest, mounted at /dev/hugepages.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub hugepages: u64,

    /// Host directory to share with the guest: mounted at /host, where COMMAND starts.
    #[arg(long, value_name = "DIR", default_value = ".", conflicts_with = "no_share")]
    pub share: PathBuf,

    /// Share the directory read-only.
    #[arg(long, conflicts_with = "no_share")]
    pub read_only: bool,

    /// Share no directory.
    #[arg(long)]
    pub no_share: bool,

    /// Command to run in the guest (default: a shell).
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

impl Run {
    /// The command, in the guest's words.
    ///
    /// # Errors
    /// Names a word that is not UTF-8, which the conversation with the guest is in.
    pub fn words(&self) -> miette::Result<Vec<String>> {
        let word = |word: &OsString| {
            word.to_str().map(str::to_owned).ok_or_else(|| {
                miette!(
                    help = "a pattern of the guest's shell has it: `sh -c 'cat na*me'`",
                    "the word {word:?} of the command is not UTF-8, as those for the guest must be"
                )
            })
        };
        self.command.iter().map(word).collect()
    }
}

/// The guest's root file system, made of Debian packages.
#[derive(Debug, Args)]
pub struct UserlandArgs {
    /// Debian packages (arm64) to install in the guest with their dependencies, such as
    /// dpdk,iperf3. Each is NAME, NAME=VERSION or NAME/SUITE. May be repeated.
    #[arg(long, value_name = "PACKAGE,...", value_delimiter = ',')]
    pub packages: Vec<String>,

    /// Debian suite of the packages (default: trixie), such as testing. Without
    /// --packages: the minimal system of that suite.
    #[arg(long, value_name = "SUITE")]
    pub suite: Option<String>,
}

impl UserlandArgs {
    /// What is asked for, if anything is.
    ///
    /// # Errors
    /// [`setup::Error::PackageName`], [`setup::Error::SuiteName`].
    pub fn request(&self) -> setup::Result<Option<Userland>> {
        if self.packages.is_empty() && self.suite.is_none() {
            return Ok(None);
        }
        let suite = self.suite.as_deref().unwrap_or(DEFAULT_SUITE);
        Userland::new(&self.packages, suite).map(Some)
    }
}

/// Names the default of `--driver`.
const DRIVER: &str = "FSLMC_DRIVER";
const DRIVERS: &str = "rust|stock|none";

/// A driver, if one was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriverChoice(pub Option<Driver>);

/// An empty word is as good as none: so is an empty variable.
fn driver(text: &str) -> Result<DriverChoice, String> {
    if text.is_empty() {
        return Ok(DriverChoice(None));
    }
    <Driver as clap::ValueEnum>::from_str(text, false)
        .map(|driver| DriverChoice(Some(driver)))
        .map_err(|_| format!("use rust, stock or none, in the variable {DRIVER}, too"))
}

/// The kernel.
#[derive(Debug, Clone, Args)]
pub struct KernelArgs {
    /// Kernel to boot: debian:VERSION, such as debian:6.12; debian:SUITE, such as
    /// debian:testing; a kernel build directory; or an Image file (default: the board's
    /// own).
    #[arg(long, value_name = "KERNEL", env = kernel::VARIABLE)]
    pub kernel: Option<String>,

    /// Modules for --kernel Image: its /lib/modules/RELEASE, or the INSTALL_MOD_PATH of
    /// `make modules_install`.
    #[arg(long, value_name = "DIR", requires = "kernel")]
    pub kernel_modules: Option<PathBuf>,
}

impl KernelArgs {
    /// What was chosen.
    ///
    /// # Errors
    /// [`KernelChoiceError`].
    pub fn choice(&self) -> Result<KernelChoice, KernelChoiceError> {
        match self.kernel.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => KernelChoice::parse(text, self.kernel_modules.as_deref()),
            None => Ok(KernelChoice::Board),
        }
    }
}

/// The machine to boot.
#[derive(Debug, Clone, Args)]
pub struct MachineArgs {
    /// The kernel.
    #[command(flatten)]
    pub kernel: KernelArgs,

    /// The chip on the board: lx2160a, ls2088a or ls1088a.
    #[arg(long, value_name = "CHIP", default_value = DEFAULT_SOC, value_parser = soc)]
    pub soc: Soc,

    /// Layout of containers and objects: a DPL as source or blob.
    #[arg(long, value_name = "FILE")]
    pub dpl: Option<PathBuf>,

    /// Ports and other board settings: a DPC as source or blob.
    #[arg(long, value_name = "FILE")]
    pub dpc: Option<PathBuf>,

    /// Number of processors.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub cpus: u8,

    /// Memory, such as 1G or 768M.
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size)]
    pub memory: u64,

    /// Processor model (a QEMU name).
    #[arg(long, value_name = "MODEL", default_value = "cortex-a72")]
    pub cpu: String,

    /// Enable EL2, so that the guest has KVM.
    #[arg(long)]
    pub virtualization: bool,

    /// Plug a wire into an Ethernet port. A port without one has no link. May be repeated.
    ///
    /// KIND is what is at the other end:
    ///   loop                    the port itself
    ///   dpmac.M                 another port of the board: a cable
    ///   pcap:in=FILE,out=FILE   files of frames (pcap or pcapng), one or both; out may be
    ///                           a named pipe that Wireshark reads
    ///   unix:PATH               another board, or any VM with QEMU's -netdev stream; one
    ///   tcp:HOST:PORT           side has ",listen" behind it, and starts first
    ///   tap:NAME                a network interface of this machine
    ///   user                    a network with address translation, as QEMU's: gateway
    ///                           and DHCP at 10.0.2.2; no rights needed
    ///
    /// Options after KIND, separated by commas: down (unplugged at start; see `fslmc wire`)
    /// and faults, per direction: drop=, duplicate=, corrupt=, reorder= (percentage of
    /// frames, such as 0.1%), delay= (such as 2ms), rate= (such as 100Mbit), seed=N (PRNG
    /// seed).
    #[arg(long, value_name = "dpmac.N=KIND", verbatim_doc_comment)]
    pub wire: Vec<WireSpec>,

    /// Capture the frames that an interface or port (dpni.N or dpmac.N) receives and sends
    /// to FILE, in pcapng format. Packets of an interface have descriptor and annotation in
    /// a comment. FILE may be shared by several captures, and may be a named pipe that
    /// Wireshark reads. May be repeated.
    #[arg(long, value_name = "OBJECT=FILE")]
    pub capture: Vec<CaptureSpec>,

    /// Add to the kernel's command line. May be repeated.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub append: Vec<String>,

    /// Maximum number of containers.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub containers: u16,

    /// Do not emulate firmware defects that limit how many objects can be created and
    /// destroyed: portals of destroyed objects are listed as free, and there may be more
    /// than 18 network interfaces.
    #[arg(long)]
    pub no_quirks: bool,

    /// Log each Management Complex command, decoded, to FILE (default: standard error).
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub trace: Option<PathBuf>,

    /// Trace only commands that match: by command, object, status or container. May be
    /// repeated; all must match.
    #[arg(long, value_name = "KEY[!]=VALUE,...", value_parser = trace::filter, requires = "trace")]
    pub trace_filter: Vec<Filter>,

    /// Delay Management Complex commands. May be repeated.
    #[arg(long, value_name = "[COMMAND=]TIME", value_parser = faults::delay)]
    pub delay: Vec<Rule>,

    /// Fail a command with a status, never answer it, or hold it until another one comes. May
    /// be repeated.
    #[arg(long, value_name = "COMMAND=STATUS|hang|hold[*TIMES]", value_parser = faults::fault)]
    pub inject: Vec<Rule>,

    /// Write the guest's console to FILE (default: standard error).
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub console: Option<PathBuf>,
}

const DEFAULT_SOC: &str = "lx2160a";

fn soc(text: &str) -> Result<Soc, String> {
    let names = Soc::ALL.map(|soc| soc.name.to_ascii_lowercase()).join(", ");
    Soc::find(text)
        .ok_or_else(|| format!("{text:?} is not a chip of this board: use one of {names}"))
}

fn port(text: &str) -> Result<u32, String> {
    match text.parse::<mc_abi::ObjectId>() {
        Ok(id) if id.kind == mc_abi::ObjectType::Dpmac => Ok(id.id),
        _ => Err(format!("{text:?} is not an Ethernet port: write dpmac.N")),
    }
}

fn container(text: &str) -> Result<String, String> {
    match text.parse::<mc_abi::ObjectId>() {
        Ok(id) if id.kind == mc_abi::ObjectType::Dprc => Ok(id.to_string()),
        _ => Err(format!("{text:?} is not a container: use dprc.N")),
    }
}

/// Reads a size in bytes with an optional K, M or G (powers of 1024).
fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (digits, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let shift = match unit.to_ascii_uppercase().trim_end_matches("IB").trim_end_matches('B') {
        "" if unit.is_empty() => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err(format!("{unit:?} is not a unit: use K, M or G")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is not a size"))?;
    let bytes = number.checked_mul(1 << shift).ok_or_else(|| format!("{text} is too large"))?;
    let step = 2 << 20;
    if bytes < 256 << 20 {
        return Err(format!("{text} is too small for this kernel: use 256M or more"));
    }
    Ok(bytes.next_multiple_of(step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Documents go out of date where nobody types what they say.
    #[test]
    fn documented_commands_exist() {
        let checkout = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let mut commands = test_support::documented::commands(checkout, &["fslmc"]);
        let by_cargo = ["cargo", "run", "--release", "--"];
        commands.extend(test_support::documented::commands(checkout, &by_cargo));
        assert!(commands.len() > 15, "{commands:?}");
        for (place, words) in commands {
            let words = std::iter::once("fslmc").chain(words.iter().map(String::as_str));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{place}: {error}");
            }
        }
    }

    #[test]
    fn packages_for_the_guest_are_not_verified() {
        let parse = |words: &[&str]| {
            Cli::try_parse_from(["fslmc", "setup", "--verify"].iter().chain(words))
                .map_err(|error| error.to_string())
        };
        assert!(parse(&[]).is_ok());
        for words in [&["--packages", "dpdk"], &["--suite", "testing"]] {
            let error = parse(words).unwrap_err();
            assert!(error.contains("cannot be used with"), "{error}");
        }
    }

    #[test]
    fn drivers_are_understood_or_explained() {
        assert_eq!(driver(""), Ok(DriverChoice(None)));
        assert_eq!(driver("none"), Ok(DriverChoice(Some(Driver::None))));
        let error = Cli::try_parse_from(["fslmc", "run", "--driver", "rsut"]).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("'rsut'") && error.contains("use rust, stock or none"), "{error}");
        assert!(error.contains(DRIVER), "{error}");
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("1G"), Ok(1 << 30));
        assert_eq!(size("768M"), Ok(768 << 20));
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert!(size("12").unwrap_err().contains("too small"));
        assert!(size("1T").unwrap_err().contains("not a unit"));
        assert!(size("99999999999G").unwrap_err().contains("too large"));
    }

    #[test]
    fn chips_have_names() {
        let chip = |arguments: &[&str]| {
            let all = ["fslmc", "run"].iter().chain(arguments);
            Cli::try_parse_from(all).map_err(|error| error.to_string()).map(|cli| cli.command)
        };
        let named = |command| match command {
            Ok(Command::Run(run)) => run.machine.soc.name,
            other => panic!("{other:?}"),
        };
        assert_eq!(named(chip(&[])), "LX2160A");
        assert_eq!(named(chip(&["--soc", "ls1088a"])), "LS1088A");
        let error = chip(&["--soc", "ls1043a"]).unwrap_err();
        assert!(error.contains("use one of lx2160a, ls2088a, ls1088a"), "{error}");
    }

    #[test]
    fn wires_are_understood_or_explained() {
        let parse = |wire: &str| Cli::try_parse_from(["fslmc", "run", "--wire", wire]);
        let Ok(Cli { command: Command::Run(run) }) = parse("dpmac.1=loop,drop=1%") else {
            panic!("refused")
        };
        assert_eq!(run.machine.wire[0].port, 1);
        let error = parse("dpmac.1=lop").unwrap_err().to_string();
        assert!(error.contains("tap:NAME"), "{error}");
        let wire = |words: &[&str]| {
            Cli::try_parse_from(["fslmc", "wire"].iter().chain(words)).map_err(|e| e.to_string())
        };
        let Ok(Cli { command: Command::Wire(command) }) = wire(&["dpmac.3", "down"]) else {
            panic!("refused")
        };
        assert_eq!((command.port, command.to), (Some(3), Some(Plug::Down)));
        assert!(wire(&[]).is_ok());
        assert!(wire(&["dpmac.3"]).unwrap_err().contains("up|down"));
        assert!(wire(&["dpni.3", "up"]).unwrap_err().contains("dpmac.N"));
    }

    #[test]
    fn commands_follow_two_dashes() {
        let cli = Cli::try_parse_from(["fslmc", "run", "--bind", "dprc.2", "--", "sh", "-c", "x"]);
        let Ok(Cli { command: Command::Run(run) }) = cli else { panic!("{cli:?}") };
        assert_eq!(run.words().unwrap(), ["sh", "-c", "x"]);
        assert_eq!(run.bind, ["dprc.2"]);
        assert!(Cli::try_parse_from(["fslmc", "run", "--bind", "dpni.2"]).is_err());
        let word = OsString::from_vec(b"na\xffme".to_vec());
        let words = ["fslmc", "run", "--", "cat"].map(OsString::from).into_iter().chain([word]);
        let cli = Cli::try_parse_from(words);
        let Ok(Cli { command: Command::Run(run) }) = cli else { panic!("{cli:?}") };
        let error = run.words().unwrap_err().to_string();
        assert!(error.contains(r#""na\xFFme""#) && error.contains("not UTF-8"), "{error}");
    }
}
