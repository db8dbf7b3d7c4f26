//! Every `PREFECT_*` setting: its name, type, default and meaning, in one list.
//!
//! A value comes from the environment, else from the active profile in `profiles.toml`, else from its default.
//! Everything that speaks of settings (parsing, `config view`, the help of `config set`) reads the list [`SETTINGS`], so a
//! setting is added in exactly one place.
//! Names changed over the generations of Prefect; the newest is the name here and the older ones are aliases, so that the
//! environment and profile of any generation of clients mean the same to us.

mod database_url;
mod error;
mod http_url;
mod loaded;
mod profiles;
mod value;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

pub use database_url::DatabaseUrl;
pub use error::Error;
pub use http_url::HttpUrl;
pub use loaded::{Loaded, PLACES};
pub use profiles::{DEFAULT_PROFILE, Profiles};
pub use value::{LogFormat, LogLevel, MASK, Secret, Spans, Synchronous, Vacuum, Value};

/// One setting as data.
#[derive(Debug)]
pub struct Setting {
    /// The variable's name in the environment and in profiles.
    pub name: &'static str,
    /// Spellings of other generations, in the order in which they are looked for after `name`.
    pub aliases: &'static [&'static str],
    /// The default as text; `${PREFECT_HOME}` stands for the home directory, empty means not set.
    pub default: &'static str,
    /// What values are allowed.
    pub allowed: &'static str,
    /// Whether the value is never printed unless asked for.
    pub is_secret: bool,
    help: &'static str,
    check: fn(&str) -> Result<(), String>,
    masked: fn(&str) -> String,
    shown: fn(&Settings) -> Option<String>,
    text: fn(&Settings) -> Option<String>,
}

impl Setting {
    /// Returns the one sentence that says what the setting does.
    pub fn help(&self) -> &'static str {
        self.help.trim()
    }

    /// Returns the name and all aliases.
    pub fn spellings(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Returns the value for people: secrets masked, absence as `None`.
    pub fn shown(&self, settings: &Settings) -> Option<String> {
        (self.shown)(settings)
    }

    /// Returns the value in full, secrets included.
    pub fn revealed(&self, settings: &Settings) -> Option<String> {
        (self.text)(settings)
    }

    /// Returns a text that somebody gave the setting as people may see it.
    pub fn shown_text(&self, text: &str) -> String {
        (self.masked)(text)
    }

    /// Checks a text that somebody wants to give the setting.
    pub fn check(&'static self, text: &str, source: Source) -> Result<(), Error> {
        let expanded = text.replace(HOME_TEMPLATE, "/home");
        (self.check)(&expanded).map_err(|reason| Error::Invalid {
            setting: self,
            value: text.to_owned(),
            origin: source,
            reason,
        })
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The setting's default.
    Default,
    /// A profile, under the given spelling.
    Profile {
        /// The profile's name.
        profile: String,
        /// The spelling used there.
        variable: String,
    },
    /// An environment variable of the given spelling.
    Environment {
        /// The variable's name.
        variable: String,
    },
    /// Somebody typed it in a command.
    CommandLine,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::Profile { profile, .. } => write!(f, "profile '{profile}'"),
            Self::Environment { variable } => write!(f, "environment variable {variable}"),
            Self::CommandLine => write!(f, "command line"),
        }
    }
}

/// Stands for the home directory in defaults and in values.
const HOME_TEMPLATE: &str = "${PREFECT_HOME}";

/// Declares the struct [`Settings`] and the list [`SETTINGS`] from one table.
macro_rules! settings {
    ($( $(#[doc = $help:literal])+ $field:ident: $type:ty = $default:literal, $name:literal $(| $alias:literal)*; )*) => {
        /// The settings of one process, typed.
        ///
        /// ```
        /// use prefect_rs::sdk::Settings;
        ///
        /// let mut settings = Settings::default_for("/tmp/home");
        /// settings.client_max_retries = 0;
        /// assert_eq!(settings.home, std::path::Path::new("/tmp/home"));
        /// ```
        #[derive(Clone, Debug)]
        pub struct Settings {
            $( $(#[doc = $help])+ #[doc = ""] #[doc = concat!("`", $name, "`, default `", $default, "`.")] pub $field: $type, )*
        }

        /// Every setting, in the order in which they are shown.
        pub static SETTINGS: &[Setting] = &[
            $( Setting {
                name: $name,
                aliases: &[$($alias),*],
                default: $default,
                allowed: <$type as Value>::ALLOWED,
                is_secret: <$type as Value>::IS_SECRET,
                help: concat!($($help),+),
                check: |text| <$type as Value>::parse(text).map(drop),
                masked: |text| match <$type as Value>::parse(text) {
                    Ok(value) => value.shown().unwrap_or_default(),
                    Err(_) => <$type as Value>::shown_invalid(text),
                },
                shown: |settings| settings.$field.shown(),
                text: |settings| settings.$field.text(),
            }, )*
        ];

        impl Settings {
            /// Parses every setting from the text that `resolve` finds for it, in which the home may stand as a template.
            fn parse_all(home: &str, mut resolve: impl FnMut(&'static Setting) -> (String, Source)) -> Result<Self, Error> {
                let mut settings = SETTINGS.iter();
                Ok(Self {
                    // Fields are evaluated in the order in which they are written, which is that of the list.
                    $( $field: {
                        let setting = settings.next().expect("the list and the struct come from one table");
                        let (text, source) = resolve(setting);
                        <$type as Value>::parse_in(&text, home)
                            .map_err(|reason| Error::Invalid { setting, value: expand(&text, home), origin: source, reason })?
                    }, )*
                })
            }
        }
    };
}

settings! {
    /// The directory that holds the database, the storage and the profiles.
    home: PathBuf = "~/.prefect", "PREFECT_HOME";
    /// The file that holds the profiles.
    profiles_path: PathBuf = "${PREFECT_HOME}/profiles.toml", "PREFECT_PROFILES_PATH";
    /// Whether to log at DEBUG level everywhere.
    debug_mode: bool = "false", "PREFECT_DEBUG_MODE";
    /// Whether this is a run of a test suite; for Python clients of the profile, without effect here.
    test_mode: bool = "false", "PREFECT_TEST_MODE" | "PREFECT_TESTING_TEST_MODE";

    /// The URL of the API to talk to, with its `/api`; when not set, a server running on this home or else its database is used.
    api_url: Option<HttpUrl> = "", "PREFECT_API_URL";
    /// The token that clients send as `Authorization: Bearer`.
    api_key: Option<Secret> = "", "PREFECT_API_KEY";
    /// The `user:password` that clients send as `Authorization: Basic`.
    api_auth_string: Option<Secret> = "", "PREFECT_API_AUTH_STRING";
    /// Seconds that a client waits for an answer.
    api_request_timeout: Duration = "60", "PREFECT_API_REQUEST_TIMEOUT";
    /// How often a client sends a request again that failed for a passing reason.
    client_max_retries: u32 = "5", "PREFECT_CLIENT_MAX_RETRIES";
    /// How much of a wait between retries is left to chance.
    client_retry_jitter_factor: f64 = "0.2", "PREFECT_CLIENT_RETRY_JITTER_FACTOR";
    /// Seconds that a flow in Rust asks again while the server answers that it has failed; one that is away is waited for without end.
    flow_failing_server_timeout: Duration = "600", "PREFECT_RS_FLOW_FAILING_SERVER_TIMEOUT";

    /// Whether commands may use colours on a terminal.
    cli_colors: bool = "true", "PREFECT_CLI_COLORS";
    /// The level from which commands, agents and flow runs log.
    logging_level: LogLevel = "INFO", "PREFECT_LOGGING_LEVEL";
    /// The level from which the server logs.
    server_logging_level: LogLevel = "WARNING", "PREFECT_SERVER_LOGGING_LEVEL" | "PREFECT_LOGGING_SERVER_LEVEL";
    /// The form of log lines on the terminal.
    logging_format: LogFormat = "text", "PREFECT_RS_LOGGING_FORMAT";
    /// Whether the logs of runs are sent to the API.
    logging_to_api_enabled: bool = "true", "PREFECT_LOGGING_TO_API_ENABLED" | "PREFECT_LOGGING_ORION_ENABLED";
    /// Seconds between two batches of logs sent to the API; for Python clients of the profile, without effect here.
    logging_to_api_batch_interval: Duration = "2", "PREFECT_LOGGING_TO_API_BATCH_INTERVAL" | "PREFECT_LOGGING_ORION_BATCH_INTERVAL";
    /// Largest size in bytes of a batch of logs; for Python clients of the profile, without effect here.
    logging_to_api_batch_size: usize = "4000000", "PREFECT_LOGGING_TO_API_BATCH_SIZE" | "PREFECT_LOGGING_ORION_BATCH_SIZE";
    /// Largest size in bytes of a single log; for Python clients of the profile, without effect here.
    logging_to_api_max_log_size: usize = "1000000", "PREFECT_LOGGING_TO_API_MAX_LOG_SIZE" | "PREFECT_LOGGING_ORION_MAX_LOG_SIZE";

    /// The directory that holds the code of deployments and persisted results.
    local_storage_path: PathBuf = "${PREFECT_HOME}/storage", "PREFECT_LOCAL_STORAGE_PATH";
    /// Seconds between two polls of an agent.
    agent_query_interval: Duration = "5", "PREFECT_AGENT_QUERY_INTERVAL";
    /// How many seconds ahead of its scheduled time an agent may take a run.
    agent_prefetch_seconds: Duration = "10", "PREFECT_AGENT_PREFETCH_SECONDS";
    /// The work pool of those who name none.
    default_work_pool_name: Option<String> = "", "PREFECT_DEFAULT_WORK_POOL_NAME" | "PREFECT_DEPLOYMENTS_DEFAULT_WORK_POOL_NAME";
    /// Seconds between two polls of a worker.
    worker_query_seconds: Duration = "10", "PREFECT_WORKER_QUERY_SECONDS";
    /// How many seconds ahead of its scheduled time a worker may take a run.
    worker_prefetch_seconds: Duration = "10", "PREFECT_WORKER_PREFETCH_SECONDS";
    /// Seconds between two heartbeats of a worker.
    worker_heartbeat_seconds: Duration = "30", "PREFECT_WORKER_HEARTBEAT_SECONDS";
    /// The address at which a worker tells whether it is well.
    worker_webserver_host: String = "127.0.0.1", "PREFECT_WORKER_WEBSERVER_HOST";
    /// The port at which it does.
    worker_webserver_port: u16 = "8080", "PREFECT_WORKER_WEBSERVER_PORT";
    /// The Python interpreter for flows whose deployment names none; when not set, that of an active virtual environment or the first on `PATH`.
    python: Option<PathBuf> = "", "PREFECT_RS_PYTHON";

    /// The address that the server listens on.
    server_api_host: String = "127.0.0.1", "PREFECT_SERVER_API_HOST" | "PREFECT_ORION_API_HOST";
    /// The port that the server listens on; 0 takes any free one.
    server_api_port: u16 = "4200", "PREFECT_SERVER_API_PORT" | "PREFECT_ORION_API_PORT";
    /// How many objects a list has when the request names no limit, and at most.
    server_api_default_limit: u32 = "200", "PREFECT_SERVER_API_DEFAULT_LIMIT" | "PREFECT_API_DEFAULT_LIMIT" | "PREFECT_ORION_API_DEFAULT_LIMIT";
    /// The `user:password` that the server asks of its clients.
    server_api_auth_string: Option<Secret> = "", "PREFECT_SERVER_API_AUTH_STRING";
    /// Whether changing requests need a CSRF token.
    server_csrf_protection_enabled: bool = "false", "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED" | "PREFECT_SERVER_CSRF_PROTECTION_ENABLED";
    /// Seconds for which a CSRF token is good.
    server_csrf_token_expiration: Duration = "3600", "PREFECT_SERVER_API_CSRF_TOKEN_EXPIRATION" | "PREFECT_SERVER_CSRF_TOKEN_EXPIRATION";
    /// Pages of which origins may use the API, separated by commas, `*` for all [default: all where an auth string is asked for, else those of this machine].
    server_cors_allowed_origins: Option<String> = "", "PREFECT_SERVER_CORS_ALLOWED_ORIGINS" | "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS";
    /// Whether the server shows the dashboard.
    server_ui_enabled: bool = "true", "PREFECT_SERVER_UI_ENABLED" | "PREFECT_UI_ENABLED" | "PREFECT_ORION_UI_ENABLED";
    /// The path under which the dashboard and the API are found too, as behind a proxy that serves more than this.
    server_ui_serve_base: String = "/", "PREFECT_SERVER_UI_SERVE_BASE" | "PREFECT_UI_SERVE_BASE";

    /// The database: `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST/NAME`.
    database_url: DatabaseUrl = "sqlite:///${PREFECT_HOME}/orion.db", "PREFECT_SERVER_DATABASE_CONNECTION_URL" | "PREFECT_API_DATABASE_CONNECTION_URL" | "PREFECT_ORION_DATABASE_CONNECTION_URL";
    /// Whether SQLite waits for the disk at each commit (`full`, survives a power cut) or not (`normal`, survives a crash of any process).
    database_synchronous: Synchronous = "full", "PREFECT_RS_DATABASE_SYNCHRONOUS";
    /// Whether a server brings an older database up to date when it starts; for genuine servers, since ours always does.
    database_migrate_on_start: bool = "true", "PREFECT_SERVER_DATABASE_MIGRATE_ON_START" | "PREFECT_API_DATABASE_MIGRATE_ON_START" | "PREFECT_ORION_DATABASE_MIGRATE_ON_START";
    /// The file with the key that seals the data of blocks; made when it is first needed.
    encryption_key_path: PathBuf = "${PREFECT_HOME}/encryption.key", "PREFECT_RS_ENCRYPTION_KEY_PATH";
    /// The key itself, 32 bytes in base64, instead of a file: for several servers on one database.
    encryption_key: Option<Secret> = "", "PREFECT_RS_ENCRYPTION_KEY";
    /// Seconds that a statement may take; for genuine servers, without effect here.
    database_timeout: Duration = "10", "PREFECT_SERVER_DATABASE_TIMEOUT" | "PREFECT_API_DATABASE_TIMEOUT" | "PREFECT_ORION_DATABASE_TIMEOUT";
    /// Seconds to wait for a connection; for genuine servers, without effect here.
    database_connection_timeout: Duration = "5", "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT" | "PREFECT_API_DATABASE_CONNECTION_TIMEOUT" | "PREFECT_ORION_DATABASE_CONNECTION_TIMEOUT";
    /// How many connections a server holds to PostgreSQL at most; several servers share what that allows, 100 by default.
    database_pool_size: u32 = "20", "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE" | "PREFECT_SQLALCHEMY_POOL_SIZE";

    /// Whether the server makes the runs of schedules.
    scheduler_enabled: bool = "true", "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED" | "PREFECT_API_SERVICES_SCHEDULER_ENABLED" | "PREFECT_ORION_SERVICES_SCHEDULER_ENABLED";
    /// Seconds between two passes of the scheduler over all deployments.
    scheduler_loop_seconds: Duration = "60", "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS" | "PREFECT_API_SERVICES_SCHEDULER_LOOP_SECONDS" | "PREFECT_ORION_SERVICES_SCHEDULER_LOOP_SECONDS";
    /// How many deployments the scheduler takes at a time.
    scheduler_deployment_batch_size: u32 = "100", "PREFECT_SERVER_SERVICES_SCHEDULER_DEPLOYMENT_BATCH_SIZE" | "PREFECT_API_SERVICES_SCHEDULER_DEPLOYMENT_BATCH_SIZE" | "PREFECT_ORION_SERVICES_SCHEDULER_DEPLOYMENT_BATCH_SIZE";
    /// How many runs the scheduler writes at a time.
    scheduler_insert_batch_size: u32 = "500", "PREFECT_SERVER_SERVICES_SCHEDULER_INSERT_BATCH_SIZE" | "PREFECT_API_SERVICES_SCHEDULER_INSERT_BATCH_SIZE" | "PREFECT_ORION_SERVICES_SCHEDULER_INSERT_BATCH_SIZE";
    /// How many coming runs a schedule has at most.
    scheduler_max_runs: u32 = "100", "PREFECT_SERVER_SERVICES_SCHEDULER_MAX_RUNS" | "PREFECT_API_SERVICES_SCHEDULER_MAX_RUNS" | "PREFECT_ORION_SERVICES_SCHEDULER_MAX_RUNS";
    /// How many coming runs a schedule has at least, within the maximal time.
    scheduler_min_runs: u32 = "3", "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_RUNS" | "PREFECT_API_SERVICES_SCHEDULER_MIN_RUNS" | "PREFECT_ORION_SERVICES_SCHEDULER_MIN_RUNS";
    /// How far ahead, in seconds, runs are made at most.
    scheduler_max_scheduled_time: Duration = "8640000", "PREFECT_SERVER_SERVICES_SCHEDULER_MAX_SCHEDULED_TIME" | "PREFECT_API_SERVICES_SCHEDULER_MAX_SCHEDULED_TIME" | "PREFECT_ORION_SERVICES_SCHEDULER_MAX_SCHEDULED_TIME";
    /// How far ahead, in seconds, runs are made at least.
    scheduler_min_scheduled_time: Duration = "3600", "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_SCHEDULED_TIME" | "PREFECT_API_SERVICES_SCHEDULER_MIN_SCHEDULED_TIME" | "PREFECT_ORION_SERVICES_SCHEDULER_MIN_SCHEDULED_TIME";
    /// Whether the server marks runs late that nobody started.
    late_runs_enabled: bool = "true", "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED" | "PREFECT_API_SERVICES_LATE_RUNS_ENABLED" | "PREFECT_ORION_SERVICES_LATE_RUNS_ENABLED";
    /// Seconds between two looks for late runs.
    late_runs_loop_seconds: Duration = "5", "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS" | "PREFECT_API_SERVICES_LATE_RUNS_LOOP_SECONDS" | "PREFECT_ORION_SERVICES_LATE_RUNS_LOOP_SECONDS";
    /// Seconds after its scheduled time from which a run is late; workers of 3.x ask every ten.
    late_runs_after_seconds: Duration = "15", "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS" | "PREFECT_API_SERVICES_LATE_RUNS_AFTER_SECONDS" | "PREFECT_ORION_SERVICES_LATE_RUNS_AFTER_SECONDS";
    /// How many labels a resource of an event has at most.
    events_maximum_labels_per_resource: u32 = "500", "PREFECT_SERVER_EVENTS_MAXIMUM_LABELS_PER_RESOURCE" | "PREFECT_EVENTS_MAXIMUM_LABELS_PER_RESOURCE";
    /// How many related resources an event has at most.
    events_maximum_related_resources: u32 = "100", "PREFECT_SERVER_EVENTS_MAXIMUM_RELATED_RESOURCES" | "PREFECT_EVENTS_MAXIMUM_RELATED_RESOURCES";
    /// How many bytes an event has at most.
    events_maximum_size_bytes: u32 = "1500000", "PREFECT_SERVER_EVENTS_MAXIMUM_SIZE_BYTES" | "PREFECT_EVENTS_MAXIMUM_SIZE_BYTES";
    /// How many characters the name of an event has at most.
    events_maximum_event_name_length: u32 = "1024", "PREFECT_SERVER_EVENTS_MAXIMUM_EVENT_NAME_LENGTH";
    /// Seconds for which events are kept.
    events_retention_period: Duration = "604800", "PREFECT_SERVER_EVENTS_RETENTION_PERIOD" | "PREFECT_EVENTS_RETENTION_PERIOD";
    /// Seconds that subscribers of events may look back at most.
    events_maximum_websocket_backfill: Duration = "900", "PREFECT_SERVER_EVENTS_MAXIMUM_WEBSOCKET_BACKFILL" | "PREFECT_EVENTS_MAXIMUM_WEBSOCKET_BACKFILL";
    /// How many events a subscriber who looks back gets at a time.
    events_websocket_backfill_page_size: u32 = "250", "PREFECT_SERVER_EVENTS_WEBSOCKET_BACKFILL_PAGE_SIZE" | "PREFECT_EVENTS_WEBSOCKET_BACKFILL_PAGE_SIZE";
    /// Whether the server deletes events that are older than they are kept.
    event_persister_enabled: bool = "true", "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED" | "PREFECT_API_SERVICES_EVENT_PERSISTER_ENABLED";
    /// What the server deletes once it is old: `events`, `flow_runs` with all that belongs to them, `orphans` that are left of runs that are gone; `flow_runs` implies `orphans`.
    db_vacuum_enabled: Vacuum = "events", "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED";
    /// Seconds between two looks for old flow runs, at most.
    db_vacuum_loop_seconds: Duration = "3600", "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS";
    /// Seconds between two looks for logs and artifacts of flow runs that are gone.
    db_vacuum_orphan_cleanup_loop_seconds: Duration = "86400", "PREFECT_SERVER_SERVICES_DB_VACUUM_ORPHAN_CLEANUP_LOOP_SECONDS";
    /// Seconds after its end for which a flow run is kept, where old ones are deleted; an hour at least.
    db_vacuum_retention_period: Duration = "7776000", "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD";
    /// Seconds for which events of a name are kept that are kept for less long than the others, as a JSON object.
    db_vacuum_event_retention_overrides: Spans = "{}", "PREFECT_SERVER_SERVICES_DB_VACUUM_EVENT_RETENTION_OVERRIDES";
    /// How many rows are deleted in one write, at most.
    db_vacuum_batch_size: u32 = "200", "PREFECT_SERVER_SERVICES_DB_VACUUM_BATCH_SIZE";
    /// Whether runs fail that were paused and not resumed in time.
    pause_expirations_enabled: bool = "true", "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED" | "PREFECT_API_SERVICES_PAUSE_EXPIRATIONS_ENABLED";
    /// Whether runs become cancelled whose cancelling nobody confirms.
    cancellation_cleanup_enabled: bool = "true", "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED" | "PREFECT_API_SERVICES_CANCELLATION_CLEANUP_ENABLED";
    /// Seconds between two looks for subflow runs of cancelled runs, at most.
    cancellation_cleanup_loop_seconds: Duration = "20", "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_LOOP_SECONDS" | "PREFECT_API_SERVICES_CANCELLATION_CLEANUP_LOOP_SECONDS";
    /// Seconds that whoever runs a run has to confirm that it was ended.
    cancellation_cleanup_cancelling_timeout_seconds: Duration = "300", "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_CANCELLING_TIMEOUT_SECONDS";
    /// Whether slots of concurrency limits are taken back whose lease has run out.
    repossessor_enabled: bool = "true", "PREFECT_SERVER_SERVICES_REPOSSESSOR_ENABLED";
    /// Seconds between two looks for leases that have run out.
    repossessor_loop_seconds: Duration = "15", "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS";
    /// Seconds after which a client asks again for slots, at most.
    maximum_concurrency_slot_wait_seconds: Duration = "30", "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS";
    /// Whether the server tells as events what is served and what no longer is.
    foreman_enabled: bool = "true", "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED" | "PREFECT_API_SERVICES_FOREMAN_ENABLED";
    /// Seconds between two looks at what is served, at most.
    foreman_loop_seconds: Duration = "15", "PREFECT_SERVER_SERVICES_FOREMAN_LOOP_SECONDS" | "PREFECT_API_SERVICES_FOREMAN_LOOP_SECONDS";
    /// How many heartbeats a worker may miss before it counts as offline.
    foreman_inactivity_heartbeat_multiple: u32 = "3", "PREFECT_SERVER_SERVICES_FOREMAN_INACTIVITY_HEARTBEAT_MULTIPLE" | "PREFECT_API_SERVICES_FOREMAN_INACTIVITY_HEARTBEAT_MULTIPLE";
    /// Seconds between the heartbeats of a worker that does not say.
    foreman_fallback_heartbeat_interval_seconds: u32 = "30", "PREFECT_SERVER_SERVICES_FOREMAN_FALLBACK_HEARTBEAT_INTERVAL_SECONDS" | "PREFECT_API_SERVICES_FOREMAN_FALLBACK_HEARTBEAT_INTERVAL_SECONDS";
    /// Seconds for which a deployment counts as served after somebody has asked for its runs.
    foreman_deployment_last_polled_timeout_seconds: Duration = "60", "PREFECT_SERVER_SERVICES_FOREMAN_DEPLOYMENT_LAST_POLLED_TIMEOUT_SECONDS" | "PREFECT_API_SERVICES_FOREMAN_DEPLOYMENT_LAST_POLLED_TIMEOUT_SECONDS";
    /// Seconds for which a work queue counts as served after somebody has asked for its runs.
    foreman_work_queue_last_polled_timeout_seconds: Duration = "60", "PREFECT_SERVER_SERVICES_FOREMAN_WORK_QUEUE_LAST_POLLED_TIMEOUT_SECONDS" | "PREFECT_API_SERVICES_FOREMAN_WORK_QUEUE_LAST_POLLED_TIMEOUT_SECONDS";
    /// Seconds for which a claimed run keeps its slot of its deployment's limit without beginning, where the deployment says nothing.
    initial_deployment_lease_duration: Duration = "300", "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION";
    /// Seconds after which a run looks again for a slot of its deployment's limit.
    deployment_concurrency_slot_wait_seconds: Duration = "30", "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS" | "PREFECT_DEPLOYMENT_CONCURRENCY_SLOT_WAIT_SECONDS";
    /// Nodes of the graph of a flow run that are shown, at most.
    flow_run_graph_max_nodes: u32 = "10000", "PREFECT_SERVER_FLOW_RUN_GRAPH_MAX_NODES" | "PREFECT_API_MAX_FLOW_RUN_GRAPH_NODES";
    /// Artifacts in the graph of a flow run that are shown, at most.
    flow_run_graph_max_artifacts: u32 = "10000", "PREFECT_SERVER_FLOW_RUN_GRAPH_MAX_ARTIFACTS" | "PREFECT_API_MAX_FLOW_RUN_GRAPH_ARTIFACTS";
    /// Whether runs become crashed whose heartbeats have stopped.
    crashed_runs_enabled: bool = "true", "PREFECT_RS_SERVICES_CRASHED_RUNS_ENABLED";
    /// Whether listeners, automations and notification policies are told how flow runs change their states.
    flow_run_events_enabled: bool = "true", "PREFECT_RS_SERVICES_FLOW_RUN_EVENTS_ENABLED";
    /// Whether people are told of states of flow runs as notification policies say, which needs the events of flow runs.
    flow_run_notifications_enabled: bool = "true", "PREFECT_API_SERVICES_FLOW_RUN_NOTIFICATIONS_ENABLED";
    /// Whether automations are in force.
    triggers_enabled: bool = "true", "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED" | "PREFECT_API_SERVICES_TRIGGERS_ENABLED";
    /// Seconds after which a task run asks again for a slot of a full concurrency limit.
    tag_concurrency_slot_wait_seconds: Duration = "30", "PREFECT_SERVER_TASKS_TAG_CONCURRENCY_SLOT_WAIT_SECONDS" | "PREFECT_TASK_RUN_TAG_CONCURRENCY_SLOT_WAIT_SECONDS";
}

/// Returns the setting of this name or alias.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS
        .iter()
        .find(|setting| setting.spellings().any(|spelling| spelling == name))
}

impl Settings {
    /// Loads the settings of this process: environment over active profile over defaults.
    ///
    /// ```no_run
    /// use prefect_rs::sdk::Settings;
    ///
    /// println!("{}", Settings::load()?.home.display());
    /// # Ok::<(), prefect_rs::settings::Error>(())
    /// ```
    pub fn load() -> Result<Self, Error> {
        Loaded::from_process(None).map(|loaded| loaded.settings)
    }

    /// Returns the defaults for a home directory, untouched by environment and profiles.
    ///
    /// ```
    /// use prefect_rs::sdk::Settings;
    ///
    /// assert_eq!(Settings::default_for("/tmp/home").api_url, None);
    /// ```
    pub fn default_for(home: impl AsRef<Path>) -> Self {
        let home = home.as_ref().to_string_lossy().into_owned();
        Self::parse_all(&home, |setting| {
            (default_text(setting, &home), Source::Default)
        })
        .expect("the defaults in the list are valid, which a test checks")
    }
}

fn default_text(setting: &Setting, home: &str) -> String {
    match setting.name {
        "PREFECT_HOME" => home.to_owned(),
        _ => setting.default.to_owned(),
    }
}

fn expand(text: &str, home: &str) -> String {
    text.replace(HOME_TEMPLATE, home)
}

#[cfg(test)]
mod tests;
