// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Order point records: how the frames of a queue are put back into order after
//! several consumers worked on them.

use super::pools::Pool;
use crate::mc::refusal::{Because, Refusal};
use crate::qbman::{LateArrivals, OrderConfig, Qbman};
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
    pub fn new(pool: &mut Pool, queues: usize, shared: bool) -> Result<Self, Refusal> {
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
    pub fn set(&mut self, index: u8, options: u8, settings: OrderSettings) -> Result<(), Refusal> {
        let record = self.position(index).and_then(|i| self.records.get_mut(i));
        let record = record.ok_or_else(|| {
            Status::ConfigurationError
                .because(format!("there is no order restoration record {index}"))
        })?;
        match options {
            CREATE => record.settings = Some(checked(settings)?),
            RETIRE => {
                record.settings.take().ok_or_else(|| {
                    Status::InvalidState.because("there is no record: create it first")
                })?;
            }
            ASSIGN => {
                record.settings.ok_or_else(|| {
                    Status::InvalidState.because("there is no record: create it first")
                })?;
            }
            _ => {
                return Err(Status::ConfigurationError
                    .because(format!("{options:#x} is neither CREATE nor RETIRE nor ASSIGN")));
            }
        }
        Ok(())
    }

    /// What is known of a queue's record. The sequence numbers are those of a
    /// record that no frame has passed.
    ///
    /// # Errors
    /// [`Status::ConfigurationError`] for an object without records and for a
    /// queue that is none.
    pub fn get(&self, index: u8) -> Result<OrderRestorationReply, Refusal> {
        let record = self.position(index).and_then(|i| self.records.get(i));
        let record = record.ok_or_else(|| {
            Status::ConfigurationError
                .because(format!("there is no order restoration record {index}"))
        })?;
        let id = record.id as u16;
        let base = OrderRestorationReply { opr_vid: id, opr_id: id, ..Default::default() };
        Ok(match record.settings {
            None => base,
            Some(settings) => OrderRestorationReply { enable: true, settings, ..base },
        })
    }

    /// The record that gives a queue's frames their numbers, where one was made.
    pub fn record(&self, index: u8) -> Option<u32> {
        let record = self.records.get(self.position(index)?)?;
        record.settings.map(|_| record.id)
    }

    /// Writes the records into the queue manager's tables.
    pub fn program(&self, qbman: &Qbman, icid: u16) {
        for record in &self.records {
            let config = record.settings.map(|settings| config(&settings, icid));
            qbman.configure_order(record.id, config);
        }
    }

    /// Takes them back.
    pub fn withdraw(&self, qbman: &Qbman) {
        for record in &self.records {
            qbman.configure_order(record.id, None);
        }
    }

    fn position(&self, index: u8) -> Option<usize> {
        if self.records.is_empty() {
            return None;
        }
        Some(if self.shared { 0 } else { usize::from(index) })
    }
}

/// What settings come to (`struct opr_cfg` of DPDK).
fn config(settings: &OrderSettings, icid: u16) -> OrderConfig {
    const LEAST_WINDOW: u16 = 32;
    let window = LEAST_WINDOW << settings.oprrws.min(5);
    OrderConfig {
        icid,
        window,
        auto_advance: settings.oa != 0,
        late: match settings.olws {
            0 => LateArrivals::Rejected,
            1 => LateArrivals::Within(LEAST_WINDOW),
            2 => LateArrivals::Within(window),
            _ => LateArrivals::Accepted,
        },
        exhaustion_advances: settings.oeane != 0,
        loose: settings.oloe != 0,
    }
}

fn checked(settings: OrderSettings) -> Result<OrderSettings, Refusal> {
    let flags = [settings.oloe, settings.oeane, settings.oa];
    let valid = flags.iter().all(|flag| *flag <= 1) && settings.olws <= 3 && settings.oprrws <= 5;
    if valid {
        Ok(settings)
    } else {
        Err(Status::ConfigurationError.because("a setting is out of its range"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mc::Numbers;

    const SETTINGS: OrderSettings = OrderSettings { oloe: 1, oeane: 0, olws: 3, oa: 1, oprrws: 5 };

    #[test]
    fn a_record_is_made_assigned_and_retired() {
        let mut pool = Pool::new("opr", Numbers { first: 5, count: 4 });
        let mut opr = OrderRestoration::new(&mut pool, 3, false).expect("records");
        assert_eq!(pool.free(), 1);
        let refused = opr.set(1, ASSIGN, SETTINGS).map_err(|refusal| refusal.status);
        assert_eq!(refused, Err(Status::InvalidState));
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
        let mut pool = Pool::new("opr", Numbers { first: 0, count: 1 });
        let mut opr = OrderRestoration::new(&mut pool, 16, true).expect("record");
        opr.set(9, CREATE, SETTINGS).expect("made");
        assert!(opr.get(2).expect("record").enable);
    }

    /// The meaning of the codes: `struct opr_cfg` of DPDK.
    #[test]
    fn settings_become_windows() {
        let config = config(&SETTINGS, 23);
        assert_eq!((config.icid, config.window), (23, 1024));
        assert_eq!(config.late, LateArrivals::Accepted);
        assert!(config.loose && config.auto_advance && !config.exhaustion_advances);
        let late = |olws| {
            let settings = OrderSettings { olws, oprrws: 1, ..OrderSettings::default() };
            super::config(&settings, 23).late
        };
        let within = LateArrivals::Within;
        assert_eq!([0, 1, 2].map(late), [LateArrivals::Rejected, within(32), within(64)]);
        let mut pool = Pool::new("opr", Numbers { first: 5, count: 4 });
        let mut opr = OrderRestoration::new(&mut pool, 3, false).expect("records");
        assert_eq!(opr.record(1), None);
        opr.set(1, CREATE, SETTINGS).expect("made");
        assert_eq!((opr.record(1), opr.record(0), opr.record(9)), (Some(6), None, None));
    }

    #[test]
    fn malformed_requests_are_refused() {
        let mut pool = Pool::new("opr", Numbers { first: 0, count: 2 });
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
            let refused = opr.set(index, options, settings).map_err(|refusal| refusal.status);
            assert_eq!(refused, Err(Status::ConfigurationError));
        }
        assert!(OrderRestoration::default().get(0).is_err());
    }
}
