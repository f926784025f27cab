// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! VFIO devices: what user space opens to drive a device itself.
//!
//! C header: `include/linux/vfio.h`

use super::{
    bindings as ext,
    user, //
};
use crate::logic::{
    irq_set::IrqSet,
    region::{
        MapRequest,
        Mapping,
        MemoryKind, //
    },
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem::{
        offset_of,
        size_of,
        MaybeUninit, //
    },
    ptr::NonNull, //
};
use kernel::{
    bindings,
    device,
    error::{
        from_err_ptr,
        from_result,
        to_result, //
    },
    mm::virt::{
        flags,
        VmaNew, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::Opaque,
    uaccess::UserPtr, //
};

/// The answer to `VFIO_DEVICE_GET_INFO`.
pub(crate) struct DeviceInfo {
    pub(crate) flags: u32,
    pub(crate) regions: u32,
    pub(crate) irqs: u32,
}

/// The answer to `VFIO_DEVICE_GET_REGION_INFO`.
#[derive(Clone, Copy)]
pub(crate) struct RegionInfo {
    pub(crate) flags: u32,
    pub(crate) size: u64,
    pub(crate) offset: u64,
}

/// The answer to `VFIO_DEVICE_GET_IRQ_INFO`.
pub(crate) struct IrqInfo {
    pub(crate) flags: u32,
    pub(crate) count: u32,
}

/// What a driver does for the holder of its device.
///
/// Opening and closing are serialised, for all devices of a set together. Everything else but
/// [`Operations::request`] happens between an opening and a closing, at any time and in any
/// number of threads.
pub(crate) trait Operations: Sized + Send + Sync + 'static {
    /// The driver's name.
    const NAME: &'static CStr;

    /// What the driver keeps from an opening to the closing.
    type Opened: Send + Sync + 'static;

    /// The first file descriptor is about to be given out. `has_address_space`: the device's
    /// IOMMU domain is the holder's now, and stays so until the device is closed. Otherwise it
    /// may become the holder's later, and cease to be.
    fn open(&self, has_address_space: bool) -> Result<Self::Opened>;

    /// The last file descriptor and the last mapping have gone.
    fn close(&self, opened: Self::Opened);

    fn info(&self) -> DeviceInfo;

    fn region_info(&self, index: u32) -> Result<RegionInfo>;

    fn irq_info(&self, index: u32) -> Result<IrqInfo>;

    /// `data` is where what follows the header is.
    fn set_irqs(&self, set: &IrqSet, data: UserPtr, space: &AddressSpace<'_>) -> Result;

    fn reset(&self) -> Result;

    /// Answers a call that is the driver's own. `ENOTTY` for one that it does not have.
    fn ioctl(&self, opened: &Self::Opened, cmd: u32, arg: UserPtr) -> Result;

    /// Reads `count` bytes at a position.
    fn read(
        &self,
        opened: &Self::Opened,
        buffer: UserPtr,
        count: usize,
        position: u64,
    ) -> Result<usize>;

    /// Writes `count` bytes at a position.
    fn write(
        &self,
        opened: &Self::Opened,
        buffer: UserPtr,
        count: usize,
        position: u64,
    ) -> Result<usize>;

    /// Says what a mapping shows. `for_guest`: a virtual machine will see it, too.
    fn map(&self, opened: &Self::Opened, request: &MapRequest, for_guest: bool) -> Result<Mapping>;

    /// Somebody waits for the device to be closed; called every few seconds, with how often it
    /// was called before.
    fn request(&self, count: u32);
}

/// A VFIO device, with what the driver keeps for it.
///
/// # Invariants
///
/// - `data` is initialised if `has_data`, which is written before registration only.
/// - `opened` is initialised while the device is open; only its opening and its closing, which
///   the core serialises and between which all other uses of it come, write it.
#[repr(C)]
struct Device<T: Operations> {
    vdev: Opaque<ext::vfio_device>,
    has_data: UnsafeCell<bool>,
    data: UnsafeCell<MaybeUninit<T>>,
    opened: UnsafeCell<MaybeUninit<T::Opened>>,
}

impl<T: Operations> Device<T> {
    const OPERATIONS: ext::vfio_device_ops = ext::vfio_device_ops {
        name: T::NAME.to_bytes_with_nul().as_ptr().cast_mut(),
        release: Some(Self::release_callback),
        #[cfg(CONFIG_IOMMUFD)]
        bind_iommufd: Some(ext::vfio_iommufd_physical_bind),
        #[cfg(CONFIG_IOMMUFD)]
        unbind_iommufd: Some(ext::vfio_iommufd_physical_unbind),
        #[cfg(CONFIG_IOMMUFD)]
        attach_ioas: Some(ext::vfio_iommufd_physical_attach_ioas),
        #[cfg(CONFIG_IOMMUFD)]
        detach_ioas: Some(ext::vfio_iommufd_physical_detach_ioas),
        open_device: Some(Self::open_callback),
        close_device: Some(Self::close_callback),
        ioctl: Some(Self::ioctl_callback),
        get_region_info_caps: Some(Self::region_info_callback),
        read: Some(Self::read_callback),
        write: Some(Self::write_callback),
        mmap: Some(Self::mmap_callback),
        request: Some(Self::request_callback),
        ..pin_init::zeroed()
    };

    /// The driver's part of a device.
    ///
    /// # Safety
    ///
    /// `vdev` is a device of this driver whose data is initialised, and stays so for `'a`.
    unsafe fn data<'a>(vdev: *mut ext::vfio_device) -> &'a T {
        // CAST: `vdev` is the first field of `Device`.
        let this = vdev.cast::<Self>();
        // SAFETY: By the requirement; nobody has a mutable reference before `release`.
        unsafe { (*(*this).data.get()).assume_init_ref() }
    }

    /// What is kept while the device is open.
    ///
    /// # Safety
    ///
    /// `vdev` is a device of this driver that is open, and stays so for `'a`.
    unsafe fn opened<'a>(vdev: *mut ext::vfio_device) -> &'a T::Opened {
        // CAST: `vdev` is the first field of `Device`.
        let this = vdev.cast::<Self>();
        // SAFETY: By the requirement and the type invariant.
        unsafe { (*(*this).opened.get()).assume_init_ref() }
    }

    extern "C" fn release_callback(vdev: *mut ext::vfio_device) {
        let this = vdev.cast::<Self>();
        // SAFETY: The core calls this once, when the last reference has gone.
        unsafe {
            if *(*this).has_data.get() {
                (*(*this).data.get()).assume_init_drop();
            }
        }
    }

    extern "C" fn open_callback(vdev: *mut ext::vfio_device) -> c_int {
        // SAFETY: The core calls this for a registered device, whose data is initialised.
        let data = unsafe { Self::data(vdev) };
        // SAFETY: As above; the core holds the device set's lock.
        let has_address_space = unsafe { ext::vfm_vfio_has_address_space(vdev) };
        from_result(|| {
            let opened = data.open(has_address_space)?;
            // CAST: `vdev` is the first field of `Device`.
            let this = vdev.cast::<Self>();
            // SAFETY: The device is not open yet, so that nobody else looks. INVARIANT: It is
            // open when this callback succeeds.
            unsafe { (*(*this).opened.get()).write(opened) };
            Ok(0)
        })
    }

    extern "C" fn close_callback(vdev: *mut ext::vfio_device) {
        // SAFETY: As in `open_callback`.
        let data = unsafe { Self::data(vdev) };
        // CAST: `vdev` is the first field of `Device`.
        let this = vdev.cast::<Self>();
        // SAFETY: Initialised since the device was opened. INVARIANT: The core calls this once
        // for each opening, after all other uses; the device is not open afterwards.
        let opened = unsafe { (*(*this).opened.get()).assume_init_read() };
        data.close(opened);
    }

    extern "C" fn ioctl_callback(vdev: *mut ext::vfio_device, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: As in `read_callback`.
        let (data, opened) = unsafe { (Self::data(vdev), Self::opened(vdev)) };
        // INVARIANT: The core calls this for a device that is open, and stays so meanwhile.
        let space = AddressSpace(vdev, PhantomData);
        match ioctl(data, opened, cmd, UserPtr::from_addr(arg), &space) {
            Ok(()) => 0,
            Err(e) => e.to_errno() as c_long,
        }
    }

    extern "C" fn region_info_callback(
        vdev: *mut ext::vfio_device,
        info: *mut ext::vfio_region_info,
        _caps: *mut ext::vfio_info_cap,
    ) -> c_int {
        // SAFETY: As in `open_callback`.
        let data = unsafe { Self::data(vdev) };
        // SAFETY: The core passes a structure of its own, which it has read from the user.
        let info = unsafe { &mut *info };
        from_result(|| {
            let region = data.region_info(info.index)?;
            info.flags = region.flags;
            info.size = region.size;
            info.offset = region.offset;
            Ok(0)
        })
    }

    extern "C" fn read_callback(
        vdev: *mut ext::vfio_device,
        buf: *mut c_char,
        count: usize,
        ppos: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: As in `open_callback`. The core calls this for a device that is open, and stays
        // so meanwhile.
        let (data, opened) = unsafe { (Self::data(vdev), Self::opened(vdev)) };
        // SAFETY: The core passes a valid position.
        let position = unsafe { *ppos } as u64;
        let buffer = UserPtr::from_ptr(buf.cast());
        to_size(data.read(opened, buffer, count, position))
    }

    extern "C" fn write_callback(
        vdev: *mut ext::vfio_device,
        buf: *const c_char,
        count: usize,
        ppos: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: As in `read_callback`.
        let (data, opened) = unsafe { (Self::data(vdev), Self::opened(vdev)) };
        // SAFETY: The core passes a valid position.
        let position = unsafe { *ppos } as u64;
        let buffer = UserPtr::from_ptr(buf.cast_mut().cast());
        to_size(data.write(opened, buffer, count, position))
    }

    extern "C" fn mmap_callback(
        vdev: *mut ext::vfio_device,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        // SAFETY: As in `read_callback`.
        let (data, opened) = unsafe { (Self::data(vdev), Self::opened(vdev)) };
        // SAFETY: The core calls this from the file's mmap operation.
        let area = unsafe { VmaNew::from_raw(vma) };
        // SAFETY: Set before the device is opened, and kept until it is closed.
        let for_guest = unsafe { !(*vdev).kvm.is_null() };
        // SAFETY: The area is being set up; nobody else looks at it.
        let page_offset = unsafe { (*vma).vm_pgoff };
        from_result(|| {
            let mapping = data.map(opened, &request_of(area, page_offset), for_guest)?;
            if mapping.forbid_write {
                area.try_clear_maywrite()?;
            }
            // SAFETY: As above. That the range may be shown is the driver's decision.
            to_result(unsafe {
                ext::vfm_map_io(
                    vma,
                    mapping.physical,
                    mapping.length as usize,
                    memory_type(mapping.memory),
                )
            })?;
            Ok(0)
        })
    }

    extern "C" fn request_callback(vdev: *mut ext::vfio_device, count: c_uint) {
        // SAFETY: The core calls this while it unregisters the device.
        unsafe { Self::data(vdev) }.request(count);
    }
}

fn request_of(area: &VmaNew, page_offset: usize) -> MapRequest {
    let has = |flag| area.flags() & flag != 0;
    MapRequest {
        page_offset: page_offset as u64,
        start: area.start() as u64,
        end: area.end() as u64,
        shared: has(flags::SHARED),
        read: has(flags::READ),
        write: has(flags::WRITE),
    }
}

fn memory_type(kind: MemoryKind) -> ext::vfm_memory {
    match kind {
        MemoryKind::Device => ext::vfm_memory_VFM_MEMORY_DEVICE,
        MemoryKind::Cached => ext::vfm_memory_VFM_MEMORY_CACHED,
        MemoryKind::WriteCombined => ext::vfm_memory_VFM_MEMORY_WRITE_COMBINED,
    }
}

/// An index that is below `length`, for which the processor does not speculate otherwise.
pub(crate) fn bound_index(index: usize, length: usize) -> usize {
    // SAFETY: Computes with numbers.
    unsafe { ext::vfm_index_nospec(index, length) }
}

/// Whether KVM on this machine takes cacheable mappings of device memory.
pub(crate) fn guests_map_cacheable() -> bool {
    // SAFETY: Looks at features of the machine that do not change.
    unsafe { ext::vfm_kvm_maps_cacheable() }
}

fn to_size(result: Result<usize>) -> isize {
    match result {
        Ok(count) => count as isize,
        Err(e) => e.to_errno() as isize,
    }
}

/// The IOMMU domain that the holder of a device may have given to it.
///
/// # Invariants
///
/// The pointer is to a device that is open for as long as the value lives.
pub(crate) struct AddressSpace<'a>(*mut ext::vfio_device, PhantomData<&'a ()>);

impl AddressSpace<'_> {
    /// Keeps it as it is until the result is dropped; `None` if there is none. Not to be asked for
    /// a second time meanwhile, nor with a lock held that closing takes.
    pub(crate) fn hold(&self) -> Option<HeldAddressSpace<'_>> {
        // SAFETY: The device is open, by the invariant.
        let held = unsafe { ext::vfm_vfio_hold_address_space(self.0) };
        held.then(|| HeldAddressSpace(self))
    }
}

/// An [`AddressSpace`] that is kept.
#[must_use]
pub(crate) struct HeldAddressSpace<'a>(&'a AddressSpace<'a>);

impl Drop for HeldAddressSpace<'_> {
    fn drop(&mut self) {
        let Self(AddressSpace(vdev, _)) = self;
        // SAFETY: The device is open, by the invariant, and its address space was held by this
        // task: the value has a raw pointer and is not `Send`.
        unsafe { ext::vfm_vfio_release_address_space(*vdev) };
    }
}

fn ioctl<T: Operations>(
    data: &T,
    opened: &T::Opened,
    cmd: u32,
    arg: UserPtr,
    space: &AddressSpace<'_>,
) -> Result {
    match cmd {
        ext::VFIO_DEVICE_GET_INFO => {
            const_assert!(offset_of!(ext::vfio_device_info, cap_offset) == SIZE);
            exchange(arg, |words| {
                let info = data.info();
                [words[1], words[2], words[3]] = [info.flags, info.regions, info.irqs];
                Ok(())
            })
        }
        ext::VFIO_DEVICE_GET_IRQ_INFO => {
            const_assert!(size_of::<ext::vfio_irq_info>() == SIZE);
            exchange(arg, |words| {
                let info = data.irq_info(words[2])?;
                [words[1], words[3]] = [info.flags, info.count];
                Ok(())
            })
        }
        ext::VFIO_DEVICE_SET_IRQS => {
            const_assert!(offset_of!(ext::vfio_irq_set, data) == SIZE + size_of::<u32>());
            let [argsz, flags, index, start] = user::read_4_u32(arg)?;
            let set = IrqSet {
                argsz,
                flags,
                index,
                start,
                count: user::read_u32(arg.wrapping_byte_add(SIZE))?,
            };
            let rest = arg.wrapping_byte_add(offset_of!(ext::vfio_irq_set, data));
            data.set_irqs(&set, rest, space)
        }
        ext::VFIO_DEVICE_RESET => data.reset(),
        _ => data.ioctl(opened, cmd, arg),
    }
}

/// Bytes of the structures that are exchanged, four 32-bit fields each.
const SIZE: usize = 16;

/// Reads a structure whose first field says how much of it the user knows, lets `fill` change
/// it, and writes it back.
fn exchange(arg: UserPtr, fill: impl FnOnce(&mut [u32; 4]) -> Result) -> Result {
    let mut words = user::read_4_u32(arg)?;
    if (words[0] as usize) < SIZE {
        return Err(EINVAL);
    }
    fill(&mut words)?;
    user::write_4_u32(arg, &words)
}

/// A VFIO device that user space can open. Dropping it waits until nobody has it open.
///
/// # Invariants
///
/// `device` is valid and one reference to it is ours; it is registered if `registered`.
pub(crate) struct Registration<T: Operations> {
    device: NonNull<Device<T>>,
    registered: Atomic<bool>,
    _data: PhantomData<T>,
}

// SAFETY: A device may be unregistered and released from any thread.
unsafe impl<T: Operations> Send for Registration<T> {}
// SAFETY: `unregister` can be called by several threads: one of them does it.
unsafe impl<T: Operations> Sync for Registration<T> {}

impl<T: Operations> Registration<T> {
    /// Registers a device for `parent`. Devices with the same `set` are opened, closed and
    /// reset together, one at a time.
    pub(crate) fn new(
        parent: &device::Device<device::Bound>,
        set: &device::Device,
        data: impl PinInit<T, Error>,
    ) -> Result<Self> {
        const_assert!(
            offset_of!(Device<T>, vdev) == 0,
            "struct vfio_device comes first"
        );
        // CAST: `device::Device` is a transparent wrapper of the C structure.
        let parent = core::ptr::from_ref(parent).cast_mut().cast();
        // SAFETY: The size covers `Device<T>`, which starts with the C structure; the memory
        // comes zeroed; the operations are static.
        let vdev = from_err_ptr(unsafe {
            ext::_vfio_alloc_device(size_of::<Device<T>>(), parent, &Device::<T>::OPERATIONS)
        })?;
        let device = NonNull::new(vdev.cast::<Device<T>>()).ok_or(ENOMEM)?;
        // INVARIANT: The allocation gave us a reference.
        let this = Self {
            device,
            registered: Atomic::new(false),
            _data: PhantomData,
        };
        // SAFETY: Nobody else knows of the device yet, and it never moves. INVARIANT: `has_data`
        // is set when the data is there.
        unsafe {
            pin_init::raw_try_init((*device.as_ref().data.get()).as_mut_ptr(), data)?;
            *device.as_ref().has_data.get() = true;
        }
        // SAFETY: Before registration; the pointer serves as a number.
        to_result(unsafe {
            ext::vfio_assign_device_set(vdev, core::ptr::from_ref(set).cast_mut().cast())
        })?;
        // SAFETY: All of the device is initialised.
        to_result(unsafe { ext::vfio_register_group_dev(vdev) })?;
        // INVARIANT: Just registered.
        this.registered.store(true, Relaxed);
        Ok(this)
    }

    /// Waits until nobody has the device open, after which nobody can open it.
    pub(crate) fn unregister(&self) {
        if self.registered.xchg(false, Relaxed) {
            // SAFETY: Registered by the type invariant, and unregistered only here.
            unsafe { ext::vfio_unregister_group_dev(self.device.as_ptr().cast()) };
        }
    }
}

impl<T: Operations> Drop for Registration<T> {
    fn drop(&mut self) {
        self.unregister();
        // SAFETY: Gives back the reference of the type invariant.
        unsafe { ext::vfm_vfio_put_device(self.device.as_ptr().cast()) };
    }
}
