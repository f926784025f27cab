// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Command portals by reads and writes of a device's file.

use super::util::{
    answers, exchange, fetch, identity, offset_of, open_container, send, settled, status,
    without_object,
};
use crate::check::{
    Check, Outcome, Stop, answer, check, done, ensure, fail, is, refused, refused_any, skip,
};
use crate::context::{Context, portals};
use crate::sys::{Block, Guarded};
use dprc::{AssignedContainer, Device};
use fsl_mc_linux::bus::{self, SYSFS};
use fsl_mc_linux::proc;
use mc_abi::{Message, Params, Status, Token, Wire, dpmng, dprc as mc};
use rustix::fd::AsFd;
use rustix::io::Errno;
use std::io::{IoSlice, IoSliceMut};
use std::time::{Duration, Instant};

const GROUP: Check = Check::group("portal");

const DRIVER: &str = "C driver";
const SIZE: usize = Message::SIZE;
const ONE_CALL: &str = "driver/uapi/vfio-fsl-mc.h";

/// The checks.
pub const CHECKS: &[Check] = &[
    check!(
        write_then_read,
        "A write of 64 bytes executes a command, and a read of 64 bytes gives its answer.",
        "C driver; DPDK and restool use a container's portal so"
    ),
    check!(
        typed_commands,
        "Commands with objects work as by any other portal: open, ask, close.",
        "MC command reference"
    ),
    check!(
        status_in_the_answer,
        "A command that the MC refuses is written well; its status is in the answer.",
        DRIVER
    ),
    check!(
        unknown_command,
        "A command that the MC does not have is answered by the MC and not by the driver.",
        DRIVER
    ),
    check!(read_before_write, "A read before any write gives the portal as it stands.", DRIVER),
    check!(read_again, "The answer can be read again until the next command.", DRIVER),
    check!(
        size,
        "Reads and writes of any other size than 64 bytes are refused with EINVAL.",
        DRIVER
    ),
    check!(
        offset,
        "Reads and writes anywhere but at the start of the region are refused with EINVAL.",
        DRIVER
    ),
    check!(
        index_out_of_range,
        "Reads and writes of a region that there is not are refused with EINVAL.",
        DRIVER
    ),
    check!(no_regions, "An object without regions is neither read nor written: EINVAL.", DRIVER),
    check!(
        "read-of-no-portal",
        |context| no_portal(context, |device, at| fetch(device, at).map(|_| SIZE)),
        "Reads of a region that is not a command portal are refused with EINVAL.",
        "a command portal is what 64 bytes are read from"
    )
    .defect(7),
    check!(
        "write-of-no-portal",
        |context| no_portal(context, |device, at| send(device, at, &harmless())),
        "Writes to a region that is not a command portal are refused with EINVAL.",
        "a command portal is what 64 bytes are written to"
    )
    .seconds(60)
    .defect(7),
    check!(
        write_of_no_portal_is_quick,
        "A write to a region that is not a command portal ends within a second.",
        "nobody answers there"
    )
    .seconds(60)
    .defect(6)
    .danger(),
    check!(
        refused_access_maps_nothing,
        "A read that is refused for its size costs the kernel no mapping of the region.",
        "arguments are checked before anything is done"
    )
    .defect(5),
    check!(
        bad_pointer_of_write,
        "A write from memory that is not accessible, in part or at all, is answered with EFAULT, \
         and no command is sent.",
        DRIVER
    ),
    check!(
        bad_pointer_of_read,
        "A read to memory that is not accessible, in part or at all, is answered with EFAULT; the \
         answer is not lost.",
        DRIVER
    ),
    check!(
        arguments_before_pointer,
        "A wrong size or place is refused with EINVAL also where the memory is not accessible.",
        DRIVER
    ),
    check!(
        refused_sends_nothing,
        "A write that is refused sends no command and leaves the answer to the last one.",
        DRIVER
    ),
    check!(
        plain_read_and_write,
        "Reads and writes without an offset are of region 0, and the file's position stays there.",
        "C driver: the position is not advanced"
    ),
    check!(
        no_seek,
        "The file cannot be sought: ESPIPE.",
        "kernel: the file of a device has no position of its own"
    ),
    check!(
        vectors,
        "One vector of 64 bytes is a command or an answer; two halves are not.",
        "kernel: a file without read_iter takes each vector by itself; C driver"
    ),
    check!(
        no_sendfile,
        "The file is neither a source nor a target of sendfile.",
        "kernel: the file of a device has no splice operations"
    ),
    check!(
        own_portal_each,
        "The container and each dpmcp have portals of their own: an answer is read from where its \
         command was written.",
        DRIVER
    ),
    check!(
        tokens_are_the_containers,
        "A token that one portal of a container was given works through the others.",
        "MC command reference; DPDK opens objects through its dpmcp"
    ),
    check!(
        other_container_is_not_reached,
        "A portal does not reach objects of a container next to its own.",
        "MC command reference: a portal reaches its own container and those below"
    ),
    check!(
        all_of_the_message,
        "All 56 bytes of parameters reach the MC, and all of the answer come back.",
        "MC command reference"
    ),
    check!(many_commands, "A thousand commands in a row are each answered.", DRIVER).seconds(60),
    check!(
        one_call,
        "VFIO_DEVICE_FSL_MC_COMMAND sends a command and gives its answer in its place; nothing is \
         left to be read of it, and what was left still is.",
        ONE_CALL
    ),
    check!(
        one_call_arguments,
        "VFIO_DEVICE_FSL_MC_COMMAND is refused for flags, a short argsz, inaccessible memory, and \
         an object that is not a portal.",
        ONE_CALL
    ),
    check!(
        one_call_policy,
        "What may not be written may not be sent by VFIO_DEVICE_FSL_MC_COMMAND either.",
        ONE_CALL
    ),
];

fn version() -> Message {
    without_object(&dpmng::GetVersion {})
}

/// A block that stands for a command which is ready, and asks for nothing: number 0.
fn harmless() -> Message {
    Message::command(0, 0, Token::NONE, Params::ZERO)
}

/// Runs `with` on the container and on its first dpmcp.
fn each_portal(
    context: &Context,
    with: impl Fn(&AssignedContainer, &Device) -> Outcome,
) -> Outcome {
    let held = context.hold()?;
    with(&held, &held.dprc()?)?;
    match context.first("dpmcp") {
        Err(Stop::Skip(_)) => Ok(()),
        name => with(&held, &held.device(&name?)?),
    }
}

fn write_then_read(context: &Context) -> Outcome {
    each_portal(context, |_, device| {
        let command = version();
        let got = exchange(device, &command)?;
        answers(device.name(), &command, &got)?;
        let says = dpmng::GetVersionReply::decode(&got.params, 1)
            .or_else(|error| fail("a version", error.to_string()))?;
        ensure(says.major >= 9, "a firmware that has containers", || format!("{says:?}"))
    })
}

fn typed_commands(context: &Context) -> Outcome {
    each_portal(context, |held, device| {
        let mut portal = device.portal()?;
        let open = open_container(held, &mut portal)?;
        let says = portal.call(open, &mc::GetAttributes {})?;
        is("the container's number", says.id, identity(&held.name)?.id)?;
        let count = portal.call(open, &mc::GetObjectCount {})?.count;
        for index in 0..count {
            portal.call(open, &mc::GetObject { index })?;
        }
        Ok(portal.close(open)?)
    })
}

fn status_in_the_answer(context: &Context) -> Outcome {
    each_portal(context, |_, device| {
        // A token that nobody has.
        let command = Message::command(0x004, 1, Token(u16::MAX), Params::ZERO);
        let got = exchange(device, &command)?;
        is("status of a command with a wrong token", status(&got), Status::AuthenticationError)?;
        is("command in the answer", got.header.number(), 0x004)
    })
}

fn unknown_command(context: &Context) -> Outcome {
    each_portal(context, |held, device| {
        let mut portal = device.portal()?;
        let open = open_container(held, &mut portal)?;
        // No reference header has one of these.
        for number in [0x0ff, 0x3ff, 0xfff] {
            let command = Message::command(number, 1, open.token, Params::ZERO);
            let got = exchange(device, &command)?;
            let done = matches!(status(&got), Status::Ok | Status::Ready);
            ensure(!done, format!("a refusal of command {number:#x}"), || format!("{got:?}"))?;
        }
        Ok(portal.close(open)?)
    })
}

fn read_before_write(context: &Context) -> Outcome {
    each_portal(context, |_, device| {
        done("a read of a portal without a command in flight", settled(device))?;
        Ok(())
    })
}

fn read_again(context: &Context) -> Outcome {
    each_portal(context, |_, device| {
        let first = exchange(device, &version())?;
        for _ in 0..3 {
            is("the answer, read again", done("a read", fetch(device, 0))?, first)?;
        }
        let command = without_object(&dpmng::GetContainerId {});
        answers("the next one", &command, &exchange(device, &command)?)
    })
}

fn size(context: &Context) -> Outcome {
    each_portal(context, |_, device| {
        let mut buffer = vec![0; 8192];
        let bytes = version().to_bytes();
        buffer[..SIZE].copy_from_slice(&bytes);
        for size in [0, 1, 4, 8, 32, 63, 65, 127, 128, 4096, 8192] {
            let what = format!("{size} bytes of {}", device.name());
            let got = rustix::io::pwrite(device, &buffer[..size], 0);
            refused(&format!("a write of {what}"), got, Errno::INVAL)?;
            let got = rustix::io::pread(device, &mut vec![0; size][..], 0);
            refused(&format!("a read of {what}"), got, Errno::INVAL)?;
        }
        Ok(())
    })
}

fn offset(context: &Context) -> Outcome {
    each_portal(context, |_, device| {
        for offset in [1, 8, 32, 63, 64, 128, 4096, 0xffc0, 1 << 39, (1 << 40) - 64] {
            let what = format!("at {offset:#x} of {}", device.name());
            refused(&format!("a write {what}"), send(device, offset, &version()), Errno::INVAL)?;
            refused(&format!("a read {what}"), fetch(device, offset), Errno::INVAL)?;
        }
        Ok(())
    })
}

fn index_out_of_range(context: &Context) -> Outcome {
    each_portal(context, |_, device| {
        let count = device.info().regions;
        for index in [count, count + 1, 0xff, 0x1000, 0x7f_ffff] {
            let what = format!("region {index:#x} of {}", device.name());
            let got = send(device, offset_of(index), &version());
            refused(&format!("a write to {what}"), got, Errno::INVAL)?;
            refused(&format!("a read of {what}"), fetch(device, offset_of(index)), Errno::INVAL)?;
        }
        Ok(())
    })
}

fn no_regions(context: &Context) -> Outcome {
    let held = context.hold()?;
    let mut any = false;
    for name in context.objects()? {
        let device = held.device(&name)?;
        if device.info().regions == 0 {
            any = true;
            refused(&format!("a write to {name}"), send(&device, 0, &version()), Errno::INVAL)?;
            refused(&format!("a read of {name}"), fetch(&device, 0), Errno::INVAL)?;
        }
    }
    if any { Ok(()) } else { skip("each object has regions") }
}

/// Runs `access` on each region that is no command portal; all must be refused.
fn no_portal(context: &Context, access: impl Fn(&Device, u64) -> Result<usize, Errno>) -> Outcome {
    for_each_other_region(context, |device, index| {
        let what = format!("an access to region {index} of {}", device.name());
        refused(&what, access(device, offset_of(index)), Errno::INVAL)
    })
}

fn for_each_other_region(context: &Context, with: impl Fn(&Device, u32) -> Outcome) -> Outcome {
    let held = context.hold()?;
    let mut any = false;
    for name in context.objects()? {
        if matches!(bus::family(&name), "dpmcp" | "dprc") {
            continue;
        }
        let device = held.device(&name)?;
        for index in 0..device.info().regions {
            any = true;
            with(&device, index)?;
        }
    }
    if any { Ok(()) } else { skip("each region is a command portal") }
}

fn write_of_no_portal_is_quick(context: &Context) -> Outcome {
    for_each_other_region(context, |device, index| {
        let start = Instant::now();
        let got = send(device, offset_of(index), &harmless());
        let took = start.elapsed();
        let what = format!("a write to region {index} of {} within a second", device.name());
        ensure(took < Duration::from_secs(1), what, || {
            format!("{} after {} ms", answer(got), took.as_millis())
        })
    })
}

fn refused_access_maps_nothing(context: &Context) -> Outcome {
    for_each_other_region(context, |device, index| {
        let before = kernel_mappings()?;
        let mut short = [0; SIZE - 1];
        let got = rustix::io::pread(device, &mut short, offset_of(index));
        let what = format!("a read of {} bytes of region {index}", short.len());
        refused(&what, got, Errno::INVAL)?;
        is("the kernel's mappings of device memory", kernel_mappings()?, before)
    })
}

fn kernel_mappings() -> Result<usize, Stop> {
    proc::device_mappings().or_else(|error| skip(format!("/proc/vmallocinfo: {error}")))
}

fn bad_pointer_of_write(context: &Context) -> Outcome {
    each_portal(context, |_, device| {
        let before = exchange(device, &version())?;
        let guarded = done("memory", Guarded::new())?;
        let other = without_object(&dpmng::GetContainerId {}).to_bytes();
        for accessible in [0, 8, 32, 63] {
            guarded.fill(accessible, &other);
            let got = guarded.pwrite(accessible, SIZE, device, 0);
            let what = format!("a write with {accessible} bytes accessible");
            refused(&what, got, Errno::FAULT)?;
            is("the answer to the command before", done("a read", fetch(device, 0))?, before)?;
        }
        Ok(())
    })
}

fn bad_pointer_of_read(context: &Context) -> Outcome {
    each_portal(context, |_, device| {
        let before = exchange(device, &version())?;
        let guarded = done("memory", Guarded::new())?;
        for accessible in [0, 8, 32, 63] {
            let got = guarded.pread(accessible, SIZE, device, 0);
            let what = format!("a read with {accessible} bytes accessible");
            refused(&what, got, Errno::FAULT)?;
            is("the answer", done("a read", fetch(device, 0))?, before)?;
        }
        Ok(())
    })
}

fn arguments_before_pointer(context: &Context) -> Outcome {
    each_portal(context, |_, device| {
        let guarded = done("memory", Guarded::new())?;
        for (size, offset) in [(63, 0), (65, 0), (SIZE, 8), (SIZE, 1 << 41)] {
            let what = format!("{size} bytes at {offset:#x}");
            let got = guarded.pwrite(0, size, device, offset);
            refused(&format!("a write of {what}"), got, Errno::INVAL)?;
            let got = guarded.pread(0, size, device, offset);
            refused(&format!("a read of {what}"), got, Errno::INVAL)?;
        }
        Ok(())
    })
}

fn refused_sends_nothing(context: &Context) -> Outcome {
    each_portal(context, |_, device| {
        let before = exchange(device, &version())?;
        let other = without_object(&dpmng::GetContainerId {});
        let bytes = [other.to_bytes(), other.to_bytes()].concat();
        for (size, offset) in [(63, 0), (128, 0), (SIZE, 8), (SIZE, 64), (SIZE, 1 << 41)] {
            let got = rustix::io::pwrite(device, &bytes[..size], offset);
            refused(&format!("a write of {size} bytes at {offset:#x}"), got, Errno::INVAL)?;
            is("the answer to the command before", done("a read", fetch(device, 0))?, before)?;
        }
        Ok(())
    })
}

fn plain_read_and_write(context: &Context) -> Outcome {
    each_portal(context, |_, device| {
        for command in [version(), without_object(&dpmng::GetContainerId {}), version()] {
            let got = rustix::io::write(device, &command.to_bytes());
            is("bytes of a write", done("a write", got)?, SIZE)?;
            for _ in 0..2 {
                let mut bytes = [0; SIZE];
                let got = rustix::io::read(device, &mut bytes);
                is("bytes of a read", done("a read", got)?, SIZE)?;
                answers(device.name(), &command, &Message::from_bytes(&bytes))?;
            }
        }
        Ok(())
    })
}

fn no_seek(context: &Context) -> Outcome {
    use rustix::fs::{SeekFrom, seek};
    each_portal(context, |_, device| {
        for to in [SeekFrom::Start(0), SeekFrom::Start(1 << 40), SeekFrom::End(0)] {
            refused(&format!("a seek to {to:?}"), seek(device, to), Errno::SPIPE)?;
        }
        refused("a seek by 0", seek(device, SeekFrom::Current(0)), Errno::SPIPE)
    })
}

fn vectors(context: &Context) -> Outcome {
    each_portal(context, |_, device| {
        let command = version();
        let bytes = command.to_bytes();
        let got = rustix::io::writev(device, &[IoSlice::new(&bytes)]);
        is("bytes of a writev", done("a writev of one vector", got)?, SIZE)?;
        let mut answer = [0; SIZE];
        let got = rustix::io::readv(device, &mut [IoSliceMut::new(&mut answer)]);
        is("bytes of a readv", done("a readv of one vector", got)?, SIZE)?;
        answers(device.name(), &command, &Message::from_bytes(&answer))?;

        let (head, tail) = bytes.split_at(32);
        let got = rustix::io::writev(device, &[IoSlice::new(head), IoSlice::new(tail)]);
        refused("a writev of two halves", got, Errno::INVAL)?;
        let (head, tail) = answer.split_at_mut(32);
        let mut halves = [IoSliceMut::new(head), IoSliceMut::new(tail)];
        let got = rustix::io::readv(device, &mut halves);
        refused("a readv of two halves", got, Errno::INVAL)?;

        // By offset.
        let other = without_object(&dpmng::GetContainerId {});
        let got = rustix::io::pwritev(device, &[IoSlice::new(&other.to_bytes())], 0);
        is("bytes of a pwritev", done("a pwritev of one vector", got)?, SIZE)?;
        let got = rustix::io::preadv(device, &mut [IoSliceMut::new(&mut answer)], 0);
        is("bytes of a preadv", done("a preadv of one vector", got)?, SIZE)?;
        answers(device.name(), &other, &Message::from_bytes(&answer))
    })
}

fn no_sendfile(context: &Context) -> Outcome {
    use rustix::fs::{MemfdFlags, memfd_create, sendfile};
    each_portal(context, |_, device| {
        let file = done("a file", memfd_create("command", MemfdFlags::CLOEXEC))?;
        done("a write", rustix::io::pwrite(&file, &version().to_bytes(), 0))?;
        let before = exchange(device, &without_object(&dpmng::GetContainerId {}))?;
        let got = sendfile(&file, device.as_fd(), None, SIZE);
        refused_any("sendfile from the device", got, &[Errno::INVAL, Errno::SPIPE])?;
        let mut offset = 0;
        let got = sendfile(device.as_fd(), &file, Some(&mut offset), SIZE);
        refused_any("sendfile to the device", got, &[Errno::INVAL, Errno::SPIPE])?;
        is("the answer to the command before", done("a read", fetch(device, 0))?, before)
    })
}

fn own_portal_each(context: &Context) -> Outcome {
    let held = context.hold()?;
    let all = portals(&held)?;
    // Commands of one number, told apart by the token of nobody that they carry.
    let command = |index: usize| {
        let token = Token(0xff00 | u16::try_from(index).unwrap_or(0xff));
        Message::command(0x004, 1, token, Params::ZERO)
    };
    for (index, device) in all.iter().enumerate() {
        done("a write of a command", send(device, 0, &command(index)))?;
    }
    for (index, device) in all.iter().enumerate() {
        let got = done("a read of its answer", fetch(device, 0))?;
        let what = format!("token in the answer of {}", device.name());
        is(&what, got.header.token(), command(index).header.token())?;
    }
    Ok(())
}

fn tokens_are_the_containers(context: &Context) -> Outcome {
    let held = context.hold()?;
    let all = portals(&held)?;
    let Some((first, others)) = all.split_first() else { return skip("no portal") };
    let mut portal = first.portal()?;
    let open = open_container(&held, &mut portal)?;
    for device in others {
        let says = device.portal()?.call(open, &mc::GetAttributes {})?;
        is("the container's number", says.id, identity(&held.name)?.id)?;
    }
    // Closed by another portal than opened by.
    if let Some(last) = others.last() {
        last.portal()?.close(open)?;
    }
    let got = portal.exchange(&Message::command(0x004, 1, open.token, Params::ZERO))?;
    is("status of the token after it is closed", status(&got), Status::AuthenticationError)
}

fn other_container_is_not_reached(context: &Context) -> Outcome {
    let other = context.hold_second()?;
    let stranger = identity(&other.name)?;
    let objects = SYSFS.objects(&other.name)?;
    each_portal(context, |_, device| {
        let mut portal = device.portal()?;
        let mut strangers = vec![stranger];
        strangers.extend(objects.first().and_then(|name| identity(name).ok()));
        for stranger in strangers {
            match portal.open(stranger) {
                Err(error) if error.status().is_some() => {}
                got => return fail(format!("a refusal to open {stranger}"), format!("{got:?}")),
            }
        }
        Ok(())
    })
}

fn all_of_the_message(context: &Context) -> Outcome {
    let held = context.hold()?;
    let mut portal = held.dprc()?.portal()?;
    let open = open_container(&held, &mut portal)?;
    let Some(name) = context.objects()?.into_iter().next() else {
        return skip("the container is empty");
    };
    let id = identity(&name)?;
    let ask = mc::GetObjectDescription { id: id.id, kind: id.kind };
    let old = portal.call(open, &ask)?.object.label;
    // In the command the name is in the second and third word, the type in the two
    // after; the answer ends with the name.
    let label = mc_abi::Label::new("0123456789abcde");
    let naming = portal.call(open, &mc::SetObjectLabel { id: id.id, kind: id.kind, label });
    if naming.as_ref().is_err_and(|error| error.status().is_some()) {
        return skip(format!("the MC does not let the container name {name}"));
    }
    naming?;
    let got = portal.call(open, &ask)?.object.label;
    portal.call(open, &mc::SetObjectLabel { id: id.id, kind: id.kind, label: old })?;
    is(&format!("the name that was given to {name}"), got, label)?;
    Ok(portal.close(open)?)
}

fn many_commands(context: &Context) -> Outcome {
    each_portal(context, |_, device| {
        let commands = [version(), without_object(&dpmng::GetContainerId {})];
        let first = [exchange(device, &commands[0])?, exchange(device, &commands[1])?];
        for round in 0..context.times(500) {
            for (command, first) in commands.iter().zip(&first) {
                is(&format!("answer of round {round}"), exchange(device, command)?, *first)?;
            }
        }
        Ok(())
    })
}

/// VFIO_DEVICE_FSL_MC_COMMAND.
const COMMAND: u32 = fsl_mc_linux::ioctl::vfio(100);

/// Size and flags of its argument, before the message.
const HEAD: usize = 8;

fn argument(argsz: u32, flags: u32, command: &Message) -> Block {
    let words = command.to_bytes();
    let words = words.chunks_exact(4).map(|word| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(word);
        u32::from_ne_bytes(bytes)
    });
    Block::new(&[argsz, flags].into_iter().chain(words).collect::<Vec<u32>>())
}

fn message_of(argument: &Block) -> Message {
    let mut bytes = [0; SIZE];
    for (index, chunk) in bytes.chunks_exact_mut(4).enumerate() {
        chunk.copy_from_slice(&argument.word(HEAD / 4 + index).to_ne_bytes());
    }
    Message::from_bytes(&bytes)
}

const ARGSZ: u32 = (HEAD + SIZE) as u32;

/// Sends by one call.
fn by_one_call(device: &Device, command: &Message) -> Result<Message, Stop> {
    let mut argument = argument(ARGSZ, 0, command);
    match argument.ioctl(device, COMMAND) {
        Err(Errno::NOTTY) => skip("the driver does not have the call"),
        got => {
            done("VFIO_DEVICE_FSL_MC_COMMAND", got)?;
            ensure(
                argument.untouched_from((HEAD + SIZE) / 4),
                "nothing behind the message",
                || "written".into(),
            )?;
            Ok(message_of(&argument))
        }
    }
}

fn one_call(context: &Context) -> Outcome {
    each_portal(context, |_, device| {
        let other = without_object(&dpmng::GetContainerId {});
        let other_answer = exchange(device, &other)?;
        done("a write", send(device, 0, &version()))?;
        for _ in 0..3 {
            is("an answer by one call", by_one_call(device, &other)?, other_answer)?;
        }
        let got = done("a read", fetch(device, 0))?;
        answers("what was written before", &version(), &got)?;
        is("the portal as it stands", done("a read", fetch(device, 0))?, other_answer)
    })
}

fn one_call_arguments(context: &Context) -> Outcome {
    each_portal(context, |held, device| {
        let answer = by_one_call(device, &version())?;
        answers("one call", &version(), &answer)?;
        let other = without_object(&dpmng::GetContainerId {});
        for (what, argsz, flags) in [
            ("argsz 0", 0, 0),
            ("a short argsz", ARGSZ - 1, 0),
            ("a flag", ARGSZ, 1),
            ("the last flag", ARGSZ, 1 << 31),
        ] {
            refused(what, argument(argsz, flags, &other).ioctl(device, COMMAND), Errno::INVAL)?;
        }
        let guarded = done("memory", Guarded::new())?;
        for accessible in [0, 4, HEAD, HEAD + 8, HEAD + SIZE - 1] {
            let mut bytes = vec![];
            bytes.extend(ARGSZ.to_ne_bytes());
            bytes.extend(0u32.to_ne_bytes());
            bytes.extend(other.to_bytes());
            guarded.fill(accessible, &bytes);
            let got = guarded.ioctl(accessible, device, COMMAND);
            refused(&format!("{accessible} accessible bytes"), got, Errno::FAULT)?;
        }
        is("the portal as it stands", done("a read", fetch(device, 0))?, answer)?;
        for family in ["dpio", "dpbp"] {
            let other = held.device(&context.first(family)?)?;
            let got = argument(ARGSZ, 0, &version()).ioctl(&other, COMMAND);
            refused(&format!("a command to {}", other.name()), got, Errno::INVAL)?;
        }
        Ok(())
    })
}

fn one_call_policy(context: &Context) -> Outcome {
    each_portal(context, |_, device| {
        let answer = by_one_call(device, &version())?;
        let set_irq = Message::command(0x010, 1, Token::NONE, Params([0x5a; 56]));
        let got = by_one_call(device, &set_irq)?;
        is("status of SET_IRQ", status(&got), Status::NoPrivilege)?;
        is("command in the answer", got.header.number(), 0x010)?;
        is("parameters of the answer", got.params, Params::ZERO)?;
        is("the portal as it stands", done("a read", fetch(device, 0))?, answer)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_that_are_sent_are_those_meant() {
        assert_eq!(<mc::GetAttributes as mc_abi::Request>::NUMBER, 0x004);
        assert_eq!(status(&harmless()), Status::Ready);
    }
}
