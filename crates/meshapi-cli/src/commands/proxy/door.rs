//! Pure: who may come in.

use mesh_client::http::{HeaderMap, Uri};

/// The header in which callers say the token.
pub(super) const TOKEN: &str = "x-proxy-token";
/// The cookie in which a browser brings it.
const COOKIE: &str = "meshapi_proxy=";

/// Who may come in.
pub(super) struct Door {
    is_local: bool,
    token: Option<String>,
}

impl Door {
    /// `is_local`: only this machine can call.
    pub(super) fn new(is_local: bool, token: Option<String>) -> Door {
        Door { is_local, token }
    }

    /// Why a request must not come in. A page of another site that makes a browser call, be it by a name that it let lead to this
    /// machine, is turned away. `is_own`: it asks for one of our own pages, to which a browser and Prometheus bring the token in
    /// their own ways.
    pub(super) fn refuses(&self, headers: &HeaderMap, is_own: bool) -> Option<&'static str> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let is_local = |address: &str| {
            let name = address.rsplit_once("://").map_or(address, |(_, name)| name);
            let name = if name.starts_with('[') {
                name.split_inclusive(']').next().unwrap_or(name)
            } else {
                name.split(':').next().unwrap_or(name)
            };
            matches!(name, "localhost" | "127.0.0.1" | "[::1]")
        };
        if self.is_local && !text("host").is_some_and(is_local) {
            return Some("the proxy answers to localhost only");
        }
        if headers.contains_key("origin") && !text("origin").is_some_and(is_local) {
            return Some("the proxy does not answer to pages of other sites");
        }
        let token = self.token.as_deref()?;
        let bearer = || text("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let cookie = || {
            text("cookie").and_then(|cookies| cookies.split("; ").find_map(|one| one.strip_prefix(COOKIE)))
        };
        let is_token = |said: &str| same(said, token);
        let is_known = text(TOKEN).is_some_and(is_token)
            || (is_own && (bearer().is_some_and(is_token) || cookie().is_some_and(is_token)));
        (!is_known).then_some("x-proxy-token is missing or wrong")
    }

    /// The cookie for a browser that asks for `/?token=TOKEN`: it takes the token out of the address.
    pub(super) fn lets_in(&self, asked: &Uri) -> Option<String> {
        let (token, said) = (self.token.as_deref()?, asked.query()?.strip_prefix("token=")?);
        same(said, token).then(|| format!("{COOKIE}{token}; HttpOnly; SameSite=Strict; Path=/"))
    }
}

/// Compares without telling by the time it takes where two texts part.
fn same(said: &str, token: &str) -> bool {
    said.len() == token.len() && said.bytes().zip(token.bytes()).fold(0, |parts, (a, b)| parts | (a ^ b)) == 0
}
