// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the guest opens and closes.

use super::{Call, Emulation, Outcome, Reply};
use crate::host::Host;
use crate::policy::Right;
use crate::portal::Opened;
use mc_abi::{Message, ObjectId, ObjectType, Params, Request, Status, Token, Wire, common, dpni};

/// How many tokens a guest may hold at a time; beyond them an open is refused with
/// [`Status::NoResource`], as by a Management Complex that has none left.
///
/// The Management Complex has one table of them for the whole chip. Linux and DPDK open each
/// object that they use once, and their container once or twice: with 16 processors and
/// eight network interfaces that is 16 `dpio`, up to 128 `dpcon`, a `dpbp` and a `dpni` for
/// each interface, and a `dpmcp` for each driver, some 200 in all.
pub const MOST_TOKENS: usize = 512;

/// `DPNI_FS_OPT_REDIRECT_*`: the rule has tokens.
const FS_REDIRECTIONS: u16 = 0x38;

impl<H: Host> Emulation<H> {
    pub(super) fn open(&mut self, call: &Call<'_>, kind: ObjectType) -> Outcome {
        let id = common::Open::decode(&call.message.params, call.version());
        let id = id.map_err(|_| Status::ConfigurationError)?.id;
        let object = ObjectId::new(kind, id);
        if object != self.container() && !self.has(object) {
            return Err(self.refuse_open(object));
        }
        let held: usize = self.portals.values().map(|portal| portal.tokens.len()).sum();
        if held >= MOST_TOKENS {
            return Err(Status::NoResource);
        }
        let token = self.open_real(object)?;
        match self.portals.get_mut(&call.slot) {
            Some(portal) => {
                portal.tokens.insert(token, Opened { object, is_closing: false });
                Ok(Reply { params: Params::ZERO, token: Some(token) })
            }
            None => {
                let _ = self.ask(&Message::close(token));
                Err(Status::AuthenticationError)
            }
        }
    }

    /// Opens an object in the host's Management Complex.
    ///
    /// That gives out a number only while it stands for nothing: what the guest's portals have
    /// under the same one was closed meanwhile. Where the guest has not asked for that, it was
    /// closed as it is when an object is destroyed.
    pub(super) fn open_real(&mut self, object: ObjectId) -> Result<Token, Status> {
        let token = self.ask(&Message::open(object))?.header.token();
        let stale = self.portals.values_mut().filter_map(|portal| portal.tokens.remove(&token));
        for open in stale.filter(|open| !open.is_closing) {
            self.replaced.insert(open.object);
            self.is_stale = true;
        }
        Ok(token)
    }

    /// Refuses a command that names another object by a token which stands for nothing at the
    /// portal that it came through, as a Management Complex does for one that stands for nothing
    /// at all: of the commands that guests may send, rules of interfaces that send frames on.
    pub(super) fn check_named(&self, call: &Call<'_>, kind: ObjectType) -> Result<(), Status> {
        if kind != ObjectType::Dpni || call.message.header.number() != dpni::AddFsEntry::NUMBER {
            return Ok(());
        }
        let add: dpni::AddFsEntry = call.decode()?;
        if add.options & FS_REDIRECTIONS == 0 {
            return Ok(());
        }
        // Older versions name one, and no number of them.
        let count = usize::from(add.redirect_count).max(1);
        let portal = self.portals.get(&call.slot);
        let is_open = |token: &u16| {
            let open = portal.and_then(|portal| portal.tokens.get(&Token(*token)));
            // What is being closed may be another's before the command gets there.
            open.is_some_and(|open| !open.is_closing)
        };
        let are_open = add.redirect_tokens.iter().take(count).all(is_open);
        if are_open { Ok(()) } else { Err(Status::ConfigurationError) }
    }

    /// The status for what is not the guest's: there is no such object, or it is
    /// another's. Which, only the host's Management Complex knows.
    fn refuse_open(&mut self, object: ObjectId) -> Status {
        match self.open_real(object) {
            // Something that the guest is not to see, such as a container below.
            Ok(token) => {
                let _ = self.ask(&Message::close(token));
                Status::AuthenticationError
            }
            Err(status) => status,
        }
    }

    pub(super) fn close(&mut self, slot: u64, token: Token) -> Outcome {
        let answer = self.ask(&Message::close(token));
        if let Some(portal) = self.portals.get_mut(&slot) {
            // What the MC has not closed counts on, and is closed at the end.
            match answer {
                Err(Status::Busy) => {}
                Err(Status::Timeout) => {
                    portal.tokens.entry(token).and_modify(|open| open.is_closing = true);
                }
                Ok(_) | Err(_) => drop(portal.tokens.remove(&token)),
            }
        }
        answer.map(|_| Reply::DONE)
    }

    /// Closes what `which` says, by the place of the portal that it was opened through, token
    /// and object.
    pub(super) fn close_all(&mut self, which: impl Fn(u64, Token, ObjectId) -> bool) {
        let mut closed = Vec::new();
        for (slot, portal) in &mut self.portals {
            portal.tokens.retain(|token, open| {
                let goes = which(*slot, *token, open.object);
                closed.extend(goes.then_some(*token));
                !goes
            });
        }
        for token in closed {
            // The object may be gone, and its token with it. But who gets no answer gets none
            // to the next one, and each is waited for.
            if self.host.exchange(&Message::close(token)).is_err() {
                break;
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
