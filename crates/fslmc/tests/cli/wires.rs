// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! `fslmc run --wire`, `--capture` and `fslmc wire`.

use crate::{
    program::{Running, fslmc, run},
    trial,
};
use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::{fs, path::Path, process::Command, thread, time::Duration};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("wires::plugs_are_pulled", plugs_are_pulled),
        trial("wires::wires_that_cannot_be", wires_that_cannot_be),
        trial("wires::an_idle_board_uses_no_processor", an_idle_board),
    ]
}

/// Tells each change of its interface's carrier, and sends something while it is there.
const WATCH: &str = "
    name=$(ls /sys/bus/fsl-mc/devices/dpni.0/net)
    ip addr add 10.0.0.1/24 dev $name; ip link set $name up
    last=
    while :; do
        now=$(cat /sys/class/net/$name/carrier)
        [ \"$now\" = \"$last\" ] || echo carrier $now
        last=$now
        [ $now = 0 ] || ping -c 1 -W 1 10.0.0.9 >/dev/null
        sleep 0.1
    done
";

/// The command, where boards of the test alone are found.
fn here(command: &mut Command, folder: &Path) {
    command.env("XDG_RUNTIME_DIR", folder);
}

fn wire(folder: &Path, arguments: &[&str]) -> Result<(bool, String)> {
    let mut command = fslmc(&[&["wire"], arguments].concat());
    here(&mut command, folder);
    let ended = run(&mut command, b"")?;
    Ok((ended.code() == Some(0), format!("{}{}", ended.stdout, ended.stderr)))
}

fn plugs_are_pulled() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let (ok, said) = wire(folder, &[])?;
    ensure!(!ok && said.contains("no board of yours runs"), "{said}");
    let file = folder.join("frames.pcapng");
    let capture = format!("dpni.0={}", file.display());
    let mut command = fslmc(&[
        "run",
        "--bind",
        "dprc.2",
        "--wire",
        "dpmac.1=dpmac.2,down",
        "--capture",
        &capture,
        "--module",
        "fsl-dpaa2-eth",
        "--",
        "sh",
        "-c",
        WATCH,
    ]);
    here(&mut command, folder);
    let mut running = Running::start(&mut command)?;
    running.wait_for("carrier 0\n")?;
    let (ok, said) = wire(folder, &[])?;
    ensure!(ok && said.contains("dpmac.1   dpmac.2"), "{said}");
    ensure!(said.contains("down, not plugged in"), "{said}");
    let (ok, said) = wire(folder, &["dpmac.2", "up"])?;
    ensure!(ok && said.trim().ends_with("up"), "{said}");
    running.wait_for("carrier 1\n")?;
    let (ok, said) = wire(folder, &["dpmac.1", "down"])?;
    ensure!(ok && said.contains("down, not plugged in"), "{said}");
    running.wait_for("carrier 0\ncarrier 1\ncarrier 0\n")?;
    let (ok, said) = wire(folder, &["dpmac.3", "down"])?;
    ensure!(!ok && said.contains("dpmac.3 has no wire"), "{said}");
    ensure!(said.contains("dpmac.1, dpmac.2"), "{said}");
    let (ok, said) = wire(folder, &["--board", "1", "dpmac.1", "up"])?;
    ensure!(!ok && said.contains("process 1 runs no board"), "{said}");
    running.signal(Signal::TERM)?;
    running.wait()?;
    let (ok, _) = wire(folder, &[])?;
    ensure!(!ok, "the board is gone");
    // The frames so far are in the file all the same.
    let captured = fs::read(&file)?;
    let head = captured.get(..4) == Some(&[0x0a, 0x0d, 0x0d, 0x0a]);
    let has = |text: &[u8]| captured.windows(text.len()).any(|part| part == text);
    ensure!(head && has(b"dpni.0") && has(b"FD addr="), "{} bytes", captured.len());
    Ok(())
}

/// Each ends at once, before anything boots.
fn wires_that_cannot_be() -> Result<()> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?;
    let listening = format!("dpmac.1=tcp:{},listen", port.local_addr()?);
    let mistakes: [(&[&str], &[&str]); 8] = [
        (&["--wire", "dpmac.9=loop"], &["no dpmac.9", "it has dpmac.1, dpmac.2, dpmac.3, dpmac.4"]),
        (&["--wire", "dpmac.1=dpmac.9"], &["no dpmac.9"]),
        (&["--wire", "dpmac.1=loop", "--wire", "dpmac.1=user"], &["dpmac.1: the port has another"]),
        (
            &["--wire", "dpmac.1=unix:/no/such/socket"],
            &["cannot connect", "has to be started first"],
        ),
        (&["--wire", &listening], &["cannot listen", "in use"]),
        (&["--wire", "dpmac.1=pcap:in=/no/such/file"], &["cannot read /no/such/file"]),
        (&["--wire", "dpmac.1=loop,drop=2"], &["drop", "0.1%"]),
        (&["--capture", "dpni.0=/no/such/folder/x"], &["capture of dpni.0", "/no/such/folder/x"]),
    ];
    for (options, expected) in mistakes {
        let ended = run(&mut fslmc(&[&["run"], options, &["--", "true"]].concat()), b"")?;
        ensure!(ended.code() != Some(0), "{options:?}: {ended:?}");
        for part in expected {
            ensure!(ended.stderr.contains(part), "{options:?}: no {part:?}: {ended:?}");
        }
    }
    Ok(())
}

/// All interfaces up, and nothing to do.
fn an_idle_board() -> Result<()> {
    let script = "
        for device in /sys/bus/fsl-mc/devices/dpni.[01]; do
            ip link set $(ls $device/net) up
        done
        sleep 3
        cat /sys/class/net/eth*/carrier
        echo ready
        exec sleep 1000
    ";
    let mut running = Running::start(&mut fslmc(&[
        "run",
        "--bind",
        "dprc.2",
        "--wire",
        "dpmac.1=dpmac.2,delay=1ms",
        "--wire",
        "dpmac.3=loop",
        "--wire",
        "dpmac.4=user",
        "--module",
        "fsl-dpaa2-eth",
        "--",
        "sh",
        "-c",
        script,
    ]))?;
    running.wait_for("1\n1\nready\n")?;
    let time = Duration::from_secs(4);
    let before = running.processor_time()?;
    thread::sleep(time);
    let share = (running.processor_time()? - before).as_secs_f64() / time.as_secs_f64();
    eprintln!("an idle board uses {:.2} % of a processor", share * 100.0);
    ensure!(share < 0.01, "an idle board uses {:.1} % of a processor", share * 100.0);
    running.signal(Signal::TERM)?;
    running.wait().map(drop)
}
