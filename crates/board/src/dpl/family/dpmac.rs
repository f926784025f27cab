// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Ethernet port: what a layout says of a `dpmac`.

use crate::dpl::fields::Fields;

/// What the create command of a `dpmac` carries. How the port is linked is a
/// fact of the board and stands in its data path configuration, not in a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DpmacConfig {
    /// The hardware MAC, from 1: the same number as the object's id.
    pub mac_id: u16,
}

impl DpmacConfig {
    pub(super) fn read(fields: &Fields<'_>, id: u32) -> Self {
        let mac_id = match u16::try_from(id) {
            Ok(mac_id) if mac_id > 0 => mac_id,
            _ => {
                let remedy = "name the node after the MAC, such as dpmac@1";
                fields.error(format!("{id} is no hardware MAC, they count from 1"), remedy);
                0
            }
        };
        if let Some(given) = fields.number("mac_id", 0..=u32::MAX).filter(|given| *given != id) {
            let reason = format!("{given} is not the {id} of the node's name");
            fields.error_in("mac_id", reason, "make them equal, or leave the property out");
        }
        Self { mac_id }
    }
}
