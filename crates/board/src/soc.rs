// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The chips that have a DPAA2, and how they differ.
//!
//! # Sources
//! - "dts": Linux device trees, `arch/arm64/boot/dts/freescale/fsl-lx216x.dtsi`,
//!   `fsl-ls208xa.dtsi`, `fsl-ls2088a.dtsi`, `fsl-ls1088a.dtsi` and the reference
//!   design boards' (`*-rdb.dts`).
//! - "guts": Linux `drivers/soc/fsl/guts.c`; the same numbers as in DPDK's
//!   `fsl_qbman_portal.h` and U-Boot's `arch-fsl-layerscape/soc.h`.
//! - "dpio": Linux `drivers/soc/fsl/dpio/dpio-driver.c`.
//! - "header": `fsl_dpni.h` of MC firmware 10.40.
//! - "layouts": NXP mc-utils `config/`: layouts and configurations of boards.
//! - "board": observed on an LX2160A under firmware 10.39.
//!
//! A figure with none of these is inferred, and the field's documentation says
//! from what.

use crate::mc::{Numbers, PoolSizes};
use mc_abi::{
    ObjectType,
    dpmac::eth_if::{CAUI, QSGMII, RGMII, SGMII, USXGMII, XFI},
    dpseci::GetSecAttributesReply,
};

/// A chip.
#[derive(Debug, Clone, PartialEq)]
pub struct Soc {
    /// As its maker writes it.
    pub name: &'static str,
    /// System version register (guts; the lower half, revision and variant with
    /// cryptography, is that of the last revision that was made).
    pub svr: u32,
    /// Main id register of the cores (dts names the core; revision inferred).
    pub pvr: u32,
    /// Version of the MC's firmware: major, minor, revision (board; the other
    /// chips run the same releases).
    pub firmware: (u32, u32, u32),
    /// Processor cores (dts).
    pub cores: u8,
    /// Number of the first cluster of cores as a stashing destination (dpio).
    pub first_cluster: u8,
    /// Cores that share a cluster and its cache (dpio).
    pub cores_per_cluster: u8,
    /// Version of the queue manager: major in bits 31 to 24, minor in 23 to 16
    /// (drivers compare these; the lower half is not known).
    pub qman_version: u32,
    /// Clock of the queue manager, Hz: the platform clock at a usual setting
    /// (inferred). Linux divides by it.
    pub qman_clock: u32,
    /// The Ethernet MACs by number, from 1 (number: dts; kinds of interface:
    /// those of the reference design board).
    pub macs: &'static [Mac],
    /// Version of the Ethernet engine (WRIOP) in 6, 5 and 5 bits (header).
    pub wriop_version: u16,
    /// Tiles of the programmable I/O processor (AIOP): 1 where layouts have a
    /// `dpaiop`.
    pub aiop_tiles: u32,
    /// The crypto accelerator.
    pub sec: GetSecAttributesReply,
    /// Physical address of the real-time clock's registers (dts).
    pub clock_registers: u32,
    /// Hardware resources.
    pub pools: PoolSizes,
}

/// An Ethernet MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac {
    /// Kind of interface, one of [`mc_abi::dpmac::eth_if`].
    pub interface: u8,
    /// Fastest rate of its SerDes lanes, Mbit/s.
    pub fastest: u32,
}

/// Why a chip cannot have an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// What it lacks.
    pub reason: String,
    /// Who has it.
    pub remedy: String,
}

const fn mac(interface: u8, fastest: u32) -> Mac {
    Mac { interface, fastest }
}

/// SerDes protocols 19 and 5 of an LX2160A-RDB: 40 Gbit/s on MACs 1 and 2,
/// 25 on 5 and 6.
const LX2160A_MACS: &[Mac] = &[
    mac(CAUI, 40_000),
    mac(CAUI, 40_000),
    mac(USXGMII, 25_000),
    mac(USXGMII, 25_000),
    mac(CAUI, 25_000),
    mac(CAUI, 25_000),
    mac(XFI, 25_000),
    mac(XFI, 25_000),
    mac(XFI, 25_000),
    mac(XFI, 25_000),
    mac(XFI, 25_000),
    mac(XFI, 25_000),
    mac(XFI, 25_000),
    mac(XFI, 25_000),
    mac(XFI, 25_000),
    mac(XFI, 25_000),
    mac(RGMII, 1000),
    mac(RGMII, 1000),
];

/// SerDes protocols 0x2a and 0x41 of an LS2088A-RDB; the second has no MAC on
/// that board, and SGMII on the LS2088A-QDS.
const LS2088A_MACS: &[Mac] = &[
    mac(XFI, 10_000),
    mac(XFI, 10_000),
    mac(XFI, 10_000),
    mac(XFI, 10_000),
    mac(XFI, 10_000),
    mac(XFI, 10_000),
    mac(XFI, 10_000),
    mac(XFI, 10_000),
    mac(SGMII, 10_000),
    mac(SGMII, 10_000),
    mac(SGMII, 10_000),
    mac(SGMII, 10_000),
    mac(SGMII, 10_000),
    mac(SGMII, 10_000),
    mac(SGMII, 10_000),
    mac(SGMII, 10_000),
];

/// SerDes protocol 0x1d of an LS1088A-RDB.
const LS1088A_MACS: &[Mac] = &[
    mac(XFI, 10_000),
    mac(XFI, 10_000),
    mac(QSGMII, 1000),
    mac(QSGMII, 1000),
    mac(QSGMII, 1000),
    mac(QSGMII, 1000),
    mac(QSGMII, 1000),
    mac(QSGMII, 1000),
    mac(QSGMII, 1000),
    mac(QSGMII, 1000),
];

/// Identity, revision and era as Linux's `caam` prints them; the numbers of
/// blocks are not known: one of each that clients ask for, and a descriptor
/// controller for each core.
const fn sec(major_rev: u8, minor_rev: u8, era: u8, cores: u8) -> GetSecAttributesReply {
    GetSecAttributesReply {
        ip_id: if era >= 10 { 0x0a12 } else { 0x0a11 },
        major_rev,
        minor_rev,
        era,
        deco_num: cores,
        zuc_auth_acc_num: 1,
        zuc_enc_acc_num: 1,
        snow_f8_acc_num: 1,
        snow_f9_acc_num: 1,
        crc_acc_num: 1,
        pk_acc_num: 1,
        kasumi_acc_num: 1,
        rng_acc_num: 1,
        md_acc_num: 1,
        arc4_acc_num: 1,
        des_acc_num: 1,
        aes_acc_num: 1,
        ccha_acc_num: 1,
        ptha_acc_num: 1,
    }
}

/// Frame queues; number 0 is none.
const FRAME_QUEUES: Numbers = Numbers { first: 1, count: 2047 };

const fn from_zero(count: u32) -> Numbers {
    Numbers { first: 0, count }
}

/// What `restool dprc show mc.global --resources` lists as free on a board whose
/// objects are known (board: `resources` of `models/board/baselines/reference.json`
/// in the ledger at 25979b5), together with what those objects have taken. The
/// comments say how the totals come about. That numbers begin at 0 is on record
/// for buffer pools, that they begin at 2 for software portals, at 1 for the
/// channels of concentrators; the rest is inferred.
const LX2160A_POOLS: PoolSizes = PoolSizes {
    // 203 free beside 52 command portals and the root's.
    mcp: from_zero(256),
    // 49 free beside 16 in use, of which `dpio.0` has portal 2.
    swp: Numbers { first: 2, count: 65 },
    // 63 free beside `dpbp.0`, which has pool 0.
    bp: from_zero(64),
    // 1981 free beside a network interface of 16 queues, which takes 34, and a
    // crypto interface of 16 queues, which takes 32.
    fq: FRAME_QUEUES,
    // 253 free beside a network interface, which takes two.
    cg: Numbers { first: 1, count: 255 },
    qd: Numbers { first: 1, count: 255 },
    // 2045 free beside the network interface's three.
    qpr: from_zero(2048),
    opr: from_zero(256),
    rplr: from_zero(2048),
    // 252 free beside the network interface's one.
    ifp: from_zero(253),
    kp_egress: from_zero(256),
    // 252 free beside the network interface's four.
    kp: from_zero(256),
    // 63 free of each beside the network interface's one.
    prp_egress: from_zero(64),
    prp: from_zero(64),
    // 255 free beside the network interface's one.
    plcy: from_zero(256),
    // 253 free beside the network interface's three.
    plcye: from_zero(256),
    plcr: from_zero(255),
    tcame: from_zero(1024),
    // What the two have free differs by what the network interface has taken,
    // whose port is on the second.
    cqch0: from_zero(32),
    cqch1: from_zero(32),
    dct0: from_zero(1568),
    dct1: from_zero(1568),
    lfqmt0: from_zero(2048),
    lfqmt1: from_zero(2048),
    lni0: from_zero(7),
    lni1: from_zero(7),
    // The 16 concentrators of two priorities have channels 1 to 16: 112 free.
    channel2: CHANNELS.two_wide(CONVERTED_CHANNELS),
    // The 16 software portals have one each: 80 free.
    channel8: CHANNELS.eight_wide(CONVERTED_CHANNELS),
    // Beside `dpni.0`, 17 more could be made, with free numbers left in every
    // listed pool (board: ADR-0011). What runs out is not known; that it is the
    // chip's and not the configuration's is inferred, from its 18 MACs.
    interface: from_zero(18),
    // As many as the two traffic managers have logical frame queues.
    transmit: Numbers { first: FRAME_QUEUES.end(), count: 4096 },
};

/// How many channels of eight work queues a configuration turns into four of two
/// each, where it does not say: as those of the LX2160A's reference boards
/// (layouts), and as the board of the record has it.
pub const CONVERTED_CHANNELS: u32 = 32;

/// The channels of an LX2160A before any is converted: 96 of eight and 32 times
/// four of two (board).
pub const CHANNELS: Channels = Channels { count: 128 };

/// The channels of a queue manager, eight work queues each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// How many.
    pub count: u32,
}

impl Channels {
    /// Those of two work queues where `converted` are turned into four each; they
    /// come first, from 1 (board).
    pub const fn two_wide(&self, converted: u32) -> Numbers {
        Numbers { first: 1, count: 4 * self.at_most(converted) }
    }

    /// The others, behind them (inferred).
    pub const fn eight_wide(&self, converted: u32) -> Numbers {
        let first = self.two_wide(converted).end();
        Numbers { first, count: self.count - self.at_most(converted) }
    }

    const fn at_most(&self, converted: u32) -> u32 {
        if converted < self.count { converted } else { self.count }
    }
}

/// Those of an LX2160A (inferred: no record of another chip was found), with the
/// software portals below number 64, the most that DPDK's `fslmc` bus takes.
const LS_POOLS: PoolSizes = PoolSizes { swp: Numbers { first: 2, count: 62 }, ..LX2160A_POOLS };

impl Soc {
    /// Sixteen Cortex-A72, memory-backed software portals, no AIOP.
    pub const LX2160A: Self = Self {
        name: "LX2160A",
        // Revision 2, with cryptography.
        svr: 0x8736_0020,
        // Cortex-A72 r0p3.
        pvr: 0x410f_d083,
        firmware: (10, 39, 0),
        cores: 16,
        first_cluster: 0,
        cores_per_cluster: 2,
        qman_version: 0x0500_0000,
        qman_clock: 700_000_000,
        macs: LX2160A_MACS,
        wriop_version: 0x0c00,
        aiop_tiles: 0,
        sec: sec(7, 0, 10, 16),
        clock_registers: 0x08b9_5000,
        pools: LX2160A_POOLS,
    };

    /// Eight Cortex-A72, software portals in direct mode, an AIOP.
    pub const LS2088A: Self = Self {
        name: "LS2088A",
        // Revision 1.1, with cryptography.
        svr: 0x8709_0011,
        // Cortex-A72 r0p2.
        pvr: 0x410f_d082,
        cores: 8,
        qman_version: 0x0401_0000,
        qman_clock: 800_000_000,
        macs: LS2088A_MACS,
        wriop_version: 0x0421,
        aiop_tiles: 1,
        sec: sec(3, 1, 8, 8),
        pools: LS_POOLS,
        ..Self::LX2160A
    };

    /// Eight Cortex-A53, software portals in direct mode, an AIOP.
    pub const LS1088A: Self = Self {
        name: "LS1088A",
        // Revision 1.0, with cryptography.
        svr: 0x8703_0010,
        // Cortex-A53 r0p4.
        pvr: 0x410f_d034,
        first_cluster: 2,
        cores_per_cluster: 4,
        qman_clock: 700_000_000,
        macs: LS1088A_MACS,
        wriop_version: 0x0422,
        ..Self::LS2088A
    };

    /// The chips, the usual one first.
    pub const ALL: [Self; 3] = [Self::LX2160A, Self::LS2088A, Self::LS1088A];

    /// The chip of a name, in any case.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|soc| soc.name.eq_ignore_ascii_case(name))
    }

    /// Whether its software portals have a third area that is plain memory: from
    /// queue manager 5.0 on. Before, software writes to the cache-enabled area
    /// (direct mode).
    pub const fn has_memory_backed_portals(&self) -> bool {
        self.qman_version >= 0x0500_0000
    }

    /// The MAC of a number, from 1.
    pub fn mac(&self, number: u32) -> Option<&'static Mac> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.macs.get(index)
    }

    /// The stashing destination next to a core; `None` for a core that it does
    /// not have.
    pub fn stashing_destination(&self, core: u8) -> Option<u8> {
        (core < self.cores).then(|| self.first_cluster + core / self.cores_per_cluster)
    }

    /// Why the chip cannot have the object `id` of a family; `None` where it can.
    pub fn lack(&self, kind: ObjectType, id: u32) -> Option<Lack> {
        match kind {
            ObjectType::Dpaiop => self.lack_of("AIOP", |soc| soc.aiop_tiles > 0),
            ObjectType::Dpmac => self.lack_of(&format!("MAC {id}"), |soc| soc.mac(id).is_some()),
            _ => None,
        }
    }

    fn lack_of(&self, what: &str, has: impl Fn(&Self) -> bool) -> Option<Lack> {
        if has(self) {
            return None;
        }
        let others: Vec<_> = Self::ALL.iter().filter(|soc| has(soc)).map(|soc| soc.name).collect();
        let remedy = if others.is_empty() {
            "remove it: no chip has it".to_owned()
        } else {
            format!("remove it, or choose a chip that has it: {}", others.join(", "))
        };
        Some(Lack { reason: format!("the {} has no {what}", self.name), remedy })
    }
}

impl Default for Soc {
    /// The [LX2160A](Self::LX2160A).
    fn default() -> Self {
        Self::LX2160A
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DPDK picks the region by the upper half of the SVR, and the mode by the
    /// queue manager's version: the two must agree (`dpaa2_hw_dpio.c`,
    /// `qbman_portal.c`).
    #[test]
    fn dpdk_picks_the_mode_that_the_portals_have() {
        for soc in Soc::ALL {
            let lx2160a = soc.svr & 0xffff_0000 == 0x8736_0000;
            assert_eq!(soc.has_memory_backed_portals(), lx2160a, "{}", soc.name);
        }
    }

    /// What Linux writes with `DPIO_SET_STASHING_DEST` on each
    /// (`dpaa2_dpio_get_cluster_sdest`).
    #[test]
    fn cores_stash_into_the_cluster_that_linux_names() {
        let last = |soc: Soc| soc.stashing_destination(soc.cores - 1);
        assert_eq!(last(Soc::LX2160A), Some(7));
        assert_eq!(last(Soc::LS2088A), Some(3));
        assert_eq!(last(Soc::LS1088A), Some(3));
        assert_eq!(Soc::LS1088A.stashing_destination(0), Some(2));
        assert_eq!(Soc::LS1088A.stashing_destination(8), None);
    }

    #[test]
    fn a_lack_names_the_chips_that_have_it() {
        let lack = |soc: Soc, kind, id| soc.lack(kind, id).map(|lack| (lack.reason, lack.remedy));
        let lacks = |reason: &str, remedy: &str| Some((reason.to_owned(), remedy.to_owned()));
        assert_eq!(
            lack(Soc::LX2160A, ObjectType::Dpaiop, 0),
            lacks(
                "the LX2160A has no AIOP",
                "remove it, or choose a chip that has it: LS2088A, LS1088A"
            )
        );
        assert_eq!(
            lack(Soc::LS1088A, ObjectType::Dpmac, 17),
            lacks("the LS1088A has no MAC 17", "remove it, or choose a chip that has it: LX2160A")
        );
        assert_eq!(
            lack(Soc::LS2088A, ObjectType::Dpmac, 0),
            lacks("the LS2088A has no MAC 0", "remove it: no chip has it")
        );
        assert_eq!(Soc::LS2088A.lack(ObjectType::Dpmac, 16), None);
        assert_eq!(Soc::LS2088A.lack(ObjectType::Dpaiop, 0), None);
        assert_eq!(Soc::LX2160A.lack(ObjectType::Dpni, 99), None);
    }

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(Soc::find("ls1088a"), Some(Soc::LS1088A));
        assert_eq!(Soc::find("LX2160A"), Some(Soc::default()));
        assert_eq!(Soc::find("ls1043a"), None);
    }
}
