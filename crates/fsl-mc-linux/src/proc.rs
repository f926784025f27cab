// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the kernel counts in `/proc`: interrupts and memory.

use std::{fs, io};

/// The table of interrupts.
pub const INTERRUPTS: &str = "/proc/interrupts";

/// A line of `/proc/interrupts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupt {
    /// Linux's number.
    pub number: String,
    /// How many there were on all processors.
    pub count: u64,
}

/// The interrupts whose handler has `name` as a word of its own name, such as
/// `vfio-irq[0](dpbp.4)` has `dpbp.4`.
///
/// # Errors
/// When the table cannot be read.
pub fn interrupts_of(name: &str) -> io::Result<Vec<Interrupt>> {
    Ok(interrupts_in(&fs::read_to_string(INTERRUPTS)?, name))
}

fn interrupts_in(table: &str, name: &str) -> Vec<Interrupt> {
    let line = |line: &str| {
        let (number, rest) = line.split_once(':')?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        let counts: Vec<u64> = words.iter().map_while(|word| word.parse().ok()).collect();
        // Behind the counts: controller, number there, trigger; the name of the
        // controller has the container's name in it.
        let handler = words.get(counts.len() + 3..)?.join(" ");
        let mut words = handler.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'));
        words.find(|word| *word == name)?;
        Some(Interrupt { number: number.trim().to_owned(), count: counts.iter().sum() })
    };
    table.lines().filter_map(line).collect()
}

/// A number of `/proc/meminfo`, in KiB; `None` for a name that is not there.
///
/// # Errors
/// When the file cannot be read.
pub fn meminfo(name: &str) -> io::Result<Option<u64>> {
    Ok(field(&fs::read_to_string("/proc/meminfo")?, name))
}

/// A number of `/proc/self/status`, in KiB; `None` for a name that is not there.
///
/// # Errors
/// When the file cannot be read.
pub fn own_status(name: &str) -> io::Result<Option<u64>> {
    Ok(field(&fs::read_to_string("/proc/self/status")?, name))
}

/// How many mappings of devices' memory the kernel has, whoever made them.
///
/// # Errors
/// When `/proc/vmallocinfo` cannot be read: only root may.
pub fn device_mappings() -> io::Result<usize> {
    let areas = fs::read_to_string("/proc/vmallocinfo")?;
    let is_of_device = |area: &&str| area.split_whitespace().any(|word| word == "ioremap");
    Ok(areas.lines().filter(is_of_device).count())
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupts_are_found_by_whole_names() {
        let table = "           CPU0       CPU1\n\
                     20:          3          4  fMSI-dprc.2 1 Edge      vfio-irq[20](dpbp.4)\n\
                     21:          9          9  fMSI-dprc.2 2 Edge      vfio-irq[21](dpbp.41)\n\
                     22:          0          0  fMSI-dprc.2 3 Edge\n\
                     23:          1          0  ITS-fMSI 3 Edge      dpbp.7\n";
        let of = |name| interrupts_in(table, name);
        assert_eq!(of("dpbp.4"), [Interrupt { number: "20".into(), count: 7 }]);
        assert_eq!(of("dpbp.7"), [Interrupt { number: "23".into(), count: 1 }]);
        assert_eq!(of("dpbp.5"), []);
        assert_eq!(of("dprc.2"), []);
    }

    #[test]
    fn fields_are_found_by_whole_names() {
        let text = "VmLck:\t      16 kB\nVmLckX: 3 kB\n";
        assert_eq!(field(text, "VmLck"), Some(16));
        assert_eq!(field(text, "VmL"), None);
        assert!(meminfo("MemTotal").unwrap().is_some_and(|size| size > 0));
    }
}
