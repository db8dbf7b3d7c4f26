//! The API in process: recorded histories, both databases, hostile requests.

mod app;
mod events;
mod replay;
mod secrets;
mod settling;
