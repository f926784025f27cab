// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Layout sources: compiled by `dtc`, whose messages become errors here, and
//! whose annotations tell the line of each node and property.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::fields::join;
use super::problem::{Place, Problems};

/// Makes a `dtc` command without arguments. The loader adds its own.
pub type Dtc<'a> = &'a dyn Fn() -> Command;

/// Why a source cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum DtsError {
    /// There is no such program.
    #[error(
        "{file} is a device-tree source, and its compiler {program:?} was not found: install the \
         package device-tree-compiler, or compile the file elsewhere and give the .dtb"
    )]
    NoCompiler {
        /// The source.
        file: String,
        /// The program that was tried.
        program: String,
    },
    /// The program cannot be run.
    #[error("running {program:?} to compile {file}: {source}")]
    Run {
        /// The source.
        file: String,
        /// The program that was tried.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// The source is wrong.
    #[error("{}", lines(messages))]
    Source {
        /// What the compiler says, at least one message.
        messages: Vec<DtsMessage>,
    },
    /// The source needs the C preprocessor.
    #[error(
        "{place}: error: {directive} is a directive of the C preprocessor, which is not run: use \
         /include/ \"file\", or preprocess the file first (cpp -nostdinc -undef -x \
         assembler-with-cpp -P)"
    )]
    Preprocessor {
        /// Where the directive stands.
        place: Place,
        /// The directive.
        directive: String,
    },
}

/// A message of the compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DtsMessage {
    /// File and line, where the compiler gives them.
    pub place: Place,
    /// Column, where the compiler gives it.
    pub column: Option<u32>,
    /// What it says.
    pub text: String,
}

impl std::fmt::Display for DtsMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.place)?;
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        write!(f, ": error: {}", self.text)
    }
}

fn lines(messages: &[DtsMessage]) -> String {
    messages.iter().map(DtsMessage::to_string).collect::<Vec<_>>().join("\n")
}

/// A source to compile.
#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    /// A file, so that `/include/` finds its neighbours.
    File(&'a Path),
    /// A text and the name that messages give it.
    Text(&'a str),
}

/// A source under a name, and its compiler.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) input: Input<'a>,
    /// What messages call the source.
    pub(super) name: &'a str,
    pub(super) dtc: Dtc<'a>,
}

impl Source<'_> {
    /// Refuses a text that needs the C preprocessor, which would otherwise
    /// end in the compiler's bare "syntax error".
    pub(super) fn refuse_preprocessor(&self, text: &str) -> Result<(), DtsError> {
        match preprocessor_directive(text) {
            Some((line, directive)) => {
                let place = Place { file: self.name.to_owned(), line: Some(line) };
                Err(DtsError::Preprocessor { place, directive: directive.to_owned() })
            }
            None => Ok(()),
        }
    }

    /// The blob that the source compiles to.
    pub(super) fn compile(&self) -> Result<Vec<u8>, DtsError> {
        let output = self.run(&["-O", "dtb"])?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let mut messages: Vec<_> = stderr.lines().filter_map(|line| self.message(line)).collect();
        if messages.is_empty() {
            let place = Place { file: self.name.to_owned(), line: None };
            let text = format!("the compiler ends with {}", output.status);
            messages.push(DtsMessage { place, column: None, text });
        }
        Err(DtsError::Source { messages })
    }

    /// Fills in the lines of problems, as far as the compiler tells them.
    pub(super) fn locate(&self, problems: &mut Problems) {
        if problems.is_empty() {
            return;
        }
        let lines = match self.run(&["-O", "dts", "-T"]) {
            Ok(output) if output.status.success() => {
                annotations(&String::from_utf8_lossy(&output.stdout))
            }
            // Compilers before 1.5.1 cannot annotate: findings name the node then.
            _ => HashMap::new(),
        };
        for problem in &mut problems.list {
            let property = problem.property.clone().unwrap_or_default();
            let known = lines.get(&(problem.node.clone(), property));
            if let Some(place) = known.or_else(|| nearest_node(&lines, &problem.node)) {
                problem.place = Place { file: self.own_name(&place.file), line: place.line };
            }
        }
    }

    fn run(&self, arguments: &[&str]) -> Result<Output, DtsError> {
        let mut command = (self.dtc)();
        // -q: warnings of general device trees (unit addresses) mean nothing here.
        command.args(["-q", "-I", "dts"]).args(arguments).args(["-o", "-"]);
        command.env("LC_ALL", "C").stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |source: io::Error| {
            let file = self.name.to_owned();
            let program = program.clone();
            if source.kind() == io::ErrorKind::NotFound {
                DtsError::NoCompiler { file, program }
            } else {
                DtsError::Run { file, program, source }
            }
        };
        match self.input {
            Input::File(path) => {
                command.arg("--").arg(path).stdin(Stdio::null()).output().map_err(failed)
            }
            Input::Text(text) => {
                let mut child = command.arg("-").stdin(Stdio::piped()).spawn().map_err(failed)?;
                let stdin = child.stdin.take();
                std::thread::scope(|scope| {
                    scope.spawn(move || {
                        // A compiler that stops reading says why on stderr.
                        stdin.map(|mut stdin| stdin.write_all(text.as_bytes()))
                    });
                    child.wait_with_output()
                })
                .map_err(failed)
            }
        }
    }

    /// Reads `Error: FILE:3.4-5 text`, `FILE:3.10-14: ERROR (check): text` or
    /// `FATAL ERROR: text`. The summaries that follow a message are dropped.
    fn message(&self, line: &str) -> Option<DtsMessage> {
        const SUMMARIES: [&str; 2] =
            ["FATAL ERROR: Unable to parse input tree", "ERROR: Input tree has errors"];
        if line.trim().is_empty() || SUMMARIES.iter().any(|summary| line.starts_with(summary)) {
            return None;
        }
        let text = line
            .strip_prefix("FATAL ERROR: ")
            .or_else(|| line.strip_prefix("Error: "))
            .unwrap_or(line);
        Some(match position(text) {
            Some((file, line, column, text)) => {
                let text = text.trim_start_matches([':', ' ']);
                let text = text.strip_prefix("ERROR ").unwrap_or(text);
                let place = Place { file: self.own_name(file), line: Some(line) };
                DtsMessage { place, column, text: text.to_owned() }
            }
            None => {
                let place = Place { file: self.name.to_owned(), line: None };
                DtsMessage { place, column: None, text: text.to_owned() }
            }
        })
    }

    /// The caller's name of a file that the compiler names: as it was given, or
    /// relative to the directory of the source.
    fn own_name(&self, file: &str) -> String {
        let Input::File(source) = self.input else {
            return if file == "<stdin>" { self.name.to_owned() } else { file.to_owned() };
        };
        let beside = source.parent().map(|directory| directory.join(file));
        if Path::new(file) == source || beside.as_deref() == Some(source) {
            return self.name.to_owned();
        }
        let beside = beside.filter(|path| path.exists());
        beside.map_or_else(|| file.to_owned(), |path| path.display().to_string())
    }
}

/// The place of a node, or of the innermost of its ancestors that has one:
/// a finding may be about a node that is missing.
fn nearest_node<'p>(places: &'p HashMap<(String, String), Place>, node: &str) -> Option<&'p Place> {
    let mut node = node.to_owned();
    loop {
        if let Some(place) = places.get(&(node.clone(), String::new())) {
            return Some(place);
        }
        if node.len() <= 1 {
            return None;
        }
        node.truncate(node.rfind('/')?.max(1));
    }
}

/// Splits `FILE:3.4-5.6 rest` into file, line, column and rest.
fn position(text: &str) -> Option<(&str, u32, Option<u32>, &str)> {
    text.match_indices(':').find_map(|(colon, _)| {
        let (file, after) = (text.get(..colon)?, text.get(colon + 1..)?);
        let end = after
            .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-')
            .unwrap_or(after.len());
        let (range, rest) = after.split_at(end);
        let start = range.split('-').next()?;
        let (line, column) = match start.split_once('.') {
            Some((line, column)) => (line, column.parse().ok()),
            None => (start, None),
        };
        Some((file, line.parse().ok()?, column, rest))
    })
}

/// The place of each node (with an empty property) and property in an
/// annotated source: `dpni@0 { /* eth.dts:9 */`, `num_tcs = <1>; /* eth.dts:11 */`.
fn annotations(text: &str) -> HashMap<(String, String), Place> {
    let mut places = HashMap::new();
    let mut path: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        let (code, place) = match line.strip_suffix("*/").and_then(|line| line.rsplit_once("/*")) {
            Some((code, comment)) => (code.trim_end(), annotation(comment)),
            None => (line, None),
        };
        if code == "};" {
            path.pop();
        } else if let Some(name) = code.strip_suffix('{') {
            // Labels stand before the name: `label: name {`.
            let name = name.trim().rsplit(": ").next().unwrap_or_default();
            let parent = path.last().map_or("", String::as_str);
            let own = if name == "/" { name.to_owned() } else { join(parent, name) };
            if let Some(place) = place {
                places.insert((own.clone(), String::new()), place);
            }
            path.push(own);
        } else if let (Some(node), Some(place)) = (path.last(), place) {
            let name = code.split([' ', '=', ';']).next().unwrap_or_default();
            places.insert((node.clone(), name.to_owned()), place);
        }
    }
    places
}

/// Reads `a.dts:9, a.dts:11`: the last place is the one that counts.
fn annotation(comment: &str) -> Option<Place> {
    let last = comment.trim().rsplit(", ").next()?;
    let (file, line) = last.rsplit_once(':')?;
    Some(Place { file: file.to_owned(), line: Some(line.parse().ok()?) })
}

/// The first preprocessor directive outside of comments, and its line.
fn preprocessor_directive(text: &str) -> Option<(u32, &str)> {
    const DIRECTIVES: [&str; 11] = [
        "include", "define", "undef", "if", "ifdef", "ifndef", "else", "elif", "endif", "error",
        "pragma",
    ];
    let mut in_comment = false;
    for (number, line) in (1u32..).zip(text.lines()) {
        let starts_in_comment = in_comment;
        in_comment = comment_continues(line, in_comment);
        let Some(directive) = line.trim_start().strip_prefix('#').filter(|_| !starts_in_comment)
        else {
            continue;
        };
        let word = directive.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next();
        // `#address-cells = <1>;` is a property.
        let is_property = directive.contains('=') && !directive.trim_start().starts_with("if");
        if let Some(word) = word.filter(|word| DIRECTIVES.contains(word) && !is_property) {
            let end = line.find(word).map_or(line.len(), |at| at + word.len());
            return Some((number, line.get(..end).unwrap_or(line).trim()));
        }
    }
    None
}

/// Whether a `/* */` comment is open after `line`.
fn comment_continues(line: &str, mut inside: bool) -> bool {
    let mut rest = line;
    while let Some(at) = rest.find(if inside { "*/" } else { "/*" }) {
        if !inside && rest.get(..at).is_some_and(|before| before.contains("//")) {
            return false;
        }
        inside = !inside;
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_told_from_properties_and_comments() {
        let found = |text| preprocessor_directive(text);
        assert_eq!(found("/dts-v1/;\n#include <dt-bindings/x.h>\n"), Some((2, "#include")));
        assert_eq!(found("  # define X 1"), Some((1, "# define")));
        assert_eq!(found("#ifdef A==B"), Some((1, "#ifdef")));
        assert_eq!(found("/ { #address-cells = <1>; };"), None);
        assert_eq!(found("#address-cells = <1>;\n#define-cells = <2>;"), None);
        assert_eq!(found("/*\n#include <x>\n*/ / { };"), None);
        assert_eq!(found("/* a */ /* b\n#include <x> */\n#endif"), Some((3, "#endif")));
    }

    #[test]
    fn positions_are_read() {
        assert_eq!(position("a.dts:4.1-2 syntax"), Some(("a.dts", 4, Some(1), " syntax")));
        assert_eq!(position("a:b.dts:3.10-4.14: ERROR"), Some(("a:b.dts", 3, Some(10), ": ERROR")));
        assert_eq!(position("no position: here"), None);
    }

    #[test]
    fn annotations_are_read() {
        let places = annotations(
            "/dts-v1/;\n\n/ { /* a.dts:2, a.dts:11 */\n\tdpl-version = <0x0a>; /* a.dts:3 */\n\
             \tl: objects { /* a.dts:9 */\n\t\tdpni@0 { /* a.dts:10 */\n\
             \t\t\toptions = \"a\", \"b{ /* x */\"; /* a.dts:12 */\n\t\t}; /* a.dts:13 */\n\
             \t\tempty; /* a.dts:14 */\n\t};\n};\n",
        );
        let line = |node: &str, property: &str| {
            places.get(&(node.to_owned(), property.to_owned())).and_then(|place| place.line)
        };
        assert_eq!(line("/", ""), Some(11));
        assert_eq!(line("/", "dpl-version"), Some(3));
        assert_eq!(line("/objects", ""), Some(9));
        assert_eq!(line("/objects/dpni@0", ""), Some(10));
        assert_eq!(line("/objects/dpni@0", "options"), Some(12));
        assert_eq!(line("/objects", "empty"), Some(14));
    }
}
