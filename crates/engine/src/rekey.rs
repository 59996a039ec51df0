//! Rotating the master key while everything runs: secrets sealed by older keys are sealed anew by the first one.

use std::collections::BTreeMap;
use std::time::Duration;

use plumbline_domain::{EndpointId, TenantId};
use plumbline_store::secrets::{SealedKind, Vault, sealed};

use crate::administration::Administration;
use crate::assembly::SettingError;
use crate::{Error, story};

/// Secrets sealed anew in one statement.
const BATCH: usize = 200;
/// How long somebody who is changing a secret is left alone before it is looked at again.
const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// How often everything is looked through at most, for what somebody was just changing.
const PASSES_MAX: u32 = 50;
/// Endpoints named whose secrets do not open.
const NAMED_MAX: usize = 20;

/// The master keys, of which the first encrypts.
#[derive(Debug, Clone)]
pub struct MasterKeys(Vault);

impl MasterKeys {
    /// Read them as the services do.
    ///
    /// # Errors
    /// [`SettingError::MasterKeys`].
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        Vault::parse(text)
            .map(Self)
            .map_err(|error| SettingError::MasterKeys(story(&error)))
    }
}

/// How the secrets stand after a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rekeyed {
    /// The key that encrypts.
    pub key: String,
    /// Secrets sealed anew now.
    pub sealed: u64,
    /// Secrets by the key that has sealed them.
    pub by_key: BTreeMap<String, u64>,
    /// Given keys that no secret needs any more.
    pub removable: Vec<String>,
    /// Secrets that could not be opened, and so stay as they are.
    pub unopened: u64,
    /// Some of their endpoints, with the key that sealed them.
    pub examples: Vec<(TenantId, EndpointId, String)>,
}

impl Administration {
    /// Seal every secret anew that another key than the first has sealed. `progress` hears how many are done, of about how
    /// many. Repeated, it goes on where it was; a secret that somebody changes meanwhile is as they left it.
    ///
    /// # Errors
    /// [`Error::Unavailable`]. What was done stays done.
    pub async fn rekey(
        &self,
        keys: &MasterKeys,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Rekeyed, Error> {
        let MasterKeys(vault) = keys;
        let key = vault.encrypting_key();
        let session = self.store().session().await?;
        let by_key = sealed::count_by_key(&session).await?;
        let total: u64 = by_key
            .iter()
            .filter(|(id, _)| *id != key)
            .map(|(_, count)| count)
            .sum();
        let mut done = 0;
        let (mut unopened, mut examples) = (0, vec![]);
        for _ in 0..PASSES_MAX {
            let mut busy = false;
            (unopened, examples) = (0, vec![]);
            for kind in SealedKind::ALL {
                let mut after = 0;
                loop {
                    let page = sealed::page(&session, kind, Some(key), after, BATCH).await?;
                    let Some(last) = page.last() else { break };
                    after = last.id;
                    let mut anew = Vec::with_capacity(page.len());
                    for row in page {
                        match vault.seal_anew(kind, &row.sealed, row.tenant, row.endpoint) {
                            Ok(sealed) => anew.push((row, sealed)),
                            Err(_) => {
                                unopened += 1;
                                if examples.len() < NAMED_MAX {
                                    examples.push((row.tenant, row.endpoint, row.sealed.master_key_id));
                                }
                            }
                        }
                    }
                    if anew.is_empty() {
                        continue;
                    }
                    let replaced = sealed::replace(&session, kind, &anew).await?;
                    busy |= replaced < anew.len() as u64;
                    done += replaced;
                    progress(done, total.max(done));
                }
            }
            if !busy {
                break;
            }
            tokio::time::sleep(BUSY_PAUSE).await;
        }
        let by_key = sealed::count_by_key(&session).await?;
        let removable = vault
            .key_ids()
            .filter(|id| *id != key && !by_key.contains_key(*id))
            .map(str::to_owned)
            .collect();
        Ok(Rekeyed {
            key: key.to_owned(),
            sealed: done,
            by_key,
            removable,
            unopened,
            examples,
        })
    }
}
