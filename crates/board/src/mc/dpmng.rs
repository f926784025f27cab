// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands to the MC itself: they need no token.

use super::{Answer, Call, State, call::Outcome};
use crate::mc::refusal::{Because, Refusal};
use mc_abi::{
    DecodeError, InWords, ObjectType, Params, Status,
    dpmng::{self, Command},
};

/// Executes a command of the MC; `None` where `number` is none of them.
pub(crate) fn run(state: &State, call: &Call, number: u16, params: &Params) -> Option<Outcome> {
    match Command::decode(number, call.version, params) {
        Ok(command) => {
            let text = call.traced.then(|| command.words(ObjectType::Dprc).to_string());
            Some((text, handle(state, call, &command)))
        }
        Err(DecodeError::UnknownCommand { .. }) => None,
        Err(DecodeError::Field { command, error }) => Some((
            call.traced.then(|| command.to_owned()),
            Err(Status::ConfigurationError.because(error.to_string())),
        )),
    }
}

fn handle(state: &State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    match command {
        Command::GetContainerId(get) => {
            call.reply(get, dpmng::GetContainerIdReply { id: call.portal_container })
        }
        Command::GetVersion(get) => {
            let (major, minor, revision) = state.config.soc.firmware;
            call.reply(get, dpmng::GetVersionReply { revision, major, minor })
        }
        Command::GetSocVersion(get) => {
            let soc = &state.config.soc;
            call.reply(get, dpmng::GetSocVersionReply { svr: soc.svr, pvr: soc.pvr })
        }
    }
}
