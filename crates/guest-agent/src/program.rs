// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Starting the command of a run: on pipes, or on a pseudo terminal.

use fsl_mc_linux::errno::describe;
use guest_protocol::{Run, Terminal};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where commands are looked for.
const SEARCH_PATH: &str = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin";

/// A command that was started.
#[derive(Debug)]
pub struct Program {
    /// Process id, and that of its process group.
    pub pid: Pid,
    /// Becomes readable when the process has ended.
    pub pidfd: OwnedFd,
    /// Non-blocking write end towards its standard input.
    pub stdin: OwnedFd,
    /// Non-blocking read end of its standard output, or of the terminal.
    pub stdout: OwnedFd,
    /// Non-blocking read end of its standard error; none with a terminal.
    pub stderr: Option<OwnedFd>,
    /// The master of its terminal.
    pub terminal: Option<OwnedFd>,
}

/// Why a command did not start.
#[derive(Debug)]
pub struct NotStarted {
    /// What a shell would return.
    pub code: i32,
    /// Why, in words.
    pub reason: String,
}

/// Starts the command.
///
/// # Errors
/// [`NotStarted`] with the reason that the user can act on.
pub fn start(run: &Run) -> Result<Program, NotStarted> {
    let interactive = run.argv.is_empty();
    let (name, arguments) = match run.argv.split_first() {
        Some((name, arguments)) => (name.as_str(), arguments),
        None => (shell(), &[] as &[String]),
    };
    let mut command = Command::new(name);
    command.args(arguments).env_clear().env("PATH", SEARCH_PATH).env("HOME", "/root");
    command.env("USER", "root").env("LOGNAME", "root");
    command.env("TERM", run.terminal.as_ref().map_or("dumb", |terminal| &terminal.name));
    if interactive {
        command.env("PS1", "board:\\w# ");
    }
    command.envs(run.env.iter().map(|(key, value)| (key, value)));
    let cwd = run.cwd.as_deref().unwrap_or("/");
    if !Path::new(cwd).is_dir() {
        return Err(NotStarted {
            code: 126,
            reason: format!("the working directory {cwd} is not there in the guest"),
        });
    }
    command.current_dir(cwd);
    let started = match &run.terminal {
        Some(terminal) => on_terminal(&mut command, terminal),
        None => on_pipes(&mut command),
    };
    // `command` goes away here, and with it the agent's copies of the child's ends.
    started.map_err(|error| explain(name, run, &error))
}

/// The best shell that is there.
fn shell() -> &'static str {
    if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" }
}

fn on_pipes(command: &mut Command) -> io::Result<Program> {
    let (stdin_read, stdin) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stdout, stdout_write) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, stderr_write) = pipe_with(PipeFlags::CLOEXEC)?;
    for ours in [&stdin, &stdout, &stderr] {
        set_nonblocking(ours)?;
    }
    command.stdin(stdin_read).stdout(stdout_write).stderr(stderr_write);
    command.process_group(0);
    let (pid, pidfd) = spawn(command)?;
    Ok(Program { pid, pidfd, stdin, stdout, stderr: Some(stderr), terminal: None })
}

fn on_terminal(command: &mut Command, terminal: &Terminal) -> io::Result<Program> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, flags)?;
    set_window_size(&master, terminal.rows, terminal.columns)?;
    command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
    own_session(command);
    let (pid, pidfd) = spawn(command)?;
    set_nonblocking(&master)?;
    Ok(Program {
        pid,
        pidfd,
        stdin: master.try_clone()?,
        stdout: master.try_clone()?,
        stderr: None,
        terminal: Some(master),
    })
}

/// Makes the child the leader of a session whose terminal is its standard input.
#[allow(unsafe_code)]
fn own_session(command: &mut Command) {
    let become_leader = || {
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        Ok(())
    };
    // SAFETY: the closure runs in the child between fork and exec. It makes two
    // system calls (rustix issues them directly), allocates nothing and takes no lock.
    // Standard input is open there: the caller has set it to the terminal.
    unsafe { command.pre_exec(become_leader) };
}

fn spawn(command: &mut Command) -> io::Result<(Pid, OwnedFd)> {
    let child = command.spawn()?;
    let pid = Pid::from_child(&child);
    // The child is waited for by its number; `Child` does nothing when dropped.
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    Ok((pid, pidfd))
}

/// Sets the window size of a terminal.
///
/// # Errors
/// Those of the system call.
pub fn set_window_size(terminal: &OwnedFd, rows: u16, columns: u16) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(terminal, size)?)
}

/// Makes reads and writes return at once.
///
/// # Errors
/// Those of the system call.
pub fn set_nonblocking<Fd: AsFd>(fd: Fd) -> io::Result<()> {
    let flags = fcntl_getfl(&fd)?;
    Ok(fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?)
}

/// Says why the kernel does not run a program.
fn explain(name: &str, run: &Run, error: &io::Error) -> NotStarted {
    let search_path = run
        .env
        .iter()
        .rev()
        .find(|(key, _)| key == "PATH")
        .map_or(SEARCH_PATH, |(_, value)| value.as_str());
    let file = locate(name, run.cwd.as_deref().unwrap_or("/"), search_path);
    let errno = Errno::from_io_error(error);
    let (code, why) = match (errno, file) {
        (Some(Errno::NOENT), None) if name.contains('/') => {
            (127, "there is no such file in the guest".to_owned())
        }
        (Some(Errno::NOENT), None) => (127, format!("no such program in {search_path}")),
        (Some(Errno::NOENT), Some(file)) => (
            127,
            format!(
                "{} exists, but the interpreter or dynamic loader that it names does not; \
                 the guest has no shared libraries of its own: link it statically, or give \
                 it Debian's (fslmc run --packages libc6)",
                file.display()
            ),
        ),
        (Some(Errno::NOEXEC), Some(file)) => (126, foreign(&file)),
        (Some(Errno::ACCESS), Some(file)) => {
            (126, format!("{} is not executable (chmod +x)", file.display()))
        }
        _ => (126, describe(error)),
    };
    NotStarted { code, reason: format!("cannot run {name}: {why}") }
}

fn locate(name: &str, cwd: &str, search_path: &str) -> Option<PathBuf> {
    let candidates: Vec<PathBuf> = if name.contains('/') {
        vec![Path::new(cwd).join(name)]
    } else {
        search_path.split(':').map(|directory| Path::new(directory).join(name)).collect()
    };
    candidates.into_iter().find(|path| path.is_file())
}

/// What a file is that the kernel does not execute.
fn foreign(file: &Path) -> String {
    let start = std::fs::read(file).unwrap_or_default();
    let machine = match start.get(18..20) {
        Some(&[low, high]) if start.starts_with(b"\x7fELF") => u16::from_le_bytes([low, high]),
        _ => {
            return format!("{} is neither a program nor a script with a #! line", file.display());
        }
    };
    // e_machine, as in the ELF specification's registry.
    let kind = match machine {
        3 => "32-bit x86",
        40 => "32-bit Arm",
        62 => "x86-64",
        183 => "arm64, but the kernel refuses its format; it is damaged or not",
        243 => "RISC-V",
        _ => "another machine's, not",
    };
    format!("{} is a program for {kind}; the guest runs arm64 programs", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_program_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("program");
        let mut elf = vec![0; 64];
        elf[..4].copy_from_slice(b"\x7fELF");
        elf[18] = 62;
        std::fs::write(&file, &elf).unwrap();
        assert!(foreign(&file).contains("x86-64"));
        std::fs::write(&file, "echo").unwrap();
        assert!(foreign(&file).contains("#!"));
    }
}
