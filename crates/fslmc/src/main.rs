// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! DPAA2 without hardware.
#![forbid(unsafe_code)]

use clap::Parser;
use fslmc::{
    check,
    cli::{self, Cli, Command},
    demo,
    kernel::KernelChoice,
    kit, progress, root, run, session,
};
use miette::{IntoDiagnostic, Result};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    // Paths in messages stay in one piece; the terminal wraps by itself.
    miette::set_hook(Box::new(|_| {
        Box::new(miette::MietteHandlerOpts::new().wrap_lines(false).build())
    }))?;
    let filter = EnvFilter::try_from_env("FSLMC_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let code = match cli.command {
        Command::Demo(args) => demo::demo(&args)?,
        Command::Run(args) => run::run(&args)?,
        Command::Board(cli::Board::Check { soc, files }) => {
            let parts = kit::board_parts(&*progress())?;
            let dtc = || session::dtc(&parts);
            check::check(&files, &board::dpl::Loader::new(&dtc), &soc)?;
            0
        }
        Command::Board(cli::Board::Default) => {
            check::print_default()?;
            0
        }
        Command::Setup(args) => {
            set_up(&args)?;
            0
        }
    };
    // A code of the guest's beyond a byte is a failure all the same.
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

fn set_up(args: &cli::Setup) -> Result<()> {
    use setup::Cache;
    let cache = Cache::from_env().into_diagnostic()?;
    let kernel = args.kernel.choice()?;
    let driver = args.driver.unwrap_or_else(|| kit::Driver::usual(&kernel));
    let needs = driver.needs();
    let progress = progress();
    if args.verify {
        cache.verify(needs, &*progress).into_diagnostic()?;
        println!("Everything in {} is as the packages had it.", cache.folder().display());
        return Ok(());
    }
    let userland = args.userland.request().into_diagnostic()?;
    if args.refresh {
        cache.refresh(needs, &*progress).into_diagnostic()?;
        if let Some(request) = &userland {
            cache.refresh_userland(request, &*progress).into_diagnostic()?;
        }
        if let KernelChoice::Debian(version) = &kernel {
            cache.refresh_debian_kernel(version, &*progress).into_diagnostic()?;
        }
    }
    let kit = kit::Kit::with_kernel(&kernel, driver, &*progress)?;
    if let Some(request) = &userland {
        root::Root::of_packages(&kit, request, &*progress)?;
    }
    let driver = if kit.driver.is_some() { ", the driver built for it," } else { "" };
    println!(
        "Ready: Linux {}{driver} and its board in {}.",
        kit.kernel.release(),
        cache.folder().display()
    );
    Ok(())
}
