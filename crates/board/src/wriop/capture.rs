// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a capture of an interface's frames gets.

use super::{Platform, interface::TransmitSide};
use crate::host::Passing;
use mc_abi::{ObjectId, ObjectType};
use qbman_abi::{Fd, annotation::control};

/// Most of an annotation that is passed on, bytes: as far as the hardware's ones go.
const ANNOTATION: usize = 128;

/// A frame is in a receive queue.
pub(super) fn received<Q>(
    id: u32,
    frame: &[u8],
    fd: &Fd,
    annotation: &[u8],
    platform: &Platform<Q>,
) {
    let object = ObjectId::new(ObjectType::Dpni, id);
    platform.capture.passes(&Passing { object, received: true, frame, fd: Some(fd), annotation });
}

/// A frame has been taken from a transmit queue and read.
pub(super) fn sent<Q>(id: u32, frame: &[u8], fd: &Fd, side: &TransmitSide, platform: &Platform<Q>) {
    let object = ObjectId::new(ObjectType::Dpni, id);
    let units = (fd.ctrl & Fd::CTRL_ASAL) >> control::ANNOTATION_LENGTH_SHIFT;
    let private = if fd.ctrl & Fd::CTRL_PTA == 0 { 0 } else { 64 };
    let mut annotation = [0; ANNOTATION];
    let there = annotation.get_mut(..(units as usize * 64).min(ANNOTATION)).unwrap_or_default();
    let at = fd.address.wrapping_add(private);
    // What cannot be read costs the frame nothing, and is left out.
    let is_read = !there.is_empty() && platform.memory.read(side.icid, at, there).is_ok();
    let annotation = if is_read { &*there } else { &[] };
    platform.capture.passes(&Passing { object, received: false, frame, fd: Some(fd), annotation });
}
