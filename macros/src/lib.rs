//! The attributes of `prefect_rs`: [`macro@flow`], [`macro@task`] and [`macro@data`].
//!
//! An attribute keeps the function's body as it is and puts two things of its name beside it: a function that returns a
//! lazy call, and a type that stands for the flow or task itself. Both only call into `prefect_rs::sdk`, so that what is
//! generated for a function stays small and most code is compiled once.
//!
//! Spans are those of what the author wrote: a wrong option is underlined at the option, a type that cannot be an
//! argument at the type.

mod argument;
mod data;
mod flow;
mod function;
mod options;
mod task;

use proc_macro::TokenStream;

/// Makes a task of a function: a step of a flow that is retried, cached, limited and observed by itself.
///
/// What its body prints with `println!` and its kin becomes logs of the run. Calling it returns a lazy `TaskCall`, which is
/// awaited, submitted, or given options first. The function stands in a module or in another function, not in an `impl`.
///
/// What it returns is recorded: data, or a `Result` or `State` of data, also under another name. A `Result` may end with
/// the call of another task or flow, as `load().await`, `load().run()` or `future.get()`, whose error becomes its own as
/// with `?`: last in the body or behind `return`, also in parentheses and last in blocks, `if` and `match`. Elsewhere, as in
/// `load().await.map(..)`, it takes the `?`: `Ok(load().await?)`.
///
/// An argument is given as to any function, or as a future or a call that gives it. `.into()`, `.collect()` and `.parse()`
/// cannot tell among these what to make: give their value a type first.
///
/// The name of the function is that of a type as well (`load::map(..)`), so a module beside it needs another one.
///
/// `crate = path` says where this crate is, if it is not known as `prefect_rs`: `#[task(crate = flows)]`.
///
/// Options: `name`, `description`, `version`, `task_run_name`, `tags`, `retries`, `retry_delay_seconds`,
/// `retry_jitter_factor`, `retry_condition`, `timeout_seconds`, `cache_key_fn`, `cache_expiration_seconds`, `persist_result`,
/// `refresh_cache`, `on_running`, `on_completion`, `on_failure`, `on_cancellation`.
#[proc_macro_attribute]
pub fn task(attribute: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(attribute.into(), item.into(), "task", task::expand).into()
}

/// Makes a flow of a function: what is deployed, scheduled and run as a whole.
///
/// What its body prints with `println!` and its kin becomes logs of the run. Calling it returns a lazy `FlowCall`, which is
/// awaited (within another flow, a subflow run), run from a plain function, or served. A parameter may have a default
/// for runs that are made from outside: `#[default(3)] retries: u32`, or `#[default]` for that of its type. What is said of
/// [`macro@task`] about results, calls, names and `crate = path` is true of flows.
///
/// Options: `name`, `description`, `version`, `flow_run_name`, `tags`, `retries`, `retry_delay_seconds`, `timeout_seconds`,
/// `persist_result`, `on_running`, `on_completion`, `on_failure`, `on_cancellation`.
#[proc_macro_attribute]
pub fn flow(attribute: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(attribute.into(), item.into(), "flow", flow::expand).into()
}

/// Makes a struct or enum fit to be an argument or a result of flows and tasks.
///
/// It derives `Debug`, `Clone`, `Serialize`, `Deserialize` and `JsonSchema` without those crates in your manifest.
/// `#[data(crate = path)]` says where this crate is, if it is not known as `prefect_rs`.
#[proc_macro_attribute]
pub fn data(attribute: TokenStream, item: TokenStream) -> TokenStream {
    data::expand(attribute.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
