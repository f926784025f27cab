// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The commands that the project's documents show.

use std::fs;
use std::path::{Path, PathBuf};

/// Documents beside those in `docs`.
const OTHERS: [&str; 3] = ["README.md", "CONTRIBUTING.md", "fuzz/README.md"];

/// The commands in the code blocks of a checkout's documents that start with `program`:
/// where each stands, and the words that follow the program. Variables before a command
/// and comments after it are left out.
///
/// # Panics
/// Where a document cannot be read, or a command does not divide into words.
pub fn commands(checkout: &Path, program: &[&str]) -> Vec<(String, Vec<String>)> {
    let mut documents: Vec<PathBuf> = OTHERS.iter().map(|name| checkout.join(name)).collect();
    let docs = fs::read_dir(checkout.join("docs")).expect("there are docs");
    documents.extend(docs.map(|entry| entry.expect("it can be listed").path()));
    documents.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    documents.sort();
    let mut found = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document)
            .unwrap_or_else(|error| panic!("{}: {error}", document.display()));
        for (place, line) in code_lines(&text) {
            if let Some(words) = command(&line, program) {
                found.push((format!("{}:{place}", document.display()), words));
            }
        }
    }
    found
}

/// The lines of indented code blocks with their numbers; one that ends in a backslash goes
/// on in the next.
fn code_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (number, line) in text.lines().enumerate() {
        let Some(code) = line.strip_prefix("    ") else {
            goes_on = false;
            continue;
        };
        let (code, more) = match code.strip_suffix('\\') {
            Some(start) => (start, true),
            None => (code, false),
        };
        match lines.last_mut().filter(|_| goes_on) {
            Some((_, last)) => last.push_str(code.trim_start()),
            None => lines.push((number + 1, code.to_owned())),
        }
        goes_on = more;
    }
    lines
}

/// The words after the program, if the line is a command of that program.
fn command(line: &str, program: &[&str]) -> Option<Vec<String>> {
    let is_variable = |word: &str| {
        word.split_once('=').is_some_and(|(name, _)| {
            name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        })
    };
    // Prose and outputs need not divide into words.
    let words = shlex::split(line)?;
    let words: Vec<String> = words.into_iter().skip_while(|word| is_variable(word)).collect();
    let rest = words.get(program.len()..)?;
    let starts = words.iter().zip(program).all(|(word, wanted)| word == wanted);
    // What follows a pipe is another program's.
    let own = rest.iter().take_while(|word| !["|", "&&", ";", ">"].contains(&word.as_str()));
    starts.then(|| own.cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_without_what_is_around_them() {
        let text = "Text `tool no`.\n\n    $ ls\n    A=1 B_2='x y' tool run --on \\\n        -- sh -c 'a b' # why\n    \
                    tool list | less\n    tools no\n\ntool no\n";
        let found: Vec<_> = code_lines(text)
            .into_iter()
            .filter_map(|(number, line)| Some((number, command(&line, &["tool"])?)))
            .collect();
        let words = |text: &[&str]| text.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            found,
            [(4, words(&["run", "--on", "--", "sh", "-c", "a b"])), (6, words(&["list"]))]
        );
    }
}
