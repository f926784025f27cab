// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The guest: from memory to its end.

mod bus;
mod console;
mod cpu;
mod disks;
mod interrupts;
mod kvm;

pub use console::Console;

use crate::cli::Cli;
use crate::device_tree::Machine;
use crate::error::Error;
use crate::host::Abilities;
use crate::layout::{self, RAM};
use crate::load::{self, Files};
use bus::Bus;
use disks::Disks;
use dprc_assign::{Assignment, Identity};
use kvm::KvmGuest;
use std::sync::Arc;
use vm_memory::GuestMemoryMmap;

/// What the kernel is told before what the user says: a guest that panics asks for a reset
/// rather than stand still, which nobody outside could tell from being busy.
const COMMAND_LINE: &str = "console=ttyS0 panic=-1";

/// How a guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It switched itself off.
    Off,
    /// It asked to be started again.
    Reset,
    /// A signal, or the console's user, ended it.
    Signal(u8),
}

/// A container that the guest has.
pub type Container = Assignment<KvmGuest, GuestMemoryMmap>;

/// What processor and process may do.
pub fn abilities() -> Result<Abilities, Error> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    // Who may lock memory anyway has no limit; root may, as a rule.
    let lockable = limit.filter(|_| !rustix::process::geteuid().is_root());
    Ok(Abilities { cacheable_slots: kvm::cacheable_slots()?, lockable })
}

/// Starts the guest and waits for its end. Nothing of it is left: what was assigned is
/// closed, which resets it, and its memory is gone.
pub fn run(cli: &Cli, files: &mut Files, console: &Console) -> Result<End, Error> {
    let options = &cli.guest;
    let memory = load::memory(options.memory)?;
    let images = load::images(files, options, &memory)?;
    let vm = kvm::Vm::new(&memory, options.cpus, !options.no_portal_pages)?;
    let mut containers = Vec::new();
    for (index, name) in cli.assign.iter().enumerate() {
        let windows = layout::windows(index)
            .ok_or_else(|| Error::Options(format!("there is no room for {name}")))?;
        let icid = layout::isolation_id(index);
        let guest = vm.for_container(name, icid.into(), !options.no_irqfd);
        containers.push(Assignment::open(name, icid, windows, &memory, guest)?);
    }
    let disks = Disks::start(&vm, &files.disks, &memory)?;
    let machine = Machine {
        cpus: options.cpus,
        memory: options.memory,
        command_line: &format!("{COMMAND_LINE} {}", options.append.join(" ")),
        initramfs: images.initramfs,
        seed: load::seed()?,
        disks: files.disks.len(),
        containers: containers.iter().map(of_container).collect(),
    };
    load::device_tree(&memory, images.device_tree, &machine.to_blob()?)?;
    let serial = console.connect(vm.interrupt(layout::UART_SPI)?)?;
    let late = vm.late_stores();
    let bus = Arc::new(Bus { serial, containers, late, disks: disks.ports() });
    let end = cpu::run(&vm, options.cpus, RAM + images.entry, images.device_tree, &bus);
    console.disconnect();
    end
}

fn of_container(container: &Container) -> (Identity, dprc_assign::Windows) {
    (container.identity(), container.windows())
}
