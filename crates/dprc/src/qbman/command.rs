// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Management commands, which are answered in the portal: buffers out of pools, queries,
//! notifications of channels.

use super::QueueState;
use super::portal::Portal;
use super::rings::Mode;
use crate::error::{Error, Result};
use fsl_mc_linux::dma_fence;
use qbman_abi::management::{
    ChannelNotification, MOST_ACQUIRED, acquire, acquired_buffers, on_queue, results, verbs,
};
use qbman_abi::{Entry, VALID, registers};
use std::time::Instant;

impl Portal {
    /// Takes buffers out of a pool (by its number in hardware) until `buffers` is full or
    /// the pool is empty; how many. Each is an I/O virtual address that was released
    /// to the pool before.
    ///
    /// # Errors
    /// [`Error::PortalRefused`] where the container has no such pool.
    pub fn acquire(&mut self, pool: u16, buffers: &mut [u64]) -> Result<usize> {
        let mut taken = 0;
        // A command is answered with all that it asks for, or with nothing: what is less than
        // a command's worth comes one by one.
        let mut most = MOST_ACQUIRED;
        while taken < buffers.len() {
            let places = &mut buffers[taken..];
            let wanted = places.len().min(most);
            let command = acquire(pool, wanted as u8);
            let answer = self.command("Acquire", command, || format!("buffer pool {pool}"))?;
            let (found, count) = acquired_buffers(&answer);
            for (place, buffer) in places.iter_mut().zip(&found[..count]) {
                *place = *buffer;
            }
            taken += count.min(wanted);
            match (count, wanted) {
                (0, 1) => break,
                (0, _) => most = 1,
                _ => {}
            }
        }
        Ok(taken)
    }

    /// What a frame queue holds, and how it is scheduled.
    ///
    /// # Errors
    /// [`Error::PortalRefused`] where the container has no such queue.
    pub fn queue_state(&mut self, queue: u32) -> Result<QueueState> {
        let of = || format!("frame queue {queue}");
        let command = on_queue(verbs::QUEUE_STATE_QUERY, queue);
        let answer = self.command("QueryQueue", command, of)?;
        QueueState::from_bytes(&answer).ok_or_else(|| Error::PortalState {
            portal: self.name.clone(),
            what: format!("frame queue {queue} is in the unknown state {:#04x}", answer[2]),
        })
    }

    /// Arms the data notification of a channel (by its number in hardware), or disarms it.
    /// Armed, one notification comes when frames wait in the channel, and disarms it. The
    /// context comes with each; without one, that which was set stays.
    ///
    /// Where it comes, `dpcon::SetNotification` says.
    ///
    /// # Errors
    /// [`Error::PortalRefused`] where the container has no such channel.
    pub fn notify(&mut self, channel: u16, armed: bool, context: Option<u64>) -> Result<()> {
        let command = ChannelNotification { channel, enable: Some(armed), context };
        let of = || format!("channel {channel}");
        self.command("ConfigureChannel", command.to_bytes(), of).map(drop)
    }

    /// Sends a command and waits for its answer.
    pub(super) fn command(
        &mut self,
        name: &'static str,
        mut command: Entry,
        of: impl Fn() -> String,
    ) -> Result<Entry> {
        self.check()?;
        let at = self.areas.rings().cr;
        let verb = command[0] & !VALID;
        command[0] = verb | self.answer_valid;
        self.areas.fill(at, &command)?;
        dma_fence();
        self.areas.hand_over(at, &command)?;
        self.areas.ring(registers::CR_RT, 0)?;
        let answer = self.answer(name, verb)?;
        if answer[1] != results::OK {
            let (portal, result) = (self.name.clone(), answer[1]);
            return Err(Error::PortalRefused { portal, command: name, of: of(), result });
        }
        Ok(answer)
    }

    /// The answer to the command of this verb, once it is there: in memory, its valid bit is
    /// the expected one; in the portal, its verb is no longer zero.
    fn answer(&mut self, name: &'static str, verb: u8) -> Result<Entry> {
        let at = self.areas.answer(self.answer_valid);
        let valid = self.answer_valid;
        let mode = self.areas.mode;
        let is_there = |first: u8| match mode {
            Mode::MemoryBacked => first == verb | valid,
            Mode::Direct => first & !VALID == verb,
        };
        let mut start = None;
        loop {
            let first = self.areas.first_word(at)?.to_le_bytes()[0];
            if is_there(first) {
                dma_fence();
                self.answer_valid ^= VALID;
                return self.areas.entry(at);
            }
            let since = *start.get_or_insert_with(Instant::now);
            if since.elapsed() > self.patience {
                return Err(self.silent(name));
            }
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pushed, Source, Target, testing};
    use super::*;
    use crate::memory::RegionAccess;
    use qbman_abi::Rings;
    use std::time::Duration;

    #[test]
    fn a_late_answer_is_not_that_of_the_next_command() {
        let (mut portal, areas) = testing::portal(Duration::from_millis(2));
        let error = portal.acquire(3, &mut [0; 1]).unwrap_err();
        assert!(matches!(error, Error::PortalSilent { command: "Acquire", .. }), "{error}");
        // Now it comes, at the place where the next one is looked for.
        let mut late: Entry = [0; 64];
        (late[0], late[1]) = (acquire(3, 1)[0] & !VALID, results::OK);
        for answer in Rings::DIRECT.rr {
            areas.rings.store(answer, &late);
        }
        let lost = |outcome: Result<()>| {
            let error = outcome.unwrap_err();
            assert!(matches!(error, Error::PortalLost { command: "Acquire", .. }), "{error}");
            assert!(error.to_string().contains("dpio.7"), "{error}");
        };
        lost(portal.acquire(4, &mut [0; 1]).map(drop));
        lost(portal.queue_state(5).map(drop));
        lost(portal.notify(6, true, None));
        lost(portal.dequeue(Source::Queue(5), 1, &mut Vec::new()).map(drop));
        lost(portal.enqueue(Target::Queue(5), &[]).map(drop));
        lost(portal.release(4, &[0x1000]).map(drop));
        lost(portal.push_from(1));
        lost(portal.take().map(|_: Option<Pushed>| ()));
        lost(portal.arm_interrupt());
    }

    #[test]
    fn a_late_dequeue_is_not_the_next_one() {
        let (mut portal, _areas) = testing::portal(Duration::from_millis(2));
        let mut entries = Vec::new();
        let error = portal.dequeue(Source::Queue(5), 1, &mut entries).unwrap_err();
        assert!(matches!(error, Error::PortalSilent { .. }), "{error}");
        let error = portal.dequeue(Source::Queue(6), 1, &mut entries).unwrap_err();
        assert!(
            matches!(error, Error::PortalLost { command: "a volatile dequeue", .. }),
            "{error}"
        );
    }
}
