// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What can go wrong: what was asked, of whom, what came back, what to do.

use mc_abi::{FieldError, ObjectType, Status, Token};
use qbman_abi::management::results;
use rustix::io::Errno;
use std::time::Duration;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A request that the kernel, or the Management Complex, did not fulfil.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refuses a system call.
    #[error("{asked} of {of}: {}{}", errno_words(*.errno), advice_words(.advice))]
    Kernel {
        /// What was asked, such as `VFIO_DEVICE_RESET`.
        asked: &'static str,
        /// Of whom: a file or a device.
        of: String,
        /// What came back.
        errno: Errno,
        /// What one can do, if there is something.
        advice: &'static str,
    },
    /// The kernel speaks another version of VFIO.
    #[error("/dev/vfio/vfio has VFIO API version {found}, this program needs {expected}")]
    ApiVersion {
        /// The kernel's.
        found: i32,
        /// This crate's.
        expected: i32,
    },
    /// A device has no IOMMU group.
    #[error(
        "{device} has no IOMMU group ({link}): no IOMMU translates for it. Describe one in the \
         device tree (iommu-map) and boot with its driver"
    )]
    NoGroup {
        /// Name on the bus.
        device: String,
        /// The link in sysfs that is not there.
        link: String,
    },
    /// A device has no file of its own.
    #[error(
        "{device} has no device file ({folder}): the kernel has none at all \
         (CONFIG_VFIO_DEVICE_CDEV), or {device} is not bound to vfio-fsl-mc"
    )]
    NoDeviceFile {
        /// Name on the bus.
        device: String,
        /// The folder in sysfs that names the file.
        folder: String,
    },
    /// A group cannot be used yet.
    #[error(
        "IOMMU group {group} is not viable: a device in it is still bound to a driver other than \
         VFIO's. Bind the whole container to vfio-fsl-mc"
    )]
    NotViable {
        /// Number of the group.
        group: u32,
    },
    /// A device is not on the fsl-mc bus.
    #[error("{device} is not an fsl-mc device: VFIO reports the flags {flags:#x}")]
    NotFslMc {
        /// Name on the bus.
        device: String,
        /// VFIO_DEVICE_FLAGS_*.
        flags: u32,
    },
    /// A region cannot be used in that way.
    #[error("region {index} of {device} {what}")]
    Region {
        /// Name on the bus.
        device: String,
        /// Number of the region.
        index: u32,
        /// What is wrong.
        what: String,
    },
    /// An interrupt of which there is an [`Interrupt`](crate::Interrupt) already.
    #[error("interrupt {index} of {device} signals an eventfd already: drop that one first")]
    InterruptTaken {
        /// Name on the bus.
        device: String,
        /// Number of the interrupt.
        index: u32,
    },
    /// A size or address that is no multiple of a page.
    #[error("{what} {value:#x} is not a positive multiple of the page size {page:#x}")]
    NotPages {
        /// What is to be one.
        what: &'static str,
        /// The value.
        value: u64,
        /// Size of a page in bytes.
        page: u64,
    },
    /// Memory of a guest that this process cannot reach.
    #[error(
        "the guest's memory at {address:#x} has no address in this process: give memory that is \
         mapped"
    )]
    NoHostAddress {
        /// Guest physical address.
        address: u64,
    },
    /// A command to the Management Complex failed.
    #[error(transparent)]
    Portal(#[from] PortalError),
    /// Memory could not be mapped for devices.
    #[error(transparent)]
    Map(#[from] Box<crate::MapError>),
    /// A name that is no container's.
    #[error("{name:?} is not a container: write dprc.N")]
    NoContainer {
        /// The name.
        name: String,
    },
    /// A container lacks an object.
    #[error(
        "{container} has no {kind} left that this program could take ({taken} in use): add one \
         to the container"
    )]
    NoObject {
        /// Name of the container.
        container: String,
        /// Family of the object.
        kind: ObjectType,
        /// How many of them it has.
        taken: usize,
    },
    /// A software portal of a kind that this crate does not drive.
    #[error(
        "{portal} belongs to a queue manager of version {major}.{minor}: those before 4.1 \
         (LS2080A) are not driven"
    )]
    PortalVersion {
        /// Name of the software portal.
        portal: String,
        /// Major version.
        major: u8,
        /// Minor version.
        minor: u8,
    },
    /// A software portal that is not as it is after a reset.
    #[error("{portal} is not ready: {what}. Reset it, and let nobody else use it")]
    PortalState {
        /// Name of the software portal.
        portal: String,
        /// What was found.
        what: String,
    },
    /// A software portal did not answer.
    #[error(
        "{portal} has not answered {command} within {waited:?}; it cannot be used any more: reset \
         it, and open it again"
    )]
    PortalSilent {
        /// Name of the software portal.
        portal: String,
        /// What it was to do.
        command: &'static str,
        /// How long was waited.
        waited: Duration,
    },
    /// A software portal did not answer an earlier command ([`Error::PortalSilent`]).
    #[error(
        "{portal} cannot be used any more: it has not answered {command} in time, and what comes \
         late could be taken for another answer. Reset it, and open it again"
    )]
    PortalLost {
        /// Name of the software portal.
        portal: String,
        /// What it was to do.
        command: &'static str,
    },
    /// A software portal takes no buffers for a pool.
    #[error(
        "the release ring of {portal} has been full for {waited:?}: {left} buffers do not get into \
         the buffer pool {pool}. The portal can be used on: try again, or reset the pool"
    )]
    ReleaseRingFull {
        /// Name of the software portal.
        portal: String,
        /// The pool's number in hardware.
        pool: u16,
        /// How many buffers are left.
        left: usize,
        /// How long the ring has been full.
        waited: Duration,
    },
    /// A software portal refused a management command.
    #[error("{portal} refuses {command} of {of}: result {result:#04x}{}", result_words(*.result))]
    PortalRefused {
        /// Name of the software portal.
        portal: String,
        /// What it was to do.
        command: &'static str,
        /// What the command was about: a queue, a pool, a channel.
        of: String,
        /// The result.
        result: u8,
    },
    /// What a program asks for cannot be.
    #[error("{what} {value} {problem}")]
    Argument {
        /// What is wrong.
        what: &'static str,
        /// Its value.
        value: u64,
        /// Why, and what would be right.
        problem: &'static str,
    },
}

/// A command that the Management Complex did not carry out.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// It answers with a status other than ok.
    #[error(
        "the MC refuses {command} (command {number:#05x} version {version}) for {of} through \
         {portal}: {status}"
    )]
    Refused {
        /// Name of the command.
        command: &'static str,
        /// Its number.
        number: u16,
        /// Its version.
        version: u8,
        /// The object that the token stands for, or `token 0x..`.
        of: String,
        /// The portal.
        portal: String,
        /// What the MC says.
        status: Status,
    },
    /// A field of the reply has no valid value.
    #[error("the MC's reply to {command} through {portal} is malformed: {error}")]
    Malformed {
        /// Name of the command.
        command: &'static str,
        /// The portal.
        portal: String,
        /// Which field.
        error: FieldError,
    },
    /// No answer came.
    #[error(
        "the MC has not answered {command} (command {number:#05x}, token {token:#x}) through \
         {portal} within {waited:?}; the portal is stuck until the MC answers or is reset"
    )]
    Silent {
        /// Name of the command.
        command: &'static str,
        /// Its number.
        number: u16,
        /// Its token.
        token: u16,
        /// The portal.
        portal: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The portal shows the answer to another command.
    #[error(
        "{portal} answers {command} (command {number:#05x} version {version}, token {token:#x}) \
         with an answer to command {answered:#05x} version {answered_version}: somebody else sends \
         commands through it, or it is gone. Give each process a dpmcp of its own"
    )]
    Foreign {
        /// Name of the command.
        command: &'static str,
        /// Its number.
        number: u16,
        /// Its version.
        version: u8,
        /// Its token.
        token: u16,
        /// The portal.
        portal: String,
        /// Number of the command that the answer is to.
        answered: u16,
        /// Its version.
        answered_version: u8,
    },
    /// The kernel, between us and the portal, refuses.
    #[error(
        "the kernel does not pass {command} (command {number:#05x} version {version}, token \
         {token:#x}) on to {portal}: {}{}", errno_words(*.errno), advice_words(.advice)
    )]
    Kernel {
        /// Name of the command.
        command: &'static str,
        /// Its number.
        number: u16,
        /// Its version.
        version: u8,
        /// Its token.
        token: u16,
        /// The portal.
        portal: String,
        /// What came back.
        errno: Errno,
        /// What one can do, if there is something.
        advice: &'static str,
    },
}

impl PortalError {
    /// The status of the MC, if it answered.
    pub fn status(&self) -> Option<Status> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// How a token is called in messages when its object is not known.
pub(crate) fn token_name(token: Token) -> String {
    if token == Token::NONE { "no object".to_owned() } else { format!("token {:#x}", token.0) }
}

pub(crate) fn errno_words(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    text.replace("(os error", "(errno")
}

fn advice_words(advice: &str) -> String {
    if advice.is_empty() { String::new() } else { format!(". {advice}") }
}

fn result_words(result: u8) -> &'static str {
    match result {
        results::BAD_ID => " (there is none of this number for this container)",
        results::BAD_STATE => " (it is not in a state for that)",
        results::BAD_CHANNEL => " (there is no such channel for this container)",
        results::BAD_COMMAND => " (a field is out of range)",
        _ => "",
    }
}

/// Turns a refused system call into an [`Error::Kernel`].
pub(crate) fn refused<'a>(
    asked: &'static str,
    of: impl Into<String> + 'a,
    advice: impl Fn(Errno) -> &'static str + 'a,
) -> impl FnOnce(Errno) -> Error + 'a {
    move |errno| Error::Kernel { asked, of: of.into(), errno, advice: advice(errno) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_error_says_what_whom_why_and_what_to_do() {
        let error =
            refused("VFIO_SET_IOMMU", "/dev/vfio/vfio", |_| "Set the parameter")(Errno::PERM);
        let text = error.to_string();
        assert_eq!(
            text,
            "VFIO_SET_IOMMU of /dev/vfio/vfio: Operation not permitted (errno 1). Set the parameter"
        );
        let text = refused("open", "x", |_| "")(Errno::NOENT).to_string();
        assert!(text.ends_with("(errno 2)"), "{text}");
    }
}
