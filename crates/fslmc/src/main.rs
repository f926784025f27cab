// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! DPAA2 without hardware.
#![forbid(unsafe_code)]

use clap::Parser;
use fslmc::{
    artifacts, check,
    cli::{self, Cli, Command},
    demo,
    kernel::KernelChoice,
    progress, replay, root, run, session, wire,
};
use miette::{IntoDiagnostic, Result};
use std::{
    io::{self, Write},
    process::ExitCode,
};

fn main() -> ExitCode {
    fsl_mc_linux::program::run(|| {
        command().unwrap_or_else(|error| {
            // Its reader may be gone.
            let _ = writeln!(io::stderr(), "Error: {error:?}");
            ExitCode::FAILURE
        })
    })
}

fn command() -> Result<ExitCode> {
    let cli = Cli::parse();
    // Paths in messages stay in one piece; the terminal wraps by itself.
    miette::set_hook(Box::new(|_| {
        Box::new(miette::MietteHandlerOpts::new().wrap_lines(false).build())
    }))?;
    fslmc::log::init();
    let code = match cli.command {
        Command::Demo(args) => demo::demo(&args)?,
        Command::Run(args) => run::run(&args)?,
        Command::Assign(args) => return Ok(fslmc_vmm::main("fslmc assign", &args.into())),
        Command::Board(cli::Board::Check { soc, files }) => {
            let packages = artifacts::board_packages(&*progress())?;
            let dtc = || session::dtc(&packages);
            check::check(&files, &board::dpl::Loader::new(&dtc), &soc)?;
            0
        }
        Command::Board(cli::Board::Replay { soc, dpl, dpc, containers, no_quirks, files }) => {
            let against = replay::Against {
                soc,
                layout: dpl,
                configuration: dpc,
                containers,
                quirks: !no_quirks,
            };
            let mut same = true;
            for file in &files {
                same &= replay::from_command_line(file, &against)?;
            }
            i32::from(!same)
        }
        Command::Board(cli::Board::Default) => {
            check::print_default();
            0
        }
        Command::Wire(args) => {
            wire::wire(&args)?;
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
    let driver = args.driver.0.unwrap_or_else(|| artifacts::Driver::usual(&kernel));
    let sets = driver.package_sets(&kernel);
    let progress = progress();
    if args.verify {
        cache.verify(sets, &*progress).into_diagnostic()?;
        // Other kernels and the guest's packages are none of these.
        let names: Vec<_> = sets.iter().map(|set| format!("`{}`", set.name())).collect();
        println!(
            "All files of the package sets {} in {} match their packages.",
            names.join(", "),
            cache.folder().display()
        );
        return Ok(());
    }
    let userland = args.userland.request().into_diagnostic()?;
    if args.refresh {
        cache.refresh(sets, &*progress).into_diagnostic()?;
        if let Some(request) = &userland {
            cache.refresh_userland(request, &*progress).into_diagnostic()?;
        }
        if let KernelChoice::Debian(version) = &kernel {
            cache.refresh_debian_kernel(version, &*progress).into_diagnostic()?;
        }
    }
    let artifacts = artifacts::Artifacts::with_kernel(&kernel, driver, &*progress)?;
    if let Some(request) = &userland {
        root::Root::of_packages(&artifacts, request, &*progress)?;
    }
    let driver = if artifacts.driver.is_some() { ", the driver built for it," } else { "" };
    println!(
        "Ready: Linux {}{driver} and its board in {}.",
        artifacts.kernel.release(),
        cache.folder().display()
    );
    Ok(())
}
