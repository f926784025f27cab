// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the board costs its host: commands, layouts, translations.
//!
//! Each family of numbers comes with what it is to be compared with, measured
//! in the same run: a message through a portal's memory beside the command
//! alone, a DMA beside a plain copy of the same size.

#[path = "../tests/frames/ram.rs"]
mod ram;

use board::{
    Board, BoardConfig, Window,
    dpl::{Dpl, Loader, layouts},
    host::{GuestMemory, Host, private_portal_memory},
    smmu::{Access, Smmu},
};
use divan::{
    Bencher, black_box,
    counter::{BytesCount, ItemsCount},
};
use mc_abi::{Message, ObjectId, ObjectType, Request, Status, Token, common, dpbp, dpmng, dprc};
use ram::{Lines, RAM, Ram};
use std::{
    io::Write,
    process::{Command, Stdio},
    sync::{Arc, LazyLock},
};

fn main() {
    if let Err(error) = dtc().arg("--version").stdout(Stdio::null()).status() {
        eprintln!(
            "the benches compile layouts and find no dtc ({error}): run `cargo xtask bench`, which \
             brings one, or install device-tree-compiler, or set DTC"
        );
        std::process::exit(1);
    }
    divan::main();
}

/// Bytes of a full Ethernet frame.
const FRAME: usize = 1500;

/// Bytes of memory.
const RAM_SIZE: usize = 1 << 20;

/// A layout of the project as a blob.
struct Blob {
    name: &'static str,
    bytes: Vec<u8>,
}

static BLOBS: LazyLock<Vec<Blob>> = LazyLock::new(|| {
    let blob =
        |layout: &layouts::BuiltIn| Blob { name: layout.name, bytes: compile(layout.source) };
    layouts::ALL.iter().map(blob).collect()
});

/// The blob of a source, made by the device tree compiler.
fn compile(source: &str) -> Vec<u8> {
    let mut child = dtc()
        .args(["-q", "-I", "dts", "-O", "dtb"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it has run before");
    child.stdin.take().expect("it is piped").write_all(source.as_bytes()).expect("dtc reads");
    child.wait_with_output().expect("dtc ends").stdout
}

fn dtc() -> Command {
    Command::new(std::env::var_os("DTC").unwrap_or_else(|| "dtc".into()))
}

fn load(blob: &Blob) -> Dpl {
    let loaded = Loader::new(&dtc).blob(blob.name, &blob.bytes);
    loaded.and_then(|loaded| loaded.into_dpl()).expect("it comes with the project")
}

fn blob(name: &str) -> &'static Blob {
    BLOBS.iter().find(|blob| blob.name == name).expect("it comes with the project")
}

fn board(layout: Dpl) -> Board {
    let config = BoardConfig { layout, ..BoardConfig::default() };
    let ram = Arc::new(Ram::new(RAM_SIZE));
    let portals = private_portal_memory().expect("there is that much address space");
    Board::new(config, Host::new(ram, Arc::new(Lines), portals)).expect("it comes with the project")
}

/// A board with the default layout, and cheap commands to it.
struct Fixture {
    board: Board,
    commands: [(&'static str, Message); 4],
}

impl Fixture {
    fn new() -> Self {
        let board = board(load(blob("default")));
        let dpbp = open(&board, ObjectType::Dpbp, 0);
        let dprc = open(&board, ObjectType::Dprc, 1);
        let irq_status = common::GetIrqStatus { status: 0, index: 0 }.message(dprc);
        let commands = [
            (VERSION, dpmng::GetVersion {}.message(Token::NONE)),
            (POOL, dpbp::GetAttributes {}.message(dpbp)),
            (COUNT, dprc::GetObjectCount {}.message(dprc)),
            (STATUS, irq_status),
        ];
        Self { board, commands }
    }

    fn command(&self, name: &str) -> Message {
        self.commands.iter().find(|(n, _)| *n == name).expect("one of the list").1
    }
}

const VERSION: &str = "dpmng GetVersion";
const POOL: &str = "dpbp GetAttributes";
const COUNT: &str = "dprc GetObjectCount";
const STATUS: &str = "dprc GetIrqStatus";
const COMMANDS: [&str; 4] = [VERSION, POOL, COUNT, STATUS];

fn open(board: &Board, kind: ObjectType, id: u32) -> Token {
    let answer = board.mc().execute(0, &Message::open(ObjectId::new(kind, id)));
    expect_ok(&answer);
    answer.header.token()
}

fn expect_ok(answer: &Message) {
    assert_eq!(answer.header.status(), Status::Ok);
}

mod command {
    use super::*;

    /// Without a portal's memory.
    #[divan::bench(args = COMMANDS)]
    fn alone(bencher: Bencher<'_, '_>, name: &str) {
        let fixture = Fixture::new();
        let message = fixture.command(name);
        expect_ok(&fixture.board.mc().execute(0, &message));
        bencher
            .counter(ItemsCount::new(1u32))
            .bench_local(|| fixture.board.mc().execute(0, black_box(&message)));
    }

    /// Written to a portal and read back, 64 bytes each.
    #[divan::bench(args = COMMANDS)]
    fn through_a_portal(bencher: Bencher<'_, '_>, name: &str) {
        let fixture = Fixture::new();
        let message = fixture.command(name).to_bytes();
        let exchange = || {
            let mut answer = [0; Message::SIZE];
            fixture.board.write(Window::McPortals, 0, black_box(&message));
            fixture.board.read(Window::McPortals, 0, &mut answer);
            answer
        };
        expect_ok(&Message::from_bytes(&exchange()));
        bencher.counter(ItemsCount::new(1u32)).bench_local(exchange);
    }

    /// As Linux stores it, word by word, the header last.
    #[divan::bench]
    fn through_a_portal_by_words(bencher: Bencher<'_, '_>) {
        let fixture = Fixture::new();
        let message = fixture.command(VERSION).to_bytes();
        let words: Vec<_> = message.chunks(8).zip((0u64..).step_by(8)).collect();
        let exchange = || {
            let mut answer = [0; Message::SIZE];
            for (word, at) in words.iter().rev() {
                fixture.board.write(Window::McPortals, *at, black_box(word));
            }
            for (word, at) in answer.chunks_mut(8).zip((0u64..).step_by(8)) {
                fixture.board.read(Window::McPortals, at, word);
            }
            answer
        };
        expect_ok(&Message::from_bytes(&exchange()));
        bencher.counter(ItemsCount::new(1u32)).bench_local(exchange);
    }

    /// Two threads, each with a portal of its own.
    #[divan::bench(threads = [1, 2])]
    fn from_threads(bencher: Bencher<'_, '_>) {
        static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::new);
        let message = FIXTURE.command(VERSION);
        bencher
            .counter(ItemsCount::new(1u32))
            .bench(|| FIXTURE.board.mc().execute(0, black_box(&message)));
    }
}

/// From a blob to a running board.
mod layout {
    use super::*;

    /// The blob, checked and read.
    #[divan::bench(args = layouts::ALL.iter().map(|layout| layout.name))]
    fn load_blob(bencher: Bencher<'_, '_>, name: &str) {
        let blob = blob(name);
        bencher.counter(BytesCount::of_slice(&blob.bytes)).bench_local(|| load(black_box(blob)));
    }

    /// The board made, with its containers and objects.
    #[divan::bench(args = layouts::ALL.iter().map(|layout| layout.name))]
    fn power_on(bencher: Bencher<'_, '_>, name: &str) {
        let layout = load(blob(name));
        bencher.with_inputs(|| layout.clone()).bench_local_values(board);
    }
}

/// Translations of the SMMU, and transfers through it.
mod smmu {
    use super::*;

    const STREAM: u16 = 23;
    /// Mapped by pages of 4 KiB.
    const IOVA: u64 = 0x4000_0000;
    const PAGES: u64 = 64;
    /// Bank 0, as the driver writes it.
    const BANK: u64 = 0x8_0000;
    const TLBIALL: u64 = BANK + 0x618;

    /// An SMMU whose stream has [`PAGES`] pages from [`IOVA`] on, through four
    /// levels of tables.
    fn translating() -> Smmu {
        let page = |n: u64| RAM + n * 0x1000;
        let ram = Ram::new(RAM_SIZE);
        let entry = |table: u64, index: u64, value: u64| {
            let address = RAM + table * 0x1000 + index * 8;
            ram.write(address, &value.to_le_bytes()).expect("it is RAM");
        };
        let index = |level: u32| IOVA >> (39 - 9 * level) & 0x1ff;
        for level in 0..3 {
            entry(level.into(), index(level), page(u64::from(level) + 1) | 0b11);
        }
        // Accessed, unprivileged, not global, never executed.
        let attributes = 1 << 6 | 1 << 10 | 1 << 11 | 1 << 53 | 1 << 54 | 0b11;
        (0..PAGES).for_each(|n| entry(3, index(3) + n, page(16 + n) | attributes));

        let smmu = Smmu::new(Arc::new(ram), Arc::new(Lines));
        let write = |offset: u64, value: u32| smmu.write(offset, &value.to_le_bytes());
        write(0x800, 1 << 31 | u32::from(STREAM));
        write(0xc00, 0);
        write(0x1000, 1 << 16);
        write(0x1800, 1);
        write(BANK + 0x10, 5 | 1 << 4 | 0b111 << 15);
        write(BANK + 0x30, 1 << 23 | 16);
        smmu.write(BANK + 0x20, &RAM.to_le_bytes());
        write(BANK, 0x1067);
        write(0, 1 << 21);
        smmu
    }

    #[divan::bench]
    fn translate_hit(bencher: Bencher<'_, '_>) {
        let smmu = translating();
        let translate = || smmu.translate(STREAM, black_box(IOVA), Access::READ);
        assert_eq!(translate().map(|m| m.address), Ok(RAM + 16 * 0x1000));
        bencher.counter(ItemsCount::new(1u32)).bench_local(translate);
    }

    /// The cache emptied and four levels walked.
    #[divan::bench]
    fn translate_walk(bencher: Bencher<'_, '_>) {
        let smmu = translating();
        bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
            smmu.write(TLBIALL, &[0; 4]);
            smmu.translate(STREAM, black_box(IOVA), Access::READ).expect("it is mapped")
        });
    }

    /// The emptying, which the walk above has as well.
    #[divan::bench]
    fn invalidate(bencher: Bencher<'_, '_>) {
        let smmu = translating();
        bencher.bench_local(|| smmu.write(TLBIALL, &[0; 4]));
    }

    /// A descriptor and a full frame.
    const SIZES: [usize; 2] = [64, FRAME];

    /// What the transfers below come down to without an SMMU.
    #[divan::bench(args = SIZES, sample_size = 1000)]
    fn plain_copy(bencher: Bencher<'_, '_>, size: usize) {
        let ram = Ram::new(RAM_SIZE);
        let mut data = vec![0; size];
        bencher.counter(BytesCount::new(size)).bench_local(|| {
            ram.read(black_box(RAM + 0x1_0000), &mut data).expect("it is RAM");
            black_box(data[0])
        });
    }

    #[divan::bench(args = SIZES, sample_size = 1000)]
    fn read(bencher: Bencher<'_, '_>, size: usize) {
        let smmu = translating();
        let stream = smmu.stream(STREAM);
        let mut data = vec![0; size];
        bencher.counter(BytesCount::new(size)).bench_local(|| {
            stream.read(black_box(IOVA), &mut data).expect("it is mapped");
            black_box(data[0])
        });
    }

    #[divan::bench(args = SIZES, sample_size = 1000)]
    fn write(bencher: Bencher<'_, '_>, size: usize) {
        let smmu = translating();
        let stream = smmu.stream(STREAM);
        let data = vec![0x5a; size];
        bencher
            .counter(BytesCount::new(size))
            .bench_local(|| stream.write(black_box(IOVA), &data).expect("it is mapped"));
    }

    /// From page to page, each with a translation of its own.
    #[divan::bench(args = SIZES, sample_size = 1000)]
    fn copy(bencher: Bencher<'_, '_>, size: usize) {
        let smmu = translating();
        let stream = smmu.stream(STREAM);
        bencher.counter(BytesCount::new(size)).bench_local(|| {
            stream.copy(black_box(IOVA), stream, IOVA + 0x8000, size).expect("it is mapped");
        });
    }

    /// As [`read`], as a part of a longer transaction.
    #[divan::bench(args = SIZES, sample_size = 1000)]
    fn read_held(bencher: Bencher<'_, '_>, size: usize) {
        let smmu = translating();
        let stream = smmu.stream(STREAM);
        let _hold = smmu.hold();
        let mut data = vec![0; size];
        bencher.counter(BytesCount::new(size)).bench_local(|| {
            stream.read(black_box(IOVA), &mut data).expect("it is mapped");
            black_box(data[0])
        });
    }

    /// Reads of 64 bytes all over the pages: the cost does not grow with
    /// them.
    #[divan::bench(args = [1, 64], sample_size = 1000)]
    fn read_pages(bencher: Bencher<'_, '_>, pages: u64) {
        let smmu = translating();
        let stream = smmu.stream(STREAM);
        let mut page = 0;
        bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
            let mut data = [0; 64];
            page = (page + 1) % pages;
            stream.read(IOVA + page * 0x1000, &mut data).expect("it is mapped");
            black_box(data)
        });
    }
}
