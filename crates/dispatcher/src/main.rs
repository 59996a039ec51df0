//! `plumbline-dispatcher`: the process around the library.

use plumbline_dispatcher::config::Config;
use plumbline_dispatcher::{StartError, serve};
use plumbline_runtime::config::{parse, refuse};
use plumbline_runtime::shutdown::Shutdown;
use plumbline_runtime::{descriptors, telemetry};

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let config: Config = parse();
    telemetry::init(&config.log);
    // Each request in flight has a socket of its own.
    descriptors::raise_limit();
    match serve(config, Shutdown::on_signals()).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(StartError::Setting { setting, problem }) => refuse(setting, problem),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the dispatcher could not start"
            );
            std::process::ExitCode::FAILURE
        }
    }
}
