//! Pure: from the argument text that a model wrote to checked arguments, or to words on what is wrong with it.
//!
//! The layers, from strict to hopeless: valid JSON; JSON with raw control characters; JSON with commas missing between
//! members; cut off; no JSON at all. A text that ends too early is never completed: half a file must not be written.

use serde_json::Value;

use super::check::type_name;
pub use super::check::{flag, hint, integer, missing_argument, text, validate};
use super::lenient::{self, Commas, Fault, Node};
use super::{Args, ToolSpec};

/// Characters shown on each side of a fault.
pub const WINDOW_CHARS: usize = 40;

/// Failures in a row of one tool from which on other ways are named.
const HATCH_FAILURES: u32 = 2;

/// What became of a call's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgsKind {
    /// Valid as they came.
    Ok,
    /// Valid once raw control characters were taken as they were meant.
    Normalized,
    /// Valid once commas were put in between members.
    Repaired,
    /// JSON, but not what the tool takes.
    Invalid,
    /// Cut off.
    Truncated,
    /// No JSON.
    Unparseable,
}

impl ArgsKind {
    /// Whether the call may run. The other kinds are answered with [`Prepared::feedback`] and never ask for approval.
    pub fn is_runnable(self) -> bool {
        match self {
            ArgsKind::Ok | ArgsKind::Normalized | ArgsKind::Repaired => true,
            ArgsKind::Invalid | ArgsKind::Truncated | ArgsKind::Unparseable => false,
        }
    }

    /// The kind in one lower-case word, for records and events.
    pub fn as_str(self) -> &'static str {
        match self {
            ArgsKind::Ok => "ok",
            ArgsKind::Normalized => "normalized",
            ArgsKind::Repaired => "repaired",
            ArgsKind::Invalid => "invalid",
            ArgsKind::Truncated => "truncated",
            ArgsKind::Unparseable => "unparseable",
        }
    }
}

/// A call's arguments, ready to run or ready to be answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// What became of them.
    pub kind: ArgsKind,
    /// The arguments; empty where there was no JSON object.
    pub args: Args,
    /// JSON text for the history: the model's own where that was valid, `{}` where there was no JSON object.
    pub history_args: String,
    /// What the model is told instead of a result, for the kinds that do not run.
    pub feedback: Option<String>,
    /// Where the first fault is, in characters from the start; `None` for valid JSON.
    pub pos: Option<usize>,
}

/// Reads, repairs and checks the arguments of one call. `spec` is `None` for a tool that nobody knows.
pub fn prepare_call(spec: Option<&ToolSpec>, raw: &str) -> Prepared {
    let tool = spec.map_or("the call", |spec| spec.name);
    if raw.trim().is_empty() {
        return checked(spec, ArgsKind::Ok, Args::new(), "{}".to_owned(), None);
    }
    match serde_json::from_str::<Value>(raw) {
        Ok(Value::Object(args)) => return checked(spec, ArgsKind::Ok, args, raw.to_owned(), None),
        Ok(other) => return not_an_object(spec, &other, None),
        Err(_) => {}
    }
    let fault = match lenient::parse(raw, Commas::Required) {
        Ok((node, _)) => return lenient_outcome(spec, ArgsKind::Normalized, &node, None, raw),
        Err(fault) => fault,
    };
    let pos = char_position(raw, fault.at);
    if lenient::is_truncated(raw) {
        let text = format!(
            "{tool} was not executed: its arguments are cut off, the JSON ends too early: {}. Send the whole call again, \
             in smaller parts if it was too long.",
            error_window(raw, raw.chars().count(), WINDOW_CHARS)
        );
        return doomed(spec, ArgsKind::Truncated, &text, pos);
    }
    if let Ok((node @ Node::Object(_), _)) = lenient::parse(raw, Commas::Inserted) {
        return lenient_outcome(spec, ArgsKind::Repaired, &node, Some(pos), raw);
    }
    doomed(spec, ArgsKind::Unparseable, &unparseable_text(tool, raw, fault, pos), pos)
}

/// Puts the commas in that a text lacks between members; control characters stay as they are.
///
/// # Errors
/// [`RepairError::Truncated`] where the text ends too early, [`RepairError::Unrepairable`] where commas are not what it
/// lacks: this includes text without a fault.
pub fn repair(raw: &str) -> Result<String, RepairError> {
    if lenient::is_truncated(raw) {
        return Err(RepairError::Truncated);
    }
    let Ok((Node::Object(_), places)) = lenient::parse(raw, Commas::Inserted) else {
        return Err(RepairError::Unrepairable);
    };
    if places.is_empty() {
        return Err(RepairError::Unrepairable);
    }
    let mut text = String::with_capacity(raw.len() + places.len());
    let mut from = 0;
    for place in places {
        text.push_str(&raw[from..place]);
        text.push(',');
        from = place;
    }
    text.push_str(&raw[from..]);
    Ok(text)
}

/// Why [`repair`] gave nothing back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepairError {
    /// The text ends too early.
    #[error("the text ends too early and is never completed")]
    Truncated,
    /// Commas do not make it an object.
    #[error("commas between members do not make it a JSON object")]
    Unrepairable,
}

/// Shows a fault in its surroundings: `radius` characters before it and `radius` from it on, itself in `⟨⟩`.
///
/// `pos` counts characters; at or behind the end it reads `⟨<end>⟩`. Line breaks, tabs and backslashes are escaped.
pub fn error_window(raw: &str, pos: usize, radius: usize) -> String {
    let total = raw.chars().count();
    let pos = pos.min(total);
    let from = pos.saturating_sub(radius);
    let to = pos.saturating_add(radius).min(total);
    let mut text = String::from(if from > 0 { "…" } else { "" });
    raw.chars().take(pos).skip(from).for_each(|c| push_visible(&mut text, c));
    text.push('⟨');
    match raw.chars().nth(pos) {
        Some(c) => push_visible(&mut text, c),
        None => text.push_str("<end>"),
    }
    text.push('⟩');
    raw.chars().take(to).skip(pos + 1).for_each(|c| push_visible(&mut text, c));
    text.push_str(if to < total { "…" } else { "" });
    text
}

/// Names other ways once `tool` was called with broken arguments `failures` times in a row.
pub fn escape_hatch(tool: &str, failures: u32) -> Option<&'static str> {
    (tool == "write_file" && failures >= HATCH_FAILURES).then_some(
        "This failed more than once. Other ways: send the arguments as JSON on one line, with each line break as \\n and each \
         quote as \\\"; or write the file with a shell heredoc (cat > FILE <<'EOF'); or write a short first part and \
         add the rest with further calls.",
    )
}

fn lenient_outcome(
    spec: Option<&ToolSpec>,
    kind: ArgsKind,
    node: &Node,
    pos: Option<usize>,
    raw: &str,
) -> Prepared {
    let pos = pos.or_else(|| lenient::first_raw_control(raw).map(|at| char_position(raw, at)));
    match node {
        Node::Object(members) => {
            let mut text = String::new();
            node.write(&mut text);
            checked(spec, kind, lenient::object_value(members), text, pos)
        }
        other => not_an_object(spec, &other.to_value(), pos),
    }
}

fn checked(
    spec: Option<&ToolSpec>,
    kind: ArgsKind,
    args: Args,
    history_args: String,
    pos: Option<usize>,
) -> Prepared {
    match spec.map(|spec| (spec, validate(spec, &args))) {
        Some((spec, Err(problem))) => {
            let feedback = Some(format!("Error: {problem} The call was not executed. {}", hint(spec)));
            Prepared { kind: ArgsKind::Invalid, args, history_args, feedback, pos }
        }
        Some((_, Ok(()))) | None => Prepared { kind, args, history_args, feedback: None, pos },
    }
}

fn not_an_object(spec: Option<&ToolSpec>, value: &Value, pos: Option<usize>) -> Prepared {
    let tool = spec.map_or("the call", |spec| spec.name);
    let text = format!(
        "{tool} was not executed: its arguments must be a JSON object, and they are {}.",
        type_name(value)
    );
    Prepared { pos, ..doomed(spec, ArgsKind::Invalid, &text, 0) }
}

fn doomed(spec: Option<&ToolSpec>, kind: ArgsKind, text: &str, pos: usize) -> Prepared {
    let hint = spec.map_or_else(String::new, |spec| format!(" {}", hint(spec)));
    Prepared {
        kind,
        args: Args::new(),
        history_args: "{}".to_owned(),
        feedback: Some(format!("Error: {text}{hint}")),
        pos: Some(pos),
    }
}

fn unparseable_text(tool: &str, raw: &str, fault: Fault, pos: usize) -> String {
    format!(
        "{tool} was not executed: its arguments are no valid JSON. Expected {} at character {pos}: {}.",
        fault.what,
        error_window(raw, pos, WINDOW_CHARS)
    )
}

fn char_position(raw: &str, at: usize) -> usize {
    raw.char_indices().take_while(|(index, _)| *index < at).count()
}

fn push_visible(out: &mut String, c: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WRITE: ToolSpec = ToolSpec {
        name: "write_file",
        description: "",
        parameters: r#"{"type":"object","properties":{"path":{"type":"string"},"content":{"type":"string"}},"required":["path","content"]}"#,
        required: &["path", "content"],
    };
    const RUN: ToolSpec = ToolSpec {
        name: "run_bash",
        description: "",
        parameters: r#"{"type":"object","properties":{"command":{"type":"string"},"timeout":{"type":"integer"}},"required":["command"]}"#,
        required: &["command"],
    };
    #[track_caller]
    fn check(spec: &ToolSpec, raw: &str, kind: ArgsKind, history: &str) {
        let prepared = prepare_call(Some(spec), raw);
        assert_eq!((prepared.kind, prepared.history_args.as_str()), (kind, history), "{raw}");
        assert_eq!(prepared.feedback.is_none(), kind.is_runnable(), "{raw}");
    }

    #[test]
    fn valid_text_is_kept_to_the_letter() {
        check(
            &RUN,
            r#"{ "command":"ls","timeout":1.50e1 }"#,
            ArgsKind::Ok,
            r#"{ "command":"ls","timeout":1.50e1 }"#,
        );
        let precise = r#"{"command":"ls","seed":12345678901234567890123}"#;
        check(&RUN, precise, ArgsKind::Ok, precise);
    }

    #[test]
    fn layers_end_where_they_should() {
        check(&RUN, "{\"command\":\"a\nb\"}", ArgsKind::Normalized, r#"{"command": "a\nb"}"#);
        check(
            &WRITE,
            r#"{"path":"a" "content":"b"}"#,
            ArgsKind::Repaired,
            r#"{"path": "a", "content": "b"}"#,
        );
        check(&WRITE, r#"{"path":"a" "content":"b"#, ArgsKind::Truncated, "{}");
        check(&WRITE, r#"{"path":"a","content":"b"} and so on"#, ArgsKind::Unparseable, "{}");
        check(&WRITE, "[1]", ArgsKind::Invalid, "{}");
        check(&WRITE, "", ArgsKind::Invalid, "{}");
        check(&WRITE, &"[".repeat(500_000), ArgsKind::Truncated, "{}");
        check(
            &WRITE,
            &format!("{}{}", "[".repeat(500_000), "]".repeat(500_000)),
            ArgsKind::Unparseable,
            "{}",
        );
    }

    #[test]
    fn feedback_is_precise() {
        let prepared = prepare_call(Some(&WRITE), r#"{"path":"a","content":"say "hi""}"#);
        insta::assert_snapshot!(prepared.feedback.unwrap(), @r#"Error: write_file was not executed: its arguments are no valid JSON. Expected ',' at character 28: {"path":"a","content":"say "⟨h⟩i""}. write_file expects {"path": "...", "content": "..."}"#);
        let prepared = prepare_call(Some(&WRITE), "{\"path\":\"a\",\"content\":\"line\nan");
        insta::assert_snapshot!(prepared.feedback.unwrap(), @r#"Error: write_file was not executed: its arguments are cut off, the JSON ends too early: {"path":"a","content":"line\nan⟨<end>⟩. Send the whole call again, in smaller parts if it was too long. write_file expects {"path": "...", "content": "..."}"#);
    }

    #[test]
    fn hatches_open_at_the_second_failure() {
        assert_eq!(escape_hatch("write_file", 1), None);
        assert!(escape_hatch("write_file", 2).is_some());
        assert_eq!(escape_hatch("run_bash", 5), None);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z\"\\\\\n{}\\[\\],:é😀 ]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-z]{1,5}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_text_is_prepared_without_panic(raw in ".{0,80}") {
            prepare_call(Some(&WRITE), &raw);
            prepare_call(None, &raw);
            let _ = repair(&raw);
        }

        #[test]
        fn a_cut_off_object_is_never_completed(members in prop::collection::vec(("[a-z]{1,5}", json()), 1..5), cut in any::<prop::sample::Index>()) {
            let whole = Value::Object(members.into_iter().collect()).to_string();
            let at = whole.floor_char_boundary(1 + cut.index(whole.len() - 1));
            let prepared = prepare_call(None, &whole[..at]);
            prop_assert_eq!(prepared.kind, ArgsKind::Truncated);
            prop_assert!(prepared.args.is_empty() && repair(&whole[..at]).is_err());
        }

        #[test]
        fn commas_left_out_are_put_back(members in prop::collection::vec(("[a-z]{1,5}", json()), 2..5)) {
            let unique: Args = members.into_iter().collect();
            let text = unique.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str()))).collect::<Vec<_>>();
            let prepared = prepare_call(None, &format!("{{{}}}", text.join("\n")));
            prop_assert_eq!(&prepared.args, &unique);
            prop_assert_eq!(serde_json::from_str::<Args>(&prepared.history_args).unwrap(), unique);
        }
    }
}
