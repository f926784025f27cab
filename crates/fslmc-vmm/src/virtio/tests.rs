// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A driver that does what VIRTIO 1.2 (3.1.1, 4.2.3) has a driver do, and one that does not.

use super::block::{Disk, Source};
use super::mmio::{Device, Port};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_FLUSH,
    VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT,
};
use virtio_bindings::virtio_ring::VRING_DESC_F_WRITE;
use virtio_queue::desc::{RawDescriptor, split::Descriptor};
use virtio_queue::mock::MockSplitQueue;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

const MAGIC: u64 = 0;
const OFFERED: u64 = 0x10;
const OFFERED_HALF: u64 = 0x14;
const TAKEN: u64 = 0x20;
const TAKEN_HALF: u64 = 0x24;
const SIZE: u64 = 0x38;
const READY: u64 = 0x44;
const REASONS: u64 = 0x60;
const ACKNOWLEDGE: u64 = 0x64;
const STATUS: u64 = 0x70;
const ADDRESSES: u64 = 0x80;
const CONFIGURATION: u64 = 0x100;

/// ACKNOWLEDGE, DRIVER; FEATURES_OK; DRIVER_OK; DEVICE_NEEDS_RESET.
const DRIVER: u32 = 3;
const FEATURES_OK: u32 = 8;
const DRIVER_OK: u32 = 4;
const NEEDS_RESET: u32 = 0x40;

/// Where requests have their header, their data and their status.
const HEADER: u64 = 0x10_0000;
const DATA: u64 = 0x11_0000;
const ANSWER: u64 = 0x18_0000;

struct Rig {
    memory: GuestMemoryMmap,
    port: Port<Disk>,
    line: EventFd,
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Rig {
    fn new(sectors: usize, read_only: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a-name-longer-than-twenty.img");
        let bytes: Vec<u8> = (0..sectors * 512).map(|place| (place / 512) as u8).collect();
        fs::write(&path, bytes).unwrap();
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 2 << 20)]).unwrap();
        let line = EventFd::new(EFD_NONBLOCK).unwrap();
        let disk = Disk::open(&Source { path: path.clone(), read_only }).unwrap();
        let port = Port::new(disk.into(), line.try_clone().unwrap()).unwrap();
        Self { memory, port, line, _folder: folder, path }
    }

    fn get(&self, register: u64) -> u32 {
        let mut bytes = [0; 4];
        self.port.load(register, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn set(&self, register: u64, value: u32) {
        self.port.store(register, &value.to_le_bytes());
    }

    /// Negotiates, and shows the queue.
    fn start(&self) {
        self.set(STATUS, 0);
        self.set(STATUS, DRIVER);
        for half in 0..2 {
            self.set(OFFERED_HALF, half);
            let offered = self.get(OFFERED);
            self.set(TAKEN_HALF, half);
            // All but the event index, which a queue of one request would not show.
            self.set(TAKEN, if half == 0 { offered & !(1 << 29) } else { offered });
        }
        self.set(STATUS, DRIVER | FEATURES_OK);
        assert_eq!(self.get(STATUS), DRIVER | FEATURES_OK);
        let queue = self.queue();
        self.set(SIZE, 16);
        let places = [queue.desc_table_addr(), queue.avail_addr(), queue.used_addr()];
        for (register, place) in (ADDRESSES..).step_by(0x10).zip(places) {
            self.set(register, place.0 as u32);
            self.set(register + 4, 0);
        }
        self.set(READY, 1);
        assert_eq!(self.get(READY), 1);
        self.set(STATUS, DRIVER | FEATURES_OK | DRIVER_OK);
    }

    fn queue(&self) -> MockSplitQueue<'_, GuestMemoryMmap> {
        MockSplitQueue::create(&self.memory, GuestAddress(0), 16)
    }

    /// Lets the device do a chain, which begins in the table where the first one did.
    fn submit(&self, descriptors: &[(u64, u32, bool)]) {
        // The device starts at the queue's start.
        self.start();
        self.memory.write_slice(&[0; 0x1000], GuestAddress(0)).unwrap();
        let descriptors: Vec<RawDescriptor> = descriptors
            .iter()
            .map(|(at, bytes, write)| {
                let flags = if *write { VRING_DESC_F_WRITE as u16 } else { 0 };
                RawDescriptor::from(Descriptor::new(*at, *bytes, flags, 0))
            })
            .collect();
        self.queue().build_desc_chain(&descriptors).unwrap();
        self.memory.write_obj(0xffu8, GuestAddress(ANSWER)).unwrap();
        self.port.work(&self.memory);
    }

    /// A request with data to read or to write; gives the status.
    fn request(&self, kind: u32, sector: u64, data: u32) -> u32 {
        let mut header = [0; 16];
        header[..4].copy_from_slice(&kind.to_le_bytes());
        header[8..].copy_from_slice(&sector.to_le_bytes());
        self.memory.write_slice(&header, GuestAddress(HEADER)).unwrap();
        let write = kind != VIRTIO_BLK_T_OUT;
        let all = [(HEADER, 16, false), (DATA, data, write), (ANSWER, 1, true)];
        match data {
            0 => self.submit(&[all[0], all[2]]),
            _ => self.submit(&all),
        }
        assert_eq!(self.get(STATUS) & NEEDS_RESET, 0);
        self.memory.read_obj::<u8>(GuestAddress(ANSWER)).unwrap().into()
    }

    fn data(&self, bytes: usize) -> Vec<u8> {
        let mut data = vec![0; bytes];
        self.memory.read_slice(&mut data, GuestAddress(DATA)).unwrap();
        data
    }
}

#[test]
fn the_registers_tell_what_it_is() {
    let rig = Rig::new(3, false);
    assert_eq!(rig.get(MAGIC).to_le_bytes(), *b"virt");
    assert_eq!((rig.get(4), rig.get(8)), (2, 2));
    let mut sectors = [0; 8];
    rig.port.load(CONFIGURATION, &mut sectors);
    assert_eq!(u64::from_le_bytes(sectors), 3);
    // Single bytes of the configuration; nothing behind its end; registers are words.
    let mut byte = [9];
    rig.port.load(CONFIGURATION, &mut byte);
    assert_eq!(byte, [3]);
    rig.port.load(CONFIGURATION + 0x400, &mut byte);
    assert_eq!(byte, [0]);
    rig.port.load(u64::MAX, &mut byte);
    rig.port.store(u64::MAX, &[1; 4]);
}

#[test]
fn sectors_are_read_and_written() {
    let rig = Rig::new(300, false);
    // More than goes through the device's own memory at once.
    let bytes = 299 * 512;
    assert_eq!(rig.request(VIRTIO_BLK_T_IN, 1, bytes), VIRTIO_BLK_S_OK);
    let expected: Vec<u8> = (512..300 * 512).map(|place| (place / 512) as u8).collect();
    assert_eq!(rig.data(bytes as usize), expected);
    assert_eq!(rig.get(REASONS), 1);
    assert_eq!(rig.line.read().unwrap(), 1);
    rig.set(ACKNOWLEDGE, 1);
    assert_eq!(rig.get(REASONS), 0);

    rig.memory.write_slice(&[0xa5; 1024], GuestAddress(DATA)).unwrap();
    assert_eq!(rig.request(VIRTIO_BLK_T_OUT, 2, 1024), VIRTIO_BLK_S_OK);
    assert_eq!(rig.request(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
    let file = fs::read(&rig.path).unwrap();
    assert_eq!((file[1023], &file[1024..2048], file[2048]), (1, &[0xa5; 1024][..], 4));
}

#[test]
fn its_name_is_the_end_of_the_files() {
    let rig = Rig::new(1, true);
    assert_eq!(rig.request(VIRTIO_BLK_T_GET_ID, 0, 20), VIRTIO_BLK_S_OK);
    assert_eq!(rig.data(20), *b"nger-than-twenty.img");
}

#[test]
fn what_it_does_not_do_it_refuses() {
    let rig = Rig::new(4, false);
    for (sector, bytes) in [(4, 512), (3, 1024), (0, 100), (u64::MAX / 256, 512), (u64::MAX, 512)] {
        assert_eq!(rig.request(VIRTIO_BLK_T_IN, sector, bytes), VIRTIO_BLK_S_IOERR);
        assert_eq!(rig.request(VIRTIO_BLK_T_OUT, sector, bytes), VIRTIO_BLK_S_IOERR);
    }
    assert_eq!(rig.request(77, 0, 512), VIRTIO_BLK_S_UNSUPP);
    let before = fs::read(&rig.path).unwrap();
    let rig = Rig::new(4, true);
    rig.memory.write_slice(&[0xa5; 512], GuestAddress(DATA)).unwrap();
    assert_eq!(rig.request(VIRTIO_BLK_T_OUT, 0, 512), VIRTIO_BLK_S_IOERR);
    assert_eq!(fs::read(&rig.path).unwrap(), before);
}

#[test]
fn a_driver_that_breaks_the_rules_is_told() {
    let rig = Rig::new(4, false);
    let chains: [&[(u64, u32, bool)]; 5] = [
        &[(HEADER, 16, false)],
        &[(HEADER, 15, false), (ANSWER, 1, true)],
        &[(ANSWER, 1, true)],
        &[(4 << 20, 16, false), (ANSWER, 1, true)],
        &[(HEADER, 16, false), (u64::MAX - 100, 512, true), (ANSWER, 1, true)],
    ];
    for chain in chains {
        rig.submit(chain);
        assert_eq!(rig.get(STATUS) & NEEDS_RESET, NEEDS_RESET, "{chain:x?}");
        assert_eq!(rig.get(REASONS), 2);
        // Nothing more until it is reset, which the driver cannot write away otherwise.
        rig.set(STATUS, DRIVER | FEATURES_OK | DRIVER_OK);
        assert_eq!(rig.get(STATUS) & NEEDS_RESET, NEEDS_RESET);
    }
    assert_eq!(rig.request(VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
    // Rings outside of memory.
    rig.start();
    rig.set(READY, 0);
    rig.set(ADDRESSES + 4, 0xffff_ffff);
    rig.set(READY, 1);
    rig.port.work(&rig.memory);
    assert_eq!(rig.get(STATUS) & NEEDS_RESET, NEEDS_RESET);
}

#[test]
fn features_that_are_not_offered_are_not_agreed() {
    let rig = Rig::new(4, false);
    for (half, features) in [(0, u32::MAX), (1, 0)] {
        rig.set(STATUS, 0);
        rig.set(STATUS, DRIVER);
        rig.set(TAKEN_HALF, half);
        rig.set(TAKEN, features);
        rig.set(STATUS, DRIVER | FEATURES_OK);
        assert_eq!(rig.get(STATUS), DRIVER);
        rig.set(STATUS, DRIVER | FEATURES_OK | DRIVER_OK);
        assert_eq!(rig.get(STATUS), DRIVER);
    }
}

#[test]
fn files_that_are_no_disk_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let open = |read_only| Disk::open(&Source { path: path.clone(), read_only });
    assert!(open(false).unwrap_err().contains("No such file"));
    fs::write(&path, [0; 700]).unwrap();
    assert!(open(false).unwrap_err().contains("700 bytes"));
    fs::write(&path, []).unwrap();
    assert!(open(true).unwrap_err().contains("0 bytes"));
    fs::write(&path, [0; 1024]).unwrap();
    let first = open(true).unwrap();
    let second = open(true).unwrap();
    assert!(open(false).unwrap_err().contains("in use"));
    drop((first, second));
    let _writer = open(false).unwrap();
    assert!(open(true).unwrap_err().contains("in use"));
    let directory = Source { path: folder.path().to_owned(), read_only: true };
    assert!(Disk::open(&directory).unwrap_err().contains("neither"));
}

#[test]
fn requests_stay_where_they_are_from_the_end_on() {
    let rig = Rig::new(4, false);
    rig.port.end();
    assert_eq!(rig.request(VIRTIO_BLK_T_OUT, 1, 512), 0xff);
    assert_eq!(rig.request(VIRTIO_BLK_T_FLUSH, 0, 0), 0xff);
    assert_eq!(rig.line.read().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(fs::read(&rig.path).unwrap()[512], 1);
}

#[test]
fn the_driver_is_told_of_a_request_that_the_end_cuts_off() {
    let rig = Rig::new(4, false);
    let path = rig.path.with_extension("other");
    fs::write(&path, [0; 512]).unwrap();
    let disk = Disk::open(&Source { path: path.clone(), read_only: false }).unwrap();
    let queue = rig.queue();
    let [header, data, answer] =
        [(HEADER, 16, 0), (DATA, 512, 0), (ANSWER, 1, VRING_DESC_F_WRITE as u16)]
            .map(|(at, bytes, flags)| RawDescriptor::from(Descriptor::new(at, bytes, flags, 0)));
    for (ends, status) in [(true, VIRTIO_BLK_S_IOERR), (false, VIRTIO_BLK_S_OK)] {
        rig.memory.write_obj(VIRTIO_BLK_T_OUT.to_le(), GuestAddress(HEADER)).unwrap();
        rig.memory.write_slice(&[0xa5; 512], GuestAddress(DATA)).unwrap();
        let chain = queue.build_desc_chain(&[header, data, answer]).unwrap();
        let written = disk.execute(&rig.memory, chain, &AtomicBool::new(ends)).unwrap();
        let answer: u8 = rig.memory.read_obj(GuestAddress(ANSWER)).unwrap();
        assert_eq!((written, u32::from(answer)), (1, status));
        assert_eq!(fs::read(&path).unwrap()[0], if ends { 0 } else { 0xa5 });
    }
}

#[test]
fn the_thread_ends() {
    let rig = Rig::new(1, false);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| rig.port.serve(&rig.memory));
        rig.set(0x50, 0);
        rig.port.end();
        thread.join().unwrap();
    });
}
