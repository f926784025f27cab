// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Judges a `vfio-fsl-mc` driver, on any system with a container bound to it, by the
//! rules of its user API: those of `linux/vfio.h`, of the kernel's documentation, and
//! what programs know of Linux's own driver.
//!
//! Each check is a rule, its source, and a program that finds out whether the driver
//! keeps it. Rules that Linux's own driver breaks carry the number of the
//! [known defect](defects).
#![deny(unsafe_code)]

mod check;
mod context;
mod defects;
mod faults;
mod groups;
mod helper;
mod kernel;
mod mc;
mod patience;
mod report;
mod runner;
mod sys;

use check::Check;
use clap::Parser;
use context::Context;
use fsl_mc_linux::bus::{self, SYSFS};
use fsl_mc_linux::kmsg;
use report::{Place, Record, Totals};
use runner::Verdict;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

/// Checks a vfio-fsl-mc driver against the rules of its user API.
///
/// Prints TAP version 14. The exit code is 0 if all results are as expected, 1 if not,
/// 2 if the checks could not be run.
#[derive(Debug, Parser)]
#[command(name = "vfio-fsl-mc-conformance", version)]
struct Options {
    /// Container to use, such as dprc.2 (default: the only one bound to the driver)
    #[arg(long, value_name = "DPRC")]
    container: Option<String>,
    /// Another container bound to the driver, for checks that need two
    #[arg(long, value_name = "DPRC")]
    second_container: Option<String>,
    /// Run only this group (repeatable)
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// Run only this check, by name or group/name (repeatable)
    #[arg(long, value_name = "NAME")]
    check: Vec<String>,
    /// Also run checks that can crash or wedge a kernel with Linux's own driver
    #[arg(long)]
    dangerous: bool,
    /// Expect Linux's own driver: exactly the checks with a known defect must fail;
    /// implies --bind-again
    #[arg(long)]
    expect_defects: bool,
    /// Rebind the containers before each check that enables interrupts; Linux's own
    /// driver needs it (defect 2)
    #[arg(long)]
    bind_again: bool,
    /// Multiply the number of repetitions
    #[arg(long, value_name = "FACTOR", default_value_t = 1)]
    stress: u32,
    /// Multiply the time limits, for slow kernels
    #[arg(long, value_name = "FACTOR", default_value_t = 1)]
    patience: u32,
    /// Write the name of each check to the kernel's log before it runs
    #[arg(long)]
    kernel_log: bool,
    /// Write the results as JSON to a file; `-` writes them to standard output instead
    /// of TAP
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
    /// List the checks and exit
    #[arg(long)]
    list: bool,
    /// Print a table of the known defects of Linux's own driver and exit
    #[arg(long)]
    list_defects: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, first, path, context] = arguments.as_slice() {
        if first == runner::CHILD {
            return runner::child(path, context);
        }
    }
    if let [_, first, job @ ..] = arguments.as_slice() {
        if first == helper::ARGUMENT {
            return helper::run(job);
        }
    }
    fsl_mc_linux::program::run(|| match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("vfio-fsl-mc-conformance: {error}");
            ExitCode::from(2)
        }
    })
}

fn run(options: &Options) -> Result<ExitCode, Box<dyn std::error::Error>> {
    if options.list_defects {
        io::stdout().write_all(defects::table().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = choose(options)?;
    let to_stdout = options.json.as_deref() == Some("-");
    if options.list {
        let json = options.json.is_some();
        let text = if json { report::list_json(&chosen) } else { report::list(&chosen) };
        match options.json.as_deref() {
            Some(path) if path != "-" => std::fs::write(path, text)?,
            _ => io::stdout().write_all(text.as_bytes())?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let context = context(options)?;
    patience::multiply(context.patience);
    let place = place(&context);
    let say = |text: &str| -> io::Result<()> {
        if to_stdout {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    };
    say(&format!("TAP version 14\n1..{}\n", chosen.len()))?;
    let driver = place.driver.as_deref().unwrap_or("unknown");
    say(&format!("# kernel {}, driver's srcversion {driver}\n", place.kernel))?;
    say(&format!("# container {}\n", context.container))?;
    let mut records = Vec::new();
    let mut stage = runner::Stage::new(&context);
    for check in chosen {
        let (verdict, took) = if check.danger && !options.dangerous {
            let reason = "can crash Linux's own driver; --dangerous runs it".to_owned();
            (Verdict::Skip { reason }, Duration::ZERO)
        } else {
            if options.kernel_log {
                kmsg::Writer::open()
                    .and_then(|log| log.write(4, &format!("conformance: {}", check.path())))
                    .map_err(|error| format!("writing to {}: {error}", kmsg::PATH))?;
            }
            stage.clear();
            let bind_again = options.bind_again || options.expect_defects;
            runner::run(check, &context, bind_again)
        };
        let record = Record { check, verdict, took };
        say(&record.tap(records.len() + 1, options.expect_defects))?;
        records.push(record);
    }
    let totals = Totals::of(&records, options.expect_defects);
    say(&format!(
        "# {} passed, {} failed, {} skipped; {} not as expected\n",
        totals.passed, totals.failed, totals.skipped, totals.unexpected
    ))?;
    for record in records.iter().filter(|record| !record.as_expected(options.expect_defects)) {
        say(&format!("# not as expected: {}\n", record.check.path()))?;
    }
    match options.json.as_deref() {
        None => {}
        Some("-") => {
            let text = report::json(&place, &records, options.expect_defects);
            io::stdout().write_all(text.as_bytes())?;
        }
        Some(path) => {
            std::fs::write(path, report::json(&place, &records, options.expect_defects))
                .map_err(|error| format!("writing {path}: {error}"))?;
        }
    }
    Ok(if totals.unexpected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn choose(options: &Options) -> Result<Vec<&'static Check>, String> {
    let all: Vec<&'static Check> = groups::all().collect();
    for group in &options.group {
        if !all.iter().any(|check| check.group == group) {
            return Err(format!("there is no group {group}; --list shows all checks"));
        }
    }
    let is = |check: &Check, name: &str| check.name() == name || check.path() == name;
    for name in &options.check {
        if !all.iter().any(|check| is(check, name)) {
            return Err(format!("there is no check {name}; --list shows all checks"));
        }
    }
    let in_group = |check: &Check| {
        options.group.is_empty() || options.group.iter().any(|group| group == check.group)
    };
    let by_name = |check: &Check| {
        options.check.is_empty() || options.check.iter().any(|name| is(check, name))
    };
    let chosen: Vec<_> =
        all.into_iter().filter(|check| in_group(check) && by_name(check)).collect();
    if chosen.is_empty() {
        let (checks, groups) = (options.check.join(", "), options.group.join(", "));
        return Err(format!("no check {checks} is in the group {groups}; --list shows all checks"));
    }
    Ok(chosen)
}

fn context(options: &Options) -> Result<Context, String> {
    let bound = bound_containers().map_err(|error| {
        format!(
            "the fsl-mc bus has no driver {} ({error}): load its module and bind a container",
            bus::VFIO_DRIVER
        )
    })?;
    let known = || if bound.is_empty() { "none".to_owned() } else { bound.join(", ") };
    let container = match (&options.container, bound.as_slice()) {
        (Some(name), _) => name.clone(),
        (None, [only]) => only.clone(),
        (None, _) => {
            return Err(format!(
                "{} has not one container but: {}; name one by --container",
                bus::VFIO_DRIVER,
                known()
            ));
        }
    };
    for name in [Some(&container), options.second_container.as_ref()].into_iter().flatten() {
        if !bound.contains(name) {
            let driver = SYSFS.driver_of(name).map_or("none".to_owned(), |driver| driver);
            return Err(format!(
                "{name} is not bound to {} (its driver: {driver}); that has: {}",
                bus::VFIO_DRIVER,
                known()
            ));
        }
    }
    if options.second_container.as_ref() == Some(&container) {
        return Err("the second container must be another one".to_owned());
    }
    let second = options.second_container.clone();
    let (stress, patience) = (options.stress.max(1), options.patience.max(1));
    Ok(Context { container, second, stress, patience })
}

/// The containers that the driver has, by their numbers.
fn bound_containers() -> Result<Vec<String>, bus::Error> {
    let mut names = SYSFS.bound_to(bus::VFIO_DRIVER)?;
    names.retain(|name| bus::family(name) == "dprc");
    Ok(names)
}

fn place(context: &Context) -> Place {
    let read = |path| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    Place {
        container: context.container.clone(),
        second_container: context.second.clone(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        driver: read("/sys/module/vfio_fsl_mc/srcversion"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn checks_are_chosen_by_group_and_name() {
        let of = |arguments: &[&str]| {
            let all = ["program"].iter().chain(arguments);
            choose(&Options::try_parse_from(all).unwrap())
        };
        assert!(of(&["--group", "none"]).unwrap_err().contains("no group none"));
        let elsewhere = ["--group", "info", "--check", "close/kill-in-interrupts"];
        assert!(of(&elsewhere).unwrap_err().contains("no check close/kill-in-interrupts is in"));
        assert!(of(&["--check", "none"]).unwrap_err().contains("no check none"));
        let all = of(&[]).unwrap();
        let info = of(&["--group", "info"]).unwrap();
        assert!(!info.is_empty() && info.iter().all(|check| check.group == "info"));
        assert!(info.len() <= all.len());
        assert_eq!(of(&["--check", &all[0].path()]).unwrap().len(), 1);
    }
}
