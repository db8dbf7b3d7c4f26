//! The table of routes: handlers in groups, each with path and method in its own attribute.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::api::*;
use super::extract::MAX_BODY_BYTES;

fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        // Flows.
        .routes(routes!(flows::create_flow))
        .routes(routes!(flows::read_flow_by_name))
        .routes(routes!(
            flows::read_flow,
            flows::update_flow,
            flows::delete_flow
        ))
}

/// Returns the document that describes the API.
pub fn openapi() -> utoipa::openapi::OpenApi {
    OpenApiRouter::new().nest("/api", api()).split_for_parts().1
}

/// Makes the whole service of a state.
pub fn router(state: AppState) -> Router {
    let (router, _) = OpenApiRouter::new().nest("/api", api()).split_for_parts();
    router
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(state)
}
