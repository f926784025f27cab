// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the kernel says of itself: its table of interrupts, its memory, its log.

use crate::check::{Outcome, Stop, ensure, fail, skip};
use fsl_mc_linux::{kmsg, proc};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How many interrupts the kernel has descriptions of, handlers or not.
///
/// The check does not apply where the kernel does not show it.
pub fn interrupt_descriptions() -> Result<usize, Stop> {
    match fs::read_dir("/sys/kernel/irq") {
        Ok(entries) => Ok(entries.count()),
        Err(error) => skip(format!("no /sys/kernel/irq: {error}")),
    }
}

/// A number of `/proc/meminfo`, in KiB.
fn meminfo(name: &str) -> Result<u64, Stop> {
    proc::meminfo(name)?.map_or_else(|| skip(format!("/proc/meminfo has no {name}")), Ok)
}

/// A number of `/proc/self/status`, in KiB.
///
/// The check does not apply where the kernel does not show it.
pub fn own_status(name: &str) -> Result<u64, Stop> {
    let value = proc::own_status(name)?;
    value.map_or_else(|| skip(format!("/proc/self/status has no {name}")), Ok)
}

/// Pages that are pinned for devices, in the whole system.
///
/// The check does not apply where the kernel does not show it.
pub fn pinned_pages() -> Result<u64, Stop> {
    let text = fs::read_to_string("/proc/vmstat")?;
    let word = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse::<u64>().ok()
    };
    match (word("nr_foll_pin_acquired "), word("nr_foll_pin_released ")) {
        (Some(acquired), Some(released)) => Ok(acquired.saturating_sub(released)),
        _ => skip("/proc/vmstat does not count pins"),
    }
}

/// Lets the kernel give up what its allocator's caches have in store, where it shows them:
/// empty pages, and with KASAN all that was freed of late, which it keeps to see it used.
fn empty_caches() {
    for cache in fs::read_dir("/sys/kernel/slab").into_iter().flatten().flatten() {
        // A cache may have gone by now.
        let _ = fs::write(cache.path().join("shrink"), "1");
    }
}

/// KiB of the kernel's own memory that it cannot give up, once it has come to rest.
pub fn memory() -> Result<u64, Stop> {
    // What is freed later (RCU, work queues) is given the time for it: until nothing has
    // been freed for a while.
    let (mut least, mut since) = (meminfo("SUnreclaim")?, 0);
    for _ in 0..60 {
        std::thread::sleep(Duration::from_millis(250));
        let now = meminfo("SUnreclaim")?;
        if now < least {
            (least, since) = (now, 0);
        } else {
            since += 1;
        }
        if since == 12 {
            break;
        }
    }
    empty_caches();
    let slabs = fs::read_to_string("/proc/slabinfo").unwrap_or_default();
    Ok(least.min(meminfo("SUnreclaim")?).saturating_sub(records_of_kmemleak(&slabs)))
}

/// The cache of kmemleak's records of other memory, some of which it never gives back.
const RECORDS: &str = "kmemleak_object";

/// KiB of that cache, in the table of all.
fn records_of_kmemleak(slabs: &str) -> u64 {
    let line = slabs.lines().find_map(|line| line.strip_prefix(RECORDS));
    // Objects in use and in all, size, objects and pages of a slab : .. : slabs in use and
    // in all.
    let pages = line.and_then(|line| {
        let mut parts = line.split(':');
        let of_slab: u64 = parts.next()?.split_whitespace().nth(4)?.parse().ok()?;
        let slabs: u64 = parts.nth(1)?.split_whitespace().nth(2)?.parse().ok()?;
        of_slab.checked_mul(slabs)
    });
    let page = rustix::param::page_size() as u64;
    pages.unwrap_or(0).saturating_mul(page) / 1024
}

/// Objects in use of each cache of the kernel's allocator, and mappings of devices into
/// the kernel, where it counts them.
///
/// Caches of files' names and contents are left out: they keep what may be of use and
/// give it up when memory is short. So is that of the descriptions of mappings, which
/// the kernel frees many at a time, later; and that of kmemleak's records.
fn caches() -> BTreeMap<String, u64> {
    let text = fs::read_to_string("/proc/slabinfo").unwrap_or_default();
    let keeps =
        |name: &str| name.contains("inode") || ["dentry", "vmap_area", RECORDS].contains(&name);
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, used) = (words.next()?, words.next()?.parse().ok()?);
        (!keeps(name)).then(|| (name.to_owned(), used))
    };
    let mappings = ("mappings of devices".to_owned(), device_mappings() as u64);
    text.lines().filter_map(line).chain([mappings]).collect()
}

/// KiB of each kind of the kernel's memory that is in none of its allocator's caches, of those
/// that it counts: what each processor has, the virtually contiguous, tables of programs, and
/// tables of the IOMMU.
fn kinds() -> Result<BTreeMap<String, u64>, Stop> {
    let mut kinds = BTreeMap::new();
    for name in ["Percpu", "VmallocUsed", "PageTables", "SecPageTables"] {
        if let Some(used) = proc::meminfo(name)? {
            kinds.insert(name.to_owned(), used);
        }
    }
    Ok(kinds)
}

/// How many mappings of devices into the kernel there are; 0 where it does not count them.
pub fn device_mappings() -> usize {
    proc::device_mappings().unwrap_or(0)
}

/// Bytes that a cycle may seem to cost, by whole pages: what other parts of the system
/// take meanwhile is in it.
const ALLOWED: u64 = 4096;

/// Objects by which a cache may grow in any number of cycles: those that are counted in
/// use are in part those that each processor has in store.
const OBJECTS: u64 = 640;

/// KiB by which a [kind](kinds) of memory may grow in any number of cycles: threads and programs
/// come and go.
const KIND: u64 = 512;

/// Shows what kmemleak has found.
const KMEMLEAK: &str = "/sys/kernel/debug/kmemleak";

/// How old an allocation must be before kmemleak calls it lost, and a bit.
const AGE: Duration = Duration::from_secs(6);

/// Cycles after which kmemleak would have something to say.
const CYCLES_WITH_KMEMLEAK: u32 = 20;

/// Repeats `cycle` and measures what of the kernel's memory each repetition takes for
/// ever: one object of any kind is noticed where there are some 900 cycles or more, and so is
/// a page of any kind. A first part of the cycles fills what the kernel keeps in store.
///
/// A kernel with kmemleak knows each object that is lost, and counts those that KASAN has put
/// aside as in use: it is asked instead, after some cycles.
pub fn keeps_memory(cycles: u32, mut cycle: impl FnMut(u32) -> Result<(), Stop>) -> Outcome {
    if has_kmemleak() {
        forget_leaks()?;
        (0..cycles.min(CYCLES_WITH_KMEMLEAK)).try_for_each(cycle)?;
        return no_leaks();
    }
    let warm = cycles / 4;
    for index in 0..warm {
        cycle(index)?;
    }
    let (before, caches_before, kinds_before) = (memory()?, caches(), kinds()?);
    for index in warm..warm + cycles {
        cycle(index)?;
    }
    let (after, caches_after, kinds_after) = (memory()?, caches(), kinds()?);
    let mut grown = grown("objects", &caches_before, &caches_after, most(cycles, OBJECTS));
    let page = rustix::param::page_size() as u64 / 1024;
    let most_of_kind = most(cycles, KIND / page).saturating_mul(page);
    grown.extend(self::grown("KiB", &kinds_before, &kinds_after, most_of_kind));
    let bytes = after.saturating_sub(before) * 1024;
    if grown.is_empty() && bytes <= ALLOWED * u64::from(cycles) {
        return Ok(());
    }
    fail(
        format!("{cycles} cycles take no memory for ever"),
        format!(
            "{} KiB more, {}",
            bytes / 1024,
            if grown.is_empty() { "spread over all caches".to_owned() } else { grown.join(", ") }
        ),
    )
}

/// What may come by in so many cycles, of which each takes one: less than all, and `stored` in
/// any case.
fn most(cycles: u32, stored: u64) -> u64 {
    stored.max(u64::from(cycles) * 4 / 5)
}

/// What has grown by more than `most`, in words.
fn grown(
    unit: &str,
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
    most: u64,
) -> Vec<String> {
    let grown = after.iter().filter_map(|(name, used)| {
        let more = used.saturating_sub(*before.get(name)?);
        (more > most).then(|| format!("{more} {unit} of {name}"))
    });
    grown.collect()
}

fn has_kmemleak() -> bool {
    Path::new(KMEMLEAK).exists()
}

/// Lets kmemleak forget what was lost before, if there is one.
pub fn forget_leaks() -> Outcome {
    if has_kmemleak() {
        fs::write(KMEMLEAK, "clear")?;
    }
    Ok(())
}

/// Memory that nobody knows any more, where the kernel looks for it.
pub fn no_leaks() -> Outcome {
    if !has_kmemleak() {
        return Ok(());
    }
    // The first scan may come too early for what is being freed.
    for _ in 0..2 {
        thread::sleep(AGE);
        fs::write(KMEMLEAK, "scan")?;
    }
    let leaks = fs::read_to_string(KMEMLEAK)?;
    ensure(leaks.is_empty(), "no memory is lost", || leaks)
}

/// A place in the kernel's log; what comes after it can be read.
#[derive(Debug)]
pub struct Log {
    reader: kmsg::Reader,
    seen: Vec<String>,
}

impl Log {
    /// The end of the log as it is now. The check does not apply to who may not read it.
    pub fn from_here() -> Result<Self, Stop> {
        match kmsg::Reader::from_end() {
            Ok(reader) => Ok(Self { reader, seen: Vec::new() }),
            Err(error) => skip(format!("the kernel's log cannot be read: {error}")),
        }
    }

    /// All lines since the start.
    pub fn lines(&mut self) -> Result<&[String], Stop> {
        match self.reader.records() {
            Ok(records) => self.seen.extend(records.into_iter().map(|record| record.text)),
            Err(error) => return fail("the kernel's log can be read", error.to_string()),
        }
        Ok(&self.seen)
    }

    /// Waits for a line with all the words.
    pub fn wait_for(&mut self, words: &[&str], patience: Duration) -> Result<bool, Stop> {
        let end = Instant::now() + patience;
        loop {
            let has = |line: &String| words.iter().all(|word| line.contains(word));
            if self.lines()?.iter().any(has) {
                return Ok(true);
            }
            if Instant::now() >= end {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The kernel must not have complained about itself.
    pub fn is_calm(&mut self) -> Outcome {
        let lines = self.lines()?;
        if let Some(line) = lines.iter().find(|line| kmsg::is_complaint(line)) {
            return fail("no complaint in the kernel's log", line.clone());
        }
        // The bus driver of the container around does that in a thread of its interrupt.
        let twice = |pair: &&[String]| {
            matches!(pair, [line, who] if line.contains("cannot create duplicate filename")
                && !who.contains("Comm: irq/"))
        };
        match lines.windows(2).find(twice) {
            None => Ok(()),
            Some(pair) => fail("no device is added twice", pair.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_of_many_cycles_loses_is_noticed() {
        let used = |numbers: [u64; 2]| -> BTreeMap<String, u64> {
            ["a", "b"].map(String::from).into_iter().zip(numbers).collect()
        };
        let after = |cycles: u32, numbers| {
            grown("objects", &used([5000, 7]), &used(numbers), most(cycles, OBJECTS))
        };
        assert_eq!(after(1000, [6000, 7]), ["1000 objects of a"]);
        assert_eq!(after(1000, [5800, 0]), [""; 0]);
        // Too few for that: what is in store may be as much.
        assert_eq!(after(320, [5320, 7]), [""; 0]);
        assert_eq!(after(320, [5641, 648]), ["641 objects of a", "641 objects of b"]);
        // A cache that is new has been made for something else.
        assert!(grown("KiB", &BTreeMap::new(), &used([1, 1]), 0).is_empty());
    }

    #[test]
    fn the_records_of_kmemleak_are_counted_by_pages() {
        let slabs = "slabinfo - version: 2.1\n\
                     kmemleak_object   14000 14400    320   12    1 : tunables    0    0    0 : \
                     slabdata   1200   1200      0\n";
        let page = rustix::param::page_size() as u64;
        assert_eq!(records_of_kmemleak(slabs), 1200 * page / 1024);
        assert_eq!(records_of_kmemleak("dentry 1 1 192 21 1 : : slabdata 1 1 0\n"), 0);
    }
}
