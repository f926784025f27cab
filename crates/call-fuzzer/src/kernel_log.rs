// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The kernel's log: what it complains of, and lines of our own for its console.

use fsl_mc_linux::kmsg::{self, Reader, Writer};
use std::io;

/// How our own lines start.
pub const PREFIX: &str = "vfio-fsl-mc-fuzz:";

/// The severity of our own lines: a warning, which the console shows.
const LEVEL: u8 = 4;

/// The kernel's log from the time on when it was opened.
#[derive(Debug)]
pub struct KernelLog {
    reader: Reader,
    writer: Writer,
}

impl KernelLog {
    /// Opens the log at its end.
    ///
    /// Without its log a run would find nothing of what the kernel complains of.
    pub fn open() -> io::Result<Self> {
        // The kernel drops most of what comes in a burst unless this is set.
        let _ = std::fs::write("/proc/sys/kernel/printk_devkmsg", "on\n");
        Ok(Self { reader: Reader::from_end()?, writer: Writer::open()? })
    }

    /// Puts a line on the console.
    pub fn say(&mut self, line: &str) {
        // It is on standard output or standard error as well.
        let _ = self.writer.write(LEVEL, &format!("{PREFIX} {line}"));
    }

    /// The first new message that is a complaint.
    pub fn complaint(&mut self) -> Option<String> {
        loop {
            match self.reader.next_record() {
                Ok(Some(record)) if complains(&record.text) => return Some(record.text),
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(format!("the kernel's log cannot be read: {error}")),
            }
        }
    }
}

fn complains(text: &str) -> bool {
    (kmsg::is_complaint(text) || kmsg::is_call_trace(text)) && !text.contains(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::complains;

    #[test]
    fn complaints_are_told_from_the_rest() {
        assert!(complains("Unable to handle kernel NULL pointer dereference"));
        assert!(complains("Call trace:"));
        assert!(!complains("fsl_mc_bus: scanned"));
        assert!(!complains("vfio-fsl-mc-fuzz: finding: BUG: x"));
    }
}
