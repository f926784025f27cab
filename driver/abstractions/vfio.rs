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
        size_of, //
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
        VmaNew,
        VmaRef, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
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

    /// The last file descriptor and the last mapping have gone. With `is_revoked` the device was
    /// not the holder's to the end.
    fn close(&self, opened: Self::Opened, is_revoked: bool);

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

    /// The device is not the holder's any more, who may use it still: calls are refused from now
    /// on, and mappings have ended. What the driver does for the holder of itself is to end, too.
    fn revoked(&self, opened: &Self::Opened);

    /// Somebody waits for the device to be closed; called every ten seconds, with how often it
    /// was called before.
    fn request(&self, count: u32);
}

/// A VFIO device, with what the driver keeps for it.
///
/// # Invariants
///
/// `rest` is there from before the registration to the release.
#[repr(C)]
struct Device<T: Operations> {
    vdev: Opaque<ext::vfio_device>,
    rest: Option<Pin<KBox<Rest<T>>>>,
}

/// What the driver keeps.
#[pin_data]
struct Rest<T: Operations> {
    #[pin]
    data: T,
    /// # Invariants
    ///
    /// Written by the opening and the closing only, which the core serialises, and between
    /// which all other uses of it come.
    opened: UnsafeCell<Option<T::Opened>>,
    is_revoked: Atomic<bool>,
    /// It is about to be unregistered: who does not have it open cannot open it any more.
    is_ending: Atomic<bool>,
    /// Held while pages are mapped.
    #[pin]
    pages: Mutex<()>,
}

impl<T: Operations> Rest<T> {
    fn new(data: impl PinInit<T, Error>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            data <- data,
            opened: UnsafeCell::new(None),
            is_revoked: Atomic::new(false),
            is_ending: Atomic::new(false),
            pages <- new_mutex!((), "vfio::Rest::pages"),
        })
    }

    /// Refuses what comes when the device is its holder's no longer.
    #[inline]
    fn check_live(&self) -> Result {
        if self.is_revoked.load(Relaxed) {
            Err(ENODEV)
        } else {
            Ok(())
        }
    }

    /// What is kept while the device is open.
    ///
    /// # Safety
    ///
    /// The device is open, and stays so as long as the reference lives.
    #[inline]
    unsafe fn opened(&self) -> Result<&T::Opened> {
        self.check_live()?;
        // SAFETY: By the requirement and the invariant, nobody writes it meanwhile.
        unsafe { (*self.opened.get()).as_ref() }.ok_or(ENODEV)
    }
}

impl<T: Operations> Device<T> {
    const OPERATIONS: &'static ext::vfio_device_ops = &ext::vfio_device_ops {
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
        match_: Some(Self::match_callback),
        ..pin_init::zeroed()
    };

    const VM_OPERATIONS: &'static bindings::vm_operations_struct =
        &bindings::vm_operations_struct {
            fault: Some(Self::fault_callback),
            ..pin_init::zeroed()
        };

    /// The driver's part of a device.
    ///
    /// # Safety
    ///
    /// `vdev` is a device of this driver whose registration was begun, and stays valid for `'a`.
    #[inline]
    unsafe fn rest<'a>(vdev: *mut ext::vfio_device) -> &'a Rest<T> {
        // CAST: `vdev` is the first field of `Device`.
        let this = vdev.cast::<Self>();
        // SAFETY: By the requirement and the type invariant.
        unsafe { (*this).rest.as_deref().unwrap_unchecked() }
    }

    extern "C" fn release_callback(vdev: *mut ext::vfio_device) {
        let this = vdev.cast::<Self>();
        // SAFETY: The core calls this once, when the last reference has gone.
        drop(unsafe { (*this).rest.take() });
    }

    extern "C" fn open_callback(vdev: *mut ext::vfio_device) -> c_int {
        // SAFETY: The core calls this for a registered device.
        let rest = unsafe { Self::rest(vdev) };
        // SAFETY: As above; the core holds the device set's lock.
        let has_address_space = unsafe { ext::vfm_vfio_has_address_space(vdev) };
        from_result(|| {
            rest.check_live()?;
            // Set before somebody looked, with the set's lock held, who has it open.
            if rest.is_ending.load(Relaxed) {
                return Err(ENODEV);
            }
            let opened = rest.data.open(has_address_space)?;
            // SAFETY: The device is not open yet, so that nobody else looks. INVARIANT: This is
            // its opening.
            unsafe { *rest.opened.get() = Some(opened) };
            Ok(0)
        })
    }

    extern "C" fn close_callback(vdev: *mut ext::vfio_device) {
        // SAFETY: As in `open_callback`.
        let rest = unsafe { Self::rest(vdev) };
        // SAFETY: The core calls this once for each opening, after all other uses. INVARIANT:
        // This is the device's closing.
        if let Some(opened) = unsafe { (*rest.opened.get()).take() } {
            let is_revoked = rest.is_revoked.load(Relaxed);
            rest.data.close(opened, is_revoked);
        }
    }

    extern "C" fn ioctl_callback(vdev: *mut ext::vfio_device, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: As in `open_callback`.
        let rest = unsafe { Self::rest(vdev) };
        // SAFETY: The core calls this for a device that is open, and stays so meanwhile.
        let opened = unsafe { rest.opened() };
        // INVARIANT: As above.
        let space = AddressSpace(vdev, PhantomData);
        let arg = UserPtr::from_addr(arg);
        match opened.and_then(|opened| ioctl(&rest.data, opened, cmd, arg, &space)) {
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
        let rest = unsafe { Self::rest(vdev) };
        // SAFETY: The core passes a structure of its own, which it has read from the user.
        let info = unsafe { &mut *info };
        from_result(|| {
            rest.check_live()?;
            let region = rest.data.region_info(info.index)?;
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
        // SAFETY: As in `open_callback`.
        let rest = unsafe { Self::rest(vdev) };
        // SAFETY: As in `ioctl_callback`.
        let opened = unsafe { rest.opened() };
        // SAFETY: The core passes a valid position.
        let position = unsafe { *ppos } as u64;
        let buffer = UserPtr::from_ptr(buf.cast());
        to_size(opened.and_then(|opened| rest.data.read(opened, buffer, count, position)))
    }

    extern "C" fn write_callback(
        vdev: *mut ext::vfio_device,
        buf: *const c_char,
        count: usize,
        ppos: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: As in `open_callback`.
        let rest = unsafe { Self::rest(vdev) };
        // SAFETY: As in `ioctl_callback`.
        let opened = unsafe { rest.opened() };
        // SAFETY: The core passes a valid position.
        let position = unsafe { *ppos } as u64;
        let buffer = UserPtr::from_ptr(buf.cast_mut().cast());
        to_size(opened.and_then(|opened| rest.data.write(opened, buffer, count, position)))
    }

    /// Pages are mapped when they are used first: then the area is known to who takes all of them
    /// away from it.
    extern "C" fn mmap_callback(
        vdev: *mut ext::vfio_device,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        // SAFETY: As in `open_callback`.
        let rest = unsafe { Self::rest(vdev) };
        // SAFETY: As in `ioctl_callback`.
        let opened = unsafe { rest.opened() };
        // SAFETY: The core calls this from the file's mmap operation.
        let area = unsafe { VmaNew::from_raw(vma) };
        // SAFETY: Set before the device is opened, and kept until it is closed.
        let for_guest = unsafe { !(*vdev).kvm.is_null() };
        from_result(|| {
            let request = map_request(vma, area);
            let mapping = rest.data.map(opened?, &request, for_guest)?;
            if mapping.forbid_write {
                area.try_clear_maywrite()?;
            }
            // SAFETY: The area is being set up; nobody else looks at it. It keeps the file, and
            // so the device, open.
            unsafe {
                ext::vfm_vma_set_io(vma, memory_type(mapping.memory));
                (*vma).vm_ops = Self::VM_OPERATIONS;
                (*vma).vm_private_data = vdev.cast();
            }
            Ok(0)
        })
    }

    extern "C" fn fault_callback(fault: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: The kernel calls this for an area that `mmap_callback` has set up, and keeps it
        // as it is meanwhile.
        let vma = unsafe { ext::vfm_fault_vma(fault) };
        // SAFETY: As above.
        let area = unsafe { VmaRef::from_raw(vma) };
        // SAFETY: As above.
        let vdev = unsafe { (*vma).vm_private_data }.cast();
        // SAFETY: The area keeps the device open.
        let rest = unsafe { Self::rest(vdev) };
        let _pages = rest.pages.lock();
        // SAFETY: As above.
        let opened = unsafe { rest.opened() };
        match opened.and_then(|opened| rest.data.map(opened, &map_request(vma, area), false)) {
            // SAFETY: The area is one for pages without a structure, and the range is one that
            // the driver shows.
            Ok(mapping) => unsafe { ext::vfm_fault_map_io(fault, mapping.physical) },
            Err(_) => bindings::vm_fault_reason_VM_FAULT_SIGBUS,
        }
    }

    extern "C" fn request_callback(vdev: *mut ext::vfio_device, count: c_uint) {
        // SAFETY: The core calls this while it unregisters the device.
        unsafe { Self::rest(vdev) }.data.request(count);
    }

    /// Whether a group's user who asks for `name` means this device. One that ends is nobody's to
    /// open, not even its holder's once more.
    extern "C" fn match_callback(vdev: *mut ext::vfio_device, name: *mut c_char) -> c_int {
        // First, since each opening asks all devices of the group.
        // SAFETY: The core calls this for a registered device, with a string of its own that it
        // has read from the user.
        if !unsafe { ext::vfm_vfio_is_named(vdev, name) } {
            return false.into();
        }
        // SAFETY: As in `open_callback`.
        let rest = unsafe { Self::rest(vdev) };
        (rest.check_live().is_ok() && !rest.is_ending.load(Relaxed)).into()
    }
}

/// What an area of `vma` asks for.
fn map_request(vma: *mut bindings::vm_area_struct, area: &VmaRef) -> MapRequest {
    let has = |flag| area.flags() & flag != 0;
    MapRequest {
        // SAFETY: The reference says that the area is valid and does not change.
        page_offset: unsafe { (*vma).vm_pgoff } as u64,
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

/// How often the holder of a device that somebody waits for hears of it: milliseconds.
const REQUEST_AGAIN_MS: i64 = 10_000;
/// The longest pause between looks whether a device is closed: milliseconds.
const LONGEST_PAUSE_MS: i64 = 100;

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
// SAFETY: `unregister` can be called by several threads: one of them does it. The rest can be
// called in any number of threads.
unsafe impl<T: Operations> Sync for Registration<T> {}

impl<T: Operations> Registration<T> {
    /// Registers a device for `parent`. Devices with the same `set` are opened, closed and
    /// reset together, one at a time.
    pub(crate) fn new(
        parent: &device::Device<device::Bound>,
        set: &device::Device,
        data: impl PinInit<T, Error>,
    ) -> Result<Self> {
        let rest = KBox::pin_init(Rest::new(data), GFP_KERNEL)?;
        const_assert!(
            offset_of!(Device<T>, vdev) == 0,
            "struct vfio_device comes first"
        );
        // CAST: `device::Device` is a transparent wrapper of the C structure.
        let parent = core::ptr::from_ref(parent).cast_mut().cast();
        // SAFETY: The size covers `Device<T>`, which starts with the C structure; the memory
        // comes zeroed, which is `None` of an `Option` of a box (`ZeroableOption`); the operations
        // are static.
        let vdev = from_err_ptr(unsafe {
            ext::_vfio_alloc_device(size_of::<Device<T>>(), parent, Device::<T>::OPERATIONS)
        })?;
        let device = NonNull::new(vdev.cast::<Device<T>>()).ok_or(ENOMEM)?;
        // SAFETY: Nobody else knows of the device yet. INVARIANT: `rest` is there from now on.
        unsafe { (*device.as_ptr()).rest = Some(rest) };
        // INVARIANT: The allocation gave us a reference.
        let this = Self {
            device,
            registered: Atomic::new(false),
            _data: PhantomData,
        };
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

    /// Takes the device from its holder, if it has one, who keeps the file. Nobody can open it
    /// any more. Waits for an opening or a closing that is under way. Whether somebody has it
    /// open, whose closing is to come.
    pub(crate) fn revoke(&self) -> bool {
        self.revoke_and(|_| {})
    }

    /// The same for a device whose driver is about to go, whoever has it open: its holder's
    /// closing is none then.
    pub(crate) fn abandon(&self) -> bool {
        self.revoke_and(|vdev| {
            // SAFETY: The device is valid, and its set is locked.
            unsafe { ext::vfm_vfio_keep_open(vdev) }
        })
    }

    /// Takes the device from its holder. `if_open` is called with the set's lock held.
    fn revoke_and(&self, if_open: impl FnOnce(*mut ext::vfio_device)) -> bool {
        let vdev = self.device.as_ptr().cast();
        let rest = self.rest();
        let pages = rest.pages.lock();
        let was_revoked = rest.is_revoked.xchg(true, Relaxed);
        drop(pages);
        // Pages that were mapped before are in areas that are found; none is mapped after.
        // SAFETY: The device is valid by the type invariant.
        unsafe { ext::vfm_vfio_unmap(vdev) };
        // SAFETY: As above; the lock outlives the device.
        unsafe { ext::vfm_vfio_lock_set(vdev) };
        // SAFETY: With the lock held nobody opens the device or closes it.
        let opened = unsafe { (*rest.opened.get()).as_ref() };
        if let (Some(opened), false) = (opened, was_revoked) {
            rest.data.revoked(opened);
        }
        let is_open = opened.is_some();
        if is_open {
            if_open(vdev);
        }
        // SAFETY: Locked above.
        unsafe { ext::vfm_vfio_unlock_set(vdev) };
        is_open
    }

    /// Waits until nobody has the device open, after which nobody can open it. `false` where
    /// somebody has it open still, and `gives_up` says that it is not to be waited for: the
    /// core's own wait cannot be left.
    pub(crate) fn wait_until_closed(&self, gives_up: impl Fn() -> bool) -> bool {
        let rest = self.rest();
        rest.is_ending.store(true, Relaxed);
        let start = Instant::<Monotonic>::now();
        let (mut requests, mut pause_ms) = (0, 1);
        while self.is_open() {
            if gives_up() {
                return false;
            }
            if start.elapsed().as_millis() >= REQUEST_AGAIN_MS.saturating_mul(requests.into()) {
                rest.data.request(requests);
                requests = requests.saturating_add(1);
            }
            fsleep(Delta::from_millis(pause_ms));
            pause_ms = pause_ms.saturating_mul(2).min(LONGEST_PAUSE_MS);
        }
        true
    }

    /// Whether somebody has the device open. Waits for an opening or a closing that is under way.
    fn is_open(&self) -> bool {
        let vdev = self.device.as_ptr().cast();
        // SAFETY: The device is valid by the type invariant; the lock outlives it.
        unsafe { ext::vfm_vfio_lock_set(vdev) };
        // SAFETY: With the lock held nobody opens the device or closes it.
        let is_open = unsafe { (*self.rest().opened.get()).is_some() };
        // SAFETY: Locked above.
        unsafe { ext::vfm_vfio_unlock_set(vdev) };
        is_open
    }

    fn rest(&self) -> &Rest<T> {
        // SAFETY: The device is valid by the type invariant.
        unsafe { Device::<T>::rest(self.device.as_ptr().cast()) }
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
