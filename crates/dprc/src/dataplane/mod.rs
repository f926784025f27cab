// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! From a container to frames: its portals, pools and interfaces, set up in the order that
//! they need each other.

mod channel;
mod frames;
mod interface;
mod pool;

pub use channel::Channel;
pub use frames::Frames;
pub use interface::{Counters, Interface, InterfaceConfig, RxDestination};
pub use pool::Pool;

use crate::backend::Backend;
use crate::dma::{Access, DmaBuffer, Mapped};
use crate::error::{Error, Result};
use crate::manage;
use crate::portal::McPortal;
use crate::qbman::{Portal, PortalConfig};
use mc_abi::common::{Disable, Enable, Reset};
use mc_abi::{ObjectId, ObjectType, dpio};
use std::collections::BTreeSet;
use std::time::Duration;

/// Where I/O virtual addresses start that a [`Dataplane`] gives: above 4 GiB, away from what
/// IOMMUs reserve.
const FIRST_IOVA: u64 = 0x1_0000_0000;
/// Distance of what is mapped: a huge page.
const IOVA_STEP: u64 = 2 << 20;

/// How long a software portal may take to answer, unless that is set otherwise. Silicon takes
/// microseconds, an emulated board on a busy machine much longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A container in the hands of a program that moves frames. It gives the container's objects
/// out, each once, in the order of their numbers. One that cannot be set up is given out again.
///
/// Dropped, it switches off what it has switched on. What comes out of it lives on: where
/// frame memory goes earlier ([`Dataplane::stop`] was not called), what arrives in the meantime
/// finds no buffer any more, and the IOMMU reports faults.
#[derive(Debug)]
pub struct Dataplane<'b> {
    backend: &'b dyn Backend,
    mc: McPortal,
    objects: BTreeSet<ObjectId>,
    taken: BTreeSet<ObjectId>,
    enabled: Enabled,
    next_iova: u64,
    patience: Duration,
}

/// What is switched on, in that order.
#[derive(Debug, Default)]
struct Enabled(Vec<ObjectId>);

impl Enabled {
    /// The object is the last that was switched on, maybe not for the first time.
    fn insert(&mut self, object: ObjectId) {
        self.0.retain(|other| *other != object);
        self.0.push(object);
    }
}

impl<'b> Dataplane<'b> {
    /// Looks what is in the container.
    ///
    /// # Errors
    /// When the container has no command portal, or the MC refuses.
    pub fn open(backend: &'b dyn Backend) -> Result<Self> {
        let mut mc = backend.portal()?;
        let container: ObjectId = backend
            .name()
            .parse()
            .map_err(|_| Error::NotFslMc { device: backend.name().to_owned(), flags: 0 })?;
        let members = manage::with_open(&mut mc, container, manage::list)?;
        let objects = members.iter().map(|member| ObjectId::new(member.kind, member.id)).collect();
        Ok(Self {
            backend,
            mc,
            objects,
            taken: BTreeSet::new(),
            enabled: Enabled::default(),
            next_iova: FIRST_IOVA,
            patience: PATIENCE,
        })
    }

    /// How long software portals that are opened from now on may take to answer.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The objects of the container.
    pub fn objects(&self) -> impl Iterator<Item = ObjectId> + '_ {
        self.objects.iter().copied()
    }

    /// The container's command portal, for commands that this type does not send.
    pub fn mc(&mut self) -> &mut McPortal {
        &mut self.mc
    }

    /// Takes the next software portal, resets and enables it. One serves one thread.
    ///
    /// # Errors
    /// [`Error::NoObject`], the MC's refusal, or those of [`Portal::open`].
    pub fn portal(&mut self) -> Result<Portal> {
        let object = self.take(ObjectType::Dpio)?;
        self.set_up(object, |plane| {
            let mut open = plane.mc.session(object)?;
            open.call(&Reset {})?;
            open.call(&Enable {})?;
            plane.enabled.insert(object);
            let attributes = open.call(&dpio::GetAttributes {})?;
            open.close()?;
            let storage = plane.iova_for(PortalConfig::STORAGE_SIZE as u64);
            let config = PortalConfig { storage, patience: plane.patience };
            Portal::open(plane.backend, &attributes, &config)
        })
    }

    /// Allocates memory for `count` frames, in buffers of `size` bytes each, a multiple of
    /// 256, and maps it for the container.
    ///
    /// # Errors
    /// [`Error::Argument`], or when the memory cannot be had or mapped.
    pub fn frames(&mut self, count: usize, size: usize) -> Result<Frames> {
        Frames::check(count, size)?;
        let page = rustix::param::page_size();
        let bytes = count.checked_mul(size).and_then(|bytes| bytes.checked_next_multiple_of(page));
        let bytes = bytes.ok_or(Error::Argument {
            what: "the number of frames",
            value: count as u64,
            problem: "is larger than memory can be",
        })?;
        let memory = self.map(DmaBuffer::allocate(bytes)?)?;
        Ok(Frames::new(memory, count, size))
    }

    /// The same in memory of the caller's, such as huge pages: as many buffers of `size` bytes
    /// as it has room for.
    ///
    /// # Errors
    /// [`Error::Argument`], or when the memory cannot be mapped.
    pub fn frames_in(&mut self, memory: DmaBuffer, size: usize) -> Result<Frames> {
        let count = memory.size() / size.max(1);
        Frames::check(count, size)?;
        Ok(Frames::new(self.map(memory)?, count, size))
    }

    /// Switches off all that was switched on, interfaces first. Before memory for frames is
    /// given up, so that nothing is on its way to it.
    ///
    /// # Errors
    /// The first refusal of the MC's; the rest is switched off all the same.
    pub fn stop(&mut self) -> Result<()> {
        let mut outcome = Ok(());
        // Last first: interfaces before the pools that they take buffers from.
        for object in self.enabled.0.drain(..).rev() {
            let off = self.mc.session(object).and_then(|mut open| {
                open.call(&Disable {})?;
                open.close()
            });
            outcome = outcome.and(off);
        }
        Ok(outcome?)
    }

    /// Maps memory at the next free I/O virtual address.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn map(&mut self, memory: DmaBuffer) -> Result<Mapped> {
        let iova = self.iova_for(memory.size() as u64);
        Ok(self.backend.map(memory, iova, Access::ReadWrite)?)
    }

    /// Takes the next object of a family that nobody has taken.
    fn take(&mut self, kind: ObjectType) -> Result<ObjectId> {
        let mut of_kind = self.objects.iter().filter(|object| object.kind == kind);
        match of_kind.find(|object| !self.taken.contains(object)).copied() {
            Some(object) => {
                self.taken.insert(object);
                Ok(object)
            }
            None => Err(Error::NoObject {
                container: self.backend.name().to_owned(),
                kind,
                taken: self.taken.iter().filter(|object| object.kind == kind).count(),
            }),
        }
    }

    /// Sets an object up that has just been taken. Where that fails it is free again, and what
    /// was switched on of it is switched off at the end as all else.
    fn set_up<T>(
        &mut self,
        object: ObjectId,
        steps: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        steps(self).inspect_err(|_| {
            self.taken.remove(&object);
        })
    }

    fn iova_for(&mut self, size: u64) -> u64 {
        let iova = self.next_iova;
        self.next_iova = iova.saturating_add(size.max(1).next_multiple_of(IOVA_STEP));
        iova
    }
}

impl Drop for Dataplane<'_> {
    fn drop(&mut self) {
        // Nobody is left to report to; the container's last user resets it as well.
        let _ = self.stop();
    }
}
