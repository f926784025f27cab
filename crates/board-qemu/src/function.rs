// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The PCI functions that the board consists of, as vfio-user servers.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_INFO_AUTOMASKED, VFIO_IRQ_INFO_EVENTFD, VFIO_IRQ_INFO_MASKABLE,
    VFIO_IRQ_SET_ACTION_MASK, VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_UNMASK,
    VFIO_IRQ_SET_DATA_EVENTFD, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_ERR_IRQ_INDEX,
    VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX, VFIO_REGION_INFO_FLAG_MMAP,
    VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE,
};

use crate::config_space::{ConfigSpace, Interrupts, MSIX_BAR};
use crate::guest_ram::GuestRam;
use crate::hardware::{Hardware, Window};
use crate::interrupts::{Pin, Vectors};
use crate::memory_map::{
    Area, ICID_SLOT, MSIX_STRIDE, QBMAN_MEMORY, QBMAN_SLOT, SMMU_SLOT, VECTORS, area_of, msix_table,
};
use crate::vfio_user::{Description, Device, DmaRange, Irq, IrqSet, Region, ServeError, Server};

/// Regions that QEMU asks for: six BARs, the ROM, the configuration space, VGA.
const REGIONS: u32 = 9;
/// Interrupt indices that QEMU asks for: INTx, MSI, MSI-X, error, request.
const IRQS: u32 = 5;

/// One function: what it is, and where the guest finds it.
pub struct Function {
    /// What it is called in traces and errors.
    pub name: String,
    /// PCI slot on bus 0.
    pub slot: u8,
    /// Function number in the slot.
    pub number: u8,
    /// Whether its slot has more functions (function 0 says so).
    pub multifunction: bool,
    kind: Kind,
}

enum Kind {
    /// Messages of one ICID; the first also carries the MC's windows.
    Icid { index: u16, vectors: Arc<Vectors>, windows: bool },
    /// The SMMU's registers.
    Smmu { pin: Arc<Pin> },
    /// The QBMan portals: the memory-backed ones, which the guest maps, and the
    /// trapped window.
    Portals { file: OwnedFd },
}

/// What a function's accesses reach.
#[derive(Clone)]
pub struct Backplane {
    /// The board.
    pub hardware: Arc<dyn Hardware>,
    /// RAM, filled by the first ICID's function.
    pub ram: Arc<GuestRam>,
}

/// The windows of the first ICID's function, by BAR.
const MC_BARS: [(u8, Window); 2] = [(0, Window::McPortals), (1, Window::McControl)];
/// The BARs of the portals' function: the memory-backed ones and the window.
const PORTAL_MEMORY_BAR: u8 = 0;
const PORTAL_BARS: [(u8, Window); 1] = [(2, Window::Qbman)];
const SMMU_BARS: [(u8, Window); 1] = [(0, Window::Smmu)];

impl Function {
    /// The functions of all ICIDs; ICID number `i` interrupts by `vectors[i]`.
    pub fn icids(vectors: &[Arc<Vectors>]) -> Vec<Self> {
        let count = vectors.len() as u16;
        (0..count)
            .zip(vectors)
            .map(|(index, vectors)| Self {
                name: if index == 0 {
                    "MC function".into()
                } else {
                    format!("interrupt function {index}")
                },
                slot: ICID_SLOT + (index / 8) as u8,
                number: (index % 8) as u8,
                multifunction: index % 8 == 0 && index + 1 < count,
                kind: Kind::Icid { index, vectors: vectors.clone(), windows: index == 0 },
            })
            .collect()
    }

    /// The SMMU's function.
    pub fn smmu(pin: Arc<Pin>) -> Self {
        let kind = Kind::Smmu { pin };
        Self {
            name: "SMMU function".into(),
            slot: SMMU_SLOT,
            number: 0,
            multifunction: false,
            kind,
        }
    }

    /// The function of the QBMan portals; `file` is the memory of those that are
    /// memory-backed.
    pub fn portals(file: OwnedFd) -> Self {
        let kind = Kind::Portals { file };
        Self {
            name: "QBMan function".into(),
            slot: QBMAN_SLOT,
            number: 0,
            multifunction: false,
            kind,
        }
    }

    /// Its address in QEMU's notation.
    pub fn address(&self) -> String {
        format!("{:02x}.{}", self.slot, self.number)
    }

    /// Whether the guest goes on while a write is under way. Not where what it does next
    /// counts on the write: a doorbell is done when the store is, or software that polls
    /// gives up too early; and a stream goes to another context before its master is told
    /// to use it, by a function that another thread serves.
    pub fn posts_writes(&self) -> bool {
        matches!(self.kind, Kind::Icid { .. })
    }

    /// The BARs and where each lies.
    pub fn bars(&self) -> Vec<(u8, Area)> {
        let windows = self.windows().iter().map(|(bar, window)| (*bar, area_of(*window)));
        let memory = match &self.kind {
            Kind::Icid { index, .. } => {
                Some((MSIX_BAR, Area { base: msix_table(*index), size: MSIX_STRIDE }))
            }
            Kind::Smmu { .. } => None,
            Kind::Portals { .. } => Some((PORTAL_MEMORY_BAR, QBMAN_MEMORY)),
        };
        windows.chain(memory).collect()
    }

    /// The BARs whose accesses the board answers.
    fn windows(&self) -> &'static [(u8, Window)] {
        match self.kind {
            Kind::Icid { windows: true, .. } => &MC_BARS,
            Kind::Icid { windows: false, .. } => &[],
            Kind::Smmu { .. } => &SMMU_BARS,
            Kind::Portals { .. } => &PORTAL_BARS,
        }
    }

    /// How it interrupts.
    pub fn interrupts(&self) -> Interrupts {
        match self.kind {
            Kind::Icid { .. } => Interrupts::Msix,
            Kind::Smmu { .. } => Interrupts::Pin,
            Kind::Portals { .. } => Interrupts::None,
        }
    }

    /// Listens on `socket`. Serving is [`Serving::run`]'s.
    ///
    /// # Errors
    /// Where the socket cannot be bound.
    pub fn listen(self, socket: &Path, backplane: Backplane) -> io::Result<Serving> {
        let server = Server::bind(socket)?;
        let device = match self.kind {
            Kind::Icid { .. } => 0x80c0,
            Kind::Smmu { .. } => 0x80c1,
            Kind::Portals { .. } => 0x80c2,
        };
        let config = ConfigSpace::new(device, self.interrupts(), self.multifunction);
        let description = Description { regions: self.regions()?, irqs: self.irqs() };
        let backend = Backend { function: self, config, backplane };
        Ok(Serving { server, description, backend })
    }

    fn regions(&self) -> io::Result<Vec<Region>> {
        let bars = self.bars();
        (0..REGIONS)
            .map(|index| {
                let bar = bars.iter().find(|(bar, _)| u32::from(*bar) == index);
                let size = match bar {
                    Some((_, area)) => area.size,
                    None if index == VFIO_PCI_CONFIG_REGION_INDEX => 256,
                    None => 0,
                };
                let file = match &self.kind {
                    Kind::Portals { file } if index == u32::from(PORTAL_MEMORY_BAR) => {
                        Some(file.try_clone()?)
                    }
                    _ => None,
                };
                Ok(region(size, file))
            })
            .collect()
    }

    fn irqs(&self) -> Vec<Irq> {
        (0..IRQS)
            .map(|index| {
                let (count, flags) = match (self.interrupts(), index) {
                    (Interrupts::Msix, VFIO_PCI_MSIX_IRQ_INDEX) => {
                        (VECTORS.into(), VFIO_IRQ_INFO_EVENTFD)
                    }
                    // Never signalled; QEMU warns about functions without it.
                    (_, VFIO_PCI_ERR_IRQ_INDEX) => (1, VFIO_IRQ_INFO_EVENTFD),
                    (Interrupts::Pin, VFIO_PCI_INTX_IRQ_INDEX) => (
                        1,
                        VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED,
                    ),
                    _ => (0, 0),
                };
                Irq { flags, count }
            })
            .collect()
    }
}

fn region(size: u64, file: Option<OwnedFd>) -> Region {
    let mut flags =
        if size == 0 { 0 } else { VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE };
    if file.is_some() {
        flags |= VFIO_REGION_INFO_FLAG_MMAP;
    }
    Region { flags, size, file }
}

/// A function that listens.
pub struct Serving {
    server: Server,
    description: Description,
    backend: Backend,
}

impl Serving {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.backend.function.name
    }

    /// Serves one connection until its other end closes it.
    ///
    /// # Errors
    /// Where the connection fails.
    pub fn run(mut self) -> Result<(), ServeError> {
        self.server.serve(&self.description, &mut self.backend)
    }
}

struct Backend {
    function: Function,
    config: ConfigSpace,
    backplane: Backplane,
}

impl Backend {
    fn window(&self, region: u32) -> Option<Window> {
        let mut windows = self.function.windows().iter();
        windows.find(|(bar, _)| u32::from(*bar) == region).map(|(_, window)| *window)
    }

    fn is_inside(window: Window, offset: u64, length: usize) -> bool {
        offset.checked_add(length as u64).is_some_and(|end| end <= area_of(window).size)
    }
}

impl Device for Backend {
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        if region == VFIO_PCI_CONFIG_REGION_INDEX {
            self.config.read(offset, data);
            return Ok(());
        }
        match self.window(region) {
            Some(window) if Self::is_inside(window, offset, data.len()) => {
                self.backplane.hardware.read(window, offset, data);
            }
            // What is left of the MSI-X area, where QEMU emulates the table.
            _ => data.fill(0),
        }
        Ok(())
    }

    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        if region == VFIO_PCI_CONFIG_REGION_INDEX {
            self.config.write(offset, data);
            return Ok(());
        }
        if let Some(window) = self.window(region)
            && Self::is_inside(window, offset, data.len())
        {
            self.backplane.hardware.write(window, offset, data);
        }
        Ok(())
    }

    fn dma_map(
        &mut self,
        range: DmaRange,
        writable: bool,
        file: Option<(File, u64)>,
    ) -> io::Result<()> {
        // Every function is notified; one of them keeps the memory. What comes
        // without a file is another function's registers, what cannot be
        // written is flash.
        let Kind::Icid { windows: true, .. } = self.function.kind else { return Ok(()) };
        let Some((file, offset)) = file.filter(|_| writable) else { return Ok(()) };
        let DmaRange { address, size } = range;
        tracing::debug!(size, offset, "guest memory at {address:#x}");
        self.backplane.ram.map(address, size, file, offset).map_err(io::Error::other)
    }

    fn dma_unmap(&mut self, range: Option<DmaRange>) -> io::Result<()> {
        let Kind::Icid { windows: true, .. } = self.function.kind else { return Ok(()) };
        match range {
            Some(DmaRange { address, size }) => self.backplane.ram.unmap(address, size),
            None => self.backplane.ram.unmap_all(),
        }
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        tracing::debug!(function = self.function.name, "PCI reset");
        Ok(())
    }

    fn set_irqs(&mut self, set: IrqSet) -> io::Result<()> {
        tracing::trace!(function = self.function.name, ?set, "SET_IRQS");
        let IrqSet { index, flags, start, count, eventfds } = set;
        match (&self.function.kind, index) {
            // A count of 0 disables; anything else names eventfds.
            (Kind::Icid { vectors, .. }, VFIO_PCI_MSIX_IRQ_INDEX)
                if count == 0 || flags & VFIO_IRQ_SET_DATA_EVENTFD != 0 =>
            {
                vectors.set(start, count, eventfds);
            }
            (Kind::Smmu { pin }, VFIO_PCI_INTX_IRQ_INDEX)
                if flags & VFIO_IRQ_SET_ACTION_TRIGGER != 0 =>
            {
                pin.set_eventfd(eventfds.into_iter().next());
            }
            // An eventfd with UNMASK would resample without us; QEMU uses that with KVM only.
            (Kind::Smmu { pin }, VFIO_PCI_INTX_IRQ_INDEX)
                if flags & VFIO_IRQ_SET_DATA_EVENTFD == 0 =>
            {
                if flags & VFIO_IRQ_SET_ACTION_UNMASK != 0 {
                    pin.unmask();
                } else if flags & VFIO_IRQ_SET_ACTION_MASK != 0 {
                    pin.mask();
                }
            }
            (_, VFIO_PCI_ERR_IRQ_INDEX) => {}
            _ => return Err(io::ErrorKind::Unsupported.into()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_map::QBMAN_TRAPPED;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);

    impl Hardware for Recorder {
        fn read(&self, window: Window, offset: u64, buf: &mut [u8]) {
            self.0.lock().unwrap().push(format!("read {window:?} {offset:#x} {}", buf.len()));
            buf.fill(0x5a);
        }
        fn write(&self, window: Window, offset: u64, data: &[u8]) {
            self.0.lock().unwrap().push(format!("write {window:?} {offset:#x} {data:x?}"));
        }
    }

    fn backend(function: Function) -> (Backend, Arc<Recorder>) {
        let recorder = Arc::new(Recorder::default());
        let config = ConfigSpace::new(0x80c0, function.interrupts(), function.multifunction);
        let backplane = Backplane { hardware: recorder.clone(), ram: Arc::default() };
        (Backend { function, config, backplane }, recorder)
    }

    fn icids(count: usize) -> Vec<Function> {
        Function::icids(&(0..count).map(|_| Arc::default()).collect::<Vec<_>>())
    }

    #[test]
    fn icids_fill_slots_in_order_and_the_first_carries_the_windows() {
        let functions = icids(17);
        let addresses: Vec<String> = functions.iter().map(Function::address).collect();
        assert_eq!(addresses[..9].join(" "), "04.0 04.1 04.2 04.3 04.4 04.5 04.6 04.7 05.0");
        assert_eq!(addresses[16], "06.0");
        let multifunction: Vec<usize> = (0..17).filter(|i| functions[*i].multifunction).collect();
        assert_eq!(multifunction, [0, 8], "a slot's function 0, and only where others follow");
        assert_eq!(functions[0].bars().len(), 3);
        assert_eq!(functions[3].bars(), [(4, Area { base: 0x1603_0000, size: 0x1_0000 })]);
        for (index, function) in (0u16..).zip(&functions) {
            assert_eq!(
                crate::memory_map::requester_id(index),
                u16::from(function.slot) * 8 + u16::from(function.number)
            );
        }
    }

    #[test]
    fn qemu_is_offered_nine_regions_and_five_interrupt_indices() {
        let function = &icids(1)[0];
        let sizes: Vec<u64> = function.regions().unwrap().iter().map(|r| r.size).collect();
        assert_eq!(sizes, [0x400_0000, 0x4_0000, 0, 0, 0x1_0000, 0, 0, 256, 0]);
        let counts: Vec<u32> = function.irqs().iter().map(|i| i.count).collect();
        assert_eq!(counts, [0, 0, 256, 1, 0]);
        let smmu = Function::smmu(Arc::default());
        assert_eq!(smmu.irqs().iter().map(|i| i.count).collect::<Vec<_>>(), [1, 0, 0, 1, 0]);
        let file = rustix::fs::memfd_create("t", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let portals = Function::portals(file).regions().unwrap();
        let sizes: Vec<u64> = portals.iter().map(|r| r.size).collect();
        assert_eq!(sizes, [0x400_0000, 0, 0x800_0000, 0, 0, 0, 0, 256, 0]);
        let mapped = |r: &Region| (r.flags & VFIO_REGION_INFO_FLAG_MMAP != 0, r.file.is_some());
        assert_eq!(mapped(&portals[0]), (true, true));
        assert!(portals.iter().skip(1).all(|r| mapped(r) == (false, false)));
    }

    #[test]
    fn accesses_reach_their_window_and_never_past_it() {
        let (mut backend, seen) = backend(icids(1).remove(0));
        let mut buf = [0; 8];
        backend.region_read(0, 0x1_0000, &mut buf).unwrap();
        assert_eq!(buf, [0x5a; 8]);
        backend.region_write(1, 8, &[1, 0, 0, 0]).unwrap();
        backend.region_write(0, 0x3ff_fffc, &[1, 2, 3, 4]).unwrap();
        backend.region_write(0, 0x3ff_fffd, &[1, 2, 3, 4]).unwrap();
        backend.region_write(2, 0, &[1, 2, 3, 4]).unwrap();
        backend.region_read(1, u64::MAX, &mut buf).unwrap();
        assert_eq!(buf, [0; 8]);
        backend.region_read(3, 0, &mut buf).unwrap();
        backend.region_read(4, 0x8000, &mut buf).unwrap();
        assert_eq!(
            *seen.0.lock().unwrap(),
            [
                "read McPortals 0x10000 8",
                "write McControl 0x8 [1, 0, 0, 0]",
                "write McPortals 0x3fffffc [1, 2, 3, 4]"
            ]
        );
    }

    #[test]
    fn the_portals_window_lies_beside_their_memory() {
        let file = rustix::fs::memfd_create("t", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let (mut backend, seen) = backend(Function::portals(file));
        assert_eq!(backend.function.bars(), [(2, QBMAN_TRAPPED), (0, QBMAN_MEMORY)]);
        backend.region_write(2, 0x400_0900, &[0, 1, 0, 0]).unwrap();
        backend.region_read(2, 0x7ff_fffc, &mut [0; 4]).unwrap();
        backend.region_read(2, 0x7ff_fffd, &mut [0; 4]).unwrap();
        backend.region_write(0, 0, &[1]).unwrap();
        assert_eq!(
            *seen.0.lock().unwrap(),
            ["write Qbman 0x4000900 [0, 1, 0, 0]", "read Qbman 0x7fffffc 4"]
        );
    }

    #[test]
    fn other_functions_have_no_windows() {
        let (mut backend, seen) = backend(icids(2).remove(1));
        backend.region_write(0, 0, &[1]).unwrap();
        backend.region_read(0, 0, &mut [0; 4]).unwrap();
        assert!(seen.0.lock().unwrap().is_empty());
    }

    #[test]
    fn only_the_first_function_keeps_guest_memory() {
        use board::host::GuestMemory;
        for (index, expected) in [(0, true), (1, false)] {
            let (mut backend, _) = backend(icids(2).remove(index));
            let file = tempfile::tempfile().unwrap();
            file.set_len(0x1000).unwrap();
            let rom = file.try_clone().unwrap();
            let range = |address| DmaRange { address, size: 0x1000 };
            backend.dma_map(range(0x4000_0000), true, Some((file, 0))).unwrap();
            backend.dma_map(range(0), false, Some((rom, 0))).unwrap();
            backend.dma_map(range(0x1c00_0000), true, None).unwrap();
            let ram = backend.backplane.ram.clone();
            assert_eq!(ram.read_u64(0x4000_0000).is_ok(), expected);
            assert!(ram.read_u64(0).is_err());
            backend.dma_unmap(Some(range(0x1c00_0000))).unwrap();
            backend.dma_unmap(Some(range(0x4000_0000))).unwrap();
            assert!(ram.read_u64(0x4000_0000).is_err());
        }
    }

    #[test]
    fn unknown_interrupt_indices_are_refused() {
        let (mut backend, _) = backend(icids(1).remove(0));
        let set = |index, count| IrqSet { index, flags: 0, start: 0, count, eventfds: vec![] };
        assert!(backend.set_irqs(set(VFIO_PCI_INTX_IRQ_INDEX, 1)).is_err());
        assert!(backend.set_irqs(set(VFIO_PCI_MSIX_IRQ_INDEX, 0)).is_ok());
    }
}
