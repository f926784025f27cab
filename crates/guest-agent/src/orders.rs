// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The orders that are carried out at once: modules, mounts, drivers, files.

use crate::failure::Failure;
use crate::hugepages;
use crate::modules::{self, Loaded, Modules};
use crate::root;
use crate::root_files;
use crate::steps::Step;
use crate::versions;
use fsl_mc_linux::bus::{self, Bus};
use fsl_mc_linux::kmsg;
use guest_protocol::{Answer, Ask, INITIAL_ROOT, KernelMessage, ModuleChoice, RootSource};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Carries out orders.
#[derive(Debug, Default)]
pub struct Orders {
    modules: Modules,
    bus: Bus,
}

/// What came of an order.
pub struct Conclusion {
    /// What was done on the way.
    pub steps: Vec<Step>,
    /// The end.
    pub result: Result<Answer, Failure>,
}

impl Orders {
    /// With the modules of the image.
    pub fn new(modules: Modules) -> Self {
        Self { modules, bus: Bus::default() }
    }

    /// Carries out an order that concerns neither the running command nor the machine's
    /// power.
    pub fn carry_out(&mut self, ask: Ask) -> Conclusion {
        let mut steps = Vec::new();
        let result = self.attempt(ask, &mut steps);
        if let Err(failure) = &result {
            steps.push(Step::failed(failure));
        }
        Conclusion { steps, result }
    }

    fn attempt(&mut self, ask: Ask, steps: &mut Vec<Step>) -> Result<Answer, Failure> {
        match ask {
            Ask::Load { modules } => self.load(&modules, steps),
            Ask::Mount { tag, path, read_only } => self.mount(&tag, &path, read_only, steps),
            Ask::EnterRoot { source, modules } => {
                self.enter_root(&source, modules.as_deref(), steps)
            }
            Ask::HugePages { pages } => {
                hugepages::reserve(pages)?;
                let detail = format!("{pages} of 2 MiB at {}", hugepages::PLACE);
                steps.push(Step::done("reserve huge pages", detail));
                Ok(Answer::Nothing)
            }
            Ask::Bind { containers, driver } => self.bind(&containers, &driver, steps),
            Ask::Release { containers } => self.release(&containers, steps),
            Ask::Devices => self.devices(),
            Ask::ReadFile { path, limit } => read_file(Path::new(&path), limit),
            Ask::Dmesg { after } => kernel_log(after).map(Answer::KernelLog),
            Ask::Run(_)
            | Ask::StdinClosed { .. }
            | Ask::Signal { .. }
            | Ask::Resize { .. }
            | Ask::PowerOff => Err(Failure::new(
                "this order belongs to the session, not here",
                "the agent",
                "Report this: it is a defect of the agent",
            )),
        }
    }

    fn load(&self, choices: &[ModuleChoice], steps: &mut Vec<Step>) -> Result<Answer, Failure> {
        for choice in choices {
            let loaded = self.modules.load(&choice.name, &choice.parameters)?;
            steps.push(Step::done(format!("load module {}", choice.name), describe(&loaded)));
        }
        Ok(Answer::Nothing)
    }

    fn mount(
        &self,
        tag: &str,
        path: &str,
        read_only: bool,
        steps: &mut Vec<Step>,
    ) -> Result<Answer, Failure> {
        for name in ["9pnet_virtio", "9p"] {
            self.modules.load_if_shipped(name)?;
        }
        root_files::mount_host_directory(tag, path, read_only, "")?;
        let mode = if read_only { "read-only" } else { "read-write" };
        steps.push(Step::done(format!("mount host directory {tag}"), format!("{path}, {mode}")));
        Ok(Answer::Nothing)
    }

    fn enter_root(
        &mut self,
        source: &RootSource,
        modules: Option<&str>,
        steps: &mut Vec<Step>,
    ) -> Result<Answer, Failure> {
        let kind = match source {
            RootSource::Disk { kind, .. } => kind.as_str(),
            RootSource::Directory { .. } => "9p",
        };
        for name in ["virtio_blk", "erofs", "overlay", "9pnet_virtio", kind] {
            self.modules.load_if_shipped(name)?;
        }
        root::enter(source, modules)?;
        self.modules.move_below(INITIAL_ROOT);
        root::complete(&self.modules)?;
        steps.push(Step::done("enter the root file system", kind));
        Ok(Answer::Nothing)
    }

    fn bind(
        &self,
        containers: &[String],
        driver: &str,
        steps: &mut Vec<Step>,
    ) -> Result<Answer, Failure> {
        if driver == "vfio-fsl-mc" {
            let loaded = modules::load_vfio(&self.modules)?;
            steps.push(Step::done("load the modules of VFIO", describe(&loaded)));
        }
        for container in containers {
            let contents = self.bus.assign(container, driver)?;
            let strays: Vec<&bus::Device> =
                contents.iter().filter(|device| device.driver.as_deref() != Some(driver)).collect();
            if let Some(stray) = strays.first() {
                return Err(Failure::new(
                    format!(
                        "{} of the {} objects of {container} did not follow it to {driver}; {} has {}",
                        strays.len(),
                        contents.len(),
                        stray.name,
                        stray.driver.as_deref().unwrap_or("no driver")
                    ),
                    format!("{}/devices/{}", bus::ROOT, stray.name),
                    "The kernel's log (dmesg) says why its probe failed",
                ));
            }
            steps.push(Step::done(
                format!("bind {container} to {driver}"),
                format!("{} objects followed", contents.len()),
            ));
        }
        Ok(Answer::Nothing)
    }

    fn release(&self, containers: &[String], steps: &mut Vec<Step>) -> Result<Answer, Failure> {
        for container in containers {
            let contents = self.bus.release(container)?;
            steps.push(Step::done(
                format!("give {container} back to {}", bus::HOST_DRIVER),
                format!("{} objects", contents.len()),
            ));
        }
        Ok(Answer::Nothing)
    }

    fn devices(&self) -> Result<Answer, Failure> {
        Ok(Answer::Devices(versions::with_versions(self.bus.devices()?)))
    }
}

/// All messages, or those after a sequence number, that the kernel's log still has.
fn kernel_log(after: Option<u64>) -> Result<Vec<KernelMessage>, Failure> {
    let records = kmsg::Reader::from_start().and_then(|mut log| log.records());
    let records = records.map_err(|error| {
        let (path, advice) = (Path::new(kmsg::PATH), "Only root may, by default");
        Failure::io("reading the kernel's log", path, &error, advice)
    })?;
    let new = records.into_iter().filter(|record| after.is_none_or(|seen| record.sequence > seen));
    let message = |kmsg::Record { sequence, level, micros, text }| KernelMessage {
        sequence,
        level,
        micros,
        text,
    };
    Ok(new.map(message).collect())
}

fn read_file(path: &Path, limit: u64) -> Result<Answer, Failure> {
    let refused = |error: &std::io::Error| {
        Failure::io("reading a file", path, error, "Check the path, in the guest")
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| refused(&error))?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| refused(&error))?;
    let truncated = bytes.len() as u64 > limit;
    bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Answer::File { text: String::from_utf8_lossy(&bytes).into_owned(), truncated })
}

/// The modules of a list, in words.
pub fn describe(loaded: &[Loaded]) -> String {
    let names: Vec<String> = loaded
        .iter()
        .map(|module| {
            format!("{}{}", module.name, if module.already { " (was loaded)" } else { "" })
        })
        .collect();
    if names.is_empty() { "none needed".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_at_the_limit_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fslmc-read");
        std::fs::write(&path, "0123456789").unwrap();
        let read = |limit| read_file(&path, limit).unwrap();
        assert_eq!(read(10), Answer::File { text: "0123456789".into(), truncated: false });
        assert_eq!(read(4), Answer::File { text: "0123".into(), truncated: true });
        std::fs::remove_file(&path).unwrap();
        let error = read_file(&path, 4).unwrap_err().to_string();
        assert!(error.contains("ENOENT") && error.contains("fslmc-read"), "{error}");
    }

    #[test]
    fn a_module_that_is_not_shipped_is_named() {
        let mut orders = Orders::default();
        let Conclusion { steps, result } =
            orders.carry_out(Ask::Load { modules: vec![ModuleChoice::named("vfio-fsl-mc")] });
        let error = result.unwrap_err().to_string();
        assert!(error.contains("vfio-fsl-mc is not in the guest's image"), "{error}");
        assert!(steps.iter().any(|step| !step.ok));
    }
}
