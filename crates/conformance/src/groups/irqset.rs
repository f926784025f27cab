// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! VFIO_DEVICE_SET_IRQS: which requests mean something, and what they do to an eventfd
//! when software asks for the signal.

use super::util::{
    arm, disarm, new_eventfd, set_irqs, set_irqs_with, signals, simulate, with_interrupt,
};
use crate::check::{Check, Outcome, Stop, answer, check, done, fail, is, refused, skip};
use crate::context::Context;
use crate::sys::Guarded;
use dprc::{AssignedContainer, Device};
use fsl_mc_linux::ioctl::DEVICE_SET_IRQS;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::io::Errno;
use vfio_bindings::bindings::vfio as abi;

const GROUP: Check = Check::group("irqset");

const UAPI: &str = "linux/vfio.h: VFIO_DEVICE_SET_IRQS";
const COMMON: &str = "kernel: vfio_set_irqs_validate_and_prepare; C driver";

const NONE: u32 = abi::VFIO_IRQ_SET_DATA_NONE;
const BOOL: u32 = abi::VFIO_IRQ_SET_DATA_BOOL;
const EVENTFD: u32 = abi::VFIO_IRQ_SET_DATA_EVENTFD;
const MASK: u32 = abi::VFIO_IRQ_SET_ACTION_MASK;
const UNMASK: u32 = abi::VFIO_IRQ_SET_ACTION_UNMASK;
const TRIGGER: u32 = abi::VFIO_IRQ_SET_ACTION_TRIGGER;
const DATA: u32 = NONE | BOOL | EVENTFD;

/// The checks.
pub const CHECKS: &[Check] = &[
    check!(
        flags,
        "Of all flags, counts and starts, exactly these mean something: TRIGGER with one kind of \
         data, start 0 and count 1, or count 0 with no data.",
        COMMON
    )
    .interrupts()
    .seconds(30),
    check!(unknown_flags, "Flags that nobody knows are refused with EINVAL.", COMMON),
    check!(
        mixed_actions,
        "An action is one of MASK, UNMASK and TRIGGER; two of them are refused with EINVAL.",
        UAPI
    )
    .interrupts()
    .defect(14),
    check!(
        mask,
        "MASK and UNMASK are refused with EINVAL, as no interrupt says that it is maskable.",
        "linux/vfio.h: VFIO_IRQ_INFO_MASKABLE; C driver"
    ),
    check!(
        index,
        "An index from the number of interrupts on is refused with EINVAL, whatever is asked.",
        COMMON
    ),
    check!(
        start_and_count,
        "Ranges that do not lie within an index, also those that overflow, are refused with \
         EINVAL.",
        COMMON
    ),
    check!(
        start_of_nothing,
        "With count 0 as well, start must be that of an interrupt of the index.",
        UAPI
    )
    .interrupts()
    .defect(14),
    check!(
        argsz,
        "An argsz that is too short for the head or for the data is refused with EINVAL.",
        COMMON
    ),
    check!(
        bad_data_pointer,
        "Data that are not accessible are answered with EFAULT.",
        "errno(3); C driver"
    ),
    check!(
        arm_and_trigger,
        "A request to signal, with no data or with a true value, signals the armed eventfd once.",
        UAPI
    )
    .interrupts(),
    check!(trigger_false, "A request to signal with a false value signals nothing.", UAPI)
        .interrupts(),
    check!(any_true, "Any value but 0 is true.", "C driver").interrupts(),
    check!(
        trigger_unarmed,
        "A request to signal does nothing and succeeds where no eventfd is armed.",
        "C driver"
    )
    .interrupts(),
    check!(
        disarm_never_armed,
        "A request to disarm succeeds where nothing was ever armed.",
        "linux/vfio.h: count 0 with DATA_NONE disables; DPDK sends it at each close"
    )
    .defect(1)
    .danger(),
    check!(
        disarm_twice,
        "A request to disarm succeeds also where nothing is armed any more.",
        UAPI
    )
    .interrupts(),
    check!(
        "disarm",
        |context| ends_signals(context, disarm),
        "After count 0 with no data, nothing is signalled any more.",
        UAPI
    )
    .interrupts(),
    check!(
        "disarm-by-minus-one",
        |context| {
            ends_signals(context, |device, index| {
                set_irqs(device, EVENTFD | TRIGGER, [index, 0, 1], &(-1_i32).to_ne_bytes())
            })
        },
        "After an eventfd of -1, nothing is signalled any more.",
        UAPI
    )
    .interrupts(),
    check!(
        minus_one_never_armed,
        "An eventfd of -1 succeeds where nothing was ever armed.",
        "linux/vfio.h: -1 de-assigns"
    )
    .interrupts(),
    check!(arm_again, "Arming again takes the new eventfd in place of the old one.", UAPI)
        .interrupts(),
    check!(
        arm_same_again,
        "Arming again with the same eventfd signals it once for each event.",
        UAPI
    )
    .interrupts(),
    check!(
        bad_descriptor,
        "A descriptor that is closed is refused with EBADF, one that is not an eventfd with EINVAL.",
        "kernel: eventfd_ctx_fdget"
    )
    .interrupts(),
    check!(arm_after_refusal, "After a descriptor was refused, a good one can be armed.", UAPI)
        .interrupts(),
    check!(
        eventfd_of_another_copy,
        "What is armed is the eventfd and not the number: it may be closed and its number used \
         again.",
        "kernel: eventfd_ctx_fdget holds the eventfd"
    )
    .interrupts(),
    check!(
        each_its_own,
        "Each interrupt of each object signals its own eventfd and no other.",
        UAPI
    )
    .interrupts()
    .seconds(30),
    check!(
        two_files,
        "A second file of the device speaks of the same interrupts.",
        "C driver: interrupts belong to the device"
    )
    .interrupts(),
    check!(many_times, "Arming and disarming may be repeated as often as one likes.", UAPI)
        .interrupts()
        .seconds(60),
];

/// A container and a device in it with an interrupt.
fn subject(context: &Context) -> Result<(AssignedContainer, Device), Stop> {
    let held = context.hold()?;
    let device = with_interrupt(context, &held)?;
    Ok((held, device))
}

/// The same, armed.
fn armed(context: &Context) -> Result<(AssignedContainer, Device, OwnedFd), Stop> {
    let (held, device) = subject(context)?;
    let events = new_eventfd()?;
    done("arming", arm(&device, 0, &events))?;
    Ok((held, device, events))
}

/// Whether a request means something.
fn means_something(flags: u32, start: u32, count: u32) -> bool {
    let data = flags & DATA;
    flags & !DATA == TRIGGER
        && data.count_ones() == 1
        && start == 0
        && (count == 1 || (count == 0 && data == NONE))
}

/// All requests with flags that are known, on an index, but for two actions at once.
fn for_each_request(mut with: impl FnMut(u32, u32, u32) -> Outcome) -> Outcome {
    for flags in 0..64 {
        for start in 0..2 {
            for count in 0..3 {
                with(flags, start, count)?;
            }
        }
    }
    Ok(())
}

fn flags(context: &Context) -> Outcome {
    let (_held, device, events) = armed(context)?;
    if device.info().irqs != 1 {
        return skip("the rule is stated for an object with one interrupt");
    }
    let fd = events.as_fd().as_raw_fd().to_ne_bytes();
    for_each_request(|flags, start, count| {
        let two_actions = (flags & !DATA).count_ones() > 1;
        if two_actions {
            return Ok(());
        }
        let data = if flags & DATA == EVENTFD { [fd, fd].concat() } else { vec![1; 8] };
        let got = set_irqs(&device, flags, [0, start, count], &data);
        let what = format!("flags {flags:#x}, start {start}, count {count}");
        if means_something(flags, start, count) {
            done(&what, got)?;
            // So that the next one finds what the first one found.
            done("arming again", arm(&device, 0, &events))?;
            Ok(())
        } else {
            refused(&what, got, Errno::INVAL)
        }
    })
}

fn unknown_flags(context: &Context) -> Outcome {
    let (_held, device) = subject(context)?;
    for bit in 6..32 {
        for count in 0..2 {
            let got = set_irqs(&device, NONE | TRIGGER | 1 << bit, [0, 0, count], &[]);
            refused(&format!("flag {:#x}, count {count}", 1_u32 << bit), got, Errno::INVAL)?;
        }
    }
    Ok(())
}

fn mixed_actions(context: &Context) -> Outcome {
    let (_held, device, _events) = armed(context)?;
    for action in [TRIGGER | MASK, TRIGGER | UNMASK, MASK | UNMASK, TRIGGER | MASK | UNMASK] {
        for (data, count) in [(NONE, 0), (NONE, 1), (BOOL, 1)] {
            let got = set_irqs(&device, data | action, [0, 0, count], &[1]);
            refused(&format!("flags {:#x}, count {count}", data | action), got, Errno::INVAL)?;
        }
    }
    Ok(())
}

fn mask(context: &Context) -> Outcome {
    let (_held, device) = subject(context)?;
    let events = new_eventfd()?;
    let fd = events.as_fd().as_raw_fd().to_ne_bytes();
    for action in [MASK, UNMASK] {
        for (data, bytes) in [(NONE, &[][..]), (BOOL, &[1]), (EVENTFD, &fd)] {
            let got = set_irqs(&device, data | action, [0, 0, 1], bytes);
            refused(&format!("flags {:#x}", data | action), got, Errno::INVAL)?;
        }
    }
    Ok(())
}

fn index(context: &Context) -> Outcome {
    let (_held, device) = subject(context)?;
    let count = device.info().irqs;
    for index in [count, count + 1, 0xffff, 0x8000_0000, u32::MAX] {
        for (flags, number) in [(NONE, 0), (NONE, 1), (BOOL, 1), (EVENTFD, 1)] {
            let data = (-1_i32).to_ne_bytes();
            let got = set_irqs(&device, flags | TRIGGER, [index, 0, number], &data);
            let what = format!("index {index:#x}, data {flags:#x}, count {number}");
            refused(&what, got, Errno::INVAL)?;
        }
    }
    Ok(())
}

fn start_and_count(context: &Context) -> Outcome {
    let (_held, device) = subject(context)?;
    let ranges = [
        (1, 1),
        (0, 2),
        (0, 3),
        (7, 1),
        (0, u32::MAX),
        (1, u32::MAX),
        (u32::MAX, 1),
        (u32::MAX, 2),
        (u32::MAX, 0),
        (0x8000_0000, 0x8000_0000),
        (0, 0x4000_0000),
        (0, 0x4000_0001),
    ];
    for (start, count) in ranges {
        for flags in [NONE, BOOL, EVENTFD] {
            let got = set_irqs(&device, flags | TRIGGER, [0, start, count], &[0xff; 16]);
            let what = format!("start {start:#x}, count {count:#x}, data {flags:#x}");
            refused(&what, got, Errno::INVAL)?;
        }
    }
    Ok(())
}

fn start_of_nothing(context: &Context) -> Outcome {
    let held = context.hold()?;
    for name in context.devices()? {
        let device = held.device(&name)?;
        if device.info().irqs < 2 {
            continue;
        }
        let events = new_eventfd()?;
        done("arming", arm(&device, 0, &events))?;
        let got = set_irqs(&device, NONE | TRIGGER, [0, 1, 0], &[]);
        return refused(&format!("start 1, count 0 of interrupt 0 of {name}"), got, Errno::INVAL);
    }
    skip("no object with two interrupts")
}

fn argsz(context: &Context) -> Outcome {
    let (_held, device) = subject(context)?;
    let events = new_eventfd()?;
    let fd = events.as_fd().as_raw_fd().to_ne_bytes();
    let requests = [
        (NONE, 0, &[0, 4, 16, 19][..]),
        (NONE, 1, &[0, 19]),
        (BOOL, 1, &[0, 19, 20]),
        (EVENTFD, 1, &[0, 19, 20, 21, 23]),
    ];
    for (flags, count, sizes) in requests {
        for size in sizes {
            let got = set_irqs_with(&device, *size, flags | TRIGGER, [0, 0, count], &fd);
            let what = format!("argsz {size} for data {flags:#x}, count {count}");
            refused(&what, got, Errno::INVAL)?;
        }
    }
    Ok(())
}

fn bad_data_pointer(context: &Context) -> Outcome {
    let (_held, device) = subject(context)?;
    let guarded = done("memory", Guarded::new())?;
    for (flags, size, accessible) in [(BOOL, 21, 20), (EVENTFD, 24, 20), (EVENTFD, 24, 22)] {
        let words = [size, flags | TRIGGER, 0, 0, 1, 0];
        let bytes: Vec<u8> = words.iter().flat_map(|word| u32::to_ne_bytes(*word)).collect();
        guarded.fill(accessible, &bytes);
        let got = guarded.ioctl(accessible, &device, DEVICE_SET_IRQS);
        let what = format!("data {flags:#x} with {accessible} of {size} bytes accessible");
        refused(&what, got, Errno::FAULT)?;
    }
    Ok(())
}

fn arm_and_trigger(context: &Context) -> Outcome {
    let (_held, device, events) = armed(context)?;
    is("signals before any", signals(&events)?, 0)?;
    done("a request to signal", simulate(&device, 0))?;
    is("signals after one request", signals(&events)?, 1)?;
    done("a request to signal, true", set_irqs(&device, BOOL | TRIGGER, [0, 0, 1], &[1]))?;
    is("signals after one request", signals(&events)?, 1)?;
    for _ in 0..5 {
        done("a request to signal", simulate(&device, 0))?;
    }
    is("signals after five requests", signals(&events)?, 5)
}

fn trigger_false(context: &Context) -> Outcome {
    let (_held, device, events) = armed(context)?;
    done("a request to signal, false", set_irqs(&device, BOOL | TRIGGER, [0, 0, 1], &[0]))?;
    is("signals", signals(&events)?, 0)
}

fn any_true(context: &Context) -> Outcome {
    let (_held, device, events) = armed(context)?;
    for value in [2, 0x7f, 0x80, 0xff] {
        let got = set_irqs(&device, BOOL | TRIGGER, [0, 0, 1], &[value]);
        done(&format!("a request to signal, {value:#x}"), got)?;
        is(&format!("signals for {value:#x}"), signals(&events)?, 1)?;
    }
    Ok(())
}

fn trigger_unarmed(context: &Context) -> Outcome {
    let (_held, device) = subject(context)?;
    done("a request to signal, never armed", simulate(&device, 0))?;
    done("the same, true", set_irqs(&device, BOOL | TRIGGER, [0, 0, 1], &[1]))?;
    let events = new_eventfd()?;
    done("arming", arm(&device, 0, &events))?;
    done("disarming", disarm(&device, 0))?;
    done("a request to signal, disarmed", simulate(&device, 0))?;
    is("signals", signals(&events)?, 0)
}

fn disarm_never_armed(context: &Context) -> Outcome {
    let held = context.hold()?;
    for name in context.devices()? {
        let device = held.device(&name)?;
        for index in 0..device.info().irqs {
            done(&format!("disarming interrupt {index} of {name}"), disarm(&device, index))?;
        }
    }
    Ok(())
}

fn disarm_twice(context: &Context) -> Outcome {
    let (_held, device, events) = armed(context)?;
    for _ in 0..3 {
        done("disarming", disarm(&device, 0))?;
    }
    done("arming", arm(&device, 0, &events))?;
    done("a request to signal", simulate(&device, 0))?;
    is("signals", signals(&events)?, 1)
}

fn ends_signals(context: &Context, end: impl Fn(&Device, u32) -> Result<i32, Errno>) -> Outcome {
    let (_held, device, events) = armed(context)?;
    done("a request to signal", simulate(&device, 0))?;
    is("signals", signals(&events)?, 1)?;
    done("disarming", end(&device, 0))?;
    done("a request to signal", simulate(&device, 0))?;
    is("signals after it was disarmed", signals(&events)?, 0)
}

fn minus_one_never_armed(context: &Context) -> Outcome {
    let (_held, device) = subject(context)?;
    let got = set_irqs(&device, EVENTFD | TRIGGER, [0, 0, 1], &(-1_i32).to_ne_bytes());
    done("an eventfd of -1", got)?;
    Ok(())
}

fn arm_again(context: &Context) -> Outcome {
    let (_held, device, old) = armed(context)?;
    let new = new_eventfd()?;
    done("arming again", arm(&device, 0, &new))?;
    done("a request to signal", simulate(&device, 0))?;
    is("signals of the old and the new one", (signals(&old)?, signals(&new)?), (0, 1))
}

fn arm_same_again(context: &Context) -> Outcome {
    let (_held, device, events) = armed(context)?;
    for _ in 0..3 {
        done("arming again", arm(&device, 0, &events))?;
    }
    done("a request to signal", simulate(&device, 0))?;
    is("signals", signals(&events)?, 1)
}

/// A descriptor that is closed.
fn closed_descriptor() -> Result<i32, Stop> {
    let events = new_eventfd()?;
    Ok(events.as_fd().as_raw_fd())
}

fn bad_descriptor(context: &Context) -> Outcome {
    let (held, device) = subject(context)?;
    let arm_number = |fd: i32| set_irqs(&device, EVENTFD | TRIGGER, [0, 0, 1], &fd.to_ne_bytes());
    refused("a closed descriptor", arm_number(closed_descriptor()?), Errno::BADF)?;
    refused("a number of no descriptor", arm_number(i32::MAX), Errno::BADF)?;
    let file = std::fs::File::open("/proc/self/exe")?;
    refused("a file", arm_number(file.as_fd().as_raw_fd()), Errno::INVAL)?;
    let (reader, _writer) = done("a pipe", rustix::pipe::pipe())?;
    refused("a pipe", arm_number(reader.as_fd().as_raw_fd()), Errno::INVAL)?;
    refused("the device", arm_number(device.as_fd().as_raw_fd()), Errno::INVAL)?;
    refused("the group", arm_number(held.group.as_fd().as_raw_fd()), Errno::INVAL)
}

fn arm_after_refusal(context: &Context) -> Outcome {
    let (_held, device, events) = armed(context)?;
    let closed = closed_descriptor()?.to_ne_bytes();
    let got = set_irqs(&device, EVENTFD | TRIGGER, [0, 0, 1], &closed);
    refused("a closed descriptor", got, Errno::BADF)?;
    done("arming", arm(&device, 0, &events))?;
    done("a request to signal", simulate(&device, 0))?;
    is("signals", signals(&events)?, 1)
}

fn eventfd_of_another_copy(context: &Context) -> Outcome {
    let (_held, device) = subject(context)?;
    let events = new_eventfd()?;
    let copy = events.try_clone()?;
    let number = copy.as_fd().as_raw_fd();
    done("arming", arm(&device, 0, &copy))?;
    drop(copy);
    let other = new_eventfd()?;
    if other.as_fd().as_raw_fd() != number {
        return skip("the number is not used again");
    }
    done("a request to signal", simulate(&device, 0))?;
    let got = (signals(&events)?, signals(&other)?);
    is("signals of the armed one and of the one with its number", got, (1, 0))?;
    drop(events);
    done("a request to signal when all copies are closed", simulate(&device, 0))?;
    Ok(())
}

fn each_its_own(context: &Context) -> Outcome {
    let held = context.hold()?;
    let mut all = Vec::new();
    for name in context.devices()? {
        let device = held.device(&name)?;
        for index in 0..device.info().irqs {
            let events = new_eventfd()?;
            if let Err(errno) = arm(&device, index, &events) {
                let what =
                    format!("interrupt {index} of {name} is armed with {} others", all.len());
                return fail(what, answer::<()>(Err(errno)));
            }
            all.push((device.clone(), index, events));
        }
    }
    for (number, (device, index, _)) in all.iter().enumerate() {
        done("a request to signal", simulate(device, *index))?;
        for (other, (of, index, events)) in all.iter().enumerate() {
            let what = format!(
                "signals of interrupt {index} of {} when {} was asked to signal",
                of.name(),
                device.name()
            );
            is(&what, signals(events)?, u64::from(other == number))?;
        }
    }
    if all.len() < 2 { skip("the container has one interrupt") } else { Ok(()) }
}

fn two_files(context: &Context) -> Outcome {
    let (held, device, events) = armed(context)?;
    let other = held.device(device.name())?;
    done("a request to signal through the other file", simulate(&other, 0))?;
    is("signals", signals(&events)?, 1)?;
    drop(device);
    done("the same when the first file is closed", simulate(&other, 0))?;
    is("signals", signals(&events)?, 1)?;
    done("disarming through the other file", disarm(&other, 0))?;
    done("a request to signal", simulate(&other, 0))?;
    is("signals", signals(&events)?, 0)
}

fn many_times(context: &Context) -> Outcome {
    let (_held, device, events) = armed(context)?;
    for _ in 0..context.times(500) {
        done("disarming", disarm(&device, 0))?;
        done("arming", arm(&device, 0, &events))?;
        done("a request to signal", simulate(&device, 0))?;
        is("signals", signals(&events)?, 1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_requests_mean_something() {
        let mut count = 0;
        for_each_request(|flags, start, vectors| {
            count += u32::from(means_something(flags, start, vectors));
            Ok(())
        })
        .unwrap();
        assert_eq!(count, 4);
        assert!(means_something(EVENTFD | TRIGGER, 0, 1));
        assert!(!means_something(EVENTFD | TRIGGER, 0, 0));
        assert!(means_something(NONE | TRIGGER, 0, 0));
        assert!(!means_something(NONE | TRIGGER | MASK, 0, 0));
    }
}
