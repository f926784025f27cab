// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Standard output and standard error, whose readers may have stopped or gone.
#![cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{Errno, write};
use rustix::termios::tcgetattr;
use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The end of a guest, for who waits for a reader of its output.
pub struct Ending {
    /// Readable from the end on.
    event: OwnedFd,
}

impl Ending {
    /// Of a guest that goes on.
    ///
    /// # Errors
    /// The system has no eventfd left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// The guest ends: nobody waits any more.
    pub fn come(&self) {
        // It fails where the count is at its limit: then it is readable anyway.
        let _ = write(&self.event, &1_u64.to_ne_bytes());
    }
}

/// What a guest writes to, a byte at a time. It waits for a reader that is slow until the
/// guest's end, when all that nobody has read is lost.
pub struct Output<F> {
    to: F,
    ending: Arc<Ending>,
}

impl<F> Output<F> {
    /// Writes to a stream.
    pub fn new(to: F, ending: Arc<Ending>) -> Self {
        Self { to, ending }
    }
}

impl<F: AsFd> Write for Output<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let mut files = [
                PollFd::new(&self.to, PollFlags::OUT),
                PollFd::new(&self.ending.event, PollFlags::IN),
            ];
            match poll(&mut files, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let [to, ending] = files.map(|file| !file.revents().is_empty());
            if ending {
                return Err(io::Error::other("the guest ends"));
            }
            // Where there is room at all, a byte does not block; if somebody else has taken
            // that room since, the signals that end a processor's thread interrupt it.
            let byte = bytes.get(..1).unwrap_or(bytes);
            match if to { write(&self.to, byte) } else { Err(Errno::AGAIN) } {
                Err(Errno::INTR | Errno::AGAIN) => {}
                written => return Ok(written?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How long a line waits for who reads standard error.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes that a pipe has room for where it has any (PIPE_BUF of Linux); a socket has room for
/// more then, and a file for all.
const ROOM: usize = 4096;

/// Tells a line on standard error. One that nobody takes is lost: a guest runs, and ends,
/// without.
pub fn tell(line: impl Display) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    // Who holds it gives up after PATIENCE.
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    tell_to(io::stderr().as_fd(), line);
}

fn tell_to(to: BorrowedFd<'_>, line: impl Display) {
    let line = format!("{line}\n");
    let end = Instant::now() + PATIENCE;
    let mut rest = line.as_bytes();
    // A terminal says that there is room where there is some for a byte, and would block on
    // the next one.
    let room = if tcgetattr(to).is_ok() { 1 } else { ROOM };
    while !rest.is_empty() && has_room(to, end) {
        match write(to, rest.get(..room).unwrap_or(rest)) {
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
    use rustix::fs::{Mode, OFlags, open};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use std::io::{Read, pipe};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::channel;

    /// Two ends of a stream. Nothing more goes into the first one until the second is read,
    /// which says how many bytes are there.
    fn full() -> (UnixStream, UnixStream, usize) {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut bytes = 0;
        while let Ok(count) = (&near).write(&[0; 4096]) {
            bytes += count;
        }
        near.set_nonblocking(false).unwrap();
        (near, far, bytes)
    }

    #[test]
    fn output_waits_for_its_reader() {
        let (near, mut far, before) = full();
        let ending = Arc::new(Ending::new().unwrap());
        let text: Vec<u8> = (0..2000_u32).map(|n| n as u8).collect();
        let mut read = vec![0; before + text.len()];
        std::thread::scope(|scope| {
            scope.spawn(|| Output::new(&near, ending).write_all(&text).unwrap());
            far.read_exact(&mut read).unwrap();
        });
        assert_eq!(read[before..], text);
        // Nobody reads any more, which the guest does not care about.
        drop(far);
        let ending = Arc::new(Ending::new().unwrap());
        assert!(Output::new(near, ending).write_all(b"lost").is_err());
    }

    #[test]
    fn no_reader_holds_up_the_end() {
        let (near, _far, _) = full();
        let ending = Arc::new(Ending::new().unwrap());
        let mut output = Output::new(near, Arc::clone(&ending));
        let (sent, done) = channel();
        std::thread::spawn(move || {
            let written = [output.write_all(b"lost"), output.write_all(b"lost, too")];
            sent.send(written.map(|written| written.is_err())).unwrap();
        });
        // It waits.
        assert!(done.recv_timeout(Duration::from_millis(100)).is_err());
        ending.come();
        assert_eq!(done.recv_timeout(Duration::from_secs(20)).unwrap(), [true, true]);
    }

    #[test]
    fn a_line_is_told_where_somebody_reads_and_lost_where_nobody_does() {
        let (near, mut far) = UnixStream::pair().unwrap();
        tell_to(near.as_fd(), format_args!("{} and {}", 1, 2));
        let mut line = [0; 8];
        far.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"1 and 2\n");
        // The reader has gone.
        drop(far);
        tell_to(near.as_fd(), "lost");
    }

    #[test]
    fn a_reader_that_has_stopped_holds_up_nobody_in_the_middle_of_a_line() {
        let (socket, _far, _) = full();
        let (_reader, pipe) = pipe().unwrap();
        let host = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&host).unwrap();
        unlockpt(&host).unwrap();
        let name = ptsname(&host, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let terminal = open(name.as_c_str(), flags, Mode::empty()).unwrap();
        // Something is there before, so that the room for a line ends within a piece of it.
        write(&terminal, &[b'b'; 100]).unwrap();
        let line = "a".repeat(1 << 20);
        for to in [socket.into(), OwnedFd::from(pipe), terminal] {
            let (line, (sent, told)) = (line.clone(), channel());
            std::thread::spawn(move || {
                tell_to(to.as_fd(), line);
                sent.send(()).unwrap();
            });
            told.recv_timeout(20 * PATIENCE).unwrap();
        }
    }
}
