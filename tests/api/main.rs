//! The API in process: recorded histories, both databases, hostile requests.

mod app;
mod event_feed;
mod events;
mod replay;
mod secrets;
mod settling;
