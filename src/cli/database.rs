//! `database`: the file or server that holds everything.

use std::{
    io::{self, BufRead, IsTerminal},
    path::{Path, PathBuf},
};

use clap::Subcommand;

use super::{
    Context,
    error::{Code, Error, Result},
    output,
};
use crate::{
    advert,
    db::{self, Conn, Db},
    server::models::admin,
    settings::DatabaseUrl,
};

/// Look after the database: upgrade, back up, reset.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs database backup orion-backup.db")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the database, or bring an older one up to date.
    #[command(after_help = "Example:\n  prefect-rs database upgrade")]
    Upgrade {
        /// Accepted for scripts that never want to be asked; this asks nothing.
        #[arg(short, long)]
        yes: bool,
    },
    /// Copy the database to a file, consistent also while a server works on it; one of PostgreSQL is copied by `pg_dump`.
    #[command(after_help = "Example:\n  prefect-rs database backup /backups/orion.db")]
    Backup {
        /// The file to write.
        file: PathBuf,
        /// Write over a file that exists.
        #[arg(long)]
        force: bool,
    },
    /// Delete everything in the database and begin with an empty one.
    #[command(after_help = "Example:\n  prefect-rs database reset -y")]
    Reset {
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        match self.command {
            Command::Upgrade { yes: _ } => upgrade(cx).await,
            Command::Backup { file, force } => backup(cx, file, force).await,
            Command::Reset { yes } => reset(cx, yes).await,
        }
    }
}

async fn open(cx: &Context) -> Result<Db> {
    let settings = cx.settings();
    Ok(Db::open(&settings.database_url, settings.database_synchronous).await?)
}

async fn upgrade(cx: &Context) -> Result {
    open(cx).await?.close().await;
    output::say(&format!("{} is up to date.", cx.settings().database_url));
    Ok(())
}

async fn backup(cx: &Context, file: PathBuf, force: bool) -> Result {
    let database = sqlite_file(cx, &file)?;
    if !database.exists() {
        return Err(Error::not_found("database", database.display()));
    }
    if file.is_dir() {
        return Err(
            Error::new(Code::Usage, format!("{} is a folder", file.display())).hint(format!(
                "name a file in it, such as {}",
                file.join("orion-backup.db").display()
            )),
        );
    }
    if file.exists() && !file.is_file() {
        return Err(Error::new(
            Code::Usage,
            format!("{} is not a regular file", file.display()),
        )
        .hint("name a file, which may not exist yet"));
    }
    let place = |path: &Path| std::fs::canonicalize(path).ok();
    if place(&file).is_some() && place(&file) == place(database) {
        return Err(Error::new(
            Code::Usage,
            format!("{} is the database itself", file.display()),
        )
        .hint("choose another file, best on another disk"));
    }
    if file.exists() && !force {
        return Err(
            Error::new(Code::Conflict, format!("{} exists already", file.display()))
                .hint("choose another file, or write over it with --force"),
        );
    }
    let folder = std::path::absolute(&file).unwrap_or_else(|_| file.clone());
    if let Some(folder) = folder.parent().filter(|folder| !folder.is_dir()) {
        return Err(Error::not_found("folder", folder.display())
            .hint(format!("make it: `mkdir -p {}`", folder.display())));
    }
    let db = open(cx).await?;
    let outcome = db.backup(file.clone()).await;
    db.close().await;
    outcome?;
    output::say(&format!(
        "Copied {} to {}.",
        database.display(),
        file.display()
    ));
    Ok(())
}

async fn reset(cx: &Context, yes: bool) -> Result {
    let database = match &cx.settings().database_url {
        DatabaseUrl::Sqlite(path) => path,
        DatabaseUrl::SqliteMemory => return Err(in_memory()),
        url @ DatabaseUrl::Postgres(_) => return reset_postgres(cx, url, yes).await,
    };
    if let Some(live) = advert::find(database) {
        return Err(Error::new(
            Code::Conflict,
            format!(
                "a server works on {} (process {})",
                database.display(),
                live.pid
            ),
        )
        .hint("stop the server first"));
    }
    if advert::is_attended(database) {
        let message = format!("services work on {}", database.display());
        return Err(Error::new(Code::Conflict, message)
            .hint("stop `prefect-rs server services start` first"));
    }
    if !yes && !confirmed(&database.display().to_string())? {
        return Err(Error::failure("nothing was deleted"));
    }
    db::delete_sqlite(database)?;
    open(cx).await?.close().await;
    output::say(&format!("{} is empty now.", database.display()));
    Ok(())
}

/// Empties the tables, since the database itself is for its owner to drop; servers on it may go on.
async fn reset_postgres(cx: &Context, url: &DatabaseUrl, yes: bool) -> Result {
    if !yes && !confirmed(&url.to_string())? {
        return Err(Error::failure("nothing was deleted"));
    }
    let (db, now) = (open(cx).await?, cx.now());
    let clear = async move |conn: &mut Conn| admin::clear(conn, now).await;
    let outcome = db.write(clear).await;
    db.close().await;
    outcome?;
    output::say(&format!(
        "{url} is empty now; restart the servers that work on it."
    ));
    Ok(())
}

fn in_memory() -> Error {
    Error::failure("a database in memory has no file")
}

/// Returns the file of a SQLite database, or says how the other kind is copied.
fn sqlite_file<'a>(cx: &'a Context, copy: &Path) -> Result<&'a Path> {
    match &cx.settings().database_url {
        DatabaseUrl::Sqlite(path) => Ok(path),
        DatabaseUrl::SqliteMemory => Err(in_memory()),
        url @ DatabaseUrl::Postgres(_) => Err(Error::failure(
            "a PostgreSQL database is copied by its own program",
        )
        .hint(format!(
            "`pg_dump --format=custom --file={} '{url}'`, and back with `pg_restore --clean --dbname='{url}'`",
            copy.display()
        ))),
    }
}

fn confirmed(database: &str) -> Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(Error::new(
            Code::Usage,
            "this deletes everything and cannot ask, since stdin is no terminal",
        )
        .hint("say so with `prefect-rs database reset -y`"));
    }
    output::say(&format!(
        "This deletes everything in {database}. Are you sure? [y/N]"
    ));
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Error::failure(format!("the answer cannot be read: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
