// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A program in the guest that one talks to, line by line.

use anyhow::{Context, Result, bail, ensure};
use std::{
    io::{self, PipeWriter, Write},
    sync::mpsc::{Receiver, Sender},
    time::Duration,
};

/// How long an answer may take, with a busy host in mind.
const PATIENCE: Duration = Duration::from_secs(60);

/// The near end of a conversation with a program in the guest that answers each line
/// of its standard input by a line, `ok ...` or `error ...`.
pub struct LineSession {
    stdin: PipeWriter,
    stdout: Receiver<String>,
}

impl LineSession {
    pub(crate) fn new(stdin: PipeWriter, stdout: Receiver<String>) -> Self {
        Self { stdin, stdout }
    }

    /// Says a line; returns what comes back, whatever it is.
    pub fn try_request(&mut self, line: &str) -> Result<String> {
        writeln!(self.stdin, "{line}").with_context(|| format!("saying `{line}`"))?;
        let answer = self.stdout.recv_timeout(PATIENCE);
        answer.with_context(|| format!("no answer to `{line}`"))
    }

    /// Says a line that must succeed; returns what follows the `ok`.
    pub fn request(&mut self, line: &str) -> Result<String> {
        let answer = self.try_request(line)?;
        match answer.strip_prefix("ok") {
            Some(rest) => Ok(rest.trim().to_owned()),
            None => bail!("`{line}` is answered by `{answer}`"),
        }
    }

    /// Says a line that must be refused with all these words; returns the refusal.
    pub fn request_refused(&mut self, line: &str, words: &[&str]) -> Result<String> {
        let answer = self.try_request(line)?;
        ensure!(answer.starts_with("error "), "`{line}` is answered by `{answer}`");
        let missing: Vec<_> = words.iter().filter(|word| !answer.contains(**word)).collect();
        ensure!(missing.is_empty(), "`{line}` is refused by `{answer}`, without {missing:?}");
        Ok(answer)
    }

    /// The number that answers a line.
    pub fn request_number(&mut self, line: &str) -> Result<u64> {
        let answer = self.request(line)?;
        answer.parse().with_context(|| format!("`{line}` is answered by `{answer}`"))
    }
}

/// Sends each line that is written to it.
pub(crate) struct Lines {
    partial: Vec<u8>,
    lines: Sender<String>,
}

impl Lines {
    pub fn new(lines: Sender<String>) -> Self {
        Self { partial: Vec::new(), lines }
    }
}

impl Write for Lines {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        for &byte in data {
            if byte == b'\n' {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.partial)).into_owned();
                // Nobody listens any more: the program may still say good-bye.
                let _ = self.lines.send(line);
            } else {
                self.partial.push(byte);
            }
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::BufRead, sync::mpsc};

    #[test]
    fn lines_come_whole_and_answers_are_told_apart() {
        let (sender, lines) = mpsc::channel();
        let mut far_end = Lines::new(sender);
        far_end.write_all(b"ok 1").unwrap();
        far_end.write_all(b"2\nerror no such thing\n").unwrap();
        let (heard, stdin) = io::pipe().unwrap();
        let mut session = LineSession::new(stdin, lines);
        assert_eq!(session.request_number("how many").unwrap(), 12);
        assert!(session.request_refused("what", &["such", "thing"]).is_ok());
        far_end.write_all(b"error no\n").unwrap();
        assert!(session.request_refused("what", &["permission"]).is_err());
        drop(session);
        let heard: Vec<_> = io::BufReader::new(heard).lines().map(Result::unwrap).collect();
        assert_eq!(heard, ["how many", "what", "what"]);
    }
}
