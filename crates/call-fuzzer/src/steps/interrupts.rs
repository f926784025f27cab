// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! VFIO_DEVICE_SET_IRQS in all its shapes.

use super::devices::{device, within};
use crate::abi::{self, Bytes};
use crate::caller::Caller;
use crate::kind::Kind;
use fsl_mc_linux::ioctl;
use std::sync::atomic::Ordering::Relaxed;

const TRIGGER: u32 = abi::VFIO_IRQ_SET_ACTION_TRIGGER;

fn header(argsz: u32, flags: u32, index: u32, start: u32, count: u32) -> Bytes {
    Bytes::new().u32(argsz).u32(flags).u32(index).u32(start).u32(count)
}

/// A device that has interrupts, and one of them.
fn interrupt(caller: &mut Caller<'_>) -> Option<(i32, u32)> {
    // Not all have; a few looks find one.
    for _ in 0..4 {
        let (file, object) = device(caller)?;
        let interrupts = caller.facts(object).interrupts.load(Relaxed);
        if interrupts > 0 {
            return Some((file, within(caller, interrupts)));
        }
    }
    None
}

/// Ties an interrupt to a file: an event, one that is closed meanwhile, or no event
/// at all.
pub fn event_fd(caller: &mut Caller<'_>) {
    let Some((file, index)) = interrupt(caller) else { return };
    let pick = caller.pick();
    let event = match caller.random.u32(..8) {
        0 => -1,
        1 => file,
        2 => caller.edge32(64) as i32,
        _ => {
            if caller.process.events.any(pick).is_none() {
                super::files::event(caller);
            }
            caller.process.events.any(pick).map_or(-1, |(_, event)| event)
        }
    };
    let flags = abi::VFIO_IRQ_SET_DATA_EVENTFD | TRIGGER;
    let at = caller.place(&header(24, flags, index, 0, 1).u32(event as u32));
    let _ = caller.ioctl(Kind::SetIrqsEventFd, file, ioctl::DEVICE_SET_IRQS, at);
}

/// The way to say that no interrupt is wanted any more.
pub fn off(caller: &mut Caller<'_>) {
    let Some((file, index)) = interrupt(caller) else { return };
    let flags = abi::VFIO_IRQ_SET_DATA_NONE | TRIGGER;
    let at = caller.place(&header(20, flags, index, 0, 0));
    let _ = caller.ioctl(Kind::SetIrqsOff, file, ioctl::DEVICE_SET_IRQS, at);
}

pub fn trigger(caller: &mut Caller<'_>) {
    let Some((file, index)) = interrupt(caller) else { return };
    let bytes = if caller.random.bool() {
        header(20, abi::VFIO_IRQ_SET_DATA_NONE | TRIGGER, index, 0, 1)
    } else {
        let value = caller.random.u8(..);
        header(21, abi::VFIO_IRQ_SET_DATA_BOOL | TRIGGER, index, 0, 1).bytes(&[value])
    };
    let at = caller.place(&bytes);
    let _ = caller.ioctl(Kind::SetIrqsTrigger, file, ioctl::DEVICE_SET_IRQS, at);
}

/// A request that is right but for a field or two, or wrong throughout.
pub fn odd(caller: &mut Caller<'_>) {
    let Some((file, object)) = device(caller) else { return };
    let interrupts = caller.facts(object).interrupts.load(Relaxed);
    let mut fields =
        [24, abi::VFIO_IRQ_SET_DATA_EVENTFD | TRIGGER, within(caller, interrupts), 0, 1];
    let wrong = if caller.once_in(4) { 5 } else { caller.random.usize(1..3) };
    for _ in 0..wrong {
        let field = caller.random.usize(..fields.len());
        fields[field] = match field {
            0 => caller.edge32(24),
            1 => flags(caller),
            2 => caller.edge32(interrupts),
            _ => caller.edge32(2),
        };
    }
    let [argsz, flags, index, start, count] = fields;
    let bytes = header(argsz, flags, index, start, count);
    let data = [0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0];
    let pick = caller.pick();
    // Mostly no event: what succeeds all the same programs an interrupt, which is slow.
    let event = caller.process.events.any(pick).filter(|_| caller.random.u32(..6) == 0);
    let bytes = match event {
        Some((_, event)) => bytes.u32(event as u32).bytes(&data),
        None => bytes.bytes(&data),
    };
    let at = caller.place(&bytes);
    let _ = caller.ioctl(Kind::SetIrqsOdd, file, ioctl::DEVICE_SET_IRQS, at);
}

/// Any mixture of the known bits, and others now and then.
fn flags(caller: &mut Caller<'_>) -> u32 {
    let bits = [
        abi::VFIO_IRQ_SET_DATA_NONE,
        abi::VFIO_IRQ_SET_DATA_BOOL,
        abi::VFIO_IRQ_SET_DATA_EVENTFD,
        abi::VFIO_IRQ_SET_ACTION_MASK,
        abi::VFIO_IRQ_SET_ACTION_UNMASK,
        TRIGGER,
    ];
    let flags = bits.into_iter().filter(|_| caller.random.bool()).fold(0, |all, bit| all | bit);
    if caller.once_in(8) { flags | (1 << caller.random.u32(..32)) } else { flags }
}
