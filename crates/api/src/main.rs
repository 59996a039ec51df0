//! `plumbline-api`: the process around the library.

use std::process::ExitCode;

use plumbline_api::config::Config;
use plumbline_api::{StartError, serve};
use plumbline_runtime::config::{parse, refuse};
use plumbline_runtime::shutdown::Shutdown;
use plumbline_runtime::{rustls_provider, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    let config: Config = parse();
    rustls_provider::install();
    telemetry::init(&config.log);
    match serve(config, Shutdown::on_signals()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError::Setting { setting, problem }) => refuse(setting, problem),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the API could not start"
            );
            ExitCode::FAILURE
        }
    }
}
