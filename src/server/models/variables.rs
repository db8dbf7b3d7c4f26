//! Variables in the database.

use chrono::{DateTime, Utc};

use super::filters::{self, compile_variables, page};
use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::VariableId;
use crate::schemas::filters::VariableFilter;
use crate::schemas::variables::{Variable, VariableCreate, VariableSort, VariableUpdate};

const SELECT: &str = "SELECT o.id, o.created, o.updated, o.name, o.value, o.tags FROM variable o";
const RETURNING: &str = "RETURNING id, created, updated, name, value, tags";

impl FromRow for Variable {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            name: row.take()?,
            value: row.take()?,
            tags: row.take()?,
        })
    }
}

/// What a variable is meant by.
#[derive(Debug, Clone)]
pub enum Which {
    /// Its id.
    Id(VariableId),
    /// Its name.
    Name(String),
}

/// Creates a variable; a name that is taken is refused.
pub async fn create(
    conn: &mut Conn,
    create: VariableCreate,
    now: DateTime<Utc>,
) -> Result<Variable> {
    let variable = Variable {
        id: VariableId::new(),
        created: now,
        updated: now,
        name: create.name,
        value: create.value,
        tags: create.tags.unwrap_or_default(),
    };
    let sql = "INSERT INTO variable (id, created, updated, name, value, tags) VALUES ($1, $2, $2, $3, $4, $5)";
    query(sql)
        .bind(variable.id)
        .bind(now)
        .bind(&variable.name)
        .bind(variable.value.clone())
        .bind(variable.tags.clone())
        .execute(conn)
        .await?;
    Ok(variable)
}

/// Returns a variable.
pub async fn read(conn: &mut Conn, which: &Which) -> Result<Option<Variable>> {
    match which {
        Which::Id(id) => query(format!("{SELECT} WHERE o.id = $1")).bind(*id),
        Which::Name(name) => query(format!("{SELECT} WHERE o.name = $1")).bind(name),
    }
    .fetch_optional(conn)
    .await
}

/// Returns the variables of a page.
pub async fn list(
    conn: &mut Conn,
    filter: Option<&VariableFilter>,
    sort: VariableSort,
    limit: i64,
    offset: u32,
) -> Result<Vec<Variable>> {
    let found = compile_variables(filter, conn.dialect());
    let order = match sort {
        VariableSort::CreatedDesc => "o.created DESC, o.id DESC",
        VariableSort::UpdatedDesc => "o.updated DESC, o.id DESC",
        VariableSort::NameDesc => "o.name DESC",
        VariableSort::NameAsc => "o.name",
    };
    page(conn, SELECT, found, order, limit, i64::from(offset)).await
}

/// Counts variables.
pub async fn count(conn: &mut Conn, filter: Option<&VariableFilter>) -> Result<i64> {
    let found = compile_variables(filter, conn.dialect());
    filters::count(conn, "variable o", found).await
}

/// Changes a variable and returns it, if there is one.
pub async fn update(
    conn: &mut Conn,
    which: &Which,
    update: VariableUpdate,
    now: DateTime<Utc>,
) -> Result<Option<Variable>> {
    let set = "UPDATE variable SET updated = $2, name = COALESCE($3, name), value = COALESCE($4, value), \
               tags = COALESCE($5, tags)";
    let change = match which {
        Which::Id(id) => query(format!("{set} WHERE id = $1 {RETURNING}")).bind(*id),
        Which::Name(name) => query(format!("{set} WHERE name = $1 {RETURNING}")).bind(name),
    };
    let change = change
        .bind(now)
        .bind(update.name)
        .bind(update.value)
        .bind(update.tags);
    change.fetch_optional(conn).await
}

/// Deletes a variable and returns it, if there was one.
pub async fn delete(conn: &mut Conn, which: &Which) -> Result<Option<Variable>> {
    let delete = "DELETE FROM variable WHERE";
    let delete = match which {
        Which::Id(id) => query(format!("{delete} id = $1 {RETURNING}")).bind(*id),
        Which::Name(name) => query(format!("{delete} name = $1 {RETURNING}")).bind(name),
    };
    delete.fetch_optional(conn).await
}
