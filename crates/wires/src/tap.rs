// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A network interface of the machine that the board runs on.

use crate::{error::Problem, stop::Stop};
use rustix::event::PollFlags;
use std::{io, os::fd::AsFd, sync::Arc};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// More than an interface's frame has.
const LONGEST: usize = 0x1_0000;

/// An interface.
pub struct Tap {
    device: SyncDevice,
    stop: Arc<Stop>,
}

impl Tap {
    /// Takes an interface, which is made if there is none of that name.
    pub fn open(name: &str, stop: Arc<Stop>) -> Result<Self, Problem> {
        let device = DeviceBuilder::new()
            .name(name)
            .layer(Layer::L2)
            // Who may use an interface may not always switch it on.
            .inherit_enable_state()
            .build_sync()
            .and_then(|device| device.set_nonblocking(true).map(|()| device))
            .map_err(|source| Problem::Tap { name: name.into(), source })?;
        Ok(Self { device, stop })
    }

    /// Sends a frame. It is lost where the interface is down, or full.
    pub fn send(&self, frame: &[u8]) {
        if let Err(error) = self.device.send(frame) {
            tracing::trace!(%error, "frame lost at a tap interface");
        }
    }

    /// Gives every frame that comes to `arrive`, until it is over.
    pub fn receive(&self, mut arrive: impl FnMut(&[u8])) -> io::Result<()> {
        let mut frame = vec![0; LONGEST];
        while self.stop.ready(self.device.as_fd(), PollFlags::IN)? {
            match self.device.recv(&mut frame) {
                Ok(length) => arrive(frame.get(..length).unwrap_or_default()),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
