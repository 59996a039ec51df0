//! `plumbline`: the command line, for developers and operators.

mod arguments;
mod client;
mod commands;
mod outcome;
mod output;

use std::process::ExitCode;

use plumbline_runtime::{config, rustls_provider, telemetry};

use crate::arguments::Arguments;

/// The program, from its arguments and settings to its exit code.
// One connection and one command: a second thread would wait with us.
#[tokio::main(flavor = "current_thread")]
pub async fn program() -> ExitCode {
    let arguments: Arguments = config::parse();
    rustls_provider::install();
    telemetry::init(&arguments.log);
    match commands::run(arguments).await {
        Ok(done) => done.print(),
        Err(failure) => failure.report(),
    }
}
