// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! An assigned container as a VMM has it: open, mapped, emulated, watched.

use crate::attention::Attention;
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
use std::time::{Duration, Instant};
use vm_memory::GuestMemoryBackend;

/// Events of a container that its guest is notified of.
const EVENTS: u32 = container::event::OBJ_ADDED
    | container::event::OBJ_REMOVED
    | container::event::OBJ_CREATED
    | container::event::OBJ_DESTROYED;

/// The interrupt by which the driver asks for the container, or says that it was taken away
/// (`VFIO_FSL_MC_REQ_IRQ_INDEX`, docs/driver.md).
const REQUESTS: u32 = 256;

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
        // The kernel's own driver has none of these either.
        let requests = device.enable_interrupt(REQUESTS).ok();
        let host = VfioHost::new(Arc::clone(&assigned), &device, vm)?;
        let mut emulation = Emulation::new(host, identity, windows)?;
        let changes = changes.filter(|_| listen(&mut emulation));
        let emulation = Arc::new(Mutex::new(emulation));
        let stop = Arc::new(Stop { wanted: AtomicBool::new(false), events: EventFd::new()? });
        let (watched, stopped) = (Arc::clone(&emulation), Arc::clone(&stop));
        let watcher = std::thread::Builder::new()
            .name(format!("watch {name}"))
            .spawn(move || {
                let events = |interrupt| Option::as_ref(interrupt).map(Interrupt::events);
                watch(&watched, events(&changes), events(&requests), &stopped);
            })
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
/// where it wants to know, too. Whether that is so: otherwise the watcher looks by itself.
fn listen<V: Vm>(emulation: &mut Emulation<VfioHost<V>>) -> bool {
    let token = emulation.token();
    let mask = common::SetIrqMask { mask: EVENTS, index: 0 }.message(token);
    let enable = common::SetIrqEnable { enable: true, index: 0 }.message(token);
    let mut is_enabled = true;
    for command in [mask, enable] {
        let answer: Option<Message> = emulation.host().exchange(&command).ok();
        let status = answer.map(|answer| answer.header.status());
        if status != Some(Status::Ok) {
            emulation.host().log("the container's interrupt cannot be enabled");
            is_enabled = false;
        }
    }
    is_enabled
}

/// What the watcher needs of the machine below.
trait Watched: Host {
    /// Sends the messages of interrupts that have fired and that the hypervisor does not take
    /// by itself; says whether there are any to be watched.
    fn deliver(&mut self) -> bool;

    /// Something for the VMM's log.
    fn log(&mut self, words: &str);
}

impl<V: Vm> Watched for VfioHost<V> {
    fn deliver(&mut self) -> bool {
        let mut any = false;
        let mut fired = Vec::new();
        for (msi, interrupt) in self.watched() {
            any = true;
            if interrupt.events().take().unwrap_or(0) > 0 {
                fired.push(msi);
            }
        }
        for msi in fired {
            self.signal(msi);
        }
        any
    }

    fn log(&mut self, words: &str) {
        Self::log(self, words);
    }
}

/// Waits for changes of the container, for requests of its driver, and for interrupts that the
/// hypervisor does not take by itself.
fn watch<H: Watched>(
    emulation: &Mutex<Emulation<H>>,
    changes: Option<&EventFd>,
    requests: Option<&EventFd>,
    stop: &Stop,
) {
    let events = || changes.into_iter().chain(requests);
    let lock = || emulation.lock().unwrap_or_else(PoisonError::into_inner);
    let mut attention = Attention::default();
    while !stop.wanted.load(Ordering::Acquire) {
        let (is_slow, is_stale) = {
            let mut emulation = lock();
            (emulation.host().deliver(), emulation.is_stale())
        };
        let now = Instant::now();
        if is_stale {
            attention.want(now);
        } else if changes.is_none() {
            attention.want(now + LOOK);
        }
        let patience = if is_slow { WATCH } else { LOOK };
        wait(events(), stop, attention.left(now).map_or(patience, |left| left.min(patience)));
        let now = Instant::now();
        // Each is taken, whatever the others say.
        if events().filter(|events| events.take().unwrap_or(0) > 0).count() > 0 {
            attention.want(now);
        }
        if attention.left(now) == Some(Duration::ZERO) && !stop.wanted.load(Ordering::Acquire) {
            look(&mut lock(), &mut attention);
        }
    }
}

/// Until something happens, or `patience` is over.
fn wait<'a>(events: impl Iterator<Item = &'a EventFd>, stop: &'a Stop, patience: Duration) {
    let timeout =
        Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
    let mut files = vec![PollFd::new(&stop.events, PollFlags::IN)];
    files.extend(events.map(|events| PollFd::new(events, PollFlags::IN)));
    if poll(&mut files, Some(&timeout)).is_err() {
        // A signal, or no memory: it is tried again.
        std::thread::sleep(WATCH);
    }
}

fn look<H: Watched>(emulation: &mut Emulation<H>, attention: &mut Attention) {
    let outcome = emulation.objects_changed();
    let failure = attention.looked(Instant::now(), outcome, emulation.is_stale());
    if let Some(status) = failure {
        let words = format!("what is in the container cannot be asked: {status}: trying again");
        emulation.host().log(&words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{HostError, HostRegion, Msi};
    use mc_abi::blocks::ObjectDescription;
    use mc_abi::{Header, Params, Wire};
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

    /// A container whose Management Complex answers no more than what the emulation asks when
    /// it looks.
    #[derive(Debug, Default)]
    struct Listed {
        objects: Vec<ObjectDescription>,
        /// Commands that are not answered.
        unanswered: u32,
        lines: Vec<String>,
    }

    impl Host for Listed {
        fn exchange(&mut self, command: &Message) -> Result<Message, HostError> {
            if let Some(left) = self.unanswered.checked_sub(1) {
                self.unanswered = left;
                return Err(HostError("no answer".to_owned()));
            }
            let mut params = Params::ZERO;
            match command.header.number() {
                container::GetObjectCount::NUMBER => {
                    let count = self.objects.len() as u32;
                    container::GetObjectCountReply { count }.encode(&mut params, 1);
                }
                container::GetObject::NUMBER => {
                    let ask = container::GetObject::decode(&command.params, 1).unwrap();
                    let object = self.objects[ask.index as usize];
                    container::GetObjectReply { object }.encode(&mut params, 1);
                }
                _ => {}
            }
            Ok(Message { header: Header::with_status(command.header, Status::Ok), params })
        }

        fn map(&mut self, _: &HostRegion, _: u64) -> Result<(), HostError> {
            Ok(())
        }

        fn route(&mut self, _: ObjectId, _: u8, _: Option<Msi>) -> Result<(), HostError> {
            Ok(())
        }

        fn reset(&mut self, _: ObjectId) {}

        fn gone(&mut self, _: ObjectId) {}

        fn signal(&mut self, _: Msi) {}
    }

    impl Watched for Listed {
        fn deliver(&mut self) -> bool {
            false
        }

        fn log(&mut self, words: &str) {
            self.lines.push(words.to_owned());
        }
    }

    /// What a watcher has found and logged after a change of which an event tells, if anything,
    /// where so many commands are not answered.
    fn watched(
        changes: Option<&EventFd>,
        requests: Option<&EventFd>,
        unanswered: u32,
    ) -> (Vec<ObjectId>, Vec<String>) {
        let windows = Windows::new(0x1000_0000, 0x1400_0000).unwrap();
        let identity = Identity { container: 2, icid: 1 };
        let emulation = Emulation::new(Listed::default(), identity, windows).unwrap();
        let emulation = Mutex::new(emulation);
        let stop = Stop { wanted: AtomicBool::new(false), events: EventFd::new().unwrap() };
        std::thread::scope(|scope| {
            scope.spawn(|| watch(&emulation, changes, requests, &stop));
            {
                let mut emulation = emulation.lock().unwrap();
                let kind = ObjectType::Dpbp;
                let state = container::state::PLUGGED;
                let plugged = ObjectDescription { kind, state, ..Default::default() };
                emulation.host().objects.push(plugged);
                emulation.host().unanswered = unanswered;
            }
            requests.or(changes).iter().for_each(|events| events.signal().unwrap());
            let end = Instant::now() + Duration::from_secs(20);
            while emulation.lock().unwrap().objects().is_empty() && Instant::now() < end {
                std::thread::sleep(WATCH);
            }
            stop.wanted.store(true, Ordering::Release);
            stop.events.signal().unwrap();
        });
        let mut emulation = emulation.into_inner().unwrap();
        (emulation.objects(), std::mem::take(&mut emulation.host().lines))
    }

    #[test]
    fn a_change_is_found_though_looks_fail_and_the_log_says_so_once() {
        let (events, all) = (EventFd::new().unwrap(), [ObjectId::new(ObjectType::Dpbp, 0)]);
        assert_eq!(watched(Some(&events), None, 0), (all.to_vec(), Vec::new()));
        let (objects, lines) = watched(Some(&events), None, 3);
        assert_eq!(objects, all);
        assert_eq!(lines.len(), 1, "{lines:?}");
        // Where there is no event.
        assert_eq!(watched(None, None, 0), (all.to_vec(), Vec::new()));
        // Where the driver says that there is something to be seen.
        let requests = EventFd::new().unwrap();
        let found = watched(Some(&events), Some(&requests), 0);
        assert_eq!(found, (all.to_vec(), Vec::new()));
    }
}
