//! Which PostgreSQL and RabbitMQ a system shares with others.

use std::path::{Path, PathBuf};

use url::Url;

use super::{script, test_variable};

/// The servers on which a system gets a database and a virtual host of its own.
#[derive(Clone, Debug)]
pub struct Servers {
    /// A database in which others can be created.
    pub database: Url,
    /// Where the broker speaks AMQP.
    pub amqp: Url,
    /// The broker's management API, with its user and password.
    pub management: Url,
    /// A directory for logs and other files.
    pub scratch: PathBuf,
}

impl Servers {
    /// Those that `database.sh` and `broker.sh` have started, by the files that these wrote.
    ///
    /// # Panics
    /// When a file or a value is missing.
    pub fn started(database: &Path, broker: &Path, scratch: &Path) -> Self {
        let url = |file: &Path, name: &str| script::value(file, name).parse().expect("a URL");
        Self {
            database: url(database, "DATABASE_URL"),
            amqp: url(broker, "AMQP_URL"),
            management: url(broker, "MANAGEMENT_URL"),
            scratch: scratch.to_owned(),
        }
    }

    /// Those that `make test` starts.
    ///
    /// # Panics
    /// Without the variables that it sets.
    pub(super) fn of_the_tests() -> Self {
        let url = |name: &str| test_variable(name).parse().expect("a URL");
        Self {
            database: url("PLUMBLINE_TEST_DATABASE_URL"),
            amqp: url("PLUMBLINE_TEST_AMQP_URL"),
            management: url("PLUMBLINE_TEST_AMQP_MANAGEMENT_URL"),
            scratch: test_variable("PLUMBLINE_TEST_SCRATCH").into(),
        }
    }
}
