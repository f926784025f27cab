// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Memory for frames: equal buffers that the hardware fills and empties.

use crate::dma::Mapped;
use crate::error::{Error, Result};
use crate::qbman::{Fd, Format, SgEntry};

/// What sizes of buffers are multiples of, bytes.
const GRAIN: usize = 256;
/// Most bytes of a buffer.
const LARGEST: usize = 0xff00;
/// Most entries of a table that are looked at: a buffer of the largest size is full of them.
const MOST_ENTRIES: usize = LARGEST / SgEntry::SIZE;

/// Furthest that a descriptor says that a frame starts behind its buffer's start, bytes: it has 12
/// bits for that.
const FURTHEST: u16 = 0xfff;

/// Mapped memory, cut into buffers. Reading and writing frames copies: the hardware may change
/// what it has at any time, and there is no reference to it.
#[derive(Debug)]
pub struct Frames {
    memory: Mapped,
    size: usize,
    /// How many buffers; there may be room for more, since memory is mapped by pages.
    count: usize,
}

impl Frames {
    pub(super) fn check(count: usize, size: usize) -> Result<()> {
        let argument = |what, value: usize, problem| {
            Err(Error::Argument { what, value: value as u64, problem })
        };
        if size == 0 || size > LARGEST || size % GRAIN != 0 {
            let problem = "bytes is none: use a multiple of 256 up to 65280";
            return argument("the size of a buffer of", size, problem);
        }
        if count == 0 {
            return argument("the number of frames", 0, "is too small: have room for one at least");
        }
        Ok(())
    }

    pub(super) fn new(memory: Mapped, count: usize, size: usize) -> Self {
        Self { memory, size, count }
    }

    /// Bytes of a buffer.
    pub fn buffer_size(&self) -> u16 {
        self.size as u16
    }

    /// The buffers' I/O virtual addresses.
    pub fn buffers(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.count as u64).map(|n| self.memory.iova() + n * self.size as u64)
    }

    /// Puts a frame into a buffer, `offset` bytes behind its start; its descriptor, for a
    /// buffer that goes back to `pool` when the frame has been sent.
    ///
    /// # Errors
    /// [`Error::Argument`] where the buffer is none of these, or too small, or the offset is
    /// larger than 4095, which a descriptor cannot say.
    pub fn put(&self, buffer: u64, offset: u16, frame: &[u8], pool: u16) -> Result<Fd> {
        if offset > FURTHEST {
            return Err(Error::Argument {
                what: "the offset of a frame of",
                value: offset.into(),
                problem: "bytes is too large for a frame descriptor: use 4095 at most",
            });
        }
        if usize::from(offset) + frame.len() > self.size {
            return Err(Error::Argument {
                what: "a frame that ends at byte",
                value: offset as u64 + frame.len() as u64,
                problem: "is too long for the buffer",
            });
        }
        if !self.buffers_contain(buffer) {
            return Err(outside(buffer));
        }
        self.write(buffer + u64::from(offset), frame)?;
        let fd = Fd { address: buffer, length_word: frame.len() as u32, ..Fd::default() };
        Ok(fd.with_layout(offset, Format::Single).with_pool(Some(pool)))
    }

    /// Appends the bytes of a frame to `into`: of one buffer, or of a table of them.
    ///
    /// # Errors
    /// [`Error::Argument`] where a part of it is outside of this memory, or the format is not
    /// one of these two.
    pub fn get(&self, fd: &Fd, into: &mut Vec<u8>) -> Result<()> {
        match fd.format() {
            Format::Single => self.read(data_of(fd), fd.length() as usize, into),
            Format::ScatterGather => {
                for entry in self.table(fd)? {
                    let at = entry.address.wrapping_add(u64::from(entry.offset()));
                    self.read(at, entry.length() as usize, into)?;
                }
                Ok(())
            }
            format => Err(unknown(format)),
        }
    }

    /// Replaces bytes of a frame of one buffer, `at` bytes behind its start.
    ///
    /// # Errors
    /// [`Error::Argument`] outside of the frame, or where it is no frame of one buffer.
    pub fn patch(&self, fd: &Fd, at: usize, bytes: &[u8]) -> Result<()> {
        if fd.format() != Format::Single {
            return Err(unknown(fd.format()));
        }
        if at.checked_add(bytes.len()).is_none_or(|end| end > fd.length() as usize) {
            let problem = "is outside of the frame";
            return Err(Error::Argument { what: "the offset", value: at as u64, problem });
        }
        self.write(data_of(fd).wrapping_add(at as u64), bytes)
    }

    /// The buffers that a frame lies in, with the table's, by their pools: what to release
    /// when a frame is not sent on.
    ///
    /// # Errors
    /// As [`Frames::get`].
    pub fn buffers_of(&self, fd: &Fd) -> Result<Vec<(u16, u64)>> {
        let own = fd.pool().map(|pool| (pool, fd.address));
        match fd.format() {
            Format::Single => Ok(own.into_iter().collect()),
            Format::ScatterGather => {
                let parts = self.table(fd)?;
                // One in the table's own buffer has none to itself.
                let parts = parts.iter().filter(|part| part.format() != Format::List);
                let parts = parts.filter_map(|part| Some((part.pool()?, part.address)));
                Ok(parts.chain(own).collect())
            }
            format => Err(unknown(format)),
        }
    }

    fn table(&self, fd: &Fd) -> Result<Vec<SgEntry>> {
        let mut entries = Vec::new();
        for n in 0..MOST_ENTRIES {
            let mut bytes = Vec::new();
            let at = data_of(fd).wrapping_add((n * SgEntry::SIZE) as u64);
            self.read(at, SgEntry::SIZE, &mut bytes)?;
            let bytes: [u8; SgEntry::SIZE] = bytes.try_into().map_err(|_| outside(at))?;
            let entry = SgEntry::from_bytes(&bytes);
            entries.push(entry);
            if entry.is_final() {
                return Ok(entries);
            }
        }
        let problem = "has no last entry";
        Err(Error::Argument { what: "the table of buffers at", value: data_of(fd), problem })
    }

    fn buffers_contain(&self, buffer: u64) -> bool {
        let within = buffer.checked_sub(self.memory.iova());
        let size = self.size as u64;
        within.is_some_and(|at| at % size == 0 && at / size < self.count as u64)
    }

    fn read(&self, at: u64, length: usize, into: &mut Vec<u8>) -> Result<()> {
        let offset = self.offset(at, length).ok_or_else(|| outside(at))?;
        let before = into.len();
        into.resize(before + length, 0);
        self.memory.read(offset, &mut into[before..]).ok_or_else(|| outside(at))
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let offset = self.offset(at, bytes.len()).ok_or_else(|| outside(at))?;
        self.memory.write(offset, bytes).ok_or_else(|| outside(at))
    }

    /// Place in the memory of so many bytes at an I/O virtual address.
    fn offset(&self, at: u64, length: usize) -> Option<usize> {
        let offset = at.checked_sub(self.memory.iova())?;
        let end = offset.checked_add(length as u64)?;
        (end <= self.memory.size()).then_some(offset as usize)
    }
}

fn data_of(fd: &Fd) -> u64 {
    fd.address.wrapping_add(u64::from(fd.offset()))
}

fn outside(address: u64) -> Error {
    let problem = "is outside of the memory for frames";
    Error::Argument { what: "the I/O virtual address", value: address, problem }
}

fn unknown(format: Format) -> Error {
    let value = match format {
        Format::Single => 0,
        Format::List => 1,
        Format::ScatterGather => 2,
        Format::Reserved => 3,
    };
    Error::Argument { what: "a frame of format", value, problem: "cannot be used here" }
}
