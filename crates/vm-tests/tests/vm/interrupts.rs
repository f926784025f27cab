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
use vm_tests::{Bed, Talk};

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
pub(crate) fn expect_count(talk: &mut Talk, object: &str, wanted: u64) -> Result<()> {
    let mut count = 0;
    while count < wanted {
        let more = talk.number(&format!("wait {object} 5000"))?;
        ensure!(more > 0, "{count} of {wanted} interrupts of {object} have come");
        count += more;
    }
    count += talk.number(&format!("wait {object} 50"))?;
    ensure!(count == wanted, "{count} interrupts of {object}, not {wanted}");
    Ok(())
}

fn reach_an_eventfd() -> Result<()> {
    Bed::with("default")?.run(|bed| {
        bed.bind(&["dprc.2"])?;
        let board = bed.board()?;
        bed.talk(&SESSION, |talk| {
            talk.say("open dprc.2")?;
            for object in ["dpbp.4", "dpmcp.17", "dpio.2", "dpni.2", "dpcon.4"] {
                one_object(talk, &board, object)?;
            }
            Ok(())
        })
    })
}

fn one_object(talk: &mut Talk, board: &Board, object: &str) -> Result<()> {
    talk.say(&format!("irq {object}"))?;
    // The gate is closed.
    raise(board, object)?;
    expect_count(talk, object, 0)?;
    // The event has waited for it to open; it stays until it is cleared.
    talk.say(&format!("gate {object} ffffffff open"))?;
    expect_count(talk, object, 1)?;
    ensure!(talk.say(&format!("events {object}"))? == "1", "the events of {object}");
    for _ in 0..5 {
        raise(board, object)?;
        expect_count(talk, object, 1)?;
    }
    talk.say(&format!("events {object}"))?;
    // Masked, it only is kept.
    talk.say(&format!("gate {object} 0 open"))?;
    raise(board, object)?;
    expect_count(talk, object, 0)?;
    ensure!(talk.say(&format!("events {object}"))? == "1", "the masked event of {object}");
    talk.say(&format!("gate {object} ffffffff open"))?;
    expect_count(talk, object, 0)?;
    let seen = talk.number(&format!("seen {object}"))?;
    ensure!(seen == 6, "the kernel has seen {seen} interrupts of {object}");
    // Without an eventfd nobody is told.
    talk.say(&format!("no-irq {object}"))?;
    raise(board, object)?;
    talk.refused(&format!("wait {object} 1"), &["signals nothing"])?;
    talk.say(&format!("gate {object} 0 closed"))?;
    Ok(())
}

/// Eight containers have interrupts at the same time; each is told of its own.
fn of_eight_containers() -> Result<()> {
    Bed::with("eight-containers")?.run(|bed| {
        let containers: Vec<String> = (2..10).map(|number| format!("dprc.{number}")).collect();
        let names: Vec<&str> = containers.iter().map(String::as_str).collect();
        bed.bind(&names)?;
        let board = bed.board()?;
        let objects: Vec<String> = (0..8).map(|number| format!("dpbp.{number}")).collect();
        bed.talk(&SESSION, |talk| {
            for (container, object) in containers.iter().zip(&objects) {
                talk.say(&format!("open {container}"))?;
                talk.say(&format!("irq {object}"))?;
                talk.say(&format!("gate {object} ffffffff open"))?;
            }
            // Each another number of times, mixed.
            for round in 0..objects.len() {
                for object in &objects[round..] {
                    raise(&board, object)?;
                    let seen = talk.number(&format!("wait {object} 5000"))?;
                    ensure!(seen == 1, "{object} counts {seen}");
                }
            }
            for (index, object) in objects.iter().enumerate() {
                let more = talk.number(&format!("wait {object} 1"))?;
                ensure!(more == 0, "{object} counts {more} of others");
                let seen = talk.number(&format!("seen {object}"))?;
                ensure!(seen == 1 + index as u64, "the kernel has seen {seen} of {object}");
            }
            // All at once.
            for object in &objects {
                raise(&board, object)?;
            }
            for object in &objects {
                expect_count(talk, object, 1)?;
            }
            Ok(())
        })
    })
}

/// The defect of Linux's own driver that the other tests keep away from, and its
/// remedy. The kernel warns: the domain of the container's interrupts is still
/// there when it is made the second time.
fn once_per_bind() -> Result<()> {
    let bed = Bed::with("default")?.expect_complaint("msi_create_device_irq_domain");
    bed.run(|bed| {
        let once = |talk: &mut Talk, board: &Board| {
            talk.say("open dprc.2")?;
            talk.say("irq dpbp.4")?;
            talk.say("gate dpbp.4 ffffffff open")?;
            raise(board, "dpbp.4")?;
            expect_count(talk, "dpbp.4", 1)?;
            talk.say("close dprc.2")
        };
        let board = bed.board()?;
        for _ in 0..3 {
            bed.bind(&["dprc.2"])?;
            bed.talk(&SESSION, |talk| {
                once(talk, &board)?;
                talk.say("open dprc.2")?;
                talk.refused("irq dpbp.4", &["VFIO_DEVICE_SET_IRQS", "once per bind"])?;
                Ok(())
            })?;
            bed.sh("fslmc-guest release dprc.2")?;
        }
        Ok(())
    })
}
