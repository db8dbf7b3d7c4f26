//! Compiles filters of stored events into one statement.
//!
//! An id or a beginning of one is looked up in the index of resources. What is asked of labels is
//! asked of the event itself, and of one and the same resource.

use chrono::{DateTime, TimeDelta, Utc};

use crate::db::{Dialect, Value};
use crate::schemas::event_filters::{
    AnyResourceFilter, EventFilter, Labels, Names, RelatedFilter, ResourceFilter,
};
use crate::schemas::events::{RESOURCE_ID, RESOURCE_ROLE};
use crate::schemas::text_search::TextFilter;

use crate::server::models::filters::words_in;

/// How far back events are looked for by default.
const DEFAULT_SPAN: TimeDelta = TimeDelta::days(180);

/// A condition being put together, and its values from `$1` on.
pub struct Condition {
    dialect: Dialect,
    /// The values of the placeholders.
    pub values: Vec<Value>,
}

/// Returns the condition on an event `o`, and the values so far.
pub fn compile(filter: &EventFilter, dialect: Dialect, now: DateTime<Utc>) -> (String, Condition) {
    let mut condition = Condition::new(dialect);
    let (since, until) = span(filter, now);
    let (since, until) = (condition.bind(since), condition.bind(until));
    let mut all = vec![format!("o.occurred >= {since} AND o.occurred <= {until}")];
    let span = format!("r.occurred >= {since} AND r.occurred <= {until}");
    if !filter.id.id.is_empty() {
        let ids = condition.bind(Value::Uuids(filter.id.id.iter().map(|id| id.0).collect()));
        all.push(format!("o.id = ANY({ids})"));
    }
    if let Some(names) = &filter.event {
        all.extend(condition.names(names));
    }
    if let Some(resource) = &filter.resource {
        all.extend(condition.resource(resource));
    }
    for related in &filter.related {
        all.extend(condition.related(related, &span));
    }
    for any in &filter.any_resource {
        all.extend(condition.any_resource(any, &span));
    }
    if let Some(text) = &filter.text {
        all.extend(condition.text(text));
    }
    (all.join(" AND "), condition)
}

/// Returns between which instants events are looked for.
pub fn span(filter: &EventFilter, now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
    let since = filter.occurred.since;
    let since = since.map_or(now - DEFAULT_SPAN, |since| since.0);
    (since, filter.occurred.until.map_or(now, |until| until.0))
}

impl Condition {
    /// Begins a condition.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            values: Vec::new(),
        }
    }

    /// Binds a value and returns its placeholder.
    pub fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    fn names(&mut self, names: &Names) -> Vec<String> {
        let mut all = Vec::new();
        if !names.prefix.is_empty() {
            all.push(self.begins("o.event", &names.prefix));
        }
        if !names.exclude_prefix.is_empty() {
            all.push(format!(
                "NOT {}",
                self.begins("o.event", &names.exclude_prefix)
            ));
        }
        if !names.name.is_empty() {
            let list = self.bind(Value::from(names.name.clone()));
            all.push(format!("o.event = ANY({list})"));
        }
        if !names.exclude_name.is_empty() {
            let list = self.bind(Value::from(names.exclude_name.clone()));
            all.push(format!("o.event <> ALL({list})"));
        }
        all
    }

    /// A beginning is a range, which an index finds on both databases.
    fn begins(&mut self, column: &str, prefixes: &[String]) -> String {
        let ranges: Vec<String> = prefixes
            .iter()
            .map(|prefix| {
                let from = self.bind(prefix);
                let to = self.bind(format!("{prefix}\u{10ffff}"));
                format!("({column} >= {from} AND {column} < {to})")
            })
            .collect();
        format!("({})", ranges.join(" OR "))
    }

    fn ids(&mut self, column: &str, ids: &[String], prefixes: &[String]) -> Vec<String> {
        let mut all = Vec::new();
        if !ids.is_empty() {
            let list = self.bind(Value::from(ids.to_vec()));
            all.push(format!("{column} = ANY({list})"));
        }
        if !prefixes.is_empty() {
            all.push(self.begins(column, prefixes));
        }
        all
    }

    fn resource(&mut self, filter: &ResourceFilter) -> Vec<String> {
        let mut all = self.ids("o.resource_id", &filter.id, &filter.id_prefix);
        if let Some(labels) = &filter.labels {
            all.extend(self.labels("o.resource", labels));
        }
        all
    }

    fn related(&mut self, filter: &RelatedFilter, span: &str) -> Vec<String> {
        if filter.is_empty() {
            return Vec::new();
        }
        let mut found = self.ids("r.resource_id", &filter.id, &[]);
        if !filter.role.is_empty() {
            let roles = self.bind(Value::from(filter.role.clone()));
            found.push(format!("r.resource_role = ANY({roles})"));
        }
        let pairs: Vec<String> = filter
            .resources_in_roles
            .iter()
            .map(|(id, role)| {
                let (id, role) = (self.bind(id), self.bind(role));
                format!("(r.resource_id = {id} AND r.resource_role = {role})")
            })
            .collect();
        if !pairs.is_empty() {
            found.push(format!("({})", pairs.join(" OR ")));
        }
        found.push("r.resource_role <> ''".to_owned());
        let mut all = vec![indexed(&found, span)];
        if let Some(labels) = &filter.labels {
            let mut same = self.labels("e.value", labels);
            same.extend(self.same_resource(&filter.id, &filter.role));
            all.push(format!(
                "EXISTS (SELECT 1 FROM {} WHERE {})",
                self.dialect.elements("o.related"),
                join(same)
            ));
        }
        all
    }

    fn any_resource(&mut self, filter: &AnyResourceFilter, span: &str) -> Vec<String> {
        let mut all = Vec::new();
        let found = self.ids("r.resource_id", &filter.id, &filter.id_prefix);
        if !found.is_empty() {
            all.push(indexed(&found, span));
        }
        let Some(labels) = &filter.labels else {
            return all;
        };
        let mut same = self.labels("e.value", labels);
        // A value that no condition uses would be refused.
        if !filter.id.is_empty() || !filter.id_prefix.is_empty() {
            let id = self.dialect.label("e.value", &self.bind(RESOURCE_ID));
            same.extend(self.ids(&id, &filter.id, &filter.id_prefix));
        }
        let in_related = format!(
            "EXISTS (SELECT 1 FROM {} WHERE {})",
            self.dialect.elements("o.related"),
            join(same)
        );
        if filter.asks_for_role() {
            all.push(in_related);
        } else {
            let mut own = self.labels("o.resource", labels);
            own.extend(self.ids("o.resource_id", &filter.id, &filter.id_prefix));
            all.push(format!("(({}) OR {in_related})", join(own)));
        }
        all
    }

    /// The labels must be those of the resource that was found by id or role.
    fn same_resource(&mut self, ids: &[String], roles: &[String]) -> Vec<String> {
        let mut all = Vec::new();
        for (label, wanted) in [(RESOURCE_ID, ids), (RESOURCE_ROLE, roles)] {
            if !wanted.is_empty() {
                let value = self.dialect.label("e.value", &self.bind(label));
                let list = self.bind(Value::from(wanted.to_vec()));
                all.push(format!("{value} = ANY({list})"));
            }
        }
        all
    }

    fn labels(&mut self, object: &str, labels: &Labels) -> Vec<String> {
        let mut all = Vec::new();
        for (label, wanted) in &labels.0 {
            let value = self.dialect.label(object, &self.bind(label.as_str()));
            let fits: Vec<String> = wanted
                .iter()
                .map(|pattern| self.fits(&value, pattern))
                .collect();
            all.push(match fits.len() {
                0 => "FALSE".to_owned(),
                _ => format!("({})", fits.join(" OR ")),
            });
        }
        all
    }

    fn fits(&mut self, value: &str, pattern: &str) -> String {
        let (not, pattern) = match pattern.strip_prefix('!') {
            Some(pattern) => ("NOT ", pattern),
            None => ("", pattern),
        };
        let pattern = self.dialect.glob_pattern(pattern);
        let pattern = self.bind(pattern);
        format!("{not}{}", self.dialect.glob(value, &pattern))
    }

    fn text(&mut self, filter: &TextFilter) -> Vec<String> {
        let text = "LOWER(o.event || ' ' || o.resource || ' ' || o.related || ' ' || o.payload)";
        words_in(self.dialect, text, filter, |word| self.bind(word))
    }
}

fn indexed(found: &[String], span: &str) -> String {
    format!(
        "o.id IN (SELECT r.event_id FROM event_resources r WHERE {span} AND {})",
        found.join(" AND ")
    )
}

fn join(conditions: Vec<String>) -> String {
    match conditions.is_empty() {
        true => "TRUE".to_owned(),
        false => conditions.join(" AND "),
    }
}
