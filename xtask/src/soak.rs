// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Traffic for a long time.

use anyhow::Result;
use xshell::{Shell, cmd};

/// Run mixed traffic in one boot and fail if buffers, queues or memory are used up.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Minutes of traffic; 0 is the shortest form, one round after the first ones.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
}

pub(crate) fn run(shell: &Shell, args: &Args) -> Result<()> {
    let minutes = args.minutes.to_string();
    // As the tests build it: the board is optimised there, too.
    let program = ["--package", "vm-tests", "--bin", "soak"];
    cmd!(shell, "cargo run --locked {program...} -- --minutes {minutes}").run()?;
    Ok(())
}
