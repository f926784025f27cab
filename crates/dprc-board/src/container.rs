// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A container in the hands of this process.

use crate::in_process::InProcessBoard;
use crate::interrupts::{Lines, Routed};
use crate::portal::Registers;
use crate::regions::{InMemory, InWindow, Portals};
use crate::space::{DOORBELL, Space};
use board::{Board, Window, qbman};
use dprc::{
    Access, AddressSpace, Backend, DmaBuffer, Error, EventFd, Interrupt, MapError, Mapped,
    MappedRegion, McPortal, OpenObject, Result, Turns,
};
use mc_abi::dprc::{
    self as container, GetObjectRegion, REGION_MC_PORTAL, REGION_QBMAN_PORTAL, Reset,
};
use mc_abi::{ObjectId, ObjectType};
use parking_lot::Mutex;
use rustix::io::Errno;
use std::{collections::BTreeSet, fmt, sync::Arc};

/// A container of an [`InProcessBoard`] that this process has.
#[derive(Clone)]
pub struct InProcessContainer {
    name: String,
    held: Arc<Held>,
    space: Arc<Space>,
}

impl fmt::Debug for InProcessContainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessContainer").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What portals and regions share, and the last of which resets the container.
struct Held {
    board: Arc<Board>,
    lines: Arc<Lines>,
    portals: Arc<Portals>,
    root: Arc<Mutex<McPortal>>,
    /// The container, as the root's portal has it open.
    open: OpenObject,
    icid: u16,
    /// Number of the container's own command portal.
    portal: u32,
    /// At that.
    turns: Turns,
    all: Arc<Mutex<BTreeSet<ObjectId>>>,
}

impl Held {
    fn reset(&self) -> Result<()> {
        let reset = Reset { child: self.open.object.id, options: 0 };
        Ok(self.root.lock().call(self.open, &reset)?)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Nobody is left to report to.
        let _ = self.reset();
        let _ = self.root.lock().close(self.open);
        self.all.lock().remove(&self.open.object);
    }
}

impl InProcessContainer {
    pub(crate) fn new(
        board: &InProcessBoard,
        open: OpenObject,
        icid: u16,
        portal: u32,
        space: Arc<Space>,
    ) -> Self {
        let held = Held {
            board: board.board.clone(),
            lines: board.lines.clone(),
            portals: board.portals.clone(),
            root: board.root.clone(),
            open,
            icid,
            portal,
            turns: Turns::default(),
            all: board.held.clone(),
        };
        Self { name: open.object.to_string(), held: Arc::new(held), space }
    }

    fn region(&self, object: ObjectId, index: u32) -> Result<container::GetObjectRegionReply> {
        let number = u8::try_from(index).map_err(|_| Error::Region {
            device: object.to_string(),
            index,
            what: "is not there".to_owned(),
        })?;
        let get = GetObjectRegion { id: object.id, index: number, kind: object.kind };
        Ok(self.held.root.lock().call(self.held.open, &get)?)
    }
}

impl Backend for InProcessContainer {
    fn name(&self) -> &str {
        &self.name
    }

    fn portal(&self) -> Result<McPortal> {
        let registers = Registers {
            board: self.held.board.clone(),
            number: self.held.portal,
            _held: Some(self.held.clone()),
        };
        let name = format!("{} (in process)", self.name);
        Ok(McPortal::new(name, registers).in_turn(&self.held.turns))
    }

    fn map_region(&self, object: ObjectId, index: u32) -> Result<MappedRegion> {
        let no_region =
            |what: &str| Error::Region { device: object.to_string(), index, what: what.to_owned() };
        if object.kind == ObjectType::Dprc {
            let what = "may not be mapped; a container's own portal is used by read and write";
            return Err(no_region(what));
        }
        let region = self.region(object, index)?;
        let name = object.to_string();
        let size = region.size as usize;
        let (board, _held) = (self.held.board.clone(), self.held.clone());
        let window = match region.window {
            REGION_QBMAN_PORTAL if region.offset >= qbman::WINDOW_SIZE => {
                let start = region.offset - qbman::WINDOW_SIZE;
                let portals = self.held.portals.clone();
                let access = Arc::new(InMemory { portals, start, _held });
                return Ok(MappedRegion::of_calls(&name, index, size, access));
            }
            REGION_QBMAN_PORTAL => Window::Qbman,
            REGION_MC_PORTAL => Window::McPortals,
            _ => return Err(no_region("is in a window that is not known")),
        };
        let access = Arc::new(InWindow { board, window, start: region.offset, _held });
        Ok(MappedRegion::of_calls(&name, index, size, access))
    }

    fn map(
        &self,
        buffer: DmaBuffer,
        iova: u64,
        access: Access,
    ) -> std::result::Result<Mapped, Box<MapError>> {
        let space: Arc<dyn AddressSpace> = self.space.clone();
        Mapped::within(space, buffer, iova, access)
    }

    fn enable_interrupt(&self, object: ObjectId, index: u32) -> Result<Interrupt> {
        let index = u8::try_from(index).map_err(|_| Error::Kernel {
            asked: "enabling an interrupt",
            of: format!("{object} (interrupt {index})"),
            errno: Errno::INVAL,
            advice: "The device has fewer interrupts",
        })?;
        let events = Arc::new(EventFd::new()?);
        let Held { lines, root, open, icid, .. } = &*self.held;
        let value = lines.add(*icid, object, index, &events)?;
        let routed = Routed {
            lines: lines.clone(),
            icid: *icid,
            value,
            events: events.clone(),
            object,
            index,
            parent: root.clone(),
            container: *open,
            _held: self.held.clone(),
        };
        routed.route(DOORBELL, value).inspect_err(|_| lines.remove(*icid, value))?;
        Ok(Interrupt::of(routed, events))
    }

    fn reset(&self) -> Result<()> {
        self.held.reset()
    }
}
