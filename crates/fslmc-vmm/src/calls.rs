// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The system calls that are left to this process while a guest runs in it.
#![cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;

/// System calls with whatever arguments, by what for.
const CALLS: &[c_long] = &[
    // Streams, events, devices.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_ppoll,
    libc::SYS_eventfd2,
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
    libc::SYS_brk,
    // Threads, their signals and waits.
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
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
    // The GNU C library signals a thread by tgkill, musl by this, which names no process.
    #[cfg(target_env = "musl")]
    libc::SYS_tkill,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getrandom,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Where an ioctl's number has its type, and those of KVM and VFIO (Linux
/// include/uapi/linux/kvm.h, KVMIO; vfio.h, VFIO_TYPE).
const IOCTL_TYPE: u64 = 0xff00;
const IOCTL_TYPES: [u64; 2] = [0xae00, 0x3b00];

/// Ioctls that a terminal is taken and given back by. It has others, which type into the shell
/// behind it (TIOCSTI, TIOCLINUX).
#[allow(clippy::unnecessary_cast)] // Their type is that of the C library's ioctl.
const TERMINAL: [u64; 4] =
    [libc::TCGETS as u64, libc::TCGETS2 as u64, libc::TCSETS as u64, libc::TCSETS2 as u64];

/// What is done to descriptors. F_SETOWN is another way to signal processes.
const DESCRIPTORS: [u64; 3] =
    [libc::F_DUPFD_CLOEXEC as u64, libc::F_GETFD as u64, libc::F_GETFL as u64];

/// What allocators, the C library's threads and their guard pages say of memory. Others reach
/// beyond the process where it is root's: MADV_HWPOISON and MADV_SOFT_OFFLINE take pages from the
/// machine.
const ADVICE: [u64; 7] = [
    libc::MADV_DONTNEED as u64,
    libc::MADV_FREE as u64,
    libc::MADV_DONTFORK as u64,
    libc::MADV_HUGEPAGE as u64,
    libc::MADV_NOHUGEPAGE as u64,
    MADV_GUARD_INSTALL,
    MADV_GUARD_REMOVE,
];

/// Guard pages without a mapping of their own (Linux include/uapi/asm-generic/mman-common.h),
/// which glibc makes from 2.42 on, and which the C library's crate does not name.
const MADV_GUARD_INSTALL: u64 = 102;
const MADV_GUARD_REMOVE: u64 = 103;

/// Names of threads, and of anonymous memory, which glibc gives where a tunable asks for it.
const NAMES: [u64; 3] =
    [libc::PR_SET_NAME as u64, libc::PR_GET_NAME as u64, libc::PR_SET_VMA as u64];

/// What makes a process's further thread of a clone, and what would take it into namespaces of
/// its own.
const THREAD: u64 = (libc::CLONE_THREAD | libc::CLONE_VM | libc::CLONE_SIGHAND) as u64;
const NAMESPACES: u64 = (libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS) as u64;

/// The filters for the process of this number, in the order in which they are to be applied.
///
/// # Errors
/// The processor is one that filters cannot be made for.
pub fn filters(process: u32) -> Result<[BpfProgram; 2], BackendError> {
    // clone3 has its flags in memory, where a filter does not see them; C libraries take clone
    // where the kernel has no clone3. A filter of its own, since each refuses in one way.
    let no_clone3 = program(
        BTreeMap::from([(libc::SYS_clone3, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS as u32),
    )?;
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        CALLS.iter().map(|call| (*call, Vec::new())).collect();
    // The first filter answers it.
    rules.insert(libc::SYS_clone3, Vec::new());
    rules.extend(limited(process)?);
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    Ok([no_clone3, program(rules, refuse, SeccompAction::Allow)?])
}

fn program(
    rules: BTreeMap<c_long, Vec<SeccompRule>>,
    mismatch: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(rules, mismatch, matched, std::env::consts::ARCH.try_into()?)?.try_into()
}

/// System calls that one argument limits, each with the rules of which one has to hold.
fn limited(process: u32) -> Result<[(c_long, Vec<SeccompRule>); 6], BackendError> {
    let equal = |argument| move |value: &u64| rule(argument, SeccompCmpOp::Eq, *value);
    let of_type = |kind: &u64| rule(1, SeccompCmpOp::MaskedEq(IOCTL_TYPE), *kind);
    let ioctls = IOCTL_TYPES.iter().map(of_type).chain(TERMINAL.iter().map(equal(1)));
    let thread = rule(0, SeccompCmpOp::MaskedEq(THREAD | NAMESPACES), THREAD);
    Ok([
        (libc::SYS_ioctl, ioctls.collect::<Result<_, _>>()?),
        (libc::SYS_fcntl, DESCRIPTORS.iter().map(equal(1)).collect::<Result<_, _>>()?),
        (libc::SYS_madvise, ADVICE.iter().map(equal(2)).collect::<Result<_, _>>()?),
        (libc::SYS_prctl, NAMES.iter().map(equal(0)).collect::<Result<_, _>>()?),
        (libc::SYS_clone, vec![thread?]),
        (libc::SYS_tgkill, vec![equal(0)(&process.into())?]),
    ])
}

/// What an argument's lower half is: the kernel takes no more of those above.
fn rule(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
    SeccompRule::new(vec![condition])
}

#[cfg(test)]
#[allow(unsafe_code)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Error, Read};
    use std::os::fd::AsRawFd;

    /// Makes a system call of numbers; gives its answer, or why it is refused.
    fn ask(call: c_long, arguments: [c_long; 3]) -> Result<c_long, i32> {
        let [a, b, c] = arguments;
        // SAFETY: the tests give no addresses but null. A process that a fork makes ends at
        // once, before it shares anything with this one.
        let answer = unsafe { libc::syscall(call, a, b, c, 0, 0, 0) };
        if call == libc::SYS_clone && answer == 0 {
            // SAFETY: ends the new process without running what this one has for its end.
            unsafe { libc::_exit(0) };
        }
        if answer == -1 { Err(Error::last_os_error().raw_os_error().unwrap()) } else { Ok(answer) }
    }

    /// Runs what is to be confined in a thread of its own, and leaves the others alone.
    fn confined<T: Send>(run: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let confined = scope.spawn(|| {
                for filter in filters(std::process::id()).unwrap() {
                    seccompiler::apply_filter(&filter).unwrap();
                }
                run()
            });
            confined.join().unwrap()
        })
    }

    #[test]
    fn threads_start_and_processes_do_not() {
        confined(|| {
            assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7);
            assert_eq!(ask(libc::SYS_clone3, [0; 3]), Err(libc::ENOSYS));
            assert_eq!(ask(libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0]), Err(libc::EPERM));
            // Of a thread, the kernel refuses this one with EINVAL.
            let space = (THREAD | libc::CLONE_NEWUSER as u64) as c_long;
            assert_eq!(ask(libc::SYS_clone, [space, 0, 0]), Err(libc::EPERM));
        });
    }

    #[test]
    fn signals_go_to_threads_of_its_own() {
        let parent = c_long::from(std::os::unix::process::parent_id());
        let own = c_long::from(std::process::id());
        // What the filter is to refuse, the kernel does not: signal 0 only asks.
        assert_eq!(ask(libc::SYS_tgkill, [parent, parent, 0]), Ok(0));
        confined(|| {
            assert_eq!(ask(libc::SYS_tgkill, [own, own, 0]), Ok(0));
            for refused in [
                ask(libc::SYS_tgkill, [parent, parent, 0]),
                ask(libc::SYS_kill, [parent, 0, 0]),
                ask(libc::SYS_kill, [own, 0, 0]),
            ] {
                assert_eq!(refused, Err(libc::EPERM));
            }
            if !cfg!(target_env = "musl") {
                assert_eq!(ask(libc::SYS_tkill, [own, 0, 0]), Err(libc::EPERM));
            }
        });
    }

    #[test]
    fn memory_is_advised_and_threads_are_named_as_libraries_do() {
        const PR_SET_DUMPABLE: c_long = libc::PR_SET_DUMPABLE as c_long;
        confined(|| {
            // Of no memory at all, so that the kernel has nothing to do.
            for advice in ADVICE.iter().filter(|advice| **advice < MADV_GUARD_INSTALL) {
                assert_eq!(ask(libc::SYS_madvise, [0, 0, *advice as c_long]), Ok(0), "{advice}");
            }
            for advice in [libc::MADV_HWPOISON, libc::MADV_MERGEABLE, libc::MADV_WILLNEED] {
                let refused = ask(libc::SYS_madvise, [0, 0, advice.into()]);
                assert_eq!(refused, Err(libc::EPERM), "{advice}");
            }
            assert_eq!(ask(libc::SYS_prctl, [PR_SET_DUMPABLE, 1, 0]), Err(libc::EPERM));
            let seccomp = [libc::PR_SET_SECCOMP.into(), 0, 0];
            assert_eq!(ask(libc::SYS_prctl, seccomp), Err(libc::EPERM));
            // A thread's name, stack and guard pages, and memory that goes back to the system.
            let named = std::thread::Builder::new().name("named".to_owned());
            let size = named.spawn(|| vec![1_u8; 64 << 20].len()).unwrap().join().unwrap();
            assert_eq!(size, 64 << 20);
        });
    }

    #[test]
    fn a_terminal_is_not_typed_into() {
        // Whose ioctls it has not, that the kernel tells: ENOTTY.
        let mut file = File::open("/dev/zero").unwrap();
        let fd = c_long::from(file.as_raw_fd());
        confined(move || {
            for refused in [libc::TIOCSTI, libc::TIOCSCTTY, libc::FIOASYNC, libc::TIOCLINUX] {
                assert_eq!(ask(libc::SYS_ioctl, [fd, refused as c_long, 0]), Err(libc::EPERM));
            }
            // KVM_GET_API_VERSION and VFIO_GET_API_VERSION among them.
            for passes in [0xae00, 0x3b64, libc::TCGETS as c_long, libc::TCSETS2 as c_long] {
                assert_eq!(ask(libc::SYS_ioctl, [fd, passes, 0]), Err(libc::ENOTTY));
            }
            let own = [fd, libc::F_SETOWN.into(), std::process::id().into()];
            assert_eq!(ask(libc::SYS_fcntl, own), Err(libc::EPERM));
            file.try_clone().unwrap().read_exact(&mut [0]).unwrap();
            file.read_exact(&mut [0]).unwrap();
        });
    }
}
