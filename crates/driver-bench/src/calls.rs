// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What one call of a device costs when the MC answers at once.

use crate::{
    Outcome, Row,
    bound::{self, Error},
    meter::{Kind, Meter, Scope, row},
    spin,
};
use dprc::{AssignedContainer, Device, EventFd, IrqAction, IrqData, McPortal};
use driver_bench::Unit;
use mc_abi::common::{ClearIrqStatus, SetIrqEnable, SetIrqMask};
use mc_abi::{Message, ObjectId, Request, Token, dpmcp::EVENT_COMMAND_DONE, dpmng};
use rustix::fd::AsFd;
use rustix::io::{Errno, pread, pwrite};
use std::time::Duration;

/// How long an interrupt may take to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// Turns of a loop that is long enough for an interrupt to come meanwhile, and short
/// beside the 4 ms from one tick of the clock to the next: half a millisecond where an
/// instruction is a nanosecond, and some on a host's clock.
const INTERRUPT_ITERATIONS: u64 = 250_000;

const FIRST_OF_ALL: &str = "SET_IRQS, first of the container";
const FIRST: &str = "SET_IRQS, first of a dpbp";
const ARM: &str = "SET_IRQS arm";
const DISARM: &str = "SET_IRQS disarm";

/// Measures all calls of a container's devices.
pub fn run(container: &str, kind: &Kind, rounds: u32) -> Result<Vec<Row>, Error> {
    let held = AssignedContainer::open(container)?;
    let meter = Meter::new(kind, Scope::Thread)?;
    let mut bench = Bench { meter, kind, rounds, rows: vec![] };
    let pool = bound::first(&held, "dpbp")?;
    bench.measure("open+close of a dpbp, nothing else open", || held.device(&pool).map(drop))?;
    let itself = held.dprc()?;
    let pool = held.device(&pool)?;
    bench.questions(&pool)?;
    bench.portal(&itself)?;
    bench.map(&held)?;
    bench.resets(&itself, &pool)?;
    bench.open_and_close(&held)?;
    bench.set_irqs(&held, &itself)?;
    if let Err(error) = bench.interrupts(&held) {
        bench.fail("irq", &*error);
    }
    Ok(bench.rows)
}

struct Bench<'a> {
    meter: Meter,
    kind: &'a Kind,
    rounds: u32,
    rows: Vec<Row>,
}

impl Bench<'_> {
    fn measure<E: Into<Error>>(
        &mut self,
        name: &str,
        mut work: impl FnMut() -> Result<(), E>,
    ) -> Result<(), Error> {
        // Once unmeasured: the first time takes memory and fills caches.
        work().map_err(Into::into)?;
        let rounds = self.meter.rounds(self.rounds, name);
        let samples = self.meter.repeat(rounds, || work().map_err(Into::into))?;
        self.rows.push(row(name, samples));
        Ok(())
    }

    fn fail(&mut self, name: &str, error: &dyn std::error::Error) {
        self.rows.push(Row { name: name.to_owned(), outcome: Outcome::Failed(error.to_string()) });
    }

    fn questions(&mut self, device: &Device) -> Result<(), Error> {
        self.measure("unknown ioctl (floor)", || match spin::unknown_call(device.as_fd()) {
            Err(Errno::NOTTY) => Ok(()),
            other => Err(format!("an unknown call is answered by {other:?}")),
        })?;
        self.measure("GET_INFO", || device.ask_info().map(drop))?;
        self.measure("GET_IRQ_INFO", || device.irq(0).map(drop))?;
        Ok(())
    }

    fn portal(&mut self, container: &Device) -> Result<(), Error> {
        self.measure("GET_REGION_INFO", || container.region(0).map(drop))?;
        let command = dpmng::GetVersion {}.message(Token::NONE).to_bytes();
        let offset = container.region(0)?.offset;
        let mut answer = [0; Message::SIZE];
        // What does not fit is refused by the driver.
        self.measure("refused read (floor)", || {
            match pread(container, &mut answer[..8], offset) {
                Err(Errno::INVAL) => Ok(()),
                other => Err(format!("a read of 8 bytes is answered by {other:?}")),
            }
        })?;
        self.measure("portal write", || pwrite(container, &command, offset).map(drop))?;
        self.measure("portal read", || pread(container, &mut answer, offset).map(drop))?;
        self.measure("command (write+read)", || {
            pwrite(container, &command, offset)?;
            pread(container, &mut answer, offset).map(drop)
        })
    }

    fn map(&mut self, held: &AssignedContainer) -> Result<(), Error> {
        let device = held.device(&bound::first(held, "dpmcp")?)?;
        self.measure("mmap+munmap of a dpmcp", || device.map_region(0).map(drop))?;
        // A word is read, so that the page is there.
        self.measure("mmap+load+munmap of a dpmcp", || {
            device.map_region(0)?.load::<u64>(0).map(drop)
        })
    }

    fn resets(&mut self, container: &Device, pool: &Device) -> Result<(), Error> {
        self.measure("RESET of a dpbp", || pool.reset())?;
        self.measure("RESET of the dprc", || container.reset())
    }

    fn open_and_close(&mut self, held: &AssignedContainer) -> Result<(), Error> {
        let name = bound::objects(held, "dpbp")?.pop().unwrap_or_default();
        self.measure("open+close of a dpbp", || held.device(&name).map(drop))
    }

    /// The container's own interrupt stays armed all the time: drivers may give up
    /// the container's vectors with the last of them.
    fn set_irqs(&mut self, held: &AssignedContainer, container: &Device) -> Result<(), Error> {
        let events = [EventFd::new()?, EventFd::new()?];
        let start = self.meter.start()?;
        arm(container, &events[0])?;
        let first = self.meter.since(start)?;
        self.rows.push(row(FIRST_OF_ALL, vec![first]));

        let name = bound::objects(held, "dpbp")?.pop().unwrap_or_default();
        let mut samples = Vec::new();
        for _ in 0..self.meter.rounds(self.rounds, FIRST) {
            let device = held.device(&name)?;
            let start = self.meter.start()?;
            arm(&device, &events[0])?;
            samples.push(self.meter.since(start)?);
        }
        self.rows.push(row(FIRST, samples));

        let device = held.device(&name)?;
        arm(&device, &events[0])?;
        let mut next = 0;
        self.measure("SET_IRQS re-arm", || {
            next ^= 1;
            arm(&device, &events[next])
        })?;
        self.measure("SET_IRQS trigger (bool)", || {
            device.set_irqs(0, 0, IrqAction::Trigger, &IrqData::Bools(&[true]))
        })?;
        self.measure("SET_IRQS trigger (none)", || {
            device.set_irqs(0, 0, IrqAction::Trigger, &IrqData::None(1))
        })?;
        let (mut armed, mut disarmed) = (Vec::new(), Vec::new());
        let rounds =
            self.meter.rounds(self.rounds, ARM).max(self.meter.rounds(self.rounds, DISARM));
        for _ in 0..rounds {
            let start = self.meter.start()?;
            device.set_irqs(0, 0, IrqAction::Trigger, &IrqData::None(0))?;
            disarmed.push(self.meter.since(start)?);
            let start = self.meter.start()?;
            arm(&device, &events[0])?;
            armed.push(self.meter.since(start)?);
        }
        self.rows.push(row(ARM, armed));
        self.rows.push(row(DISARM, disarmed));
        Ok(())
    }

    /// A dpmcp raises its interrupt for each command that it has done.
    fn interrupts(&mut self, held: &AssignedContainer) -> Result<(), Error> {
        let name = bound::first(held, "dpmcp")?;
        let object: ObjectId = name.parse().map_err(|e| format!("{name}: {e}"))?;
        let device = held.device(&name)?;
        let interrupt = device.enable_interrupt(0)?;
        // The commands that set it up come through another portal.
        let mut manager = held.dprc()?.portal()?;
        let open = manager.open(object)?;
        let status = EVENT_COMMAND_DONE;
        manager.call(open, &SetIrqMask { mask: status, index: 0 })?;
        manager.call(open, &SetIrqEnable { enable: true, index: 0 })?;
        let mut portal = device.mapped_portal()?;
        match self.kind.unit {
            _ if self.kind.only.is_some() => {}
            Unit::Instructions => self.interrupt_instructions(&mut portal, interrupt.events())?,
            Unit::Nanoseconds => self.interrupt_latency(&mut portal, interrupt.events())?,
            Unit::GuestNanoseconds | Unit::Commands => {}
        }
        manager.call(open, &SetIrqEnable { enable: false, index: 0 })?;
        manager.call(open, &ClearIrqStatus { status, index: 0 })?;
        manager.close(open)?;
        Ok(())
    }

    /// All that the kernel does on the machine's only processor while this program
    /// makes no system call: an interrupt, unless the clock ticks as well.
    fn interrupt_instructions(
        &mut self,
        portal: &mut McPortal,
        events: &EventFd,
    ) -> Result<(), Error> {
        let mut meter = Meter::new(self.kind, Scope::Machine)?;
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            events.take()?;
            let start = meter.start()?;
            ask(portal)?;
            spin::iterate(INTERRUPT_ITERATIONS);
            let sample = meter.since(start)?;
            match events.take()? {
                1 => with.push(sample),
                // It comes late: no sample.
                _ if events.wait(PATIENCE)? == 0 => {
                    return Err("an interrupt has not come in 5 s".into());
                }
                _ => {}
            }
            let start = meter.start()?;
            spin::iterate(INTERRUPT_ITERATIONS);
            without.push(meter.since(start)?);
        }
        self.rows.push(row("quiet machine (floor)", without));
        self.rows.push(row("irq to eventfd, nobody waits", with));
        Ok(())
    }

    /// From the store that sends a command to the end of a poll that waits for the
    /// interrupt which the answer raises.
    fn interrupt_latency(&mut self, portal: &mut McPortal, events: &EventFd) -> Result<(), Error> {
        let mut samples = Vec::new();
        for _ in 0..self.rounds {
            events.take()?;
            let start = self.meter.start()?;
            ask(portal)?;
            if events.wait(PATIENCE)? != 1 {
                return Err("an interrupt has not come in 5 s".into());
            }
            samples.push(self.meter.since(start)?);
        }
        self.rows.push(row("mapped command and its irq by eventfd", samples));
        Ok(())
    }
}

fn ask(portal: &mut McPortal) -> Result<(), dprc::PortalError> {
    portal.call(Token::NONE, &dpmng::GetVersion {}).map(drop)
}

fn arm(device: &Device, events: &EventFd) -> dprc::Result<()> {
    device.set_irqs(0, 0, IrqAction::Trigger, &IrqData::EventFds(&[Some(events.as_fd())]))
}
