//! The rows at the bottom that change while a turn runs. Pure: rows in, bytes for the terminal out.
//!
//! What is finished is committed: it scrolls up above the region and is never touched again. Of the region itself only the
//! cells that changed are written: rows are compared with those of the last frame, from the first cell that differs on.

use std::fmt::Write;

use unicode_width::UnicodeWidthChar;

use crate::ui::{
    line::{Line, Span},
    theme::Theme,
    wrap,
};

/// Size of the terminal in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Cells of a row, at least 1.
    pub columns: usize,
    /// Rows of the screen, at least 1.
    pub rows: usize,
}

/// What the region should show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The rows, none wider than the screen.
    pub rows: Vec<Line>,
    /// Where the cursor stands: row and cell within the frame.
    pub cursor: (usize, usize),
}

/// The region as it stands on the screen.
#[derive(Debug)]
pub struct Region {
    theme: Theme,
    size: Size,
    rows: Vec<Line>,
    /// Where the terminal's cursor is: row of the region, cell.
    at: (usize, usize),
    /// The terminal wraps its rows anew when it is made narrower.
    rewraps: bool,
}

/// A screen that the terminal updates at once (DECSET 2026); terminals that do not know it ignore it.
const SYNC: (&str, &str) = ("\x1b[?2026h", "\x1b[?2026l");

impl Region {
    /// A region without rows; the cursor stands in the first cell of a free row.
    pub fn new(theme: Theme, size: Size) -> Region {
        Region { theme, size, rows: Vec::new(), at: (0, 0), rewraps: false }
    }

    /// The same on a terminal that wraps its rows anew when it is made narrower, or does not.
    #[must_use]
    pub fn rewrapped(self, rewraps: bool) -> Region {
        Region { rewraps, ..self }
    }

    /// Nothing of the region is on the screen any more; the cursor stands in the first cell of a free row.
    pub fn forget(&mut self) {
        self.rows.clear();
        self.at = (0, 0);
    }

    /// The terminal has another size. Rows that are on the screen stay where they are.
    pub fn resize(&mut self, size: Size) {
        self.size = size;
    }

    /// The terminal's size.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Rows that the region may have: one less than the screen, so that what was committed last stays in sight.
    pub fn most_rows(&self) -> usize {
        self.size.rows.saturating_sub(1).max(1)
    }

    /// Returns what turns the screen into `finished` lines, committed for good, with `frame` below them.
    pub fn draw(&mut self, finished: Vec<Line>, frame: Frame) -> String {
        let columns = self.size.columns;
        let committed: Vec<Line> = finished.into_iter().flat_map(|line| wrap::rows(line, columns)).collect();
        let height = frame.rows.len().min(self.most_rows());
        if committed.len() + height > self.size.rows {
            return self.draw_long(&committed, frame);
        }
        let commits = committed.len();
        let mut target = committed;
        target.extend(frame.rows.into_iter().take(height));
        let mut pen = Pen { theme: self.theme, out: String::new(), at: self.at };
        let changed = self.apply(&target, &mut pen);
        if height == 0 {
            // Below the last committed line there may be no row yet: only a line feed makes one.
            if commits > 0 {
                pen.go(commits - 1, 0);
                pen.out.push_str("\r\n");
            }
            self.at = (0, 0);
        } else {
            let cursor = (frame.cursor.0.min(height - 1), frame.cursor.1.min(columns.saturating_sub(1)));
            pen.go(commits + cursor.0, cursor.1);
            self.at = cursor;
        }
        self.rows = target.split_off(commits);
        match changed {
            0 | 1 => pen.out,
            _ => format!("{}{}{}", SYNC.0, pen.out, SYNC.1),
        }
    }

    /// The same for more lines than the screen has: they are written one below the other and scroll by themselves.
    fn draw_long(&mut self, committed: &[Line], frame: Frame) -> String {
        let mut out = format!("{}{}", SYNC.0, self.clear());
        for line in committed {
            out.push_str(&self.theme.paint(line));
            out.push_str("\r\n");
        }
        out.push_str(&self.draw(Vec::new(), frame));
        out.push_str(SYNC.1);
        out
    }

    /// Takes the region off the screen: the cursor stands in the first cell below what was committed.
    pub fn clear(&mut self) -> String {
        if self.rewraps {
            self.at.0 += self.added_by_wrapping();
        }
        let mut pen = Pen { theme: self.theme, out: String::new(), at: self.at };
        pen.go(0, 0);
        pen.out.push_str("\x1b[J");
        self.forget();
        pen.out
    }

    /// After a change of size or a pause, nothing is known of the region's rows: they are erased and drawn anew.
    ///
    /// Only rows that were the region's own before are erased. Where we do not know that the terminal wraps them anew, a part
    /// of them may be left above, but a committed line is never lost.
    pub fn redraw(&mut self, finished: Vec<Line>, frame: Frame) -> String {
        let cleared = self.clear();
        let drawn = self.draw(finished, frame);
        format!("{}{cleared}{drawn}{}", SYNC.0, SYNC.1)
    }

    /// How many rows further down the cursor is, now that the terminal has wrapped the region's rows to its width.
    fn added_by_wrapping(&self) -> usize {
        let columns = self.size.columns;
        let (row, cell) = self.at;
        let above = self.rows.iter().take(row).map(|row| wrap::cells(row, columns).len() - 1);
        above.sum::<usize>() + cell / columns
    }

    /// Turns the rows of the last frame into `target`; returns how many rows were written or moved.
    fn apply(&self, target: &[Line], pen: &mut Pen) -> usize {
        let old = &self.rows;
        let same_top = old.iter().zip(target).take_while(|(old, new)| old == new).count();
        let left = (old.len() - same_top).min(target.len() - same_top);
        let pairs = old.iter().rev().zip(target.iter().rev());
        let same_end = pairs.take(left).take_while(|(old, new)| old == new).count();
        let (old_end, new_end) = (old.len() - same_end, target.len() - same_end);
        let mut changed = 0;
        if new_end > old_end {
            pen.open(old_end, new_end - old_end, old.len());
            changed += 2;
        } else if new_end < old_end {
            pen.close(new_end, old_end - new_end);
            changed += 2;
        }
        let empty = Line::blank();
        for row in same_top..new_end {
            let before = if row < old_end { &old[row] } else { &empty };
            changed += usize::from(pen.write_row(row, before, &target[row]));
        }
        changed
    }
}

/// Writes to the terminal and knows where its cursor is, relative to the region's first row.
struct Pen {
    theme: Theme,
    out: String,
    at: (usize, usize),
}

impl Pen {
    fn go(&mut self, row: usize, cell: usize) {
        let (now, _) = self.at;
        match (now, row) {
            (now, row) if row < now => self.csi(now - row, 'A'),
            (now, row) if row > now => self.csi(row - now, 'B'),
            _ => {}
        }
        if self.at.1 != cell {
            if cell == 0 {
                self.out.push('\r');
            } else {
                let _ = write!(self.out, "\x1b[{}G", cell + 1);
            }
        }
        self.at = (row, cell);
    }

    fn csi(&mut self, count: usize, end: char) {
        let _ = match count {
            1 => write!(self.out, "\x1b[{end}"),
            _ => write!(self.out, "\x1b[{count}{end}"),
        };
    }

    /// Makes room for `count` rows before row `at` of a region of `height` rows; scrolls the screen if it must.
    fn open(&mut self, at: usize, count: usize, height: usize) {
        // A region without rows stands on a free row already.
        let (last, feeds) = if height == 0 { (0, count - 1) } else { (height - 1, count) };
        self.go(last, 0);
        for _ in 0..feeds {
            self.out.push('\n');
        }
        self.at = (last + feeds, 0);
        if at < height {
            self.go(at, 0);
            self.csi(count, 'L');
        }
    }

    /// Takes `count` rows from row `at` on away.
    fn close(&mut self, at: usize, count: usize) {
        self.go(at, 0);
        self.csi(count, 'M');
    }

    /// Writes what differs of a row; says whether more than its end was touched.
    fn write_row(&mut self, row: usize, before: &Line, after: &Line) -> bool {
        let (cells, rest) = common(before, after);
        let old_width = wrap::width(before);
        if rest.is_empty() && old_width == cells {
            return false;
        }
        self.go(row, cells);
        for span in &rest {
            self.theme.paint_span(&mut self.out, span);
        }
        let width = wrap::width(after);
        // A cursor behind the last cell of a full row has no place of its own: the next move names its cell.
        self.at = (row, usize::MAX);
        if width < old_width {
            self.out.push_str("\x1b[K");
        }
        cells < old_width
    }
}

/// The cells that two rows share from the left, and the spans of `after` from there on.
fn common(before: &Line, after: &Line) -> (usize, Vec<Span>) {
    let mut old = before.spans().iter().flat_map(|span| span.text().chars().map(move |c| (c, span)));
    let mut cells = 0;
    let mut spans = after.spans().iter();
    while let Some(span) = spans.next() {
        // Where the last character with a width of its own began, and the cells before it.
        let mut base = (0, cells);
        for (at, character) in span.text().char_indices() {
            let wide = character.width().unwrap_or(0);
            if wide > 0 {
                base = (at, cells);
            }
            if old.next().is_none_or(|(c, look)| c != character || !look.looks_like(span)) {
                let (at, cells) = if wide > 0 { (at, cells) } else { base };
                let mut rest = vec![span.with_text(&span.text()[at..])];
                rest.extend(spans.cloned());
                return (cells, rest);
            }
            cells += wide;
        }
    }
    (cells, Vec::new())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ui::line::Style;

    /// A terminal that is drawn on, and what was committed on it.
    struct Stage {
        region: Region,
        screen: vt100::Parser,
        committed: Vec<String>,
    }

    impl Stage {
        fn new(columns: u16, rows: u16) -> Stage {
            let size = Size { columns: columns.into(), rows: rows.into() };
            let screen = vt100::Parser::new(rows, columns, 10_000);
            Stage { region: Region::new(Theme::PLAIN, size), screen, committed: Vec::new() }
        }

        fn draw(&mut self, finished: &[String], rows: &[String]) {
            let line = |text: &String| Line::of(Style::Plain, text);
            let columns = self.region.size().columns;
            let rows: Vec<Line> = rows.iter().flat_map(|text| wrap::rows(line(text), columns)).collect();
            let rows: Vec<Line> = rows.into_iter().take(self.region.most_rows()).collect();
            let cursor = (rows.len().saturating_sub(1), 0);
            let bytes =
                self.region.draw(finished.iter().map(line).collect(), Frame { rows: rows.clone(), cursor });
            self.screen.process(bytes.as_bytes());
            let broken = finished.iter().flat_map(|text| wrap::rows(line(text), columns));
            self.committed.extend(broken.map(|row| row.plain().trim_end().to_owned()));
            let mut want = self.committed.clone();
            want.extend(rows.iter().map(|row| row.plain().trim_end().to_owned()));
            let mut shown = self.all();
            shown.resize(want.len().max(shown.len()), String::new());
            assert_eq!(shown[..want.len()], want);
            assert!(shown[want.len()..].iter().all(String::is_empty), "{shown:?}");
        }

        /// Every row from the first that scrolled off on.
        fn all(&mut self) -> Vec<String> {
            let (rows, columns) = self.screen.screen().size();
            let screen = self.screen.screen_mut();
            screen.set_scrollback(usize::MAX);
            let mut back = screen.scrollback();
            let mut all: Vec<String> = Vec::new();
            while back > 0 {
                screen.set_scrollback(back);
                let count = back.min(rows.into());
                all.extend(screen.rows(0, columns).take(count).map(|row| row.trim_end().to_owned()));
                back -= count;
            }
            screen.set_scrollback(0);
            all.extend(screen.rows(0, columns).map(|row| row.trim_end().to_owned()));
            all
        }
    }

    fn texts(items: &[&str]) -> Vec<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    #[test]
    fn text_that_goes_on_is_written_from_its_end() {
        let mut region = Region::new(Theme::PLAIN, Size { columns: 20, rows: 5 });
        let frame = |tail: &str| Frame {
            rows: vec![Line::of(Style::Plain, tail), Line::of(Style::Plain, "› ")],
            cursor: (1, 2),
        };
        region.draw(Vec::new(), frame("hello"));
        assert_eq!(region.draw(Vec::new(), frame("hello world")), "\x1b[A\x1b[6G world\x1b[B\x1b[3G");
        assert_eq!(region.draw(Vec::new(), frame("hello world")), "");
    }

    #[test]
    fn more_lines_than_the_screen_has_are_all_kept() {
        let mut stage = Stage::new(20, 6);
        stage.draw(&[], &texts(&["✦ waiting", "›", "mode"]));
        let many: Vec<String> = (0..30).map(|n| format!("line {n}")).collect();
        stage.draw(&many, &texts(&["✦ waiting", "›", "mode"]));
        stage.draw(&many[..4], &[]);
    }

    /// What a terminal that wraps anew makes of the screen: its lines at another width, the cursor where it was in them.
    #[test]
    fn rows_that_the_terminal_wraps_anew_leave_nothing_behind() {
        let committed = "a committed line that is long enough to wrap";
        let tail = "the end of a reply, which wraps as well as the one above";
        for (columns, typed) in
            [(30_usize, "short"), (13, "short"), (13, "typed text that wraps too"), (80, "short")]
        {
            let mut stage = Stage::new(60, 20);
            stage.region = Region::new(Theme::PLAIN, stage.region.size()).rewrapped(true);
            let frame = |columns: usize| {
                let texts = [tail, "✦ still meshing...", typed, "default mode"];
                let line = |text| Line::of(Style::Plain, text);
                let rows: Vec<Line> = texts.iter().flat_map(|text| wrap::rows(line(text), columns)).collect();
                let cursor = (rows.len() - 1 - wrap::rows(line("default mode"), columns).len(), 3);
                Frame { rows, cursor }
            };
            let (_, before) =
                (stage.region.draw(vec![Line::of(Style::Plain, committed)], frame(60)), frame(60));
            stage.region.at.1 = typed.len();
            stage.screen = vt100::Parser::new(20, u16::try_from(columns).unwrap(), 100);
            let shown: Vec<String> = before.rows.iter().map(|row| row.plain().into_owned()).collect();
            stage.screen.process(format!("{committed}\r\n{}\x1b[A", shown.join("\r\n")).as_bytes());
            let cell = typed.len() % columns + 1;
            stage.screen.process(format!("\x1b[{cell}G").as_bytes());
            stage.region.resize(Size { columns, rows: 20 });
            let bytes = stage.region.redraw(Vec::new(), frame(columns));
            stage.screen.process(bytes.as_bytes());
            let line = Line::of(Style::Plain, committed);
            let rows = wrap::cells(&line, columns).into_iter().chain(frame(columns).rows);
            let want: Vec<String> = rows.map(|row| row.plain().trim_end().to_owned()).collect();
            let mut all = stage.all();
            all.truncate(want.len().max(all.iter().rposition(|row| !row.is_empty()).map_or(0, |at| at + 1)));
            assert_eq!(all, want, "{columns} {typed}");
        }
    }

    proptest! {
        #[test]
        fn every_committed_line_stands_once(
            steps in proptest::collection::vec(
                (proptest::collection::vec("[a-z日]{0,30}", 0..9), proptest::collection::vec("[a-z日 ]{0,12}", 0..7)),
                1..12,
            ),
            columns in 2u16..25,
            rows in 2u16..10,
        ) {
            let mut stage = Stage::new(columns, rows);
            for (finished, shown) in steps {
                stage.draw(&finished, &shown);
            }
        }
    }
}
