// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A server of the vfio-user protocol, as far as QEMU speaks it to a PCI device.
//!
//! The protocol is that of libvfio-user's `docs/vfio-user.rst`, version 0.0.
//! Region accesses are its hot part: a guest's store to a doorbell is one message,
//! and a processor of the guest waits for the answer. So messages are received as
//! many as have come, in one system call, nothing is allocated for an access, an
//! answer is one write, and a connection that is busy is looked at for a moment
//! before its thread sleeps ([`Patience`]).

mod connection;
mod incoming;
mod message;
mod patience;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

use connection::Connection;
use patience::Patience;

/// Bytes of the largest region access, announced to the client.
pub const LARGEST_ACCESS: usize = 0x1_0000;
/// File descriptors that may come with a message, announced to the client.
pub const MOST_DESCRIPTORS: usize = 16;

/// What a client finds: the device's regions and interrupts, by index.
#[derive(Debug, Default)]
pub struct Description {
    /// Regions.
    pub regions: Vec<Region>,
    /// Interrupts.
    pub irqs: Vec<Irq>,
}

/// A region of the device.
#[derive(Debug)]
pub struct Region {
    /// `VFIO_REGION_INFO_FLAG_*`, those that say what is possible.
    pub flags: u32,
    /// Bytes; 0 where there is no such region.
    pub size: u64,
    /// What a client maps in place of sending accesses, from its first byte on.
    pub file: Option<OwnedFd>,
}

/// The interrupts of one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Irq {
    /// `VFIO_IRQ_INFO_*`.
    pub flags: u32,
    /// How many vectors.
    pub count: u32,
}

/// Memory of the client that a device may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DmaRange {
    /// Where the device sees it.
    pub address: u64,
    /// Bytes.
    pub size: u64,
}

/// A change of how the device interrupts (`VFIO_DEVICE_SET_IRQS`).
#[derive(Debug)]
pub struct IrqSet {
    /// Index of the interrupts.
    pub index: u32,
    /// `VFIO_IRQ_SET_*`.
    pub flags: u32,
    /// The first vector.
    pub start: u32,
    /// How many.
    pub count: u32,
    /// Their eventfds, in order.
    pub eventfds: Vec<File>,
}

/// The device behind a connection. An error is reported to the client.
pub trait Device {
    /// Reads `data.len()` bytes at `offset` of a region that the description has.
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()>;

    /// Writes `data` at `offset` of a region that the description has.
    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> io::Result<()>;

    /// The client shares `range`, as `file` from `offset` on where there is one.
    fn dma_map(
        &mut self,
        range: DmaRange,
        writable: bool,
        file: Option<(File, u64)>,
    ) -> io::Result<()>;

    /// The client takes `range` back; all of its memory where there is none.
    fn dma_unmap(&mut self, range: Option<DmaRange>) -> io::Result<()>;

    /// A reset of the device.
    fn reset(&mut self) -> io::Result<()>;

    /// Gives, takes or triggers interrupts.
    fn set_irqs(&mut self, set: IrqSet) -> io::Result<()>;
}

/// Why a connection ended before its client closed it.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Nobody connected.
    #[error("no connection: {0}")]
    Accept(#[source] io::Error),
    /// Reading from the connection failed.
    #[error("cannot receive: {0}")]
    Receive(#[source] io::Error),
    /// Writing to the connection failed.
    #[error("cannot answer: {0}")]
    Send(#[source] io::Error),
    /// What arrives is no vfio-user message, and where the next one starts is
    /// unknown.
    #[error("malformed message: command {command}, {size} bytes")]
    Malformed {
        /// Its command.
        command: u16,
        /// Its size, as the message has it.
        size: u32,
    },
}

/// A socket that listens for the one client of a device.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
}

impl Server {
    /// Listens on a socket that is made at `path`.
    ///
    /// # Errors
    /// Where that is not possible, or something is there already.
    pub fn bind(path: &Path) -> io::Result<Self> {
        Ok(Self { listener: UnixListener::bind(path)? })
    }

    /// Serves one connection until its client closes it.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn serve(
        &self,
        description: &Description,
        device: &mut dyn Device,
    ) -> Result<(), ServeError> {
        let (stream, _) = self.listener.accept().map_err(ServeError::Accept)?;
        Connection::new(stream, Patience::default()).serve(description, device)
    }
}

#[cfg(test)]
mod tests;
