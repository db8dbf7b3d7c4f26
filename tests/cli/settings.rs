//! `config` and `profile`.

use crate::support::Home;

#[test]
fn a_setting_is_stored_shown_and_taken_out() {
    let home = Home::new();
    let set = home.run(&[
        "config",
        "set",
        "PREFECT_API_URL=http://127.0.0.1:9/api",
        "PREFECT_API_KEY=hunter2",
    ]);
    insta::assert_snapshot!(set, @r#"
        exit code 0
        --- stdout
        --- stderr
        Set 'PREFECT_API_URL' to 'http://127.0.0.1:9/api'.
        Set 'PREFECT_API_KEY' to '********'.
        Updated profile 'default'.
        "#);
    let view = home.run(&["config", "view", "--hide-defaults", "--show-sources"]);
    insta::assert_snapshot!(view, @r#"
        exit code 0
        --- stdout
        PREFECT_PROFILE='default'
        PREFECT_HOME='$HOME' (from environment variable PREFECT_HOME)
        PREFECT_API_URL='http://127.0.0.1:9/api' (from profile 'default')
        PREFECT_API_KEY='********' (from profile 'default')
        --- stderr
        "#);
    let unset = home.run(&["config", "unset", "PREFECT_API_URL"]);
    assert_eq!(unset.code, 0);
    insta::assert_snapshot!(std::fs::read_to_string(home.path().join("profiles.toml")).unwrap(), @r#"
        [profiles.default]
        PREFECT_API_KEY = "hunter2"
        "#);
}

#[test]
fn one_profile_holds_one_spelling_of_a_setting() {
    let home = Home::new();
    home.run(&["config", "set", "PREFECT_ORION_API_PORT=4300"]);
    home.run(&["config", "set", "PREFECT_SERVER_API_PORT=4301"]);
    let view = home.run(&["config", "view", "--hide-defaults"]);
    assert!(
        view.stdout.contains("PREFECT_SERVER_API_PORT='4301'"),
        "{view}"
    );
    let file = std::fs::read_to_string(home.path().join("profiles.toml")).unwrap();
    assert!(!file.contains("ORION"), "{file}");
}

#[test]
fn a_value_that_is_not_allowed_is_not_stored() {
    let home = Home::new();
    insta::assert_snapshot!(home.run(&["config", "set", "PREFECT_SERVER_UI_ENABLED=perhaps"]), @r#"
        exit code 3
        --- stdout
        --- stderr
        Error: 'perhaps' is not valid for PREFECT_SERVER_UI_ENABLED (from command line): it is neither yes nor no; allowed is true or false
        Hint: PREFECT_SERVER_UI_ENABLED says: Whether the server shows the dashboard.
        "#);
    insta::assert_snapshot!(home.run(&["config", "set", "PREFECT_APIURL=x"]), @r#"
        exit code 2
        --- stdout
        --- stderr
        Error: there is no setting 'PREFECT_APIURL'
        Hint: did you mean 'PREFECT_API_URL'?
        Hint: list the settings with `prefect-rs config ls`
        Hint: a setting that only other clients know is stored with --force
        "#);
    insta::assert_snapshot!(home.run(&["config", "set", "PREFECT_API_URL"]), @r#"
        exit code 2
        --- stdout
        --- stderr
        Error: 'PREFECT_API_URL' is not of the form NAME=VALUE
        Hint: write `prefect-rs config set PREFECT_API_URL=VALUE`
        "#);
    assert!(!home.path().join("profiles.toml").exists());
}

#[test]
fn no_profile_says_where_the_profiles_are() {
    let home = Home::new();
    let ran = home.run(&["config", "set", "--force", "PREFECT_HOME=/elsewhere"]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(
        ran.stderr.contains("export PREFECT_HOME=/elsewhere"),
        "{ran}"
    );
    // As an earlier version has stored it.
    let file = home.path().join("profiles.toml");
    let stored = "[profiles.default]\nPREFECT_PROFILES_PATH = '/nowhere/profiles.toml'\n";
    std::fs::write(&file, stored).unwrap();
    let ran = home.run(&["config", "set", "PREFECT_DEBUG_MODE=1"]);
    assert_eq!(ran.code, 0, "{ran}");
    let view = home.run(&["config", "view", "--hide-defaults"]);
    assert!(view.stdout.contains("PREFECT_DEBUG_MODE='true'"), "{view}");
    let ran = home.run(&["config", "unset", "PREFECT_PROFILES_PATH"]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(!std::fs::read_to_string(&file).unwrap().contains("nowhere"));
}

#[test]
fn what_is_stored_has_a_name_and_its_password_is_not_shown() {
    let home = Home::new();
    let ran = home.run(&["config", "set", "--force", "=c"]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.stderr.contains("names no setting"), "{ran}");
    let url = "PREFECT_API_DATABASE_CONNECTION_URL=postgresql://me:hunter2@host/name";
    let ran = home.run(&["config", "set", url]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(!ran.stderr.contains("hunter2"), "{ran}");
}

#[test]
fn the_database_that_is_shown_can_be_set() {
    let home = Home::new();
    let odd = home.path().join("what?#%3F");
    let url = |environment: &[(&str, &str)]| {
        let view = home.run_with(&["config", "view", "-o", "json"], environment);
        let view: serde_json::Value = serde_json::from_str(&view.stdout).unwrap();
        let shown = &view["settings"]["PREFECT_SERVER_DATABASE_CONNECTION_URL"]["value"];
        shown.as_str().unwrap().to_owned()
    };
    let shown = url(&[("PREFECT_HOME", odd.to_str().unwrap())]);
    assert_eq!(shown, "sqlite:///$HOME/what%3F%23%253F/orion.db");
    let shown = shown.replace("$HOME", home.path().to_str().unwrap());
    let name = "PREFECT_API_DATABASE_CONNECTION_URL";
    let ran = home.run_with(&["database", "upgrade"], &[(name, shown.as_str())]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(odd.join("orion.db").exists(), "{ran}");
}

#[test]
fn a_home_below_a_file_is_told_as_such() {
    let home = Home::new();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("x");
    let ran = home.run_with(
        &["config", "set", "PREFECT_DEBUG_MODE=1"],
        &[("PREFECT_HOME", below.to_str().unwrap())],
    );
    assert_eq!(ran.code, 3, "{ran}");
    assert!(ran.stderr.contains("file is a file; a home"), "{ran}");
}

#[test]
fn a_broken_profile_can_be_repaired_with_config() {
    let home = Home::new();
    std::fs::write(
        home.path().join("profiles.toml"),
        "[profiles.default]\nPREFECT_LOGGING_LEVEL = 'LOUD'\n",
    )
    .unwrap();
    insta::assert_snapshot!(home.run(&["flow", "ls"]), @r#"
        exit code 3
        --- stdout
        --- stderr
        Error: 'LOUD' is not valid for PREFECT_LOGGING_LEVEL (from profile 'default'): it is none of the words; allowed is DEBUG, INFO, WARNING, ERROR or CRITICAL
        Hint: take 'PREFECT_LOGGING_LEVEL' out of the profile 'default', for example with `prefect-rs -p default config unset PREFECT_LOGGING_LEVEL`
        "#);
    assert_eq!(
        home.run(&["config", "unset", "PREFECT_LOGGING_LEVEL"]).code,
        0
    );
    assert_eq!(home.run(&["config", "view"]).stderr, "");
}

#[test]
fn profiles_that_cannot_be_read_are_told_once() {
    let home = Home::new();
    std::fs::write(home.path().join("profiles.toml"), "active = \n").unwrap();
    for (command, code) in [
        (["profile", "ls"], 3),
        (["config", "view"], 3),
        (["flow", "ls"], 3),
        (["completions", "bash"], 0),
    ] {
        let ran = home.run(&command);
        let told = ran.stderr.matches("the profiles in").count();
        assert_eq!((ran.code, told), (code, 1), "{command:?}: {ran}");
    }
}

#[test]
fn profiles_are_made_chosen_renamed_and_deleted() {
    let home = Home::new();
    insta::assert_snapshot!(home.run(&["profile", "create", "staging"]), @r#"
        exit code 0
        --- stdout
        --- stderr
        Created profile 'staging' in $HOME/profiles.toml.

        Switch to it with:

            prefect-rs profile use staging

        Or use it for one command:

            prefect-rs -p staging config view
        "#);
    assert_eq!(
        home.run(&["-p", "staging", "config", "set", "PREFECT_DEBUG_MODE=1"])
            .code,
        0
    );
    assert_eq!(home.run(&["profile", "use", "staging"]).code, 0);
    insta::assert_snapshot!(home.run(&["profile", "inspect"]), @r#"
        exit code 0
        --- stdout
        PREFECT_PROFILE='staging'
        PREFECT_DEBUG_MODE='true'
        --- stderr
        "#);
    assert_eq!(home.run(&["profile", "rename", "staging", "live"]).code, 0);
    insta::assert_snapshot!(home.run(&["profile", "ls"]), @r#"
        exit code 0
        --- stdout
          default
        * live
        --- stderr
        "#);
    assert_eq!(home.run(&["profile", "delete", "live"]).code, 5);
    assert_eq!(home.run(&["profile", "use", "default"]).code, 0);
    assert_eq!(home.run(&["profile", "delete", "live"]).code, 0);
    insta::assert_snapshot!(home.run(&["profile", "use", "live"]), @r#"
        exit code 4
        --- stdout
        --- stderr
        Error: profile 'live' does not exist in $HOME/profiles.toml; there are: default
        Hint: list the profiles with `prefect-rs profile ls`
        "#);
}

#[test]
fn the_environment_is_named_as_a_source() {
    let home = Home::new();
    let view = home.run_with(
        &["config", "view", "--hide-defaults", "--show-sources"],
        &[("PREFECT_ORION_API_PORT", "4300")],
    );
    assert!(
        view.stdout.contains(
            "PREFECT_SERVER_API_PORT='4300' (from environment variable PREFECT_ORION_API_PORT)"
        ),
        "{view}"
    );
}

#[test]
fn a_server_that_is_away_is_told_with_its_url() {
    let home = Home::new();
    let ran = home.run_with(
        &["flow", "ls"],
        &[
            ("PREFECT_API_URL", "http://127.0.0.1:1/api"),
            ("PREFECT_CLIENT_MAX_RETRIES", "0"),
        ],
    );
    insta::assert_snapshot!(ran, @r#"
        exit code 6
        --- stdout
        --- stderr
        Error: POST /flows/filter got no answer from http://127.0.0.1:1/api: Connection refused (os error 111)
        Hint: start a server with `prefect-rs orion start`, or see where the URL comes from with `prefect-rs config view --show-sources`
        "#);
}

#[test]
fn commands_that_change_profiles_at_once_lose_nothing() {
    let home = Home::new();
    std::thread::scope(|scope| {
        for n in 0..6 {
            let home = &home;
            scope.spawn(move || {
                let ran = home.run(&["profile", "create", &format!("p{n}")]);
                assert_eq!(ran.code, 0, "{ran}");
            });
        }
    });
    let names = home.run(&["profile", "ls"]);
    assert_eq!(names.stdout.lines().count(), 7, "{names}");
}
