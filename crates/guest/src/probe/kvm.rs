// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The smallest VMM that answers one question: can a guest of KVM use a region of a
//! DPAA2 object as the memory that it is for?
//!
//! A memory-backed QBMan portal is memory to its driver: it is cleared by cache
//! lines, and filled by stores of any alignment. KVM takes such a region for a
//! memory slot only as the kernel's mapping of it allows
//! (Linux `arch/arm64/kvm/mmu.c`), so that the driver decides.
//!
//! The guest has one processor, [`RAM`] for its program and tables, the region as a
//! memory slot at [`REGION`], and nothing behind [`REPORTS`]: each store there is an
//! exit that carries a word.
#![allow(unsafe_code)]

use super::bus::print_json;
use crate::cli;
use dprc::{AssignedContainer, DmaBuffer, MappedRegion};
use fsl_mc_linux::errno::describe;
use guest_agent::Failure;
use kvm_bindings::{
    KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD, KVM_REG_ARM_CORE, KVM_REG_ARM64,
    KVM_REG_ARM64_SYSREG, KVM_REG_SIZE_U64, kvm_create_device, kvm_device_attr,
    kvm_device_type_KVM_DEV_TYPE_VFIO, kvm_regs, kvm_userspace_memory_region, kvm_vcpu_init,
    user_pt_regs,
};
use kvm_ioctls::{DeviceFd, Kvm, VcpuExit, VcpuFd, VmFd};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use serde_json::json;
use std::mem::offset_of;

/// Where the guest stores what it has to say; no memory.
const REPORTS: u64 = 0x1000_0000;
/// Where the guest's memory is.
const RAM: u64 = 0x4000_0000;
/// Where the guest finds the region.
const REGION: u64 = 0x8000_0000;

/// Places in [`RAM`]: the program with its vectors, the translation table.
const PROGRAM: usize = 0;
const TABLE: usize = 0x2000;
const RAM_SIZE: usize = 0x4000;

/// Offsets into [`REPORTS`]: a step's word, the end, an exception's ESR and FAR.
const STEP: u64 = 0;
const END: u64 = 8;
const SYNDROME: u64 = 16;
const ADDRESS: u64 = 24;

/// What the program fills the region with.
const FILL: u64 = 0x5152_5354_5556_5758;
/// What the program stores without alignment.
const ODD: u64 = 0x0123_4567_89ab_cdef;
/// Where the host leaves a word, and which.
const FROM_HOST: (usize, u64) = (0x8000, 0x1122_3344_5566_7788);
/// Where the program stores [`ODD`]: across a line of 16 bytes.
const ODD_AT: usize = 0x20d;
/// Where the program copies its 28 bytes to, as drivers do behind a verb.
const COPY_AT: usize = 0x404;
/// The 28 bytes: 1, 2, 3, ...
const COPIED: [u8; 28] = {
    let mut bytes = [0; 28];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = at as u8 + 1;
        at += 1;
    }
    bytes
};

// The program. x0: region, x1: reports, x2: size of the region, x3: FILL, x4: ODD.
core::arch::global_asm!(
    ".pushsection .rodata.fslmc_kvm_program, \"a\"",
    ".balign 8",
    "fslmc_kvm_program:",
    // What the host has left.
    "    mov     x9, #0x8000",
    "    ldr     x5, [x0, x9]",
    "    str     x5, [x1]",
    // Clear by cache lines: DCZID_EL0 has the logarithm of their words.
    "    mrs     x6, dczid_el0",
    "    and     x6, x6, #0xf",
    "    mov     x7, #4",
    "    lsl     x6, x7, x6",
    "    mov     x7, x0",
    "    add     x8, x0, x2",
    "1:  dc      zva, x7",
    "    add     x7, x7, x6",
    "    cmp     x7, x8",
    "    b.lo    1b",
    "    ldr     x5, [x0, x9]",
    "    str     x5, [x1]",
    // Fill by pairs.
    "    mov     x7, x0",
    "2:  stp     x3, x3, [x7], #16",
    "    cmp     x7, x8",
    "    b.lo    2b",
    "    ldr     x5, [x0, x9]",
    "    str     x5, [x1]",
    // A store without alignment.
    "    add     x7, x0, #0x200",
    "    stur    x4, [x7, #0xd]",
    "    ldur    x5, [x7, #0xd]",
    "    str     x5, [x1]",
    // A copy of 28 bytes: 16, and 16 that end with the last.
    "    adr     x10, 3f",
    "    add     x11, x10, #12",
    "    add     x12, x0, #0x404",
    "    add     x13, x12, #12",
    "    ldp     x5, x6, [x10]",
    "    ldp     x7, x8, [x11]",
    "    stp     x5, x6, [x12]",
    "    stp     x7, x8, [x13]",
    "    ldur    x5, [x12, #20]",
    "    str     x5, [x1]",
    "    str     xzr, [x1, #8]",
    "    b       .",
    ".balign 8",
    "3:  .byte   1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14",
    "    .byte   15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28",
    // The vector of a synchronous exception at the level of the program.
    ".org fslmc_kvm_program + 0xa00",
    "    mrs     x5, esr_el1",
    "    str     x5, [x1, #16]",
    "    mrs     x5, far_el1",
    "    str     x5, [x1, #24]",
    "    b       .",
    ".balign 8",
    "fslmc_kvm_program_end:",
    ".popsection",
);
/// Where the vectors would start that have the one above at offset 0x200.
const VECTORS: u64 = 0x800;

unsafe extern "C" {
    static fslmc_kvm_program: u8;
    static fslmc_kvm_program_end: u8;
}

/// The program's bytes.
fn program() -> &'static [u8] {
    let (start, end) = (&raw const fslmc_kvm_program, &raw const fslmc_kvm_program_end);
    let length = end.addr().saturating_sub(start.addr());
    // SAFETY: the two symbols are the ends of one run of constant bytes, above.
    unsafe { std::slice::from_raw_parts(start, length) }
}

/// What came of the attempt.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// KVM does not take the region for a memory slot.
    Slot(kvm_ioctls::Error),
    /// KVM gives up while the guest runs; what it had reported by then.
    Run(kvm_ioctls::Error, Vec<u64>),
    /// The guest met an exception: its syndrome and address.
    Exception(u64, u64, Vec<u64>),
    /// The guest came to its end with these words.
    Done(Vec<u64>),
}

/// Runs the guest and prints what came of it.
///
/// When the attempt cannot be made; what KVM says to it is an outcome.
pub fn run(options: &cli::Kvm) -> Result<(), Failure> {
    let held = AssignedContainer::open(&options.container)?;
    let guest = Guest::new()?;
    // Before the device is opened: its driver learns then what guest it is for.
    let _known = if options.unattached { None } else { Some(guest.introduce(held.group.as_fd())?) };
    let device = held.device(&options.object)?;
    let region = device.map_region(options.region)?;
    let (place, word) = FROM_HOST;
    region.store(place, word)?;
    let cacheable_slots = guest.cacheable_slots();
    let outcome = guest.attempt(&region)?;
    let (stage, error, words) = match &outcome {
        Outcome::Slot(error) => ("slot", Some(text_of(*error)), &[][..]),
        Outcome::Run(error, words) => ("run", Some(text_of(*error)), &words[..]),
        Outcome::Exception(syndrome, address, words) => {
            ("guest", Some(format!("ESR {syndrome:#x} FAR {address:#x}")), &words[..])
        }
        Outcome::Done(words) => ("done", None, &words[..]),
    };
    let seen = if matches!(outcome, Outcome::Done(_)) { Some(differences(&region)?) } else { None };
    print_json(&json!({
        "attached": !options.unattached,
        "cacheable_slots": cacheable_slots,
        "stage": stage,
        "error": error,
        "words": words,
        "expected": expected_words(),
        "differences": seen,
    }))
}

fn text_of(error: kvm_ioctls::Error) -> String {
    describe(&std::io::Error::from_raw_os_error(error.errno()))
}

/// What the guest reports when its memory behaves as memory.
fn expected_words() -> [u64; 5] {
    let mut last = [0; 8];
    last.copy_from_slice(&COPIED[20..]);
    [FROM_HOST.1, 0, FILL, ODD, u64::from_le_bytes(last)]
}

/// What the region holds after the guest's end, by what it should hold.
fn expected_contents(size: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = FILL.to_le_bytes().iter().copied().cycle().take(size).collect();
    for (at, what) in [(ODD_AT, &ODD.to_le_bytes()[..]), (COPY_AT, &COPIED[..])] {
        if let Some(place) = bytes.get_mut(at..at + what.len()) {
            place.copy_from_slice(what);
        }
    }
    bytes
}

/// How many bytes this process sees other than the guest has written them.
fn differences(region: &MappedRegion) -> Result<usize, Failure> {
    let mut count = 0;
    for (at, wanted) in expected_contents(region.size()).chunks_exact(8).enumerate() {
        let found = region.load::<u64>(at * 8)?.to_le_bytes();
        count += found.iter().zip(wanted).filter(|(one, other)| one != other).count();
    }
    Ok(count)
}

/// A guest with its memory.
struct Guest {
    vm: VmFd,
    ram: DmaBuffer,
}

/// A step of the VMM that must not fail.
fn kvm(what: &'static str) -> impl Fn(kvm_ioctls::Error) -> Failure {
    move |error| Failure::new(format!("{what}: {}", text_of(error)), "/dev/kvm", "")
}

impl Guest {
    fn new() -> Result<Self, Failure> {
        let vm = Kvm::new().and_then(|kvm| kvm.create_vm()).map_err(|error| Failure {
            advice: "Boot the board with --virtualization".to_owned(),
            ..kvm("making a guest")(error)
        })?;
        let ram = DmaBuffer::allocate(RAM_SIZE)?;
        for (at, byte) in program().iter().enumerate() {
            ram.store(PROGRAM + at, *byte);
        }
        for (index, entry) in TRANSLATION.iter().enumerate() {
            ram.store(TABLE + index * 8, *entry);
        }
        Ok(Self { vm, ram })
    }

    /// Whether KVM takes cacheable memory of a device for a slot.
    fn cacheable_slots(&self) -> bool {
        // Linux include/uapi/linux/kvm.h
        const KVM_CAP_ARM_CACHEABLE_PFNMAP_SUPPORTED: u64 = 243;
        self.vm.check_extension_raw(KVM_CAP_ARM_CACHEABLE_PFNMAP_SUPPORTED) > 0
    }

    /// Tells VFIO that the group's devices are for this guest.
    fn introduce(&self, group: BorrowedFd<'_>) -> Result<DeviceFd, Failure> {
        let mut device =
            kvm_create_device { type_: kvm_device_type_KVM_DEV_TYPE_VFIO, fd: 0, flags: 0 };
        let vfio = self.vm.create_device(&mut device).map_err(kvm("KVM_CREATE_DEVICE (VFIO)"))?;
        let number: i32 = group.as_raw_fd();
        vfio.set_device_attr(&kvm_device_attr {
            flags: 0,
            group: KVM_DEV_VFIO_FILE,
            attr: u64::from(KVM_DEV_VFIO_FILE_ADD),
            addr: (&raw const number).expose_provenance() as u64,
        })
        .map_err(kvm("KVM_DEV_VFIO_FILE_ADD"))?;
        Ok(vfio)
    }

    /// Runs the program over the region.
    fn attempt(self, region: &MappedRegion) -> Result<Outcome, Failure> {
        self.slot(0, RAM, self.ram.address(), self.ram.size()).map_err(kvm("the guest's RAM"))?;
        if let Err(error) = self.slot(1, REGION, region.address(), region.size()) {
            return Ok(Outcome::Slot(error));
        }
        let mut processor = self.processor(region.size()).map_err(kvm("the guest's processor"))?;
        let mut words = Vec::new();
        let mut syndrome = 0;
        // The program stores less often.
        for _ in 0..64 {
            let (address, data) = match processor.run() {
                Ok(VcpuExit::MmioWrite(address, data)) => (address, data),
                Ok(other) => {
                    let what = format!("the guest leaves by {other:?}");
                    return Err(Failure::new(what, "KVM_RUN", ""));
                }
                Err(error) => return Ok(Outcome::Run(error, words)),
            };
            let Ok(word) = data.try_into().map(u64::from_le_bytes) else { continue };
            match address.wrapping_sub(REPORTS) {
                STEP => words.push(word),
                SYNDROME => syndrome = word,
                ADDRESS => return Ok(Outcome::Exception(syndrome, word, words)),
                END => return Ok(Outcome::Done(words)),
                _ => {
                    let what = format!("the guest stores {word:#x} at {address:#x}");
                    return Err(Failure::new(what, "KVM_RUN", ""));
                }
            }
        }
        Err(Failure::new(format!("the guest does not end: {words:x?}"), "KVM_RUN", ""))
    }

    fn slot(
        &self,
        slot: u32,
        guest_phys_addr: u64,
        userspace_addr: u64,
        size: usize,
    ) -> Result<(), kvm_ioctls::Error> {
        let memory_size = size as u64;
        let memory = kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr,
            memory_size,
            userspace_addr,
        };
        // SAFETY: the memory is a mapping of `size` bytes. The guest's processor is the
        // only one to use the slot, and lives in `attempt` alone, which holds the RAM
        // and borrows the region. This process makes no reference to either, only
        // volatile loads and stores.
        unsafe { self.vm.set_user_memory_region(memory) }
    }

    /// A processor at the start of the program, with translation switched on.
    fn processor(&self, region_size: usize) -> Result<VcpuFd, kvm_ioctls::Error> {
        let processor = self.vm.create_vcpu(0)?;
        let mut kind = kvm_vcpu_init::default();
        self.vm.get_preferred_target(&mut kind)?;
        processor.vcpu_init(&kind)?;
        let arguments = [REGION, REPORTS, region_size as u64, FILL, ODD];
        for (number, value) in arguments.into_iter().enumerate() {
            set(&processor, core(offset_of!(user_pt_regs, regs) + number * 8), value)?;
        }
        set(&processor, core(offset_of!(user_pt_regs, pc)), RAM + PROGRAM as u64)?;
        set(&processor, core(offset_of!(user_pt_regs, pstate)), EL1H_MASKED)?;
        for (register, value) in SYSTEM_REGISTERS {
            set(&processor, register, value)?;
        }
        Ok(processor)
    }
}

fn set(processor: &VcpuFd, register: u64, value: u64) -> Result<(), kvm_ioctls::Error> {
    processor.set_one_reg(register, &value.to_le_bytes()).map(drop)
}

/// The number of a core register by its place in `user_pt_regs`
/// (Linux Documentation/virt/kvm/api.rst, KVM_SET_ONE_REG: in units of 32 bits).
fn core(offset: usize) -> u64 {
    let place = (offset_of!(kvm_regs, regs) + offset) / 4;
    KVM_REG_ARM64 | KVM_REG_SIZE_U64 | u64::from(KVM_REG_ARM_CORE) | place as u64
}

/// The number of a system register of EL1 by its encoding: op0 is 3, op1 is 0.
const fn system(crn: u64, crm: u64, op2: u64) -> u64 {
    KVM_REG_ARM64
        | KVM_REG_SIZE_U64
        | KVM_REG_ARM64_SYSREG as u64
        | 3 << 14
        | crn << 7
        | crm << 3
        | op2
}

/// EL1 with its own stack pointer, all exceptions masked (Arm ARM, SPSR_EL1).
const EL1H_MASKED: u64 = 0x3c5;

/// Translation of 32 bits of address by 1 GiB blocks (Arm ARM D8): without it all
/// memory would be Device, whatever the slot is.
const SYSTEM_REGISTERS: [(u64, u64); 5] = [
    // MAIR_EL1: 0 is Device-nGnRnE, 1 is Normal write-back.
    (system(10, 2, 0), 0xff00),
    // TCR_EL1: T0SZ 32, tables write-back and inner shareable, no TTBR1.
    (system(2, 0, 2), 32 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23),
    // TTBR0_EL1
    (system(2, 0, 0), RAM + TABLE as u64),
    // VBAR_EL1
    (system(12, 0, 0), RAM + PROGRAM as u64 + VECTORS),
    // SCTLR_EL1: translation, data and instruction caches; the rest are ones by
    // the architecture.
    (system(1, 0, 0), 0x30d0_0800 | 1 << 12 | 1 << 2 | 1),
];

/// One entry a GiB: reports, program, region.
const TRANSLATION: [u64; 3] = {
    const BLOCK: u64 = 1;
    const ACCESSED: u64 = 1 << 10;
    const SHARED: u64 = 3 << 8;
    const NORMAL: u64 = 1 << 2;
    const NEVER_EXECUTED: u64 = 3 << 53;
    [
        NEVER_EXECUTED | ACCESSED | BLOCK,
        RAM | ACCESSED | SHARED | NORMAL | BLOCK,
        REGION | NEVER_EXECUTED | ACCESSED | SHARED | NORMAL | BLOCK,
    ]
};
