// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A session over socket pairs, with real commands of the machine that tests.

use super::*;
use guest_protocol::Terminal;
use rustix::fd::OwnedFd;
use rustix::process::Pid;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(20);

/// The host's side of a session that runs in a thread.
struct Host {
    control: UnixStream,
    stdin: UnixStream,
    stdout: UnixStream,
    stderr: UnixStream,
    lines: Lines,
    next_id: u64,
    agent: JoinHandle<Result<End, Failure>>,
}

impl Host {
    fn new() -> Self {
        let pair = || {
            let (host, guest) = UnixStream::pair().unwrap();
            guest.set_nonblocking(true).unwrap();
            (host, OwnedFd::from(guest))
        };
        let (control, guest_control) = pair();
        let (stdin, guest_stdin) = pair();
        let (stdout, guest_stdout) = pair();
        let (stderr, guest_stderr) = pair();
        let ports = Ports {
            control: guest_control,
            stdin: guest_stdin,
            stdout: guest_stdout,
            stderr: guest_stderr,
        };
        control.set_read_timeout(Some(LIMIT)).unwrap();
        let agent =
            std::thread::spawn(move || Session::new(ports, Orders::default(), false).serve());
        Self { control, stdin, stdout, stderr, lines: Lines::default(), next_id: 1, agent }
    }

    fn send(&mut self, ask: Ask) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.control.write_all(&guest_protocol::encode(&Order { id, ask }).unwrap()).unwrap();
        id
    }

    fn hear(&mut self) -> Report {
        loop {
            if let Some(report) = self.lines.next().unwrap() {
                return report;
            }
            let mut bytes = [0; 4096];
            let count = match self.control.read(&mut bytes) {
                // The agent is a thread of this process, which gets its children's signals.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                count => count.unwrap(),
            };
            assert!(count > 0, "the agent has gone");
            self.lines.push(&bytes[..count]);
        }
    }

    fn run(&mut self, script: &str, terminal: Option<Terminal>) -> u64 {
        let argv = vec!["/bin/sh".into(), "-c".into(), script.into()];
        let id = self.send(Ask::Run(Run { argv, cwd: None, env: vec![], terminal }));
        assert!(matches!(self.hear(), Report::Started { id: of, .. } if of == id));
        id
    }

    /// Waits for the end of a run; reads the streams by the counts in it.
    fn finish(&mut self, run: u64) -> (Status, Vec<u8>, Vec<u8>) {
        loop {
            match self.hear() {
                Report::Exited { id, status, stdout_bytes, stderr_bytes } => {
                    assert_eq!(id, run);
                    let stdout = read_exactly(&mut self.stdout, stdout_bytes);
                    let stderr = read_exactly(&mut self.stderr, stderr_bytes);
                    return (status, stdout, stderr);
                }
                Report::Done { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn power_off(mut self) {
        self.send(Ask::PowerOff);
        while !matches!(self.hear(), Report::Done { .. }) {}
        assert_eq!(self.agent.join().unwrap().unwrap(), End::PowerOff);
    }
}

fn read_exactly(stream: &mut UnixStream, count: u64) -> Vec<u8> {
    let mut bytes = vec![0; count as usize];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn streams_are_separate_and_the_code_comes_through() {
    let mut host = Host::new();
    let run = host.run("echo out; echo err >&2; exit 7", None);
    let (status, stdout, stderr) = host.finish(run);
    assert_eq!((status, &stdout[..], &stderr[..]), (Status::Code(7), &b"out\n"[..], &b"err\n"[..]));
    host.power_off();
}

#[test]
fn a_flood_arrives_whole_before_the_end_is_told() {
    let mut host = Host::new();
    let run = host.run("head -c 5000000 /dev/zero | tr '\\0' x", None);
    let mut stdout = host.stdout.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        // Not before there is much to read, so that everything in between fills.
        let start = Instant::now();
        while rustix::io::ioctl_fionread(&stdout).unwrap() < 0x8000 {
            assert!(start.elapsed() < LIMIT, "nothing comes");
            std::thread::yield_now();
        }
        read_exactly(&mut stdout, 5_000_000)
    });
    match host.hear() {
        Report::Exited { id, status, stdout_bytes, .. } => {
            assert_eq!((id, status, stdout_bytes), (run, Status::Code(0), 5_000_000));
        }
        other => panic!("{other:?}"),
    }
    assert!(reader.join().unwrap().iter().all(|&byte| byte == b'x'));
    host.power_off();
}

#[test]
fn standard_input_ends_where_the_host_says() {
    let mut host = Host::new();
    let run = host.run("wc -c", None);
    let data = vec![b'a'; 300_000];
    let mut stdin = host.stdin.try_clone().unwrap();
    // The end is reported before the bytes have gone through.
    host.send(Ask::StdinClosed { bytes: data.len() as u64 });
    stdin.write_all(&data).unwrap();
    let (status, stdout, _) = host.finish(run);
    assert_eq!(status, Status::Code(0));
    assert_eq!(String::from_utf8(stdout).unwrap().trim(), "300000");
    host.power_off();
}

#[test]
fn input_that_a_command_leaves_does_not_reach_the_next() {
    let mut host = Host::new();
    let run = host.run("read line; echo $line", None);
    host.stdin.write_all(b"first\nleft over\n").unwrap();
    let (_, stdout, _) = host.finish(run);
    assert_eq!(stdout, b"first\n");
    // Without the end of that stream, the next run is refused.
    let argv = vec!["true".into()];
    let refused = host.send(Ask::Run(Run { argv, cwd: None, env: vec![], terminal: None }));
    assert!(matches!(host.hear(), Report::Failure { id: Some(id), .. } if id == refused));
    host.send(Ask::StdinClosed { bytes: 16 });
    assert!(matches!(host.hear(), Report::Done { .. }));
    let run = host.run("cat", None);
    host.stdin.write_all(b"second\n").unwrap();
    host.send(Ask::StdinClosed { bytes: 7 });
    let (_, stdout, _) = host.finish(run);
    assert_eq!(stdout, b"second\n");
    host.power_off();
}

#[test]
fn a_command_that_never_reads_does_not_hold_up_its_end() {
    let mut host = Host::new();
    let run = host.run("exec <&-; sleep 0.2; echo done", None);
    let mut stdin = host.stdin.try_clone().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&vec![0; 2_000_000]));
    let (status, stdout, _) = host.finish(run);
    assert_eq!((status, &stdout[..]), (Status::Code(0), &b"done\n"[..]));
    host.send(Ask::StdinClosed { bytes: 2_000_000 });
    writer.join().unwrap().unwrap();
    host.power_off();
}

#[test]
fn a_process_left_behind_does_not_hold_up_the_end() {
    let mut host = Host::new();
    let start = Instant::now();
    let run = host.run("sleep 30 & echo $!", None);
    let (status, stdout, _) = host.finish(run);
    assert_eq!(status, Status::Code(0));
    assert!(start.elapsed() < Duration::from_secs(10));
    let left: i32 = String::from_utf8(stdout).unwrap().trim().parse().unwrap();
    let left = Pid::from_raw(left).unwrap();
    rustix::process::kill_process(left, Signal::KILL).unwrap();
    host.power_off();
}

#[test]
fn signals_reach_the_whole_group() {
    let mut host = Host::new();
    // Not SIGINT: a test that was started in the background inherits that it is ignored, and
    // so do its children.
    const TERM: i32 = 15;
    let run = host.run("cat; true", None);
    host.stdin.write_all(b"ready\n").unwrap();
    assert_eq!(read_exactly(&mut host.stdout, 6), b"ready\n");
    host.send(Ask::Signal { number: TERM });
    loop {
        match host.hear() {
            // With the child alive, its output would not have ended.
            Report::Exited { id, status, stdout_bytes, .. } => {
                assert_eq!((id, stdout_bytes), (run, 6));
                assert_eq!(status, Status::Signal(TERM));
                break;
            }
            Report::Done { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    host.power_off();
}

#[test]
fn a_terminal_is_one_with_size_and_control() {
    let mut host = Host::new();
    let terminal = Terminal { rows: 33, columns: 99, name: "vt100".into() };
    let script = "stty size; tty >/dev/null && echo $TERM; cat; : </dev/tty && echo end";
    let run = host.run(script, Some(terminal));
    host.stdin.write_all(b"typed\n").unwrap();
    host.send(Ask::StdinClosed { bytes: 6 });
    let (status, stdout, stderr) = host.finish(run);
    assert_eq!(status, Status::Code(0));
    assert_eq!(stderr, b"");
    let text = String::from_utf8(stdout).unwrap().replace('\r', "");
    // The terminal echoes what is typed, at some point; cat repeats it.
    assert!(text.contains("33 99\n") && text.contains("vt100\n"), "{text:?}");
    assert!(text.matches("typed\n").count() == 2 && text.ends_with("end\n"), "{text:?}");
    host.power_off();
}

#[test]
fn a_terminal_that_nobody_reads_any_more_hangs_up() {
    let mut host = Host::new();
    let terminal = Terminal { rows: 25, columns: 80, name: "vt100".into() };
    // Its input ends; the signal, which these tests may have been started to ignore, is ignored.
    let script = "trap '' HUP; echo ready; while read line; do :; done; exit 3";
    let run = host.run(script, Some(terminal));
    assert_eq!(read_exactly(&mut host.stdout, 7), b"ready\r\n");
    let (other_end, _) = UnixStream::pair().unwrap();
    drop(std::mem::replace(&mut host.stdout, other_end));
    // The agent learns of it by what it then writes: what is typed is echoed.
    host.stdin.write_all(b"x").unwrap();
    match host.hear() {
        Report::Exited { id, status, .. } => assert_eq!((id, status), (run, Status::Code(3))),
        other => panic!("{other:?}"),
    }
    host.power_off();
}

#[test]
fn a_program_that_is_not_there_says_what_a_shell_would() {
    let mut host = Host::new();
    let argv = vec!["no-such-program".into()];
    let id = host.send(Ask::Run(Run { argv, cwd: None, env: vec![], terminal: None }));
    match host.hear() {
        Report::Exited { id: of, status: Status::NotStarted { code, reason }, .. } => {
            assert_eq!((of, code), (id, 127));
            assert!(reason.contains("no-such-program") && reason.contains("/usr/bin"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    host.power_off();
}

#[test]
fn a_host_that_goes_away_ends_the_session() {
    let host = Host::new();
    drop(host.control);
    assert_eq!(host.agent.join().unwrap().unwrap(), End::HostGone);
}

#[test]
fn nonsense_on_the_control_port_is_answered() {
    let mut host = Host::new();
    host.control.write_all(b"what?\n").unwrap();
    match host.hear() {
        Report::Failure { id: None, what, .. } => assert!(what.contains("what?"), "{what}"),
        other => panic!("{other:?}"),
    }
    host.power_off();
}
