// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Tables: how received frames find their traffic class and queue.
//!
//! Keys and masks lie in guest memory, which the MC does not read: rules are
//! kept, and told apart, by the addresses of their keys. A client that copies
//! each key to a fresh address removes a rule that cannot be recognised; the
//! youngest goes then, so that the table's fill level stays right.

use super::{Answer, Call, Limits, State, addressed};
use mc_abi::{
    ObjectId, ObjectType, Status, Token,
    dpni::{self, options, tables::Command},
};

/// Numbers of queues that the hardware can spread over (`dpni_rx_dist_cfg`).
const DISTRIBUTION_SIZES: &[u16] = &[
    1, 2, 3, 4, 6, 7, 8, 12, 14, 16, 24, 28, 32, 48, 56, 64, 96, 112, 128, 192, 224, 256, 384, 448,
    512, 768, 896, 1024,
];
/// Miss queue that stands for dropping.
const DROP: u16 = u16::MAX;
/// `DPNI_QOS_OPT_SET_FLOW_ID` and `_UPDATE_IF_EXISTS`.
const QOS_SET_FLOW: u8 = 0x1;
const QOS_UPDATE: u8 = 0x2;
/// `DPNI_FS_OPT_*`.
const FS_DISCARD: u16 = 0x01;
const FS_REDIRECT_ONE: u16 = 0x18;
const FS_REDIRECT_MANY: u16 = 0x20;
const FS_UPDATE: u16 = 0x40;
/// Bits of [`dpni::SetRxTcPolicing::options`].
const POLICING_OPTIONS: u32 = 0x7;

/// Rules and how classes spread frames.
#[derive(Debug)]
pub(super) struct Settings {
    qos: Option<dpni::SetQosTable>,
    qos_rules: Vec<Rule<dpni::AddQosEntry>>,
    classes: Vec<Class>,
    /// Where rules of class 0 stand for all.
    shared: bool,
}

/// A receive traffic class.
#[derive(Debug, Clone, Default)]
struct Class {
    /// The older command, where it came last.
    distribution: Option<dpni::SetRxTcDist>,
    hash: Option<dpni::SetRxHashDist>,
    steering: Option<dpni::SetRxFsDist>,
    rules: Vec<Rule<dpni::AddFsEntry>>,
    policer: dpni::GetRxTcPolicingReply,
}

/// A rule, and the interfaces that frames go to instead of a queue.
#[derive(Debug, Clone)]
#[expect(dead_code, reason = "no command reads rules back, and no frame meets them yet")]
struct Rule<T> {
    key: Key,
    rule: T,
    redirect: Vec<ObjectId>,
}

/// What tells rules apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    size: u8,
    iova: u64,
    mask: u64,
}

impl Settings {
    pub fn new(limits: &Limits) -> Self {
        Self {
            qos: None,
            qos_rules: Vec::new(),
            classes: vec![Class::default(); usize::from(limits.rx_tcs)],
            shared: limits.has(options::SHARED_FS),
        }
    }

    fn class(&mut self, tc: u8) -> Result<&mut Class, Status> {
        self.classes.get_mut(usize::from(tc)).ok_or(Status::ConfigurationError)
    }

    /// The class that has a class's steering rules.
    fn steered(&mut self, tc: u8) -> Result<&mut Class, Status> {
        self.class(tc)?;
        let shared = self.shared;
        self.class(if shared { 0 } else { tc })
    }
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Status> {
    let redirect = match command {
        Command::AddFsEntry(add) => redirect_targets(state, add, call.version)?,
        _ => Vec::new(),
    };
    let interface = addressed(state, call)?;
    let limits = interface.limits;
    let tables = &mut interface.settings.tables;
    match command {
        Command::SetRxTcDist(set) => set_distribution(&limits, tables, set)?,
        Command::SetRxFsDist(set) => {
            if limits.fs_entries == 0 {
                return Err(Status::ConfigurationError);
            }
            if set.enable {
                check_size(&limits, set.size)?;
                if set.miss_flow != DROP && set.miss_flow >= limits.queues.into() {
                    return Err(Status::ConfigurationError);
                }
            }
            let class = tables.steered(set.tc)?;
            if !set.enable {
                class.rules.clear();
            }
            class.steering = set.enable.then(|| set.clone());
        }
        Command::SetRxHashDist(set) => {
            if set.enable {
                check_size(&limits, set.size)?;
            }
            let class = tables.class(set.tc)?;
            class.distribution = None;
            class.hash = set.enable.then(|| set.clone());
        }
        Command::SetRxTcPolicing(set) => set_policing(&limits, tables, set)?,
        Command::GetRxTcPolicing(get) => {
            return call.reply(get, tables.class(get.tc)?.policer.clone());
        }
        Command::SetQosTable(set) => set_qos_table(&limits, tables, set)?,
        Command::AddQosEntry(add) => add_qos_rule(&limits, tables, add)?,
        Command::RemoveQosEntry(remove) => {
            let key = key(&limits, remove.key_size, remove.key_iova, remove.mask_iova);
            take_rule(&mut tables.qos_rules, key)?;
        }
        Command::ClearQosTable(_) => tables.qos_rules.clear(),
        Command::AddFsEntry(add) => add_steering_rule(&limits, tables, add, redirect)?,
        Command::RemoveFsEntry(remove) => {
            let key = key(&limits, remove.key_size, remove.key_iova, remove.mask_iova);
            take_rule(&mut tables.steered(remove.tc)?.rules, key)?;
        }
        Command::ClearFsEntries(clear) => tables.steered(clear.tc)?.rules.clear(),
        // The MC would have to write guest memory.
        Command::DumpTable(_) => return Err(Status::UnsupportedOperation),
    }
    Ok(Answer::DONE)
}

fn check_size(limits: &Limits, size: u16) -> Result<(), Status> {
    if DISTRIBUTION_SIZES.contains(&size) && size <= limits.queues.into() {
        Ok(())
    } else {
        Err(Status::ConfigurationError)
    }
}

fn set_distribution(
    limits: &Limits,
    tables: &mut Settings,
    set: &dpni::SetRxTcDist,
) -> Result<(), Status> {
    const NONE: u8 = 0;
    const STEERING: u8 = 2;
    const EXPLICIT: u8 = 1;
    const MOST_ACTION: u8 = 2;
    if set.mode > STEERING || set.miss_action > MOST_ACTION {
        return Err(Status::ConfigurationError);
    }
    if set.mode != NONE {
        check_size(limits, set.size)?;
    }
    let steering = set.mode == STEERING;
    let wrong_flow = set.miss_action == EXPLICIT && set.default_flow >= limits.queues.into();
    if steering && (limits.fs_entries == 0 || wrong_flow) {
        return Err(Status::ConfigurationError);
    }
    if !(steering && set.keep_entries) {
        tables.steered(set.tc)?.rules.clear();
    }
    let class = tables.class(set.tc)?;
    (class.hash, class.steering) = (None, None);
    class.distribution = (set.mode != NONE).then(|| set.clone());
    Ok(())
}

fn set_policing(
    limits: &Limits,
    tables: &mut Settings,
    set: &dpni::SetRxTcPolicing,
) -> Result<(), Status> {
    const MOST_MODE: u8 = 3;
    const MOST_UNITS: u8 = 2;
    const MOST_COLOR: u8 = 2;
    let class = tables.class(set.tc)?;
    // No policers were set aside for it.
    if !limits.has(options::HAS_POLICING) {
        return Err(Status::NoResource);
    }
    let wrong = set.mode > MOST_MODE || set.units > MOST_UNITS || set.default_color > MOST_COLOR;
    if wrong || set.options & !POLICING_OPTIONS != 0 {
        return Err(Status::ConfigurationError);
    }
    class.policer = dpni::GetRxTcPolicingReply {
        mode: set.mode,
        default_color: set.default_color,
        units: set.units,
        options: set.options,
        committed_rate: set.committed_rate,
        committed_burst: set.committed_burst,
        excess_rate: set.excess_rate,
        excess_burst: set.excess_burst,
    };
    Ok(())
}

fn set_qos_table(
    limits: &Limits,
    tables: &mut Settings,
    set: &dpni::SetQosTable,
) -> Result<(), Status> {
    let wrong_flow =
        set.set_default_flow && (set.discard_on_miss || set.default_flow >= limits.queues.into());
    if limits.qos_entries == 0 || set.default_tc >= limits.rx_tcs || wrong_flow {
        return Err(Status::ConfigurationError);
    }
    // Only a ternary table can keep what is in it.
    if !(set.keep_entries && limits.has(options::HAS_KEY_MASKING)) {
        tables.qos_rules.clear();
    }
    tables.qos = Some(set.clone());
    Ok(())
}

fn add_qos_rule(
    limits: &Limits,
    tables: &mut Settings,
    add: &dpni::AddQosEntry,
) -> Result<(), Status> {
    let wrong_flow = add.flags & QOS_SET_FLOW != 0 && add.flow >= limits.queues;
    if add.tc >= limits.rx_tcs || wrong_flow {
        return Err(Status::ConfigurationError);
    }
    let key = check_key(limits, add.key_size, add.key_iova, add.mask_iova)?;
    if tables.qos.is_none() {
        return Err(Status::InvalidState);
    }
    let rule = Rule { key, rule: add.clone(), redirect: Vec::new() };
    put_rule(&mut tables.qos_rules, rule, add.flags & QOS_UPDATE != 0, limits.qos_entries.into())
}

fn add_steering_rule(
    limits: &Limits,
    tables: &mut Settings,
    add: &dpni::AddFsEntry,
    redirect: Vec<ObjectId>,
) -> Result<(), Status> {
    let leaves = add.options & (FS_DISCARD | FS_REDIRECT_ONE | FS_REDIRECT_MANY) != 0;
    if !leaves && add.flow >= limits.queues.into() {
        return Err(Status::ConfigurationError);
    }
    let update = add.options & FS_UPDATE != 0;
    if update && !redirect.is_empty() {
        return Err(Status::ConfigurationError);
    }
    let class = tables.steered(add.tc)?;
    let key = check_key(limits, add.key_size, add.key_iova, add.mask_iova)?;
    let rule = Rule { key, rule: add.clone(), redirect };
    put_rule(&mut class.rules, rule, update, limits.fs_entries.into())
}

/// A rule's key. An exact table has no masks: what clients pass for one counts
/// for nothing.
fn key(limits: &Limits, size: u8, iova: u64, mask: u64) -> Key {
    Key { size, iova, mask: if limits.has(options::HAS_KEY_MASKING) { mask } else { 0 } }
}

/// A key as a rule can have it.
fn check_key(limits: &Limits, size: u8, iova: u64, mask: u64) -> Result<Key, Status> {
    if size == 0 || size > limits.key_size || iova == 0 {
        return Err(Status::ConfigurationError);
    }
    Ok(key(limits, size, iova, mask))
}

/// Adds a rule, or changes the one of the same key if that is asked for.
///
/// # Errors
/// [`Status::NoResource`] where the table is full.
fn put_rule<T>(
    rules: &mut Vec<Rule<T>>,
    rule: Rule<T>,
    update: bool,
    most: usize,
) -> Result<(), Status> {
    if let Some(there) = rules.iter_mut().find(|there| update && there.key == rule.key) {
        *there = rule;
        return Ok(());
    }
    if rules.len() >= most {
        return Err(Status::NoResource);
    }
    rules.push(rule);
    Ok(())
}

/// Removes the rule of a key, or else the youngest: see the module.
///
/// # Errors
/// [`Status::NoResource`] where there is none.
fn take_rule<T>(rules: &mut Vec<Rule<T>>, key: Key) -> Result<(), Status> {
    match rules.iter().position(|rule| rule.key == key) {
        Some(at) => {
            rules.remove(at);
            Ok(())
        }
        None => rules.pop().map(drop).ok_or(Status::NoResource),
    }
}

/// The interfaces that a rule names by their tokens.
///
/// # Errors
/// [`Status::ConfigurationError`] for a number of them that does not go with
/// the options, or a token that stands for no interface.
fn redirect_targets(
    state: &State,
    add: &dpni::AddFsEntry,
    version: u8,
) -> Result<Vec<ObjectId>, Status> {
    let most = match add.options & (FS_REDIRECT_ONE | FS_REDIRECT_MANY) {
        0 => return Ok(Vec::new()),
        FS_REDIRECT_MANY => add.redirect_tokens.len(),
        one if one & FS_REDIRECT_MANY == 0 && one != FS_REDIRECT_ONE => 1,
        _ => return Err(Status::ConfigurationError),
    };
    // Version 2 has one token and no number of tokens.
    let count = if version < 3 { 1 } else { usize::from(add.redirect_count) };
    let tokens = add.redirect_tokens.get(..count).filter(|_| (1..=most).contains(&count));
    let target = |token: &u16| {
        let object = state.sessions.object(Token(*token));
        object.filter(|object| object.kind == ObjectType::Dpni).ok_or(Status::ConfigurationError)
    };
    tokens.ok_or(Status::ConfigurationError)?.iter().map(target).collect()
}
