// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Objects that come to a container which the driver has, and go.

use crate::check::{Check, Outcome, Stop, check, ensure, fail, is};
use crate::context::{self, Context};
use crate::kernel::Log;
use crate::mc::{self, EnabledInterrupt, Manager, McIrq, container_of, object, settle, with_open};
use crate::patience::patience;
use dprc::{AssignedContainer, Device, McPortal};
use fsl_mc_linux::bus::{self, SYSFS, VFIO_DRIVER as DRIVER};
use mc_abi::ObjectId;
use mc_abi::dprc::event;
use rustix::io::Errno;
use std::time::{Duration, Instant};

const GROUP: Check = Check::group("hotplug")
    .source("restool and the MC's own events: a container's contents change at run time")
    .seconds(120);

/// The checks.
pub const CHECKS: &[Check] = &[
    check!(
        added,
        "An object that is added to a bound container appears there within seconds, in the \
         driver's hands and the container's group."
    )
    .defect(17),
    check!(
        removed,
        "An object that is taken from a bound container vanishes there within seconds."
    )
    .defect(17),
    check!(
        added_while_open,
        "An object that is added while the container is open appears, and can be opened."
    )
    .defect(17),
    check!(
        added_with_interrupt,
        "An object that is added while the user has the container's interrupt appears, and the \
         user is notified once and finds the event."
    )
    .interrupts()
    .defect(17),
    check!(
        added_while_irq_disabled,
        "An object that is added while the user has the container's interrupt disabled does not \
         signal, and appears when the user has given the interrupt up."
    )
    .interrupts()
    .defect(17),
    check!(
        made_by_the_user,
        "An object that the user makes in the container appears, and vanishes when the user \
         destroys it."
    )
    .defect(17),
    check!(
        removed_while_open,
        "An object that is taken away while its device is open vanishes when that is closed, and \
         the container goes on."
    )
    .defect(17),
    check!(
        unplugged_around_an_opening,
        "An object that is unplugged before the container is opened vanishes, and one that is \
         plugged in appears, however soon the container is closed again."
    )
    .defect(17),
    check!(
        burst,
        "Objects that are added at once all appear, and vanish when they are taken away at once."
    )
    .defect(17),
    check!(again_and_again, "Objects come and go many times, and nothing is left of them.")
        .defect(17),
    check!(
        storm,
        "A user who makes and destroys objects as fast as that goes makes the kernel no work at \
         that rate, and what there is in the end is there in the end.",
        "kernel: work for a task is to be on that task's account, or rare"
    )
    .defect(17),
    check!(
        added_before_bind,
        "An object that was added while the container was unbound is there after the bind, and \
         one that was taken away is not."
    ),
    check!(
        missing_object_is_refused,
        "What the kernel still shows of an object that is gone does no harm: opening, resetting \
         and closing it ends."
    )
    .interrupts(),
];

/// An object that is added to a container, and taken away when dropped.
struct Added<'a> {
    manager: Manager,
    id: ObjectId,
    container: &'a str,
    there: bool,
}

impl<'a> Added<'a> {
    fn to(context: &'a Context) -> Result<Self, Stop> {
        let container = &context.container;
        let mut manager = Manager::around(container)?;
        let id = manager.add_pool(container)?;
        Ok(Self { manager, id, container, there: true })
    }

    fn take_away(&mut self) -> Outcome {
        self.there = false;
        self.manager.remove(self.id, self.container)
    }
}

impl Drop for Added<'_> {
    fn drop(&mut self) {
        if self.there {
            // What does not work is noticed by the checks that follow, which find the
            // bus as it was.
            let _ = self.take_away();
            let _ = vanishes(&self.id.to_string());
        }
    }
}

fn appears(name: &str, container: &str) -> Outcome {
    // The kernel names the driver while it still probes. Kernels from 6.1 on show when
    // the device can be opened, too.
    let shows = SYSFS.device_path(container).join("vfio-dev").exists();
    let there = || {
        SYSFS.driver_of(name).as_deref() == Some(DRIVER)
            && (!shows || SYSFS.device_path(name).join("vfio-dev").exists())
    };
    if !bus::wait_until(patience(), there) {
        let state = if !SYSFS.has(name) {
            "it is not on the bus".to_owned()
        } else {
            format!("its driver is {:?}", SYSFS.driver_of(name))
        };
        return fail(format!("{name} has {DRIVER} within {:?}", patience()), state);
    }
    is(&format!("container of {name}"), SYSFS.container_of(name).as_deref(), Some(container))?;
    is(&format!("IOMMU group of {name}"), SYSFS.group_of(name), SYSFS.group_of(container))
}

/// Opens an object that has appeared. The kernel shows a VFIO device just before its group
/// knows it, and has no such device until then.
pub(super) fn open(held: &AssignedContainer, name: &str) -> Result<Device, Stop> {
    let mut opened = held.group.device(&held.iommu, name);
    bus::wait_until(patience(), || {
        if !matches!(opened, Err(dprc::Error::Kernel { errno: Errno::NODEV, .. })) {
            return true;
        }
        opened = held.group.device(&held.iommu, name);
        false
    });
    Ok(opened?)
}

fn vanishes(name: &str) -> Outcome {
    let gone = bus::wait_until(patience(), || !SYSFS.has(name));
    ensure(gone, format!("{name} vanishes within {:?}", patience()), || "it stays".into())
}

/// The objects of the container are those of before. The bus forgets a device before its
/// directory goes, in which its driver is still at work.
fn has_only(context: &Context, before: &[String]) -> Outcome {
    bus::wait_until(patience(), || context.objects().is_ok_and(|now| now == before));
    is("objects of the container", context.objects()?.as_slice(), before)
}

fn added(context: &Context) -> Outcome {
    let added = Added::to(context)?;
    let name = added.id.to_string();
    appears(&name, &context.container)?;
    let held = context.hold()?;
    open(&held, &name)?.reset()?;
    is("state of the object", mc::enabled(&mut held.dprc()?.portal()?, added.id)?, false)
}

fn removed(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let mut added = Added::to(context)?;
    let name = added.id.to_string();
    appears(&name, &context.container)?;
    added.take_away()?;
    vanishes(&name)?;
    log.is_calm()
}

fn added_while_open(context: &Context) -> Outcome {
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let mut added = Added::to(context)?;
    let name = added.id.to_string();
    appears(&name, &context.container)?;
    open(&held, &name)?.reset()?;
    added.take_away()?;
    vanishes(&name)?;
    let number = container_of(&mut dprc.portal()?)?;
    is("number of the portal's container", number, bus::number(&context.container))
}

fn added_with_interrupt(context: &Context) -> Outcome {
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let interrupt = dprc.enable_interrupt(0)?;
    let mut irq = McIrq::enable(dprc.portal()?, object(&held.name)?, event::OBJ_ADDED)?;
    settle(interrupt.events())?;
    for _ in 0..3 {
        let added = Added::to(context)?;
        mc::expect_count(interrupt.events(), 1, "an object is added")?;
        appears(&added.id.to_string(), &context.container)?;
        let events = irq.status()? & event::OBJ_ADDED;
        is("the event that the user finds", events, event::OBJ_ADDED)?;
        irq.clear()?;
    }
    // An event that is not enabled does not signal: the objects have gone.
    mc::expect_count(interrupt.events(), 0, "objects have been taken away")
}

fn added_while_irq_disabled(context: &Context) -> Outcome {
    let held = context.hold()?;
    let dprc = held.dprc()?;
    for _ in 0..3 {
        let mut armed = EnabledInterrupt::new(&dprc)?;
        armed.raise_once()?;
        let EnabledInterrupt { interrupt, source } = armed;
        // Disables the interrupt in the MC.
        drop(source);
        let mut added = Added::to(context)?;
        let name = added.id.to_string();
        mc::expect_count(
            interrupt.events(),
            0,
            "an object was added, with the interrupt disabled in the MC",
        )?;
        interrupt.disable()?;
        appears(&name, &context.container)?;
        added.take_away()?;
        vanishes(&name)?;
    }
    Ok(())
}

fn made_by_the_user(context: &Context) -> Outcome {
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let mut portal = dprc.portal()?;
    let container = object(&held.name)?;
    for _ in 0..3 {
        let made = with_open(&mut portal, container, mc::make_pool)?;
        let seen = appears(&made.to_string(), &held.name);
        destroy(&mut portal, container, made)?;
        seen?;
        vanishes(&made.to_string())?;
    }
    Ok(())
}

fn destroy(portal: &mut McPortal, container: ObjectId, made: ObjectId) -> Outcome {
    Ok(with_open(portal, container, |portal, open| mc::destroy(portal, open, made))?)
}

fn removed_while_open(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let mut added = Added::to(context)?;
    let name = added.id.to_string();
    appears(&name, &context.container)?;
    let device = open(&held, &name)?;
    added.take_away()?;
    std::thread::sleep(Duration::from_millis(500));
    // The object is no more; what comes back is an error, and comes back.
    if device.reset().is_ok() {
        return fail("an object that is gone cannot be reset", "it was reset");
    }
    let number = container_of(&mut dprc.portal()?)?;
    is("number of the portal's container", number, bus::number(&context.container))?;
    drop(device);
    vanishes(&name)?;
    let after = Added::to(context)?;
    appears(&after.id.to_string(), &context.container)?;
    log.is_calm()
}

/// Whoever opens the container finds its events acknowledged, those of objects among them that
/// the driver has not looked for yet; and their number is as before.
fn unplugged_around_an_opening(context: &Context) -> Outcome {
    let container = &context.container;
    let mut added = Added::to(context)?;
    let name = added.id.to_string();
    appears(&name, container)?;
    for _ in 0..context.times(10) {
        for plugged in [false, true] {
            added.manager.plug(added.id, container, plugged)?;
            drop(context.hold()?.dprc()?);
            if plugged { appears(&name, container)? } else { vanishes(&name)? }
        }
    }
    Ok(())
}

fn burst(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let held = context.hold()?;
    let _dprc = held.dprc()?;
    let before = context.objects()?;
    let mut manager = Manager::around(&context.container)?;
    let mut all = Vec::new();
    let mut seen = Ok(());
    for _ in 0..8 {
        all.push(manager.add_pool(&context.container)?);
    }
    for id in &all {
        seen = seen.and_then(|()| appears(&id.to_string(), &context.container));
    }
    for id in &all {
        manager.remove(*id, &context.container)?;
    }
    seen?;
    all.iter().try_for_each(|id| vanishes(&id.to_string()))?;
    has_only(context, &before)?;
    log.is_calm()
}

fn again_and_again(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let before = context.objects()?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let mut portal = dprc.portal()?;
    for round in 0..context.times(30) {
        let mut added = Added::to(context)?;
        let name = added.id.to_string();
        appears(&name, &context.container)?;
        if round % 2 == 0 {
            mc::switch_on(&mut portal, added.id)?;
            drop(open(&held, &name)?);
        }
        added.take_away()?;
        vanishes(&name)?;
    }
    has_only(context, &before)?;
    log.is_calm()
}

/// How many uevents the kernel has sent.
fn uevents() -> Result<u64, Stop> {
    let path = "/sys/kernel/uevent_seqnum";
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    let count = text.and_then(|text| text.trim().parse().map_err(|_| text));
    count.or_else(|instead| fail(format!("a number in {path}"), instead))
}

fn storm(context: &Context) -> Outcome {
    const SECONDS: u64 = 3;
    /// A device comes or goes with about five.
    const MOST: u64 = 40;
    let before = context.objects()?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let mut portal = dprc.portal()?;
    let container = object(&held.name)?;
    let seen = uevents()?;
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let mut made: u64 = 0;
    while Instant::now() < end {
        let pool = with_open(&mut portal, container, mc::make_pool)?;
        // Some are there for long enough to be seen.
        if made % 4 == 0 {
            std::thread::sleep(Duration::from_millis(3));
        }
        destroy(&mut portal, container, pool)?;
        made += 1;
    }
    let sent = uevents()? - seen;
    ensure(sent <= SECONDS * MOST, format!("at most {MOST} uevents a second"), || {
        format!("{sent} in {SECONDS} seconds, for {made} objects")
    })?;
    let last = with_open(&mut portal, container, mc::make_pool)?;
    let seen = appears(&last.to_string(), &held.name);
    destroy(&mut portal, container, last)?;
    seen?;
    vanishes(&last.to_string())?;
    has_only(context, &before)
}

fn added_before_bind(context: &Context) -> Outcome {
    let before = context.objects()?;
    let mut added = Added::to(context)?;
    let name = added.id.to_string();
    context::rebind(&context.container)?;
    appears(&name, &context.container)?;
    added.take_away()?;
    context::rebind(&context.container)?;
    vanishes(&name)?;
    has_only(context, &before)
}

fn missing_object_is_refused(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let mut added = Added::to(context)?;
    let name = added.id.to_string();
    context::rebind(&context.container)?;
    appears(&name, &context.container)?;
    {
        let held = context.hold()?;
        let dprc = held.dprc()?;
        let _kept = dprc.enable_interrupt(0)?;
        let device = held.device(&name)?;
        let interrupt = device.enable_interrupt(0)?;
        added.take_away()?;
        // Either is fine, so long as it ends.
        let _ = device.reset();
        let _ = interrupt.simulate();
        let _ = interrupt.disable();
        drop(device);
        if let Ok(again) = held.device(&name) {
            let _ = again.reset();
            let _ = again.enable_interrupt(0);
        }
        let number = container_of(&mut dprc.portal()?)?;
        is("number of the portal's container", number, bus::number(&context.container))?;
    }
    context::rebind(&context.container)?;
    vanishes(&name)?;
    log.is_calm()
}
