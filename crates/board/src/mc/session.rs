// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Tokens: handles to open objects.

use mc_abi::{ObjectId, Status, Token};
use std::collections::HashMap;

/// The open objects.
///
/// Any number of tokens may stand for one object: the MC does not keep
/// software from opening twice (Linux opens a container that the management
/// client has open as well).
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: HashMap<Token, ObjectId>,
    last: u16,
}

impl Sessions {
    /// Opens `object`.
    ///
    /// # Errors
    /// [`Status::NoResource`] once all 65535 tokens are out.
    pub fn open(&mut self, object: ObjectId) -> Result<Token, Status> {
        if self.open.len() >= usize::from(u16::MAX) {
            return Err(Status::NoResource);
        }
        loop {
            self.last = self.last.wrapping_add(1);
            let token = Token(self.last);
            if token != Token::NONE && !self.open.contains_key(&token) {
                self.open.insert(token, object);
                return Ok(token);
            }
        }
    }

    /// The object of a token.
    pub fn object(&self, token: Token) -> Option<ObjectId> {
        self.open.get(&token).copied()
    }

    /// Ends a session.
    pub fn close(&mut self, token: Token) {
        self.open.remove(&token);
    }

    /// Ends all sessions with an object that is gone.
    pub fn forget(&mut self, object: ObjectId) {
        self.open.retain(|_, o| *o != object);
    }
}
