// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The guest's device tree: QEMU's own, with the board in place of PCI.

use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node, Property, ToPropertyValue};

use crate::error::DeviceTreeError;
use crate::memory_map::{
    Area, ICID_SLOT, MC_CONTROL, MC_PORTALS, QBMAN_MEMORY, QBMAN_TRAPPED, SMMU, SMMU_INTERRUPT,
    VIRTIO_BUSES, VIRTIO_WINDOW, requester_id,
};

const PCI_HOST: &str = "pcie@10000000";
const GIC: &str = "intc@8000000";
const ITS: &str = "its@8080000";

/// What the board's nodes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes {
    /// ICID of the first container.
    pub first_icid: u16,
    /// Number of ICIDs.
    pub icids: u16,
    /// Context banks of the SMMU, each with an interrupt of its own in the node.
    pub context_banks: u32,
    /// Ids of the network ports (dpmac objects) that get a node.
    pub dpmacs: Vec<u32>,
}

/// The device tree of a `virt` machine.
pub struct MachineTree {
    tree: DeviceTree,
}

impl MachineTree {
    /// Reads the blob that QEMU's `-machine dumpdtb=` wrote.
    ///
    /// # Errors
    /// Where it is no device tree.
    pub fn read(blob: &[u8]) -> Result<Self, DeviceTreeError> {
        let fdt = Fdt::new(blob).map_err(|e| DeviceTreeError::Unreadable(e.to_string()))?;
        Ok(Self { tree: DeviceTree::from_fdt(&fdt) })
    }

    /// Address of the PCI host's configuration space (ECAM), which is the first
    /// entry of its `reg`.
    ///
    /// # Errors
    /// Where the machine has no PCI host.
    pub fn ecam(&self) -> Result<u64, DeviceTreeError> {
        let missing = || DeviceTreeError::Missing(format!("/{PCI_HOST} with a reg"));
        let host = self.tree.root.child(PCI_HOST).ok_or_else(missing)?;
        let reg = host.property("reg").ok_or_else(missing)?;
        let first: [u8; 8] =
            reg.value().get(..8).and_then(|b| b.try_into().ok()).ok_or_else(missing)?;
        Ok(u64::from_be_bytes(first))
    }

    /// Takes the PCI host out of the guest's sight and adds the board.
    ///
    /// # Errors
    /// Where the tree lacks what a `virt` machine with GICv3 has.
    pub fn add_board(&mut self, nodes: &Nodes) -> Result<(), DeviceTreeError> {
        let its = self.phandle_of_its()?;
        let smmu = self.free_phandle();
        let root = &mut self.tree.root;
        let host = root
            .child_mut(PCI_HOST)
            .ok_or_else(|| DeviceTreeError::Missing(format!("/{PCI_HOST}")))?;
        set(host, "status", "disabled")?;
        root.add_child(soc(nodes, its, smmu)?);
        Ok(())
    }

    /// Shows the guest [`VIRTIO_BUSES`] as a PCI host of its own. Its devices have no
    /// interrupts: who uses them polls.
    ///
    /// # Errors
    /// Where the machine has no PCI host.
    pub fn add_virtio_bus(&mut self) -> Result<(), DeviceTreeError> {
        let (first, last) = (u32::from(VIRTIO_BUSES.0), u32::from(VIRTIO_BUSES.1));
        let (base, size) = (u64::from(first) << 20, u64::from(last - first + 1) << 20);
        let config = Area { base: self.ecam()? + base, size };
        let mut host = node(&format!("pcie@{:x}", config.base))?;
        set(&mut host, "compatible", "pci-host-ecam-generic")?;
        set(&mut host, "device_type", "pci")?;
        set(&mut host, "#address-cells", 3u32)?;
        set(&mut host, "#size-cells", 2u32)?;
        set(&mut host, "linux,pci-domain", 1u32)?;
        set(&mut host, "bus-range", [first, last])?;
        set(&mut host, "reg", reg(&[config]))?;
        // Memory of 32-bit addresses that are the machine's own.
        let Area { base, size } = VIRTIO_WINDOW;
        let ranges = [0x0200_0000, 0, low(base), high(base), low(base), high(size), low(size)];
        set(&mut host, "ranges", ranges)?;
        set(&mut host, "dma-coherent", "".as_bytes())?;
        self.tree.root.add_child(host);
        Ok(())
    }

    /// Removes the seed of the kernel's address space layout: without one the
    /// kernel saves its relocation, and its addresses can be looked up in the
    /// package's symbol map. The seed of its random numbers stays; QEMU
    /// refreshes it at each start.
    pub fn drop_layout_seed(&mut self) {
        if let Some(chosen) = self.tree.root.child_mut("chosen") {
            chosen.remove_property("kaslr-seed");
        }
    }

    /// The blob to boot with.
    pub fn to_blob(&self) -> Vec<u8> {
        self.tree.to_dtb()
    }

    /// The tree as source text, for people.
    pub fn to_source(&self) -> String {
        self.tree.to_string()
    }

    fn phandle_of_its(&self) -> Result<u32, DeviceTreeError> {
        let missing = || DeviceTreeError::Missing(format!("/{GIC}/{ITS} with a phandle"));
        let its = self.tree.root.child(GIC).and_then(|gic| gic.child(ITS)).ok_or_else(missing)?;
        its.property("phandle").and_then(|p| p.value_as::<u32>().ok()).ok_or_else(missing)
    }

    fn free_phandle(&self) -> u32 {
        largest_phandle(&self.tree.root).wrapping_add(1)
    }
}

fn largest_phandle(node: &DeviceTreeNode) -> u32 {
    let own = node.property("phandle").and_then(|p| p.value_as::<u32>().ok()).unwrap_or(0);
    node.children().map(largest_phandle).fold(own, u32::max)
}

/// The bus that carries the board. Its `dma-ranges` is what makes Linux's
/// iommu_dma set devices below it up at all.
fn soc(nodes: &Nodes, its: u32, smmu: u32) -> Result<DeviceTreeNode, DeviceTreeError> {
    let mut soc = node("soc")?;
    set(&mut soc, "compatible", "simple-bus")?;
    set(&mut soc, "#address-cells", 2u32)?;
    set(&mut soc, "#size-cells", 2u32)?;
    set(&mut soc, "ranges", "".as_bytes())?;
    // 48 bits of address, one to one.
    set(&mut soc, "dma-ranges", [0, 0, 0, 0, 0x1_0000u32, 0])?;
    soc.add_child(smmu_node(nodes, smmu)?);
    soc.add_child(mc_node(nodes, its, smmu)?);
    Ok(soc)
}

fn smmu_node(nodes: &Nodes, phandle: u32) -> Result<DeviceTreeNode, DeviceTreeError> {
    let mut smmu = node(&format!("iommu@{:x}", SMMU.base))?;
    set(&mut smmu, "compatible", "arm,mmu-500")?;
    set(&mut smmu, "reg", reg(&[SMMU]))?;
    set(&mut smmu, "#iommu-cells", 1u32)?;
    set(&mut smmu, "#global-interrupts", 1u32)?;
    // One global interrupt, then one for each context bank; all are the same
    // line (shared peripheral, level, active high).
    let interrupts: Vec<u32> =
        (0..=nodes.context_banks).flat_map(|_| [0, SMMU_INTERRUPT, 4]).collect();
    set(&mut smmu, "interrupts", interrupts)?;
    set(&mut smmu, "dma-coherent", "".as_bytes())?;
    set(&mut smmu, "phandle", phandle)?;
    Ok(smmu)
}

fn mc_node(nodes: &Nodes, its: u32, smmu: u32) -> Result<DeviceTreeNode, DeviceTreeError> {
    let icid = u32::from(nodes.first_icid);
    let count = u32::from(nodes.icids);
    let mut mc = node(&format!("fsl-mc@{:x}", MC_PORTALS.base))?;
    set(&mut mc, "compatible", "fsl,qoriq-mc")?;
    set(&mut mc, "reg", reg(&[Area { base: MC_PORTALS.base, size: 0x40 }, MC_CONTROL]))?;
    // The one finds the interrupt domain, the other gives the DeviceID.
    set(&mut mc, "msi-parent", [its, 0u32])?;
    set(&mut mc, "msi-map", [icid, its, u32::from(requester_id(0)), count])?;
    // The stream id is the ICID itself.
    set(&mut mc, "iommu-map", [icid, smmu, icid, count])?;
    set(&mut mc, "dma-coherent", "".as_bytes())?;
    set(&mut mc, "#address-cells", 3u32)?;
    set(&mut mc, "#size-cells", 1u32)?;
    let qbman = Area { base: QBMAN_TRAPPED.base, size: QBMAN_TRAPPED.size + QBMAN_MEMORY.size };
    let ranges: Vec<u32> = [(0, MC_PORTALS), (1, qbman)]
        .into_iter()
        .flat_map(|(kind, area)| [kind, 0, 0, high(area.base), low(area.base), low(area.size)])
        .collect();
    set(&mut mc, "ranges", ranges)?;
    mc.add_child(dpmacs_node(&nodes.dpmacs)?);
    Ok(mc)
}

fn dpmacs_node(ids: &[u32]) -> Result<DeviceTreeNode, DeviceTreeError> {
    let mut dpmacs = node("dpmacs")?;
    set(&mut dpmacs, "#address-cells", 1u32)?;
    set(&mut dpmacs, "#size-cells", 0u32)?;
    for id in ids {
        let mut dpmac = node(&format!("ethernet@{id:x}"))?;
        set(&mut dpmac, "compatible", "fsl,qoriq-mc-dpmac")?;
        set(&mut dpmac, "reg", *id)?;
        dpmacs.add_child(dpmac);
    }
    Ok(dpmacs)
}

fn reg(areas: &[Area]) -> Vec<u32> {
    areas
        .iter()
        .flat_map(|area| [high(area.base), low(area.base), high(area.size), low(area.size)])
        .collect()
}

fn high(value: u64) -> u32 {
    (value >> 32) as u32
}

fn low(value: u64) -> u32 {
    value as u32
}

fn node(name: &str) -> Result<DeviceTreeNode, DeviceTreeError> {
    DeviceTreeNode::new(name).map_err(|e| DeviceTreeError::Name(e.to_string()))
}

fn set(
    node: &mut DeviceTreeNode,
    name: &str,
    value: impl ToPropertyValue,
) -> Result<(), DeviceTreeError> {
    let property =
        DeviceTreeProperty::new(name, value).map_err(|e| DeviceTreeError::Name(e.to_string()))?;
    node.add_property(property);
    Ok(())
}

// The msi-map starts at the first ICID's function.
const _: () = assert!(requester_id(0) == ICID_SLOT as u16 * 8);

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(tree: &DeviceTree, path: &str, name: &str) -> Vec<u32> {
        let node = tree.find_node(path).unwrap_or_else(|| panic!("no {path}"));
        let value =
            node.property(name).unwrap_or_else(|| panic!("no {path} {name}")).value().to_vec();
        value.chunks(4).map(|c| u32::from_be_bytes(c.try_into().unwrap())).collect()
    }

    fn machine() -> MachineTree {
        let mut tree = DeviceTree::new();
        let mut gic = node(GIC).unwrap();
        let mut its = node(ITS).unwrap();
        set(&mut its, "phandle", 0x8004u32).unwrap();
        gic.add_child(its);
        tree.root.add_child(gic);
        let mut host = node(PCI_HOST).unwrap();
        set(&mut host, "reg", [0x40u32, 0x1000_0000, 0, 0x1000_0000]).unwrap();
        tree.root.add_child(host);
        let mut chosen = node("chosen").unwrap();
        set(&mut chosen, "kaslr-seed", 1u64).unwrap();
        set(&mut chosen, "rng-seed", 2u64).unwrap();
        tree.root.add_child(chosen);
        MachineTree::read(&tree.to_dtb()).unwrap()
    }

    fn nodes() -> Nodes {
        Nodes { first_icid: 23, icids: 16, context_banks: 2, dpmacs: vec![3, 0x11] }
    }

    #[test]
    fn the_board_is_where_the_memory_map_says() {
        let mut machine = machine();
        assert_eq!(machine.ecam().unwrap(), 0x40_1000_0000);
        machine.add_board(&nodes()).unwrap();
        machine.drop_layout_seed();
        let blob = machine.to_blob();
        let tree = MachineTree::read(&blob).unwrap().tree;
        assert_eq!(
            tree.find_node("/pcie@10000000").unwrap().property("status").unwrap().value(),
            b"disabled\0"
        );
        assert!(tree.find_node("/chosen").unwrap().property("kaslr-seed").is_none());
        assert!(tree.find_node("/chosen").unwrap().property("rng-seed").is_some());

        let mc = "/soc/fsl-mc@10000000";
        assert_eq!(cells(&tree, mc, "reg"), [0, 0x1000_0000, 0, 0x40, 0, 0x1400_0000, 0, 0x4_0000]);
        assert_eq!(cells(&tree, mc, "msi-parent"), [0x8004, 0]);
        assert_eq!(cells(&tree, mc, "msi-map"), [23, 0x8004, 0x20, 16]);
        assert_eq!(cells(&tree, mc, "iommu-map"), [23, 0x8005, 23, 16]);
        assert_eq!(
            cells(&tree, mc, "ranges"),
            [0, 0, 0, 0, 0x1000_0000, 0x400_0000, 1, 0, 0, 0, 0x1800_0000, 0xc00_0000]
        );
        assert_eq!(cells(&tree, "/soc/fsl-mc@10000000/dpmacs/ethernet@11", "reg"), [0x11]);

        let smmu = "/soc/iommu@15000000";
        assert_eq!(cells(&tree, smmu, "phandle"), [0x8005]);
        assert_eq!(cells(&tree, smmu, "reg"), [0, 0x1500_0000, 0, 0x10_0000]);
        assert_eq!(cells(&tree, smmu, "interrupts"), [0, 5, 4, 0, 5, 4, 0, 5, 4]);
        assert_eq!(cells(&tree, "/soc", "dma-ranges"), [0, 0, 0, 0, 0x1_0000, 0]);
    }

    #[test]
    fn the_virtio_bus_is_a_host_of_its_own() {
        let mut machine = machine();
        let ecam = machine.ecam().unwrap();
        machine.add_virtio_bus().unwrap();
        let tree = DeviceTree::from_fdt(&Fdt::new(&machine.to_blob()).unwrap());
        let at = ecam + 0x800_0000;
        let path = format!("/pcie@{at:x}");
        assert_eq!(cells(&tree, &path, "reg"), [high(at), low(at), 0, 0x100_0000]);
        assert_eq!(cells(&tree, &path, "bus-range"), [0x80, 0x8f]);
        let ranges = [0x0200_0000, 0, 0x3000_0000, 0, 0x3000_0000, 0, 0x100_0000];
        assert_eq!(cells(&tree, &path, "ranges"), ranges);
    }

    #[test]
    fn a_machine_without_its_or_pci_is_refused() {
        let mut machine = machine();
        machine.tree.root.remove_child(PCI_HOST);
        assert!(machine.ecam().unwrap_err().to_string().contains("pcie@10000000"));
        assert!(machine.add_board(&nodes()).is_err());
        machine.tree.root.remove_child(GIC);
        assert!(machine.add_board(&nodes()).unwrap_err().to_string().contains("its@8080000"));
        assert!(MachineTree::read(b"not a blob").is_err());
        assert!(MachineTree::read(&[]).is_err());
    }
}
