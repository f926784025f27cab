// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The example of the series that brought vfio-fsl-mc into Linux (2020), run:
//! a container is made, handed to user space, used, and given back. Each step checks
//! that it really happened.

mod binding;
mod container;
mod frames;
mod report;
mod usage;

use crate::cli::Demo;
use guest_agent::Failure;
use guest_agent::Modules;
use mc_abi::{ObjectId, ObjectType};
use report::Report;
use std::process::ExitCode;

/// What the steps share.
struct Context {
    /// The container whose children can be made.
    root: ObjectId,
    /// The container that is handed over.
    container: ObjectId,
    modules: Modules,
}

/// Runs the demonstration.
pub fn run(options: &Demo) -> ExitCode {
    let mut report = Report::new(options.json);
    match run_steps(options, &mut report) {
        Ok(()) => {
            if !options.json {
                println!("All {} steps happened as they should.", report.steps());
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("fslmc-guest demo: step {} failed: {failure}", report.steps());
            ExitCode::FAILURE
        }
    }
}

fn run_steps(options: &Demo, report: &mut Report) -> Result<(), Failure> {
    let root = ObjectId::new(ObjectType::Dprc, 1);
    let modules = Modules::of_image()?;
    let container = match options.container {
        Some(container) => container,
        None => container::make(report, root)?,
    };
    let context = Context { root, container, modules };
    binding::show_before(report, &context)?;
    binding::load_modules(report, &context)?;
    binding::bind(report, &context)?;
    binding::show_followers(report, &context)?;
    usage::all(report, &context)?;
    binding::give_back(report, &context)?;
    if options.container.is_none() && !options.keep {
        container::destroy(report, &context)?;
    }
    Ok(())
}
