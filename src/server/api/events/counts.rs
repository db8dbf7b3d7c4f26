//! Counts of events by day, time, name or resource.

use axum::extract::{Path, State};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schemas::Dialect;
use crate::schemas::event_filters::EventFilter;
use crate::schemas::time::{self, Instant};
use crate::server::extract::{Answer, Body};
use crate::server::models::events::{self, CountBy};
use crate::server::{ApiError, AppState};

/// Stretches of time that one answer has at most.
const MAX_STRETCHES: f64 = 1000.0;

/// Where the stretches of all counts begin, a Monday: the same stretch is the same in every answer.
fn pivot() -> DateTime<Utc> {
    DateTime::from_timestamp(1_711_929_600, 0).expect("1 April 2024 is a date")
}

/// What events are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the path")]
pub enum Countable {
    Day,
    Time,
    Event,
    Resource,
}

/// The unit of a stretch of time.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the body")]
pub enum TimeUnit {
    Week,
    Day,
    Hour,
    Minute,
    Second,
}

impl TimeUnit {
    fn seconds(self) -> f64 {
        match self {
            Self::Week => 7.0 * 86_400.0,
            Self::Day => 86_400.0,
            Self::Hour => 3600.0,
            Self::Minute => 60.0,
            Self::Second => 1.0,
        }
    }
}

/// Asks for counts.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CountQuery {
    /// Of which events.
    pub filter: EventFilter,
    /// The unit of a stretch.
    #[serde(default)]
    pub time_unit: Option<TimeUnit>,
    /// Units of a stretch.
    #[serde(default)]
    pub time_interval: Option<f64>,
}

/// How many events share something.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventCount {
    /// What they share.
    pub value: String,
    /// Its name for people.
    pub label: String,
    /// How many they are.
    pub count: i64,
    /// When the first one happened, or where the stretch begins.
    pub start_time: String,
    /// When the last one happened, or where the stretch ends.
    pub end_time: String,
}

/// Counts events.
#[utoipa::path(post, path = "/events/count-by/{countable}", params(("countable" = Countable, Path)), request_body = CountQuery, responses((status = 200, body = Vec<EventCount>)))]
pub async fn count_events(
    State(state): State<AppState>,
    countable: Result<Path<Countable>, axum::extract::rejection::PathRejection>,
    Body(asked): Body<CountQuery>,
) -> Result<Answer<Vec<EventCount>>, ApiError> {
    let Ok(Path(countable)) = countable else {
        let text = "value is not one of day, time, event, resource";
        return Err(ApiError::invalid(&["path", "countable"], text));
    };
    let interval = asked.time_interval.unwrap_or(1.0);
    if !interval.is_finite() || interval < 0.01 {
        let text = "Input should be greater than or equal to 0.01";
        return Err(ApiError::invalid(&["body", "time_interval"], text));
    }
    let now = state.now();
    let mut filter = asked.filter;
    let unit = asked.time_unit.unwrap_or(TimeUnit::Day);
    let seconds = if countable == Countable::Day {
        86_400.0
    } else {
        unit.seconds() * interval
    };
    let until = filter.occurred.until.get_or_insert(Instant(now)).0;
    let half_a_year_ago = Instant(now - TimeDelta::days(180));
    let since = filter.occurred.since.get_or_insert(half_a_year_ago).0;
    let stretches = (time::seconds(until - since) / (unit.seconds() * interval)).ceil();
    if stretches > MAX_STRETCHES {
        return Err(ApiError::Unfit(format!(
            "The given interval would create {stretches} buckets, which is too many. Please increase the interval or \
             reduce the time range to produce {MAX_STRETCHES} buckets or fewer."
        )));
    }
    filter.occurred.clamp(state.events_since());
    Ok(Answer(match countable {
        Countable::Event => by(&state, filter, CountBy::Event, now).await?,
        Countable::Resource => by(&state, filter, CountBy::Resource, now).await?,
        Countable::Day | Countable::Time => {
            by_time(&state, filter, (since, until), seconds, now).await?
        }
    }))
}

async fn by(
    state: &AppState,
    filter: EventFilter,
    by: CountBy,
    now: DateTime<Utc>,
) -> Result<Vec<EventCount>, ApiError> {
    let read = async move |conn: &mut _| events::count_by(conn, &filter, by, now).await;
    let counted = state
        .db
        .read(read)
        .await?
        .into_iter()
        .map(|one| EventCount {
            value: one.value,
            label: one.label,
            count: one.count,
            start_time: time::format(one.start, Dialect::Three),
            end_time: time::format(one.end, Dialect::Three),
        });
    Ok(counted.collect())
}

/// Every stretch has a count, also those in which nothing happened.
async fn by_time(
    state: &AppState,
    filter: EventFilter,
    (since, until): (DateTime<Utc>, DateTime<Utc>),
    seconds: f64,
    now: DateTime<Utc>,
) -> Result<Vec<EventCount>, ApiError> {
    let read =
        async move |conn: &mut _| events::count_by_time(conn, &filter, pivot(), seconds, now).await;
    let counted = state.db.read(read).await?;
    let first = (time::seconds(since - pivot()) / seconds).floor() as i64;
    let begin = |n: i64| pivot() + TimeDelta::microseconds((n as f64 * seconds * 1e6) as i64);
    let mut counts = Vec::new();
    for n in first.. {
        let (start, end) = (begin(n), begin(n + 1));
        if start >= until {
            break;
        }
        let found = counted.get(&n);
        counts.push(EventCount {
            value: (n - first).to_string(),
            label: time::format(start, Dialect::Two),
            count: found.copied().unwrap_or(0),
            start_time: time::format(start, Dialect::Three),
            end_time: time::format(end - TimeDelta::microseconds(1), Dialect::Three),
        });
    }
    Ok(counts)
}
