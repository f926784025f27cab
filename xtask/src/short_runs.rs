// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The commands of the documents that no test runs, each in its shortest form: what nobody
//! runs is broken one day.

use crate::step;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use xshell::{Shell, cmd};

/// Executions of a fuzz target, and calls on the driver.
const RUNS: &str = "1000";
const CALLS: &str = "20000";

pub(crate) fn run(shell: &Shell, root: &Path) -> Result<()> {
    let xtask = std::env::current_exe().context("where xtask itself is")?;
    let start = |words: &[&str]| {
        step(&format!("cargo xtask {}", words.join(" ")), || {
            Ok(cmd!(shell, "{xtask} {words...}").run()?)
        })
    };
    start(&["bench", "--quick"])?;
    start(&["bench", "--quick", "driver"])?;
    start(&["bench", "--quick", "frames"])?;
    start(&["bench", "--quick", "traffic"])?;
    start(&["bench", "--quick", "guest"])?;
    for target in ["commands", "frames", "layout", "portals"] {
        start(&["fuzz", target, "--runs", RUNS])?;
    }
    start(&["fuzz", "smmu", "--seconds", "1"])?;
    start(&["fuzz", "driver", "--calls", CALLS])?;
    start(&["soak", "--minutes", "0"])?;
    start(&["driver", "--lint"])?;
    installs(shell, root)?;
    step("fslmc setup --verify", || Ok(cmd!(shell, "cargo run --locked -- setup --verify").run()?))
}

/// `cargo xtask driver --install DIR` leaves the module there.
fn installs(shell: &Shell, root: &Path) -> Result<()> {
    let xtask = std::env::current_exe()?;
    let folder = root.join("target/xtask/installed");
    shell.remove_path(&folder)?;
    step("cargo xtask driver --install", || {
        let words = ["driver", "--install"];
        Ok(cmd!(shell, "{xtask} {words...} {folder}").run()?)
    })?;
    let module = folder.join("vfio-fsl-mc.ko");
    let is_module = std::fs::read(&module).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"));
    ensure!(is_module, "there is no module at {}", module.display());
    Ok(())
}
