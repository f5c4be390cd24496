//! The way of a reply to the screen: markdown to lines while it streams, lines to the bytes that change a terminal.
//!
//! Each group has a `floor`, the same text broken at the width and nothing else: `cargo xtask bench` prints the ratios.
use divan::counter::BytesCount;
use meshapi_cli::ui::{
    line::{Line, Style},
    live::{
        region::{Frame, Region, Size},
        state::State,
    },
    markdown::{self, Markdown},
    theme::{Background, Depth, Theme},
    wrap,
};
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// A usual terminal window.
const SIZE: Size = Size { columns: 100, rows: 40 };

/// Characters of a delta: about a token.
const DELTA: usize = 5;

/// Deltas that come between two frames of a fast model: 1000 a second, 30 frames a second.
const DELTAS_PER_FRAME: usize = 33;

/// Time between two frames.
const FRAME: Duration = Duration::from_millis(33);

fn main() {
    divan::main();
}

fn theme() -> Theme {
    Theme::new(Background::Dark, Depth::True)
}

/// One section of a long reply: what models write, in the proportions in which they write it.
const SECTION: &str = "## How the cache is kept warm

The client keeps **one connection** for a whole turn, so that the second request pays neither for *TCP* nor for TLS. See
[the notes](https://example.com/notes) and `Pool::checkout`; a connection that was closed meanwhile is found closed before
the request is put on it, not after, because the runtime looks at its sockets once more before it sends anything at all.

- A request that did not leave is sent again, **once**.
- A request that left is not: the gateway may have begun to *work*, and work costs money.
  1. `POST` is never repeated by the pool.
  2. What the turn does about it is `RetryPolicy`'s business.

| phase | deadline | what it means |
|---|---|---|
| connect | 10 s | name, TCP, proxy and TLS together |
| first byte | 120 s | from the sent request to the head |

> A deadline that nobody chose is a bug that nobody sees.

```rust
fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    // A line ends with a line feed, whatever stands before it.
    bytes.split(|byte| *byte == b'\\n').filter(|line| !line.is_empty())
}
```

";

fn reply() -> String {
    SECTION.repeat(12)
}

/// Words without a line feed, as a model writes that was asked for one long paragraph.
fn paragraph() -> String {
    (0..6_000).fold(String::new(), |mut text, word| {
        let _ = write!(text, "word{} ", word % 977);
        text
    })
}

fn code() -> String {
    let body: String = SECTION
        .split("```rust\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .map_or_else(String::new, |function| {
            (0..60).map(|at| function.replace("pieces", &format!("pieces_{at}"))).collect()
        });
    format!("```rust\n{body}```\n")
}

/// The deltas of a reply.
fn deltas(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(DELTA).map(|chunk| chunk.iter().collect()).collect()
}

/// The least that has to be done: rows that fit.
fn floor(bencher: divan::Bencher<'_, '_>, text: &str) {
    bencher.counter(BytesCount::of_str(text)).bench_local(|| {
        let lines = black_box(text).lines().map(|line| Line::of(Style::Plain, line));
        lines.map(|line| wrap::rows(line, SIZE.columns).len()).sum::<usize>()
    });
}

/// Deltas as they come, and after those of a frame the lines that it shows.
fn by_frames(bencher: divan::Bencher<'_, '_>, text: &str) {
    let deltas = deltas(text);
    bencher.counter(BytesCount::of_str(text)).bench_local(|| {
        let mut markdown = Markdown::new(SIZE.columns, theme());
        let mut lines = 0;
        for frame in black_box(&deltas).chunks(DELTAS_PER_FRAME) {
            for delta in frame {
                markdown.push(delta);
            }
            lines += markdown.take_finished().len() + markdown.tail().len();
        }
        lines + markdown.finish().len()
    });
}

/// A long reply of all kinds of blocks.
mod reply {
    use super::*;

    #[divan::bench]
    fn floor(bencher: divan::Bencher) {
        super::floor(bencher, &reply());
    }

    #[divan::bench]
    fn whole(bencher: divan::Bencher) {
        let text = reply();
        let counter = BytesCount::of_str(&text);
        bencher.counter(counter).bench_local(|| markdown::render(black_box(&text), SIZE.columns, theme()));
    }

    #[divan::bench]
    fn by_frames(bencher: divan::Bencher) {
        super::by_frames(bencher, &reply());
    }
}

/// One paragraph without a line feed.
mod paragraph {
    use super::*;

    #[divan::bench]
    fn floor(bencher: divan::Bencher) {
        super::floor(bencher, &paragraph());
    }

    #[divan::bench]
    fn by_frames(bencher: divan::Bencher) {
        super::by_frames(bencher, &paragraph());
    }
}

/// One block of code with colours.
mod code {
    use super::*;

    #[divan::bench]
    fn floor(bencher: divan::Bencher) {
        super::floor(bencher, &code());
    }

    #[divan::bench]
    fn by_frames(bencher: divan::Bencher) {
        let text = code();
        // Grammars are loaded once in the life of a program.
        black_box(markdown::render(&text, SIZE.columns, theme()));
        super::by_frames(bencher, &text);
    }
}

/// Deltas to the bytes for the terminal, through all of the live region.
mod screen {
    use super::*;

    #[divan::bench]
    fn floor(bencher: divan::Bencher) {
        super::floor(bencher, &reply());
    }

    #[divan::bench]
    fn by_frames(bencher: divan::Bencher) {
        let text = reply();
        let deltas = deltas(&text);
        bencher.counter(BytesCount::of_str(&text)).bench_local(|| {
            let mut now = Instant::now();
            let mut state = State::new(theme(), SIZE, false, now);
            let mut bytes = 0;
            for frame in black_box(&deltas).chunks(DELTAS_PER_FRAME) {
                for delta in frame {
                    state.text(delta);
                }
                now += FRAME;
                bytes += state.draw(now).map_or(0, |out| out.len());
            }
            bytes + state.end().len()
        });
    }
}

/// One frame after another that differs at the end of a row. The floor writes all its rows anew.
mod frame {
    use super::*;

    /// The frames of a reply whose last row grows, above a prompt and a row of modes.
    fn frames() -> Vec<Frame> {
        let text = paragraph();
        let rows = wrap::rows(Line::of(Style::Plain, &text[..600]), SIZE.columns);
        let last = "the row that grows by a few words with every frame, until the next one begins below it";
        let below =
            [Line::of(Style::Dim, "✦ still meshing... 3.4s"), Line::of(Style::Brand, "› "), Line::blank()];
        let ends = (10..last.len()).step_by(8);
        ends.map(|end| {
            let grown = Line::of(Style::Plain, &last[..end]);
            let rows: Vec<Line> = rows.iter().chain([&grown]).chain(&below).cloned().collect();
            Frame { cursor: (rows.len() - 2, 2), rows }
        })
        .collect()
    }

    #[divan::bench]
    fn floor(bencher: divan::Bencher) {
        let frames = frames();
        bencher.bench_local(|| {
            let paint = |frame: &Frame| frame.rows.iter().map(|row| theme().paint(row).len()).sum::<usize>();
            black_box(&frames).clone().iter().map(paint).sum::<usize>()
        });
    }

    #[divan::bench]
    fn changes(bencher: divan::Bencher) {
        let frames = frames();
        bencher.bench_local(|| {
            let mut region = Region::new(theme(), SIZE);
            let draw = |frame| region.draw(Vec::new(), frame).len();
            black_box(&frames).clone().into_iter().map(draw).sum::<usize>()
        });
    }
}
