//! All SQL of the server, one file a noun.
//!
//! The functions are bare verbs (`create`, `read`, `list`, …) over a connection that the caller
//! holds, so that several of them make one write.

pub mod flows;
