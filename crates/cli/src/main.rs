//! `plumbline`: the process around the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    plumbline_cli::program()
}
