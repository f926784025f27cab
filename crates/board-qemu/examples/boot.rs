// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Boots a kernel with the default board, prints the console and the time that
//! it takes, and ends with the guest.
//!
//! ```text
//! cargo run -p board-qemu --example boot -- [--bare] [--quiet] KERNEL BUSYBOX QEMU [ARGUMENTS...]
//! ```
//! `BUSYBOX` is a static busybox for arm64; `QEMU` is the command that runs
//! `qemu-system-aarch64`. `--bare` leaves the board out, for comparison. The
//! host's `dtc` compiles the layout, `$LAYOUT` or the default one of those that
//! come with the board. What `$INIT` names is run in the guest in place of a
//! short look at the bus; `$APPEND` goes to the kernel.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use board::dpl::{Loader, layouts};
use board::{Board, BoardConfig, host::Host};
use board_qemu::{Ended, Initramfs, Platform, Vm, VmConfig, busybox};

const INIT: &str = "#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
read up idle < /proc/uptime; echo \"user space after $up s\"
for d in /sys/bus/fsl-mc/devices/*; do
  [ -e $d ] || continue
  echo \"${d##*/} driver=$(basename \"$(readlink $d/driver)\") group=$(basename \"$(readlink $d/iommu_group)\")\"
done
grep dprc /proc/interrupts
poweroff -f
";

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(std::io::stderr)
        .init();
    match boot() {
        Ok(Ended::PoweredOff) => ExitCode::SUCCESS,
        Ok(ended) => {
            eprintln!("the machine ended otherwise than by switching itself off: {ended:?}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn boot() -> Result<Ended, Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let bare = take_flag(&mut arguments, "--bare");
    let quiet = take_flag(&mut arguments, "--quiet");
    let [kernel, busybox, qemu @ ..] = arguments.as_slice() else {
        return Err("usage: boot [--bare] [--quiet] KERNEL BUSYBOX QEMU [ARGUMENTS...]".into());
    };
    let platform = Platform { qemu: command(qemu)?, kernel: PathBuf::from(kernel) };
    let start = Instant::now();
    let print = move |line: &str| {
        // Nothing to do about a closed standard output.
        let _ = writeln!(std::io::stdout(), "[{:8.3}] {line}", start.elapsed().as_secs_f64());
    };
    let config = VmConfig {
        initramfs: initramfs(&std::fs::read(busybox)?)?,
        append: std::env::var("APPEND").unwrap_or_default(),
        console_hook: (!quiet).then(|| Box::new(print) as _),
        ..VmConfig::default()
    };
    let vm = if bare {
        Vm::start_bare(config, &platform)?
    } else {
        start_with_board(config, &platform)?
    };
    eprintln!("running after {:?}", start.elapsed());
    let ended = vm.wait(Some(Duration::from_secs(120)))?;
    eprintln!("{ended:?} after {:?}", start.elapsed());
    Ok(ended)
}

fn start_with_board(config: VmConfig, platform: &Platform) -> Result<Vm, Box<dyn Error>> {
    let dtc = || Command::new("dtc");
    let name = std::env::var("LAYOUT").unwrap_or_else(|_| "default".into());
    let layout =
        layouts::find(&name).ok_or_else(|| format!("no layout {name:?} comes with the board"))?;
    let layout = Loader::new(&dtc).source(layout.name, layout.source)?.into_dpl()?;
    let mut board = BoardConfig { layout, ..BoardConfig::default() };
    board.mc.first_icid = config.first_icid;
    board.mc.icids = config.icids;
    let vm = Vm::start(config, platform, |around| {
        Ok(Arc::new(Board::new(board, Host::new(around.memory, around.lines, around.portals))?))
    })?;
    Ok(vm)
}

fn initramfs(program: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let init = match std::env::var_os("INIT") {
        Some(path) => std::fs::read(path)?,
        None => INIT.into(),
    };
    let mut archive = Initramfs::new();
    archive.file("init", 0o755, &init)?;
    archive.file("bin/busybox", 0o755, program)?;
    for applet in busybox::applets(program).iter().filter(|name| *name != "busybox") {
        archive.symlink(&format!("bin/{applet}"), "busybox")?;
    }
    for directory in ["proc", "sys", "dev", "tmp"] {
        archive.directory(directory)?;
    }
    Ok(archive.finish())
}

type MakeCommand = Box<dyn Fn() -> Command + Send + Sync>;

fn command(words: &[String]) -> Result<MakeCommand, Box<dyn Error>> {
    let (program, arguments) = words.split_first().ok_or("which QEMU?")?;
    let (program, arguments) = (program.clone(), arguments.to_vec());
    Ok(Box::new(move || {
        let mut command = Command::new(&program);
        command.args(&arguments);
        command
    }))
}

fn take_flag(arguments: &mut Vec<String>, flag: &str) -> bool {
    let before = arguments.len();
    arguments.retain(|argument| argument != flag);
    arguments.len() != before
}
