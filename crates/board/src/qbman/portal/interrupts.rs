// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A portal's interrupt: status, what of it shows, and when it is sent.
//!
//! The signal is what is enabled of the status while nothing inhibits it; a
//! message is sent whenever it rises. The bit of the dequeue ring is set while
//! more entries wait than the threshold allows, or any for longer than the
//! hold-off time; clearing it starts that time anew.

use crate::fabric::{Message, Pass};
use qbman_abi::{interrupts, registers};

/// The threshold is below the ring's size, which is at most 16.
const THRESHOLD: u32 = 0xf;
/// Linux and DPDK write up to 4096 units.
const HOLD_OFF: u32 = 0x1fff;

/// The registers, as after power-on by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Interrupts {
    status: u32,
    enabled: u32,
    disabled: u32,
    inhibited: u32,
    threshold: u32,
    hold_off: u32,
    /// Whether the signal is up.
    raised: bool,
    /// When the oldest entry has waited long enough.
    timer: Option<u64>,
}

impl Interrupts {
    /// The value of a register; `None` where it is not one of these.
    pub fn read(&self, at: u64) -> Option<u32> {
        Some(match at {
            registers::ISR => self.status & !self.disabled,
            registers::IER => self.enabled,
            registers::ISDR => self.disabled,
            registers::IIR => self.inhibited,
            registers::DQRR_ITR => self.threshold,
            registers::ITPR => self.hold_off,
            _ => return None,
        })
    }

    /// Writes a register; `false` where it is not one of these.
    pub fn write(&mut self, at: u64, value: u32) -> bool {
        match at {
            registers::ISR => {
                self.status &= !value;
                if value & interrupts::DQRI != 0 {
                    self.timer = None;
                }
                // The signal falls, and rises again with what is still there.
                self.raised &= self.signal();
            }
            registers::IER => self.enabled = value & interrupts::ALL,
            registers::ISDR => self.disabled = value & interrupts::ALL,
            registers::IIR => self.inhibited = value,
            registers::DQRR_ITR => self.threshold = value & THRESHOLD,
            registers::ITPR => self.hold_off = value & HOLD_OFF,
            _ => return false,
        }
        true
    }

    /// Something happened.
    pub fn set(&mut self, bits: u32) {
        self.status |= bits;
    }

    /// Brings the dequeue ring's bit and the signal up to date: so many entries
    /// wait, and a unit of the hold-off time is so long. When to look again.
    pub fn update(
        &mut self,
        waiting: u32,
        hold_off: impl Fn(u32) -> u64,
        message: Option<Message>,
        pass: &mut Pass,
    ) -> Option<u64> {
        if waiting == 0 || self.status & interrupts::DQRI != 0 {
            self.timer = None;
        } else if waiting > self.threshold || self.hold_off == 0 {
            self.timer = None;
            self.status |= interrupts::DQRI;
        } else {
            let due = pass.now().saturating_add(hold_off(self.hold_off));
            if *self.timer.get_or_insert(due) <= pass.now() {
                self.timer = None;
                self.status |= interrupts::DQRI;
            }
        }
        let signal = self.signal();
        if let Some(message) = message.filter(|_| signal && !self.raised) {
            pass.interrupt(message);
        }
        self.raised = signal;
        self.timer
    }

    fn signal(&self) -> bool {
        self.status & self.enabled & !self.disabled != 0 && self.inhibited == 0
    }
}
