//! BaseUrl and ApiKey: where requests go and what proves who sends them; the key never prints.
use std::fmt;
use std::str::FromStr;

use hyper::Uri;
use hyper::header::HeaderValue;
use url::{Host, Url};

/// Where the hosted gateway answers. From the wire's observed facts.
pub const DEFAULT_BASE_URL: &str = "https://api.meshapi.ai/v1";

/// A gateway's address, checked: `https://` anywhere, `http://` only on this machine.
///
/// Rule 4.1 of the seed, with the host compared after parsing (D-5): `http://localhost.evil.com` and
/// `http://localhost@evil.com` are refused.
///
/// ```
/// use mesh_client::BaseUrl;
/// let base: BaseUrl = " https://api.meshapi.ai/v1/ ".parse()?;
/// assert_eq!(base.as_str(), "https://api.meshapi.ai/v1");
/// assert!("http://localhost.evil.com".parse::<BaseUrl>().is_err());
/// # Ok::<(), mesh_client::BaseUrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BaseUrl(String);

/// Why an address is refused. The message never repeats the user part, which may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BaseUrlError {
    /// Not an address at all, or with a port that does not exist.
    #[error("refusing to use base_url: {reason}; give an address such as {DEFAULT_BASE_URL}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// Plain `http` to another machine would show the key to everyone on the way.
    #[error(
        "refusing to use base_url `{url}`: plain http would send the key in the clear; use https://, or http:// with localhost, 127.0.0.1 or [::1]"
    )]
    PlainHttp {
        /// Scheme and host of the address.
        url: String,
    },
    /// Neither `https` nor `http`.
    #[error("refusing to use base_url: the scheme `{scheme}` is not https")]
    Scheme {
        /// The scheme given.
        scheme: String,
    },
    /// A part that a base address must not have.
    #[error("refusing to use base_url of host `{host}`: remove the {part} from it")]
    ExtraPart {
        /// Host of the address.
        host: String,
        /// User part, query or fragment.
        part: &'static str,
    },
}

impl BaseUrl {
    /// Returns the address without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the address of an endpoint below this one, such as `chat/completions`.
    ///
    /// # Errors
    /// A path with characters that no address has.
    pub fn join(&self, path: &str) -> Result<Uri, BaseUrlError> {
        let path = path.trim_start_matches('/');
        format!("{}/{path}", self.0).parse().map_err(|error: hyper::http::uri::InvalidUri| {
            BaseUrlError::Malformed { reason: error.to_string() }
        })
    }
}

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<BaseUrl, BaseUrlError> {
        let text = text.trim().trim_end_matches('/');
        let malformed = |reason: &str| BaseUrlError::Malformed { reason: reason.to_owned() };
        if text.is_empty() {
            return Err(malformed("it is empty"));
        }
        // The parser would drop or turn these, so that what was checked is not what was written.
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
            return Err(malformed("it holds white space, a control character or a backslash"));
        }
        let url = Url::parse(text).map_err(|error| malformed(&error.to_string()))?;
        if !text.contains("://") {
            return Err(malformed("it has no host"));
        }
        let Some(host) = url.host() else {
            return Err(match url.scheme() {
                "http" | "https" => malformed("it has no host"),
                scheme => BaseUrlError::Scheme { scheme: scheme.to_owned() },
            });
        };
        check_parts(&url, &host)?;
        match url.scheme() {
            "https" => {}
            "http" if is_this_machine(&host) => {}
            "http" => return Err(BaseUrlError::PlainHttp { url: format!("http://{host}") }),
            scheme => return Err(BaseUrlError::Scheme { scheme: scheme.to_owned() }),
        }
        let mut normal = url.as_str().trim_end_matches('/').to_owned();
        if let Some(port) = dropped_port(text, &url) {
            normal = format!("{}://{host}:{port}{}", url.scheme(), url.path().trim_end_matches('/'));
        }
        normal.parse::<Uri>().map_err(|error| malformed(&error.to_string()))?;
        Ok(BaseUrl(normal))
    }
}

fn check_parts(url: &Url, host: &Host<&str>) -> Result<(), BaseUrlError> {
    let extra = |part| Err(BaseUrlError::ExtraPart { host: host.to_string(), part });
    if !url.username().is_empty() || url.password().is_some() || url.as_str().contains("//@") {
        return extra("user and password");
    }
    if url.query().is_some() {
        return extra("query (from the question mark on)");
    }
    if url.fragment().is_some() {
        return extra("fragment (from the hash sign on)");
    }
    if url.port() == Some(0) {
        return Err(BaseUrlError::Malformed { reason: "port 0 does not exist".to_owned() });
    }
    Ok(())
}

/// The port that was written out and that the parser drops because it is the scheme's own: the address stays as
/// it was given.
fn dropped_port<'a>(text: &'a str, url: &Url) -> Option<&'a str> {
    let authority = text.split_once("://")?.1.split('/').next()?;
    let (_, port) = authority.rsplit_once(':')?;
    (url.port().is_none() && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())).then_some(port)
}

fn is_this_machine(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => *address == std::net::Ipv4Addr::LOCALHOST,
        Host::Ipv6(address) => *address == std::net::Ipv6Addr::LOCALHOST,
    }
}

impl Default for BaseUrl {
    /// The hosted gateway, [`DEFAULT_BASE_URL`].
    fn default() -> BaseUrl {
        BaseUrl(DEFAULT_BASE_URL.to_owned())
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BaseUrl({})", self.0)
    }
}

/// The key of a gateway account. It prints as `ApiKey(..)` and goes nowhere but into the request's header.
///
/// ```
/// use mesh_client::ApiKey;
/// let key: ApiKey = "rsk_example".parse()?;
/// assert_eq!(format!("{key:?}"), "ApiKey(..)");
/// # Ok::<(), mesh_client::ApiKeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

/// Why a text cannot be a key. The message never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiKeyError {
    /// Nothing but white space.
    #[error("the API key is empty; set MESHAPI_API_KEY")]
    Empty,
    /// A character that cannot stand in a header: most often a line break or a quote from copying.
    #[error("the API key holds white space, a control character or one outside ASCII; copy it again")]
    Character,
}

impl ApiKey {
    /// Returns the key itself, for those who must hand it on (a child process, a credentials file).
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the value of the `Authorization` header, marked as sensitive.
    pub(crate) fn bearer(&self) -> HeaderValue {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0))
            .expect("a key holds visible ASCII only, which every header may");
        value.set_sensitive(true);
        value
    }
}

impl FromStr for ApiKey {
    type Err = ApiKeyError;

    fn from_str(text: &str) -> Result<ApiKey, ApiKeyError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ApiKeyError::Empty);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ApiKeyError::Character);
        }
        Ok(ApiKey(text.to_owned()))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn accepts(text: &str, want: &str) {
        assert_eq!(text.parse::<BaseUrl>().map(|base| base.0), Ok(want.to_owned()), "{text:?}");
    }

    #[track_caller]
    fn refuses(text: &str, said: &str) {
        let error = text.parse::<BaseUrl>().expect_err(text).to_string();
        assert!(error.starts_with("refusing to use base_url"), "{error}");
        assert!(error.contains(said), "{text:?}: {error}");
    }

    #[test]
    fn https_anywhere_http_at_home() {
        accepts("https://api.meshapi.ai/v1", "https://api.meshapi.ai/v1");
        accepts("  https://api.meshapi.ai/v1///\n", "https://api.meshapi.ai/v1");
        accepts("HTTPS://A.b", "https://a.b");
        accepts("https://10.0.0.7:8443/x", "https://10.0.0.7:8443/x");
        accepts("http://localhost", "http://localhost");
        accepts("http://LOCALHOST:8080/v1/", "http://localhost:8080/v1");
        accepts("http://127.0.0.1:1", "http://127.0.0.1:1");
        accepts("http://[::1]:80/v1", "http://[::1]:80/v1");
        accepts("https://A.b:443/", "https://a.b:443");
        accepts("http://[::1]/v1", "http://[::1]/v1");
    }

    #[test]
    fn http_elsewhere_is_refused() {
        for text in
            ["http://a.b", "http://localhost.evil.com/v1", "http://127.0.0.1.evil.com", "http://0.0.0.0/"]
        {
            refuses(text, "plain http would send the key in the clear");
        }
        refuses("http://localhost@evil.com", "remove the user and password");
        refuses("http://127.0.0.2", "in the clear");
        refuses("http://[::ffff:127.0.0.1]", "in the clear");
    }

    #[test]
    fn parts_that_do_not_belong_are_refused() {
        refuses("https://user:secret@host/v1", "`host`: remove the user and password");
        refuses("https://user@host/v1", "user and password");
        refuses("https://host/v1?x=1", "query");
        refuses("https://host/v1?", "query");
        refuses("https://host/v1#top", "fragment");
        refuses("https://host:0/v1", "port 0");
        refuses("https://host:65536/v1", "port");
        refuses("https://host:/x\\@evil", "backslash");
        refuses("https://ho\tst", "white space");
        refuses("https://", "empty host");
        refuses("https:host", "no host");
        refuses("", "empty");
        refuses("ftp://host", "`ftp` is not https");
        refuses("file:///etc/passwd", "`file` is not https");
        refuses("api.meshapi.ai/v1", "relative URL");
    }

    #[test]
    fn refusals_keep_passwords_to_themselves() {
        let error = "https://user:secret@host/v1".parse::<BaseUrl>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }

    #[test]
    fn endpoints_lie_below() {
        let base: BaseUrl = "http://127.0.0.1:9/v1".parse().unwrap();
        assert_eq!(base.join("chat/completions").unwrap(), "http://127.0.0.1:9/v1/chat/completions");
        assert_eq!(base.join("/models").unwrap(), "http://127.0.0.1:9/v1/models");
    }

    #[test]
    fn keys_are_checked_and_never_print() {
        let key: ApiKey = " rsk_abc\n".parse().unwrap();
        assert_eq!(key.expose(), "rsk_abc");
        assert_eq!(format!("{key:?}"), "ApiKey(..)");
        assert!(key.bearer().is_sensitive());
        assert_eq!("  ".parse::<ApiKey>(), Err(ApiKeyError::Empty));
        for text in ["a b", "a\nb", "a\u{7}b", "ключ"] {
            assert_eq!(text.parse::<ApiKey>(), Err(ApiKeyError::Character), "{text:?}");
        }
    }
}
