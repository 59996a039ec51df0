//! What can be asked for, and how.

use clap::{Args, Parser, Subcommand};
use plumbline_domain::{Role, Scopes, TenantId};
use plumbline_runtime::config::{LogArgs, Sensitive};

/// Plumbline's command line: bring the database schema up to date; make tenants, API keys and users.
///
/// Results go to standard output, everything else to standard error. Exit codes: 0 done, 64 the arguments or a value
/// are not accepted, 69 the database is not available, 1 anything else.
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

    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
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
        ] {
            let arguments = ["plumbline"].into_iter().chain(line.split(' '));
            assert!(Arguments::try_parse_from(arguments).is_err(), "{line}");
        }
    }
}
