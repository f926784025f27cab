// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The driver of a checkout is built, and what is wrong with one is reported.
//!
//! Needs a network the first time (775 MB into the user's cache):
//! `cargo test -p setup -- --ignored`

use std::fs;
use std::path::Path;

use setup::{Cache, Error, PackageSet, Packages, Silent, Terminal, build_driver, lint_driver};

fn packages() -> Packages {
    let cache = Cache::from_env().unwrap();
    cache.ensure(&[PackageSet::Board, PackageSet::KernelBuild], &Terminal::new()).unwrap()
}

/// What the driver is made of, copied.
fn checkout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for part in ["driver", "crates/vfio-fsl-mc-core/src/logic"] {
        copy(&here.join(part), &folder.path().join(part));
    }
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The cache's folder for a checkout is not needed again.
fn forget(built: &Path) {
    fs::remove_dir_all(built.parent().unwrap()).unwrap();
}

#[test]
#[ignore = "fetches 775 MB the first time"]
fn the_same_sources_give_the_same_module_wherever_they_are() {
    let packages = packages();
    let (one, other) = (checkout(), checkout());
    let built = build_driver(one.path(), &packages, &Terminal::new()).unwrap();
    assert_eq!(built.module.name, "vfio_fsl_mc");
    assert_eq!(built.module.dependencies().unwrap(), ["vfio"]);
    // By an alias of the bus's, udev would load it on every board at boot.
    let information = built.module.information().unwrap();
    assert!(information.iter().all(|(key, _)| key != "alias"), "{information:?}");
    assert_eq!(built.release, packages.kernel().unwrap().release());
    let again = build_driver(one.path(), &packages, &Silent).unwrap();
    assert_eq!(again.module, built.module);
    let elsewhere = build_driver(other.path(), &packages, &Terminal::new()).unwrap();
    assert_ne!(elsewhere.module.path, built.module.path);
    assert!(elsewhere.module.bytes == built.module.bytes, "the module depends on its place");
    lint_driver(one.path(), &packages, &Terminal::new()).unwrap();
    // Nothing of the build is in the checkout.
    assert!(!one.path().join("driver/vfio-fsl-mc.ko").exists());
    assert!(!one.path().join("driver/Module.symvers").exists());
    forget(&built.module.path);
    forget(&elsewhere.module.path);
}

#[test]
#[ignore = "fetches 775 MB the first time"]
fn what_is_wrong_with_a_driver_is_text() {
    let packages = packages();
    let sources = checkout();
    let main = sources.path().join("driver/main.rs");
    let good = fs::read_to_string(&main).unwrap();
    let built = |text: &str| {
        fs::write(&main, text).unwrap();
        build_driver(sources.path(), &packages, &Silent)
    };
    let text = |error: Error| error.to_string();

    let wrong = text(built(&format!("{good}\nfn wrong() -> u32 {{ \"text\" }}\n")).unwrap_err());
    let place = fs::canonicalize(&main).unwrap();
    assert!(wrong.contains("mismatched types"), "{wrong}");
    assert!(wrong.contains(&place.display().to_string()), "the user's path is reported: {wrong}");

    // kbuild notices as well; a symbol of ours that modpost does not see is in
    // the module check's own tests.
    let missing = "unsafe extern \"C\" { fn no_such_symbol(); }\n\
                   #[unsafe(no_mangle)] pub extern \"C\" fn use_it() {\n    \
                   // SAFETY: Never called.\n    unsafe { no_such_symbol() }\n}\n";
    let unknown = text(built(&format!("{good}\n{missing}")).unwrap_err());
    assert!(unknown.contains("no_such_symbol"), "{unknown}");

    fs::write(&main, format!("{good}\nfn  badly_formatted( ) {{}}\n")).unwrap();
    let format = text(lint_driver(sources.path(), &packages, &Silent).unwrap_err());
    assert!(format.contains("badly_formatted"), "{format}");

    // After all of it, the good sources still build.
    let mended = built(&good).unwrap();
    forget(&mended.module.path);
}
