// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! The fsl-mc bus: devices for the objects of the Management Complex, and drivers for them.
//!
//! C header: `include/linux/fsl/mc.h`

use super::bindings as ext;
use crate::logic::{
    command::Object,
    region::{
        ObjectKind,
        Region, //
    },
    vectors::ObjectId, //
};
use core::{
    marker::PhantomData,
    mem::{
        offset_of,
        ManuallyDrop, //
    },
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    device,
    driver,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    str::CString,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        atomic::{
            Atomic,
            Relaxed, //
        }, //
    },
    types::Opaque,
    ThisModule, //
};

/// An object of the Management Complex, `struct fsl_mc_device`.
///
/// # Invariants
///
/// A valid, reference counted device whose bus is the fsl-mc bus.
#[repr(transparent)]
pub(crate) struct Device<Ctx: device::DeviceContext = device::Normal>(
    Opaque<ext::fsl_mc_device>,
    PhantomData<Ctx>,
);

// SAFETY: `Device` is a transparent wrapper that does not depend on its generic argument.
kernel::impl_device_context_deref!(unsafe { Device });

// SAFETY: A device is reference counted and may be released from any thread.
unsafe impl Send for Device {}
// SAFETY: The methods on a shared reference read what is set before the device is added, or call
// functions of the kernel that take the locks they need; `set_token`, which writes, leaves it to
// its caller that nobody else uses the field.
unsafe impl Sync for Device {}

// SAFETY: `dev` is embedded in the device and holds its reference count.
unsafe impl AlwaysRefCounted for Device {
    fn inc_ref(&self) {
        // SAFETY: The shared reference says that the count is not zero.
        unsafe { bindings::get_device(self.as_dev()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up a reference, so the device is valid.
        let dev = unsafe { obj.as_ref() }.as_dev();
        // SAFETY: As above.
        unsafe { bindings::put_device(dev) };
    }
}

impl<Ctx: device::DeviceContext> AsRef<device::Device<Ctx>> for Device<Ctx> {
    fn as_ref(&self) -> &device::Device<Ctx> {
        // SAFETY: `dev` is embedded, thus valid as long as `self`.
        unsafe { device::Device::from_raw(self.as_dev()) }
    }
}

impl<Ctx: device::DeviceContext> Device<Ctx> {
    fn as_raw(&self) -> *mut ext::fsl_mc_device {
        self.0.get()
    }

    pub(crate) fn as_dev(&self) -> *mut bindings::device {
        // SAFETY: Only computes an address within the valid structure.
        unsafe { &raw mut (*self.as_raw()).dev }
    }

    /// What the MC said of the object when the device was made. Read field by field, by copies:
    /// the bus changes `state` later, so that there must be no reference to the whole.
    fn descriptor(&self) -> *const ext::fsl_mc_obj_desc {
        // SAFETY: Only computes an address within the valid structure.
        unsafe { &raw const (*self.as_raw()).obj_desc }
    }

    /// The type as the MC names it, padded with zeros.
    pub(crate) fn type_name(&self) -> [u8; 16] {
        // SAFETY: Valid, and not changed since before the device was added.
        unsafe { (*self.descriptor()).type_ }
    }

    pub(crate) fn kind(&self) -> ObjectKind {
        ObjectKind::from_name(&self.type_name())
    }

    pub(crate) fn object_id(&self) -> ObjectId {
        ObjectId {
            kind: self.type_name(),
            id: self.id(),
        }
    }

    /// The number of the object among those of its type.
    pub(crate) fn id(&self) -> i32 {
        // SAFETY: As in `type_name`.
        unsafe { (*self.descriptor()).id }
    }

    /// Major and minor version of the object's command interface.
    pub(crate) fn version(&self) -> (u16, u16) {
        let desc = self.descriptor();
        // SAFETY: As in `type_name`.
        unsafe { ((*desc).ver_major, (*desc).ver_minor) }
    }

    pub(crate) fn irq_count(&self) -> u8 {
        // SAFETY: As in `type_name`.
        unsafe { (*self.descriptor()).irq_count }
    }

    pub(crate) fn region_count(&self) -> u8 {
        // SAFETY: As in `type_name`.
        unsafe { (*self.descriptor()).region_count }
    }

    /// A region of the object, as the MC and the device tree place it.
    pub(crate) fn region(&self, index: u8) -> Option<Region> {
        // SAFETY: Written before the device is added.
        let regions = unsafe { (*self.as_raw()).regions };
        if index >= self.region_count() || regions.is_null() {
            return None;
        }
        // SAFETY: The bus fills in as many resources as the object has regions.
        let resource = unsafe { &*regions.add(index.into()) };
        let flags = resource.flags;
        Some(Region {
            base: resource.start,
            size: resource.end.wrapping_sub(resource.start).wrapping_add(1),
            cacheable: flags & ext::FSL_MC_REGION_CACHEABLE as c_ulong != 0,
            shareable: flags & ext::FSL_MC_REGION_SHAREABLE as c_ulong != 0,
            read_only: flags & bindings::IORESOURCE_READONLY as c_ulong != 0,
        })
    }

    /// The container that the object is in; none for the root container. The core keeps it for a
    /// device until that is removed; a driver that asks later keeps it itself.
    pub(crate) fn container(&self) -> Option<&Device> {
        // SAFETY: The device is valid, and its parent is set before it is added.
        let parent = unsafe { (*self.as_dev()).parent };
        // SAFETY: `parent` is null or valid: `device_add` has taken a reference, which is given back
        // by `device_del`, and by that time the driver has one (`container::Container`).
        if parent.is_null() || unsafe { (*parent).bus } != bus_type() {
            return None;
        }
        // SAFETY: A device on the fsl-mc bus, valid as above.
        Some(unsafe { Device::from_dev(parent) })
    }

    /// Whether both are the same object.
    pub(crate) fn is(&self, other: &Device) -> bool {
        self.as_raw() == other.as_raw()
    }

    /// Whether the device was made for an object as described.
    pub(crate) fn is_of(&self, object: &Object) -> bool {
        let is_same = self.id() == object.id && self.type_name() == object.kind;
        is_same
            && self.version() == (object.version_major, object.version_minor)
            && self.irq_count() == object.irq_count
            && self.region_count() == object.region_count
    }

    /// Replaces the token that the bus uses for this container when it uses its portal: the
    /// portal is the caller's alone meanwhile.
    pub(crate) fn set_token(&self, token: u16) {
        // SAFETY: The device is valid. The bus reads the field only where the driver has lent it
        // the portal, which it has not now; and as a whole, should it read it elsewhere.
        unsafe { (&raw mut (*self.as_raw()).mc_handle).write_volatile(token) };
    }

    /// Names the only driver that may take the device from now on.
    pub(crate) fn set_driver_override(&self, name: &CStr) -> Result {
        // SAFETY: Valid device and string; the string is copied.
        to_result(unsafe { ext::vfm_device_set_driver_override(self.as_dev(), name.as_char_ptr()) })
    }

    /// Whether a driver is named that alone may take the device.
    pub(crate) fn has_driver_override(&self) -> bool {
        // SAFETY: A valid device, whose lock the call takes.
        unsafe { ext::vfm_device_has_driver_override(self.as_dev()) }
    }

    /// Binds the device to the driver that has the container `around` it, or tells why that does
    /// not take it: the search for a driver, by which devices are bound otherwise, does not.
    /// `EBUSY` where a driver has it. Called from the container's own probe or work, for which
    /// its unbinding waits.
    pub(crate) fn bind_with(&self, around: &Device) -> Result {
        // SAFETY: The container is valid, and its driver does not change: the core has set it
        // before the probe, and takes it away after the unbinding, which waits for this.
        let driver = unsafe { (*around.as_dev()).driver };
        if driver.is_null() {
            return Err(ENODEV);
        }
        // SAFETY: Both are valid: a driver is registered while it has a device, and this device
        // has been added to its bus.
        to_result(unsafe { bindings::device_driver_attach(driver, self.as_dev()) })
    }

    /// Whether a driver has the device, and it is not the one of that name. For use where the
    /// bus tells of a driver: otherwise it may change at any time.
    pub(crate) fn has_other_driver(&self, name: &CStr) -> bool {
        // SAFETY: The device is valid, and its driver is while the bus tells of it.
        let driver = unsafe { (*self.as_dev()).driver };
        if driver.is_null() {
            return false;
        }
        // SAFETY: A driver has a name.
        unsafe { CStr::from_char_ptr((*driver).name) != name }
    }

    /// A number that tells one IOMMU domain from another; none without an IOMMU.
    ///
    /// The call is not meant for drivers that leave DMA to others, because the domain can go at any
    /// moment: it is the number that counts here.
    pub(crate) fn iommu_domain(&self) -> Option<usize> {
        // SAFETY: The device is valid, and has its IOMMU group for as long as it is on the bus. The
        // call takes no lock; what it returns is compared only, never looked into.
        let domain = unsafe { bindings::iommu_get_domain_for_dev(self.as_dev()) };
        (!domain.is_null()).then(|| domain.addr())
    }
}

impl Device {
    /// # Safety
    ///
    /// `dev` is embedded in a valid `struct fsl_mc_device` that lives as long as the reference.
    pub(super) unsafe fn from_dev<'a>(dev: *mut bindings::device) -> &'a Self {
        const_assert!(
            offset_of!(ext::fsl_mc_device, dev) == 0,
            "dev comes first in struct fsl_mc_device"
        );
        // SAFETY: By the requirement, and as `dev` is the first field.
        unsafe { &*dev.cast() }
    }
}

/// A container that this driver has opened in the MC: it has a portal, a token and an
/// interrupt domain. Dropping it closes it.
///
/// # Invariants
///
/// `dprc_setup` has succeeded for the device, which is a container.
pub(crate) struct OpenContainer(ARef<Device>);

impl OpenContainer {
    /// Opens the container through its own portal.
    pub(crate) fn new(device: &Device) -> Result<Self> {
        // SAFETY: A valid device; the call looks itself whether it is a container.
        to_result(unsafe { ext::dprc_setup(device.as_raw()) })?;
        if device.container().is_some() {
            // SAFETY: `dprc_setup` has made the portal's structure, which nobody uses yet. The
            // root container's is older, and its maker's.
            unsafe { ext::vfm_mc_io_may_sleep((*device.as_raw()).mc_io) };
        }
        // INVARIANT: Just opened.
        Ok(Self(device.into()))
    }

    /// What commands to this container carry to say which one is meant.
    pub(crate) fn token(&self) -> u16 {
        // SAFETY: Written by `dprc_setup`, and after it by `Device::set_token` only.
        unsafe { (&raw const (*self.0.as_raw()).mc_handle).read_volatile() }
    }

    /// The physical address of the container's own portal.
    pub(crate) fn portal_address(&self) -> u64 {
        // SAFETY: `dprc_setup` has made the structure, and only `dprc_cleanup` takes it away.
        unsafe { (*(*self.0.as_raw()).mc_io).portal_phys_addr }
    }

    /// Looks for the objects of the container and adds a device for each. The bus uses the
    /// container's portal.
    pub(crate) fn scan(&self) -> Result {
        // SAFETY: The container is open.
        to_result(unsafe { ext::dprc_scan_container(self.0.as_raw(), false) })
    }

    /// Adds a device for an object that the container has. The bus uses the portal.
    ///
    /// `EEXIST` while the bus still has a device of that name: an object that was moved from
    /// another container is there until that one has been scanned.
    pub(crate) fn add(&self, object: &Object) -> Result<Added> {
        let name = name_of(object)?;
        // The bus would refuse it, too, and print a backtrace.
        // SAFETY: Valid bus and string.
        if unsafe { ext::vfm_bus_has_device(bus_type(), name.as_char_ptr()) } {
            return Err(EEXIST);
        }
        let mut desc = descriptor_of(object);
        let mut new = core::ptr::null_mut();
        // SAFETY: All pointers are valid; the parent is an open container.
        to_result(unsafe {
            ext::fsl_mc_device_add(&mut desc, core::ptr::null_mut(), self.0.as_dev(), &mut new)
        })?;
        // SAFETY: On success `new` is a device on the bus, which this driver alone removes.
        let device = unsafe { &*new.cast::<Device>() };
        // INVARIANT: Just added.
        Ok(Added::new(device.into()))
    }

    /// The devices that [`OpenContainer::scan`] has added. To be called once after it.
    pub(crate) fn added(&self) -> Result<KVec<Added>> {
        let mut all = KVec::new();
        let mut result = Ok(());
        self.for_each(|device| {
            // INVARIANT: The scan has added it.
            if let Err(e) = all.push(Added::new(device.into()), GFP_KERNEL) {
                result = Err(e);
            }
        });
        result?;
        Ok(all)
    }

    /// Calls `f` for each object that has a device.
    fn for_each<F: FnMut(&Device)>(&self, mut f: F) {
        extern "C" fn visit<F: FnMut(&Device)>(
            dev: *mut bindings::device,
            data: *mut c_void,
        ) -> c_int {
            // SAFETY: `for_each` passes its closure, which nobody else uses meanwhile.
            let f = unsafe { &mut *data.cast::<F>() };
            // SAFETY: `dev` is valid; its bus is looked at before it is taken for one of ours.
            if unsafe { (*dev).bus } == bus_type() {
                // SAFETY: As above.
                f(unsafe { Device::from_dev(dev) });
            }
            0
        }
        // SAFETY: `visit` fits the data that it is given.
        unsafe {
            bindings::device_for_each_child(self.0.as_dev(), (&raw mut f).cast(), Some(visit::<F>))
        };
    }

    /// Forgets the container without a word to the Management Complex: its portal has a command
    /// in flight, or is somebody else's.
    pub(crate) fn abandon(self) {
        if self.0.container().is_none() {
            // The root container's portal is the bus's own, and can only be closed by it.
            return drop(self);
        }
        let this = ManuallyDrop::new(self);
        // SAFETY: Opened by the type invariant, and not used any more.
        unsafe { ext::vfm_dprc_abandon(this.0.as_raw()) };
        // SAFETY: Not used any more.
        drop(unsafe { core::ptr::read(&this.0) });
    }
}

/// A device that this driver has the bus make for an object. Dropping it removes it, and waits
/// for its driver.
///
/// # Invariants
///
/// The device was added for this driver, which removes it by this value only; it is on the bus
/// until `is_removed`.
pub(crate) struct Added {
    device: ARef<Device>,
    is_removed: Atomic<bool>,
}

impl Added {
    fn new(device: ARef<Device>) -> Self {
        Self {
            device,
            is_removed: Atomic::new(false),
        }
    }

    /// Removes the device, and waits for its driver.
    pub(crate) fn remove(&self) {
        if !self.is_removed.xchg(true, Relaxed) {
            // SAFETY: On the bus by the type invariant; our reference outlives the bus's.
            unsafe { ext::fsl_mc_device_remove(self.device.as_raw()) };
        }
    }
}

impl Deref for Added {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.device
    }
}

impl Drop for Added {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Drop for OpenContainer {
    fn drop(&mut self) {
        // SAFETY: Opened by the type invariant. What fails is told by the call itself.
        unsafe { ext::dprc_cleanup(self.0.as_raw()) };
    }
}

/// The name of an object's device.
fn name_of(object: &Object) -> Result<CString> {
    let kind = object.kind.split(|c| *c == 0).next().unwrap_or(&[]);
    let kind = core::str::from_utf8(kind).map_err(|_| EINVAL)?;
    CString::try_from_fmt(fmt!("{kind}.{}", object.id))
}

fn descriptor_of(object: &Object) -> ext::fsl_mc_obj_desc {
    ext::fsl_mc_obj_desc {
        type_: object.kind,
        id: object.id,
        vendor: object.vendor,
        ver_major: object.version_major,
        ver_minor: object.version_minor,
        irq_count: object.irq_count,
        region_count: object.region_count,
        state: object.state,
        label: object.label,
        flags: object.flags,
    }
}

/// The bus type, for comparison and registration.
pub(super) fn bus_type() -> *const bindings::bus_type {
    &raw const ext::fsl_mc_bus_type
}

/// A driver of objects on the bus. Its devices are those whose driver override names it.
pub(crate) trait Driver {
    /// What the driver keeps for a device.
    type Data<'bound>: Send + 'bound;

    /// Whether the driver leaves DMA to somebody else, as VFIO drivers do.
    const MANAGED_DMA: bool;

    /// Takes a device.
    fn probe<'bound>(
        device: &'bound Device<device::Core<'_>>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound;

    /// Lets go of a device. `data` is dropped afterwards.
    fn unbind<'bound>(device: &'bound Device<device::Core<'_>>, data: Pin<&Self::Data<'bound>>);
}

/// Adapts a [`Driver`] to [`driver::Registration`].
pub(crate) struct Adapter<T: Driver>(PhantomData<T>);

// SAFETY: `fsl_mc_driver` is a C type that embeds a `struct device_driver` at that offset, and
// `T::Data` is what `probe_callback` stores.
unsafe impl<T: Driver> driver::DriverLayout for Adapter<T> {
    type DriverType = ext::fsl_mc_driver;
    type DriverData<'bound> = T::Data<'bound>;
    const DEVICE_DRIVER_OFFSET: usize = offset_of!(Self::DriverType, driver);
}

// SAFETY: `unregister` may be called for what `register` has registered.
unsafe impl<T: Driver> driver::RegistrationOps for Adapter<T> {
    unsafe fn register(
        drv: &Opaque<Self::DriverType>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        // SAFETY: The fields may be set before registration.
        unsafe {
            (*drv.get()).driver.name = name.as_char_ptr();
            (*drv.get()).probe = Some(Self::probe_callback);
            (*drv.get()).remove = Some(Self::remove_callback);
            (*drv.get()).driver_managed_dma = T::MANAGED_DMA;
        }
        // SAFETY: `drv` is valid and stays where it is until `unregister`.
        to_result(unsafe { ext::__fsl_mc_driver_register(drv.get(), module.as_ptr()) })
    }

    unsafe fn unregister(drv: &Opaque<Self::DriverType>) {
        // SAFETY: Registered by the caller's promise.
        unsafe { ext::fsl_mc_driver_unregister(drv.get()) }
    }
}

impl<T: Driver> Adapter<T> {
    extern "C" fn probe_callback(device: *mut ext::fsl_mc_device) -> c_int {
        // SAFETY: The bus calls this with a valid device of its own.
        //
        // INVARIANT: `device` is valid for the call.
        let device = unsafe { &*device.cast::<Device<device::CoreInternal<'_>>>() };
        from_result(|| {
            let data = T::probe(device);
            device.as_ref().set_drvdata(data)?;
            Ok(0)
        })
    }

    extern "C" fn remove_callback(device: *mut ext::fsl_mc_device) {
        // SAFETY: As in `probe_callback`.
        //
        // INVARIANT: `device` is valid for the call.
        let device = unsafe { &*device.cast::<Device<device::CoreInternal<'_>>>() };
        // SAFETY: The bus calls this after `probe_callback` has succeeded and stored the data.
        let data = unsafe { device.as_ref().drvdata_borrow::<T::Data<'_>>() };
        T::unbind(device, data);
    }
}
