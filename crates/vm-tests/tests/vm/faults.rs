// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A Management Complex that is slow, silent or says no: Linux waits, gives up, goes
//! on.

use crate::{
    guest::{SESSION, driver, expect_logged, gone, mgmt, mgmt_refused},
    management::same_devices,
    trial,
};
use anyhow::{Result, ensure};
use board::faults::{Action, Faults, Rule};
use libtest_mimic::Trial;
use mc_abi::{ObjectType, Status};
use std::time::{Duration, Instant};
use vm_tests::TestVm;

const GET_ATTRIBUTES: u16 = 0x004;
const GET_OBJECT_COUNT: u16 = 0x159;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("faults::slow_answers", slow_answers),
        trial("faults::silence", silence),
        trial("faults::refusals", refusals),
    ]
}

fn rules(rules: impl IntoIterator<Item = Rule>) -> Faults {
    let mut faults = Faults::default();
    rules.into_iter().for_each(|rule| faults.add(rule));
    faults
}

/// Each command takes a while; all is found, and works.
fn slow_answers() -> Result<()> {
    let delay = Duration::from_millis(2);
    let slow =
        rules([Rule { kind: None, number: None, action: Action::Delay(delay), times: None }]);
    TestVm::with("default")?.options(|options| options.faults = slow).run(|vm| {
        same_devices(vm)?;
        let start = Instant::now();
        let pool = mgmt(vm, "create dpbp --plugged")?;
        // Open, create, plug, close, each with its delay.
        ensure!(start.elapsed() >= 4 * delay, "it took {:?} only", start.elapsed());
        vm.wait_for_device(&pool, driver(Some("fsl_mc_allocator")))?;
        vm.bind(&["dprc.2"])?;
        vm.session(&SESSION, |session| {
            session.request("open dprc.2")?;
            ensure!(session.request("show dpbp.4")?.contains("id: 4"), "attributes of dpbp.4");
            Ok(())
        })?;
        vm.sh("fslmc-guest release dprc.2").map(drop)
    })
}

/// A command without an answer costs its sender the time that it waits, and no more.
fn silence() -> Result<()> {
    TestVm::with("default")?.run(|vm| {
        let hang = || {
            let kind = Some(ObjectType::Dpbp);
            let (number, times) = (Some(GET_ATTRIBUTES), Some(1));
            rules([Rule { kind, number, action: Action::Hang, times }])
        };
        let board = vm.board()?;
        vm.bind(&["dprc.2"])?;
        vm.session(&SESSION, |session| {
            session.request("open dprc.2")?;
            board.mc().set_faults(hang());
            let start = Instant::now();
            session.request_refused("show dpbp.4", &["GetAttributes", "errno 110"])?;
            // Linux's VFIO driver waits for 5 s.
            ensure!(start.elapsed() >= Duration::from_secs(4), "after {:?}", start.elapsed());
            ensure!(session.request("show dpbp.4")?.contains("id: 4"), "attributes of dpbp.4");
            Ok(())
        })?;
        board.mc().set_faults(hang());
        let start = Instant::now();
        // The first user of the interface shares the kernel's own portal, on which Linux
        // waits with interrupts off until its watchdog reports a lockup; the second
        // gets a portal on which it sleeps.
        let output = vm.try_sh("exec 3<>/dev/dprc.1; fslmc-guest mgmt show dpbp.0")?;
        ensure!(
            output.code != 0
                && output.stderr.contains("GetAttributes")
                && output.stderr.contains("has not answered the kernel in time"),
            "{output:?}"
        );
        // Linux's bus driver waits for 15 s, older ones for 0.5 s.
        ensure!(start.elapsed() >= Duration::from_millis(500), "after {:?}", start.elapsed());
        ensure!(mgmt(vm, "show dpbp.0")?.contains("id: 0"), "attributes of dpbp.0");
        same_devices(vm)
    })
}

/// A refusal reaches whoever asked, by its name; what Linux could not do then, it
/// does the next time.
fn refusals() -> Result<()> {
    TestVm::with("default")?.run(|vm| {
        let board = vm.board()?;
        let refuse = |kind, number, status| {
            let (number, times) = (Some(number), Some(1));
            rules([Rule { kind: Some(kind), number, action: Action::Status(status), times }])
        };
        for (status, words) in [
            (Status::NoPrivilege, "no privilege (0x4)"),
            (Status::DmaError, "DMA or I/O error (0x5)"),
            (Status::ConfigurationError, "configuration error (0x6)"),
            (Status::NoResource, "no resources (0x8)"),
            (Status::NoMemory, "no memory (0x9)"),
            (Status::Busy, "busy (0xa)"),
            (Status::UnsupportedOperation, "unsupported operation (0xb)"),
            (Status::InvalidState, "invalid state (0xc)"),
        ] {
            board.mc().set_faults(refuse(ObjectType::Dpbp, GET_ATTRIBUTES, status));
            mgmt_refused(vm, "show dpbp.0", &["GetAttributes", words])?;
        }
        ensure!(mgmt(vm, "show dpbp.0")?.contains("id: 0"), "attributes of dpbp.0");

        // Linux's look at the container fails once; the next event brings both.
        board.mc().set_faults(refuse(ObjectType::Dprc, GET_OBJECT_COUNT, Status::DmaError));
        let first = mgmt(vm, "create dpbp")?;
        let start = Instant::now();
        while expect_logged(vm, &["dprc_get_obj_count() failed: -5"]).is_err() {
            ensure!(start.elapsed() < Duration::from_secs(10), "Linux has not looked");
        }
        let second = mgmt(vm, "create dpbp")?;
        vm.wait_for_device(&first, driver(None))?;
        vm.wait_for_device(&second, driver(None))?;
        mgmt(vm, &format!("destroy {first}"))?;
        vm.wait_for_device(&first, gone)?;
        same_devices(vm)
    })
}
