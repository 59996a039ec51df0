//! `plumbline-dispatcher`: the process around the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    plumbline_dispatcher::program()
}
