// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands of a record, played against a board.

use super::{Difference, Outcome, words};
use board::{Board, Window};
use mc_abi::{
    Message, ObjectId, ObjectType, Status, Token, Wire,
    common::{self, CLOSE, DESTROY, OPEN},
    dprc,
};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// A board in this process, and what the record has opened there.
pub(super) struct Session<'a> {
    board: &'a Board,
    /// Tokens of the record and what they stand for here; `None`: it is not open.
    tokens: HashMap<u16, (ObjectId, Option<Token>)>,
    /// Objects that named commands have opened.
    open: HashMap<ObjectId, Token>,
    outcome: Outcome,
}

impl<'a> Session<'a> {
    /// Nothing is open yet.
    pub(super) fn new(board: &'a Board) -> Self {
        Self { board, tokens: HashMap::new(), open: HashMap::new(), outcome: Outcome::default() }
    }

    /// What the lines so far came to.
    pub(super) fn outcome(self) -> Outcome {
        self.outcome
    }

    /// Sends the command of a line, and compares the answer.
    pub(super) fn line(&mut self, line: usize, map: &Map<String, Value>) -> Result<(), String> {
        match map.get("command") {
            Some(Value::String(_)) if map.contains_key("to") => self.named(line, map),
            Some(Value::String(command)) => {
                let answer = map.get("answer").and_then(Value::as_str);
                let answer = answer.ok_or("there is no \"answer\" of 128 digits")?;
                self.bytes(line, &words::message(command)?, &words::message(answer)?)
            }
            _ => Err("there is no \"command\"".into()),
        }
    }

    /// A command as its recorder wrote it.
    fn bytes(&mut self, line: usize, command: &Message, recorded: &Message) -> Result<(), String> {
        let (number, version) = (command.header.number(), command.header.version());
        let recorded_token = command.header.token();
        let known = self.tokens.get(&recorded_token.0).copied();
        let target = known.map(|(object, _)| object);
        let opens = number.checked_sub(OPEN).and_then(ObjectType::from_code);
        let token = match (recorded_token, known) {
            (Token::NONE, _) => Token::NONE,
            (_, Some((_, Some(token)))) => token,
            // Its open command said why.
            (_, Some((_, None))) => {
                self.outcome.skipped += 1;
                return Ok(());
            }
            (token, None) => return Err(format!("token {:#x} was not opened before", token.0)),
        };
        let mut sent = *command;
        sent.header = sent.header.with_token(token).with_status(Status::Ready);
        let here = self.send(&sent);
        let object = match opens {
            Some(kind) if number != CLOSE => {
                let open = common::Open::decode(&command.params, version);
                let id = open.map_err(|error| error.to_string())?.id;
                let object = ObjectId::new(kind, id);
                let opened = here.header.status() == Status::Ok;
                if recorded.header.status() == Status::Ok {
                    let token = opened.then(|| here.header.token());
                    self.tokens.insert(recorded.header.token().0, (object, token));
                }
                Some(object)
            }
            _ => target,
        };
        if number == CLOSE {
            self.tokens.remove(&recorded_token.0);
        }
        let info = words::find(number, target.map(|object| object.kind));
        let name = words::name(number, info);
        self.compare_status(line, object, &name, recorded.header.status(), here.header.status());
        if recorded.header.status() == Status::Ok && here.header.status() == Status::Ok {
            let words =
                |answer: &Message| words::fields(&words::reply(info, number, answer, version));
            for ((field, recorded), (_, here)) in words(recorded).into_iter().zip(words(&here)) {
                // Who has an object open is not the MC's to say.
                let (recorded, here) = match (&*field, recorded.parse(), here.parse()) {
                    ("object.state", Ok(one), Ok(two)) => (closed(one), closed(two)),
                    _ => (recorded, here),
                };
                self.compare(line, object, &name, &field, recorded, here);
            }
        }
        self.outcome.compared += 1;
        Ok(())
    }

    /// A command as people write it.
    fn named(&mut self, line: usize, map: &Map<String, Value>) -> Result<(), String> {
        let text = |key: &str| map.get(key).and_then(Value::as_str).unwrap_or_default();
        if let Some(key) = map.keys().find(|key| {
            !["to", "command", "request", "answer", "status", "version"].contains(&key.as_str())
        }) {
            return Err(format!("{key:?} is not known here"));
        }
        let object: Option<ObjectId> = match text("to") {
            "mc" => None,
            to => Some(to.parse().map_err(|error| format!("to: {error}"))?),
        };
        let command = text("command");
        let empty = Map::new();
        let request = map.get("request").map_or(Some(&empty), Value::as_object);
        let request = request.ok_or("\"request\" is no {...}")?;
        let (number, info) = words::by_name(command, object)?;
        let newest = info.map_or(1, |info| info.max_version);
        let version = map.get("version").map_or(Some(u64::from(newest)), Value::as_u64);
        let version = version.and_then(|v| u8::try_from(v).ok()).ok_or("\"version\" is none")?;
        let params = words::parameters(number, info, version, request)?;
        let named = number.checked_sub(DESTROY).and_then(ObjectType::from_code);
        if let (Some(kind), Some(id)) = (named, request.get("id").and_then(Value::as_u64)) {
            // The MC does not destroy what is open.
            if let Some(token) = self.open.remove(&ObjectId::new(kind, id as u32)) {
                self.send(&Message::close(token));
            }
        }
        if command == "DestroyContainer" {
            // What lies in it goes as well.
            for (object, token) in std::mem::take(&mut self.open) {
                self.send(&Message::close(token));
                tracing::debug!(%object, "closed");
            }
        }
        let token = match object {
            None => Token::NONE,
            Some(object) => match self.open(object) {
                Ok(token) => token,
                Err(here) => {
                    self.compare_status(line, Some(object), "Open", Status::Ok, here);
                    self.outcome.skipped += 1;
                    return Ok(());
                }
            },
        };
        let here = self.send(&Message::command(number, version, token, params));
        let recorded = match text("status") {
            "" => Status::Ok,
            status => {
                let byte = status.strip_prefix("0x").and_then(|s| u8::from_str_radix(s, 16).ok());
                Status::from_byte(byte.ok_or("\"status\" is no number such as \"0x8\"")?)
            }
        };
        self.compare_status(line, object, command, recorded, here.header.status());
        if recorded == Status::Ok && here.header.status() == Status::Ok {
            let said: HashMap<String, String> =
                words::fields(&words::reply(info, number, &here, version)).into_iter().collect();
            for (field, value) in map.get("answer").and_then(Value::as_object).unwrap_or(&empty) {
                let here = said
                    .get(field)
                    .ok_or_else(|| format!("the answer to {command} has no field {field:?}"))?;
                let family = ObjectType::ALL.into_iter().find(|kind| format!("{kind:?}") == *here);
                let here = family.map_or(here.trim_matches('"'), |kind| kind.name()).to_owned();
                self.compare(line, object, command, field, words::value(value), here);
            }
        }
        self.outcome.compared += 1;
        Ok(())
    }

    fn open(&mut self, object: ObjectId) -> Result<Token, Status> {
        if let Some(token) = self.open.get(&object) {
            return Ok(*token);
        }
        let answer = self.send(&Message::open(object));
        if answer.header.status() != Status::Ok {
            return Err(answer.header.status());
        }
        self.open.insert(object, answer.header.token());
        Ok(answer.header.token())
    }

    /// Through the root container's own portal, which is the first.
    fn send(&self, message: &Message) -> Message {
        self.board.write(Window::McPortals, 0, &message.to_bytes());
        let mut bytes = [0; Message::SIZE];
        self.board.read(Window::McPortals, 0, &mut bytes);
        Message::from_bytes(&bytes)
    }

    fn compare_status(
        &mut self,
        line: usize,
        object: Option<ObjectId>,
        command: &str,
        recorded: Status,
        here: Status,
    ) {
        let words = |status: Status| status.to_string();
        self.compare(line, object, command, "status", words(recorded), words(here));
    }

    fn compare(
        &mut self,
        line: usize,
        object: Option<ObjectId>,
        command: &str,
        field: &str,
        recorded: String,
        here: String,
    ) {
        if recorded != here {
            let (command, field) = (command.to_owned(), field.to_owned());
            let difference = Difference { line, object, command, field, recorded, here };
            self.outcome.differences.push(difference);
        }
    }
}

/// The state of an object without the flag that says whether it is open.
fn closed(state: u32) -> String {
    (state & !dprc::state::OPEN).to_string()
}
