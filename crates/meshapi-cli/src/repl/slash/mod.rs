//! Slash commands while a turn runs: those that take hold at the next request.

use mesh_agent::{SharedMode, SharedSettings};
use mesh_safety::PermissionMode;
use serde_json::json;

use crate::{
    cli::mode_name,
    config::Config,
    exit::with_causes,
    ui::line::{Line, Style},
};

/// What a command may change while a turn runs.
pub struct LiveControls<'a> {
    /// Model and route.
    pub settings: SharedSettings,
    /// The permission mode.
    pub mode: SharedMode,
    /// The stored settings.
    pub config: &'a mut Config,
}

/// Runs a command that may run in mid-turn; `None` for one that has to wait for its end.
pub fn run_live(line: &str, live: &mut LiveControls<'_>) -> Option<Vec<Line>> {
    let line = line.trim_start_matches('/');
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let (name, argument) = (name.to_lowercase(), argument.trim());
    let done = match (name.as_str(), argument) {
        (_, "") => return None,
        ("model", model) => {
            live.settings.update(|settings| settings.model = model.to_owned());
            live.config.overrides_mut().model = None;
            stored(live.config, "model", model)
        }
        ("mode", mode) => {
            let mode = PermissionMode::parse(mode)?;
            live.mode.set(mode);
            Line::of(Style::Dim, &format!("Mode set to {}", mode_name(mode)))
        }
        ("route", route @ ("cheapest" | "fastest" | "balanced")) => {
            live.settings.update(|settings| settings.route = Some(route.to_owned()));
            live.config.overrides_mut().route = None;
            stored(live.config, "route", route)
        }
        _ => return None,
    };
    Some(vec![done])
}

fn stored(config: &mut Config, key: &str, value: &str) -> Line {
    match config.store([(key, &json!(value))]) {
        Ok(()) => Line::of(Style::Dim, &format!("{key} set to {value}; it holds from the next request on")),
        Err(error) => Line::of(
            Style::Warn,
            &format!("{key} set to {value}, for this session only: {}", with_causes(&error)),
        ),
    }
}
