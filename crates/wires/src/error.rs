// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Why a wire cannot be plugged in.

use std::{io, path::PathBuf};

/// A wire that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("the wire of dpmac.{port}: {problem}")]
pub struct WireError {
    /// Its port.
    pub port: u32,
    /// What is wrong.
    #[source]
    pub problem: Problem,
}

/// What is wrong with a wire.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The port has one already.
    #[error("the port has another wire: a port takes one")]
    PortTaken,
    /// Nobody wants it any more.
    #[error("it was stopped")]
    Stopped,
    /// Frames go to one file.
    #[error("it is captured already: its frames go to one file")]
    CapturedTwice,
    /// A file of frames cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file of frames that another wire or capture uses, of this board or another.
    #[error("{} is in use by another wire or capture: give each a file of its own", path.display())]
    FileInUse {
        /// The file.
        path: PathBuf,
    },
    /// A file of frames cannot be made.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Frames of something else.
    #[error("{} has frames of {link}, not of Ethernet", path.display())]
    NotEthernet {
        /// The file.
        path: PathBuf,
        /// What it has.
        link: String,
    },
    /// Nobody to connect to.
    #[error("cannot connect to {place}: {source}{}", connect_advice(source))]
    Connect {
        /// The socket.
        place: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nowhere to listen.
    #[error("cannot listen at {place}: {source}")]
    Listen {
        /// The socket.
        place: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No network interface.
    #[error("cannot use the network interface {name}: {source}{}", tap_advice(source, name))]
    Tap {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program of a user-space network.
    #[error("no user-space network: {0}")]
    User(String),
    /// The operating system has no more.
    #[error("{what}: {source}")]
    System {
        /// What was to be had.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn connect_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
            "; the side with \"listen\" has to be started first"
        }
        io::ErrorKind::TimedOut => "; nothing answers there: is a firewall in the way?",
        _ => "",
    }
}

fn tap_advice(error: &io::Error, name: &str) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "; an administrator can make it for you: ip tuntap add dev {name} mode tap user $USER"
        ),
        io::ErrorKind::ResourceBusy => "; another program has it".into(),
        io::ErrorKind::NotFound => "; this system has no /dev/net/tun".into(),
        _ => String::new(),
    }
}
