//! Credential shapes: find them in text, name them, take them out.
//!
//! Shapes are the providers' published prefixes and lengths. A checksum is never asked for: a mistyped key is still somebody's
//! key. What reads as a placeholder (`sk-...`, `ghp_xxxx`, `${TOKEN}`) is none.
//!
//! - `decode`: one layer of base64, hexadecimal, percent signs or JSON escapes is taken off
//! - [`Veil`]: placeholders, so that a value stays on this machine and still comes back

mod decode;
mod veil;

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

pub use veil::{Hidden, Veil};

/// How bad it is when a credential of this kind gets out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Probably a credential, of unknown reach.
    Medium,
    /// Opens one service.
    High,
    /// Opens an account, pays bills, or signs.
    Critical,
}

/// Where a credential stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Name of the rule that found it, such as `github-token`.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
}

/// Returns the credentials in a text, in order and without overlap.
///
/// ```
/// let text = "key rsk_0123456789abcdefghijABCD here";
/// let found = mesh_safety::secrets::find(text);
/// assert_eq!(&text[found[0].start..found[0].end], "rsk_0123456789abcdefghijABCD");
/// assert_eq!(found[0].rule, "meshapi-key");
/// ```
pub fn find(text: &str) -> Vec<Span> {
    let mut spans = plain(text);
    spans.extend(decode::find(text));
    merge(spans)
}

/// The same as they stand there, without a look under another spelling.
fn plain(text: &str) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for rule in RULES.iter() {
        for captures in rule.regex.captures_iter(text) {
            let Some(found) = captures.name("s").or_else(|| captures.get(0)) else { continue };
            if starts_a_word(text, found.start()) && (rule.holds)(found.as_str()) {
                spans.push(Span {
                    start: found.start(),
                    end: found.end(),
                    rule: rule.name,
                    severity: rule.severity,
                });
            }
        }
    }
    merge(spans)
}

/// Returns the text with every credential replaced by `[REDACTED:rule]`; borrowed when there is none.
///
/// Doing it twice changes nothing more.
pub fn redact(text: &str) -> Cow<'_, str> {
    let spans = find(text);
    if spans.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for span in spans {
        out.push_str(&text[at..span.start]);
        out.push_str("[REDACTED:");
        out.push_str(span.rule);
        out.push(']');
        at = span.end;
    }
    out.push_str(&text[at..]);
    Cow::Owned(out)
}

/// Returns whether a key of the gateway stands in the text: such a line is not kept in the history (seed 3.5).
pub fn holds_meshapi_key(text: &str) -> bool {
    static KEY: LazyLock<Regex> = LazyLock::new(|| compile(r"\brsk_[A-Za-z0-9_-]{8,}\b"));
    KEY.is_match(text)
}

struct Rule {
    name: &'static str,
    severity: Severity,
    regex: Regex,
    holds: fn(&str) -> bool,
}

/// Name, severity, shape (the group `s` is the credential where the shape has a context), and a second look at the match.
type Row = (&'static str, Severity, &'static str, fn(&str) -> bool);

#[rustfmt::skip]
const SHAPES: &[Row] = &[
    ("anthropic-key", Severity::Critical, r"sk-ant-[a-z0-9]+-[A-Za-z0-9_-]{20,}", is_mixed),
    ("aws-access-key-id", Severity::Critical, r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b", is_no_example),
    ("aws-secret-key", Severity::Critical, r#"(?i)aws_?(?:secret)?_?(?:access)?_?key["']?\s*(?:=>|[:=])\s*["']?(?P<s>[A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)"#, is_mixed),
    ("github-fine-token", Severity::Critical, r"github_pat_[A-Za-z0-9_]{36,}", is_mixed),
    ("github-token", Severity::Critical, r"ghp_[A-Za-z0-9]{36,}", is_mixed),
    ("gitlab-token", Severity::Critical, r"gl(?:pat|rt|dt|ptt|cbt|soat)-[A-Za-z0-9_-]{20,}", is_mixed),
    ("meshapi-key", Severity::Critical, r"rsk_[A-Za-z0-9]{20,}", is_mixed),
    ("npm-token", Severity::Critical, r"npm_[A-Za-z0-9]{36}\b", is_mixed),
    ("openai-key", Severity::Critical, r"sk-(?:(?:proj|svcacct|admin|or-v1|None)-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{32,})", is_mixed),
    ("private-key", Severity::Critical, r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\\[nr]|\s)+(?:[A-Za-z-]+: [^\n]*\n\s*)*[A-Za-z0-9+/=]{16,}[\s\S]*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|\z)", is_any),
    ("pypi-token", Severity::Critical, r"pypi-AgE[A-Za-z0-9_-]{40,}", is_mixed),
    ("stripe-live-key", Severity::Critical, r"(?:sk|rk)_live_[A-Za-z0-9]{16,}", is_mixed),
    ("age-key", Severity::Critical, r"AGE-SECRET-KEY-1[0-9A-Z]{50,}", is_any),
    ("azure-storage-key", Severity::Critical, r"AccountKey=(?P<s>[A-Za-z0-9+/]{86}==)", is_mixed),
    ("digitalocean-token", Severity::Critical, r"do[opr]_v1_[a-f0-9]{64}", is_mixed),
    ("dockerhub-token", Severity::High, r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{24,}", is_mixed),
    ("github-app-token", Severity::High, r"gh[ousr]_[A-Za-z0-9]{36,}", is_mixed),
    ("google-api-key", Severity::High, r"AIza[A-Za-z0-9_-]{35}", is_mixed),
    ("google-oauth-secret", Severity::High, r"GOCSPX-[A-Za-z0-9_-]{28}", is_mixed),
    ("grafana-token", Severity::High, r"gl(?:sa|c)_[A-Za-z0-9+/=_]{32,}", is_mixed),
    ("groq-key", Severity::High, r"gsk_[A-Za-z0-9]{40,}", is_mixed),
    ("huggingface-token", Severity::High, r"(?:hf_|api_org_)[A-Za-z0-9]{30,}", is_mixed),
    ("jwt", Severity::High, r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}", is_mixed),
    ("linear-key", Severity::High, r"lin_(?:api|oauth)_[A-Za-z0-9]{32,}", is_mixed),
    ("databricks-token", Severity::High, r"dapi[a-f0-9]{32}(?:-\d)?\b", is_mixed),
    ("new-relic-key", Severity::High, r"NRAK-[A-Z0-9]{27}", is_mixed),
    ("notion-token", Severity::High, r"ntn_[A-Za-z0-9]{40,}", is_mixed),
    ("replicate-token", Severity::High, r"r8_[A-Za-z0-9]{36,}", is_mixed),
    ("sendgrid-key", Severity::High, r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{30,}", is_mixed),
    ("sentry-token", Severity::High, r"sntry[su]_[A-Za-z0-9+/=_]{40,}", is_mixed),
    ("shopify-token", Severity::High, r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}", is_mixed),
    ("slack-token", Severity::High, r"xox[abeoprs]-[A-Za-z0-9-]{20,}|xapp-\d-[A-Za-z0-9-]{20,}", is_mixed),
    ("square-token", Severity::High, r"sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,}", is_mixed),
    ("supabase-token", Severity::High, r"sbp_[a-f0-9]{40}", is_mixed),
    ("telegram-token", Severity::High, r"\d{8,10}:AA[A-Za-z0-9_-]{33}\b", is_mixed),
    ("twilio-key", Severity::High, r"SK[0-9a-f]{32}\b", is_mixed),
    ("vault-token", Severity::High, r"hv[sbr]\.[A-Za-z0-9_-]{24,}", is_mixed),
    ("xai-key", Severity::High, r"xai-[A-Za-z0-9]{40,}", is_mixed),
    ("postman-key", Severity::High, r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}", is_mixed),
    ("bearer-token", Severity::High, r#"(?i)\bbearer\s+(?P<s>[A-Za-z0-9._~+/-]{20,}=*)"#, is_mixed),
    ("basic-auth-header", Severity::High, r#"(?i)authorization:\s*basic\s+(?P<s>[A-Za-z0-9+/]{12,}={0,2})"#, is_mixed),
    ("url-password", Severity::High, r#"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:/@"'<>$\{]{1,64}:(?P<s>[^\s:/@"'<>]{6,})@"#, is_password),
    ("password", Severity::High, r#"(?i)(?:password|passwd|passphrase|pwd)["']?\s*(?:is|:=|=>|[:=])\s*["'`]?(?P<s>[^\s"'`,;]{8,})"#, is_strong_password),
    ("password", Severity::High, r#"\bmysql(?:dump|admin)?\b[^\n|;]{0,80}?\s-p["']?(?P<s>[^\s"']{8,})"#, is_strong_password),
    ("slack-webhook", Severity::Medium, r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{24,}", is_any),
    ("discord-webhook", Severity::Medium, r"https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/\d+/[A-Za-z0-9_-]{40,}", is_any),
    ("stripe-test-key", Severity::Medium, r"(?:sk|rk)_test_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/]{24,}", is_mixed),
    ("assigned-secret", Severity::Medium, r#"(?i)(?:api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|client[_-]?secret|auth[_-]?token|access[_-]?token|refresh[_-]?token|secret|token|credential)["']?\s*(?:=>|:=|[:=])\s*["'`]?(?P<s>[A-Za-z0-9+/_.=~-]{16,})"#, is_random),
];

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let row = |&(name, severity, shape, holds): &Row| Rule { name, severity, regex: compile(shape), holds };
    SHAPES.iter().map(row).collect()
});

fn compile(shape: &str) -> Regex {
    Regex::new(shape).expect("the shapes are constants, and a test compiles each")
}

/// A shape in the middle of a longer word is part of that word.
fn starts_a_word(text: &str, start: usize) -> bool {
    text[..start].chars().next_back().is_none_or(|c| !(c.is_ascii_alphanumeric() || c == '_'))
}

fn is_any(_: &str) -> bool {
    true
}

/// Longest span wins where two overlap; the greater severity is kept.
fn merge(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by(|a, b| a.start.cmp(&b.start).then(b.severity.cmp(&a.severity)).then(b.end.cmp(&a.end)));
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start < last.end => {
                last.end = last.end.max(span.end);
                if span.severity > last.severity {
                    (last.rule, last.severity) = (span.rule, span.severity);
                }
            }
            _ => merged.push(span),
        }
    }
    merged
}

/// Shannon entropy below which a value is a word or a placeholder. Measured on the public corpus; random base62 of 20
/// characters lies above 3.7.
const MIN_ENTROPY: f64 = 3.0;

/// Bits of Shannon entropy per character.
fn entropy(text: &str) -> f64 {
    let mut counts = [0u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let total = text.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|&count| f64::from(count) / total)
        .map(|p| -p * p.log2())
        .sum()
}

fn is_placeholder(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["example", "xxxx", "your", "placeholder", "changeme", "redacted", "dummy", "${", "{{", "<", "***", "..."]
        .iter()
        .any(|word| lower.contains(word))
}

fn is_mixed(text: &str) -> bool {
    !is_placeholder(text)
        && entropy(text) >= MIN_ENTROPY
        && text.bytes().any(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
}

fn is_no_example(text: &str) -> bool {
    !text.ends_with("EXAMPLE") && is_mixed(text)
}

fn is_password(text: &str) -> bool {
    !is_placeholder(text)
        && !text.starts_with(['$', '{', '%', '['])
        && !["password", "passwd", "secret"].contains(&text)
}

/// A password in prose or an assignment: a word, a call or a template is none.
fn is_strong_password(text: &str) -> bool {
    let text = text.trim_end_matches(['.', ')', ']', '}']);
    let has = |class: fn(&char) -> bool| text.chars().any(|c| class(&c));
    let classes = [
        has(char::is_ascii_lowercase),
        has(char::is_ascii_uppercase),
        has(char::is_ascii_digit),
        has(char::is_ascii_punctuation),
    ];
    is_password(text)
        && text.len() >= 8
        && !text.contains(['(', '[', '{'])
        && !text.starts_with("process.")
        && has(char::is_ascii_digit)
        && classes.iter().filter(|held| **held).count() >= 3
}

/// A named value that looks drawn at random: letters and digits, no words, high entropy.
fn is_random(text: &str) -> bool {
    /// Lower bound for values that only their name betrays (spec: entropy at least 3.5).
    const MIN_ASSIGNED_ENTROPY: f64 = 3.5;
    let bytes = text.as_bytes();
    let turns =
        bytes.windows(2).filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase()).count();
    !is_placeholder(text)
        && entropy(text) >= MIN_ASSIGNED_ENTROPY
        && (bytes.iter().filter(|b| b.is_ascii_digit()).count() >= 2 || turns >= 4)
        && text.bytes().any(|b| b.is_ascii_alphabetic())
        && !text.contains("..")
        && text.split(['.', '-', '_']).any(|part| part.len() >= 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values are put together here so that no scanner trips on this file; none was ever a credential.
    fn made(prefix: &str, length: usize) -> String {
        let alphabet = b"Zk7QpX2mLd9RtY4bNc8WsV3gHf6JaTe5";
        let tail = (0..length).map(|i| char::from(alphabet[(i * 11 + 5) % alphabet.len()]));
        prefix.chars().chain(tail).collect()
    }

    #[track_caller]
    fn check(text: &str, want: Option<&str>) {
        assert_eq!(find(text).first().map(|span| span.rule), want, "{text}");
    }

    #[test]
    fn providers_keys_are_found_by_their_shape() {
        check(&format!("TOKEN={}", made("ghp_", 36)), Some("github-token"));
        check(&format!("use {} now", made("sk-proj-", 60)), Some("openai-key"));
        check(&format!("use {} now", made("rsk_", 40)), Some("meshapi-key"));
        check(&format!("'{}'", made("sk_live_", 24)), Some("stripe-live-key"));
        check(&format!("postgres://app:{}@db/app", made("", 18)), Some("url-password"));
        check(&format!("Authorization: Bearer {}", made("", 40)), Some("bearer-token"));
        check(&format!("api_key=\"{}\"", made("", 32)), Some("assigned-secret"));
        check(&format!("DB_PASSWORD={}!x#2", made("", 9)), Some("password"));
    }

    #[test]
    fn words_placeholders_and_hashes_are_none() {
        for text in [
            "AKIAIOSFODNN7EXAMPLE",
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "export OPENAI_API_KEY=sk-...",
            "password = input('Password: ')",
            "password: ${DB_PASSWORD}",
            "api_key = os.environ['OPENAI_API_KEY']",
            "commit 6a4d44eb0f18a13cec64afbe734d946d943e47e8",
            "max_tokens: 4096",
            "the secret to good tests is isolation",
            "task-0123456789012345678901234567890123456789",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn redaction_names_the_rule_and_is_stable() {
        let text = format!("a {} b", made("rsk_", 40));
        let once = redact(&text).into_owned();
        assert_eq!(once, "a [REDACTED:meshapi-key] b");
        assert_eq!(redact(&once), once);
        assert!(matches!(redact("nothing here"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_key_of_the_gateway_is_seen_as_the_seed_sees_it() {
        assert!(holds_meshapi_key("set rsk_12345678 please"));
        assert!(!holds_meshapi_key("rsk_short"));
        assert!(!holds_meshapi_key("xrsk_123456789"));
    }
}
