// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What an object does not take along when it moves to another container, keeps over a
//! reset, or hands to a later object of the same number.

use super::assignment::{assign, unassign};
use crate::mc::testing::TestMc;
use mc_abi::{
    ObjectId, ObjectType, Token,
    blocks::{CongestionNotification, Destination},
    common, dpbp, dpci, dpcon, dpdcei, dpdmai, dpdmux, dpio, dpmac, dpni, dprtc, dpseci, dpsw,
};
use qbman_abi::{Fd, Format};

/// A destination that queues of all families can have.
fn concentrator(mc: &mut TestMc, container: Token) -> (ObjectId, Destination) {
    let id = mc.create_in(container, &dpcon::Create { num_priorities: 2 }).expect("dpcon");
    (id, Destination { kind: 2, id: id.id, priority: 1 })
}

/// Takes an object of one container, as its parent, and gives it to another one.
fn hand_on(mc: &mut TestMc, from: u32, to: u32, id: ObjectId) {
    mc.call(mc.root, &unassign(from, id)).expect("taken back");
    mc.call(mc.root, &assign(to, id, 0)).expect("handed on");
}

fn frames(mc: &TestMc, fqid: u32) -> u32 {
    mc.state.fabric.qbman().queue_state(fqid).0
}

/// A request that waits would be executed in the memory of the next owner.
#[test]
fn what_waits_for_the_dma_engine_is_not_done_for_the_next_owner() {
    let mut mc = TestMc::new();
    let ((one, one_token), (two, _)) = (mc.make_container(), mc.make_container());
    let create = dpdmai::Create { num_queues: 1, priorities: [1, 2], options: 0 };
    let id = mc.create_in(one_token, &create).expect("dpdmai");
    let token = mc.open(id);
    let queue = (1, 0);
    let tx = dpdmai::GetTxQueue { priority: queue.0, queue_idx: queue.1 };
    let tx = mc.call(token, &tx).expect("tx").fqid;
    let get = dpdmai::GetRxQueue { priority: queue.0, queue_idx: queue.1 };
    let rx = mc.call(token, &get).expect("rx").fqid;
    let set = dpdmai::SetRxQueue { user_ctx: 7, options: 1, ..Default::default() };
    mc.call(token, &set).expect("set");
    let notification = CongestionNotification { threshold_entry: 9, ..Default::default() };
    let group = dpdmai::SetTxCongestionNotification { priority: 0, notification };
    mc.call(token, &group).expect("set");
    let fabric = mc.state.fabric.clone();
    let icid = mc.state.icid(two).expect("there");
    let entry = |address, length_word| Fd { address, length_word, ..Fd::default() };
    let list = [entry(0x2000, 32), entry(0x3000, 5), entry(0x4000, 5)];
    let list = list.map(|entry| entry.to_bytes()).concat();
    fabric.memory().write(icid, 0x1000, &list).expect("memory");
    fabric.memory().write(icid, 0x3000, b"bytes").expect("memory");
    let request = Fd { address: 0x1000, ..Fd::default() }.with_layout(0, Format::List);
    fabric.qbman().enqueue(tx, &request, &mut mc.state.pass).expect("room");
    assert_eq!(frames(&mc, tx), 1);
    mc.close(token).expect("closed");
    hand_on(&mut mc, one, two, id);
    let token = mc.open(id);
    assert!(!mc.call(token, &common::IsEnabled {}).expect("asked").enabled);
    mc.call(token, &common::Enable {}).expect("on");
    mc.run_engines();
    assert_eq!((frames(&mc, tx), frames(&mc, rx)), (0, 0));
    let mut copied = [0; 5];
    fabric.memory().read(icid, 0x4000, &mut copied).expect("memory");
    assert_eq!(copied, [0; 5]);
    let first = dpdmai::GetRxQueue { priority: 0, queue_idx: 0 };
    assert_eq!(mc.call(token, &first).expect("rx").user_ctx, 0);
    let kept = dpdmai::GetTxCongestionNotification { priority: 0 };
    assert_eq!(mc.call(token, &kept), Ok(Default::default()));
}

/// The same of an enabled one.
#[test]
fn the_dma_engine_stops_for_an_interface_that_moves() {
    let mut mc = TestMc::new();
    let (child, _) = mc.make_container();
    let (id, token) = mc.make(&dpdmai::Create { num_queues: 1, priorities: [1, 2], options: 0 });
    mc.call(token, &common::Enable {}).expect("on");
    mc.close(token).expect("closed");
    mc.call(mc.root, &assign(child, id, 0)).expect("moved");
    let token = mc.open(id);
    assert!(!mc.call(token, &common::IsEnabled {}).expect("asked").enabled);
}

#[test]
fn what_waits_at_one_end_does_not_move_with_it() {
    let mut mc = TestMc::new();
    let ((one, one_token), (two, _)) = (mc.make_container(), mc.make_container());
    let create = dpci::Create { num_of_priorities: 1, options: 0 };
    let (peer, peer_token) = mc.make(&create);
    let id = mc.create_in(one_token, &create).expect("dpci");
    mc.connect((peer, 0), (id, 0)).expect("connected");
    let (_, destination) = concentrator(&mut mc, one_token);
    let token = mc.open(id);
    let set = dpci::SetRxQueue { destination, user_ctx: 5, options: 3, ..Default::default() };
    mc.call(token, &set).expect("set");
    for token in [token, peer_token] {
        mc.call(token, &common::Enable {}).expect("on");
    }
    let fqid = mc.call(peer_token, &dpci::GetTxQueue { priority: 0 }).expect("tx").fqid;
    let fd = Fd { address: 0x1234, length_word: 4, ..Fd::default() };
    let (icid, qbman) = (mc.icid(), mc.state.fabric.clone());
    assert!(qbman.qbman().enqueue_as(icid, fqid, &fd, &mut mc.state.pass));
    mc.close(token).expect("closed");
    hand_on(&mut mc, one, two, id);
    assert_eq!(frames(&mc, fqid), 0);
    let token = mc.open(id);
    assert!(!mc.call(peer_token, &dpci::GetLinkState {}).expect("link").up);
    assert!(!qbman.qbman().enqueue_as(icid, fqid, &fd, &mut mc.state.pass));
    let queue = mc.call(token, &dpci::GetRxQueue { priority: 0 }).expect("queue");
    assert_eq!((queue.destination, queue.user_ctx), (Destination::default(), 0));
    mc.call(token, &common::Enable {}).expect("on");
    assert!(mc.call(peer_token, &dpci::GetLinkState {}).expect("link").up);
    assert_eq!(frames(&mc, fqid), 0);
}

#[test]
fn the_accelerators_forget_whom_they_told() {
    let mut mc = TestMc::new();
    let root = mc.root;
    let (child, _) = mc.make_container();
    let (_, destination) = concentrator(&mut mc, root);
    let (seci, seci_token) = mc.make(&crypto());
    let (dcei, dcei_token) = mc.make(&dpdcei::Create { engine: 0, priority: 1 });
    set_up_crypto(&mut mc, seci_token, destination);
    let set = dpdcei::SetRxQueue { destination, user_ctx: 4, options: 3 };
    mc.call(dcei_token, &set).expect("set");
    mc.call(seci_token, &common::Enable {}).expect("on");
    for (id, token) in [(seci, seci_token), (dcei, dcei_token)] {
        mc.close(token).expect("closed");
        mc.call(root, &assign(child, id, 0)).expect("moved");
    }
    let token = mc.open(seci);
    assert!(!mc.call(token, &common::IsEnabled {}).expect("asked").enabled);
    let queue = mc.call(token, &dpseci::GetRxQueue { queue: 0 }).expect("queue");
    assert_eq!((queue.destination, queue.user_ctx), (Destination::default(), 0));
    assert_eq!(mc.call(token, &dpseci::GetCongestionNotification {}), Ok(Default::default()));
    let token = mc.open(dcei);
    let queue = mc.call(token, &dpdcei::GetRxQueue {}).expect("queue");
    assert_eq!((queue.destination, queue.user_ctx), (Destination::default(), 0));
}

/// A pool told its state at an address of its former container's.
#[test]
fn a_pool_that_moves_tells_nobody() {
    let mut mc = TestMc::new();
    let (child, _) = mc.make_container();
    let (id, token) = mc.make(&dpbp::Create {});
    let set = dpbp::SetNotifications {
        depletion_entry: 10,
        depletion_exit: 20,
        message_iova: 0x8000,
        ..Default::default()
    };
    mc.call(token, &set).expect("set");
    mc.close(token).expect("closed");
    let fabric = mc.state.fabric.clone();
    let icid = mc.state.icid(child).expect("there");
    fabric.memory().write(icid, 0x8000, &[0x77; 16]).expect("memory");
    mc.call(mc.root, &assign(child, id, 0)).expect("moved");
    let mut bytes = [0; 16];
    fabric.memory().read(icid, 0x8000, &mut bytes).expect("memory");
    assert_eq!(bytes, [0x77; 16]);
    let token = mc.open(id);
    assert_eq!(mc.call(token, &dpbp::GetNotifications {}), Ok(Default::default()));
}

/// What a container's software sent through a network interface that it gave away.
#[test]
fn an_interface_that_moves_is_off_and_its_queues_are_fresh() {
    let mut mc = TestMc::new();
    let root = mc.root;
    let (child, _) = mc.make_container();
    let (_, destination) = concentrator(&mut mc, root);
    let (id, token) = mc.make(&dpni::Create::default());
    let (mac, _) = mc.make(&dpmac::Create { mac: 3 });
    mc.connect((id, 0), (mac, 0)).expect("connected");
    let set = dpni::SetQueue {
        queue_type: dpni::queue_type::TX_CONFIRM,
        options: dpni::queue_options::DESTINATION | dpni::queue_options::USER_CONTEXT,
        destination,
        user_context: 5,
        ..Default::default()
    };
    mc.call(token, &set).expect("set");
    mc.call(token, &common::Enable {}).expect("on");
    let get = dpni::GetQueue { queue_type: dpni::queue_type::TX_CONFIRM, ..Default::default() };
    let confirm = mc.call(token, &get).expect("queue").fqid;
    let fabric = mc.state.fabric.clone();
    fabric.qbman().enqueue(confirm, &Fd::default(), &mut mc.state.pass).expect("room");
    mc.close(token).expect("closed");
    mc.call(root, &assign(child, id, 0)).expect("moved");
    assert_eq!(frames(&mc, confirm), 0);
    let token = mc.open(id);
    assert!(!mc.call(token, &common::IsEnabled {}).expect("asked").enabled);
    let queue = mc.call(token, &get).expect("queue");
    assert_eq!((queue.destination, queue.user_context), (Destination::default(), 0));
}

#[test]
fn what_software_has_from_a_switch_stays_when_the_switch_moves() {
    let mut mc = TestMc::new();
    let root = mc.root;
    let (child, _) = mc.make_container();
    let (_, token, fqid) = switch(&mut mc);
    let portal = mc.create(&dpio::Create { channel_mode: 1, num_priorities: 8 }).expect("dpio");
    let destination = Destination { kind: 1, id: portal.id, priority: 0 };
    let set = dpsw::CtrlIfSetQueue { destination, queue: 0, user_ctx: 5, options: 3 };
    mc.call(token, &set).expect("set");
    mc.call(token, &dpsw::CtrlIfEnable {}).expect("on");
    let fabric = mc.state.fabric.clone();
    fabric.qbman().enqueue(fqid, &Fd::default(), &mut mc.state.pass).expect("room");
    mc.close(token).expect("closed");
    let id = ObjectId::new(ObjectType::Dpsw, 0);
    mc.call(root, &assign(child, id, 0)).expect("moved");
    assert_eq!(frames(&mc, fqid), 0);
    let control = mc.state.body::<crate::mc::dpsw::Switch>(0).expect("there").control_state();
    assert_eq!(control, (false, 0, Destination::default()));
}

/// A switch of two interfaces, its token, and the queue of what software receives.
fn switch(mc: &mut TestMc) -> (ObjectId, Token, u32) {
    let request =
        dpsw::Create { num_ifs: 2, flooding_cfg: 1, broadcast_cfg: 1, ..Default::default() };
    let (id, token) = mc.make(&request);
    let fqid = mc.call(token, &dpsw::CtrlIfGetAttributes {}).expect("queues").rx_fqid;
    (id, token, fqid)
}

fn crypto() -> dpseci::Create {
    dpseci::Create {
        priorities: [1; 8],
        num_tx_queues: 1,
        num_rx_queues: 1,
        options: dpseci::OPT_HAS_CG,
        priorities2: [0; 8],
    }
}

/// Bits of a notification: write to memory, tell the destination on entry.
const TO_MEMORY: u16 = 0x1;
const TO_DESTINATION: u16 = 0x8;

fn set_up_crypto(mc: &mut TestMc, token: Token, destination: Destination) {
    let set = dpseci::SetRxQueue { destination, user_ctx: 3, options: 3, ..Default::default() };
    mc.call(token, &set).expect("set");
    let mode = TO_MEMORY | TO_DESTINATION;
    let notification = CongestionNotification { destination, mode, ..Default::default() };
    mc.call(token, &dpseci::SetCongestionNotification { notification }).expect("set");
}

/// Messages would go to the old owner's address with the new owner's isolation id.
#[test]
fn interrupts_are_not_taken_along() {
    let mut mc = TestMc::new();
    let (child, _) = mc.make_container();
    let objects = [
        mc.make(&dpni::Create::default()),
        mc.make(&dpmac::Create { mac: 3 }),
        mc.make(&dpsw::Create { num_ifs: 1, ..Default::default() }),
        mc.make(&dpci::Create { num_of_priorities: 1, options: 0 }),
        mc.make(&dpio::Create { channel_mode: 1, num_priorities: 8 }),
        mc.make(&crypto()),
    ];
    for (id, token) in objects {
        mc.listen(token, 0, 0x1000);
        mc.state.raise(id, 0, 2);
        mc.close(token).expect("closed");
        mc.messages();
        mc.call(mc.root, &assign(child, id, 0)).expect("moved");
        let own = |mc: &mut TestMc| {
            mc.messages().into_iter().filter(|message| message.address == 0x1000).count()
        };
        assert_eq!(own(&mut mc), 0, "{id}");
        let token = mc.open(id);
        let irq = mc.call(token, &common::GetIrq { index: 0 }).expect("irq");
        assert_eq!((irq.address, irq.value), (0, 0), "{id}");
        assert!(!mc.call(token, &common::GetIrqEnable { index: 0 }).expect("irq").enabled);
        assert_eq!(mc.call(token, &common::GetIrqMask { index: 0 }).expect("irq").mask, 0);
        assert_eq!(mc.state.irq(id, 0).expect("irq").status, 0, "{id}");
        mc.state.raise(id, 0, 1);
        assert_eq!(own(&mut mc), 0, "{id}");
        mc.close(token).expect("closed");
    }
}

/// By its own command and by that of the container around it; and no message leaves
/// because of what a reset does.
#[test]
fn a_reset_forgets_events_whatever_the_family() {
    for whole in [false, true] {
        let mut mc = TestMc::new();
        let (child, container) = mc.make_container();
        let ids = [
            mc.create_in(container, &dpni::Create::default()),
            mc.create_in(container, &dpmac::Create { mac: 3 }),
            mc.create_in(container, &dpsw::Create { num_ifs: 1, ..Default::default() }),
            mc.create_in(container, &dpdmux::Create { num_ifs: 1, ..Default::default() }),
            mc.create_in(container, &dpci::Create { num_of_priorities: 1, options: 0 }),
            mc.create_in(container, &dpci::Create { num_of_priorities: 1, options: 0 }),
            mc.create_in(container, &crypto()),
            mc.create_in(
                container,
                &dpdmai::Create { num_queues: 1, priorities: [1, 0], options: 0 },
            ),
            mc.create_in(container, &dprtc::Create {}),
        ];
        let ids = ids.map(|id| id.expect("made"));
        let [_, mac, sw, mux, one, two, ..] = ids;
        mc.connect((mux, 0), (mac, 0)).expect("connected");
        mc.connect((mux, 1), (sw, 0)).expect("connected");
        mc.connect((one, 0), (two, 0)).expect("connected");
        let tokens = ids.map(|id| mc.open(id));
        for (id, token) in ids.into_iter().zip(tokens) {
            if matches!(id.kind, ObjectType::Dpci | ObjectType::Dpsw) {
                mc.call(token, &common::Enable {}).expect("on");
            }
            mc.state.raise(id, 0, 2);
            mc.listen(token, 0, 0x1000);
            assert_ne!(mc.state.irq(id, 0).expect("irq").status, 0, "{id}");
        }
        mc.messages();
        if whole {
            let reset = mc_abi::dprc::Reset { child, options: 0 };
            mc.call(mc.root, &reset).expect("reset");
            assert!(mc.messages().iter().all(|message| message.address != 0x1000));
        }
        for (id, token) in ids.into_iter().zip(tokens) {
            if !whole {
                mc.call(token, &common::Reset {}).expect("reset");
            }
            assert_eq!(mc.state.irq(id, 0).expect("irq").status, 0, "{id}, whole: {whole}");
        }
    }
}

/// What takes the number of a destination or a pool later has not been asked for.
#[test]
fn what_is_gone_is_not_replaced_by_what_has_its_number() {
    let mut mc = TestMc::new();
    let root = mc.root;
    let (dpcon, destination) = concentrator(&mut mc, root);
    let (_, ci) = mc.make(&dpci::Create { num_of_priorities: 1, options: 0 });
    let (_, dma) = mc.make(&dpdmai::Create { num_queues: 1, priorities: [1, 0], options: 0 });
    let (_, seci) = mc.make(&crypto());
    let (_, dcei) = mc.make(&dpdcei::Create { engine: 0, priority: 1 });
    let (_, ni) = mc.make(&dpni::Create::default());
    let set = dpci::SetRxQueue { destination, options: 2, ..Default::default() };
    mc.call(ci, &set).expect("set");
    let set = dpdmai::SetRxQueue { destination, options: 2, ..Default::default() };
    mc.call(dma, &set).expect("set");
    set_up_crypto(&mut mc, seci, destination);
    let set = dpdcei::SetRxQueue { destination, options: 2, ..Default::default() };
    mc.call(dcei, &set).expect("set");
    let set = dpni::SetQueue {
        options: dpni::queue_options::DESTINATION,
        destination,
        ..Default::default()
    };
    mc.call(ni, &set).expect("set");
    let notification = CongestionNotification {
        destination,
        mode: TO_MEMORY | 0x8,
        threshold_entry: 9,
        ..Default::default()
    };
    let told = dpni::SetCongestionNotification { notification, ..Default::default() };
    mc.call(ni, &told).expect("set");

    mc.destroy(dpcon).expect("destroyed");
    assert_eq!(concentrator(&mut mc, root).0, dpcon, "the number is given out again");
    let none = Destination::default();
    let queue = mc.call(ci, &dpci::GetRxQueue { priority: 0 }).expect("queue");
    assert_eq!(queue.destination, none);
    let get = dpdmai::GetRxQueue { priority: 0, queue_idx: 0 };
    assert_eq!(mc.call(dma, &get).expect("queue").destination, none);
    let queue = mc.call(seci, &dpseci::GetRxQueue { queue: 0 }).expect("queue");
    assert_eq!((queue.destination, queue.user_ctx), (none, 3));
    let kept = mc.call(seci, &dpseci::GetCongestionNotification {}).expect("kept").notification;
    assert_eq!((kept.destination, kept.mode), (none, TO_MEMORY));
    assert_eq!(mc.call(dcei, &dpdcei::GetRxQueue {}).expect("queue").destination, none);
    let queue = mc.call(ni, &dpni::GetQueue::default()).expect("queue");
    assert_eq!(queue.destination, none);
    let kept = mc.call(ni, &dpni::GetCongestionNotification::default()).expect("kept");
    assert_eq!((kept.notification.destination, kept.notification.mode), (none, TO_MEMORY));
}

/// The same of a switch's portal and pools.
#[test]
fn a_switch_does_not_take_buffers_of_a_later_pool() {
    let mut mc = TestMc::new();
    let (_, token, _) = switch(&mut mc);
    let pools = [(); 2].map(|()| mc.create(&dpbp::Create {}).expect("dpbp"));
    let mut set = dpsw::CtrlIfSetPools { num_dpbp: 2, backup_pool: 0b10, ..Default::default() };
    for (index, pool) in pools.iter().enumerate() {
        (set.dpbp_id[index], set.buffer_size[index]) = (pool.id, 2048);
    }
    mc.call(token, &set).expect("set");
    let portal = dpio::Create { channel_mode: 1, num_priorities: 8 };
    let dpio = mc.create(&portal).expect("dpio");
    let destination = Destination { kind: 1, id: dpio.id, priority: 0 };
    let set = dpsw::CtrlIfSetQueue { destination, queue: 0, user_ctx: 5, options: 3 };
    mc.call(token, &set).expect("set");
    mc.call(token, &dpsw::CtrlIfEnable {}).expect("on");
    let state = |mc: &TestMc| {
        let switch = mc.state.body::<crate::mc::dpsw::Switch>(0).expect("there");
        (switch.control_state(), switch.control_pools())
    };
    assert_eq!(state(&mc), ((true, 5, destination), vec![(0, false), (1, true)]));
    mc.destroy(pools[0]).expect("destroyed");
    assert_eq!(mc.create(&dpbp::Create {}), Ok(pools[0]));
    mc.destroy(dpio).expect("destroyed");
    assert_eq!(mc.create(&portal), Ok(dpio));
    assert_eq!(state(&mc), ((true, 5, Destination::default()), vec![(1, true)]));
}

/// And of a network interface, whose further pools keep what was said of them.
#[test]
fn an_interface_does_not_take_buffers_of_a_later_pool() {
    let mut mc = TestMc::new();
    let (id, token) = mc.make(&dpni::Create::default());
    let pools = [(); 3].map(|()| mc.create(&dpbp::Create {}).expect("dpbp"));
    let mut set = dpni::SetPools { num_pools: 3, backup_mask: 0b101, ..Default::default() };
    for (index, pool) in pools.iter().enumerate() {
        set.pools[index].dpbp = pool.id;
        set.buffer_sizes[index] = 1024 * (index as u16 + 1);
    }
    mc.call(token, &set).expect("set");
    mc.destroy(pools[1]).expect("destroyed");
    assert_eq!(mc.create(&dpbp::Create {}), Ok(pools[1]));
    let interface = mc.state.body::<crate::mc::dpni::Interface>(id.id).expect("there");
    let left = interface.pools(&mc.state, id);
    let left: Vec<_> = left.iter().map(|pool| (pool.bpid, pool.size, pool.backup)).collect();
    assert_eq!(left, [(0, 1024, true), (2, 3072, true)]);
    mc.destroy(pools[0]).expect("destroyed");
    mc.destroy(pools[2]).expect("destroyed");
    let interface = mc.state.body::<crate::mc::dpni::Interface>(id.id).expect("there");
    assert!(interface.pools(&mc.state, id).is_empty());
}

/// Who gets a switch, a demultiplexer or an interface after a reset does not read how much
/// its former owner sent.
#[test]
fn counters_start_anew_with_a_reset() {
    let mut mc = TestMc::new();
    let (sw, sw_token, _) = switch(&mut mc);
    let (mux, mux_token) = mc.make(&dpdmux::Create { num_ifs: 1, ..Default::default() });
    let (ni, ni_token) = mc.make(&dpni::Create::default());
    let macs = [3, 4, 5].map(|mac| mc.create(&dpmac::Create { mac }).expect("dpmac"));
    for (id, mac) in [sw, mux, ni].into_iter().zip(macs) {
        mc.connect((id, 0), (mac, 0)).expect("connected");
    }
    mc.call(sw_token, &common::Enable {}).expect("on");
    mc.call(ni_token, &common::Enable {}).expect("on");
    let fabric = mc.state.fabric.clone();
    for mac in 3..6 {
        fabric.receive(mac, &[0x88; 60]);
    }
    let sum = |mc: &mut TestMc| {
        let mut sums = [0; 3];
        for kind in 0..8 {
            let count = dpsw::IfGetCounter { if_id: 0, kind };
            sums[0] += mc.call(sw_token, &count).expect("a counter").counter;
            let count = dpdmux::IfGetCounter { if_id: 0, kind };
            sums[1] += mc.call(mux_token, &count).expect("a counter").counter;
        }
        let page = dpni::GetStatistics { page: 2, ..Default::default() };
        sums[2] = mc.call(ni_token, &page).expect("a page").counters.iter().sum();
        sums
    };
    assert!(sum(&mut mc).iter().all(|sum| *sum > 0), "{:?}", sum(&mut mc));
    for token in [sw_token, mux_token, ni_token] {
        mc.call(token, &common::Reset {}).expect("reset");
    }
    assert_eq!(sum(&mut mc), [0; 3]);
}
