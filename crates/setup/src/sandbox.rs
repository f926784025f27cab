// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A sandbox: processes that see a tree as `/`.
//!
//! kbuild starts its tools by absolute paths (`/bin/sh`, `/usr/bin/perl`), and a
//! C compiler finds its own programs the same way: neither can be pointed into a tree
//! by its command line as single programs are ([`Packages::command`]). bubblewrap runs
//! them with the tree as `/`. It needs no root where the kernel gives user namespaces to
//! everybody, and no user namespace where it is started by root. Mounts and
//! processes of a sandbox end with it, and the sandbox ends with the process that
//! opened it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use crate::disk;
use crate::error::{Error, Result, START};
use crate::packages::Packages;

/// Folders that a tree must have to be a sandbox: others are mounted there.
pub(crate) const MOUNT_POINTS: [&str; 5] = ["dev", "proc", "tmp", "build", "source"];

/// The devices that builds use.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// Lines of output that are kept: more than a compiler prints for all that it
/// finds in one module.
const MOST_LINES: usize = 4000;

/// A tree as `/` of other processes.
#[derive(Debug)]
pub(crate) struct Sandbox {
    /// What starts bubblewrap.
    launcher: Vec<OsString>,
    root: PathBuf,
    writable: bool,
    /// What is seen at which path of the sandbox, and whether it may be written.
    mounts: Vec<(PathBuf, &'static str, bool)>,
    variables: Vec<(&'static str, OsString)>,
}

/// How a command in a sandbox ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// What it wrote to standard output and standard error, as it came; of very
    /// much, the end.
    pub output: String,
}

impl Sandbox {
    /// Opens the tree `root`, which is one of `packages`. Nothing of it can be
    /// written.
    ///
    /// # Errors
    /// [`Error::NoSandbox`] if this machine gives none, that is, if neither
    /// the tree's bubblewrap nor the machine's own can do its work.
    pub fn open(packages: &Packages, root: &Path) -> Result<Self> {
        for point in MOUNT_POINTS {
            if !root.join(point).is_dir() {
                return Err(Error::NotInTree { what: point.into(), tree: root.to_owned() });
            }
        }
        let mut refusal = String::new();
        for launcher in [packages.command_line("bwrap")?, vec!["bwrap".into()]] {
            let sandbox = Self {
                launcher,
                root: root.to_owned(),
                writable: false,
                mounts: Vec::new(),
                variables: Vec::new(),
            };
            match sandbox.command(&["true"]).output() {
                Ok(output) if output.status.success() => return Ok(sandbox),
                // What the tree's own says counts; the other may not be there.
                Ok(output) if refusal.is_empty() => {
                    refusal = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                }
                Err(error) if refusal.is_empty() => refusal = error.to_string(),
                _ => {}
            }
        }
        Err(Error::NoSandbox { refusal })
    }

    /// Lets the tree itself be written.
    pub fn writable(mut self) -> Self {
        self.writable = true;
        self
    }

    /// Shows the machine's folder `from` at `to`: one of [`MOUNT_POINTS`] with a slash
    /// before it, or a folder below `/tmp`, which holds nothing else.
    pub fn with(mut self, from: &Path, to: &'static str, writable: bool) -> Self {
        self.mounts.push((from.to_owned(), to, writable));
        self
    }

    /// Sets a variable. Of the machine's environment, nothing is seen.
    pub fn variable(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Runs a command to its end. `each_line` hears each line of its output.
    ///
    /// # Errors
    /// Only if the sandbox does not start; how the command ended is in the result.
    pub fn run<W: AsRef<OsStr>>(
        &self,
        words: &[W],
        mut each_line: impl FnMut(&str),
    ) -> Result<Ended> {
        let mut command = self.command(words);
        let failed = || Error::file(START, Path::new(&self.launcher[0]));
        let (reader, writer) = std::io::pipe().map_err(|error| failed()(error))?;
        let copy = writer.try_clone().map_err(|error| failed()(error))?;
        let mut child = command.stdout(writer).stderr(copy).spawn().map_err(|e| failed()(e))?;
        // It holds the other end of the pipe, which must close for the loop to end.
        drop(command);
        let mut lines = VecDeque::new();
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            each_line(&text);
            if lines.len() == MOST_LINES {
                lines.pop_front();
            }
            lines.push_back(text);
        }
        let status = child.wait().map_err(|error| failed()(error))?;
        Ok(Ended { status, output: Vec::from(lines).join("\n") })
    }

    fn command<W: AsRef<OsStr>>(&self, words: &[W]) -> Command {
        let mut command = Command::new(&self.launcher[0]);
        command.args(&self.launcher[1..]).args(["--die-with-parent", "--unshare-pid"]);
        let bind = |command: &mut Command, from: &Path, to: &str, writable: bool| {
            command.arg(if writable { "--bind" } else { "--ro-bind" }).arg(from).arg(to);
        };
        bind(&mut command, &self.root, "/", self.writable);
        // The machine's own: a new one may not be mounted within containers.
        command.args(["--dev-bind", "/proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/dev"]);
        for device in DEVICES.map(|name| format!("/dev/{name}")) {
            command.args(["--dev-bind", &device, &device]);
        }
        command.args(["--symlink", "/proc/self/fd", "/dev/fd"]);
        for (from, to, writable) in &self.mounts {
            bind(&mut command, from, to, *writable);
        }
        command.args(["--chdir", "/", "--"]).args(words);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/usr/sbin")
            .env("HOME", "/tmp")
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }
}

/// Makes a tree one that can be a sandbox: the folders that mounts need, and the
/// names that Debian's packages get when they are installed, not when they are
/// unpacked.
pub(crate) fn prepare(root: &Path) -> Result<()> {
    const NAMES: [(&str, &str); 2] = [("usr/bin/sh", "dash"), ("usr/bin/awk", "mawk")];
    for point in MOUNT_POINTS {
        disk::make_folder(&root.join(point))?;
    }
    for (name, target) in NAMES {
        let path = root.join(name);
        if path.symlink_metadata().is_err() {
            std::os::unix::fs::symlink(target, &path).map_err(Error::file("cannot link", &path))?;
        }
    }
    Ok(())
}

/// As many jobs as there are processors.
pub(crate) fn jobs() -> String {
    format!("-j{}", thread::available_parallelism().map_or(1, usize::from))
}

/// What programs say, without kbuild's own account of what it does: lines such as
/// `  CC [M]  helpers.o`, and those about folders.
pub(crate) fn without_chatter(output: &str) -> String {
    let is_chatter = |line: &&str| {
        let word = line.strip_prefix("  ").and_then(|rest| rest.split(' ').next());
        let is_step = |word: &str| {
            word.len() > 1 && word.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        };
        word.is_some_and(is_step) || (line.starts_with("make") && line.contains(" directory '"))
    };
    output.lines().filter(|line| !is_chatter(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compilers_say_is_kept() {
        let output = "make: Entering directory '/usr/src/x'\n  CC [M]  helpers.o\n  HOSTCC  a\n  \
                      CC32    b\nerror[E0425]: no `x`\n  --> /source/driver/main.rs:3:5\n   |\n3  |  \
                      A + x\nmake[1]: *** [main.o] Error 1\nmake: Leaving directory '/usr/src/x'\n";
        let kept = without_chatter(output);
        assert!(kept.starts_with("error[E0425]: no `x`\n  --> /source/"), "{kept}");
        assert!(kept.ends_with("*** [main.o] Error 1"), "{kept}");
        assert!(!kept.contains("CC"), "{kept}");
    }

    #[test]
    fn a_prepared_tree_has_what_packages_link_when_they_are_installed() {
        let root = tempfile::tempdir().unwrap();
        disk::make_folder(&root.path().join("usr/bin")).unwrap();
        std::os::unix::fs::symlink("bash", root.path().join("usr/bin/sh")).unwrap();
        prepare(root.path()).unwrap();
        prepare(root.path()).unwrap();
        let link = |name: &str| std::fs::read_link(root.path().join(name)).unwrap();
        assert_eq!(link("usr/bin/sh"), Path::new("bash"), "what is there stays");
        assert_eq!(link("usr/bin/awk"), Path::new("mawk"));
        assert!(MOUNT_POINTS.iter().all(|point| root.path().join(point).is_dir()));
    }
}
