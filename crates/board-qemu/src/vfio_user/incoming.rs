// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What has arrived on a connection and is not dealt with yet.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::message::{ACCESS, HEADER, Header};
use super::patience::Patience;
use super::{LARGEST_ACCESS, MOST_DESCRIPTORS, ServeError};

/// Room for the largest message.
const CAPACITY: usize = HEADER + ACCESS + LARGEST_ACCESS;

/// Bytes and file descriptors.
#[derive(Debug)]
pub struct Incoming {
    buffer: Box<[u8]>,
    /// Where in the buffer the bytes are that have not been looked at.
    unread: Range<usize>,
    descriptors: Vec<File>,
    /// The descriptors belong to the message that this position is in, or that
    /// ends there: the kernel lets no bytes of a later message follow those that
    /// came with descriptors in the same receive.
    descriptors_at: usize,
}

impl Incoming {
    pub fn new() -> Self {
        Self {
            buffer: vec![0; CAPACITY].into(),
            unread: 0..0,
            descriptors: Vec::new(),
            descriptors_at: 0,
        }
    }

    /// The next message that is there as a whole: its header, and where its body
    /// is.
    ///
    /// # Errors
    /// [`ServeError::Malformed`] where its size is impossible.
    pub fn next(&mut self) -> Result<Option<(Header, Range<usize>)>, ServeError> {
        let Some(header) = self.buffer.get(self.unread.clone()).and_then(Header::parse) else {
            return Ok(None);
        };
        let size = usize::try_from(header.size).unwrap_or(usize::MAX);
        if !(HEADER..=CAPACITY).contains(&size) {
            return Err(ServeError::Malformed { command: header.command, size: header.size });
        }
        if self.unread.len() < size {
            return Ok(None);
        }
        let start = self.unread.start;
        self.unread.start += size;
        Ok(Some((header, start + HEADER..start + size)))
    }

    /// The bytes of a message's body.
    pub fn body(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or_default()
    }

    /// The file descriptors that came with the message whose body ends at `end`.
    pub fn descriptors(&mut self, end: usize) -> Vec<File> {
        if self.descriptors_at <= end { std::mem::take(&mut self.descriptors) } else { vec![] }
    }

    /// Waits for more bytes. False where the client has closed the connection.
    ///
    /// # Errors
    /// What the socket said, or that it ended in the middle of a message.
    pub fn receive(&mut self, stream: &UnixStream, patience: &mut Patience) -> io::Result<bool> {
        self.make_room();
        let start = Instant::now();
        let looking = patience.now();
        let bytes = loop {
            let last = start.elapsed() >= looking;
            let flags = if last { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
            match self.receive_once(stream, flags) {
                // The client may be waiting for this very processor.
                Err(Errno::AGAIN) => thread::yield_now(),
                Err(Errno::INTR) => {}
                result => break result?,
            }
        };
        patience.came_after(start.elapsed());
        if bytes == 0 && !self.unread.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes != 0)
    }

    fn receive_once(&mut self, stream: &UnixStream, flags: RecvFlags) -> rustix::io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let free = self.buffer.get_mut(self.unread.end..).unwrap_or_default();
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        let bytes = recvmsg(stream, &mut [IoSliceMut::new(free)], &mut control, flags)?.bytes;
        self.unread.end += bytes;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors.map(File::from));
                self.descriptors_at = self.unread.end;
            }
        }
        Ok(bytes)
    }

    /// Moves what is left of a message to the start of the buffer, where any
    /// message has room.
    fn make_room(&mut self) {
        let moved = self.unread.start;
        if moved == 0 {
            return;
        }
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        self.descriptors_at = self.descriptors_at.saturating_sub(moved);
    }
}
