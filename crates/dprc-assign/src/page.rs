// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a command portal shows, in a page that a guest can load from without an exit.

use fsl_mc_linux::Mapping;
use mc_abi::Message;
use std::ops::Range;

/// Bytes that a guest loads in one piece: what registers of the MC are.
const WORD: usize = 8;

/// A page of this process's own memory with the registers of a command portal at its start,
/// and zeros behind them. A VMM makes it a memory slot of the guest that can only be loaded
/// from ([`Vm::map_portal`](crate::Vm::map_portal)); nothing of the host's is in it, and
/// nothing of another portal.
#[derive(Debug)]
pub struct PortalPage {
    memory: Mapping,
}

impl PortalPage {
    /// Bytes of a portal to which stores may come late: none of them submits a command, which
    /// takes a store to the first byte. A VMM may keep stores that touch no byte outside of
    /// these, such as KVM does with KVM_REGISTER_COALESCED_MMIO, and hand them on in their
    /// order before it hands on any other access to a portal.
    pub const LATE_STORES: Range<u64> = 1..Message::SIZE as u64;

    /// A page of zeros, as large as those of the host. That is at most 64 KiB, which is what
    /// lies between portals ([`PORTAL_STRIDE`](crate::PORTAL_STRIDE)): no two are in one.
    pub(crate) fn new() -> std::io::Result<Self> {
        let memory = Mapping::anonymous(rustix::param::page_size())?;
        // Before the first store it would be the zero page, of all processes.
        memory.store(0, 0_u64);
        Ok(Self { memory })
    }

    /// Where it is in this process.
    pub fn address(&self) -> u64 {
        self.memory.address()
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.memory.length() as u64
    }

    /// Shows these registers. The word with the status comes last: a processor of the guest
    /// that sees an answer's status finds the whole answer.
    ///
    /// The guest has its portals as memory of a device. A processor with FEAT_S2FWB makes
    /// cacheable memory of that, as KVM asks it to for memory slots (Linux
    /// `arch/arm64/include/asm/memory.h`, MT_S2_FWB_NORMAL); one without combines the two
    /// stages to the stricter of both (MT_S2_NORMAL), and the guest's loads pass the caches
    /// that this process stores to. A program cannot tell which it runs on, therefore each
    /// line is cleaned to the point of coherency, which costs little.
    pub(crate) fn show(&self, registers: &[u8; Message::SIZE]) {
        let (status, parameters) = registers.split_at(WORD);
        self.put(WORD, parameters);
        self.put(0, status);
    }

    /// Stores the words that are others than before, each in one piece, and cleans them.
    fn put(&self, from: usize, bytes: &[u8]) {
        let mut changed = false;
        for (at, word) in (from..).step_by(WORD).zip(bytes.chunks_exact(WORD)) {
            let word = word.try_into().map(u64::from_le_bytes).ok();
            if let Some(word) = word.filter(|word| self.memory.load(at) != Some(*word)) {
                self.memory.store(at, word);
                changed = true;
            }
        }
        if changed {
            self.memory.clean(from, bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_registers_and_zeros_behind_them() {
        let page = PortalPage::new().unwrap();
        let mut all = vec![0xff; page.memory.length()];
        for fill in [0x11, 0x22, 0] {
            let mut registers = [fill; Message::SIZE];
            registers[9] = 0x99;
            page.show(&registers);
            page.memory.read(0, &mut all).unwrap();
            let (shown, rest) = all.split_at(Message::SIZE);
            assert_eq!(shown, registers);
            assert!(rest.iter().all(|byte| *byte == 0));
        }
        assert_eq!(page.size() % 4096, 0);
        assert!(page.size() <= crate::PORTAL_STRIDE);
    }

    #[test]
    fn no_late_store_submits_a_command() {
        use crate::Portal;
        use mc_abi::{ObjectId, ObjectType};
        let command = Message::open(ObjectId::new(ObjectType::Dprc, 1)).to_bytes();
        let mut portal = Portal::new(None);
        for at in PortalPage::LATE_STORES {
            assert_eq!(portal.store(at, &command[at as usize..]), None);
        }
        assert_eq!(portal.store(0, &command[..1]), Some(Message::from_bytes(&command)));
    }
}
