//! What the dashboard asks: whole pages in one read each, so that no row of a page costs a request.
//!
//! The reads join what a row shows and count by the same filter that lists, so that a number and
//! the list behind it always agree.

pub mod blocks;
pub mod concurrency_limits;
pub mod deployments;
pub mod filters;
pub mod flow_runs;
pub mod flows;
pub mod graphs;
mod listing;
pub mod logs;
pub mod names;
pub mod overview;
mod states;
pub mod task_runs;
pub mod work_pools;
pub mod work_queues;

/// Makes a struct that is one row of a statement, columns in order, and its wire shape at once.
macro_rules! row {
    ($(#[$meta:meta])* $name:ident { $($(#[$attr:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
        pub(crate) struct $name { $($(#[$attr])* pub(crate) $field: $type),* }

        impl crate::db::FromRow for $name {
            fn from_row(row: &mut crate::db::Row<'_>) -> crate::db::Result<Self> {
                Ok(Self { $($field: row.take()?),* })
            }
        }
    };
}
pub(crate) use row;

/// A page of a list, with how many there are in all.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Page<T> {
    pub(crate) results: Vec<T>,
    pub(crate) count: i64,
}
