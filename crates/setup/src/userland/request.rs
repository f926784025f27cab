// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a root file system is to hold.

use crate::error::{Error, Result};
use crate::package_set::{Absent, Selection, absent};
use crate::tree;

/// The suite that packages come from where none is named.
pub const DEFAULT_SUITE: &str = "trixie";

/// What every root file system has: Debian's essential packages without those that
/// manage packages, and what a shell session on a test machine takes for granted.
const BASE: [&str; 27] = [
    "base-files",
    "base-passwd",
    "bash",
    "bsdutils",
    "coreutils",
    "dash",
    "debianutils",
    "diffutils",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "iproute2",
    "iputils-ping",
    "kmod",
    "libc-bin",
    "liblzma5",
    "login",
    "mount",
    "ncurses-base",
    "ncurses-bin",
    "perl-base",
    "procps",
    "sed",
    "sysvinit-utils",
    "tar",
    "util-linux",
];

/// Packages that come with another one. Debian's `dpdk` has the set-up scripts alone:
/// the programs are in `dpdk-dev`, and nothing depends on the drivers, which are loaded
/// at run time. These are the drivers of this board, and those that need no hardware.
const COMPANIONS: [(&str, &[&str]); 1] = [(
    "dpdk",
    &[
        "dpdk-dev",
        "^librte-(bus-fslmc|(net|mempool|event|dma)-dpaa2|crypto-dpaa2-sec)-?[0-9]+$",
        "^librte-net-(null|ring|pcap|tap|af-packet|af-xdp|virtio|memif)-?[0-9]+$",
        "^librte-(mempool-ring|mempool-stack|event-sw)-?[0-9]+$",
    ],
)];

/// Taken for installed unless it is asked for: headers and static libraries, twice as
/// much as all else, that `dpdk-dev` depends on and its programs do not use.
const ABSENT: [Absent; 1] = [absent("libdpdk-dev")];

/// Packages for the guest, with all that they depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Userland {
    /// Sorted, each once.
    packages: Vec<String>,
    suite: String,
}

impl Userland {
    /// Packages of a suite (`trixie`, `testing`, ...), each as `NAME`, `NAME=VERSION` or
    /// `NAME/SUITE`. None at all is Debian's minimal system.
    ///
    /// # Errors
    /// [`Error::PackageName`] and [`Error::SuiteName`] for what cannot be a name.
    pub fn new<S: AsRef<str>>(packages: &[S], suite: &str) -> Result<Self> {
        let mut packages: Vec<String> =
            packages.iter().map(|package| checked(package.as_ref())).collect::<Result<_>>()?;
        packages.sort();
        packages.dedup();
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !suite.starts_with(|c: char| c.is_ascii_lowercase()) || !suite.chars().all(is_plain) {
            return Err(Error::SuiteName(suite.to_owned()));
        }
        Ok(Self { packages, suite: suite.to_owned() })
    }

    /// The suite.
    pub(crate) fn suite(&self) -> &str {
        &self.suite
    }

    /// The suites that the resolver looks at: backports are taken only when a package is
    /// asked for from there.
    pub(crate) fn suites(&self) -> Vec<String> {
        let mut suites = vec![self.suite.clone()];
        if self.suite == DEFAULT_SUITE {
            suites.push(format!("{DEFAULT_SUITE}-backports"));
        }
        suites
    }

    /// Names the request in files: the same packages of the same suite have the same.
    pub(crate) fn key(&self) -> String {
        tree::short_hash(&format!("{} {:?} {:?}", self.suite, self.packages, self.recipe()))
    }

    /// What the resolver is asked for.
    pub(crate) fn selection(&self) -> Selection {
        let (install, absent) = self.recipe();
        let name = match self.packages.as_slice() {
            [] => format!("Debian's minimal system ({})", self.suite),
            packages => format!("{} ({})", packages.join(", "), self.suite),
        };
        Selection { name, install, absent, at_least: None }
    }

    fn recipe(&self) -> (Vec<String>, Vec<Absent>) {
        let asked = |name: &str| self.packages.iter().any(|package| name_of(package) == name);
        let base = BASE.iter().filter(|name| !asked(name));
        let companions = COMPANIONS.iter().filter(|(name, _)| asked(name));
        let companions = companions.flat_map(|(_, more)| more.iter()).filter(|name| !asked(name));
        let added = base.chain(companions).map(|&name| name.to_owned());
        let install = self.packages.iter().cloned().chain(added).collect();
        let absent = ABSENT.iter().filter(|absent| !asked(absent.name)).copied().collect();
        (install, absent)
    }
}

fn name_of(package: &str) -> &str {
    package.split(['=', '/']).next().unwrap_or(package)
}

/// Names and versions as Debian's policy has them (5.6.1, 5.6.12): nothing that apt-get
/// would read as an option, a pattern or, like a hyphen at the end, as "remove".
fn checked(package: &str) -> Result<String> {
    let package = package.trim();
    let wrong = || Error::PackageName(package.to_owned());
    let name = name_of(package);
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    let is_rest = |c: char| c.is_ascii_alphanumeric() || "+-.~:".contains(c);
    let rest = package.get(name.len()..).unwrap_or_default();
    let rest_fits = rest.is_empty() || (rest.len() > 1 && rest.chars().skip(1).all(is_rest));
    if name.len() < 2
        || !name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        || !name.chars().all(is_name)
        || name.ends_with('-')
        || !rest_fits
    {
        return Err(wrong());
    }
    Ok(package.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(packages: &[&str]) -> Userland {
        Userland::new(packages, DEFAULT_SUITE).unwrap()
    }

    #[test]
    fn what_apt_would_read_otherwise_is_refused() {
        for wrong in
            ["", "x", "-o", "--yes", "foo-", "a b", "^dpdk.*", "dp*k", "Dpdk", "foo=", "foo/"]
        {
            assert!(
                matches!(Userland::new(&[wrong], "trixie"), Err(Error::PackageName(_))),
                "{wrong}"
            );
        }
        for right in
            ["dpdk", "g++", "libc6", "iperf3=3.18-2+deb13u2", "linux-perf/trixie-backports"]
        {
            assert!(Userland::new(&[right], "trixie").is_ok(), "{right}");
        }
        for wrong in ["", "Trixie", "trixie main", "-x", "../etc"] {
            assert!(matches!(Userland::new(&["dpdk"], wrong), Err(Error::SuiteName(_))), "{wrong}");
        }
    }

    #[test]
    fn order_does_not_matter_and_the_suite_does() {
        assert_eq!(
            request(&["dpdk", "iperf3"]).key(),
            request(&["iperf3", "dpdk", "iperf3"]).key()
        );
        assert_ne!(request(&["dpdk"]).key(), request(&["iperf3"]).key());
        let testing = Userland::new(&["dpdk"], "testing").unwrap();
        assert_eq!(testing.suites(), ["testing"]);
        assert_ne!(testing.key(), request(&["dpdk"]).key());
        assert_eq!(request(&[]).suites(), ["trixie", "trixie-backports"]);
    }

    #[test]
    fn companions_and_absent_packages_follow_what_is_asked_for() {
        let selection = request(&["dpdk/trixie"]).selection();
        assert!(selection.install.iter().any(|package| package == "dpdk-dev"));
        assert!(selection.install.iter().any(|package| package == "bash"));
        assert_eq!(selection.absent.len(), 1);
        assert!(request(&["libdpdk-dev"]).selection().absent.is_empty());
        let plain = request(&["bash=5.2.37-2+b10"]).selection();
        let bash: Vec<_> =
            plain.install.iter().filter(|package| name_of(package) == "bash").collect();
        assert_eq!(bash, ["bash=5.2.37-2+b10"]);
        assert!(!plain.install.iter().any(|package| package == "dpdk-dev"));
    }
}
