//! The API key: asked for, tried at the gateway, stored.

use std::{io, time::Duration};

use mesh_client::{ApiKey, ApiKeyError, BaseUrl, Catalog, ClientError, ErrorKind, MeshClient};
use tokio::runtime::Runtime;

use crate::{
    config::{Config, KeySource, key::CREDENTIALS},
    exit::with_causes,
    repl::ask::Ask,
    ui::line::{Line, Style},
};

/// How often a key may be typed. From 0.5.10.
const TRIES: u32 = 3;
/// Longest wait for the gateway's word on a key.
const CHECK_TIMEOUT: Duration = Duration::from_secs(15);

/// What the gateway says of a key.
#[derive(Debug)]
pub enum Verdict {
    /// It is good; the models came with the answer.
    Good(Catalog),
    /// It is refused, for this reason.
    Refused(String),
    /// It could not be tried, for this reason.
    Unchecked(String),
}

/// A key that a person gave.
#[derive(Debug)]
pub struct Login {
    /// The key; it never prints.
    pub key: ApiKey,
    /// The gateway's models, if it was asked.
    pub catalog: Option<Catalog>,
}

/// Tries a key at the gateway: `GET /models`. Only 401 and 403 speak against it.
pub fn check(base: &BaseUrl, key: &ApiKey, runtime: &Runtime) -> Verdict {
    let client = MeshClient::builder(base.clone(), key.clone()).build();
    let answer = runtime.block_on(async { tokio::time::timeout(CHECK_TIMEOUT, client.models()).await });
    match answer {
        Ok(answer) => verdict(answer),
        Err(_) => Verdict::Unchecked(format!("no answer within {} s", CHECK_TIMEOUT.as_secs())),
    }
}

fn verdict(answer: Result<Catalog, ClientError>) -> Verdict {
    match answer {
        Ok(catalog) => Verdict::Good(catalog),
        Err(error) => match error.kind() {
            ErrorKind::Unauthorized | ErrorKind::Forbidden => Verdict::Refused(error.to_string()),
            _ => Verdict::Unchecked(error.to_string()),
        },
    }
}

/// Asks for a key, at most three times, and stores the first that is not refused. `None` if there is none in the end.
///
/// # Errors
/// The terminal is gone.
pub fn ask(
    person: &mut dyn Ask,
    config: &mut Config,
    mut check: impl FnMut(&ApiKey) -> Verdict,
) -> io::Result<Option<Login>> {
    let credentials = config.folder().file(CREDENTIALS).display().to_string();
    for left in (0..TRIES).rev() {
        let prompt = Line::of(Style::Bold, "API key").with(Style::Dim, " (not shown; Esc to give up) › ");
        let Some(text) = person.secret(&prompt)? else { return Ok(None) };
        let problem = match text.parse::<ApiKey>() {
            Err(ApiKeyError::Empty) => "nothing was typed".to_owned(),
            Err(error) => error.to_string(),
            Ok(key) => match check(&key) {
                Verdict::Refused(why) => why,
                Verdict::Good(catalog) => {
                    person.say(&store(config, &key, &credentials));
                    return Ok(Some(Login { key, catalog: Some(catalog) }));
                }
                Verdict::Unchecked(why) => {
                    let text = format!("The key could not be tried: {why}. It is taken as it is.");
                    person.say(&[Line::prose(Style::Warn, &text)]);
                    person.say(&store(config, &key, &credentials));
                    return Ok(Some(Login { key, catalog: None }));
                }
            },
        };
        let again = if left > 0 { "; try again" } else { "" };
        person.say(&[Line::prose(Style::Bad, &format!("{problem}{again}"))]);
    }
    Ok(None)
}

fn store(config: &mut Config, key: &ApiKey, credentials: &str) -> Vec<Line> {
    let variable = config
        .key()
        .map(|found| found.source)
        .filter(|source| matches!(source, KeySource::Environment | KeySource::LegacyEnvironment));
    let mut lines = vec![match config.store_key(key.clone()) {
        Ok(()) => Line::prose(Style::Good, &format!("Key saved to {credentials}")),
        Err(error) => {
            Line::prose(Style::Warn, &format!("The key holds for this session only: {}", with_causes(&error)))
        }
    }];
    if let Some(source) = variable {
        let text = format!("{} is set: the next start takes the key from there", source.name());
        lines.push(Line::prose(Style::Warn, &text));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Environment, Overrides, key},
        repl::ask::tests::Scripted,
    };

    fn config(home: &tempfile::TempDir, key: Option<&str>) -> Config {
        let env = Environment { api_key: key.map(str::to_owned), ..Environment::default() };
        Config::load(home.path(), &env, Overrides::default()).unwrap()
    }

    fn judge(key: &ApiKey) -> Verdict {
        match key.expose() {
            "good" => Verdict::Good(Catalog::default()),
            "offline" => Verdict::Unchecked("cannot connect".into()),
            _ => Verdict::Refused("the gateway refuses the key".into()),
        }
    }

    #[track_caller]
    fn check(answers: &[Option<&str>], stored: Option<&str>) -> String {
        let home = tempfile::tempdir().unwrap();
        let mut config = config(&home, None);
        let mut person = Scripted::new(answers);
        let login = ask(&mut person, &mut config, judge).unwrap();
        assert_eq!(login.map(|login| login.key.expose().to_owned()).as_deref(), stored);
        assert_eq!(config.key().map(|found| found.key.expose()), stored);
        let file = key::load(config.folder()).unwrap();
        assert_eq!(file.as_deref().map(str::trim), stored);
        person.shown.replace(&home.path().display().to_string(), "~")
    }

    #[test]
    fn three_tries_and_only_a_refusal_counts() {
        let mut shown = String::new();
        for (answers, stored) in [
            (&[Some("good")][..], Some("good")),
            (&[Some(" "), Some("two words"), Some("good")], Some("good")),
            (&[Some("a"), Some("b"), Some("c"), Some("good")], None),
            (&[Some("offline")], Some("offline")),
            (&[Some("a"), None, Some("good")], None),
        ] {
            shown.push_str(&format!("{answers:?}\n{}\n", check(answers, stored)));
        }
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn a_variable_that_will_win_again_is_named() {
        let home = tempfile::tempdir().unwrap();
        let mut config = config(&home, Some("old"));
        let mut person = Scripted::new(&[Some("good")]);
        ask(&mut person, &mut config, judge).unwrap().unwrap();
        assert_eq!(config.key().unwrap().key.expose(), "good");
        assert!(person.shown.ends_with("MESHAPI_API_KEY is set: the next start takes the key from there\n"));
    }

    #[test]
    fn only_two_statuses_speak_against_a_key() {
        let verdict = |status: u16| {
            let headers = mesh_client::ResponseHeaders::default();
            verdict(Err(mesh_client::error::classify_status(status, &headers, b"", 0.0)))
        };
        for status in [401, 403] {
            assert!(matches!(verdict(status), Verdict::Refused(_)), "{status}");
        }
        for status in [402, 404, 429, 500, 503] {
            assert!(matches!(verdict(status), Verdict::Unchecked(_)), "{status}");
        }
    }
}
