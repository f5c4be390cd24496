//! Where a database is, and how it is reached: hosts, encryption, limits of time.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::tls::{Tls, Trust};
use crate::gateway::store::StoreError;

/// Longest time of one batch or one look, a reconnection included. Our choice: what takes longer is told, and tried again by
/// whoever asked.
const LIMIT: Duration = Duration::from_secs(5);
/// Longest time until one host has let us in. Two hosts that are silent still leave time for a third.
const CONNECT: Duration = Duration::from_millis(1500);
/// A silent connection is asked after this whether the host is still there, so often, until it counts as lost.
const KEEPALIVE: (Duration, u32) = (Duration::from_secs(5), 3);

/// Whose clock a store goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// The database's, one moment for each transaction: the same for all gateways.
    Database,
    /// The caller's.
    Caller,
}

/// A PostgreSQL database, by its address.
#[derive(Clone)]
pub struct PostgresPlace {
    pub(super) hosts: Vec<Endpoint>,
    pub(super) tls: Tls,
    pub(super) clock: Clock,
    pub(super) is_notifying: bool,
    pub(super) limit: Duration,
    shown: String,
}

/// One host of it.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) config: Config,
    /// Its address, without the password.
    pub(super) shown: String,
}

/// The password is not shown.
impl fmt::Debug for PostgresPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresPlace({})", self.shown)
    }
}

impl PostgresPlace {
    /// Reads an address: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with several hosts as `HOST:PORT,HOST:PORT`; the first
    /// that can be written to is taken.
    ///
    /// `?sslmode=` says how it is encrypted: `disable`; `prefer`, where the server can (the default); `require`, always; both
    /// without a look at the server's certificate. `verify-full`: always, and the certificate has to be good and the host's:
    /// signed by a public root, by one in the file that `sslrootcert` names, or by one in `SSL_CERT_FILE`.
    /// Other parameters are those of [`tokio_postgres::Config`].
    ///
    /// # Errors
    /// It is no such address, or a certificate cannot be read. The text does not show the address.
    pub fn parse(address: &str) -> Result<PostgresPlace, StoreError> {
        let (plain, own) = own_parameters(address)?;
        let mut base: Config = plain.parse().map_err(|error| refused(&super::error::chain(&error)))?;
        let trust = match own.mode.as_deref() {
            Some("disable") => {
                base.ssl_mode(SslMode::Disable);
                Trust::Anybody
            }
            None | Some("prefer") => Trust::Anybody,
            Some("require") => {
                base.ssl_mode(SslMode::Require);
                Trust::Anybody
            }
            Some("verify-full") => {
                base.ssl_mode(SslMode::Require);
                Trust::Roots(own.roots.clone())
            }
            Some(_) => return Err(refused("sslmode is disable, prefer, require or verify-full")),
        };
        if own.roots.is_some() && trust == Trust::Anybody {
            return Err(refused("sslrootcert is only looked at with sslmode=verify-full"));
        }
        let hosts = endpoints(&base)?;
        let shown = shown(&base, 0..base.get_hosts().len());
        let (clock, limit) = (Clock::Database, LIMIT);
        Ok(PostgresPlace { hosts, tls: Tls::new(&trust)?, clock, is_notifying: true, limit, shown })
    }

    /// The password, where it is not part of the address.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> PostgresPlace {
        for host in &mut self.hosts {
            host.config.password(password);
        }
        self
    }

    /// Whether the address, or [`PostgresPlace::with_password`], gave a password.
    pub fn has_password(&self) -> bool {
        self.hosts.iter().any(|host| host.config.get_password().is_some())
    }

    /// Whether gateways tell each other of new mail by `NOTIFY`. Without it each looks by itself, and mail that came in at
    /// another gateway is seen by the next look.
    #[must_use]
    pub fn with_notify(mut self, is_notifying: bool) -> PostgresPlace {
        self.is_notifying = is_notifying;
        self
    }

    /// Longest time of one batch or one look, a reconnection included.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> PostgresPlace {
        self.limit = limit;
        self
    }

    /// Goes by the clock of the caller instead of the database's. **Only for tests, which travel in time, or for a single
    /// gateway:** the clocks of two machines differ, and the leases of one would end too early for the other.
    #[must_use]
    pub fn with_callers_clock(mut self) -> PostgresPlace {
        self.clock = Clock::Caller;
        self
    }

    /// The address as it is told to people: without the password.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Longest time until one host has let us in.
    pub(super) fn connect_time(&self) -> Duration {
        CONNECT.min(self.limit)
    }
}

/// The parameters that are ours to read.
#[derive(Default)]
struct Own {
    mode: Option<String>,
    roots: Option<PathBuf>,
}

fn own_parameters(address: &str) -> Result<(String, Own), StoreError> {
    let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| address.strip_prefix(scheme));
    let rest = rest.ok_or_else(|| refused("it begins with postgres://"))?;
    let (front, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = front.split('/').next().unwrap_or_default();
    // A part of the password would be taken for the host, and shown.
    let is_torn = front.matches('@').count() > authority.matches('@').count() || query.contains('@');
    if authority.matches('@').count() > 1 || is_torn {
        return Err(refused("write @ as %40, / as %2F, : as %3A and ? as %3F in user and password"));
    }
    let (mut own, mut others) = (Own::default(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let escaped = pair.replace('+', "%2B");
        let (name, value) = url::form_urlencoded::parse(escaped.as_bytes())
            .next()
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .unwrap_or_default();
        match name.as_str() {
            "sslmode" => own.mode = Some(value),
            "sslrootcert" => own.roots = Some(value.into()),
            // There is nothing to read from where nothing can be written.
            "target_session_attrs" if value == "read-write" || value == "primary" => {}
            "target_session_attrs" => {
                return Err(refused("a gateway writes: target_session_attrs is read-write"));
            }
            _ => others.push(pair),
        }
    }
    let mut plain = format!("postgres://{front}");
    if !others.is_empty() {
        plain.push('?');
        plain.push_str(&others.join("&"));
    }
    Ok((plain, own))
}

fn refused(reason: &str) -> StoreError {
    StoreError::Failed(format!(
        "the address of the database is not understood: {reason}; write postgres://USER:PASSWORD@HOST:PORT/DATABASE"
    ))
}

/// A configuration for each host: a host that says nothing must not take the time of the next.
fn endpoints(base: &Config) -> Result<Vec<Endpoint>, StoreError> {
    let (hosts, addresses) = (base.get_hosts(), base.get_hostaddrs());
    if hosts.is_empty() {
        return Err(refused("it names no host"));
    }
    if !addresses.is_empty() && addresses.len() != hosts.len() {
        return Err(refused("there are as many hostaddr as hosts"));
    }
    if base.get_ports().len() > 1 && base.get_ports().len() != hosts.len() {
        return Err(refused("there is one port, or one for each host"));
    }
    let endpoint = |at: usize| {
        let mut config = Config::new();
        match &hosts[at] {
            Host::Tcp(name) => config.host(name),
            #[cfg(unix)]
            Host::Unix(path) => config.host_path(path),
        };
        if let Some(address) = addresses.get(at) {
            config.hostaddr(*address);
        }
        config.port(port(base, at));
        if let Some(user) = base.get_user() {
            config.user(user);
        }
        if let Some(password) = base.get_password() {
            config.password(password);
        }
        if let Some(database) = base.get_dbname() {
            config.dbname(database);
        }
        if let Some(options) = base.get_options() {
            config.options(options);
        }
        config
            .application_name(base.get_application_name().unwrap_or("meshapi gateway"))
            .ssl_mode(base.get_ssl_mode())
            .ssl_negotiation(base.get_ssl_negotiation())
            .channel_binding(base.get_channel_binding())
            .connect_timeout(CONNECT)
            .tcp_user_timeout(LIMIT)
            .keepalives_idle(KEEPALIVE.0)
            .keepalives_interval(KEEPALIVE.0)
            .keepalives_retries(KEEPALIVE.1);
        // TLS has nothing to add to a socket of this machine, and there is no name to check.
        #[cfg(unix)]
        if matches!(hosts[at], Host::Unix(_)) {
            config.ssl_mode(SslMode::Disable);
        }
        Endpoint { config, shown: shown(base, at..at + 1) }
    };
    Ok((0..hosts.len()).map(endpoint).collect())
}

fn port(base: &Config, at: usize) -> u16 {
    let ports = base.get_ports();
    ports.get(at).or_else(|| ports.first()).copied().unwrap_or(5432)
}

fn shown(base: &Config, which: std::ops::Range<usize>) -> String {
    let name = |at: usize| match base.get_hosts().get(at) {
        Some(Host::Tcp(name)) => format!("{name}:{}", port(base, at)),
        #[cfg(unix)]
        Some(Host::Unix(path)) => format!("{}:{}", path.display(), port(base, at)),
        None => String::new(),
    };
    let hosts: Vec<String> = which.map(name).collect();
    let user = base.get_user().map(|user| format!("{user}@")).unwrap_or_default();
    let database = base.get_dbname().or(base.get_user()).unwrap_or_default();
    format!("postgres://{user}{}/{database}", hosts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: &str) -> PostgresPlace {
        PostgresPlace::parse(address).unwrap()
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (address, want) in [
            ("postgres://mesh:secret@db.example/mail", "postgres://mesh@db.example:5432/mail"),
            ("postgresql://mesh:secret@a,b:6432/mail", "postgres://mesh@a:5432,b:6432/mail"),
            ("postgres://mesh@%2Fvar%2Frun:6000/mail", "postgres://mesh@/var/run:6000/mail"),
            ("postgres:///mail?host=/var/run&user=mesh&port=6000", "postgres://mesh@/var/run:6000/mail"),
            ("postgres://mesh@h/mail?password=secret&sslmode=require", "postgres://mesh@h:5432/mail"),
        ] {
            let place = place(address);
            let text = format!("{place:?} {}", place.shown());
            assert!(!text.contains("secret"), "{text}");
            assert_eq!(place.shown(), want);
        }
        let place = place("postgres://mesh:secret@a,b:6432/mail");
        assert_eq!(place.hosts.len(), 2);
        assert_eq!(place.hosts[1].shown, "postgres://mesh@b:6432/mail");
    }

    #[test]
    fn what_is_no_address_is_told_without_showing_it() {
        for address in [
            "mysql://secret@h/db",
            "postgres://mesh:sec@ret@h/db",
            "postgres://mesh:secret/x@h/db",
            "postgres://mesh:x?secret@h/db",
            "postgres:///db",
            "postgres://mesh:secret@h/db?sslmode=allow",
            "postgres://mesh:secret@h/db?sslrootcert=/secret",
            "postgres://mesh:secret@h/db?target_session_attrs=any",
            "postgres://mesh:secret@h:port/db",
        ] {
            let error = PostgresPlace::parse(address).unwrap_err().to_string();
            assert!(error.starts_with("the store failed: the address of the database"), "{error}");
            assert!(!error.contains("secret") && !error.contains("ret@"), "{error}");
        }
    }

    #[test]
    fn the_mode_says_what_is_encrypted_and_checked() {
        for (query, want) in [
            ("", SslMode::Prefer),
            ("?sslmode=disable", SslMode::Disable),
            ("?sslmode=prefer", SslMode::Prefer),
            ("?sslmode=require", SslMode::Require),
            ("?sslmode=verify-full", SslMode::Require),
        ] {
            let place = place(&format!("postgres://mesh@h/db{query}"));
            assert_eq!(place.hosts[0].config.get_ssl_mode(), want, "{query}");
        }
    }
}
