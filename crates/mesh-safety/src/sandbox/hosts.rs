//! Which hosts a confined command may reach, as the user wrote them, and what a proxy is asked for.
//!
//! Pure. An empty list allows nothing.

use std::net::{IpAddr, Ipv6Addr};

use super::policy::WEB;

/// Package registries under one name, for those who want builds to fetch.
#[rustfmt::skip]
const REGISTRIES: &[&str] = &[
    "index.crates.io", "static.crates.io", "crates.io", "static.rust-lang.org", "pypi.org", "files.pythonhosted.org",
    "registry.npmjs.org", "registry.yarnpkg.com", "proxy.golang.org", "sum.golang.org", "rubygems.org", "index.rubygems.org",
    "repo.maven.apache.org", "repo1.maven.org", "plugins.gradle.org", "api.nuget.org",
];

/// Hosts that may be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hosts(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// Lower case, without a dot at the end.
    name: String,
    /// Names below it, and not itself.
    below: bool,
    /// `None` for the web's.
    port: Option<u16>,
}

/// What may be dialled for a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Only addresses that the whole internet can reach.
    Public,
    /// This very address, which the user wrote down with its port.
    Here,
    /// Nothing.
    Nothing,
}

/// What a client asked a proxy for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) host: String,
    pub(super) port: u16,
    /// What is sent on first: empty for a tunnel.
    pub(super) head: Vec<u8>,
}

impl Hosts {
    /// Reads entries such as `example.org`, `*.example.org`, `127.0.0.1:5432` and the preset `registries`.
    ///
    /// # Errors
    /// An entry is no host, which is told: it would silently allow nothing.
    pub(super) fn parse(list: &[String]) -> Result<Hosts, String> {
        let mut hosts = Vec::new();
        for text in list {
            if text == "registries" {
                hosts.extend(REGISTRIES.iter().map(|name| Entry {
                    name: (*name).into(),
                    below: false,
                    port: None,
                }));
                continue;
            }
            let (host, port) = split(text).ok_or_else(|| format!("`{text}` is no host"))?;
            let (host, below) = match host.strip_prefix("*.").or_else(|| host.strip_prefix('.')) {
                Some(host) => (host, true),
                None => (&*host, false),
            };
            let name = plain(host).ok_or_else(|| format!("`{text}` is no host"))?;
            // `*.com` is most of the web, and no name that a person means.
            if below && !name.contains('.') {
                return Err(format!("`{text}` is too wide"));
            }
            hosts.push(Entry { name, below, port });
        }
        Ok(Hosts(hosts))
    }

    /// What may be dialled.
    pub(super) fn reach(&self, host: &str, port: u16) -> Reach {
        let Some(host) = plain(host) else { return Reach::Nothing };
        let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok();
        for entry in &self.0 {
            let is_port = entry.port.map_or(WEB.contains(&port), |own| own == port);
            let is_name = match entry.below {
                true => host.strip_suffix(&*entry.name).is_some_and(|rest| rest.ends_with('.')),
                false => host == entry.name,
            };
            if is_port && is_name {
                return if is_here && entry.port.is_some() { Reach::Here } else { Reach::Public };
            }
        }
        Reach::Nothing
    }
}

/// A host in one spelling: a name of letters, digits, hyphens and dots, or an address. `None` for anything else, also for
/// bytes that a proxy and a resolver would read differently.
fn plain(host: &str) -> Option<String> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().ok().map(|address| address.to_string());
    }
    if host.parse::<IpAddr>().is_ok() {
        return Some(host);
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    // A last label of digits alone, or one in hex, is an address in a spelling that only some programs read.
    let last = host.rsplit('.').next()?;
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    (host.len() <= 253 && host.split('.').all(is_label) && !is_number).then_some(host)
}

/// Host and port of an authority; the host keeps its brackets.
fn split(text: &str) -> Option<(String, Option<u16>)> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some((format!("[{text}]"), None));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let is_digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            Some((host.to_owned(), Some(is_digits.then(|| port.parse().ok()).flatten()?)))
        }
        _ => Some((text.to_owned(), None)),
    }
}

/// Reads the head of a request to a proxy, up to its empty line.
///
/// # Errors
/// What is wrong with it.
pub(super) fn asked(head: &[u8]) -> Result<Asked, &'static str> {
    let text = std::str::from_utf8(head).map_err(|_| "the request is not text")?;
    if text.bytes().any(|byte| byte == 0) {
        return Err("the request holds a NUL");
    }
    let (line, rest) = text.split_once("\r\n").ok_or("the request has no line")?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("the request line does not have three words");
    };
    if method == "CONNECT" {
        let (host, port) = split(target).ok_or("the address does not parse")?;
        return Ok(Asked { host, port: port.ok_or("the address has no port")?, head: Vec::new() });
    }
    let address = target.strip_prefix("http://").ok_or("only http:// and CONNECT are served")?;
    let end = address.find(['/', '?']).unwrap_or(address.len());
    let (authority, path) = address.split_at(end);
    if authority.contains('@') {
        return Err("the address carries a user name");
    }
    let (host, port) = split(authority).ok_or("the address does not parse")?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let mut head = format!("{method} {path} {version}\r\n");
    for header in rest.split("\r\n").filter(|header| !header.is_empty()) {
        let name = header.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if !matches!(&*name, "proxy-connection" | "proxy-authorization" | "connection") {
            head.push_str(&format!("{header}\r\n"));
        }
    }
    // One request a connection: the next one may be for another host.
    head.push_str("Connection: close\r\n\r\n");
    Ok(Asked { host, port: port.unwrap_or(80), head: head.into_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_is_reached() {
        let list =
            ["a.org", "*.b.org", "c.org:8443", "127.0.0.1:5432", "10.0.0.1", "registries"].map(str::to_owned);
        let hosts = Hosts::parse(&list).unwrap();
        for (host, port, want) in [
            ("a.org", 443, Reach::Public),
            ("A.ORG.", 80, Reach::Public),
            ("a.org", 22, Reach::Nothing),
            ("x.a.org", 443, Reach::Nothing),
            ("xa.org", 443, Reach::Nothing),
            ("x.b.org", 443, Reach::Public),
            ("b.org", 443, Reach::Nothing),
            ("xb.org", 443, Reach::Nothing),
            ("c.org", 8443, Reach::Public),
            ("c.org", 443, Reach::Nothing),
            ("127.0.0.1", 5432, Reach::Here),
            ("127.0.0.1", 80, Reach::Nothing),
            ("10.0.0.1", 80, Reach::Public),
            ("pypi.org", 443, Reach::Public),
            ("a.org\0.evil", 443, Reach::Nothing),
            ("a.org@evil.org", 443, Reach::Nothing),
            ("2130706433", 443, Reach::Nothing),
            ("0x7f.1", 443, Reach::Nothing),
            ("", 443, Reach::Nothing),
        ] {
            assert_eq!(hosts.reach(host, port), want, "{host}:{port}");
        }
        assert_eq!(Hosts::parse(&[]).unwrap().reach("a.org", 443), Reach::Nothing);
    }

    #[test]
    fn a_list_that_means_nothing_is_told() {
        for text in ["", "*", "*.com", "a b", "a:port", "http://a.org", "a.org/x", "*.*.org", "a..b", "127.1"]
        {
            assert!(Hosts::parse(&[text.to_owned()]).is_err(), "{text}");
        }
    }

    #[test]
    fn a_request_is_read_as_it_will_be_dialled() {
        let tunnel = asked(b"CONNECT a.org:443 HTTP/1.1\r\nHost: evil\r\n\r\n").unwrap();
        assert_eq!(tunnel, Asked { host: "a.org".into(), port: 443, head: Vec::new() });
        let plain =
            asked(b"GET http://a.org/x?y HTTP/1.1\r\nHost: a.org\r\nProxy-Connection: keep-alive\r\n\r\n")
                .unwrap();
        assert_eq!((&*plain.host, plain.port), ("a.org", 80));
        assert_eq!(plain.head, b"GET /x?y HTTP/1.1\r\nHost: a.org\r\nConnection: close\r\n\r\n");
        for head in [
            &b"GET /x HTTP/1.1\r\n\r\n"[..],
            b"CONNECT a.org HTTP/1.1\r\n\r\n",
            b"GET http://u@a.org/ HTTP/1.1\r\n\r\n",
            b"CONNECT a.org:443\0 HTTP/1.1\r\n\r\n",
            b"CONNECT  a.org:443 HTTP/1.1\r\n\r\n",
            b"\xff\r\n\r\n",
            b"",
        ] {
            assert!(asked(head).is_err(), "{head:?}");
        }
    }
}
