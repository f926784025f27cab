// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Interrupts of objects that user space has: from the board through SMMU, ITS and
//! VFIO to an eventfd.
//!
//! Linux's own driver gives a container interrupts once per bind: after the last user
//! is gone, SET_IRQS ends in ENODEV until the container is bound again. So each test
//! opens its containers once.

use crate::{guest::SESSION, trial};
use anyhow::{Result, ensure};
use board::Board;
use libtest_mimic::Trial;
use mc_abi::ObjectId;
use vm_tests::{LineSession, TestVm};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("interrupts::reach_an_eventfd", reach_an_eventfd),
        trial("interrupts::of_eight_containers", of_eight_containers),
        trial("interrupts::once_per_bind", once_per_bind),
    ]
}

/// Lets one event of an object happen.
pub(crate) fn raise(board: &Board, object: &str) -> Result<()> {
    let id: ObjectId = object.parse()?;
    board.mc().raise(id, 0, 1).map_err(|status| anyhow::anyhow!("raising {object}: {status}"))
}

/// Makes sure that an interrupt comes so often, and no more.
pub(crate) fn expect_count(session: &mut LineSession, object: &str, wanted: u64) -> Result<()> {
    let mut count = 0;
    while count < wanted {
        let more = session.request_number(&format!("wait {object} 5000"))?;
        ensure!(more > 0, "{count} of {wanted} interrupts of {object} have come");
        count += more;
    }
    count += session.request_number(&format!("wait {object} 50"))?;
    ensure!(count == wanted, "{count} interrupts of {object}, not {wanted}");
    Ok(())
}

fn reach_an_eventfd() -> Result<()> {
    TestVm::with("default")?.run(|vm| {
        vm.bind(&["dprc.2"])?;
        let board = vm.board()?;
        vm.session(&SESSION, |session| {
            session.request("open dprc.2")?;
            for object in ["dpbp.4", "dpmcp.17", "dpio.2", "dpni.2", "dpcon.4"] {
                one_object(session, &board, object)?;
            }
            Ok(())
        })
    })
}

fn one_object(session: &mut LineSession, board: &Board, object: &str) -> Result<()> {
    session.request(&format!("irq {object}"))?;
    // The interrupt is disabled in the MC.
    raise(board, object)?;
    expect_count(session, object, 0)?;
    // The event has waited for it to open; it stays until it is cleared.
    session.request(&format!("irq-mask {object} ffffffff enabled"))?;
    expect_count(session, object, 1)?;
    ensure!(session.request(&format!("events {object}"))? == "1", "the events of {object}");
    for _ in 0..5 {
        raise(board, object)?;
        expect_count(session, object, 1)?;
    }
    session.request(&format!("events {object}"))?;
    // Masked, it only is kept.
    session.request(&format!("irq-mask {object} 0 enabled"))?;
    raise(board, object)?;
    expect_count(session, object, 0)?;
    ensure!(session.request(&format!("events {object}"))? == "1", "the masked event of {object}");
    session.request(&format!("irq-mask {object} ffffffff enabled"))?;
    expect_count(session, object, 0)?;
    let seen = session.request_number(&format!("seen {object}"))?;
    ensure!(seen == 6, "the kernel has seen {seen} interrupts of {object}");
    // Without an eventfd nothing is signalled.
    session.request(&format!("no-irq {object}"))?;
    raise(board, object)?;
    session.request_refused(&format!("wait {object} 1"), &["signals nothing"])?;
    session.request(&format!("irq-mask {object} 0 disabled"))?;
    Ok(())
}

/// Eight containers have interrupts at the same time; each gets its own.
fn of_eight_containers() -> Result<()> {
    TestVm::with("eight-containers")?.run(|vm| {
        let containers: Vec<String> = (2..10).map(|number| format!("dprc.{number}")).collect();
        let names: Vec<&str> = containers.iter().map(String::as_str).collect();
        vm.bind(&names)?;
        let board = vm.board()?;
        let objects: Vec<String> = (0..8).map(|number| format!("dpbp.{number}")).collect();
        vm.session(&SESSION, |session| {
            for (container, object) in containers.iter().zip(&objects) {
                session.request(&format!("open {container}"))?;
                session.request(&format!("irq {object}"))?;
                session.request(&format!("irq-mask {object} ffffffff enabled"))?;
            }
            // Each another number of times, mixed.
            for round in 0..objects.len() {
                for object in &objects[round..] {
                    raise(&board, object)?;
                    let seen = session.request_number(&format!("wait {object} 5000"))?;
                    ensure!(seen == 1, "{object} counts {seen}");
                }
            }
            for (index, object) in objects.iter().enumerate() {
                let more = session.request_number(&format!("wait {object} 1"))?;
                ensure!(more == 0, "{object} counts {more} of others");
                let seen = session.request_number(&format!("seen {object}"))?;
                ensure!(seen == 1 + index as u64, "the kernel has seen {seen} of {object}");
            }
            // All at once.
            for object in &objects {
                raise(&board, object)?;
            }
            for object in &objects {
                expect_count(session, object, 1)?;
            }
            Ok(())
        })
    })
}

/// The defect of Linux's own driver that the other tests keep away from, and its
/// remedy. The kernel warns: the domain of the container's interrupts is still
/// there when it is made the second time.
fn once_per_bind() -> Result<()> {
    let vm = TestVm::with("default")?.expect_complaint("msi_create_device_irq_domain");
    vm.run(|vm| {
        let once = |session: &mut LineSession, board: &Board| {
            session.request("open dprc.2")?;
            session.request("irq dpbp.4")?;
            session.request("irq-mask dpbp.4 ffffffff enabled")?;
            raise(board, "dpbp.4")?;
            expect_count(session, "dpbp.4", 1)?;
            session.request("close dprc.2")
        };
        let board = vm.board()?;
        for _ in 0..3 {
            vm.bind(&["dprc.2"])?;
            vm.session(&SESSION, |session| {
                once(session, &board)?;
                session.request("open dprc.2")?;
                session
                    .request_refused("irq dpbp.4", &["VFIO_DEVICE_SET_IRQS", "once per bind"])?;
                Ok(())
            })?;
            vm.sh("fslmc-guest release dprc.2")?;
        }
        Ok(())
    })
}
