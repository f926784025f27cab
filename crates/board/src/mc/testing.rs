// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the families' tests share: an MC with a root container, addressed by
//! typed commands.

use super::{Config, State, containers, dispatch};
use crate::{
    dpl::{Dpc, Dpl},
    fabric::Fabric,
    host::{ManualClock, NoCapture, NoLines, NoPortalMemory, NoWires, testing::TestMemory},
    smmu::Smmu,
    wriop::Wriop,
};
use mc_abi::{
    Message, ObjectId, ObjectType, Params, Request, Status, Token, Wire,
    common::{self, Created},
    dprc,
};
use std::sync::Arc;

/// Guest memory that the isolation ids see as it is: from address 0 on.
const MEMORY: usize = 16 << 20;

/// The state of an MC without a root container, and its clock.
pub(crate) fn booted(config: Config) -> (State, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    let smmu = Arc::new(Smmu::new(Arc::new(TestMemory::new(MEMORY)), Arc::new(NoLines)));
    let portals = Arc::new(NoPortalMemory);
    let wriop = Wriop::new(Arc::new(NoWires), Arc::new(NoCapture));
    let fabric = Fabric::new((&config.soc).into(), smmu, portals, clock.clone(), wriop);
    (State::new(config, fabric, clock.clone()), clock)
}

/// An MC without portals' memory.
pub(crate) struct TestMc {
    pub state: State,
    /// An open token of the root container.
    pub root: Token,
    /// The state's clock.
    pub clock: Arc<ManualClock>,
}

impl TestMc {
    /// An MC with the root container `dprc.1` and nothing in it.
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    /// The same with a certain configuration.
    pub fn with(config: Config) -> Self {
        let (mut state, clock) = booted(config);
        let request = dprc::CreateContainer {
            options: dprc::option::ALL & !dprc::option::AIOP,
            icid: dprc::ICID_FROM_POOL,
            portal: 0,
            ..Default::default()
        };
        containers::create_root(&mut state, &request).expect("the pools are full");
        Self::of(state, clock)
    }

    /// An MC that has booted with a layout and a configuration.
    pub fn loaded(layout: &Dpl, ports: Option<&Dpc>) -> Self {
        let (mut state, clock) = booted(Config::default());
        state.load(layout, ports).expect("the layout can be made");
        Self::of(state, clock)
    }

    fn of(state: State, clock: Arc<ManualClock>) -> Self {
        let mut mc = Self { state, root: Token::NONE, clock };
        mc.root = mc.open(containers::name(containers::ROOT));
        mc
    }

    /// Sends a command through a portal of the root container, in its newest
    /// version.
    pub fn call<R: Request>(&mut self, token: Token, request: &R) -> Result<R::Reply, Status> {
        self.call_from(containers::ROOT, token, request)
    }

    /// Sends a command through a portal of a certain container.
    pub fn call_from<R: Request>(
        &mut self,
        container: u32,
        token: Token,
        request: &R,
    ) -> Result<R::Reply, Status> {
        self.send(container, &request.message(token)).map(|answer| {
            R::Reply::decode(&answer.params, R::MAX_VERSION).expect("an answer decodes")
        })
    }

    /// Sends a command in a certain version through a portal of the root.
    pub fn call_version<R: Request>(
        &mut self,
        token: Token,
        request: &R,
        version: u8,
    ) -> Result<R::Reply, Status> {
        self.send(containers::ROOT, &request.message_version(token, version))
            .map(|answer| R::Reply::decode(&answer.params, version).expect("an answer decodes"))
    }

    /// Sends a message and gives the answer, or its status where that is not
    /// [`Status::Ok`]. Traced, so that the words are made as well.
    pub fn send(&mut self, container: u32, message: &Message) -> Result<Message, Status> {
        let done = dispatch::execute(&mut self.state, Some(container), message, true);
        assert_eq!(done.answer.header.status(), done.status);
        match done.status {
            Status::Ok => Ok(done.answer),
            status => Err(status),
        }
    }

    /// Opens an object through a portal of the root container.
    ///
    /// # Panics
    /// Where there is no such object.
    pub fn open(&mut self, id: ObjectId) -> Token {
        self.try_open(containers::ROOT, id).unwrap_or_else(|e| panic!("open {id}: {e}"))
    }

    /// Opens an object through a portal of a certain container.
    pub fn try_open(&mut self, container: u32, id: ObjectId) -> Result<Token, Status> {
        self.send(container, &Message::open(id)).map(|answer| answer.header.token())
    }

    /// Closes a token.
    pub fn close(&mut self, token: Token) -> Result<(), Status> {
        self.send(containers::ROOT, &Message::close(token)).map(drop)
    }

    /// Makes an object in the root container by its create command.
    pub fn create<R: Request<Reply = Created>>(&mut self, request: &R) -> Result<ObjectId, Status> {
        self.create_in(self.root, request)
    }

    /// Makes an object in an open container.
    pub fn create_in<R: Request<Reply = Created>>(
        &mut self,
        container: Token,
        request: &R,
    ) -> Result<ObjectId, Status> {
        let kind = ObjectType::from_code(R::NUMBER - common::CREATE).expect("a create command");
        self.call(container, request).map(|created| ObjectId::new(kind, created.id))
    }

    /// Makes an object in the root container and opens it.
    ///
    /// # Panics
    /// Where the MC refuses.
    pub fn make<R: Request<Reply = Created>>(&mut self, request: &R) -> (ObjectId, Token) {
        let id = self.create(request).unwrap_or_else(|e| panic!("{request:?}: {e}"));
        let token = self.open(id);
        (id, token)
    }

    /// Makes a container in the root container, with the options that tools
    /// give it, and opens it.
    ///
    /// # Panics
    /// Where the MC refuses.
    pub fn make_container(&mut self) -> (u32, Token) {
        use dprc::option::{ALLOC, IRQ_CFG, OBJ_CREATE, SPAWN};
        self.make_container_in(self.root, SPAWN | ALLOC | OBJ_CREATE | IRQ_CFG)
            .expect("a container can be made")
    }

    /// Makes a container with certain options in an open one, and opens it.
    pub fn make_container_in(
        &mut self,
        parent: Token,
        options: u32,
    ) -> Result<(u32, Token), Status> {
        let request = dprc::CreateContainer {
            options,
            icid: dprc::ICID_FROM_POOL,
            portal: dprc::PORTAL_FROM_POOL,
            ..Default::default()
        };
        let child = self.call(parent, &request)?.child;
        Ok((child, self.open(containers::name(child))))
    }

    /// Destroys an object of the root container.
    pub fn destroy(&mut self, id: ObjectId) -> Result<(), Status> {
        self.destroy_in(self.root, id)
    }

    /// Destroys an object of an open container.
    pub fn destroy_in(&mut self, container: Token, id: ObjectId) -> Result<(), Status> {
        let mut params = Params::ZERO;
        common::Destroy { id: id.id }.encode(&mut params, 1);
        let message = Message::command(common::DESTROY + id.kind.code(), 1, container, params);
        self.send(containers::ROOT, &message).map(drop)
    }

    /// Connects two interfaces.
    pub fn connect(&mut self, one: (ObjectId, u16), two: (ObjectId, u16)) -> Result<(), Status> {
        let request = dprc::Connect {
            id1: one.0.id,
            kind1: one.0.kind,
            interface1: one.1,
            id2: two.0.id,
            kind2: two.0.kind,
            interface2: two.1,
            max_rate: 0,
            committed_rate: 0,
        };
        self.call(self.root, &request)
    }

    /// What commands have caused since this was last asked.
    pub fn messages(&mut self) -> Vec<crate::fabric::Message> {
        self.state.pass.take_messages().collect()
    }

    /// Runs the engines that have something to do.
    pub fn run_engines(&mut self) {
        let fabric = self.state.fabric.clone();
        fabric.run_engines(&mut self.state.pass);
    }

    /// The isolation id of the root container.
    pub fn icid(&self) -> u16 {
        self.state.icid(containers::ROOT).expect("the root is there")
    }

    /// Lets interrupt `index` of an object leave for all events, to `address`.
    pub fn listen(&mut self, token: Token, index: u8, address: u64) {
        let set = common::SetIrq { value: u32::from(index), index, address, user: 0 };
        self.call(token, &set).expect("the object has that interrupt");
        self.call(token, &common::SetIrqMask { mask: u32::MAX, index }).expect("likewise");
        self.call(token, &common::SetIrqEnable { enable: true, index }).expect("likewise");
    }

    /// Asserts that no pool has anything taken but what the root holds.
    pub fn assert_pools_full(&self) {
        let pools = &self.state.pools;
        for (name, pool) in pools.all().into_iter().chain(pools.unlisted()) {
            let root = u32::from(matches!(name, "mcp" | "icid"));
            assert_eq!(pool.free() + root, pool.size(), "pool {name}");
        }
    }
}
