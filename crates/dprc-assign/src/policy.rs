// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What becomes of a guest's command: one table, by family and number. What is not in
//! it does not reach the Management Complex.

use mc_abi::{ObjectType, Request, Status, common, dpdmux, dpmac, dpni, dprc, dprtc, dpsw};

/// What becomes of a command to an open object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes to the Management Complex as it is.
    Forward,
    /// The emulation answers, with or without asking the Management Complex.
    Emulate,
    /// It is answered as a Management Complex answers a container without the right.
    Refuse(Right),
    /// The family has no such command, or none that this library knows: newer firmware
    /// may have some whose reach nobody has looked at.
    Unknown,
}

/// A right that a guest's container does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Make, destroy, lock, or look at containers below.
    Children,
    /// Make and destroy objects.
    Objects,
    /// Move objects and resources between containers, plug and unplug them, set quotas.
    Assignment,
    /// Connect and disconnect.
    Topology,
    /// Name objects: names are the host's.
    Labels,
    /// Look at the memory of the whole chip.
    Memory,
    /// Load and run programs of the frame parser.
    Parser,
    /// Reach what several ports share: their management bus and their SerDes.
    Ports,
    /// Set the clock of the chip.
    Clock,
}

impl Right {
    /// What a Management Complex says where it is missing.
    ///
    /// For containers that may have no children it is the status that boards have been
    /// seen to give; for the rest it is that of the command policy of containers.
    pub const fn status(self) -> Status {
        match self {
            Self::Children => Status::ConfigurationError,
            Self::Objects
            | Self::Assignment
            | Self::Topology
            | Self::Labels
            | Self::Memory
            | Self::Parser
            | Self::Ports
            | Self::Clock => Status::NoPrivilege,
        }
    }
}

/// What becomes of command `number` to an open object of a family. Commands without an
/// object (open, versions), close, create and destroy are not looked up here: the
/// emulation handles them for all families.
pub fn verdict(kind: ObjectType, number: u16) -> Verdict {
    if kind == ObjectType::Dprc {
        return of_container(number);
    }
    if hidden(kind) {
        return Verdict::Unknown;
    }
    if let Some(right) = beyond(kind, number) {
        return Verdict::Refuse(right);
    }
    match number {
        // Where interrupts go is the host's; the guest says where they go in the guest.
        common::SetIrq::NUMBER | common::GetIrq::NUMBER => Verdict::Emulate,
        // What it resets is not what the guest has: its portal is the emulation's.
        common::Reset::NUMBER => Verdict::Emulate,
        // A portal's completion interrupt is the emulation's.
        0x012..=0x017 if kind == ObjectType::Dpmcp => Verdict::Emulate,
        // Tells where the host has the portal.
        mc_abi::dpio::GetAttributes::NUMBER if kind == ObjectType::Dpio => Verdict::Emulate,
        _ if is_forwarded(kind, number) => Verdict::Forward,
        _ => Verdict::Unknown,
    }
}

/// Families that a guest does not get to see: containers, which would need a portal and
/// an isolation id of their own; the I/O processor, which loads programs; and the
/// debugger, which looks at all objects of the chip.
pub(crate) const fn hidden(kind: ObjectType) -> bool {
    matches!(kind, ObjectType::Dprc | ObjectType::Dpaiop | ObjectType::Dpdbg)
}

/// The right that a command of an object takes whose reach does not end at the container.
///
/// No driver of Linux needs one of them to probe or to move frames: `dpaa2-mac` sets a port's
/// protocol only where it has the SerDes' PHY, by a device tree that guests do not have, and
/// `dpaa2-ptp` works on the clock's registers, which are no region of the object.
const fn beyond(kind: ObjectType, number: u16) -> Option<Right> {
    match (kind, number) {
        // Programs of the parser lie in a memory that is, as far as is known, the chip's: one
        // that is loaded or run for an interface is in the way of every other's.
        (
            ObjectType::Dpni,
            dpni::LoadSwSequence::NUMBER
            | dpni::EnableSwSequence::NUMBER
            | dpni::GetSwSequenceLayout::NUMBER
            | dpni::SetSpProfile::NUMBER
            | dpni::SpEnable::NUMBER,
        )
        | (ObjectType::Dpdmux, dpdmux::SetSpProfile::NUMBER | dpdmux::SpEnable::NUMBER)
        | (ObjectType::Dpsw, dpsw::SetSpProfile::NUMBER | dpsw::SpEnable::NUMBER) => {
            Some(Right::Parser)
        }
        // The management bus has the PHYs of all ports, a SerDes the lanes of several; where the
        // event register is would be an address of the host's.
        (
            ObjectType::Dpmac,
            dpmac::MdioRead::NUMBER
            | dpmac::MdioWrite::NUMBER
            | dpmac::SetProtocol::NUMBER
            | dpmac::GetIeventRegBase::NUMBER,
        ) => Some(Right::Ports),
        // There is one clock, which all interfaces of the chip take their timestamps from.
        (
            ObjectType::Dprtc,
            common::Enable::NUMBER
            | common::Disable::NUMBER
            | common::Reset::NUMBER
            | dprtc::SetClockOffset::NUMBER
            | dprtc::SetFreqCompensation::NUMBER
            | dprtc::SetTime::NUMBER
            | dprtc::SetAlarm::NUMBER
            | dprtc::SetPeriodicPulse::NUMBER
            | dprtc::ClearPeriodicPulse::NUMBER
            | dprtc::SetExtTrigger::NUMBER
            | dprtc::ClearExtTrigger::NUMBER
            | dprtc::SetFiperLoopback::NUMBER,
        ) => Some(Right::Clock),
        _ => None,
    }
}

fn is_forwarded(kind: ObjectType, number: u16) -> bool {
    let is_common = common::COMMANDS.iter().any(|row| row.number == number);
    // Numbers from 0x800 on are the same for all families, and not for here.
    number < common::OPEN && (is_common || of_family(kind).contains(&number))
}

/// Commands of a family that go to the Management Complex, beside those that are common to all:
/// what they do ends at the object, or at the guest's memory. `mc-abi` has their names. One that
/// is new there is not forwarded before somebody has looked at its reach, and put it here.
const fn of_family(kind: ObjectType) -> &'static [u16] {
    match kind {
        ObjectType::Dpni => &[
            0x004, 0x200, 0x20b, 0x210, 0x211, 0x212, 0x215, 0x216, 0x217, 0x21a, 0x21b, 0x220,
            0x221, 0x222, 0x223, 0x224, 0x225, 0x226, 0x227, 0x228, 0x230, 0x231, 0x232, 0x233,
            0x235, 0x23e, 0x240, 0x241, 0x242, 0x243, 0x244, 0x245, 0x246, 0x250, 0x251, 0x25d,
            0x25e, 0x25f, 0x260, 0x261, 0x262, 0x263, 0x264, 0x265, 0x266, 0x267, 0x268, 0x269,
            0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f, 0x273, 0x274, 0x275, 0x276, 0x277, 0x278,
            0x279, 0x27a, 0x27b, 0x27c, 0x27d, 0x27f, 0x281, 0x282, 0x283, 0x284, 0x2a0, 0x2a1,
            0x2a2, 0x2a3, 0x2a4, 0x2a5, 0x2a6, 0x2a7, 0x2a8, 0x2a9, 0x2aa, 0x2ab, 0x2ac, 0x2ad,
            0x2ae, 0x2af, 0x2b0, 0x2b1, 0x2b2, 0x2b3, 0x2b4, 0x2b5,
        ],
        ObjectType::Dpio => &[0x120, 0x121, 0x122, 0x123, 0x124, 0x125, 0x126],
        ObjectType::Dpbp => &[0x004, 0x1b0, 0x1b1, 0x1b2],
        ObjectType::Dpcon => &[0x004, 0x100],
        ObjectType::Dpmcp => &[0x004],
        ObjectType::Dpmac => &[0x004, 0x0c2, 0x0c3, 0x0c4, 0x0c5, 0x0c6, 0x0c8, 0x0ca],
        ObjectType::Dpci => &[0x004, 0x0e0, 0x0e1, 0x0e2, 0x0e3, 0x0e4, 0x0e5, 0x0e6],
        ObjectType::Dpdcei => &[0x004, 0x1b0, 0x1b1, 0x1b2],
        ObjectType::Dpdmai => &[0x004, 0x1a0, 0x1a1, 0x1a2, 0x1a4, 0x1a5, 0x1a6, 0x1a7],
        ObjectType::Dpdmux => &[
            0x004, 0x0a1, 0x0a2, 0x0a3, 0x0a7, 0x0a8, 0x0a9, 0x0aa, 0x0b0, 0x0b1, 0x0b2, 0x0b3,
            0x0b4, 0x0b5, 0x0b6, 0x0b7, 0x0b8, 0x0b9, 0x0ba, 0x0bb, 0x0bc, 0x0bd, 0x0be, 0x0bf,
        ],
        ObjectType::Dprtc => &[0x004, 0x1d2, 0x1d3, 0x1da, 0x1dc],
        ObjectType::Dpseci => {
            &[0x004, 0x170, 0x171, 0x172, 0x173, 0x194, 0x196, 0x197, 0x198, 0x199, 0x19a, 0x19b]
        }
        ObjectType::Dpsw => &[
            0x004, 0x022, 0x024, 0x026, 0x030, 0x031, 0x032, 0x033, 0x034, 0x035, 0x036, 0x037,
            0x038, 0x039, 0x03a, 0x03b, 0x03c, 0x03d, 0x03e, 0x03f, 0x042, 0x044, 0x045, 0x046,
            0x047, 0x048, 0x049, 0x04a, 0x04c, 0x060, 0x061, 0x062, 0x063, 0x064, 0x065, 0x066,
            0x067, 0x068, 0x069, 0x06a, 0x06b, 0x080, 0x081, 0x082, 0x083, 0x084, 0x085, 0x086,
            0x087, 0x088, 0x089, 0x08a, 0x090, 0x091, 0x092, 0x093, 0x094, 0x095, 0x096, 0x0a0,
            0x0a1, 0x0a2, 0x0a3, 0x0a4, 0x0a5, 0x0a6, 0x0a7, 0x0a8, 0x0a9, 0x0aa, 0x0ab, 0x0ac,
            0x0ad, 0x0b0,
        ],
        // Answered otherwise, or not seen.
        ObjectType::Dprc | ObjectType::Dpaiop | ObjectType::Dpdbg => &[],
    }
}

const fn of_container(number: u16) -> Verdict {
    match number {
        dprc::GetAttributes::NUMBER
        | dprc::Reset::NUMBER
        | dprc::GetObjectCount::NUMBER
        | dprc::GetObject::NUMBER
        | dprc::GetObjectDescription::NUMBER
        | dprc::GetConnection::NUMBER
        | dprc::GetObjectRegion::NUMBER
        | dprc::SetObjectIrq::NUMBER
        | dprc::GetObjectIrq::NUMBER
        | common::SetIrq::NUMBER
        | common::GetIrq::NUMBER
        | common::SetIrqEnable::NUMBER
        | common::GetIrqEnable::NUMBER
        | common::SetIrqMask::NUMBER
        | common::GetIrqMask::NUMBER
        | common::GetIrqStatus::NUMBER
        | common::ClearIrqStatus::NUMBER => Verdict::Emulate,
        dprc::GetPool::NUMBER
        | dprc::GetPoolCount::NUMBER
        | dprc::GetResourceCount::NUMBER
        | dprc::GetResourceIds::NUMBER => Verdict::Forward,
        dprc::CreateContainer::NUMBER
        | dprc::DestroyContainer::NUMBER
        | dprc::SetLocked::NUMBER => Verdict::Refuse(Right::Children),
        dprc::Assign::NUMBER
        | dprc::Unassign::NUMBER
        | dprc::SetResourceQuota::NUMBER
        | dprc::GetResourceQuota::NUMBER => Verdict::Refuse(Right::Assignment),
        dprc::Connect::NUMBER | dprc::Disconnect::NUMBER => Verdict::Refuse(Right::Topology),
        dprc::SetObjectLabel::NUMBER => Verdict::Refuse(Right::Labels),
        dprc::GetMemory::NUMBER => Verdict::Refuse(Right::Memory),
        _ => Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command that is added to `mc-abi` must be thought about.
    #[test]
    fn every_command_has_a_verdict() {
        for kind in ObjectType::ALL
            .into_iter()
            .filter(|kind| !matches!(kind, ObjectType::Dpaiop | ObjectType::Dpdbg))
        {
            for row in mc_abi::commands(kind).iter().filter(|row| row.number < common::OPEN) {
                let name = row.name;
                assert_ne!(verdict(kind, row.number), Verdict::Unknown, "{kind} {name}");
            }
            // Nor is one looked at that there is not, or that is refused.
            for number in of_family(kind) {
                let is_known = mc_abi::commands(kind).iter().any(|row| row.number == *number);
                assert!(is_known && beyond(kind, *number).is_none(), "{kind} {number:#x}");
            }
        }
    }

    #[test]
    fn what_several_containers_share_is_refused() {
        for (kind, numbers, right) in [
            (ObjectType::Dpni, &[0x270, 0x271, 0x272, 0x27e, 0x280][..], Right::Parser),
            (ObjectType::Dpdmux, &[0x0c0, 0x0c1], Right::Parser),
            (ObjectType::Dpsw, &[0x0ae, 0x0af], Right::Parser),
            (ObjectType::Dpmac, &[0x0c0, 0x0c1, 0x0c7, 0x0c9], Right::Ports),
            (ObjectType::Dprtc, &[0x002, 0x003, 0x005, 0x1d0, 0x1d1, 0x1d4], Right::Clock),
            (ObjectType::Dprtc, &[0x1d5, 0x1d6, 0x1d7, 0x1d8, 0x1d9, 0x1db], Right::Clock),
        ] {
            for number in numbers {
                assert_eq!(verdict(kind, *number), Verdict::Refuse(right), "{kind} {number:#x}");
            }
        }
        // The same numbers mean other things elsewhere.
        assert_eq!(verdict(ObjectType::Dpni, 0x002), Verdict::Forward);
        assert_eq!(verdict(ObjectType::Dpsw, 0x0a0), Verdict::Forward);
        assert_eq!(verdict(ObjectType::Dpmac, 0x0c4), Verdict::Forward);
        assert_eq!(verdict(ObjectType::Dprtc, 0x1d3), Verdict::Forward);
    }

    #[test]
    fn nothing_that_reaches_beyond_is_forwarded() {
        for number in 0..=0xfff {
            for kind in [ObjectType::Dpaiop, ObjectType::Dpdbg] {
                assert_eq!(verdict(kind, number), Verdict::Unknown);
            }
            for kind in ObjectType::ALL {
                let forwarded = verdict(kind, number) == Verdict::Forward;
                let of_all = number >= 0x800 || matches!(number, 0x005 | 0x010 | 0x011);
                assert!(!(forwarded && of_all), "{kind} {number:#x}");
            }
        }
    }

    #[test]
    fn what_drivers_need_is_forwarded() {
        for (kind, number) in [
            (ObjectType::Dpio, 0x002),
            (ObjectType::Dpni, 0x004),
            (ObjectType::Dpni, 0x260),
            (ObjectType::Dpni, 0x016),
            (ObjectType::Dpcon, 0x100),
            (ObjectType::Dpbp, 0x002),
            (ObjectType::Dprc, 0x169),
        ] {
            assert_eq!(verdict(kind, number), Verdict::Forward, "{kind} {number:#x}");
        }
    }
}
