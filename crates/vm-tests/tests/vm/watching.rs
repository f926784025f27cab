// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the driver in Rust shows of itself: counters and tracepoints.

use crate::{
    guest::SESSION,
    interrupts::{expect_count, raise},
    trial,
};
use anyhow::{Context, Result, ensure};
use fslmc::artifacts::Driver;
use libtest_mimic::Trial;
use std::collections::BTreeMap;
use vm_tests::TestVm;

pub fn trials() -> Vec<Trial> {
    vec![trial("watching::counters_and_tracepoints", counters_and_tracepoints)]
}

/// The counters of a container's objects, by object and name.
fn counters(vm: &mut TestVm) -> Result<BTreeMap<String, BTreeMap<String, u64>>> {
    let text = vm.sh("cat /sys/kernel/debug/vfio-fsl-mc/dprc.2")?;
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let names = lines.next().context("an empty file")?;
    let mut all = BTreeMap::new();
    for line in lines {
        ensure!(line.len() == names.len(), "a line unlike the first one in\n{text}");
        let (object, values) = line.split_first().context("an empty line")?;
        let mut of_object = BTreeMap::new();
        for (name, value) in names.iter().skip(1).zip(values) {
            of_object.insert((*name).to_owned(), value.parse()?);
        }
        ensure!(all.insert((*object).to_owned(), of_object).is_none(), "twice {object}");
    }
    Ok(all)
}

fn counters_and_tracepoints() -> Result<()> {
    TestVm::with("default")?.driver(Driver::Rust).run(|vm| {
        vm.load(&["vfio_iommu_type1", "vfio-fsl-mc"])?;
        vm.sh("mount -t debugfs none /sys/kernel/debug 2> /dev/null
                mount -t tracefs none /sys/kernel/tracing 2> /dev/null
                echo 1 > /sys/kernel/tracing/events/vfio_fsl_mc/enable")?;
        vm.bind(&["dprc.2"])?;
        let objects = vm.sh("ls -d /sys/bus/fsl-mc/devices/dprc.2/dp*.* | wc -l")?;
        let objects: usize = objects.trim().parse()?;
        let before = counters(vm)?;
        ensure!(before.len() == objects + 1, "{} lines for {objects} objects", before.len());
        // The driver looks for objects from the bind on.
        let zero = |of: &BTreeMap<String, u64>| {
            of.iter().all(|(name, value)| *value == 0 || name.ends_with("scans"))
        };
        ensure!(before.values().all(zero), "not all zero after the bind: {before:?}");

        vm.sh("fslmc-guest vfio command dprc.2 --count 3")?;
        let board = vm.board()?;
        vm.session(&SESSION, |session| {
            session.request("open dprc.2")?;
            session.request("irq dpbp.4")?;
            session.request("irq-mask dpbp.4 ffffffff enabled")?;
            for _ in 0..2 {
                raise(&board, "dpbp.4")?;
                expect_count(session, "dpbp.4", 1)?;
            }
            session.request("close dprc.2")?;
            Ok(())
        })?;
        let after = counters(vm)?;
        let of = |object: &str, name: &str| after.get(object).and_then(|of| of.get(name)).copied();
        ensure!(of("dprc.2", "commands") >= Some(3), "{after:?}");
        ensure!(of("dprc.2", "opens") >= Some(2), "{after:?}");
        ensure!(of("dprc.2", "scans") >= Some(1), "{after:?}");
        ensure!(of("dpbp.4", "opens") == Some(1), "{after:?}");
        ensure!(of("dpbp.4", "interrupts") == Some(2), "{after:?}");
        ensure!(of("dpbp.4", "resets") == Some(1), "{after:?}");
        let nothing_bad = ["refused", "timeouts", "busy"];
        let is_bad = |object: &str| nothing_bad.iter().any(|name| of(object, name) != Some(0));
        ensure!(!after.keys().any(|object| is_bad(object)), "{after:?}");

        vm.sh("fslmc-guest release dprc.2")?;
        ensure!(vm.sh("ls /sys/kernel/debug/vfio-fsl-mc")?.is_empty(), "a file is left");
        let trace = vm.sh("cat /sys/kernel/tracing/trace")?;
        for expected in [
            "vfio_fsl_mc_bind: dprc.2 bound",
            "vfio_fsl_mc_bind: dpbp.4 bound",
            "vfio_fsl_mc_command: dprc.2 command=",
            "vfio_fsl_mc_irq: dpbp.4 index=0",
            "vfio_fsl_mc_reset: dpbp.4 result=0",
            "vfio_fsl_mc_bind: dprc.2 unbound",
        ] {
            ensure!(trace.contains(expected), "no {expected:?} in\n{trace}");
        }
        Ok(())
    })
}
