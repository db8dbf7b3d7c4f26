//! The command line as its user meets it: a process, its output, its exit code.

mod help;
mod nouns;
mod pools;
mod server;
mod settings;
mod support;
mod told;
