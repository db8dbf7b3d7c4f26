-- The tables of the genuine server, under its names; documents are JSON text, so that
-- the order of keys survives.

-- For genuine clients and servers that open this database by mistake: instead of changing it they
-- stop, with this text as the revision that they cannot find.
CREATE TABLE alembic_version (version_num TEXT PRIMARY KEY);
INSERT INTO alembic_version (version_num) VALUES ('this database belongs to prefect-rs: set PREFECT_API_URL to its server');

CREATE TABLE flow (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  name TEXT NOT NULL UNIQUE,
  tags TEXT NOT NULL DEFAULT '[]',
  labels TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX ix_flow__created ON flow (created);
CREATE INDEX ix_flow__updated ON flow (updated);

-- The one store of slots. The limit of a tag is the one named `tag:<tag>`. Slots were as many as
-- the row says at `slots_at`; since then they have decayed.
CREATE TABLE concurrency_limit_v2 (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  active BOOLEAN NOT NULL DEFAULT TRUE,
  name TEXT NOT NULL UNIQUE,
  "limit" BIGINT NOT NULL,
  active_slots DOUBLE PRECISION NOT NULL DEFAULT 0,
  denied_slots DOUBLE PRECISION NOT NULL DEFAULT 0,
  slot_decay_per_second DOUBLE PRECISION NOT NULL DEFAULT 0,
  avg_slot_occupancy_seconds DOUBLE PRECISION NOT NULL DEFAULT 2,
  slots_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE deployment (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  name TEXT NOT NULL,
  flow_id UUID NOT NULL REFERENCES flow (id) ON DELETE CASCADE,
  is_schedule_active BOOLEAN NOT NULL,
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
  enforce_parameter_schema BOOLEAN NOT NULL DEFAULT FALSE,
  job_variables TEXT NOT NULL DEFAULT '{}',
  work_queue_id UUID,
  work_queue_name TEXT,
  infrastructure_document_id UUID,
  storage_document_id UUID,
  concurrency_limit_id UUID REFERENCES concurrency_limit_v2 (id) ON DELETE SET NULL,
  concurrency_options TEXT,
  labels TEXT NOT NULL DEFAULT '{}',
  last_polled TIMESTAMPTZ,
  UNIQUE (flow_id, name)
);
CREATE INDEX ix_deployment__concurrency_limit_id ON deployment (concurrency_limit_id) WHERE concurrency_limit_id IS NOT NULL;
CREATE INDEX ix_deployment__created ON deployment (created);
CREATE INDEX ix_deployment__name ON deployment (name);
CREATE INDEX ix_deployment__work_queue_id ON deployment (work_queue_id) WHERE work_queue_id IS NOT NULL;

CREATE TABLE deployment_schedule (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  deployment_id UUID NOT NULL REFERENCES deployment (id) ON DELETE CASCADE,
  schedule TEXT NOT NULL,
  active BOOLEAN NOT NULL DEFAULT TRUE,
  max_scheduled_runs BIGINT,
  parameters TEXT NOT NULL DEFAULT '{}',
  slug TEXT,
  UNIQUE (deployment_id, slug)
);

CREATE TABLE flow_run (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  name TEXT NOT NULL,
  flow_id UUID NOT NULL REFERENCES flow (id) ON DELETE CASCADE,
  deployment_id UUID REFERENCES deployment (id) ON DELETE SET NULL,
  parent_task_run_id UUID,
  state_id UUID,
  state_type TEXT CHECK (state_type IN ('SCHEDULED', 'PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED', 'PAUSED', 'CANCELLING')),
  state_name TEXT,
  state_timestamp TIMESTAMPTZ,
  run_count BIGINT NOT NULL DEFAULT 0,
  expected_start_time TIMESTAMPTZ,
  next_scheduled_start_time TIMESTAMPTZ,
  start_time TIMESTAMPTZ,
  end_time TIMESTAMPTZ,
  total_run_time DOUBLE PRECISION NOT NULL DEFAULT 0,
  flow_version TEXT,
  parameters TEXT NOT NULL DEFAULT '{}',
  idempotency_key TEXT,
  context TEXT NOT NULL DEFAULT '{}',
  empirical_policy TEXT NOT NULL DEFAULT '{}',
  empirical_config TEXT NOT NULL DEFAULT '{}',
  tags TEXT NOT NULL DEFAULT '[]',
  flow_runner_type TEXT,
  flow_runner_config TEXT,
  auto_scheduled BOOLEAN NOT NULL DEFAULT FALSE,
  deployment_version TEXT,
  work_queue_id UUID,
  work_queue_name TEXT,
  infrastructure_document_id UUID,
  infrastructure_pid TEXT,
  job_variables TEXT NOT NULL DEFAULT '{}',
  labels TEXT NOT NULL DEFAULT '{}',
  created_by TEXT
);
-- Most runs have no key, and cost this index nothing.
CREATE UNIQUE INDEX ux_flow_run__idempotency_key ON flow_run (flow_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX ix_flow_run__flow_id ON flow_run (flow_id, expected_start_time, id);
CREATE INDEX ix_flow_run__expected_start_time ON flow_run (expected_start_time, id);
CREATE INDEX ix_flow_run__history ON flow_run (expected_start_time, state_type, state_name, start_time, total_run_time);
CREATE INDEX ix_flow_run__next_scheduled_start_time ON flow_run (state_type, next_scheduled_start_time, state_name, id) WHERE next_scheduled_start_time IS NOT NULL;
CREATE INDEX ix_flow_run__end_time ON flow_run (end_time, id);
CREATE INDEX ix_flow_run__start_time ON flow_run (start_time, id);
CREATE INDEX ix_flow_run__name ON flow_run (name, id);
CREATE INDEX ix_flow_run__state ON flow_run (state_type, state_name, expected_start_time);
CREATE INDEX ix_flow_run__deployment ON flow_run (deployment_id, state_type, next_scheduled_start_time, start_time) WHERE deployment_id IS NOT NULL;
CREATE INDEX ix_flow_run__work_queue_id ON flow_run (work_queue_id, state_type, next_scheduled_start_time) WHERE work_queue_id IS NOT NULL;
CREATE INDEX ix_flow_run__parent_task_run_id ON flow_run (parent_task_run_id) WHERE parent_task_run_id IS NOT NULL;

CREATE TABLE flow_run_state (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  flow_run_id UUID NOT NULL REFERENCES flow_run (id) ON DELETE CASCADE,
  type TEXT NOT NULL CHECK (type IN ('SCHEDULED', 'PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED', 'PAUSED', 'CANCELLING')),
  name TEXT NOT NULL,
  timestamp TIMESTAMPTZ NOT NULL,
  message TEXT,
  state_details TEXT NOT NULL DEFAULT '{}',
  data TEXT
);
CREATE INDEX ix_flow_run_state__flow_run_id ON flow_run_state (flow_run_id, timestamp);
CREATE INDEX ix_flow_run_state__timestamp ON flow_run_state (timestamp, id);

CREATE TABLE task_run (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  name TEXT NOT NULL,
  flow_run_id UUID REFERENCES flow_run (id) ON DELETE CASCADE,
  task_key TEXT NOT NULL,
  dynamic_key TEXT NOT NULL,
  state_id UUID,
  state_type TEXT CHECK (state_type IN ('SCHEDULED', 'PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED', 'PAUSED', 'CANCELLING')),
  state_name TEXT,
  state_timestamp TIMESTAMPTZ,
  run_count BIGINT NOT NULL DEFAULT 0,
  expected_start_time TIMESTAMPTZ,
  next_scheduled_start_time TIMESTAMPTZ,
  start_time TIMESTAMPTZ,
  end_time TIMESTAMPTZ,
  total_run_time DOUBLE PRECISION NOT NULL DEFAULT 0,
  cache_key TEXT,
  cache_expiration TIMESTAMPTZ,
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

ALTER TABLE flow_run ADD FOREIGN KEY (parent_task_run_id) REFERENCES task_run (id) ON DELETE SET NULL;

-- A state that `is_event` is its own event: none was stored of it when it was told.
CREATE TABLE task_run_state (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  task_run_id UUID NOT NULL REFERENCES task_run (id) ON DELETE CASCADE,
  type TEXT NOT NULL CHECK (type IN ('SCHEDULED', 'PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED', 'PAUSED', 'CANCELLING')),
  name TEXT NOT NULL,
  timestamp TIMESTAMPTZ NOT NULL,
  message TEXT,
  state_details TEXT NOT NULL DEFAULT '{}',
  data TEXT,
  is_event BOOLEAN
);
CREATE INDEX ix_task_run_state__task_run_id ON task_run_state (task_run_id, timestamp);
CREATE INDEX ix_task_run_state__event ON task_run_state (timestamp, id) WHERE is_event;

CREATE TABLE task_run_state_cache (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  cache_key TEXT NOT NULL,
  cache_expiration TIMESTAMPTZ,
  task_run_state_id UUID NOT NULL
);
CREATE INDEX ix_task_run_state_cache__cache_key ON task_run_state_cache (cache_key, created);

CREATE TABLE log (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  name TEXT NOT NULL,
  level BIGINT NOT NULL,
  flow_run_id UUID,
  task_run_id UUID,
  message TEXT NOT NULL,
  timestamp TIMESTAMPTZ NOT NULL
);
CREATE INDEX ix_log__flow_run_id ON log (flow_run_id, timestamp);
CREATE INDEX ix_log__task_run_id ON log (task_run_id, timestamp) WHERE task_run_id IS NOT NULL;
CREATE INDEX ix_log__timestamp ON log (timestamp);

-- Who took slots, and until when; without an end they are given back by their holder only.
CREATE TABLE concurrency_lease (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  expires TIMESTAMPTZ,
  slots BIGINT NOT NULL,
  holder_type TEXT,
  holder_id UUID
);
CREATE INDEX ix_concurrency_lease__expires ON concurrency_lease (expires) WHERE expires IS NOT NULL;
CREATE INDEX ix_concurrency_lease__holder_id ON concurrency_lease (holder_id) WHERE holder_id IS NOT NULL;

CREATE TABLE concurrency_lease_limit (
  lease_id UUID NOT NULL REFERENCES concurrency_lease (id) ON DELETE CASCADE,
  limit_id UUID NOT NULL REFERENCES concurrency_limit_v2 (id) ON DELETE CASCADE,
  PRIMARY KEY (limit_id, lease_id)
);
CREATE INDEX ix_concurrency_lease_limit__lease_id ON concurrency_lease_limit (lease_id);

CREATE TABLE work_pool (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  name TEXT NOT NULL UNIQUE,
  description TEXT,
  type TEXT NOT NULL,
  base_job_template TEXT NOT NULL DEFAULT '{}',
  is_paused BOOLEAN NOT NULL DEFAULT FALSE,
  concurrency_limit BIGINT,
  storage_configuration TEXT NOT NULL DEFAULT '{}',
  default_queue_id UUID,
  served_until TIMESTAMPTZ
);

CREATE TABLE worker (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  name TEXT NOT NULL,
  work_pool_id UUID NOT NULL REFERENCES work_pool (id) ON DELETE CASCADE,
  last_heartbeat_time TIMESTAMPTZ NOT NULL,
  heartbeat_interval_seconds BIGINT NOT NULL,
  UNIQUE (work_pool_id, name)
);

CREATE TABLE work_queue (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  name TEXT NOT NULL,
  filter TEXT,
  description TEXT NOT NULL DEFAULT '',
  is_paused BOOLEAN NOT NULL DEFAULT FALSE,
  concurrency_limit BIGINT,
  last_polled TIMESTAMPTZ,
  work_pool_id UUID REFERENCES work_pool (id) ON DELETE CASCADE,
  priority BIGINT NOT NULL DEFAULT 1,
  UNIQUE (work_pool_id, name)
);

CREATE TABLE saved_search (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  name TEXT NOT NULL UNIQUE,
  filters TEXT NOT NULL DEFAULT '[]'
);

CREATE TABLE block_spec (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  type TEXT,
  fields TEXT NOT NULL DEFAULT '{}',
  UNIQUE (name, version)
);

CREATE TABLE block (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  name TEXT NOT NULL,
  data TEXT NOT NULL DEFAULT '{}',
  block_spec_id UUID NOT NULL REFERENCES block_spec (id) ON DELETE CASCADE,
  is_default_storage_block BOOLEAN NOT NULL DEFAULT FALSE,
  UNIQUE (block_spec_id, name)
);

-- Blocks of later generations: their types, the schemas that their clients have of each, and the
-- documents, whose data is sealed.

CREATE TABLE block_type (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  name TEXT NOT NULL,
  slug TEXT NOT NULL UNIQUE,
  logo_url TEXT,
  documentation_url TEXT,
  description TEXT,
  code_example TEXT,
  is_protected BOOLEAN NOT NULL DEFAULT FALSE
);

CREATE TABLE block_schema (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  checksum TEXT NOT NULL,
  fields TEXT NOT NULL DEFAULT '{}',
  capabilities TEXT NOT NULL DEFAULT '[]',
  version TEXT NOT NULL,
  block_type_id UUID NOT NULL REFERENCES block_type (id) ON DELETE CASCADE,
  UNIQUE (checksum, version, block_type_id)
);
CREATE INDEX ix_block_schema__block_type_id ON block_schema (block_type_id, created);

CREATE TABLE block_document (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  name TEXT NOT NULL,
  data TEXT NOT NULL,
  is_anonymous BOOLEAN NOT NULL DEFAULT FALSE,
  block_schema_id UUID NOT NULL REFERENCES block_schema (id) ON DELETE CASCADE,
  block_type_id UUID NOT NULL REFERENCES block_type (id) ON DELETE CASCADE,
  UNIQUE (block_type_id, name)
);
CREATE INDEX ix_block_document__block_schema_id ON block_document (block_schema_id);
CREATE INDEX ix_block_document__name ON block_document (name);

CREATE TABLE block_document_reference (
  parent_block_document_id UUID NOT NULL REFERENCES block_document (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  reference_block_document_id UUID NOT NULL REFERENCES block_document (id) ON DELETE CASCADE,
  PRIMARY KEY (parent_block_document_id, name)
);
CREATE INDEX ix_block_document_reference__reference ON block_document_reference (reference_block_document_id);

CREATE INDEX ix_flow_run__tags ON flow_run USING gin ((tags::jsonb));
CREATE INDEX ix_flow__tags ON flow USING gin ((tags::jsonb));
CREATE INDEX ix_deployment__tags ON deployment USING gin ((tags::jsonb));
CREATE INDEX ix_task_run__tags ON task_run USING gin ((tags::jsonb));

-- What flows and people keep on the server.

CREATE TABLE variable (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  name TEXT NOT NULL UNIQUE,
  value TEXT NOT NULL,
  tags TEXT NOT NULL DEFAULT '[]'
);

CREATE TABLE artifact (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  key TEXT,
  type TEXT,
  description TEXT,
  data TEXT,
  metadata_ TEXT,
  flow_run_id UUID,
  task_run_id UUID
);
CREATE INDEX ix_artifact__key ON artifact (key, created);
CREATE INDEX ix_artifact__flow_run_id ON artifact (flow_run_id) WHERE flow_run_id IS NOT NULL;
CREATE INDEX ix_artifact__task_run_id ON artifact (task_run_id) WHERE task_run_id IS NOT NULL;

-- The newest artifact of each key.
CREATE TABLE artifact_collection (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  key TEXT NOT NULL UNIQUE,
  latest_id UUID NOT NULL REFERENCES artifact (id)
);
CREATE INDEX ix_artifact_collection__latest_id ON artifact_collection (latest_id);

CREATE TABLE flow_run_input (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  flow_run_id UUID NOT NULL REFERENCES flow_run (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  sender TEXT,
  UNIQUE (flow_run_id, key)
);

-- Facts about the installation.

CREATE TABLE configuration (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  key TEXT NOT NULL UNIQUE,
  value TEXT NOT NULL
);

-- Tokens of clients, where changes need one.

CREATE TABLE csrf_token (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  token TEXT NOT NULL,
  client TEXT NOT NULL UNIQUE,
  expiration TIMESTAMPTZ NOT NULL
);

-- Events. Labels of related resources are found in the event; what is looked for often, by id, has
-- a row for each resource of an event (the role is empty for the resource that it is about).
CREATE TABLE events (
  id UUID PRIMARY KEY,
  occurred TIMESTAMPTZ NOT NULL,
  event TEXT COLLATE "C" NOT NULL,
  resource_id TEXT COLLATE "C" NOT NULL,
  resource TEXT NOT NULL,
  related TEXT NOT NULL DEFAULT '[]',
  payload TEXT NOT NULL DEFAULT '{}',
  received TIMESTAMPTZ NOT NULL,
  recorded TIMESTAMPTZ NOT NULL,
  follows UUID
);
CREATE INDEX ix_events__occurred ON events (occurred, id);
CREATE INDEX ix_events__event ON events (event, occurred);

CREATE TABLE event_resources (
  resource_id TEXT COLLATE "C" NOT NULL,
  occurred TIMESTAMPTZ NOT NULL,
  event_id UUID NOT NULL,
  resource_role TEXT NOT NULL,
  PRIMARY KEY (resource_id, occurred, event_id, resource_role)
);

-- Automations, what their triggers remember, and what is to be done.
CREATE TABLE automation (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  enabled BOOLEAN NOT NULL,
  tags TEXT NOT NULL DEFAULT '[]',
  trigger TEXT NOT NULL,
  actions TEXT NOT NULL DEFAULT '[]',
  actions_on_trigger TEXT NOT NULL DEFAULT '[]',
  actions_on_resolve TEXT NOT NULL DEFAULT '[]'
);

CREATE TABLE automation_related_resource (
  automation_id UUID NOT NULL REFERENCES automation (id) ON DELETE CASCADE,
  resource_id TEXT NOT NULL,
  automation_owned_by_resource BOOLEAN NOT NULL,
  PRIMARY KEY (automation_id, resource_id)
);
CREATE INDEX ix_automation_related_resource__resource_id ON automation_related_resource (resource_id);

CREATE TABLE automation_bucket (
  trigger_id UUID NOT NULL,
  bucketing_key TEXT NOT NULL,
  automation_id UUID NOT NULL REFERENCES automation (id) ON DELETE CASCADE,
  start_time TIMESTAMPTZ NOT NULL,
  end_time TIMESTAMPTZ NOT NULL,
  count BIGINT NOT NULL,
  last_event TEXT,
  PRIMARY KEY (trigger_id, bucketing_key)
);
CREATE INDEX ix_automation_bucket__end_time ON automation_bucket (trigger_id, end_time);
CREATE INDEX ix_automation_bucket__automation_id ON automation_bucket (automation_id);

CREATE TABLE composite_trigger_child_firing (
  parent_trigger_id UUID NOT NULL,
  child_trigger_id UUID NOT NULL,
  automation_id UUID NOT NULL REFERENCES automation (id) ON DELETE CASCADE,
  child_firing_id UUID NOT NULL,
  child_fired_at TIMESTAMPTZ NOT NULL,
  child_firing TEXT NOT NULL,
  PRIMARY KEY (parent_trigger_id, child_trigger_id)
);
CREATE INDEX ix_composite_trigger_child_firing__automation_id ON composite_trigger_child_firing (automation_id);

CREATE TABLE automation_event_follower (
  follower_event_id UUID PRIMARY KEY,
  leader_event_id UUID NOT NULL,
  received TIMESTAMPTZ NOT NULL,
  follower TEXT NOT NULL
);
CREATE INDEX ix_automation_event_follower__leader_event_id ON automation_event_follower (leader_event_id);
CREATE INDEX ix_automation_event_follower__received ON automation_event_follower (received);

CREATE TABLE automation_action (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  claimed TIMESTAMPTZ,
  action TEXT NOT NULL
);

-- Which background task runs have been handed to those who serve their tasks.
CREATE TABLE task_run_delivery (
  task_run_id UUID PRIMARY KEY REFERENCES task_run (id) ON DELETE CASCADE,
  state_id UUID NOT NULL,
  client_id TEXT NOT NULL,
  claimed TIMESTAMPTZ NOT NULL,
  is_acknowledged BOOLEAN NOT NULL
);

-- Who asks a work queue for runs, and which rule decided a state. The genuine server has neither.

CREATE TABLE work_queue_poll (
  work_queue_id UUID NOT NULL REFERENCES work_queue (id) ON DELETE CASCADE,
  agent TEXT NOT NULL,
  last_polled TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (work_queue_id, agent)
);

ALTER TABLE flow_run_state ADD COLUMN decided_by TEXT;
ALTER TABLE task_run_state ADD COLUMN decided_by TEXT;

-- Who is told of which states of flow runs, as 2.20 has it, and what is still to be sent.
CREATE TABLE flow_run_notification_policy (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  updated TIMESTAMPTZ NOT NULL,
  is_active BOOLEAN NOT NULL DEFAULT TRUE,
  state_names TEXT NOT NULL,
  tags TEXT NOT NULL,
  message_template TEXT,
  block_document_id UUID NOT NULL REFERENCES block_document (id) ON DELETE CASCADE
);
CREATE INDEX ix_flow_run_notification_policy__block_document_id ON flow_run_notification_policy (block_document_id);

CREATE TABLE flow_run_notification_queue (
  id UUID PRIMARY KEY,
  created TIMESTAMPTZ NOT NULL,
  claimed TIMESTAMPTZ,
  flow_run_notification_policy_id UUID NOT NULL REFERENCES flow_run_notification_policy (id) ON DELETE CASCADE,
  flow_run_state_id UUID NOT NULL REFERENCES flow_run_state (id) ON DELETE CASCADE,
  UNIQUE (flow_run_notification_policy_id, flow_run_state_id)
);
CREATE INDEX ix_flow_run_notification_queue__flow_run_state_id ON flow_run_notification_queue (flow_run_state_id);
