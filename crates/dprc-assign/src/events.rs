// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Interrupts that the emulation raises by itself: the container's (an object came or
//! went) and those of command portals (a command is done). The host's own uses of the
//! same interrupts stay out of the guest's reach.

use crate::host::Msi;
use mc_abi::common::{self, Command};
use mc_abi::{Params, Status, Wire};

/// An interrupt with its registers in the Management Complex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct VirtualInterrupt {
    pub msi: Option<Msi>,
    pub user: u32,
    enabled: bool,
    mask: u32,
    status: u32,
}

impl VirtualInterrupt {
    /// Notes events; gives the message to send where they are listened to.
    pub fn raise(&mut self, events: u32) -> Option<Msi> {
        self.status |= events;
        self.msi.filter(|_| self.enabled && events & self.mask != 0)
    }

    /// Forgets all but where the message goes.
    pub fn reset(&mut self) {
        *self = Self { msi: self.msi, user: self.user, ..Self::default() };
    }

    /// Answers a command of the object's that is about this interrupt, and gives the
    /// message that it causes. `None` for other commands.
    pub fn run(
        &mut self,
        command: &Command,
        version: u8,
    ) -> Option<(Result<Params, Status>, Option<Msi>)> {
        let index = match command {
            Command::SetIrqEnable(set) => set.index,
            Command::GetIrqEnable(get) => get.index,
            Command::SetIrqMask(set) => set.index,
            Command::GetIrqMask(get) => get.index,
            Command::GetIrqStatus(get) => get.index,
            Command::ClearIrqStatus(clear) => clear.index,
            _ => return None,
        };
        if index != 0 {
            return Some((Err(Status::ConfigurationError), None));
        }
        let before = self.pending();
        let mut params = Params::ZERO;
        match command {
            Command::SetIrqEnable(set) => self.enabled = set.enable,
            Command::SetIrqMask(set) => self.mask = set.mask,
            Command::ClearIrqStatus(clear) => self.status &= !clear.status,
            Command::GetIrqEnable(_) => {
                common::GetIrqEnableReply { enabled: self.enabled }.encode(&mut params, version);
            }
            Command::GetIrqMask(_) => {
                common::GetIrqMaskReply { mask: self.mask }.encode(&mut params, version);
            }
            _ => common::GetIrqStatusReply { status: self.status }.encode(&mut params, version),
        }
        // What has been waiting behind a mask or gate that opens.
        let msi = self.msi.filter(|_| self.pending() && !before);
        Some((Ok(params), msi))
    }

    fn pending(&self) -> bool {
        self.enabled && self.status & self.mask != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSI: Msi = Msi { address: 0x808_0040, data: 3 };

    fn set(interrupt: &mut VirtualInterrupt, command: Command) -> Option<Msi> {
        let (answer, msi) = interrupt.run(&command, 1).unwrap();
        assert_eq!(answer, Ok(Params::ZERO));
        msi
    }

    #[test]
    fn events_pass_gate_and_mask() {
        let mut interrupt = VirtualInterrupt { msi: Some(MSI), ..Default::default() };
        assert_eq!(interrupt.raise(1), None);
        set(&mut interrupt, Command::SetIrqMask(common::SetIrqMask { mask: 3, index: 0 }));
        let open = Command::SetIrqEnable(common::SetIrqEnable { enable: true, index: 0 });
        // It has been waiting.
        assert_eq!(set(&mut interrupt, open), Some(MSI));
        assert_eq!(interrupt.raise(4), None);
        assert_eq!(interrupt.raise(2), Some(MSI));
        let ask = Command::GetIrqStatus(common::GetIrqStatus { status: 0, index: 0 });
        let (answer, _) = interrupt.run(&ask, 1).unwrap();
        assert_eq!(answer.unwrap().0[0], 7);
        set(
            &mut interrupt,
            Command::ClearIrqStatus(common::ClearIrqStatus { status: 5, index: 0 }),
        );
        let (answer, _) = interrupt.run(&ask, 1).unwrap();
        assert_eq!(answer.unwrap().0[0], 2);
        interrupt.reset();
        assert_eq!(interrupt.raise(u32::MAX), None);
    }

    #[test]
    fn there_is_one_interrupt() {
        let mut interrupt = VirtualInterrupt::default();
        let second = Command::GetIrqMask(common::GetIrqMask { index: 1 });
        assert_eq!(interrupt.run(&second, 1), Some((Err(Status::ConfigurationError), None)));
        assert_eq!(interrupt.run(&Command::Enable(common::Enable {}), 1), None);
    }
}
