// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Making objects of each family, by typed commands through any portal.

pub use dprc::manage::{Answered, assign, destroy, list, unassign, with_open};
use dprc::{McPortal, OpenObject};
use mc_abi::common::Created;
use mc_abi::{
    Label, ObjectId, ObjectType, Request, dpaiop, dpbp, dpci, dpcon, dpdbg, dpdcei, dpdmai, dpdmux,
    dpio, dpmac, dpmcp, dpni, dprc as container, dprtc, dpseci, dpsw,
};

/// Makes an object in the open container, with a modest configuration that every
/// board can give.
pub fn create(
    portal: &mut McPortal,
    container: OpenObject,
    kind: ObjectType,
) -> Answered<ObjectId> {
    let id = match kind {
        ObjectType::Dprc => create_container(portal, container, "")?.id,
        ObjectType::Dpni => make(portal, container, &dpni::Create::default())?,
        ObjectType::Dpio => {
            make(portal, container, &dpio::Create { channel_mode: 1, num_priorities: 8 })?
        }
        ObjectType::Dpbp => make(portal, container, &dpbp::Create {})?,
        ObjectType::Dpmcp => {
            let portal_number = dpmcp::PORTAL_FROM_POOL;
            make(portal, container, &dpmcp::Create { portal: portal_number, options: 0 })?
        }
        ObjectType::Dpcon => make(portal, container, &dpcon::Create { num_priorities: 2 })?,
        ObjectType::Dpci => {
            make(portal, container, &dpci::Create { num_of_priorities: 2, ..Default::default() })?
        }
        ObjectType::Dpmac => make(portal, container, &dpmac::Create { mac: 1 })?,
        ObjectType::Dpsw => {
            make(portal, container, &dpsw::Create { num_ifs: 2, ..Default::default() })?
        }
        ObjectType::Dpdmux => {
            let method = dpdmux::method::MAC;
            let request = dpdmux::Create { method, num_ifs: 2, ..Default::default() };
            make(portal, container, &request)?
        }
        ObjectType::Dpseci => {
            let mut request =
                dpseci::Create { num_tx_queues: 1, num_rx_queues: 1, ..Default::default() };
            request.priorities.fill(2);
            request.priorities2.fill(2);
            make(portal, container, &request)?
        }
        ObjectType::Dpdmai => {
            let priorities = [2, 2];
            make(
                portal,
                container,
                &dpdmai::Create { num_queues: 1, priorities, ..Default::default() },
            )?
        }
        ObjectType::Dpdcei => make(portal, container, &dpdcei::Create { engine: 1, priority: 1 })?,
        ObjectType::Dprtc => make(portal, container, &dprtc::Create::default())?,
        ObjectType::Dpaiop => {
            let aiop_container_id = container.object.id;
            make(portal, container, &dpaiop::Create { aiop_id: 0, aiop_container_id })?
        }
        ObjectType::Dpdbg => {
            let dpdbg_container_id = container.object.id;
            make(portal, container, &dpdbg::Create { dpdbg_id: 0, dpdbg_container_id })?
        }
    };
    Ok(ObjectId::new(kind, id))
}

fn make<R: Request<Reply = Created>>(
    portal: &mut McPortal,
    container: OpenObject,
    request: &R,
) -> Answered<u32> {
    Ok(portal.call(container, request)?.id)
}

/// What a container of the demonstration may do: whatever does not need the root.
const CHILD_OPTIONS: u32 = container::option::SPAWN
    | container::option::ALLOC
    | container::option::OBJ_CREATE
    | container::option::TOPOLOGY_CHANGES
    | container::option::IRQ_CFG;

/// Makes a container in the open one, with isolation id and portal from the pools.
pub fn create_container(
    portal: &mut McPortal,
    parent: OpenObject,
    label: &str,
) -> Answered<ObjectId> {
    let request = container::CreateContainer {
        options: CHILD_OPTIONS,
        icid: container::ICID_FROM_POOL,
        portal: container::PORTAL_FROM_POOL,
        label: Label::new(label),
    };
    let reply = portal.call(parent, &request)?;
    Ok(ObjectId::new(ObjectType::Dprc, reply.child))
}
