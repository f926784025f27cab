// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Switches. Layouts: `fsl_dpsw_cmd.h` of MC 10.40; what version brought which
//! field, from the same header of the releases since 10.2 and from Linux.
//!
//! The commands are written down by what they are about, one module each, and
//! can be named without the module. Sets of interfaces are bitmaps: bit 0 of
//! the first word is interface 0; the control interface has the number after
//! the last one.

pub mod control;
pub mod filters;
pub mod flow;
pub mod forwarding;
pub mod interface;
pub mod switch;
pub mod vlans;

pub use crate::common::Created;
pub use {control::*, filters::*, flow::*, forwarding::*, interface::*, switch::*, vlans::*};

command_groups! {
    /// The switch as a whole.
    Switch(switch),
    /// One interface: its switch, link, and what it lets in.
    Interface(interface),
    /// How an interface's frames are metered, scheduled and dropped.
    Flow(flow),
    /// Virtual networks.
    Vlans(vlans),
    /// Where a destination address leads.
    Forwarding(forwarding),
    /// Lists of rules that frames have to pass.
    Filters(filters),
    /// The interface through which software sends and receives.
    Control(control),
}

/// `DPSW_OPT_*` (`fsl_dpsw.h`): what a switch is created with.
pub mod options {
    /// No flooding.
    pub const FLOODING_DIS: u64 = 0x001;
    /// No multicast.
    pub const MULTICAST_DIS: u64 = 0x004;
    /// No control interface.
    pub const CTRL_IF_DIS: u64 = 0x010;
    /// No metering of what is flooded.
    pub const FLOODING_METERING_DIS: u64 = 0x020;
    /// Interfaces have meters.
    pub const METERING_EN: u64 = 0x040;
    /// Each interface has its own buffer pool.
    pub const BP_PER_IF: u64 = 0x080;
    /// No link aggregation.
    pub const LAG_DIS: u64 = 0x100;
    /// All of them.
    pub const ALL: u64 = 0x1f5;

    names!(
        FLOODING_DIS,
        MULTICAST_DIS,
        CTRL_IF_DIS,
        FLOODING_METERING_DIS,
        METERING_EN,
        BP_PER_IF,
        LAG_DIS
    );
}

/// `DPSW_IRQ_EVENT_*`: events of interrupt 0. The upper half of the status is
/// the number of the interface that they happened to (Linux reads it so).
pub mod events {
    /// A link went up or down, or changed its rate or options.
    pub const LINK_CHANGED: u32 = 1;
    /// An interface was connected or disconnected.
    pub const ENDPOINT_CHANGED: u32 = 2;

    names!(LINK_CHANGED, ENDPOINT_CHANGED);
}

/// `DPSW_MAX_IF`: most interfaces, without the control interface.
pub const MAX_INTERFACES: u16 = 64;
/// `DPSW_MAX_TC`: traffic classes of an interface.
pub const TRAFFIC_CLASSES: u8 = 8;
/// `DPSW_MAX_DPBP`: most buffer pools of the control interface.
pub const MAX_POOLS: u8 = 8;
/// `DPSW_MAX_LAG_IFS`: most interfaces of an aggregation group.
pub const MAX_LAG_INTERFACES: u8 = 8;
/// How many counters an interface has (`enum dpsw_counter`).
pub const COUNTERS: u8 = 13;
