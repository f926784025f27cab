// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a layout says of a demultiplexer.

use crate::dpl::{Fields, Properties, Symbol, Writing, symbol};
use mc_abi::dpdmux::Create;

/// `DPDMUX_OPT_*` of firmware 10.40 (`fsl_dpdmux.h`).
const OPTIONS: &[Symbol] = &[
    symbol("DPDMUX_OPT_BRIDGE_EN", 0x02),
    symbol("DPDMUX_OPT_CLS_MASK_SUPPORT", 0x20),
    symbol("DPDMUX_OPT_AUTO_MAX_FRAME_LEN", 0x40),
];

/// `DPDMUX_METHOD_*`.
const METHODS: &[Symbol] = &[
    symbol("DPDMUX_METHOD_NONE", 0),
    symbol("DPDMUX_METHOD_C_VLAN_MAC", 1),
    symbol("DPDMUX_METHOD_MAC", 2),
    symbol("DPDMUX_METHOD_C_VLAN", 3),
    symbol("DPDMUX_METHOD_S_VLAN", 4),
    symbol("DPDMUX_METHOD_CUSTOM", METHOD_CUSTOM),
];
const METHOD_CUSTOM: u64 = 5;
/// What `restool` uses; the firmware's own default is documented nowhere.
const DEFAULT_METHOD: u64 = 1;

const MANIPULATIONS: &[Symbol] =
    &[symbol("DPDMUX_MANIP_NONE", 0), symbol("DPDMUX_MANIP_ADD_REMOVE_S_VLAN", 1)];

impl Properties for Create {
    fn read(fields: &Fields<'_>, _id: u32) -> Self {
        let method = fields.choice("method", METHODS).unwrap_or(DEFAULT_METHOD);
        let num_ifs = fields.half("num_ifs", u16::MAX - 1);
        if num_ifs == 0 {
            fields.error_in("num_ifs", "a demultiplexer needs a downlink", "use 1 or more");
        }
        let default_if = fields.half("default_if", u16::MAX);
        if default_if > num_ifs {
            let reason = format!("{default_if} is more than num_ifs, which is {num_ifs}");
            fields.error_in("default_if", reason, "use 0 (none) or a downlink");
        }
        let custom_key_size = fields.byte("custom_key_size", 56);
        if custom_key_size != 0 && method != METHOD_CUSTOM {
            let remedy = "use method DPDMUX_METHOD_CUSTOM, or leave the property out";
            fields.error_in("custom_key_size", "only the custom method has such a key", remedy);
        }
        Self {
            method: method as u8,
            manip: fields.choice("manip", MANIPULATIONS).unwrap_or(0) as u8,
            num_ifs,
            default_if,
            options: fields.options("options", OPTIONS, &[], 64),
            max_dmat_entries: fields.half("max_dmat_entries", u16::MAX),
            max_mc_groups: fields.half("max_mc_groups", u16::MAX),
            max_vlan_ids: fields.half("max_vlan_ids", u16::MAX),
            mem_size: fields.half("mem_size", u16::MAX),
            custom_key_size,
        }
    }

    fn write(&self, to: &mut Writing) {
        to.symbol("method", self.method.into(), METHODS);
        to.symbol("manip", self.manip.into(), MANIPULATIONS);
        to.number("num_ifs", self.num_ifs);
        to.nonzero("default_if", self.default_if);
        to.options("options", self.options, OPTIONS);
        to.nonzero("max_dmat_entries", self.max_dmat_entries);
        to.nonzero("max_mc_groups", self.max_mc_groups);
        to.nonzero("max_vlan_ids", self.max_vlan_ids);
        to.nonzero("mem_size", self.mem_size);
        to.nonzero("custom_key_size", self.custom_key_size);
    }
}
