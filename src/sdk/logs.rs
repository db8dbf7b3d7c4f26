//! What runs say: `tracing` events and prints become the logs of the run that they are said in.
//!
//! An event belongs to the run whose code is being polled; on a thread or task that the run has spawned by itself, to the run
//! in which the innermost `tracing` span was made, as `tokio::spawn(future.in_current_span())` gives it one.
//! [`spawn`](crate::prelude::spawn) and [`spawn_blocking`](crate::prelude::spawn_blocking) need none.
//!
//! The logs of a run have what `PREFECT_LOGGING_LEVEL` lets through; `RUST_LOG` is about the terminal alone. A program that sets
//! up `tracing` by itself adds [`layer()`] to its subscriber, else its runs have no logs but prints:
//!
//! ```
//! use tracing_subscriber::prelude::*;
//!
//! tracing_subscriber::registry()
//!     .with(tracing_subscriber::fmt::layer())
//!     .with(prefect_rs::sdk::logs::layer())
//!     .init();
//! ```
//!
//! Prints become logs in the bodies of flows and tasks. Other functions that these call have to ask for it, by name:
//!
//! ```
//! use prefect_rs::prelude::*;
//! use prefect_rs::sdk::logs::println;
//!
//! fn greet(name: &str) {
//!     println!("Hello, {name}!"); // a log of whichever run calls it
//! }
//!
//! #[task]
//! async fn welcome(name: String) {
//!     greet(&name);
//! }
//! ```

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::SecondsFormat;
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context as LayerContext;
use tracing_subscriber::registry::LookupSpan;
use uuid::Uuid;

use super::context::Context;
use crate::settings::Settings;
use crate::telemetry;

/// A longer message is cut, so that one line cannot fill the memory or a request.
const MAX_MESSAGE_BYTES: usize = 256 * 1024;

/// Whether some subscriber has the layer.
static HAS_LAYER: AtomicBool = AtomicBool::new(false);

/// Starts logging for a program of flows, unless the program logs already.
pub(crate) fn init(settings: &Settings) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let has_layer = HAS_LAYER.load(Ordering::Relaxed);
        let (level, format) = (settings.logging_level, settings.logging_format);
        let is_ours = telemetry::init_for_flows(level, format, RunLogs).is_ok();
        if !is_ours && !has_layer {
            tracing::warn!(
                target: "prefect",
                "runs have no logs but prints, since this program has a `tracing` subscriber of its own; \
                 add `prefect_rs::sdk::logs::layer()` to it"
            );
        }
    });
}

/// Returns the layer that makes events logs of their runs, for programs with a `tracing` subscriber of their own.
///
/// ```
/// use tracing_subscriber::prelude::*;
///
/// let subscriber = tracing_subscriber::registry().with(prefect_rs::sdk::logs::layer());
/// ```
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    RunLogs
}

/// What the spans of runs are called; our own lines on the terminal do not show them.
pub(crate) const SPANS: &str = "prefect::run";

/// Returns a span of a run: what the run spawns by itself `.in_current_span()` is logged as the run's.
pub(crate) fn span(context: &Context) -> tracing::Span {
    let name = match &context.task_run {
        Some(run) => &run.name,
        None => &context.flow_run.name,
    };
    // No level is to leave it out, since it says nothing by itself.
    tracing::error_span!(target: SPANS, "run", name)
}

struct RunLogs;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RunLogs {
    fn on_layer(&mut self, _: &mut S) {
        HAS_LAYER.store(true, Ordering::Relaxed);
    }

    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, layers: LayerContext<'_, S>) {
        if let (Some(context), Some(span)) = (Context::current(), layers.span(id)) {
            span.extensions_mut().insert(context);
        }
    }

    fn on_event(&self, event: &Event<'_>, layers: LayerContext<'_, S>) {
        if Context::with(|context| keep(context, event)).is_some() {
            return;
        }
        let spans = layers.event_scope(event).into_iter().flatten();
        for span in spans {
            if let Some(context) = span.extensions().get::<Context>() {
                return keep(context, event);
            }
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    level: u8,
    message: &'a str,
    timestamp: String,
    flow_run_id: Uuid,
    task_run_id: Option<Uuid>,
}

fn keep(context: &Context, event: &Event<'_>) {
    if !context.flow_run.engine.sends_logs {
        return;
    }
    let metadata = event.metadata();
    let mut message = Message(String::new());
    event.record(&mut message);
    let name = metadata.target().replace("::", ".");
    keep_line(context, &name, *metadata.level(), &message.0);
}

fn keep_line(context: &Context, name: &str, at: Level, message: &str) {
    let engine = &context.flow_run.engine;
    if !engine.sends_logs {
        return;
    }
    let line = Line {
        name,
        level: level(at),
        message: bounded(message),
        timestamp: engine.now().to_rfc3339_opts(SecondsFormat::Micros, true),
        flow_run_id: context.flow_run.id,
        task_run_id: context.task_run.as_ref().map(|run| run.id),
    };
    engine.logs.try_push(|body| {
        serde_json::to_writer(body, &line).expect("texts, numbers and ids are JSON");
    });
}

fn bounded(message: &str) -> &str {
    &message[..message.floor_char_boundary(MAX_MESSAGE_BYTES)]
}

/// Returns a level as Python counts it.
fn level(level: Level) -> u8 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

/// The message of an event, its other fields behind it.
struct Message(String);

impl Visit for Message {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.0.insert_str(0, value),
            name => self.add(name, format_args!("{value}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.0.insert_str(0, &format!("{value:?}")),
            name => self.add(name, format_args!("{value:?}")),
        }
    }
}

impl Message {
    fn add(&mut self, name: &str, value: fmt::Arguments<'_>) {
        write!(self.0, " {name}={value}").expect("a text takes everything");
    }
}

/// Where a print goes on the terminal.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub enum Stream {
    /// The standard output.
    #[doc(hidden)]
    Out,
    /// The standard error output.
    #[doc(hidden)]
    Error,
}

/// Whether an agent reads what this process prints, and makes it logs of the run.
static IS_READ_BY_AGENT: AtomicBool = AtomicBool::new(false);

/// Keeps prints of runs from the output that an agent makes logs of, since they are logs already.
///
/// They go to the error output instead, which an agent shows and nothing more.
pub(crate) fn leave_output_to_agent() {
    IS_READ_BY_AGENT.store(true, Ordering::Relaxed);
}

/// Makes a print a log of the run that it is printed in, and returns where it is to be shown.
///
/// Not an event: what a level, or a subscriber of the program's own, does with events is no matter of prints.
fn printed(to: Stream, line: impl FnOnce() -> String) -> Stream {
    let is_in_run = Context::with(|context| {
        let line = line();
        keep_line(context, "prefect.prints", Level::INFO, &line);
    });
    match is_in_run {
        Some(()) if IS_READ_BY_AGENT.load(Ordering::Relaxed) => Stream::Error,
        Some(()) | None => to,
    }
}

/// Prints a line: within a run also as a log of the run.
#[doc(hidden)]
pub fn print_line(to: Stream, line: fmt::Arguments<'_>) {
    match printed(to, || line.to_string()) {
        Stream::Out => std::println!("{line}"),
        Stream::Error => std::eprintln!("{line}"),
    }
}

/// Prints a part of a line, which is a log line by itself within a run.
#[doc(hidden)]
pub fn print_part(to: Stream, part: fmt::Arguments<'_>) {
    let line = || {
        let part = part.to_string();
        part.strip_suffix('\n').unwrap_or(&part).to_owned()
    };
    match printed(to, line) {
        Stream::Out => std::print!("{part}"),
        Stream::Error => std::eprint!("{part}"),
    }
}

/// Prints as the standard `println!` does, and makes it a log of the run that it is printed in.
#[doc(hidden)]
#[macro_export]
macro_rules! __println {
    () => { $crate::sdk::logs::print_line($crate::sdk::logs::Stream::Out, ::std::format_args!("")) };
    ($($argument:tt)*) => { $crate::sdk::logs::print_line($crate::sdk::logs::Stream::Out, ::std::format_args!($($argument)*)) };
}

/// Prints as the standard `eprintln!` does, and makes it a log of the run that it is printed in.
#[doc(hidden)]
#[macro_export]
macro_rules! __eprintln {
    () => { $crate::sdk::logs::print_line($crate::sdk::logs::Stream::Error, ::std::format_args!("")) };
    ($($argument:tt)*) => { $crate::sdk::logs::print_line($crate::sdk::logs::Stream::Error, ::std::format_args!($($argument)*)) };
}

/// Prints as the standard `print!` does, and makes it a log of the run that it is printed in.
#[doc(hidden)]
#[macro_export]
macro_rules! __print {
    ($($argument:tt)*) => { $crate::sdk::logs::print_part($crate::sdk::logs::Stream::Out, ::std::format_args!($($argument)*)) };
}

/// Prints as the standard `eprint!` does, and makes it a log of the run that it is printed in.
#[doc(hidden)]
#[macro_export]
macro_rules! __eprint {
    ($($argument:tt)*) => { $crate::sdk::logs::print_part($crate::sdk::logs::Stream::Error, ::std::format_args!($($argument)*)) };
}

#[doc(inline)]
pub use crate::{
    __eprint as eprint, __eprintln as eprintln, __print as print, __println as println,
};

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Returns where the last panic of this thread was, once.
pub(crate) fn last_panic() -> Option<String> {
    LAST_PANIC.take()
}

/// Notes where runs panic. Outside of runs, and where a backtrace is wanted, panics are told as ever.
pub(crate) fn listen_to_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let is_in_run = Context::with(|_| ()).is_some();
            LAST_PANIC.set(info.location().map(ToString::to_string));
            if !is_in_run || std::env::var_os("RUST_BACKTRACE").is_some() {
                before(info);
            }
        }));
    });
}
