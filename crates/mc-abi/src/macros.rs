// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The notation in which the families write down their layouts.
//!
//! A field is `name: Type @ byte offset`, with these additions:
//! `bits LOW..HIGH` for a part of the little-endian number at that offset,
//! `since N` for a field that version N of the command brought,
//! `until N` for one that version N was the last to have,
//! `(Other until N)` for one that is an `Other` in version N and before.

/// A parameter block: a struct with public fields and its [`Wire`](crate::Wire)
/// implementation. An empty field list makes a unit-like struct.
macro_rules! wire {
    (
        $(#[$doc:meta])*
        pub struct $name:ident {
            $(
                $(#[$fdoc:meta])*
                $field:ident : $ty:tt @ $offset:literal
                    $(bits $low:literal .. $high:literal)?
                    $(since $since:literal)?
                    $(until $until:literal)?
                    $(($old:tt until $last:literal))?
            ),* $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $name {
            $( $(#[$fdoc])* pub $field: $ty, )*
        }

        impl crate::Wire for $name {
            #[allow(unused_variables)]
            fn decode(params: &crate::Params, version: u8) -> Result<Self, crate::FieldError> {
                Ok(Self {
                    $( $field: match version {
                        $( _ if version < $since => <$ty as Default>::default(), )?
                        $( _ if version > $until => <$ty as Default>::default(), )?
                        $( ..=$last => {
                            crate::field::Older::from_older(wire!(@load params, $old, $offset)?)
                        } )?
                        _ => wire!(@load params, $ty, $offset $(, $low, $high)?)?,
                    }, )*
                })
            }

            #[allow(unused_variables)]
            fn encode(&self, params: &mut crate::Params, version: u8) {
                $( match version {
                    $( _ if version < $since => {} )?
                    $( _ if version > $until => {} )?
                    $( ..=$last => {
                        let older: $old = crate::field::Older::to_older(&self.$field);
                        wire!(@store params, older, $old, $offset);
                    } )?
                    _ => wire!(@store params, self.$field, $ty, $offset $(, $low, $high)?),
                } )*
            }

            #[allow(unused_variables)]
            fn sample(next: &mut dyn FnMut() -> u64, version: u8) -> Self {
                Self {
                    $( $field: match version {
                        $( _ if version < $since => <$ty as Default>::default(), )?
                        $( _ if version > $until => <$ty as Default>::default(), )?
                        $( ..=$last => {
                            crate::field::Older::from_older(<$old as crate::Field>::sample(next))
                        } )?
                        _ => field!(@sample next, $ty $(, $low, $high)?),
                    }, )*
                }
            }
        }

        #[cfg(test)]
        impl crate::tests::vectors::Written for $name {
            #[allow(unused_variables)]
            fn read(
                text: &mut crate::tests::vectors::Fields,
                version: u8,
            ) -> Result<Self, std::string::String> {
                Ok(Self {
                    $( $field: match version {
                        $( _ if version < $since => <$ty as Default>::default(), )?
                        $( _ if version > $until => <$ty as Default>::default(), )?
                        $( ..=$last => {
                            let name = stringify!($field);
                            let older: $old = crate::tests::vectors::Value::read(text, name)?;
                            crate::field::Older::from_older(older)
                        } )?
                        _ => crate::tests::vectors::Value::read(text, stringify!($field))?,
                    }, )*
                })
            }
        }
    };
    (@load $params:ident, $ty:tt, $offset:literal $(, $low:literal, $high:literal)?) => {{
        const { assert!(crate::field::fits($offset, field!(@size $ty $(, $low, $high)?))) };
        field!(@load $params.at($offset, field!(@size $ty $(, $low, $high)?)), $ty $(, $low, $high)?)
    }};
    (@store $params:ident, $value:expr, $ty:tt, $offset:literal $(, $low:literal, $high:literal)?) => {
        field!(
            @store $params.at_mut($offset, field!(@size $ty $(, $low, $high)?)),
            $value, $ty $(, $low, $high)?
        )
    };
}

/// A field in its own bytes: what [`wire!`] and [`layout!`] are made of.
macro_rules! field {
    (@size $ty:tt) => {
        <$ty as crate::Field>::SIZE
    };
    (@size $ty:tt, $low:literal, $high:literal) => {{
        const { assert!($low < $high && $high <= 64) };
        usize::div_ceil($high, 8)
    }};
    (@load $bytes:expr, $ty:tt) => {
        <$ty as crate::Field>::load($bytes)
    };
    (@load $bytes:expr, $ty:tt, $low:literal, $high:literal) => {
        <$ty as crate::field::Bits>::from_bits(crate::field::bits($bytes, $low, $high - $low))
    };
    (@store $bytes:expr, $value:expr, $ty:tt) => {
        <$ty as crate::Field>::store(&$value, $bytes)
    };
    (@store $bytes:expr, $value:expr, $ty:tt, $low:literal, $high:literal) => {
        crate::field::set_bits(
            $bytes,
            $low,
            $high - $low,
            <$ty as crate::field::Bits>::to_bits(&$value),
        )
    };
    (@sample $next:ident, $ty:tt) => {
        <$ty as crate::Field>::sample($next)
    };
    (@sample $next:ident, $ty:tt, $low:literal, $high:literal) => {
        // A value that the bits can hold is one that comes back from them.
        <$ty as crate::field::Bits>::from_bits($next() & crate::field::mask($high - $low))
            .unwrap_or_default()
    };
}

/// A struct inside a parameter block, of a fixed size: same notation as
/// [`wire!`] without versions, and usable as the element of an array.
macro_rules! layout {
    (
        $(#[$doc:meta])*
        pub struct $name:ident [$size:literal] {
            $(
                $(#[$fdoc:meta])*
                $field:ident : $ty:tt @ $offset:literal $(bits $low:literal .. $high:literal)?
            ),* $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Default)]
        pub struct $name {
            $( $(#[$fdoc])* pub $field: $ty, )*
        }

        impl crate::Field for $name {
            const SIZE: usize = $size;

            fn load(bytes: &[u8]) -> Result<Self, crate::FieldError> {
                Ok(Self {
                    $( $field: field!(
                        @load bytes.get($offset..).unwrap_or(&[]), $ty $(, $low, $high)?
                    )?, )*
                })
            }

            fn store(&self, bytes: &mut [u8]) {
                $( field!(
                    @store bytes.get_mut($offset..).unwrap_or(&mut []),
                    self.$field, $ty $(, $low, $high)?
                ); )*
            }

            fn sample(next: &mut dyn FnMut() -> u64) -> Self {
                Self { $( $field: field!(@sample next, $ty $(, $low, $high)?), )* }
            }
        }

        #[cfg(test)]
        impl crate::tests::vectors::Value for $name {
            fn read(
                text: &mut crate::tests::vectors::Fields,
                name: &str,
            ) -> Result<Self, std::string::String> {
                Ok(Self {
                    $( $field: crate::tests::vectors::Value::read(
                        text,
                        &std::format!("{name}.{}", stringify!($field)),
                    )?, )*
                })
            }
        }
    };
}

/// The commands of a family: a request and a reply type each, the enum
/// `Command` of all of them with its decoder, and the table `COMMANDS`.
///
/// Each command is
/// `Name = number, version NEWEST { request fields } -> ReplyName { reply fields };`
/// where an answer without parameters is written `-> ()`.
macro_rules! commands {
    (
        $(
            $(#[$doc:meta])*
            $name:ident = $number:literal, version $version:literal
            { $($request:tt)* } -> $reply:tt $({ $($fields:tt)* })? ;
        )*
    ) => {
        $(
            wire! { $(#[$doc])* pub struct $name { $($request)* } }

            $( wire! {
                #[doc = concat!("What the MC answers to [`", stringify!($name), "`].")]
                pub struct $reply { $($fields)* }
            } )?

            impl crate::Request for $name {
                const NUMBER: u16 = $number;
                const NAME: &'static str = stringify!($name);
                const MAX_VERSION: u8 = $version;
                type Reply = $reply;
            }
        )*

        /// A command of this family, decoded.
        #[derive(Clone, PartialEq)]
        #[allow(missing_docs)]
        pub enum Command {
            $( $name($name), )*
        }

        // The variant's name is that of the request in it: once is enough.
        impl core::fmt::Debug for Command {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self {
                    $( Self::$name(request) => core::fmt::Debug::fmt(request, f), )*
                }
            }
        }

        impl Command {
            /// Reads the command `number`.
            ///
            /// # Errors
            /// [`DecodeError`](crate::DecodeError): a number that is none of
            /// this family's, or a parameter without meaning.
            pub fn decode(
                number: u16,
                version: u8,
                params: &crate::Params,
            ) -> Result<Self, crate::DecodeError> {
                match number {
                    $( $number => <$name as crate::Wire>::decode(params, version)
                        .map(Self::$name)
                        .map_err(|error| crate::DecodeError::Field {
                            command: stringify!($name),
                            error,
                        }), )*
                    _ => Err(crate::DecodeError::UnknownCommand { number }),
                }
            }

            /// The command's name.
            pub const fn name(&self) -> &'static str {
                match self {
                    $( Self::$name(_) => stringify!($name), )*
                }
            }
        }

        /// The family's commands.
        pub const COMMANDS: &[crate::CommandInfo] = &[
            $( crate::CommandInfo {
                number: $number,
                name: stringify!($name),
                max_version: $version,
                round_trip: |next, version| {
                    crate::common::round_trips::<$name>(next, version)
                        && crate::common::round_trips::<<$name as crate::Request>::Reply>(next, version)
                },
                sample: |next, version| {
                    let mut params = crate::Params::ZERO;
                    let request = <$name as crate::Wire>::sample(next, version);
                    crate::Wire::encode(&request, &mut params, version);
                    params
                },
                #[cfg(test)]
                vector: |vector| match vector.direction {
                    crate::tests::vectors::Direction::Request => vector.check::<$name>(),
                    crate::tests::vectors::Direction::Reply => {
                        vector.check::<<$name as crate::Request>::Reply>()
                    }
                },
                decodes: |params, version| {
                    let _ = <$name as crate::Wire>::decode(params, version);
                    let _ = <<$name as crate::Request>::Reply as crate::Wire>::decode(params, version);
                },
            }, )*
        ];
    };
}

/// A family whose commands are written down in several modules, each with its
/// own [`commands!`]: `Variant(module)` each. Makes the family's `Command` out
/// of theirs, and one table.
macro_rules! command_groups {
    ( $( $(#[$doc:meta])* $group:ident($module:ident) ),* $(,)? ) => {
        /// A command of this family, decoded: in which group, and there which.
        #[derive(Clone, PartialEq)]
        pub enum Command {
            $( $(#[$doc])* $group($module::Command), )*
        }

        impl Command {
            /// Reads the command `number`.
            ///
            /// # Errors
            /// [`DecodeError`](crate::DecodeError): a number that is none of
            /// this family's, or a parameter without meaning.
            pub fn decode(
                number: u16,
                version: u8,
                params: &crate::Params,
            ) -> Result<Self, crate::DecodeError> {
                $( match $module::Command::decode(number, version, params) {
                    Err(crate::DecodeError::UnknownCommand { .. }) => {}
                    found => return found.map(Self::$group),
                } )*
                Err(crate::DecodeError::UnknownCommand { number })
            }

            /// The command's name.
            pub const fn name(&self) -> &'static str {
                match self {
                    $( Self::$group(command) => command.name(), )*
                }
            }
        }

        // The group says nothing that a reader of traces wants to know.
        impl core::fmt::Debug for Command {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self {
                    $( Self::$group(command) => command.fmt(f), )*
                }
            }
        }

        /// The family's commands.
        pub const COMMANDS: &[crate::CommandInfo] = {
            const COUNT: usize = 0 $( + $module::COMMANDS.len() )*;
            const ALL: [crate::CommandInfo; COUNT] =
                crate::common::join(&[ $( $module::COMMANDS ),* ]);
            &ALL
        };
    };
}
