// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! From a message to the handler of its command, and back.

use super::{
    Answer, Call, State,
    call::{self, Outcome},
    containers::{self, Container, MC_CONTAINER},
    dpmng, families,
    family::Functions,
};
use crate::mc::refusal::{Because, Refusal};
use mc_abi::{InWords, Message, ObjectId, ObjectType, Params, Status, Wire, common, dprc::option};
use std::borrow::Cow;

/// What became of a message, with the words for a trace.
pub(crate) struct Executed {
    pub answer: Message,
    pub status: Status,
    pub object: Option<ObjectId>,
    pub command: Option<String>,
    pub reply: Option<String>,
    /// Why it was refused.
    pub reason: Option<Cow<'static, str>>,
}

/// Executes a message that came through a portal of `portal_container`.
pub(crate) fn execute(
    state: &mut State,
    portal_container: Option<u32>,
    message: &Message,
    traced: bool,
) -> Executed {
    let mut object = None;
    let (text, outcome) = match portal_container {
        // A portal that belongs to nobody has no authority.
        None => {
            (None, Err(Status::AuthenticationError.because("the portal belongs to no container")))
        }
        Some(container) => route(state, container, message, traced, &mut object),
    };
    state.program();
    let answer = call::answer_message(message, &outcome);
    let (status, reply, reason) = match outcome {
        Ok(answer) => (Status::Ok, answer.text, None),
        Err(refusal) => (refusal.status, None, Some(refusal.reason)),
    };
    Executed { answer, status, object, command: text, reply, reason }
}

fn route(
    state: &mut State,
    container: u32,
    message: &Message,
    traced: bool,
    object: &mut Option<ObjectId>,
) -> Outcome {
    let header = message.header;
    let (number, token) = (header.number(), header.token());
    let root = ObjectId::new(ObjectType::Dprc, container);
    let mut call =
        Call { portal_container: container, object: root, version: header.version(), traced };
    if let Some(kind) = family_command(number, common::OPEN) {
        return open(state, &call, kind, &message.params, object);
    }
    if let Some(kind) = family_command(number, common::GET_API_VERSION) {
        return api_version(&call, kind);
    }
    if let Some(outcome) = dpmng::run(state, &call, number, &message.params) {
        return outcome;
    }
    // Everything else addresses an open object, which must lie in the portal's
    // container or below.
    match state.sessions.object(token) {
        Some(id) if state.reaches(container, id) => {
            *object = Some(id);
            call.object = id;
        }
        unreachable => {
            let text = traced.then(|| format!("command {number:#05x}"));
            let reason = match unreachable {
                Some(id) => state.out_of_reach(container, id),
                None => format!("token {:#x} stands for no open object", token.0),
            };
            return (text, Err(Status::AuthenticationError.because(reason)));
        }
    }
    if number == common::CLOSE {
        state.close(token);
        return (traced.then(|| "Close".into()), Ok(Answer::DONE));
    }
    if let Some(kind) = family_command(number, common::CREATE) {
        return create(state, &call, kind, &message.params);
    }
    if let Some(kind) = family_command(number, common::DESTROY) {
        return destroy(state, &call, kind, &message.params);
    }
    // The MC's own container is no object and is looked at like one.
    let functions = state.object(call.object).map_or(Functions::of::<Container>(), |o| o.functions);
    (functions.run)(state, &call, number, &message.params)
        .or_else(|| common_command(state, &call, functions, number, &message.params))
        .unwrap_or_else(|| {
            let text = traced.then(|| format!("command {number:#05x}"));
            (
                text,
                Err(Status::UnsupportedOperation
                    .because(format!("a {} has no command {number:#05x}", call.object.kind))),
            )
        })
}

/// The family of a command out of a block of sixteen that starts at `base`.
fn family_command(number: u16, base: u16) -> Option<ObjectType> {
    let code = number.checked_sub(base)?;
    // Most commands are far from any block: do not search for those.
    if code <= 0x10 { ObjectType::from_code(code) } else { None }
}

fn open(
    state: &mut State,
    call: &Call,
    kind: ObjectType,
    params: &Params,
    object: &mut Option<ObjectId>,
) -> Outcome {
    let id = match common::Open::decode(params, call.version) {
        Ok(open) => ObjectId::new(kind, open.id),
        Err(error) => {
            return (
                call.traced.then(|| format!("Open {kind}")),
                Err(Status::ConfigurationError.because(error.to_string())),
            );
        }
    };
    *object = Some(id);
    let exists =
        state.objects.contains_key(&id) || id == containers::name(containers::MC_CONTAINER);
    let outcome = match exists {
        false => Err(Status::NoResource.because(format!("there is no {id}"))),
        true if !state.reaches(call.portal_container, id) => {
            let reason = state.out_of_reach(call.portal_container, id);
            Err(Status::AuthenticationError.because(reason))
        }
        true => state.sessions.open(id, call.portal_container).map(|token| {
            let text = call.traced.then(|| format!("token {:#x}", token.0));
            Answer { params: Params::ZERO, token: Some(token), text }
        }),
    };
    (call.traced.then(|| "Open".into()), outcome)
}

fn api_version(call: &Call, kind: ObjectType) -> Outcome {
    let text = call.traced.then(|| format!("GetApiVersion {kind}"));
    let (major, minor) = families::version(kind);
    (text, call.answer(&common::ApiVersion { major, minor }))
}

/// Makes an object in the container that `call` addresses.
///
/// A container without [`option::OBJ_CREATE`] cannot make objects through its
/// own portals; one above may make them for it (board observation; the status
/// of the refusal is not known).
fn create(state: &mut State, call: &Call, kind: ObjectType, params: &Params) -> Outcome {
    let allowed = || {
        // Containers have a create command of their own; the number that they
        // would have in this block of commands has no known parameters.
        if call.object.kind != ObjectType::Dprc || kind == ObjectType::Dprc {
            return Err(Status::UnsupportedOperation
                .because(format!("{} does not create a {kind} with this command", call.object)));
        }
        if call.object == containers::name(MC_CONTAINER) {
            return Err(
                Status::NoPrivilege.because("the container of the MC itself takes no objects")
            );
        }
        let portal = state.body::<Container>(call.portal_container)?;
        if portal.options & option::OBJ_CREATE == 0 {
            return Err(Status::NoPrivilege
                .because(format!("dprc.{} lacks the option OBJ_CREATE", call.portal_container)));
        }
        state.unlocked(call.object.id)
    };
    match allowed() {
        Ok(()) => families::create(state, call, kind, params, call.object.id),
        Err(status) => (call.traced.then(|| format!("Create {kind}")), Err(status)),
    }
}

fn destroy(state: &mut State, call: &Call, kind: ObjectType, params: &Params) -> Outcome {
    match common::Destroy::decode(params, call.version) {
        Ok(destroy) => {
            let id = ObjectId::new(kind, destroy.id);
            let text = call.traced.then(|| format!("Destroy {id}"));
            (text, containers::destroy_object(state, call, id).map(|()| Answer::DONE))
        }
        Err(error) => (
            call.traced.then(|| format!("Destroy {kind}")),
            Err(Status::ConfigurationError.because(error.to_string())),
        ),
    }
}

/// Commands that look the same in every family that has them.
fn common_command(
    state: &mut State,
    call: &Call,
    functions: &Functions,
    number: u16,
    params: &Params,
) -> Option<Outcome> {
    let command = common::Command::decode(number, call.version, params).ok()?;
    let text = call.traced.then(|| command.words(call.object.kind).to_string());
    Some((text, run_common(state, call, functions, &command)))
}

fn run_common(
    state: &mut State,
    call: &Call,
    functions: &Functions,
    command: &common::Command,
) -> Result<Answer, Refusal> {
    use common::Command;
    let id = call.object;
    match command {
        Command::Enable(_) => switch(state, id, functions, true),
        Command::Disable(_) => switch(state, id, functions, false),
        Command::IsEnabled(request) => {
            let enabled = state.asking(|state| {
                state.object_mut(id).map(|object| object.body.enabled().copied())
            })?;
            let enabled = enabled.ok_or_else(|| {
                Status::UnsupportedOperation
                    .because(format!("a {} is not switched on and off", id.kind))
            })?;
            call.reply(request, common::IsEnabledReply { enabled })
        }
        Command::Reset(_) => {
            state.reset(&[id]);
            Ok(Answer::DONE)
        }
        Command::SetIrq(set) => {
            containers::check_irq_privilege(state, call)?;
            state.set_irq(id, set.index, set.address, set.value, set.user)?;
            Ok(Answer::DONE)
        }
        Command::GetIrq(get) => {
            let irq = state.irq(id, get.index)?;
            let reply = common::GetIrqReply {
                value: irq.value,
                address: irq.address,
                user: irq.user,
                kind: 0,
            };
            call.reply(get, reply)
        }
        Command::SetIrqEnable(set) => {
            state.configure_irq(id, set.index, |irq| irq.enabled = set.enable)?;
            Ok(Answer::DONE)
        }
        Command::GetIrqEnable(get) => {
            let enabled = state.irq(id, get.index)?.enabled;
            call.reply(get, common::GetIrqEnableReply { enabled })
        }
        Command::SetIrqMask(set) => {
            state.configure_irq(id, set.index, |irq| irq.mask = set.mask)?;
            Ok(Answer::DONE)
        }
        Command::GetIrqMask(get) => {
            let mask = state.irq(id, get.index)?.mask;
            call.reply(get, common::GetIrqMaskReply { mask })
        }
        Command::GetIrqStatus(get) => {
            let status = state.irq(id, get.index)?.status;
            call.reply(get, common::GetIrqStatusReply { status })
        }
        Command::ClearIrqStatus(clear) => {
            state.configure_irq(id, clear.index, |irq| irq.status &= !clear.status)?;
            Ok(Answer::DONE)
        }
    }
}

fn switch(
    state: &mut State,
    id: ObjectId,
    functions: &Functions,
    on: bool,
) -> Result<Answer, Refusal> {
    let switch = state.object_mut(id)?.body.enabled().ok_or_else(|| {
        Status::UnsupportedOperation.because(format!("a {} is not switched on and off", id.kind))
    })?;
    *switch = on;
    (functions.switched)(state, id.id, on);
    Ok(Answer::DONE)
}
