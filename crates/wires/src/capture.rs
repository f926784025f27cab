// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Files of frames: pcap and pcapng, read and written.

use crate::{error::Problem, stop::Stop};
use parking_lot::Mutex;
use pcap_file::{
    DataLink, PcapError, TsResolution,
    pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter},
    pcapng::{
        Block, PcapNgReader, PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
        },
    },
};
use pipe::Pipe;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, Write},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The first bytes of a pcapng file: the type of its first block.
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// A file of frames to read.
pub struct Input {
    reader: Reader,
    cut: u64,
}

enum Reader {
    Pcap(PcapReader<BufReader<File>>),
    PcapNg(PcapNgReader<BufReader<File>>),
}

/// A frame of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Recorded {
    /// When it was recorded, if that is known; since any moment.
    pub time: Option<Duration>,
    pub frame: Vec<u8>,
}

impl Input {
    /// Opens a file and looks at its head.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        let failed = |reason: String| Problem::Read { path: path.into(), reason };
        let no_pcap = |error: PcapError| {
            failed(format!("it is neither pcap nor pcapng, or is damaged ({error})"))
        };
        let metadata = path.metadata().map_err(|error| failed(error.to_string()))?;
        if !metadata.is_file() {
            return Err(failed("it is not a regular file".into()));
        }
        let mut file = File::open(path).map_err(|error| failed(error.to_string()))?;
        if is_used(&file, FlockOperation::NonBlockingLockShared) {
            return Err(Problem::FileInUse { path: path.into() });
        }
        let mut magic = [0; 4];
        file.read_exact(&mut magic)
            .and_then(|()| file.rewind())
            .map_err(|error| failed(format!("it has no head: {error}")))?;
        let file = BufReader::new(file);
        if magic == PCAPNG_MAGIC {
            let reader = Reader::PcapNg(PcapNgReader::new(file).map_err(no_pcap)?);
            return Ok(Self { reader, cut: 0 });
        }
        let reader = PcapReader::new(file).map_err(no_pcap)?;
        let link = reader.header().datalink;
        if link != DataLink::ETHERNET {
            return Err(Problem::NotEthernet { path: path.into(), link: format!("{link:?}") });
        }
        Ok(Self { reader: Reader::Pcap(reader), cut: 0 })
    }

    /// Frames passed over so far since they are not whole: they were cut when they were
    /// recorded.
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// The next frame, whole and of Ethernet; others are passed over.
    ///
    /// # Errors
    /// What is wrong with the file. Nothing can be read after that.
    pub fn next(&mut self) -> Result<Option<Recorded>, PcapError> {
        loop {
            let found = match &mut self.reader {
                // Raw: programs write more than the header's limit on lengths, which may be
                // zero, and frames that were longer before they were cut.
                Reader::Pcap(reader) => {
                    let units = match reader.header().ts_resolution {
                        TsResolution::MicroSecond => 1000,
                        TsResolution::NanoSecond => 1,
                    };
                    match reader.next_raw_packet().transpose()? {
                        None => return Ok(None),
                        Some(packet) => {
                            let part = Duration::from_nanos(u64::from(packet.ts_frac) * units);
                            let time = Duration::from_secs(packet.ts_sec.into()) + part;
                            Some((Some(time), packet.orig_len, packet.data.into_owned()))
                        }
                    }
                }
                Reader::PcapNg(reader) => match reader.next_block().transpose()? {
                    None => return Ok(None),
                    Some(block) => {
                        let block = block.into_owned();
                        of_block(block, reader.interfaces())
                    }
                },
            };
            if let Some((time, length, frame)) = found {
                if usize::try_from(length).is_ok_and(|length| length == frame.len()) {
                    return Ok(Some(Recorded { time, frame }));
                }
                self.cut += 1;
            }
        }
    }
}

/// The frames in a file, pcap or pcapng: those that are whole, and of Ethernet.
///
/// # Errors
/// What is wrong with the file.
pub fn recorded_frames(path: &Path) -> Result<Vec<Vec<u8>>, Problem> {
    let mut input = Input::open(path)?;
    let mut frames = Vec::new();
    loop {
        match input.next() {
            Ok(Some(recorded)) => frames.push(recorded.frame),
            Ok(None) => return Ok(frames),
            Err(error) => {
                let reason = format!("it is damaged ({error})");
                return Err(Problem::Read { path: path.into(), reason });
            }
        }
    }
}

/// Time, length on the wire, and bytes of the frame in a block, if it has one.
fn of_block(
    block: Block<'_>,
    interfaces: &[InterfaceDescriptionBlock<'_>],
) -> Option<(Option<Duration>, u32, Vec<u8>)> {
    let ethernet = |id: u32| {
        let interface = interfaces.get(usize::try_from(id).ok()?)?;
        (interface.linktype == DataLink::ETHERNET).then_some(interface)
    };
    match block {
        Block::EnhancedPacket(packet) => {
            let interface = ethernet(packet.interface_id)?;
            // The reader takes all time stamps for nanoseconds.
            let units = u64::try_from(packet.timestamp.as_nanos()).ok()?;
            let time = Some(time(units, interface));
            Some((time, packet.original_len, packet.data.into_owned()))
        }
        Block::Packet(packet) => {
            let interface = ethernet(packet.interface_id.into())?;
            let time = Some(time(packet.timestamp, interface));
            Some((time, packet.original_len, packet.data.into_owned()))
        }
        Block::SimplePacket(packet) => {
            ethernet(0)?;
            let mut frame = packet.data.into_owned();
            // The block has no length of its own for what was captured: up to
            // three bytes at its end are padding.
            let length = usize::try_from(packet.original_len).ok()?;
            if frame.len().saturating_sub(length) < 4 {
                frame.truncate(length);
            }
            Some((None, packet.original_len, frame))
        }
        _ => None,
    }
}

/// A time stamp in the units of its interface (`if_tsresol`, microseconds where
/// there is none).
fn time(units: u64, interface: &InterfaceDescriptionBlock<'_>) -> Duration {
    let resolution = interface.options.iter().find_map(|option| match option {
        InterfaceDescriptionOption::IfTsResol(resolution) => Some(*resolution),
        _ => None,
    });
    let resolution = resolution.unwrap_or(6);
    let exponent = u32::from(resolution & 0x7f);
    let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
    let nanoseconds = match base.checked_pow(exponent) {
        Some(per_second) => u128::from(units) * 1_000_000_000 / per_second,
        None => 0,
    };
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// The format of a file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Pcap,
    PcapNg,
}

impl Format {
    /// The one that the file's name asks for: pcap for `.pcap`, and pcapng for
    /// everything else.
    pub fn of(path: &Path) -> Self {
        match path.extension().is_some_and(|extension| extension == "pcap") {
            true => Self::Pcap,
            false => Self::PcapNg,
        }
    }
}

/// A frame that is to be written, and what is known of it.
#[derive(Debug)]
pub struct Packet {
    /// Number of its interface in the file.
    pub interface: u32,
    /// When it passed, since 1970.
    pub time: Duration,
    pub frame: Vec<u8>,
    /// Whether it came or went.
    pub received: Option<bool>,
    pub comment: Option<String>,
    /// Frames that passed before it and are not in the file.
    pub lost: u64,
}

impl Packet {
    /// A frame of the first interface that passes now.
    pub fn now(frame: &[u8]) -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { interface: 0, time, frame: frame.to_vec(), received: None, comment: None, lost: 0 }
    }

    fn options(&self) -> Vec<EnhancedPacketOption<'_>> {
        let comment = self.comment.as_deref();
        let comment = comment.map(|comment| EnhancedPacketOption::Comment(comment.into()));
        let direction = |received| EnhancedPacketOption::Flags(if received { 1 } else { 2 });
        let lost = (self.lost > 0).then_some(EnhancedPacketOption::DropCount(self.lost));
        comment.into_iter().chain(self.received.map(direction)).chain(lost).collect()
    }
}

/// Frames as a file has them.
pub struct Encoder {
    writer: Writer,
    bytes: Bytes,
}

enum Writer {
    Pcap(PcapWriter<Bytes>),
    PcapNg(PcapNgWriter<Bytes>),
}

/// What the writers have written: they do not give it out themselves.
#[derive(Debug, Clone, Default)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Longer than any frame.
const SNAP_LENGTH: u32 = 0x1_0000;

impl Encoder {
    /// Those of interfaces with these names.
    pub fn new(format: Format, interfaces: &[String]) -> Result<Self, PcapError> {
        let bytes = Bytes::default();
        if format == Format::Pcap {
            let header = PcapHeader {
                datalink: DataLink::ETHERNET,
                snaplen: SNAP_LENGTH,
                ts_resolution: TsResolution::NanoSecond,
                ..PcapHeader::default()
            };
            let writer = Writer::Pcap(PcapWriter::with_header(bytes.clone(), header)?);
            return Ok(Self { writer, bytes });
        }
        let mut writer = PcapNgWriter::new(bytes.clone())?;
        for name in interfaces {
            writer.write_pcapng_block(InterfaceDescriptionBlock {
                linktype: DataLink::ETHERNET,
                snaplen: SNAP_LENGTH,
                options: vec![
                    InterfaceDescriptionOption::IfName(name.into()),
                    InterfaceDescriptionOption::IfTsResol(9),
                ],
            })?;
        }
        Ok(Self { writer: Writer::PcapNg(writer), bytes })
    }

    /// Adds a frame.
    pub fn add(&mut self, packet: &Packet) -> Result<(), PcapError> {
        let Packet { interface, time, ref frame, .. } = *packet;
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        match &mut self.writer {
            Writer::Pcap(writer) => writer.write_packet(&PcapPacket::new(time, length, frame))?,
            Writer::PcapNg(writer) => writer.write_pcapng_block(EnhancedPacketBlock {
                interface_id: interface,
                timestamp: time,
                original_len: length,
                data: frame.into(),
                options: packet.options(),
            })?,
        };
        Ok(())
    }

    /// Writes what has been added since the last time.
    fn drain(&self, write: impl FnOnce(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut bytes = self.bytes.0.lock();
        let written = write(&bytes);
        bytes.clear();
        written
    }
}

/// Whether another wire or capture has locked a file; this one has it from now on, while
/// it is open. What is no regular file, and a file system without locks, is nobody's.
fn is_used(file: &File, operation: FlockOperation) -> bool {
    let is_regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
    is_regular && flock(file, operation) == Err(Errno::WOULDBLOCK)
}

/// A file of frames to write.
pub struct Output {
    path: PathBuf,
    file: Target,
}

enum Target {
    File(File, Encoder),
    Pipe(Pipe),
    /// It could not be written any more.
    Failed,
}

impl Output {
    /// Makes the file, or finds a pipe, for frames of interfaces with these names.
    pub fn create(
        path: &Path,
        format: Format,
        interfaces: Vec<String>,
        stop: Arc<Stop>,
    ) -> Result<Self, Problem> {
        let failed = |source| Problem::Write { path: path.into(), source };
        let is_pipe = path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
        let head = Head { format, interfaces };
        let file = if is_pipe {
            Target::Pipe(Pipe::new(path, head, stop))
        } else {
            // What is in it goes when it is known to be nobody's.
            let file = File::options().write(true).create(true).truncate(false).open(path);
            let mut file = file.map_err(failed)?;
            if is_used(&file, FlockOperation::NonBlockingLockExclusive) {
                return Err(Problem::FileInUse { path: path.into() });
            }
            if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
                file.set_len(0).map_err(failed)?;
            }
            let encoder = head.write(&mut file).map_err(failed)?;
            Target::File(file, encoder)
        };
        Ok(Self { path: path.into(), file })
    }

    /// Writes a frame.
    pub fn write(&mut self, packet: &Packet) {
        let written = match &mut self.file {
            Target::File(file, encoder) => encoder
                .add(packet)
                .map_err(io::Error::other)
                .and_then(|()| encoder.drain(|bytes| file.write_all(bytes))),
            Target::Pipe(pipe) => pipe.write(packet),
            Target::Failed => Ok(()),
        };
        if let Err(error) = written {
            tracing::error!(path = %self.path.display(), %error, "the capture ends here");
            self.file = Target::Failed;
        }
    }
}

/// How a file begins.
struct Head {
    format: Format,
    interfaces: Vec<String>,
}

impl Head {
    fn write(&self, file: &mut File) -> io::Result<Encoder> {
        let encoder = Encoder::new(self.format, &self.interfaces).map_err(io::Error::other)?;
        encoder.drain(|bytes| file.write_all(bytes))?;
        Ok(encoder)
    }
}

mod pipe;
