// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Interrupts that reach user space by an eventfd.

use crate::device::Device;
use crate::error::{Error, Result, refused};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use vfio_bindings::bindings::vfio as abi;

/// A counter that the kernel adds to at each interrupt.
#[derive(Debug)]
pub struct EventFd {
    file: OwnedFd,
}

impl EventFd {
    /// A new one, at 0.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new() -> Result<Self> {
        let file = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(refused(
            "eventfd",
            "the kernel",
            |_| "",
        ))?;
        Ok(Self { file })
    }

    /// Takes what has been counted since the last time: 0 when nothing was.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn take(&self) -> Result<u64> {
        let mut count = [0; 8];
        match rustix::io::read(&self.file, &mut count) {
            Ok(_) => Ok(u64::from_ne_bytes(count)),
            Err(Errno::AGAIN) => Ok(0),
            Err(errno) => Err(refused("read", "an eventfd", |_| "")(errno)),
        }
    }

    /// Waits for the count to be more than 0 and takes it; 0 when `patience` is over.
    /// One whose end the clock cannot tell, such as [`Duration::MAX`], is never over.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn wait(&self, patience: Duration) -> Result<u64> {
        let end = Instant::now().checked_add(patience);
        loop {
            let count = self.take()?;
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if count > 0 || left.is_some_and(|left| left.is_zero()) {
                return Ok(count);
            }
            let left = left.map(|left| Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            });
            match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], left.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(refused("poll", "an eventfd", |_| "")(errno)),
            }
        }
    }
}

impl EventFd {
    /// Adds one to the count, as an interrupt does.
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub fn signal(&self) -> Result<()> {
        match rustix::io::write(&self.file, &1_u64.to_ne_bytes()) {
            // The count is at its end already: whoever waits is woken.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(errno) => Err(refused("write", "an eventfd", |_| "")(errno)),
        }
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// What VFIO_DEVICE_SET_IRQS is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IrqAction {
    /// Hold the interrupt back.
    Mask,
    /// Let it through.
    Unmask,
    /// Choose what it signals, or act as if it had fired.
    Trigger,
}

/// What comes with a VFIO_DEVICE_SET_IRQS.
#[derive(Debug)]
pub enum IrqData<'a> {
    /// Nothing, for so many interrupts. With [`IrqAction::Trigger`]: 0 switches
    /// the interrupt off, 1 acts as if it had fired.
    None(u32),
    /// One truth value each: whether the action is for this one.
    Bools(&'a [bool]),
    /// One eventfd each; `None` takes the present one away.
    EventFds(&'a [Option<BorrowedFd<'a>>]),
}

/// What can be done with an interrupt once it signals an eventfd, for a
/// [`Backend`](crate::Backend) other than VFIO.
pub trait IrqControl: Debug + Send + Sync {
    /// Acts as if the device had fired.
    ///
    /// # Errors
    /// When it is refused.
    fn simulate(&self) -> Result<()>;

    /// Holds the interrupt back, or lets it through again.
    ///
    /// # Errors
    /// Where the device cannot.
    fn mask(&self, masked: bool) -> Result<()>;

    /// Switches it off.
    ///
    /// # Errors
    /// When it is refused.
    fn switch_off(&self) -> Result<()>;
}

/// The interrupts of a group's devices, or of a device with a file of its own, that there is
/// an [`Interrupt`] of. The kernel knows one eventfd for each, through whichever file of the
/// device it was set: who switches one off does not switch off his own alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Enabled {
    /// By name of the device, and index.
    taken: Arc<Mutex<BTreeSet<(String, u32)>>>,
}

impl Enabled {
    pub(crate) fn take(&self, device: &str, index: u32) -> Result<Claim> {
        let interrupt = (device.to_owned(), index);
        if !self.lock().insert(interrupt.clone()) {
            return Err(Error::InterruptTaken { device: interrupt.0, index });
        }
        Ok(Claim { of: self.clone(), interrupt })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(String, u32)>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An interrupt that nobody else enables; dropped, it is free.
#[derive(Debug)]
pub(crate) struct Claim {
    of: Enabled,
    interrupt: (String, u32),
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.of.lock().remove(&self.interrupt);
    }
}

/// An interrupt of a device of VFIO's.
#[derive(Debug)]
struct VfioIrq {
    device: Device,
    index: u32,
    /// Goes when [`Interrupt`] has switched it off.
    _claim: Claim,
}

impl IrqControl for VfioIrq {
    fn simulate(&self) -> Result<()> {
        self.device.set_irqs(self.index, 0, IrqAction::Trigger, &IrqData::Bools(&[true]))
    }

    fn mask(&self, masked: bool) -> Result<()> {
        let action = if masked { IrqAction::Mask } else { IrqAction::Unmask };
        self.device.set_irqs(self.index, 0, action, &IrqData::None(1))
    }

    fn switch_off(&self) -> Result<()> {
        self.device.set_irqs(self.index, 0, IrqAction::Trigger, &IrqData::None(0))
    }
}

/// An interrupt that signals an eventfd; switched off when dropped.
#[derive(Debug)]
pub struct Interrupt {
    control: Box<dyn IrqControl>,
    events: Arc<EventFd>,
    is_off: bool,
}

impl Interrupt {
    pub(crate) fn enable(
        device: Device,
        enabled: &Enabled,
        index: u32,
        events: EventFd,
    ) -> Result<Self> {
        let claim = enabled.take(device.name(), index)?;
        let data = [Some(events.as_fd())];
        device.set_irqs(index, 0, IrqAction::Trigger, &IrqData::EventFds(&data))?;
        Ok(Self::of(VfioIrq { device, index, _claim: claim }, Arc::new(events)))
    }

    /// An interrupt that signals `events` already, for a [`Backend`](crate::Backend) other
    /// than VFIO.
    pub fn of(control: impl IrqControl + 'static, events: Arc<EventFd>) -> Self {
        Self { control: Box::new(control), events, is_off: false }
    }

    /// Its eventfd.
    pub fn events(&self) -> &EventFd {
        &self.events
    }

    /// Lets the kernel act as if the device had fired. This tests the way from the
    /// kernel to the eventfd alone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn simulate(&self) -> Result<()> {
        self.control.simulate()
    }

    /// Holds the interrupt back.
    ///
    /// # Errors
    /// Where the device cannot: see [`IrqInfo::maskable`](crate::IrqInfo).
    pub fn mask(&self) -> Result<()> {
        self.control.mask(true)
    }

    /// Lets it through again.
    ///
    /// # Errors
    /// Where the device cannot.
    pub fn unmask(&self) -> Result<()> {
        self.control.mask(false)
    }

    /// Switches it off.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn disable(mut self) -> Result<()> {
        let outcome = self.control.switch_off();
        // Once it is off, somebody else may have enabled it: it is not this one's any more.
        self.is_off = outcome.is_ok();
        outcome
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        if !self.is_off {
            // Nobody is left to report to; closing the device switches it off as well.
            let _ = self.control.switch_off();
        }
    }
}

/// struct vfio_irq_set as words, `argsz` left to the call.
pub(crate) fn irq_request(
    index: u32,
    start: u32,
    action: IrqAction,
    data: &IrqData<'_>,
) -> Vec<u32> {
    let action = match action {
        IrqAction::Mask => abi::VFIO_IRQ_SET_ACTION_MASK,
        IrqAction::Unmask => abi::VFIO_IRQ_SET_ACTION_UNMASK,
        IrqAction::Trigger => abi::VFIO_IRQ_SET_ACTION_TRIGGER,
    };
    let (kind, count, payload) = match data {
        IrqData::None(count) => (abi::VFIO_IRQ_SET_DATA_NONE, *count, Vec::new()),
        IrqData::Bools(values) => (abi::VFIO_IRQ_SET_DATA_BOOL, length(values), bytes_of(values)),
        IrqData::EventFds(files) => (
            abi::VFIO_IRQ_SET_DATA_EVENTFD,
            length(files),
            // The kernel reads a signed number; -1 stands for none.
            files.iter().map(|file| file.map_or(-1, |file| file.as_raw_fd()) as u32).collect(),
        ),
    };
    let mut request = vec![0, kind | action, index, start, count];
    request.extend(payload);
    request
}

/// One byte each, filled up to whole words; the kernel reads `count` bytes.
fn bytes_of(values: &[bool]) -> Vec<u32> {
    let word = |chunk: &[bool]| {
        let mut bytes = [0; 4];
        for (byte, &value) in bytes.iter_mut().zip(chunk) {
            *byte = u8::from(value);
        }
        u32::from_ne_bytes(bytes)
    };
    values.chunks(4).map(word).collect()
}

fn length<T>(values: &[T]) -> u32 {
    u32::try_from(values.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Counts how often it is switched off.
    #[derive(Debug, Clone, Default)]
    struct Counted(Arc<AtomicU32>);

    impl IrqControl for Counted {
        fn simulate(&self) -> Result<()> {
            Ok(())
        }

        fn mask(&self, _masked: bool) -> Result<()> {
            Ok(())
        }

        fn switch_off(&self) -> Result<()> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    #[test]
    fn an_interrupt_is_switched_off_once() {
        let events = Arc::new(EventFd::new().unwrap());
        let [disabled, dropped] = [Counted::default(), Counted::default()];
        Interrupt::of(disabled.clone(), Arc::clone(&events)).disable().unwrap();
        drop(Interrupt::of(dropped.clone(), events));
        assert_eq!([disabled, dropped].map(|count| count.0.load(Ordering::Relaxed)), [1, 1]);
    }

    #[test]
    fn requests_are_laid_out_as_the_user_api_has_them() {
        let switch_off = irq_request(3, 0, IrqAction::Trigger, &IrqData::None(0));
        assert_eq!(switch_off, [0, 0x21, 3, 0, 0]);
        let bools = irq_request(0, 1, IrqAction::Mask, &IrqData::Bools(&[true, false, true]));
        assert_eq!(bools[..5], [0, 0x0a, 0, 1, 3]);
        assert_eq!(bools[5].to_ne_bytes(), [1, 0, 1, 0]);
        let events = EventFd::new().unwrap();
        let files = [Some(events.as_fd()), None];
        let request = irq_request(1, 0, IrqAction::Trigger, &IrqData::EventFds(&files));
        let fd = events.as_fd().as_raw_fd() as u32;
        assert_eq!(request, [0, 0x24, 1, 0, 2, fd, u32::MAX]);
    }

    #[test]
    fn an_eventfd_counts_and_patience_ends() {
        let events = EventFd::new().unwrap();
        assert_eq!(events.wait(Duration::from_millis(10)).unwrap(), 0);
        rustix::io::write(&events, &2_u64.to_ne_bytes()).unwrap();
        rustix::io::write(&events, &1_u64.to_ne_bytes()).unwrap();
        assert_eq!(events.wait(Duration::from_secs(5)).unwrap(), 3);
        assert_eq!(events.take().unwrap(), 0);
    }

    #[test]
    fn patience_may_be_without_an_end() {
        let events = EventFd::new().unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| events.wait(Duration::MAX).unwrap());
            std::thread::sleep(Duration::from_millis(20));
            events.signal().unwrap();
            assert_eq!(waiting.join().unwrap(), 1);
        });
    }
}
