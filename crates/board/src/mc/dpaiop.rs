// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The programmable I/O processor (AIOP), which an LX2160A does not have.

use super::{Answer, Call, Family, State};
use mc_abi::{
    DecodeError, ObjectType, Params, Status,
    dpaiop::{self, Command},
};

/// A tile of the processor: there can be none.
#[derive(Debug)]
pub(crate) enum Tile {}

impl Family for Tile {
    const TYPE: ObjectType = ObjectType::Dpaiop;
    const VERSION: (u16, u16) = (2, 3);
    const IRQS: u8 = 0;
    type Create = dpaiop::Create;
    type Command = Command;

    fn decode(number: u16, version: u8, params: &Params) -> Result<Command, DecodeError> {
        Command::decode(number, version, params)
    }

    /// Refuses: so does the firmware on a chip without the processor, whatever
    /// the container's options (board observation).
    fn create(
        _state: &mut State,
        _id: u32,
        _container: u32,
        _request: &dpaiop::Create,
    ) -> Result<Self, Status> {
        Err(Status::ConfigurationError)
    }

    fn destroy(self, _state: &mut State, _id: u32) {
        match self {}
    }

    fn handle(state: &mut State, call: &Call, _command: &Command) -> Result<Answer, Status> {
        match *state.body::<Self>(call.object.id)? {}
    }

    fn reset(_state: &mut State, _id: u32) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mc::testing::TestMc;
    use mc_abi::{Message, Token, Wire, common};

    #[test]
    fn the_chip_has_none_but_the_firmware_knows_the_family() {
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
