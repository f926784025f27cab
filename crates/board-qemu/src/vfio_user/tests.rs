// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The server under a client of rust-vmm's `vfio_user`, and under messages that
//! no client would send.

use super::*;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// Tells what it is asked.
struct Recorder(Sender<String>);

impl Recorder {
    fn note(&self, text: String) {
        self.0.send(text).unwrap();
    }
}

impl Device for Recorder {
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        self.note(format!("read {region} {offset:#x} {}", data.len()));
        if offset == 0xbad {
            return Err(io::Error::from_raw_os_error(5));
        }
        data.fill(0x5a);
        Ok(())
    }

    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(format!("write {region} {offset:#x} {data:x?}"));
        Ok(())
    }

    fn dma_map(
        &mut self,
        range: DmaRange,
        writable: bool,
        file: Option<(File, u64)>,
    ) -> io::Result<()> {
        let mut first = [0; 4];
        if let Some((file, offset)) = &file {
            file.read_exact_at(&mut first, *offset)?;
        }
        self.note(format!("map {range:x?} {writable} {:?}", file.map(|_| first)));
        Ok(())
    }

    fn dma_unmap(&mut self, range: Option<DmaRange>) -> io::Result<()> {
        self.note(format!("unmap {range:x?}"));
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        self.note("reset".into());
        Ok(())
    }

    fn set_irqs(&mut self, set: IrqSet) -> io::Result<()> {
        for mut eventfd in &set.eventfds {
            eventfd.write_all(b"signal").unwrap();
        }
        let IrqSet { index, flags, start, count, eventfds } = set;
        self.note(format!("irqs {index} {flags:#x} {start}+{count} {}", eventfds.len()));
        Ok(())
    }
}

struct Served {
    _directory: tempfile::TempDir,
    socket: PathBuf,
    thread: JoinHandle<Result<(), ServeError>>,
    seen: Receiver<String>,
}

impl Served {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("device");
        let server = Server::bind(&socket).unwrap();
        let memory = tempfile::tempfile().unwrap();
        memory.write_all_at(b"portals", 0).unwrap();
        memory.set_len(0x2000).unwrap();
        let description = Description {
            regions: vec![
                Region { flags: 7, size: 0x2000, file: Some(memory.into()) },
                Region { flags: 3, size: 0x1000, file: None },
                Region { flags: 0, size: 0, file: None },
            ],
            irqs: vec![Irq { flags: 1, count: 256 }, Irq { flags: 0, count: 0 }],
        };
        let (sender, seen) = channel();
        let thread = thread::spawn(move || server.serve(&description, &mut Recorder(sender)));
        Self { _directory: directory, socket, thread, seen }
    }

    fn next(&self) -> String {
        self.seen.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.socket).unwrap()
    }
}

#[test]
fn a_client_finds_regions_and_interrupts_and_uses_them() {
    let served = Served::new();
    let mut client = vfio_user::Client::new(&served.socket).unwrap();
    let regions = [0, 1, 2].map(|n| client.region(n).unwrap());
    assert_eq!(regions.map(|r| (r.size, r.flags)), [(0x2000, 7 | 1 << 3), (0x1000, 3), (0, 0)]);
    let [area] = &regions[0].sparse_areas[..] else { panic!("{:?}", regions[0]) };
    assert_eq!((area.offset, area.size), (0, 0x2000));
    let mut start = [0; 7];
    let memory = regions[0].file_offset.as_ref().unwrap().file();
    memory.read_exact_at(&mut start, 0).unwrap();
    assert_eq!(&start, b"portals");
    assert!(regions[1].file_offset.is_none() && regions[1].sparse_areas.is_empty());
    let irq = client.get_irq_info(0).unwrap();
    assert_eq!((irq.index, irq.flags, irq.count), (0, 1, 256));

    let mut data = [0; 8];
    client.region_read(1, 0xff8, &mut data).unwrap();
    assert_eq!((served.next().as_str(), data), ("read 1 0xff8 8", [0x5a; 8]));
    client.region_write(1, 0x900, &[0, 1, 0, 0]).unwrap();
    assert_eq!(served.next(), "write 1 0x900 [0, 1, 0, 0]");
    let mut large = vec![0; LARGEST_ACCESS];
    client.region_read(1, 0, &mut large).unwrap();
    assert_eq!(served.next(), "read 1 0x0 65536");
    assert!(large.iter().all(|byte| *byte == 0x5a));

    let file = tempfile::tempfile().unwrap();
    file.write_all_at(b"ramRAM", 0x1000).unwrap();
    client.dma_map(0x1000, 0x4000_0000, 0x2000, file.as_raw_fd()).unwrap();
    let range = "DmaRange { address: 40000000, size: 2000 }";
    assert_eq!(served.next(), format!("map {range} true Some([114, 97, 109, 82])"));
    client.dma_unmap(0x4000_0000, 0x2000).unwrap();
    assert_eq!(served.next(), format!("unmap Some({range})"));

    let (mut ours, theirs) = UnixStream::pair().unwrap();
    client.set_irqs(0, 1 << 2 | 1 << 5, 7, 1, &[theirs.as_raw_fd()]).unwrap();
    assert_eq!(served.next(), "irqs 0 0x24 7+1 1");
    let mut signal = [0; 6];
    ours.read_exact(&mut signal).unwrap();
    assert_eq!(&signal, b"signal");
    client.reset().unwrap();
    assert_eq!(served.next(), "reset");
    client.shutdown().unwrap();
    served.thread.join().unwrap().unwrap();
}

fn message(id: u16, command: u16, flags: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![];
    bytes.extend(id.to_ne_bytes());
    bytes.extend(command.to_ne_bytes());
    bytes.extend((16 + body.len() as u32).to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes
}

fn access(offset: u64, region: u32, count: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![];
    bytes.extend(offset.to_ne_bytes());
    bytes.extend(region.to_ne_bytes());
    bytes.extend(count.to_ne_bytes());
    bytes.extend(data);
    bytes
}

const NO_REPLY: u32 = 1 << 4;

/// Id, flags, error and body of the next reply.
fn reply(stream: &mut UnixStream) -> (u16, u32, u32, Vec<u8>) {
    let mut header = [0; 16];
    stream.read_exact(&mut header).unwrap();
    let word = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap());
    let mut body = vec![0; word(4) as usize - 16];
    stream.read_exact(&mut body).unwrap();
    (u16::from_ne_bytes([header[0], header[1]]), word(8), word(12), body)
}

#[test]
fn the_device_is_on_pci_and_can_be_reset() {
    let served = Served::new();
    let mut stream = served.connect();
    stream.write_all(&message(1, 4, 0, &[16u32, 0, 0, 0].map(u32::to_ne_bytes).concat())).unwrap();
    // VFIO_DEVICE_FLAGS_RESET and _PCI, regions, interrupts.
    let info = [16u32, 1 | 1 << 1, 3, 2].map(u32::to_ne_bytes).concat();
    assert_eq!(reply(&mut stream), (1, 1, 0, info));
}

#[test]
fn messages_may_come_together_or_in_pieces() {
    let served = Served::new();
    let mut stream = served.connect();
    let mut bytes = vec![];
    for n in 0..3u8 {
        let body = access(0x900 + u64::from(n), 1, 1, &[n]);
        bytes.extend(message(n.into(), 10, NO_REPLY, &body));
    }
    bytes.extend(message(77, 9, 0, &access(4, 1, 2, &[])));
    stream.write_all(&bytes).unwrap();
    assert_eq!(reply(&mut stream), (77, 1, 0, access(4, 1, 2, &[0x5a; 2])));
    for piece in message(78, 10, 0, &access(8, 1, 4, &[1, 2, 3, 4])).chunks(7) {
        stream.write_all(piece).unwrap();
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(reply(&mut stream), (78, 1, 0, access(8, 1, 4, &[])));
    let seen: Vec<String> = (0..5).map(|_| served.next()).collect();
    assert_eq!(
        seen.join("; "),
        "write 1 0x900 [0]; write 1 0x901 [1]; write 1 0x902 [2]; read 1 0x4 2; \
         write 1 0x8 [1, 2, 3, 4]"
    );
    drop(stream);
    served.thread.join().unwrap().unwrap();
}

/// Descriptors stay with the message that they came with, whatever else is in
/// the socket at the time.
#[test]
fn descriptors_go_to_their_message() {
    let served = Served::new();
    let mut stream = served.connect();
    let mut map = vec![];
    map.extend(32u32.to_ne_bytes());
    map.extend(3u32.to_ne_bytes());
    map.extend([0, 0x5000, 0x1000].map(u64::to_ne_bytes).concat());
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&[9; 4], 0).unwrap();
    for _ in 0..20 {
        stream.write_all(&message(1, 10, NO_REPLY, &access(0, 1, 1, &[1]))).unwrap();
        stream.write_all(&message(2, 2, NO_REPLY, &map)).unwrap();
        let files = [file.as_fd()];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
        let bytes = message(3, 2, NO_REPLY, &map);
        let slices = [io::IoSlice::new(&bytes)];
        sendmsg(&stream, &slices, &mut control, SendFlags::empty()).unwrap();
        stream.write_all(&message(4, 2, NO_REPLY, &map)).unwrap();
        let range = "map DmaRange { address: 5000, size: 1000 } true";
        assert_eq!(served.next(), "write 1 0x0 [1]");
        assert_eq!(served.next(), format!("{range} None"));
        assert_eq!(served.next(), format!("{range} Some([9, 9, 9, 9])"));
        assert_eq!(served.next(), format!("{range} None"));
    }
    drop(stream);
    served.thread.join().unwrap().unwrap();
}

#[test]
fn bad_requests_are_answered_with_an_error() {
    let served = Served::new();
    let mut stream = served.connect();
    let refused: [(u16, Vec<u8>, u32); 12] = [
        // EINVAL: no such region, too much, too little, indices that are not there.
        (9, access(0, 3, 4, &[]), 22),
        (9, access(0, 1, LARGEST_ACCESS as u32 + 1, &[]), 22),
        (10, access(0, 1, 5, &[1, 2, 3, 4]), 22),
        (10, vec![0; 15], 22),
        (2, vec![0; 31], 22),
        (3, vec![0; 23], 22),
        (5, [32u32, 0, 3, 0].map(u32::to_ne_bytes).concat(), 22),
        (7, [16u32, 0, 2, 0].map(u32::to_ne_bytes).concat(), 22),
        (8, [20u32, 0x24, 2, 0, 0].map(u32::to_ne_bytes).concat(), 22),
        // EOPNOTSUPP: states by value, and a command that no device gets.
        (8, [20u32, 0x22, 0, 0, 0].map(u32::to_ne_bytes).concat(), 95),
        (11, vec![], 95),
        // What the device itself says.
        (9, access(0xbad, 1, 4, &[]), 5),
    ];
    for (id, (command, body, error)) in (0..).zip(refused) {
        stream.write_all(&message(id, command, 0, &body)).unwrap();
        assert_eq!(reply(&mut stream), (id, 1 | 1 << 5, error, vec![]), "{command} {body:x?}");
    }
    let mut version = vec![1, 0, 0, 0];
    version.extend(b"{}\0");
    stream.write_all(&message(20, 1, 0, &version)).unwrap();
    assert_eq!(reply(&mut stream).2, 95, "major version 1");
    stream.write_all(&message(21, 13, 0, &[])).unwrap();
    assert_eq!(reply(&mut stream), (21, 1, 0, vec![]), "and it goes on");
}

#[test]
fn a_stream_that_is_no_vfio_user_ends_the_connection() {
    for bytes in [
        // Shorter than its own header, longer than anything agreed on, a reply.
        {
            let mut m = message(0, 10, 0, &[]);
            m[4] = 15;
            m
        },
        {
            let mut m = message(0, 10, 0, &[]);
            m[7] = 1;
            m
        },
        message(0, 10, 1, &[]),
    ] {
        let served = Served::new();
        served.connect().write_all(&bytes).unwrap();
        let error = served.thread.join().unwrap().unwrap_err();
        assert!(matches!(error, ServeError::Malformed { command: 10, .. }), "{error}");
    }
    let served = Served::new();
    served.connect().write_all(&message(0, 10, 0, &[0; 20])[..30]).unwrap();
    let error = served.thread.join().unwrap().unwrap_err();
    assert!(matches!(error, ServeError::Receive(_)), "{error}");
}
