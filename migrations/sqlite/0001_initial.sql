-- The tables of the genuine server, under its names; ids are text, instants UTC text of fixed
-- width, documents JSON text.
--
-- Types of states are compared one by one: for an `IN` of more than two, SQLite builds a table anew for
-- each row that it checks, which costs more than all else about the row.

-- For genuine clients and servers that open this database by mistake: instead of changing it they
-- stop, with this text as the revision that they cannot find.
CREATE TABLE alembic_version (version_num TEXT PRIMARY KEY);
INSERT INTO alembic_version (version_num) VALUES ('this database belongs to prefect-rs: set PREFECT_API_URL to its server');

CREATE TABLE flow (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  name TEXT NOT NULL UNIQUE,
  tags TEXT NOT NULL DEFAULT '[]',
  labels TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX ix_flow__created ON flow (created);
CREATE INDEX ix_flow__updated ON flow (updated);

-- The one store of slots. The limit of a tag is the one named `tag:<tag>`. Slots were as many as
-- the row says at `slots_at`; since then they have decayed.
CREATE TABLE concurrency_limit_v2 (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  active INTEGER NOT NULL DEFAULT 1,
  name TEXT NOT NULL UNIQUE,
  "limit" BIGINT NOT NULL,
  active_slots REAL NOT NULL DEFAULT 0,
  denied_slots REAL NOT NULL DEFAULT 0,
  slot_decay_per_second REAL NOT NULL DEFAULT 0,
  avg_slot_occupancy_seconds REAL NOT NULL DEFAULT 2,
  slots_at TEXT NOT NULL
);

CREATE TABLE deployment (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  name TEXT NOT NULL,
  flow_id TEXT NOT NULL REFERENCES flow (id) ON DELETE CASCADE,
  is_schedule_active INTEGER NOT NULL,
  tags TEXT NOT NULL DEFAULT '[]',
  parameters TEXT NOT NULL DEFAULT '{}',
  flow_data TEXT,
  flow_runner_type TEXT,
  flow_runner_config TEXT,
  version TEXT,
  description TEXT,
  path TEXT,
  entrypoint TEXT,
  manifest_path TEXT,
  pull_steps TEXT,
  parameter_openapi_schema TEXT,
  enforce_parameter_schema INTEGER NOT NULL DEFAULT 0,
  job_variables TEXT NOT NULL DEFAULT '{}',
  work_queue_id TEXT,
  work_queue_name TEXT,
  infrastructure_document_id TEXT,
  storage_document_id TEXT,
  concurrency_limit_id TEXT REFERENCES concurrency_limit_v2 (id) ON DELETE SET NULL,
  concurrency_options TEXT,
  labels TEXT NOT NULL DEFAULT '{}',
  last_polled TEXT,
  UNIQUE (flow_id, name)
);
CREATE INDEX ix_deployment__concurrency_limit_id ON deployment (concurrency_limit_id) WHERE concurrency_limit_id IS NOT NULL;
CREATE INDEX ix_deployment__created ON deployment (created);
CREATE INDEX ix_deployment__name ON deployment (name);
CREATE INDEX ix_deployment__work_queue_id ON deployment (work_queue_id) WHERE work_queue_id IS NOT NULL;

CREATE TABLE deployment_schedule (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  deployment_id TEXT NOT NULL REFERENCES deployment (id) ON DELETE CASCADE,
  schedule TEXT NOT NULL,
  active INTEGER NOT NULL DEFAULT 1,
  max_scheduled_runs BIGINT,
  parameters TEXT NOT NULL DEFAULT '{}',
  slug TEXT,
  UNIQUE (deployment_id, slug)
);

CREATE TABLE flow_run (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  name TEXT NOT NULL,
  flow_id TEXT NOT NULL REFERENCES flow (id) ON DELETE CASCADE,
  deployment_id TEXT REFERENCES deployment (id) ON DELETE SET NULL,
  parent_task_run_id TEXT REFERENCES task_run (id) ON DELETE SET NULL,
  state_id TEXT,
  state_type TEXT CHECK (state_type = 'SCHEDULED' OR state_type = 'PENDING' OR state_type = 'RUNNING' OR state_type = 'COMPLETED' OR state_type = 'FAILED' OR state_type = 'CANCELLED' OR state_type = 'CRASHED' OR state_type = 'PAUSED' OR state_type = 'CANCELLING'),
  state_name TEXT,
  state_timestamp TEXT,
  run_count BIGINT NOT NULL DEFAULT 0,
  expected_start_time TEXT,
  next_scheduled_start_time TEXT,
  start_time TEXT,
  end_time TEXT,
  total_run_time REAL NOT NULL DEFAULT 0,
  flow_version TEXT,
  parameters TEXT NOT NULL DEFAULT '{}',
  idempotency_key TEXT,
  context TEXT NOT NULL DEFAULT '{}',
  empirical_policy TEXT NOT NULL DEFAULT '{}',
  empirical_config TEXT NOT NULL DEFAULT '{}',
  tags TEXT NOT NULL DEFAULT '[]',
  flow_runner_type TEXT,
  flow_runner_config TEXT,
  auto_scheduled INTEGER NOT NULL DEFAULT 0,
  deployment_version TEXT,
  work_queue_id TEXT,
  work_queue_name TEXT,
  infrastructure_document_id TEXT,
  infrastructure_pid TEXT,
  job_variables TEXT NOT NULL DEFAULT '{}',
  labels TEXT NOT NULL DEFAULT '{}',
  created_by TEXT
);
-- Most runs have no key, and cost this index nothing.
CREATE UNIQUE INDEX ux_flow_run__idempotency_key ON flow_run (flow_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX ix_flow_run__flow_id ON flow_run (flow_id, expected_start_time, id);
CREATE INDEX ix_flow_run__expected_start_time ON flow_run (expected_start_time, id);
CREATE INDEX ix_flow_run__next_scheduled_start_time ON flow_run (state_type, next_scheduled_start_time, state_name, id) WHERE next_scheduled_start_time IS NOT NULL;
CREATE INDEX ix_flow_run__end_time ON flow_run (end_time, id);
CREATE INDEX ix_flow_run__start_time ON flow_run (start_time, id);
CREATE INDEX ix_flow_run__name ON flow_run (name, id);
-- Holds all that a history sums up; the last is by how many microseconds a run started late.
CREATE INDEX ix_flow_run__state ON flow_run (state_type, state_name, expected_start_time, total_run_time,
  max(0, (unixepoch(substr(start_time, 1, 19)) - unixepoch(substr(expected_start_time, 1, 19))) * 1000000 + substr(start_time, 21) - substr(expected_start_time, 21)));
CREATE INDEX ix_flow_run__deployment ON flow_run (deployment_id, state_type, next_scheduled_start_time, start_time) WHERE deployment_id IS NOT NULL;
CREATE INDEX ix_flow_run__work_queue_id ON flow_run (work_queue_id, state_type, next_scheduled_start_time) WHERE work_queue_id IS NOT NULL;
CREATE INDEX ix_flow_run__parent_task_run_id ON flow_run (parent_task_run_id) WHERE parent_task_run_id IS NOT NULL;

-- States are found by their ids, which are in order of time, and are never changed: kept in the tree
-- of their ids they need one tree less.
CREATE TABLE flow_run_state (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  flow_run_id TEXT NOT NULL REFERENCES flow_run (id) ON DELETE CASCADE,
  type TEXT NOT NULL CHECK (type = 'SCHEDULED' OR type = 'PENDING' OR type = 'RUNNING' OR type = 'COMPLETED' OR type = 'FAILED' OR type = 'CANCELLED' OR type = 'CRASHED' OR type = 'PAUSED' OR type = 'CANCELLING'),
  name TEXT NOT NULL,
  timestamp TEXT NOT NULL,
  message TEXT,
  state_details TEXT NOT NULL DEFAULT '{}',
  data TEXT
) WITHOUT ROWID;
CREATE INDEX ix_flow_run_state__flow_run_id ON flow_run_state (flow_run_id, timestamp);
CREATE INDEX ix_flow_run_state__timestamp ON flow_run_state (timestamp, id);

CREATE TABLE task_run (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  name TEXT NOT NULL,
  flow_run_id TEXT REFERENCES flow_run (id) ON DELETE CASCADE,
  task_key TEXT NOT NULL,
  dynamic_key TEXT NOT NULL,
  state_id TEXT,
  state_type TEXT CHECK (state_type = 'SCHEDULED' OR state_type = 'PENDING' OR state_type = 'RUNNING' OR state_type = 'COMPLETED' OR state_type = 'FAILED' OR state_type = 'CANCELLED' OR state_type = 'CRASHED' OR state_type = 'PAUSED' OR state_type = 'CANCELLING'),
  state_name TEXT,
  state_timestamp TEXT,
  run_count BIGINT NOT NULL DEFAULT 0,
  expected_start_time TEXT,
  next_scheduled_start_time TEXT,
  start_time TEXT,
  end_time TEXT,
  total_run_time REAL NOT NULL DEFAULT 0,
  cache_key TEXT,
  cache_expiration TEXT,
  task_version TEXT,
  empirical_policy TEXT NOT NULL DEFAULT '{}',
  task_inputs TEXT NOT NULL DEFAULT '{}',
  tags TEXT NOT NULL DEFAULT '[]',
  flow_run_run_count BIGINT NOT NULL DEFAULT 0,
  labels TEXT NOT NULL DEFAULT '{}',
  UNIQUE (flow_run_id, task_key, dynamic_key)
);
CREATE INDEX ix_task_run__expected_start_time ON task_run (expected_start_time, id);
CREATE INDEX ix_task_run__end_time ON task_run (end_time, id);
CREATE INDEX ix_task_run__next_scheduled_start_time ON task_run (next_scheduled_start_time) WHERE next_scheduled_start_time IS NOT NULL;
CREATE INDEX ix_task_run__state ON task_run (state_type, state_name, expected_start_time);

-- A state that `is_event` is its own event: none was stored of it when it was told.
CREATE TABLE task_run_state (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  task_run_id TEXT NOT NULL REFERENCES task_run (id) ON DELETE CASCADE,
  type TEXT NOT NULL CHECK (type = 'SCHEDULED' OR type = 'PENDING' OR type = 'RUNNING' OR type = 'COMPLETED' OR type = 'FAILED' OR type = 'CANCELLED' OR type = 'CRASHED' OR type = 'PAUSED' OR type = 'CANCELLING'),
  name TEXT NOT NULL,
  timestamp TEXT NOT NULL,
  message TEXT,
  state_details TEXT NOT NULL DEFAULT '{}',
  data TEXT,
  is_event INTEGER
) WITHOUT ROWID;
CREATE INDEX ix_task_run_state__task_run_id ON task_run_state (task_run_id, timestamp);
CREATE INDEX ix_task_run_state__event ON task_run_state (timestamp, id) WHERE is_event;

CREATE TABLE task_run_state_cache (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  cache_key TEXT NOT NULL,
  cache_expiration TEXT,
  task_run_state_id TEXT NOT NULL
);
CREATE INDEX ix_task_run_state_cache__cache_key ON task_run_state_cache (cache_key, created);

-- Lines are never looked for by id, and an index of it would cost as much as the line itself.
CREATE TABLE log (
  id TEXT NOT NULL,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  name TEXT NOT NULL,
  level BIGINT NOT NULL,
  flow_run_id TEXT,
  task_run_id TEXT,
  message TEXT NOT NULL,
  timestamp TEXT NOT NULL
);
CREATE INDEX ix_log__flow_run_id ON log (flow_run_id, timestamp);
CREATE INDEX ix_log__task_run_id ON log (task_run_id, timestamp) WHERE task_run_id IS NOT NULL;
CREATE INDEX ix_log__timestamp ON log (timestamp);

-- Who took slots, and until when; without an end they are given back by their holder only.
CREATE TABLE concurrency_lease (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  expires TEXT,
  slots BIGINT NOT NULL,
  holder_type TEXT,
  holder_id TEXT
);
CREATE INDEX ix_concurrency_lease__expires ON concurrency_lease (expires) WHERE expires IS NOT NULL;
CREATE INDEX ix_concurrency_lease__holder_id ON concurrency_lease (holder_id) WHERE holder_id IS NOT NULL;

CREATE TABLE concurrency_lease_limit (
  lease_id TEXT NOT NULL REFERENCES concurrency_lease (id) ON DELETE CASCADE,
  limit_id TEXT NOT NULL REFERENCES concurrency_limit_v2 (id) ON DELETE CASCADE,
  PRIMARY KEY (limit_id, lease_id)
);
CREATE INDEX ix_concurrency_lease_limit__lease_id ON concurrency_lease_limit (lease_id);

CREATE TABLE work_pool (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  name TEXT NOT NULL UNIQUE,
  description TEXT,
  type TEXT NOT NULL,
  base_job_template TEXT NOT NULL DEFAULT '{}',
  is_paused INTEGER NOT NULL DEFAULT 0,
  concurrency_limit BIGINT,
  storage_configuration TEXT NOT NULL DEFAULT '{}',
  default_queue_id TEXT,
  served_until TEXT
);

CREATE TABLE worker (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  name TEXT NOT NULL,
  work_pool_id TEXT NOT NULL REFERENCES work_pool (id) ON DELETE CASCADE,
  last_heartbeat_time TEXT NOT NULL,
  heartbeat_interval_seconds BIGINT NOT NULL,
  UNIQUE (work_pool_id, name)
);

CREATE TABLE work_queue (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  name TEXT NOT NULL,
  filter TEXT,
  description TEXT NOT NULL DEFAULT '',
  is_paused INTEGER NOT NULL DEFAULT 0,
  concurrency_limit BIGINT,
  last_polled TEXT,
  work_pool_id TEXT REFERENCES work_pool (id) ON DELETE CASCADE,
  priority BIGINT NOT NULL DEFAULT 1,
  UNIQUE (work_pool_id, name)
);

CREATE TABLE saved_search (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  name TEXT NOT NULL UNIQUE,
  filters TEXT NOT NULL DEFAULT '[]'
);

CREATE TABLE block_spec (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  type TEXT,
  fields TEXT NOT NULL DEFAULT '{}',
  UNIQUE (name, version)
);

CREATE TABLE block (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  name TEXT NOT NULL,
  data TEXT NOT NULL DEFAULT '{}',
  block_spec_id TEXT NOT NULL REFERENCES block_spec (id) ON DELETE CASCADE,
  is_default_storage_block INTEGER NOT NULL DEFAULT 0,
  UNIQUE (block_spec_id, name)
);

-- Blocks of later generations: their types, the schemas that their clients have of each, and the
-- documents, whose data is sealed.

CREATE TABLE block_type (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  name TEXT NOT NULL,
  slug TEXT NOT NULL UNIQUE,
  logo_url TEXT,
  documentation_url TEXT,
  description TEXT,
  code_example TEXT,
  is_protected INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE block_schema (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  checksum TEXT NOT NULL,
  fields TEXT NOT NULL DEFAULT '{}',
  capabilities TEXT NOT NULL DEFAULT '[]',
  version TEXT NOT NULL,
  block_type_id TEXT NOT NULL REFERENCES block_type (id) ON DELETE CASCADE,
  UNIQUE (checksum, version, block_type_id)
);
CREATE INDEX ix_block_schema__block_type_id ON block_schema (block_type_id, created);

CREATE TABLE block_document (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  name TEXT NOT NULL,
  data TEXT NOT NULL,
  is_anonymous INTEGER NOT NULL DEFAULT 0,
  block_schema_id TEXT NOT NULL REFERENCES block_schema (id) ON DELETE CASCADE,
  block_type_id TEXT NOT NULL REFERENCES block_type (id) ON DELETE CASCADE,
  UNIQUE (block_type_id, name)
);
CREATE INDEX ix_block_document__block_schema_id ON block_document (block_schema_id);
CREATE INDEX ix_block_document__name ON block_document (name);

CREATE TABLE block_document_reference (
  parent_block_document_id TEXT NOT NULL REFERENCES block_document (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  reference_block_document_id TEXT NOT NULL REFERENCES block_document (id) ON DELETE CASCADE,
  PRIMARY KEY (parent_block_document_id, name)
);
CREATE INDEX ix_block_document_reference__reference ON block_document_reference (reference_block_document_id);

-- What flows and people keep on the server.

CREATE TABLE variable (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  name TEXT NOT NULL UNIQUE,
  value TEXT NOT NULL,
  tags TEXT NOT NULL DEFAULT '[]'
);

CREATE TABLE artifact (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  key TEXT,
  type TEXT,
  description TEXT,
  data TEXT,
  metadata_ TEXT,
  flow_run_id TEXT,
  task_run_id TEXT
);
CREATE INDEX ix_artifact__key ON artifact (key, created);
CREATE INDEX ix_artifact__flow_run_id ON artifact (flow_run_id) WHERE flow_run_id IS NOT NULL;
CREATE INDEX ix_artifact__task_run_id ON artifact (task_run_id) WHERE task_run_id IS NOT NULL;

-- The newest artifact of each key.
CREATE TABLE artifact_collection (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  key TEXT NOT NULL UNIQUE,
  latest_id TEXT NOT NULL REFERENCES artifact (id)
);
CREATE INDEX ix_artifact_collection__latest_id ON artifact_collection (latest_id);

CREATE TABLE flow_run_input (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  flow_run_id TEXT NOT NULL REFERENCES flow_run (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  sender TEXT,
  UNIQUE (flow_run_id, key)
);

-- Facts about the installation.

CREATE TABLE configuration (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  key TEXT NOT NULL UNIQUE,
  value TEXT NOT NULL
);

-- Tokens of clients, where changes need one.

CREATE TABLE csrf_token (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  token TEXT NOT NULL,
  client TEXT NOT NULL UNIQUE,
  expiration TEXT NOT NULL
);

-- Events. Labels of related resources are found in the event; what is looked for often, by id, has
-- a row for each resource of an event (the role is empty for the resource that it is about).
CREATE TABLE events (
  id TEXT PRIMARY KEY,
  occurred TEXT NOT NULL,
  event TEXT NOT NULL,
  resource_id TEXT NOT NULL,
  resource TEXT NOT NULL,
  related TEXT NOT NULL DEFAULT '[]',
  payload TEXT NOT NULL DEFAULT '{}',
  received TEXT NOT NULL,
  recorded TEXT NOT NULL,
  follows TEXT
);
CREATE INDEX ix_events__occurred ON events (occurred, id);
CREATE INDEX ix_events__event ON events (event, occurred);

CREATE TABLE event_resources (
  resource_id TEXT NOT NULL,
  occurred TEXT NOT NULL,
  event_id TEXT NOT NULL,
  resource_role TEXT NOT NULL,
  PRIMARY KEY (resource_id, occurred, event_id, resource_role)
) WITHOUT ROWID;

-- Automations, what their triggers remember, and what is to be done.
CREATE TABLE automation (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  enabled INTEGER NOT NULL,
  tags TEXT NOT NULL DEFAULT '[]',
  trigger TEXT NOT NULL,
  actions TEXT NOT NULL DEFAULT '[]',
  actions_on_trigger TEXT NOT NULL DEFAULT '[]',
  actions_on_resolve TEXT NOT NULL DEFAULT '[]'
);

CREATE TABLE automation_related_resource (
  automation_id TEXT NOT NULL REFERENCES automation (id) ON DELETE CASCADE,
  resource_id TEXT NOT NULL,
  automation_owned_by_resource INTEGER NOT NULL,
  PRIMARY KEY (automation_id, resource_id)
);
CREATE INDEX ix_automation_related_resource__resource_id ON automation_related_resource (resource_id);

CREATE TABLE automation_bucket (
  trigger_id TEXT NOT NULL,
  bucketing_key TEXT NOT NULL,
  automation_id TEXT NOT NULL REFERENCES automation (id) ON DELETE CASCADE,
  start_time TEXT NOT NULL,
  end_time TEXT NOT NULL,
  count BIGINT NOT NULL,
  last_event TEXT,
  PRIMARY KEY (trigger_id, bucketing_key)
);
CREATE INDEX ix_automation_bucket__end_time ON automation_bucket (trigger_id, end_time);
CREATE INDEX ix_automation_bucket__automation_id ON automation_bucket (automation_id);

CREATE TABLE composite_trigger_child_firing (
  parent_trigger_id TEXT NOT NULL,
  child_trigger_id TEXT NOT NULL,
  automation_id TEXT NOT NULL REFERENCES automation (id) ON DELETE CASCADE,
  child_firing_id TEXT NOT NULL,
  child_fired_at TEXT NOT NULL,
  child_firing TEXT NOT NULL,
  PRIMARY KEY (parent_trigger_id, child_trigger_id)
);
CREATE INDEX ix_composite_trigger_child_firing__automation_id ON composite_trigger_child_firing (automation_id);

CREATE TABLE automation_event_follower (
  follower_event_id TEXT PRIMARY KEY,
  leader_event_id TEXT NOT NULL,
  received TEXT NOT NULL,
  follower TEXT NOT NULL
);
CREATE INDEX ix_automation_event_follower__leader_event_id ON automation_event_follower (leader_event_id);
CREATE INDEX ix_automation_event_follower__received ON automation_event_follower (received);

CREATE TABLE automation_action (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  claimed TEXT,
  action TEXT NOT NULL
);

-- Which background task runs have been handed to those who serve their tasks.
CREATE TABLE task_run_delivery (
  task_run_id TEXT PRIMARY KEY REFERENCES task_run (id) ON DELETE CASCADE,
  state_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  claimed TEXT NOT NULL,
  is_acknowledged INTEGER NOT NULL
);

-- Who asks a work queue for runs, and which rule decided a state. The genuine server has neither.

CREATE TABLE work_queue_poll (
  work_queue_id TEXT NOT NULL REFERENCES work_queue (id) ON DELETE CASCADE,
  agent TEXT NOT NULL,
  last_polled TEXT NOT NULL,
  PRIMARY KEY (work_queue_id, agent)
);

ALTER TABLE flow_run_state ADD COLUMN decided_by TEXT;
ALTER TABLE task_run_state ADD COLUMN decided_by TEXT;

-- Who is told of which states of flow runs, as 2.20 has it, and what is still to be sent.
CREATE TABLE flow_run_notification_policy (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  updated TEXT NOT NULL,
  is_active INTEGER NOT NULL DEFAULT 1,
  state_names TEXT NOT NULL,
  tags TEXT NOT NULL,
  message_template TEXT,
  block_document_id TEXT NOT NULL REFERENCES block_document (id) ON DELETE CASCADE
);
CREATE INDEX ix_flow_run_notification_policy__block_document_id ON flow_run_notification_policy (block_document_id);

CREATE TABLE flow_run_notification_queue (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  claimed TEXT,
  flow_run_notification_policy_id TEXT NOT NULL REFERENCES flow_run_notification_policy (id) ON DELETE CASCADE,
  flow_run_state_id TEXT NOT NULL REFERENCES flow_run_state (id) ON DELETE CASCADE,
  UNIQUE (flow_run_notification_policy_id, flow_run_state_id)
);
CREATE INDEX ix_flow_run_notification_queue__flow_run_state_id ON flow_run_notification_queue (flow_run_state_id);
