//! Counts of events by day, time, name or resource.

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serializer};
use utoipa::ToSchema;

use crate::schemas::dialect::Fields;
use crate::schemas::event_filters::EventFilter;
use crate::schemas::time::{self, Instant};
use crate::schemas::{Dialect, Render};
use crate::server::extract::{Body, view};
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
#[derive(Debug, ToSchema)]
pub struct EventCount {
    /// What they share.
    pub value: String,
    /// Its name for people.
    pub label: String,
    /// How many they are.
    pub count: i64,
    /// When the first one happened, or where the stretch begins.
    #[schema(value_type = String, format = DateTime)]
    pub start_time: DateTime<Utc>,
    /// When the last one happened, or where the stretch ends.
    #[schema(value_type = String, format = DateTime)]
    pub end_time: DateTime<Utc>,
}

impl Render for EventCount {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("value", &self.value)?;
        fields.all("label", &self.label)?;
        fields.all("count", &self.count)?;
        fields.time("start_time", self.start_time)?;
        fields.time("end_time", self.end_time)?;
        fields.end()
    }
}

/// Counts events.
#[utoipa::path(post, path = "/events/count-by/{countable}", params(("countable" = Countable, Path)), request_body = CountQuery, responses((status = 200, body = Vec<EventCount>)))]
pub async fn count_events(
    State(state): State<AppState>,
    dialect: Dialect,
    countable: Result<Path<Countable>, axum::extract::rejection::PathRejection>,
    Body(asked): Body<CountQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let Ok(Path(countable)) = countable else {
        let text = "unknown variant, expected one of `day`, `time`, `event`, `resource`";
        return Err(ApiError::invalid(&["path", "countable"], text));
    };
    let interval = asked.time_interval.unwrap_or(1.0);
    if !interval.is_finite() || interval < 0.01 {
        let text = "ensure this value is greater than or equal to 0.01";
        let given = asked.time_interval;
        return Err(ApiError::invalid_input(
            &["body", "time_interval"],
            text,
            given,
        ));
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
    let counts = match countable {
        Countable::Event => by(&state, filter, CountBy::Event, now).await?,
        Countable::Resource => by(&state, filter, CountBy::Resource, now).await?,
        Countable::Day | Countable::Time => {
            by_time(&state, filter, (since, until), seconds, now).await?
        }
    };
    Ok(view(dialect, counts))
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
            start_time: one.start,
            end_time: one.end,
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
            start_time: start,
            end_time: end - TimeDelta::microseconds(1),
        });
    }
    Ok(counts)
}
