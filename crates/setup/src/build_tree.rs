// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a module in Rust is built against.
//!
//! Debian's headers packages let anybody build modules in C. For Rust they lack
//! the metadata of the kernel's own crates (`rust/*.rmeta`), its procedural macros
//! (`rust/*.so`) and two files of `rust/` that say how bindings are made. These are
//! built here, from the sources of the very same package version, and put where
//! kbuild looks for them: into the headers. Names of Rust symbols depend on the
//! compiler and on the crates' names alone, so that what is built here fits the
//! kernel that Debian built.

use std::fs;
use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::{Error, Result};
use crate::host::host;
use crate::package::Package;
use crate::packages::Packages;
use crate::progress::Progress;
use crate::sandbox::{self, Ended, Sandbox};

/// Where the kernel is prepared, in the tree and in the sandbox that it is.
const WORK: &str = "usr/src/kernel-build";

/// The compilers that Debian builds the kernel with; `CONFIG_CC_VERSION_TEXT`
/// holds the first one's name.
const COMPILERS: [&str; 6] = [
    "ARCH=arm64",
    "CROSS_COMPILE=aarch64-linux-gnu-",
    "CC=aarch64-linux-gnu-gcc-14",
    "CROSS_COMPILE_COMPAT=arm-linux-gnueabihf-",
    "CC_COMPAT=arm-linux-gnueabihf-gcc-14",
    "HOSTCC=gcc-14",
];

/// Most of the sources are drivers and other architectures, of which the
/// preparation compiles nothing; the kernel's Rust crates read some of their headers.
/// If another kernel needs more than this leaves, it fails before the tree is of use
/// to anybody.
const LEFT_OUT: [&str; 15] = [
    "Documentation/*/*",
    "arch/*/boot/dts/*",
    "arch/[b-z]*.[chS]",
    // All but `SWITCH`; a tar has no pattern for that.
    "drivers/[a-mo-z]*.[cS]",
    "drivers/net/[a-df-z]*.[cS]",
    "drivers/net/ethernet/[a-eg-z]*.[cS]",
    "drivers/gpu/drm/amd/*.h",
    "fs/*.c",
    "net/*.c",
    "samples/*.c",
    "sound/*.[ch]",
    "tools/net/*",
    "tools/perf/*",
    "tools/power/*",
    "tools/testing/*",
];

/// Linux's driver of switches (`dpsw`), which Debian's kernels are built without.
pub(crate) const SWITCH: &str = "drivers/net/ethernet/freescale/dpaa2";

/// What only the preparation needs: the sources, the compiler for 32-bit programs,
/// the libraries of programs; and what nobody needs: of compilers the part for
/// optimisation at link time, device trees, the kernel's symbols.
const USED_UP: [&str; 16] = [
    WORK,
    "usr/src/linux-source-*",
    "usr/src/rustc-*",
    "usr/lib/rustlib/src",
    "usr/lib/rustlib/*-linux-gnu/lib/*.rlib",
    "usr/arm-linux-gnueabihf",
    "usr/lib/gcc-cross/arm-linux-gnueabihf",
    "usr/libexec/gcc-cross/arm-linux-gnueabihf",
    "usr/bin/arm-linux-gnueabihf-*",
    "usr/libexec/gcc-cross/aarch64-linux-gnu/*/lto1",
    "usr/lib/gcc-cross/aarch64-linux-gnu/*/*.a",
    "usr/bin/*-lto-dump-14",
    "usr/bin/rustdoc",
    "usr/lib/modules",
    "usr/lib/*-linux-gnu/*.a",
    "boot",
];

/// The same, where the machine's own compiler is not the one for the kernel.
const USED_UP_BESIDE_ARM64: [&str; 5] = [
    "usr/include",
    "usr/lib/gcc",
    "usr/libexec/gcc",
    "usr/aarch64-linux-gnu/include",
    "usr/aarch64-linux-gnu/lib/*.a",
];

/// The headers of one kernel within a tree.
#[derive(Debug)]
pub(crate) struct Headers {
    /// What `uname -r` says on that kernel.
    pub release: String,
    /// The folder: configuration, symbols, and all that differs between flavours.
    pub folder: PathBuf,
    /// What the flavours share.
    pub common: PathBuf,
}

impl Headers {
    /// Finds the one kernel that the tree has headers of.
    pub fn in_tree(root: &Path) -> Result<Self> {
        let find = |pattern: &str| {
            disk::find(root, pattern)
                .and_then(|path| path.parent().map(Path::to_owned))
                .ok_or_else(|| Error::NotInTree { what: pattern.into(), tree: root.to_owned() })
        };
        let folder = find("usr/src/linux-headers-*/Module.symvers")?;
        let common = find("usr/src/linux-headers-*-common/Makefile")?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let release = name.strip_prefix("linux-headers-").unwrap_or(&name).to_owned();
        Ok(Self { release, folder, common })
    }
}

/// Completes the headers of a tree that has just been unpacked, and removes what
/// was needed for that alone.
pub(crate) fn complete(
    unpacked: &Packages,
    root: &Path,
    packages: &[Package],
    progress: &dyn Progress,
) -> Result<()> {
    sandbox::prepare(root)?;
    let headers = Headers::in_tree(root)?;
    check_versions(&headers.release, packages)?;
    let archive = find(root, "usr/src/linux-source-*.tar.xz")?;
    let archive_name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let work = root.join(WORK);
    disk::make_folder(&work)?;
    let sandbox = Sandbox::open(unpacked, root)?
        .writable()
        .variable("KBUILD_BUILD_TIMESTAMP", "1970-01-01")
        .variable("KBUILD_BUILD_USER", "fslmc")
        .variable("KBUILD_BUILD_HOST", "fslmc");
    let step = |what: &'static str, words: &[&str]| -> Result<()> {
        progress.busy(what);
        let ended = sandbox.run(words, |line| progress.doing(line.trim()))?;
        progress.finished();
        checked(what, &headers.release, &ended)
    };

    let inside = |path: &Path| {
        let below = path.strip_prefix(root).unwrap_or(path);
        format!("/{}", below.display())
    };
    let archive = inside(&archive);
    let mut unpack =
        vec!["tar", "-I", "xz -dT0", "--no-same-owner", "-xf", &archive, "-C", "/usr/src"];
    // A `*` would match any number of folders, and so others of the same name below.
    let name = archive_name.strip_suffix(".tar.xz").unwrap_or(&archive_name);
    let left_out = LEFT_OUT.map(|pattern| format!("--exclude={name}/{pattern}"));
    unpack.extend(left_out.iter().map(String::as_str));
    step("unpacking the kernel's sources", &unpack)?;
    let source = find(root, "usr/src/linux-source-*/Makefile")?;
    let source = source.parent().unwrap_or(&source).to_owned();

    let (from, to) = (inside(&source), format!("O=/{WORK}"));
    let release = format!("KERNELRELEASE={}", headers.release);
    let make = [&["make", "-C", &from, &to, &release][..], &COMPILERS].concat();
    copy(&headers.folder.join(".config"), &work.join(".config"))?;
    step("configuring the kernel", &[&make[..], &["olddefconfig"]].concat())?;
    check_configuration(&headers, &work)?;
    let jobs = sandbox::jobs();
    step("building the kernel's Rust crates", &[&make[..], &[&jobs, "modules_prepare"]].concat())?;

    add_rust(&headers, &source, &work)?;
    add_switch(&headers, &source)?;
    let beside = host()?.architecture != "arm64";
    let more = if beside { &USED_UP_BESIDE_ARM64[..] } else { &[] };
    // Minutes on a disk that is told of each block that becomes free.
    progress.busy("removing what only the build needed");
    for pattern in USED_UP.iter().chain(more) {
        while let Some(path) = disk::find(root, pattern) {
            progress.doing(&inside(&path));
            disk::remove(&path)?;
        }
    }
    progress.finished();
    Ok(())
}

/// Puts what is lacking into the headers.
fn add_rust(headers: &Headers, source: &Path, work: &Path) -> Result<()> {
    let rust = headers.folder.join("rust");
    disk::make_folder(&rust)?;
    for entry in disk::entries(&work.join("rust"))? {
        let name = entry.file_name();
        let wanted = [".rmeta", ".so"].iter().any(|end| name.to_string_lossy().ends_with(end));
        if wanted {
            copy(&entry.path(), &rust.join(name))?;
        }
    }
    disk::make_folder(&headers.common.join("rust"))?;
    // How bindings are made, and the kernel's rules for lints and format.
    let files = [
        "rust/Makefile",
        "rust/bindgen_parameters",
        "scripts/rust_is_available_bindgen_libclang.h",
        ".clippy.toml",
        ".rustfmt.toml",
    ];
    for file in files {
        copy(&source.join(file), &headers.common.join(file))?;
    }
    Ok(())
}

/// Keeps the sources of Linux's driver of switches.
fn add_switch(headers: &Headers, source: &Path) -> Result<()> {
    let to = headers.common.join(SWITCH);
    disk::make_folder(&to)?;
    for entry in disk::entries(&source.join(SWITCH))? {
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// As [`check_versions`], before anything is downloaded.
pub(crate) fn check_plan(packages: &[Package]) -> Result<()> {
    let release = packages.iter().find_map(|package| {
        let release = package.name.strip_prefix("linux-headers-")?;
        let is_one = release.starts_with(char::is_numeric) && release.ends_with("-arm64");
        is_one.then_some(release)
    });
    // Where there is none, the tree says what is missing.
    release.map_or(Ok(()), |release| check_versions(release, packages))
}

/// A mirror that is being updated may have the one and not yet the other.
fn check_versions(release: &str, packages: &[Package]) -> Result<()> {
    let headers = format!("linux-headers-{release}");
    let version = |wanted: &dyn Fn(&str) -> bool| {
        packages.iter().find(|package| wanted(&package.name)).map(|package| &package.version)
    };
    let of_headers = version(&|name| name == headers);
    let of_source = version(&|name| {
        name.strip_prefix("linux-source-").is_some_and(|rest| rest.starts_with(char::is_numeric))
    });
    if of_headers.is_some() && of_headers == of_source {
        return Ok(());
    }
    let text = |version: Option<&String>| version.cloned().unwrap_or_else(|| "none".into());
    Err(Error::SourceVersion { headers: text(of_headers), source_version: text(of_source) })
}

/// Tools that can do more, or less, than Debian's had would make other crates than
/// the kernel has, and kbuild changes the configuration without a word.
fn check_configuration(headers: &Headers, work: &Path) -> Result<()> {
    let read = |path: PathBuf| fs::read_to_string(&path).map_err(Error::file("cannot read", &path));
    let wanted = read(headers.folder.join(".config"))?;
    let found = read(work.join(".config"))?;
    match first_difference(&wanted, &found) {
        None => Ok(()),
        Some((wanted, found)) => Err(Error::Configuration {
            release: headers.release.clone(),
            wanted: wanted.to_owned(),
            found: found.to_owned(),
        }),
    }
}

fn first_difference<'a>(wanted: &'a str, found: &'a str) -> Option<(&'a str, &'a str)> {
    if wanted == found {
        return None;
    }
    let (mut wanted, mut found) = (wanted.lines(), found.lines());
    loop {
        match (wanted.next(), found.next()) {
            (Some(one), Some(other)) if one == other => {}
            (None, None) => return Some(("", "another end of line")),
            (one, other) => {
                let end = "the end of the file";
                return Some((one.unwrap_or(end), other.unwrap_or(end)));
            }
        }
    }
}

pub(crate) fn checked(what: &'static str, release: &str, ended: &Ended) -> Result<()> {
    if ended.status.success() {
        return Ok(());
    }
    let said = sandbox::without_chatter(&ended.output);
    let lines: Vec<_> = said.lines().collect();
    let end = lines.get(lines.len().saturating_sub(30)..).unwrap_or_default();
    Err(Error::KernelBuild {
        what,
        release: release.to_owned(),
        status: ended.status,
        output: end.join("\n"),
        advice: crate::error::advice_from(&ended.output),
    })
}

fn find(root: &Path, pattern: &str) -> Result<PathBuf> {
    disk::find(root, pattern)
        .ok_or_else(|| Error::NotInTree { what: pattern.into(), tree: root.to_owned() })
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).map_err(Error::file("cannot copy", from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str) -> Package {
        Package {
            name: name.into(),
            architecture: "all".into(),
            version: version.into(),
            file: String::new(),
            size: 0,
        }
    }

    #[test]
    fn the_first_difference_is_told() {
        assert_eq!(first_difference("A=y\nB=y\n", "A=y\nB=y\n"), None);
        assert_eq!(first_difference("A=y\nB=y\n", "A=y\nC=y\n"), Some(("B=y", "C=y")));
        assert_eq!(first_difference("A=y\n", ""), Some(("A=y", "the end of the file")));
        assert_eq!(first_difference("", "A=y\n"), Some(("the end of the file", "A=y")));
        assert!(first_difference("A=y\n", "A=y").is_some());
    }

    #[test]
    fn sources_and_headers_must_be_of_one_version() {
        let headers = package("linux-headers-7.3.4+deb13-arm64", "7.3.4-1");
        let meta = package("linux-source", "7.3.4-1");
        let check =
            |source| check_versions("7.3.4+deb13-arm64", &[headers.clone(), meta.clone(), source]);
        assert!(check(package("linux-source-7.3", "7.3.4-1")).is_ok());
        let error = check(package("linux-source-7.3", "7.3.5-1")).unwrap_err().to_string();
        assert!(error.contains("7.3.4-1") && error.contains("7.3.5-1"), "{error}");
        let planned = |source| {
            let common = package("linux-headers-7.3.4+deb13-common", "7.3.4-1");
            let newest = package("linux-headers-arm64", "7.3.4-1");
            check_plan(&[common, headers.clone(), newest, meta.clone(), source])
        };
        assert!(planned(package("linux-source-7.3", "7.3.4-1")).is_ok());
        assert!(planned(package("linux-source-7.3", "7.3.5-1")).is_err());
        assert!(check_versions("7.3.4+deb13-arm64", &[headers.clone(), meta.clone()]).is_err());
    }

    #[test]
    fn headers_are_found_with_what_they_share() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(Headers::in_tree(root.path()), Err(Error::NotInTree { .. })));
        let sources = root.path().join("usr/src");
        for file in
            ["linux-headers-7.3.4-arm64/Module.symvers", "linux-headers-7.3.4-common/Makefile"]
        {
            let path = sources.join(file);
            disk::make_folder(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let headers = Headers::in_tree(root.path()).unwrap();
        assert_eq!(headers.release, "7.3.4-arm64");
        assert_eq!(headers.common, sources.join("linux-headers-7.3.4-common"));
    }
}
