//! The executable: parses the command line, runs it, and turns the outcome into an exit code.

use std::process::ExitCode;

/// For SQLite as well, whose short-lived pieces are most of what a write asks for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    prefect_rs::cli::main()
}
