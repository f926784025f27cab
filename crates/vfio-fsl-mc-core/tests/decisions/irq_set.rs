// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Interrupt requests, against a model of what the stock driver does.

use super::Cases;
use proptest::prelude::*;
use vfio_fsl_mc_core::irq_set::{self, validate, IrqSet, Plan};
use vfio_fsl_mc_core::Errno;

/// What the stock driver does with a request, step by step: first the check
/// that all VFIO drivers share, then its own. All its refusals are EINVAL.
fn stock(set: &IrqSet, irq_count: u32) -> Option<Plan> {
    let bit = |n: u32| set.flags & 1 << n != 0;
    let (argsz, start, count) = (
        u64::from(set.argsz),
        u64::from(set.start),
        u64::from(set.count),
    );
    let indexes = u64::from(irq_count);

    // The shared check. The head is 20 bytes; six flags are known.
    if argsz < 20 || u64::from(set.index) >= indexes {
        return None;
    }
    if count >= u64::from(u32::MAX) - start || (6..32).any(bit) {
        return None;
    }
    // It takes the number of indexes for that of vectors as well.
    if start >= indexes || start + count > indexes {
        return None;
    }
    let each = match (bit(0), bit(1), bit(2)) {
        (true, false, false) => 0,
        (false, true, false) => 1,
        (false, false, true) => 4,
        _ => return None,
    };
    if argsz - 20 < count * each {
        return None;
    }

    // The driver's own.
    if !bit(5) {
        return None;
    }
    if count == 0 && bit(0) {
        return Some(Plan::Disable);
    }
    if start != 0 || count != 1 {
        return None;
    }
    Some(match each {
        0 => Plan::FireNone,
        1 => Plan::FireBool,
        _ => Plan::ArmEventfd,
    })
}

/// Whether a request is one that the documentation says is judged otherwise.
fn deviates(set: &IrqSet) -> bool {
    let start_of_nothing = set.count == 0 && set.start != 0;
    let mixed = set.flags & (irq_set::ACTION_MASK | irq_set::ACTION_UNMASK) != 0;
    start_of_nothing || mixed
}

fn check(set: &IrqSet, irq_count: u32, deviations: &mut [u64; 2]) {
    let (got, stock) = (validate(set, irq_count), stock(set, irq_count));
    match stock {
        Some(plan) if deviates(set) => {
            assert_eq!(
                got,
                Err(Errno::Inval),
                "{set:?} of {irq_count}, stock: {plan:?}"
            );
            deviations[usize::from(set.count != 0)] += 1;
        }
        Some(plan) => assert_eq!(got, Ok(plan), "{set:?} of {irq_count}"),
        None => assert_eq!(got, Err(Errno::Inval), "{set:?} of {irq_count}"),
    }
    if let Ok(plan) = got {
        assert!(set.argsz as usize >= 20 + plan.data_size());
        assert!(set.index < irq_count);
    }
}

fn edges(values: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_unstable();
    values.dedup();
    values
}

#[test]
fn every_request_is_judged_as_by_the_stock_driver_but_where_documented() {
    const MAX: u32 = u32::MAX;
    let mut plans = [0u64; 4];
    let mut deviations = [0u64; 2];
    let mut cases = Cases::one_in_miri(101);
    for irq_count in [0u32, 1, 2, 3, 255] {
        let near = [irq_count.wrapping_sub(1), irq_count, irq_count + 1];
        let indexes = edges([0, 1, MAX].into_iter().chain(near));
        let starts = edges([0, 1, 2, MAX - 2, MAX - 1, MAX].into_iter().chain(near));
        let counts = edges(
            [0, 1, 2, 256, MAX / 4, MAX / 4 + 1, MAX - 1, MAX]
                .into_iter()
                .chain(near),
        );
        for unknown in [0, 1 << 6, 1 << 31] {
            for known in 0..64 {
                let flags = known | unknown;
                for &index in &indexes {
                    for &start in &starts {
                        for &count in &counts {
                            if !cases.take() {
                                continue;
                            }
                            for argsz in [0, 16, 19, 20, 21, 23, 24, 25, 28, MAX] {
                                let set = IrqSet {
                                    argsz,
                                    flags,
                                    index,
                                    start,
                                    count,
                                };
                                check(&set, irq_count, &mut deviations);
                                if let Ok(plan) = validate(&set, irq_count) {
                                    plans[plan as usize] += 1;
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    // A part of the cases need not have each outcome.
    if !cfg!(miri) {
        assert!(plans.iter().all(|seen| *seen > 0), "{plans:?}");
        assert!(deviations.iter().all(|seen| *seen > 0), "{deviations:?}");
    }
}

#[test]
fn a_request_is_as_linux_writes_it() {
    let set = IrqSet {
        argsz: 24,
        flags: 0x24,
        index: 0,
        start: 0,
        count: 1,
    };
    assert_eq!(validate(&set, 1), Ok(Plan::ArmEventfd));
    let off = IrqSet {
        argsz: 20,
        flags: 0x21,
        index: 0,
        start: 0,
        count: 0,
    };
    assert_eq!(validate(&off, 1), Ok(Plan::Disable));
    assert_eq!(
        [
            Plan::Disable,
            Plan::ArmEventfd,
            Plan::FireNone,
            Plan::FireBool
        ]
        .map(Plan::data_size),
        [0, 4, 0, 1],
    );
}

proptest! {
    #[test]
    fn any_request_is_judged_so(
        argsz: u32, flags: u32, known in 0u32..64, index: u32, start: u32, count: u32, irqs: u32,
    ) {
        let mut deviations = [0; 2];
        check(&IrqSet { argsz, flags, index, start, count }, irqs, &mut deviations);
        let small = IrqSet {
            argsz: argsz % 32,
            flags: known,
            index: index % 4,
            start: start % 4,
            count: count % 4,
        };
        check(&small, irqs % 5, &mut deviations);
    }
}
