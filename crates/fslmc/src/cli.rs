// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The command line.

use crate::{
    faults,
    kernel::{self, KernelChoice, KernelChoiceError},
    kit::Driver,
};
use board::{Soc, faults::Rule};
use clap::{Args, Parser, Subcommand};
use setup::{DEFAULT_SUITE, Userland};
use std::path::PathBuf;

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
    /// Look at layouts of a board.
    #[command(subcommand)]
    Board(Board),
    /// Fetch and unpack all that the other commands need.
    Setup(Setup),
}

/// Looks at layouts of a board.
#[derive(Debug, Subcommand)]
pub enum Board {
    /// Load a layout and print what the Management Complex makes of it.
    Check {
        /// The chip that the layout is for: lx2160a, ls2088a or ls1088a.
        #[arg(long, value_name = "CHIP", default_value = DEFAULT_SOC, value_parser = soc)]
        soc: Soc,
        /// Device tree source (.dts) or blob (.dtb).
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print the layout that `run` boots with when none is given.
    Default,
}

/// Fetches and unpacks all that the other commands need.
#[derive(Debug, Args)]
pub struct Setup {
    /// Ask the archive for newer versions of what is there.
    #[arg(long)]
    pub refresh: bool,
    /// Compare every unpacked file with what the packages had.
    #[arg(long, conflicts_with = "refresh")]
    pub verify: bool,
    /// Which vfio-fsl-mc driver the other commands are to use (default: rust, or stock
    /// with --kernel): what builds modules is needed for the one in Rust only.
    #[arg(long, value_enum, env = "FSLMC_DRIVER")]
    pub driver: Option<Driver>,
    /// The kernel that the other commands are to boot.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// Packages of a guest's root file system, to be there when `run` asks for them.
    #[command(flatten)]
    pub userland: UserlandArgs,
}

/// The demonstration.
#[derive(Debug, Args)]
pub struct Demo {
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArgs,

    /// Which vfio-fsl-mc driver hands the container over (default: rust, or stock with
    /// --kernel).
    #[arg(long, value_enum, env = "FSLMC_DRIVER")]
    pub driver: Option<Driver>,
}

/// Boots the board and runs a command in it.
#[derive(Debug, Args)]
pub struct Run {
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArgs,

    /// Which vfio-fsl-mc driver the board has (default: rust, or stock with --kernel).
    #[arg(long, value_enum, env = "FSLMC_DRIVER")]
    pub driver: Option<Driver>,

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

    /// Directory of this machine that the guest sees at /host, and starts
    /// COMMAND in.
    #[arg(long, value_name = "DIR", default_value = ".", conflicts_with = "no_share")]
    pub share: PathBuf,

    /// Let the guest read the shared directory only.
    #[arg(long, conflicts_with = "no_share")]
    pub read_only: bool,

    /// Share no directory.
    #[arg(long)]
    pub no_share: bool,

    /// What to run in the guest; a shell where there is nothing.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// The guest's root file system, made of Debian packages.
#[derive(Debug, Args)]
pub struct UserlandArgs {
    /// Debian packages (arm64) that the guest has, with all that they depend on, such as
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

/// The kernel.
#[derive(Debug, Args)]
pub struct KernelArgs {
    /// Kernel to boot: debian:VERSION, as debian:6.12; debian:SUITE, as debian:testing; the
    /// folder that one was built in; or a file Image. Default: the board's own.
    #[arg(long, value_name = "KERNEL", env = kernel::VARIABLE)]
    pub kernel: Option<String>,

    /// Modules of --kernel Image: its /lib/modules/RELEASE, or the folder that `make
    /// modules_install INSTALL_MOD_PATH=` was given.
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
#[derive(Debug, Args)]
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

    /// Ports and other facts of the board: a DPC as source or blob.
    #[arg(long, value_name = "FILE")]
    pub dpc: Option<PathBuf>,

    /// Processors.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub cpus: u8,

    /// Memory, such as 1G or 768M.
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size)]
    pub memory: u64,

    /// Processor model, as QEMU names it.
    #[arg(long, value_name = "MODEL", default_value = "cortex-a72")]
    pub cpu: String,

    /// Give the processors a hypervisor's exception level, so that the guest has
    /// KVM.
    #[arg(long)]
    pub virtualization: bool,

    /// Add to the kernel's command line. May be repeated.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub append: Vec<String>,

    /// Most containers that may exist at once.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub containers: u16,

    /// Write each command of the Management Complex, in words, to FILE, or to
    /// standard error.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub trace: Option<PathBuf>,

    /// Let commands of the Management Complex take time. May be repeated.
    #[arg(long, value_name = "[COMMAND=]TIME", value_parser = faults::delay)]
    pub delay: Vec<Rule>,

    /// Answer a command with a status, or never. May be repeated.
    #[arg(long, value_name = "COMMAND=STATUS|hang[*TIMES]", value_parser = faults::fault)]
    pub inject: Vec<Rule>,

    /// Write the guest's console to FILE, or to standard error.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub console: Option<PathBuf>,
}

const DEFAULT_SOC: &str = "lx2160a";

fn soc(text: &str) -> Result<Soc, String> {
    let names = Soc::ALL.map(|soc| soc.name.to_ascii_lowercase()).join(", ");
    Soc::find(text).ok_or_else(|| format!("{text:?} is no chip of this board: use one of {names}"))
}

fn container(text: &str) -> Result<String, String> {
    match text.parse::<mc_abi::ObjectId>() {
        Ok(id) if id.kind == mc_abi::ObjectType::Dprc => Ok(id.to_string()),
        _ => Err(format!("{text:?} is no container: write dprc.N")),
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
        _ => return Err(format!("{unit:?} is no unit: write K, M or G")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is no size"))?;
    let bytes = number.checked_mul(1 << shift).ok_or_else(|| format!("{text} is too much"))?;
    let step = 2 << 20;
    if bytes < 256 << 20 {
        return Err(format!("{text} is too little for this kernel: give 256M or more"));
    }
    Ok(bytes.next_multiple_of(step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

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
    fn sizes_have_units() {
        assert_eq!(size("1G"), Ok(1 << 30));
        assert_eq!(size("768M"), Ok(768 << 20));
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert!(size("12").unwrap_err().contains("too little"));
        assert!(size("1T").unwrap_err().contains("no unit"));
        assert!(size("99999999999G").unwrap_err().contains("too much"));
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
    fn commands_follow_two_dashes() {
        let cli = Cli::try_parse_from(["fslmc", "run", "--bind", "dprc.2", "--", "sh", "-c", "x"]);
        let Ok(Cli { command: Command::Run(run) }) = cli else { panic!("{cli:?}") };
        assert_eq!(run.command, ["sh", "-c", "x"]);
        assert_eq!(run.bind, ["dprc.2"]);
        assert!(Cli::try_parse_from(["fslmc", "run", "--bind", "dpni.2"]).is_err());
    }
}
