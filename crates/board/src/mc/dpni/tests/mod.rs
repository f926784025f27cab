// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Interfaces and ports as clients meet them.

mod anything;
mod congestion;
mod frames;
mod links;
mod ports;
mod tables;

use crate::mc::testing::TestMc;
use mc_abi::{
    MacAddr, ObjectId, Status, Token,
    blocks::{BufferLayout, CongestionNotification, Destination, OrderSettings, Policer, TailDrop},
    common::{Enable, IsEnabled, Reset},
    dpbp, dpcon, dpmac,
    dpni::{self, events, options, queue_options, queue_type},
};

fn create(mc: &mut TestMc, request: dpni::Create) -> (ObjectId, Token) {
    mc.make(&request)
}

fn plain(mc: &mut TestMc) -> (ObjectId, Token) {
    create(mc, dpni::Create::default())
}

fn port(mc: &mut TestMc, mac: u32) -> (ObjectId, Token) {
    mc.make(&dpmac::Create { mac })
}

fn up(mc: &mut TestMc, dpni: Token) -> bool {
    mc.call(dpni, &dpni::GetLinkState {}).unwrap().link.up
}

/// What happened since it was last asked.
fn happened(mc: &mut TestMc, dpni: Token) -> u32 {
    mc.call(dpni, &dpni::GetIrqStatus { status: u32::MAX, index: 0 }).unwrap().status
}

#[test]
fn defaults_are_those_of_a_board() {
    let mut mc = TestMc::new();
    let (_, dpni) = plain(&mut mc);
    let attributes = mc.call(dpni, &dpni::GetAttributes {}).unwrap();
    let expected = dpni::GetAttributesReply {
        num_queues: 1,
        num_rx_tcs: 1,
        num_tx_tcs: 1,
        mac_filter_entries: 16,
        fs_entries: 64,
        fs_key_size: 56,
        num_channels: 1,
        num_cgs: 1,
        wriop_version: 0xc00,
        ..Default::default()
    };
    assert_eq!(attributes, expected);
}

#[test]
fn attributes_are_what_was_asked_for() {
    let mut mc = TestMc::new();
    // What a packet processing framework asks for on a board.
    let request = dpni::Create {
        options: 0x8000_03d0,
        num_queues: 16,
        num_tcs: 16,
        vlan_filter_entries: 16,
        qos_entries: 64,
        fs_entries: 1,
        num_cgs: 24,
        num_channels: 1,
        ..Default::default()
    };
    let (_, dpni) = create(&mut mc, request);
    let a = mc.call(dpni, &dpni::GetAttributes {}).unwrap();
    assert_eq!((a.options, a.num_queues, a.num_cgs), (0x8000_03d0, 16, 24));
    assert_eq!((a.num_rx_tcs, a.num_tx_tcs), (8, 16));
    assert_eq!((a.mac_filter_entries, a.vlan_filter_entries), (16, 16));
    assert_eq!((a.qos_entries, a.fs_entries), (64, 1));
    assert_eq!((a.qos_key_size, a.fs_key_size, a.num_opr), (56, 56, 8));
    // The oldest version has no transmit classes and no channels.
    let old = mc.call_version(dpni, &dpni::GetAttributes {}, 1).unwrap();
    assert_eq!((old.num_rx_tcs, old.num_tx_tcs, old.num_channels), (8, 0, 0));
}

#[test]
fn numbers_above_their_limit_are_refused() {
    let mut mc = TestMc::new();
    let wrong = [
        dpni::Create { num_queues: 33, ..Default::default() },
        dpni::Create { num_tcs: 17, ..Default::default() },
        dpni::Create { num_rx_tcs: 9, ..Default::default() },
        dpni::Create { mac_filter_entries: 81, ..Default::default() },
        dpni::Create { vlan_filter_entries: 17, ..Default::default() },
        dpni::Create { qos_entries: 65, ..Default::default() },
        dpni::Create { fs_entries: 1025, ..Default::default() },
        dpni::Create { num_cgs: 129, ..Default::default() },
        dpni::Create { num_opr: 129, ..Default::default() },
        dpni::Create { dist_key_size: 57, ..Default::default() },
        dpni::Create { num_channels: 17, ..Default::default() },
    ];
    for request in wrong {
        assert_eq!(mc.create(&request), Err(Status::ConfigurationError), "{request:?}");
    }
    mc.assert_pools_full();
}

#[test]
fn pools_run_out_without_losing_anything() {
    let mut mc = TestMc::new();
    let request = dpni::Create {
        options: options::CUSTOM_CG,
        num_queues: 16,
        num_tcs: 8,
        num_cgs: 100,
        ..Default::default()
    };
    let made: Vec<_> = std::iter::from_fn(|| mc.create(&request).ok()).take(100).collect();
    assert_eq!(made.len(), 2, "255 congestion groups");
    assert_eq!(mc.create(&request), Err(Status::NoResource));
    for id in made {
        mc.destroy(id).unwrap();
    }
    mc.assert_pools_full();
}

#[test]
fn queues_have_numbers_of_their_own() {
    let mut mc = TestMc::new();
    let request = dpni::Create { num_queues: 4, num_tcs: 2, num_channels: 2, ..Default::default() };
    let (_, dpni) = create(&mut mc, request);
    let mut fqids = Vec::new();
    let mut get = |queue_type, tc, index, channel| {
        let get = dpni::GetQueue { queue_type, tc, index, channel };
        mc.call(dpni, &get).inspect(|queue| fqids.push(queue.fqid))
    };
    for index in 0..4 {
        for tc in 0..2 {
            get(queue_type::RX, tc, index, 0).unwrap();
            for channel in 0..2 {
                let queue = get(queue_type::TX, tc, index, channel).unwrap();
                assert_eq!(queue.qdbin, u16::from(index));
            }
        }
        for channel in 0..2 {
            get(queue_type::TX_CONFIRM, 0, index, channel).unwrap();
        }
    }
    get(queue_type::RX_ERR, 0, 0, 0).unwrap();
    for (kind, tc, index, channel) in [
        (queue_type::RX, 2, 0, 0),
        (queue_type::RX, 0, 4, 0),
        (queue_type::TX, 0, 0, 2),
        (4, 0, 0, 0),
    ] {
        assert_eq!(get(kind, tc, index, channel), Err(Status::ConfigurationError));
    }
    assert!(fqids.iter().all(|fqid| *fqid != 0));
    let count = fqids.len();
    fqids.sort_unstable();
    fqids.dedup();
    assert_eq!(fqids.len(), count);
    let qdid = mc.call(dpni, &dpni::GetQdid { queue_type: queue_type::TX }).unwrap().qdid;
    let all = mc.call(dpni, &dpni::GetQdidEx { queue_type: queue_type::TX }).unwrap().qdids;
    assert_eq!(all[0], qdid);
    assert!(all[1] != 0 && all[1] != qdid && all[2] == 0);
}

#[test]
fn a_queue_keeps_what_is_set() {
    let mut mc = TestMc::new();
    let (_, dpni) = create(&mut mc, dpni::Create { num_queues: 2, ..Default::default() });
    let (dpcon, _) = mc.make(&dpcon::Create { num_priorities: 2 });
    let set = dpni::SetQueue {
        queue_type: queue_type::RX,
        index: 1,
        options: queue_options::USER_CONTEXT | queue_options::DESTINATION,
        destination: Destination { kind: 2, id: dpcon.id, priority: 1 },
        user_context: 0xffff_0000_1234_5678,
        flow_context: 5,
        ..Default::default()
    };
    // The version that Linux sends.
    mc.call_version(dpni, &set, 1).unwrap();
    let get = dpni::GetQueue { queue_type: queue_type::RX, index: 1, ..Default::default() };
    let queue = mc.call(dpni, &get).unwrap();
    assert_eq!(queue.destination, set.destination);
    assert_eq!(queue.user_context, set.user_context);
    assert_eq!(queue.flow_context, 0, "not asked for");
    assert!(!queue.congestion_group_valid);
    let other = dpni::GetQueue { queue_type: queue_type::RX, ..Default::default() };
    assert_eq!(mc.call(dpni, &other).unwrap().user_context, 0);
    let absent = Destination { id: dpcon.id + 1, ..set.destination };
    let wrong = dpni::SetQueue { destination: absent, ..set.clone() };
    assert_eq!(mc.call(dpni, &wrong), Err(Status::ConfigurationError));
    // All queues of all classes.
    let all = dpni::SetQueue {
        tc: 255,
        index: 255,
        options: queue_options::SET_CONGESTION_GROUP,
        ..Default::default()
    };
    mc.call(dpni, &all).unwrap();
    assert!(mc.call(dpni, &other).unwrap().congestion_group_valid);
    mc.call(dpni, &Reset {}).unwrap();
    let queue = mc.call(dpni, &get).unwrap();
    assert_eq!((queue.destination, queue.user_context), (Destination::default(), 0));
    assert!(queue.fqid != 0);
}

#[test]
fn congestion_measures_are_kept_by_what_they_watch() {
    let mut mc = TestMc::new();
    let (_, dpni) =
        create(&mut mc, dpni::Create { num_queues: 2, num_tcs: 2, ..Default::default() });
    let set = dpni::SetTaildrop {
        congestion_point: 0,
        queue_type: queue_type::RX,
        index: 1,
        drop: TailDrop { enable: true, threshold: 1 << 20, overhead: 0xfff, units: 0 },
        ..Default::default()
    };
    mc.call(dpni, &set).unwrap();
    let get = dpni::GetTaildrop { index: 1, ..Default::default() };
    assert_eq!(mc.call(dpni, &get).unwrap().drop, set.drop);
    assert!(!mc.call(dpni, &dpni::GetTaildrop::default()).unwrap().drop.enable);
    for wrong in [
        dpni::SetTaildrop { drop: TailDrop { threshold: 0, ..set.drop }, ..set.clone() },
        dpni::SetTaildrop { queue_type: queue_type::TX, ..set.clone() },
        dpni::SetTaildrop { congestion_point: 2, index: 2, ..set.clone() },
        dpni::SetTaildrop { congestion_point: 1, tc: 2, ..set.clone() },
    ] {
        assert_eq!(mc.call(dpni, &wrong), Err(Status::ConfigurationError), "{wrong:?}");
    }
    let notify = dpni::SetCongestionNotification {
        congestion_point: 1,
        tc: 1,
        notification: CongestionNotification {
            mode: 1,
            message_iova: 0x1000,
            message_context: 7,
            threshold_entry: 100,
            threshold_exit: 90,
            ..Default::default()
        },
        ..Default::default()
    };
    mc.call(dpni, &notify).unwrap();
    let ask = dpni::GetCongestionNotification { congestion_point: 1, tc: 1, ..Default::default() };
    assert_eq!(mc.call(dpni, &ask).unwrap().notification, notify.notification);
    let notification = CongestionNotification { message_iova: 0x1008, ..notify.notification };
    let misplaced = dpni::SetCongestionNotification { notification, ..notify };
    assert_eq!(mc.call(dpni, &misplaced), Err(Status::ConfigurationError));
    // A taildrop of the class takes its place.
    mc.call(dpni, &dpni::SetTaildrop { congestion_point: 1, tc: 1, ..set }).unwrap();
    assert_eq!(mc.call(dpni, &ask).unwrap().notification.message_iova, 0);
}

#[test]
fn filters_fill_up() {
    let mut mc = TestMc::new();
    let request =
        dpni::Create { mac_filter_entries: 2, vlan_filter_entries: 1, ..Default::default() };
    let (_, dpni) = create(&mut mc, request);
    let add =
        |last| dpni::AddMacAddr { address: MacAddr([0, 1, 2, 3, 4, last]), ..Default::default() };
    let broadcast = dpni::AddMacAddr { address: MacAddr([0xff; 6]), ..Default::default() };
    mc.call_version(dpni, &broadcast, 1).unwrap();
    mc.call(dpni, &broadcast).unwrap();
    mc.call(dpni, &add(1)).unwrap();
    assert_eq!(mc.call(dpni, &add(2)), Err(Status::NoResource));
    mc.call(dpni, &dpni::ClearMacFilters { unicast: true, multicast: true }).unwrap();
    // Linux counts on broadcast to stay.
    mc.call(dpni, &dpni::RemoveMacAddr { address: MacAddr([0xff; 6]) }).unwrap();
    let gone = dpni::RemoveMacAddr { address: MacAddr([0, 1, 2, 3, 4, 1]) };
    assert_eq!(mc.call(dpni, &gone), Err(Status::NoResource));
    let vlan = |vlan| dpni::AddVlanId { vlan, ..Default::default() };
    mc.call(dpni, &dpni::EnableVlanFilter { enable: true }).unwrap();
    assert_eq!(mc.call(dpni, &vlan(4096)), Err(Status::ConfigurationError));
    mc.call(dpni, &vlan(5)).unwrap();
    assert_eq!(mc.call(dpni, &vlan(6)), Err(Status::NoResource));
    mc.call(dpni, &dpni::ClearVlanFilters {}).unwrap();
    mc.call(dpni, &vlan(6)).unwrap();
    mc.call(dpni, &dpni::SetMulticastPromisc { enable: true }).unwrap();
    assert!(mc.call(dpni, &dpni::GetMulticastPromisc {}).unwrap().enabled);
    assert!(!mc.call(dpni, &dpni::GetUnicastPromisc {}).unwrap().enabled);
}

#[test]
fn layouts_change_by_option_and_only_while_disabled() {
    let mut mc = TestMc::new();
    let (_, dpni) = plain(&mut mc);
    let set = dpni::SetBufferLayout {
        queue_type: queue_type::TX,
        options: dpni::layout_options::PRIVATE_DATA_SIZE | dpni::layout_options::TIMESTAMP,
        layout: BufferLayout {
            timestamp: true,
            private_data_size: 64,
            head_room: 99,
            ..Default::default()
        },
    };
    mc.call_version(dpni, &set, 1).unwrap();
    let layout =
        mc.call(dpni, &dpni::GetBufferLayout { queue_type: queue_type::TX }).unwrap().layout;
    assert!(layout.timestamp && !layout.frame_status);
    assert_eq!((layout.private_data_size, layout.head_room), (64, 0));
    assert_eq!(mc.call(dpni, &dpni::GetTxDataOffset {}).unwrap().offset, 192);
    let wrong = dpni::SetBufferLayout { queue_type: queue_type::RX_ERR, ..set.clone() };
    assert_eq!(mc.call(dpni, &wrong), Err(Status::ConfigurationError));
    mc.call(dpni, &Enable {}).unwrap();
    assert!(mc.call(dpni, &IsEnabled {}).unwrap().enabled);
    assert_eq!(mc.call(dpni, &set), Err(Status::InvalidState));
    mc.call(dpni, &dpni::SetOffload { offload: 4, config: 1 }).unwrap();
    assert_eq!(mc.call(dpni, &dpni::GetOffload { offload: 4 }).unwrap().config, 1);
    assert_eq!(
        mc.call(dpni, &dpni::SetOffload { offload: 7, config: 1 }),
        Err(Status::ConfigurationError)
    );
    mc.call(dpni, &dpni::SetMaxFrameLength { length: 10240 }).unwrap();
    assert_eq!(mc.call(dpni, &dpni::GetMaxFrameLength {}).unwrap().length, 10240);
    for (tpid, status) in [(1, Ok(())), (2, Ok(())), (3, Err(Status::NoResource))] {
        assert_eq!(mc.call(dpni, &dpni::AddCustomTpid { tpid }), status);
    }
    mc.call(dpni, &dpni::RemoveCustomTpid { tpid: 1 }).unwrap();
    let tpids = mc.call(dpni, &dpni::GetCustomTpid {}).unwrap();
    assert_eq!((tpids.tpid1, tpids.tpid2), (0, 2));
}

#[test]
fn pools_must_be_there() {
    let mut mc = TestMc::new();
    let (_, dpni) = plain(&mut mc);
    let (dpbp, _) = mc.make(&dpbp::Create {});
    let mut set = dpni::SetPools { num_pools: 1, ..Default::default() };
    set.pools[0].dpbp = dpbp.id;
    assert_eq!(mc.call(dpni, &set), Err(Status::ConfigurationError), "no size");
    set.buffer_sizes[0] = 2048;
    mc.call(dpni, &set).unwrap();
    set.num_pools = 9;
    assert_eq!(mc.call(dpni, &set), Err(Status::ConfigurationError));
    set.num_pools = 1;
    set.pools[0].dpbp += 1;
    assert_eq!(mc.call(dpni, &set), Err(Status::ConfigurationError));
}

#[test]
fn tables_count_their_rules() {
    let mut mc = TestMc::new();
    let request = dpni::Create {
        options: options::HAS_KEY_MASKING,
        num_queues: 4,
        num_tcs: 2,
        qos_entries: 1,
        fs_entries: 2,
        ..Default::default()
    };
    let (_, dpni) = create(&mut mc, request);
    let rule = |key_iova| dpni::AddFsEntry {
        tc: 1,
        key_size: 24,
        key_iova,
        mask_iova: 1,
        flow: 3,
        ..Default::default()
    };
    mc.call(dpni, &rule(1)).unwrap();
    mc.call(dpni, &rule(2)).unwrap();
    assert_eq!(mc.call(dpni, &rule(3)), Err(Status::NoResource));
    mc.call(dpni, &dpni::AddFsEntry { tc: 0, ..rule(3) }).unwrap();
    let too_long = dpni::AddFsEntry { key_size: 57, ..rule(1) };
    assert_eq!(mc.call(dpni, &too_long), Err(Status::ConfigurationError));
    let remove = dpni::RemoveFsEntry { tc: 1, key_size: 24, key_iova: 1, mask_iova: 1 };
    mc.call(dpni, &remove).unwrap();
    mc.call(dpni, &remove).unwrap();
    assert_eq!(mc.call(dpni, &remove), Err(Status::NoResource));
    let nowhere = dpni::AddFsEntry {
        options: 0x10,
        redirect_tokens: [0x7777; 8],
        redirect_count: 1,
        ..rule(1)
    };
    assert_eq!(mc.call(dpni, &nowhere), Err(Status::ConfigurationError));
    mc.call(dpni, &dpni::AddFsEntry { redirect_tokens: [dpni.0; 8], ..nowhere }).unwrap();

    let qos = dpni::AddQosEntry { tc: 1, key_size: 2, key_iova: 8, ..Default::default() };
    assert_eq!(mc.call(dpni, &qos), Err(Status::InvalidState), "no table");
    mc.call(dpni, &dpni::SetQosTable { key_iova: 0x100, ..Default::default() }).unwrap();
    mc.call(dpni, &qos).unwrap();
    assert_eq!(mc.call(dpni, &qos), Err(Status::NoResource));
    mc.call(dpni, &dpni::AddQosEntry { flags: 2, tc: 0, ..qos }).unwrap();
    mc.call(dpni, &dpni::ClearQosTable {}).unwrap();

    let hash = dpni::SetRxHashDist { size: 4, enable: true, key_iova: 1, ..Default::default() };
    mc.call(dpni, &hash).unwrap();
    let odd = dpni::SetRxHashDist { size: 5, ..hash };
    assert_eq!(mc.call(dpni, &odd), Err(Status::ConfigurationError));
}

#[test]
fn policers_and_order_records_need_their_options() {
    let mut mc = TestMc::new();
    let (_, bare) = plain(&mut mc);
    let police = dpni::SetRxTcPolicing {
        tc: 0,
        policer: Policer { mode: 2, committed_rate: 5, ..Default::default() },
    };
    let settings = OrderSettings { oprrws: 5, ..Default::default() };
    let order = dpni::SetOpr { options: 1, settings, ..Default::default() };
    assert_eq!(mc.call(bare, &police), Err(Status::NoResource));
    assert_eq!(mc.call(bare, &order), Err(Status::ConfigurationError));
    let request =
        dpni::Create { options: options::HAS_POLICING | options::HAS_OPR, ..Default::default() };
    let (_, dpni) = create(&mut mc, request);
    mc.call(dpni, &police).unwrap();
    let policer = mc.call(dpni, &dpni::GetRxTcPolicing { tc: 0 }).unwrap().policer;
    assert_eq!((policer.mode, policer.committed_rate), (2, 5));
    assert!(!mc.call(dpni, &dpni::GetOpr::default()).unwrap().enable);
    mc.call(dpni, &order).unwrap();
    let record = mc.call(dpni, &dpni::GetOpr::default()).unwrap();
    assert!(record.enable && record.settings == settings);
    mc.call(dpni, &dpni::SetOpr { options: 2, ..order }).unwrap();
    assert!(!mc.call(dpni, &dpni::GetOpr::default()).unwrap().enable);
}

#[test]
fn confirmation_is_set_by_channel_and_by_queue() {
    let mut mc = TestMc::new();
    let request = dpni::Create { num_queues: 2, num_channels: 2, ..Default::default() };
    let (_, dpni) = create(&mut mc, request);
    mc.call(dpni, &dpni::SetTxConfirmationMode { channel: 1, mode: 2 }).unwrap();
    mc.call(dpni, &dpni::SetQueueTxConfirmationMode { channel: 1, index: 1, mode: 1 }).unwrap();
    let mut mode = |channel, index| {
        let get = dpni::GetQueueTxConfirmationMode { channel, index };
        mc.call(dpni, &get).map(|reply| reply.mode)
    };
    assert_eq!((mode(1, 0), mode(1, 1), mode(0, 0)), (Ok(2), Ok(1), Ok(0)));
    assert_eq!(mode(2, 0), Err(Status::ConfigurationError));
    let wrong = dpni::SetTxConfirmationMode { channel: 0, mode: 3 };
    assert_eq!(mc.call(dpni, &wrong), Err(Status::ConfigurationError));
}

#[test]
fn priorities_follow_the_rules_of_the_headers() {
    let mut mc = TestMc::new();
    let few = dpni::SetTxPriorities { modes: [0x01; 4], weights: [100; 8], ..Default::default() };
    let (_, dpni) = create(&mut mc, dpni::Create { num_tcs: 8, ..Default::default() });
    mc.call(dpni, &few).unwrap();
    assert_eq!(
        mc.call(dpni, &dpni::SetTxPriorities { weights: [99; 8], ..few.clone() }),
        Err(Status::ConfigurationError)
    );
    assert_eq!(mc.call_version(dpni, &few, 1), Err(Status::UnsupportedOperation));
    let (_, many) = create(&mut mc, dpni::Create { num_tcs: 16, ..Default::default() });
    assert_eq!(mc.call(many, &few), Err(Status::ConfigurationError));
    let groups = dpni::SetTxPriorities { modes: [0x11, 0x11, 0x22, 0x22], ..few };
    mc.call(many, &groups).unwrap();
    let shape = dpni::SetTxShaping { whole_interface: true, ..Default::default() };
    assert_eq!(mc.call(dpni, &shape), Err(Status::InvalidState), "no port");
    mc.call(dpni, &dpni::SetTxShaping { committed_rate: 10, ..Default::default() }).unwrap();
}

#[test]
fn counters_are_zero_and_macsec_is_absent() {
    let mut mc = TestMc::new();
    let (_, dpni) = plain(&mut mc);
    for page in 0..7 {
        // The version that Linux sends.
        let get = dpni::GetStatistics { page, param: 0 };
        assert_eq!(mc.call_version(dpni, &get, 1).unwrap().counters, [0; 7]);
    }
    let past = dpni::GetStatistics { page: 7, param: 0 };
    assert_eq!(mc.call(dpni, &past), Err(Status::ConfigurationError));
    mc.call(dpni, &dpni::ResetStatistics {}).unwrap();
    assert!(!mc.call(dpni, &dpni::IsMacsecCapable {}).unwrap().capable);
    let secy = dpni::AddSecy::default();
    assert_eq!(mc.call(dpni, &secy), Err(Status::UnsupportedOperation));
}
