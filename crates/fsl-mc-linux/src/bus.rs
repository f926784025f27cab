// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The fsl-mc bus in sysfs (`Documentation/ABI/testing/sysfs-bus-fsl-mc`): devices,
//! their containers and drivers, binding and unbinding.

mod error;

pub use error::Error;

use crate::errno;
use rustix::io::Errno;
use std::borrow::Cow;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where Linux shows the bus.
pub const ROOT: &str = "/sys/bus/fsl-mc";

/// The driver of containers that stay with the host.
pub const HOST_DRIVER: &str = "fsl_mc_dprc";

/// The driver of containers that user space has.
pub const VFIO_DRIVER: &str = "vfio-fsl-mc";

/// The driver of objects that are handed out one by one: nobody uses those that are
/// with it, but for what another driver has taken from it.
pub const ALLOCATOR_DRIVER: &str = "fsl_mc_allocator";

/// How long a device may take to appear, vanish or get its driver after the write
/// that causes it. The kernel scans a container within that write; only what an
/// interrupt starts comes later.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The bus of the running kernel.
pub static SYSFS: Bus = Bus { root: Cow::Borrowed(ROOT) };

/// A bus in sysfs.
#[derive(Debug, Clone)]
pub struct Bus {
    root: Cow<'static, str>,
}

impl Default for Bus {
    fn default() -> Self {
        SYSFS.clone()
    }
}

/// A device of the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Such as `dpio.3`.
    pub name: String,
    /// The container it is in; `None` for a root container.
    pub container: Option<String>,
    /// Name of its driver.
    pub driver: Option<String>,
    /// Value of `driver_override`, if set.
    pub driver_override: Option<String>,
    /// Number of its IOMMU group.
    pub iommu_group: Option<u32>,
    /// Such as `fsl-mc:v00001957ddpio`.
    pub modalias: String,
}

impl Device {
    /// The part of the name before the dot, such as `dpio`.
    pub fn family(&self) -> &str {
        family(&self.name)
    }
}

/// The family in an object's name: `dpio` of `dpio.3`.
pub fn family(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

/// The number in an object's name: 3 of `dpio.3`; `u32::MAX` where there is none.
pub fn number(name: &str) -> u32 {
    name.rsplit('.').next().and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX)
}

/// Whether a file's name is that of an object.
pub fn is_object(name: &str) -> bool {
    name.starts_with("dp") && number(name) != u32::MAX
}

/// Waits until a condition holds, for `patience` at most; says whether it does.
pub fn wait_until(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Bus {
    /// A bus in another place than Linux's: a copy, for tests.
    pub fn at(root: impl Into<String>) -> Self {
        Self { root: Cow::Owned(root.into()) }
    }

    /// The directory of a device.
    pub fn device_path(&self, name: &str) -> PathBuf {
        self.path("devices").join(name)
    }

    /// The directory of a driver.
    pub fn driver_path(&self, driver: &str) -> PathBuf {
        self.path("drivers").join(driver)
    }

    fn path(&self, part: &str) -> PathBuf {
        Path::new(&*self.root).join(part)
    }

    /// All devices, containers before their contents.
    ///
    /// # Errors
    /// When there is no such bus.
    pub fn devices(&self) -> Result<Vec<Device>, Error> {
        let directory = self.path("devices");
        let advice = "The kernel found no Management Complex";
        let names = list(&directory, "listing the bus", advice)?;
        let mut devices: Vec<Device> =
            names.into_iter().filter_map(|name| self.device(&name)).collect();
        devices.sort_by_cached_key(sort_key);
        Ok(devices)
    }

    /// A device by name, if it is there.
    pub fn device(&self, name: &str) -> Option<Device> {
        let modalias = self.attribute(name, "modalias")?;
        Some(Device {
            name: name.to_owned(),
            container: self.container_of(name),
            driver: self.driver_of(name),
            driver_override: self
                .attribute(name, "driver_override")
                .filter(|value| !value.is_empty() && value != "(null)"),
            iommu_group: self.group_of(name),
            modalias,
        })
    }

    /// Whether a device is there.
    pub fn has(&self, name: &str) -> bool {
        self.device_path(name).exists()
    }

    /// The driver that has a device.
    pub fn driver_of(&self, name: &str) -> Option<String> {
        link_name(&self.device_path(name).join("driver"))
    }

    /// The number of a device's IOMMU group.
    pub fn group_of(&self, name: &str) -> Option<u32> {
        link_name(&self.device_path(name).join("iommu_group"))?.parse().ok()
    }

    /// The container that a device, which may be a container, is in: the device's
    /// directory lies in the container's.
    pub fn container_of(&self, name: &str) -> Option<String> {
        let real = self.device_path(name).canonicalize().ok()?;
        let parent = real.parent()?.file_name()?.to_str()?;
        is_object(parent).then(|| parent.to_owned())
    }

    /// The names of the objects in a container by family and number, containers among
    /// them included.
    ///
    /// # Errors
    /// When there is no such container.
    pub fn objects(&self, container: &str) -> Result<Vec<String>, Error> {
        let directory = self.device_path(container);
        let advice = format!("There is no {container} on the bus");
        let mut names = list(&directory, "listing a container", &advice)?;
        names.retain(|name| is_object(name));
        names.sort_by_cached_key(|name| (family(name).to_owned(), number(name)));
        Ok(names)
    }

    /// The objects in a container, without what is in its child containers.
    ///
    /// # Errors
    /// When there is no such container.
    pub fn contents(&self, container: &str) -> Result<Vec<Device>, Error> {
        let names = self.objects(container)?;
        Ok(names.into_iter().filter_map(|name| self.device(&name)).collect())
    }

    /// The names of the devices that a driver has, by family and number.
    ///
    /// # Errors
    /// When there is no such driver.
    pub fn bound_to(&self, driver: &str) -> Result<Vec<String>, Error> {
        let directory = self.driver_path(driver);
        let mut names = list(&directory, "listing a driver's devices", &load_advice(driver))?;
        names.retain(|name| is_object(name));
        names.sort_by_cached_key(|name| (family(name).to_owned(), number(name)));
        Ok(names)
    }

    /// Takes a device from the driver that it has; no driver is fine. Gives the driver.
    ///
    /// # Errors
    /// When there is no such device or the driver's `unbind` file refuses.
    pub fn unbind(&self, name: &str) -> Result<Option<String>, Error> {
        let device = self.device(name).ok_or_else(|| self.missing(name))?;
        let Some(driver) = device.driver else { return Ok(None) };
        self.unbind_from(name, &driver)?;
        Ok(Some(driver))
    }

    /// Takes a device from a driver.
    ///
    /// # Errors
    /// When the driver's `unbind` file refuses.
    pub fn unbind_from(&self, name: &str, driver: &str) -> Result<(), Error> {
        write_attribute(&self.unbind_file(driver), name, |errno| match errno {
            Errno::NODEV => format!("{name} is not bound to {driver} any more"),
            Errno::BUSY => format!("{name} is in use; close what holds it open"),
            _ => LOG.to_owned(),
        })
    }

    /// Says which driver alone may have the device; `None` lets the bus choose.
    ///
    /// # Errors
    /// When the device's `driver_override` file refuses.
    pub fn set_override(&self, name: &str, driver: Option<&str>) -> Result<(), Error> {
        write_attribute(&self.override_file(name), driver.unwrap_or("\n"), |errno| match errno {
            Errno::NOENT | Errno::NODEV => format!("there is no {name} on the bus"),
            Errno::INVAL => "the name is too long".to_owned(),
            _ => LOG.to_owned(),
        })
    }

    /// Binds a device to a driver.
    ///
    /// # Errors
    /// When there is no such driver, or its `bind` file refuses.
    pub fn bind(&self, name: &str, driver: &str) -> Result<(), Error> {
        let directory = self.driver_path(driver);
        let written = write_attribute(&directory.join("bind"), name, |errno| match errno {
            Errno::NODEV => format!(
                "{name} does not match {driver}: there is no such device, its driver_override names \
                 another driver, or {driver} does not drive this type; or its probe found no device"
            ),
            Errno::BUSY => format!("{name} has a driver already, or {driver} holds its resources"),
            Errno::INVAL => format!(
                "{driver} refuses {name}: it takes containers whose parent is bound to {HOST_DRIVER}, \
                 and devices with plausible region and interrupt counts"
            ),
            Errno::AGAIN => format!("{driver} waits for another device before it takes {name}"),
            Errno::NOMEM | Errno::NOSPC => {
                format!("{driver} found no portal or interrupt for {name}")
            }
            _ => LOG.to_owned(),
        });
        match written {
            Err(error) if error.errno == Some(Errno::NOENT) && !directory.is_dir() => {
                Err(self.no_driver(driver))
            }
            written => written,
        }
    }

    /// Lets the bus look for a driver for a device that has none.
    ///
    /// # Errors
    /// When the bus refuses.
    pub fn probe(&self, name: &str) -> Result<(), Error> {
        write_attribute(&self.probe_file(), name, |errno| match errno {
            Errno::NODEV => format!("there is no {name} on the bus"),
            _ => LOG.to_owned(),
        })
    }

    /// Gives a container to a driver: takes it from the present one, sets
    /// `driver_override` and binds. Returns what is in it afterwards.
    ///
    /// # Errors
    /// When there is no such container or driver, or the present driver does not let go: the
    /// container is as before. When a later step is refused, or the driver does not have the
    /// container after it: the error's advice says that [`release`](Self::release) gives the
    /// container back to the host.
    pub fn assign(&self, container: &str, driver: &str) -> Result<Vec<Device>, Error> {
        let device = self.device(container).ok_or_else(|| self.missing(container))?;
        if device.driver.as_deref() == Some(driver) {
            return self.contents(container);
        }
        if !self.driver_path(driver).is_dir() {
            return Err(self.no_driver(driver));
        }
        self.unbind(container)?;
        self.set_override(container, Some(driver))
            .and_then(|()| self.bind(container, driver))
            .and_then(|()| self.expect_driver(container, driver))
            .map_err(|error| taken_from(container, device.driver.as_deref(), error))?;
        self.contents(container)
    }

    /// Gives a container back to the host's driver; one that this has already keeps what is in
    /// it. Returns what is in it afterwards.
    ///
    /// # Errors
    /// When a step is refused, or the host's driver does not take it.
    pub fn release(&self, container: &str) -> Result<Vec<Device>, Error> {
        if self.driver_of(container).as_deref() == Some(HOST_DRIVER) {
            return self.contents(container);
        }
        self.unbind(container)?;
        self.set_override(container, None)?;
        self.probe(container)?;
        self.expect_driver(container, HOST_DRIVER)?;
        self.contents(container)
    }

    /// The files that [`release`](Self::release) writes to for a container that `driver` has.
    #[must_use]
    pub fn release_files(&self, container: &str, driver: &str) -> [PathBuf; 3] {
        [self.unbind_file(driver), self.override_file(container), self.probe_file()]
    }

    /// The files that [`assign`](Self::assign) writes to for a container that `from` has, if a
    /// driver has it, to give it to `to`.
    #[must_use]
    pub fn assign_files(&self, container: &str, from: Option<&str>, to: &str) -> Vec<PathBuf> {
        let bind = self.driver_path(to).join("bind");
        let unbind = from.map(|driver| self.unbind_file(driver));
        unbind.into_iter().chain([self.override_file(container), bind]).collect()
    }

    fn unbind_file(&self, driver: &str) -> PathBuf {
        self.driver_path(driver).join("unbind")
    }

    fn override_file(&self, name: &str) -> PathBuf {
        self.device_path(name).join("driver_override")
    }

    fn probe_file(&self) -> PathBuf {
        self.path("drivers_probe")
    }

    fn expect_driver(&self, name: &str, driver: &str) -> Result<(), Error> {
        if wait_until(PATIENCE, || self.driver_of(name).as_deref() == Some(driver)) {
            return Ok(());
        }
        let now = self.driver_of(name);
        let now = now.map_or_else(|| "no driver".to_owned(), |now| format!("driver {now}"));
        Err(Error {
            what: format!("{name} has {now} after it was given to {driver}"),
            place: self.device_path(name).join("driver").display().to_string(),
            advice: LOG.to_owned(),
            errno: None,
        })
    }

    fn attribute(&self, name: &str, attribute: &str) -> Option<String> {
        let text = fs::read_to_string(self.device_path(name).join(attribute)).ok()?;
        Some(text.trim_end().to_owned())
    }

    fn no_driver(&self, driver: &str) -> Error {
        Error {
            what: format!("there is no driver {driver} on the fsl-mc bus"),
            place: self.driver_path(driver).display().to_string(),
            advice: load_advice(driver),
            errno: Some(Errno::NOENT),
        }
    }

    fn missing(&self, name: &str) -> Error {
        let names = self.devices().unwrap_or_default().into_iter().map(|device| device.name);
        let names = names.collect::<Vec<_>>().join(", ");
        Error {
            what: format!("there is no {name} on the fsl-mc bus"),
            place: self.device_path(name).display().to_string(),
            advice: format!("The bus has: {}", if names.is_empty() { "nothing" } else { &names }),
            errno: Some(Errno::NODEV),
        }
    }
}

const LOG: &str = "The kernel's log (dmesg) says more";

fn load_advice(driver: &str) -> String {
    format!("Load the module that registers {driver}")
}

/// The same error, with what becomes of a container that its driver has let go already.
fn taken_from(container: &str, driver: Option<&str>, error: Error) -> Error {
    let Some(driver) = driver else { return error };
    let back = format!("{driver} has let {container} go: release it to give it back to the host");
    let advice = match error.advice.as_str() {
        "" => back,
        advice => format!("{advice}. {back}"),
    };
    Error { advice, ..error }
}

/// Writes to a file of sysfs; `reason` explains an errno.
///
/// # Errors
/// When the file is not there or refuses.
pub fn write_attribute(
    path: &Path,
    value: &str,
    reason: impl Fn(Errno) -> String,
) -> Result<(), Error> {
    let written = fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|error| {
        let advice = match Errno::from_io_error(&error) {
            Some(Errno::ACCESS | Errno::PERM) => "Only root may write there".to_owned(),
            Some(errno) => format!("Likely: {}", reason(errno)),
            None => LOG.to_owned(),
        };
        Error::io(&format!("writing {:?}", value.trim_end()), path, &error, advice)
    })
}

fn list(directory: &Path, what: &str, advice: &str) -> Result<Vec<String>, Error> {
    let entries =
        fs::read_dir(directory).map_err(|error| Error::io(what, directory, &error, advice))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

fn link_name(link: &Path) -> Option<String> {
    Some(fs::read_link(link).ok()?.file_name()?.to_str()?.to_owned())
}

/// By container, then the container itself before its objects, then family and number.
fn sort_key(device: &Device) -> (u32, bool, String, u32) {
    let is_container = device.family() == "dprc";
    let of = if is_container { Some(device.name.as_str()) } else { device.container.as_deref() };
    (of.map_or(0, number), !is_container, device.family().to_owned(), number(&device.name))
}

#[cfg(test)]
mod tests;
