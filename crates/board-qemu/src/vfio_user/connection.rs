// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! One client's connection: requests in, replies out.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use vfio_bindings::bindings::vfio::{
    VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_FLAGS_RESET, VFIO_IRQ_SET_DATA_BOOL,
};

use super::incoming::Incoming;
use super::message::{Fields, Header, Reply, command};
use super::patience::Patience;
use super::{Description, Device, DmaRange, IrqSet, LARGEST_ACCESS, MOST_DESCRIPTORS, ServeError};

/// `VFIO_USER_F_DMA_REGION_WRITE`.
const DMA_WRITABLE: u32 = 1 << 1;
/// `VFIO_USER_F_DMA_UNMAP_ALL`.
const DMA_UNMAP_ALL: u32 = 1 << 2;

/// A connection.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    incoming: Incoming,
    reply: Reply,
    patience: Patience,
}

/// A request with all that it came with.
struct Request<'a> {
    header: Header,
    body: &'a [u8],
    descriptors: Vec<File>,
}

impl Connection {
    pub fn new(stream: UnixStream, patience: Patience) -> Self {
        Self { stream, incoming: Incoming::new(), reply: Reply::default(), patience }
    }

    /// Serves until the client closes.
    pub fn serve(
        mut self,
        description: &Description,
        device: &mut dyn Device,
    ) -> Result<(), ServeError> {
        loop {
            while let Some((header, body)) = self.incoming.next()? {
                if !header.is_request() {
                    let Header { command, size, .. } = header;
                    return Err(ServeError::Malformed { command, size });
                }
                let descriptors = self.incoming.descriptors(body.end);
                let request = Request { header, body: self.incoming.body(body), descriptors };
                self.reply.start(header);
                let file = match request.perform(description, device, &mut self.reply) {
                    Ok(file) => file,
                    Err(error) => {
                        tracing::debug!(command = header.command, %error, "request refused");
                        self.reply.fail(header, &error);
                        None
                    }
                };
                if !header.no_reply() {
                    send(&self.stream, self.reply.finish(), file).map_err(ServeError::Send)?;
                }
            }
            let more = self.incoming.receive(&self.stream, &mut self.patience);
            if !more.map_err(ServeError::Receive)? {
                return Ok(());
            }
        }
    }
}

/// Sends a message, with a file descriptor where there is one.
fn send(mut stream: &UnixStream, bytes: &[u8], file: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let Some(file) = file else { return stream.write_all(bytes) };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = [file];
    if !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let sent = sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    stream.write_all(bytes.get(sent..).unwrap_or_default())
}

impl Request<'_> {
    /// Does what is asked and writes the body of the reply. Returns the file that
    /// goes with it.
    fn perform<'d>(
        self,
        description: &'d Description,
        device: &mut dyn Device,
        reply: &mut Reply,
    ) -> io::Result<Option<BorrowedFd<'d>>> {
        match self.header.command {
            command::REGION_WRITE => self.region_write(description, device, reply)?,
            command::REGION_READ => self.region_read(description, device, reply)?,
            command::VERSION => self.version(reply)?,
            command::DMA_MAP => self.dma_map(device)?,
            command::DMA_UNMAP => self.dma_unmap(device, reply)?,
            command::DEVICE_GET_INFO => {
                reply.u32(16);
                reply.u32(VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
                reply.u32(count(&description.regions));
                reply.u32(count(&description.irqs));
            }
            command::DEVICE_GET_REGION_INFO => return self.region_info(description, reply),
            command::DEVICE_GET_IRQ_INFO => self.irq_info(description, reply)?,
            command::DEVICE_SET_IRQS => self.set_irqs(description, device)?,
            command::DEVICE_RESET => device.reset()?,
            _ => return Err(io::ErrorKind::Unsupported.into()),
        }
        Ok(None)
    }

    fn region_write(
        self,
        description: &Description,
        device: &mut dyn Device,
        reply: &mut Reply,
    ) -> io::Result<()> {
        let (access, data) = Access::parse(self.body, description)?;
        let data = data.get(..access.count as usize).ok_or_else(invalid)?;
        device.region_write(access.region, access.offset, data)?;
        access.write(reply);
        Ok(())
    }

    fn region_read(
        self,
        description: &Description,
        device: &mut dyn Device,
        reply: &mut Reply,
    ) -> io::Result<()> {
        let (access, _) = Access::parse(self.body, description)?;
        access.write(reply);
        device.region_read(access.region, access.offset, reply.space(access.count as usize))
    }

    /// Agrees on the version, and tells the client what a message may have.
    fn version(self, reply: &mut Reply) -> io::Result<()> {
        let mut fields = Fields(self.body);
        let (major, minor) = (fields.u16(), fields.u16());
        tracing::debug!(
            ?major,
            ?minor,
            capabilities = %String::from_utf8_lossy(fields.0),
            "vfio-user client"
        );
        if major != Some(0) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let capabilities = serde_json::json!({
            "capabilities": {
                "max_msg_fds": MOST_DESCRIPTORS,
                "max_data_xfer_size": LARGEST_ACCESS,
            }
        });
        reply.u16(0);
        reply.u16(0);
        reply.bytes(capabilities.to_string().as_bytes());
        reply.bytes(b"\0");
        Ok(())
    }

    fn dma_map(mut self, device: &mut dyn Device) -> io::Result<()> {
        let mut fields = Fields(self.body);
        let mut parse = || {
            let (_argsz, flags, offset) = (fields.u32()?, fields.u32()?, fields.u64()?);
            Some((flags, offset, DmaRange { address: fields.u64()?, size: fields.u64()? }))
        };
        let (flags, offset, range) = parse().ok_or_else(invalid)?;
        if self.descriptors.len() > 1 {
            return Err(invalid());
        }
        let file = self.descriptors.pop().map(|file| (file, offset));
        device.dma_map(range, flags & DMA_WRITABLE != 0, file)
    }

    fn dma_unmap(self, device: &mut dyn Device, reply: &mut Reply) -> io::Result<()> {
        let mut fields = Fields(self.body);
        let mut parse = || {
            let (_argsz, flags) = (fields.u32()?, fields.u32()?);
            Some((flags, DmaRange { address: fields.u64()?, size: fields.u64()? }))
        };
        let (flags, range) = parse().ok_or_else(invalid)?;
        device.dma_unmap((flags & DMA_UNMAP_ALL == 0).then_some(range))?;
        reply.bytes(self.body);
        Ok(())
    }

    fn region_info<'d>(
        self,
        description: &'d Description,
        reply: &mut Reply,
    ) -> io::Result<Option<BorrowedFd<'d>>> {
        let mut fields = Fields(self.body);
        let (Some(room), Some(_), Some(index)) = (fields.u32(), fields.u32(), fields.u32()) else {
            return Err(invalid());
        };
        let region = description.regions.get(index as usize).ok_or_else(invalid)?;
        let mapped = region.file.as_ref();
        let offered = reply.region_info(index, region.flags, region.size, mapped.is_some(), room);
        Ok(mapped.filter(|_| offered).map(AsFd::as_fd))
    }

    fn irq_info(self, description: &Description, reply: &mut Reply) -> io::Result<()> {
        let mut fields = Fields(self.body);
        let (Some(_), Some(_), Some(index)) = (fields.u32(), fields.u32(), fields.u32()) else {
            return Err(invalid());
        };
        let irq = description.irqs.get(index as usize).ok_or_else(invalid)?;
        reply.u32(16);
        reply.u32(irq.flags);
        reply.u32(index);
        reply.u32(irq.count);
        Ok(())
    }

    fn set_irqs(self, description: &Description, device: &mut dyn Device) -> io::Result<()> {
        let mut fields = Fields(self.body);
        let parse = || {
            let (_argsz, flags, index) = (fields.u32()?, fields.u32()?, fields.u32()?);
            let (start, count) = (fields.u32()?, fields.u32()?);
            Some(IrqSet { index, flags, start, count, eventfds: self.descriptors })
        };
        let set = parse().ok_or_else(invalid)?;
        if set.index as usize >= description.irqs.len() {
            return Err(invalid());
        }
        if set.flags & VFIO_IRQ_SET_DATA_BOOL != 0 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        device.set_irqs(set)
    }
}

/// A region access.
struct Access {
    offset: u64,
    region: u32,
    count: u32,
}

impl Access {
    /// The access at the start of a message's body, and what follows it.
    fn parse<'a>(body: &'a [u8], description: &Description) -> io::Result<(Self, &'a [u8])> {
        let mut fields = Fields(body);
        let mut parse =
            || Some(Self { offset: fields.u64()?, region: fields.u32()?, count: fields.u32()? });
        let access = parse().ok_or_else(invalid)?;
        if access.region as usize >= description.regions.len()
            || access.count as usize > LARGEST_ACCESS
        {
            return Err(invalid());
        }
        Ok((access, fields.0))
    }

    fn write(&self, reply: &mut Reply) {
        reply.u64(self.offset);
        reply.u32(self.region);
        reply.u32(self.count);
    }
}

fn count<T>(of: &[T]) -> u32 {
    u32::try_from(of.len()).unwrap_or(u32::MAX)
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidInput.into()
}
