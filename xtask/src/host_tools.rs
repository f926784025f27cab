// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Programs that tests and benches look for, whether or not the machine has them: the
//! set-up's own, by scripts that start them.

use anyhow::Result;
use setup::{Cache, PackageSet, Terminal};
use std::path::PathBuf;
use xshell::{Shell, cmd};

/// The variables that name the programs, with the programs.
///
/// # Errors
/// They cannot be fetched.
pub(crate) fn variables(shell: &Shell) -> Result<Vec<(&'static str, PathBuf)>> {
    let packages = Cache::from_env()?.ensure(&[PackageSet::Board], &Terminal::new())?;
    let script = |(variable, program): (&'static str, &str)| {
        let command = packages.command(program)?;
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let quoted: Vec<String> = words
            .map(|word| format!("'{}'", word.to_string_lossy().replace('\'', "'\\''")))
            .collect();
        let path = shell.current_dir().join("target/xtask").join(program);
        shell.write_file(&path, format!("#!/bin/sh\nexec {} \"$@\"\n", quoted.join(" ")))?;
        cmd!(shell, "chmod 755 {path}").quiet().run()?;
        Ok((variable, path))
    };
    [("DTC", "dtc")].into_iter().map(script).collect()
}
