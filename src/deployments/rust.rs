//! Flows in Rust: building the program that a specification names, and asking it for its flows.
//!
//! A program is only started for that when its file says that it was made by `prefect_rs::main!`: any other might do
//! anything. A source file is built by Cargo in its own package, as its author would.

use super::{Error, Specification};
use crate::sdk::program::{DESCRIBE, MARK_REVERSED};
use serde::Deserialize;
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The Cargo profile that flows are built with; `release` unless this variable says otherwise.
pub const PROFILE: &str = "PREFECT_RS_CARGO_PROFILE";
/// How long a program may take to describe its flows.
const DESCRIBE_LIMIT: Duration = Duration::from_secs(10);

/// What a program told about one of its flows.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Flow {
    /// The flow's name.
    pub name: String,
    /// Its function's name.
    pub function: String,
    /// What its documentation says.
    #[serde(default)]
    pub description: Option<String>,
    /// The JSON schema of its parameters.
    pub parameter_openapi_schema: Value,
}

#[derive(Deserialize)]
struct Described {
    flows: Vec<Flow>,
}

/// Tells whether a path names a flow in Rust before it is built.
pub fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
        || path.file_name().is_some_and(|name| name == "Cargo.toml")
}

/// Tells whether a program was made by `prefect_rs::main!`.
pub fn is_program(path: &Path) -> Result<bool, Error> {
    let mut mark = MARK_REVERSED;
    mark.reverse();
    let mut file = std::fs::File::open(path).map_err(|e| Error::io("read", path, e))?;
    let mut buffer = vec![0; 1 << 20];
    let mut kept = 0;
    let mut is_first = true;
    loop {
        let read = file
            .read(&mut buffer[kept..])
            .map_err(|e| Error::io("read", path, e))?;
        if read == 0 {
            return Ok(false);
        }
        let filled = kept + read;
        // A script may quote the mark; a program begins as the system wants it.
        if std::mem::take(&mut is_first) && buffer.starts_with(b"#!") {
            return Ok(false);
        }
        if contains(&buffer[..filled], &mark) {
            return Ok(true);
        }
        // The mark may lie across two pieces.
        kept = filled.min(mark.len() - 1);
        buffer.copy_within(filled - kept..filled, 0);
    }
}

fn contains(bytes: &[u8], mark: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(start) = rest.iter().position(|byte| *byte == mark[0]) {
        if rest[start..].starts_with(mark) {
            return true;
        }
        rest = &rest[start + 1..];
    }
    false
}

/// Asks a program for its flows.
pub fn flows(program: &Path) -> Result<Vec<Flow>, Error> {
    let wrong = |reason: String| Error::Rust {
        message: format!(
            "`{}` does not describe its flows: {reason}",
            program.display()
        ),
        hint: Some("build it again with the version of `prefect-rs` that is in use here".into()),
    };
    let mut child = Command::new(program)
        .env(DESCRIBE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| wrong(error.to_string()))?;
    let mut pipe = child.stdout.take().expect("it was asked for");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).map(|_| text)
    });
    let deadline = Instant::now() + DESCRIBE_LIMIT;
    while !reader.is_finished() && Instant::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let is_late = !reader.is_finished();
    // It has said what it has to say, or takes too long.
    let _ = child.kill();
    let _ = child.wait();
    if is_late {
        return Err(wrong(format!(
            "no answer within {} seconds",
            DESCRIBE_LIMIT.as_secs()
        )));
    }
    let text = reader
        .join()
        .map_err(|_| wrong("the answer could not be read".into()))?
        .map_err(|error| wrong(error.to_string()))?;
    let described: Described =
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    Ok(described.flows)
}

/// Chooses the flow that a specification means.
pub fn choose(spec: &Specification, mut flows: Vec<Flow>, program: &Path) -> Result<Flow, Error> {
    let names: Vec<_> = flows
        .iter()
        .map(|flow| format!("`{}`", flow.name))
        .collect();
    let has = format!("`{}` has the flows {}", program.display(), names.join(", "));
    let Some(wanted) = &spec.flow_name else {
        return match flows.len() {
            1 => Ok(flows.remove(0)),
            _ => Err(spec.invalid(
                "flow_name",
                "is missing",
                &format!("{has}; name one of them"),
            )),
        };
    };
    let found = flows
        .into_iter()
        .find(|flow| flow.name == *wanted || flow.function == *wanted);
    let flow = found
        .ok_or_else(|| spec.invalid("flow_name", &format!("there is no flow `{wanted}`"), &has))?;
    spec.check_parameters(&flow.name, &flow.parameter_openapi_schema)?;
    Ok(flow)
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: PathBuf,
    default_run: Option<String>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    src_path: PathBuf,
}

impl Target {
    fn is(&self, kind: &str) -> bool {
        self.kind.iter().any(|known| known == kind)
    }
}

/// Builds the program that a source file or manifest stands for, and returns where it is.
pub fn build(source: &Path) -> Result<PathBuf, Error> {
    let folder = source.parent().unwrap_or(Path::new("/"));
    let text = cargo(
        folder,
        &["metadata", "--no-deps", "--format-version=1"],
        Stdio::null(),
    )?;
    let metadata: Metadata = serde_json::from_str(&text).map_err(|error| {
        failed(format!(
            "`cargo metadata` gave something unexpected: {error}"
        ))
    })?;
    let (manifest, target) = target(&metadata, source)?;
    let flag = if target.is("example") {
        "--example"
    } else {
        "--bin"
    };
    let profile = std::env::var(PROFILE).unwrap_or_else(|_| "release".to_owned());
    let manifest = manifest.to_string_lossy();
    let arguments = [
        "build",
        "--manifest-path",
        &*manifest,
        flag,
        &target.name,
        "--profile",
        &profile,
        "--message-format=json-render-diagnostics",
    ];
    // What Cargo says while it builds is for the person who waits.
    let messages = cargo(folder, &arguments, Stdio::inherit())?;
    let executable = messages.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_target = message["target"]["name"] == target.name.as_str();
        message["executable"]
            .as_str()
            .filter(|_| is_target)
            .map(PathBuf::from)
    });
    executable.ok_or_else(|| failed(format!("Cargo built `{}` but no executable", target.name)))
}

fn target<'a>(metadata: &'a Metadata, source: &Path) -> Result<(&'a Path, &'a Target), Error> {
    let runs = |target: &&Target| target.is("bin") || target.is("example");
    let same = |path: &Path| std::fs::canonicalize(path).is_ok_and(|path| path == source);
    for package in &metadata.packages {
        if same(&package.manifest_path) {
            let mut programs = package.targets.iter().filter(|target| target.is("bin"));
            let chosen = match &package.default_run {
                Some(name) => programs.find(|target| target.name == *name),
                None => programs.next().filter(|_| programs.next().is_none()),
            };
            return chosen.map(|target| (&*package.manifest_path, target)).ok_or_else(|| {
                failed(format!("`{}` has not exactly one program; give the source file of the one that is meant", source.display()))
            });
        }
        if let Some(target) = package
            .targets
            .iter()
            .filter(runs)
            .find(|target| same(&target.src_path))
        {
            return Ok((&package.manifest_path, target));
        }
    }
    Err(failed(format!(
        "`{}` is the source of no program or example of its Cargo package",
        source.display()
    )))
}

fn cargo(folder: &Path, arguments: &[&str], errors: Stdio) -> Result<String, Error> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments)
        .current_dir(folder)
        // Under `cargo run` it names another package, and libraries that look at it would be built anew.
        .env_remove("CARGO_MANIFEST_DIR")
        .stdin(Stdio::null())
        .stderr(errors)
        .output()
        .map_err(|error| failed(format!("Cargo could not be started: {error}")))?;
    if !output.status.success() {
        return Err(failed(format!("`cargo {}` failed", arguments[0])));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn failed(message: String) -> Error {
    Error::Rust {
        message,
        hint: Some("try it by hand with `cargo build`; a built program can be given as `flow_location` as well".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_its_mark_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let mut mark = MARK_REVERSED;
        mark.reverse();
        let path = folder.path().join("program");
        for before in [0, 1, (1 << 20) - 5, (1 << 20) + 7] {
            let mut bytes = vec![b'~'; before];
            bytes.extend(mark);
            std::fs::write(&path, &bytes).unwrap();
            assert!(is_program(&path).unwrap(), "{before}");
            bytes.pop();
            std::fs::write(&path, &bytes).unwrap();
            assert!(!is_program(&path).unwrap(), "{before}");
        }
        let script = [b"#!/bin/sh\n".as_slice(), &mark].concat();
        std::fs::write(&path, script).unwrap();
        assert!(!is_program(&path).unwrap());
    }

    #[test]
    fn this_program_has_the_mark_only_backwards() {
        let own = std::env::current_exe().unwrap();
        assert!(!is_program(&own).unwrap());
    }
}
