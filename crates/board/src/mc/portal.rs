// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Command portals: 64 bytes of memory each, through which software hands a
//! message over and finds the answer.

use super::{
    PORTAL_STRIDE, Record, State,
    delayed::Delayed,
    dispatch::{self, Executed},
    dpmac,
};
use crate::mc::refusal::{Because, Refusal};
use crate::{
    fabric::Pass,
    faults::{Action, Faults},
    host::Clock,
};
use mc_abi::{Message, ObjectId, Status};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// Portals in the window.
const PORTALS: usize = 1024;

/// Receives a record of each command.
pub type Tracer = Arc<dyn Fn(&Record) + Send + Sync>;

/// Performs what commands cause outside of the MC.
pub type Performer = Arc<dyn Fn(&mut Pass) + Send + Sync>;

/// The Management Complex behind its portals.
pub struct Mc {
    state: Mutex<State>,
    portals: Vec<Mutex<Portal>>,
    faults: Mutex<Faults>,
    has_faults: AtomicBool,
    tracer: Option<Tracer>,
    perform: Performer,
    clock: Arc<dyn Clock>,
    pub(super) delayed: Arc<Delayed<Submission>>,
    /// What waits for another command, in the order of submission.
    held: Mutex<Vec<Submission>>,
    has_held: AtomicBool,
    /// Whether a thread executes what is delayed; unset until there is any.
    worker: OnceLock<bool>,
}

/// A portal's memory.
struct Portal {
    memory: [u8; Message::SIZE],
    /// How many messages were submitted.
    sequence: u64,
}

/// A message that the MC took out of a portal.
pub(super) struct Submission {
    portal: usize,
    /// Which of the portal's messages it is.
    sequence: u64,
    message: Message,
}

impl Mc {
    pub(crate) fn new(
        state: State,
        faults: Faults,
        tracer: Option<Tracer>,
        perform: Performer,
    ) -> Arc<Self> {
        let portal = || Mutex::new(Portal { memory: [0; Message::SIZE], sequence: 0 });
        let clock = state.clock.clone();
        Arc::new(Self {
            state: Mutex::new(state),
            portals: (0..PORTALS).map(|_| portal()).collect(),
            has_faults: AtomicBool::new(!faults.is_empty()),
            faults: Mutex::new(faults),
            tracer,
            perform,
            delayed: Arc::new(Delayed::new(clock.clone())),
            clock,
            held: Mutex::default(),
            has_held: AtomicBool::new(false),
            worker: OnceLock::new(),
        })
    }

    /// Reads from the window of portals. Bytes outside of a portal's 64 are
    /// zero.
    pub fn read(&self, offset: u64, buf: &mut [u8]) {
        buf.fill(0);
        let Some((portal, at)) = locate(offset) else { return };
        let portal = self.portals[portal].lock();
        if let Some(bytes) = portal.memory.get(at..) {
            let n = bytes.len().min(buf.len());
            buf[..n].copy_from_slice(&bytes[..n]);
        }
    }

    /// Writes to the window of portals.
    ///
    /// A store that covers the first byte and leaves the status at
    /// [`Status::Ready`] submits the message: Linux writes the header in one
    /// store, DPDK its upper half first. The answer is there when this returns,
    /// unless a delay or a fault is set for the command.
    ///
    /// The MC takes the message out of the portal when it is submitted, so
    /// what is written until the answer comes does not change the command. If
    /// that submits another message, which software should do only when it
    /// has given the first one up, both commands are executed, each at its
    /// time, and the portal shows the answer to the newer one only: nobody
    /// takes a late answer for that of the next command. What silicon does
    /// then is not known.
    pub fn write(self: &Arc<Self>, offset: u64, data: &[u8]) {
        let Some((portal, at)) = locate(offset) else { return };
        let submission = {
            let mut slot = self.portals[portal].lock();
            let Some(bytes) = slot.memory.get_mut(at..) else { return };
            let n = bytes.len().min(data.len());
            bytes[..n].copy_from_slice(&data[..n]);
            let message = Message::from_bytes(&slot.memory);
            if at != 0 || data.is_empty() || !is_ready(&message) {
                return;
            }
            slot.sequence += 1;
            Submission { portal, sequence: slot.sequence, message }
        };
        self.submit(submission);
    }

    /// Executes a message as if it had come through `portal`, without the
    /// portal's memory, delays and faults: what a command costs, and what
    /// fuzzers feed.
    pub fn execute(&self, portal: u32, message: &Message) -> Message {
        let (container, done) = self.with_state(|state| {
            let container = state.portal_container(portal);
            let traced = self.tracer.is_some();
            (container, dispatch::execute(state, container, message, traced))
        });
        self.trace(portal, container, message, &done);
        done.answer
    }

    /// Sets delays and faults. Commands that are delayed already stay so.
    pub fn set_faults(&self, faults: Faults) {
        let mut rules = self.faults.lock();
        self.has_faults.store(!faults.is_empty(), Ordering::Release);
        *rules = faults;
    }

    /// The physical side of a port's link comes up or goes down.
    pub fn set_wire(&self, dpmac: u32, up: bool) {
        self.with_state(|state| {
            dpmac::set_wire(state, dpmac, up);
            state.program();
        });
    }

    /// Runs `f` on the state and performs what it causes.
    pub(crate) fn with_state<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let (result, mut pass) = {
            let mut state = self.state.lock();
            let result = f(&mut state);
            (result, state.take_pass())
        };
        if !pass.is_empty() {
            (self.perform)(&mut pass);
        }
        result
    }

    fn submit(self: &Arc<Self>, submission: Submission) {
        // The usual case costs one load.
        let action = if self.has_faults.load(Ordering::Acquire) {
            self.fault(&submission.message)
        } else {
            None
        };
        match action {
            None => {
                self.finish(&submission);
                // Those that were held when the rules were changed, too.
                if self.has_held.load(Ordering::Acquire) {
                    self.release();
                }
            }
            Some(Action::Hold) => {
                let mut held = self.held.lock();
                held.push(submission);
                self.has_held.store(true, Ordering::Release);
            }
            Some(Action::Delay(delay)) => self.put_off(submission, delay),
            Some(Action::Status(status)) => self.refuse(&submission, status),
            // The portal goes on showing the message as submitted.
            Some(Action::Hang) => {
                let hang = Status::Ready.because("a rule of --inject: no answer comes");
                self.trace_fault(&submission, &hang);
            }
        }
    }

    /// Executes what is held.
    fn release(&self) {
        let held = {
            let mut held = self.held.lock();
            self.has_held.store(false, Ordering::Release);
            std::mem::take(&mut *held)
        };
        for submission in &held {
            self.finish(submission);
        }
    }

    /// Executes a message and answers it.
    fn finish(&self, submission: &Submission) {
        let answer = self.execute(submission.portal as u32, &submission.message);
        self.publish(submission, &answer);
    }

    /// Answers a message without executing it.
    fn refuse(&self, submission: &Submission, status: Status) {
        let refusal = status.because("a rule of --inject: not executed");
        self.trace_fault(submission, &refusal);
        self.publish(submission, &super::call::answer_message(&submission.message, &Err(refusal)));
    }

    /// Puts an answer where software looks for it, unless that has submitted
    /// another message since.
    fn publish(&self, submission: &Submission, answer: &Message) {
        {
            let mut portal = self.portals[submission.portal].lock();
            if portal.sequence != submission.sequence {
                let (portal, header) = (submission.portal, answer.header);
                tracing::debug!(portal, ?header, "answer that nobody waits for any more");
                return;
            }
            portal.memory = answer.to_bytes();
        }
        // The interrupt that says so comes after the answer.
        self.with_state(|state| state.command_done(submission.portal as u32, answer.header));
    }

    /// What is to happen to a message instead of its execution.
    fn fault(&self, message: &Message) -> Option<Action> {
        let kind = self.state.lock().sessions.object(message.header.token()).map(|id| id.kind);
        self.faults.lock().action(kind, message.header.number())
    }

    /// Executes the message when `delay` has passed. Until then the portal
    /// shows it as submitted.
    fn put_off(self: &Arc<Self>, submission: Submission, delay: Duration) {
        if !*self.worker.get_or_init(|| self.start_worker()) {
            return self.finish(&submission);
        }
        // A time that no clock will show never comes: the command hangs.
        let delay = u64::try_from(delay.as_nanos()).ok();
        if let Some(due) = delay.and_then(|delay| self.clock.now().checked_add(delay)) {
            self.delayed.push(due, submission);
        }
    }

    /// Starts the thread that executes what is delayed. It ends when the MC is
    /// gone, and commands that are not due by then are lost with it.
    fn start_worker(self: &Arc<Self>) -> bool {
        let (delayed, mc) = (self.delayed.clone(), Arc::downgrade(self));
        let worker = move || {
            while let Some(submission) = delayed.next() {
                let Some(mc) = mc.upgrade() else { return };
                mc.finish(&submission);
            }
        };
        match thread::Builder::new().name("mc-delayed".into()).spawn(worker) {
            Ok(_) => true,
            Err(error) => {
                tracing::error!(%error, "no thread for delayed commands: they are not delayed");
                false
            }
        }
    }

    fn trace(&self, portal: u32, container: Option<u32>, message: &Message, done: &Executed) {
        if let Some(tracer) = &self.tracer {
            tracer(&record(portal, container, message, done));
        }
    }

    /// Traces a message that is not executed because a fault is set.
    fn trace_fault(&self, submission: &Submission, refusal: &Refusal) {
        if self.tracer.is_none() {
            return;
        }
        let Submission { portal, message, .. } = submission;
        let header = message.header;
        let (container, object) = {
            let state = self.state.lock();
            (state.portal_container(*portal as u32), state.sessions.object(header.token()))
        };
        let done = Executed {
            answer: *message,
            status: refusal.status,
            object,
            command: None,
            reply: None,
            reason: Some(refusal.reason.clone()),
        };
        self.trace(*portal as u32, container, message, &done);
    }
}

impl Mc {
    /// Lets `events` of interrupt `index` of an object happen: what the hardware
    /// behind the object would do. The message leaves where enable bit and mask let it.
    ///
    /// # Errors
    /// [`Status::NoResource`] where there is no such object,
    /// [`Status::ConfigurationError`] where it has no such interrupt.
    pub fn raise(&self, id: ObjectId, index: u8, events: u32) -> Result<(), Refusal> {
        self.with_state(|state| {
            state.irq(id, index)?;
            state.raise(id, index, events);
            Ok(())
        })
    }
}

impl Drop for Mc {
    fn drop(&mut self) {
        self.delayed.close();
    }
}

fn is_ready(message: &Message) -> bool {
    message.header.status() == Status::Ready
}

pub(super) fn record(
    portal: u32,
    container: Option<u32>,
    message: &Message,
    done: &Executed,
) -> Record {
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
        reason: done.reason.clone(),
    }
}

fn locate(offset: u64) -> Option<(usize, usize)> {
    let portal = usize::try_from(offset / PORTAL_STRIDE).ok()?;
    (portal < PORTALS).then_some((portal, (offset % PORTAL_STRIDE) as usize))
}
