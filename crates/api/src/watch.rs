//! What the process needs, looked at about once a second: readiness and the figures that others keep.

use std::time::Duration;

use plumbline_engine::Engine;
use plumbline_runtime::admin::{Readiness, ReadyFlag};
use plumbline_runtime::shutdown::Shutdown;
use tokio::time::{sleep, timeout};

use crate::figures::Figures;

/// Between two looks, before it is spread so that replicas do not look in step.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The longest that a look at the database may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// Keeps readiness and figures up to date.
pub(crate) struct Watch {
    pub(crate) engine: Engine,
    pub(crate) figures: Figures,
    pub(crate) database: ReadyFlag,
    pub(crate) broker: ReadyFlag,
}

impl Watch {
    /// A watch whose checks appear in `readiness` at once.
    pub(crate) fn new(engine: Engine, figures: Figures, readiness: &Readiness) -> Self {
        Self {
            engine,
            figures,
            database: readiness.check("database"),
            broker: readiness.check("broker"),
        }
    }

    /// Look until the stop. Looks at the database only from `migrated` on: before that, it is not ready anyway.
    pub(crate) async fn run(self, migrated: Shutdown, stop: Shutdown) {
        let looking = async {
            loop {
                self.look_at_broker();
                if migrated.is_requested() {
                    self.look_at_database().await;
                }
                sleep(LOOK_EVERY.mul_f64(rand::random_range(0.75..1.25))).await;
            }
        };
        tokio::select! {
            () = stop.requested() => {}
            () = looking => {}
        }
    }

    fn look_at_broker(&self) {
        match self.engine.broker_status() {
            Ok(()) => self.broker.set_ready(),
            Err(reason) => self.broker.set_not_ready(reason),
        }
    }

    async fn look_at_database(&self) {
        let look = async {
            self.engine.ping_database().await?;
            self.engine.outbox_age().await
        };
        match timeout(LOOK_TIMEOUT, look).await {
            Ok(Ok(age)) => {
                self.figures.outbox_age(age);
                self.database.set_ready();
            }
            Ok(Err(error)) => {
                self.database.set_not_ready(plumbline_engine::story(&error));
            }
            Err(_) => {
                self.database
                    .set_not_ready(format!("no answer within {} seconds", LOOK_TIMEOUT.as_secs()));
            }
        }
    }
}
