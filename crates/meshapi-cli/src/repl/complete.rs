//! What Tab offers at the prompt: commands, and what may stand behind them: their words, models, files.
//!
//! Nothing here asks the gateway: of models there are those that the session knows already.

use std::path::{Path, PathBuf};

use mesh_agent::SharedSettings;
use reedline::{Completer, CompletionResult, Span, Suggestion};

use crate::{
    repl::slash::{self, Argument, ModelList, rank},
    ui::text,
};

/// Paths or models that are offered at most: more is a wall.
const MOST: usize = 50;

/// Completes slash commands and what stands behind them.
#[derive(Clone, Debug)]
pub struct Commands {
    cwd: PathBuf,
    models: ModelList,
    settings: SharedSettings,
}

/// Something that is offered.
struct Offer {
    value: String,
    what: String,
}

impl Commands {
    /// Paths are relative to `cwd`; the models are those of the list and of the settings.
    pub fn new(cwd: &Path, models: ModelList, settings: SharedSettings) -> Commands {
        Commands { cwd: cwd.to_owned(), models, settings }
    }

    fn paths(&self, typed: &str) -> Vec<String> {
        let (folder, start) = typed.rsplit_once('/').map_or(("", typed), |(folder, start)| (folder, start));
        let at =
            if typed.starts_with('/') { PathBuf::from(format!("{folder}/")) } else { self.cwd.join(folder) };
        let Ok(entries) = std::fs::read_dir(at) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let hidden = name.starts_with('.') && !start.starts_with('.');
                let end = if entry.path().is_dir() { "/" } else { "" };
                let path = if typed.contains('/') {
                    format!("{folder}/{name}{end}")
                } else {
                    format!("{name}{end}")
                };
                (name.starts_with(start) && !hidden && is_plain(&path)).then_some(path)
            })
            .collect();
        names.sort();
        names.truncate(MOST);
        names
    }

    /// Models that the session uses, then those of the catalogue; the ones that fit best first.
    fn models(&self, typed: &str) -> Vec<Offer> {
        let typed = typed.to_lowercase();
        let settings = self.settings.get();
        let listed = self.models.offers();
        let mut own = vec![settings.model];
        for id in settings.fallback_models {
            if !own.contains(&id) {
                own.push(id);
            }
        }
        let known =
            |id: &String| listed.iter().find(|(listed, _)| listed == id).map(|(_, what)| what.clone());
        let others = listed.iter().filter(|(id, _)| !own.contains(id)).cloned();
        let offers = own.iter().map(|id| (id.clone(), known(id).unwrap_or_default())).chain(others);
        let mut found: Vec<(u8, Offer)> = offers
            .filter(|(id, _)| is_plain(id) && !id.contains(' '))
            .filter_map(|(id, what)| {
                let lower = id.to_lowercase();
                let name = lower.rsplit('/').next().unwrap_or_default();
                let rank = rank(&lower, &typed).into_iter().chain(rank(name, &typed)).min()?;
                Some((rank, Offer { value: id, what }))
            })
            .collect();
        found.sort_by_key(|(rank, _)| *rank);
        found.truncate(MOST);
        found.into_iter().map(|(_, offer)| offer).collect()
    }

    fn suggestions(&self, line: &str, pos: usize) -> Vec<Suggestion> {
        let Some(typed) = line.get(..pos) else { return Vec::new() };
        let Some(command) = typed.strip_prefix('/') else { return Vec::new() };
        let Some((name, argument)) = command.split_once(' ') else {
            let offers = ranked(command)
                .into_iter()
                .map(|(name, what)| Offer { value: format!("/{name}"), what: what.to_owned() });
            return offers.map(|offer| suggestion(offer, (0, pos), true)).collect();
        };
        let Some(command) = slash::named(name) else { return Vec::new() };
        let mut offers = Vec::new();
        // Only the first word may be one of these.
        if !argument.contains([' ', ',']) {
            let word = argument.to_lowercase();
            let fitting = command.choices.iter().filter(|choice| choice.starts_with(&word));
            offers.extend(fitting.map(|choice| Offer { value: (*choice).to_owned(), what: String::new() }));
        }
        let start = match command.takes {
            Argument::Path => {
                let paths = self.paths(argument).into_iter();
                offers.extend(paths.map(|value| Offer { value, what: String::new() }));
                pos - argument.len()
            }
            Argument::Model if argument.contains(' ') => return Vec::new(),
            Argument::Model | Argument::Models => {
                let mut words = argument.rsplit([' ', ',']);
                let word = words.next().unwrap_or_default();
                let named: Vec<&str> = words.collect();
                let models = self.models(word).into_iter();
                offers.extend(models.filter(|offer| !named.contains(&offer.value.as_str())));
                pos - word.len()
            }
            Argument::Words => pos - argument.len(),
        };
        offers.into_iter().map(|offer| suggestion(offer, (start, pos), false)).collect()
    }
}

impl Completer for Commands {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        CompletionResult::fresh(self.suggestions(line, pos))
    }
}

fn suggestion(offer: Offer, (start, end): (usize, usize), space: bool) -> Suggestion {
    Suggestion {
        value: offer.value,
        description: Some(offer.what).filter(|what| !what.is_empty()),
        span: Span::new(start, end),
        append_whitespace: space,
        ..Suggestion::default()
    }
}

/// Whether a name can be shown and typed as it is. Files and models have the names that others gave them.
fn is_plain(name: &str) -> bool {
    text::one_line(name) == name
}

/// Commands that fit: those that begin with the text, then those that hold it, then those that hold its letters in order.
fn ranked(typed: &str) -> Vec<(&'static str, &'static str)> {
    let typed = typed.to_lowercase();
    let mut found: Vec<(u8, &str, &str)> = slash::commands()
        .iter()
        .filter_map(|command| Some((rank(command.name, &typed)?, command.name, command.help)))
        .collect();
    found.sort_by_key(|(rank, ..)| *rank);
    found.into_iter().map(|(_, name, what)| (name, what)).collect()
}

#[cfg(test)]
mod tests {
    use mesh_agent::Settings;
    use mesh_client::Catalog;
    use proptest::prelude::*;

    use super::*;

    /// What is offered where the cursor stands at `|`, as the line that would come of it.
    fn offered(commands: &Commands, line: &str) -> Vec<String> {
        let (before, after) = line.split_once('|').unwrap();
        let line = format!("{before}{after}");
        let completed = |s: Suggestion| {
            let space = if s.append_whitespace { " " } else { "" };
            format!("{}{}{space}{}", &line[..s.span.start], s.value, &line[s.span.end..])
        };
        commands.suggestions(&line, before.len()).into_iter().map(completed).collect()
    }

    fn session(folder: &Path) -> Commands {
        let models = ModelList::default();
        models.set(
            Catalog::from_value(&serde_json::json!([
                {"id": "openai/gpt-4o", "context_length": 128_000, "supports_tools": true},
                {"id": "openai/gpt-4o-mini"},
                {"id": "google/gemma"},
                {"id": "anthropic/claude-sonnet-4.5", "context_length": 1_000_000, "is_free": true},
                {"id": "evil/\u{1b}[2Jx"},
                {"id": "two words"},
            ]))
            .unwrap(),
        );
        let settings = Settings {
            model: "anthropic/claude-sonnet-4.5".into(),
            fallback_models: vec!["own/gpt".into(), "anthropic/claude-sonnet-4.5".into()],
            ..Settings::default()
        };
        Commands::new(folder, models, SharedSettings::new(settings))
    }

    #[test]
    fn what_is_offered() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        std::fs::write(folder.path().join("src/main.rs"), "").unwrap();
        std::fs::write(folder.path().join("src/a\u{1b}[2J"), "").unwrap();
        std::fs::write(folder.path().join(".hidden"), "").unwrap();
        let commands = session(folder.path());
        let lines = [
            "/mod|",
            "/mdl|",
            "/MODE|l x",
            "plain text|",
            "/file |",
            "/file src/m|",
            "/file src/|",
            "/fi .h|",
            "/image s|",
            "/model |",
            "/model gpt|",
            "/model GPT-4O|",
            "/model 45|",
            "/model zzz|",
            "/model gpt |",
            "/fallback |",
            "/fallback o|",
            "/fallback own/gpt, gem|",
            "/fallback own/gpt,|",
            "/route |",
            "/rou ch|",
            "/route cheapest |",
            "/mode B|",
            "/mode |auto",
            "/reasoning |",
            "/models t|",
            "/optimize o|",
            "/hops |",
            "/servers |",
            "/servers kill |",
            "/clear |",
            "/mo |",
            "/zzz |",
            "/model 日本|",
        ];
        let rows = lines.map(|line| format!("{line}\n  {}\n", offered(&commands, line).join("\n  ")));
        insta::assert_snapshot!(rows.join(""));
    }

    #[test]
    fn the_catalogue_says_what_a_model_is() {
        let commands = session(Path::new("/"));
        let what: Vec<_> = commands
            .suggestions("/model ", 7)
            .into_iter()
            .map(|s| s.description.unwrap_or_default())
            .collect();
        assert_eq!(what, ["1M  free", "", "128k  tools", "", ""]);
        let unknown = Commands { models: ModelList::default(), ..commands };
        assert_eq!(
            offered(&unknown, "/model |"),
            ["/model anthropic/claude-sonnet-4.5", "/model own/gpt"],
            "without a catalogue there are the session's own models"
        );
    }

    proptest! {
        #[test]
        fn any_line_can_be_completed(line in "/?[a-z]{0,6} ?\\PC{0,8}", at in 0usize..20) {
            let pos = line.char_indices().map(|(at, _)| at).nth(at).unwrap_or(line.len());
            for suggestion in session(Path::new("/nowhere")).suggestions(&line, pos) {
                prop_assert!(suggestion.span.end == pos && line.is_char_boundary(suggestion.span.start));
            }
        }
    }
}
