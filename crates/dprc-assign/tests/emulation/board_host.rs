// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A board in this process, with a container for a guest, and one beside it.

use board::host::{Host as BoardOf, ManualClock, NoLines, NoMemory, NoPortalMemory};
use board::{Board, BoardConfig, mc::PORTAL_STRIDE};
use dprc::{McPortal, OpenObject, Transport, TransportError};
use dprc_assign::{Emulation, Host, HostError, HostRegion, Identity, Msi, Windows};
use mc_abi::blocks::ObjectDescription;
use mc_abi::common::{self, Created};
use mc_abi::{
    Message, ObjectId, ObjectType, Request, Status, Token, Wire, dpbp, dpcon, dpio, dpmcp, dpni,
    dprc as container,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Guest physical addresses of the windows.
pub const PORTALS: u64 = 0x1000_0000;
pub const QUEUES: u64 = 0x1400_0000;

/// What the guest is told in place of the isolation id.
pub const GUEST_ICID: u16 = 0x77;

/// A portal of the board's, without its registers.
struct Direct {
    board: Arc<Board>,
    portal: u32,
}

impl Transport for Direct {
    fn exchange(&mut self, command: &Message) -> Result<Message, TransportError> {
        Ok(self.board.mc().execute(self.portal, command))
    }
}

/// The board and its two containers.
pub struct Scene {
    pub board: Arc<Board>,
    /// A portal of the root container's.
    pub root: McPortal,
    pub root_open: OpenObject,
    /// The guest's container, seen from the root.
    pub guest: OpenObject,
    /// A container that is none of the guest's.
    pub other: OpenObject,
    /// Number of the guest container's own portal.
    pub portal: u32,
}

impl Scene {
    /// A container with `options` for the guest, and one of everything that a network
    /// interface needs in it; the same in the other one.
    pub fn with(options: u32) -> Self {
        let host = BoardOf {
            clock: Arc::new(ManualClock::new()),
            ..BoardOf::new(Arc::new(NoMemory), Arc::new(NoLines), Arc::new(NoPortalMemory))
        };
        let board = Arc::new(Board::new(BoardConfig::default(), host).expect("a board"));
        let mut root = McPortal::new("the root's", Direct { board: board.clone(), portal: 0 });
        let root_open = root.open(ObjectId::new(ObjectType::Dprc, 1)).expect("dprc.1");
        let mut child = |options| {
            let request = container::CreateContainer {
                options,
                icid: container::ICID_FROM_POOL,
                portal: container::PORTAL_FROM_POOL,
                ..Default::default()
            };
            let made = root.call(root_open, &request).expect("a container");
            let open = root.open(ObjectId::new(ObjectType::Dprc, made.child)).expect("its token");
            for _ in 0..3 {
                let portal = dpmcp::PORTAL_FROM_POOL;
                make(&mut root, open, &dpmcp::Create { portal, options: 0 });
            }
            make(&mut root, open, &dpio::Create { channel_mode: 1, num_priorities: 8 });
            make(&mut root, open, &dpbp::Create {});
            make(&mut root, open, &dpcon::Create { num_priorities: 2 });
            make(&mut root, open, &dpni::Create::default());
            (open, (made.portal_offset / PORTAL_STRIDE) as u32)
        };
        let (guest, portal) = child(options);
        let (other, _) = child(container::option::ALL & !container::option::AIOP);
        Self { board, root, root_open, guest, other, portal }
    }

    /// A container with all rights on the board: none of them is the guest's.
    pub fn new() -> Self {
        Self::with(container::option::ALL & !container::option::AIOP)
    }

    /// A guest of it.
    pub fn emulation(&self) -> Emulation<BoardHost> {
        let identity = Identity { container: self.guest.object.id, icid: GUEST_ICID };
        let windows = Windows::new(PORTALS, QUEUES).expect("windows");
        Emulation::new(self.host(), identity, windows).expect("an emulation")
    }

    pub fn host(&self) -> BoardHost {
        BoardHost {
            board: self.board.clone(),
            portal: self.portal,
            mapped: Vec::new(),
            routes: Vec::new(),
            resets: Vec::new(),
            gone: Vec::new(),
            signals: Vec::new(),
            commands: 0,
            before: None,
            is_silent: false,
            is_revoked: false,
            has_interrupts: true,
            answer: |_, answer| answer,
            shown: Arc::default(),
            history: Arc::default(),
        }
    }

    /// What must not change whatever a guest does, in words.
    pub fn fingerprint(&mut self) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        for open in [self.root_open, self.guest, self.other] {
            let attributes = self.root.call(open, &container::GetAttributes {}).expect("answer");
            let _ = writeln!(text, "{} {attributes:?}", open.object);
            for member in self.list(open) {
                let id = ObjectId::new(member.kind, member.id);
                let plugged = member.state & container::state::PLUGGED;
                let _ = writeln!(text, "  {id} {plugged} {:?}", member.label);
                for index in 0..member.irqs {
                    let get = container::GetObjectIrq { id: id.id, index, kind: id.kind };
                    let irq = self.root.call(open, &get).expect("an interrupt");
                    let _ = writeln!(text, "    {irq:?}");
                }
                let get = container::GetConnection { id: id.id, interface: 0, kind: id.kind };
                let _ = writeln!(text, "    {:?}", self.root.call(open, &get).ok());
            }
        }
        text
    }

    pub fn list(&mut self, open: OpenObject) -> Vec<ObjectDescription> {
        dprc::manage::list(&mut self.root, open).expect("a list")
    }

    /// An object of the guest's.
    pub fn member(&mut self, kind: ObjectType) -> ObjectId {
        let guest = self.guest;
        let found = self.list(guest).into_iter().find(|member| member.kind == kind);
        ObjectId::new(kind, found.expect("one of each").id)
    }

    /// Whether a token stands for an open object of the guest's on the board.
    pub fn is_open(&self, token: Token) -> bool {
        let ask = common::GetIrqMask { index: 0 }.message(token);
        let answer = self.board.mc().execute(self.portal, &ask);
        answer.header.status() != Status::AuthenticationError
    }

    /// An object of the other container's.
    pub fn foreign(&mut self, kind: ObjectType) -> ObjectId {
        let other = self.other;
        let found = self.list(other).into_iter().find(|member| member.kind == kind);
        ObjectId::new(kind, found.expect("one of each").id)
    }
}

/// A plugged object.
pub fn make<R: Request<Reply = Created>>(
    portal: &mut McPortal,
    open: OpenObject,
    request: &R,
) -> u32 {
    let id = portal.call(open, request).expect("an object").id;
    let kind = ObjectType::from_code(R::NUMBER - common::CREATE).expect("a family");
    let object = ObjectId::new(kind, id);
    dprc::manage::assign(portal, open, object, open.object, true).expect("plugged");
    id
}

/// Called with the command that is about to be sent.
pub type Meanwhile = Box<dyn FnMut(&Message) + Send>;

/// The machine below the emulation: the board, and what was asked of it.
pub struct BoardHost {
    pub board: Arc<Board>,
    pub portal: u32,
    pub mapped: Vec<(HostRegion, u64)>,
    pub routes: Vec<(ObjectId, u8, Option<Msi>)>,
    pub resets: Vec<ObjectId>,
    pub gone: Vec<ObjectId>,
    pub signals: Vec<Msi>,
    pub commands: u64,
    /// What happens on the board before a command.
    pub before: Option<Meanwhile>,
    /// The board does not answer.
    pub is_silent: bool,
    /// The container was taken away.
    pub is_revoked: bool,
    /// Interrupts can be had.
    pub has_interrupts: bool,
    /// What the emulation gets to see of an answer to a command.
    pub answer: fn(&Message, Message) -> Message,
    /// What portals show, by address.
    pub shown: Arc<Mutex<BTreeMap<u64, [u8; Message::SIZE]>>>,
    /// What they have shown, one after the other.
    pub history: Arc<Mutex<Vec<Message>>>,
}

impl Host for BoardHost {
    fn exchange(&mut self, command: &Message) -> Result<Message, HostError> {
        self.commands += 1;
        self.before.iter_mut().for_each(|before| before(command));
        if self.is_silent || self.is_revoked {
            return Err(HostError("no answer".to_owned()));
        }
        Ok((self.answer)(command, self.board.mc().execute(self.portal, command)))
    }

    fn is_revoked(&self) -> bool {
        self.is_revoked
    }

    fn map(&mut self, region: &HostRegion, at: u64) -> Result<(), HostError> {
        self.mapped.push((*region, at));
        Ok(())
    }

    fn route(&mut self, object: ObjectId, index: u8, msi: Option<Msi>) -> Result<(), HostError> {
        if !self.has_interrupts {
            return Err(HostError("no interrupt".to_owned()));
        }
        self.routes.push((object, index, msi));
        Ok(())
    }

    fn reset(&mut self, object: ObjectId) {
        self.resets.push(object);
    }

    fn gone(&mut self, object: ObjectId) {
        self.gone.push(object);
    }

    fn signal(&mut self, msi: Msi) {
        self.signals.push(msi);
    }

    fn show(&mut self, at: u64, registers: &[u8; Message::SIZE]) {
        self.shown.lock().expect("no panic").insert(at, *registers);
        self.history.lock().expect("no panic").push(Message::from_bytes(registers));
    }

    fn hide(&mut self, at: u64) {
        assert!(self.shown.lock().expect("no panic").remove(&at).is_some(), "{at:#x}");
    }
}

/// A command through a portal of the guest's, by stores and loads as Linux makes them.
pub fn send(guest: &mut Emulation<BoardHost>, slot: u64, message: &Message) -> Message {
    let base = slot * dprc_assign::PORTAL_STRIDE;
    let bytes = message.to_bytes();
    for word in (0..8).rev() {
        guest.store(base + 8 * word as u64, &bytes[8 * word..][..8]);
    }
    let mut answer = [0; Message::SIZE];
    for (word, place) in answer.chunks_mut(8).enumerate() {
        guest.load(base + 8 * word as u64, place);
    }
    // Whoever loads from what the host was told to show finds the same. What it is not to show
    // any more is loaded from the emulation alone.
    let shown = guest.host().shown.lock().expect("no panic").get(&(PORTALS + base)).copied();
    if let Some(shown) = shown {
        assert_eq!(shown, answer);
    }
    Message::from_bytes(&answer)
}

/// A typed command; the status where it is refused.
pub fn call<R: Request>(
    guest: &mut Emulation<BoardHost>,
    slot: u64,
    token: Token,
    request: &R,
) -> Result<R::Reply, Status> {
    let answer = send(guest, slot, &request.message(token));
    match answer.header.status() {
        Status::Ok => Ok(R::Reply::decode(&answer.params, R::MAX_VERSION).expect("it decodes")),
        status => Err(status),
    }
}

pub fn open(
    guest: &mut Emulation<BoardHost>,
    slot: u64,
    object: ObjectId,
) -> Result<Token, Status> {
    let answer = send(guest, slot, &Message::open(object));
    match answer.header.status() {
        Status::Ok => Ok(answer.header.token()),
        status => Err(status),
    }
}
