// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands that user space must not send: those that would take from the kernel what
//! it needs, or reach beyond the container.
//!
//! A refused command is answered by the driver: the write takes 64 bytes, and the
//! answer has the status "no privilege".

use super::util::{exchange, identity, is_enabled, open_container, status};
use crate::check::{Check, Outcome, Stop, check, done, ensure, fail, is, skip};
use crate::context::Context;
use crate::sys::ioctl_number;
use dprc::{AssignedContainer, Device};
use fsl_mc_linux::bus;
use fsl_mc_linux::ioctl::DEVICE_RESET;
use mc_abi::{Message, Params, Request, Status, Token, common, dprc as mc};

const GROUP: Check = Check::group("policy");

const KERNEL: &str = "the kernel has the container open to reset it at the last close";
const ADDRESS: &str = "an interrupt is a write to an address, which only the kernel may choose";

/// The checks.
pub const CHECKS: &[Check] = &[
    check!(
        close_of_the_kernels_token,
        "Closing the token by which the kernel has the container open is refused.",
        KERNEL
    )
    .seconds(120)
    .spoils()
    .defect(9),
    check!(
        close_through_a_dpmcp,
        "Closing the token by which the kernel has the container open is refused through a dpmcp, \
         too, whose tokens are the container's.",
        KERNEL
    )
    .seconds(120)
    .spoils()
    .defect(9),
    check!(
        reset_after_closes,
        "Whatever tokens user space closes, VFIO_DEVICE_RESET works afterwards.",
        KERNEL
    )
    .seconds(120)
    .spoils()
    .defect(9),
    check!(
        reset_at_close_after_closes,
        "Whatever tokens user space closes, the last close resets the container.",
        KERNEL
    )
    .seconds(120)
    .spoils()
    .defect(9),
    check!(
        reset_at_close,
        "The last close of the container resets what is in it.",
        "C driver: close resets the device"
    ),
    check!(
        "set-irq",
        |context| { through(context, false, set_irq) },
        "Setting where an object's interrupt goes is refused.",
        ADDRESS
    )
    .defect(9),
    check!(
        "set-object-irq",
        |context| through(context, false, set_object_irq),
        "Setting where the interrupt of an object in the container goes is refused.",
        ADDRESS
    )
    .defect(9),
    check!(
        "set-irq-by-dpmcp",
        |context| through(context, true, set_irq),
        "The same is refused when it is written to a dpmcp.",
        ADDRESS
    )
    .defect(9),
    check!(any_version, "Commands are refused whatever version of their layout they say.", ADDRESS)
        .defect(9),
    check!(
        create_container,
        "Making a container below is refused.",
        "a container has an isolation id of its own, behind which the host has set up nothing"
    )
    .defect(9),
    check!(
        refused_is_not_sent,
        "A refused command changes nothing, and the next one is answered as ever.",
        ADDRESS
    )
    .defect(9),
    check!(
        own_tokens,
        "Tokens that user space opened itself can be closed.",
        "DPDK closes what it has opened"
    ),
    check!(
        irq_setup_is_the_users,
        "Interrupts can be masked, disabled and queried by commands.",
        "DPDK sets mask and enable of its objects' interrupts"
    ),
    check!(
        objects_are_the_users,
        "Objects can be made and destroyed where the container's options allow it.",
        "DPDK and restool make objects in their container"
    ),
];

/// What became of the token by which the kernel has the container open, when user space
/// closed all that there are.
#[derive(Debug, PartialEq, Eq)]
enum KernelsToken {
    /// The driver refused to close it.
    Kept(u16),
    /// It was closed: the kernel cannot reset the container any more.
    Closed(u16),
}

/// Closes tokens through a portal of the container until one is the kernel's. It was given out before those of this
/// program, and firmware counts up.
fn close_all(held: &AssignedContainer, device: &Device) -> Result<KernelsToken, Stop> {
    let dprc = held.dprc()?;
    let mut portal = device.portal()?;
    let own = open_container(held, &mut portal)?;
    portal.close(own)?;
    for distance in 1..u16::MAX {
        let token = own.token.0.wrapping_sub(distance);
        match status(&exchange(device, &Message::close(Token(token)))?) {
            Status::NoPrivilege => return Ok(KernelsToken::Kept(token)),
            // It was somebody's.
            Status::Ok => {
                if ioctl_number(&dprc, DEVICE_RESET, 0).is_err() {
                    return Ok(KernelsToken::Closed(token));
                }
            }
            Status::AuthenticationError => {}
            other => return fail("a token is closed, refused or nobody's", other.to_string()),
        }
    }
    fail("a token is the kernel's, which is kept or missed", "none is")
}

fn close_of_the_kernels_token(context: &Context) -> Outcome {
    let held = context.hold()?;
    match close_all(&held, &held.dprc()?)? {
        KernelsToken::Kept(_) => Ok(()),
        closed => fail("the kernel's token is kept", format!("{closed:?}")),
    }
}

fn close_through_a_dpmcp(context: &Context) -> Outcome {
    let held = context.hold()?;
    match close_all(&held, &held.device(&context.first("dpmcp")?)?)? {
        KernelsToken::Kept(_) => Ok(()),
        closed => fail("the kernel's token is kept", format!("{closed:?}")),
    }
}

fn reset_after_closes(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    close_all(&held, &device)?;
    for name in context.devices()? {
        let got = ioctl_number(held.device(&name)?, DEVICE_RESET, 0);
        done(&format!("a reset of {name}"), got)?;
    }
    let mut portal = device.portal()?;
    let open = open_container(&held, &mut portal)?;
    Ok(portal.close(open)?)
}

/// Switches a dpio on, runs `meanwhile`, closes everything, and looks whether it is
/// off.
fn is_reset_at_close(
    context: &Context,
    meanwhile: impl Fn(&AssignedContainer, &Device) -> Outcome,
) -> Outcome {
    let name = context.first("dpio")?;
    let held = context.hold()?;
    // The dpio is not opened as a device, which would be reset by its own close.
    let device = held.dprc()?;
    meanwhile(&held, &device)?;
    let mut portal = device.portal()?;
    let open = portal.open(identity(&name)?)?;
    portal.call(open, &common::Enable {})?;
    ensure(is_enabled(&mut portal, open)?, format!("{name} is on"), || "off".into())?;
    drop((portal, device, held));

    let held = context.hold()?;
    let mut portal = held.dprc()?.portal()?;
    let open = portal.open(identity(&name)?)?;
    let on = is_enabled(&mut portal, open)?;
    // The next one is to find it as it was.
    portal.call(open, &common::Disable {})?;
    portal.close(open)?;
    ensure(!on, format!("{name} is off after the container's last close"), || {
        "it is on: the container was not reset".into()
    })
}

fn reset_at_close(context: &Context) -> Outcome {
    is_reset_at_close(context, |_, _| Ok(()))
}

fn reset_at_close_after_closes(context: &Context) -> Outcome {
    is_reset_at_close(context, |held, device| close_all(held, device).map(drop))
}

/// An address that no interrupt controller listens at, and that nothing is behind
/// either: the interrupt is never switched on.
const NOWHERE: u64 = 0;

fn set_irq(
    _: &AssignedContainer,
    _: &Device,
    open: dprc::OpenObject,
    _: &str,
) -> Result<Message, Stop> {
    let request = common::SetIrq { value: 0, index: 0, address: NOWHERE, user: 0 };
    Ok(request.message(open.token))
}

fn set_object_irq(
    held: &AssignedContainer,
    device: &Device,
    _: dprc::OpenObject,
    name: &str,
) -> Result<Message, Stop> {
    let id = identity(name)?;
    let container = open_container(held, &mut device.portal()?)?;
    let request = mc::SetObjectIrq {
        value: 0,
        index: 0,
        address: NOWHERE,
        user: 0,
        id: id.id,
        kind: id.kind,
    };
    Ok(request.message(container.token))
}

/// An object with an interrupt that is of no use to anybody now.
fn target(context: &Context) -> Result<String, Stop> {
    let wanted = ["dpio", "dpbp", "dpcon", "dpni"];
    let found = context.objects()?.into_iter().find(|name| wanted.contains(&bus::family(name)));
    found.map_or_else(|| skip("no object with an interrupt"), Ok)
}

/// Sends a command about an object through the container's portal or a dpmcp's; it
/// must be refused.
fn through(
    context: &Context,
    by_dpmcp: bool,
    command: fn(&AssignedContainer, &Device, dprc::OpenObject, &str) -> Result<Message, Stop>,
) -> Outcome {
    let name = target(context)?;
    let held = context.hold()?;
    let device = if by_dpmcp { held.device(&context.first("dpmcp")?)? } else { held.dprc()? };
    let open = device.portal()?.open(identity(&name)?)?;
    let command = command(&held, &device, open, &name)?;
    let got = exchange(&device, &command)?;
    is(
        &format!("status of command {:#x} for {name}", command.header.number()),
        status(&got),
        Status::NoPrivilege,
    )?;
    is("command in the answer", got.header.number(), command.header.number())
}

fn any_version(context: &Context) -> Outcome {
    let name = target(context)?;
    let held = context.hold()?;
    let device = held.dprc()?;
    let open = device.portal()?.open(identity(&name)?)?;
    for version in 0..16 {
        let number = common::SetIrq::NUMBER;
        let command = Message::command(number, version, open.token, Params::ZERO);
        let got = status(&exchange(&device, &command)?);
        is(&format!("status of version {version}"), got, Status::NoPrivilege)?;
    }
    Ok(())
}

fn create_container(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    let mut portal = device.portal()?;
    let open = open_container(&held, &mut portal)?;
    let create = mc::CreateContainer {
        options: 0,
        icid: mc::ICID_FROM_POOL,
        portal: mc::PORTAL_FROM_POOL,
        label: mc_abi::Label::new(""),
    };
    let got = portal.call(open, &create);
    if let Ok(made) = &got {
        portal.call(open, &mc::DestroyContainer { child: made.child })?;
    }
    match got {
        Err(error) if error.status() == Some(Status::NoPrivilege) => Ok(portal.close(open)?),
        Err(error) => fail("status no privilege", error.to_string()),
        Ok(made) => fail("status no privilege", format!("dprc.{} was made", made.child)),
    }
}

fn refused_is_not_sent(context: &Context) -> Outcome {
    let name = target(context)?;
    let held = context.hold()?;
    let device = held.dprc()?;
    let mut portal = device.portal()?;
    let open = portal.open(identity(&name)?)?;
    let before = portal.call(open, &common::GetIrq { index: 0 })?;
    let user = before.user ^ 0x5a5a;
    let request = common::SetIrq { value: before.value, index: 0, address: before.address, user };
    let got = exchange(&device, &request.message(open.token))?;
    is("status of SetIrq", status(&got), Status::NoPrivilege)?;
    let after = portal.call(open, &common::GetIrq { index: 0 })?;
    is("what GetIrq says", after, before)?;
    Ok(portal.close(open)?)
}

fn own_tokens(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    let mut portal = device.portal()?;
    // The kernel has the container open as well: the user's token is another one.
    let tokens = [open_container(&held, &mut portal)?, open_container(&held, &mut portal)?];
    for open in tokens {
        portal.close(open)?;
        let got = exchange(&device, &Message::close(open.token))?;
        is("status of a second close", status(&got), Status::AuthenticationError)?;
    }
    done("a reset of the container", ioctl_number(&device, DEVICE_RESET, 0))?;
    Ok(())
}

fn irq_setup_is_the_users(context: &Context) -> Outcome {
    let name = target(context)?;
    let held = context.hold()?;
    let mut portal = held.dprc()?.portal()?;
    let open = portal.open(identity(&name)?)?;
    let before = portal.call(open, &common::GetIrqMask { index: 0 })?.mask;
    portal.call(open, &common::SetIrqMask { mask: 1, index: 0 })?;
    is("the mask", portal.call(open, &common::GetIrqMask { index: 0 })?.mask, 1)?;
    portal.call(open, &common::SetIrqMask { mask: before, index: 0 })?;
    portal.call(open, &common::SetIrqEnable { enable: false, index: 0 })?;
    is("the enable", portal.call(open, &common::GetIrqEnable { index: 0 })?.enabled, false)?;
    portal.call(open, &common::GetIrqStatus { status: 0, index: 0 })?;
    portal.call(open, &common::ClearIrqStatus { status: u32::MAX, index: 0 })?;
    portal.call(open, &common::GetIrq { index: 0 })?;
    Ok(portal.close(open)?)
}

fn objects_are_the_users(context: &Context) -> Outcome {
    let held = context.hold()?;
    let mut portal = held.dprc()?.portal()?;
    let open = open_container(&held, &mut portal)?;
    let options = portal.call(open, &mc::GetAttributes {})?.options;
    if options & mc::option::OBJ_CREATE == 0 {
        return skip("the container may not make objects");
    }
    let count = portal.call(open, &mc::GetObjectCount {})?.count;
    let made = match portal.call(open, &mc_abi::dpbp::Create {}) {
        Err(error) if error.status() == Some(Status::NoResource) => {
            return skip("no buffer pool is left");
        }
        made => made?,
    };
    is("objects", portal.call(open, &mc::GetObjectCount {})?.count, count + 1)?;
    let kind = mc_abi::ObjectType::Dpbp;
    let destroy = common::Destroy { id: made.id };
    portal.call_family::<()>("Destroy", common::DESTROY, kind, open, &destroy)?;
    is("objects", portal.call(open, &mc::GetObjectCount {})?.count, count)?;
    Ok(portal.close(open)?)
}
