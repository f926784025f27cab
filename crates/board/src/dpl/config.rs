// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a layout says of an object: the create command of its family.

use mc_abi::{MacAddr, ObjectType};

use super::fields::{Fields, Writing, parse_number};

/// The create command of a family (firmware 10.40) as the properties of a node.
/// Where a property is absent, the field holds what the command says for "the
/// firmware's default", mostly 0.
pub(crate) trait Properties: Sized {
    /// What the properties of the node of object `id` say.
    fn read(fields: &Fields<'_>, id: u32) -> Self;

    /// The properties that say this.
    fn write(&self, to: &mut Writing);

    /// The primary address, in the families that have one.
    fn mac_address(_fields: &Fields<'_>) -> Option<MacAddr> {
        None
    }
}

/// Makes [`Config`] out of the table of families.
macro_rules! configs {
    ($( $variant:ident($module:ident :: $body:ident) ),* $(,)?) => {
        /// What an object is created with.
        #[derive(Debug, Clone, PartialEq)]
        #[expect(missing_docs, reason = "each variant is named after its family")]
        pub enum Config {
            $( $variant(mc_abi::$module::Create), )*
        }

        impl Config {
            /// The families that a layout can define objects of.
            pub const FAMILIES: &[ObjectType] = &[$( ObjectType::$variant ),*];

            /// The family that this creates an object of.
            pub fn kind(&self) -> ObjectType {
                match self {
                    $( Self::$variant(_) => ObjectType::$variant, )*
                }
            }

            /// What the properties of a node say about object `id` of a family,
            /// with its primary address; `None` for a container.
            pub(super) fn read(
                kind: ObjectType,
                id: u32,
                fields: &Fields<'_>,
            ) -> Option<(Self, Option<MacAddr>)> {
                fn both<P: Properties>(fields: &Fields<'_>, id: u32) -> (P, Option<MacAddr>) {
                    (P::read(fields, id), P::mac_address(fields))
                }
                match kind {
                    $( ObjectType::$variant => {
                        let (create, address) = both::<mc_abi::$module::Create>(fields, id);
                        Some((Self::$variant(create), address))
                    } )*
                    ObjectType::Dprc => None,
                }
            }

            /// The properties that say this.
            pub(super) fn write(&self, to: &mut Writing) {
                match self {
                    $( Self::$variant(create) => create.write(to), )*
                }
            }
        }
    };
}

crate::families::table!(configs);

/// The family of this name, containers apart.
pub(super) fn family(name: &str) -> Option<ObjectType> {
    Config::FAMILIES.iter().copied().find(|family| family.name() == name)
}

/// A list of hardware priorities, 1 to 8 each, as many as `N` and at least one;
/// the rest are zeros. Firmware 9 ended such a list by a zero, which layouts of
/// that age carry.
pub(crate) fn priorities<const N: usize>(
    fields: &Fields<'_>,
    name: &'static str,
) -> Option<[u8; N]> {
    let mut cells = fields.cells(name)?;
    let given = cells.len();
    cells.truncate(cells.iter().rposition(|cell| *cell != 0).map_or(0, |last| last + 1));
    if cells.len() < given {
        fields.warn_in(name, "0 is not a priority", "trailing zeros are ignored, remove them");
    }
    if cells.is_empty() || cells.len() > N {
        let reason = format!("found {} priorities", cells.len());
        fields.error_in(name, reason, &format!("give 1 to {N}"));
        return None;
    }
    if let Some(wrong) = cells.iter().find(|cell| !(1..=8).contains(*cell)) {
        fields.error_in(name, format!("{wrong} is not a priority"), "use 1 to 8");
        return None;
    }
    let mut priorities = [0; N];
    for (slot, cell) in priorities.iter_mut().zip(cells) {
        *slot = cell as u8;
    }
    Some(priorities)
}

/// Writes such a list: what is before the first zero.
pub(crate) fn write_priorities(to: &mut Writing, name: &str, priorities: &[u8]) {
    to.cells(name, priorities.iter().take_while(|p| **p != 0).map(|p| u32::from(*p)));
}

/// A number that can be left to a pool: by absence, by -1, or by `symbol`.
pub(crate) fn pooled(fields: &Fields<'_>, name: &'static str, symbol: &'static str) -> Option<u32> {
    let value = fields.bytes(name)?;
    if value.strip_suffix(&[0]) == Some(symbol.as_bytes()) {
        return None;
    }
    fields.number(name, 0..=u32::MAX).filter(|number| *number != u32::MAX)
}

/// The id in a name such as `dpni@0`: decimal as on real boards, or `0x`.
pub(super) fn parse_id(text: &str) -> Option<u32> {
    // Object ids are signed in the reference headers.
    parse_number(text).and_then(|id| u32::try_from(id).ok()).filter(|id| *id <= i32::MAX as u32)
}
