// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A named pipe, which readers come to and leave as they like. Each gets a whole file: who
//! comes after another one finds nothing that was for that one.

use super::{Encoder, Head, Packet};
use crate::stop::Stop;
use parking_lot::Mutex;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    io::Errno,
};
use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How long a reader that takes nothing is waited for when it is over.
const LAST_BLOCK: Duration = Duration::from_secs(1);
/// How long one is that does.
const LAST_BLOCKS: Duration = Duration::from_secs(5);

/// A pipe.
pub struct Pipe {
    path: PathBuf,
    head: Head,
    /// The pipe and what is written to it, while somebody reads.
    open: Arc<Mutex<Option<Open>>>,
    /// What sees the reader leave.
    watch: Option<Watch>,
    /// All of it is over.
    stop: Arc<Stop>,
    /// How long a reader has then, once it has had to be waited for.
    end: Option<Instant>,
}

struct Open {
    file: File,
    encoder: Encoder,
}

struct Watch {
    stop: Arc<Stop>,
    thread: JoinHandle<()>,
}

impl Pipe {
    /// A pipe that nobody reads from yet.
    pub fn new(path: &Path, head: Head, stop: Arc<Stop>) -> Self {
        Self { path: path.into(), head, open: Arc::default(), watch: None, stop, end: None }
    }

    /// Writes a frame, if somebody reads; waits for a reader that is slow.
    pub fn write(&mut self, packet: &Packet) -> io::Result<()> {
        if self.open.lock().is_none() {
            self.open()?;
        }
        let written = match &mut *self.open.lock() {
            None => return Ok(()),
            Some(Open { file, encoder }) => {
                encoder.add(packet).map_err(io::Error::other).and_then(|()| {
                    encoder.drain(|bytes| write_all(file, bytes, &self.stop, &mut self.end))
                })
            }
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.close();
                Ok(())
            }
            other => other,
        }
    }

    /// Opens the pipe if somebody reads from it.
    fn open(&mut self) -> io::Result<()> {
        self.close();
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file: File = match rustix::fs::open(&self.path, flags, Mode::empty()) {
            Ok(file) => file.into(),
            Err(Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let encoder = match self.head.write(&mut file) {
            Ok(encoder) => encoder,
            // It has left at once.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error),
        };
        self.watch = Some(Watch::start(file.try_clone()?, self.open.clone())?);
        *self.open.lock() = Some(Open { file, encoder });
        Ok(())
    }

    /// Lets go of the pipe: with its last user, what is in it goes.
    fn close(&mut self) {
        if let Some(Watch { stop, thread }) = self.watch.take() {
            stop.set();
            // What it panicked with has been reported.
            let _ = thread.join();
        }
        *self.open.lock() = None;
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.close();
    }
}

impl Watch {
    /// Closes the pipe as soon as nobody reads from it, whether or not frames come: who opens
    /// it next has one that is empty, and waits for its head.
    fn start(pipe: File, open: Arc<Mutex<Option<Open>>>) -> io::Result<Self> {
        let stop = Arc::new(Stop::new()?);
        let told = stop.clone();
        let thread = thread::Builder::new().name("pipe".into()).spawn(move || {
            // Errors are reported unasked.
            if matches!(told.ready(pipe.as_fd(), PollFlags::empty()), Ok(true)) {
                let mut open = open.lock();
                drop(pipe);
                *open = None;
            }
        })?;
        Ok(Self { stop, thread })
    }
}

/// Writes all of a block, waiting for a reader that is slow. When all is over, it waits only
/// for so long; nothing may follow what was not written whole.
fn write_all(
    pipe: &mut File,
    mut bytes: &[u8],
    stop: &Stop,
    end: &mut Option<Instant>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match pipe.write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !stop.ready(pipe.as_fd(), PollFlags::OUT)? {
                    let end = *end.get_or_insert_with(|| Instant::now() + LAST_BLOCKS);
                    let left = end.saturating_duration_since(Instant::now());
                    wait_for_place(pipe, left.min(LAST_BLOCK))?;
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until a pipe takes more.
fn wait_for_place(pipe: &File, time: Duration) -> io::Result<()> {
    let time = Timespec::try_from(time).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(pipe, PollFlags::OUT)], Some(&time)) {
        Ok(0) => {
            let reason = "its reader does not take what is left at the end";
            Err(io::Error::new(io::ErrorKind::TimedOut, reason))
        }
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
