// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What who builds the module for a kernel that it cannot be built for is told, by Kbuild and
//! before a build of DKMS.
#![cfg(not(miri))]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A kernel as Kbuild knows it.
struct Kernel {
    variables: Vec<(&'static str, String)>,
    tree: tempfile::TempDir,
}

const RUSTC: &str = "rustc 1.85.1 (4eb161250 2025-03-15) (built from a source tarball)";

impl Kernel {
    /// One that the driver can be built for.
    fn good() -> Self {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("rust")).unwrap();
        fs::create_dir_all(tree.path().join("include/config")).unwrap();
        fs::write(tree.path().join("rust/libkernel.rmeta"), "").unwrap();
        let rustc = tree.path().join("rustc");
        fs::write(&rustc, format!("#!/bin/sh\necho '{RUSTC}'\n")).unwrap();
        fs::set_permissions(&rustc, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let variables = [
            ("VERSION", "7"),
            ("PATCHLEVEL", "3"),
            ("KERNELRELEASE", "7.3.4-test"),
            ("CONFIG_MODULES", "y"),
            ("CONFIG_RUST", "y"),
            ("CONFIG_VFIO", "m"),
            ("CONFIG_FSL_MC_BUS", "y"),
        ];
        let mut variables: Vec<_> = variables
            .map(|(name, value)| (name, value.to_owned()))
            .into();
        variables.push(("CONFIG_RUSTC_VERSION_TEXT", format!("\"{RUSTC}\"")));
        variables.push(("RUSTC", rustc.display().to_string()));
        Self { variables, tree }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        let known = self.variables.iter_mut().find(|(known, _)| *known == name);
        known.unwrap().1 = value.to_owned();
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        self
    }

    fn without_file(self, name: &str) -> Self {
        fs::remove_file(self.tree.path().join(name)).unwrap();
        self
    }

    /// Has make read the driver's Kbuild as the kernel's build does.
    fn kbuild(&self) -> Output {
        let makefile = self.tree.path().join("Makefile");
        let tree = self.tree.path().display();
        let mut text = format!("objtree := {tree}\nsrctree := {tree}\nobj := {tree}\nall: ;\n");
        for (name, value) in &self.variables {
            text += &format!("{name} := {value}\n");
        }
        text += &format!("include {}\nFORCE:\n", driver().join("Kbuild").display());
        fs::create_dir_all(self.tree.path().join("rust")).unwrap();
        fs::write(self.tree.path().join("rust/Makefile"), "").unwrap();
        fs::write(&makefile, text).unwrap();
        Command::new("make")
            .arg("-f")
            .arg(makefile)
            .arg("all")
            .output()
            .unwrap()
    }

    /// Runs what DKMS runs first.
    fn before_dkms(&self) -> Output {
        let config = self.tree.path().join("include/config/auto.conf");
        let mut text = String::new();
        for (name, value) in self
            .variables
            .iter()
            .filter(|(name, _)| name.starts_with("CONFIG"))
        {
            text += &format!("{name}={value}\n");
        }
        fs::write(config, text).unwrap();
        let mut command = Command::new(driver().join("dkms-pre-build"));
        let rustc = self
            .variables
            .iter()
            .find(|(name, _)| *name == "RUSTC")
            .unwrap();
        command.env("RUSTC", &rustc.1);
        command
            .arg(self.tree.path())
            .arg("7.3.4-test")
            .output()
            .unwrap()
    }
}

fn driver() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../driver")
}

fn refused(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "not refused: {said}");
    for word in words {
        assert!(said.contains(word), "without {word:?}: {said}");
    }
}

fn accepted(output: &Output) {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether there is make; the test is skipped if not.
fn has_make(test: &str) -> bool {
    let found = Command::new("make").arg("--version").output().is_ok();
    if !found {
        test_support::skip(test, "there is no make");
    }
    found
}

#[test]
fn kbuild_takes_a_kernel_that_has_all() {
    if has_make("kbuild_takes_a_kernel_that_has_all") {
        accepted(&Kernel::good().kbuild());
        accepted(&Kernel::good().with("PATCHLEVEL", "2").kbuild());
        accepted(&Kernel::good().with("PATCHLEVEL", "4").kbuild());
        accepted(
            &Kernel::good()
                .with("VERSION", "8")
                .with("PATCHLEVEL", "0")
                .kbuild(),
        );
        // `make clean` knows no configuration.
        accepted(
            &Kernel::good()
                .without("CONFIG_MODULES")
                .without("CONFIG_RUST")
                .kbuild(),
        );
    }
}

#[test]
fn kbuild_says_why_a_kernel_will_not_do() {
    if !has_make("kbuild_says_why_a_kernel_will_not_do") {
        return;
    }
    let old = Kernel::good()
        .with("PATCHLEVEL", "1")
        .with("KERNELRELEASE", "7.1.9-test");
    refused(&old.kbuild(), &["7.1.9-test is too old", "7.2"]);
    let old = Kernel::good().with("VERSION", "6").with("PATCHLEVEL", "12");
    refused(&old.kbuild(), &["too old"]);
    let no_rust = Kernel::good().without("CONFIG_RUST");
    refused(&no_rust.kbuild(), &["7.3.4-test", "without CONFIG_RUST"]);
    refused(
        &Kernel::good().without("CONFIG_VFIO").kbuild(),
        &["without CONFIG_VFIO"],
    );
    refused(
        &Kernel::good().without("CONFIG_FSL_MC_BUS").kbuild(),
        &["without CONFIG_FSL_MC_BUS"],
    );
    let headers = Kernel::good().without_file("rust/libkernel.rmeta");
    refused(&headers.kbuild(), &["lacks rust/libkernel.rmeta", "Debian"]);
    let other = Kernel::good().with("CONFIG_RUSTC_VERSION_TEXT", "\"rustc 1.90.0\"");
    refused(&other.kbuild(), &["rustc 1.90.0", "1.85.1"]);
}

#[test]
fn dkms_is_told_before_it_builds() {
    accepted(&Kernel::good().before_dkms());
    let headers = Kernel::good().without_file("rust/libkernel.rmeta");
    refused(
        &headers.before_dkms(),
        &["7.3.4-test", "rust/libkernel.rmeta", "cargo xtask driver"],
    );
    refused(
        &Kernel::good().without("CONFIG_RUST").before_dkms(),
        &["without CONFIG_RUST"],
    );
    let other = Kernel::good().with("CONFIG_RUSTC_VERSION_TEXT", "\"rustc 1.90.0\"");
    refused(&other.before_dkms(), &["rustc 1.90.0", "1.85.1"]);
}
