// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Layouts and configurations, from the outside.

mod any;
mod blobs;
mod boards;
mod messages;
mod round_trip;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use board::dpl::fdt::Node;
use board::dpl::{Dpl, Loader};
use test_support::skip;
use vm_fdt::FdtWriter;

/// A compiler for sources: `$DTC`, or `dtc` of the path.
fn dtc() -> Command {
    Command::new(std::env::var_os("DTC").unwrap_or_else(|| "dtc".into()))
}

/// Whether there is one; the test is skipped if not.
fn have_dtc(test: &str) -> bool {
    let found = dtc().arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        skip(test, "no dtc found (package device-tree-compiler, or set DTC)");
    }
    found
}

/// A directory beside the crate; the test is skipped where it is missing.
fn directory(test: &str, relative: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(relative);
    if path.is_dir() {
        return Some(path);
    }
    skip(test, &format!("there is no {}", path.display()));
    None
}

/// The layout of a source that has no warnings.
fn clean(name: &str, source: &str) -> Dpl {
    let loaded = Loader::new(&dtc).source(name, source).unwrap_or_else(|error| panic!("{error}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    loaded.into_dpl().unwrap()
}

/// A blob of a tree, by an independent writer.
fn blob(root: &Node) -> Vec<u8> {
    fn add(writer: &mut FdtWriter, node: &Node) {
        let open = writer.begin_node(&node.name).unwrap();
        for property in &node.properties {
            writer.property(&property.name, &property.value).unwrap();
        }
        for child in &node.children {
            add(writer, child);
        }
        writer.end_node(open).unwrap();
    }
    let mut writer = FdtWriter::new().unwrap();
    add(&mut writer, root);
    writer.finish().unwrap()
}
