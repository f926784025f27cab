// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Delays and faults as the command line writes them.

use board::faults::{Action, Rule};
use mc_abi::{CommandInfo, ObjectType, Status};
use std::time::Duration;

/// What is wrong with a delay or fault on the command line.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum RuleError {
    /// No such command.
    #[error(
        "{0:?} is not a command: use FAMILY.COMMAND, such as dpni.GetAttributes; FAMILY.NUMBER, such as dpni.0x004; or NUMBER"
    )]
    Command(String),
    /// No such action.
    #[error("{0:?} is not a status: use hang, hold, a number, or one of {STATUS_NAMES}")]
    Action(String),
    /// No duration.
    #[error("{text:?} is not a duration: {cause} (use a form such as 20us or 1ms)")]
    Time {
        /// What was given.
        text: String,
        /// What the parser says.
        cause: humantime::DurationError,
    },
    /// No count.
    #[error("{0:?} is not a repeat count: use COMMAND=STATUS*3 for the next three")]
    Times(String),
    /// Nothing is assigned.
    #[error("{0:?} has no `=`: use COMMAND=STATUS, such as dpni.GetAttributes=busy")]
    Incomplete(String),
}

/// Reads `[COMMAND=]TIME`.
///
/// # Errors
/// [`RuleError`].
pub fn delay(text: &str) -> Result<Rule, RuleError> {
    let (command, time) = match text.split_once('=') {
        Some((command, time)) => (Some(command), time),
        None => (None, text),
    };
    let delay: Duration = humantime::parse_duration(time)
        .map_err(|cause| RuleError::Time { text: time.into(), cause })?;
    let (kind, number) = command.map(selector).transpose()?.unwrap_or((None, None));
    Ok(Rule { kind, number, action: Action::Delay(delay), times: None })
}

/// Reads `COMMAND=STATUS`, `COMMAND=hang`, `COMMAND=hold`, each with `*TIMES`.
///
/// # Errors
/// [`RuleError`].
pub fn fault(text: &str) -> Result<Rule, RuleError> {
    let (command, what) = text.split_once('=').ok_or_else(|| RuleError::Incomplete(text.into()))?;
    let (what, times) = match what.split_once('*') {
        Some((what, times)) => {
            (what, Some(times.parse().map_err(|_| RuleError::Times(times.into()))?))
        }
        None => (what, None),
    };
    let (kind, number) = selector(command)?;
    Ok(Rule { kind, number, action: action(what)?, times })
}

fn selector(text: &str) -> Result<(Option<ObjectType>, Option<u16>), RuleError> {
    let unknown = || RuleError::Command(text.into());
    if text == "*" {
        return Ok((None, None));
    }
    let Some((family, command)) = text.split_once('.') else {
        return Ok((None, Some(number(text).ok_or_else(unknown)?)));
    };
    let kind: ObjectType = family.parse().map_err(|_| unknown())?;
    if command == "*" {
        return Ok((Some(kind), None));
    }
    let named = commands(kind).find(|info| info.name.eq_ignore_ascii_case(command));
    let number = named.map(|info| info.number).or_else(|| number(command)).ok_or_else(unknown)?;
    Ok((Some(kind), Some(number)))
}

fn commands(kind: ObjectType) -> impl Iterator<Item = &'static CommandInfo> {
    mc_abi::commands(kind).iter().chain(mc_abi::common::COMMANDS)
}

/// A number of a command or status, decimal or after `0x`.
pub(crate) fn number(text: &str) -> Option<u16> {
    let number = match text.strip_prefix("0x") {
        Some(hex) => u16::from_str_radix(hex, 16).ok()?,
        None => text.parse().ok()?,
    };
    (number <= 0xfff).then_some(number)
}

fn action(text: &str) -> Result<Action, RuleError> {
    match text {
        "hang" => Ok(Action::Hang),
        "hold" => Ok(Action::Hold),
        text => status(text).map(Action::Status).ok_or_else(|| RuleError::Action(text.into())),
    }
}

/// The names of statuses on the command line.
pub(crate) const STATUS_NAMES: &str = "authentication, privilege, dma, configuration, timeout, \
                                       no-resource, no-memory, busy, unsupported, state";

/// A status by its name or number.
pub(crate) fn status(text: &str) -> Option<Status> {
    Some(match text {
        "authentication" => Status::AuthenticationError,
        "privilege" => Status::NoPrivilege,
        "dma" => Status::DmaError,
        "configuration" => Status::ConfigurationError,
        "timeout" => Status::Timeout,
        "no-resource" => Status::NoResource,
        "no-memory" => Status::NoMemory,
        "busy" => Status::Busy,
        "unsupported" => Status::UnsupportedOperation,
        "state" => Status::InvalidState,
        other => Status::from_byte(number(other).and_then(|n| u8::try_from(n).ok())?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_for_all_or_for_one_command() {
        let all = delay("20us").unwrap();
        assert_eq!((all.kind, all.number), (None, None));
        assert_eq!(all.action, Action::Delay(Duration::from_micros(20)));
        let one = delay("dpbp.getattributes=1ms").unwrap();
        assert_eq!((one.kind, one.number), (Some(ObjectType::Dpbp), Some(0x004)));
        assert!(matches!(delay("soon"), Err(RuleError::Time { .. })));
    }

    #[test]
    fn faults_name_command_status_and_times() {
        let rule = fault("dpbp.Reset=busy*3").unwrap();
        assert_eq!((rule.kind, rule.number), (Some(ObjectType::Dpbp), Some(0x005)));
        assert_eq!((rule.action, rule.times), (Action::Status(Status::Busy), Some(3)));
        assert_eq!(fault("0x831=hang").unwrap().action, Action::Hang);
        assert_eq!(fault("0x832=hold*2").unwrap().action, Action::Hold);
        assert_eq!(fault("*=0xc").unwrap().action, Action::Status(Status::InvalidState));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(fault("dpbp.Reset").unwrap_err(), RuleError::Incomplete("dpbp.Reset".into()));
        assert_eq!(fault("dpxx.Reset=busy").unwrap_err(), RuleError::Command("dpxx.Reset".into()));
        assert_eq!(fault("dpbp.Reset=bad").unwrap_err(), RuleError::Action("bad".into()));
        assert_eq!(fault("dpbp.Reset=busy*x").unwrap_err(), RuleError::Times("x".into()));
    }
}
