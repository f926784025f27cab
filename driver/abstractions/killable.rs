// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! A mutex that a task can wait for until it is killed, and a sleep of that kind.
//!
//! C header: `include/linux/mutex.h`

use super::bindings as ext;
use core::{
    cell::UnsafeCell,
    ops::{
        Deref,
        DerefMut, //
    },
};
use kernel::{
    bindings,
    prelude::*,
    sync::LockClassKey,
    task::Task,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

/// A `struct mutex` with what it protects.
#[pin_data]
pub(crate) struct KillableMutex<T> {
    #[pin]
    lock: Opaque<bindings::mutex>,
    data: UnsafeCell<T>,
}

// SAFETY: The mutex hands the data from one thread to another, one at a time.
unsafe impl<T: Send> Send for KillableMutex<T> {}
// SAFETY: As above.
unsafe impl<T: Send> Sync for KillableMutex<T> {}

impl<T> KillableMutex<T> {
    pub(crate) fn new(
        data: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            lock <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes and pinned; name and key are static.
                unsafe { bindings::__mutex_init(slot, name.as_char_ptr(), key.as_ptr()) }
            }),
            data: UnsafeCell::new(data),
        })
    }

    /// Waits until the lock is free. Signals do not end it.
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        // SAFETY: Initialised in `new`; sleeping is the caller's business as with any mutex.
        unsafe { bindings::mutex_lock(self.lock.get()) };
        // INVARIANT: The lock is ours.
        Guard(self, NotThreadSafe)
    }

    /// Waits until the lock is free or the task is killed: `EINTR`.
    #[inline]
    pub(crate) fn lock_killable(&self) -> Result<Guard<'_, T>> {
        // SAFETY: As in `lock`.
        if unsafe { ext::vfm_mutex_lock_killable(self.lock.get()) } != 0 {
            return Err(EINTR);
        }
        // INVARIANT: The lock is ours.
        Ok(Guard(self, NotThreadSafe))
    }
}

/// The lock, held.
///
/// # Invariants
///
/// The current task holds the mutex.
pub(crate) struct Guard<'a, T>(&'a KillableMutex<T>, NotThreadSafe);

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The lock is held, by the type invariant.
        unsafe { &*self.0.data.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: The lock is held, by the type invariant.
        unsafe { &mut *self.0.data.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The lock is held, by the type invariant.
        unsafe { bindings::mutex_unlock(self.0.lock.get()) }
    }
}

/// Sleeps between `min` and `max` microseconds, or until the task is killed.
pub(crate) fn sleep(min: u32, max: u32) {
    let min = u64::from(min);
    // SAFETY: Callable in any context that may sleep.
    unsafe { ext::vfm_sleep_killable(min, u64::from(max).max(min)) }
}

/// Whether a task has come to its end and only its structure is left.
pub(crate) fn has_exited(task: &Task) -> bool {
    // SAFETY: The task is valid.
    unsafe { ext::vfm_task_has_exited(task.as_ptr()) }
}

/// Whether the current task was killed and only has to return.
pub(crate) fn is_killed() -> bool {
    // SAFETY: Looks at the current task only.
    unsafe { ext::vfm_fatal_signal_pending() }
}
