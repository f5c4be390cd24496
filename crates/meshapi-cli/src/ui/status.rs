//! Pure: the line at the end of a turn. Seed 9.8.

use std::time::Duration;

use mesh_client::Cost;

use crate::ui::line::{Line, Style};

/// What the line says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status<'a> {
    /// Model that answered last.
    pub model: &'a str,
    /// Prompt tokens of the last hop.
    pub prompt_tokens: Option<u64>,
    /// Completion tokens of the last hop.
    pub completion_tokens: Option<u64>,
    /// Cost of the turn, all hops; `None` when nothing can be priced.
    pub cost: Option<Cost>,
    /// Cost of the session so far.
    pub session_cost: Option<Cost>,
    /// Time spent on the model's answers; tools are not counted.
    pub answering: Duration,
}

/// `<model>  •  <prompt>→<completion> tok  •  <cost>  •  session <cost>  •  <secs>s`.
///
/// An estimate carries `~`; what is not known is `?`, what cannot be priced is `—`.
pub fn line(status: &Status<'_>) -> Line {
    let text = format!(
        "{}  •  {}→{} tok  •  {}  •  session {}  •  {:.1}s",
        status.model,
        tokens(status.prompt_tokens),
        tokens(status.completion_tokens),
        money(status.cost),
        money(status.session_cost),
        status.answering.as_secs_f64(),
    );
    Line::prose(Style::Dim, &text)
}

fn tokens(count: Option<u64>) -> String {
    count.map_or_else(|| "?".to_owned(), |count| count.to_string())
}

fn money(cost: Option<Cost>) -> String {
    match cost {
        Some(cost) if cost.usd().0 != 0.0 => cost.to_string(),
        _ => "—".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use mesh_client::Usd;

    use super::*;

    #[test]
    fn what_is_known_and_what_is_not() {
        let full = Status {
            model: "m/x",
            prompt_tokens: Some(30),
            completion_tokens: Some(6),
            cost: Some(Cost::Billed(Usd(0.005))),
            session_cost: Some(Cost::Estimated(Usd(0.006234))),
            answering: Duration::from_millis(230),
        };
        let bare = Status {
            model: "a\u{1b}b",
            prompt_tokens: None,
            completion_tokens: None,
            cost: None,
            session_cost: Some(Cost::Billed(Usd(0.0))),
            answering: Duration::from_secs(61),
        };
        assert_eq!(line(&full).plain(), "m/x  •  30→6 tok  •  $0.005000  •  session ~$0.006234  •  0.2s");
        assert_eq!(line(&bare).plain(), "a␛b  •  ?→? tok  •  —  •  session —  •  61.0s");
    }
}
