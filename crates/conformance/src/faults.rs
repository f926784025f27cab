// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Allocations of the kernel that fail on request, one by one
//! (`Documentation/fault-injection/fault-injection.rst`).
//!
//! What fails is what the driver asks for, itself or through others: an allocation that
//! the driver's code is on the stack of. The others are not the driver's to answer for.

use crate::check::{Stop, fail, skip};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// The kernel's own file system for developers.
const DEBUGFS: &str = "/sys/kernel/debug";

/// What can be told to fail, where the kernel has it: allocators, and copies from and to
/// programs. The count of a task is for all of them.
const FAILING: [&str; 3] = ["failslab", "fail_page_alloc", "fail_usercopy"];

/// Frames of the stack in which the driver is looked for: the kernel looks at no more.
const DEPTH: &str = "32";

/// What kmemleak asks for itself, beside each allocation. It has a store of 16,000 for when it
/// gets nothing, and switches itself off when that is empty.
pub const KMEMLEAK: &str = "__alloc_object";

/// The nth allocation of a task, counted down by the kernel.
const OF_TASK: &str = "fail-nth";

/// The allocators, set up to fail for the driver only. Everything is as before when it is
/// dropped.
#[derive(Debug)]
pub struct Faults {
    before: Vec<(PathBuf, String)>,
}

impl Faults {
    /// For the code of a module, but for what it asks for through a function of the kernel's,
    /// which never fails; the kernel can spare one function.
    ///
    /// The check does not apply where the kernel's allocations do not fail on request.
    pub fn of_module(module: &str, spared: &str) -> Result<Self, Stop> {
        let folder = |name: &str| Path::new(DEBUGFS).join(name);
        let own = Path::new("/proc/thread-self").join(OF_TASK);
        if !own.exists() {
            return skip("the kernel's allocations do not fail on request");
        }
        let failing: Vec<PathBuf> =
            FAILING.into_iter().map(folder).filter(|folder| folder.is_dir()).collect();
        if failing.is_empty() {
            return skip(format!("{DEBUGFS} is not mounted, or has no {}", FAILING[0]));
        }
        let symbols = fs::read_to_string("/proc/kallsyms")?;
        let Some((start, end)) = code_of_module(&symbols, module) else {
            return skip(format!("/proc/kallsyms does not say where {module} is"));
        };
        let mut faults = Self { before: Vec::new() };
        for folder in &failing {
            let mut set = |file: &str, value: &str| faults.set(folder.join(file), value);
            // Nothing fails but by the counts of tasks.
            set("probability", "0")?;
            set("verbose", "0")?;
            set("stacktrace-depth", DEPTH)?;
            set("require-start", &format!("{start:#x}"))?;
            set("require-end", &format!("{end:#x}"))?;
            // A kernel without the function asks for nothing through it.
            if let Some((start, end)) = code_of(&symbols, spared) {
                set("reject-start", &format!("{start:#x}"))?;
                set("reject-end", &format!("{end:#x}"))?;
            }
            // By default, allocations that can wait do not fail, nor do single pages.
            for (file, value) in [("ignore-gfp-wait", "N"), ("min-order", "0")] {
                if folder.join(file).exists() {
                    set(file, value)?;
                }
            }
        }
        Ok(faults)
    }

    fn set(&mut self, file: PathBuf, value: &str) -> Result<(), Stop> {
        let before = fs::read_to_string(&file)?;
        fs::write(&file, value)?;
        self.before.push((file, before.trim().to_owned()));
        Ok(())
    }

    /// Does something in which the `nth` allocation fails. Whether it came to that.
    pub fn during<T>(&self, nth: u32, step: impl FnOnce() -> T) -> Result<(T, bool), Stop> {
        // The links lead to the thread that opens them.
        let own = Path::new("/proc/thread-self").join(OF_TASK);
        fs::write(&own, nth.to_string())?;
        let result = step();
        let left = left(&own);
        fs::write(&own, "0")?;
        Ok((result, left? == 0))
    }

    /// The same for what the kernel's own threads do while `step` lasts: in each that works
    /// for whoever has work, the `nth` allocation fails. The kernel may start one for the step;
    /// it is found soon after, perhaps too late.
    pub fn during_work<T>(&self, nth: u32, step: impl FnOnce() -> T) -> Result<(T, bool), Stop> {
        let mut armed = Armed::default();
        armed.arm(workers()?, nth);
        if armed.0.is_empty() {
            return fail("the kernel has workers of unbound queues", "none is in /proc");
        }
        let over = AtomicBool::new(false);
        let result = thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Acquire) {
                    // What cannot be listed now may be next time.
                    armed.arm(workers().unwrap_or_default(), nth);
                    thread::sleep(NEW_WORKERS);
                }
            });
            let _ended = Ended(&over);
            step()
        });
        Ok((result, armed.disarm()))
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        for (file, value) in self.before.iter().rev() {
            // What stays is noticed by the checks that follow, which nothing may fail in.
            let _ = fs::write(file, value);
        }
    }
}

/// How often new workers are looked for.
const NEW_WORKERS: Duration = Duration::from_millis(10);

/// Tells a thread that goes on until then that something has ended, in a panic too.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The counts of threads that were set.
#[derive(Debug, Default)]
struct Armed(BTreeSet<PathBuf>);

impl Armed {
    /// Sets those that have not been: a count that has ended must not begin again.
    fn arm(&mut self, counts: Vec<PathBuf>, nth: u32) {
        for count in counts {
            // One that has ended meanwhile fails nowhere.
            if !self.0.contains(&count) && fs::write(&count, nth.to_string()).is_ok() {
                self.0.insert(count);
            }
        }
    }

    /// Whether any has come to its end; none fails an allocation any more.
    fn disarm(self) -> bool {
        let mut has_failed = false;
        for count in self.0 {
            has_failed |= left(&count).is_ok_and(|left| left == 0);
            let _ = fs::write(&count, "0");
        }
        has_failed
    }
}

/// What is left of a count.
fn left(file: &Path) -> io::Result<u32> {
    let text = fs::read_to_string(file)?;
    text.trim().parse().map_err(|_| io::Error::from(Errno::INVAL))
}

/// The counts of all threads that serve the kernel's unbound work queues.
fn workers() -> io::Result<Vec<PathBuf>> {
    let serves = |task: &Path| {
        fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("kworker/u"))
    };
    let tasks = fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
    Ok(tasks.filter(|task| serves(task)).map(|task| task.join(OF_TASK)).collect())
}

/// From the first to beyond the last symbol of a module's code, of all symbols.
fn code_of_module(symbols: &str, module: &str) -> Option<(u64, u64)> {
    let suffix = format!("\t[{module}]");
    let code = symbols.lines().filter_map(|line| address(line.strip_suffix(&suffix)?));
    let (first, last) = code.fold((u64::MAX, 0), |(first, last), at| (first.min(at), last.max(at)));
    // No function of a module is as long as a page.
    (first <= last && first != 0).then(|| (first, last.saturating_add(4096)))
}

/// From a function of the kernel to the next one.
fn code_of(symbols: &str, function: &str) -> Option<(u64, u64)> {
    let of_kernel = || symbols.lines().filter(|line| !line.ends_with(']'));
    let start = of_kernel().find(|line| line.split_whitespace().nth(2) == Some(function))?;
    let start = address(start).filter(|start| *start != 0)?;
    let end = of_kernel().filter_map(address).filter(|at| *at > start).min()?;
    Some((start, end))
}

/// The address in a line of `/proc/kallsyms`, if it is of code.
fn address(line: &str) -> Option<u64> {
    let mut words = line.split_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    matches!(words.next()?, "t" | "T").then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYMBOLS: &str = "ffff800080010000 T _text\n\
                           ffff800080010200 t __alloc_object\n\
                           ffff800080010280 d data\n\
                           ffff800080010300 t next\n\
                           ffff80007a000100 t fire\t[vfio_fsl_mc]\n\
                           ffff80007a003000 T init_module\t[vfio_fsl_mc]\n\
                           ffff80007a009000 d table\t[vfio_fsl_mc]\n\
                           ffff80007b000000 t vfio_open\t[vfio]\n";

    #[test]
    fn a_count_is_set_once_and_taken_back() {
        let folder = std::env::temp_dir().join(format!("fail-nth-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let [old, new] = ["old", "new"].map(|name| folder.join(name));
        let mut armed = Armed::default();
        armed.arm(vec![old.clone(), folder.join("gone/already")], 7);
        // It has counted; then another one comes.
        fs::write(&old, "5").expect("written");
        armed.arm(vec![old.clone(), new.clone()], 7);
        assert_eq!((left(&old).ok(), left(&new).ok()), (Some(5), Some(7)));
        fs::write(&new, "0").expect("written");
        assert!(armed.disarm());
        assert_eq!(left(&old).ok(), Some(0));

        let mut armed = Armed::default();
        armed.arm(vec![old.clone(), new], 7);
        assert!(!armed.disarm());
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_modules_code_is_found() {
        let found = code_of_module(SYMBOLS, "vfio_fsl_mc");
        assert_eq!(found, Some((0xffff_8000_7a00_0100, 0xffff_8000_7a00_4000)));
        assert_eq!(code_of_module(SYMBOLS, "fsl_mc"), None);
        // As who is not root sees it.
        assert_eq!(code_of_module("0000000000000000 t fire\t[vfio]\n", "vfio"), None);
    }

    #[test]
    fn a_function_ends_where_the_next_one_starts() {
        let found = code_of(SYMBOLS, "__alloc_object");
        assert_eq!(found, Some((0xffff_8000_8001_0200, 0xffff_8000_8001_0300)));
        assert_eq!(code_of(SYMBOLS, "fire"), None);
    }
}
