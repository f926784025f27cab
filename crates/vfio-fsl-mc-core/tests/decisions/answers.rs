// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Answers of tasks, against a map.

use proptest::prelude::*;
use std::collections::BTreeMap;
use vfio_fsl_mc_core::answers::{find, first_stale, insert, remove, Slot, FREE};
use vfio_fsl_mc_core::command::Command;

const SLOTS: usize = 4;

#[derive(Debug, Clone, Copy)]
enum Event {
    Insert(u64, [u64; 8]),
    Remove(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0u64..8, any::<[u64; 8]>()).prop_map(|(key, answer)| Event::Insert(key, answer)),
        (0u64..8).prop_map(Event::Remove),
    ]
}

proptest! {
    #[test]
    fn each_task_reads_its_own_last_answer(events in prop::collection::vec(event(), 0..100)) {
        let mut slots = [Slot::EMPTY; SLOTS];
        let mut model = BTreeMap::new();
        for event in events {
            match event {
                Event::Insert(key, answer) => {
                    let room = model.len() < SLOTS || model.contains_key(&key);
                    let fits = key != FREE && room;
                    prop_assert_eq!(insert(&mut slots, key, &Command(answer)), fits);
                    if fits {
                        model.insert(key, Command(answer));
                    }
                }
                Event::Remove(key) => {
                    prop_assert_eq!(remove(&mut slots, key), model.remove(&key).is_some());
                }
            }
            for key in 0..8 {
                prop_assert_eq!(find(&slots, key), model.get(&key).copied());
            }
            for limit in 0..9 {
                let stale = first_stale(&slots, |key| key < limit);
                prop_assert_eq!(stale.is_some(), model.keys().any(|key| *key >= limit));
                prop_assert!(stale.is_none_or(|key| key >= limit && model.contains_key(&key)));
            }
        }
    }
}

#[test]
fn without_slots_there_are_no_answers() {
    assert_eq!(find(&[], 1), None);
    assert!(!insert(&mut [], 1, &Command([0; 8])));
    assert!(!remove(&mut [], 1));
    assert_eq!(first_stale(&[], |_| false), None);
}

#[test]
fn an_answer_goes_with_its_task() {
    let mut slots = [Slot::EMPTY];
    assert!(insert(&mut slots, 7, &Command([7; 8])));
    assert!(remove(&mut slots, 7));
    assert_eq!(slots, [Slot::EMPTY], "nothing of the answer is left");
}
