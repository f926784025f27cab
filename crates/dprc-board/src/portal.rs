// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Command portals: stores and loads of their registers, as the kernel makes them.

use board::{Board, Window, mc::PORTAL_STRIDE};
use dprc::{Transport, TransportError};
use mc_abi::{Header, Message, Status};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a command may take: what Linux grants its own drivers.
const PATIENCE: Duration = Duration::from_secs(15);

/// A portal, by its number.
pub struct Registers {
    pub board: Arc<Board>,
    pub number: u32,
    /// What has to stay while there is the portal.
    pub _held: Option<Arc<dyn Send + Sync>>,
}

impl Registers {
    fn at(&self, word: u64) -> u64 {
        u64::from(self.number) * PORTAL_STRIDE + 8 * word
    }
}

impl Registers {
    fn wait_for_answer(&self, patience: Duration) -> Result<(), TransportError> {
        let start = Instant::now();
        loop {
            let mut header = [0; 8];
            self.board.read(Window::McPortals, self.at(0), &mut header);
            if Header(u64::from_le_bytes(header)).status() != Status::Ready {
                return Ok(());
            }
            let waited = start.elapsed();
            if waited > patience {
                return Err(TransportError::Silent(waited));
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

/// Without deadlines: Linux's driver of a container's own portal has none, and a program that is
/// tested here is to find that out.
impl Transport for Registers {
    fn exchange(&mut self, command: &Message) -> Result<Message, TransportError> {
        let bytes = command.to_bytes();
        // The first word last: it hands the command over.
        for word in (0..8).rev() {
            let place = 8 * word as usize;
            self.board.write(Window::McPortals, self.at(word), &bytes[place..place + 8]);
        }
        self.wait_for_answer(PATIENCE)?;
        let mut answer = [0; Message::SIZE];
        for (word, bytes) in (0..).zip(answer.chunks_mut(8)) {
            self.board.read(Window::McPortals, self.at(word), bytes);
        }
        Ok(Message::from_bytes(&answer))
    }

    fn settle(&mut self, patience: Duration) -> Result<(), TransportError> {
        self.wait_for_answer(patience)
    }
}
