// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! One command on its way through the Management Complex.

use crate::mc::refusal::Refusal;
use mc_abi::{Header, Message, ObjectId, Params, Request, Status, Token, Wire};
use std::{borrow::Cow, fmt};

/// Who asks what of which object.
#[derive(Debug)]
pub(crate) struct Call {
    /// Container that the portal belongs to: the authority of the command.
    pub portal_container: u32,
    /// The object that the token stands for; for commands without one, the
    /// portal's container.
    pub object: ObjectId,
    /// Version of the command, from the header.
    pub version: u8,
    /// Whether somebody listens to [`Record`]s: texts are made only then.
    pub traced: bool,
}

/// What goes back into the portal.
#[derive(Debug)]
pub(crate) struct Answer {
    pub params: Params,
    /// Replaces the token of the header: the answer to an open command.
    pub token: Option<Token>,
    /// The reply in words, where the call is traced.
    pub text: Option<String>,
}

impl Answer {
    /// Nothing but the status.
    pub const DONE: Self = Self { params: Params::ZERO, token: None, text: None };
}

impl Call {
    /// The answer to `_request`: its type makes sure that a command gets its
    /// own reply.
    pub fn reply<R: Request>(&self, _request: &R, reply: R::Reply) -> Result<Answer, Refusal> {
        self.answer(&reply)
    }

    /// The answer with any parameters.
    pub fn answer<W: Wire>(&self, reply: &W) -> Result<Answer, Refusal> {
        let mut params = Params::ZERO;
        reply.encode(&mut params, self.version);
        let text = self.traced.then(|| reply.words(self.object.kind).to_string());
        Ok(Answer { params, token: None, text })
    }
}

/// A decoded command's text (made only for a trace) and what came of it.
pub(crate) type Outcome = (Option<String>, Result<Answer, Refusal>);

/// A command and its answer, for a trace.
#[derive(Debug, Clone)]
pub struct Record {
    /// Number of the portal.
    pub portal: u32,
    /// Container that the portal belongs to.
    pub container: Option<u32>,
    /// The object addressed, where the token was valid.
    pub object: Option<ObjectId>,
    /// The header as software wrote it.
    pub header: Header,
    /// The command's name and fields.
    pub command: String,
    /// The reply's fields, empty where there are none.
    pub reply: String,
    /// What the MC says of it.
    pub status: Status,
    /// Why, where the MC did not do it.
    pub reason: Option<Cow<'static, str>>,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "portal {}", self.portal)?;
        if let Some(container) = self.container {
            write!(f, " of dprc.{container}")?;
        }
        match self.object {
            Some(object) => write!(f, ": {object}")?,
            None => write!(f, ": token {:#x}", self.header.token().0)?,
        }
        write!(f, " {} v{}", self.command, self.header.version())?;
        match self.status {
            Status::Ok if self.reply.is_empty() => Ok(()),
            Status::Ok => write!(f, " -> {}", self.reply),
            status => {
                write!(f, " -> {status}")?;
                self.reason.iter().try_for_each(|reason| write!(f, ": {reason}"))
            }
        }
    }
}

/// The message that answers `command`.
pub(crate) fn answer_message(command: &Message, outcome: &Result<Answer, Refusal>) -> Message {
    match outcome {
        Ok(answer) => {
            let header = command.header.with_status(Status::Ok);
            let header = answer.token.map_or(header, |token| header.with_token(token));
            Message { header, params: answer.params }
        }
        // A refused command leaves no parameters behind, so that nobody takes
        // its request for an answer.
        Err(refusal) => {
            Message { header: command.header.with_status(refusal.status), params: Params::ZERO }
        }
    }
}
