//! Making a connection: direct, through a proxy, with TLS; each part set up when first needed.
use std::future::Future;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::rt::{Read, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tower_service::Service;

use super::client::Proxy;
use super::error::{BoxError, ConnectFailure, find, innermost};
use super::link::Link;
use super::names::Names;
use super::socket::Tcp;

/// How long a silent TCP connection waits before the system asks whether the peer is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// Makes connections for the pool. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connector(Arc<Shared>);

struct Shared {
    tcp: Tcp,
    proxy: Proxy,
    rules: OnceLock<Option<Matcher>>,
    certificates: Option<PathBuf>,
    tls: OnceLock<Result<Arc<ClientConfig>, ConnectFailure>>,
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(
        proxy: Proxy,
        certificates: Option<PathBuf>,
        timeout: Duration,
        pinned: Option<Arc<[IpAddr]>>,
        rest: Option<Duration>,
    ) -> Connector {
        let mut tcp = HttpConnector::new_with_resolver(Names::new(pinned));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        tcp.set_connect_timeout(Some(timeout));
        let tcp = Tcp::new(tcp, rest);
        let (rules, tls) = (OnceLock::new(), OnceLock::new());
        Connector(Arc::new(Shared { tcp, proxy, rules, certificates, tls, timeout }))
    }

    /// Returns the `Proxy-Authorization` of a request that travels to its proxy in the open.
    pub(super) fn plain_proxy_auth(&self, uri: &Uri) -> Option<HeaderValue> {
        if uri.scheme_str() != Some("http") {
            return None;
        }
        self.0.proxy_for(uri)?.basic_auth().cloned()
    }
}

impl Service<Uri> for Connector {
    type Response = Link;
    type Error = ConnectFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Link, ConnectFailure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let limit = shared.timeout;
            tokio::time::timeout(limit, shared.connect(uri))
                .await
                .unwrap_or(Err(ConnectFailure::Timeout(limit)))
        })
    }
}

impl Shared {
    async fn connect(&self, uri: Uri) -> Result<Link, ConnectFailure> {
        let secure = uri.scheme_str() == Some("https");
        match self.proxy_for(&uri) {
            None if secure => {
                let mut tls = HttpsConnector::from((self.tcp.clone(), self.tls()?));
                tls.call(uri).await.map(Link::direct).map_err(explain)
            }
            None => self.tcp.clone().call(uri).await.map(Link::direct).map_err(explain),
            Some(proxy) => self.through(proxy, uri, secure).await,
        }
    }

    /// Connects by way of a proxy: a tunnel for `https`, the absolute form of the address for `http`.
    async fn through(&self, proxy: Intercept, uri: Uri, secure: bool) -> Result<Link, ConnectFailure> {
        match proxy.uri().scheme_str() {
            Some("http") => {}
            Some("https") => {
                let mut tls = self.tls()?.as_ref().clone();
                tls.alpn_protocols = Vec::new();
                return self.hop(HttpsConnector::from((self.tcp.clone(), tls)), proxy, uri, secure).await;
            }
            other => {
                let scheme = other.unwrap_or("no scheme");
                return Err(ConnectFailure::Proxy(format!("{scheme} is not supported, http and https are")));
            }
        }
        self.hop(self.tcp.clone(), proxy, uri, secure).await
    }

    async fn hop<C>(
        &self,
        mut to_proxy: C,
        proxy: Intercept,
        uri: Uri,
        secure: bool,
    ) -> Result<Link, ConnectFailure>
    where
        C: Service<Uri> + Clone + Send + 'static,
        C::Response: Connection + Read + Write + Send + Unpin + 'static,
        C::Future: Send + 'static,
        C::Error: Into<BoxError>,
    {
        if !secure {
            let link = to_proxy.call(proxy.uri().clone()).await;
            return link.map(Link::absolute_form).map_err(|e| proxy_failure(e.into()));
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), to_proxy);
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        let mut tls = HttpsConnector::from((tunnel, self.tls()?));
        // The tunnel's error type is not exported; its text is all there is to know it by.
        let of_tunnel = |error: &BoxError| error.to_string().starts_with("tunnel error");
        tls.call(uri)
            .await
            .map(Link::direct)
            .map_err(|error| if of_tunnel(&error) { proxy_failure(error) } else { explain(error) })
    }

    /// Returns the proxy on the way to `uri`, if there is one. Loopback never asks.
    fn proxy_for(&self, uri: &Uri) -> Option<Intercept> {
        if uri.host().is_none_or(is_loopback) {
            return None;
        }
        let rules = self.rules.get_or_init(|| match &self.proxy {
            Proxy::Environment => Some(Matcher::from_env()),
            Proxy::Direct => None,
            Proxy::Fixed { address, except } => {
                Some(Matcher::builder().all(address.as_str()).no(except.as_str()).build())
            }
        });
        rules.as_ref()?.intercept(uri)
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, ConnectFailure> {
        let config = || tls_config(self.certificates.as_deref()).map(Arc::new);
        self.tls.get_or_init(config).clone()
    }
}

/// Says whether the environment names a proxy for an address. A client that pins addresses cannot use it.
pub fn has_proxy(uri: &Uri) -> bool {
    !uri.host().is_none_or(is_loopback) && Matcher::from_env().intercept(uri).is_some()
}

/// Says whether a host name or literal, as it stands in an address, is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    match literal.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Whom a client trusts: the public roots, and the certificates of `file`, or of the file that `SSL_CERT_FILE` names.
///
/// # Errors
/// The file cannot be read, or holds no certificate.
pub fn trusted_roots(file: Option<&Path>) -> Result<RootCertStore, ConnectFailure> {
    let named = || std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()).map(PathBuf::from);
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = file.map(Path::to_owned).or_else(named) {
        add_certificates(&mut roots, &path)?;
    }
    Ok(roots)
}

/// Builds the TLS settings: ring, and whom we trust.
fn tls_config(file: Option<&Path>) -> Result<ClientConfig, ConnectFailure> {
    let roots = trusted_roots(file)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectFailure::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn add_certificates(roots: &mut RootCertStore, path: &Path) -> Result<(), ConnectFailure> {
    let broken = |reason: String| ConnectFailure::Certificates { path: path.to_owned(), reason };
    let found = CertificateDer::pem_file_iter(path)
        .map_err(|error| broken(error.to_string()))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| broken(error.to_string()))?;
    // System bundles hold a few certificates that rustls cannot use: those are skipped.
    let (added, _) = roots.add_parsable_certificates(found);
    if added == 0 {
        return Err(broken("it holds no certificate".to_owned()));
    }
    Ok(())
}

fn explain(error: BoxError) -> ConnectFailure {
    let cause = innermost(error.as_ref()).to_string();
    let tls = find::<rustls::Error>(error.as_ref()).is_some();
    if tls { ConnectFailure::Tls(cause) } else { ConnectFailure::Io(cause) }
}

fn proxy_failure(error: BoxError) -> ConnectFailure {
    let said = error.to_string();
    let cause = innermost(error.as_ref()).to_string();
    ConnectFailure::Proxy(if said == cause { said } else { format!("{said}: {cause}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_parsed_not_guessed() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.evil.com", "127.0.0.1.evil.com", "0.0.0.0", "10.0.0.1", "[::2]", "", "[::1"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    fn connector(address: &str, except: &str) -> Connector {
        let proxy = Proxy::Fixed { address: address.into(), except: except.into() };
        Connector::new(proxy, None, Duration::from_secs(1), None, None)
    }

    #[track_caller]
    fn check_proxy(except: &str, uri: &str, want: bool) {
        let found = connector("http://proxy:3128", except).0.proxy_for(&uri.parse().unwrap());
        assert_eq!(found.is_some(), want, "{uri} except {except:?}");
    }

    #[test]
    fn proxy_rules() {
        check_proxy("", "https://api.example/", true);
        check_proxy("", "http://127.0.0.1:1/", false);
        check_proxy("", "https://localhost/", false);
        check_proxy("api.example", "https://api.example/", false);
        check_proxy(".example", "https://api.example/", false);
        check_proxy("10.0.0.0/8", "https://10.1.2.3/", false);
        check_proxy("10.0.0.0/8", "https://11.1.2.3/", true);
        check_proxy("*", "https://api.example/", false);
    }

    #[test]
    fn proxy_password_goes_into_a_header_for_open_requests_only() {
        let connector = connector("http://user:pw@proxy:3128", "");
        let auth = connector.plain_proxy_auth(&"http://api.example/".parse().unwrap()).unwrap();
        assert_eq!(auth, "Basic dXNlcjpwdw==");
        assert!(auth.is_sensitive());
        assert!(connector.plain_proxy_auth(&"https://api.example/".parse().unwrap()).is_none());
    }

    #[test]
    fn tls_offers_both_protocols() {
        let config = tls_config(None).unwrap();
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }

    #[test]
    fn unusable_certificate_files_are_named() {
        let error = tls_config(Some(Path::new("/nonexistent/roots.pem"))).unwrap_err();
        assert!(matches!(&error, ConnectFailure::Certificates { .. }), "{error}");
        assert!(error.to_string().contains("SSL_CERT_FILE"), "{error}");
    }
}
