// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The command line.

use crate::layout::{LEAST_MEMORY, MOST_CONTAINERS, MOST_CPUS, MOST_DISKS, MOST_MEMORY};
use crate::virtio::block::Source;
use clap::{Args, Parser};
use mc_abi::{ObjectId, ObjectType};
use std::path::PathBuf;

/// Exit code for a guest that asks to be started again, without `--restart`.
pub const RESET: u8 = 3;

/// Boots Linux as a guest of KVM and hands containers of the Management Complex to it.
///
/// Exit code: 0 when the guest switches itself off, 3 when it asks for a reset, as Linux
/// does when it reboots or panics, 1 for failures, 2 for a wrong command line, 128 and the
/// signal's number when a signal ends it. On a terminal, Ctrl-A X ends it.
#[derive(Debug, Parser)]
#[command(name = "fslmc-vmm", version)]
pub struct Cli {
    /// What the guest is like.
    #[command(flatten)]
    pub guest: Guest,

    /// Container that is bound to vfio-fsl-mc; may be repeated
    #[arg(long, value_name = "dprc.N", value_parser = container)]
    pub assign: Vec<String>,

    /// Take the containers from the host's driver before the guest starts, and give them back
    /// when it has ended. What the host lacks is told before anything is touched. Needs root
    #[arg(long)]
    pub bind: bool,
}

/// Takes containers from the host, boots Linux as a guest of KVM with them, and gives them back.
///
/// What the host lacks is told before anything is touched. Needs root, on an arm64 machine.
/// Exit code: 0 when the guest switches itself off, 3 when it asks for a reset, as Linux
/// does when it reboots or panics, 1 for failures, 2 for a wrong command line, 128 and the
/// signal's number when a signal ends it. On a terminal, Ctrl-A X ends it.
#[derive(Debug, Args)]
pub struct Assign {
    /// Containers
    #[arg(value_name = "dprc.N", required = true, value_parser = container)]
    pub containers: Vec<String>,

    /// What the guest is like.
    #[command(flatten)]
    pub guest: Guest,
}

impl From<Assign> for Cli {
    fn from(Assign { containers, guest }: Assign) -> Self {
        Self { guest, assign: containers, bind: true }
    }
}

/// What the guest is like.
#[derive(Debug, Args)]
pub struct Guest {
    /// Kernel: an arm64 Image, not compressed
    #[arg(long, value_name = "IMAGE")]
    pub kernel: PathBuf,

    /// Initial file system
    #[arg(long, value_name = "CPIO")]
    pub initramfs: Option<PathBuf>,

    /// Disk: a file or block device, of which the guest sees whole sectors of 512 bytes as
    /// /dev/vda, the next one as /dev/vdb and so on; with ":ro" behind it, the guest may only
    /// read. May be repeated
    #[arg(long = "disk", value_name = "FILE[:ro]")]
    pub disks: Vec<Source>,

    /// Add to the kernel's command line, which begins with "console=ttyS0 panic=-1": a guest
    /// that panics asks for a reset. May be repeated
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub append: Vec<String>,

    /// Processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=i64::from(MOST_CPUS)))]
    pub cpus: u8,

    /// Memory, such as 256M or 1G
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = memory)]
    pub memory: u64,

    /// Start the guest again when it asks for a reset, instead of ending with code 3
    #[arg(long)]
    pub restart: bool,

    /// Deliver all interrupts through this program instead of KVM's irqfd
    #[arg(long)]
    pub no_irqfd: bool,

    /// Let each load and store of a command portal leave the guest, sixteen times for a
    /// command, as it is where KVM has no read-only memory or keeps no stores. Otherwise a
    /// command leaves it once
    #[arg(long)]
    pub no_portal_pages: bool,
}

impl Cli {
    /// What the options say together.
    ///
    /// # Errors
    /// A sentence that says what does not go together.
    pub fn check(&self) -> Result<(), String> {
        if self.assign.len() > MOST_CONTAINERS {
            return Err(format!("a guest takes {MOST_CONTAINERS} containers, not more"));
        }
        if self.guest.disks.len() > MOST_DISKS {
            return Err(format!("a guest takes {MOST_DISKS} disks, not more"));
        }
        let mut names = self.assign.clone();
        names.sort();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("{} is given twice", pair[0])),
            None => Ok(()),
        }
    }
}

fn container(text: &str) -> Result<String, String> {
    match text.parse::<ObjectId>() {
        Ok(id) if id.kind == ObjectType::Dprc => Ok(id.to_string()),
        _ => Err(format!("{text:?} is no container: write dprc.N")),
    }
}

/// A size in bytes with M or G (powers of 1024).
fn memory(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.strip_suffix(['M', 'm']) {
        Some(digits) => (digits, 20),
        None => match text.strip_suffix(['G', 'g']) {
            Some(digits) => (digits, 30),
            None => return Err(format!("{text:?} has no unit: write 256M or 1G")),
        },
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is no size"))?;
    match number.checked_mul(1 << shift) {
        Some(bytes) if bytes < LEAST_MEMORY => {
            Err(format!("{text} is too little for Linux: give {}M or more", LEAST_MEMORY >> 20))
        }
        Some(bytes) if bytes <= MOST_MEMORY => Ok(bytes),
        _ => Err(format!("{text} is too much: give {}G or less", MOST_MEMORY >> 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_have_units_and_limits() {
        assert_eq!(memory("256M"), Ok(256 << 20));
        assert_eq!(memory("1g"), Ok(1 << 30));
        assert!(memory("256").unwrap_err().contains("unit"));
        assert!(memory("1M").unwrap_err().contains("too little"));
        assert!(memory("99999999999999G").unwrap_err().contains("too much"));
        assert!(memory("xM").unwrap_err().contains("no size"));
    }

    #[test]
    fn assigning_binds() {
        #[derive(Parser)]
        struct Program {
            #[command(flatten)]
            assign: Assign,
        }
        let words = ["fslmc", "dprc.2", "dprc.3", "--kernel", "Image", "--memory", "512M"];
        let cli = Cli::from(Program::try_parse_from(words).unwrap().assign);
        assert!(cli.bind);
        assert_eq!(cli.assign, ["dprc.2", "dprc.3"]);
        assert_eq!(cli.guest.memory, 512 << 20);
        assert!(Program::try_parse_from(["fslmc", "--kernel", "Image"]).is_err());
    }

    #[test]
    fn containers_are_checked() {
        let cli = |words: &[&str]| {
            let all = ["fslmc-vmm", "--kernel", "Image"].iter().chain(words);
            Cli::try_parse_from(all)
        };
        assert!(cli(&["--assign", "dpni.1"]).unwrap_err().to_string().contains("write dprc.N"));
        let twice = cli(&["--assign", "dprc.2", "--assign", "dprc.2"]).unwrap();
        assert!(twice.check().unwrap_err().contains("twice"));
        let many: Vec<String> = (0..9).map(|n| format!("--assign=dprc.{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(cli(&many).unwrap().check().unwrap_err().contains("not more"));
    }

    #[test]
    fn disks_are_files_to_write_or_only_to_read() {
        let cli = |words: &[&str]| {
            let all = ["fslmc-vmm", "--kernel", "Image"].iter().chain(words);
            Cli::try_parse_from(all)
        };
        let disks = cli(&["--disk", "a.img", "--disk", "/dev/vda:ro"]).unwrap().guest.disks;
        let read_only: Vec<bool> = disks.iter().map(|disk| disk.read_only).collect();
        assert_eq!(read_only, [false, true]);
        assert_eq!(disks[1].path, PathBuf::from("/dev/vda"));
        assert!(cli(&["--disk", ":ro"]).unwrap_err().to_string().contains("path"));
        let many = vec!["--disk=a"; MOST_DISKS + 1];
        assert!(cli(&many).unwrap().check().unwrap_err().contains("disks, not more"));
    }
}
