// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The end of all threads of a network.

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::Errno,
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

/// Told once, and seen by whoever waits.
#[derive(Debug)]
pub struct Stop {
    event: OwnedFd,
}

impl Stop {
    pub fn new() -> io::Result<Self> {
        Ok(Self { event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// It is over.
    pub fn set(&self) {
        // Fails where the count is full: then it was stopped before.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    /// Whether it is over, after `time` at the latest.
    pub fn within(&self, time: Duration) -> bool {
        let mut fds = [PollFd::new(&self.event, PollFlags::IN)];
        let time = Timespec::try_from(time).ok();
        !matches!(poll(&mut fds, time.as_ref()), Ok(0) | Err(Errno::INTR))
    }

    /// Waits until `fd` is ready for what `flags` say. False where it is over.
    pub fn ready(&self, fd: BorrowedFd<'_>, flags: PollFlags) -> io::Result<bool> {
        loop {
            let mut fds = [
                PollFd::new(&self.event, PollFlags::IN),
                PollFd::from_borrowed_fd(fd.as_fd(), flags),
            ];
            match poll(&mut fds, None) {
                Ok(_) if !fds[0].revents().is_empty() => return Ok(false),
                Ok(_) if !fds[1].revents().is_empty() => return Ok(true),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
