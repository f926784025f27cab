// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The board, and the kernel's part around it.

use crate::container::InProcessContainer;
use crate::contents::Contents;
use crate::interrupts::Lines;
use crate::physical::Physical;
use crate::portal::Registers;
use crate::regions::Portals;
use crate::space::{Space, TABLE_MEMORY, Tables};
use board::host::{Capture, Host, NoCapture, NoWires, Wires};
use board::{Board, BoardConfig, mc::LoadError, qbman};
use dprc::{McPortal, OpenObject, PortalError};
use fsl_mc_linux::Mapping;
use mc_abi::{ObjectId, ObjectType, dprc as container};
use parking_lot::Mutex;
use rustix::io::Errno;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, atomic::Ordering},
};

/// The root container of every board.
const ROOT: ObjectId = ObjectId::new(ObjectType::Dprc, 1);

/// What a board is made with.
pub struct Options {
    /// Layout, chip, faults, traces.
    pub config: BoardConfig,
    /// What its Ethernet ports are connected to.
    pub wires: Arc<dyn Wires>,
    /// Who looks at frames.
    pub capture: Arc<dyn Capture>,
}

impl Default for Options {
    /// An LX2160A with an empty root container, no wires and no captures.
    fn default() -> Self {
        Self {
            config: BoardConfig::default(),
            wires: Arc::new(NoWires),
            capture: Arc::new(NoCapture),
        }
    }
}

/// Why there is no board, or no container of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The MC cannot make what the layout asks for.
    #[error(transparent)]
    Layout(#[from] LoadError),
    /// This process has no address space left.
    #[error("no memory for the board: {0}")]
    Memory(#[from] Errno),
    /// The MC refuses a command of this crate's.
    #[error(transparent)]
    Mc(#[from] PortalError),
    /// Somebody has the container.
    #[error("{0} is held already: drop what was made of it before it is opened again")]
    Held(ObjectId),
    /// More containers than the SMMU has context banks.
    #[error("the SMMU has no context bank, or no table memory, left for {0}")]
    NoBank(ObjectId),
}

/// An emulated board in this process, with what Linux would do around it.
pub struct InProcessBoard {
    pub(crate) board: Arc<Board>,
    pub(crate) lines: Arc<Lines>,
    pub(crate) portals: Arc<Portals>,
    /// A portal of the root container.
    pub(crate) root: Arc<Mutex<McPortal>>,
    root_open: OpenObject,
    physical: Arc<Physical>,
    tables: Arc<Tables>,
    /// By isolation id.
    spaces: Mutex<BTreeMap<u16, Arc<Space>>>,
    pub(crate) held: Arc<Mutex<BTreeSet<ObjectId>>>,
}

impl fmt::Debug for InProcessBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessBoard").finish_non_exhaustive()
    }
}

impl InProcessBoard {
    /// A board with an empty root container `dprc.1`.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn new() -> Result<Self, Error> {
        Self::with(Options::default())
    }

    /// A board of this configuration.
    ///
    /// # Errors
    /// [`Error::Layout`], [`Error::Memory`].
    pub fn with(options: Options) -> Result<Self, Error> {
        let tables = Arc::new(Mapping::anonymous(TABLE_MEMORY)?);
        let physical = Arc::new(Physical::new(tables.clone()));
        let portals = Arc::new(Portals(Mapping::anonymous(qbman::MEMORY_SIZE as usize)?));
        let lines = Arc::new(Lines::default());
        let host = Host {
            wires: options.wires,
            capture: options.capture,
            ..Host::new(physical.clone(), lines.clone(), portals.clone())
        };
        let board = Arc::new(Board::new(options.config, host)?);
        let registers = Registers { board: board.clone(), number: 0, _held: None };
        let mut root = McPortal::new(format!("{ROOT} (in process)"), registers);
        let root_open = root.open(ROOT)?;
        Ok(Self {
            board,
            lines,
            portals,
            root: Arc::new(Mutex::new(root)),
            root_open,
            physical,
            tables: Arc::new(Tables::new(tables)),
            spaces: Mutex::default(),
            held: Arc::default(),
        })
    }

    /// The board itself.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Makes a container below the root with these objects, plugged in; its id.
    ///
    /// # Errors
    /// [`Error::Mc`].
    pub fn make_container(&self, contents: &Contents) -> Result<ObjectId, Error> {
        let mut root = self.root.lock();
        let request = container::CreateContainer {
            options: container::option::ALL & !container::option::AIOP,
            icid: container::ICID_FROM_POOL,
            portal: container::PORTAL_FROM_POOL,
            ..Default::default()
        };
        let made = root.call(self.root_open, &request)?;
        let id = ObjectId::new(ObjectType::Dprc, made.child);
        let child = root.open(id)?;
        let outcome = contents.make(&mut root, self.root_open, child);
        let closed = root.close(child);
        outcome?;
        closed?;
        Ok(id)
    }

    /// Gives a container to this process, as VFIO does once it is bound to `vfio-fsl-mc`.
    /// When all that was made of it is dropped it is reset, and can be opened again.
    ///
    /// # Errors
    /// [`Error::Held`], [`Error::NoBank`], or [`Error::Mc`] where there is no such container.
    pub fn open(&self, id: ObjectId) -> Result<InProcessContainer, Error> {
        if !self.held.lock().insert(id) {
            return Err(Error::Held(id));
        }
        let opened = self.open_held(id);
        if opened.is_err() {
            self.held.lock().remove(&id);
        }
        opened
    }

    fn open_held(&self, id: ObjectId) -> Result<InProcessContainer, Error> {
        let mut root = self.root.lock();
        let open = root.open(id)?;
        let attributes = match root.call(open, &container::GetAttributes {}) {
            Ok(attributes) => attributes,
            Err(error) => {
                let _ = root.close(open);
                return Err(error.into());
            }
        };
        drop(root);
        let icid = attributes.icid as u16;
        match self.space(icid) {
            Some(space) => Ok(InProcessContainer::new(self, open, icid, attributes.portal, space)),
            None => {
                let _ = self.root.lock().close(open);
                Err(Error::NoBank(id))
            }
        }
    }

    fn space(&self, icid: u16) -> Option<Arc<Space>> {
        let mut spaces = self.spaces.lock();
        if let Some(space) = spaces.get(&icid) {
            return Some(space.clone());
        }
        let bank = u16::try_from(spaces.len()).ok()?;
        let space = Space::new(&self.board, &self.physical, &self.tables, bank, icid)?;
        let space = Arc::new(space);
        spaces.insert(icid, space.clone());
        Some(space)
    }

    /// How often the SMMU has reported accesses that it did not let through, since the
    /// board was made: once for each time its interrupt line rose.
    pub fn faults(&self) -> u64 {
        self.lines.faults.load(Ordering::Relaxed)
    }
}
