//! Compiles filters into one statement.
//!
//! Text of a client is always bound, never part of the SQL; what is put together here is names of
//! columns and placeholders. The other kinds of objects are reached by `EXISTS`, which stops at
//! the first row and never repeats one.

use crate::db::{Dialect, Value};
use crate::schemas::StateType;
use crate::schemas::filters::*;
use crate::schemas::text_search::{TextFilter, Words};
use crate::schemas::work_pools::WorkPoolFilter;

/// A condition being put together.
pub struct Condition {
    dialect: Dialect,
    values: Vec<Value>,
}

/// The object that is listed, under the alias `o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Flows.
    Flows,
    /// Flow runs.
    FlowRuns,
    /// Task runs.
    TaskRuns,
    /// Deployments.
    Deployments,
    /// Artifacts.
    Artifacts,
}

/// Returns the `WHERE` text for a list, and its values from `$1` on.
pub fn compile(listed: Listed, filters: &Filters, dialect: Dialect) -> (String, Vec<Value>) {
    let mut condition = Condition {
        dialect,
        values: Vec::new(),
    };
    let all = condition.related(listed, filters);
    (
        join(all, Operator::And).unwrap_or_else(|| "TRUE".to_owned()),
        condition.values,
    )
}

/// Returns the `WHERE` text for artifacts under the alias `o`.
pub fn compile_artifacts(
    filter: Option<&ArtifactFilter>,
    filters: &Filters,
    dialect: Dialect,
) -> (String, Vec<Value>) {
    let mut condition = Condition {
        dialect,
        values: Vec::new(),
    };
    let mut all = condition.related(Listed::Artifacts, filters);
    all.extend(filter.and_then(|filter| condition.artifact("o", filter)));
    (
        join(all, Operator::And).unwrap_or_else(|| "TRUE".to_owned()),
        condition.values,
    )
}

/// Returns the `WHERE` text for variables under the alias `o`.
pub fn compile_variables(
    filter: Option<&VariableFilter>,
    dialect: Dialect,
) -> (String, Vec<Value>) {
    let mut condition = Condition {
        dialect,
        values: Vec::new(),
    };
    let text = filter.and_then(|filter| condition.variable("o", filter));
    (text.unwrap_or_else(|| "TRUE".to_owned()), condition.values)
}

impl Condition {
    /// Returns what filters of every kind ask of an object of one kind.
    fn related(&mut self, listed: Listed, filters: &Filters) -> Vec<String> {
        let condition = self;
        let mut all = Vec::new();
        if let Some(filter) = &filters.flows {
            let (path, alias) = listed.path(Listed::Flows);
            all.extend(wrap(path, condition.flow(alias, filter)));
        }
        if let Some(filter) = &filters.flow_runs {
            let (path, alias) = listed.path(Listed::FlowRuns);
            all.extend(wrap(path, condition.flow_run(alias, filter)));
        }
        if let Some(filter) = &filters.task_runs {
            let (path, alias) = listed.path(Listed::TaskRuns);
            all.extend(wrap(path, condition.task_run(alias, filter)));
        }
        if let Some(filter) = &filters.deployments {
            let (path, alias) = listed.path(Listed::Deployments);
            all.extend(wrap(path, condition.deployment(alias, filter)));
        }
        let (path, queue) = listed.queue_path();
        if let Some(filter) = &filters.work_pools {
            let pool = condition.work_pool(filter);
            all.extend(wrap(Some(path), pool));
        }
        if let Some(filter) = &filters.work_pool_queues {
            let queue = condition.work_queue(queue, filter);
            all.extend(wrap(Some(path), queue));
        }
        all
    }
}

/// Returns the `WHERE` text for log lines under the alias `o`.
pub fn compile_logs(filter: Option<&LogFilter>, dialect: Dialect) -> (String, Vec<Value>) {
    let mut condition = Condition {
        dialect,
        values: Vec::new(),
    };
    let text = filter.and_then(|filter| condition.log("o", filter));
    (text.unwrap_or_else(|| "TRUE".to_owned()), condition.values)
}

impl Listed {
    /// Returns how to reach the work queue that an object waits in and its pool `p`, and the
    /// queue's alias.
    fn queue_path(self) -> (&'static str, &'static str) {
        let path = match self {
            Self::FlowRuns | Self::Deployments => {
                "SELECT 1 FROM work_queue wq JOIN work_pool p ON p.id = wq.work_pool_id \
                 WHERE wq.id = o.work_queue_id"
            }
            Self::Flows => {
                "SELECT 1 FROM deployment wd JOIN work_queue wq ON wq.id = wd.work_queue_id \
                 JOIN work_pool p ON p.id = wq.work_pool_id WHERE wd.flow_id = o.id"
            }
            Self::TaskRuns | Self::Artifacts => {
                "SELECT 1 FROM flow_run wr JOIN work_queue wq ON wq.id = wr.work_queue_id \
                 JOIN work_pool p ON p.id = wq.work_pool_id WHERE wr.id = o.flow_run_id"
            }
        };
        (path, "wq")
    }

    /// Returns how to reach `other`: the opening of an `EXISTS`, and the alias there.
    fn path(self, other: Self) -> (Option<&'static str>, &'static str) {
        use Listed::{Artifacts, Deployments, FlowRuns, Flows, TaskRuns};
        match (self, other) {
            (Flows, Flows)
            | (FlowRuns, FlowRuns)
            | (TaskRuns, TaskRuns)
            | (Deployments, Deployments)
            // No list is asked for by its artifacts.
            | (_, Artifacts) => (None, "o"),
            (Artifacts, TaskRuns) => (
                Some("SELECT 1 FROM task_run t WHERE t.id = o.task_run_id"),
                "t",
            ),
            (Flows, FlowRuns) => (Some("SELECT 1 FROM flow_run r WHERE r.flow_id = o.id"), "r"),
            (Flows, TaskRuns) => (
                Some(
                    "SELECT 1 FROM flow_run r JOIN task_run t ON t.flow_run_id = r.id WHERE r.flow_id = o.id",
                ),
                "t",
            ),
            (Flows, Deployments) => (
                Some("SELECT 1 FROM deployment d WHERE d.flow_id = o.id"),
                "d",
            ),
            (FlowRuns, Flows) | (Deployments, Flows) => {
                (Some("SELECT 1 FROM flow f WHERE f.id = o.flow_id"), "f")
            }
            (FlowRuns, TaskRuns) => (
                Some("SELECT 1 FROM task_run t WHERE t.flow_run_id = o.id"),
                "t",
            ),
            (FlowRuns, Deployments) => (
                Some("SELECT 1 FROM deployment d WHERE d.id = o.deployment_id"),
                "d",
            ),
            (TaskRuns | Artifacts, Flows) => (
                Some(
                    "SELECT 1 FROM flow_run r JOIN flow f ON f.id = r.flow_id WHERE r.id = o.flow_run_id",
                ),
                "f",
            ),
            (TaskRuns | Artifacts, FlowRuns) => (
                Some("SELECT 1 FROM flow_run r WHERE r.id = o.flow_run_id"),
                "r",
            ),
            (TaskRuns | Artifacts, Deployments) => (
                Some(
                    "SELECT 1 FROM flow_run r JOIN deployment d ON d.id = r.deployment_id WHERE r.id = o.flow_run_id",
                ),
                "d",
            ),
            (Deployments, FlowRuns) => (
                Some("SELECT 1 FROM flow_run r WHERE r.deployment_id = o.id"),
                "r",
            ),
            (Deployments, TaskRuns) => (
                Some(
                    "SELECT 1 FROM flow_run r JOIN task_run t ON t.flow_run_id = r.id WHERE r.deployment_id = o.id",
                ),
                "t",
            ),
        }
    }
}

fn wrap(path: Option<&str>, condition: Option<String>) -> Option<String> {
    match path {
        None => condition,
        // A filter without conditions still asks that there is such an object.
        Some(path) => Some(format!(
            "EXISTS ({path} AND {})",
            condition.as_deref().unwrap_or("TRUE")
        )),
    }
}

/// Returns the conditions, all of which hold for a text in lower case that has the words.
pub(super) fn words_in(
    dialect: Dialect,
    text: &str,
    filter: &TextFilter,
    mut bind: impl FnMut(String) -> String,
) -> Vec<String> {
    let Words { any, none, all } = filter.words();
    let mut has = |word: String| dialect.contains(text, &bind(word));
    let any: Vec<String> = any.into_iter().map(&mut has).collect();
    let none = none
        .into_iter()
        .map(|word| format!("NOT {}", has(word)))
        .collect::<Vec<_>>();
    let all = all.into_iter().map(&mut has).collect::<Vec<_>>();
    let mut conditions = [none, all].concat();
    if !any.is_empty() {
        conditions.push(format!("({})", any.join(" OR ")));
    }
    conditions
}

fn join(parts: Vec<String>, operator: Operator) -> Option<String> {
    let word = if operator == Operator::Or {
        " OR "
    } else {
        " AND "
    };
    match parts.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        _ => Some(format!("({})", parts.join(word))),
    }
}

impl Condition {
    fn bind(&mut self, value: impl Into<Value>) -> usize {
        self.values.push(value.into());
        self.values.len()
    }

    fn flow(&mut self, o: &str, f: &FlowFilter) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(id) = &f.id {
            parts.extend(self.ids(
                o,
                "id",
                uuids(&id.any_, |id| id.0),
                uuids(&id.not_any_, |id| id.0),
            ));
        }
        parts.extend(self.text(o, "name", f.name.as_ref()));
        parts.extend(self.tags(o, f.tags.as_ref()));
        if let Some(is_null) = f.deployment.as_ref().and_then(|absence| absence.is_null_) {
            let not = if is_null { "NOT " } else { "" };
            parts.push(format!(
                "{not}EXISTS (SELECT 1 FROM deployment fd WHERE fd.flow_id = {o}.id)"
            ));
        }
        join(parts, f.operator)
    }

    fn artifact(&mut self, o: &str, f: &ArtifactFilter) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(id) = &f.id {
            parts.extend(self.ids(o, "id", uuids(&id.any_, |id| id.0), None));
        }
        if let Some(key) = &f.key {
            let texts = Texts {
                any_: key.any_.clone(),
                not_any_: None,
                like_: key.like_.clone(),
            };
            let exists = key.exists_.map(|exists| null(o, "key", !exists));
            let text = self.text(o, "key", Some(&texts));
            parts.extend(join(
                text.into_iter().chain(exists).collect(),
                Operator::And,
            ));
        }
        if let Some(ids) = &f.flow_run_id {
            let any = uuids(&ids.any_, |id| id.0);
            let not_any = uuids(&ids.not_any_, |id| id.0);
            parts.extend(self.ids(o, "flow_run_id", any, not_any));
        }
        parts.extend(self.task_run_ids(o, "task_run_id", f.task_run_id.as_ref()));
        parts.extend(self.text(o, "type", f.r#type.as_ref()));
        join(parts, f.operator)
    }

    fn variable(&mut self, o: &str, f: &VariableFilter) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(id) = &f.id {
            parts.extend(self.ids(o, "id", uuids(&id.any_, |id| id.0), None));
        }
        parts.extend(self.text(o, "name", f.name.as_ref()));
        if let Some(value) = &f.value {
            // Values are stored as JSON.
            let json = |text: &String| serde_json::Value::from(text.as_str()).to_string();
            let any = value
                .any_
                .as_ref()
                .map(|any| any.iter().map(json).collect());
            let like = value.like_.as_ref().map(json);
            let texts = Texts {
                any_: any,
                not_any_: None,
                like_: like.map(|like| like[1..like.len() - 1].to_owned()),
            };
            parts.extend(self.text(o, "value", Some(&texts)));
        }
        parts.extend(self.tags(o, f.tags.as_ref()));
        join(parts, f.operator)
    }

    fn work_pool(&mut self, f: &WorkPoolFilter) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(id) = &f.id {
            parts.extend(self.ids("p", "id", uuids(&id.any_, |id| id.0), None));
        }
        for (column, any) in [("name", &f.name), ("type", &f.pool_type)] {
            let any = any.as_ref().and_then(|any| any.any_.clone());
            parts.extend(self.any_text("p", column, any));
        }
        join(parts, f.operator)
    }

    fn work_queue(&mut self, o: &str, f: &WorkQueueFilter) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(id) = &f.id {
            parts.extend(self.ids(o, "id", uuids(&id.any_, |id| id.0), None));
        }
        if let Some(name) = &f.name {
            parts.extend(self.any_text(o, "name", name.any_.clone()));
            let beginnings = name.startswith_.iter().flatten();
            let begins: Vec<String> = beginnings
                .map(|beginning| {
                    let n = self.bind(beginning);
                    format!("substr({o}.name, 1, length(${n})) = ${n}")
                })
                .collect();
            parts.extend(join(begins, Operator::Or));
        }
        join(parts, f.operator)
    }

    fn any_text(&mut self, o: &str, column: &str, any: Option<Vec<String>>) -> Option<String> {
        let n = self.bind(any?);
        Some(format!("{o}.{column} = ANY(${n})"))
    }

    fn optional_text(
        &mut self,
        o: &str,
        column: &str,
        f: Option<&OptionalTexts>,
    ) -> Option<String> {
        let f = f?;
        let any = self.any_text(o, column, f.any_.clone());
        let null = f.is_null_.map(|is_null| null(o, column, is_null));
        join(any.into_iter().chain(null).collect(), f.operator)
    }

    fn maker(&mut self, o: &str, f: Option<&Makers>) -> Option<String> {
        let f = f?;
        let ids = uuids(&f.id_, |id| *id).map(|ids| ids.iter().map(ToString::to_string).collect());
        let mut parts = Vec::new();
        for (member, any) in [("id", ids), ("type", f.type_.clone())] {
            if let Some(any) = any {
                let member = self.bind(member);
                let value = self
                    .dialect
                    .label(&format!("{o}.created_by"), &format!("${member}"));
                let n = self.bind(any);
                parts.push(format!("{value} = ANY(${n})"));
            }
        }
        parts.extend(f.is_null_.map(|is_null| null(o, "created_by", is_null)));
        join(parts, f.operator)
    }

    fn flow_run(&mut self, o: &str, f: &FlowRunFilter) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(id) = &f.id {
            parts.extend(self.ids(
                o,
                "id",
                uuids(&id.any_, |id| id.0),
                uuids(&id.not_any_, |id| id.0),
            ));
        }
        parts.extend(self.text(o, "name", f.name.as_ref()));
        parts.extend(self.tags(o, f.tags.as_ref()));
        parts.extend(self.deployment_ids(o, "deployment_id", f.deployment_id.as_ref()));
        parts.extend(self.text(o, "flow_runner_type", f.flow_runner_type.as_ref()));
        parts.extend(self.state(o, f.state.as_ref()));
        parts.extend(self.text(o, "flow_version", f.flow_version.as_ref()));
        parts.extend(self.text(o, "idempotency_key", f.idempotency_key.as_ref()));
        for (column, times) in [
            ("start_time", &f.start_time),
            ("end_time", &f.end_time),
            ("expected_start_time", &f.expected_start_time),
            ("next_scheduled_start_time", &f.next_scheduled_start_time),
        ] {
            parts.extend(self.times(o, column, times.as_ref()));
        }
        parts.extend(self.task_run_ids(o, "parent_task_run_id", f.parent_task_run_id.as_ref()));
        parts.extend(self.optional_text(o, "work_queue_name", f.work_queue_name.as_ref()));
        let parents = f.parent_flow_run_id.as_ref();
        if let Some(any) = parents.and_then(|parents| uuids(&parents.any_, |id| id.0)) {
            let n = self.bind(Value::Uuids(any));
            parts.push(format!(
                "EXISTS (SELECT 1 FROM task_run pt WHERE pt.id = {o}.parent_task_run_id AND pt.flow_run_id = ANY(${n}))"
            ));
        }
        parts.extend(self.maker(o, f.created_by.as_ref()));
        join(parts, f.operator)
    }

    fn task_run(&mut self, o: &str, f: &TaskRunFilter) -> Option<String> {
        let mut parts = Vec::new();
        parts.extend(self.task_run_ids(o, "id", f.id.as_ref()));
        parts.extend(self.text(o, "name", f.name.as_ref()));
        parts.extend(self.tags(o, f.tags.as_ref()));
        parts.extend(self.state(o, f.state.as_ref()));
        for (column, times) in [
            ("start_time", &f.start_time),
            ("end_time", &f.end_time),
            ("expected_start_time", &f.expected_start_time),
        ] {
            parts.extend(self.times(o, column, times.as_ref()));
        }
        match &f.flow_run_id {
            Some(id) if id.is_null_ == Some(true) => parts.push(null(o, "flow_run_id", true)),
            Some(id)
                if id.is_null_ == Some(false) && id.any_.is_none() && id.not_any_.is_none() =>
            {
                parts.push(null(o, "flow_run_id", false));
            }
            Some(id) => parts.extend(self.ids(
                o,
                "flow_run_id",
                uuids(&id.any_, |id| id.0),
                uuids(&id.not_any_, |id| id.0),
            )),
            None => {}
        }
        if let Some(exists) = f
            .subflow_runs
            .as_ref()
            .and_then(|presence| presence.exists_)
        {
            let not = if exists { "" } else { "NOT " };
            parts.push(format!(
                "{not}EXISTS (SELECT 1 FROM flow_run sub WHERE sub.parent_task_run_id = {o}.id)"
            ));
        }
        join(parts, f.operator)
    }

    fn deployment(&mut self, o: &str, f: &DeploymentFilter) -> Option<String> {
        let mut parts = Vec::new();
        parts.extend(self.deployment_ids(o, "id", f.id.as_ref()));
        parts.extend(self.text(o, "name", f.name.as_ref()));
        parts.extend(self.tags(o, f.tags.as_ref()));
        if let Some(wanted) = f.is_schedule_active.as_ref().and_then(|truth| truth.eq_) {
            let n = self.bind(wanted);
            parts.push(format!("{o}.is_schedule_active = ${n}"));
        }
        if let Some(paused) = f.paused.as_ref().and_then(|truth| truth.eq_) {
            let n = self.bind(!paused);
            parts.push(format!("{o}.is_schedule_active = ${n}"));
        }
        parts.extend(self.optional_text(o, "work_queue_name", f.work_queue_name.as_ref()));
        if let Some(counts) = &f.concurrency_limit {
            for (word, bound) in [(">=", counts.ge_), ("<=", counts.le_)] {
                if let Some(bound) = bound {
                    let n = self.bind(bound);
                    parts.push(format!(
                        "(SELECT cl.\"limit\" FROM concurrency_limit_v2 cl WHERE cl.id = {o}.concurrency_limit_id) {word} ${n}"
                    ));
                }
            }
            parts.extend(
                counts
                    .is_null_
                    .map(|is_null| null(o, "concurrency_limit_id", is_null)),
            );
        }
        let part = f.flow_or_deployment_name.as_ref();
        if let Some(part) = part.and_then(|part| part.like_.as_ref()) {
            let n = self.bind(part.to_lowercase());
            let own = self
                .dialect
                .contains(&format!("LOWER({o}.name)"), &format!("${n}"));
            let flow = self.dialect.contains("LOWER(lf.name)", &format!("${n}"));
            parts.push(format!(
                "({own} OR EXISTS (SELECT 1 FROM flow lf WHERE lf.id = {o}.flow_id AND {flow}))"
            ));
        }
        join(parts, f.operator)
    }

    fn log(&mut self, o: &str, f: &LogFilter) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(levels) = &f.level {
            for (word, bound) in [(">=", levels.ge_), ("<=", levels.le_)] {
                if let Some(bound) = bound {
                    let n = self.bind(bound);
                    parts.push(format!("{o}.level {word} ${n}"));
                }
            }
        }
        parts.extend(self.times(o, "timestamp", f.timestamp.as_ref()));
        if let Some(id) = &f.flow_run_id {
            parts.extend(self.ids(
                o,
                "flow_run_id",
                uuids(&id.any_, |id| id.0),
                uuids(&id.not_any_, |id| id.0),
            ));
        }
        parts.extend(self.task_run_ids(o, "task_run_id", f.task_run_id.as_ref()));
        if let Some(text) = &f.text {
            let bound = &mut self.values;
            let bind = |word: String| {
                bound.push(word.into());
                format!("${}", bound.len())
            };
            let found = format!("LOWER({o}.message || ' ' || {o}.name)");
            let found = words_in(self.dialect, &found, text, bind);
            parts.extend((!found.is_empty()).then(|| format!("({})", found.join(" AND "))));
        }
        join(parts, f.operator)
    }

    fn ids(
        &mut self,
        o: &str,
        column: &str,
        any: Option<Vec<uuid::Uuid>>,
        not_any: Option<Vec<uuid::Uuid>>,
    ) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(any) = any {
            self.values.push(Value::Uuids(any));
            parts.push(format!("{o}.{column} = ANY(${})", self.values.len()));
        }
        if let Some(not_any) = not_any.filter(|list| !list.is_empty()) {
            self.values.push(Value::Uuids(not_any));
            parts.push(format!("{o}.{column} <> ALL(${})", self.values.len()));
        }
        join(parts, Operator::And)
    }

    fn deployment_ids(
        &mut self,
        o: &str,
        column: &str,
        f: Option<&DeploymentIds>,
    ) -> Option<String> {
        let f = f?;
        let ids = self.ids(
            o,
            column,
            uuids(&f.any_, |id| id.0),
            uuids(&f.not_any_, |id| id.0),
        );
        let null = f.is_null_.map(|is_null| null(o, column, is_null));
        join(ids.into_iter().chain(null).collect(), f.operator)
    }

    fn task_run_ids(&mut self, o: &str, column: &str, f: Option<&TaskRunIds>) -> Option<String> {
        let f = f?;
        let ids = self.ids(
            o,
            column,
            uuids(&f.any_, |id| id.0),
            uuids(&f.not_any_, |id| id.0),
        );
        let null = f.is_null_.map(|is_null| null(o, column, is_null));
        join(ids.into_iter().chain(null).collect(), f.operator)
    }

    fn text(&mut self, o: &str, column: &str, f: Option<&Texts>) -> Option<String> {
        let f = f?;
        let mut parts = Vec::new();
        if let Some(any) = &f.any_ {
            self.values.push(Value::from(any.clone()));
            parts.push(format!("{o}.{column} = ANY(${})", self.values.len()));
        }
        if let Some(not_any) = f.not_any_.as_ref().filter(|list| !list.is_empty()) {
            self.values.push(Value::from(not_any.clone()));
            parts.push(format!("{o}.{column} <> ALL(${})", self.values.len()));
        }
        if let Some(like) = &f.like_ {
            let escaped = like
                .to_lowercase()
                .replace('\\', "\\\\")
                .replace('%', "\\%")
                .replace('_', "\\_");
            let n = self.bind(format!("%{escaped}%"));
            parts.push(format!("LOWER({o}.{column}) LIKE ${n} ESCAPE '\\'"));
        }
        join(parts, Operator::And)
    }

    fn tags(&mut self, o: &str, f: Option<&TagsFilter>) -> Option<String> {
        let f = f?;
        let column = format!("{o}.tags");
        let mut parts = Vec::new();
        if let Some(all) = &f.all_ {
            self.values.push(Value::from(all.clone()));
            parts.push(self.dialect.list_contains_all(&column, self.values.len()));
        }
        if let Some(any) = &f.any_ {
            self.values.push(Value::from(any.clone()));
            parts.push(self.dialect.list_contains_any(&column, self.values.len()));
        }
        if let Some(is_null) = f.is_null_ {
            parts.push(format!(
                "{column} {} '[]'",
                if is_null { "=" } else { "<>" }
            ));
        }
        join(parts, f.operator)
    }

    fn state(&mut self, o: &str, f: Option<&StateFilter>) -> Option<String> {
        let f = f?;
        let mut parts = Vec::new();
        if let Some(types) = &f.r#type {
            let texts = Texts {
                any_: names(&types.any_),
                not_any_: names(&types.not_any_),
                like_: None,
            };
            parts.extend(self.text(o, "state_type", Some(&texts)));
        }
        parts.extend(self.text(o, "state_name", f.name.as_ref()));
        join(parts, f.operator)
    }

    fn times(&mut self, o: &str, column: &str, f: Option<&Times>) -> Option<String> {
        let f = f?;
        let mut parts = Vec::new();
        for (word, bound) in [("<=", f.before_), (">=", f.after_)] {
            if let Some(bound) = bound {
                let n = self.bind(bound.0);
                parts.push(format!("{o}.{column} {word} ${n}"));
            }
        }
        parts.extend(f.is_null_.map(|is_null| null(o, column, is_null)));
        join(parts, Operator::And)
    }
}

fn null(o: &str, column: &str, is_null: bool) -> String {
    format!("{o}.{column} IS {}NULL", if is_null { "" } else { "NOT " })
}

fn uuids<T>(list: &Option<Vec<T>>, id: impl Fn(&T) -> uuid::Uuid) -> Option<Vec<uuid::Uuid>> {
    list.as_ref().map(|list| list.iter().map(id).collect())
}

fn names(types: &Option<Vec<StateType>>) -> Option<Vec<String>> {
    types
        .as_ref()
        .map(|types| types.iter().map(|t| t.as_str().to_owned()).collect())
}
