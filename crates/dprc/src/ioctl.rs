// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The system calls of VFIO and of the management interface, with their argument
//! types. Everything here is a plain function of a file and values: what the calls
//! mean is documented where they are used.
//!
//! Structures: `linux/vfio.h`, by way of vfio-bindings.
#![allow(unsafe_code)]

use fsl_mc_linux::ioctl::{
    CHECK_EXTENSION, DEVICE_ATTACH_IOMMUFD_PT, DEVICE_BIND_IOMMUFD, DEVICE_GET_INFO,
    DEVICE_GET_IRQ_INFO, DEVICE_GET_REGION_INFO, DEVICE_RESET, DEVICE_SET_IRQS,
    FSL_MC_SEND_MC_COMMAND, GET_API_VERSION, GROUP_GET_DEVICE_FD, GROUP_GET_STATUS,
    GROUP_SET_CONTAINER, IOMMU_GET_INFO, IOMMU_IOAS_ALLOC, IOMMU_MAP_DMA, IOMMU_UNMAP_DMA,
    IOMMU_VFIO_IOAS, SET_IOMMU,
};
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::{Errno, Result};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, Updater, ioctl};
use std::ffi::{CStr, c_void};
use std::mem::size_of;
use vfio_bindings::bindings::vfio::{
    vfio_device_attach_iommufd_pt, vfio_device_bind_iommufd, vfio_device_info, vfio_group_status,
    vfio_iommu_type1_dma_map, vfio_iommu_type1_dma_unmap, vfio_iommu_type1_info, vfio_irq_info,
    vfio_irq_set, vfio_region_info,
};

/// Size of a structure as its `argsz` wants it.
pub(crate) const fn argsz<T>() -> u32 {
    size_of::<T>() as u32
}

/// A call whose argument is a number or a pointer and whose answer is its return
/// value.
struct Returning {
    opcode: Opcode,
    argument: *mut c_void,
}

// SAFETY: `opcode` and `argument` are passed on as they are; the answer is the
// return value and never read through the pointer. IS_MUTATING is the safe choice.
unsafe impl Ioctl for Returning {
    type Output = i32;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.argument
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> Result<i32> {
        Ok(out)
    }
}

fn with_number(fd: BorrowedFd<'_>, opcode: Opcode, number: usize) -> Result<i32> {
    let argument = std::ptr::without_provenance_mut(number);
    // SAFETY: the calls made through this function take a number, not a pointer.
    unsafe { ioctl(fd, Returning { opcode, argument }) }
}

fn with_struct<const OPCODE: Opcode, T>(fd: BorrowedFd<'_>, value: &mut T) -> Result<()> {
    // SAFETY: each caller pairs the opcode with the structure that `linux/vfio.h`
    // (or `linux/fsl_mc.h`, `linux/iommufd.h`) names for it; they are plain numbers, for which every
    // bit pattern is a value. The kernel writes no more than the `argsz` that the
    // caller has set to the structure's size (or the size in the opcode).
    unsafe { ioctl(fd, Updater::<OPCODE, T>::new(value)) }
}

pub(crate) fn api_version(container: BorrowedFd<'_>) -> Result<i32> {
    with_number(container, GET_API_VERSION, 0)
}

pub(crate) fn check_extension(container: BorrowedFd<'_>, extension: u32) -> Result<i32> {
    with_number(container, CHECK_EXTENSION, extension as usize)
}

pub(crate) fn set_iommu(container: BorrowedFd<'_>, kind: u32) -> Result<()> {
    with_number(container, SET_IOMMU, kind as usize).map(drop)
}

pub(crate) fn iommu_info(container: BorrowedFd<'_>) -> Result<vfio_iommu_type1_info> {
    let mut info =
        vfio_iommu_type1_info { argsz: argsz::<vfio_iommu_type1_info>(), ..Default::default() };
    with_struct::<IOMMU_GET_INFO, _>(container, &mut info)?;
    Ok(info)
}

pub(crate) fn group_status(group: BorrowedFd<'_>) -> Result<u32> {
    let mut status = vfio_group_status { argsz: argsz::<vfio_group_status>(), flags: 0 };
    with_struct::<GROUP_GET_STATUS, _>(group, &mut status)?;
    Ok(status.flags)
}

pub(crate) fn set_container(group: BorrowedFd<'_>, container: BorrowedFd<'_>) -> Result<()> {
    let mut fd: i32 = container.as_raw_fd();
    with_struct::<GROUP_SET_CONTAINER, _>(group, &mut fd)
}

pub(crate) fn device_fd(group: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    let argument = name.as_ptr().cast_mut().cast::<c_void>();
    // SAFETY: the call reads a string that ends with NUL from the pointer, which
    // `name` is and which outlives the call.
    let fd = unsafe { ioctl(group, Returning { opcode: GROUP_GET_DEVICE_FD, argument }) }?;
    if fd < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: the call answers with a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `struct iommu_ioas_alloc` of `linux/iommufd.h`, which no crate has.
#[repr(C)]
#[derive(Default)]
struct AllocateAddressSpace {
    size: u32,
    flags: u32,
    out_ioas_id: u32,
}

/// `struct iommu_vfio_ioas` of `linux/iommufd.h`.
#[repr(C)]
#[derive(Default)]
struct AddressSpaceOfVfio {
    size: u32,
    ioas_id: u32,
    op: u16,
    reserved: u16,
}

/// `IOMMU_VFIO_IOAS_SET`.
const SET: u16 = 1;

pub(crate) fn allocate_address_space(iommufd: BorrowedFd<'_>) -> Result<u32> {
    let mut ask =
        AllocateAddressSpace { size: argsz::<AllocateAddressSpace>(), ..Default::default() };
    with_struct::<IOMMU_IOAS_ALLOC, _>(iommufd, &mut ask)?;
    Ok(ask.out_ioas_id)
}

pub(crate) fn use_for_vfio(iommufd: BorrowedFd<'_>, ioas_id: u32) -> Result<()> {
    let size = argsz::<AddressSpaceOfVfio>();
    let mut ask = AddressSpaceOfVfio { size, ioas_id, op: SET, reserved: 0 };
    with_struct::<IOMMU_VFIO_IOAS, _>(iommufd, &mut ask)
}

pub(crate) fn bind_iommufd(device: BorrowedFd<'_>, iommufd: BorrowedFd<'_>) -> Result<()> {
    let mut ask = vfio_device_bind_iommufd {
        argsz: argsz::<vfio_device_bind_iommufd>(),
        iommufd: iommufd.as_raw_fd(),
        ..Default::default()
    };
    with_struct::<DEVICE_BIND_IOMMUFD, _>(device, &mut ask)
}

pub(crate) fn attach_address_space(device: BorrowedFd<'_>, pt_id: u32) -> Result<()> {
    let mut ask = vfio_device_attach_iommufd_pt {
        argsz: argsz::<vfio_device_attach_iommufd_pt>(),
        pt_id,
        ..Default::default()
    };
    with_struct::<DEVICE_ATTACH_IOMMUFD_PT, _>(device, &mut ask)
}

pub(crate) fn device_info(device: BorrowedFd<'_>) -> Result<vfio_device_info> {
    let mut info = vfio_device_info { argsz: argsz::<vfio_device_info>(), ..Default::default() };
    with_struct::<DEVICE_GET_INFO, _>(device, &mut info)?;
    Ok(info)
}

pub(crate) fn region_info(device: BorrowedFd<'_>, index: u32) -> Result<vfio_region_info> {
    let mut info =
        vfio_region_info { argsz: argsz::<vfio_region_info>(), index, ..Default::default() };
    with_struct::<DEVICE_GET_REGION_INFO, _>(device, &mut info)?;
    Ok(info)
}

pub(crate) fn irq_info(device: BorrowedFd<'_>, index: u32) -> Result<vfio_irq_info> {
    let mut info = vfio_irq_info { argsz: argsz::<vfio_irq_info>(), index, ..Default::default() };
    with_struct::<DEVICE_GET_IRQ_INFO, _>(device, &mut info)?;
    Ok(info)
}

/// The fixed part of VFIO_DEVICE_SET_IRQS: argsz, flags, index, start, count.
pub(crate) const IRQ_SET_HEADER: usize = size_of::<vfio_irq_set>();

/// `request` is a [`IRQ_SET_HEADER`] followed by data; its `argsz` is set here.
pub(crate) fn set_irqs(device: BorrowedFd<'_>, request: &mut [u32]) -> Result<()> {
    let length = std::mem::size_of_val(request);
    let (Some(argsz), Ok(length)) = (request.first_mut(), u32::try_from(length)) else {
        return Err(Errno::INVAL);
    };
    *argsz = length;
    if (length as usize) < IRQ_SET_HEADER {
        return Err(Errno::INVAL);
    }
    let argument = request.as_mut_ptr().cast::<c_void>();
    // SAFETY: the call reads `argsz` bytes at most, which is the length of `request`,
    // and the slice outlives it. u32 gives the structure's alignment.
    unsafe { ioctl(device, Returning { opcode: DEVICE_SET_IRQS, argument }) }.map(drop)
}

pub(crate) fn reset(device: BorrowedFd<'_>) -> Result<()> {
    with_number(device, DEVICE_RESET, 0).map(drop)
}

/// # Safety
/// `address` to `address + size` must be memory that the caller owns and that stays
/// mapped and unused by Rust references until [`unmap_dma`] has succeeded: devices
/// read and, by the flags, write it.
pub(crate) unsafe fn map_dma(
    container: BorrowedFd<'_>,
    flags: u32,
    address: u64,
    iova: u64,
    size: u64,
) -> Result<()> {
    let mut map = vfio_iommu_type1_dma_map {
        argsz: argsz::<vfio_iommu_type1_dma_map>(),
        flags,
        vaddr: address,
        iova,
        size,
    };
    with_struct::<IOMMU_MAP_DMA, _>(container, &mut map)
}

/// Answers with the number of bytes that were unmapped.
pub(crate) fn unmap_dma(container: BorrowedFd<'_>, iova: u64, size: u64) -> Result<u64> {
    let mut unmap = vfio_iommu_type1_dma_unmap {
        argsz: argsz::<vfio_iommu_type1_dma_unmap>(),
        iova,
        size,
        ..Default::default()
    };
    with_struct::<IOMMU_UNMAP_DMA, _>(container, &mut unmap)?;
    Ok(unmap.size)
}

/// Sends a command and fetches the answer in its place.
pub(crate) fn send_mc_command(file: BorrowedFd<'_>, command: &mut [u64; 8]) -> Result<()> {
    with_struct::<FSL_MC_SEND_MC_COMMAND, _>(file, command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_sizes_of_the_user_api() {
        assert_eq!(argsz::<vfio_device_info>(), 24);
        assert_eq!(argsz::<vfio_region_info>(), 32);
        assert_eq!(argsz::<vfio_irq_info>(), 16);
        assert_eq!(argsz::<vfio_iommu_type1_dma_map>(), 32);
        assert_eq!(argsz::<vfio_iommu_type1_dma_unmap>(), 24);
        assert_eq!(argsz::<vfio_group_status>(), 8);
        assert_eq!(IRQ_SET_HEADER, 20);
    }

    #[test]
    fn a_file_that_is_no_vfio_device_answers_enotty() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let fd = rustix::fd::AsFd::as_fd(&null);
        assert_eq!(device_info(fd).unwrap_err(), Errno::NOTTY);
        assert_eq!(send_mc_command(fd, &mut [0; 8]).unwrap_err(), Errno::NOTTY);
        assert_eq!(set_irqs(fd, &mut [0; 2]).unwrap_err(), Errno::INVAL);
        assert_eq!(set_irqs(fd, &mut [0; 5]).unwrap_err(), Errno::NOTTY);
    }
}
