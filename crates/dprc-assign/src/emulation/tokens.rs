// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the guest opens and closes.

use super::{Call, Emulation, Outcome, Reply};
use crate::host::Host;
use crate::policy::Right;
use mc_abi::{Message, ObjectId, ObjectType, Params, Request, Status, Token, Wire, common, dpni};

/// How many tokens a guest may hold at a time; beyond them an open is refused with
/// [`Status::NoResource`], as by a Management Complex that has none left.
///
/// The Management Complex has one table of them for the whole chip. Linux and DPDK open each
/// object that they use once, and their container once or twice: with 16 processors and
/// eight network interfaces that is 16 `dpio`, up to 128 `dpcon`, a `dpbp` and a `dpni` for
/// each interface, and a `dpmcp` for each driver, some 200 in all.
pub const MOST_TOKENS: usize = 512;

/// How many of these may stand for the container itself.
///
/// A VMM that is killed leaves them open for good: the reset of the container, which comes then,
/// closes the tokens of what is in it, not its own (`docs/guest-security.md`). Linux opens it once
/// for its driver and once more for a moment when it starts, and once for each program that
/// manages objects through `/dev/dprc.N`.
pub const MOST_CONTAINER_TOKENS: usize = 16;

/// `DPNI_FS_OPT_REDIRECT_*`: the rule has tokens.
const FS_REDIRECTIONS: u16 = 0x38;

/// Tokens, those of the container itself apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Held {
    all: usize,
    of_container: usize,
}

impl Held {
    fn add(&mut self, is_container: bool) {
        self.all += 1;
        self.of_container += usize::from(is_container);
    }

    /// Whether there may be one more.
    fn leaves_room(self, is_container: bool) -> bool {
        self.all < MOST_TOKENS && !(is_container && self.of_container >= MOST_CONTAINER_TOKENS)
    }
}

/// A token that the guest has closed, where the Management Complex has not answered. It may close
/// it at any time from now on, and give the number to somebody else: nothing is sent with it any
/// more, and it counts as held until the number is given out to the guest again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closing {
    /// The place of the portal that it was opened through.
    slot: u64,
    pub object: ObjectId,
}

impl<H: Host> Emulation<H> {
    pub(super) fn open(&mut self, call: &Call<'_>, kind: ObjectType) -> Outcome {
        let id = common::Open::decode(&call.message.params, call.version());
        let id = id.map_err(|_| Status::ConfigurationError)?.id;
        let object = ObjectId::new(kind, id);
        // What a Management Complex says of an object that the container does not reach. Whether
        // there is one at all is not asked: to open what the guest is not to see, such as a
        // container below, is not without effect.
        if object != self.container() && !self.has(object) {
            return Err(Status::AuthenticationError);
        }
        if !self.held().leaves_room(object == self.container()) {
            return Err(Status::NoResource);
        }
        let token = self.open_real(object)?;
        match self.portals.get_mut(&call.slot) {
            Some(portal) => {
                portal.tokens.insert(token, object);
                Ok(Reply { params: Params::ZERO, token: Some(token) })
            }
            None => {
                if let Err(Status::Timeout) = self.ask(&Message::close(token)) {
                    self.is_closing(call.slot, token, object);
                }
                Err(Status::AuthenticationError)
            }
        }
    }

    /// What the guest holds, or may hold, of the Management Complex's tokens.
    fn held(&self) -> Held {
        let mut held = self.unanswered;
        let open = self.portals.values().flat_map(|portal| portal.tokens.values());
        let closing = self.closing.values().map(|closing| &closing.object);
        open.chain(closing).for_each(|object| held.add(*object == self.container()));
        held
    }

    /// Opens an object in the host's Management Complex.
    ///
    /// That gives out a number only while it stands for nothing: what the guest's portals have
    /// under the same one was closed meanwhile. Where the guest has not asked for that, it was
    /// closed as it is when an object is destroyed.
    pub(super) fn open_real(&mut self, object: ObjectId) -> Result<Token, Status> {
        let answer = self.ask(&Message::open(object));
        if answer == Err(Status::Timeout) {
            self.unanswered.add(object == self.container());
        }
        let token = answer?.header.token();
        self.closing.remove(&token);
        let stale = self.portals.values_mut().filter_map(|portal| portal.tokens.remove(&token));
        for object in stale {
            self.replaced.insert(object);
            self.is_stale = true;
        }
        Ok(token)
    }

    /// A command with a token that stands for nothing at its portal. One that the guest closes
    /// once more, since it got no answer, is closed as far as it can tell.
    pub(super) fn of_closed(&self, call: &Call<'_>) -> Outcome {
        let header = call.message.header;
        let closing = self.closing.get(&header.token());
        if header.number() == common::CLOSE && closing.is_some_and(|it| it.slot == call.slot) {
            return Ok(Reply::DONE);
        }
        Err(Status::AuthenticationError)
    }

    /// Notes a token whose close has not been answered.
    pub(super) fn is_closing(&mut self, slot: u64, token: Token, object: ObjectId) {
        self.closing.insert(token, Closing { slot, object });
    }

    /// Refuses a command that names another object by a token which stands for nothing at the
    /// portal that it came through, as a Management Complex does for one that stands for nothing
    /// at all: of the commands that guests may send, rules of interfaces that send frames on.
    pub(super) fn check_named(&self, call: &Call<'_>, kind: ObjectType) -> Result<(), Status> {
        if kind != ObjectType::Dpni || call.message.header.number() != dpni::AddFsEntry::NUMBER {
            return Ok(());
        }
        // A newer version may have its tokens elsewhere.
        if call.version() > dpni::AddFsEntry::MAX_VERSION {
            return Err(Status::UnsupportedOperation);
        }
        let add: dpni::AddFsEntry = call.decode()?;
        if add.options & FS_REDIRECTIONS == 0 {
            return Ok(());
        }
        // Older versions name one, and no number of them.
        let count = usize::from(add.redirect_count).max(1);
        let portal = self.portals.get(&call.slot);
        let is_open =
            |token: &u16| portal.is_some_and(|portal| portal.tokens.contains_key(&Token(*token)));
        let are_open = add.redirect_tokens.iter().take(count).all(is_open);
        if are_open { Ok(()) } else { Err(Status::ConfigurationError) }
    }

    pub(super) fn close(&mut self, slot: u64, token: Token) -> Outcome {
        let answer = self.ask(&Message::close(token));
        // What the MC says that it has not closed counts on, and is closed at the end.
        if answer != Err(Status::Busy) {
            let portal = self.portals.get_mut(&slot);
            let open = portal.and_then(|portal| portal.tokens.remove(&token));
            if let (Some(object), Err(Status::Timeout)) = (open, &answer) {
                self.is_closing(slot, token, object);
            }
        }
        answer.map(|_| Reply::DONE)
    }

    /// Closes what `which` says, by the place of the portal that it was opened through, token
    /// and object.
    pub(super) fn close_all(&mut self, which: impl Fn(u64, Token, ObjectId) -> bool) {
        let mut closed = Vec::new();
        for (slot, portal) in &mut self.portals {
            portal.tokens.retain(|token, object| {
                let goes = which(*slot, *token, *object);
                closed.extend(goes.then_some((*slot, *token, *object)));
                !goes
            });
        }
        let mut is_answered = true;
        for (slot, token, object) in closed {
            // The object may be gone, and its token with it. But who gets no answer gets none
            // to the next one, and each is waited for.
            let answer = is_answered.then(|| self.host.exchange(&Message::close(token)));
            is_answered = matches!(answer, Some(Ok(_)));
            let status = answer.and_then(Result::ok).map(|answer| answer.header.status());
            if matches!(status, None | Some(Status::Timeout | Status::Busy)) {
                self.is_closing(slot, token, object);
            }
        }
    }

    pub(super) fn refuse_destroy(
        &self,
        object: ObjectId,
        kind: ObjectType,
        call: &Call<'_>,
    ) -> Status {
        if object.kind != ObjectType::Dprc || kind == ObjectType::Dprc {
            return Status::UnsupportedOperation;
        }
        match common::Destroy::decode(&call.message.params, call.version()) {
            Err(_) => Status::ConfigurationError,
            Ok(destroy) if self.has(ObjectId::new(kind, destroy.id)) => Right::Objects.status(),
            Ok(_) => Status::NoResource,
        }
    }
}
