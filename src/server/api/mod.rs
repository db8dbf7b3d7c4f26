//! Handlers, one file a resource: extract, one or two calls, answer.

pub mod flows;
