// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A container with two interfaces that reach each other, and what tests do with it.
#![allow(dead_code)]

use dprc::qbman::{DequeueEntry, Fd, Portal, Source};
use dprc::{Backend, Dataplane, Frames, Interface, InterfaceConfig, Pool};
use dprc_board::{Contents, InProcessBoard, InProcessContainer, Options};

/// An LX2160A, and its only container.
pub fn container() -> (InProcessBoard, InProcessContainer) {
    container_on("lx2160a")
}

/// A board with a chip of this name, and its only container.
pub fn container_on(chip: &str) -> (InProcessBoard, InProcessContainer) {
    let mc = board::mc::Config { soc: board::Soc::find(chip).expect(chip), ..Default::default() };
    let config = board::BoardConfig { mc, ..Default::default() };
    let board = InProcessBoard::with(Options { config, ..Options::default() }).expect("a board");
    let id = board.make_container(&Contents::pair_of_interfaces()).expect("a container");
    let held = board.open(id).expect("it is free");
    (board, held)
}

/// A frame of so many bytes that ends in a mark.
pub fn frame(length: usize, mark: u8) -> Vec<u8> {
    let mut frame = vec![0x5a; length];
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    frame[6..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 0x88, 0xb5]);
    frame[length - 1] = mark;
    frame
}

/// Two interfaces that share a pool.
pub struct Pair<'b> {
    pub plane: Dataplane<'b>,
    pub portal: Portal,
    pub frames: Frames,
    pub pool: Pool,
    pub one: Interface,
    pub other: Interface,
}

impl<'b> Pair<'b> {
    pub const BUFFERS: usize = 100;

    pub fn new(held: &'b dyn Backend) -> Self {
        let mut plane = Dataplane::open(held).expect("objects");
        let mut portal = plane.portal().expect("a portal");
        let frames = plane.frames(Self::BUFFERS, 2048).expect("memory");
        let pool = plane.pool(&mut portal, &frames).expect("a pool");
        let one = plane.interface(&InterfaceConfig::new(pool)).expect("an interface");
        let other = plane.interface(&InterfaceConfig::new(pool)).expect("an interface");
        Self { plane, portal, frames, pool, one, other }
    }

    /// A frame in a buffer of the pool's.
    pub fn put(&mut self, frame: &[u8]) -> Fd {
        let mut buffer = [0];
        assert_eq!(self.portal.acquire(self.pool.number, &mut buffer).unwrap(), 1);
        self.frames
            .put(buffer[0], self.one.transmit_offset, frame, self.pool.number)
            .expect("it fits")
    }

    pub fn receive(&mut self, source: Source) -> Vec<DequeueEntry> {
        let mut entries = Vec::new();
        let most = self.portal.most();
        let count = self.portal.dequeue(source, most, &mut entries).expect("an answer");
        assert_eq!(count, entries.len());
        entries
    }

    pub fn bytes(&self, fd: &Fd) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.frames.get(fd, &mut bytes).expect("it is in the memory");
        bytes
    }

    pub fn give_back(&mut self, fd: &Fd) {
        for (pool, buffer) in self.frames.buffers_of(fd).expect("it is in the memory") {
            assert_eq!(self.portal.release(pool, &[buffer]).unwrap(), 1);
        }
    }

    /// How many buffers the pool holds; they are there again afterwards.
    pub fn free(&mut self) -> usize {
        let mut all = vec![0; Self::BUFFERS + 1];
        let count = self.portal.acquire(self.pool.number, &mut all).unwrap();
        let mut left = &all[..count];
        while !left.is_empty() {
            let released = self.portal.release(self.pool.number, left).unwrap();
            left = &left[released..];
        }
        count
    }
}

/// Some buffers of the pool's.
pub fn addresses(pair: &mut Pair<'_>) -> [u64; 4] {
    let mut buffers = [0; 4];
    assert_eq!(pair.portal.acquire(pair.pool.number, &mut buffers).unwrap(), 4);
    buffers
}
