// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The management interface `/dev/dprc.N`: the root container's portal, shared with
//! the kernel and filtered by it (`drivers/bus/fsl-mc/fsl-mc-uapi.c`).

use crate::error::{Error, Result, refused};
use crate::ioctl;
use crate::portal::{McPortal, Transport, TransportError, message_of, words_of};
use mc_abi::Message;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use std::fs::OpenOptions;

/// An open management interface.
#[derive(Debug)]
pub struct Management {
    file: OwnedFd,
}

impl Management {
    /// Opens the interface of a root container, such as `dprc.1`, as a portal.
    ///
    /// # Errors
    /// When the kernel does not offer it or has no portal left.
    pub fn open(container: &str) -> Result<McPortal> {
        let path = format!("/dev/{container}");
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(|error| {
            refuse_open(path.clone(), Errno::from_io_error(&error).unwrap_or(Errno::IO))
        })?;
        Ok(McPortal::new(path, Self { file: file.into() }))
    }
}

fn refuse_open(path: String, errno: Errno) -> Error {
    refused("open", path, |errno| match errno {
        Errno::NOENT => {
            "Only root containers have this file, and only kernels with FSL_MC_UAPI_SUPPORT"
        }
        Errno::NXIO | Errno::NOMEM | Errno::BUSY => {
            "Each further user takes a dpmcp of the root container, and none is left"
        }
        Errno::ACCESS | Errno::PERM => "Give this user access to the file",
        _ => "",
    })(errno)
}

impl Transport for Management {
    fn exchange(&mut self, command: &Message) -> std::result::Result<Message, TransportError> {
        let mut words = words_of(command);
        match ioctl::send_mc_command(self.file.as_fd(), &mut words) {
            Ok(()) => Ok(message_of(&words)),
            Err(errno) => answer_of(errno, command),
        }
    }
}

/// An errno that Linux uses inside only and lets out here: none that libc has a text
/// for.
const ENOTSUPP: Errno = Errno::from_raw_os_error(524);

/// The kernel turns the status of a failed command into an errno (`mc-sys.c`,
/// `mc_status_to_error`) and drops the answer; the status follows from the errno,
/// except where two share one.
fn answer_of(errno: Errno, command: &Message) -> std::result::Result<Message, TransportError> {
    use mc_abi::Status;
    let status = match errno {
        Errno::PERM => Status::NoPrivilege,
        Errno::NXIO => Status::ConfigurationError,
        Errno::BUSY => Status::Busy,
        Errno::NAVAIL => Status::NoResource,
        Errno::NOMEM => Status::NoMemory,
        ENOTSUPP => Status::UnsupportedOperation,
        Errno::NODEV => Status::InvalidState,
        Errno::IO => Status::DmaError,
        Errno::TIMEDOUT => {
            return Err(TransportError::Kernel(
                errno,
                "The MC has not answered the kernel in time",
            ));
        }
        Errno::ACCESS => {
            return Err(TransportError::Kernel(
                errno,
                "Either the MC answers with an authentication error, or the kernel does not \
                 pass this command on: it has a list, wants a token where one belongs and \
                 nothing behind the parameters it knows (the kernel's log says which)",
            ));
        }
        _ => return Err(TransportError::Kernel(errno, "")),
    };
    let mut answer = *command;
    answer.header = answer.header.with_status(status);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mc_abi::{Params, Status, Token};

    #[test]
    fn an_errno_of_the_kernel_is_the_status_of_the_mc_again() {
        let command = Message::command(0x904, 1, Token(1), Params::ZERO);
        let answer = answer_of(Errno::NAVAIL, &command).unwrap();
        assert_eq!(answer.header.status(), Status::NoResource);
        let answer = answer_of(ENOTSUPP, &command).unwrap();
        let status = answer.header.status();
        assert_eq!(status, Status::UnsupportedOperation);
        assert!(matches!(answer_of(Errno::ACCESS, &command), Err(TransportError::Kernel(..))));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Management::open("dprc.none").unwrap_err().to_string();
        assert!(
            error.contains("/dev/dprc.none") && error.contains("FSL_MC_UAPI_SUPPORT"),
            "{error}"
        );
    }
}
