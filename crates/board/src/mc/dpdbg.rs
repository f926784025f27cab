// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The debug interface. There is one, in the root container.
//!
//! What a real MC writes to its console and log goes to the board's trace here,
//! at level info, whatever the settings of console and log are: these are
//! checked and kept, and no command reads them back.

use super::{Answer, Body, Call, Family, State, containers};
use crate::dpl::{Fields, Properties, Writing};
use crate::mc::refusal::{Because, CREATED_BY_CONTAINER, Refusal};
use mc_abi::{
    Label, ObjectId, ObjectType, Status,
    dpdbg::{self, Command},
};

/// The debug interface.
#[derive(Debug, Default)]
pub(crate) struct DebugInterface {
    settings: Settings,
    /// Classifiers whose counters are on: network egress and ingress.
    profiled: [bool; 2],
}

/// Settings of the MC's log, by the names that `restool` sends.
#[derive(Debug, Default)]
struct Settings {
    console: u32,
    log_mode: u32,
    timestamp: u32,
    log_level: u32,
    uart_id: u32,
}

impl Family for DebugInterface {
    const VERSION: (u16, u16) = (1, 0);
    const IRQS: u8 = 0;
    type Create = dpdbg::Create;

    /// The second one meets no resources (board observation); that the status
    /// in another container than the root is "no privilege" is a choice.
    fn create(
        state: &mut State,
        _id: u32,
        container: u32,
        _request: &dpdbg::Create,
    ) -> Result<Self, Refusal> {
        if container != containers::ROOT {
            return Err(Status::NoPrivilege.because("only the root container has one"));
        }
        if state.has_any(ObjectType::Dpdbg) {
            return Err(Status::NoResource.because("there is one already"));
        }
        Ok(Self::default())
    }

    fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
        let id = call.object.id;
        match command {
            Command::GetAttributes(get) => call.reply(get, dpdbg::GetAttributesReply { id }),
            Command::Dump(dump) => {
                write_dump(state, dump)?;
                Ok(Answer::DONE)
            }
            Command::Set(set) => {
                state.body_mut::<Self>(id)?.settings.set(&set.module, set.state)?;
                Ok(Answer::DONE)
            }
            Command::SetCtluProfilingCounters(set) => {
                let profiled = &mut state.body_mut::<Self>(id)?.profiled;
                let classifier = profiled.get_mut(usize::from(set.ctlu_type));
                *classifier.ok_or_else(|| {
                    Status::ConfigurationError
                        .because(format!("there is no classifier {}", set.ctlu_type))
                })? = set.enable;
                Ok(Answer::DONE)
            }
            Command::GetCtluProfilingCounters(get) => {
                let profiled = &state.body::<Self>(id)?.profiled;
                profiled.get(usize::from(get.ctlu_type)).ok_or_else(|| {
                    Status::ConfigurationError
                        .because(format!("there is no classifier {}", get.ctlu_type))
                })?;
                // No frame is ever classified.
                call.reply(get, Default::default())
            }
            // Made through the container's token, never through the object's.
            Command::Create(_) => Err(Status::UnsupportedOperation.because(CREATED_BY_CONTAINER)),
        }
    }

    fn reset(state: &mut State, id: u32) {
        if let Ok(interface) = state.body_mut::<Self>(id) {
            *interface = Self::default();
        }
    }
}

impl Body for DebugInterface {}

impl Settings {
    /// Changes a setting. An out-of-range level is refused, not clamped (board
    /// observation); the others are taken to do the same.
    fn set(&mut self, name: &Label, value: u32) -> Result<(), Refusal> {
        let (setting, most) = match name.as_bytes() {
            b"console" => (&mut self.console, 1),
            b"log_mode" => (&mut self.log_mode, 1),
            b"timestamp" => (&mut self.timestamp, 1),
            b"log_level" => (&mut self.log_level, 5),
            b"uart_id" => (&mut self.uart_id, 4),
            _ => {
                return Err(
                    Status::ConfigurationError.because(format!("there is no setting {name}"))
                );
            }
        };
        if value > most {
            return Err(Status::ConfigurationError.because(format!("{name} is at most {most}")));
        }
        *setting = value;
        Ok(())
    }
}

/// Traces what the MC knows of an object, or how much it keeps in memory.
fn write_dump(state: &State, dump: &dpdbg::Dump) -> Result<(), Refusal> {
    if dump.kind.as_bytes() == b"mem" {
        tracing::info!(objects = state.objects.len(), "dump of the MC's memory");
        return Ok(());
    }
    let name = std::str::from_utf8(dump.kind.as_bytes());
    let kind: ObjectType = name.ok().and_then(|name| name.parse().ok()).ok_or_else(|| {
        Status::ConfigurationError.because(format!("{} is no family of objects", dump.kind))
    })?;
    let object = state.object(ObjectId::new(kind, dump.id))?;
    tracing::info!(?object, "dump of an object");
    Ok(())
}

impl Properties for dpdbg::Create {
    /// Without a container, 0: the one that the object is placed in.
    fn read(fields: &Fields<'_>, _id: u32) -> Self {
        let number = |name| fields.number(name, 0..=u32::MAX).unwrap_or(0);
        Self { dpdbg_id: number("dpdbg_id"), dpdbg_container_id: number("dpdbg_container_id") }
    }

    fn write(&self, to: &mut Writing) {
        to.nonzero("dpdbg_id", self.dpdbg_id);
        to.nonzero("dpdbg_container_id", self.dpdbg_container_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mc::testing::TestMc;

    #[test]
    fn there_is_one_in_the_root_container() {
        let mut mc = TestMc::new();
        let (_, child) = mc.make_container();
        let create = dpdbg::Create::default();
        assert_eq!(mc.create_in(child, &create), Err(Status::NoPrivilege));
        let id = mc.create(&create).expect("the first");
        assert_eq!(id.id, 0, "tools count on that number");
        assert_eq!(mc.create(&create), Err(Status::NoResource));
        mc.destroy(id).expect("destroyed");
        assert_eq!(mc.create(&create), Ok(id));
    }

    #[test]
    fn settings_have_their_range() {
        let mut mc = TestMc::new();
        let (_, token) = mc.make(&dpdbg::Create::default());
        let mut set =
            |module: &str, state| mc.call(token, &dpdbg::Set { state, module: Label::new(module) });
        for (module, most) in
            [("console", 1), ("log_mode", 1), ("timestamp", 1), ("log_level", 5), ("uart_id", 4)]
        {
            assert_eq!(set(module, most), Ok(()), "{module}");
            assert_eq!(set(module, most + 1), Err(Status::ConfigurationError), "{module}");
        }
        assert_eq!(set("log_level", 99), Err(Status::ConfigurationError));
        assert_eq!(set("level", 1), Err(Status::ConfigurationError));
    }

    #[test]
    fn dumps_are_of_what_is_there() {
        let mut mc = TestMc::new();
        let (id, token) = mc.make(&dpdbg::Create::default());
        let dump = |kind: &str, id| dpdbg::Dump { id, kind: Label::new(kind) };
        assert_eq!(mc.call(token, &dump("mem", 0)), Ok(()));
        assert_eq!(mc.call(token, &dump("dpdbg", id.id)), Ok(()));
        assert_eq!(mc.call(token, &dump("dpni", 7)), Err(Status::NoResource));
        assert_eq!(mc.call(token, &dump("none", 0)), Err(Status::ConfigurationError));
    }

    #[test]
    fn classifiers_are_those_of_the_network() {
        let mut mc = TestMc::new();
        let (_, token) = mc.make(&dpdbg::Create::default());
        for ctlu_type in 0..8 {
            let set = dpdbg::SetCtluProfilingCounters { ctlu_type, ..Default::default() };
            let get = dpdbg::GetCtluProfilingCounters { ctlu_type };
            let known = ctlu_type < 2;
            assert_eq!(mc.call(token, &set).is_ok(), known);
            assert_eq!(mc.call(token, &get).is_ok(), known);
        }
    }
}
