// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a family of objects provides. The MC's services see these traits, and no
//! family.

use super::{Answer, Call, Endpoint, Object, Region, State, call::Outcome};
use crate::mc::refusal::{Because, Refusal};
use crate::{fabric::Pass, soc::Soc};
use mc_abi::{
    DecodeError, InWords, MacAddr, ObjectId, ObjectType, Params, Status, Wire,
    blocks::{LinkConfig, LinkState},
};
use std::{any::Any, fmt};

/// What the table of families says of one: its type and its commands.
pub(crate) trait Named {
    /// The family.
    const TYPE: ObjectType;
    /// The family's own commands.
    type Command: InWords;

    /// Decodes one of the family's own commands.
    fn decode(number: u16, version: u8, params: &Params) -> Result<Self::Command, DecodeError>;
}

/// What commands do to the objects of a family. The implementing type is what the
/// MC keeps of one object beyond what [`Object`] has.
pub(crate) trait Family: Named + Body + Sized {
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
    ) -> Result<Self, Refusal>;

    /// Takes back what the object has reported to others. What it has out of the pools
    /// goes back by itself.
    fn destroy(self, _state: &mut State, _id: u32) {}

    /// Executes one of the family's own commands on the open object
    /// `call.object`.
    fn handle(state: &mut State, call: &Call, command: &Self::Command) -> Result<Answer, Refusal>;

    /// Puts the object back to its initial state: the reset command, and the
    /// reset of the container around it. Its events are forgotten by who calls.
    fn reset(state: &mut State, id: u32);

    /// Called after enable and disable.
    fn switched(_state: &mut State, _id: u32, _on: bool) {}

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

    /// Called after an interface was connected to a peer, or lost it.
    fn connected(_state: &mut State, _id: u32, _interface: u16, _peer: Option<Endpoint>) {}
}

/// What may be asked of an object by those who do not know its family.
pub(crate) trait Body: Any + fmt::Debug + Send {
    /// The switch of families that have one.
    fn enabled(&mut self) -> Option<&mut bool> {
        None
    }

    /// The object's regions, in the order of their index.
    fn regions(&self, _soc: &Soc) -> Vec<Region> {
        Vec::new()
    }

    /// How many interfaces can be connected: numbers from 0.
    fn interfaces(&self) -> u16 {
        0
    }

    /// Whether an interface lets frames pass as far as this object goes.
    fn link_ready(&self, _interface: u16) -> bool {
        true
    }

    /// The link that software wants at an interface.
    fn link_wanted(&self, _interface: u16) -> LinkConfig {
        LinkConfig::default()
    }

    /// The longest frame that the object takes, where its peer has to go by that.
    fn max_frame_length(&self) -> Option<u16> {
        None
    }

    /// The Ethernet port that the object is.
    fn port(&self) -> Option<PhysicalPort> {
        None
    }

    /// The channel of the object that queues can lead to.
    fn channel(&self) -> Option<Channel> {
        None
    }

    /// Number of the software portal that the object is.
    fn software_portal(&self) -> Option<u32> {
        None
    }

    /// Number of the hardware pool that the object is.
    fn buffer_pool(&self) -> Option<u16> {
        None
    }

    /// Sets the primary address, in families that have one.
    fn set_mac(&mut self, _address: MacAddr) {}

    /// Whether what the object is to the data plane depends on `other`.
    fn leads_to(&self, _other: ObjectId) -> bool {
        false
    }

    /// Lets go of an object that [is led to](Self::leads_to) and is gone.
    fn forget(&mut self, _gone: ObjectId) {}

    /// Writes what the object is now to the data plane's tables. Called at the
    /// end of each command that may have changed it; takes what it changes back
    /// in [`Family::destroy`].
    ///
    /// `icid` is the isolation id of the container that holds the object.
    fn program(&self, _state: &State, _object: &Object, _icid: u16, _pass: &mut Pass) {}
}

/// The physical side of an Ethernet port.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PhysicalPort {
    /// The link there.
    pub link: LinkState,
    /// Burned-in address.
    pub address: MacAddr,
    /// There is no PHY, whose driver says what was negotiated.
    pub is_fixed: bool,
}

impl PhysicalPort {
    /// The options of the link ([`link_options`](mc_abi::blocks::link_options)) of an interface
    /// that wants these: at a fixed link, with nobody to negotiate with, it gets them.
    pub fn options(&self, wanted: LinkConfig) -> u64 {
        if self.is_fixed { wanted.options } else { self.link.options }
    }
}

/// A channel of queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Channel {
    /// Its number in the queue manager.
    pub number: u32,
    /// How many priorities it has.
    pub priorities: u8,
}

/// A family's functions, for an object whose type is not known.
#[derive(Debug)]
pub(crate) struct Functions {
    pub version: (u16, u16),
    /// Runs one of the family's own commands; `None` where it has none of that
    /// number.
    pub run: fn(&mut State, &Call, u16, &Params) -> Option<Outcome>,
    pub reset: fn(&mut State, u32),
    pub switched: fn(&mut State, u32, bool),
    pub link_changed: fn(&mut State, u32, u16),
    pub moved: fn(&mut State, u32, u32),
    pub connected: fn(&mut State, u32, u16, Option<Endpoint>),
    pub destroy: fn(Box<dyn Body>, &mut State, u32),
}

impl Functions {
    /// Those of a family.
    pub const fn of<F: Family>() -> &'static Self {
        const {
            &Self {
                version: F::VERSION,
                run: run::<F>,
                reset: F::reset,
                switched: F::switched,
                link_changed: F::link_changed,
                moved: F::moved,
                connected: F::connected,
                destroy: destroy::<F>,
            }
        }
    }
}

fn run<F: Family>(state: &mut State, call: &Call, number: u16, params: &Params) -> Option<Outcome> {
    match F::decode(number, call.version, params) {
        Ok(command) => {
            let text = call.traced.then(|| command.words(F::TYPE).to_string());
            Some((text, F::handle(state, call, &command)))
        }
        Err(DecodeError::UnknownCommand { .. }) => None,
        Err(DecodeError::Field { command, error }) => {
            let text = call.traced.then(|| command.to_owned());
            Some((text, Err(Status::ConfigurationError.because(error.to_string()))))
        }
    }
}

fn destroy<F: Family>(body: Box<dyn Body>, state: &mut State, id: u32) {
    let body: Box<dyn Any> = body;
    if let Ok(body) = body.downcast::<F>() {
        body.destroy(state, id);
    }
}
