// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The program as its user has it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

#[test]
fn a_failure_is_code_1_also_where_nobody_reads_why() {
    let (reader, stderr) = UnixStream::pair().unwrap();
    drop(reader);
    let mut program = Command::new(env!("CARGO_BIN_EXE_fslmc-vmm"));
    program.args(["--kernel", "/no/such/Image"]).stderr(OwnedFd::from(stderr));
    assert_eq!(program.status().unwrap().code(), Some(1));
}
