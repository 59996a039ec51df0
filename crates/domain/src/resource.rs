//! Where a tenant's resources live, for events that only point to them.

use std::fmt::Write as _;
use std::sync::Arc;

use url::Url;

use crate::EventType;
use crate::json::unquoted;

/// The longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 2_048;

/// A template such as `https://app.example.com/{plural}/{id}` and how it is filled in. Cloning is cheap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceUrls {
    template: Arc<str>,
}

/// The text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// Longer than [`TEMPLATE_BYTES_MAX`].
    #[error("has more than {TEMPLATE_BYTES_MAX} bytes: shorten it")]
    TooLong,
    /// Not an http or https URL, or one with a user name.
    #[error("is not an http or https URL such as https://app.example.com/{{plural}}/{{id}}")]
    NotAUrl,
    /// `{id}` does not appear.
    #[error("does not contain {{id}}, so that every resource would have the same URL: add it")]
    NoId,
    /// Something else in braces, or a brace alone.
    #[error("`{0}` is not known: use {{id}}, {{plural}} (such as contacts) and {{type}} (such as contact)")]
    Unknown(String),
}

impl ResourceUrls {
    /// A template that was checked, or that the operator's settings make up.
    pub fn new(template: impl Into<Arc<str>>) -> Self {
        Self {
            template: template.into(),
        }
    }

    /// Resources below the URL at which customers reach the service: `<public_url>/{plural}/{id}`.
    pub fn below(public_url: Option<&str>) -> Self {
        Self::new(format!(
            "{}/{{plural}}/{{id}}",
            public_url.unwrap_or_default().trim_end_matches('/')
        ))
    }

    /// Check a template that a customer asks for.
    ///
    /// # Errors
    /// [`InvalidTemplate`]; the message says the remedy.
    pub fn parse(template: &str) -> Result<Self, InvalidTemplate> {
        if template.len() > TEMPLATE_BYTES_MAX {
            return Err(InvalidTemplate::TooLong);
        }
        let mut has_id = false;
        let mut filled = String::new();
        for piece in pieces(template) {
            match piece {
                Piece::Text(text) if text.contains(['{', '}']) => {
                    return Err(InvalidTemplate::Unknown(text.escape_debug().to_string()));
                }
                Piece::Text(text) => filled.push_str(text),
                Piece::Hole(name) => {
                    match name {
                        "id" => has_id = true,
                        "plural" | "type" => {}
                        _ => {
                            let name = name.escape_debug();
                            return Err(InvalidTemplate::Unknown(format!("{{{name}}}")));
                        }
                    }
                    filled.push('x');
                }
            }
        }
        let url = Url::parse(&filled).map_err(|_| InvalidTemplate::NotAUrl)?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none();
        match (plain, has_id) {
            (false, _) => Err(InvalidTemplate::NotAUrl),
            (true, false) => Err(InvalidTemplate::NoId),
            (true, true) => Ok(Self::new(template)),
        }
    }

    /// The URL of the resource that an event of this type is about. `id` is the raw JSON of its id; what is neither
    /// a number nor a string leaves its place empty.
    pub fn of(&self, event_type: &EventType, id: Option<&str>) -> String {
        let noun = event_type.as_str().split('.').next().unwrap_or_default();
        let mut url = String::with_capacity(self.template.len() + 16);
        for piece in pieces(&self.template) {
            match piece {
                Piece::Text(text) => url.push_str(text),
                Piece::Hole("id") => push_encoded(&mut url, &id.map(scalar).unwrap_or_default()),
                Piece::Hole("plural") => url.push_str(&plural(noun)),
                Piece::Hole(_) => url.push_str(noun),
            }
        }
        url
    }
}

enum Piece<'a> {
    Text(&'a str),
    Hole(&'a str),
}

/// Text and holes in turn; an opening brace without a closing one stays text.
fn pieces(template: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some((name, after)) = rest.strip_prefix('{').and_then(|hole| hole.split_once('}')) {
            rest = after;
            return Some(Piece::Hole(name));
        }
        let end = rest[1..].find('{').map_or(rest.len(), |at| at + 1);
        let (text, after) = rest.split_at(end);
        rest = after;
        Some(Piece::Text(text))
    })
}

fn scalar(json: &str) -> String {
    match json.as_bytes().first() {
        Some(b'"') => unquoted(json),
        Some(b'0'..=b'9' | b'-') => json.to_owned(),
        _ => String::new(),
    }
}

/// As a path segment: everything but RFC 3986's unreserved characters is percent-encoded.
fn push_encoded(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

/// The regular English plural: `companies`, `addresses`, `contacts`.
fn plural(noun: &str) -> String {
    let ends_in_consonant_y = noun
        .strip_suffix('y')
        .filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u']) && !stem.is_empty());
    match ends_in_consonant_y {
        Some(stem) => format!("{stem}ies"),
        None if ["s", "x", "ch", "sh"].iter().any(|end| noun.ends_with(end)) => format!("{noun}es"),
        None => format!("{noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_in() {
        let of = |template: &str, event_type: &str, id: Option<&str>| {
            let event_type = event_type.parse().expect("a name");
            ResourceUrls::new(template).of(&event_type, id)
        };
        let page = "https://example.com/{plural}/{id}";
        for (event_type, id, url) in [
            (
                "opportunity.created",
                Some("2279"),
                "https://example.com/opportunities/2279",
            ),
            (
                "company.updated",
                Some(r#""a/b""#),
                "https://example.com/companies/a%2Fb",
            ),
            (
                "address.created",
                Some("-1.5e3"),
                "https://example.com/addresses/-1.5e3",
            ),
            ("pay_app.approved", Some("{}"), "https://example.com/pay_apps/"),
            ("survey.done", None, "https://example.com/surveys/"),
        ] {
            assert_eq!(of(page, event_type, id), url);
        }
        assert_eq!(of("{type}:{id}", "contact.created", Some("5")), "contact:5");
        assert_eq!(
            ResourceUrls::below(Some("https://hooks.example.com/"))
                .of(&"bid.created".parse().expect("a name"), Some("1")),
            "https://hooks.example.com/bids/1"
        );
    }

    #[test]
    fn a_template_that_cannot_work_is_refused_with_the_remedy() {
        assert!(ResourceUrls::parse("https://app.example.com/{plural}/{id}?from={type}").is_ok());
        for (template, error) in [
            ("https://app.example.com/{plural}", InvalidTemplate::NoId),
            ("/contacts/{id}", InvalidTemplate::NotAUrl),
            ("ftp://example.com/{id}", InvalidTemplate::NotAUrl),
            ("https://user@example.com/{id}", InvalidTemplate::NotAUrl),
            ("javascript:alert({id})", InvalidTemplate::NotAUrl),
            (
                "https://example.com/{id}/{nonsense}",
                InvalidTemplate::Unknown("{nonsense}".to_owned()),
            ),
        ] {
            assert_eq!(ResourceUrls::parse(template), Err(error), "{template}");
        }
        assert!(matches!(
            ResourceUrls::parse("https://example.com/{id}/{"),
            Err(InvalidTemplate::Unknown(_))
        ));
        assert!(matches!(
            ResourceUrls::parse("https://example.com/{id}}"),
            Err(InvalidTemplate::Unknown(_))
        ));
        let long = format!("https://example.com/{{id}}/{}", "x".repeat(TEMPLATE_BYTES_MAX));
        assert_eq!(ResourceUrls::parse(&long), Err(InvalidTemplate::TooLong));
    }
}
