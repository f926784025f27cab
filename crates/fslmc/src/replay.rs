// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! `fslmc board replay`: a record of what a Management Complex answered, asked of the
//! board in this process.
//!
//! A record is a file of JSON values, one a line; empty lines and lines that begin with
//! `#` are for people. The first value may name the layout and the configuration that
//! the record belongs to, beside the record; the command line overrides it:
//!
//! ```json
//! {"layout": "clearfog.dts", "configuration": "clearfog-dpc.dts", "soc": "lx2160a"}
//! ```
//!
//! Each further one is a command and its answer, in either of two forms. What a recorder
//! writes are the 64 bytes of both, in hexadecimal digits; a token is replaced by the
//! one that the same open command has given here:
//!
//! ```json
//! {"command": "00000100...", "answer": "00000000..."}
//! ```
//!
//! What people write has names. The object is opened where it is not yet. Fields of the
//! request that are not said are zero, fields of the answer that are not said are not
//! compared, and a status that is not said is success:
//!
//! ```json
//! {"to": "dprc.1", "command": "dpni.Create", "request": {"num_queues": 16}, "answer": {"id": 1}}
//! {"to": "dpni.1", "command": "GetAttributes", "answer": {"fs_key_size": 56}}
//! {"to": "dprc.1", "command": "dpbp.Create", "status": "0x8"}
//! {"to": "dprc.1", "command": "dpni.Destroy", "request": {"id": 1}}
//! ```

use crate::session;
use board::{
    Board, BoardConfig, Soc, Window,
    dpl::{Dpc, Dpl, Loader},
    host::{BusError, GuestMemory, Host, IrqLines, NoPortalMemory},
    mc,
};
use mc_abi::{
    CommandInfo, Message, ObjectId, ObjectType, Params, Status, Token, Wire,
    common::{self, CLOSE, CREATE, DESTROY, GET_API_VERSION, OPEN},
    dpmng, dprc,
};
use miette::{IntoDiagnostic, Result, WrapErr, miette};
use serde_json::{Map, Value};
use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a record is replayed against, where that is not as the record says.
#[derive(Debug, Default)]
pub struct Against {
    /// The chip.
    pub soc: Option<Soc>,
    /// Containers and objects.
    pub layout: Option<PathBuf>,
    /// Ports.
    pub configuration: Option<PathBuf>,
    /// Most containers at once: isolation ids.
    pub containers: u16,
    /// Whether the MC has the faults of its firmware.
    pub quirks: bool,
}

/// Something that the board answers otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Line of the record, from 1.
    pub line: usize,
    /// The object that the command was for; commands of the MC have none.
    pub object: Option<ObjectId>,
    /// The command.
    pub command: String,
    /// The field of the answer, or `status`.
    pub field: String,
    /// What the record has.
    pub recorded: String,
    /// What the board says.
    pub here: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, object, command, field, recorded, here } = self;
        write!(f, "line {line}: ")?;
        if let Some(object) = object {
            write!(f, "{object} ")?;
        }
        write!(f, "{command}: {field}: the record has {recorded}, the board {here}")
    }
}

/// What a replay came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Commands that were compared.
    pub compared: usize,
    /// Commands that were not, because an object of theirs could not be opened here.
    pub skipped: usize,
    /// In the order of the record.
    pub differences: Vec<Difference>,
}

/// Replays a file and prints the differences; whether there was none.
///
/// # Errors
/// A record, layout or configuration that cannot be read, with the line.
pub fn replay(file: &Path, against: &Against, loader: &Loader) -> Result<bool> {
    let outcome = run(file, against, loader)?;
    for difference in &outcome.differences {
        println!("{}: {difference}", file.display());
    }
    let Outcome { compared, skipped, differences } = &outcome;
    print!("{}: {compared} commands, {} differences", file.display(), differences.len());
    println!("{}", if *skipped > 0 { format!(", {skipped} not compared") } else { String::new() });
    Ok(differences.is_empty() && *skipped == 0)
}

/// The same without printing.
///
/// # Errors
/// As [`replay`].
pub fn run(file: &Path, against: &Against, loader: &Loader) -> Result<Outcome> {
    let text = std::fs::read_to_string(file)
        .into_diagnostic()
        .wrap_err_with(|| format!("{} cannot be read", file.display()))?;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let value: Value = serde_json::from_str(line)
            .map_err(|error| miette!("{}:{number}: this is no JSON: {error}", file.display()))?;
        let Value::Object(map) = value else {
            return Err(miette!("{}:{number}: expected {{...}}", file.display()));
        };
        lines.push((number, map));
    }
    let head = lines.first().filter(|(_, map)| !map.contains_key("command")).cloned();
    let board = boot(file, head.as_ref().map(|(_, map)| map), against, loader)?;
    let mut session = Session::new(&board);
    for (line, map) in &lines[usize::from(head.is_some()).min(lines.len())..] {
        session.line(*line, map).map_err(|what| miette!("{}:{line}: {what}", file.display()))?;
    }
    Ok(session.outcome)
}

fn boot(
    record: &Path,
    head: Option<&Map<String, Value>>,
    against: &Against,
    loader: &Loader,
) -> Result<Board> {
    let beside = |name: &str| -> Result<Option<PathBuf>> {
        match head.and_then(|head| head.get(name)) {
            None => Ok(None),
            Some(Value::String(path)) => {
                Ok(Some(record.parent().unwrap_or(Path::new("")).join(path)))
            }
            Some(_) => Err(miette!("{}: {name}: expected a path", record.display())),
        }
    };
    let soc = match (&against.soc, head.and_then(|head| head.get("soc"))) {
        (Some(soc), _) => soc.clone(),
        (None, None) => Soc::default(),
        (None, Some(name)) => {
            let found = name.as_str().and_then(Soc::find);
            found.ok_or_else(|| miette!("{}: soc: {name} is no chip", record.display()))?
        }
    };
    let layout = against.layout.clone().map_or_else(|| beside("layout"), |path| Ok(Some(path)))?;
    let layout: Dpl = match layout {
        Some(path) => loader.file(&path).into_diagnostic()?.into_dpl().into_diagnostic()?,
        None => {
            let default = &board::dpl::layouts::ALL[0];
            let loaded = loader.source(default.name, default.source).into_diagnostic()?;
            loaded.into_dpl().into_diagnostic()?
        }
    };
    let configuration = against.configuration.clone();
    let configuration = configuration.map_or_else(|| beside("configuration"), |p| Ok(Some(p)))?;
    let ports: Option<Dpc> = match configuration {
        Some(path) => Some(loader.file(&path).into_diagnostic()?.into_dpc().into_diagnostic()?),
        None => None,
    };
    let (icids, quirks) = (against.containers, against.quirks);
    let mc = mc::Config { soc, icids, quirks, ..Default::default() };
    let config = BoardConfig { mc, layout, ports, ..Default::default() };
    let host = Host::new(Arc::new(Nowhere), Arc::new(Nowhere), Arc::new(NoPortalMemory));
    Board::new(config, host).into_diagnostic()
}

/// No memory, and lines that lead nowhere.
struct Nowhere;

impl GuestMemory for Nowhere {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<(), BusError> {
        Err(BusError { address, length: buf.len() })
    }

    fn write(&self, address: u64, data: &[u8]) -> Result<(), BusError> {
        Err(BusError { address, length: data.len() })
    }

    fn read_u64(&self, address: u64) -> Result<u64, BusError> {
        Err(BusError { address, length: 8 })
    }
}

impl IrqLines for Nowhere {
    fn message(&self, _: u16, _: u64, _: u32) {}

    fn smmu(&self, _: bool) {}
}

struct Session<'a> {
    board: &'a Board,
    /// Tokens of the record and what they stand for here; `None`: it is not open.
    tokens: HashMap<u16, (ObjectId, Option<Token>)>,
    /// Objects that named commands have opened.
    open: HashMap<ObjectId, Token>,
    outcome: Outcome,
}

impl<'a> Session<'a> {
    fn new(board: &'a Board) -> Self {
        Self { board, tokens: HashMap::new(), open: HashMap::new(), outcome: Outcome::default() }
    }

    fn line(&mut self, line: usize, map: &Map<String, Value>) -> Result<(), String> {
        match map.get("command") {
            Some(Value::String(_)) if map.contains_key("to") => self.named(line, map),
            Some(Value::String(command)) => {
                let answer = map.get("answer").and_then(Value::as_str);
                let answer = answer.ok_or("there is no \"answer\" of 128 digits")?;
                self.bytes(line, &message(command)?, &message(answer)?)
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
        let info = find(number, target.map(|object| object.kind));
        let name = name(number, info);
        self.compare_status(line, object, &name, recorded.header.status(), here.header.status());
        if recorded.header.status() == Status::Ok && here.header.status() == Status::Ok {
            let words = |answer: &Message| fields(&reply(info, number, answer, version));
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
        let (number, info) = self.by_name(command, object)?;
        let newest = info.map_or(1, |info| info.max_version);
        let version = map.get("version").map_or(Some(u64::from(newest)), Value::as_u64);
        let version = version.and_then(|v| u8::try_from(v).ok()).ok_or("\"version\" is none")?;
        let params = parameters(number, info, version, request)?;
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
                fields(&reply(info, number, &here, version)).into_iter().collect();
            for (field, value) in map.get("answer").and_then(Value::as_object).unwrap_or(&empty) {
                let here = said
                    .get(field)
                    .ok_or_else(|| format!("the answer to {command} has no field {field:?}"))?;
                let family = ObjectType::ALL.into_iter().find(|kind| format!("{kind:?}") == *here);
                let here = family.map_or(here.trim_matches('"'), |kind| kind.name()).to_owned();
                self.compare(line, object, command, field, words(value), here);
            }
        }
        self.outcome.compared += 1;
        Ok(())
    }

    /// The command of a name: of the object's own family, or `dpni.Create`,
    /// `dpni.Destroy`, `dpni.GetApiVersion`.
    fn by_name(
        &self,
        command: &str,
        object: Option<ObjectId>,
    ) -> Result<(u16, Option<&'static CommandInfo>), String> {
        if let Some((family, verb)) = command.split_once('.') {
            let kind: ObjectType =
                family.parse().map_err(|_| format!("{family:?} is no family"))?;
            let number = match verb {
                "Create" => CREATE + kind.code(),
                "Destroy" => DESTROY + kind.code(),
                "GetApiVersion" => GET_API_VERSION + kind.code(),
                _ => return Err(format!("{verb:?} is none of Create, Destroy, GetApiVersion")),
            };
            return Ok((number, find(number, Some(kind))));
        }
        let tables = match object {
            Some(object) => [mc_abi::commands(object.kind), common::COMMANDS],
            None => [dpmng::COMMANDS, &[]],
        };
        let found = tables.into_iter().flatten().find(|info| info.name == command);
        let found = found.ok_or_else(|| format!("{command:?} is no command of this object"))?;
        Ok((found.number, Some(found)))
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

/// The row of a command: of the family that it creates an object of, of the object's
/// family, or of those that all have.
fn find(number: u16, kind: Option<ObjectType>) -> Option<&'static CommandInfo> {
    let made = number.checked_sub(CREATE).and_then(ObjectType::from_code);
    let families = made.into_iter().chain(kind);
    let tables = families.map(mc_abi::commands).chain([common::COMMANDS, dpmng::COMMANDS]);
    tables.flatten().find(|info| info.number == number)
}

fn name(number: u16, info: Option<&CommandInfo>) -> String {
    let family = |base: u16| number.checked_sub(base).and_then(ObjectType::from_code);
    match (info, family(OPEN), family(CREATE), family(DESTROY), family(GET_API_VERSION)) {
        (_, Some(_), ..) => "Open".into(),
        (_, _, Some(kind), ..) => format!("{kind}.Create"),
        (_, _, _, Some(kind), _) => format!("{kind}.Destroy"),
        (_, _, _, _, Some(kind)) => format!("{kind}.GetApiVersion"),
        (Some(info), ..) => info.name.into(),
        _ if number == CLOSE => "Close".into(),
        _ => format!("command {number:#05x}"),
    }
}

/// The parameters of a request.
fn parameters(
    number: u16,
    info: Option<&CommandInfo>,
    version: u8,
    request: &Map<String, Value>,
) -> Result<Params, String> {
    let mut params = Params::ZERO;
    let Some(info) = info else {
        // Destroy and GetApiVersion, which every family has.
        let id = request.get("id").and_then(Value::as_u64).unwrap_or(0) as u32;
        if (DESTROY..GET_API_VERSION).contains(&number) {
            common::Destroy { id }.encode(&mut params, version);
        }
        return Ok(params);
    };
    let mut wrong = None;
    let said = (info.request)(version, &mut params, &mut |say| {
        let refused = request.iter().find(|(field, value)| !say(field, &words(value)));
        wrong = refused.map(|(field, value)| format!("{} has no {field} {value}", info.name));
        wrong.is_none()
    });
    if said { Ok(params) } else { Err(wrong.unwrap_or_default()) }
}

/// An answer in words, as `{:?}` writes its type.
fn reply(info: Option<&CommandInfo>, number: u16, answer: &Message, version: u8) -> String {
    let mut text = String::new();
    let known = match info {
        Some(info) => (info.reply_words)(&answer.params, version, &mut text).is_ok(),
        None if number & 0xff0 == GET_API_VERSION || number == GET_API_VERSION + 0x10 => {
            common::ApiVersion::decode(&answer.params, version)
                .map(|version| text = format!("{version:?}"))
                .is_ok()
        }
        // Open, close and destroy have nothing to say.
        None => true,
    };
    if known { text } else { format!("Answer {{ bytes: {:?} }}", answer.params) }
}

/// A JSON value as the words of a field.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(words).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// The fields of `Type { a: 1, b: Other { c: 2 } }`, each with its words: `a` and
/// `b.c`.
fn fields(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (field, words) in own_fields(text) {
        let inner = fields(&words);
        let block = words.starts_with(|c: char| c.is_ascii_uppercase()) && !inner.is_empty();
        if block {
            all.extend(inner.into_iter().map(|(name, words)| (format!("{field}.{name}"), words)));
        } else {
            all.push((field, words));
        }
    }
    all
}

fn own_fields(text: &str) -> Vec<(String, String)> {
    let Some((_, inner)) = text.split_once('{') else { return Vec::new() };
    let inner = inner.trim().strip_suffix('}').unwrap_or(inner);
    let mut parts = Vec::new();
    let (mut depth, mut quoted, mut start) = (0usize, false, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '{' | '[' | '(' if !quoted => depth += 1,
            '}' | ']' | ')' if !quoted => depth = depth.saturating_sub(1),
            ',' if depth == 0 && !quoted => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    let pair = |part: &str| {
        let (field, value) = part.split_once(':')?;
        Some((field.trim().to_owned(), value.trim().to_owned()))
    };
    parts.into_iter().filter_map(pair).collect()
}

/// The 64 bytes that 128 digits are.
fn message(digits: &str) -> Result<Message, String> {
    let mut bytes = [0; Message::SIZE];
    let pairs = digits.as_bytes().chunks(2);
    if digits.len() != 2 * Message::SIZE {
        return Err(format!("{} digits are not the 128 of a message", digits.len()));
    }
    for (slot, pair) in bytes.iter_mut().zip(pairs) {
        let pair = std::str::from_utf8(pair).ok();
        let byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        *slot = byte.ok_or("there is something else than hexadecimal digits")?;
    }
    Ok(Message::from_bytes(&bytes))
}

/// Replays a record with the board's own tools.
///
/// # Errors
/// As [`replay`].
pub fn from_command_line(file: &Path, against: &Against) -> Result<bool> {
    let packages = crate::artifacts::board_packages(&*crate::progress())?;
    let dtc = || session::dtc(&packages);
    replay(file, against, &Loader::new(&dtc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_apart_by_the_outermost_commas() {
        let text = "GetX { a: 1, b: Y { c: [1, 2], d: \"x, {\" }, e: MacAddr(\"..\") }";
        let found = fields(text);
        let names: Vec<&str> = found.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["a", "b.c", "b.d", "e"]);
        assert_eq!((&*found[1].1, &*found[2].1), ("[1, 2]", "\"x, {\""));
        assert_eq!(fields("()"), []);
        assert_eq!(fields("GetY"), []);
    }

    #[test]
    fn messages_are_128_digits() {
        let digits = "0123456789abcdef".repeat(8);
        assert_eq!(message(&digits).unwrap().to_bytes()[..2], [0x01, 0x23]);
        assert!(message("00").unwrap_err().contains("2 digits"));
        assert!(message(&"zz".repeat(64)).unwrap_err().contains("hexadecimal"));
    }
}
