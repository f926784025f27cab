// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Tables: how received frames find their traffic class and queue.
//!
//! Keys, masks and layouts of keys lie in guest memory; they are read when the
//! command is executed.

use super::{Answer, Call, Limits, State, addressed, dump};
use crate::mc::refusal::{Because, Refusal};
use crate::mc::rules::{self, KeyAndMask, KeyAt, KeyLimits};
use crate::wriop::{
    self, Color, KeyProfile, MeterConfig, MeterMode, MeterUnit, QosAction, QosMiss, QosTable, Rule,
    Spread, Steering, SteeringAction, SteeringMiss,
};
use mc_abi::{
    ObjectId, ObjectType, Status, Token,
    blocks::Policer,
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
const FS_SET_FLOW_CONTEXT: u16 = 0x02;
const FS_REDIRECT_RX: u16 = 0x08;
const FS_REDIRECT_ONE: u16 = 0x18;
const FS_REDIRECT_MANY: u16 = 0x20;
const FS_UPDATE: u16 = 0x40;
/// Codes of [`Policer`].
const POLICER_OFF: u8 = 0;
const POLICER_TWO_RATE: u8 = 2;
const POLICER_DIFFERENTIATED: u8 = 3;
const POLICER_FRAMES: u8 = 1;
const POLICER_DROPS_RED: u32 = 0x2;
/// Bits of its options.
const POLICING_OPTIONS: u32 = 0x7;

/// Rules and how classes spread frames.
#[derive(Debug)]
pub(super) struct Settings {
    qos: Option<Qos>,
    qos_rules: Vec<Rule<QosAction>>,
    classes: Vec<Class>,
    /// Where rules of class 0 stand for all.
    shared: bool,
}

/// The table that chooses the class.
#[derive(Debug)]
struct Qos {
    key: KeyProfile,
    miss: QosMiss,
}

/// A receive traffic class.
#[derive(Debug, Clone, Default)]
struct Class {
    hash: Option<Spread>,
    /// The layout of rules' keys, and what frames meet that none matches.
    steering: Option<(KeyProfile, SteeringMiss)>,
    rules: Vec<Rule<Action>>,
    policer: Policer,
}

/// What a rule of a class does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Action {
    /// Where no redirection is in force.
    pub otherwise: SteeringAction,
    pub redirect: Option<Redirect>,
}

/// Frames that leave for other interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redirect {
    /// Sent by them, not received.
    transmit: bool,
    /// The interfaces, with the tokens that must stay open.
    targets: Vec<(ObjectId, Token)>,
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

    fn class(&mut self, tc: u8) -> Result<&mut Class, Refusal> {
        self.classes
            .get_mut(usize::from(tc))
            .ok_or_else(|| Status::ConfigurationError.because(format!("there is no class {tc}")))
    }

    /// The class that has a class's steering rules.
    fn steered(&mut self, tc: u8) -> Result<&mut Class, Refusal> {
        self.class(tc)?;
        let shared = self.shared;
        self.class(if shared { 0 } else { tc })
    }

    /// The steering rules of a class, and what frames meet that none matches.
    pub fn steering(
        &self,
        tc: u16,
    ) -> Result<(impl Iterator<Item = &Rule<Action>>, Option<SteeringMiss>), Refusal> {
        let class = self
            .classes
            .get(usize::from(tc))
            .ok_or_else(|| Status::ConfigurationError.because(format!("there is no class {tc}")))?;
        let class = if self.shared { self.classes.first().unwrap_or(class) } else { class };
        Ok((class.rules.iter(), class.steering.as_ref().map(|(_, miss)| *miss)))
    }

    /// The rules of the QoS table, and what frames meet that none matches.
    pub fn qos(&self) -> (&[Rule<QosAction>], Option<QosMiss>) {
        (&self.qos_rules, self.qos.as_ref().map(|qos| qos.miss))
    }

    /// Whether a rule sends frames on to an interface.
    pub fn leads_to(&self, target: ObjectId) -> bool {
        let leads = |redirect: &Redirect| redirect.targets.iter().any(|(id, _)| *id == target);
        let mut rules = self.classes.iter().flat_map(|class| &class.rules);
        rules.any(|rule| rule.action.redirect.as_ref().is_some_and(leads))
    }

    /// Forgets the interfaces that rules send frames on to.
    pub fn forget_redirections(&mut self) {
        let rules = self.classes.iter_mut().flat_map(|class| &mut class.rules);
        rules.for_each(|rule| rule.action.redirect = None);
    }

    /// The QoS table as the data path needs it.
    pub fn qos_table(&self) -> Option<QosTable> {
        let Qos { key, miss } = self.qos.as_ref()?;
        Some(QosTable { key: key.clone(), rules: self.qos_rules.clone(), miss: *miss })
    }

    /// What limits a class.
    pub fn policer(&self, tc: u8) -> Option<wriop::Policer> {
        let policer = self.classes.get(usize::from(tc))?.policer;
        let initial = *Color::ALL.get(usize::from(policer.default_color))?;
        let mode = match policer.mode {
            POLICER_OFF => return None,
            POLICER_TWO_RATE => Some(MeterMode::TwoRate),
            POLICER_DIFFERENTIATED => Some(MeterMode::Differentiated),
            _ => None,
        };
        let frames = policer.units == POLICER_FRAMES;
        // Kilobits or frames.
        let unit = if frames { 1 } else { 1000 };
        let meter = mode.map(|mode| MeterConfig {
            mode,
            unit: if frames { MeterUnit::Frames } else { MeterUnit::Bytes },
            committed_rate: u64::from(policer.committed_rate) * unit,
            committed_burst: policer.committed_burst,
            excess_rate: u64::from(policer.excess_rate) * unit,
            excess_burst: policer.excess_burst,
            initial,
        });
        let drops = policer.options & POLICER_DROPS_RED != 0;
        Some(wriop::Policer { meter, initial, from_layer3: policer.units == 0, drops })
    }

    /// How a class spreads its frames.
    pub fn distribution(&self, state: &State, tc: u8) -> wriop::Distribution {
        let own = self.classes.get(usize::from(tc));
        let steered = if self.shared { self.classes.first() } else { own };
        wriop::Distribution {
            hash: own.and_then(|class| class.hash.clone()),
            steering: steered.and_then(|class| class.steering(state)),
        }
    }
}

impl Class {
    fn steering(&self, state: &State) -> Option<Steering> {
        let (key, miss) = self.steering.as_ref()?;
        let mut redirects = Vec::new();
        let rule = |rule: &Rule<Action>| {
            let action = rule.action.in_force(state, &mut redirects);
            Rule { key: rule.key, mask: rule.mask, size: rule.size, index: rule.index, action }
        };
        let rules = self.rules.iter().map(rule).collect();
        Some(Steering { key: key.clone(), rules, miss: *miss, redirects })
    }
}

impl Action {
    /// What the rule does now: a redirection ends where its targets are gone or
    /// their tokens closed (headers).
    fn in_force(&self, state: &State, redirects: &mut Vec<wriop::Redirect>) -> SteeringAction {
        let Some(redirect) = &self.redirect else { return self.otherwise };
        let open = |(target, token): &(ObjectId, Token)| {
            (state.sessions.object(*token) == Some(*target)).then_some(target.id)
        };
        let targets: Vec<u32> = redirect.targets.iter().filter_map(open).collect();
        if targets.is_empty() {
            return self.otherwise;
        }
        redirects.push(wriop::Redirect { transmit: redirect.transmit, targets });
        SteeringAction::Redirect(redirects.len() as u16 - 1)
    }
}

/// What a command names in guest memory.
enum Named {
    Nothing,
    Layout(KeyProfile),
    Key(KeyAndMask, Option<Redirect>),
}

/// Reads what a command names in guest memory, before anything is changed.
fn read_named(state: &State, call: &Call, command: &Command) -> Result<Named, Refusal> {
    let limits = &state.body::<super::Interface>(call.object.id)?.limits;
    let masks = limits.has(options::HAS_KEY_MASKING);
    let keys = KeyLimits { size: limits.key_size, masks };
    let layout = |iova| rules::read_profile(state, call.object, iova).map(Named::Layout);
    let key =
        |size, key, mask| rules::read_key(state, call.object, keys, KeyAt { size, key, mask });
    match command {
        Command::SetRxTcDist(set) if set.mode != 0 => layout(set.key_iova),
        Command::SetRxFsDist(set) if set.enable => layout(set.key_iova),
        Command::SetRxHashDist(set) if set.enable => layout(set.key_iova),
        Command::SetQosTable(set) => layout(set.key_iova),
        Command::AddQosEntry(add) => {
            Ok(Named::Key(key(add.key_size, add.key_iova, add.mask_iova)?, None))
        }
        Command::RemoveQosEntry(remove) => {
            Ok(Named::Key(key(remove.key_size, remove.key_iova, remove.mask_iova)?, None))
        }
        Command::AddFsEntry(add) => {
            let redirect = redirect(state, call, add)?;
            Ok(Named::Key(key(add.key_size, add.key_iova, add.mask_iova)?, redirect))
        }
        Command::RemoveFsEntry(remove) => {
            Ok(Named::Key(key(remove.key_size, remove.key_iova, remove.mask_iova)?, None))
        }
        _ => Ok(Named::Nothing),
    }
}

impl Named {
    fn layout(self) -> Result<KeyProfile, Refusal> {
        match self {
            Self::Layout(layout) => Ok(layout),
            _ => Err(Status::ConfigurationError.because("no layout of a key is given")),
        }
    }

    fn key(self) -> Result<(KeyAndMask, Option<Redirect>), Refusal> {
        match self {
            Self::Key(key, redirect) => Ok((key, redirect)),
            _ => Err(Status::ConfigurationError.because("no key is given")),
        }
    }
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    check(addressed(state, call)?, command)?;
    let named = read_named(state, call, command)?;
    let interface = addressed(state, call)?;
    let limits = interface.limits;
    let tables = &mut interface.settings.tables;
    match command {
        Command::SetRxTcDist(set) => set_distribution(tables, set, named)?,
        Command::SetRxFsDist(set) => {
            let class = tables.steered(set.tc)?;
            if set.enable {
                class.steering = Some((named.layout()?, miss(set.miss_flow)));
            } else {
                class.rules.clear();
                class.steering = None;
            }
        }
        Command::SetRxHashDist(set) => {
            let class = tables.class(set.tc)?;
            class.hash = match set.enable {
                true => Some(Spread { key: named.layout()?, size: set.size }),
                false => None,
            };
        }
        Command::SetRxTcPolicing(set) => set_policing(&limits, tables, set)?,
        Command::GetRxTcPolicing(get) => {
            let policer = tables.class(get.tc)?.policer;
            return call.reply(get, dpni::GetRxTcPolicingReply { policer });
        }
        Command::SetQosTable(set) => set_qos_table(&limits, tables, set, named.layout()?)?,
        Command::AddQosEntry(add) => {
            if tables.qos.is_none() {
                return Err(Status::InvalidState.because("there is no QoS table: set it first"));
            }
            let queue = (add.flags & QOS_SET_FLOW != 0).then_some(add.flow);
            let action = QosAction { class: add.tc, queue };
            let (key, update) = (named.key()?.0, add.flags & QOS_UPDATE != 0);
            let most = limits.qos_entries.into();
            rules::put(&mut tables.qos_rules, key, add.index, action, update, most)?;
        }
        Command::RemoveQosEntry(_) => rules::take(&mut tables.qos_rules, &named.key()?.0)?,
        Command::ClearQosTable(_) => tables.qos_rules.clear(),
        Command::AddFsEntry(add) => {
            let (key, redirect) = named.key()?;
            let update = add.options & FS_UPDATE != 0;
            let action = Action { otherwise: action(add), redirect };
            let class = tables.steered(add.tc)?;
            let most = limits.fs_entries.into();
            rules::put(&mut class.rules, key, add.index, action, update, most)?;
        }
        Command::RemoveFsEntry(remove) => {
            rules::take(&mut tables.steered(remove.tc)?.rules, &named.key()?.0)?;
        }
        Command::ClearFsEntries(clear) => tables.steered(clear.tc)?.rules.clear(),
        Command::DumpTable(dump) => {
            let entries = dump::dump(state, call.object, dump)?;
            return call.reply(dump, dpni::DumpTableReply { entries });
        }
    }
    Ok(Answer::DONE)
}

/// Refuses what is wrong whatever lies in guest memory.
fn check(interface: &super::Interface, command: &Command) -> Result<(), Refusal> {
    let limits = &interface.limits;
    let queues = u16::from(limits.queues);
    let wrong = match command {
        Command::SetRxTcDist(set) => return check_distribution(limits, set),
        Command::SetRxFsDist(set) if set.enable => {
            check_size(limits, set.size)?;
            limits.fs_entries == 0 || set.miss_flow != DROP && set.miss_flow >= queues
        }
        Command::SetRxFsDist(_) => limits.fs_entries == 0,
        Command::SetRxHashDist(set) if set.enable => return check_size(limits, set.size),
        Command::SetQosTable(set) => {
            let wrong_flow =
                set.set_default_flow && (set.discard_on_miss || set.default_flow >= queues);
            limits.qos_entries == 0 || set.default_tc >= limits.rx_tcs || wrong_flow
        }
        Command::AddQosEntry(add) => {
            let wrong_flow = add.flags & QOS_SET_FLOW != 0 && add.flow >= limits.queues;
            add.tc >= limits.rx_tcs || wrong_flow
        }
        Command::AddFsEntry(add) => {
            let redirects = add.options & (FS_REDIRECT_ONE | FS_REDIRECT_MANY) != 0;
            let leaves = redirects || add.options & FS_DISCARD != 0;
            !leaves && add.flow >= queues || redirects && add.options & FS_UPDATE != 0
        }
        _ => false,
    };
    if wrong {
        Err(Status::ConfigurationError.because(
            "a class, queue or size is none of the interface, or it was made without such a table",
        ))
    } else {
        Ok(())
    }
}

fn check_size(limits: &Limits, size: u16) -> Result<(), Refusal> {
    if DISTRIBUTION_SIZES.contains(&size) && size <= limits.queues.into() {
        Ok(())
    } else {
        Err(Status::ConfigurationError.because(format!(
            "{size} is no size of a distribution, or more than the queues: {}",
            limits.queues
        )))
    }
}

/// Modes and actions of [`dpni::SetRxTcDist`].
const MODE_NONE: u8 = 0;
const MODE_STEERING: u8 = 2;
const MISS_DROP: u8 = 0;
const MISS_EXPLICIT: u8 = 1;
const MISS_HASH: u8 = 2;

fn check_distribution(limits: &Limits, set: &dpni::SetRxTcDist) -> Result<(), Refusal> {
    if set.mode > MODE_STEERING || set.miss_action > MISS_HASH {
        return Err(Status::ConfigurationError.because("unknown mode or action"));
    }
    if set.mode != MODE_NONE {
        check_size(limits, set.size)?;
    }
    let wrong_flow = set.miss_action == MISS_EXPLICIT && set.default_flow >= limits.queues.into();
    if set.mode == MODE_STEERING && (limits.fs_entries == 0 || wrong_flow) {
        return Err(
            Status::ConfigurationError.because("it has no steering table, or no such queue")
        );
    }
    Ok(())
}

/// The older command: hash and steering in one. Frames that no rule matches may
/// be spread by the hash of the same key, or of the one of before.
fn set_distribution(
    tables: &mut Settings,
    set: &dpni::SetRxTcDist,
    named: Named,
) -> Result<(), Refusal> {
    let steering = set.mode == MODE_STEERING;
    if !(steering && set.keep_entries) {
        tables.steered(set.tc)?.rules.clear();
    }
    tables.steered(set.tc)?.steering = None;
    let before = tables.class(set.tc)?.hash.take();
    if set.mode == MODE_NONE {
        return Ok(());
    }
    let key = named.layout()?;
    let spread = Spread { key: key.clone(), size: set.size };
    let kept = before.filter(|_| set.keep_hash_key).map(|before| before.key);
    let kept = kept.map(|key| Spread { key, size: set.size });
    if !steering || set.miss_action == MISS_HASH {
        tables.class(set.tc)?.hash = Some(kept.unwrap_or(spread));
    }
    if steering {
        let miss = match set.miss_action {
            MISS_DROP => SteeringMiss::Discard,
            _ => SteeringMiss::Queue(set.default_flow),
        };
        tables.steered(set.tc)?.steering = Some((key, miss));
    }
    Ok(())
}

fn miss(flow: u16) -> SteeringMiss {
    if flow == DROP { SteeringMiss::Discard } else { SteeringMiss::Queue(flow) }
}

fn set_policing(
    limits: &Limits,
    tables: &mut Settings,
    set: &dpni::SetRxTcPolicing,
) -> Result<(), Refusal> {
    const MOST_MODE: u8 = 3;
    const MOST_UNITS: u8 = 2;
    const MOST_COLOR: u8 = 2;
    let class = tables.class(set.tc)?;
    // No policers were set aside for it.
    if !limits.has(options::HAS_POLICING) {
        return Err(Status::NoResource.because("it was made without HAS_POLICING"));
    }
    let policer = set.policer;
    let wrong = policer.mode > MOST_MODE
        || policer.units > MOST_UNITS
        || policer.default_color > MOST_COLOR;
    if wrong || policer.options & !POLICING_OPTIONS != 0 {
        return Err(Status::ConfigurationError.because("unknown mode, unit, colour or option"));
    }
    class.policer = policer;
    Ok(())
}

fn set_qos_table(
    limits: &Limits,
    tables: &mut Settings,
    set: &dpni::SetQosTable,
    key: KeyProfile,
) -> Result<(), Refusal> {
    // Only a ternary table can keep what is in it.
    if !(set.keep_entries && limits.has(options::HAS_KEY_MASKING)) {
        tables.qos_rules.clear();
    }
    // Whether a queue is named was checked against the number of queues, which
    // fits.
    let queue = set.set_default_flow.then_some(set.default_flow as u8);
    let miss = match set.discard_on_miss {
        true => QosMiss::Discard,
        false => QosMiss::To(QosAction { class: set.default_tc, queue }),
    };
    tables.qos = Some(Qos { key, miss });
    Ok(())
}

/// What a rule does with frames that are not redirected.
fn action(add: &dpni::AddFsEntry) -> SteeringAction {
    if add.options & FS_DISCARD != 0 {
        return SteeringAction::Discard;
    }
    let flow_context = (add.options & FS_SET_FLOW_CONTEXT != 0).then_some(add.flow_context);
    SteeringAction::Queue { queue: add.flow, flow_context }
}

/// The interfaces that a rule names by their tokens.
///
/// # Errors
/// [`Status::ConfigurationError`] for a number of them that does not go with
/// the options, or a token that stands for no interface that the command's portal
/// may address.
fn redirect(
    state: &State,
    call: &Call,
    add: &dpni::AddFsEntry,
) -> Result<Option<Redirect>, Refusal> {
    let most = match add.options & (FS_REDIRECT_ONE | FS_REDIRECT_MANY) {
        0 => return Ok(None),
        FS_REDIRECT_MANY => add.redirect_tokens.len(),
        one if one & FS_REDIRECT_MANY == 0 && one != FS_REDIRECT_ONE => 1,
        _ => {
            return Err(Status::ConfigurationError
                .because("a rule sends frames to one interface or to several"));
        }
    };
    // Version 2 has one token and no number of tokens.
    let count = if call.version < 3 { 1 } else { usize::from(add.redirect_count) };
    let tokens = add.redirect_tokens.get(..count).filter(|_| (1..=most).contains(&count));
    let target = |token: &u16| {
        let token = Token(*token);
        let object = state.sessions.object(token);
        let object = object.filter(|object| state.reaches(call.portal_container, *object));
        let interface = object.filter(|object| object.kind == ObjectType::Dpni);
        interface.map(|object| (object, token)).ok_or_else(|| {
            Status::ConfigurationError.because(format!(
                "token {:#x} stands for no dpni in dprc.{} or below",
                token.0, call.portal_container
            ))
        })
    };
    let tokens = tokens.ok_or_else(|| {
        Status::ConfigurationError.because(format!("a rule sends frames to 1 to {most} interfaces"))
    })?;
    let targets = tokens.iter().map(target).collect::<Result<_, _>>()?;
    Ok(Some(Redirect { transmit: add.options & FS_REDIRECT_RX == 0, targets }))
}
