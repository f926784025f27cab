// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the guest has said of where its objects' interrupts go.

use crate::host::Msi;
use mc_abi::ObjectId;
use std::collections::BTreeMap;

/// The guest's settings: they never reach the Management Complex, which has the host's.
#[derive(Debug, Default)]
pub(crate) struct Interrupts {
    set: BTreeMap<(ObjectId, u8), Setting>,
}

#[derive(Debug, Clone, Copy)]
struct Setting {
    msi: Msi,
    user: u32,
}

impl Interrupts {
    /// Notes a setting; address 0 is none.
    pub fn set(&mut self, object: ObjectId, index: u8, msi: Msi, user: u32) {
        self.set.insert((object, index), Setting { msi, user });
    }

    /// Value, address and the number that came with them; zeros where nothing was set.
    pub fn get(&self, object: ObjectId, index: u8) -> (u32, u64, u32) {
        let setting = self.set.get(&(object, index));
        setting.map_or((0, 0, 0), |setting| (setting.msi.data, setting.msi.address, setting.user))
    }

    pub fn forget(&mut self, object: ObjectId) {
        self.set.retain(|(owner, _), _| *owner != object);
    }

    /// Forgets all; gives which there were.
    pub fn forget_all(&mut self) -> Vec<(ObjectId, u8)> {
        std::mem::take(&mut self.set).into_keys().collect()
    }
}
