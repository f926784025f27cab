// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The programmable I/O processor (AIOP) of the chips that have one: its tile,
//! in reset. Nothing here runs a program.

use super::{Answer, Body, Call, Family, State};
use crate::dpl::{Fields, Properties, Writing};
use crate::mc::refusal::{Because, NOT_IMPLEMENTED, Refusal};
use mc_abi::{
    ObjectType, Status,
    dpaiop::{self, Command},
};

/// State of a tile that no program was loaded into (`DPAIOP_STATE_RESET_DONE`).
const IN_RESET: u32 = 0;

/// A tile of the processor.
#[derive(Debug)]
pub(crate) struct Tile {
    /// Which one.
    id: u32,
    resetable: u8,
    /// Milliseconds by which the tile's clock is ahead of the board's.
    clock: i64,
}

impl Family for Tile {
    const VERSION: (u16, u16) = (2, 3);
    const IRQS: u8 = 0;
    type Create = dpaiop::Create;

    /// Refuses on a chip without the processor, whatever the container's options:
    /// so does the firmware of an LX2160A (board observation). There is one
    /// object a tile (inferred).
    fn create(
        state: &mut State,
        _id: u32,
        _container: u32,
        request: &dpaiop::Create,
    ) -> Result<Self, Refusal> {
        if request.aiop_id >= state.config.soc.aiop_tiles {
            return Err(Status::ConfigurationError.because(format!(
                "the {} has no AIOP tile {}",
                state.config.soc.name, request.aiop_id
            )));
        }
        if state.has_any(ObjectType::Dpaiop) {
            return Err(Status::NoResource.because("the tile has its object already"));
        }
        Ok(Self { id: request.aiop_id, resetable: 1, clock: 0 })
    }

    fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
        let now = milliseconds(state);
        let tile = state.body_mut::<Self>(call.object.id)?;
        match command {
            Command::GetAttributes(get) => {
                call.reply(get, dpaiop::GetAttributesReply { id: tile.id })
            }
            Command::GetState(get) => call.reply(get, dpaiop::GetStateReply { state: IN_RESET }),
            Command::SetTimeOfDay(set) => {
                tile.clock = (set.time_of_day as i64).wrapping_sub(now);
                Ok(Answer::DONE)
            }
            Command::GetTimeOfDay(get) => {
                let time_of_day = now.wrapping_add(tile.clock) as u64;
                call.reply(get, dpaiop::GetTimeOfDayReply { time_of_day })
            }
            Command::SetResetable(set) if set.resetable <= 1 => {
                tile.resetable = set.resetable;
                Ok(Answer::DONE)
            }
            Command::SetResetable(_) => Err(Status::ConfigurationError.because("it is 0 or 1")),
            Command::GetResetable(get) => {
                call.reply(get, dpaiop::GetResetableReply { resetable: tile.resetable })
            }
            // No program runs, so that none has a service layer; an object is
            // made through the container's token, never through the object's.
            Command::Load(_) | Command::Run(_) | Command::GetSlVersion(_) | Command::Create(_) => {
                Err(Status::UnsupportedOperation.because(NOT_IMPLEMENTED))
            }
        }
    }

    fn reset(state: &mut State, id: u32) {
        if let Ok(tile) = state.body_mut::<Self>(id)
            && tile.resetable == 1
        {
            tile.clock = 0;
        }
    }
}

impl Body for Tile {}

fn milliseconds(state: &State) -> i64 {
    (state.clock.now() / 1_000_000) as i64
}

impl Properties for dpaiop::Create {
    fn read(fields: &Fields<'_>, _id: u32) -> Self {
        let container = fields.number("aiop_container_id", 0..=u32::MAX);
        if container.is_none() {
            let remedy = "give the number of a container with DPRC_CFG_OPT_AIOP";
            fields.error_in("aiop_container_id", "the property is needed", remedy);
        }
        Self {
            aiop_id: fields.number("aiop_id", 0..=u32::MAX).unwrap_or(0),
            aiop_container_id: container.unwrap_or(0),
        }
    }

    fn write(&self, to: &mut Writing) {
        to.nonzero("aiop_id", self.aiop_id);
        to.number("aiop_container_id", self.aiop_container_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        mc::{Config, testing::TestMc},
        soc::Soc,
    };
    use mc_abi::{Message, Params, Token, Wire, common};
    use std::time::Duration;

    #[test]
    fn a_chip_with_one_has_a_tile_in_reset() {
        let mut mc = TestMc::with(Config { soc: Soc::LS2088A, ..Config::default() });
        let create = |aiop_id| dpaiop::Create { aiop_id, aiop_container_id: 1 };
        assert_eq!(mc.create(&create(1)), Err(Status::ConfigurationError));
        let (id, token) = mc.make(&create(0));
        assert_eq!(mc.create(&create(0)), Err(Status::NoResource));
        assert_eq!(mc.call(token, &dpaiop::GetAttributes {}).expect("attributes").id, 0);
        assert_eq!(mc.call(token, &dpaiop::GetState {}).expect("state").state, 0);
        mc.call(token, &dpaiop::SetTimeOfDay { time_of_day: 1000 }).expect("set");
        mc.clock.advance(Duration::from_millis(25));
        let time = mc.call(token, &dpaiop::GetTimeOfDay {}).expect("time").time_of_day;
        assert_eq!(time, 1025);
        mc.call(token, &dpaiop::SetResetable { resetable: 0 }).expect("set");
        assert_eq!(mc.call(token, &dpaiop::GetResetable {}).expect("kept").resetable, 0);
        let refused = mc.call(token, &dpaiop::SetResetable { resetable: 2 });
        assert_eq!(refused, Err(Status::ConfigurationError));
        let run = mc.call(token, &dpaiop::Run::default());
        assert_eq!(run, Err(Status::UnsupportedOperation));
        mc.close(token).expect("closed");
        mc.destroy(id).expect("destroyed");
        mc.make(&create(0));
    }

    #[test]
    fn an_lx2160a_has_none_but_its_firmware_knows_the_family() {
        let mut mc = TestMc::new();
        let create = dpaiop::Create { aiop_id: 0, aiop_container_id: 1 };
        assert_eq!(mc.create(&create), Err(Status::ConfigurationError));
        let number = common::GET_API_VERSION + ObjectType::Dpaiop.code();
        let message = Message::command(number, 1, Token::NONE, Params::ZERO);
        let answer = mc.send(1, &message).expect("version");
        let version = common::ApiVersion::decode(&answer.params, 1).expect("version");
        assert_eq!((version.major, version.minor), (2, 3));
    }
}
