//! What a call waits for: one run, or many of which all are needed.
//!
//! A map over many values may wait for many runs, and each of its runs for all of them. What they share is kept once
//! ([`Gathering`]): one of them waits for the many, and the others for that one.

use std::sync::{Arc, OnceLock};

use tokio::sync::OnceCell;

use super::futures::{Handle, TaskFuture, TaskFutures};
use super::links::Ids;
use super::outcome::RunError;
use super::value::Shared;

/// What a call can wait for: a future, several, or lists of them.
///
/// ```
/// # use prefect_rs::prelude::*;
/// # #[task] async fn load(city: String) -> Result<u8> { Ok(city.len() as u8) }
/// # #[flow] async fn f() -> Result<()> {
/// let (one, many) = (load("Rome").submit(), load::map(["Berlin", "Oslo"]).submit());
/// load("Bern").wait_for(&one).wait_for([&many]).await?;
/// # Ok(()) }
/// ```
pub trait Upstream {
    #[doc(hidden)]
    fn awaited(&self, into: &mut Vec<Awaited>);
}

impl<T> Upstream for TaskFuture<T> {
    fn awaited(&self, into: &mut Vec<Awaited>) {
        into.push(Awaited::One(self.handle.clone()));
    }
}

impl<T> Upstream for TaskFutures<T> {
    fn awaited(&self, into: &mut Vec<Awaited>) {
        into.push(Awaited::All(self.all().clone()));
    }
}

impl<U: Upstream + ?Sized> Upstream for &U {
    fn awaited(&self, into: &mut Vec<Awaited>) {
        (**self).awaited(into);
    }
}

impl<U: Upstream, const N: usize> Upstream for [U; N] {
    fn awaited(&self, into: &mut Vec<Awaited>) {
        self.iter().for_each(|upstream| upstream.awaited(into));
    }
}

impl<U: Upstream> Upstream for [U] {
    fn awaited(&self, into: &mut Vec<Awaited>) {
        self.iter().for_each(|upstream| upstream.awaited(into));
    }
}

impl<U: Upstream> Upstream for Vec<U> {
    fn awaited(&self, into: &mut Vec<Awaited>) {
        self.as_slice().awaited(into);
    }
}

/// A part of what a call waits for.
#[doc(hidden)]
#[derive(Clone)]
pub enum Awaited {
    /// One run.
    #[doc(hidden)]
    One(Arc<Handle>),
    /// Many.
    #[doc(hidden)]
    All(Arc<Gathering>),
}

impl Awaited {
    /// Waits until the runs have completed; the error is that of the first in order that has not.
    pub(crate) async fn completed(&self) -> Result<(), RunError> {
        match self {
            Self::One(handle) => handle.result().await.map(drop),
            Self::All(gathering) => gathering.results().await.map(drop),
        }
    }

    pub(crate) fn ids(&self) -> Ids {
        match self {
            Self::One(handle) => Ids::One(handle.id),
            Self::All(gathering) => gathering.ids(),
        }
    }

    /// Returns whom all wait for together.
    pub(crate) fn all_ids(all: &[Self]) -> Ids {
        match all {
            [one] => one.ids(),
            _ => all
                .iter()
                .flat_map(|awaited| awaited.ids().as_slice().to_vec())
                .collect(),
        }
    }

    /// Makes one of several, for many calls to share.
    pub(crate) fn joined(all: Vec<Self>) -> Vec<Self> {
        if all.len() < 2 {
            return all;
        }
        let handles = all.into_iter().flat_map(|awaited| match awaited {
            Self::One(handle) => vec![handle],
            Self::All(gathering) => gathering.handles.clone(),
        });
        vec![Self::All(Arc::new(Gathering::of_ends(handles.collect())))]
    }
}

/// Makes one value of the results of many runs.
pub(crate) type Gather = fn(Vec<Shared>) -> Shared;

/// Runs whose results are waited for together.
#[doc(hidden)]
pub struct Gathering {
    handles: Vec<Arc<Handle>>,
    gather: Gather,
    ids: OnceLock<Ids>,
    results: OnceCell<Result<Vec<Shared>, RunError>>,
    value: OnceLock<Shared>,
}

impl Gathering {
    pub(crate) fn new(handles: Vec<Arc<Handle>>, gather: Gather) -> Self {
        Self {
            handles,
            gather,
            ids: OnceLock::new(),
            results: OnceCell::new(),
            value: OnceLock::new(),
        }
    }

    /// Makes one whose ends matter, not what they give.
    pub(crate) fn of_ends(handles: Vec<Arc<Handle>>) -> Self {
        Self::new(handles, |_| Arc::new(()))
    }

    pub(crate) fn ids(&self) -> Ids {
        let ids = || self.handles.iter().map(|handle| handle.id).collect();
        self.ids.get_or_init(ids).clone()
    }

    /// Returns the results in order, or the first error in order.
    async fn results(&self) -> Result<&Vec<Shared>, RunError> {
        let wait = async {
            let mut results = Vec::with_capacity(self.handles.len());
            for handle in &self.handles {
                results.push(handle.result().await?);
            }
            Ok(results)
        };
        self.results
            .get_or_init(|| wait)
            .await
            .as_ref()
            .map_err(Clone::clone)
    }

    /// Returns the one value of all; the last one to ask takes it without a copy.
    pub(crate) async fn value(self: Arc<Self>) -> Result<Shared, RunError> {
        self.results().await?;
        let of = |results: Option<&Result<Vec<Shared>, RunError>>, gather: Gather| {
            let results = results.and_then(|results| results.as_ref().ok());
            gather(results.cloned().unwrap_or_default())
        };
        Ok(match Arc::try_unwrap(self) {
            Ok(own) => {
                let made = own.value.into_inner();
                made.unwrap_or_else(|| of(own.results.get(), own.gather))
            }
            Err(shared) => {
                let make = || of(shared.results.get(), shared.gather);
                shared.value.get_or_init(make).clone()
            }
        })
    }
}
