// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Rules: which frames go to which interface.

use mc_abi::{
    MacAddr, Status,
    dpdmux::{self, MAX_KEY_SIZE, method, options},
};
use std::collections::{BTreeMap, BTreeSet};

/// The rules of a demultiplexer.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// Interfaces of each address and VLAN; several for group addresses.
    layer2: BTreeMap<(MacAddr, u16), BTreeSet<u16>>,
    /// I/O virtual address of the key's composition.
    key: Option<u64>,
    custom: Vec<dpdmux::AddCustomClsEntry>,
}

/// Firmware up to 10.39 keeps no more custom rules than this, whatever it was
/// asked for (change log of firmware 10.40).
const MAX_CUSTOM: usize = 64;

impl Rules {
    /// Adds a rule of layer 2.
    ///
    /// # Errors
    /// [`Status::ConfigurationError`] where the method knows no such rules or
    /// the rule is there, [`Status::NoResource`] where the table is full.
    pub fn add(
        &mut self,
        limits: &dpdmux::Create,
        rule: &dpdmux::IfAddL2Rule,
    ) -> Result<(), Status> {
        let key = key(limits, rule.address, rule.vlan_id)?;
        if let Some(interfaces) = self.layer2.get_mut(&key) {
            // A unicast address has one interface.
            if !group(key.0) || !interfaces.insert(rule.if_id) {
                return Err(Status::ConfigurationError);
            }
            return Ok(());
        }
        let groups = self.layer2.keys().filter(|(address, _)| group(*address)).count();
        if self.layer2.len() >= usize::from(limits.max_dmat_entries)
            || (group(key.0) && groups >= usize::from(limits.max_mc_groups))
            || self.too_many_vlans(limits, key.1)
        {
            return Err(Status::NoResource);
        }
        self.layer2.insert(key, BTreeSet::from([rule.if_id]));
        Ok(())
    }

    fn too_many_vlans(&self, limits: &dpdmux::Create, vlan: u16) -> bool {
        // Elsewhere the VLAN is the key itself.
        if limits.method != method::C_VLAN_MAC {
            return false;
        }
        let mut vlans: BTreeSet<u16> = self.layer2.keys().map(|(_, vlan)| *vlan).collect();
        vlans.insert(vlan);
        vlans.len() > usize::from(limits.max_vlan_ids)
    }

    /// Removes a rule of layer 2.
    ///
    /// # Errors
    /// [`Status::ConfigurationError`] where the method knows no such rules,
    /// [`Status::NoResource`] where there is none.
    pub fn remove(
        &mut self,
        limits: &dpdmux::Create,
        rule: &dpdmux::IfRemoveL2Rule,
    ) -> Result<(), Status> {
        let key = key(limits, rule.address, rule.vlan_id)?;
        let interfaces = self.layer2.get_mut(&key).ok_or(Status::NoResource)?;
        if !interfaces.remove(&rule.if_id) {
            return Err(Status::NoResource);
        }
        if interfaces.is_empty() {
            self.layer2.remove(&key);
        }
        Ok(())
    }

    /// Composes the key of custom rules.
    ///
    /// # Errors
    /// [`Status::ConfigurationError`] where the method is another one,
    /// [`Status::InvalidState`] while there are rules with another key.
    pub fn set_key(
        &mut self,
        limits: &dpdmux::Create,
        set: &dpdmux::SetCustomKey,
    ) -> Result<(), Status> {
        check_custom(limits, 0)?;
        if !self.custom.is_empty() {
            return Err(Status::InvalidState);
        }
        self.key = Some(set.key_cfg_iova);
        Ok(())
    }

    /// Adds a custom rule.
    ///
    /// # Errors
    /// As [`Self::set_key`]; [`Status::InvalidState`] before there is a key,
    /// [`Status::NoResource`] where the table is full.
    pub fn add_custom(
        &mut self,
        limits: &dpdmux::Create,
        add: &dpdmux::AddCustomClsEntry,
    ) -> Result<(), Status> {
        check_custom(limits, add.key_size)?;
        self.key.ok_or(Status::InvalidState)?;
        if self.custom.len() >= MAX_CUSTOM.min(usize::from(limits.max_dmat_entries)) {
            return Err(Status::NoResource);
        }
        self.custom.push(add.clone());
        Ok(())
    }

    /// Removes a custom rule: that with the same key address, else (clients
    /// copy keys to fresh addresses, and the MC does not read guest memory) the
    /// youngest with a key of that size.
    ///
    /// # Errors
    /// As [`Self::set_key`]; [`Status::NoResource`] where there is none.
    pub fn remove_custom(
        &mut self,
        limits: &dpdmux::Create,
        remove: &dpdmux::RemoveCustomClsEntry,
    ) -> Result<(), Status> {
        check_custom(limits, remove.key_size)?;
        let masks = limits.options & options::CLS_MASK_SUPPORT != 0;
        let same = |rule: &dpdmux::AddCustomClsEntry| {
            rule.key_iova == remove.key_iova && (!masks || rule.mask_iova == remove.mask_iova)
        };
        let sized = |rule: &dpdmux::AddCustomClsEntry| rule.key_size == remove.key_size;
        let rules = &mut self.custom;
        let at = rules.iter().rposition(same).or_else(|| rules.iter().rposition(sized));
        rules.remove(at.ok_or(Status::NoResource)?);
        Ok(())
    }

    /// Removes rules, as far as they are not kept. Custom rules are kept with
    /// those for unicast addresses.
    pub fn reset(&mut self, keep_unicast: bool, keep_multicast: bool) {
        self.layer2.retain(
            |(address, _), _| {
                if group(*address) { keep_multicast } else { keep_unicast }
            },
        );
        if !keep_unicast {
            self.custom.clear();
            self.key = None;
        }
    }
}

/// What of a rule counts for the method; the rest is zero.
fn key(limits: &dpdmux::Create, address: MacAddr, vlan: u16) -> Result<(MacAddr, u16), Status> {
    const LAST_VLAN: u16 = 4095;
    let key = match limits.method {
        method::C_VLAN_MAC => (address, vlan),
        method::MAC => (address, 0),
        method::C_VLAN | method::S_VLAN => (MacAddr::default(), vlan),
        _ => return Err(Status::ConfigurationError),
    };
    if key.1 > LAST_VLAN { Err(Status::ConfigurationError) } else { Ok(key) }
}

fn group(address: MacAddr) -> bool {
    let [first, ..] = address.0;
    first & 1 == 1
}

fn check_custom(limits: &dpdmux::Create, key_size: u8) -> Result<(), Status> {
    // A size that was not given at creation is not checked.
    let most = if limits.custom_key_size == 0 { MAX_KEY_SIZE } else { limits.custom_key_size };
    if limits.method == method::CUSTOM && key_size <= most {
        Ok(())
    } else {
        Err(Status::ConfigurationError)
    }
}
