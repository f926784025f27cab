// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! `fslmc board check`: what the Management Complex makes of a layout.

use board::{
    Soc,
    dpl::{Dpc, Dpl, Layout, Loader},
    mc,
};
use miette::{Result, miette};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// Checks files and prints what they make; an error for those that are refused.
///
/// # Errors
/// What is wrong with each of the files.
pub fn check(files: &[PathBuf], loader: &Loader, soc: &Soc) -> Result<()> {
    let loader = loader.for_soc(soc);
    let mut refused = 0;
    for file in files {
        match describe(file, &loader, soc) {
            Ok(text) => print!("{text}"),
            Err(error) => {
                refused += 1;
                eprintln!("{error}");
            }
        }
    }
    match refused {
        0 => Ok(()),
        1 if files.len() == 1 => Err(miette!("the Management Complex refuses this file")),
        n => Err(miette!("the Management Complex refuses {n} of {} files", files.len())),
    }
}

fn describe(file: &Path, loader: &Loader, soc: &Soc) -> Result<String, String> {
    let loaded = loader.file(file).map_err(|e| e.to_string())?;
    for warning in &loaded.warnings.list {
        eprintln!("{warning}");
    }
    match loaded.layout {
        Layout::Dpl(dpl) => describe_layout(file, &dpl, soc),
        Layout::Dpc(dpc) => Ok(describe_configuration(file, &dpc)),
    }
}

/// A layout is made for real: by the same code that runs when a board boots.
fn describe_layout(file: &Path, dpl: &Dpl, soc: &Soc) -> Result<String, String> {
    let config = mc::Config { soc: soc.clone(), icids: 64, ..Default::default() };
    let inventory = mc::Inventory::of_layout(config, dpl, None)
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let objects: usize = inventory.containers.iter().map(|c| c.objects.len()).sum();
    let containers = inventory.containers.len();
    let noun = if containers == 1 { "container" } else { "containers" };
    let file = file.display();
    let mut text = format!("{file}: layout, {containers} {noun} with {objects} objects\n");
    for container in &inventory.containers {
        let _ = write!(text, "{}", Block(container));
    }
    for (one, other) in &inventory.connections {
        let _ = writeln!(text, "  {one} is connected to {other}");
    }
    Ok(text)
}

struct Block<'a>(&'a mc::ContainerInventory);

impl std::fmt::Display for Block<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let container = self.0;
        write!(f, "  {}", container.id)?;
        match container.parent {
            Some(parent) => write!(f, " in {parent}")?,
            None => write!(f, ", the root")?,
        }
        writeln!(
            f,
            ": icid {}, portal {}, {}",
            container.icid, container.portal, container.options
        )?;
        let mut families: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for object in &container.objects {
            families.entry(object.id.kind.name()).or_default().push(object.id.id);
        }
        for (family, ids) in families {
            writeln!(f, "    {:<7} {:>3}: {}", family, ids.len(), ranges(&ids))?;
        }
        Ok(())
    }
}

/// Ascending numbers as `0-3, 7`.
fn ranges(ids: &[u32]) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for &id in ids {
        match parts.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(id) => *last = id,
            _ => parts.push((id, id)),
        }
    }
    let parts = parts.into_iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        _ => format!("{first}-{last}"),
    });
    parts.collect::<Vec<_>>().join(", ")
}

fn describe_configuration(file: &Path, dpc: &Dpc) -> String {
    let mut text = format!("{}: configuration, {} ports\n", file.display(), dpc.ports.len());
    for port in &dpc.ports {
        let _ = write!(text, "  dpmac.{}", port.id);
        if let Some(link) = &port.link_type {
            let _ = write!(text, ": link type {}", format!("{link:?}").to_uppercase());
        }
        text.push('\n');
    }
    if !dpc.icid_pools.is_empty() {
        let config = mc::Config::default();
        let asked = config.icids;
        let config = config.within(Some(dpc));
        let last = u32::from(config.first_icid) + u32::from(config.icids).saturating_sub(1);
        let _ = write!(text, "  isolation ids {} to {last}", config.first_icid);
        text.push_str(if config.icids < asked {
            ", all that it leaves\n"
        } else {
            ", of which --containers takes more\n"
        });
    }
    if let Some(converted) = dpc.wq_ch_conversion {
        let (two, eight) =
            (board::soc::CHANNELS.two_wide(converted), board::soc::CHANNELS.eight_wide(converted));
        let (two, eight) = (two.count, eight.count);
        let _ = writeln!(text, "  {eight} channels of eight work queues, {two} of two");
    }
    let unused = [
        ("the log in memory", dpc.log.is_some()),
        ("the log on a serial port", dpc.console.is_some()),
        ("the number of buffers", dpc.total_bman_buffers.is_some()),
    ];
    let unused: Vec<_> = unused.into_iter().filter(|(_, there)| *there).map(|(n, _)| n).collect();
    if !unused.is_empty() {
        let _ = writeln!(text, "  without effect here: {}", unused.join(", "));
    }
    text
}

/// Prints the source of the layout that boots where none is given.
pub fn print_default() {
    print!("{}", board::dpl::layouts::ALL[0].source);
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn numbers_are_told_in_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2, 5, 7-8");
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[u32::MAX]), "4294967295");
    }
}
