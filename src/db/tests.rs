//! What a file, a disk and other processes can do to the writer, and what one operation can do to
//! those that share its commit.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use super::{Conn, Db, Error, Result, query};
use crate::settings::{DatabaseUrl, Synchronous};

/// Runs of the random test; each is another seed, and the seed is named when one fails.
const SEEDS: u64 = 20;

/// A database with one more table, `kept`, whose numbers are unique.
async fn database() -> (Db, TempDir) {
    let home = tempfile::tempdir().expect("a directory");
    let db = open(&home.path().join("test.db")).await;
    let table = async |conn: &mut Conn| {
        query("CREATE TABLE kept (n BIGINT PRIMARY KEY, text TEXT)")
            .execute(conn)
            .await
    };
    db.write(table).await.expect("a table");
    (db, home)
}

async fn open(file: &Path) -> Db {
    let url = DatabaseUrl::Sqlite(file.to_owned());
    Db::open(&url, Synchronous::Normal)
        .await
        .expect("a database")
}

async fn keep(conn: &mut Conn, n: i64) -> Result<()> {
    let insert = query("INSERT INTO kept (n, text) VALUES ($1, $2)");
    insert.bind(n).bind("x".repeat(500)).execute(conn).await?;
    Ok(())
}

async fn kept(db: &Db) -> Vec<i64> {
    let read = async |conn: &mut Conn| query("SELECT n FROM kept ORDER BY n").fetch_all(conn).await;
    db.read(read).await.expect("what is kept")
}

async fn pragma(db: &Db, text: String) {
    let set = async move |conn: &mut Conn| query(text).fetch_optional::<i64>(conn).await;
    db.write(set).await.expect("a pragma");
}

/// How an operation of the random tests ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Well,
    Refused,
    Twice,
    Panic,
}

impl End {
    fn random(chance: &mut StdRng) -> Self {
        match chance.random_range(0..8) {
            0 => Self::Refused,
            1 => Self::Twice,
            2 => Self::Panic,
            _ => Self::Well,
        }
    }

    /// Comes to this end; `taken` is a number that is kept already.
    async fn come(self, conn: &mut Conn, taken: i64) -> Result<()> {
        match self {
            Self::Well => Ok(()),
            Self::Refused => Err(Error::Busy("by choice".into())),
            Self::Twice => keep(conn, taken).await,
            Self::Panic => panic!("by choice"),
        }
    }
}

#[tokio::test]
async fn what_fails_in_a_shared_commit_takes_only_its_own_part_with_it() {
    for seed in 0..SEEDS {
        let (db, _home) = database().await;
        db.write(async |conn: &mut Conn| keep(conn, -1).await)
            .await
            .expect("a number");
        let mut chance = StdRng::seed_from_u64(seed);
        let ends: Vec<End> = (0..100).map(|_| End::random(&mut chance)).collect();
        let writes = ends.iter().enumerate().map(|(job, end)| {
            let (first, end, db) = (job as i64 * 10, *end, &db);
            let is_short = job % 2 == 1;
            let write = async move |conn: &mut Conn| {
                // A short one fails before it changes anything.
                if is_short {
                    end.come(conn, -1).await?;
                }
                for n in first..first + 3 {
                    keep(conn, n).await?;
                }
                end.come(conn, first).await
            };
            async move {
                match is_short {
                    false => db.write(write).await,
                    true => db.write_short(write).await,
                }
            }
        });
        let outcomes = join_all(writes).await;
        let mut wanted = vec![-1];
        for (job, (end, outcome)) in ends.iter().zip(&outcomes).enumerate() {
            assert_eq!(
                outcome.is_ok(),
                *end == End::Well,
                "seed {seed}, operation {job}, {end:?}: {outcome:?}"
            );
            if *end == End::Well {
                wanted.extend((job as i64 * 10)..(job as i64 * 10 + 3));
            }
        }
        assert_eq!(kept(&db).await, wanted, "seed {seed}");
        db.close().await;
    }
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the thread that writes is to be busy"
)]
async fn whom_a_short_write_takes_with_it_is_told_to_try_again() {
    let mut are_taken_along = 0;
    for seed in 0..SEEDS {
        let (db, _home) = database().await;
        let mut chance = StdRng::seed_from_u64(seed);
        let ends: Vec<End> = (0..100).map(|_| End::random(&mut chance)).collect();
        let writes = ends.iter().enumerate().map(|(job, end)| {
            let (first, end, db) = (job as i64 * 10, *end, &db);
            db.write_short(async move |conn: &mut Conn| {
                keep(conn, first).await?;
                end.come(conn, first).await
            })
        });
        // While this one writes, the others gather.
        let first = db.write(async |_: &mut Conn| {
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        });
        let (first, outcomes) = join(first, join_all(writes)).await;
        assert!(matches!(first, Ok(()) | Err(Error::Busy(_))), "{first:?}");
        let mut wanted = Vec::new();
        for (job, (end, outcome)) in ends.iter().zip(&outcomes).enumerate() {
            match (end, outcome) {
                (End::Well, Ok(())) => wanted.push(job as i64 * 10),
                (End::Well, Err(Error::Busy(_))) => are_taken_along += 1,
                (End::Well, Err(other)) => panic!("seed {seed}, operation {job}: {other:?}"),
                (_, outcome) => assert!(outcome.is_err(), "seed {seed}, operation {job}"),
            }
        }
        assert_eq!(kept(&db).await, wanted, "seed {seed}");
        db.close().await;
    }
    assert!(
        are_taken_along > 0,
        "no write shared a commit with a failing one"
    );
}

#[tokio::test]
async fn a_panic_is_the_error_of_its_operation_and_the_next_one_works() {
    let (db, _home) = database().await;
    let panics = db.write(async |_: &mut Conn| -> Result<()> { panic!("a mistake") });
    let error = panics.await.expect_err("it panicked");
    assert!(error.to_string().contains("a mistake"), "{error}");
    let panics = db.read(async |_: &mut Conn| -> Result<()> { panic!("a mistake") });
    assert!(panics.await.is_err());
    let panics = db.read_short(async |_: &mut Conn| -> Result<()> { panic!("a mistake") });
    assert!(panics.await.is_err());
    let panics = db.write_short(async |conn: &mut Conn| -> Result<()> {
        keep(conn, 2).await?;
        panic!("a mistake")
    });
    assert!(panics.await.is_err());
    let read = async |conn: &mut Conn| query("SELECT n FROM kept").fetch_all::<i64>(conn).await;
    assert_eq!(
        db.read_short(read).await.expect("a read"),
        Vec::<i64>::new()
    );
    db.write(async |conn: &mut Conn| keep(conn, 1).await)
        .await
        .expect("the writer lives");
    assert_eq!(kept(&db).await, [1]);
}

#[tokio::test]
async fn a_full_disk_is_told_and_loses_nothing_and_space_that_returns_is_used() {
    let (db, _home) = database().await;
    let pages = async |conn: &mut Conn| query("PRAGMA page_count").fetch_one::<i64>(conn).await;
    let pages = db.write(pages).await.expect("a number of pages");
    // SQLite's own bound gives the very error that a full disk gives.
    pragma(&db, format!("PRAGMA max_page_count = {}", pages + 20)).await;
    let mut answered = Vec::new();
    let mut refused = 0;
    for round in 0..20 {
        let writes = (0..20).map(|n| {
            let n = round * 20 + n;
            let db = &db;
            async move {
                (
                    n,
                    db.write(async move |conn: &mut Conn| keep(conn, n).await)
                        .await,
                )
            }
        });
        for (n, outcome) in join_all(writes).await {
            match outcome {
                Ok(()) => answered.push(n),
                Err(Error::Unwritable(_)) => refused += 1,
                Err(other) => panic!("a full disk is told as {other:?}"),
            }
        }
    }
    assert!(refused > 0 && !answered.is_empty());
    assert_eq!(kept(&db).await, answered);
    pragma(&db, "PRAGMA max_page_count = 1000000".to_owned()).await;
    db.write(async |conn: &mut Conn| keep(conn, 1000).await)
        .await
        .expect("there is space again");
}

#[tokio::test]
async fn a_database_that_may_not_be_written_is_told_and_still_read() {
    let (db, home) = database().await;
    db.write(async |conn: &mut Conn| keep(conn, 1).await)
        .await
        .expect("a write");
    pragma(&db, "PRAGMA query_only = TRUE".to_owned()).await;
    let refused = db.write(async |conn: &mut Conn| keep(conn, 2).await).await;
    assert!(
        matches!(refused, Err(Error::NotPermitted(_))),
        "{refused:?}"
    );
    assert_eq!(kept(&db).await, [1]);
    db.close().await;
    let again = open(&home.path().join("test.db")).await;
    again
        .write(async |conn: &mut Conn| keep(conn, 2).await)
        .await
        .expect("it may be written again");
    assert_eq!(kept(&again).await, [1, 2]);
}

#[tokio::test]
async fn a_file_that_was_moved_or_replaced_takes_no_writes_until_it_is_back() {
    let (db, home) = database().await;
    let (file, aside) = (home.path().join("test.db"), home.path().join("aside.db"));
    std::fs::rename(&file, &aside).expect("the file moves");
    for replaced in [false, true] {
        if replaced {
            std::fs::write(&file, "").expect("another file");
        }
        let refused = db.write(async |conn: &mut Conn| keep(conn, 1).await).await;
        let Err(Error::Unwritable(text)) = refused else {
            panic!("a write without a file is told as {refused:?}");
        };
        assert!(text.contains("moved, deleted or replaced"), "{text}");
    }
    std::fs::rename(&aside, &file).expect("the file comes back");
    db.write(async |conn: &mut Conn| keep(conn, 2).await)
        .await
        .expect("a write");
    assert_eq!(kept(&db).await, [2]);
}

#[tokio::test]
async fn a_write_of_another_process_is_waited_for() {
    for is_short in [false, true] {
        let (db, home) = database().await;
        let db = Arc::new(db);
        let other = rusqlite::Connection::open(home.path().join("test.db")).expect("the same file");
        other
            .execute_batch("BEGIN IMMEDIATE; INSERT INTO kept (n) VALUES (1)")
            .expect("the other one writes");
        let waiting = tokio::spawn({
            let db = Arc::clone(&db);
            let write = async |conn: &mut Conn| keep(conn, 2).await;
            async move {
                match is_short {
                    false => db.write(write).await,
                    true => db.write_short(write).await,
                }
            }
        });
        // Reading needs no turn, and by then the writer has most likely begun to wait; were it this
        // thread that waits, nothing here would go on.
        assert_eq!(kept(&db).await, Vec::<i64>::new());
        other.execute_batch("COMMIT").expect("the other one ends");
        waiting.await.expect("no panic").expect("its turn came");
        assert_eq!(kept(&db).await, [1, 2]);
    }
}

#[tokio::test]
async fn short_writes_that_nobody_else_disturbs_run_where_they_are_asked_for() {
    let (db, _home) = database().await;
    let place = async |_: &mut Conn| Ok(std::thread::current().id());
    let here = std::thread::current().id();
    assert_eq!(db.write_short(place).await.expect("a write"), here);
    assert_eq!(db.read_short(place).await.expect("a read"), here);
    assert_ne!(db.write(place).await.expect("a write"), here);
    let many = (0..10).map(|n| db.write_short(async move |conn: &mut Conn| keep(conn, n).await));
    join_all(many)
        .await
        .into_iter()
        .for_each(|kept| kept.expect("a write"));
    assert_eq!(kept(&db).await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_database_that_was_small_once_leaves_no_statistics_to_plan_by() {
    let (db, home) = database().await;
    let many = async |conn: &mut Conn| {
        query("SELECT COUNT(*) FROM flow_run WHERE state_type = 'RUNNING'")
            .fetch_one::<i64>(conn)
            .await
    };
    db.write(async |conn: &mut Conn| keep(conn, 1).await)
        .await
        .expect("a write");
    assert_eq!(db.write(many).await.expect("a count"), 0);
    db.close().await;
    let again = open(&home.path().join("test.db")).await;
    let taken = async |conn: &mut Conn| {
        query("SELECT COUNT(*) FROM sqlite_master WHERE name LIKE 'sqlite_stat%'")
            .fetch_one::<i64>(conn)
            .await
    };
    assert_eq!(again.read(taken).await.expect("a count"), 0);
}

#[tokio::test]
async fn what_was_answered_is_there_after_the_threads_are_gone() {
    let (db, home) = database().await;
    let writes = (0..50).map(|n| db.write(async move |conn: &mut Conn| keep(conn, n).await));
    for outcome in join_all(writes).await {
        outcome.expect("a write");
    }
    db.close().await;
    let nothing = async |_: &mut Conn| Ok(());
    for refused in [
        db.read(nothing).await,
        db.read_short(nothing).await,
        db.write_short(nothing).await,
    ] {
        assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
    }
    let again = open(&home.path().join("test.db")).await;
    assert_eq!(kept(&again).await, (0..50).collect::<Vec<_>>());
}
