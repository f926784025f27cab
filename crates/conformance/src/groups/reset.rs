// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! VFIO_DEVICE_RESET, and the reset of the last close: what they put back, what they
//! leave alone, and what else may go on meanwhile.

use crate::check::{Check, Outcome, Stop, check, ensure, fail, is, skip};
use crate::context::Context;
use crate::helper::Helper;
use crate::kernel::Log;
use crate::mc::{self, EnabledInterrupt, enabled, object, settle, switch_on};
use dprc::{AssignedContainer, Device, EventFd, IrqAction, IrqData, McPortal};
use fsl_mc_linux::bus;
use mc_abi::ObjectId;
use rustix::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const GROUP: Check = Check::group("reset");

const USER_API: &str = "linux/vfio.h: VFIO_DEVICE_RESET";
const CLOSE: &str = "C driver: the last close resets";

/// The checks.
pub const CHECKS: &[Check] = &[
    check!(
        container_resets_objects,
        "A reset of the container puts all objects in it back to their initial state.",
        USER_API
    ),
    check!(
        of_each_object,
        "A reset of an object puts it back to its initial state, whatever its family.",
        USER_API
    ),
    check!(
        of_one_object,
        "A reset of an object leaves the others of its container alone.",
        USER_API
    ),
    check!(of_a_portal, "After the reset of a dpmcp its portal takes commands.", USER_API),
    check!(
        close_of_object,
        "The last close of an object resets it while the container is open.",
        CLOSE
    ),
    check!(close_of_container, "The last close of the container resets all objects in it.", CLOSE),
    check!(
        close_of_a_portal_alone,
        "When a command portal is all that was open, its last close resets all objects of the \
         container: it commands them all.",
        "kernel: what a program had is not the next one's"
    )
    .defect(25),
    check!(
        not_the_first_close,
        "A close that is not the last one resets nothing: copies of the file keep the device.",
        CLOSE
    ),
    check!(
        fd_of_another_process,
        "A device stays open in a process that was given its file, and is reset when that is gone.",
        CLOSE
    ),
    check!(
        mapping_keeps_device,
        "A mapped region keeps its device open when the file is closed; the reset comes with munmap.",
        "DPDK: maps a dpmcp and closes its file"
    ),
    check!(
        keeps_interrupts,
        "A reset leaves the eventfds of interrupts in their places.",
        "C driver: reset does not touch interrupts"
    )
    .interrupts(),
    check!(
        beside_set_irqs,
        "Resets and SET_IRQS of the same devices at the same time do each what they should.",
        USER_API
    )
    .interrupts()
    .seconds(60),
    check!(
        beside_each_other,
        "Resets of objects and of their container at the same time do each what they should.",
        USER_API
    )
    .defect(13)
    .seconds(60),
    check!(
        beside_commands,
        "Resets and commands through the container's portal at the same time do each what they \
         should.",
        USER_API
    )
    .defect(4)
    .seconds(60),
    check!(many, "A device can be reset hundreds of times.", USER_API).seconds(60),
];

/// The objects of the container that have a switch, all switched on.
fn all_on(context: &Context, portal: &mut McPortal) -> Result<Vec<ObjectId>, Stop> {
    let mut on = Vec::new();
    for name in context.objects()? {
        let id = object(&name)?;
        if mc::starts_off(bus::family(&name)) && switch_on(portal, id)? {
            on.push(id);
        }
    }
    if on.is_empty() { skip("the container has no object with a switch") } else { Ok(on) }
}

fn off(portal: &mut McPortal, object: ObjectId, after: &str) -> Outcome {
    ensure(!enabled(portal, object)?, format!("{object} is off after {after}"), || "on".into())
}

fn still_on(portal: &mut McPortal, object: ObjectId, after: &str) -> Outcome {
    ensure(enabled(portal, object)?, format!("{object} is still on after {after}"), || "off".into())
}

fn container_resets_objects(context: &Context) -> Outcome {
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let mut portal = dprc.portal()?;
    let on = all_on(context, &mut portal)?;
    dprc.reset()?;
    on.into_iter().try_for_each(|id| off(&mut portal, id, "the reset of its container"))
}

fn of_each_object(context: &Context) -> Outcome {
    let held = context.hold()?;
    let mut portal = held.dprc()?.portal()?;
    for id in all_on(context, &mut portal)? {
        held.device(&id.to_string())?.reset()?;
        off(&mut portal, id, "its reset")?;
    }
    Ok(())
}

/// Two objects with a switch, open and on.
fn two(
    context: &Context,
    held: &AssignedContainer,
    portal: &mut McPortal,
) -> Result<[(ObjectId, Device); 2], Stop> {
    let on = all_on(context, portal)?;
    let [one, .., other] = on.as_slice() else { return skip("there is one object only") };
    Ok([(*one, held.device(&one.to_string())?), (*other, held.device(&other.to_string())?)])
}

fn of_one_object(context: &Context) -> Outcome {
    let held = context.hold()?;
    let mut portal = held.dprc()?.portal()?;
    let [(one, device), _other] = two(context, &held, &mut portal)?;
    device.reset()?;
    off(&mut portal, one, "its reset")?;
    let rest = context.objects()?;
    for name in rest.iter().filter(|name| mc::starts_off(bus::family(name))) {
        let id = object(name)?;
        match enabled(&mut portal, id) {
            Ok(is_on) if id != one => {
                ensure(is_on, format!("{id} is on after the reset of {one}"), || "off".into())?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn of_a_portal(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.device(&context.first("dpmcp")?)?;
    let mut portal = device.mapped_portal()?;
    for _ in 0..3 {
        is("number of the container", mc::container_of(&mut portal)?, bus::number(&held.name))?;
        device.reset()?;
    }
    is("number of the container", mc::container_of(&mut portal)?, bus::number(&held.name))
}

fn close_of_object(context: &Context) -> Outcome {
    let held = context.hold()?;
    let mut portal = held.dprc()?.portal()?;
    let [(one, device), (other, _kept)] = two(context, &held, &mut portal)?;
    drop(device);
    off(&mut portal, one, "its last close")?;
    still_on(&mut portal, other, "the close of another one")
}

fn close_of_container(context: &Context) -> Outcome {
    let held = context.hold()?;
    let on = all_on(context, &mut held.dprc()?.portal()?)?;
    // The objects' own files stay closed: it is the container's close that counts.
    let mut portal = held.dprc()?.portal()?;
    on.into_iter().try_for_each(|id| off(&mut portal, id, "the last close of its container"))
}

fn close_of_a_portal_alone(context: &Context) -> Outcome {
    let name = context.first("dpmcp")?;
    let on = {
        let held = context.hold()?;
        all_on(context, &mut held.device(&name)?.mapped_portal()?)?
    };
    let held = context.hold()?;
    let mut portal = held.device(&name)?.mapped_portal()?;
    on.into_iter().try_for_each(|id| off(&mut portal, id, "the last close of the portal"))
}

fn not_the_first_close(context: &Context) -> Outcome {
    let held = context.hold()?;
    let mut portal = held.dprc()?.portal()?;
    let [(one, device), _other] = two(context, &held, &mut portal)?;
    let copy = device.as_fd().try_clone_to_owned()?;
    let second = held.device(device.name())?;
    drop(copy);
    still_on(&mut portal, one, "the close of a copy of its file")?;
    drop(device);
    still_on(&mut portal, one, "the close of one of two files")?;
    drop(second);
    off(&mut portal, one, "its last close")
}

fn fd_of_another_process(context: &Context) -> Outcome {
    let held = context.hold()?;
    let mut portal = held.dprc()?.portal()?;
    let [(one, device), _other] = two(context, &held, &mut portal)?;
    let keeper = Helper::with_device(crate::helper::Job::Keep, &device)?;
    drop(device);
    still_on(&mut portal, one, "the close of the process that opened it")?;
    keeper.kill()?;
    off(&mut portal, one, "the end of the process that had its file")
}

fn mapping_keeps_device(context: &Context) -> Outcome {
    let held = context.hold()?;
    let mut portal = held.dprc()?.portal()?;
    for id in all_on(context, &mut portal)? {
        let device = held.device(&id.to_string())?;
        let mappable = |index: &u32| device.region(*index).is_ok_and(|region| region.mappable);
        let Some(index) = (0..device.info().regions).find(mappable) else { continue };
        // The open and close of this check has reset it.
        switch_on(&mut portal, id)?;
        let mapping = device.map_region(index)?;
        drop(device);
        still_on(&mut portal, id, "the close of its file, with a region mapped")?;
        drop(mapping);
        return off(&mut portal, id, "munmap of its region");
    }
    skip("no object with a switch has a region that can be mapped")
}

fn keeps_interrupts(context: &Context) -> Outcome {
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let interrupt = dprc.enable_interrupt(0)?;
    let name = context.first("dpbp").or_else(|_| context.first("dpmcp"))?;
    let device = held.device(&name)?;
    let of_object = device.enable_interrupt(0)?;
    for _ in 0..3 {
        device.reset()?;
        dprc.reset()?;
        of_object.simulate()?;
        is("signals of the object", of_object.events().take()?, 1)?;
        interrupt.simulate()?;
        is("signals of the container", interrupt.events().take()?, 1)?;
        let mut source = mc::EventSource::new(dprc.portal()?, &held.name)?;
        settle(interrupt.events())?;
        source.raise()?;
        mc::expect_count(interrupt.events(), 1, "an event after a reset")?;
    }
    Ok(())
}

/// Repeats works for some seconds, each in a thread of its own.
fn together<const N: usize>(
    context: &Context,
    works: [&(dyn Fn() -> Outcome + Sync); N],
) -> Outcome {
    let over = AtomicBool::new(false);
    let end = Instant::now() + Duration::from_secs(u64::from(context.times(3)));
    let repeat = |work: &(dyn Fn() -> Outcome + Sync)| -> Outcome {
        while Instant::now() < end && !over.load(Ordering::Relaxed) {
            work().inspect_err(|_| over.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads = works.map(|work| scope.spawn(|| repeat(work)));
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| fail("threads to their end", "one has panicked"))
        })
    })
}

fn beside_each_other(context: &Context) -> Outcome {
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let device = held.device(&context.first("dpbp").or_else(|_| context.first("dpmcp"))?)?;
    let other = held.device(&context.first("dpio")?)?;
    let reset = |device: &Device| Ok(device.reset()?);
    together(context, [&|| reset(&device), &|| reset(&other), &|| reset(&dprc)])?;
    let number = mc::container_of(&mut dprc.portal()?)?;
    is("number of the portal's container", number, bus::number(&held.name))
}

fn beside_set_irqs(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let name = context.first("dpbp").or_else(|_| context.first("dpmcp"))?;
    let device = held.device(&name)?;
    let events = EventFd::new()?;
    let cycle = |device: &Device| -> Outcome {
        let files = [Some(events.as_fd())];
        device.set_irqs(0, 0, IrqAction::Trigger, &IrqData::EventFds(&files))?;
        device.set_irqs(0, 0, IrqAction::Trigger, &IrqData::None(1))?;
        Ok(device.set_irqs(0, 0, IrqAction::Trigger, &IrqData::EventFds(&[None]))?)
    };
    together(context, [&|| Ok(device.reset()?), &|| cycle(&device), &|| cycle(&dprc)])?;
    // All is in order after it.
    EnabledInterrupt::new(&dprc)?.raise_once()?;
    log.is_calm()
}

fn beside_commands(context: &Context) -> Outcome {
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let mut portal = dprc.portal()?;
    let device = held.device(&context.first("dpbp").or_else(|_| context.first("dpmcp"))?)?;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let commands = scope.spawn(|| {
            let mut count = 0_u32;
            while !over.load(Ordering::Relaxed) {
                let found = mc::container_of(&mut portal)?;
                is("number of the portal's container", found, bus::number(&held.name))?;
                count += 1;
            }
            ensure(count > 0, "a command at least", || "none".into())
        });
        let resets =
            || -> Outcome { (0..context.times(1000)).try_for_each(|_| Ok(device.reset()?)) };
        let reset = resets();
        over.store(true, Ordering::Relaxed);
        let commanded = commands.join();
        commanded.unwrap_or_else(|_| fail("commands", "their thread has panicked"))?;
        reset
    })?;
    is("number of the portal's container", mc::container_of(&mut portal)?, bus::number(&held.name))
}

fn many(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let held = context.hold()?;
    let devices =
        context.devices()?.iter().map(|name| held.device(name)).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..context.times(30) {
        devices.iter().try_for_each(|device| device.reset())?;
    }
    log.is_calm()
}
