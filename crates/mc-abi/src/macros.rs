// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The notation in which the families write down their layouts.
//!
//! A field is `name: Type @ byte offset`, with these additions, in this order:
//!
//! - `Type as Way`: laid out in another way (`layout_of!`) than the type's own;
//! - `bits LOW..HIGH`: in a part of the little-endian number at that offset;
//! - `of version N`: a block that is that of version N in any case;
//! - `since N`: version N of the command brought it;
//! - `until N`: version N was the last to have it;
//! - `(Other until N)`: an `Other` in version N and before;
//! - `named BITS`: bits with these names.

/// A parameter block: a struct with public fields and its [`Wire`](crate::Wire)
/// implementation. An empty field list makes a unit-like struct.
macro_rules! wire {
    ( $(#[$doc:meta])* pub struct $name:ident { $($fields:tt)* } ) => {
        structure! {
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Default)]
            pub struct $name { $($fields)* }
        }

        laid_out! { $name, $name [crate::PARAMS_SIZE] { $($fields)* } }

        worded! { $name { $($fields)* } }

        said! { $name { $($fields)* } }

        impl crate::Wire for $name {
            fn decode(params: &crate::Params, version: u8) -> Result<Self, crate::FieldError> {
                <Self as crate::field::Layout>::load(&params.0, version)
            }

            fn encode(&self, params: &mut crate::Params, version: u8) {
                <Self as crate::field::Layout>::store(self, &mut params.0, version);
            }

            fn sample(next: &mut dyn FnMut() -> u64, version: u8) -> Self {
                <Self as crate::field::Layout>::sample(next, version)
            }
        }
    };
}

/// A struct inside a parameter block, of a fixed size: same notation as
/// [`wire!`], and usable as the element of an array.
macro_rules! layout {
    ( $(#[$doc:meta])* pub struct $name:ident [$size:literal] { $($fields:tt)* } ) => {
        structure! {
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
            pub struct $name { $($fields)* }
        }

        laid_out! { $name, $name [$size] { $($fields)* } }

        worded! { $name { $($fields)* } }

        word_of_words! { $name }

        impl crate::field::Say for $name {
            fn say(&mut self, _text: &str) -> bool {
                false
            }
        }
    };
}

/// Another way to lay out the struct of a [`layout!`]. Fields that it leaves out
/// have their default.
macro_rules! layout_of {
    ( $(#[$doc:meta])* $name:ident as $way:ident [$size:literal] { $($fields:tt)* } ) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) enum $way {}

        laid_out! { $name, $way [$size] { $($fields)* } }
    };
}

/// The struct that fields make.
macro_rules! structure {
    (
        $(#[$doc:meta])*
        pub struct $name:ident {
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
        $(#[$doc])*
        pub struct $name {
            $( $(#[$fdoc])* pub $field: $ty, )*
        }
    };
}

/// What is said of each field of a struct: [`say`](crate::field::Say) by the field's
/// name.
macro_rules! said {
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
        impl $name {
            #[allow(dead_code, unused_variables, reason = "answers are not said")]
            pub(crate) fn say_field(&mut self, field: &str, text: &str) -> bool {
                match field {
                    $( stringify!($field) => crate::field::Say::say(&mut self.$field, text), )*
                    _ => false,
                }
            }
        }
    };
}

/// How fields of a struct lie in bytes: the [`Layout`](crate::field::Layout) of
/// a way.
macro_rules! laid_out {
    (
        $name:ident, $way:ident [$size:expr] {
            $(
                $(#[$fdoc:meta])*
                $field:ident : $ty:tt $(as $other:ident)? @ $offset:literal
                    $(bits $low:literal .. $high:literal)?
                    $(of version $fixed:literal)?
                    $(since $since:literal)?
                    $(until $until:literal)?
                    $(($old:tt until $last:literal))?
                    $(named $names:path)?
            ),* $(,)?
        }
    ) => {
        const _: () = {
            $( crate::field::check_fit(
                $offset, place!(@size $ty $(as $other)? $(, $low, $high)?), $size,
            ); )*
            $( $( crate::field::check_fit($offset, place!(@size $old), $size); )? )*
        };

        #[allow(unused_variables, clippy::needless_update)]
        impl crate::field::Layout for $way {
            type Value = $name;
            const SIZE: usize = $size;

            fn load(bytes: &[u8], version: u8) -> Result<$name, crate::FieldError> {
                Ok($name {
                    $( $field: match version {
                        $( _ if version < $since => <$ty as Default>::default(), )?
                        $( _ if version > $until => <$ty as Default>::default(), )?
                        $( ..=$last => crate::field::Older::from_older(
                            place!(@load bytes, version, $offset, $old)?,
                        ), )?
                        _ => place!(
                            @load bytes, place!(@version version $(, $fixed)?), $offset,
                            $ty $(as $other)? $(, $low, $high)?
                        )?,
                    }, )*
                    ..<$name as Default>::default()
                })
            }

            fn store(value: &$name, bytes: &mut [u8], version: u8) {
                $( match version {
                    $( _ if version < $since => {} )?
                    $( _ if version > $until => {} )?
                    $( ..=$last => {
                        let older = crate::field::Older::to_older(&value.$field);
                        place!(@store older, bytes, version, $offset, $old);
                    } )?
                    _ => place!(
                        @store value.$field, bytes, place!(@version version $(, $fixed)?), $offset,
                        $ty $(as $other)? $(, $low, $high)?
                    ),
                } )*
            }

            fn sample(next: &mut dyn FnMut() -> u64, version: u8) -> $name {
                $name {
                    $( $field: match version {
                        $( _ if version < $since => <$ty as Default>::default(), )?
                        $( _ if version > $until => <$ty as Default>::default(), )?
                        $( ..=$last => crate::field::Older::from_older(
                            place!(@sample next, version, $old),
                        ), )?
                        _ => place!(
                            @sample next, place!(@version version $(, $fixed)?),
                            $ty $(as $other)? $(, $low, $high)?
                        ),
                    }, )*
                    ..<$name as Default>::default()
                }
            }
        }

        #[cfg(test)]
        #[allow(unused_variables, clippy::needless_update)]
        impl crate::tests::vectors::Written for $way {
            type Value = $name;

            fn read(
                text: &mut crate::tests::vectors::Fields,
                name: &str,
                version: u8,
            ) -> Result<$name, std::string::String> {
                Ok($name {
                    $( $field: match version {
                        $( _ if version < $since => <$ty as Default>::default(), )?
                        $( _ if version > $until => <$ty as Default>::default(), )?
                        $( ..=$last => crate::field::Older::from_older(
                            <$old as crate::tests::vectors::Written>::read(
                                text, &crate::tests::vectors::part(name, stringify!($field)), version,
                            )?,
                        ), )?
                        _ => <place!(@way $ty $(as $other)?) as crate::tests::vectors::Written>::read(
                            text,
                            &crate::tests::vectors::part(name, stringify!($field)),
                            place!(@version version $(, $fixed)?),
                        )?,
                    }, )*
                    ..<$name as Default>::default()
                })
            }
        }
    };
}

/// A field in the bytes of its struct.
macro_rules! place {
    (@version $version:ident) => { $version };
    (@version $version:ident, $fixed:literal) => { $fixed };
    (@way $ty:tt) => { $ty };
    (@way $ty:tt as $way:ident) => { $way };
    (@size $ty:tt $(as $way:ident)?) => {
        <place!(@way $ty $(as $way)?) as crate::field::Layout>::SIZE
    };
    (@size $ty:tt, $low:literal, $high:literal) => {{
        assert!($low < $high && $high <= 64);
        usize::div_ceil($high, 8)
    }};
    (@load $bytes:expr, $version:expr, $offset:literal, $ty:tt $(as $way:ident)?) => {
        <place!(@way $ty $(as $way)?) as crate::field::Layout>::load(
            crate::field::at($bytes, $offset, place!(@size $ty $(as $way)?)),
            $version,
        )
    };
    (@load $bytes:expr, $version:expr, $offset:literal, $ty:tt, $low:literal, $high:literal) => {
        <$ty as crate::field::Bits>::from_bits(crate::field::bits(
            crate::field::at($bytes, $offset, usize::div_ceil($high, 8)), $low, $high - $low,
        ))
    };
    (@store $value:expr, $bytes:expr, $version:expr, $offset:literal, $ty:tt $(as $way:ident)?) => {
        <place!(@way $ty $(as $way)?) as crate::field::Layout>::store(
            &$value,
            crate::field::at_mut($bytes, $offset, place!(@size $ty $(as $way)?)),
            $version,
        )
    };
    (
        @store $value:expr, $bytes:expr, $version:expr, $offset:literal,
        $ty:tt, $low:literal, $high:literal
    ) => {
        crate::field::set_bits(
            crate::field::at_mut($bytes, $offset, usize::div_ceil($high, 8)),
            $low, $high - $low, <$ty as crate::field::Bits>::to_bits(&$value),
        )
    };
    (@sample $next:ident, $version:expr, $ty:tt $(as $way:ident)?) => {
        <place!(@way $ty $(as $way)?) as crate::field::Layout>::sample($next, $version)
    };
    (@sample $next:ident, $version:expr, $ty:tt, $low:literal, $high:literal) => {
        // A value that the bits can hold is one that comes back from them.
        <$ty as crate::field::Bits>::from_bits($next() & crate::field::mask($high - $low))
            .unwrap_or_default()
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

        impl crate::InWords for Command {
            fn write(
                &self,
                f: &mut core::fmt::Formatter<'_>,
                of: crate::ObjectType,
            ) -> core::fmt::Result {
                match self {
                    $( Self::$name(request) => {
                        crate::words::write_command(f, self.name(), request, of)
                    } )*
                }
            }
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
                reply_words: |params, version, out| {
                    <<$name as crate::Request>::Reply as crate::Wire>::decode(params, version)
                        .map_err(|_| core::fmt::Error)
                        .and_then(|reply| write!(out, "{reply:?}"))
                },
                request: |version, params, fields| {
                    let mut request = <$name as Default>::default();
                    let known = fields(&mut |field, text| request.say_field(field, text));
                    crate::Wire::encode(&request, params, version);
                    known
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

        impl crate::InWords for Command {
            fn write(
                &self,
                f: &mut core::fmt::Formatter<'_>,
                of: crate::ObjectType,
            ) -> core::fmt::Result {
                match self {
                    $( Self::$group(command) => crate::InWords::write(command, f, of), )*
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
