// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Hosts in the guest that send frames to each other: network namespaces, by a script that
//! tests and benches share.

use crate::TestVm;
use anyhow::Result;

/// Functions for bash; the file says what each does.
const HOSTS: &str = include_str!("hosts.sh");

/// Further ones, to talk to DPDK's testpmd.
pub const TESTPMD: &str = include_str!("testpmd.sh");

/// Runs a script of bash that has these functions; gives what it prints. It must succeed.
///
/// # Errors
/// Its exit code is not 0, or the guest is gone.
pub fn hosts(vm: &mut TestVm, script: &str) -> Result<String> {
    let output = vm.command(&["bash", "-c", &format!("{HOSTS}\n{script}")], b"")?;
    anyhow::ensure!(
        output.code == 0,
        "`{script}` exits with {}\nstdout: {}\nstderr: {}",
        output.code,
        output.stdout,
        output.stderr
    );
    Ok(output.stdout)
}
