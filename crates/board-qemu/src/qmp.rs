// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A client of QEMU's monitor socket (QEMU docs/interop/qmp-spec.rst).

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::QmpError;

/// A connection to the monitor, past its greeting and negotiation.
pub struct Qmp {
    reader: BufReader<UnixStream>,
    limit: Duration,
    shutdown: Option<String>,
}

/// No line of the monitor's is longer.
const LONGEST_LINE: u64 = 1 << 20;

impl Qmp {
    /// Takes the greeting from `stream` and negotiates no capabilities.
    ///
    /// # Errors
    /// See [`QmpError`].
    pub fn new(stream: UnixStream, limit: Duration) -> Result<Self, QmpError> {
        let failed = |source| QmpError::Socket { command: "greeting".into(), source };
        stream.set_read_timeout(Some(limit)).map_err(failed)?;
        stream.set_write_timeout(Some(limit)).map_err(failed)?;
        let mut qmp = Self { reader: BufReader::new(stream), limit, shutdown: None };
        let greeting = qmp.line("greeting")?;
        if greeting.get("QMP").is_none() {
            return Err(QmpError::Garbled { line: greeting.to_string() });
        }
        qmp.execute("qmp_capabilities")?;
        Ok(qmp)
    }

    /// Executes a command without arguments.
    ///
    /// # Errors
    /// See [`QmpError`].
    pub fn execute(&mut self, command: &str) -> Result<Value, QmpError> {
        let line = format!("{}\n", json!({ "execute": command }));
        self.reader.get_mut().write_all(line.as_bytes()).map_err(|e| self.failed(command, e))?;
        loop {
            let mut answer = self.line(command)?;
            if answer.get("event").is_some() {
                self.note(&answer);
            } else if let Some(error) = answer.get("error") {
                let description = error
                    .get("desc")
                    .and_then(Value::as_str)
                    .unwrap_or("no reason given")
                    .to_string();
                return Err(QmpError::Refused { command: command.to_string(), description });
            } else if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            } else {
                return Err(QmpError::Garbled { line: answer.to_string() });
            }
        }
    }

    /// Why the machine shut down ("guest-shutdown", "guest-reset",
    /// "host-signal", ...), from the events on the socket. Reads until QEMU has ended: it would
    /// keep what nobody reads in memory, and a guest makes as many events as it likes.
    pub fn shutdown_reason(mut self) -> Option<String> {
        if let Err(error) = self.reader.get_ref().set_read_timeout(None) {
            tracing::debug!(%error, "the monitor is read no longer than a while");
        }
        while let Ok(line) = self.line("shutdown") {
            self.note(&line);
        }
        self.shutdown
    }

    fn note(&mut self, event: &Value) {
        if event.get("event").and_then(Value::as_str) == Some("SHUTDOWN") {
            self.shutdown =
                event.pointer("/data/reason").and_then(Value::as_str).map(str::to_string);
        }
    }

    fn line(&mut self, command: &str) -> Result<Value, QmpError> {
        let mut line = String::new();
        let count = (&mut self.reader)
            .take(LONGEST_LINE)
            .read_line(&mut line)
            .map_err(|e| self.failed(command, e))?;
        if count == 0 {
            return Err(self.failed(command, io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_str(&line).map_err(|_| QmpError::Garbled { line })
    }

    fn failed(&self, command: &str, source: io::Error) -> QmpError {
        let command = command.to_string();
        match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                QmpError::Timeout { command, limit: self.limit }
            }
            _ => QmpError::Socket { command, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: &str = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n";

    /// A connection to a monitor that has already said all it will say.
    fn monitor(lines: &str) -> (UnixStream, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(lines.as_bytes()).unwrap();
        (ours, theirs)
    }

    #[test]
    fn negotiates_executes_and_tells_the_reason_of_the_end() {
        let (ours, mut theirs) = monitor(&format!(
            "{GREETING}{{\"return\": {{}}}}\n{{\"event\": \"RESUME\"}}\n{{\"return\": {{\"running\": true}}}}\n"
        ));
        let mut qmp = Qmp::new(ours, Duration::from_secs(5)).unwrap();
        assert_eq!(qmp.execute("cont").unwrap(), json!({"running": true}));
        let mut sent = [0; 256];
        let n = theirs.read(&mut sent).unwrap();
        assert_eq!(&sent[..n], b"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"cont\"}\n");
        theirs.write_all(b"{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\n").unwrap();
        drop(theirs);
        assert_eq!(qmp.shutdown_reason().as_deref(), Some("guest-reset"));
    }

    #[test]
    fn a_refusal_carries_the_description() {
        let (ours, _theirs) = monitor(&format!(
            "{GREETING}{{\"error\": {{\"class\": \"GenericError\", \"desc\": \"no way\"}}}}\n"
        ));
        let error = Qmp::new(ours, Duration::from_secs(5)).err().unwrap();
        assert!(
            matches!(&error, QmpError::Refused { description, .. } if description == "no way"),
            "{error}"
        );
    }

    #[test]
    fn silence_garbage_and_hang_up_are_errors() {
        let (ours, _theirs) = monitor("");
        assert!(matches!(Qmp::new(ours, Duration::from_millis(20)), Err(QmpError::Timeout { .. })));
        let (ours, _theirs) = monitor("hello\n");
        assert!(matches!(Qmp::new(ours, Duration::from_secs(5)), Err(QmpError::Garbled { .. })));
        let (ours, theirs) = monitor("");
        drop(theirs);
        assert!(matches!(Qmp::new(ours, Duration::from_secs(5)), Err(QmpError::Socket { .. })));
    }
}
