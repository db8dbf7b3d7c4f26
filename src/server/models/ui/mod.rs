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

/// Makes a row of a list of runs: what only this kind of run has, then what each has; see [`run_columns`].
macro_rules! run_row {
    ($(#[$meta:meta])* $name:ident { $($own:tt)* }) => {
        row! {
            $(#[$meta])*
            $name {
                $($own)*
                id: Uuid, name: String, #[schema(value_type = Option<StateType>)] state_type: Option<String>,
                state_name: Option<String>, state_message: Option<String>, expected_start_time: Option<DateTime<Utc>>,
                start_time: Option<DateTime<Utc>>, end_time: Option<DateTime<Utc>>, total_run_time: f64,
                run_count: i64, tags: Tags,
            }
        }
    };
}
pub(crate) use run_row;

/// The columns of such a row, of a table under its alias: its own, then those of every run.
macro_rules! run_columns {
    ($own:literal, $alias:literal, $table:literal) => {
        concat!(
            $own,
            ", ",
            $alias,
            ".id, ",
            $alias,
            ".name, ",
            $alias,
            ".state_type, ",
            $alias,
            ".state_name, ",
            "(SELECT s.message FROM ",
            $table,
            "_state s WHERE s.id = ",
            $alias,
            ".state_id), ",
            $alias,
            ".expected_start_time, ",
            $alias,
            ".start_time, ",
            $alias,
            ".end_time, ",
            $alias,
            ".total_run_time, ",
            $alias,
            ".run_count, ",
            $alias,
            ".tags"
        )
    };
}
pub(crate) use run_columns;

/// A page of a list, with how many there are in all.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Page<T> {
    pub(crate) results: Vec<T>,
    pub(crate) count: i64,
}
