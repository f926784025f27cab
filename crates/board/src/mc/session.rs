// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Tokens: what software calls an open object by.

use crate::mc::refusal::{Because, Refusal};
use mc_abi::{ObjectId, Status, Token};
use std::collections::{BTreeMap, BTreeSet};

/// What a token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    pub object: ObjectId,
    /// Container through whose portal it was opened.
    pub opener: u32,
}

/// The open objects.
///
/// Any number of tokens may stand for one object: the MC does not keep
/// software from opening twice (Linux opens a container that the management
/// client has open as well).
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// What a token stands for, by its number. Grows to the highest token that
    /// was ever out.
    open: Vec<Option<Session>>,
    /// How many tokens stand for an object, where there are any.
    per_object: BTreeMap<ObjectId, u32>,
    count: usize,
    last: u16,
}

impl Sessions {
    /// Opens `object` for a portal of container `opener`. A token that was just closed is not given out at once,
    /// so that its use after the close is noticed.
    ///
    /// # Errors
    /// [`Status::NoResource`] once all 65535 tokens are out.
    pub fn open(&mut self, object: ObjectId, opener: u32) -> Result<Token, Refusal> {
        if self.count >= usize::from(u16::MAX) {
            return Err(Status::NoResource.because("all 65535 tokens are out"));
        }
        loop {
            self.last = self.last.wrapping_add(1);
            let token = Token(self.last);
            if token == Token::NONE {
                continue;
            }
            let at = usize::from(token.0);
            if self.open.len() <= at {
                self.open.resize(at + 1, None);
            }
            if let Some(slot @ None) = self.open.get_mut(at) {
                *slot = Some(Session { object, opener });
                self.count += 1;
                *self.per_object.entry(object).or_default() += 1;
                return Ok(token);
            }
        }
    }

    /// The object of a token.
    pub fn object(&self, token: Token) -> Option<ObjectId> {
        self.open.get(usize::from(token.0))?.map(|session| session.object)
    }

    /// Whether anybody has an object open.
    pub fn is_open(&self, object: ObjectId) -> bool {
        self.per_object.contains_key(&object)
    }

    /// Ends a session.
    pub fn close(&mut self, token: Token) {
        let slot = self.open.get_mut(usize::from(token.0));
        if let Some(session) = slot.and_then(Option::take) {
            self.closed(session.object);
        }
    }

    /// The sessions.
    #[cfg(any(test, fuzzing))]
    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.open.iter().flatten()
    }

    /// Ends the sessions that `which` says; gives their objects.
    pub fn close_all(&mut self, which: impl Fn(&Session) -> bool) -> BTreeSet<ObjectId> {
        let mut objects = BTreeSet::new();
        for at in 0..self.open.len() {
            if let Some(session) = self.open[at].take_if(|session| which(session)) {
                self.closed(session.object);
                objects.insert(session.object);
            }
        }
        objects
    }

    /// Ends all sessions with an object that is gone.
    pub fn forget(&mut self, object: ObjectId) {
        if self.is_open(object) {
            self.close_all(|session| session.object == object);
        }
    }

    fn closed(&mut self, object: ObjectId) {
        self.count -= 1;
        if let Some(sessions) = self.per_object.get_mut(&object) {
            *sessions -= 1;
            if *sessions == 0 {
                self.per_object.remove(&object);
            }
        }
    }
}
