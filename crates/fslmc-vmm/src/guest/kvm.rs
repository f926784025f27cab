// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The virtual machine: KVM's, with its interrupt controller, and what assigned
//! containers need of it.
#![allow(unsafe_code)]

use super::interrupts::Interrupts;
use crate::error::Error;
use crate::late::LateStores;
use crate::layout::{GIC_DISTRIBUTOR, GIC_REDISTRIBUTORS, INTERRUPTS, ITS};
use crate::routes::{Message, Refusal};
use crate::slots::{Hypervisor, Range, Slots};
use crate::streams::tell;
use dprc::MappedRegion;
use dprc_assign::{Delivery, Loads, Msi, PortalPage, Vm as AssignVm, VmError};
use fsl_mc_linux::Mapping;
use kvm_bindings::{
    KVM_DEV_ARM_VGIC_CTRL_INIT, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_DEV_ARM_VGIC_GRP_CTRL,
    KVM_DEV_ARM_VGIC_GRP_NR_IRQS, KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD, KVM_MEM_READONLY,
    KVM_VGIC_ITS_ADDR_TYPE, KVM_VGIC_V3_ADDR_TYPE_DIST, KVM_VGIC_V3_ADDR_TYPE_REDIST,
    kvm_create_device, kvm_device_attr, kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_ITS,
    kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3, kvm_device_type_KVM_DEV_TYPE_VFIO,
    kvm_userspace_memory_region, kvm_vcpu_init,
};
use kvm_ioctls::{Cap, DeviceFd, IoEventAddress, Kvm, NoDatamatch, VcpuFd, VmFd};
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::EventFd;

/// A virtual machine without processors.
pub struct Vm {
    shared: Arc<Shared>,
    /// Taken out one by one by their threads.
    cpus: Mutex<Vec<VcpuFd>>,
    target: kvm_vcpu_init,
    _interrupt_controller: [DeviceFd; 2],
}

struct Shared {
    slots: Mutex<Slots<Arc<VmFd>>>,
    interrupts: Mutex<Interrupts>,
    /// Tells VFIO of the guest; made when there is something to tell.
    vfio: Mutex<Option<DeviceFd>>,
    /// Where command portals are pages of the guest.
    late: Option<Arc<LateStores>>,
    vm: Arc<VmFd>,
}

pub(super) fn refused(
    asked: &'static str,
    advice: &'static str,
) -> impl Fn(kvm_ioctls::Error) -> Error {
    move |error| Error::Kvm { asked, reason: system(error), advice }
}

fn system(error: kvm_ioctls::Error) -> std::io::Error {
    std::io::Error::from_raw_os_error(error.errno())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// KVM_CAP_ARM_CACHEABLE_PFNMAP_SUPPORTED (Linux include/uapi/linux/kvm.h), which the
/// crate does not name yet.
const CACHEABLE_SLOTS: std::os::raw::c_ulong = 243;

fn open() -> Result<Kvm, Error> {
    Kvm::new().map_err(refused(
        "opening /dev/kvm",
        "Give this user access to it; on the board, boot with --virtualization",
    ))
}

/// Whether a device's cacheable memory can be a memory slot whoever maps it.
pub fn cacheable_slots() -> Result<bool, Error> {
    // Linux answers it of a virtual machine only (arch/arm64/kvm/arm.c).
    let vm = open()?.create_vm().map_err(refused("KVM_CREATE_VM", ""))?;
    Ok(vm.check_extension_raw(CACHEABLE_SLOTS) > 0)
}

impl Vm {
    /// A machine with memory, processors that are off, and an interrupt controller. Command
    /// portals are pages of the guest where `portal_pages` asks for it and KVM can do it.
    pub fn new(memory: &GuestMemoryMmap, cpus: u8, portal_pages: bool) -> Result<Self, Error> {
        let vm = open()?.create_vm().map_err(refused("KVM_CREATE_VM", ""))?;
        let vm = Arc::new(vm);
        let slots = Slots::new(Arc::clone(&vm), memory)
            .map_err(refused("giving the guest its memory", "Give it less --memory"))?;
        let mut target = kvm_vcpu_init::default();
        vm.get_preferred_target(&mut target).map_err(refused("KVM_ARM_PREFERRED_TARGET", ""))?;
        let processors: Result<Vec<VcpuFd>, _> =
            (0..cpus).map(|number| vm.create_vcpu(number.into())).collect();
        let processors = processors.map_err(refused("KVM_CREATE_VCPU", "Give fewer --cpus"))?;
        let gic = gic(&vm).map_err(refused(
            "making the guest's GICv3 and ITS",
            "The machine's own interrupt controller must be a GICv3",
        ))?;
        let interrupts =
            Interrupts::new(Arc::clone(&vm)).map_err(refused("KVM_SET_GSI_ROUTING", ""))?;
        let late = if portal_pages { late_stores(&vm, &processors)? } else { None };
        let shared = Shared {
            slots: Mutex::new(slots),
            interrupts: Mutex::new(interrupts),
            vfio: Mutex::new(None),
            late: late.map(Arc::new),
            vm,
        };
        Ok(Self {
            shared: Arc::new(shared),
            cpus: Mutex::new(processors),
            target,
            _interrupt_controller: gic,
        })
    }

    /// What a container's assignment works with. `device` is what its interrupts are
    /// known by to the guest's interrupt controller.
    pub fn for_container(&self, name: &str, device: u32, irqfd: bool) -> KvmGuest {
        let shared = Arc::clone(&self.shared);
        let (lines, told) = (BTreeMap::new(), Told::default());
        KvmGuest { shared, name: name.to_owned(), device, irqfd, lines, told }
    }

    /// Stores to command portals that KVM has kept, where it keeps any.
    pub fn late_stores(&self) -> Option<Arc<LateStores>> {
        self.shared.late.clone()
    }

    /// The line that a device of the VMM's own signals, by its shared peripheral interrupt.
    pub fn interrupt(&self, number: u32) -> Result<EventFd, Error> {
        let line = lock(&self.shared.interrupts).shared(number);
        line.map_err(refused("KVM_IRQFD of a console or disk", ""))
    }

    /// Lets stores to an address signal an event, without an exit.
    pub fn ring_at(&self, address: u64, bell: &EventFd) -> Result<(), Error> {
        let address = IoEventAddress::Mmio(address);
        let made = self.shared.vm.register_ioevent(bell, &address, NoDatamatch);
        made.map_err(refused("KVM_IOEVENTFD of a disk", ""))
    }

    /// The next processor, and what it is to be initialised as.
    pub fn take_cpus(&self) -> (Vec<VcpuFd>, kvm_vcpu_init) {
        (std::mem::take(&mut *lock(&self.cpus)), self.target)
    }
}

/// The stores that KVM keeps for a guest; `None` where it keeps none, or has no memory that a
/// guest can only load from: one without the other is not used.
fn late_stores(vm: &VmFd, cpus: &[VcpuFd]) -> Result<Option<LateStores>, Error> {
    // The answer is the page's place in a processor's file.
    let place = u64::try_from(vm.check_extension_int(Cap::CoalescedMmio)).unwrap_or(0);
    let (Some(cpu), true) = (cpus.first(), place > 0 && vm.check_extension(Cap::ReadonlyMem))
    else {
        return Ok(None);
    };
    // SAFETY: the file is open as long as `cpu` is there, which outlives the borrow.
    let cpu = unsafe { BorrowedFd::borrow_raw(cpu.as_raw_fd()) };
    let page = rustix::param::page_size();
    let ring = Mapping::of_device(cpu, place * page as u64, page, true);
    let ring = ring.map_err(|errno| Error::System {
        what: "mapping the stores that KVM keeps",
        reason: errno.into(),
    })?;
    Ok(Some(LateStores::new(ring)))
}

/// The part of a command portal to which stores are kept: address and bytes.
fn late_zone(portal: u64) -> (IoEventAddress, u32) {
    let stores = PortalPage::LATE_STORES;
    // A portal has 64 bytes.
    (IoEventAddress::Mmio(portal + stores.start), (stores.end - stores.start) as u32)
}

/// Sets an attribute to a number in memory.
fn set_number<T>(
    device: &DeviceFd,
    group: u32,
    attr: u32,
    number: &T,
) -> Result<(), kvm_ioctls::Error> {
    let addr = std::ptr::from_ref(number).expose_provenance() as u64;
    device.set_device_attr(&kvm_device_attr { flags: 0, group, attr: attr.into(), addr })
}

fn initialise(device: &DeviceFd) -> Result<(), kvm_ioctls::Error> {
    device.set_device_attr(&kvm_device_attr {
        flags: 0,
        group: KVM_DEV_ARM_VGIC_GRP_CTRL,
        attr: KVM_DEV_ARM_VGIC_CTRL_INIT.into(),
        addr: 0,
    })
}

fn gic(vm: &VmFd) -> Result<[DeviceFd; 2], kvm_ioctls::Error> {
    let create = |type_| vm.create_device(&mut kvm_create_device { type_, fd: 0, flags: 0 });
    let gic = create(kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3)?;
    let address = |device: &DeviceFd, kind: u32, at: u64| {
        set_number(device, KVM_DEV_ARM_VGIC_GRP_ADDR, kind, &at)
    };
    address(&gic, KVM_VGIC_V3_ADDR_TYPE_DIST, GIC_DISTRIBUTOR)?;
    address(&gic, KVM_VGIC_V3_ADDR_TYPE_REDIST, GIC_REDISTRIBUTORS)?;
    set_number(&gic, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &INTERRUPTS)?;
    initialise(&gic)?;
    let its = create(kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_ITS)?;
    address(&its, KVM_VGIC_ITS_ADDR_TYPE, ITS)?;
    initialise(&its)?;
    Ok([gic, its])
}

impl Hypervisor for Arc<VmFd> {
    unsafe fn set_slot(&self, number: u32, range: Range) -> Result<(), kvm_ioctls::Error> {
        let slot = kvm_userspace_memory_region {
            slot: number,
            flags: if range.read_only { KVM_MEM_READONLY } else { 0 },
            guest_phys_addr: range.at,
            memory_size: range.size,
            userspace_addr: range.host,
        };
        // SAFETY: the caller's range is as this asks for it.
        unsafe { self.set_user_memory_region(slot) }
    }
}

/// The virtual machine as an assigned container uses it.
pub struct KvmGuest {
    shared: Arc<Shared>,
    name: String,
    device: u32,
    irqfd: bool,
    /// KVM's number of each line.
    lines: BTreeMap<u32, u32>,
    told: Told,
}

/// What has been told of, which is told once: how often it comes is the guest's choice.
#[derive(Debug, Default)]
struct Told {
    trapped: bool,
    slow: bool,
}

impl KvmGuest {
    fn message(&self, msi: Msi) -> Message {
        Message { msi, device: self.device }
    }
}

fn vm_error(what: &str, error: kvm_ioctls::Error) -> VmError {
    VmError(format!("{what}: {}", system(error)))
}

/// KVM's crates want an eventfd of their own kind: it is a copy of the descriptor.
fn eventfd(events: BorrowedFd<'_>) -> Result<EventFd, VmError> {
    let copy = events.try_clone_to_owned();
    let copy = copy.map_err(|error| VmError(format!("copying an eventfd: {error}")))?;
    // SAFETY: the descriptor is a fresh copy that nobody else closes.
    Ok(unsafe { EventFd::from_raw_fd(copy.into_raw_fd()) })
}

impl AssignVm for KvmGuest {
    fn introduce(&mut self, group: BorrowedFd<'_>) -> Result<(), VmError> {
        let mut vfio = lock(&self.shared.vfio);
        if vfio.is_none() {
            let type_ = kvm_device_type_KVM_DEV_TYPE_VFIO;
            let mut device = kvm_create_device { type_, fd: 0, flags: 0 };
            let made = self.shared.vm.create_device(&mut device);
            *vfio = Some(made.map_err(|error| vm_error("KVM_CREATE_DEVICE (VFIO)", error))?);
        }
        let Some(device) = vfio.as_ref() else { return Ok(()) };
        let number: i32 = group.as_raw_fd();
        set_number(device, KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD, &number)
            .map_err(|error| vm_error("KVM_DEV_VFIO_FILE_ADD", error))
    }

    fn map(&mut self, at: u64, region: Arc<MappedRegion>) -> Result<(), VmError> {
        lock(&self.shared.slots).map(at, region).map_err(|error| {
            let hint = if error.errno() == libc::EINVAL {
                " (the processor cannot share a device's cacheable memory with a guest, and the \
                 driver maps it as such: use this project's vfio-fsl-mc)"
            } else {
                ""
            };
            VmError(format!("KVM_SET_USER_MEMORY_REGION: {}{hint}", system(error)))
        })
    }

    fn unmap(&mut self, at: u64) {
        lock(&self.shared.slots).unmap(at);
    }

    fn map_portal(&mut self, at: u64, page: Arc<PortalPage>) -> Loads {
        if self.shared.late.is_none() {
            return Loads::Trapped;
        }
        let mapped = {
            let mut slots = lock(&self.shared.slots);
            slots.map_page(at, page).and_then(|()| {
                let (zone, size) = late_zone(at);
                let kept = self.shared.vm.register_coalesced_mmio(zone, size);
                kept.inspect_err(|_| slots.unmap(at))
            })
        };
        match mapped {
            Ok(()) => Loads::Mapped,
            Err(error) => {
                let error = system(error);
                if !std::mem::replace(&mut self.told.trapped, true) {
                    self.log(&format!(
                        "commands at {at:#x} leave the guest for each word: {error}"
                    ));
                }
                Loads::Trapped
            }
        }
    }

    fn unmap_portal(&mut self, at: u64) {
        let (zone, size) = late_zone(at);
        // KVM answers that it is done in any case (virt/kvm/coalesced_mmio.c).
        let _ = self.shared.vm.unregister_coalesced_mmio(zone, size);
        lock(&self.shared.slots).unmap(at);
    }

    fn connect(
        &mut self,
        line: u32,
        events: BorrowedFd<'_>,
        msi: Msi,
    ) -> Result<Delivery, VmError> {
        if !self.irqfd {
            return Ok(Delivery::Watched);
        }
        let (known, message) = (self.lines.get(&line).copied(), self.message(msi));
        let copy = eventfd(events)?;
        let connected = lock(&self.shared.interrupts).routes().connect(known, &copy, message);
        match connected {
            Ok(number) => {
                self.lines.insert(line, number);
                Ok(Delivery::Direct)
            }
            Err(Refusal { call, error }) => {
                // KVM is not to take the events that are watched from now on, and raise what the
                // message was before.
                self.disconnect(line, events);
                let error = system(error);
                if !std::mem::replace(&mut self.told.slow, true) {
                    self.log(&format!("{call}: {error}: interrupts take the slow way"));
                }
                Ok(Delivery::Watched)
            }
        }
    }

    fn disconnect(&mut self, line: u32, events: BorrowedFd<'_>) {
        if let (Some(number), Ok(events)) = (self.lines.remove(&line), eventfd(events)) {
            lock(&self.shared.interrupts).routes().disconnect(number, &events);
        }
    }

    fn signal(&mut self, msi: Msi) -> Result<(), VmError> {
        let message = self.message(msi);
        lock(&self.shared.interrupts)
            .send(message)
            .map_err(|error| vm_error("KVM_SIGNAL_MSI", error))
    }

    fn log(&mut self, words: &str) {
        tell(format_args!("fslmc-vmm: {}: {words}", self.name));
    }
}
