//! A call on its way to becoming a task run: what is settled when it is made, and what it waits for.

use std::collections::VecDeque;
use std::sync::Arc;

use super::flow_runs::FlowRun;
use crate::sdk::futures::{Handle, submit};
use crate::sdk::links::{Ids, Links};
use crate::sdk::options::TaskOptions;
use crate::sdk::outcome::RunError;
use crate::sdk::task::{Call, TaskDefinition};
use crate::sdk::upstream::{Awaited, Gathering};
use crate::sdk::value::{Input, Shared, Source};

/// A call with what is settled when it is made: its number, and whose results its arguments are.
///
/// Settled then, since no run that began later can have given a value that was there before.
pub(crate) struct Prepared {
    pub(super) definition: &'static TaskDefinition,
    pub(super) options: Arc<TaskOptions>,
    pub(super) run_name: Option<String>,
    pub(super) number: u32,
    pub(super) needs: Needs,
    pub(super) links: Links,
}

impl Prepared {
    pub(crate) fn of(call: Call, flow_run: &FlowRun) -> Self {
        let needs = Needs::of(call.inputs, call.wait_for);
        let names = call.definition.arguments.iter().copied();
        Self {
            links: needs.links(names, flow_run),
            number: flow_run.number(call.definition.key()),
            definition: call.definition,
            options: call.options,
            run_name: call.run_name,
            needs,
        }
    }
}

/// An argument that is known, or will be.
enum Argument {
    Value(Shared),
    /// A value of which is known whose result it is.
    Traced(Shared, Ids),
    Future(Arc<Handle>),
    Futures(Arc<Gathering>),
}

impl Argument {
    /// Returns whose result the argument is.
    fn origin(&self, flow_run: &FlowRun) -> Ids {
        match self {
            Self::Value(value) => flow_run.producers(value),
            Self::Traced(_, producers) => producers.clone(),
            Self::Future(handle) => Ids::One(handle.id),
            Self::Futures(gathering) => gathering.ids(),
        }
    }

    async fn value(self) -> Result<Shared, RunError> {
        match self {
            Self::Value(value) | Self::Traced(value, _) => Ok(value),
            Self::Future(handle) => handle.result().await,
            Self::Futures(gathering) => gathering.value().await,
        }
    }
}

/// What has to be there before a run begins.
#[derive(Default)]
pub(super) struct Needs {
    arguments: Vec<Argument>,
    wait_for: Vec<Awaited>,
}

impl Needs {
    /// Takes what a call was given; calls among it are submitted, so that all are values or futures.
    pub(super) fn of(inputs: Vec<Input>, wait_for: Vec<Awaited>) -> Self {
        let ready = inputs.into_iter().map(|input| match input.0 {
            Source::Value(value) => Argument::Value(value),
            Source::Traced(value, producers) => Argument::Traced(value, producers),
            Source::Future(handle) => Argument::Future(handle),
            Source::Futures(gathering) => Argument::Futures(gathering),
            Source::Call(call) => Argument::Future(submit(*call)),
        });
        Self {
            arguments: ready.collect(),
            wait_for,
        }
    }

    /// Returns whose results they are, under the names of the arguments.
    pub(super) fn links(
        &self,
        names: impl Iterator<Item = &'static str>,
        flow_run: &FlowRun,
    ) -> Links {
        let mut links = Links::default();
        for (name, argument) in names.zip(&self.arguments) {
            links.add(name, argument.origin(flow_run));
        }
        if !self.wait_for.is_empty() {
            links.add("wait_for", Awaited::all_ids(&self.wait_for));
        }
        links
    }

    /// Waits for all of it, and returns the values of the arguments.
    pub(super) async fn met(self) -> Result<VecDeque<Shared>, RunError> {
        for awaited in &self.wait_for {
            awaited.completed().await?;
        }
        let mut values = VecDeque::with_capacity(self.arguments.len());
        for argument in self.arguments {
            values.push_back(argument.value().await?);
        }
        Ok(values)
    }
}
