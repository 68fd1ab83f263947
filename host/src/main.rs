//! The `silverback` command.

use std::process::ExitCode;

/// Runs are many small things made on one thread and dropped on another, which this one is made for: a host does a fifth more
/// of them than with the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    silverback::cli::main()
}
