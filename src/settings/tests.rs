//! The list of settings, its layers, its messages.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    fs,
    path::PathBuf,
    time::Duration,
};

use super::loaded::environment_of;
use super::*;

fn environment(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn home_with(profiles: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("profiles.toml"), profiles).unwrap();
    home
}

fn load(home: &tempfile::TempDir, pairs: &[(&str, &str)]) -> Result<Loaded, Error> {
    let mut environment = environment(pairs);
    environment.insert("PREFECT_HOME".to_owned(), home.path().display().to_string());
    Loaded::from_environment(&environment, None)
}

#[test]
fn every_default_is_valid_and_every_setting_has_a_sentence() {
    let settings = Settings::default_for("/somewhere");
    assert_eq!(settings.home, PathBuf::from("/somewhere"));
    assert_eq!(
        settings.database_url,
        DatabaseUrl::Sqlite("/somewhere/orion.db".into())
    );
    assert_eq!(
        settings.scheduler_max_scheduled_time,
        Duration::from_secs(100 * 86_400)
    );
    for setting in SETTINGS {
        assert!(setting.help().ends_with('.'), "{}", setting.name);
    }
}

#[test]
fn no_spelling_means_two_settings() {
    let mut seen = HashSet::new();
    for spelling in SETTINGS.iter().flat_map(Setting::spellings) {
        assert!(spelling.starts_with("PREFECT_"), "{spelling}");
        assert!(seen.insert(spelling), "{spelling} stands twice in the list");
    }
}

#[test]
fn the_environment_wins_over_the_profile_and_the_profile_over_the_default() {
    let home = home_with(
        "active = 'mine'\n[profiles.mine]\nPREFECT_ORION_API_PORT = 4300\nPREFECT_API_URL = 'http://profile/api'\n",
    );
    let loaded = load(&home, &[("PREFECT_API_URL", "http://environment/api")]).unwrap();
    assert_eq!(
        loaded.settings.api_url.as_ref().map(HttpUrl::as_str),
        Some("http://environment/api")
    );
    assert_eq!(loaded.settings.server_api_port, 4300);
    assert_eq!(loaded.settings.server_api_host, "127.0.0.1");
    assert_eq!(loaded.profile, "mine");
}

#[test]
fn the_newest_spelling_wins_over_its_aliases() {
    let home = home_with("");
    let both = [
        ("PREFECT_ORION_API_PORT", "1"),
        ("PREFECT_SERVER_API_PORT", "2"),
    ];
    assert_eq!(load(&home, &both).unwrap().settings.server_api_port, 2);
    assert_eq!(load(&home, &both[..1]).unwrap().settings.server_api_port, 1);
}

#[test]
fn a_bad_value_is_refused_with_its_name_its_source_and_what_is_allowed() {
    let home = home_with("[profiles.default]\nPREFECT_SERVER_UI_ENABLED = 'perhaps'\n");
    let from_profile = load(&home, &[]).unwrap_err().to_string();
    insta::assert_snapshot!(from_profile, @"'perhaps' is not valid for PREFECT_SERVER_UI_ENABLED (from profile 'default'): it is neither yes nor no; allowed is true or false");
    let from_environment = load(&home_with(""), &[("PREFECT_ORION_API_PORT", "70000")])
        .unwrap_err()
        .to_string();
    insta::assert_snapshot!(from_environment, @"'70000' is not valid for PREFECT_SERVER_API_PORT (from environment variable PREFECT_ORION_API_PORT): it is no such number; allowed is a whole number from 0 to 65535");
}

#[test]
fn a_line_break_in_the_url_of_an_api_is_refused_and_seen() {
    let url = "http://127.0.0.1:4200/api\nhttp://127.0.0.1:4201/api";
    let told = load(&home_with(""), &[("PREFECT_API_URL", url)])
        .unwrap_err()
        .to_string();
    insta::assert_snapshot!(told, @r"'http://127.0.0.1:4200/api\nhttp://127.0.0.1:4201/api' is not valid for PREFECT_API_URL (from environment variable PREFECT_API_URL): it has a line break in it; allowed is a URL such as http://127.0.0.1:4200/api");
}

#[test]
fn a_missing_profile_is_refused_with_those_that_exist() {
    let home = home_with("[profiles.a]\n");
    let error = load(&home, &[("PREFECT_PROFILE", "b")])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("profile 'b' does not exist in"),
        "{error}"
    );
    assert!(error.ends_with("there are: default, a"), "{error}");
}

#[test]
fn database_urls_of_all_generations_are_understood() {
    let parse = |text| DatabaseUrl::parse(text).map(|url| url.to_string());
    for text in [
        "sqlite:////data/orion.db",
        "sqlite+aiosqlite:////data/orion.db",
        "sqlite+aiosqlite://///data/orion.db",
        "sqlite+aiosqlite:////data/orion.db?timeout=60",
    ] {
        assert_eq!(parse(text).unwrap(), "sqlite:////data/orion.db", "{text}");
    }
    assert_eq!(
        DatabaseUrl::parse("sqlite:///orion.db").unwrap(),
        DatabaseUrl::Sqlite("orion.db".into())
    );
    assert_eq!(
        DatabaseUrl::parse("sqlite+aiosqlite:///file::memory:?cache=shared&uri=true").unwrap(),
        DatabaseUrl::SqliteMemory
    );
    let postgres =
        DatabaseUrl::parse("postgresql+asyncpg://me:s3cr@t@host:5432/name?password=x").unwrap();
    assert_eq!(
        postgres.to_string(),
        "postgres://me:********@host:5432/name?password=********"
    );
    assert_eq!(
        postgres.text().unwrap(),
        "postgres://me:s3cr@t@host:5432/name?password=x"
    );
    assert!(!format!("{postgres:?}").contains("s3cr"));
    let options = parse("postgresql://me@host/name?password=a@b").unwrap();
    assert_eq!(options, "postgres://me@host/name?password=********");
    assert!(parse("mysql://x").is_err());
    assert!(parse("orion.db").is_err());
    assert!(parse("sqlite:///").is_err());
}

#[rstest::rstest]
#[case("me:s3?cr@host/name", "percent-encode")]
#[case("me:s3/cr@host/name", "percent-encode")]
#[case("me:s3/c@r@host/name", "percent-encode")]
#[case("me:12/s3cr@host/name", "percent-encode")]
#[case("me:s3cr@host:54x/name", "invalid port number")]
fn a_postgres_url_that_would_be_misread_is_refused_without_its_password(
    #[case] rest: &str,
    #[case] expected: &str,
) {
    let url = format!("postgresql+asyncpg://{rest}");
    let variable = "PREFECT_API_DATABASE_CONNECTION_URL";
    let error = load(&home_with(""), &[(variable, url.as_str())]).unwrap_err();
    let told = error.to_string();
    assert!(told.contains(expected), "{told}");
    assert!(told.starts_with("'postgresql+asyncpg://********' is not valid for PREFECT_SERVER_DATABASE_CONNECTION_URL"), "{told}");
    assert!(!told.contains("s3") && !told.contains("cr@"), "{told}");
}

#[rstest::rstest]
#[case("/tmp/what?home")]
#[case("/tmp/h:memory:x")]
#[case("/tmp/mode=memory%20#")]
fn the_database_is_in_the_home_whatever_its_name(#[case] home: &str) {
    let file = DatabaseUrl::Sqlite(format!("{home}/orion.db").into());
    assert_eq!(Settings::default_for(home).database_url, file);
    let first_generation = [
        ("PREFECT_HOME", home),
        (
            "PREFECT_ORION_DATABASE_CONNECTION_URL",
            "sqlite+aiosqlite:////${PREFECT_HOME}/orion.db?timeout=60",
        ),
    ];
    let loaded = Loaded::from_environment(&environment(&first_generation), None).unwrap();
    assert_eq!(loaded.settings.database_url, file);
}

#[test]
fn a_profile_that_names_a_home_is_changed_where_it_was_read() {
    let home = home_with(
        "[profiles.default]\nPREFECT_HOME = '/elsewhere'\nPREFECT_PROFILES_PATH = '/nowhere.toml'\n",
    );
    let mut variables = environment(&[]);
    let path = home.path().join("profiles.toml");
    variables.insert(
        "PREFECT_PROFILES_PATH".to_owned(),
        path.display().to_string(),
    );
    let loaded = Loaded::from_environment(&variables, None).unwrap();
    assert_eq!(loaded.profiles_path, path);
    assert_eq!(loaded.settings.profiles_path, path);
    assert_eq!(loaded.settings.home, PathBuf::from("/elsewhere"));
}

#[cfg(unix)]
#[test]
fn a_variable_of_ours_that_is_not_utf_8_is_refused_and_any_other_ignored() {
    use std::os::unix::ffi::OsStringExt;
    let variable = |name: &str| (name.into(), OsString::from_vec(b"/tmp/\xff".to_vec()));
    let none = environment_of([variable("LS_COLORS")].into_iter()).unwrap();
    assert!(none.is_empty());
    let error = environment_of([variable("PREFECT_ORION_UI_ENABLED")].into_iter()).unwrap_err();
    assert!(error.to_string().contains("not UTF-8"), "{error}");
}

#[test]
fn secrets_are_masked_everywhere_but_where_asked() {
    let home = home_with("");
    let loaded = load(
        &home,
        &[
            ("PREFECT_API_KEY", "hunter2"),
            (
                "PREFECT_SERVER_DATABASE_CONNECTION_URL",
                "postgres://u:hunter2@h/d",
            ),
        ],
    )
    .unwrap();
    assert!(!format!("{:?}", loaded.settings).contains("hunter2"));
    for setting in SETTINGS {
        assert!(
            !setting
                .shown(&loaded.settings)
                .unwrap_or_default()
                .contains("hunter2"),
            "{}",
            setting.name
        );
    }
    assert_eq!(
        find("PREFECT_API_KEY")
            .unwrap()
            .revealed(&loaded.settings)
            .as_deref(),
        Some("hunter2")
    );
}

#[test]
fn time_spans_are_read_as_python_writes_them() {
    let seconds = |text| Duration::parse(text).map(|span| span.as_secs_f64());
    assert_eq!(seconds("2.5"), Ok(2.5));
    assert_eq!(seconds("100 days, 0:00:00"), Ok(8_640_000.0));
    assert_eq!(seconds("1:02:03"), Ok(3_723.0));
    assert_eq!(seconds("P1DT12H30M5S"), Ok(131_405.0));
    assert_eq!(seconds("10m"), Ok(600.0));
    assert_eq!(seconds("1h 30min"), Ok(5_400.0));
    assert_eq!(seconds("2 Days, 1.5 hours"), Ok(178_200.0));
    for bad in ["5 parsecs", "m", "1.5.2h", "2 ss", "500ms", "1 h 2"] {
        assert!(seconds(bad).is_err(), "{bad}");
    }
    for bad in ["", "P", "PT", "-1", "soon", "1:2:3:4", "P1Y", "nan", "inf"] {
        assert!(seconds(bad).is_err(), "{bad}");
    }
}

#[test]
fn editing_profiles_keeps_comments_and_unknown_settings() {
    let home = home_with(
        "# mine\nactive = \"a\"\n\n[profiles.a]\nPREFECT_RESULTS_PERSIST_BY_DEFAULT = true # kept\n",
    );
    let mut profiles = Profiles::read_to_change(&home.path().join("profiles.toml")).unwrap();
    profiles
        .set("a", "PREFECT_API_URL", "http://x/api")
        .unwrap();
    profiles
        .create("b", &[("PREFECT_API_KEY".to_owned(), "k".to_owned())])
        .unwrap();
    profiles.rename("a", "c").unwrap();
    profiles.write().unwrap();
    insta::assert_snapshot!(fs::read_to_string(profiles.path()).unwrap(), @r#"
    # mine
    active = "c"

    [profiles.b]
    PREFECT_API_KEY = "k"

    [profiles.c]
    PREFECT_RESULTS_PERSIST_BY_DEFAULT = true # kept
    PREFECT_API_URL = "http://x/api"
    "#);
}

#[test]
fn debug_mode_means_debug_logs() {
    let loaded = load(&home_with(""), &[("PREFECT_DEBUG_MODE", "1")]).unwrap();
    assert_eq!(loaded.settings.logging_level, LogLevel::Debug);
}

#[test]
fn who_changes_profiles_at_once_loses_nothing_and_a_link_stays_one() {
    let home = tempfile::tempdir().unwrap();
    let (file, link) = (
        home.path().join("kept.toml"),
        home.path().join("profiles.toml"),
    );
    std::fs::write(&file, "").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let link = &link;
            scope.spawn(move || {
                let mut profiles = Profiles::read_to_change(link).unwrap();
                profiles.create(&format!("p{n}"), &[]).unwrap();
                profiles.write().unwrap();
            });
        }
    });
    // The default one is there without being written down.
    assert_eq!(Profiles::read(&link).unwrap().names().len(), 9);
    assert!(link.is_symlink());
}

#[test]
fn a_table_beside_the_profiles_is_told() {
    let text = "active = \"default\"\n[default]\nPREFECT_API_URL = \"http://x/api\"\n[profiles.default]\n[profiles.other]\n";
    let loaded = load(&home_with(text), &[]).unwrap();
    assert_eq!(loaded.strays, ["default"]);
    assert!(load(&home_with(""), &[]).unwrap().strays.is_empty());
}
