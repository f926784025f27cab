// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What is to be done later, in order of its time.

use crate::host::{Clock, Wakeup};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};

/// A queue whose entries come out when they are due: the one that is due first
/// comes first, and of those due at once the one that was put in first. One
/// thread takes them out.
#[derive(Debug)]
pub(super) struct Delayed<T> {
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue<T>>,
    changed: Arc<Wakeup>,
}

#[derive(Debug)]
struct Queue<T> {
    /// By the time when an entry is due and the number of its entering.
    waiting: BTreeMap<(u64, u64), T>,
    entered: u64,
    closed: bool,
}

impl<T> Delayed<T> {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let queue = Queue { waiting: BTreeMap::new(), entered: 0, closed: false };
        Self { clock, queue: Mutex::new(queue), changed: Arc::default() }
    }

    /// Puts an entry in; `due` is a time of the clock's.
    pub fn push(&self, due: u64, entry: T) {
        let mut queue = self.queue.lock();
        let number = queue.entered;
        queue.entered += 1;
        queue.waiting.insert((due, number), entry);
        self.changed.signal();
    }

    /// Waits for the first entry to be due. `None` once the queue is closed,
    /// whatever is still in it.
    pub fn next(&self) -> Option<T> {
        loop {
            let due = {
                let mut queue = self.queue.lock();
                if queue.closed {
                    return None;
                }
                match queue.waiting.first_entry() {
                    Some(first) if first.key().0 <= self.clock.now() => {
                        return Some(first.remove());
                    }
                    first => first.map(|first| first.key().0),
                }
            };
            self.clock.wait(&self.changed, due);
        }
    }

    /// Ends the wait of the thread that takes entries out.
    pub fn close(&self) {
        self.queue.lock().closed = true;
        self.changed.signal();
    }
}

#[cfg(test)]
mod tests {
    use super::Delayed;
    use crate::host::ManualClock;
    use std::{sync::Arc, thread, time::Duration};

    const NS: Duration = Duration::from_nanos(1);

    fn queue<T>() -> (Arc<ManualClock>, Arc<Delayed<T>>) {
        let clock = Arc::new(ManualClock::new());
        (clock.clone(), Arc::new(Delayed::new(clock)))
    }

    /// Takes entries out on a thread of its own and notes them.
    fn consume<T: Send + 'static>(
        queue: &Arc<Delayed<T>>,
    ) -> (Arc<parking_lot::Mutex<Vec<T>>>, thread::JoinHandle<()>) {
        let taken = Arc::default();
        let consumer = thread::spawn({
            let (queue, taken) = (queue.clone(), Arc::<parking_lot::Mutex<Vec<T>>>::clone(&taken));
            move || {
                while let Some(entry) = queue.next() {
                    taken.lock().push(entry);
                }
            }
        });
        (taken, consumer)
    }

    #[test]
    fn what_is_due_first_comes_first_and_equals_as_they_entered() {
        let (clock, queue) = queue();
        for (due, entry) in [(2, 'd'), (1, 'b'), (1, 'c'), (0, 'a'), (2, 'e')] {
            queue.push(due, entry);
        }
        clock.advance(2 * NS);
        let order: String = (0..5).filter_map(|_| queue.next()).collect();
        assert_eq!(order, "abcde");
    }

    #[test]
    fn nothing_comes_before_its_time() {
        let (clock, queue) = queue();
        let (taken, _consumer) = consume(&queue);
        queue.push(20, 'a');
        clock.wait_for_sleepers(1);
        clock.advance(19 * NS);
        assert_eq!(*taken.lock(), []);
        clock.advance(NS);
        assert_eq!(*taken.lock(), ['a']);
        queue.close();
    }

    #[test]
    fn an_earlier_entry_overtakes_the_one_that_is_waited_for() {
        let (clock, queue) = queue();
        let (taken, _consumer) = consume(&queue);
        queue.push(1000, "late");
        clock.wait_for_sleepers(1);
        queue.push(10, "early");
        clock.wait_for_sleepers(1);
        clock.advance(10 * NS);
        assert_eq!(*taken.lock(), ["early"]);
        queue.close();
    }

    #[test]
    fn closing_ends_the_wait() {
        let (clock, queue) = queue();
        let (taken, consumer) = consume(&queue);
        queue.push(1000, ());
        clock.wait_for_sleepers(1);
        queue.close();
        consumer.join().expect("it does not panic");
        assert_eq!(*taken.lock(), []);
    }
}
