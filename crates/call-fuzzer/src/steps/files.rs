// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! File descriptors: waiting on them, copying and closing them; events.

use super::devices::device;
use crate::abi::Bytes;
use crate::caller::Caller;
use crate::kind::Kind;

/// Closes a descriptor that no table has any more.
pub fn close_one(caller: &mut Caller<'_>, descriptor: i32) {
    let _ = caller.call(Kind::Close, libc::SYS_close, [descriptor as u64, 0, 0, 0, 0, 0]);
}

pub fn close(caller: &mut Caller<'_>) {
    let pick = caller.pick();
    if let Some(descriptor) = caller.process.devices.take(pick) {
        close_one(caller, descriptor);
    }
}

pub fn close_group_or_container(caller: &mut Caller<'_>) {
    let pick = caller.pick();
    let taken = if caller.random.bool() {
        caller.process.groups.take(pick)
    } else {
        caller.process.containers.take(pick)
    };
    if let Some(descriptor) = taken {
        close_one(caller, descriptor);
    }
}

pub fn close_event(caller: &mut Caller<'_>) {
    let pick = caller.pick();
    if let Some(descriptor) = caller.process.events.take(pick) {
        close_one(caller, descriptor);
    }
}

/// Closes the devices of the process, so that each sees a last close and a first
/// open.
pub fn close_all_devices(caller: &mut Caller<'_>) {
    if caller.random.bool() {
        super::maps::unmap_all(caller);
    }
    let pick = caller.pick();
    while let Some(descriptor) = caller.process.devices.take(pick) {
        close_one(caller, descriptor);
    }
}

/// Closes everything of the process, in any order.
pub fn close_all(caller: &mut Caller<'_>) {
    let mut left = 6;
    // Ends when nothing was found some times in a row.
    while left > 0 {
        let pick = caller.pick();
        let process = caller.process;
        let taken = match caller.random.u32(..6) {
            0 => process.containers.take(pick),
            1 => process.groups.take(pick),
            2 => process.events.take(pick),
            3 => {
                super::maps::unmap_all(caller);
                None
            }
            _ => process.devices.take(pick),
        };
        match taken {
            Some(descriptor) => {
                left = 6;
                close_one(caller, descriptor);
            }
            None => left -= 1,
        }
    }
}

pub fn poll(caller: &mut Caller<'_>) {
    let Some((file, _)) = device(caller) else { return };
    let events = (libc::POLLIN | libc::POLLOUT | libc::POLLPRI) as u32;
    let at = caller.place(&Bytes::new().u32(file as u32).u32(events));
    // No waiting: a timespec of 0.
    let zero = caller.place_well(&Bytes::new().u64(0).u64(0));
    let _ = caller.call(Kind::Poll, libc::SYS_ppoll, [at, 1, zero, 0, 8, 0]);
}

pub fn epoll(caller: &mut Caller<'_>) {
    let Some((file, _)) = device(caller) else { return };
    let flags = libc::EPOLL_CLOEXEC as u64;
    let Ok(epoll) = caller.call(Kind::Epoll, libc::SYS_epoll_create1, [flags, 0, 0, 0, 0, 0])
    else {
        return;
    };
    let at = caller.place(&Bytes::new().u32(libc::EPOLLIN as u32).u32(0).u64(1));
    let add = libc::EPOLL_CTL_ADD as u64;
    let _ = caller.call(Kind::Epoll, libc::SYS_epoll_ctl, [epoll, add, file as u64, at, 0, 0]);
    close_one(caller, epoll as i32);
}

pub fn duplicate(caller: &mut Caller<'_>) {
    let Some((file, object)) = device(caller) else { return };
    let copy = caller.call(Kind::Duplicate, libc::SYS_dup, [file as u64, 0, 0, 0, 0, 0]);
    let Ok(copy) = copy else { return };
    let pick = caller.pick();
    if caller.random.bool() {
        close_one(caller, copy as i32);
    } else if let Some(old) = caller.process.devices.keep(copy as i32, object, pick) {
        close_one(caller, old);
    }
}

pub fn status(caller: &mut Caller<'_>) {
    let Some((file, _)) = device(caller) else { return };
    let at = caller.memory.own.start();
    let (number, arguments) = match caller.random.u32(..4) {
        0 => (libc::SYS_fstat, [file as u64, at, 0, 0, 0, 0]),
        1 => (libc::SYS_fcntl, [file as u64, libc::F_GETFL as u64, 0, 0, 0, 0]),
        2 => (libc::SYS_fcntl, [file as u64, libc::F_GETFD as u64, 0, 0, 0, 0]),
        _ => {
            let length = caller.random.u64(..64);
            (libc::SYS_ftruncate, [file as u64, length, 0, 0, 0, 0])
        }
    };
    let _ = caller.call(Kind::FileStatus, number, arguments);
}

/// Makes an event. None ever blocks.
pub fn event(caller: &mut Caller<'_>) {
    let semaphore = if caller.random.bool() { libc::EFD_SEMAPHORE } else { 0 };
    let flags = (libc::EFD_CLOEXEC | libc::EFD_NONBLOCK | semaphore) as u64;
    // Near its limit, a signal of the driver has no room.
    let count = if caller.once_in(4) { u64::from(u32::MAX) } else { 0 };
    let made = caller.call(Kind::EventFd, libc::SYS_eventfd2, [count, flags, 0, 0, 0, 0]);
    if let Ok(descriptor) = made {
        let pick = caller.pick();
        if let Some(old) = caller.process.events.keep(descriptor as i32, 0, pick) {
            close_one(caller, old);
        }
    }
}

pub fn event_read(caller: &mut Caller<'_>) {
    let pick = caller.pick();
    let Some((_, event)) = caller.process.events.any(pick) else { return event(caller) };
    let at = caller.memory.own.start();
    let _ = caller.call(Kind::EventRead, libc::SYS_read, [event as u64, at, 8, 0, 0, 0]);
}

pub fn event_write(caller: &mut Caller<'_>) {
    let pick = caller.pick();
    let Some((_, event)) = caller.process.events.any(pick) else { return event(caller) };
    let value = if caller.once_in(8) { u64::MAX - 1 } else { 1 };
    let at = caller.place_well(&Bytes::new().u64(value));
    // A number that was closed and taken by another file meanwhile must not get a
    // command: 8 bytes are none.
    let _ = caller.call(Kind::EventWrite, libc::SYS_write, [event as u64, at, 8, 0, 0, 0]);
}
