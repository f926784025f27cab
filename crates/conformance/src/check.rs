// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a check is, how it ends, and the sentences by which it ends.

use crate::context::Context;
use fsl_mc_linux::errno::name_or_number;
use rustix::io::Errno;
use std::fmt::Debug;
use std::time::Duration;

/// A rule and the program that finds out whether a driver keeps it.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Group, such as `info`.
    pub group: &'static str,
    /// Name of the function that runs it, or the check's own where functions share a body.
    function: &'static str,
    /// The rule, in one sentence.
    pub rule: &'static str,
    /// Where the rule comes from.
    pub source: &'static str,
    /// Number of the [known defect](crate::defects::DEFECTS) that makes Linux's own
    /// driver fail it.
    pub defect: Option<u8>,
    /// May crash or wedge a kernel with Linux's own driver.
    pub danger: bool,
    /// Enables interrupts, which with Linux's own driver works once per bind.
    pub interrupts: bool,
    /// Leaves Linux's own driver of no use until the next bind.
    pub spoils: bool,
    /// How long it may take.
    pub limit: Duration,
    /// The program.
    pub run: fn(&Context) -> Outcome,
}

impl Check {
    /// What the checks of a group start from: no known defect, ten seconds at most.
    pub const fn group(group: &'static str) -> Self {
        Self {
            group,
            function: "",
            rule: "",
            source: "",
            defect: None,
            danger: false,
            interrupts: false,
            spoils: false,
            limit: Duration::from_secs(10),
            run: |_| Ok(()),
        }
    }

    /// A check of the group; [`check!`] calls it.
    #[must_use]
    pub const fn row(
        mut self,
        function: &'static str,
        rule: &'static str,
        run: fn(&Context) -> Outcome,
    ) -> Self {
        self.function = function;
        self.rule = rule;
        self.run = run;
        self
    }

    /// Where the rule comes from.
    #[must_use]
    pub const fn source(mut self, source: &'static str) -> Self {
        self.source = source;
        self
    }

    /// Linux's own driver fails it by this defect.
    #[must_use]
    pub const fn defect(mut self, number: u8) -> Self {
        self.defect = Some(number);
        self
    }

    /// It may crash or wedge a kernel that has the defect.
    #[must_use]
    pub const fn danger(mut self) -> Self {
        self.danger = true;
        self
    }

    /// It enables interrupts.
    #[must_use]
    pub const fn interrupts(mut self) -> Self {
        self.interrupts = true;
        self
    }

    /// It leaves Linux's own driver of no use until the next bind.
    #[must_use]
    pub const fn spoils(mut self) -> Self {
        self.spoils = true;
        self
    }

    /// Another time limit.
    #[must_use]
    pub const fn seconds(mut self, seconds: u64) -> Self {
        self.limit = Duration::from_secs(seconds);
        self
    }

    /// Name within the group, such as `argsz-zero`.
    pub fn name(&self) -> String {
        self.function.replace('_', "-")
    }

    /// `group/name`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.group, self.name())
    }
}

/// A row of a group's table: a check that starts from the group's `GROUP` and is called as
/// its function is, with its rule and, where the group has none for all, its source.
/// `check!(name, function, ..)` gives it a name of its own.
macro_rules! check {
    ($function:ident, $rule:expr $(, $source:expr)? $(,)?) => {
        GROUP.row(stringify!($function), $rule, $function)$(.source($source))?
    };
    ($name:literal, $function:expr, $rule:expr $(, $source:expr)? $(,)?) => {
        GROUP.row($name, $rule, $function)$(.source($source))?
    };
}
pub(crate) use check;

/// Why a check does not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// It does not apply here.
    Skip(String),
    /// The driver breaks the rule.
    Fail {
        /// What the rule wants.
        expected: String,
        /// What came instead.
        got: String,
    },
}

/// How a check ends.
pub type Outcome = Result<(), Stop>;

/// Ends a check that does not apply.
pub fn skip<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Skip(reason.into()))
}

/// Ends a check whose rule is broken.
pub fn fail<T>(expected: impl Into<String>, got: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Fail { expected: expected.into(), got: got.into() })
}

/// Goes on if `holds`; `got` is asked only otherwise.
pub fn ensure(holds: bool, expected: impl Into<String>, got: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { fail(expected, got()) }
}

/// `what` must be `expected`.
pub fn is<T: PartialEq + Debug>(what: &str, got: T, expected: T) -> Outcome {
    if got == expected {
        Ok(())
    } else {
        fail(format!("{what}: {expected:x?}"), format!("{got:x?}"))
    }
}

/// A system call must be refused with one error.
pub fn refused<T: Debug>(what: &str, got: Result<T, Errno>, expected: Errno) -> Outcome {
    refused_any(what, got, &[expected])
}

/// A system call must be refused with one of some errors.
pub fn refused_any<T: Debug>(what: &str, got: Result<T, Errno>, expected: &[Errno]) -> Outcome {
    match got {
        Err(errno) if expected.contains(&errno) => Ok(()),
        got => {
            let names: Vec<String> = expected.iter().map(|errno| name_or_number(*errno)).collect();
            fail(format!("{what}: refused with {}", names.join(" or ")), answer(got))
        }
    }
}

/// A system call must succeed.
pub fn done<T>(what: &str, got: Result<T, Errno>) -> Result<T, Stop> {
    got.or_else(|errno| {
        fail(format!("{what}: done"), format!("refused with {}", name_or_number(errno)))
    })
}

/// What a system call answered, in words.
pub fn answer<T: Debug>(got: Result<T, Errno>) -> String {
    match got {
        Ok(value) => format!("done, {value:?}"),
        Err(errno) => format!("refused with {}", name_or_number(errno)),
    }
}

impl From<dprc::Error> for Stop {
    fn from(error: dprc::Error) -> Self {
        Self::Fail { expected: "a step before the rule to succeed".into(), got: error.to_string() }
    }
}

impl From<dprc::PortalError> for Stop {
    fn from(error: dprc::PortalError) -> Self {
        Self::Fail {
            expected: "a command before the rule to succeed".into(),
            got: error.to_string(),
        }
    }
}

impl From<fsl_mc_linux::bus::Error> for Stop {
    fn from(error: fsl_mc_linux::bus::Error) -> Self {
        Self::Fail { expected: "a step before the rule to succeed".into(), got: error.to_string() }
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Fail { expected: "a step before the rule to succeed".into(), got: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_must_be_the_one_that_the_rule_names() {
        assert_eq!(refused::<()>("it", Err(Errno::INVAL), Errno::INVAL), Ok(()));
        assert_eq!(
            refused::<()>("it", Err(Errno::FAULT), Errno::INVAL),
            fail("it: refused with EINVAL", "refused with EFAULT")
        );
        assert_eq!(
            refused_any("it", Ok(3), &[Errno::INVAL, Errno::NOTTY]),
            fail("it: refused with EINVAL or ENOTTY", "done, 3")
        );
    }

    #[test]
    fn values_are_compared_and_told() {
        assert_eq!(is("flags", 3, 3), Ok(()));
        assert_eq!(is("flags", 0x10, 0x11), fail("flags: 11", "10"));
    }
}
