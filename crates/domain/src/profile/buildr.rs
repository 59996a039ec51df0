//! Buildr: a thin body that points to the resource, and svix's headers.

use std::num::NonZeroU32;

use bytes::Bytes;

use super::Header;
use super::standard::{self, Names};
use crate::json::push_string;
use crate::signing::Signer;
use crate::{Event, ResourceUrls, Timestamp};

/// Requests per minute where the customer names no limit (S2-10).
pub(super) const RATE_LIMIT_DEFAULT: NonZeroU32 = NonZeroU32::new(60).expect("not zero");

/// What Buildr calls the canonical types (S2-12, and the two of projects that its other pages name).
const SPELLINGS: [(&str, &str); 8] = [
    ("contact.create", "contact.created"),
    ("contact.update", "contact.updated"),
    ("opportunity.create", "opportunity.created"),
    ("opportunity.update", "opportunity.updated"),
    ("company.create", "company.created"),
    ("company.update", "company.updated"),
    ("project.create", "project.created"),
    ("project.update", "project.updated"),
];

const NAMES: Names = Names {
    id: "svix-id",
    timestamp: "svix-timestamp",
    signature: "svix-signature",
};

pub(super) fn canonical(name: &str) -> Option<&'static str> {
    let found = SPELLINGS.iter().find(|(spelling, _)| *spelling == name);
    found.map(|(_, canonical)| *canonical)
}

pub(super) fn spelling(canonical: &str) -> Option<&'static str> {
    let found = SPELLINGS.iter().find(|(_, name)| *name == canonical);
    found.map(|(spelling, _)| *spelling)
}

/// Exactly `{"id","url"}` (S2-11): `id` as the data has it, or null; `url` from the data where it is a string, else
/// where the tenant's resources live.
pub(super) fn body(event: &Event, urls: &ResourceUrls) -> Bytes {
    let id = event.data.member("id");
    let mut out = String::with_capacity(128);
    out.push_str(r#"{"id":"#);
    out.push_str(id.unwrap_or("null"));
    out.push_str(r#","url":"#);
    match event.data.member("url").filter(|value| value.starts_with('"')) {
        Some(url) => out.push_str(url),
        None => push_string(&mut out, &urls.of(&event.event_type, id)),
    }
    out.push('}');
    Bytes::from(out)
}

/// The type travels in a header of its own, because the body does not say it (G8).
pub(super) fn headers(event: &Event, signer: &Signer, body: &[u8], now: Timestamp) -> Vec<Header> {
    let name = super::Profile::Buildr.spelling(&event.event_type).to_owned();
    let mut headers = standard::headers(&NAMES, event, signer, body, now);
    headers.push(("Buildr-Event", name));
    headers
}

#[cfg(test)]
mod tests {
    use super::super::tests::event;
    use super::*;
    use crate::{KeyDerivation, SecretVersion, SigningSecret};

    fn rendered(event_type: &str, data: &str) -> String {
        let urls = ResourceUrls::new("https://example.com/{plural}/{id}");
        String::from_utf8(body(&event(event_type, data, None), &urls).to_vec()).expect("UTF-8")
    }

    #[test]
    fn s2_11_s3_02_the_body_is_an_id_and_a_url_and_nothing_else() {
        let page = r#"{"id":2279,"url":"https://example.com/opportunities/2279"}"#;
        for data in [
            r#"{"id":2279,"name":"A","url":"https://example.com/opportunities/2279"}"#,
            r#"{ "url" : null, "name": "{\"id\":1}", "id" : 2279 }"#,
            r#"{"id":2279}"#,
        ] {
            assert_eq!(rendered("opportunity.created", data), page, "{data}");
        }
        assert_eq!(
            rendered("company.updated", r#"{"id":"a b/\u00e9"}"#),
            r#"{"id":"a b/\u00e9","url":"https://example.com/companies/a%20b%2F%C3%A9"}"#
        );
        assert_eq!(
            rendered("contact.created", "{}"),
            r#"{"id":null,"url":"https://example.com/contacts/"}"#
        );
    }

    #[test]
    fn s2_12_the_six_types_and_the_two_of_projects_have_their_own_spelling() {
        for (ours, theirs) in [
            ("contact.created", "contact.create"),
            ("company.updated", "company.update"),
            ("project.updated", "project.update"),
        ] {
            assert_eq!(spelling(ours), Some(theirs));
            assert_eq!(canonical(theirs), Some(ours));
        }
        assert_eq!(canonical("contact.created"), None, "not Buildr's word");
        assert_eq!(spelling("bid.created"), None);
    }

    #[test]
    fn s2_08_s2_13_g4_g8_headers_with_and_without_a_secret() {
        let event = event("opportunity.created", r#"{"id":1}"#, None);
        let names = |signer: &Signer| -> Vec<&str> {
            let headers = headers(&event, signer, b"{}", event.occurred_at);
            assert_eq!(headers[0].1, event.id.to_string());
            assert_eq!(headers[1].1, event.occurred_at.as_second().to_string());
            let name = &headers.last().expect("not empty").1;
            assert_eq!(name, "opportunity.create");
            headers.into_iter().map(|(name, _)| name).collect()
        };
        let unsigned = Signer::new(&[]).expect("nothing to decode");
        assert_eq!(names(&unsigned), ["svix-id", "svix-timestamp", "Buildr-Event"]);
        let secret = SecretVersion {
            secret: SigningSecret::from_text("secret".to_owned()),
            derivation: KeyDerivation::Base64,
            activates_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
        };
        let signed = Signer::new(&[secret]).expect("decodable");
        assert_eq!(
            names(&signed),
            ["svix-id", "svix-timestamp", "svix-signature", "Buildr-Event"]
        );
    }
}
