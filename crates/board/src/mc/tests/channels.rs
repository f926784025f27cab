// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Portals and concentrators that lead to each other, where one of them goes or moves.

use super::assignment::assign;
use crate::{
    mc::testing::TestMc,
    qbman::{CI_OFFSET, PORTAL_STRIDE},
};
use mc_abi::{
    ObjectId, Status, Token, blocks::Destination, common, dpcon, dpio, dpni, dpni::queue_options,
    dpni::queue_type,
};
use qbman_abi::{Fd, registers};

/// Rings in the portal, eight entries; as Linux has the rest.
const DIRECT: u32 = 8 << 20 | 1 << 14 | 3 << 12 | 2 << 10 | 2 << 8 | 0x38;
/// Everything that a portal's own channel and its first static one have.
const TWO_CHANNELS: u32 = 1 << 24 | 1 << 29 | 0xbb << 16 | 3;
/// Where a portal has the command and the first answer.
const COMMAND: u64 = 0x600;
const ANSWER: u64 = 0x740;

/// A portal with its number, set up by a driver.
struct Portal {
    id: ObjectId,
    number: u64,
}

impl Portal {
    fn new(mc: &mut TestMc, container: Token) -> Self {
        let create = dpio::Create { channel_mode: 1, num_priorities: 8 };
        let id = mc.create_in(container, &create).expect("a portal");
        let attributes = with_token(mc, id, |mc, token| mc.call(token, &dpio::GetAttributes {}));
        let portal = Self { id, number: attributes.qbman_portal_id.into() };
        portal.write(mc, registers::CFG, DIRECT);
        portal.write(mc, registers::SDQCR, TWO_CHANNELS);
        portal
    }

    fn write(&self, mc: &TestMc, register: u64, value: u32) {
        let at = CI_OFFSET + self.number * PORTAL_STRIDE + register;
        mc.state.fabric.write(at, &value.to_le_bytes());
    }

    /// Arms the data notification of a channel: the portal's first command.
    fn arm(&self, mc: &TestMc, channel: u16) {
        let at = self.number * PORTAL_STRIDE;
        let [low, high] = channel.to_le_bytes();
        mc.state.fabric.write(at + COMMAND + 8, &0xabcd_u64.to_le_bytes());
        mc.state.fabric.write(at + COMMAND, &[0x46 | 0x80, 0, low, high, 5, 1, 0, 0]);
        let mut answer = [0; 8];
        mc.state.fabric.read(at + ANSWER, &mut answer);
        assert_eq!(answer[1], 0xf0, "armed");
    }

    /// How many entries have come into its dequeue ring.
    fn entries(&self, mc: &TestMc) -> u32 {
        let mut bytes = [0; 4];
        let at = CI_OFFSET + self.number * PORTAL_STRIDE + registers::DQPI;
        mc.state.fabric.read(at, &mut bytes);
        u32::from_le_bytes(bytes)
    }
}

/// Does something with a token that is closed afterwards.
fn with_token<R>(
    mc: &mut TestMc,
    id: ObjectId,
    act: impl FnOnce(&mut TestMc, Token) -> Result<R, Status>,
) -> R {
    let token = mc.open(id);
    let done = act(mc, token).expect("the MC agrees");
    mc.close(token).expect("closed");
    done
}

/// A concentrator, with the number of its channel.
fn concentrator(mc: &mut TestMc, container: Token) -> (ObjectId, u16) {
    let id = mc.create_in(container, &dpcon::Create { num_priorities: 2 }).expect("a dpcon");
    let attributes = with_token(mc, id, |mc, token| mc.call(token, &dpcon::GetAttributes {}));
    (id, attributes.qbman_ch_id)
}

/// Has a concentrator notify a portal.
fn notify(mc: &mut TestMc, dpcon: ObjectId, portal: &Portal) {
    let set = dpcon::SetNotification { dpio_id: portal.id.id, priority: 0, user_ctx: 0xabcd };
    with_token(mc, dpcon, |mc, token| {
        mc.call(token, &set)?;
        mc.call(token, &common::Enable {})
    });
}

/// Has a portal take what a concentrator has.
fn take_from(mc: &mut TestMc, portal: &Portal, dpcon: ObjectId) {
    let add = dpio::AddStaticDequeueChannel { dpcon_id: dpcon.id };
    let added = with_token(mc, portal.id, |mc, token| mc.call(token, &add));
    assert_eq!(added.channel_index, 1);
}

/// A frame in a new queue, beside the concentrator that it leads to: the queue.
fn frame(mc: &mut TestMc, container: Token, dpcon: ObjectId) -> u32 {
    let id = mc.create_in(container, &dpni::Create::default()).expect("an interface");
    let set = dpni::SetQueue {
        queue_type: queue_type::RX,
        options: queue_options::DESTINATION,
        destination: Destination { id: dpcon.id, kind: 2, ..Default::default() },
        ..Default::default()
    };
    let get = dpni::GetQueue { queue_type: queue_type::RX, ..Default::default() };
    let fqid = with_token(mc, id, |mc, token| {
        mc.call(token, &set)?;
        mc.call(token, &get)
    })
    .fqid;
    let fd = Fd { address: 0x1000, length_word: 64, ..Fd::default() };
    let fabric = mc.state.fabric.clone();
    fabric.qbman().enqueue(fqid, &fd, &mut mc.state.pass).expect("room");
    mc.run_engines();
    fqid
}

#[test]
fn a_concentrator_notifies_the_portal_beside_it() {
    let mut mc = TestMc::new();
    let root = mc.root;
    let portal = Portal::new(&mut mc, root);
    let (dpcon, channel) = concentrator(&mut mc, root);
    notify(&mut mc, dpcon, &portal);
    portal.arm(&mc, channel);
    frame(&mut mc, root, dpcon);
    assert_eq!(portal.entries(&mc), 1);
}

/// Its number in the queue manager is somebody else's then.
#[test]
fn a_notification_does_not_outlive_the_portal() {
    let mut mc = TestMc::new();
    let root = mc.root;
    let (_, child) = mc.make_container();
    let gone = Portal::new(&mut mc, child);
    let (dpcon, channel) = concentrator(&mut mc, child);
    notify(&mut mc, dpcon, &gone);
    gone.arm(&mc, channel);
    mc.destroy_in(child, gone.id).expect("destroyed");
    let other = Portal::new(&mut mc, root);
    assert_eq!(other.number, gone.number);
    frame(&mut mc, child, dpcon);
    assert_eq!(other.entries(&mc), 0);
}

#[test]
fn a_later_portal_of_the_same_name_is_not_notified() {
    let mut mc = TestMc::new();
    let root = mc.root;
    let gone = Portal::new(&mut mc, root);
    let (dpcon, channel) = concentrator(&mut mc, root);
    notify(&mut mc, dpcon, &gone);
    mc.destroy(gone.id).expect("destroyed");
    let later = Portal::new(&mut mc, root);
    assert_eq!(later.id, gone.id);
    // The concentrator is programmed anew.
    with_token(&mut mc, dpcon, |mc, token| mc.call(token, &common::Enable {}));
    later.arm(&mc, channel);
    frame(&mut mc, root, dpcon);
    assert_eq!(later.entries(&mc), 0);
}

#[test]
fn a_portal_that_moves_is_notified_no_more() {
    let mut mc = TestMc::new();
    let root = mc.root;
    let (child, _) = mc.make_container();
    let portal = Portal::new(&mut mc, root);
    let (dpcon, channel) = concentrator(&mut mc, root);
    notify(&mut mc, dpcon, &portal);
    portal.arm(&mc, channel);
    mc.call(root, &assign(child, portal.id, 0)).expect("moved");
    frame(&mut mc, root, dpcon);
    assert_eq!(portal.entries(&mc), 0);
}

#[test]
fn a_concentrator_that_moves_notifies_nobody() {
    let mut mc = TestMc::new();
    let root = mc.root;
    let (child, container) = mc.make_container();
    let before = Portal::new(&mut mc, root);
    let (dpcon, channel) = concentrator(&mut mc, root);
    notify(&mut mc, dpcon, &before);
    mc.call(root, &assign(child, dpcon, 0)).expect("moved");
    let portal = Portal::new(&mut mc, container);
    portal.arm(&mc, channel);
    frame(&mut mc, container, dpcon);
    assert_eq!((before.entries(&mc), portal.entries(&mc)), (0, 0));
}

#[test]
fn the_frames_of_a_concentrator_that_moves_go_to_its_new_portal() {
    let mut mc = TestMc::new();
    let root = mc.root;
    let (child, container) = mc.make_container();
    let before = Portal::new(&mut mc, root);
    let (dpcon, _) = concentrator(&mut mc, root);
    take_from(&mut mc, &before, dpcon);
    mc.call(root, &assign(child, dpcon, 0)).expect("moved");
    let portal = Portal::new(&mut mc, container);
    take_from(&mut mc, &portal, dpcon);
    let fqid = frame(&mut mc, container, dpcon);
    assert_eq!((before.entries(&mc), portal.entries(&mc)), (0, 1));
    assert_eq!(mc.state.fabric.qbman().queue_state(fqid).0, 0);
}

#[test]
fn a_portal_that_moves_leaves_its_concentrators_behind() {
    let mut mc = TestMc::new();
    let root = mc.root;
    let (child, _) = mc.make_container();
    let portal = Portal::new(&mut mc, root);
    let (dpcon, _) = concentrator(&mut mc, root);
    take_from(&mut mc, &portal, dpcon);
    mc.call(root, &assign(child, portal.id, 0)).expect("moved");
    let token = mc.open(portal.id);
    let remove = dpio::RemoveStaticDequeueChannel { dpcon_id: dpcon.id };
    assert_eq!(mc.call(token, &remove), Err(Status::ConfigurationError));
    frame(&mut mc, root, dpcon);
    assert_eq!(portal.entries(&mc), 0);
}
