//! Who may do what: one table for API keys and users.

use std::collections::BTreeSet;
use std::fmt;

use crate::{ApiKeyId, TenantId, UserId};

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What an API key may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Scope {
            $($(#[$doc])* $name,)*
        }

        impl Scope {
            /// Every scope.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The scope as keys carry it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

scopes! {
    /// Everything under `webhook-*` (S0-38).
    WebhooksManage = "webhooks:manage",
    /// Publish events.
    EventsWrite = "events:write",
    /// List and read events.
    EventsRead = "events:read",
    /// Define the tenant's own event types.
    EventTypesWrite = "event_types:write",
    /// List and read contacts.
    ContactsRead = "contacts:read",
    /// Create and change contacts.
    ContactsWrite = "contacts:write",
    /// List and read companies.
    CompaniesRead = "companies:read",
    /// Create and change companies.
    CompaniesWrite = "companies:write",
    /// List and read opportunities.
    OpportunitiesRead = "opportunities:read",
    /// Create and change opportunities.
    OpportunitiesWrite = "opportunities:write",
    /// List and read projects.
    ProjectsRead = "projects:read",
    /// Create and change projects, their status included.
    ProjectsWrite = "projects:write",
    /// List and read bids.
    BidsRead = "bids:read",
    /// Create and change bids, and note that one was viewed.
    BidsWrite = "bids:write",
    /// Send bids.
    BidsSend = "bids:send",
    /// Accept and reject bids.
    BidsAcceptReject = "bids:accept_reject",
    /// List and read pay applications.
    PayAppsRead = "pay_apps:read",
    /// Create, change and submit pay applications.
    PayAppsWrite = "pay_apps:write",
    /// Approve pay applications.
    PayAppsApprove = "pay_apps:approve",
    /// List and read change orders.
    ChangeOrdersRead = "change_orders:read",
    /// Create, change and submit change orders, and add items.
    ChangeOrdersWrite = "change_orders:write",
    /// Approve change orders.
    ChangeOrdersApprove = "change_orders:approve",
}

impl Scope {
    /// The scope of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an API key was given: some scopes, or all that there are and will be (`*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scopes {
    /// `*`.
    All,
    /// These only; never empty.
    Some(BTreeSet<Scope>),
}

/// The text is not a list of scopes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScopes {
    /// Nothing was given.
    #[error("no scope given: use `*` for all, or some of: {known}", known = known_scopes())]
    Empty,
    /// No such scope.
    #[error("`{0}` is not a scope: use `*` for all, or some of: {known}", known = known_scopes())]
    Unknown(String),
}

fn known_scopes() -> String {
    Scope::ALL
        .iter()
        .map(|scope| scope.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

impl Scopes {
    /// Read scope names; `*` among them is all.
    ///
    /// # Errors
    /// [`InvalidScopes`] when there is none, or one is unknown.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidScopes> {
        let mut scopes = BTreeSet::new();
        let mut all = false;
        for name in names {
            match (name, Scope::parse(name)) {
                ("*", _) => all = true,
                (_, Some(scope)) => {
                    scopes.insert(scope);
                }
                (_, None) => return Err(InvalidScopes::Unknown(name.escape_debug().to_string())),
            }
        }
        match (all, scopes.is_empty()) {
            (true, _) => Ok(Self::All),
            (false, true) => Err(InvalidScopes::Empty),
            (false, false) => Ok(Self::Some(scopes)),
        }
    }

    /// Whether this scope was given.
    pub fn contains(&self, scope: Scope) -> bool {
        match self {
            Self::All => true,
            Self::Some(scopes) => scopes.contains(&scope),
        }
    }

    /// The names, as they were given.
    pub fn names(&self) -> Vec<&'static str> {
        match self {
            Self::All => vec!["*"],
            Self::Some(scopes) => scopes.iter().map(|scope| scope.as_str()).collect(),
        }
    }
}

/// What a user is in their tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// May do everything of the tenant (S0-39).
    CompanyAdmin,
    /// Reads.
    Member,
}

impl Role {
    /// The role as the API and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CompanyAdmin => "company_admin",
            Self::Member => "member",
        }
    }

    /// The role of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::CompanyAdmin, Self::Member]
            .into_iter()
            .find(|role| role.as_str() == name)
    }
}

/// Who a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// An API key of a tenant.
    Key {
        /// Its tenant.
        tenant: TenantId,
        /// Which key.
        key: ApiKeyId,
        /// What it may do.
        scopes: Scopes,
    },
    /// A signed-in person of a tenant.
    User {
        /// Their tenant.
        tenant: TenantId,
        /// Who.
        user: UserId,
        /// What they are.
        role: Role,
    },
}

/// What a request wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Look at something.
    Read,
    /// Change something.
    Write,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The key lacks a scope.
    #[error("the API key lacks the scope `{0}`")]
    Scope(Scope),
    /// The user's role does not allow it.
    #[error("this needs the role `company_admin`")]
    Role,
    /// Only a signed-in user may, whatever a key's scopes.
    #[error(
        "an API key cannot do this, whatever its scopes: a signed-in user with the role `company_admin` alone manages \
         API keys and users"
    )]
    Key,
}

impl Principal {
    /// The tenant that everything happens in.
    pub fn tenant(&self) -> TenantId {
        match self {
            Self::Key { tenant, .. } | Self::User { tenant, .. } => *tenant,
        }
    }

    /// The permission table: a key needs the scope; an admin may everything; a member may read.
    ///
    /// # Errors
    /// [`Denied`], saying what is missing.
    pub fn require(&self, scope: Scope, access: Access) -> Result<(), Denied> {
        match self {
            Self::Key { scopes, .. } if scopes.contains(scope) => Ok(()),
            Self::Key { .. } => Err(Denied::Scope(scope)),
            Self::User {
                role: Role::CompanyAdmin,
                ..
            } => Ok(()),
            Self::User {
                role: Role::Member, ..
            } if access == Access::Read => Ok(()),
            Self::User {
                role: Role::Member, ..
            } => Err(Denied::Role),
        }
    }

    /// The row of the table without a scope: API keys and users are managed by an admin and seen by a member; a key
    /// can do neither, so that a leaked one makes no others.
    ///
    /// # Errors
    /// [`Denied`], saying what is missing.
    pub fn require_accounts(&self, access: Access) -> Result<(), Denied> {
        match (self, access) {
            (Self::Key { .. }, _) => Err(Denied::Key),
            (
                Self::User {
                    role: Role::CompanyAdmin,
                    ..
                },
                _,
            )
            | (
                Self::User {
                    role: Role::Member, ..
                },
                Access::Read,
            ) => Ok(()),
            (
                Self::User {
                    role: Role::Member, ..
                },
                Access::Write,
            ) => Err(Denied::Role),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_read_back_and_unknown_ones_are_named() {
        let all: Vec<_> = Scope::ALL.iter().map(|s| s.as_str()).collect();
        assert_eq!(
            Scopes::parse(all.iter().copied()).map(|s| s.names().len()),
            Ok(Scope::ALL.len())
        );
        assert_eq!(Scopes::parse(["*", "events:write"]), Ok(Scopes::All));
        assert_eq!(Scopes::parse([]), Err(InvalidScopes::Empty));
        assert_eq!(
            Scopes::parse(["events:fly"]),
            Err(InvalidScopes::Unknown("events:fly".to_owned()))
        );
    }

    #[test]
    fn s0_07_s0_38_s0_39_the_permission_table() {
        let tenant = TenantId(1);
        let key = |scopes| Principal::Key {
            tenant,
            key: ApiKeyId(1),
            scopes,
        };
        let user = |role| Principal::User {
            tenant,
            user: UserId(1),
            role,
        };
        let events = Scopes::parse(["events:write"]).expect("valid");
        for (who, access, allowed) in [
            (key(Scopes::All), Access::Write, Ok(())),
            (
                key(events),
                Access::Write,
                Err(Denied::Scope(Scope::WebhooksManage)),
            ),
            (user(Role::CompanyAdmin), Access::Write, Ok(())),
            (user(Role::Member), Access::Read, Ok(())),
            (user(Role::Member), Access::Write, Err(Denied::Role)),
        ] {
            assert_eq!(who.require(Scope::WebhooksManage, access), allowed, "{who:?}");
        }
        for (who, access, allowed) in [
            (key(Scopes::All), Access::Read, Err(Denied::Key)),
            (key(Scopes::All), Access::Write, Err(Denied::Key)),
            (user(Role::CompanyAdmin), Access::Read, Ok(())),
            (user(Role::CompanyAdmin), Access::Write, Ok(())),
            (user(Role::Member), Access::Read, Ok(())),
            (user(Role::Member), Access::Write, Err(Denied::Role)),
        ] {
            assert_eq!(who.require_accounts(access), allowed, "{who:?} {access:?}");
        }
        assert_eq!(user(Role::Member).tenant(), tenant);
        assert_eq!(Role::parse("company_admin"), Some(Role::CompanyAdmin));
    }
}
