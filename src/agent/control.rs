//! The word that a 3.x engine is given before it is ended.
//!
//! To such an engine SIGTERM alone is a crash, and that is what it reports. One that was started with
//! a port and a token connects, proves itself by the token, and can be told that its run was
//! cancelled; then it runs the flow's `on_cancellation` hooks and reports CANCELLED. Engines of
//! other generations know nothing of this and are just ended.

use std::ffi::OsString;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use uuid::Uuid;

/// How an engine begins after its token: two bytes follow, the version and what it can do.
const NEGOTIATION: [u8; 3] = [0, b'P', b'F'];
/// The version that is only told of intents; without an answer an engine would wait for one at its end.
const ANSWER: [u8; 5] = [0, b'P', b'F', 1, 0];
/// "You are cancelled."
const CANCEL: u8 = b'c';
/// "I know."
const ACKNOWLEDGED: u8 = b'a';
/// An engine may be in the middle of something; afterwards it is ended without its word.
const PATIENCE: Duration = Duration::from_secs(1);

/// The agent's end, before the engine has connected.
#[derive(Debug)]
pub struct Control {
    listener: TcpListener,
    token: String,
}

impl Control {
    /// Opens a port on this machine for one engine.
    pub async fn open() -> std::io::Result<Self> {
        Ok(Control {
            listener: TcpListener::bind(("127.0.0.1", 0)).await?,
            token: Uuid::new_v4().simple().to_string(),
        })
    }

    /// Returns the variables by which the engine finds it.
    pub fn variables(&self) -> std::io::Result<[(String, OsString); 2]> {
        let port = self.listener.local_addr()?.port();
        Ok([
            ("PREFECT__CONTROL_PORT".into(), port.to_string().into()),
            ("PREFECT__CONTROL_TOKEN".into(), self.token.clone().into()),
        ])
    }

    /// Waits for the engine, for ever if it never comes.
    pub async fn connected(&self) -> Session {
        loop {
            let Ok((mut stream, _)) = self.listener.accept().await else {
                return std::future::pending().await;
            };
            // Anything on this machine can connect; only the engine knows the token.
            if let Ok(Ok(true)) = timeout(PATIENCE, greet(&mut stream, &self.token)).await {
                return Session(stream);
            }
        }
    }
}

async fn greet(stream: &mut TcpStream, token: &str) -> std::io::Result<bool> {
    let mut told = vec![0; token.len() + 1];
    stream.read_exact(&mut told).await?;
    if told != format!("{token}\n").into_bytes() {
        return Ok(false);
    }
    let mut negotiation = [0; ANSWER.len()];
    // The first engines of this kind say nothing here.
    match timeout(PATIENCE / 4, stream.read_exact(&mut negotiation)).await {
        Ok(Ok(_)) if negotiation.starts_with(&NEGOTIATION) => stream.write_all(&ANSWER).await?,
        Ok(Ok(_) | Err(_)) | Err(_) => {}
    }
    Ok(true)
}

/// The connection to an engine.
#[derive(Debug)]
pub struct Session(TcpStream);

impl Session {
    /// Tells the engine that its run was cancelled; `true` if it has understood.
    pub async fn cancel(mut self) -> bool {
        let tell = async {
            self.0.write_all(&[CANCEL]).await?;
            self.0.read_u8().await
        };
        matches!(timeout(PATIENCE, tell).await, Ok(Ok(ACKNOWLEDGED)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connects as an engine does.
    async fn engine(control: &Control, token: &str) -> TcpStream {
        let address = control.listener.local_addr().unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let hello = [format!("{token}\n").as_bytes(), &[0, b'P', b'F', 2, 1]].concat();
        stream.write_all(&hello).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn only_the_engine_is_told() {
        let control = Control::open().await.unwrap();
        let stranger = engine(&control, &"x".repeat(control.token.len())).await;
        let mut engine = engine(&control, &control.token).await;
        let session = control.connected().await;
        let mut answer = [0; 5];
        engine.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, ANSWER);
        let hears = async {
            assert_eq!(engine.read_u8().await.unwrap(), CANCEL);
            engine.write_all(&[ACKNOWLEDGED]).await.unwrap();
        };
        let (is_known, ()) = tokio::join!(session.cancel(), hears);
        assert!(is_known);
        drop(stranger);
    }

    #[tokio::test]
    async fn an_engine_that_is_gone_is_not_waited_for() {
        let control = Control::open().await.unwrap();
        let engine = engine(&control, &control.token).await;
        let session = control.connected().await;
        drop(engine);
        assert!(!session.cancel().await);
    }
}
