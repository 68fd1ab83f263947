//! The `silverback` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    silverback::cli::main()
}
