//! Commands that change how the session works: those that may run while a turn does.

use mesh_safety::PermissionMode;
use serde_json::{Value, json};

use super::{LiveControls, Outcome};
use crate::{cli::mode_name, config::Config, exit::with_causes};

pub(super) fn mode(argument: &str, controls: &mut LiveControls<'_>) -> Outcome {
    if argument.is_empty() {
        return Outcome::note(&format!("Current mode: {}", mode_name(controls.mode.get())));
    }
    match PermissionMode::parse(argument) {
        Some(mode) => {
            controls.mode.set(mode);
            Outcome::note(&format!("Mode set to {}", mode_name(mode)))
        }
        None => {
            Outcome::bad(&format!("unknown mode: '{argument}' (try default, accept-edits, auto, bypass)"))
        }
    }
}

pub(super) fn route(argument: &str, controls: &mut LiveControls<'_>) -> Outcome {
    let route = match argument {
        "" => {
            let route = controls.settings.get().route;
            return Outcome::note(&format!("Current route: {}", route.as_deref().unwrap_or("default")));
        }
        "default" => None,
        "cheapest" | "fastest" | "balanced" => Some(argument.to_owned()),
        _ => return Outcome::bad("Unknown route. Try: balanced, cheapest, fastest, default"),
    };
    controls.settings.update(|settings| settings.route.clone_from(&route));
    controls.config.overrides_mut().route = None;
    stored(controls.config, "route", &json!(route), &format!("Routing set to {argument}"))
}

/// The setting holds for this session whether or not it could be written down.
pub(super) fn stored(config: &mut Config, key: &str, value: &Value, done: &str) -> Outcome {
    match config.store([(key, value)]) {
        Ok(()) => Outcome::note(done),
        Err(error) => Outcome::bad(&format!("{done}, for this session only: {}", with_causes(&error))),
    }
}
