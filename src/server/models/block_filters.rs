//! Conditions on blocks, compiled for statements over the tables `d`, `t` and `s`: documents,
//! types and schemas.

use super::builtin_blocks::foreign_to;
use crate::db::{Conn, Dialect, Value};
use crate::schemas;
use crate::schemas::block_documents::BlockDocumentFilter;
use crate::schemas::block_schemas::BlockSchemaFilter;
use crate::schemas::block_types::BlockTypeFilter;
use crate::schemas::filters::Operator;

/// Conditions with the values of their placeholders.
pub struct Conditions {
    dialect: Dialect,
    parts: Vec<String>,
    /// The values, in the order of their placeholders.
    pub values: Vec<Value>,
}

impl Conditions {
    /// Begins without a condition.
    pub fn new(conn: &Conn) -> Self {
        Self {
            dialect: conn.dialect(),
            parts: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Binds a value and returns its placeholder.
    pub fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// Returns what follows WHERE.
    pub fn sql(&self) -> String {
        if self.parts.is_empty() {
            "TRUE".to_owned()
        } else {
            self.parts.join(" AND ")
        }
    }

    fn uuids(&mut self, column: &str, ids: Vec<uuid::Uuid>) -> String {
        let n = self.bind(Value::Uuids(ids));
        format!("{column} = ANY({n})")
    }

    fn add(&mut self, parts: Vec<String>, operator: Operator) {
        let word = match operator {
            Operator::And => " AND ",
            Operator::Or => " OR ",
        };
        if !parts.is_empty() {
            self.parts.push(format!("({})", parts.join(word)));
        }
    }

    /// Adds conditions on types.
    pub fn on_types(&mut self, filter: Option<&BlockTypeFilter>) {
        let Some(filter) = filter else { return };
        let mut parts = Vec::new();
        if let Some(like) = filter.name.as_ref().and_then(|name| name.like_.as_ref()) {
            let n = self.bind(format!("%{}%", like.to_lowercase()));
            parts.push(format!("LOWER(t.name) LIKE {n}"));
        }
        if let Some(any) = filter.slug.as_ref().and_then(|slug| slug.any_.clone()) {
            let n = self.bind(any);
            parts.push(format!("t.slug = ANY({n})"));
        }
        self.add(parts, Operator::And);
    }

    /// Leaves out the types that are known from the beginning, but to another generation only, unless
    /// somebody has made a block or registered a schema of them.
    pub fn on_known_types(&mut self, dialect: schemas::Dialect) {
        let foreign = foreign_to(dialect);
        if foreign.slugs.is_empty() {
            return;
        }
        let slugs = self.bind(foreign.slugs.clone());
        let schemas = self.bind(foreign.schemas.clone());
        self.parts.push(format!(
            "(t.slug <> ALL({slugs}) \
             OR EXISTS (SELECT 1 FROM block_schema o WHERE o.block_type_id = t.id \
             AND (o.checksum || ' ' || o.version) <> ALL({schemas})) \
             OR EXISTS (SELECT 1 FROM block_document o WHERE o.block_type_id = t.id))"
        ));
    }

    /// Leaves out the schemas that are known from the beginning, but to another generation only.
    pub fn on_known_schemas(&mut self, dialect: schemas::Dialect) {
        let schemas = self.bind(foreign_to(dialect).schemas.clone());
        self.parts.push(format!(
            "(s.checksum || ' ' || s.version) <> ALL({schemas})"
        ));
    }

    /// Adds conditions on schemas.
    pub fn on_schemas(&mut self, filter: Option<&BlockSchemaFilter>) {
        let parts = self.schema_parts(filter);
        self.add(parts, filter.map(|f| f.operator).unwrap_or_default());
    }

    /// Adds conditions that one of the schemas of a type must meet.
    pub fn on_any_schema(&mut self, filter: Option<&BlockSchemaFilter>) {
        let parts = self.schema_parts(filter);
        let word = match filter.map(|f| f.operator).unwrap_or_default() {
            Operator::And => " AND ",
            Operator::Or => " OR ",
        };
        if !parts.is_empty() {
            let parts = parts.join(word);
            self.parts.push(format!(
                "EXISTS (SELECT 1 FROM block_schema s WHERE s.block_type_id = t.id AND ({parts}))"
            ));
        }
    }

    fn schema_parts(&mut self, filter: Option<&BlockSchemaFilter>) -> Vec<String> {
        let Some(filter) = filter else {
            return Vec::new();
        };
        let mut parts = Vec::new();
        if let Some(any) = filter.id.as_ref().and_then(|ids| ids.any_.as_ref()) {
            parts.push(self.uuids("s.id", any.iter().map(|id| id.0).collect()));
        }
        let types = filter.block_type_id.as_ref();
        if let Some(any) = types.and_then(|ids| ids.any_.as_ref()) {
            parts.push(self.uuids("s.block_type_id", any.iter().map(|id| id.0).collect()));
        }
        let capabilities = filter.block_capabilities.as_ref();
        if let Some(all) = capabilities.and_then(|c| c.all_.clone()) {
            self.bind(all);
            parts.push(
                self.dialect
                    .list_contains_all("s.capabilities", self.values.len()),
            );
        }
        if let Some(any) = filter.version.as_ref().and_then(|v| v.any_.clone()) {
            let n = self.bind(any);
            parts.push(format!("s.version = ANY({n})"));
        }
        parts
    }

    /// Adds conditions on documents.
    pub fn on_documents(&mut self, filter: &BlockDocumentFilter) {
        let mut parts = Vec::new();
        if let Some(any) = filter.id.as_ref().and_then(|ids| ids.any_.as_ref()) {
            parts.push(self.uuids("d.id", any.iter().map(|id| id.0).collect()));
        }
        if let Some(is) = filter.is_anonymous.as_ref().and_then(|truth| truth.eq_) {
            let n = self.bind(is);
            parts.push(format!("d.is_anonymous = {n}"));
        }
        let types = filter.block_type_id.as_ref();
        if let Some(any) = types.and_then(|ids| ids.any_.as_ref()) {
            parts.push(self.uuids("d.block_type_id", any.iter().map(|id| id.0).collect()));
        }
        if let Some(name) = &filter.name {
            if let Some(any) = name.any_.clone() {
                let n = self.bind(any);
                parts.push(format!("d.name = ANY({n})"));
            }
            if let Some(like) = &name.like_ {
                let n = self.bind(format!("%{}%", like.to_lowercase()));
                parts.push(format!("LOWER(d.name) LIKE {n}"));
            }
        }
        self.add(parts, filter.operator);
    }
}
