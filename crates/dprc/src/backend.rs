// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Where a container comes from: Linux's VFIO, or something else that has one, such as
//! an emulated board in the same process. What is built on this trait does not know.

use crate::assigned::AssignedContainer;
use crate::dma::{Access, DmaBuffer, MapError, Mapped};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::iommufd::IommufdContainer;
use crate::memory::MappedRegion;
use crate::portal::McPortal;
use mc_abi::{ObjectId, ObjectType};
use std::fmt::Debug;

/// A container that a program has, and what it can do with it.
pub trait Backend: Debug + Send + Sync {
    /// Name of the container on the bus, such as `dprc.2`.
    fn name(&self) -> &str;

    /// A command portal of the container's. While there is one, the container keeps its
    /// state. It is for one thread; several take turns ([`McPortal::in_turn`]), however many
    /// this is called for.
    ///
    /// # Errors
    /// When there is no portal.
    fn portal(&self) -> Result<McPortal>;

    /// Maps a region of an object.
    ///
    /// # Errors
    /// When the container has no such object, or the region may not be mapped.
    fn map_region(&self, object: ObjectId, index: u32) -> Result<MappedRegion>;

    /// Lets the container's objects reach a buffer at the I/O virtual address `iova`, until
    /// the result is unmapped or dropped.
    ///
    /// # Errors
    /// [`MapError`], which gives the buffer back.
    fn map(
        &self,
        buffer: DmaBuffer,
        iova: u64,
        access: Access,
    ) -> std::result::Result<Mapped, Box<MapError>>;

    /// Lets an interrupt of an object, or of the container itself, signal a new eventfd,
    /// until the result is dropped.
    ///
    /// # Errors
    /// When there is no such interrupt, and [`Error::InterruptTaken`](crate::Error::InterruptTaken)
    /// while there is an [`Interrupt`] of it.
    fn enable_interrupt(&self, object: ObjectId, index: u32) -> Result<Interrupt>;

    /// Puts the container and its objects back to their initial state.
    ///
    /// # Errors
    /// When the kernel or the MC refuses.
    fn reset(&self) -> Result<()>;
}

/// By VFIO: a container that has devices by name, and an address space.
macro_rules! by_vfio {
    ($($container:ty),*) => { $(
        impl Backend for $container {
            fn name(&self) -> &str {
                &self.name
            }

            fn portal(&self) -> Result<McPortal> {
                self.dprc()?.portal()
            }

            fn map_region(&self, object: ObjectId, index: u32) -> Result<MappedRegion> {
                // The mapping keeps the device open when this handle is gone.
                self.device(&object.to_string())?.map_region(index)
            }

            fn map(
                &self,
                buffer: DmaBuffer,
                iova: u64,
                access: Access,
            ) -> std::result::Result<Mapped, Box<MapError>> {
                self.iommu.map(buffer, iova, access)
            }

            fn enable_interrupt(&self, object: ObjectId, index: u32) -> Result<Interrupt> {
                match object.kind {
                    ObjectType::Dprc => self.dprc()?.enable_interrupt(index),
                    _ => self.device(&object.to_string())?.enable_interrupt(index),
                }
            }

            fn reset(&self) -> Result<()> {
                self.dprc()?.reset()
            }
        }
    )* };
}

by_vfio!(AssignedContainer, IommufdContainer);
