// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The kernel's log from `/dev/kmsg`.

use crate::failure::Failure;
use fslmc_guest::protocol::KernelMessage;
use rustix::io::Errno;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Reads all messages, or those after a sequence number, that the log still has.
///
/// # Errors
/// When the log cannot be opened or read.
pub fn read(after: Option<u64>) -> Result<Vec<KernelMessage>, Failure> {
    let path = Path::new("/dev/kmsg");
    let refused = |error: &std::io::Error| {
        Failure::io("reading the kernel's log", path, error, "Only root may, by default")
    };
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut log = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)
        .map_err(|error| refused(&error))?;
    let mut messages = Vec::new();
    // One read() gives one record; longer ones than this do not exist (8 KiB in
    // kernel/printk).
    let mut record = vec![0; 16 << 10];
    loop {
        match log.read(&mut record) {
            Ok(0) => break,
            Ok(length) => {
                let text = String::from_utf8_lossy(record.get(..length).unwrap_or_default());
                messages.extend(
                    parse(&text).filter(|message| after.is_none_or(|seen| message.sequence > seen)),
                );
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            // The log has wrapped over the record; the next read goes on with the
            // oldest that is left.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::PIPE) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(refused(&error)),
        }
    }
    Ok(messages)
}

/// A record: `priority,sequence,microseconds,flags;text`, then lines of properties
/// that start with a blank (Documentation/ABI/testing/dev-kmsg).
fn parse(record: &str) -> Option<KernelMessage> {
    let (head, rest) = record.split_once(';')?;
    let mut fields = head.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let sequence = fields.next()?.parse().ok()?;
    let micros = fields.next()?.parse().ok()?;
    let text = rest.lines().next().unwrap_or_default();
    Some(KernelMessage { sequence, level: (priority & 7) as u8, micros, text: unescape(text) })
}

/// `/dev/kmsg` writes unprintable bytes as `\xNN`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = rest
            .strip_prefix(b"\\x")
            .and_then(|hex| hex.get(..2))
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = rest.get(4..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_taken_apart() {
        let record = "4,339,5140900,-;NET: a\\x0ab \\x5c;c\n SUBSYSTEM=x\n DEVICE=y\n";
        assert_eq!(
            parse(record),
            Some(KernelMessage {
                sequence: 339,
                level: 4,
                micros: 5_140_900,
                text: "NET: a\nb \\;c".into()
            })
        );
        assert_eq!(parse("no record"), None);
        assert_eq!(unescape("\\xZZ\\x4"), "\\xZZ\\x4");
    }
}
