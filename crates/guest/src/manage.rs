// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a manager of containers does, by typed commands through any portal.

use crate::failure::Failure;
use dprc::{McPortal, OpenObject, PortalError};
use mc_abi::common::{Created, DESTROY, Destroy};
use mc_abi::{
    Label, ObjectId, ObjectType, Request, ResourceType, dpaiop, dpbp, dpci, dpcon, dpdbg, dpdcei,
    dpdmai, dpdmux, dpio, dpmac, dpmcp, dpni, dprc as container, dprtc, dpseci, dpsw,
};

/// Outcome of a command.
pub type Answered<T> = Result<T, PortalError>;

impl From<PortalError> for Failure {
    fn from(error: PortalError) -> Self {
        use mc_abi::Status;
        let advice = match error.status() {
            Some(Status::AuthenticationError) => {
                "The token is not open, or the object is not below this portal's container"
            }
            Some(Status::NoPrivilege) => "The container's options do not allow it, or it is locked",
            Some(Status::NoResource) => "A pool is empty, or there is no such object",
            Some(Status::Busy) => "Something holds the object; unbind its driver",
            Some(Status::ConfigurationError) => "A parameter has a value that the MC does not take",
            Some(Status::InvalidState) => "The object is in a state that does not allow it",
            Some(Status::UnsupportedOperation) => "This firmware does not have the command",
            _ => "The kernel's log (dmesg) may say more",
        };
        Self::new(error.to_string(), "the Management Complex", advice)
    }
}

impl From<dprc::Error> for Failure {
    fn from(error: dprc::Error) -> Self {
        match error {
            dprc::Error::Portal(error) => error.into(),
            dprc::Error::Kernel { asked, of, errno, advice } => {
                let errno = crate::failure::in_words(&errno.into());
                Self::new(format!("{asked}: {errno}"), of, advice)
            }
            error => Self::new(error.to_string(), "VFIO", ""),
        }
    }
}

impl From<Box<dprc::MapError>> for Failure {
    fn from(error: Box<dprc::MapError>) -> Self {
        error.error.into()
    }
}

/// Runs `work` with an object open and closes it again, also when the work fails.
pub fn with_open<T>(
    portal: &mut McPortal,
    object: ObjectId,
    work: impl FnOnce(&mut McPortal, OpenObject) -> Answered<T>,
) -> Answered<T> {
    let open = portal.open(object)?;
    let outcome = work(portal, open);
    let closed = portal.close(open);
    let value = outcome?;
    closed?;
    Ok(value)
}

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

/// Destroys an object of the open container, or a container below it.
pub fn destroy(portal: &mut McPortal, container: OpenObject, object: ObjectId) -> Answered<()> {
    if object.kind == ObjectType::Dprc {
        return portal.call(container, &container::DestroyContainer { child: object.id });
    }
    let request = Destroy { id: object.id };
    portal.call_family("Destroy", DESTROY, object.kind, container, &request)
}

/// Moves an object from the open container to a child, or, where both are the same,
/// plugs or unplugs it.
pub fn assign(
    portal: &mut McPortal,
    container: OpenObject,
    object: ObjectId,
    to: ObjectId,
    plugged: bool,
) -> Answered<()> {
    let request = container::Assign {
        container: to.id,
        options: options_of(plugged),
        count: 1,
        base_or_align: object.id,
        kind: ResourceType::new(object.kind.name()),
    };
    portal.call(container, &request)
}

/// Moves an object from a child of the open container to it.
pub fn unassign(
    portal: &mut McPortal,
    container: OpenObject,
    object: ObjectId,
    from: ObjectId,
    plugged: bool,
) -> Answered<()> {
    let request = container::Unassign {
        child: from.id,
        options: options_of(plugged),
        count: 1,
        base_or_align: object.id,
        kind: ResourceType::new(object.kind.name()),
    };
    portal.call(container, &request)
}

fn options_of(plugged: bool) -> u32 {
    use container::request::{EXPLICIT, PLUGGED};
    if plugged { EXPLICIT | PLUGGED } else { EXPLICIT }
}

/// What is in the open container.
pub fn list(
    portal: &mut McPortal,
    container: OpenObject,
) -> Answered<Vec<container::GetObjectReply>> {
    let count = portal.call(container, &container::GetObjectCount {})?.count;
    (0..count).map(|index| portal.call(container, &container::GetObject { index })).collect()
}
