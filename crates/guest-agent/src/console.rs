// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The last resort: the machine's console.

use std::fs::OpenOptions;
use std::io::Write;

/// Writes a line to the console, if there is one.
pub fn say(text: &str) {
    let line = format!("fslmc-guest: {text}\n");
    let written = OpenOptions::new()
        .write(true)
        .open("/dev/console")
        .and_then(|mut console| console.write_all(line.as_bytes()));
    if written.is_err() {
        // What the kernel gave to its first process, which may be nothing.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
