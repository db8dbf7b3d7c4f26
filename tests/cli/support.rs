//! Runs the executable with a home of its own.

use std::process::{Command, Output};

use tempfile::TempDir;

/// A home directory and the commands run in it.
pub struct Home {
    directory: TempDir,
}

/// What a command did, as text that a snapshot can hold.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Home {
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Runs a command with nothing of this machine's environment that could change its answer.
    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, &[])
    }

    pub fn run_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Ran {
        let output: Output = Command::new(env!("CARGO_BIN_EXE_prefect-rs"))
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("PREFECT_HOME", self.path())
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: self.text(&output.stdout),
            stderr: self.text(&output.stderr),
        }
    }

    fn text(&self, bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).replace(&*self.path().to_string_lossy(), "$HOME")
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "exit code {}", self.code)?;
        write!(f, "--- stdout\n{}", self.stdout)?;
        write!(f, "--- stderr\n{}", self.stderr)
    }
}

/// An API of a few fixed answers, on a port of its own.
///
/// The nouns are tested against it so that their output is the same each time; the real server has its own tests.
pub struct FixedApi {
    pub url: String,
    requests: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl FixedApi {
    /// Serves answers by `METHOD /path`; what is not there is answered with 404.
    pub fn start(answers: &[(&str, u16, &str)]) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/api", listener.local_addr().unwrap());
        let answers: Vec<(String, u16, String)> = answers
            .iter()
            .map(|(route, status, body)| ((*route).to_owned(), *status, (*body).to_owned()))
            .collect();
        let requests = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = requests.clone();
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &answers, &seen);
            }
        });
        Self { url, requests }
    }

    /// Returns what was asked so far: method, path and body.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(
    stream: std::net::TcpStream,
    answers: &[(String, u16, String)],
    seen: &std::sync::Mutex<Vec<String>>,
) {
    use std::io::{BufRead, BufReader, Read, Write};
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let route = line.rsplit_once(' ').unwrap().0.replacen("/api", "", 1);
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    seen.lock().unwrap().push(
        format!("{route} {}", String::from_utf8_lossy(&body))
            .trim_end()
            .to_owned(),
    );
    let missing = (route.clone(), 404, r#"{"detail": "Not Found"}"#.to_owned());
    let (_, status, body) = answers
        .iter()
        .find(|(known, ..)| *known == route)
        .unwrap_or(&missing);
    let mut stream = reader.into_inner();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
}
