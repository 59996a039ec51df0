//! A test's database: one of its own on the shared server, or a server of its own.

use std::path::{Path, PathBuf};

use tokio_postgres::{Client, NoTls};
use url::Url;

use super::script;

/// A database that only one test uses.
#[derive(Debug)]
pub struct Database {
    url: Url,
    home: Home,
}

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
            url,
            home: Home::Shared {
                server: server.clone(),
                name,
            },
        }
    }

    pub(super) async fn private(script: String, directory: &Path) -> Self {
        let home = Home::Private {
            script,
            directory: directory.to_owned(),
        };
        let mut database = Self {
            url: "postgres://nowhere".parse().expect("a URL"),
            home,
        };
        database.start().await;
        database.url = script::value(&directory.join("database.env"), "DATABASE_URL")
            .parse()
            .expect("a URL");
        database
    }

    /// Where it is.
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// A connection for a test's own questions.
    ///
    /// # Panics
    /// When there is none to be had.
    pub async fn connect(&self) -> Client {
        connect(&self.url).await
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
        // It survives a killed server but not a lost machine, and nobody pulls the plug during a test.
        self.private_script("start", &["fsync=off", "max_connections=100"])
            .await;
    }

    async fn private_script(&self, verb: &str, extra: &[&str]) {
        let Home::Private { script, directory } = &self.home else {
            panic!("the database server is shared")
        };
        let mut arguments = vec![verb.to_owned(), directory.display().to_string()];
        arguments.extend(extra.iter().map(|&argument| argument.to_owned()));
        script::run(script, arguments).await;
    }

    /// The logs of a private server.
    pub(super) fn logs(&self) -> Vec<PathBuf> {
        match &self.home {
            Home::Shared { .. } => vec![],
            Home::Private { directory, .. } => vec![directory.join("postgres.log")],
        }
    }

    pub(super) async fn remove(&self) {
        match &self.home {
            Home::Shared { server, name } => {
                let drop = format!(r#"DROP DATABASE IF EXISTS "{name}" WITH (FORCE)"#);
                execute(&connect(server).await, &drop).await;
            }
            Home::Private { directory, .. } => {
                self.kill().await;
                self.private_script("wipe", &[]).await;
                let _ = std::fs::remove_dir_all(directory);
            }
        }
    }
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
