// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Memory that calls may point to, and touching memory that may not be there.
//!
//! What a call points to is memory of an [`Area`], which no Rust reference ever
//! covers: the kernel may write there what it likes. Touching is done by four
//! instructions at known places; the signal handler of [`catch_faults`] turns a
//! fault there into an answer.
#![allow(unsafe_code)]

use fsl_mc_linux::Mapping;
use std::arch::global_asm;
use std::io;

/// The page size of the guest's kernel, and of the machine that tests run on.
pub const PAGE: u64 = 4096;

/// A range of memory of the process. It is never unmapped: what uses it ends with
/// the process.
#[derive(Debug, Clone, Copy)]
pub struct Area {
    start: u64,
    length: u64,
}

impl Area {
    /// Fresh zeroed memory, readable and writable.
    pub fn new(pages: u64) -> io::Result<Self> {
        let memory = Mapping::anonymous((pages * PAGE) as usize)?;
        let (start, length) = (memory.address(), memory.length() as u64);
        // It stays for the life of the process.
        memory.into_raw();
        Ok(Self { start, length })
    }

    /// Where it starts.
    pub fn start(self) -> u64 {
        self.start
    }

    /// Where it ends.
    pub fn end(self) -> u64 {
        self.start + self.length
    }

    /// Stores bytes from `offset` on; bytes past the end, and those that find their
    /// page unmapped, are dropped. Gives the address of the first.
    pub fn store(self, offset: u64, bytes: &[u8]) -> u64 {
        let first = self.start.saturating_add(offset);
        for (at, byte) in (first..self.end()).zip(bytes) {
            // A page that another thread has taken away keeps what it has.
            let _ = Touch::Store8.at(at, u64::from(*byte));
        }
        first
    }

    /// Loads bytes; those that cannot be loaded are 0.
    pub fn load<const N: usize>(self, offset: u64) -> [u8; N] {
        let mut bytes = [0; N];
        let first = self.start.saturating_add(offset);
        for (at, byte) in (first..self.end()).zip(&mut bytes) {
            *byte = Touch::Load8.at(at, 0).unwrap_or(0) as u8;
        }
        bytes
    }
}

/// How memory is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// One byte is loaded.
    Load8,
    /// An aligned word of 4 bytes is loaded.
    Load32,
    /// An aligned word of 8 bytes is loaded.
    Load64,
    /// One byte is stored.
    Store8,
    /// An aligned word of 4 bytes is stored.
    Store32,
    /// An aligned word of 8 bytes is stored.
    Store64,
}

/// Memory that could not be touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faulted;

impl Touch {
    /// Touches an address of an [`Area`] or of a region that is mapped; gives what
    /// was there, or `value` after a store.
    ///
    /// [`Faulted`]: nothing is mapped there, or not for this.
    pub fn at(self, address: u64, value: u64) -> Result<u64, Faulted> {
        let mut word = value;
        let out = &raw mut word;
        // SAFETY: each function executes one load or store at `address`, and a fault
        // there returns 1 by way of `on_fault`. The caller's address is of memory that
        // no Rust reference covers. `out` is a live word.
        let faulted = unsafe {
            match self {
                Self::Load8 => call_fuzzer_load8(address, out),
                Self::Load32 => call_fuzzer_load32(address, out),
                Self::Load64 => call_fuzzer_load64(address, out),
                Self::Store8 => call_fuzzer_store8(address, value),
                Self::Store32 => call_fuzzer_store32(address, value),
                Self::Store64 => call_fuzzer_store64(address, value),
            }
        };
        if faulted == 0 { Ok(word) } else { Err(Faulted) }
    }
}

unsafe extern "C" {
    fn call_fuzzer_load8(address: u64, out: *mut u64) -> u64;
    fn call_fuzzer_load32(address: u64, out: *mut u64) -> u64;
    fn call_fuzzer_load64(address: u64, out: *mut u64) -> u64;
    fn call_fuzzer_store8(address: u64, value: u64) -> u64;
    fn call_fuzzer_store32(address: u64, value: u64) -> u64;
    fn call_fuzzer_store64(address: u64, value: u64) -> u64;
    /// The end of the functions above, and what runs after a fault in them.
    fn call_fuzzer_faulted();
}

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".text",
    ".balign 16",
    "call_fuzzer_load8:",
    "ldrb w2, [x0]",
    "str x2, [x1]",
    "mov x0, #0",
    "ret",
    "call_fuzzer_load32:",
    "ldr w2, [x0]",
    "str x2, [x1]",
    "mov x0, #0",
    "ret",
    "call_fuzzer_load64:",
    "ldr x2, [x0]",
    "str x2, [x1]",
    "mov x0, #0",
    "ret",
    "call_fuzzer_store8:",
    "strb w1, [x0]",
    "mov x0, #0",
    "ret",
    "call_fuzzer_store32:",
    "str w1, [x0]",
    "mov x0, #0",
    "ret",
    "call_fuzzer_store64:",
    "str x1, [x0]",
    "mov x0, #0",
    "ret",
    "call_fuzzer_faulted:",
    "mov x0, #1",
    "ret",
);

#[cfg(target_arch = "x86_64")]
global_asm!(
    ".text",
    ".balign 16",
    "call_fuzzer_load8:",
    "movzx eax, byte ptr [rdi]",
    "mov [rsi], rax",
    "xor eax, eax",
    "ret",
    "call_fuzzer_load32:",
    "mov eax, [rdi]",
    "mov [rsi], rax",
    "xor eax, eax",
    "ret",
    "call_fuzzer_load64:",
    "mov rax, [rdi]",
    "mov [rsi], rax",
    "xor eax, eax",
    "ret",
    "call_fuzzer_store8:",
    "mov [rdi], sil",
    "xor eax, eax",
    "ret",
    "call_fuzzer_store32:",
    "mov [rdi], esi",
    "xor eax, eax",
    "ret",
    "call_fuzzer_store64:",
    "mov [rdi], rsi",
    "xor eax, eax",
    "ret",
    "call_fuzzer_faulted:",
    "mov eax, 1",
    "ret",
);

/// Makes [`Touch::at`] answer instead of ending the process, and lets the signal
/// USR1 interrupt a call and do nothing else. For the whole process.
pub fn catch_faults() -> io::Result<()> {
    let handlers = [
        (libc::SIGSEGV, on_fault as *const () as usize, libc::SA_SIGINFO | libc::SA_NODEFER),
        (libc::SIGBUS, on_fault as *const () as usize, libc::SA_SIGINFO | libc::SA_NODEFER),
        // No SA_RESTART: an interrupted call comes back.
        (libc::SIGUSR1, on_signal as *const () as usize, 0),
    ];
    for (signal, handler, flags) in handlers {
        // SAFETY: all zeros is a valid sigaction; the handlers have the signature that
        // the flags announce, and call nothing that a handler may not.
        let refused = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler;
            action.sa_flags = flags;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut())
        };
        if refused != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn on_signal(_: libc::c_int) {}

/// Goes on at `call_fuzzer_faulted` after a fault in the touching functions; any
/// other fault ends the process as if there were no handler.
extern "C" fn on_fault(signal: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let first = call_fuzzer_load8 as *const () as u64;
    let end = call_fuzzer_faulted as *const () as u64;
    // SAFETY: with SA_SIGINFO the third argument is the interrupted context, which
    // belongs to the handler until it returns. The touching functions keep nothing on
    // the stack, so that going on at `call_fuzzer_faulted` returns to their caller.
    unsafe {
        let machine = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext;
        #[cfg(target_arch = "aarch64")]
        let counter = &mut machine.pc;
        #[cfg(target_arch = "x86_64")]
        let counter = &mut machine.gregs[libc::REG_RIP as usize];
        let at = *counter as u64;
        if first <= at && at < end {
            *counter = end as _;
        } else {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_touch_of_nothing_is_an_answer() {
        catch_faults().unwrap();
        let area = Area::new(1).unwrap();
        assert_eq!(
            Touch::Store64.at(area.start(), 0x1122_3344_5566_7788),
            Ok(0x1122_3344_5566_7788)
        );
        assert_eq!(Touch::Load8.at(area.start(), 0), Ok(0x88));
        assert_eq!(Touch::Load32.at(area.start() + 4, 0), Ok(0x1122_3344));
        assert_eq!(Touch::Load64.at(8, 0), Err(Faulted));
        assert_eq!(Touch::Store32.at(8, 1), Err(Faulted));
    }

    #[test]
    fn what_is_stored_past_the_end_is_dropped() {
        catch_faults().unwrap();
        let area = Area::new(1).unwrap();
        let at = area.store(PAGE - 2, &[1, 2, 3, 4]);
        assert_eq!(at, area.end() - 2);
        assert_eq!(area.load::<4>(PAGE - 2), [1, 2, 0, 0]);
    }
}
