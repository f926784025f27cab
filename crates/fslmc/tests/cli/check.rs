// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! `fslmc board check`.

use crate::{
    program::{Unread, fslmc, run, run_unread},
    trial,
};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use std::path::Path;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("check::own_layouts_are_fine", own_layouts_are_fine),
        trial("check::mistakes_have_file_line_and_property", mistakes_have_a_place),
        trial("check::what_is_no_layout_is_named", what_is_no_layout_is_named),
        trial("check::what_a_chip_lacks_is_named_with_its_place", what_a_chip_lacks),
        trial("check::assign_is_for_boards", assign_is_for_boards),
        trial("check::who_has_read_enough_is_no_error", who_has_read_enough),
    ]
}

fn own_layouts_are_fine() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../boards");
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let file = path.to_str().context("file name")?;
        let ended = run(&mut fslmc(&["board", "check", file]), b"")?;
        ensure!(ended.code() == Some(0), "{file}: {}", ended.stderr);
        ensure!(ended.stdout.contains("dprc.1, the root: icid 23"), "{}", ended.stdout);
    }
    Ok(())
}

/// As in `fslmc board check my-board.dts | head`.
fn who_has_read_enough() -> Result<()> {
    let layout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../boards/everything.dts");
    let layout = layout.to_str().context("file name")?;
    for words in [&["board", "check", layout][..], &["board", "default"]] {
        let ended = run_unread(&mut fslmc(words), Unread::Output)?;
        ensure!(ended.code() == Some(141), "{words:?}: {ended:?}");
        ensure!(ended.stderr.is_empty(), "{words:?}: {ended:?}");
    }
    Ok(())
}

fn mistakes_have_a_place() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("wrong.dts");
    std::fs::write(
        &file,
        "/dts-v1/;\n/ {\n\tdpl-version = <10>;\n\tcontainers { dprc@1 { parent = \"none\"; \
         objects { obj_set@dpni { type = \"dpni\"; ids = <0>; }; }; }; };\n\
         \tobjects {\n\t\tdpni@0 {\n\t\t\tnum_queues = <300>;\n\t\t};\n\t};\n};\n",
    )?;
    let name = file.to_str().context("file name")?;
    let ended = run(&mut fslmc(&["board", "check", name]), b"")?;
    ensure!(ended.code() != Some(0), "it is accepted: {}", ended.stdout);
    let place = format!("{name}:7: error: /objects/dpni@0: num_queues: 300");
    ensure!(ended.stderr.contains(&place), "{}", ended.stderr);
    Ok(())
}

fn what_a_chip_lacks() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("aiop.dts");
    std::fs::write(
        &file,
        "/dts-v1/;\n/ {\n\tdpl-version = <10>;\n\tcontainers {\n\
         \t\tdprc@1 { parent = \"none\"; objects { obj@1 { obj_name = \"dpaiop@0\"; }; }; };\n\
         \t\tdprc@2 { parent = \"dprc@1\"; options = \"DPRC_CFG_OPT_AIOP\"; };\n\t};\n\
         \tobjects {\n\t\tdpaiop@0 {\n\t\t\taiop_container_id = <2>;\n\t\t};\n\t};\n};\n",
    )?;
    let name = file.to_str().context("file name")?;
    let refused = run(&mut fslmc(&["board", "check", name]), b"")?;
    ensure!(refused.code() != Some(0), "it is accepted: {}", refused.stdout);
    let finding = format!(
        "{name}:9: error: /objects/dpaiop@0: the LX2160A has no AIOP; remove it, or choose \
         a chip that has it: LS2088A, LS1088A"
    );
    ensure!(refused.stderr.contains(&finding), "{}", refused.stderr);
    for soc in ["ls2088a", "ls1088a"] {
        let made = run(&mut fslmc(&["board", "check", "--soc", soc, name]), b"")?;
        ensure!(made.code() == Some(0), "{soc}: {}", made.stderr);
        ensure!(made.stdout.contains("dpaiop    1: 0"), "{soc}: {}", made.stdout);
    }
    Ok(())
}

fn assign_is_for_boards() -> Result<()> {
    let without = run(&mut fslmc(&["assign", "--kernel", "Image"]), b"")?;
    ensure!(without.code() == Some(2) && without.stderr.contains("dprc.N"), "{}", without.stderr);
    if cfg!(target_arch = "aarch64") {
        return Ok(());
    }
    let guest =
        ["--kernel", "Image", "--initramfs", "initramfs", "--cpus", "2", "--memory", "512M"];
    let words: Vec<&str> = ["assign", "dprc.2"].into_iter().chain(guest).collect();
    let elsewhere = run(&mut fslmc(&words), b"")?;
    ensure!(elsewhere.code() == Some(1), "{}", elsewhere.stderr);
    ensure!(elsewhere.stderr.contains("Image is for arm64"), "{}", elsewhere.stderr);
    Ok(())
}

fn what_is_no_layout_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("noise.dtb");
    std::fs::write(&file, [0xd0, 0x0d, 0xfe, 0xed, 1, 2, 3])?;
    let name = file.to_str().context("file name")?;
    let ended = run(&mut fslmc(&["board", "check", name, "no-such-file.dts"]), b"")?;
    ensure!(ended.code() != Some(0), "it is accepted: {}", ended.stdout);
    ensure!(ended.stderr.contains("noise.dtb"), "{}", ended.stderr);
    ensure!(ended.stderr.contains("no-such-file.dts"), "{}", ended.stderr);
    Ok(())
}
