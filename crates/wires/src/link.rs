// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Whether a wire is there, and what its ports hear of it.

use crate::{Receiver, line::Line};
use parking_lot::{Condvar, Mutex};
use std::sync::{Arc, OnceLock, Weak};

/// The state of one wire.
pub struct Link {
    ports: Vec<u32>,
    lines: Vec<Arc<Line>>,
    board: OnceLock<Weak<dyn Receiver>>,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// Nobody has pulled the plug.
    plugged: bool,
    /// There is something at the other end.
    connected: bool,
    /// What the ports know.
    reported: bool,
}

impl Link {
    /// A wire of these ports, whose directions are `lines`. Ports take a wire for
    /// there until they hear otherwise.
    pub fn new(ports: Vec<u32>, lines: Vec<Arc<Line>>, plugged: bool, connected: bool) -> Self {
        let state = Mutex::new(State { plugged, connected, reported: true });
        let link = Self { ports, lines, board: OnceLock::new(), state };
        link.change(|_| ());
        link
    }

    /// The board is there, and gets the state.
    pub fn attach(&self, board: Weak<dyn Receiver>) {
        if self.board.set(board).is_ok() {
            self.change(|_| ());
        }
    }

    /// Pulls the plug, or puts it in again.
    pub fn set_plugged(&self, plugged: bool) {
        self.change(|state| state.plugged = plugged);
    }

    /// Something is at the other end, or is not any more.
    pub fn set_connected(&self, connected: bool) {
        self.change(|state| state.connected = connected);
    }

    /// Whether the plug is in, and whether something is at the other end.
    pub fn state(&self) -> (bool, bool) {
        let state = self.state.lock();
        (state.plugged, state.connected)
    }

    /// The ports of the wire.
    pub fn ports(&self) -> &[u32] {
        &self.ports
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        // Held while the board is notified, so that it hears of changes in order.
        let mut state = self.state.lock();
        change(&mut state);
        let up = state.plugged && state.connected;
        self.lines.iter().for_each(|line| line.set_up(up));
        let board = self.board.get().and_then(Weak::upgrade);
        if let Some(board) = board
            && state.reported != up
        {
            state.reported = up;
            self.ports.iter().for_each(|port| board.set_wire(*port, up));
        }
    }
}

/// Whether the board's own side of a port is up: what a file of frames waits for
/// before it starts.
#[derive(Debug, Default)]
pub struct PortState {
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl PortState {
    pub fn set(&self, up: bool) {
        self.state.lock().0 = up;
        self.changed.notify_all();
    }

    pub fn close(&self) {
        self.state.lock().1 = true;
        self.changed.notify_all();
    }

    /// Waits until the port is up. False where it is over.
    pub fn wait(&self) -> bool {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |(up, closed)| !*up && !*closed);
        !state.1
    }
}
