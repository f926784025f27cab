// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What this process gives up before a guest runs in it: a guest that got the better of the
//! VMM would have no more of the host than a guest needs.

use crate::calls;
use crate::cli::Cli;
use crate::error::Error;
use crate::streams::tell;
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, path_beneath_rules,
};
use seccompiler::apply_filter_all_threads;

/// The newest rules of Landlock that are used: those of Linux 6.10, with ioctls of devices.
/// An older kernel enforces those that it knows.
const RULES: ABI = ABI::V5;

/// Device files that a guest is made of; groups come and go below the second.
const DEVICES: [&str; 2] = ["/dev/kvm", "/dev/vfio"];

/// What the kernel tells of the bus, and where containers are bound.
const SYSFS: &str = "/sys";

/// From now on: no file but those that are open, the devices and, to give containers back,
/// the bus; and no system call but those of [`calls`], all others fail with EPERM. For this
/// thread and those that it starts.
///
/// # Errors
/// What the kernel refuses. One without Landlock is told of on standard error.
pub fn confine(cli: &Cli) -> Result<(), Error> {
    let enforced = files(cli).map_err(|error| failed("Landlock", error))?;
    if enforced == RulesetStatus::NotEnforced {
        tell("this kernel has no Landlock: the VMM can open what its user can");
    }
    let filters = calls::filters(std::process::id());
    for filter in filters.map_err(|error| failed("the filter of system calls", error))? {
        apply_filter_all_threads(&filter).map_err(|error| failed("seccomp", error))?;
    }
    Ok(())
}

fn failed(what: &'static str, error: impl std::fmt::Display) -> Error {
    Error::System { what, reason: std::io::Error::other(error.to_string()) }
}

fn files(cli: &Cli) -> Result<RulesetStatus, landlock::RulesetError> {
    let read = AccessFs::from_read(RULES) & !BitFlags::from(AccessFs::Execute);
    let write = read | AccessFs::WriteFile | AccessFs::Truncate;
    let devices = write | AccessFs::IoctlDev;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RULES))?
        .create()?
        .add_rules(path_beneath_rules(DEVICES, devices))?
        .add_rules(path_beneath_rules([SYSFS], if cli.bind { write } else { read }))?
        .restrict_self()?;
    Ok(status.ruleset)
}
