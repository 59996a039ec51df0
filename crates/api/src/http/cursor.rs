//! Page cursors: where a list went on, signed so that nobody makes one up or carries it elsewhere.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use plumbline_domain::TenantId;
use sha2::Sha256;

use super::Failure;

/// The longest cursor that is looked at, in characters; ours are shorter.
const CURSOR_CHARS_MAX: usize = 400;
/// Bytes of the signature that a cursor carries.
const SIGNATURE_BYTES: usize = 16;

/// A list that is read page by page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListKind {
    /// A tenant's endpoints.
    Endpoints,
    /// An endpoint's deliveries.
    Deliveries,
    /// A tenant's event types.
    EventTypes,
    /// A tenant's events.
    Events,
    /// A tenant's contacts.
    Contacts,
    /// A tenant's companies.
    Companies,
    /// A tenant's opportunities.
    Opportunities,
    /// A tenant's projects.
    Projects,
    /// A tenant's bids.
    Bids,
    /// A tenant's pay applications.
    PayApps,
    /// A tenant's change orders.
    ChangeOrders,
    /// A tenant's users.
    Users,
    /// A tenant's API keys.
    ApiKeys,
}

impl ListKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Endpoints => "endpoints",
            Self::Deliveries => "deliveries",
            Self::EventTypes => "event_types",
            Self::Events => "events",
            Self::Contacts => "contacts",
            Self::Companies => "companies",
            Self::Opportunities => "opportunities",
            Self::Projects => "projects",
            Self::Bids => "bids",
            Self::PayApps => "pay_apps",
            Self::ChangeOrders => "change_orders",
            Self::Users => "users",
            Self::ApiKeys => "api_keys",
        }
    }
}

/// Signs and opens cursors. Every replica has the same key.
pub(crate) struct Cursors {
    hmac: Hmac<Sha256>,
}

impl Cursors {
    /// Cursors of this key.
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self {
            hmac: Hmac::new_from_slice(&key).expect("HMAC takes keys of any length"),
        }
    }

    /// The cursor that goes on after `position`.
    pub(crate) fn seal(&self, tenant: TenantId, list: ListKind, position: impl Display) -> String {
        let position = position.to_string();
        let signature = self
            .signature(tenant, list, position.as_bytes())
            .finalize()
            .into_bytes();
        URL_SAFE_NO_PAD.encode([&signature[..SIGNATURE_BYTES], position.as_bytes()].concat())
    }

    /// The position of a cursor that this tenant got for this list.
    pub(crate) fn open<P: FromStr>(
        &self,
        tenant: TenantId,
        list: ListKind,
        cursor: &str,
    ) -> Result<P, Failure> {
        let refused = || {
            Failure::Malformed(
                "the cursor is not one that this list gave out: begin without one, and pass cursors on unchanged"
                    .to_owned(),
            )
        };
        if cursor.len() > CURSOR_CHARS_MAX {
            return Err(refused());
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| refused())?;
        let (signature, position) = bytes.split_at_checked(SIGNATURE_BYTES).ok_or_else(refused)?;
        self.signature(tenant, list, position)
            .verify_truncated_left(signature)
            .map_err(|_| refused())?;
        let position = std::str::from_utf8(position).map_err(|_| refused())?;
        position.parse().map_err(|_| refused())
    }

    fn signature(&self, tenant: TenantId, list: ListKind, position: &[u8]) -> Hmac<Sha256> {
        self.hmac
            .clone()
            .chain_update(format!("{}\n{tenant}\n", list.as_str()))
            .chain_update(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumbline_domain::EndpointId;

    const TENANT: TenantId = TenantId(17);

    #[test]
    fn a_cursor_opens_only_where_it_was_given_out() {
        let cursors = Cursors::new([1; 32]);
        let cursor = cursors.seal(TENANT, ListKind::Endpoints, EndpointId(42));
        let open = |cursors: &Cursors, tenant, list| cursors.open::<EndpointId>(tenant, list, &cursor).ok();
        assert_eq!(open(&cursors, TENANT, ListKind::Endpoints), Some(EndpointId(42)));
        assert_eq!(
            open(&cursors, TenantId(18), ListKind::Endpoints),
            None,
            "another tenant's"
        );
        assert_eq!(open(&cursors, TENANT, ListKind::Events), None, "another list's");
        assert_eq!(
            open(&Cursors::new([2; 32]), TENANT, ListKind::Endpoints),
            None,
            "another key's"
        );
    }

    #[test]
    fn a_cursor_that_was_tampered_with_is_refused() {
        let cursors = Cursors::new([1; 32]);
        let cursor = cursors.seal(TENANT, ListKind::Endpoints, EndpointId(42));
        let mut forged: Vec<String> = (0..cursor.len())
            .map(|at| {
                let mut bytes = cursor.clone().into_bytes();
                bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
                String::from_utf8(bytes).expect("ASCII")
            })
            .collect();
        forged.extend([
            String::new(),
            "42".to_owned(),
            format!("{cursor}A"),
            "=".repeat(24),
            "A".repeat(10_000),
        ]);
        forged.push(cursor[..cursor.len() - 1].to_owned());
        for forged in forged {
            let opened = cursors.open::<EndpointId>(TENANT, ListKind::Endpoints, &forged);
            assert!(matches!(opened, Err(Failure::Malformed(_))), "{forged}");
        }
    }
}
