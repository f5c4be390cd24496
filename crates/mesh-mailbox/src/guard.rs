//! Keeps credentials out of messages: the Python client's patterns as a floor, then the detector of mesh-safety.
//!
//! What was found is named by its label; the text itself stands in no error and no log.

use std::sync::LazyLock;

use regex::Regex;

/// Shortest live token that is looked for. From the Python client 0.9.0: a shorter one is found everywhere.
const MIN_LIVE_TOKEN: usize = 16;

/// What a content seems to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leak {
    /// What it looks like, such as `github token`.
    pub label: &'static str,
    /// It is a token in use: no override lets it pass.
    pub is_live: bool,
}

/// Looks for credentials: live tokens first, then shapes.
pub fn find(content: &str, live_tokens: &[&str]) -> Option<Leak> {
    let shape = |label| Leak { label, is_live: false };
    live(content, live_tokens)
        .or_else(|| seed_pattern(content).map(shape))
        .or_else(|| mesh_safety::secrets::find(content).first().map(|span| shape(span.rule)))
}

/// Looks for live tokens alone, as under an override.
pub fn live(content: &str, live_tokens: &[&str]) -> Option<Leak> {
    let is_held = |token: &&str| {
        let token = token.trim();
        token.len() >= MIN_LIVE_TOKEN && content.contains(token)
    };
    live_tokens.iter().any(is_held).then_some(Leak { label: "live token", is_live: true })
}

/// The label of the first of the Python client's patterns that matches, in its order.
pub fn seed_pattern(content: &str) -> Option<&'static str> {
    PATTERNS.iter().find(|pattern| pattern.is_in(content)).map(|pattern| pattern.label)
}

struct Pattern {
    label: &'static str,
    shape: Shape,
}

enum Shape {
    /// At a word edge; the second part judges the place behind the match.
    Prefix(Regex, fn(&str, usize, usize) -> bool),
    /// So many characters of an alphabet between word edges, with a word behind them on the same line.
    Before { word: &'static str, is_inside: fn(u8) -> bool, exactly: Option<usize>, at_least: usize },
}

static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let prefix = |label, shape: &str, holds| {
        let regex = Regex::new(shape).expect("the patterns are constants, and a test uses each");
        Pattern { label, shape: Shape::Prefix(regex, holds) }
    };
    let any = |_: &str, _: usize, _: usize| true;
    // The deepseek shape of the Python client is left out: each of its matches is one of the openai shape before it.
    vec![
        prefix("pypi token", "pypi-[A-Za-z0-9_-]{20,}", any),
        prefix("anthropic api key", "sk-ant-[A-Za-z0-9_-]{20,}", any),
        prefix("openai ADMIN key (org-level privilege)", "sk-admin-[A-Za-z0-9_-]{20,}", any),
        prefix("openai api key", "sk-(?:proj-)?[A-Za-z0-9_-]{20,}", |text, start, _| {
            !text[start..].starts_with("sk-admin-")
        }),
        prefix("xai api key", "xai-[A-Za-z0-9_-]{40,}", any),
        prefix("google api key", "AIza[0-9A-Za-z_-]{35}", any),
        prefix("github token", "gh[ops]_[A-Za-z0-9]{30,}", any),
        prefix("aws access key", "AKIA[0-9A-Z]{16}", |text, _, end| is_edge(text, end)),
        Pattern {
            label: "aws secret key",
            shape: Shape::Before {
                word: "aws",
                is_inside: |b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'+' | b'='),
                exactly: Some(40),
                at_least: 40,
            },
        },
        prefix(
            "jwt",
            r"eyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{15,}",
            |text, start, end| {
                let last_part = text[start..end].rfind('.').map_or(end, |dot| start + dot + 1);
                last_edge(text, last_part + 15, end).is_some()
            },
        ),
        Pattern {
            label: "possible mesh-gateway token",
            shape: Shape::Before {
                word: "MESH_GATEWAY_TOKEN",
                is_inside: |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'),
                exactly: None,
                at_least: 48,
            },
        },
    ]
});

impl Pattern {
    fn is_in(&self, text: &str) -> bool {
        match &self.shape {
            Shape::Prefix(regex, holds) => {
                let mut from = 0;
                while let Some(found) = regex.find_at(text, from) {
                    if is_edge(text, found.start()) && holds(text, found.start(), found.end()) {
                        return true;
                    }
                    // Candidates overlap: the next one may begin inside this one. All begin with ASCII.
                    from = found.start() + 1;
                }
                false
            }
            Shape::Before { word, is_inside, exactly, at_least } => text.split('\n').any(|line| {
                line.rfind(word).is_some_and(|end| {
                    runs(line.as_bytes(), end, *is_inside).any(|(start, stop)| match exactly {
                        Some(length) => (start..(stop + 1).saturating_sub(*length))
                            .any(|at| is_edge(line, at) && is_edge(line, at + length)),
                        None => first_edge(line, start, stop)
                            .zip(last_edge(line, start, stop))
                            .is_some_and(|(first, last)| last - first >= *at_least),
                    })
                })
            }),
        }
    }
}

/// Runs of an alphabet of ASCII in the first `end` bytes.
fn runs(bytes: &[u8], end: usize, is_inside: fn(u8) -> bool) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = (at..end).find(|&i| is_inside(bytes[i]))?;
        at = (start..end).find(|&i| !is_inside(bytes[i])).unwrap_or(end);
        Some((start, at))
    })
    .filter(|(start, stop)| stop > start)
}

fn first_edge(text: &str, from: usize, to: usize) -> Option<usize> {
    (from..=to).find(|&at| is_edge(text, at))
}

fn last_edge(text: &str, from: usize, to: usize) -> Option<usize> {
    (from..=to).rev().find(|&at| is_edge(text, at))
}

/// Whether a word begins or ends here: a letter, digit or underscore of any script on one side, none on the other.
fn is_edge(text: &str, at: usize) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let before = text[..at].chars().next_back().is_some_and(is_word);
    let after = text[at..].chars().next().is_some_and(is_word);
    before != after
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Put together here so that no scanner trips on this file; none was ever a credential.
    fn made(prefix: &str, length: usize) -> String {
        let alphabet = b"Zk7QpX2mLd9RtY4bNc8WsV3gHf6JaTe5";
        prefix.chars().chain((0..length).map(|i| char::from(alphabet[(i * 11 + 5) % 32]))).collect()
    }

    #[track_caller]
    fn check(text: &str, want: Option<&str>) {
        assert_eq!(seed_pattern(text), want, "{text}");
    }

    #[test]
    fn shapes_have_their_edges() {
        check(&made("pypi-", 20), Some("pypi token"));
        check(&made("pypi-", 19), None);
        check(&made("xpypi-", 20), None);
        check(&made("épypi-", 20), None);
        check(&made("sk-admin-", 20), Some("openai ADMIN key (org-level privilege)"));
        check(&made("sk-admin-", 12), None);
        check(&made("sk-admin-x sk-", 30), Some("openai api key"));
        check(&made("sk-admin-x-sk-", 5), None);
        check(&format!("{} aws", made("", 40)), Some("aws secret key"));
        check(&format!("{}\naws", made("", 40)), None);
        check(&format!("{} for aws", made("", 41)), None);
        check(&format!("{} MESH_GATEWAY_TOKEN", made("", 48)), Some("possible mesh-gateway token"));
        check(&format!("{}-MESH_GATEWAY_TOKEN", made("", 48)), Some("possible mesh-gateway token"));
        check(&format!("{}MESH_GATEWAY_TOKEN", made("", 48)), None);
        check(&format!("{}.{}.{}", made("eyJ", 15), made("eyJ", 15), made("", 15)), Some("jwt"));
    }

    #[test]
    fn a_live_token_is_found_whatever_its_shape() {
        assert_eq!(
            find("my token is abcdefgh-ijklmnop", &["short", " abcdefgh-ijklmnop "]).map(|l| l.is_live),
            Some(true)
        );
        assert_eq!(live("short", &["short"]), None);
        assert_eq!(find("see task 12", &["abcdefgh-ijklmnop"]), None);
    }

    #[test]
    fn the_wider_detector_stands_behind_the_patterns() {
        let found = find(&made("key rsk_", 40), &[]);
        assert_eq!(found, Some(Leak { label: "meshapi-key", is_live: false }));
    }

    proptest! {
        #[test]
        fn any_text_is_looked_through(text in "(\\PC|[A-Za-z0-9/+=_-]{0,60}|aws|MESH_GATEWAY_TOKEN|sk-|eyJ|\\.|\n| ){0,12}") {
            seed_pattern(&text);
        }
    }
}
