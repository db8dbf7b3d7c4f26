//! What of the genuine servers' APIs this one has: the table in `COMPATIBILITY.md` is what this test finds.
//!
//! `operations.tsv` lists the operations of the three genuine servers, one a line, with a `y` for each generation that has
//! it. An operation counts as compared where a story in `beside/` asks a genuine server of that generation for it,
//! or a conversation is held with one on a socket.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::app::TestApp;
use crate::beside::conversations;

const OPERATIONS: &str = include_str!("operations.tsv");
const GENERATIONS: [&str; 3] = ["2.0b3", "2.20", "3.8"];
/// The stories told to a genuine server of each generation.
const STORIES: [&[&str]; 3] = [
    &["requests.txt"],
    &["jobs.txt", "two.txt", "events.txt"],
    &[
        "runs.txt",
        "jobs.txt",
        "three.txt",
        "events.txt",
        "nouns.txt",
    ],
];
const BEGIN: &str = "<!-- operations: written by `make compatibility` -->";
const END: &str = "<!-- end of operations -->";

/// Returns an operation with its free parts nameless, since what they are called is each server's choice.
fn unnamed(operation: &str) -> String {
    let parts = operation
        .split('/')
        .map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

fn routed() -> BTreeSet<String> {
    let document = serde_json::to_value(prefect_rs::server::openapi()).expect("a document");
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        let path = path.trim_start_matches("/api");
        let methods = item.as_object().expect("methods").keys();
        methods.map(move |method| unnamed(&format!("{} {path}", method.to_uppercase())))
    });
    operations.collect()
}

/// Returns the method and path parts of each request of a story.
fn told(story: &[&str]) -> Vec<(String, Vec<String>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/beside");
    let read = |file: &&str| std::fs::read_to_string(format!("{folder}/{file}")).expect("a story");
    let text: String = story.iter().map(read).collect();
    let requests = text.lines().filter(|line| !line.starts_with('#'));
    requests
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (method, path) = (words.next()?, words.next()?);
            let path = path.split('?').next()?;
            Some((
                method.to_owned(),
                path.split('/').map(str::to_owned).collect(),
            ))
        })
        .collect()
}

fn is_told(story: &[(String, Vec<String>)], operation: &str) -> bool {
    let (method, path) = operation.split_once(' ').expect("a method and a path");
    let wanted: Vec<_> = path.split('/').collect();
    story.iter().any(|(asked, parts)| {
        asked == method
            && parts.len() == wanted.len()
            && parts
                .iter()
                .zip(&wanted)
                .all(|(part, wanted)| part == wanted || wanted.starts_with('{'))
    })
}

/// Tells whether an operation is a socket on which a conversation is held.
fn is_held(version: &str, operation: &str) -> bool {
    let path = operation.strip_prefix("WS ");
    path.is_some_and(|path| conversations::is_held(version, path))
}

/// Tells whether there is a socket at a path: a plain request is told what is wrong with it.
async fn is_socket(app: &TestApp, path: &str) -> bool {
    let path = path.replace(['{', '}'], "x");
    let answer = app.send("GET", &format!("/api{path}"), &[], None).await;
    !matches!(answer.0, 404 | 405)
}

async fn table() -> String {
    let routed = routed();
    let app = TestApp::on_sqlite().await;
    let stories = STORIES.map(told);
    let mut counts: BTreeMap<(usize, &str), usize> = BTreeMap::new();
    let mut rows = String::new();
    for line in OPERATIONS.lines() {
        let mut cells = line.split('\t');
        let operation = cells.next().expect("an operation");
        let is_served = match operation.strip_prefix("WS ") {
            Some(path) => is_socket(&app, path).await,
            None => routed.contains(&unnamed(operation)),
        };
        write!(rows, "| `{operation}` |").expect("text");
        for (generation, cell) in cells.enumerate() {
            let mark = match (cell, is_served) {
                ("y", true) if is_told(&stories[generation], operation) => "compared",
                ("y", true) if is_held(GENERATIONS[generation], operation) => "compared",
                ("y", true) => "served",
                ("y", false) => "**missing**",
                _ => "",
            };
            *counts.entry((generation, mark)).or_default() += 1;
            write!(rows, " {mark} |").expect("text");
        }
        rows.push('\n');
    }
    app.close().await;
    let mut text = String::from(
        "| generation | compared | served | missing |\n| --- | ---: | ---: | ---: |\n",
    );
    for (index, generation) in GENERATIONS.iter().enumerate() {
        let [compared, served, missing] = ["compared", "served", "**missing**"]
            .map(|mark| counts.get(&(index, mark)).copied().unwrap_or_default());
        writeln!(text, "| {generation} | {compared} | {served} | {missing} |").expect("text");
    }
    format!("{text}\n| operation | 2.0b3 | 2.20 | 3.8 |\n| --- | --- | --- | --- |\n{rows}")
}

#[tokio::test]
async fn the_table_of_operations_is_what_this_server_has() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/COMPATIBILITY.md");
    let kept = std::fs::read_to_string(path).expect("COMPATIBILITY.md");
    let (before, rest) = kept.split_once(BEGIN).expect("where the table begins");
    let (_, after) = rest.split_once(END).expect("where the table ends");
    let now = format!("{before}{BEGIN}\n\n{}\n{END}{after}", table().await);
    if std::env::var_os("PREFECT_RS_WRITE_COMPATIBILITY").is_some() {
        std::fs::write(path, &now).expect("COMPATIBILITY.md can be written");
        return;
    }
    assert!(
        kept == now,
        "COMPATIBILITY.md is of another server: run `make compatibility` and look at the difference"
    );
}
