// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The guest's device tree: a Management Complex of its own.

use crate::emulation::Identity;
use crate::windows::{CONTROL_SIZE, WINDOW_SIZE, Windows};
use vm_fdt::{FdtWriter, FdtWriterResult};

/// The interrupt controller that takes the guest's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MsiController {
    /// Phandle of the ITS.
    pub phandle: u32,
    /// Device id that the container's interrupts have there: the VMM gives it with each
    /// message.
    pub device_id: u32,
}

/// What the nodes of an assigned container say.
#[derive(Debug, Clone)]
pub struct DeviceTree {
    /// The container.
    pub identity: Identity,
    /// Guest physical address of the window of command portals.
    pub portals: u64,
    /// Guest physical address of the control registers.
    pub control: u64,
    /// Guest physical address of the window of software portals.
    pub queues: u64,
    /// Where its interrupts go.
    pub msi: MsiController,
}

impl DeviceTree {
    /// The nodes for windows.
    pub fn new(identity: Identity, windows: &Windows, msi: MsiController) -> Self {
        Self {
            identity,
            portals: windows.portals(),
            control: windows.control(),
            queues: windows.queues(),
            msi,
        }
    }

    /// Writes the node into the present one, which has two cells for addresses and two
    /// for sizes (Linux Documentation/devicetree/bindings/misc/fsl,qoriq-mc.yaml). There
    /// is no `iommu-map`: what the devices do is translated by the host, so that the
    /// guest's physical addresses are what they take. The control registers (the second
    /// `reg`) are the emulation's, not those of the chip. The binding lets them be left
    /// out, but Linux reads their status whether or not they are there
    /// (`fsl_mc_bus_probe`).
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, fdt: &mut FdtWriter) -> FdtWriterResult<()> {
        let node = fdt.begin_node(&format!("fsl-mc@{:x}", self.portals))?;
        fdt.property_string("compatible", "fsl,qoriq-mc")?;
        fdt.property_array_u64("reg", &[self.portals, 0x40, self.control, CONTROL_SIZE])?;
        // The one finds the interrupt domain, the other gives the device id.
        fdt.property_array_u32("msi-parent", &[self.msi.phandle, 0])?;
        let icid = u32::from(self.identity.icid);
        fdt.property_array_u32("msi-map", &[icid, self.msi.phandle, self.msi.device_id, 1])?;
        fdt.property_null("dma-coherent")?;
        fdt.property_u32("#address-cells", 3)?;
        fdt.property_u32("#size-cells", 1)?;
        let ranges: Vec<u32> = [(0, self.portals), (1, self.queues)]
            .into_iter()
            .flat_map(|(kind, at)| [kind, 0, 0, (at >> 32) as u32, at as u32, WINDOW_SIZE as u32])
            .collect();
        fdt.property_array_u32("ranges", &ranges)?;
        let dpmacs = fdt.begin_node("dpmacs")?;
        fdt.property_u32("#address-cells", 1)?;
        fdt.property_u32("#size-cells", 0)?;
        fdt.end_node(dpmacs)?;
        fdt.end_node(node)
    }
}
