// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! An assigned container as a VMM has it: open, mapped, emulated, watched.

use crate::emulation::{Emulation, Identity, StartError};
use crate::host::Host;
use crate::vfio::{VfioHost, Vm, VmError};
use crate::windows::Windows;
use dprc::{Access, AssignedContainer, EventFd, Interrupt, MappedMemory};
use mc_abi::{Message, ObjectId, ObjectType, Request, Status, common, dprc as container};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use vm_memory::GuestMemoryBackend;

/// Events of a container that its guest is notified of.
const EVENTS: u32 = container::event::OBJ_ADDED
    | container::event::OBJ_REMOVED
    | container::event::OBJ_CREATED
    | container::event::OBJ_DESTROYED;

/// How often an interrupt is looked for that the hypervisor does not take by itself.
const WATCH: Duration = Duration::from_millis(1);

/// How often the container is looked at where nothing says that it has changed.
const LOOK: Duration = Duration::from_secs(1);

/// Why a container is not assigned.
#[derive(Debug, thiserror::Error)]
pub enum AssignmentError {
    /// The name is not that of a container.
    #[error("{0:?} is no container: write dprc.N")]
    Name(String),
    /// The kernel refuses.
    #[error(transparent)]
    Kernel(#[from] dprc::Error),
    /// The hypervisor refuses.
    #[error("the hypervisor does not take the group of {container}: {reason}")]
    Vm {
        /// The container.
        container: String,
        /// Why.
        reason: VmError,
    },
    /// The Management Complex refuses.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The system has no thread to watch it.
    #[error("starting a thread for {container}: {reason}")]
    Thread {
        /// The container.
        container: String,
        /// Why.
        reason: std::io::Error,
    },
}

/// A container that belongs to a guest. When it is dropped, what the guest has open is
/// closed, the hypervisor lets go of it, the last close resets the container, and the
/// guest's memory is unmapped.
pub struct Assignment<V: Vm + 'static, M> {
    watcher: Option<JoinHandle<()>>,
    stop: Arc<Stop>,
    held: Held<Shared<V>, MappedMemory<M>, Arc<AssignedContainer>>,
    identity: Identity,
    portals: u64,
}

type Shared<V> = Arc<Mutex<Emulation<VfioHost<V>>>>;

/// What an assignment has of the host, in the order in which it goes.
///
/// Objects write to the guest's memory until they are closed, which resets them. The kernel
/// unmaps memory only while the group is in its container (Linux `drivers/vfio/container.c`,
/// `vfio_group_detach_container`), and [`MappedMemory`] frees none that it cannot unmap.
struct Held<E, M, G> {
    /// Has the objects.
    emulation: E,
    _memory: M,
    _group: G,
}

struct Stop {
    wanted: AtomicBool,
    events: EventFd,
}

impl<V: Vm + 'static, M: GuestMemoryBackend + Clone> Assignment<V, M> {
    /// Opens a container that is bound to `vfio-fsl-mc`, lets its devices reach the
    /// guest's memory, and starts to watch it.
    ///
    /// # Errors
    /// [`AssignmentError`]; nothing is left behind.
    pub fn open(
        name: &str,
        icid: u16,
        windows: Windows,
        memory: &M,
        mut vm: V,
    ) -> Result<Self, AssignmentError> {
        let identity = Identity { container: number(name)?, icid };
        let portals = windows.portals();
        // Goes last, by whichever way this ends: see `Held`.
        let assigned = Arc::new(AssignedContainer::open(name)?);
        vm.introduce(assigned.group.as_fd())
            .map_err(|reason| AssignmentError::Vm { container: name.to_owned(), reason })?;
        let memory = assigned.iommu.map_memory(memory, Access::ReadWrite)?;
        let device = assigned.dprc()?;
        // A kernel may have no interrupt of containers for user space.
        let changes = device.enable_interrupt(0).ok();
        let host = VfioHost::new(Arc::clone(&assigned), &device, vm)?;
        let mut emulation = Emulation::new(host, identity, windows)?;
        listen(&mut emulation);
        let emulation = Arc::new(Mutex::new(emulation));
        let stop = Arc::new(Stop { wanted: AtomicBool::new(false), events: EventFd::new()? });
        let (watched, stopped) = (Arc::clone(&emulation), Arc::clone(&stop));
        let watcher = std::thread::Builder::new()
            .name(format!("watch {name}"))
            .spawn(move || watch(&watched, changes.as_ref(), &stopped))
            .map_err(|reason| AssignmentError::Thread { container: name.to_owned(), reason })?;
        let held = Held { emulation, _memory: memory, _group: assigned };
        Ok(Self { watcher: Some(watcher), stop, held, identity, portals })
    }

    /// What it is to the guest.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Guest physical address of the window of command portals, which
    /// [`load`](Self::load) and [`store`](Self::store) are for.
    pub fn portals(&self) -> u64 {
        self.portals
    }

    /// Where the guest finds things.
    pub fn windows(&self) -> Windows {
        self.lock().windows().clone()
    }

    /// What is in it.
    pub fn objects(&self) -> Vec<ObjectId> {
        self.lock().objects()
    }

    /// The guest loads from the window of command portals.
    pub fn load(&self, offset: u64, bytes: &mut [u8]) {
        self.lock().load(offset, bytes);
    }

    /// The guest stores to the window of command portals. Returns when the Management
    /// Complex has answered.
    pub fn store(&self, offset: u64, bytes: &[u8]) {
        self.lock().store(offset, bytes);
    }

    fn lock(&self) -> MutexGuard<'_, Emulation<VfioHost<V>>> {
        self.held.emulation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Vm + 'static, M> Drop for Assignment<V, M> {
    fn drop(&mut self) {
        self.stop.wanted.store(true, Ordering::Release);
        // The watcher looks often enough should this fail.
        let _ = rustix::io::write(&self.stop.events, &1_u64.to_ne_bytes());
        if let Some(watcher) = self.watcher.take() {
            // It does not panic; and if it did, it would be gone.
            let _ = watcher.join();
        }
    }
}

fn number(name: &str) -> Result<u32, AssignmentError> {
    match name.parse::<ObjectId>() {
        Ok(id) if id.kind == ObjectType::Dprc => Ok(id.id),
        _ => Err(AssignmentError::Name(name.to_owned())),
    }
}

/// Asks the Management Complex for the container's interrupt. The driver does the same
/// where it wants to know, too; where neither works the watcher looks by itself.
fn listen<V: Vm>(emulation: &mut Emulation<VfioHost<V>>) {
    let token = emulation.token();
    let mask = common::SetIrqMask { mask: EVENTS, index: 0 }.message(token);
    let enable = common::SetIrqEnable { enable: true, index: 0 }.message(token);
    for command in [mask, enable] {
        let answer: Option<Message> = emulation.host().exchange(&command).ok();
        let status = answer.map(|answer| answer.header.status());
        if status != Some(Status::Ok) {
            emulation.host().vm().log("the container's interrupt cannot be enabled");
        }
    }
}

/// Waits for changes of the container and for interrupts that the hypervisor does not
/// take by itself.
fn watch<V: Vm>(
    emulation: &Mutex<Emulation<VfioHost<V>>>,
    changes: Option<&Interrupt>,
    stop: &Stop,
) {
    let lock = || emulation.lock().unwrap_or_else(PoisonError::into_inner);
    while !stop.wanted.load(Ordering::Acquire) {
        let slow = deliver(&mut lock());
        let patience = if slow { WATCH } else { LOOK };
        let timeout = Timespec {
            tv_sec: patience.as_secs() as i64,
            tv_nsec: i64::from(patience.subsec_nanos()),
        };
        let mut files = vec![PollFd::new(&stop.events, PollFlags::IN)];
        files.extend(changes.map(|irq| PollFd::new(irq.events(), PollFlags::IN)));
        if poll(&mut files, Some(&timeout)).is_err() {
            // A signal, or no memory: it is tried again.
            std::thread::sleep(WATCH);
        }
        let changed = match changes {
            Some(interrupt) => interrupt.events().take().unwrap_or(0) > 0,
            None => !slow,
        };
        if changed && !stop.wanted.load(Ordering::Acquire) {
            lock().objects_changed();
        }
    }
}

/// Sends the messages of interrupts that have fired; says whether there are any to be
/// watched.
fn deliver<V: Vm>(emulation: &mut Emulation<VfioHost<V>>) -> bool {
    let host = emulation.host();
    let mut any = false;
    let mut fired = Vec::new();
    for (msi, interrupt) in host.watched() {
        any = true;
        if interrupt.events().take().unwrap_or(0) > 0 {
            fired.push(msi);
        }
    }
    for msi in fired {
        host.signal(msi);
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    struct Noted<'a>(&'static str, &'a RefCell<Vec<&'static str>>);

    impl Drop for Noted<'_> {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0);
        }
    }

    #[test]
    fn memory_is_unmapped_when_objects_are_closed_and_the_group_is_open() {
        let gone = RefCell::default();
        let [group, memory, objects] = ["group", "memory", "objects"].map(|n| Noted(n, &gone));
        drop(Held { _group: group, _memory: memory, emulation: objects });
        assert_eq!(gone.into_inner(), ["objects", "memory", "group"]);
    }
}
