// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the host must have before a container is taken from it, and taking it.
#![cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]

use crate::cli::Cli;
use crate::error::Error;
use crate::streams::tell;
use fsl_mc_linux::bus::{ALLOCATOR_DRIVER, Bus, Device, HOST_DRIVER, ROOT, VFIO_DRIVER, family};
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A parameter that only this project's driver has.
const OWN_PARAMETER: &str = "/sys/module/vfio_fsl_mc/parameters/command_policy";

const KVM: &str = "/dev/kvm";
const VFIO: &str = "/dev/vfio/vfio";
/// Where VFIO has a file for each group, by its number.
const GROUPS: &str = "/dev/vfio";

/// What the host's processor and this process may do.
#[derive(Debug, Clone, Copy)]
pub struct Abilities {
    /// KVM shares a device's cacheable memory with a guest
    /// (KVM_CAP_ARM_CACHEABLE_PFNMAP_SUPPORTED).
    pub cacheable_slots: bool,
    /// Bytes of memory that this process may lock; `None` where nothing limits it.
    pub lockable: Option<u64>,
}

/// Containers that were taken from the host. They are [given back](Self::give_back) at the end,
/// and where something fails before when this is dropped.
#[derive(Debug)]
pub struct Taken {
    bus: Bus,
    /// Name, and whether the host's driver had it.
    containers: Vec<(String, bool)>,
}

/// The devices that a guest is made of: KVM, VFIO and the groups of its containers. A container
/// that has no group is told of where it is opened.
pub fn devices(bus: &Bus, containers: &[String]) -> Vec<PathBuf> {
    let groups = containers.iter().filter_map(|name| bus.group_of(name));
    let groups = groups.map(|number| Path::new(GROUPS).join(number.to_string()));
    [KVM, VFIO].map(PathBuf::from).into_iter().chain(groups).collect()
}

/// Looks whether all is there that the guest needs, before anything is touched, and takes
/// the containers from the host. `files` is what is wrong with those that the guest is made of.
///
/// # Errors
/// [`Error::Missing`] with all that is missing; the bus's, after which the host has
/// everything back.
pub fn take(cli: &Cli, bus: &Bus, abilities: Abilities, files: &[Error]) -> Result<Taken, Error> {
    let missing = missing(cli, bus, abilities, files);
    if !missing.is_empty() {
        return Err(Error::Missing(missing));
    }
    let taken = bind(bus, &cli.assign)?;
    for name in cli.assign.iter().filter(|name| !taken.has(name)) {
        tell(format_args!(
            "{name} was bound to {VFIO_DRIVER} before and stays so at the end: to give it to the \
             host, unbind it, empty its driver_override, and write its name to \
             {ROOT}/drivers_probe"
        ));
    }
    Ok(taken)
}

/// Binds containers to VFIO's driver, but for those that it has already.
fn bind(bus: &Bus, names: &[String]) -> Result<Taken, Error> {
    let mut taken = Taken { bus: bus.clone(), containers: Vec::new() };
    for name in names {
        let driver = bus.driver_of(name);
        if driver.as_deref() == Some(VFIO_DRIVER) {
            continue;
        }
        let assigned = bus.assign(name, VFIO_DRIVER);
        // Where the driver has not let it go, it is as before, and not to be given back.
        if assigned.is_ok() || driver.is_none() || bus.driver_of(name) != driver {
            taken.containers.push((name.clone(), driver.as_deref() == Some(HOST_DRIVER)));
        }
        assigned?;
    }
    Ok(taken)
}

impl Taken {
    /// Gives all containers back to the host, also where one of them fails.
    ///
    /// # Errors
    /// [`Error::Kept`] with those that the host does not have again.
    pub fn give_back(mut self) -> Result<(), Error> {
        let kept = self.all_back();
        if kept.is_empty() { Ok(()) } else { Err(Error::Kept(kept)) }
    }

    /// The files of the bus that giving back writes to.
    pub fn written(&self) -> Vec<PathBuf> {
        let files = |(name, _): &(String, bool)| self.bus.release_files(name, VFIO_DRIVER);
        self.containers.iter().flat_map(files).collect()
    }

    /// Whether a container was taken from the host.
    fn has(&self, name: &str) -> bool {
        self.containers.iter().any(|(taken, _)| taken == name)
    }

    /// What does not go back, a sentence each.
    fn all_back(&mut self) -> Vec<String> {
        let mut kept = Vec::new();
        for (name, of_host) in self.containers.drain(..).rev() {
            // Somebody else may have given it to another driver meanwhile.
            let back = match self.bus.driver_of(&name).as_deref() {
                Some(HOST_DRIVER) => Ok(()),
                None | Some(VFIO_DRIVER) if of_host => self.bus.release(&name).map(drop),
                None | Some(VFIO_DRIVER) => {
                    self.bus.unbind(&name).and_then(|_| self.bus.set_override(&name, None))
                }
                Some(other) => {
                    kept.push(format!(
                        "{name} does not go back to the host: {other} has it by now"
                    ));
                    continue;
                }
            };
            if let Err(error) = back {
                kept.push(format!("{name} does not go back to the host: {error}"));
            }
        }
        kept
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // What has failed before is the end's reason.
        self.all_back().iter().for_each(tell);
    }
}

/// What stands in the way, a sentence each.
fn missing(cli: &Cli, bus: &Bus, abilities: Abilities, files: &[Error]) -> Vec<String> {
    let mut missing: Vec<String> = files.iter().map(ToString::to_string).collect();
    for path in [KVM, VFIO] {
        if let Err(error) = OpenOptions::new().read(true).write(true).open(path) {
            missing.push(format!("{path}: {error}"));
        }
    }
    if !bus.driver_path(VFIO_DRIVER).is_dir() {
        missing.push(format!("the driver {VFIO_DRIVER}: modprobe {VFIO_DRIVER}"));
    }
    if !abilities.cacheable_slots && !Path::new(OWN_PARAMETER).exists() {
        missing.push(
            "a processor with FEAT_S2FWB and CTR_EL0.DIC, or this project's vfio-fsl-mc in place \
             of the kernel's own"
                .to_owned(),
        );
    }
    // Each container maps all of the guest's memory for itself.
    let locked = cli.guest.memory.saturating_mul(cli.assign.len() as u64);
    if let Some(limit) = abilities.lockable.filter(|limit| *limit < locked) {
        missing.push(format!(
            "{} MiB of memory that may be locked, where the limit is {} MiB: raise it with \
             ulimit -l",
            locked >> 20,
            limit >> 20
        ));
    }
    for name in &cli.assign {
        missing.extend(missing_of(bus, name));
    }
    missing.extend(unwritable(bus, &cli.assign));
    missing
}

/// The files of the bus that taking the containers and giving them back writes to, and that this
/// process may not write to. A driver that is not there is told of otherwise.
fn unwritable(bus: &Bus, names: &[String]) -> Vec<String> {
    let of = |name: &String| {
        let driver = bus.driver_of(name);
        let mut files = bus.assign_files(name, driver.as_deref(), VFIO_DRIVER);
        files.extend(bus.release_files(name, VFIO_DRIVER));
        // Of one that has the driver already nothing is written.
        if driver.as_deref() == Some(VFIO_DRIVER) { Vec::new() } else { files }
    };
    let files: BTreeSet<PathBuf> = names.iter().flat_map(of).collect();
    let refused = |path: &PathBuf| {
        let error = OpenOptions::new().write(true).open(path).err()?;
        let is_told = error.kind() == ErrorKind::NotFound;
        (!is_told).then(|| format!("the right to write to {}: {error}: be root", path.display()))
    };
    files.iter().filter_map(refused).collect()
}

fn missing_of(bus: &Bus, name: &str) -> Vec<String> {
    let contents = match bus.contents(name) {
        Ok(contents) => contents,
        Err(error) => return vec![error.to_string()],
    };
    let mut missing: Vec<String> =
        contents.iter().filter_map(|device| used(device, name)).collect();
    if bus.container_of(name).is_none() {
        missing.push(format!(
            "a container that a guest can have: {name} is in no other, and what is in it is the \
             host's: make one in it"
        ));
    }
    let count = |kind: &str| contents.iter().filter(|device| family(&device.name) == kind).count();
    let (interfaces, queues) = (count("dpni"), count("dpio"));
    if interfaces > 0 && queues == 0 {
        missing.push(format!("a dpio in {name}: no frame gets to its dpni without"));
    }
    // What Linux takes: a command portal for each driver, and for each interface a buffer
    // pool and at least one channel.
    for (kind, needed) in
        [("dpmcp", interfaces + queues), ("dpbp", interfaces), ("dpcon", interfaces)]
    {
        let there = count(kind);
        if there < needed {
            missing.push(format!("{needed} {kind} in {name}, which has {there}"));
        }
    }
    missing
}

/// An object that a driver of the host works with. A container below is in use whichever driver
/// has it: VFIO's may have it for another guest, from which it would be taken with this one.
fn used(device: &Device, container: &str) -> Option<String> {
    let driver = device.driver.as_deref()?;
    let is_container = device.family() == "dprc";
    let free = !is_container && (driver == ALLOCATOR_DRIVER || driver == VFIO_DRIVER);
    (!free).then(|| {
        format!(
            "{} of {container}, which the host uses with {driver}: echo {} > \
             {ROOT}/drivers/{driver}/unbind",
            device.name, device.name
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// Where the bus has the container.
    const REAL: &str = "real/dprc.1/dprc.2";

    /// A bus with a container and objects in it, some with a driver.
    fn bus(root: &Path, objects: &[(&str, &str)]) -> Bus {
        let container = root.join(REAL);
        fs::create_dir_all(root.join("devices")).unwrap();
        let all = std::iter::once(&("", "")).chain(objects);
        for (name, driver) in all {
            let path = container.join(name);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("modalias"), "fsl-mc:v00001957d\n").unwrap();
            let link = if name.is_empty() { "dprc.2" } else { name };
            symlink(&path, root.join("devices").join(link)).unwrap();
            if !driver.is_empty() {
                let driver = root.join("drivers").join(driver);
                fs::create_dir_all(&driver).unwrap();
                symlink(driver, path.join("driver")).unwrap();
            }
        }
        Bus::at(root.to_str().unwrap())
    }

    fn cli(words: &[&str]) -> Cli {
        let all = ["fslmc-vmm", "--kernel", "/dev/null", "--assign", "dprc.2"].iter().chain(words);
        Cli::try_parse_from(all).unwrap()
    }

    const ABLE: Abilities = Abilities { cacheable_slots: true, lockable: None };

    fn said(bus: &Bus, abilities: Abilities) -> String {
        missing(&cli(&[]), bus, abilities, &[]).join("\n")
    }

    #[test]
    fn objects_of_other_drivers_are_told_with_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        let bus = bus(
            root.path(),
            &[("dpni.1", "fsl_dpaa2_eth"), ("dpbp.2", ALLOCATOR_DRIVER), ("dpcon.1", "")],
        );
        let text = missing_of(&bus, "dprc.2").join("\n");
        assert!(text.contains("dpni.1 of dprc.2"), "{text}");
        assert!(text.contains("echo dpni.1 > /sys/bus/fsl-mc/drivers/fsl_dpaa2_eth/unbind"));
        assert!(text.contains("a dpio in dprc.2"), "{text}");
        assert!(text.contains("1 dpmcp in dprc.2, which has 0"), "{text}");
        assert!(!text.contains("dpbp") && !text.contains("dpcon"), "{text}");
    }

    #[test]
    fn a_container_below_that_has_a_driver_is_in_use() {
        let root = tempfile::tempdir().unwrap();
        let bus = bus(root.path(), &[("dprc.3", VFIO_DRIVER), ("dprc.4", "")]);
        let text = missing_of(&bus, "dprc.2").join("\n");
        assert!(text.contains("dprc.3 of dprc.2"), "{text}");
        assert!(text.contains("echo dprc.3 > /sys/bus/fsl-mc/drivers/vfio-fsl-mc/unbind"));
        assert!(!text.contains("dprc.4"), "{text}");
    }

    #[test]
    fn the_root_container_is_not_taken() {
        let root = tempfile::tempdir().unwrap();
        let bus = bus(root.path(), &[]);
        symlink(root.path().join("real/dprc.1"), root.path().join("devices/dprc.1")).unwrap();
        let text = missing_of(&bus, "dprc.1").join("\n");
        assert!(text.contains("dprc.1 is in no other"), "{text}");
        assert_eq!(missing_of(&bus, "dprc.2"), [""; 0]);
    }

    #[test]
    fn a_container_that_somebody_has_given_away_meanwhile_stays_there() {
        let root = tempfile::tempdir().unwrap();
        let bus = bus(root.path(), &[]);
        for (driver, is_kept) in [(HOST_DRIVER, false), ("another", true)] {
            let directory = root.path().join("drivers").join(driver);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("unbind"), "").unwrap();
            let link = root.path().join(REAL).join("driver");
            let _ = fs::remove_file(&link);
            symlink(&directory, &link).unwrap();
            for of_host in [true, false] {
                let containers = vec![("dprc.2".to_owned(), of_host)];
                let mut taken = Taken { bus: bus.clone(), containers };
                assert_eq!(taken.all_back().len(), usize::from(is_kept), "{driver}");
                assert_eq!(fs::read_to_string(directory.join("unbind")).unwrap(), "");
            }
        }
    }

    #[test]
    fn a_container_that_its_driver_has_not_let_go_is_not_taken() {
        let root = tempfile::tempdir().unwrap();
        let bus = bus(root.path(), &[]);
        // Its unbind is no file.
        let driver = root.path().join("drivers").join(HOST_DRIVER);
        fs::create_dir_all(driver.join("unbind")).unwrap();
        fs::create_dir_all(root.path().join("drivers").join(VFIO_DRIVER)).unwrap();
        symlink(&driver, root.path().join(REAL).join("driver")).unwrap();
        assert!(said(&bus, ABLE).contains("the right to write to"), "{}", said(&bus, ABLE));
        let error = bind(&bus, &["dprc.2".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("fsl_mc_dprc/unbind"), "{error}");
        assert_eq!(bus.driver_of("dprc.2").as_deref(), Some(HOST_DRIVER));
        assert!(!root.path().join(REAL).join("driver_override").exists());
    }

    #[test]
    fn a_container_with_all_that_linux_takes_misses_nothing() {
        let root = tempfile::tempdir().unwrap();
        let names = ["dpni.1", "dpio.1", "dpmcp.1", "dpmcp.2", "dpbp.1", "dpcon.1"];
        let bus = bus(root.path(), &names.map(|name| (name, "")));
        assert_eq!(bus.contents("dprc.2").unwrap().len(), names.len());
        assert_eq!(missing_of(&bus, "dprc.2"), [""; 0]);
        assert!(missing_of(&bus, "dprc.7")[0].contains("dprc.7"));
    }

    #[test]
    fn a_container_that_does_not_go_back_is_a_failure() {
        let root = tempfile::tempdir().unwrap();
        let bus = bus(root.path(), &[]);
        let taken = |of_host| {
            let containers = vec![("dprc.7".to_owned(), true), ("dprc.2".to_owned(), of_host)];
            Taken { bus: bus.clone(), containers }
        };
        let text = taken(false).give_back().unwrap_err().to_string();
        assert!(text.contains("dprc.7 does not") && text.contains("dprc.2 does not"), "{text}");
        // The first one that fails keeps none of the others.
        fs::write(root.path().join(REAL).join("driver_override"), VFIO_DRIVER).unwrap();
        let text = taken(false).give_back().unwrap_err().to_string();
        assert!(text.contains("dprc.7 does not") && !text.contains("dprc.2 does not"), "{text}");
        let mut one = taken(false);
        one.containers.remove(0);
        one.give_back().unwrap();
    }

    #[test]
    fn a_container_that_was_bound_already_is_not_taken() {
        let root = tempfile::tempdir().unwrap();
        let bus = bus(root.path(), &[]);
        let driver = root.path().join("drivers").join(VFIO_DRIVER);
        fs::create_dir_all(&driver).unwrap();
        symlink(driver, root.path().join(REAL).join("driver")).unwrap();
        let taken = bind(&bus, &["dprc.2".to_owned()]).unwrap();
        assert!(!taken.has("dprc.2"));
        taken.give_back().unwrap();
        assert_eq!(bus.driver_of("dprc.2").as_deref(), Some(VFIO_DRIVER));
    }

    #[test]
    fn limits_and_the_driver_are_told() {
        let root = tempfile::tempdir().unwrap();
        let bus = bus(root.path(), &[]);
        assert!(said(&bus, ABLE).contains("modprobe vfio-fsl-mc"));
        let limited = Abilities { lockable: Some(64 << 20), ..ABLE };
        assert!(said(&bus, limited).contains("the limit is 64 MiB"));
        let weak = Abilities { cacheable_slots: false, ..ABLE };
        assert!(said(&bus, weak).contains("FEAT_S2FWB"));
        assert!(!said(&bus, ABLE).contains("FEAT_S2FWB"));
        // Nothing was touched.
        assert!(take(&cli(&[]), &bus, weak, &[]).is_err());
        assert!(!root.path().join(REAL).join("driver_override").exists());
    }
}
