// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Requests and replies in words, for traces.
//!
//! What a field is, its name says, the same in all families:
//!
//! - `id` beside `kind` (`id1` beside `kind1`, ...) is an object, `dpni.3`; so are
//!   `child` and `container`, and a field that is called after a family, `dpio_id`;
//! - offsets, addresses, masks, options and contexts are in hexadecimal, and
//!   where the layout names their bits, the names follow;
//! - a number with all bits set stands for none.

use crate::{ObjectType, ResourceType, dpdmux, dpni, dprc, dpsw};
use core::fmt;

/// Bits and their names.
pub(crate) type Names = &'static [(u64, &'static str)];

/// The bits of an interrupt's status and mask, whose meaning is the family's.
pub(crate) const EVENTS: Names = &[];

/// What can be said in the words of a trace.
pub trait InWords {
    /// Writes it. `of` is the family that a command or its answer is about.
    ///
    /// # Errors
    /// Those of the formatter.
    fn write(&self, f: &mut fmt::Formatter<'_>, of: ObjectType) -> fmt::Result;

    /// The value as something to be displayed.
    fn words(&self, of: ObjectType) -> Words<'_, Self> {
        Words { value: self, of }
    }
}

/// A value in words: see [`InWords::words`].
#[derive(Debug, Clone, Copy)]
pub struct Words<'a, T: ?Sized> {
    value: &'a T,
    of: ObjectType,
}

impl<T: InWords + ?Sized> fmt::Display for Words<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.write(f, self.of)
    }
}

/// Nothing to say.
impl InWords for () {
    fn write(&self, _: &mut fmt::Formatter<'_>, _: ObjectType) -> fmt::Result {
        Ok(())
    }
}

/// How a field is written.
#[derive(Clone, Copy)]
pub(crate) struct How {
    name: &'static str,
    names: Option<Names>,
    /// The family that the whole is about.
    pub of: ObjectType,
}

/// The value of a field.
pub(crate) trait Word {
    fn word(&self, f: &mut fmt::Formatter<'_>, how: How) -> fmt::Result;

    /// The family that the value names.
    fn family(&self) -> Option<ObjectType> {
        None
    }

    /// The value as the number of something.
    fn number(&self) -> Option<u64> {
        None
    }

    /// Whether it is what a field has that nothing was written to.
    fn is_zero(&self) -> bool {
        false
    }
}

/// A field with its value.
pub(crate) struct Field<'a> {
    pub name: &'static str,
    pub value: &'a dyn Word,
    pub names: Option<Names>,
}

/// Writes the fields of a structure.
pub(crate) fn write(
    f: &mut fmt::Formatter<'_>,
    structure: &str,
    fields: &[Field<'_>],
    of: ObjectType,
) -> fmt::Result {
    let mut first = true;
    for field in fields {
        // Said together with the number beside it.
        if field
            .name
            .strip_prefix("kind")
            .and_then(|suffix| number_beside(fields, suffix))
            .is_some()
            && family(structure, field).is_some()
        {
            continue;
        }
        f.write_str(if first { "{ " } else { ", " })?;
        first = false;
        match object(structure, fields, field) {
            Some((name, family, id)) => write!(f, "{name}: {family}.{id}")?,
            None => {
                write!(f, "{}: ", field.name)?;
                field.value.word(f, How { name: field.name, names: field.names, of })?;
            }
        }
    }
    if first { Ok(()) } else { f.write_str(" }") }
}

/// Writes a command: its name and its fields, where it has any.
pub(crate) fn write_command<T: InWords>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    request: &T,
    of: ObjectType,
) -> fmt::Result {
    f.write_str(name)?;
    if size_of::<T>() > 0 {
        f.write_str(" ")?;
    }
    request.write(f, of)
}

/// The object that a field names, and what to call it.
fn object<'a>(
    structure: &str,
    fields: &[Field<'_>],
    field: &Field<'a>,
) -> Option<(&'a str, ObjectType, u64)> {
    let id = field.value.number().filter(|id| *id != u64::from(u32::MAX))?;
    let beside = |suffix| fields.iter().find(|f| f.name.strip_prefix("kind") == Some(suffix));
    if let Some(suffix) = numbered(fields, field) {
        let family = family(structure, beside(suffix)?)?;
        let name = match suffix {
            "1" => "one",
            "2" => "other",
            _ => "object",
        };
        return Some((name, family, id));
    }
    match field.name {
        "child" | "container" => Some((field.name, ObjectType::Dprc, id)),
        name => {
            let family = name.strip_suffix("_id").unwrap_or(name).parse().ok()?;
            Some((name, family, id))
        }
    }
}

/// The suffix of a field that is the number of an object.
fn numbered<'a>(fields: &[Field<'_>], field: &Field<'a>) -> Option<&'a str> {
    if let Some(suffix) = field.name.strip_prefix("id").filter(|s| s.len() <= 1) {
        return Some(suffix);
    }
    // Of resources it is something else.
    let explicit = |f: &Field<'_>| {
        f.name == "options"
            && f.value.number().is_some_and(|n| n & u64::from(dprc::request::EXPLICIT) != 0)
    };
    (field.name == "base_or_align" && fields.iter().any(explicit)).then_some("")
}

fn number_beside<'a>(fields: &'a [Field<'a>], suffix: &str) -> Option<&'a Field<'a>> {
    fields.iter().find(|field| {
        numbered(fields, field) == Some(suffix)
            && field.value.number().is_some_and(|id| id != u64::from(u32::MAX))
    })
}

/// The family that a field names. That of a destination is a number.
fn family(structure: &str, field: &Field<'_>) -> Option<ObjectType> {
    match (structure, field.value.number()) {
        ("Destination", Some(1)) => Some(ObjectType::Dpio),
        ("Destination", Some(2)) => Some(ObjectType::Dpcon),
        _ => field.value.family(),
    }
}

/// Whether a number is one of those that are read bit by bit.
fn in_hexadecimal(name: &str) -> bool {
    const ENDS: [&str; 14] = [
        "offset",
        "address",
        "iova",
        "mask",
        "options",
        "flags",
        "status",
        "ctx",
        "context",
        "version",
        "supported",
        "advertising",
        "tpid",
        "interfaces",
    ];
    ENDS.iter().any(|end| name.ends_with(end)) || matches!(name, "vendor" | "svr" | "pvr" | "state")
}

fn bits(f: &mut fmt::Formatter<'_>, value: u64, names: Names) -> fmt::Result {
    write!(f, "{value:#x}")?;
    let mut rest = value;
    let mut known = names.iter().filter(|(bit, _)| *bit != 0 && value & bit == *bit).peekable();
    if known.peek().is_none() {
        return Ok(());
    }
    let mut between = " (";
    for (bit, name) in known {
        write!(f, "{between}{name}")?;
        rest &= !bit;
        between = " | ";
    }
    if rest != 0 {
        write!(f, "{between}{rest:#x}")?;
    }
    f.write_str(")")
}

/// The events of a family's interrupt 0.
fn events(of: ObjectType) -> Names {
    match of {
        ObjectType::Dprc => dprc::event::NAMES,
        ObjectType::Dpni => dpni::events::NAMES,
        ObjectType::Dpsw => dpsw::events::NAMES,
        ObjectType::Dpdmux => dpdmux::events::NAMES,
        ObjectType::Dpmac => crate::dpmac::events::NAMES,
        _ => &[],
    }
}

macro_rules! numbers {
    ($($ty:ty, $none:expr;)*) => {$(
        impl Word for $ty {
            fn word(&self, f: &mut fmt::Formatter<'_>, how: How) -> fmt::Result {
                let value = *self as u64;
                match how.names {
                    Some([]) => bits(f, value, events(how.of)),
                    Some(names) => bits(f, value, names),
                    // An isolation id has 16 bits wherever it stands.
                    None if how.name == "icid" && value == u64::from(dprc::ICID_FROM_POOL) => {
                        f.write_str("none")
                    }
                    None if in_hexadecimal(how.name) => write!(f, "{value:#x}"),
                    None if Some(value) == $none => f.write_str("none"),
                    None => write!(f, "{value}"),
                }
            }

            fn number(&self) -> Option<u64> {
                Some((*self).into())
            }

            fn is_zero(&self) -> bool {
                *self == 0
            }
        }
    )*};
}

numbers! {
    u8, None;
    u16, Some(u64::from(u16::MAX));
    u32, Some(u64::from(u32::MAX));
    u64, None::<u64>;
}

macro_rules! displayed {
    ($($ty:ty),*) => {$(
        impl Word for $ty {
            fn word(&self, f: &mut fmt::Formatter<'_>, _: How) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

displayed!(i32, i64, bool, crate::MacAddr);

impl Word for ObjectType {
    fn word(&self, f: &mut fmt::Formatter<'_>, _: How) -> fmt::Result {
        f.write_str(self.name())
    }

    fn family(&self) -> Option<ObjectType> {
        Some(*self)
    }
}

impl Word for ResourceType {
    fn word(&self, f: &mut fmt::Formatter<'_>, _: How) -> fmt::Result {
        if self.as_bytes().is_empty() { f.write_str("none") } else { fmt::Display::fmt(self, f) }
    }

    fn family(&self) -> Option<ObjectType> {
        ObjectType::ALL.into_iter().find(|kind| kind.name().as_bytes() == self.as_bytes())
    }
}

impl Word for crate::Label {
    fn word(&self, f: &mut fmt::Formatter<'_>, _: How) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Without the zeros at its end.
impl<T: Word, const N: usize> Word for [T; N] {
    fn word(&self, f: &mut fmt::Formatter<'_>, how: How) -> fmt::Result {
        let said = self.iter().rposition(|value| !value.is_zero()).map_or(0, |last| last + 1);
        f.write_str("[")?;
        for (at, value) in self.iter().take(said).enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            value.word(f, how)?;
        }
        let ends = match (said, said == N) {
            (_, true) => "]",
            (0, _) => "..]",
            _ => ", ..]",
        };
        f.write_str(ends)
    }
}

/// Names of bits: the constants of a module.
macro_rules! names {
    ($($name:ident),* $(,)?) => {
        /// The bits with their names.
        pub(crate) const NAMES: crate::words::Names = &[$( ($name as u64, stringify!($name)) ),*];
    };
}

/// Lets a structure be written in words.
macro_rules! worded {
    (
        $name:ident {
            $(
                $(#[$fdoc:meta])*
                $field:ident : $ty:tt $(as $way:ident)? @ $offset:literal
                    $(bits $low:literal .. $high:literal)?
                    $(of version $fixed:literal)?
                    $(since $since:literal)?
                    $(until $until:literal)?
                    $(($old:tt until $last:literal))?
                    $(named $names:path)?
            ),* $(,)?
        }
    ) => {
        impl crate::words::InWords for $name {
            fn write(
                &self,
                f: &mut core::fmt::Formatter<'_>,
                of: crate::ObjectType,
            ) -> core::fmt::Result {
                let fields: &[crate::words::Field<'_>] = &[$( crate::words::Field {
                    name: stringify!($field),
                    value: &self.$field,
                    names: worded!(@names $($names)?),
                } ),*];
                crate::words::write(f, stringify!($name), fields, of)
            }
        }
    };
    (@names) => { None };
    (@names $names:path) => { Some($names) };
}

/// The same for one that is itself a field.
macro_rules! word_of_words {
    ($name:ident) => {
        impl crate::words::Word for $name {
            fn word(
                &self,
                f: &mut core::fmt::Formatter<'_>,
                how: crate::words::How,
            ) -> core::fmt::Result {
                crate::words::InWords::write(self, f, how.of)
            }

            fn is_zero(&self) -> bool {
                *self == Self::default()
            }
        }
    };
}
