//! Addresses of the web: public ones only, judged by what the name resolves to (seed 14.7, D-12, spec/safety.md 5.5).
//!
//! Pure: whoever fetches resolves the name once, has the answers judged, and connects to one of those very addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::Decision;
use crate::rules::{Effect, Rule, Rules};

/// Redirects that are followed, each judged anew. From spec/safety.md 5.5.
pub const MAX_REDIRECTS: u8 = 5;

/// Judges a fetch: the address as written, then every address that its name resolves to.
///
/// `resolved` is what the name service answered; it is not looked at when the host is a number. A name with no answer asks.
pub fn judge_url(url: &str, resolved: &[IpAddr]) -> Decision {
    match WebTarget::parse(url) {
        Ok(target) => target.judge(resolved),
        Err(error) => Decision::ask_by_check(error.to_string()),
    }
}

/// Judges a fetch before any name is looked up: the address as it is written, the rules of the user on its host, a host that is a
/// number. A name that passes is still to be resolved, and its answers to be judged by [`WebTarget::judge_by`].
pub fn judge_written(url: &str, rules: &Rules) -> Decision {
    match WebTarget::parse(url) {
        Ok(target) => match (rules.host(&target.host()).map(Rule::effect), target.url.host()) {
            (None | Some(Effect::Allow), Some(Host::Domain(_))) => Decision::Allow,
            _ => target.judge_by(rules, &[]),
        },
        Err(error) => Decision::ask_by_check(error.to_string()),
    }
}

/// Judges one address: only what the whole internet can reach passes.
pub fn judge_address(address: IpAddr) -> Decision {
    match special_use(address) {
        None => Decision::Allow,
        Some(why) => Decision::ask_by_check(format!("{address} is {why}")),
    }
}

/// Why an address of the web is refused before any name is looked up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Spaces, control characters or backslashes: two readers would see two addresses.
    #[error("the address holds characters that do not belong there")]
    Characters,
    /// Neither http nor https, or no address at all.
    #[error("only http:// and https:// addresses are fetched")]
    Scheme,
    /// No host, or a port out of range.
    #[error("the address does not parse: {0}")]
    Malformed(String),
    /// A user name or password in front of the host.
    #[error("the address carries a user name or password")]
    UserInfo,
    /// A name that means this machine or this network.
    #[error("`{0}` is a name of this machine or this network")]
    PrivateName(String),
    /// More redirects than [`MAX_REDIRECTS`].
    #[error("more than {MAX_REDIRECTS} redirects")]
    TooManyRedirects,
}

/// Where a fetch goes: a parsed address whose name still has to be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebTarget {
    url: Url,
    hops: u8,
}

impl WebTarget {
    /// Parses an address as browsers do, after refusing what only confuses.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn parse(text: &str) -> Result<WebTarget, UrlError> {
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(UrlError::Characters);
        }
        // The parser forgives missing and surplus slashes; a person reading the address would not see the same host.
        let lower = text.to_ascii_lowercase();
        let rest = lower
            .strip_prefix("https://")
            .or_else(|| lower.strip_prefix("http://"))
            .ok_or(UrlError::Scheme)?;
        if rest.is_empty() || rest.starts_with('/') {
            return Err(UrlError::Malformed("no host".to_owned()));
        }
        WebTarget::of(Url::parse(text).map_err(|error| UrlError::Malformed(error.to_string()))?, 0)
    }

    /// Returns the host: a name in lower case without a dot at its end, or a number as it is usually written.
    pub fn host(&self) -> String {
        match self.url.host() {
            Some(Host::Domain(name)) => name.trim_end_matches('.').to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => String::new(),
        }
    }

    /// Returns the port, that of the scheme when none is written.
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(443)
    }

    /// Returns the parsed address.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Judges every address that the host resolved to. All must be public: one private answer is a rebinding trap.
    pub fn judge(&self, resolved: &[IpAddr]) -> Decision {
        match self.url.host() {
            Some(Host::Ipv4(address)) => judge_address(address.into()),
            Some(Host::Ipv6(address)) => judge_address(address.into()),
            Some(Host::Domain(_)) if resolved.is_empty() => {
                Decision::ask_by_check(format!("`{}` does not resolve", self.host()))
            }
            Some(Host::Domain(_)) => {
                resolved.iter().map(|&address| judge_address(address)).fold(Decision::Allow, Decision::join)
            }
            None => Decision::ask_by_check("no host"),
        }
    }

    /// The same after the rules of the user on hosts: `deny` blocks and `ask` asks. An `allow` that names this very host lets it be
    /// reached wherever it is, its own machine or network included; a pattern lets nothing but what is public be reached, because
    /// whoever owns the zone says where its names lead.
    pub fn judge_by(&self, rules: &Rules, resolved: &[IpAddr]) -> Decision {
        match rules.host(&self.host()) {
            Some(rule) if rule.effect() == Effect::Allow && rule.text().contains('*') => self.judge(resolved),
            Some(rule) => Decision::by_rule(rule),
            None => self.judge(resolved),
        }
    }

    /// Returns where a redirect leads; the new target has to be resolved and judged like the first.
    ///
    /// # Errors
    /// As for [`WebTarget::parse`], and when it is one redirect too many.
    pub fn redirect(&self, location: &str) -> Result<WebTarget, UrlError> {
        if self.hops >= MAX_REDIRECTS {
            return Err(UrlError::TooManyRedirects);
        }
        if location.chars().any(|c| c.is_control() || c == '\\') {
            return Err(UrlError::Characters);
        }
        let url = self.url.join(location).map_err(|error| UrlError::Malformed(error.to_string()))?;
        WebTarget::of(url, self.hops + 1)
    }

    fn of(url: Url, hops: u8) -> Result<WebTarget, UrlError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::UserInfo);
        }
        if url.port() == Some(0) {
            return Err(UrlError::Malformed("port 0".to_owned()));
        }
        let target = WebTarget { url, hops };
        let host = target.host();
        match host.as_str() {
            "" => Err(UrlError::Malformed("no host".to_owned())),
            name if is_private_name(name) => Err(UrlError::PrivateName(host)),
            _ => Ok(target),
        }
    }
}

/// Whether a host of a command's operand is this machine itself: what a developer's own server listens on.
pub(crate) fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    let loopback =
        host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() || address.is_unspecified());
    loopback || host == "localhost" || host.ends_with(".localhost")
}

fn is_private_name(name: &str) -> bool {
    ["localhost", "local", "internal", "localdomain", "home.arpa"]
        .iter()
        .any(|zone| name == *zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.')))
}

fn special_use(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

/// From the IANA special-purpose registry for IPv4, and the two clouds' own services that stand outside of it.
#[rustfmt::skip]
const V4_RANGES: &[([u8; 4], u32, &str)] = &[
    ([0, 0, 0, 0], 8, "this network"),
    ([10, 0, 0, 0], 8, "a private network"),
    ([100, 64, 0, 0], 10, "a provider's inner network"),
    ([127, 0, 0, 0], 8, "this machine"),
    ([168, 63, 129, 16], 32, "a cloud's inner service"),
    ([169, 254, 0, 0], 16, "a link's own network, where clouds keep credentials"),
    ([172, 16, 0, 0], 12, "a private network"),
    ([192, 0, 0, 0], 24, "reserved"),
    ([192, 0, 2, 0], 24, "for documentation"),
    ([192, 31, 196, 0], 24, "reserved"),
    ([192, 52, 193, 0], 24, "reserved"),
    ([192, 88, 99, 0], 24, "a retired relay"),
    ([192, 168, 0, 0], 16, "a private network"),
    ([192, 175, 48, 0], 24, "reserved"),
    ([198, 18, 0, 0], 15, "for benchmarks"),
    ([198, 51, 100, 0], 24, "for documentation"),
    ([203, 0, 113, 0], 24, "for documentation"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([240, 0, 0, 0], 4, "reserved"),
];

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = u32::from(address);
    let inside = |base: [u8; 4], length: u32| (bits ^ u32::from(Ipv4Addr::from(base))) >> (32 - length) == 0;
    V4_RANGES.iter().find(|(base, length, _)| inside(*base, *length)).map(|(_, _, why)| *why)
}

/// Only 2000::/3 is public, less what embeds an IPv4 address or is reserved. So mapped, compatible, NAT64, unique local and
/// link-local addresses are all refused, whatever they embed.
fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let [a, b, c, d, e, f, ..] = address.segments();
    match (a, b) {
        (0, 0) if (c, d, e) == (0, 0, 0) && f == 0xffff => Some("an IPv4 address in disguise"),
        (0, 0) => Some("this machine, or an IPv4 address in disguise"),
        (0x64, 0xff9b) => Some("an IPv4 address in disguise"),
        (0xfc00..=0xfdff, _) => Some("a private network"),
        (0xfe80..=0xfebf, _) => Some("a link's own network"),
        (0xfec0..=0xfeff, _) => Some("a site's own network"),
        (0xff00..=0xffff, _) => Some("multicast"),
        (0x2001, 0..=0x1ff) => Some("reserved, or an IPv4 address in disguise"),
        (0x2001, 0xdb8) => Some("for documentation"),
        (0x2002, _) => Some("an IPv4 address in disguise"),
        (0x3fff, 0..=0xfff) => Some("for documentation"),
        // ISATAP hides an IPv4 address in the lower half of any prefix.
        (0x2000..=0x3fff, _) if f == 0x5efe && (e == 0 || e == 0x200) => Some("an IPv4 address in disguise"),
        (0x2000..=0x3fff, _) => None,
        _ => Some("not assigned"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, resolved: &[&str], want: bool) {
        let resolved: Vec<IpAddr> = resolved.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(judge_url(url, &resolved).is_allow(), want, "{url}");
    }

    #[test]
    fn numbers_in_any_spelling_are_judged_as_numbers() {
        for host in
            ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "017700000001", "0", "169.254.169.254.", "[::1]"]
        {
            check(&format!("http://{host}/"), &["93.184.216.34"], false);
        }
        for host in [
            "10.0.0.1",
            "100.64.0.1",
            "192.88.99.1",
            "[fe80::1]",
            "[2002:7f00:1::]",
            "[64:ff9b::1]",
            "[::ffff:8.8.8.8]",
        ] {
            check(&format!("http://{host}/"), &[], false);
        }
        for host in
            ["[2001:db8::1]", "[3fff::1]", "[fec0::1]", "[2001:0:1::1]", "[2600::5efe:a00:1]", "[4000::1]"]
        {
            check(&format!("http://{host}/"), &[], false);
        }
        for host in
            ["8.8.8.8", "172.32.0.1", "100.128.0.1", "[2606:4700:4700::1111]", "1572395042", "169.253.0.1"]
        {
            check(&format!("http://{host}/"), &[], true);
        }
    }

    #[test]
    fn rules_of_the_user_come_first() {
        let rules: Rules = [
            (Effect::Deny, "host evil.example"),
            (Effect::Ask, "host *.odd.example"),
            (Effect::Allow, "host localhost"),
            (Effect::Allow, "host *.mine.example"),
            (Effect::Allow, "host box.mine.example"),
        ]
        .into_iter()
        .map(|(effect, text)| crate::rules::Rule::parse(effect, text).unwrap())
        .collect();
        let (public, own) = (["93.184.216.34".parse().unwrap()], ["127.0.0.1".parse().unwrap()]);
        for (url, resolved, want) in [
            ("https://evil.example/x", &public, 'B'),
            ("https://EVIL.example./x", &public, 'B'),
            ("https://a.odd.example", &public, '?'),
            ("https://fine.example", &public, 'a'),
            ("https://fine.example", &own, '?'),
            ("http://a.mine.example", &public, 'a'),
            ("http://a.mine.example", &own, '?'),
            ("http://box.mine.example", &own, 'a'),
        ] {
            let decision = WebTarget::parse(url).unwrap().judge_by(&rules, resolved);
            let got = match decision {
                Decision::Allow => 'a',
                Decision::Ask(_) => '?',
                Decision::Block(_) => 'B',
            };
            assert_eq!(got, want, "{url} {resolved:?}");
        }
    }

    #[test]
    fn names_are_judged_by_every_answer() {
        check("https://example.com/a", &["93.184.216.34"], true);
        check("https://example.com/a", &["93.184.216.34", "127.0.0.1"], false);
        check("https://example.com/a", &["::ffff:127.0.0.1"], false);
        check("https://example.com/a", &[], false);
        check("http://LOCALHOST.:80/", &["93.184.216.34"], false);
        check("http://metadata.google.internal/", &["93.184.216.34"], false);
        check("https://internal.example.com/", &["93.184.216.34"], true);
    }

    #[test]
    fn what_only_confuses_is_refused() {
        for url in [
            "ftp://example.com",
            "//example.com",
            "example.com",
            "",
            "http://",
            "http:///a",
            "http://:80/",
            "http:example.com",
            "http://u@example.com/",
            "http://u:p@example.com/",
            "http://example.com\\@x/",
            "http://ex ample.com/",
            "http://example.com:99999/",
            "http://example.com:0/",
            "http://[::1",
            "javascript:alert(1)",
        ] {
            check(url, &["93.184.216.34"], false);
        }
    }

    #[test]
    fn redirects_are_judged_like_first_addresses() {
        let first = WebTarget::parse("https://example.com/a").unwrap();
        assert_eq!(first.redirect("/b").unwrap().url().as_str(), "https://example.com/b");
        let inner = first.redirect("http://169.254.169.254/").unwrap();
        assert!(!inner.judge(&[]).is_allow());
        assert!(first.redirect("file:///etc/hosts").is_err());
        let last = (0..MAX_REDIRECTS).try_fold(first, |target, _| target.redirect("/again")).unwrap();
        assert_eq!(last.redirect("/x"), Err(UrlError::TooManyRedirects));
        assert_eq!((last.host().as_str(), last.port()), ("example.com", 443));
    }
}
