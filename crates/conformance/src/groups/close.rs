// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Users that go without a word: what they had is given back, whenever they went.

use super::util::{answers, exchange, fetch, of_family};
use crate::check::{Check, Outcome, Stop, check, done, ensure, fail, is, skip};
use crate::context::{self, Context};
use crate::helper::{All, Helper, Job, is_clean};
use crate::kernel::{self, Log};
use crate::mc::{self, EnabledInterrupt};
use crate::sys::Map;
use dprc::Device;
use mc_abi::{Message, ObjectId, ObjectType, Token, common};
use rustix::fd::AsFd;
use rustix::mm::{MapFlags, ProtFlags};
use std::time::Duration;

const GROUP: Check = Check::group("close").source("kernel: a process that ends closes its files");

/// The checks.
pub const CHECKS: &[Check] = &[
    check!(
        exit_with_everything,
        "What a process had that exits with everything open is given back."
    )
    .interrupts()
    .seconds(60),
    check!(interrupts_after_exit, "Interrupts work after a process that had them has exited.")
        .interrupts()
        .defect(2)
        .seconds(60),
    check!(
        kill_with_everything,
        "What a process had that is killed with everything open is given back, and all can be had \
         again."
    )
    .interrupts()
    .defect(2)
    .seconds(120),
    check!(
        "kill-in-commands",
        |context| kill_in(context, Job::Command),
        "A process that is killed among commands leaves a clean container."
    )
    .seconds(240),
    check!(
        "kill-in-interrupts",
        |context| kill_in(context, Job::Interrupt),
        "A process that is killed among interrupts leaves a clean container."
    )
    .interrupts()
    .defect(2)
    .seconds(240),
    check!(
        "kill-in-mappings",
        |context| kill_in(context, Job::Map),
        "A process that is killed among mappings of regions leaves a clean container."
    )
    .seconds(240),
    check!(
        "kill-in-dma",
        |context| kill_in(context, Job::Dma),
        "A process that is killed among mappings for DMA leaves a clean container."
    )
    .seconds(240),
    check!(
        "kill-in-open",
        |context| kill_in(context, Job::Open),
        "A process that is killed among opens and closes leaves a clean container."
    )
    .seconds(240),
    check!(
        "kill-in-reset",
        |context| kill_in(context, Job::Reset),
        "A process that is killed among resets leaves a clean container."
    )
    .seconds(240),
    check!(
        keeps_memory,
        "Opening and closing all devices of a container costs no memory for ever."
    )
    .seconds(120),
    check!(
        unmaps_portals,
        "Portals that took commands are not mapped into the kernel any longer than they are open."
    ),
    check!(
        answers_are_not_left,
        "Who opens a command portal finds nothing of its last holder's answers, by a read or by a \
         mapping."
    )
    .defect(21),
];

fn exit_with_everything(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    Helper::start(Job::HoldAll, &[&context.container])?.finish()?;
    is_clean(&context.container)?;
    log.is_calm()
}

fn interrupts_after_exit(context: &Context) -> Outcome {
    Helper::start(Job::HoldAll, &[&context.container])?.finish()?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    EnabledInterrupt::new(&dprc)?.raise_once()
}

fn kill_with_everything(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    for _ in 0..context.times(10) {
        Helper::start(Job::HoldAll, &[&context.container])?.kill()?;
        is_clean(&context.container)?;
        let all = All::of(&context.container)?;
        for (name, device, events) in &all.devices {
            let Some(events) = events else { continue };
            let once = dprc::IrqData::None(1);
            device.set_irqs(0, 0, dprc::IrqAction::Trigger, &once)?;
            is(&format!("signals of {name}"), events.take()?, 1)?;
        }
    }
    log.is_calm()
}

/// Numbers without a pattern, from a seed (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn kill_in(context: &Context, job: Job) -> Outcome {
    let mut log = Log::from_here()?;
    let before = pools(context)?;
    let mut random = Random(u64::from(std::process::id()) << 20 | 0x9e37);
    for round in 0..context.times(40) {
        let helper = Helper::start(job, &[&context.container])?;
        std::thread::sleep(Duration::from_micros(random.below(20_000)));
        helper.kill()?;
        is_clean(&context.container).map_err(|stop| in_round(stop, round))?;
    }
    destroy_pools_but(&before, context)?;
    if job == Job::Interrupt {
        let held = context.hold()?;
        let dprc = held.dprc()?;
        EnabledInterrupt::new(&dprc)?.raise_once()?;
    }
    log.is_calm()
}

fn pools(context: &Context) -> Result<Vec<ObjectId>, Stop> {
    let held = context.hold()?;
    let mut portal = held.dprc()?.portal()?;
    Ok(mc::objects_of(&mut portal, mc::object(&held.name)?, ObjectType::Dpbp)?)
}

/// Who is killed between making an object and destroying it leaves the object: it is the
/// container's, not the process's.
fn destroy_pools_but(kept: &[ObjectId], context: &Context) -> Outcome {
    let held = context.hold()?;
    let container = mc::object(&held.name)?;
    let mut portal = held.dprc()?.portal()?;
    for pool in mc::objects_of(&mut portal, container, ObjectType::Dpbp)? {
        if !kept.contains(&pool) {
            mc::with_open(&mut portal, container, |portal, open| mc::destroy(portal, open, pool))?;
        }
    }
    Ok(())
}

fn in_round(stop: Stop, round: u32) -> Stop {
    match stop {
        Stop::Fail { expected, got } => {
            Stop::Fail { expected, got: format!("{got} (round {round})") }
        }
        skip => skip,
    }
}

fn keeps_memory(context: &Context) -> Outcome {
    let names = context.devices()?;
    kernel::keeps_memory(context.times(1000), |_| {
        let held = context.hold()?;
        for name in &names {
            let device = held.device(name)?;
            if device.info().flags == 0 {
                return fail("flags of a device", "none");
            }
        }
        Ok(())
    })
}

fn unmaps_portals(context: &Context) -> Outcome {
    let before = kernel::device_mappings();
    if before == 0 {
        return skip("/proc/vmallocinfo does not count them");
    }
    for device in context::portals(&context.hold()?)? {
        mc::container_of(&mut device.portal()?)?;
    }
    let after = kernel::device_mappings();
    ensure(after <= before, "no more mappings of devices than before", || {
        format!("{after} after the close, {before} before the first open")
    })
}

/// Asks by a command of which no other asks, and says what its answer has.
pub(super) fn leave_an_answer(device: &Device) -> Result<Message, Stop> {
    // Nothing that the driver asks of the MC, and parameters that are not.
    let mut command = of_family(common::GET_API_VERSION, ObjectType::Dpni, Token::NONE, &());
    command.params.0[40..].fill(0xa5);
    let answer = exchange(device, &command)?;
    answers("a question", &command, &answer)?;
    Ok(answer)
}

pub(super) fn is_not_left(what: &str, found: &Message, left: &Message) -> Outcome {
    let same = found.header.number() == left.header.number() || found.params.0[40..] == [0xa5; 16];
    ensure(!same, format!("{what} that is not the last holder's answer"), || format!("{found:x?}"))
}

fn answers_are_not_left(context: &Context) -> Outcome {
    let name = context.first("dpmcp")?;
    for by_mapping in [false, true] {
        let held = context.hold()?;
        let left = leave_an_answer(&held.device(&name)?)?;
        // Its device is closed by now, the container's group is not.
        let device = held.device(&name)?;
        let found = if by_mapping {
            let page = rustix::param::page_size();
            let mapped = Map::of(device.as_fd(), 0, page, ProtFlags::READ, MapFlags::SHARED);
            let mapped = done("a mapping", mapped)?;
            let mut bytes = [0; Message::SIZE];
            for (index, chunk) in bytes.chunks_exact_mut(8).enumerate() {
                let word = mapped.load(8 * index).unwrap_or_default();
                chunk.copy_from_slice(&word.to_le_bytes());
            }
            Message::from_bytes(&bytes)
        } else {
            done("a read", fetch(&device, 0))?
        };
        is_not_left(&format!("a portal of {name}"), &found, &left)?;
    }
    // And that of the container.
    let left = leave_an_answer(&context.hold()?.dprc()?)?;
    let held = context.hold()?;
    is_not_left("a portal of the container", &done("a read", fetch(held.dprc()?, 0))?, &left)
}
