//! What each filter asks of its own object, under a given alias.

use super::condition::{Condition, join, null, words_in};
use crate::db::Value;
use crate::schemas::filters::{
    ArtifactFilter, DeploymentFilter, FlowFilter, FlowRunFilter, LogFilter, Operator,
    TaskRunFilter, Texts, VariableFilter, WorkQueueFilter,
};
use crate::schemas::work_pools::WorkPoolFilter;

impl Condition {
    pub(super) fn flow(&mut self, alias: &str, filter: &FlowFilter) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(id) = &filter.id {
            parts.extend(self.ids(alias, "id", id.any_.as_ref(), id.not_any_.as_ref()));
        }
        parts.extend(self.text(alias, "name", filter.name.as_ref()));
        parts.extend(self.tags(alias, filter.tags.as_ref()));
        if let Some(is_null) = filter
            .deployment
            .as_ref()
            .and_then(|absence| absence.is_null_)
        {
            let not = if is_null { "NOT " } else { "" };
            parts.push(format!(
                "{not}EXISTS (SELECT 1 FROM deployment fd WHERE fd.flow_id = {alias}.id)"
            ));
        }
        join(parts, filter.operator)
    }

    pub(super) fn artifact(&mut self, alias: &str, filter: &ArtifactFilter) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(id) = &filter.id {
            parts.extend(self.ids(alias, "id", id.any_.as_ref(), None));
        }
        if let Some(key) = &filter.key {
            let texts = Texts {
                any_: key.any_.clone(),
                not_any_: None,
                like_: key.like_.clone(),
            };
            let exists = key.exists_.map(|exists| null(alias, "key", !exists));
            let text = self.text(alias, "key", Some(&texts));
            parts.extend(join(
                text.into_iter().chain(exists).collect(),
                Operator::And,
            ));
        }
        if let Some(ids) = &filter.flow_run_id {
            let (any, not_any) = (ids.any_.as_ref(), ids.not_any_.as_ref());
            parts.extend(self.ids(alias, "flow_run_id", any, not_any));
        }
        parts.extend(self.task_run_ids(alias, "task_run_id", filter.task_run_id.as_ref()));
        parts.extend(self.text(alias, "type", filter.r#type.as_ref()));
        join(parts, filter.operator)
    }

    pub(super) fn variable(&mut self, alias: &str, filter: &VariableFilter) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(id) = &filter.id {
            parts.extend(self.ids(alias, "id", id.any_.as_ref(), None));
        }
        parts.extend(self.text(alias, "name", filter.name.as_ref()));
        if let Some(value) = &filter.value {
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
            parts.extend(self.text(alias, "value", Some(&texts)));
        }
        parts.extend(self.tags(alias, filter.tags.as_ref()));
        join(parts, filter.operator)
    }

    pub(super) fn work_pool(&mut self, filter: &WorkPoolFilter) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(id) = &filter.id {
            parts.extend(self.ids("p", "id", id.any_.as_ref(), None));
        }
        for (column, any) in [("name", &filter.name), ("type", &filter.pool_type)] {
            let any = any.as_ref().and_then(|any| any.any_.clone());
            parts.extend(self.any_text("p", column, any));
        }
        join(parts, filter.operator)
    }

    pub(super) fn work_queue(&mut self, alias: &str, filter: &WorkQueueFilter) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(id) = &filter.id {
            parts.extend(self.ids(alias, "id", id.any_.as_ref(), None));
        }
        if let Some(name) = &filter.name {
            parts.extend(self.any_text(alias, "name", name.any_.clone()));
            let beginnings = name.startswith_.iter().flatten();
            let begins: Vec<String> = beginnings
                .map(|beginning| {
                    let n = self.bind(beginning);
                    format!("lower(substr({alias}.name, 1, length(${n}))) = lower(${n})")
                })
                .collect();
            parts.extend(join(begins, Operator::Or));
        }
        join(parts, filter.operator)
    }

    pub(super) fn flow_run(&mut self, alias: &str, filter: &FlowRunFilter) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(id) = &filter.id {
            parts.extend(self.ids(alias, "id", id.any_.as_ref(), id.not_any_.as_ref()));
        }
        parts.extend(self.text(alias, "name", filter.name.as_ref()));
        parts.extend(self.tags(alias, filter.tags.as_ref()));
        parts.extend(self.deployment_ids(alias, "deployment_id", filter.deployment_id.as_ref()));
        parts.extend(self.text(alias, "flow_runner_type", filter.flow_runner_type.as_ref()));
        parts.extend(self.state(alias, filter.state.as_ref()));
        parts.extend(self.text(alias, "flow_version", filter.flow_version.as_ref()));
        parts.extend(self.text(alias, "idempotency_key", filter.idempotency_key.as_ref()));
        for (column, times) in [
            ("start_time", &filter.start_time),
            ("end_time", &filter.end_time),
            ("expected_start_time", &filter.expected_start_time),
            (
                "next_scheduled_start_time",
                &filter.next_scheduled_start_time,
            ),
        ] {
            parts.extend(self.times(alias, column, times.as_ref()));
        }
        parts.extend(self.task_run_ids(
            alias,
            "parent_task_run_id",
            filter.parent_task_run_id.as_ref(),
        ));
        parts.extend(self.optional_text(alias, "work_queue_name", filter.work_queue_name.as_ref()));
        let parents = filter.parent_flow_run_id.as_ref();
        if let Some(any) = parents.and_then(|parents| parents.any_.as_ref()) {
            let n = self.bind(Value::Uuids(any.iter().map(|id| id.0).collect()));
            parts.push(format!(
                "EXISTS (SELECT 1 FROM task_run pt WHERE pt.id = {alias}.parent_task_run_id AND pt.flow_run_id = ANY(${n}))"
            ));
        }
        parts.extend(self.maker(alias, filter.created_by.as_ref()));
        join(parts, filter.operator)
    }

    pub(super) fn task_run(&mut self, alias: &str, filter: &TaskRunFilter) -> Option<String> {
        let mut parts = Vec::new();
        parts.extend(self.task_run_ids(alias, "id", filter.id.as_ref()));
        parts.extend(self.text(alias, "name", filter.name.as_ref()));
        parts.extend(self.tags(alias, filter.tags.as_ref()));
        parts.extend(self.state(alias, filter.state.as_ref()));
        for (column, times) in [
            ("start_time", &filter.start_time),
            ("end_time", &filter.end_time),
            ("expected_start_time", &filter.expected_start_time),
        ] {
            parts.extend(self.times(alias, column, times.as_ref()));
        }
        match &filter.flow_run_id {
            Some(id) if id.is_null_ == Some(true) => parts.push(null(alias, "flow_run_id", true)),
            Some(id)
                if id.is_null_ == Some(false) && id.any_.is_none() && id.not_any_.is_none() =>
            {
                parts.push(null(alias, "flow_run_id", false));
            }
            Some(id) => {
                parts.extend(self.ids(alias, "flow_run_id", id.any_.as_ref(), id.not_any_.as_ref()))
            }
            None => {}
        }
        if let Some(exists) = filter
            .subflow_runs
            .as_ref()
            .and_then(|presence| presence.exists_)
        {
            let not = if exists { "" } else { "NOT " };
            parts.push(format!(
                "{not}EXISTS (SELECT 1 FROM flow_run sub WHERE sub.parent_task_run_id = {alias}.id)"
            ));
        }
        join(parts, filter.operator)
    }

    pub(super) fn deployment(&mut self, alias: &str, filter: &DeploymentFilter) -> Option<String> {
        let mut parts = Vec::new();
        parts.extend(self.deployment_ids(alias, "id", filter.id.as_ref()));
        parts.extend(self.text(alias, "name", filter.name.as_ref()));
        parts.extend(self.tags(alias, filter.tags.as_ref()));
        if let Some(wanted) = filter
            .is_schedule_active
            .as_ref()
            .and_then(|truth| truth.eq_)
        {
            let n = self.bind(wanted);
            parts.push(format!("{alias}.is_schedule_active = ${n}"));
        }
        if let Some(paused) = filter.paused.as_ref().and_then(|truth| truth.eq_) {
            let n = self.bind(!paused);
            parts.push(format!("{alias}.is_schedule_active = ${n}"));
        }
        parts.extend(self.optional_text(alias, "work_queue_name", filter.work_queue_name.as_ref()));
        if let Some(counts) = &filter.concurrency_limit {
            let limit = format!(
                "(SELECT cl.\"limit\" FROM concurrency_limit_v2 cl WHERE cl.id = {alias}.concurrency_limit_id)"
            );
            parts.extend(self.bounds(&limit, counts.ge_, counts.le_));
            parts.extend(
                counts
                    .is_null_
                    .map(|is_null| null(alias, "concurrency_limit_id", is_null)),
            );
        }
        let part = filter.flow_or_deployment_name.as_ref();
        if let Some(part) = part.and_then(|part| part.like_.as_ref()) {
            let n = self.bind(part.to_lowercase());
            let own = self
                .dialect
                .contains(&format!("LOWER({alias}.name)"), &format!("${n}"));
            let flow = self.dialect.contains("LOWER(lf.name)", &format!("${n}"));
            parts.push(format!(
                "({own} OR EXISTS (SELECT 1 FROM flow lf WHERE lf.id = {alias}.flow_id AND {flow}))"
            ));
        }
        join(parts, filter.operator)
    }

    pub(super) fn log(&mut self, alias: &str, filter: &LogFilter) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(levels) = &filter.level {
            parts.extend(self.bounds(&format!("{alias}.level"), levels.ge_, levels.le_));
        }
        parts.extend(self.times(alias, "timestamp", filter.timestamp.as_ref()));
        if let Some(id) = &filter.flow_run_id {
            parts.extend(self.ids(alias, "flow_run_id", id.any_.as_ref(), id.not_any_.as_ref()));
        }
        parts.extend(self.task_run_ids(alias, "task_run_id", filter.task_run_id.as_ref()));
        if let Some(text) = &filter.text {
            let bound = &mut self.values;
            let bind = |word: String| {
                bound.push(word.into());
                format!("${}", bound.len())
            };
            let found = format!("LOWER({alias}.message || ' ' || {alias}.name)");
            let found = words_in(self.dialect, &found, text, bind);
            parts.extend((!found.is_empty()).then(|| format!("({})", found.join(" AND "))));
        }
        join(parts, filter.operator)
    }
}
