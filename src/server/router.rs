//! The table of routes: handlers in groups, each with path and method in its own attribute.

use std::any::Any;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use super::api::*;
use super::extract::MAX_BODY_BYTES;
use super::{ApiError, AppState, guard, mistake};

/// What routes are entered in: a router, or one that is described as well.
///
/// A server has no use for the description of its whole API, which takes it more memory than all
/// the rest of its start.
trait Table: Sized {
    /// Enters handlers of one path.
    fn routes(self, handlers: UtoipaMethodRouter<AppState>) -> Self;
    /// Enters what has no place in a description.
    fn route(self, path: &str, handlers: MethodRouter<AppState>) -> Self;
}

impl Table for Router<AppState> {
    fn routes(self, (_, described, handlers): UtoipaMethodRouter<AppState>) -> Self {
        let paths = described.paths.keys();
        paths.fold(self, |table, path| table.route(path, handlers.clone()))
    }

    fn route(self, path: &str, handlers: MethodRouter<AppState>) -> Self {
        self.route(path, handlers)
    }
}

impl Table for OpenApiRouter<AppState> {
    fn routes(self, handlers: UtoipaMethodRouter<AppState>) -> Self {
        self.routes(handlers)
    }

    fn route(self, path: &str, handlers: MethodRouter<AppState>) -> Self {
        self.route(path, handlers)
    }
}

fn api<T: Table>(table: T) -> T {
    table
        // Flows.
        .routes(routes!(flows::create_flow))
        .routes(routes!(flows::read_flows))
        .routes(routes!(flows::count_flows))
        .routes(routes!(flows::read_flow_by_name))
        .routes(routes!(
            flows::read_flow,
            flows::update_flow,
            flows::delete_flow
        ))
        // Flow runs.
        .routes(routes!(flow_runs::create_flow_run))
        .routes(routes!(flow_runs::read_flow_runs))
        .routes(routes!(flow_runs::count_flow_runs))
        .routes(routes!(flow_runs::flow_run_history))
        .routes(routes!(
            flow_runs::read_flow_run,
            flow_runs::update_flow_run,
            flow_runs::delete_flow_run
        ))
        .routes(routes!(flow_runs::set_flow_run_state))
        .routes(routes!(flow_runs::resume_flow_run))
        .routes(routes!(flow_runs::update_flow_run_labels))
        .routes(routes!(flow_runs::read_flow_run_graph))
        .routes(routes!(flow_run_graphs::read_flow_run_graph_v2))
        .routes(routes!(flow_runs::read_flow_run_points))
        .routes(routes!(flow_run_inputs::create_flow_run_input))
        .routes(routes!(flow_run_inputs::filter_flow_run_inputs))
        .routes(routes!(
            flow_run_inputs::read_flow_run_input,
            flow_run_inputs::delete_flow_run_input
        ))
        // Task runs.
        .routes(routes!(task_runs::create_task_run))
        .routes(routes!(task_runs::read_task_runs))
        .routes(routes!(task_runs::count_task_runs))
        .routes(routes!(task_runs::task_run_history))
        .routes(routes!(
            task_runs::read_task_run,
            task_runs::update_task_run,
            task_runs::delete_task_run
        ))
        .routes(routes!(task_runs::set_task_run_state))
        // States and logs.
        .routes(routes!(states::read_flow_run_states))
        .routes(routes!(states::read_flow_run_state))
        .routes(routes!(states::read_task_run_states))
        .routes(routes!(states::read_task_run_state))
        .routes(routes!(logs::create_logs))
        .routes(routes!(logs::read_logs))
        .routes(routes!(logs::download_logs))
        // Deployments.
        .routes(routes!(deployments::create_deployment))
        .routes(routes!(deployments::read_deployments))
        .routes(routes!(deployments::count_deployments))
        .routes(routes!(deployments::read_deployment_by_name))
        .routes(routes!(
            deployments::read_deployment,
            deployments::update_deployment,
            deployments::delete_deployment
        ))
        .routes(routes!(deployments::schedule_deployment))
        .routes(routes!(deployments::set_schedule_active))
        .routes(routes!(deployments::set_schedule_inactive))
        .routes(routes!(deployments::create_flow_run_from_deployment))
        .routes(routes!(deployment_schedules::read_deployment_runs))
        .routes(routes!(deployment_schedules::pause_deployment))
        .routes(routes!(deployment_schedules::resume_deployment))
        .routes(routes!(
            deployment_schedules::read_deployment_schedules,
            deployment_schedules::create_deployment_schedules
        ))
        .routes(routes!(
            deployment_schedules::update_deployment_schedule,
            deployment_schedules::delete_deployment_schedule
        ))
        .routes(routes!(deployment_schedules::check_work_queues))
        // Work queues.
        .routes(routes!(work_queues::create_work_queue))
        .routes(routes!(work_queues::read_work_queues))
        .routes(routes!(work_queues::read_work_queue_by_name))
        .routes(routes!(
            work_queues::read_work_queue,
            work_queues::update_work_queue,
            work_queues::delete_work_queue
        ))
        .routes(routes!(work_queues::read_work_queue_runs))
        .routes(routes!(work_queues::read_work_queue_status))
        .routes(routes!(
            concurrency_status::read_work_queue_concurrency_status
        ))
        // Work pools.
        .routes(routes!(work_pools::create_work_pool))
        .routes(routes!(work_pools::read_work_pools))
        .routes(routes!(work_pools::count_work_pools))
        .routes(routes!(
            work_pools::read_work_pool,
            work_pools::update_work_pool,
            work_pools::delete_work_pool
        ))
        .routes(routes!(work_pools::read_work_pool_runs))
        .routes(routes!(
            concurrency_status::read_work_pool_concurrency_status
        ))
        .routes(routes!(work_pools::create_pool_queue))
        .routes(routes!(work_pools::read_pool_queues))
        .routes(routes!(
            work_pools::read_pool_queue,
            work_pools::update_pool_queue,
            work_pools::delete_pool_queue
        ))
        .routes(routes!(work_pools::worker_heartbeat))
        .routes(routes!(work_pools::read_workers))
        .routes(routes!(work_pools::delete_worker))
        .route(
            "/work_pools/{name}/workers/connect",
            get(worker_channel::connect_worker),
        )
        .routes(routes!(due::stream_due_runs))
        .routes(routes!(due::stream_due_runs_of_pool))
        // Limits on task runs by tag.
        .routes(routes!(concurrency_limits::create_concurrency_limit))
        .routes(routes!(concurrency_limits::read_concurrency_limits))
        .routes(routes!(
            concurrency_limits::read_concurrency_limit_by_tag,
            concurrency_limits::delete_concurrency_limit_by_tag
        ))
        .routes(routes!(concurrency_limits::reset_concurrency_limit_by_tag))
        .routes(routes!(
            concurrency_limits::read_concurrency_limit,
            concurrency_limits::delete_concurrency_limit
        ))
        .routes(routes!(concurrency_limits::increment_concurrency_limits))
        .routes(routes!(concurrency_limits::decrement_concurrency_limits))
        // Limits on whatever has a name.
        .routes(routes!(
            global_concurrency_limits::create_global_concurrency_limit
        ))
        .routes(routes!(
            global_concurrency_limits::read_global_concurrency_limits
        ))
        .routes(routes!(global_concurrency_limits::increment_slots))
        .routes(routes!(global_concurrency_limits::decrement_slots))
        .routes(routes!(
            global_concurrency_limits::increment_slots_with_lease
        ))
        .routes(routes!(
            global_concurrency_limits::decrement_slots_with_lease
        ))
        .routes(routes!(global_concurrency_limits::renew_lease))
        .routes(routes!(
            global_concurrency_limits::read_global_concurrency_limit,
            global_concurrency_limits::update_global_concurrency_limit,
            global_concurrency_limits::delete_global_concurrency_limit
        ))
        // Blocks.
        .routes(routes!(block_specs::create_block_spec))
        .routes(routes!(block_specs::read_block_specs))
        .routes(routes!(block_specs::delete_block_spec))
        .routes(routes!(block_specs::read_block_spec_versions))
        .routes(routes!(block_specs::read_block_spec_version))
        .routes(routes!(block_specs::read_latest_block_by_name))
        .routes(routes!(block_specs::read_block_by_name))
        .routes(routes!(blocks::create_block))
        .routes(routes!(blocks::read_blocks))
        .routes(routes!(blocks::get_default_storage_block))
        .routes(routes!(blocks::clear_default_storage_block))
        .routes(routes!(
            blocks::read_block,
            blocks::update_block,
            blocks::delete_block
        ))
        .routes(routes!(blocks::set_default_storage_block))
        .routes(routes!(block_types::create_block_type))
        .routes(routes!(block_types::read_block_types))
        .routes(routes!(block_types::read_block_type_by_slug))
        .routes(routes!(block_types::read_block_documents_for_block_type))
        .routes(routes!(
            block_types::read_block_document_by_name_for_block_type
        ))
        .routes(routes!(block_types::install_system_block_types))
        .routes(routes!(
            block_types::read_block_type_by_id,
            block_types::update_block_type,
            block_types::delete_block_type
        ))
        .routes(routes!(block_schemas::create_block_schema))
        .routes(routes!(block_schemas::read_block_schemas))
        .routes(routes!(block_schemas::read_block_schema_by_checksum))
        .routes(routes!(
            block_schemas::read_block_schema_by_id,
            block_schemas::delete_block_schema
        ))
        .routes(routes!(block_schemas::read_available_block_capabilities))
        .routes(routes!(block_documents::create_block_document))
        .routes(routes!(block_documents::read_block_documents))
        .routes(routes!(block_documents::count_block_documents))
        .routes(routes!(
            block_documents::read_block_document_by_id,
            block_documents::update_block_document_data,
            block_documents::delete_block_document
        ))
        // Events.
        .routes(routes!(events::create_events))
        .routes(routes!(events::read_events))
        .routes(routes!(events::read_events_page))
        .routes(routes!(events::count_events))
        .route("/events/in", get(events::stream_events_in))
        .route("/events/out", get(events::stream_events_out))
        .route("/logs/out", get(logs::stream_logs_out))
        // Automations.
        .routes(routes!(automations::create_automation))
        .routes(routes!(automations::read_automations))
        .routes(routes!(automations::count_automations))
        .routes(routes!(
            automations::read_automation,
            automations::update_automation,
            automations::patch_automation,
            automations::delete_automation
        ))
        .routes(routes!(automations::read_automations_related_to_resource))
        .routes(routes!(automations::delete_automations_owned_by_resource))
        .routes(routes!(automations::validate_template))
        .routes(routes!(automations::validate_automation_template))
        // Background tasks.
        .routes(routes!(task_workers::read_task_workers))
        .route(
            "/task_runs/subscriptions/scheduled",
            get(task_workers::scheduled_task_subscription),
        )
        // Variables.
        .routes(routes!(variables::create_variable))
        .routes(routes!(variables::read_variables))
        .routes(routes!(variables::count_variables))
        .routes(routes!(
            variables::read_variable_by_name,
            variables::update_variable_by_name,
            variables::delete_variable_by_name
        ))
        .routes(routes!(
            variables::read_variable,
            variables::update_variable,
            variables::delete_variable
        ))
        // Artifacts.
        .routes(routes!(artifacts::create_artifact))
        .routes(routes!(artifacts::read_artifacts))
        .routes(routes!(artifacts::count_artifacts))
        .routes(routes!(artifacts::read_latest_artifacts))
        .routes(routes!(artifacts::count_latest_artifacts))
        .routes(routes!(artifacts::read_latest_artifact))
        .routes(routes!(
            artifacts::read_artifact,
            artifacts::update_artifact,
            artifacts::delete_artifact
        ))
        // Pages with their number, and many objects at once.
        .routes(routes!(pages::paginate_flows))
        .routes(routes!(pages::paginate_flow_runs))
        .routes(routes!(pages::paginate_task_runs))
        .routes(routes!(pages::paginate_deployments))
        .routes(routes!(bulk::bulk_delete_flows))
        .routes(routes!(bulk::bulk_delete_flow_runs))
        .routes(routes!(bulk::bulk_delete_deployments))
        .routes(routes!(bulk::bulk_set_flow_run_state))
        .routes(routes!(bulk::bulk_create_flow_runs_from_deployment))
        // Counts for dashboards of others.
        .routes(routes!(counts::average_flow_run_lateness))
        .routes(routes!(counts::count_task_runs_by_flow_run))
        .routes(routes!(counts::count_deployments_by_flow))
        .routes(routes!(counts::next_runs_by_flow))
        .routes(routes!(counts::count_task_runs_by_state))
        .routes(routes!(counts::count_task_runs_by_time))
        .routes(routes!(counts::read_task_run_for_ui))
        .routes(routes!(collections::read_collection_view))
        // Saved searches.
        .routes(routes!(saved_searches::put_saved_search))
        .routes(routes!(saved_searches::read_saved_searches))
        .routes(routes!(
            saved_searches::read_saved_search,
            saved_searches::delete_saved_search
        ))
        // The server itself.
        .routes(routes!(admin::health))
        .routes(routes!(admin::ready))
        .routes(routes!(admin::api_version))
        .routes(routes!(admin::hello))
        .routes(routes!(admin::hello_at_the_root))
        .routes(routes!(ui_schemas::validate_values))
        // Notifications about flow runs.
        .routes(routes!(notification_policies::create_notification_policy))
        .routes(routes!(notification_policies::read_notification_policies))
        .routes(routes!(
            notification_policies::read_notification_policy,
            notification_policies::update_notification_policy,
            notification_policies::delete_notification_policy
        ))
        .routes(routes!(admin::version))
        .routes(routes!(
            admin::read_result_storage,
            admin::update_result_storage,
            admin::clear_result_storage
        ))
        .routes(routes!(csrf_tokens::create_csrf_token))
        .routes(routes!(admin::settings))
        .routes(routes!(admin::clear_database))
        .routes(routes!(admin::drop_database))
        .routes(routes!(admin::create_database))
        // Why a run does not run.
        .routes(routes!(ui::explain_flow_run))
}

/// Whole pages for our dashboard; they may change with it, so they have a document of their own.
fn dashboard<T: Table>(table: T) -> T {
    table
        .routes(routes!(ui::stream_changes))
        .routes(routes!(ui::read_info))
        .routes(routes!(ui::read_overview))
        .routes(routes!(ui::list_flow_runs))
        .routes(routes!(ui::read_flow_run_page))
        .routes(routes!(ui::read_flow_run_columns))
        .routes(routes!(ui::list_flow_run_results))
        .routes(routes!(ui::list_task_runs))
        .routes(routes!(ui::read_task_run_page))
        .routes(routes!(ui::list_logs))
        .routes(routes!(ui::read_flow_panel))
        .routes(routes!(ui::list_deployments))
        .routes(routes!(ui::read_deployment_page))
        .routes(routes!(ui::preview_schedule))
        .routes(routes!(ui::list_work_pools))
        .routes(routes!(ui::read_work_pool_page))
        .routes(routes!(ui::list_work_queues))
        .routes(routes!(ui::read_work_queue_page))
        .routes(routes!(ui::list_concurrency_limits))
        .routes(routes!(ui::list_blocks))
}

/// Returns the document of what our dashboard reads.
pub fn dashboard_openapi() -> utoipa::openapi::OpenApi {
    dashboard(OpenApiRouter::new())
        .routes(routes!(ui::explain_flow_run))
        .routes(routes!(events::read_events))
        .routes(routes!(automations::read_automations))
        .into_openapi()
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    ApiError::Internal(format!("a handler panicked: {}", text.unwrap_or_default())).into_response()
}

async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}

/// Returns the document that describes the API.
pub fn openapi() -> utoipa::openapi::OpenApi {
    OpenApiRouter::new()
        .nest("/api", api(OpenApiRouter::new()))
        .into_openapi()
}

/// Makes the whole service of a state.
pub fn router(state: AppState) -> Router {
    let base = super::ui::base(&state.settings.server_ui_serve_base);
    let mut router = Router::new().nest("/api", dashboard(api(Router::new())));
    // Who asks for nothing pays nothing for it.
    if guard::is_needed(&state.settings) {
        router = router.route_layer(from_fn_with_state(state.clone(), guard::guard));
    }
    let service = router
        .fallback(super::ui::serve)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        // Handlers refuse without asking whom.
        .layer(from_fn(mistake::in_words_of_client))
        // Around the guard, since a browser asks whether it may before it sends credentials.
        .layer(super::cors::layer(&state.settings))
        // A fault of ours costs its own request, not the connection and what else is on it.
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(state);
    // A proxy may or may not take the base off the path, so both ways lead here.
    if base.is_empty() {
        service
    } else {
        service.clone().nest(&base, service)
    }
}
