//! Pure: who may come in.

use mesh_client::http::HeaderMap;

/// The header in which callers say the token.
pub(super) const TOKEN: &str = "x-proxy-token";

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
    /// machine, is turned away.
    pub(super) fn refuses(&self, headers: &HeaderMap) -> Option<&'static str> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let is_own = |address: &str| {
            let name = address.rsplit_once("://").map_or(address, |(_, name)| name);
            let name = if name.starts_with('[') {
                name.split_inclusive(']').next().unwrap_or(name)
            } else {
                name.split(':').next().unwrap_or(name)
            };
            matches!(name, "localhost" | "127.0.0.1" | "[::1]")
        };
        if self.is_local && !text("host").is_some_and(is_own) {
            return Some("the proxy answers to localhost only");
        }
        if headers.contains_key("origin") && !text("origin").is_some_and(is_own) {
            return Some("the proxy does not answer to pages of other sites");
        }
        match &self.token {
            Some(token) if text(TOKEN) != Some(token) => Some("x-proxy-token is missing or wrong"),
            _ => None,
        }
    }
}
