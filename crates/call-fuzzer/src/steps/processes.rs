// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Child processes, files of other processes, signals to other threads.
#![allow(unsafe_code)]

use crate::caller::{Caller, mix};
use crate::kind::Kind;
use crate::shared::{PROCESSES, Process};
use std::sync::atomic::Ordering::Relaxed;

/// Makes a child process that has copies of all files and maps, makes some calls of
/// its own, and ends in one way or other.
pub fn fork(caller: &mut Caller<'_>) {
    if caller.is_child || caller.child.is_some() {
        return reap(caller);
    }
    let slot_number = caller.slot_number + 1;
    let (Some(slot), Some(process)) = (
        caller.shared.slots.get(slot_number),
        caller.shared.processes.get(PROCESSES + slot_number),
    ) else {
        return;
    };
    process.clear();
    process.fork_of(caller.process);
    let choices = caller.random.u64(..);
    caller.slot.start(Kind::Fork, [choices, 0, 0, 0, 0, 0]);
    // SAFETY: the child makes system calls from memory that it owns a copy of, takes no
    // lock, allocates nothing, and ends by a system call (`live_as_child`).
    let child = unsafe { libc::fork() };
    if child == 0 {
        caller.is_child = true;
        caller.slot_number = slot_number;
        caller.slot = slot;
        caller.process = process;
        caller.random = fastrand::Rng::with_seed(mix(choices, [0; 3]));
        live_as_child(caller);
    }
    if child > 0 {
        slot.process.store(child, Relaxed);
        process.id.store(child, Relaxed);
        caller.child = Some(child);
    }
    let result = if child < 0 { -i64::from(libc::EAGAIN) } else { child.into() };
    caller.slot.end(Kind::Fork, result);
}

fn live_as_child(caller: &mut Caller<'_>) -> ! {
    let parent =
        caller.shared.processes[caller.slot_number / 2 / crate::shared::THREADS].id.load(Relaxed);
    // A child whose parent is gone is nobody's: it goes as well.
    // SAFETY: numbers only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // SAFETY: as above.
    if unsafe { libc::getppid() } != parent {
        leave();
    }
    caller.slot.try_lock();
    for _ in 0..caller.random.u32(..64) {
        if caller.shared.stop.load(Relaxed) {
            break;
        }
        super::make(caller);
    }
    match caller.random.u32(..4) {
        0 => super::close_all(caller),
        1 => {
            // SAFETY: ends this process.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
        // Until it is killed; not for ever, should nobody do it.
        2 => std::thread::sleep(std::time::Duration::from_millis(300)),
        _ => {}
    }
    leave()
}

/// Ends this process at once.
pub fn leave() -> ! {
    // SAFETY: ends this process, whose files and memory the kernel takes back.
    unsafe { libc::_exit(0) }
}

/// Kills the child now and then, and collects it when it has ended.
pub fn reap(caller: &mut Caller<'_>) {
    let Some(child) = caller.child else { return };
    if caller.once_in(4) {
        let kill = libc::SIGKILL as u64;
        let _ = caller.call(Kind::Kill, libc::SYS_kill, [child as u64, kill, 0, 0, 0, 0]);
    }
    let options = libc::WNOHANG as u64;
    let ended = caller.call(Kind::Reap, libc::SYS_wait4, [child as u64, 0, options, 0, 0, 0]);
    if ended != Ok(0) {
        forget(caller);
    }
}

fn forget(caller: &mut Caller<'_>) {
    caller.child = None;
    caller.shared.vacate(caller.slot_number + 1);
}

/// Ends the child and waits for it.
pub fn end_child(caller: &mut Caller<'_>) {
    let Some(child) = caller.child else { return };
    let kill = libc::SIGKILL as u64;
    let _ = caller.call(Kind::Kill, libc::SYS_kill, [child as u64, kill, 0, 0, 0, 0]);
    // A signal of another thread interrupts the wait; the child is still there then.
    let wait = [child as u64, 0, 0, 0, 0, 0];
    while caller.call(Kind::Reap, libc::SYS_wait4, wait) == Err(libc::EINTR) {}
    forget(caller);
}

/// Another worker process.
fn other(caller: &mut Caller<'_>) -> Option<&'static Process> {
    let other = &caller.shared.processes[caller.random.usize(..caller.setup.processes.max(1))];
    let is_there = other.id.load(Relaxed) > 0 && !std::ptr::eq(other, caller.process);
    is_there.then_some(other)
}

/// Takes a file from another process, as one that was sent it would have it.
fn take_over(caller: &mut Caller<'_>, other: &Process, theirs: i32) -> Option<i32> {
    let id = other.id.load(Relaxed) as u64;
    let opened = caller.call(Kind::PassFd, libc::SYS_pidfd_open, [id, 0, 0, 0, 0, 0]);
    let process = opened.ok()?;
    let arguments = [process, theirs as u64, 0, 0, 0, 0];
    let passed = caller.call(Kind::PassFd, libc::SYS_pidfd_getfd, arguments);
    super::files::close_one(caller, process as i32);
    passed.ok().map(|descriptor| descriptor as i32)
}

/// Takes over a device that another process has open.
pub fn pass(caller: &mut Caller<'_>) {
    let Some(other) = other(caller) else { return };
    let pick = caller.pick();
    let Some((place, theirs)) = other.devices.any(pick) else { return };
    let object = other.devices.object(place);
    let Some(descriptor) = take_over(caller, other, theirs) else { return };
    if let Some(old) = caller.process.devices.keep(descriptor, object, pick) {
        super::files::close_one(caller, old);
    }
}

/// Takes over a group that another process has open, and the container that it is
/// likely attached to.
pub fn pass_group(caller: &mut Caller<'_>) {
    let Some(other) = other(caller) else { return };
    let pick = caller.pick();
    let Some((_, theirs)) = other.groups.any(pick) else { return };
    let Some(descriptor) = take_over(caller, other, theirs) else { return };
    let mut old = [caller.process.groups.keep(descriptor, 0, pick), None];
    if let Some((_, theirs)) = other.containers.any(0) {
        if let Some(descriptor) = take_over(caller, other, theirs) {
            old[1] = caller.process.containers.put_first(descriptor);
        }
    }
    for old in old.into_iter().flatten() {
        super::files::close_one(caller, old);
    }
}

/// Interrupts whatever another thread of the process is doing.
pub fn signal(caller: &mut Caller<'_>) {
    let threads = caller.setup.threads.max(1);
    let process = caller.slot_number / 2 / crate::shared::THREADS;
    let thread = caller.random.usize(..threads);
    let slot = caller.shared.slot_of(process, thread, false);
    let slot = &caller.shared.slots[slot];
    let (id, thread) = (slot.process.load(Relaxed), slot.thread.load(Relaxed));
    if id <= 0 || thread <= 0 {
        return;
    }
    let signal = libc::SIGUSR1 as u64;
    let arguments = [id as u64, thread as u64, signal, 0, 0, 0];
    let _ = caller.call(Kind::Signal, libc::SYS_tgkill, arguments);
}
