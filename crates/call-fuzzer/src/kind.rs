// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The kinds of calls, as they are counted.

use fsl_mc_linux::errno::{Errno, name_or_number};

/// What a run must have seen of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Success {
    /// At least once, or the run has tested nothing.
    Needed,
    /// At least once, if commands are sent.
    NeededWithCommands,
    /// The same, unless the driver does not know the call (ENOTTY).
    NeededWhereKnown,
    /// At least once, if the container is unbound and bound again.
    NeededWithRebind,
    /// It may or may not be.
    Possible,
    /// Never: the driver has no business with it.
    Wrong,
}

macro_rules! kinds {
    ($( $name:ident $text:literal $success:ident, )*) => {
        /// A kind of calls.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        #[allow(missing_docs)]
        pub enum Kind { $( $name, )* }

        impl Kind {
            /// All kinds, in the order of their numbers.
            pub const ALL: &[Self] = &[ $( Self::$name, )* ];

            /// The name in reports.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$name => $text, )* }
            }

            /// What a run must have seen.
            pub const fn success(self) -> Success {
                match self { $( Self::$name => Success::$success, )* }
            }
        }
    };
}

kinds! {
    OpenContainer "open container" Needed,
    OpenGroup "open group" Needed,
    GetDeviceFd "GROUP_GET_DEVICE_FD" Needed,
    GetDeviceFdOdd "GROUP_GET_DEVICE_FD, odd name" Possible,
    ApiVersion "GET_API_VERSION" Needed,
    Extension "CHECK_EXTENSION" Needed,
    SetIommu "SET_IOMMU" Needed,
    GroupStatus "GROUP_GET_STATUS" Needed,
    SetContainer "GROUP_SET_CONTAINER" Needed,
    UnsetContainer "GROUP_UNSET_CONTAINER" Possible,
    IommuInfo "IOMMU_GET_INFO" Needed,
    MapDma "IOMMU_MAP_DMA" Needed,
    MapDmaOdd "IOMMU_MAP_DMA, odd" Possible,
    UnmapDma "IOMMU_UNMAP_DMA" Needed,
    DeviceInfo "DEVICE_GET_INFO" Needed,
    RegionInfo "DEVICE_GET_REGION_INFO" Needed,
    IrqInfo "DEVICE_GET_IRQ_INFO" Needed,
    SetIrqsEventFd "SET_IRQS eventfd" Needed,
    SetIrqsOff "SET_IRQS off" Needed,
    SetIrqsTrigger "SET_IRQS software trigger" Needed,
    SetIrqsOdd "SET_IRQS, odd" Possible,
    Reset "DEVICE_RESET" Needed,
    Feature "DEVICE_FEATURE" Possible,
    ForeignIoctl "ioctl of other VFIO files" Possible,
    UnknownIoctl "ioctl unknown to VFIO" Wrong,
    FileIoctl "ioctl of any file" Needed,
    SendCommand "write command" NeededWithCommands,
    FetchAnswer "read answer" NeededWithCommands,
    OneCall "DEVICE_FSL_MC_COMMAND" NeededWhereKnown,
    CommandVector "writev/readv of 64 bytes" NeededWithCommands,
    ReadOdd "read, odd" Possible,
    WriteOdd "write, odd" Possible,
    Seek "lseek" Possible,
    Splice "splice/sendfile" Possible,
    Map "mmap region" Needed,
    MapOdd "mmap, odd" Possible,
    MapFixed "mmap region, fixed" Needed,
    Unmap "munmap" Needed,
    Protect "mprotect" Needed,
    Remap "mremap" Needed,
    Advise "madvise/mlock/msync/mincore" Possible,
    Load "load from region" Needed,
    Store "store to region" Needed,
    MappedCommand "command by mapping" NeededWithCommands,
    Poll "poll" Needed,
    Epoll "epoll" Possible,
    Duplicate "dup" Needed,
    Close "close" Needed,
    FileStatus "fstat/fcntl" Needed,
    EventFd "eventfd" Needed,
    EventRead "read eventfd" Possible,
    EventWrite "write eventfd" Needed,
    Flicker "change of pages in use" Needed,
    Fork "fork" Needed,
    Kill "kill" Needed,
    Reap "wait" Needed,
    PassFd "pidfd_getfd" Possible,
    Signal "signal to thread" Needed,
    Unbind "unbind" NeededWithRebind,
    Bind "bind" NeededWithRebind,
}

/// How many kinds there are.
pub const KINDS: usize = Kind::ALL.len();

impl Kind {
    /// The kind of a number.
    pub fn from_number(number: usize) -> Option<Self> {
        Self::ALL.get(number).copied()
    }
}

/// The symbol of an error number.
pub fn errno_name(errno: i32) -> String {
    name_or_number(Errno::from_raw_os_error(errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_kinds_are_the_same_thing() {
        for (number, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, number);
            assert_eq!(Kind::from_number(number), Some(*kind));
        }
        assert_eq!(Kind::from_number(KINDS), None);
    }
}
