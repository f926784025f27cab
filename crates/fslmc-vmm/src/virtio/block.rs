// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A disk whose sectors are those of a file or of a block device (VIRTIO 1.2, 5.2 "Block
//! Device").

use super::mmio::{Broken, Device};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_ID_BYTES,
    VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_FLUSH,
    VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT,
};
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;
use virtio_queue::DescriptorChain;
use vm_memory::GuestMemoryMmap;

/// Bytes of a sector, whatever the disk's blocks are.
const SECTOR: u64 = 512;

/// Buffers of a request, at most: what is left of a queue's descriptors.
const MOST_BUFFERS: u32 = 126;

/// Bytes that go through this process's memory at once, and between two looks whether the
/// device is to end.
const CHUNK: usize = 64 << 10;

/// A disk as the command line names it: a path, and ":ro" behind it for one that the guest
/// may only read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// File or block device.
    pub path: PathBuf,
    /// The guest may not write to it.
    pub read_only: bool,
}

impl Source {
    fn not_to_write(&self, reason: &dyn std::fmt::Display) -> String {
        let path = self.path.display();
        format!("{reason}: give it as {path}:ro if the guest is only to read")
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, read_only) = match text.strip_suffix(":ro") {
            Some(path) => (path, true),
            None => (text, false),
        };
        if path.is_empty() {
            return Err("write the path of a file or block device".to_owned());
        }
        Ok(Self { path: path.into(), read_only })
    }
}

/// An open disk.
#[derive(Debug)]
pub struct Disk {
    file: File,
    bytes: u64,
    read_only: bool,
    id: [u8; VIRTIO_BLK_ID_BYTES as usize],
    configuration: [u8; 16],
}

impl Disk {
    /// Opens a disk; one that is written to belongs to nobody else meanwhile.
    ///
    /// # Errors
    /// A sentence without the file's name.
    pub fn open(source: &Source) -> Result<Self, String> {
        let said = |error: io::Error| error.to_string();
        let write = !source.read_only;
        let file = OpenOptions::new().read(true).write(write).open(&source.path);
        let mut file = file.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem if write => {
                source.not_to_write(&error)
            }
            _ => error.to_string(),
        })?;
        let metadata = file.metadata().map_err(said)?;
        let kind = metadata.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err("neither a file nor a block device".to_owned());
        }
        // Linux opens such a device for writing all the same, and then refuses each write.
        if write && kind.is_block_device() && is_read_only(metadata.rdev()) {
            return Err(source.not_to_write(&"a device that is only to be read"));
        }
        let lock = match write {
            true => FlockOperation::NonBlockingLockExclusive,
            false => FlockOperation::NonBlockingLockShared,
        };
        flock(&file, lock).map_err(|error| match error {
            Errno::WOULDBLOCK => {
                "in use by another guest or given twice, and one of both writes to it".to_owned()
            }
            _ => format!("locking it: {error}"),
        })?;
        // Of a block device, the metadata tells no size.
        let bytes = file.seek(SeekFrom::End(0)).map_err(said)?;
        if bytes == 0 || bytes % SECTOR != 0 {
            return Err(format!("{bytes} bytes, which are no whole number of sectors of {SECTOR}"));
        }
        let mut configuration = [0; 16];
        configuration[..8].copy_from_slice(&(bytes / SECTOR).to_le_bytes());
        configuration[12..].copy_from_slice(&MOST_BUFFERS.to_le_bytes());
        Ok(Self { file, bytes, read_only: source.read_only, id: id(&source.path), configuration })
    }

    /// Where bytes of a request are, if the disk has them all and they are whole sectors.
    fn place(&self, sector: u64, bytes: usize) -> Option<u64> {
        let start = sector.checked_mul(SECTOR)?;
        let end = start.checked_add(bytes as u64)?;
        (end <= self.bytes && bytes as u64 % SECTOR == 0).then_some(start)
    }

    fn read(
        &self,
        sector: u64,
        bytes: usize,
        to: &mut impl Write,
        ends: &AtomicBool,
    ) -> io::Result<()> {
        let at = self.place(sector, bytes).ok_or(io::ErrorKind::InvalidInput)?;
        chunks(at, bytes, ends, |at, chunk| {
            self.file.read_exact_at(chunk, at)?;
            to.write_all(chunk)
        })
    }

    fn write(
        &self,
        sector: u64,
        bytes: usize,
        from: &mut impl Read,
        ends: &AtomicBool,
    ) -> io::Result<()> {
        if self.read_only {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let at = self.place(sector, bytes).ok_or(io::ErrorKind::InvalidInput)?;
        chunks(at, bytes, ends, |at, chunk| {
            from.read_exact(chunk)?;
            self.file.write_all_at(chunk, at)
        })
    }
}

/// Takes the steps of a request; one that the device's end cuts off has failed.
fn chunks(
    mut at: u64,
    mut bytes: usize,
    ends: &AtomicBool,
    mut step: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; bytes.min(CHUNK)];
    while bytes > 0 {
        if ends.load(Ordering::Acquire) {
            return Err(io::Error::other("the device ends"));
        }
        let count = bytes.min(CHUNK);
        step(at, &mut buffer[..count])?;
        at += count as u64;
        bytes -= count;
    }
    Ok(())
}

/// Whether a block device takes no writes, which sysfs tells.
fn is_read_only(device: u64) -> bool {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let told = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/ro"));
    told.is_ok_and(|text| text.trim() == "1")
}

/// The end of the file's name, by which the guest can tell disks apart
/// (`/sys/block/vda/serial`).
fn id(path: &Path) -> [u8; VIRTIO_BLK_ID_BYTES as usize] {
    let mut id = [0; VIRTIO_BLK_ID_BYTES as usize];
    let name = path.file_name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
    let tail = &name[name.len().saturating_sub(id.len())..];
    id[..tail.len()].copy_from_slice(tail);
    id
}

impl Device for Disk {
    const ID: u32 = VIRTIO_ID_BLOCK;

    fn features(&self) -> u64 {
        let read_only = if self.read_only { 1 << VIRTIO_BLK_F_RO } else { 0 };
        1 << VIRTIO_BLK_F_SEG_MAX | 1 << VIRTIO_BLK_F_FLUSH | read_only
    }

    fn configuration(&self) -> &[u8] {
        &self.configuration
    }

    fn execute(
        &self,
        memory: &GuestMemoryMmap,
        chain: DescriptorChain<&GuestMemoryMmap>,
        ends: &AtomicBool,
    ) -> Result<u32, Broken> {
        let mut request = chain.clone().reader(memory)?;
        let mut answer = chain.writer(memory)?;
        let header: [u8; 16] = request.read_obj()?;
        let room = answer.available_bytes().checked_sub(1);
        let room = room.ok_or_else(|| io::Error::other("it has no room for the status"))?;
        let mut status = answer.split_at(room).map_err(io::Error::other)?;
        let (kind, sector) = fields(&header);
        let done = match kind {
            VIRTIO_BLK_T_IN => self.read(sector, room, &mut answer, ends),
            VIRTIO_BLK_T_OUT => self.write(sector, request.available_bytes(), &mut request, ends),
            VIRTIO_BLK_T_FLUSH => self.file.sync_data(),
            VIRTIO_BLK_T_GET_ID => answer.write_all(&self.id[..room.min(self.id.len())]),
            _ => Err(io::ErrorKind::Unsupported.into()),
        };
        let code = match done {
            Ok(()) => VIRTIO_BLK_S_OK,
            Err(error) if error.kind() == io::ErrorKind::Unsupported => VIRTIO_BLK_S_UNSUPP,
            Err(_) => VIRTIO_BLK_S_IOERR,
        };
        status.write_obj(code as u8)?;
        // The status is written behind what was not: a driver that looks at the number sees
        // less than there is, which it must be ready for.
        Ok(u32::try_from(answer.bytes_written() + 1).unwrap_or(u32::MAX))
    }
}

/// Kind and first sector of a request (5.2.6: type, reserved, sector).
fn fields(header: &[u8; 16]) -> (u32, u64) {
    let [kind @ .., _, _, _, _, _, _, _, _, _, _, _, _] = header;
    let [_, _, _, _, _, _, _, _, sector @ ..] = header;
    (u32::from_le_bytes(*kind), u64::from_le_bytes(*sector))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What ends the device when the first piece of a request goes through.
    struct Ender<'a> {
        ends: &'a AtomicBool,
        bytes: usize,
    }

    impl Ender<'_> {
        fn take(&mut self, bytes: usize) -> io::Result<usize> {
            self.ends.store(true, Ordering::Release);
            self.bytes += bytes;
            Ok(bytes)
        }
    }

    impl Write for Ender<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.take(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for Ender<'_> {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            bytes.fill(0xa5);
            self.take(bytes.len())
        }
    }

    #[test]
    fn the_end_cuts_a_request_off_and_it_has_failed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes = 3 * CHUNK;
        file.as_file().set_len(bytes as u64).unwrap();
        let disk = Disk::open(&Source { path: file.path().to_owned(), read_only: false }).unwrap();
        let ends = AtomicBool::new(false);
        let mut ender = Ender { ends: &ends, bytes: 0 };
        disk.read(0, bytes, &mut ender, &ends).unwrap_err();
        assert_eq!(ender.bytes, CHUNK);
        // None of it is done when the end is there already.
        disk.write(0, bytes, &mut ender, &ends).unwrap_err();
        assert_eq!(ender.bytes, CHUNK);
        ends.store(false, Ordering::Release);
        disk.write(0, bytes, &mut ender, &ends).unwrap_err();
        let written = std::fs::read(file.path()).unwrap();
        assert!(written[..CHUNK].iter().all(|byte| *byte == 0xa5));
        assert!(written[CHUNK..].iter().all(|byte| *byte == 0));
        // What is done when the end comes has not failed.
        ends.store(false, Ordering::Release);
        disk.write(0, CHUNK, &mut ender, &ends).unwrap();
    }
}
