// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A container past the kernel of the machine that has it: command and software portals by
//! `/dev/mem`, which takes `iomem=relaxed` on the kernel's command line, and memory for DMA
//! that the kernel was told not to use (`mem=`).

use dprc::{
    Access, AddressSpace, Backend, DmaBuffer, Error, Interrupt, MapError, Mapped, MappedRegion,
    Mapping, McPortal, Result, manage,
};
use mc_abi::{ObjectId, ObjectType, dprc as container};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use std::sync::{Arc, Mutex, PoisonError};

/// A container without its kernel's consent.
#[derive(Debug)]
pub struct PastKernel {
    name: String,
    container: ObjectId,
    memory: OwnedFd,
    portal: u64,
    /// To ask where regions are.
    mc: Mutex<McPortal>,
}

/// Memory is where it is: nothing is mapped.
#[derive(Debug)]
struct Physical;

impl AddressSpace for Physical {
    fn map(&self, _memory: &Arc<Mapping>, _iova: u64, _access: Access) -> Result<()> {
        Ok(())
    }

    fn unmap(&self, _iova: u64, _size: u64) -> Result<()> {
        Ok(())
    }
}

impl PastKernel {
    /// The container whose command portal is at this physical address.
    ///
    /// # Errors
    /// Where `/dev/mem` cannot be used.
    pub fn open(container: ObjectId, portal: u64) -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::SYNC | OFlags::CLOEXEC;
        let memory =
            rustix::fs::open("/dev/mem", flags, Mode::empty()).map_err(|errno| Error::Kernel {
                asked: "open",
                of: "/dev/mem".to_owned(),
                errno,
                advice: "It takes root",
            })?;
        let mc = Mutex::new(portal_at(&memory, portal)?);
        Ok(Self { name: container.to_string(), container, memory, portal, mc })
    }

    /// Memory at a physical address, for [`Backend::map`] at the same one.
    ///
    /// # Errors
    /// Where it cannot be mapped.
    pub fn memory(&self, at: u64, size: usize) -> Result<DmaBuffer> {
        DmaBuffer::of_mapping(map(&self.memory, at, size)?)
    }

    fn unsupported(&self, object: ObjectId, what: &'static str) -> Error {
        Error::Region { device: object.to_string(), index: 0, what: what.to_owned() }
    }
}

fn map(memory: &OwnedFd, at: u64, size: usize) -> Result<Mapping> {
    Mapping::of_device(memory.as_fd(), at, size, true).map_err(|errno| Error::Kernel {
        asked: "mmap",
        of: format!("/dev/mem at {at:#x}"),
        errno,
        advice: "The kernel's command line needs iomem=relaxed, and mem= for memory",
    })
}

fn portal_at(memory: &OwnedFd, at: u64) -> Result<McPortal> {
    let mapping = map(memory, at, rustix::param::page_size())?;
    Ok(McPortal::new(format!("/dev/mem at {at:#x}"), mapping))
}

impl Backend for PastKernel {
    fn name(&self) -> &str {
        &self.name
    }

    fn portal(&self) -> Result<McPortal> {
        portal_at(&self.memory, self.portal)
    }

    fn map_region(&self, object: ObjectId, index: u32) -> Result<MappedRegion> {
        let ObjectId { id, kind } = object;
        let ask = container::GetObjectRegion { id, index: index as u8, kind };
        let mut mc = self.mc.lock().unwrap_or_else(PoisonError::into_inner);
        let region =
            manage::with_open(&mut mc, self.container, |portal, open| portal.call(open, &ask))?;
        let at = region.base_address.wrapping_add(region.offset);
        let mapping = map(&self.memory, at, region.size as usize)?;
        Ok(MappedRegion::of_mapping(&object.to_string(), index, mapping))
    }

    fn map(
        &self,
        buffer: DmaBuffer,
        iova: u64,
        access: Access,
    ) -> std::result::Result<Mapped, Box<MapError>> {
        Mapped::within(Arc::new(Physical), buffer, iova, access)
    }

    fn enable_interrupt(&self, object: ObjectId, _index: u32) -> Result<Interrupt> {
        Err(self.unsupported(object, "has no interrupt past the kernel"))
    }

    fn reset(&self) -> Result<()> {
        let container = ObjectId::new(ObjectType::Dprc, self.container.id);
        Err(self.unsupported(container, "is not reset past the kernel"))
    }
}
