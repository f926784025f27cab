// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! An object of a bound container, as user space sees it: a VFIO device.

use crate::{
    abstractions::{
        bindings as ext,
        eventfd::EventFd,
        fsl_mc,
        irq::{
            Handler,
            Line, //
        },
        msi::Message,
        power,
        user,
        vfio::{
            self,
            AddressSpace,
            DeviceInfo,
            IrqInfo,
            Operations,
            RegionInfo, //
        }, //
    },
    container::{
        Container,
        OWN_IRQ, //
    },
    counters::Counters,
    logic::{
        command::{
            Command,
            SIZE, //
        },
        irq_set::{
            self,
            IrqSet,
            Plan, //
        },
        policy::{
            self,
            Verdict, //
        },
        portal::State,
        region::{
            self,
            Cpu,
            MapRequest,
            Mapping,
            ObjectKind,
            Region, //
        },
        vectors::ObjectId, //
    },
    parameters,
    portal::{
        to_error,
        Portal, //
    },
    resets::Resets,
    trace,
    vectors,
    NAME, //
};
use core::mem::{
    offset_of,
    size_of, //
};
use kernel::{
    device,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex,
        SetOnce, //
    },
    uaccess::UserPtr, //
};

/// `VFIO_DEVICE_FLAGS_RESET` and `VFIO_DEVICE_FLAGS_FSL_MC`.
const DEVICE_FLAGS: u32 = 1 << 0 | 1 << 6;
/// `VFIO_IRQ_INFO_EVENTFD`.
const IRQ_FLAGS: u32 = 1 << 0;
/// The interrupt beyond those of the object by which the host asks for it.
const WANTED_IRQ: u32 = ext::VFIO_FSL_MC_REQ_IRQ_INDEX;

/// An object.
#[pin_data]
pub(crate) struct Object {
    device: ARef<fsl_mc::Device>,
    container: Arc<Container>,
    kind: ObjectKind,
    regions: KVec<Region>,
    /// What user space is told of them.
    region_infos: KVec<RegionInfo>,
    /// How the last command through the portal of a `dpmcp` ended, as far as an earlier holder
    /// sent it. Locked while the portal is being mapped.
    #[pin]
    last_command: Mutex<State>,
    /// What a holder before has sent, or got, may be in the portal of a `dpmcp`.
    must_wipe: Atomic<bool>,
    /// Of all but a container's own device, whose resets are the container's.
    resets: Option<Resets>,
    /// The lines that the holder has armed, by index. The container's own is with its
    /// [`vectors::Vectors`].
    #[pin]
    lines: Mutex<KVec<Option<Line<Trigger>>>>,
    /// Tells the holder that the host waits for the object.
    #[pin]
    wanted: Mutex<Option<EventFd>>,
    share: Share,
}

/// What an object keeps for its holder alone.
pub(crate) struct Opened {
    /// The portal of a `dpmcp`, from its first use on. A container's is its [`Container`]'s.
    portal: SetOnce<Pin<KBox<Portal>>>,
    /// Commands may have gone where the driver does not see them.
    is_mapped: Atomic<bool>,
}

/// An object's part in its container.
struct Share {
    container: Arc<Container>,
    irqs: u8,
    counters: Arc<Counters>,
}

impl Share {
    fn new(container: &Arc<Container>, device: &fsl_mc::Device) -> Result<Self> {
        let counters = match device.kind() {
            ObjectKind::Dprc => container.counters().clone(),
            _ => container.table().add(device.as_ref().name())?,
        };
        let irqs = device.irq_count();
        container.vectors().lock().add(irqs);
        Ok(Self {
            container: container.clone(),
            irqs,
            counters,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.container.vectors().lock().remove(self.irqs);
        self.container.table().remove(&self.counters);
    }
}

/// What an interrupt of an object does. The line stays requested until the object is closed:
/// enabling the interrupt again, or disabling it, changes only who is told.
struct Trigger {
    device: ARef<fsl_mc::Device>,
    index: u8,
    counters: Arc<Counters>,
}

impl Handler for Trigger {
    fn handle(&self, virq: u32, signalled: bool) {
        trace::irq(&self.device, self.index.into(), virq);
        if signalled {
            self.counters.interrupts.count();
        }
    }
}

impl Opened {
    /// Whether commands may have gone through a portal of its own.
    fn was_used(&self) -> bool {
        self.is_mapped.load(Relaxed) || self.portal.as_ref().is_some()
    }
}

impl Object {
    /// Lets user space open an object.
    pub(crate) fn register(
        device: &fsl_mc::Device<device::Core<'_>>,
        container: Arc<Container>,
    ) -> Result<vfio::Registration<Self>> {
        let bound: &fsl_mc::Device<device::Bound> = device;
        let device: &fsl_mc::Device = device;
        // Devices of a container are opened, closed and given away together.
        let set = container.clone();
        vfio::Registration::new(bound.as_ref(), set.dev(), Self::new(device, container)?)
            .inspect_err(|e| {
                if parameters::may_print() {
                    dev_err!(device.as_ref(), "cannot be a VFIO device: {e:?}\n");
                }
            })
    }

    fn new(
        device: &fsl_mc::Device,
        container: Arc<Container>,
    ) -> Result<impl PinInit<Self, Error>> {
        let kind = device.kind();
        let regions = (0..device.region_count()).filter_map(|index| device.region(index));
        let regions = collect(regions)?;
        let region_infos = collect((0..).zip(&regions).map(|(index, region)| RegionInfo {
            flags: region.info_flags(kind, PAGE_SIZE as u64),
            size: region.size,
            offset: region::position(index),
        }))?;
        let lines = collect((0..device.irq_count()).map(|_| None))?;
        let share = Share::new(&container, device)?;
        let has_own_resets = kind != ObjectKind::Dprc;
        let resets = has_own_resets.then(|| Resets::new(device, share.counters.clone()));
        let is_dpmcp = kind == ObjectKind::Dpmcp;
        let device = device.into();
        Ok(try_pin_init!(Self {
            device,
            container,
            kind,
            regions,
            region_infos,
            last_command <- new_mutex!(State::Idle, "Object::last_command"),
            // It may have been another device before.
            must_wipe: Atomic::new(is_dpmcp),
            resets,
            lines <- new_mutex!(lines, "Object::lines"),
            wanted <- new_mutex!(None, "Object::wanted"),
            share,
        }))
    }

    fn dev(&self) -> &device::Device {
        (*self.device).as_ref()
    }

    fn id(&self) -> ObjectId {
        self.device.object_id()
    }

    /// The portal that reads and writes of the object go to. That the object has one is checked
    /// before.
    #[inline]
    fn portal<'a>(&'a self, opened: &'a Opened) -> Result<&'a Portal> {
        if self.kind == ObjectKind::Dprc {
            return Ok(self.container.portal());
        }
        match opened.portal.as_ref() {
            Some(portal) => Ok(portal),
            None => self.map_portal(opened),
        }
    }

    #[cold]
    fn map_portal<'a>(&self, opened: &'a Opened) -> Result<&'a Portal> {
        // Two first uses at once make one portal.
        let last_command = self.last_command.lock();
        if opened.portal.as_ref().is_none() {
            let region = self.regions.first().ok_or(EINVAL)?;
            let portal =
                KBox::pin_init(Portal::new(region.base, *last_command), GFP_KERNEL_ACCOUNT)?;
            opened.portal.populate(portal);
        }
        drop(last_command);
        Ok(opened.portal.as_ref().ok_or(EINVAL)?)
    }

    /// Keeps a holder's last command and answer from the next one. A command that is still in
    /// flight stays until it is answered.
    fn wipe_portal(&self, opened: &Opened) {
        match self.portal(opened) {
            Ok(portal) => {
                let last_command = portal.wipe();
                *self.last_command.lock() = last_command;
                let must_wipe = last_command != State::Idle;
                self.must_wipe.store(must_wipe, Relaxed);
            }
            Err(e) => {
                // The next opening tries again, and fails where it cannot either.
                self.must_wipe.store(true, Relaxed);
                if parameters::may_print() {
                    dev_warn!(self.dev(), "keeps its last answer: {e:?}\n");
                }
            }
        }
    }

    /// Whether an index is that of the interrupt which the driver has a use for, too.
    fn is_own(&self, index: u8) -> bool {
        self.kind == ObjectKind::Dprc && index == OWN_IRQ
    }

    fn arm(&self, index: u8, fd: i32) -> Result {
        if self.is_own(index) {
            let mut vectors = self.container.vectors().lock();
            let eventfd = EventFd::from_fd(fd).inspect_err(|_| vectors.disarm_own())?;
            return vectors.arm_own(&self.container, eventfd);
        }
        let mut lines = self.lines.lock();
        let slot = lines.get_mut(usize::from(index)).ok_or(EINVAL)?;
        // Without another eventfd, the interrupt is disabled all the same.
        let eventfd = EventFd::from_fd(fd).inspect_err(|_| disarm(slot))?;
        let virq = match slot {
            Some(line) => {
                line.set_eventfd(Some(eventfd));
                line.virq()
            }
            None => {
                let line = self.request(index, eventfd)?;
                slot.insert(line).virq()
            }
        };
        // Each time: the object may have been reset since.
        self.container
            .program_irq(&self.device, index, Message::of(virq), virq)
            .inspect_err(|_| *slot = None)
    }

    fn request(&self, index: u8, eventfd: EventFd) -> Result<Line<Trigger>> {
        let irqs = self.device.irq_count();
        let mut vectors = self.container.vectors().lock();
        let virq = vectors.virq(&self.container, self.id(), irqs, index)?;
        let name = vectors::line_name(virq, self.dev().name())?;
        let trigger = Trigger {
            device: self.device.clone(),
            index,
            counters: self.share.counters.clone(),
        };
        Line::request(virq, name, trigger, Some(eventfd))
    }

    fn disarm(&self, index: u8) {
        if self.is_own(index) {
            self.container.vectors().lock().disarm_own();
        } else if let Some(slot) = self.lines.lock().get_mut(usize::from(index)) {
            disarm(slot);
        }
    }

    /// Takes all interrupts from the holder.
    fn free_lines(&self) {
        let mut lines = self.lines.lock();
        lines.iter_mut().for_each(|line| *line = None);
        self.release_vectors();
        drop(lines);
    }

    /// The same for good: a call that is under way arms none any more.
    fn end_lines(&self) {
        let mut lines = self.lines.lock();
        let ended = core::mem::take(&mut *lines);
        drop(ended);
        self.release_vectors();
        drop(lines);
    }

    /// With `lines` held.
    fn release_vectors(&self) {
        let mut vectors = self.container.vectors().lock();
        if self.kind == ObjectKind::Dprc {
            vectors.disarm_own();
        } else {
            vectors.release(self.id());
        }
    }

    /// Tells the holder of an interrupt as if it had come. Nothing, if it is not armed.
    fn fire(&self, index: u8) {
        if self.is_own(index) {
            return self.container.vectors().lock().fire_own();
        }
        let lines = self.lines.lock();
        if let Some(Some(line)) = lines.get(usize::from(index)) {
            line.signal();
        }
    }

    fn set_wanted(&self, eventfd: Option<EventFd>) {
        let old = core::mem::replace(&mut *self.wanted.lock(), eventfd);
        drop(old);
    }

    /// Whether the holder has asked to be told.
    fn tell_wanted(&self) -> bool {
        let wanted = self.wanted.lock();
        if let Some(eventfd) = &*wanted {
            eventfd.signal();
        }
        wanted.is_some()
    }

    /// The interrupt by which the host asks for the object: no message of the MC's stands behind
    /// it.
    fn set_wanted_irq(&self, set: &IrqSet, data: UserPtr) -> Result {
        let set = IrqSet { index: 0, ..*set };
        match irq_set::validate(&set, 1).map_err(to_error)? {
            Plan::Disable => self.set_wanted(None),
            Plan::ArmEventfd => match user::read_u32(data)? as i32 {
                fd if fd < 0 => self.set_wanted(None),
                fd => self.set_wanted(Some(EventFd::from_fd(fd)?)),
            },
            Plan::FireNone => {
                self.tell_wanted();
            }
            Plan::FireBool => {
                if user::read_u8(data)? != 0 {
                    self.tell_wanted();
                }
            }
        }
        Ok(())
    }

    fn resets(&self) -> &Resets {
        self.resets.as_ref().unwrap_or(self.container.resets())
    }

    /// Whether a command of user space's is to be sent: it is not where it would take the
    /// container from the host.
    #[inline]
    fn may_send(&self, command: &Command) -> bool {
        self.share.counters.commands.count();
        let own_token = || self.container.token();
        match policy::decide(command, own_token, parameters::command_policy) {
            Verdict::Send => true,
            Verdict::SendAndLog(refusal) => {
                self.log(command, refusal.reason);
                true
            }
            Verdict::Refuse(_) => false,
        }
    }

    #[inline]
    fn send(&self, portal: &Portal, command: &Command) -> Result<u64> {
        if self.may_send(command) {
            portal.write(command)
        } else {
            self.refuse(portal, command)
        }
    }

    /// Sends a command and puts the answer in its place. The answer's first word.
    fn exchange(&self, portal: &Portal, command: &mut Command) -> Result<u64> {
        if self.may_send(command) {
            portal.exchange(command)?;
        } else {
            self.share.counters.refused.count();
            *command = policy::answer(command);
        }
        Ok(command.header())
    }

    /// Notes how a command of user space's ended.
    #[inline]
    fn sent(&self, command: &Command, result: &Result<u64>) {
        match result {
            Err(e) if *e == ETIMEDOUT => self.share.counters.timeouts.count(),
            Err(e) if *e == EBUSY => self.share.counters.busy.count(),
            _ => {}
        }
        trace::command(&self.device, command, result);
    }

    #[cold]
    fn log(&self, command: &Command, reason: &str) {
        if parameters::may_print() {
            let number = command.number();
            dev_warn!(self.dev(), "passes on command {number:#05x}: {reason}\n");
        }
    }

    #[cold]
    fn refuse(&self, portal: &Portal, command: &Command) -> Result<u64> {
        self.share.counters.refused.count();
        let answer = policy::answer(command);
        portal.answer_instead(&answer.0)?;
        Ok(answer.header())
    }

    fn check_access(&self, position: u64, count: usize, write: bool) -> Result {
        let (index, offset) = region::split(position);
        let count = count as u64;
        region::check_access(&self.regions, self.kind, index, offset, count, write)
            .map_err(to_error)
    }
}

impl Operations for Object {
    const NAME: &'static CStr = NAME;

    type Opened = Opened;

    fn open(&self, has_address_space: bool) -> Result<Opened> {
        self.container.reset_before_use(&self.device)?;
        if let Some(resets) = &self.resets {
            resets.before_use(&self.container)?;
        }
        let opened = Opened {
            portal: SetOnce::new(),
            is_mapped: Atomic::new(false),
        };
        if self.must_wipe.load(Relaxed) {
            self.wipe_portal(&opened);
            // What was there before is not shown either.
            self.portal(&opened)?.forget_answers();
        }
        self.container
            .object_opens(&self.device, has_address_space)?;
        self.share.counters.opens.count();
        Ok(opened)
    }

    /// The reset comes first: it keeps the object from raising interrupts that are about to go.
    fn close(&self, opened: Opened, is_revoked: bool) {
        if !is_revoked {
            self.resets().after_use(&self.container);
        } else if power::goes_down() {
            // It was taken, or was about to be, when this closing was under way.
            let _ = self.container.reset(&self.device);
        }
        self.free_lines();
        self.set_wanted(None);
        match self.kind {
            ObjectKind::Dprc => self.container.portal().forget_answers(),
            ObjectKind::Dpmcp if !is_revoked && opened.was_used() => self.wipe_portal(&opened),
            _ => {}
        }
        self.container.object_closed(&self.device);
    }

    fn info(&self) -> DeviceInfo {
        DeviceInfo {
            flags: DEVICE_FLAGS,
            regions: self.device.region_count().into(),
            irqs: self.device.irq_count().into(),
        }
    }

    fn region_info(&self, index: u32) -> Result<RegionInfo> {
        let at = index as usize;
        if at >= self.region_infos.len() {
            return Err(EINVAL);
        }
        let at = vfio::bound_index(at, self.region_infos.len());
        self.region_infos.get(at).copied().ok_or(EINVAL)
    }

    fn irq_info(&self, index: u32) -> Result<IrqInfo> {
        if index >= self.device.irq_count().into() && index != WANTED_IRQ {
            return Err(EINVAL);
        }
        Ok(IrqInfo {
            flags: IRQ_FLAGS,
            count: 1,
        })
    }

    fn set_irqs(&self, set: &IrqSet, data: UserPtr, space: &AddressSpace<'_>) -> Result {
        if set.index == WANTED_IRQ {
            return self.set_wanted_irq(set, data);
        }
        let plan = irq_set::validate(set, self.device.irq_count().into()).map_err(to_error)?;
        // Below the number of interrupts, by the plan.
        let index = vfio::bound_index(set.index as usize, self.device.irq_count().into());
        let index = u8::try_from(index)?;
        match plan {
            Plan::Disable => self.disarm(index),
            Plan::ArmEventfd => match user::read_u32(data)? as i32 {
                fd if fd < 0 => self.disarm(index),
                fd => {
                    // Interrupt messages need the holder's address space, and vectors that are
                    // reserved while there is none are lost for good.
                    let _held = space.hold().ok_or(EINVAL)?;
                    self.arm(index, fd)?;
                }
            },
            Plan::FireNone => self.fire(index),
            Plan::FireBool => {
                if user::read_u8(data)? != 0 {
                    self.fire(index);
                }
            }
        }
        Ok(())
    }

    fn reset(&self) -> Result {
        self.resets().reset(&self.container)
    }

    fn ioctl(&self, opened: &Opened, cmd: u32, arg: UserPtr) -> Result {
        if cmd != ext::VFIO_DEVICE_FSL_MC_COMMAND {
            return Err(ENOTTY);
        }
        if (user::read_u32(arg)? as usize) < size_of::<ext::vfio_fsl_mc_command>()
            || user::read_u32(arg.wrapping_byte_add(offset_of!(ext::vfio_fsl_mc_command, flags)))?
                != 0
        {
            return Err(EINVAL);
        }
        self.check_access(0, SIZE, true)?;
        let portal = self.portal(opened)?;
        let message = arg.wrapping_byte_add(offset_of!(ext::vfio_fsl_mc_command, message));
        let sent = read_command(message)?;
        let mut answer = sent;
        let result = self.exchange(portal, &mut answer);
        self.sent(&sent, &result);
        result?;
        user::write_8_u64(message, &answer.0.map(u64::to_le))
    }

    #[inline]
    fn read(&self, opened: &Opened, buffer: UserPtr, count: usize, position: u64) -> Result<usize> {
        self.check_access(position, count, false)?;
        let portal = self.portal(opened)?;
        let mut words = [0; SIZE / 8];
        let is_own = portal.read(&mut words)?;
        let shown = words.map(u64::to_le);
        if let Err(e) = user::write_8_u64(buffer, &shown) {
            if is_own {
                // Without memory for it, it is lost.
                let _ = portal.answer_instead(&words);
            }
            return Err(e);
        }
        Ok(count)
    }

    #[inline]
    fn write(
        &self,
        opened: &Opened,
        buffer: UserPtr,
        count: usize,
        position: u64,
    ) -> Result<usize> {
        self.check_access(position, count, true)?;
        let portal = self.portal(opened)?;
        let command = read_command(buffer)?;
        let result = self.send(portal, &command);
        self.sent(&command, &result);
        result.map(|_| count)
    }

    fn map(&self, opened: &Opened, request: &MapRequest, for_guest: bool) -> Result<Mapping> {
        // In the portal there is a command of an earlier holder's, to which no answer has come.
        if self.must_wipe.load(Relaxed) {
            return Err(EBUSY);
        }
        opened.is_mapped.store(true, Relaxed);
        let cpu = Cpu {
            can_map_cacheable_into_guest: vfio::guests_map_cacheable(),
            bound_index: vfio::bound_index,
        };
        let page = PAGE_SIZE as u64;
        region::check_map(&self.regions, self.kind, request, page, cpu, for_guest).map_err(to_error)
    }

    fn revoked(&self, opened: &Opened) {
        // The object's own line goes with it.
        self.container.counters().revocations.count();
        self.tell_wanted();
        let goes_down = power::goes_down();
        if parameters::may_print() {
            let reason = if goes_down {
                "the machine goes down"
            } else {
                "it is not in the container any more"
            };
            dev_notice!(self.dev(), "is taken from its holder: {reason}\n");
        }
        // The holder's closing may come after the container's vectors have gone.
        self.end_lines();
        // Where the machine goes down, the holder's closing comes too late, if it comes: the next
        // kernel's memory is not to be written to.
        if self.kind == ObjectKind::Dprc {
            return self.container.revoke_portal(goes_down);
        }
        if goes_down {
            let _ = self.container.reset(&self.device);
        }
        // A portal that is used first from now on is revoked from the start.
        *self.last_command.lock() = State::Revoked;
        if let Some(portal) = opened.portal.as_ref() {
            portal.revoke();
        }
    }

    fn request(&self, count: u32) {
        let is_told = self.tell_wanted();
        // The call comes every ten seconds.
        if count % 6 == 0 {
            let holder = if is_told {
                "its holder is told"
            } else {
                "its holder has not asked to be told"
            };
            dev_notice!(
                self.dev(),
                "is to be unbound, which waits until it is closed: {holder}\n"
            );
        }
    }
}

#[inline]
fn read_command(from: UserPtr) -> Result<Command> {
    let mut words = [0; SIZE / 8];
    user::read_8_u64(from, &mut words)?;
    Ok(Command(words.map(u64::from_le)))
}

/// Tells nobody of an interrupt any more.
fn disarm(slot: &mut Option<Line<Trigger>>) {
    if let Some(line) = slot {
        line.set_eventfd(None);
    }
}

fn collect<T>(items: impl Iterator<Item = T>) -> Result<KVec<T>> {
    let mut all = KVec::new();
    for item in items {
        all.push(item, GFP_KERNEL)?;
    }
    Ok(all)
}
