// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Software portals of the queue manager.

use super::{
    Answer, Body, Call, Family, Object, Region, State, family::Channel, object::RegionWindow, queue,
};
use crate::dpl::{Fields, Properties, Symbol, Writing, symbol};
use crate::mc::refusal::{Because, CREATED_BY_CONTAINER, NOT_IMPLEMENTED, Refusal};
use crate::{
    fabric::{Message, Pass},
    qbman::{self, ChannelConfig, PortalConfig},
    soc::Soc,
};
use mc_abi::{
    ObjectId, ObjectType, Status,
    dpio::{self, Command},
};

/// Offset of the memory-backed portals in the window of software portals.
const MEMORY_OFFSET: u64 = qbman::WINDOW_SIZE;
/// Bytes of each of the three areas: Linux and DPDK clear 64 KiB of the
/// memory-backed one.
const AREA_SIZE: u32 = qbman::PORTAL_STRIDE as u32;

/// Region flag: may be mapped as cacheable memory.
const CACHEABLE: u32 = 1 << 0;
/// Region flag: may be mapped as shareable memory.
const SHAREABLE: u32 = 1 << 1;

/// Channels that a portal's static dequeue command register selects from. The
/// lowest is the portal's own notification channel.
const STATIC_CHANNELS: usize = 16;
const OWN_CHANNEL: usize = 0;

/// A software portal.
#[derive(Debug)]
pub(crate) struct SoftwarePortal {
    /// Number of the software portal.
    pub portal: u32,
    /// Its notification channel, where it has one.
    pub channel: Option<u32>,
    /// Priorities of the notification channel, kept as asked for where there is
    /// none (board observation).
    pub num_priorities: u8,
    enabled: bool,
    stashing: Stashing,
    /// Concentrators by the index of their channel.
    channels: [Option<u32>; STATIC_CHANNELS],
}

/// Where dequeued data is stashed.
#[derive(Debug, Clone, Copy, Default)]
struct Stashing {
    destination: u8,
    /// 0: the destination above, 1: automatic.
    source: u8,
}

impl Family for SoftwarePortal {
    const VERSION: (u16, u16) = (4, 3);
    const IRQS: u8 = 1;
    type Create = dpio::Create;

    fn create(
        state: &mut State,
        _id: u32,
        _container: u32,
        request: &dpio::Create,
    ) -> Result<Self, Refusal> {
        let has_channel = match request.channel_mode {
            0 => false,
            1 => true,
            _ => return Err(Status::ConfigurationError.because("the channel mode is 0 or 1")),
        };
        let least = u8::from(has_channel);
        if !(least..=queue::MAX_PRIORITIES).contains(&request.num_priorities) {
            return Err(Status::ConfigurationError
                .because(format!("it has {least} to {} priorities", queue::MAX_PRIORITIES)));
        }
        let portal = state.pools.swp.take()?;
        let channel = has_channel.then(|| state.pools.channel8.take()).transpose()?;
        Ok(Self {
            portal,
            channel,
            num_priorities: request.num_priorities,
            enabled: false,
            stashing: Stashing::default(),
            channels: [None; STATIC_CHANNELS],
        })
    }

    fn destroy(self, state: &mut State, _id: u32) {
        // Whoever gets the portal next finds it as after power-on.
        let qbman = state.fabric.qbman();
        qbman.reset_portal(self.portal, &mut state.pass);
        qbman.configure_portal(self.portal, None, &mut state.pass);
        if let Some(channel) = self.channel {
            qbman.configure_channel(channel, None, &mut state.pass);
        }
    }

    fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
        let id = call.object.id;
        if let Command::GetAttributes(get) = command {
            let portal = state.body::<Self>(id)?;
            return call.reply(get, portal.attributes(id, &state.config.soc));
        }
        if let Command::SetStashingDestinationByCoreId(set) = command {
            let cluster = state.config.soc.stashing_destination(set.core_id);
            state.body_mut::<Self>(id)?.stashing.destination = cluster.ok_or_else(|| {
                Status::ConfigurationError.because(format!("this SoC has no core {}", set.core_id))
            })?;
            return Ok(Answer::DONE);
        }
        let portal = state.body_mut::<Self>(id)?;
        match command {
            Command::SetStashingDestination(set) => {
                portal.stashing.destination = set.sdest;
                Ok(Answer::DONE)
            }
            Command::GetStashingDestination(get) => {
                let sdest = portal.stashing.destination;
                call.reply(get, dpio::GetStashingDestinationReply { sdest })
            }
            Command::SetStashingDestinationSource(set) => {
                if set.ss > 1 {
                    return Err(Status::ConfigurationError.because("the source is 0 or 1"));
                }
                portal.stashing.source = set.ss;
                Ok(Answer::DONE)
            }
            Command::GetStashingDestinationSource(get) => {
                let ss = portal.stashing.source;
                call.reply(get, dpio::GetStashingDestinationSourceReply { ss })
            }
            Command::AddStaticDequeueChannel(add) => {
                let channel_index = add_channel(state, call.object, add.dpcon_id)?;
                call.reply(add, dpio::AddStaticDequeueChannelReply { channel_index })
            }
            Command::RemoveStaticDequeueChannel(remove) => {
                let slot = portal.channels.iter_mut().find(|c| **c == Some(remove.dpcon_id));
                *slot.ok_or_else(|| {
                    Status::ConfigurationError
                        .because(format!("dpcon.{} has no channel here", remove.dpcon_id))
                })? = None;
                Ok(Answer::DONE)
            }
            // Answered before.
            Command::GetAttributes(_) | Command::SetStashingDestinationByCoreId(_) => {
                Err(Status::UnsupportedOperation.because(NOT_IMPLEMENTED))
            }
            // Made through the container's token, never through the object's.
            Command::Create(_) => Err(Status::UnsupportedOperation.because(CREATED_BY_CONTAINER)),
        }
    }

    fn reset(state: &mut State, id: u32) {
        let Ok(portal) = state.body_mut::<Self>(id) else { return };
        portal.enabled = false;
        portal.stashing = Stashing::default();
        portal.channels = [None; STATIC_CHANNELS];
        let portal = portal.portal;
        state.fabric.qbman().reset_portal(portal, &mut state.pass);
    }

    fn moved(state: &mut State, id: u32, _container: u32) {
        // The concentrators stay behind in another isolation context, and so does the
        // memory that it was told of.
        Self::reset(state, id);
    }
}

impl Body for SoftwarePortal {
    fn enabled(&mut self) -> Option<&mut bool> {
        Some(&mut self.enabled)
    }

    /// A portal works whether or not its object is enabled: what a real one does
    /// between the two is not known, and drivers enable it before they look.
    fn program(&self, state: &State, object: &Object, icid: u16, pass: &mut Pass) {
        // A concentrator that is another container's by now gives its frames there.
        let channel_of = |dpcon: u32| {
            let dpcon = ObjectId::new(ObjectType::Dpcon, dpcon);
            let dpcon = state.object(dpcon).ok().filter(|_| state.is_beside(object.id, dpcon));
            Some(dpcon?.body.channel()?.number)
        };
        let config = PortalConfig {
            icid,
            own_channel: self.channel,
            static_channels: self.channels.map(|dpcon| dpcon.and_then(channel_of)),
            message: object.irqs.first().filter(|irq| irq.address != 0).map(|irq| Message {
                icid,
                address: irq.address,
                value: irq.value,
            }),
        };
        let qbman = state.fabric.qbman();
        qbman.configure_portal(self.portal, Some(config), pass);
        if let Some(channel) = self.channel {
            let priorities = self.num_priorities;
            let config = ChannelConfig { icid, priorities, notifies: true, notification: None };
            qbman.configure_channel(channel, Some(config), pass);
        }
    }

    /// In the order that drivers count on: cache-enabled, cache-inhibited,
    /// memory-backed. That the first one is cacheable but not shareable is
    /// inferred from what drivers do with the flags.
    fn regions(&self, soc: &Soc) -> Vec<Region> {
        let region = |base: u64, flags| Region {
            window: RegionWindow::Qbman,
            offset: base + u64::from(self.portal) * qbman::PORTAL_STRIDE,
            size: AREA_SIZE,
            flags,
        };
        let mut regions = vec![region(0, CACHEABLE), region(qbman::CI_OFFSET, 0)];
        if soc.has_memory_backed_portals() {
            regions.push(region(MEMORY_OFFSET, CACHEABLE | SHAREABLE));
        }
        regions
    }

    fn channel(&self) -> Option<Channel> {
        let priorities = self.num_priorities;
        self.channel.map(|number| Channel { number, priorities })
    }

    fn software_portal(&self) -> Option<u32> {
        Some(self.portal)
    }

    fn leads_to(&self, other: ObjectId) -> bool {
        other.kind == ObjectType::Dpcon && self.channels.contains(&Some(other.id))
    }

    /// Drops the channel of a concentrator.
    fn forget(&mut self, gone: ObjectId) {
        if let Some(slot) = self.channels.iter_mut().find(|slot| **slot == Some(gone.id)) {
            *slot = None;
        }
    }
}

impl SoftwarePortal {
    fn attributes(&self, id: u32, soc: &Soc) -> dpio::GetAttributesReply {
        let offset = u64::from(self.portal) * qbman::PORTAL_STRIDE;
        dpio::GetAttributesReply {
            id,
            qbman_portal_id: self.portal as u16,
            num_priorities: self.num_priorities,
            channel_mode: u8::from(self.channel.is_some()),
            qbman_portal_ce_offset: offset,
            qbman_portal_ci_offset: qbman::CI_OFFSET + offset,
            qbman_version: soc.qman_version,
            clk: soc.qman_clock,
        }
    }
}

/// Gives a concentrator's channel the lowest free index of the portal. One that
/// has an index already keeps it.
fn add_channel(state: &mut State, portal: ObjectId, dpcon: u32) -> Result<u8, Refusal> {
    if !state.is_beside(portal, ObjectId::new(ObjectType::Dpcon, dpcon)) {
        return Err(Status::ConfigurationError
            .because(format!("dpcon.{dpcon} is not in the container of {portal}")));
    }
    let channels = &mut state.body_mut::<SoftwarePortal>(portal.id)?.channels;
    let known = channels.iter().position(|c| *c == Some(dpcon));
    let free = || (OWN_CHANNEL + 1..STATIC_CHANNELS).find(|i| channels[*i].is_none());
    let index = known.or_else(free).ok_or_else(|| {
        Status::NoResource
            .because(format!("the portal has no more than {STATIC_CHANNELS} channels"))
    })?;
    channels[index] = Some(dpcon);
    Ok(index as u8)
}

/// `enum dpio_channel_mode` (`fsl_dpio.h`).
const CHANNEL_MODES: &[Symbol] = &[symbol("DPIO_NO_CHANNEL", 0), symbol("DPIO_LOCAL_CHANNEL", 1)];

impl Properties for dpio::Create {
    /// Without properties, what `restool` uses and every layout of a real board
    /// states.
    fn read(fields: &Fields<'_>, _id: u32) -> Self {
        let channel_mode = fields.choice("channel_mode", CHANNEL_MODES).map_or(1, |m| m as u8);
        let least = u32::from(channel_mode != 0);
        let number = fields.number("num_priorities", least..=queue::MAX_PRIORITIES.into());
        Self { channel_mode, num_priorities: number.map_or(8, |n| n as u8) }
    }

    fn write(&self, to: &mut Writing) {
        to.symbol("channel_mode", self.channel_mode.into(), CHANNEL_MODES);
        to.number("num_priorities", self.num_priorities);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mc::{Config, testing::TestMc};
    use mc_abi::{common, dpcon, dprc};

    const LOCAL: dpio::Create = dpio::Create { channel_mode: 1, num_priorities: 8 };

    #[test]
    fn portals_are_numbered_from_the_lowest_and_lie_in_three_areas() {
        let mut mc = TestMc::new();
        mc.make(&LOCAL);
        let (_, token) = mc.make(&LOCAL);
        let attributes = mc.call(token, &dpio::GetAttributes {}).expect("attributes");
        // Board: `dpio.1` of `models/board/baselines/reference.json` in the ledger.
        assert_eq!(attributes.qbman_portal_id, 3);
        assert_eq!(attributes.qbman_portal_ce_offset, 0x3_0000);
        assert_eq!(attributes.qbman_portal_ci_offset, 0x403_0000);
        assert_eq!((attributes.num_priorities, attributes.channel_mode), (8, 1));
        // Linux divides by it and picks the memory-backed mode by the version.
        assert!(attributes.clk > 1_000_000);
        assert_eq!(attributes.qbman_version >> 16, 0x0500);

        let areas = [(0x3_0000, 1), (0x403_0000, 0), (0x803_0000, 3)];
        for (index, (offset, flags)) in areas.into_iter().enumerate() {
            let get = dprc::GetObjectRegion { id: 1, index: index as u8, kind: ObjectType::Dpio };
            let region = mc.call(mc.root, &get).expect("region");
            assert_eq!((region.offset, region.size, region.flags), (offset, 0x1_0000, flags));
        }
    }

    /// Linux takes the third region where there is one, and the mode that goes
    /// with it from version 5.0 on (`dpio-driver.c`, `qbman-portal.c`).
    #[test]
    fn before_version_5_a_portal_has_two_areas() {
        for soc in [Soc::LS2088A, Soc::LS1088A] {
            let mut mc = TestMc::with(Config { soc, ..Config::default() });
            let (id, token) = mc.make(&LOCAL);
            let attributes = mc.call(token, &dpio::GetAttributes {}).expect("attributes");
            assert_eq!(attributes.qbman_version >> 16, 0x0401);
            let get = dprc::GetObjectDescription { id: id.id, kind: id.kind };
            assert_eq!(mc.call(mc.root, &get).expect("description").object.regions, 2);
            let get = dprc::GetObjectRegion { id: id.id, index: 2, kind: id.kind };
            assert_eq!(mc.call(mc.root, &get), Err(Status::ConfigurationError));
        }
    }

    #[test]
    fn reset_restores_the_portal_and_forgets_the_configuration() {
        let mut mc = TestMc::new();
        let (_, token) = mc.make(&LOCAL);
        mc.call(token, &common::Enable {}).expect("on");
        mc.call(token, &dpio::SetStashingDestinationByCoreId { core_id: 15 }).expect("core");
        let get = dpio::GetStashingDestination {};
        assert_eq!(mc.call(token, &get).expect("sdest").sdest, 7);
        // The first portal is number 2.
        const REGISTERS: u64 = qbman::CI_OFFSET + 2 * qbman::PORTAL_STRIDE;
        let enabled_interrupts = |mc: &TestMc| {
            const IER: u64 = 0xe40;
            let mut value = [0; 4];
            mc.state.fabric.qbman().read(REGISTERS + IER, &mut value);
            u32::from_le_bytes(value)
        };
        mc.state.fabric.write(REGISTERS + 0xe40, &4u32.to_le_bytes());
        assert_eq!(enabled_interrupts(&mc), 4);
        mc.call(token, &common::Reset {}).expect("reset");
        assert_eq!(enabled_interrupts(&mc), 0);
        assert!(!mc.call(token, &common::IsEnabled {}).expect("switch").enabled);
        assert_eq!(mc.call(token, &get).expect("sdest").sdest, 0);
    }

    #[test]
    fn stashing_is_read_back() {
        let mut mc = TestMc::new();
        let (_, token) = mc.make(&LOCAL);
        mc.call(token, &dpio::SetStashingDestination { sdest: 5 }).expect("sdest");
        mc.call(token, &dpio::SetStashingDestinationSource { ss: 1 }).expect("source");
        let sdest = mc.call(token, &dpio::GetStashingDestination {}).expect("sdest").sdest;
        let ss = mc.call(token, &dpio::GetStashingDestinationSource {}).expect("source").ss;
        assert_eq!((sdest, ss), (5, 1));
        let refused = Err(Status::ConfigurationError);
        assert_eq!(mc.call(token, &dpio::SetStashingDestinationSource { ss: 2 }), refused);
        let core = dpio::SetStashingDestinationByCoreId { core_id: 16 };
        assert_eq!(mc.call(token, &core), refused);
    }

    #[test]
    fn static_channels_get_the_lowest_free_index_above_the_portals_own() {
        let mut mc = TestMc::new();
        let (_, token) = mc.make(&LOCAL);
        let dpcons: Vec<ObjectId> = (0..16)
            .map(|_| mc.create(&dpcon::Create { num_priorities: 2 }).expect("dpcon"))
            .collect();
        let add = |i: usize| dpio::AddStaticDequeueChannel { dpcon_id: dpcons[i].id };
        for i in 0..15 {
            assert_eq!(usize::from(mc.call(token, &add(i)).expect("index").channel_index), i + 1);
        }
        assert_eq!(mc.call(token, &add(15)), Err(Status::NoResource));
        assert_eq!(mc.call(token, &add(3)).expect("kept").channel_index, 4);
        let remove = dpio::RemoveStaticDequeueChannel { dpcon_id: dpcons[1].id };
        mc.call(token, &remove).expect("removed");
        assert_eq!(mc.call(token, &remove), Err(Status::ConfigurationError));
        // A concentrator that is gone gives its index free.
        mc.destroy(dpcons[0]).expect("destroyed");
        assert_eq!(mc.call(token, &add(15)).expect("index").channel_index, 1);
        let absent = dpio::AddStaticDequeueChannel { dpcon_id: 99 };
        assert_eq!(mc.call(token, &absent), Err(Status::ConfigurationError));
    }

    #[test]
    fn portals_run_out_and_come_back() {
        let mut mc = TestMc::new();
        for create in [
            dpio::Create { channel_mode: 2, num_priorities: 8 },
            dpio::Create { channel_mode: 1, num_priorities: 0 },
            dpio::Create { channel_mode: 1, num_priorities: 9 },
        ] {
            assert_eq!(mc.create(&create), Err(Status::ConfigurationError));
        }
        // Without a channel the priorities are still what was asked for.
        let (id, token) = mc.make(&dpio::Create { channel_mode: 0, num_priorities: 8 });
        let attributes = mc.call(token, &dpio::GetAttributes {}).expect("attributes");
        assert_eq!((attributes.channel_mode, attributes.num_priorities), (0, 8));
        mc.close(token).expect("closed");
        while mc.create(&LOCAL).is_ok() {}
        assert_eq!(mc.create(&LOCAL), Err(Status::NoResource));
        mc.destroy(id).expect("destroyed");
        assert_eq!(mc.create(&LOCAL), Ok(id));
    }
}
