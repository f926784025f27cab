// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Which frames an interface takes in.

use super::config::{MacFilter, ReceiveConfig, Steered};
use mc_abi::MacAddr;

/// VLANs are numbers of 12 bits.
const VLAN: u16 = 0xfff;

/// The addresses of an interface, ready to be compared.
#[derive(Debug, Default)]
pub(super) struct Stations {
    primary: u64,
    /// Sorted by address.
    others: Vec<(u64, Option<Steered>)>,
    all_unicast: bool,
    all_multicast: bool,
}

/// The VLANs of an interface, ready to be compared: sorted.
#[derive(Debug, Default)]
pub(super) struct Vlans(Option<Vec<(u16, Option<Steered>)>>);

/// What the filters say of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is not for this interface.
    Refused,
    /// It is, and goes to a certain queue where an entry names one.
    Taken(Option<Steered>),
}

fn number(address: MacAddr) -> u64 {
    let MacAddr([a, b, c, d, e, f]) = address;
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

impl Stations {
    pub fn new(filter: &MacFilter) -> Self {
        let others = filter.others.iter().map(|(address, queue)| (number(*address), *queue));
        let mut others: Vec<_> = others.collect();
        others.sort_unstable_by_key(|(address, _)| *address);
        Self {
            primary: number(filter.primary),
            others,
            all_unicast: filter.all_unicast,
            all_multicast: filter.all_multicast,
        }
    }

    /// Whether an address is the interface's own, or one of its filter.
    pub fn has(&self, address: [u8; 6]) -> bool {
        let address = number(MacAddr(address));
        let listed = || self.others.binary_search_by_key(&address, |(one, _)| *one).is_ok();
        address == self.primary || listed()
    }

    /// Whether a frame to `destination` is taken.
    pub fn verdict(&self, destination: [u8; 6]) -> Verdict {
        let group = MacAddr(destination).is_multicast();
        let destination = number(MacAddr(destination));
        if destination == self.primary {
            return Verdict::Taken(None);
        }
        if let Ok(at) = self.others.binary_search_by_key(&destination, |(address, _)| *address) {
            return Verdict::Taken(self.others.get(at).and_then(|(_, queue)| *queue));
        }
        match if group { self.all_multicast } else { self.all_unicast } {
            true => Verdict::Taken(None),
            false => Verdict::Refused,
        }
    }
}

impl Vlans {
    pub fn new(config: &ReceiveConfig) -> Self {
        let mut vlans = config.vlans.clone();
        if let Some(vlans) = &mut vlans {
            vlans.sort_unstable_by_key(|(vlan, _)| *vlan);
        }
        Self(vlans)
    }

    /// Whether a frame with this control information in its first tag is taken.
    pub fn takes(&self, control: Option<u16>) -> bool {
        matches!(self.verdict(control), Verdict::Taken(_))
    }

    /// What becomes of a frame with this control information in its first tag is taken.
    /// Frames without a tag are; which those of a board are is not known.
    pub fn verdict(&self, control: Option<u16>) -> Verdict {
        let (Some(vlans), Some(control)) = (&self.0, control) else {
            return Verdict::Taken(None);
        };
        match vlans.binary_search_by_key(&(control & VLAN), |(vlan, _)| *vlan) {
            Ok(at) => Verdict::Taken(vlans.get(at).and_then(|(_, queue)| *queue)),
            Err(_) => Verdict::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const GROUP: [u8; 6] = [1, 0, 0x5e, 0, 0, 1];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 9];
    const ALL: [u8; 6] = [0xff; 6];

    fn taken(filter: &MacFilter) -> [bool; 4] {
        let stations = Stations::new(filter);
        [OWN, GROUP, OTHER, ALL].map(|to| stations.verdict(to) != Verdict::Refused)
    }

    /// What Linux relies on: broadcast is an entry that it adds.
    #[test]
    fn stations_are_taken_as_the_filter_says() {
        let mut filter = MacFilter { primary: MacAddr(OWN), ..MacFilter::default() };
        assert_eq!(taken(&filter), [true, false, false, false]);
        filter.others = vec![(MacAddr(ALL), None), (MacAddr(GROUP), None)];
        assert_eq!(taken(&filter), [true, true, false, true]);
        filter.others.clear();
        filter.all_multicast = true;
        assert_eq!(taken(&filter), [true, true, false, true]);
        filter.all_multicast = false;
        filter.all_unicast = true;
        assert_eq!(taken(&filter), [true, false, true, false]);
    }

    #[test]
    fn an_entry_may_name_a_queue() {
        let queue = Some(Steered { class: 1, queue: 2 });
        let filter = MacFilter { others: vec![(MacAddr(OTHER), queue)], ..MacFilter::default() };
        assert_eq!(Stations::new(&filter).verdict(OTHER), Verdict::Taken(queue));
        let config =
            ReceiveConfig { vlans: Some(vec![(5, queue), (1, None)]), ..Default::default() };
        let vlans = Vlans::new(&config);
        assert_eq!(vlans.verdict(Some(0xe005)), Verdict::Taken(queue));
        assert_eq!(vlans.verdict(Some(1)), Verdict::Taken(None));
        assert_eq!(vlans.verdict(Some(2)), Verdict::Refused);
        assert_eq!(vlans.verdict(None), Verdict::Taken(None));
    }
}
