// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The Management Complex that a guest sees: bytes in, bytes out, and calls on a
//! [`Host`].

use crate::events::VirtualInterrupt;
use crate::host::{Host, HostError, HostRegion};
use crate::interrupts::Interrupts;
use crate::policy::{self, Right, Verdict, verdict};
use crate::portal::Portal;
use crate::windows::{CONTROL_OFFSET, PORTAL_STRIDE, Windows};
use mc_abi::blocks::ObjectDescription;
use mc_abi::{
    Message, ObjectId, ObjectType, Params, Request, Status, Token, Wire, common, dpio, dpmcp,
    dpmng, dprc,
};
use std::collections::BTreeMap;

/// What a guest's container is to the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Number of the container: the same as on the host, so that names agree.
    pub container: u32,
    /// Isolation id that the guest is told: the key of its device tree's `msi-map`. The
    /// real one is the host's.
    pub icid: u16,
}

/// Options that a guest's container says it has: it may set where interrupts go.
const OPTIONS: u32 = dprc::option::IRQ_CFG;

/// Why there is no emulation.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The host's Management Complex cannot be asked.
    #[error("asking for what is in dprc.{container}: {reason}")]
    Host {
        /// The container.
        container: u32,
        /// Why.
        reason: HostError,
    },
    /// It refuses.
    #[error("the MC refuses {command} for dprc.{container}: {status}")]
    Refused {
        /// The container.
        container: u32,
        /// What was asked.
        command: &'static str,
        /// What it says.
        status: Status,
    },
}

/// A container as a guest sees it through its command portals.
///
/// It holds no lock and starts no thread: whoever hosts it calls it from one thread at
/// a time.
#[derive(Debug)]
pub struct Emulation<H> {
    host: H,
    identity: Identity,
    windows: Windows,
    /// The emulation's own token of the container.
    token: Token,
    /// By their place in the window.
    portals: BTreeMap<u64, Portal>,
    /// What is in the container, in the order of the Management Complex.
    members: Vec<ObjectDescription>,
    interrupts: Interrupts,
    /// The interrupts that the emulation raises.
    own: BTreeMap<ObjectId, VirtualInterrupt>,
}

/// The register that says how far the Management Complex has booted (Linux
/// `drivers/bus/fsl-mc/fsl-mc-bus.c`).
const GSR: u64 = 0x08;

/// All the way, and without an error.
const BOOTED: u32 = 1;

/// The control registers. All but the status are zero: among them the isolation id of the
/// Management Complex itself, which no guest has to know.
fn load_control(register: u64, bytes: &mut [u8]) {
    let status = BOOTED.to_le_bytes();
    for (at, byte) in (register..).zip(bytes) {
        let in_status = at.checked_sub(GSR).and_then(|at| usize::try_from(at).ok());
        *byte = in_status.and_then(|at| status.get(at)).copied().unwrap_or(0);
    }
}

/// What a command comes to: parameters, and a token where it is an open.
struct Reply {
    params: Params,
    token: Option<Token>,
}

impl Reply {
    const DONE: Self = Self { params: Params::ZERO, token: None };

    fn of(reply: &impl Wire, version: u8) -> Self {
        let mut params = Params::ZERO;
        reply.encode(&mut params, version);
        Self { params, token: None }
    }
}

type Outcome = Result<Reply, Status>;

/// A command with where it came from.
#[derive(Clone, Copy)]
struct Call<'a> {
    slot: u64,
    message: &'a Message,
}

impl Call<'_> {
    fn version(&self) -> u8 {
        self.message.header.version()
    }

    fn decode<R: Request>(&self) -> Result<R, Status> {
        // What a Management Complex says of a field without meaning.
        R::decode(&self.message.params, self.version()).map_err(|_| Status::ConfigurationError)
    }
}

impl<H: Host> Emulation<H> {
    /// Opens the container and looks at what is in it.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn new(host: H, identity: Identity, windows: Windows) -> Result<Self, StartError> {
        let mut emulation = Self {
            host,
            identity,
            windows,
            token: Token::NONE,
            portals: BTreeMap::from([(0, Portal::new(None))]),
            members: Vec::new(),
            interrupts: Interrupts::default(),
            own: BTreeMap::new(),
        };
        let container = identity.container;
        let host = |reason| StartError::Host { container, reason };
        let refused = |command| move |status| StartError::Refused { container, command, status };
        let open = open_message(emulation.container());
        let answer = emulation.host.exchange(&open).map_err(host)?;
        emulation.token = checked(&answer).map_err(refused("Open"))?.header.token();
        emulation.members = emulation.list().map_err(refused("GetObject"))?;
        Ok(emulation)
    }

    /// The machine below.
    pub fn host(&mut self) -> &mut H {
        &mut self.host
    }

    /// The emulation's own token of the container, for commands through [`Host::exchange`].
    pub fn token(&self) -> Token {
        self.token
    }

    /// Where the guest finds things.
    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    /// Names of the objects in the container that the guest sees.
    pub fn objects(&self) -> Vec<ObjectId> {
        self.members.iter().map(name).collect()
    }

    /// The guest loads from the window of command portals, or from the control registers
    /// at its end.
    pub fn load(&self, offset: u64, bytes: &mut [u8]) {
        if let Some(register) = offset.checked_sub(CONTROL_OFFSET) {
            return load_control(register, bytes);
        }
        match self.portals.get(&(offset / PORTAL_STRIDE)) {
            Some(portal) => portal.load(offset % PORTAL_STRIDE, bytes),
            None => bytes.fill(0),
        }
    }

    /// The guest stores to the window of command portals. When this returns, the answer
    /// is there. Stores to the control registers do nothing: what they would stop is the
    /// host's.
    pub fn store(&mut self, offset: u64, bytes: &[u8]) {
        let slot = offset / PORTAL_STRIDE;
        let Some(portal) = self.portals.get_mut(&slot) else { return };
        let Some(message) = portal.store(offset % PORTAL_STRIDE, bytes) else { return };
        let answer = self.execute(slot, &message);
        let Some(portal) = self.portals.get_mut(&slot) else { return };
        portal.answer(&answer);
        let owner = portal.owner;
        self.command_done(owner, &message);
    }

    /// Executes a message as if it had come through the portal at a place of the window,
    /// without the portal's registers.
    pub fn execute(&mut self, slot: u64, message: &Message) -> Message {
        match self.route(&Call { slot, message }) {
            Ok(reply) => {
                let header = message.header.with_status(Status::Ok);
                let header = reply.token.map_or(header, |token| header.with_token(token));
                Message { header, params: reply.params }
            }
            Err(status) => {
                Message { header: message.header.with_status(status), params: Params::ZERO }
            }
        }
    }

    /// Objects may have come or gone: the guest is told of those that have.
    pub fn objects_changed(&mut self) {
        // The host cannot be asked: there will be another time.
        let _ = self.look();
    }

    /// The guest starts again: what it has opened is closed, its interrupts go nowhere.
    pub fn reset(&mut self) {
        for slot in self.portals.keys().copied().collect::<Vec<_>>() {
            self.close_all(slot, |_| true);
        }
        for portal in self.portals.values_mut() {
            *portal = Portal::new(portal.owner);
        }
        for (object, index) in self.interrupts.forget_all() {
            // Shutting off what is off is no failure.
            let _ = self.host.route(object, index, None);
        }
        self.own.clear();
    }

    fn container(&self) -> ObjectId {
        ObjectId::new(ObjectType::Dprc, self.identity.container)
    }

    fn command_done(&mut self, owner: Option<ObjectId>, message: &Message) {
        let unwanted = message.header.software_flags() & mc_abi::Header::INTERRUPT_DISABLED != 0;
        let interrupt = owner.filter(|_| !unwanted).and_then(|owner| self.own.get_mut(&owner));
        let msi = interrupt.and_then(|interrupt| interrupt.raise(dpmcp::EVENT_COMMAND_DONE));
        if let Some(msi) = msi {
            self.host.signal(msi);
        }
    }

    fn route(&mut self, call: &Call<'_>) -> Outcome {
        let header = call.message.header;
        let (number, token) = (header.number(), header.token());
        if let Some(kind) = of_family(number, common::OPEN) {
            return self.open(call, kind);
        }
        if of_family(number, common::GET_API_VERSION).is_some() {
            return self.forward(call, Token::NONE);
        }
        match number {
            dpmng::GetContainerId::NUMBER => {
                let id = self.identity.container;
                return Ok(Reply::of(&dpmng::GetContainerIdReply { id }, call.version()));
            }
            dpmng::GetVersion::NUMBER | dpmng::GetSocVersion::NUMBER => {
                return self.forward(call, Token::NONE);
            }
            _ => {}
        }
        let open = self.portals.get(&call.slot).and_then(|portal| portal.tokens.get(&token));
        let object = *open.ok_or(Status::AuthenticationError)?;
        if number == common::CLOSE {
            return self.close(call.slot, token);
        }
        if let Some(kind) = of_family(number, common::CREATE) {
            return Err(refuse_create(object, kind));
        }
        if let Some(kind) = of_family(number, common::DESTROY) {
            return Err(self.refuse_destroy(object, kind, call));
        }
        match verdict(object.kind, number) {
            Verdict::Forward => self.forward(call, token),
            Verdict::Refuse(right) => Err(refuse(right, call)),
            Verdict::Unknown => Err(Status::UnsupportedOperation),
            Verdict::Emulate if object.kind == ObjectType::Dprc => self.of_container(call),
            Verdict::Emulate => self.of_object(call, object),
        }
    }

    /// Sends the command on, with a token of the host's and without the flags of the
    /// guest's header: they are about its own portal.
    fn forward(&mut self, call: &Call<'_>, token: Token) -> Outcome {
        let header = call.message.header;
        let command =
            Message::command(header.number(), header.version(), token, call.message.params);
        let params = self.ask(&command)?.params;
        Ok(Reply { params, token: None })
    }

    fn ask(&mut self, command: &Message) -> Result<Message, Status> {
        // What a Management Complex says that did not get to it in time.
        let answer = self.host.exchange(command).map_err(|_| Status::Timeout)?;
        checked(&answer)
    }

    fn call<R: Request>(&mut self, request: &R, version: u8) -> Result<R::Reply, Status> {
        let answer = self.ask(&request.message_version(self.token, version))?;
        R::Reply::decode(&answer.params, version).map_err(|_| Status::ConfigurationError)
    }

    fn open(&mut self, call: &Call<'_>, kind: ObjectType) -> Outcome {
        let id = common::Open::decode(&call.message.params, call.version());
        let id = id.map_err(|_| Status::ConfigurationError)?.id;
        let object = ObjectId::new(kind, id);
        if object != self.container() && !self.has(object) {
            return Err(self.refuse_open(object));
        }
        let token = self.ask(&open_message(object))?.header.token();
        match self.portals.get_mut(&call.slot) {
            Some(portal) => {
                portal.tokens.insert(token, object);
                Ok(Reply { params: Params::ZERO, token: Some(token) })
            }
            None => {
                let _ = self.ask(&close_message(token));
                Err(Status::AuthenticationError)
            }
        }
    }

    /// The status for what is not the guest's: there is no such object, or it is
    /// another's. Which, only the host's Management Complex knows.
    fn refuse_open(&mut self, object: ObjectId) -> Status {
        match self.ask(&open_message(object)) {
            // Something that the guest is not to see, such as a container below.
            Ok(answer) => {
                let _ = self.ask(&close_message(answer.header.token()));
                Status::AuthenticationError
            }
            Err(status) => status,
        }
    }

    fn close(&mut self, slot: u64, token: Token) -> Outcome {
        let answer = self.ask(&close_message(token));
        if let Some(portal) = self.portals.get_mut(&slot) {
            portal.tokens.remove(&token);
        }
        answer.map(|_| Reply::DONE)
    }

    fn close_all(&mut self, slot: u64, which: impl Fn(ObjectId) -> bool) {
        let Some(portal) = self.portals.get_mut(&slot) else { return };
        let tokens: Vec<Token> = portal
            .tokens
            .iter()
            .filter(|(_, object)| which(**object))
            .map(|(token, _)| *token)
            .collect();
        portal.tokens.retain(|_, object| !which(*object));
        for token in tokens {
            // The object may be gone, and its token with it.
            let _ = self.ask(&close_message(token));
        }
    }

    fn refuse_destroy(&self, object: ObjectId, kind: ObjectType, call: &Call<'_>) -> Status {
        if object.kind != ObjectType::Dprc || kind == ObjectType::Dprc {
            return Status::UnsupportedOperation;
        }
        match common::Destroy::decode(&call.message.params, call.version()) {
            Err(_) => Status::ConfigurationError,
            Ok(destroy) if self.has(ObjectId::new(kind, destroy.id)) => Right::Objects.status(),
            Ok(_) => Status::NoResource,
        }
    }

    /// Whether an object is in the container, as far as the guest sees.
    fn has(&self, object: ObjectId) -> bool {
        self.member(object).is_some()
    }

    fn member(&self, object: ObjectId) -> Option<&ObjectDescription> {
        self.members.iter().find(|member| name(member) == object)
    }

    fn list(&mut self) -> Result<Vec<ObjectDescription>, Status> {
        let count = self.call(&dprc::GetObjectCount {}, 1)?.count;
        let mut members = Vec::new();
        for index in 0..count {
            match self.call(&dprc::GetObject { index }, 1) {
                Ok(reply) if policy::hidden(reply.object.kind) => {}
                Ok(reply) => members.push(reply.object),
                // It has become shorter meanwhile, or names a family that nobody knows.
                Err(Status::ConfigurationError) => {}
                Err(status) => return Err(status),
            }
        }
        Ok(members)
    }

    /// Looks at the container again, lets go of what has left, and notes events.
    fn look(&mut self) -> Result<(), Status> {
        let now = self.list()?;
        let before = std::mem::replace(&mut self.members, now);
        let plugged = |object: &ObjectDescription| object.state & dprc::state::PLUGGED;
        let mut events = 0;
        for old in &before {
            match self.member(name(old)) {
                Some(new) if plugged(new) == plugged(old) => {}
                Some(_) => events |= dprc::event::OBJ_ADDED,
                None => {
                    events |= dprc::event::OBJ_REMOVED;
                    self.leave(name(old));
                }
            }
        }
        let came = |object: &ObjectDescription| !before.iter().any(|old| name(old) == name(object));
        if self.members.iter().any(came) {
            events |= dprc::event::OBJ_ADDED;
        }
        if events != 0 {
            let container = self.container();
            if let Some(msi) = self.own.entry(container).or_default().raise(events) {
                self.host.signal(msi);
            }
        }
        Ok(())
    }

    fn leave(&mut self, object: ObjectId) {
        for slot in self.portals.keys().copied().collect::<Vec<_>>() {
            self.close_all(slot, |open| open == object);
        }
        self.own.remove(&object);
        self.interrupts.forget(object);
        self.host.gone(object);
        if let Some(slot) = self.windows.forget(object) {
            self.close_all(slot, |_| true);
            self.portals.remove(&slot);
        }
    }

    fn of_container(&mut self, call: &Call<'_>) -> Outcome {
        let version = call.version();
        match call.message.header.number() {
            dprc::GetAttributes::NUMBER => {
                let reply = dprc::GetAttributesReply {
                    id: self.identity.container,
                    icid: self.identity.icid.into(),
                    options: OPTIONS,
                    portal: 0,
                };
                Ok(Reply::of(&reply, version))
            }
            dprc::Reset::NUMBER => self.reset_container(call.decode()?),
            dprc::GetObjectCount::NUMBER => {
                self.look()?;
                let count = self.members.len() as u32;
                Ok(Reply::of(&dprc::GetObjectCountReply { count }, version))
            }
            dprc::GetObject::NUMBER => {
                let index = call.decode::<dprc::GetObject>()?.index as usize;
                let object = self.members.get(index).ok_or(Status::ConfigurationError)?;
                Ok(Reply::of(&dprc::GetObjectReply { object: *object }, version))
            }
            dprc::GetObjectDescription::NUMBER => {
                let ask: dprc::GetObjectDescription = call.decode()?;
                self.expect_below(ObjectId::new(ask.kind, ask.id))?;
                self.forward(call, self.token)
            }
            dprc::GetObjectRegion::NUMBER => {
                let reply = self.region(&call.decode()?, version)?;
                Ok(Reply::of(&reply, version))
            }
            dprc::SetObjectIrq::NUMBER => {
                let set: dprc::SetObjectIrq = call.decode()?;
                let object = ObjectId::new(set.kind, set.id);
                self.expect_below(object)?;
                self.set_interrupt(object, set.index, set.address, set.value, set.user)
            }
            dprc::GetObjectIrq::NUMBER => {
                let get: dprc::GetObjectIrq = call.decode()?;
                let object = ObjectId::new(get.kind, get.id);
                self.expect_below(object)?;
                let (value, address, user) = self.interrupt(object, get.index)?;
                let reply = dprc::GetObjectIrqReply { value, address, user, irq_kind: 0 };
                Ok(Reply::of(&reply, version))
            }
            _ => self.of_interrupt(call, self.container()),
        }
    }

    /// Commands that are the same for all objects but answered here.
    fn of_object(&mut self, call: &Call<'_>, object: ObjectId) -> Outcome {
        match call.message.header.number() {
            common::Reset::NUMBER => {
                let reply = self.forward(call, call.message.header.token())?;
                self.was_reset(object, Some((call.slot, call.message.header.token())));
                Ok(reply)
            }
            dpio::GetAttributes::NUMBER if object.kind == ObjectType::Dpio => {
                let mut reply = self.forward(call, call.message.header.token())?;
                let version = call.version();
                let mut attributes = dpio::GetAttributesReply::decode(&reply.params, version)
                    .map_err(|_| Status::ConfigurationError)?;
                // Where the host has them is not the guest's business.
                let place = |index| self.windows.region_of(object, index).unwrap_or(0);
                attributes.qbman_portal_ce_offset = place(0);
                attributes.qbman_portal_ci_offset = place(1);
                attributes.encode(&mut reply.params, version);
                Ok(reply)
            }
            _ => self.of_interrupt(call, object),
        }
    }

    fn of_interrupt(&mut self, call: &Call<'_>, object: ObjectId) -> Outcome {
        let header = call.message.header;
        let command =
            common::Command::decode(header.number(), header.version(), &call.message.params)
                .map_err(|_| Status::ConfigurationError)?;
        match &command {
            common::Command::SetIrq(set) => {
                self.set_interrupt(object, set.index, set.address, set.value, set.user)
            }
            common::Command::GetIrq(get) => {
                let (value, address, user) = self.interrupt(object, get.index)?;
                let reply = common::GetIrqReply { value, address, user, kind: 0 };
                Ok(Reply::of(&reply, header.version()))
            }
            other => {
                let own = self.own.entry(object).or_default();
                let outcome = own.run(other, header.version());
                let (answer, msi) = outcome.ok_or(Status::UnsupportedOperation)?;
                if let Some(msi) = msi {
                    self.host.signal(msi);
                }
                answer.map(|params| Reply { params, token: None })
            }
        }
    }

    /// An object that a command of the container's names must be in it, or be it.
    fn expect_below(&self, object: ObjectId) -> Result<(), Status> {
        if object == self.container() || self.has(object) {
            Ok(())
        } else {
            Err(Status::NoResource)
        }
    }

    fn is_own(&self, object: ObjectId) -> bool {
        object == self.container() || object.kind == ObjectType::Dpmcp
    }

    fn expect_interrupt(&self, object: ObjectId, index: u8) -> Result<(), Status> {
        // A container has one.
        let count = self.member(object).map_or(1, |member| member.irqs);
        if index < count { Ok(()) } else { Err(Status::ConfigurationError) }
    }

    fn set_interrupt(
        &mut self,
        object: ObjectId,
        index: u8,
        address: u64,
        value: u32,
        user: u32,
    ) -> Outcome {
        self.expect_interrupt(object, index)?;
        let msi = self.interrupts.set(object, index, address, value, user);
        if self.is_own(object) {
            self.own.entry(object).or_default().msi = msi;
        } else {
            self.host.route(object, index, msi).map_err(|_| Status::NoResource)?;
        }
        Ok(Reply::DONE)
    }

    fn interrupt(&self, object: ObjectId, index: u8) -> Result<(u32, u64, u32), Status> {
        self.expect_interrupt(object, index)?;
        Ok(self.interrupts.get(object, index))
    }

    fn region(
        &mut self,
        ask: &dprc::GetObjectRegion,
        version: u8,
    ) -> Result<dprc::GetObjectRegionReply, Status> {
        let object = ObjectId::new(ask.kind, ask.id);
        self.expect_below(object)?;
        // What there is, and how large in this version of the command.
        let region = self.call(ask, version)?;
        let (offset, base_address) = if object == self.container() {
            (0, self.windows.portals())
        } else if object.kind == ObjectType::Dpmcp {
            let offset = self.windows.portal_of(object).ok_or(Status::NoResource)?;
            let slot = offset / PORTAL_STRIDE;
            self.portals.entry(slot).or_insert_with(|| Portal::new(Some(object)));
            (offset, self.windows.portals())
        } else {
            (self.mapped(ask)?, self.windows.queues())
        };
        Ok(dprc::GetObjectRegionReply { offset, base_address, ..region })
    }

    /// The place of a region in the window of queue portals; maps it when it is asked
    /// for the first time.
    fn mapped(&mut self, ask: &dprc::GetObjectRegion) -> Result<u64, Status> {
        let object = ObjectId::new(ask.kind, ask.id);
        if let Some(offset) = self.windows.region_of(object, ask.index) {
            return Ok(offset);
        }
        // The newest version has the whole size.
        let whole = self.call(ask, dprc::GetObjectRegion::MAX_VERSION)?;
        let size = u64::from(whole.size);
        let offset = self.windows.place(object, ask.index, size).ok_or(Status::NoResource)?;
        let region = HostRegion { object, index: ask.index, size, flags: whole.flags };
        let at = self.windows.queues() + offset;
        if self.host.map(&region, at).is_err() {
            self.windows.displace(object, ask.index);
            return Err(Status::NoResource);
        }
        Ok(offset)
    }

    /// A container resets itself: all that is in it. The host's own token, interrupts
    /// and isolation id are not touched, which a reset of the container might.
    fn reset_container(&mut self, reset: dprc::Reset) -> Outcome {
        if reset.child != self.identity.container {
            return Err(Status::NoPrivilege);
        }
        for object in self.objects() {
            let token = self.ask(&open_message(object))?.header.token();
            let number = common::Reset::NUMBER;
            let outcome = self.ask(&Message::command(number, 1, token, Params::ZERO));
            let _ = self.ask(&close_message(token));
            match outcome {
                // Some families have no reset.
                Ok(_) | Err(Status::UnsupportedOperation) => self.was_reset(object, None),
                Err(status) => return Err(status),
            }
        }
        // Containers stay open: who resets its own goes on using it.
        for slot in self.portals.keys().copied().collect::<Vec<_>>() {
            self.close_all(slot, |object| object.kind != ObjectType::Dprc);
        }
        Ok(Reply::DONE)
    }

    /// `by` is the portal and token of the command that did it, which stays open.
    fn was_reset(&mut self, object: ObjectId, by: Option<(u64, Token)>) {
        if object.kind != ObjectType::Dpmcp {
            self.host.reset(object);
            return;
        }
        // What was opened through a portal is closed when the portal is reset.
        if let Some(own) = self.own.get_mut(&object) {
            own.reset();
        }
        let slot = self.portals.iter().find(|(_, portal)| portal.owner == Some(object));
        let Some(slot) = slot.map(|(slot, _)| *slot) else { return };
        let kept = by.filter(|(through, _)| *through == slot).map(|(_, token)| token);
        if let (Some(token), Some(portal)) = (kept, self.portals.get_mut(&slot)) {
            portal.tokens.remove(&token);
            self.close_all(slot, |_| true);
            if let Some(portal) = self.portals.get_mut(&slot) {
                portal.tokens.insert(token, object);
            }
        } else {
            self.close_all(slot, |_| true);
        }
    }
}

fn refuse_create(object: ObjectId, kind: ObjectType) -> Status {
    // Containers have a create command of their own.
    if object.kind != ObjectType::Dprc || kind == ObjectType::Dprc {
        return Status::UnsupportedOperation;
    }
    Right::Objects.status()
}

/// The status for a command that the guest has no right to. A command whose parameters
/// have no meaning is refused for that, as it is where the right is there.
fn refuse(right: Right, call: &Call<'_>) -> Status {
    let header = call.message.header;
    match dprc::Command::decode(header.number(), header.version(), &call.message.params) {
        Err(_) => Status::ConfigurationError,
        Ok(dprc::Command::DestroyContainer(_) | dprc::Command::SetLocked(_)) => Status::NoResource,
        Ok(_) => right.status(),
    }
}

/// The family of a command out of a block of sixteen that starts at `base`.
fn of_family(number: u16, base: u16) -> Option<ObjectType> {
    ObjectType::from_code(number.checked_sub(base)?)
}

fn name(object: &ObjectDescription) -> ObjectId {
    ObjectId::new(object.kind, object.id)
}

fn open_message(object: ObjectId) -> Message {
    let mut params = Params::ZERO;
    common::Open { id: object.id }.encode(&mut params, 1);
    Message::command(common::OPEN + object.kind.code(), 1, Token::NONE, params)
}

fn close_message(token: Token) -> Message {
    Message::command(common::CLOSE, 1, token, Params::ZERO)
}

/// An answer that says yes.
fn checked(answer: &Message) -> Result<Message, Status> {
    match Status::from_byte(answer.header.status_byte()) {
        Status::Ok => Ok(*answer),
        status => Err(status),
    }
}
