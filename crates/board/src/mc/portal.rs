// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Command portals: 64 bytes of memory each, through which software hands a
//! message over and finds the answer.

use super::{
    Effect, Record, State,
    dispatch::{self, Executed},
};
use crate::faults::{Action, Faults};
use mc_abi::{Message, Status};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

/// Bytes from one portal to the next.
pub const PORTAL_STRIDE: u64 = 0x1_0000;

/// Portals that the window has room for.
const PORTALS: usize = 1024;

/// Receives a record of each command.
pub type Tracer = Arc<dyn Fn(&Record) + Send + Sync>;

/// Performs what commands cause outside of the MC.
pub type Performer = Arc<dyn Fn(Effect) + Send + Sync>;

/// The Management Complex behind its portals.
pub struct Mc {
    state: Mutex<State>,
    portals: Vec<Mutex<[u8; Message::SIZE]>>,
    faults: Mutex<Faults>,
    has_faults: AtomicBool,
    tracer: Option<Tracer>,
    perform: Performer,
    later: Mutex<Option<mpsc::Sender<Later>>>,
}

/// A command whose execution is put off.
struct Later {
    due: Instant,
    portal: usize,
    message: Message,
    /// Replaces the outcome.
    status: Option<Status>,
}

/// What software wrote is data like any other, so a panic elsewhere while a
/// lock was held leaves nothing that the next command could not stand.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mc {
    pub(crate) fn new(
        state: State,
        faults: Faults,
        tracer: Option<Tracer>,
        perform: Performer,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(state),
            portals: (0..PORTALS).map(|_| Mutex::new([0; Message::SIZE])).collect(),
            has_faults: AtomicBool::new(!faults.is_empty()),
            faults: Mutex::new(faults),
            tracer,
            perform,
            later: Mutex::new(None),
        })
    }

    /// Reads from the window of portals. Bytes outside of a portal's 64 are
    /// zero.
    pub fn read(&self, offset: u64, buf: &mut [u8]) {
        buf.fill(0);
        let Some((portal, at)) = locate(offset) else { return };
        let memory = lock(&self.portals[portal]);
        if let Some(bytes) = memory.get(at..) {
            let n = bytes.len().min(buf.len());
            buf[..n].copy_from_slice(&bytes[..n]);
        }
    }

    /// Writes to the window of portals.
    ///
    /// A store that covers the first byte and leaves the status at
    /// [`Status::Ready`] hands the message over: Linux writes the header in one
    /// store, DPDK its upper half first. The answer is there when this returns,
    /// unless a delay or a fault is set for the command.
    pub fn write(self: &Arc<Self>, offset: u64, data: &[u8]) {
        let Some((portal, at)) = locate(offset) else { return };
        let message = {
            let mut memory = lock(&self.portals[portal]);
            let Some(slot) = memory.get_mut(at..) else { return };
            let n = slot.len().min(data.len());
            slot[..n].copy_from_slice(&data[..n]);
            Message::from_bytes(&memory)
        };
        let ready = Status::from_byte(message.header.status_byte()) == Status::Ready;
        if at == 0 && !data.is_empty() && ready {
            self.submit(portal, message);
        }
    }

    /// Executes a message as if it had come through `portal`, without the
    /// portal's memory: what a command costs, and what fuzzers feed.
    pub fn execute(self: &Arc<Self>, portal: u32, message: &Message) -> Message {
        self.run(portal as usize, message)
    }

    /// Sets delays and faults.
    pub fn set_faults(&self, faults: Faults) {
        self.has_faults.store(!faults.is_empty(), Ordering::Release);
        *lock(&self.faults) = faults;
    }

    /// Runs `f` on the state and performs what it causes.
    pub(crate) fn with_state<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let (result, effects) = {
            let mut state = lock(&self.state);
            let result = f(&mut state);
            (result, std::mem::take(&mut state.effects))
        };
        for effect in effects {
            (self.perform)(effect);
        }
        result
    }

    fn submit(self: &Arc<Self>, portal: usize, message: Message) {
        let action = self.fault_for(portal, &message);
        match action {
            None => {
                let answer = self.run(portal, &message);
                self.publish(portal, &answer);
            }
            Some(Action::Hang) => {
                self.trace_fault(portal, &message, "hangs, as told");
            }
            Some(Action::Status(status)) => {
                self.trace_fault(portal, &message, "refused, as told");
                self.publish(portal, &refusal(&message, status));
            }
            Some(Action::Delay(delay)) => self.put_off(portal, message, delay, None),
        }
    }

    fn run(self: &Arc<Self>, portal: usize, message: &Message) -> Message {
        let traced = self.tracer.is_some();
        let number = portal as u32;
        let (container, done) = self.with_state(|state| {
            let container = state.portal_container(number);
            (container, dispatch::execute(state, container, message, traced))
        });
        if let Some(tracer) = &self.tracer {
            tracer(&record(number, container, message, &done));
        }
        done.answer
    }

    /// Puts an answer where software looks for it: parameters first, the
    /// header's status last, in one step under the portal's lock.
    fn publish(&self, portal: usize, answer: &Message) {
        *lock(&self.portals[portal]) = answer.to_bytes();
    }

    fn fault_for(&self, portal: usize, message: &Message) -> Option<Action> {
        // The usual case costs one load.
        if !self.has_faults.load(Ordering::Acquire) {
            return None;
        }
        let kind = self.with_state(|state| {
            let token = message.header.token();
            state.sessions.object(token).map(|id| id.kind)
        });
        let _ = portal;
        lock(&self.faults).action(kind, message.header.number())
    }

    fn trace_fault(&self, portal: usize, message: &Message, what: &str) {
        tracing::info!(portal, header = ?message.header, "command {what}");
    }

    /// Executes the message when `delay` has passed. Until then the portal
    /// shows it as handed over.
    fn put_off(
        self: &Arc<Self>,
        portal: usize,
        message: Message,
        delay: Duration,
        status: Option<Status>,
    ) {
        let later = Later { due: Instant::now() + delay, portal, message, status };
        let mut slot = lock(&self.later);
        let sender = slot.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel();
            let mc = Arc::downgrade(self);
            std::thread::spawn(move || worker(&receiver, &mc));
            sender
        });
        if sender.send(later).is_err() {
            tracing::error!(portal, "the thread of delayed commands is gone; command lost");
        }
    }

    fn finish(self: &Arc<Self>, later: &Later) {
        let answer = match later.status {
            Some(status) => refusal(&later.message, status),
            None => self.run(later.portal, &later.message),
        };
        self.publish(later.portal, &answer);
    }
}

/// Waits for delayed commands and executes each at its time.
fn worker(receiver: &mpsc::Receiver<Later>, mc: &std::sync::Weak<Mc>) {
    let mut waiting: Vec<Later> = Vec::new();
    loop {
        let next = waiting.iter().map(|l| l.due).min();
        let received = match next {
            None => receiver.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
            Some(due) => receiver.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        match received {
            Ok(later) => waiting.push(later),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        let Some(mc) = mc.upgrade() else { return };
        waiting.retain(|later| {
            if later.due <= now {
                mc.finish(later);
            }
            later.due > now
        });
    }
}

fn refusal(message: &Message, status: Status) -> Message {
    super::call::answer_message(message, &Err(status))
}

fn record(portal: u32, container: Option<u32>, message: &Message, done: &Executed) -> Record {
    Record {
        portal,
        container,
        object: done.object,
        header: message.header,
        command: done
            .command
            .clone()
            .unwrap_or_else(|| format!("command {:#05x}", message.header.number())),
        reply: done.reply.clone().unwrap_or_default(),
        status: done.status,
    }
}

fn locate(offset: u64) -> Option<(usize, usize)> {
    let portal = usize::try_from(offset / PORTAL_STRIDE).ok()?;
    (portal < PORTALS).then_some((portal, (offset % PORTAL_STRIDE) as usize))
}
