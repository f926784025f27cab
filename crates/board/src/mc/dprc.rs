// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Containers: the family and its commands. What the commands do is in
//! [`containers`], [`assignment`], [`resources`] and [`connections`].

pub(crate) use super::containers::Container;
use super::{
    Answer, Body, Call, Family, PORTAL_STRIDE, Region, State, assignment, connections,
    containers::{self, MC_CONTAINER},
    object::{Object, RegionWindow},
    portals::Owner,
    resources,
};
use crate::mc::refusal::{Because, NOT_IMPLEMENTED, Refusal};
use crate::soc::Soc;
use mc_abi::{
    ObjectId, ObjectType, Status,
    blocks::ObjectDescription,
    dprc::{self, Command, option},
};

/// Vendor of all objects.
const VENDOR: u16 = 0x1957;

/// What the firmware of an LX2160A lists as free in its packet express buffer
/// (board observation): nothing on this board takes any of it.
const FREE_PEB: dprc::Block = dprc::Block { offset: 0x8_0000, size: 0x18_0000 };

impl Family for Container {
    const VERSION: (u16, u16) = (6, 7);
    const IRQS: u8 = 1;
    type Create = dprc::CreateContainer;

    fn create(
        state: &mut State,
        id: u32,
        _container: u32,
        request: &dprc::CreateContainer,
    ) -> Result<Self, Refusal> {
        if request.options & !option::ALL != 0 {
            return Err(Status::ConfigurationError.because("unknown options"));
        }
        // Isolation ids and portals of containers do not come out of the
        // parent's allowance (inferred: a child without any can be made).
        state.pools.draw_from(&super::pools::top());
        let icid = match request.icid {
            dprc::ICID_FROM_POOL => state.pools.icid.take()?,
            icid => {
                state.pools.icid.take_exactly(icid)?;
                icid
            }
        };
        let icid = u16::try_from(icid)
            .map_err(|_| Status::NoResource.because(format!("{icid:#x} is no isolation id")))?;
        let owner = Owner { container: id, dpmcp: None };
        let portal = state.take_portal(request.portal, owner)?;
        Ok(Self { icid, portal, options: request.options, locked: false, members: Vec::new() })
    }

    fn destroy(self, state: &mut State, _id: u32) {
        state.portals.set_owner(self.portal, None);
    }

    fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
        let id = call.object.id;
        match command {
            Command::GetAttributes(get) => {
                let container = state.body::<Self>(id)?;
                let reply = dprc::GetAttributesReply {
                    id,
                    icid: container.icid.into(),
                    options: container.options,
                    portal: container.portal,
                };
                call.reply(get, reply)
            }
            Command::GetObjectCount(get) => {
                let count = state.members(id).len() as u32;
                call.reply(get, dprc::GetObjectCountReply { count })
            }
            Command::GetObject(get) => {
                let members = state.members(id);
                let object = members.get(get.index as usize).ok_or_else(|| {
                    Status::ConfigurationError
                        .because(format!("there are {} objects", members.len()))
                })?;
                let object = describe(state, *object)?;
                call.reply(get, dprc::GetObjectReply { object })
            }
            Command::GetObjectDescription(get) => {
                let object = below(state, id, get.kind, get.id)?.id;
                let object = describe(state, object)?;
                call.reply(get, dprc::GetObjectDescriptionReply { object })
            }
            Command::GetObjectRegion(get) => call.reply(get, region(state, call, get)?),
            Command::GetPool(get) => {
                let kind = resources::pool_name(state, get.index)?;
                call.reply(get, dprc::GetPoolReply { kind })
            }
            Command::GetPoolCount(get) => {
                let count = state.pools.all().len() as u32;
                call.reply(get, dprc::GetPoolCountReply { count })
            }
            Command::GetResourceCount(get) => {
                let count = resources::count(state, id, &get.kind)?;
                call.reply(get, dprc::GetResourceCountReply { count })
            }
            Command::GetResourceIds(get) => {
                let range = resources::next_range(state, id, get)?;
                call.reply(get, range)
            }
            Command::GetConnection(get) => {
                let reply = connections::get_connection(state, id, get)?;
                call.reply(get, reply)
            }
            // The MC's own container can be looked at and nothing else.
            _ if id == MC_CONTAINER => Err(Status::NoPrivilege
                .because("the container of the MC itself can be looked at and nothing else")),
            _ => change(state, call, command),
        }
    }

    /// Through the object's own token: the container and all that is in it.
    fn reset(state: &mut State, id: u32) {
        let _ = containers::reset(state, id, id, true);
    }
}

impl Body for Container {
    fn regions(&self, _soc: &Soc) -> Vec<Region> {
        vec![Region {
            window: RegionWindow::Mc,
            offset: u64::from(self.portal) * PORTAL_STRIDE,
            size: PORTAL_STRIDE as u32,
            flags: 0,
        }]
    }
}

/// Commands that change something, or that the MC's own container refuses.
fn change(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    let id = call.object.id;
    match command {
        Command::Reset(reset) => {
            let recursive = reset.options & dprc::RESET_NON_RECURSIVE == 0;
            containers::reset(state, id, reset.child, recursive)?;
        }
        Command::CreateContainer(create) => {
            let child = containers::create_container(state, id, create)?;
            let portal = state.body::<Container>(child)?.portal;
            let portal_offset = u64::from(portal) * PORTAL_STRIDE;
            return call.reply(create, dprc::CreateContainerReply { child, portal_offset });
        }
        Command::DestroyContainer(destroy) => {
            containers::destroy_container(state, id, destroy.child)?;
        }
        Command::SetLocked(set) => containers::set_locked(state, id, set.child, set.locked)?,
        Command::Assign(assign) => assignment::assign(state, id, assign)?,
        Command::Unassign(unassign) => assignment::unassign(state, id, unassign)?,
        Command::SetObjectLabel(set) => {
            let object = ObjectId::new(set.kind, set.id);
            containers::set_label(state, id, object, set.label)?;
        }
        Command::SetResourceQuota(set) => resources::set_quota(state, id, set)?,
        Command::GetResourceQuota(get) => {
            let quota = resources::quota(state, id, get)?;
            return call.reply(get, dprc::GetResourceQuotaReply { quota });
        }
        Command::Connect(connect) => connections::connect(state, id, connect)?,
        Command::Disconnect(disconnect) => connections::disconnect(state, id, disconnect)?,
        Command::SetObjectIrq(set) => {
            containers::check_irq_privilege(state, call)?;
            let object = below(state, id, set.kind, set.id)?.id;
            state.set_irq(object, set.index, set.address, set.value, set.user)?;
        }
        Command::GetObjectIrq(get) => {
            let object = below(state, id, get.kind, get.id)?.id;
            let irq = state.irq(object, get.index)?;
            let reply = dprc::GetObjectIrqReply {
                value: irq.value,
                address: irq.address,
                user: irq.user,
                irq_kind: 0,
            };
            return call.reply(get, reply);
        }
        Command::GetMemory(get) => return call.reply(get, memory(get)?),
        // Answered before.
        Command::GetAttributes(_)
        | Command::GetObjectCount(_)
        | Command::GetObject(_)
        | Command::GetObjectDescription(_)
        | Command::GetObjectRegion(_)
        | Command::GetPool(_)
        | Command::GetPoolCount(_)
        | Command::GetResourceCount(_)
        | Command::GetResourceIds(_)
        | Command::GetConnection(_) => {
            return Err(Status::UnsupportedOperation.because(NOT_IMPLEMENTED));
        }
    }
    Ok(Answer::DONE)
}

/// An object that lies in a container or below.
fn below(state: &State, container: u32, kind: ObjectType, id: u32) -> Result<&Object, Refusal> {
    let id = ObjectId::new(kind, id);
    if container != MC_CONTAINER && !state.reaches(container, id) {
        return Err(Status::NoResource.because(state.out_of_reach(container, id)));
    }
    state.object(id)
}

fn describe(state: &State, id: ObjectId) -> Result<ObjectDescription, Refusal> {
    let object = state.object(id)?;
    let (version_major, version_minor) = object.functions.version;
    let mut flags = 0;
    if state.sessions.is_open(id) {
        flags |= dprc::state::OPEN;
    }
    if object.plugged {
        flags |= dprc::state::PLUGGED;
    }
    Ok(ObjectDescription {
        id: id.id,
        vendor: VENDOR,
        irqs: object.irqs.len() as u8,
        regions: object.body.regions(&state.config.soc).len() as u8,
        state: flags,
        version_major,
        version_minor,
        flags: 0,
        kind: id.kind,
        label: object.label,
    })
}

fn region(
    state: &State,
    call: &Call,
    ask: &dprc::GetObjectRegion,
) -> Result<dprc::GetObjectRegionReply, Refusal> {
    let object = below(state, call.object.id, ask.kind, ask.id)?;
    let regions = object.body.regions(&state.config.soc);
    let region = regions.get(usize::from(ask.index)).ok_or_else(|| {
        Status::ConfigurationError.because(format!(
            "{}.{} has {} regions",
            ask.kind,
            ask.id,
            regions.len()
        ))
    })?;
    let (window, small) = match region.window {
        RegionWindow::Mc => (dprc::REGION_MC_PORTAL, 0x40),
        RegionWindow::Qbman => (dprc::REGION_QBMAN_PORTAL, 0x1000),
    };
    // Before version 3, a portal was said to be as large as what is used of it.
    let size = if call.version >= 3 { region.size } else { small };
    Ok(dprc::GetObjectRegionReply {
        offset: region.offset,
        size,
        window,
        flags: region.flags,
        base_address: 0,
    })
}

fn memory(ask: &dprc::GetMemory) -> Result<dprc::GetMemoryReply, Refusal> {
    if ask.partition != dprc::MEMORY_PEB || ask.page != 0 {
        return Err(Status::ConfigurationError
            .because("only one page of the packet express buffer is known"));
    }
    let mut blocks = [dprc::Block::default(); 5];
    blocks[0] = FREE_PEB;
    Ok(dprc::GetMemoryReply { entries: 1, pages: 1, blocks })
}
