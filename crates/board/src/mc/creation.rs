// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! From the configuration of an object in a layout to its create command.

use super::{
    State, dpaiop::Tile, dpbp::BufferPool, dpci::CommunicationInterface, dpcon::Concentrator,
    dpdbg::DebugInterface, dpdcei::CompressionInterface, dpdmai::DmaInterface, dpio::QueuingPortal,
    dpmcp::CommandPortal, dprtc::RealTimeClock, dpseci::CryptoInterface,
};
use crate::dpl::{
    Config, Dpc,
    family::{
        self, DpaiopConfig, DpbpConfig, DpciConfig, DpconConfig, DpdbgConfig, DpdceiConfig,
        DpdmaiConfig, DpioConfig, DpmcpConfig, DprtcConfig, DpseciConfig,
    },
};
use mc_abi::{
    Status, dpaiop, dpbp, dpci, dpcon, dpdbg, dpdcei, dpdmai, dpio, dpmcp, dprtc, dpseci,
};

/// Makes the object `id` in `container` as its configuration says.
///
/// # Errors
/// What the family's creation refuses; [`Status::UnsupportedOperation`] for a
/// family that the board does not have.
pub(crate) fn create(
    state: &mut State,
    id: u32,
    container: u32,
    config: &Config,
) -> Result<u32, Status> {
    macro_rules! create {
        ($body:ty, $config:expr) => {
            state.create::<$body>(Some(id), container, container, &$config.into())
        };
    }
    match config {
        Config::Dpbp(config) => create!(BufferPool, config),
        Config::Dpcon(config) => create!(Concentrator, config),
        Config::Dpio(config) => create!(QueuingPortal, config),
        Config::Dpmcp(config) => create!(CommandPortal, config),
        Config::Dpci(config) => create!(CommunicationInterface, config),
        Config::Dpseci(config) => create!(CryptoInterface, config),
        Config::Dpdmai(config) => create!(DmaInterface, config),
        Config::Dpdcei(config) => create!(CompressionInterface, config),
        Config::Dprtc(config) => create!(RealTimeClock, config),
        Config::Dpaiop(config) => create!(Tile, config),
        Config::Dpdbg(config) => create!(DebugInterface, config),
        Config::Dpsw(config) => create!(super::dpsw::Switch, config),
        Config::Dpdmux(config) => create!(super::dpdmux::Demultiplexer, config),
        Config::Dpmac(config) => create!(super::dpmac::Port, config),
        Config::Dpni(config) => {
            use super::dpni::Interface;
            let made = create!(Interface, config)?;
            if let Some(address) = config.mac_address {
                state.body_mut::<Interface>(made)?.set_born_address(mc_abi::MacAddr(address));
            }
            Ok(made)
        }
    }
}

/// Keeps what the configuration knows of ports, for those that are made next.
pub(crate) fn configure_ports(state: &mut State, configuration: &Dpc) {
    state.ports.clone_from(&configuration.ports);
}

impl From<&DpbpConfig> for dpbp::Create {
    fn from(_: &DpbpConfig) -> Self {
        Self {}
    }
}

impl From<&DpconConfig> for dpcon::Create {
    fn from(config: &DpconConfig) -> Self {
        Self { num_priorities: config.num_priorities }
    }
}

impl From<&DpioConfig> for dpio::Create {
    fn from(config: &DpioConfig) -> Self {
        Self { channel_mode: config.channel_mode, num_priorities: config.num_priorities }
    }
}

impl From<&DpmcpConfig> for dpmcp::Create {
    fn from(config: &DpmcpConfig) -> Self {
        Self {
            portal: config.portal_id.unwrap_or(dpmcp::PORTAL_FROM_POOL),
            options: config.options,
        }
    }
}

impl From<&DpciConfig> for dpci::Create {
    fn from(config: &DpciConfig) -> Self {
        Self { num_of_priorities: config.num_of_priorities, options: config.options }
    }
}

impl From<&DpseciConfig> for dpseci::Create {
    /// As many queues to the accelerator as back from it.
    fn from(config: &DpseciConfig) -> Self {
        let queues = config.priorities.len().min(16) as u8;
        let at = |i: usize| config.priorities.get(i).copied().unwrap_or(0);
        Self {
            priorities: std::array::from_fn(at),
            num_tx_queues: queues,
            num_rx_queues: queues,
            options: config.options,
            priorities2: std::array::from_fn(|i| at(8 + i)),
        }
    }
}

impl From<&DpdmaiConfig> for dpdmai::Create {
    fn from(config: &DpdmaiConfig) -> Self {
        let at = |i: usize| config.priorities.get(i).copied().unwrap_or(0);
        Self {
            num_queues: config.num_queues,
            priorities: std::array::from_fn(at),
            options: config.options,
        }
    }
}

impl From<&DpdceiConfig> for dpdcei::Create {
    fn from(config: &DpdceiConfig) -> Self {
        Self { engine: config.engine, priority: config.priority }
    }
}

impl From<&DprtcConfig> for dprtc::Create {
    fn from(_: &DprtcConfig) -> Self {
        Self {}
    }
}

impl From<&DpaiopConfig> for dpaiop::Create {
    fn from(config: &DpaiopConfig) -> Self {
        Self { aiop_id: config.aiop_id, aiop_container_id: config.aiop_container_id }
    }
}

impl From<&DpdbgConfig> for dpdbg::Create {
    fn from(config: &DpdbgConfig) -> Self {
        Self {
            dpdbg_id: config.dpdbg_id,
            dpdbg_container_id: config.dpdbg_container_id.unwrap_or_default(),
        }
    }
}

impl From<&family::DpmacConfig> for mc_abi::dpmac::Create {
    fn from(config: &family::DpmacConfig) -> Self {
        Self { mac: config.mac_id.into() }
    }
}

impl From<&family::DpniConfig> for mc_abi::dpni::Create {
    fn from(config: &family::DpniConfig) -> Self {
        Self {
            options: config.options,
            num_queues: config.num_queues,
            num_tcs: config.num_tcs,
            mac_filter_entries: config.mac_filter_entries,
            num_channels: config.num_channels,
            vlan_filter_entries: config.vlan_filter_entries,
            qos_entries: config.qos_entries,
            fs_entries: config.fs_entries,
            num_rx_tcs: config.num_rx_tcs,
            num_cgs: config.num_cgs,
            num_opr: config.num_opr,
            dist_key_size: config.dist_key_size,
        }
    }
}

impl From<&family::DpswConfig> for mc_abi::dpsw::Create {
    fn from(config: &family::DpswConfig) -> Self {
        Self {
            num_ifs: config.num_ifs,
            max_fdbs: config.max_fdbs,
            max_meters_per_if: config.max_meters_per_if,
            component_type: config.component_type,
            flooding_cfg: config.flooding_cfg,
            broadcast_cfg: config.broadcast_cfg,
            mem_size: config.mem_size,
            max_vlans: config.max_vlans,
            max_fdb_entries: config.max_fdb_entries,
            fdb_aging_time: config.fdb_aging_time,
            max_fdb_mc_groups: config.max_fdb_mc_groups,
            options: config.options,
        }
    }
}

impl From<&family::DpdmuxConfig> for mc_abi::dpdmux::Create {
    fn from(config: &family::DpdmuxConfig) -> Self {
        Self {
            method: config.method,
            manip: config.manip,
            num_ifs: config.num_ifs,
            default_if: config.default_if,
            custom_key_size: config.custom_key_size,
            max_dmat_entries: config.max_dmat_entries,
            max_mc_groups: config.max_mc_groups,
            max_vlan_ids: config.max_vlan_ids,
            mem_size: config.mem_size,
            options: config.options,
        }
    }
}
