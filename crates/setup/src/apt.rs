// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The machine's apt-get, working for us: with our sources, our state and our
//! idea of what is installed, but with the machine's network settings.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::cache::Cache;
use crate::disk;
use crate::error::{Error, Result, advice_from};
use crate::host::host;
use crate::install::{self, Archive};
use crate::mirror;
use crate::package::Package;
use crate::package_set::{AbsentKind, Selection};
use crate::progress::Progress;

/// Package lists younger than this are good enough for a first set-up.
const LISTS_KEEP: Duration = Duration::from_secs(3600);

/// How often the progress of a download is looked at.
const POLL: Duration = Duration::from_millis(100);

/// How long to wait for an apt-get that works in the same folder, and how often
/// to look.
const LOCK_PATIENCE: Duration = Duration::from_secs(300);
const LOCK_RETRY: Duration = Duration::from_secs(5);

/// The part of the archive that is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// Suites, such as `trixie`.
    pub suites: Vec<String>,
    /// The architecture of packages that are named without one.
    pub native: &'static str,
    /// Other architectures.
    pub foreign: Vec<&'static str>,
    /// Packages that come from a certain suite if it has them, as patterns of
    /// apt_preferences(5).
    pub pinned: Vec<(&'static str, &'static str)>,
}

impl Scope {
    /// What the sets are made of: the emulator and the kernel are backports, all else
    /// is trixie.
    pub fn of_sets() -> Result<Self> {
        let native = host()?.architecture;
        Ok(Self {
            suites: ["trixie", "trixie-backports"].map(str::to_owned).into(),
            native,
            foreign: if native == "arm64" { vec![] } else { vec!["arm64"] },
            pinned: vec![("qemu-*:any", "trixie-backports"), ("linux-*:any", "trixie-backports")],
        })
    }

    /// Packages for the guest, each suite as it is.
    pub fn of_guest(suites: &[String]) -> Self {
        Self { suites: suites.to_vec(), native: "arm64", foreign: vec![], pinned: vec![] }
    }

    fn architectures(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.native).chain(self.foreign.iter().copied())
    }
}

/// apt-get with a configuration below one folder.
pub(crate) struct Apt {
    folder: PathBuf,
    scope: Scope,
    mirror: String,
}

impl Apt {
    /// Nothing outside `folder` is ever written.
    pub fn new(folder: PathBuf, scope: Scope) -> Result<Self> {
        Ok(Self { folder, scope, mirror: mirror::choose()? })
    }
}

impl Archive for Apt {
    /// Writes the configuration that all calls use.
    fn prepare(&self) -> Result<()> {
        for part in ["lists/partial", "archives/partial", "no-archives/partial"] {
            disk::make_folder(&self.path(part))?;
        }
        disk::write_if_changed(&self.path("sources.list"), self.sources(keyring()?).as_bytes())?;
        disk::write_if_changed(&self.path("configuration"), self.configuration().as_bytes())
    }

    fn update(&self, always: bool, progress: &dyn Progress) -> Result<()> {
        let updated = self.path("updated");
        // The lists of another mirror are of no use, nor are those of other suites.
        let source = format!("{} {}", self.mirror, self.scope.suites.join(" "));
        let fresh = fs::read_to_string(&updated).is_ok_and(|found| found == source)
            && age(&updated).is_some_and(|age| age < LISTS_KEEP);
        if fresh && !always {
            return Ok(());
        }
        progress.message(&format!("looking up packages at {}", self.mirror));
        let action = format!("fetching the package lists from {}", self.mirror);
        self.write_status(&[])?;
        let mut command = self.command("apt-get");
        // Without the option, a list that is not reached is only a warning.
        // `testing` is another release every other year.
        command.args(["--error-on=any", "--allow-releaseinfo-change", "-q", "update"]);
        self.run_to_log(command, &action, progress, || ())?;
        disk::write_whole(&updated, source.as_bytes())
    }

    fn plan(&self, set: &Selection) -> Result<Vec<Package>> {
        self.state_absent_packages(set)?;
        let mut command = self.install(set);
        // An empty archive folder makes apt-get list everything.
        command
            .arg("-o")
            .arg(format!("Dir::Cache::archives={}/", self.path("no-archives").display()));
        // With `-qq` it would not say which packages exclude each other.
        command.args(["-q", "--print-uris"]);
        let text = self.output(command, &format!("resolving what `{}` consists of", set.name))?;
        let mut packages = text
            .lines()
            .filter(|line| line.starts_with('\''))
            .map(Package::from_uri_line)
            .collect::<Result<Vec<_>>>()?;
        packages.sort();
        if let Some((name, wanted)) = set.at_least
            && let Some(package) = packages.iter().find(|package| package.name == name)
            && !package.is_at_least(wanted)
        {
            return Err(Error::TooOld {
                mirror: self.mirror.clone(),
                package: name,
                found: package.version.clone(),
                wanted,
            });
        }
        Ok(packages)
    }

    fn installed_size(&self, packages: &[Package]) -> Result<u64> {
        let mut command = self.command("apt-cache");
        command.arg("show");
        command.args(packages.iter().map(|package| {
            let Package { name, architecture, version, .. } = package;
            match architecture.as_str() {
                "all" => format!("{name}={version}"),
                _ => format!("{name}:{architecture}={version}"),
            }
        }));
        let text = self.output(command, "asking for the packages' sizes")?;
        // In kilobytes (deb-control(5)).
        let sizes = text.lines().filter_map(|line| line.strip_prefix("Installed-Size:"));
        Ok(sizes
            .filter_map(|size| size.trim().parse::<u64>().ok())
            .sum::<u64>()
            .saturating_mul(1024))
    }

    /// apt-get goes on where an earlier run stopped, and checks signatures and
    /// hashes.
    fn download(
        &self,
        set: &Selection,
        packages: &[Package],
        progress: &dyn Progress,
    ) -> Result<()> {
        let total = packages.iter().map(|package| package.size).sum();
        if packages.iter().all(|package| install::is_whole(&self.file(package), package)) {
            return Ok(());
        }
        let here = self.downloaded(packages);
        if here > 0 {
            progress.message(&format!("{} MB are there from an earlier run", here >> 20));
        }
        let noun = if packages.len() == 1 { "package" } else { "packages" };
        progress.started(&format!("downloading {} {noun}", packages.len()), total);
        self.state_absent_packages(set)?;
        let action = format!("downloading the packages of `{}` from {}", set.name, self.mirror);
        let mut command = self.install(set);
        command.args(["-q", "--download-only"]);
        self.run_to_log(command, &action, progress, || {
            progress.advanced(self.downloaded(packages));
        })?;
        progress.advanced(total);
        progress.finished();
        Ok(())
    }

    fn file(&self, package: &Package) -> PathBuf {
        self.path("archives").join(&package.file)
    }

    /// apt's index, which is larger than the lists that it is made from, goes too.
    fn forget(&self) -> Result<()> {
        for folder in ["archives", "archives/partial"] {
            for entry in disk::entries(&self.path(folder))? {
                // apt-get's own.
                if entry.file_name() != "lock" && entry.file_name() != "partial" {
                    disk::remove(&entry.path())?;
                }
            }
        }
        for index in ["pkgcache.bin", "srcpkgcache.bin"] {
            disk::remove(&self.path(index))?;
        }
        Ok(())
    }
}

impl Apt {
    /// For packages of the guest, below the cache folder.
    pub fn of_guest(cache: &Cache, name: &str, scope: Scope) -> Result<Self> {
        Self::new(cache.folder().join(format!("apt-guest-{name}")), scope)
    }

    /// Removes what an attempt has left whose suite nobody has: the error says so, and
    /// nothing of it need stay.
    pub fn forget_unknown_suite(&self) {
        if !self.path("updated").exists() {
            // It is tidied up, no more.
            let _ = disk::remove_folder(&self.folder);
        }
    }

    /// The packages whose names match a regular expression.
    pub fn names(&self, pattern: &str) -> Result<Vec<String>> {
        let mut command = self.command("apt-cache");
        command.args(["search", "--names-only", pattern]);
        // `name - description`
        let text = self.output(command, &format!("looking for packages as {pattern}"))?;
        Ok(text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
    }

    /// Bytes of `packages` that are on the disk, whole or in part.
    fn downloaded(&self, packages: &[Package]) -> u64 {
        let archives = self.path("archives");
        packages
            .iter()
            .map(|package| {
                let whole = fs::metadata(archives.join(&package.file));
                let found =
                    whole.or_else(|_| fs::metadata(archives.join("partial").join(&package.file)));
                found.map_or(0, |file| file.len().min(package.size))
            })
            .sum()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// sources.list(5): only what the sets need of the archive.
    fn sources(&self, keyring: &Path) -> String {
        let options = format!(
            "[arch={} target=Packages lang=none pdiffs=no signed-by={}]",
            self.scope.architectures().collect::<Vec<_>>().join(","),
            keyring.display()
        );
        // By `file:`, apt uses packages where they are, and brings none into its folder.
        let mirror = match self.mirror.strip_prefix("file:") {
            Some(path) => format!("copy:{path}"),
            None => self.mirror.clone(),
        };
        let line = |suite: &String| format!("deb {options} {mirror} {suite} main\n");
        self.scope.suites.iter().map(line).collect()
    }

    /// apt.conf(5). Passed by `-c`, it is read after the machine's files and so
    /// overrides them; the machine's hooks, which would work on its own package
    /// state, are taken out. All `Acquire` settings of the machine but the form
    /// in which lists are stored stay as they are.
    fn configuration(&self) -> String {
        let folder = quoted(&format!("{}/", self.folder.display()));
        let file = |name: &str| quoted(&self.path(name).display().to_string());
        let architectures: String =
            self.scope.architectures().map(|name| format!(" {};", quoted(name))).collect();
        format!(
            "#clear APT::Update;\n\
             #clear APT::Architectures;\n\
             #clear DPkg;\n\
             Dir::State {folder};\n\
             Dir::State::status {status};\n\
             Dir::State::lists \"lists/\";\n\
             Dir::State::extended_states {states};\n\
             Dir::Cache {folder};\n\
             Dir::Cache::archives \"archives/\";\n\
             Dir::Cache::pkgcache \"pkgcache.bin\";\n\
             Dir::Cache::srcpkgcache \"srcpkgcache.bin\";\n\
             Dir::Etc::sourcelist {sources};\n\
             Dir::Etc::sourceparts \"/dev/null\";\n\
             Dir::Etc::preferences {preferences};\n\
             Dir::Etc::preferencesparts \"/dev/null\";\n\
             Dir::Log {folder};\n\
             APT::Architecture \"{architecture}\";\n\
             APT::Architectures {{{architectures} }};\n\
             APT::Default-Release \"\";\n\
             APT::Install-Recommends \"false\";\n\
             APT::Install-Suggests \"false\";\n\
             APT::Sandbox::User \"\";\n\
             APT::Get::Assume-Yes \"true\";\n\
             APT::Keep-Downloaded-Packages \"true\";\n\
             Acquire::GzipIndexes \"true\";\n",
            status = file("status"),
            states = file("extended_states"),
            sources = file("sources.list"),
            preferences = file("preferences"),
            architecture = self.scope.native,
        )
    }

    /// Tells the resolver which packages to take for installed, and in which
    /// suite to look for which package.
    fn state_absent_packages(&self, set: &Selection) -> Result<()> {
        let mut status = Vec::new();
        let mut exact = Vec::new();
        for absent in &set.absent {
            match absent.kind {
                AbsentKind::Everywhere => status.push(Stanza {
                    name: absent.name,
                    architecture: "all",
                    multi_arch: "foreign",
                    version: "9999".to_owned(),
                }),
                // On an arm64 host it is the host's own and needed.
                AbsentKind::ExactArm64 if self.scope.native != "arm64" => {
                    exact.push(absent.name);
                }
                AbsentKind::ExactArm64 => {}
            }
        }
        self.write_preferences(&[])?;
        if !exact.is_empty() {
            self.write_status(&[])?;
            for name in &exact {
                if let Some(version) = self.candidate(&format!("{name}:arm64"))? {
                    status.push(Stanza {
                        name,
                        architecture: "arm64",
                        multi_arch: "same",
                        version,
                    });
                }
            }
            self.write_preferences(&exact)?;
        }
        self.write_status(&status)
    }

    /// apt_preferences(5). A package that stands for installed must not be replaced by
    /// the archive's of the same version.
    fn write_preferences(&self, never_arm64: &[&str]) -> Result<()> {
        let pinned = self.scope.pinned.iter().map(|(packages, suite)| {
            format!("Package: {packages}\nPin: release n={suite}\nPin-Priority: 600\n\n")
        });
        let never = never_arm64
            .iter()
            .map(|name| format!("Package: {name}:arm64\nPin: release *\nPin-Priority: -1\n\n"));
        let text: String = pinned.chain(never).collect();
        disk::write_if_changed(&self.path("preferences"), text.as_bytes())
    }

    fn write_status(&self, stanzas: &[Stanza]) -> Result<()> {
        let text: String = stanzas.iter().map(Stanza::text).collect();
        disk::write_if_changed(&self.path("status"), text.as_bytes())
    }

    /// The version of a package that would be installed.
    fn candidate(&self, package: &str) -> Result<Option<String>> {
        let mut command = self.command("apt-cache");
        command.args(["policy", package]);
        let text = self.output(command, &format!("asking for the version of {package}"))?;
        Ok(candidate_in(&text))
    }

    fn install(&self, set: &Selection) -> Command {
        let mut command = self.command("apt-get");
        command.args(["install", "--no-remove"]).args(&set.install);
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.path("configuration"));
        command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        command
    }

    /// Runs a short call and gives what it says on stdout.
    fn output(&self, mut command: Command, action: &str) -> Result<String> {
        let output = command.output().map_err(no_apt)?;
        if !output.status.success() {
            let said = [output.stderr, output.stdout].concat();
            return Err(failure(action, output.status, &String::from_utf8_lossy(&said)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a long call, calling `meanwhile` from time to time. If our own
    /// process was killed, its apt-get may still be at work: that one is waited
    /// for.
    fn run_to_log(
        &self,
        mut command: Command,
        action: &str,
        progress: &dyn Progress,
        meanwhile: impl Fn(),
    ) -> Result<()> {
        let start = Instant::now();
        loop {
            let (status, said) = self.run_once(&mut command, &meanwhile)?;
            if status.success() {
                return Ok(());
            }
            if !said.contains("Could not get lock") || start.elapsed() > LOCK_PATIENCE {
                return Err(failure(action, status, &said));
            }
            progress.message("waiting for the apt-get of an earlier run");
            std::thread::sleep(LOCK_RETRY);
        }
    }

    /// Gives how apt-get ended, and what it said.
    fn run_once(
        &self,
        command: &mut Command,
        meanwhile: &impl Fn(),
    ) -> Result<(ExitStatus, String)> {
        let path = self.path("log");
        let log = File::create(&path).map_err(Error::file("cannot write", &path))?;
        let copy = log.try_clone().map_err(Error::file("cannot write", &path))?;
        let mut child = command.stdout(log).stderr(copy).spawn().map_err(no_apt)?;
        let status = loop {
            match child.try_wait().map_err(Error::file("cannot wait for apt-get, log at", &path))? {
                Some(status) => break status,
                None => std::thread::sleep(POLL),
            }
            meanwhile();
        };
        let said = fs::read(&path).map_err(Error::file("cannot read", &path))?;
        Ok((status, String::from_utf8_lossy(&said).into_owned()))
    }
}

/// A package that the resolver takes for installed.
struct Stanza<'a> {
    name: &'a str,
    architecture: &'a str,
    multi_arch: &'a str,
    version: String,
}

impl Stanza<'_> {
    /// As dpkg's status file has it.
    fn text(&self) -> String {
        format!(
            "Package: {}\nStatus: install ok installed\nArchitecture: {}\nMulti-Arch: {}\n\
             Version: {}\nMaintainer: nobody <nobody@localhost>\nDescription: not needed here\n\n",
            self.name, self.architecture, self.multi_arch, self.version
        )
    }
}

/// Where Debian keeps the keys of its archive; the name changed with trixie.
fn keyring() -> Result<&'static Path> {
    let known = [
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "/usr/share/keyrings/debian-archive-keyring.pgp",
    ];
    known.map(Path::new).into_iter().find(|path| path.exists()).ok_or(Error::NoKeyring)
}

/// A string of apt.conf(5), which knows no escape for the quote.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', ""))
}

fn candidate_in(policy: &str) -> Option<String> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?.trim();
    (version != "(none)").then(|| version.to_owned())
}

fn age(path: &Path) -> Option<Duration> {
    SystemTime::now().duration_since(fs::metadata(path).ok()?.modified().ok()?).ok()
}

fn no_apt(reason: std::io::Error) -> Error {
    Error::NoProgram { program: "apt-get", package: "apt", reason }
}

/// Of all that apt-get says, the lines that tell what is wrong.
fn failure(action: &str, status: ExitStatus, said: &str) -> Error {
    let mut lines: Vec<&str> = Vec::new();
    for (previous, line) in [""].into_iter().chain(said.lines()).zip(said.lines()) {
        let telling = line.starts_with("E:")
            || line.starts_with("W:")
            || line.starts_with("Err:")
            || (previous.starts_with("Err:") && line.starts_with(' '))
            || ["Depends:", "Conflicts:", "Breaks:"].iter().any(|word| line.contains(word));
        if telling && lines.len() < 12 && !lines.contains(&line) {
            lines.push(line);
        }
    }
    if lines.is_empty() {
        lines = said.lines().rev().take(5).collect();
        lines.reverse();
    }
    Error::Apt {
        action: action.to_owned(),
        status,
        output: lines.join("\n"),
        advice: advice_from(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn reads_the_candidate() {
        let policy = "libstd-rust-1.85:arm64:\n  Installed: (none)\n  Candidate: 1.85.1+dfsg1-1\n  Version table:\n";
        assert_eq!(candidate_in(policy).as_deref(), Some("1.85.1+dfsg1-1"));
        assert_eq!(candidate_in("x:\n  Candidate: (none)\n"), None);
        assert_eq!(candidate_in(""), None);
    }

    #[test]
    fn a_failure_keeps_the_telling_lines() {
        let said = "Hit:1 http://m trixie InRelease\nErr:2 http://m trixie-backports InRelease\n  \
                    Could not connect to m:80\nReading package lists...\nE: Failed to fetch\n";
        let error = failure("fetching", ExitStatus::from_raw(100 << 8), said).to_string();
        assert!(error.contains("Could not connect to m:80"), "{error}");
        assert!(error.contains("E: Failed to fetch"), "{error}");
        assert!(!error.contains("Reading package lists"), "{error}");
        assert!(error.contains("FSLMC_MIRROR"), "{error}");
    }

    #[test]
    fn what_earlier_plans_have_downloaded_goes_too() {
        let folder = tempfile::tempdir().unwrap();
        let scope = Scope::of_guest(&["trixie".to_owned()]);
        let apt = Apt { folder: folder.path().to_owned(), scope, mirror: "http://m".to_owned() };
        let partial = apt.path("archives/partial");
        disk::make_folder(&partial).unwrap();
        let gone = ["archives/a_1_all.deb", "archives/partial/b_1_all.deb", "pkgcache.bin"];
        let stays = ["archives/lock", "archives/partial", "updated"];
        for file in gone.iter().chain(&["archives/lock", "updated"]) {
            fs::write(apt.path(file), "").unwrap();
        }
        apt.forget().unwrap();
        for file in gone {
            assert!(!apt.path(file).exists(), "{file}");
        }
        for file in stays {
            assert!(apt.path(file).exists(), "{file}");
        }
    }

    #[test]
    fn packages_of_a_folder_are_copied() {
        let sources = |mirror: &str| {
            let scope = Scope::of_guest(&["trixie".to_owned()]);
            let apt = Apt { folder: "/c/apt".into(), scope, mirror: mirror.to_owned() };
            apt.sources(Path::new("/k.gpg"))
        };
        assert!(sources("file:///srv/debian").contains("] copy:///srv/debian trixie main"));
        assert!(sources("http://m/debian").contains("] http://m/debian trixie main"));
    }

    /// The answer of apt 2.6 to packages that exclude each other.
    #[test]
    fn packages_that_exclude_each_other_are_named() {
        let said = "The following packages have unmet dependencies:\n \
                    systemd-sysv : Conflicts: sysvinit-core but 3.14-4 is to be installed\n\
                    E: Unable to correct problems, you have held broken packages.\n";
        let error = failure("x", ExitStatus::from_raw(100 << 8), said).to_string();
        assert!(error.contains("systemd-sysv : Conflicts: sysvinit-core"), "{error}");
        assert!(error.contains("cannot be installed together"), "{error}");
    }

    #[test]
    fn a_silent_failure_keeps_the_last_lines() {
        let error = failure("x", ExitStatus::from_raw(100 << 8), "one\ntwo\n").to_string();
        assert!(error.contains("one\ntwo"), "{error}");
    }
}
