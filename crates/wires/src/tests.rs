// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Wires between boards that are not there: what arrives, and what they hear of the link.

use crate::{Network, Problem, Receiver, WireError, WireSpec};
use board::host::Wires;
use parking_lot::Mutex;
use std::{
    fs,
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Weak,
        mpsc::{Receiver as Channel, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(20);

/// Passes on what it gets.
struct TestBoard {
    frames: Mutex<Sender<(u32, Vec<u8>)>>,
    wires: Mutex<Sender<(u32, bool)>>,
}

impl Receiver for TestBoard {
    fn receive(&self, dpmac: u32, frame: &[u8]) {
        let _ = self.frames.lock().send((dpmac, frame.to_vec()));
    }

    fn set_wire(&self, dpmac: u32, up: bool) {
        let _ = self.wires.lock().send((dpmac, up));
    }
}

struct Side {
    network: Arc<Network>,
    _board: Arc<TestBoard>,
    frames: Channel<(u32, Vec<u8>)>,
    wires: Channel<(u32, bool)>,
}

fn plug(wires: &[&str]) -> Result<Arc<Network>, WireError> {
    let wires: Vec<WireSpec> = wires.iter().map(|wire| wire.parse().unwrap()).collect();
    Network::plug(&wires, &|| Command::new("/no/such/qemu"))
}

impl Side {
    fn new(wires: &[&str]) -> Self {
        let network = plug(wires).unwrap();
        let (frames, received) = channel();
        let (wires, changes) = channel();
        let board = Arc::new(TestBoard { frames: Mutex::new(frames), wires: Mutex::new(wires) });
        let weak: Weak<TestBoard> = Arc::downgrade(&board);
        network.attach(weak).unwrap();
        Self { network, _board: board, frames: received, wires: changes }
    }

    fn next(&self) -> (u32, Vec<u8>) {
        self.frames.recv_timeout(LIMIT).unwrap()
    }

    fn link_change(&self) -> (u32, bool) {
        self.wires.recv_timeout(LIMIT).unwrap()
    }

    fn nothing_comes(&self) {
        let frame = self.frames.recv_timeout(Duration::from_millis(50));
        assert!(frame.is_err(), "{frame:?}");
    }
}

fn frame(n: u8) -> Vec<u8> {
    vec![n; 60 + usize::from(n)]
}

fn refused(wires: &[&str]) -> String {
    let error = plug(wires).unwrap_err().to_string();
    assert!(error.starts_with("the wire of dpmac."), "{error}");
    error
}

#[test]
fn a_loop_brings_back_what_is_sent_and_a_cable_takes_it_over() {
    let side = Side::new(&["dpmac.3=loop", "dpmac.7=dpmac.9"]);
    for n in 0..100 {
        side.network.send(3, &frame(n));
    }
    for n in 0..100 {
        assert_eq!(side.next(), (3, frame(n)));
    }
    side.network.send(7, &frame(1));
    assert_eq!(side.next(), (9, frame(1)));
    side.network.send(9, &frame(2));
    assert_eq!(side.next(), (7, frame(2)));
    // A port without a wire.
    side.network.send(4, &frame(3));
    side.nothing_comes();
    assert_eq!((side.network.lost(3), side.network.lost(4)), (Some(0), None));
}

#[test]
fn a_plug_can_be_pulled() {
    let side = Side::new(&["dpmac.7=dpmac.9", "dpmac.3=loop,down"]);
    assert_eq!(side.link_change(), (3, false));
    side.network.send(3, &frame(1));
    assert!(side.network.set_link(9, false));
    assert_eq!((side.link_change(), side.link_change()), ((7, false), (9, false)));
    side.network.send(7, &frame(1));
    side.nothing_comes();
    assert!(side.network.set_link(9, true) && side.network.set_link(3, true));
    assert_eq!(
        (side.link_change(), side.link_change(), side.link_change()),
        ((7, true), (9, true), (3, true))
    );
    side.network.send(7, &frame(2));
    assert_eq!(side.next(), (9, frame(2)));
    side.network.send(3, &frame(3));
    assert_eq!(side.next(), (3, frame(3)));
    assert!(!side.network.set_link(4, true));
    let wires = side.network.wires();
    assert_eq!(wires[0].ports, [(7, 0), (9, 0)]);
    assert_eq!((wires[1].ports.as_slice(), wires[1].plugged), (&[(3, 0)][..], true));
    assert!(side.wires.try_recv().is_err(), "no change is reported twice");
}

#[test]
fn faults_are_the_wires() {
    let side = Side::new(&["dpmac.3=loop,drop=100%", "dpmac.4=loop,delay=30ms,duplicate=100%"]);
    side.network.send(3, &frame(1));
    let start = Instant::now();
    side.network.send(4, &frame(2));
    assert_eq!((side.next(), side.next()), ((4, frame(2)), (4, frame(2))));
    assert!(start.elapsed() >= Duration::from_millis(30));
    side.nothing_comes();
    assert_eq!(side.network.lost(3), Some(1));
}

/// Frames on a socket have four bytes of length before them, the highest first
/// (QEMU's documentation of `-netdev stream`, `net/stream.c`).
#[test]
fn a_socket_has_the_framing_of_qemu() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wire");
    let listener = UnixListener::bind(&path).unwrap();
    let side = Side::new(&[&format!("dpmac.3=unix:{}", path.display())]);
    let (mut qemu, _) = listener.accept().unwrap();
    qemu.set_read_timeout(Some(LIMIT)).unwrap();
    side.network.send(3, &frame(4));
    let mut seen = [0; 68];
    qemu.read_exact(&mut seen).unwrap();
    assert_eq!(seen[..4], [0, 0, 0, 64]);
    assert_eq!(seen[4..], frame(4));
    // Two frames at once, and one in pieces.
    let mut bytes = vec![0, 0, 0, 61];
    bytes.extend(frame(1));
    bytes.extend([0, 0, 0x23, 0x28]);
    bytes.extend([9; 9000]);
    qemu.write_all(&bytes).unwrap();
    assert_eq!((side.next(), side.next()), ((3, frame(1)), (3, vec![9; 9000])));
    for piece in [&[0][..], &[0, 0, 60], &[7; 59], &[7]] {
        qemu.write_all(piece).unwrap();
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(side.next(), (3, vec![7; 60]));
    // No frame is that long: the connection ends, and is made again.
    qemu.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    assert_eq!(side.link_change(), (3, false));
    let (qemu, _) = listener.accept().unwrap();
    assert_eq!(side.link_change(), (3, true));
    drop((qemu, listener));
    assert_eq!(side.link_change(), (3, false));
}

#[test]
fn two_boards_meet_over_a_socket() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("wire");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    for place in [format!("unix:{}", socket.display()), format!("tcp:127.0.0.1:{port}")] {
        let early = refused(&[&format!("dpmac.4={place}")]);
        assert!(early.contains("started first"), "{early}");
        let first = Side::new(&[&format!("dpmac.3={place},listen")]);
        assert_eq!(first.link_change(), (3, false), "nobody is there yet");
        let second = Side::new(&[&format!("dpmac.4={place}")]);
        assert_eq!(first.link_change(), (3, true));
        first.network.send(3, &frame(1));
        assert_eq!(second.next(), (4, frame(1)));
        second.network.send(4, &frame(2));
        assert_eq!(first.next(), (3, frame(2)));
        drop(second);
        assert_eq!(first.link_change(), (3, false));
        let third = Side::new(&[&format!("dpmac.5={place}")]);
        assert_eq!(first.link_change(), (3, true));
        first.network.send(3, &frame(3));
        assert_eq!(third.next(), (5, frame(3)));
        // Who connects does so again.
        drop(first);
        assert_eq!(third.link_change(), (5, false));
        let fourth = Side::new(&[&format!("dpmac.6={place},listen")]);
        assert_eq!((fourth.link_change(), fourth.link_change()), ((6, false), (6, true)));
        assert_eq!(third.link_change(), (5, true));
        fourth.network.send(6, &frame(4));
        assert_eq!(third.next(), (5, frame(4)));
    }
    assert!(!socket.exists(), "the socket is removed");
}

/// A side that reads nothing costs frames, and holds up nobody.
#[test]
fn a_slow_reader_holds_up_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wire");
    let listener = UnixListener::bind(&path).unwrap();
    let side = Side::new(&[&format!("dpmac.3=unix:{}", path.display()), "dpmac.4=loop"]);
    let (qemu, _) = listener.accept().unwrap();
    for _ in 0..10_000 {
        side.network.send(3, &[1; 1500]);
    }
    assert!(side.network.lost(3) > Some(0));
    side.network.send(4, &frame(1));
    assert_eq!(side.next(), (4, frame(1)));
    // Nor does the end wait for it.
    drop(side);
    drop(qemu);
}

/// A side that listens, and where.
fn listening(faults: &str) -> (tempfile::TempDir, PathBuf, Side) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wire");
    let side = Side::new(&[&format!("dpmac.3=unix:{},listen{faults}", path.display())]);
    assert_eq!(side.link_change(), (3, false), "nobody is there yet");
    (directory, path, side)
}

/// A side that reads nothing and has said that it sends nothing is let go of, and the next one
/// gets frames.
#[test]
fn a_stuck_sender_does_not_outlive_its_connection() {
    let (_directory, path, side) = listening("");
    let stuck = UnixStream::connect(&path).unwrap();
    assert_eq!(side.link_change(), (3, true));
    (0..2000).for_each(|_| side.network.send(3, &[1; 1500]));
    stuck.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(side.link_change(), (3, false));
    let mut next = UnixStream::connect(&path).unwrap();
    assert_eq!(side.link_change(), (3, true));
    next.set_read_timeout(Some(LIMIT)).unwrap();
    side.network.send(3, &frame(2));
    let mut seen = [0; 66];
    next.read_exact(&mut seen).unwrap();
    assert_eq!((seen[..4].to_vec(), seen[4..].to_vec()), (vec![0, 0, 0, 62], frame(2)));
    drop(stuck);
}

#[test]
fn a_wire_has_two_ends() {
    let (_directory, path, side) = listening("");
    let mut first = UnixStream::connect(&path).unwrap();
    assert_eq!(side.link_change(), (3, true));
    let mut second = UnixStream::connect(&path).unwrap();
    second.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(second.read(&mut [0]).unwrap(), 0, "it is refused");
    // The first one has not noticed.
    first.write_all(&[&[0, 0, 0, 61], &frame(1)[..]].concat()).unwrap();
    assert_eq!(side.next(), (3, frame(1)));
    drop(first);
    assert_eq!(side.link_change(), (3, false));
}

/// What the wire loses of what comes to a port is counted as what it loses of the rest.
#[test]
fn what_is_lost_on_the_way_in_is_counted() {
    let (_directory, path, side) = listening(",drop=100%");
    let mut peer = UnixStream::connect(&path).unwrap();
    peer.write_all(&[&[0, 0, 0, 61], &frame(1)[..]].concat()).unwrap();
    let start = Instant::now();
    while side.network.lost(3) != Some(1) {
        assert!(start.elapsed() < LIMIT);
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_is_not_possible_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    assert!(refused(&["dpmac.3=loop", "dpmac.3=loop"]).contains("dpmac.3: the port has another"));
    assert!(refused(&["dpmac.3=loop", "dpmac.4=dpmac.3"]).contains("takes one"));
    let missing = refused(&[&format!("dpmac.3=pcap:in={}", at("none.pcap"))]);
    assert!(missing.contains("none.pcap") && missing.contains("No such file"), "{missing}");
    fs::write(at("text"), "no frames").unwrap();
    let text = refused(&[&format!("dpmac.3=pcap:in={}", at("text"))]);
    assert!(text.contains("neither pcap nor pcapng"), "{text}");
    fs::write(at("empty"), "").unwrap();
    assert!(refused(&[&format!("dpmac.3=pcap:in={}", at("empty"))]).contains("no head"));
    let nowhere = refused(&[&format!("dpmac.3=pcap:out={}", at("none/out.pcap"))]);
    assert!(nowhere.contains("cannot write"), "{nowhere}");

    // A socket that is in use, one that a program has left, and what is none.
    let busy = UnixListener::bind(at("busy")).unwrap();
    let used = refused(&[&format!("dpmac.3=unix:{},listen", at("busy"))]);
    assert!(used.contains("cannot listen") && used.contains("in use"), "{used}");
    // Who has it has seen nothing of that.
    busy.set_nonblocking(true).unwrap();
    assert_eq!(busy.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(busy);
    drop(plug(&[&format!("dpmac.3=unix:{},listen", at("busy"))]).unwrap());
    let file = refused(&[&format!("dpmac.3=unix:{},listen", at("text"))]);
    assert!(file.contains("in use") && Path::new(&at("text")).exists(), "{file}");
    let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let used = refused(&[&format!("dpmac.3=tcp:{},listen", host.local_addr().unwrap())]);
    assert!(used.contains("in use"), "{used}");

    let user = refused(&["dpmac.3=user"]);
    assert!(user.contains("/no/such/qemu") && user.contains("No such file"), "{user}");
    let spec: WireSpec = "dpmac.3=user".parse().unwrap();
    let loud = || {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'no libslirp here' >&2; exit 1"]);
        command
    };
    let error = Network::plug(&[spec], &loud).unwrap_err();
    assert!(matches!(error.problem, Problem::User(_)), "{error}");
    assert!(error.to_string().contains("no libslirp here"), "{error}");
}

#[test]
fn an_interface_that_is_used_is_refused() {
    const NAME: &str = "fslmc-test0";
    let first = match plug(&[&format!("dpmac.3=tap:{NAME}")]) {
        Ok(first) => first,
        Err(error) => {
            test_support::skip("an_interface_that_is_used_is_refused", &error.to_string());
            return;
        }
    };
    assert!(Path::new("/sys/class/net").join(NAME).exists());
    let error = refused(&[&format!("dpmac.4=tap:{NAME}")]);
    assert!(error.contains("another program has it"), "{error}");
    drop(first);
    assert!(!Path::new("/sys/class/net").join(NAME).exists());
}

mod files;

/// Who connects to a stream that nobody serves any more.
#[test]
fn a_connection_that_ends_at_once_is_no_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wire");
    let side = Side::new(&[&format!("dpmac.3=unix:{},listen", path.display())]);
    for _ in 0..20 {
        drop(UnixStream::connect(&path).unwrap());
    }
    let last = UnixStream::connect(&path).unwrap();
    side.network.send(3, &frame(1));
    drop(last);
    drop(side);
}
