// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Interrupt vectors: how many, and whose.

use super::type_name;
use proptest::prelude::*;
use vfio_fsl_mc_core::vectors::{pool_size, range_of, release, reserve, ObjectId, Owner, Range};

#[test]
fn a_container_reserves_a_power_of_two_for_all() {
    assert_eq!(pool_size([]), 0);
    assert_eq!(pool_size([0, 0]), 0);
    for sum in 1..1000 {
        let size = pool_size([1, 0, sum - 1]);
        assert!(size.is_power_of_two() && size <= 256, "{sum}: {size}");
        assert!(size >= sum.min(256), "{sum}: {size}");
        assert!(size < 2 * sum, "{sum}: {size}");
    }
    assert_eq!(pool_size([u32::MAX, u32::MAX]), 256);
    assert_eq!(pool_size([1, 1, 1, 1, 2, 3]), 16);
}

fn object(number: i32) -> ObjectId {
    ObjectId {
        kind: type_name(if number % 2 == 0 { "dpio" } else { "dpni" }),
        id: number / 2,
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Reserve(i32, u32),
    Release(i32),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..6, 0u32..6).prop_map(|(number, count)| Event::Reserve(number, count)),
        (0..6).prop_map(Event::Release),
    ]
}

fn free(owners: &[Owner], range: Range) -> bool {
    let start = range.start as usize;
    owners[start..start + range.count as usize]
        .iter()
        .all(Option::is_none)
}

proptest! {
    #[test]
    fn no_vector_has_two_owners(
        size in 0usize..20,
        events in prop::collection::vec(event(), 0..60),
    ) {
        let mut owners = vec![None; size];
        for event in events {
            let before = owners.clone();
            match event {
                Event::Reserve(number, count) => {
                    let id = object(number);
                    let had = range_of(&before, id);
                    match reserve(&mut owners, id, count) {
                        Some(range) => {
                            prop_assert_eq!(range.count, count);
                            if let Some(had) = had {
                                prop_assert_eq!(range, had);
                                prop_assert_eq!(&owners, &before);
                            } else {
                                prop_assert!(free(&before, range));
                                let its = owners.iter().filter(|o| **o == Some(id)).count();
                                prop_assert_eq!(its, count as usize);
                                let moved = before.iter().zip(&owners).filter(|(a, b)| a != b);
                                prop_assert_eq!(moved.count(), count as usize);
                            }
                        }
                        None => {
                            prop_assert_eq!(&owners, &before);
                            let other_size = had.is_some_and(|had| had.count != count);
                            let no_room = (0..size as u32).all(|start| {
                                start + count > size as u32
                                    || !free(&before, Range { start, count })
                            });
                            prop_assert!(other_size || (had.is_none() && no_room));
                        }
                    }
                }
                Event::Release(number) => {
                    let id = object(number);
                    prop_assert_eq!(release(&mut owners, id), range_of(&before, id));
                    prop_assert_eq!(range_of(&owners, id), None);
                    for (was, is) in before.iter().zip(&owners) {
                        prop_assert_eq!(*is, was.filter(|owner| *owner != id));
                    }
                }
            }
        }
    }
}

#[test]
fn the_first_gap_that_fits_is_taken() {
    let mut owners = [None; 8];
    let range = |start, count| Some(Range { start, count });
    assert_eq!(reserve(&mut owners, object(0), 2), range(0, 2));
    assert_eq!(reserve(&mut owners, object(1), 3), range(2, 3));
    assert_eq!(reserve(&mut owners, object(2), 3), range(5, 3));
    assert_eq!(reserve(&mut owners, object(3), 1), None);
    assert_eq!(release(&mut owners, object(1)), range(2, 3));
    assert_eq!(reserve(&mut owners, object(3), 4), None);
    assert_eq!(reserve(&mut owners, object(3), 1), range(2, 1));
    assert_eq!(reserve(&mut owners, object(4), u32::MAX), None);
    assert_eq!(reserve(&mut owners, object(4), 0), range(0, 0));
}
