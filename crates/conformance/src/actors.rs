// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Processes beside that of a check: those that use a container at the same time, that
//! wait in a system call, and that are killed in the middle of it.

use crate::bus;
use crate::check::{Outcome, Stop, fail};
use crate::context::{Held, hold};
use crate::mc;
use dprc::{Access, Device, DmaBuffer, EventFd, IrqAction, IrqData, Mapped, MappedRegion};
use rustix::fd::AsFd;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The first argument of such a process; what it is to do follows.
pub const ACT: &str = "--act";

/// How long a process may take to say what it has to.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a process says when it has begun.
const READY: &str = "ready";

/// Address for DMA: above 4 GiB, away from everything.
pub const IOVA: u64 = 0x1_0000_0000;

/// Pages of memory that [`Act::HoldAll`] and [`Act::HoldMemory`] have mapped.
pub const MEMORY: usize = 256;

/// What an actor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Has all devices of a container open, their interrupts enabled, regions and
    /// memory mapped, objects on; ends without giving anything back.
    HoldAll,
    /// Has memory mapped for DMA; ends without giving it back.
    HoldMemory,
    /// Has a device open and waits; the further argument is its name.
    Hold,
    /// Has the device that is its standard input.
    Keep,
    /// Sends commands and looks at the answers.
    Command,
    /// Enables and disables interrupts, and causes them.
    Interrupt,
    /// Maps and unmaps regions.
    Map,
    /// Maps and unmaps memory for DMA.
    Dma,
    /// Opens and closes everything.
    Open,
    /// Resets objects.
    Reset,
    /// Writes the further arguments, a file of sysfs and a text.
    Write,
}

const ACTS: [(Act, &str); 11] = [
    (Act::HoldAll, "hold-all"),
    (Act::HoldMemory, "hold-memory"),
    (Act::Hold, "hold"),
    (Act::Keep, "keep"),
    (Act::Command, "command"),
    (Act::Interrupt, "interrupt"),
    (Act::Map, "map"),
    (Act::Dma, "dma"),
    (Act::Open, "open"),
    (Act::Reset, "reset"),
    (Act::Write, "write"),
];

impl Act {
    fn name(self) -> &'static str {
        ACTS.iter().find(|(act, _)| *act == self).map_or("", |(_, name)| name)
    }
}

/// A process that acts. Killed when dropped.
#[derive(Debug)]
pub struct Actor {
    act: Act,
    child: Child,
    // Its end tells the process to come to one.
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Actor {
    /// Starts a process and waits until it has begun.
    ///
    /// # Errors
    /// The check fails.
    pub fn start(act: Act, arguments: &[&str]) -> Result<Self, Stop> {
        let mut actor = Self::launch(act, arguments, Stdio::piped())?;
        actor.hear(READY)?;
        Ok(actor)
    }

    /// Starts a process that has a device as its standard input.
    ///
    /// # Errors
    /// The check fails.
    pub fn with_device(act: Act, device: &Device) -> Result<Self, Stop> {
        let file = device.as_fd().try_clone_to_owned()?;
        let mut actor = Self::launch(act, &[], file.into())?;
        actor.hear(READY)?;
        Ok(actor)
    }

    fn launch(act: Act, arguments: &[&str], stdin: Stdio) -> Result<Self, Stop> {
        let mut child = Command::new("/proc/self/exe")
            .args([ACT, act.name()])
            .args(arguments)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .spawn()?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let stdin = child.stdin.take();
        Ok(Self { act, child, stdin, lines })
    }

    /// Waits for a line.
    ///
    /// # Errors
    /// The check fails where something else is said, or nothing.
    fn hear(&mut self, wanted: &str) -> Outcome {
        let what = || format!("the process that is to {} says {wanted:?}", self.act.name());
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) if line == wanted => Ok(()),
            Ok(line) => fail(what(), line),
            Err(RecvTimeoutError::Timeout) => fail(what(), "it says nothing"),
            Err(RecvTimeoutError::Disconnected) => fail(what(), "it has ended"),
        }
    }

    /// Kills the process and waits until it is gone with all that it had.
    ///
    /// # Errors
    /// The check fails where it does not go.
    pub fn kill(mut self) -> Outcome {
        self.child.kill()?;
        match self.wait(PATIENCE)? {
            Some(_) => Ok(()),
            None => fail("a process that is killed goes", format!("it stays {PATIENCE:?}")),
        }
    }

    /// Lets the process come to its end, which must be a good one.
    ///
    /// # Errors
    /// The check fails with what went wrong.
    pub fn finish(mut self) -> Outcome {
        drop(self.stdin.take());
        let what = format!("the process that is to {} ends well", self.act.name());
        match self.wait(PATIENCE)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => fail(what, self.lines.try_iter().last().unwrap_or(status.to_string())),
            None => fail(what, format!("it does not end in {PATIENCE:?}")),
        }
    }

    /// Waits for the end of the process.
    ///
    /// # Errors
    /// The check fails.
    pub fn wait(&mut self, patience: Duration) -> Result<Option<ExitStatus>, Stop> {
        let end = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // It may be gone; one that cannot be killed is not waited for.
        let _ = self.child.kill();
        let _ = self.wait(Duration::from_secs(2));
    }
}

/// The life of a process that acts.
pub fn life(arguments: &[String]) -> ExitCode {
    let outcome = act(arguments);
    let Err(stop) = outcome else { return ExitCode::SUCCESS };
    let text = match stop {
        Stop::Skip(reason) => reason,
        Stop::Fail { expected, got } => format!("expected {expected}, got {got}"),
    };
    // One line, whatever is in it.
    say(&text.replace('\n', "; "));
    ExitCode::FAILURE
}

fn act(arguments: &[String]) -> Outcome {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [name, rest @ ..] = words.as_slice() else { return fail("an act", "none") };
    let act = ACTS.iter().find(|(_, known)| known == name).map(|(act, _)| *act);
    match (act, rest) {
        (Some(Act::HoldAll), [container]) => {
            let _all = All::of(container)?;
            say(READY);
            until_told();
            // Nothing is given back.
            std::process::exit(0);
        }
        (Some(Act::HoldMemory), [container]) => {
            let held = hold(container)?;
            let _memory = map(&held, IOVA, MEMORY)?;
            say(READY);
            until_told();
            std::process::exit(0);
        }
        (Some(Act::Hold), [container, device]) => {
            let held = hold(container)?;
            let _device = held.device(device)?;
            say(READY);
            until_told();
            Ok(())
        }
        (Some(Act::Keep), []) => {
            say(READY);
            loop {
                std::thread::park();
            }
        }
        (Some(Act::Write), [path, text]) => {
            say(READY);
            Ok(bus::write(std::path::Path::new(path), text)?)
        }
        (Some(act), [container]) => repeat(act, container),
        _ => fail("an act with its arguments", format!("{words:?}")),
    }
}

fn say(line: &str) {
    // Nobody may be listening any more.
    let _ = writeln!(std::io::stdout(), "{line}");
    let _ = std::io::stdout().flush();
}

/// Waits for the end of standard input.
fn until_told() {
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}

/// Repeats an act until standard input ends.
fn repeat(act: Act, container: &str) -> Outcome {
    let told = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let tell = told.clone();
    std::thread::spawn(move || {
        until_told();
        tell.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let held = if act == Act::Open { None } else { Some(hold(container)?) };
    let mut step = steps(act, container, held.as_ref())?;
    step()?;
    say(READY);
    while !told.load(std::sync::atomic::Ordering::Relaxed) {
        step()?;
    }
    Ok(())
}

type Step<'a> = Box<dyn FnMut() -> Outcome + 'a>;

fn steps<'a>(act: Act, container: &'a str, held: Option<&'a Held>) -> Result<Step<'a>, Stop> {
    let Some(held) = held else {
        return Ok(Box::new(move || {
            let held = hold(container)?;
            for name in devices(container)? {
                held.device(&name)?;
            }
            Ok(())
        }));
    };
    let dprc = held.dprc()?;
    Ok(match act {
        Act::Command => {
            let number = bus::number(container);
            let objects = bus::objects(container)?;
            let mut portal = dprc.portal()?;
            Box::new(move || {
                let found = mc::container_of(&mut portal)?;
                if found != number {
                    return fail(format!("the portal is dprc.{number}'s"), format!("dprc.{found}"));
                }
                for name in &objects {
                    let object = mc::object(name)?;
                    let open = portal.open(object)?;
                    portal.close(open)?;
                }
                Ok(())
            })
        }
        Act::Interrupt => {
            let mut bell = mc::Bell::new(dprc.portal()?, container)?;
            Box::new(move || {
                let interrupt = dprc.enable_interrupt(0)?;
                mc::settle(interrupt.events())?;
                bell.ring()?;
                mc::expect_count(interrupt.events(), 1, "an event of the container")
            })
        }
        Act::Map => {
            let devices = devices(container)?
                .iter()
                .map(|name| held.device(name))
                .collect::<Result<Vec<_>, _>>()?;
            Box::new(move || {
                for device in &devices {
                    drop(mappings(device)?);
                }
                Ok(())
            })
        }
        Act::Dma => Box::new(move || {
            let mapped = (0..4)
                .map(|index| map(held, IOVA + index * 0x100_0000, 16))
                .collect::<Result<Vec<_>, Stop>>()?;
            for mapped in mapped {
                mapped.unmap()?;
            }
            Ok(())
        }),
        Act::Reset => {
            let devices = devices(container)?
                .iter()
                .map(|name| held.device(name))
                .collect::<Result<Vec<_>, _>>()?;
            Box::new(move || devices.iter().try_for_each(|device| Ok(device.reset()?)))
        }
        Act::HoldAll | Act::HoldMemory | Act::Hold | Act::Keep | Act::Open | Act::Write => {
            return fail("an act that is repeated", act.name());
        }
    })
}

fn devices(container: &str) -> Result<Vec<String>, Stop> {
    let mut names = vec![container.to_owned()];
    names.extend(bus::objects(container)?);
    Ok(names)
}

fn mappings(device: &Device) -> Result<Vec<MappedRegion>, Stop> {
    let mut mapped = Vec::new();
    for index in 0..device.info().regions {
        if device.region(index)?.mappable {
            mapped.push(device.map_region(index)?);
        }
    }
    Ok(mapped)
}

fn map(held: &Held, iova: u64, pages: usize) -> Result<Mapped, Stop> {
    let buffer = DmaBuffer::allocate(pages * rustix::param::page_size())?;
    let mapped = held.iommu.map(buffer, iova, Access::ReadWrite);
    mapped.or_else(|error| fail("memory can be mapped", error.to_string()))
}

/// All that one can have of a container.
pub struct All {
    /// Each device with its name and the eventfd of its interrupt, if it has one.
    pub devices: Vec<(String, Device, Option<EventFd>)>,
    _regions: Vec<MappedRegion>,
    _memory: Mapped,
    _held: Held,
}

impl All {
    /// Takes all, and switches on what has a switch.
    ///
    /// # Errors
    /// The check fails.
    pub fn of(container: &str) -> Result<Self, Stop> {
        let held = hold(container)?;
        let memory = map(&held, IOVA, MEMORY)?;
        let mut all = Vec::new();
        let mut regions = Vec::new();
        let mut portal = held.dprc()?.portal()?;
        for name in devices(container)? {
            let device = held.device(&name)?;
            let events = if device.info().irqs > 0 {
                let events = EventFd::new()?;
                let files = [Some(events.as_fd())];
                device.set_irqs(0, 0, IrqAction::Trigger, &IrqData::EventFds(&files))?;
                Some(events)
            } else {
                None
            };
            regions.extend(mappings(&device)?);
            if bus::family(&name) != "dprc" {
                mc::switch_on(&mut portal, mc::object(&name)?)?;
            }
            all.push((name, device, events));
        }
        Ok(Self { devices: all, _regions: regions, _memory: memory, _held: held })
    }
}

/// Makes sure that a container can be taken after whoever had it, and that nothing is
/// left of that: no interrupt, no object that is on, no memory of DMA, no portal that
/// is out of order.
///
/// # Errors
/// The check fails.
pub fn is_clean(container: &str) -> Outcome {
    let held = hold(container)?;
    let mut portal = held.dprc()?.portal()?;
    let number = mc::container_of(&mut portal)?;
    crate::check::is("number of the portal's container", number, bus::number(container))?;
    for name in devices(container)? {
        // The container's own interrupt may be the driver's, which learns of objects by it.
        if bus::family(&name) == "dprc" {
            continue;
        }
        let lines = crate::kernel::interrupts_of(&name)?;
        crate::check::ensure(
            lines.is_empty(),
            format!("/proc/interrupts has no {name} when nobody uses it"),
            || format!("{lines:?}"),
        )?;
        match mc::enabled(&mut portal, mc::object(&name)?) {
            Ok(is_on) if is_on != mc::starts_off(bus::family(&name)) => {}
            Ok(is_on) => {
                let wanted = format!("{name} is as it was made after its last close");
                return fail(wanted, format!("it is {}", if is_on { "on" } else { "off" }));
            }
            Err(error) if error.status() == Some(mc_abi::Status::UnsupportedOperation) => {}
            Err(error) => return Err(error.into()),
        }
        held.device(&name)?;
    }
    map(&held, IOVA, MEMORY)?.unmap()?;
    Ok(())
}
