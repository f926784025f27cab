// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! MACsec: encryption between Ethernet stations (since MC 10.39). A secure
//! channel is named by its identifier (SCI), an association by its number.

commands! {
    /// Asks whether the port behind the interface can encrypt.
    IsMacsecCapable = 0x2a0, version 1 {} -> IsMacsecCapableReply {
        /// It can.
        capable: bool @ 0 bits 0..1,
    };

    /// Makes a security entity.
    AddSecy = 0x2a1, version 1 {
        /// Identifier of its transmit channel.
        tx_sci: u64 @ 0,
        /// 0 128 bits, 1 256 bits.
        cipher_suite: u8 @ 8 bits 0..1,
        /// Encrypt, not only authenticate.
        confidentiality: bool @ 8 bits 1..2,
        /// There are two stations only: no identifier in frames.
        point_to_point: bool @ 8 bits 2..3,
        /// 0 none, 1 check, 2 strict.
        validation: u8 @ 8 bits 3..5,
        /// Leading bytes that stay readable.
        confidentiality_offset: u8 @ 9,
        /// Most receive channels.
        max_rx_channels: u8 @ 10,
    } -> AddSecyReply {
        /// Number of the entity.
        secy: u8 @ 0,
    };

    /// Removes a security entity.
    RemoveSecy = 0x2a2, version 1 {
        /// Number of the entity.
        secy: u8 @ 0,
    } -> ();

    /// Switches a security entity.
    SecySetState = 0x2a3, version 1 {
        /// Number of the entity.
        secy: u8 @ 0,
        /// On or off.
        active: bool @ 1 bits 0..1,
    } -> ();

    /// Switches the protection of what is sent.
    SecySetTxProtection = 0x2a4, version 1 {
        /// Number of the entity.
        secy: u8 @ 0,
        /// On or off.
        protect: bool @ 1 bits 0..1,
    } -> ();

    /// Sets up protection against repeated frames.
    SecySetReplayProtection = 0x2a5, version 1 {
        /// Number of the entity.
        secy: u8 @ 0,
        /// On or off.
        enable: bool @ 1 bits 0..1,
        /// How late a frame may be, in frames.
        window: u32 @ 4,
    } -> ();

    /// Adds an association to send with.
    SecyAddTxSa = 0x2a6, version 1 {
        /// Key.
        key: [u8; 32] @ 0,
        /// Next packet number.
        next_pn: u32 @ 32,
        /// Number of the entity.
        secy: u8 @ 36,
        /// Number of the association, 0 to 3.
        association: u8 @ 37,
    } -> ();

    /// Removes an association to send with.
    SecyRemoveTxSa = 0x2a7, version 1 {
        /// Number of the entity.
        secy: u8 @ 0,
        /// Number of the association.
        association: u8 @ 1,
    } -> ();

    /// Chooses the association to send with.
    SecySetActiveTxSa = 0x2a8, version 1 {
        /// Number of the entity.
        secy: u8 @ 0,
        /// Number of the association.
        association: u8 @ 1,
    } -> ();

    /// Adds a receive channel.
    SecyAddRxSc = 0x2a9, version 1 {
        /// Number of the entity.
        secy: u8 @ 0,
        /// Identifier of the channel.
        sci: u64 @ 8,
    } -> ();

    /// Removes a receive channel.
    SecyRemoveRxSc = 0x2aa, version 1 {
        /// Number of the entity.
        secy: u8 @ 0,
        /// Identifier of the channel.
        sci: u64 @ 8,
    } -> ();

    /// Switches a receive channel.
    SecySetRxScState = 0x2ab, version 1 {
        /// Number of the entity.
        secy: u8 @ 0,
        /// On or off.
        enable: u8 @ 1,
        /// Identifier of the channel.
        sci: u64 @ 8,
    } -> ();

    /// Adds an association to receive with.
    SecyAddRxSa = 0x2ac, version 1 {
        /// Key.
        key: [u8; 32] @ 0,
        /// Lowest packet number allowed.
        lowest_pn: u32 @ 32,
        /// Number of the entity.
        secy: u8 @ 36,
        /// Number of the association, 0 to 3.
        association: u8 @ 37,
        /// Identifier of the channel.
        sci: u64 @ 40,
    } -> ();

    /// Removes an association to receive with.
    SecyRemoveRxSa = 0x2ad, version 1 {
        /// Number of the entity.
        secy: u8 @ 0,
        /// Number of the association.
        association: u8 @ 1,
        /// Identifier of the channel.
        sci: u64 @ 8,
    } -> ();

    /// Sets the packet number that an association expects.
    SecySetRxSaNextPn = 0x2ae, version 1 {
        /// Number of the entity.
        secy: u8 @ 0,
        /// Number of the association.
        association: u8 @ 1,
        /// The packet number.
        next_pn: u32 @ 4,
        /// Identifier of the channel.
        sci: u64 @ 8,
    } -> ();

    /// Switches an association to receive with.
    SecySetRxSaState = 0x2af, version 1 {
        /// Number of the entity.
        secy: u8 @ 0,
        /// Number of the association.
        association: u8 @ 1,
        /// On or off.
        enable: u8 @ 2,
        /// Identifier of the channel.
        sci: u64 @ 8,
    } -> ();

    /// Asks for counters of a security entity.
    SecyGetStats = 0x2b0, version 1 {
        /// Number of the entity.
        secy: u8 @ 0,
        /// Which seven.
        page: u8 @ 1,
    } -> SecyGetStatsReply {
        /// The counters.
        counters: [u64; 7] @ 0,
    };

    /// Asks for counters of a transmit channel.
    SecyGetTxScStats = 0x2b1, version 1 {
        /// Number of the entity.
        secy: u8 @ 0,
    } -> SecyGetTxScStatsReply {
        /// The counters.
        counters: [u64; 7] @ 0,
    };

    /// Asks for counters of an association to send with.
    SecyGetTxSaStats = 0x2b2, version 1 {
        /// Number of the entity.
        secy: u8 @ 0,
        /// Number of the association.
        association: u8 @ 1,
    } -> SecyGetTxSaStatsReply {
        /// The counters.
        counters: [u32; 14] @ 0,
    };

    /// Asks for counters of a receive channel.
    SecyGetRxScStats = 0x2b3, version 1 {
        /// Number of the entity.
        secy: u8 @ 0,
        /// Which seven.
        page: u8 @ 1,
        /// Identifier of the channel.
        sci: u64 @ 8,
    } -> SecyGetRxScStatsReply {
        /// The counters.
        counters: [u64; 7] @ 0,
    };

    /// Asks for counters of an association to receive with.
    SecyGetRxSaStats = 0x2b4, version 1 {
        /// Number of the entity.
        secy: u8 @ 0,
        /// Number of the association.
        association: u8 @ 1,
        /// Identifier of the channel.
        sci: u64 @ 8,
    } -> SecyGetRxSaStatsReply {
        /// The counters.
        counters: [u32; 14] @ 0,
    };

    /// Asks for counters of the port's encryption.
    GetMacsecStats = 0x2b5, version 1 {} -> GetMacsecStatsReply {
        /// The counters.
        counters: [u32; 14] @ 0,
    };
}
