// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Layouts of messages. Numbers are in the host's byte order: both ends are on
//! one host.

use std::io;

use vfio_bindings::bindings::vfio::{VFIO_REGION_INFO_CAP_SPARSE_MMAP, VFIO_REGION_INFO_FLAG_CAPS};

/// Bytes of a header.
pub const HEADER: usize = 16;
/// Bytes of a region access behind its header, without the data.
pub const ACCESS: usize = 16;
/// Bytes of `struct vfio_region_info`.
const REGION_INFO: u32 = 32;

/// Commands of a client.
pub mod command {
    pub const VERSION: u16 = 1;
    pub const DMA_MAP: u16 = 2;
    pub const DMA_UNMAP: u16 = 3;
    pub const DEVICE_GET_INFO: u16 = 4;
    pub const DEVICE_GET_REGION_INFO: u16 = 5;
    pub const DEVICE_GET_IRQ_INFO: u16 = 7;
    pub const DEVICE_SET_IRQS: u16 = 8;
    pub const REGION_READ: u16 = 9;
    pub const REGION_WRITE: u16 = 10;
    pub const DEVICE_RESET: u16 = 13;
}

/// The low bits of a header's flags: what kind of message it is.
const TYPE: u32 = 0xf;
const REQUEST: u32 = 0;
const REPLY: u32 = 1;
const NO_REPLY: u32 = 1 << 4;
const ERROR: u32 = 1 << 5;

/// The header of every message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Chosen by the client; comes back with the reply.
    pub id: u16,
    /// What is asked.
    pub command: u16,
    /// Bytes of the message, header and all.
    pub size: u32,
    flags: u32,
    error: u32,
}

impl Header {
    /// The header at the start of `bytes`, if they are enough.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        Some(Self {
            id: fields.u16()?,
            command: fields.u16()?,
            size: fields.u32()?,
            flags: fields.u32()?,
            error: fields.u32()?,
        })
    }

    /// Whether it asks for something.
    pub fn is_request(&self) -> bool {
        self.flags & TYPE == REQUEST
    }

    /// Whether the client does not want to know.
    pub fn no_reply(&self) -> bool {
        self.flags & NO_REPLY != 0
    }

    fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..2].copy_from_slice(&self.id.to_ne_bytes());
        bytes[2..4].copy_from_slice(&self.command.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.size.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.flags.to_ne_bytes());
        bytes[12..].copy_from_slice(&self.error.to_ne_bytes());
        bytes
    }
}

/// Reads numbers off the front of a message.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_ne_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_ne_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_ne_bytes)
    }
}

/// A reply under construction. Its memory is used again for the next one.
#[derive(Debug, Default)]
pub struct Reply {
    bytes: Vec<u8>,
}

impl Reply {
    /// Starts the reply to a request.
    pub fn start(&mut self, request: Header) {
        self.bytes.clear();
        let header = Header { flags: REPLY, size: 0, error: 0, ..request };
        self.bytes.extend(header.bytes());
    }

    /// Makes it the report of an error instead.
    pub fn fail(&mut self, request: Header, error: &io::Error) {
        self.bytes.clear();
        let header = Header { flags: REPLY | ERROR, size: 0, error: errno(error), ..request };
        self.bytes.extend(header.bytes());
    }

    pub fn bytes(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
    }

    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_ne_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_ne_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_ne_bytes());
    }

    /// Adds `length` zeros, to be filled in.
    pub fn space(&mut self, length: usize) -> &mut [u8] {
        let start = self.bytes.len();
        self.bytes.resize(start + length, 0);
        self.bytes.get_mut(start..).unwrap_or_default()
    }

    /// `struct vfio_region_info` of region `index` with what `flags` say; for one
    /// that can be mapped as a whole, with the capability that says so, if it fits
    /// into `room` bytes. Returns whether the capability is there.
    pub fn region_info(
        &mut self,
        index: u32,
        flags: u32,
        size: u64,
        mapped: bool,
        room: u32,
    ) -> bool {
        // One area: an entry of the list's header, the list's head, the area.
        const CAPABILITY: u32 = 8 + 8 + 16;
        let (whole, flags, capability) = if mapped {
            (REGION_INFO + CAPABILITY, flags | VFIO_REGION_INFO_FLAG_CAPS, REGION_INFO)
        } else {
            (REGION_INFO, flags, 0)
        };
        self.u32(whole);
        self.u32(flags);
        self.u32(index);
        self.u32(capability);
        self.u64(size);
        self.u64(0);
        let fits = mapped && room >= whole;
        if fits {
            self.u16(VFIO_REGION_INFO_CAP_SPARSE_MMAP as u16);
            // Version of the capability, offset of the next.
            self.u16(1);
            self.u32(0);
            // Areas, reserved, offset and size of the area.
            self.u32(1);
            self.u32(0);
            self.u64(0);
            self.u64(size);
        }
        fits
    }

    /// The finished message.
    pub fn finish(&mut self) -> &[u8] {
        let size = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        if let Some(field) = self.bytes.get_mut(4..8) {
            field.copy_from_slice(&size.to_ne_bytes());
        }
        &self.bytes
    }
}

/// The number that the client's operating system has for an error.
fn errno(error: &io::Error) -> u32 {
    use rustix::io::Errno;
    let number = error.raw_os_error().unwrap_or_else(|| {
        let errno = match error.kind() {
            io::ErrorKind::InvalidInput => Errno::INVAL,
            io::ErrorKind::Unsupported => Errno::OPNOTSUPP,
            _ => Errno::IO,
        };
        errno.raw_os_error()
    });
    number.unsigned_abs()
}
