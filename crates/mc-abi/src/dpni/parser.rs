// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Programs that extend the hardware's frame parser.

commands! {
    /// Loads a program.
    LoadSwSequence = 0x270, version 1 {
        /// 0 ingress, 1 egress.
        destination: u8 @ 0,
        /// Where to load it, 0x20 to 0x7fd.
        offset: u16 @ 8,
        /// Bytes.
        size: u16 @ 12,
        /// I/O virtual address of the program.
        iova: u64 @ 16,
    } -> ();

    /// Has the interface run a program.
    EnableSwSequence = 0x271, version 1 {
        /// 0 ingress, 1 egress.
        destination: u8 @ 0,
        /// Where the program is.
        offset: u16 @ 8,
        /// After which header it runs.
        header: u16 @ 10,
        /// Parsing starts there.
        set_start: u8 @ 12,
        /// Where its parameters go.
        param_offset: u8 @ 16,
        /// Bytes of parameters.
        param_size: u8 @ 20,
        /// I/O virtual address of the parameters.
        param_iova: u64 @ 24,
    } -> ();

    /// Has the MC write to memory what programs are loaded.
    GetSwSequenceLayout = 0x272, version 1 {
        /// 0 ingress, 1 egress.
        source: u8 @ 0,
        /// I/O virtual address for 264 bytes.
        iova: u64 @ 8,
    } -> ();

    /// Chooses a program that was loaded before start.
    SetSpProfile = 0x27e, version 1 {
        /// Its name.
        profile: [u8; 8] @ 0,
        /// Bit 0 ingress, 1 egress.
        direction: u8 @ 8,
    } -> ();

    /// Switches the chosen program.
    SpEnable = 0x280, version 1 {
        /// Bit 0 ingress, 1 egress.
        direction: u8 @ 0,
        /// On or off.
        enable: u8 @ 1,
    } -> ();
}
