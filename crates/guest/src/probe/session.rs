// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A line protocol for VFIO: one line on standard input is one request, one line on
//! standard output its answer, `ok ...` or `error ...`. So whoever drives the other
//! side of the board can do something between two steps.

use crate::cli::{hexadecimal, hexadecimal_u32};
use crate::manage::with_open;
use clap::{Parser, Subcommand, ValueEnum};
use dprc::{Access, AssignedContainer, Device, DmaBuffer, Interrupt, Mapped, McPortal};
use fsl_mc_linux::bus::{self, SYSFS};
use fsl_mc_linux::proc;
use guest_agent::Failure;
use mc_abi::common::{ClearIrqStatus, GetIrqStatus, SetIrqEnable, SetIrqMask};
use mc_abi::{ObjectId, Token, dpbp, dpmng};
use rustix::fd::AsFd;
use std::collections::BTreeMap;
use std::io::BufRead;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Line {
    #[command(subcommand)]
    request: Request,
}

#[derive(Debug, Subcommand)]
enum Request {
    /// Open a container
    Open { container: String },
    /// Close it, with its mappings and interrupts
    Close { container: String },
    /// Map fresh memory for DMA, filled with a word
    Map {
        container: String,
        #[arg(value_parser = hexadecimal)]
        iova: u64,
        /// Bytes
        #[arg(value_parser = hexadecimal)]
        size: u64,
        access: Direction,
        #[arg(value_parser = hexadecimal)]
        pattern: u64,
    },
    /// Unmap memory; it can still be read
    Unmap {
        container: String,
        #[arg(value_parser = hexadecimal)]
        iova: u64,
    },
    /// Print the word at an offset of the memory at an address
    Read {
        container: String,
        #[arg(value_parser = hexadecimal)]
        iova: u64,
        #[arg(value_parser = hexadecimal)]
        offset: u64,
    },
    /// Print how many words of the memory at an address equal a value
    Count {
        container: String,
        #[arg(value_parser = hexadecimal)]
        iova: u64,
        #[arg(value_parser = hexadecimal)]
        pattern: u64,
    },
    /// Enable an object's interrupt, with an eventfd
    Irq { object: String },
    /// Disable it
    NoIrq { object: String },
    /// Set mask and enable of an object's interrupt
    IrqMask {
        object: ObjectId,
        #[arg(value_parser = hexadecimal_u32)]
        mask: u32,
        state: IrqState,
    },
    /// Print an object's pending events, and clear them
    Events { object: ObjectId },
    /// Wait for the eventfd, with a timeout; print its count
    Wait { object: String, milliseconds: u64 },
    /// Print how many interrupts of an object the kernel has counted
    Seen { object: String },
    /// Reset an object
    Reset { object: String },
    /// Start a process that also holds the object's file, for some seconds
    Lend { object: String, seconds: u64 },
    /// Print the attributes of a dpbp while its device is reset, which is a command of
    /// the kernel's through the same portal
    ShowWhileReset { object: ObjectId },
    /// Ask an object for the firmware's version, through its mapped portal
    Ask { object: String },
    /// Print the first word that an object's portal shows, without a command
    Shown { object: String },
    /// Print the attributes of a dpbp, asked for through its container's portal
    Show { object: ObjectId },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Direction {
    Read,
    Write,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum IrqState {
    Enabled,
    Disabled,
}

/// What is held of a container; fields are given up in this order.
struct Open {
    interrupts: BTreeMap<String, Interrupt>,
    memory: BTreeMap<u64, Memory>,
    portal: McPortal,
    devices: BTreeMap<String, Device>,
    held: AssignedContainer,
}

/// Memory that devices reach, or did.
enum Memory {
    Shared(Mapped),
    Own(DmaBuffer),
}

impl Memory {
    fn load(&self, offset: usize) -> Option<u64> {
        match self {
            Self::Shared(mapped) => mapped.load(offset),
            Self::Own(buffer) => buffer.load(offset),
        }
    }

    fn size(&self) -> usize {
        match self {
            // It was allocated with a size of this type.
            Self::Shared(mapped) => usize::try_from(mapped.size()).unwrap_or(usize::MAX),
            Self::Own(buffer) => buffer.size(),
        }
    }
}

/// Answers lines until standard input ends.
///
/// When standard input cannot be read. What a request meets is an answer.
pub fn run() -> Result<(), Failure> {
    let mut session = Session::default();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| {
            Failure::new(error.to_string(), "standard input", "Write lines of text")
        })?;
        match session.answer(&line) {
            Ok(answer) => println!("{}", format!("ok {answer}").trim_end()),
            // One line, whatever is in it.
            Err(failure) => println!("error {}", failure.to_string().replace('\n', "; ")),
        }
    }
    Ok(())
}

#[derive(Default)]
struct Session {
    open: BTreeMap<String, Open>,
}

impl Session {
    fn answer(&mut self, line: &str) -> Result<String, Failure> {
        let line = Line::try_parse_from(line.split_whitespace()).map_err(|error| {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default().to_owned();
            Failure::new(first, "the request", "See `fslmc-guest vfio session --help`")
        })?;
        match line.request {
            Request::Open { container } => self.take(container),
            Request::Close { container } => match self.open.remove(&container) {
                Some(_) => done(),
                None => Err(not_open(&container)),
            },
            Request::Map { container, iova, size, access, pattern } => {
                self.of(&container)?.map(iova, size, access, pattern)
            }
            Request::Unmap { container, iova } => self.of(&container)?.unmap(iova),
            Request::Read { container, iova, offset } => {
                let memory = self.of(&container)?.memory(iova)?;
                let word = usize::try_from(offset).ok().and_then(|offset| memory.load(offset));
                let word = word.ok_or_else(|| {
                    Failure::new(format!("no word at {offset:#x}"), format!("{iova:#x}"), "")
                })?;
                Ok(format!("{word:x}"))
            }
            Request::Count { container, iova, pattern } => {
                let memory = self.of(&container)?.memory(iova)?;
                let offsets = (0..memory.size()).step_by(8);
                let count = offsets.filter(|&offset| memory.load(offset) == Some(pattern)).count();
                Ok(count.to_string())
            }
            Request::Irq { object } => {
                let open = self.around(&object)?;
                let interrupt = open.device(&object)?.enable_interrupt(0)?;
                open.interrupts.insert(object, interrupt);
                done()
            }
            Request::NoIrq { object } => {
                let interrupt = self.around(&object)?.interrupts.remove(&object);
                interrupt.ok_or_else(|| no_interrupt(&object))?.disable()?;
                done()
            }
            Request::IrqMask { object, mask, state } => {
                let enable = state == IrqState::Enabled;
                with_open(
                    &mut self.around(&object.to_string())?.portal,
                    object,
                    |portal, open| {
                        portal.call(open, &SetIrqMask { mask, index: 0 })?;
                        portal.call(open, &SetIrqEnable { enable, index: 0 })
                    },
                )?;
                done()
            }
            Request::Events { object } => {
                let portal = &mut self.around(&object.to_string())?.portal;
                let status = with_open(portal, object, |portal, open| {
                    let ask = GetIrqStatus { status: u32::MAX, index: 0 };
                    let status = portal.call(open, &ask)?.status;
                    portal.call(open, &ClearIrqStatus { status: u32::MAX, index: 0 })?;
                    Ok(status)
                })?;
                Ok(format!("{status:x}"))
            }
            Request::Wait { object, milliseconds } => {
                let interrupt = self.around(&object)?.interrupts.get(&object);
                let events = interrupt.ok_or_else(|| no_interrupt(&object))?.events();
                Ok(events.wait(Duration::from_millis(milliseconds))?.to_string())
            }
            Request::Seen { object } => Ok(interrupts_of(&object)?.to_string()),
            Request::Reset { object } => {
                self.around(&object)?.device(&object)?.reset()?;
                done()
            }
            Request::Lend { object, seconds } => {
                let device = self.around(&object)?.device(&object)?;
                lend(&device, seconds)?;
                done()
            }
            Request::Ask { object } => {
                let device = self.around(&object)?.device(&object)?;
                let version = device.mapped_portal()?.call(Token::NONE, &dpmng::GetVersion {})?;
                Ok(format!("{}.{}.{}", version.major, version.minor, version.revision))
            }
            Request::Shown { object } => {
                let mut words = [0; 64];
                let device = self.around(&object)?.device(&object)?;
                rustix::io::pread(device, &mut words, 0).map_err(|error| {
                    Failure::new(format!("reading the portal: {error}"), &object, "")
                })?;
                let header = words.first_chunk().copied().unwrap_or_default();
                Ok(format!("{:#018x}", u64::from_le_bytes(header)))
            }
            Request::Show { object } => show(&mut self.around(&object.to_string())?.portal, object),
            Request::ShowWhileReset { object } => {
                let open = self.around(&object.to_string())?;
                let device = open.device(&object.to_string())?;
                let portal = &mut open.portal;
                std::thread::scope(|scope| {
                    let showing = scope.spawn(|| show(portal, object));
                    std::thread::sleep(Duration::from_millis(500));
                    let reset = device.reset();
                    let shown = showing
                        .join()
                        .map_err(|_| Failure::new("the thread has panicked", "this session", ""))?;
                    reset?;
                    shown
                })
            }
        }
    }

    fn take(&mut self, container: String) -> Result<String, Failure> {
        let held = AssignedContainer::open(&container)?;
        let device = held.dprc()?;
        let portal = device.portal()?;
        let group = held.group.number();
        let devices = BTreeMap::from([(container.clone(), device)]);
        let (interrupts, memory) = (BTreeMap::new(), BTreeMap::new());
        self.open.insert(container, Open { interrupts, memory, portal, devices, held });
        Ok(format!("group {group}"))
    }

    fn of(&mut self, container: &str) -> Result<&mut Open, Failure> {
        self.open.get_mut(container).ok_or_else(|| not_open(container))
    }

    /// The container that is an object, or has it.
    fn around(&mut self, object: &str) -> Result<&mut Open, Failure> {
        if self.open.contains_key(object) {
            return self.of(object);
        }
        let container = SYSFS.device(object).and_then(|device| device.container);
        let container = container
            .ok_or_else(|| Failure::new(format!("{object} is in no container"), bus::ROOT, ""))?;
        self.of(&container)
    }
}

impl Open {
    /// A device stays open until its container is given up: the last close of one
    /// resets it.
    fn device(&mut self, name: &str) -> Result<Device, Failure> {
        if let Some(device) = self.devices.get(name) {
            return Ok(device.clone());
        }
        let device = self.held.device(name)?;
        self.devices.insert(name.to_owned(), device.clone());
        Ok(device)
    }

    fn memory(&self, iova: u64) -> Result<&Memory, Failure> {
        self.memory.get(&iova).ok_or_else(|| not_mapped(iova))
    }

    fn map(
        &mut self,
        iova: u64,
        size: u64,
        access: Direction,
        pattern: u64,
    ) -> Result<String, Failure> {
        let size = usize::try_from(size)
            .map_err(|_| Failure::new(format!("{size:#x} bytes"), "memory", "Ask for less"))?;
        let buffer = DmaBuffer::allocate(size)?;
        for offset in (0..size).step_by(8) {
            buffer.store(offset, pattern);
        }
        let access = match access {
            Direction::Read => Access::Read,
            Direction::Write => Access::Write,
            Direction::Both => Access::ReadWrite,
        };
        let mapped = self.held.iommu.map(buffer, iova, access)?;
        self.memory.insert(iova, Memory::Shared(mapped));
        done()
    }

    fn unmap(&mut self, iova: u64) -> Result<String, Failure> {
        match self.memory.remove(&iova) {
            Some(Memory::Shared(mapped)) => {
                self.memory.insert(iova, Memory::Own(mapped.unmap()?));
                done()
            }
            Some(own) => {
                self.memory.insert(iova, own);
                Err(not_mapped(iova))
            }
            None => Err(not_mapped(iova)),
        }
    }
}

fn show(portal: &mut McPortal, object: ObjectId) -> Result<String, Failure> {
    let reply =
        with_open(portal, object, |portal, open| portal.call(open, &dpbp::GetAttributes {}))?;
    Ok(format!("{reply:?}"))
}

/// A process has the device as its standard input and sleeps.
fn lend(device: &Device, seconds: u64) -> Result<(), Failure> {
    let program = std::path::Path::new("/bin/busybox");
    let start = || {
        let file = device.as_fd().try_clone_to_owned()?;
        std::process::Command::new(program)
            .args(["sleep", &seconds.to_string()])
            .stdin(file)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
    };
    // It outlives this program, which does not wait for it.
    let started = start().map(drop);
    started.map_err(|error| Failure::io("starting it", program, &error, "The image has it"))
}

fn done() -> Result<String, Failure> {
    Ok(String::new())
}

fn not_open(container: &str) -> Failure {
    Failure::new(format!("{container} is not open"), "this session", "Send `open` first")
}

fn not_mapped(iova: u64) -> Failure {
    Failure::new(format!("nothing is mapped at {iova:#x}"), "this session", "Send `map` first")
}

fn no_interrupt(object: &str) -> Failure {
    let what = format!("the interrupt of {object} signals nothing");
    Failure::new(what, "this session", "Send `irq` first")
}

/// How often the kernel has seen interrupts whose handler has the object's name.
fn interrupts_of(object: &str) -> Result<u64, Failure> {
    let interrupts = proc::interrupts_of(object).map_err(|error| {
        Failure::io("counting", std::path::Path::new(proc::INTERRUPTS), &error, "Mount /proc")
    })?;
    Ok(interrupts.iter().map(|interrupt| interrupt.count).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_language_is_consistent() {
        Line::command().debug_assert();
    }

    #[test]
    fn mistakes_are_answers() {
        let mut session = Session::default();
        let error = session.answer("fly dprc.2").unwrap_err().to_string();
        assert!(error.contains("fly"), "{error}");
        let error = session.answer("unmap dprc.2 0x1000").unwrap_err().to_string();
        assert!(error.contains("dprc.2 is not open"), "{error}");
    }
}
