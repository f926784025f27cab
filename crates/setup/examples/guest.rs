// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Builds a package of a workspace for the guest.
//!
//! `cargo run -p setup --example guest -- WORKSPACE PACKAGE`

use std::path::Path;

use setup::{Cache, PackageSet, Terminal, build_guest_programs};

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [workspace, package] = words.as_slice() else {
        eprintln!("usage: guest WORKSPACE PACKAGE");
        return std::process::ExitCode::from(2);
    };
    let built = Cache::from_env()
        .and_then(|cache| cache.ensure(&[PackageSet::Cross], &Terminal::new()))
        .and_then(|packages| build_guest_programs(Path::new(workspace), &packages, &[package]));
    match built {
        Ok(folder) => {
            println!("{}", folder.display());
            std::process::ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
