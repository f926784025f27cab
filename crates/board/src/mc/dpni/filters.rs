// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Filters: which frames the interface takes in.

use super::{Answer, Call, Limits, State, addressed};
use crate::mc::refusal::{Because, Refusal};
use mc_abi::{
    MacAddr, Status,
    dpni::{self, filters::Command},
};

/// The address of all stations.
const BROADCAST: MacAddr = MacAddr([0xff; 6]);
/// VLANs are numbers of 12 bits.
const MAX_VLAN: u16 = 0xfff;
/// Flag of an entry that names a queue.
const HAS_QUEUE: u8 = 1;

/// Addresses and VLANs.
#[derive(Debug)]
pub(super) struct Settings {
    /// All zeros: none was set.
    pub primary: MacAddr,
    pub multicast_promisc: bool,
    pub unicast_promisc: bool,
    pub macs: Vec<(MacAddr, Option<Queue>)>,
    pub vlan_filter: bool,
    pub vlans: Vec<(u16, Option<Queue>)>,
}

/// A queue that matching frames go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Queue {
    pub tc: u8,
    pub flow: u8,
}

impl Settings {
    /// Only the primary address passes.
    pub fn new(primary: MacAddr) -> Self {
        Self {
            primary,
            multicast_promisc: false,
            unicast_promisc: false,
            macs: Vec::new(),
            vlan_filter: false,
            vlans: Vec::new(),
        }
    }
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    let interface = addressed(state, call)?;
    let limits = interface.limits;
    let filters = &mut interface.settings.filters;
    match command {
        Command::SetMulticastPromisc(set) => filters.multicast_promisc = set.enable,
        Command::GetMulticastPromisc(get) => {
            let enabled = filters.multicast_promisc;
            return call.reply(get, dpni::GetMulticastPromiscReply { enabled });
        }
        Command::SetUnicastPromisc(set) => filters.unicast_promisc = set.enable,
        Command::GetUnicastPromisc(get) => {
            let enabled = filters.unicast_promisc;
            return call.reply(get, dpni::GetUnicastPromiscReply { enabled });
        }
        Command::SetPrimaryMacAddr(set) if set.address.is_multicast() => {
            return Err(Status::ConfigurationError.because("a station has no multicast address"));
        }
        Command::SetPrimaryMacAddr(set) => filters.primary = set.address,
        Command::GetPrimaryMacAddr(get) => {
            let address = filters.primary;
            return call.reply(get, dpni::GetPrimaryMacAddrReply { address });
        }
        Command::AddMacAddr(add) => {
            let queue = queue(&limits, add.flags, add.tc, add.flow)?;
            put(&mut filters.macs, add.address, queue, limits.mac_filters)?;
        }
        Command::RemoveMacAddr(remove) => take(&mut filters.macs, remove.address)?,
        // Broadcast is no multicast here: Linux adds it once, when it takes the
        // interface, and clears all multicast addresses many times after that.
        Command::ClearMacFilters(clear) => filters.macs.retain(|(address, _)| match address {
            &BROADCAST => true,
            group if group.is_multicast() => !clear.multicast,
            _ => !clear.unicast,
        }),
        Command::EnableVlanFilter(enable) => {
            if enable.enable && limits.vlan_filters == 0 {
                return Err(Status::NoResource.because("it was made without VLAN filters"));
            }
            filters.vlan_filter = enable.enable;
        }
        Command::AddVlanId(add) => {
            if add.vlan > MAX_VLAN {
                return Err(
                    Status::ConfigurationError.because(format!("a VLAN is at most {MAX_VLAN}"))
                );
            }
            let queue = queue(&limits, add.flags, add.tc, add.flow)?;
            put(&mut filters.vlans, add.vlan, queue, limits.vlan_filters)?;
        }
        Command::RemoveVlanId(remove) => take(&mut filters.vlans, remove.vlan)?,
        Command::ClearVlanFilters(_) => filters.vlans.clear(),
    }
    Ok(Answer::DONE)
}

/// The queue that an entry names.
fn queue(limits: &Limits, flags: u8, tc: u8, flow: u8) -> Result<Option<Queue>, Refusal> {
    if flags & HAS_QUEUE == 0 {
        Ok(None)
    } else if tc < limits.rx_tcs && flow < limits.queues {
        Ok(Some(Queue { tc, flow }))
    } else {
        Err(Status::ConfigurationError.because(format!("there is no queue {flow} in class {tc}")))
    }
}

/// Adds an entry, or gives the one that is there another queue.
///
/// # Errors
/// [`Status::NoResource`] where the table is full.
fn put<K: PartialEq>(
    table: &mut Vec<(K, Option<Queue>)>,
    key: K,
    queue: Option<Queue>,
    most: u8,
) -> Result<(), Refusal> {
    if let Some(entry) = table.iter_mut().find(|entry| entry.0 == key) {
        entry.1 = queue;
        return Ok(());
    }
    if table.len() >= usize::from(most) {
        return Err(Status::NoResource.because(format!("the table has room for {most}")));
    }
    table.push((key, queue));
    Ok(())
}

/// Removes an entry.
///
/// # Errors
/// [`Status::NoResource`] where there is none.
fn take<K: PartialEq>(table: &mut Vec<(K, Option<Queue>)>, key: K) -> Result<(), Refusal> {
    let at = table
        .iter()
        .position(|entry| entry.0 == key)
        .ok_or_else(|| Status::NoResource.because("there is no such entry"))?;
    table.remove(at);
    Ok(())
}
