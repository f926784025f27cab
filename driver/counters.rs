// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! What happened to an object since it was bound: `/sys/kernel/debug/vfio-fsl-mc/<object>`.

use kernel::{
    debugfs, fmt,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

/// A number that only grows.
pub(crate) struct Counter(Atomic<u64>);

impl Default for Counter {
    fn default() -> Self {
        Self(Atomic::new(0))
    }
}

impl Counter {
    pub(crate) fn count(&self) {
        self.0.add(1, Relaxed);
    }
}

/// The counters of an object.
#[derive(Default)]
pub(crate) struct Counters {
    /// Times that the object was opened while nobody had it open.
    pub(crate) opens: Counter,
    /// Commands that user space wrote to the object's portal.
    pub(crate) commands: Counter,
    /// Commands that the policy refused.
    pub(crate) refused: Counter,
    /// Commands that the MC did not answer in time.
    pub(crate) timeouts: Counter,
    /// Commands that were not sent because an earlier one is still without an answer.
    pub(crate) busy: Counter,
    /// Interrupts.
    pub(crate) interrupts: Counter,
    /// Resets by user space and at closing.
    pub(crate) resets: Counter,
}

impl Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, counter) in [
            ("opens", &self.opens),
            ("commands", &self.commands),
            ("refused", &self.refused),
            ("timeouts", &self.timeouts),
            ("busy", &self.busy),
            ("interrupts", &self.interrupts),
            ("resets", &self.resets),
        ] {
            f.write_fmt(fmt!("{name} {}\n", counter.0.load(Relaxed)))?;
        }
        Ok(())
    }
}

/// The file that shows counters; it goes when it is dropped.
pub(crate) type File = Pin<KBox<debugfs::File<Arc<Counters>>>>;

/// Makes the file of an object.
pub(crate) fn show(folder: &debugfs::Dir, name: &CStr, counters: &Arc<Counters>) -> Result<File> {
    let file = folder.read_callback_file(name, counters.clone(), &|counters: &Arc<Counters>, f| {
        Counters::fmt(counters, f)
    });
    KBox::pin_init(file, GFP_KERNEL)
}
