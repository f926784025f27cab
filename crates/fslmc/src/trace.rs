// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The trace of MC commands: where it is written, and what of it.

use crate::faults;
use board::mc::{Record, Tracer};
use mc_abi::{ObjectId, ObjectType, Status};
use miette::{Context, IntoDiagnostic, Result};
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// Writes each command's record that all filters let pass on a line of its own, with the
/// time since now.
///
/// # Errors
/// The file cannot be made.
pub fn tracer(file: &Path, filters: Vec<Filter>) -> Result<Tracer> {
    let out: Box<dyn Write + Send> = if file == Path::new("-") {
        Box::new(std::io::stderr())
    } else {
        let file = File::create(file)
            .into_diagnostic()
            .with_context(|| format!("creating the trace {}", file.display()))?;
        Box::new(BufWriter::new(file))
    };
    let out = Mutex::new(Some(out));
    let start = Instant::now();
    Ok(Arc::new(move |record: &Record| {
        if !filters.iter().all(|filter| filter.passes(record)) {
            return;
        }
        let mut slot = out.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(out) = slot.as_mut() else { return };
        let seconds = start.elapsed().as_secs_f64();
        if let Err(error) = writeln!(out, "{seconds:10.6} {record}").and_then(|()| out.flush()) {
            tracing::error!(%error, "the trace ends here: it cannot be written");
            *slot = None;
        }
    }))
}

/// `KEY=VALUE,...`: one of the values must fit; `KEY!=VALUE,...`: none may.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    wanted: Vec<Value>,
    inverted: bool,
}

/// What a command is held against.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    /// A command's name, or the start of names.
    Command {
        name: String,
        more: bool,
    },
    /// A command's number.
    Number(u16),
    /// An object, addressed or named by the command or its answer.
    Object(ObjectId),
    /// Any object of a family.
    Family(ObjectType),
    Status(Status),
    /// Any status but ok.
    Refused,
    Container(u32),
}

/// What is wrong with a filter.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No key.
    #[error(
        "{0:?} is not a filter: use command=, object=, status= or container= and what is wanted, as in object=dpni.0; != leaves it out"
    )]
    Form(String),
    /// No such command.
    #[error(
        "{0:?} is not a command: use a name such as GetAttributes, the start of names such as Get*, or a number such as 0x159"
    )]
    Command(String),
    /// No such object.
    #[error("{0:?} is not an object: use dpni.0, or dpni for all of the family")]
    Object(String),
    /// No such status.
    #[error("{0:?} is not a status: use ok, refused, a number, or one of {names}", names = faults::STATUS_NAMES)]
    Status(String),
    /// No such container.
    #[error("{0:?} is not a container: use dprc.N")]
    Container(String),
}

/// Reads a filter.
///
/// # Errors
/// [`FilterError`].
pub fn filter(text: &str) -> std::result::Result<Filter, FilterError> {
    let form = || FilterError::Form(text.into());
    let (key, values) = text.split_once('=').ok_or_else(form)?;
    let (key, inverted) = match key.strip_suffix('!') {
        Some(key) => (key, true),
        None => (key, false),
    };
    let read = match key {
        "command" => command,
        "object" => object,
        "status" => status,
        "container" => container,
        _ => return Err(form()),
    };
    let wanted = values.split(',').map(read).collect::<std::result::Result<_, _>>()?;
    Ok(Filter { wanted, inverted })
}

fn command(text: &str) -> std::result::Result<Value, FilterError> {
    if let Some(number) = faults::number(text) {
        return Ok(Value::Number(number));
    }
    let (name, more) = match text.strip_suffix('*') {
        Some(start) => (start, true),
        None => (text, false),
    };
    let fits = |known: &str| same_start(known, name) && (more || known.len() == name.len());
    // These five are the same in all families, and in no table of one.
    let common = ["Open", "Close", "Create", "Destroy", "GetApiVersion"].into_iter();
    let tables = ObjectType::ALL.into_iter().flat_map(mc_abi::commands);
    let tables = tables.chain(mc_abi::common::COMMANDS).chain(mc_abi::dpmng::COMMANDS);
    if common.chain(tables.map(|info| info.name)).any(fits) {
        Ok(Value::Command { name: name.to_owned(), more })
    } else {
        Err(FilterError::Command(text.into()))
    }
}

/// Whether `text` starts with `start`, in whichever case.
fn same_start(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start))
}

fn object(text: &str) -> std::result::Result<Value, FilterError> {
    if let Ok(family) = text.parse() {
        return Ok(Value::Family(family));
    }
    text.parse().map(Value::Object).map_err(|_| FilterError::Object(text.into()))
}

fn status(text: &str) -> std::result::Result<Value, FilterError> {
    match text {
        "ok" => Ok(Value::Status(Status::Ok)),
        "refused" => Ok(Value::Refused),
        text => {
            faults::status(text).map(Value::Status).ok_or_else(|| FilterError::Status(text.into()))
        }
    }
}

fn container(text: &str) -> std::result::Result<Value, FilterError> {
    match text.parse::<ObjectId>() {
        Ok(id) if id.kind == ObjectType::Dprc => Ok(Value::Container(id.id)),
        _ => Err(FilterError::Container(text.into())),
    }
}

impl Filter {
    /// Whether a command is to be in the trace.
    pub fn passes(&self, record: &Record) -> bool {
        self.wanted.iter().any(|value| value.fits(record)) != self.inverted
    }
}

impl Value {
    fn fits(&self, record: &Record) -> bool {
        match self {
            Self::Command { name, more } => {
                let own = record.command.split(' ').next().unwrap_or_default();
                same_start(own, name) && (*more || own.len() == name.len())
            }
            Self::Number(number) => record.header.number() == *number,
            Self::Object(id) => record.object == Some(*id) || names(record, &id.to_string()),
            Self::Family(family) => {
                record.object.is_some_and(|id| id.kind == *family) || names(record, family.name())
            }
            Self::Status(status) => record.status == *status,
            Self::Refused => record.status != Status::Ok,
            Self::Container(id) => record.container == Some(*id),
        }
    }
}

/// Whether the words of a command or of its answer name an object, or one of a family.
fn names(record: &Record, name: &str) -> bool {
    let between = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_'));
    let words = record.command.split(between).chain(record.reply.split(between));
    let mut words = words.map(|word| word.trim_end_matches('.'));
    words.any(|word| word == name || word.split_once('.').is_some_and(|(family, _)| family == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mc_abi::{Message, Params, Token};

    fn record(object: &str, command: &str, status: Status, reply: &str) -> Record {
        Record {
            portal: 0,
            container: Some(1),
            object: object.parse().ok(),
            header: Message::command(0x159, 1, Token(1), Params::ZERO).header,
            command: command.into(),
            reply: reply.into(),
            status,
            reason: None,
        }
    }

    #[test]
    fn filters_choose_by_command_object_status_and_container() {
        let scan = record("dprc.1", "GetObject { index: 3 }", Status::Ok, "{ object: dpni.2 }");
        let refused =
            record("dprc.1", "Connect { one: dpni.7, other: dpmac.3 }", Status::NoPrivilege, "");
        let own = record("dpni.1", "Enable", Status::Ok, "");
        let cases = [
            ("command=GetObject", [true, false, false]),
            ("command!=getobject,Enable", [false, true, false]),
            ("command=Get*", [true, false, false]),
            ("command=0x159", [true, true, true]),
            ("object=dpni", [true, true, true]),
            ("object=dpni.7,dpni.1", [false, true, true]),
            ("object=dpmac.3", [false, true, false]),
            ("object=dpmac.30", [false, false, false]),
            ("object!=dprc", [false, false, true]),
            ("status=ok", [true, false, true]),
            ("status=refused", [false, true, false]),
            ("status=privilege,0x8", [false, true, false]),
            ("container=dprc.1", [true, true, true]),
            ("container!=dprc.1", [false, false, false]),
        ];
        for (text, expected) in cases {
            let filter = filter(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!([&scan, &refused, &own].map(|r| filter.passes(r)), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, error) in [
            ("dpni.0", FilterError::Form("dpni.0".into())),
            ("portal=3", FilterError::Form("portal=3".into())),
            ("command=GetObjekt", FilterError::Command("GetObjekt".into())),
            ("object=dpni.x", FilterError::Object("dpni.x".into())),
            ("status=bad", FilterError::Status("bad".into())),
            ("container=dpni.1", FilterError::Container("dpni.1".into())),
        ] {
            assert_eq!(filter(text).unwrap_err(), error);
        }
    }
}
