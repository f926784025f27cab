// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! `fslmc board replay`, and the recorder in the guest.

use crate::{
    program::{fslmc, run},
    trial,
};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use std::path::Path;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("replay::the_board_answers_as_on_record", the_board_answers_as_on_record),
        trial("replay::a_difference_is_named_and_is_the_exit_code", a_difference_is_named),
        trial("replay::the_layout_can_be_said", the_layout_can_be_said),
        trial("replay::a_recorded_board_is_this_one", a_recorded_board_is_this_one),
    ]
}

/// What the public ledger of a real board has, a file for each group of its suites.
fn the_board_answers_as_on_record() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("records");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path.to_str().context("file name")?.to_owned());
        }
    }
    ensure!(files.len() >= 6, "{files:?}");
    let mut arguments = vec!["board", "replay"];
    arguments.extend(files.iter().map(String::as_str));
    let ended = run(&mut fslmc(&arguments), b"")?;
    ensure!(ended.code() == Some(0), "{}{}", ended.stdout, ended.stderr);
    Ok(())
}

fn a_difference_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("other.jsonl");
    let name = file.to_str().context("file name")?;
    std::fs::write(
        &file,
        "# A board that does not exist.\n\
         {\"to\": \"dpbp.0\", \"command\": \"GetAttributes\", \"answer\": {\"id\": 0, \"bpid\": 7}}\n\
         {\"to\": \"dprc.1\", \"command\": \"dpbp.Create\", \"status\": \"0x8\"}\n",
    )?;
    let ended = run(&mut fslmc(&["board", "replay", name]), b"")?;
    ensure!(ended.code() == Some(1), "{ended:?}");
    let bpid = "line 2: dpbp.0 GetAttributes: bpid: the record has 7, the board 0";
    ensure!(ended.stdout.contains(bpid), "{}", ended.stdout);
    let status = "line 3: dprc.1 dpbp.Create: status: the record has ";
    ensure!(ended.stdout.contains(status), "{}", ended.stdout);

    std::fs::write(&file, "{\"to\": \"dpbp.0\", \"command\": \"GetTea\"}\n")?;
    let ended = run(&mut fslmc(&["board", "replay", name]), b"")?;
    ensure!(ended.code() != Some(0), "{ended:?}");
    let place = format!("{name}:1: \"GetTea\" is no command of this object");
    ensure!(ended.stderr.contains(&place), "{}", ended.stderr);
    Ok(())
}

/// A record that does not say what its board was made of.
fn the_layout_can_be_said() -> Result<()> {
    let records = Path::new(env!("CARGO_MANIFEST_DIR")).join("records");
    let clean_boot = std::fs::read_to_string(records.join("clean-boot.jsonl"))?;
    let is_heading = |line: &&str| !line.starts_with("{\"layout\"");
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("board.jsonl");
    std::fs::write(&file, clean_boot.lines().filter(is_heading).collect::<Vec<_>>().join("\n"))?;
    let name = file.to_str().context("file name")?;
    let other = run(&mut fslmc(&["board", "replay", name]), b"")?;
    ensure!(other.code() == Some(1), "{other:?}");
    let [layout, ports] = ["clearfog.dts", "clearfog-dpc.dts"].map(|file| records.join(file));
    let mut replay = fslmc(&["board", "replay", name]);
    replay.arg("--dpl").arg(layout).arg("--dpc").arg(ports);
    let ended = run(&mut replay, b"")?;
    ensure!(ended.code() == Some(0), "{}{}", ended.stdout, ended.stderr);
    Ok(())
}

/// Recorded through the kernel's interface in the guest, as on a real board.
fn a_recorded_board_is_this_one() -> Result<()> {
    let recorded = run(&mut fslmc(&["run", "--no-share", "--", "fslmc-guest", "record"]), b"")?;
    ensure!(recorded.code() == Some(0), "{}", recorded.stderr);
    let commands = recorded.stdout.lines().filter(|line| line.starts_with('{')).count();
    ensure!(commands > 200, "{commands} commands: {}", recorded.stdout);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("guest.jsonl");
    std::fs::write(&file, &recorded.stdout)?;
    let name = file.to_str().context("file name")?;
    // As many isolation ids as the machine has that was recorded.
    let replay = ["board", "replay", "--containers", "16", name];
    let ended = run(&mut fslmc(&replay), b"")?;
    ensure!(ended.code() == Some(0), "{}{}", ended.stdout, ended.stderr);
    Ok(())
}
