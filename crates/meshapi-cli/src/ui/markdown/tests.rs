use proptest::prelude::*;

use super::*;
use crate::ui::theme::Depth;

fn dark() -> Theme {
    Theme::new(Background::Dark, Depth::True)
}

fn plain(lines: &[Line]) -> Vec<String> {
    lines.iter().map(|line| line.plain().into_owned()).collect()
}

fn styled(lines: &[Line]) -> String {
    let span = |span: &crate::ui::line::Span| match (span.style(), span.link()) {
        (Style::Plain, None) => span.text().to_owned(),
        (style, None) => format!("{{{style:?}|{}}}", span.text()),
        (style, Some(url)) => format!("{{{style:?}|{}|{url}}}", span.text()),
    };
    lines.iter().map(|line| line.spans().iter().map(span).collect::<String>() + "\n").collect()
}

const SAMPLE: &str = "\
# Title with `code`

Some **bold**, *italic*, ***both***, ~~gone~~ and `let x = 1;` text that is long enough to wrap at the width of this screen.
See [the docs](https://example.com/docs) and <https://example.com>; snake_case_name stays, 2 * 3 * 4 too.

- first item that wraps because it has many words in it, more than fit
  - nested `item`
    - [x] done
- [ ] open
1. one
10) ten

> quoted **text**

```rust
fn main() {
\tprintln!(\"hi\");

}
```

| name | value |
|------|-------|
| a | `1` |
| long name | 2 \\| 3 |

---
end";

#[test]
fn a_reply_with_everything() {
    insta::assert_snapshot!(styled(&render(SAMPLE, 50, dark())).replace("{Token(", "{T("));
}

#[test]
fn without_colours_the_source_is_shown() {
    let shown = plain(&render("# Title\n\n**bold** `code`\n\n\n- item", 40, Theme::PLAIN));
    assert_eq!(shown, ["# Title", "", "**bold** `code`", "", "- item"]);
}

#[test]
fn columns_stand_where_the_rule_says() {
    let table = "| a | b | c |\n|:--|--:|:-:|\n| 1 | 2 | 3 |\n| wide | wide | wide |\n";
    let lines = plain(&render(table, 80, dark()));
    assert_eq!(lines[0], "a        b   c");
    assert_eq!(lines[2], "1        2   3");
    assert_eq!(lines[3], "wide  wide  wide");
}

#[test]
fn a_heading_stands_apart() {
    assert_eq!(plain(&render("# a\nb\n## c\n\nd", 80, dark())), ["a", "b", "", "c", "", "d"]);
}

#[test]
fn a_table_that_does_not_fit_becomes_records() {
    let shown =
        plain(&render("| name | value |\n|---|---|\n| alpha beta | gamma delta |\n| x | y |", 16, dark()));
    assert_eq!(shown, ["name: alpha beta", "value: gamma del", "ta", "", "name: x", "value: y"]);
}

#[test]
fn rows_are_finished_before_their_line_is() {
    let mut markdown = Markdown::new(10, dark());
    markdown.push("one two three four");
    assert_eq!(plain(&markdown.take_finished()), ["one two"]);
    assert_eq!(plain(&markdown.tail()), ["three four"]);
    markdown.push(" **five six");
    assert!(markdown.take_finished().is_empty(), "the mark may still close");
    assert_eq!(plain(&markdown.tail()), ["three four", "**five six"]);
    markdown.push(" seven** eight");
    assert_eq!(plain(&markdown.take_finished()), ["three four", "five six", "seven"]);
    assert_eq!(plain(&markdown.finish()), ["eight"]);
}

#[test]
fn a_mark_that_never_closes_holds_rows_only_for_a_while() {
    let mut markdown = Markdown::new(10, dark());
    markdown.push("`");
    markdown.push(&"words and ".repeat(20));
    assert!(!markdown.take_finished().is_empty());
    assert!(markdown.tail().len() <= MOST_HELD);
}

#[test]
fn code_without_a_line_feed_is_finished_row_by_row() {
    let mut markdown = Markdown::new(12, dark());
    markdown.push(&format!("```\n{}", "x".repeat(25)));
    assert_eq!(plain(&markdown.take_finished()), ["  xxxxxxxxxx", "  xxxxxxxxxx"]);
    assert_eq!(plain(&markdown.tail()), ["  xxxxx"]);
    markdown.push("y\nz\n```\nafter");
    assert_eq!(plain(&markdown.finish()), ["  xxxxxy", "  z", "after"]);
}

#[test]
fn what_acts_on_a_terminal_is_shown() {
    let lines = render("a\u{1b}[31mb [x](javascript:alert) [y](https://e.com/\u{7})", 80, dark());
    assert!(lines[0].plain().starts_with("a␛[31mb x"), "{}", lines[0].plain());
    assert!(lines[0].spans().iter().all(|span| span.link().is_none()));
}

/// Text without marks that stay open for rows on end.
fn source() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z]{1,12} ",
        "[a-z]{1,30}",
        "\n",
        "\n\n",
        "\\*\\*[a-z]{1,8}\\*\\*",
        "`[a-z ]{1,8}`",
        "- ",
        "1. ",
        "# ",
        "```\n",
        "\\| [a-z]{1,5} \\| b \\|\n",
        "日本語 ",
        "> ",
        "\t",
        "\r\n",
        "[a-z]_[a-z]",
        "\\[x\\]\\(https://e.com\\)",
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same(text in source(), cuts in proptest::collection::vec(0usize..400, 0..12), columns in 12usize..60) {
        let whole = plain(&render(&text, columns, dark()));
        let mut markdown = Markdown::new(columns, dark());
        let mut lines = Vec::new();
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= text.len() && text.is_char_boundary(*cut)).collect();
        cuts.sort_unstable();
        let mut from = 0;
        for cut in cuts.into_iter().chain([text.len()]) {
            markdown.push(&text[from..cut]);
            from = cut;
            lines.extend(markdown.take_finished());
            let _ = markdown.tail();
        }
        lines.extend(markdown.finish());
        prop_assert_eq!(plain(&lines), whole);
    }

    #[test]
    fn no_line_is_wider_than_the_screen(text in "[ -~\\n日\\x{1b}\\x{300}]{0,200}", columns in 2usize..40) {
        for line in render(&text, columns, dark()) {
            prop_assert!(wrap::width(&line) <= columns, "{:?}", line);
        }
    }
}
