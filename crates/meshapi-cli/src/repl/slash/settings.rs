//! Commands that change how the session works: those that may run while a turn does.
//!
//! A setting holds for this session whether or not it could be written down.

use mesh_agent::OptimizeAt;
use mesh_safety::PermissionMode;
use serde_json::{Value, json};

use super::{LiveControls, Outcome, SlashContext, models::doubts};
use crate::{
    cli::{DIAL_MAX, dial, mode_name},
    config::{Config, ConfigError},
    exit::with_causes,
    ui::line::{Line, Style},
    wiring::levers_of,
};

/// Levels of `reasoning_effort` that the gateway takes.
const EFFORTS: [&str; 4] = ["high", "medium", "low", "none"];

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
    let model = controls.settings.get().model;
    if argument.is_empty() {
        let dial = controls.settings.get().optimize;
        let shown = if dial > 0.0 { dial.to_string() } else { "off".to_owned() };
        let (levers, provider) = levers_of(dial, &model);
        let runs = match levers.as_str() {
            "" => "No lever runs: requests go out as they are.".to_owned(),
            levers => format!("Levers: {levers}"),
        };
        return Outcome::note(&format!(
            "optimize (beta): {shown}\n{runs}\n{model}: {provider}\n\
             /optimize 0.3 sets the dial, 0 to {DIAL_MAX}; /optimize off turns it off; /savings shows what it saved"
        ));
    }
    let dial = match dial(argument) {
        Ok(dial) => dial,
        Err(wrong) => return Outcome::bad(wrong),
    };
    controls.settings.update(|settings| settings.optimize = dial);
    controls.config.overrides_mut().optimize = None;
    let stored = store(controls.config, [("optimize", &json!(dial))]);
    if dial == 0.0 {
        return finished(stored, "optimize off");
    }
    let (levers, provider) = levers_of(dial, &model);
    let mut outcome = finished(stored, &format!("optimize (beta) set to {argument}. Levers: {levers}"));
    let about = match controls.settings.get().optimize_at {
        OptimizeAt::Client => format!("{model}: {provider}. /optimize off turns it off"),
        OptimizeAt::Gateway { .. } => {
            "The gateway does the work: it is told the dial. /optimize off turns it off".to_owned()
        }
    };
    outcome.lines.push(Line::prose(Style::Dim, &about));
    outcome
}

pub(super) fn savings(argument: &str, controls: &mut LiveControls<'_>) -> Outcome {
    match argument {
        "" => Outcome::of(controls.savings.lines()),
        "audit" => Outcome::of(controls.savings.audit_lines()),
        _ => Outcome::bad("usage: /savings or /savings audit"),
    }
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
