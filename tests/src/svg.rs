//! A screen as a picture: SVG with one text a run of equal cells, so that it is sharp at every size and its text can be searched.

use std::fmt::Write as _;

use vt100::{Cell, Color, Screen};

/// Width and height of a cell. Each run is stretched to its cells, whatever font the viewer has.
const CELL: (f64, f64) = (8.4, 18.0);

/// Where the text stands in its row.
const BASELINE: f64 = 13.5;

/// Free space around the rows; above them stands the title.
const MARGIN: f64 = 14.0;
const TITLE: f64 = 30.0;

/// Colours of the dark theme: text, ground, frame, title.
const TEXT: &str = "#d4d4d8";
const GROUND: &str = "#18181b";
const FRAME: &str = "#27272a";
const QUIET: &str = "#a1a1aa";

/// The sixteen named colours.
const NAMED: [&str; 16] = [
    "#3f3f46", "#ef6b73", "#8cc265", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d4d4d8", "#71717a",
    "#ff8a92", "#a5d67f", "#f5d08b", "#82c4ff", "#d89aec", "#7fd1db", "#fafafa",
];

/// How a run of cells looks.
#[derive(Clone, Debug, Default, PartialEq)]
struct Look {
    text: Option<String>,
    ground: Option<String>,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
}

impl Look {
    fn of(cell: &Cell) -> Look {
        let (text, ground) = (colour(cell.fgcolor()), colour(cell.bgcolor()));
        let (text, ground) = if cell.inverse() {
            (Some(ground.unwrap_or_else(|| GROUND.to_owned())), Some(text.unwrap_or_else(|| TEXT.to_owned())))
        } else {
            (text, ground)
        };
        Look {
            text,
            ground,
            bold: cell.bold(),
            dim: cell.dim(),
            italic: cell.italic(),
            underline: cell.underline(),
        }
    }
}

/// Cells of one row with one look.
struct Run {
    column: u16,
    cells: u16,
    text: String,
    look: Look,
}

/// Draws the screen down to its last row that holds something.
///
/// `steady` replaces in each run what differs from one day to the next, such as times; it must not make a run longer.
pub fn picture(screen: &Screen, title: &str, steady: &dyn Fn(&str) -> String) -> String {
    let (height, width) = screen.size();
    let rows: Vec<Vec<Run>> = (0..height).map(|row| runs(screen, row, width)).collect();
    let is_filled = |row: &Vec<Run>| row.iter().any(|run| !run.text.trim().is_empty());
    let shown = rows.iter().rposition(is_filled).map_or(1, |last| last + 1);
    let wide = f64::from(width) * CELL.0 + 2.0 * MARGIN;
    // A screen has far fewer rows than a float has integers.
    let high = f64::from(u16::try_from(shown).unwrap_or(height)) * CELL.1 + TITLE + 1.5 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide:.0} {high:.0}\" width=\"{wide:.0}\" height=\"{high:.0}\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"14\">\n\
         <title>{title}</title>\n\
         <rect width=\"{wide:.0}\" height=\"{high:.0}\" rx=\"8\" fill=\"{GROUND}\" stroke=\"{FRAME}\"/>\n\
         <text x=\"{:.0}\" y=\"20\" fill=\"{QUIET}\" font-size=\"12\" text-anchor=\"middle\">{title}</text>\n",
        wide / 2.0,
        title = escape(title),
    );
    for (row, runs) in rows.iter().take(shown).enumerate() {
        let top = TITLE + f64::from(u16::try_from(row).unwrap_or(0)) * CELL.1;
        for run in runs {
            draw(&mut svg, run, top, steady);
        }
    }
    if !screen.hide_cursor() {
        let (row, column) = screen.cursor_position();
        if usize::from(row) < shown {
            let (x, y) = (MARGIN + f64::from(column) * CELL.0, TITLE + f64::from(row) * CELL.1);
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{TEXT}\" opacity=\"0.7\"/>",
                CELL.0, CELL.1
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn runs(screen: &Screen, row: u16, width: u16) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for column in 0..width {
        let Some(cell) = screen.cell(row, column).filter(|cell| !cell.is_wide_continuation()) else {
            continue;
        };
        let look = Look::of(cell);
        let text = if cell.has_contents() { cell.contents() } else { " " };
        let cells = if cell.is_wide() { 2 } else { 1 };
        match runs.last_mut() {
            // A wide character stands alone: fonts do not agree on two cells.
            Some(run) if run.look == look && cells == 1 && run.cells == count(&run.text) => {
                run.text.push_str(text);
                run.cells += 1;
            }
            _ => runs.push(Run { column, cells, text: text.to_owned(), look }),
        }
    }
    runs
}

fn count(text: &str) -> u16 {
    u16::try_from(text.chars().count()).unwrap_or(u16::MAX)
}

fn draw(svg: &mut String, run: &Run, top: f64, steady: &dyn Fn(&str) -> String) {
    let (x, wide) = (MARGIN + f64::from(run.column) * CELL.0, f64::from(run.cells) * CELL.0);
    // Writing into a String does not fail.
    if let Some(ground) = &run.look.ground {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{:.1}\" fill=\"{ground}\"/>",
            CELL.1
        );
    }
    let text = steady(&run.text);
    let shown = text.trim_end();
    if shown.trim().is_empty() {
        return;
    }
    // Blanks at the beginning move the text, since viewers fold them.
    let blanks = count(shown) - count(shown.trim_start());
    let (x, shown) = (x + f64::from(blanks) * CELL.0, shown.trim_start());
    let long = if run.cells == 2 && count(&run.text) == 1 { wide } else { f64::from(count(shown)) * CELL.0 };
    let mut style = String::new();
    for (is_so, attribute) in [
        (run.look.bold, " font-weight=\"bold\""),
        (run.look.italic, " font-style=\"italic\""),
        (run.look.underline, " text-decoration=\"underline\""),
        (run.look.dim, " opacity=\"0.6\""),
    ] {
        style.push_str(if is_so { attribute } else { "" });
    }
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{long:.1}\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\" \
         fill=\"{}\"{style}>{}</text>",
        top + BASELINE,
        run.look.text.as_deref().unwrap_or(TEXT),
        escape(shown)
    );
}

/// The colour as SVG writes it; `None` for the terminal's own.
fn colour(colour: Color) -> Option<String> {
    /// The steps of the colour cube of 216.
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let rgb = |r: u8, g: u8, b: u8| format!("#{r:02x}{g:02x}{b:02x}");
    match colour {
        Color::Default => None,
        Color::Rgb(r, g, b) => Some(rgb(r, g, b)),
        Color::Idx(index @ ..=15) => Some(NAMED[usize::from(index)].to_owned()),
        Color::Idx(index @ 16..=231) => {
            let at = |part: u8| STEPS[usize::from(part % 6)];
            let index = index - 16;
            Some(rgb(at(index / 36), at(index / 6), at(index)))
        }
        Color::Idx(index) => {
            let grey = 8 + 10 * (index - 232);
            Some(rgb(grey, grey, grey))
        }
    }
}

fn escape(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            // XML has no other control characters, and a screen has none.
            c if c.is_control() => " ".to_owned(),
            c => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(bytes: &str) -> String {
        let mut parser = vt100::Parser::new(4, 20, 0);
        parser.process(bytes.as_bytes());
        picture(parser.screen(), "a < b", &|text| text.replace("0.7s", "1.2s"))
    }

    #[test]
    fn runs_keep_place_and_look() {
        let svg = draw("ab\x1b[1;31m <c>\x1b[0m\r\n  \x1b[7mon\x1b[0m 0.7s\r\n日x\x1b[?25l");
        let texts: Vec<&str> = svg.lines().filter(|line| line.contains("textLength")).collect();
        assert_eq!(
            texts,
            [
                r##"<text x="14.0" y="43.5" textLength="16.8" lengthAdjust="spacingAndGlyphs" xml:space="preserve" fill="#d4d4d8">ab</text>"##,
                r##"<text x="39.2" y="43.5" textLength="25.2" lengthAdjust="spacingAndGlyphs" xml:space="preserve" fill="#ef6b73" font-weight="bold">&lt;c&gt;</text>"##,
                r##"<text x="30.8" y="61.5" textLength="16.8" lengthAdjust="spacingAndGlyphs" xml:space="preserve" fill="#18181b">on</text>"##,
                r##"<text x="56.0" y="61.5" textLength="33.6" lengthAdjust="spacingAndGlyphs" xml:space="preserve" fill="#d4d4d8">1.2s</text>"##,
                r##"<text x="14.0" y="79.5" textLength="16.8" lengthAdjust="spacingAndGlyphs" xml:space="preserve" fill="#d4d4d8">日</text>"##,
                r##"<text x="30.8" y="79.5" textLength="8.4" lengthAdjust="spacingAndGlyphs" xml:space="preserve" fill="#d4d4d8">x</text>"##,
            ]
        );
        assert!(svg.contains("<title>a &lt; b</title>"));
        assert!(!svg.contains("opacity=\"0.7\""), "a hidden cursor is not drawn");
        assert!(draw("x").contains("opacity=\"0.7\""));
    }

    #[test]
    fn a_picture_ends_with_the_last_filled_row() {
        let height = |svg: &str| svg.split("height=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        assert_eq!(height(&draw("x")), "69");
        assert_eq!(height(&draw("x\r\n\r\nx")), "105");
        assert_eq!(height(&draw("")), "69");
    }

    #[test]
    fn colours_by_number() {
        for (given, want) in [
            (Color::Default, None),
            (Color::Idx(1), Some("#ef6b73")),
            (Color::Idx(16), Some("#000000")),
            (Color::Idx(196), Some("#ff0000")),
            (Color::Idx(231), Some("#ffffff")),
            (Color::Idx(232), Some("#080808")),
            (Color::Idx(255), Some("#eeeeee")),
            (Color::Rgb(1, 2, 255), Some("#0102ff")),
        ] {
            assert_eq!(colour(given).as_deref(), want, "{given:?}");
        }
    }
}
