// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Layouts against bytes that are not ours: what a C compiler makes of the
//! reference headers and of clients' headers (`tests/vectors/*.txt`; the
//! file `README.md` there says where they come from and how to read them).
//!
//! A vector is held against both directions: its fields make its bytes, and its
//! bytes make its fields. Bytes and bits that are no field's are all zeros in
//! one vector and all ones in the next, so that a field that is too wide fails,
//! too.

use super::families;
use crate::{
    CommandInfo, Label, MacAddr, ObjectType, PARAMS_SIZE, Params, ResourceType, Wire, common,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    format, fs,
    path::Path,
    string::{String, ToString},
    vec::Vec,
};

/// What no source has a layout of, and why: family, number, name, version.
const NOT_THERE: [(&str, u16, &str, u8, &str); 6] = [
    ("dpci", 0x907, "Create", 1, "headers start with version 2"),
    ("dpseci", 0x909, "Create", 1, "headers start with version 2"),
    ("dprtc", 0x1d6, "SetPeriodicPulse", 1, "headers have only the number"),
    ("dprtc", 0x1d7, "ClearPeriodicPulse", 1, "headers have only the number"),
    ("dprtc", 0x1d8, "SetExtTrigger", 1, "headers have only the number"),
    ("dprtc", 0x1d9, "ClearExtTrigger", 1, "headers have only the number"),
];

/// Versions that clients send and no reference header has: read as the newest
/// known, and not sent.
const BEYOND: [(&str, u8); 1] = [("SetIrqMask", 2)];

/// Which half of a command a vector is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    Request,
    Reply,
}

/// One line of a file.
pub(crate) struct Vector {
    pub(crate) direction: Direction,
    name: String,
    number: u16,
    version: u8,
    /// What bytes of no field are.
    rest: u8,
    fields: Vec<(String, String)>,
    params: Params,
    /// The families that the line is true of; empty: the file's.
    families: Vec<ObjectType>,
}

impl Vector {
    /// Whether `W` has exactly these fields, in these bytes.
    pub(crate) fn check<W: Wire + Written<Value = W>>(&self) -> Result<(), String> {
        let mut fields = Fields(self.fields.iter().cloned().collect());
        let value = W::read(&mut fields, "", self.version)?;
        if let Some(name) = fields.0.keys().next() {
            return Err(format!("no field {name} in {value:?}"));
        }
        let mut params = Params([self.rest; PARAMS_SIZE]);
        value.encode(&mut params, self.version);
        if params != self.params {
            return Err(format!("{value:?} makes\n  {params:?}, not\n  {:?}", self.params));
        }
        match W::decode(&self.params, self.version) {
            Ok(decoded) if decoded == value => Ok(()),
            other => Err(format!("{:?} makes {other:?}, not {value:?}", self.params)),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut columns = line.split('|');
        let mut head = columns.next()?.split_whitespace();
        let mut vector = Self {
            name: head.next()?.to_string(),
            number: u16::from_str_radix(head.next()?.strip_prefix("0x")?, 16).ok()?,
            version: head.next()?.strip_prefix('v')?.parse().ok()?,
            direction: match head.next()? {
                "request" => Direction::Request,
                "reply" => Direction::Reply,
                _ => return None,
            },
            rest: match head.next()? {
                "rest=00" => 0x00,
                "rest=ff" => 0xff,
                _ => return None,
            },
            families: head.map(|name| name.parse().ok()).collect::<Option<_>>()?,
            fields: columns
                .next()?
                .split_whitespace()
                .map(|field| field.split_once('='))
                .map(|field| field.map(|(name, value)| (name.to_string(), value.to_string())))
                .collect::<Option<_>>()?,
            params: Params::ZERO,
        };
        let bytes: Vec<u8> = columns.next()?.split_whitespace().flat_map(str::bytes).collect();
        vector.params.0.fill(vector.rest);
        if bytes.len() > 2 * PARAMS_SIZE || columns.next().is_some() {
            return None;
        }
        for (byte, digits) in vector.params.0.iter_mut().zip(bytes.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(vector)
    }
}

/// The fields of a line that are not read yet.
pub(crate) struct Fields(BTreeMap<String, String>);

/// A layout whose values can be read from the fields of a line.
pub(crate) trait Written {
    /// What is read.
    type Value;

    /// Takes the field `name`, or those of its parts that `version` has.
    fn read(text: &mut Fields, name: &str, version: u8) -> Result<Self::Value, String>;
}

/// The name of a part of `whole`, which is empty for the block itself.
pub(crate) fn part(whole: &str, name: &str) -> String {
    if whole.is_empty() { name.to_string() } else { format!("{whole}.{name}") }
}

fn take<T>(text: &mut Fields, name: &str, parse: fn(&str) -> Option<T>) -> Result<T, String> {
    let value = text.0.remove(name).ok_or_else(|| format!("the vector has no {name}"))?;
    parse(&value).ok_or_else(|| format!("{name}: {value} cannot be read"))
}

macro_rules! numbers {
    ($($ty:ty),*) => {$(
        impl Written for $ty {
            type Value = Self;

            fn read(text: &mut Fields, name: &str, _: u8) -> Result<Self, String> {
                let number = take(text, name, |value| {
                    u64::from_str_radix(value.strip_prefix("0x")?, 16).ok()
                })?;
                // Signed ones are written as their bit pattern.
                let value = number as $ty;
                let fits = number == value as u64 & (u64::MAX >> (64 - <$ty>::BITS));
                fits.then_some(value).ok_or_else(|| format!("{name}: {number:#x} does not fit"))
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64, i32, i64);

macro_rules! words {
    ($($ty:ty: $parse:expr;)*) => {$(
        impl Written for $ty {
            type Value = Self;

            fn read(text: &mut Fields, name: &str, _: u8) -> Result<Self, String> {
                take(text, name, $parse)
            }
        }
    )*};
}

words! {
    bool: |value| match value {
        "0x0" => Some(false),
        "0x1" => Some(true),
        _ => None,
    };
    MacAddr: |value| {
        let bytes = value.split(':').map(|byte| u8::from_str_radix(byte, 16).ok());
        let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
        Some(MacAddr(bytes.try_into().ok()?))
    };
    ObjectType: |value| value.parse().ok();
    Label: |value| Some(Label::new(value));
    ResourceType: |value| Some(ResourceType::new(value));
}

impl Written for () {
    type Value = Self;

    fn read(_: &mut Fields, _: &str, _: u8) -> Result<Self, String> {
        Ok(())
    }
}

impl<T: Written, const N: usize> Written for [T; N]
where
    T::Value: Copy + Default,
{
    type Value = [T::Value; N];

    fn read(text: &mut Fields, name: &str, version: u8) -> Result<Self::Value, String> {
        let mut values = [T::Value::default(); N];
        for (i, value) in values.iter_mut().enumerate() {
            *value = T::read(text, &format!("{name}[{i}]"), version)?;
        }
        Ok(values)
    }
}

/// The vectors of a family, with their places.
fn vectors(family: &str) -> Vec<(String, Vector)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/vectors/{family}.txt"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let lines = lines.map(|(i, line)| {
        let place = format!("{family}.txt:{}", i + 1);
        let vector = Vector::parse(line).unwrap_or_else(|| panic!("{place}: no vector: {line}"));
        (place, vector)
    });
    lines.collect()
}

/// The commands that every family has under a number of its own.
fn numbered(name: &str, vector: &Vector) -> Option<Result<(), String>> {
    let first = match name {
        "Open" => common::OPEN,
        "Create" => common::CREATE,
        "Destroy" => common::DESTROY,
        "GetApiVersion" => common::GET_API_VERSION,
        "Close" => common::CLOSE,
        _ => return None,
    };
    for family in &vector.families {
        let number = if name == "Close" { first } else { first + family.code() };
        if number != vector.number {
            return Some(Err(format!("{family} has {number:#x}, not {:#x}", vector.number)));
        }
    }
    Some(match (name, vector.direction) {
        ("Open", Direction::Request) => vector.check::<common::Open>(),
        ("Create", Direction::Reply) => vector.check::<common::Created>(),
        ("Destroy", Direction::Request) => vector.check::<common::Destroy>(),
        ("GetApiVersion", Direction::Reply) => vector.check::<common::ApiVersion>(),
        _ => vector.check::<()>(),
    })
}

fn held_against(commands: &[CommandInfo], vector: &Vector) -> Result<(), String> {
    if let Some(result) = numbered(&vector.name, vector).filter(|_| !vector.families.is_empty()) {
        return result;
    }
    let command = commands
        .iter()
        .find(|command| command.name == vector.name)
        .ok_or("there is no such command")?;
    if command.number != vector.number {
        return Err(format!("its number is {:#x}", command.number));
    }
    let beyond = BEYOND.contains(&(command.name, vector.version));
    if vector.version > command.max_version && !beyond {
        return Err(format!("the newest version is {}", command.max_version));
    }
    (command.vector)(vector)
}

#[test]
fn layouts_are_those_of_the_reference() {
    let mut wrong = Vec::new();
    for (family, commands) in families() {
        for (place, vector) in vectors(family) {
            if let Err(why) = held_against(commands, &vector) {
                let Vector { name, version, direction, .. } = &vector;
                wrong.push(format!("{place}: {name} v{version} {direction:?}: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_version_of_every_command_has_vectors() {
    let mut excused: BTreeSet<_> = NOT_THERE
        .iter()
        .map(|(family, number, name, v, _)| (*family, *number, *name, *v))
        .collect();
    let mut missing = Vec::new();
    for (family, commands) in families() {
        let there: BTreeMap<_, _> = vectors(family)
            .into_iter()
            .map(|(_, v)| ((v.name, v.version, v.direction, v.rest), v.fields.len()))
            .collect();
        let has = |name: &str, version, direction, rest| {
            there.get(&(name.to_string(), version, direction, rest)).copied()
        };
        for command in commands {
            let name = command.name;
            for version in 1..=command.max_version {
                if excused.remove(&(family, command.number, name, version)) {
                    continue;
                }
                for direction in [Direction::Request, Direction::Reply] {
                    // Where there are no fields, zeros say nothing new.
                    let ones = has(name, version, direction, 0xff);
                    let zeros = has(name, version, direction, 0x00);
                    if ones.is_none() || ones > Some(0) && zeros.is_none() {
                        missing.push(format!("{family} {name} v{version} {direction:?}"));
                    }
                }
            }
        }
    }
    assert!(missing.is_empty(), "{} missing:\n{}", missing.len(), missing.join("\n"));
    assert!(excused.is_empty(), "not to be excused: {excused:?}");
}

/// Two fields that are alike in all vectors could change places.
#[test]
fn vectors_tell_fields_apart() {
    for (family, _) in families() {
        let mut layouts: BTreeMap<_, BTreeMap<String, Vec<String>>> = BTreeMap::new();
        for (_, vector) in vectors(family) {
            let families = vector.families.iter().map(|kind| kind.name()).collect::<String>();
            let key = (vector.name, vector.version, vector.direction, families);
            let fields = layouts.entry(key).or_default();
            for (name, value) in vector.fields {
                fields.entry(name).or_default().push(value);
            }
        }
        for (layout, fields) in layouts {
            let mut seen: BTreeMap<&[String], &str> = BTreeMap::new();
            for (name, values) in &fields {
                if let Some(other) = seen.insert(values, name) {
                    panic!("{family} {layout:?}: {name} and {other} have the same values");
                }
            }
        }
    }
}
