//! A tenant's own settings.

use plumbline_domain::ResourceUrls;
use plumbline_store::tenants;

use crate::{Error, Unit};

/// What to change; `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct SettingsChanges {
    /// Where a thin event's resource lives, or nothing that the tenant says.
    pub resource_url_template: Option<Option<String>>,
}

impl Unit {
    /// Change the tenant's settings; returns the tenant as it is now. Dispatchers that keep the tenant's endpoints are
    /// told by a new version of them.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::NotFound`] for the tenant.
    pub async fn update_settings(&mut self, changes: SettingsChanges) -> Result<tenants::Tenant, Error> {
        let template = match changes.resource_url_template {
            None => None,
            Some(None) => Some(None),
            Some(Some(text)) => {
                let parsed = ResourceUrls::parse(&text)
                    .map_err(|error| Error::invalid("resourceUrlTemplate", "invalid", error.to_string()))?;
                Some(Some(parsed))
            }
        };
        tenants::lock(&self.session, self.tenant).await?;
        let missing = || Error::NotFound("tenant");
        let tenant = tenants::get(&self.session, self.tenant)
            .await?
            .ok_or_else(missing)?;
        let Some(template) = template else {
            return Ok(tenant);
        };
        let text = template.as_ref().map(|template| template.as_str().to_owned());
        if text == tenant.resource_url_template {
            return Ok(tenant);
        }
        tenants::bump_endpoints_version(&self.session, self.tenant).await?;
        tenants::set_resource_url_template(&self.session, self.tenant, template.as_ref()).await?;
        Ok(tenants::Tenant {
            resource_url_template: text,
            ..tenant
        })
    }
}
