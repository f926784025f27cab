// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Steps in which the kernel has no memory for the driver, at any point of them.
//!
//! Each check repeats a step. The first time the first allocation fails in it, the second
//! time the second one, and so on, until one comes to its end before it has so many. That
//! a step gets further each time shows that nothing of the last one is in its way.

use super::hotplug;
use super::unbind::Restored;
use super::util::{arm, new_eventfd, of_family, send, signals, simulate, status, with_interrupt};
use crate::check::{Check, Outcome, Stop, check, done, ensure, fail, is, skip};
use crate::context::{self, Context};
use crate::faults::{self, Faults};
use crate::helper::is_clean;
use crate::kernel::{self, Log};
use crate::mc::Manager;
use crate::patience::patience;
use dprc::{AssignedContainer, Device};
use fsl_mc_linux::bus::{self, SYSFS, VFIO_DRIVER as DRIVER};
use fsl_mc_linux::kmsg::{self, WITHOUT_MEMORY};
use mc_abi::{ObjectType, Status, Token, common};
use rustix::fd::OwnedFd;

/// A step has some hundred allocations, and a kernel that can do this is slow.
const GROUP: Check = Check::group("memory")
    .source("kernel: a failed allocation fails the call, and nothing else")
    .seconds(600);

/// The checks.
pub const CHECKS: &[Check] = &[
    check!(
        bind,
        "A bind for which memory is short at any point fails or succeeds, and leaves nothing \
         behind when it fails."
    ),
    check!(unbind, "An unbind for which memory is short at any point succeeds."),
    check!(
        open,
        "An opening and the first command for which memory is short at any point fail or succeed, \
         and the next ones succeed."
    ),
    check!(
        set_irqs,
        "SET_IRQS for which memory is short at any point fails or succeeds, and the next one \
         succeeds."
    )
    .interrupts(),
    check!(
        close,
        "A close for which memory is short at any point leaves the container as it was before the \
         opening."
    )
    .interrupts(),
    check!(
        added,
        "An object that is added while memory is short appears when there is memory, in the \
         driver's hands."
    )
    .defect(17),
];

/// How often work of the kernel's own threads comes to its end before no allocation of it is left
/// to fail.
const TRIES_OF_WORK: u32 = 3;

/// More allocations than any step has.
const MOST: u32 = 5000;

/// Linux's ITS takes an event of the device for each interrupt, and does not give it back where
/// what comes after that has no memory (`drivers/irqchip/irq-gic-v3-its.c`). A container that
/// shares an ITS device with nobody has 32 or 64, and would have none soon.
const ITS_KEEPS_EVENTS: &str = "its_irq_domain_alloc";

/// A walk through the allocations of a step.
struct Walk {
    step: &'static str,
    asks: Asks,
    faults: Faults,
    log: Log,
}

/// Whether the driver itself asks for memory in a step, so that a walk in which nothing has
/// failed was none.
#[derive(Clone, Copy, PartialEq)]
enum Asks {
    Surely,
    Perhaps,
}

/// How a step went.
enum Went<T> {
    /// To its end.
    Well(T),
    /// An allocation failed, and it with it.
    Short,
}

impl Walk {
    fn new(step: &'static str, asks: Asks) -> Result<Self, Stop> {
        Self::sparing(faults::KMEMLEAK, step, asks)
    }

    /// The same without the allocations that a function of the kernel's makes.
    fn sparing(function: &str, step: &'static str, asks: Asks) -> Result<Self, Stop> {
        let faults = Faults::of_module(&DRIVER.replace('-', "_"), function)?;
        // What others have lost before is not the driver's.
        kernel::forget_leaks()?;
        Ok(Self { step, asks, faults, log: Log::from_here()? })
    }

    /// Repeats the step until no allocation fails in it. `run` does it with the nth one
    /// failing, and says whether that came to pass; `after` judges each time what has come
    /// of it.
    fn repeat<T>(
        mut self,
        mut run: impl FnMut(&Faults, u32) -> Result<(Result<T, String>, bool), Stop>,
        mut after: impl FnMut(Went<T>) -> Outcome,
    ) -> Outcome {
        let mut failed = 0;
        for nth in 1..MOST {
            let (result, was_short) = run(&self.faults, nth)?;
            let went = match result {
                Ok(value) => Went::Well(value),
                Err(_) if was_short => {
                    failed += 1;
                    Went::Short
                }
                Err(error) => {
                    let step = self.step;
                    return fail(
                        format!("{step} succeeds, no allocation failing (n = {nth})"),
                        error,
                    );
                }
            };
            let judged = after(went).and_then(|()| self.is_calm());
            judged.map_err(|stop| match stop {
                Stop::Fail { expected, got } => {
                    Stop::Fail { expected: format!("{expected} (n = {nth})"), got }
                }
                skip => skip,
            })?;
            if !was_short {
                return self.end(nth - 1, failed);
            }
        }
        fail(format!("{} has less than {MOST} allocations", self.step), "it has more")
    }

    /// Says how far the walk went, where somebody may want to know it.
    fn end(self, allocations: u32, failed: u32) -> Outcome {
        let told = format!(
            "conformance: {}: {allocations} allocations failed one by one, {failed} of them failed it",
            self.step
        );
        kmsg::Writer::open().and_then(|log| log.write(6, &told))?;
        drop(self.faults);
        has_injected(self.step, self.asks, allocations)?;
        kernel::no_leaks()
    }

    fn is_calm(&mut self) -> Outcome {
        let complaint = |line: &&String| {
            kmsg::is_complaint(line) && !WITHOUT_MEMORY.iter().any(|known| line.contains(known))
        };
        match self.log.lines()?.iter().find(complaint) {
            None => Ok(()),
            Some(line) => fail("no complaint in the kernel's log", line.clone()),
        }
    }
}

/// A walk has made allocations fail, where the step has some: nothing is learnt from one whose
/// faults do not come, for a driver at another address or a kernel without the switches.
fn has_injected(step: &str, asks: Asks, allocations: u32) -> Outcome {
    ensure(asks == Asks::Perhaps || allocations > 0, format!("allocations of {step} fail"), || {
        "none has failed, though the driver asks for memory".to_owned()
    })
}

/// The driver has the container, or has not.
fn has_driver(context: &Context, wanted: bool) -> Outcome {
    let driver = SYSFS.driver_of(&context.container);
    is(&format!("driver of {}", context.container), driver.is_some(), wanted)
}

/// The container with fewer objects, alone.
fn small(context: &Context) -> Context {
    // Each object of a container has its allocations, and they are the same for each.
    let container = context.second.clone().unwrap_or_else(|| context.container.clone());
    Context { container, second: None, ..*context }
}

fn bind(context: &Context) -> Outcome {
    let context = &small(context);
    let _restored = Restored(&context.container);
    let walk = Walk::new("a bind", Asks::Surely)?;
    context::unbind(&context.container)?;
    walk.repeat(
        |faults, nth| {
            let bind = || context::bind(&context.container).map_err(|error| error.to_string());
            faults.during(nth, bind)
        },
        |went| match went {
            Went::Short => has_driver(context, false),
            Went::Well(()) => {
                has_driver(context, true)?;
                Ok(context::unbind(&context.container)?)
            }
        },
    )?;
    context::bind(&context.container)?;
    is_clean(&context.container)
}

fn unbind(context: &Context) -> Outcome {
    let context = &small(context);
    let _restored = Restored(&context.container);
    Walk::new("an unbind", Asks::Perhaps)?.repeat(
        |faults, nth| {
            let unbind = || context::unbind(&context.container).map_err(|error| error.to_string());
            faults.during(nth, unbind)
        },
        |went| match went {
            Went::Short => fail("an unbind succeeds", "it fails"),
            Went::Well(()) => {
                has_driver(context, false)?;
                Ok(context::bind(&context.container)?)
            }
        },
    )?;
    is_clean(&context.container)
}

/// A container that is open, with a command portal of it that has been used.
struct Open {
    held: AssignedContainer,
    dprc: Device,
    dpmcp: Device,
}

impl Open {
    fn new(container: &str, dpmcp: &str) -> Result<Self, String> {
        let held = AssignedContainer::open(container).map_err(|error| error.to_string())?;
        let dprc = held.dprc().map_err(|error| error.to_string())?;
        let dpmcp = held.device(dpmcp).map_err(|error| error.to_string())?;
        for device in [&dprc, &dpmcp] {
            let ask = of_family(common::GET_API_VERSION, ObjectType::Dprc, Token::NONE, &());
            let sent = send(device, 0, &ask).map_err(|error| error.to_string())?;
            if sent != mc_abi::Message::SIZE {
                return Err(format!("{sent} bytes of a command are taken"));
            }
            let answer = super::util::fetch(device, 0).map_err(|error| error.to_string())?;
            if status(&answer) != Status::Ok {
                return Err(format!("the MC says {}", status(&answer)));
            }
        }
        Ok(Self { held, dprc, dpmcp })
    }
}

fn open(context: &Context) -> Outcome {
    let context = &small(context);
    let dpmcp = context.first("dpmcp")?;
    Walk::new("an opening", Asks::Surely)?.repeat(
        |faults, nth| {
            let (opened, was_short) = faults.during(nth, || {
                let open = Open::new(&context.container, &dpmcp)?;
                let mapped = open.dpmcp.mapped_portal().map_err(|error| error.to_string())?;
                Ok((open, mapped))
            })?;
            Ok((opened, was_short))
        },
        |went| {
            let Went::Well((open, mut mapped)) = went else { return Ok(()) };
            let number = crate::mc::container_of(&mut mapped)?;
            drop((mapped, open));
            is("number of the portal's container", number, bus::number(&context.container))
        },
    )?;
    is_clean(&context.container)
}

fn set_irqs(context: &Context) -> Outcome {
    let context = &small(context);
    // kmemleak's own allocations fail here, too. It takes one from its store then, and puts
    // that back when what it was for is freed.
    Walk::sparing(ITS_KEEPS_EVENTS, "SET_IRQS", Asks::Surely)?.repeat(
        |faults, nth| {
            // Opened each time: a closing gives all vectors back.
            let held = context.hold()?;
            let device = with_interrupt(context, &held)?;
            let dprc = held.dprc()?;
            let events = [new_eventfd()?, new_eventfd()?];
            let (armed, was_short) = faults.during(nth, || {
                let [one, other] = &events;
                let armed = arm(&device, 0, one).and_then(|_| arm(&dprc, 0, other));
                armed.map_err(|error| error.to_string())
            })?;
            let armed = armed.map(|_| ((held, device, dprc), events));
            Ok((armed, was_short))
        },
        |went| {
            let Went::Well(((held, device, dprc), events)) = went else { return Ok(()) };
            for (device, events) in [&device, &dprc].into_iter().zip(&events) {
                done("a simulated interrupt", simulate(device, 0))?;
                is("signals of a simulated interrupt", signals(events)?, 1)?;
            }
            drop((device, dprc, held));
            Ok(())
        },
    )?;
    is_clean(&context.container)
}

fn close(context: &Context) -> Outcome {
    let context = &small(context);
    let dpmcp = context.first("dpmcp")?;
    Walk::new("a close", Asks::Perhaps)?.repeat(
        |faults, nth| {
            let prepared = || -> Result<(Open, OwnedFd), Stop> {
                let open = Open::new(&context.container, &dpmcp)
                    .or_else(|error| fail("the container can be opened", error))?;
                let events = new_eventfd()?;
                done("SET_IRQS", arm(&open.dprc, 0, &events))?;
                Ok((open, events))
            };
            let (open, events) = prepared()?;
            let ((), was_short) = faults.during(nth, || {
                let Open { held, dprc, dpmcp } = open;
                drop((dpmcp, dprc, held));
            })?;
            Ok((Ok(events), was_short))
        },
        |_| Ok(()),
    )?;
    is_clean(&context.container)
}

fn added(context: &Context) -> Outcome {
    let mut manager = Manager::around(&context.container)?;
    // The kernel names the driver while it still probes.
    let there = |name: &str| {
        SYSFS.driver_of(name).as_deref() == Some(DRIVER)
            && SYSFS.device_path(name).join("vfio-dev").exists()
    };
    let mut add = |faults: &Faults, nth: u32| -> Result<(Result<(), String>, bool), Stop> {
        let (added, was_short) = faults.during_work(nth, || {
            let id = manager.add_pool(&context.container)?;
            let name = id.to_string();
            Ok::<_, Stop>((id, bus::wait_until(4 * patience(), || there(&name))))
        })?;
        let (id, appeared) = added?;
        let name = id.to_string();
        // Where the kernel had memory for it in the end.
        let opened =
            appeared.then(|| context.hold().and_then(|held| hotplug::open(&held, &name).map(drop)));
        manager.remove(id, &context.container)?;
        let gone = bus::wait_until(4 * patience(), || !SYSFS.has(&name));
        ensure(gone, format!("{name} vanishes within {:?}", 4 * patience()), || "it stays".into())?;
        match opened {
            Some(opened) => opened.map(|()| (Ok(()), was_short)),
            None if was_short => fail(
                format!("{name} has {DRIVER} within {:?} (n = {nth})", 4 * patience()),
                "it has not",
            ),
            None => Ok((Err("it does not appear".into()), was_short)),
        }
    };
    Walk::new("a hot-add", Asks::Surely)?.repeat(
        |faults, nth| {
            let mut went = add(faults, nth)?;
            // A thread that the kernel has just started for it may have escaped.
            for _ in 1..TRIES_OF_WORK {
                if went.1 || went.0.is_err() {
                    break;
                }
                went = add(faults, nth)?;
            }
            Ok(went)
        },
        |_| Ok(()),
    )?;
    if context.objects()?.is_empty() {
        return skip("the container is empty");
    }
    is_clean(&context.container)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_in_which_nothing_fails_is_none() {
        assert!(matches!(has_injected("a bind", Asks::Surely, 0), Err(Stop::Fail { .. })));
        assert!(has_injected("a bind", Asks::Surely, 1).is_ok());
        assert!(has_injected("a close", Asks::Perhaps, 0).is_ok());
    }
}
