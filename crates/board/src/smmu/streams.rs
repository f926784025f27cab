// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Global control and the way from a stream id to a context.

use super::access::{Access, AccessKind};
use super::fault::GlobalCause;
use super::shape::Shape;

/// `sCR0.CLIENTPD`: everything passes untranslated.
const CLIENT_PORT_DISABLED: u32 = 1 << 0;
const GLOBAL_FAULT_INTERRUPT: u32 = 1 << 2;
const CONFIGURATION_FAULT_INTERRUPT: u32 = 1 << 5;
/// `sCR0.STALLD`, fixed to one: no transaction ever stalls.
const STALL_DISABLED: u32 = 1 << 8;
const UNIDENTIFIED_STREAMS_FAULT: u32 = 1 << 10;
/// `sCR0.SMCFCFG`, fixed to one: streams that match twice fault.
const MATCH_CONFLICTS_FAULT: u32 = 1 << 21;
/// CLIENTPD, GFRE, GFIE, GCFGFRE, GCFGFIE, TRANSIENTCFG, USFCFG, VMIDPNE, PTM,
/// FB, BSU, MemAttr, MTCFG, SHCFG, RACFG, WACFG.
const CONTROL_WRITABLE: u32 = 0x0fdf_fcf7;
/// Value of `sCR0` at power-on, as on the MMU-500, with STALLD showing.
const CONTROL_RESET: u32 = CLIENT_PORT_DISABLED | STALL_DISABLED | MATCH_CONFLICTS_FAULT;

/// `sACR.CACHE_LOCK`: the banks' ACTLRs cannot be written. Linux clears it
/// (`arm_mmu500_reset`).
const CACHE_LOCK: u32 = 1 << 26;
/// CACHE_LOCK and the SMTNMB, MMUDISB and S2CRB TLB enables.
const AUXILIARY_WRITABLE: u32 = CACHE_LOCK | 0b111 << 8;

const MATCH_VALID: u32 = 1 << 31;
/// VALID, a 15-bit mask and a 15-bit id. Linux finds the widths by writing ones.
const MATCH_WRITABLE: u32 = 0xffff_7fff;
/// All of S2CR but NSCFG (secure only) and EXIDVALID (no extended ids).
const CONTEXT_WRITABLE: u32 = 0x3ff3_fbff;

/// The registers of the global space that are plain storage.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    control: u32,
    auxiliary: u32,
    bypass_vmid: u32,
    matches: Vec<u32>,
    contexts: Vec<u32>,
}

/// Where a stream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// Past all translation.
    Bypass,
    /// To a context bank, with the access as S2CR changes it. The bank may not
    /// exist.
    Bank(usize, Access),
}

/// What S2CR does with the streams of one mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamTarget {
    /// Translated by this context bank.
    Bank(u8),
    /// Passed through.
    Bypass,
    /// Terminated.
    Fault,
}

/// A valid stream mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamMapping {
    /// Index of the SMR and S2CR.
    pub index: usize,
    /// Stream id to compare with.
    pub id: u16,
    /// Bits of it that are not compared.
    pub mask: u16,
    /// Where matching streams go.
    pub target: StreamTarget,
}

impl Streams {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            control: CONTROL_RESET,
            auxiliary: CACHE_LOCK,
            bypass_vmid: 0,
            matches: vec![0; shape.stream_maps()],
            contexts: vec![0; shape.stream_maps()],
        }
    }

    /// `sCR0`.
    pub(super) fn control(&self) -> u32 {
        self.control
    }

    pub(super) fn set_control(&mut self, value: u32) {
        self.control = value & CONTROL_WRITABLE | STALL_DISABLED | MATCH_CONFLICTS_FAULT;
    }

    /// `sACR`.
    pub(super) fn auxiliary(&self) -> u32 {
        self.auxiliary
    }

    pub(super) fn set_auxiliary(&mut self, value: u32) {
        self.auxiliary = value & AUXILIARY_WRITABLE;
    }

    /// Whether `sACR` guards the banks' ACTLRs.
    pub(super) fn banks_locked(&self) -> bool {
        self.auxiliary & CACHE_LOCK != 0
    }

    /// `sCR2`.
    pub(super) fn bypass_vmid(&self) -> u32 {
        self.bypass_vmid
    }

    pub(super) fn set_bypass_vmid(&mut self, value: u32) {
        self.bypass_vmid = value & 0xff;
    }

    /// `SMRn`.
    pub(super) fn stream_match(&self, n: usize) -> u32 {
        self.matches.get(n).copied().unwrap_or(0)
    }

    pub(super) fn set_stream_match(&mut self, n: usize, value: u32) {
        if let Some(register) = self.matches.get_mut(n) {
            *register = value & MATCH_WRITABLE;
        }
    }

    /// `S2CRn`.
    pub(super) fn context(&self, n: usize) -> u32 {
        self.contexts.get(n).copied().unwrap_or(0)
    }

    pub(super) fn set_context(&mut self, n: usize, value: u32) {
        if let Some(register) = self.contexts.get_mut(n) {
            *register = value & CONTEXT_WRITABLE;
        }
    }

    /// Whether faults of transactions raise the interrupt.
    pub(super) fn fault_interrupt(&self) -> bool {
        self.control & GLOBAL_FAULT_INTERRUPT != 0
    }

    /// Whether faults of register accesses raise the interrupt.
    pub(super) fn configuration_interrupt(&self) -> bool {
        self.control & CONFIGURATION_FAULT_INTERRUPT != 0
    }

    /// `sCR0.CLIENTPD`: the SMMU as a whole is switched off.
    pub(super) fn disabled(&self) -> bool {
        self.control & CLIENT_PORT_DISABLED != 0
    }

    /// Finds the context of a stream.
    ///
    /// # Errors
    /// The global fault that the transaction meets instead.
    pub(super) fn route(&self, stream: u16, access: Access) -> Result<Route, GlobalCause> {
        if self.disabled() {
            return Ok(Route::Bypass);
        }
        let mut matching = self.matches.iter().zip(&self.contexts).filter(|(m, _)| {
            let (id, mask) = (**m as u16 & 0x7fff, (**m >> 16) as u16 & 0x7fff);
            **m & MATCH_VALID != 0 && (stream ^ id) & !mask == 0
        });
        let Some((_, context)) = matching.next() else {
            return if self.control & UNIDENTIFIED_STREAMS_FAULT != 0 {
                Err(GlobalCause::UnidentifiedStream)
            } else {
                Ok(Route::Bypass)
            };
        };
        if matching.next().is_some() {
            return Err(GlobalCause::StreamMatchConflict);
        }
        match StreamTarget::of(*context) {
            StreamTarget::Bank(bank) => {
                Ok(Route::Bank(usize::from(bank), overridden(access, *context)))
            }
            StreamTarget::Bypass => Ok(Route::Bypass),
            StreamTarget::Fault => Err(GlobalCause::InvalidContext),
        }
    }

    /// The valid stream mappings.
    pub(super) fn mappings(&self) -> Vec<StreamMapping> {
        let pairs = self.matches.iter().zip(&self.contexts).enumerate();
        pairs
            .filter(|(_, (m, _))| **m & MATCH_VALID != 0)
            .map(|(index, (m, context))| StreamMapping {
                index,
                id: *m as u16 & 0x7fff,
                mask: (*m >> 16) as u16 & 0x7fff,
                target: StreamTarget::of(*context),
            })
            .collect()
    }
}

impl StreamTarget {
    /// `S2CR.TYPE` and `CBNDX`. The reserved type faults too.
    fn of(context: u32) -> Self {
        match context >> 16 & 0b11 {
            0 => Self::Bank(context as u8),
            1 => Self::Bypass,
            _ => Self::Fault,
        }
    }
}

/// `access` with the attributes that `S2CR.PRIVCFG` and `INSTCFG` force.
fn overridden(access: Access, context: u32) -> Access {
    let privileged = match context >> 24 & 0b11 {
        0b10 => false,
        0b11 => true,
        _ => access.privileged,
    };
    let kind = match (access.kind, context >> 26 & 0b11) {
        (AccessKind::Write, _) => AccessKind::Write,
        (_, 0b10) => AccessKind::Read,
        (_, 0b11) => AccessKind::Fetch,
        (kind, _) => kind,
    };
    Access { kind, privileged }
}
