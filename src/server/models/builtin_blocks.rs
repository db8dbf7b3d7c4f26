//! The block types and schemas that clients find on a new server.
//!
//! The genuine servers of 2.20 and of 3.8 have different ones, and a client can do nothing with what
//! only the other generation's code knows. So each schema says whose it is, and what is foreign to a
//! client is left out of the lists that it asks for. A type is shown again once somebody has used it.
//!
//! A client looks for a schema by the checksum of its own code, which counts the descriptions too.
//! Ours are in words of our own, so the checksum stands beside the fields; it is the one that a
//! client computes, and with it the schema is found in place of the client's.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::rows;
use crate::db::{Conn, Result, Value, query};
use crate::schemas::{BlockSchemaId, BlockTypeId, Dialect, Tags};

/// A type on each line, by their slugs.
const TYPES: &str = include_str!("builtin_block_types.json");
/// A schema on each line, by the slugs of their types; of a type the one that is preferred comes first.
const SCHEMAS: &str = include_str!("builtin_block_schemas.json");

static BUILTIN: LazyLock<Builtin> = LazyLock::new(Builtin::read);

struct Builtin {
    types: Vec<Type<'static>>,
    schemas: Vec<Schema<'static>>,
    foreign_to_two: Foreign,
    foreign_to_three: Foreign,
}

#[derive(Deserialize)]
struct Type<'a> {
    name: &'a str,
    slug: &'a str,
    description: &'a str,
    is_protected: bool,
}

#[derive(Deserialize)]
struct Schema<'a> {
    slug: &'a str,
    generations: Vec<Generation>,
    checksum: &'a str,
    version: &'a str,
    capabilities: Tags,
    #[serde(borrow)]
    fields: &'a RawValue,
}

/// Whose genuine server has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Generation {
    #[serde(rename = "2.20")]
    Two,
    #[serde(rename = "3.8")]
    Three,
}

/// What the genuine server of a generation does not have.
pub struct Foreign {
    /// The slugs of types.
    pub slugs: Vec<String>,
    /// Schemas by checksum and version, with a space between them.
    pub schemas: Vec<String>,
}

impl Builtin {
    fn read() -> Self {
        let types: Vec<Type<'_>> =
            serde_json::from_str(TYPES).expect("a test reads the built-in types");
        let schemas: Vec<Schema<'_>> =
            serde_json::from_str(SCHEMAS).expect("a test reads the built-in schemas");
        Self {
            foreign_to_two: Foreign::of(Generation::Two, &types, &schemas),
            foreign_to_three: Foreign::of(Generation::Three, &types, &schemas),
            types,
            schemas,
        }
    }
}

impl Foreign {
    fn of(generation: Generation, types: &[Type<'_>], schemas: &[Schema<'_>]) -> Self {
        let (own, foreign): (Vec<_>, Vec<_>) = schemas
            .iter()
            .partition(|schema| schema.generations.contains(&generation));
        let own: HashSet<&str> = own.iter().map(|schema| schema.slug).collect();
        Self {
            slugs: types
                .iter()
                .filter(|kind| !own.contains(kind.slug))
                .map(|kind| kind.slug.to_owned())
                .collect(),
            schemas: foreign
                .iter()
                .map(|schema| format!("{} {}", schema.checksum, schema.version))
                .collect(),
        }
    }
}

/// Returns what clients of a dialect are not shown.
pub fn foreign_to(dialect: Dialect) -> &'static Foreign {
    match dialect {
        Dialect::Two => &BUILTIN.foreign_to_two,
        // 2.0b3 has no block types, and asks for none.
        Dialect::B | Dialect::Three => &BUILTIN.foreign_to_three,
    }
}

/// Makes sure that all of them are there; those that clients have changed stay as they are.
pub async fn ensure(conn: &mut Conn, now: DateTime<Utc>) -> Result<()> {
    let mut ids = ids(conn).await?;
    let missing: Vec<_> = BUILTIN
        .types
        .iter()
        .filter(|kind| !ids.contains_key(kind.slug))
        .map(|kind| row_of_type(kind, now))
        .collect();
    if !missing.is_empty() {
        let into =
            "INSERT INTO block_type (id, created, updated, name, slug, description, is_protected)";
        rows::insert(conn, into, missing, "ON CONFLICT (slug) DO NOTHING").await?;
        // Another server may have been faster, so the ids are those that are stored.
        ids = self::ids(conn).await?;
    }
    let sql = "SELECT block_type_id, checksum, version FROM block_schema";
    let known: Vec<(BlockTypeId, String, String)> = query(sql).fetch_all(conn).await?;
    let known: HashSet<(BlockTypeId, &str, &str)> = known
        .iter()
        .map(|(id, checksum, version)| (*id, checksum.as_str(), version.as_str()))
        .collect();
    let missing: Vec<_> = ranked()
        .filter_map(|(rank, schema)| Some((*ids.get(schema.slug)?, rank, schema)))
        .filter(|(id, _, schema)| !known.contains(&(*id, schema.checksum, schema.version)))
        .map(|(id, rank, schema)| row_of_schema(id, schema, now - rank))
        .collect();
    let into = "INSERT INTO block_schema (id, created, updated, checksum, fields, capabilities, version, \
                block_type_id)";
    let behind = "ON CONFLICT (checksum, version, block_type_id) DO NOTHING";
    rows::insert(conn, into, missing, behind).await
}

/// Returns the ids of all types by their slugs.
async fn ids(conn: &mut Conn) -> Result<HashMap<String, BlockTypeId>> {
    let sql = "SELECT slug, id FROM block_type";
    let all: Vec<(String, BlockTypeId)> = query(sql).fetch_all(conn).await?;
    Ok(all.into_iter().collect())
}

/// Returns the schemas, each with how much older it is made than the one that is preferred to it.
///
/// Clients take the newest schema of a type, so those that are known from the beginning must have an order.
fn ranked() -> impl Iterator<Item = (TimeDelta, &'static Schema<'static>)> {
    let (mut of, mut rank) = ("", 0);
    BUILTIN.schemas.iter().map(move |schema| {
        rank = if schema.slug == of { rank + 1 } else { 0 };
        of = schema.slug;
        (TimeDelta::microseconds(rank), schema)
    })
}

fn row_of_type(kind: &Type<'_>, now: DateTime<Utc>) -> [Value; 7] {
    [
        BlockTypeId::new().into(),
        now.into(),
        now.into(),
        kind.name.into(),
        kind.slug.into(),
        kind.description.into(),
        kind.is_protected.into(),
    ]
}

fn row_of_schema(of: BlockTypeId, schema: &Schema<'_>, at: DateTime<Utc>) -> [Value; 8] {
    [
        BlockSchemaId::new().into(),
        at.into(),
        at.into(),
        schema.checksum.into(),
        schema.fields.get().into(),
        schema.capabilities.clone().into(),
        schema.version.into(),
        of.into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_builtin_schema_says_what_its_data_is() {
        let Builtin { types, schemas, .. } = &*BUILTIN;
        for schema in schemas {
            let slug = schema.slug;
            let fields: serde_json::Value = serde_json::from_str(schema.fields.get()).unwrap();
            assert_eq!(fields["block_type_slug"], slug);
            assert!(fields["title"].is_string(), "{slug}");
            assert!(fields["block_schema_references"].is_object(), "{slug}");
            let kind = types.iter().find(|kind| kind.slug == slug).unwrap();
            assert_eq!(fields["description"], kind.description, "{slug}");
            for secret in fields["secret_fields"].as_array().unwrap() {
                let field = secret.as_str().unwrap().split('.').next().unwrap();
                assert!(fields["properties"][field].is_object(), "{slug}: {field}");
            }
        }
        for kind in types {
            let is_described = schemas.iter().any(|schema| schema.slug == kind.slug);
            assert!(is_described, "{}", kind.slug);
        }
    }

    #[test]
    fn what_the_system_relies_on_is_protected() {
        let protected: Vec<_> = BUILTIN
            .types
            .iter()
            .filter(|kind| kind.is_protected)
            .map(|kind| kind.slug)
            .collect();
        assert_eq!(
            protected,
            [
                "date-time",
                "json",
                "local-file-system",
                "process",
                "secret",
                "webhook"
            ]
        );
    }

    #[test]
    fn a_generation_is_not_shown_what_only_the_other_knows() {
        let two = foreign_to(Dialect::Two);
        let three = foreign_to(Dialect::Three);
        assert!(two.slugs.is_empty(), "{:?}", two.slugs);
        for slug in ["azure", "gcs", "process", "s3", "string"] {
            assert!(three.slugs.iter().any(|foreign| foreign == slug), "{slug}");
        }
        let is_of = |foreign: &Foreign, version: &str| {
            let end = format!(" {version}");
            foreign.schemas.iter().any(|schema| schema.ends_with(&end))
        };
        assert!(is_of(two, "3.8.8") && !is_of(two, "2.20.26"));
        assert!(is_of(three, "2.20.26") && !is_of(three, "3.8.8"));
    }

    #[test]
    fn the_schemas_of_a_type_have_an_order() {
        let slugs: Vec<_> = BUILTIN.schemas.iter().map(|schema| schema.slug).collect();
        assert!(slugs.is_sorted());
        let docker: Vec<_> = ranked()
            .filter(|(_, schema)| schema.slug == "docker-registry")
            .map(|(rank, _)| rank.num_microseconds())
            .collect();
        assert_eq!(docker, [Some(0), Some(1)]);
    }
}
