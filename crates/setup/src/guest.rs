// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Building the programs that run inside the guest: static arm64 programs, made
//! on a machine that has neither a cross compiler nor a Rust target for arm64.
//!
//! The machine's own cargo drives the set's rustc. What links for the guest is
//! the set's GNU ld, called with the start files and libraries of the C library
//! as a C compiler would; what runs on the machine during the build (build
//! scripts, procedural macros) is linked by the machine's own linker.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::disk;
use crate::error::{Error, Result};
use crate::package_set::PackageSet;
use crate::packages::Packages;

/// The target that the guest's programs are built for.
pub const GUEST_TARGET: &str = "aarch64-unknown-linux-gnu";

/// Builds the programs of some crates for the guest, as static arm64
/// programs with optimisation, and gives the folder that holds them. Cargo tells
/// on stderr what it does; a build without changes takes a fraction of a second.
/// Crates that are built in one call share what they depend on; in calls of their
/// own, each has it with the features that it asks for itself.
///
/// `workspace` is the folder with the workspace's `Cargo.toml`. The target folder
/// is in the cache, so that it stays apart from builds for the machine itself.
///
/// # Errors
/// [`Error::NotOpened`] without [`PackageSet::Cross`], [`Error::NoProgram`] without
/// cargo, [`Error::GuestBuild`] if it does not compile.
pub fn build_guest_programs(
    workspace: &Path,
    packages: &Packages,
    crates: &[&str],
) -> Result<PathBuf> {
    let tools = packages.tree(PackageSet::Cross)?;
    let target = packages.cache().join("guest").join("target").join(workspace_key(workspace));
    let wrappers = packages.cache().join("guest").join(tools.file_name().unwrap_or_default());
    disk::make_folder(&target)?;
    disk::make_folder(&wrappers)?;
    let rustc = write_rustc_wrapper(&wrappers, packages, tools)?;
    let linker = write_linker_wrapper(&wrappers, packages, tools)?;

    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    forget_outer_build(&mut cargo);
    cargo
        .current_dir(workspace)
        .args(["build", "--release", "--target", GUEST_TARGET])
        .args(crates.iter().flat_map(|name| ["--package", name]))
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTC", rustc)
        // Empty means none, also where the user's configuration names one.
        .env("RUSTC_WRAPPER", "")
        .env("RUSTC_WORKSPACE_WRAPPER", "")
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", linker)
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags())
        // The flags strip it.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    let status = cargo.status().map_err(|reason| Error::NoProgram {
        program: "cargo",
        package: "cargo (or https://rustup.rs)",
        reason,
    })?;
    if !status.success() {
        return Err(Error::GuestBuild { crates: crates.join(", "), status });
    }
    Ok(target.join(GUEST_TARGET).join("release"))
}

/// A build may be running around us, or its user may have set flags for programs
/// of the machine: none of it concerns the guest. What cargo needs to reach the
/// network stays.
fn forget_outer_build(cargo: &mut Command) {
    const FORGOTTEN: [&str; 13] = [
        "CARGO_BIN_",
        "CARGO_BUILD_",
        "CARGO_CFG_",
        "CARGO_CRATE_",
        "CARGO_ENCODED_",
        "CARGO_FEATURE_",
        "CARGO_INCREMENTAL",
        "CARGO_MAKEFLAGS",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_PRIMARY_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_AARCH64_",
    ];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if FORGOTTEN.iter().any(|prefix| text.starts_with(prefix))
            || text.starts_with("RUSTC")
            || text == "RUSTFLAGS"
        {
            cargo.env_remove(&name);
        }
    }
}

/// Flags for what runs in the guest, in cargo's form: divided by the unit
/// separator.
fn rust_flags() -> String {
    [
        "-Clinker-flavor=ld",
        "-Ctarget-feature=+crt-static",
        "-Crelocation-model=static",
        // The program is a part of each image, and the kernel unpacks it at each start:
        // with its symbols it is ten times as large.
        "-Cstrip=symbols",
    ]
    .join("\x1f")
}

fn write_rustc_wrapper(wrappers: &Path, packages: &Packages, tools: &Path) -> Result<PathBuf> {
    let mut words = packages.command_line("rustc")?;
    words.extend(["--sysroot".into(), tools.join("usr").into()]);
    let script = format!(
        "#!/bin/sh\n# The compiler of the set, on the libraries of the set.\nunset LD_PRELOAD\nexec {} \"$@\"\n",
        shell_words(&words)
    );
    write_script(&wrappers.join("rustc"), &script)
}

/// What a C compiler adds to a static link: the start files before all else, the
/// C library and the compiler's own in a group at the end, since each uses the
/// other, and the end files.
fn write_linker_wrapper(wrappers: &Path, packages: &Packages, tools: &Path) -> Result<PathBuf> {
    let c_library = tools.join("usr/aarch64-linux-gnu/lib");
    let compiler = disk::find(tools, "usr/lib/gcc-cross/aarch64-linux-gnu/*/libgcc_eh.a")
        .and_then(|path| path.parent().map(Path::to_owned))
        .ok_or_else(|| Error::NotInTree {
            what: "libgcc_eh.a for arm64".into(),
            tree: tools.to_owned(),
        })?;
    let mut before = packages.command_line("aarch64-linux-gnu-ld")?;
    let mut sysroot = OsString::from("--sysroot=");
    sysroot.push(tools);
    // libm.a is a script that names its parts by absolute paths.
    before.extend([sysroot, "-static".into()]);
    before.extend(["--build-id=sha1".into(), "-L".into()]);
    before.extend([c_library.clone().into(), "-L".into(), compiler.clone().into()]);
    before.extend(["crt1.o", "crti.o"].map(|file| c_library.join(file).into()));
    before.push(compiler.join("crtbeginT.o").into());
    let mut after: Vec<OsString> =
        ["--start-group", "-lgcc", "-lgcc_eh", "-lc", "--end-group"].map(OsString::from).into();
    after.push(compiler.join("crtend.o").into());
    after.push(c_library.join("crtn.o").into());
    let script = format!(
        "#!/bin/sh\n# The linker of the set, called as a C compiler calls it.\nunset LD_PRELOAD\nexec {} \"$@\" {}\n",
        shell_words(&before),
        shell_words(&after)
    );
    write_script(&wrappers.join("ld"), &script)
}

fn write_script(path: &Path, text: &str) -> Result<PathBuf> {
    disk::write_if_changed(path, text.as_bytes())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(Error::file("cannot make executable", path))?;
    Ok(path.to_owned())
}

fn shell_words(words: &[OsString]) -> String {
    words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

/// A word that the shell takes as it is.
fn shell_word(word: &OsStr) -> String {
    format!("'{}'", word.to_string_lossy().replace('\'', "'\\''"))
}

/// Two checkouts must not build into each other's folder.
pub(crate) fn workspace_key(workspace: &Path) -> String {
    use sha2::{Digest, Sha256};
    let path = fs::canonicalize(workspace).unwrap_or_else(|_| workspace.to_owned());
    let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
    crate::tree::hexadecimal(hash.get(..6).unwrap_or(&hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_gives_words_back_unchanged() {
        let words = ["plain", "with space", "it's", "$HOME `x` \\ \"", "*"].map(OsString::from);
        let script = format!("printf '%s\\n' {}", shell_words(&words));
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let lines: Vec<_> =
            String::from_utf8(output.stdout).unwrap().lines().map(OsString::from).collect();
        assert_eq!(lines, words);
    }

    #[test]
    fn checkouts_have_folders_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        fs::create_dir(&one).unwrap();
        fs::create_dir(&other).unwrap();
        assert_ne!(workspace_key(&one), workspace_key(&other));
        assert_eq!(workspace_key(&one), workspace_key(&one.join("../one")));
    }

    #[test]
    fn network_settings_of_cargo_survive() {
        let mut cargo = Command::new("cargo");
        forget_outer_build(&mut cargo);
        // What cargo itself sets around this test.
        let removed: Vec<_> = cargo.get_envs().filter(|(_, value)| value.is_none()).collect();
        assert!(removed.iter().any(|(name, _)| *name == "CARGO_PKG_NAME"), "{removed:?}");
        assert!(!removed.iter().any(|(name, _)| *name == "CARGO_HOME" || *name == "CARGO"));
    }
}
