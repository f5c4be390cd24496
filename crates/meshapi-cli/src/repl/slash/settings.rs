//! Commands that change how the session works: those that may run while a turn does.
//!
//! A setting holds for this session whether or not it could be written down.

use mesh_safety::PermissionMode;
use serde_json::{Value, json};

use super::{LiveControls, Outcome, SlashContext, models::doubts};
use crate::{
    cli::mode_name,
    config::{Config, ConfigError},
    exit::with_causes,
    ui::line::{Line, Style},
};

/// Levels of `reasoning_effort` that the gateway takes.
const EFFORTS: [&str; 4] = ["high", "medium", "low", "none"];
/// Highest value of the optimise dial. Seed section 7.
const DIAL_MAX: f64 = 0.95;

pub(super) fn mode(argument: &str, controls: &mut LiveControls<'_>) -> Outcome {
    if argument.is_empty() {
        let mode = controls.mode.get();
        return Outcome::note(&format!("Current mode: {} ({})", mode_label(mode), mode_name(mode)));
    }
    match PermissionMode::parse(argument) {
        Some(mode) => {
            controls.mode.set(mode);
            Outcome::note(&format!("Mode set to {} ({})", mode_label(mode), mode_name(mode)))
        }
        None => {
            Outcome::bad(&format!("unknown mode: '{argument}' (try default, accept-edits, auto, bypass)"))
        }
    }
}

/// What a mode is called; never empty (D-9).
fn mode_label(mode: PermissionMode) -> &'static str {
    match mode.label() {
        "" => "ask first",
        label => label,
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
    let stored = store(controls.config, [("route", &json!(route))]);
    finished(stored, &format!("Routing set to {argument}"))
}

pub(super) fn reasoning(argument: &str, controls: &mut LiveControls<'_>) -> Outcome {
    let wanted = argument.to_lowercase();
    let effort = match wanted.as_str() {
        "" => {
            let effort = controls.settings.get().reasoning_effort;
            let effort = effort.as_deref().unwrap_or("off (the model's own)");
            return Outcome::note(&format!("Current reasoning effort: {effort}"));
        }
        "off" | "default" => None,
        effort if EFFORTS.contains(&effort) => Some(wanted.clone()),
        _ => return Outcome::bad("Unknown reasoning effort. Try: high, medium, low, none, off"),
    };
    controls.settings.update(|settings| settings.reasoning_effort.clone_from(&effort));
    let stored = store(controls.config, [("reasoning_effort", &json!(effort))]);
    finished(stored, &format!("Reasoning effort set to {wanted}"))
}

pub(super) fn fallback(argument: &str, controls: &mut LiveControls<'_>) -> Outcome {
    if argument.is_empty() {
        let models = controls.settings.get().fallback_models;
        let models = if models.is_empty() { "none".to_owned() } else { models.join(", ") };
        return Outcome::note(&format!("Models to fall back to: {models}"));
    }
    let is_off = ["off", "none", "default"].iter().any(|word| argument.eq_ignore_ascii_case(word));
    let mut models: Vec<String> = Vec::new();
    if !is_off {
        for id in argument.split([',', ' ', '\t']).filter(|id| !id.is_empty()) {
            if !models.iter().any(|known| known == id) {
                models.push(id.to_owned());
            }
        }
        if models.is_empty() {
            return Outcome::bad("usage: /fallback MODEL[, MODEL]… or /fallback off");
        }
    }
    controls.settings.update(|settings| settings.fallback_models.clone_from(&models));
    let stored = store(controls.config, [("fallback_models", &json!(models))]);
    let done = match models.as_slice() {
        [] => "Fallback off: only the model itself is asked".to_owned(),
        models => format!("Falling back to {}", models.join(", then ")),
    };
    let mut outcome = finished(stored, &done);
    outcome.lines.extend(models.iter().filter_map(|id| doubts(id, &controls.models)));
    outcome
}

pub(super) fn optimize(argument: &str, controls: &mut LiveControls<'_>) -> Outcome {
    if argument.is_empty() {
        let dial = match controls.config.values().optimize {
            0.0 => "off".to_owned(),
            dial => dial.to_string(),
        };
        return Outcome::note(&format!(
            "optimize (beta): {dial}\n/optimize 0.3 sets the dial, 0 to {DIAL_MAX}\n/optimize off turns it off\n\
             No lever runs in this release: requests go out as they are."
        ));
    }
    let dial = match argument {
        off if off.eq_ignore_ascii_case("off") => 0.0,
        number => match number.parse::<f64>() {
            Ok(dial) if (0.0..=DIAL_MAX).contains(&dial) => dial + 0.0,
            Ok(dial) if !dial.is_nan() => return Outcome::bad("Dial range is 0 to 0.95."),
            _ => return Outcome::bad("Not a number: /optimize takes 0 to 0.95, or off"),
        },
    };
    let stored = store(controls.config, [("optimize", &json!(dial))]);
    if dial == 0.0 {
        return finished(stored, "optimize off");
    }
    let mut outcome =
        finished(stored, &format!("optimize (beta) set to {argument}; /optimize off turns it off"));
    let plain = "The dial is kept, but no lever runs in this release: requests go out as they are.";
    outcome.lines.push(Line::of(Style::Dim, plain));
    outcome
}

pub(super) fn hops(argument: &str, context: &mut SlashContext<'_>) -> Outcome {
    let hops = match argument {
        "" => {
            let hops = context.config.max_hops().map_or_else(|| OWN_LIMITS.to_owned(), |n| n.to_string());
            return Outcome::note(&format!("Requests before a turn pauses: {hops}"));
        }
        off if off.eq_ignore_ascii_case("off") => None,
        number => match number.parse::<u32>() {
            Ok(hops) => Some(hops).filter(|hops| *hops > 0),
            Err(_) => return Outcome::bad("/hops takes a whole number, or off"),
        },
    };
    context.wired.agent.set_max_hops(hops);
    context.config.overrides_mut().max_hops = None;
    let stored = store(context.config, [("max_hops", &json!(hops))]);
    let done = hops.map_or_else(|| OWN_LIMITS.to_owned(), |n| n.to_string());
    finished(stored, &format!("Requests before a turn pauses: {done}"))
}

/// What holds when the user has set no limit.
const OWN_LIMITS: &str = "off (8, or 60 with a plan)";

/// Writes settings down.
pub(super) fn store<'v>(
    config: &mut Config,
    changes: impl IntoIterator<Item = (&'v str, &'v Value)>,
) -> Result<(), ConfigError> {
    config.store(changes)
}

/// Says that a setting holds, and that it was not written down if so.
pub(super) fn finished(stored: Result<(), ConfigError>, done: &str) -> Outcome {
    match stored {
        Ok(()) => Outcome::note(done),
        Err(error) => Outcome::warn(&format!("{done}, for this session only: {}", with_causes(&error))),
    }
}
