// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The guest's device tree (Linux Documentation/devicetree/bindings).
#![cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]

use crate::layout::{
    DISK_SIZE, GIC_DISTRIBUTOR, GIC_DISTRIBUTOR_SIZE, GIC_REDISTRIBUTOR_SIZE, GIC_REDISTRIBUTORS,
    ITS, ITS_SIZE, RAM, UART, UART_SIZE, UART_SPI, disk, disk_interrupt,
};
use dprc_assign::{DeviceTree, Identity, MsiController, Windows};
use vm_fdt::{FdtWriter, FdtWriterResult};

const GIC_PHANDLE: u32 = 1;
const ITS_PHANDLE: u32 = 2;
const CLOCK_PHANDLE: u32 = 3;

/// Cells of an interrupt: kind, number, trigger.
const SHARED: u32 = 0;
const PRIVATE: u32 = 1;
const EDGE: u32 = 1;
const LEVEL: u32 = 4;

/// What the tree says.
#[derive(Debug)]
pub struct Machine<'a> {
    /// Processors.
    pub cpus: u8,
    /// Bytes of memory.
    pub memory: u64,
    /// Kernel command line.
    pub command_line: &'a str,
    /// Where the initial file system is: start and end.
    pub initramfs: Option<(u64, u64)>,
    /// For the guest's random numbers.
    pub seed: [u8; 32],
    /// Disks.
    pub disks: usize,
    /// Assigned containers.
    pub containers: Vec<(Identity, Windows)>,
}

impl Machine<'_> {
    /// The blob.
    pub fn to_blob(&self) -> FdtWriterResult<Vec<u8>> {
        let mut fdt = FdtWriter::new()?;
        let root = fdt.begin_node("")?;
        fdt.property_string("compatible", "linux,dummy-virt")?;
        fdt.property_u32("#address-cells", 2)?;
        fdt.property_u32("#size-cells", 2)?;
        fdt.property_u32("interrupt-parent", GIC_PHANDLE)?;
        self.chosen(&mut fdt)?;
        self.memory(&mut fdt)?;
        self.cpus(&mut fdt)?;
        psci(&mut fdt)?;
        timer(&mut fdt)?;
        self.interrupt_controller(&mut fdt)?;
        console(&mut fdt)?;
        (0..self.disks).try_for_each(|index| disk_node(&mut fdt, index))?;
        self.soc(&mut fdt)?;
        fdt.end_node(root)?;
        fdt.finish()
    }

    fn chosen(&self, fdt: &mut FdtWriter) -> FdtWriterResult<()> {
        let chosen = fdt.begin_node("chosen")?;
        fdt.property_string("bootargs", self.command_line)?;
        fdt.property_string("stdout-path", &format!("/serial@{UART:x}"))?;
        fdt.property("rng-seed", &self.seed)?;
        if let Some((start, end)) = self.initramfs {
            fdt.property_u64("linux,initrd-start", start)?;
            fdt.property_u64("linux,initrd-end", end)?;
        }
        fdt.end_node(chosen)
    }

    fn memory(&self, fdt: &mut FdtWriter) -> FdtWriterResult<()> {
        let memory = fdt.begin_node(&format!("memory@{RAM:x}"))?;
        fdt.property_string("device_type", "memory")?;
        fdt.property_array_u64("reg", &[RAM, self.memory])?;
        fdt.end_node(memory)
    }

    fn cpus(&self, fdt: &mut FdtWriter) -> FdtWriterResult<()> {
        let cpus = fdt.begin_node("cpus")?;
        fdt.property_u32("#address-cells", 1)?;
        fdt.property_u32("#size-cells", 0)?;
        for number in 0..self.cpus {
            // As KVM numbers them: sixteen to a cluster.
            let number = u32::from(number);
            let affinity = (number % 16) | ((number / 16) << 8);
            let cpu = fdt.begin_node(&format!("cpu@{affinity:x}"))?;
            fdt.property_string("device_type", "cpu")?;
            fdt.property_string("compatible", "arm,armv8")?;
            fdt.property_string("enable-method", "psci")?;
            fdt.property_u32("reg", affinity)?;
            fdt.end_node(cpu)?;
        }
        fdt.end_node(cpus)
    }

    fn interrupt_controller(&self, fdt: &mut FdtWriter) -> FdtWriterResult<()> {
        let gic = fdt.begin_node(&format!("intc@{GIC_DISTRIBUTOR:x}"))?;
        fdt.property_string("compatible", "arm,gic-v3")?;
        fdt.property_u32("#interrupt-cells", 3)?;
        fdt.property_null("interrupt-controller")?;
        let redistributors = GIC_REDISTRIBUTOR_SIZE * u64::from(self.cpus);
        let reg = [GIC_DISTRIBUTOR, GIC_DISTRIBUTOR_SIZE, GIC_REDISTRIBUTORS, redistributors];
        fdt.property_array_u64("reg", &reg)?;
        fdt.property_u32("#address-cells", 2)?;
        fdt.property_u32("#size-cells", 2)?;
        fdt.property_null("ranges")?;
        fdt.property_phandle(GIC_PHANDLE)?;
        let its = fdt.begin_node(&format!("msi-controller@{ITS:x}"))?;
        fdt.property_string("compatible", "arm,gic-v3-its")?;
        fdt.property_null("msi-controller")?;
        fdt.property_u32("#msi-cells", 1)?;
        fdt.property_array_u64("reg", &[ITS, ITS_SIZE])?;
        fdt.property_phandle(ITS_PHANDLE)?;
        fdt.end_node(its)?;
        fdt.end_node(gic)
    }

    /// The bus that carries the Management Complexes, one for each container. Addresses
    /// for DMA are those of the processor: 48 bits of them.
    fn soc(&self, fdt: &mut FdtWriter) -> FdtWriterResult<()> {
        let soc = fdt.begin_node("soc")?;
        fdt.property_string("compatible", "simple-bus")?;
        fdt.property_u32("#address-cells", 2)?;
        fdt.property_u32("#size-cells", 2)?;
        fdt.property_null("ranges")?;
        fdt.property_array_u64("dma-ranges", &[0, 0, 1 << 48])?;
        for (identity, windows) in &self.containers {
            let device_id = identity.icid.into();
            let msi = MsiController { phandle: ITS_PHANDLE, device_id };
            DeviceTree::new(*identity, windows, msi).write(fdt)?;
        }
        fdt.end_node(soc)
    }
}

fn psci(fdt: &mut FdtWriter) -> FdtWriterResult<()> {
    let psci = fdt.begin_node("psci")?;
    let compatible = ["arm,psci-1.0", "arm,psci-0.2"].map(str::to_owned);
    fdt.property_string_list("compatible", compatible.into())?;
    fdt.property_string("method", "hvc")?;
    fdt.end_node(psci)
}

fn timer(fdt: &mut FdtWriter) -> FdtWriterResult<()> {
    let timer = fdt.begin_node("timer")?;
    fdt.property_string("compatible", "arm,armv8-timer")?;
    // Secure, non-secure, virtual, hypervisor.
    let interrupts: Vec<u32> =
        [13, 14, 11, 10].into_iter().flat_map(|number| [PRIVATE, number, LEVEL]).collect();
    fdt.property_array_u32("interrupts", &interrupts)?;
    fdt.property_null("always-on")?;
    fdt.end_node(timer)
}

fn disk_node(fdt: &mut FdtWriter, index: usize) -> FdtWriterResult<()> {
    let at = disk(index);
    let node = fdt.begin_node(&format!("virtio@{at:x}"))?;
    fdt.property_string("compatible", "virtio,mmio")?;
    fdt.property_array_u64("reg", &[at, DISK_SIZE])?;
    fdt.property_array_u32("interrupts", &[SHARED, disk_interrupt(index), EDGE])?;
    fdt.property_null("dma-coherent")?;
    fdt.end_node(node)
}

fn console(fdt: &mut FdtWriter) -> FdtWriterResult<()> {
    let clock = fdt.begin_node("clock")?;
    fdt.property_string("compatible", "fixed-clock")?;
    fdt.property_u32("#clock-cells", 0)?;
    fdt.property_u32("clock-frequency", 1_843_200)?;
    fdt.property_phandle(CLOCK_PHANDLE)?;
    fdt.end_node(clock)?;
    let serial = fdt.begin_node(&format!("serial@{UART:x}"))?;
    fdt.property_string("compatible", "ns16550a")?;
    fdt.property_array_u64("reg", &[UART, UART_SIZE])?;
    fdt.property_u32("clocks", CLOCK_PHANDLE)?;
    fdt.property_array_u32("interrupts", &[SHARED, UART_SPI, EDGE])?;
    fdt.end_node(serial)
}
