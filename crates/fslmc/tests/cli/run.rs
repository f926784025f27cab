// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! `fslmc run` and `fslmc demo`.

use crate::{
    program::{LIMIT, Process, Running, fslmc, run},
    trial,
    userland::PACKAGES,
};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read, Write},
    path::Path,
    sync::mpsc,
    time::{Duration, Instant},
};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("run::exit_code_and_streams_pass_through", exit_code_and_streams),
        trial("run::the_current_directory_is_visible", the_current_directory_is_visible),
        trial("run::a_shell_on_a_terminal", a_shell_on_a_terminal),
        trial("run::a_hung_guest_is_left_by_a_key", a_hung_guest_is_left_by_a_key),
        trial("run::a_reader_that_has_seen_enough", a_reader_that_has_seen_enough),
        trial("run::a_container_is_bound", a_container_is_bound),
        trial("run::a_container_is_closed_at_the_end", a_container_is_closed_at_the_end),
        trial("run::either_driver_can_be_loaded", either_driver_can_be_loaded),
        trial("run::a_chosen_driver_is_loaded", a_chosen_driver_is_loaded),
        trial("run::what_is_no_module_is_refused", what_is_no_module),
        trial("run::commands_are_traced", commands_are_traced),
        trial("run::interfaces_of_nobody_are_left_alone", interfaces_of_nobody_are_left_alone),
        trial("run::another_kernel_has_packages", another_kernel_has_packages),
        trial("demo::every_step_happens", every_step_happens),
        trial("demo::every_step_happens_on_an_older_chip", older_chips),
        trial("demo::a_guest_with_its_container", a_guest_with_its_container),
        trial("run::assign_tells_what_is_missing", assign_tells_what_is_missing),
        // Boots nothing: it is not ignored.
        Trial::test("demo::user_space_alone", || Ok(user_space_alone()?)),
        Trial::test("demo::drivers_that_make_no_sense", || Ok(drivers_that_make_no_sense()?)),
        trial("demo::an_interrupt_leaves_nothing", an_interrupt_leaves_nothing),
    ]
}

fn exit_code_and_streams() -> Result<()> {
    let script = "cat; echo problem >&2; exit 7";
    let ended = run(&mut fslmc(&["run", "--", "sh", "-c", script]), b"one\ntwo\n")?;
    ensure!(ended.code() == Some(7), "{ended:?}");
    ensure!(ended.stdout == "one\ntwo\n", "{ended:?}");
    ensure!(ended.stderr.contains("problem\n"), "{ended:?}");
    Ok(())
}

fn the_current_directory_is_visible() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("script"), "#!/bin/sh\necho result > result\n")?;
    let mut command = fslmc(&["run", "--", "sh", "./script"]);
    let ended = run(command.current_dir(folder.path()), b"")?;
    ensure!(ended.code() == Some(0), "{ended:?}");
    ensure!(std::fs::read_to_string(folder.path().join("result"))? == "result\n");
    Ok(())
}

/// A shell of the board's on a terminal.
struct Session {
    process: Process,
    host: File,
    output: mpsc::Receiver<Vec<u8>>,
    seen: String,
}

impl Session {
    fn start() -> Result<Self> {
        let host = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&host)?;
        unlockpt(&host)?;
        let name = ptsname(&host, Vec::new())?;
        let terminal = File::options().read(true).write(true).open(name.to_str()?)?;
        let mut command = fslmc(&["run"]);
        command.stdin(terminal.try_clone()?).stdout(terminal.try_clone()?).stderr(terminal);
        let process = Process::start(command.env("TERM", "vt100"))?;
        let host = File::from(host);
        let mut reader = host.try_clone()?;
        let (sender, output) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut session = Self { process, host, output, seen: String::new() };
        session.wait_for("# ")?;
        Ok(session)
    }

    fn wait_for(&mut self, text: &str) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.seen.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            let bytes = self
                .output
                .recv_timeout(left)
                .with_context(|| format!("{text:?} does not come, only {:?}", self.seen))?;
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        Ok(())
    }
}

fn a_hung_guest_is_left_by_a_key() -> Result<()> {
    let mut session = Session::start()?;
    // Nothing in the guest reads a key any more.
    session.host.write_all(b"kill -STOP -1; echo hangs $((40 + 2)); kill -STOP $$\r")?;
    session.wait_for("hangs 42")?;
    session.host.write_all(b"exit\r\x01")?;
    std::thread::sleep(Duration::from_millis(100));
    ensure!(session.process.is_running()?, "it has ended by itself");
    session.host.write_all(b"x")?;
    let status = session.process.wait()?;
    ensure!(!status.success(), "{status}");
    Ok(())
}

fn a_shell_on_a_terminal() -> Result<()> {
    let mut session = Session::start()?;
    session.host.write_all(b"tty; echo sum $((20 + 22))\r")?;
    session.wait_for("sum 42")?;
    session.wait_for("/dev/pts/")?;
    // A key, not a signal: it ends the command, not the machine.
    // The shell that says so is what the key meets, until it is the sleep.
    session.host.write_all(b"sh -c 'echo runs $((40 + 2)); exec sleep 1000'\r")?;
    session.wait_for("runs 42")?;
    session.host.write_all(b"\x03")?;
    session.host.write_all(b"echo still $((1 + 1)) here\r")?;
    session.wait_for("still 2 here")?;
    session.host.write_all(b"exit 5\r")?;
    let status = session.process.wait()?;
    ensure!(status.code() == Some(5), "{status}");
    Ok(())
}

/// It ends the command, as it does without a board, however long that would go on.
fn a_reader_that_has_seen_enough() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let errors = folder.path().join("errors");
    let script = "yes; echo over >&2; exit 7";
    let mut command = fslmc(&["run", "--", "sh", "-c", script]);
    let (mut reader, writer) = std::io::pipe()?;
    command.stdin(std::process::Stdio::null()).stdout(writer).stderr(File::create(&errors)?);
    let mut process = Process::start(&mut command)?;
    // Its end of the pipe.
    drop(command);
    let (sender, first) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = [0; 2];
        let read = reader.read_exact(&mut line);
        drop(reader);
        // Nobody waits for it any more where it took too long.
        let _ = sender.send(read.map(|()| line));
    });
    let line = first.recv_timeout(LIMIT).context("it prints nothing")??;
    let start = Instant::now();
    let (status, said) = (process.wait()?, std::fs::read_to_string(errors)?);
    ensure!(&line == b"y\n" && status.code() == Some(7), "{status}: {said}");
    ensure!(said.contains("over\n") && !said.contains("Error:"), "{said}");
    ensure!(start.elapsed() < Duration::from_secs(60), "it took {:?}", start.elapsed());
    Ok(())
}

fn drivers_that_make_no_sense() -> Result<()> {
    let demo = |words: &[&str], driver: &str| {
        let words = [&["demo"], words].concat();
        run(fslmc(&words).env("FSLMC_DRIVER", driver), b"")
    };
    for words in [&[][..], &["--guest"]] {
        let ended = demo(words, "none")?;
        ensure!(ended.code() == Some(1) && ended.stderr.contains("--driver none"), "{ended:?}");
        let ended = demo(words, "rsut")?;
        ensure!(ended.code() == Some(2) && ended.stderr.contains("FSLMC_DRIVER"), "{ended:?}");
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("frames").display().to_string();
    let ended = demo(&["--in-process", "--frames", &file], "")?;
    ensure!(ended.code() == Some(0), "{ended:?}");
    Ok(())
}

/// Also where the machine is not started yet.
fn an_interrupt_leaves_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let is_empty = || anyhow::Ok(std::fs::read_dir(folder.path())?.next().is_none());
    let mut running = Running::start(fslmc(&["demo", "--guest"]).env("TMPDIR", folder.path()))?;
    let end = Instant::now() + Duration::from_secs(60);
    while is_empty()? {
        ensure!(running.is_running()? && Instant::now() < end, "there is no folder");
        std::thread::sleep(Duration::from_millis(1));
    }
    running.signal(rustix::process::Signal::INT)?;
    let ended = running.wait()?;
    ensure!(!ended.status.success() && is_empty()?, "{ended:?}");
    Ok(())
}

fn a_container_is_bound() -> Result<()> {
    let script = "for d in dprc.2 dpio.2 dpbp.4; do \
        basename $(readlink /sys/bus/fsl-mc/devices/$d/driver); done; ls /dev/vfio";
    let ended = run(&mut fslmc(&["run", "--bind", "dprc.2", "--", "sh", "-c", script]), b"")?;
    ensure!(ended.code() == Some(0), "{ended:?}");
    ensure!(ended.stdout.matches("vfio-fsl-mc").count() == 3, "{ended:?}");
    let ended = run(&mut fslmc(&["run", "--bind", "dprc.9", "--", "true"]), b"")?;
    ensure!(ended.code() != Some(0) && ended.stderr.contains("dprc.9"), "{ended:?}");
    Ok(())
}

/// The one in Rust is not from the kernel's tree, which the kernel notes.
fn either_driver_can_be_loaded() -> Result<()> {
    let script = "grep vfio_fsl_mc /proc/modules; rmmod vfio_fsl_mc; \
        insmod /lib/modules/stock/vfio-fsl-mc.ko; grep vfio_fsl_mc /proc/modules";
    let words = ["run", "--driver", "rust", "--bind", "dprc.2", "--", "sh", "-c", script];
    let ended = run(&mut fslmc(&words), b"")?;
    ensure!(ended.code() == Some(0), "{ended:?}");
    let loaded = |line: &str| line.starts_with("vfio_fsl_mc ").then(|| line.contains("O"));
    let lines: Vec<_> = ended.stdout.lines().filter_map(loaded).collect();
    ensure!(lines == [true, false], "{ended:?}");
    Ok(())
}

/// Also where no container is bound; one that is not chosen is not loaded.
fn a_chosen_driver_is_loaded() -> Result<()> {
    let script = "ls -d /sys/bus/fsl-mc/drivers/vfio-fsl-mc";
    let mut command = fslmc(&["run", "--", "sh", "-c", script]);
    let ended = run(&mut command, b"")?;
    ensure!(ended.code() == Some(0), "{ended:?}");
    let mut command = fslmc(&["run", "--driver", "none", "--", "sh", "-c", script]);
    ensure!(run(&mut command, b"")?.code() != Some(0), "the driver is there");
    Ok(())
}

fn what_is_no_module() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let words = ["run", "--driver", "rust", "--", "true"];
    let refused = |name: &str, value: &std::path::Path, part: &str| -> Result<()> {
        let ended = run(fslmc(&words).env(name, value), b"")?;
        ensure!(ended.code() != Some(0) && ended.stderr.contains(part), "{ended:?}");
        Ok(())
    };
    let file = folder.path().join("vfio-fsl-mc.ko");
    refused("FSLMC_DRIVER_MODULE", &file, "cannot read")?;
    std::fs::write(&file, "no module")?;
    refused("FSLMC_DRIVER_MODULE", &file, "is not a kernel module")?;
    refused("FSLMC_KERNEL", folder.path(), "is not the build folder of an arm64 kernel")
}

/// The bus removes a bound container where the machine goes down. It is still the driver's.
fn a_container_is_closed_at_the_end() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (trace, console) = (folder.path().join("trace"), folder.path().join("console"));
    let mut command = fslmc(&["run", "--driver", "rust", "--bind", "dprc.2"]);
    command.arg(format!("--trace={}", trace.display()));
    command.arg(format!("--console={}", console.display()));
    command.args(["--trace-filter", "command=Open,Close", "--", "echo", "here"]);
    let ended = run(&mut command, b"")?;
    ensure!(ended.code() == Some(0) && ended.stdout == "here\n", "{ended:?}");
    let said = std::fs::read_to_string(console)?;
    ensure!(!said.contains("is not closed"), "{said}");
    let traced = std::fs::read_to_string(trace)?;
    let last = traced.lines().rfind(|line| line.contains(": dprc.2 "));
    ensure!(last.is_some_and(|line| line.contains(": dprc.2 Close ")), "{traced}");
    Ok(())
}

/// With many of the other options, and the module for network interfaces, which meets
/// those of the usual layout.
fn commands_are_traced() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name);
    let layout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../boards/default.dts");
    let (trace, console) = (file("trace"), file("console"));
    std::fs::write(
        file("script"),
        "touch new; ls /sys/class/net; fslmc-guest mgmt connect dpni.77 dpmac.1",
    )?;
    let words = [
        format!("--dpl={}", layout.display()),
        format!("--trace={}", trace.display()),
        format!("--console={}", console.display()),
        format!("--share={}", folder.path().display()),
    ];
    let mut command = fslmc(&["run", "--read-only", "--append", "loglevel=7", "--cpus", "1"]);
    command.args(words).args(["--bind", "dprc.2", "--module", "fsl-dpaa2-eth", "--delay", "1us"]);
    // A trace without what Linux's scans make of it.
    command.args(["--trace-filter", "command!=GetObject*,Open,Close"]);
    let ended = run(command.args(["--", "sh", "./script"]), b"")?;
    ensure!(ended.code() != Some(0), "it connects what is not there: {ended:?}");
    ensure!(!file("new").exists() && ended.stdout.contains("eth"), "{ended:?}");
    let text = std::fs::read_to_string(trace)?;
    for part in [
        "portal 0 of dprc.1",
        "dprc.1 GetAttributes v1 -> { id: 1, icid: 23, options: 0x",
        "Connect { one: dpni.77, interface1: 0, other: dpmac.1, interface2: 0,",
        "v1 -> no privilege (0x4): there is no dpni.77",
    ] {
        ensure!(text.contains(part), "no {part:?} in {text}");
    }
    ensure!(!text.contains("GetObject") && !text.contains(" Open "), "{text}");
    let console = std::fs::read_to_string(console)?;
    ensure!(console.contains("fsl_dpaa2_eth"), "{console}");
    ensure!(!console.contains("Oops") && !console.contains("Call trace"), "{console}");
    Ok(())
}

/// Without a container's owner Linux's driver would take its interfaces, and panic.
fn interfaces_of_nobody_are_left_alone() -> Result<()> {
    let words = ["run", "--driver", "none", "--module", "fsl-dpaa2-eth", "--", "true"];
    let ended = run(&mut fslmc(&words), b"")?;
    ensure!(ended.code() == Some(1), "{ended:?}");
    let said = ended.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(
        said.contains("takes the interfaces of dprc.2") && said.contains("--bind dprc.2"),
        "{said}"
    );
    Ok(())
}

/// Debian stable's kernel, whose module for the packages' file system has a dependency
/// that only modprobe knows of.
fn another_kernel_has_packages() -> Result<()> {
    let script = "uname -r; modprobe dummy && echo loaded; iperf3 --version";
    let words =
        ["run", "--kernel", "debian:6.12", "--packages", PACKAGES, "--", "bash", "-c", script];
    let ended = run(&mut fslmc(&words), b"")?;
    let said = &ended.stdout;
    ensure!(said.starts_with("6.12.") && said.contains("loaded\niperf 3"), "{ended:?}");
    Ok(())
}

/// The board's own `fslmc assign`, with nothing ready for it but the processor.
fn assign_tells_what_is_missing() -> Result<()> {
    let board = ["run", "--cpu", "neoverse-n2", "--virtualization", "--memory", "1536M", "--"];
    let command = ["fslmc", "assign", "dprc.2", "--kernel", "/host/none"];
    let words: Vec<&str> =
        board.into_iter().chain(command).chain(["--initramfs", "/host/none-either"]).collect();
    let ended = run(&mut fslmc(&words), b"")?;
    ensure!(ended.code() == Some(1), "{:?}: {}", ended.code(), ended.stderr);
    for part in ["/host/none: No such file", "/host/none-either: No such", "dprc.2, which has"] {
        ensure!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    ensure!(!ended.stderr.contains("FEAT_S2FWB"), "{}", ended.stderr);
    Ok(())
}

/// Linux in Linux, on the board's usual processor: with this project's driver.
fn a_guest_with_its_container() -> Result<()> {
    let ended = run(&mut fslmc(&["demo", "--guest", "--driver", "rust"]), b"")?;
    ensure!(ended.code() == Some(0), "{}{}", ended.stdout, ended.stderr);
    let parts = [
        "fsl_mc_dpio has dpio.",
        "fsl_dpaa2_eth has dpni.1 dpni.2",
        " 0% packet loss",
        " lines of vfio-fsl-mc, ",
        "All 8 steps happened",
    ];
    for part in parts {
        ensure!(ended.stdout.contains(part), "{part}: {}{}", ended.stdout, ended.stderr);
    }
    Ok(())
}

fn every_step_happens() -> Result<()> {
    every_step_happens_with(&["demo"])
}

/// Their portals have the rings inside.
fn older_chips() -> Result<()> {
    every_step_happens_with(&["demo", "--soc", "ls1088a"])
}

fn every_step_happens_with(words: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ended = run(fslmc(words).current_dir(folder.path()), b"")?;
    ensure!(ended.code() == Some(0), "{}{}", ended.stdout, ended.stderr);
    ensure!(ended.stdout.contains("All 20 steps happened as they should."), "{}", ended.stdout);
    let (sent, file) = (numbered_frames(&folder.path().join("fslmc-demo.pcapng"))?, "fslmc-demo");
    ensure!(sent == 16, "{sent} frames began");
    ensure!(ended.stdout.contains(&format!("are in {file}.pcapng.")), "{}", ended.stdout);
    Ok(())
}

/// The same without a guest: nothing is fetched or booted.
fn user_space_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("here.pcapng");
    let words = ["demo", "--in-process", "--frames", file.to_str().context("a path")?];
    let start = Instant::now();
    let ended = run(fslmc(&words).env("HOME", folder.path()).env_remove("XDG_CACHE_HOME"), b"")?;
    let took = start.elapsed();
    ensure!(ended.code() == Some(0), "{}{}", ended.stdout, ended.stderr);
    ensure!(ended.stdout.contains("All 9 steps happened as they should."), "{}", ended.stdout);
    // Less than a second when nothing else keeps the machine busy.
    ensure!(took < Duration::from_secs(20), "it took {took:?}");
    ensure!(numbered_frames(&file)? == 16, "{}", ended.stdout);
    let made = std::fs::read_dir(folder.path())?.count();
    ensure!(made == 1, "it has made {made} files where only frames were asked for");

    let ended =
        run(&mut fslmc(&["demo", "--in-process", "--frames", "/no/such/folder/file"]), b"")?;
    ensure!(ended.code() == Some(1), "{ended:?}");
    let said = ["cannot write /no/such/folder/file", "--frames FILE"];
    ensure!(said.iter().all(|text| ended.stderr.contains(text)), "{ended:?}");
    let ended = run(&mut fslmc(&["demo", "--in-process", "--cpus", "1"]), b"")?;
    ensure!(ended.code() == Some(2) && ended.stderr.contains("cannot be used with"), "{ended:?}");
    Ok(())
}

/// How many different frames are in a file that are numbered by the example that forwards;
/// those of the other one are all ones.
fn numbered_frames(file: &Path) -> Result<usize> {
    let mut texts = BTreeSet::new();
    for frame in wires::recorded_frames(file)? {
        ensure!(frame.len() == 60 && frame[..6] == [0xff; 6], "{frame:02x?}");
        if frame.iter().all(|byte| *byte == 0xff) {
            continue;
        }
        let text = String::from_utf8_lossy(&frame[14..]).trim_end_matches('\0').to_owned();
        ensure!(text.starts_with("frame ") && text.ends_with("`forward`"), "{text:?}");
        texts.insert(text);
    }
    Ok(texts.len())
}
