//! Schedules beside genuine Prefect's, and their behaviour on any input.
//!
//! `tests/golden/schedules.jsonl` holds answers of genuine Prefect 3.8 and 2.0b3, made by
//! `tests/golden/schedules.py`. Where a Python with genuine Prefect is there, the same script
//! makes new cases.

use std::path::PathBuf;
use std::process::Command;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Schedule;

#[derive(Deserialize)]
struct Case {
    schedule: Value,
    #[serde(default)]
    invalid: bool,
    after: Option<DateTime<Utc>>,
    #[serde(default)]
    n: usize,
    #[serde(default)]
    dates: Vec<i64>,
}

/// Returns what differs from the expected answer.
fn difference(line: &str) -> Option<String> {
    let case: Case = serde_json::from_str(line).expect("a golden line is a case");
    let schedule: Result<Schedule, _> = serde_json::from_value(case.schedule);
    let schedule = match (schedule, case.invalid) {
        (Err(_), true) => return None,
        (Ok(_), true) => return Some(format!("accepted, genuine refuses: {line}")),
        (Err(error), false) => return Some(format!("refused ({error}): {line}")),
        (Ok(schedule), false) => schedule,
    };
    let after = case.after.expect("a valid case has an instant");
    let mut stamp = 0;
    let expected: Vec<i64> = case
        .dates
        .iter()
        .map(|step| {
            stamp += step;
            stamp
        })
        .collect();
    let mut dates = schedule.dates(after, case.n, None);
    // The script cuts answers where genuine Prefect's own are not stable.
    dates.truncate(expected.len().max(1));
    let got: Vec<i64> = dates.iter().map(DateTime::timestamp_millis).collect();
    (got != expected).then(|| {
        let text = |stamps: &[i64]| {
            let dates = stamps
                .iter()
                .filter_map(|stamp| DateTime::from_timestamp_millis(*stamp));
            let dates = dates.map(|date| date.with_timezone(&schedule.zone()).to_rfc3339());
            dates.collect::<Vec<_>>().join("\n    ")
        };
        format!(
            "{line}\n  got\n    {}\n  expected\n    {}",
            text(&got),
            text(&expected)
        )
    })
}

fn compare(cases: &str, least: usize) {
    let differences: Vec<String> = cases.lines().filter_map(difference).collect();
    assert!(
        cases.lines().count() >= least,
        "only {} cases",
        cases.lines().count()
    );
    assert!(
        differences.is_empty(),
        "{} of {} cases differ, such as\n{}",
        differences.len(),
        cases.lines().count(),
        differences
            .iter()
            .take(12)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );
}

#[test]
fn dates_are_those_of_genuine_prefect() {
    compare(include_str!("../../../tests/golden/schedules.jsonl"), 1_400);
}

#[test]
fn dates_are_those_of_the_genuine_2_0b3_at_hand() {
    compare_live("2.0b3");
}

#[test]
fn dates_are_those_of_the_genuine_3_at_hand() {
    compare_live("3.8");
}

/// Compares new cases if `tests/support/venv.sh` has installed that generation.
fn compare_live(generation: &str) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let venvs = std::env::var_os("PREFECT_RS_TEST_VENVS");
    let venvs = venvs.map_or_else(|| root.join(".venvs"), PathBuf::from);
    let python = venvs.join(generation).join("bin/python");
    if !python.exists() {
        eprintln!("skipped: no genuine Prefect at {}", python.display());
        return;
    }
    let seed = std::env::var("PREFECT_RS_SCHEDULE_SEED").unwrap_or_else(|_| "7".to_owned());
    let count = std::env::var("PREFECT_RS_SCHEDULE_CASES").unwrap_or_else(|_| "1000".to_owned());
    let output = Command::new(python)
        .arg(root.join("tests/golden/schedules.py"))
        .args([&seed, &count])
        .output()
        .expect("Python starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let cases = String::from_utf8(output.stdout).expect("the script writes UTF-8");
    compare(&cases, count.parse().expect("a number of cases"));
}

fn parse(value: Value) -> Schedule {
    serde_json::from_value(value).expect("a valid schedule")
}

fn refusal(value: Value) -> String {
    serde_json::from_value::<Schedule>(value)
        .expect_err("an invalid schedule")
        .to_string()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

fn picture(value: Value, after: &str, n: usize) -> String {
    let dates = parse(value).dates(at(after), n, None);
    dates
        .iter()
        .map(DateTime::to_rfc3339)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_daily_interval_keeps_its_wall_clock_time_whenever_one_asks() {
    let schedule = json!({
        "interval": 86400,
        "anchor_date": "2022-01-01T09:00:00-05:00",
        "timezone": "America/New_York",
    });
    insta::assert_snapshot!(picture(schedule.clone(), "2022-03-12T00:00:00Z", 3), @r"
    2022-03-12T09:00:00-05:00
    2022-03-13T09:00:00-04:00
    2022-03-14T09:00:00-04:00
    ");
    insta::assert_snapshot!(picture(schedule, "2022-07-01T00:00:00Z", 2), @r"
    2022-07-01T09:00:00-04:00
    2022-07-02T09:00:00-04:00
    ");
}

#[test]
fn cron_fires_once_in_a_repeated_hour_and_never_before_the_instant_asked_about() {
    let schedule = json!({"cron": "*/30 * * * *", "timezone": "America/New_York"});
    insta::assert_snapshot!(picture(schedule.clone(), "2022-11-06T05:00:00Z", 4), @r"
    2022-11-06T01:00:00-04:00
    2022-11-06T01:30:00-04:00
    2022-11-06T02:00:00-05:00
    2022-11-06T02:30:00-05:00
    ");
    insta::assert_snapshot!(picture(schedule, "2022-11-06T06:10:00Z", 2), @r"
    2022-11-06T02:00:00-05:00
    2022-11-06T02:30:00-05:00
    ");
}

#[test]
fn a_schedule_reads_back_what_it_wrote() {
    for document in [
        json!({"interval": 90.5, "anchor_date": "2020-01-01T00:00:00Z", "timezone": null}),
        json!({"interval": 3600.0, "anchor_date": "2022-01-01T09:00:00-05:00",
               "timezone": "America/New_York"}),
        json!({"cron": "0 9 * * mon-fri", "timezone": "Europe/Berlin", "day_or": false}),
        json!({"rrule": "FREQ=DAILY;COUNT=3", "timezone": "UTC"}),
    ] {
        let written = serde_json::to_value(parse(document.clone())).expect("plain data");
        assert_eq!(written, document);
    }
}

#[test]
fn defaults_are_filled_in() {
    let written = serde_json::to_value(parse(json!({"interval": "PT1H30M"}))).expect("plain data");
    assert_eq!(
        written,
        json!({"interval": 5400.0, "anchor_date": "2020-01-01T00:00:00Z", "timezone": null})
    );
    let zoned = parse(json!({"interval": 86400, "timezone": "Asia/Kathmandu"}));
    let written = serde_json::to_value(&zoned).expect("plain data");
    assert_eq!(written["anchor_date"], "2020-01-01T00:00:00+05:45");
    assert_eq!(
        zoned.to_legacy_value(),
        json!({"interval": 86400.0, "timezone": "Asia/Kathmandu"})
    );
}

#[test]
fn refusals_name_the_thing_and_the_remedy() {
    let refusals = [
        json!({}),
        json!({"interval": 1, "cron": "* * * * *"}),
        json!({"interval": 0}),
        json!({"interval": -5}),
        json!({"interval": "soon"}),
        json!({"interval": 1e300}),
        json!({"interval": 60, "day_or": true}),
        json!({"interval": 60, "anchor_date": "yesterday"}),
        json!({"cron": "61 * * * *"}),
        json!({"cron": "* * *"}),
        json!({"cron": "H * * * *"}),
        json!({"cron": "* * * * 1,2#2"}),
        json!({"cron": "* * * * *", "timezone": "Mars/Olympus"}),
        json!({"rrule": "FREQ=SOMETIMES"}),
        json!({"rrule": "FREQ=DAILY;COUNT=99999999"}),
        json!({"rrule": "DTSTART:20200101T000000\nRRULE:FREQ=DAILY;UNTIL=20210101T000000Z"}),
        json!("daily"),
    ]
    .map(refusal)
    .join("\n");
    insta::assert_snapshot!(refusals);
}

#[test]
fn schedules_are_described_in_words() {
    let words = [
        json!({"interval": 86400, "anchor_date": "2022-01-01T09:00:00+01:00",
               "timezone": "Europe/Berlin"}),
        json!({"interval": 3600}),
        json!({"interval": 5400}),
        json!({"interval": 604800}),
        json!({"interval": 0.5}),
        json!({"cron": "0 9 * * *", "timezone": "Europe/Berlin"}),
        json!({"cron": "*/15 * * * mon-fri"}),
        json!({"cron": "0 0 1,15 * *"}),
        json!({"cron": "30 18 L * *"}),
        json!({"cron": "0 9 * * 2#1"}),
        json!({"rrule": "DTSTART:20200101T093000\nRRULE:FREQ=WEEKLY;BYDAY=MO,WE;COUNT=5",
               "timezone": "Europe/Berlin"}),
        json!({"rrule": "FREQ=MONTHLY;BYDAY=-1FR"}),
    ]
    .map(|value| parse(value).describe())
    .join("\n");
    insta::assert_snapshot!(words);
}

#[test]
fn rules_that_never_match_end() {
    for rule in [
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MINUTELY;BYHOUR=3;BYMONTH=2;BYMONTHDAY=31",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=SECONDLY;INTERVAL=7;COUNT=1000000;BYYEARDAY=366;BYMONTH=1",
        "FREQ=DAILY;UNTIL=19000101",
    ] {
        let schedule = parse(json!({"rrule": rule}));
        assert!(
            schedule
                .dates(at("2026-01-01T00:00:00Z"), 3, None)
                .is_empty()
        );
    }
    let schedule = parse(json!({"cron": "0 0 30 2 *"}));
    assert!(
        schedule
            .dates(at("2026-01-01T00:00:00Z"), 3, None)
            .is_empty()
    );
}

#[test]
fn the_end_is_inclusive() {
    let schedule = parse(json!({"interval": 3600}));
    let dates = schedule.dates(
        at("2026-01-01T00:00:00Z"),
        10,
        Some(at("2026-01-01T02:00:00Z")),
    );
    assert_eq!(dates.len(), 3);
}

fn instants() -> impl Strategy<Value = DateTime<Utc>> {
    (-2_000_000_000_i64..250_000_000_000).prop_map(|seconds| {
        DateTime::from_timestamp(seconds, 0).expect("within the years of chrono")
    })
}

fn cron_like() -> impl Strategy<Value = String> {
    prop::collection::vec("[0-9*/,lL#?a-z-]{1,6}", 4..8).prop_map(|fields| fields.join(" "))
}

fn rule_like() -> impl Strategy<Value = String> {
    let part = "(INTERVAL|COUNT|BYMONTH|BYMONTHDAY|BYHOUR|BYSETPOS|BYWEEKNO|BYYEARDAY|BYEASTER)=-?[0-9]{1,3}(,[0-9]{1,2})?";
    let frequency = "FREQ=(YEARLY|MONTHLY|WEEKLY|DAILY|HOURLY|MINUTELY|SECONDLY)";
    (frequency, prop::collection::vec(part, 0..4))
        .prop_map(|(frequency, parts)| [vec![frequency], parts].concat().join(";"))
}

fn check_dates(schedule: &Schedule, after: DateTime<Utc>) -> Result<(), TestCaseError> {
    let dates = schedule.dates(after, 20, None);
    prop_assert!(dates.len() <= 20);
    prop_assert!(dates.iter().all(|date| *date >= after));
    prop_assert!(dates.windows(2).all(|pair| pair[0] < pair[1]));
    prop_assert!(!schedule.describe().is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_is_a_schedule_or_refused(text in ".{0,80}", zone in "[A-Za-z_/]{0,20}") {
        for key in ["interval", "cron", "rrule", "anchor_date", "timezone"] {
            let _ = serde_json::from_value::<Schedule>(json!({key: text, "timezone": zone}));
            let _ = serde_json::from_value::<Schedule>(json!({key: text}));
            let _ = serde_json::from_value::<Schedule>(json!({"interval": 5, key: text}));
        }
    }

    #[test]
    fn cron_dates_increase(cron in cron_like(), after in instants(), day_or: bool) {
        if let Ok(schedule) = serde_json::from_value(json!({
            "cron": cron, "day_or": day_or, "timezone": "Europe/Dublin",
        })) {
            check_dates(&schedule, after)?;
        }
    }

    #[test]
    fn rule_dates_increase(rule in rule_like(), after in instants()) {
        if let Ok(schedule) = serde_json::from_value(json!({
            "rrule": rule, "timezone": "Australia/Lord_Howe",
        })) {
            check_dates(&schedule, after)?;
        }
    }

    #[test]
    fn interval_dates_increase(seconds in 0.001_f64..1e9, anchor in instants(), after in instants()) {
        if let Ok(schedule) = serde_json::from_value(json!({
            "interval": seconds, "anchor_date": anchor, "timezone": "Pacific/Apia",
        })) {
            check_dates(&schedule, after)?;
        }
    }
}

#[test]
fn a_schedule_of_every_second_starts_where_asked_after_years() {
    let schedule = parse(json!({"rrule": "FREQ=SECONDLY"}));
    let after = at("2026-11-23T10:00:00.5Z");
    let dates = schedule.dates(after, 2, None);
    assert_eq!(dates[0].to_utc(), at("2026-11-23T10:00:01Z"));
    assert_eq!(dates[1] - dates[0], TimeDelta::seconds(1));
}

#[test]
fn each_generation_reads_anchors_in_its_own_form() {
    use crate::schemas::{Dialect, View};
    let anchor = |dialect, date: &str| {
        let schedule = parse(json!({"interval": 60, "anchor_date": date}));
        let value = serde_json::to_value(View(dialect, schedule)).expect("plain data");
        value["anchor_date"].as_str().expect("a text").to_owned()
    };
    for (date, older, newest) in [
        (
            "2020-01-01T00:00:00Z",
            "2020-01-01T00:00:00+00:00",
            "2020-01-01T00:00:00Z",
        ),
        (
            "2020-01-01T00:00:00.123+00:00",
            "2020-01-01T00:00:00.123000+00:00",
            "2020-01-01T00:00:00.123000Z",
        ),
        (
            "2020-01-01T00:00:00-05:00",
            "2020-01-01T00:00:00-05:00",
            "2020-01-01T00:00:00-05:00",
        ),
    ] {
        assert_eq!(anchor(Dialect::B, date), older);
        assert_eq!(anchor(Dialect::Two, date), older);
        assert_eq!(anchor(Dialect::Three, date), newest);
    }
}
