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
    db::{self, Db},
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
    /// Copy the database to a file, consistent also while a server works on it.
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
    let database = sqlite_file(cx, "backed up with `pg_dump`")?;
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
    let database = sqlite_file(cx, "reset with `DROP DATABASE` and `CREATE DATABASE`")?;
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
    if !yes && !confirmed(database)? {
        return Err(Error::failure("nothing was deleted"));
    }
    db::delete_sqlite(database)?;
    open(cx).await?.close().await;
    output::say(&format!("{} is empty now.", database.display()));
    Ok(())
}

/// Returns the file of a SQLite database, or says what to do with the other kind.
fn sqlite_file<'a>(cx: &'a Context, otherwise: &str) -> Result<&'a Path> {
    match &cx.settings().database_url {
        DatabaseUrl::Sqlite(path) => Ok(path),
        DatabaseUrl::SqliteMemory => Err(Error::failure("a database in memory has no file")),
        DatabaseUrl::Postgres(_) => Err(Error::failure(format!(
            "a PostgreSQL database is {otherwise}"
        ))),
    }
}

fn confirmed(database: &Path) -> Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(Error::new(
            Code::Usage,
            "this deletes everything and cannot ask, since stdin is no terminal",
        )
        .hint("say so with `prefect-rs database reset -y`"));
    }
    output::say(&format!(
        "This deletes everything in {}. Are you sure? [y/N]",
        database.display()
    ));
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Error::failure(format!("the answer cannot be read: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
