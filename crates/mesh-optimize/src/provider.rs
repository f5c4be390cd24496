//! How a provider bills a prompt that it has seen before: cache rules as data.
//!
//! Prices are multiples of the plain input price. Gathered 2026-11 from the providers' prompt-caching pages and the tables that
//! section 2 of the specification names; where sources differ the row says so.

use std::fmt;
use std::str::FromStr;

/// What a provider's cache does.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cache {
    /// Up to four breakpoints in the request; entries exist only where one stood.
    Marked {
        /// A shorter prefix is not cached, in tokens.
        minimum: u32,
    },
    /// The longest prefix that was seen before, without being asked.
    Prefix,
    /// Every token is paid in full.
    None,
}

/// The cache rules of a provider.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Provider {
    /// How the cache is used.
    pub cache: Cache,
    /// Price of a token that was read from the cache.
    pub read: f64,
    /// Price of a token that is new to the cache.
    pub write: f64,
    /// Seconds that an entry lives after its last use.
    pub life: f64,
}

/// Breakpoints that a request may carry. Anthropic's prompt-caching page.
pub const BREAKPOINTS: usize = 4;

/// Places, its own included, at which a breakpoint finds an entry. Anthropic's prompt-caching page.
pub const LOOKBACK: usize = 20;

/// Minimum prefix of a model that no row names. The commonest value of the table.
const MINIMUM: u32 = 1024;

/// Parts of a model's name and the minimum prefix that its provider caches, in tokens; the first row that fits counts.
///
/// From Anthropic's prompt-caching page and the LiteLLM table, 2026-10; for Opus 4.7 sources give 2,048 and 4,096: the larger
/// costs a mark that would have worked, the smaller nothing, since a mark below the minimum is ignored.
const MINIMA: &[(&str, u32)] = &[
    ("opus-5", 512),
    ("fable-5", 512),
    ("mythos-5", 512),
    ("opus-4.8", 1024),
    ("opus-4-8", 1024),
    ("opus-4.7", 2048),
    ("opus-4-7", 2048),
    ("opus-4.6", 4096),
    ("opus-4-6", 4096),
    ("opus-4.5", 4096),
    ("opus-4-5", 4096),
    ("haiku-4.5", 4096),
    ("haiku-4-5", 4096),
];

impl Provider {
    /// Explicit breakpoints, five-minute life: writes 1.25, reads 0.1. Anthropic's prompt-caching page.
    pub const ANTHROPIC: Provider =
        Provider { cache: Cache::Marked { minimum: MINIMUM }, read: 0.1, write: 1.25, life: 300.0 };

    /// Nothing is cached.
    pub const NONE: Provider = Provider { cache: Cache::None, read: 1.0, write: 1.0, life: 0.0 };

    /// Automatic caching with free writes; `read` is the price of a cached token as a multiple of a plain one.
    ///
    /// Entries are taken to live ten minutes: OpenAI's prompt-caching guide gives five to ten minutes of idleness.
    pub fn prefix(read: f64) -> Provider {
        Provider { cache: Cache::Prefix, read, write: 1.0, life: 600.0 }
    }

    /// Chooses by the name of the model, with or without the maker in front (`anthropic/claude-opus-4.8`).
    ///
    /// Multiples are those of section 2: Claude is marked; the GPT-5 family, Gemini and DeepSeek read at 0.1, from GPT-5.6 with
    /// writes at 1.25; older OpenAI models at 0.5. An unknown model is taken to cache by itself at 0.1, which cuts least.
    pub fn of_model(model: &str) -> Provider {
        let model = model.to_ascii_lowercase();
        let name = model.rsplit('/').next().unwrap_or(&model);
        if name.contains("claude") || model.starts_with("anthropic/") {
            let minimum =
                MINIMA.iter().find(|(part, _)| name.contains(part)).map_or(MINIMUM, |(_, minimum)| *minimum);
            return Provider { cache: Cache::Marked { minimum }, ..Provider::ANTHROPIC };
        }
        if let Some(version) =
            name.strip_prefix("gpt-5.").and_then(|rest| rest.split('-').next()?.parse::<u32>().ok())
        {
            let write = if version >= 6 { 1.25 } else { 1.0 };
            return Provider { write, ..Provider::prefix(0.1) };
        }
        if name.starts_with("gpt-4")
            || name.starts_with("o1")
            || name.starts_with("o3")
            || name.starts_with("o4")
        {
            return Provider::prefix(0.5);
        }
        Provider::prefix(0.1)
    }

    /// Whether breakpoints go into the request.
    pub fn is_marked(&self) -> bool {
        matches!(self.cache, Cache::Marked { .. })
    }

    /// Requests that a warm cut of a token takes to earn back one token behind it that is written again: (w - r) / r.
    pub fn break_even(&self) -> f64 {
        (self.write - self.read) / self.read
    }
}

/// A provider as a person names it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ProviderChoice {
    /// By the request's model.
    #[default]
    Auto,
    /// This one.
    Is(Provider),
}

impl ProviderChoice {
    /// Returns the rules for a request of this model.
    pub fn for_model(&self, model: &str) -> Provider {
        match self {
            ProviderChoice::Auto => Provider::of_model(model),
            ProviderChoice::Is(provider) => match (provider.cache, Provider::of_model(model).cache) {
                // The minimum is the model's even where the rules are named.
                (Cache::Marked { .. }, Cache::Marked { minimum }) => {
                    Provider { cache: Cache::Marked { minimum }, ..*provider }
                }
                _ => *provider,
            },
        }
    }
}

/// The text names no provider rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no cache rules: use auto, anthropic, none, or prefix:R with a read price R from 0.01 to 1"
)]
pub struct ProviderError(String);

impl FromStr for ProviderChoice {
    type Err = ProviderError;

    fn from_str(text: &str) -> Result<ProviderChoice, ProviderError> {
        Ok(match text.trim() {
            "auto" => ProviderChoice::Auto,
            "anthropic" => ProviderChoice::Is(Provider::ANTHROPIC),
            "none" => ProviderChoice::Is(Provider::NONE),
            other => {
                let read = other.strip_prefix("prefix:").and_then(|read| read.parse().ok());
                match read.filter(|read| (0.01..=1.0).contains(read)) {
                    Some(read) => ProviderChoice::Is(Provider::prefix(read)),
                    None => return Err(ProviderError(text.to_owned())),
                }
            }
        })
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cache {
            Cache::Marked { .. } => {
                write!(f, "breakpoints, cached reads at {}x, writes at {}x", self.read, self.write)
            }
            Cache::Prefix => write!(f, "automatic cache, cached reads at {}x", self.read),
            Cache::None => f.write_str("no cache"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_have_their_rules() {
        for (model, cache, read, write) in [
            ("anthropic/claude-opus-4.8", Cache::Marked { minimum: 1024 }, 0.1, 1.25),
            ("claude-haiku-4-5-20260101", Cache::Marked { minimum: 4096 }, 0.1, 1.25),
            ("anthropic/claude-opus-5", Cache::Marked { minimum: 512 }, 0.1, 1.25),
            ("openai/gpt-5.6", Cache::Prefix, 0.1, 1.25),
            ("openai/gpt-5", Cache::Prefix, 0.1, 1.0),
            ("gpt-4o-mini", Cache::Prefix, 0.5, 1.0),
            ("somebody/new", Cache::Prefix, 0.1, 1.0),
        ] {
            let provider = Provider::of_model(model);
            assert_eq!((provider.cache, provider.read, provider.write), (cache, read, write), "{model}");
        }
        assert!((Provider::ANTHROPIC.break_even() - 11.5).abs() < 1e-9);
        assert!((Provider::prefix(0.5).break_even() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn people_name_providers() {
        assert_eq!("prefix:0.5".parse(), Ok(ProviderChoice::Is(Provider::prefix(0.5))));
        assert_eq!("auto".parse(), Ok(ProviderChoice::Auto));
        for bad in ["", "prefix:", "prefix:0", "prefix:2", "prefix:nan", "openai"] {
            assert!(bad.parse::<ProviderChoice>().is_err(), "{bad}");
        }
    }
}
