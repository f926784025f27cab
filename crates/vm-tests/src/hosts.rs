// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Hosts in the guest that send frames to each other: network namespaces, by a script that
//! tests and benches share.

use crate::TestVm;
use anyhow::Result;

/// Functions for bash; the file says what each does.
const HOSTS: &str = include_str!("hosts.sh");

/// Further ones, to talk to DPDK's testpmd.
const TESTPMD: &str = include_str!("testpmd.sh");

/// Runs a script of bash that has these functions; gives what it prints. It must succeed.
///
/// # Errors
/// Its exit code is not 0, or the guest is gone.
pub fn hosts(vm: &mut TestVm, script: &str) -> Result<String> {
    vm.succeed("bash", HOSTS, script)
}

/// The same, with those for testpmd.
///
/// # Errors
/// Those of [`hosts`].
pub fn with_testpmd(vm: &mut TestVm, script: &str) -> Result<String> {
    vm.succeed("bash", &format!("{HOSTS}{TESTPMD}"), script)
}
