// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Several threads and processes at one portal, and at several.

use super::util::{
    answers, exchange, fetch, of_family, offset_of, send, settled, status, without_object,
};
use crate::check::{Check, Outcome, Stop, check, done, ensure, fail, is, skip};
use crate::context::{self, Context};
use crate::sys::{in_a_fork, ioctl_number, start_fork, wait_for_fork};
use dprc::{Device, McPortal};
use fsl_mc_linux::bus;
use fsl_mc_linux::errno::name_or_number;
use fsl_mc_linux::ioctl::DEVICE_RESET;
use mc_abi::{Message, ObjectType, Token, common, dpmng};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const GROUP: Check = Check::group("concurrency").seconds(60);

const OWN: &str = "whoever writes a command and then reads wants the answer to that command";

/// The checks.
pub const CHECKS: &[Check] = &[
    check!(
        threads_of_one_file,
        "Of threads that share one file, each reads the answer to its own last command.",
        OWN
    )
    .defect(4),
    check!(
        threads_of_several_files,
        "Of threads that have a file of the same portal each, each reads the answer to its own \
         last command.",
        OWN
    )
    .defect(4),
    check!(
        processes,
        "Of processes that share one file, each reads the answer to its own last command.",
        OWN
    )
    .defect(4),
    check!(
        commands_arrive_whole,
        "Commands that several threads write at once reach the MC with their own parameters.",
        OWN
    )
    .defect(4),
    check!(
        a_portal_each,
        "Threads with a portal each do not disturb each other.",
        "C driver; DPDK gives each process a dpmcp"
    ),
    check!(
        mapped_next_to_written,
        "A mapped dpmcp and the container's portal by write work at the same time.",
        "C driver"
    ),
    check!(
        reader_that_never_wrote,
        "A thread that never wrote reads the portal as it stands.",
        "C driver: a read is a read of the portal"
    ),
    check!(
        an_answer_is_taken_once,
        "A read takes the answer to the reader's command; what it reads next is the portal as it \
         stands, with what others have sent since.",
        "C driver: a read is a read of the portal"
    ),
    check!(
        an_answer_waits,
        "An answer that is not read waits for its reader, whatever others send.",
        OWN
    )
    .defect(4),
    check!(
        readers_and_a_writer,
        "Threads that only read do not keep a writer from its answers.",
        OWN
    ),
    check!(
        commands_and_resets,
        "Commands by write and resets of other objects by VFIO do not disturb each other.",
        "the kernel sends its own commands through the container's portal"
    )
    .defect(4),
    check!(
        information_in_parallel,
        "Information, mappings and commands may be asked for by several threads at once.",
        "C driver"
    ),
    check!(
        close_under_a_command,
        "A file that is closed while another thread uses it stays open for that one.",
        "close(2); kernel: a call holds the file"
    ),
    check!(
        many_threads,
        "A hundred threads, one after the other and at once, each get their answer.",
        OWN
    )
    .defect(4),
    check!(
        child_of_a_writer,
        "A child process that never wrote reads the portal as it stands, and the parent its own \
         answer afterwards.",
        OWN
    ),
];

/// Commands that change nothing and whose answers are told apart, with these answers.
fn questions(device: &Device) -> Result<Vec<(Message, Message)>, Stop> {
    let mut all = vec![
        without_object(&dpmng::GetVersion {}),
        without_object(&dpmng::GetContainerId {}),
        without_object(&dpmng::GetSocVersion {}),
    ];
    for kind in [ObjectType::Dprc, ObjectType::Dpni, ObjectType::Dpio, ObjectType::Dpbp] {
        all.push(of_family(common::GET_API_VERSION, kind, Token::NONE, &()));
    }
    let mut answered = Vec::new();
    for command in all {
        let answer = exchange(device, &command)?;
        answers("a question", &command, &answer)?;
        answered.push((command, answer));
    }
    Ok(answered)
}

/// What went wrong in one of several threads.
type Trouble = String;

/// Asks again and again; each answer must be the one to the question.
fn ask(
    device: &Device,
    (command, expected): &(Message, Message),
    rounds: u32,
) -> Result<(), Trouble> {
    let mut wrong = 0;
    let mut first = None;
    for _ in 0..rounds {
        match send(device, 0, command).and_then(|_| fetch(device, 0)) {
            Ok(answer) if answer == *expected => {}
            got => {
                wrong += 1;
                first.get_or_insert(got);
            }
        }
    }
    match first {
        None => Ok(()),
        Some(got) => Err(format!(
            "{wrong} of {rounds} answers to command {:#x} are others, the first is {}",
            command.header.number(),
            match got {
                Ok(answer) => {
                    format!("to command {:#x}, status {}", answer.header.number(), status(&answer))
                }
                Err(errno) => name_or_number(errno),
            }
        )),
    }
}

/// Collects what threads report.
fn all_well(reports: Vec<Result<(), Trouble>>) -> Outcome {
    let troubles: Vec<String> = reports.into_iter().filter_map(Result::err).collect();
    let Some(first) = troubles.first() else { return Ok(()) };
    fail(
        "each answer is to the reader's own command",
        format!("it is not in {} threads or processes; the first: {first}", troubles.len()),
    )
}

/// Runs pieces of work at once.
fn at_once<'a>(
    work: impl IntoIterator<Item = Box<dyn FnOnce() -> Result<(), Trouble> + Send + 'a>>,
) -> Outcome {
    let reports = thread::scope(|scope| {
        let threads: Vec<_> = work.into_iter().map(|work| scope.spawn(work)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<(), Trouble>>| {
            thread.join().unwrap_or_else(|_| Err("a thread panicked".to_owned()))
        };
        threads.into_iter().map(join).collect()
    });
    all_well(reports)
}

fn threads_of_one_file(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    let questions = questions(&device)?;
    let (device, rounds) = (&device, context.times(500));
    at_once(questions.iter().take(4).map(|question| -> Box<dyn FnOnce() -> _ + Send> {
        Box::new(move || ask(device, question, rounds))
    }))
}

fn threads_of_several_files(context: &Context) -> Outcome {
    let held = context.hold()?;
    let first = held.dprc()?;
    let questions = questions(&first)?;
    let mut work: Vec<Box<dyn FnOnce() -> _ + Send>> = Vec::new();
    for question in questions.iter().take(4) {
        let (device, rounds) = (held.dprc()?, context.times(500));
        work.push(Box::new(move || ask(&device, question, rounds)));
    }
    at_once(work)
}

fn processes(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    let questions = questions(&device)?;
    let rounds = context.times(500);
    let mut children = Vec::new();
    for question in questions.iter().take(4) {
        let work = || u8::from(ask(&device, question, rounds).is_err());
        children.push(done("fork", start_fork(work))?);
    }
    let mut wrong = 0;
    for child in children {
        match done("waiting for a child", wait_for_fork(child))? {
            Ok(0) => {}
            Ok(1) => wrong += 1,
            other => return fail("a child that ends", format!("{other:?}")),
        }
    }
    is("processes with answers that are not theirs", wrong, 0)
}

fn commands_arrive_whole(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    let mut portal = device.portal()?;
    let open = super::util::open_container(&held, &mut portal)?;
    let objects = context.objects()?;
    // The same command with other parameters; the answer names the object.
    let mut asked = Vec::new();
    for name in objects.iter().take(4) {
        let id = super::util::identity(name)?;
        let ask = mc_abi::dprc::GetObjectDescription { id: id.id, kind: id.kind };
        let command = mc_abi::Request::message(&ask, open.token);
        asked.push((command, exchange(&device, &command)?));
    }
    if asked.len() < 2 {
        return skip("fewer than two objects in the container");
    }
    let (device, rounds) = (&device, context.times(500));
    at_once(asked.iter().map(|question| -> Box<dyn FnOnce() -> _ + Send> {
        Box::new(move || ask(device, question, rounds))
    }))?;
    Ok(portal.close(open)?)
}

fn a_portal_each(context: &Context) -> Outcome {
    let held = context.hold()?;
    let portals = context::portals(&held)?;
    let questions = questions(&held.dprc()?)?;
    let rounds = context.times(500);
    let pairs = portals.iter().zip(questions.iter().cycle());
    at_once(pairs.map(|(device, question)| -> Box<dyn FnOnce() -> _ + Send> {
        Box::new(move || ask(device, question, rounds))
    }))
}

fn mapped_next_to_written(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    let mapped = held.device(&context.first("dpmcp")?)?;
    if !mapped.region(0)?.mappable {
        return skip("the dpmcp is not a whole page");
    }
    let mut mapped = mapped.mapped_portal()?;
    let questions = questions(&device)?;
    let rounds = context.times(500);
    let (device, questions) = (&device, &questions);
    at_once([
        Box::new(move || ask(device, &questions[0], rounds)) as Box<dyn FnOnce() -> _ + Send>,
        Box::new(move || ask_portal(&mut mapped, &questions[1], rounds)),
    ])
}

fn ask_portal(
    portal: &mut McPortal,
    (command, expected): &(Message, Message),
    rounds: u32,
) -> Result<(), Trouble> {
    for _ in 0..rounds {
        let got = portal.exchange(command).map_err(|error| error.to_string())?;
        if got != *expected {
            return Err(format!("{got:?} through the mapping"));
        }
    }
    Ok(())
}

fn reader_that_never_wrote(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    exchange(&device, &without_object(&dpmng::GetVersion {}))?;
    // The kernel may have sent a command of its own since.
    let read = thread::scope(|scope| scope.spawn(|| settled(&device)).join());
    let Ok(read) = read else { return fail("a read", "the thread panicked") };
    done("a read by another thread", read)?;
    Ok(())
}

/// Runs a piece of work in another thread.
fn elsewhere<T: Send>(work: impl FnOnce() -> Result<T, Stop> + Send) -> Result<T, Stop> {
    let done = thread::scope(|scope| scope.spawn(work).join());
    done.unwrap_or_else(|_| fail("work in a thread", "the thread panicked"))
}

fn an_answer_is_taken_once(context: &Context) -> Outcome {
    let held = context.hold()?;
    let first = held.device(&context.first("dpmcp")?)?;
    for device in [held.dprc()?, first] {
        let questions = questions(&device)?;
        let [(one, answer), (other, others_answer), ..] = questions.as_slice() else {
            return fail("two questions", "less");
        };
        is("a thread's answer", &exchange(&device, one)?, answer)?;
        let got = elsewhere(|| exchange(&device, other))?;
        is("another thread's answer", &got, others_answer)?;
        let again = done("a read", fetch(&device, 0))?;
        is("the portal as it stands", &again, others_answer)?;
        // What others have not read is theirs still.
        elsewhere(|| done("a write", send(&device, 0, one)))?;
        is("the portal as it stands", &done("a read", fetch(&device, 0))?, answer)?;
    }
    Ok(())
}

fn an_answer_waits(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    let questions = questions(&device)?;
    let (asked, answered) = (Barrier::new(questions.len()), Barrier::new(questions.len()));
    let (device, asked, answered) = (&device, &asked, &answered);
    at_once(questions.iter().map(|(command, answer)| -> Box<dyn FnOnce() -> _ + Send> {
        Box::new(move || {
            let mut trouble = Ok(());
            for _ in 0..20 {
                let sent = send(device, 0, command);
                asked.wait();
                let got = fetch(device, 0);
                // All take part to the end, whatever they get.
                answered.wait();
                if sent != Ok(Message::SIZE) || got.as_ref() != Ok(answer) {
                    trouble = Err(format!("{sent:?}, {got:x?} to {command:x?}"));
                }
            }
            trouble
        })
    }))
}

fn readers_and_a_writer(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    let question = questions(&device)?.swap_remove(0);
    let (device, question, over) = (&device, &question, &AtomicBool::new(false));
    let rounds = context.times(500);
    let reader = || -> Result<(), Trouble> {
        while !over.load(Ordering::Relaxed) {
            fetch(device, 0)
                .map_err(|errno| format!("a read is refused with {}", name_or_number(errno)))?;
        }
        Ok(())
    };
    let writer = || {
        let report = ask(device, question, rounds);
        over.store(true, Ordering::Relaxed);
        report
    };
    at_once([Box::new(writer) as Box<dyn FnOnce() -> _ + Send>, Box::new(reader), Box::new(reader)])
}

fn commands_and_resets(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    let questions = questions(&device)?;
    let Some(name) = context.objects()?.into_iter().find(|name| {
        // What holds nothing that the commands are about.
        matches!(bus::family(name), "dpbp" | "dpcon" | "dpio")
    }) else {
        return skip("nothing in the container that can be reset meanwhile");
    };
    let other = held.device(&name)?;
    let (device, question, over) = (&device, &questions[0], &AtomicBool::new(false));
    let rounds = context.times(300);
    let resets = || -> Result<(), Trouble> {
        while !over.load(Ordering::Relaxed) {
            ioctl_number(&other, DEVICE_RESET, 0).map_err(|errno| {
                format!("a reset of {name} is refused with {}", name_or_number(errno))
            })?;
        }
        Ok(())
    };
    let commands = || {
        let report = ask(device, question, rounds);
        over.store(true, Ordering::Relaxed);
        report
    };
    at_once([Box::new(commands) as Box<dyn FnOnce() -> _ + Send>, Box::new(resets)])
}

fn information_in_parallel(context: &Context) -> Outcome {
    let held = context.hold()?;
    let devices: Vec<Device> =
        context.devices()?.iter().map(|name| held.device(name)).collect::<Result<_, _>>()?;
    let devices = &devices;
    let rounds = context.times(20);
    let look = move || -> Result<(), Trouble> {
        for device in devices.iter().cycle().take(devices.len() * rounds as usize) {
            for index in 0..device.info().regions {
                let region = device.region(index).map_err(|error| error.to_string())?;
                if region.offset != offset_of(index) {
                    return Err(format!("region {index} of {} is elsewhere", device.name()));
                }
                if region.mappable {
                    device.map_region(index).map_err(|error| error.to_string())?;
                }
            }
            for index in 0..device.info().irqs {
                device.irq(index).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    };
    at_once((0..4).map(|_| -> Box<dyn FnOnce() -> _ + Send> { Box::new(look) }))
}

fn close_under_a_command(context: &Context) -> Outcome {
    let held = context.hold()?;
    let questions = questions(&held.dprc()?)?;
    let question = &questions[0];
    for _ in 0..context.times(20) {
        let device = held.dprc()?;
        let copy = device.clone();
        let user = thread::scope(|scope| {
            let user = scope.spawn(move || ask(&copy, question, 5));
            drop(device);
            user.join().unwrap_or_else(|_| Err("a thread panicked".to_owned()))
        });
        all_well(vec![user])?;
    }
    Ok(())
}

fn many_threads(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    let questions = questions(&device)?;
    let device = &device;
    for question in questions.iter().cycle().take(100) {
        at_once([Box::new(move || ask(device, question, 1)) as Box<dyn FnOnce() -> _ + Send>])?;
    }
    let all = questions.iter().cycle().take(100);
    let rounds = context.times(10);
    at_once(all.map(|question| -> Box<dyn FnOnce() -> _ + Send> {
        Box::new(move || ask(device, question, rounds))
    }))
}

fn child_of_a_writer(context: &Context) -> Outcome {
    let held = context.hold()?;
    let device = held.dprc()?;
    let questions = questions(&device)?;
    let (own, childs) = (&questions[0], &questions[1]);
    is("the parent's answer", exchange(&device, &own.0)?, own.1)?;
    // The kernel may have sent a command of its own since.
    let ended = in_a_fork(|| u8::from(settled(&device).is_err()));
    is("the child reads the portal as it stands", done("fork", ended)?, Ok(0))?;
    is("the parent reads its answer", done("a read", fetch(&device, 0))?, own.1)?;
    // The child's command; then the parent sends its own.
    let ended = in_a_fork(|| u8::from(ask(&device, childs, 3).is_err()));
    is("the child gets its own answers", done("fork", ended)?, Ok(0))?;
    let start = Instant::now();
    is("the parent's answer", exchange(&device, &own.0)?, own.1)?;
    ensure(start.elapsed() < Duration::from_secs(1), "an answer at once", || {
        format!("{} ms", start.elapsed().as_millis())
    })?;
    is("the same, read again", done("a read", fetch(&device, 0))?, own.1)
}
