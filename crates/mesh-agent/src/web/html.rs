//! Pure: a page of HTML as text: headings, lists, tables' cells, code and links, as Markdown writes them.
//!
//! It goes through the page's tokens once, as they stand, and builds no tree: no nesting is too deep for it, no page takes longer
//! than its length, and the text is bounded. What a browser would not show as text is left out: scripts, styles, drawings.

use std::{borrow::Cow, collections::HashSet};

use html5gum::{DefaultEmitter, EndTag, StartTag, Token, Tokenizer};
use url::Url;

/// Longest title that is shown, in characters. Ours: an element that was left open holds the whole page.
const MAX_TITLE_CHARS: usize = 300;

/// Levels of lists and of quotes that are shown as such.
const MAX_LEVELS: usize = 6;

/// Longest address of a link that is shown, in bytes. Ours: longer ones are data or trackers.
const MAX_LINK_BYTES: usize = 500;

/// A page whose main part is shorter than this, in bytes, is shown whole. Ours: a main part that scripts fill has next to nothing.
const MIN_MAIN_BYTES: usize = 200;

/// A page as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    /// Its title and its text; that of its main part alone, where it marks one.
    pub(super) text: String,
    /// The text goes on.
    pub(super) is_cut: bool,
    /// Characters that are left out around the main part.
    pub(super) outside: usize,
}

/// Makes a page text, of at most about `max_bytes`. Links lead from `base`; those on the same site are shown by their path.
pub(super) fn text(html: &str, base: &Url, max_bytes: usize) -> Text {
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let mut writer = Writer::new(base);
    let mut is_cut = false;
    for token in Tokenizer::new_with_emitter(html, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => writer.start(&tag),
            Token::EndTag(tag) => writer.end(&tag),
            Token::String(text) => writer.text(&String::from_utf8_lossy(&text)),
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
        if writer.out.len() > max_bytes {
            is_cut = true;
            break;
        }
    }
    writer.finish(max_bytes, is_cut)
}

/// What is written, and where in the page it stands.
struct Writer {
    base: Url,
    out: String,
    title: String,
    /// What has to come before the next text: line ends, or a space.
    breaks: usize,
    has_space: bool,
    /// Content that is not shown, up to its end tag: its name, and how often it stands in itself.
    skipped: Option<(Vec<u8>, usize)>,
    is_title: bool,
    pre: usize,
    quotes: usize,
    /// Quotes around the last text.
    quoted: usize,
    /// The number of the last item of each list; none where they have none.
    lists: Vec<Option<u64>>,
    /// Cells of the table row so far.
    cells: usize,
    link: Option<Link>,
    /// Where links before it lead: each address is shown once.
    linked: HashSet<String>,
    /// Where the main part begins and ends.
    main: Option<(usize, Option<usize>)>,
}

/// A link whose text is being written.
struct Link {
    address: String,
    has_text: bool,
}

impl Writer {
    fn new(base: &Url) -> Writer {
        Writer {
            base: base.clone(),
            out: String::new(),
            title: String::new(),
            breaks: 0,
            has_space: false,
            skipped: None,
            is_title: false,
            pre: 0,
            quotes: 0,
            quoted: 0,
            lists: Vec::new(),
            cells: 0,
            link: None,
            linked: HashSet::new(),
            main: None,
        }
    }

    fn start(&mut self, tag: &StartTag<()>) {
        let name = tag.name.as_slice();
        if let Some((skipped, depth)) = &mut self.skipped {
            *depth += usize::from(skipped.as_slice() == name && !tag.self_closing);
            return;
        }
        if is_skipped(name) {
            self.skipped = (!tag.self_closing).then(|| (name.to_owned(), 1));
            return;
        }
        match name {
            b"title" => self.is_title = true,
            b"main" => {
                self.break_lines(2);
                self.main.get_or_insert((self.out.len(), None));
            }
            b"br" => self.break_lines(1),
            b"pre" => {
                self.break_lines(2);
                self.raw("```\n");
                self.pre += 1;
            }
            b"code" | b"kbd" | b"samp" if self.pre == 0 => {
                self.begin_text();
                self.out.push('`');
            }
            b"a" => {
                self.end_link();
                let address = attribute(tag, b"href").and_then(|href| self.address(&href));
                let address = address.filter(|address| !self.linked.contains(address));
                self.link = address.map(|address| Link { address, has_text: false });
            }
            b"img" => {
                if let Some(alt) = attribute(tag, b"alt").filter(|alt| !alt.trim().is_empty()) {
                    self.text(&format!("[image: {}]", alt.trim()));
                }
            }
            b"ul" | b"menu" => self.begin_list(None),
            b"ol" => self.begin_list(Some(0)),
            b"li" => self.begin_item(),
            b"blockquote" => {
                self.break_lines(2);
                self.quotes += 1;
            }
            b"tr" => {
                self.break_lines(1);
                self.cells = 0;
            }
            b"td" | b"th" => {
                if self.cells > 0 {
                    self.raw(" | ");
                }
                self.cells += 1;
            }
            b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" => {
                self.break_lines(2);
                let level = usize::from(name[1] - b'0');
                self.raw(&format!("{} ", "#".repeat(level)));
            }
            name => self.break_lines(lines_around(name)),
        }
    }

    fn end(&mut self, tag: &EndTag<()>) {
        let name = tag.name.as_slice();
        if let Some((skipped, depth)) = &mut self.skipped {
            *depth -= usize::from(skipped.as_slice() == name);
            if *depth == 0 {
                self.skipped = None;
            }
            return;
        }
        match name {
            b"title" => self.is_title = false,
            b"main" => {
                if let Some((_, end @ None)) = &mut self.main {
                    *end = Some(self.out.len());
                }
                self.break_lines(2);
            }
            b"pre" if self.pre > 0 => {
                self.pre -= 1;
                if !self.out.ends_with('\n') {
                    self.out.push('\n');
                }
                self.out.push_str("```");
                self.break_lines(2);
            }
            b"code" | b"kbd" | b"samp" if self.pre == 0 => self.out.push('`'),
            b"a" => self.end_link(),
            b"ul" | b"ol" | b"menu" => {
                self.lists.pop();
                self.break_lines(if self.lists.is_empty() { 2 } else { 1 });
            }
            b"blockquote" => {
                self.break_lines(2);
                self.quotes = self.quotes.saturating_sub(1);
            }
            name => self.break_lines(lines_around(name)),
        }
    }

    fn text(&mut self, text: &str) {
        if self.skipped.is_some() {
            return;
        }
        if self.is_title {
            self.title.push_str(text);
            return;
        }
        if self.pre > 0 {
            self.flush();
            self.out.push_str(text);
            return;
        }
        for word in text.split_inclusive(is_space) {
            let plain = word.trim_end_matches(is_space);
            if !plain.is_empty() {
                self.begin_text();
                self.out.push_str(plain);
            }
            self.has_space |= plain.len() < word.len();
        }
    }

    /// Writes what has to come before text, the sign of a link too.
    fn begin_text(&mut self) {
        self.flush();
        if let Some(link) = self.link.as_mut().filter(|link| !link.has_text) {
            link.has_text = true;
            self.out.push('[');
        }
    }

    /// Text of ours. What follows it stands close to it.
    fn raw(&mut self, text: &str) {
        self.flush();
        self.out.push_str(text);
    }

    fn break_lines(&mut self, lines: usize) {
        if self.pre > 0 {
            return;
        }
        self.breaks = self.breaks.max(lines);
    }

    /// Writes what has to come before the next text.
    fn flush(&mut self) {
        let (breaks, has_space) = (std::mem::take(&mut self.breaks), std::mem::take(&mut self.has_space));
        let quote = |levels: usize| "> ".repeat(levels.min(MAX_LEVELS));
        let before = std::mem::replace(&mut self.quoted, self.quotes);
        if self.out.is_empty() {
            self.out.push_str(&quote(self.quotes));
        } else if breaks > 0 {
            // An empty line between a quote and what is around it belongs to neither.
            let between = format!("\n{}", quote(before.min(self.quotes)).trim_end());
            self.out.push_str(&between.repeat(breaks - 1));
            self.out.push('\n');
            self.out.push_str(&quote(self.quotes));
        } else if has_space && !self.out.ends_with([' ', '\n']) {
            self.out.push(' ');
        }
    }

    fn begin_list(&mut self, number: Option<u64>) {
        self.break_lines(if self.lists.is_empty() { 2 } else { 1 });
        self.lists.push(number);
    }

    fn begin_item(&mut self) {
        self.break_lines(1);
        let indent = "  ".repeat(self.lists.len().saturating_sub(1).min(MAX_LEVELS));
        let sign = match self.lists.last_mut() {
            Some(Some(number)) => {
                *number += 1;
                format!("{number}. ")
            }
            Some(None) | None => "- ".to_owned(),
        };
        self.raw(&format!("{indent}{sign}"));
    }

    fn end_link(&mut self) {
        if let Some(Link { address, has_text: true }) = self.link.take() {
            self.out.push_str(&format!("]({address})"));
            self.linked.insert(address);
        }
    }

    /// Where a link leads, if it leads to another page: the whole address, or its path on the same site.
    fn address(&self, href: &str) -> Option<String> {
        let href = href.trim();
        if href.is_empty() || href.starts_with('#') || href.len() > MAX_LINK_BYTES {
            return None;
        }
        let url = self.base.join(href).ok()?;
        if !matches!(url.scheme(), "http" | "https" | "mailto") {
            return None;
        }
        let address = match url.origin() == self.base.origin() && url.scheme() != "mailto" {
            true => url[url::Position::BeforePath..].to_owned(),
            false => url.into(),
        };
        (address.len() <= MAX_LINK_BYTES).then_some(address)
    }

    fn finish(mut self, max_bytes: usize, is_cut: bool) -> Text {
        self.end_link();
        let whole = self.out.as_str();
        let main = self.main.map(|(start, end)| &whole[start..end.unwrap_or(whole.len())]);
        let shown = main.filter(|main| main.len() >= MIN_MAIN_BYTES).unwrap_or(whole);
        let outside = whole.chars().count() - shown.chars().count();
        let title = self.title.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        let title: String = title.chars().take(MAX_TITLE_CHARS).collect();
        let mut text = format!("{title}\n\n{}", shown.trim());
        let is_cut = is_cut || text.len() > max_bytes;
        text.truncate(text.floor_char_boundary(max_bytes));
        Text { text: text.trim().to_owned(), is_cut, outside }
    }
}

/// What HTML takes for white space, and the space that holds words together.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\n' | '\t' | '\r' | '\u{c}' | '\u{a0}')
}

/// Elements whose content is no text for a reader. Without scripts, what stands in for them is a plea to switch them on.
fn is_skipped(name: &[u8]) -> bool {
    matches!(
        name,
        b"script"
            | b"style"
            | b"noscript"
            | b"template"
            | b"svg"
            | b"iframe"
            | b"object"
            | b"canvas"
            | b"noembed"
            | b"textarea"
            | b"select"
            | b"button"
    )
}

/// Line ends around an element.
fn lines_around(name: &[u8]) -> usize {
    match name {
        b"p" | b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" | b"table" | b"dl" | b"hr" | b"section"
        | b"article" | b"header" | b"footer" | b"nav" | b"aside" | b"figure" | b"form" | b"fieldset" => 2,
        b"div" | b"li" | b"tr" | b"dt" | b"dd" | b"option" | b"figcaption" | b"caption" | b"summary"
        | b"details" | b"address" | b"legend" => 1,
        _ => 0,
    }
}

fn attribute<'a>(tag: &'a StartTag<()>, name: &[u8]) -> Option<Cow<'a, str>> {
    tag.attributes.get(name).map(|value| String::from_utf8_lossy(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(html: &str) -> Text {
        text(html, &Url::parse("https://a.example/dir/page?q#f").unwrap(), 1 << 20)
    }

    #[track_caller]
    fn check(html: &str, want: &str) {
        assert_eq!(shown(html).text, want, "{html}");
    }

    #[test]
    fn a_page_reads_as_it_looks() {
        let page = "<!doctype html><html><head><title> The\n Page </title><style>p{}</style>\
            <script>if (a < b) x('</p>')</script></head><body><h1>Head&nbsp;line</h1>\
            <p>One <b>bold</b>,\n  two&amp;three.</p><ul><li>a<li>b<ol><li>first</li><li>second</li></ol></ul>\
            <blockquote><p>said</p><p>twice</p></blockquote>\
            <pre><code>fn a() {\n    1 &lt; 2\n}\n</code></pre>After <code>x</code>.<br>Next<hr>\
            <table><tr><th>k<th>v</tr><tr><td>1<td>2</tr></table><img src=x alt=\"A cat\"><svg><text>no</text></svg>\
            <form>Name <select><option>no</select></form></body></html>";
        insta::assert_snapshot!(shown(page).text, @r"
        The Page

        # Head line

        One bold, two&three.

        - a
        - b
          1. first
          2. second

        > said
        >
        > twice

        ```
        fn a() {
            1 < 2
        }
        ```

        After `x`.
        Next

        k | v
        1 | 2

        [image: A cat]

        Name
        ");
    }

    #[test]
    fn links_are_shown_where_they_lead_to_another_page() {
        for (link, want) in [
            ("<a href=other>x</a>", "[x](/dir/other)"),
            ("<a href='/a?b=1&amp;c=2#d'>x <i>y</i></a> z", "[x y](/a?b=1&c=2#d) z"),
            ("<a href=//b.example/>x</a>", "[x](https://b.example/)"),
            ("<a href=http://a.example/>x</a>", "[x](http://a.example/)"),
            ("<a href=mailto:me@a.example>x</a>", "[x](mailto:me@a.example)"),
            ("<a href='#here'>x</a>", "x"),
            ("<a href='javascript:x()'>x</a>", "x"),
            ("<a href='data:text/plain,x'>x</a>", "x"),
            ("<a name=x>x</a>", "x"),
            ("<a href=u></a>x", "x"),
            ("a<a href=u> x </a>b", "a [x](/dir/u) b"),
            ("<p><a href=u>x<p>y", "[x\n\ny](/dir/u)"),
            ("<a href=u>x<a href=v>y</a></a>", "[x](/dir/u)[y](/dir/v)"),
            ("<a href=u><code>x</code></a>", "[`x`](/dir/u)"),
            ("<a href=u>x</a> <a href=u>y</a>", "[x](/dir/u) y"),
            ("<a href=u><img alt=i></a>", "[[image: i]](/dir/u)"),
        ] {
            check(link, want);
        }
        check(&format!("<a href={}>x</a>", "y".repeat(600)), "x");
    }

    #[test]
    fn the_main_part_stands_for_the_page() {
        let long = "word ".repeat(100);
        let page = format!("<title>T</title><nav>menu</nav><main><p>{long}</main><footer>end</footer>");
        let Text { text, is_cut, outside } = shown(&page);
        assert_eq!(
            (text, is_cut, outside),
            (format!("T\n\n{}", long.trim()), false, "menu".len() + "\n\nend".len())
        );
        check("<nav>menu</nav><main></main>body", "menu\n\nbody");
        assert_eq!(shown(&format!("menu<main>{long}")).outside, 4, "unclosed");
    }

    #[test]
    fn what_is_left_open_hides_nothing_else() {
        check("a<svg><svg></svg>b</svg>c", "ac");
        check("a<svg/>b", "ab");
        check("</svg></pre></ul></blockquote>a</a></code>", "a`");
        check("<pre>a\n  b", "```\na\n  b");
        check("a<!-- b -->c<!-- d", "ac");
        check("x &lt;script&gt; &unknown; &#x202e; <", "x <script> &unknown; \u{202e} <");
    }

    #[test]
    fn no_page_is_too_deep_or_too_wide() {
        let count = 200_000;
        for part in [
            "<div>",
            "<b>x",
            "<ul><li>x",
            "<table><tr><td>x",
            "<blockquote>x",
            "<svg>",
            "<a href=x>y",
            "<pre>",
            "<main>",
            "<title>",
            "</p>",
        ] {
            let text = shown(&part.repeat(count));
            assert!(text.text.len() <= 1 << 20, "{part}");
        }
        let attributes: String = (0..count).map(|n| format!(" a{n}=x")).collect();
        check(&format!("<p{attributes}>x"), "x");
    }

    proptest! {
        #[test]
        fn any_tags_in_any_order_make_bounded_text(parts in prop::collection::vec(
            prop::sample::select(vec!["<", ">", "<p>", "</p>", "<ul>", "</ul>", "<ol>", "<li>", "<a href=x>", "</a>", "<pre>", "</pre>",
                "<main>", "</main>", "<svg>", "</svg>", "<title>", "</title>", "<code>", "</code>", "<td>", "<tr>", "<br>", "<h2>",
                "<blockquote>", "</blockquote>", "<script>", "</script>", "é", " ", "\n", "word", "&amp;", "<!--", "-->"]), 0..80),
            max in 0usize..200)
        {
            let html = parts.concat();
            let base = Url::parse("https://a.example/").unwrap();
            prop_assert!(text(&html, &base, max).text.len() <= max);
            let whole = text(&html, &base, 1 << 20);
            prop_assert!(!whole.is_cut);
        }
    }
}
