// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What is wrong with a layout: findings with a place, collected rather than
//! thrown, so that one run shows all of them.

use std::cell::{Cell, RefCell};
use std::fmt;

/// How many findings of one file are kept; further ones are counted.
pub const MAX_PROBLEMS: usize = 200;

/// Whether a layout can be used in spite of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It can; something is ignored or looks unintended.
    Warning,
    /// It cannot.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether it makes the layout unusable.
    pub severity: Severity,
    /// File and line, where the line is known.
    pub place: Place,
    /// Path of the node, such as `/objects/dpni@0`.
    pub node: String,
    /// The property, where the finding is about one.
    pub property: Option<String>,
    /// What was found, and what was expected.
    pub reason: String,
    /// What to do about it; may be empty.
    pub remedy: String,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// File as the caller named it; empty when unknown.
    pub file: String,
    /// Line, from 1. Blobs have none.
    pub line: Option<u32>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.file.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        write!(f, "{}: {}: ", self.severity, self.node)?;
        if let Some(property) = &self.property {
            write!(f, "{property}: ")?;
        }
        f.write_str(&self.reason)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// The findings of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    /// The first [`MAX_PROBLEMS`], in the order they were found.
    pub list: Vec<Problem>,
    /// How many more there were.
    pub suppressed: usize,
    /// Whether one of them, kept or not, is an error.
    pub fatal: bool,
}

impl Problems {
    /// Whether an error is among them.
    pub fn has_errors(&self) -> bool {
        self.fatal
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        if self.suppressed > 0 {
            write!(f, "\nand {} more", self.suppressed)?;
        }
        Ok(())
    }
}

/// Where readers and checks put what they find.
#[derive(Debug, Default)]
pub(super) struct Collector {
    list: RefCell<Vec<Problem>>,
    suppressed: Cell<usize>,
    fatal: Cell<bool>,
}

impl Collector {
    pub(super) fn error(&self, at: At<'_>, reason: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Error, at, reason.into(), remedy.into());
    }

    pub(super) fn warn(&self, at: At<'_>, reason: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Warning, at, reason.into(), remedy.into());
    }

    /// Whether further findings are only counted, so that nobody needs to word
    /// them carefully.
    pub(super) fn is_full(&self) -> bool {
        self.list.borrow().len() >= MAX_PROBLEMS
    }

    fn add(&self, severity: Severity, at: At<'_>, reason: String, remedy: String) {
        if severity == Severity::Error {
            self.fatal.set(true);
        }
        if self.is_full() {
            self.suppressed.set(self.suppressed.get().saturating_add(1));
            return;
        }
        self.list.borrow_mut().push(Problem {
            severity,
            place: Place::default(),
            node: at.node.to_owned(),
            property: at.property.map(str::to_owned),
            reason,
            remedy,
        });
    }

    pub(super) fn into_problems(self) -> Problems {
        Problems {
            list: self.list.into_inner(),
            suppressed: self.suppressed.get(),
            fatal: self.fatal.get(),
        }
    }
}

/// The node, and perhaps the property, that a finding is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) node: &'a str,
    pub(super) property: Option<&'a str>,
}

impl<'a> At<'a> {
    pub(super) fn node(node: &'a str) -> Self {
        Self { node, property: None }
    }

    pub(super) fn property(node: &'a str, property: &'a str) -> Self {
        Self { node, property: Some(property) }
    }
}
