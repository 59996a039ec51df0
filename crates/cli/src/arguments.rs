//! What can be asked for, and how.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use plumbline_domain::{Profile, Role, Scopes, TenantId};
use plumbline_runtime::config::{
    BrokerArgs, LogArgs, MasterKeysArgs, Sensitive, positive_duration, public_url,
};

use crate::commands::DeveloperCommand;
use crate::output::Color;

/// Plumbline's command line, for those who build receivers and for those who run the service.
///
/// Developers receive events on their own machine, publish some, look at deliveries and send them again; these commands
/// speak to the API (PLUMBLINE_URL, PLUMBLINE_API_KEY). Operators bring the database schema up to date, make tenants, API
/// keys and users, find out what is wrong, and put it right; these need the services' own settings.
///
/// Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 something failed or did not
/// succeed, 64 the arguments or a value are not accepted, 69 the API, the database or the broker is not available, 77 the
/// API key may not do that; those of `doctor` are its own.
#[derive(Debug, Parser)]
#[command(name = "plumbline", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// PostgreSQL.
    #[command(flatten)]
    pub(crate) database: DatabaseUrl,

    /// Logs.
    #[command(flatten)]
    pub(crate) log: LogArgs,

    /// Print the result as one JSON object
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,

    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The API to speak to, and as whom.
#[derive(Args, Clone, Debug)]
pub(crate) struct Access {
    // Not required for clap, as above. Its id is not `url`, which an endpoint's is.
    /// The API's address, such as https://hooks.example.com
    #[arg(
        id = "api_url",
        long = "url",
        env = "PLUMBLINE_URL",
        value_name = "URL",
        global = true,
        value_parser = public_url,
        help_heading = "API"
    )]
    pub(crate) url: Option<String>,

    /// An API key; better kept in the variable than in a command line
    #[arg(
        long,
        env = "PLUMBLINE_API_KEY",
        value_name = "KEY",
        global = true,
        hide_env_values = true,
        help_heading = "API"
    )]
    pub(crate) api_key: Option<Sensitive>,
}

/// The database to work on.
#[derive(Args, Clone, Debug)]
pub(crate) struct DatabaseUrl {
    /// PostgreSQL to use, such as postgres://user:password@host:5432/plumbline
    // Not required for clap, so that it may also follow the command; a missing one is refused by the command.
    #[arg(
        long,
        env = "PLUMBLINE_DATABASE_URL",
        value_name = "URL",
        global = true,
        hide_env_values = true
    )]
    pub(crate) database_url: Option<Sensitive>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// What developers do.
    #[command(flatten)]
    Developer(DeveloperCommand),
    /// Bring the database schema up to date; safe to repeat, and while processes run
    ///
    /// With --json: {"applied":["V1__…"]}
    Migrate,
    /// Tenants: the customers of the product that runs Plumbline
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// API keys of a tenant
    #[command(subcommand)]
    ApiKey(ApiKeyCommand),
    /// Users of a tenant's console
    #[command(subcommand)]
    User(UserCommand),
    /// Say what is wrong with an installation, in plain words, with the remedy; changes nothing
    ///
    /// Run it with the services' own settings. One line for each thing looked at: `ok`, `warn` or `fail`, what it is, how
    /// it was found, and the remedy. Exit codes: 0 all is well, 1 somebody should look (warn), 2 something does not
    /// work (fail), 64 a setting is not accepted.
    ///
    /// With --json: {"status":"warn","checks":[{"status":"ok","what":"…","explanation":"…","remedy":null}]}
    Doctor(DoctorArgs),
    /// Ask a service's admin port whether it is ready, for a health check; exit code 0 if it is, 1 if not
    ///
    /// With --json: {"ready":false,"explanation":"…"}
    Ready {
        /// Its admin address: 9090 is the API's default port, 9091 a dispatcher's
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9090")]
        at: SocketAddr,
    },
    /// Dead messages: what no dispatcher could process, in the queue plumbline.dead
    #[command(subcommand)]
    Dead(DeadCommand),
    /// All queues together: what waits between the API and the dispatchers
    #[command(subcommand)]
    Queues(QueuesCommand),
    /// Signing secrets of endpoints, as they are stored
    #[command(subcommand)]
    Secrets(SecretsCommand),
}

/// The services' settings that say what should be there, and what is late.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// RabbitMQ.
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,

    /// Keys that open endpoint secrets.
    #[command(flatten)]
    pub(crate) master_keys: MasterKeysArgs,

    /// Queues that each lane of events is spread over
    #[arg(long, env = "PLUMBLINE_EVENT_SHARDS", default_value = "1")]
    pub(crate) event_shards: NonZeroU16,

    /// The age from which unfinished work that no queue holds counts as lost
    #[arg(long, env = "PLUMBLINE_RECOVERY_GRACE", default_value = "60s", value_parser = positive_duration)]
    pub(crate) recovery_grace: Duration,

    /// Consecutive failed attempts that disable an endpoint; 0 is never
    #[arg(long, env = "PLUMBLINE_DISABLE_AFTER", default_value = "20")]
    pub(crate) disable_after: u32,

    /// Days that events are kept
    #[arg(long, env = "PLUMBLINE_RETENTION_DAYS", default_value = "30")]
    pub(crate) retention_days: u32,
}

/// Where the queues are.
#[derive(Args, Debug)]
pub(crate) struct QueueArgs {
    /// RabbitMQ.
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,

    /// Queues that each lane of events is spread over
    #[arg(long, env = "PLUMBLINE_EVENT_SHARDS", default_value = "1")]
    pub(crate) event_shards: NonZeroU16,
}

/// Which dead messages are meant.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct WhichDead {
    /// Ids, as `plumbline dead list` shows them
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// All that are there now
    #[arg(long)]
    pub(crate) all: bool,
}

/// What to do with dead messages.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// Show the oldest, and leave them where they are: id, since when, from which queue, size, about what, why
    ///
    /// An id stays the same for as long as the message is there; messages that are equal in every respect share one.
    ///
    /// With --json: {"total":1,"messages":[{"id":"…","diedAt":"…","queue":"…","bytes":14,"tenantId":17,"events":["evt_…"],
    /// "delivery":"dlv_…","reason":"…","by":"consumer"}]}, by: consumer, broker or unknown
    List {
        /// Where they are.
        #[command(flatten)]
        at: QueueArgs,
        /// Messages shown at most
        #[arg(long, value_name = "COUNT", default_value = "100")]
        limit: usize,
    },
    /// Put messages back into the queue that each came from, once the cause is gone
    ///
    /// A message leaves the dead only when the broker has confirmed its copy: broken off, nothing is lost. What can be
    /// read is marked as published before, so that nothing is delivered twice that was recorded.
    ///
    /// With --json: {"requeued":["…"],"failed":[{"id":"…","queue":"…","reason":"…"}],"unknown":["…"]}; exit code 1 when
    /// some failed or are unknown
    Requeue {
        /// Where they are.
        #[command(flatten)]
        at: QueueArgs,
        /// Which.
        #[command(flatten)]
        which: WhichDead,
    },
    /// Forget messages for ever; their deliveries are not touched, and the sweep and the relay publish unfinished ones again
    ///
    /// With --json: {"dropped":["…"],"unknown":["…"]}; exit code 1 when some are unknown
    Drop {
        /// Where they are.
        #[command(flatten)]
        at: QueueArgs,
        /// Which.
        #[command(flatten)]
        which: WhichDead,
        /// Yes, forget them for ever
        #[arg(long)]
        yes: bool,
    },
}

/// What to do with all queues.
#[derive(Debug, Subcommand)]
pub(crate) enum QueuesCommand {
    /// Empty all of Plumbline's queues, the dead messages included: after the database was restored from a backup
    ///
    /// What the messages speak of is not in an older database, or is something else there. Stop every API and every
    /// dispatcher first: it is refused while a queue is consumed (exit code 1). What is unfinished in the database is published
    /// again by the relay and the sweep: on a database that was not restored, nothing is lost but the dead messages and
    /// time. docs/OPERATIONS.md has the steps.
    ///
    /// With --json: {"messages":12,"queues":[{"queue":"plumbline.retries","messages":12}]}, empty ones left out
    Purge {
        /// Where they are.
        #[command(flatten)]
        at: QueueArgs,
        /// Yes, empty them
        #[arg(long)]
        yes: bool,
    },
}

/// What to do with stored secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Seal every secret with the first master key that another has sealed, while everything runs
    ///
    /// First give all services the new key in front of the old ones, and restart them: docs/OPERATIONS.md has the steps.
    /// Safe to repeat and to break off. Says which keys no secret needs any more. Exit code 1 when some secrets do not open.
    ///
    /// With --json: {"key":"k2","sealed":5,"byKey":{"k2":5},"removable":["k1"],"unopened":[{"tenantId":17,"endpointId":3,
    /// "key":"k0"}],"unopenedCount":1}
    Rekey {
        /// The keys.
        #[command(flatten)]
        master_keys: MasterKeysArgs,
    },
}

/// What to do with tenants.
#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Make a tenant
    ///
    /// With --json: {"id":17,"name":"…"}
    Create {
        /// Its name, 1 to 200 characters
        #[arg(long, value_name = "NAME")]
        name: String,
    },
    /// Delete a tenant and everything that is its own, for ever: keys, users, endpoints, secrets, events, deliveries, records
    ///
    /// Its keys answer 401 within a second, and nothing is sent any more; what was in flight is waited for, then the rows
    /// are deleted in batches. Its messages in the queues end when they arrive. Safe to repeat when it was broken off.
    ///
    /// With --json: {"id":17,"name":"…","deleted":{"events":5,"deliveries":5}}
    Delete {
        /// The tenant's number
        #[arg(long, value_name = "ID", value_parser = tenant)]
        tenant: TenantId,
        /// Yes, delete it for ever
        #[arg(long)]
        yes: bool,
        /// How long an attempt may take, as the dispatchers have it: what is in flight is waited for
        #[arg(long, env = "PLUMBLINE_ATTEMPT_TIMEOUT", default_value = "10s", value_parser = positive_duration)]
        attempt_timeout: Duration,
    },
}

/// What to do with API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum ApiKeyCommand {
    /// Make an API key, which is shown this once
    ///
    /// With --json: {"id":3,"key":"plk_live_…","tenantId":17,"scopes":["…"]}
    Create {
        /// The tenant's number
        #[arg(long, value_name = "ID", value_parser = tenant)]
        tenant: TenantId,
        /// What the key is for, 1 to 200 characters
        #[arg(long, value_name = "NAME")]
        name: String,
        /// What it may do, comma-separated, such as webhooks:manage,events:write; '*' is everything
        #[arg(long, value_name = "SCOPES", value_parser = scopes)]
        scopes: Scopes,
    },
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make a user, with the password from standard input
    ///
    /// With --json: {"id":5,"email":"…","role":"company_admin"}
    Create {
        /// The tenant's number
        #[arg(long, value_name = "ID", value_parser = tenant)]
        tenant: TenantId,
        /// The address to sign in with
        #[arg(long, value_name = "EMAIL")]
        email: String,
        /// company_admin may do everything of the tenant, member reads
        #[arg(long, value_name = "ROLE", value_parser = role)]
        role: Role,
        /// Read the password, at least 12 characters, from the first line of standard input; there is no other way
        #[arg(long, required = true)]
        password_stdin: bool,
    },
}

fn tenant(text: &str) -> Result<TenantId, String> {
    text.parse()
        .map_err(|_| "write the tenant's number, as `plumbline tenant create` printed it".to_owned())
}

fn scopes(text: &str) -> Result<Scopes, String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    Scopes::parse(names).map_err(|error| error.to_string())
}

/// The profile of this name.
pub(crate) fn profile(text: &str) -> Result<Profile, String> {
    Profile::parse(text).ok_or_else(|| {
        let all = Profile::ALL.map(Profile::as_str);
        format!("write one of {}", all.join(", "))
    })
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| "write company_admin or member".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_declaration_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_documented_commands_are_understood() {
        for line in [
            "migrate",
            "migrate --json --database-url postgres://d",
            "tenant create --name Acme --json",
            "api-key create --tenant 17 --name ci --scopes webhooks:manage,events:write",
            "api-key create --tenant 17 --name ci --scopes * --json",
            "user create --tenant 17 --email a@example.com --role company_admin --password-stdin",
            "tenant delete --tenant 17 --yes",
            "doctor --json --amqp-url amqp://b --master-keys k:x",
            "dead list --amqp-url amqp://b --limit 5",
            "dead requeue --amqp-url amqp://b 00ff 11ee",
            "dead requeue --amqp-url amqp://b --all",
            "dead drop --amqp-url amqp://b --all --yes",
            "queues purge --amqp-url amqp://b --yes",
            "secrets rekey --master-keys k2:x,k1:x",
            "listen --forward-to http://localhost:3000/hook --events bid.accepted,bid.rejected --retry",
            "listen --forward-to http://localhost:3000 --profile buildr --retry 2 --url http://a.example --api-key k",
            "trigger bid.accepted --data {} --wait",
            "deliveries --status failed --endpoint 17 --type bid.accepted --since 1h --limit 5",
            "deliveries --follow --json --color never",
            "delivery dlv_01900000000070008000000000000001",
            "replay dlv_01900000000070008000000000000001 --wait",
            "recover 17 --since 2h --until 1h --dry-run",
            "endpoints --url http://a.example",
            "endpoints create https://a.example/hook --events bid.accepted --header X-Team:sales --api-key k",
            "endpoints rotate 17 --activate-in 1h",
            "endpoints delete 17 --yes",
            "events --type bid.accepted",
            "event-types bid.accepted",
            "verify --secret whsec_x --header BuildWorkPro-Signature:x --tolerance 1h",
            "completions fish",
        ] {
            let arguments = ["plumbline"].into_iter().chain(line.split(' '));
            assert!(Arguments::try_parse_from(arguments).is_ok(), "{line}");
        }
        for line in [
            "api-key create --tenant 0 --name ci --scopes *",
            "api-key create --tenant 17 --name ci --scopes events:fly",
            "api-key create --tenant 17 --name ci --scopes ,",
            "user create --tenant 17 --email a@example.com --role king --password-stdin",
            "user create --tenant 17 --email a@example.com --role member",
            "tenant create",
            "tenant delete --yes",
            "dead requeue --amqp-url amqp://b",
            "dead drop --amqp-url amqp://b 00ff --all",
            "queues purge --yes",
            "listen",
            "listen --forward-to localhost:3000",
            "listen --forward-to http://localhost:3000 --profile svix",
            "trigger Bid",
            "deliveries --status lost",
            "deliveries --follow --since 1h",
            "delivery 17",
            "recover 17",
            "recover 17 --since yesterday",
            "events evt_01900000000070008000000000000001 --type bid.accepted",
            "verify --secret whsec_x",
            "completions tcsh",
        ] {
            let arguments = ["plumbline"].into_iter().chain(line.split(' '));
            assert!(Arguments::try_parse_from(arguments).is_err(), "{line}");
        }
    }
}
