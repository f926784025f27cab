// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A software portal: opening it, and what it keeps.
//!
//! Registers and their order: `qbman_swp_init` of Linux (`drivers/soc/fsl/dpio`) and DPDK
//! (`drivers/bus/fslmc/qbman`).

use super::rings::{Areas, Mode};
use crate::backend::Backend;
use crate::dma::{Access, DmaBuffer, Mapped};
use crate::error::{Error, Result};
use mc_abi::dpio::GetAttributesReply;
use mc_abi::{ObjectId, ObjectType};
use qbman_abi::{VALID, registers};
use std::time::Duration;

/// Region of a dpio with the rings that are in the portal.
const INNER: u32 = 0;
/// Region of a dpio with its registers.
const REGISTERS: u32 = 1;
/// Region of a dpio with its memory-backed rings.
const MEMORY: u32 = 2;
/// First version of the queue manager whose portals are memory-backed.
const MEMORY_BACKED_SINCE: u8 = 5;
/// The first one that is driven: those before it have a dequeue ring of four entries, and
/// forget its index at a reset.
const OLDEST: (u8, u8) = (4, 1);

/// Entries that may wait in the dequeue ring.
const DEQUEUE_FILL: u32 = 8;
/// Configuration besides [`registers`]' names, as Linux sets it: writes of entries are
/// told apart by the valid bit (14), entries are consumed by the register DCAP (11..10),
/// data and annotations are stashed (5..3).
const CFG_AS_LINUX: u32 = 1 << 14 | 2 << 10 | 0x38;
/// Besides, where rings are in memory: commands are, too (7, 6).
const CFG_COMMANDS_IN_MEMORY: u32 = 1 << 7 | 1 << 6;

/// How a portal is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortalConfig {
    /// I/O virtual address of the page that dequeued entries are written to; nothing else
    /// may be mapped there.
    pub storage: u64,
    /// How long the portal may take to answer. Silicon takes microseconds.
    pub patience: Duration,
}

impl PortalConfig {
    /// Bytes that are mapped at [`PortalConfig::storage`]; at least a page.
    pub const STORAGE_SIZE: usize = 64 * Mode::MOST as usize;
}

/// A software portal.
#[derive(Debug)]
pub struct Portal {
    object: ObjectId,
    pub(super) areas: Areas,
    pub(super) name: String,
    pub(super) patience: Duration,
    /// Where entries of volatile dequeues go.
    pub(super) storage: Mapped,
    /// The next entry of the enqueue ring, modulo twice its entries.
    pub(super) produced: u32,
    pub(super) produced_valid: u8,
    /// What the portal has consumed of it, as far as that was looked up.
    pub(super) consumed: u32,
    /// Entries that are known to be free.
    pub(super) room: u32,
    pub(super) answer_valid: u8,
    pub(super) pull_valid: u8,
    /// The next entry of the dequeue ring.
    pub(super) next: u32,
    pub(super) next_valid: u8,
    /// What was not answered in time.
    silent: Option<&'static str>,
}

impl Portal {
    /// Opens a software portal that has just been reset and enabled.
    ///
    /// [`Dataplane::portal`](crate::Dataplane::portal) does what comes before.
    ///
    /// # Errors
    /// [`Error::PortalVersion`], [`Error::PortalState`], or when a region or the storage
    /// cannot be mapped.
    pub fn open(
        backend: &dyn Backend,
        attributes: &GetAttributesReply,
        config: &PortalConfig,
    ) -> Result<Self> {
        let object = ObjectId::new(ObjectType::Dpio, attributes.id);
        let [_, _, minor, major] = attributes.qbman_version.to_le_bytes();
        if (major, minor) < OLDEST {
            return Err(Error::PortalVersion { portal: object.to_string(), major, minor });
        }
        let (mode, region) = match major {
            MEMORY_BACKED_SINCE.. => (Mode::MemoryBacked, MEMORY),
            _ => (Mode::Direct, INNER),
        };
        let areas = Areas {
            mode,
            memory: backend.map_region(object, region)?,
            registers: backend.map_region(object, REGISTERS)?,
        };
        let page = rustix::param::page_size();
        let storage = DmaBuffer::allocate(PortalConfig::STORAGE_SIZE.next_multiple_of(page))?;
        let storage = backend.map(storage, config.storage, Access::ReadWrite)?;
        let mut portal = Self {
            object,
            areas,
            name: object.to_string(),
            patience: config.patience,
            storage,
            produced: 0,
            produced_valid: VALID,
            consumed: 0,
            room: 0,
            answer_valid: VALID,
            pull_valid: VALID,
            next: 0,
            next_valid: VALID,
            silent: None,
        };
        portal.set_up()?;
        Ok(portal)
    }

    /// The software portal (`dpio`).
    pub fn object(&self) -> ObjectId {
        self.object
    }

    /// Name of the software portal, such as `dpio.2`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Most frames of one dequeue: 16, or 32 where the queue manager is 5.0 (LX2160A) or newer.
    pub fn most(&self) -> u8 {
        self.areas.mode.most()
    }

    fn set_up(&mut self) -> Result<()> {
        let Areas { memory, mode, .. } = &self.areas;
        let in_memory = match mode {
            Mode::MemoryBacked => {
                for at in (0..memory.size()).step_by(8) {
                    memory.store(at, 0_u64)?;
                }
                fsl_mc_linux::dma_fence();
                registers::CFG_MEMORY_BACKED | CFG_COMMANDS_IN_MEMORY
            }
            Mode::Direct => 0,
        };
        let areas = &self.areas;
        let cfg = DEQUEUE_FILL << registers::CFG_DQRR_FILL_SHIFT
            | registers::CFG_ARRAY_MODE << registers::CFG_RPM_SHIFT
            | in_memory
            | CFG_AS_LINUX;
        areas.set_register(registers::CFG, cfg)?;
        if areas.register(registers::CFG)? == 0 {
            return Err(self.not_ready("it takes no configuration: it is not enabled".to_owned()));
        }
        areas.ring(registers::EQCR_PI, 0)?;
        areas.ring(registers::RCR_PI, 0)?;
        let waiting = areas.register(registers::DQPI)? & 0xf;
        if waiting != 0 {
            return Err(self.not_ready(format!("its dequeue ring stands at {waiting}, not at 0")));
        }
        areas.set_register(registers::SDQCR, 0)?;
        let mask = areas.full_mask();
        let producer = areas.register(registers::EQCR_PI)?;
        let consumer = areas.register(registers::EQCR_CI)? & mask;
        if producer & mask != consumer {
            let producer = producer & mask;
            return Err(self.not_ready(format!(
                "its enqueue ring holds entries ({producer} written, {consumer} read)"
            )));
        }
        areas.set_register(registers::DQRR_ITR, 0)?;
        areas.set_register(registers::ITPR, 0)?;
        self.produced = producer & mask;
        self.produced_valid = producer as u8 & VALID;
        self.consumed = consumer;
        Ok(())
    }

    fn not_ready(&self, what: String) -> Error {
        Error::PortalState { portal: self.name.clone(), what }
    }

    /// Refuses what comes after a silence: the late answer has the place, and the mark, of the
    /// next one.
    pub(super) fn check(&self) -> Result<()> {
        match self.silent {
            None => Ok(()),
            Some(command) => Err(Error::PortalLost { portal: self.name.clone(), command }),
        }
    }

    pub(super) fn silent(&mut self, command: &'static str) -> Error {
        self.silent = Some(command);
        Error::PortalSilent { portal: self.name.clone(), command, waited: self.patience }
    }
}
