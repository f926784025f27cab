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
    /// Hand a container to user space, step by step, and report each
    Demo(Demo),
    /// List the devices of the fsl-mc bus
    Devices {
        /// One JSON value instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Give a container to a driver
    Bind {
        /// Such as dprc.2
        container: String,
        /// Name of the driver on the bus
        #[arg(default_value = "vfio-fsl-mc")]
        driver: String,
    },
    /// Give a container back to the host's driver
    Release {
        /// Such as dprc.2
        container: String,
    },
    /// Load kernel modules of the image, with what they need
    Load {
        /// Their names
        #[arg(required = true)]
        modules: Vec<String>,
    },
    /// Drive the Management Complex by the management interface
    Mgmt(Mgmt),
    /// Use a container that is bound to vfio-fsl-mc
    Vfio {
        #[command(subcommand)]
        action: Vfio,
    },
    /// Let a small guest of KVM use a region of an object as memory, and print what
    /// came of it as one JSON value
    Kvm(Kvm),
}

#[derive(Debug, Args)]
pub struct Kvm {
    /// The container that is bound to vfio-fsl-mc
    pub container: String,
    /// The object whose region it is, such as dpio.2
    pub object: String,
    /// Which region
    #[arg(long, default_value_t = 2)]
    pub region: u32,
    /// Do not attach the guest to VFIO
    #[arg(long)]
    pub unattached: bool,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Use this container instead of making one
    #[arg(long)]
    pub container: Option<ObjectId>,
    /// Print one JSON value per step instead of text
    #[arg(long)]
    pub json: bool,
    /// Leave the container that was made
    #[arg(long)]
    pub keep: bool,
}

#[derive(Debug, Args)]
pub struct Mgmt {
    /// The root container, whose interface /dev/dprc.N is used
    #[arg(long, default_value = "dprc.1", global = true)]
    pub root: ObjectId,
    #[command(subcommand)]
    pub action: Manage,
}

#[derive(Debug, Subcommand)]
pub enum Manage {
    /// Print the firmware's version
    Version,
    /// Ask for the version many times; print nanoseconds per command: the least,
    /// the middle one
    Time {
        /// How often
        #[arg(long, default_value_t = 200)]
        count: u32,
    },
    /// Print what is in a container, one JSON value a line
    List {
        #[arg(default_value = "dprc.1")]
        container: ObjectId,
    },
    /// Make an object and print its name
    Create {
        /// Such as dpbp; dprc makes a container
        kind: ObjectType,
        /// Where
        #[arg(long = "in", default_value = "dprc.1")]
        container: ObjectId,
        /// How many
        #[arg(long, default_value_t = 1)]
        count: u32,
        /// Let Linux's drivers have it
        #[arg(long)]
        plugged: bool,
    },
    /// Destroy an object
    Destroy {
        object: ObjectId,
        /// Where it is
        #[arg(long = "in", default_value = "dprc.1")]
        container: ObjectId,
    },
    /// Make and destroy a plugged object again and again, waiting for Linux to see
    /// each change
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
    /// Let Linux's drivers have an object
    Plug {
        object: ObjectId,
        #[arg(long = "in", default_value = "dprc.1")]
        container: ObjectId,
    },
    /// Take an object from Linux's drivers
    Unplug {
        object: ObjectId,
        #[arg(long = "in", default_value = "dprc.1")]
        container: ObjectId,
    },
    /// Give an object a name
    Label {
        object: ObjectId,
        text: String,
        #[arg(long = "in", default_value = "dprc.1")]
        container: ObjectId,
    },
    /// Forbid changes to a child container
    Lock { child: ObjectId },
    /// Allow changes to a child container
    Unlock { child: ObjectId },
    /// Connect two endpoints, such as dpni.0 and dpmac.1, or dpsw.0:1
    Connect { one: Endpoint, other: Endpoint },
    /// Undo a connection
    Disconnect { endpoint: Endpoint },
    /// Print what an endpoint is connected to
    Connection { endpoint: Endpoint },
    /// Open an object, print its family's version, close it
    Open { object: ObjectId },
    /// Print an object's attributes
    Show { object: ObjectId },
    /// Send eight words as they are (hexadecimal, header first) and print the answer
    Raw {
        #[arg(num_args = 1..=8, required = true, value_parser = hexadecimal)]
        words: Vec<u64>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Vfio {
    /// Print what the kernel says of the container and its objects
    Info {
        container: String,
        /// One JSON value a line
        #[arg(long)]
        json: bool,
    },
    /// Hold the container open until standard input ends
    Hold { container: String },
    /// Wait for interrupts of an object; prints a line when ready and one each time
    Irq {
        container: String,
        /// The object whose interrupt is awaited
        object: String,
        /// Which of its interrupts
        #[arg(long, default_value_t = 0)]
        index: u32,
        /// End after so many
        #[arg(long, default_value_t = 1)]
        count: u64,
        /// Give up after so many seconds without one
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// The events to enable in the object; 0 leaves it as it is
        #[arg(long, default_value = "0xffffffff", value_parser = hexadecimal_u32)]
        events: u32,
        /// Let the kernel act as if the interrupt had fired, so many times
        #[arg(long, default_value_t = 0)]
        simulate: u32,
    },
    /// Answer requests on standard input, one a line: memory for DMA, interrupts and
    /// resets of any number of containers
    ///
    /// open CONTAINER, close CONTAINER,
    /// map CONTAINER IOVA SIZE read|write|both WORD, unmap CONTAINER IOVA,
    /// read CONTAINER IOVA OFFSET, count CONTAINER IOVA WORD,
    /// irq OBJECT, no-irq OBJECT, irq-mask OBJECT MASK enabled|disabled, events OBJECT,
    /// wait OBJECT MILLISECONDS, seen OBJECT, reset OBJECT, ask DPMCP, show DPBP.
    /// Numbers are hexadecimal, times decimal.
    Session,
    /// Ask through the container's portal, and a dpmcp if there is one, for firmware
    /// and container
    Command {
        container: String,
        /// How often
        #[arg(long, default_value_t = 1)]
        count: u32,
    },
    /// Reset an object, or the whole container
    Reset {
        container: String,
        /// The container itself when missing
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
                .map_err(|_| format!("{interface:?} is no number of an interface"))?,
        })
    }
}

pub fn hexadecimal(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16)
        .map_err(|_| format!("{text:?} is no hexadecimal number of at most 16 digits"))
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
