// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The object families that a layout can define, and the configuration of each.
//!
//! A configuration has the fields of the family's create command (firmware
//! 10.40). Where a property is absent, it holds what that command says for
//! "the firmware's default", mostly 0.

pub mod dpaiop;
pub mod dpbp;
pub mod dpci;
pub mod dpcon;
pub mod dpdbg;
pub mod dpdcei;
pub mod dpdmai;
pub mod dpdmux;
pub mod dpio;
pub mod dpmac;
pub mod dpmcp;
pub mod dpni;
pub mod dprtc;
pub mod dpseci;
pub mod dpsw;

use std::fmt;

use mc_abi::ObjectType;

use super::fields::{Fields, Writing, parse_number};

pub use dpaiop::DpaiopConfig;
pub use dpbp::DpbpConfig;
pub use dpci::DpciConfig;
pub use dpcon::DpconConfig;
pub use dpdbg::DpdbgConfig;
pub use dpdcei::DpdceiConfig;
pub use dpdmai::DpdmaiConfig;
pub use dpdmux::DpdmuxConfig;
pub use dpio::DpioConfig;
pub use dpmac::DpmacConfig;
pub use dpmcp::DpmcpConfig;
pub use dpni::DpniConfig;
pub use dprtc::DprtcConfig;
pub use dpseci::DpseciConfig;
pub use dpsw::DpswConfig;

/// A family of objects. Containers are no family here: a layout treats them
/// separately, as [`Container`](super::Container).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Network interface.
    Dpni,
    /// Ethernet port.
    Dpmac,
    /// Switch.
    Dpsw,
    /// Demultiplexer.
    Dpdmux,
    /// I/O portal.
    Dpio,
    /// Command portal.
    Dpmcp,
    /// Buffer pool.
    Dpbp,
    /// Concentrator.
    Dpcon,
    /// Communication interface.
    Dpci,
    /// Crypto interface.
    Dpseci,
    /// DMA interface.
    Dpdmai,
    /// Compression interface.
    Dpdcei,
    /// Real-time clock.
    Dprtc,
    /// I/O processor.
    Dpaiop,
    /// Debug object.
    Dpdbg,
}

impl Family {
    /// All families.
    pub const ALL: &[Family] = &[
        Family::Dpni,
        Family::Dpmac,
        Family::Dpsw,
        Family::Dpdmux,
        Family::Dpio,
        Family::Dpmcp,
        Family::Dpbp,
        Family::Dpcon,
        Family::Dpci,
        Family::Dpseci,
        Family::Dpdmai,
        Family::Dpdcei,
        Family::Dprtc,
        Family::Dpaiop,
        Family::Dpdbg,
    ];

    /// The name that commands and layouts use.
    pub fn as_str(self) -> &'static str {
        ObjectType::from(self).name()
    }

    /// The family of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|family| family.as_str() == name)
    }
}

impl From<Family> for ObjectType {
    fn from(family: Family) -> Self {
        match family {
            Family::Dpni => Self::Dpni,
            Family::Dpmac => Self::Dpmac,
            Family::Dpsw => Self::Dpsw,
            Family::Dpdmux => Self::Dpdmux,
            Family::Dpio => Self::Dpio,
            Family::Dpmcp => Self::Dpmcp,
            Family::Dpbp => Self::Dpbp,
            Family::Dpcon => Self::Dpcon,
            Family::Dpci => Self::Dpci,
            Family::Dpseci => Self::Dpseci,
            Family::Dpdmai => Self::Dpdmai,
            Family::Dpdcei => Self::Dpdcei,
            Family::Dprtc => Self::Dprtc,
            Family::Dpaiop => Self::Dpaiop,
            Family::Dpdbg => Self::Dpdbg,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The configuration of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is named after its family")]
pub enum Config {
    Dpni(DpniConfig),
    Dpmac(DpmacConfig),
    Dpsw(DpswConfig),
    Dpdmux(DpdmuxConfig),
    Dpio(DpioConfig),
    Dpmcp(DpmcpConfig),
    Dpbp(DpbpConfig),
    Dpcon(DpconConfig),
    Dpci(DpciConfig),
    Dpseci(DpseciConfig),
    Dpdmai(DpdmaiConfig),
    Dpdcei(DpdceiConfig),
    Dprtc(DprtcConfig),
    Dpaiop(DpaiopConfig),
    Dpdbg(DpdbgConfig),
}

impl Config {
    /// The family that this configures.
    pub fn family(&self) -> Family {
        match self {
            Config::Dpni(_) => Family::Dpni,
            Config::Dpmac(_) => Family::Dpmac,
            Config::Dpsw(_) => Family::Dpsw,
            Config::Dpdmux(_) => Family::Dpdmux,
            Config::Dpio(_) => Family::Dpio,
            Config::Dpmcp(_) => Family::Dpmcp,
            Config::Dpbp(_) => Family::Dpbp,
            Config::Dpcon(_) => Family::Dpcon,
            Config::Dpci(_) => Family::Dpci,
            Config::Dpseci(_) => Family::Dpseci,
            Config::Dpdmai(_) => Family::Dpdmai,
            Config::Dpdcei(_) => Family::Dpdcei,
            Config::Dprtc(_) => Family::Dprtc,
            Config::Dpaiop(_) => Family::Dpaiop,
            Config::Dpdbg(_) => Family::Dpdbg,
        }
    }

    /// What the properties of a node say about object `id` of `family`.
    pub(super) fn read(family: Family, id: u32, fields: &Fields<'_>) -> Self {
        match family {
            Family::Dpni => Config::Dpni(DpniConfig::read(fields)),
            Family::Dpmac => Config::Dpmac(DpmacConfig::read(fields, id)),
            Family::Dpsw => Config::Dpsw(DpswConfig::read(fields)),
            Family::Dpdmux => Config::Dpdmux(DpdmuxConfig::read(fields)),
            Family::Dpio => Config::Dpio(DpioConfig::read(fields)),
            Family::Dpmcp => Config::Dpmcp(DpmcpConfig::read(fields)),
            Family::Dpbp => Config::Dpbp(DpbpConfig::read(fields)),
            Family::Dpcon => Config::Dpcon(DpconConfig::read(fields)),
            Family::Dpci => Config::Dpci(DpciConfig::read(fields)),
            Family::Dpseci => Config::Dpseci(DpseciConfig::read(fields)),
            Family::Dpdmai => Config::Dpdmai(DpdmaiConfig::read(fields)),
            Family::Dpdcei => Config::Dpdcei(DpdceiConfig::read(fields)),
            Family::Dprtc => Config::Dprtc(DprtcConfig::read(fields)),
            Family::Dpaiop => Config::Dpaiop(DpaiopConfig::read(fields)),
            Family::Dpdbg => Config::Dpdbg(DpdbgConfig::read(fields)),
        }
    }

    /// The properties that say this.
    pub(super) fn write(&self, to: &mut Writing) {
        match self {
            // The node's name says it all.
            Config::Dpmac(_) => {}
            Config::Dpni(config) => config.write(to),
            Config::Dpsw(config) => config.write(to),
            Config::Dpdmux(config) => config.write(to),
            Config::Dpio(config) => config.write(to),
            Config::Dpmcp(config) => config.write(to),
            Config::Dpbp(config) => config.write(to),
            Config::Dpcon(config) => config.write(to),
            Config::Dpci(config) => config.write(to),
            Config::Dpseci(config) => config.write(to),
            Config::Dpdmai(config) => config.write(to),
            Config::Dpdcei(config) => config.write(to),
            Config::Dprtc(config) => config.write(to),
            Config::Dpaiop(config) => config.write(to),
            Config::Dpdbg(config) => config.write(to),
        }
    }
}

/// A list of hardware priorities, 1 to 8 each. Firmware 9 ended such a list by
/// a zero, which layouts of that age carry.
fn priorities(fields: &Fields<'_>, name: &'static str, most: usize) -> Option<Vec<u8>> {
    let mut cells = fields.cells(name)?;
    let given = cells.len();
    cells.truncate(cells.iter().rposition(|cell| *cell != 0).map_or(0, |last| last + 1));
    if cells.len() < given {
        fields.warn_in(name, "0 is no priority", "trailing zeros are ignored, remove them");
    }
    if cells.is_empty() || cells.len() > most {
        let reason = format!("found {} priorities", cells.len());
        fields.error_in(name, reason, &format!("give 1 to {most}"));
        return None;
    }
    if let Some(wrong) = cells.iter().find(|cell| !(1..=8).contains(*cell)) {
        fields.error_in(name, format!("{wrong} is no priority"), "use 1 to 8");
        return None;
    }
    Some(cells.into_iter().filter_map(|cell| u8::try_from(cell).ok()).collect())
}

/// A number that can be left to a pool: by absence, by -1, or by `symbol`.
pub(super) fn pooled(fields: &Fields<'_>, name: &'static str, symbol: &'static str) -> Option<u32> {
    let value = fields.bytes(name)?;
    if value.strip_suffix(&[0]) == Some(symbol.as_bytes()) {
        return None;
    }
    fields.number(name, 0..=u32::MAX).filter(|number| *number != u32::MAX)
}

/// The id in a name such as `dpni@0`: decimal as on real boards, or `0x`.
pub(super) fn parse_id(text: &str) -> Option<u32> {
    // Object ids are signed in the reference headers.
    parse_number(text).and_then(|id| u32::try_from(id).ok()).filter(|id| *id <= i32::MAX as u32)
}
