// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the targets share.
#![allow(dead_code)]

use board::dpl::{Dpl, Loader, layouts};
use std::{
    io::Write,
    process::{Command, Stdio},
};

/// A layout that comes with the project.
pub fn layout(name: &str) -> Dpl {
    let found = layouts::find(name).expect("it comes with the project");
    let loaded = Loader::new(&dtc).blob(name, &compile(found.source));
    loaded.and_then(|loaded| loaded.into_dpl()).unwrap_or_else(|error| panic!("{error}"))
}

/// The blob of a source, made by the device tree compiler.
pub fn compile(source: &str) -> Vec<u8> {
    let mut child = dtc()
        .args(["-q", "-I", "dts", "-O", "dtb"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("dtc runs: install the package device-tree-compiler, or set DTC");
    child.stdin.take().map(|mut pipe| pipe.write_all(source.as_bytes()));
    child.wait_with_output().expect("dtc ends").stdout
}

fn dtc() -> Command {
    Command::new(std::env::var_os("DTC").unwrap_or_else(|| "dtc".into()))
}
