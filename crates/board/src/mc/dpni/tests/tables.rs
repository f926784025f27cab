// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Rules that commands set up, with keys in guest memory, as frames meet them.

use super::{
    frames::{Nic, queue, send_bytes, take},
    *,
};
use mc_abi::{ResourceType, dprc};

/// Where descriptions, keys and masks lie.
const LAYOUT: u64 = 0x1000;
const KEY: u64 = 0x2000;
const MASK: u64 = 0x2100;
const DUMP: u64 = 0x3000;

fn write(mc: &mut TestMc, at: u64, bytes: &[u8]) {
    let icid = mc.icid();
    mc.state.fabric.memory().write(icid, at, bytes).expect("memory");
}

/// Writes the layout of a key of whole fields as `dpkg_prepare_key_cfg` does.
fn write_layout(mc: &mut TestMc, fields: &[(u8, u32)]) {
    let mut bytes = vec![0; 8 + fields.len() * 24];
    bytes[0] = fields.len() as u8;
    for ((prot, field), extract) in fields.iter().zip(bytes[8..].chunks_exact_mut(24)) {
        (extract[0], extract[1]) = (*prot, 2);
        extract[4..8].copy_from_slice(&field.to_le_bytes());
    }
    write(mc, LAYOUT, &bytes);
}

/// `NET_PROT_UDP` and `NH_FLD_UDP_PORT_DST`.
const DESTINATION_PORT: &[(u8, u32)] = &[(8, 2)];
/// `DPAA2_RXH_DEFAULT` of Linux.
const FIVE_TUPLE: &[(u8, u32)] = &[(6, 0x20), (6, 0x40), (6, 0x10), (8, 1), (8, 2)];

fn udp(source: u16, destination: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    let link = etherparse::PacketBuilder::ethernet2([2; 6], [2; 6]);
    let udp = link.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9).udp(source, destination);
    udp.write(&mut frame, &[0; 40]).expect("written");
    frame
}

/// A plain interface connected to one with four queues and two classes.
fn pair() -> (TestMc, Nic, Nic) {
    let mut mc = TestMc::new();
    let one = Nic::new(&mut mc, dpni::Create::default());
    let request = dpni::Create {
        options: options::HAS_KEY_MASKING,
        num_queues: 4,
        num_tcs: 2,
        qos_entries: 4,
        fs_entries: 4,
        vlan_filter_entries: 2,
        ..Default::default()
    };
    let two = Nic::new(&mut mc, request);
    mc.connect((one.id, 0), (two.id, 0)).expect("they fit");
    (mc, one, two)
}

/// How many frames each queue of each class has.
fn queues(mc: &mut TestMc, nic: &Nic) -> [[usize; 4]; 2] {
    [0, 1].map(|tc| {
        [0, 1, 2, 3].map(|index| {
            let fqid = queue(mc, nic.dpni, queue_type::RX, tc, index);
            take(mc, fqid).len()
        })
    })
}

fn steer(flow: u16, options: u16) -> dpni::AddFsEntry {
    dpni::AddFsEntry {
        options,
        key_size: 2,
        key_iova: KEY,
        mask_iova: MASK,
        flow,
        ..Default::default()
    }
}

#[test]
fn flows_are_spread_by_their_hash() {
    let (mut mc, one, two) = pair();
    write_layout(&mut mc, FIVE_TUPLE);
    let hash = dpni::SetRxHashDist { size: 4, enable: true, tc: 0, key_iova: LAYOUT };
    mc.call(two.dpni, &hash).expect("spread");
    // The memory may be used for something else then.
    write(&mut mc, LAYOUT, &[0xff; 256]);
    for port in 0..8 {
        send_bytes(&mut mc, &one, &udp(1000 + port, 7));
    }
    let [spread, other] = queues(&mut mc, &two);
    assert_eq!((spread.iter().sum::<usize>(), other), (8, [0; 4]));
    assert!(spread.iter().filter(|count| **count > 0).count() > 1, "{spread:?}");
    // One flow stays together.
    for _ in 0..7 {
        send_bytes(&mut mc, &one, &udp(1000, 7));
    }
    let [spread, _] = queues(&mut mc, &two);
    assert!(spread.contains(&7), "{spread:?}");
    mc.call(two.dpni, &dpni::SetRxHashDist { enable: false, ..hash }).expect("off");
    send_bytes(&mut mc, &one, &udp(1000, 7));
    assert_eq!(queues(&mut mc, &two)[0], [1, 0, 0, 0]);
}

/// DPDK: the hash comes in the upper half of the flow context.
#[test]
fn the_hash_comes_with_the_frame() {
    let (mut mc, one, two) = pair();
    write_layout(&mut mc, FIVE_TUPLE);
    let hash = dpni::SetRxHashDist { size: 1, enable: true, tc: 0, key_iova: LAYOUT };
    mc.call(two.dpni, &hash).expect("spread");
    mc.call(two.dpni, &dpni::SetOffload { offload: 4, config: 1 }).expect("told");
    send_bytes(&mut mc, &one, &udp(0x04d2, 0x50));
    let fd = take(&mut mc, two.rx)[0];
    // What `rte_pmd_dpaa2_get_tlu_hash` gives for 10.0.0.1, 10.0.0.2, 17, 1234, 80.
    assert_eq!(fd.flc >> 32, 0x75e6_5a6e);
}

#[test]
fn rules_steer_by_key_and_mask() {
    let (mut mc, one, two) = pair();
    write_layout(&mut mc, DESTINATION_PORT);
    let on = dpni::SetRxFsDist { size: 4, enable: true, tc: 0, miss_flow: 3, key_iova: LAYOUT };
    mc.call(two.dpni, &on).expect("steering");
    write(&mut mc, KEY, &[0, 80]);
    write(&mut mc, MASK, &[0xff, 0xff]);
    mc.call(two.dpni, &steer(1, 0)).expect("a rule");
    write(&mut mc, KEY, &[0x10, 0]);
    write(&mut mc, MASK, &[0xf0, 0]);
    mc.call(two.dpni, &steer(2, 0)).expect("a rule");
    write(&mut mc, KEY, &[0x20, 0]);
    mc.call(two.dpni, &steer(0, 1)).expect("a rule that drops");
    for port in [80, 0x1001, 0x1fff, 0x2001, 9] {
        send_bytes(&mut mc, &one, &udp(1, port));
    }
    assert_eq!(queues(&mut mc, &two)[0], [0, 1, 2, 1]);
    assert_eq!(two.statistics(&mut mc, 2)[1], 1);
    // A rule is known by what its key and mask are, wherever they lie.
    write(&mut mc, KEY + 0x80, &[0, 80]);
    write(&mut mc, MASK + 0x80, &[0xff, 0xff]);
    let remove =
        dpni::RemoveFsEntry { tc: 0, key_size: 2, key_iova: KEY + 0x80, mask_iova: MASK + 0x80 };
    mc.call(two.dpni, &remove).expect("it is there");
    assert_eq!(mc.call(two.dpni, &remove), Err(Status::NoResource));
    send_bytes(&mut mc, &one, &udp(1, 80));
    assert_eq!(queues(&mut mc, &two)[0], [0, 0, 0, 1]);
    // Off: the rules are gone.
    mc.call(two.dpni, &dpni::SetRxFsDist { enable: false, ..on.clone() }).expect("off");
    mc.call(two.dpni, &on).expect("on");
    send_bytes(&mut mc, &one, &udp(1, 0x1001));
    assert_eq!(queues(&mut mc, &two)[0], [0, 0, 0, 1]);
}

#[test]
fn the_qos_table_chooses_class_and_queue() {
    let (mut mc, one, two) = pair();
    write_layout(&mut mc, DESTINATION_PORT);
    let table = dpni::SetQosTable { default_tc: 0, key_iova: LAYOUT, ..Default::default() };
    mc.call(two.dpni, &table).expect("a table");
    write(&mut mc, KEY, &[0, 80]);
    write(&mut mc, MASK, &[0xff, 0xff]);
    let add = dpni::AddQosEntry {
        flags: 1,
        flow: 2,
        tc: 1,
        key_size: 2,
        key_iova: KEY,
        mask_iova: MASK,
        ..Default::default()
    };
    mc.call(two.dpni, &add).expect("a rule");
    for port in [80, 81] {
        send_bytes(&mut mc, &one, &udp(1, port));
    }
    assert_eq!(queues(&mut mc, &two), [[1, 0, 0, 0], [0, 0, 1, 0]]);
    mc.call(two.dpni, &dpni::ClearQosTable {}).expect("cleared");
    let drop = dpni::SetQosTable { discard_on_miss: true, ..table };
    mc.call(two.dpni, &drop).expect("a table");
    send_bytes(&mut mc, &one, &udp(1, 80));
    assert_eq!(queues(&mut mc, &two), [[0; 4]; 2]);
}

/// Has frames for port 80 that `nic` receives go to the interface of a token.
fn redirect_port_80(mc: &mut TestMc, nic: &Nic, token: Token, options: u16) {
    write_layout(mc, DESTINATION_PORT);
    let on = dpni::SetRxFsDist { size: 4, enable: true, tc: 0, miss_flow: 0, key_iova: LAYOUT };
    mc.call(nic.dpni, &on).expect("steering");
    write(mc, KEY, &[0, 80]);
    write(mc, MASK, &[0xff, 0xff]);
    let rule = dpni::AddFsEntry {
        redirect_tokens: [token.0, 0, 0, 0, 0, 0, 0, 0],
        redirect_count: 1,
        ..steer(1, options)
    };
    mc.call(nic.dpni, &rule).expect("a rule");
}

/// A redirection ends with the token that named its target.
#[test]
fn rules_send_frames_to_other_interfaces() {
    let (mut mc, one, two) = pair();
    let three = Nic::new(&mut mc, dpni::Create::default());
    let token = mc.open(three.id);
    redirect_port_80(&mut mc, &two, token, 0x08);
    send_bytes(&mut mc, &one, &udp(1, 80));
    assert_eq!(take(&mut mc, three.rx).len(), 1);
    assert_eq!(queues(&mut mc, &two)[0], [0; 4]);
    mc.close(token).expect("closed");
    send_bytes(&mut mc, &one, &udp(1, 80));
    assert!(take(&mut mc, three.rx).is_empty());
    assert_eq!(queues(&mut mc, &two)[0], [0, 1, 0, 0]);
}

/// A token that a reset of a container closes ends it as well.
#[test]
fn a_redirection_ends_where_a_reset_closes_the_token() {
    let (mut mc, one, two) = pair();
    let (child, container) = mc.make_container();
    let target = mc.create_in(container, &dpni::Create::default()).expect("an interface");
    let token = mc.try_open(child, target).expect("its own");
    redirect_port_80(&mut mc, &two, token, 0x08);
    send_bytes(&mut mc, &one, &udp(1, 80));
    assert_eq!(queues(&mut mc, &two)[0], [0; 4]);
    mc.call(mc.root, &dprc::Reset { child, options: 0 }).expect("reset");
    send_bytes(&mut mc, &one, &udp(1, 80));
    assert_eq!(queues(&mut mc, &two)[0], [0, 1, 0, 0]);
}

/// Tokens are numbers that are easy to guess.
#[test]
fn rules_send_frames_to_no_interface_out_of_reach() {
    let (mut mc, one, _) = pair();
    let (child, container) = mc.make_container();
    let request = dpni::Create {
        options: options::HAS_KEY_MASKING,
        num_queues: 4,
        fs_entries: 4,
        ..Default::default()
    };
    let id = mc.create_in(container, &request).expect("an interface");
    let own = mc.try_open(child, id).expect("its own");
    let rule = |token: Token| dpni::AddFsEntry {
        redirect_tokens: [token.0; 8],
        redirect_count: 1,
        ..steer(1, 0x08)
    };
    let refused = mc.call_from(child, own, &rule(one.dpni));
    assert_eq!(refused, Err(Status::ConfigurationError));
    assert_eq!(mc.call_from(child, own, &rule(own)), Ok(()));
}

/// What an interface leads to stays behind when it moves.
#[test]
fn a_redirection_ends_where_the_interface_moves() {
    let (mut mc, _, two) = pair();
    let three = Nic::new(&mut mc, dpni::Create::default());
    redirect_port_80(&mut mc, &two, three.dpni, 0x08);
    mc.close(two.dpni).expect("closed");
    let leads = |mc: &TestMc| mc.state.object(two.id).expect("there").body.leads_to(three.id);
    assert!(leads(&mc));
    let (child, _) = mc.make_container();
    let assign = dprc::Assign {
        container: child,
        options: dprc::request::EXPLICIT,
        count: 1,
        base_or_align: two.id.id,
        kind: ResourceType::new(two.id.kind.name()),
    };
    mc.call(mc.root, &assign).expect("moved");
    assert!(!leads(&mc));
}

#[test]
fn a_rule_may_have_another_interface_send() {
    let (mut mc, one, two) = pair();
    let three = Nic::new(&mut mc, dpni::Create::default());
    mc.connect((three.id, 0), (three.id, 0)).expect("a loop");
    redirect_port_80(&mut mc, &two, three.dpni, 0x10);
    send_bytes(&mut mc, &one, &udp(1, 80));
    assert_eq!(take(&mut mc, three.rx).len(), 1);
    assert_eq!(three.statistics(&mut mc, 1)[0], 1);
}

/// Two interfaces that send each other's frames back and forth: it ends.
#[test]
fn frames_do_not_go_round_forever() {
    let (mut mc, one, two) = pair();
    // To itself.
    redirect_port_80(&mut mc, &two, two.dpni, 0x08);
    send_bytes(&mut mc, &one, &udp(1, 80));
    assert_eq!(two.statistics(&mut mc, 2)[1], 1, "it is dropped at last");
}

#[test]
fn what_cannot_be_read_changes_nothing() {
    let (mut mc, one, two) = pair();
    let nowhere = 0x1_0000_0000;
    let hash = dpni::SetRxHashDist { size: 4, enable: true, tc: 0, key_iova: nowhere };
    assert_eq!(mc.call(two.dpni, &hash), Err(Status::DmaError));
    write(&mut mc, LAYOUT, &[21]);
    let hash = dpni::SetRxHashDist { key_iova: LAYOUT, ..hash };
    assert_eq!(mc.call(two.dpni, &hash), Err(Status::ConfigurationError));
    let rule = dpni::AddFsEntry { key_iova: nowhere, ..steer(1, 0) };
    assert_eq!(mc.call(two.dpni, &rule), Err(Status::DmaError));
    let dump = dpni::DumpTable { table: 1, index: 0, iova: nowhere, size: 1000 };
    assert_eq!(mc.call(two.dpni, &dump), Err(Status::DmaError));
    send_bytes(&mut mc, &one, &udp(1, 80));
    assert_eq!(queues(&mut mc, &two)[0], [1, 0, 0, 0]);
}

/// Places from `struct dump_table_header` and `struct dump_table_entry`.
#[test]
fn tables_are_dumped_to_memory() {
    let (mut mc, _, two) = pair();
    write(&mut mc, KEY, &[0x12, 0x34]);
    write(&mut mc, MASK, &[0xff, 0x0f]);
    mc.call(two.dpni, &steer(2, 0)).expect("a rule");
    let dump = dpni::DumpTable { table: 1, index: 0, iova: DUMP, size: 32 + 142 };
    assert_eq!(mc.call(two.dpni, &dump).expect("a table").entries, 1);
    let mut bytes = [0; 32 + 142];
    let icid = mc.icid();
    mc.state.fabric.memory().read(icid, DUMP, &mut bytes).expect("memory");
    assert_eq!(bytes[..8], [1, 0, 1, 0, 4, 0, 1, 1]);
    assert_eq!(bytes[32..35], [0x12, 0x34, 0]);
    assert_eq!(bytes[32 + 56..32 + 59], [0xff, 0x0f, 0]);
    assert_eq!(bytes[32 + 112..32 + 118], [1, 0, 0, 0, 2, 0]);
    // Only the header fits.
    let small = dpni::DumpTable { size: 100, ..dump };
    assert_eq!(mc.call(two.dpni, &small).expect("a table").entries, 0);
    let tiny = dpni::DumpTable { size: 31, ..small };
    assert_eq!(mc.call(two.dpni, &tiny), Err(Status::ConfigurationError));
    let address = MacAddr([2, 0, 0, 0, 0, 5]);
    mc.call(two.dpni, &dpni::AddMacAddr { address, ..Default::default() }).expect("room");
    let macs = dpni::DumpTable { table: 2, size: 1000, ..tiny.clone() };
    assert_eq!(mc.call(two.dpni, &macs).expect("a table").entries, 1);
    let vlans = dpni::DumpTable { table: 4, size: 1000, ..tiny.clone() };
    assert_eq!(mc.call(two.dpni, &vlans).expect("a table").entries, 0);
    let none = dpni::DumpTable { table: 5, size: 1000, ..tiny };
    assert_eq!(mc.call(two.dpni, &none), Err(Status::ConfigurationError));
}
