// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Known defects of the kernel's own driver that a program in the guest cannot show by
//! itself: what it does, and what the driver in Rust does instead.

use crate::trial;
use anyhow::{Result, ensure};
use board::faults::{Action, Faults, Rule};
use fslmc::artifacts::Driver;
use libtest_mimic::Trial;
use mc_abi::ObjectType;
use std::time::Duration;
use vm_tests::TestVm;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("defects::stock_registers_before_the_scan", || {
            opens_during_scan(Driver::Stock, true)
        }),
        trial("defects::rust_registers_after_the_scan", || opens_during_scan(Driver::Rust, false)),
    ]
}

/// DPRC_GET_OBJ.
const GET_OBJECT: u16 = 0x15a;

/// Binds a container whose objects the MC takes its time to list, and looks whether its
/// VFIO device is there before the last of them (defect 10).
fn opens_during_scan(driver: Driver, expected: bool) -> Result<()> {
    TestVm::with("default")?.driver(driver).run(|vm| {
        vm.load(&["vfio_iommu_type1", "vfio-fsl-mc"])?;
        let mut slow = Faults::default();
        slow.add(Rule {
            kind: Some(ObjectType::Dprc),
            number: Some(GET_OBJECT),
            action: Action::Delay(Duration::from_millis(50)),
            times: None,
        });
        vm.board()?.mc().set_faults(slow);
        let said = vm.sh("cd /sys/bus/fsl-mc/devices
             echo vfio-fsl-mc > dprc.2/driver_override
             echo dprc.2 > dprc.2/driver/unbind
             (echo dprc.2 > /sys/bus/fsl-mc/drivers/vfio-fsl-mc/bind; touch /tmp/bound) &
             until [ -d dprc.2/vfio-dev ]; do usleep 1000; done
             ls -d dprc.2/dp*.* 2>/dev/null | wc -l
             wait
             [ -e /tmp/bound ] && ls -d dprc.2/dp*.* | wc -l")?;
        let counts: Vec<u32> = said.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [first, all] = counts.as_slice() else { anyhow::bail!("two numbers in {said:?}") };
        ensure!(*all > 10, "{all} objects");
        ensure!((first < all) == expected, "{first} of {all} objects when it can be opened");
        Ok(())
    })
}
