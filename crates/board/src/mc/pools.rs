// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Pools of hardware resources: numbers that objects take when they are made.
//! A pool knows which object has which number, so that what an object has goes
//! back when it is gone, or could not be made.
//!
//! A free number is held by a container, at first by the Management Complex
//! itself ([`MC`]); the assign command moves free numbers down the tree of
//! containers. Who makes an object draws from what its container holds, then
//! from its parent, and so on, as far as options and quotas let it.

use crate::mc::refusal::{Because, Refusal};
use mc_abi::{ObjectId, ObjectType, Status};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The holder of what no container was given: the MC's own container, which
/// tools call `mc.global`.
pub(crate) const MC: u32 = 0;

/// A container on the way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hop {
    pub container: u32,
    /// Whether its options let it draw from its parent. A quota overrules them.
    pub may_allocate: bool,
}

/// The way from a container up to the MC's own.
pub(crate) type DrawPath = Arc<[Hop]>;

/// The way of what no container makes.
pub(crate) fn top() -> DrawPath {
    Arc::new([Hop { container: MC, may_allocate: false }])
}

/// Numbers that are free. The lowest goes first, as on a real board, where the
/// number of a destroyed object is the next one given out.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    /// Free numbers below `fresh`; from there on, all are.
    free: BTreeSet<u32>,
    fresh: u32,
    /// Numbers that are free again and not listed: see [`Pool::keep_returned`].
    returned: BTreeSet<u32>,
    keeps_returned: bool,
    /// The objects that have the other numbers.
    taken: BTreeMap<u32, ObjectId>,
    name: &'static str,
    numbers: Numbers,
    /// Holder of each number that the MC gave away, free or not.
    held: BTreeMap<u32, u32>,
    /// For taken numbers: the containers out of whose parents they came.
    crossed: BTreeMap<u32, Vec<u32>>,
    /// How many a container may draw from its parent.
    quotas: BTreeMap<u32, u16>,
    path: DrawPath,
    /// Who takes numbers now.
    taker: ObjectId,
}

impl Pool {
    /// A pool where all numbers are free, by the name that commands use.
    pub fn new(name: &'static str, numbers: Numbers) -> Self {
        Self {
            free: BTreeSet::new(),
            fresh: numbers.first,
            returned: BTreeSet::new(),
            keeps_returned: false,
            taken: BTreeMap::new(),
            name,
            numbers,
            held: BTreeMap::new(),
            crossed: BTreeMap::new(),
            quotas: BTreeMap::new(),
            path: top(),
            taker: ObjectId::new(ObjectType::Dprc, MC),
        }
    }

    /// Keeps what objects give back out of the listing. It is given out again,
    /// before anything that is listed.
    pub fn keep_returned(&mut self) {
        self.keeps_returned = true;
    }

    /// Lets an object draw from these containers next.
    pub fn draw_for(&mut self, taker: ObjectId, path: &DrawPath) {
        self.taker = taker;
        self.path = path.clone();
    }

    /// Whether a certain number cannot be had.
    pub fn take_would_fail(&self, number: u32) -> bool {
        self.find(Some(number)).is_none()
    }

    /// How many numbers the pool manages.
    pub fn size(&self) -> u32 {
        self.numbers.count
    }

    /// How many are free, whoever holds them, listed or not.
    pub fn free(&self) -> u32 {
        (self.free.len() + self.returned.len()) as u32 + (self.numbers.end() - self.fresh)
    }

    /// Takes the lowest free number of the nearest container that has one, one
    /// that was given back where such are kept.
    ///
    /// # Errors
    /// [`Status::NoResource`] where none is left that may be drawn.
    pub fn take(&mut self) -> Result<u32, Refusal> {
        let number = self.find(None).ok_or_else(|| {
            Status::NoResource.because(format!(
                "no {} is left that {} may draw, of the board's {}",
                self.name,
                self.taker,
                self.size()
            ))
        })?;
        self.claim(number);
        Ok(number)
    }

    /// Takes `count` numbers, the lowest ones, or none.
    ///
    /// # Errors
    /// [`Status::NoResource`] where fewer are left.
    pub fn take_many(&mut self, count: usize) -> Result<Vec<u32>, Refusal> {
        if (self.free() as usize) < count {
            return Err(Status::NoResource.because(format!(
                "{count} of {} are needed, {} are free",
                self.name,
                self.free()
            )));
        }
        let mut taken = Vec::with_capacity(count);
        for _ in 0..count {
            match self.take() {
                Ok(number) => taken.push(number),
                Err(status) => {
                    taken.into_iter().for_each(|number| self.give(number));
                    return Err(status);
                }
            }
        }
        Ok(taken)
    }

    /// Takes a certain number.
    ///
    /// # Errors
    /// [`Status::NoResource`] where it is not free, or held by a container that
    /// may not be drawn from.
    pub fn take_exactly(&mut self, number: u32) -> Result<(), Refusal> {
        self.find(Some(number)).ok_or_else(|| {
            Status::NoResource
                .because(format!("{} {number} is not free for {}", self.name, self.taker))
        })?;
        self.claim(number);
        Ok(())
    }

    /// Gives all that an object has back to the containers that held it.
    pub fn release(&mut self, owner: ObjectId) {
        let numbers = self.taken.iter().filter(|(_, taker)| **taker == owner);
        let numbers: Vec<u32> = numbers.map(|(number, _)| *number).collect();
        numbers.into_iter().for_each(|number| self.give(number));
    }

    fn give(&mut self, number: u32) {
        self.crossed.remove(&number);
        self.taken.remove(&number);
        if self.keeps_returned {
            self.returned.insert(number);
        } else {
            self.free.insert(number);
        }
    }

    /// The lowest free number, or `wanted`, of the nearest container that has
    /// it.
    fn find(&self, wanted: Option<u32>) -> Option<u32> {
        for hop in self.path.iter() {
            let holder = hop.container;
            let returned = self.returned.iter().copied();
            let returned = returned.filter(|number| self.holder(*number) == holder);
            let mut numbers = returned.chain(self.free_of(holder));
            let found = match wanted {
                Some(wanted) => numbers.find(|number| *number == wanted),
                None => numbers.next(),
            };
            if found.is_some() {
                return found;
            }
            if !self.may_cross(hop) {
                return None;
            }
        }
        None
    }

    /// Whether a container may draw one more number from its parent.
    fn may_cross(&self, hop: &Hop) -> bool {
        self.allowance(hop) > 0
    }

    /// How many more numbers a container may draw from its parent.
    fn allowance(&self, hop: &Hop) -> usize {
        let Some(quota) = self.quotas.get(&hop.container) else {
            return if hop.may_allocate { usize::MAX } else { 0 };
        };
        let drawn = self.crossed.values().filter(|links| links.contains(&hop.container)).count();
        usize::from(*quota).saturating_sub(drawn)
    }

    fn claim(&mut self, number: u32) {
        if number >= self.fresh {
            self.free.extend(self.fresh..number);
            self.fresh = number + 1;
        }
        self.free.remove(&number);
        self.returned.remove(&number);
        self.taken.insert(number, self.taker);
        let holder = self.holder(number);
        let links = self.path.iter().map(|hop| hop.container).take_while(|c| *c != holder);
        let links: Vec<u32> = links.collect();
        if !links.is_empty() {
            self.crossed.insert(number, links);
        }
    }

    fn holder(&self, number: u32) -> u32 {
        self.held.get(&number).copied().unwrap_or(MC)
    }
}

/// Who holds what.
impl Pool {
    /// The free numbers that a container holds and that are listed, in ascending
    /// order.
    pub fn free_of(&self, holder: u32) -> impl Iterator<Item = u32> + '_ {
        // Where nothing was given away there is nothing to look up.
        let all = self.held.is_empty();
        let none = all && holder != MC;
        self.free
            .iter()
            .copied()
            .chain(self.fresh..self.numbers.end())
            .take_while(move |_| !none)
            .filter(move |number| all || self.holder(*number) == holder)
    }

    /// Moves free numbers from one container to another.
    pub fn hand_over(&mut self, numbers: &[u32], to: u32) {
        for number in numbers {
            if to == MC {
                self.held.remove(number);
            } else {
                self.held.insert(*number, to);
            }
        }
    }

    /// A container is gone: what it held, taken or free, goes to `heir`.
    pub fn inherit(&mut self, container: u32, heir: u32) {
        self.quotas.remove(&container);
        if heir == MC {
            self.held.retain(|_, holder| *holder != container);
        } else {
            let holders = self.held.values_mut();
            holders.filter(|h| **h == container).for_each(|h| *h = heir);
        }
        for links in self.crossed.values_mut() {
            links.retain(|link| *link != container);
        }
    }

    /// The free numbers that may be drawn along a path, the nearest first.
    pub fn drawable(&self, path: &DrawPath) -> Vec<u32> {
        let mut numbers = Vec::new();
        for hop in path.iter() {
            numbers.extend(self.free_of(hop.container));
            if !self.may_cross(hop) {
                break;
            }
        }
        numbers
    }

    /// Whether the quotas on a path let all of `numbers` be drawn along it.
    pub fn within_quotas(&self, path: &DrawPath, numbers: &[u32]) -> bool {
        let mut rest: Vec<u32> = numbers.to_vec();
        path.iter().all(|hop| {
            rest.retain(|number| self.holder(*number) != hop.container);
            rest.len() <= self.allowance(hop)
        })
    }

    /// How many a container may draw from its parent; `None`: its options say.
    pub fn quota(&self, container: u32) -> Option<u16> {
        self.quotas.get(&container).copied()
    }

    /// Sets that.
    pub fn set_quota(&mut self, container: u32, quota: Option<u16>) {
        match quota {
            Some(quota) => self.quotas.insert(container, quota),
            None => self.quotas.remove(&container),
        };
    }
}

/// What tests and fuzzers compare with what else is known.
#[cfg(any(test, fuzzing))]
impl Pool {
    /// Checks that each number is either free or an object's, and that what the
    /// pool knows of containers is about those that are there.
    ///
    /// # Panics
    /// Where that is not so.
    pub fn check(&self, name: &str, objects: &BTreeMap<ObjectId, super::Object>) {
        let known = |container: u32| {
            container == MC || objects.contains_key(&ObjectId::new(ObjectType::Dprc, container))
        };
        for (number, owner) in &self.taken {
            let known = self.numbers.first..self.numbers.end();
            assert!(known.contains(number), "{name} has no {number}");
            let free = self.free.contains(number) || *number >= self.fresh;
            assert!(!free && !self.returned.contains(number), "{name} {number} is free, too");
            assert!(objects.contains_key(owner), "{name} {number} is still {owner}'s");
        }
        assert!(self.free.is_disjoint(&self.returned), "{name}: listed and not");
        let accounted = self.free() as usize + self.taken.len();
        assert_eq!(accounted, self.numbers.count as usize, "{name} has numbers of its own");
        for (number, holder) in &self.held {
            assert!(known(*holder), "{name} {number} is held by dprc.{holder}, which is gone");
        }
        for (number, links) in &self.crossed {
            assert!(self.taken.contains_key(number), "{name} {number} was drawn and is free");
            assert!(links.iter().all(|link| known(*link)), "{name} {number}: {links:?}");
        }
        assert!(self.quotas.keys().all(|container| known(*container)), "{name}: quotas");
    }

    /// The object that has a number.
    pub fn owner(&self, number: u32) -> Option<ObjectId> {
        self.taken.get(&number).copied()
    }
}

/// The numbers of a kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// The lowest.
    pub first: u32,
    /// How many.
    pub count: u32,
}

impl Numbers {
    /// The number past the highest.
    pub const fn end(&self) -> u32 {
        self.first.saturating_add(self.count)
    }
}

/// The pools, with the names that commands use. Those that are `unlisted` no
/// command names, and no option or quota of a container stands before them.
macro_rules! pools {
    (
        listed { $( $(#[$doc:meta])* $field:ident $name:literal; )* }
        unlisted { $( $(#[$hidden_doc:meta])* $hidden:ident $hidden_name:literal; )* }
    ) => {
        /// The hardware resources of a chip, without isolation ids.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct PoolSizes {
            $( $(#[$doc])* pub $field: Numbers, )*
            $( $(#[$hidden_doc])* pub $hidden: Numbers, )*
        }

        /// The pools of a chip.
        #[derive(Debug)]
        pub(crate) struct Pools {
            /// Isolation ids, as the board is configured.
            pub icid: Pool,
            $( $(#[$doc])* pub $field: Pool, )*
            $( $(#[$hidden_doc])* pub $hidden: Pool, )*
        }

        impl Pools {
            /// Full pools.
            pub fn new(icids: Numbers, sizes: &PoolSizes) -> Self {
                Self {
                    icid: Pool::new("icid", icids),
                    $( $field: Pool::new($name, sizes.$field), )*
                    $( $hidden: Pool::new($hidden_name, sizes.$hidden), )*
                }
            }

            /// All pools that are listed, with their names, in the order of their
            /// index.
            pub fn all(&self) -> [(&'static str, &Pool); 1 + pools!(@count $($field)*)] {
                [$( ($name, &self.$field), )* ("icid", &self.icid)]
            }

            /// Those that are not.
            #[cfg(any(test, fuzzing))]
            pub fn unlisted(&self) -> [(&'static str, &Pool); pools!(@count $($hidden)*)] {
                [$( ($hidden_name, &self.$hidden), )*]
            }

            /// The listed pool of a name.
            pub fn named(&self, name: &[u8]) -> Option<&Pool> {
                $( if name == $name.as_bytes() { return Some(&self.$field); } )*
                (name == b"icid").then_some(&self.icid)
            }

            /// The same, to be changed.
            pub fn named_mut(&mut self, name: &[u8]) -> Option<&mut Pool> {
                $( if name == $name.as_bytes() { return Some(&mut self.$field); } )*
                (name == b"icid").then_some(&mut self.icid)
            }

            /// Lets the object that is made next draw from these containers.
            pub fn draw_for(&mut self, taker: ObjectId, path: &DrawPath) {
                $( self.$field.taker = taker; )*
                $( self.$hidden.taker = taker; )*
                self.icid.taker = taker;
                self.draw_from(path);
            }

            /// Lets it draw from these containers instead.
            pub fn draw_from(&mut self, path: &DrawPath) {
                $( self.$field.path = path.clone(); )*
                self.icid.path = path.clone();
            }

            /// Gives all that an object has back.
            pub fn release(&mut self, owner: ObjectId) {
                $( self.$field.release(owner); )*
                $( self.$hidden.release(owner); )*
                self.icid.release(owner);
            }

            /// A container is gone: what it held goes to `heir`.
            pub fn inherit(&mut self, container: u32, heir: u32) {
                $( self.$field.inherit(container, heir); )*
                self.icid.inherit(container, heir);
            }
        }
    };
    (@count $($field:ident)*) => { <[()]>::len(&[$( pools!(@unit $field) ),*]) };
    (@unit $field:ident) => { () };
}

// The names are those that the firmware of an LX2160A lists (board: the
// `resources` of `models/board/baselines/reference.json`). In what order it lists
// them is not on record.
pools! {
    listed {
        /// MC command portals.
        mcp "mcp";
        /// QBMan software portals.
        swp "swp";
        /// Hardware buffer pools.
        bp "bp";
        /// Channels with eight work queues.
        channel8 "swpch.8wq";
        /// Channels with two work queues.
        channel2 "swpch.2wq";
        /// Frame queues.
        fq "fq";
        /// Queuing priority records.
        qpr "qpr";
        /// Queuing destinations.
        qd "qd";
        /// Congestion groups.
        cg "cg";
        /// Order restoration records.
        opr "opr";
        /// Replication records.
        rplr "rplr";
        /// Interface profiles.
        ifp "ifp.wr0";
        /// Key profiles of the egress lookup unit.
        kp_egress "kp.wr0.ctlue";
        /// Key profiles of the ingress lookup unit.
        kp "kp.wr0.ctlui";
        /// Parser profiles of the egress unit.
        prp_egress "prp.wr0.ctlue";
        /// Parser profiles of the ingress unit.
        prp "prp.wr0.ctlui";
        /// Policies.
        plcy "plcy.wr0.ctlui";
        /// Entries of policies.
        plcye "plcye.wr0.ctlui";
        /// Policers.
        plcr "plcr.wr0.ctlui";
        /// Entries of the ternary table.
        tcame "tcame.wr0.ctlui";
        /// Channels of class queues of the first traffic manager.
        cqch0 "cqch.ctm0.ins0";
        /// Of the second.
        cqch1 "cqch.ctm0.ins1";
        /// Dequeue contexts of the first traffic manager.
        dct0 "dct.ctm0.ins0";
        /// Of the second.
        dct1 "dct.ctm0.ins1";
        /// Logical frame queues of the first traffic manager.
        lfqmt0 "lfqmt.ctm0.ins0";
        /// Of the second.
        lfqmt1 "lfqmt.ctm0.ins1";
        /// Network interfaces of the first traffic manager.
        lni0 "lni.ctm0.ins0";
        /// Of the second.
        lni1 "lni.ctm0.ins1";
    }
    unlisted {
        /// What there is one of for each network interface: see
        /// [`soc`](crate::soc).
        interface "network interface";
        /// Queues that interfaces send through; numbered behind the frame queues.
        transmit "transmit queue";
    }
}
