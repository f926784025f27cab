// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Interrupts on their way from the Management Complex to an eventfd: all of them,
//! no others, again and again, and at no cost.

use crate::check::{Check, Outcome, Stop, check, ensure, fail, is, skip};
use crate::context::Context;
use crate::kernel::{self, Log};
use crate::mc::{
    EnabledInterrupt, EventSource, McIrq, QUIET, destroy, expect_count, make_pool, object, settle,
    with_open,
};
use dprc::{AssignedContainer, Device, EventFd, Interrupt, IrqAction, IrqData};
use fsl_mc_linux::bus::{self, SYSFS};
use fsl_mc_linux::proc;
use mc_abi::common::{Disable, Enable, GetIrqEnable, GetIrqMask, GetIrqStatus};
use mc_abi::dprc::{GetConnection, event};
use mc_abi::{ObjectId, ObjectType, Token, dpmng, dpni};
use rustix::fd::AsFd;
use std::collections::BTreeMap;
use std::time::Duration;

const GROUP: Check = Check::group("interrupts").interrupts();

const USER_API: &str = "linux/vfio.h: VFIO_DEVICE_SET_IRQS";

/// The checks.
pub const CHECKS: &[Check] = &[
    check!(
        reaches_eventfd,
        "An event of the container signals the eventfd of its interrupt.",
        USER_API
    ),
    check!(
        count_is_exact,
        "The eventfd counts as many as there are events that interrupt, and /proc/interrupts too.",
        USER_API
    ),
    check!(
        irq_mask_is_the_users,
        "What the user masks or disables in the MC does not signal, and what is pending comes when \
         it is enabled.",
        "MC commands SetIrqMask, SetIrqEnable"
    ),
    check!(
        irq_mask_before_enable,
        "What the user has set of an interrupt in the MC holds when it enables the interrupt \
         later.",
        "MC commands SetIrqMask, SetIrqEnable"
    ),
    check!(
        quiet_when_opened,
        "Who opens a container finds its interrupt disabled, without an event that is enabled or \
         pending, whatever an earlier holder has set.",
        "MC commands GetIrqEnable, GetIrqMask, GetIrqStatus"
    )
    .defect(23),
    check!(
        status_before_enable,
        "A user who has not enabled an interrupt can read and forget its events all the same.",
        "MC commands GetIrqStatus, ClearIrqStatus"
    ),
    check!(
        status_is_the_users,
        "The events of an interrupt stay for the user to read until the user forgets them.",
        "MC commands GetIrqStatus, ClearIrqStatus"
    ),
    check!(
        of_a_portal,
        "A dpmcp interrupts when a command through its mapped portal is done.",
        USER_API
    ),
    check!(of_an_interface, "A dpni interrupts when its link changes.", USER_API),
    check!(
        of_all_objects,
        "All devices of a container have interrupts at once, and each signals its own eventfd.",
        USER_API
    ),
    check!(
        name_has_object,
        "The line of an enabled interrupt in /proc/interrupts has the object's name as a word.",
        "DPDK: dpaa2_hw_dpio.c searches it for dpio.N"
    ),
    check!(
        name_goes,
        "A closed device of an object has no line in /proc/interrupts; others keep theirs.",
        "C driver: close frees the interrupts"
    ),
    check!(
        enable_again,
        "Enabling again with another eventfd signals that one and not the one of before.",
        USER_API
    ),
    check!(
        disable_by_count,
        "DATA_NONE with ACTION_TRIGGER and count 0 ends the signals.",
        "linux/vfio.h: VFIO_IRQ_SET_DATA_NONE"
    ),
    check!(
        disable_by_fd,
        "DATA_EVENTFD with -1 ends the signals.",
        "linux/vfio.h: VFIO_IRQ_SET_DATA_EVENTFD"
    ),
    check!(
        eventfd_closed,
        "Events after the user has closed the eventfd itself do no harm.",
        "kernel: an eventfd lives as long as who signals it"
    ),
    check!(
        after_close,
        "Events after the last close of a device signal nothing and do no harm.",
        "C driver: close frees the interrupts"
    ),
    check!(
        others_stay,
        "Closing a device leaves the interrupts of the container's other devices alone.",
        "C driver: close"
    ),
    check!(
        enable_under_fire,
        "Enabling again and again while events come loses no later event and does no harm.",
        USER_API
    )
    .seconds(60),
    check!(
        again_after_close,
        "Interrupts work after the container has been closed and opened again.",
        "C driver: close cleans the interrupt pool"
    )
    .defect(2),
    check!(
        again_for_all,
        "Interrupts of all devices can be enabled after all of them have been closed.",
        "C driver: close cleans the interrupt pool"
    )
    .defect(2),
    check!(
        thousand_cycles,
        "Open, enable, interrupt, close: a thousand times.",
        "C driver: close cleans the interrupt pool"
    )
    .defect(2)
    .seconds(300),
    check!(
        keeps_memory_of_object,
        "Enabling interrupts of a device and closing it costs no memory for ever.",
        "kernel: what open takes, close gives back"
    )
    .defect(3)
    .seconds(300),
    check!(
        keeps_memory_of_container,
        "Opening a container, enabling its interrupt and closing it costs no memory for ever.",
        "kernel: what open takes, close gives back"
    )
    .defect(2)
    .seconds(300),
    check!(
        vectors_as_needed,
        "A container takes as many interrupts of the system as its devices have, not 256.",
        "kernel: interrupts are scarce; ITS tables"
    )
    .defect(14),
];

fn open(held: &AssignedContainer) -> Result<(Device, EnabledInterrupt), Stop> {
    let dprc = held.dprc()?;
    let armed = EnabledInterrupt::new(&dprc)?;
    Ok((dprc, armed))
}

fn enable(device: &Device, events: &EventFd) -> Outcome {
    let files = [Some(events.as_fd())];
    Ok(device.set_irqs(0, 0, IrqAction::Trigger, &IrqData::EventFds(&files))?)
}

fn reaches_eventfd(context: &Context) -> Outcome {
    let held = context.hold()?;
    let (_dprc, mut armed) = open(&held)?;
    armed.raise_once()
}

fn count_is_exact(context: &Context) -> Outcome {
    let held = context.hold()?;
    let (_dprc, mut armed) = open(&held)?;
    let seen = || -> Result<u64, Stop> {
        Ok(proc::interrupts_of(&held.name)?.iter().map(|line| line.count).sum())
    };
    let before = seen()?;
    let events = context.times(50);
    for _ in 0..events {
        armed.raise_once()?;
    }
    expect_count(armed.interrupt.events(), 0, "the last event")?;
    is("interrupts that the kernel has seen", seen()? - before, events.into())
}

fn irq_mask_is_the_users(context: &Context) -> Outcome {
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let interrupt = dprc.enable_interrupt(0)?;
    let name = object(&held.name)?;
    // Nothing passes that is not chosen.
    let mut irq = McIrq::enable(dprc.portal()?, name, event::OBJ_DESTROYED)?;
    settle(interrupt.events())?;
    let mut portal = dprc.portal()?;
    let made = with_open(&mut portal, name, crate::mc::make_pool)?;
    expect_count(interrupt.events(), 0, "an event that is masked")?;
    with_open(&mut portal, name, |portal, open| crate::mc::destroy(portal, open, made))?;
    expect_count(interrupt.events(), 1, "an event that is not masked")?;
    irq.clear()?;
    drop(irq);
    let mut disabled = McIrq::enable(dprc.portal()?, name, 0)?;
    with_open(&mut portal, name, |portal, open| {
        let made = crate::mc::make_pool(portal, open)?;
        crate::mc::destroy(portal, open, made)
    })?;
    expect_count(interrupt.events(), 0, "events that are masked")?;
    let kept = disabled.status()? & (event::OBJ_CREATED | event::OBJ_DESTROYED);
    is("events that have waited", kept, event::OBJ_CREATED | event::OBJ_DESTROYED)?;
    with_open(&mut portal, name, |portal, open| {
        let mask = event::OBJ_CREATED;
        portal.call(open, &mc_abi::common::SetIrqMask { mask, index: 0 })
    })?;
    expect_count(interrupt.events(), 1, "the mask is taken away")
}

fn irq_mask_before_enable(context: &Context) -> Outcome {
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let mut source = EventSource::new(dprc.portal()?, &held.name)?;
    // Long enough for a kernel that would set something else.
    std::thread::sleep(10 * QUIET);
    let events = EventFd::new()?;
    enable(&dprc, &events)?;
    settle(&events)?;
    for _ in 0..3 {
        source.raise()?;
        // The destruction, which is an event too, was not asked for.
        expect_count(&events, 1, "an event")?;
    }
    Ok(())
}

fn quiet_when_opened(context: &Context) -> Outcome {
    for others_first in [false, true] {
        let held = context.hold()?;
        drop(McIrq::enable(held.dprc()?.portal()?, object(&held.name)?, event::OBJ_ADDED)?);
        drop(held);
        let held = context.hold()?;
        let name = context.first("dpbp").or_else(|_| context.first("dpmcp"))?;
        let other = others_first.then(|| held.device(&name)).transpose()?;
        // A driver that uses the interrupt itself has begun by then.
        std::thread::sleep(Duration::from_millis(200));
        let dprc = held.dprc()?;
        let mut portal = dprc.portal()?;
        let found = with_open(&mut portal, object(&held.name)?, |portal, open| {
            let enabled = portal.call(open, &GetIrqEnable { index: 0 })?.enabled;
            let mask = portal.call(open, &GetIrqMask { index: 0 })?.mask;
            let events = portal.call(open, &GetIrqStatus { status: 0, index: 0 })?.status;
            Ok((enabled, mask, events))
        })?;
        is("enable, mask and events of the container's interrupt", found, (false, 0, 0))?;
        let interrupt = dprc.enable_interrupt(0)?;
        settle(interrupt.events())?;
        with_open(&mut portal, object(&held.name)?, |portal, open| {
            let made = make_pool(portal, open)?;
            destroy(portal, open, made)
        })?;
        expect_count(interrupt.events(), 0, "an object came and went that nobody asked about")?;
        drop(other);
    }
    Ok(())
}

fn status_before_enable(context: &Context) -> Outcome {
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let mut source = EventSource::new(dprc.portal()?, &held.name)?;
    source.raise()?;
    std::thread::sleep(10 * QUIET);
    let events = source.status()? & (event::OBJ_CREATED | event::OBJ_DESTROYED);
    is("events to be read", events, event::OBJ_CREATED | event::OBJ_DESTROYED)
}

fn status_is_the_users(context: &Context) -> Outcome {
    let held = context.hold()?;
    let (_dprc, mut armed) = open(&held)?;
    for _ in 0..5 {
        armed.raise_once()?;
        // Long enough for a kernel that would look at the container, too.
        std::thread::sleep(QUIET);
        let events = armed.source.status()? & (event::OBJ_CREATED | event::OBJ_DESTROYED);
        is("events to be read", events, event::OBJ_CREATED | event::OBJ_DESTROYED)?;
    }
    Ok(())
}

fn of_a_portal(context: &Context) -> Outcome {
    let held = context.hold()?;
    let name = context.first("dpmcp")?;
    let device = held.device(&name)?;
    if device.info().irqs == 0 {
        return skip(format!("{name} has no interrupt"));
    }
    let dprc = held.dprc()?;
    let interrupt = device.enable_interrupt(0)?;
    let mut irq = McIrq::enable(dprc.portal()?, object(&name)?, u32::MAX)?;
    settle(interrupt.events())?;
    let mut portal = device.mapped_portal()?;
    for _ in 0..10 {
        portal.call(Token::NONE, &dpmng::GetVersion {})?;
        expect_count(interrupt.events(), 1, "a command of the portal")?;
        irq.clear()?;
    }
    Ok(())
}

/// An interface that is connected to another of the container.
fn interface_pair(held: &AssignedContainer, dprc: &Device) -> Result<(ObjectId, ObjectId), Stop> {
    let mut portal = dprc.portal()?;
    let names = SYSFS.objects(&held.name)?;
    let interfaces: Vec<ObjectId> = names
        .iter()
        .filter(|name| bus::family(name) == "dpni")
        .map(|name| object(name))
        .collect::<Result<_, _>>()?;
    let open = portal.open(object(&held.name)?)?;
    for one in &interfaces {
        let ask = GetConnection { id: one.id, interface: 0, kind: ObjectType::Dpni };
        // One without a connection is refused.
        let Ok(peer) = portal.call(open, &ask) else { continue };
        let other = interfaces.iter().find(|other| other.id == peer.id && *other != one);
        if let (Some(other), true) = (other, peer.kind.as_bytes() == b"dpni") {
            return Ok((*one, *other));
        }
    }
    skip("no two dpni of the container are connected to each other")
}

fn of_an_interface(context: &Context) -> Outcome {
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let (near, far) = interface_pair(&held, &dprc)?;
    let device = held.device(&near.to_string())?;
    let interrupt = device.enable_interrupt(0)?;
    let mut irq = McIrq::enable(dprc.portal()?, near, dpni::events::LINK_CHANGED)?;
    let mut portal = dprc.portal()?;
    with_open(&mut portal, near, |portal, open| portal.call(open, &Enable {}))?;
    settle(interrupt.events())?;
    for _ in 0..5 {
        irq.clear()?;
        with_open(&mut portal, far, |portal, open| portal.call(open, &Enable {}))?;
        expect_count(interrupt.events(), 1, "the link has come up")?;
        irq.clear()?;
        with_open(&mut portal, far, |portal, open| portal.call(open, &Disable {}))?;
        expect_count(interrupt.events(), 1, "the link has gone down")?;
    }
    Ok(())
}

fn all_enabled(
    context: &Context,
    held: &AssignedContainer,
) -> Result<Vec<(Device, Interrupt)>, Stop> {
    let mut all = Vec::new();
    for name in context.devices()? {
        let device = held.device(&name)?;
        if device.info().irqs > 0 {
            let interrupt = device.enable_interrupt(0)?;
            all.push((device, interrupt));
        }
    }
    Ok(all)
}

fn of_all_objects(context: &Context) -> Outcome {
    let held = context.hold()?;
    let all = all_enabled(context, &held)?;
    // Each another number of times, mixed.
    for round in 0..all.len() {
        for (_, interrupt) in all.iter().skip(round) {
            interrupt.simulate()?;
        }
    }
    for (index, (device, interrupt)) in all.iter().enumerate() {
        is(&format!("signals of {}", device.name()), interrupt.events().take()?, index as u64 + 1)?;
    }
    // A true one among them.
    let Some((dprc, interrupt)) = all.first() else { return skip("no interrupts") };
    let mut source = EventSource::new(dprc.portal()?, dprc.name())?;
    settle(interrupt.events())?;
    source.raise()?;
    expect_count(interrupt.events(), 1, "an event of the container")?;
    for (device, interrupt) in all.iter().skip(1) {
        is(&format!("signals of {}", device.name()), interrupt.events().take()?, 0)?;
    }
    Ok(())
}

fn name_has_object(context: &Context) -> Outcome {
    let held = context.hold()?;
    for (device, _interrupt) in all_enabled(context, &held)? {
        let lines = proc::interrupts_of(device.name())?;
        is(&format!("lines of /proc/interrupts with {}", device.name()), lines.len(), 1)?;
    }
    Ok(())
}

fn name_goes(context: &Context) -> Outcome {
    let held = context.hold()?;
    let has_line =
        |name: &str| -> Result<bool, Stop> { Ok(!proc::interrupts_of(name)?.is_empty()) };
    let name = context.first("dpbp").or_else(|_| context.first("dpmcp"))?;
    let other = context.first("dpio")?;
    let other_device = held.device(&other)?;
    let _kept = other_device.enable_interrupt(0)?;
    let device = held.device(&name)?;
    let interrupt = device.enable_interrupt(0)?;
    ensure(has_line(&name)?, "a line while enabled", || "none".into())?;
    // A driver may keep the line for the next time.
    interrupt.disable()?;
    let again = EventFd::new()?;
    enable(&device, &again)?;
    ensure(has_line(&name)?, "a line when enabled again", || "none".into())?;
    drop(device);
    ensure(!has_line(&name)?, "no line after the close", || "one".into())?;
    ensure(has_line(&other)?, "another device's line stays", || "it is gone".into())
}

fn enable_again(context: &Context) -> Outcome {
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let (first, second) = (EventFd::new()?, EventFd::new()?);
    enable(&dprc, &first)?;
    let mut source = EventSource::new(dprc.portal()?, &held.name)?;
    settle(&first)?;
    for (events, other) in [(&first, &second), (&second, &first), (&first, &second)] {
        enable(&dprc, events)?;
        source.raise()?;
        expect_count(events, 1, "an event, at the eventfd that was given last")?;
        expect_count(other, 0, "an event, at the eventfd of before")?;
    }
    Ok(())
}

fn disabled_by(context: &Context, disable: fn(&Device) -> Outcome) -> Outcome {
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let events = EventFd::new()?;
    enable(&dprc, &events)?;
    let mut source = EventSource::new(dprc.portal()?, &held.name)?;
    settle(&events)?;
    for _ in 0..3 {
        source.raise()?;
        expect_count(&events, 1, "an event")?;
        disable(&dprc)?;
        source.raise()?;
        expect_count(&events, 0, "an event when disabled")?;
        // To disable twice is no mistake.
        disable(&dprc)?;
        enable(&dprc, &events)?;
        settle(&events)?;
    }
    Ok(())
}

fn disable_by_count(context: &Context) -> Outcome {
    disabled_by(context, |device| {
        Ok(device.set_irqs(0, 0, IrqAction::Trigger, &IrqData::None(0))?)
    })
}

fn disable_by_fd(context: &Context) -> Outcome {
    disabled_by(context, |device| {
        Ok(device.set_irqs(0, 0, IrqAction::Trigger, &IrqData::EventFds(&[None]))?)
    })
}

fn eventfd_closed(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let events = EventFd::new()?;
    enable(&dprc, &events)?;
    let mut source = EventSource::new(dprc.portal()?, &held.name)?;
    drop(events);
    for _ in 0..10 {
        source.raise()?;
    }
    let fresh = EventFd::new()?;
    enable(&dprc, &fresh)?;
    settle(&fresh)?;
    source.raise()?;
    expect_count(&fresh, 1, "an event, at a new eventfd")?;
    log.is_calm()
}

fn after_close(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let held = context.hold()?;
    // This one stays open, and the events come through its portal.
    let portal = held.device(&context.first("dpmcp")?)?;
    let events = EventFd::new()?;
    let dprc = held.dprc()?;
    enable(&dprc, &events)?;
    let mut source = EventSource::new(portal.mapped_portal()?, &held.name)?;
    settle(&events)?;
    source.raise()?;
    expect_count(&events, 1, "an event")?;
    drop(dprc);
    for _ in 0..10 {
        source.raise()?;
    }
    expect_count(&events, 0, "events after the close")?;
    // The container can be had again meanwhile.
    let number = crate::mc::container_of(&mut held.dprc()?.portal()?)?;
    is("number of the portal's container", number, bus::number(&held.name))?;
    log.is_calm()
}

fn others_stay(context: &Context) -> Outcome {
    let held = context.hold()?;
    let (_dprc, mut armed) = open(&held)?;
    let mut rest: BTreeMap<String, (Device, EventFd)> = BTreeMap::new();
    for name in context.objects()? {
        let device = held.device(&name)?;
        if device.info().irqs > 0 {
            let events = EventFd::new()?;
            enable(&device, &events)?;
            rest.insert(name, (device, events));
        }
    }
    while let Some((name, (device, _events))) = rest.pop_first() {
        drop(device);
        armed.raise_once().map_err(|stop| with(stop, &format!("after the close of {name}")))?;
        for (other, (device, events)) in &rest {
            device.set_irqs(0, 0, IrqAction::Trigger, &IrqData::None(1))?;
            is(&format!("signals of {other}"), events.take()?, 1)?;
        }
    }
    Ok(())
}

fn with(stop: Stop, when: &str) -> Stop {
    match stop {
        Stop::Fail { expected, got } => Stop::Fail { expected: format!("{expected}, {when}"), got },
        skip => skip,
    }
}

fn enable_under_fire(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let events = EventFd::new()?;
    enable(&dprc, &events)?;
    let portal = held.device(&context.first("dpmcp")?)?;
    let mut source = EventSource::new(portal.mapped_portal()?, &held.name)?;
    let over = std::sync::atomic::AtomicBool::new(false);
    let repeats = context.times(300);
    let fired = std::thread::scope(|scope| {
        let firing = scope.spawn(|| {
            let mut source = EventSource::new(portal.mapped_portal()?, &held.name)?;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                source.raise()?;
            }
            Ok::<_, Stop>(())
        });
        let outcome = (0..repeats).try_for_each(|index| {
            if index % 3 == 0 {
                dprc.set_irqs(0, 0, IrqAction::Trigger, &IrqData::None(0))?;
            }
            enable(&dprc, &events)
        });
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        let fired = firing.join();
        outcome?;
        fired.unwrap_or_else(|_| fail("events", "the thread that causes them has panicked"))
    });
    fired?;
    settle(&events)?;
    // The thread disabled the interrupt in the MC at its end: enable it again.
    drop(source);
    source = EventSource::new(dprc.portal()?, &held.name)?;
    settle(&events)?;
    source.raise()?;
    expect_count(&events, 1, "an event when all is quiet again")?;
    log.is_calm()
}

fn again_after_close(context: &Context) -> Outcome {
    for _ in 0..3 {
        let held = context.hold()?;
        let (_dprc, mut armed) = open(&held)?;
        armed.raise_once()?;
    }
    Ok(())
}

fn again_for_all(context: &Context) -> Outcome {
    for _ in 0..3 {
        let held = context.hold()?;
        for (device, interrupt) in all_enabled(context, &held)? {
            interrupt.simulate()?;
            is(&format!("signals of {}", device.name()), interrupt.events().take()?, 1)?;
        }
    }
    Ok(())
}

fn thousand_cycles(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    for _ in 0..context.times(1000) {
        let held = context.hold()?;
        let (_dprc, mut armed) = open(&held)?;
        armed.raise_once()?;
    }
    log.is_calm()
}

fn keeps_memory_of_object(context: &Context) -> Outcome {
    let held = context.hold()?;
    // The container keeps its own interrupt, so that only those of the object come
    // and go.
    let dprc = held.dprc()?;
    let _kept = dprc.enable_interrupt(0)?;
    let name = context.first("dpbp").or_else(|_| context.first("dpmcp"))?;
    kernel::keeps_memory(context.times(2000), |_| {
        held.device(&name)?.enable_interrupt(0)?;
        Ok(())
    })
}

fn keeps_memory_of_container(context: &Context) -> Outcome {
    let held = context.hold()?;
    kernel::keeps_memory(context.times(1000), |_| {
        held.dprc()?.enable_interrupt(0)?;
        Ok(())
    })
}

fn vectors_as_needed(context: &Context) -> Outcome {
    let held = context.hold()?;
    let mut needed = 0;
    for name in context.devices()? {
        needed += held.device(&name)?.info().irqs as usize;
    }
    let before = kernel::interrupt_descriptions()?;
    let _all = all_enabled(context, &held)?;
    let taken = kernel::interrupt_descriptions()?.saturating_sub(before);
    // Some to spare for objects that are added later is fine, as is a power of two.
    let most = (needed + 32).next_power_of_two();
    ensure(
        taken <= most,
        format!("at most {most} interrupts are taken for {needed} of the devices"),
        || format!("{taken} are"),
    )?;
    if most >= 256 {
        return skip(format!("the container needs {needed}: no difference from 256 can be seen"));
    }
    Ok(())
}
