// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! A command portal: one command at a time, and its answer to who sent it.
//!
//! A portal has 64 bytes, into which a command is written and in which its answer appears. One
//! lock is held from the first byte of the command to the last byte of the answer, whoever
//! sends it: user space, this driver, or the bus on this driver's behalf.
//!
//! User space writes and reads in two calls. The first read of a task after its write takes the
//! answer to that command, whatever was sent since by others; other reads show the portal as it
//! stands. What the driver sends itself is not shown.
//!
//! An answer stays in the portal until it is read, or until the next command: whose it is, is
//! all that is noted of a command then. Only one that nobody has read when the next command is
//! about to be written is copied.
//!
//! Of what a holder has sent, and has got, the next one sees nothing, however late an answer
//! comes.

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
            self,
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
    bindings, current, new_mutex,
    prelude::*,
    static_lock_class,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
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
    sender: KillableMutex<Sender>,
    /// What users see. Never held while waiting for the MC.
    #[pin]
    answers: Mutex<Answers>,
    /// Whose answer is shown and was not read; null for nobody's. It is compared only. Set with
    /// `sender` held; cleared with `answers` held, after the answer was read.
    unread: Atomic<*mut bindings::task_struct>,
    /// There is nothing in `answers`, but room. Written with `answers` held. Who holds `sender`
    /// can rely on it as far as it is concerned itself.
    is_plain: Atomic<bool>,
}

/// Who sends.
struct Sender {
    /// How the last command ended.
    last: State,
    /// The task that `unread` is about if it is not null.
    writer: Option<ARef<Task>>,
    /// The portal has an answer to the driver, which is not shown.
    is_hidden: bool,
}

/// What users see beside the portal itself.
struct Answers {
    /// Answers that were not read before the next command.
    saved: KVVec<Answer>,
    /// What is shown in place of the portal, in which an answer to the driver is.
    shown: Option<[u64; 8]>,
    /// The portal is somebody else's.
    is_revoked: bool,
}

/// The answer to the last command of a task.
struct Answer {
    /// Held, so that no other task can be taken for this one.
    task: ARef<Task>,
    words: [u64; 8],
}

/// How many answers are kept for tasks that do not read them. Each command looks through them.
const MOST_SAVED: usize = 1024;

/// What is shown in place of what an earlier holder has left.
const NOTHING: [u64; 8] = [0; 8];

impl Answers {
    /// Takes a task's answer out.
    fn take(&mut self, task: *const bindings::task_struct) -> Option<[u64; 8]> {
        let mut all = self.saved.iter();
        let at = all.position(|answer| answer.task.as_ptr().cast_const() == task)?;
        let answer = self.saved.remove(at).ok()?;
        Some(answer.words)
    }

    /// Makes room for answers.
    fn reserve(&mut self, count: usize) -> Result {
        self.saved
            .retain(|answer| !killable::has_exited(&answer.task));
        if self.saved.len() >= MOST_SAVED {
            return Err(ENOMEM);
        }
        Ok(self.saved.reserve(count, GFP_KERNEL_ACCOUNT)?)
    }

    /// Keeps an answer, for which there is room.
    fn save(&mut self, task: ARef<Task>, words: [u64; 8]) {
        // Within the capacity, this cannot fail.
        let _ = self.saved.push(Answer { task, words }, GFP_NOWAIT);
    }
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
    pub(crate) fn new(physical: u64, last: State) -> impl PinInit<Self, Error> {
        let sender = Sender {
            last,
            writer: None,
            is_hidden: last != State::Idle,
        };
        let answers = Answers {
            saved: KVVec::new(),
            shown: (last != State::Idle).then_some(NOTHING),
            is_revoked: last == State::Revoked,
        };
        try_pin_init!(Self {
            io: McPortal::map(physical)?,
            sender <- KillableMutex::new(sender, c"Portal::sender", static_lock_class!()),
            answers <- new_mutex!(answers, "Portal::answers"),
            unread: Atomic::new(core::ptr::null_mut()),
            // The first command makes room.
            is_plain: Atomic::new(false),
        })
    }

    /// Runs `f` with the portal to itself: it may send several commands.
    pub(crate) fn exclusively<R>(&self, f: impl FnOnce(Exclusive<'_>) -> Result<R>) -> Result<R> {
        let mut sender = self.sender.lock();
        f(Exclusive {
            portal: self,
            sender: &mut sender,
        })
    }

    /// Runs `f` with the portal lent to the bus, which sends commands without knowing of the
    /// lock, nor of one that is in flight. It waits for answers by its own rules and may leave a
    /// command in flight.
    pub(crate) fn lent_to_bus<R>(&self, f: impl FnOnce() -> Result<R>) -> Result<R> {
        let mut sender = self.sender.lock();
        self.make_idle(&mut sender.last, Waiter::Driver)?;
        self.hide(&mut sender);
        let result = f();
        self.look(&mut sender.last, Outcome::TimedOut);
        result
    }

    /// Runs `f` while nobody sends commands.
    pub(crate) fn between_commands(&self, f: impl FnOnce()) {
        let _sender = self.sender.lock();
        f();
    }

    /// Whether the portal is somebody else's.
    pub(crate) fn is_revoked(&self) -> bool {
        self.answers.lock().is_revoked
    }

    /// Ends what users have of the portal, which may be somebody else's by now. When it returns,
    /// no command is sent any more.
    pub(crate) fn revoke(&self) {
        self.revoke_after(|_| {});
    }

    /// The same after `f`, which may send the last commands.
    pub(crate) fn revoke_after(&self, f: impl FnOnce(Exclusive<'_>)) {
        let mut sender = self.sender.lock();
        f(Exclusive {
            portal: self,
            sender: &mut sender,
        });
        sender.last = State::Revoked;
        self.forget(&mut sender, |answers| answers.is_revoked = true);
    }

    /// Leaves an answer of no consequence in the portal, in which the last holder's may be, by
    /// whatever way its command came: one that the driver has not seen is waited for. How the
    /// last command ended.
    pub(crate) fn wipe(&self) -> State {
        let mut sender = self.sender.lock();
        self.look(&mut sender.last, Outcome::Killed);
        // One that hangs is nobody's to read.
        let _ = self.order(&mut sender, &command::get_version());
        sender.last
    }

    /// Sends a command of the current task's, to which its next read is the answer. The answer's
    /// first word, or `EINTR` where the task was killed, `ETIMEDOUT` where the MC did not answer,
    /// `EBUSY` where it still owes an answer to an earlier command, `ENOMEM` where nothing was
    /// sent either.
    #[inline]
    pub(crate) fn write(&self, command: &Command) -> Result<u64> {
        let task: &Task = current!();
        let mut sender = self.sender.lock_killable()?;
        // An earlier answer is not taken for one to this command, even if it fails.
        if !self.is_plain() || !sender.is_writer(task) {
            self.make_room(&mut sender, Some(task))?;
        }
        let header = self.send(&mut sender, command, Waiter::User)?;
        self.unread.store(task.as_ptr(), Relaxed);
        Ok(header)
    }

    /// Sends a command and puts the answer in its place. What other calls have to read stays.
    #[inline]
    pub(crate) fn exchange(&self, command: &mut Command) -> Result {
        let mut sender = self.sender.lock_killable()?;
        if !self.is_plain() {
            self.make_room(&mut sender, None)?;
        }
        let header = self.send(&mut sender, command, Waiter::User)?;
        // Before the lock is released, after which the next command overwrites the answer.
        self.io.read_with_header(header, &mut command.0);
        Ok(())
    }

    /// Gives the current task an answer that is not in the portal: one that the MC did not give,
    /// or that it could not take.
    #[cold]
    pub(crate) fn answer_instead(&self, answer: &[u64; 8]) -> Result {
        let task: &Task = current!();
        let mut answers = self.answers.lock();
        self.drop_own(&mut answers, task);
        // One is for who sends next, as ever.
        answers.reserve(2)?;
        answers.save(ARef::from(task), *answer);
        self.is_plain.store(false, Relaxed);
        Ok(())
    }

    /// Reads what the current task has to read: its answer, which it takes, or the portal as it
    /// stands. Whether it is its answer.
    #[inline]
    pub(crate) fn read(&self, words: &mut [u64; 8]) -> Result<bool> {
        let task = current!().as_ptr();
        let mut answers = self.answers.lock();
        let is_own = self.unread.load(Relaxed) == task;
        if !is_own {
            if let Some(own) = answers.take(task) {
                *words = own;
                return Ok(true);
            }
        }
        match &answers.shown {
            _ if answers.is_revoked => return Err(ENODEV),
            Some(shown) => *words = *shown,
            None => self.io.read_with_header(self.io.header(), words),
        }
        if is_own {
            // Who finds it cleared overwrites what was read.
            self.unread.store(core::ptr::null_mut(), Release);
        }
        Ok(is_own)
    }

    /// Forgets all answers: nobody has the portal open.
    pub(crate) fn forget_answers(&self) {
        self.forget(&mut self.sender.lock(), |_| {});
    }

    fn forget(&self, sender: &mut Sender, f: impl FnOnce(&mut Answers)) {
        let mut answers = self.answers.lock();
        f(&mut answers);
        self.unread.store(core::ptr::null_mut(), Relaxed);
        self.is_plain.store(false, Relaxed);
        // A command that is still in flight was a holder's, and so is its answer.
        let is_theirs = sender.last != State::Idle;
        answers.shown = is_theirs.then_some(NOTHING);
        sender.is_hidden = is_theirs;
        let saved = core::mem::take(&mut answers.saved);
        drop(answers);
        drop((saved, sender.writer.take()));
    }

    /// Whether a command can be sent without a look at the answers.
    #[inline]
    fn is_plain(&self) -> bool {
        self.unread.load(Acquire).is_null() && self.is_plain.load(Relaxed)
    }

    /// Keeps what others have not read before the next command overwrites it, forgets what `next`
    /// has not read, who is about to send one, and makes room for the answer to that.
    #[cold]
    fn make_room(&self, sender: &mut Sender, next: Option<&Task>) -> Result {
        if let Some(next) = next {
            self.drop_own(&mut self.answers.lock(), next);
        }
        // What is shown stays as long as the portal takes no command.
        self.make_idle(&mut sender.last, Waiter::User)?;
        let mut answers = self.answers.lock();
        answers.reserve(2)?;
        let shown = answers.shown.take();
        sender.is_hidden = false;
        if !self.unread.load(Relaxed).is_null() {
            if let Some(writer) = &sender.writer {
                let words = shown.unwrap_or_else(|| self.in_portal());
                answers.save(writer.clone(), words);
            }
            self.unread.store(core::ptr::null_mut(), Relaxed);
        }
        self.is_plain.store(answers.saved.is_empty(), Relaxed);
        drop(answers);
        if let Some(next) = next.filter(|next| !sender.is_writer(next)) {
            sender.writer = Some(ARef::from(next));
        }
        Ok(())
    }

    /// Forgets what a task has not read.
    fn drop_own(&self, answers: &mut Answers, task: &Task) {
        if self.unread.load(Relaxed) == task.as_ptr() {
            self.unread.store(core::ptr::null_mut(), Relaxed);
        }
        let _ = answers.take(task.as_ptr());
    }

    /// Has users see the portal as it stands now, while the driver uses it.
    #[cold]
    fn hide(&self, sender: &mut Sender) {
        let mut answers = self.answers.lock();
        if !sender.is_hidden {
            answers.shown = Some(self.in_portal());
        }
        sender.is_hidden = true;
        self.is_plain.store(false, Relaxed);
    }

    fn in_portal(&self) -> [u64; 8] {
        let mut words = [0; 8];
        self.io.read_with_header(self.io.header(), &mut words);
        words
    }

    /// Learns from the portal whether a command is in flight that others have sent, whose waiting
    /// has ended so.
    fn look(&self, last: &mut State, ended: Outcome) {
        if *last == State::Idle && in_flight(status_of(self.io.header())) {
            last.after(ended);
        }
    }

    /// A command and the first word of its answer, where the MC has done what it says.
    fn order(&self, sender: &mut Sender, command: &Command) -> Result<u64> {
        let header = self.send(sender, command, Waiter::Driver)?;
        result_of(header).map_err(to_error)?;
        Ok(header)
    }

    /// A command and the first word of its answer, whatever the MC says.
    #[inline]
    fn send(&self, sender: &mut Sender, command: &Command, who: Waiter) -> Result<u64> {
        self.make_idle(&mut sender.last, who)?;
        if who == Waiter::Driver && !sender.is_hidden {
            self.hide(sender);
        }
        let header = self.io.submit(&command.0);
        if in_flight(status_of(header)) {
            return self.wait(&mut sender.last, who);
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

impl Sender {
    #[inline]
    fn is_writer(&self, task: &Task) -> bool {
        let writer = self.writer.as_ref();
        writer.is_some_and(|writer| writer.as_ptr() == task.as_ptr())
    }
}

/// A portal whose lock is held.
pub(crate) struct Exclusive<'a> {
    portal: &'a Portal,
    sender: &'a mut Sender,
}

impl Exclusive<'_> {
    /// Sends a command whose answer has no parameters. The first word of the answer; `Err` also
    /// where the MC refuses the command.
    pub(crate) fn order(&mut self, command: &Command) -> Result<u64> {
        self.portal.order(self.sender, command)
    }

    /// Sends a command. Its answer; `Err` also where the MC refuses the command.
    pub(crate) fn ask(&mut self, command: &Command) -> Result<Command> {
        let header = self.order(command)?;
        let mut answer = Command([0; 8]);
        self.portal.io.read_with_header(header, &mut answer.0);
        Ok(answer)
    }
}

/// The kernel's form of an error.
pub(crate) fn to_error(errno: Errno) -> Error {
    Error::from_errno(errno.number().wrapping_neg())
}
