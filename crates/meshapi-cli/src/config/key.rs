//! Where the API key comes from: environment, credentials file, or the place where older releases kept it.

use std::io;

use mesh_client::{ApiKey, ApiKeyError};

use crate::config::{
    env::Environment,
    file::{Durability, Folder},
};

/// The file that holds the key and nothing else, with a line feed behind it. Shared with 0.5.10.
pub const CREDENTIALS: &str = "credentials";

/// Where a key was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `MESHAPI_API_KEY`.
    Environment,
    /// `MESH_API_KEY`, the old name.
    LegacyEnvironment,
    /// The credentials file.
    Credentials,
    /// `api_key` in `config.json`, where 0.4.5 looks for it.
    LegacyConfig,
}

/// A key and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundKey {
    /// The key; it never prints.
    pub key: ApiKey,
    /// Where it was found.
    pub source: KeySource,
}

/// A place that holds something which cannot be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey {
    /// The place.
    pub source: KeySource,
    /// What is wrong with it.
    pub error: ApiKeyError,
}

impl KeySource {
    /// The place in words.
    pub fn name(self) -> &'static str {
        match self {
            KeySource::Environment => "MESHAPI_API_KEY",
            KeySource::LegacyEnvironment => "MESH_API_KEY",
            KeySource::Credentials => "the credentials file",
            KeySource::LegacyConfig => "`api_key` in config.json",
        }
    }
}

impl std::fmt::Display for BadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is not used: {}", self.source.name(), self.error)
    }
}

/// Picks the key: the first place that holds one. Places that hold no key but something else are named.
pub fn pick(
    env: &Environment,
    credentials: Option<&str>,
    config: Option<&str>,
) -> (Option<FoundKey>, Vec<BadKey>) {
    let places = [
        (KeySource::Environment, env.api_key.as_deref()),
        (KeySource::LegacyEnvironment, env.legacy_api_key.as_deref()),
        (KeySource::Credentials, credentials),
        (KeySource::LegacyConfig, config),
    ];
    let mut bad = Vec::new();
    for (source, text) in places {
        match text.map(str::parse::<ApiKey>) {
            Some(Ok(key)) => return (Some(FoundKey { key, source }), bad),
            None | Some(Err(ApiKeyError::Empty)) => {}
            Some(Err(error)) => bad.push(BadKey { source, error }),
        }
    }
    (None, bad)
}

/// The text of the credentials file.
///
/// # Errors
/// It is there and cannot be read.
pub fn load(folder: &Folder) -> io::Result<Option<String>> {
    Ok(folder.read(CREDENTIALS)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Stores the key in the credentials file, which only its owner can read.
///
/// # Errors
/// The folder cannot be written.
pub fn save(folder: &Folder, key: &ApiKey) -> io::Result<()> {
    folder.write(CREDENTIALS, format!("{}\n", key.expose()).as_bytes(), Durability::Synced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        env: (&str, &str),
        credentials: &str,
        config: &str,
        want: Option<(&str, KeySource)>,
        bad: usize,
    ) {
        let some = |text: &str| Some(text.to_owned());
        let env = Environment { api_key: some(env.0), legacy_api_key: some(env.1), ..Environment::default() };
        let (found, complaints) = pick(&env, Some(credentials), Some(config));
        let found = found.as_ref().map(|f| (f.key.expose(), f.source));
        assert_eq!((found, complaints.len()), (want, bad));
    }

    #[test]
    fn the_first_place_that_holds_a_key_wins() {
        check(("e", "l"), "c", "f", Some(("e", KeySource::Environment)), 0);
        check(("", "l"), "c", "f", Some(("l", KeySource::LegacyEnvironment)), 0);
        check(("", " "), "  c \n", "f", Some(("c", KeySource::Credentials)), 0);
        check(("", ""), "\n", "f", Some(("f", KeySource::LegacyConfig)), 0);
        check(("", ""), "", "", None, 0);
        check(("two words", ""), "c", "", Some(("c", KeySource::Credentials)), 1);
        check(("", ""), "two\nlines", "", None, 1);
    }

    #[test]
    fn complaints_do_not_repeat_the_text() {
        let env = Environment { api_key: Some("rsk_secret x".into()), ..Environment::default() };
        let (_, bad) = pick(&env, None, None);
        let said = format!("{} {:?}", bad[0], bad[0]);
        assert!(said.starts_with("MESHAPI_API_KEY is not used") && !said.contains("rsk_secret"), "{said}");
    }
}
