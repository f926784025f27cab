// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The list of kernel modules that the host ships: `/lib/modules-order`.
//!
//! One module per line, columns separated by blanks, `#` starts a comment:
//!
//! ```text
//! # stage  name              path                              needs             parameters
//! early    virtio_mmio       /lib/modules/virtio_mmio.ko       -
//! early    virtio_console    /lib/modules/virtio_console.ko    -
//! demand   vfio              /lib/modules/vfio.ko              -
//! demand   vfio_iommu_type1  /lib/modules/vfio_iommu_type1.ko  vfio              allow_unsafe_interrupts=1
//! demand   vfio-fsl-mc       /lib/modules/vfio-fsl-mc.ko       vfio,irqbypass
//! builtin  fsl-mc-dpio
//! ```
//!
//! `early` modules are loaded in the order of the file before the agent looks for
//! its ports; `demand` modules when something asks for them by name. `needs` names
//! modules of the same list that must be loaded first (`-` for none). A file whose name ends in
//! `.xz`, `.gz` or `.zst` is left to the kernel to unpack. `builtin` names what is a part of the
//! kernel: to load it is nothing to do, and no error.

use std::fmt;

/// The first word of a line for what is no file.
const BUILT_IN: &str = "builtin";

/// Where the list lies in the guest.
pub const PATH: &str = "/lib/modules-order";

/// When a module is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// At start, before the ports are looked for.
    Early,
    /// When asked for by name.
    Demand,
}

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// When it is loaded.
    pub stage: Stage,
    /// Its name; `-` and `_` are the same.
    pub name: String,
    /// Absolute path in the guest, without blanks.
    pub path: String,
    /// Names of modules that come first.
    pub needs: Vec<String>,
    /// Parameters, `a=1 b=2`.
    pub parameters: String,
}

/// The shipped modules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleList {
    /// In the order of the file.
    pub modules: Vec<Module>,
    /// Names of what the kernel has built in, as far as the host has looked.
    pub built_in: Vec<String>,
}

/// What can be wrong with a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// A line has fewer than four columns.
    #[error(
        "line {line} of the module list has {columns} columns, not at least stage, name, path and dependencies"
    )]
    Columns {
        /// Counted from 1.
        line: usize,
        /// How many there are.
        columns: usize,
    },
    /// A line says that something is built in, and not what.
    #[error("line {line} of the module list says builtin without one name after it")]
    BuiltIn {
        /// Counted from 1.
        line: usize,
    },
    /// The first column is something else.
    #[error(
        "line {line} of the module list starts with {word:?}, not with early, demand or builtin"
    )]
    Stage {
        /// Counted from 1.
        line: usize,
        /// What stands there.
        word: String,
    },
    /// A name is not in the list.
    #[error("module {name} is not in the guest's image{}; the image has {known}", wanted_by(.needed_by))]
    Unknown {
        /// The name.
        name: String,
        /// The module that needs it, if that is how it came up.
        needed_by: Option<String>,
        /// All names of the list.
        known: String,
    },
    /// Modules need each other.
    #[error("module {name} depends on itself through {path}")]
    Circle {
        /// The name.
        name: String,
        /// The modules in between.
        path: String,
    },
}

fn wanted_by(needed_by: &Option<String>) -> String {
    needed_by.as_ref().map(|by| format!(", but {by} needs it")).unwrap_or_default()
}

impl ModuleList {
    /// Reads the text of a list.
    ///
    /// # Errors
    /// [`ListError::Columns`], [`ListError::BuiltIn`] and [`ListError::Stage`].
    pub fn parse(text: &str) -> Result<Self, ListError> {
        let mut list = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let mut words = line.split_whitespace();
            if words.next() == Some(BUILT_IN) {
                let (Some(name), None) = (words.next(), words.next()) else {
                    return Err(ListError::BuiltIn { line: index + 1 });
                };
                list.built_in.push(name.to_owned());
            } else {
                list.modules.push(module_of(index + 1, line)?);
            }
        }
        Ok(list)
    }

    /// Whether the guest has a module of that name, as a file or built into its kernel.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some() || self.is_built_in(name)
    }

    fn is_built_in(&self, name: &str) -> bool {
        self.built_in.iter().any(|known| same_name(known, name))
    }

    /// The modules to load at start, in order.
    pub fn early(&self) -> impl Iterator<Item = &Module> {
        self.modules.iter().filter(|module| module.stage == Stage::Early)
    }

    /// The module of that name.
    pub fn find(&self, name: &str) -> Option<&Module> {
        self.modules.iter().find(|module| same_name(&module.name, name))
    }

    /// The module and all that it needs, in loading order; nothing for one that is built in.
    ///
    /// # Errors
    /// [`ListError::Unknown`] and [`ListError::Circle`].
    pub fn with_needs(&self, name: &str) -> Result<Vec<&Module>, ListError> {
        let mut order = Vec::new();
        self.collect(name, &mut Vec::new(), &mut order)?;
        Ok(order)
    }

    fn collect<'a>(
        &'a self,
        name: &str,
        above: &mut Vec<&'a str>,
        order: &mut Vec<&'a Module>,
    ) -> Result<(), ListError> {
        let Some(module) = self.find(name) else {
            if self.is_built_in(name) {
                return Ok(());
            }
            return Err(ListError::Unknown {
                name: name.to_owned(),
                needed_by: above.last().map(|&by| by.to_owned()),
                known: self.modules.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", "),
            });
        };
        if above.iter().any(|&upper| same_name(upper, name)) {
            return Err(ListError::Circle { name: name.to_owned(), path: above.join(" -> ") });
        }
        if order.iter().any(|known| same_name(&known.name, name)) {
            return Ok(());
        }
        above.push(&module.name);
        for need in &module.needs {
            self.collect(need, above, order)?;
        }
        above.pop();
        order.push(module);
        Ok(())
    }
}

/// Whether two module names mean the same module.
pub fn same_name(one: &str, other: &str) -> bool {
    let plain = |byte: u8| if byte == b'-' { b'_' } else { byte };
    one.bytes().map(plain).eq(other.bytes().map(plain))
}

fn module_of(line_number: usize, line: &str) -> Result<Module, ListError> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let [stage, name, path, needs, parameters @ ..] = columns.as_slice() else {
        return Err(ListError::Columns { line: line_number, columns: columns.len() });
    };
    let stage = match *stage {
        "early" => Stage::Early,
        "demand" => Stage::Demand,
        word => return Err(ListError::Stage { line: line_number, word: word.to_owned() }),
    };
    let needs = match *needs {
        "-" => Vec::new(),
        names => names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
    };
    Ok(Module {
        stage,
        name: (*name).to_owned(),
        path: (*path).to_owned(),
        needs,
        parameters: parameters.join(" "),
    })
}

impl fmt::Display for ModuleList {
    /// The text that [`ModuleList::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for module in &self.modules {
            let stage = match module.stage {
                Stage::Early => "early",
                Stage::Demand => "demand",
            };
            let needs =
                if module.needs.is_empty() { "-".to_owned() } else { module.needs.join(",") };
            let line =
                format!("{stage} {} {} {needs} {}", module.name, module.path, module.parameters);
            writeln!(f, "{}", line.trim_end())?;
        }
        self.built_in.iter().try_for_each(|name| writeln!(f, "{BUILT_IN} {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# stage name path needs parameters
early virtio_mmio /lib/modules/virtio_mmio.ko -
demand irqbypass /lib/modules/irqbypass.ko -
demand vfio /lib/modules/vfio.ko.xz -
demand vfio_iommu_type1 /lib/modules/vfio_iommu_type1.ko vfio allow_unsafe_interrupts=1 x=2
demand vfio-fsl-mc /lib/modules/vfio-fsl-mc.ko vfio,irqbypass   # by name
builtin fsl-mc-dpio
";

    fn names(modules: &[&Module]) -> Vec<String> {
        modules.iter().map(|module| module.name.clone()).collect()
    }

    #[test]
    fn text_and_list_are_the_same_thing() {
        let list = ModuleList::parse(TEXT).unwrap();
        assert_eq!(list.modules.len(), 5);
        assert_eq!(list.early().count(), 1);
        assert_eq!(list.built_in, ["fsl-mc-dpio"]);
        assert_eq!(list.modules[3].parameters, "allow_unsafe_interrupts=1 x=2");
        assert_eq!(ModuleList::parse(&list.to_string()).unwrap(), list);
    }

    #[test]
    fn needs_come_first_and_once() {
        let list = ModuleList::parse(TEXT).unwrap();
        let order = list.with_needs("vfio_fsl_mc").unwrap();
        assert_eq!(names(&order), ["vfio", "irqbypass", "vfio-fsl-mc"]);
    }

    #[test]
    fn a_missing_module_is_named_with_the_one_that_needs_it() {
        let list = ModuleList::parse("demand a /a.ko b\n").unwrap();
        let error = list.with_needs("a").unwrap_err().to_string();
        assert!(error.contains("module b") && error.contains("a needs it"), "{error}");
    }

    #[test]
    fn what_is_built_in_needs_no_file() {
        let list = ModuleList::parse("demand a /a.ko b_c\nbuiltin b-c\n").unwrap();
        assert_eq!(names(&list.with_needs("a").unwrap()), ["a"]);
        assert_eq!(list.with_needs("b_c"), Ok(Vec::new()));
        assert!(list.has("b-c") && list.has("a") && !list.has("c"));
        assert!(list.find("b-c").is_none());
    }

    #[test]
    fn a_circle_ends() {
        let list = ModuleList::parse("demand a /a.ko b\ndemand b /b.ko a\n").unwrap();
        assert!(matches!(list.with_needs("a"), Err(ListError::Circle { .. })));
    }

    #[test]
    fn a_bad_line_is_named_by_number() {
        assert_eq!(
            ModuleList::parse("# x\nearly a /a.ko\n"),
            Err(ListError::Columns { line: 2, columns: 3 })
        );
        assert_eq!(ModuleList::parse("builtin\n"), Err(ListError::BuiltIn { line: 1 }));
        assert_eq!(ModuleList::parse("\nbuiltin a b\n"), Err(ListError::BuiltIn { line: 2 }));
        assert!(matches!(
            ModuleList::parse("late a /a.ko -\n"),
            Err(ListError::Stage { line: 1, .. })
        ));
    }
}
