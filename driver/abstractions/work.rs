// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! Queues, and ending work items that the `kernel` crate's `workqueue` can only start.
//!
//! C header: `include/linux/workqueue.h`

use kernel::{
    bindings,
    sync::Arc,
    workqueue::{
        HasDelayedWork,
        HasWork,
        Queue,
        Work,
        WorkItem, //
    },
};

/// The queue for work that may take long, on whatever processor has time.
pub(crate) fn queue() -> &'static Queue {
    // SAFETY: The kernel makes the queue at boot, and never takes it away. The `kernel` crate's
    // `system_unbound` is the same one by its old name, of which the kernel complains.
    unsafe { Queue::from_raw(bindings::system_dfl_wq) }
}

/// Takes the work item of `owner` out of its queue, or waits until it has run. Whoever queues it
/// from now on is refused.
pub(crate) fn disable_delayed_sync<T, const ID: u64>(owner: &Arc<T>)
where
    T: HasDelayedWork<T, ID> + WorkItem<ID, Pointer = Arc<T>>,
{
    // `HasDelayedWork` promises that the item is the first field of a `delayed_work`.
    let raw = raw_work::<T, ID>(owner).cast();
    // SAFETY: The item was initialised with its owner.
    let was_queued = unsafe { bindings::disable_delayed_work_sync(raw) };
    forget_queued(owner, was_queued);
}

/// Takes the work item of `owner` out of its queue, or waits until it has run to its end. Whoever
/// queues it from now on is refused.
pub(crate) fn disable_sync<T, const ID: u64>(owner: &Arc<T>)
where
    T: HasWork<T, ID> + WorkItem<ID, Pointer = Arc<T>>,
{
    // SAFETY: The item was initialised with its owner.
    let was_queued = unsafe { bindings::disable_work_sync(raw_work::<T, ID>(owner)) };
    forget_queued(owner, was_queued);
}

fn raw_work<T, const ID: u64>(owner: &Arc<T>) -> *mut bindings::work_struct
where
    T: HasWork<T, ID>,
{
    // SAFETY: The owner is valid, and so is the field that `HasWork` finds in it.
    unsafe { Work::raw_get(T::raw_get_work(Arc::as_ptr(owner).cast_mut())) }
}

/// Drops the reference that the queue held.
fn forget_queued<T>(owner: &Arc<T>, was_queued: bool) {
    if was_queued {
        // SAFETY: `Pointer = Arc<T>`: a queued item owns a reference, which its run would have
        // taken over. It will not run.
        drop(unsafe { Arc::from_raw(Arc::as_ptr(owner)) });
    }
}
