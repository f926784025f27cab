// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Frames: how they lie in buffers, what the hardware checks and computes,
//! how long they may be.

use crate::blocks::BufferLayout;

commands! {
    /// Says what happens to frames with errors.
    SetErrorsBehavior = 0x20b, version 1 {
        /// The errors meant, bits of `DPNI_ERROR_*`.
        errors: u32 @ 0,
        /// 0 discard, 1 continue, 2 to the error queue.
        action: u8 @ 4 bits 0..4,
        /// Mark the error in the frame's annotation.
        annotate: bool @ 4 bits 4..5,
    } -> ();

    /// Asks how many bytes of a buffer lie before the data of a frame to be
    /// sent.
    GetTxDataOffset = 0x212, version 1 {} -> GetTxDataOffsetReply {
        /// Bytes.
        offset: u16 @ 0,
    };

    /// Sets the longest frame that is received.
    SetMaxFrameLength = 0x216, version 1 {
        /// Bytes, without the check sequence.
        length: u16 @ 0,
    } -> ();

    /// Asks for the longest frame that is received.
    GetMaxFrameLength = 0x217, version 1 {} -> GetMaxFrameLengthReply {
        /// Bytes.
        length: u16 @ 0,
    };

    /// Asks how frames lie in buffers.
    GetBufferLayout = 0x264, version 2 {
        /// One of [`queue_type`](super::queue_type), not `RX_ERR`.
        queue_type: u8 @ 0,
    } -> GetBufferLayoutReply {
        /// The layout.
        layout: BufferLayout @ 0,
    };

    /// Sets how frames lie in buffers.
    SetBufferLayout = 0x265, version 2 {
        /// One of [`queue_type`](super::queue_type), not `RX_ERR`.
        queue_type: u8 @ 0,
        /// Bits of [`layout_options`](super::layout_options): what changes.
        options: u16 @ 4 named super::layout_options::NAMES,
        /// The layout.
        layout: BufferLayout @ 0,
    } -> ();

    /// Asks for a setting of [`SetOffload`].
    GetOffload = 0x26b, version 2 {
        /// Which one.
        offload: u8 @ 3,
    } -> GetOffloadReply {
        /// Its value.
        config: u32 @ 4,
    };

    /// Sets what the hardware does for software.
    SetOffload = 0x26c, version 2 {
        /// 0 check L3 sums of what is received, 1 L4 sums, 2 compute L3 sums of
        /// what is sent, 3 L4 sums, 4 the flow context carries the hash, 5
        /// stash headers, 6 stash payload.
        offload: u8 @ 3,
        /// 0 off, 1 on.
        config: u32 @ 4,
    } -> ();

    /// Adds an Ethernet type by which VLAN tags are recognised.
    AddCustomTpid = 0x275, version 1 {
        /// The type.
        tpid: u16 @ 2,
    } -> ();

    /// Removes what [`AddCustomTpid`] added.
    RemoveCustomTpid = 0x276, version 1 {
        /// The type.
        tpid: u16 @ 2,
    } -> ();

    /// Asks for the types that [`AddCustomTpid`] added.
    GetCustomTpid = 0x277, version 1 {} -> GetCustomTpidReply {
        /// The first; 0: none.
        tpid1: u16 @ 0,
        /// The second; 0: none.
        tpid2: u16 @ 2,
    };
}
