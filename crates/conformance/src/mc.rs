// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What checks do by commands to the Management Complex: objects that are switched on
//! and looked at, made and destroyed, and events that cause interrupts.

use crate::check::{Stop, fail, skip};
use crate::patience::patience;
use dprc::manage::{assign, unassign};
pub use dprc::manage::{destroy, list, with_open};
use dprc::{Device, EventFd, Interrupt, Management, McPortal, OpenObject, PortalError};
use fsl_mc_linux::bus::{self, SYSFS};
use fsl_mc_linux::proc;
use mc_abi::common::{
    ClearIrqStatus, Enable, GetIrq, GetIrqEnable, GetIrqMask, GetIrqStatus, IsEnabled,
    SetIrqEnable, SetIrqMask,
};
use mc_abi::dprc::event;
use mc_abi::{ObjectId, ObjectType, Status, Token, dpbp, dpmcp, dpmng};
use std::time::Duration;

/// How long to wait for what must not come.
pub const QUIET: Duration = Duration::from_millis(100);

/// The object of a name on the bus.
pub fn object(name: &str) -> Result<ObjectId, Stop> {
    name.parse().or_else(|error| fail(format!("{name} is an object's name"), format!("{error}")))
}

/// The number of the container that a portal belongs to.
pub fn container_of(portal: &mut McPortal) -> Result<u32, PortalError> {
    Ok(portal.call(Token::NONE, &dpmng::GetContainerId {})?.id)
}

/// Switches an object on.
pub fn enable(portal: &mut McPortal, object: ObjectId) -> Result<(), PortalError> {
    with_open(portal, object, |portal, open| portal.call(open, &Enable {}))
}

/// Whether an object is on.
pub fn enabled(portal: &mut McPortal, object: ObjectId) -> Result<bool, PortalError> {
    with_open(portal, object, |portal, open| Ok(portal.call(open, &IsEnabled {})?.enabled))
}

/// Whether an object of a family is off when it is made, and after a reset. A
/// demultiplexer is on.
pub fn starts_off(family: &str) -> bool {
    !matches!(family, "dprc" | "dpdmux")
}

/// Switches an object on and sees that it is. Says whether it has a switch.
pub fn switch_on(portal: &mut McPortal, object: ObjectId) -> Result<bool, Stop> {
    match enable(portal, object) {
        Err(error) if error.status() == Some(Status::UnsupportedOperation) => return Ok(false),
        other => other?,
    }
    if enabled(portal, object)? {
        Ok(true)
    } else {
        fail(format!("{object} is on after it was switched on"), "it is off")
    }
}

/// Makes a buffer pool in an open container.
pub fn make_pool(portal: &mut McPortal, container: OpenObject) -> Result<ObjectId, PortalError> {
    let id = portal.call(container, &dpbp::Create {})?.id;
    Ok(ObjectId::new(ObjectType::Dpbp, id))
}

/// Makes a command portal in an open container.
pub fn make_portal(portal: &mut McPortal, container: OpenObject) -> Result<ObjectId, PortalError> {
    let request = dpmcp::Create { portal: dpmcp::PORTAL_FROM_POOL, options: 0 };
    let id = portal.call(container, &request)?.id;
    Ok(ObjectId::new(ObjectType::Dpmcp, id))
}

/// The objects of a family that the MC says are in a container.
pub fn objects_of(
    portal: &mut McPortal,
    of: ObjectId,
    kind: ObjectType,
) -> Result<Vec<ObjectId>, PortalError> {
    let all = objects_in(portal, of)?;
    Ok(all.into_iter().filter(|object| object.kind == kind).collect())
}

/// All objects that the MC says are in a container.
pub fn objects_in(portal: &mut McPortal, of: ObjectId) -> Result<Vec<ObjectId>, PortalError> {
    let all = with_open(portal, of, list)?;
    Ok(all.into_iter().map(|object| ObjectId::new(object.kind, object.id)).collect())
}

/// An interrupt of an object as the MC has it, enabled for some events. Disabled when
/// dropped.
pub struct McIrq {
    portal: McPortal,
    open: OpenObject,
}

impl McIrq {
    /// Enables the interrupt for the events of `mask`. Earlier events are cleared.
    pub fn enable(mut portal: McPortal, object: ObjectId, mask: u32) -> Result<Self, Stop> {
        let open = portal.open(object)?;
        let mut irq = Self { portal, open };
        irq.portal.call(open, &SetIrqEnable { enable: false, index: 0 })?;
        irq.clear()?;
        irq.portal.call(open, &SetIrqMask { mask, index: 0 })?;
        irq.portal.call(open, &SetIrqEnable { enable: true, index: 0 })?;
        Ok(irq)
    }

    /// What the MC and the kernel know of the interrupt, for who looks for one that is
    /// lost.
    fn state(&mut self) -> String {
        let (portal, open) = (&mut self.portal, self.open);
        let enabled = portal.call(open, &GetIrqEnable { index: 0 });
        let mask = portal.call(open, &GetIrqMask { index: 0 });
        let status = portal.call(open, &GetIrqStatus { status: u32::MAX, index: 0 });
        let message = portal.call(open, &GetIrq { index: 0 });
        let lines = proc::interrupts_of(&open.object.to_string());
        format!("MC: {enabled:x?}, {mask:x?}, {status:x?}, {message:x?}; kernel: {lines:?}")
    }

    /// The events that have happened.
    pub fn status(&mut self) -> Result<u32, Stop> {
        let ask = GetIrqStatus { status: u32::MAX, index: 0 };
        Ok(self.portal.call(self.open, &ask)?.status)
    }

    /// Clears the pending events, so that the next one interrupts.
    pub fn clear(&mut self) -> Result<(), Stop> {
        let all = ClearIrqStatus { status: u32::MAX, index: 0 };
        Ok(self.portal.call(self.open, &all)?)
    }
}

impl Drop for McIrq {
    fn drop(&mut self) {
        // The check has ended; a portal that works no more has been noticed by it.
        let _ = self.portal.call(self.open, &SetIrqEnable { enable: false, index: 0 });
        let _ = self.clear();
        let _ = self.portal.close(self.open);
    }
}

/// What causes interrupts of a container: an object that is made in it, and destroyed.
pub struct EventSource {
    irq: McIrq,
}

impl EventSource {
    /// A source that works through a portal of the container. It takes the events of the
    /// container for itself: only its own interrupt.
    ///
    /// The check does not apply where no objects can be made.
    pub fn new(portal: McPortal, container: &str) -> Result<Self, Stop> {
        let irq = McIrq::enable(portal, object(container)?, event::OBJ_CREATED)?;
        Ok(Self { irq })
    }

    /// Causes one interrupt. It has left the MC when this returns.
    ///
    /// The check does not apply where no objects can be made.
    pub fn raise(&mut self) -> Result<(), Stop> {
        self.irq.clear()?;
        let (portal, open) = (&mut self.irq.portal, self.irq.open);
        let made = match make_pool(portal, open) {
            Err(error) if error.status() == Some(Status::NoPrivilege) => {
                return skip("the container may not make objects, which would interrupt");
            }
            Err(error) if error.status() == Some(Status::NoResource) => {
                return skip("no object is left to be made, which would interrupt");
            }
            made => made?,
        };
        Ok(destroy(portal, open, made)?)
    }

    /// The events since the last [`EventSource::raise`].
    pub fn status(&mut self) -> Result<u32, Stop> {
        self.irq.status()
    }
}

/// A container's interrupt, enabled, and the source that causes it.
pub struct EnabledInterrupt {
    /// What the kernel signals.
    pub interrupt: Interrupt,
    /// What causes it.
    pub source: EventSource,
}

impl EnabledInterrupt {
    /// Enables the interrupt of a container that is open.
    pub fn new(container: &Device) -> Result<Self, Stop> {
        let interrupt = container.enable_interrupt(0)?;
        let source = EventSource::new(container.portal()?, container.name())?;
        settle(interrupt.events())?;
        Ok(Self { interrupt, source })
    }

    /// Causes one interrupt and takes it.
    pub fn raise_once(&mut self) -> Result<(), Stop> {
        self.source.raise()?;
        let counted = expect_count(self.interrupt.events(), 1, "an event of the container");
        counted.map_err(|stop| match stop {
            Stop::Fail { expected, got } => {
                Stop::Fail { expected, got: format!("{got}; {}", self.source.irq.state()) }
            }
            skip => skip,
        })
    }
}

/// Lets interrupts of events before come, and forgets them.
pub fn settle(events: &EventFd) -> Result<(), Stop> {
    events.wait(Duration::from_millis(20))?;
    events.take()?;
    Ok(())
}

/// An eventfd must count exactly so many more.
pub fn expect_count(events: &EventFd, wanted: u64, after: &str) -> Result<(), Stop> {
    let mut count = 0;
    while count < wanted {
        match events.wait(patience())? {
            0 => break,
            more => count += more,
        }
    }
    // Not one more.
    count += events.wait(if wanted == 0 { QUIET } else { Duration::from_millis(5) })?;
    if count == wanted {
        Ok(())
    } else {
        fail(format!("the eventfd counts {wanted} after {after}"), format!("it counts {count}"))
    }
}

/// The container around a container, as a manager of containers sees it.
pub struct Manager {
    portal: McPortal,
    root: ObjectId,
}

impl Manager {
    /// The manager of the container around `child`.
    ///
    /// The check does not apply where that is not a root container whose management
    /// interface may be used.
    pub fn around(child: &str) -> Result<Self, Stop> {
        let Some(root) = SYSFS.container_of(child) else {
            return skip(format!("{child} lies in no other container"));
        };
        match Management::open(&root) {
            Ok(portal) => Ok(Self { portal, root: object(&root)? }),
            Err(error) => skip(format!("no management of {root}: {error}")),
        }
    }

    /// Makes a buffer pool and gives it to a child, plugged.
    pub fn add_pool(&mut self, to: &str) -> Result<ObjectId, Stop> {
        self.add(to, make_pool)
    }

    /// Makes a command portal and gives it to a child, plugged.
    pub fn add_portal(&mut self, to: &str) -> Result<ObjectId, Stop> {
        self.add(to, make_portal)
    }

    fn add(
        &mut self,
        to: &str,
        make: impl FnOnce(&mut McPortal, OpenObject) -> Result<ObjectId, PortalError>,
    ) -> Result<ObjectId, Stop> {
        let made = with_open(&mut self.portal, self.root, make)?;
        // The bus driver of the container around may have listed the object for itself,
        // and would find it taken.
        bus::wait_until(patience(), || SYSFS.has(&made.to_string()));
        self.give(made, to).or_else(|error| {
            self.destroy(made)?;
            Err(error)
        })?;
        // While its device is still the container's around, no other of its name can be
        // made: a driver that is bound before that finds an object that it cannot have.
        let around = self.root.to_string();
        bus::wait_until(patience(), || {
            SYSFS.container_of(&made.to_string()).as_deref() != Some(&around)
        });
        Ok(made)
    }

    /// Gives an object of the container around to a child, plugged.
    pub fn give(&mut self, made: ObjectId, to: &str) -> Result<(), Stop> {
        let to = object(to)?;
        Ok(with_open(&mut self.portal, self.root, |portal, root| {
            assign(portal, root, made, to, true)
        })?)
    }

    /// Plugs an object of a child in, or out.
    pub fn plug(&mut self, made: ObjectId, child: &str, plugged: bool) -> Result<(), Stop> {
        let id = object(child)?;
        Ok(with_open(&mut self.portal, id, |portal, child| {
            assign(portal, child, made, id, plugged)
        })?)
    }

    /// Takes an object from a child: it is in the container around then.
    pub fn take(&mut self, made: ObjectId, from: &str) -> Result<(), Stop> {
        // The MC lets go of what is unplugged only.
        self.plug(made, from, false)?;
        let from = object(from)?;
        Ok(with_open(&mut self.portal, self.root, |portal, root| {
            unassign(portal, root, made, from, false)
        })?)
    }

    /// Destroys an object of the container around.
    pub fn destroy(&mut self, made: ObjectId) -> Result<(), Stop> {
        Ok(with_open(&mut self.portal, self.root, |portal, root| destroy(portal, root, made))?)
    }

    /// Takes an object from a child and destroys it.
    pub fn remove(&mut self, made: ObjectId, from: &str) -> Result<(), Stop> {
        self.take(made, from)?;
        self.destroy(made)
    }

    /// Makes a command portal in a child, plugged.
    pub fn make_portal_in(&mut self, child: &str) -> Result<ObjectId, Stop> {
        let made = with_open(&mut self.portal, object(child)?, make_portal)?;
        self.plug(made, child, true)?;
        Ok(made)
    }

    /// Destroys what was made in a child.
    pub fn destroy_in(&mut self, child: &str, made: ObjectId) -> Result<(), Stop> {
        Ok(with_open(&mut self.portal, object(child)?, |portal, child| {
            destroy(portal, child, made)
        })?)
    }

    /// Destroys a command portal that was made in a child, and makes another one there, plugged,
    /// which gets the same number and other registers.
    ///
    /// The check does not apply where the MC numbers otherwise.
    pub fn replace_portal(&mut self, made: ObjectId, child: &str) -> Result<(), Stop> {
        let again = with_open(&mut self.portal, object(child)?, |portal, child| {
            destroy(portal, child, made)?;
            // Registers are given out from the lowest on: the last ones were not the other's.
            let mut numbers = (1..MOST_PORTALS).rev().chain([dpmcp::PORTAL_FROM_POOL]);
            let made = numbers.find_map(|portal_number| {
                let request = dpmcp::Create { portal: portal_number, options: 0 };
                portal.call(child, &request).ok()
            });
            Ok(made.map(|made| ObjectId::new(ObjectType::Dpmcp, made.id)))
        })?;
        let Some(again) = again else { return skip("no other command portal is free") };
        self.plug(again, child, true)?;
        if again == made { Ok(()) } else { skip(format!("the MC calls it {again}, not {made}")) }
    }
}

/// More numbers of command portals than an MC has.
const MOST_PORTALS: u32 = 1024;
