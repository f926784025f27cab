// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Rules: which frames go to which interface.

use crate::mc::refusal::{Because, Refusal};
use crate::{
    mc::rules::{self, KeyAndMask, KeyLimits},
    wriop::{DemuxMethod, KeyProfile, Rule},
};
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
    /// The key's composition.
    key: Option<KeyProfile>,
    custom: Vec<Rule<u16>>,
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
    ) -> Result<(), Refusal> {
        let key = key(limits, rule.address, rule.vlan_id)?;
        if let Some(interfaces) = self.layer2.get_mut(&key) {
            // A unicast address has one interface.
            if !group(key.0) || !interfaces.insert(rule.if_id) {
                return Err(Status::ConfigurationError.because("there is such a rule"));
            }
            return Ok(());
        }
        let groups = self.layer2.keys().filter(|(address, _)| group(*address)).count();
        if self.layer2.len() >= usize::from(limits.max_dmat_entries)
            || (group(key.0) && groups >= usize::from(limits.max_mc_groups))
            || self.too_many_vlans(limits, key.1)
        {
            return Err(Status::NoResource.because("the table is full"));
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
    ) -> Result<(), Refusal> {
        let key = key(limits, rule.address, rule.vlan_id)?;
        let interfaces = self
            .layer2
            .get_mut(&key)
            .ok_or_else(|| Status::NoResource.because("there is no such rule"))?;
        if !interfaces.remove(&rule.if_id) {
            return Err(Status::NoResource
                .because(format!("the rule does not name interface {}", rule.if_id)));
        }
        if interfaces.is_empty() {
            self.layer2.remove(&key);
        }
        Ok(())
    }

    /// Checks that the key of custom rules can be composed now.
    ///
    /// # Errors
    /// [`Status::ConfigurationError`] where the method is another one,
    /// [`Status::InvalidState`] while there are rules with another key.
    pub fn check_key(&self, limits: &dpdmux::Create) -> Result<(), Refusal> {
        key_limits(limits)?;
        if self.custom.is_empty() {
            Ok(())
        } else {
            Err(Status::InvalidState.because("there are rules with another key: remove them first"))
        }
    }

    /// Composes the key of custom rules.
    pub fn set_key(&mut self, key: KeyProfile) {
        self.key = Some(key);
    }

    /// Adds a custom rule.
    ///
    /// # Errors
    /// [`Status::InvalidState`] before there is a key, [`Status::NoResource`]
    /// where the table is full.
    pub fn add_custom(
        &mut self,
        limits: &dpdmux::Create,
        key: KeyAndMask,
        add: &dpdmux::AddCustomClsEntry,
    ) -> Result<(), Refusal> {
        if self.key.is_none() {
            return Err(Status::InvalidState.because("no key is set"));
        }
        let most = MAX_CUSTOM.min(limits.max_dmat_entries.into());
        rules::put(&mut self.custom, key, add.entry_index, add.dest_if, false, most)
    }

    /// Removes a custom rule.
    ///
    /// # Errors
    /// [`Status::NoResource`] where there is none.
    pub fn remove_custom(&mut self, key: &KeyAndMask) -> Result<(), Refusal> {
        rules::take(&mut self.custom, key)
    }

    /// The rules of layer 2 with their interfaces, a bitmap.
    pub fn layer2(&self) -> impl Iterator<Item = ((MacAddr, u16), u64)> + '_ {
        let set = |interfaces: &BTreeSet<u16>| interfaces.iter().fold(0, |set, at| set | bit(*at));
        self.layer2.iter().map(move |(key, interfaces)| (*key, set(interfaces)))
    }

    /// The custom rules.
    pub fn custom(&self) -> &[Rule<u16>] {
        &self.custom
    }

    /// The rules as the data plane needs them.
    pub fn program(&self, limits: &dpdmux::Create) -> DemuxMethod {
        match limits.method {
            method::C_VLAN_MAC => DemuxMethod::StationsInVlans(self.layer2().collect()),
            method::MAC => {
                DemuxMethod::Stations(self.layer2().map(|((mac, _), set)| (mac, set)).collect())
            }
            method::C_VLAN | method::S_VLAN => DemuxMethod::Vlans {
                service: limits.method == method::S_VLAN,
                rules: self.layer2().map(|((_, vlan), set)| (vlan, set)).collect(),
            },
            method::CUSTOM => match &self.key {
                Some(key) => DemuxMethod::Custom { key: key.clone(), rules: self.custom.clone() },
                None => DemuxMethod::None,
            },
            _ => DemuxMethod::None,
        }
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
fn key(limits: &dpdmux::Create, address: MacAddr, vlan: u16) -> Result<(MacAddr, u16), Refusal> {
    const LAST_VLAN: u16 = 4095;
    let key = match limits.method {
        method::C_VLAN_MAC => (address, vlan),
        method::MAC => (address, 0),
        method::C_VLAN | method::S_VLAN => (MacAddr::default(), vlan),
        _ => return Err(Status::ConfigurationError.because("the method has no rules of layer 2")),
    };
    if key.1 > LAST_VLAN {
        Err(Status::ConfigurationError.because(format!("a VLAN is at most {LAST_VLAN}")))
    } else {
        Ok(key)
    }
}

fn group(address: MacAddr) -> bool {
    let [first, ..] = address.0;
    first & 1 == 1
}

/// Which keys custom rules have.
///
/// # Errors
/// [`Status::ConfigurationError`] where the method is another one.
pub(super) fn key_limits(limits: &dpdmux::Create) -> Result<KeyLimits, Refusal> {
    if limits.method != method::CUSTOM {
        return Err(Status::ConfigurationError.because("the method is not CUSTOM"));
    }
    // A size that was not given at creation is not checked.
    let size = if limits.custom_key_size == 0 { MAX_KEY_SIZE } else { limits.custom_key_size };
    Ok(KeyLimits { size, masks: limits.options & options::CLS_MASK_SUPPORT != 0 })
}

/// A set of one interface.
fn bit(interface: u16) -> u64 {
    1u64.checked_shl(interface.into()).unwrap_or(0)
}
