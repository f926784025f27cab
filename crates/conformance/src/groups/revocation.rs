// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Objects that are taken away while a program has them open and mapped: what it has of
//! them ends, before they are somebody else's.

use super::close::{is_not_left, leave_an_answer};
use super::util::{arm, exchange, fetch, identity, new_eventfd, offset_of, send, without_object};
use crate::check::{Check, Outcome, Stop, check, done, fail, is, refused};
use crate::context::{self, Context};
use crate::kernel::Log;
use crate::mc::{Manager, container_of, destroy, enable, enabled, make_pool, with_open};
use crate::patience::patience;
use crate::sys::{Block, Map, in_a_fork, ioctl_number};
use dprc::{AssignedContainer, Device};
use fsl_mc_linux::bus::{self, SYSFS, VFIO_DRIVER};
use fsl_mc_linux::ioctl::{
    DEVICE_GET_INFO, DEVICE_GET_IRQ_INFO, DEVICE_GET_REGION_INFO, DEVICE_RESET,
};
use mc_abi::dprc::SetObjectLabel;
use mc_abi::{Label, Message, ObjectId, dpmng};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const GROUP: Check = Check::group("revocation")
    .source(
        "vfio-pci: a function that is removed takes its mappings with it; an object that is moved \
         answers for its new container",
    )
    .seconds(120)
    .defect(20)
    .spoils();

/// The checks.
pub const CHECKS: &[Check] = &[
    check!(
        mapping_of_what_was_moved,
        "When a command portal is moved to another container, its old holder's mapping ends: \
         SIGBUS within seconds."
    ),
    check!(
        file_of_what_was_moved,
        "When a command portal is moved to another container, all calls on its old holder's file \
         are refused with ENODEV within seconds."
    ),
    check!(
        unplugged,
        "An object that is unplugged is revoked while it still is in the container, so that who \
         waits for that can move it safely."
    ),
    check!(
        made_again_under_its_number,
        "An object that is destroyed and made again under the same number is another one: its \
         old holder has nothing of it."
    ),
    check!(
        portal_of_queues,
        "When a dpio is moved, the mappings of its registers and of its memory end: SIGBUS."
    )
    .interrupts(),
    check!(
        holds_up_nobody,
        "An object that was taken away and is held all the same is in nobody's way: others come \
         to the container and go."
    ),
    check!(
        in_a_storm,
        "A holder who makes, names and destroys objects without a pause cannot keep what is taken \
         away."
    ),
    check!(
        back_again,
        "An object that comes back when its old holder has closed it can be opened and used again."
    ),
    check!(
        back_without_an_answer,
        "A command portal that comes back has nothing of what its holder before was answered."
    ),
    check!(
        back_as_if_new,
        "An object that was taken away while it was used, and comes back, is reset before somebody \
         has it again."
    ),
];

/// An object of a bound container that the check gives and takes.
struct Lent<'a> {
    manager: Manager,
    id: ObjectId,
    name: String,
    context: &'a Context,
    /// Where it is, and so who is to destroy it.
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Made in the container around, lent to the container.
    Lent,
    /// In the container around.
    Home,
    /// Made in the container.
    MadeThere,
}

impl<'a> Lent<'a> {
    /// A new command portal.
    fn portal(context: &'a Context) -> Result<Self, Stop> {
        let mut manager = Manager::around(&context.container)?;
        let id = manager.add_portal(&context.container)?;
        Self::ready(context, manager, id, Place::Lent)
    }

    /// A new buffer pool.
    fn pool(context: &'a Context) -> Result<Self, Stop> {
        let mut manager = Manager::around(&context.container)?;
        let id = manager.add_pool(&context.container)?;
        Self::ready(context, manager, id, Place::Lent)
    }

    /// A new command portal of the container's own making.
    fn portal_made_there(context: &'a Context) -> Result<Self, Stop> {
        let mut manager = Manager::around(&context.container)?;
        let id = manager.make_portal_in(&context.container)?;
        Self::ready(context, manager, id, Place::MadeThere)
    }

    fn ready(
        context: &'a Context,
        manager: Manager,
        id: ObjectId,
        place: Place,
    ) -> Result<Self, Stop> {
        let lent = Self { manager, id, name: id.to_string(), context, place };
        // So it is there with any driver.
        context::rebind(&context.container)?;
        lent.is_there()?;
        Ok(lent)
    }

    fn is_there(&self) -> Outcome {
        let shown = || SYSFS.driver_of(&self.name).as_deref() == Some(VFIO_DRIVER);
        if !bus::wait_until(patience(), shown) {
            return fail(format!("{} in the driver's hands", self.name), "it is not");
        }
        let parent = SYSFS.container_of(&self.name);
        is(
            &format!("container of {}", self.name),
            parent.as_deref(),
            Some(&*self.context.container),
        )
    }

    /// Gives it to the container around.
    fn take(&mut self) -> Outcome {
        self.manager.take(self.id, &self.context.container)?;
        self.place = Place::Home;
        Ok(())
    }

    /// Gives it to the container again, which it has left.
    fn give_back(&mut self) -> Outcome {
        let container = &self.context.container;
        let gone = bus::wait_until(patience(), || {
            SYSFS.container_of(&self.name).as_deref() != Some(&**container)
        });
        is("whether the container still has it", !gone, false)?;
        self.manager.give(self.id, container)?;
        self.place = Place::Lent;
        self.is_there()
    }

    /// Opens it, as soon as the kernel's group knows it.
    fn open(&self, held: &AssignedContainer) -> Result<Device, Stop> {
        let mut opened = held.device(&self.name).map_err(Stop::from);
        bus::wait_until(patience(), || {
            opened.is_ok() || {
                opened = held.device(&self.name).map_err(Stop::from);
                false
            }
        });
        opened
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // What does not work is noticed by the checks that follow, which find the bus as it
        // was.
        let container = &self.context.container;
        let _ = match self.place {
            Place::Lent => self.manager.remove(self.id, container),
            Place::Home => self.manager.destroy(self.id),
            Place::MadeThere => self.manager.destroy_in(container, self.id),
        };
        bus::wait_until(patience(), || !SYSFS.has(&self.name));
    }
}

fn map_all(device: &Device, index: u32) -> Result<Map, Stop> {
    let region = device.region(index)?;
    let length = usize::try_from(region.size).unwrap_or(usize::MAX);
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    let mapped = Map::of(device.as_fd(), region.offset, length, protection, MapFlags::SHARED);
    done(&format!("a mapping of region {index} of {}", device.name()), mapped)
}

/// What a load from each end of a mapping does to a process.
fn loads(mapped: &Map) -> Result<[Result<u8, i32>; 2], Stop> {
    let load = |offset: usize| done("fork", in_a_fork(|| u8::from(mapped.load(offset).is_none())));
    Ok([load(0)?, load(mapped.length() - 8)?])
}

const SIGBUS: Result<u8, i32> = Err(libc::SIGBUS);

/// A mapping must end in time, for good.
fn ends(what: &str, mapped: &Map) -> Outcome {
    let mut seen = loads(mapped)?;
    bus::wait_until(patience(), || {
        seen = loads(mapped).unwrap_or([Ok(0); 2]);
        seen == [SIGBUS; 2]
    });
    is(&format!("loads from the ends of {what}"), seen, [SIGBUS; 2])?;
    std::thread::sleep(Duration::from_millis(100));
    is(&format!("later loads from the ends of {what}"), loads(mapped)?, [SIGBUS; 2])
}

fn question() -> Message {
    without_object(&dpmng::GetContainerId {})
}

/// All calls on a file must be refused.
fn is_dead(device: &Device) -> Outcome {
    let gone =
        bus::wait_until(patience(), || send(device, 0, &question()).err() == Some(Errno::NODEV));
    if !gone {
        let got = exchange(device, &question()).map(|answer| answer.params.0);
        return fail(format!("ENODEV for a command to {}", device.name()), format!("{got:x?}"));
    }
    refused("a read", fetch(device, 0), Errno::NODEV)?;
    for (what, words, number) in [
        ("GET_INFO", &[24, 0][..], DEVICE_GET_INFO),
        ("GET_REGION_INFO", &[32, 0, 0], DEVICE_GET_REGION_INFO),
        ("GET_IRQ_INFO", &[16, 0, 0], DEVICE_GET_IRQ_INFO),
    ] {
        refused(what, Block::new(words).ioctl(device, number), Errno::NODEV)?;
    }
    refused("RESET", ioctl_number(device, DEVICE_RESET, 0), Errno::NODEV)?;
    refused("SET_IRQS", arm(device, 0, &new_eventfd()?), Errno::NODEV)?;
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    let page = rustix::param::page_size();
    let mapped = Map::of(device.as_fd(), offset_of(0), page, protection, MapFlags::SHARED);
    refused("a mapping", mapped.map(drop), Errno::NODEV)
}

/// The container's own portal goes on as if nothing had been.
fn goes_on(context: &Context, dprc: &Device) -> Outcome {
    let number = container_of(&mut dprc.portal()?)?;
    is("number of the portal's container", number, bus::number(&context.container))
}

fn mapping_of_what_was_moved(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let mut lent = Lent::portal(context)?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let device = lent.open(&held)?;
    let mapped = map_all(&device, 0)?;
    let untouched = map_all(&device, 0)?;
    is("loads from the ends of a mapping", loads(&mapped)?, [Ok(0); 2])?;
    lent.take()?;
    ends("the mapping", &mapped)?;
    ends("a mapping that nobody has looked at", &untouched)?;
    goes_on(context, &dprc)?;
    drop((mapped, untouched, device));
    log.is_calm()
}

fn file_of_what_was_moved(context: &Context) -> Outcome {
    let mut lent = Lent::portal(context)?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let device = lent.open(&held)?;
    let other = held.device(&lent.name)?;
    exchange(&device, &question())?;
    lent.take()?;
    is_dead(&device)?;
    is_dead(&other)?;
    goes_on(context, &dprc)
}

fn unplugged(context: &Context) -> Outcome {
    let mut lent = Lent::portal(context)?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let device = lent.open(&held)?;
    let mapped = map_all(&device, 0)?;
    lent.manager.plug(lent.id, &context.container, false)?;
    ends("the mapping", &mapped)?;
    is_dead(&device)?;
    drop((mapped, device));
    // It is let go, which is what its owner waits for.
    let gone = bus::wait_until(patience(), || !SYSFS.has(&lent.name));
    is("whether the bus still has it when nobody has", !gone, false)?;
    lent.manager.plug(lent.id, &context.container, true)?;
    lent.is_there()?;
    exchange(lent.open(&held)?, &question())?;
    goes_on(context, &dprc)
}

fn made_again_under_its_number(context: &Context) -> Outcome {
    let mut lent = Lent::portal_made_there(context)?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let device = lent.open(&held)?;
    let mapped = map_all(&device, 0)?;
    exchange(&device, &question())?;
    lent.manager.replace_portal(lent.id, &context.container)?;
    ends("the mapping", &mapped)?;
    is_dead(&device)?;
    drop((mapped, device));
    // The new one, when the old one has gone.
    let works = bus::wait_until(patience(), || {
        held.device(&lent.name).is_ok_and(|device| send(&device, 0, &question()).is_ok())
    });
    is("whether the new one can be used", works, true)?;
    let mapped = map_all(&lent.open(&held)?, 0)?;
    is("loads from the ends of a mapping of the new one", loads(&mapped)?, [Ok(0); 2])?;
    goes_on(context, &dprc)
}

fn portal_of_queues(context: &Context) -> Outcome {
    let name = context.first("dpio")?;
    let id = identity(&name)?;
    let mut manager = Manager::around(&context.container)?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let device = held.device(&name)?;
    let regions = 0..device.info().regions;
    let mapped = regions.map(|index| map_all(&device, index)).collect::<Result<Vec<_>, _>>()?;
    done("SET_IRQS", arm(&device, 0, &new_eventfd()?))?;
    manager.take(id, &context.container)?;
    let ended = mapped
        .iter()
        .enumerate()
        .try_for_each(|(index, mapped)| ends(&format!("the mapping of region {index}"), mapped));
    let dead =
        ended.and_then(|()| refused("RESET", ioctl_number(&device, DEVICE_RESET, 0), Errno::NODEV));
    drop((mapped, device));
    bus::wait_until(patience(), || !SYSFS.has(&name));
    manager.give(id, &context.container)?;
    dead?;
    let back = || SYSFS.driver_of(&name).as_deref() == Some(VFIO_DRIVER);
    is("whether it is back", bus::wait_until(patience(), back), true)?;
    goes_on(context, &dprc)
}

fn holds_up_nobody(context: &Context) -> Outcome {
    let mut lent = Lent::portal(context)?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let device = lent.open(&held)?;
    lent.take()?;
    is_dead(&device)?;
    for _ in 0..3 {
        let other = lent.manager.add_pool(&context.container)?;
        let name = other.to_string();
        let shown = || SYSFS.driver_of(&name).as_deref() == Some(VFIO_DRIVER);
        let came = bus::wait_until(patience(), shown);
        lent.manager.remove(other, &context.container)?;
        is(&format!("whether {name} comes"), came, true)?;
        is(
            &format!("whether {name} goes"),
            bus::wait_until(patience(), || !SYSFS.has(&name)),
            true,
        )?;
    }
    goes_on(context, &dprc)?;
    drop(device);
    let gone = bus::wait_until(patience(), || {
        SYSFS.container_of(&lent.name).as_deref() != Some(&*context.container)
    });
    is("whether what was held goes", gone, true)
}

fn in_a_storm(context: &Context) -> Outcome {
    let mut lent = Lent::portal(context)?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let device = lent.open(&held)?;
    let mapped = map_all(&device, 0)?;
    let container = identity(&held.name)?;
    let mut portal = dprc.portal()?;
    let stays = identity(&context.first("dpbp").or_else(|_| context.first("dpio"))?)?;
    let label =
        |text: &str| SetObjectLabel { id: stays.id, label: Label::new(text), kind: stays.kind };
    let over = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        let storm = scope.spawn(|| {
            let mut count: u32 = 0;
            while !over.load(Ordering::Relaxed) {
                with_open(&mut portal, container, |portal, open| {
                    let made = make_pool(portal, open)?;
                    count += 1;
                    // No two lists of the objects are equal.
                    portal.call(open, &label(&count.to_string()))?;
                    destroy(portal, open, made)
                })?;
            }
            with_open(&mut portal, container, |portal, open| portal.call(open, &label("")))
        });
        std::thread::sleep(Duration::from_millis(200));
        let taken = lent.take();
        let ended = bus::wait_until(4 * patience(), || {
            loads(&mapped).is_ok_and(|seen| seen == [SIGBUS; 2])
        });
        over.store(true, Ordering::Relaxed);
        taken?;
        match storm.join() {
            Ok(result) => result?,
            Err(_) => return fail("a thread that ends", "it panicked"),
        }
        Ok(ended)
    })?;
    is("whether the mapping ends", ended, true)?;
    is_dead(&device)?;
    goes_on(context, &dprc)
}

fn back_again(context: &Context) -> Outcome {
    let mut lent = Lent::portal(context)?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    for _ in 0..context.times(5) {
        let device = lent.open(&held)?;
        let mapped = map_all(&device, 0)?;
        exchange(&device, &question())?;
        lent.take()?;
        ends("the mapping", &mapped)?;
        is_dead(&device)?;
        drop((mapped, device));
        lent.give_back()?;
    }
    goes_on(context, &dprc)
}

fn back_without_an_answer(context: &Context) -> Outcome {
    let mut lent = Lent::portal(context)?;
    let device = lent.open(&context.hold()?)?;
    let left = leave_an_answer(&device)?;
    lent.take()?;
    is_dead(&device)?;
    drop(device);
    lent.give_back()?;
    let device = lent.open(&context.hold()?)?;
    is_not_left(&lent.name, &done("a read", fetch(&device, 0))?, &left)
}

fn back_as_if_new(context: &Context) -> Outcome {
    let mut lent = Lent::pool(context)?;
    {
        let held = context.hold()?;
        let dprc = held.dprc()?;
        let device = lent.open(&held)?;
        enable(&mut dprc.portal()?, lent.id)?;
        lent.take()?;
        is_dead(&device)?;
    }
    lent.give_back()?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let _device = lent.open(&held)?;
    is("whether it is on", enabled(&mut dprc.portal()?, lent.id)?, false)
}
