// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a driver writes and reads, put down after the structures of Linux and
//! DPDK.

/// An enqueue descriptor without the frame.
#[derive(Debug, Clone, Copy, Default)]
pub struct Descriptor {
    pub verb: u8,
    pub dca: u8,
    pub seqnum: u16,
    pub orpid: u16,
    pub tgtid: u32,
    pub tag: u32,
    pub qdbin: u16,
    pub qpri: u8,
    pub rspid: u8,
    pub rsp_addr: u64,
}

impl Descriptor {
    /// To a queue; rejects go to a queue too.
    pub fn to_queue(fqid: u32) -> Self {
        Self { verb: 2, tgtid: fqid, ..Self::default() }
    }

    pub fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[0] = self.verb;
        bytes[1] = self.dca;
        bytes[2..4].copy_from_slice(&self.seqnum.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.orpid.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.tgtid.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.tag.to_le_bytes());
        bytes[16..18].copy_from_slice(&self.qdbin.to_le_bytes());
        bytes[18] = self.qpri;
        bytes[23] = self.rspid;
        bytes[24..].copy_from_slice(&self.rsp_addr.to_le_bytes());
        bytes
    }
}

/// A frame descriptor of this many bytes, told from others by its address.
pub fn frame(address: u64, length: u32) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&address.to_le_bytes());
    bytes[8..12].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// An entry of the dequeue ring, or of storage.
#[derive(Debug, Clone, Copy)]
pub struct Dequeued(pub [u8; 64]);

impl Dequeued {
    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    fn double(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    pub fn verb(&self) -> u8 {
        self.0[0] & 0x7f
    }

    pub fn stat(&self) -> u8 {
        self.0[1]
    }

    pub fn seqnum(&self) -> u16 {
        (self.word(0) >> 16) as u16
    }

    pub fn oprid(&self) -> u16 {
        self.word(4) as u16
    }

    pub fn token(&self) -> u8 {
        self.0[7]
    }

    pub fn has_frame(&self) -> bool {
        self.stat() & 0x10 != 0
    }

    pub fn is_last(&self) -> bool {
        self.stat() & 1 != 0
    }

    pub fn fqid(&self) -> u32 {
        self.word(8)
    }

    pub fn counts(&self) -> (u32, u32) {
        (self.word(20), self.word(16))
    }

    pub fn context(&self) -> u64 {
        self.double(24)
    }

    pub fn address(&self) -> u64 {
        self.double(32)
    }

    /// Of a notification: state, resource and context.
    pub fn notice(&self) -> (u8, u32, u64) {
        (self.0[2], self.word(4), self.double(8))
    }
}

/// Where a volatile dequeue takes frames from, as the verb has it.
#[derive(Debug, Clone, Copy)]
pub enum From {
    Channel(u32),
    WorkQueue(u32),
    Queue(u32),
}
