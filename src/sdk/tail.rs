//! How a function may end: with a call, whose error becomes the function's own as with `?`.
//!
//! The attributes wrap what stands at the end in a [`Tail`]. By its type it is a call of ours, whose error is known and is
//! turned into the function's, or anything else, which stays what it is: of a future whose error only the function's
//! return type tells, or that never ends, nothing may be asked.

use std::future::{Future, IntoFuture};

use super::flow::FlowCall;
use super::futures::{TaskFuture, TaskFutures};
use super::map::TaskMap;
use super::outcome::RunError;
use super::task::TaskCall;

/// What a function ends with: what it awaits, or the result of a call that it has run.
#[doc(hidden)]
pub struct Tail<X>(pub X);

/// Passes on what is no call of ours, since the methods of [`Tail`] itself come first.
#[doc(hidden)]
pub trait Other {
    #[doc(hidden)]
    type Own;
    #[doc(hidden)]
    fn passed_on(self) -> Self::Own;
}

impl<X> Other for Tail<X> {
    type Own = X;

    fn passed_on(self) -> X {
        self.0
    }
}

impl<T> Tail<Result<T, RunError>> {
    #[doc(hidden)]
    pub fn passed_on<E: From<RunError>>(self) -> Result<T, E> {
        self.0.map_err(E::from)
    }
}

async fn passed_on<T, E: From<RunError>>(
    run: impl Future<Output = Result<T, RunError>>,
) -> Result<T, E> {
    run.await.map_err(E::from)
}

/// The same for all that can be awaited.
macro_rules! pass_on {
    ($($awaited:ident gives $result:ty;)*) => {$(
        impl<T: 'static> Tail<$awaited<T>> {
            #[doc(hidden)]
            pub fn passed_on<E: From<RunError>>(
                self,
            ) -> impl Future<Output = Result<$result, E>> + Send {
                passed_on(self.0.into_future())
            }
        }
    )*};
}

pass_on! {
    TaskCall gives T;
    FlowCall gives T;
    TaskFuture gives T;
    TaskFutures gives Vec<T>;
    TaskMap gives Vec<T>;
}
