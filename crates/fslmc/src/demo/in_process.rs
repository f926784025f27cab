// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The demonstration without a guest: user space alone, on a board in this process.

use super::forward::{Limits, forward};
use super::report::{Report, expect};
use super::wait::wait;
use super::what_was_captured;
use dprc::qbman::{DequeueEntry, Source};
use dprc::{Access, Backend, Dataplane, DmaBuffer, InterfaceConfig};
use dprc_board::{Contents, InProcessBoard, InProcessContainer, Options};
use mc_abi::common::{ClearIrqStatus, GetIrqStatus, SetIrqEnable, SetIrqMask};
use mc_abi::dprc::event;
use mc_abi::{ObjectId, ObjectType, Token, dpbp, dpmng};
use miette::{IntoDiagnostic, Result, miette};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use wires::{CaptureSpec, Captures};

/// Where a page is mapped for a look.
const IOVA: u64 = 0x7000_0000;
/// How long an interrupt may take: it comes before the command is answered.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many frames go round, until so many have been forwarded.
const LIMITS: Limits = Limits { frames: 1000, time: Duration::from_secs(60), first: 16 };
/// Frames that wake the program up, one after the other.
const ROUNDS: u64 = 5;
/// The interfaces of the first container.
const INTERFACES: [ObjectId; 2] =
    [ObjectId::new(ObjectType::Dpni, 0), ObjectId::new(ObjectType::Dpni, 1)];

/// Runs it and tells what happens. The frames are left in a file.
///
/// # Errors
/// The step that did not happen as it should, and why.
pub fn demo(file: &Path) -> Result<i32> {
    let start = Instant::now();
    let specs = INTERFACES.map(|object| CaptureSpec { object, path: file.into() });
    let captures = Captures::start(&specs).into_diagnostic()?;
    println!("An emulated DPAA2 board in this process, and a program that uses it.\n");
    let report = &mut Report::default();
    let options = Options { capture: captures.clone(), ..Options::default() };
    let board = InProcessBoard::with(options).into_diagnostic()?;
    let id = make_container(report, &board)?;
    let held = report.step("It is given to the program", |report| {
        let held = board.open(id).into_diagnostic()?;
        report.detail("it has an address space of its own in the board's SMMU");
        match board.open(id) {
            Ok(_) => return Err(miette!("{id} was given a second time")),
            Err(error) => report.detail(format!("a second user is refused: {error}")),
        }
        Ok(held)
    })?;
    command(report, &held, id)?;
    map_dma(report, &held)?;
    interrupt(report, &held, id)?;
    forward_frames(report, &held)?;
    wake_up(report, &held)?;
    stay_inside(report, &board, &held)?;
    report.step("All is given back", |report| {
        drop(held);
        drop(board.open(id).into_diagnostic()?);
        report.detail(format!("the last user's end has reset {id}: it can be had again"));
        Ok(())
    })?;
    captures.close();
    println!("All {} steps happened as they should.", report.steps());
    println!("{}", what_was_captured(file)?);
    println!("\nAll of it took {:.3} s.", start.elapsed().as_secs_f64());
    Ok(0)
}

fn make_container(report: &mut Report, board: &InProcessBoard) -> Result<ObjectId> {
    report.step("A container with two connected interfaces is made", |report| {
        let contents = Contents::pair_of_interfaces();
        let id = board.make_container(&contents).into_diagnostic()?;
        let Contents { dpmcp, dpio, dpbp, dpcon, dpni, .. } = contents;
        report.detail(format!(
            "{id}: {dpmcp} dpmcp, {dpio} dpio, {dpbp} dpbp, {dpcon} dpcon, {dpni} dpni"
        ));
        Ok(id)
    })
}

fn command(report: &mut Report, held: &InProcessContainer, id: ObjectId) -> Result<()> {
    report.step("The Management Complex takes commands from the program", |report| {
        let mut portal = held.portal().into_diagnostic()?;
        let version = portal.call(Token::NONE, &dpmng::GetVersion {}).into_diagnostic()?;
        let own = portal.call(Token::NONE, &dpmng::GetContainerId {}).into_diagnostic()?.id;
        expect("the portal's container", &own, &id.id)?;
        let (major, minor, revision) = (version.major, version.minor, version.revision);
        report.detail(format!("firmware {major}.{minor}.{revision}, I am in dprc.{own}"));
        Ok(())
    })
}

fn map_dma(report: &mut Report, held: &InProcessContainer) -> Result<()> {
    report.step("A page is mapped for DMA, and unmapped", |report| {
        let page = || DmaBuffer::allocate(rustix::param::page_size()).into_diagnostic();
        let mapped = held.map(page()?, IOVA, Access::ReadWrite).into_diagnostic()?;
        report.detail(format!("{} bytes at {IOVA:#x}", mapped.size()));
        match held.map(page()?, IOVA, Access::Read) {
            Ok(_) => return Err(miette!("a second page was mapped at {IOVA:#x}")),
            Err(error) => report.detail(format!("a second one is refused: {error}")),
        }
        mapped.unmap().into_diagnostic()?;
        report.detail("unmapped");
        Ok(())
    })
}

fn interrupt(report: &mut Report, held: &InProcessContainer, id: ObjectId) -> Result<()> {
    report.step("An interrupt of the container reaches an eventfd", |report| {
        let interrupt = held.enable_interrupt(id, 0).into_diagnostic()?;
        let mut portal = held.portal().into_diagnostic()?;
        let mut open = portal.session(id).into_diagnostic()?;
        let mask = event::OBJ_ADDED | event::OBJ_CREATED;
        open.call(&SetIrqMask { mask, index: 0 }).into_diagnostic()?;
        open.call(&ClearIrqStatus { status: u32::MAX, index: 0 }).into_diagnostic()?;
        open.call(&SetIrqEnable { enable: true, index: 0 }).into_diagnostic()?;
        expect("interrupts so far", &interrupt.events().take().into_diagnostic()?, &0)?;
        let made = open.call(&dpbp::Create {}).into_diagnostic()?.id;
        let object = ObjectId::new(ObjectType::Dpbp, made);
        let count = interrupt.events().wait(PATIENCE).into_diagnostic()?;
        let status = GetIrqStatus { status: u32::MAX, index: 0 };
        let status = open.call(&status).into_diagnostic()?.status;
        expect("whether an interrupt came", &(count > 0), &true)?;
        expect("whether it says why", &(status & mask != 0), &true)?;
        report.detail(format!(
            "{object} is made: the eventfd counts {count}, the status is {status:#x}"
        ));
        let container = open.open();
        dprc::manage::destroy(open.portal(), container, object).into_diagnostic()?;
        open.close().into_diagnostic()?;
        Ok(())
    })
}

fn forward_frames(report: &mut Report, held: &InProcessContainer) -> Result<()> {
    report.step("The program forwards frames between its two interfaces", |report| {
        let figures = forward(held, &LIMITS).into_diagnostic()?;
        for line in figures.to_string().lines() {
            report.detail(line);
        }
        let [(_, by_one), (_, by_other)] = &figures.interfaces;
        expect("whether all were forwarded", &(figures.frames >= LIMITS.frames), &true)?;
        expect("buffers that are lost", &figures.lost, &0)?;
        let sent = by_one.sent + by_other.sent;
        expect("frames that were sent", &sent, &(figures.frames + LIMITS.first as u64))?;
        expect("frames that arrived at the second", &by_other.received, &by_one.sent)?;
        expect("frames that arrived at the first", &by_one.received, &by_other.sent)?;
        report.detail("what one interface sent the other has received, and every buffer is back");
        Ok(())
    })
}

fn wake_up(report: &mut Report, held: &InProcessContainer) -> Result<()> {
    report.step("A frame wakes it up, by an interrupt of its portal", |report| {
        let woken = wait(held, ROUNDS, PATIENCE).into_diagnostic()?;
        report.detail(&woken);
        let counts = (woken.frames, woken.notifications, woken.interrupts);
        expect("frames, notifications and interrupts", &counts, &(ROUNDS, ROUNDS, ROUNDS))
    })
}

/// A frame out of memory that the container does not have.
fn stay_inside(
    report: &mut Report,
    board: &InProcessBoard,
    held: &InProcessContainer,
) -> Result<()> {
    report.step("Memory that was not mapped is not reached", |report| {
        let mut plane = Dataplane::open(held).into_diagnostic()?;
        let mut portal = plane.portal().into_diagnostic()?;
        let frames = plane.frames(16, 2048).into_diagnostic()?;
        let pool = plane.pool(&mut portal, &frames).into_diagnostic()?;
        let one = plane.interface(&InterfaceConfig::new(pool)).into_diagnostic()?;
        let other = plane.interface(&InterfaceConfig::new(pool)).into_diagnostic()?;
        let buffer = frames.buffers().next().unwrap_or_default();
        let fd = frames.put(buffer, one.transmit_offset, &[0xff; 60], pool.number);
        let mut fd = fd.into_diagnostic()?.with_pool(None);
        fd.address = IOVA;
        expect("faults so far", &board.faults(), &0)?;
        expect("frames taken", &portal.enqueue(one.transmit, &[fd]).into_diagnostic()?, &1)?;
        let mut received: Vec<DequeueEntry> = Vec::new();
        let source = Source::Queue(other.receive_queue());
        let count = portal.dequeue(source, 32, &mut received).into_diagnostic()?;
        expect("frames that arrived", &count, &0)?;
        expect("faults of the SMMU", &board.faults(), &1)?;
        report.detail(format!("a frame at {IOVA:#x} was not sent; the SMMU reports a fault"));
        Ok(())
    })
}
