// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Order point records: how the frames of a queue are put back into order after
//! several consumers worked on them.

use super::pools::Pool;
use mc_abi::{Status, blocks::OrderSettings, common::OrderRestorationReply};

/// Bits of a set command's options (`fsl_dpopr.h`).
const CREATE: u8 = 1 << 0;
const RETIRE: u8 = 1 << 1;
const ASSIGN: u8 = 1 << 2;

/// The records of an object's queues: one for each queue, one that all share,
/// or none, as the object's options say.
#[derive(Debug, Default)]
pub(crate) struct OrderRestoration {
    records: Vec<Record>,
    shared: bool,
}

/// A hardware record, reserved when the object is made.
#[derive(Debug)]
struct Record {
    id: u32,
    /// Present from a create command to a retire command.
    settings: Option<OrderSettings>,
}

impl OrderRestoration {
    /// Reserves the records of `queues` queues.
    ///
    /// # Errors
    /// [`Status::NoResource`].
    pub fn new(pool: &mut Pool, queues: usize, shared: bool) -> Result<Self, Status> {
        let ids = pool.take_many(if shared { 1 } else { queues })?;
        let records = ids.into_iter().map(|id| Record { id, settings: None }).collect();
        Ok(Self { records, shared })
    }

    /// Retires all records.
    pub fn reset(&mut self) {
        self.records.iter_mut().for_each(|record| record.settings = None);
    }

    /// Makes, retires or assigns the record of a queue. A record belongs to its
    /// queue from the start, so that assigning only asks that it is there.
    ///
    /// # Errors
    /// [`Status::ConfigurationError`] for an object without records, for a
    /// queue or settings that are none, for no action; [`Status::InvalidState`]
    /// where a record to be retired or assigned was not made.
    pub fn set(&mut self, index: u8, options: u8, settings: OrderSettings) -> Result<(), Status> {
        let record = self.position(index).and_then(|i| self.records.get_mut(i));
        let record = record.ok_or(Status::ConfigurationError)?;
        match options {
            CREATE => record.settings = Some(checked(settings)?),
            RETIRE => {
                record.settings.take().ok_or(Status::InvalidState)?;
            }
            ASSIGN => {
                record.settings.ok_or(Status::InvalidState)?;
            }
            _ => return Err(Status::ConfigurationError),
        }
        Ok(())
    }

    /// What is known of a queue's record. The sequence numbers are those of a
    /// record that no frame has passed.
    ///
    /// # Errors
    /// [`Status::ConfigurationError`] for an object without records and for a
    /// queue that is none.
    pub fn get(&self, index: u8) -> Result<OrderRestorationReply, Status> {
        let record = self.position(index).and_then(|i| self.records.get(i));
        let record = record.ok_or(Status::ConfigurationError)?;
        let id = record.id as u16;
        let base = OrderRestorationReply { opr_vid: id, opr_id: id, ..Default::default() };
        Ok(match record.settings {
            None => base,
            Some(settings) => OrderRestorationReply { enable: true, settings, ..base },
        })
    }

    fn position(&self, index: u8) -> Option<usize> {
        if self.records.is_empty() {
            return None;
        }
        Some(if self.shared { 0 } else { usize::from(index) })
    }
}

fn checked(settings: OrderSettings) -> Result<OrderSettings, Status> {
    let flags = [settings.oloe, settings.oeane, settings.oa];
    let valid = flags.iter().all(|flag| *flag <= 1) && settings.olws <= 3 && settings.oprrws <= 5;
    if valid { Ok(settings) } else { Err(Status::ConfigurationError) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mc::Numbers;

    const SETTINGS: OrderSettings = OrderSettings { oloe: 1, oeane: 0, olws: 3, oa: 1, oprrws: 5 };

    #[test]
    fn a_record_is_made_assigned_and_retired() {
        let mut pool = Pool::new(Numbers { first: 5, count: 4 });
        let mut opr = OrderRestoration::new(&mut pool, 3, false).expect("records");
        assert_eq!(pool.free(), 1);
        assert_eq!(opr.set(1, ASSIGN, SETTINGS), Err(Status::InvalidState));
        assert_eq!(opr.set(1, CREATE, SETTINGS), Ok(()));
        assert_eq!(opr.set(1, ASSIGN, SETTINGS), Ok(()));
        let reply = opr.get(1).expect("record");
        assert_eq!((reply.enable, reply.settings.oprrws, reply.opr_id), (true, 5, 6));
        assert!(!opr.get(0).expect("record").enable);
        assert_eq!(opr.set(1, RETIRE, SETTINGS), Ok(()));
        assert!(!opr.get(1).expect("record").enable);
    }

    #[test]
    fn a_shared_record_serves_every_queue() {
        let mut pool = Pool::new(Numbers { first: 0, count: 1 });
        let mut opr = OrderRestoration::new(&mut pool, 16, true).expect("record");
        opr.set(9, CREATE, SETTINGS).expect("made");
        assert!(opr.get(2).expect("record").enable);
    }

    #[test]
    fn malformed_requests_are_refused() {
        let mut pool = Pool::new(Numbers { first: 0, count: 2 });
        assert!(OrderRestoration::new(&mut pool, 3, false).is_err());
        assert_eq!(pool.free(), 2);
        let mut opr = OrderRestoration::new(&mut pool, 2, false).expect("records");
        for (index, options, settings) in [
            (2, CREATE, SETTINGS),
            (0, 0, SETTINGS),
            (0, CREATE | RETIRE, SETTINGS),
            (0, CREATE, OrderSettings { olws: 4, ..SETTINGS }),
            (0, CREATE, OrderSettings { oprrws: 6, ..SETTINGS }),
            (0, CREATE, OrderSettings { oa: 2, ..SETTINGS }),
        ] {
            assert_eq!(opr.set(index, options, settings), Err(Status::ConfigurationError));
        }
        assert!(OrderRestoration::default().get(0).is_err());
    }
}
