// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The machine below, where that is Linux with VFIO.

use crate::host::{Host, HostError, HostRegion, Msi};
use crate::log::LogLimit;
use crate::page::PortalPage;
use dprc::{AssignedContainer, Device, Interrupt, MappedRegion, McPortal, PortalError};
use mc_abi::{Message, ObjectId};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

/// How the VMM delivers an interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The hypervisor listens to the eventfd by itself.
    Direct,
    /// It cannot: the eventfd is to be watched, and [`Vm::signal`] called.
    Watched,
}

/// How the guest's loads from a command portal are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loads {
    /// By the page, without an exit.
    Mapped,
    /// Each is an exit, of which the VMM tells the [`Assignment`](crate::Assignment).
    Trapped,
}

/// Something that the VMM does not do, in words for its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmError(pub String);

impl fmt::Display for VmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for VmError {}

/// The VMM that hosts an assigned container.
pub trait Vm: Send {
    /// Makes the container's group known to the hypervisor (`KVM_DEV_VFIO_FILE_ADD`).
    /// Called before any device of the group is opened, since its driver then chooses
    /// how memory is mapped.
    ///
    /// # Errors
    /// When the hypervisor refuses.
    fn introduce(&mut self, group: BorrowedFd<'_>) -> Result<(), VmError>;

    /// Makes a region a memory slot of the guest at a guest physical address. The VMM
    /// keeps the region until it has taken the slot away.
    ///
    /// # Errors
    /// When the hypervisor refuses.
    fn map(&mut self, at: u64, region: Arc<MappedRegion>) -> Result<(), VmError>;

    /// Takes a memory slot away.
    fn unmap(&mut self, at: u64);

    /// Lets the guest load a command portal without exits: the page becomes a memory slot at a
    /// guest physical address that can only be loaded from (`KVM_MEM_READONLY`), so that
    /// stores still exit. The VMM keeps the page until it has taken the slot away.
    ///
    /// A VMM may also let stores within [`PortalPage::LATE_STORES`] come late
    /// (`KVM_REGISTER_COALESCED_MMIO`): then it hands them on, in order, before any other
    /// access to a portal of the guest's. A command is one exit then, the store that submits
    /// it.
    ///
    /// One that has no such slots answers [`Loads::Trapped`], as this does where it is left
    /// out. So does one that has failed, which may tell why by [`log`](Self::log).
    fn map_portal(&mut self, _at: u64, _page: Arc<PortalPage>) -> Loads {
        Loads::Trapped
    }

    /// Takes the slot of a portal away for which [`map_portal`](Self::map_portal) has
    /// answered [`Loads::Mapped`].
    fn unmap_portal(&mut self, _at: u64) {}

    /// Connects an eventfd with a message of the guest's; again, with another message,
    /// when the guest changes it. `line` names the connection.
    ///
    /// # Errors
    /// When the hypervisor refuses. A connection that there was before stays as it was.
    fn connect(&mut self, line: u32, events: BorrowedFd<'_>, msi: Msi)
    -> Result<Delivery, VmError>;

    /// Undoes a connection.
    fn disconnect(&mut self, line: u32, events: BorrowedFd<'_>);

    /// Sends a message now. A guest that has not switched its interrupt controller on
    /// yet loses it, which is no error.
    ///
    /// # Errors
    /// When the hypervisor refuses.
    fn signal(&mut self, msi: Msi) -> Result<(), VmError>;

    /// Something for the log: what was refused to the guest by the host, and why. The library
    /// calls it for ten lines at once, then two a second, and says how many more there were.
    fn log(&mut self, words: &str);
}

/// A container through VFIO, with what the guest uses of it.
pub struct VfioHost<V: Vm> {
    vm: V,
    log_limit: LogLimit,
    held: BTreeMap<ObjectId, Held>,
    /// By guest physical address, pages of command portals; `None` where loads are exits.
    pages: BTreeMap<u64, Option<Arc<PortalPage>>>,
    /// The container was taken from this process.
    is_revoked: bool,
    portal: McPortal,
    assigned: Arc<AssignedContainer>,
}

/// An object that the guest uses.
struct Held {
    device: Device,
    /// Guest physical addresses of its memory slots.
    slots: Vec<u64>,
    lines: BTreeMap<u8, Line>,
}

struct Line {
    number: u32,
    msi: Msi,
    delivery: Delivery,
    interrupt: Interrupt,
    /// The object was reset since: the host sets the interrupt again.
    stale: bool,
}

impl<V: Vm> fmt::Debug for VfioHost<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VfioHost").field("assigned", &self.assigned).finish_non_exhaustive()
    }
}

impl<V: Vm> VfioHost<V> {
    /// A container that is open, whose guest the kernel knows already; `device` is the
    /// container itself.
    ///
    /// # Errors
    /// When it has no portal.
    pub(crate) fn new(
        assigned: Arc<AssignedContainer>,
        device: &Device,
        vm: V,
    ) -> dprc::Result<Self> {
        let (held, pages) = (BTreeMap::new(), BTreeMap::new());
        let (log_limit, portal) = (LogLimit::default(), device.portal()?);
        Ok(Self { vm, log_limit, held, pages, is_revoked: false, portal, assigned })
    }

    /// The VMM.
    pub fn vm(&mut self) -> &mut V {
        &mut self.vm
    }

    /// Eventfds that must be watched, with the message that each stands for.
    pub(crate) fn watched(&self) -> impl Iterator<Item = (Msi, &Interrupt)> {
        let lines = self.held.values().flat_map(|held| held.lines.values());
        lines
            .filter(|line| line.delivery == Delivery::Watched)
            .map(|line| (line.msi, &line.interrupt))
    }

    fn held(&mut self, object: ObjectId) -> Result<&mut Held, HostError> {
        if !self.held.contains_key(&object) {
            let device =
                self.assigned.device(&object.to_string()).map_err(|error| self.failed(error))?;
            let held = Held { device, slots: Vec::new(), lines: BTreeMap::new() };
            self.held.insert(object, held);
        }
        self.held.get_mut(&object).ok_or_else(|| HostError(format!("{object} is not open")))
    }

    /// The driver passes nothing on for a container that was taken from this process, and never
    /// will again (docs/driver.md, "When an object is taken away"). It is said once.
    fn revoked(&mut self) -> HostError {
        let words = "the host has taken the container away: the guest loses all that is in it, \
                     and gets no answer from the MC any more";
        if !std::mem::replace(&mut self.is_revoked, true) {
            self.log(words);
        }
        HostError(words.to_owned())
    }

    fn failed(&mut self, error: impl fmt::Display) -> HostError {
        let error = HostError::of(error);
        self.log(&error.0);
        error
    }

    /// A line for the VMM's log, unless there have been too many.
    pub(crate) fn log(&mut self, words: &str) {
        self.log_limit.write(Instant::now(), words, |line| self.vm.log(line));
    }

    /// A page for a portal, with what it shows, before the guest gets it.
    fn map_page(
        &mut self,
        at: u64,
        registers: &[u8; Message::SIZE],
    ) -> std::io::Result<Option<Arc<PortalPage>>> {
        let page = Arc::new(PortalPage::new()?);
        page.show(registers);
        let loads = self.vm.map_portal(at, Arc::clone(&page));
        Ok((loads == Loads::Mapped).then_some(page))
    }

    fn shut(&mut self, object: ObjectId, index: u8) {
        let line = self.held.get_mut(&object).and_then(|held| held.lines.remove(&index));
        if let Some(line) = line {
            self.vm.disconnect(line.number, line.interrupt.events().as_fd());
        }
    }

    /// A number that names no connection: one that was used before, where its connection is gone.
    fn free_line(&self) -> u32 {
        let lines = self.held.values().flat_map(|held| held.lines.values());
        free_number(&lines.map(|line| line.number).collect())
    }

    fn set(&mut self, object: ObjectId, index: u8, msi: Msi) -> Result<(), HostError> {
        let usable = self.held(object)?.lines.get(&index).is_some_and(|line| !line.stale);
        if !usable {
            self.shut(object, index);
            let device = self.held(object)?.device.clone();
            let interrupt =
                device.enable_interrupt(index.into()).map_err(|error| self.failed(error))?;
            let number = self.free_line();
            let delivery = Delivery::Direct;
            let line = Line { number, msi, delivery, interrupt, stale: false };
            self.held(object)?.lines.insert(index, line);
        }
        let Some(line) = self.held.get_mut(&object).and_then(|held| held.lines.get_mut(&index))
        else {
            return Ok(());
        };
        match self.vm.connect(line.number, line.interrupt.events().as_fd(), msi) {
            Ok(delivery) => {
                line.msi = msi;
                line.delivery = delivery;
                Ok(())
            }
            Err(error) => {
                // What was connected before stays so, as the guest's setting does.
                if !usable {
                    self.shut(object, index);
                }
                Err(self.failed(format!("interrupt {index} of {object}: {error}")))
            }
        }
    }
}

impl<V: Vm> Host for VfioHost<V> {
    fn exchange(&mut self, command: &Message) -> Result<Message, HostError> {
        match self.portal.exchange(command) {
            Ok(answer) => Ok(answer),
            Err(PortalError::Kernel { errno: Errno::NODEV, .. }) => Err(self.revoked()),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn is_revoked(&self) -> bool {
        self.is_revoked
    }

    fn map(&mut self, region: &HostRegion, at: u64) -> Result<(), HostError> {
        let device = self.held(region.object)?.device.clone();
        let mapped = device.map_region(region.index.into()).map_err(|error| self.failed(error))?;
        let what = format!("region {} of {}", region.index, region.object);
        if (mapped.size() as u64) < region.size {
            return Err(self.failed(format!("{what} is smaller than the MC says")));
        }
        self.vm
            .map(at, Arc::new(mapped))
            .map_err(|error| self.failed(format!("{what}: {error}")))?;
        self.held(region.object)?.slots.push(at);
        Ok(())
    }

    fn route(&mut self, object: ObjectId, index: u8, msi: Option<Msi>) -> Result<(), HostError> {
        match msi {
            Some(msi) => self.set(object, index, msi),
            None => {
                self.shut(object, index);
                Ok(())
            }
        }
    }

    fn reset(&mut self, object: ObjectId) {
        for line in self.held.get_mut(&object).into_iter().flat_map(|held| held.lines.values_mut())
        {
            line.stale = true;
        }
    }

    fn gone(&mut self, object: ObjectId) {
        let Some(held) = self.held.remove(&object) else { return };
        release(&mut self.vm, &held);
    }

    fn signal(&mut self, msi: Msi) {
        if let Err(error) = self.vm.signal(msi) {
            self.log(&format!("interrupt {msi:x?}: {error}"));
        }
    }

    fn show(&mut self, at: u64, registers: &[u8; Message::SIZE]) {
        if let Some(known) = self.pages.get(&at) {
            return known.iter().for_each(|page| page.show(registers));
        }
        let page = self.map_page(at, registers).unwrap_or_else(|error| {
            self.log(&format!("a page for a command portal: {error}: its loads are exits"));
            None
        });
        self.pages.insert(at, page);
    }

    fn hide(&mut self, at: u64) {
        if let Some(Some(_)) = self.pages.remove(&at) {
            self.vm.unmap_portal(at);
        }
    }
}

/// The least number that is not among these.
fn free_number(taken: &BTreeSet<u32>) -> u32 {
    (0..).find(|number| !taken.contains(number)).unwrap_or(u32::MAX)
}

/// The hypervisor lets go before the devices are closed.
fn release<V: Vm>(vm: &mut V, held: &Held) {
    for line in held.lines.values() {
        vm.disconnect(line.number, line.interrupt.events().as_fd());
    }
    for slot in &held.slots {
        vm.unmap(*slot);
    }
}

impl<V: Vm> Drop for VfioHost<V> {
    fn drop(&mut self) {
        for held in self.held.values() {
            release(&mut self.vm, held);
        }
        for at in self.pages.keys().copied().collect::<Vec<_>>() {
            self.hide(at);
        }
        self.log_limit.end(|line| self.vm.log(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_lines_are_used_again() {
        assert_eq!(free_number(&BTreeSet::new()), 0);
        assert_eq!(free_number(&BTreeSet::from([0, 1, 3, u32::MAX])), 2);
    }
}
