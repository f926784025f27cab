// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A forwarding table: which interface of a switch leads to a station.
//!
//! The Management Complex and the frames share it: software adds and removes
//! entries, frames look them up and add what they learn. Entries age by the time
//! that callers say; an aged one counts as gone from then on, and its room is
//! used again when the table is full.

use mc_abi::MacAddr;
use parking_lot::RwLock;
use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Nanoseconds between two searches of a full table for entries that have aged.
const SWEEP_INTERVAL: u64 = 1_000_000_000;

/// What a table does not take an entry for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FdbError {
    /// It has no room left.
    #[error("the forwarding table is full")]
    Full,
    /// The entry is there already.
    #[error("the forwarding table has the entry already")]
    Present,
    /// There is no such entry.
    #[error("the forwarding table has no such entry")]
    Absent,
}

/// An entry as software sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdbEntry {
    /// The station or group.
    pub address: MacAddr,
    /// Whether it ages.
    pub dynamic: bool,
    /// Where its frames go.
    pub target: FdbTarget,
}

/// Where an entry leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FdbTarget {
    /// A station: to an interface.
    Interface(u16),
    /// A group: to interfaces, a bitmap.
    Interfaces(u64),
}

/// A forwarding table. All methods may be called from any thread.
#[derive(Debug)]
pub struct Fdb {
    max_entries: usize,
    max_groups: usize,
    /// Nanoseconds.
    aging: u64,
    entries: RwLock<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    stations: HashMap<MacAddr, Station>,
    groups: HashMap<MacAddr, Group>,
    /// When a full table is searched next.
    next_sweep: u64,
}

#[derive(Debug)]
struct Station {
    interface: u16,
    /// When it sent a frame last; `None`: the entry does not age.
    seen: Option<AtomicU64>,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    interfaces: u64,
    /// When software added to it last, since a group sends no frames; `None`: the entry
    /// does not age.
    seen: Option<u64>,
}

impl Station {
    fn is_fresh(&self, now: u64, aging: u64) -> bool {
        self.seen.as_ref().is_none_or(|seen| is_fresh(seen.load(Relaxed), now, aging))
    }
}

impl Group {
    fn is_fresh(&self, now: u64, aging: u64) -> bool {
        self.seen.is_none_or(|seen| is_fresh(seen, now, aging))
    }
}

fn is_fresh(seen: u64, now: u64, aging: u64) -> bool {
    now.saturating_sub(seen) < aging
}

impl Fdb {
    /// An empty table of at most `max_entries` entries, `max_groups` of them of
    /// groups, whose dynamic ones age after so many nanoseconds.
    pub fn new(max_entries: u16, max_groups: u16, aging: u64) -> Self {
        let (max_entries, max_groups) = (max_entries.into(), max_groups.into());
        Self { max_entries, max_groups, aging, entries: RwLock::default() }
    }

    /// The interface that leads to a station.
    pub fn station(&self, address: MacAddr, now: u64) -> Option<u16> {
        let entries = self.entries.read();
        let station = entries.stations.get(&address)?;
        station.is_fresh(now, self.aging).then_some(station.interface)
    }

    /// The interfaces that lead to a group, a bitmap.
    pub fn group(&self, address: MacAddr, now: u64) -> Option<u64> {
        let entries = self.entries.read();
        let group = entries.groups.get(&address)?;
        group.is_fresh(now, self.aging).then_some(group.interfaces)
    }

    /// A station has sent a frame that came in at an interface. Where the table is
    /// full, or an entry of software says otherwise, nothing is learned.
    pub fn learn(&self, address: MacAddr, interface: u16, now: u64) {
        if let Some(station) = self.entries.read().stations.get(&address) {
            match &station.seen {
                None => return,
                Some(seen) if station.interface == interface => {
                    // Others may have been later; time does not go back.
                    seen.fetch_max(now, Relaxed);
                    return;
                }
                Some(_) => {}
            }
        }
        let mut entries = self.entries.write();
        let station = Station { interface, seen: Some(AtomicU64::new(now)) };
        if let Some(known) = entries.stations.get_mut(&address) {
            if known.seen.is_some() {
                *known = station;
            }
        } else if self.make_room(&mut entries, now) {
            entries.stations.insert(address, station);
        }
    }

    /// Adds an entry for a station, or changes the one that it has.
    ///
    /// # Errors
    /// [`FdbError::Full`].
    pub fn add_station(
        &self,
        address: MacAddr,
        interface: u16,
        dynamic: bool,
        now: u64,
    ) -> Result<(), FdbError> {
        let mut entries = self.entries.write();
        // A station that moves takes no more room.
        if !entries.stations.contains_key(&address) {
            entries.next_sweep = 0;
            if !self.make_room(&mut entries, now) {
                return Err(FdbError::Full);
            }
        }
        let seen = dynamic.then(|| AtomicU64::new(now));
        entries.stations.insert(address, Station { interface, seen });
        Ok(())
    }

    /// Removes the entry of a station that leads to an interface.
    ///
    /// # Errors
    /// [`FdbError::Absent`].
    pub fn remove_station(&self, address: MacAddr, interface: u16) -> Result<(), FdbError> {
        let mut entries = self.entries.write();
        let leads_there = |station: &Station| station.interface == interface;
        if !entries.stations.get(&address).is_some_and(leads_there) {
            return Err(FdbError::Absent);
        }
        entries.stations.remove(&address);
        Ok(())
    }

    /// Adds interfaces to the entry of a group, which ages from now on. One that does not
    /// age, or is made so, stays for good.
    ///
    /// # Errors
    /// [`FdbError::Present`] where one of them is in it, [`FdbError::Full`].
    pub fn add_group(
        &self,
        address: MacAddr,
        interfaces: u64,
        dynamic: bool,
        now: u64,
    ) -> Result<(), FdbError> {
        let mut entries = self.entries.write();
        entries.groups.retain(|_, group| group.is_fresh(now, self.aging));
        let seen = dynamic.then_some(now);
        match entries.groups.get_mut(&address) {
            Some(group) if group.interfaces & interfaces != 0 => Err(FdbError::Present),
            Some(group) => {
                group.interfaces |= interfaces;
                group.seen = group.seen.and(seen);
                Ok(())
            }
            None => {
                entries.next_sweep = 0;
                let room = entries.groups.len() < self.max_groups;
                if !room || !self.make_room(&mut entries, now) {
                    return Err(FdbError::Full);
                }
                entries.groups.insert(address, Group { interfaces, seen });
                Ok(())
            }
        }
    }

    /// Takes interfaces out of the entry of a group. With its last one it goes.
    ///
    /// # Errors
    /// [`FdbError::Absent`] where one of them is not in it.
    pub fn remove_group(
        &self,
        address: MacAddr,
        interfaces: u64,
        now: u64,
    ) -> Result<(), FdbError> {
        let mut entries = self.entries.write();
        entries.groups.retain(|_, group| group.is_fresh(now, self.aging));
        let group = entries.groups.get_mut(&address).ok_or(FdbError::Absent)?;
        if interfaces & !group.interfaces != 0 {
            return Err(FdbError::Absent);
        }
        group.interfaces &= !interfaces;
        if group.interfaces == 0 {
            entries.groups.remove(&address);
        }
        Ok(())
    }

    /// The entry of an address that has not aged.
    pub fn entry(&self, address: MacAddr, now: u64) -> Option<FdbEntry> {
        let entries = self.entries.read();
        if let Some(group) = entries.groups.get(&address) {
            return group.is_fresh(now, self.aging).then(|| group.entry(address));
        }
        let station = entries.stations.get(&address)?;
        station.is_fresh(now, self.aging).then(|| station.entry(address))
    }

    /// All entries that have not aged, by address.
    pub fn dump(&self, now: u64) -> Vec<FdbEntry> {
        let entries = self.entries.read();
        let fresh = entries.stations.iter().filter(|entry| entry.1.is_fresh(now, self.aging));
        let stations = fresh.map(|(address, station)| station.entry(*address));
        let fresh = entries.groups.iter().filter(|entry| entry.1.is_fresh(now, self.aging));
        let groups = fresh.map(|(address, group)| group.entry(*address));
        let mut all: Vec<_> = stations.chain(groups).collect();
        all.sort_unstable_by_key(|entry| entry.address);
        all
    }

    /// How many groups have an entry that has not aged.
    pub fn groups(&self, now: u64) -> usize {
        let entries = self.entries.read();
        entries.groups.values().filter(|group| group.is_fresh(now, self.aging)).count()
    }

    /// Whether there is room for one more entry, after what has aged was removed.
    fn make_room(&self, entries: &mut Entries, now: u64) -> bool {
        let fits =
            |entries: &Entries| entries.stations.len() + entries.groups.len() < self.max_entries;
        if !fits(entries) && now >= entries.next_sweep {
            // A full table is not searched for each frame of a new station.
            entries.next_sweep = now.saturating_add(SWEEP_INTERVAL);
            entries.stations.retain(|_, station| station.is_fresh(now, self.aging));
            entries.groups.retain(|_, group| group.is_fresh(now, self.aging));
        }
        fits(entries)
    }
}

impl Station {
    fn entry(&self, address: MacAddr) -> FdbEntry {
        let target = FdbTarget::Interface(self.interface);
        FdbEntry { address, dynamic: self.seen.is_some(), target }
    }
}

impl Group {
    fn entry(&self, address: MacAddr) -> FdbEntry {
        FdbEntry {
            address,
            dynamic: self.seen.is_some(),
            target: FdbTarget::Interfaces(self.interfaces),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const fn mac(last: u8) -> MacAddr {
        MacAddr([2, 0, 0, 0, 0, last])
    }

    const fn group(last: u8) -> MacAddr {
        MacAddr([1, 0, 0x5e, 0, 0, last])
    }

    #[test]
    fn what_was_learned_ages_and_what_software_added_does_not() {
        let fdb = Fdb::new(10, 10, 300);
        fdb.learn(mac(1), 3, 1000);
        fdb.add_station(mac(2), 4, false, 1000).expect("room");
        fdb.add_station(mac(3), 5, true, 1000).expect("room");
        assert_eq!([1, 2, 3].map(|n| fdb.station(mac(n), 1299)), [Some(3), Some(4), Some(5)]);
        fdb.learn(mac(1), 3, 1200);
        assert_eq!([1, 2, 3].map(|n| fdb.station(mac(n), 1300)), [Some(3), Some(4), None]);
        assert_eq!(fdb.dump(1300).len(), 2);
        assert_eq!(fdb.station(mac(1), 1500), None);
    }

    #[test]
    fn a_station_moves_unless_software_has_said_where_it_is() {
        let fdb = Fdb::new(10, 10, 300);
        fdb.learn(mac(1), 3, 0);
        fdb.learn(mac(1), 4, 1);
        assert_eq!(fdb.station(mac(1), 1), Some(4));
        fdb.add_station(mac(1), 5, false, 1).expect("it is there");
        fdb.learn(mac(1), 3, 2);
        assert_eq!(fdb.station(mac(1), 2), Some(5));
    }

    #[test]
    fn a_full_table_learns_again_when_entries_have_aged() {
        let fdb = Fdb::new(2, 2, 10 * SWEEP_INTERVAL);
        fdb.learn(mac(1), 1, 0);
        fdb.add_group(group(1), 3, false, 0).expect("room");
        fdb.learn(mac(2), 2, 0);
        assert_eq!(fdb.station(mac(2), 0), None);
        assert_eq!(fdb.add_station(mac(2), 2, false, 0), Err(FdbError::Full));
        assert_eq!(fdb.add_group(group(2), 3, false, 0), Err(FdbError::Full));
        fdb.learn(mac(2), 2, 10 * SWEEP_INTERVAL);
        assert_eq!(fdb.station(mac(2), 10 * SWEEP_INTERVAL), Some(2));
    }

    #[test]
    fn groups_gain_and_lose_interfaces() {
        let fdb = Fdb::new(10, 1, 300);
        fdb.add_group(group(1), 0b011, false, 0).expect("room");
        assert_eq!(fdb.add_group(group(1), 0b010, false, 0), Err(FdbError::Present));
        assert_eq!(fdb.add_group(group(2), 0b010, false, 0), Err(FdbError::Full));
        fdb.add_group(group(1), 0b100, false, 0).expect("more");
        assert_eq!(fdb.group(group(1), 0), Some(0b111));
        assert_eq!(fdb.remove_group(group(1), 0b1001, 0), Err(FdbError::Absent));
        fdb.remove_group(group(1), 0b101, 0).expect("some");
        fdb.remove_group(group(1), 0b010, 0).expect("the last");
        assert_eq!((fdb.group(group(1), 0), fdb.groups(0)), (None, 0));
    }

    /// Nobody hears of a group by its frames: what renews it is software.
    #[test]
    fn groups_that_age_go_when_nobody_adds_to_them() {
        let fdb = Fdb::new(10, 1, 300);
        fdb.add_group(group(1), 0b001, true, 0).expect("room");
        fdb.add_group(group(1), 0b010, true, 200).expect("more");
        assert_eq!(fdb.group(group(1), 499), Some(0b011));
        assert_eq!((fdb.group(group(1), 500), fdb.groups(500)), (None, 0));
        assert_eq!((fdb.entry(group(1), 500), fdb.dump(500)), (None, vec![]));
        assert_eq!(fdb.remove_group(group(1), 0b001, 500), Err(FdbError::Absent));
        // Its room is free, and what it had is not there any more.
        fdb.add_group(group(2), 0b001, true, 500).expect("room");
        fdb.add_group(group(2), 0b100, false, 600).expect("for good");
        assert_eq!(fdb.group(group(2), 10_000), Some(0b101));
        assert_eq!(fdb.add_group(group(3), 1, false, 10_000), Err(FdbError::Full));
    }

    proptest! {
        /// Against a list of what was said, read from its end.
        #[test]
        fn lookups_agree_with_the_history(
            steps in prop::collection::vec((0u8..6, 0u16..4, 0u8..3, 0u64..40), 1..120),
        ) {
            const AGING: u64 = 100;
            let fdb = Fdb::new(1000, 10, AGING);
            let mut now = 0;
            // Interface, and when it was seen last; never for a fixed one.
            let mut model: BTreeMap<u8, (u16, Option<u64>)> = BTreeMap::new();
            for (station, interface, what, later) in steps {
                now += later;
                let known = model.get(&station).copied();
                match what {
                    0 => {
                        fdb.learn(mac(station), interface, now);
                        if !matches!(known, Some((_, None))) {
                            model.insert(station, (interface, Some(now)));
                        }
                    }
                    1 => {
                        let dynamic = interface % 2 == 0;
                        fdb.add_station(mac(station), interface, dynamic, now).expect("room");
                        model.insert(station, (interface, dynamic.then_some(now)));
                    }
                    _ => {
                        let removed = fdb.remove_station(mac(station), interface);
                        let there = known.is_some_and(|known| known.0 == interface);
                        prop_assert_eq!(removed.is_ok(), there);
                        if there {
                            model.remove(&station);
                        }
                    }
                }
                for station in 0..6 {
                    let fresh = |(interface, seen): &(u16, Option<u64>)| {
                        seen.is_none_or(|seen| now - seen < AGING).then_some(*interface)
                    };
                    let expected = model.get(&station).and_then(fresh);
                    prop_assert_eq!(fdb.station(mac(station), now), expected);
                }
            }
        }
    }
}
