// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The command line inside the guest.

use clap::{Args, Parser, Subcommand};
use mc_abi::{ObjectId, ObjectType};

/// Programs that run inside the emulated board's Linux.
#[derive(Debug, Parser)]
#[command(name = "fslmc-guest", version)]
pub struct Cli {
    #[command(subcommand)]
    pub program: Program,
}

#[derive(Debug, Subcommand)]
pub enum Program {
    /// Hand a container over to user space and report each step
    Demo(Demo),
    /// List the devices of the fsl-mc bus
    Devices {
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Bind a container to a driver
    Bind {
        /// Container, such as dprc.2
        container: String,
        /// Driver, by its name on the bus
        #[arg(default_value = "vfio-fsl-mc")]
        driver: String,
    },
    /// Return a container to the host's driver
    Release {
        /// Container, such as dprc.2
        container: String,
    },
    /// Load kernel modules from the image, with their dependencies
    Load {
        /// Module names
        #[arg(required = true)]
        modules: Vec<String>,
    },
    /// Record what this board's Management Complex answers, for `fslmc board replay`;
    /// nothing is changed
    Record {
        /// Root container, whose interface /dev/dprc.N is used
        #[arg(long, default_value = "dprc.1")]
        root: ObjectId,
    },
    /// Manage objects through the management interface (/dev/dprc.N)
    Mgmt(Mgmt),
    /// Use a container that is bound to vfio-fsl-mc
    Vfio {
        #[command(subcommand)]
        action: Vfio,
    },
    /// Take containers from Linux, boot a guest of KVM with them, and give them back
    Assign(fslmc_vmm::cli::Assign),
    /// Forward frames between the first two interfaces of a container that is bound to
    /// vfio-fsl-mc; print what happened
    Forward(Forward),
    /// Count how often a client of a software portal has to look before it is answered; fail
    /// where that is more than Linux and DPDK do
    Answers(Answers),
    /// Time frames from one network interface to another of this machine's, until a program
    /// that sleeps has them; print nanoseconds: the minimum and the median, and those of the time
    /// from the store that sends a frame until the kernel handles a software portal's interrupt
    Wake(Wake),
    /// Use a region of an object as memory of a small KVM guest; print the result as JSON
    Kvm(Kvm),
}

#[derive(Debug, Args)]
pub struct Forward {
    /// Container, bound to vfio-fsl-mc
    pub container: String,
    /// Frames to forward
    #[arg(long, default_value_t = 10_000)]
    pub frames: u64,
    /// Seconds after which to end in any case
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// Frames to send at the start, for interfaces that are connected with each other
    #[arg(long, default_value_t = 0)]
    pub first: usize,
}

#[derive(Debug, Args)]
pub struct Answers {
    /// Container, bound to vfio-fsl-mc
    pub container: String,
    /// Management commands and volatile dequeues, by turns
    #[arg(long, default_value_t = 10_000)]
    pub count: u64,
    /// Threads that keep processors busy meanwhile
    #[arg(long, default_value_t = 2)]
    pub busy: usize,
}

#[derive(Debug, Args)]
pub struct Wake {
    /// Network interface that sends, such as eth1
    pub from: String,
    /// Network interface that receives
    pub to: String,
    /// Frames
    #[arg(long, default_value_t = 300)]
    pub count: u32,
}

#[derive(Debug, Args)]
pub struct Kvm {
    /// Container, bound to vfio-fsl-mc
    pub container: String,
    /// Object that has the region, such as dpio.2
    pub object: String,
    /// Index of the region
    #[arg(long, default_value_t = 2)]
    pub region: u32,
    /// Do not attach the guest to VFIO
    #[arg(long)]
    pub unattached: bool,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Use this container instead of creating one
    #[arg(long)]
    pub container: Option<ObjectId>,
    /// Print one JSON value per step instead of text
    #[arg(long)]
    pub json: bool,
    /// Keep the container that was created
    #[arg(long)]
    pub keep: bool,
}

#[derive(Debug, Args)]
pub struct Mgmt {
    /// Root container, whose interface /dev/dprc.N is used
    #[arg(long, default_value = "dprc.1", global = true)]
    pub root: ObjectId,
    #[command(subcommand)]
    pub action: Manage,
}

#[derive(Debug, Subcommand)]
pub enum Manage {
    /// Print the firmware version
    Version,
    /// Time a command; print nanoseconds: the minimum and the median
    Time {
        /// Number of commands
        #[arg(long, default_value_t = 200)]
        count: u32,
    },
    /// List the objects in a container, one JSON value per line
    List {
        #[arg(default_value = "dprc.1")]
        container: ObjectId,
    },
    /// Create an object and print its name
    Create {
        /// Type, such as dpbp; dprc creates a container
        kind: ObjectType,
        /// Container to create it in
        #[arg(long = "in", default_value = "dprc.1")]
        container: ObjectId,
        /// Number of objects
        #[arg(long, default_value_t = 1)]
        count: u32,
        /// Plug it, so that Linux's drivers can bind to it
        #[arg(long)]
        plugged: bool,
    },
    /// Destroy an object
    Destroy {
        object: ObjectId,
        /// Container that it is in
        #[arg(long = "in", default_value = "dprc.1")]
        container: ObjectId,
    },
    /// Create and destroy a plugged object repeatedly, waiting for Linux to see each
    /// change
    Cycle {
        kind: ObjectType,
        #[arg(long = "in", default_value = "dprc.1")]
        container: ObjectId,
        #[arg(long, default_value_t = 100)]
        count: u32,
    },
    /// Move an object to a child container
    Assign {
        object: ObjectId,
        to: ObjectId,
        #[arg(long, default_value = "dprc.1")]
        from: ObjectId,
        #[arg(long)]
        plugged: bool,
    },
    /// Move an object from a child container to its parent
    Unassign {
        object: ObjectId,
        from: ObjectId,
        #[arg(long, default_value = "dprc.1")]
        to: ObjectId,
        #[arg(long)]
        plugged: bool,
    },
    /// Plug an object, so that Linux's drivers can bind to it
    Plug {
        object: ObjectId,
        #[arg(long = "in", default_value = "dprc.1")]
        container: ObjectId,
    },
    /// Unplug an object
    Unplug {
        object: ObjectId,
        #[arg(long = "in", default_value = "dprc.1")]
        container: ObjectId,
    },
    /// Set an object's label
    Label {
        object: ObjectId,
        text: String,
        #[arg(long = "in", default_value = "dprc.1")]
        container: ObjectId,
    },
    /// Lock a child container against changes
    Lock { child: ObjectId },
    /// Unlock a child container
    Unlock { child: ObjectId },
    /// Connect two endpoints, such as dpni.0 and dpmac.1, or dpsw.0:1
    Connect { one: Endpoint, other: Endpoint },
    /// Disconnect an endpoint
    Disconnect { endpoint: Endpoint },
    /// Print the peer of an endpoint
    Connection { endpoint: Endpoint },
    /// Open an object, print its API version, close it
    Open { object: ObjectId },
    /// Print an object's attributes
    Show { object: ObjectId },
    /// Send up to eight raw words (hexadecimal, header first) and print the reply
    Raw {
        #[arg(num_args = 1..=8, required = true, value_parser = hexadecimal)]
        words: Vec<u64>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Vfio {
    /// Print VFIO's information on the container and its objects
    Info {
        container: String,
        /// Print one JSON value per line
        #[arg(long)]
        json: bool,
    },
    /// Hold the container open until standard input ends
    Hold { container: String },
    /// Wait for interrupts of an object; prints a line when ready and one per interrupt
    Irq {
        container: String,
        /// Object that has the interrupt
        object: String,
        /// Index of the interrupt
        #[arg(long, default_value_t = 0)]
        index: u32,
        /// Number of interrupts to wait for
        #[arg(long, default_value_t = 1)]
        count: u64,
        /// Timeout for each interrupt, in seconds
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Events to enable in the object (mask); 0 leaves them unchanged
        #[arg(long, default_value = "0xffffffff", value_parser = hexadecimal_u32)]
        events: u32,
        /// Number of interrupts to trigger by software
        #[arg(long, default_value_t = 0)]
        simulate: u32,
    },
    /// Serve requests on standard input, one per line: memory for DMA, interrupts and
    /// resets of any number of containers
    ///
    /// open CONTAINER, close CONTAINER,
    /// map CONTAINER IOVA SIZE read|write|both WORD, unmap CONTAINER IOVA,
    /// read CONTAINER IOVA OFFSET, count CONTAINER IOVA WORD,
    /// irq OBJECT, no-irq OBJECT, irq-mask OBJECT MASK enabled|disabled, events OBJECT,
    /// wait OBJECT MILLISECONDS, seen OBJECT, reset OBJECT, ask DPMCP, show DPBP.
    /// Numbers are hexadecimal, times decimal.
    Session,
    /// Attach the groups of several containers to one VFIO container, use each, detach the
    /// last one, and use the others again
    Together {
        /// Containers, such as dprc.2
        #[arg(required = true, num_args = 2..)]
        containers: Vec<String>,
    },
    /// Query firmware and container through the container's portal, and a dpmcp's if
    /// there is one
    Command {
        container: String,
        /// Number of commands
        #[arg(long, default_value_t = 1)]
        count: u32,
    },
    /// Reset an object, or the whole container
    Reset {
        container: String,
        /// Object (default: the container itself)
        object: Option<String>,
    },
}

/// An object and its interface: `dpsw.0:2`, or `dpni.3` for the first.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    pub object: ObjectId,
    pub interface: u16,
}

impl std::str::FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (object, interface) = text.split_once(':').unwrap_or((text, "0"));
        Ok(Self {
            object: object.parse().map_err(|error| format!("{error}"))?,
            interface: interface
                .parse()
                .map_err(|_| format!("{interface:?} is not an interface number"))?,
        })
    }
}

pub fn hexadecimal(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16)
        .map_err(|_| format!("{text:?} is not a hexadecimal number of at most 16 digits"))
}

pub fn hexadecimal_u32(text: &str) -> Result<u32, String> {
    u32::try_from(hexadecimal(text)?).map_err(|_| format!("{text:?} has more than 8 digits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn endpoints_have_an_interface() {
        let endpoint: Endpoint = "dpsw.4:2".parse().unwrap();
        assert_eq!((endpoint.object.to_string(), endpoint.interface), ("dpsw.4".to_owned(), 2));
        assert_eq!("dpni.1".parse::<Endpoint>().unwrap().interface, 0);
        assert!("dpni".parse::<Endpoint>().is_err());
        assert!("dpni.1:x".parse::<Endpoint>().is_err());
    }

    #[test]
    fn words_are_hexadecimal() {
        assert_eq!(hexadecimal("0x8311000000010000"), Ok(0x8311_0000_0001_0000));
        assert!(hexadecimal("xyz").is_err());
        assert!(hexadecimal_u32("0x100000000").is_err());
    }
}
