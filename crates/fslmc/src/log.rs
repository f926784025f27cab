// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the board and the machine have to say on the terminal: sentences, not the
//! records of a log. `FSLMC_LOG=debug` shows those.

use std::{ffi::OsString, fmt};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Says what is shown: `debug`, `wires=trace,warn`.
const VARIABLE: &str = "FSLMC_LOG";

/// Starts to listen. Warnings are shown; with `FSLMC_LOG`, what that says.
pub fn init() {
    // What standard error does not take is lost. The subscriber would say so there, by what
    // panics when that fails, too: the thread that serves the board would end with it.
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).log_internal_errors(false);
    match filter(std::env::var_os(VARIABLE)) {
        Ok(Some(filter)) => log.with_env_filter(filter).init(),
        Ok(None) => log.with_env_filter("warn").event_format(Sentences).init(),
        Err(error) => {
            log.with_env_filter("warn").event_format(Sentences).init();
            tracing::warn!("{error}; warnings are shown, as without it");
        }
    }
}

/// What the variable asks for; an empty one is as good as none.
fn filter(variable: Option<OsString>) -> Result<Option<EnvFilter>, String> {
    let Some(text) = variable.filter(|text| !text.is_empty()) else { return Ok(None) };
    let wrong = |reason: &dyn fmt::Display| {
        format!("{VARIABLE}={} is not understood: {reason}", text.to_string_lossy())
    };
    let words = text.to_str().ok_or_else(|| wrong(&"it is not UTF-8"))?;
    EnvFilter::try_new(words).map(Some).map_err(|error| wrong(&error))
}

/// Writes `fslmc: warning: a command names memory that cannot be read (owner: dpni.0)`.
struct Sentences;

impl<S, N> FormatEvent<S, N> for Sentences
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let kind = match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        };
        writeln!(out, "fslmc: {kind}{}", said.sentence())
    }
}

/// An event's message and its fields, in words.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<String>,
}

impl Said {
    fn sentence(&self) -> String {
        match self.fields.is_empty() {
            true => self.message.clone(),
            false => format!("{} ({})", self.message, self.fields.join(", ")),
        }
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            // What went wrong needs no name.
            "error" | "fault" => self.fields.push(format!("{value:?}")),
            name => self.fields.push(format!("{}: {value:?}", name.replace('_', " "))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(data);
            Ok(data.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_wrong_filter_is_told() {
        assert!(filter(None).unwrap().is_none());
        assert!(filter(Some("".into())).unwrap().is_none());
        assert!(filter(Some("wires=trace,warn".into())).unwrap().is_some());
        let error = filter(Some("wires=loud".into())).unwrap_err();
        assert!(error.starts_with("FSLMC_LOG=wires=loud is not understood: "), "{error}");
    }

    #[test]
    fn a_warning_is_a_sentence() {
        let kept = Kept::default();
        let writer = kept.clone();
        let log = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .event_format(Sentences)
            .finish();
        tracing::subscriber::with_default(log, || {
            let (owner, fault) = ("dpni.0", "no mapping of 0x1000");
            tracing::warn!(%owner, %fault, "a command names memory that cannot be read");
            tracing::error!("the trace ends here");
            tracing::warn!(portal_number = 3, name = "x", "unanswered");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            "fslmc: warning: a command names memory that cannot be read (owner: dpni.0, no mapping \
             of 0x1000)\nfslmc: error: the trace ends here\nfslmc: warning: unanswered (portal \
             number: 3, name: x)\n"
        );
    }
}
