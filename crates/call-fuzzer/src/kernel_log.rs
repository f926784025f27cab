// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The kernel's log: what it complains of, and a line of our own for its console.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;

/// How our own lines start.
pub const PREFIX: &str = "vfio-fsl-mc-fuzz:";

/// Words that a kernel that is well does not print.
const COMPLAINTS: [&str; 14] = [
    "WARNING: ",
    "BUG: ",
    "BUG kmalloc",
    "kernel BUG at",
    "Oops",
    "Unable to handle kernel",
    "Internal error:",
    "refcount_t:",
    "UBSAN:",
    "possible recursive locking",
    "rcu: INFO:",
    "LOCKUP",
    "blocked for more than",
    "Call trace:",
];

/// The kernel's log from the time on when it was opened.
#[derive(Debug)]
pub struct KernelLog {
    read: Option<File>,
    write: Option<File>,
}

impl KernelLog {
    /// Opens the log at its end. A system without one (a test's) is one that never
    /// complains.
    pub fn open() -> Self {
        // The kernel drops most of what comes in a burst unless this is set.
        let _ = std::fs::write("/proc/sys/kernel/printk_devkmsg", "on\n");
        let read = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")
            .and_then(|mut file| file.seek(SeekFrom::End(0)).map(|_| file))
            .ok();
        Self { read, write: OpenOptions::new().write(true).open("/dev/kmsg").ok() }
    }

    /// Puts a line on the console.
    pub fn say(&mut self, line: &str) {
        if let Some(file) = &mut self.write {
            // One write is one message; a long one is cut by the kernel.
            let text: String = line.chars().take(900).collect();
            let _ = file.write_all(format!("<4>{PREFIX} {text}\n").as_bytes());
        }
    }

    /// The first new message that is a complaint.
    pub fn complaint(&mut self) -> Option<String> {
        let file = self.read.as_mut()?;
        let mut record = [0; 8192];
        loop {
            match file.read(&mut record) {
                Ok(0) => return None,
                Ok(length) => {
                    let record = String::from_utf8_lossy(record.get(..length)?);
                    if let Some(complaint) = complaint(&record) {
                        return Some(complaint);
                    }
                }
                // Messages were overwritten before they were read: there are more.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }
}

/// The text of a record of `/dev/kmsg` that is a complaint.
fn complaint(record: &str) -> Option<String> {
    let text = record.split_once(';')?.1.lines().next()?;
    let complains = COMPLAINTS.iter().any(|word| text.contains(word)) && !text.contains(PREFIX);
    complains.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::complaint;

    #[test]
    fn complaints_are_told_from_the_rest() {
        let oops = "1,334,9,-;Unable to handle kernel NULL pointer dereference\n SUBSYSTEM=x\n";
        assert_eq!(complaint(oops).unwrap(), "Unable to handle kernel NULL pointer dereference");
        assert_eq!(complaint("6,3,9,-;fsl_mc_bus: scanned\n"), None);
        assert_eq!(complaint("4,3,9,-;vfio-fsl-mc-fuzz: finding: BUG: x\n"), None);
    }
}
