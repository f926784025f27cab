// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Formatting, lints, documentation, dependencies.

use crate::{driver, skips::Skips, step};
use anyhow::Result;
use std::path::Path;
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
    deny(shell, skipped)
}

/// Licences, sources and advisories of dependencies. The tool is no part of a Rust
/// installation.
fn deny(shell: &Shell, skipped: &mut Skips) -> Result<()> {
    if cmd!(shell, "cargo deny --version").quiet().ignore_stderr().read().is_err() {
        // Building it takes longer than all tests.
        skipped.note(
            "licences, sources and advisories of dependencies: cargo-deny is not installed \
             (cargo install --locked cargo-deny)",
        );
        return Ok(());
    }
    cmd!(shell, "cargo deny --all-features check licenses bans sources").run()?;
    // The list of advisories is a repository of its own, which not each network reaches.
    let fetched = cmd!(shell, "cargo deny fetch db").quiet().ignore_stderr().ignore_stdout();
    if fetched.run().is_err() {
        skipped.note("advisories about dependencies: the RustSec database is not reached");
        return Ok(());
    }
    Ok(cmd!(shell, "cargo deny --all-features check advisories").run()?)
}
