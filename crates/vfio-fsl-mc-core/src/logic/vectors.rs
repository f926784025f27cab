// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Interrupt vectors of a container.
//!
//! A container and its objects share the vectors of one device of the interrupt
//! controller, which are reserved once, for all of them.

use super::command::TypeName;

/// The most that a container gets; the bus has the same limit.
pub const LIMIT: u32 = 256;

/// An object, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectId {
    /// Its type.
    pub kind: TypeName,
    /// Its number.
    pub id: i32,
}

/// Who has a vector.
pub type Owner = Option<ObjectId>;

/// Vectors next to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    /// The first.
    pub start: u32,
    /// How many.
    pub count: u32,
}

/// How many vectors a container reserves, whose own interrupts and those of its
/// objects are `irq_counts`: the sum, rounded up to a power of two, at most
/// [`LIMIT`]. None where there are no interrupts.
///
/// The interrupt controller rounds up anyway; what is over is for objects that
/// come later.
pub fn pool_size(irq_counts: impl IntoIterator<Item = u32>) -> u32 {
    let counts = irq_counts.into_iter();
    match counts.fold(0, u32::saturating_add).min(LIMIT) {
        0 => 0,
        sum => sum.next_power_of_two().min(LIMIT),
    }
}

/// Gives `object` as many free vectors next to each other as it has interrupts,
/// the first that there are. An object that has some keeps them. None where
/// there are not so many, or it has another number of them.
pub fn reserve(owners: &mut [Owner], object: ObjectId, irq_count: u32) -> Option<Range> {
    if let Some(range) = range_of(owners, object) {
        return (range.count == irq_count).then_some(range);
    }
    let length = usize::try_from(irq_count).ok()?;
    if length == 0 {
        return Some(Range { start: 0, count: 0 });
    }
    let is_free = |start: &usize| {
        let window = start
            .checked_add(length)
            .and_then(|end| owners.get(*start..end));
        window.is_some_and(|window| window.iter().all(Option::is_none))
    };
    let start = (0..owners.len()).find(is_free)?;
    for owner in owners.iter_mut().skip(start).take(length) {
        *owner = Some(object);
    }
    Some(Range {
        start: u32::try_from(start).ok()?,
        count: irq_count,
    })
}

/// The vectors of `object`.
pub fn range_of(owners: &[Owner], object: ObjectId) -> Option<Range> {
    let is_its = |owner: &Owner| *owner == Some(object);
    let start = owners.iter().position(is_its)?;
    let its = owners.iter().skip(start).take_while(|owner| is_its(owner));
    Some(Range {
        start: u32::try_from(start).ok()?,
        count: its.fold(0, |count: u32, _| count.saturating_add(1)),
    })
}

/// Takes the vectors of `object` back, and says which they were.
pub fn release(owners: &mut [Owner], object: ObjectId) -> Option<Range> {
    let range = range_of(owners, object)?;
    for owner in owners.iter_mut().filter(|owner| **owner == Some(object)) {
        *owner = None;
    }
    Some(range)
}
