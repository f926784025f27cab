// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Which of the guest's interrupts is which message: the table of routes, of which this is the
//! only writer.
#![cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]

use dprc_assign::Msi;
use std::collections::BTreeMap;
use vmm_sys_util::errno::Error;
use vmm_sys_util::eventfd::EventFd;

/// Numbers of lines that are messages start behind those of the interrupt controller.
const FIRST_MESSAGE: u32 = 1024;

/// A message with the device that sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub msi: Msi,
    /// Who sends it, as the guest's interrupt controller knows it.
    pub device: u32,
}

/// What has the table.
pub trait Switchboard {
    /// Sets which message each line is; all others are none.
    ///
    /// # Errors
    /// The kernel's.
    fn set(&self, messages: &BTreeMap<u32, Message>) -> Result<(), Error>;

    /// Lets an event raise a line.
    ///
    /// # Errors
    /// The kernel's.
    fn listen(&self, events: &EventFd, line: u32) -> Result<(), Error>;

    /// Undoes that.
    ///
    /// # Errors
    /// The kernel's.
    fn leave(&self, events: &EventFd, line: u32) -> Result<(), Error>;
}

/// The call that has failed, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub call: &'static str,
    pub error: Error,
}

impl Refusal {
    pub const fn of(call: &'static str) -> impl Fn(Error) -> Self {
        move |error| Self { call, error }
    }
}

/// The table.
pub struct Routes<S> {
    pub switchboard: S,
    messages: BTreeMap<u32, Message>,
}

impl<S: Switchboard> Routes<S> {
    /// A table without messages.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(switchboard: S) -> Result<Self, Error> {
        let routes = Self { switchboard, messages: BTreeMap::new() };
        routes.switchboard.set(&routes.messages)?;
        Ok(routes)
    }

    /// Connects an eventfd with a message; again, with another one, where `known` is the line
    /// that it has. Gives the line's number.
    ///
    /// # Errors
    /// [`Refusal`]; all is as before.
    pub fn connect(
        &mut self,
        known: Option<u32>,
        events: &EventFd,
        message: Message,
    ) -> Result<u32, Refusal> {
        let free = || (FIRST_MESSAGE..).find(|line| !self.messages.contains_key(line));
        let line = known.or_else(free).unwrap_or(FIRST_MESSAGE);
        let before = self.messages.insert(line, message);
        let set = self.switchboard.set(&self.messages).map_err(Refusal::of("KVM_SET_GSI_ROUTING"));
        let done = set.and_then(|()| match before {
            None => self.switchboard.listen(events, line).map_err(Refusal::of("KVM_IRQFD")),
            Some(_) => Ok(()),
        });
        if done.is_err() {
            match before {
                Some(before) => self.messages.insert(line, before),
                None => self.messages.remove(&line),
            };
            // What is refused once more is what has been refused already; and a route without an
            // event does no harm.
            let _ = self.switchboard.set(&self.messages);
        }
        done.map(|()| line)
    }

    /// Undoes a connection.
    pub fn disconnect(&mut self, line: u32, events: &EventFd) {
        if self.messages.remove(&line).is_some() {
            // The guest may be gone; and a route too many does no harm.
            let _ = self.switchboard.leave(events, line);
            let _ = self.switchboard.set(&self.messages);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    /// A kernel that refuses what it is told to.
    #[derive(Default)]
    struct Kvm {
        table: RefCell<BTreeMap<u32, Message>>,
        listened: RefCell<Vec<u32>>,
        refuses_set: Cell<bool>,
        refuses_listen: Cell<bool>,
    }

    fn refused(is: &Cell<bool>) -> Result<(), Error> {
        if is.take() { Err(Error::new(libc::ENOMEM)) } else { Ok(()) }
    }

    impl Switchboard for &Kvm {
        fn set(&self, messages: &BTreeMap<u32, Message>) -> Result<(), Error> {
            refused(&self.refuses_set)?;
            self.table.replace(messages.clone());
            Ok(())
        }

        fn listen(&self, _: &EventFd, line: u32) -> Result<(), Error> {
            refused(&self.refuses_listen)?;
            self.listened.borrow_mut().push(line);
            Ok(())
        }

        fn leave(&self, _: &EventFd, line: u32) -> Result<(), Error> {
            self.listened.borrow_mut().retain(|listened| *listened != line);
            Ok(())
        }
    }

    const fn message(data: u32) -> Message {
        Message { msi: Msi { address: 0x808_0040, data }, device: 1 }
    }

    #[test]
    fn what_is_refused_leaves_all_as_it_was() {
        let (kvm, events) = (Kvm::default(), EventFd::new(0).unwrap());
        let mut routes = Routes::new(&kvm).unwrap();
        let line = routes.connect(None, &events, message(1)).unwrap();
        let before = BTreeMap::from([(line, message(1))]);
        kvm.refuses_set.set(true);
        let refusal = routes.connect(Some(line), &events, message(2)).unwrap_err();
        assert_eq!(refusal.call, "KVM_SET_GSI_ROUTING");
        assert_eq!((&*kvm.table.borrow(), &routes.messages), (&before, &before));
        kvm.refuses_listen.set(true);
        let refusal = routes.connect(None, &events, message(3)).unwrap_err();
        assert_eq!(refusal.call, "KVM_IRQFD");
        assert_eq!((&*kvm.table.borrow(), &routes.messages), (&before, &before));
        assert_eq!(*kvm.listened.borrow(), [line]);

        routes.connect(Some(line), &events, message(2)).unwrap();
        assert_eq!(kvm.table.borrow()[&line], message(2));
        let second = routes.connect(None, &events, message(3)).unwrap();
        assert_ne!(second, line);
        routes.disconnect(line, &events);
        assert_eq!(*kvm.listened.borrow(), [second]);
        assert_eq!(*kvm.table.borrow(), BTreeMap::from([(second, message(3))]));
    }
}
