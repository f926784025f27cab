// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What this process gives up before a guest runs in it: a guest that got the better of the
//! VMM would have no more of the host than a guest needs.

use crate::cli::Cli;
use crate::error::Error;
use crate::streams::tell;
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, path_beneath_rules,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};
use std::collections::BTreeMap;

/// The newest rules of Landlock that are used: those of Linux 6.10, with ioctls of devices.
/// An older kernel enforces those that it knows.
const RULES: ABI = ABI::V5;

/// Device files that a guest is made of; groups come and go below the second.
const DEVICES: [&str; 2] = ["/dev/kvm", "/dev/vfio"];

/// What the kernel tells of the bus, and where containers are bound.
const SYSFS: &str = "/sys";

/// System calls, by what for.
const CALLS: &[libc::c_long] = &[
    // Streams, events, devices.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_ioctl,
    libc::SYS_ppoll,
    libc::SYS_eventfd2,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_close,
    // Files, as Landlock lets them be.
    libc::SYS_openat,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_lseek,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    // Memory.
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    // Threads, their signals and waits.
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_prctl,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getrandom,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// From now on: no file but those that are open, the devices and, to give containers back,
/// the bus; and no system call but [`CALLS`], all others fail with EPERM. For this thread and
/// those that it starts.
///
/// # Errors
/// What the kernel refuses. One without Landlock is told of on standard error.
pub fn confine(cli: &Cli) -> Result<(), Error> {
    let enforced = files(cli).map_err(|error| failed("Landlock", error))?;
    if enforced == RulesetStatus::NotEnforced {
        tell("this kernel has no Landlock: the VMM can open what its user can");
    }
    let filter = filter().map_err(|error| failed("the filter of system calls", error))?;
    apply_filter_all_threads(&filter).map_err(|error| failed("seccomp", error))
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

fn filter() -> Result<BpfProgram, seccompiler::Error> {
    let rules: BTreeMap<i64, _> = CALLS.iter().map(|call| (*call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(
        rules,
        refuse,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}
