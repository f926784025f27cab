// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What can go wrong, said so that a person knows what to do next.

use std::path::{Path, PathBuf};

/// The result of whatever this crate does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the set-up failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program that the set-up itself needs is not on this machine.
    #[error(
        "the set-up needs `{program}`, which this machine does not have: {reason}. \
         On Debian and its derivatives, `apt-get install {package}` installs it"
    )]
    NoProgram {
        /// The program that was looked for.
        program: &'static str,
        /// The Debian package that holds it.
        package: &'static str,
        /// Why it could not be started.
        reason: std::io::Error,
    },
    /// The keys that Debian signs its releases with are not here.
    #[error(
        "the keys of the Debian archive are not at /usr/share/keyrings/debian-archive-keyring.(gpg|pgp): \
         without them no package can be trusted. Install the package debian-archive-keyring"
    )]
    NoKeyring,
    /// The mirror that was asked for cannot be one.
    #[error(
        "FSLMC_MIRROR is `{0}`, but it must be the URI of a Debian mirror, as http://deb.debian.org/debian"
    )]
    NoMirror(String),
    /// There is no place for the cache.
    #[error(
        "no folder for the cache: FSLMC_CACHE is not set, and neither XDG_CACHE_HOME nor HOME is set to an absolute path; \
         set FSLMC_CACHE to a folder that may grow by 4 GB"
    )]
    NoCacheFolder,
    /// The path of the cache folder would be misread.
    #[error(
        "{} cannot be the cache folder: its path must be absolute, UTF-8 and without any of : ; ' \" $ % \\ \
         (set FSLMC_CACHE to another one)", .0.display()
    )]
    UnusableFolder(PathBuf),
    /// The machine's architecture is none that the sets are made for.
    #[error("hosts of architecture {0} are not supported: only amd64 and arm64 are")]
    UnknownHost(String),
    /// A file operation failed.
    #[error("{action} {}: {reason}{}", path.display(), hint_for(action, reason))]
    File {
        /// What was attempted, as the start of a sentence.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What came back.
        reason: std::io::Error,
    },
    /// The disk does not have enough free space.
    #[error(
        "{} has {available} MB free, but the set-up of `{set}` takes {needed} MB while it works: \
         free some space, or set FSLMC_CACHE to a folder on another disk", folder.display()
    )]
    NoSpace {
        /// What is being set up.
        set: String,
        /// The cache folder.
        folder: PathBuf,
        /// Megabytes that the download and the unpacked files take together.
        needed: u64,
        /// Megabytes that are free.
        available: u64,
    },
    /// apt-get did not do what was asked.
    #[error("{action} failed ({status}).\n{output}{}", on_new_line(.advice))]
    Apt {
        /// What was attempted.
        action: String,
        /// How apt-get ended.
        status: std::process::ExitStatus,
        /// The lines in which it says why.
        output: String,
        /// What to do about it, where that is known.
        advice: Option<&'static str>,
    },
    /// apt's answer is not in the form that its manual describes.
    #[error("apt-get's list of downloads has a malformed line: `{0}`")]
    AptOutput(String),
    /// What the mirror offers is older than what is needed.
    #[error(
        "{mirror} offers {package} {found}, but {wanted} or later is needed: \
         choose a mirror that carries trixie-backports (FSLMC_MIRROR=http://deb.debian.org/debian)"
    )]
    TooOld {
        /// Where the packages come from.
        mirror: String,
        /// The package in question.
        package: &'static str,
        /// The version that would be installed.
        found: String,
        /// The least that will do.
        wanted: &'static str,
    },
    /// This cannot be a package.
    #[error("`{0}` is not a package name: use NAME, NAME=VERSION or NAME/SUITE, as in Debian")]
    PackageName(String),
    /// This cannot be a suite.
    #[error("`{0}` is not a suite name: use one of Debian's, such as trixie or testing")]
    SuiteName(String),
    /// This cannot be a version of a kernel.
    #[error(
        "`{0}` is neither a version of Debian's kernel, such as 6.12, nor a suite, such as testing"
    )]
    KernelVersion(String),
    /// The archive has no such kernel.
    #[error("Debian's archive has no kernel {wanted} for arm64; it has {known}")]
    NoSuchKernel {
        /// The start of the version.
        wanted: String,
        /// The versions that are there.
        known: String,
    },
    /// An image of a file system was not made.
    #[error("making the image {} failed ({status}): {output}", image.display())]
    Image {
        /// The image.
        image: PathBuf,
        /// How mkfs.erofs ended.
        status: std::process::ExitStatus,
        /// What it said.
        output: String,
    },
    /// The modules of a kernel were not indexed.
    #[error("indexing the modules of Linux {release} (depmod) failed ({status}): {output}")]
    Indexes {
        /// The kernel.
        release: String,
        /// How depmod ended.
        status: std::process::ExitStatus,
        /// What it said.
        output: String,
    },
    /// A package does not unpack.
    #[error(
        "{} cannot be unpacked (dpkg-deb: {status}): {output}{}", package.display(),
         on_new_line(&advice.or(Some("If it is damaged, the next run fetches it again.")))
    )]
    Unpack {
        /// The package file.
        package: PathBuf,
        /// How dpkg-deb ended.
        status: std::process::ExitStatus,
        /// What it said.
        output: String,
        /// What to do about it, where that is known.
        advice: Option<&'static str>,
    },
    /// A freshly unpacked program does not run here.
    #[error("{program} was unpacked but does not run on this machine ({status}): {output}")]
    DoesNotRun {
        /// The program.
        program: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said.
        output: String,
    },
    /// A tree is not what was unpacked.
    #[error(
        "{} of {checked} files below {} differ from what was unpacked, the first of them {}: \
         run `fslmc setup` again, which unpacks them anew", differing.len(), tree.display(),
         differing.first().map(|path| path.display().to_string()).unwrap_or_default()
    )]
    Damaged {
        /// The folder of the unpacked packages.
        tree: PathBuf,
        /// How many files were looked at.
        checked: usize,
        /// Those that are missing or have other contents, relative to `tree`.
        differing: Vec<PathBuf>,
    },
    /// Something is to be replaced that a process uses.
    #[error(
        "{} is to be replaced, but {} it: end {} (a board that runs, as a rule), and run \
         `fslmc setup` again", what.display(), used_by(users),
         if users.len() == 1 { "that process" } else { "those processes" }
    )]
    InUse {
        /// The file or folder.
        what: PathBuf,
        /// The processes, as far as they are known.
        users: Vec<u32>,
    },
    /// A set was not asked for when the packages were opened.
    #[error("`{0}` is not among the sets that were opened: ask for it in Cache::ensure")]
    NotOpened(&'static str),
    /// No open set has this program.
    #[error("no set that was opened has a program `{0}`")]
    NoSuchProgram(String),
    /// A file that a set should hold is not in it.
    #[error("{what} is not in {}, where the Debian package should have it", tree.display())]
    NotInTree {
        /// What was looked for.
        what: String,
        /// The folder of the unpacked packages.
        tree: PathBuf,
    },
    /// A file has contents that are not understood.
    #[error("{}: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The kernel has no such module.
    #[error(
        "kernel {release} has neither a module nor a built-in driver `{name}`{}",
        wanted_by.as_deref().map(|by| format!(" (needed by {by})")).unwrap_or_default()
    )]
    NoSuchModule {
        /// The kernel's release.
        release: String,
        /// The name that was asked for.
        name: String,
        /// The module that depends on it, if it was not asked for directly.
        wanted_by: Option<String>,
    },
    /// This machine gives no sandbox.
    #[error(
        "building for the kernel needs a sandbox (bubblewrap), which cannot be started on this machine: {refusal}\n\
         Either run as root (in a container: with CAP_SYS_ADMIN), or let users make namespaces: \
         `sysctl -w user.max_user_namespaces=10000`, and, where the kernel has them, \
         `kernel.unprivileged_userns_clone=1` and `kernel.apparmor_restrict_unprivileged_userns=0`"
    )]
    NoSandbox {
        /// What came of trying.
        refusal: String,
    },
    /// The archive has headers of one kernel and sources of another.
    #[error(
        "the archive offers the kernel's headers in version {headers}, but its sources in version \
         {source_version}. Of the newest kernel: the mirror is being updated; try again in some hours, or \
         with another one (FSLMC_MIRROR=http://deb.debian.org/debian). Of an older kernel: the archive has \
         the sources of the last version only"
    )]
    SourceVersion {
        /// Version of the headers package.
        headers: String,
        /// Version of the source package.
        source_version: String,
    },
    /// With the tools of the set, the kernel would be another one than Debian's.
    #[error(
        "the sources of Linux {release} cannot be configured as Debian has it: where Debian has `{wanted}`, \
         here it is `{found}`. The compilers in the archive are not those that Debian built this kernel \
         with; a newer kernel may be there already (`fslmc setup --refresh`)"
    )]
    Configuration {
        /// The kernel.
        release: String,
        /// The first line of Debian's configuration that differs.
        wanted: String,
        /// The line that is in its place.
        found: String,
    },
    /// The kernel's own crates do not build.
    #[error("{what} (Linux {release}) failed ({status}).\n{output}{}", on_new_line(.advice))]
    KernelBuild {
        /// What was attempted.
        what: &'static str,
        /// The kernel.
        release: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The end of what was said.
        output: String,
        /// What to do about it, where that is known.
        advice: Option<&'static str>,
    },
    /// A kernel takes no modules in Rust.
    #[error(
        "Linux {release} is built without CONFIG_RUST, and takes no driver in Rust: 7.2 is the \
         oldest of Debian's that does"
    )]
    NoRust {
        /// The kernel.
        release: String,
    },
    /// The archive has not what a kernel was built from.
    #[error(
        "Debian's archive has no package {missing}, from which the driver would be built for Linux \
         {release}: it is looked for in trixie and trixie-backports (versions with +deb13), which keep those \
         of their newest kernels only"
    )]
    NoBuildTree {
        /// The kernel.
        release: String,
        /// The package.
        missing: String,
    },
    /// The configuration of a kernel asks for what this kernel does not have.
    #[error(
        "the kernel cannot be configured as {} asks: it has lost {lost}. Newer kernels may \
         have renamed these options, or made them depend on others", fragment.display()
    )]
    LostOptions {
        /// The file that asks.
        fragment: PathBuf,
        /// The lines that are not in the kernel's `.config`.
        lost: String,
    },
    /// Kernel and headers are of different versions.
    #[error(
        "the board boots Linux {kernel}, but the kernel headers are for Linux {headers}, \
         and the archive does not have both in one version: the mirror is being updated. Try again in \
         some hours (`fslmc setup --refresh`)"
    )]
    OtherKernel {
        /// The kernel that is booted.
        kernel: String,
        /// The kernel that the headers are of.
        headers: String,
    },
    /// There is no driver to build.
    #[error("the sources of the driver are not at {}: it is built from a checkout of this project", .0.display())]
    NoDriverSource(PathBuf),
    /// The driver does not build, or not without warnings.
    #[error("{what} failed ({status}).\n{output}")]
    DriverBuild {
        /// What was attempted.
        what: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What the compilers say.
        output: String,
    },
    /// The kernel would refuse the module.
    #[error("the kernel would refuse to load {}: {what}", module.display())]
    DoesNotFit {
        /// The module.
        module: PathBuf,
        /// Why not.
        what: String,
    },
    /// The guest's programs do not build.
    #[error("the guest's programs ({crates}) do not build: cargo ended with {status}")]
    GuestBuild {
        /// The crates.
        crates: String,
        /// How cargo ended. It has printed the reasons on stderr.
        status: std::process::ExitStatus,
    },
}

impl Error {
    /// Makes the error of a file operation, for `map_err`.
    pub(crate) fn file(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_owned();
        move |reason| Error::File { action, path, reason }
    }
}

/// The action of an error about a program that does not start.
pub(crate) const START: &str = "cannot start";

/// What can be done about an I/O error of the cache.
fn hint_for(action: &str, reason: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match reason.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            ". Free some space, or set FSLMC_CACHE to a folder on another disk; what is there is kept"
        }
        // The programs of packages may be started by all, unless the mount forbids it.
        ErrorKind::PermissionDenied if action == START => {
            ". Set FSLMC_CACHE to a folder from which programs may be started: where this one is, \
             the mount option noexec may forbid it"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            ". Set FSLMC_CACHE to a folder that you may write to"
        }
        _ => "",
    }
}

fn used_by(processes: &[u32]) -> String {
    let list = || processes.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    match processes {
        [] => "other processes use".to_owned(),
        [one] => format!("process {one} uses"),
        _ => format!("processes {} use", list()),
    }
}

fn on_new_line(advice: &Option<&'static str>) -> String {
    advice.map(|text| format!("\n{text}")).unwrap_or_default()
}

/// What to do, from what apt-get or dpkg-deb said.
pub(crate) fn advice_from(output: &str) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 15] = [
        (
            "No space left on device",
            "The disk is full: free some space, or set FSLMC_CACHE to a folder on another disk. The next run resumes from here.",
        ),
        (
            "NO_PUBKEY",
            "The Debian keys of this machine are too old: update the package debian-archive-keyring.",
        ),
        (
            "Temporary failure resolving",
            "The mirror's name cannot be resolved: is there a network? apt's own proxy settings are used; FSLMC_MIRROR chooses another mirror.",
        ),
        (
            "Could not resolve",
            "The mirror's name cannot be resolved: is there a network? apt's own proxy settings are used; FSLMC_MIRROR chooses another mirror.",
        ),
        (
            "Could not connect",
            "The mirror cannot be reached: is there a network? apt's own proxy settings are used; FSLMC_MIRROR chooses another mirror.",
        ),
        (
            "Connection failed",
            "The mirror cannot be reached: is there a network? apt's own proxy settings are used; FSLMC_MIRROR chooses another mirror.",
        ),
        (
            "does not have a Release file",
            "This mirror does not carry trixie or trixie-backports: FSLMC_MIRROR=http://deb.debian.org/debian names one that does.",
        ),
        (
            "Could not get lock",
            "Another apt-get is using the same cache: wait until it has finished.",
        ),
        (
            "gpgv, gpgv2 or gpgv1 required",
            "Signatures cannot be checked: install the package gpgv.",
        ),
        (
            "is not signed",
            "The server is not a Debian mirror: FSLMC_MIRROR=http://deb.debian.org/debian names one.",
        ),
        (
            "Unable to locate package",
            "Is the name right? packages.debian.org has those of each suite; --suite chooses another one.",
        ),
        (
            "was not found",
            "This suite does not have the package in that version: packages.debian.org lists the versions; --suite chooses another suite.",
        ),
        (
            "unmet dependencies",
            "These packages cannot be installed together: ask for fewer, or for all of them from one suite.",
        ),
        ("Permission denied", "Set FSLMC_CACHE to a folder that you may write to."),
        ("not valid yet", "The clock of this machine is wrong: set it first."),
    ];
    KNOWN.iter().find(|(sign, _)| output.contains(sign)).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_the_disk_before_the_network() {
        let output =
            "Err:1 http://m trixie InRelease\n  No space left on device\nCould not connect";
        assert!(advice_from(output).is_some_and(|advice| advice.starts_with("The disk is full")));
        assert_eq!(advice_from("E: something new"), None);
    }

    #[test]
    fn a_cache_without_programs_says_what_folder_to_take() {
        let denied = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let text = Error::file(START, "/cache/ld.so")(denied()).to_string();
        assert!(text.contains("noexec") && !text.contains("write"), "{text}");
        let text = Error::file("cannot write", "/cache/x")(denied()).to_string();
        assert!(text.contains("that you may write to"), "{text}");
    }

    #[test]
    fn a_full_disk_says_where_and_what_to_do() {
        let error = Error::file("cannot write", "/cache/board.json")(std::io::Error::from(
            std::io::ErrorKind::StorageFull,
        ));
        let text = error.to_string();
        assert!(text.contains("/cache/board.json") && text.contains("FSLMC_CACHE"), "{text}");
    }
}
