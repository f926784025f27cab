// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Files of frames, byte by byte as the formats' specifications have them
//! (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng).

use super::*;
use crate::capture::{Input, Recorded};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// A classic file: head, then records of seconds, fraction, lengths, bytes.
fn pcap(magic: u32, big: bool, link: u32, records: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut bytes = word(magic).to_vec();
    bytes.extend(half(2));
    bytes.extend(half(4));
    [0, 0, 0xffff, link].iter().for_each(|value| bytes.extend(word(*value)));
    for (seconds, fraction, length, frame) in records {
        let captured = frame.len() as u32;
        [*seconds, *fraction, captured, *length].iter().for_each(|v| bytes.extend(word(*v)));
        bytes.extend(*frame);
    }
    bytes
}

/// A block of a pcapng file, little-endian: type, length, body, length.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = (12 + padded) as u32;
    let mut bytes = [kind.to_le_bytes(), length.to_le_bytes()].concat();
    bytes.extend(body);
    bytes.resize(8 + padded, 0);
    bytes.extend(length.to_le_bytes());
    bytes
}

const SECTION: u32 = 0x0a0d_0d0a;

fn section() -> Vec<u8> {
    let mut body = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
    body.extend([1, 0, 0, 0]);
    body.extend([0xff; 8]);
    block(SECTION, &body)
}

/// An interface with a link type and a resolution of time stamps.
fn interface(link: u16, resolution: Option<u8>) -> Vec<u8> {
    let mut body = link.to_le_bytes().to_vec();
    body.extend([0, 0, 0, 0, 1, 0]);
    if let Some(resolution) = resolution {
        body.extend([9, 0, 1, 0, resolution, 0, 0, 0, 0, 0, 0, 0]);
    }
    block(1, &body)
}

fn packet(interface: u32, units: u64, length: u32, frame: &[u8]) -> Vec<u8> {
    let words = [interface, (units >> 32) as u32, units as u32, frame.len() as u32, length];
    let mut body = words.map(u32::to_le_bytes).concat();
    body.extend(frame);
    block(6, &body)
}

struct File(tempfile::TempDir);

impl File {
    fn new(bytes: &[u8]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("in"), bytes).unwrap();
        Self(directory)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("in")
    }

    fn frames(&self) -> Vec<(Option<Duration>, Vec<u8>)> {
        let mut input = Input::open(&self.path()).unwrap();
        let mut frames = vec![];
        while let Some(Recorded { time, frame }) = input.next().unwrap() {
            frames.push((time, frame));
        }
        frames
    }
}

#[test]
fn classic_files_of_either_order_and_resolution_are_read() {
    let micro = Duration::new(5, 250_000_000);
    for big in [false, true] {
        let records = [(5, 250_000, 61, &frame(1)[..]), (5, 250_001, 62, &frame(2)[..])];
        let file = File::new(&pcap(0xa1b2_c3d4, big, 1, &records));
        let expected =
            [(Some(micro), frame(1)), (Some(micro + Duration::from_micros(1)), frame(2))];
        assert_eq!(file.frames(), expected);
        let file = File::new(&pcap(0xa1b2_3c4d, big, 1, &records[..1]));
        assert_eq!(file.frames(), [(Some(Duration::new(5, 250_000)), frame(1))]);
    }
}

#[test]
fn blocks_of_every_resolution_are_read() {
    let mut bytes = section();
    bytes.extend(interface(1, None));
    bytes.extend(interface(1, Some(9)));
    bytes.extend(interface(1, Some(0x80 | 10)));
    // 101: raw IP.
    bytes.extend(interface(101, None));
    bytes.extend(packet(0, 1_500_000, 61, &frame(1)));
    bytes.extend(packet(1, 1_500_000_001, 62, &frame(2)));
    bytes.extend(packet(2, 1536, 63, &frame(3)));
    bytes.extend(packet(3, 0, 64, &frame(4)));
    bytes.extend(packet(9, 0, 65, &frame(5)));
    // A block of a kind that is not known, and a simple packet.
    bytes.extend(block(0x0bad, &[1, 2, 3]));
    let mut simple = 66u32.to_le_bytes().to_vec();
    simple.extend(frame(6));
    bytes.extend(block(3, &simple));
    let time = |seconds, nanoseconds| Some(Duration::new(seconds, nanoseconds));
    let expected = [
        (time(1, 500_000_000), frame(1)),
        (time(1, 500_000_001), frame(2)),
        (time(1, 500_000_000), frame(3)),
        (None, frame(6)),
    ];
    assert_eq!(File::new(&bytes).frames(), expected);
}

#[test]
fn frames_that_were_cut_are_passed_over_and_damage_ends_a_file() {
    let records = [(1, 0, 1500, &frame(1)[..]), (1, 0, 62, &frame(2)[..])];
    let whole = pcap(0xa1b2_c3d4, false, 1, &records);
    let file = File::new(&whole);
    assert_eq!(file.frames().len(), 1);
    let mut input = Input::open(&file.path()).unwrap();
    while input.next().unwrap().is_some() {}
    assert_eq!(input.cut(), 1);
    // The head's limit on lengths: `tcpdump -s 61`, none, and one that is not kept.
    for limit in [61u32, 0, 10] {
        let mut bytes = whole.clone();
        bytes[16..20].copy_from_slice(&limit.to_le_bytes());
        assert_eq!(File::new(&bytes).frames(), [(Some(Duration::from_secs(1)), frame(2))]);
    }
    let file = File::new(&whole[..whole.len() - 1]);
    assert!(Input::open(&file.path()).unwrap().next().is_err());
    let ip = File::new(&pcap(0xa1b2_c3d4, false, 101, &[]));
    let error = refused(&[&format!("dpmac.3=pcap:in={}", ip.path().display())]);
    assert!(error.contains("not of Ethernet"), "{error}");
}

#[test]
fn a_file_is_played_when_the_port_is_up_and_at_its_pace() {
    let records = [(9, 0, 61, &frame(1)[..]), (9, 40_000, 62, &frame(2)[..])];
    let file = File::new(&pcap(0xa1b2_c3d4, false, 1, &records));
    let side = Side::new(&[&format!("dpmac.3=pcap:in={}", file.path().display())]);
    side.nothing_comes();
    let start = Instant::now();
    side.network.port_changed(3, true);
    assert_eq!(side.next(), (3, frame(1)));
    assert_eq!(side.next(), (3, frame(2)));
    assert!(start.elapsed() >= Duration::from_millis(40), "{:?}", start.elapsed());
    // What is sent goes nowhere.
    side.network.send(3, &frame(3));
    side.nothing_comes();
}

/// The blocks of a little-endian pcapng file: type and body.
fn blocks(mut bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
    let mut blocks = vec![];
    while !bytes.is_empty() {
        let length = word(&bytes[4..]) as usize;
        assert_eq!(word(&bytes[length - 4..]) as usize, length);
        blocks.push((word(bytes), bytes[8..length - 4].to_vec()));
        bytes = &bytes[length..];
    }
    blocks
}

fn wait_for(path: &Path, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let start = Instant::now();
    loop {
        let bytes = fs::read(path).unwrap();
        if enough(&bytes) {
            return bytes;
        }
        assert!(start.elapsed() < LIMIT, "{} bytes", bytes.len());
        thread::sleep(Duration::from_millis(2));
    }
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_nanos() as u64
}

#[test]
#[cfg(target_endian = "little")]
fn what_is_sent_is_written_as_pcapng() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let side = Side::new(&[&format!("dpmac.3=pcap:out={}", path.display())]);
    assert_eq!(blocks_of(&fs::read(&path).unwrap()), 2, "the head is there before any frame");
    let before = now();
    (1..3).for_each(|n| side.network.send(3, &frame(n)));
    let bytes = wait_for(&path, |bytes| blocks_of(bytes) >= 4);
    let blocks = blocks(&bytes);
    assert_eq!(blocks[0].0, SECTION);
    assert_eq!(blocks[0].1[..8], [0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0]);
    let (kind, interface) = &blocks[1];
    assert_eq!((*kind, &interface[..4]), (1, &[1, 0, 0, 0][..]), "Ethernet");
    let has = |part: &[u8]| interface.windows(part.len()).any(|window| window == part);
    assert!(has(&[2, 0, 7, 0]) && has(b"dpmac.3"), "if_name");
    assert!(has(&[9, 0, 1, 0, 9]), "if_tsresol: nanoseconds");
    let word =
        |bytes: &[u8], n: usize| u32::from_le_bytes(bytes[4 * n..4 * n + 4].try_into().unwrap());
    for ((kind, body), n) in blocks[2..].iter().zip(1u8..) {
        assert_eq!((*kind, word(body, 0)), (6, 0));
        let time = u64::from(word(body, 1)) << 32 | u64::from(word(body, 2));
        assert!((before..=now()).contains(&time));
        let length = frame(n).len();
        assert_eq!((word(body, 3) as usize, word(body, 4) as usize), (length, length));
        assert_eq!(body[20..20 + length], frame(n));
    }
    assert_eq!(blocks.len(), 4);
}

#[test]
fn a_file_that_is_called_pcap_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.pcap");
    let side = Side::new(&[&format!("dpmac.3=pcap:out={}", path.display())]);
    side.network.send(3, &frame(1));
    let bytes = wait_for(&path, |bytes| bytes.len() >= 24 + 16 + 61);
    let magic = u32::from_ne_bytes(bytes[..4].try_into().unwrap());
    // Either order is a classic file with nanoseconds.
    assert!([0xa1b2_3c4d, 0x4d3c_b2a1].contains(&magic), "{magic:x}");
    assert_eq!(bytes.len(), 24 + 16 + 61);
    assert_eq!(bytes[24 + 16..], frame(1));
}

/// A pipe with nobody at its end costs nothing; who opens it gets a head of its
/// own, and so does who comes after.
#[test]
#[cfg(target_endian = "little")]
fn a_pipe_starts_over_for_each_reader() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let side = Side::new(&[&format!("dpmac.3=pcap:out={}", path.display())]);
    side.network.send(3, &frame(9));
    for reader in 1..3u8 {
        let mut pipe = open_now(&path);
        let mut seen = vec![];
        let start = Instant::now();
        // Frames go by until the reader is seen.
        while blocks_of(&seen) < 3 {
            assert!(start.elapsed() < LIMIT, "{} bytes", seen.len());
            side.network.send(3, &frame(reader));
            let mut bytes = [0; 4096];
            // Nothing, until the writer has seen that there is somebody.
            let length = pipe.read(&mut bytes).unwrap_or(0);
            seen.extend(&bytes[..length]);
            thread::sleep(Duration::from_millis(1));
        }
        let blocks = blocks(&seen[..whole(&seen)]);
        assert_eq!((blocks[0].0, blocks[1].0, blocks[2].0), (SECTION, 1, 6));
        // What was under way before comes first: 9, then those for the first reader.
        let packets = blocks[2..].iter().map(|(kind, body)| {
            assert_eq!(*kind, 6);
            assert_eq!(body[20..20 + frame(body[20]).len()], frame(body[20]));
            body[20] % 9
        });
        assert!(packets.is_sorted(), "not in the order in which they were sent");
        // The pipe is closed when nobody reads any more, though no frame comes: the next reader
        // does not find the end of what was for this one.
        drop(pipe);
        let start = Instant::now();
        while is_open(&path) {
            assert!(start.elapsed() < LIMIT);
            thread::sleep(Duration::from_millis(2));
        }
    }
    // The end does not wait for a reader that reads nothing.
    let pipe = open_now(&path);
    for _ in 0..1000 {
        side.network.send(3, &[1; 1500]);
    }
    drop(side);
    drop(pipe);
}

/// The reader is behind when all is over, and gets what it has not read yet.
#[test]
#[cfg(target_endian = "little")]
fn a_slow_reader_of_a_pipe_gets_all() {
    const FRAMES: usize = 500;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let mut pipe = open_now(&path);
    let side = Side::new(&[&format!("dpmac.3=pcap:out={}", path.display())]);
    (0..FRAMES).for_each(|_| side.network.send(3, &[1; 1500]));
    let reader = thread::spawn(move || {
        let mut seen = vec![];
        let start = Instant::now();
        loop {
            let mut bytes = [0; 65536];
            match pipe.read(&mut bytes) {
                Ok(0) if !seen.is_empty() => return seen,
                Ok(length) => seen.extend(&bytes[..length]),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
            assert!(start.elapsed() < LIMIT, "{} bytes", seen.len());
            thread::sleep(Duration::from_millis(5));
        }
    });
    drop(side);
    let seen = reader.join().unwrap();
    assert_eq!((whole(&seen), blocks_of(&seen)), (seen.len(), 2 + FRAMES));
}

/// A file of frames is for one wire that writes, or for wires that read.
#[test]
fn files_that_are_used_are_refused() {
    let file = File::new(&pcap(0xa1b2_c3d4, false, 1, &[(1, 0, 61, &frame(1))]));
    let path = file.path().display().to_string();
    let both = refused(&[&format!("dpmac.3=pcap:in={path},out={path}")]);
    assert!(both.contains("is in use by another wire"), "{both}");
    assert_eq!(file.frames().len(), 1, "it is as before");
    drop(plug(&[&format!("dpmac.3=pcap:in={path}"), &format!("dpmac.4=pcap:in={path}")]).unwrap());
    let output = file.0.path().join("out").display().to_string();
    let again = format!("dpmac.4=pcap:out={}", file.0.path().join("./out").display());
    let twice = refused(&[&format!("dpmac.3=pcap:out={output}"), &again]);
    assert!(twice.contains("dpmac.4") && twice.contains("a file of its own"), "{twice}");
    let pipe = file.0.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let pipe = refused(&[&format!("dpmac.3=pcap:in={}", pipe.display())]);
    assert!(pipe.contains("not a regular file"), "{pipe}");
}

/// As many frames as there are at once, each with the same time stamp, and then what the board
/// has sent when it ends.
#[test]
fn nothing_of_a_file_is_lost() {
    const FRAMES: usize = 5000;
    let bytes = frame(1);
    let file = File::new(&pcap(0xa1b2_c3d4, false, 1, &vec![(1, 0, 61, &bytes[..]); FRAMES]));
    let output = file.0.path().join("out.pcap");
    let paths = (file.path().display().to_string(), output.display().to_string());
    let side = Side::new(&[
        &format!("dpmac.3=pcap:in={}", paths.0),
        &format!("dpmac.4=pcap:out={},delay=10s", paths.1),
    ]);
    side.network.port_changed(3, true);
    (0..FRAMES).for_each(|_| assert_eq!(side.next(), (3, frame(1))));
    assert_eq!(side.network.lost(3), Some(0));
    (0..100).for_each(|_| side.network.send(4, &frame(2)));
    drop(side);
    assert_eq!(crate::capture::recorded_frames(&output).unwrap(), vec![frame(2); 100]);
}

/// Opens the reader's end without waiting for a writer.
fn open_now(path: &Path) -> fs::File {
    use rustix::fs::{OFlags, open};
    open(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap().into()
}

/// Whether this process has the file open.
fn is_open(path: &Path) -> bool {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    let mut targets = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.any(|target| target == path)
}

/// Bytes of the blocks that are there as a whole.
fn whole(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some(length) = bytes.get(end + 4..end + 8) {
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        if end + length > bytes.len() {
            break;
        }
        end += length;
    }
    end
}

fn blocks_of(bytes: &[u8]) -> usize {
    blocks(&bytes[..whole(bytes)]).len()
}
