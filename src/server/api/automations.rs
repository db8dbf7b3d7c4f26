//! `/automations`: what sets off what.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::db::{self, Conn};
use crate::schemas::automations::{
    Action, Automation, AutomationBody, AutomationCreate, AutomationPatch, AutomationUpdate, Flaw,
};
use crate::schemas::filters::{AutomationSort, AutomationsCount, AutomationsQuery};
use crate::schemas::{AutomationId, Dialect};
use crate::server::automations::templates;
use crate::server::changes::{Change, Kind};
use crate::server::events::lifecycle;
use crate::server::extract::{Answer, Body, Id, view};
use crate::server::mistake::Mistake;
use crate::server::models::events::lifecycle::{Became, Happened};
use crate::server::{ApiError, AppState, models};

/// Creates an automation.
#[utoipa::path(post, path = "/automations/", request_body = AutomationCreate, responses((status = 201, body = Automation)))]
pub async fn create_automation(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(AutomationCreate {
        body,
        owner_resource,
    }): Body<AutomationCreate>,
) -> Result<impl IntoResponse, ApiError> {
    check(&body)?;
    let now = state.now();
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let owner = owner_resource.as_deref();
        let automation = models::automations::create(conn, body, owner, now).await?;
        happened.automation(Became::Created, &automation);
        Ok(automation)
    };
    let automation = lifecycle::write(&state, write).await?;
    changed(&state, automation.id).await?;
    Ok((StatusCode::CREATED, view(dialect, automation)))
}

/// Changes what an automation is and does.
#[utoipa::path(put, path = "/automations/{id}", params(("id" = AutomationId, Path)), request_body = AutomationBody, responses((status = 204)))]
pub async fn update_automation(
    State(state): State<AppState>,
    Id(id): Id<AutomationId>,
    Body(update): Body<AutomationUpdate>,
) -> Result<StatusCode, ApiError> {
    check(&update.body)?;
    let now = state.now();
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let Some(known) = models::automations::read(conn, id).await? else {
            return Ok(Ok(false));
        };
        let body = update.over(known.body);
        if let Err(refusal) = check(&body) {
            return Ok(Err(refusal));
        }
        models::automations::update(conn, id, body, now).await?;
        note_updated(conn, happened, id).await.map(Ok)
    };
    let found = lifecycle::write(&state, write).await??;
    done(&state, id, found).await
}

/// Switches an automation on or off.
#[utoipa::path(patch, path = "/automations/{id}", params(("id" = AutomationId, Path)), request_body = AutomationPatch, responses((status = 204)))]
pub async fn patch_automation(
    State(state): State<AppState>,
    Id(id): Id<AutomationId>,
    Body(AutomationPatch { enabled }): Body<AutomationPatch>,
) -> Result<StatusCode, ApiError> {
    let now = state.now();
    let read = async move |conn: &mut _| models::automations::read(conn, id).await;
    if let Some(known) = state.db.read(read).await? {
        // What was harmless while it was off may go on for ever once it is on.
        check(&AutomationBody {
            enabled,
            ..known.body
        })?;
    }
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        models::automations::set_enabled(conn, id, enabled, now).await?;
        note_updated(conn, happened, id).await
    };
    let found = lifecycle::write(&state, write).await?;
    done(&state, id, found).await
}

/// Notes that an automation was changed; tells whether there is one.
async fn note_updated(
    conn: &mut Conn,
    happened: &mut Happened,
    id: AutomationId,
) -> db::Result<bool> {
    let changed = models::automations::read(conn, id).await?;
    if let Some(automation) = &changed {
        happened.automation(Became::Updated, automation);
    }
    Ok(changed.is_some())
}

/// Deletes an automation.
#[utoipa::path(delete, path = "/automations/{id}", params(("id" = AutomationId, Path)), responses((status = 204)))]
pub async fn delete_automation(
    State(state): State<AppState>,
    Id(id): Id<AutomationId>,
) -> Result<StatusCode, ApiError> {
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let deleted = models::automations::delete(conn, id).await?;
        if let Some(automation) = &deleted {
            happened.automation(Became::Deleted, automation);
        }
        Ok(deleted.is_some())
    };
    let found = lifecycle::write(&state, write).await?;
    done(&state, id, found).await
}

/// Returns an automation.
#[utoipa::path(get, path = "/automations/{id}", params(("id" = AutomationId, Path)), responses((status = 200, body = Automation)))]
pub async fn read_automation(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<AutomationId>,
) -> Result<impl IntoResponse, ApiError> {
    let found = state
        .db
        .read(async move |conn| models::automations::read(conn, id).await)
        .await?;
    found
        .map(|automation| view(dialect, automation))
        .ok_or_else(|| unknown(id))
}

/// Returns the automations of a page.
#[utoipa::path(post, path = "/automations/filter", request_body = AutomationsQuery, responses((status = 200, body = Vec<Automation>)))]
pub async fn read_automations(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<AutomationsQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let (limit, offset) = (
        state.limit(asked.limit)?,
        i64::from(asked.offset.unwrap_or(0)),
    );
    let sort = asked.sort.unwrap_or(AutomationSort::NameAsc);
    let filter = asked.automations.unwrap_or_default();
    let read = async move |conn: &mut _| {
        models::automations::list(conn, &filter, sort, limit, offset).await
    };
    Ok(view(dialect, state.db.read(read).await?))
}

/// Counts automations.
#[utoipa::path(post, path = "/automations/count", request_body = AutomationsCount, responses((status = 200, body = i64)))]
pub async fn count_automations(
    State(state): State<AppState>,
    Body(asked): Body<AutomationsCount>,
) -> Result<Answer<i64>, ApiError> {
    let filter = asked.automations.unwrap_or_default();
    Ok(Answer(
        state
            .db
            .read(async move |conn| models::automations::count(conn, &filter).await)
            .await?,
    ))
}

/// Returns the automations that have to do with a resource.
#[utoipa::path(get, path = "/automations/related-to/{resource_id}", params(("resource_id" = String, Path)), responses((status = 200, body = Vec<Automation>)))]
pub async fn read_automations_related_to_resource(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(resource): Id<String>,
) -> Result<impl IntoResponse, ApiError> {
    let read =
        async move |conn: &mut _| models::automations::list_related_to(conn, &resource).await;
    Ok(view(dialect, state.db.read(read).await?))
}

/// Deletes the automations that belong to a resource.
#[utoipa::path(delete, path = "/automations/owned-by/{resource_id}", params(("resource_id" = String, Path)), responses((status = 202)))]
pub async fn delete_automations_owned_by_resource(
    State(state): State<AppState>,
    Id(resource): Id<String>,
) -> Result<impl IntoResponse, ApiError> {
    // That they go is no news beside that of their owner.
    let write =
        async move |conn: &mut Conn| models::automations::delete_owned_by(conn, &resource).await;
    if state.db.write(write).await? > 0 {
        state.automations.reload(&state.db).await?;
    }
    Ok((StatusCode::ACCEPTED, Answer(())))
}

/// Checks that a text is a template.
#[utoipa::path(post, path = "/templates/validate", request_body = String, responses((status = 204), (status = 422)))]
pub async fn validate_template(Body(template): Body<Option<String>>) -> Response {
    let template = template.unwrap_or_default();
    match templates::check(&template) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(templates::Fault { line, text }) => {
            let body = json!({"error": {"line": line, "message": text, "source": template}});
            (StatusCode::UNPROCESSABLE_ENTITY, Answer(body)).into_response()
        }
    }
}

/// Checks that a text is a template, as an action of an automation would use it.
#[utoipa::path(post, path = "/automations/templates/validate", request_body = String, responses((status = 204), (status = 422)))]
pub async fn validate_automation_template(body: Body<Option<String>>) -> Response {
    validate_template(body).await
}

fn check(body: &AutomationBody) -> Result<(), ApiError> {
    let mut flaws = body.flaws();
    for (place, action) in body.placed_actions() {
        let texts: &[(&str, &String)] = match action {
            Action::SendNotification { subject, body, .. } => {
                &[("subject", subject), ("body", body)]
            }
            Action::CallWebhook { payload, .. } => &[("payload", payload)],
            _ => &[],
        };
        for (field, text) in texts {
            if let Err(templates::Fault { text: why, .. }) = templates::check(text) {
                let place = [&place[..], &[(*field).into()]].concat();
                let text = format!("'{field}' is not a valid template: {why}");
                flaws.push(Flaw::new(&place, text));
            }
        }
    }
    if flaws.is_empty() {
        return Ok(());
    }
    let mistake =
        |flaw: Flaw| Mistake::of([&[json!("body")], &flaw.place[..]].concat(), &flaw.text);
    Err(ApiError::Invalid {
        details: flaws.into_iter().map(mistake).collect(),
        body: serde_json::to_value(body).unwrap_or_default(),
    })
}

fn unknown(id: AutomationId) -> ApiError {
    ApiError::NoObject(format!("Automation {id} not found"))
}

async fn done(state: &AppState, id: AutomationId, found: bool) -> Result<StatusCode, ApiError> {
    if !found {
        return Err(unknown(id));
    }
    changed(state, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn changed(state: &AppState, id: AutomationId) -> Result<(), ApiError> {
    state.automations.reload(&state.db).await?;
    state.changes.tell(Change::of(Kind::Automation, id.0));
    Ok(())
}
