//! Narrows down which states of runs can be events that a filter finds.
//!
//! What the database answers by an index, or exactly, is asked of it. The rest, such as labels, is
//! asked of the events themselves, once they are made from the states.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::filters::{Condition, span};
use super::of_states::Of;
use crate::db::{Dialect, Value};
use crate::schemas::event_filters::{
    AnyResourceFilter, EventFilter, Names, RelatedFilter, ResourceFilter,
};

impl Of {
    /// What can be a related resource, and by which column it is found.
    fn related(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::FlowRuns => &[
                ("prefect.flow.", "r.flow_id"),
                ("prefect.deployment.", "r.deployment_id"),
                ("prefect.task-run.", "r.parent_task_run_id"),
                ("prefect.work-queue.", "r.work_queue_id"),
                ("prefect.work-pool.", "q.work_pool_id"),
            ],
            Self::TaskRuns => &[
                ("prefect.flow-run.", "r.flow_run_id"),
                ("prefect.flow.", "u.flow_id"),
                ("prefect.deployment.", "u.deployment_id"),
            ],
        }
    }

    /// Returns what remains of a name behind the beginning that all names of these events have.
    fn rest(self, name: &str) -> Option<&str> {
        name.strip_prefix(self.prefix())
    }
}

const TAG: &str = "prefect.tag.";

/// A condition on a state `s` of a run `r`, in a work queue `q` or of a flow run `u`.
pub struct Narrowed {
    of: Of,
    /// The condition.
    pub condition: String,
    /// Its values.
    pub values: Condition,
    /// Whether it says all that the filter says, and by the state alone.
    pub is_exact: bool,
}

/// Narrows down the states.
pub fn narrow(of: Of, filter: &EventFilter, dialect: Dialect, now: DateTime<Utc>) -> Narrowed {
    let mut values = Condition::new(dialect);
    let (since, until) = span(filter, now);
    let (since, until) = (values.bind(since), values.bind(until));
    let mut narrowed = Narrowed {
        of,
        condition: format!("s.timestamp >= {since} AND s.timestamp <= {until}"),
        values,
        is_exact: filter.text.is_none(),
    };
    if !filter.id.id.is_empty() {
        narrowed.any_of("s.id", filter.id.id.iter().map(|id| id.0));
    }
    if let Some(names) = &filter.event {
        narrowed.names(names);
    }
    if let Some(resource) = &filter.resource {
        narrowed.resource(resource);
    }
    for related in filter.related.iter().filter(|related| !related.is_empty()) {
        narrowed.related(related);
    }
    for any in &filter.any_resource {
        narrowed.any_resource(any);
    }
    narrowed
}

/// Returns an id as it is written in ids of resources, and in no other way.
fn written_id(id: &str) -> Option<Uuid> {
    let parsed = Uuid::try_parse(id).ok()?;
    (parsed.to_string() == id).then_some(parsed)
}

impl Narrowed {
    fn and(&mut self, condition: &str) {
        self.condition.push_str(" AND ");
        self.condition.push_str(condition);
    }

    fn any_of(&mut self, column: &str, ids: impl IntoIterator<Item = Uuid>) {
        let ids: Vec<Uuid> = ids.into_iter().collect();
        // Said outright, since an empty list is found out only state by state.
        if ids.is_empty() {
            return self.and("FALSE");
        }
        let ids = self.values.bind(Value::Uuids(ids));
        self.and(&format!("{column} = ANY({ids})"));
    }

    fn names(&mut self, names: &Names) {
        if !names.prefix.is_empty() {
            let begins = self.begins(&names.prefix);
            self.and(&begins);
        }
        if !names.exclude_prefix.is_empty() {
            let begins = self.begins(&names.exclude_prefix);
            self.and(&format!("NOT {begins}"));
        }
        let of = self.of;
        let rests = |names: &[String]| -> Vec<String> {
            names
                .iter()
                .filter_map(|name| of.rest(name))
                .map(str::to_owned)
                .collect()
        };
        if !names.name.is_empty() {
            let names = rests(&names.name);
            if names.is_empty() {
                return self.and("FALSE");
            }
            let list = self.values.bind(Value::from(names));
            self.and(&format!("s.name = ANY({list})"));
        }
        if !names.exclude_name.is_empty() {
            let list = self.values.bind(Value::from(rests(&names.exclude_name)));
            self.and(&format!("s.name <> ALL({list})"));
        }
    }

    fn begins(&mut self, prefixes: &[String]) -> String {
        let fits: Vec<String> = prefixes
            .iter()
            .map(|prefix| match self.of.rest(prefix) {
                Some(rest) => {
                    let rest = self.values.bind(rest);
                    format!("SUBSTR(s.name, 1, LENGTH({rest})) = {rest}")
                }
                None if self.of.prefix().starts_with(prefix.as_str()) => "TRUE".to_owned(),
                None => "FALSE".to_owned(),
            })
            .collect();
        format!("({})", fits.join(" OR "))
    }

    fn resource(&mut self, filter: &ResourceFilter) {
        if !filter.id.is_empty() {
            let of = self.of;
            let runs = filter.id.iter().filter_map(|id| written_id(of.rest(id)?));
            self.any_of(of.run(), runs);
        }
        let own = self.of.prefix();
        let covers_all = |prefix: &String| own.starts_with(prefix.as_str());
        let has_labels = filter
            .labels
            .as_ref()
            .is_some_and(|labels| !labels.0.is_empty());
        self.is_exact &=
            !has_labels && (filter.id_prefix.is_empty() || filter.id_prefix.iter().any(covers_all));
        self.can_begin(&filter.id_prefix, &[own]);
    }

    /// Finds nothing where no id can have any of the beginnings.
    fn can_begin(&mut self, prefixes: &[String], kinds: &[&str]) {
        let can = |prefix: &String| {
            let begins =
                |kind: &&str| kind.starts_with(prefix.as_str()) || prefix.starts_with(*kind);
            kinds.iter().any(begins)
        };
        if !prefixes.is_empty() && !prefixes.iter().any(can) {
            self.and("FALSE");
        }
    }

    fn related(&mut self, filter: &RelatedFilter) {
        self.is_exact = false;
        self.involves(&filter.id, false);
        let in_roles: Vec<String> = filter
            .resources_in_roles
            .iter()
            .map(|(id, _)| id.clone())
            .collect();
        self.involves(&in_roles, false);
    }

    fn any_resource(&mut self, filter: &AnyResourceFilter) {
        self.is_exact = false;
        self.involves(&filter.id, true);
        let kinds = self.of.related().iter().map(|(kind, _)| *kind);
        let kinds: Vec<&str> = kinds.chain([TAG, self.of.prefix()]).collect();
        self.can_begin(&filter.id_prefix, &kinds);
    }

    /// One of the resources is involved; tags are looked for in the events, as no column has them.
    fn involves(&mut self, ids: &[String], or_is_own: bool) {
        if ids.is_empty() || ids.iter().any(|id| id.starts_with(TAG)) {
            return;
        }
        let own = or_is_own.then_some((self.of.prefix(), self.of.run()));
        let mut fits = Vec::new();
        for (kind, column) in self.of.related().iter().copied().chain(own) {
            let found = ids
                .iter()
                .filter_map(|id| written_id(id.strip_prefix(kind)?));
            let found: Vec<Uuid> = found.collect();
            if !found.is_empty() {
                let found = self.values.bind(Value::Uuids(found));
                fits.push(format!("{column} = ANY({found})"));
            }
        }
        match fits.is_empty() {
            true => self.and("FALSE"),
            false => self.and(&format!("({})", fits.join(" OR "))),
        }
    }
}
