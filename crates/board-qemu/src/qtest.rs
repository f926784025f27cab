// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A client of QEMU's test socket: stores to and loads from the machine's
//! physical addresses, beside the running guest (QEMU docs/devel/testing/qtest.rst).
//!
//! QEMU serves the socket in its main loop. Never wait for it in a thread that
//! QEMU itself waits for: a server thread of a function, above all.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::error::QtestError;

/// A connection to the test socket.
pub struct Qtest {
    stream: UnixStream,
    limit: Duration,
    received: VecDeque<u8>,
}

/// One store of a [`Qtest::store`] batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// A 16-bit store of a value at an address.
    Word(u64, u16),
    /// A 32-bit store of a value at an address.
    Long(u64, u32),
    /// A copy of bytes to an address.
    Bytes(u64, Vec<u8>),
}

impl Store {
    fn line(&self) -> String {
        match self {
            Self::Word(address, value) => format!("writew {address:#x} {value:#x}"),
            Self::Long(address, value) => format!("writel {address:#x} {value:#x}"),
            Self::Bytes(address, bytes) => {
                let mut line = format!("write {address:#x} {:#x} 0x", bytes.len());
                for byte in bytes {
                    // Writing to a string does not fail.
                    let _ = write!(line, "{byte:02x}");
                }
                line
            }
        }
    }
}

/// Longer lines than this are no answers.
const LONGEST_ANSWER: usize = 4096;

impl Qtest {
    /// Speaks over `stream`, waiting at most `limit` for each answer.
    ///
    /// # Errors
    /// Where the socket does not take the time limit.
    pub fn new(stream: UnixStream, limit: Duration) -> io::Result<Self> {
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Self { stream, limit, received: VecDeque::new() })
    }

    /// Performs stores in order and returns when QEMU has performed them all.
    ///
    /// # Errors
    /// See [`QtestError`]; the stores before the refused one have happened, and
    /// the connection is of no further use.
    pub fn store(&mut self, stores: &[Store]) -> Result<(), QtestError> {
        // Sent ahead of the answers, in pieces that both sockets' buffers hold.
        for batch in stores.chunks(64) {
            let lines: Vec<String> = batch.iter().map(Store::line).collect();
            self.send(&lines)?;
            for line in &lines {
                self.answer(line)?;
            }
        }
        Ok(())
    }

    /// A 32-bit load.
    ///
    /// # Errors
    /// See [`QtestError`].
    pub fn load(&mut self, address: u64) -> Result<u32, QtestError> {
        let line = format!("readl {address:#x}");
        self.send(std::slice::from_ref(&line))?;
        let answer = self.answer(&line)?;
        answer
            .trim()
            .strip_prefix("0x")
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .map(|value| value as u32)
            .ok_or(QtestError::Refused { command: line, answer })
    }

    fn send(&mut self, lines: &[String]) -> Result<(), QtestError> {
        let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        let command = lines.first().cloned().unwrap_or_default();
        self.stream.write_all(text.as_bytes()).map_err(|e| self.failed(&command, e))
    }

    /// The rest of the `OK` line that answers `command`.
    fn answer(&mut self, command: &str) -> Result<String, QtestError> {
        loop {
            let line = self.line().map_err(|e| self.failed(command, e))?;
            // Interrupt reports may come in between.
            if line.starts_with("IRQ ") {
                continue;
            }
            return match line.strip_prefix("OK") {
                Some(rest) => Ok(rest.to_string()),
                None => Err(QtestError::Refused { command: command.to_string(), answer: line }),
            };
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_string());
            }
            if self.received.len() > LONGEST_ANSWER {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer has no end"));
            }
            let mut buf = [0; 1024];
            match self.stream.read(&mut buf) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.received.extend(&buf[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn failed(&self, command: &str, source: io::Error) -> QtestError {
        let command = command.to_string();
        match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                QtestError::Timeout { command, limit: self.limit }
            }
            _ => QtestError::Socket { command, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::thread;

    /// A server that answers each line with the next of `answers`, then closes.
    fn server(answers: &'static [&'static str]) -> (Qtest, thread::JoinHandle<Vec<String>>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let handle = thread::spawn(move || {
            let mut lines = BufReader::new(theirs.try_clone().unwrap()).lines();
            let mut seen = vec![];
            let mut theirs = theirs;
            for answer in answers {
                seen.push(lines.next().unwrap().unwrap());
                theirs.write_all(answer.as_bytes()).unwrap();
            }
            seen
        });
        (Qtest::new(ours, Duration::from_secs(5)).unwrap(), handle)
    }

    #[test]
    fn stores_and_loads() {
        let (mut qtest, server) =
            server(&["OK\n", "IRQ raise 3\nOK\n", "OK\n", "OK 0x00000000deadbeef\n"]);
        qtest
            .store(&[
                Store::Word(0x40_1002_0004, 6),
                Store::Long(0x10, 0xff),
                Store::Bytes(0x1600_0000, vec![0x40, 0, 9]),
            ])
            .unwrap();
        assert_eq!(qtest.load(0x1500_0020).unwrap(), 0xdead_beef);
        drop(qtest);
        assert_eq!(
            server.join().unwrap(),
            [
                "writew 0x4010020004 0x6",
                "writel 0x10 0xff",
                "write 0x16000000 0x3 0x400009",
                "readl 0x15000020"
            ]
        );
    }

    #[test]
    fn a_refusal_names_the_command() {
        let (mut qtest, _server) = server(&["OK\n", "FAIL Unknown command 'writel'\n"]);
        let error = qtest.store(&[Store::Long(1, 2), Store::Long(3, 4)]).unwrap_err();
        assert!(
            matches!(&error, QtestError::Refused { command, answer } if command == "writel 0x3 0x4" && answer.starts_with("FAIL")),
            "{error}"
        );
    }

    #[test]
    fn a_silent_server_times_out() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut qtest = Qtest::new(ours, Duration::from_millis(20)).unwrap();
        assert!(matches!(qtest.load(0), Err(QtestError::Timeout { .. })));
    }

    #[test]
    fn a_closed_socket_and_an_endless_answer_are_errors() {
        let (mut qtest, server) = server(&[]);
        server.join().unwrap();
        assert!(matches!(qtest.load(0), Err(QtestError::Socket { .. })));
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut qtest = Qtest::new(ours, Duration::from_secs(5)).unwrap();
        let feeder = thread::spawn(move || theirs.write_all(&[b'x'; 3 * LONGEST_ANSWER]));
        assert!(matches!(qtest.load(0), Err(QtestError::Socket { .. })));
        drop(qtest);
        let _ = feeder.join();
    }
}
