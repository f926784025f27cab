// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! A command portal: one command at a time, and its answer to who sent it.
//!
//! A portal has 64 bytes, into which a command is written and in which its answer appears. One
//! lock is held from the first byte of the command to the last byte of the answer, whoever
//! sends it: user space, this driver, or the bus on this driver's behalf.
//!
//! User space writes and reads in two calls. A task reads the answer to the command that it
//! wrote itself; one that never wrote reads the portal as it stands.

use crate::{
    abstractions::{
        killable::{
            self,
            KillableMutex, //
        },
        mc_portal::McPortal, //
    },
    logic::{
        command::{
            in_flight,
            status_of,
            Command, //
        },
        portal::{
            Backoff,
            Next,
            Outcome,
            State,
            Step, //
        },
        Errno, //
    },
    parameters, //
};
use kernel::{
    current, new_mutex,
    prelude::*,
    static_lock_class,
    sync::{
        aref::ARef,
        Mutex, //
    },
    task::Task,
    time::{
        delay::{
            fsleep,
            udelay, //
        },
        Delta,
        Instant,
        Monotonic, //
    },
};

/// A portal.
#[pin_data]
pub(crate) struct Portal {
    io: McPortal,
    /// Held around a command and its answer.
    #[pin]
    state: KillableMutex<State>,
    /// What tasks have to read. Never held while waiting for anything.
    #[pin]
    answers: Mutex<KVec<Answer>>,
}

/// The answer to the last command of a task; none while there is none.
struct Answer {
    /// Held, so that no other task can be taken for this one.
    task: ARef<Task>,
    words: Option<[u64; 8]>,
}

/// Who waits for an answer.
#[derive(Clone, Copy, PartialEq)]
enum Waiter {
    /// A user task, which need not wait any longer once it is killed.
    User,
    /// The driver, perhaps on behalf of a task that is being killed.
    Driver,
}

impl Portal {
    /// The portal at a physical address.
    pub(crate) fn new(physical: u64) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            io: McPortal::map(physical)?,
            state <- KillableMutex::new(State::Idle, c"Portal::state", static_lock_class!()),
            answers <- new_mutex!(KVec::new(), "Portal::answers"),
        })
    }

    /// Runs `f` with the portal to itself: it may send several commands, through
    /// [`Exclusive`] or by calls into the bus, which uses the portal without knowing of the
    /// lock.
    pub(crate) fn exclusively<R>(&self, f: impl FnOnce(Exclusive<'_>) -> Result<R>) -> Result<R> {
        let mut state = self.state.lock();
        self.make_idle(&mut state, Waiter::Driver)?;
        f(Exclusive {
            portal: self,
            state: &mut state,
        })
    }

    /// Sends a command of the current task's and keeps the answer for it. The answer's first
    /// word, or `EINTR` where the task was killed, `ETIMEDOUT` where the MC did not answer,
    /// `EBUSY` where it still owes an answer to an earlier command.
    pub(crate) fn write(&self, command: &Command) -> Result<u64> {
        let result = self
            .state
            .lock_killable()
            .and_then(|mut state| self.send(&mut state, command, Waiter::User));
        // Where there was none, an earlier answer is not taken for it.
        self.keep_answer(result.as_ref().ok());
        result.map(|answer| answer[0])
    }

    /// Keeps an answer for the current task that the MC did not give.
    pub(crate) fn answer_instead(&self, answer: &Command) {
        self.keep_answer(Some(&answer.0));
    }

    /// What the current task reads.
    pub(crate) fn read(&self) -> [u64; 8] {
        let task = current!().as_ptr();
        let answers = self.answers.lock();
        let own = answers.iter().find(|a| a.task.as_ptr() == task);
        match own.and_then(|a| a.words) {
            Some(words) => words,
            None => {
                drop(answers);
                self.io.with_parameters(self.io.header())
            }
        }
    }

    /// Forgets all answers: nobody has the portal open.
    pub(crate) fn forget_answers(&self) {
        let answers = core::mem::take(&mut *self.answers.lock());
        drop(answers);
    }

    /// Keeps what the current task has to read, or that there is nothing. Without memory for it
    /// the answer is in the portal still, for who reads the portal as it stands.
    fn keep_answer(&self, words: Option<&[u64; 8]>) {
        let task: &Task = current!();
        let mut answers = self.answers.lock();
        if let Some(own) = answers
            .iter_mut()
            .find(|a| a.task.as_ptr() == task.as_ptr())
        {
            own.words = words.copied();
            return;
        }
        let Some(words) = words else {
            return;
        };
        if answers.len() == answers.capacity() {
            answers.retain(|a| !killable::has_exited(&a.task));
        }
        let answer = Answer {
            task: ARef::from(task),
            words: Some(*words),
        };
        if answers.push(answer, GFP_KERNEL_ACCOUNT).is_err() {
            kernel::pr_warn_once!("no memory for answers of the Management Complex\n");
        }
    }

    /// A command and its answer, with the MC's status as the result.
    fn exchange(&self, state: &mut State, command: &Command, who: Waiter) -> Result<Command> {
        let answer = Command(self.send(state, command, who)?);
        answer.result().map_err(to_error)?;
        Ok(answer)
    }

    /// A command and its answer, whatever the MC says.
    fn send(&self, state: &mut State, command: &Command, who: Waiter) -> Result<[u64; 8]> {
        self.make_idle(state, who)?;
        self.io.submit(&command.0);
        let header = self.wait(state, who)?;
        Ok(self.io.with_parameters(header))
    }

    /// Sees to it that no command is in flight.
    fn make_idle(&self, state: &mut State, who: Waiter) -> Result {
        // The common case needs no look at the portal.
        while *state != State::Idle {
            match state.before_command(status_of(self.io.header())) {
                Next::Go => {}
                Next::Wait => {
                    self.wait(state, who)?;
                }
                Next::Refuse(e) => return Err(to_error(e)),
            }
        }
        Ok(())
    }

    /// Waits for the answer to the command in flight; its first word.
    fn wait(&self, state: &mut State, who: Waiter) -> Result<u64> {
        let header = self.io.header();
        if !in_flight(status_of(header)) {
            state.after(Outcome::Answered);
            return Ok(header);
        }
        let start = Instant::<Monotonic>::now();
        let mut backoff = Backoff::new(parameters::command_timeout_us());
        loop {
            let elapsed = u64::try_from(start.elapsed().as_micros_ceil()).unwrap_or(0);
            match backoff.next(elapsed) {
                Step::Spin(us) => udelay(Delta::from_micros(us.into())),
                Step::Sleep { min, max } => match who {
                    Waiter::User => killable::sleep(min, max),
                    Waiter::Driver => fsleep(Delta::from_micros(min.into())),
                },
                Step::GiveUp => {
                    state.after(Outcome::TimedOut);
                    return Err(to_error(Errno::TimedOut));
                }
            }
            let header = self.io.header();
            if !in_flight(status_of(header)) {
                state.after(Outcome::Answered);
                return Ok(header);
            }
            if who == Waiter::User && killable::is_killed() {
                state.after(Outcome::Killed);
                return Err(to_error(Errno::Intr));
            }
        }
    }
}

/// A portal whose lock is held.
pub(crate) struct Exclusive<'a> {
    portal: &'a Portal,
    state: &'a mut State,
}

impl Exclusive<'_> {
    /// Sends a command. `Err` also where the MC refuses it.
    pub(crate) fn command(&mut self, command: &Command) -> Result<Command> {
        self.portal.exchange(self.state, command, Waiter::Driver)
    }
}

/// The kernel's form of an error.
pub(crate) fn to_error(errno: Errno) -> Error {
    Error::from_errno(errno.number().wrapping_neg())
}
