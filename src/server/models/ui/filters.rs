//! The dashboard's query as a condition of SQL.
//!
//! A subset of the API's filters, in the same words; values are always bound.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::db::{Dialect, Query, Value};
use crate::server::models::filters::like_pattern;

/// A list that a value has to be in, or a text that it has to contain.
#[derive(Debug, Clone, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default)]
pub(crate) struct Words {
    any_: Option<Vec<String>>,
    like_: Option<String>,
}

/// Ids that a thing's own has to be among.
#[derive(Debug, Clone, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default)]
pub(crate) struct Ids {
    any_: Option<Vec<Uuid>>,
}

/// Tags that a thing has to have, all of them.
#[derive(Debug, Clone, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default)]
pub(crate) struct HasTags {
    all_: Option<Vec<String>>,
}

/// Moments between which something lies.
#[derive(Debug, Clone, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default)]
pub(crate) struct Span {
    after_: Option<DateTime<Utc>>,
    before_: Option<DateTime<Utc>>,
}

/// Whether something is absent.
#[derive(Debug, Clone, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default)]
pub(crate) struct Absent {
    is_null_: Option<bool>,
}

/// States by type and name, both or either.
#[derive(Debug, Clone, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default)]
pub(crate) struct InState {
    operator: Option<String>,
    #[serde(rename = "type")]
    kind: Option<Words>,
    name: Option<Words>,
}

impl InState {
    /// Whether a state of this type and name is asked for.
    pub(crate) fn allows(&self, state_type: &str, state_name: &str) -> bool {
        let is_in = |words: &Option<Words>, text: &str| {
            let list = words.as_ref().and_then(|w| w.any_.as_ref());
            list.map(|list| list.iter().any(|word| word == text))
        };
        match (is_in(&self.kind, state_type), is_in(&self.name, state_name)) {
            (Some(a), Some(b)) if self.operator.as_deref() == Some("or_") => a || b,
            (a, b) => a.unwrap_or(true) && b.unwrap_or(true),
        }
    }
}

/// What is asked of a flow, a deployment or a run.
#[derive(Debug, Clone, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default)]
pub(crate) struct Of {
    id: Option<Ids>,
    name: Option<Words>,
    tags: Option<HasTags>,
    state: Option<InState>,
    expected_start_time: Option<Span>,
    parent_task_run_id: Option<Absent>,
    /// The flow runs that called it.
    parent_flow_run_id: Option<Ids>,
}

/// The filters of a request; a page and its order come with them.
#[derive(Debug, Clone, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default)]
pub(crate) struct Ask {
    pub(crate) flows: Option<Of>,
    pub(crate) deployments: Option<Of>,
    pub(crate) flow_runs: Option<Of>,
    pub(crate) task_runs: Option<Of>,
    /// The pools in whose queues runs are.
    pub(crate) work_pools: Option<Of>,
    /// The states of the lists, where the counts are to be of all states.
    pub(crate) state: Option<InState>,
    pub(crate) sort: Option<String>,
    pub(crate) failures_first: bool,
    pub(crate) points: i64,
    pub(crate) limit: Option<i64>,
    pub(crate) offset: i64,
    pub(crate) start: Option<DateTime<Utc>>,
    pub(crate) end: Option<DateTime<Utc>>,
    pub(crate) interval_seconds: Option<f64>,
}

impl Ask {
    /// The page's size; nobody reads more rows than this at once.
    pub(crate) fn limit(&self) -> i64 {
        self.limit.unwrap_or(50).clamp(0, 200)
    }

    /// Where the page begins.
    pub(crate) fn offset(&self) -> i64 {
        self.offset.max(0)
    }

    /// The tables that the condition on runs speaks of; what it does not ask for is not joined.
    pub(crate) fn run_tables(&self) -> &'static str {
        if self.flows.is_some() || self.deployments.is_some() {
            RUN_TABLES
        } else {
            "flow_run r"
        }
    }

    /// Whether anything but the window narrows the flows.
    pub(crate) fn narrows(&self) -> bool {
        let run = self.flow_runs.as_ref();
        self.flows.is_some()
            || self.deployments.is_some()
            || self.work_pools.is_some()
            || self.state.is_some()
            || run.is_some_and(|r| r.name.is_some() || r.tags.is_some() || r.state.is_some())
    }
}

/// A condition and the values of its placeholders.
#[derive(Debug, Clone)]
pub(crate) struct Where {
    dialect: Dialect,
    sql: String,
    values: Vec<Value>,
}

impl Where {
    /// A condition that everything meets.
    pub(crate) fn all(dialect: Dialect) -> Self {
        Self {
            dialect,
            sql: "1 = 1".to_owned(),
            values: Vec::new(),
        }
    }

    /// The condition on flow runs: `f` is the flow, `d` the deployment, `r` the run.
    pub(crate) fn runs(dialect: Dialect, ask: &Ask) -> Self {
        let mut this = Self::all(dialect);
        this.add("f", ask.flows.as_ref(), false);
        this.add("d", ask.deployments.as_ref(), false);
        this.add("r", ask.flow_runs.as_ref(), true);
        let pools = ask.work_pools.as_ref().and_then(|of| of.name.as_ref());
        if let Some(pools) = pools.and_then(|words| words.any_.clone()) {
            let n = this.bind(Value::from(pools));
            this.and(format!(
                "r.work_queue_id IN (SELECT q.id FROM work_queue q JOIN work_pool p ON p.id = q.work_pool_id \
                 WHERE p.name = ANY(${n}))"
            ));
        }
        this
    }

    /// Adds what is asked of one table.
    pub(crate) fn add(&mut self, table: &str, of: Option<&Of>, is_run: bool) {
        let Some(of) = of else { return };
        if let Some(ids) = of.id.as_ref().and_then(|ids| ids.any_.clone()) {
            let n = self.bind(Value::Uuids(ids));
            self.and(format!("{table}.id = ANY(${n})"));
        }
        if let Some(words) = &of.name {
            self.words(&format!("{table}.name"), words);
        }
        if let Some(tags) = of.tags.as_ref().and_then(|tags| tags.all_.clone()) {
            let n = self.bind(Value::from(tags));
            let clause = self.dialect.list_contains_all(&format!("{table}.tags"), n);
            self.and(clause);
        }
        if !is_run {
            return;
        }
        if let Some(span) = &of.expected_start_time {
            self.span(table, span);
        }
        let has_id = table == "r";
        if let Some(is_null) = of
            .parent_task_run_id
            .as_ref()
            .and_then(|p| p.is_null_)
            .filter(|_| has_id)
        {
            let not = if is_null { "" } else { "NOT " };
            self.and(format!("{table}.parent_task_run_id IS {not}NULL"));
        }
        let parents = of.parent_flow_run_id.as_ref();
        if let Some(ids) = parents.and_then(|ids| ids.any_.clone()).filter(|_| has_id) {
            let n = self.bind(Value::Uuids(ids));
            self.and(format!(
                "{table}.parent_task_run_id IN (SELECT c.id FROM task_run c WHERE c.flow_run_id = ANY(${n}))"
            ));
        }
        self.state(table, of.state.as_ref());
    }

    /// Adds the states that a run may be in.
    pub(crate) fn state(&mut self, table: &str, state: Option<&InState>) {
        let Some(state) = state else { return };
        let mut parts = Vec::new();
        for (column, words) in [("state_type", &state.kind), ("state_name", &state.name)] {
            if let Some(list) = words.as_ref().and_then(|w| w.any_.clone()) {
                let n = self.bind(Value::from(list));
                parts.push(format!("{table}.{column} = ANY(${n})"));
            }
        }
        if parts.is_empty() {
            return;
        }
        let is_or = state.operator.as_deref() == Some("or_");
        self.and(format!(
            "({})",
            parts.join(if is_or { " OR " } else { " AND " })
        ));
    }

    fn span(&mut self, table: &str, span: &Span) {
        for (op, moment) in [(">=", span.after_), ("<", span.before_)] {
            if let Some(moment) = moment {
                let n = self.bind(moment.into());
                self.and(format!("{table}.expected_start_time {op} ${n}"));
            }
        }
    }

    fn words(&mut self, column: &str, words: &Words) {
        if let Some(list) = words.any_.clone() {
            let n = self.bind(Value::from(list));
            self.and(format!("{column} = ANY(${n})"));
        }
        if let Some(part) = &words.like_ {
            let n = self.bind(Value::from(like_pattern(part)));
            self.and(format!("LOWER({column}) LIKE ${n} ESCAPE '\\'"));
        }
    }

    /// Binds a value and returns the number of its placeholder.
    pub(crate) fn bind(&mut self, value: Value) -> usize {
        self.values.push(value);
        self.values.len()
    }

    /// Adds a clause.
    pub(crate) fn and(&mut self, clause: impl AsRef<str>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(clause.as_ref());
    }

    /// The condition, for a `WHERE`.
    pub(crate) fn sql(&self) -> &str {
        &self.sql
    }

    /// Makes the query of a text that contains this condition.
    pub(crate) fn query(self, sql: String) -> Query {
        crate::db::query(sql).bind_all(self.values)
    }
}

/// The tables that a run's row is read from, and that any condition on runs can speak of.
pub(crate) const RUN_TABLES: &str = "flow_run r JOIN flow f ON f.id = r.flow_id \
     LEFT JOIN deployment d ON d.id = r.deployment_id";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_compiles_to_one_condition_with_bound_values() {
        let ask: Ask = serde_json::from_str(
            r#"{"flow_runs": {"name": {"like_": "x"}, "state": {"operator": "or_", "type": {"any_": ["FAILED"]}, "name": {"any_": ["Late"]}}}}"#,
        )
        .unwrap();
        let found = Where::runs(Dialect::Sqlite, &ask);
        insta::assert_snapshot!(found.sql(), @r"1 = 1 AND LOWER(r.name) LIKE $1 ESCAPE '\' AND (r.state_type = ANY($2) OR r.state_name = ANY($3))");
        assert_eq!(found.values.len(), 3);
    }
}
