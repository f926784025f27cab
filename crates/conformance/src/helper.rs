// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Processes beside that of a check: those that use a container at the same time, that
//! wait in a system call, and that are killed in the middle of it.

use crate::check::{Outcome, Stop, done, fail};
use crate::context::hold;
use crate::mc;
use crate::patience::patience;
use crate::sys;
use dprc::{
    Access, AssignedContainer, Device, DmaBuffer, EventFd, IrqAction, IrqData, Mapped,
    MappedRegion, McPortal,
};
use fsl_mc_linux::bus::{self, SYSFS};
use fsl_mc_linux::proc;
use mc_abi::ObjectId;
use rustix::fd::{AsFd, OwnedFd};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The first argument of a helper process; its job follows.
pub const ARGUMENT: &str = "--helper";

/// How long a process may take to say what it has to. A helper does not know of
/// [`multiply`](crate::patience::multiply): it says what it misses before who waits for it
/// gives up.
fn longest() -> Duration {
    6 * patience()
}

/// What a helper prints once it is ready.
const READY: &str = "ready";

/// Address for DMA: above 4 GiB, away from everything.
pub const IOVA: u64 = 0x1_0000_0000;

/// Pages of memory that [`Job::HoldAll`] and [`Job::HoldMemory`] have mapped.
pub const MEMORY: usize = 256;

/// What a helper process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
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
    /// Has a container, and lends its group and VFIO's container through the socket that
    /// is its standard input.
    Lend,
    /// Writes the further arguments, a file of sysfs and a text.
    Write,
}

const JOBS: [(Job, &str); 12] = [
    (Job::HoldAll, "hold-all"),
    (Job::HoldMemory, "hold-memory"),
    (Job::Hold, "hold"),
    (Job::Keep, "keep"),
    (Job::Command, "command"),
    (Job::Interrupt, "interrupt"),
    (Job::Map, "map"),
    (Job::Dma, "dma"),
    (Job::Open, "open"),
    (Job::Reset, "reset"),
    (Job::Lend, "lend"),
    (Job::Write, "write"),
];

impl Job {
    fn name(self) -> &'static str {
        JOBS.iter().find(|(job, _)| *job == self).map_or("", |(_, name)| name)
    }
}

/// A helper process. Killed when dropped.
#[derive(Debug)]
pub struct Helper {
    job: Job,
    child: Child,
    // Closing it asks the process to end.
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Helper {
    /// Starts a process and waits until it is ready.
    pub fn start(job: Job, arguments: &[&str]) -> Result<Self, Stop> {
        let mut helper = Self::launch(job, arguments, Stdio::piped())?;
        helper.expect_line(READY)?;
        Ok(helper)
    }

    /// Starts a process that has a device as its standard input.
    pub fn with_device(job: Job, device: &Device) -> Result<Self, Stop> {
        let file = device.as_fd().try_clone_to_owned()?;
        let mut helper = Self::launch(job, &[], file.into())?;
        helper.expect_line(READY)?;
        Ok(helper)
    }

    /// Starts a process that has a socket as its standard input.
    pub fn with_socket(job: Job, arguments: &[&str], socket: OwnedFd) -> Result<Self, Stop> {
        let mut helper = Self::launch(job, arguments, socket.into())?;
        helper.expect_line(READY)?;
        Ok(helper)
    }

    fn launch(job: Job, arguments: &[&str], stdin: Stdio) -> Result<Self, Stop> {
        let mut child = Command::new("/proc/self/exe")
            .args([ARGUMENT, job.name()])
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
        Ok(Self { job, child, stdin, lines })
    }

    /// Waits for a line.
    fn expect_line(&mut self, wanted: &str) -> Outcome {
        let what = || format!("the helper process for `{}` prints {wanted:?}", self.job.name());
        match self.lines.recv_timeout(longest()) {
            Ok(line) if line == wanted => Ok(()),
            Ok(line) => fail(what(), line),
            Err(RecvTimeoutError::Timeout) => fail(what(), "it prints nothing"),
            Err(RecvTimeoutError::Disconnected) => fail(what(), "it has ended"),
        }
    }

    /// Kills the process and waits until it is gone with all that it had.
    pub fn kill(mut self) -> Outcome {
        self.child.kill()?;
        match self.wait(longest())? {
            Some(_) => Ok(()),
            None => fail("a process that is killed goes", format!("it stays {:?}", longest())),
        }
    }

    /// Asks the process to end and expects success.
    pub fn finish(mut self) -> Outcome {
        drop(self.stdin.take());
        let what = format!("the helper process for `{}` succeeds", self.job.name());
        match self.wait(longest())? {
            Some(status) if status.success() => Ok(()),
            Some(status) => fail(what, self.lines.try_iter().last().unwrap_or(status.to_string())),
            None => fail(what, format!("it does not end in {:?}", longest())),
        }
    }

    /// Waits for the end of the process.
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

impl Drop for Helper {
    fn drop(&mut self) {
        // It may be gone; one that cannot be killed is not waited for.
        let _ = self.child.kill();
        let _ = self.wait(Duration::from_secs(2));
    }
}

/// The main function of a helper process.
pub fn run(arguments: &[String]) -> ExitCode {
    let outcome = run_job(arguments);
    let Err(stop) = outcome else { return ExitCode::SUCCESS };
    let text = match stop {
        Stop::Skip(reason) => reason,
        Stop::Fail { expected, got } => format!("expected {expected}, got {got}"),
    };
    // One line, whatever is in it.
    say(&text.replace('\n', "; "));
    ExitCode::FAILURE
}

fn run_job(arguments: &[String]) -> Outcome {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [name, rest @ ..] = words.as_slice() else { return fail("a job", "none") };
    let job = JOBS.iter().find(|(_, known)| known == name).map(|(job, _)| *job);
    match (job, rest) {
        (Some(Job::HoldAll), [container]) => {
            let _all = All::of(container)?;
            say(READY);
            wait_for_end_of_input();
            // Nothing is given back.
            std::process::exit(0);
        }
        (Some(Job::HoldMemory), [container]) => {
            let held = hold(container)?;
            let _memory = map(&held, IOVA, MEMORY)?;
            say(READY);
            wait_for_end_of_input();
            std::process::exit(0);
        }
        (Some(Job::Hold), [container, device]) => {
            let held = hold(container)?;
            let _device = held.device(device)?;
            say(READY);
            wait_for_end_of_input();
            Ok(())
        }
        (Some(Job::Keep), []) => {
            say(READY);
            loop {
                std::thread::park();
            }
        }
        (Some(Job::Lend), [container]) => {
            let held = hold(container)?;
            // As a first process has it that others ask: a device is open.
            let _device = held.dprc()?;
            let files = [held.container.as_fd(), held.group.as_fd()];
            done("files sent through a socket", sys::send_files(std::io::stdin(), files))?;
            say(READY);
            loop {
                std::thread::park();
            }
        }
        (Some(Job::Write), [path, text]) => {
            say(READY);
            Ok(bus::write_attribute(std::path::Path::new(path), text, |_| String::new())?)
        }
        (Some(job), [container]) => repeat(job, container),
        _ => fail("a job with its arguments", format!("{words:?}")),
    }
}

fn say(line: &str) {
    // Nobody may be listening any more.
    let _ = writeln!(std::io::stdout(), "{line}");
    let _ = std::io::stdout().flush();
}

/// Waits for the end of standard input.
fn wait_for_end_of_input() {
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}

/// Repeats a job until standard input ends.
fn repeat(job: Job, container: &str) -> Outcome {
    let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let end = ended.clone();
    std::thread::spawn(move || {
        wait_for_end_of_input();
        end.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let held = if job == Job::Open { None } else { Some(hold(container)?) };
    let mut step = steps(job, container, held.as_ref())?;
    step()?;
    say(READY);
    while !ended.load(std::sync::atomic::Ordering::Relaxed) {
        step()?;
    }
    Ok(())
}

type Step<'a> = Box<dyn FnMut() -> Outcome + 'a>;

fn steps<'a>(
    job: Job,
    container: &'a str,
    held: Option<&'a AssignedContainer>,
) -> Result<Step<'a>, Stop> {
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
    Ok(match job {
        Job::Command => {
            let number = bus::number(container);
            let objects = SYSFS.objects(container)?;
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
        Job::Interrupt => {
            let mut source = mc::EventSource::new(dprc.portal()?, container)?;
            Box::new(move || {
                let interrupt = dprc.enable_interrupt(0)?;
                mc::settle(interrupt.events())?;
                source.raise()?;
                mc::expect_count(interrupt.events(), 1, "an event of the container")
            })
        }
        Job::Map => {
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
        Job::Dma => Box::new(move || {
            let mapped = (0..4)
                .map(|index| map(held, IOVA + index * 0x100_0000, 16))
                .collect::<Result<Vec<_>, Stop>>()?;
            for mapped in mapped {
                mapped.unmap()?;
            }
            Ok(())
        }),
        Job::Reset => {
            let devices = devices(container)?
                .iter()
                .map(|name| held.device(name))
                .collect::<Result<Vec<_>, _>>()?;
            Box::new(move || devices.iter().try_for_each(|device| Ok(device.reset()?)))
        }
        Job::HoldAll
        | Job::HoldMemory
        | Job::Hold
        | Job::Keep
        | Job::Lend
        | Job::Open
        | Job::Write => {
            return fail("a job that is repeated", job.name());
        }
    })
}

fn devices(container: &str) -> Result<Vec<String>, Stop> {
    let mut names = vec![container.to_owned()];
    names.extend(SYSFS.objects(container)?);
    Ok(names)
}

/// The same once none of them is of an object that is no more: who is killed may have destroyed
/// one, whose device goes when the driver looks next.
fn settled_devices(portal: &mut McPortal, container: &str) -> Result<Vec<String>, Stop> {
    let mut names = devices(container)?;
    let mut there = Vec::new();
    let is_there = |there: &[ObjectId], name: &String| {
        name == container || mc::object(name).is_ok_and(|object| there.contains(&object))
    };
    let end = Instant::now() + longest();
    while Instant::now() < end {
        there = mc::objects_in(portal, mc::object(container)?)?;
        names = devices(container)?;
        if names.iter().all(|name| is_there(&there, name)) {
            return Ok(names);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    names.retain(|name| !is_there(&there, name));
    fail("the bus has devices for objects only that there are", format!("{names:?} as well"))
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

fn map(held: &AssignedContainer, iova: u64, pages: usize) -> Result<Mapped, Stop> {
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
    _held: AssignedContainer,
}

impl All {
    /// Takes all, and switches on what has a switch.
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
pub fn is_clean(container: &str) -> Outcome {
    let held = hold(container)?;
    let mut portal = held.dprc()?.portal()?;
    let number = mc::container_of(&mut portal)?;
    crate::check::is("number of the portal's container", number, bus::number(container))?;
    for name in settled_devices(&mut portal, container)? {
        // The container's own interrupt may be the driver's, which learns of objects by it.
        if bus::family(&name) == "dprc" {
            continue;
        }
        let lines = proc::interrupts_of(&name)?;
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
