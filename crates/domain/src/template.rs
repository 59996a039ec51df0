//! Where a tenant's resources live: the URL template of thin events.

use url::Url;

/// The longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 2_048;
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

/// A URL with `{id}`, and perhaps `{plural}` and `{type}`, in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceUrlTemplate(String);

impl ResourceUrlTemplate {
    /// Check what a customer writes.
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
        Ok(Self(text.to_owned()))
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_a_url_with_an_id_in_it() {
        for text in [
            "https://app.example.com/{plural}/{id}",
            "http://localhost:3000/{id}",
            "https://app.example.com/show?type={type}&id={id}#{plural}",
            "https://app.example.com/{id}/{id}",
            "https://{plural}.example.com/{id}",
        ] {
            let template = ResourceUrlTemplate::parse(text).expect(text);
            assert_eq!(template.as_str(), text);
        }
        let longest = format!("https://a.example/{{id}}{}", "x".repeat(TEMPLATE_BYTES_MAX - 22));
        assert_eq!(longest.len(), TEMPLATE_BYTES_MAX);
        assert!(ResourceUrlTemplate::parse(&longest).is_ok());
        assert_eq!(
            ResourceUrlTemplate::parse(&format!("{longest}x")),
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
            assert_eq!(ResourceUrlTemplate::parse(text), Err(why), "{text}");
        }
        let message = unknown("name").to_string();
        assert!(message.contains("`{name}`"), "{message}");
    }
}
