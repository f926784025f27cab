// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

//! Commands to a container that the driver sends itself.

use super::Container;
use crate::{
    abstractions::{
        fsl_mc,
        msi::Message, //
    },
    logic::command::{
        self,
        token_of,
        Command, //
    },
    parameters,
    portal::{
        to_error,
        Exclusive, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    }, //
};

impl Container {
    /// Resets an object of the container, or the container.
    pub(crate) fn reset(self: &Arc<Self>, device: &fsl_mc::Device) -> Result {
        if device.is(&self.device) {
            return self.order(|token| self.reset_command(token));
        }
        self.reset_object(device)
    }

    fn reset_command(&self, token: u16) -> Command {
        let device = &self.device;
        let options = command::RESET_NON_RECURSIVE;
        command::reset_container(token, device.id(), options, device.version())
    }

    /// Ends what users have of the container's portal. With `resets`, the container is reset
    /// after their last command.
    pub(crate) fn revoke_portal(&self, resets: bool) {
        self.portal.revoke_after(|mut portal| {
            if resets {
                // Where the machine goes down, nobody is left to do something about a failure.
                let _ = self.with_token_in(&mut portal, |portal, token| {
                    portal.order(&self.reset_command(token))
                });
            }
        });
    }

    fn reset_object(&self, device: &fsl_mc::Device) -> Result {
        let open = command::open(&device.type_name(), device.id()).map_err(to_error)?;
        self.portal.exclusively(|mut portal| {
            let token = token_of(portal.order(&open)?);
            let reset = portal.order(&command::reset(token));
            let close = portal.order(&command::close(token));
            reset.and(close).map(|_| ())
        })
    }

    /// Tells the MC where an interrupt of the container or of an object of it goes.
    pub(crate) fn program_irq(
        &self,
        device: &fsl_mc::Device,
        index: u8,
        message: Message,
        virq: u32,
    ) -> Result {
        // The MC keeps the number and gives it back, no more.
        let number = i32::try_from(virq).unwrap_or(0);
        let Message { address, data } = message;
        if device.is(&self.device) {
            return self.order(|token| command::dprc_set_irq(token, index, address, data, number));
        }
        let (kind, id) = (device.type_name(), device.id());
        self.order(|token| {
            command::dprc_set_obj_irq(token, &kind, id, index, address, data, number)
        })
    }

    /// Sends a command to the container whose answer has no parameters.
    pub(super) fn order(&self, command: impl Fn(u16) -> Command) -> Result {
        self.with_token(|portal, token| portal.order(&command(token)).map(|_| ()))
    }

    /// Sends commands to the container. Where the MC does not know the driver's token, user
    /// space has closed it past the policy, through a portal that it has mapped: then the
    /// container is opened anew.
    pub(super) fn with_token<R>(
        &self,
        f: impl Fn(&mut Exclusive<'_>, u16) -> Result<R>,
    ) -> Result<R> {
        self.portal
            .exclusively(|mut portal| self.with_token_in(&mut portal, f))
    }

    /// The same with the portal held already.
    fn with_token_in<R>(
        &self,
        portal: &mut Exclusive<'_>,
        f: impl Fn(&mut Exclusive<'_>, u16) -> Result<R>,
    ) -> Result<R> {
        let mut token = self.token();
        let mut may_open_again = true;
        loop {
            match f(portal, token) {
                Err(e) if e == EACCES && may_open_again => {}
                result => return result,
            }
            may_open_again = false;
            token = self.open_again(portal)?;
        }
    }

    /// Opens the container that its user has closed. The token that stands for it now.
    #[cold]
    fn open_again(&self, portal: &mut Exclusive<'_>) -> Result<u16> {
        self.counters.reopenings.count();
        if parameters::may_print() {
            dev_warn!(self.dev(), "was closed by its user: it is opened again\n");
        }
        let id = self.id();
        let open = command::open(&id.kind, id.id).map_err(to_error)?;
        let token = token_of(portal.order(&open)?);
        self.token.store(token.into(), Relaxed);
        self.device.set_token(token);
        Ok(token)
    }

    /// Says what went wrong that a user may have brought about, and not too often.
    pub(super) fn warn(&self, result: Result, what: &str) {
        if let Err(e) = result {
            if parameters::may_print() {
                dev_warn!(self.dev(), "{what}: {e:?}\n");
            }
        }
    }
}
