// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands to the MC itself: they need no token.

use super::{Answer, Call, State, families::Outcome};
use mc_abi::{
    DecodeError, Params, Status,
    dpmng::{self, Command},
};

/// System version register of an LX2160A of revision 2 (its reference manual,
/// chapter "Device configuration"; Linux `drivers/soc/fsl/guts.c` knows the
/// upper half).
const SVR: u32 = 0x8736_0020;
/// Main id register of its cores, Cortex-A72 r0p3.
const PVR: u32 = 0x410f_d083;

/// Executes a command of the MC; `None` where `number` is none of them.
pub(crate) fn run(state: &State, call: &Call, number: u16, params: &Params) -> Option<Outcome> {
    match Command::decode(number, call.version, params) {
        Ok(command) => {
            let text = call.traced.then(|| format!("{command:?}"));
            Some((text, handle(state, call, &command)))
        }
        Err(DecodeError::UnknownCommand { .. }) => None,
        Err(error @ DecodeError::Field { .. }) => {
            Some((call.traced.then(|| error.to_string()), Err(Status::ConfigurationError)))
        }
    }
}

fn handle(state: &State, call: &Call, command: &Command) -> Result<Answer, Status> {
    match command {
        Command::GetContainerId(get) => {
            call.reply(get, dpmng::GetContainerIdReply { id: call.portal_container })
        }
        Command::GetVersion(get) => {
            let (major, minor, revision) = state.config.firmware;
            call.reply(get, dpmng::GetVersionReply { revision, major, minor })
        }
        Command::GetSocVersion(get) => {
            call.reply(get, dpmng::GetSocVersionReply { svr: SVR, pvr: PVR })
        }
    }
}
