//! Settings of a run: defaults, then the stored file, then the environment, then flags.
//!
//! What the environment and the flags say holds for this run and is never written back (D-4); the key has a file
//! of its own (D-3). [`Config::load`] is the only way in; all functions take the home as an argument.
//!
//! - [`settings`]: `config.json` as text and values, pure
//! - [`key`]: where the API key comes from
//! - [`history`]: the prompts of earlier sessions, shared with the Python releases
//! - [`mod@file`]: private files, replaced whole
//! - [`mod@env`]: the process environment as a value
pub mod env;
pub mod file;
pub mod history;
pub mod key;
pub mod settings;

use std::{fmt, io, path::Path, time::Duration};

use mesh_client::{ApiKey, BaseUrl, BaseUrlError};
use serde_json::Value;

pub use env::Environment;
pub use file::Folder;
pub use key::{FoundKey, KeySource};
pub use settings::Settings;

pub use file::Durability;
use key::BadKey;
use settings::{Values, WrongType};

use crate::mail::Account;

/// Name of the settings file.
pub const CONFIG: &str = "config.json";

/// What flags and slash commands ask for, for this run only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// `--model`.
    pub model: Option<String>,
    /// `--route`.
    pub route: Option<String>,
    /// `--max-hops`.
    pub max_hops: Option<u32>,
    /// `--optimize`.
    pub optimize: Option<f64>,
    /// `--optimize-at`: the gateway does that work.
    pub optimize_at_gateway: bool,
    /// `--no-sandbox`.
    pub no_sandbox: bool,
    /// `--allow-net`: hosts that commands may reach.
    pub allow_net: Vec<String>,
    /// `/system`.
    pub system: Option<String>,
    /// `--lease`: how long a message of a peer is held at a time.
    pub lease: Option<Duration>,
}

/// The settings of a run.
#[derive(Clone, Debug)]
pub struct Config {
    folder: Folder,
    stored: Settings,
    values: Values,
    overrides: Overrides,
    base_url: BaseUrl,
    key: Option<FoundKey>,
    mail: Option<Account>,
    warnings: Vec<Warning>,
}

/// Something that was not as it should be and did not stop the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The settings file is no JSON object; the defaults are used.
    Corrupt {
        /// The file.
        path: String,
        /// What the parser said.
        reason: String,
        /// Where its content was copied to.
        backup: Option<String>,
    },
    /// A file is there and cannot be read.
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The folder cannot be written: what would be stored is not.
    NotStored {
        /// The folder or file.
        path: String,
        /// Why.
        reason: String,
    },
    /// A value of the wrong type.
    WrongType(WrongType),
    /// A place that holds something which cannot be a key.
    BadKey(BadKey),
}

/// Why there are no settings. All of these end the program with the usage exit code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No home, so no place for settings and key.
    #[error("the variable {} does not name a folder; set it to your home folder", crate::sys::HOME_VARIABLE)]
    NoHome,
    /// The gateway's address is refused. The message of the source begins with "refusing to use base_url".
    #[error("{source}")]
    BaseUrl {
        /// Which rule it breaks.
        source: BaseUrlError,
        /// Where the address was given.
        origin: BaseUrlOrigin,
    },
    /// What stands under `base_url` in the file is not text.
    #[error("refusing to use base_url: what config.json holds there is not a text")]
    BaseUrlType,
    /// Settings cannot be stored.
    #[error("cannot store settings in {path}")]
    Store {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Where an address was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseUrlOrigin {
    /// `MESHAPI_BASE_URL`.
    Environment,
    /// `config.json`.
    File,
}

impl Config {
    /// Reads settings and key. A first start writes the defaults; an old key moves to the credentials file.
    ///
    /// # Errors
    /// The gateway's address is refused. Everything else becomes a [`Warning`].
    pub fn load(home: &Path, env: &Environment, overrides: Overrides) -> Result<Config, ConfigError> {
        let folder = Folder::of(home);
        let mut warnings = Vec::new();
        if let Err(error) = folder.ensure() {
            warnings.push(not_stored(folder.path(), &error));
        }
        let stored = match read_settings(&folder, &mut warnings) {
            Ok(Some(found)) => found,
            Ok(None) => first_settings(&folder, &mut warnings),
            Err(error) => {
                warnings.push(unreadable(&folder.file(CONFIG), &error));
                Settings::fresh()
            }
        };
        let (values, complaints) = stored.values();
        warnings.extend(complaints.into_iter().map(Warning::WrongType));

        let credentials = key::load(&folder).unwrap_or_else(|error| {
            warnings.push(unreadable(&folder.file(key::CREDENTIALS), &error));
            None
        });
        let (key, bad_keys) = key::pick(env, credentials.as_deref(), stored.legacy_key().as_deref());
        warnings.extend(bad_keys.into_iter().map(Warning::BadKey));
        if let Some(FoundKey { key, source: KeySource::LegacyConfig }) = &key
            && let Err(error) = key::save(&folder, key)
        {
            warnings.push(not_stored(&folder.file(key::CREDENTIALS), &error));
        }

        let base_url = base_url(env, &values)?;
        let mail = Account::of(env, &values.mail, &folder);
        Ok(Config { folder, stored, values, overrides, base_url, key, mail, warnings })
    }

    /// Stores settings: the file is read again, changed and replaced, so that another program's changes stay.
    ///
    /// Nothing that holds for this run only is written. A key that stands in the file moves to the credentials.
    ///
    /// # Errors
    /// The file is there and cannot be read, or the folder cannot be written; nothing is changed then.
    pub fn store<'a>(
        &mut self,
        changes: impl IntoIterator<Item = (&'a str, &'a Value)>,
    ) -> Result<(), ConfigError> {
        let folder = self.folder.clone();
        let failed = |name: &str| {
            let path = folder.file(name).display().to_string();
            move |source| ConfigError::Store { path, source }
        };
        let found = read_settings(&folder, &mut self.warnings).map_err(failed(CONFIG))?;
        let mut settings = found.unwrap_or_else(|| self.stored.clone());
        let old_key = settings.legacy_key().and_then(|text| text.parse().ok());
        if let Some(old_key) = old_key
            && key::load(&folder).is_ok_and(|text| text.is_none_or(|text| text.trim().is_empty()))
        {
            key::save(&folder, &old_key).map_err(failed(key::CREDENTIALS))?;
        }
        for (name, value) in changes {
            settings.set(name, value);
        }
        settings.fill();
        folder.write(CONFIG, settings.to_text().as_bytes(), Durability::Synced).map_err(failed(CONFIG))?;
        self.values = settings.values().0;
        self.stored = settings;
        Ok(())
    }

    /// The folder with our files.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The stored settings, without anything of this run.
    pub fn stored(&self) -> &Settings {
        &self.stored
    }

    /// What the stored settings say, without anything of this run.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Changes what holds for this run only.
    pub fn overrides_mut(&mut self) -> &mut Overrides {
        &mut self.overrides
    }

    /// The gateway's address.
    pub fn base_url(&self) -> &BaseUrl {
        &self.base_url
    }

    /// The key and where it was found.
    pub fn key(&self) -> Option<&FoundKey> {
        self.key.as_ref()
    }

    /// Takes another key from now on and stores it.
    ///
    /// # Errors
    /// It cannot be stored; it holds for this run all the same.
    pub fn store_key(&mut self, key: ApiKey) -> Result<(), ConfigError> {
        let path = self.folder.file(key::CREDENTIALS).display().to_string();
        let stored = key::save(&self.folder, &key).map_err(|source| ConfigError::Store { path, source });
        self.key = Some(FoundKey { key, source: KeySource::Credentials });
        stored
    }

    /// Who the user is to their peers; `None` unless name and gateway are set.
    pub fn mail(&self) -> Option<&Account> {
        self.mail.as_ref()
    }

    /// The model to ask for. A model given for this run beats automatic routing.
    pub fn model(&self) -> &str {
        self.overrides.model.as_deref().unwrap_or_else(|| self.values.asked_model())
    }

    /// The routing wish, passed through to the gateway.
    pub fn route(&self) -> Option<&str> {
        self.overrides.route.as_deref().or(self.values.route.as_deref())
    }

    /// The base prompt.
    pub fn system(&self) -> &str {
        self.overrides.system.as_deref().unwrap_or(&self.values.system)
    }

    /// How hard to work on cheaper requests, 0 to 0.95.
    pub fn optimize(&self) -> f64 {
        self.overrides.optimize.unwrap_or(self.values.optimize)
    }

    /// The gateway does that work, not we.
    pub fn optimize_at_gateway(&self) -> bool {
        self.overrides.optimize_at_gateway
    }

    /// How long a message of a peer is held at a time, where that was said.
    pub fn lease(&self) -> Option<Duration> {
        self.overrides.lease
    }

    /// Hosts that commands may reach.
    pub fn allow_net(&self) -> &[String] {
        &self.overrides.allow_net
    }

    /// Commands run confined.
    pub fn is_sandboxed(&self) -> bool {
        !self.overrides.no_sandbox
    }

    /// Hops after which a turn pauses; `None` leaves it to the turn's own caps.
    pub fn max_hops(&self) -> Option<u32> {
        self.overrides.max_hops.or(self.values.max_hops)
    }

    /// What was not as it should be, in the order in which it was found.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// A line to be shown once: the key came from a variable with an old name.
    pub fn notice(&self) -> Option<&'static str> {
        self.key
            .as_ref()
            .filter(|key| key.source == KeySource::LegacyEnvironment)
            .map(|_| "MESH_API_KEY is the old name of the key's variable; use MESHAPI_API_KEY")
    }
}

/// The stored settings; `None` if there is no file yet. A broken one is kept as a backup and counts as empty.
fn read_settings(folder: &Folder, warnings: &mut Vec<Warning>) -> io::Result<Option<Settings>> {
    let Some(bytes) = folder.read(CONFIG)? else { return Ok(None) };
    let parsed = match std::str::from_utf8(&bytes) {
        Ok(text) => Settings::parse(text).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    Ok(Some(parsed.unwrap_or_else(|reason| {
        let path = folder.file(CONFIG);
        let backup = folder.back_up(CONFIG, &bytes);
        if let Err(error) = &backup {
            warnings.push(not_stored(&path, error));
        }
        let backup = backup.ok().map(|path| path.display().to_string());
        warnings.push(Warning::Corrupt { path: path.display().to_string(), reason, backup });
        Settings::fresh()
    })))
}

fn first_settings(folder: &Folder, warnings: &mut Vec<Warning>) -> Settings {
    let fresh = Settings::fresh();
    // Not waited for: what is lost with the power is made again at the next start.
    if let Err(error) = folder.write(CONFIG, fresh.to_text().as_bytes(), Durability::Lazy)
        && warnings.is_empty()
    {
        warnings.push(not_stored(&folder.file(CONFIG), &error));
    }
    fresh
}

fn base_url(env: &Environment, values: &Values) -> Result<BaseUrl, ConfigError> {
    let (text, origin) = match (&env.base_url, &values.base_url) {
        (Some(text), _) => (text, BaseUrlOrigin::Environment),
        (None, Some(text)) => (text, BaseUrlOrigin::File),
        (None, None) => return Err(ConfigError::BaseUrlType),
    };
    text.parse().map_err(|source| ConfigError::BaseUrl { source, origin })
}

fn not_stored(path: &Path, error: &io::Error) -> Warning {
    Warning::NotStored { path: path.display().to_string(), reason: error.to_string() }
}

fn unreadable(path: &Path, error: &io::Error) -> Warning {
    Warning::Unreadable { path: path.display().to_string(), reason: error.to_string() }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::Corrupt { path, reason, backup: Some(backup) } => {
                write!(f, "{path} is broken ({reason}); the defaults are used, a copy is kept as {backup}")
            }
            Warning::Corrupt { path, reason, backup: None } => {
                write!(f, "{path} is broken ({reason}); the defaults are used")
            }
            Warning::Unreadable { path, reason } => write!(f, "cannot read {path}: {reason}"),
            Warning::NotStored { path, reason } => {
                write!(f, "cannot write {path}: {reason}; nothing is stored")
            }
            Warning::WrongType(wrong) => wrong.fmt(f),
            Warning::BadKey(bad) => bad.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn home(config: Option<&str>) -> (tempfile::TempDir, Folder) {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::of(home.path());
        if let Some(text) = config {
            folder.write(CONFIG, text.as_bytes(), Durability::Lazy).unwrap();
        }
        (home, folder)
    }

    fn load(home: &tempfile::TempDir, env: &Environment) -> Result<Config, ConfigError> {
        Config::load(home.path(), env, Overrides::default())
    }

    fn stored(folder: &Folder) -> String {
        String::from_utf8(folder.read(CONFIG).unwrap().unwrap()).unwrap()
    }

    #[test]
    fn what_holds_for_the_run_is_never_written() {
        let (home, folder) = home(Some(r#"{"model": "a/b", "custom": 1}"#));
        let env = Environment { base_url: Some("https://other/v1".into()), ..Environment::default() };
        let overrides = Overrides {
            model: Some("flag/m".into()),
            route: Some("fastest".into()),
            max_hops: Some(3),
            system: Some("s".into()),
            ..Overrides::default()
        };
        let mut config = Config::load(home.path(), &env, overrides).unwrap();
        assert_eq!((config.model(), config.route(), config.max_hops()), ("flag/m", Some("fastest"), Some(3)));
        assert_eq!(config.system(), "s");
        assert_eq!(config.base_url().as_str(), "https://other/v1");
        config.store([("optimize", &json!(0.3))]).unwrap();
        insta::assert_snapshot!(stored(&folder));
    }

    #[test]
    fn another_program_may_change_the_file_meanwhile() {
        let (home, folder) = home(Some(r#"{"model": "a/b"}"#));
        let mut config = load(&home, &Environment::default()).unwrap();
        folder.write(CONFIG, br#"{"model": "theirs", "new": 1}"#, Durability::Lazy).unwrap();
        config.store([("route", &json!("cheapest"))]).unwrap();
        assert_eq!((config.model(), config.route()), ("theirs", Some("cheapest")));
        assert!(stored(&folder).contains("\"new\": 1"));
    }

    #[test]
    fn a_key_in_the_settings_moves_and_is_not_lost() {
        let (first, folder) = home(Some(r#"{"api_key": "rsk_old_old_old"}"#));
        let config = load(&first, &Environment::default()).unwrap();
        assert_eq!(config.key().unwrap().source, KeySource::LegacyConfig);
        assert_eq!(folder.read(key::CREDENTIALS).unwrap().unwrap(), b"rsk_old_old_old\n");

        // The environment's key wins, yet the next save must not drop the one in the file (D-3).
        let (second, folder) = home(Some(r#"{"api_key": "rsk_old_old_old"}"#));
        let env = Environment { api_key: Some("rsk_env".into()), ..Environment::default() };
        let mut config = load(&second, &env).unwrap();
        assert!(folder.read(key::CREDENTIALS).unwrap().is_none());
        config.store([]).unwrap();
        assert_eq!(folder.read(key::CREDENTIALS).unwrap().unwrap(), b"rsk_old_old_old\n");
        assert!(!stored(&folder).contains("rsk_"));
        assert!(!format!("{config:?} {env:?}").contains("rsk_"));
    }

    #[test]
    fn a_broken_file_is_kept_and_named() {
        let (home, folder) = home(Some("{\"model\":"));
        for _ in 0..2 {
            let config = load(&home, &Environment::default()).unwrap();
            assert_eq!(config.model(), settings::DEFAULT_MODEL);
            let [Warning::Corrupt { backup: Some(backup), .. }] = config.warnings() else {
                panic!("{:?}", config.warnings())
            };
            assert_eq!(std::fs::read(backup).unwrap(), b"{\"model\":");
        }
        assert_eq!(stored(&folder), "{\"model\":");
        load(&home, &Environment::default()).unwrap().store([("model", &json!("m"))]).unwrap();
        assert!(load(&home, &Environment::default()).unwrap().warnings().is_empty());
        assert!(folder.file("config.json.bak").exists() && !folder.file("config.json.bak.2").exists());
    }

    #[test]
    fn what_cannot_be_read_is_not_overwritten() {
        let (home, folder) = home(None);
        std::fs::create_dir_all(folder.file(CONFIG)).unwrap();
        let mut config = load(&home, &Environment::default()).unwrap();
        assert!(matches!(config.warnings(), [Warning::Unreadable { .. }]));
        assert!(matches!(config.store([]), Err(ConfigError::Store { .. })));
    }

    #[test]
    fn a_home_that_cannot_hold_the_folder_is_a_warning() {
        let (home, folder) = home(None);
        std::fs::write(folder.path(), "a file").unwrap();
        let config = load(&home, &Environment::default()).unwrap();
        assert_eq!(config.model(), settings::DEFAULT_MODEL);
        assert!(config.warnings().iter().any(|w| matches!(w, Warning::NotStored { .. })));
    }

    #[test]
    fn addresses_that_are_refused() {
        for (config, env, origin) in [
            (r#"{"base_url": "http://a.b"}"#, None, Some(BaseUrlOrigin::File)),
            (r#"{"base_url": 5}"#, None, None),
            ("{}", Some(""), Some(BaseUrlOrigin::Environment)),
            ("{}", Some("http://localhost.evil.com"), Some(BaseUrlOrigin::Environment)),
        ] {
            let (home, _folder) = home(Some(config));
            let env = Environment { base_url: env.map(str::to_owned), ..Environment::default() };
            let error = load(&home, &env).expect_err(config);
            assert!(error.to_string().starts_with("refusing to use base_url"), "{error}");
            let found = match error {
                ConfigError::BaseUrl { origin, .. } => Some(origin),
                _ => None,
            };
            assert_eq!(found, origin);
        }
        let (home, _folder) = home(Some(r#"{"base_url": 5}"#));
        let env = Environment { base_url: Some("http://127.0.0.1:9/v1/".into()), ..Environment::default() };
        assert_eq!(load(&home, &env).unwrap().base_url().as_str(), "http://127.0.0.1:9/v1");
    }

    #[test]
    fn the_old_variable_is_named_once() {
        let (home, _folder) = home(None);
        let env = Environment { legacy_api_key: Some("k".into()), ..Environment::default() };
        let config = load(&home, &env).unwrap();
        assert!(config.notice().unwrap().contains("MESHAPI_API_KEY"));
        assert!(config.warnings().is_empty());
    }
}
