//! The gateway's models: which there are, and which one is asked.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mesh_client::{Catalog, MeshClient, wire::Model};
use serde_json::json;

use super::{
    LiveControls, Outcome, SlashContext,
    settings::{finished, store},
    table::{Work, rank},
};
use crate::ui::{
    line::{Line, Style},
    text::{clip_width, one_line, width},
};

/// Longest wait for the catalogue where it is only looked at in passing. It is 2.8 MB.
const GLANCE: Duration = Duration::from_secs(5);
/// Longest wait for the catalogue where it is what the user asked for.
const FETCH: Duration = Duration::from_secs(30);
/// Models that are shown at most: the gateway has about a thousand.
const MOST_ROWS: usize = 40;
/// Models that are named where a name is not known. From the seed's successor.
const MOST_SUGGESTIONS: usize = 3;
/// The name by which the gateway itself picks a model.
const AUTO: &str = "auto";

/// The gateway's models, fetched once a session. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct ModelList(Arc<Mutex<Option<Arc<Catalog>>>>);

/// How a model stands to the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is in it.
    Listed,
    /// It is not; these are close.
    NotListed(Vec<String>),
    /// There is no catalogue to ask.
    Unknown,
}

impl ModelList {
    /// The models, if they are known yet.
    pub fn get(&self) -> Option<Arc<Catalog>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes models that were read elsewhere.
    pub fn set(&self, catalog: Catalog) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(catalog));
    }

    /// Fetches the models unless they are known, for a caller that can do without them.
    ///
    /// # Cancel safety
    /// Dropping the future drops the request.
    pub async fn glance(&self, client: &MeshClient) {
        let _ = self.fetch(client, GLANCE).await;
    }

    /// The models, fetched unless they are known; else why there are none. The next call tries again.
    async fn fetch(&self, client: &MeshClient, limit: Duration) -> Result<Arc<Catalog>, String> {
        if let Some(catalog) = self.get() {
            return Ok(catalog);
        }
        match tokio::time::timeout(limit, client.models()).await {
            Ok(Ok(catalog)) => {
                self.set(catalog.clone());
                Ok(Arc::new(catalog))
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
        }
    }

    /// Ids of the models that are known, and what they are.
    pub fn offers(&self) -> Vec<(String, String)> {
        let catalog = self.get();
        let models = catalog.iter().flat_map(|catalog| catalog.models());
        let what = |model| {
            let [_, facts @ ..] = cells(model);
            facts.into_iter().filter(|fact| !fact.is_empty()).collect::<Vec<_>>().join("  ")
        };
        models.map(|model| (model.id.clone(), what(model))).collect()
    }

    /// How a model stands to what is known.
    pub(super) fn standing(&self, id: &str) -> Standing {
        match self.get().filter(|catalog| !catalog.models().is_empty()) {
            None => Standing::Unknown,
            Some(catalog) if id == AUTO || catalog.models().iter().any(|model| model.id == id) => {
                Standing::Listed
            }
            Some(catalog) => Standing::NotListed(close_to(id, &catalog)),
        }
    }
}

/// What to say of a model that was taken as it came.
pub(super) fn doubts(id: &str, models: &ModelList) -> Option<Line> {
    let text = match models.standing(id) {
        Standing::Listed => return None,
        Standing::Unknown => format!("{id} was not checked: the gateway's models are not known"),
        Standing::NotListed(close) if close.is_empty() => {
            format!("the gateway does not list {id}; try /models")
        }
        Standing::NotListed(close) => format!("the gateway does not list {id}; close: {}", close.join(", ")),
    };
    Some(Line::prose(Style::Warn, &text))
}

pub(super) fn model(argument: &str, controls: &mut LiveControls<'_>) -> Outcome {
    if argument.is_empty() {
        return Outcome::note(&format!("Current model: {}", controls.settings.get().model));
    }
    controls.settings.update(|settings| settings.model = argument.to_owned());
    controls.config.overrides_mut().model = None;
    // A file of 0.5.10 may say that the gateway picks: a model that was asked for is meant.
    let (id, pinned) = (json!(argument), json!(false));
    let is_routed = controls.config.values().auto_route;
    let changes = [("model", &id), ("auto_route", &pinned)];
    let stored = store(controls.config, changes.into_iter().take(if is_routed { 2 } else { 1 }));
    let mut outcome = finished(stored, &format!("Model set to {argument}"));
    outcome.lines.extend(doubts(argument, &controls.models));
    outcome
}

pub(super) fn models<'a>(argument: &'a str, context: &'a mut SlashContext<'_>) -> Work<'a> {
    Box::pin(async move {
        match context.models.fetch(&context.wired.client, FETCH).await {
            Ok(catalog) => {
                let current = context.wired.agent.settings().get().model;
                Outcome::of(listing(&catalog, argument, &current, context.columns))
            }
            Err(why) => Outcome::bad(&format!("The gateway's models cannot be listed: {why}")),
        }
    })
}

/// A table of the models that fit all words, the best first.
fn listing(catalog: &Catalog, words: &str, current: &str, columns: usize) -> Vec<Line> {
    let words = words.to_lowercase();
    let mut found: Vec<(u8, &Model)> = Vec::new();
    for model in catalog.models() {
        let ranks: Option<Vec<u8>> = words.split_whitespace().map(|word| fit(model, word)).collect();
        if let Some(ranks) = ranks {
            found.push((ranks.into_iter().max().unwrap_or(0), model));
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    if found.is_empty() {
        let text = "No model fits; /models lists all";
        return vec![Line::of(Style::Warn, &clip_width(text, columns))];
    }
    let rows: Vec<[String; 4]> = found.iter().take(MOST_ROWS).map(|(_, model)| cells(model)).collect();
    let mut lines = table(&rows, current, columns);
    if let Some(left @ 1..) = found.len().checked_sub(MOST_ROWS) {
        let more = format!("… {left} more; /models WORD narrows them");
        lines.push(Line::of(Style::Dim, &clip_width(&more, columns)));
    }
    lines
}

/// How well a model fits a word of a search, 0 the best; `None` if it does not.
fn fit(model: &Model, word: &str) -> Option<u8> {
    let has = |yes: bool| yes.then_some(0);
    match word {
        "free" => has(model.is_free),
        "thinking" => has(model.supports_thinking == Some(true)),
        "tools" => has(model.supports_tools == Some(true)),
        "image" | "vision" => has(model.input_modalities.iter().any(|kind| kind == "image")),
        _ => {
            let id = model.id.to_lowercase();
            let name = model.name.as_deref().unwrap_or_default().to_lowercase();
            [rank(&id, word), rank(last_segment(&id), word), rank(&name, word)].into_iter().flatten().min()
        }
    }
}

/// Id, size of the context, prices, what it can do.
fn cells(model: &Model) -> [String; 4] {
    let context = model.context_tokens.map_or_else(String::new, |tokens| match tokens {
        1_000_000.. => format!("{:.1}M", tokens as f64 / 1e6).replace(".0M", "M"),
        1_000.. => format!("{}k", tokens / 1_000),
        _ => tokens.to_string(),
    });
    let price = |price: Option<f64>| price.map(|usd| format!("{usd:.2}"));
    let pricing = &model.pricing;
    let prices = match (price(pricing.prompt_per_million), price(pricing.completion_per_million)) {
        _ if model.is_free => "free".to_owned(),
        (Some(prompt), Some(completion)) => format!("${prompt} / ${completion}"),
        _ => String::new(),
    };
    let can = [
        (model.supports_tools == Some(true), "tools"),
        (model.supports_thinking == Some(true), "thinking"),
        (model.input_modalities.iter().any(|kind| kind == "image"), "image"),
    ];
    let can: Vec<&str> = can.into_iter().filter_map(|(yes, word)| yes.then_some(word)).collect();
    [one_line(&model.id).into_owned(), context, prices, can.join(" ")]
}

/// Rows under a heading, none wider than the screen: columns that do not fit are left out from the right, then the id is cut.
fn table(rows: &[[String; 4]], current: &str, columns: usize) -> Vec<Line> {
    let heading = ["model", "context", "in / out per 1M", "can"].map(str::to_owned);
    let widest =
        |column: usize| rows.iter().chain([&heading]).map(|row| width(&row[column])).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(widest);
    let fits = |count: usize| 2 + widths[..count].iter().sum::<usize>() + 2 * (count - 1) <= columns;
    let count = (1..=4).rev().find(|count| fits(*count)).unwrap_or(1);
    let row = |cells: &[String; 4], style: Style| {
        let mark = if cells[0] == current { "› " } else { "  " };
        let mut text = String::from(mark);
        for column in 0..count {
            text.push_str(&cells[column]);
            if column + 1 < count {
                text.push_str(&" ".repeat(widths[column] - width(&cells[column]) + 2));
            }
        }
        Line::of(style, &clip_width(text.trim_end(), columns))
    };
    let style = |cells: &[String; 4]| if cells[0] == current { Style::Bold } else { Style::Plain };
    let body = rows.iter().map(|cells| row(cells, style(cells)));
    std::iter::once(row(&heading, Style::Dim)).chain(body).collect()
}

/// Ids that may have been meant, the closest first.
fn close_to(id: &str, catalog: &Catalog) -> Vec<String> {
    let wanted = id.to_lowercase();
    let wanted_name = last_segment(&wanted);
    let mut close: Vec<(usize, &str)> = Vec::new();
    for model in catalog.models() {
        let known = model.id.to_lowercase();
        let name = last_segment(&known);
        let distance = distance(wanted_name, name);
        let is_typo = distance <= wanted_name.chars().count() / 3;
        let score = match rank(&known, &wanted).min(rank(name, wanted_name)) {
            _ if name == wanted_name => 0,
            _ if is_typo => 100 + distance,
            _ if name.starts_with(wanted_name) || known.starts_with(&wanted) => 200 + distance,
            _ if known.contains(wanted_name) => 300 + distance,
            Some(_) => 400 + distance,
            None => continue,
        };
        close.push((score, &model.id));
    }
    close.sort();
    close.into_iter().take(MOST_SUGGESTIONS).map(|(_, id)| id.to_owned()).collect()
}

/// How many characters have to be put in, taken out or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

fn last_segment(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn catalog() -> Catalog {
        let price = |prompt: &str, completion: &str| json!({"prompt_usd_per_1m": prompt, "completion_usd_per_1m": completion});
        Catalog::from_value(&json!([
            {"id": "openai/gpt-4o", "context_length": 128_000, "supports_tools": true, "pricing": price("2.5", "10"),
                "input_modalities": ["text", "image"]},
            {"id": "openai/gpt-4o-mini", "context_length": 128_000, "supports_tools": true, "pricing": price("0.15", "0.6")},
            {"id": "anthropic/claude-sonnet-4.5", "name": "Claude Sonnet 4.5", "context_window": 1_000_000,
                "supports_tools": true, "supports_thinking": true, "pricing": price("3", "15")},
            {"id": "evil/\u{1b}[2Jx", "is_free": true},
            {"id": "z/tiny", "context_length": 512, "is_free": true},
        ]))
        .unwrap()
    }

    #[test]
    fn a_name_that_is_not_listed_has_neighbours() {
        let models = ModelList::default();
        assert_eq!(models.standing("x/y"), Standing::Unknown);
        models.set(Catalog::default());
        assert_eq!(models.standing("x/y"), Standing::Unknown);
        models.set(catalog());
        let rows: [(&str, &[&str]); 6] = [
            ("gpt-4o", &["openai/gpt-4o", "openai/gpt-4o-mini"]),
            ("openai/gtp-4o", &["openai/gpt-4o"]),
            ("azure/gpt-4o-mini", &["openai/gpt-4o-mini"]),
            ("Sonnet", &["anthropic/claude-sonnet-4.5"]),
            ("claude sonet 4.5", &["anthropic/claude-sonnet-4.5"]),
            ("mistral-large", &[]),
        ];
        for (id, want) in rows {
            let Standing::NotListed(close) = models.standing(id) else { panic!("{id}") };
            assert_eq!(close, want, "{id}");
        }
        assert_eq!(models.standing("openai/gpt-4o"), Standing::Listed);
        assert_eq!(models.standing("auto"), Standing::Listed);
    }

    #[test]
    fn edits_are_counted() {
        for (one, other, want) in [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("é", "e", 1)] {
            assert_eq!((distance(one, other), distance(other, one)), (want, want), "{one} {other}");
        }
    }

    #[test]
    fn the_table_fits_every_width() {
        let mut shown = String::new();
        for (words, columns) in
            [("", 100), ("", 50), ("", 12), ("free", 80), ("tools gpt", 80), ("nothing", 80)]
        {
            shown.push_str(&format!("/models {words} at {columns}\n"));
            for line in listing(&catalog(), words, "openai/gpt-4o", columns) {
                shown.push_str(&format!("|{}\n", line.plain()));
            }
        }
        insta::assert_snapshot!(shown);
        for columns in 1..40 {
            let lines = listing(&catalog(), "", "x", columns);
            assert!(lines.iter().all(|line| width(&line.plain()) <= columns), "{columns}");
        }
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let rows: Vec<Value> = (0..100).map(|n| json!({"id": format!("p/m{n}")})).collect();
        let catalog = Catalog::from_value(&json!(rows)).unwrap();
        let lines = listing(&catalog, "", "", 80);
        assert_eq!(lines.len(), 1 + MOST_ROWS + 1);
        assert_eq!(lines.last().unwrap().plain(), "… 60 more; /models WORD narrows them");
        assert_eq!(listing(&catalog, "m99", "", 80).len(), 2);
    }
}
