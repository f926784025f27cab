// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Which mirror to fetch from: the one that the machine's administrator chose
//! for Debian, if it is one.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// The mirror that stands for all others.
const DEFAULT: &str = "http://deb.debian.org/debian";

/// `$FSLMC_MIRROR`, else the first Debian mirror that the machine's apt uses,
/// else deb.debian.org.
///
/// # Errors
/// [`Error::NoMirror`] if the variable holds no URI that apt could use.
pub(crate) fn choose() -> Result<String> {
    match std::env::var("FSLMC_MIRROR") {
        Ok(given) if !given.trim().is_empty() => checked(&given),
        _ => Ok(of_machine(Path::new("/etc/apt")).unwrap_or_else(|| DEFAULT.to_owned())),
    }
}

/// The text becomes a word of apt's sources.list.
fn checked(given: &str) -> Result<String> {
    let uri = given.trim().trim_end_matches('/');
    let known = ["http://", "https://", "file:/"].iter().any(|scheme| uri.starts_with(scheme));
    if !known || uri.contains(|c: char| c.is_whitespace() || c.is_control() || "[]#".contains(c)) {
        return Err(Error::NoMirror(given.to_owned()));
    }
    Ok(uri.to_owned())
}

/// Looks through sources.list(5) files below `etc_apt`.
fn of_machine(etc_apt: &Path) -> Option<String> {
    let mut files = vec![etc_apt.join("sources.list")];
    let mut parts: Vec<_> = fs::read_dir(etc_apt.join("sources.list.d"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    parts.sort();
    files.extend(parts);
    files.iter().find_map(|file| {
        let text = fs::read_to_string(file).ok()?;
        let sources = match file.extension()?.to_str()? {
            "list" => one_line_sources(&text),
            "sources" => deb822_sources(&text),
            _ => return None,
        };
        sources.into_iter().find_map(|source| source.debian_mirror())
    })
}

/// One entry of a sources file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: Option<String>,
    disabled: bool,
}

impl Source {
    /// The entry's URI if it is a Debian mirror: third parties also call their
    /// folder `debian`, but sign with a key of their own.
    fn debian_mirror(&self) -> Option<String> {
        const RELEASES: [&str; 10] = [
            "bullseye",
            "bookworm",
            "trixie",
            "forky",
            "duke",
            "sid",
            "oldstable",
            "stable",
            "testing",
            "unstable",
        ];
        let is_debian = |suite: &String| {
            RELEASES.iter().any(|release| {
                suite
                    .strip_prefix(release)
                    .is_some_and(|rest| rest.is_empty() || rest == "-updates")
            })
        };
        let by_debian =
            self.signed_by.as_ref().is_none_or(|key| key.contains("debian-archive-keyring"));
        if self.disabled
            || !by_debian
            || !self.suites.iter().any(is_debian)
            || !self.components.iter().any(|component| component == "main")
        {
            return None;
        }
        self.uris.iter().find_map(|uri| {
            let uri = uri.trim_end_matches('/');
            let web = uri.starts_with("http://") || uri.starts_with("https://");
            let folder = uri.rsplit('/').next()?;
            let debian = folder.contains("debian") && !folder.contains("security");
            (web && debian).then(|| uri.to_owned())
        })
    }
}

/// `deb [option=value ...] uri suite component...` lines.
fn one_line_sources(text: &str) -> Vec<Source> {
    text.lines().filter_map(one_line_source).collect()
}

fn one_line_source(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    let (options, rest) = match rest.trim_start().strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="))
            .map(str::to_owned),
        disabled: false,
    })
}

/// Stanzas of `Field: value` lines, divided by empty lines.
fn deb822_sources(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut source = Source::default();
    let mut field = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#')).chain([""]) {
        if line.trim().is_empty() {
            sources.push(std::mem::take(&mut source));
            continue;
        }
        let value = if line.starts_with([' ', '\t']) {
            line
        } else if let Some((name, value)) = line.split_once(':') {
            field = name.to_ascii_lowercase();
            value
        } else {
            continue;
        };
        let words = value.split_whitespace().map(str::to_owned);
        match field.as_str() {
            "uris" => source.uris.extend(words),
            "suites" => source.suites.extend(words),
            "components" => source.components.extend(words),
            "signed-by" => source.signed_by.get_or_insert_default().push_str(value),
            "enabled" => source.disabled |= value.trim() == "no",
            // An entry for source packages only is no mirror of binaries.
            "types" if !words.clone().any(|word| word == "deb") => source.disabled = true,
            _ => {}
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror_of(list: &str, sources: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("sources.list"), list).unwrap();
        fs::create_dir(folder.path().join("sources.list.d")).unwrap();
        fs::write(folder.path().join("sources.list.d/debian.sources"), sources).unwrap();
        of_machine(folder.path())
    }

    #[test]
    fn takes_the_first_debian_entry() {
        let list = "# deb http://old.example/debian bookworm main\n\
                    deb-src http://src.example/debian bookworm main\n\
                    deb http://sec.example/debian-security bookworm-security main\n\
                    deb [arch=amd64] https://near.example/debian/ bookworm main contrib\n";
        assert_eq!(mirror_of(list, "").as_deref(), Some("https://near.example/debian"));
    }

    #[test]
    fn a_given_mirror_must_be_one_word() {
        assert_eq!(checked(" https://m.example/debian/ ").unwrap(), "https://m.example/debian");
        for wrong in ["m.example", "http://m/debian trixie main\ndeb http://x", "http://m/[x]"] {
            assert!(checked(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn reads_stanzas() {
        let sources = "Types: deb\n# a comment\nURIs: cdrom:[x] http://near.example/debian\n\
                       Suites: trixie\n trixie-updates\nComponents: main\n\
                       Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n";
        assert_eq!(mirror_of("", sources).as_deref(), Some("http://near.example/debian"));
        assert_eq!(mirror_of("", &sources.replace("Types: deb\n", "Types: deb-src\n")), None);
        assert_eq!(mirror_of("", &format!("Enabled: no\n{sources}")), None);
        let of_sources = sources.replace("Types: deb\n", "Types: deb-src\nEnabled: yes\n");
        assert_eq!(mirror_of("", &of_sources), None);
    }

    #[test]
    fn third_parties_are_no_mirrors() {
        let list = "deb https://download.example/linux/debian bookworm stable\n\
                    deb [signed-by=/etc/apt/keyrings/x.gpg] https://repo.example/debian bookworm main\n\
                    deb http://archive.example/ubuntu noble main\n\
                    debris\n";
        assert_eq!(
            mirror_of(
                list,
                "Types: deb\nURIs: https://x.example/debian\nSuites: nodistro\nComponents: main\n"
            ),
            None
        );
    }
}
