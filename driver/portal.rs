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
            result_of,
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

/// The answer to the last command of a task.
struct Answer {
    /// Held, so that no other task can be taken for this one.
    task: ARef<Task>,
    /// The task's last command was answered; where not, it reads the portal as it stands.
    is_there: bool,
    words: [u64; 8],
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
    /// The portal at a physical address, whose last command ended so.
    pub(crate) fn new(physical: u64, last_command: State) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            io: McPortal::map(physical)?,
            state <- KillableMutex::new(last_command, c"Portal::state", static_lock_class!()),
            answers <- new_mutex!(KVec::new(), "Portal::answers"),
        })
    }

    /// Runs `f` with the portal to itself: it may send several commands.
    pub(crate) fn exclusively<R>(&self, f: impl FnOnce(Exclusive<'_>) -> Result<R>) -> Result<R> {
        let mut state = self.state.lock();
        f(Exclusive {
            portal: self,
            state: &mut state,
        })
    }

    /// Runs `f` with the portal lent to the bus, which sends commands without knowing of the
    /// lock, nor of one that is in flight.
    pub(crate) fn lent_to_bus<R>(&self, f: impl FnOnce() -> Result<R>) -> Result<R> {
        let mut state = self.state.lock();
        self.make_idle(&mut state, Waiter::Driver)?;
        f()
    }

    /// Runs `f` while nobody sends commands.
    pub(crate) fn between_commands(&self, f: impl FnOnce()) {
        let _state = self.state.lock();
        f();
    }

    /// How the last command ended.
    pub(crate) fn last_command(&self) -> State {
        *self.state.lock()
    }

    /// Sends a command of the current task's and keeps the answer for it. The answer's first
    /// word, or `EINTR` where the task was killed, `ETIMEDOUT` where the MC did not answer,
    /// `EBUSY` where it still owes an answer to an earlier command.
    #[inline]
    pub(crate) fn write(&self, command: &Command) -> Result<u64> {
        let sent = self.state.lock_killable().and_then(|mut state| {
            let header = self.send(&mut state, command, Waiter::User)?;
            // Before the lock is released, after which the next command overwrites the answer.
            self.keep_answer(|words| self.io.read_with_header(header, words));
            Ok(header)
        });
        if sent.is_err() {
            // An earlier answer is not taken for one to this command.
            self.drop_answer();
        }
        sent
    }

    /// Keeps an answer for the current task that the MC did not give.
    pub(crate) fn answer_instead(&self, answer: &Command) {
        self.keep_answer(|words| *words = answer.0);
    }

    /// Reads what the current task has to read.
    #[inline]
    pub(crate) fn read(&self, words: &mut [u64; 8]) {
        match own_answer(&mut self.answers.lock(), current!()) {
            Some(own) if own.is_there => *words = own.words,
            _ => self.io.read_with_header(self.io.header(), words),
        }
    }

    /// Forgets all answers: nobody has the portal open.
    pub(crate) fn forget_answers(&self) {
        let answers = core::mem::take(&mut *self.answers.lock());
        drop(answers);
    }

    /// Keeps what the current task has to read, as `fill` writes it. Without memory for it the
    /// answer is in the portal still, for who reads the portal as it stands.
    fn keep_answer(&self, fill: impl FnOnce(&mut [u64; 8])) {
        let task: &Task = current!();
        let mut answers = self.answers.lock();
        if let Some(own) = own_answer(&mut answers, task) {
            fill(&mut own.words);
            own.is_there = true;
            return;
        }
        let mut words = [0; 8];
        fill(&mut words);
        if add_answer(&mut answers, task, &words).is_err() {
            kernel::pr_warn_once!("no memory for answers of the Management Complex\n");
        }
    }

    /// The current task has no answer to read.
    fn drop_answer(&self) {
        if let Some(own) = own_answer(&mut self.answers.lock(), current!()) {
            own.is_there = false;
        }
    }

    /// A command and the first word of its answer, where the MC has done what it says.
    fn order(&self, state: &mut State, command: &Command, who: Waiter) -> Result<u64> {
        let header = self.send(state, command, who)?;
        result_of(header).map_err(to_error)?;
        Ok(header)
    }

    /// A command and the first word of its answer, whatever the MC says.
    #[inline]
    fn send(&self, state: &mut State, command: &Command, who: Waiter) -> Result<u64> {
        self.make_idle(state, who)?;
        let header = self.io.submit(&command.0);
        if in_flight(status_of(header)) {
            return self.wait(state, who);
        }
        Ok(header)
    }

    /// Sees to it that no command is in flight.
    #[inline]
    fn make_idle(&self, state: &mut State, who: Waiter) -> Result {
        // The common case needs no look at the portal.
        if *state == State::Idle {
            return Ok(());
        }
        self.settle(state, who)
    }

    #[cold]
    fn settle(&self, state: &mut State, who: Waiter) -> Result {
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
    #[inline(never)]
    fn wait(&self, state: &mut State, who: Waiter) -> Result<u64> {
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
    /// Sends a command whose answer has no parameters. The first word of the answer; `Err` also
    /// where the MC refuses the command.
    pub(crate) fn order(&mut self, command: &Command) -> Result<u64> {
        self.portal.order(self.state, command, Waiter::Driver)
    }

    /// Sends a command. Its answer; `Err` also where the MC refuses the command.
    pub(crate) fn ask(&mut self, command: &Command) -> Result<Command> {
        let header = self.order(command)?;
        let mut answer = Command([0; 8]);
        self.portal.io.read_with_header(header, &mut answer.0);
        Ok(answer)
    }
}

/// The answer that a task has, there or not.
#[inline]
fn own_answer<'a>(answers: &'a mut KVec<Answer>, task: &Task) -> Option<&'a mut Answer> {
    answers
        .iter_mut()
        .find(|a| a.task.as_ptr() == task.as_ptr())
}

/// The first answer of a task.
#[cold]
fn add_answer(answers: &mut KVec<Answer>, task: &Task, words: &[u64; 8]) -> Result {
    if answers.len() == answers.capacity() {
        answers.retain(|a| !killable::has_exited(&a.task));
    }
    let answer = Answer {
        task: ARef::from(task),
        is_there: true,
        words: *words,
    };
    Ok(answers.push(answer, GFP_KERNEL_ACCOUNT)?)
}

/// The kernel's form of an error.
pub(crate) fn to_error(errno: Errno) -> Error {
    Error::from_errno(errno.number().wrapping_neg())
}
