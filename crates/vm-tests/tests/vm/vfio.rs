// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A container in the hands of user space, and the board's DMA into its memory.

use crate::{
    guest::{SESSION, driver, expect_logged, mgmt},
    trial,
};
use anyhow::{Context, Result, bail, ensure};
use board::smmu::{Access, DmaError, Smmu};
use libtest_mimic::Trial;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use vm_tests::{LineSession, TestVm, TestVmBuilder, patience};

/// Where memory is mapped: above 4 GiB, away from everything.
const IOVA: u64 = 0x1_0000_0000;
/// What memory holds at first.
const PATTERN: u64 = 0x5555_5555_5555_5555;
/// How long a thousand writes of the board may take: they take milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn trials() -> Vec<Trial> {
    vec![
        trial("vfio::bind_and_unbind", bind_and_unbind),
        trial("vfio::unviable_group", unviable_group),
        trial("vfio::dma", dma),
        trial("vfio::large_mappings", large_mappings),
        trial("vfio::unmap_under_traffic", unmap_under_traffic),
        trial("vfio::isolation", isolation),
        trial("vfio::reset", reset),
        trial("vfio::frames_are_forwarded", frames_are_forwarded),
    ]
}

/// What the host's drivers have of a container's objects.
const HOST_DRIVERS: [(&str, Option<&str>); 5] = [
    ("dpmcp", Some("fsl_mc_allocator")),
    ("dpbp", Some("fsl_mc_allocator")),
    ("dpcon", Some("fsl_mc_allocator")),
    ("dpio", None),
    ("dpni", None),
];

fn bind_and_unbind() -> Result<()> {
    binds_and_unbinds(TestVm::with("default")?)
}

/// The default layout's `dprc.2` goes to vfio-fsl-mc and back, twice.
pub fn binds_and_unbinds(vm: TestVmBuilder) -> Result<()> {
    vm.run(|vm| {
        let contents = |vm: &mut TestVm| -> Result<Vec<_>> {
            let mut devices = vm.devices()?;
            devices.retain(|device| device.container.as_deref() == Some("dprc.2"));
            Ok(devices)
        };
        let before = contents(vm)?;
        ensure!(before.len() == 18, "dprc.2 has {} objects", before.len());
        for _ in 0..2 {
            vm.bind(&["dprc.2"])?;
            vm.wait_for_device("dprc.2", driver(Some("vfio-fsl-mc")))?;
            let bound = contents(vm)?;
            ensure!(bound.len() == before.len(), "{} objects have followed", bound.len());
            for device in &bound {
                ensure!(device.driver.as_deref() == Some("vfio-fsl-mc"), "{device:?}");
            }
            let groups: BTreeSet<_> = bound.iter().map(|device| device.iommu_group).collect();
            ensure!(groups.len() == 1, "groups: {groups:?}");
            let group = groups.first().copied().flatten().context("no group")?;
            ensure!(vm.sh(&format!("ls -d /dev/vfio/{group}")).is_ok(), "no /dev/vfio/{group}");
            vm.session(&SESSION, |session| {
                let opened = session.request("open dprc.2")?;
                ensure!(opened == format!("group {group}"), "{opened}");
                // One user at a time.
                session.request_refused("open dprc.2", &["/dev/vfio/", "Another process"])?;
                Ok(())
            })?;
            vm.sh("fslmc-guest release dprc.2")?;
            vm.wait_for_device("dprc.2", driver(Some("fsl_mc_dprc")))?;
            for device in contents(vm)? {
                let wanted = HOST_DRIVERS.iter().find(|(kind, _)| *kind == device.kind);
                let (_, wanted) = wanted.with_context(|| format!("{device:?}"))?;
                ensure!(device.driver.as_deref() == *wanted, "after the release: {device:?}");
                ensure!(device.driver_override.is_none(), "after the release: {device:?}");
            }
        }
        Ok(())
    })
}

/// A group is user space's only as a whole.
fn unviable_group() -> Result<()> {
    TestVm::with("default")?.run(|vm| {
        vm.load(&["vfio_iommu_type1", "vfio-fsl-mc"])?;
        // One object of the container goes to VFIO, the others stay with the host.
        vm.sh("cd /sys/bus/fsl-mc && echo dpbp.4 > drivers/fsl_mc_allocator/unbind && \
             echo vfio-fsl-mc > devices/dpbp.4/driver_override && \
             echo dpbp.4 > drivers/vfio-fsl-mc/bind")?;
        vm.wait_for_device("dpbp.4", driver(Some("vfio-fsl-mc")))?;
        vm.session(&SESSION, |session| {
            session.request_refused("open dprc.2", &["not viable"]).map(drop)
        })?;
        vm.sh("cd /sys/bus/fsl-mc && echo dpbp.4 > drivers/vfio-fsl-mc/unbind && \
             echo > devices/dpbp.4/driver_override && echo dpbp.4 > drivers_probe")?;
        vm.wait_for_device("dpbp.4", driver(Some("fsl_mc_allocator")))?;
        vm.bind(&["dprc.2"])?;
        vm.session(&SESSION, |session| session.request("open dprc.2").map(drop))
    })
}

/// A bus master of the board, which is a container's.
struct Master {
    smmu: Arc<Smmu>,
    icid: u16,
}

impl Master {
    fn of(vm: &mut TestVm, container: &str) -> Result<Self> {
        Ok(Self { smmu: vm.board()?.smmu().clone(), icid: vm.icid(container)? })
    }

    fn write(&self, iova: u64, word: u64) -> Result<(), DmaError> {
        self.smmu.dma_write(self.icid, iova, &word.to_le_bytes())
    }

    fn read(&self, iova: u64) -> Result<u64, DmaError> {
        let mut word = [0; 8];
        self.smmu.dma_read(self.icid, iova, &mut word)?;
        Ok(u64::from_le_bytes(word))
    }

    /// Makes sure that a write ends in a fault at its own address.
    fn is_refused(&self, iova: u64) -> Result<()> {
        match self.write(iova, 0xbad) {
            Err(DmaError::Fault(fault)) => {
                let text = fault.to_string();
                ensure!(text.contains(&format!("{iova:#x}")), "{text}");
                Ok(())
            }
            other => bail!("a write of stream {:#x} at {iova:#x} ends in {other:?}", self.icid),
        }
    }
}

fn word(session: &mut LineSession, container: &str, iova: u64, offset: u64) -> Result<u64> {
    let text = session.request(&format!("read {container} {iova:x} {offset:x}"))?;
    u64::from_str_radix(&text, 16).with_context(|| text)
}

/// What the board writes is what the program finds, with the rights that the mapping
/// gives and for as long as it is there.
fn dma() -> Result<()> {
    TestVm::with("default")?.run(|vm| {
        vm.bind(&["dprc.2"])?;
        let master = Master::of(vm, "dprc.2")?;
        vm.session(&SESSION, |session| {
            session.request("open dprc.2")?;
            master.is_refused(IOVA)?;
            session.request(&format!("map dprc.2 {IOVA:x} 2000 both {PATTERN:x}"))?;
            ensure!(master.read(IOVA)? == PATTERN, "the board reads something else");
            master.write(IOVA + 8, 0x1234_5678_9abc_def0)?;
            ensure!(
                word(session, "dprc.2", IOVA, 8)? == 0x1234_5678_9abc_def0,
                "the write is lost"
            );
            ensure!(word(session, "dprc.2", IOVA, 0)? == PATTERN, "a neighbour was written");
            // Across the border of two pages.
            master.write(IOVA + 0xffc, 0x1111_2222_3333_4444)?;
            ensure!(word(session, "dprc.2", IOVA, 0xff8)? == 0x3333_4444_5555_5555, "first page");
            ensure!(word(session, "dprc.2", IOVA, 0x1000)? == 0x5555_5555_1111_2222, "second page");
            // Not a byte beyond.
            master.is_refused(IOVA + 0x2000)?;
            master.is_refused(IOVA - 8)?;

            // Memory to read only.
            let other = IOVA + 0x10_0000;
            session.request(&format!("map dprc.2 {other:x} 1000 read {PATTERN:x}"))?;
            ensure!(master.read(other)? == PATTERN, "the board reads something else");
            master.is_refused(other)?;
            ensure!(word(session, "dprc.2", other, 0)? == PATTERN, "it was written");

            // Translations are cached by now; unmapping ends them at once.
            for _ in 0..10 {
                master.write(IOVA, 7)?;
            }
            let before = master.smmu.counters();
            master.write(IOVA, 7)?;
            ensure!(master.smmu.counters().hits > before.hits, "the cache is cold");
            session.request(&format!("unmap dprc.2 {IOVA:x}"))?;
            master.is_refused(IOVA)?;
            master.is_refused(IOVA + 0x1000)?;
            ensure!(master.read(other)? == PATTERN, "another mapping is gone");
            ensure!(word(session, "dprc.2", IOVA, 0)? == 7, "memory changed after it was unmapped");

            // The same address for other memory.
            session.request(&format!("map dprc.2 {IOVA:x} 1000 both 9"))?;
            ensure!(master.read(IOVA)? == 9, "the board reads the memory of before");
            session.request("close dprc.2")?;
            // Without a user there is no memory to reach.
            ensure!(master.write(IOVA, 0xbad).is_err(), "the board writes after the close");
            Ok(())
        })?;
        let stream = format!("cbfrsynra=0x{:x},", master.icid);
        expect_logged(vm, &["Unhandled context fault", &format!("iova=0x{IOVA:08x}"), &stream])
    })
}

/// Blocks of 2 MiB with pages behind them.
fn large_mappings() -> Result<()> {
    const BLOCK: u64 = 0x20_0000;
    const BLOCKS: u64 = 3 * BLOCK;
    const PAGES: u64 = 0x3000;
    const SIZE: u64 = BLOCKS + PAGES;
    const BEHIND: u64 = IOVA + BLOCKS;
    TestVm::with("default")?.run(|vm| {
        // The kernel maps a block where memory has one in a piece.
        vm.sh("echo always > /sys/kernel/mm/transparent_hugepage/enabled")?;
        vm.bind(&["dprc.2"])?;
        let master = Master::of(vm, "dprc.2")?;
        vm.session(&SESSION, |session| {
            session.request("open dprc.2")?;
            session.request(&format!("map dprc.2 {IOVA:x} {BLOCKS:x} both {PATTERN:x}"))?;
            session.request(&format!("map dprc.2 {BEHIND:x} {PAGES:x} both {PATTERN:x}"))?;
            for (iova, length) in [(IOVA, BLOCK), (BEHIND, 0x1000)] {
                let mapped = master.smmu.translate(master.icid, iova, Access::READ)?;
                ensure!(mapped.length == length, "{:#x} bytes in one piece", mapped.length);
            }
            for page in (0..SIZE).step_by(0x1000) {
                ensure!(master.read(IOVA + page)? == PATTERN, "page {page:#x}");
                master.write(IOVA + page + 0x10, page | 1)?;
            }
            for page in (0..BLOCKS).step_by(0x7_f000) {
                ensure!(word(session, "dprc.2", IOVA, page + 0x10)? == page | 1, "page {page:#x}");
            }
            // In one piece, across all.
            let bytes = 0xabcd_u64.to_le_bytes().repeat(SIZE as usize / 8);
            master.smmu.dma_write(master.icid, IOVA, &bytes)?;
            for (iova, size) in [(IOVA, BLOCKS), (BEHIND, PAGES)] {
                let count = session.request_number(&format!("count dprc.2 {iova:x} abcd"))?;
                ensure!(count == size / 8, "{count} of {} words were written", size / 8);
            }
            session.request(&format!("unmap dprc.2 {IOVA:x}"))?;
            for page in (0..BLOCKS).step_by(0x1_0000) {
                master.is_refused(IOVA + page)?;
            }
            ensure!(master.read(BEHIND)? == 0xabcd, "the pages behind are gone");
            Ok(())
        })
    })
}

/// The board writes all the time while the program unmaps: what is unmapped does not
/// change any more.
fn unmap_under_traffic() -> Result<()> {
    TestVm::with("default")?.run(|vm| {
        vm.bind(&["dprc.2"])?;
        let master = Master::of(vm, "dprc.2")?;
        let (over, written, refused) =
            (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        vm.session(&SESSION, |session| {
            session.request("open dprc.2")?;
            thread::scope(|scope| {
                scope.spawn(|| {
                    for number in 1.. {
                        match master.write(IOVA, number) {
                            Ok(()) => written.fetch_add(1, Ordering::Relaxed),
                            Err(_) => {
                                // Linux reports each fault: not too many.
                                thread::sleep(Duration::from_millis(20));
                                refused.fetch_add(1, Ordering::Relaxed)
                            }
                        };
                        if over.load(Ordering::Relaxed) {
                            return;
                        }
                    }
                });
                let outcome = (|| {
                    for _ in 0..20 {
                        session.request(&format!("map dprc.2 {IOVA:x} 1000 both 0"))?;
                        let before = written.load(Ordering::Relaxed);
                        let deadline = Instant::now() + PATIENCE * patience();
                        while written.load(Ordering::Relaxed) < before + 1000 {
                            ensure!(
                                Instant::now() < deadline,
                                "only {} writes while the page is mapped",
                                written.load(Ordering::Relaxed) - before
                            );
                            thread::yield_now();
                        }
                        session.request(&format!("unmap dprc.2 {IOVA:x}"))?;
                        let first = word(session, "dprc.2", IOVA, 0)?;
                        thread::sleep(Duration::from_millis(5));
                        let then = word(session, "dprc.2", IOVA, 0)?;
                        ensure!(
                            first != 0 && first == then,
                            "unmapped, {first:#x} became {then:#x}"
                        );
                    }
                    Ok(())
                })();
                over.store(true, Ordering::Relaxed);
                outcome
            })
        })?;
        ensure!(refused.load(Ordering::Relaxed) > 0, "no write was refused");
        Ok(())
    })
}

/// An address of one container means nothing to another, nor to the host.
fn isolation() -> Result<()> {
    TestVm::with("eight-containers")?.run(|vm| {
        let names: Vec<String> = (2..10).map(|number| format!("dprc.{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        vm.bind(&names)?;
        let masters: Vec<Master> =
            names.iter().map(|name| Master::of(vm, name)).collect::<Result<_>>()?;
        let root = Master::of(vm, "dprc.1")?;
        let icids: BTreeSet<u16> =
            masters.iter().chain([&root]).map(|master| master.icid).collect();
        ensure!(icids.len() == names.len() + 1, "isolation ids: {icids:?}");
        vm.session(&SESSION, |session| {
            for (index, name) in names.iter().enumerate() {
                session.request(&format!("open {name}"))?;
                // An address that only this one has, and one that each has.
                let own = IOVA + (index as u64) * 0x1000;
                session.request(&format!("map {name} {own:x} 1000 both {:x}", 0x100 + index))?;
                session.request(&format!(
                    "map {name} {:x} 1000 both {:x}",
                    2 * IOVA,
                    0x200 + index
                ))?;
            }
            for (index, master) in masters.iter().enumerate() {
                for (of, _) in names.iter().enumerate() {
                    let iova = IOVA + (of as u64) * 0x1000;
                    match master.read(iova) {
                        Ok(word) => ensure!(
                            of == index && word == 0x100 + index as u64,
                            "{} reads {word:#x} at {iova:#x}",
                            names[index]
                        ),
                        Err(_) => ensure!(of != index, "{} does not reach its own", names[index]),
                    }
                }
                master.write(2 * IOVA, 0x300 + index as u64)?;
            }
            root.is_refused(IOVA)?;
            root.is_refused(2 * IOVA)?;
            for (index, name) in names.iter().enumerate() {
                let found = word(session, name, 2 * IOVA, 0)?;
                ensure!(found == 0x300 + index as u64, "{name} finds {found:#x}");
            }
            // What one gives up, the others keep.
            session.request("close dprc.2")?;
            ensure!(masters[0].write(2 * IOVA, 0xbad).is_err(), "dprc.2 writes after its close");
            ensure!(masters[1].read(2 * IOVA)? == 0x301, "dprc.3 has lost its memory");
            Ok(())
        })
    })
}

/// A reset by VFIO and the reset of the last close reach the MC.
fn reset() -> Result<()> {
    TestVm::with("default")?.run(|vm| {
        let attributes = mgmt(vm, "show dpbp.4")?;
        vm.bind(&["dprc.2"])?;
        vm.session(&SESSION, |session| {
            session.request("open dprc.2")?;
            ensure!(session.request("show dpbp.4")? == attributes, "attributes of dpbp.4");
            for object in ["dpbp.4", "dpio.2", "dpcon.4", "dpni.2", "dprc.2"] {
                session.request(&format!("reset {object}"))?;
            }
            ensure!(session.request("show dpbp.4")? == attributes, "attributes after the resets");
            ensure!(session.request("ask dpmcp.17")?.starts_with("10."), "the mapped portal");
            Ok(())
        })
    })
}

/// The example of the library `dprc` on the default layout's `dprc.2`, twice: the second finds
/// what the first has left behind.
fn frames_are_forwarded() -> Result<()> {
    TestVm::with("default")?.run(|vm| {
        vm.bind(&["dprc.2"])?;
        for first in [1, 100] {
            let command = format!("fslmc-guest forward dprc.2 --frames 2000 --first {first}");
            let said = vm.sh(&command)?;
            let figures = Figures::of(&said).with_context(|| format!("figures in {said:?}"))?;
            ensure!((2000..2000 + 64).contains(&figures.forwarded), "{said}");
            ensure!(figures.lost == 0, "{said}");
            let [one, other] = figures.interfaces;
            ensure!(one.1 + other.1 == figures.forwarded + first, "{said}");
            ensure!(one.1 == other.0 && other.1 == one.0, "{said}");
        }
        Ok(())
    })
}

/// What the example prints.
struct Figures {
    forwarded: u64,
    /// Frames received and sent.
    interfaces: [(u64, u64); 2],
    lost: u64,
}

impl Figures {
    fn of(said: &str) -> Option<Self> {
        let numbers = |line: &str| -> Vec<u64> {
            line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
        };
        let lines: Vec<Vec<u64>> = said.lines().map(numbers).collect();
        let [total, one, other, lost] = lines.as_slice() else { return None };
        let interface = |numbers: &[u64]| Some((*numbers.first()?, *numbers.get(1)?));
        Some(Self {
            forwarded: *total.first()?,
            interfaces: [interface(one)?, interface(other)?],
            lost: *lost.first()?,
        })
    }
}
