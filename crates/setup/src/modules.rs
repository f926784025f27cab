// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Kernel modules: which file, which others first.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use object::read::elf::ElfFile64;
use object::{Object, ObjectSection};

use crate::compression;
use crate::error::{Error, Result};

/// A kernel module, ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name as the kernel has it, with underscores.
    pub name: String,
    /// Where it was found, perhaps compressed.
    pub path: PathBuf,
    /// The uncompressed contents.
    pub bytes: Vec<u8>,
}

/// Resolves `names` with their dependencies, each module once, those that others
/// need first. A module that another one would have loaded before it (its soft
/// dependency) comes before it where the kernel has it.
pub(crate) fn in_load_order(release: &str, folder: &Path, names: &[&str]) -> Result<Vec<Module>> {
    let mut walk = Walk {
        release,
        loadable: listed(&folder.join("modules.order"))?,
        built_in: listed(&folder.join("modules.builtin"))?,
        folder,
        seen: HashSet::new(),
        ordered: Vec::new(),
    };
    for name in names {
        walk.visit(name, None)?;
    }
    Ok(walk.ordered)
}

struct Walk<'a> {
    release: &'a str,
    folder: &'a Path,
    /// Paths below `folder`, without the suffix of the compression.
    loadable: HashMap<String, PathBuf>,
    built_in: HashMap<String, PathBuf>,
    seen: HashSet<String>,
    ordered: Vec<Module>,
}

impl Walk<'_> {
    fn visit(&mut self, name: &str, wanted_by: Option<&str>) -> Result<()> {
        let name = canonical(name);
        // A module that is being visited is in the set too: a circle ends here.
        if !self.seen.insert(name.clone()) || self.built_in.contains_key(&name) {
            return Ok(());
        }
        let path = self.loadable.get(&name).ok_or_else(|| Error::NoSuchModule {
            release: self.release.to_owned(),
            name: name.clone(),
            wanted_by: wanted_by.map(str::to_owned),
        })?;
        let (path, bytes) = read(&self.folder.join(path))?;
        for dependency in dependencies(&path, &bytes)? {
            self.visit(&dependency, Some(&name))?;
        }
        for wanted in wanted_before(&path, &bytes)? {
            if let Some(module) = self.resolve(&wanted)? {
                self.visit(&module, Some(&name))?;
            }
        }
        self.ordered.push(Module { name, path, bytes });
        Ok(())
    }

    /// The loadable module that a soft dependency means: by its name, or by an alias.
    /// Aliases are looked for where implementations are called after what they
    /// implement, `crc32c_generic` after `crc32c`; a kernel's own index of all of them
    /// is made when it is installed.
    fn resolve(&self, wanted: &str) -> Result<Option<String>> {
        if self.loadable.contains_key(wanted) {
            return Ok(Some(wanted.to_owned()));
        }
        if self.built_in.contains_key(wanted) {
            return Ok(None);
        }
        let mut alike: Vec<_> =
            self.loadable.iter().filter(|(name, _)| name.starts_with(wanted)).collect();
        alike.sort();
        for (name, path) in alike {
            let (path, bytes) = read(&self.folder.join(path))?;
            let is_meant =
                |(key, alias): &(String, String)| key == "alias" && canonical(alias) == wanted;
            if information(&path, &bytes)?.iter().any(is_meant) {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }
}

/// Reads a list of module paths, one a line (the form of `modules.order` and
/// `modules.builtin`, from the kernel's kbuild documentation), by module name.
fn listed(path: &Path) -> Result<HashMap<String, PathBuf>> {
    let text = fs::read_to_string(path).map_err(Error::file("cannot read", path))?;
    let named = |line: &str| {
        let file = Path::new(line.trim());
        // In a kernel's own build folder the list has object files.
        let stem = file.file_stem()?.to_str()?;
        Some((canonical(stem), file.with_extension("ko")))
    };
    Ok(text.lines().filter_map(named).collect())
}

/// Names differ from file names in this alone.
pub(crate) fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// The files of all loadable modules as `modules.order` names them below `folder`, with
/// the suffix of their compression.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths: Vec<_> = listed(&folder.join("modules.order"))?.into_values().collect();
    paths.sort();
    paths.into_iter().map(|path| Ok(with_suffix(folder, &path)?.0)).collect()
}

/// Reads a module whichever way it is compressed.
fn read(plain: &Path) -> Result<(PathBuf, Vec<u8>)> {
    let (_, path) = with_suffix(Path::new(""), plain)?;
    let bytes = fs::read(&path).map_err(Error::file("cannot read", &path))?;
    let bytes = compression::decompress(&path, bytes)?;
    Ok((path, bytes))
}

/// Finds a module whichever way it is compressed; gives its path below `folder` and its
/// whole path.
fn with_suffix(folder: &Path, plain: &Path) -> Result<(PathBuf, PathBuf)> {
    for suffix in ["", ".xz", ".zst", ".gz"] {
        let mut path = plain.as_os_str().to_owned();
        path.push(suffix);
        let whole = folder.join(&path);
        if whole.exists() {
            return Ok((path.into(), whole));
        }
    }
    Err(Error::file("cannot read", folder.join(plain))(std::io::ErrorKind::NotFound.into()))
}

impl Module {
    /// What the module says of itself (the section `.modinfo`): pairs as `license`
    /// and `GPL`, in the order in which they stand there.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is no module.
    pub fn information(&self) -> Result<Vec<(String, String)>> {
        information(&self.path, &self.bytes)
    }

    /// The modules that it needs.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is no module.
    pub fn dependencies(&self) -> Result<Vec<String>> {
        dependencies(&self.path, &self.bytes)
    }
}

/// The `depends` entry: names divided by commas.
fn dependencies(path: &Path, bytes: &[u8]) -> Result<Vec<String>> {
    let entries = information(path, bytes)?.into_iter().filter(|(key, _)| key == "depends");
    let names = entries.flat_map(|(_, names)| {
        names.split(',').filter(|name| !name.is_empty()).map(canonical).collect::<Vec<_>>()
    });
    Ok(names.collect())
}

/// The modules or aliases of the `softdep` entries that go before the module:
/// `pre: a b post: c` (`MODULE_SOFTDEP` of `linux/module.h`).
fn wanted_before(path: &Path, bytes: &[u8]) -> Result<Vec<String>> {
    let mut wanted = Vec::new();
    for (_, text) in information(path, bytes)?.into_iter().filter(|(key, _)| key == "softdep") {
        let mut before = false;
        for word in text.split_whitespace() {
            match word {
                "pre:" => before = true,
                "post:" => before = false,
                name if before => wanted.push(canonical(name)),
                _ => {}
            }
        }
    }
    Ok(wanted)
}

/// The entries of the section `.modinfo`.
pub(crate) fn information(path: &Path, bytes: &[u8]) -> Result<Vec<(String, String)>> {
    let malformed = |reason: object::Error| Error::Malformed {
        path: path.to_owned(),
        what: format!("is not a kernel module: {reason}"),
    };
    let file = ElfFile64::<object::Endianness>::parse(bytes).map_err(malformed)?;
    let Some(section) = file.section_by_name(".modinfo") else {
        return Err(Error::Malformed {
            path: path.to_owned(),
            what: "is not a kernel module: it has no section .modinfo".to_owned(),
        });
    };
    // A row of `key=value` strings that end with a zero byte.
    let entries = section.data().map_err(malformed)?.split(|byte| *byte == 0);
    let pair = |entry: &[u8]| {
        let (key, value) = std::str::from_utf8(entry).ok()?.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    };
    Ok(entries.filter_map(pair).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// The least ELF file with a section `.modinfo`: header, the section's
    /// contents, the names of sections, three section headers.
    fn module_file(modinfo: &[u8]) -> Vec<u8> {
        let names = b"\0.modinfo\0.shstrtab\0";
        let (info_at, names_at) = (64u64, 64 + modinfo.len() as u64);
        let headers_at = (names_at + names.len() as u64).next_multiple_of(8);
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        let half = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
        let word = |file: &mut Vec<u8>, value: u32| file.extend(value.to_le_bytes());
        let long = |file: &mut Vec<u8>, value: u64| file.extend(value.to_le_bytes());
        half(&mut file, 1); // relocatable
        half(&mut file, 183); // AArch64
        word(&mut file, 1);
        long(&mut file, 0);
        long(&mut file, 0);
        long(&mut file, headers_at);
        word(&mut file, 0);
        for value in [64, 0, 0, 64, 3, 2] {
            half(&mut file, value);
        }
        file.extend(modinfo);
        file.extend(names);
        file.resize(usize::try_from(headers_at).unwrap(), 0);
        let sections = [
            (0, 0, 0, 0),
            (1, 1, info_at, modinfo.len() as u64),
            (10, 3, names_at, names.len() as u64),
        ];
        for (name, kind, at, size) in sections {
            word(&mut file, name);
            word(&mut file, kind);
            for value in [0, 0, at, size, 0, 1, 0] {
                // Link and info are two words, which zero fills as one.
                long(&mut file, value);
            }
        }
        file
    }

    /// A kernel's module folder: `(path, modinfo)` of the loadable ones.
    fn folder_with(modules: &[(&str, &str)], built_in: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut order = String::new();
        for (path, modinfo) in modules {
            let file = folder.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, module_file(modinfo.as_bytes())).unwrap();
            order.push_str(&format!("{path}\n"));
        }
        fs::write(folder.path().join("modules.order"), order).unwrap();
        fs::write(folder.path().join("modules.builtin"), built_in).unwrap();
        folder
    }

    fn names(folder: &tempfile::TempDir, wanted: &[&str]) -> Result<Vec<String>> {
        let modules = in_load_order("7.3.4-test", folder.path(), wanted)?;
        Ok(modules.into_iter().map(|module| module.name).collect())
    }

    fn vfio() -> tempfile::TempDir {
        folder_with(
            &[
                ("kernel/drivers/vfio/vfio.ko", "license=GPL\0depends=iommu-core\0name=vfio\0"),
                ("kernel/drivers/vfio/vfio_iommu_type1.ko", "depends=vfio\0"),
                ("kernel/drivers/vfio/fsl-mc/vfio-fsl-mc.ko", "depends=vfio,vfio_iommu_type1\0"),
                ("kernel/lone.ko", "depends=\0"),
            ],
            "kernel/drivers/iommu/iommu_core.ko\n",
        )
    }

    #[test]
    fn what_others_need_comes_first_and_once() {
        let order = names(&vfio(), &["vfio_fsl_mc", "vfio", "lone"]).unwrap();
        assert_eq!(order, ["vfio", "vfio_iommu_type1", "vfio_fsl_mc", "lone"]);
    }

    #[test]
    fn hyphen_and_underscore_are_the_same_and_built_in_ones_are_left_out() {
        assert_eq!(names(&vfio(), &["vfio-fsl-mc"]).unwrap().len(), 3);
        assert_eq!(names(&vfio(), &["iommu-core"]).unwrap(), [""; 0]);
    }

    #[test]
    fn a_missing_module_is_named_with_who_wants_it() {
        let folder = folder_with(&[("a.ko", "depends=nothere\0")], "");
        let error = names(&folder, &["a"]).unwrap_err().to_string();
        assert!(error.contains("`nothere` (needed by a)"), "{error}");
        assert!(matches!(
            names(&folder, &["zzz"]),
            Err(Error::NoSuchModule { wanted_by: None, .. })
        ));
    }

    #[test]
    fn a_circle_ends() {
        let folder = folder_with(&[("a.ko", "depends=b\0"), ("b.ko", "depends=a\0")], "");
        assert_eq!(names(&folder, &["a"]).unwrap(), ["b", "a"]);
    }

    /// erofs of Linux 6.12 finds its checksum only so.
    #[test]
    fn soft_dependencies_come_first_where_they_are_there() {
        let folder = folder_with(
            &[
                ("fs/erofs.ko", "depends=\0softdep=pre: libcrc32c nothere post: late\0"),
                ("lib/libcrc32c.ko", "depends=\0softdep=pre: crc32c\0"),
                ("crypto/crc32c_cryptodev.ko", "alias=other\0depends=\0"),
                ("crypto/crc32c_generic.ko", "alias=crypto-crc32c\0alias=crc32c\0depends=\0"),
                ("late.ko", "depends=\0"),
            ],
            "",
        );
        let order = names(&folder, &["erofs"]).unwrap();
        assert_eq!(order, ["crc32c_generic", "libcrc32c", "erofs"]);
    }

    #[test]
    fn compressed_modules_are_read() {
        let folder = vfio();
        let plain = folder.path().join("kernel/lone.ko");
        let bytes = fs::read(&plain).unwrap();
        fs::remove_file(&plain).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&bytes).unwrap();
        fs::write(plain.with_extension("ko.gz"), encoder.finish().unwrap()).unwrap();
        let modules = in_load_order("r", folder.path(), &["lone"]).unwrap();
        assert_eq!(modules[0].bytes, bytes);
        assert_eq!(modules[0].path, plain.with_extension("ko.gz"));
    }

    #[test]
    fn files_that_are_no_modules_are_refused() {
        let folder = vfio();
        let path = folder.path().join("kernel/lone.ko");
        let good = fs::read(&path).unwrap();
        let cut = |length: usize| good.get(..length).unwrap().to_vec();
        for bad in [Vec::new(), b"text".to_vec(), cut(40), cut(64), cut(good.len() - 70)] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(names(&folder, &["lone"]), Err(Error::Malformed { .. })));
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(names(&folder, &["lone"]), Err(Error::File { .. })));
    }
}
