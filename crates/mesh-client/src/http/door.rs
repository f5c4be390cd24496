//! Who may come in to a server of this machine: no page of another site, no name that was made to lead here, no stranger.
use hyper::{HeaderMap, Uri, header};

/// A token, and where callers say it.
#[derive(Clone)]
struct Token {
    text: String,
    header: &'static str,
    cookie: &'static str,
}

/// Who may come in.
#[derive(Clone)]
pub struct Door {
    is_local: bool,
    token: Option<Token>,
}

/// Why a request must not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It asks for a name of another machine.
    #[error("this server answers to localhost only")]
    Host,
    /// A page of another site had a browser send it.
    #[error("this server does not answer to pages of other sites")]
    Origin,
    /// The token is missing or wrong.
    #[error("{header} is missing or wrong")]
    Token {
        /// The header in which it has to be.
        header: &'static str,
    },
}

impl Door {
    /// `is_local`: only this machine can call.
    pub fn new(is_local: bool) -> Door {
        Door { is_local, token: None }
    }

    /// Lets only those in who say a token: in this header, or in this cookie where a browser asks for the server's own pages.
    #[must_use]
    pub fn with_token(
        mut self,
        token: impl Into<String>,
        header: &'static str,
        cookie: &'static str,
    ) -> Door {
        self.token = Some(Token { text: token.into(), header, cookie });
        self
    }

    /// Lets a request pass. A page of another site that makes a browser call, be it by a name that it let lead to this machine, is
    /// turned away. `is_own`: it asks for one of the server's own pages, to which a browser and Prometheus bring the token in
    /// their own ways.
    ///
    /// # Errors
    /// It must not come in.
    pub fn admit(&self, headers: &HeaderMap, is_own: bool) -> Result<(), Refused> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if self.is_local && !text("host").is_some_and(is_local) {
            return Err(Refused::Host);
        }
        if headers.contains_key(header::ORIGIN) && !text("origin").is_some_and(is_local) {
            return Err(Refused::Origin);
        }
        let Some(token) = &self.token else { return Ok(()) };
        let bearer = || text("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let cookie = || {
            let mut cookies = text("cookie")?.split("; ");
            cookies.find_map(|one| one.strip_prefix(token.cookie)?.strip_prefix('='))
        };
        let is_token = |said: &str| same(said, &token.text);
        let is_known = text(token.header).is_some_and(is_token)
            || (is_own && (bearer().is_some_and(is_token) || cookie().is_some_and(is_token)));
        if is_known { Ok(()) } else { Err(Refused::Token { header: token.header }) }
    }

    /// The cookie for a browser that asks for `/?token=TOKEN`: it takes the token out of the address.
    pub fn cookie(&self, asked: &Uri) -> Option<String> {
        let (token, said) = (self.token.as_ref()?, asked.query()?.strip_prefix("token=")?);
        let Token { text, cookie, .. } = token;
        same(said, text).then(|| format!("{cookie}={text}; HttpOnly; SameSite=Strict; Path=/"))
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.as_ref().map(|token| token.header);
        f.debug_struct("Door").field("is_local", &self.is_local).field("token_in", &token).finish()
    }
}

/// Whether a host or an origin is this machine.
fn is_local(address: &str) -> bool {
    let name = address.rsplit_once("://").map_or(address, |(_, name)| name);
    let name = if name.starts_with('[') {
        name.split_inclusive(']').next().unwrap_or(name)
    } else {
        name.split(':').next().unwrap_or(name)
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// Compares without telling by the time it takes where two texts part.
fn same(said: &str, token: &str) -> bool {
    said.len() == token.len() && said.bytes().zip(token.bytes()).fold(0, |parts, (a, b)| parts | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_this_machine_and_no_other_site() {
        let door = Door::new(true);
        for (lines, want) in [
            (vec![("host", "127.0.0.1:8790")], Ok(())),
            (vec![("host", "localhost")], Ok(())),
            (vec![("host", "[::1]:8790"), ("origin", "http://localhost:3000")], Ok(())),
            (vec![], Err(Refused::Host)),
            (vec![("host", "localhost.example.com")], Err(Refused::Host)),
            (vec![("host", "127.0.0.1.example.com:8790")], Err(Refused::Host)),
            (vec![("host", "localhost"), ("origin", "https://example.com")], Err(Refused::Origin)),
            (vec![("host", "localhost"), ("origin", "null")], Err(Refused::Origin)),
        ] {
            assert_eq!(door.admit(&headers(&lines), false), want, "{lines:?}");
        }
    }

    #[test]
    fn a_token_is_said_in_its_header_or_for_own_pages_in_a_cookie() {
        let door = Door::new(false).with_token("secret", "x-token", "door");
        let refused = Err(Refused::Token { header: "x-token" });
        for (line, is_own, want) in [
            (("x-token", "secret"), false, Ok(())),
            (("x-token", "secreT"), false, refused),
            (("authorization", "Bearer secret"), false, refused),
            (("authorization", "Bearer secret"), true, Ok(())),
            (("cookie", "a=b; door=secret"), true, Ok(())),
            (("cookie", "a=b; door=secret"), false, refused),
            (("cookie", "doors=secret"), true, refused),
        ] {
            assert_eq!(door.admit(&headers(&[line]), is_own), want, "{line:?}");
        }
        let cookie = "door=secret; HttpOnly; SameSite=Strict; Path=/";
        assert_eq!(door.cookie(&"/?token=secret".parse().unwrap()).as_deref(), Some(cookie));
        assert_eq!(door.cookie(&"/?token=other".parse().unwrap()), None);
        assert!(!format!("{door:?}").contains("secret"));
    }
}
