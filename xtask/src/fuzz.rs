// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Fuzzing. The board's parts with libFuzzer on stable Rust: the compiler's own
//! coverage pass, no sanitizer (the targets have no unsafe code). The Linux driver by
//! random calls in a guest.

use crate::host_tools;
use anyhow::Result;
use xshell::{Shell, cmd};

/// Run a fuzz target. Findings are left in fuzz/artifacts.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The target.
    target: Target,
    /// Duration, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Number of inputs, instead of a duration.
    #[arg(long, conflicts_with_all = ["seconds", "input"])]
    runs: Option<u64>,
    /// Run only this input, once.
    #[arg(long)]
    input: Option<std::path::PathBuf>,
    /// Driver: approximate number of calls.
    #[arg(long, default_value_t = 10_000_000)]
    calls: u64,
    /// Driver: module to test (default: the checkout's).
    #[arg(long)]
    module: Option<std::path::PathBuf>,
    /// Driver: test the kernel's own.
    #[arg(long, conflicts_with = "module")]
    stock: bool,
    /// Driver: PRNG seed of the first run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Driver: further options for the fuzzer in the guest.
    #[arg(last = true)]
    more: Vec<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Target {
    /// 64-byte commands against a populated board.
    Commands,
    /// Descriptors, tables, keys and settings of network interfaces.
    Frames,
    /// Layout blobs.
    Layout,
    /// Rings, registers and memory of software portals.
    Portals,
    /// Page tables and registers of the SMMU.
    Smmu,
    /// The Linux driver, by random system calls in a guest.
    Driver,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Commands => "commands",
            Self::Frames => "frames",
            Self::Layout => "layout",
            Self::Portals => "portals",
            Self::Smmu => "smmu",
            Self::Driver => "driver",
        }
    }
}

/// What `cargo fuzz --sanitizer none` passes to the compiler.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 -Cdebug-assertions=yes -Coverflow-checks=yes";

pub(crate) fn run(shell: &Shell, args: &Args) -> Result<()> {
    match args.target {
        Target::Driver => driver(shell, args),
        Target::Commands | Target::Frames | Target::Layout | Target::Portals | Target::Smmu => {
            library(shell, args)
        }
    }
}

/// Calls for which the emulation is built to be fast. A short run takes what the tests have
/// built.
const WORTH_A_RELEASE_BUILD: u64 = 1_000_000;

/// Random calls in a guest, over several boots.
fn driver(shell: &Shell, args: &Args) -> Result<()> {
    let (calls, seed) = (args.calls.to_string(), args.seed.to_string());
    let module = args.module.iter().flat_map(|file| ["--module".as_ref(), file.as_os_str()]);
    let stock = args.stock.then_some("--stock");
    let more = &args.more;
    let package = ["--package", "vm-tests", "--bin", "fuzz-driver"];
    let is_long = args.calls >= WORTH_A_RELEASE_BUILD;
    let profile = ["--profile", if is_long { "release" } else { "dev" }];
    cmd!(
        shell,
        "cargo run {profile...} --locked {package...} -- --calls {calls} --seed {seed} {module...} {stock...} -- {more...}"
    )
    .run()?;
    Ok(())
}

fn library(shell: &Shell, args: &Args) -> Result<()> {
    let name = args.target.name();
    let limit = match args.runs {
        Some(runs) => format!("-runs={runs}"),
        None => format!("-max_total_time={}", args.seconds),
    };
    let corpus = format!("fuzz/corpus/{name}");
    shell.create_dir(&corpus)?;
    let artifacts = format!("fuzz/artifacts/{name}");
    shell.create_dir(&artifacts)?;
    let what = match &args.input {
        Some(input) => vec![input.clone().into_os_string()],
        // Inputs need some length to get anywhere: no growing from one byte.
        None => [&*corpus, &limit, "-len_control=0", "-max_len=1500"].map(Into::into).to_vec(),
    };
    let host = host(shell)?;
    // A target triple keeps the flags away from build scripts.
    let target = ["--manifest-path", "fuzz/Cargo.toml", "--target", &host, "--bin", name];
    let limits = ["-rss_limit_mb=4096", "-timeout=20"];
    cmd!(shell, "cargo run --release --locked {target...} -- {what...} -artifact_prefix={artifacts}/ {limits...}")
        .env("RUSTFLAGS", FLAGS)
        // The board's layouts are compiled as they are started.
        .envs(host_tools::variables(shell)?)
        .run()?;
    Ok(())
}

fn host(shell: &Shell) -> Result<String> {
    let version = cmd!(shell, "rustc -vV").quiet().read()?;
    let line = version.lines().find_map(|l| l.strip_prefix("host: "));
    Ok(line.map(Into::into).unwrap_or_else(|| "x86_64-unknown-linux-gnu".into()))
}
