//! How a PostgreSQL server is reached when its database is opened, and in which words that fails.
//!
//! A server that does not answer is waited for, since it may be starting beside this process; whoever looks on is told
//! so. What it refuses is told at once. Messages name server, database and user, never the password.

use std::io::ErrorKind;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::{sleep, timeout};

use crate::db::{Error, Result};
use crate::telemetry;

/// How long a server is waited for that does not answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Until it is told that somebody waits.
    pub(super) silent: Duration,
    /// From then on.
    pub(super) aloud: Duration,
}

/// Nobody wonders for 2 s; what a service manager starts beside this process answers within 10 s.
pub(super) const PATIENCE: Patience = Patience {
    silent: Duration::from_secs(2),
    aloud: Duration::from_secs(10),
};

/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// Where the database is looked for.
const SETTING: &str = "PREFECT_API_DATABASE_CONNECTION_URL";

/// Waits until the server takes a connection, or says why none is to be had.
pub(super) async fn reach(options: &PgConnectOptions, patience: Patience) -> Result<()> {
    let mut reason = match timeout(patience.silent, attempt(options)).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) if !is_away(&error) => return Err(why_not_opened(options, &error)),
        Ok(Err(error)) => reason_of(&error),
        Err(_) => "it does not answer".to_owned(),
    };
    let place = Place::of(options);
    telemetry::warn_whoever_waits(&place.is_waited_for(&reason, patience));
    let answered = timeout(patience.aloud, answer(options, &mut reason)).await;
    match answered {
        Ok(outcome) => outcome.map_err(|error| why_not_opened(options, &error)),
        Err(_) => Err(place.was_waited_for(&reason, patience)),
    }
}

async fn attempt(options: &PgConnectOptions) -> sqlx::Result<()> {
    let connection = PgConnection::connect_with(options).await?;
    // It was only to be had; that it ends badly is no harm.
    let _ = connection.close().await;
    Ok(())
}

/// Tries again until there is an answer, and keeps the reason why there was none.
async fn answer(options: &PgConnectOptions, reason: &mut String) -> sqlx::Result<()> {
    loop {
        sleep(PAUSE).await;
        match attempt(options).await {
            Err(error) if is_away(&error) => *reason = reason_of(&error),
            outcome => return outcome,
        }
    }
}

/// Tells whether the server may be there a moment later.
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionRefused
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
                | ErrorKind::TimedOut
                | ErrorKind::UnexpectedEof
                // The socket of a server on this machine.
                | ErrorKind::NotFound
        ),
        // Too many connections; it stops, has crashed, or is starting.
        sqlx::Error::Database(refusal) => matches!(
            refusal.code().as_deref(),
            Some("53300" | "57P01" | "57P02" | "57P03")
        ),
        _ => false,
    }
}

/// Returns why something failed, without what the driver puts before it.
fn reason_of(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(refusal) => refusal.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// Says why no connection was made.
pub(super) fn why_not_opened(options: &PgConnectOptions, error: &sqlx::Error) -> Error {
    let code = match error {
        sqlx::Error::Database(refusal) => refusal.code(),
        _ => None,
    };
    Place::of(options).refuses(code.as_deref(), &reason_of(error))
}

/// Says why the schema could not be made or brought up to date.
pub(super) fn why_not_migrated(options: &PgConnectOptions, error: Error) -> Error {
    match error {
        Error::NotPermitted(reason) => Place::of(options).withholds(&reason),
        other => other,
    }
}

/// Refuses a database in whose encoding some texts cannot be written.
pub(super) fn holds_every_text(options: &PgConnectOptions, encoding: &str) -> Result<()> {
    match encoding {
        "UTF8" => Ok(()),
        other => Err(Place::of(options).cannot_hold_every_text(other)),
    }
}

/// What a URL leads to, as far as it may be told.
#[derive(Debug)]
struct Place {
    server: String,
    database: String,
    user: String,
}

impl Place {
    fn of(options: &PgConnectOptions) -> Self {
        let (host, port) = (options.get_host(), options.get_port());
        let user = options.get_username();
        Self {
            server: match options.get_socket() {
                Some(folder) => format!("{} (port {port})", folder.display()),
                None => format!("{host}:{port}"),
            },
            // As PostgreSQL chooses it.
            database: options.get_database().unwrap_or(user).to_owned(),
            user: user.to_owned(),
        }
    }

    fn is_waited_for(&self, reason: &str, patience: Patience) -> String {
        format!(
            "waiting up to {} s for PostgreSQL at {}: {reason}",
            patience.aloud.as_secs_f64(),
            self.server
        )
    }

    fn was_waited_for(&self, reason: &str, patience: Patience) -> Error {
        let Self { server, .. } = self;
        Error::Unopened {
            what: format!(
                "PostgreSQL at {server} cannot be used, also after {} s of waiting: {reason}",
                patience.aloud.as_secs_f64()
            ),
            remedy: format!(
                "see that it runs and listens there; {SETTING} says where it is looked for"
            ),
        }
    }

    /// Says what a refusal with an SQLSTATE means; see postgresql.org/docs/current/errcodes-appendix.html.
    fn refuses(&self, code: Option<&str>, reason: &str) -> Error {
        let Self {
            server,
            database,
            user,
        } = self;
        let (what, remedy) = match code {
            // A wrong password.
            Some("28P01") => (
                format!(
                    "PostgreSQL at {server} does not accept the password of user '{user}' for database '{database}': {reason}"
                ),
                format!(
                    "correct user and password in {SETTING}, or give that user another password: `ALTER ROLE {} PASSWORD '…'`",
                    quoted(user)
                ),
            ),
            // No such role, or none that may come from here.
            Some("28000") => (
                format!(
                    "PostgreSQL at {server} does not let user '{user}' into database '{database}': {reason}"
                ),
                format!(
                    "name a user in {SETTING} that is there, or make this one: `CREATE ROLE {} LOGIN PASSWORD '…'`; \
                     which users may come from where stands in pg_hba.conf",
                    quoted(user)
                ),
            ),
            // No such database.
            Some("3D000") => (
                format!("PostgreSQL at {server} has no database '{database}': {reason}"),
                format!(
                    "make it there: `createdb --owner={user} {database}`, or name another one in {SETTING}"
                ),
            ),
            // A right is missing.
            Some("42501") => (
                format!(
                    "PostgreSQL at {server} does not let user '{user}' into database '{database}': {reason}"
                ),
                format!(
                    "let its owner say: `GRANT CONNECT ON DATABASE {} TO {}`",
                    quoted(database),
                    quoted(user)
                ),
            ),
            Some(_) => (
                format!("PostgreSQL at {server} cannot be used: {reason}"),
                format!("see that {SETTING} names a user, a password and a database that it has"),
            ),
            None => (
                format!("PostgreSQL at {server} cannot be used: {reason}"),
                format!(
                    "see that it runs and listens there; {SETTING} says where it is looked for"
                ),
            ),
        };
        Error::Unopened { what, remedy }
    }

    fn cannot_hold_every_text(&self, encoding: &str) -> Error {
        let Self {
            server,
            database,
            user,
        } = self;
        Error::Unopened {
            what: format!(
                "database '{database}' of PostgreSQL at {server} has the encoding {encoding}, in which not every text can be written; it was left as it is"
            ),
            remedy: format!(
                "make one in UTF-8: `createdb --owner={user} --encoding=UTF8 --template=template0 NAME`, and name it in {SETTING}"
            ),
        }
    }

    /// Says what a right that is missing in the database itself means.
    fn withholds(&self, reason: &str) -> Error {
        let Self {
            server,
            database,
            user,
        } = self;
        let role = quoted(user);
        Error::Unopened {
            what: format!(
                "PostgreSQL at {server} does not let user '{user}' make or use the tables of database '{database}': {reason}"
            ),
            remedy: format!(
                "let the owner of that database say in it: `GRANT ALL ON SCHEMA public TO {role}`, \
                 and if others have made its tables `GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}`"
            ),
        }
    }
}

/// Returns a name as it stands in SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const SHORT: Patience = Patience {
        silent: Duration::from_millis(50),
        aloud: Duration::from_millis(100),
    };

    fn options(url: &str) -> PgConnectOptions {
        url.parse().expect("a URL of PostgreSQL")
    }

    fn place() -> Place {
        Place::of(&options("postgres://me:hunter2@db.example:5433/runs"))
    }

    fn words(error: Error) -> String {
        let Error::Unopened { what, remedy } = error else {
            panic!("{error:?} has no remedy");
        };
        format!("{what}\n{remedy}")
    }

    #[rstest::rstest]
    #[case(
        "28P01",
        "password authentication failed for user \"me\"",
        "does not accept the password of user 'me' for database 'runs'",
        "ALTER ROLE \"me\" PASSWORD"
    )]
    #[case(
        "28000",
        "role \"me\" does not exist",
        "does not let user 'me' into database 'runs': role",
        "CREATE ROLE \"me\" LOGIN"
    )]
    #[case(
        "3D000",
        "database \"runs\" does not exist",
        "has no database 'runs'",
        "createdb --owner=me runs"
    )]
    #[case(
        "42501",
        "permission denied for database \"runs\"",
        "does not let user 'me' into database 'runs'",
        "GRANT CONNECT ON DATABASE \"runs\" TO \"me\""
    )]
    #[case("XX000", "something else", "cannot be used: something else", SETTING)]
    fn a_refusal_is_told_with_whom_it_concerns_and_what_helps(
        #[case] code: &str,
        #[case] reason: &str,
        #[case] what: &str,
        #[case] remedy: &str,
    ) {
        let told = words(place().refuses(Some(code), reason));
        for part in ["PostgreSQL at db.example:5433", reason, what, remedy] {
            assert!(told.contains(part), "{told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn a_right_that_is_missing_in_the_schema_is_told_with_the_grant() {
        let options = options("postgres://m%22e:hunter2@db.example/runs");
        let missing = Error::NotPermitted("permission denied for schema public".to_owned());
        let told = words(why_not_migrated(&options, missing));
        assert!(
            told.contains("tables of database 'runs': permission denied for schema public"),
            "{told}"
        );
        assert!(
            told.contains("`GRANT ALL ON SCHEMA public TO \"m\"\"e\"`"),
            "{told}"
        );
        assert!(!told.contains("hunter2"), "{told}");
        let other = why_not_migrated(&options, Error::Closed);
        assert!(matches!(other, Error::Closed), "{other:?}");
    }

    #[test]
    fn a_database_that_cannot_hold_every_text_is_told_with_a_way_out() {
        let options = options("postgres://me:hunter2@db.example/runs");
        assert!(holds_every_text(&options, "UTF8").is_ok());
        let told = words(holds_every_text(&options, "LATIN1").expect_err("another encoding"));
        assert!(told.contains("the encoding LATIN1"), "{told}");
        assert!(told.contains("--encoding=UTF8"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn what_is_waited_for_is_named_with_how_long() {
        let told = place().is_waited_for("Connection refused", PATIENCE);
        assert_eq!(
            told,
            "waiting up to 10 s for PostgreSQL at db.example:5433: Connection refused"
        );
    }

    #[tokio::test]
    async fn a_server_that_is_down_is_given_up_with_the_reason() {
        let down = options("postgres://me:hunter2@127.0.0.1:1/runs");
        let told = words(reach(&down, SHORT).await.expect_err("nobody listens there"));
        assert!(
            told.starts_with(
                "PostgreSQL at 127.0.0.1:1 cannot be used, also after 0.1 s of waiting: Connection refused"
            ),
            "{told}"
        );
        assert!(
            told.contains("see that it runs and listens there"),
            "{told}"
        );
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_given_up_too() {
        let mute = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = mute.local_addr().expect("an address").port();
        let options = options(&format!("postgres://me@127.0.0.1:{port}/runs"));
        let told = words(reach(&options, SHORT).await.expect_err("nobody answers"));
        assert!(told.contains("of waiting: it does not answer"), "{told}");
    }
}
