// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a layout says of a switch.

use crate::dpl::{Fields, Properties, Symbol, Writing, symbol};
use mc_abi::dpsw::Create;

/// `DPSW_OPT_*` of firmware 10.40 (`fsl_dpsw.h`).
const OPTIONS: &[Symbol] = &[
    symbol("DPSW_OPT_FLOODING_DIS", 0x001),
    symbol("DPSW_OPT_MULTICAST_DIS", 0x004),
    symbol("DPSW_OPT_CTRL_IF_DIS", 0x010),
    symbol("DPSW_OPT_FLOODING_METERING_DIS", 0x020),
    symbol("DPSW_OPT_METERING_EN", 0x040),
    symbol("DPSW_OPT_BP_PER_IF", 0x080),
    symbol("DPSW_OPT_LAG_DIS", 0x100),
];

const COMPONENT_TYPES: &[Symbol] =
    &[symbol("DPSW_COMPONENT_TYPE_C_VLAN", 0), symbol("DPSW_COMPONENT_TYPE_S_VLAN", 1)];
const FLOODING: &[Symbol] =
    &[symbol("DPSW_FLOODING_PER_VLAN", 0), symbol("DPSW_FLOODING_PER_FDB", 1)];
const BROADCAST: &[Symbol] =
    &[symbol("DPSW_BROADCAST_PER_OBJECT", 0), symbol("DPSW_BROADCAST_PER_FDB", 1)];

/// `DPSW_MAX_IF`.
const MAX_INTERFACES: u32 = 64;
/// Neither header nor manual give the firmware's default; `restool` uses 4.
const DEFAULT_INTERFACES: u16 = 4;

impl Properties for Create {
    /// Layouts call the entries of a forwarding table `num_fdb_entries`.
    fn read(fields: &Fields<'_>, _id: u32) -> Self {
        let num_ifs = fields.number("num_ifs", 1..=MAX_INTERFACES);
        let by_dpl_name = fields.half("num_fdb_entries", u16::MAX);
        let by_api_name = fields.half("max_fdb_entries", u16::MAX);
        Self {
            num_ifs: num_ifs.and_then(|n| u16::try_from(n).ok()).unwrap_or(DEFAULT_INTERFACES),
            options: fields.options("options", OPTIONS, &[], 64),
            max_vlans: fields.half("max_vlans", u16::MAX),
            max_meters_per_if: fields.byte("max_meters_per_if", u8::MAX),
            max_fdbs: fields.byte("max_fdbs", u8::MAX),
            max_fdb_entries: by_dpl_name.max(by_api_name),
            fdb_aging_time: fields.half("fdb_aging_time", u16::MAX),
            max_fdb_mc_groups: fields.half("max_fdb_mc_groups", u16::MAX),
            mem_size: fields.half("mem_size", u16::MAX),
            component_type: fields.choice("component_type", COMPONENT_TYPES).unwrap_or(0) as u8,
            flooding_cfg: fields.choice("flooding_cfg", FLOODING).unwrap_or(0) as u8,
            broadcast_cfg: fields.choice("broadcast_cfg", BROADCAST).unwrap_or(0) as u8,
        }
    }

    fn write(&self, to: &mut Writing) {
        to.number("num_ifs", self.num_ifs);
        to.options("options", self.options, OPTIONS);
        to.nonzero("max_vlans", self.max_vlans);
        to.nonzero("max_meters_per_if", self.max_meters_per_if);
        to.nonzero("max_fdbs", self.max_fdbs);
        to.nonzero("num_fdb_entries", self.max_fdb_entries);
        to.nonzero("fdb_aging_time", self.fdb_aging_time);
        to.nonzero("max_fdb_mc_groups", self.max_fdb_mc_groups);
        to.nonzero("mem_size", self.mem_size);
        to.symbol("component_type", self.component_type.into(), COMPONENT_TYPES);
        to.symbol("flooding_cfg", self.flooding_cfg.into(), FLOODING);
        to.symbol("broadcast_cfg", self.broadcast_cfg.into(), BROADCAST);
    }
}
