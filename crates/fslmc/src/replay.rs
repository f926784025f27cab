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

mod session;
mod words;

use board::{
    Board, BoardConfig, Soc,
    dpl::{Dpc, Dpl, Loader},
    host::{Host, NoLines, NoMemory, NoPortalMemory},
    mc,
};
use mc_abi::ObjectId;
use miette::{IntoDiagnostic, Result, WrapErr, miette};
use serde_json::{Map, Value};
use session::Session;
use std::{
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
    Ok(session.outcome())
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
    let host = Host::new(Arc::new(NoMemory), Arc::new(NoLines), Arc::new(NoPortalMemory));
    Board::new(config, host).into_diagnostic()
}

/// Replays a record with the board's own tools.
///
/// # Errors
/// As [`replay`].
pub fn from_command_line(file: &Path, against: &Against) -> Result<bool> {
    let packages = crate::artifacts::board_packages(&*crate::progress())?;
    let dtc = || crate::session::dtc(&packages);
    replay(file, against, &Loader::new(&dtc))
}
