// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a manager of containers does with objects, by typed commands through any portal.

use crate::error::PortalError;
use crate::portal::{McPortal, OpenObject};
use mc_abi::blocks::ObjectDescription;
use mc_abi::common::{DESTROY, Destroy};
use mc_abi::dprc::{Assign, DestroyContainer, GetObject, GetObjectCount, Unassign, request};
use mc_abi::{ObjectId, ObjectType, ResourceType};

/// Outcome of a command.
pub type Answered<T> = std::result::Result<T, PortalError>;

/// Runs `work` with an object open and closes it again, also when the work fails.
///
/// # Errors
/// What the MC or the kernel refuses; that of the work before that of the close.
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

/// What is in the open container.
///
/// # Errors
/// What the MC or the kernel refuses.
pub fn list(portal: &mut McPortal, container: OpenObject) -> Answered<Vec<ObjectDescription>> {
    let count = portal.call(container, &GetObjectCount {})?.count;
    (0..count).map(|index| Ok(portal.call(container, &GetObject { index })?.object)).collect()
}

/// Destroys an object of the open container, or a container below it.
///
/// # Errors
/// What the MC or the kernel refuses.
pub fn destroy(portal: &mut McPortal, container: OpenObject, object: ObjectId) -> Answered<()> {
    if object.kind == ObjectType::Dprc {
        return portal.call(container, &DestroyContainer { child: object.id });
    }
    let request = Destroy { id: object.id };
    portal.call_family("Destroy", DESTROY, object.kind, container, &request)
}

/// Moves an object from the open container to a child, or, where both are the same,
/// plugs or unplugs it.
///
/// # Errors
/// What the MC or the kernel refuses.
pub fn assign(
    portal: &mut McPortal,
    container: OpenObject,
    object: ObjectId,
    to: ObjectId,
    plugged: bool,
) -> Answered<()> {
    let request = Assign {
        container: to.id,
        options: options_of(plugged),
        count: 1,
        base_or_align: object.id,
        kind: ResourceType::new(object.kind.name()),
    };
    portal.call(container, &request)
}

/// Moves an object from a child of the open container to it.
///
/// # Errors
/// What the MC or the kernel refuses.
pub fn unassign(
    portal: &mut McPortal,
    container: OpenObject,
    object: ObjectId,
    from: ObjectId,
    plugged: bool,
) -> Answered<()> {
    let request = Unassign {
        child: from.id,
        options: options_of(plugged),
        count: 1,
        base_or_align: object.id,
        kind: ResourceType::new(object.kind.name()),
    };
    portal.call(container, &request)
}

fn options_of(plugged: bool) -> u32 {
    if plugged { request::EXPLICIT | request::PLUGGED } else { request::EXPLICIT }
}
