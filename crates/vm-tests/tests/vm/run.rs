// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands in the guest: streams, exit codes, the shared directory.

use crate::trial;
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use vm_tests::TestVm;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("run::streams_and_codes", streams_and_codes),
        trial("run::a_complaint_comes_with_the_console", a_complaint_comes_with_the_console),
    ]
}

/// It is found when the machine is off.
fn a_complaint_comes_with_the_console() -> Result<()> {
    let complain = |vm: &mut TestVm| vm.sh("echo '<3>BUG: x' >/dev/kmsg").map(drop);
    let error = TestVm::with("minimal")?.run(complain).err().context("no complaint")?.to_string();
    ensure!(error.contains("the kernel complains:\nBUG: x"), "{error}");
    let (_, console) = error.split_once("--- console ---").context("no console")?;
    ensure!(console.contains("Booting Linux on physical CPU"), "{error}");
    Ok(())
}

fn streams_and_codes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("from-host"), "hello guest\n")?;
    TestVm::with("minimal")?.share(folder.path()).run(|vm| {
        let output = vm.try_sh("echo out; echo err >&2; exit 7")?;
        ensure!(
            output.code == 7 && output.stdout == "out\n" && output.stderr == "err\n",
            "{output:?}"
        );
        let output = vm.command(&["cat"], b"line\n")?;
        ensure!(output.stdout == "line\n", "{output:?}");
        let output = vm.try_sh("kill -TERM $$")?;
        ensure!(output.code == 128 + 15, "{output:?}");
        // More than any buffer on the way holds.
        let output = vm.sh("seq 1 300000")?;
        ensure!(output.lines().count() == 300_000, "{} lines", output.lines().count());
        ensure!(output.ends_with("300000\n"), "the end is missing");
        ensure!(vm.sh("cat /host/from-host")? == "hello guest\n", "shared file");
        vm.sh("echo hello host > /host/from-guest")?;
        let error = vm.command(&["no-such-program"], b"").err().context("it ran")?;
        ensure!(error.to_string().contains("no-such-program"), "{error}");
        Ok(())
    })?;
    let written = std::fs::read_to_string(folder.path().join("from-guest"))?;
    ensure!(written == "hello host\n", "{written:?}");
    Ok(())
}
