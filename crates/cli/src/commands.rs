//! The commands: an operator's is one use case of the engine, a developer's a conversation with the API.

use plumbline_domain::{Role, Scopes, TenantId};
use plumbline_engine::administration::{Administration, PASSWORD_BYTES_MAX};
use plumbline_engine::assembly::DatabaseSettings;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

mod care;
mod deliveries;
mod delivery;
mod developer;
mod endpoints;
mod events;
mod input;
mod listen;
mod ready;
mod recover;
mod trigger;
mod verify;

pub(crate) use self::developer::DeveloperCommand;

use crate::arguments::{
    ApiKeyCommand, Arguments, Command, DatabaseUrl, QueuesCommand, SecretsCommand, TenantCommand, UserCommand,
};
use crate::outcome::{Done, Failure};
use crate::output::Output;

/// Connections that a command needs.
const POOL_SIZE: usize = 2;

/// What a command says: as JSON, in words, and by its exit code.
type Said = (Value, String, u8);

/// Do what was asked for.
pub(crate) async fn run(arguments: Arguments) -> Result<Done, Failure> {
    let database = || database(&arguments.database);
    let administration = || Ok::<_, Failure>(Administration::connect(&database()?)?);
    let (json, words, exit_code) = match arguments.command {
        Command::Developer(command) => {
            let mut output = Output::new(arguments.color, arguments.json);
            let exit_code = developer::run(command, &mut output).await?;
            return Ok(Done::Printed { exit_code });
        }
        Command::Migrate => well(migrate(&administration()?).await?),
        Command::Tenant(TenantCommand::Create { name }) => {
            well(create_tenant(&administration()?, &name).await?)
        }
        Command::Tenant(TenantCommand::Delete {
            tenant,
            yes,
            attempt_timeout,
        }) => well(care::delete_tenant(&administration()?, tenant, yes, attempt_timeout).await?),
        Command::ApiKey(ApiKeyCommand::Create { tenant, name, scopes }) => {
            well(create_api_key(&administration()?, tenant, &name, &scopes).await?)
        }
        Command::User(UserCommand::Create {
            tenant,
            email,
            role,
            password_stdin: _,
        }) => well(create_user(&administration()?, tenant, &email, role).await?),
        Command::Ready { at } => ready::ready(at).await,
        Command::Doctor(asked) => care::doctor(&database()?, &asked).await?,
        Command::Dead(command) => care::dead(command).await?,
        Command::Queues(QueuesCommand::Purge { at, yes }) => well(care::purge(&at, yes).await?),
        Command::Secrets(SecretsCommand::Rekey { master_keys }) => {
            care::rekey(&administration()?, &master_keys).await?
        }
    };
    Ok(Done::Result {
        json: arguments.json.then_some(json),
        words,
        exit_code,
    })
}

fn database(given: &DatabaseUrl) -> Result<DatabaseSettings, Failure> {
    let url = given.database_url.as_ref().ok_or(Failure::NoDatabase)?;
    Ok(DatabaseSettings::new(url.expose(), POOL_SIZE, "plumbline"))
}

fn well((json, words): (Value, String)) -> Said {
    (json, words, 0)
}

async fn migrate(administration: &Administration) -> Result<(Value, String), Failure> {
    let applied = administration.migrate().await?;
    let words = match applied.len() {
        0 => "The schema is up to date.".to_owned(),
        count => format!("Applied {count} migrations: {}.", applied.join(", ")),
    };
    Ok((json!({ "applied": applied }), words))
}

async fn create_tenant(administration: &Administration, name: &str) -> Result<(Value, String), Failure> {
    let id = administration.create_tenant(name).await?;
    Ok((
        json!({ "id": id.0, "name": name }),
        format!("Tenant {id} is {name}."),
    ))
}

async fn create_api_key(
    administration: &Administration,
    tenant: TenantId,
    name: &str,
    scopes: &Scopes,
) -> Result<(Value, String), Failure> {
    let new = administration.create_api_key(tenant, name, scopes).await?;
    let scopes = scopes.names();
    let words = format!(
        "API key {} of tenant {tenant}, for {}:\n{}\nIt is not shown again.",
        new.id,
        scopes.join(", "),
        new.key
    );
    Ok((
        json!({ "id": new.id.0, "key": new.key, "tenantId": tenant.0, "scopes": scopes }),
        words,
    ))
}

async fn create_user(
    administration: &Administration,
    tenant: TenantId,
    email: &str,
    role: Role,
) -> Result<(Value, String), Failure> {
    let password = read_password().await.map_err(Failure::Password)?;
    let id = administration.create_user(tenant, email, role, &password).await?;
    // As the engine stores it.
    let email = email.trim().to_lowercase();
    let words = format!("User {id} of tenant {tenant} is {email}, {}.", role.as_str());
    Ok((
        json!({ "id": id.0, "email": email, "role": role.as_str() }),
        words,
    ))
}

/// The first line of standard input, without its end. Longer than any password, it is cut and then refused.
async fn read_password() -> std::io::Result<String> {
    let bytes_max = PASSWORD_BYTES_MAX as u64 + 2;
    let mut line = String::new();
    BufReader::new(tokio::io::stdin().take(bytes_max))
        .read_line(&mut line)
        .await?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
