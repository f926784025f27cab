// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The management interface.

use super::bus::print_json;
use crate::cli::{Endpoint, Manage, Mgmt};
use crate::manage::{self, Answered, with_open};
use dprc::{Management, McPortal};
use fsl_mc_linux::bus::{self, PATIENCE, SYSFS};
use guest_agent::Failure;
use mc_abi::common::{ApiVersion, GET_API_VERSION};
use mc_abi::{
    Header, Label, Message, ObjectId, ObjectType, Params, Status, Token, dpmng, dprc as container,
};
use serde_json::json;

/// Does one thing.
pub fn run(mgmt: &Mgmt) -> Result<(), Failure> {
    let portal = &mut Management::open(&mgmt.root.to_string())?;
    match &mgmt.action {
        Manage::Version => {
            let version = portal.call(Token::NONE, &dpmng::GetVersion {})?;
            println!("{}.{}.{}", version.major, version.minor, version.revision);
        }
        Manage::Time { count } => {
            let mut times = Vec::new();
            for _ in 0..(*count).max(1) {
                let start = std::time::Instant::now();
                portal.call(Token::NONE, &dpmng::GetVersion {})?;
                times.push(start.elapsed().as_nanos());
            }
            times.sort_unstable();
            println!("{} {}", times[0], times[times.len() / 2]);
        }
        Manage::List { container } => print_list(portal, *container)?,
        Manage::Create { kind, container, count, plugged } => {
            for _ in 0..*count {
                println!("{}", create(portal, *kind, *container, *plugged)?);
            }
        }
        Manage::Destroy { object, container } => {
            with_open(portal, *container, |portal, open| manage::destroy(portal, open, *object))?;
        }
        Manage::Cycle { kind, container, count } => cycle(portal, *kind, *container, *count)?,
        Manage::Assign { object, to, from, plugged } => {
            with_open(portal, *from, |p, open| manage::assign(p, open, *object, *to, *plugged))?;
        }
        Manage::Unassign { object, from, to, plugged } => {
            with_open(portal, *to, |p, open| manage::unassign(p, open, *object, *from, *plugged))?;
        }
        Manage::Plug { object, container } => plug(portal, *object, *container, true)?,
        Manage::Unplug { object, container } => plug(portal, *object, *container, false)?,
        Manage::Label { object, text, container } => {
            let request = container::SetObjectLabel {
                id: object.id,
                label: Label::new(text),
                kind: object.kind,
            };
            with_open(portal, *container, |portal, open| portal.call(open, &request))?;
        }
        Manage::Lock { child } => lock(portal, mgmt.root, *child, true)?,
        Manage::Unlock { child } => lock(portal, mgmt.root, *child, false)?,
        Manage::Connect { one, other } => connect(portal, mgmt.root, *one, *other)?,
        Manage::Disconnect { endpoint } => {
            let request = container::Disconnect {
                id: endpoint.object.id,
                interface: endpoint.interface.into(),
                kind: endpoint.object.kind,
            };
            with_open(portal, mgmt.root, |portal, open| portal.call(open, &request))?;
        }
        Manage::Connection { endpoint } => print_connection(portal, mgmt.root, *endpoint)?,
        Manage::Open { object } => open(portal, *object)?,
        Manage::Show { object } => println!("{}", attributes(portal, *object)?),
        Manage::Raw { words } => raw(portal, words)?,
    }
    Ok(())
}

fn print_list(portal: &mut McPortal, container: ObjectId) -> Result<(), Failure> {
    for object in with_open(portal, container, manage::list)? {
        print_json(&json!({
            "name": ObjectId::new(object.kind, object.id).to_string(),
            "vendor": object.vendor,
            "irqs": object.irqs,
            "regions": object.regions,
            "open": object.state & container::state::OPEN != 0,
            "plugged": object.state & container::state::PLUGGED != 0,
            "version": [object.version_major, object.version_minor],
            "label": object.label.to_string(),
        }))?;
    }
    Ok(())
}

fn create(
    portal: &mut McPortal,
    kind: ObjectType,
    container: ObjectId,
    plugged: bool,
) -> Answered<ObjectId> {
    with_open(portal, container, |portal, open| {
        let object = manage::create(portal, open, kind)?;
        if plugged {
            manage::assign(portal, open, object, container, true)?;
        }
        Ok(object)
    })
}

fn plug(
    portal: &mut McPortal,
    object: ObjectId,
    container: ObjectId,
    plugged: bool,
) -> Answered<()> {
    with_open(portal, container, |portal, open| {
        manage::assign(portal, open, object, container, plugged)
    })
}

fn cycle(
    portal: &mut McPortal,
    kind: ObjectType,
    container: ObjectId,
    count: u32,
) -> Result<(), Failure> {
    for cycle in 1..=count {
        let object = create(portal, kind, container, true)?;
        let name = object.to_string();
        if !bus::wait_until(PATIENCE, || SYSFS.has(&name)) {
            return Err(unseen(&name, "appear", cycle, count));
        }
        with_open(portal, container, |portal, open| {
            manage::assign(portal, open, object, container, false)?;
            manage::destroy(portal, open, object)
        })?;
        if !bus::wait_until(PATIENCE, || !SYSFS.has(&name)) {
            return Err(unseen(&name, "vanish", cycle, count));
        }
    }
    println!("{count} times {kind}: Linux saw each come and go");
    Ok(())
}

fn unseen(name: &str, what: &str, cycle: u32, count: u32) -> Failure {
    Failure::new(
        format!("{name} did not {what} in Linux within {} s", PATIENCE.as_secs()),
        format!("{}/devices, cycle {cycle} of {count}", bus::ROOT),
        "Linux rescans a container at its interrupt; see /proc/interrupts",
    )
}

fn lock(portal: &mut McPortal, root: ObjectId, child: ObjectId, locked: bool) -> Answered<()> {
    let request = container::SetLocked { locked, child: child.id };
    with_open(portal, root, |portal, open| portal.call(open, &request))
}

fn connect(portal: &mut McPortal, root: ObjectId, one: Endpoint, other: Endpoint) -> Answered<()> {
    let request = container::Connect {
        id1: one.object.id,
        interface1: one.interface,
        id2: other.object.id,
        interface2: other.interface,
        kind1: one.object.kind,
        max_rate: 0,
        committed_rate: 0,
        kind2: other.object.kind,
    };
    with_open(portal, root, |portal, open| portal.call(open, &request))
}

fn print_connection(
    portal: &mut McPortal,
    root: ObjectId,
    endpoint: Endpoint,
) -> Result<(), Failure> {
    let request = container::GetConnection {
        id: endpoint.object.id,
        interface: endpoint.interface,
        kind: endpoint.object.kind,
    };
    let reply = with_open(portal, root, |portal, open| portal.call(open, &request))?;
    match reply.state {
        -1 => println!("not connected"),
        state => {
            let link = if state == 1 { "up" } else { "down" };
            println!("{}.{}:{} link {link}", reply.kind, reply.id, reply.interface);
        }
    }
    Ok(())
}

fn open(portal: &mut McPortal, object: ObjectId) -> Result<(), Failure> {
    let version: ApiVersion =
        portal.call_family("GetApiVersion", GET_API_VERSION, object.kind, Token::NONE, &())?;
    let open = portal.open(object)?;
    println!("{object} version {}.{} token {:#x}", version.major, version.minor, open.token.0);
    portal.close(open)?;
    Ok(())
}

/// The attributes as text.
fn attributes(portal: &mut McPortal, object: ObjectId) -> Answered<String> {
    macro_rules! show {
        ($family:ident) => {
            with_open(portal, object, |portal, open| {
                Ok(format!("{:?}", portal.call(open, &mc_abi::$family::GetAttributes {})?))
            })
        };
    }
    match object.kind {
        ObjectType::Dprc => show!(dprc),
        ObjectType::Dpni => show!(dpni),
        ObjectType::Dpio => show!(dpio),
        ObjectType::Dpbp => show!(dpbp),
        ObjectType::Dpmcp => show!(dpmcp),
        ObjectType::Dpcon => show!(dpcon),
        ObjectType::Dpci => show!(dpci),
        ObjectType::Dpmac => show!(dpmac),
        ObjectType::Dpsw => show!(dpsw),
        ObjectType::Dpdmux => show!(dpdmux),
        ObjectType::Dpseci => show!(dpseci),
        ObjectType::Dpdmai => show!(dpdmai),
        ObjectType::Dpdcei => show!(dpdcei),
        ObjectType::Dprtc => show!(dprtc),
        ObjectType::Dpaiop => show!(dpaiop),
        ObjectType::Dpdbg => show!(dpdbg),
    }
}

fn raw(portal: &mut McPortal, words: &[u64]) -> Result<(), Failure> {
    let (header, parameters) = words.split_first().unwrap_or((&0, &[]));
    let mut params = Params::ZERO;
    for (slot, word) in params.0.chunks_exact_mut(8).zip(parameters) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    let header = Header(*header).with_status(Status::Ready);
    let answer = portal.exchange(&Message { header, params })?;
    println!("{}", answer.header.status());
    println!("{:016x} {:?}", answer.header.0, answer.params);
    Ok(())
}
