// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! VFIO for the fsl-mc bus: hands a container (DPRC) of the DPAA2 Management Complex to user
//! space, or to a virtual machine.
//!
//! - [`abstractions`]: kernel interfaces that the `kernel` crate lacks.
//! - [`logic`]: what the driver decides, without the kernel; the same source is tested on any
//!   machine as the crate `vfio-fsl-mc-core`.
//! - [`container`]: a container that is bound, its portal, its objects on the bus.
//! - [`vectors`]: the interrupt vectors that a container and its objects share.
//! - [`object`]: an object as user space sees it, a VFIO device.
//! - [`portal`]: commands, answers, and the one lock around both.
//!
//! `docs/driver-internals.md` has the locks, the life cycle and the invariants.

use kernel::{
    device,
    driver,
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

mod abstractions;
mod container;
mod counters;
#[allow(dead_code, unreachable_pub)]
#[path = "../crates/vfio-fsl-mc-core/src/logic/mod.rs"]
mod logic;
mod look;
mod members;
mod object;
mod parameters;
mod portal;
mod registry;
mod resets;
mod trace;
mod vectors;

use abstractions::{
    fsl_mc,
    layout,
    notifier::BusNotifier,
    power,
    vfio, //
};
use container::{
    BoundContainer,
    Container, //
};
use object::Object;

/// The name of the driver on the bus, which is written to `driver_override`.
const NAME: &CStr = c"vfio-fsl-mc";

module! {
    type: VfioFslMc,
    name: "vfio_fsl_mc",
    authors: ["The vfio-fsl-mc developers"],
    description: "VFIO for containers of the DPAA2 Management Complex",
    license: "Dual BSD/GPL",
}

/// What is there while the module is loaded. The driver goes first: its devices use the rest.
#[pin_data]
struct VfioFslMc {
    #[pin]
    _driver: driver::Registration<fsl_mc::Adapter<Driver>>,
    #[pin]
    _notifier: BusNotifier<registry::Children>,
    _registry: registry::Ready,
}

impl kernel::InPlaceModule for VfioFslMc {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _: { layout::check()? },
            _registry: registry::Ready::new(module),
            _notifier <- BusNotifier::new(),
            _driver <- driver::Registration::new(NAME, module),
        })
    }
}

/// The driver of containers and of all that is in them.
struct Driver;

/// What the driver keeps for a device while it is bound. Dropping it undoes the binding, in the
/// order of the fields: the holder's last commands go through the container.
struct Bound {
    opening: Opening,
    /// For a container: itself.
    container: Option<BoundContainer>,
}

/// A device that user space can open.
struct Opening {
    device: ARef<fsl_mc::Device>,
    container: Arc<Container>,
    registration: Arc<vfio::Registration<Object>>,
}

impl Opening {
    fn new(device: &fsl_mc::Device<device::Core<'_>>, container: Arc<Container>) -> Result<Self> {
        let registration = Object::register(device, container.clone())?;
        let device: &fsl_mc::Device = device;
        let this = Self {
            device: device.into(),
            container,
            registration: Arc::new(registration, GFP_KERNEL)?,
        };
        this.container.members().opens(device, &this.registration)?;
        Ok(this)
    }

    /// Waits until nobody has the device open; but not where the machine goes down, whenever it
    /// begins to: it then waits for who holds the device's lock, as this does. A holder keeps a
    /// file with nothing behind it.
    fn end(&self) {
        if registry::is_going(&self.device) {
            self.registration.revoke();
        }
        if !self.registration.wait_until_closed(power::goes_down) {
            // Objects first, and the container last: the portal of one that is mapped could undo
            // the container's reset, and theirs takes the container's portal.
            self.container.take_from_holders();
            if self.registration.abandon() {
                // One that `Members::opens` has refused is not kept by anybody else.
                core::mem::forget(self.registration.clone());
                return;
            }
        }
        self.registration.unregister();
        self.container.members().closes(&self.device);
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.end();
    }
}

impl fsl_mc::Driver for Driver {
    type Data<'bound> = Bound;

    const MANAGED_DMA: bool = true;

    fn probe<'bound>(
        device: &'bound fsl_mc::Device<device::Core<'_>>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        bind(device)
    }

    fn unbind<'bound>(
        device: &'bound fsl_mc::Device<device::Core<'_>>,
        bound: Pin<&Self::Data<'bound>>,
    ) {
        if let Some(container) = &bound.container {
            container.take_if_going();
        }
        bound.opening.end();
        if let Some(container) = &bound.container {
            container.unbind();
        }
        trace::bind(device, false);
    }
}

fn bind(device: &fsl_mc::Device<device::Core<'_>>) -> Result<Bound> {
    let bound = match device.kind() {
        logic::region::ObjectKind::Dprc => bind_container(device)?,
        _ => bind_object(device)?,
    };
    trace::bind(device, true);
    Ok(bound)
}

/// The objects are bound first: user space gets at the portal when the bus is done with it.
fn bind_container(device: &fsl_mc::Device<device::Core<'_>>) -> Result<Bound> {
    let container = BoundContainer::new(device)?;
    let opening = Opening::new(device, container.clone())?;
    container.listen();
    Ok(Bound {
        opening,
        container: Some(container),
    })
}

fn bind_object(device: &fsl_mc::Device<device::Core<'_>>) -> Result<Bound> {
    let container = device.container().and_then(registry::find).ok_or_else(|| {
        dev_err!(
            device.as_ref(),
            "is not in a container that is bound to vfio-fsl-mc: bind the container instead\n"
        );
        EINVAL
    })?;
    Ok(Bound {
        opening: Opening::new(device, container)?,
        container: None,
    })
}
