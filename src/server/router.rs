//! The table of routes: handlers in groups, each with path and method in its own attribute.

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, get, on};
use utoipa::__dev::SchemaReferences;
use utoipa::openapi::path::{HttpMethod, Paths};
use utoipa_axum::PathItemExt;
use utoipa_axum::router::OpenApiRouter;

use super::api::*;
use super::{ApiError, AppState, guard};

/// What routes are entered in: a router, or one that is described as well.
///
/// A server has no use for the description of its whole API, which would take it more memory than all
/// the rest of its start, and two megabytes of its executable.
trait Table: Sized {
    /// Enters a handler under the path and the methods that its attribute names.
    fn enter<D, H, T>(self, handler: H) -> Self
    where
        D: utoipa::Path + SchemaReferences,
        H: Handler<T, AppState>,
        T: 'static;
    /// Enters what has no place in a description.
    fn route(self, path: &str, handlers: MethodRouter<AppState>) -> Self;
}

/// Enters handlers, each named with its module.
macro_rules! routes {
    ($table:expr, $($module:ident::$handler:ident),+ $(,)?) => {{
        let table = $table;
        utoipa_axum::paste! {
            $(let table = table.enter::<$module::[<__path_ $handler>], _, _>($module::$handler);)+
        }
        table
    }};
}

impl Table for Router<AppState> {
    fn enter<D, H, T>(self, handler: H) -> Self
    where
        D: utoipa::Path,
        H: Handler<T, AppState>,
        T: 'static,
    {
        Table::route(self, &D::path(), on(filter(&D::methods()), handler))
    }

    /// Not nested, for which axum would write the path of each request anew.
    fn route(self, path: &str, handlers: MethodRouter<AppState>) -> Self {
        let path = if path == "/" { "" } else { path };
        self.route(&format!("/api{path}"), handlers)
    }
}

impl Table for OpenApiRouter<AppState> {
    fn enter<D, H, T>(self, handler: H) -> Self
    where
        D: utoipa::Path + SchemaReferences,
        H: Handler<T, AppState>,
        T: 'static,
    {
        let (mut schemas, mut paths) = (Vec::new(), Paths::new());
        D::schemas(&mut schemas);
        paths.add_path_operation(D::path(), D::methods(), D::operation());
        self.routes((schemas, paths, on(filter(&D::methods()), handler)))
    }

    fn route(self, path: &str, handlers: MethodRouter<AppState>) -> Self {
        self.route(path, handlers)
    }
}

fn filter(methods: &[HttpMethod]) -> MethodFilter {
    let filters = methods.iter().map(PathItemExt::to_method_filter);
    filters
        .reduce(MethodFilter::or)
        .expect("an attribute names at least one method")
}

fn api<T: Table>(table: T) -> T {
    let table = routes!(
        table,
        // Flows.
        flows::create_flow,
        flows::read_flows,
        flows::count_flows,
        flows::read_flow_by_name,
        flows::read_flow,
        flows::update_flow,
        flows::delete_flow,
        // Flow runs.
        flow_runs::create_flow_run,
        flow_runs::read_flow_runs,
        flow_runs::count_flow_runs,
        flow_runs::flow_run_history,
        flow_runs::read_flow_run,
        flow_runs::update_flow_run,
        flow_runs::delete_flow_run,
        flow_runs::set_flow_run_state,
        flow_runs::resume_flow_run,
        flow_runs::update_flow_run_labels,
        flow_run_graphs::read_flow_run_graph,
        flow_run_graphs::read_flow_run_graph_v2,
        flow_runs::read_flow_run_points,
        flow_run_inputs::create_flow_run_input,
        flow_run_inputs::filter_flow_run_inputs,
        flow_run_inputs::read_flow_run_input,
        flow_run_inputs::delete_flow_run_input,
        // Task runs.
        task_runs::create_task_run,
        task_runs::read_task_runs,
        task_runs::count_task_runs,
        task_runs::task_run_history,
        task_runs::read_task_run,
        task_runs::update_task_run,
        task_runs::delete_task_run,
        task_runs::set_task_run_state,
        task_runs::record_task_runs,
        // States and logs.
        states::read_flow_run_states,
        states::read_flow_run_state,
        states::read_task_run_states,
        states::read_task_run_state,
        logs::create_logs,
        logs::read_logs,
        logs::download_logs,
        // Deployments.
        deployments::create_deployment,
        deployments::read_deployments,
        deployments::count_deployments,
        deployments::read_deployment_by_name,
        deployments::read_deployment,
        deployments::update_deployment,
        deployments::delete_deployment,
        deployments::schedule_deployment,
        deployments::set_schedule_active,
        deployments::set_schedule_inactive,
        deployments::create_flow_run_from_deployment,
        deployment_schedules::read_deployment_runs,
        deployment_schedules::pause_deployment,
        deployment_schedules::resume_deployment,
        deployment_schedules::read_deployment_schedules,
        deployment_schedules::create_deployment_schedules,
        deployment_schedules::update_deployment_schedule,
        deployment_schedules::delete_deployment_schedule,
        deployment_schedules::check_work_queues,
        // Work queues.
        work_queues::create_work_queue,
        work_queues::read_work_queues,
        work_queues::read_work_queue_by_name,
        work_queues::read_work_queue,
        work_queues::update_work_queue,
        work_queues::delete_work_queue,
        work_queues::read_work_queue_runs,
        work_queues::read_work_queue_status,
        concurrency_status::read_work_queue_concurrency_status,
        // Work pools.
        work_pools::create_work_pool,
        work_pools::read_work_pools,
        work_pools::count_work_pools,
        work_pools::read_work_pool,
        work_pools::update_work_pool,
        work_pools::delete_work_pool,
        work_pools::read_work_pool_runs,
        concurrency_status::read_work_pool_concurrency_status,
        work_pools::create_pool_queue,
        work_pools::read_pool_queues,
        work_pools::read_pool_queue,
        work_pools::update_pool_queue,
        work_pools::delete_pool_queue,
        work_pools::worker_heartbeat,
        work_pools::read_workers,
        work_pools::delete_worker,
        due::stream_due_runs,
        due::stream_due_runs_of_pool,
        // Limits on task runs by tag.
        concurrency_limits::create_concurrency_limit,
        concurrency_limits::read_concurrency_limits,
        concurrency_limits::read_concurrency_limit_by_tag,
        concurrency_limits::delete_concurrency_limit_by_tag,
        concurrency_limits::reset_concurrency_limit_by_tag,
        concurrency_limits::read_concurrency_limit,
        concurrency_limits::delete_concurrency_limit,
        concurrency_limits::increment_concurrency_limits,
        concurrency_limits::decrement_concurrency_limits,
        // Limits on whatever has a name.
        global_concurrency_limits::create_global_concurrency_limit,
        global_concurrency_limits::read_global_concurrency_limits,
        global_concurrency_limits::increment_slots,
        global_concurrency_limits::decrement_slots,
        global_concurrency_limits::increment_slots_with_lease,
        global_concurrency_limits::decrement_slots_with_lease,
        global_concurrency_limits::renew_lease,
        global_concurrency_limits::read_global_concurrency_limit,
        global_concurrency_limits::update_global_concurrency_limit,
        global_concurrency_limits::delete_global_concurrency_limit,
        // Blocks.
        block_specs::create_block_spec,
        block_specs::read_block_specs,
        block_specs::delete_block_spec,
        block_specs::read_block_spec_versions,
        block_specs::read_block_spec_version,
        block_specs::read_latest_block_by_name,
        block_specs::read_block_by_name,
        blocks::create_block,
        blocks::read_blocks,
        blocks::get_default_storage_block,
        blocks::clear_default_storage_block,
        blocks::read_block,
        blocks::update_block,
        blocks::delete_block,
        blocks::set_default_storage_block,
        block_types::create_block_type,
        block_types::read_block_types,
        block_types::read_block_type_by_slug,
        block_types::read_block_documents_for_block_type,
        block_types::read_block_document_by_name_for_block_type,
        block_types::install_system_block_types,
        block_types::read_block_type_by_id,
        block_types::update_block_type,
        block_types::delete_block_type,
        block_schemas::create_block_schema,
        block_schemas::read_block_schemas,
        block_schemas::read_block_schema_by_checksum,
        block_schemas::read_block_schema_by_id,
        block_schemas::delete_block_schema,
        block_schemas::read_available_block_capabilities,
        block_documents::create_block_document,
        block_documents::read_block_documents,
        block_documents::count_block_documents,
        block_documents::read_block_document_by_id,
        block_documents::update_block_document_data,
        block_documents::delete_block_document,
        // Events.
        events::create_events,
        events::read_events,
        events::read_events_page,
        events::count_events,
        // Automations.
        automations::create_automation,
        automations::read_automations,
        automations::count_automations,
        automations::read_automation,
        automations::update_automation,
        automations::patch_automation,
        automations::delete_automation,
        automations::read_automations_related_to_resource,
        automations::delete_automations_owned_by_resource,
        automations::validate_template,
        automations::validate_automation_template,
        // Background tasks.
        task_workers::read_task_workers,
        // Variables.
        variables::create_variable,
        variables::read_variables,
        variables::count_variables,
        variables::read_variable_by_name,
        variables::update_variable_by_name,
        variables::delete_variable_by_name,
        variables::read_variable,
        variables::update_variable,
        variables::delete_variable,
        // Artifacts.
        artifacts::create_artifact,
        artifacts::read_artifacts,
        artifacts::count_artifacts,
        artifacts::read_latest_artifacts,
        artifacts::count_latest_artifacts,
        artifacts::read_latest_artifact,
        artifacts::read_artifact,
        artifacts::update_artifact,
        artifacts::delete_artifact,
        // Pages with their number, and many objects at once.
        pages::paginate_flows,
        pages::paginate_flow_runs,
        pages::paginate_task_runs,
        pages::paginate_deployments,
        bulk::bulk_delete_flows,
        bulk::bulk_delete_flow_runs,
        bulk::bulk_delete_deployments,
        bulk::bulk_set_flow_run_state,
        bulk::bulk_create_flow_runs_from_deployment,
        // Counts for dashboards of others.
        counts::average_flow_run_lateness,
        counts::count_task_runs_by_flow_run,
        counts::count_deployments_by_flow,
        counts::next_runs_by_flow,
        counts::count_task_runs_by_state,
        counts::count_task_runs_by_time,
        counts::read_task_run_for_ui,
        collections::read_collection_view,
        // Saved searches.
        saved_searches::put_saved_search,
        saved_searches::read_saved_searches,
        saved_searches::read_saved_search,
        saved_searches::delete_saved_search,
        // The server itself.
        admin::health,
        admin::ready,
        admin::api_version,
        admin::hello,
        admin::hello_at_the_root,
        ui_schemas::validate_values,
        // Notifications about flow runs.
        notification_policies::create_notification_policy,
        notification_policies::read_notification_policies,
        notification_policies::read_notification_policy,
        notification_policies::update_notification_policy,
        notification_policies::delete_notification_policy,
        admin::version,
        admin::read_result_storage,
        admin::update_result_storage,
        admin::clear_result_storage,
        csrf_tokens::create_csrf_token,
        admin::settings,
        admin::clear_database,
        admin::drop_database,
        admin::create_database,
        // Why a run does not run.
        ui::explain_flow_run,
    );
    // What is no exchange of JSON has no place in a description.
    table
        .route(
            "/work_pools/{name}/workers/connect",
            get(worker_channel::connect_worker),
        )
        .route("/events/in", get(events::stream_events_in))
        .route("/events/out", get(events::stream_events_out))
        .route("/logs/out", get(logs::stream_logs_out))
        .route(
            "/task_runs/subscriptions/scheduled",
            get(task_workers::scheduled_task_subscription),
        )
}

/// Whole pages for our dashboard; they may change with it, so they have a document of their own.
fn dashboard<T: Table>(table: T) -> T {
    routes!(
        table,
        ui::stream_changes,
        ui::read_info,
        ui::read_overview,
        ui::list_flow_runs,
        ui::read_flow_run_page,
        ui::read_flow_run_columns,
        ui::list_flow_run_results,
        ui::list_task_runs,
        ui::read_task_run_page,
        ui::list_logs,
        ui::list_names,
        ui::read_flow_panel,
        ui::list_deployments,
        ui::read_deployment_page,
        ui::preview_schedule,
        ui::list_work_pools,
        ui::read_work_pool_page,
        ui::list_work_queues,
        ui::read_work_queue_page,
        ui::list_concurrency_limits,
        ui::list_blocks,
        ui::find_blocks,
    )
}

/// Returns the document of what our dashboard reads.
pub fn dashboard_openapi() -> utoipa::openapi::OpenApi {
    let table = dashboard(OpenApiRouter::new());
    routes!(
        table,
        ui::explain_flow_run,
        events::read_events,
        automations::read_automations
    )
    .into_openapi()
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

/// Makes the routes of a state, the API's and the dashboard's.
pub fn router(state: AppState) -> Router {
    let base = super::ui::base(&state.settings.server_ui_serve_base);
    let mut router = dashboard(api(Router::new()));
    // Who asks for nothing pays nothing for it.
    if guard::is_needed(&state.settings) {
        router = router.route_layer(from_fn_with_state(state.clone(), guard::guard));
    }
    let service = router
        .fallback(super::ui::serve)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state);
    // A proxy may or may not take the base off the path, so both ways lead here.
    if base.is_empty() {
        service
    } else {
        service.clone().nest(&base, service)
    }
}
