//! One process of a run: started, heard, and waited for.

use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use serde_json::json;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::Shared;
use crate::agent::Source;
use crate::agent::control::Control;
use crate::agent::logs::{INFO, Line, WARNING};
use crate::agent::process::{self, Ended, Group, Halt, Stream};
use crate::agent::runners::{Engine, Launch};
use crate::client::FlowRun;
use crate::clock::{Clock, SystemClock};
use crate::schemas::work_pools::PROCESS_TYPE;

/// How much error output is kept to explain a crash.
const TAIL_LINES: usize = 50;

impl Shared {
    /// Starts the process, forwards its output and waits for its end; returns its last error output.
    pub(super) async fn supervise(
        &self,
        run: &FlowRun,
        launch: &Launch,
        halts: &mut mpsc::Receiver<Halt>,
    ) -> Result<(Ended, VecDeque<String>), String> {
        let program = launch.invocation.program.display();
        let folder = match launch.has_own_folder {
            true => Some(OwnFolder::make(run.id).map_err(|error| {
                format!("A folder for the flow's process could not be made: {error}.")
            })?),
            false => None,
        };
        let mut invocation = launch.invocation.clone();
        if let Some(folder) = &folder {
            invocation.directory = Some(folder.0.clone());
        }
        let control = match invocation.hears_why {
            true => control(&mut invocation).await,
            false => None,
        };
        let group = Group::start(&invocation).map_err(|error| {
            let reason = process::why_not_started(&invocation.program, &error);
            format!("The flow's process `{program}` could not be started: {reason}.")
        })?;
        let process_id = group.id();
        info!(flow_run.id = %run.id, process.id = group.id(), "started flow run `{}`", run.name);
        self.guard.running(run.id, group.id()).await;
        // A small channel: what is not forwarded yet stays in the pipe.
        let (lines, mut received) = mpsc::channel(64);
        let forward = async {
            let mut tail = VecDeque::new();
            while let Some((stream, line)) = received.recv().await {
                self.take_line(run, launch, stream, line, &mut tail).await;
            }
            tail
        };
        let note = self.note_infrastructure(run.id, launch.engine, process_id);
        let wait = group.wait(lines, halts, control.as_ref());
        let (ended, tail, ()) = tokio::join!(wait, forward, note);
        let ended = ended.map_err(|error| {
            format!("The flow's process `{program}` could not be waited for: {error}.")
        })?;
        Ok((ended, tail))
    }

    /// Tells where a run is, so that those who cancel it know that there is something to stop.
    async fn note_infrastructure(&self, run: Uuid, engine: Engine, process_id: i32) {
        let labels = match &self.source {
            Source::Pool { name, worker, .. } => Some(json!({
                "prefect.worker.name": worker,
                "prefect.worker.type": PROCESS_TYPE,
                "prefect.work-pool.name": name,
            })),
            // What ends by this agent alone is not worth a request.
            _ if engine == Engine::Agent => return,
            Source::Queue(_) | Source::Given => None,
        };
        let host = nix::unistd::gethostname().unwrap_or_default();
        let pid = format!("{}:{process_id}", host.to_string_lossy());
        // A server of the first generation knows neither.
        let path = format!("/flow_runs/{run}");
        let told = self
            .client
            .patch(&path, &json!({"infrastructure_pid": pid}))
            .await;
        if let Err(error) = told {
            debug!(flow_run.id = %run, "the process of flow run `{run}` was not noted: {error}");
        }
        if let Some(labels) = labels
            && let Err(error) = self.client.patch(&format!("{path}/labels"), &labels).await
        {
            debug!(flow_run.id = %run, "the labels of flow run `{run}` were not noted: {error}");
        }
    }

    async fn take_line(
        &self,
        run: &FlowRun,
        launch: &Launch,
        stream: Stream,
        line: String,
        tail: &mut VecDeque<String>,
    ) {
        match stream {
            // Where the terminal is gone the run goes on.
            Stream::Err if self.is_foreground || launch.streams_output => {
                let _ = writeln!(std::io::stderr(), "{line}");
            }
            Stream::Out if self.is_foreground || launch.streams_output => {
                let _ = writeln!(std::io::stdout(), "{line}");
            }
            Stream::Out | Stream::Err => {}
        }
        if stream == Stream::Err && !line.trim().is_empty() {
            if tail.len() == TAIL_LINES {
                tail.pop_front();
            }
            tail.push_back(line.clone());
        }
        // An engine writes its log lines to stderr and sends them itself, so what is left
        // for the agent is what the flow prints; stderr is kept to explain a crash.
        let (name, level) = match (stream, launch.engine) {
            (Stream::Err, Engine::Process) => return,
            (Stream::Out, Engine::Process) if !launch.logs_output => return,
            (Stream::Out, _) => ("process.stdout", INFO),
            (Stream::Err, Engine::Agent) => ("process.stderr", WARNING),
        };
        let timestamp = SystemClock.now();
        self.logs
            .send(Line {
                flow_run_id: run.id,
                name,
                level,
                message: line,
                timestamp,
            })
            .await;
    }

    /// Adds a line of the agent's own to the logs of a run.
    pub(super) async fn log(&self, run: Uuid, level: u8, message: String) {
        let timestamp = SystemClock.now();
        self.logs
            .send(Line {
                flow_run_id: run,
                name: self.host.role.logger(),
                level,
                message,
                timestamp,
            })
            .await;
    }
}

/// Opens the way to tell an engine why it is ended; without one it is ended all the same.
async fn control(invocation: &mut process::Invocation) -> Option<Control> {
    let opened = async {
        let control = Control::open().await?;
        let variables = control.variables()?;
        std::io::Result::Ok((control, variables))
    };
    match opened.await {
        Ok((control, variables)) => {
            invocation.set.extend(variables);
            Some(control)
        }
        Err(error) => {
            warn!("the flow's engine cannot be told why it is ended: {error}");
            None
        }
    }
}

/// A folder that a process starts in and that goes with it.
struct OwnFolder(PathBuf);

impl OwnFolder {
    fn make(run: Uuid) -> std::io::Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700);
        // A run that is started again may have left one of its name behind.
        let name = format!("prefect-{run}-{}", Uuid::new_v4().simple());
        let folder = std::env::temp_dir().join(name);
        builder.create(&folder)?;
        Ok(OwnFolder(folder))
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            warn!("the folder `{}` was not removed: {error}", self.0.display());
        }
    }
}
