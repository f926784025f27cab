// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! Notifications of a bus: which devices come, which drivers take them.
//!
//! C header: `include/linux/device/bus.h`

use super::fsl_mc;
use core::marker::{
    PhantomData,
    PhantomPinned, //
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// What a bus tells about a device on it.
pub(crate) trait Listener: 'static {
    /// The device is there, and no driver has been looked for.
    fn added(device: &fsl_mc::Device);
    /// A driver has taken the device.
    fn bound(device: &fsl_mc::Device);
    /// The driver is about to let go of the device.
    fn unbinding(device: &fsl_mc::Device);
    /// The device is about to go, and its driver to let go of it.
    fn removing(device: &fsl_mc::Device);
}

/// A listener on the fsl-mc bus. Dropping it waits for calls that run.
#[pin_data(PinnedDrop)]
pub(crate) struct BusNotifier<L: Listener> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    #[pin]
    _pin: PhantomPinned,
    _listener: PhantomData<L>,
}

// SAFETY: The block may be registered and unregistered from any thread.
unsafe impl<L: Listener> Send for BusNotifier<L> {}
// SAFETY: Nothing can be reached through a shared reference.
unsafe impl<L: Listener> Sync for BusNotifier<L> {}

impl<L: Listener> BusNotifier<L> {
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            block <- Opaque::try_ffi_init(|block: *mut bindings::notifier_block| {
                // SAFETY: `block` is valid for writes and stays where it is until `drop`.
                unsafe {
                    block.write(pin_init::zeroed());
                    (*block).notifier_call = Some(callback::<L>);
                    to_result(bindings::bus_register_notifier(fsl_mc::bus_type(), block))
                }
            }),
            _pin: PhantomPinned,
            _listener: PhantomData,
        })
    }
}

#[pinned_drop]
impl<L: Listener> PinnedDrop for BusNotifier<L> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered in `new`.
        unsafe { bindings::bus_unregister_notifier(fsl_mc::bus_type(), self.block.get()) };
    }
}

extern "C" fn callback<L: Listener>(
    _block: *mut bindings::notifier_block,
    action: c_ulong,
    data: *mut c_void,
) -> c_int {
    // SAFETY: The fsl-mc bus passes a device of its own, alive for the call.
    let device = unsafe { fsl_mc::Device::from_dev(data.cast()) };
    match u32::try_from(action) {
        Ok(bindings::bus_notifier_event_BUS_NOTIFY_ADD_DEVICE) => L::added(device),
        Ok(bindings::bus_notifier_event_BUS_NOTIFY_BOUND_DRIVER) => L::bound(device),
        Ok(bindings::bus_notifier_event_BUS_NOTIFY_UNBIND_DRIVER) => L::unbinding(device),
        Ok(bindings::bus_notifier_event_BUS_NOTIFY_DEL_DEVICE) => L::removing(device),
        _ => {}
    }
    0
}
