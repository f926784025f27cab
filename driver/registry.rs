// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! Which containers are bound, for the bus to be asked when a device turns up in one.

use crate::{
    abstractions::{
        fsl_mc,
        notifier::Listener, //
    },
    container::Container,
    logic::vectors::ObjectId,
    parameters,
    NAME, //
};
use kernel::{
    debugfs,
    prelude::*,
    sync::{
        global_lock,
        Arc, //
    },
    ThisModule, //
};

/// The driver override of a device between the moment that the bus adds it and the moment that
/// it is bound. No driver has this name.
///
/// The bus adds devices with the container's portal in use, whose lock must not be held while a
/// device is bound: see the order of locks in the documentation.
const PENDING: &CStr = c"vfio-fsl-mc:pending";

/// How many are noted that were used. One that is destroyed in use stays among them until another
/// gets its number.
const MOST_USED: usize = 1024;

struct Registry {
    containers: KVec<Arc<Container>>,
    /// What was not reset after its last use, as far as that is known.
    used: KVec<ObjectId>,
    /// There was no room to note one: it may be any.
    any_is_used: bool,
    folder: Option<debugfs::Dir>,
}

global_lock! {
    // SAFETY: `Ready::new` initialises it before anything else of the module runs.
    unsafe(uninit) static REGISTRY: Mutex<Registry> = Registry {
        containers: KVec::new(),
        used: KVec::new(),
        any_is_used: false,
        folder: None,
    };
}

/// The registry, ready to be used.
pub(crate) struct Ready(());

impl Ready {
    /// For the module's initialisation, once.
    pub(crate) fn new(_module: &'static ThisModule) -> Self {
        // SAFETY: Called once, before the lock is used.
        unsafe { REGISTRY.init() };
        REGISTRY.lock().folder = Some(debugfs::Dir::new(NAME));
        Self(())
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        // A static is never dropped, nor is the memory of an empty list in it.
        let mut registry = REGISTRY.lock();
        let folder = registry.folder.take();
        let containers = core::mem::take(&mut registry.containers);
        let used = core::mem::take(&mut registry.used);
        drop(registry);
        drop((folder, containers, used));
    }
}

/// The folder for what is shown to developers.
pub(crate) fn folder() -> Option<debugfs::Dir> {
    REGISTRY.lock().folder.clone()
}

/// The bound container that is this device.
pub(crate) fn find(device: &fsl_mc::Device) -> Option<Arc<Container>> {
    let registry = REGISTRY.lock();
    let mut containers = registry.containers.iter();
    containers.find(|c| c.device().is(device)).cloned()
}

pub(crate) fn insert(container: Arc<Container>) -> Result {
    REGISTRY.lock().containers.push(container, GFP_KERNEL)?;
    Ok(())
}

pub(crate) fn remove(container: &Arc<Container>) {
    let mut registry = REGISTRY.lock();
    let position = registry
        .containers
        .iter()
        .position(|c| Arc::ptr_eq(c, container));
    let removed = position.map(|at| registry.containers.remove(at));
    drop(registry);
    drop(removed);
}

/// An object, or a container, goes without a reset after its last use: whoever opens it when it
/// is back, in whichever container, is not to find what its last holder has left.
pub(crate) fn remember_use(id: ObjectId) {
    let mut registry = REGISTRY.lock();
    if registry.used.contains(&id) {
        return;
    }
    if registry.used.len() >= MOST_USED || registry.used.push(id, GFP_KERNEL).is_err() {
        registry.any_is_used = true;
    }
}

/// Whether something that is bound has to be reset before its first use.
pub(crate) fn recalls_use(id: ObjectId) -> bool {
    let registry = REGISTRY.lock();
    registry.any_is_used || registry.used.contains(&id)
}

/// It was reset before its first use.
pub(crate) fn forget_use(id: ObjectId) {
    let mut registry = REGISTRY.lock();
    if let Some(at) = registry.used.iter().position(|used| *used == id) {
        let _ = registry.used.remove(at);
    }
}

/// Takes what is not in its container any more from who has it open, and all that is in it if it
/// is a container itself. Whether somebody has any of it open.
pub(crate) fn revoke(device: &fsl_mc::Device) -> bool {
    if let Some(container) = find(device) {
        return container.revoke();
    }
    let container = device.container().and_then(find);
    container.is_some_and(|container| container.members().revoke(device))
}

/// Takes all that is in bound containers from who has it open. Whether somebody has any of it
/// open.
pub(crate) fn take_from_holders() -> bool {
    let mut any_is_held = false;
    let mut left = REGISTRY.lock().containers.len();
    // From the end: what goes meanwhile moves one that was seen already.
    while let Some(at) = left.checked_sub(1) {
        left = at;
        let registry = REGISTRY.lock();
        let container = registry.containers.get(at).cloned();
        drop(registry);
        any_is_held |= container.is_some_and(|container| container.take_from_holders());
    }
    any_is_held
}

/// Nobody has a device open any more, nor what is in it.
pub(crate) fn closed(device: &fsl_mc::Device) {
    if let Some(container) = device.container().and_then(find) {
        container.members().closed(device);
    }
}

/// Whether a device is about to go because its object is not in the container any more.
pub(crate) fn is_going(device: &fsl_mc::Device) -> bool {
    let container = device.container().and_then(find);
    container.is_some_and(|container| container.members().is_going(device))
}

/// Binds a device that the bus has added to a bound container. Whether it is to be tried again:
/// there was no memory for it.
pub(crate) fn bind_pending(device: &fsl_mc::Device, container: &Container) -> bool {
    let bound = device
        .set_driver_override(NAME)
        .and_then(|()| device.bind_with(container.device()));
    match bound {
        Ok(()) => false,
        // Somebody else was faster.
        Err(e) if e == EBUSY => false,
        Err(e) => {
            // User space can make objects at any rate.
            if parameters::may_print() {
                dev_err!(device.as_ref(), "cannot be bound to vfio-fsl-mc: {e:?}\n");
            }
            e == ENOMEM
        }
    }
}

/// Listens for devices in bound containers.
pub(crate) struct Children;

impl Listener for Children {
    fn added(device: &fsl_mc::Device) {
        if device.container().and_then(find).is_none() {
            return;
        }
        if let Err(e) = device.set_driver_override(PENDING) {
            // Another driver may take it now. Whoever has had it added sees that it is not kept,
            // and has it removed.
            dev_err!(device.as_ref(), "cannot be kept for vfio-fsl-mc: {e:?}\n");
        }
    }

    fn bound(device: &fsl_mc::Device) {
        let Some(container) = escaped_from(device) else {
            return;
        };
        container.object_escaped();
        dev_warn!(
            device.as_ref(),
            "is with another driver, its container with vfio-fsl-mc: \
             the container cannot be opened until the object is back\n"
        );
    }

    fn unbinding(device: &fsl_mc::Device) {
        if let Some(container) = escaped_from(device) {
            container.object_returned();
        }
    }

    /// A container that the bus removes has gone from the one around it. What is in a container
    /// of this driver's goes with every unbind of that.
    fn removing(device: &fsl_mc::Device) {
        let Some(container) = find(device) else {
            return;
        };
        let is_around_ours = device.container().and_then(find).is_some();
        if !is_around_ours || is_going(device) {
            container.goes();
        }
    }
}

/// The bound container of a device that another driver has.
fn escaped_from(device: &fsl_mc::Device) -> Option<Arc<Container>> {
    // Of most devices this is enough to know.
    if !device.has_other_driver(NAME) {
        return None;
    }
    device.container().and_then(find)
}
