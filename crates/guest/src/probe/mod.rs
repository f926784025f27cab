// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Small clients for people and for tests, one thing each.

pub mod answers;
pub mod bus;
pub mod forward;
mod irq_trace;
#[cfg(target_arch = "aarch64")]
pub mod kvm;
pub mod mgmt;
pub mod session;
pub mod vfio;
pub mod wake;

/// KVM of the guest's processor only.
#[cfg(not(target_arch = "aarch64"))]
pub mod kvm {
    use crate::cli::Kvm;
    use guest_agent::Failure;

    /// Says that this is no machine for it.
    pub fn run(options: &Kvm) -> Result<(), Failure> {
        let Kvm { container, object, region, unattached: _ } = options;
        let place = format!("{container}, {object}, region {region}");
        Err(Failure::new("the small guest is a program for arm64", place, "Run it on the board"))
    }
}
