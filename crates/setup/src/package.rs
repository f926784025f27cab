// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Packages as apt-get lists them.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A Debian package in one version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// Its version, with the epoch.
    pub version: String,
    /// The file that apt-get stores it in.
    pub file: String,
    /// The size of that file in bytes.
    pub size: u64,
}

impl Package {
    /// Reads a line of `apt-get --print-uris`: `'<uri>' <file> <size> <hash>`,
    /// where the file is `<name>_<version>_<architecture>.deb` and the colon of
    /// the version's epoch is written `%3a` (apt-get(8)).
    pub(crate) fn from_uri_line(line: &str) -> Result<Self> {
        let misunderstood = || Error::AptOutput(line.to_owned());
        let after_uri = line.strip_prefix('\'').and_then(|rest| rest.split_once("' "));
        let (_, rest) = after_uri.ok_or_else(misunderstood)?;
        let mut words = rest.split_whitespace();
        let file = words.next().ok_or_else(misunderstood)?;
        let size = words.next().and_then(|size| size.parse().ok()).ok_or_else(misunderstood)?;
        let mut fields = file.strip_suffix(".deb").ok_or_else(misunderstood)?.split('_');
        let (Some(name), Some(version), Some(architecture), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(misunderstood());
        };
        // The file is opened below a folder of ours: nothing may lead out of it.
        if file.contains('/') {
            return Err(misunderstood());
        }
        Ok(Self {
            name: name.to_owned(),
            architecture: architecture.to_owned(),
            version: version.replace("%3a", ":"),
            file: file.to_owned(),
            size,
        })
    }

    /// The package in this version as one word, `name:architecture=version`.
    pub(crate) fn described(&self) -> String {
        format!("{}:{}={}", self.name, self.architecture, self.version)
    }

    /// Whether the upstream version is at least `least`, compared number by
    /// number (`1:11.1.3+ds-1` is at least `11.1`).
    pub(crate) fn is_at_least(&self, least: &str) -> bool {
        let numbers =
            |text: &str| -> Vec<u64> { text.split('.').map_while(leading_number).collect() };
        let upstream = self.version.split_once(':').map_or(self.version.as_str(), |(_, rest)| rest);
        numbers(upstream) >= numbers(least)
    }
}

fn leading_number(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_line_with_an_epoch() {
        let line = "'http://deb.debian.org/debian/pool/main/q/qemu/qemu-system-arm_11.1.3%2bds-1%7ebpo13%2b1_amd64.deb' \
                    qemu-system-arm_1%3a11.1.3+ds-1~bpo13+1_amd64.deb 10123352 SHA256:00ff";
        let package = Package::from_uri_line(line).unwrap();
        assert_eq!(package.name, "qemu-system-arm");
        assert_eq!(package.version, "1:11.1.3+ds-1~bpo13+1");
        assert_eq!(package.architecture, "amd64");
        assert_eq!(package.size, 10_123_352);
    }

    #[test]
    fn reads_a_line_without_a_hash() {
        let line = "'http://m/linux-base_7.3.4-1_arm64.deb' linux-base_7.3.4-1_arm64.deb 4725456 ";
        assert_eq!(Package::from_uri_line(line).unwrap().name, "linux-base");
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        for line in [
            "",
            "Reading package lists...",
            "'http://m/a_1_all.deb'",
            "'http://m/a_1_all.deb' a_1_all.deb",
            "'http://m/a_1_all.deb' a_1_all.deb many SHA256:0",
            "'http://m/a_1.deb' a_1.deb 3 SHA256:0",
            "'http://m/x' ../a_1_all.deb 3 SHA256:0",
            "'http://m/x' a_1_all.rpm 3 SHA256:0",
        ] {
            assert!(Package::from_uri_line(line).is_err(), "{line}");
        }
    }

    #[test]
    fn compares_versions_number_by_number() {
        let package = |version: &str| Package {
            name: "p".into(),
            architecture: "all".into(),
            version: version.into(),
            file: "p_all.deb".into(),
            size: 0,
        };
        assert!(package("1:11.1.3+ds-1~bpo13+1").is_at_least("11.1"));
        assert!(package("1:11.1+ds-1").is_at_least("11.1"));
        assert!(package("12.0-1").is_at_least("11.1"));
        assert!(!package("1:10.0.13+ds-0+deb13u1").is_at_least("11.1"));
        assert!(!package("1:9.2-1").is_at_least("11.1"));
    }
}
