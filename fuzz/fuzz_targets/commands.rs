// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands to the MC of a populated board, through portals and past them: no
//! panic, and the invariants hold.
#![no_main]

mod host;

use arbitrary::{Arbitrary, Unstructured};
use board::{
    Board, BoardConfig, Window,
    dpl::Dpl,
    host::{Host, NoLines, NoMemory, private_portal_memory},
    mc::PORTAL_STRIDE,
};
use host::layout;
use libfuzzer_sys::fuzz_target;
use mc_abi::{CommandInfo, Message, ObjectType, Params, Status, Token, Wire, common, dpmng};
use std::sync::{Arc, LazyLock};

static LAYOUT: LazyLock<Dpl> = LazyLock::new(|| layout("everything"));

/// Portals that somebody may have; the others are alike.
const PORTALS: u8 = 40;

/// Steps of one input: what a long input does, several short ones do as well.
const STEPS: usize = 64;

#[derive(Debug, Arbitrary)]
enum Step {
    /// A command of a family with sensible parameters, some of them replaced.
    Command {
        target: Target,
        kind: u8,
        command: u8,
        version: Option<u8>,
        patches: [Option<Patch>; 2],
    },
    /// A command that all families have.
    Common {
        target: Target,
        command: u8,
        patch: Option<Patch>,
    },
    /// A command that names an object: open, destroy.
    Named {
        target: Target,
        base: Base,
        kind: u8,
        id: Number,
    },
    Close {
        target: Target,
    },
    /// Anything through a portal.
    Raw {
        target: Target,
        number: u16,
        version: u8,
        patches: Vec<Patch>,
    },
    /// Bytes into the window of portals.
    Store {
        portal: u8,
        at: u8,
        bytes: Vec<u8>,
    },
    Load {
        portal: u8,
        at: u8,
        length: u8,
    },
}

/// Where a command goes.
#[derive(Debug, Arbitrary)]
struct Target {
    portal: u8,
    token: TokenChoice,
}

#[derive(Debug, Arbitrary)]
enum TokenChoice {
    /// One that was given out.
    Known(u8),
    /// One that was given out last.
    Last,
    Any(u16),
}

#[derive(Debug, Arbitrary)]
enum Base {
    Open,
    Destroy,
    Version,
}

/// A number as software uses them.
#[derive(Debug, Arbitrary, Clone, Copy)]
enum Number {
    Small(u8),
    Bit(u8),
    Any(u64),
    /// The last ones of their kind.
    High(u8),
}

impl Number {
    fn value(self) -> u64 {
        match self {
            Self::Small(n) => u64::from(n % 32),
            Self::Bit(n) => 1 << (n % 64),
            Self::Any(n) => n,
            Self::High(n) => u64::MAX - u64::from(n),
        }
    }
}

/// What replaces parameters.
#[derive(Debug, Arbitrary)]
enum Patch {
    Byte {
        at: u8,
        value: u8,
    },
    Word {
        at: u8,
        value: Number,
    },
    /// The name of a family or pool.
    Name {
        at: u8,
        name: u8,
    },
}

const POOLS: [&str; 10] =
    ["bp", "mcp", "swp", "swpch", "fq", "cg", "qd", "cq", "kp.wr.ctlui", "icid"];

impl Patch {
    fn apply(&self, params: &mut Params) {
        let mut store = |at: u8, bytes: &[u8]| {
            let from = usize::from(at) % params.0.len();
            for (slot, byte) in params.0[from..].iter_mut().zip(bytes) {
                *slot = *byte;
            }
        };
        match self {
            Self::Byte { at, value } => store(*at, &[*value]),
            // As wide as most fields are.
            Self::Word { at, value } => store(at & !3, &(value.value() as u32).to_le_bytes()),
            Self::Name { at, name } => {
                let name = usize::from(*name) % (POOLS.len() + ObjectType::ALL.len());
                let text = match ObjectType::ALL.get(name) {
                    Some(kind) => kind.name(),
                    None => POOLS[name - ObjectType::ALL.len()],
                };
                let mut field = [0; 16];
                field[..text.len()].copy_from_slice(text.as_bytes());
                store(at & !7, &field);
            }
        }
    }
}

fn kind(kind: u8) -> ObjectType {
    ObjectType::ALL[usize::from(kind) % ObjectType::ALL.len()]
}

struct Software<'a> {
    board: &'a Board,
    tokens: Vec<Token>,
}

impl Software<'_> {
    fn token(&self, choice: &TokenChoice) -> Token {
        match choice {
            TokenChoice::Known(n) => {
                self.tokens.get(usize::from(*n) % self.tokens.len().max(1)).copied()
            }
            TokenChoice::Last => self.tokens.last().copied(),
            TokenChoice::Any(n) => Some(Token(*n)),
        }
        .unwrap_or(Token::NONE)
    }

    fn send(&mut self, target: &Target, number: u16, version: u8, params: Params) {
        let message = Message::command(number, version, self.token(&target.token), params);
        // Most commands come from the root, which may do most.
        let portal = u64::from(target.portal.saturating_sub(128) % PORTALS);
        self.board.write(Window::McPortals, portal * PORTAL_STRIDE, &message.to_bytes());
        let mut answer = [0; Message::SIZE];
        self.board.read(Window::McPortals, portal * PORTAL_STRIDE, &mut answer);
        let answer = Message::from_bytes(&answer);
        assert_ne!(answer.header.status(), Status::Ready, "no answer");
        let opens = (common::OPEN + 1..=common::OPEN + 0x10).contains(&number);
        if opens && answer.header.status() == Status::Ok {
            self.tokens.push(answer.header.token());
        }
    }

    fn open(&mut self, kind: ObjectType, id: u32) {
        let target = Target { portal: 0, token: TokenChoice::Any(0) };
        self.send(&target, common::OPEN + kind.code(), 1, named(id));
    }

    fn step(&mut self, step: &Step, sample: &mut dyn FnMut() -> u64) {
        match step {
            Step::Command { target, kind: k, command, version, patches } => {
                let table = mc_abi::commands(kind(*k));
                self.command(target, table, *command, *version, patches.iter().flatten(), sample);
            }
            Step::Common { target, command, patch } => {
                self.command(target, common::COMMANDS, *command, None, patch.iter(), sample);
            }
            Step::Named { target, base, kind: k, id } => {
                let base = match base {
                    Base::Open => common::OPEN,
                    Base::Destroy => common::DESTROY,
                    Base::Version => common::GET_API_VERSION,
                };
                self.send(target, base + kind(*k).code(), 1, named(id.value() as u32));
            }
            Step::Close { target } => self.send(target, common::CLOSE, 1, Params::ZERO),
            Step::Raw { target, number, version, patches } => {
                let mut params = Params::ZERO;
                patches.iter().for_each(|patch| patch.apply(&mut params));
                self.send(target, *number, *version, params);
            }
            Step::Store { portal, at, bytes } => {
                let offset = u64::from(portal % PORTALS) * PORTAL_STRIDE + u64::from(*at);
                self.board.write(Window::McPortals, offset, bytes);
            }
            Step::Load { portal, at, length } => {
                let offset = u64::from(portal % PORTALS) * PORTAL_STRIDE + u64::from(*at);
                let mut bytes = vec![0; usize::from(*length)];
                self.board.read(Window::McPortals, offset, &mut bytes);
            }
        }
    }

    fn command<'p>(
        &mut self,
        target: &Target,
        table: &[CommandInfo],
        command: u8,
        version: Option<u8>,
        patches: impl Iterator<Item = &'p Patch>,
        sample: &mut dyn FnMut() -> u64,
    ) {
        let Some(info) = table.get(usize::from(command) % table.len().max(1)) else { return };
        let version = version.map_or(info.max_version, |v| v % 16);
        let mut params = (info.sample)(sample, version);
        patches.for_each(|patch| patch.apply(&mut params));
        self.send(target, info.number, version, params);
    }
}

fn named(id: u32) -> Params {
    let mut params = Params::ZERO;
    common::Open { id }.encode(&mut params, 1);
    params
}

fuzz_target!(|data: &[u8]| {
    let mut input = Unstructured::new(data);
    let config = BoardConfig { layout: LAYOUT.clone(), ..BoardConfig::default() };
    let portals = private_portal_memory().expect("there is that much address space");
    let host = Host::new(Arc::new(NoMemory), Arc::new(NoLines), portals);
    let board = Board::new(config, host).expect("it is a good one");
    let mut software = Software { board: &board, tokens: Vec::new() };
    for kind in ObjectType::ALL {
        (0..3).for_each(|id| software.open(kind, id));
    }
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut input) else { break };
        // Parameters come from the input as well, as small numbers for the most
        // part.
        let mut seed = u64::from(u16::arbitrary(&mut input).unwrap_or(0));
        let mut sample = || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let value = seed >> 33;
            if value & 0xf < 0xd { value >> 4 & 0x7 } else { seed.rotate_left(29) }
        };
        software.step(&step, &mut sample);
    }
    board.mc().check_invariants();
    let version =
        board.mc().execute(0, &mc_abi::Request::message(&dpmng::GetVersion {}, Token::NONE));
    assert_eq!(version.header.status(), Status::Ok, "the root's portal is lost");
});
