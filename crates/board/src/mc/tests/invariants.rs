// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Whatever is asked from wherever, the invariants hold.

use crate::mc::{containers, invariants::check, testing::TestMc};
use mc_abi::{
    Message, ObjectId, ObjectType, Params, Request, ResourceType, Token, Wire, common, dpbp, dpci,
    dpcon, dpdcei, dpdmai, dpio, dpmac, dpmcp, dpni, dprc, dprtc, dpseci,
};
use proptest::prelude::*;

/// A command from a portal of one container to another one's token, with
/// small numbers so that they often name something.
#[derive(Debug, Clone)]
enum Step {
    CreateContainer { options: u32 },
    DestroyContainer { child: u32 },
    Create { kind: u8, id: u32 },
    Destroy { kind: u8, id: u32 },
    Assign { to: u32, kind: u8, id: u32, options: u32, count: u32 },
    Unassign { child: u32, kind: u8, id: u32, options: u32, count: u32 },
    Quota { child: u32, quota: u16, kind: u8 },
    Lock { child: u32, locked: bool },
    Connect { kinds: (u8, u8), one: u32, two: u32 },
    Disconnect { kind: u8, id: u32 },
    Reset { child: u32, options: u32 },
    Open { kind: u8, id: u32 },
    Close { token: u16 },
    Raw { number: u16, version: u8, params: [u8; 24] },
}

/// A command that is likely to be granted: it names what is there, by its
/// place in a list, and comes from where it may.
#[derive(Debug, Clone)]
enum Aimed {
    Create { kind: u8, id: u32 },
    Down { object: usize, to: usize },
    Up { object: usize },
    Plug { object: usize, on: bool },
    Join { one: usize, two: usize },
    Part { one: usize },
    Destroy { object: usize },
    DestroyContainer { container: usize },
}

fn aimed() -> impl Strategy<Value = Aimed> {
    let at = 0..64usize;
    prop_oneof![
        6 => (0..12u8, 0..6u32).prop_map(|(kind, id)| Aimed::Create { kind, id }),
        4 => (at.clone(), at.clone()).prop_map(|(object, to)| Aimed::Down { object, to }),
        2 => at.clone().prop_map(|object| Aimed::Up { object }),
        1 => (at.clone(), any::<bool>()).prop_map(|(object, on)| Aimed::Plug { object, on }),
        4 => (at.clone(), at.clone()).prop_map(|(one, two)| Aimed::Join { one, two }),
        1 => at.clone().prop_map(|one| Aimed::Part { one }),
        2 => at.clone().prop_map(|object| Aimed::Destroy { object }),
        1 => at.prop_map(|container| Aimed::DestroyContainer { container }),
    ]
}

/// What there is to make, move and destroy.
const TYPES: [ObjectType; 12] = [
    ObjectType::Dpbp,
    ObjectType::Dpmcp,
    ObjectType::Dpci,
    ObjectType::Dpni,
    ObjectType::Dpmac,
    ObjectType::Dpio,
    ObjectType::Dpcon,
    ObjectType::Dpseci,
    ObjectType::Dpdmai,
    ObjectType::Dpdcei,
    ObjectType::Dprtc,
    ObjectType::Dprc,
];

/// Pools that may be handed about.
const POOLS: [&str; 3] = ["bp", "mcp", "fq"];

/// The command that makes an object of a family, of a small size.
fn create(kind: ObjectType, id: u32, token: Token) -> Message {
    let priorities = [1; 8];
    match kind {
        ObjectType::Dpbp => dpbp::Create {}.message(token),
        ObjectType::Dpmcp => {
            dpmcp::Create { portal: dpmcp::PORTAL_FROM_POOL, options: 0 }.message(token)
        }
        ObjectType::Dpci => dpci::Create { num_of_priorities: 1, options: 0 }.message(token),
        ObjectType::Dpni => dpni::Create { num_queues: 2, ..Default::default() }.message(token),
        ObjectType::Dpmac => dpmac::Create { mac: 1 + id }.message(token),
        ObjectType::Dpio => dpio::Create { channel_mode: 1, num_priorities: 8 }.message(token),
        ObjectType::Dpcon => dpcon::Create { num_priorities: 2 }.message(token),
        ObjectType::Dpseci => {
            dpseci::Create { priorities, num_tx_queues: 2, num_rx_queues: 2, ..Default::default() }
                .message(token)
        }
        ObjectType::Dpdmai => {
            dpdmai::Create { num_queues: 1, priorities: [1, 2], options: 0 }.message(token)
        }
        ObjectType::Dpdcei => dpdcei::Create { engine: 0, priority: 1 }.message(token),
        ObjectType::Dprtc => dprtc::Create {}.message(token),
        _ => dprc::CreateContainer {
            options: 0x47,
            icid: dprc::ICID_FROM_POOL,
            portal: dprc::PORTAL_FROM_POOL,
            ..Default::default()
        }
        .message(token),
    }
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..6u32;
    let kind = 0..15u8;
    let count = prop_oneof![4 => Just(1u32), 1 => 0..5u32, 1 => any::<u32>()];
    prop_oneof![
        prop_oneof![3 => Just(0x47u32), 1 => 0..0x100u32]
            .prop_map(|options| Step::CreateContainer { options }),
        id.clone().prop_map(|child| Step::DestroyContainer { child }),
        (kind.clone(), id.clone()).prop_map(|(kind, id)| Step::Create { kind, id }),
        (kind.clone(), id.clone()).prop_map(|(kind, id)| Step::Destroy { kind, id }),
        (id.clone(), kind.clone(), id.clone(), 0..8u32, count.clone()).prop_map(
            |(to, kind, id, options, count)| Step::Assign { to, kind, id, options, count }
        ),
        (id.clone(), kind.clone(), id.clone(), 0..8u32, count).prop_map(
            |(child, kind, id, options, count)| Step::Unassign { child, kind, id, options, count }
        ),
        (id.clone(), 0..4u16, kind.clone()).prop_map(|(child, quota, kind)| Step::Quota {
            child,
            quota,
            kind
        }),
        (id.clone(), any::<bool>()).prop_map(|(child, locked)| Step::Lock { child, locked }),
        ((2..5u8, 2..5u8), id.clone(), id.clone()).prop_map(|(kinds, one, two)| Step::Connect {
            kinds,
            one,
            two
        }),
        (2..5u8, id.clone()).prop_map(|(kind, id)| Step::Disconnect { kind, id }),
        (id.clone(), 0..2u32).prop_map(|(child, options)| Step::Reset { child, options }),
        (kind, id).prop_map(|(kind, id)| Step::Open { kind, id }),
        (0..12u16).prop_map(|token| Step::Close { token }),
        (any::<u16>(), 0..5u8, any::<[u8; 24]>()).prop_map(|(number, version, params)| Step::Raw {
            number,
            version,
            params
        }),
    ]
}

/// A mc with containers in a tree, and what it takes to address them.
struct Tree {
    mc: TestMc,
    tokens: Vec<Token>,
}

impl Tree {
    fn new() -> Self {
        let mut mc = TestMc::new();
        let (_, two) = mc.make_container();
        let (_, three) = mc.make_container();
        let options = dprc::option::ALL & !dprc::option::AIOP;
        let (_, four) = mc.make_container_in(two, options).expect("the root may spawn");
        let tokens = vec![mc.root, two, three, four];
        Self { mc, tokens }
    }

    /// One of the objects that `which` says.
    fn pick(&self, at: usize, which: impl Fn(ObjectId) -> bool) -> Option<ObjectId> {
        let ids: Vec<_> = self.mc.state.objects.keys().copied().filter(|id| which(*id)).collect();
        ids.get(at % ids.len().max(1)).copied()
    }

    /// Sends a step that is likely to be granted. Nothing comes back where
    /// there is nothing to aim at.
    fn aim(&mut self, step: &Aimed) -> Option<()> {
        let movable = |id: ObjectId| id.kind != ObjectType::Dprc;
        let joinable = |id: ObjectId| {
            matches!(id.kind, ObjectType::Dpni | ObjectType::Dpci | ObjectType::Dpmac)
        };
        let child = |id: ObjectId| id.kind == ObjectType::Dprc && id.id != containers::ROOT;
        let holder = |tree: &Self, id| tree.mc.state.object(id).ok().map(|o| o.container);
        let one_of = |id: ObjectId| (ResourceType::new(id.kind.name()), id.id);
        let explicit = dprc::request::EXPLICIT;
        let (from, message): (u32, Box<dyn Fn(Token) -> Message>) = match *step {
            Aimed::Create { kind, id } => {
                let at = 1 + id % 4;
                let kind = TYPES[usize::from(kind) % TYPES.len()];
                (at, Box::new(move |token| create(kind, id, token)))
            }
            Aimed::Down { object, to } => {
                let id = self.pick(object, movable)?;
                let from = holder(self, id)?;
                let to = self.pick(to, |c| child(c) && holder(self, c) == Some(from))?.id;
                let (kind, base_or_align) = one_of(id);
                let ask = dprc::Assign {
                    container: to,
                    options: explicit,
                    count: 1,
                    base_or_align,
                    kind,
                };
                (from, Box::new(move |token| ask.message(token)))
            }
            Aimed::Up { object } => {
                let id = self.pick(object, movable)?;
                let child = holder(self, id)?;
                let to = self.mc.state.parent(child)?;
                let (kind, base_or_align) = one_of(id);
                let ask =
                    dprc::Unassign { child, options: explicit, count: 1, base_or_align, kind };
                (to, Box::new(move |token| ask.message(token)))
            }
            Aimed::Plug { object, on } => {
                let id = self.pick(object, |_| true)?;
                let container = holder(self, id)?;
                let (kind, base_or_align) = one_of(id);
                let options = explicit | if on { dprc::request::PLUGGED } else { 0 };
                let ask = dprc::Assign { container, options, count: 1, base_or_align, kind };
                (container, Box::new(move |token| ask.message(token)))
            }
            Aimed::Join { one, two } => {
                let (one, two) = (self.pick(one, joinable)?, self.pick(two, joinable)?);
                let ask = dprc::Connect {
                    id1: one.id,
                    kind1: one.kind,
                    id2: two.id,
                    kind2: two.kind,
                    ..Default::default()
                };
                (containers::ROOT, Box::new(move |token| ask.message(token)))
            }
            Aimed::Part { one } => {
                let one = self.pick(one, joinable)?;
                let ask = dprc::Disconnect { id: one.id, interface: 0, kind: one.kind };
                (containers::ROOT, Box::new(move |token| ask.message(token)))
            }
            Aimed::Destroy { object } => {
                let id = self.pick(object, movable)?;
                let creator = self.mc.state.object(id).ok()?.creator;
                let mut params = Params::ZERO;
                common::Destroy { id: id.id }.encode(&mut params, 1);
                let number = common::DESTROY + id.kind.code();
                (creator, Box::new(move |token| Message::command(number, 1, token, params)))
            }
            Aimed::DestroyContainer { container } => {
                let id = self.pick(container, child)?;
                let ask = dprc::DestroyContainer { child: id.id };
                (holder(self, id)?, Box::new(move |token| ask.message(token)))
            }
        };
        let token = self.mc.try_open(containers::ROOT, containers::name(from)).ok()?;
        let granted = self.mc.send(containers::ROOT, &message(token));
        let _ = self.mc.close(token);
        granted.ok().map(drop)
    }

    /// Sends a step; what the MC says of it does not matter here.
    fn send(&mut self, portal: u32, at: usize, step: &Step) {
        let token = self.tokens[at % self.tokens.len()];
        let portal = 1 + portal % 4;
        let mut call = |message: Message| {
            let _ = self.mc.send(portal, &message);
        };
        let object = |kind: u8| TYPES[usize::from(kind) % TYPES.len()];
        let kind = |kind: u8| match usize::from(kind).checked_sub(TYPES.len()) {
            Some(pool) => ResourceType::new(POOLS[pool % POOLS.len()]),
            None => ResourceType::new(object(kind).name()),
        };
        let named = |base: u16, kind: ObjectType, id: u32| {
            let mut params = Params::ZERO;
            common::Open { id }.encode(&mut params, 1);
            Message::command(base + kind.code(), 1, token, params)
        };
        call(match *step {
            Step::CreateContainer { options } => dprc::CreateContainer {
                options,
                icid: dprc::ICID_FROM_POOL,
                portal: dprc::PORTAL_FROM_POOL,
                ..Default::default()
            }
            .message(token),
            Step::DestroyContainer { child } => dprc::DestroyContainer { child }.message(token),
            Step::Create { kind, id } => create(object(kind), id, token),
            Step::Destroy { kind, id } => named(common::DESTROY, object(kind), id),
            Step::Assign { to, kind: k, id, options, count } => {
                dprc::Assign { container: to, options, count, base_or_align: id, kind: kind(k) }
                    .message(token)
            }
            Step::Unassign { child, kind: k, id, options, count } => {
                dprc::Unassign { child, options, count, base_or_align: id, kind: kind(k) }
                    .message(token)
            }
            Step::Quota { child, quota, kind: k } => {
                dprc::SetResourceQuota { child, quota, kind: kind(k) }.message(token)
            }
            Step::Lock { child, locked } => dprc::SetLocked { locked, child }.message(token),
            Step::Connect { kinds, one, two } => dprc::Connect {
                id1: one,
                kind1: object(kinds.0),
                id2: two,
                kind2: object(kinds.1),
                ..Default::default()
            }
            .message(token),
            Step::Disconnect { kind, id } => {
                dprc::Disconnect { id, interface: 0, kind: object(kind) }.message(token)
            }
            Step::Reset { child, options } => dprc::Reset { child, options }.message(token),
            Step::Open { kind, id } => named(common::OPEN, object(kind), id),
            Step::Close { token } => Message::close(Token(token)),
            Step::Raw { number, version, params: bytes } => {
                let mut params = Params::ZERO;
                params.0[..24].copy_from_slice(&bytes);
                Message::command(number, version, token, params)
            }
        });
    }
}

/// Takes everything down by way of the root, orphans apart.
fn clear(mc: &mut TestMc) {
    let root = mc.open(containers::name(containers::ROOT));
    for id in mc.state.members(containers::ROOT).to_vec() {
        let lock = dprc::SetLocked { locked: false, child: id.id };
        if id.kind == ObjectType::Dprc {
            mc.call(root, &lock).expect("the root may");
            mc.call(root, &dprc::DestroyContainer { child: id.id }).expect("likewise");
        }
    }
    for id in mc.state.members(containers::ROOT).to_vec() {
        let mine = mc.state.object(id).is_ok_and(|o| o.creator == containers::ROOT);
        assert_eq!(mc.destroy_in(root, id).is_ok(), mine, "{id}");
        if !mine {
            mc.state.remove(id).expect("it is in the list");
        }
    }
}

proptest! {
    #[test]
    fn the_invariants_hold(
        steps in prop::collection::vec((0..4u32, 0..4usize, step()), 0..60)
    ) {
        let mut tree = Tree::new();
        for (portal, at, step) in &steps {
            tree.send(*portal, *at, step);
            check(&tree.mc.state);
        }
        clear(&mut tree.mc);
        check(&tree.mc.state);
        tree.mc.assert_pools_full();
    }

    #[test]
    fn the_invariants_hold_where_much_is_granted(
        steps in prop::collection::vec(aimed(), 1..60)
    ) {
        let mut tree = Tree::new();
        for step in &steps {
            tree.aim(step);
            check(&tree.mc.state);
        }
        clear(&mut tree.mc);
        check(&tree.mc.state);
        tree.mc.assert_pools_full();
    }

    #[test]
    fn no_message_panics(
        messages in prop::collection::vec(any::<([u8; 32], [u8; 32], u8)>(), 1..20)
    ) {
        let mut tree = Tree::new();
        for (head, tail, portal) in messages {
            let mut bytes = [0; Message::SIZE];
            bytes[..32].copy_from_slice(&head);
            bytes[32..].copy_from_slice(&tail);
            // A token that stands for something.
            bytes[4] %= 5;
            bytes[5] = 0;
            let message = Message::from_bytes(&bytes);
            let _ = tree.mc.send(1 + u32::from(portal % 4), &message);
            check(&tree.mc.state);
        }
    }
}

/// A name that the tests above rely on.
#[test]
fn the_tree_is_as_said() {
    let tree = Tree::new();
    let parents: Vec<_> = (1..=4).map(|id| tree.mc.state.parent(id)).collect();
    assert_eq!(parents, [Some(0), Some(1), Some(1), Some(2)]);
    assert!(tree.mc.state.within(4, 2) && !tree.mc.state.within(4, 3));
    assert!(tree.mc.state.reaches(2, ObjectId::new(ObjectType::Dprc, 4)));
}
