// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Wires over sockets, in the framing of QEMU's `-netdev stream`: each frame
//! behind its length, four bytes, the highest first.

use crate::{error::Problem, link::Link, stop::Stop};
use parking_lot::Mutex;
use rustix::{event::PollFlags, net::sockopt};
use std::{
    io::{self, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{
            fs::FileTypeExt,
            net::{UnixDatagram, UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

/// How long to wait before the next attempt to connect.
const RETRY: Duration = Duration::from_secs(1);
/// How long a host may take to answer. The end of a board may wait for it.
const ANSWER: Duration = Duration::from_secs(3);
/// Longer than any frame: what says so is no frame's length.
const LONGEST: usize = 0x1_0000;

/// Where the other side is.
#[derive(Debug, Clone)]
pub enum Place {
    Unix(PathBuf),
    Tcp(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// A connection.
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    fn connect(place: &Place) -> io::Result<Self> {
        Ok(match place {
            Place::Unix(path) => Self::Unix(UnixStream::connect(path)?),
            Place::Tcp(address) => Self::tcp(connect_tcp(address)?)?,
        })
    }

    fn tcp(stream: TcpStream) -> io::Result<Self> {
        // A frame waits for no other.
        stream.set_nodelay(true)?;
        // A machine that goes without a word, or whose network does, is gone in half a minute.
        sockopt::set_socket_keepalive(&stream, true)?;
        sockopt::set_tcp_keepidle(&stream, Duration::from_secs(10))?;
        sockopt::set_tcp_keepintvl(&stream, Duration::from_secs(5))?;
        sockopt::set_tcp_keepcnt(&stream, 3)?;
        sockopt::set_tcp_user_timeout(&stream, 30_000)?;
        Ok(Self::Tcp(stream))
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
        })
    }

    fn shut_down(&self) {
        // It may be over already.
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

/// Connects to the first of a host's addresses that answers in time.
fn connect_tcp(address: &str) -> io::Result<TcpStream> {
    let mut result = Err(io::Error::new(io::ErrorKind::NotFound, "the host has no address"));
    for address in address.to_socket_addrs()? {
        result = TcpStream::connect_timeout(&address, ANSWER);
        if result.is_ok() {
            break;
        }
    }
    result
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buf),
            Self::Tcp(stream) => stream.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(buf),
            Self::Tcp(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket that waits for the other side.
enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

impl Listener {
    fn bind(place: &Place) -> io::Result<Self> {
        let listener = match place {
            Place::Unix(path) => {
                remove_stale(path)?;
                Self::Unix(UnixListener::bind(path)?, path.clone())
            }
            Place::Tcp(address) => Self::Tcp(TcpListener::bind(address)?),
        };
        match &listener {
            Self::Unix(socket, _) => socket.set_nonblocking(true)?,
            Self::Tcp(socket) => socket.set_nonblocking(true)?,
        }
        Ok(listener)
    }

    fn accept(&self) -> io::Result<Stream> {
        Ok(match self {
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(false)?;
                Stream::Unix(stream)
            }
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(false)?;
                Stream::tcp(stream)?
            }
        })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listener, _) => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // Somebody may have removed it.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Removes a socket that a program has left behind. One that is in use stays, and
/// so does every other file.
///
/// A datagram socket asks: a stream socket that somebody has is of the wrong type for it, and
/// sees nothing of it, while a connection would take the place of whom it waits for.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = path.symlink_metadata().is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket
        && let Err(error) = UnixDatagram::unbound()?.connect(path)
        && error.kind() == io::ErrorKind::ConnectionRefused
    {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// One end of a wire over a socket.
pub struct Socket {
    place: Place,
    listener: Option<Listener>,
    /// The connection, for who writes and for who ends it.
    current: Mutex<Option<Arc<Connection>>>,
    /// The connection made while plugging in, for who reads. Frames may be sent
    /// over it before.
    first: Mutex<Option<Stream>>,
    stop: Arc<Stop>,
}

struct Connection {
    /// Writing may take as long as the other side likes.
    writer: Mutex<(Stream, Vec<u8>)>,
    /// For the end, without waiting for the writer.
    handle: Stream,
}

impl Socket {
    /// Waits for the other side at `place`, from now on.
    pub fn listen(place: Place, stop: Arc<Stop>) -> Result<Self, Problem> {
        let listener = Listener::bind(&place)
            .map_err(|source| Problem::Listen { place: place.to_string(), source })?;
        Ok(Self::new(place, Some(listener), stop))
    }

    /// Connects to `place`. A connection that is lost later is made again.
    pub fn connect(place: Place, stop: Arc<Stop>) -> Result<Self, Problem> {
        let socket = Self::new(place, None, stop);
        let connected = Stream::connect(&socket.place).and_then(|stream| socket.start(stream));
        match connected {
            Ok(()) => Ok(socket),
            Err(source) => Err(Problem::Connect { place: socket.place.to_string(), source }),
        }
    }

    fn new(place: Place, listener: Option<Listener>, stop: Arc<Stop>) -> Self {
        Self { place, listener, current: Mutex::default(), first: Mutex::default(), stop }
    }

    /// There is a connection before anybody reads.
    fn start(&self, stream: Stream) -> io::Result<()> {
        *self.current.lock() = Some(Arc::new(Connection::new(&stream)?));
        *self.first.lock() = Some(stream);
        Ok(())
    }

    /// Whether there is somebody at the other end from the start.
    pub fn is_connected(&self) -> bool {
        self.current.lock().is_some()
    }

    /// Accepts the first connection, if it has come. Says whether it has.
    pub fn accept_first(&self) -> bool {
        let accepted = self.listener.as_ref().and_then(|listener| listener.accept().ok());
        accepted.is_some_and(|stream| self.start(stream).is_ok())
    }

    /// Sends a frame, if there is a connection.
    pub fn send(&self, frame: &[u8]) {
        let Some(connection) = self.current.lock().clone() else { return };
        let (stream, buffer) = &mut *connection.writer.lock();
        let Ok(length) = u32::try_from(frame.len()) else { return };
        buffer.clear();
        buffer.extend_from_slice(&length.to_be_bytes());
        buffer.extend_from_slice(frame);
        if let Err(error) = stream.write_all(buffer) {
            tracing::debug!(place = %self.place, %error, "frame lost");
            // The reader sees to the rest.
            connection.handle.shut_down();
        }
    }

    /// Receives frames, over one connection after the other, until it is over.
    pub fn receive(&self, link: &Link, mut arrive: impl FnMut(&[u8])) {
        while let Some(stream) = self.next_stream() {
            let connection = match Connection::new(&stream) {
                Ok(connection) => Arc::new(connection),
                Err(error) => {
                    tracing::warn!(place = %self.place, %error, "wire not connected");
                    if self.stop.within(RETRY) {
                        return;
                    }
                    continue;
                }
            };
            *self.current.lock() = Some(connection.clone());
            // It may be over since before the connection was to be seen.
            if self.stop.within(Duration::ZERO) {
                return;
            }
            link.set_connected(true);
            let ended = self.receive_alone(stream, &mut arrive);
            // A sender may wait for a side that reads nothing and is not gone.
            connection.handle.shut_down();
            *self.current.lock() = None;
            link.set_connected(false);
            tracing::debug!(place = %self.place, ?ended, "wire not connected any more");
        }
    }

    /// Receives frames over a connection. Whoever connects meanwhile is refused: a wire has
    /// two ends, and what was sent to it would come late, to another board.
    fn receive_alone(&self, stream: Stream, arrive: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let Some(listener) = &self.listener else { return receive_frames(stream, arrive) };
        let over = Stop::new()?;
        thread::scope(|scope| {
            scope.spawn(|| {
                while let Ok(true) = over.ready(listener.as_fd(), PollFlags::IN) {
                    match listener.accept() {
                        Ok(_) => tracing::warn!(
                            place = %self.place,
                            "another one has connected, and is refused: a wire has two ends"
                        ),
                        // It goes on waiting where there is no descriptor left for it.
                        Err(error) => {
                            tracing::trace!(place = %self.place, %error, "another one not refused");
                            if over.within(RETRY) {
                                return;
                            }
                        }
                    }
                }
            });
            let ended = receive_frames(stream, arrive);
            over.set();
            ended
        })
    }

    /// Ends what waits for the other side.
    pub fn close(&self) {
        if let Some(connection) = &*self.current.lock() {
            connection.handle.shut_down();
        }
    }

    /// The next connection; none when it is over.
    fn next_stream(&self) -> Option<Stream> {
        if let Some(stream) = self.first.lock().take() {
            return Some(stream);
        }
        loop {
            let attempt = match &self.listener {
                Some(listener) => match self.stop.ready(listener.as_fd(), PollFlags::IN) {
                    Ok(true) => listener.accept(),
                    Ok(false) => return None,
                    Err(error) => Err(error),
                },
                None if self.stop.within(RETRY) => return None,
                None => Stream::connect(&self.place),
            };
            match attempt {
                Ok(stream) => return Some(stream),
                Err(error) => {
                    tracing::trace!(place = %self.place, %error, "no connection yet");
                    if self.listener.is_some() && self.stop.within(RETRY) {
                        return None;
                    }
                }
            }
        }
    }
}

impl Connection {
    fn new(stream: &Stream) -> io::Result<Self> {
        let writer = Mutex::new((stream.try_clone()?, Vec::new()));
        Ok(Self { writer, handle: stream.try_clone()? })
    }
}

/// Gives every frame of a connection to `arrive`, until the connection ends.
fn receive_frames(stream: Stream, arrive: &mut impl FnMut(&[u8])) -> io::Result<()> {
    let mut stream = BufReader::with_capacity(LONGEST, stream);
    let mut frame = vec![0; LONGEST];
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        let place = usize::try_from(length).ok().and_then(|length| frame.get_mut(..length));
        let Some(frame) = place else {
            let reason =
                format!("{length} is not a valid frame length: is the peer the right program?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        };
        stream.read_exact(frame)?;
        arrive(frame);
    }
}
