// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Loading a file: which form it has, which kind it is, what it says.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::dpc::{self, Dpc};
use super::dts::{Dtc, DtsError, Input, Source};
use super::fdt::{self, FdtError, MAX_BLOB, Node};
use super::model::Dpl;
use super::problem::{Collector, Place, Problem, Problems};
use super::read;
use crate::soc::Soc;

/// What a file turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Layout {
    /// A data path layout.
    Dpl(Dpl),
    /// A data path configuration.
    Dpc(Dpc),
}

/// The two kinds of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A data path layout.
    Dpl,
    /// A data path configuration.
    Dpc,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Dpl => "data path layout (DPL)",
            Kind::Dpc => "data path configuration (DPC)",
        })
    }
}

/// A file that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// File as the caller named it.
    pub file: String,
    /// What it says.
    pub layout: Layout,
    /// What is odd about it, none of it an error.
    pub warnings: Problems,
}

impl Loaded {
    /// Which kind of file it is.
    pub fn kind(&self) -> Kind {
        match self.layout {
            Layout::Dpl(_) => Kind::Dpl,
            Layout::Dpc(_) => Kind::Dpc,
        }
    }

    /// The layout.
    ///
    /// # Errors
    /// [`LoadError::WrongKind`] where the file is a configuration.
    pub fn into_dpl(self) -> Result<Dpl, LoadError> {
        match self.layout {
            Layout::Dpl(dpl) => Ok(dpl),
            Layout::Dpc(_) => Err(LoadError::WrongKind { file: self.file, found: Kind::Dpc }),
        }
    }

    /// The configuration.
    ///
    /// # Errors
    /// [`LoadError::WrongKind`] where the file is a layout.
    pub fn into_dpc(self) -> Result<Dpc, LoadError> {
        match self.layout {
            Layout::Dpc(dpc) => Ok(dpc),
            Layout::Dpl(_) => Err(LoadError::WrongKind { file: self.file, found: Kind::Dpl }),
        }
    }
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("reading {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// It is larger than [`fdt::MAX_BLOB`].
    #[error("{file} has more than {MAX_BLOB} bytes, the most that a layout may have")]
    TooLarge {
        /// The file.
        file: String,
    },
    /// It is neither a blob nor text.
    #[error(
        "{file} is neither a device-tree blob (its first bytes differ) nor a source (it is not text)"
    )]
    NeitherForm {
        /// The file.
        file: String,
    },
    /// It is a source and does not compile.
    #[error(transparent)]
    Dts(#[from] DtsError),
    /// It is a malformed blob.
    #[error("{file}: the device-tree blob is malformed {error}")]
    Blob {
        /// The file.
        file: String,
        /// What is wrong, and where.
        error: FdtError,
    },
    /// It is a device tree of another kind.
    #[error(
        "{file} is a device tree, but neither a layout (no node containers, objects or \
         connections) nor a configuration (no node board_info, resources, mc_general or \
         controllers); its nodes are: {}",
        list(nodes)
    )]
    NeitherKind {
        /// The file.
        file: String,
        /// The first few of its top-level nodes.
        nodes: Vec<String>,
    },
    /// It has errors.
    #[error("{problems}")]
    Refused {
        /// The file.
        file: String,
        /// What it is.
        kind: Kind,
        /// All findings, at least one of them an error.
        problems: Problems,
    },
    /// It is a good file of the other kind.
    #[error("{}", wrong_kind(file, *found))]
    WrongKind {
        /// The file.
        file: String,
        /// What it is.
        found: Kind,
    },
}

impl LoadError {
    /// The findings, where the file could be read but has errors.
    pub fn problems(&self) -> &[Problem] {
        match self {
            LoadError::Refused { problems, .. } => &problems.list,
            _ => &[],
        }
    }
}

fn wrong_kind(file: &str, found: Kind) -> String {
    match found {
        Kind::Dpc => format!(
            "{file} is a {found}: it describes ports and pools of a board, no objects. Give the \
             layout that goes with it (its name starts with dpl, as a rule)"
        ),
        Kind::Dpl => format!(
            "{file} is a {found}: it lists containers and objects, no facts of a board. Give the \
             configuration that goes with it (its name starts with dpc, as a rule)"
        ),
    }
}

fn list(nodes: &[String]) -> String {
    if nodes.is_empty() { "none".to_owned() } else { nodes.join(", ") }
}

/// Loads layouts and configurations.
#[derive(Clone, Copy)]
pub struct Loader<'a> {
    dtc: Dtc<'a>,
    soc: Option<&'a Soc>,
}

impl<'a> Loader<'a> {
    /// A loader that compiles sources by the command that `dtc` makes. It is
    /// called once per source, and once more for lines if there are findings;
    /// never for blobs.
    pub fn new(dtc: Dtc<'a>) -> Self {
        Self { dtc, soc: None }
    }

    /// The same, refusing what the chip lacks. Without a chip, the layouts of all
    /// chips are taken.
    pub fn for_soc(self, soc: &'a Soc) -> Self {
        Self { soc: Some(soc), ..self }
    }

    /// Loads a file: a blob if it starts as one, else a source.
    ///
    /// # Errors
    /// [`LoadError`]: the file is unreadable, malformed or wrong. All that is
    /// wrong with a well-formed file is in [`LoadError::Refused`].
    pub fn file(&self, path: &Path) -> Result<Loaded, LoadError> {
        let name = path.display().to_string();
        let bytes = read_file(path, &name)?;
        if fdt::is_blob(&bytes) {
            return self.blob(&name, &bytes);
        }
        let Ok(text) = String::from_utf8(bytes) else {
            return Err(LoadError::NeitherForm { file: name });
        };
        self.compile(Source { input: Input::File(path), name: &name, dtc: self.dtc }, &text)
    }

    /// Loads the text of a source, calling it `name` in messages.
    ///
    /// # Errors
    /// As [`Loader::file`].
    pub fn source(&self, name: &str, text: &str) -> Result<Loaded, LoadError> {
        if text.len() > MAX_BLOB {
            return Err(LoadError::TooLarge { file: name.to_owned() });
        }
        self.compile(Source { input: Input::Text(text), name, dtc: self.dtc }, text)
    }

    /// Loads a blob, calling it `name` in messages.
    ///
    /// # Errors
    /// As [`Loader::file`].
    pub fn blob(&self, name: &str, blob: &[u8]) -> Result<Loaded, LoadError> {
        load(name, &parse(name, blob)?, self.soc, |_| {})
    }

    fn compile(&self, source: Source<'_>, text: &str) -> Result<Loaded, LoadError> {
        source.refuse_preprocessor(text)?;
        let tree = parse(source.name, &source.compile()?)?;
        load(source.name, &tree, self.soc, |problems| source.locate(problems))
    }
}

fn read_file(path: &Path, name: &str) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::Read { file: name.to_owned(), source };
    let mut bytes = Vec::new();
    let limit = MAX_BLOB as u64 + 1;
    File::open(path).map_err(failed)?.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > MAX_BLOB {
        return Err(LoadError::TooLarge { file: name.to_owned() });
    }
    Ok(bytes)
}

fn parse(name: &str, blob: &[u8]) -> Result<Node, LoadError> {
    fdt::parse(blob).map_err(|error| LoadError::Blob { file: name.to_owned(), error })
}

/// Interprets a tree; `locate` fills in the lines of findings.
fn load(
    name: &str,
    root: &Node,
    soc: Option<&Soc>,
    locate: impl Fn(&mut Problems),
) -> Result<Loaded, LoadError> {
    let file = name.to_owned();
    let Some(kind) = kind(root) else {
        let nodes = root.children.iter().take(8).map(|node| node.name.clone()).collect();
        return Err(LoadError::NeitherKind { file, nodes });
    };
    let collector = Collector::default();
    let layout = match kind {
        Kind::Dpl => Layout::Dpl(read::read(root, soc, &collector)),
        Kind::Dpc => Layout::Dpc(dpc::read(root, soc, &collector)),
    };
    let mut problems = collector.into_problems();
    for problem in &mut problems.list {
        problem.place.file.clone_from(&file);
    }
    locate(&mut problems);
    // The source comes before what it includes, and lines before what has none.
    problems.list.sort_by_cached_key(|problem| {
        let Place { file: stated_in, line } = &problem.place;
        (*stated_in != file, stated_in.clone(), line.unwrap_or(u32::MAX))
    });
    if problems.has_errors() {
        return Err(LoadError::Refused { file, kind, problems });
    }
    Ok(Loaded { file, layout, warnings: problems })
}

fn kind(root: &Node) -> Option<Kind> {
    let has = |names: &[&str]| names.iter().any(|name| root.child(name).is_some());
    if has(&["containers", "objects", "connections"]) || root.property("dpl-version").is_some() {
        Some(Kind::Dpl)
    } else if has(&["board_info", "resources", "mc_general", "controllers"]) {
        Some(Kind::Dpc)
    } else {
        None
    }
}
