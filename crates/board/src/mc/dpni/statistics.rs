// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Counters, by the pages of `union dpni_statistics`.

use super::{Interface, State};
use crate::mc::refusal::{Because, Refusal};
use mc_abi::{
    Status,
    dpni::{self, queue_type},
};

/// The counters of a page.
///
/// # Errors
/// [`Status::ConfigurationError`] where there is no such page, class or channel.
pub(super) fn page(state: &State, id: u32, get: &dpni::GetStatistics) -> Result<[u64; 7], Refusal> {
    let interface = state.body::<Interface>(id)?;
    let wriop = state.fabric.wriop();
    let [class, other] = get.param.to_le_bytes();
    let total = wriop.counters(id);
    Ok(match get.page {
        0 => [
            total.ingress_frames,
            total.ingress_bytes,
            total.ingress_multicast_frames,
            total.ingress_multicast_bytes,
            total.ingress_broadcast_frames,
            total.ingress_broadcast_bytes,
            0,
        ],
        1 => [
            total.egress_frames,
            total.egress_bytes,
            total.egress_multicast_frames,
            total.egress_multicast_bytes,
            total.egress_broadcast_frames,
            total.egress_broadcast_bytes,
            0,
        ],
        2 => [
            total.ingress_filtered,
            total.ingress_discarded,
            total.ingress_no_buffer,
            total.egress_discarded,
            total.egress_confirmed,
            0,
            0,
        ],
        3 => {
            interface.resources.place(queue_type::TX, other, class, 0)?;
            let volume = wriop.dequeued(id, other, class);
            let (frames, bytes) = rejected(state, interface, other, class);
            [volume.bytes, volume.frames, bytes, frames, 0, 0, 0]
        }
        4 => {
            interface.resources.place(queue_type::RX, 0, class, 0)?;
            let volume = wriop.refused(id, class);
            [volume.frames, volume.bytes, 0, 0, 0, 0, 0]
        }
        5 => {
            interface.resources.place(queue_type::RX, 0, class, 0)?;
            let [green, yellow, red] = wriop.policed(id, class);
            [red, yellow, green, 0, 0, 0, 0]
        }
        6 => [waiting(state, interface), 0, 0, 0, 0, 0, 0],
        _ => {
            return Err(
                Status::ConfigurationError.because(format!("there is no page {}", get.page))
            );
        }
    })
}

/// Frames, and their bytes, that the transmit queues of a class have refused
/// because of congestion.
fn rejected(state: &State, interface: &Interface, channel: u8, class: u8) -> (u64, u64) {
    let place = |sender| interface.resources.place(queue_type::TX, channel, class, sender).ok();
    let places = (0..interface.limits.senders()).filter_map(place);
    let mut groups: Vec<u32> =
        places.filter_map(|place| interface.group_of(state, place)).collect();
    groups.dedup();
    groups.iter().fold((0, 0), |(frames, bytes), group| {
        let group = state.fabric.qbman().group_state(*group);
        (frames + group.rejected_frames, bytes + group.rejected_bytes)
    })
}

/// Frames that wait to be sent.
fn waiting(state: &State, interface: &Interface) -> u64 {
    let fqids = interface.resources.fqids().iter().enumerate();
    let sent = fqids.filter(|(place, _)| interface.resources.kind(*place) == queue_type::TX);
    sent.map(|(_, fqid)| u64::from(state.fabric.qbman().queue_state(*fqid).0)).sum()
}
