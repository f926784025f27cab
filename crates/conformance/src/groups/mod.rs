// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The checks, in groups.

mod cdev;
mod close;
mod concurrency;
mod containers;
mod dma;
mod escape;
mod hotplug;
mod info;
mod interrupts;
mod irqset;
mod lending;
mod mapped;
mod memory;
mod mmap;
mod policy;
mod portal;
mod reset;
mod revocation;
mod unbind;
mod util;

use crate::check::Check;

/// The checks of all groups, in the order in which they run.
const GROUPS: &[&[Check]] = &[
    info::CHECKS,
    irqset::CHECKS,
    mmap::CHECKS,
    portal::CHECKS,
    concurrency::CHECKS,
    policy::CHECKS,
    interrupts::CHECKS,
    reset::CHECKS,
    close::CHECKS,
    lending::CHECKS,
    dma::CHECKS,
    containers::CHECKS,
    hotplug::CHECKS,
    revocation::CHECKS,
    escape::CHECKS,
    unbind::CHECKS,
    cdev::CHECKS,
    memory::CHECKS,
];

/// All checks, in the order in which they run.
pub fn all() -> impl Iterator<Item = &'static Check> {
    GROUPS.iter().copied().flatten()
}

/// The check of a path (`group/name`).
pub fn find(path: &str) -> Option<&'static Check> {
    all().find(|check| check.path() == path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_check_has_a_path_of_its_own_a_rule_and_a_known_defect() {
        let mut paths = BTreeSet::new();
        for check in all() {
            assert!(paths.insert(check.path()), "{} is there twice", check.path());
            let word = |text: &str| {
                !text.is_empty()
                    && text
                        .chars()
                        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            };
            assert!(word(check.group) && word(&check.name()), "{}", check.path());
            assert!(check.rule.ends_with('.') && !check.source.is_empty(), "{}", check.path());
            if let Some(number) = check.defect {
                let known = crate::defects::DEFECTS.iter().any(|defect| defect.number == number);
                assert!(known, "{}", check.path());
            }
            assert!(!check.danger || check.defect.is_some(), "{}: danger of what?", check.path());
        }
    }
}
