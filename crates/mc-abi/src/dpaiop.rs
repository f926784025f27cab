// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The programmable I/O processor (AIOP). Layouts: `fsl_dpaiop_cmd.h` of MC
//! 10.40.

pub use crate::common::Created;

commands! {
    /// Makes a processor tile.
    Create = 0x90a, version 1 {
        /// Which tile.
        aiop_id: u32 @ 0,
        /// Number of the container whose objects its program uses.
        aiop_container_id: u32 @ 4,
    } -> Created;

    /// Asks for the tile's identity.
    GetAttributes = 0x004, version 1 {} -> GetAttributesReply {
        /// Which tile.
        id: u32 @ 0,
    };

    /// Loads a program.
    Load = 0x280, version 1 {
        /// Bytes of the image.
        img_size: u32 @ 0,
        /// I/O virtual address of the image, an ELF file.
        img_iova: u64 @ 8,
        /// None is defined.
        options: u64 @ 16,
    } -> ();

    /// Starts the program.
    Run = 0x281, version 1 {
        /// Bytes of the arguments.
        args_size: u32 @ 4,
        /// Cores to start, the first in the highest bit.
        cores_mask: u64 @ 8,
        /// Bit 0: debug.
        options: u64 @ 16,
        /// I/O virtual address of the arguments.
        args_iova: u64 @ 24,
    } -> ();

    /// Asks for the version of the program's service layer.
    GetSlVersion = 0x282, version 1 {} -> GetSlVersionReply {
        /// Major.
        major: u32 @ 0,
        /// Minor.
        minor: u32 @ 4,
        /// Revision.
        revision: u32 @ 8,
    };

    /// Asks what the tile does.
    GetState = 0x283, version 1 {} -> GetStateReply {
        /// 0: reset, 1: being reset, 2: loaded, 4: loading, 8: load failed,
        /// 0x10: starting, 0x20: start failed, 0x40: running.
        state: u32 @ 0,
    };

    /// Sets the tile's clock.
    SetTimeOfDay = 0x284, version 1 {
        /// Milliseconds since the epoch.
        time_of_day: u64 @ 0,
    } -> ();

    /// Asks for the tile's clock.
    GetTimeOfDay = 0x285, version 1 {} -> GetTimeOfDayReply {
        /// Milliseconds since the epoch.
        time_of_day: u64 @ 0,
    };

    /// Chooses whether a reset of the container resets the tile.
    SetResetable = 0x286, version 1 {
        /// 0: no, 1: yes.
        resetable: u8 @ 0,
    } -> ();

    /// Asks for what [`SetResetable`] chose.
    GetResetable = 0x287, version 1 {} -> GetResetableReply {
        /// 0: no, 1: yes.
        resetable: u8 @ 0,
    };
}
