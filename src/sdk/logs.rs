//! What runs say: `tracing` events and prints become the logs of the run that they are said in.
//!
//! An event belongs to the run whose code is being polled; on a thread or task that the run has spawned by itself, to the run
//! in which the innermost `tracing` span was made.
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

/// Starts logging for a program of flows, unless the program logs already.
pub(crate) fn init(settings: &Settings) {
    // A program with a subscriber of its own adds `layer()` to it.
    let _ = telemetry::init_for_flows(settings.logging_level, settings.logging_format, RunLogs);
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

struct RunLogs;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RunLogs {
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
    let engine = &context.flow_run.engine;
    if !engine.sends_logs {
        return;
    }
    let metadata = event.metadata();
    let mut message = Message(String::new());
    event.record(&mut message);
    let line = Line {
        name: &metadata.target().replace("::", "."),
        level: level(*metadata.level()),
        message: bounded(&message.0),
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

/// Where a print goes outside of runs.
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

/// Prints a line: within a run as a log of the run.
#[doc(hidden)]
pub fn print_line(to: Stream, line: fmt::Arguments<'_>) {
    match (Context::with(|_| ()), to) {
        (Some(()), _) => tracing::info!(target: "prefect.prints", "{line}"),
        (None, Stream::Out) => std::println!("{line}"),
        (None, Stream::Error) => std::eprintln!("{line}"),
    }
}

/// Prints a part of a line, which is a log line by itself within a run.
#[doc(hidden)]
pub fn print_part(to: Stream, part: fmt::Arguments<'_>) {
    match (Context::with(|_| ()), to) {
        (Some(()), _) => {
            let part = part.to_string();
            let line = part.strip_suffix('\n').unwrap_or(&part);
            tracing::info!(target: "prefect.prints", "{line}");
        }
        (None, Stream::Out) => std::print!("{part}"),
        (None, Stream::Error) => std::eprint!("{part}"),
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
