//! The schema: which scripts there are, which of them a database has, and whose it is.
//!
//! A script is a pair of files of one name, forward only. SQLite keeps our mark and the number of
//! scripts in its header (`application_id`, `user_version`), PostgreSQL in a table. Anything at
//! the path that lacks the mark, or is ahead of this program, is refused untouched.

use std::path::Path;

use rusqlite::Connection;

use super::{Conn, Error, Result, query};

/// "pfrs", in the header of each SQLite file of ours.
const APPLICATION_ID: i64 = 0x7066_7273;

struct Script {
    sqlite: &'static str,
    postgres: &'static str,
}

/// All scripts in order; never edit one that was released.
const SCRIPTS: &[Script] = &[Script {
    sqlite: include_str!("../../migrations/sqlite/0001_initial.sql"),
    postgres: include_str!("../../migrations/postgres/0001_initial.sql"),
}];

/// Fails, touching nothing, unless the file is empty or ours and not newer than this program.
pub(super) fn refuse_foreign_sqlite(conn: &Connection, path: &Path) -> Result<()> {
    let pragma = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = pragma("application_id").map_err(|e| match Error::from(e) {
        Error::Foreign { .. } => Error::Foreign {
            what: format!("{} is not a database and was left as it is", path.display()),
            remedies: ways_out(path, "not-a-database"),
        },
        other => other,
    })?;
    let tables = "SELECT group_concat(name, ', ') FROM (SELECT name FROM sqlite_master WHERE type = 'table' \
                  ORDER BY name = 'alembic_version' DESC, name LIMIT 3)";
    let tables: Option<String> = conn.query_row(tables, [], |row| row.get(0))?;
    let Some(tables) = tables else { return Ok(()) };
    if application != APPLICATION_ID {
        let is_genuine = tables.contains("alembic_version");
        let (whose, suffix) = match is_genuine {
            true => (
                "genuine Prefect, which uses it when a flow runs without a server",
                "genuine",
            ),
            false => ("another program", "other"),
        };
        let what = format!(
            "{} is a database of {whose}; it was left as it is (tables {tables}, …)",
            path.display()
        );
        return Err(Error::Foreign {
            what,
            remedies: ways_out(path, suffix),
        });
    }
    refuse_newer(pragma("user_version")?, &path.display().to_string())
}

/// Says how a server gets a file of its own.
///
/// Not by a setting in the profile: the first generation's client reads the same profiles and
/// refuses settings that it does not know. The file may be named by a setting of its own, which goes
/// before the home.
fn ways_out(path: &Path, suffix: &str) -> Vec<String> {
    vec![
        format!("move it away: `mv {0} {0}.{suffix}`", path.display()),
        "or keep the server in a home of its own, in all terminals that use it: \
         `export PREFECT_HOME=~/.prefect-rs`, with PREFECT_API_DATABASE_CONNECTION_URL not set or set to another file"
            .to_owned(),
    ]
}

fn refuse_newer(version: i64, at: &str) -> Result<()> {
    if version > SCRIPTS.len() as i64 {
        return Err(Error::Foreign {
            what: format!(
                "{at} has schema version {version}, and this program knows up to {}; it was left as it is",
                SCRIPTS.len()
            ),
            remedies: vec!["use the prefect-rs that made it, or a newer one".to_owned()],
        });
    }
    Ok(())
}

/// Runs the scripts that the file lacks, in one transaction.
pub(super) fn sqlite(conn: &mut Connection, path: &Path) -> Result<()> {
    let transaction = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // Another process may have got here first, hence once more under the lock.
    refuse_foreign_sqlite(&transaction, path)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for script in &SCRIPTS[version as usize..] {
        transaction.execute_batch(script.sqlite)?;
    }
    if version != SCRIPTS.len() as i64 {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", SCRIPTS.len() as i64)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Runs the scripts that the database lacks; several servers may start at once.
pub(super) async fn postgres(conn: &mut Conn) -> Result<()> {
    query("SELECT pg_advisory_xact_lock($1)")
        .bind(APPLICATION_ID)
        .execute(conn)
        .await?;
    let ours = "SELECT to_regclass('prefect_rs_schema') IS NOT NULL";
    let version = if query(ours).fetch_one::<bool>(conn).await? {
        query("SELECT version FROM prefect_rs_schema")
            .fetch_one::<i64>(conn)
            .await?
    } else {
        let table =
            "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() LIMIT 1";
        if let Some(table) = query(table).fetch_optional::<String>(conn).await? {
            return Err(Error::Foreign {
                what: format!(
                    "the PostgreSQL database holds tables of another program (such as {table}) and was left as it is"
                ),
                remedies: vec![
                    "name an empty database in PREFECT_API_DATABASE_CONNECTION_URL".to_owned(),
                ],
            });
        }
        query("CREATE TABLE prefect_rs_schema (version BIGINT NOT NULL)")
            .execute(conn)
            .await?;
        query("INSERT INTO prefect_rs_schema (version) VALUES (0)")
            .execute(conn)
            .await?;
        0
    };
    refuse_newer(version, "the PostgreSQL database")?;
    for script in &SCRIPTS[version as usize..] {
        // Statement by statement, since a prepared statement holds one.
        for statement in script
            .postgres
            .split(";\n")
            .map(str::trim)
            .filter(|s| !s.is_empty())
        {
            query(statement.to_owned()).execute(conn).await?;
        }
    }
    query("UPDATE prefect_rs_schema SET version = $1")
        .bind(SCRIPTS.len() as i64)
        .execute(conn)
        .await?;
    Ok(())
}
