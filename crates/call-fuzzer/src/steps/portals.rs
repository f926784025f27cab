// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands to the MC: through the device file, and through a mapped portal.

use super::devices::{device, within};
use crate::abi::{self, Bytes};
use crate::caller::{Caller, Commands, DeviceMap, layout};
use crate::kind::Kind;
use crate::memory::Touch;
use fsl_mc_linux::ioctl;
use mc_abi::{Message, ObjectId, ObjectType, Params, Status, Token, common, dpmng};
use std::sync::atomic::Ordering::Relaxed;

/// How long a mapped portal is looked at before its answer is given up.
const LOOKS: u32 = 2000;

/// A device with a region that takes commands; any other device now and then.
fn portal(caller: &mut Caller<'_>) -> Option<(i32, u64)> {
    let mut found = device(caller)?;
    for _ in 0..8 {
        let (_, object) = caller.setup.objects.get(found.1)?;
        if matches!(object.kind, ObjectType::Dprc | ObjectType::Dpmcp) {
            break;
        }
        found = device(caller)?;
    }
    let regions = caller.facts(found.1).regions.load(Relaxed);
    let index = if caller.once_in(16) { within(caller, regions) } else { 0 };
    Some((found.0, abi::region_offset(index.into())))
}

/// Sends a command and fetches its answer, as a client does.
pub fn send(caller: &mut Caller<'_>) {
    let Some((file, offset)) = portal(caller) else { return };
    let all = caller.setup.commands == Commands::All;
    let command = command(caller, all);
    let bytes = Bytes::of(&command.to_bytes());
    let at = if caller.once_in(16) { caller.place(&bytes) } else { caller.place_well(&bytes) };
    let arguments = [file as u64, at, 64, offset, 0, 0];
    if caller.call(Kind::SendCommand, libc::SYS_pwrite64, arguments).is_ok() {
        let memory = caller.memory.page(layout::LAST);
        let arguments = [file as u64, memory, 64, offset, 0, 0];
        if caller.call(Kind::FetchAnswer, libc::SYS_pread64, arguments).is_ok() {
            let answer = Message::from_bytes(&caller.placed());
            remember(caller, &command, &answer);
        }
    }
}

/// `VFIO_DEVICE_FSL_MC_COMMAND`: a command and its answer in one call, which the project's
/// driver has (`driver/uapi/vfio-fsl-mc.h`).
const COMMAND: u32 = ioctl::vfio(100);

/// Sends a command and gets its answer by one call.
pub fn exchange(caller: &mut Caller<'_>) {
    let Some((file, _)) = portal(caller) else { return };
    let all = caller.setup.commands == Commands::All;
    let command = command(caller, all);
    let odd = caller.once_in(16);
    let size = if odd { caller.random.u32(..) } else { HEAD + 64 };
    let flags = if odd && caller.random.bool() { caller.random.u32(..) } else { 0 };
    let bytes = Bytes::new().u32(size).u32(flags).bytes(&command.to_bytes());
    let at = if caller.once_in(16) { caller.place(&bytes) } else { caller.place_well(&bytes) };
    if caller.ioctl(Kind::OneCall, file, COMMAND, at).is_ok() {
        let placed: [u8; HEAD as usize + 64] = caller.placed();
        let mut answer = [0; 64];
        answer.copy_from_slice(&placed[HEAD as usize..]);
        remember(caller, &command, &Message::from_bytes(&answer));
    }
}

/// Size and flags, before the message.
const HEAD: u32 = 8;

/// Fetches an answer, whosoever it may be.
pub fn fetch(caller: &mut Caller<'_>) {
    let Some((file, offset)) = portal(caller) else { return };
    let memory = if caller.once_in(4) {
        caller.nowhere()
    } else {
        caller.memory.page(layout::PLAIN) + caller.random.u64(..64)
    };
    let arguments = [file as u64, memory, 64, offset, 0, 0];
    let _ = caller.call(Kind::FetchAnswer, libc::SYS_pread64, arguments);
}

/// A command in a vector of one or several parts.
pub fn vector(caller: &mut Caller<'_>) {
    let Some((file, offset)) = portal(caller) else { return };
    let command = command(caller, false);
    let at = caller.memory.own.store(64, &command.to_bytes());
    let split = if caller.random.bool() { 0 } else { caller.random.u64(..64) };
    let vector = Bytes::new().u64(at).u64(64 - split).u64(at + 64 - split).u64(split);
    let list = caller.place_well(&vector);
    let parts = if split == 0 { 1 } else { 2 };
    let number = if caller.random.bool() { libc::SYS_pwritev } else { libc::SYS_preadv };
    let arguments = [file as u64, list, parts, offset, 0, 0];
    let _ = caller.call(Kind::CommandVector, number, arguments);
}

/// A command by stores into a mapped portal, past the driver.
pub fn mapped(caller: &mut Caller<'_>) {
    let Some(map) = mapped_portal(caller) else { return super::maps::map(caller) };
    let command = command(caller, false);
    let bytes = command.to_bytes();
    for word in (0..8).rev() {
        let mut eight = [0; 8];
        eight.copy_from_slice(&bytes[word * 8..word * 8 + 8]);
        let address = map.start + word as u64 * 8;
        let stored =
            caller.touch(Kind::MappedCommand, Touch::Store64, address, u64::from_le_bytes(eight));
        if stored.is_none() {
            return;
        }
    }
    for _ in 0..LOOKS {
        let Ok(header) = Touch::Load64.at(map.start, 0) else { return };
        if mc_abi::Header(header).status() != Status::Ready {
            let answer = Message { header: mc_abi::Header(header), params: Params::ZERO };
            return remember(caller, &command, &answer);
        }
    }
}

/// A map of the start of a command portal that can be written.
fn mapped_portal(caller: &mut Caller<'_>) -> Option<DeviceMap> {
    let is_portal = |map: &DeviceMap| {
        let object = caller.setup.objects.get(map.object);
        object.is_some_and(|(_, object)| object.kind == ObjectType::Dpmcp) && map.offset == 0
    };
    caller.maps.iter().flatten().copied().find(is_portal)
}

/// Keeps the token of an object that was opened.
fn remember(caller: &mut Caller<'_>, command: &Message, answer: &Message) {
    let number = command.header.number();
    let code = number.wrapping_sub(common::OPEN);
    if answer.header.status() == Status::Ok && (1..=0x10).contains(&code) {
        let tokens = &caller.process.tokens;
        let token = u32::from(code) << 16 | u32::from(answer.header.token().0);
        if let Some(place) = tokens.get(caller.random.usize(..tokens.len())) {
            place.store(token, Relaxed);
        }
    }
}

/// A token of an object that was opened, with its family.
fn token(caller: &mut Caller<'_>) -> Option<(ObjectType, Token)> {
    let tokens = &caller.process.tokens;
    let start = caller.random.usize(..tokens.len());
    (0..tokens.len()).find_map(|step| {
        let known = tokens[(start + step) % tokens.len()].load(Relaxed);
        let kind = ObjectType::from_code((known >> 16) as u16)?;
        Some((kind, Token(known as u16)))
    })
}

/// A command: about half make sense, and of the others most do but for a parameter.
fn command(caller: &mut Caller<'_>, all: bool) -> Message {
    let choice = caller.random.u32(..16);
    if choice == 0 {
        let number = caller.one_of(&[0x830, 0x831, 0x832]).unwrap_or(dpmng_version());
        return Message::command(number, 1, Token::NONE, Params::ZERO);
    }
    if choice <= 4 {
        return open(caller);
    }
    if choice == 5 && all {
        // No command at all.
        let mut bytes = [0; Message::SIZE];
        caller.random.fill(&mut bytes);
        return Message::from_bytes(&bytes);
    }
    let Some((kind, token)) = token(caller) else { return open(caller) };
    if choice == 6 {
        return Message::close(token);
    }
    let table = if caller.once_in(3) { common::COMMANDS } else { mc_abi::commands(kind) };
    for _ in 0..8 {
        let Some(info) = caller.one_of(table) else { break };
        if !all && !is_harmless(kind, info.name) {
            continue;
        }
        let version = if caller.once_in(4) { caller.random.u8(..16) } else { info.max_version };
        let random = &mut caller.random;
        let mut small = || if random.u32(..4) == 0 { random.u64(..) } else { random.u64(..8) };
        let mut params = (info.sample)(&mut small, version);
        if caller.once_in(3) {
            let at = caller.random.usize(..params.0.len());
            params.0[at] = caller.random.u8(..);
        }
        let token = match caller.random.u32(..16) {
            0 if all => Token(caller.random.u16(..32)),
            _ => token,
        };
        return Message::command(info.number, version, token, params);
    }
    open(caller)
}

fn dpmng_version() -> u16 {
    <dpmng::GetVersion as mc_abi::Request>::NUMBER
}

/// Opens an object of the container.
fn open(caller: &mut Caller<'_>) -> Message {
    let which = caller.random.usize(..caller.setup.objects.len());
    let object = caller.setup.objects.get(which);
    Message::open(object.map_or(ObjectId::new(ObjectType::Dprc, 0), |(_, object)| *object))
}

/// Whether a command leaves alone what is in the container, who may use it, and where
/// interrupts go. Of the container itself only questions do.
fn is_harmless(kind: ObjectType, name: &str) -> bool {
    let asks = name.starts_with("Get") || name.starts_with("Is");
    let changes_too_much = name.starts_with("Create")
        || name.starts_with("Destroy")
        || matches!(name, "SetIrq" | "SetObjectIrq");
    asks || (kind != ObjectType::Dprc && !changes_too_much)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_a_container_is_not_harmless() {
        for name in ["Assign", "Unassign", "CreateContainer", "Reset", "SetLocked", "Connect"] {
            assert!(!is_harmless(ObjectType::Dprc, name), "{name}");
        }
        assert!(is_harmless(ObjectType::Dprc, "GetObjectRegion"));
        assert!(is_harmless(ObjectType::Dpni, "SetQueue"));
        assert!(!is_harmless(ObjectType::Dpni, "SetIrq"));
        assert!(!is_harmless(ObjectType::Dpni, "Create"));
    }

    #[test]
    fn the_number_of_the_version_command_is_the_usual_one() {
        assert_eq!(dpmng_version(), 0x831);
    }
}
