//! The published optimisers, lever by lever: what a gateway or a client of theirs does today, done here.
//!
//! Two of them are known: the TypeScript package mesh-optimize 0.1.0 ([`Dialect::Utf16`]), which sits in a gateway, and the part of
//! meshapi-code 0.4.5 and 0.5.10 ([`Dialect::CodePoints`]), which sits in a client. Where they are unsafe the better thing is done,
//! and the comment at that place says so: a pair of UTF-16 halves is never cut, any breakpoint of the client counts, whatever the
//! client set wins, and a dial that is no number is off. Each request is prepared by itself; there is no session.
//!
//! ```
//! use mesh_optimize::{Dialect, reference};
//! use serde_json::json;
//!
//! let request = json!({"model": "example/model", "messages": [{"role": "user", "content": "hi"}], "mesh_optimize": 0.3});
//! let (body, plan) = reference::prepare(&request, None, Dialect::Utf16);
//! assert_eq!(body["max_tokens"], 1024);
//! assert_eq!(plan.levers, [reference::Lever::MaxTokensDefault]);
//! ```
//!
//! - `plan`: what was done, and the two shapes in which the originals say it
//! - `guard`, `prune`, `breakpoints`, `cap`, `effort`, `batch`: one lever a file, in the order in which they run
//! - `model`: names, smallest cacheable prefixes and prices
//! - `savings`: the receipt of the one, the status line of the other
mod batch;
mod breakpoints;
mod cap;
mod effort;
mod guard;
mod model;
mod plan;
mod prune;
mod savings;

#[cfg(test)]
mod laws;

use serde_json::{Map, Number, Value};

use crate::classify::TaskClass;
use crate::dial::Dial;
use crate::dialect::Dialect;

pub use cap::Caps;
pub use model::{Model, Price};
pub use plan::{AuditEntry, ESTIMATE_METHOD, Lever, Plan, Untouched};
pub use prune::survives_pruning;
pub use savings::{Savings, attach_savings, savings, savings_line};

/// A lever changes the request that it is given, and writes down that it did.
type Apply = fn(&mut Work<'_>);

/// The TypeScript package's levers, in its order.
const GATEWAY: &[Apply] =
    &[guard::apply, prune::apply, breakpoints::apply, cap::apply, effort::apply, batch::apply, batch::later];

/// The Python releases' levers, in their order.
const CLIENT: &[Apply] = &[prune::apply, breakpoints::apply, cap::apply];

/// A request under the levers.
struct Work<'r> {
    request: &'r mut Map<String, Value>,
    /// `mesh_hints`, taken out of the request.
    hints: Value,
    dialect: Dialect,
    dial: f64,
    model: Model,
    caps: Caps,
    /// The client set a breakpoint somewhere.
    is_marked: bool,
    plan: Plan,
}

impl Work<'_> {
    fn messages(&self) -> &[Value] {
        self.request.get("messages").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn message_mut(&mut self, index: usize) -> Option<&mut Map<String, Value>> {
        self.request.get_mut("messages")?.get_mut(index)?.as_object_mut()
    }
}

/// Prepares a copy of a request body by the levers of `dialect`, with that dialect's newest table of completion caps.
///
/// The body's `mesh_optimize` goes before `default_dial`, `null` and other values that are no dial included: those are off. It cannot
/// fail: at dial 0, and when the body is not understood, the copy equals the request and [`Plan::untouched`] says why.
pub fn prepare(request: &Value, default_dial: Option<Dial>, dialect: Dialect) -> (Value, Plan) {
    let mut body = request.clone();
    let plan = prepare_in_place(&mut body, default_dial, dialect, Caps::newest(dialect));
    (body, plan)
}

/// Prepares a request body without copying it. See [`prepare`].
pub fn prepare_in_place(body: &mut Value, default_dial: Option<Dial>, dialect: Dialect, caps: Caps) -> Plan {
    let stated = stated_dial(body, default_dial, dialect);
    let dial = stated.as_ref().and_then(Number::as_f64).unwrap_or(0.0);
    let model = body.get("model").cloned();
    let mut plan = Plan { dial: stated, model, ..Plan::new(dialect) };
    if let Some(why) = untouched(body, dial) {
        plan.untouched = Some(why);
        return plan;
    }
    plan.class = TaskClass::of_request(body, dialect);
    let is_marked = breakpoints::is_marked(body);
    let model = Model::of_request(body);
    let Some(request) = body.as_object_mut() else { return plan };
    request.shift_remove("mesh_optimize");
    let hints = request.shift_remove("mesh_hints").unwrap_or_default();
    let mut work = Work { request, hints, dialect, dial, model, caps, is_marked, plan };
    let levers = match dialect {
        Dialect::Utf16 => GATEWAY,
        Dialect::CodePoints => CLIENT,
    };
    for apply in levers {
        apply(&mut work);
    }
    work.plan
}

/// The dial that is named by the request, else by the caller.
///
/// The TypeScript package clamps it, and says 0 for what is no dial (T6: a text is none); the Python releases take it as it is.
fn stated_dial(body: &Value, default_dial: Option<Dial>, dialect: Dialect) -> Option<Number> {
    let default = default_dial.unwrap_or(Dial::OFF).value();
    match (body.get("mesh_optimize"), dialect) {
        (None, _) => Number::from_f64(default),
        (Some(own), Dialect::Utf16) => Number::from_f64(Dial::from_json(own).value()),
        (Some(Value::Number(own)), Dialect::CodePoints) => Some(own.clone()),
        (Some(_), Dialect::CodePoints) => None,
    }
}

/// Why nothing may be done to a body.
fn untouched(body: &Value, dial: f64) -> Option<Untouched> {
    let Some(request) = body.as_object() else { return Some(Untouched::NotAnObject) };
    if dial <= 0.0 {
        return Some(Untouched::Off);
    }
    match request.get("messages") {
        None | Some(Value::Null) => None,
        Some(Value::Array(messages)) if messages.iter().all(Value::is_object) => None,
        Some(_) => Some(Untouched::NotMessages),
    }
}
