//! The developers' commands: they speak to the API, or to nobody, and never need a database.

use clap::{Args, CommandFactory as _, Subcommand};
use clap_complete::Shell;

use super::{deliveries, delivery, endpoints, events, listen, recover, trigger, verify};
use crate::arguments::Arguments;
use crate::outcome::Failure;
use crate::output::Output;

/// What a developer may ask for.
#[derive(Debug, Subcommand)]
pub(crate) enum DeveloperCommand {
    Listen(listen::ListenArgs),
    Trigger(trigger::TriggerArgs),
    Deliveries(deliveries::DeliveriesArgs),
    Delivery(delivery::DeliveryArgs),
    Replay(delivery::ReplayArgs),
    Recover(recover::RecoverArgs),
    Endpoints(endpoints::EndpointsArgs),
    Events(events::EventsArgs),
    EventTypes(events::EventTypesArgs),
    Verify(verify::VerifyArgs),
    Completions(CompletionsArgs),
}

/// Print a shell's completions
///
/// Such as: plumbline completions bash > /etc/bash_completion.d/plumbline
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Do it: the exit code.
pub(super) async fn run(command: DeveloperCommand, output: &mut Output) -> Result<u8, Failure> {
    match command {
        DeveloperCommand::Listen(asked) => listen::run(asked, output).await,
        DeveloperCommand::Trigger(asked) => trigger::run(asked, output).await,
        DeveloperCommand::Deliveries(asked) => deliveries::run(asked, output).await,
        DeveloperCommand::Delivery(asked) => delivery::show(asked, output).await,
        DeveloperCommand::Replay(asked) => delivery::replay(asked, output).await,
        DeveloperCommand::Recover(asked) => recover::run(asked, output).await,
        DeveloperCommand::Endpoints(asked) => endpoints::run(asked, output).await,
        DeveloperCommand::Events(asked) => events::events(asked, output).await,
        DeveloperCommand::EventTypes(asked) => events::event_types(asked, output).await,
        DeveloperCommand::Verify(asked) => verify::run(&asked, output),
        DeveloperCommand::Completions(CompletionsArgs { shell }) => {
            // It panics where it cannot write; to memory it always can.
            let mut script = vec![];
            clap_complete::generate(shell, &mut Arguments::command(), "plumbline", &mut script);
            output.line(String::from_utf8_lossy(&script).trim_end())?;
            Ok(0)
        }
    }
}
