//! The `main` of a program of flows.
//!
//! One program may have several flows. Started by a person it runs what [`main!`](crate::main) says, or the flow that is
//! named on its command line; started by an agent it carries out the run it was started for; asked by
//! `prefect-rs deployment create` it describes its flows.

use std::process::ExitCode;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::context;
use super::engine::{Engine, flow_runs, on_runtime, signals};
use super::flow::{Flow, FlowCall, FlowCallInner, FlowDefinition};
use super::logs;
use super::outcome::RunError;
use super::value::{Input, Source};

/// Set by whoever wants the program to describe its flows.
pub(crate) const DESCRIBE: &str = "PREFECT__DESCRIBE_FLOWS";
/// Set by whoever starts the program for a run.
pub(crate) const FLOW_RUN_ID: &str = "PREFECT__FLOW_RUN_ID";
/// Set beside it: the name of the flow.
pub(crate) const FLOW_NAME: &str = "PREFECT__FLOW_NAME";

/// What says backwards that a program was made by [`main!`](crate::main).
///
/// Backwards, so that a program that only looks for it does not have it.
pub(crate) const MARK_REVERSED: [u8; 32] = *b"1v//margorp-wolf-sr-tceferp//<~:";

/// Returns what says that a program was made by [`main!`](crate::main).
///
/// A program is only asked to describe its flows when its file contains this, since any other might do anything when started.
#[doc(hidden)]
pub const fn mark() -> [u8; 32] {
    let mut mark = MARK_REVERSED;
    let mut i = 0;
    while i < mark.len() / 2 {
        let other = mark.len() - 1 - i;
        (mark[i], mark[other]) = (mark[other], mark[i]);
        i += 1;
    }
    mark
}

/// Makes the `main` of a program of flows.
///
/// A flow with arguments is run when the program is started by hand; any flow can be named on its command line
/// (`program pipeline msg=hello`) and deployed.
///
/// ```no_run
/// use prefect_rs::prelude::*;
///
/// #[flow]
/// async fn pipeline(msg: String) -> Result<()> {
///     println!("{msg}");
///     Ok(())
/// }
///
/// #[flow]
/// async fn cleanup(#[default(7)] days: u32) -> Result<()> {
///     println!("removing what is older than {days} days");
///     Ok(())
/// }
///
/// prefect_rs::main!(pipeline("Hello"), cleanup);
/// ```
#[macro_export]
macro_rules! main {
    (@call $($flow:ident)::+) => { ::std::option::Option::None };
    (@call $($flow:ident)::+ ( $($argument:expr),* )) => {
        ::std::option::Option::Some((|| $crate::sdk::program::by_hand($($flow)::+($($argument),*))) as _)
    };
    ($( $($flow:ident)::+ $( ( $($argument:expr),* $(,)? ) )? ),+ $(,)?) => {
        fn main() -> ::std::process::ExitCode {
            #[used]
            static MARK: [u8; 32] = $crate::sdk::program::mark();
            $crate::sdk::program::main(&[
                $( $crate::sdk::program::Entry::of::<$($flow)::+>(
                    $crate::main!(@call $($flow)::+ $( ( $($argument),* ) )?)
                ) ),+
            ])
        }
    };
}

/// What a person starts.
#[doc(hidden)]
pub type ByHand = fn() -> BoxFuture<'static, Result<(), RunError>>;

/// A flow of a program.
#[doc(hidden)]
pub struct Entry {
    definition: &'static FlowDefinition,
    by_hand: Option<ByHand>,
}

impl Entry {
    /// Makes one of a flow, and of what runs it when the program is started by hand.
    #[doc(hidden)]
    pub fn of<F: Flow>(by_hand: Option<ByHand>) -> Self {
        Self {
            definition: F::definition(),
            by_hand,
        }
    }
}

/// Runs a call whose result nobody asks for.
#[doc(hidden)]
pub fn by_hand<T>(call: FlowCall<T>) -> BoxFuture<'static, Result<(), RunError>> {
    let run = flow_runs::run(call.call);
    Box::pin(async { run.await.map(drop) })
}

/// Does what the program was started for.
#[doc(hidden)]
pub fn main(entries: &[Entry]) -> ExitCode {
    if let Some(name) = named_twice(entries) {
        eprintln!("Error: two flows are named `{name}`; give one of them another `name`");
        return ExitCode::FAILURE;
    }
    if std::env::var_os(DESCRIBE).is_some() {
        std::println!("{}", describe(entries));
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match (std::env::var(FLOW_RUN_ID), &arguments[..]) {
        // An agent gives no arguments; a person may well start a program of flows from within a run.
        (Ok(id), []) => {
            logs::leave_output_to_agent();
            // Its codes say no more than whether the run has completed.
            return exit(context::block_on(take_over(entries, &id)));
        }
        (_, []) => context::block_on(run_by_hand(entries)),
        (_, [word, ..]) if matches!(word.as_str(), "-h" | "--help" | "help") => {
            std::println!("{}", usage(entries));
            return ExitCode::SUCCESS;
        }
        (_, [name, pairs @ ..]) => context::block_on(run_named(entries, name, pairs)),
    };
    match (signals::exit_code(), outcome.is_err()) {
        (Some(code), true) => {
            exit(outcome);
            ExitCode::from(code)
        }
        _ => exit(outcome),
    }
}

fn exit(outcome: Result<ExitCode, String>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(message) => {
            eprintln!("Error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Returns a name that does not tell which flow is meant.
fn named_twice(entries: &[Entry]) -> Option<&'static str> {
    let mut known: Vec<&'static FlowDefinition> = Vec::new();
    for Entry { definition, .. } in entries {
        let is_other = |other: &&FlowDefinition| !std::ptr::eq(*other, *definition);
        if known
            .iter()
            .filter(|flow| is_other(flow))
            .any(|flow| flow.name() == definition.name())
        {
            return Some(definition.name());
        }
        known.push(definition);
    }
    None
}

fn describe(entries: &[Entry]) -> Value {
    let flows: Vec<_> = entries
        .iter()
        .map(|entry| entry.definition.describe())
        .collect();
    json!({"prefect_rs": env!("CARGO_PKG_VERSION"), "flows": flows})
}

fn usage(entries: &[Entry]) -> String {
    let mut text = String::from("Usage: program FLOW [NAME=VALUE]...\n\nFlows:");
    for Entry { definition, .. } in entries {
        text.push_str(&format!("\n  {}", definition.function()));
        for name in definition.parameter_names() {
            text.push_str(&format!(" {name}=…"));
        }
    }
    text
}

async fn run_by_hand(entries: &[Entry]) -> Result<ExitCode, String> {
    let mut started = 0;
    for by_hand in entries.iter().filter_map(|entry| entry.by_hand) {
        started += 1;
        by_hand().await.map_err(|error| format!("{error:?}"))?;
    }
    match (started, entries) {
        (0, [entry]) if entry.definition.parse(&Map::new()).is_ok() => {
            run(entry.definition, &Map::new()).await
        }
        (0, _) => Err(format!("which flow is to run?\n\n{}", usage(entries))),
        _ => Ok(ExitCode::SUCCESS),
    }
}

async fn run_named(entries: &[Entry], name: &str, pairs: &[String]) -> Result<ExitCode, String> {
    let definition = find(entries, name)
        .ok_or_else(|| format!("there is no flow `{name}`\n\n{}", usage(entries)))?;
    run(definition, &definition.typed(pairs)?).await
}

fn find(entries: &[Entry], name: &str) -> Option<&'static FlowDefinition> {
    let mut definitions = entries.iter().map(|entry| entry.definition);
    definitions.find(|definition| definition.name() == name || definition.function() == name)
}

async fn run(
    definition: &'static FlowDefinition,
    parameters: &Map<String, Value>,
) -> Result<ExitCode, String> {
    let inputs = definition.parse(parameters)?;
    let call = FlowCallInner {
        definition,
        options: definition.options().clone(),
        run_name: None,
        inputs: inputs
            .0
            .into_iter()
            .map(|value| Input(Source::Value(value)))
            .collect(),
        wait_for: Vec::new(),
    };
    let ended = flow_runs::run(call).await;
    ended
        .map(|_| ExitCode::SUCCESS)
        .map_err(|error| format!("{error:?}"))
}

async fn take_over(entries: &[Entry], id: &str) -> Result<ExitCode, String> {
    let id = Uuid::parse_str(id).map_err(|_| format!("{FLOW_RUN_ID} is `{id}`, which is no id"))?;
    let engine = Engine::global().await?;
    let definition = match (std::env::var(FLOW_NAME), entries) {
        (Ok(name), _) => find(entries, &name),
        (Err(_), [entry]) => Some(entry.definition),
        (Err(_), _) => find(entries, &flow_name(&engine, id).await?),
    };
    let definition = definition.ok_or_else(|| {
        format!(
            "flow run `{id}` is of a flow that this program does not have\n\n{}",
            usage(entries)
        )
    })?;
    let state = flow_runs::take_over(engine, definition, id).await?;
    // The run's state says all; the code only has to tell whether somebody should look.
    Ok(match state.is_completed() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn flow_name(engine: &Arc<Engine>, id: Uuid) -> Result<String, String> {
    let client = engine.client.clone();
    on_runtime(async move {
        let run = client.read_flow_run(id).await?;
        client.read_flow(run.flow_id).await
    })
    .await
    .map(|flow| flow.name.clone())
    .map_err(|error| format!("the flow of run `{id}` could not be read: {error}"))
}
