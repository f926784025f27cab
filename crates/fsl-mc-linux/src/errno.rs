// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The symbols of error numbers.

pub use rustix::io::Errno;

macro_rules! names {
    ($($variant:ident $name:literal)*) => {
        /// The symbol of an error number, such as `ENODEV`; `None` for one that no call
        /// around the bus answers with.
        pub fn name(errno: Errno) -> Option<&'static str> {
            Some(match errno {
                $(Errno::$variant => $name,)*
                _ => return None,
            })
        }
    };
}

names! {
    PERM "EPERM" NOENT "ENOENT" SRCH "ESRCH" INTR "EINTR" IO "EIO" NXIO "ENXIO"
    TOOBIG "E2BIG" NOEXEC "ENOEXEC" BADF "EBADF" CHILD "ECHILD" AGAIN "EAGAIN"
    NOMEM "ENOMEM" ACCESS "EACCES" FAULT "EFAULT" BUSY "EBUSY" EXIST "EEXIST"
    NODEV "ENODEV" NOTDIR "ENOTDIR" ISDIR "EISDIR" INVAL "EINVAL" MFILE "EMFILE"
    NOTTY "ENOTTY" FBIG "EFBIG" NOSPC "ENOSPC" SPIPE "ESPIPE" ROFS "EROFS" PIPE "EPIPE"
    RANGE "ERANGE" DEADLK "EDEADLK" NOSYS "ENOSYS" PROTO "EPROTO" OVERFLOW "EOVERFLOW"
    BADFD "EBADFD" OPNOTSUPP "EOPNOTSUPP" TIMEDOUT "ETIMEDOUT"
}

/// The symbol, or `errno N`.
pub fn name_or_number(errno: Errno) -> String {
    name(errno).map_or_else(|| format!("errno {}", errno.raw_os_error()), str::to_owned)
}

/// An error of the operating system with its symbol: `ENODEV, No such device`.
pub fn describe(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    match Errno::from_io_error(error) {
        Some(errno) => format!("{}, {text}", name_or_number(errno)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from `include/uapi/asm-generic/errno.h` and `errno-base.h`.
    #[test]
    fn errors_have_symbol_and_text() {
        let error = std::io::Error::from_raw_os_error(19);
        assert_eq!(describe(&error), "ENODEV, No such device");
        let error = std::io::Error::from_raw_os_error(95);
        assert!(describe(&error).starts_with("EOPNOTSUPP, "));
        assert_eq!(name(Errno::from_raw_os_error(77)), Some("EBADFD"));
        assert_eq!(name_or_number(Errno::from_raw_os_error(524)), "errno 524");
        assert_eq!(describe(&std::io::Error::other("neither")), "neither");
    }
}
