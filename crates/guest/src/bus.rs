// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The fsl-mc bus as sysfs shows it.

use crate::failure::Failure;
use fslmc_guest::protocol::BusDevice;
use rustix::io::Errno;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where Linux shows the bus.
pub const ROOT: &str = "/sys/bus/fsl-mc";

/// The driver of containers that stay with the host.
pub const HOST_DRIVER: &str = "fsl_mc_dprc";

/// How long a device may take to appear, vanish or get its driver after the write
/// that causes it. The kernel scans a container within that write; only what an
/// interrupt starts comes later.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The bus.
#[derive(Debug, Clone)]
pub struct Bus {
    root: PathBuf,
}

impl Default for Bus {
    fn default() -> Self {
        Self { root: PathBuf::from(ROOT) }
    }
}

impl Bus {
    /// All devices, containers before their contents.
    ///
    /// # Errors
    /// When there is no such bus.
    pub fn devices(&self) -> Result<Vec<BusDevice>, Failure> {
        let directory = self.root.join("devices");
        let entries = fs::read_dir(&directory).map_err(|error| {
            Failure::io(
                "listing the bus",
                &directory,
                &error,
                "The kernel found no Management Complex",
            )
        })?;
        let mut devices: Vec<BusDevice> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter_map(|name| self.device(&name))
            .collect();
        devices.sort_by_cached_key(sort_key);
        Ok(devices)
    }

    /// A device by name, if it is there.
    pub fn device(&self, name: &str) -> Option<BusDevice> {
        let path = self.path_of(name);
        let modalias = self.attribute(name, "modalias")?;
        Some(BusDevice {
            name: name.to_owned(),
            kind: name.split('.').next().unwrap_or_default().to_owned(),
            container: container_of(&path),
            driver: link_name(&path.join("driver")),
            driver_override: self
                .attribute(name, "driver_override")
                .filter(|value| !value.is_empty() && value != "(null)"),
            iommu_group: link_name(&path.join("iommu_group")).and_then(|n| n.parse().ok()),
            modalias,
            version: None,
        })
    }

    /// The names of what is in a container, without what is in its child containers.
    ///
    /// # Errors
    /// Those of [`Bus::devices`].
    pub fn contents(&self, container: &str) -> Result<Vec<BusDevice>, Failure> {
        let mut devices = self.devices()?;
        devices.retain(|device| device.container.as_deref() == Some(container));
        Ok(devices)
    }

    /// Waits until `condition` holds, for [`PATIENCE`] at most; says whether it does.
    pub fn wait_until(&self, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let end = Instant::now() + PATIENCE;
        loop {
            if condition(self) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Takes a device from its driver; none to take it from is fine.
    ///
    /// # Errors
    /// When there is no such device or the driver's `unbind` file refuses.
    pub fn unbind(&self, name: &str) -> Result<Option<String>, Failure> {
        let device = self.device(name).ok_or_else(|| self.missing(name))?;
        let Some(driver) = device.driver else { return Ok(None) };
        let path = self.root.join("drivers").join(&driver).join("unbind");
        write_attribute(&path, name, |errno| match errno {
            Errno::NODEV => format!("{name} is not bound to {driver} any more"),
            Errno::BUSY => format!("{name} is in use; close what holds it open"),
            _ => LOG.to_owned(),
        })?;
        Ok(Some(driver))
    }

    /// Says which driver alone may have the device; `None` lets the bus choose.
    ///
    /// # Errors
    /// When the device's `driver_override` file refuses.
    pub fn set_override(&self, name: &str, driver: Option<&str>) -> Result<(), Failure> {
        let path = self.path_of(name).join("driver_override");
        write_attribute(&path, driver.unwrap_or("\n"), |errno| match errno {
            Errno::NOENT | Errno::NODEV => format!("there is no {name} on the bus"),
            Errno::INVAL => "the name is too long".to_owned(),
            _ => LOG.to_owned(),
        })
    }

    /// Binds a device to a driver.
    ///
    /// # Errors
    /// When there is no such driver, or its `bind` file refuses.
    pub fn bind(&self, name: &str, driver: &str) -> Result<(), Failure> {
        let directory = self.root.join("drivers").join(driver);
        if !directory.is_dir() {
            return Err(Failure::new(
                format!("there is no driver {driver} on the fsl-mc bus"),
                directory.display().to_string(),
                format!("Load the module that registers {driver}"),
            ));
        }
        write_attribute(&directory.join("bind"), name, |errno| match errno {
            Errno::NODEV => format!(
                "{name} does not match {driver}: there is no such device, its driver_override names \
                 another driver, or {driver} does not drive this type; or its probe found no device"
            ),
            Errno::BUSY => format!("{name} has a driver already, or {driver} holds its resources"),
            Errno::INVAL => format!(
                "{driver} refuses {name}: it takes containers whose parent is bound to {HOST_DRIVER}, \
                 and devices whose region and interrupt counts make sense"
            ),
            Errno::AGAIN => format!("{driver} waits for another device before it takes {name}"),
            Errno::NOMEM | Errno::NOSPC => {
                format!("{driver} found no portal or interrupt for {name}")
            }
            _ => LOG.to_owned(),
        })
    }

    /// Lets the bus look for a driver for a device that has none.
    ///
    /// # Errors
    /// When the bus refuses.
    pub fn probe(&self, name: &str) -> Result<(), Failure> {
        write_attribute(&self.root.join("drivers_probe"), name, |errno| match errno {
            Errno::NODEV => format!("there is no {name} on the bus"),
            _ => LOG.to_owned(),
        })
    }

    /// Gives a container to a driver: from the present one, by `driver_override` and
    /// `bind`. Returns what is in it afterwards.
    ///
    /// # Errors
    /// When a step is refused, or the driver does not hold the container after it.
    pub fn give(&self, container: &str, driver: &str) -> Result<Vec<BusDevice>, Failure> {
        let device = self.device(container).ok_or_else(|| self.missing(container))?;
        if device.driver.as_deref() != Some(driver) {
            self.unbind(container)?;
            self.set_override(container, Some(driver))?;
            self.bind(container, driver)?;
        }
        self.expect_driver(container, driver)?;
        self.contents(container)
    }

    /// Gives a container back to the host's driver.
    ///
    /// # Errors
    /// When a step is refused, or the host's driver does not take it.
    pub fn give_back(&self, container: &str) -> Result<Vec<BusDevice>, Failure> {
        self.unbind(container)?;
        self.set_override(container, None)?;
        self.probe(container)?;
        self.expect_driver(container, HOST_DRIVER)?;
        self.contents(container)
    }

    fn expect_driver(&self, name: &str, driver: &str) -> Result<(), Failure> {
        let has = |bus: &Self| {
            bus.device(name).is_some_and(|device| device.driver.as_deref() == Some(driver))
        };
        if self.wait_until(has) {
            return Ok(());
        }
        let now = self.device(name).and_then(|device| device.driver);
        Err(Failure::new(
            format!(
                "{name} has {} after it was given to {driver}",
                now.map_or_else(|| "no driver".to_owned(), |now| format!("driver {now}"))
            ),
            self.path_of(name).join("driver").display().to_string(),
            LOG,
        ))
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.root.join("devices").join(name)
    }

    fn attribute(&self, name: &str, attribute: &str) -> Option<String> {
        let text = fs::read_to_string(self.path_of(name).join(attribute)).ok()?;
        Some(text.trim_end().to_owned())
    }

    fn missing(&self, name: &str) -> Failure {
        let there = self
            .devices()
            .map(|all| all.into_iter().map(|device| device.name).collect::<Vec<_>>().join(", "))
            .unwrap_or_default();
        Failure::new(
            format!("there is no {name} on the fsl-mc bus"),
            self.path_of(name).display().to_string(),
            format!("The bus has: {}", if there.is_empty() { "nothing" } else { &there }),
        )
    }
}

const LOG: &str = "The kernel's log (dmesg) says more";

/// Writes to a file of sysfs; `reason` explains an errno.
///
/// # Errors
/// When the file is not there or refuses.
pub fn write_attribute(
    path: &Path,
    value: &str,
    reason: impl Fn(Errno) -> String,
) -> Result<(), Failure> {
    let written = fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|error| {
        let errno = Errno::from_io_error(&error);
        let advice = match (error.kind(), errno) {
            (ErrorKind::PermissionDenied, _) => "Only root may write there".to_owned(),
            (_, Some(errno)) => format!("Likely: {}", reason(errno)),
            _ => LOG.to_owned(),
        };
        Failure::io(format!("writing {:?}", value.trim_end()), path, &error, advice)
    })
}

/// The container that a device is in: in sysfs a device's directory lies in that of
/// its container.
fn container_of(device: &Path) -> Option<String> {
    let real = fs::canonicalize(device).ok()?;
    let parent = real.parent()?.file_name()?.to_str()?;
    parent.starts_with("dprc.").then(|| parent.to_owned())
}

fn link_name(link: &Path) -> Option<String> {
    Some(fs::read_link(link).ok()?.file_name()?.to_str()?.to_owned())
}

/// By container, then the container itself before its objects, then type and number.
fn sort_key(device: &BusDevice) -> (u64, bool, String, u64) {
    let number = |name: &str| {
        name.rsplit('.').next().and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX)
    };
    let is_container = device.kind == "dprc";
    let of = if is_container { Some(device.name.as_str()) } else { device.container.as_deref() };
    (of.map_or(0, number), !is_container, device.kind.clone(), number(&device.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A directory that looks like the bus: files take what is written to them,
    /// nothing follows from it.
    fn lookalike(test: &str) -> Bus {
        let root = std::env::temp_dir().join(format!("fslmc-bus-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let platform = root.join("platform/dprc.1");
        for (at, group, driver) in [
            ("", "0", Some(HOST_DRIVER)),
            ("dpbp.10", "0", None),
            ("dpbp.9", "0", None),
            ("dprc.2", "1", Some("vfio-fsl-mc")),
            ("dprc.2/dpio.3", "1", Some("vfio-fsl-mc")),
        ] {
            let directory = platform.join(at);
            fs::create_dir_all(&directory).unwrap();
            let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
            let kind = name.split('.').next().unwrap();
            fs::write(directory.join("modalias"), format!("fsl-mc:v00001957d{kind}\n")).unwrap();
            fs::write(directory.join("driver_override"), "(null)\n").unwrap();
            fs::create_dir_all(root.join("groups").join(group)).unwrap();
            symlink(root.join("groups").join(group), directory.join("iommu_group")).unwrap();
            if let Some(driver) = driver {
                let driver = root.join("drivers").join(driver);
                fs::create_dir_all(&driver).unwrap();
                symlink(&driver, directory.join("driver")).unwrap();
            }
            fs::create_dir_all(root.join("devices")).unwrap();
            symlink(&directory, root.join("devices").join(&name)).unwrap();
        }
        Bus { root }
    }

    #[test]
    fn devices_come_with_container_driver_and_group() {
        let bus = lookalike("list");
        let devices = bus.devices().unwrap();
        let names: Vec<_> = devices.iter().map(|device| device.name.as_str()).collect();
        assert_eq!(names, ["dprc.1", "dpbp.9", "dpbp.10", "dprc.2", "dpio.3"]);
        assert_eq!(devices[0].container, None);
        assert_eq!(devices[4].container.as_deref(), Some("dprc.2"));
        assert_eq!(devices[4].driver.as_deref(), Some("vfio-fsl-mc"));
        assert_eq!(devices[4].iommu_group, Some(1));
        assert_eq!(devices[4].modalias, "fsl-mc:v00001957ddpio");
        assert_eq!(devices[4].driver_override, None);
        assert_eq!(bus.contents("dprc.2").unwrap().len(), 1);
    }

    #[test]
    fn a_refusal_names_file_errno_and_reason() {
        let bus = lookalike("refuse");
        // Neither file is there: the errno is real.
        let error = bus.unbind("dprc.2").unwrap_err();
        assert!(error.place.ends_with("drivers/vfio-fsl-mc/unbind"), "{error}");
        assert!(error.what.contains("ENOENT"), "{error}");
        let error = bus.bind("dprc.2", "none").unwrap_err().to_string();
        assert!(error.contains("no driver none"), "{error}");
        let error = bus.give("dprc.7", "vfio-fsl-mc").unwrap_err().to_string();
        assert!(error.contains("no dprc.7") && error.contains("dprc.2, dpio.3"), "{error}");
    }
}
