// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Delays and faults on request, to test how software waits for the MC.

use mc_abi::{ObjectType, Status};
use std::time::Duration;

/// What happens to a command instead of being executed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is executed when this time has passed.
    Delay(Duration),
    /// It is answered with this status and not executed.
    Status(Status),
    /// It is never answered.
    Hang,
    /// It is executed when the next command has been that no rule concerns, through whatever
    /// portal: software says by that when the answer comes, on its own clock.
    Hold,
}

/// Which commands are meant, and what happens to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Family of the object addressed; any where `None`.
    pub kind: Option<ObjectType>,
    /// Command number; any where `None`.
    pub number: Option<u16>,
    /// What happens.
    pub action: Action,
    /// How often; for ever where `None`.
    pub times: Option<u32>,
}

/// Rules, the first that fits applies.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    rules: Vec<Rule>,
}

impl Faults {
    /// Adds a rule behind the others.
    pub fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What is to happen to a command, counted as one use of its rule.
    pub fn action(&mut self, kind: Option<ObjectType>, number: u16) -> Option<Action> {
        let rule = self.rules.iter_mut().find(|rule| {
            rule.times != Some(0)
                && rule.number.is_none_or(|n| n == number)
                && (rule.kind.is_none() || rule.kind == kind)
        })?;
        if let Some(times) = &mut rule.times {
            *times -= 1;
        }
        Some(rule.action)
    }
}
