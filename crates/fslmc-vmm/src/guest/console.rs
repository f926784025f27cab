// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The guest's console: a serial port on this program's standard streams.

use crate::error::Error;
use crate::input;
use crate::keys::Keys;
use crate::signals;
use crate::streams::{Ending, Output};
use crate::terminal::RawTerminal;
use std::io::{self, Stdout};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vm_superio::serial::NoEvents;
use vm_superio::{Serial as Uart, Trigger};
use vmm_sys_util::eventfd::EventFd;

/// Bytes of input that the serial port holds.
const PORT: usize = 64;

/// Bytes of input that go into it at once.
const BURST: usize = 16;

/// Waits of [`PAUSE`] after which a port that is not read has stalled.
const PATIENCE: u32 = 20;

const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

/// Signals the console's interrupt.
struct Line(EventFd);

impl Trigger for Line {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0.write(1)
    }
}

type Device = Uart<Line, NoEvents, Output<Stdout>>;

/// A guest's serial port.
#[derive(Clone)]
pub struct Serial {
    device: Arc<Mutex<Device>>,
    ending: Arc<Ending>,
}

impl Serial {
    fn lock(&self) -> MutexGuard<'_, Device> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands bytes of the input to the guest; says how many it took. Into a port that is
    /// empty go a few, so that Linux reads them in one go. It stops at 256 and is not
    /// interrupted for what it has left in the port, which only the next byte does: where
    /// the port has `stalled`, one goes in although there are others.
    fn enqueue(&self, bytes: &[u8], stalled: bool) -> usize {
        let mut device = self.lock();
        let free = device.fifo_capacity();
        let most = if free >= PORT { BURST } else { usize::from(stalled) };
        let room = most.min(free).min(bytes.len());
        match device.enqueue_raw_bytes(bytes.get(..room).unwrap_or_default()) {
            Ok(taken) => taken,
            // It has them, but was not told: it finds them with the next ones.
            Err(_) => room,
        }
    }

    /// A load of the guest's.
    pub fn load(&self, offset: u64, bytes: &mut [u8]) {
        bytes.fill(0);
        if let (Ok(register @ 0..=7), Some(byte)) = (u8::try_from(offset), bytes.first_mut()) {
            *byte = self.lock().read(register);
        }
    }

    /// A store of the guest's.
    pub fn store(&self, offset: u64, bytes: &[u8]) {
        if let (Ok(register @ 0..=7), Some(byte)) = (u8::try_from(offset), bytes.first()) {
            // Standard output may be closed: the guest goes on.
            let _ = self.lock().write(register, *byte);
        }
    }

    /// The guest ends: no processor of it waits for who reads its output.
    pub fn end(&self) {
        self.ending.come();
    }
}

/// The console of one guest after the other.
pub struct Console {
    present: Arc<Mutex<Option<Serial>>>,
    _raw: Option<RawTerminal>,
}

impl Console {
    /// Starts to listen to standard input, key by key where that is a terminal which was taken
    /// before. It is given back when the result is dropped.
    pub fn new(raw: Option<RawTerminal>) -> Self {
        let present: Arc<Mutex<Option<Serial>>> = Arc::default();
        let listener = Arc::clone(&present);
        let keys = raw.is_some().then(Keys::default);
        let (typed, waiting) = sync_channel(input::WAITING);
        // Nothing waits for these two: they end with the program.
        std::thread::spawn(move || input::read(io::stdin(), keys, &typed, signals::end));
        std::thread::spawn(move || hand_on(&waiting, &listener));
        Self { present, _raw: raw }
    }

    /// A serial port for a new guest.
    ///
    /// # Errors
    /// The system has no eventfd left.
    pub fn connect(&self, interrupt: EventFd) -> Result<Serial, Error> {
        let ending = Ending::new();
        let ending = ending.map_err(|reason| Error::System { what: "eventfd", reason })?;
        let ending = Arc::new(ending);
        let output = Output::new(io::stdout(), Arc::clone(&ending));
        let device = Arc::new(Mutex::new(Uart::new(Line(interrupt), output)));
        let serial = Serial { device, ending };
        *self.present.lock().unwrap_or_else(PoisonError::into_inner) = Some(serial.clone());
        Ok(serial)
    }

    /// The guest is gone.
    pub fn disconnect(&self) {
        *self.present.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Gives the guest that is present what waits for it, as it takes it.
fn hand_on(waiting: &Receiver<Vec<u8>>, present: &Mutex<Option<Serial>>) {
    for typed in waiting {
        let mut rest = &typed[..];
        let mut waits = 0;
        while !rest.is_empty() {
            let serial = present.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // A guest that is not there does not hear it.
            let Some(serial) = serial else { break };
            let taken = serial.enqueue(rest, waits >= PATIENCE);
            waits = if taken > 0 { 0 } else { waits + 1 };
            rest = rest.get(taken..).unwrap_or_default();
            if !rest.is_empty() {
                std::thread::sleep(PAUSE);
            }
        }
    }
}
