// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What checks of several groups do.

use crate::check::{Outcome, Stop, done, fail, skip};
use crate::context::Context;
use crate::patience::patience;
use crate::sys::Block;
use dprc::{AssignedContainer, Device, McPortal, OpenObject};
use fsl_mc_linux::ioctl::DEVICE_SET_IRQS;
use mc_abi::{
    Message, ObjectId, ObjectType, Params, Request, Status, Token, Wire, blocks::ObjectDescription,
    common, dprc as mc,
};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::io::Errno;
use std::time::Instant;
use vfio_bindings::bindings::vfio as abi;

/// Where a region starts in a device's file.
pub const fn offset_of(region: u32) -> u64 {
    (region as u64) << 40
}

/// Hands a command to the portal at an offset of a device's file.
pub fn send(file: impl AsFd, offset: u64, command: &Message) -> Result<usize, Errno> {
    rustix::io::pwrite(file, &command.to_bytes(), offset)
}

/// Fetches 64 bytes from an offset of a device's file.
///
/// EIO where it gives less.
pub fn fetch(file: impl AsFd, offset: u64) -> Result<Message, Errno> {
    let mut bytes = [0; Message::SIZE];
    match rustix::io::pread(file, &mut bytes, offset)? {
        Message::SIZE => Ok(Message::from_bytes(&bytes)),
        _ => Err(Errno::IO),
    }
}

/// Fetches a portal as it stands when no command is in flight, which the kernel's own
/// may be for a moment.
///
/// EBUSY where a command stays in flight.
pub fn settled(file: impl AsFd) -> Result<Message, Errno> {
    let end = Instant::now() + patience();
    loop {
        let shown = fetch(&file, 0)?;
        if status(&shown) != Status::Ready {
            return Ok(shown);
        }
        if Instant::now() > end {
            return Err(Errno::BUSY);
        }
    }
}

/// Sends a command through region 0 and fetches the answer.
pub fn exchange(file: impl AsFd, command: &Message) -> Result<Message, Stop> {
    let written = done("a write of a command", send(&file, 0, command))?;
    if written != Message::SIZE {
        return fail("a write of a command takes 64 bytes", format!("{written}"));
    }
    done("a read of the answer", fetch(&file, 0))
}

/// What an answer says.
pub fn status(answer: &Message) -> Status {
    answer.header.status()
}

/// A command that needs no object.
pub fn without_object<R: Request>(request: &R) -> Message {
    request.message(Token::NONE)
}

/// A command of a family by the first of its block, such as
/// [`common::GET_API_VERSION`].
pub fn of_family(base: u16, kind: ObjectType, token: Token, request: &impl Wire) -> Message {
    let mut params = Params::ZERO;
    request.encode(&mut params, 1);
    Message::command(base + kind.code(), 1, token, params)
}

/// The identity in a device's name.
///
/// The check does not apply to families that nobody knows.
pub fn identity(name: &str) -> Result<ObjectId, Stop> {
    name.parse().or_else(|_| skip(format!("{name} is of no known family")))
}

/// Opens the container through its own portal.
pub fn open_container(held: &AssignedContainer, portal: &mut McPortal) -> Result<OpenObject, Stop> {
    Ok(portal.open(identity(&held.name)?)?)
}

/// What the MC says of an object in the container.
pub fn describe(
    portal: &mut McPortal,
    container: OpenObject,
    name: &str,
) -> Result<ObjectDescription, Stop> {
    let ObjectId { kind, id } = identity(name)?;
    Ok(portal.call(container, &mc::GetObjectDescription { id, kind })?.object)
}

/// What the MC says of a region, asked as Linux asks it: in the newest version that
/// the MC's container interface has.
pub fn describe_region(
    portal: &mut McPortal,
    container: OpenObject,
    name: &str,
    index: u32,
) -> Result<mc::GetObjectRegionReply, Stop> {
    let command = of_family(common::GET_API_VERSION, ObjectType::Dprc, Token::NONE, &());
    let answer = portal.exchange(&command)?;
    let version = common::ApiVersion::decode(&answer.params, 1)
        .or_else(|error| fail("the version of the container's interface", error.to_string()))?;
    let version = match (version.major, version.minor) {
        (7.., _) | (6, 6..) => 3,
        (6, 3..) => 2,
        _ => 1,
    };
    let ObjectId { kind, id } = identity(name)?;
    let index = u8::try_from(index).unwrap_or(u8::MAX);
    Ok(portal.call_version(container, &mc::GetObjectRegion { id, index, kind }, version)?)
}

/// A new eventfd.
pub fn new_eventfd() -> Result<OwnedFd, Stop> {
    done("eventfd", eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK))
}

/// How often an eventfd was signalled since it was last asked.
pub fn signals(events: &OwnedFd) -> Result<u64, Stop> {
    let mut count = [0; 8];
    match rustix::io::read(events, &mut count) {
        Err(Errno::AGAIN) => Ok(0),
        got => done("a read of an eventfd", got).map(|_| u64::from_ne_bytes(count)),
    }
}

/// SET_IRQS with an argsz that fits.
pub fn set_irqs(
    device: &Device,
    flags: u32,
    [index, start, count]: [u32; 3],
    data: &[u8],
) -> Result<i32, Errno> {
    let argsz = 20 + u32::try_from(data.len()).unwrap_or(u32::MAX);
    set_irqs_with(device, argsz, flags, [index, start, count], data)
}

/// SET_IRQS with any argsz.
pub fn set_irqs_with(
    device: &Device,
    argsz: u32,
    flags: u32,
    [index, start, count]: [u32; 3],
    data: &[u8],
) -> Result<i32, Errno> {
    let mut words = vec![argsz, flags, index, start, count];
    for chunk in data.chunks(4) {
        let mut word = [0; 4];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        words.push(u32::from_ne_bytes(word));
    }
    Block::new(&words).ioctl(device, DEVICE_SET_IRQS)
}

/// Lets an interrupt signal an eventfd.
pub fn arm(device: &Device, index: u32, events: &impl AsFd) -> Result<i32, Errno> {
    let fd = events.as_fd().as_raw_fd();
    let flags = abi::VFIO_IRQ_SET_DATA_EVENTFD | abi::VFIO_IRQ_SET_ACTION_TRIGGER;
    set_irqs(device, flags, [index, 0, 1], &fd.to_ne_bytes())
}

/// Lets an interrupt signal nothing.
pub fn disarm(device: &Device, index: u32) -> Result<i32, Errno> {
    let flags = abi::VFIO_IRQ_SET_DATA_NONE | abi::VFIO_IRQ_SET_ACTION_TRIGGER;
    set_irqs(device, flags, [index, 0, 0], &[])
}

/// Signals as if the interrupt had come.
pub fn simulate(device: &Device, index: u32) -> Result<i32, Errno> {
    let flags = abi::VFIO_IRQ_SET_DATA_NONE | abi::VFIO_IRQ_SET_ACTION_TRIGGER;
    set_irqs(device, flags, [index, 0, 1], &[])
}

/// A device with an interrupt: a dpio where there is one.
///
/// The check does not apply where nothing has an interrupt.
pub fn with_interrupt(context: &Context, held: &AssignedContainer) -> Result<Device, Stop> {
    let mut names = context.devices()?;
    names.sort_by_key(|name| !name.starts_with("dpio."));
    for name in names {
        let device = held.device(&name)?;
        if device.info().irqs > 0 {
            return Ok(device);
        }
    }
    skip("nothing in the container has an interrupt")
}

/// Whether a dpio is on, asked through another object's portal.
pub fn is_enabled(portal: &mut McPortal, open: OpenObject) -> Result<bool, Stop> {
    Ok(portal.call(open, &common::IsEnabled {})?.enabled)
}

/// Checks that an answer is the one to a command, and good.
pub fn answers(what: &str, command: &Message, answer: &Message) -> Outcome {
    let asked = (command.header.number(), Status::Ok);
    let got = (answer.header.number(), status(answer));
    if asked == got {
        return Ok(());
    }
    fail(
        format!("{what}: the answer to command {:#x}", asked.0),
        format!("one to command {:#x}, status {}", got.0, got.1),
    )
}
