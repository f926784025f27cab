// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The report on the checks: TAP version 14 line by line, JSON at the end.

use crate::check::Check;
use crate::runner::Verdict;
use serde::Serialize;
use std::fmt::Write as _;
use std::time::Duration;

/// A check that has been run.
#[derive(Debug)]
pub struct Record {
    /// Which.
    pub check: &'static Check,
    /// How it ended.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
}

impl Record {
    /// Whether it ended as it must: well, or, where the defects of Linux's own driver
    /// are expected, as these have it.
    pub fn as_expected(&self, expect_defects: bool) -> bool {
        match (&self.verdict, self.check.defect) {
            (Verdict::Skip { .. }, _) => true,
            (Verdict::Pass, Some(_)) => !expect_defects,
            (Verdict::Pass, None) => true,
            (Verdict::Fail { .. }, Some(_)) => expect_defects,
            (Verdict::Fail { .. }, None) => false,
        }
    }

    /// The lines of TAP for it.
    pub fn tap(&self, number: usize, expect_defects: bool) -> String {
        let path = self.check.path();
        let todo = match self.check.defect {
            Some(defect) if expect_defects => format!(" # TODO defect {defect}"),
            _ => String::new(),
        };
        let mut text = match &self.verdict {
            Verdict::Pass => format!("ok {number} - {path}{todo}\n"),
            Verdict::Skip { reason } => {
                return format!("ok {number} - {path} # SKIP {}\n", one_line(reason));
            }
            Verdict::Fail { .. } => format!("not ok {number} - {path}{todo}\n"),
        };
        if let Verdict::Fail { expected, got } = &self.verdict {
            text.push_str("  ---\n");
            let fields = [
                ("rule", self.check.rule),
                ("source", self.check.source),
                ("expected", expected),
                ("got", got),
            ];
            for (key, value) in fields {
                // A string of JSON is one of YAML.
                let value = serde_json::Value::from(value);
                let _ = writeln!(text, "  {key}: {value}");
            }
            if let Some(defect) = self.check.defect {
                let _ = writeln!(text, "  defect: {defect}");
            }
            let _ = writeln!(text, "  duration_ms: {}", self.took.as_millis());
            text.push_str("  ...\n");
        }
        text
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where the checks ran.
#[derive(Debug, Serialize)]
pub struct Place {
    /// The container.
    pub container: String,
    /// The second one.
    pub second_container: Option<String>,
    /// The kernel's version.
    pub kernel: String,
    /// The driver's `srcversion`, where its module has one.
    pub driver: Option<String>,
}

/// How often each end came.
#[derive(Debug, Default, Serialize, PartialEq, Eq)]
pub struct Totals {
    /// The rule is kept.
    pub passed: usize,
    /// It is broken.
    pub failed: usize,
    /// The check does not apply.
    pub skipped: usize,
    /// Ends that were not to be expected.
    pub unexpected: usize,
}

impl Totals {
    /// Counts.
    pub fn of(records: &[Record], expect_defects: bool) -> Self {
        let mut totals = Self::default();
        for record in records {
            match record.verdict {
                Verdict::Pass => totals.passed += 1,
                Verdict::Fail { .. } => totals.failed += 1,
                Verdict::Skip { .. } => totals.skipped += 1,
            }
            totals.unexpected += usize::from(!record.as_expected(expect_defects));
        }
        totals
    }
}

#[derive(Serialize)]
struct CheckJson<'a> {
    name: String,
    group: &'a str,
    rule: &'a str,
    source: &'a str,
    defect: Option<u8>,
    danger: bool,
    #[serde(flatten)]
    verdict: Option<&'a Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    milliseconds: Option<u64>,
}

fn check_json<'a>(check: &'a Check, record: Option<&'a Record>) -> CheckJson<'a> {
    CheckJson {
        name: check.name(),
        group: check.group,
        rule: check.rule,
        source: check.source,
        defect: check.defect,
        danger: check.danger,
        verdict: record.map(|record| &record.verdict),
        milliseconds: record.map(|r| u64::try_from(r.took.as_millis()).unwrap_or(u64::MAX)),
    }
}

/// All records as JSON.
pub fn json(place: &Place, records: &[Record], expect_defects: bool) -> String {
    let checks: Vec<_> = records.iter().map(|r| check_json(r.check, Some(r))).collect();
    let all = serde_json::json!({
        "place": place,
        "expect_defects": expect_defects,
        "totals": Totals::of(records, expect_defects),
        "checks": checks,
    });
    format!("{all:#}\n")
}

/// Checks as JSON, without being run.
pub fn list_json(checks: &[&'static Check]) -> String {
    let checks: Vec<_> = checks.iter().map(|check| check_json(check, None)).collect();
    format!("{:#}\n", serde_json::json!({ "checks": checks }))
}

/// Checks as a table, without being run.
pub fn list(checks: &[&'static Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let mut marks = Vec::new();
        if let Some(defect) = check.defect {
            marks.push(format!("defect {defect}"));
        }
        if check.danger {
            marks.push("dangerous".to_owned());
        }
        let _ = writeln!(text, "{:<44} {:<20} {}", check.path(), marks.join(", "), check.rule);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: Check = Check::group("g").source("here");
    const PLAIN: Check = GROUP.row("plain", "It is so.", |_| Ok(()));
    const BROKEN: Check = GROUP.row("broken", "It is so.", |_| Ok(())).defect(3);

    fn record(check: &'static Check, verdict: Verdict) -> Record {
        Record { check, verdict, took: Duration::from_millis(7) }
    }

    fn failure() -> Verdict {
        Verdict::Fail { expected: "one".into(), got: "a \"second\"\nline".into() }
    }

    #[test]
    fn a_failure_is_told_with_its_rule() {
        let text = record(&PLAIN, failure()).tap(4, false);
        assert_eq!(
            text,
            "not ok 4 - g/plain\n  ---\n  rule: \"It is so.\"\n  source: \"here\"\n  expected: \
             \"one\"\n  got: \"a \\\"second\\\"\\nline\"\n  duration_ms: 7\n  ...\n"
        );
        let text = record(&BROKEN, failure()).tap(4, true);
        assert!(text.starts_with("not ok 4 - g/broken # TODO defect 3\n"), "{text}");
        let skip = Verdict::Skip { reason: "no\ndpni".into() };
        assert_eq!(record(&PLAIN, skip).tap(1, false), "ok 1 - g/plain # SKIP no dpni\n");
    }

    #[test]
    fn defects_are_expected_on_request_only() {
        for (check, verdict, without, with) in [
            (&PLAIN, Verdict::Pass, true, true),
            (&PLAIN, failure(), false, false),
            (&BROKEN, Verdict::Pass, true, false),
            (&BROKEN, failure(), false, true),
            (&BROKEN, Verdict::Skip { reason: String::new() }, true, true),
        ] {
            let record = record(check, verdict);
            assert_eq!((record.as_expected(false), record.as_expected(true)), (without, with));
        }
    }
}
