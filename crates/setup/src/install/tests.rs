// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The life of a set, with tiny packages made here instead of an archive.

use std::cell::{Cell, RefCell};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, ExitStatus};

use super::*;
use crate::cache;
use crate::progress::Silent;

static SET: Set = Set {
    name: "probe",
    install: &["one", "two"],
    absent: &[],
    at_least: None,
    programs: &[],
    files: &["usr/lib/probe/one-*", "lib/two"],
    finish: Finish::AsItIs,
    scratch: 0,
};

/// Packages in a folder, that come into another folder when downloaded.
struct Shelf {
    folder: tempfile::TempDir,
    packages: RefCell<Vec<Package>>,
    downloads: Cell<usize>,
    failures: Cell<usize>,
    /// Whether new lists have a newer package, in place of an older one.
    moves_on: Cell<bool>,
    /// How the downloads that fail end, as the status of a process.
    ends: Cell<i32>,
    installed: u64,
}

impl Shelf {
    fn new() -> Self {
        let shelf = Self {
            folder: tempfile::tempdir().unwrap(),
            packages: RefCell::default(),
            downloads: Cell::new(0),
            failures: Cell::new(0),
            moves_on: Cell::new(false),
            ends: Cell::new(1 << 8),
            installed: 1 << 20,
        };
        shelf.offer("one", "1", &[("usr/lib/probe/one-1", "first"), ("usr/share/doc/x", "unread")]);
        shelf.offer("two", "1", &[("lib/two", "second"), ("usr/lib/other", "third")]);
        shelf
    }

    /// Makes a package, which replaces one of the same name.
    fn offer(&self, name: &str, version: &str, files: &[(&str, &str)]) {
        let root = self.folder.path().join(format!("{name}-{version}"));
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody\nDescription: x\n"
        );
        for (path, contents) in [("DEBIAN/control", control.as_str())].iter().chain(files) {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, contents).unwrap();
        }
        fs::create_dir_all(root.join("usr/lib/folder")).unwrap();
        let link = root.join(format!("usr/lib/folder/link-{name}"));
        std::os::unix::fs::symlink("/usr/lib/probe/one-1", link).unwrap();
        let file = format!("{name}_{version}_all.deb");
        let deb = self.folder.path().join(&file);
        let made = Command::new("dpkg-deb").arg("-b").arg(&root).arg(&deb).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut packages = self.packages.borrow_mut();
        packages.retain(|package| package.name != name);
        packages.push(Package {
            name: name.into(),
            architecture: "all".into(),
            version: version.into(),
            file,
            size: fs::metadata(&deb).unwrap().len(),
        });
        packages.sort();
    }

    fn install(&self, cache: &Cache, why: Why) -> Result<OpenTree> {
        install(cache, &SET, why, self, &Silent)
    }
}

impl Archive for Shelf {
    fn prepare(&self) -> Result<()> {
        disk::make_folder(&self.folder.path().join("here"))
    }

    fn update(&self, always: bool, _progress: &dyn Progress) -> Result<()> {
        if always && self.moves_on.take() {
            self.offer("two", "2", &[("lib/two", "newer")]);
            fs::remove_file(self.folder.path().join("two_1_all.deb")).unwrap();
        }
        Ok(())
    }

    fn plan(&self, _set: &Selection) -> Result<Vec<Package>> {
        Ok(self.packages.borrow().clone())
    }

    fn installed_size(&self, _packages: &[Package]) -> Result<u64> {
        Ok(self.installed)
    }

    fn download(
        &self,
        _set: &Selection,
        packages: &[Package],
        _progress: &dyn Progress,
    ) -> Result<()> {
        self.downloads.set(self.downloads.get() + 1);
        if self.failures.get() > 0 {
            self.failures.set(self.failures.get() - 1);
            let status = ExitStatus::from_raw(self.ends.get());
            let output = "E: gone".to_owned();
            return Err(Error::Apt { action: "downloading".into(), status, output, advice: None });
        }
        for package in packages {
            let here = self.file(package);
            if !here.exists() {
                fs::copy(self.folder.path().join(&package.file), here).unwrap();
            }
        }
        Ok(())
    }

    fn file(&self, package: &Package) -> PathBuf {
        self.folder.path().join("here").join(&package.file)
    }

    fn forget(&self) -> Result<()> {
        disk::remove_folder(&self.folder.path().join("here"))
    }
}

fn new_cache() -> (tempfile::TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("deep/cache")).unwrap();
    (folder, cache)
}

#[test]
fn a_set_is_brought_in_once() {
    let (_folder, cache) = new_cache();
    let shelf = Shelf::new();
    assert!(cache.open(&SET).unwrap().is_none());
    let tree = shelf.install(&cache, Why::Missing).unwrap();
    assert_eq!(fs::read_to_string(tree.root.join("usr/lib/probe/one-1")).unwrap(), "first");
    assert!(!tree.root.join("usr/share/doc").exists(), "documentation takes space");
    assert!(!shelf.folder.path().join("here/one_1_all.deb").exists(), "packages take space");
    cache::verify(&tree.root, &Silent).unwrap();
    let again = cache.open(&SET).unwrap().unwrap();
    assert_eq!(again.root, tree.root);
    shelf.install(&cache, Why::Missing).unwrap();
    assert_eq!(shelf.downloads.get(), 1);
}

#[test]
fn top_folders_lead_into_usr_and_links_stay_inside() {
    let (_folder, cache) = new_cache();
    let root = Shelf::new().install(&cache, Why::Missing).unwrap().root;
    assert_eq!(fs::read_link(root.join("lib")).unwrap(), Path::new("usr/lib"));
    assert_eq!(fs::read_to_string(root.join("usr/lib/two")).unwrap(), "second");
    assert_eq!(fs::read_to_string(root.join("lib/other")).unwrap(), "third");
    let link = root.join("usr/lib/folder/link-two");
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("../../../usr/lib/probe/one-1"));
    assert_eq!(fs::read_to_string(link).unwrap(), "first");
}

#[test]
fn what_an_interrupted_run_left_is_not_taken_for_a_tree() {
    let (_folder, cache) = new_cache();
    let shelf = Shelf::new();
    let partial = cache.trees().join(".probe.partial");
    disk::make_folder(&partial.join("usr/lib/probe")).unwrap();
    fs::write(partial.join("usr/lib/probe/one-stale"), "half").unwrap();
    // As if the machine had stopped after the tree was moved, before the stamp.
    let name = tree_name(&SET, &shelf.packages.borrow()).unwrap();
    let root = cache.trees().join(name);
    disk::make_folder(&root.join("usr/lib/probe")).unwrap();
    fs::write(root.join("usr/lib/probe/one-1"), "fi").unwrap();
    assert!(cache.open(&SET).unwrap().is_none());
    let tree = shelf.install(&cache, Why::Missing).unwrap();
    assert_eq!(tree.root, root);
    assert!(!root.join("usr/lib/probe/one-stale").exists());
    assert!(!partial.exists());
    cache::verify(&root, &Silent).unwrap();
}

#[test]
fn a_package_that_is_cut_short_leaves_the_old_tree_current() {
    let (_folder, cache) = new_cache();
    let shelf = Shelf::new();
    let old = shelf.install(&cache, Why::Missing).unwrap().root;
    shelf.offer("two", "2", &[("lib/two", "newer")]);
    let deb = shelf.folder.path().join("two_2_all.deb");
    let bytes = fs::read(&deb).unwrap();
    fs::write(&deb, bytes.get(..bytes.len() / 2).unwrap()).unwrap();
    let error = shelf.install(&cache, Why::Refresh).unwrap_err();
    assert!(matches!(&error, Error::Unpack { package, .. } if package.ends_with("two_2_all.deb")));
    assert_eq!(cache.open(&SET).unwrap().unwrap().root, old);
    // The next run fetches it again.
    fs::write(&deb, bytes).unwrap();
    let new = shelf.install(&cache, Why::Refresh).unwrap();
    assert_eq!(fs::read_to_string(new.root.join("lib/two")).unwrap(), "newer");
    assert!(!old.exists());
}

#[test]
fn a_tree_in_use_survives_a_refresh() {
    let (_folder, cache) = new_cache();
    let shelf = Shelf::new();
    let old = shelf.install(&cache, Why::Missing).unwrap();
    shelf.offer("one", "2", &[("usr/lib/probe/one-2", "newer")]);
    let new = shelf.install(&cache, Why::Refresh).unwrap();
    assert_ne!(new.root, old.root);
    assert!(old.root.join("usr/lib/probe/one-1").exists());
    let old_root = old.root.clone();
    drop(old);
    shelf.install(&cache, Why::Refresh).unwrap();
    assert!(!old_root.exists() && !cache::lock_path(&old_root).exists());
    assert_eq!(cache.open(&SET).unwrap().unwrap().root, new.root);
}

#[test]
fn a_tree_that_lost_a_key_file_is_unpacked_again() {
    let (_folder, cache) = new_cache();
    let shelf = Shelf::new();
    let root = shelf.install(&cache, Why::Missing).unwrap().root;
    fs::write(root.join("usr/lib/two"), "secon").unwrap();
    assert!(cache.open(&SET).unwrap().is_none());
    shelf.install(&cache, Why::Missing).unwrap();
    assert_eq!(fs::read_to_string(root.join("usr/lib/two")).unwrap(), "second");
}

#[test]
fn verification_finds_what_a_glance_does_not_and_a_set_up_mends_it() {
    let (_folder, cache) = new_cache();
    let shelf = Shelf::new();
    let root = shelf.install(&cache, Why::Missing).unwrap().root;
    fs::write(root.join("usr/lib/two"), "sEcond").unwrap();
    fs::remove_file(root.join("usr/lib/other")).unwrap();
    assert!(cache.open(&SET).unwrap().is_some());
    let Err(Error::Damaged { differing, checked: 3, .. }) = cache.verify_tree(&SET, &root, &Silent)
    else {
        panic!("the damage is not found")
    };
    assert_eq!(differing, [Path::new("usr/lib/other"), Path::new("usr/lib/two")]);
    // The next set-up mends it.
    shelf.install(&cache, Why::Missing).unwrap();
    cache.verify_tree(&SET, &root, &Silent).unwrap();
    assert!(cache.open(&SET).unwrap().is_some());
}

#[test]
fn a_tree_that_is_being_replaced_is_not_current() {
    let (_folder, cache) = new_cache();
    let shelf = Shelf::new();
    let root = shelf.install(&cache, Why::Missing).unwrap().root;
    // What comes after the old tree has gone and before the new one is current fails.
    let manifest = cache::manifest_path(&root);
    fs::remove_file(&manifest).unwrap();
    disk::make_folder(&manifest).unwrap();
    assert!(shelf.install(&cache, Why::Damaged).is_err());
    assert!(cache.open(&SET).unwrap().is_none());
    disk::remove_folder(&manifest).unwrap();
    shelf.install(&cache, Why::Missing).unwrap();
    cache::verify(&root, &Silent).unwrap();
}

#[test]
fn a_damaged_tree_in_use_is_not_pulled_away() {
    let (_folder, cache) = new_cache();
    let shelf = Shelf::new();
    let used = shelf.install(&cache, Why::Missing).unwrap();
    fs::write(used.root.join("usr/lib/two"), "sEcond").unwrap();
    assert!(cache.verify_tree(&SET, &used.root, &Silent).is_err());
    let error = shelf.install(&cache, Why::Missing).unwrap_err();
    assert!(matches!(&error, Error::InUse { what, .. } if *what == used.root), "{error}");
    assert_eq!(fs::read_to_string(used.root.join("usr/lib/two")).unwrap(), "sEcond");
    let root = used.root.clone();
    drop(used);
    shelf.install(&cache, Why::Missing).unwrap();
    cache::verify(&root, &Silent).unwrap();
}

#[test]
fn a_download_is_tried_twice() {
    let (_folder, cache) = new_cache();
    let shelf = Shelf::new();
    shelf.failures.set(1);
    shelf.moves_on.set(true);
    let tree = shelf.install(&cache, Why::Missing).unwrap();
    assert_eq!(shelf.downloads.get(), 2);
    // The archive has moved on in between: what it has now counts.
    assert_eq!(fs::read_to_string(tree.root.join("lib/two")).unwrap(), "newer");
    let name = tree_name(&SET, &shelf.packages.borrow()).unwrap();
    assert_eq!(tree.root, cache.trees().join(name));
    shelf.failures.set(2);
    assert!(matches!(shelf.install(&cache, Why::Damaged), Err(Error::Apt { .. })));
}

#[test]
fn sources_of_another_version_are_not_downloaded() {
    static BUILD: Set = Set { finish: Finish::BuildTree(1), ..SET };
    let (_folder, cache) = new_cache();
    let shelf = Shelf::new();
    shelf.offer("linux-headers-7.3.4-arm64", "7.3.4-1", &[]);
    shelf.offer("linux-source-7.3", "7.3.5-1", &[]);
    let error = install(&cache, &BUILD, Why::Missing, &shelf, &Silent).unwrap_err();
    assert!(matches!(error, Error::SourceVersion { .. }), "{error}");
    assert_eq!(shelf.downloads.get(), 0);
}

#[test]
fn a_download_that_a_signal_ends_is_not_tried_again() {
    let (_folder, cache) = new_cache();
    let shelf = Shelf::new();
    shelf.failures.set(1);
    // Killed by SIGINT.
    shelf.ends.set(2);
    assert!(matches!(shelf.install(&cache, Why::Missing), Err(Error::Apt { .. })));
    assert_eq!(shelf.downloads.get(), 1);
}

#[test]
fn a_package_that_is_not_unpacked_for_a_signal_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("one_1_all.deb");
    let fail = |raw: i32, said: &str| {
        fs::write(&file, "a package").unwrap();
        discard_damaged(&tree::not_unpacked(&file, ExitStatus::from_raw(raw), said));
        file.exists()
    };
    assert!(!fail(2 << 8, "dpkg-deb: error: not a Debian format archive"));
    assert!(fail(2, ""), "SIGINT");
    assert!(fail(2 << 8, "dpkg-deb: error: tar subprocess was killed by signal (Killed)"));
}

#[test]
fn what_takes_space_for_nothing_goes_first() {
    let (_folder, cache) = new_cache();
    let shelf = Shelf::new();
    // One package more than unpacks: what was unpacked before it must not stay.
    shelf.offer("zero", "1", &[("usr/lib/zero", "zero")]);
    fs::write(shelf.folder.path().join("zero_1_all.deb"), "no package").unwrap();
    assert!(matches!(shelf.install(&cache, Why::Missing), Err(Error::Unpack { .. })));
    assert!(disk::entries(&cache.trees()).unwrap().is_empty());
    let partial = cache.trees().join(".probe.partial");
    // A run that was killed leaves it, and maybe that of another set.
    let other = cache.trees().join(".other.partial");
    disk::make_folder(&partial).unwrap();
    disk::make_folder(&other).unwrap();
    let shelf = Shelf { installed: u64::MAX, ..Shelf::new() };
    assert!(matches!(shelf.install(&cache, Why::Missing), Err(Error::NoSpace { .. })));
    assert!(!partial.exists() && !other.exists());
}

#[test]
fn packages_that_are_there_take_no_space_again() {
    let (_folder, cache) = new_cache();
    let mut shelf = Shelf { installed: 0, ..Shelf::new() };
    shelf.prepare().unwrap();
    disk::make_folder(cache.folder()).unwrap();
    // More than the disk has room for.
    let size = disk::free_bytes(cache.folder()).unwrap() + (1 << 30);
    for package in shelf.packages.get_mut() {
        package.size = size;
    }
    let plan = |shelf: &Shelf| Plan::of(shelf, SET.selection()).unwrap();
    assert!(check_space(&cache, 0, &shelf, &plan(&shelf)).is_err());
    for package in &plan(&shelf).packages {
        // All hole.
        fs::File::create(shelf.file(package)).unwrap().set_len(size).unwrap();
    }
    check_space(&cache, 0, &shelf, &plan(&shelf)).unwrap();
}

#[test]
fn a_set_that_does_not_fit_is_not_started() {
    let (_folder, cache) = new_cache();
    let shelf = Shelf { installed: u64::MAX, ..Shelf::new() };
    let error = shelf.install(&cache, Why::Missing).unwrap_err();
    assert!(matches!(&error, Error::NoSpace { set, .. } if set == "probe"), "{error}");
    assert_eq!(shelf.downloads.get(), 0);
}

#[test]
fn a_stamp_of_another_recipe_or_of_no_sense_is_ignored() {
    let (_folder, cache) = new_cache();
    let shelf = Shelf::new();
    shelf.install(&cache, Why::Missing).unwrap();
    let path = cache.stamp_path(&SET);
    let mut stamp = cache.stamp(&SET).unwrap();
    stamp.recipe.push_str(" three");
    disk::write_json(&path, &stamp).unwrap();
    assert!(cache.open(&SET).unwrap().is_none());
    fs::write(&path, "{").unwrap();
    assert!(cache.open(&SET).unwrap().is_none());
    shelf.install(&cache, Why::Missing).unwrap();
    assert!(cache.open(&SET).unwrap().is_some());
}

#[test]
fn two_that_come_at_once_do_the_work_once() {
    let (_folder, cache) = new_cache();
    let roots: Vec<_> = std::thread::scope(|scope| {
        let work = || {
            let shelf = Shelf::new();
            let root = shelf.install(&cache, Why::Missing).unwrap().root;
            (root, shelf.downloads.get())
        };
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(roots[0].0, roots[1].0);
    assert_eq!(roots[0].1 + roots[1].1, 1);
}

#[test]
fn a_set_without_its_key_files_is_an_error() {
    let (_folder, cache) = new_cache();
    let shelf = Shelf::new();
    shelf.offer("two", "2", &[("lib/three", "third")]);
    let error = shelf.install(&cache, Why::Missing).unwrap_err();
    assert!(matches!(&error, Error::NotInTree { what, .. } if what == "lib/two"), "{error}");
    assert!(cache.open(&SET).unwrap().is_none());
}

#[test]
fn a_cache_that_may_not_be_written_says_so() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    // Root may write anywhere but below a file.
    fs::write(folder.path().join("file"), "").ok();
    let below = if folder.path().join("file").exists() { "file/cache" } else { "cache" };
    let cache = Cache::at(folder.path().join(below)).unwrap();
    let error = Shelf::new().install(&cache, Why::Missing).unwrap_err().to_string();
    assert!(error.starts_with("cannot make the folder") && error.contains(below), "{error}");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn folders_that_would_be_misread_are_refused() {
    for wrong in ["relative", "/a:b", "/it's", "/a\"b", "/$x", "/a\nb"] {
        assert!(matches!(Cache::at(wrong), Err(Error::UnusableFolder(_))), "{wrong}");
    }
    assert!(Cache::at("/with space/ü").is_ok());
}
