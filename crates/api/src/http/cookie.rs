//! How a session travels: one cookie, which no script can read and no other site can make a browser send.

use actix_web::http::header::{COOKIE, HeaderMap};
use plumbline_engine::sessions::SESSION_LIFE_MAX;

/// The cookie's name.
pub(crate) const SESSION_COOKIE: &str = "plumbline_session";

/// Writes and reads the cookie. Its value is hex digits, so that nothing needs an encoding.
pub(crate) struct SessionCookie {
    is_secure: bool,
}

impl SessionCookie {
    /// A secure cookie is sent over https only: right where customers come by https.
    pub(super) fn new(is_secure: bool) -> Self {
        Self { is_secure }
    }

    /// The `Set-Cookie` that begins a session.
    pub(crate) fn begun(&self, token: &str) -> String {
        self.written(token, SESSION_LIFE_MAX.as_secs())
    }

    /// The `Set-Cookie` that ends it.
    pub(crate) fn ended(&self) -> String {
        self.written("", 0)
    }

    fn written(&self, token: &str, max_age_seconds: u64) -> String {
        let secure = if self.is_secure { "; Secure" } else { "" };
        format!(
            "{SESSION_COOKIE}={token}; Path=/; Max-Age={max_age_seconds}; HttpOnly; SameSite=Strict{secure}"
        )
    }

    /// The token of a request.
    pub(super) fn read(headers: &HeaderMap) -> Option<&str> {
        let mut tokens = headers
            .get_all(COOKIE)
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == SESSION_COOKIE)
            .map(|(_, token)| token);
        match (tokens.next(), tokens.next()) {
            // Two are none: a neighbouring host may have set one of them.
            (Some(token), None) if !token.is_empty() => Some(token),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn the_cookie_is_for_us_alone_and_ends() {
        assert_eq!(
            SessionCookie::new(true).begun("ab12"),
            "plumbline_session=ab12; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict; Secure"
        );
        assert_eq!(
            SessionCookie::new(false).ended(),
            "plumbline_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"
        );
    }

    #[test]
    fn one_token_is_read_from_among_other_cookies() {
        for (lines, token) in [
            (vec!["plumbline_session=ab12"], Some("ab12")),
            (vec!["a=1; plumbline_session=ab12; b=2"], Some("ab12")),
            (vec!["a=1", "plumbline_session=ab12"], Some("ab12")),
            (vec!["plumbline_session="], None),
            (vec!["xplumbline_session=ab12"], None),
            (vec!["plumbline_session=a; plumbline_session=b"], None),
            (vec![], None),
        ] {
            let mut request = TestRequest::default();
            for line in &lines {
                request = request.append_header((COOKIE, *line));
            }
            let request = request.to_http_request();
            assert_eq!(SessionCookie::read(request.headers()), token, "{lines:?}");
        }
    }
}
