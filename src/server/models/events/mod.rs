//! Events in the database: those that are stored, and those that the states of runs tell.
//!
//! Lists and counts are asked of all and put together, so that nobody sees a difference.

mod filters;
mod flow_run_states;
pub mod lifecycle;
mod narrowing;
pub mod of_states;
mod stored;
mod task_run_states;

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use of_states::Of;
pub use stored::{Rows, create, delete_before, oldest};

use crate::db::{Conn, FromRow, Result, Row};
use crate::schemas::event_filters::{EventFilter, Order};
use crate::schemas::events::ReceivedEvent;

/// Events looked at at a time where only one of each resource is wanted.
const CHUNK: i64 = 500;

/// Where a page begins: behind this event.
pub type After = (DateTime<Utc>, Uuid);

/// Returns an event's place in lists.
pub fn place(received: &ReceivedEvent) -> After {
    (received.event.occurred.0, received.event.id.0)
}

/// Returns a page of events, in the order that the filter asks for.
pub async fn list(
    conn: &mut Conn,
    filter: &EventFilter,
    after: Option<After>,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<Vec<ReceivedEvent>> {
    if !is_distinct(filter) {
        return list_all(conn, filter, after, limit, now).await;
    }
    let is_behind = |place: After| {
        after.is_none_or(|after| match filter.order {
            Order::Asc => place > after,
            Order::Desc => place < after,
        })
    };
    // Which event is the first one of its resource shows only from the beginning.
    let (mut known, mut found, mut from) = (HashSet::new(), Vec::new(), None);
    loop {
        let page = list_all(conn, filter, from, CHUNK, now).await?;
        let is_last = (page.len() as i64) < CHUNK;
        from = page.last().map(place);
        for event in page {
            if known.insert(event.event.resource.id().to_owned()) && is_behind(place(&event)) {
                found.push(event);
            }
        }
        if is_last || found.len() as i64 >= limit {
            found.truncate(usize::try_from(limit).unwrap_or(0));
            return Ok(found);
        }
    }
}

async fn list_all(
    conn: &mut Conn,
    filter: &EventFilter,
    after: Option<After>,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<Vec<ReceivedEvent>> {
    let mut all = stored::list(conn, filter, after, limit, now).await?;
    for of in Of::ALL {
        all.extend(of_states::list(conn, of, filter, after, limit, now).await?);
    }
    all.sort_unstable_by_key(place);
    if filter.order == Order::Desc {
        all.reverse();
    }
    all.truncate(usize::try_from(limit).unwrap_or(0));
    Ok(all)
}

/// Counts the events that a filter finds.
pub async fn count(conn: &mut Conn, filter: &EventFilter, now: DateTime<Utc>) -> Result<i64> {
    if is_distinct(filter) {
        let mut resources = stored::resources(conn, filter, now).await?;
        for of in Of::ALL {
            resources.extend(of_states::resources(conn, of, filter, now).await?);
        }
        return Ok(HashSet::<String>::from_iter(resources).len() as i64);
    }
    let mut count = stored::count(conn, filter, now).await?;
    for of in Of::ALL {
        count += of_states::count(conn, of, filter, now).await?;
    }
    Ok(count)
}

fn is_distinct(filter: &EventFilter) -> bool {
    filter
        .resource
        .as_ref()
        .is_some_and(|resource| resource.distinct)
}

/// What events can be counted by, beside time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountBy {
    /// The name.
    Event,
    /// The resource.
    Resource,
}

/// How many events share something, the most first.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    /// What they share.
    pub value: String,
    /// Its latest name for people.
    pub label: String,
    /// How many they are.
    pub count: i64,
    /// When the first one happened.
    pub start: DateTime<Utc>,
    /// When the last one happened.
    pub end: DateTime<Utc>,
}

impl FromRow for Counted {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            value: row.take()?,
            label: row.take()?,
            count: row.take()?,
            start: row.take()?,
            end: row.take()?,
        })
    }
}

impl Counted {
    /// Adds what was counted elsewhere; the later label stays.
    fn add(all: &mut HashMap<String, Self>, one: Self) {
        let Some(known) = all.get_mut(&one.value) else {
            all.insert(one.value.clone(), one);
            return;
        };
        known.count += one.count;
        known.start = known.start.min(one.start);
        if one.end >= known.end {
            (known.end, known.label) = (one.end, one.label);
        }
    }
}

/// Counts events by what they share, the most first.
pub async fn count_by(
    conn: &mut Conn,
    filter: &EventFilter,
    by: CountBy,
    now: DateTime<Utc>,
) -> Result<Vec<Counted>> {
    let mut all = HashMap::new();
    for one in stored::count_by(conn, filter, by, now).await? {
        Counted::add(&mut all, one);
    }
    for of in Of::ALL {
        for one in of_states::count_by(conn, of, filter, by, now).await? {
            Counted::add(&mut all, one);
        }
    }
    let mut all: Vec<Counted> = all.into_values().collect();
    all.sort_unstable_by(|a, b| (b.count, &a.label).cmp(&(a.count, &b.label)));
    Ok(all)
}

/// Counts events by stretches of time since `pivot`: the number of each stretch, and its events.
pub async fn count_by_time(
    conn: &mut Conn,
    filter: &EventFilter,
    pivot: DateTime<Utc>,
    seconds: f64,
    now: DateTime<Utc>,
) -> Result<BTreeMap<i64, i64>> {
    let mut all = BTreeMap::new();
    let mut counted = stored::count_by_time(conn, filter, pivot, seconds, now).await?;
    for of in Of::ALL {
        counted.extend(of_states::count_by_time(conn, of, filter, pivot, seconds, now).await?);
    }
    for (stretch, count) in counted {
        *all.entry(stretch).or_default() += count;
    }
    Ok(all)
}
