//! A tenant's end, while the services run.

use std::time::Duration;

use plumbline_domain::TenantId;
use plumbline_store::deletion::{self, Holding};
use plumbline_store::{Session, StoreError, tenants};

use crate::Error;
use crate::administration::Administration;
use crate::authentication::KEY_FRESH;
use crate::endpoints::ENDPOINTS_FRESH;

/// Rows deleted in one statement.
const BATCH: usize = 5_000;
/// How long an attempt may take to be recorded when its answer has come.
const RECORDED_WITHIN: Duration = Duration::from_secs(2);
/// How often a statement that collided with another is repeated.
const TRIES_MAX: u32 = 20;

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeletedTenant {
    /// Its name; `None` when only leftovers of an earlier deletion were found.
    pub name: Option<String>,
    /// Rows, by table; tables without any are left out.
    pub rows: Vec<(&'static str, u64)>,
}

impl Administration {
    /// A tenant's name.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Unavailable`].
    pub async fn tenant_name(&self, tenant: TenantId) -> Result<String, Error> {
        tenants::get(&self.store().session().await?, tenant)
            .await?
            .map(|found| found.name)
            .ok_or(Error::NotFound("tenant"))
    }

    /// Delete a tenant with everything that is its own. Broken off at any point, it goes on when it is repeated.
    ///
    /// First nobody gets in and nothing is sent any more; when what was in flight has ended, within `attempt_timeout` and
    /// a few seconds, the rows are deleted in batches, the tenant last, and then what was being written meanwhile.
    /// Messages in the queues find nothing when they arrive, and end.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Unavailable`].
    pub async fn delete_tenant(
        &self,
        tenant: TenantId,
        attempt_timeout: Duration,
        mut progress: impl FnMut(&'static str, u64),
    ) -> Result<DeletedTenant, Error> {
        let mut deleted = DeletedTenant::default();
        let session = self.store().session().await?;
        let found = tenants::get(&session, tenant).await?;
        if let Some(found) = found {
            deleted.name = Some(found.name);
            progress("api_keys and users", deletion::lock_out(&session, tenant).await?);
            let change = self.store().begin().await?;
            tenants::bump_endpoints_version(&change, tenant).await?;
            deletion::delete_endpoints(&change, tenant).await?;
            change.commit().await?;
            let fresh = KEY_FRESH.max(ENDPOINTS_FRESH);
            tokio::time::sleep(fresh + attempt_timeout + RECORDED_WITHIN).await;
            for holding in Holding::ALL {
                deleted.empty(&session, tenant, holding, &mut progress).await?;
            }
            patiently(async || deletion::delete_tenant(&session, tenant).await).await?;
        }
        for holding in Holding::UNTIED {
            deleted.empty(&session, tenant, holding, &mut progress).await?;
        }
        if deleted == DeletedTenant::default() {
            return Err(Error::NotFound("tenant"));
        }
        Ok(deleted)
    }
}

impl DeletedTenant {
    async fn empty(
        &mut self,
        session: &Session,
        tenant: TenantId,
        holding: Holding,
        progress: &mut impl FnMut(&'static str, u64),
    ) -> Result<(), StoreError> {
        loop {
            let rows =
                patiently(async || deletion::delete_some(session, tenant, holding, BATCH).await).await?;
            if rows == 0 {
                return Ok(());
            }
            let table = holding.table();
            match self.rows.iter_mut().find(|(known, _)| *known == table) {
                Some((_, count)) => *count += rows,
                None => self.rows.push((table, rows)),
            }
            progress(table, rows);
        }
    }
}

/// What collides with somebody else's statement is repeated: the services go on working.
async fn patiently<T>(mut work: impl AsyncFnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mut tries = 1;
    loop {
        match work().await {
            Err(StoreError::Retry(_)) if tries < TRIES_MAX => tries += 1,
            result => return result,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
