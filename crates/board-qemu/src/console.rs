// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the guest prints on its serial console.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines that are kept; older ones are forgotten.
const KEPT_LINES: usize = 100_000;
/// Bytes of lines that are kept; older ones are forgotten.
const KEPT_BYTES: usize = 16 << 20;
/// A longer line is cut into pieces.
const LONGEST_LINE: usize = 16 * 1024;

/// Called with each line, without its end, in the thread that reads the console.
pub type LineHook = Box<dyn FnMut(&str) + Send>;

/// The console of one machine: its lines so far, and more to come.
#[derive(Default)]
pub struct Console {
    log: Mutex<Log>,
    changed: Condvar,
}

#[derive(Default)]
struct Log {
    lines: VecDeque<String>,
    /// In all of `lines`.
    bytes: usize,
    /// Number of lines forgotten before the first of `lines`.
    forgotten: usize,
    ended: bool,
}

impl Console {
    /// All lines that are kept, in order.
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.iter().cloned().collect()
    }

    /// The last `count` lines.
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let log = self.lock();
        let skip = log.lines.len().saturating_sub(count);
        log.lines.iter().skip(skip).cloned().collect()
    }

    /// Waits for a line that contains `text`, from the first line on. None
    /// where the time is over or the machine ends before.
    pub fn wait_for(&self, text: &str, limit: Duration) -> Option<String> {
        let end = Instant::now() + limit;
        let mut seen = 0;
        let mut log = self.lock();
        loop {
            let skip = seen.max(log.forgotten) - log.forgotten;
            if let Some(line) = log.lines.iter().skip(skip).find(|line| line.contains(text)) {
                return Some(line.clone());
            }
            seen = log.forgotten + log.lines.len();
            let left = end.checked_duration_since(Instant::now())?;
            if log.ended {
                return None;
            }
            log = self.changed.wait_timeout(log, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Reads `stream` to its end; each line goes to the log, `file` and `hook`.
    /// A file that cannot be written any more (a full disk) is left alone, with
    /// a warning: the machine matters more than its log.
    pub(crate) fn follow(
        &self,
        mut stream: UnixStream,
        mut file: Option<File>,
        mut hook: Option<LineHook>,
    ) {
        let mut partial: Vec<u8> = vec![];
        let mut buf = [0; 8192];
        loop {
            let count = match stream.read(&mut buf) {
                Ok(0) => break,
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            if let Some(Err(error)) = file.as_mut().map(|file| file.write_all(&buf[..count])) {
                tracing::warn!("the console's file is incomplete: {error}");
                file = None;
            }
            for byte in &buf[..count] {
                if *byte == b'\n' || partial.len() >= LONGEST_LINE {
                    self.push(&partial, &mut hook);
                    partial.clear();
                }
                if *byte != b'\n' {
                    partial.push(*byte);
                }
            }
        }
        if !partial.is_empty() {
            self.push(&partial, &mut hook);
        }
        self.lock().ended = true;
        self.changed.notify_all();
    }

    fn push(&self, line: &[u8], hook: &mut Option<LineHook>) {
        let text = String::from_utf8_lossy(line).trim_end_matches('\r').to_string();
        if let Some(hook) = hook {
            hook(&text);
        }
        let mut log = self.lock();
        log.bytes += text.len();
        log.lines.push_back(text);
        while log.lines.len() > KEPT_LINES || log.bytes > KEPT_BYTES {
            let Some(oldest) = log.lines.pop_front() else { break };
            log.bytes = log.bytes.saturating_sub(oldest.len());
            log.forgotten += 1;
        }
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        // A holder that panicked has at worst not added its line.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn lines_reach_log_file_and_hook() {
        let (mut guest, host) = UnixStream::pair().unwrap();
        let console = Arc::new(Console::default());
        let seen = Arc::new(Mutex::new(vec![]));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console");
        let follower = thread::spawn({
            let (console, seen, file) =
                (console.clone(), seen.clone(), File::create(&path).unwrap());
            move || {
                console.follow(
                    host,
                    Some(file),
                    Some(Box::new(move |line| seen.lock().unwrap().push(line.to_string()))),
                )
            }
        });
        guest.write_all(b"first\r\nsec").unwrap();
        assert_eq!(console.wait_for("irs", Duration::from_secs(5)).as_deref(), Some("first"));
        assert_eq!(console.wait_for("second", Duration::from_millis(10)), None);
        guest.write_all(b"ond\n\xff tail").unwrap();
        assert_eq!(console.wait_for("second", Duration::from_secs(5)).as_deref(), Some("second"));
        drop(guest);
        assert_eq!(
            console.wait_for("never", Duration::from_secs(60)),
            None,
            "the end ends the wait"
        );
        follower.join().unwrap();
        assert_eq!(console.lines(), ["first", "second", "\u{fffd} tail"]);
        assert_eq!(console.last_lines(1), ["\u{fffd} tail"]);
        assert_eq!(*seen.lock().unwrap(), console.lines());
        assert_eq!(std::fs::read(path).unwrap(), b"first\r\nsecond\n\xff tail");
    }

    #[test]
    fn what_is_kept_has_an_end_in_lines_and_in_bytes() {
        let console = Console::default();
        let long = vec![b'x'; LONGEST_LINE];
        let fit = KEPT_BYTES / LONGEST_LINE;
        (0..fit + 3).for_each(|_| console.push(&long, &mut None));
        assert_eq!(console.lines().len(), fit);
        console.push(b"last", &mut None);
        assert_eq!(console.lines().len(), fit);
        assert_eq!(console.wait_for("last", Duration::ZERO).as_deref(), Some("last"));
        (0..KEPT_LINES + 3).for_each(|_| console.push(b"y", &mut None));
        assert_eq!((console.lines().len(), console.lock().bytes), (KEPT_LINES, KEPT_LINES));
    }

    #[test]
    fn an_endless_line_is_cut() {
        let (mut guest, host) = UnixStream::pair().unwrap();
        let console = Arc::new(Console::default());
        let follower = thread::spawn({
            let console = console.clone();
            move || console.follow(host, None, None)
        });
        guest.write_all(&vec![b'x'; LONGEST_LINE + 10]).unwrap();
        drop(guest);
        follower.join().unwrap();
        assert_eq!(console.lines().iter().map(String::len).collect::<Vec<_>>(), [LONGEST_LINE, 10]);
    }
}
