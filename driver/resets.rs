// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! Resets between holders: after the last use of an object, and where that has failed, or there was
//! none because the object was taken away, before the next.

use crate::{
    abstractions::fsl_mc,
    container::Container,
    counters::Counters,
    parameters,
    registry,
    trace, //
};
use kernel::{
    device,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

/// The resets of an object, or of a container.
pub(crate) struct Resets {
    device: ARef<fsl_mc::Device>,
    counters: Arc<Counters>,
    /// There was no reset after the last use, or it has failed. Openings and closings come one at a
    /// time.
    is_owed: Atomic<bool>,
}

impl Resets {
    /// Of what was bound just now, and may have been used when it was bound before.
    pub(crate) fn new(device: &fsl_mc::Device, counters: Arc<Counters>) -> Self {
        Self {
            device: device.into(),
            counters,
            is_owed: Atomic::new(registry::recalls_use(device.object_id())),
        }
    }

    /// Whether the next holder would find what the last one has left.
    pub(crate) fn is_owed(&self) -> bool {
        self.is_owed.load(Relaxed)
    }

    /// Resets it.
    pub(crate) fn reset(&self, container: &Arc<Container>) -> Result {
        self.counters.resets.count();
        let result = container.reset(&self.device);
        trace::reset(&self.device, &result);
        result
    }

    /// Resets it after its last use. Where that fails, the next opening tries again.
    pub(crate) fn after_use(&self, container: &Arc<Container>) {
        let is_owed = self.reset(container).is_err_and(|e| {
            // What is in a container that has gone is not to be reset from here.
            let is_ours = e != ENODEV || !container.portal().is_revoked();
            if is_ours {
                self.failed("cannot be reset after its last use", e);
            }
            is_ours
        });
        self.is_owed.store(is_owed, Relaxed);
    }

    /// Sees to it that a new holder finds nothing of the one before. `EIO` where that cannot be.
    pub(crate) fn before_use(&self, container: &Arc<Container>) -> Result {
        if !self.is_owed() {
            return Ok(());
        }
        self.reset(container).map_err(|e| {
            self.failed("is not opened: it cannot be reset after its last use", e);
            EIO
        })?;
        self.is_owed.store(false, Relaxed);
        registry::forget_use(self.device.object_id());
        Ok(())
    }

    fn failed(&self, what: &str, e: Error) {
        self.counters.failed_resets.count();
        if parameters::may_print() {
            let dev: &device::Device = (*self.device).as_ref();
            dev_warn!(dev, "{what}: {e:?}\n");
        }
    }
}
