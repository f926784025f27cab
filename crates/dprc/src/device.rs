// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A device of the fsl-mc bus in the hands of user space.

use crate::error::{Error, Result, refused};
use crate::interrupt::{Enabled, EventFd, Interrupt, IrqAction, IrqData, irq_request};
use crate::ioctl;
use crate::memory::MappedRegion;
use crate::portal::{BlockPortal, McPortal, Turns};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use vfio_bindings::bindings::vfio as abi;

/// An open device. Its last close resets it.
#[derive(Debug, Clone)]
pub struct Device {
    name: String,
    file: Arc<OwnedFd>,
    info: DeviceInfo,
    enabled: Enabled,
    /// At its command portal, if it has one.
    turns: Turns,
}

/// What all files of the same devices share: those of a group, or one that has a file of its
/// own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared {
    enabled: Enabled,
    /// By name of the device.
    turns: Arc<Mutex<BTreeMap<String, Turns>>>,
}

impl Shared {
    fn turns(&self, device: &str) -> Turns {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(device.to_owned()).or_default().clone()
    }
}

/// What the kernel says of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Whether [`Device::reset`] works.
    pub resettable: bool,
    /// VFIO_DEVICE_FLAGS_*, all of them.
    pub flags: u32,
    /// How many regions it has.
    pub regions: u32,
    /// How many interrupts it has.
    pub irqs: u32,
}

/// What the kernel says of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegionInfo {
    /// Which one.
    pub index: u32,
    /// Size in bytes.
    pub size: u64,
    /// Place in the device's file: index << 40 for this driver.
    pub offset: u64,
    /// May be read.
    pub readable: bool,
    /// May be written.
    pub writable: bool,
    /// May be mapped.
    pub mappable: bool,
}

/// What the kernel says of an interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IrqInfo {
    /// Which one.
    pub index: u32,
    /// How many there are of this index: 1 for this bus.
    pub count: u32,
    /// Can signal an eventfd.
    pub eventfd: bool,
    /// Can be masked.
    pub maskable: bool,
    /// Is masked when it fires.
    pub automasked: bool,
}

impl Device {
    /// A device that was opened in another way than by its group, such as by its device
    /// file, which has been bound to an iommufd.
    ///
    /// # Errors
    /// When the kernel does not answer, or the device is none of the fsl-mc bus.
    pub fn of_file(name: &str, file: OwnedFd) -> Result<Self> {
        Self::new(name, file, &Shared::default())
    }

    pub(crate) fn new(name: &str, file: OwnedFd, shared: &Shared) -> Result<Self> {
        let info = ask_info(name, &file)?;
        if info.flags & abi::VFIO_DEVICE_FLAGS_FSL_MC == 0 {
            return Err(Error::NotFslMc { device: name.to_owned(), flags: info.flags });
        }
        let (enabled, turns) = (shared.enabled.clone(), shared.turns(name));
        Ok(Self { name: name.to_owned(), file: Arc::new(file), info, enabled, turns })
    }

    /// Name on the bus.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the kernel said when the device was opened.
    pub fn info(&self) -> DeviceInfo {
        self.info
    }

    /// What the kernel says of the device now.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn ask_info(&self) -> Result<DeviceInfo> {
        ask_info(&self.name, &self.file)
    }

    /// Asks about a region.
    ///
    /// # Errors
    /// When the device has no such region.
    pub fn region(&self, index: u32) -> Result<RegionInfo> {
        let info = ioctl::region_info(self.file.as_fd(), index).map_err(refused(
            "VFIO_DEVICE_GET_REGION_INFO",
            format!("{} (region {index})", self.name),
            |errno| if errno == Errno::INVAL { "The device has fewer regions" } else { "" },
        ))?;
        let has = |flag| info.flags & flag != 0;
        Ok(RegionInfo {
            index,
            size: info.size,
            offset: info.offset,
            readable: has(abi::VFIO_REGION_INFO_FLAG_READ),
            writable: has(abi::VFIO_REGION_INFO_FLAG_WRITE),
            mappable: has(abi::VFIO_REGION_INFO_FLAG_MMAP),
        })
    }

    /// Asks about an interrupt.
    ///
    /// # Errors
    /// When the device has no such interrupt.
    pub fn irq(&self, index: u32) -> Result<IrqInfo> {
        let info = ioctl::irq_info(self.file.as_fd(), index).map_err(refused(
            "VFIO_DEVICE_GET_IRQ_INFO",
            format!("{} (interrupt {index})", self.name),
            |errno| if errno == Errno::INVAL { "The device has fewer interrupts" } else { "" },
        ))?;
        let has = |flag| info.flags & flag != 0;
        Ok(IrqInfo {
            index,
            count: info.count,
            eventfd: has(abi::VFIO_IRQ_INFO_EVENTFD),
            maskable: has(abi::VFIO_IRQ_INFO_MASKABLE),
            automasked: has(abi::VFIO_IRQ_INFO_AUTOMASKED),
        })
    }

    /// Maps a whole region.
    ///
    /// # Errors
    /// [`Error::Region`] for one that may not be mapped, or the kernel's refusal.
    pub fn map_region(&self, index: u32) -> Result<MappedRegion> {
        let region = self.region(index)?;
        if !region.mappable {
            return Err(Error::Region {
                device: self.name.clone(),
                index,
                what: "may not be mapped; a container's own portal is used by read and write"
                    .to_owned(),
            });
        }
        MappedRegion::map(
            self.file.as_fd(),
            &self.name,
            index,
            region.offset,
            region.size,
            region.writable,
        )
    }

    /// The command portal in region 0, by reads and writes of the device's file: works
    /// for a container and for a dpmcp. Threads may have a portal each: they take turns, as do
    /// all portals of this device that are opened by the same group.
    ///
    /// # Errors
    /// When region 0 cannot be read and written.
    pub fn portal(&self) -> Result<McPortal> {
        let region = self.region(0)?;
        if !(region.readable && region.writable) {
            return Err(Error::Region {
                device: self.name.clone(),
                index: 0,
                what: "cannot be read and written".to_owned(),
            });
        }
        let transport = BlockPortal::new(Arc::clone(&self.file), region.offset);
        let name = format!("{} (read and write)", self.name);
        Ok(McPortal::new(name, transport).in_turn(&self.turns))
    }

    /// The command portal in region 0, mapped into this process: works for a dpmcp. It takes
    /// turns as that of [`Device::portal`] does.
    ///
    /// # Errors
    /// Those of [`Device::map_region`].
    pub fn mapped_portal(&self) -> Result<McPortal> {
        let name = format!("{} (mapped)", self.name);
        Ok(McPortal::new(name, self.map_region(0)?).in_turn(&self.turns))
    }

    /// Lets an interrupt signal a new eventfd, until the result is dropped.
    ///
    /// There is one [`Interrupt`] of it at a time: it could not be dropped without switching
    /// a second one off, since the kernel knows one eventfd. This holds for all copies of the
    /// device, and for what was opened by the same group under the same name.
    ///
    /// # Errors
    /// [`Error::InterruptTaken`] while there is one, or the kernel's refusal.
    pub fn enable_interrupt(&self, index: u32) -> Result<Interrupt> {
        Interrupt::enable(self.clone(), &self.enabled, index, EventFd::new()?)
    }

    /// VFIO_DEVICE_SET_IRQS as the kernel has it, for whoever tests it.
    /// [`Device::enable_interrupt`] is the way to use it.
    ///
    /// Beware of `IrqData::None(0)` with [`IrqAction::Trigger`] on a device
    /// that has had no interrupt enabled since its bind: Linux's own driver
    /// dereferences a null pointer then.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_irqs(
        &self,
        index: u32,
        start: u32,
        action: IrqAction,
        data: &IrqData<'_>,
    ) -> Result<()> {
        let mut request = irq_request(index, start, action, data);
        ioctl::set_irqs(self.file.as_fd(), &mut request).map_err(refused(
            "VFIO_DEVICE_SET_IRQS",
            format!("{} (interrupt {index})", self.name),
            |errno| match errno {
                Errno::INVAL => "The device has no such interrupt, or it cannot do that",
                Errno::NODEV => {
                    "Interrupts of a container work once per bind with some kernels: unbind it \
                     and bind it again"
                }
                Errno::NOSPC | Errno::NOMEM => "The container's interrupts are used up",
                _ => "",
            },
        ))
    }

    /// Puts the device back to its initial state.
    ///
    /// # Errors
    /// When the kernel or the MC refuses.
    pub fn reset(&self) -> Result<()> {
        ioctl::reset(self.file.as_fd()).map_err(refused(
            "VFIO_DEVICE_RESET",
            self.name.as_str(),
            |errno| match errno {
                Errno::NOTTY => "The driver resets no device of this type",
                Errno::IO | Errno::PERM | Errno::ACCESS => "The MC refuses the reset",
                _ => "",
            },
        ))
    }
}

/// The device's file, for calls that this crate does not wrap.
impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn ask_info(name: &str, file: &OwnedFd) -> Result<DeviceInfo> {
    let info =
        ioctl::device_info(file.as_fd()).map_err(refused("VFIO_DEVICE_GET_INFO", name, |_| ""))?;
    Ok(DeviceInfo {
        resettable: info.flags & abi::VFIO_DEVICE_FLAGS_RESET != 0,
        flags: info.flags,
        regions: info.num_regions,
        irqs: info.num_irqs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device whose file refuses every call of VFIO's.
    fn device(name: &str, enabled: &Enabled) -> Device {
        let file = Arc::new(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
        let info = DeviceInfo { resettable: false, flags: 0, regions: 0, irqs: 2 };
        let turns = Turns::default();
        Device { name: name.to_owned(), file, info, enabled: enabled.clone(), turns }
    }

    #[test]
    fn an_interrupt_is_enabled_once_at_a_time() {
        let enabled = Enabled::default();
        let (first, again) = (device("dpio.1", &enabled), device("dpio.1", &enabled));
        let taken = |device: &Device, index| match device.enable_interrupt(index).unwrap_err() {
            Error::InterruptTaken { .. } => true,
            Error::Kernel { errno, .. } => {
                assert_eq!(errno, Errno::NOTTY);
                false
            }
            error => panic!("{error}"),
        };
        let claim = enabled.take("dpio.1", 0).unwrap();
        assert!(taken(&first, 0) && taken(&first.clone(), 0) && taken(&again, 0));
        let error = again.enable_interrupt(0).unwrap_err().to_string();
        assert!(error.contains("interrupt 0 of dpio.1"), "{error}");
        assert!(!taken(&first, 1) && !taken(&device("dpio.2", &enabled), 0));
        assert!(!taken(&device("dpio.1", &Enabled::default()), 0));
        // One that goes, or that the kernel has refused, is free.
        drop(claim);
        assert!(!taken(&first, 0) && !taken(&again, 0));
    }
}
