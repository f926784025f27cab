// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The guest's processors, a thread each.

use super::End;
use super::bus::Bus;
use super::kvm::{Vm, refused};
use crate::error::Error;
use crate::faults::{Faults, PATIENCE, PAUSE};
use crate::signals;
use kvm_bindings::{
    KVM_ARM_VCPU_POWER_OFF, KVM_ARM_VCPU_PSCI_0_2, KVM_REG_ARM_CORE, KVM_REG_ARM64,
    KVM_REG_SIZE_U64, KVM_SYSTEM_EVENT_CRASH, KVM_SYSTEM_EVENT_RESET, KVM_SYSTEM_EVENT_SHUTDOWN,
    kvm_regs, kvm_vcpu_init, user_pt_regs,
};
use kvm_ioctls::{VcpuExit, VcpuFd};
use std::mem::offset_of;
use std::os::raw::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

/// EL1 with its own stack pointer, all exceptions masked (Arm ARM, SPSR_EL1).
const EL1H_MASKED: u64 = 0x3c5;

/// Brings a processor's thread out of KVM.
const KICK: c_int = 1;

/// What the threads share.
struct Running {
    bus: Arc<Bus>,
    stop: AtomicBool,
    /// The first reason to stop.
    end: Mutex<Option<Result<End, Error>>>,
}

impl Running {
    fn stop(&self, end: Result<End, Error>) {
        let mut first = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(end);
        if !self.stop.swap(true, Ordering::AcqRel) {
            self.bus.end();
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// Runs all processors from `entry`, with the device tree's address in the register that
/// Linux looks for it, until one of them ends the guest.
pub fn run(vm: &Vm, cpus: u8, entry: u64, tree: u64, bus: &Arc<Bus>) -> Result<End, Error> {
    register_signal_handler(SIGRTMIN() + KICK, kicked)
        .map_err(|error| Error::System { what: "sigaction", reason: error.into() })?;
    let (processors, target) = vm.take_cpus();
    let running = Arc::new(Running {
        bus: Arc::clone(bus),
        stop: AtomicBool::new(false),
        end: Mutex::new(None),
    });
    for (number, cpu) in processors.iter().enumerate() {
        initialise(cpu, number == 0, target, entry, tree)
            .map_err(refused("initialising a processor of the guest", ""))?;
    }
    let mut threads = Vec::new();
    for (number, cpu) in (0..cpus).zip(processors) {
        let shared = Arc::clone(&running);
        let thread = std::thread::Builder::new()
            .name(format!("cpu {number}"))
            .spawn(move || shared.stop(execute(cpu, number, &shared)));
        match thread {
            Ok(thread) => threads.push(thread),
            Err(reason) => running.stop(Err(Error::System { what: "starting a thread", reason })),
        }
    }
    wait(&running, threads);
    let end = running.end.lock().unwrap_or_else(PoisonError::into_inner).take();
    end.unwrap_or(Ok(End::Off))
}

/// Waits for the end, then brings all threads out of KVM.
fn wait(running: &Running, mut threads: Vec<JoinHandle<()>>) {
    while !threads.is_empty() {
        if let Some(signal) = signals::came() {
            running.stop(Ok(End::Signal(signal)));
        }
        let (ended, going): (Vec<_>, Vec<_>) =
            threads.into_iter().partition(JoinHandle::is_finished);
        for thread in ended {
            // A panic in it is a defect, which its message has told.
            if thread.join().is_err() {
                let reason = std::io::Error::other("it panicked");
                running.stop(Err(Error::System { what: "a processor's thread", reason }));
            }
        }
        for thread in &going {
            if running.stopped() {
                // It may come before the thread enters KVM: therefore again and again. A
                // thread that has just ended cannot be signalled, which is well.
                let _ = thread.kill(SIGRTMIN() + KICK);
            }
        }
        threads = going;
        std::thread::sleep(Duration::from_millis(5));
    }
}

extern "C" fn kicked(_: c_int, _: *mut libc::siginfo_t, _: *mut std::ffi::c_void) {
    // That there is a handler interrupts the system call.
}

/// The number of a core register by its place in `user_pt_regs`
/// (Linux Documentation/virt/kvm/api.rst, KVM_SET_ONE_REG: in units of 32 bits).
fn core(offset: usize) -> u64 {
    let place = (offset_of!(kvm_regs, regs) + offset) / 4;
    KVM_REG_ARM64 | KVM_REG_SIZE_U64 | u64::from(KVM_REG_ARM_CORE) | place as u64
}

fn initialise(
    cpu: &VcpuFd,
    first: bool,
    mut target: kvm_vcpu_init,
    entry: u64,
    tree: u64,
) -> Result<(), kvm_ioctls::Error> {
    target.features[0] |= 1 << KVM_ARM_VCPU_PSCI_0_2;
    if !first {
        target.features[0] |= 1 << KVM_ARM_VCPU_POWER_OFF;
    }
    cpu.vcpu_init(&target)?;
    if first {
        let set = |offset, value: u64| cpu.set_one_reg(core(offset), &value.to_le_bytes());
        set(offset_of!(user_pt_regs, pstate), EL1H_MASKED)?;
        set(offset_of!(user_pt_regs, pc), entry)?;
        set(offset_of!(user_pt_regs, regs), tree)?;
    }
    Ok(())
}

fn execute(mut cpu: VcpuFd, number: u8, running: &Running) -> Result<End, Error> {
    let stopped = |reason: String| Error::Stopped { cpu: number, reason };
    let mut faults = Faults::default();
    while !running.stopped() {
        let entered = Instant::now();
        let fault = match cpu.run() {
            Ok(VcpuExit::MmioRead(address, bytes)) => {
                running.bus.load(address, bytes);
                false
            }
            Ok(VcpuExit::MmioWrite(address, bytes)) => {
                running.bus.store(address, bytes);
                false
            }
            Ok(VcpuExit::SystemEvent(KVM_SYSTEM_EVENT_SHUTDOWN, _)) => return Ok(End::Off),
            Ok(VcpuExit::SystemEvent(KVM_SYSTEM_EVENT_RESET, _)) => return Ok(End::Reset),
            Ok(VcpuExit::SystemEvent(KVM_SYSTEM_EVENT_CRASH, _)) => {
                return Err(stopped("it says that it has crashed".to_owned()));
            }
            Ok(VcpuExit::Intr) => continue,
            // Some kernels say where (KVM_CAP_MEMORY_FAULT_INFO).
            Ok(VcpuExit::MemoryFault { .. }) => true,
            Ok(other) => return Err(stopped(format!("it leaves by {other:?}"))),
            Err(error) if matches!(error.errno(), libc::EINTR | libc::EAGAIN) => continue,
            Err(error) if error.errno() == libc::EFAULT => true,
            Err(error) => {
                let reason = std::io::Error::from_raw_os_error(error.errno());
                return Err(stopped(format!("KVM_RUN: {reason}")));
            }
        };
        if !fault {
            faults.over();
        } else if faults.may_pass(entered, Instant::now()) {
            std::thread::sleep(PAUSE);
        } else {
            let seconds = PATIENCE.as_secs();
            return Err(stopped(format!(
                "it uses memory that has not been there for {seconds} seconds (KVM_RUN: EFAULT), \
                 such as that of a device that the host has taken away"
            )));
        }
    }
    Ok(End::Off)
}
