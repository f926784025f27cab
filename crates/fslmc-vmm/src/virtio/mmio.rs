// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A device with one queue behind registers in memory (VIRTIO 1.2, 4.2 "Virtio Over MMIO").
//!
//! The guest's processors reach the registers; a thread of the device's own does what the
//! queue asks for ([`Port::serve`]). A guest that breaks the rules of the queue is told that
//! the device needs a reset (2.1.2), and gets nothing done until it resets it.

use crate::streams::tell;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use virtio_bindings::virtio_config::{
    VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_NEEDS_RESET,
    VIRTIO_F_VERSION_1,
};
use virtio_bindings::virtio_mmio::{
    VIRTIO_MMIO_CONFIG, VIRTIO_MMIO_CONFIG_GENERATION, VIRTIO_MMIO_DEVICE_FEATURES,
    VIRTIO_MMIO_DEVICE_FEATURES_SEL, VIRTIO_MMIO_DEVICE_ID, VIRTIO_MMIO_DRIVER_FEATURES,
    VIRTIO_MMIO_DRIVER_FEATURES_SEL, VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_VRING,
    VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INTERRUPT_STATUS, VIRTIO_MMIO_MAGIC_VALUE,
    VIRTIO_MMIO_QUEUE_AVAIL_HIGH, VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_MMIO_QUEUE_DESC_HIGH,
    VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_NOTIFY, VIRTIO_MMIO_QUEUE_NUM,
    VIRTIO_MMIO_QUEUE_NUM_MAX, VIRTIO_MMIO_QUEUE_READY, VIRTIO_MMIO_QUEUE_SEL,
    VIRTIO_MMIO_QUEUE_USED_HIGH, VIRTIO_MMIO_QUEUE_USED_LOW, VIRTIO_MMIO_SHM_BASE_HIGH,
    VIRTIO_MMIO_SHM_LEN_LOW, VIRTIO_MMIO_STATUS, VIRTIO_MMIO_VENDOR_ID, VIRTIO_MMIO_VERSION,
};
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::EventFd;

/// "virt", little-endian.
const MAGIC: u32 = 0x7472_6976;

/// The layout of registers that VIRTIO 1 has.
const VERSION: u32 = 2;

/// "FSLM": nobody registers numbers of vendors.
const VENDOR: u32 = 0x4d4c_5346;

/// Descriptors of the queue, at most.
const QUEUE_SIZE: u16 = 128;

/// What the transport itself offers.
const OFFERED: u64 =
    1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_RING_F_EVENT_IDX | 1 << VIRTIO_RING_F_INDIRECT_DESC;

/// A request of the driver's that the device cannot even refuse.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The queue itself.
    #[error("its queue: {0}")]
    Queue(#[from] virtio_queue::Error),
    /// A request without room for an answer, or outside of memory.
    #[error("a request: {0}")]
    Request(#[from] io::Error),
}

/// What is behind the transport.
pub trait Device: Send + Sync {
    /// Number of its kind (VIRTIO 1.2, 5 "Device Types").
    const ID: u32;

    /// Features of its kind that it offers.
    fn features(&self) -> u64;

    /// Its configuration, little-endian as the driver reads it.
    fn configuration(&self) -> &[u8];

    /// Does what a chain of descriptors asks for; says how many bytes it has written to the
    /// guest's memory. Once `ends` is set it is to return soon: what it has not done by then,
    /// it tells the driver that it has failed.
    ///
    /// # Errors
    /// [`Broken`]; what can be refused is no error.
    fn execute(
        &self,
        memory: &GuestMemoryMmap,
        chain: DescriptorChain<&GuestMemoryMmap>,
        ends: &AtomicBool,
    ) -> Result<u32, Broken>;
}

/// A device and its registers.
pub struct Port<D> {
    state: Mutex<State<D>>,
    /// Reasons of the interrupt, which a driver reads while the device works.
    reasons: AtomicU32,
    /// Signals the interrupt.
    line: EventFd,
    /// Wakes the device's thread: the driver has something in the queue, or all ends.
    bell: EventFd,
    ends: AtomicBool,
}

struct State<D> {
    device: Arc<D>,
    queue: Queue,
    status: u32,
    /// Which half of the features the driver looks at, and which it writes.
    offered: u32,
    accepted: u32,
    features: u64,
    /// The driver looks at this queue, of which there is only the first.
    selected: u32,
    /// A driver that breaks the rules was told of, which is done once: how often it does so is
    /// the guest's choice.
    told: bool,
}

impl<D: Device> Port<D> {
    /// A device at rest, whose interrupt is `line`.
    ///
    /// # Errors
    /// The system has no eventfd left.
    pub fn new(device: Arc<D>, line: EventFd) -> io::Result<Self> {
        let queue = Queue::new(QUEUE_SIZE).map_err(io::Error::other)?;
        let (status, offered, accepted, features, selected) = (0, 0, 0, 0, 0);
        let told = false;
        let state = State { device, queue, status, offered, accepted, features, selected, told };
        Ok(Self {
            state: Mutex::new(state),
            reasons: AtomicU32::new(0),
            line,
            bell: EventFd::new(0)?,
            ends: AtomicBool::new(false),
        })
    }

    /// What a store to [`VIRTIO_MMIO_QUEUE_NOTIFY`] signals, for who has a shorter way.
    pub fn bell(&self) -> &EventFd {
        &self.bell
    }

    fn lock(&self) -> MutexGuard<'_, State<D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A load of the guest's. Registers are words; all else reads as zero.
    pub fn load(&self, offset: u64, bytes: &mut [u8]) {
        bytes.fill(0);
        let Ok(offset) = u32::try_from(offset) else { return };
        if let Some(place) = offset.checked_sub(VIRTIO_MMIO_CONFIG) {
            let state = self.lock();
            let all = state.device.configuration();
            let rest = all.get(place as usize..).unwrap_or_default();
            bytes.iter_mut().zip(rest).for_each(|(byte, value)| *byte = *value);
        } else if let Ok(word) = <&mut [u8; 4]>::try_from(bytes) {
            *word = self.register(offset).to_le_bytes();
        }
    }

    fn register(&self, offset: u32) -> u32 {
        match offset {
            VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            VIRTIO_MMIO_VERSION => VERSION,
            VIRTIO_MMIO_DEVICE_ID => D::ID,
            VIRTIO_MMIO_VENDOR_ID => VENDOR,
            VIRTIO_MMIO_INTERRUPT_STATUS => self.reasons.load(Ordering::Acquire),
            VIRTIO_MMIO_CONFIG_GENERATION => 0,
            // A region of shared memory that is not there is that long.
            VIRTIO_MMIO_SHM_LEN_LOW..=VIRTIO_MMIO_SHM_BASE_HIGH => u32::MAX,
            _ => self.lock().register(offset),
        }
    }

    /// A store of the guest's; what is no register goes nowhere.
    pub fn store(&self, offset: u64, bytes: &[u8]) {
        let (Ok(offset), Ok(word)) = (u32::try_from(offset), <[u8; 4]>::try_from(bytes)) else {
            return;
        };
        let value = u32::from_le_bytes(word);
        match offset {
            VIRTIO_MMIO_QUEUE_NOTIFY => self.ring(),
            VIRTIO_MMIO_INTERRUPT_ACK => {
                self.reasons.fetch_and(!value, Ordering::AcqRel);
            }
            VIRTIO_MMIO_STATUS if value == 0 => {
                self.lock().reset();
                self.reasons.store(0, Ordering::Release);
            }
            _ => self.lock().set_register(offset, value),
        }
    }

    fn ring(&self) {
        // It fails where the count is at its limit: then the thread is woken up anyway.
        let _ = self.bell.write(1);
    }

    /// Works until [`Port::end`], in a thread of its own.
    pub fn serve(&self, memory: &GuestMemoryMmap) {
        while !self.ends() {
            self.work(memory);
            if self.bell.read().is_err() {
                // Nothing wakes it any more; the guest's requests stay where they are.
                return;
            }
        }
    }

    /// Ends [`Port::serve`]: a request that is being carried out may fail, those behind it
    /// stay where they are.
    pub fn end(&self) {
        self.ends.store(true, Ordering::Release);
        self.ring();
    }

    /// Does all that is in the queue, until [`Port::end`].
    pub(super) fn work(&self, memory: &GuestMemoryMmap) {
        let mut state = self.lock();
        if !state.running() {
            return;
        }
        if let Err(broken) = self.empty(&mut state, memory) {
            let was_told = std::mem::replace(&mut state.told, true);
            if !was_told {
                tell(format_args!(
                    "fslmc-vmm: the guest's driver of a virtio device breaks {broken}"
                ));
            }
            state.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
            self.interrupt(VIRTIO_MMIO_INT_CONFIG);
        }
    }

    fn empty(&self, state: &mut State<D>, memory: &GuestMemoryMmap) -> Result<(), Broken> {
        if !state.queue.is_valid(memory) {
            return Err(Broken::Queue(virtio_queue::Error::QueueNotReady));
        }
        loop {
            state.queue.disable_notification(memory)?;
            while let Some(chain) = self.next(&mut state.queue, memory)? {
                let head = chain.head_index();
                let written = state.device.execute(memory, chain, &self.ends)?;
                state.queue.add_used(memory, head, written)?;
                if state.queue.needs_notification(memory)? {
                    self.interrupt(VIRTIO_MMIO_INT_VRING);
                }
            }
            if !state.queue.enable_notification(memory)? || self.ends() {
                return Ok(());
            }
        }
    }

    /// The next request; none from the end on, however many the driver adds.
    fn next<'a>(
        &self,
        queue: &mut Queue,
        memory: &'a GuestMemoryMmap,
    ) -> Result<Option<DescriptorChain<&'a GuestMemoryMmap>>, virtio_queue::Error> {
        if self.ends() { Ok(None) } else { Ok(queue.iter(memory)?.next()) }
    }

    fn ends(&self) -> bool {
        self.ends.load(Ordering::Acquire)
    }

    fn interrupt(&self, reason: u32) {
        self.reasons.fetch_or(reason, Ordering::AcqRel);
        // As for the bell.
        let _ = self.line.write(1);
    }
}

impl<D: Device> State<D> {
    fn offered(&self) -> u64 {
        OFFERED | self.device.features()
    }

    fn running(&self) -> bool {
        let wanted = VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET;
        self.status & wanted == VIRTIO_CONFIG_S_DRIVER_OK
    }

    fn reset(&mut self) {
        self.queue.reset();
        self.status = 0;
        self.offered = 0;
        self.accepted = 0;
        self.features = 0;
        self.selected = 0;
    }

    fn register(&self, offset: u32) -> u32 {
        let present = self.selected == 0;
        match offset {
            VIRTIO_MMIO_DEVICE_FEATURES => half(self.offered(), self.offered),
            VIRTIO_MMIO_QUEUE_NUM_MAX if present => QUEUE_SIZE.into(),
            VIRTIO_MMIO_QUEUE_READY if present => self.queue.ready().into(),
            VIRTIO_MMIO_STATUS => self.status,
            _ => 0,
        }
    }

    fn set_register(&mut self, offset: u32, value: u32) {
        match offset {
            VIRTIO_MMIO_DEVICE_FEATURES_SEL => self.offered = value,
            VIRTIO_MMIO_DRIVER_FEATURES_SEL => self.accepted = value,
            VIRTIO_MMIO_DRIVER_FEATURES => self.accept(value),
            VIRTIO_MMIO_STATUS => self.set_status(value),
            VIRTIO_MMIO_QUEUE_SEL => self.selected = value,
            _ if self.selected == 0 => self.set_queue(offset, value),
            _ => {}
        }
    }

    /// The driver takes half of the features; once it has said that these are all, no more.
    fn accept(&mut self, value: u32) {
        if self.status & VIRTIO_CONFIG_S_FEATURES_OK != 0 {
            return;
        }
        let value = u64::from(value);
        match self.accepted {
            0 => self.features = self.features & !0xffff_ffff | value,
            1 => self.features = self.features & 0xffff_ffff | value << 32,
            _ => {}
        }
    }

    fn set_status(&mut self, value: u32) {
        let mut status = value | self.status & VIRTIO_CONFIG_S_NEEDS_RESET;
        let agreed =
            self.features & !self.offered() == 0 && self.features >> VIRTIO_F_VERSION_1 & 1 == 1;
        if !agreed {
            status &= !VIRTIO_CONFIG_S_FEATURES_OK;
        }
        if status & VIRTIO_CONFIG_S_FEATURES_OK != 0 {
            self.queue.set_event_idx(self.features >> VIRTIO_RING_F_EVENT_IDX & 1 == 1);
        } else {
            status &= !VIRTIO_CONFIG_S_DRIVER_OK;
        }
        self.status = status;
    }

    fn set_queue(&mut self, offset: u32, value: u32) {
        if offset == VIRTIO_MMIO_QUEUE_READY {
            self.queue.set_ready(value == 1);
        }
        // What is in use stays as it is (4.2.2.2).
        if self.queue.ready() {
            return;
        }
        match offset {
            // What is no size is not taken, and the queue is what the driver reads back.
            VIRTIO_MMIO_QUEUE_NUM => self.queue.set_size(u16::try_from(value).unwrap_or(0)),
            VIRTIO_MMIO_QUEUE_DESC_LOW => self.queue.set_desc_table_address(Some(value), None),
            VIRTIO_MMIO_QUEUE_DESC_HIGH => self.queue.set_desc_table_address(None, Some(value)),
            VIRTIO_MMIO_QUEUE_AVAIL_LOW => self.queue.set_avail_ring_address(Some(value), None),
            VIRTIO_MMIO_QUEUE_AVAIL_HIGH => self.queue.set_avail_ring_address(None, Some(value)),
            VIRTIO_MMIO_QUEUE_USED_LOW => self.queue.set_used_ring_address(Some(value), None),
            VIRTIO_MMIO_QUEUE_USED_HIGH => self.queue.set_used_ring_address(None, Some(value)),
            _ => {}
        }
    }
}

/// The half of a number that a selector names.
fn half(number: u64, selector: u32) -> u32 {
    match selector {
        0 => number as u32,
        1 => (number >> 32) as u32,
        _ => 0,
    }
}
