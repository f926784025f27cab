// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! One direction of a byte stream: from a source through a bounded buffer to a sink.
//!
//! Both ends are non-blocking. The source is read only while there is space, so that
//! a slow reader slows the writer, and nothing is dropped while the sink is there.

use rustix::fd::BorrowedFd;
use rustix::io::Errno;

/// Size of the buffer in bytes: that of a pipe.
const CAPACITY: usize = 64 << 10;

/// A stream with its buffer.
#[derive(Debug)]
pub struct Shuttle {
    buffer: Vec<u8>,
    /// The part of `buffer` before this has been delivered.
    start: usize,
    /// Bytes that the sink has taken.
    delivered: u64,
    source_ended: bool,
    sink_gone: bool,
}

/// What reading the source gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// So many bytes, not 0.
    Bytes(usize),
    /// Nothing now.
    Empty,
    /// Nothing ever again.
    End,
}

impl Shuttle {
    /// An empty stream.
    pub fn new() -> Self {
        Self { buffer: Vec::new(), start: 0, delivered: 0, source_ended: false, sink_gone: false }
    }

    /// Bytes that the sink has taken.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Whether the source should be read.
    pub fn wants_input(&self) -> bool {
        !self.source_ended && self.space() > 0
    }

    /// Whether there is something for the sink.
    pub fn wants_output(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// Whether the source has ended and everything is delivered.
    pub fn finished(&self) -> bool {
        self.source_ended && !self.wants_output()
    }

    /// Whether the source has ended.
    pub fn source_ended(&self) -> bool {
        self.source_ended
    }

    /// Whether the sink has gone.
    pub fn sink_gone(&self) -> bool {
        self.sink_gone
    }

    /// Reads no more from the source.
    pub fn end_source(&mut self) {
        self.source_ended = true;
    }

    /// Throws away what there is and what comes.
    pub fn lose_sink(&mut self) {
        self.sink_gone = true;
        self.buffer.clear();
        self.start = 0;
    }

    /// Puts bytes into the stream as if the source had given them.
    pub fn insert(&mut self, bytes: &[u8]) {
        if !self.sink_gone {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Reads the source once, `most` bytes at most; `most` must not be 0. What is read
    /// when the sink has gone is thrown away.
    pub fn fill(&mut self, source: BorrowedFd<'_>, most: u64) -> Fill {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let used = self.buffer.len();
        let space = self.space().min(usize::try_from(most).unwrap_or(usize::MAX));
        if space == 0 {
            return Fill::Empty;
        }
        self.buffer.resize(used + space, 0);
        let read = rustix::io::read(source, self.buffer.get_mut(used..).unwrap_or_default());
        let fill = match read {
            Ok(0) => Fill::End,
            Ok(count) => Fill::Bytes(count),
            Err(Errno::AGAIN | Errno::INTR) => Fill::Empty,
            // A pty master answers EIO when nobody has the terminal open.
            Err(_) => Fill::End,
        };
        self.buffer.truncate(used + if let Fill::Bytes(count) = fill { count } else { 0 });
        if self.sink_gone {
            self.buffer.clear();
        }
        if fill == Fill::End {
            self.source_ended = true;
        }
        fill
    }

    /// Writes to the sink once.
    pub fn drain(&mut self, sink: BorrowedFd<'_>) {
        let pending = self.buffer.get(self.start..).unwrap_or_default();
        if pending.is_empty() {
            return;
        }
        match rustix::io::write(sink, pending) {
            Ok(count) => {
                self.start += count;
                self.delivered += count as u64;
                if self.start >= self.buffer.len() {
                    self.buffer.clear();
                    self.start = 0;
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.lose_sink(),
        }
    }

    fn space(&self) -> usize {
        CAPACITY.saturating_sub(self.buffer.len() - self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd;
    use rustix::pipe::{PipeFlags, pipe_with};

    #[test]
    fn a_full_sink_stops_the_source_and_nothing_is_lost() {
        let (out_read, out_write) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let (in_read, in_write) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let mut shuttle = Shuttle::new();
        let mut sent = Vec::new();
        let mut received = Vec::new();
        let mut stalled = false;
        while sent.len() < 1 << 20 {
            let chunk: Vec<u8> = (0..4096).map(|i| (sent.len() / 4096 + i) as u8).collect();
            match rustix::io::write(&in_write, &chunk) {
                Ok(count) => sent.extend_from_slice(&chunk[..count]),
                // The writer is held back: only now is the reader served.
                Err(Errno::AGAIN) => {
                    stalled = true;
                    let mut bytes = [0; 5000];
                    if let Ok(count) = rustix::io::read(&out_read, &mut bytes) {
                        received.extend_from_slice(&bytes[..count]);
                    }
                }
                Err(error) => panic!("{error}"),
            }
            if shuttle.wants_input() {
                shuttle.fill(in_read.as_fd(), u64::MAX);
            }
            shuttle.drain(out_write.as_fd());
        }
        drop(in_write);
        while !shuttle.finished() {
            if shuttle.wants_input() {
                shuttle.fill(in_read.as_fd(), u64::MAX);
            }
            shuttle.drain(out_write.as_fd());
            let mut bytes = [0; 5000];
            if let Ok(count) = rustix::io::read(&out_read, &mut bytes) {
                received.extend_from_slice(&bytes[..count]);
            }
        }
        drop(out_write);
        let mut bytes = [0; 5000];
        while let Ok(count @ 1..) = rustix::io::read(&out_read, &mut bytes) {
            received.extend_from_slice(&bytes[..count]);
        }
        assert!(stalled);
        assert_eq!(shuttle.delivered(), sent.len() as u64);
        assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    }

    #[test]
    fn a_sink_that_went_away_swallows() {
        let (in_read, in_write) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let (out_read, out_write) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        drop(out_read);
        let mut shuttle = Shuttle::new();
        rustix::io::write(&in_write, b"abc").unwrap();
        assert_eq!(shuttle.fill(in_read.as_fd(), 2), Fill::Bytes(2));
        shuttle.drain(out_write.as_fd());
        assert!(shuttle.sink_gone() && !shuttle.wants_output() && shuttle.wants_input());
        assert_eq!(shuttle.fill(in_read.as_fd(), 2), Fill::Bytes(1));
        assert!(!shuttle.wants_output());
    }
}
