// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A software portal that does nothing by itself: its areas keep what is written to them.

use super::{Portal, PortalConfig};
use crate::backend::Backend;
use crate::dma::{Access, AddressSpace, DmaBuffer, MapError, Mapped};
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::memory::{MappedRegion, RegionAccess};
use crate::portal::McPortal;
use fsl_mc_linux::Mapping;
use mc_abi::dpio::GetAttributesReply;
use mc_abi::{ObjectId, ObjectType};
use rustix::io::Errno;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Bytes of an area.
const AREA: usize = 0x1_0000;
/// A queue manager whose portals see commands come, 4.1.
const DIRECT: u32 = 0x0401_0000;

/// An area of a portal.
#[derive(Debug)]
pub struct Area(Mutex<Vec<u8>>);

impl RegionAccess for Area {
    fn load(&self, offset: u64, bytes: &mut [u8]) {
        let at = offset as usize;
        bytes.copy_from_slice(&self.0.lock().unwrap()[at..at + bytes.len()]);
    }

    fn store(&self, offset: u64, bytes: &[u8]) {
        let at = offset as usize;
        self.0.lock().unwrap()[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// The two areas of a portal: its rings, and its registers.
#[derive(Debug)]
pub struct Areas {
    pub rings: Arc<Area>,
    pub registers: Arc<Area>,
}

/// Memory that nothing reaches.
#[derive(Debug)]
struct Nowhere;

impl AddressSpace for Nowhere {
    fn map(&self, _: &Arc<Mapping>, _: u64, _: Access) -> Result<()> {
        Ok(())
    }

    fn unmap(&self, _: u64, _: u64) -> Result<()> {
        Ok(())
    }
}

/// What a portal does not need.
fn unused() -> Error {
    let (asked, of, advice) = ("a call", "a test".to_owned(), "");
    Error::Kernel { asked, of, errno: Errno::NOSYS, advice }
}

impl Backend for Areas {
    fn name(&self) -> &str {
        "dprc.2"
    }

    fn portal(&self) -> Result<McPortal> {
        Err(unused())
    }

    fn map_region(&self, object: ObjectId, index: u32) -> Result<MappedRegion> {
        let area = if index == 1 { &self.registers } else { &self.rings };
        Ok(MappedRegion::of_calls(&object.to_string(), index, AREA, area.clone()))
    }

    fn map(
        &self,
        buffer: DmaBuffer,
        iova: u64,
        access: Access,
    ) -> std::result::Result<Mapped, Box<MapError>> {
        Mapped::within(Arc::new(Nowhere), buffer, iova, access)
    }

    fn enable_interrupt(&self, _: ObjectId, _: u32) -> Result<Interrupt> {
        Err(unused())
    }

    fn reset(&self) -> Result<()> {
        Err(unused())
    }
}

/// A portal with its areas, which waits so long.
pub fn portal(patience: Duration) -> (Portal, Areas) {
    let [rings, registers] = [(); 2].map(|()| Arc::new(Area(Mutex::new(vec![0; AREA]))));
    let areas = Areas { rings, registers };
    let attributes =
        GetAttributesReply { id: 7, qbman_version: DIRECT, ..GetAttributesReply::default() };
    let config = PortalConfig { storage: 0x1000, patience };
    let portal = Portal::open(&areas, &attributes, &config).unwrap();
    assert_eq!(portal.object(), ObjectId::new(ObjectType::Dpio, 7));
    (portal, areas)
}
