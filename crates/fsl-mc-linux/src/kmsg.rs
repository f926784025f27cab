// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The kernel's log, `/dev/kmsg` (`Documentation/ABI/testing/dev-kmsg`).

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use std::io;

/// Where the log is.
pub const PATH: &str = "/dev/kmsg";

/// Texts in messages of a kernel that complains about itself.
const COMPLAINTS: [&str; 17] = [
    "WARNING: ",
    "BUG: ",
    "BUG kmalloc",
    "kernel BUG at",
    "Oops",
    "Unable to handle kernel",
    "Internal error:",
    "Kernel panic",
    "refcount_t:",
    "possible recursive locking",
    "rcu: INFO:",
    "hard LOCKUP",
    "nobody cared",
    "blocked for more than",
    // Kernels with more checks.
    "UBSAN:",
    "ODEBUG: ",
    "new suspected memory leaks",
];

/// Whether a message is a complaint of the kernel about itself: a WARN, BUG, Oops or a
/// report of one of its checkers.
///
/// ```
/// use fsl_mc_linux::kmsg::is_complaint;
/// assert!(is_complaint("BUG: KASAN: slab-use-after-free in vfio_y+0x1"));
/// assert!(!is_complaint("fsl_mc_bus 10000000.fsl-mc: MC firmware version"));
/// ```
pub fn is_complaint(message: &str) -> bool {
    COMPLAINTS.iter().any(|text| message.contains(text))
}

/// What Linux complains of that it has had no memory for itself, where allocations are made to
/// fail while devices come and go: the driver core and procfs of a link or an entry that is not
/// there when it is to be removed, the IOMMU's core of a device that it finds without a group
/// when that is bound, the interrupt controller of what it needs memory for to give it back, and
/// VFIO's core of a group that it could not name, which it frees without having forgotten the
/// IOMMU's. No driver has a say in these.
pub const WITHOUT_MEMORY: [&str; 5] = [
    "devlink_remove_symlinks",
    "remove_proc_entry",
    "__iommu_probe_device",
    "its_msi_teardown",
    "vfio_group_release",
];

/// Whether a message is the first line of a call trace. One follows most complaints; the
/// kernel also prints one without.
pub fn is_call_trace(message: &str) -> bool {
    message.contains("Call trace:")
}

/// One message of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Position in the log; counts up.
    pub sequence: u64,
    /// Severity, 0 (emergency) to 7 (debug).
    pub level: u8,
    /// Time since start in microseconds.
    pub micros: u64,
    /// The text, without its newline.
    pub text: String,
}

impl Record {
    /// From what one read gives: `priority,sequence,microseconds,flags;text`, then lines of
    /// properties that start with a blank.
    pub fn parse(record: &str) -> Option<Self> {
        let (head, rest) = record.split_once(';')?;
        let mut fields = head.split(',');
        let priority: u32 = fields.next()?.parse().ok()?;
        let sequence = fields.next()?.parse().ok()?;
        let micros = fields.next()?.parse().ok()?;
        let text = unescape(rest.lines().next().unwrap_or_default());
        Some(Self { sequence, level: (priority & 7) as u8, micros, text })
    }
}

/// The log, read from some place on.
#[derive(Debug)]
pub struct Reader {
    file: OwnedFd,
    buffer: Vec<u8>,
}

impl Reader {
    /// From the oldest message that the log still has.
    ///
    /// # Errors
    /// The kernel's: only root may read it, by default.
    pub fn from_start() -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(PATH, flags, Mode::empty())?;
        // One read gives one record; longer ones do not exist (8 KiB in kernel/printk).
        Ok(Self { file, buffer: vec![0; 16 << 10] })
    }

    /// From the next message on.
    ///
    /// # Errors
    /// Those of [`Reader::from_start`].
    pub fn from_end() -> io::Result<Self> {
        let reader = Self::from_start()?;
        rustix::fs::seek(&reader.file, SeekFrom::End(0))?;
        Ok(reader)
    }

    /// The next message; `None` when there is no more for now. Messages that were
    /// overwritten before they were read are passed over.
    ///
    /// # Errors
    /// The kernel's.
    pub fn next_record(&mut self) -> io::Result<Option<Record>> {
        loop {
            match rustix::io::read(&self.file, &mut self.buffer) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(None),
                Ok(length) => {
                    let bytes = self.buffer.get(..length).unwrap_or_default();
                    if let Some(record) = Record::parse(&String::from_utf8_lossy(bytes)) {
                        return Ok(Some(record));
                    }
                }
                // The log has wrapped over the record; the next read goes on with the
                // oldest that is left.
                Err(Errno::PIPE | Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// All messages that there are for now.
    ///
    /// # Errors
    /// The kernel's.
    pub fn records(&mut self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        while let Some(record) = self.next_record()? {
            records.push(record);
        }
        Ok(records)
    }
}

/// Messages of user space in the log.
#[derive(Debug)]
pub struct Writer {
    file: OwnedFd,
}

impl Writer {
    /// Characters of a message; the kernel cuts longer ones (`PRINTKRB_RECORD_MAX`,
    /// 1024 bytes with what it puts before them).
    const LONGEST: usize = 900;

    /// Opens the log.
    ///
    /// # Errors
    /// The kernel's: only root may write it, by default.
    pub fn open() -> io::Result<Self> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        Ok(Self { file: rustix::fs::open(PATH, flags, Mode::empty())? })
    }

    /// Writes one message with a severity, 0 (emergency) to 7 (debug).
    ///
    /// # Errors
    /// The kernel's.
    pub fn write(&self, level: u8, message: &str) -> io::Result<()> {
        let text: String = message.chars().take(Self::LONGEST).collect();
        // One write is one message.
        rustix::io::write(&self.file, format!("<{level}>{text}\n").as_bytes())?;
        Ok(())
    }
}

/// The log writes unprintable bytes as `\xNN`.
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
        let text = "NET: a\nb \\;c".into();
        assert_eq!(
            Record::parse(record),
            Some(Record { sequence: 339, level: 4, micros: 5_140_900, text })
        );
        assert_eq!(Record::parse("no record"), None);
        assert_eq!(unescape("\\xZZ\\x4"), "\\xZZ\\x4");
    }

    /// Messages that kernels have printed.
    #[test]
    fn complaints_are_told_from_the_rest() {
        for complaint in [
            "WARNING: CPU: 0 PID: 1 at drivers/vfio/x.c:1 vfio_x+0x1",
            "Unable to handle kernel NULL pointer dereference at virtual address 00000008",
            "kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
            "irq 20: nobody cared (try booting with the \"irqpoll\" option)",
            "INFO: task vfio:112 blocked for more than 120 seconds.",
            "UBSAN: array-index-out-of-bounds in drivers/x.c:1:2",
        ] {
            assert!(is_complaint(complaint), "{complaint}");
        }
        for other in [
            "kmemleak: Kernel memory leak detector initialized",
            "KernelAddressSanitizer initialized (generic)",
            "Call trace:",
        ] {
            assert!(!is_complaint(other), "{other}");
        }
        assert!(is_call_trace("Call trace:"));
    }
}
