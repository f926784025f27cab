// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! All wires of a board.

use crate::{
    Receiver,
    capture::{Format, Input, Output, Packet},
    error::{Problem, WireError},
    faults::Faults,
    line::Line,
    link::{Link, PortState},
    replay::replay,
    socket::{Place, Socket},
    spec::{Kind, WireSpec},
    stop::Stop,
    tap::Tap,
    user::{MakeQemu, UserNetwork},
};
use board::host::Wires;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    thread::{self, JoinHandle},
};

/// The wires of a board, and what is at their other ends.
///
/// Every direction of a wire has a thread that hands over what has arrived; who
/// sends a frame never waits. Threads sleep while nothing passes. Dropping this
/// ends them, and closes what they use.
pub struct Network {
    /// By port: what it sends goes in here.
    sending: HashMap<u32, Arc<Line>>,
    /// By port: what comes to it from outside goes in here. None for loops and cables.
    receiving: HashMap<u32, Arc<Line>>,
    /// By port: whether the board's own side is up.
    ports: HashMap<u32, Arc<PortState>>,
    links: Vec<(Kind, Arc<Link>)>,
    lines: Vec<Arc<Line>>,
    sockets: Vec<Arc<Socket>>,
    stop: Arc<Stop>,
    /// What threads will do, as soon as there is a board.
    tasks: Mutex<Vec<Task>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Ended after the threads that use them.
    users: Mutex<Vec<(UserNetwork, tempfile::TempDir)>>,
}

/// A wire as it is at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireState {
    /// What is at its other end.
    pub kind: Kind,
    /// Nobody has pulled its plug.
    pub plugged: bool,
    /// There is something at its other end.
    pub connected: bool,
    /// Its ports, and how many frames got lost of what each has sent and of what came to
    /// it from outside: by the wire's faults, or because more came than it takes.
    pub ports: Vec<(u32, u64)>,
}

struct Task {
    name: String,
    work: Box<dyn FnOnce(Weak<dyn Receiver>) + Send>,
}

impl Task {
    fn new(name: String, work: impl FnOnce(Weak<dyn Receiver>) + Send + 'static) -> Self {
        Self { name, work: Box::new(work) }
    }

    /// Hands over to the board what arrives at `port` through `line`.
    fn arrival(port: u32, line: Arc<Line>) -> Self {
        Self::new(format!("dpmac.{port} rx"), move |board| {
            line.run(|frame| {
                if let Some(board) = board.upgrade() {
                    board.receive(port, frame);
                }
            });
        })
    }

    /// Hands over to `send` what `port` sends through `line`.
    fn departure(port: u32, line: Arc<Line>, mut send: impl FnMut(&[u8]) + Send + 'static) -> Self {
        Self::new(format!("dpmac.{port} tx"), move |_| line.run(|frame| send(frame)))
    }
}

impl Network {
    /// Plugs wires in. `qemu` makes the command that runs a system emulator of
    /// QEMU, which a `user` wire needs.
    ///
    /// # Errors
    /// [`WireError`] with the port of the wire that is not possible; what was
    /// plugged in before is unplugged again.
    pub fn plug(wires: &[WireSpec], qemu: &MakeQemu<'_>) -> Result<Arc<Self>, WireError> {
        Self::plug_unless(wires, qemu, &|| false)
    }

    /// As [`Network::plug`], which may take a while, but an error as soon as it `is_over`.
    ///
    /// # Errors
    /// As for [`Network::plug`].
    pub fn plug_unless(
        wires: &[WireSpec],
        qemu: &MakeQemu<'_>,
        is_over: &dyn Fn() -> bool,
    ) -> Result<Arc<Self>, WireError> {
        let stop = Stop::new().map_err(|source| WireError {
            port: wires.first().map_or(0, |wire| wire.port),
            problem: Problem::System { what: "no eventfd", source },
        })?;
        let mut network = Self {
            sending: HashMap::new(),
            receiving: HashMap::new(),
            ports: HashMap::new(),
            links: Vec::new(),
            lines: Vec::new(),
            sockets: Vec::new(),
            stop: Arc::new(stop),
            tasks: Mutex::default(),
            threads: Mutex::default(),
            users: Mutex::default(),
        };
        for wire in wires {
            network
                .plug_in(wire, qemu, is_over)
                .map_err(|problem| WireError { port: wire.port, problem })?;
        }
        Ok(Arc::new(network))
    }

    /// Connects the wires to a board. What is sent before is under way until then.
    ///
    /// # Errors
    /// Where there are no more threads.
    pub fn attach(&self, board: Weak<dyn Receiver>) -> std::io::Result<()> {
        for (_, link) in &self.links {
            link.attach(board.clone());
        }
        for Task { name, work } in self.tasks.lock().drain(..) {
            let board = board.clone();
            let thread = thread::Builder::new().name(name).spawn(move || work(board))?;
            self.threads.lock().push(thread);
        }
        Ok(())
    }

    /// Pulls the plug of the wire of a port, or puts it in again. False where the
    /// port has no wire of this network.
    pub fn set_link(&self, port: u32, up: bool) -> bool {
        let link = self.links.iter().find(|(_, link)| link.ports().contains(&port));
        if let Some((_, link)) = link {
            link.set_plugged(up);
        }
        link.is_some()
    }

    /// The ports that have wires.
    pub fn ports(&self) -> impl Iterator<Item = u32> {
        self.links.iter().flat_map(|(_, link)| link.ports()).copied()
    }

    /// All wires as they are now, in the order in which they were plugged in.
    pub fn wires(&self) -> Vec<WireState> {
        let state = |(kind, link): &(Kind, Arc<Link>)| {
            let (plugged, connected) = link.state();
            let lost = |port: &u32| (*port, self.lost(*port).unwrap_or_default());
            let ports = link.ports().iter().map(lost).collect();
            WireState { kind: kind.clone(), plugged, connected, ports }
        };
        self.links.iter().map(state).collect()
    }

    /// Frames that a port has sent, or that came to it from outside, and that got lost: by
    /// the wire's faults, or because more came than it takes.
    pub fn lost(&self, port: u32) -> Option<u64> {
        let sent = self.sending.get(&port)?.lost();
        let came = self.receiving.get(&port).map_or(0, |line| line.lost());
        Some(sent.saturating_add(came))
    }

    /// Unplugs everything. Called again, it does nothing.
    pub fn close(&self) {
        self.stop.set();
        self.ports.values().for_each(|port| port.close());
        self.lines.iter().for_each(|line| line.close());
        self.sockets.iter().for_each(|socket| socket.close());
        for handle in self.threads.lock().drain(..) {
            // The last one to use a board may be one of the threads.
            if handle.thread().id() != thread::current().id() {
                // What it panicked with has been reported.
                let _ = handle.join();
            }
        }
        self.users.lock().clear();
    }

    fn plug_in(
        &mut self,
        wire: &WireSpec,
        qemu: &MakeQemu<'_>,
        is_over: &dyn Fn() -> bool,
    ) -> Result<(), Problem> {
        if is_over() {
            return Err(Problem::Stopped);
        }
        if wire.ports().any(|port| self.sending.contains_key(&port)) {
            return Err(Problem::PortTaken);
        }
        let (port, faults) = (wire.port, wire.faults);
        let out = self.sending_line(port, faults, 0);
        match &wire.kind {
            Kind::Loop => {
                self.task(Task::arrival(port, out.clone()));
                self.link(wire, vec![out], true);
            }
            Kind::Cable(other) => {
                let back = self.sending_line(*other, faults, 1);
                self.task(Task::arrival(*other, out.clone()));
                self.task(Task::arrival(port, back.clone()));
                self.link(wire, vec![out, back], true);
            }
            Kind::Pcap { input, output } => {
                let input = input.as_deref().map(Input::open).transpose()?;
                let output = output
                    .as_deref()
                    .map(|path| {
                        let names = vec![format!("dpmac.{port}")];
                        Output::create(path, Format::of(path), names, self.stop.clone())
                    })
                    .transpose()?;
                let mut lines = vec![out.clone()];
                if let Some(input) = input {
                    let back = self.receiving_line(port, faults);
                    self.replay(port, input, back.clone());
                    lines.push(back);
                }
                self.task(match output {
                    Some(mut output) => Task::new(format!("dpmac.{port} tx"), move |_| {
                        out.run_to_the_last(|frame| output.write(&Packet::now(frame)));
                    }),
                    None => Task::departure(port, out, |_| ()),
                });
                self.link(wire, lines, true);
            }
            Kind::Unix { path, listen } => {
                self.socket(wire, out, Place::Unix(path.clone()), *listen)?;
            }
            Kind::Tcp { address, listen } => {
                self.socket(wire, out, Place::Tcp(address.clone()), *listen)?;
            }
            Kind::Tap(name) => self.tap(wire, out, name)?,
            Kind::User => self.user(wire, out, qemu, is_over)?,
        }
        Ok(())
    }

    fn socket(
        &mut self,
        wire: &WireSpec,
        out: Arc<Line>,
        place: Place,
        listen: bool,
    ) -> Result<(), Problem> {
        let stop = self.stop.clone();
        let socket =
            if listen { Socket::listen(place, stop) } else { Socket::connect(place, stop) }?;
        self.plug_socket(wire, out, Arc::new(socket));
        Ok(())
    }

    fn plug_socket(&mut self, wire: &WireSpec, out: Arc<Line>, socket: Arc<Socket>) {
        let port = wire.port;
        let back = self.receiving_line(port, wire.faults);
        let link = self.link(wire, vec![out.clone(), back.clone()], socket.is_connected());
        let sender = socket.clone();
        self.task(Task::departure(port, out, move |frame| sender.send(frame)));
        let receiver = socket.clone();
        self.task(Task::new(format!("dpmac.{port} in"), move |_| {
            receiver.receive(&link, |frame| back.put(frame));
        }));
        self.sockets.push(socket);
    }

    fn tap(&mut self, wire: &WireSpec, out: Arc<Line>, name: &str) -> Result<(), Problem> {
        let port = wire.port;
        let tap = Arc::new(Tap::open(name, self.stop.clone())?);
        let back = self.receiving_line(port, wire.faults);
        let link = self.link(wire, vec![out.clone(), back.clone()], true);
        let (sender, name) = (tap.clone(), name.to_owned());
        self.task(Task::departure(port, out, move |frame| sender.send(frame)));
        self.task(Task::new(format!("dpmac.{port} in"), move |_| {
            if let Err(error) = tap.receive(|frame| back.put(frame)) {
                tracing::error!(name, %error, "the network interface is gone");
                link.set_connected(false);
            }
        }));
        Ok(())
    }

    /// A socket of its own for the program that is the network, in a directory of
    /// its own.
    fn user(
        &mut self,
        wire: &WireSpec,
        out: Arc<Line>,
        qemu: &MakeQemu<'_>,
        is_over: &dyn Fn() -> bool,
    ) -> Result<(), Problem> {
        let directory = tempfile::Builder::new()
            .prefix("fslmc-user-network.")
            .tempdir()
            .map_err(|source| Problem::System { what: "no directory for a socket", source })?;
        let path = directory.path().join("wire");
        let socket = Socket::listen(Place::Unix(path.clone()), self.stop.clone())?;
        let port = wire.port;
        let mut program = UserNetwork::start(qemu, &path, move |words| {
            tracing::warn!(
                words,
                "the user network of dpmac.{port} has ended: its wire leads nowhere now"
            );
        })?;
        program.wait(|| socket.accept_first(), is_over)?;
        self.plug_socket(wire, out, Arc::new(socket));
        self.users.get_mut().push((program, directory));
        Ok(())
    }

    fn replay(&mut self, port: u32, input: Input, line: Arc<Line>) {
        let state = Arc::new(PortState::default());
        self.ports.insert(port, state.clone());
        let stop = self.stop.clone();
        self.task(Task::new(format!("dpmac.{port} in"), move |_| {
            let played = replay(input, &state, &stop, |frame| line.put_waiting(frame));
            tracing::debug!(port, played, "the file of frames has ended");
        }));
    }

    /// A line for what a port sends.
    fn sending_line(&mut self, port: u32, faults: Faults, salt: u64) -> Arc<Line> {
        let line = Arc::new(Line::new(faults, salt));
        self.sending.insert(port, line.clone());
        self.lines.push(line.clone());
        line
    }

    /// A line for what comes to a port from outside, and its way to the board.
    fn receiving_line(&mut self, port: u32, faults: Faults) -> Arc<Line> {
        let line = Arc::new(Line::new(faults, 1));
        self.receiving.insert(port, line.clone());
        self.lines.push(line.clone());
        self.task(Task::arrival(port, line.clone()));
        line
    }

    fn link(&mut self, wire: &WireSpec, lines: Vec<Arc<Line>>, connected: bool) -> Arc<Link> {
        let ports = wire.ports().collect();
        let link = Arc::new(Link::new(ports, lines, !wire.down, connected));
        self.links.push((wire.kind.clone(), link.clone()));
        link
    }

    fn task(&mut self, task: Task) {
        self.tasks.get_mut().push(task);
    }
}

impl Wires for Network {
    fn send(&self, dpmac: u32, frame: &[u8]) {
        if let Some(line) = self.sending.get(&dpmac) {
            line.put(frame);
        }
    }

    fn port_changed(&self, dpmac: u32, up: bool) {
        if let Some(port) = self.ports.get(&dpmac) {
            port.set(up);
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("ports", &self.sending.keys()).finish_non_exhaustive()
    }
}
