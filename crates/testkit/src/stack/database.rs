//! A test's database: one of its own on the shared server, or a server of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use tokio_postgres::{Client, NoTls};
use url::Url;

use super::script;

/// A database that only one test uses.
#[derive(Debug)]
pub struct Database {
    /// Of the server that takes writes.
    url: Mutex<Url>,
    home: Home,
    standby: Option<Standby>,
}

/// A server that follows a private one, which waits for it with every commit.
#[derive(Debug)]
struct Standby {
    url: Url,
    directory: PathBuf,
}

/// It survives a killed server but not a lost machine, and nobody pulls the plug during a test.
const SETTINGS: [&str; 2] = ["fsync=off", "max_connections=100"];

#[derive(Debug)]
enum Home {
    Shared { server: Url, name: String },
    Private { script: String, directory: PathBuf },
}

impl Database {
    pub(super) async fn shared(server: &Url, id: &str) -> Self {
        let name = format!("plumbline_test_{id}");
        execute(&connect(server).await, &format!(r#"CREATE DATABASE "{name}""#)).await;
        let mut url = server.clone();
        url.set_path(&name);
        Self {
            url: Mutex::new(url),
            home: Home::Shared {
                server: server.clone(),
                name,
            },
            standby: None,
        }
    }

    pub(super) async fn private(script: String, directory: &Path) -> Self {
        let home = Home::Private {
            script,
            directory: directory.to_owned(),
        };
        let database = Self {
            url: Mutex::new("postgres://nowhere".parse().expect("a URL")),
            home,
            standby: None,
        };
        database.start().await;
        database.take_writes_at(url_of(directory));
        database
    }

    /// Give a private server a standby, for which every commit waits from now on.
    pub(super) async fn add_standby(&mut self) {
        let Home::Private { script, directory } = &self.home else {
            panic!("the database server is shared")
        };
        let mut name = directory.file_name().expect("it has a name").to_owned();
        name.push("-standby");
        let standby = directory.with_file_name(name);
        let [place, primary] = [&standby, directory].map(|path| path.display().to_string());
        script::run(script, vec!["copy".to_owned(), place.clone(), primary]).await;
        let mut start = vec!["start".to_owned(), place];
        start.extend(SETTINGS.map(str::to_owned));
        script::run(script, start).await;
        let client = self.connect().await;
        execute(&client, "ALTER SYSTEM SET synchronous_standby_names = '*'").await;
        execute(&client, "SELECT pg_reload_conf()").await;
        crate::eventually("commits to wait for the standby", async || {
            let asked = "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'";
            let rows = client.query(asked, &[]).await.expect("the database answers");
            (!rows.is_empty()).then_some(())
        })
        .await;
        self.standby = Some(Standby {
            url: url_of(&standby),
            directory: standby,
        });
    }

    /// Where it is.
    pub fn url(&self) -> Url {
        self.url.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What processes are told: where it is, and where it may be later.
    pub(super) fn urls(&self, first: &Url) -> String {
        let Some(standby) = &self.standby else {
            return first.to_string();
        };
        let host = |url: &Url| {
            let host = url.host_str().expect("a server's URL has a host");
            format!(
                "{host}:{}",
                url.port().expect("the test servers' URLs have ports")
            )
        };
        let (one, both) = (host(first), format!("{},{}", host(first), host(&standby.url)));
        format!(
            "{}?target_session_attrs=read-write",
            first.as_str().replace(&one, &both)
        )
    }

    /// Kill a private server, as the loss of its machine would, and have its standby take its place.
    ///
    /// # Panics
    /// When it has no standby.
    pub async fn fail_over(&self) {
        let standby = self.standby.as_ref().expect("the test asked for a standby");
        self.kill().await;
        execute(&connect(&standby.url).await, "SELECT pg_promote()").await;
        self.take_writes_at(standby.url.clone());
    }

    fn take_writes_at(&self, url: Url) {
        *self.url.lock().unwrap_or_else(PoisonError::into_inner) = url;
    }

    /// A connection for a test's own questions.
    ///
    /// # Panics
    /// When there is none to be had.
    pub async fn connect(&self) -> Client {
        connect(&self.url()).await
    }

    /// What a question answers with one number, such as a `count(*)`.
    ///
    /// # Panics
    /// When it does not.
    pub async fn number(&self, sql: &str) -> i64 {
        let row = self.connect().await.query_one(sql, &[]).await;
        row.unwrap_or_else(|error| panic!("{sql}: {error}")).get(0)
    }

    /// All of it as `pg_dump` writes it: what whoever finds a backup reads.
    ///
    /// # Panics
    /// When `pg_dump` is missing or fails; the message shows what it said.
    pub async fn dump(&self) -> String {
        let written = self.run("pg_dump", &["--inserts"]).await;
        String::from_utf8(written).expect("a dump is text")
    }

    /// Back it up into a file, as an operator does: everything as it is at this moment, whoever writes meanwhile.
    ///
    /// # Panics
    /// When `pg_dump` is missing or fails; the message shows what it said.
    pub async fn back_up(&self, archive: &Path) {
        let archive = archive.display().to_string();
        self.run(
            "pg_dump",
            &["--format", "custom", "--schema", "plumbline", "--file", &archive],
        )
        .await;
    }

    /// Replace it by a new one from a backup, as an operator does. Whoever is connected to the old one loses it.
    ///
    /// # Panics
    /// When the server is a private one, `pg_restore` is missing, or something fails; the message shows what it said.
    pub async fn restore(&self, archive: &Path) {
        let Home::Shared { server, name } = &self.home else {
            panic!("a private server's database is the server's own")
        };
        let server = connect(server).await;
        execute(&server, &format!(r#"DROP DATABASE "{name}" WITH (FORCE)"#)).await;
        execute(&server, &format!(r#"CREATE DATABASE "{name}""#)).await;
        let archive = archive.display().to_string();
        self.run("pg_restore", &["--exit-on-error", &archive]).await;
    }

    /// Run one of PostgreSQL's programs on it; returns what it wrote.
    async fn run(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let mut url = self.url();
        let password = url.password().unwrap_or_default().to_owned();
        url.set_password(None).expect("this URL takes a password");
        let output = tokio::process::Command::new(newest(program))
            .args(["--dbname", url.as_str()])
            .args(arguments)
            .env("PGPASSWORD", password)
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
        assert!(
            output.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// Kill a private server, as a crash would.
    ///
    /// # Panics
    /// When the server is shared.
    pub async fn kill(&self) {
        self.private_script("kill", &[]).await;
    }

    /// Start a private server again: same place, same data.
    ///
    /// # Panics
    /// When the server is shared, or does not start.
    pub async fn start(&self) {
        self.private_script("start", &SETTINGS).await;
    }

    async fn private_script(&self, verb: &str, extra: &[&str]) {
        let Home::Private { script, directory } = &self.home else {
            panic!("the database server is shared")
        };
        let mut arguments = vec![verb.to_owned(), directory.display().to_string()];
        arguments.extend(extra.iter().map(|&argument| argument.to_owned()));
        script::run(script, arguments).await;
    }

    /// The logs of private servers.
    pub(super) fn logs(&self) -> Vec<PathBuf> {
        let own = match &self.home {
            Home::Shared { .. } => None,
            Home::Private { directory, .. } => Some(directory),
        };
        let standby = self.standby.as_ref().map(|standby| &standby.directory);
        let directories = own.into_iter().chain(standby);
        directories
            .map(|directory| directory.join("postgres.log"))
            .collect()
    }

    pub(super) async fn remove(&self) {
        match &self.home {
            Home::Shared { server, name } => {
                let drop = format!(r#"DROP DATABASE IF EXISTS "{name}" WITH (FORCE)"#);
                execute(&connect(server).await, &drop).await;
            }
            Home::Private { script, directory } => {
                let standby = self.standby.as_ref().map(|standby| &standby.directory);
                for directory in [Some(directory), standby].into_iter().flatten() {
                    for verb in ["kill", "wipe"] {
                        script::run(script, vec![verb.to_owned(), directory.display().to_string()]).await;
                    }
                    let _ = std::fs::remove_dir_all(directory);
                }
            }
        }
    }
}

/// Where a server is whose state is in a directory.
fn url_of(directory: &Path) -> Url {
    let url = script::value(&directory.join("database.env"), "DATABASE_URL");
    url.parse().expect("a URL")
}

/// The newest of PostgreSQL's programs of this name: on Debian the servers' programs lie beside each other by version, and
/// those on the `PATH` only choose among them.
fn newest(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let found = versions.flatten().filter_map(|version| {
        let number: u32 = version.file_name().to_str()?.parse().ok()?;
        let program = version.path().join("bin").join(name);
        program.is_file().then_some((number, program))
    });
    found
        .max()
        .map_or_else(|| PathBuf::from(name), |(_, program)| program)
}

async fn connect(url: &Url) -> Client {
    let connected = tokio_postgres::connect(url.as_str(), NoTls).await;
    let (client, connection) =
        connected.unwrap_or_else(|error| panic!("cannot reach the test database: {error:?}"));
    tokio::spawn(connection);
    client
}

async fn execute(client: &Client, statement: &str) {
    client
        .batch_execute(statement)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
}
