// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Which module of the MC may name which: as the documentation of [`mc`](crate::mc)
//! says.

use crate::dpl::Config;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// What families are made of: these name no family, and nothing that does.
const SERVICES: [&str; 17] = [
    "assignment",
    "call",
    "connections",
    "containers",
    "family",
    "interfaces",
    "irq",
    "link",
    "memory",
    "object",
    "pools",
    "port_counters",
    "portals",
    "queue",
    "resources",
    "rules",
    "table_dump",
];

/// What stands above the families.
const ABOVE: [&str; 5] = ["dispatch", "families", "inventory", "loader", "portal"];

/// The words of the `use` statements of each module that reach into `mc`, and of
/// the paths `super::...` in its code.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/mc");
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut folders = vec![(folder, None)];
    while let Some((folder, within)) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
            if path.is_dir() && name != "tests" {
                folders.push((path, Some(name)));
            } else if path.is_file() && !["tests", "mod", "testing", "invariants"].contains(&&*name)
                || within.is_some() && name == "mod"
            {
                let text = fs::read_to_string(&path).expect("it is text");
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                let module = within.clone().unwrap_or(name);
                imports.entry(module).or_default().extend(words(code));
            }
        }
    }
    imports
}

fn words(code: &str) -> BTreeSet<String> {
    let statements = ["use super::", "use crate::mc::", "super::", "crate::mc::"];
    let starts = statements.iter().flat_map(|start| code.match_indices(start).map(|(at, _)| at));
    let texts = starts.map(|at| {
        let rest = &code[at..];
        let ends: &[char] = if rest.starts_with("use") { &[';'] } else { &['(', ' ', '\n', '>'] };
        rest.split(ends).next().unwrap_or_default()
    });
    let word = |c: char| !c.is_alphanumeric() && c != '_';
    texts.flat_map(|text| text.split(word)).map(str::to_owned).collect()
}

#[test]
fn families_do_not_name_each_other_and_services_name_no_family() {
    let families: BTreeSet<&str> =
        Config::FAMILIES.iter().map(|family| family.name()).chain(["dprc"]).collect();
    let imports = imports();
    let above = BTreeSet::from(ABOVE);
    for family in &families {
        let named = imports.get(*family).expect("a family has a module");
        for other in families.union(&above).filter(|other| *other != family) {
            assert!(!named.contains(*other), "{family} names {other}");
        }
    }
    for service in SERVICES.iter().chain(&["state"]) {
        let named = imports.get(*service).expect("a service has a module");
        for other in families.union(&above) {
            assert!(!named.contains(*other), "{service} names {other}");
        }
    }
    // What neither list nor table has would be looked at by nobody.
    let listed = families.iter().chain(&SERVICES).chain(&ABOVE);
    let listed: BTreeSet<&str> = listed.copied().collect();
    let leaves = BTreeSet::from(["delayed", "dpmng", "opr", "refusal", "session", "state"]);
    let unlisted = imports.keys().filter(|name| !listed.contains(&***name));
    assert_eq!(unlisted.map(|name| &**name).collect::<BTreeSet<_>>(), leaves);
}
