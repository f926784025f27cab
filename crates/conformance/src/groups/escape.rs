// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Objects of a bound container that another driver has: they have the container's
//! isolation id, so nobody may have the container in user space meanwhile.

use crate::check::{Check, Outcome, Stop, check, ensure, fail, is, skip};
use crate::context::{self, Context, hold};
use crate::helper::is_clean;
use crate::kernel::Log;
use crate::mc::{EnabledInterrupt, Manager, container_of};
use crate::patience::patience;
use fsl_mc_linux::bus::{self, ALLOCATOR_DRIVER as ALLOCATOR, SYSFS, VFIO_DRIVER as DRIVER};

const GROUP: Check = Check::group("escape").seconds(30);

const VIABLE: &str = "kernel: a group is user space's as a whole only";
const NOTIFIER: &str = "C driver: sets driver_override of what is added";

/// The checks.
pub const CHECKS: &[Check] = &[
    check!(
        no_taking,
        "A container of which another driver has an object cannot be taken until it is back.",
        VIABLE
    ),
    check!(
        no_escape_while_open,
        "Another driver is not given an object of a container that is open, and the user goes on.",
        VIABLE
    )
    .interrupts(),
    check!(
        override_is_set,
        "All objects of a bound container have driver_override set to the driver.",
        NOTIFIER
    ),
    check!(
        probe_brings_back,
        "An object that was unbound is the driver's again, and no other's, when the bus looks for \
         a driver.",
        NOTIFIER
    ),
    check!(
        override_of_later_ones,
        "An object that comes to the container while it is unbound is the driver's after the bind, \
         also where the host has a driver for it.",
        NOTIFIER
    ),
];

/// An object of the container that the host's allocator would take; back in the hands
/// of the driver when dropped.
struct Escaping(String);

impl Escaping {
    fn from(context: &Context) -> Result<Self, Stop> {
        if !SYSFS.driver_path(ALLOCATOR).is_dir() {
            return skip(format!("there is no driver {ALLOCATOR}"));
        }
        let name = context.first("dpbp").or_else(|_| context.first("dpmcp"))?;
        context::unbind(&name)?;
        Ok(Self(name))
    }

    /// Gives it to the host's allocator.
    fn go(&self) -> Result<(), bus::Error> {
        SYSFS.set_override(&self.0, None)?;
        SYSFS.bind(&self.0, ALLOCATOR)
    }

    fn back(&self) -> Result<(), bus::Error> {
        if SYSFS.driver_of(&self.0).as_deref() == Some(DRIVER) {
            return Ok(());
        }
        SYSFS.unbind(&self.0)?;
        context::bind(&self.0)
    }
}

impl Drop for Escaping {
    fn drop(&mut self) {
        // What does not work is noticed by the checks that follow.
        let _ = self.back();
    }
}

fn no_taking(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let escaping = Escaping::from(context)?;
    escaping.go()?;
    is("driver of the object", SYSFS.driver_of(&escaping.0).as_deref(), Some(ALLOCATOR))?;
    // Refused at the group or at the device: both are fine.
    let taken = hold(&context.container).and_then(|held| Ok(held.dprc()?));
    if let Ok(device) = taken {
        return fail(
            format!("no device opens while {} is {ALLOCATOR}'s", escaping.0),
            format!("{} opens", device.name()),
        );
    }
    escaping.back()?;
    is_clean(&context.container)?;
    log.is_calm()
}

fn no_escape_while_open(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let held = context.hold()?;
    let dprc = held.dprc()?;
    let mut armed = EnabledInterrupt::new(&dprc)?;
    let escaping = Escaping::from(context)?;
    let gone = escaping.go();
    let now = SYSFS.driver_of(&escaping.0);
    ensure(
        gone.is_err() && now.is_none(),
        format!("{ALLOCATOR} does not get {} while the container is open", escaping.0),
        || format!("bind: {gone:?}, driver {now:?}"),
    )?;
    armed.raise_once()?;
    let number = container_of(&mut dprc.portal()?)?;
    is("number of the portal's container", number, bus::number(&context.container))?;
    escaping.back()?;
    held.device(&escaping.0)?.reset()?;
    log.is_calm()
}

fn override_of(name: &str) -> Result<String, Stop> {
    let text = std::fs::read_to_string(SYSFS.device_path(name).join("driver_override"))?;
    Ok(text.trim_end().to_owned())
}

fn override_is_set(context: &Context) -> Outcome {
    for name in context.objects()? {
        is(&format!("driver_override of {name}"), override_of(&name)?.as_str(), DRIVER)?;
    }
    Ok(())
}

fn probe_brings_back(context: &Context) -> Outcome {
    for name in context.objects()? {
        if bus::family(&name) == "dprc" {
            continue;
        }
        context::unbind(&name)?;
        let looked = SYSFS.probe(&name);
        let found = SYSFS.driver_of(&name);
        if found.as_deref() != Some(DRIVER) {
            // So that the next check has it.
            let _ = context::bind(&name);
        }
        looked?;
        is(&format!("driver of {name}"), found.as_deref(), Some(DRIVER))?;
    }
    is_clean(&context.container)
}

fn override_of_later_ones(context: &Context) -> Outcome {
    let mut manager = Manager::around(&context.container)?;
    context::unbind(&context.container)?;
    let added = manager.add_pool(&context.container);
    let bound = context::bind(&context.container);
    let added = added?;
    // The bus of the container around may have the object still; the driver tries again.
    let is_bound = || SYSFS.driver_of(&added.to_string()).as_deref() == Some(DRIVER);
    bus::wait_until(patience(), is_bound);
    let found = (SYSFS.driver_of(&added.to_string()), override_of(&added.to_string()));
    manager.remove(added, &context.container)?;
    context::rebind(&context.container)?;
    bound?;
    is("driver of the object", found.0.as_deref(), Some(DRIVER))?;
    is("driver_override of the object", found.1?.as_str(), DRIVER)
}
