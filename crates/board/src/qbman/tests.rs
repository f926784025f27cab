// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What drivers do to a portal before the first frame.

use super::*;
use proptest::prelude::*;
use vm_memory::MmapRegion;

const EQCR_PI: u64 = 0x800;
const EQCR_CI: u64 = 0x840;
const DQPI: u64 = 0xa00;
const SDQCR: u64 = 0xb00;
const RCR_PI: u64 = 0xc00;
const RAR: u64 = 0xcc0;
const CFG: u64 = 0xd00;
const ISR: u64 = 0xe00;
const IER: u64 = 0xe40;

fn qbman(portals: u32) -> Qbman {
    let memory = MmapRegion::new(portals as usize * PORTAL_STRIDE as usize).unwrap();
    Qbman::new(portals, Arc::new(memory))
}

fn at(portal: u64, register: u64) -> u64 {
    CI_OFFSET + portal * PORTAL_STRIDE + register
}

fn read(qbman: &Qbman, portal: u64, register: u64) -> u32 {
    let mut bytes = [0xff; 4];
    qbman.read(at(portal, register), &mut bytes);
    u32::from_le_bytes(bytes)
}

fn write(qbman: &Qbman, portal: u64, register: u64, value: u32) {
    qbman.write(at(portal, register), &value.to_le_bytes());
}

#[test]
fn the_set_up_of_linux_and_dpdk_finds_a_portal_after_reset() {
    let qbman = qbman(4);
    // A first run leaves indices behind.
    write(&qbman, 3, EQCR_PI, 0x100 | 0x85);
    write(&qbman, 3, IER, 4);
    qbman.reset_portal(3);

    // The configuration of a memory-backed portal: it must read back non-zero.
    let config = 8 << 20 | 1 << 15 | 1 << 14 | 3 << 12 | 2 << 10 | 2 << 8 | 0xc0 | 0x3c;
    write(&qbman, 3, CFG, config);
    assert_eq!(read(&qbman, 3, CFG), config);
    write(&qbman, 3, EQCR_PI, 0x100);
    write(&qbman, 3, RCR_PI, 0x100);
    assert_eq!(read(&qbman, 3, DQPI) & 0xf, 0);
    write(&qbman, 3, SDQCR, 0);
    let pi = read(&qbman, 3, EQCR_PI);
    assert_eq!((pi & 0x3f, pi & 0x80), (0, 0));
    assert_eq!(read(&qbman, 3, EQCR_CI) & 0x3f, 0);
    write(&qbman, 3, IER, 4);
    write(&qbman, 3, ISR, u32::MAX);
    write(&qbman, 3, SDQCR, 0x21bb_0001);
    assert_eq!((read(&qbman, 3, IER), read(&qbman, 3, ISR)), (4, 0));
    assert_eq!(read(&qbman, 3, SDQCR), 0x21bb_0001);
    // The neighbour has seen nothing of it.
    assert_eq!((read(&qbman, 2, CFG), read(&qbman, 2, SDQCR)), (0, 0));
}

#[test]
fn the_release_ring_has_eight_entries_to_give() {
    let qbman = qbman(1);
    for index in 0..8 {
        assert_eq!(read(&qbman, 0, RAR), 0x180 | index);
    }
    assert_eq!(read(&qbman, 0, RAR), 0, "nothing consumes them");
    qbman.reset_portal(0);
    assert_eq!(read(&qbman, 0, RAR), 0x180);
}

#[test]
fn a_reset_clears_the_memory_of_one_portal() {
    let memory: Arc<dyn PortalMemory> = Arc::new(MmapRegion::new(0x3_0000).unwrap());
    let qbman = Qbman::new(3, memory.clone());
    for edge in [0xffff, 0x1_0000, 0x1_8123, 0x1_ffff, 0x2_0000] {
        memory.write(edge, &[0x5a]);
    }
    qbman.reset_portal(1);
    let mut bytes = vec![0; 0x3_0000];
    memory.read(0, &mut bytes);
    let left: Vec<usize> = (0..bytes.len()).filter(|i| bytes[*i] != 0).collect();
    assert_eq!(left, [0xffff, 0x2_0000]);
}

#[test]
fn commands_leave_the_consumer_where_it_was() {
    let qbman = qbman(1);
    write(&qbman, 0, EQCR_PI, 0x181);
    write(&qbman, 0, 0x900, 0x100);
    assert_eq!(read(&qbman, 0, EQCR_PI), 0x181);
    assert_eq!(read(&qbman, 0, EQCR_CI), 0);
    assert_eq!(read(&qbman, 0, 0x900), 0, "a doorbell reads as zero");
}

#[test]
fn eight_bytes_reach_the_register_of_the_lower_four() {
    let qbman = qbman(1);
    qbman.write(at(0, CFG), &0xffff_ffff_0012_3456_u64.to_le_bytes());
    let mut bytes = [0xff; 8];
    qbman.read(at(0, CFG), &mut bytes);
    assert_eq!(u64::from_le_bytes(bytes), 0x12_3456);
}

#[test]
fn parts_of_registers_unknown_ones_and_absent_portals_are_zero() {
    let qbman = qbman(1);
    write(&qbman, 0, CFG, 0x12_3456);
    let mut bytes = [0xff; 2];
    qbman.read(at(0, CFG), &mut bytes);
    assert_eq!(bytes, [0; 2]);
    assert_eq!(read(&qbman, 0, 0x10), 0);
    assert_eq!(read(&qbman, 1, CFG), 0);
    write(&qbman, 1, CFG, 1);
    qbman.reset_portal(1);
}

proptest! {
    #[test]
    fn no_access_panics_and_reset_forgets_all(
        accesses in prop::collection::vec((0..WINDOW_SIZE + 0x100, any::<[u8; 8]>(), 0usize..=8), 0..64),
        registers in prop::collection::vec((0u64..0x1000, any::<u32>()), 0..64),
    ) {
        let qbman = qbman(64);
        for (offset, data, length) in accesses {
            qbman.write(offset, &data[..length]);
            let mut back = data;
            qbman.read(offset, &mut back[..length]);
        }
        for (register, value) in registers {
            write(&qbman, 7, register & !3, value);
            read(&qbman, 7, register & !3);
        }
        qbman.reset_portal(7);
        let state = qbman.portals[7].lock().registers.clone();
        prop_assert_eq!(state, Registers::default());
    }
}
