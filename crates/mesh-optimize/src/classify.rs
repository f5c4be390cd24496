//! What kind of work a request is: routine, standard, complex or agentic.
//!
//! A cheap guess from the shape and the words of the last few messages (the seed's 16.3). It decides advice such as a default
//! completion cap, never what a model is told.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::dialect::Dialect;
use crate::estimate::estimate_conversation;

/// How many of the last messages are looked at. The seed's 16.3.
const WINDOW: usize = 6;

/// With tools and more messages than this, the work is agentic. The seed's 16.3.
const AGENTIC_ABOVE: usize = 6;

/// A routine conversation has at most this many messages. The seed's 16.3.
const ROUTINE_MESSAGES: usize = 4;

/// A routine conversation's window is smaller than this, in tokens. The seed's 16.3.
const ROUTINE_BELOW: u64 = 150;

/// Of each message so many UTF-16 units are read. From the TypeScript package; the Python releases read all.
const SAMPLE_UNITS: usize = 4000;

/// What kind of work a request is, from the least to the most demanding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskClass {
    /// A short exchange without tools or code.
    Routine,
    /// Longer talk without signs of code.
    Standard,
    /// Tools are offered, or the words speak of code.
    Complex,
    /// Tools are offered and the conversation is well under way.
    Agentic,
}

impl TaskClass {
    /// Classifies a request body by its `messages` and by whether it offers `tools`.
    ///
    /// A body of another shape counts as one without messages and tools.
    pub fn of_request(request: &Value, dialect: Dialect) -> TaskClass {
        let list = |key| request.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        TaskClass::of_messages(list("messages"), !list("tools").is_empty(), dialect)
    }

    /// Classifies a conversation.
    pub fn of_messages(messages: &[Value], has_tools: bool, dialect: Dialect) -> TaskClass {
        if has_tools {
            return if messages.len() > AGENTIC_ABOVE { TaskClass::Agentic } else { TaskClass::Complex };
        }
        let window = &messages[messages.len().saturating_sub(WINDOW)..];
        if speaks_of_code(&sample(window, dialect), dialect) {
            TaskClass::Complex
        } else if messages.len() <= ROUTINE_MESSAGES
            && estimate_conversation(window, dialect).tokens < ROUTINE_BELOW
        {
            TaskClass::Routine
        } else {
            TaskClass::Standard
        }
    }

    /// Returns the class's name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskClass::Routine => "routine",
            TaskClass::Standard => "standard",
            TaskClass::Complex => "complex",
            TaskClass::Agentic => "agentic",
        }
    }
}

impl fmt::Display for TaskClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The window's texts, a line feed between two messages.
fn sample(window: &[Value], dialect: Dialect) -> String {
    let mut text = String::new();
    for (index, message) in window.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let start = text.len();
        match message.get("content") {
            Some(Value::String(content)) => text.push_str(content),
            // Writing into a String does not fail.
            Some(content) => drop(dialect.write_json(content, &mut text)),
            None => {}
        }
        if dialect == Dialect::Utf16 {
            text.truncate(start + dialect.prefix(&text[start..], SAMPLE_UNITS));
        }
    }
    text
}

fn speaks_of_code(text: &str, dialect: Dialect) -> bool {
    match dialect {
        Dialect::Utf16 => UTF16_WORDS.is_match(text),
        Dialect::CodePoints => CODE_POINT_WORDS.is_match(text),
    }
}

/// JavaScript's reading: ASCII word boundaries and letters, ECMA-262 white space.
static UTF16_WORDS: LazyLock<Regex> = LazyLock::new(|| {
    words(
        r"```
        | (?-u:\b) (?:function|class|import|def)
          [\t\n\x0B\x0C\r\x20\u{A0}\u{1680}\u{2000}-\u{200A}\u{2028}\u{2029}\u{202F}\u{205F}\u{3000}\u{FEFF}]
        | (?i-u: \b (?: refactor | implement | debug | architect | migrate | optimi[sz]e | analy[sz]e
                      | design\x20doc | root\x20cause ) \b )",
    )
});

/// Python's reading: a word is letters, numbers and `_` of any script; `i`, `s` and `k` have further relatives; two phrases fewer.
static CODE_POINT_WORDS: LazyLock<Regex> = LazyLock::new(|| {
    words(
        r"```
        | (?: ^ | [^\p{L}\p{N}_] ) (?:function|class|import|def)
          [\t-\r\x1C-\x1F\x20\u{85}\u{A0}\u{1680}\u{2000}-\u{200A}\u{2028}\u{2029}\u{202F}\u{205F}\u{3000}]
        | (?: ^ | [^\p{L}\p{N}_] )
          (?i: refactor | [iıİ]mplement | debug | arch[iıİ]tect | m[iıİ]grate
             | opt[iıİ]m[iıİ](?:s|z)e | analy(?:s|z)e )
          (?: $ | [^\p{L}\p{N}_] )",
    )
});

fn words(pattern: &str) -> Regex {
    regex::RegexBuilder::new(pattern)
        .ignore_whitespace(true)
        .build()
        .expect("the pattern is a constant, and a test compiles it")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn user(text: &str) -> Value {
        json!({"role": "user", "content": text})
    }

    #[track_caller]
    fn check(text: &str, utf16: TaskClass, code_points: TaskClass) {
        assert_eq!(TaskClass::of_messages(&[user(text)], false, Dialect::Utf16), utf16, "{text:?}, utf16");
        assert_eq!(
            TaskClass::of_messages(&[user(text)], false, Dialect::CodePoints),
            code_points,
            "{text:?}, code points"
        );
    }

    #[test]
    fn whole_words_speak_of_code() {
        use TaskClass::{Complex, Routine};
        check("please DEBUG this", Complex, Complex);
        check("debugging", Routine, Routine);
        check("to_debug", Routine, Routine);
        check("re-implement", Complex, Complex);
        check("class A", Complex, Complex);
        check("Class A", Routine, Routine);
        check("class.", Routine, Routine);
        check("```", Complex, Complex);
    }

    #[test]
    fn the_dialects_part_on_words() {
        use TaskClass::{Complex, Routine};
        check("root cause", Complex, Routine);
        check("design doc", Complex, Routine);
        check("日debug", Complex, Routine);
        check("optimi\u{17f}e", Routine, Complex);
        check("m\u{131}grate", Routine, Complex);
        check("class\u{feff}A", Complex, Routine);
        check("class\u{85}A", Routine, Complex);
    }

    #[test]
    fn a_sample_ends_between_characters() {
        assert_eq!(Dialect::Utf16.prefix("ab😀", 3), 2);
        assert_eq!(Dialect::Utf16.prefix("ab😀", 4), 6);
        assert_eq!(Dialect::Utf16.prefix("", 4), 0);
        let late = format!("{}debug", "x ".repeat(2000));
        check(&late, TaskClass::Standard, TaskClass::Complex);
    }

    #[test]
    fn a_keyword_may_end_at_the_seam_of_two_messages() {
        let messages = [user("import"), user("x")];
        assert_eq!(TaskClass::of_messages(&messages, false, Dialect::Utf16), TaskClass::Complex);
    }

    #[test]
    fn a_body_of_another_shape_is_a_small_one() {
        for body in
            [json!(null), json!([]), json!({"messages": 7, "tools": {}}), json!({"messages": [null, 3]})]
        {
            assert_eq!(TaskClass::of_request(&body, Dialect::Utf16), TaskClass::Routine, "{body}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "(\\PC|class |```){0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(
                    (prop_oneof!["content", "messages", "tools", "\\PC{0,3}"], inner),
                    0..4
                )
                .prop_map(|fields| fields.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_is_classified_and_measured(body in any_json()) {
            for dialect in [Dialect::Utf16, Dialect::CodePoints] {
                let _ = TaskClass::of_request(&body, dialect);
                let alone = crate::estimate(&body, dialect).tokens;
                let in_a_list = crate::estimate(&json!([body]), dialect).tokens;
                prop_assert!(in_a_list >= alone || body.is_string());
            }
        }
    }
}
