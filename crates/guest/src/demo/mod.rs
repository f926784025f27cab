// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The example of the series that brought vfio-fsl-mc into Linux (2020), performed:
//! a container is made, handed to user space, used, and given back. Each step checks
//! that it really happened.

mod container;
mod hand_over;
mod story;
mod use_it;

use crate::cli::Demo;
use crate::failure::Failure;
use crate::modules::Modules;
use mc_abi::{ObjectId, ObjectType};
use std::process::ExitCode;
use story::Story;

/// What the demonstration knows as it goes.
struct Scene {
    /// The container whose children can be made.
    root: ObjectId,
    /// The container that is handed over.
    container: ObjectId,
    modules: Modules,
}

/// Performs the demonstration.
pub fn run(options: &Demo) -> ExitCode {
    let mut story = Story::new(options.json);
    match perform(options, &mut story) {
        Ok(()) => {
            if !options.json {
                println!("All {} steps happened as they should.", story.steps());
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("fslmc-guest demo: step {} failed: {failure}", story.steps());
            ExitCode::FAILURE
        }
    }
}

fn perform(options: &Demo, story: &mut Story) -> Result<(), Failure> {
    let root = ObjectId::new(ObjectType::Dprc, 1);
    let modules = Modules::of_image()?;
    let container = match options.container {
        Some(container) => container,
        None => container::make(story, root)?,
    };
    let scene = Scene { root, container, modules };
    hand_over::show_before(story, &scene)?;
    hand_over::load_modules(story, &scene)?;
    hand_over::bind(story, &scene)?;
    hand_over::show_followers(story, &scene)?;
    use_it::all(story, &scene)?;
    hand_over::give_back(story, &scene)?;
    if options.container.is_none() && !options.keep {
        container::destroy(story, &scene)?;
    }
    Ok(())
}
