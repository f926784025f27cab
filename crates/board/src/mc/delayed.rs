// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What is to be done later, in order of its time.

use parking_lot::{Condvar, Mutex};
use std::{collections::BTreeMap, time::Instant};

/// A queue whose entries come out when they are due: the one that is due first
/// comes first, and of those due at once the one that was put in first.
#[derive(Debug)]
pub(super) struct Delayed<T> {
    queue: Mutex<Queue<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Queue<T> {
    /// By the time when an entry is due and the number of its entering.
    waiting: BTreeMap<(Instant, u64), T>,
    entered: u64,
    closed: bool,
}

impl<T> Delayed<T> {
    pub fn new() -> Self {
        let queue = Queue { waiting: BTreeMap::new(), entered: 0, closed: false };
        Self { queue: Mutex::new(queue), changed: Condvar::new() }
    }

    /// Puts an entry in.
    pub fn push(&self, due: Instant, entry: T) {
        let mut queue = self.queue.lock();
        let number = queue.entered;
        queue.entered += 1;
        queue.waiting.insert((due, number), entry);
        self.changed.notify_one();
    }

    /// Waits for the first entry to be due. `None` once the queue is closed,
    /// whatever is still in it.
    pub fn next(&self) -> Option<T> {
        let mut queue = self.queue.lock();
        while !queue.closed {
            match queue.waiting.first_entry() {
                None => self.changed.wait(&mut queue),
                Some(first) if first.key().0 <= Instant::now() => return Some(first.remove()),
                Some(first) => {
                    let due = first.key().0;
                    self.changed.wait_until(&mut queue, due);
                }
            }
        }
        None
    }

    /// Lets those go who wait.
    pub fn close(&self) {
        self.queue.lock().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::Delayed;
    use std::{
        sync::Arc,
        thread,
        time::{Duration, Instant},
    };

    #[test]
    fn what_is_due_first_comes_first_and_equals_as_they_entered() {
        let queue = Delayed::new();
        let now = Instant::now();
        let ms = Duration::from_millis;
        for (due, entry) in [(ms(2), 'd'), (ms(1), 'b'), (ms(1), 'c'), (ms(0), 'a'), (ms(2), 'e')] {
            queue.push(now + due, entry);
        }
        let order: String = (0..5).filter_map(|_| queue.next()).collect();
        assert_eq!(order, "abcde");
    }

    #[test]
    fn nothing_comes_before_its_time() {
        let queue = Delayed::new();
        let due = Instant::now() + Duration::from_millis(20);
        queue.push(due, ());
        assert_eq!(queue.next(), Some(()));
        assert!(Instant::now() >= due);
    }

    #[test]
    fn an_earlier_entry_overtakes_the_one_that_is_waited_for() {
        let queue = Arc::new(Delayed::new());
        queue.push(Instant::now() + Duration::from_secs(3600), "late");
        let waiter = thread::spawn({
            let queue = queue.clone();
            move || queue.next()
        });
        thread::sleep(Duration::from_millis(10));
        queue.push(Instant::now(), "early");
        assert_eq!(waiter.join().expect("it does not panic"), Some("early"));
    }

    #[test]
    fn closing_lets_waiters_go() {
        let queue = Arc::new(Delayed::new());
        queue.push(Instant::now() + Duration::from_secs(3600), ());
        let waiter = thread::spawn({
            let queue = queue.clone();
            move || queue.next()
        });
        thread::sleep(Duration::from_millis(10));
        queue.close();
        assert_eq!(waiter.join().expect("it does not panic"), None);
    }
}
