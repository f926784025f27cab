// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a machine that runs can be told from outside: a socket in its private
//! directory, JSON lines, a question and an answer per connection.

use serde::{Deserialize, Serialize};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use wires::Network;

/// The socket's name in a machine's directory.
pub const SOCKET: &str = "control";
/// How long either side waits for the other.
const LIMIT: Duration = Duration::from_secs(5);
/// Longer than any question or answer.
const LONGEST: u64 = 1 << 20;

/// What a machine is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// How all wires are.
    Wires,
    /// Pull the plug of a port's wire, or put it in.
    Plug {
        /// Number of the port.
        dpmac: u32,
        /// Put it in.
        up: bool,
    },
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// All wires, in the order in which they were plugged in.
    Wires(Vec<Wire>),
    /// Why nothing happens.
    Refused(String),
}

/// A wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wire {
    /// What is at its other end, as on the command line.
    pub kind: String,
    /// Nobody has pulled the plug.
    pub plugged: bool,
    /// There is something at the other end.
    pub connected: bool,
    /// The numbers of its ports, and how many of the frames that each has sent got lost.
    pub ports: Vec<(u32, u64)>,
}

/// Serves the socket of a machine. Dropping it ends that.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Serves questions about these wires in a machine's directory.
    ///
    /// # Errors
    /// What the system says of the socket.
    pub fn serve(directory: &Path, network: Arc<Network>) -> io::Result<Self> {
        let path = directory.join(SOCKET);
        let listener = UnixListener::bind(&path)?;
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let thread = thread::Builder::new().name("control".into()).spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let served = stream.and_then(|stream| serve(stream, &network));
                if let Err(error) = served {
                    tracing::debug!(%error, "a question was not answered");
                    // Out of descriptors, it would come again at once.
                    thread::sleep(Duration::from_millis(10));
                }
            }
        })?;
        Ok(Self { path, over, thread: Some(thread) })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let woken = UnixStream::connect(&self.path).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            // What it panicked with has been reported.
            let _ = thread.join();
        }
    }
}

fn serve(mut stream: UnixStream, network: &Network) -> io::Result<()> {
    let answer = match receive::<Question>(&stream) {
        Ok(question) => answer(network, &question),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Answer::Refused(format!("not understood: {error}"))
        }
        Err(error) => return Err(error),
    };
    send(&mut stream, &answer)
}

fn answer(network: &Network, question: &Question) -> Answer {
    match question {
        Question::Plug { dpmac, up } if !network.set_link(*dpmac, *up) => {
            Answer::Refused(format!("dpmac.{dpmac} has no wire: {}", those_with(network)))
        }
        Question::Wires | Question::Plug { .. } => Answer::Wires(wires(network)),
    }
}

fn those_with(network: &Network) -> String {
    let ports: Vec<String> = network.ports().map(|port| format!("dpmac.{port}")).collect();
    if ports.is_empty() {
        return "no port of this board has one (--wire plugs them in)".into();
    }
    format!("those that have one are {}", ports.join(", "))
}

fn wires(network: &Network) -> Vec<Wire> {
    let wires = network.wires().into_iter();
    wires
        .map(|wire| Wire {
            kind: wire.kind.to_string(),
            plugged: wire.plugged,
            connected: wire.connected,
            ports: wire.ports,
        })
        .collect()
}

/// Asks the machine whose directory this is.
///
/// # Errors
/// What the system says, and `InvalidData` for an answer that is none.
pub fn ask(directory: &Path, question: &Question) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(directory.join(SOCKET))?;
    send(&mut stream, question)?;
    receive(&stream)
}

fn send(stream: &mut UnixStream, what: &impl Serialize) -> io::Result<()> {
    stream.set_write_timeout(Some(LIMIT))?;
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn receive<T: for<'a> Deserialize<'a>>(stream: &UnixStream) -> io::Result<T> {
    stream.set_read_timeout(Some(LIMIT))?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST)).read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    serde_json::from_str(&line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn network(wires: &[&str]) -> Arc<Network> {
        let wires: Vec<wires::WireSpec> = wires.iter().map(|wire| wire.parse().unwrap()).collect();
        Network::plug(&wires, &|| Command::new("/no/such/qemu")).unwrap()
    }

    #[test]
    fn wires_are_told_and_changed() {
        let directory = tempfile::tempdir().unwrap();
        let control =
            Control::serve(directory.path(), network(&["dpmac.3=loop", "dpmac.1=dpmac.2,down"]))
                .unwrap();
        let ask = |question| ask(directory.path(), &question);
        let Answer::Wires(wires) = ask(Question::Wires).unwrap() else { panic!("refused") };
        assert_eq!((wires[0].kind.as_str(), wires[0].plugged), ("loop", true));
        assert_eq!((wires[1].kind.as_str(), wires[1].plugged), ("dpmac.2", false));
        assert_eq!(wires[1].ports, [(1, 0), (2, 0)]);
        let Answer::Wires(wires) = ask(Question::Plug { dpmac: 2, up: true }).unwrap() else {
            panic!("refused")
        };
        assert!(wires[1].plugged);
        let Answer::Refused(reason) = ask(Question::Plug { dpmac: 4, up: true }).unwrap() else {
            panic!("done")
        };
        assert!(reason.contains("dpmac.3, dpmac.1, dpmac.2"), "{reason}");
        drop(control);
        ask(Question::Wires).unwrap_err();
    }

    #[test]
    fn what_is_no_question_is_refused_and_what_says_nothing_holds_up_nobody_for_long() {
        let directory = tempfile::tempdir().unwrap();
        let _control = Control::serve(directory.path(), network(&[])).unwrap();
        drop(UnixStream::connect(directory.path().join(SOCKET)).unwrap());
        let mut stream = UnixStream::connect(directory.path().join(SOCKET)).unwrap();
        stream.write_all(b"{\"pull\": 3}\n").unwrap();
        let Answer::Refused(reason) = receive(&stream).unwrap() else { panic!("done") };
        assert!(reason.contains("not understood"), "{reason}");
        let asked = ask(directory.path(), &Question::Plug { dpmac: 1, up: false });
        let Answer::Refused(reason) = asked.unwrap() else { panic!("done") };
        assert!(reason.contains("--wire"), "{reason}");
    }
}
