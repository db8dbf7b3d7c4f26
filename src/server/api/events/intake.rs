//! `/events/in`: events from a socket, one a frame.

use std::collections::VecDeque;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use crate::db;
use crate::schemas::events::{Event, Limits};
use crate::server::api::sockets;
use crate::server::{AppState, events};

/// Events of one socket that are written together, so that others get their turn.
const BATCH: usize = 512;
/// Events of one socket that may wait for their write; then the socket is not read, and its client
/// waits.
const WAITING: usize = 2048;
/// How long after the beginning of a write the events of a socket are gathered for the next. Tasks that
/// run one after the other tell an event each millisecond, and to commit each alone costs ten times as much.
const GATHERING: Duration = Duration::from_millis(20);

/// Takes events from a socket, one a frame.
pub async fn stream_events_in(
    State(state): State<AppState>,
    upgrade: WebSocketUpgrade,
) -> Response {
    sockets::accept(upgrade, state, take_events)
}

async fn take_events(state: AppState, socket: WebSocket) {
    let limits = events::limits(&state.settings);
    let intake = Intake {
        state,
        limits,
        waiting: VecDeque::new(),
        write: None,
        due: Instant::now(),
    };
    intake.run(socket).await;
}

/// What ends a socket early.
enum End {
    /// The client has gone.
    Gone,
    /// Its events cannot be written.
    Unwritten(db::Error),
}

/// The events of one socket on their way into the database.
///
/// Reading goes on while a batch is written, up to [`WAITING`]. A ping is answered by the library
/// when the next frame is read, so before that everything that came earlier is made durable: the
/// pong is the client's word that nothing will be lost.
struct Intake {
    state: AppState,
    limits: Limits,
    waiting: VecDeque<Event>,
    /// The batch under way; a socket has one at a time, so that its events keep their order.
    write: Option<BoxFuture<'static, db::Result<()>>>,
    /// When the next batch is written, unless it is full or asked for before.
    due: Instant,
}

impl Intake {
    async fn run(mut self, mut socket: WebSocket) {
        let end = loop {
            match self.step(&mut socket).await {
                Ok(()) => {}
                Err(end) => break end,
            }
        };
        match end {
            // What came before the end counts, whichever way the client went.
            End::Gone => {
                if let Err(End::Unwritten(cause)) = self.settle().await {
                    warn!("events of a closed socket are lost: {cause}");
                }
            }
            End::Unwritten(cause) => {
                warn!("a socket is closed, since its events cannot be written: {cause}");
                sockets::close(
                    socket,
                    sockets::TRY_AGAIN,
                    "the events cannot be written now",
                )
                .await;
            }
        }
    }

    /// Takes what the socket has, or finishes a write, whichever is first.
    async fn step(&mut self, socket: &mut WebSocket) -> Result<(), End> {
        if self.waiting.len() >= BATCH || self.due <= Instant::now() {
            self.begin_write();
        }
        let is_full = self.waiting.len() >= WAITING;
        let frame = match &mut self.write {
            None if self.waiting.is_empty() => socket.recv().await,
            None => tokio::select! {
                () = sleep_until(self.due) => return Ok(()),
                frame = socket.recv() => frame,
            },
            Some(write) if is_full => {
                let done = write.await;
                return self.written(done);
            }
            Some(write) => tokio::select! {
                done = write => return self.written(done),
                frame = socket.recv() => frame,
            },
        };
        self.take(frame).await?;
        // What has arrived meanwhile becomes part of the same write.
        while self.waiting.len() < WAITING
            && let Some(frame) = socket.recv().now_or_never()
        {
            self.take(frame).await?;
        }
        Ok(())
    }

    async fn take(&mut self, frame: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        match frame {
            Some(Ok(Message::Text(text))) => self.note(text.as_bytes()),
            Some(Ok(Message::Binary(bytes))) => self.note(&bytes),
            Some(Ok(Message::Ping(_))) => self.settle().await?,
            Some(Ok(Message::Pong(_))) => {}
            // The client waits for our close frame, which goes out with the next read.
            Some(Ok(Message::Close(_))) => self.settle().await?,
            Some(Err(_)) | None => return Err(End::Gone),
        }
        Ok(())
    }

    /// Notes an event; one that is none is left out, since its sender cannot be answered.
    fn note(&mut self, text: &[u8]) {
        let event = serde_json::from_slice::<Event>(text).map_err(|error| error.to_string());
        let event = event.and_then(|event| match event.check(&self.limits) {
            Ok(()) => Ok(event),
            Err((field, why)) => Err(format!("{field}: {why}")),
        });
        match event {
            Ok(event) => self.waiting.push_back(event),
            Err(why) => warn!("a frame is left out, since it is not an event: {why}"),
        }
    }

    fn begin_write(&mut self) {
        if self.write.is_none() && !self.waiting.is_empty() {
            let batch: Vec<Event> = self
                .waiting
                .drain(..self.waiting.len().min(BATCH))
                .collect();
            debug!("writing {} events of a socket", batch.len());
            let state = self.state.clone();
            self.due = Instant::now() + GATHERING;
            self.write = Some(async move { events::receive(&state, batch).await }.boxed());
        }
    }

    fn written(&mut self, done: db::Result<()>) -> Result<(), End> {
        self.write = None;
        done.map_err(End::Unwritten)
    }

    /// Waits until everything that came is durable.
    async fn settle(&mut self) -> Result<(), End> {
        loop {
            self.begin_write();
            let Some(write) = &mut self.write else {
                return Ok(());
            };
            let done = write.await;
            self.written(done)?;
        }
    }
}
