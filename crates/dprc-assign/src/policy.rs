// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What becomes of a guest's command: one table, by family and number. What is not in
//! it does not reach the Management Complex.

use mc_abi::{ObjectType, Request, Status, common, dprc};

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
}

impl Right {
    /// What a Management Complex says where it is missing.
    ///
    /// For containers that may have no children it is the status that boards have been
    /// seen to give; for the rest it is that of the command policy of containers.
    pub const fn status(self) -> Status {
        match self {
            Self::Children => Status::ConfigurationError,
            Self::Objects | Self::Assignment | Self::Topology | Self::Labels | Self::Memory => {
                Status::NoPrivilege
            }
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
    match number {
        // Where interrupts go is the host's; the guest says where they go in the guest.
        common::SetIrq::NUMBER | common::GetIrq::NUMBER => Verdict::Emulate,
        // What it resets is not what the guest has: its portal is the emulation's.
        common::Reset::NUMBER => Verdict::Emulate,
        // A portal's completion interrupt is the emulation's.
        0x012..=0x017 if kind == ObjectType::Dpmcp => Verdict::Emulate,
        // Tells where the host has the portal.
        mc_abi::dpio::GetAttributes::NUMBER if kind == ObjectType::Dpio => Verdict::Emulate,
        _ if known(kind, number) => Verdict::Forward,
        _ => Verdict::Unknown,
    }
}

/// Families that a guest does not get to see: containers, which would need a portal and
/// an isolation id of their own; the I/O processor, which loads programs; and the
/// debugger, which looks at all objects of the chip.
pub(crate) const fn hidden(kind: ObjectType) -> bool {
    matches!(kind, ObjectType::Dprc | ObjectType::Dpaiop | ObjectType::Dpdbg)
}

fn known(kind: ObjectType, number: u16) -> bool {
    let has = |commands: &[mc_abi::CommandInfo]| commands.iter().any(|row| row.number == number);
    // Numbers from 0x800 on are the same for all families, and not for here.
    number < common::OPEN && (has(mc_abi::commands(kind)) || has(common::COMMANDS))
}

const fn of_container(number: u16) -> Verdict {
    match number {
        dprc::GetAttributes::NUMBER
        | dprc::Reset::NUMBER
        | dprc::GetObjectCount::NUMBER
        | dprc::GetObject::NUMBER
        | dprc::GetObjectDescription::NUMBER
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
        | dprc::GetResourceIds::NUMBER
        | dprc::GetConnection::NUMBER => Verdict::Forward,
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

    /// A command that is added to the container's family must be thought about.
    #[test]
    fn every_command_of_containers_has_a_verdict() {
        for row in dprc::COMMANDS {
            assert_ne!(verdict(ObjectType::Dprc, row.number), Verdict::Unknown, "{}", row.name);
        }
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
            (ObjectType::Dprc, 0x16c),
        ] {
            assert_eq!(verdict(kind, number), Verdict::Forward, "{kind} {number:#x}");
        }
    }
}
