// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! What happened to the objects of a container since they were bound:
//! `/sys/kernel/debug/vfio-fsl-mc/<container>`, a line each.

use kernel::{
    debugfs, fmt, new_mutex,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
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

    pub(crate) fn count_so_far(&self) -> u64 {
        self.0.load(Relaxed)
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
    /// Times that the driver opened a container again which its user had closed.
    pub(crate) reopenings: Counter,
    /// Resets after the last use that failed, tried again at the next opening.
    pub(crate) failed_resets: Counter,
    /// Of a container: objects that were taken from a holder, because they have left it.
    pub(crate) revocations: Counter,
    /// Looks for objects that came or went.
    pub(crate) scans: Counter,
    /// Looks that had to wait because there was one just before.
    pub(crate) delayed_scans: Counter,
}

impl Counters {
    const NAMES: &'static str =
        "opens commands refused timeouts busy interrupts resets reopenings failed-resets \
         revocations scans delayed-scans";

    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for counter in [
            &self.opens,
            &self.commands,
            &self.refused,
            &self.timeouts,
            &self.busy,
            &self.interrupts,
            &self.resets,
            &self.reopenings,
            &self.failed_resets,
            &self.revocations,
            &self.scans,
            &self.delayed_scans,
        ] {
            f.write_fmt(fmt!(" {}", counter.count_so_far()))?;
        }
        Ok(())
    }
}

/// The counters of a container's objects.
#[pin_data]
pub(crate) struct Table {
    #[pin]
    objects: Mutex<KVec<(CString, Arc<Counters>)>>,
}

impl Table {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            objects <- new_mutex!(KVec::new(), "Table::objects"),
        })
    }

    /// Counters for an object.
    pub(crate) fn add(&self, object: &CStr) -> Result<Arc<Counters>> {
        let counters = Arc::new(Counters::default(), GFP_KERNEL)?;
        let name = CString::try_from(object)?;
        let mut objects = self.objects.lock();
        objects.push((name, counters.clone()), GFP_KERNEL)?;
        Ok(counters)
    }

    /// Forgets an object by its counters.
    pub(crate) fn remove(&self, counters: &Arc<Counters>) {
        let mut objects = self.objects.lock();
        let mut all = objects.iter();
        if let Some(at) = all.position(|(_, of)| Arc::ptr_eq(of, counters)) {
            let _ = objects.remove(at);
        }
    }

    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(fmt!("object {}\n", Counters::NAMES))?;
        for (name, counters) in &*self.objects.lock() {
            f.write_fmt(fmt!("{}", &**name))?;
            counters.fmt(f)?;
            f.write_str("\n")?;
        }
        Ok(())
    }
}

/// The file that shows counters; it goes when it is dropped.
pub(crate) type File = Pin<KBox<debugfs::File<Arc<Table>>>>;

/// Makes the file of a container.
pub(crate) fn show(folder: &debugfs::Dir, name: &CStr, table: &Arc<Table>) -> Result<File> {
    let file = folder.read_callback_file(name, table.clone(), &|table: &Arc<Table>, f| {
        Table::fmt(table, f)
    });
    KBox::pin_init(file, GFP_KERNEL)
}
