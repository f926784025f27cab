// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The families by their types: how objects of each are made.

use super::{Call, Family, State, call::Outcome, family::Named};
use crate::dpl::Config;
use crate::mc::refusal::{Because, Refusal};
use mc_abi::{DecodeError, InWords, ObjectId, ObjectType, Params, Status, Wire};

/// What is made out of the table of families and the containers.
macro_rules! families {
    ($( $objects:tt )*) => {
        every_family! { Dprc(dprc::Container), $( $objects )* }

        creation! { $( $objects )* }
    };
}

macro_rules! every_family {
    ($( $variant:ident($module:ident :: $body:ident) ),* $(,)?) => {
        $( impl Named for super::$module::$body {
            const TYPE: ObjectType = ObjectType::$variant;
            type Command = mc_abi::$module::Command;

            fn decode(
                number: u16,
                version: u8,
                params: &Params,
            ) -> Result<Self::Command, DecodeError> {
                mc_abi::$module::Command::decode(number, version, params)
            }
        } )*

        /// Version of a family's interface: major, minor.
        pub(crate) fn version(kind: ObjectType) -> (u16, u16) {
            match kind {
                $( ObjectType::$variant => <super::$module::$body>::VERSION, )*
            }
        }

        /// Makes an object from the parameters of its create command, in a
        /// container.
        pub(crate) fn create(
            state: &mut State,
            call: &Call,
            kind: ObjectType,
            params: &Params,
            container: u32,
        ) -> Outcome {
            match kind {
                $( ObjectType::$variant => {
                    create_one::<super::$module::$body>(state, call, params, container)
                } )*
            }
        }
    };
}

macro_rules! creation {
    ($( $variant:ident($module:ident :: $body:ident) ),* $(,)?) => {
        /// Makes the object `id` in `container` as a layout says.
        ///
        /// # Errors
        /// What the family's creation refuses.
        pub(crate) fn create_as(
            state: &mut State,
            id: u32,
            container: u32,
            config: &Config,
        ) -> Result<u32, Refusal> {
            match config {
                $( Config::$variant(request) => {
                    state.create::<super::$module::$body>(Some(id), container, container, request)
                } )*
            }
        }
    };
}

crate::families::table!(families);

fn create_one<F: Family>(
    state: &mut State,
    call: &Call,
    params: &Params,
    container: u32,
) -> Outcome {
    let request = match F::Create::decode(params, call.version) {
        Ok(request) => request,
        Err(error) => {
            return (
                call.traced.then(|| format!("Create {}", F::TYPE)),
                Err(Status::ConfigurationError.because(error.to_string())),
            );
        }
    };
    let text = call
        .traced
        .then(|| format!("Create {} {}", F::TYPE, request.words(F::TYPE)).trim_end().to_owned());
    let outcome =
        state.create::<F>(F::number(&request), container, container, &request).and_then(|id| {
            let mut answer = call.answer(&mc_abi::common::Created { id })?;
            // Made by a container, whose command does not say the family.
            answer.text = call.traced.then(|| ObjectId::new(F::TYPE, id).to_string());
            Ok(answer)
        });
    (text, outcome)
}
