// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The trace of MC commands: where it is written, and what of it.

use crate::faults;
use board::mc::{Record, Tracer};
use mc_abi::{ObjectId, ObjectType, Status};
use miette::{Context, IntoDiagnostic, Result};
use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Bytes of lines that wait for the file at most; what comes then is not in it, and the next
/// line says how many were lost.
const MOST_WAITING: usize = 16 << 20;

/// How long the last lines may wait, at the end, for whoever reads the trace.
const PATIENCE: Duration = Duration::from_secs(5);

/// A trace. Dropping it writes what waits.
pub struct Trace {
    queue: Arc<Queue>,
    tracer: Tracer,
}

impl Trace {
    /// What the board tells its commands.
    pub fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if !self.queue.close(PATIENCE) {
            tracing::warn!("the end of the trace is missing: nobody reads it");
        }
    }
}

/// Writes each command's record that all filters let pass on a line of its own, with the
/// time since now. A thread of its own does: a board whose processors wait for its Management
/// Complex does not wait for a file.
///
/// # Errors
/// The file cannot be made.
pub fn trace(file: &Path, filters: Vec<Filter>) -> Result<Trace> {
    let out: Box<dyn Write + Send> = if file == Path::new("-") {
        Box::new(std::io::stderr())
    } else {
        let file = File::create(file)
            .into_diagnostic()
            .with_context(|| format!("creating the trace {}", file.display()))?;
        Box::new(file)
    };
    trace_to(out, MOST_WAITING, filters)
}

fn trace_to(out: Box<dyn Write + Send>, most: usize, filters: Vec<Filter>) -> Result<Trace> {
    let queue = Arc::new(Queue { most, state: Mutex::default(), changed: Condvar::new() });
    let writer = queue.clone();
    thread::Builder::new()
        .name("trace".into())
        .spawn(move || writer.write(out))
        .into_diagnostic()
        .context("starting the thread that writes the trace")?;
    let start = Instant::now();
    let lines = queue.clone();
    let tracer = Arc::new(move |record: &Record| {
        if filters.iter().all(|filter| filter.passes(record)) {
            lines.put(start.elapsed(), record);
        }
    });
    Ok(Trace { queue, tracer })
}

/// Lines that wait for the file.
struct Queue {
    most: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    lost: u64,
    closed: bool,
    /// All is written, or cannot be.
    done: bool,
}

impl Queue {
    fn put(&self, time: Duration, record: &Record) {
        let seconds = time.as_secs_f64();
        let line = format!("{seconds:10.6} {record}\n");
        let mut state = self.lock();
        if state.closed || state.done {
            return;
        }
        if state.waiting.len().saturating_add(line.len()) > self.most {
            state.lost += 1;
            return;
        }
        let lost = std::mem::take(&mut state.lost);
        if lost > 0 {
            state.waiting.extend(missing(lost).into_bytes());
        }
        state.waiting.extend(line.into_bytes());
        self.changed.notify_all();
    }

    /// Waits until all is written. False where that takes too long.
    fn close(&self, limit: Duration) -> bool {
        let mut state = self.lock();
        state.closed = true;
        self.changed.notify_all();
        let waited = self.changed.wait_timeout_while(state, limit, |state| !state.done);
        waited.unwrap_or_else(PoisonError::into_inner).0.done
    }

    fn write(&self, mut out: Box<dyn Write + Send>) {
        while let Some(lines) = self.next() {
            if let Err(error) = out.write_all(&lines).and_then(|()| out.flush()) {
                tracing::error!(%error, "the trace ends here: it cannot be written");
                break;
            }
        }
        self.lock().done = true;
        self.changed.notify_all();
    }

    /// The lines that wait, as soon as there are any; none at the end.
    fn next(&self) -> Option<Vec<u8>> {
        let empty = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let waited = self.changed.wait_while(self.lock(), empty);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let mut lines = std::mem::take(&mut state.waiting);
        let lost = if state.closed { std::mem::take(&mut state.lost) } else { 0 };
        if lost > 0 {
            lines.extend(missing(lost).into_bytes());
        }
        (!lines.is_empty()).then_some(lines)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No holder leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn missing(lost: u64) -> String {
    format!(
        "           ({lost} commands are missing here: the trace was not written fast enough)\n"
    )
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

    /// A file that takes nothing until it is told to.
    #[derive(Clone, Default)]
    struct Slow(Arc<Held>);

    #[derive(Default)]
    struct Held {
        /// Whether it takes anything, and what it has taken.
        state: Mutex<(bool, Vec<u8>)>,
        changed: Condvar,
    }

    impl Slow {
        fn go_on(&self) {
            self.0.state.lock().unwrap().0 = true;
            self.0.changed.notify_all();
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.state.lock().unwrap().1.clone()).unwrap()
        }
    }

    impl Write for Slow {
        fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
            let state = self.0.state.lock().unwrap();
            let mut state = self.0.changed.wait_while(state, |state| !state.0).unwrap();
            state.1.extend_from_slice(data);
            Ok(data.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_board_does_not_wait_for_the_file_and_all_that_waits_is_in_it() {
        let scan = record("dprc.1", "GetObject { index: 3 }", Status::Ok, "{ object: dpni.2 }");
        let file = Slow::default();
        let trace = trace_to(Box::new(file.clone()), MOST_WAITING, Vec::new()).unwrap();
        // Returns although nothing is written.
        (0..1000).for_each(|_| trace.tracer()(&scan));
        assert_eq!(file.text(), "");
        file.go_on();
        drop(trace);
        assert_eq!(file.text().lines().count(), 1000);
    }

    #[test]
    fn lines_that_find_no_place_are_counted() {
        let scan = record("dprc.1", "GetObject { index: 3 }", Status::Ok, "{ object: dpni.2 }");
        let file = Slow::default();
        let trace = trace_to(Box::new(file.clone()), 10_000, Vec::new()).unwrap();
        (0..1000).for_each(|_| trace.tracer()(&scan));
        file.go_on();
        drop(trace);
        let text = file.text();
        let (missing, lines): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.contains("are missing here"));
        let number = |line: &&str| {
            let digits: String = line.chars().filter(char::is_ascii_digit).collect();
            digits.parse::<usize>().unwrap()
        };
        let lost: usize = missing.iter().map(number).sum();
        assert!(lost > 0 && lines.len() + lost == 1000, "{lost} and {}", lines.len());
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
