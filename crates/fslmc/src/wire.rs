// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! `fslmc wire`: the wires of boards that run.

use crate::{
    cli::{self, Plug},
    control::{self, Answer, Question, Wire},
};
use board_qemu::Running;
use miette::{Context, IntoDiagnostic, Result, miette};
use std::fmt;

/// Shows wires, or changes one.
///
/// # Errors
/// No board, or several where one is meant, or what the board says.
pub fn wire(args: &cli::Wire) -> Result<()> {
    let boards = boards(args.board)?;
    let (Some(dpmac), Some(to)) = (args.port, args.to) else {
        for board in &boards {
            if boards.len() > 1 {
                println!("board {}", board.process);
            }
            print!("{}", Table(&ask(board, &Question::Wires)?));
        }
        return Ok(());
    };
    let [board] = boards.as_slice() else {
        return Err(miette!(
            help = "name one with --board PID",
            "several boards run, with the process numbers {}",
            numbers(&boards)
        ));
    };
    let wires = ask(board, &Question::Plug { dpmac, up: to == Plug::Up })?;
    let changed =
        wires.into_iter().filter(|wire| wire.ports.iter().any(|(port, _)| *port == dpmac));
    print!("{}", Table(&changed.collect::<Vec<_>>()));
    Ok(())
}

fn boards(process: Option<u32>) -> Result<Vec<Running>> {
    let mut boards = board_qemu::running(None);
    // A board that is about to start has no socket yet.
    boards.retain(|board| board.directory.join(control::SOCKET).exists());
    if boards.is_empty() {
        return Err(miette!(
            help = "`fslmc run` starts one; its XDG_RUNTIME_DIR has to be that of this command",
            "no board of yours runs"
        ));
    }
    let Some(process) = process else { return Ok(boards) };
    let running = numbers(&boards);
    boards.retain(|board| board.process == process);
    if boards.is_empty() {
        return Err(miette!("process {process} runs no board of yours: {running} do"));
    }
    Ok(boards)
}

fn numbers(boards: &[Running]) -> String {
    boards.iter().map(|board| board.process.to_string()).collect::<Vec<_>>().join(", ")
}

fn ask(board: &Running, question: &Question) -> Result<Vec<Wire>> {
    let asked = control::ask(&board.directory, question).into_diagnostic();
    match asked.with_context(|| format!("asking the board of process {}", board.process))? {
        Answer::Wires(wires) => Ok(wires),
        Answer::Refused(reason) => Err(miette!("{reason}")),
    }
}

struct Table<'a>(&'a [Wire]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return writeln!(f, "no port has a wire (--wire plugs them in)");
        }
        for wire in self.0 {
            let state = match (wire.plugged, wire.connected) {
                (true, true) => "up",
                (false, _) => "down, not plugged in",
                (true, false) => "down, nobody at the other end",
            };
            let first = wire.ports.first().map_or(0, |(port, _)| *port);
            let first = format!("dpmac.{first}");
            let kind = &wire.kind;
            let lost = match wire.ports.iter().map(|(_, lost)| *lost).fold(0, u64::saturating_add) {
                0 => String::new(),
                lost => format!(" ({lost} frames lost)"),
            };
            writeln!(f, "{first:<9} {kind:<24} {state}{lost}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wires_are_told_in_lines() {
        let wire = |kind: &str, plugged, connected, ports: &[(u32, u64)]| Wire {
            kind: kind.into(),
            plugged,
            connected,
            ports: ports.into(),
        };
        let wires = [
            wire("loop", true, true, &[(1, 0)]),
            wire("dpmac.3", false, true, &[(2, 3), (3, 4)]),
            wire("unix:/tmp/w,listen", true, false, &[(17, 0)]),
        ];
        let told = "\
dpmac.1   loop                     up
dpmac.2   dpmac.3                  down, not plugged in (7 frames lost)
dpmac.17  unix:/tmp/w,listen       down, nobody at the other end
";
        assert_eq!(Table(&wires).to_string(), told);
        assert!(Table(&[]).to_string().contains("--wire"));
    }
}
