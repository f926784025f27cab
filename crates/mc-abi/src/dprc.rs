// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Containers. Layouts: `fsl_dprc_cmd.h` of MC 10.40, which kept every field
//! of the versions before.

use crate::{Label, ObjectType, ResourceType, blocks::ObjectDescription};

/// Isolation id that asks for any free one.
pub const ICID_FROM_POOL: u32 = 0xffff;
/// Portal number that asks for any free one.
pub const PORTAL_FROM_POOL: u32 = u32::MAX;

/// Options of a container, given when it is made.
pub mod option {
    /// May have children.
    pub const SPAWN: u32 = 0x01;
    /// May draw resources from its parent's pools.
    pub const ALLOC: u32 = 0x02;
    /// Its own portals may make objects.
    pub const OBJ_CREATE: u32 = 0x04;
    /// May connect and disconnect.
    pub const TOPOLOGY_CHANGES: u32 = 0x08;
    /// Belongs to the programmable I/O processor.
    pub const AIOP: u32 = 0x20;
    /// May set where the interrupts of its objects go.
    pub const IRQ_CFG: u32 = 0x40;
    /// Its transactions are privileged.
    pub const PL: u32 = 0x80;
    /// All options.
    pub const ALL: u32 = SPAWN | ALLOC | OBJ_CREATE | TOPOLOGY_CHANGES | AIOP | IRQ_CFG | PL;

    names!(SPAWN, ALLOC, OBJ_CREATE, TOPOLOGY_CHANGES, AIOP, IRQ_CFG, PL);
}

/// Events of a container's interrupt.
pub mod event {
    /// An object came into the container.
    pub const OBJ_ADDED: u32 = 0x01;
    /// An object left the container.
    pub const OBJ_REMOVED: u32 = 0x02;
    /// Resources came into the container.
    pub const RES_ADDED: u32 = 0x04;
    /// Resources left the container.
    pub const RES_REMOVED: u32 = 0x08;
    /// A container below was destroyed.
    pub const CONTAINER_DESTROYED: u32 = 0x10;
    /// An object that was open was destroyed.
    pub const OBJ_DESTROYED: u32 = 0x20;
    /// An object was made in the container.
    pub const OBJ_CREATED: u32 = 0x40;

    names!(
        OBJ_ADDED,
        OBJ_REMOVED,
        RES_ADDED,
        RES_REMOVED,
        CONTAINER_DESTROYED,
        OBJ_DESTROYED,
        OBJ_CREATED
    );
}

/// Options of [`Assign`] and [`Unassign`].
pub mod request {
    /// `base_or_align` is the number of the first one wanted.
    pub const EXPLICIT: u32 = 0x1;
    /// `base_or_align` is what the first number is to be a multiple of.
    pub const ALIGNED: u32 = 0x2;
    /// The object is to be plugged.
    pub const PLUGGED: u32 = 0x4;

    names!(EXPLICIT, ALIGNED, PLUGGED);
}

/// States of an object in its description.
pub mod state {
    /// Somebody has it open.
    pub const OPEN: u32 = 0x1;
    /// A driver may bind to it.
    pub const PLUGGED: u32 = 0x2;

    names!(OPEN, PLUGGED);
}

/// Option of [`Reset`]: leaves the containers below alone.
pub const RESET_NON_RECURSIVE: u32 = 0x1;

/// A region's flag: may be mapped as cacheable.
pub const REGION_CACHEABLE: u32 = 0x1;
/// A region's flag: may be mapped as shareable.
pub const REGION_SHAREABLE: u32 = 0x2;
/// A region's type: offset into the window of command portals.
pub const REGION_MC_PORTAL: u8 = 0;
/// A region's type: offset into the window of software portals.
pub const REGION_QBMAN_PORTAL: u8 = 1;

/// Quota that means: what the container's options say.
pub const QUOTA_BY_OPTIONS: u16 = u16::MAX;

/// The part of memory that [`GetMemory`] knows: the packet express buffer.
pub const MEMORY_PEB: u8 = 7;

/// Where an iteration of [`GetResourceIds`] stands.
pub mod iteration {
    /// Start.
    pub const FIRST: u8 = 0;
    /// There is more.
    pub const MORE: u8 = 1;
    /// That was the last.
    pub const LAST: u8 = 2;
}

layout! {
    /// A piece of memory.
    pub struct Block[8] {
        /// Bytes from the start of the partition.
        offset: u32 @ 0,
        /// Bytes.
        size: u32 @ 4,
    }
}

commands! {
    /// Asks for the container's identity.
    GetAttributes = 0x004, version 1 {} -> GetAttributesReply {
        /// Number of the container.
        id: u32 @ 0,
        /// Isolation id: what the SMMU tells its transactions apart by.
        icid: u32 @ 4,
        /// [Options](option).
        options: u32 @ 8 named option::NAMES,
        /// Number of its command portal.
        portal: u32 @ 12,
    };

    /// Resets a container and what it holds.
    Reset = 0x005, version 2 {
        /// A container below, or the container itself.
        child: u32 @ 0,
        /// [`RESET_NON_RECURSIVE`] or nothing.
        options: u32 @ 4 since 2,
    } -> ();

    /// Makes a container below.
    CreateContainer = 0x151, version 2 {
        /// [Options](option).
        options: u32 @ 0 named option::NAMES,
        /// [`ICID_FROM_POOL`] or a number.
        icid: u32 @ 4,
        /// [`PORTAL_FROM_POOL`] or a number.
        portal: u32 @ 12,
        /// A name for it.
        label: Label @ 16,
    } -> CreateContainerReply {
        /// Number of the new container.
        child: u32 @ 8,
        /// Offset of its portal in the window of command portals, bytes.
        portal_offset: u64 @ 16,
    };

    /// Destroys a container below.
    DestroyContainer = 0x152, version 1 {
        /// Number of the container.
        child: u32 @ 0,
    } -> ();

    /// Limits what a child may draw from its parent's pools.
    SetResourceQuota = 0x155, version 1 {
        /// Number of the child.
        child: u32 @ 0,
        /// How many, or [`QUOTA_BY_OPTIONS`].
        quota: u16 @ 4,
        /// Of which pool.
        kind: ResourceType @ 8,
    } -> ();

    /// Asks for that limit.
    GetResourceQuota = 0x156, version 1 {
        /// Number of the child.
        child: u32 @ 0,
        /// Of which pool.
        kind: ResourceType @ 8,
    } -> GetResourceQuotaReply {
        /// How many, or [`QUOTA_BY_OPTIONS`].
        quota: u16 @ 4,
    };

    /// Moves objects or resources to a child, or plugs and unplugs an object.
    Assign = 0x157, version 1 {
        /// A child, or the container itself.
        container: u32 @ 0,
        /// Options: see [`request`].
        options: u32 @ 4 named request::NAMES,
        /// How many resources.
        count: u32 @ 8,
        /// The first number, or what it is to be a multiple of.
        base_or_align: u32 @ 12,
        /// Type of objects or resources.
        kind: ResourceType @ 16,
    } -> ();

    /// Moves objects or resources from a child back.
    Unassign = 0x158, version 1 {
        /// The child.
        child: u32 @ 0,
        /// Options: see [`request`].
        options: u32 @ 4 named request::NAMES,
        /// How many resources.
        count: u32 @ 8,
        /// The first number, or what it is to be a multiple of.
        base_or_align: u32 @ 12,
        /// Type of objects or resources.
        kind: ResourceType @ 16,
    } -> ();

    /// Asks how many objects the container holds.
    GetObjectCount = 0x159, version 1 {} -> GetObjectCountReply {
        /// Objects directly in the container.
        count: u32 @ 4,
    };

    /// Asks for one of them by its place in the list.
    GetObject = 0x15a, version 1 {
        /// From 0 to [`GetObjectCount`] - 1.
        index: u32 @ 0,
    } -> GetObjectReply {
        /// The object.
        object: ObjectDescription @ 0,
    };

    /// Asks for an object by its name.
    GetObjectDescription = 0x162, version 1 {
        /// Number in its family.
        id: u32 @ 0,
        /// Its family.
        kind: ObjectType @ 8,
    } -> GetObjectDescriptionReply {
        /// The object.
        object: ObjectDescription @ 0,
    };

    /// Asks how many free resources the container's own pool holds.
    GetResourceCount = 0x15b, version 1 {
        /// Of which pool.
        kind: ResourceType @ 8,
    } -> GetResourceCountReply {
        /// Free numbers.
        count: u32 @ 0,
    };

    /// Asks for the numbers of free resources, one range an answer.
    GetResourceIds = 0x15c, version 1 {
        /// Where the [iteration] stands.
        iteration: u8 @ 5 bits 2..9,
        /// First number of the range before.
        base: u32 @ 8,
        /// Last number of the range before.
        last: u32 @ 12,
        /// Of which pool.
        kind: ResourceType @ 16,
    } -> GetResourceIdsReply {
        /// Where the [iteration] stands.
        iteration: u8 @ 5 bits 2..9,
        /// First number of the range.
        base: u32 @ 8,
        /// Last number of the range.
        last: u32 @ 12,
    };

    /// Asks for a range of addresses through which an object is used. Version 1
    /// and 2 speak of portals of 64 bytes and 4 KiB, version 3 of 64 KiB.
    GetObjectRegion = 0x15e, version 3 {
        /// Number of the object.
        id: u32 @ 0,
        /// Which of its regions.
        index: u8 @ 6,
        /// Its family.
        kind: ObjectType @ 24,
    } -> GetObjectRegionReply {
        /// Bytes from the start of the window (version 1 has the window's
        /// offset in it).
        offset: u64 @ 8,
        /// Bytes.
        size: u32 @ 16,
        /// [`REGION_MC_PORTAL`] or [`REGION_QBMAN_PORTAL`].
        window: u8 @ 20 since 2,
        /// [`REGION_CACHEABLE`], [`REGION_SHAREABLE`].
        flags: u32 @ 24 since 2,
        /// Address of the window; 0 leaves it to software to know.
        base_address: u64 @ 32 since 2,
    };

    /// Sets where an object's interrupt goes.
    SetObjectIrq = 0x15f, version 1 {
        /// Data of the message.
        value: u32 @ 0,
        /// Which of the object's interrupts.
        index: u8 @ 4,
        /// I/O virtual address of the message.
        address: u64 @ 8,
        /// A number that software wants back.
        user: u32 @ 16,
        /// Number of the object.
        id: u32 @ 20,
        /// Its family.
        kind: ObjectType @ 24,
    } -> ();

    /// Asks where an object's interrupt goes.
    GetObjectIrq = 0x160, version 1 {
        /// Number of the object.
        id: u32 @ 0,
        /// Which of the object's interrupts.
        index: u8 @ 4,
        /// Its family.
        kind: ObjectType @ 8,
    } -> GetObjectIrqReply {
        /// Data of the message.
        value: u32 @ 0,
        /// I/O virtual address of the message.
        address: u64 @ 8,
        /// What [`SetObjectIrq`] was given.
        user: u32 @ 16,
        /// 0: message-signalled.
        irq_kind: u32 @ 20,
    };

    /// Gives an object a name.
    SetObjectLabel = 0x161, version 1 {
        /// Number of the object.
        id: u32 @ 0,
        /// The name.
        label: Label @ 8,
        /// Its family.
        kind: ObjectType @ 24,
    } -> ();

    /// Connects two endpoints.
    Connect = 0x167, version 1 {
        /// One end: number of the object.
        id1: u32 @ 0,
        /// Its interface; 0 where it has but one.
        interface1: u16 @ 4,
        /// Other end: number of the object.
        id2: u32 @ 8,
        /// Its interface.
        interface2: u16 @ 12,
        /// One end: family of the object.
        kind1: ObjectType @ 16,
        /// Mbit/s; 0 without a limit.
        max_rate: u32 @ 32,
        /// Mbit/s.
        committed_rate: u32 @ 36,
        /// Other end: family of the object.
        kind2: ObjectType @ 40,
    } -> ();

    /// Undoes a connection, named by either end.
    Disconnect = 0x168, version 1 {
        /// Number of the object.
        id: u32 @ 0,
        /// Its interface.
        interface: u32 @ 4,
        /// Its family.
        kind: ObjectType @ 8,
    } -> ();

    /// Asks for a pool's name by its place in the list.
    GetPool = 0x169, version 1 {
        /// From 0 to [`GetPoolCount`] - 1.
        index: u32 @ 0,
    } -> GetPoolReply {
        /// The pool.
        kind: ResourceType @ 8,
    };

    /// Asks how many pools there are.
    GetPoolCount = 0x16a, version 1 {} -> GetPoolCountReply {
        /// Pools.
        count: u32 @ 0,
    };

    /// Forbids or allows a child and all below to be changed.
    SetLocked = 0x16b, version 1 {
        /// Whether it is to be locked.
        locked: bool @ 0,
        /// Number of the child.
        child: u32 @ 4,
    } -> ();

    /// Asks what an endpoint is connected to.
    GetConnection = 0x16c, version 1 {
        /// Number of the object.
        id: u32 @ 0,
        /// Its interface.
        interface: u16 @ 4,
        /// Its family.
        kind: ObjectType @ 8,
    } -> GetConnectionReply {
        /// Number of the object at the other end.
        id: u32 @ 24,
        /// Its interface.
        interface: u16 @ 28,
        /// Its family, empty where there is no connection.
        kind: ResourceType @ 32,
        /// 1 link up, 0 link down, -1 no connection.
        state: i32 @ 48,
    };

    /// Asks for the free blocks of a part of memory, five a page.
    GetMemory = 0x16d, version 1 {
        /// Which part: [`MEMORY_PEB`].
        partition: u8 @ 0,
        /// Bit 0: look again rather than answer from what was seen before.
        flags: u8 @ 1,
        /// Page of the answer.
        page: u16 @ 2,
    } -> GetMemoryReply {
        /// How many of the blocks count.
        entries: u8 @ 0,
        /// How many pages there are.
        pages: u16 @ 2,
        /// Free blocks.
        blocks: [Block; 5] @ 8,
    };
}
