//! Pages of events.
//!
//! A page's link to the next one holds the whole question and the last event, so that events which
//! come meanwhile neither repeat nor hide any.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::schemas::dialect::Fields;
use crate::schemas::event_filters::EventFilter;
use crate::schemas::events::ReceivedEvent;
use crate::schemas::time::Instant;
use crate::schemas::{Dialect, Render};
use crate::server::extract::{Body, view};
use crate::server::{ApiError, AppState, models};

/// Events of a page, by default and at most.
const PAGE: i64 = 50;

/// Asks for events.
#[derive(Debug, Deserialize, ToSchema)]
pub struct EventsQuery {
    /// Which ones; by default all of the last half year.
    #[serde(default)]
    pub filter: Option<EventFilter>,
    /// How many a page.
    #[serde(default, deserialize_with = "limit")]
    pub limit: Option<i64>,
}

/// Reads how many a page has; what is out of bounds is a mistake in the body, which is sent back.
fn limit<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i64>, D::Error> {
    let limit = Option::<i64>::deserialize(d)?;
    let wrong = match limit {
        Some(..0) => "ensure this value is greater than or equal to 0".to_owned(),
        Some(limit) if limit > PAGE => {
            format!("ensure this value is less than or equal to {PAGE}")
        }
        _ => return Ok(limit),
    };
    Err(D::Error::custom(wrong))
}

/// A page of events.
#[derive(Debug, ToSchema)]
pub struct EventPage {
    /// The events.
    pub events: Vec<ReceivedEvent>,
    /// How many there are on all pages.
    pub total: i64,
    /// Where the next page is, if there is one.
    pub next_page: Option<String>,
}

impl Render for EventPage {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.part("events", &self.events)?;
        fields.all("total", &self.total)?;
        fields.all("next_page", &self.next_page)?;
        fields.end()
    }
}

/// What a link to a page holds.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    filter: EventFilter,
    limit: i64,
    total: i64,
    occurred: Instant,
    id: Uuid,
}

/// The query of a link to a page.
#[derive(Debug, Deserialize)]
pub struct PageQuery {
    #[serde(rename = "page-token")]
    page_token: Option<String>,
}

/// Returns the first page of the events that a filter finds.
#[utoipa::path(post, path = "/events/filter", request_body = EventsQuery, responses((status = 200, body = EventPage)))]
pub async fn read_events(
    State(state): State<AppState>,
    dialect: Dialect,
    headers: HeaderMap,
    Body(asked): Body<EventsQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let limit = asked.limit.unwrap_or(PAGE);
    let now = state.now();
    let mut filter = asked.filter.unwrap_or_default();
    // What comes later belongs to none of the pages.
    filter.occurred.until.get_or_insert(Instant(now));
    let (filter, events, total) = read(&state, filter, None, limit, now).await?;
    let page = page(&headers, filter, events, limit, total, true);
    Ok(view(dialect, page))
}

/// Returns a further page.
#[utoipa::path(get, path = "/events/filter/next", params(("page-token" = String, Query)), responses((status = 200, body = EventPage), (status = 403)))]
pub async fn read_events_page(
    State(state): State<AppState>,
    dialect: Dialect,
    headers: HeaderMap,
    Query(query): Query<PageQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let Some(token) = query.page_token else {
        return Err(ApiError::invalid(
            &["query", "page-token"],
            "field required",
        ));
    };
    let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('='));
    let token = bytes
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Token>(&bytes).ok());
    let Some(Token {
        filter,
        limit,
        total,
        occurred,
        id,
    }) = token.filter(|token| (1..=PAGE).contains(&token.limit))
    else {
        return Err(ApiError::Forbidden("Forbidden".to_owned()));
    };
    let after = Some((occurred.0, id));
    let (filter, events, _) = read(&state, filter, after, limit, state.now()).await?;
    let page = page(&headers, filter, events, limit, total, false);
    Ok(view(dialect, page))
}

/// Reads one event more than a page has, which tells whether there is another page.
async fn read(
    state: &AppState,
    filter: EventFilter,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<(EventFilter, Vec<ReceivedEvent>, i64), ApiError> {
    let mut asked = filter.clone();
    asked.occurred.clamp(state.events_since());
    let read = async move |conn: &mut _| {
        let events = models::events::list(conn, &asked, after, limit + 1, now).await?;
        let total = match after {
            None => models::events::count(conn, &asked, now).await?,
            Some(_) => 0,
        };
        Ok((filter, events, total))
    };
    Ok(state.db.read(read).await?)
}

fn page(
    headers: &HeaderMap,
    filter: EventFilter,
    mut events: Vec<ReceivedEvent>,
    limit: i64,
    total: i64,
    is_first: bool,
) -> EventPage {
    let size = usize::try_from(limit).unwrap_or(0);
    let has_more = events.len() > size && limit > 0;
    events.truncate(size);
    let total = if is_first {
        total.max(events.len() as i64)
    } else {
        total
    };
    let token = events.last().filter(|_| has_more).map(|last| Token {
        filter,
        limit,
        total,
        occurred: last.event.occurred,
        id: last.event.id.0,
    });
    let next_page = token.map(|token| {
        let token = serde_json::to_vec(&token).expect("a filter is JSON");
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let scheme = headers
            .get("x-forwarded-proto")
            .and_then(|scheme| scheme.to_str().ok());
        format!(
            "{}://{}/api/events/filter/next?page-token={}",
            scheme.unwrap_or("http"),
            host.unwrap_or("localhost"),
            URL_SAFE_NO_PAD.encode(token)
        )
    });
    EventPage {
        events,
        total,
        next_page,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::refusal;

    #[test]
    fn a_limit_that_is_out_of_bounds_is_refused_with_the_body_that_has_it() {
        for (body, bound) in [(r#"{"limit":200}"#, "50"), (r#"{"limit":-1}"#, "0")] {
            let ApiError::Invalid {
                details,
                body: echo,
            } = refusal::explain::<EventsQuery>(body.as_bytes())
            else {
                panic!("{body} is a mistake in the body");
            };
            assert_eq!(echo.to_string(), body);
            let told = details[0].told(Dialect::Three, &echo);
            assert_eq!(told["loc"], serde_json::json!(["body", "limit"]));
            assert_eq!(told["input"], echo["limit"]);
            assert!(told["msg"].as_str().unwrap().ends_with(bound), "{told}");
        }
    }
}
