//! Colours for code. Syntaxes are loaded when the first block of a known language comes, not before.

use std::sync::OnceLock;

use syntect::{
    easy::HighlightLines,
    highlighting::{Theme as Colours, ThemeSet},
    parsing::{SyntaxReference, SyntaxSet},
};

use crate::ui::{
    line::{Line, Span, Style},
    theme::Background,
};

/// Longer lines are shown without colours: some grammars take long for them.
const MAX_LINE: usize = 2_000;

struct Loaded {
    syntaxes: SyntaxSet,
    dark: Colours,
    light: Colours,
}

fn loaded() -> &'static Loaded {
    static LOADED: OnceLock<Loaded> = OnceLock::new();
    LOADED.get_or_init(|| {
        let mut themes = ThemeSet::load_defaults().themes;
        Loaded {
            syntaxes: SyntaxSet::load_defaults_newlines(),
            dark: themes.remove("base16-eighties.dark").unwrap_or_default(),
            light: themes.remove("InspiredGitHub").unwrap_or_default(),
        }
    })
}

/// Names that models write and the grammars do not know.
const ALIASES: [(&str, &str); 8] = [
    ("typescript", "js"),
    ("ts", "js"),
    ("tsx", "js"),
    ("jsx", "js"),
    ("shell", "sh"),
    ("console", "sh"),
    ("zsh", "sh"),
    ("jsonc", "json"),
];

/// A block of code while it comes.
pub struct Highlighter {
    lines: HighlightLines<'static>,
}

impl std::fmt::Debug for Highlighter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Highlighter").finish_non_exhaustive()
    }
}

impl Highlighter {
    /// For a language by its name or file ending; `None` for one that is not known.
    pub fn of(language: &str, background: Background) -> Option<Highlighter> {
        let name = language.trim().to_lowercase();
        if name.is_empty() || matches!(name.as_str(), "text" | "txt" | "plain" | "output") {
            return None;
        }
        let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name.as_str(), |(_, known)| known);
        let loaded = loaded();
        let syntax: &SyntaxReference = loaded.syntaxes.find_syntax_by_token(name)?;
        let colours = if background == Background::Light { &loaded.light } else { &loaded.dark };
        Some(Highlighter { lines: HighlightLines::new(syntax, colours) })
    }

    /// Colours the next line, which holds no line feed.
    pub fn line(&mut self, text: &str) -> Line {
        let plain = || Line::of(Style::Code, text);
        if text.len() > MAX_LINE {
            return plain();
        }
        let with_feed = format!("{text}\n");
        let Ok(parts) = self.lines.highlight_line(&with_feed, &loaded().syntaxes) else { return plain() };
        let span = |(style, part): &(syntect::highlighting::Style, &str)| {
            let colour = style.foreground;
            let part = part.trim_end_matches('\n');
            (!part.is_empty()).then(|| Span::new(Style::Token(colour.r, colour.g, colour.b), part))
        };
        Line::from_spans(parts.iter().filter_map(span).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_languages_have_colours() {
        let mut rust = Highlighter::of("rust", Background::Dark).unwrap();
        let line = rust.line("fn main() {}");
        assert_eq!(line.plain(), "fn main() {}");
        assert!(line.spans().len() > 1);
        for name in ["ts", "sh", "console", "python", "json"] {
            assert!(Highlighter::of(name, Background::Light).is_some(), "{name}");
        }
        assert!(Highlighter::of("no such language", Background::Dark).is_none());
        assert!(Highlighter::of("", Background::Dark).is_none());
    }
}
