// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What an interface is made with: its attributes for life.

use crate::mc::refusal::{Because, Refusal};
use mc_abi::{
    Status,
    dpni::{self, options},
};

/// Most queues of a traffic class. The headers say 8, which is outdated: a
/// board runs 16, and the management client lets 32 through. Where the
/// firmware ends is not known.
const MAX_QUEUES: u8 = 32;
/// Most traffic classes: `fsl_dpni.h`, as all limits below.
const MAX_TX_TCS: u8 = 16;
/// Most traffic classes of what is received (`DPNI_MAX_TC`).
const MAX_RX_TCS: u8 = 8;
const MAX_MAC_FILTERS: u8 = 80;
const MAX_VLAN_FILTERS: u8 = 16;
const MAX_QOS_ENTRIES: u8 = 64;
const MAX_FS_ENTRIES: u16 = 1024;
/// Limits of the management client; the headers give none.
const MAX_CONGESTION_GROUPS: u8 = 128;
const MAX_ORDER_RECORDS: u16 = 128;
/// Longest key (`DPNI_MAX_KEY_SIZE`).
const MAX_KEY_SIZE: u8 = 56;
/// `DPNI_MAX_CHANNELS`.
const MAX_CHANNELS: u8 = 16;

/// MAC filters where none are asked for (board observation; the headers say
/// 80).
const DEFAULT_MAC_FILTERS: u8 = 16;
const DEFAULT_QOS_ENTRIES: u8 = 64;
const DEFAULT_FS_ENTRIES: u16 = 64;
/// Board: `fs_key_size` of `dpni.0` in `models/board/baselines/reference.json` of the
/// ledger, whose layout asks for none. The management client's manual says 24.
const DEFAULT_KEY_SIZE: u8 = MAX_KEY_SIZE;
/// Options that are taken and come back cleared (board: V-DPNI-9 of the ledger for this
/// one, which the headers of 10.39 do not know, V-DPNI-7 for a shared congestion
/// group where there is one class). Others that no header knows come back as they were
/// (board: bit 31, V-DPNI-5).
const HAS_REPLICATION: u32 = 1 << 14;

/// The checked configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bits of [`options`], and others that layouts carry (bit 31 is in use on
    /// boards and has no public name).
    pub options: u32,
    pub queues: u8,
    pub rx_tcs: u8,
    pub tx_tcs: u8,
    pub channels: u8,
    pub mac_filters: u8,
    pub vlan_filters: u8,
    pub qos_entries: u8,
    pub fs_entries: u16,
    pub key_size: u8,
    pub congestion_groups: u8,
    /// As asked for; 0: as many as queues or classes need.
    pub custom_order_records: u16,
}

impl Limits {
    /// Applies defaults and checks.
    ///
    /// # Errors
    /// [`Status::ConfigurationError`] for a number above its limit.
    pub fn of(request: &dpni::Create) -> Result<Self, Refusal> {
        let has = |option| request.options & option != 0;
        let tx_tcs = byte(request.num_tcs, 1, MAX_TX_TCS)?;
        let rx_tcs = byte(request.num_rx_tcs, tx_tcs.min(MAX_RX_TCS), MAX_RX_TCS)?;
        let qos_entries = byte(request.qos_entries, DEFAULT_QOS_ENTRIES, MAX_QOS_ENTRIES)?;
        let mac_filters = byte(request.mac_filter_entries, DEFAULT_MAC_FILTERS, MAX_MAC_FILTERS)?;
        let fs_entries = match request.fs_entries {
            0 => DEFAULT_FS_ENTRIES,
            entries if entries <= MAX_FS_ENTRIES => entries,
            _ => {
                return Err(Status::ConfigurationError
                    .because(format!("it has at most {MAX_FS_ENTRIES} steering entries")));
            }
        };
        if request.num_opr > MAX_ORDER_RECORDS {
            return Err(Status::ConfigurationError
                .because(format!("it has at most {MAX_ORDER_RECORDS} order restoration records")));
        }
        let groups = if has(options::SHARED_CONGESTION) { 1 } else { rx_tcs };
        let asked_groups = byte(request.num_cgs, groups, MAX_CONGESTION_GROUPS)?;
        let mut options = request.options & !HAS_REPLICATION;
        if rx_tcs == 1 {
            options &= !options::SHARED_CONGESTION;
        }
        Ok(Self {
            options,
            queues: byte(request.num_queues, 1, MAX_QUEUES)?,
            rx_tcs,
            tx_tcs,
            channels: byte(request.num_channels, 1, MAX_CHANNELS)?,
            mac_filters: if has(options::NO_MAC_FILTER) { 0 } else { mac_filters },
            vlan_filters: byte(request.vlan_filter_entries, 0, MAX_VLAN_FILTERS)?,
            // With one class there is nothing to choose (board observation).
            qos_entries: if tx_tcs == 1 { 0 } else { qos_entries },
            fs_entries: if has(options::NO_FS) { 0 } else { fs_entries },
            key_size: byte(request.dist_key_size, DEFAULT_KEY_SIZE, MAX_KEY_SIZE)?,
            congestion_groups: if has(options::CUSTOM_CG) { asked_groups } else { groups },
            custom_order_records: if has(options::CUSTOM_OPR) { request.num_opr } else { 0 },
        })
    }

    /// Whether it was made with an option.
    pub const fn has(&self, option: u32) -> bool {
        self.options & option != 0
    }

    /// Senders of a transmit traffic class.
    pub const fn senders(&self) -> u8 {
        if self.has(options::SINGLE_SENDER) { 1 } else { self.queues }
    }

    /// Order point records: one a class is 8 for an interface of 16 classes, and none
    /// without the option (board: V-DPNI-5 and V-DPNI-8 of the ledger).
    pub const fn order_records(&self) -> u16 {
        if !self.has(options::HAS_OPR) {
            0
        } else if self.custom_order_records > 0 {
            self.custom_order_records
        } else if self.has(options::OPR_PER_TC) {
            self.rx_tcs as u16
        } else {
            self.rx_tcs as u16 * self.queues as u16
        }
    }

    /// The attributes as a command reports them, on a chip with this version of
    /// the Ethernet engine.
    pub const fn attributes(&self, wriop_version: u16) -> dpni::GetAttributesReply {
        dpni::GetAttributesReply {
            options: self.options,
            num_queues: self.queues,
            num_rx_tcs: self.rx_tcs,
            mac_filter_entries: self.mac_filters,
            num_tx_tcs: self.tx_tcs,
            vlan_filter_entries: self.vlan_filters,
            num_channels: self.channels,
            qos_entries: self.qos_entries,
            fs_entries: self.fs_entries,
            num_opr: self.order_records(),
            qos_key_size: if self.qos_entries == 0 { 0 } else { self.key_size },
            fs_key_size: self.key_size,
            wriop_version,
            num_cgs: self.congestion_groups,
        }
    }
}

fn byte(asked: u8, default: u8, most: u8) -> Result<u8, Refusal> {
    match asked {
        0 => Ok(default),
        asked if asked <= most => Ok(asked),
        _ => Err(Status::ConfigurationError.because(format!("{asked} is more than {most}"))),
    }
}
