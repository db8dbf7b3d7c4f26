//! What is started for each kind of flow, and what is refused.

use super::*;
use crate::deployments::document::ExecutableCode;
use serde_json::json;

fn run(parameters: Value) -> FlowRun {
    serde_json::from_value(json!({
        "id": "11111111-2222-4333-8444-555555555555", "name": "able-fox",
        "flow_id": "11111111-2222-4333-8444-555555555556", "parameters": parameters,
    }))
    .unwrap()
}

fn host() -> Host {
    Host {
        api_url: "http://h/api".into(),
        path: "/bin:/usr/bin".into(),
        ..Default::default()
    }
}

fn executable_deployment(config: Value) -> Value {
    let code = FlowCode::Executable(ExecutableCode {
        path: "/bin/sh".into(),
        sha256: "x".into(),
        location: "/a".into(),
        function: None,
        options: Default::default(),
    });
    json!({"flow_data": code.to_value(), "flow_runner": {"type": "subprocess", "config": config}})
}

fn shown(launch: &Launch) -> String {
    let line: Vec<_> = launch
        .invocation
        .arguments
        .iter()
        .map(|a| a.to_string_lossy())
        .collect();
    format!("{} {}", launch.invocation.program.display(), line.join(" "))
}

fn variable<'a>(launch: &'a Launch, key: &str) -> Option<&'a str> {
    launch
        .invocation
        .set
        .iter()
        .rev()
        .find(|(k, _)| k == key)
        .and_then(|(_, v)| v.to_str())
}

#[test]
fn an_executable_gets_parameters_as_variables_and_arguments() {
    let deployment = executable_deployment(json!({
        "env": {"A": "b"}, "args": ["--to={{ parameters.target.host }}", "{{flow_run.name}}", 5], "timeout_seconds": 1.5,
    }));
    let run = run(json!({"target": {"host": "h1"}, "my-count": 3, "text": "x y"}));
    let launch = launch(&run, &deployment, &host()).unwrap();
    assert_eq!(launch.engine, Engine::Agent);
    assert_eq!(shown(&launch), "/bin/sh --to=h1 able-fox 5");
    assert_eq!(
        variable(&launch, "PREFECT__PARAMETERS"),
        Some(r#"{"target":{"host":"h1"},"my-count":3,"text":"x y"}"#)
    );
    assert_eq!(variable(&launch, "PREFECT__PARAMETER_MY_COUNT"), Some("3"));
    assert_eq!(variable(&launch, "PREFECT__PARAMETER_TEXT"), Some("x y"));
    assert_eq!(variable(&launch, "PREFECT_API_URL"), Some("http://h/api"));
    assert_eq!(variable(&launch, "A"), Some("b"));
    assert_eq!(launch.invocation.timeout, Some(Duration::from_millis(1500)));
}

#[rstest::rstest]
#[case(json!({"args": ["{{ parameters.absent }}"]}), "asks for `parameters.absent`")]
#[case(json!({"args": ["{{ flow_run.id"]}), "does not close")]
#[case(json!({"args": "x"}), "not a list")]
#[case(json!({"timeout_seconds": -1}), "`timeout_seconds` is -1")]
#[case(json!({"working_dir": "/nowhere/at/all"}), "no folder")]
fn a_wrong_configuration_is_a_sentence(#[case] config: Value, #[case] expected: &str) {
    let said = launch(&run(json!({})), &executable_deployment(config), &host()).unwrap_err();
    assert!(said.contains(expected), "{said}");
}

#[test]
fn an_unknown_flow_runner_is_refused_by_name() {
    let mut deployment = executable_deployment(json!({}));
    deployment["flow_runner"]["type"] = json!("docker");
    assert!(
        launch(&run(json!({})), &deployment, &host())
            .unwrap_err()
            .contains("`docker`")
    );
}

#[test]
fn parameters_beyond_a_variable_are_refused() {
    let said = launch(
        &run(json!({"big": "x".repeat(200_000)})),
        &executable_deployment(json!({})),
        &host(),
    )
    .unwrap_err();
    for part in ["too large", "at most 126976", "Put the data into a file"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_job_runs_the_engine_or_its_command_with_the_chosen_interpreter() {
    let python = Host {
        python: Some("/venv/bin/python".into()),
        ..host()
    };
    let shown_of = |command: Option<&[&str]>| {
        let command = command.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
        let job = Job {
            command,
            env: vec![("A".into(), "b".into())],
            ..Job::default()
        };
        let launch = launch_job(&run(json!({})), &job, &python).unwrap();
        assert_eq!(variable(&launch, "A"), Some("b"));
        assert_eq!(
            variable(&launch, "PREFECT__FLOW_RUN_ID"),
            Some("11111111-2222-4333-8444-555555555555")
        );
        assert!(launch.has_own_folder && launch.engine == Engine::Process);
        shown(&launch)
    };
    let engine = "/venv/bin/python -m prefect.engine 11111111222243338444555555555555";
    assert_eq!(shown_of(None), engine);
    assert_eq!(
        shown_of(Some(&["python", "-m", "x"])),
        "/venv/bin/python -m x"
    );
    let runner = shown_of(Some(&["prefect", "flow-run", "execute"]));
    assert_eq!(runner, "/venv/bin/python -m prefect flow-run execute");
    assert_eq!(shown_of(Some(&["nice", "sh"])), "nice sh");
    let conda = Job {
        command: Some(vec!["nice".into(), "sh".into()]),
        interpreter: json!({"condaenv": "etl"}).as_object().cloned().unwrap(),
        ..Job::default()
    };
    let launch = launch_job(&run(json!({})), &conda, &Host::default()).unwrap();
    assert_eq!(
        shown(&launch),
        "conda run --no-capture-output --name etl nice sh"
    );

    let elsewhere = Job {
        working_dir: Some("/nowhere/at/all".into()),
        ..Job::default()
    };
    let said = launch_job(&run(json!({})), &elsewhere, &python).unwrap_err();
    assert!(said.contains("The job's `working_dir`"), "{said}");
    let unspeakable = Job {
        env: vec![("A=".into(), "b".into())],
        ..Job::default()
    };
    assert!(launch_job(&run(json!({})), &unspeakable, &python).is_err());
}

#[test]
fn python_runs_the_engine_of_the_named_environment() {
    let folder = tempfile::tempdir().unwrap();
    let python = folder.path().join("bin/python");
    std::fs::create_dir(folder.path().join("bin")).unwrap();
    std::fs::write(&python, "").unwrap();
    let code = FlowCode::Python(PythonCode {
        interpreter: Some(python.clone()),
        ..Default::default()
    });
    let deployment = |config: Value| json!({"flow_data": code.to_value(), "flow_runner": {"type": "universal", "config": config}});
    let engine = "-m prefect.engine 11111111222243338444555555555555";

    let recorded = launch(&run(json!({})), &deployment(json!({"env": {}})), &host()).unwrap();
    assert_eq!(shown(&recorded), format!("{} {engine}", python.display()));
    assert_eq!(recorded.engine, Engine::Process);

    let named = launch(
        &run(json!({})),
        &deployment(json!({"virtualenv": folder.path()})),
        &host(),
    )
    .unwrap();
    assert_eq!(variable(&named, "VIRTUAL_ENV"), folder.path().to_str());
    assert_eq!(
        variable(&named, "PATH"),
        Some(&*format!("{}/bin:/bin:/usr/bin", folder.path().display()))
    );
    assert_eq!(named.invocation.unset, ["PYTHONHOME"]);

    let conda = launch(
        &run(json!({})),
        &deployment(json!({"condaenv": "etl"})),
        &host(),
    )
    .unwrap();
    assert_eq!(
        shown(&conda),
        format!("conda run --no-capture-output --name etl python {engine}")
    );

    let supplied = FlowCode::Python(PythonCode {
        interpreter: Some(python.clone()),
        needs_supplied: true,
        ..Default::default()
    });
    let supplied = json!({"flow_data": supplied.to_value(), "flow_runner": {"type": "universal", "config": {}}});
    let supplied = launch(&run(json!({})), &supplied, &host()).unwrap();
    let arguments = &supplied.invocation.arguments;
    assert_eq!(arguments[0], "-c");
    assert_eq!(
        arguments[2..],
        ["engine", "11111111222243338444555555555555"]
    );
    assert!(variable(&supplied, "PREFECT_RS_ENGINE").is_some());

    let absent = launch(
        &run(json!({})),
        &deployment(json!({"virtualenv": "/nowhere"})),
        &host(),
    )
    .unwrap_err();
    assert!(absent.contains("`/nowhere`"), "{absent}");
}

#[test]
fn an_executable_is_started_in_the_environment_that_its_runner_names() {
    let of = |config: Value| launch(&run(json!({})), &executable_deployment(config), &host());
    let conda = of(json!({"condaenv": "etl", "args": ["-x"]})).unwrap();
    assert_eq!(
        shown(&conda),
        "conda run --no-capture-output --name etl /bin/sh -x"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("bin")).unwrap();
    std::fs::write(folder.path().join("bin/python"), "").unwrap();
    let venv = of(json!({"virtualenv": folder.path()})).unwrap();
    assert_eq!(shown(&venv).trim_end(), "/bin/sh");
    let path = variable(&venv, "PATH").unwrap();
    assert!(
        path.starts_with(&*folder.path().to_string_lossy()),
        "{path}"
    );
    let missing = of(json!({"virtualenv": "/no/such"})).unwrap_err();
    assert!(missing.contains("`/no/such`"), "{missing}");
    let odd = of(json!({"env": {"A=B": "c"}})).unwrap_err();
    assert!(odd.contains("variable `A=B`"), "{odd}");
}
