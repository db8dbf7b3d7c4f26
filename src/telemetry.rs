//! What this process logs, and how the lines look.
//!
//! Lines go to stderr in the form that Prefect's users know (`12:00:00.000 | INFO    | prefect.agent - message`), or as one
//! JSON object each. Our own modules log from the level that is set; libraries only what is wrong with them.
//! `RUST_LOG` overrides both, for whoever looks for a fault.

use std::{fmt, io::IsTerminal};

use chrono::Local;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer, time::FormatTime},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::{SubscriberInitExt, TryInitError},
};

use crate::{
    clock::{Clock, SystemClock},
    settings::{LogFormat, LogLevel},
};

/// Starts logging for this process; fails if something logs already.
pub fn init(level: LogLevel, format: LogFormat) -> Result<(), TryInitError> {
    tracing_subscriber::registry()
        .with(filter(level))
        .with(terminal(format))
        .try_init()
}

/// Starts logging for a program of flows, whose events also go to `layer`: from the level that is set, whatever
/// `RUST_LOG` shows on the terminal.
#[cfg(feature = "sdk")]
pub(crate) fn init_for_flows<L>(
    level: LogLevel,
    format: LogFormat,
    layer: L,
) -> Result<(), TryInitError>
where
    L: Layer<tracing_subscriber::Registry> + Send + Sync,
{
    use tracing_subscriber::filter::{FilterExt, filter_fn};
    let is_shown = |metadata: &tracing::Metadata<'_>| metadata.target() != crate::sdk::logs::SPANS;
    let shown = EnvFilter::try_from_default_env().unwrap_or_else(|_| filter_for_flows(level));
    tracing_subscriber::registry()
        .with(layer.with_filter(filter_for_flows(level)))
        .with(terminal(format).with_filter(shown.and(filter_fn(is_shown))))
        .try_init()
}

/// Warns of something that a person waits for, on stderr where nothing logs: most commands do not.
#[cfg(feature = "server")]
pub(crate) fn warn_whoever_waits(text: &str) {
    match tracing::dispatcher::has_been_set() {
        true => tracing::warn!("{text}"),
        false => eprintln!("Warning: {text}"),
    }
}

/// Returns what writes lines to the terminal.
fn terminal<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // It would be told on stderr, and panic: a terminal that was closed must not end who goes on without it.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => layer
            .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .event_format(Line)
            .boxed(),
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_timer(Timestamp)
            .boxed(),
    }
}

fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,prefect_rs={}", directive(level))))
}

/// What flows say is wanted from the level that is set, whatever their modules are called; what the machinery says is not.
#[cfg(feature = "sdk")]
fn filter_for_flows(level: LogLevel) -> EnvFilter {
    const QUIET: &str = "hyper=warn,hyper_util=warn,reqwest=warn,h2=warn,rustls=warn,sqlx=warn,tower=warn,tower_http=warn,\
                         prefect_rs::server=warn,prefect_rs::server::unavailable=off,prefect_rs::db=warn";
    EnvFilter::new(format!("{},{QUIET}", directive(level)))
}

fn directive(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warning => "warn",
        LogLevel::Error | LogLevel::Critical => "error",
    }
}

/// RFC 3339 in UTC, from our clock.
struct Timestamp;

impl FormatTime for Timestamp {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(
            writer,
            "{}",
            SystemClock.now().format("%Y-%m-%dT%H:%M:%S%.6fZ")
        )
    }
}

/// One line for people.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = SystemClock.now().with_timezone(&Local);
        let (name, color) = level(*event.metadata().level());
        write!(writer, "{} | ", now.format("%H:%M:%S%.3f"))?;
        match writer.has_ansi_escapes() {
            true => write!(writer, "\x1b[{color}m{name:<7}\x1b[0m")?,
            false => write!(writer, "{name:<7}")?,
        }
        write!(writer, " | {} - ", logger(event.metadata().target()))?;
        context
            .field_format()
            .format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// Returns the level's Python name and its colour.
fn level(level: Level) -> (&'static str, u8) {
    match level {
        Level::ERROR => ("ERROR", 31),
        Level::WARN => ("WARNING", 33),
        Level::INFO => ("INFO", 36),
        Level::DEBUG | Level::TRACE => ("DEBUG", 90),
    }
}

/// Returns a module as Prefect names its loggers: `prefect_rs::agent::executor` is `prefect.agent`.
fn logger(target: &str) -> String {
    match target.strip_prefix("prefect_rs::") {
        Some(module) => format!("prefect.{}", module.split("::").next().unwrap_or(module)),
        None => target.replace("::", "."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_named_as_prefect_names_its_loggers() {
        assert_eq!(logger("prefect_rs::agent::executor"), "prefect.agent");
        assert_eq!(logger("prefect_rs"), "prefect_rs");
        assert_eq!(logger("hyper::proto"), "hyper.proto");
    }
}
