// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The real-time clock (IEEE 1588). There is one.

use super::{Answer, Body, Call, Family, State};
use crate::dpl::{Fields, Properties, Writing};
use crate::mc::refusal::{Because, NOT_IMPLEMENTED, Refusal};
use mc_abi::{
    ObjectType, Status,
    dprtc::{self, Command},
};
/// Most triggers (`DPRTC_EVENT_ETS1`, `ETS2`); whether they count from 0 or 1
/// is not known.
const LAST_TRIGGER: u8 = 2;

/// The clock. It advances with the [host's](crate::host::Clock) while it is on.
#[derive(Debug, Default)]
pub(crate) struct RealTimeClock {
    enabled: bool,
    /// Counter when it was last set, switched on or off, nanoseconds.
    counter: u64,
    /// Since when the counter advances, by the host's clock.
    since: Option<u64>,
    offset: i64,
    /// Kept, but without effect on the speed.
    freq_compensation: u32,
}

impl Family for RealTimeClock {
    const VERSION: (u16, u16) = (2, 3);
    const IRQS: u8 = 1;
    type Create = dprtc::Create;

    fn create(
        state: &mut State,
        _id: u32,
        _container: u32,
        _request: &dprtc::Create,
    ) -> Result<Self, Refusal> {
        // Board observation: the second one meets no resources.
        if state.has_any(ObjectType::Dprtc) {
            return Err(Status::NoResource.because("there is one clock, and it has its object"));
        }
        Ok(Self::default())
    }

    fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
        let id = call.object.id;
        let host = state.clock.now();
        let registers = state.config.soc.clock_registers;
        let clock = state.body_mut::<Self>(id)?;
        match command {
            // The board does not have them: the clock answers commands only.
            Command::GetAttributes(get) => {
                let reply = dprtc::GetAttributesReply { paddr: registers, id, little_endian: true };
                call.reply(get, reply)
            }
            Command::SetClockOffset(set) => {
                clock.offset = set.offset;
                Ok(Answer::DONE)
            }
            Command::GetClockOffset(get) => {
                call.reply(get, dprtc::GetClockOffsetReply { offset: clock.offset })
            }
            Command::SetFreqCompensation(set) => {
                clock.freq_compensation = set.freq_compensation;
                Ok(Answer::DONE)
            }
            Command::GetFreqCompensation(get) => {
                let freq_compensation = clock.freq_compensation;
                call.reply(get, dprtc::GetFreqCompensationReply { freq_compensation })
            }
            Command::GetTime(get) => {
                let time = clock.time(host).wrapping_add_signed(clock.offset);
                call.reply(get, dprtc::GetTimeReply { time })
            }
            Command::SetTime(set) => {
                clock.set(set.time, host);
                Ok(Answer::DONE)
            }
            // No trigger is wired to the board.
            Command::GetExtTriggerTimestamp(get) if get.id <= LAST_TRIGGER => {
                call.reply(get, Default::default())
            }
            // With no pulse there is nothing to loop back, so that the choice
            // shows nowhere.
            Command::SetFiperLoopback(set) if set.id <= LAST_TRIGGER && set.fiper_as_input <= 1 => {
                Ok(Answer::DONE)
            }
            Command::GetExtTriggerTimestamp(_) | Command::SetFiperLoopback(_) => {
                Err(Status::ConfigurationError.because("no such trigger or choice"))
            }
            // Alarms, pulses and triggers are not implemented; an object is
            // made through the container's token, never through the object's.
            Command::SetAlarm(_)
            | Command::SetPeriodicPulse(_)
            | Command::ClearPeriodicPulse(_)
            | Command::SetExtTrigger(_)
            | Command::ClearExtTrigger(_)
            | Command::Create(_) => Err(Status::UnsupportedOperation.because(NOT_IMPLEMENTED)),
        }
    }

    fn reset(state: &mut State, id: u32) {
        if let Ok(clock) = state.body_mut::<Self>(id) {
            *clock = Self::default();
        }
    }

    fn switched(state: &mut State, id: u32, on: bool) {
        let host = state.clock.now();
        if let Ok(clock) = state.body_mut::<Self>(id) {
            clock.counter = clock.time(host);
            clock.since = on.then_some(host);
        }
    }
}

impl Body for RealTimeClock {
    fn enabled(&mut self) -> Option<&mut bool> {
        Some(&mut self.enabled)
    }
}

impl RealTimeClock {
    /// The counter when the host's clock shows `host`.
    fn time(&self, host: u64) -> u64 {
        let passed = self.since.map_or(0, |since| host.saturating_sub(since));
        self.counter.wrapping_add(passed)
    }

    fn set(&mut self, counter: u64, host: u64) {
        self.counter = counter;
        self.since = self.enabled.then_some(host);
    }
}

impl Properties for dprtc::Create {
    /// Takes a word of options, of which none is defined.
    fn read(fields: &Fields<'_>, _id: u32) -> Self {
        fields.options("options", &[], &[], 32);
        Self {}
    }

    fn write(&self, _to: &mut Writing) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mc::testing::TestMc;
    use mc_abi::common;
    use std::time::Duration;

    #[test]
    fn there_is_one_clock() {
        let mut mc = TestMc::new();
        let id = mc.create(&dprtc::Create {}).expect("the first");
        let (_, child) = mc.make_container();
        assert_eq!(mc.create(&dprtc::Create {}), Err(Status::NoResource));
        assert_eq!(mc.create_in(child, &dprtc::Create {}), Err(Status::NoResource));
        mc.destroy(id).expect("destroyed");
        assert_eq!(mc.create(&dprtc::Create {}), Ok(id));
    }

    #[test]
    fn time_passes_while_the_clock_is_on() {
        let mut mc = TestMc::new();
        let (_, token) = mc.make(&dprtc::Create {});
        let time = |mc: &mut TestMc| mc.call(token, &dprtc::GetTime {}).expect("time").time;
        mc.call(token, &dprtc::SetTime { time: 1000 }).expect("set");
        assert_eq!(time(&mut mc), 1000);
        mc.call(token, &dprtc::SetClockOffset { offset: -400 }).expect("offset");
        assert_eq!(time(&mut mc), 600);
        assert_eq!(mc.call(token, &dprtc::GetClockOffset {}).expect("offset").offset, -400);

        mc.call(token, &common::Enable {}).expect("on");
        mc.clock.advance(Duration::from_millis(2));
        assert_eq!(time(&mut mc), 2_000_600);
        // On already: it goes on from where it is.
        mc.call(token, &common::Enable {}).expect("on");
        mc.clock.advance(Duration::from_nanos(1));
        assert_eq!(time(&mut mc), 2_000_601);
        mc.call(token, &common::Disable {}).expect("off");
        mc.clock.advance(Duration::from_millis(2));
        assert_eq!(time(&mut mc), 2_000_601);
        // Beyond the end of 64 bits the counter starts again.
        mc.call(token, &dprtc::SetTime { time: 1 }).expect("set");
        assert_eq!(time(&mut mc), 1u64.wrapping_sub(400));
    }

    #[test]
    fn what_has_no_timer_behind_it_is_unsupported() {
        let mut mc = TestMc::new();
        let (_, token) = mc.make(&dprtc::Create {});
        let unsupported = Err(Status::UnsupportedOperation);
        assert_eq!(mc.call(token, &dprtc::SetAlarm { time: 5 }), unsupported);
        assert_eq!(mc.call(token, &dprtc::SetPeriodicPulse {}), unsupported);
        let trigger = |id| dprtc::GetExtTriggerTimestamp { id };
        assert_eq!(mc.call(token, &trigger(1)), Ok(Default::default()));
        assert_eq!(mc.call(token, &trigger(3)), Err(Status::ConfigurationError));
        mc.call(token, &dprtc::SetFreqCompensation { freq_compensation: 7 }).expect("kept");
        let kept = mc.call(token, &dprtc::GetFreqCompensation {}).expect("kept");
        assert_eq!(kept.freq_compensation, 7);
    }
}
