// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Whether the kernel will take a module: found out when it is built, not when it is
//! loaded.

use std::collections::HashSet;
use std::path::Path;

use object::read::elf::ElfFile64;
use object::{Object, ObjectSymbol};

use crate::error::{Error, Result};
use crate::modules;

/// What a module's `vermagic` says: the kernel's release and the settings that must
/// be the same.
pub(crate) fn version_magic(path: &Path, bytes: &[u8]) -> Result<String> {
    modules::information(path, bytes)?
        .into_iter()
        .find_map(|(key, value)| (key == "vermagic").then_some(value))
        .ok_or_else(|| Error::Malformed {
            path: path.to_owned(),
            what: "is a module that does not say for which kernel it is".to_owned(),
        })
}

/// Compares a module with the kernel's list of exported symbols (the text of
/// `Module.symvers`: checksum, symbol, where it is, how it is exported, namespace;
/// divided by tabs) and with the version magic of the kernel's own modules.
pub(crate) fn fits(path: &Path, bytes: &[u8], exported: &str, magic: &str) -> Result<()> {
    let does_not = |what: String| Error::DoesNotFit { module: path.to_owned(), what };
    let own = version_magic(path, bytes)?;
    if own != magic {
        return Err(does_not(format!("it is for `{own}`, and the kernel is `{magic}`")));
    }
    let exported: HashSet<&str> =
        exported.lines().filter_map(|line| line.split('\t').nth(1)).collect();
    let unknown: Vec<_> =
        undefined(path, bytes)?.into_iter().filter(|name| !exported.contains(&**name)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(does_not(format!("the kernel does not export {}", unknown.join(", "))))
}

/// The names of the symbols that a module expects of others.
fn undefined(path: &Path, bytes: &[u8]) -> Result<Vec<String>> {
    let malformed = |reason: object::Error| Error::Malformed {
        path: path.to_owned(),
        what: format!("is not a kernel module: {reason}"),
    };
    let file = ElfFile64::<object::Endianness>::parse(bytes).map_err(malformed)?;
    let names = file.symbols().filter(|symbol| symbol.is_undefined()).map(|symbol| symbol.name());
    let names = names.collect::<Result<Vec<_>, _>>().map_err(malformed)?;
    // The table starts with a symbol that has no name.
    Ok(names.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::write::{Object as Writer, Symbol, SymbolSection};
    use object::{
        Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
    };

    const MAGIC: &str = "7.3.4 SMP preempt mod_unload modversions aarch64";
    const EXPORTED: &str = "0x1\tkfree\tvmlinux\tEXPORT_SYMBOL\t\n\
                            0x2\tvfio_register_group_dev\tdrivers/vfio/vfio\tEXPORT_SYMBOL_GPL\t\n";

    fn module(magic: &str, undefined: &[&str]) -> Vec<u8> {
        let mut file = Writer::new(BinaryFormat::Elf, Architecture::Aarch64, Endianness::Little);
        let section = file.add_section(Vec::new(), b".modinfo".to_vec(), SectionKind::ReadOnlyData);
        let text = format!("license=GPL\0vermagic={magic}\0depends=vfio\0");
        file.append_section_data(section, text.as_bytes(), 1);
        let mut symbol = |name: &str, section| {
            file.add_symbol(Symbol {
                name: name.into(),
                value: 0,
                size: 0,
                kind: SymbolKind::Text,
                scope: SymbolScope::Linkage,
                weak: false,
                section,
                flags: SymbolFlags::None,
            });
        };
        symbol("init_module", SymbolSection::Section(section));
        undefined.iter().for_each(|name| symbol(name, SymbolSection::Undefined));
        file.write().unwrap()
    }

    fn check(module: &[u8]) -> Result<()> {
        fits(Path::new("x.ko"), module, EXPORTED, MAGIC)
    }

    #[test]
    fn a_module_may_use_what_is_exported() {
        check(&module(MAGIC, &["kfree", "vfio_register_group_dev"])).unwrap();
    }

    #[test]
    fn symbols_that_nobody_exports_are_named() {
        let error =
            check(&module(MAGIC, &["kfree", "kallsyms_lookup_name", "vmlinux"])).unwrap_err();
        let text = error.to_string();
        assert!(text.ends_with("does not export kallsyms_lookup_name, vmlinux"), "{text}");
    }

    #[test]
    fn a_module_for_another_kernel_does_not_fit() {
        let text = check(&module("7.3.5 SMP", &[])).unwrap_err().to_string();
        assert!(text.contains("`7.3.5 SMP`") && text.contains(MAGIC), "{text}");
    }

    #[test]
    fn what_is_no_module_is_refused() {
        assert!(matches!(check(b"text"), Err(Error::Malformed { .. })));
        let whole = module(MAGIC, &[]);
        assert!(matches!(check(whole.get(..70).unwrap()), Err(Error::Malformed { .. })));
    }
}
