// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What every object family provides, and the list of families.

use super::{
    Answer, Call, Endpoint, Object, Region, State, dpaiop, dpbp, dpci, dpcon, dpdbg, dpdcei,
    dpdmai, dpdmux, dpio, dpmac, dpmcp, dpni, dprc, dprtc, dpseci, dpsw,
};
use crate::{dpl::Config, fabric::Pass, soc::Soc};
use mc_abi::{DecodeError, ObjectId, ObjectType, Params, Status, Wire};
use std::fmt;

/// A family of objects. The implementing type is what the MC keeps of one
/// object beyond what [`Object`] has.
pub(crate) trait Family: Variant + fmt::Debug {
    /// Version of its interface: major, minor.
    const VERSION: (u16, u16);
    /// How many interrupts an object has.
    const IRQS: u8;
    /// Parameters of the create command.
    type Create: Wire;

    /// Makes an object: checks the configuration and takes numbers out of the
    /// pools, which go back by themselves where it fails.
    fn create(
        state: &mut State,
        id: u32,
        container: u32,
        request: &Self::Create,
    ) -> Result<Self, Status>;

    /// Takes back what the object has told others. What it has out of the pools
    /// goes back by itself.
    fn destroy(self, _state: &mut State, _id: u32) {}

    /// Executes one of the family's own commands on the open object
    /// `call.object`.
    fn handle(state: &mut State, call: &Call, command: &Self::Command) -> Result<Answer, Status>;

    /// Puts the object back to its initial state: the reset command, and the
    /// reset of the container around it.
    fn reset(state: &mut State, id: u32);

    /// The switch of families that have one.
    fn enabled(&mut self) -> Option<&mut bool> {
        None
    }

    /// Called after enable and disable.
    fn switched(_state: &mut State, _id: u32, _on: bool) {}

    /// The object's regions, in the order of their index.
    fn regions(&self, _soc: &Soc) -> Vec<Region> {
        Vec::new()
    }

    /// How many interfaces can be connected: numbers from 0.
    fn interfaces(&self) -> u16 {
        use ObjectType::{Dpci, Dpmac, Dpni};
        u16::from(matches!(Self::TYPE, Dpni | Dpmac | Dpci))
    }

    /// Whether an interface lets frames pass as far as this object goes.
    fn link_ready(&self, _interface: u16) -> bool {
        true
    }

    /// Called when the link of an interface may not be what it was, because its
    /// peer became ready or ceased to be.
    fn link_changed(_state: &mut State, _id: u32, _interface: u16) {}

    /// The number that an object must have because of what it stands for;
    /// `None`: any free one.
    fn number(_request: &Self::Create) -> Option<u32> {
        None
    }

    /// Called after an object was moved to another container.
    fn moved(_state: &mut State, _id: u32, _container: u32) {}

    /// Writes what the object is now to the data plane's tables. Called at the
    /// end of each command that may have changed it; takes what it changes back
    /// in [`destroy`](Self::destroy).
    ///
    /// `icid` is the isolation id of the container that holds the object.
    fn program(&self, _state: &State, _object: &Object, _icid: u16, _pass: &mut Pass) {}

    /// Called after an interface was connected to a peer, or lost it.
    fn connected(_state: &mut State, _id: u32, _interface: u16, _peer: Option<Endpoint>) {}
}

/// The table of families and the containers: makes [`Kind`] and the places where
/// a family is chosen by its type.
macro_rules! families {
    ($( $objects:tt )*) => {
        every_family! { Dprc(dprc::Container), $( $objects )* }

        creation! { $( $objects )* }
    };
}

/// How a layout makes the object of a family.
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
        ) -> Result<u32, Status> {
            match config {
                $( Config::$variant(request) => {
                    state.create::<$module::$body>(Some(id), container, container, request)
                } )*
            }
        }
    };
}

macro_rules! every_family {
    ($( $variant:ident($module:ident :: $body:ident) ),* $(,)?) => {
        /// What a family keeps of an object.
        #[derive(Debug)]
        #[allow(clippy::large_enum_variant)]
        pub(crate) enum Kind {
            $( $variant($module::$body), )*
        }

        $( impl Variant for $module::$body {
            const TYPE: ObjectType = ObjectType::$variant;
            type Command = mc_abi::$module::Command;

            fn decode(
                number: u16,
                version: u8,
                params: &Params,
            ) -> Result<Self::Command, DecodeError> {
                mc_abi::$module::Command::decode(number, version, params)
            }

            fn of(kind: &Kind) -> Option<&Self> {
                match kind {
                    Kind::$variant(body) => Some(body),
                    _ => None,
                }
            }

            fn of_mut(kind: &mut Kind) -> Option<&mut Self> {
                match kind {
                    Kind::$variant(body) => Some(body),
                    _ => None,
                }
            }

            fn into_kind(self) -> Kind {
                Kind::$variant(self)
            }
        } )*

        /// Facts of a family.
        pub(crate) fn facts(kind: ObjectType) -> Facts {
            match kind {
                $( ObjectType::$variant => Facts {
                    version: <$module::$body>::VERSION,
                    create: create::<$module::$body>,
                    run: run::<$module::$body>,
                    reset: <$module::$body>::reset,
                    switched: <$module::$body>::switched,
                }, )*
            }
        }

        /// Gives an object's resources back.
        pub(crate) fn destroy(state: &mut State, object: Object) {
            match object.kind {
                $( Kind::$variant(body) => body.destroy(state, object.id.id), )*
            }
        }

        /// Writes what an object is now to the data plane's tables. One that is
        /// gone has taken its entries back when it was destroyed.
        pub(crate) fn program(state: &State, id: ObjectId, pass: &mut Pass) {
            let Some(object) = state.objects.get(&id) else { return };
            let Some(icid) = state.icid(object.container) else { return };
            match &object.kind {
                $( Kind::$variant(body) => body.program(state, object, icid, pass), )*
            }
        }

        /// Tells an object's family that it was moved.
        pub(crate) fn moved(state: &mut State, id: ObjectId, container: u32) {
            match id.kind {
                $( ObjectType::$variant => <$module::$body>::moved(state, id.id, container), )*
            }
        }

        /// Tells an object's family that an interface has another peer.
        pub(crate) fn connected(state: &mut State, end: Endpoint, peer: Option<Endpoint>) {
            let (id, interface) = (end.object.id, end.interface);
            match end.object.kind {
                $( ObjectType::$variant => <$module::$body>::connected(state, id, interface, peer), )*
            }
        }

        /// Tells an object's family that the link of an interface may have
        /// changed.
        pub(crate) fn link_changed(state: &mut State, end: Endpoint) {
            let (id, interface) = (end.object.id, end.interface);
            match end.object.kind {
                $( ObjectType::$variant => <$module::$body>::link_changed(state, id, interface), )*
            }
        }

        impl Kind {
            /// How many interfaces can be connected.
            pub fn interfaces(&self) -> u16 {
                match self {
                    $( Self::$variant(body) => body.interfaces(), )*
                }
            }

            /// Whether an interface lets frames pass.
            pub fn link_ready(&self, interface: u16) -> bool {
                match self {
                    $( Self::$variant(body) => body.link_ready(interface), )*
                }
            }

            /// The object's regions.
            pub fn regions(&self, soc: &Soc) -> Vec<Region> {
                match self {
                    $( Self::$variant(body) => body.regions(soc), )*
                }
            }

            /// The switch of families that have one.
            pub fn enabled(&mut self) -> Option<&mut bool> {
                match self {
                    $( Self::$variant(body) => body.enabled(), )*
                }
            }
        }
    };
}

/// What the table says of a family: its type, its commands, and which part of
/// [`Kind`] its state is.
pub(crate) trait Variant: Sized {
    /// The family.
    const TYPE: ObjectType;
    /// The family's own commands.
    type Command: fmt::Debug;

    /// Decodes one of the family's own commands.
    fn decode(number: u16, version: u8, params: &Params) -> Result<Self::Command, DecodeError>;
    /// This family's part of [`Kind`].
    fn of(kind: &Kind) -> Option<&Self>;
    /// The same, to be changed.
    fn of_mut(kind: &mut Kind) -> Option<&mut Self>;
    /// Wraps the object's state.
    fn into_kind(self) -> Kind;
}

/// A decoded command's text (made only for a trace) and what came of it.
pub(crate) type Outcome = (Option<String>, Result<Answer, Status>);

/// What the dispatcher needs of a family.
pub(crate) struct Facts {
    pub version: (u16, u16),
    /// Makes an object from the parameters of its create command, in a
    /// container.
    pub create: fn(&mut State, &Call, &Params, u32) -> Outcome,
    /// Runs one of the family's own commands; `None` where it has none of that
    /// number.
    pub run: fn(&mut State, &Call, u16, &Params) -> Option<Outcome>,
    pub reset: fn(&mut State, u32),
    pub switched: fn(&mut State, u32, bool),
}

fn create<F: Family>(state: &mut State, call: &Call, params: &Params, container: u32) -> Outcome {
    let request = match F::Create::decode(params, call.version) {
        Ok(request) => request,
        Err(_) => return (None, Err(Status::ConfigurationError)),
    };
    let text = call.traced.then(|| format!("{} {request:?}", F::TYPE));
    let outcome = state
        .create::<F>(F::number(&request), container, container, &request)
        .and_then(|id| call.answer(&mc_abi::common::Created { id }));
    (text, outcome)
}

fn run<F: Family>(state: &mut State, call: &Call, number: u16, params: &Params) -> Option<Outcome> {
    match F::decode(number, call.version, params) {
        Ok(command) => {
            let text = call.traced.then(|| format!("{command:?}"));
            Some((text, F::handle(state, call, &command)))
        }
        Err(DecodeError::UnknownCommand { .. }) => None,
        Err(error @ DecodeError::Field { .. }) => {
            let text = call.traced.then(|| error.to_string());
            Some((text, Err(Status::ConfigurationError)))
        }
    }
}

crate::families::table!(families);
