// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Frames that pass interfaces and ports, in pcapng files: each packet's comment has the
//! frame's descriptor and annotation.

use crate::{
    capture::{Format, Output, Packet},
    error::Problem,
    stop::Stop,
};
use board::host::{Capture, Passing};
use mc_abi::{ObjectId, ObjectType};
use parking_lot::{Condvar, Mutex};
use qbman_abi::Fd;
use std::{
    collections::HashMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{SystemTime, UNIX_EPOCH},
};

/// Bytes of frames that wait for a file at most; what comes then is not in it, and the
/// next packet says how many were lost.
const MOST_WAITING: usize = 64 << 20;

/// What is to be captured, and where to: `dpni.0=FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureSpec {
    /// An interface (`dpni`) or a port (`dpmac`).
    pub object: ObjectId,
    /// A file, or a named pipe. Several objects can share one.
    pub path: PathBuf,
}

/// Why a capture cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaptureSpecError {
    /// It lacks something.
    #[error("{0:?} is no capture: write OBJECT=FILE, as dpni.0=frames.pcapng")]
    Incomplete(String),
    /// What frames do not pass.
    #[error("no frames are seen at {0:?}: write dpni.N or dpmac.N")]
    Object(String),
}

impl FromStr for CaptureSpec {
    type Err = CaptureSpecError;

    fn from_str(text: &str) -> Result<Self, CaptureSpecError> {
        let incomplete = || CaptureSpecError::Incomplete(text.into());
        let (object, path) = text.split_once('=').ok_or_else(incomplete)?;
        if path.is_empty() {
            return Err(incomplete());
        }
        let id = object.parse::<ObjectId>().ok();
        let id = id.filter(|id| matches!(id.kind, ObjectType::Dpni | ObjectType::Dpmac));
        let object = id.ok_or_else(|| CaptureSpecError::Object(object.into()))?;
        Ok(Self { object, path: path.into() })
    }
}

/// A capture that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("the capture of {object}: {problem}")]
pub struct CaptureError {
    /// What was to be captured.
    pub object: ObjectId,
    /// What is wrong.
    #[source]
    pub problem: Problem,
}

/// All captures of a board. Dropping this writes what waits, and ends them.
pub struct Captures {
    objects: HashMap<ObjectId, Place>,
    writers: Mutex<Vec<(Arc<Queue>, JoinHandle<()>)>>,
    stop: Arc<Stop>,
}

/// Where an object's frames go.
struct Place {
    queue: Arc<Queue>,
    /// Number of the object in its file.
    interface: u32,
}

impl Captures {
    /// Makes the files.
    ///
    /// # Errors
    /// [`CaptureError`] with the object whose file cannot be written, or that is
    /// captured twice.
    pub fn start(specs: &[CaptureSpec]) -> Result<Arc<Self>, CaptureError> {
        let first = specs.first().map_or(ObjectId::new(ObjectType::Dpni, 0), |spec| spec.object);
        let stop = Stop::new()
            .map_err(|source| Problem::System { what: "no eventfd", source })
            .map_err(|problem| CaptureError { object: first, problem })?;
        let stop = Arc::new(stop);
        let mut files: Vec<(&Path, Vec<ObjectId>)> = Vec::new();
        for spec in specs {
            if files.iter().any(|(_, objects)| objects.contains(&spec.object)) {
                return Err(CaptureError { object: spec.object, problem: Problem::CapturedTwice });
            }
            match files.iter_mut().find(|(path, _)| *path == spec.path) {
                Some((_, objects)) => objects.push(spec.object),
                None => files.push((&spec.path, vec![spec.object])),
            }
        }
        let captures = Self { objects: HashMap::new(), writers: Mutex::default(), stop };
        let mut captures = captures;
        for (path, objects) in files {
            let object = objects.first().copied().unwrap_or(first);
            captures.add(path, &objects).map_err(|problem| CaptureError { object, problem })?;
        }
        Ok(Arc::new(captures))
    }

    fn add(&mut self, path: &Path, objects: &[ObjectId]) -> Result<(), Problem> {
        let names = objects.iter().map(ToString::to_string).collect();
        let output = Output::create(path, Format::PcapNg, names, self.stop.clone())?;
        let queue = Arc::new(Queue::default());
        let writer = queue.clone();
        let thread = thread::Builder::new()
            .name("capture".into())
            .spawn(move || writer.write(output))
            .map_err(|source| Problem::System { what: "no thread", source })?;
        for (interface, object) in (0..).zip(objects) {
            self.objects.insert(*object, Place { queue: queue.clone(), interface });
        }
        self.writers.get_mut().push((queue, thread));
        Ok(())
    }

    /// Writes what waits and ends. Called again, it does nothing.
    pub fn close(&self) {
        let writers = std::mem::take(&mut *self.writers.lock());
        for (queue, _) in &writers {
            queue.close();
        }
        // Who waits for a pipe's reader does so no longer than what is left is worth.
        self.stop.set();
        for (_, thread) in writers {
            // What it panicked with has been reported.
            let _ = thread.join();
        }
    }
}

impl Drop for Captures {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Captures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Captures").field("objects", &self.objects.keys()).finish_non_exhaustive()
    }
}

impl Capture for Captures {
    fn wants(&self, object: ObjectId) -> bool {
        self.objects.contains_key(&object)
    }

    fn passes(&self, passing: &Passing<'_>) {
        if let Some(place) = self.objects.get(&passing.object) {
            place.queue.put(place.interface, passing);
        }
    }
}

/// Frames that wait for a file.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Packet>,
    bytes: usize,
    lost: u64,
    closed: bool,
}

impl Queue {
    fn put(&self, interface: u32, passing: &Passing<'_>) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let packet = Packet {
            interface,
            time,
            frame: passing.frame.to_vec(),
            received: Some(passing.received),
            comment: passing.fd.map(|fd| comment(fd, passing.annotation)),
            lost: 0,
        };
        let size = packet.frame.len() + packet.comment.as_ref().map_or(0, String::len);
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        if state.bytes + size > MOST_WAITING {
            state.lost += 1;
            return;
        }
        let lost = std::mem::take(&mut state.lost);
        state.bytes += size;
        state.waiting.push(Packet { lost, ..packet });
        self.changed.notify_one();
    }

    fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    fn write(&self, mut output: Output) {
        let mut packets = Vec::new();
        loop {
            {
                let mut state = self.state.lock();
                self.changed
                    .wait_while(&mut state, |state| !state.closed && state.waiting.is_empty());
                std::mem::swap(&mut state.waiting, &mut packets);
                state.bytes = 0;
                if packets.is_empty() {
                    return;
                }
            }
            packets.drain(..).for_each(|packet| output.write(&packet));
        }
    }
}

/// A descriptor and an annotation in words. The annotation's are as they lie in memory.
fn comment(fd: &Fd, annotation: &[u8]) -> String {
    let pool = fd.pool().map_or_else(|| "none".into(), |pool| pool.to_string());
    let mut text = format!(
        "FD addr={:#x} len={} offset={} format={:?} bpid={pool} frc={:#010x} ctrl={:#010x} flc={:#x}",
        fd.address,
        fd.length(),
        fd.offset(),
        fd.format(),
        fd.frc,
        fd.ctrl,
        fd.flc
    );
    if !annotation.is_empty() {
        text.push_str("\nannotation");
    }
    for word in annotation.chunks(8) {
        text.push(' ');
        for byte in word {
            // A String takes all that is written to it.
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcap_file::pcapng::{
        Block, PcapNgReader,
        blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
    };

    fn spec(text: &str) -> Result<CaptureSpec, CaptureSpecError> {
        text.parse()
    }

    #[test]
    fn captures_name_an_object_and_a_file() {
        let parsed = spec("dpni.3=a=b").unwrap();
        assert_eq!(parsed.object, ObjectId::new(ObjectType::Dpni, 3));
        assert_eq!(parsed.path, Path::new("a=b"));
        assert!(spec("dpni.3").unwrap_err().to_string().contains("OBJECT=FILE"));
        assert!(spec("dpni.3=").unwrap_err().to_string().contains("OBJECT=FILE"));
        assert!(spec("dpio.3=x").unwrap_err().to_string().contains("dpmac.N"));
        assert!(spec("x=x").unwrap_err().to_string().contains("dpmac.N"));
    }

    /// The packets of a file: interface's name, direction, bytes, comment.
    fn packets(path: &Path) -> Vec<(String, u32, Vec<u8>, Option<String>)> {
        let mut reader = PcapNgReader::new(std::fs::File::open(path).unwrap()).unwrap();
        let mut found = Vec::new();
        while let Some(block) = reader.next_block() {
            let Block::EnhancedPacket(EnhancedPacketBlock { interface_id, data, options, .. }) =
                block.unwrap().into_owned()
            else {
                continue;
            };
            let mut flags = 0;
            let mut comment = None;
            for option in options {
                match option {
                    EnhancedPacketOption::Flags(value) => flags = value,
                    EnhancedPacketOption::Comment(text) => comment = Some(text.into_owned()),
                    other => panic!("{other:?}"),
                }
            }
            let name = format!("{:?}", reader.interfaces()[interface_id as usize].options);
            found.push((name, flags, data.into_owned(), comment));
        }
        found
    }

    #[test]
    fn frames_are_in_the_file_with_what_is_known_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("frames");
        let specs = ["dpni.3", "dpmac.1"]
            .map(|object| spec(&format!("{object}={}", path.display())).unwrap());
        let captures = Captures::start(&specs).unwrap();
        let [dpni, dpmac] = specs.map(|spec| spec.object);
        assert!(captures.wants(dpni) && !captures.wants(ObjectId::new(ObjectType::Dpni, 1)));
        let fd = Fd { address: 0xabcd_1000, length_word: 3, ctrl: 0x0001_0000, ..Fd::default() };
        let annotation = [&[1, 2, 3, 4, 5, 6, 7, 8, 9][..], &[0; 55]].concat();
        captures.passes(&Passing {
            object: dpni,
            received: true,
            frame: &[1, 2, 3],
            fd: Some(&fd.with_pool(Some(7))),
            annotation: &annotation,
        });
        let object = dpmac;
        captures.passes(&Passing {
            object,
            received: false,
            frame: &[9; 60],
            fd: None,
            annotation: &[],
        });
        drop(captures);
        let [(one, inbound, frame, comment), (other, outbound, longer, none)] = &packets(&path)[..]
        else {
            panic!("not two")
        };
        assert!(one.contains("dpni.3") && other.contains("dpmac.1"));
        // Bits 1 and 0 of the flags: 1 is inbound, 2 outbound (pcapng, section 4.3.1).
        assert_eq!((*inbound, *outbound), (1, 2));
        assert_eq!((frame.as_slice(), longer.len()), (&[1, 2, 3][..], 60));
        let comment = comment.as_deref().unwrap();
        assert!(comment.starts_with("FD addr=0xabcd1000 len=3 offset=0 format=Single bpid=7 "));
        assert!(comment.contains("\nannotation 0102030405060708 0900000000000000 "), "{comment}");
        assert_eq!(*none, None);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |captures: &[&str]| {
            let specs: Vec<_> = captures.iter().map(|text| spec(text).unwrap()).collect();
            Captures::start(&specs).unwrap_err().to_string()
        };
        let nowhere = refused(&["dpni.1=/no/such/folder/file"]);
        assert!(nowhere.contains("dpni.1") && nowhere.contains("/no/such/folder"), "{nowhere}");
        let folder = tempfile::tempdir().unwrap();
        let one = format!("dpni.1={}", folder.path().join("a").display());
        let other = format!("dpni.1={}", folder.path().join("b").display());
        assert!(refused(&[&one, &other]).contains("captured already"));
    }

    /// A pipe without a reader holds up nobody, whoever comes and goes.
    #[test]
    fn a_pipe_that_nobody_reads_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).unwrap();
        let spec = spec(&format!("dpni.1={}", path.display())).unwrap();
        let captures = Captures::start(std::slice::from_ref(&spec)).unwrap();
        for _ in 0..1000 {
            let frame = &[0; 1000];
            let passing =
                Passing { object: spec.object, received: true, frame, fd: None, annotation: &[] };
            captures.passes(&passing);
        }
        drop(captures);
    }
}
