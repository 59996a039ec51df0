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

/// What may stand in braces.
pub const PLACEHOLDERS: [&str; 3] = ["id", "plural", "type"];

/// Why a text is not a template. Each message names the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// Longer than [`TEMPLATE_BYTES_MAX`].
    #[error("is too long: use at most {TEMPLATE_BYTES_MAX} bytes")]
    TooLong,
    /// Something else in braces.
    #[error("`{{{0}}}` is not a placeholder: use {{id}}, {{plural}} and {{type}} only")]
    UnknownPlaceholder(String),
    /// A brace without its partner.
    #[error("has a brace without its partner: write placeholders as {{id}}")]
    LoneBrace,
    /// Every resource would have the same URL.
    #[error("does not contain {{id}}: without it every resource has the same URL")]
    NoId,
    /// Not `http://` or `https://`, or otherwise not a URL.
    #[error("is not an http or https URL: use the form https://app.example.com/{{plural}}/{{id}}")]
    NotAUrl,
    /// A user name or password in it: it would be in every event.
    #[error("must not contain a user name or password: every receiver would see it")]
    UserInfo,
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
    /// [`InvalidTemplate`], with the remedy in its message.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(InvalidTemplate::TooLong);
        }
        let (mut sample, mut rest, mut has_id) = (String::new(), text, false);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            let inside = from.strip_prefix('{').ok_or(InvalidTemplate::LoneBrace)?;
            let (name, after) = inside.split_once('}').ok_or(InvalidTemplate::LoneBrace)?;
            if name.contains('{') {
                return Err(InvalidTemplate::LoneBrace);
            }
            if !PLACEHOLDERS.contains(&name) {
                let shown = name.chars().take(60).flat_map(char::escape_debug).collect();
                return Err(InvalidTemplate::UnknownPlaceholder(shown));
            }
            has_id |= name == "id";
            sample.push_str(before);
            sample.push('1');
            rest = after;
        }
        sample.push_str(rest);
        if !has_id {
            return Err(InvalidTemplate::NoId);
        }
        // The parser would silently trim and drop these.
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) || text.contains('\\') {
            return Err(InvalidTemplate::NotAUrl);
        }
        let url = Url::parse(&sample).map_err(|_| InvalidTemplate::NotAUrl)?;
        // The parser would take `https:/host` and `https:///host` for what they are not.
        let is_web = ["http://", "https://"].iter().any(|scheme| {
            sample
                .strip_prefix(scheme)
                .is_some_and(|rest| !rest.starts_with('/'))
        });
        if !is_web || !url.has_host() {
            return Err(InvalidTemplate::NotAUrl);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidTemplate::UserInfo);
        }
        Ok(Self::new(text))
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.template
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
        // A brace at the front is text here; so is any other character, of however many bytes.
        let end = rest.char_indices().skip(1).find(|(_, c)| *c == '{');
        let (text, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
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
    fn text_between_holes_may_be_of_any_script() {
        let urls = ResourceUrls::parse("https://a.example/é{id}éß{plural}日").expect("a template");
        let filled = urls.of(&"bid.accepted".parse().expect("a name"), Some("7"));
        assert_eq!(filled, "https://a.example/é7éßbids日");
    }

    #[test]
    fn a_template_is_a_url_with_an_id_in_it() {
        for text in [
            "https://app.example.com/{plural}/{id}",
            "http://localhost:3000/{id}",
            "https://app.example.com/show?type={type}&id={id}#{plural}",
            "https://app.example.com/{id}/{id}",
            "https://{plural}.example.com/{id}",
        ] {
            let template = ResourceUrls::parse(text).expect(text);
            assert_eq!(template.as_str(), text);
        }
        let longest = format!("https://a.example/{{id}}{}", "x".repeat(TEMPLATE_BYTES_MAX - 22));
        assert_eq!(longest.len(), TEMPLATE_BYTES_MAX);
        assert!(ResourceUrls::parse(&longest).is_ok());
        assert_eq!(
            ResourceUrls::parse(&format!("{longest}x")),
            Err(InvalidTemplate::TooLong)
        );
    }

    #[test]
    fn what_is_not_a_template_is_refused_by_name() {
        let unknown = |name: &str| InvalidTemplate::UnknownPlaceholder(name.to_owned());
        for (text, why) in [
            ("https://a.example/{plural}", InvalidTemplate::NoId),
            ("", InvalidTemplate::NoId),
            ("https://a.example/{id}/{name}", unknown("name")),
            ("https://a.example/{id}/{ID}", unknown("ID")),
            ("https://a.example/{id}/{}", unknown("")),
            ("https://a.example/{id}/{", InvalidTemplate::LoneBrace),
            ("https://a.example/{id}/}", InvalidTemplate::LoneBrace),
            ("https://a.example/{{id}}", InvalidTemplate::LoneBrace),
            ("ftp://a.example/{id}", InvalidTemplate::NotAUrl),
            ("javascript:alert({id})", InvalidTemplate::NotAUrl),
            ("{type}://a.example/{id}", InvalidTemplate::NotAUrl),
            ("https:/a.example/{id}", InvalidTemplate::NotAUrl),
            ("https:///{id}", InvalidTemplate::NotAUrl),
            ("/{plural}/{id}", InvalidTemplate::NotAUrl),
            ("https://a.example/a b/{id}", InvalidTemplate::NotAUrl),
            ("https://u:p@a.example/{id}", InvalidTemplate::UserInfo),
        ] {
            assert_eq!(ResourceUrls::parse(text), Err(why), "{text}");
        }
        let message = unknown("name").to_string();
        assert!(message.contains("`{name}`"), "{message}");
    }
}
