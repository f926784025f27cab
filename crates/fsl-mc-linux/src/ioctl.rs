// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Numbers of ioctls: `linux/vfio.h`, `linux/iommufd.h` and `linux/fsl_mc.h` of the
//! kernel's user API.

/// `_IO(VFIO_TYPE, VFIO_BASE + offset)`: VFIO numbers its calls from a base and gives
/// none of them a direction or a size. iommufd goes on with the same type.
pub const fn vfio(offset: u32) -> u32 {
    ((b';' as u32) << 8) | (100 + offset)
}

macro_rules! vfio_numbers {
    ($($name:ident $offset:literal)*) => { $(
        #[doc = concat!("`VFIO_", stringify!($name), "`.")]
        pub const $name: u32 = vfio($offset);
    )* };
}

vfio_numbers! {
    GET_API_VERSION 0
    CHECK_EXTENSION 1
    SET_IOMMU 2
    GROUP_GET_STATUS 3
    GROUP_SET_CONTAINER 4
    GROUP_UNSET_CONTAINER 5
    GROUP_GET_DEVICE_FD 6
    DEVICE_GET_INFO 7
    DEVICE_GET_REGION_INFO 8
    DEVICE_GET_IRQ_INFO 9
    DEVICE_SET_IRQS 10
    DEVICE_RESET 11
    IOMMU_GET_INFO 12
    IOMMU_MAP_DMA 13
    IOMMU_UNMAP_DMA 14
    DEVICE_FEATURE 17
    DEVICE_BIND_IOMMUFD 18
    DEVICE_ATTACH_IOMMUFD_PT 19
    DEVICE_DETACH_IOMMUFD_PT 20
}

/// `IOMMU_IOAS_ALLOC` of iommufd.
pub const IOMMU_IOAS_ALLOC: u32 = vfio(29);

/// `IOMMU_VFIO_IOAS` of iommufd.
pub const IOMMU_VFIO_IOAS: u32 = vfio(36);

/// `FSL_MC_SEND_MC_COMMAND`, `_IOWR('R', 0xe0, struct fsl_mc_command)`: 64 bytes both
/// ways.
pub const FSL_MC_SEND_MC_COMMAND: u32 = 0xc000_0000 | (64 << 16) | ((b'R' as u32) << 8) | 0xe0;

#[cfg(test)]
mod tests {
    use super::*;

    /// What a C compiler makes of the macros in the headers.
    #[test]
    fn numbers_are_those_of_the_user_api() {
        assert_eq!(GET_API_VERSION, 0x3b64);
        assert_eq!(GROUP_GET_STATUS, 0x3b67);
        assert_eq!(GROUP_GET_DEVICE_FD, 0x3b6a);
        assert_eq!(DEVICE_SET_IRQS, 0x3b6e);
        assert_eq!(DEVICE_RESET, 0x3b6f);
        assert_eq!(IOMMU_UNMAP_DMA, 0x3b72);
        assert_eq!(DEVICE_FEATURE, 0x3b75);
        assert_eq!(DEVICE_BIND_IOMMUFD, 0x3b76);
        assert_eq!(IOMMU_IOAS_ALLOC, 0x3b81);
        assert_eq!(IOMMU_VFIO_IOAS, 0x3b88);
        assert_eq!(FSL_MC_SEND_MC_COMMAND, 0xc040_52e0);
    }
}
