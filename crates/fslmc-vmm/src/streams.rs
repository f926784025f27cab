// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Standard error, whose reader may have stopped or gone.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, write};
use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// How long a line waits for who reads standard error.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tells a line on standard error. One that nobody takes is lost: a guest runs, and ends,
/// without.
pub fn tell(line: impl Display) {
    tell_to(io::stderr().as_fd(), line);
}

fn tell_to(to: BorrowedFd<'_>, line: impl Display) {
    let line = format!("{line}\n");
    let end = Instant::now() + PATIENCE;
    let mut rest = line.as_bytes();
    while !rest.is_empty() && has_room(to, end) {
        match write(to, rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return,
        }
    }
}

/// Waits for room; says whether there is any before the end.
fn has_room(to: BorrowedFd<'_>, end: Instant) -> bool {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        // At most PATIENCE.
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], Some(&left)) {
            // The processors' threads get signals time and again when the guest ends.
            Err(Errno::INTR) if Instant::now() < end => {}
            answer => return answer.is_ok_and(|ready| ready > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_line_is_told_where_somebody_reads_and_lost_where_nobody_does() {
        let (near, mut far) = UnixStream::pair().unwrap();
        tell_to(near.as_fd(), format_args!("{} and {}", 1, 2));
        let mut line = [0; 8];
        far.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"1 and 2\n");
        // The reader has stopped.
        near.set_nonblocking(true).unwrap();
        while (&near).write(&[0; 4096]).is_ok() {}
        near.set_nonblocking(false).unwrap();
        let (sent, told) = std::sync::mpsc::channel();
        let stopped = near.try_clone().unwrap();
        std::thread::spawn(move || {
            tell_to(stopped.as_fd(), "lost");
            sent.send(()).unwrap();
        });
        told.recv_timeout(20 * PATIENCE).unwrap();
        // It has gone.
        drop(far);
        tell_to(near.as_fd(), "lost");
    }
}
