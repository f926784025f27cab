// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The agent's ends of the virtio-serial ports.

use crate::failure::Failure;
use crate::program::set_nonblocking;
use guest_protocol::{CONTROL_PORT, STDERR_PORT, STDIN_PORT, STDOUT_PORT};
use rustix::fd::OwnedFd;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where the kernel names the ports.
const CLASS: &str = "/sys/class/virtio-ports";

/// How long the ports may take to appear after their driver was loaded. The driver
/// learns of them one by one, from messages of the emulator.
const PATIENCE: Duration = Duration::from_secs(20);

/// The four ports, non-blocking.
#[derive(Debug)]
pub struct Ports {
    /// JSON lines, both directions.
    pub control: OwnedFd,
    /// Bytes from the host.
    pub stdin: OwnedFd,
    /// Bytes to the host.
    pub stdout: OwnedFd,
    /// Bytes to the host.
    pub stderr: OwnedFd,
}

impl Ports {
    /// Waits for the ports and opens them.
    ///
    /// # Errors
    /// When one does not appear or cannot be opened.
    pub fn open() -> Result<Self, Failure> {
        let end = Instant::now() + PATIENCE;
        Ok(Self {
            control: open_named(CONTROL_PORT, end)?,
            stdin: open_named(STDIN_PORT, end)?,
            stdout: open_named(STDOUT_PORT, end)?,
            stderr: open_named(STDERR_PORT, end)?,
        })
    }
}

fn open_named(name: &str, end: Instant) -> Result<OwnedFd, Failure> {
    let device = loop {
        if let Some(device) = find(name) {
            if device.exists() {
                break device;
            }
        }
        if Instant::now() >= end {
            return Err(Failure::new(
                format!("the port {name} has not appeared within {} s", PATIENCE.as_secs()),
                CLASS,
                "Start the emulator with a virtio-serial device that has this port, and ship the \
                 modules virtio_mmio and virtio_console as early ones",
            ));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let file = OpenOptions::new().read(true).write(true).open(&device).map_err(|error| {
        Failure::io(format!("opening port {name}"), &device, &error, "Is it open elsewhere?")
    })?;
    let port = OwnedFd::from(file);
    set_nonblocking(&port).map_err(|error| {
        Failure::io(format!("setting up port {name}"), &device, &error, "This is unexpected")
    })?;
    Ok(port)
}

/// The device node of a port, if the kernel knows the name by now.
fn find(name: &str) -> Option<PathBuf> {
    let entry = fs::read_dir(CLASS).ok()?.filter_map(Result::ok).find(|entry| {
        fs::read_to_string(entry.path().join("name")).is_ok_and(|text| text.trim() == name)
    })?;
    Some(Path::new("/dev").join(entry.file_name()))
}
