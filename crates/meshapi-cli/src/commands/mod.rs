//! One file a command, and the start that they share: settings, trace, key.

use std::io::Write;

use mesh_client::ApiKey;

use crate::{
    cli::RunSettings,
    config::{Config, ConfigError, Environment, key},
    exit::{self, Exit, Failure},
    log,
    secret::Redactor,
    ui::theme::Theme,
};

pub mod completions;
pub mod demo;
pub mod doctor;
pub mod exec;
pub mod gateway;
pub mod guard;
mod inbox;
pub mod mail;
pub mod man;
pub mod optimize;
pub mod proxy;
pub mod sandbox;

/// Reads the settings, shows what was wrong with them on `err`, and begins the trace if one is wanted.
///
/// # Errors
/// No home, or a gateway address that is refused.
pub fn settings(
    run: &RunSettings,
    env: &Environment,
    err: &mut impl Write,
    theme: Theme,
) -> Result<Config, Failure> {
    let home = env.home.as_deref().ok_or(ConfigError::NoHome)?;
    let config = Config::load(home, env, run.overrides())?;
    for warning in config.warnings() {
        exit::warn(err, theme, warning);
    }
    if let Some(notice) = config.notice() {
        exit::warn(err, theme, notice);
    }
    if let Some(path) = &env.log {
        let key = config.key().map(|found| found.key.expose().to_owned());
        let filter = log::Filter::parse(env.log_level.as_deref().unwrap_or_default());
        // A trace that cannot be written is no reason not to work.
        if let Err(error) = log::start(path, filter, Redactor::new(key)) {
            exit::warn(err, theme, format_args!("no trace is written to {}: {error}", path.display()));
        }
    }
    Ok(config)
}

/// The key of the run.
///
/// # Errors
/// There is none.
pub fn key(config: &Config) -> Result<&ApiKey, Failure> {
    match config.key() {
        Some(found) => Ok(&found.key),
        None => Err(Failure::no_key(&config.folder().file(key::CREDENTIALS))),
    }
}

/// The runtime that a command runs on: one thread, since what we wait for is the network.
///
/// # Errors
/// The system refuses what an event loop needs.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Exit::Failure, "internal", format_args!("no event loop: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(env: &Environment) -> (Result<Config, Failure>, String) {
        let cli = crate::cli::parse(["meshapi".into()]).unwrap();
        let mut shown = Vec::new();
        let config = settings(&cli.settings, env, &mut shown, Theme::PLAIN);
        (config, String::from_utf8(shown).unwrap())
    }

    #[test]
    fn a_start_says_what_is_wrong() {
        let (config, _) = run(&Environment::default());
        assert_eq!(config.unwrap_err().exit, Exit::Usage);

        let home = tempfile::tempdir().unwrap();
        let env = Environment {
            home: Some(home.path().to_owned()),
            legacy_api_key: Some("rsk_x".into()),
            ..Environment::default()
        };
        let (config, shown) = run(&env);
        assert_eq!(
            shown,
            "meshapi: MESH_API_KEY is the old name of the key's variable; use MESHAPI_API_KEY\n"
        );
        assert_eq!(key(&config.unwrap()).unwrap().expose(), "rsk_x");

        let (config, shown) = run(&Environment { legacy_api_key: None, ..env });
        assert_eq!(shown, "");
        let failure = key(&config.unwrap()).unwrap_err();
        assert_eq!(failure.exit, Exit::Failure);
        assert!(failure.hint.unwrap().ends_with("credentials"));
    }
}
