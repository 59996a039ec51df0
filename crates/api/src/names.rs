//! How the engine learns where a host name leads, when an endpoint is registered.

use std::net::IpAddr;

use async_trait::async_trait;
use plumbline_engine::ResolveName;
use plumbline_runtime::dns::Resolver;

/// Names as DNS answers them now.
pub(crate) struct Names(pub(crate) Resolver);

#[async_trait]
impl ResolveName for Names {
    async fn addresses(&self, name: &str) -> Vec<IpAddr> {
        match self.0.lookup(name).await {
            Ok(addresses) => addresses,
            Err(error) => {
                // What does not resolve now is accepted: every dial asks again.
                tracing::debug!(%error, "an endpoint's name does not resolve now");
                vec![]
            }
        }
    }
}
