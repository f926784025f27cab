// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The Management Complex that a guest sees: bytes in, bytes out, and calls on a
//! [`Host`].

mod answers;
mod membership;
mod tokens;

pub use tokens::{MOST_CONTAINER_TOKENS, MOST_TOKENS};

use tokens::{Closing, Held};

use crate::events::VirtualInterrupt;
use crate::host::{Host, HostError};
use crate::interrupts::Interrupts;
use crate::policy::{Right, Verdict, verdict};
use crate::portal::Portal;
use crate::windows::{CONTROL_OFFSET, PORTAL_STRIDE, Windows};
use mc_abi::blocks::ObjectDescription;
use mc_abi::{
    Message, ObjectId, ObjectType, Params, Request, Status, Token, Wire, common, dpmcp, dpmng, dprc,
};
use std::collections::{BTreeMap, BTreeSet};

/// What a guest's container is to the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Number of the container: the same as on the host, so that names agree.
    pub container: u32,
    /// Isolation id that the guest sees: the key of its device tree's `msi-map`. The
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
/// a time. When it is dropped, all that it and the guest have open is closed.
#[derive(Debug)]
pub struct Emulation<H: Host> {
    host: H,
    identity: Identity,
    windows: Windows,
    /// The emulation's own token of the container.
    token: Token,
    /// By their place in the window.
    portals: BTreeMap<u64, Portal>,
    /// Tokens whose close has not been answered, by number: see [`Closing`].
    closing: BTreeMap<Token, Closing>,
    /// Opens that have not been answered: each may have given out a token all the same, whose
    /// number nobody knows. They count until the emulation ends.
    unanswered: Held,
    /// What is in the container and plugged, in the order in which it came.
    members: Vec<ObjectDescription>,
    /// Something else may be in it by now.
    is_stale: bool,
    /// Members that are known to be others by now than the guest has open.
    replaced: BTreeSet<ObjectId>,
    /// What is in the container, but not to the guest: what is another object by now, or was
    /// unplugged, it has to miss once, to let go of it. With whether it has.
    away: BTreeMap<ObjectId, bool>,
    /// Where the host has the regions that are mapped.
    registers: BTreeMap<(ObjectId, u8), dprc::GetObjectRegionReply>,
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

impl<H: Host> Drop for Emulation<H> {
    fn drop(&mut self) {
        self.close_all(|_, _, _| true);
        if self.token != Token::NONE {
            // Nobody is left to report to.
            let _ = self.host.exchange(&Message::close(self.token));
        }
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
            closing: BTreeMap::new(),
            unanswered: Held::default(),
            members: Vec::new(),
            is_stale: false,
            replaced: BTreeSet::new(),
            away: BTreeMap::new(),
            registers: BTreeMap::new(),
            interrupts: Interrupts::default(),
            own: BTreeMap::new(),
        };
        let container = identity.container;
        let host = |reason| StartError::Host { container, reason };
        let refused = |command| move |status| StartError::Refused { container, command, status };
        let open = Message::open(emulation.container());
        let answer = emulation.host.exchange(&open).map_err(host)?;
        emulation.token = checked(&answer).map_err(refused("Open"))?.header.token();
        let lists = emulation.lists().map_err(refused("GetObject"))?;
        emulation.admit(&lists);
        emulation.is_stale = !lists.are_equal();
        emulation.show(0);
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
            None => Portal::of_nobody().load(offset % PORTAL_STRIDE, bytes),
        }
    }

    /// The guest stores to the window of command portals. When this returns, the answer
    /// is there. Stores to the control registers do nothing: what they would stop is the
    /// host's.
    pub fn store(&mut self, offset: u64, bytes: &[u8]) {
        let slot = offset / PORTAL_STRIDE;
        let Some(portal) = self.portals.get_mut(&slot) else { return };
        let message = portal.store(offset % PORTAL_STRIDE, bytes);
        // Where that submits a message, its status is "in progress" until there is an answer.
        self.show(slot);
        let Some(message) = message else { return };
        let answer = self.execute(slot, &message);
        // The command may have found that the portal's own object is gone: then it is refused
        // at the next load, like all others there.
        let Some(portal) = self.portals.get_mut(&slot) else { return };
        portal.answer(&answer);
        let owner = portal.owner;
        self.show(slot);
        self.command_done(owner, &message);
    }

    /// Tells the host what a portal shows.
    fn show(&mut self, slot: u64) {
        let at = self.windows.portals() + slot * PORTAL_STRIDE;
        if let Some(portal) = self.portals.get(&slot) {
            self.host.show(at, portal.registers());
        }
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

    /// Objects may have come or gone: the guest is notified of those that have.
    ///
    /// # Errors
    /// What the Management Complex says when it is asked, [`Status::Timeout`] where it cannot
    /// be: then this is to be called again.
    pub fn objects_changed(&mut self) -> Result<(), Status> {
        self.look()
    }

    /// Whether [`objects_changed`](Self::objects_changed) has to be called once more, though
    /// nothing new has changed: it has failed, the container changed meanwhile, or the guest
    /// has missed what is another object by now.
    pub fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// The guest starts again: what it has opened is closed, its interrupts go nowhere.
    pub fn reset(&mut self) {
        self.close_all(|_, _, _| true);
        for slot in self.portals.keys().copied().collect::<Vec<_>>() {
            self.portals.entry(slot).and_modify(|portal| *portal = Portal::new(portal.owner));
            self.show(slot);
        }
        for (object, index) in self.interrupts.forget_all() {
            // Shutting off what is off is no failure.
            let _ = self.host.route(object, index, None);
        }
        self.own.clear();
        self.away.clear();
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
        let Some(object) = open.copied() else {
            return self.of_closed(call);
        };
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
            Verdict::Forward => {
                self.check_named(call, object.kind)?;
                self.forward(call, token)
            }
            Verdict::Refuse(right) => Err(refuse(right, object.kind, call)),
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
        match self.host.exchange(command) {
            Ok(answer) => checked(&answer),
            // A portal that belongs to no container is answered so.
            Err(_) if self.host.is_revoked() => {
                self.is_stale |= !self.members.is_empty();
                Err(Status::AuthenticationError)
            }
            // What a Management Complex says that did not get to it in time.
            Err(_) => Err(Status::Timeout),
        }
    }

    fn call<R: Request>(&mut self, request: &R, version: u8) -> Result<R::Reply, Status> {
        let answer = self.ask(&request.message_version(self.token, version))?;
        R::Reply::decode(&answer.params, version).map_err(|_| Status::ConfigurationError)
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
fn refuse(right: Right, kind: ObjectType, call: &Call<'_>) -> Status {
    if kind != ObjectType::Dprc {
        return right.status();
    }
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

/// An answer that says yes.
fn checked(answer: &Message) -> Result<Message, Status> {
    match answer.header.status() {
        Status::Ok => Ok(*answer),
        status => Err(status),
    }
}
