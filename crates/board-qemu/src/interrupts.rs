// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The board's interrupt lines, as QEMU delivers them.
//!
//! A message leaves through a vector of the function that stands for its ICID:
//! QEMU then performs the MSI-X entry's store with that function's requester
//! id, which the ITS takes as DeviceID. An entry is programmed when its first
//! message leaves, by a worker thread over the test socket: QEMU answers with
//! the vector's eventfd on the function's own connection. From then on a
//! message is one write to the eventfd, in the caller's thread.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use board::host::{GuestMemory, IrqLines};

use crate::memory_map::{GITS_TRANSLATER, VECTORS, msix_table};
use crate::qtest::{Qtest, Store};

/// How long QEMU may take to hand over the eventfd of a programmed vector.
const EVENTFD_LIMIT: Duration = Duration::from_secs(5);

/// The vectors of one function.
#[derive(Default)]
pub struct Vectors {
    state: Mutex<VectorState>,
    changed: Condvar,
}

#[derive(Default)]
struct VectorState {
    eventfds: HashMap<u32, File>,
    programmed: HashMap<u32, bool>,
    /// Vectors whose message waits for the worker: one more is the same interrupt, as it is in
    /// a pending bit of MSI-X. A guest cannot have more orders wait than there are vectors.
    waiting: HashSet<u32>,
}

impl Vectors {
    /// Takes the eventfds of `count` vectors from `start` on; vectors without
    /// one lose theirs, and a count of 0 takes all away (VFIO_DEVICE_SET_IRQS).
    pub fn set(&self, start: u32, count: u32, fds: Vec<File>) {
        let mut state = lock(&self.state);
        if count == 0 {
            state.eventfds.clear();
        }
        let mut fds = fds.into_iter();
        for vector in (start..start.saturating_add(count)).take(VECTORS.into()) {
            match fds.next() {
                Some(fd) => state.eventfds.insert(vector, fd),
                None => state.eventfds.remove(&vector),
            };
        }
        self.changed.notify_all();
    }

    /// Signals a vector whose entry is programmed. False where it isn't, or
    /// QEMU has (for the moment) taken its eventfd away.
    fn signal(&self, vector: u32) -> bool {
        let state = lock(&self.state);
        if !state.programmed.get(&vector).copied().unwrap_or(false) {
            return false;
        }
        let Some(eventfd) = state.eventfds.get(&vector) else { return false };
        fire(eventfd, || format!("vector {vector}"));
        true
    }

    fn is_programmed(&self, vector: u32) -> bool {
        lock(&self.state).programmed.get(&vector).copied().unwrap_or(false)
    }

    fn note_programmed(&self, vector: u32) {
        lock(&self.state).programmed.insert(vector, true);
    }

    /// Has a message wait. False where one does already.
    fn begin_to_wait(&self, vector: u32) -> bool {
        lock(&self.state).waiting.insert(vector)
    }

    /// The worker takes the message: the next one is another.
    fn end_to_wait(&self, vector: u32) {
        lock(&self.state).waiting.remove(&vector);
    }

    /// Signals a programmed vector as soon as its eventfd is there.
    fn signal_within(&self, vector: u32, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut state = lock(&self.state);
        loop {
            if let Some(eventfd) = state.eventfds.get(&vector) {
                fire(eventfd, || format!("vector {vector}"));
                return true;
            }
            let Some(left) = end.checked_duration_since(Instant::now()) else { return false };
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A level-triggered line that QEMU carries as a PCI pin.
///
/// QEMU asserts the pin at the eventfd's signal, masks it, and takes any access
/// to the function's BARs as end of interrupt: it lowers the pin and unmasks.
/// A line that is still high then has to be signalled again.
#[derive(Default)]
pub struct Pin {
    state: Mutex<PinState>,
}

#[derive(Default)]
struct PinState {
    high: bool,
    masked: bool,
    eventfd: Option<File>,
}

impl Pin {
    /// Takes QEMU's eventfd, or takes it away.
    pub fn set_eventfd(&self, eventfd: Option<File>) {
        let mut state = lock(&self.state);
        state.eventfd = eventfd;
        state.masked = false;
        state.deliver();
    }

    /// QEMU masks the pin.
    pub fn mask(&self) {
        lock(&self.state).masked = true;
    }

    /// QEMU has seen the end of the interrupt.
    pub fn unmask(&self) {
        let mut state = lock(&self.state);
        state.masked = false;
        state.deliver();
    }

    fn set(&self, high: bool) {
        let mut state = lock(&self.state);
        state.high = high;
        state.deliver();
    }
}

impl PinState {
    fn deliver(&mut self) {
        if self.high
            && !self.masked
            && let Some(eventfd) = &self.eventfd
        {
            fire(eventfd, || "the SMMU's pin".into());
            self.masked = true;
        }
    }
}

fn fire(mut eventfd: &File, name: impl Fn() -> String) {
    match eventfd.write_all(&1u64.to_ne_bytes()) {
        Ok(()) => {}
        // The counter is full of signals that QEMU hasn't taken yet.
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
        Err(e) => tracing::warn!("interrupt lost: the eventfd of {} refuses: {e}", name()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No holder leaves these states half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lines of one board.
pub struct Lines {
    first_icid: u16,
    functions: Vec<Arc<Vectors>>,
    smmu: Arc<Pin>,
    memory: Arc<dyn GuestMemory>,
    orders: Mutex<Sender<Order>>,
}

/// What the worker thread is asked to do.
enum Order {
    Deliver { function: u16, vector: u16 },
    Stop,
}

/// The other end of [`Lines`]: programs vectors once QEMU's test socket is there.
pub struct Programmer {
    functions: Vec<Arc<Vectors>>,
    orders: Receiver<Order>,
}

impl Lines {
    /// The lines of a board whose ICIDs start at `first_icid`, one for each of
    /// `functions`.
    pub fn new(
        first_icid: u16,
        functions: Vec<Arc<Vectors>>,
        smmu: Arc<Pin>,
        memory: Arc<dyn GuestMemory>,
    ) -> (Self, Programmer) {
        let (sender, orders) = channel();
        let programmer = Programmer { functions: functions.clone(), orders };
        (Self { first_icid, functions, smmu, memory, orders: Mutex::new(sender) }, programmer)
    }

    /// Ends the worker thread.
    pub fn stop(&self) {
        // A worker that has ended needs no order.
        let _ = lock(&self.orders).send(Order::Stop);
    }

    fn deliver(&self, icid: u16, value: u32) {
        let function = icid
            .checked_sub(self.first_icid)
            .filter(|index| usize::from(*index) < self.functions.len());
        let vector = u16::try_from(value).ok().filter(|vector| *vector < VECTORS);
        let (Some(function), Some(vector)) = (function, vector) else {
            tracing::warn!(icid, value, "interrupt lost: the board has no vector for it");
            return;
        };
        let vectors = &self.functions[usize::from(function)];
        if vectors.signal(vector.into()) || !vectors.begin_to_wait(vector.into()) {
            return;
        }
        if lock(&self.orders).send(Order::Deliver { function, vector }).is_err() {
            tracing::debug!(icid, value, "interrupt lost: the machine has ended");
        }
    }
}

impl IrqLines for Lines {
    fn message(&self, icid: u16, address: u64, value: u32) {
        if address == GITS_TRANSLATER {
            self.deliver(icid, value);
        } else if let Err(error) = self.memory.write(address, &value.to_le_bytes()) {
            tracing::warn!(icid, value, "interrupt lost: its address is not a doorbell: {error}");
        }
    }

    fn smmu(&self, asserted: bool) {
        self.smmu.set(asserted);
    }
}

impl Programmer {
    /// Serves until [`Lines::stop`], or until the test socket fails.
    ///
    /// # Errors
    /// What the test socket said.
    pub fn run(self, mut qtest: Qtest) -> Result<(), crate::error::QtestError> {
        while let Ok(Order::Deliver { function, vector }) = self.orders.recv() {
            let vectors = &self.functions[usize::from(function)];
            vectors.end_to_wait(vector.into());
            if !vectors.is_programmed(vector.into()) {
                qtest.store(&[entry(function, vector)])?;
                vectors.note_programmed(vector.into());
            }
            if !vectors.signal_within(vector.into(), EVENTFD_LIMIT) {
                tracing::warn!(
                    function,
                    vector,
                    "interrupt lost: QEMU gave no eventfd for its vector"
                );
            }
        }
        Ok(())
    }
}

/// The store that makes vector `vector` of function `function` send event
/// `vector`, unmasked. Address first, mask last: the layout of an entry.
fn entry(function: u16, vector: u16) -> Store {
    let mut bytes = Vec::with_capacity(16);
    bytes.extend(GITS_TRANSLATER.to_le_bytes());
    bytes.extend(u32::from(vector).to_le_bytes());
    bytes.extend(0u32.to_le_bytes());
    Store::Bytes(msix_table(function) + 16 * u64::from(vector), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest_ram::GuestRam;
    use rustix::event::{EventfdFlags, eventfd};
    use std::io::{BufRead, BufReader, Read};
    use std::os::unix::net::UnixStream;
    use std::thread;

    fn event() -> File {
        File::from(eventfd(0, EventfdFlags::NONBLOCK).unwrap())
    }

    fn taken(mut fd: &File) -> Option<u64> {
        let mut buf = [0; 8];
        fd.read_exact(&mut buf).ok().map(|()| u64::from_ne_bytes(buf))
    }

    struct TestBoard {
        lines: Arc<Lines>,
        programmer: Programmer,
        functions: Vec<Arc<Vectors>>,
        pin: Arc<Pin>,
        ram: Arc<GuestRam>,
    }

    fn board(count: usize) -> TestBoard {
        let functions: Vec<Arc<Vectors>> = (0..count).map(|_| Arc::default()).collect();
        let (pin, ram) = (Arc::<Pin>::default(), Arc::<GuestRam>::default());
        let (lines, programmer) = Lines::new(23, functions.clone(), pin.clone(), ram.clone());
        TestBoard { lines: Arc::new(lines), programmer, functions, pin, ram }
    }

    #[test]
    fn the_first_message_programs_its_vector_and_the_next_ones_do_not() {
        let TestBoard { lines, programmer, functions, .. } = board(3);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let fd = event();
        let qemu = thread::spawn({
            let (function, fd) = (functions[1].clone(), fd.try_clone().unwrap());
            move || {
                let mut seen = vec![];
                let mut answers = theirs.try_clone().unwrap();
                for line in BufReader::new(theirs).lines() {
                    seen.push(line.unwrap());
                    // As QEMU does: the eventfd arrives before the answer.
                    function.set(7, 1, vec![fd.try_clone().unwrap()]);
                    answers.write_all(b"OK\n").unwrap();
                }
                seen
            }
        });
        // Messages of a vector that wait are one interrupt, however many there are.
        for _ in 0..3 {
            lines.message(24, GITS_TRANSLATER, 7);
        }
        lines.stop();
        programmer.run(Qtest::new(ours, Duration::from_secs(5)).unwrap()).unwrap();
        assert_eq!(
            qemu.join().unwrap(),
            ["write 0x16010070 0x10 0x40000908000000000700000000000000"]
        );
        assert_eq!(taken(&fd), Some(1));
        lines.message(24, GITS_TRANSLATER, 7);
        assert_eq!(taken(&fd), Some(1), "no worker is needed any more");
        // Where the eventfd is away, the next message waits again.
        functions[1].set(7, 1, vec![]);
        lines.message(24, GITS_TRANSLATER, 7);
        assert!(!functions[1].begin_to_wait(7));
    }

    #[test]
    fn messages_without_vector_are_lost_and_others_reach_memory() {
        let TestBoard { lines, programmer, ram, .. } = board(2);
        lines.message(22, GITS_TRANSLATER, 0);
        lines.message(25, GITS_TRANSLATER, 0);
        lines.message(23, GITS_TRANSLATER, 256);
        lines.message(23, 0x9000_0000, 1);
        assert!(programmer.orders.try_recv().is_err());
        let file = tempfile::tempfile().unwrap();
        file.set_len(0x1000).unwrap();
        ram.map(0x9000_0000, 0x1000, file, 0).unwrap();
        lines.message(23, 0x9000_0010, 0x1234_5678);
        let mut buf = [0; 4];
        ram.read(0x9000_0010, &mut buf).unwrap();
        assert_eq!(u32::from_le_bytes(buf), 0x1234_5678);
    }

    #[test]
    fn eventfds_come_and_go() {
        let vectors = Vectors::default();
        let (a, b) = (event(), event());
        vectors.set(4, 2, vec![a.try_clone().unwrap(), b.try_clone().unwrap()]);
        assert!(!vectors.signal(4), "not programmed yet");
        vectors.note_programmed(4);
        vectors.note_programmed(5);
        assert!(vectors.signal(4) && vectors.signal(5));
        assert_eq!((taken(&a), taken(&b)), (Some(1), Some(1)));
        vectors.set(5, 1, vec![]);
        assert!(vectors.signal(4) && !vectors.signal(5));
        vectors.set(0, 0, vec![]);
        assert!(!vectors.signal(4));
        assert!(!vectors.signal_within(4, Duration::from_millis(1)));
        vectors.set(u32::MAX, u32::MAX, vec![event()]);
    }

    #[test]
    fn a_high_pin_is_signalled_once_until_the_end_of_interrupt() {
        let TestBoard { lines, pin, .. } = board(1);
        let fd = event();
        lines.smmu(true);
        pin.set_eventfd(Some(fd.try_clone().unwrap()));
        assert_eq!(taken(&fd), Some(1), "high before QEMU came");
        lines.smmu(true);
        assert_eq!(taken(&fd), None);
        pin.unmask();
        assert_eq!(taken(&fd), Some(1), "still high");
        lines.smmu(false);
        pin.unmask();
        assert_eq!(taken(&fd), None);
        pin.mask();
        lines.smmu(true);
        assert_eq!(taken(&fd), None);
        pin.unmask();
        assert_eq!(taken(&fd), Some(1));
    }
}
