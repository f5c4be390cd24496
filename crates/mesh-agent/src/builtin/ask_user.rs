//! Questions of the model to the user, with answers to choose from. Touches nothing, so it is never gated.

use std::{future::Future, pin::Pin, sync::Arc};

use mesh_safety::Action;
use serde::Deserialize;
use serde_json::Value;

use crate::tool::{Args, Tool, ToolContext, ToolFuture, ToolOutput, ToolSpec};

/// Characters of the first question in the summary. From 0.5.10.
const SUMMARY_CHARS: usize = 60;

const SPEC: ToolSpec = ToolSpec {
    name: "ask_user",
    description: "Ask the user 1-4 questions, each with 2 or more options, when a decision is theirs. They may also answer in \
                  their own words.",
    parameters: r#"{"type":"object","properties":{"questions":{"type":"array","minItems":1,"maxItems":4,"items":{"type":"object","properties":{"question":{"type":"string"},"header":{"type":"string"},"multi_select":{"type":"boolean"},"options":{"type":"array","minItems":2,"items":{"type":"object","properties":{"label":{"type":"string"},"description":{"type":"string"}},"required":["label"]}}},"required":["question","options"]}}},"required":["questions"]}"#,
    required: &["questions"],
};

/// What the model hears when the user does not want to choose.
const DECIDE: &str = "The user did not answer. Decide yourself, say what you chose and why, and go on.";

/// One question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Question {
    /// The question itself.
    pub question: String,
    /// A word or two that stand above it.
    #[serde(default)]
    pub header: String,
    /// More than one answer may be chosen.
    #[serde(default)]
    pub multi_select: bool,
    /// The answers to choose from.
    pub options: Vec<Choice>,
}

/// One answer to choose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Choice {
    /// What is chosen.
    pub label: String,
    /// What it means.
    #[serde(default)]
    pub description: String,
}

/// The user's answer to one question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Labels that were chosen.
    pub chosen: Vec<String>,
    /// The user's own words.
    pub text: Option<String>,
}

/// Answers on their way; `None` when the user does not want to choose.
pub type AnswersFuture<'a> = Pin<Box<dyn Future<Output = Option<Vec<Answer>>> + Send + 'a>>;

/// Who can ask the user.
pub trait Asker: Send + Sync {
    /// Asks all questions, in order, and gives one answer for each.
    ///
    /// # Cancel safety
    /// Dropping the future withdraws the questions.
    fn ask<'a>(&'a self, questions: &'a [Question]) -> AnswersFuture<'a>;
}

/// Asks the user and tells the model what was answered.
#[derive(Clone)]
pub struct AskUser {
    asker: Arc<dyn Asker>,
}

impl std::fmt::Debug for AskUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AskUser").finish_non_exhaustive()
    }
}

impl AskUser {
    /// The tool on top of someone who can ask.
    pub fn new(asker: Arc<dyn Asker>) -> AskUser {
        AskUser { asker }
    }

    async fn execute(&self, args: &Args) -> ToolOutput {
        let questions = match questions(args) {
            Ok(questions) => questions,
            Err(output) => return output,
        };
        match self.asker.ask(&questions).await {
            Some(answers) => ToolOutput::ok(report(&questions, &answers)),
            None => ToolOutput::ok(DECIDE),
        }
    }
}

fn questions(args: &Args) -> Result<Vec<Question>, ToolOutput> {
    let value = args.get("questions").cloned().unwrap_or_default();
    let questions: Vec<Question> = serde_json::from_value(value).map_err(|error| {
        ToolOutput::error(format_args!(
            "`questions` must be a list of {{question, options: [{{label}}]}}: {error}"
        ))
    })?;
    Ok(questions)
}

fn report(questions: &[Question], answers: &[Answer]) -> String {
    let line = |(question, answer): (&Question, &Answer)| {
        let chosen = answer.chosen.iter().map(String::as_str).chain(answer.text.as_deref());
        let chosen = chosen.collect::<Vec<_>>().join(", ");
        let chosen = if chosen.is_empty() { "(nothing chosen)" } else { &chosen };
        format!("{}\n  -> {chosen}", question.question)
    };
    let lines: Vec<String> = questions.iter().zip(answers).map(line).collect();
    format!("The user answered:\n{}", lines.join("\n"))
}

impl Tool for AskUser {
    fn spec(&self) -> &ToolSpec {
        &SPEC
    }

    fn action(&self, _args: &Args, _ctx: &ToolContext) -> Action {
        Action::Plan
    }

    fn summary(&self, args: &Args) -> String {
        let questions =
            args.get("questions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let first = questions.first().and_then(|question| question["question"].as_str()).unwrap_or_default();
        let first: String = first.chars().take(SUMMARY_CHARS).collect();
        match questions.len() {
            0 | 1 => format!("ask_user: {first}"),
            more => format!("ask_user: {first} (+{} more)", more - 1),
        }
    }

    fn run<'a>(&'a self, args: &'a Args, _ctx: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(self.execute(args))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::builtin::files::test_context;

    /// Answers every question with these.
    struct Sure(Option<Vec<Answer>>);

    impl Asker for Sure {
        fn ask<'a>(&'a self, _: &'a [Question]) -> AnswersFuture<'a> {
            Box::pin(std::future::ready(self.0.clone()))
        }
    }

    fn run(answers: Option<Vec<Answer>>, questions: Value) -> String {
        let tool = AskUser::new(Arc::new(Sure(answers)));
        let args = json!({ "questions": questions }).as_object().cloned().unwrap();
        let context = test_context(Path::new("/nowhere"));
        let mut future = tool.run(&args, &context);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(output) => output.text,
            std::task::Poll::Pending => panic!("nothing here waits"),
        }
    }

    fn two() -> Value {
        json!([
            {"question": "Which store?", "header": "Store", "options": [{"label": "SQLite"}, {"label": "files", "description": "d"}]},
            {"question": "Which tests?", "multi_select": true, "options": [{"label": "unit"}, {"label": "pty"}]},
        ])
    }

    #[test]
    fn the_model_hears_what_was_chosen() {
        let answers = vec![
            Answer { chosen: vec!["SQLite".into()], text: None },
            Answer { chosen: vec!["unit".into(), "pty".into()], text: Some("and fuzzing".into()) },
        ];
        assert_eq!(
            run(Some(answers), two()),
            "The user answered:\nWhich store?\n  -> SQLite\nWhich tests?\n  -> unit, pty, and fuzzing"
        );
        assert_eq!(run(None, two()), DECIDE);
    }

    #[test]
    fn questions_that_cannot_be_asked_say_why() {
        for (questions, want) in [
            (json!(null), "Error: `questions` must be a list"),
            (json!([{"options": []}]), "Error: `questions` must be a list"),
        ] {
            let said = run(Some(Vec::new()), questions);
            assert!(said.starts_with(want), "{said}");
        }
    }
}
