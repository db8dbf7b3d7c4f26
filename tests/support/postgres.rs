//! A PostgreSQL database of a test's own.

use sqlx::Connection;
use uuid::Uuid;

/// Where the tests find a PostgreSQL to make their databases in.
const SERVER: &str = "PREFECT_RS_TEST_POSTGRES_URL";

/// Makes a new database and returns its URL; none where there is no PostgreSQL (never in CI).
pub async fn new_database() -> Option<String> {
    let Ok(server) = std::env::var(SERVER) else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "{SERVER} is not set; tests/support/postgres.sh start prints it"
        );
        eprintln!("left out: {SERVER} is not set");
        return None;
    };
    let name = format!("test_{}", Uuid::new_v4().simple());
    let mut connection = sqlx::PgConnection::connect(&server)
        .await
        .expect("the PostgreSQL of the tests answers");
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await
        .expect("a new database");
    let (host, _) = server.rsplit_once('/').expect("a URL with a database");
    Some(format!("{host}/{name}"))
}
