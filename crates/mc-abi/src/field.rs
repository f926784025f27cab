// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Values that lie in a parameter area.

use core::fmt;

/// Why bytes stand for no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldError {
    /// The text names no object family.
    UnknownObjectType,
    /// The number stands for no variant.
    UnknownValue(u64),
    /// The field reaches past its area: a mistake in a layout.
    TooShort,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownObjectType => f.write_str("unknown object type"),
            Self::UnknownValue(value) => write!(f, "{value:#x} has no meaning here"),
            Self::TooShort => f.write_str("field past the end of its area"),
        }
    }
}

impl core::error::Error for FieldError {}

/// Stops the compiler where a field reaches past its `area`.
#[allow(dead_code, reason = "Rust 1.85 does not see a use in an unnamed constant")]
pub(crate) const fn check_fit(offset: usize, size: usize, area: usize) {
    assert!(offset + size <= area, "a field reaches past its area");
}

/// The `size` bytes at `offset`, short where `bytes` end.
pub(crate) fn at(bytes: &[u8], offset: usize, size: usize) -> &[u8] {
    let tail = bytes.get(offset..).unwrap_or(&[]);
    tail.get(..size).unwrap_or(tail)
}

/// The same bytes to be written.
pub(crate) fn at_mut(bytes: &mut [u8], offset: usize, size: usize) -> &mut [u8] {
    let tail = bytes.get_mut(offset..).unwrap_or(&mut []);
    let size = size.min(tail.len());
    tail.split_at_mut(size).0
}

/// How a value lies in a fixed number of bytes. A type is its own layout;
/// where families lay out the same value differently, the others are types
/// that stand for the way.
pub(crate) trait Layout {
    /// What lies there.
    type Value;

    /// Bytes on the wire.
    const SIZE: usize;

    /// Reads the value from the first [`SIZE`](Self::SIZE) bytes, as far as
    /// `version` has it.
    ///
    /// # Errors
    /// [`FieldError`] where the bytes stand for no value.
    fn load(bytes: &[u8], version: u8) -> Result<Self::Value, FieldError>;

    /// Writes what `version` has of the value to the first
    /// [`SIZE`](Self::SIZE) bytes.
    fn store(value: &Self::Value, bytes: &mut [u8], version: u8);

    /// Any value that `version` can carry, drawn from a stream of random words.
    fn sample(next: &mut dyn FnMut() -> u64, version: u8) -> Self::Value;
}

/// A value that can be said in words, for records of commands that people write.
pub trait Say {
    /// Takes the value that `text` says: a number in decimal or with `0x`, a name, a
    /// list in brackets. `false` where it says none, and for blocks of fields, which
    /// have no words.
    fn say(&mut self, text: &str) -> bool;
}

impl Say for bool {
    fn say(&mut self, text: &str) -> bool {
        text.parse().map(|value| *self = value).is_ok()
    }
}

impl<T: Say, const N: usize> Say for [T; N] {
    fn say(&mut self, text: &str) -> bool {
        let Some(list) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) else {
            return false;
        };
        let mut slots = self.iter_mut();
        // What the list does not reach stays as it is.
        list.split(',').all(|item| slots.next().is_some_and(|slot| slot.say(item.trim())))
    }
}

macro_rules! integers {
    ($($ty:ty),*) => {$(
        impl Layout for $ty {
            type Value = Self;
            const SIZE: usize = size_of::<$ty>();

            fn load(bytes: &[u8], _: u8) -> Result<Self, FieldError> {
                let bytes = bytes.first_chunk().ok_or(FieldError::TooShort)?;
                Ok(Self::from_le_bytes(*bytes))
            }

            fn store(value: &Self, bytes: &mut [u8], _: u8) {
                if let Some(slot) = bytes.first_chunk_mut() {
                    *slot = value.to_le_bytes();
                }
            }

            fn sample(next: &mut dyn FnMut() -> u64, _: u8) -> Self {
                next() as $ty
            }
        }

        impl Say for $ty {
            fn say(&mut self, text: &str) -> bool {
                let number = match text.strip_prefix("0x") {
                    Some(digits) => <$ty>::from_str_radix(digits, 16),
                    None => text.parse(),
                };
                number.map(|value| *self = value).is_ok()
            }
        }

        impl Bits for $ty {
            fn from_bits(bits: u64) -> Result<Self, FieldError> {
                Ok(bits as $ty)
            }

            fn to_bits(&self) -> u64 {
                *self as u64
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, i32, i64);

/// A byte that is zero or not.
impl Layout for bool {
    type Value = Self;
    const SIZE: usize = 1;

    fn load(bytes: &[u8], _: u8) -> Result<Self, FieldError> {
        bytes.first().map(|b| *b != 0).ok_or(FieldError::TooShort)
    }

    fn store(value: &Self, bytes: &mut [u8], _: u8) {
        if let Some(slot) = bytes.first_mut() {
            *slot = u8::from(*value);
        }
    }

    fn sample(next: &mut dyn FnMut() -> u64, _: u8) -> Self {
        next() & 1 == 1
    }
}

impl<T: Layout, const N: usize> Layout for [T; N]
where
    T::Value: Copy + Default,
{
    type Value = [T::Value; N];
    const SIZE: usize = T::SIZE * N;

    fn load(bytes: &[u8], version: u8) -> Result<Self::Value, FieldError> {
        let mut values = [T::Value::default(); N];
        for (i, value) in values.iter_mut().enumerate() {
            *value = T::load(at(bytes, i * T::SIZE, T::SIZE), version)?;
        }
        Ok(values)
    }

    fn store(values: &Self::Value, bytes: &mut [u8], version: u8) {
        for (i, value) in values.iter().enumerate() {
            T::store(value, at_mut(bytes, i * T::SIZE, T::SIZE), version);
        }
    }

    fn sample(next: &mut dyn FnMut() -> u64, version: u8) -> Self::Value {
        let mut values = [T::Value::default(); N];
        values.fill_with(|| T::sample(next, version));
        values
    }
}

/// A field that older versions of a command have as a `T` at the same place.
pub(crate) trait Older<T>: Sized {
    /// What an old version says, in today's form.
    fn from_older(value: T) -> Self;

    /// As much of the value as an old version can say.
    fn to_older(&self) -> T;
}

macro_rules! widened {
    ($($old:ty => $new:ty),*) => {$(
        impl Older<$old> for $new {
            fn from_older(value: $old) -> Self {
                value.into()
            }

            fn to_older(&self) -> $old {
                *self as $old
            }
        }
    )*};
}

widened!(u8 => u16, u16 => u32);

/// One value became the first of several.
impl<T: Copy + Default, const N: usize> Older<T> for [T; N] {
    fn from_older(value: T) -> Self {
        let mut values = [T::default(); N];
        if let Some(first) = values.first_mut() {
            *first = value;
        }
        values
    }

    fn to_older(&self) -> T {
        self.first().copied().unwrap_or_default()
    }
}

/// A value that lies in some bits of a byte or word.
pub trait Bits: Sized {
    /// The value of right-aligned bits.
    ///
    /// # Errors
    /// [`FieldError::UnknownValue`].
    fn from_bits(bits: u64) -> Result<Self, FieldError>;

    /// Its right-aligned bits.
    fn to_bits(&self) -> u64;
}

impl Bits for bool {
    fn from_bits(bits: u64) -> Result<Self, FieldError> {
        Ok(bits != 0)
    }

    fn to_bits(&self) -> u64 {
        u64::from(*self)
    }
}

/// All ones, right-aligned.
pub(crate) const fn mask(width: u32) -> u64 {
    if width >= 64 { u64::MAX } else { (1 << width) - 1 }
}

/// The bits `low..low + width` of the little-endian number that `bytes` are,
/// at most eight of them.
pub(crate) fn bits(bytes: &[u8], low: u32, width: u32) -> u64 {
    (number(bytes) >> low) & mask(width)
}

/// Replaces those bits.
pub(crate) fn set_bits(bytes: &mut [u8], low: u32, width: u32, value: u64) {
    let kept = number(bytes) & !(mask(width) << low);
    let number = kept | (value & mask(width)) << low;
    for (byte, new) in bytes.iter_mut().zip(number.to_le_bytes()) {
        *byte = new;
    }
}

fn number(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    for (slot, byte) in word.iter_mut().zip(bytes) {
        *slot = *byte;
    }
    u64::from_le_bytes(word)
}
