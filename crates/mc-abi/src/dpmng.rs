// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The Management Complex itself: commands that address no object and carry no
//! token. Layouts: `fsl_dpmng_cmd.h` and, for the container's number,
//! `fsl_dprc_cmd.h` of MC 10.40.

commands! {
    /// Asks for the number of the container that the portal belongs to.
    GetContainerId = 0x830, version 1 {} -> GetContainerIdReply {
        /// Number of the container.
        id: u32 @ 0,
    };

    /// Asks for the version of the firmware.
    GetVersion = 0x831, version 1 {} -> GetVersionReply {
        /// Changes with each build.
        revision: u32 @ 0,
        /// Changes when old clients break.
        major: u32 @ 4,
        /// Changes when something is added.
        minor: u32 @ 8,
    };

    /// Asks for the chip.
    GetSocVersion = 0x832, version 1 {} -> GetSocVersionReply {
        /// System version register: which chip of the family.
        svr: u32 @ 0,
        /// Processor version register.
        pvr: u32 @ 4,
    };
}
