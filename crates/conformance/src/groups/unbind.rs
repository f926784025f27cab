// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Taking a container or an object from the driver, also while somebody has it.

use super::util::{arm, disarm, new_eventfd, signals, simulate};
use crate::check::{Check, Outcome, Stop, check, done, ensure, fail, is, skip};
use crate::context::{self, Context};
use crate::helper::{Helper, IOVA, Job, is_clean};
use crate::kernel::{self, Log};
use crate::mc::{EnabledInterrupt, EventSource, QUIET, container_of, settle};
use crate::patience::patience;
use crate::sys::Block;
use dprc::{Access, DmaBuffer, EventFd, IrqAction, IrqData};
use fsl_mc_linux::bus::{self, ALLOCATOR_DRIVER as ALLOCATOR, SYSFS, VFIO_DRIVER as DRIVER};
use fsl_mc_linux::ioctl::DEVICE_GET_IRQ_INFO;
use rustix::fd::AsFd;
use rustix::io::Errno;
use std::time::Duration;

const GROUP: Check = Check::group("unbind").seconds(60);

const CORE: &str = "kernel: vfio_unregister_group_dev waits for users";
const REQUEST: &str = "kernel: the request operation of VFIO's drivers";
const BUS: &str = "kernel: Documentation of driver binding";

/// The checks.
pub const CHECKS: &[Check] = &[
    check!(
        waits_for_holder,
        "Unbinding a container that is open waits until it is closed, and then ends at once.",
        CORE
    ),
    check!(
        waits_for_holder_of_object,
        "Unbinding a container waits for who has an object of it, and unbinding an object too.",
        CORE
    ),
    check!(
        waits_for_mapping,
        "Unbinding waits for who has a region mapped, when no file is open any more.",
        CORE
    ),
    check!(holder_killed, "An unbind that waits ends when the holder is killed.", CORE),
    check!(
        holder_goes_on,
        "While an unbind waits, the holder's commands and interrupts work.",
        CORE
    )
    .interrupts(),
    check!(no_new_holder, "While an unbind waits, the device cannot be opened once more.", CORE),
    check!(
        holder_is_notified,
        "An unbind of a device that is open signals the eventfd of its request interrupt.",
        REQUEST
    )
    .defect(12),
    check!(
        holder_of_object_is_notified,
        "An unbind of an object that is open signals the eventfd of its request interrupt.",
        REQUEST
    )
    .defect(12),
    check!(
        notice_is_no_interrupt,
        "An unbind of a device that is open does not signal the eventfds of its interrupts, which \
         nothing has caused.",
        REQUEST
    )
    .interrupts(),
    check!(
        notice_is_beyond_the_interrupts,
        "The request interrupt is not among those that GET_INFO counts, and is lost with the close.",
        REQUEST
    )
    .defect(12),
    check!(
        log_says_who_waits,
        "An unbind of a device that is open leaves a line in the kernel's log that names it.",
        REQUEST
    )
    .defect(12),
    check!(bind_again, "After an unbind and a bind, commands, memory and interrupts work.", BUS)
        .interrupts(),
    check!(
        bind_again_with_interrupts,
        "A container that is unbound while its interrupts are enabled, and closed then, works when \
         it is bound again.",
        BUS
    )
    .interrupts(),
    check!(
        hundred_times,
        "A container can be unbound and bound a hundred times, with the same objects each time.",
        BUS
    )
    .seconds(300),
    check!(
        keeps_memory,
        "Unbinding and binding a container costs no memory for ever.",
        "kernel: what probe takes, remove gives back"
    )
    .seconds(300),
    check!(object_alone, "An object that is unbound and bound alone can be used as before.", BUS),
    check!(dpmcp_to_allocator, "A dpmcp can be given to the host's allocator, and back.", BUS),
    check!(
        dpmcp_is_allocated,
        "A dpmcp that was given to the host's allocator is allocated to the host's drivers.",
        "kernel: fsl_mc_io_set_dpmcp refuses one that has a portal"
    )
    .defect(16),
];

/// Sees to it that the container has its driver when the check is over, however that
/// ends. To be made before what holds devices.
pub(super) struct Restored<'a>(pub(super) &'a str);

impl Drop for Restored<'_> {
    fn drop(&mut self) {
        // The unbind may still be on its way. What does not work is noticed by the
        // checks that follow.
        if SYSFS.driver_of(self.0).as_deref() == Some(DRIVER) {
            bus::wait_until(Duration::from_millis(200), || SYSFS.driver_of(self.0).is_none());
        }
        if SYSFS.driver_of(self.0).is_none() {
            let _ = context::bind(self.0);
        }
    }
}

/// A process that unbinds a device of the bus. A thread would keep the files open that
/// it waits for.
pub(super) fn unbind(name: &str) -> Result<Helper, Stop> {
    let path = SYSFS.driver_path(DRIVER).join("unbind");
    Helper::start(Job::Write, &[&path.to_string_lossy(), name])
}

pub(super) fn still_waits(helper: &mut Helper) -> Outcome {
    match helper.wait(Duration::from_millis(500))? {
        None => Ok(()),
        Some(_) => fail("the unbind waits while the device is open", "it does not"),
    }
}

pub(super) fn ends(mut helper: Helper) -> Outcome {
    match helper.wait(patience())? {
        Some(_) => helper.finish(),
        None => {
            fail("the unbind ends when nobody has the device", format!("not in {:?}", patience()))
        }
    }
}

fn unbound(name: &str) -> Outcome {
    is(&format!("driver of {name} after the unbind"), SYSFS.driver_of(name), None)
}

fn bound(name: &str) -> Outcome {
    is(&format!("driver of {name}"), SYSFS.driver_of(name).as_deref(), Some(DRIVER))
}

/// Binds the container again and uses it.
pub(super) fn works_again(context: &Context) -> Outcome {
    context::bind(&context.container)?;
    bound(&context.container)?;
    is_clean(&context.container)
}

fn waits_for_holder(context: &Context) -> Outcome {
    let _restored = Restored(&context.container);
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let mut helper = unbind(&context.container)?;
    still_waits(&mut helper)?;
    drop((dprc, held));
    ends(helper)?;
    unbound(&context.container)?;
    works_again(context)
}

fn waits_for_holder_of_object(context: &Context) -> Outcome {
    let _restored = Restored(&context.container);
    let name = context.first("dpbp").or_else(|_| context.first("dpmcp"))?;
    for target in [&name, &context.container] {
        let held = context.hold()?;
        let device = held.device(&name)?;
        let mut helper = unbind(target)?;
        still_waits(&mut helper)?;
        drop((device, held));
        ends(helper)?;
        if *target == name {
            unbound(&name)?;
            context::bind(&name)?;
            is_clean(&context.container)?;
        }
    }
    unbound(&context.container)?;
    works_again(context)
}

fn waits_for_mapping(context: &Context) -> Outcome {
    let _restored = Restored(&context.container);
    let held = context.hold()?;
    let mapping = held.device(&context.first("dpmcp")?)?.map_region(0)?;
    drop(held);
    let mut helper = unbind(&context.container)?;
    still_waits(&mut helper)?;
    // What the mapping shows is still the portal.
    mapping.load::<u64>(0)?;
    drop(mapping);
    ends(helper)?;
    works_again(context)
}

fn holder_killed(context: &Context) -> Outcome {
    let _restored = Restored(&context.container);
    for job in [Job::Hold, Job::Command] {
        let container = context.container.as_str();
        let arguments: &[&str] =
            if job == Job::Hold { &[container, container] } else { &[container] };
        let holder = Helper::start(job, arguments)?;
        let mut helper = unbind(container)?;
        still_waits(&mut helper)?;
        holder.kill()?;
        ends(helper)?;
        works_again(context)?;
    }
    Ok(())
}

fn holder_goes_on(context: &Context) -> Outcome {
    let _restored = Restored(&context.container);
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let mut armed = EnabledInterrupt::new(&dprc)?;
    let mut helper = unbind(&context.container)?;
    still_waits(&mut helper)?;
    // It may have been notified by then.
    settle(armed.interrupt.events())?;
    armed.source.raise()?;
    ensure(
        armed.interrupt.events().wait(patience())? > 0,
        "an event signals while the unbind waits",
        || "nothing comes".into(),
    )?;
    let number = container_of(&mut dprc.portal()?)?;
    is("number of the portal's container", number, bus::number(&context.container))?;
    drop((armed, dprc, held));
    ends(helper)?;
    works_again(context)
}

fn no_new_holder(context: &Context) -> Outcome {
    let _restored = Restored(&context.container);
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let mut helper = unbind(&context.container)?;
    still_waits(&mut helper)?;
    if held.group.device(&held.iommu, &context.container).is_ok() {
        return fail("the device cannot be opened while it is unbound", "it is open once more");
    }
    drop((dprc, held));
    ends(helper)?;
    works_again(context)
}

/// VFIO_FSL_MC_REQ_IRQ_INDEX of `driver/uapi/vfio-fsl-mc.h`.
const REQUEST_INTERRUPT: u32 = 256;

fn notified(context: &Context, name: &str) -> Outcome {
    let _restored = Restored(&context.container);
    let held = context.hold()?;
    let device = held.device(name)?;
    let notice = new_eventfd()?;
    done("SET_IRQS of the request interrupt", arm(&device, REQUEST_INTERRUPT, &notice))?;
    let helper = unbind(&context.container)?;
    let mut count = 0;
    bus::wait_until(patience(), || {
        count += signals(&notice).unwrap_or(0);
        count > 0
    });
    drop((device, held));
    ends(helper)?;
    works_again(context)?;
    ensure(count > 0, format!("the holder of {name} is notified"), || {
        format!("nothing in {:?}", patience())
    })
}

fn holder_is_notified(context: &Context) -> Outcome {
    notified(context, &context.container)
}

fn an_object(context: &Context) -> Result<String, Stop> {
    context.first("dpbp").or_else(|_| context.first("dpmcp"))
}

fn holder_of_object_is_notified(context: &Context) -> Outcome {
    notified(context, &an_object(context)?)
}

fn notice_is_no_interrupt(context: &Context) -> Outcome {
    let _restored = Restored(&context.container);
    let name = an_object(context)?;
    let held = context.hold()?;
    let device = held.device(&name)?;
    let interrupt = device.enable_interrupt(0)?;
    settle(interrupt.events())?;
    let mut helper = unbind(&context.container)?;
    still_waits(&mut helper)?;
    let count = interrupt.events().wait(QUIET)?;
    drop((interrupt, device, held));
    ends(helper)?;
    works_again(context)?;
    is(&format!("signals of {name}'s interrupt"), count, 0)
}

fn notice_is_beyond_the_interrupts(context: &Context) -> Outcome {
    let held = context.hold()?;
    let name = an_object(context)?;
    let device = held.device(&name)?;
    let notice = new_eventfd()?;
    let set =
        || done("SET_IRQS of the request interrupt", arm(&device, REQUEST_INTERRUPT, &notice));
    set()?;
    done("a simulated request", simulate(&device, REQUEST_INTERRUPT))?;
    is("signals of a simulated request", signals(&notice)?, 1)?;
    done("SET_IRQS to switch it off", disarm(&device, REQUEST_INTERRUPT))?;
    done("a simulated request to nobody", simulate(&device, REQUEST_INTERRUPT))?;
    is("signals after it was switched off", signals(&notice)?, 0)?;
    set()?;
    let mut info = Block::new(&[16, 0, REQUEST_INTERRUPT, 0]);
    done("GET_IRQ_INFO of the request interrupt", info.ioctl(&device, DEVICE_GET_IRQ_INFO))?;
    is("vectors of the request interrupt", info.word(3), 1)?;
    let counted = device.info().irqs;
    ensure(counted < REQUEST_INTERRUPT, "GET_INFO counts the object's interrupts", || {
        format!("it counts {counted}")
    })?;
    drop(device);
    let again = held.device(&name)?;
    done("a simulated request to a new holder", simulate(&again, REQUEST_INTERRUPT))?;
    is("signals of the last holder's eventfd", signals(&notice)?, 0)
}

fn log_says_who_waits(context: &Context) -> Outcome {
    let _restored = Restored(&context.container);
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let mut log = Log::from_here()?;
    let helper = unbind(&context.container)?;
    let said = log.wait_for(&[&context.container], patience())?;
    drop((dprc, held));
    ends(helper)?;
    works_again(context)?;
    ensure(said, format!("a line with {} in the kernel's log", context.container), || {
        format!("none in {:?}", patience())
    })
}

fn all_works(context: &Context) -> Outcome {
    is_clean(&context.container)?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    EnabledInterrupt::new(&dprc)?.raise_once()?;
    let buffer = DmaBuffer::allocate(rustix::param::page_size())?;
    match held.iommu.map(buffer, IOVA, Access::ReadWrite) {
        Ok(mapped) => mapped.unmap().map(drop)?,
        Err(error) => return fail("memory can be mapped", error.to_string()),
    }
    Ok(())
}

fn bind_again(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let _restored = Restored(&context.container);
    for _ in 0..context.times(3) {
        context::rebind(&context.container)?;
        all_works(context)?;
    }
    log.is_calm()
}

fn bind_again_with_interrupts(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let _restored = Restored(&context.container);
    for _ in 0..context.times(3) {
        let held = context.hold()?;
        let dprc = held.dprc()?;
        let portal = held.device(&context.first("dpmcp")?)?;
        let mut source = EventSource::new(portal.mapped_portal()?, &context.container)?;
        let events = EventFd::new()?;
        let files = [Some(events.as_fd())];
        dprc.set_irqs(0, 0, IrqAction::Trigger, &IrqData::EventFds(&files))?;
        let mut helper = unbind(&context.container)?;
        still_waits(&mut helper)?;
        // Events until the last moment, and beyond.
        source.raise()?;
        drop(dprc);
        source.raise()?;
        drop(source);
        drop((portal, held));
        ends(helper)?;
        works_again(context)?;
        all_works(context)?;
        context::rebind(&context.container)?;
    }
    log.is_calm()
}

fn hundred_times(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let _restored = Restored(&context.container);
    let before = context.objects()?;
    let group = SYSFS.group_of(&context.container);
    for _ in 0..context.times(100) {
        context::rebind(&context.container)?;
        bound(&context.container)?;
        is("objects of the container", context.objects()?, before.clone())?;
        for name in before.iter().filter(|name| bus::family(name) != "dprc") {
            bound(name)?;
            is(&format!("IOMMU group of {name}"), SYSFS.group_of(name), group)?;
        }
    }
    is_clean(&context.container)?;
    log.is_calm()
}

fn keeps_memory(context: &Context) -> Outcome {
    let _restored = Restored(&context.container);
    kernel::keeps_memory(context.times(800), |_| Ok(context::rebind(&context.container)?))
}

fn object_alone(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let name = context.first("dpbp").or_else(|_| context.first("dpmcp"))?;
    for _ in 0..context.times(10) {
        context::unbind(&name)?;
        unbound(&name)?;
        {
            // The others can be used meanwhile.
            let held = context.hold()?;
            let number = container_of(&mut held.dprc()?.portal()?)?;
            is("number of the portal's container", number, bus::number(&context.container))?;
            if held.group.device(&held.iommu, &name).is_ok() {
                return fail("an object without the driver cannot be opened", "it is open");
            }
        }
        context::bind(&name)?;
        bound(&name)?;
    }
    is_clean(&context.container)?;
    log.is_calm()
}

const DPIO_DRIVER: &str = "fsl_mc_dpio";

/// Takes an object from whoever has it and gives it to a driver.
fn give(name: &str, to: &str) -> Result<(), bus::Error> {
    SYSFS.unbind(name)?;
    SYSFS.set_override(name, (to == DRIVER).then_some(DRIVER))?;
    SYSFS.bind(name, to)
}

/// Gives an object back to the driver that is judged, however the check ends.
struct GivenBack<'a>(&'a str);

impl Drop for GivenBack<'_> {
    fn drop(&mut self) {
        if SYSFS.driver_of(self.0).as_deref() != Some(DRIVER) {
            // What does not work is noticed by the checks that follow.
            let _ = give(self.0, DRIVER);
        }
    }
}

fn dpmcp_to_allocator(context: &Context) -> Outcome {
    if !SYSFS.driver_path(ALLOCATOR).is_dir() {
        return skip(format!("there is no driver {ALLOCATOR}"));
    }
    let mut log = Log::from_here()?;
    let name = context.first("dpmcp")?;
    let _back = GivenBack(&name);
    for _ in 0..context.times(3) {
        give(&name, ALLOCATOR)?;
        is(&format!("driver of {name}"), SYSFS.driver_of(&name).as_deref(), Some(ALLOCATOR))?;
        give(&name, DRIVER)?;
        bound(&name)?;
        let held = context.hold()?;
        let number = container_of(&mut held.device(&name)?.mapped_portal()?)?;
        is("number of the portal's container", number, bus::number(&context.container))?;
    }
    is_clean(&context.container)?;
    log.is_calm()
}

fn dpmcp_is_allocated(context: &Context) -> Outcome {
    if !SYSFS.driver_path(ALLOCATOR).is_dir() || !SYSFS.driver_path(DPIO_DRIVER).is_dir() {
        return skip(format!("there is no driver {ALLOCATOR} or {DPIO_DRIVER}"));
    }
    let (portal, user) = (context.first("dpmcp")?, context.first("dpio")?);
    let _portal_back = GivenBack(&portal);
    let _user_back = GivenBack(&user);
    give(&portal, ALLOCATOR)?;
    // The host's driver takes a dpmcp first. What it takes then, such as interrupts, it
    // may not find in a container that is none of the host's.
    match give(&user, DPIO_DRIVER) {
        Ok(()) => Ok(()),
        Err(error) if error.errno == Some(Errno::AGAIN) => fail(
            format!("{DPIO_DRIVER} is given {portal} for {user}"),
            "it waits for another dpmcp (EPROBE_DEFER)",
        ),
        Err(_) => Ok(()),
    }
}
