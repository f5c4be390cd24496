//! Colours: the palette of seed 17.3, and when there are none.

use crate::ui::line::{Line, Span, Style};

/// What is behind the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Background {
    /// Light text on dark.
    #[default]
    Dark,
    /// Dark text on light.
    Light,
}

/// How many colours the terminal shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// No colour and no other attribute.
    #[default]
    None,
    /// The 256 colours of xterm.
    Indexed,
    /// 24 bits.
    True,
}

/// The variables that say how a terminal looks; read once, in [`crate::config::env`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TerminalEnv {
    /// `MESHAPI_THEME`: `light` or `dark`.
    pub meshapi_theme: Option<String>,
    /// `COLORFGBG`: foreground and background as terminal colour numbers, `15;0`.
    pub colorfgbg: Option<String>,
    /// `NO_COLOR`: any text but the empty one turns colours off (no-color.org).
    pub no_color: Option<String>,
    /// `TERM`: `dumb` has no colours.
    pub term: Option<String>,
    /// `COLORTERM`: `truecolor` or `24bit` where 24-bit colours work.
    pub colorterm: Option<String>,
}

/// Says how a [`Style`] looks on this terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Theme {
    background: Background,
    depth: Depth,
}

impl Theme {
    /// A theme without any colour, for files and pipes.
    pub const PLAIN: Theme = Theme { background: Background::Dark, depth: Depth::None };

    /// A theme as given.
    pub fn new(background: Background, depth: Depth) -> Theme {
        Theme { background, depth }
    }

    /// The theme for an output that is a terminal or is not.
    pub fn detect(env: &TerminalEnv, is_terminal: bool) -> Theme {
        let dumb = env.term.as_deref() == Some("dumb");
        if !is_terminal || dumb || env.no_color.as_deref().is_some_and(|v| !v.is_empty()) {
            return Theme::PLAIN;
        }
        let depth = match env.colorterm.as_deref() {
            Some("truecolor" | "24bit") => Depth::True,
            _ => Depth::Indexed,
        };
        Theme { background: background(env), depth }
    }

    /// The same on another background.
    #[must_use]
    pub fn with_background(self, background: Background) -> Theme {
        Theme { background, ..self }
    }

    /// Whether a terminal should be asked what is behind its text: there are colours, and no variable says it. The Linux console
    /// and Emacs' terminals do not know the question.
    pub fn asks_background(self, env: &TerminalEnv) -> bool {
        let is_said =
            named_background(env).is_some() || env.colorfgbg.as_deref().is_some_and(|v| !v.is_empty());
        let term = env.term.as_deref().unwrap_or_default();
        self.is_coloured()
            && !is_said
            && !term.is_empty()
            && !["linux", "eterm", "cons"].iter().any(|t| term.starts_with(t))
    }

    /// What is behind the text.
    pub fn background(self) -> Background {
        self.background
    }

    /// Whether anything is coloured at all.
    pub fn is_coloured(self) -> bool {
        self.depth != Depth::None
    }

    /// The line as text for the terminal, without a line feed.
    pub fn paint(self, line: &Line) -> String {
        let mut painted = String::new();
        for span in line.spans() {
            self.paint_span(&mut painted, span);
        }
        painted
    }

    /// Appends a span as terminal text.
    pub fn paint_span(self, out: &mut String, span: &Span) {
        match span.link().filter(|_| self.is_coloured()) {
            Some(link) => {
                out.push_str(&format!("\u{1b}]8;;{link}\u{1b}\\"));
                self.paint_text(out, span.style(), span.text());
                out.push_str("\u{1b}]8;;\u{1b}\\");
            }
            None => self.paint_text(out, span.style(), span.text()),
        }
    }

    /// Appends clean `text` in `style`. For text that streams; whole lines go through [`Theme::paint`].
    pub fn paint_text(self, out: &mut String, style: Style, text: &str) {
        let codes = self.codes(style);
        if codes.is_empty() || text.is_empty() {
            out.push_str(text);
        } else {
            out.push_str("\u{1b}[");
            out.push_str(&codes);
            out.push('m');
            out.push_str(text);
            out.push_str("\u{1b}[0m");
        }
    }

    /// Parameters of the SGR sequence; empty when nothing is to be done.
    /// The brand colour, for those who paint by themselves: red, green, blue.
    pub fn brand(self) -> (u8, u8, u8) {
        let Rgb(red, green, blue) = if self.background == Background::Dark { BRAND.0 } else { BRAND.1 };
        (red, green, blue)
    }

    fn codes(self, style: Style) -> String {
        if self.depth == Depth::None {
            return String::new();
        }
        let dark = self.background == Background::Dark;
        match style {
            Style::Plain => String::new(),
            Style::Bold => "1".to_owned(),
            Style::Dim => "2".to_owned(),
            Style::Brand => self.foreground(if dark { BRAND.0 } else { BRAND.1 }),
            Style::BrandDim => self.foreground(if dark { BRAND_DIM.0 } else { BRAND_DIM.1 }),
            Style::Code => self.foreground(if dark { CODE.0 } else { CODE.1 }),
            Style::Good => "32".to_owned(),
            Style::Bad => "31".to_owned(),
            Style::Warn => "33".to_owned(),
            Style::WarnBold => "1;33".to_owned(),
            Style::Italic => "3".to_owned(),
            Style::BoldItalic => "1;3".to_owned(),
            Style::Strike => "9".to_owned(),
            Style::Heading => format!("1;{}", self.foreground(if dark { BRAND.0 } else { BRAND.1 })),
            Style::Link => format!("4;{}", self.foreground(if dark { CODE.0 } else { CODE.1 })),
            Style::GoodWord => "32;7".to_owned(),
            Style::BadWord => "31;7".to_owned(),
            Style::Token(red, green, blue) => self.foreground(Rgb(red, green, blue)),
        }
    }

    fn foreground(self, colour: Rgb) -> String {
        let Rgb(red, green, blue) = colour;
        match self.depth {
            Depth::True => format!("38;2;{red};{green};{blue}"),
            Depth::Indexed | Depth::None => format!("38;5;{}", cube_index(colour)),
        }
    }
}

#[derive(Clone, Copy)]
struct Rgb(u8, u8, u8);

// Palette of seed 17.3: on dark, on light. Purple is the model's actions, cyan is code and shell.
const BRAND: (Rgb, Rgb) = (Rgb(0x8b, 0x78, 0xf7), Rgb(0x6f, 0x5a, 0xf5));
const BRAND_DIM: (Rgb, Rgb) = (Rgb(0xae, 0xa3, 0xf0), Rgb(0x5a, 0x4e, 0xc4));
const CODE: (Rgb, Rgb) = (Rgb(0x7d, 0xd3, 0xfc), Rgb(0x03, 0x69, 0xa1));

/// The nearest entry of xterm's 6x6x6 cube, whose levels are 0, 95, 135, 175, 215, 255.
fn cube_index(Rgb(red, green, blue): Rgb) -> u8 {
    let level = |value: u8| match value {
        0..48 => 0,
        48..115 => 1,
        _ => (value - 35) / 40,
    };
    16 + 36 * level(red) + 6 * level(green) + level(blue)
}

/// `MESHAPI_THEME`, else `COLORFGBG`, else dark. Seed section 2.
fn background(env: &TerminalEnv) -> Background {
    if let Some(background) = named_background(env) {
        return background;
    }
    let parts: Vec<&str> = env.colorfgbg.as_deref().unwrap_or_default().split(';').collect();
    match parts.as_slice() {
        [_, .., last] => match last.trim().parse::<i64>() {
            Ok(colour) if colour >= 8 => Background::Light,
            _ => Background::Dark,
        },
        _ => Background::Dark,
    }
}

/// What `MESHAPI_THEME` says.
fn named_background(env: &TerminalEnv) -> Option<Background> {
    match env.meshapi_theme.as_deref().map(|v| v.trim().to_lowercase()).as_deref() {
        Some("light") => Some(Background::Light),
        Some("dark") => Some(Background::Dark),
        _ => None,
    }
}

/// The background of a terminal that answers OSC 11 with this colour: `rgb:R/G/B` or `rgba:R/G/B/A` of one to four hexadecimal
/// digits each, or `#RRGGBB` with as many digits for each. X11's colour names are not known.
pub fn background_from_osc11(colour: &str) -> Option<Background> {
    let channel = |digits: &str| {
        let is_hex = (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let value = is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()?;
        Some(f64::from(value) / f64::from((1_u32 << (4 * digits.len())) - 1))
    };
    let parts: Vec<&str> = match colour.strip_prefix('#') {
        Some(digits) if digits.is_ascii() && !digits.is_empty() && digits.len() % 3 == 0 => {
            let (red, rest) = digits.split_at(digits.len() / 3);
            let (green, blue) = rest.split_at(digits.len() / 3);
            vec![red, green, blue]
        }
        Some(_) => return None,
        None => colour.strip_prefix("rgb:").or(colour.strip_prefix("rgba:"))?.split('/').collect(),
    };
    let channels: Option<Vec<f64>> = parts.into_iter().map(channel).collect();
    let [red, green, blue] = channels?.get(..3)?.try_into().ok()?;
    // Luma of ITU-R BT.601, which is how light a colour seems.
    let luma = 0.299 * red + 0.587 * green + 0.114 * blue;
    Some(if luma > 0.5 { Background::Light } else { Background::Dark })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(theme: Option<&str>, colorfgbg: Option<&str>) -> TerminalEnv {
        TerminalEnv {
            meshapi_theme: theme.map(str::to_owned),
            colorfgbg: colorfgbg.map(str::to_owned),
            ..TerminalEnv::default()
        }
    }

    #[test]
    fn background_follows_the_variables() {
        for (theme, fgbg, want) in [
            (None, None, Background::Dark),
            (Some(" Light "), None, Background::Light),
            (Some("DARK"), Some("0;15"), Background::Dark),
            (Some("sepia"), Some("0;15"), Background::Light),
            (None, Some("15;0"), Background::Dark),
            (None, Some("0;default;15"), Background::Light),
            (None, Some("0;7"), Background::Dark),
            (None, Some("0;8"), Background::Light),
            (None, Some("15"), Background::Dark),
            (None, Some("0;default"), Background::Dark),
            (None, Some("0;"), Background::Dark),
        ] {
            assert_eq!(background(&env(theme, fgbg)), want, "{theme:?} {fgbg:?}");
        }
    }

    #[test]
    fn a_colour_is_dark_or_light() {
        for (colour, want) in [
            ("rgb:ffff/ffff/ffff", Some(Background::Light)),
            ("rgb:0000/0000/0000", Some(Background::Dark)),
            ("rgb:fdfd/f6f6/e3e3", Some(Background::Light)),
            ("rgb:0000/2b2b/3636", Some(Background::Dark)),
            ("rgb:00/00/ff", Some(Background::Dark)),
            ("rgb:0/f/0", Some(Background::Light)),
            ("rgba:ffff/ffff/ffff/0000", Some(Background::Light)),
            ("rgb:FFF/FFF/FFF", Some(Background::Light)),
            ("#ffffff", Some(Background::Light)),
            ("#1e1e1e", Some(Background::Dark)),
            ("#ffffffffffff", Some(Background::Light)),
            ("#ffff", None),
            ("#", None),
            ("#日", None),
            ("rgb:", None),
            ("rgb:ff/ff", None),
            ("rgb:+f/ff/ff", None),
            ("rgb:fffff/ffff/ffff", None),
            ("rgb:zz/ff/ff", None),
            ("white", None),
            ("", None),
        ] {
            assert_eq!(background_from_osc11(colour), want, "{colour}");
        }
    }

    #[test]
    fn a_terminal_is_asked_where_nothing_says_it() {
        let theme = Theme::new(Background::Dark, Depth::Indexed);
        let with = |set: fn(&mut TerminalEnv)| {
            let mut env = TerminalEnv { term: Some("xterm-256color".into()), ..TerminalEnv::default() };
            set(&mut env);
            theme.asks_background(&env)
        };
        assert!(with(|_| ()));
        assert!(with(|e| e.meshapi_theme = Some("sepia".into())));
        assert!(with(|e| e.colorfgbg = Some(String::new())));
        assert!(!with(|e| e.meshapi_theme = Some("light".into())));
        assert!(!with(|e| e.colorfgbg = Some("15;0".into())));
        assert!(!with(|e| e.term = None));
        assert!(!with(|e| e.term = Some("linux".into())));
        assert!(
            !Theme::PLAIN
                .asks_background(&TerminalEnv { term: Some("xterm".into()), ..TerminalEnv::default() })
        );
    }

    #[test]
    fn colours_only_where_they_are_wanted() {
        let plain = TerminalEnv::default();
        assert!(Theme::detect(&plain, true).is_coloured());
        assert!(!Theme::detect(&plain, false).is_coloured());
        let set = |f: fn(&mut TerminalEnv)| {
            let mut env = TerminalEnv::default();
            f(&mut env);
            Theme::detect(&env, true)
        };
        assert!(!set(|e| e.no_color = Some("1".into())).is_coloured());
        assert!(set(|e| e.no_color = Some(String::new())).is_coloured());
        assert!(!set(|e| e.term = Some("dumb".into())).is_coloured());
        assert_eq!(set(|e| e.colorterm = Some("truecolor".into())).depth, Depth::True);
        assert_eq!(set(|_| ()).depth, Depth::Indexed);
    }

    #[test]
    fn paint_wraps_each_span_and_plain_paints_nothing() {
        let line = Line::of(Style::Brand, "⚙ x").with(Style::Plain, " y");
        assert_eq!(Theme::PLAIN.paint(&line), "⚙ x y");
        let dark = Theme::new(Background::Dark, Depth::True);
        assert_eq!(dark.paint(&line), "\u{1b}[38;2;139;120;247m⚙ x\u{1b}[0m y");
        let light = Theme::new(Background::Light, Depth::Indexed);
        assert_eq!(light.paint(&Line::of(Style::Code, "ls")), "\u{1b}[38;5;25mls\u{1b}[0m");
    }
}
