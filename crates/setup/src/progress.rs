// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Telling a person what is going on and how long it takes.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

/// Hears what the set-up does.
///
/// One step runs at a time: `started`, any number of `advanced`, `finished`; or
/// `busy`, any number of `doing`, `finished`.
/// `message` may come at any time.
pub trait Progress: Sync {
    /// A step starts that will handle `total` bytes.
    fn started(&self, step: &str, total: u64);
    /// A step starts of which nobody knows how long it is.
    fn busy(&self, step: &str);
    /// Of the current step, `done` bytes are behind us (not a difference).
    fn advanced(&self, done: u64);
    /// What a step of unknown length is at.
    fn doing(&self, what: &str);
    /// The current step has ended well.
    fn finished(&self);
    /// One line worth knowing.
    fn message(&self, text: &str);
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn started(&self, _step: &str, _total: u64) {}
    fn busy(&self, _step: &str) {}
    fn advanced(&self, _done: u64) {}
    fn doing(&self, _what: &str) {}
    fn finished(&self) {}
    fn message(&self, _text: &str) {}
}

/// Shows a bar on a terminal, and plain lines where stderr is none.
#[derive(Debug)]
pub struct Terminal {
    style: Style,
}

#[derive(Debug)]
enum Style {
    Bar(Mutex<Option<ProgressBar>>),
    Lines(Mutex<Option<Line>>),
}

/// A step as plain lines tell it.
#[derive(Debug)]
struct Line {
    step: String,
    total: u64,
    started: Instant,
    last_said: Instant,
}

/// How often a plain line tells how far a long step is.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Terminal {
    /// Looks at stderr to choose between a bar and lines.
    pub fn new() -> Self {
        let style = if std::io::stderr().is_terminal() {
            Style::Bar(Mutex::new(None))
        } else {
            Style::Lines(Mutex::new(None))
        };
        Self { style }
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for Terminal {
    fn started(&self, step: &str, total: u64) {
        match &self.style {
            Style::Bar(slot) => *locked(slot) = Some(bar(step, total)),
            Style::Lines(slot) => {
                eprintln!("{step}: {}", HumanBytes(total));
                let now = Instant::now();
                *locked(slot) =
                    Some(Line { step: step.into(), total, started: now, last_said: now });
            }
        }
    }

    fn busy(&self, step: &str) {
        match &self.style {
            Style::Bar(slot) => *locked(slot) = Some(spinner(step)),
            Style::Lines(slot) => {
                eprintln!("{step}");
                let now = Instant::now();
                let line = Line { step: step.into(), total: 0, started: now, last_said: now };
                *locked(slot) = Some(line);
            }
        }
    }

    fn doing(&self, what: &str) {
        match &self.style {
            Style::Bar(slot) => {
                if let Some(bar) = &*locked(slot) {
                    bar.set_prefix(what.to_owned());
                    bar.tick();
                }
            }
            Style::Lines(slot) => {
                if let Some(line) = &mut *locked(slot)
                    && line.last_said.elapsed() >= LINE_EVERY
                {
                    eprintln!("{}: {what}", line.step);
                    line.last_said = Instant::now();
                }
            }
        }
    }

    fn advanced(&self, done: u64) {
        match &self.style {
            Style::Bar(slot) => {
                if let Some(bar) = &*locked(slot) {
                    bar.set_position(done);
                }
            }
            Style::Lines(slot) => {
                if let Some(line) = &mut *locked(slot)
                    && line.last_said.elapsed() >= LINE_EVERY
                {
                    eprintln!("{}: {} of {}", line.step, HumanBytes(done), HumanBytes(line.total));
                    line.last_said = Instant::now();
                }
            }
        }
    }

    fn finished(&self) {
        match &self.style {
            Style::Bar(slot) => {
                if let Some(bar) = locked(slot).take() {
                    bar.finish();
                }
            }
            Style::Lines(slot) => {
                if let Some(line) = locked(slot).take() {
                    eprintln!(
                        "{}: done in {:.1} s",
                        line.step,
                        line.started.elapsed().as_secs_f64()
                    );
                }
            }
        }
    }

    fn message(&self, text: &str) {
        match &self.style {
            Style::Bar(slot) => match &*locked(slot) {
                Some(bar) => bar.println(text),
                None => eprintln!("{text}"),
            },
            Style::Lines(_) => eprintln!("{text}"),
        }
    }
}

fn bar(step: &str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{msg:28} {bar:30} {binary_bytes:>11} of {binary_total_bytes} {elapsed:>4}",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style).with_message(step.to_owned())
}

fn spinner(step: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {spinner} {elapsed:>4} {prefix:.dim}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style).with_message(step.to_owned())
}

/// A thread that died while reporting progress spoils nothing.
fn locked<T>(slot: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
