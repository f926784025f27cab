// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a thread does next: one step is one call or a few.

mod containers;
mod devices;
mod files;
mod interrupts;
mod maps;
mod portals;
mod processes;
mod transfers;

pub use files::close_all;
pub use maps::unmap_all;
pub use processes::{end_child, leave};

use crate::caller::{Caller, Commands};

/// A step, and how often it is made in comparison with the others.
pub struct Step {
    weight: u32,
    make: fn(&mut Caller<'_>),
    /// Whether it sends a command.
    sends: bool,
}

const fn step(weight: u32, make: fn(&mut Caller<'_>)) -> Step {
    Step { weight, make, sends: false }
}

const fn sending(weight: u32, make: fn(&mut Caller<'_>)) -> Step {
    Step { weight, make, sends: true }
}

/// All steps. What the MC or the emulated hardware takes part in is thousands of
/// times as slow as a call that is refused at once, hence the weights.
const STEPS: &[Step] = &[
    step(8, containers::open_container),
    step(20, containers::open_group),
    step(200, containers::api_version),
    step(200, containers::extension),
    step(30, containers::set_iommu),
    step(150, containers::group_status),
    step(40, containers::set_container),
    step(4, containers::unset_container),
    step(200, containers::iommu_info),
    step(120, containers::map_dma),
    step(250, containers::map_dma_odd),
    step(250, containers::unmap_dma),
    step(60, containers::get_device),
    step(150, containers::get_device_odd),
    step(1200, devices::info),
    step(1200, devices::region_info),
    step(1200, devices::irq_info),
    step(300, devices::feature),
    step(400, devices::unknown),
    step(200, devices::file_ioctl),
    step(5, devices::reset),
    step(50, interrupts::event_fd),
    step(400, interrupts::off),
    step(400, interrupts::trigger),
    step(1500, interrupts::odd),
    sending(40, portals::send),
    sending(8, portals::fetch),
    sending(20, portals::exchange),
    sending(10, portals::vector),
    sending(8, portals::mapped),
    step(500, transfers::read),
    step(500, transfers::write),
    step(120, transfers::vectors),
    step(100, transfers::seek),
    step(80, transfers::splice),
    step(80, maps::map),
    step(300, maps::odd),
    step(25, maps::fixed),
    step(140, maps::unmap),
    step(60, maps::protect),
    step(80, maps::remap),
    step(120, maps::advise),
    step(20, maps::load),
    step(12, maps::store),
    step(80, maps::flicker),
    step(150, files::poll),
    step(60, files::epoll),
    step(100, files::duplicate),
    step(70, files::close),
    step(2, files::close_group_or_container),
    step(3, files::close_all_devices),
    step(200, files::status),
    step(120, files::event),
    step(120, files::event_write),
    step(120, files::event_read),
    step(60, files::close_event),
    step(3, processes::fork),
    step(30, processes::reap),
    step(8, processes::pass),
    step(15, processes::signal),
];

/// Steps by random number.
pub fn table(commands: Commands) -> Vec<u8> {
    let mut table = Vec::new();
    for (number, step) in STEPS.iter().enumerate() {
        if !step.sends || commands != Commands::None {
            table.extend(std::iter::repeat_n(number as u8, step.weight as usize));
        }
    }
    table
}

/// Makes a step.
pub fn make(caller: &mut Caller<'_>) {
    let table = &caller.setup.table;
    let Some(number) = table.get(caller.random.usize(..table.len().max(1))) else { return };
    if let Some(step) = STEPS.get(usize::from(*number)) {
        (step.make)(caller);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_in_the_table_as_often_as_it_weighs() {
        assert!(STEPS.len() <= 256);
        let table = table(Commands::All);
        for (number, step) in STEPS.iter().enumerate() {
            let count = table.iter().filter(|entry| usize::from(**entry) == number).count();
            assert_eq!(count, step.weight as usize);
        }
    }

    #[test]
    fn without_commands_no_step_sends_any() {
        let table = table(Commands::None);
        assert!(table.iter().all(|number| !STEPS[usize::from(*number)].sends));
    }
}
