// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands, fields and values of a record in words, and as the MC takes them.

use mc_abi::{
    CommandInfo, Message, ObjectId, ObjectType, Params, Wire,
    common::{self, CLOSE, CREATE, DESTROY, GET_API_VERSION, OPEN},
    dpmng,
};
use serde_json::{Map, Value};

/// The command of a name: of the object's own family, or `dpni.Create`,
/// `dpni.Destroy`, `dpni.GetApiVersion`.
pub(super) fn by_name(
    command: &str,
    object: Option<ObjectId>,
) -> Result<(u16, Option<&'static CommandInfo>), String> {
    if let Some((family, verb)) = command.split_once('.') {
        let kind: ObjectType = family.parse().map_err(|_| format!("{family:?} is no family"))?;
        let number = match verb {
            "Create" => CREATE + kind.code(),
            "Destroy" => DESTROY + kind.code(),
            "GetApiVersion" => GET_API_VERSION + kind.code(),
            _ => return Err(format!("{verb:?} is none of Create, Destroy, GetApiVersion")),
        };
        return Ok((number, find(number, Some(kind))));
    }
    let tables = match object {
        Some(object) => [mc_abi::commands(object.kind), common::COMMANDS],
        None => [dpmng::COMMANDS, &[]],
    };
    let found = tables.into_iter().flatten().find(|info| info.name == command);
    let found = found.ok_or_else(|| format!("{command:?} is no command of this object"))?;
    Ok((found.number, Some(found)))
}

/// The row of a command: of the family that it creates an object of, of the object's
/// family, or of those that all have.
pub(super) fn find(number: u16, kind: Option<ObjectType>) -> Option<&'static CommandInfo> {
    let made = number.checked_sub(CREATE).and_then(ObjectType::from_code);
    let families = made.into_iter().chain(kind);
    let tables = families.map(mc_abi::commands).chain([common::COMMANDS, dpmng::COMMANDS]);
    tables.flatten().find(|info| info.number == number)
}

/// What to call a command.
pub(super) fn name(number: u16, info: Option<&CommandInfo>) -> String {
    let family = |base: u16| number.checked_sub(base).and_then(ObjectType::from_code);
    match (info, family(OPEN), family(CREATE), family(DESTROY), family(GET_API_VERSION)) {
        (_, Some(_), ..) => "Open".into(),
        (_, _, Some(kind), ..) => format!("{kind}.Create"),
        (_, _, _, Some(kind), _) => format!("{kind}.Destroy"),
        (_, _, _, _, Some(kind)) => format!("{kind}.GetApiVersion"),
        (Some(info), ..) => info.name.into(),
        _ if number == CLOSE => "Close".into(),
        _ => format!("command {number:#05x}"),
    }
}

/// The parameters of a request.
pub(super) fn parameters(
    number: u16,
    info: Option<&CommandInfo>,
    version: u8,
    request: &Map<String, Value>,
) -> Result<Params, String> {
    let mut params = Params::ZERO;
    let Some(info) = info else {
        // Destroy and GetApiVersion, which every family has.
        let id = request.get("id").and_then(Value::as_u64).unwrap_or(0) as u32;
        if (DESTROY..GET_API_VERSION).contains(&number) {
            common::Destroy { id }.encode(&mut params, version);
        }
        return Ok(params);
    };
    let mut wrong = None;
    let said = (info.request)(version, &mut params, &mut |say| {
        let refused = request.iter().find(|(field, value)| !say(field, &self::value(value)));
        wrong = refused.map(|(field, value)| format!("{} has no {field} {value}", info.name));
        wrong.is_none()
    });
    if said { Ok(params) } else { Err(wrong.unwrap_or_default()) }
}

/// An answer in words, as `{:?}` writes its type.
pub(super) fn reply(
    info: Option<&CommandInfo>,
    number: u16,
    answer: &Message,
    version: u8,
) -> String {
    let mut text = String::new();
    let known = match info {
        Some(info) => (info.reply_words)(&answer.params, version, &mut text).is_ok(),
        None if number & 0xff0 == GET_API_VERSION || number == GET_API_VERSION + 0x10 => {
            common::ApiVersion::decode(&answer.params, version)
                .map(|version| text = format!("{version:?}"))
                .is_ok()
        }
        // Open, close and destroy have nothing to say.
        None => true,
    };
    if known { text } else { format!("Answer {{ bytes: {:?} }}", answer.params) }
}

/// A JSON value as the words of a field.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(self::value).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// The fields of `Type { a: 1, b: Other { c: 2 } }`, each with its words: `a` and
/// `b.c`.
pub(super) fn fields(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (field, words) in own_fields(text) {
        let inner = fields(&words);
        let block = words.starts_with(|c: char| c.is_ascii_uppercase()) && !inner.is_empty();
        if block {
            all.extend(inner.into_iter().map(|(name, words)| (format!("{field}.{name}"), words)));
        } else {
            all.push((field, words));
        }
    }
    all
}

fn own_fields(text: &str) -> Vec<(String, String)> {
    let Some((_, inner)) = text.split_once('{') else { return Vec::new() };
    let inner = inner.trim().strip_suffix('}').unwrap_or(inner);
    let mut parts = Vec::new();
    let (mut depth, mut quoted, mut start) = (0usize, false, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '{' | '[' | '(' if !quoted => depth += 1,
            '}' | ']' | ')' if !quoted => depth = depth.saturating_sub(1),
            ',' if depth == 0 && !quoted => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    let pair = |part: &str| {
        let (field, value) = part.split_once(':')?;
        Some((field.trim().to_owned(), value.trim().to_owned()))
    };
    parts.into_iter().filter_map(pair).collect()
}

/// The 64 bytes that 128 digits are.
pub(super) fn message(digits: &str) -> Result<Message, String> {
    let mut bytes = [0; Message::SIZE];
    let pairs = digits.as_bytes().chunks(2);
    if digits.len() != 2 * Message::SIZE {
        return Err(format!("{} digits are not the 128 of a message", digits.len()));
    }
    for (slot, pair) in bytes.iter_mut().zip(pairs) {
        let pair = std::str::from_utf8(pair).ok();
        let byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        *slot = byte.ok_or("there is something else than hexadecimal digits")?;
    }
    Ok(Message::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_apart_by_the_outermost_commas() {
        let text = "GetX { a: 1, b: Y { c: [1, 2], d: \"x, {\" }, e: MacAddr(\"..\") }";
        let found = fields(text);
        let names: Vec<&str> = found.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["a", "b.c", "b.d", "e"]);
        assert_eq!((&*found[1].1, &*found[2].1), ("[1, 2]", "\"x, {\""));
        assert_eq!(fields("()"), []);
        assert_eq!(fields("GetY"), []);
    }

    #[test]
    fn messages_are_128_digits() {
        let digits = "0123456789abcdef".repeat(8);
        assert_eq!(message(&digits).unwrap().to_bytes()[..2], [0x01, 0x23]);
        assert!(message("00").unwrap_err().contains("2 digits"));
        assert!(message(&"zz".repeat(64)).unwrap_err().contains("hexadecimal"));
    }
}
