// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Interrupts: messages of the board's to eventfds.

use board::host::IrqLines;
use dprc::{EventFd, IrqControl, McPortal, OpenObject};
use mc_abi::{ObjectId, ObjectType, common, dprc as container};
use parking_lot::Mutex;
use rustix::io::Errno;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

/// Who waits for messages, and what else came.
#[derive(Default)]
pub struct Lines {
    /// By isolation id and value.
    waiting: Mutex<HashMap<(u16, u32), Waiting>>,
    /// Context and global faults that the SMMU has reported.
    pub faults: AtomicU64,
}

struct Waiting {
    object: ObjectId,
    index: u8,
    events: Weak<EventFd>,
}

impl Lines {
    /// A value that no other message of this isolation id carries, and that signals `events`.
    ///
    /// # Errors
    /// [`dprc::Error::InterruptTaken`] while the object's interrupt signals another one: the MC
    /// knows one place for its message, and who switches one off would switch off both.
    pub fn add(
        &self,
        icid: u16,
        object: ObjectId,
        index: u8,
        events: &Arc<EventFd>,
    ) -> dprc::Result<u32> {
        let mut waiting = self.waiting.lock();
        waiting.retain(|_, waiting| waiting.events.strong_count() > 0);
        let is_it = |waiting: &Waiting| waiting.object == object && waiting.index == index;
        if waiting.values().any(is_it) {
            let index = index.into();
            return Err(dprc::Error::InterruptTaken { device: object.to_string(), index });
        }
        let value = (1..).find(|value| !waiting.contains_key(&(icid, *value)));
        let value = value.unwrap_or_default();
        let events = Arc::downgrade(events);
        waiting.insert((icid, value), Waiting { object, index, events });
        Ok(value)
    }

    pub fn remove(&self, icid: u16, value: u32) {
        self.waiting.lock().remove(&(icid, value));
    }
}

impl IrqLines for Lines {
    fn message(&self, icid: u16, _address: u64, value: u32) {
        let waiting = self.waiting.lock();
        let events = waiting.get(&(icid, value)).and_then(|waiting| waiting.events.upgrade());
        drop(waiting);
        if let Some(events) = events {
            // The count cannot be full, and nobody is here to be told of anything else.
            let _ = events.signal();
        }
    }

    fn smmu(&self, asserted: bool) {
        if asserted {
            self.faults.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// An interrupt of an object that signals an eventfd.
pub struct Routed {
    pub lines: Arc<Lines>,
    pub icid: u16,
    pub value: u32,
    pub events: Arc<EventFd>,
    pub object: ObjectId,
    pub index: u8,
    /// Portal of the parent, and the open container there.
    pub parent: Arc<Mutex<McPortal>>,
    pub container: OpenObject,
    /// What has to stay while there is the interrupt.
    pub _held: Arc<dyn Send + Sync>,
}

impl fmt::Debug for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routed").field("object", &self.object).finish_non_exhaustive()
    }
}

impl Routed {
    /// Tells the MC where the interrupt's message goes.
    pub fn route(&self, address: u64, value: u32) -> dprc::Result<()> {
        let mut parent = self.parent.lock();
        let index = self.index;
        if self.object.kind == ObjectType::Dprc {
            let set = common::SetIrq { value, index, address, user: 0 };
            return Ok(parent.call(self.container, &set)?);
        }
        let (id, kind) = (self.object.id, self.object.kind);
        let set = container::SetObjectIrq { value, index, address, user: 0, id, kind };
        Ok(parent.call(self.container, &set)?)
    }
}

impl IrqControl for Routed {
    fn simulate(&self) -> dprc::Result<()> {
        self.events.signal()
    }

    fn mask(&self, _masked: bool) -> dprc::Result<()> {
        Err(dprc::Error::Kernel {
            asked: "masking an interrupt",
            of: self.object.to_string(),
            errno: Errno::INVAL,
            advice: "Interrupts of this bus cannot be masked",
        })
    }

    fn switch_off(&self) -> dprc::Result<()> {
        // In this order: whoever enables it next has routed it when he has done so.
        let routed = self.route(0, 0);
        self.lines.remove(self.icid, self.value);
        routed
    }
}
