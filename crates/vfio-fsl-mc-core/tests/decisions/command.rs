// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands, against the project's own description of the wire.

use super::type_name;
use mc_abi::{
    common, dpmng, dprc, Label, Message, ObjectId, ObjectType, Params, Request, Token, Wire,
};
use proptest::prelude::*;
use vfio_fsl_mc_core::command::{self, Command, Status};
use vfio_fsl_mc_core::Errno;

fn wire(message: Message) -> Command {
    Command::from_bytes(&message.to_bytes())
}

fn answer(reply: &impl Wire) -> Command {
    let mut params = Params::ZERO;
    reply.encode(&mut params, 1);
    let message = Message::command(0x123, 1, Token(1), params);
    wire(message).with_status(Status::Ok)
}

#[test]
fn the_version_is_asked_for_as_on_the_wire() {
    let message = dpmng::GetVersion {}.message(Token::NONE);
    assert_eq!(command::get_version(), wire(message));
}

fn object_type() -> impl Strategy<Value = ObjectType> {
    proptest::sample::select(&ObjectType::ALL[..])
}

proptest! {
    #[test]
    fn headers_say_the_same(words: [u64; 8]) {
        let command = Command(words);
        let message = Message::from_bytes(&command.to_bytes());
        prop_assert_eq!(Command::from_bytes(&command.to_bytes()), command);
        let header = message.header;
        prop_assert_eq!(command.status(), header.status_byte());
        prop_assert_eq!(command.number(), header.number());
        prop_assert_eq!(command.version(), header.version());
        prop_assert_eq!(command.token(), header.token().0);
        prop_assert_eq!(command.command_id(), header.number() << 4 | u16::from(header.version()));
        prop_assert_eq!(command.high_priority(), header.hardware_flags() & 0x80 != 0);
        prop_assert_eq!(command.interrupt_disabled(), header.software_flags() & 1 != 0);
        let urgent = Message::from_bytes(
            &command.with_high_priority().with_interrupt_disabled().to_bytes(),
        );
        prop_assert_eq!(urgent.header.0, header.0 | 0x80 << 8 | 0x01 << 24);
        prop_assert_eq!(urgent.params, message.params);
        let status = mc_abi::Status::NoPrivilege;
        let refused = wire(Message { header: header.with_status(status), ..message });
        prop_assert_eq!(command.with_status(Status::NoPrivilege), refused);
    }

    #[test]
    fn every_open_is_the_wires(kind in object_type(), id: i32) {
        let message = Message::open(ObjectId::new(kind, id as u32));
        prop_assert_eq!(command::open(&type_name(kind.name()), id), Ok(wire(message)));
    }

    #[test]
    fn only_types_open(name: [u8; 16]) {
        let known = ObjectType::ALL.iter().any(|kind| {
            let text = name.split(|byte| *byte == 0).next().unwrap_or(&name);
            kind.name().as_bytes() == text
        });
        prop_assert_eq!(command::open(&name, 0).is_ok(), known);
    }

    #[test]
    fn bare_commands_are_the_wires(token: u16) {
        prop_assert_eq!(command::close(token), wire(Message::close(Token(token))));
        let reset = common::Reset {}.message(Token(token));
        prop_assert_eq!(command::reset(token), wire(reset));
        let count = dprc::GetObjectCount {}.message(Token(token));
        prop_assert_eq!(command::get_object_count(token), wire(count));
    }

    #[test]
    fn a_container_is_reset_by_what_its_version_knows(
        token: u16,
        child: i32,
        options: u32,
        major in 0u16..9,
        minor in 0u16..9,
    ) {
        let request = dprc::Reset { child: child as u32, options };
        let version = if (major, minor) < (6, 5) { 1 } else { 2 };
        prop_assert_eq!(
            command::reset_container(token, child, options, (major, minor)),
            wire(request.message_version(Token(token), version)),
        );
    }

    #[test]
    fn interrupt_commands_are_the_wires(
        (token, index, address, value) in any::<(u16, u8, u64, u32)>(),
        (user, id, on) in any::<(i32, i32, bool)>(),
        kind in object_type(),
    ) {
        let own = common::SetIrq { value, index, address, user: user as u32 };
        prop_assert_eq!(
            command::dprc_set_irq(token, index, address, value, user),
            wire(own.message(Token(token))),
        );
        let of_object = dprc::SetObjectIrq {
            value,
            index,
            address,
            user: user as u32,
            id: id as u32,
            kind,
        };
        let name = type_name(kind.name());
        prop_assert_eq!(
            command::dprc_set_obj_irq(token, &name, id, index, address, value, user),
            wire(of_object.message(Token(token))),
        );
        let enable = common::SetIrqEnable { enable: on, index };
        prop_assert_eq!(
            command::set_irq_enable(token, index, on),
            wire(enable.message(Token(token))),
        );
        let mask = common::SetIrqMask { mask: value, index };
        prop_assert_eq!(
            command::set_irq_mask(token, index, value),
            wire(mask.message(Token(token))),
        );
        let get = common::GetIrqStatus { status: value, index };
        prop_assert_eq!(
            command::get_irq_status(token, index, value),
            wire(get.message(Token(token))),
        );
        let clear = common::ClearIrqStatus { status: value, index };
        prop_assert_eq!(
            command::clear_irq_status(token, index, value),
            wire(clear.message(Token(token))),
        );
        let reply = common::GetIrqStatusReply { status: value };
        prop_assert_eq!(command::irq_status(&answer(&reply)), value);
    }

    #[test]
    fn a_region_is_asked_for_as_on_the_wire(token: u16, kind in object_type(), id: i32, index: u8) {
        let request = dprc::GetObjectRegion { id: id as u32, index, kind };
        let mut params = Params::ZERO;
        request.encode(&mut params, 1);
        let message = Message::command(dprc::GetObjectRegion::NUMBER, 1, Token(token), params);
        let asked = command::get_object_region(token, &type_name(kind.name()), id, index);
        prop_assert_eq!(asked, wire(message));
    }

    #[test]
    fn object_lists_are_the_wires(token: u16, index: u32, count: u32) {
        let get = dprc::GetObject { index };
        prop_assert_eq!(command::get_object(token, index), wire(get.message(Token(token))));
        let reply = dprc::GetObjectCountReply { count };
        prop_assert_eq!(command::object_count(&answer(&reply)), count);
    }

    #[test]
    fn an_object_is_what_the_wire_says(seed: u64, junk: u64) {
        let mut random = seed;
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(junk | 1);
            random ^ random >> 33
        };
        let said = dprc::GetObjectReply::sample(&mut next, 1);
        let object = command::object(&answer(&said));
        let said = said.object;
        prop_assert_eq!(object.id as u32, said.id);
        prop_assert_eq!(object.vendor, said.vendor);
        prop_assert_eq!(object.irq_count, said.irqs);
        prop_assert_eq!(object.region_count, said.regions);
        prop_assert_eq!(object.state, said.state);
        prop_assert_eq!(object.version_major, said.version_major);
        prop_assert_eq!(object.version_minor, said.version_minor);
        prop_assert_eq!(object.flags, said.flags);
        prop_assert_eq!(object.kind, type_name(said.kind.name()));
        let label = Label::new(std::str::from_utf8(&object.label).expect("what was sampled"));
        prop_assert_eq!(label, said.label);
    }

    #[test]
    fn nothing_follows_the_end_of_a_name(words: [u64; 8]) {
        let object = command::object(&Command(words));
        for (text, at) in [(object.kind, 4), (object.label, 6)] {
            let sent = u128::from(words[at + 1]) << 64 | u128::from(words[at]);
            let sent = sent.to_le_bytes();
            let length = sent.iter().position(|byte| *byte == 0).unwrap_or(16);
            prop_assert_eq!(&text[..length], &sent[..length]);
            prop_assert!(text[length..].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn versions_are_what_the_wire_says(major: u16, minor: u16) {
        let reply = common::ApiVersion { major, minor };
        prop_assert_eq!(command::api_version(&answer(&reply)), (major, minor));
    }
}

#[test]
fn the_version_is_asked_of_the_container() {
    let number = common::GET_API_VERSION + ObjectType::Dprc.code();
    let message = Message::command(number, 1, Token::NONE, Params::ZERO);
    assert_eq!(command::get_api_version(), wire(message));
}

#[test]
fn numbers_and_constants_are_the_wires() {
    use command::{event, number};
    assert_eq!(number::DPRC_CREATE_CONTAINER, dprc::CreateContainer::NUMBER);
    assert_eq!(
        number::DPRC_CREATE,
        common::CREATE + ObjectType::Dprc.code()
    );
    assert_eq!(event::OBJECT_ADDED, dprc::event::OBJ_ADDED);
    assert_eq!(event::OBJECT_REMOVED, dprc::event::OBJ_REMOVED);
    assert_eq!(event::OBJECT_CREATED, dprc::event::OBJ_CREATED);
    assert_eq!(event::OBJECT_DESTROYED, dprc::event::OBJ_DESTROYED);
    assert_eq!(event::CONTAINER_DESTROYED, dprc::event::CONTAINER_DESTROYED);
    assert_eq!(event::OBJECTS, 0x73);
    assert_eq!(command::STATE_OPEN, dprc::state::OPEN);
    assert_eq!(command::STATE_PLUGGED, dprc::state::PLUGGED);
    assert_eq!(command::RESET_NON_RECURSIVE, dprc::RESET_NON_RECURSIVE);
    assert_eq!(command::SIZE, Message::SIZE);
}

/// A name of 16 characters has no room for its end: the last one goes, as Linux
/// does it.
#[test]
fn a_name_on_the_wire_ends() {
    let sent = command::dprc_set_obj_irq(1, &[b'x'; 16], 2, 0, 0, 0, 0);
    let mut name = [b'x'; 16];
    name[15] = 0;
    assert_eq!(sent.to_bytes()[32..48], name);
}

/// The errors that Linux makes of a status (`drivers/bus/fsl-mc/mc-sys.c`),
/// by number. It has no entry for 1 and 2, which makes them success there; here
/// they are errors.
#[test]
fn statuses_are_linuxs_errors() {
    let linux = |byte: u8| match byte {
        0x0 => Ok(()),
        0x1 => Err(16),
        0x3 => Err(13),
        0x4 => Err(1),
        0x5 => Err(5),
        0x6 => Err(6),
        0x7 => Err(110),
        0x8 => Err(119),
        0x9 => Err(12),
        0xa => Err(16),
        0xb => Err(524),
        0xc => Err(19),
        _ => Err(22),
    };
    for byte in 0..=u8::MAX {
        let result = command::result_of(u64::from(byte) << 16);
        assert_eq!(result.map_err(Errno::number), linux(byte), "{byte:#x}");
        assert_eq!(command::in_flight(byte), byte == 1);
        let known = mc_abi::Status::ALL
            .iter()
            .any(|status| status.byte() == byte);
        let status = Status::from_byte(byte);
        assert_eq!(status.is_some(), known, "{byte:#x}");
        assert!(status.is_none_or(|status| status.byte() == byte));
    }
}
