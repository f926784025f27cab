// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A command of user space that the MC answers late or never: who waits, how, for how
//! long, and what becomes of the portal.
//!
//! The rules are those of the project's driver; Linux's own breaks them, and the tests
//! say in which way, so that they run with either.

use crate::{guest::SESSION, trial};
use anyhow::{Context, Result, ensure};
use board::faults::{Action, Faults, Rule};
use fslmc::artifacts;
use libtest_mimic::Trial;
use mc_abi::{ObjectType, Status};
use std::{
    thread,
    time::{Duration, Instant},
};
use vm_tests::{LineSession, TestVm, TestVmBuilder, patience};

pub fn trials() -> Vec<Trial> {
    type Test = fn(Driver) -> Result<()>;
    let tests: [(&str, Test); 9] = [
        ("never_answered", never_answered),
        ("answered_late", answered_late),
        ("slow_is_not_late", slow_is_not_late),
        ("others_wait_their_turn", others_wait_their_turn),
        ("kill", kill),
        ("waits_asleep", waits_asleep),
        ("after_the_users_end", after_the_users_end),
        ("unbind_of_a_hung_container", unbind_of_a_hung_container),
        ("reset_that_fails", reset_that_fails),
    ];
    let each = |driver: Driver, name: &'static str| {
        tests.map(|(test, run)| trial(format!("recovery::{name}::{test}"), move || run(driver)))
    };
    each(Driver::Own, "rust").into_iter().chain(each(Driver::Linux, "stock")).collect()
}

/// How long a driver waits for an answer.
const LIMIT: Duration = Duration::from_secs(5);

/// What is at once, on a busy host.
const AT_ONCE: Duration = Duration::from_millis(2500);

const GET_ATTRIBUTES: u16 = 0x004;

/// Whose driver is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driver {
    /// The project's.
    Own,
    /// The one that comes with the kernel.
    Linux,
}

impl Driver {
    fn test_vm(self) -> Result<TestVmBuilder> {
        Ok(TestVm::with("default")?.driver(match self {
            Self::Own => artifacts::Driver::Rust,
            Self::Linux => artifacts::Driver::Stock,
        }))
    }
}

/// What happens to the next question for a dpbp's attributes.
fn next(vm: &mut TestVm, action: Action) -> Result<()> {
    let mut faults = Faults::default();
    let kind = Some(ObjectType::Dpbp);
    faults.add(Rule { kind, number: Some(GET_ATTRIBUTES), action, times: Some(1) });
    vm.board()?.mc().set_faults(faults);
    Ok(())
}

fn works(session: &mut LineSession) -> Result<()> {
    let said = session.request("show dpbp.4")?;
    ensure!(said.contains("id: 4"), "attributes of dpbp.4: {said}");
    Ok(())
}

/// The command that was given up is still the MC's: the next one must not be written
/// over it.
fn is_busy(session: &mut LineSession) -> Result<()> {
    let start = Instant::now();
    session.request_refused("show dpbp.4", &["errno 16"])?;
    ensure!(start.elapsed() < AT_ONCE, "it is refused after {:?}", start.elapsed());
    Ok(())
}

fn times_out(session: &mut LineSession) -> Result<Instant> {
    let start = Instant::now();
    session.request_refused("show dpbp.4", &["GetAttributes", "errno 110"])?;
    let waited = start.elapsed();
    ensure!(waited >= LIMIT.mul_f32(0.9), "it is given up after {waited:?}");
    ensure!(waited < LIMIT * 3, "it is given up after {waited:?} only");
    Ok(start)
}

/// Waits as long as the limit and no longer; then the portal is busy, for ever.
fn never_answered(driver: Driver) -> Result<()> {
    driver.test_vm()?.run(|vm| {
        vm.bind(&["dprc.2"])?;
        next(vm, Action::Hang)?;
        vm.session(&SESSION, |session| {
            session.request("open dprc.2")?;
            times_out(session)?;
            if driver == Driver::Linux {
                // The next command is written over the one in flight.
                return works(session);
            }
            for _ in 0..3 {
                is_busy(session)?;
            }
            // Another portal of the container is none the worse.
            ensure!(session.request("ask dpmcp.17")?.starts_with("10."), "the mapped portal");
            Ok(())
        })
    })
}

/// Late, but answered: the portal works again, and the late answer is nobody's.
fn answered_late(driver: Driver) -> Result<()> {
    let delay = LIMIT + Duration::from_secs(4);
    driver.test_vm()?.run(|vm| {
        vm.bind(&["dprc.2"])?;
        vm.session(&SESSION, |session| session.request("open dprc.2").map(drop))?;
        next(vm, Action::Delay(delay))?;
        vm.session(&SESSION, |session| {
            session.request("open dprc.2")?;
            let start = times_out(session)?;
            if driver == Driver::Own {
                is_busy(session)?;
            } else {
                works(session)?;
            }
            thread::sleep((delay + AT_ONCE).saturating_sub(start.elapsed()));
            for _ in 0..20 {
                works(session)?;
            }
            Ok(())
        })
    })
}

/// Below the limit, a command takes as long as it takes, again and again.
fn slow_is_not_late(driver: Driver) -> Result<()> {
    let delay = Duration::from_millis(1500);
    driver.test_vm()?.run(|vm| {
        vm.bind(&["dprc.2"])?;
        for _ in 0..3 {
            next(vm, Action::Delay(delay))?;
            vm.session(&SESSION, |session| {
                session.request("open dprc.2")?;
                let start = Instant::now();
                works(session)?;
                ensure!(start.elapsed() >= delay, "answered after {:?}", start.elapsed());
                works(session)
            })?;
        }
        Ok(())
    })
}

/// Says lines to a program in the background and leaves its answers in a file.
const BACKGROUND: &str = "mkdir -p /tmp; rm -f /tmp/in /tmp/out; mkfifo /tmp/in
fslmc-guest vfio session </tmp/in >/tmp/out 2>&1 & pid=$!
exec 3>/tmp/in
say() { echo \"$*\" >&3; }
answers() { n=0; while [ $(wc -l </tmp/out) -lt $1 ]; do
  n=$((n + 1)); [ $n -gt 600 ] && { cat /tmp/out; exit 9; }; sleep 0.1; done; }
now() { cut -d' ' -f1 /proc/uptime; }
ticks() { cut -d' ' -f14,15 /proc/$1/stat; }
";

/// While user space waits for its answer, a command of the kernel through the same
/// portal waits, too.
fn others_wait_their_turn(driver: Driver) -> Result<()> {
    driver.test_vm()?.run(|vm| {
        vm.bind(&["dprc.2"])?;
        next(vm, Action::Delay(Duration::from_secs(3)))?;
        vm.session(&SESSION, |session| {
            session.request("open dprc.2")?;
            let said = session.try_request("show-while-reset dpbp.4")?;
            let good = said.starts_with("ok") && said.contains("id: 4");
            // Linux's own driver writes the kernel's command over that of user space,
            // which finds an answer that is not its own.
            ensure!(good == (driver == Driver::Own), "{driver:?}: {said}");
            works(session)
        })
    })
}

/// What a driver that sleeps takes less than, and one that spins more.
fn little() -> Duration {
    Duration::from_secs(patience().min(2).into())
}

/// SIGKILL ends the wait; another process has the device open, so that this is not its
/// last close, which resets it.
fn kill(driver: Driver) -> Result<()> {
    driver.test_vm()?.run(|vm| {
        vm.bind(&["dprc.2"])?;
        next(vm, Action::Delay(LIMIT.mul_f32(0.9)))?;
        let script = format!(
            "{BACKGROUND}say open dprc.2; say lend dprc.2 20; answers 2; say show dpbp.4; sleep 1
from=$(now); kill -9 $pid; wait $pid; echo $from $(now)"
        );
        let said = vm.sh(&script)?;
        let took = difference(&said)?;
        match driver {
            Driver::Own => ensure!(took < little().as_secs_f64(), "it takes {took} s"),
            // It spins on, until the answer comes.
            Driver::Linux => ensure!(took > 2.0, "it takes {took} s only"),
        }
        // The board has answered by then.
        thread::sleep(LIMIT);
        vm.session(&SESSION, |session| {
            // The sleeper's file keeps the group.
            let end = Instant::now() + 4 * LIMIT;
            while let Err(error) = session.request("open dprc.2") {
                ensure!(Instant::now() < end, "{error:#}");
                thread::sleep(Duration::from_millis(500));
            }
            works(session)
        })
    })
}

/// The difference of the two numbers on the last line.
fn difference(text: &str) -> Result<f64> {
    let line = text.lines().last().with_context(|| format!("no line in {text:?}"))?;
    let numbers: Vec<f64> = line
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .context(text.to_owned())?;
    let [from, to] = numbers.as_slice() else { anyhow::bail!("two numbers in {text:?}") };
    Ok(to - from)
}

/// Who waits does not use the processor.
fn waits_asleep(driver: Driver) -> Result<()> {
    let delay = LIMIT.mul_f32(0.9);
    driver.test_vm()?.run(|vm| {
        vm.bind(&["dprc.2"])?;
        next(vm, Action::Delay(delay))?;
        let script = format!(
            "{BACKGROUND}say open dprc.2; answers 1; from=$(ticks $pid)
say show dpbp.4; answers 2; echo $from $(ticks $pid)"
        );
        let said = vm.sh(&script)?;
        let numbers: Vec<u64> = said
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .with_context(|| said.clone())?;
        let [user, kernel, user_then, kernel_then] = numbers.as_slice() else {
            anyhow::bail!("four numbers in {said:?}")
        };
        // Hundredths of a second.
        let used = user_then + kernel_then - user - kernel;
        match driver {
            Driver::Own => {
                ensure!(used < little().as_secs() * 100, "{used} ticks in {delay:?}");
            }
            Driver::Linux => ensure!(used > 200, "{used} ticks in {delay:?} only"),
        }
        Ok(())
    })
}

/// The user ends while the MC still owes an answer. Once it has come, the next user
/// finds a container that works.
fn after_the_users_end(driver: Driver) -> Result<()> {
    let delay = LIMIT + Duration::from_secs(6);
    driver.test_vm()?.limit(Duration::from_secs(180)).run(|vm| {
        vm.bind(&["dprc.2"])?;
        next(vm, Action::Delay(delay))?;
        let start = Instant::now();
        vm.session(&SESSION, |session| {
            session.request("open dprc.2")?;
            session.request("irq dpbp.5")?;
            times_out(session).map(drop)
        })?;
        thread::sleep((delay + 2 * AT_ONCE).saturating_sub(start.elapsed()));
        vm.session(&SESSION, |session| {
            session.request("open dprc.2")?;
            if driver == Driver::Own {
                // The answer was for the user before.
                let shown = session.request("shown dprc.2")?;
                let number = u16::from_str_radix(shown.get(2..5).unwrap_or_default(), 16);
                ensure!(number.is_ok_and(|number| number != GET_ATTRIBUTES), "it shows {shown}");
            }
            works(session)?;
            session.request("reset dprc.2")?;
            works(session)
        })?;
        vm.sh("fslmc-guest release dprc.2")?;
        vm.bind(&["dprc.2"])?;
        vm.session(&SESSION, |session| {
            session.request("open dprc.2")?;
            works(session)
        })
    })
}

const CLOSE: u16 = 0x800;
const RESET: u16 = 0x005;

/// A container whose portal owes an answer is not closed at its unbind: that would take a
/// command, written over the one in flight. The kernel tells of a close that is refused.
fn unbind_of_a_hung_container(driver: Driver) -> Result<()> {
    driver.test_vm()?.run(|vm| {
        vm.bind(&["dprc.2"])?;
        next(vm, Action::Hang)?;
        vm.session(&SESSION, |session| {
            session.request("open dprc.2")?;
            times_out(session).map(drop)
        })?;
        let mut faults = Faults::default();
        let kind = Some(ObjectType::Dprc);
        let action = Action::Status(Status::Busy);
        faults.add(Rule { kind, number: Some(CLOSE), action, times: None });
        vm.board()?.mc().set_faults(faults);
        vm.sh("echo dprc.2 > /sys/bus/fsl-mc/drivers/vfio-fsl-mc/unbind")?;
        let closed = vm.sh("dmesg")?.contains("dprc_close() failed");
        ensure!(closed == (driver == Driver::Linux), "{driver:?}: closed: {closed}");
        vm.board()?.mc().set_faults(Faults::default());
        // The one who asked is gone, so the portal may be used afresh.
        vm.bind(&["dprc.2"])?;
        vm.session(&SESSION, |session| {
            session.request("open dprc.2")?;
            works(session)
        })
    })
}

/// An object whose reset at the last close has failed is reset before it is opened again, and
/// not opened as long as that fails.
fn reset_that_fails(driver: Driver) -> Result<()> {
    driver.test_vm()?.run(|vm| {
        vm.bind(&["dprc.2"])?;
        let mut faults = Faults::default();
        let kind = Some(ObjectType::Dpmcp);
        let action = Action::Status(Status::Busy);
        // At the close, and at the next opening.
        faults.add(Rule { kind, number: Some(RESET), action, times: Some(2) });
        vm.board()?.mc().set_faults(faults);
        let open = |vm: &mut TestVm, refused: bool| {
            vm.session(&SESSION, |session| {
                session.request("open dprc.2")?;
                if refused {
                    session.request_refused("ask dpmcp.17", &["EIO"]).map(drop)
                } else {
                    session.request("ask dpmcp.17").map(drop)
                }
            })
        };
        open(vm, false)?;
        if driver == Driver::Own {
            open(vm, true)?;
        }
        open(vm, false)
    })
}
