//! One page of the web as text. What comes back is somebody else's text and is marked as such.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mesh_safety::Action;
use serde_json::Value;

use super::run_bash::shown;
use crate::{
    tool::{Args, Tool, ToolContext, ToolFuture, ToolOutput, ToolSpec, args},
    web::{PAGE, Page, Web},
};

/// Characters of a page in one result. Ours: about 5,000 tokens, between a command's output and a file; the rest is a call away.
const PART_CHARS: usize = 20_000;

/// How far the end of a part may move, in characters, so that it falls on a line break.
const SNAP_CHARS: usize = 400;

/// Pages whose later parts are at hand. Ours: what a turn goes back and forth between.
const MAX_KEPT: usize = 4;

/// Characters of the address in its summary. As for a search.
const SUMMARY_CHARS: usize = 120;

const SPEC: ToolSpec = ToolSpec {
    name: "web_fetch",
    description: "Read a web page as text.",
    parameters: r#"{"type":"object","properties":{"url":{"type":"string"},"offset":{"type":"integer"}},"required":["url"]}"#,
    required: &["url"],
};

/// Reads one page of the public web: HTML as text with its links, other text as it is. A long page comes in parts; those behind the
/// first are read from what came with it, so nothing goes out for them.
#[derive(Clone, Debug)]
pub struct WebFetch {
    web: Web,
    kept: Arc<Mutex<VecDeque<Kept>>>,
}

/// A page that was read.
#[derive(Clone, Debug)]
struct Kept {
    url: String,
    text: Arc<str>,
}

impl WebFetch {
    /// The tool on top of the web.
    pub fn new(web: Web) -> WebFetch {
        WebFetch { web, kept: Arc::default() }
    }

    async fn execute(&self, args: &Args) -> ToolOutput {
        let (url, first) = match (url(args), first(args)) {
            ("", _) => return ToolOutput::error(args::missing_argument(SPEC.name, "url")),
            (_, Err(problem)) => return ToolOutput::error(problem),
            (url, Ok(first)) => (url, first),
        };
        let text = match self.kept(url, first) {
            Some(text) => Ok(text),
            None => self.fetch(url).await,
        };
        match text.and_then(|text| part(&text, first)) {
            Ok(part) => ToolOutput::ok(part),
            Err(problem) => {
                ToolOutput::error(format_args!("cannot read {}: {problem}", shown(args, "url", 500)))
            }
        }
    }

    async fn fetch(&self, url: &str) -> Result<Arc<str>, String> {
        let fetched = self.web.fetch(url, &PAGE).await.map_err(|error| error.to_string())?;
        let from = fetched.target.url().clone();
        // Five megabytes of tags take a while.
        let page = tokio::task::spawn_blocking(move || Page::of(&fetched));
        let page = page.await.map_err(|_| "it could not be made text".to_owned())?;
        let Page { mut text, mut notes } = page.map_err(|error| error.to_string())?;
        if from.host_str() != url::Url::parse(url).ok().as_ref().and_then(url::Url::host_str) {
            notes.insert(0, format!("it led to {from}"));
        }
        if !notes.is_empty() {
            let gap = if text.is_empty() { "" } else { "\n\n" };
            text = format!("[{}]{gap}{text}", notes.join("; "));
        }
        let text: Arc<str> = text.into();
        let mut kept = self.lock();
        kept.retain(|page| page.url != url);
        kept.truncate(MAX_KEPT - 1);
        kept.push_front(Kept { url: url.to_owned(), text: text.clone() });
        Ok(text)
    }

    /// The text of a page of which a later part is asked for, if it is at hand.
    fn kept(&self, url: &str, first: usize) -> Option<Arc<str>> {
        let found = self.lock().iter().find(|page| page.url == url).map(|page| page.text.clone());
        found.filter(|_| first > 1)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part that begins with a character, counted from 1, and a line that says where the next begins.
fn part(text: &str, first: usize) -> Result<String, String> {
    let total = text.chars().count();
    if first > total.max(1) {
        return Err(format!("character {first} is behind its end: it has {total}"));
    }
    let rest = text.char_indices().nth(first - 1).map_or("", |(at, _)| &text[at..]);
    let Some((end, _)) = rest.char_indices().nth(PART_CHARS) else { return Ok(rest.to_owned()) };
    let near = rest[..end].char_indices().rev().take(SNAP_CHARS).find(|(_, c)| *c == '\n');
    let part = near.map_or(&rest[..end], |(at, _)| &rest[..=at]);
    let mut part = part.to_owned();
    let last = first + part.chars().count() - 1;
    let gap = if part.ends_with('\n') { "" } else { "\n" };
    // Writing to a string cannot fail.
    let _ = write!(part, "{gap}[characters {first}-{last} of {total}; for more: offset {}]", last + 1);
    Ok(part)
}

fn url(args: &Args) -> &str {
    args.get("url").and_then(Value::as_str).unwrap_or_default().trim()
}

/// The first character that is asked for, from 1.
fn first(args: &Args) -> Result<usize, String> {
    let offset = args::integer(args, "offset")?.unwrap_or(1);
    Ok(usize::try_from(offset).map_err(|_| "`offset` must be 1 or more")?.max(1))
}

impl Tool for WebFetch {
    fn spec(&self) -> &ToolSpec {
        &SPEC
    }

    fn action(&self, args: &Args, _ctx: &ToolContext) -> Action {
        let url = url(args);
        let is_kept = first(args).is_ok_and(|first| self.kept(url, first).is_some());
        Action::Fetch { url: url.to_owned(), is_kept }
    }

    fn summary(&self, args: &Args) -> String {
        format!("web_fetch: {}", shown(args, "url", SUMMARY_CHARS))
    }

    fn run<'a>(&'a self, args: &'a Args, ctx: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            tokio::select! {
                output = self.execute(args) => output,
                () = ctx.line.stopped() => ToolOutput::error("the user stopped it; the page was not read"),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::{
        builtin::files::test_context,
        web::tests::{answer, lenient, serve},
    };

    fn tool() -> WebFetch {
        WebFetch::new(lenient(&["a.example", "b.example"]).0)
    }

    fn called(url: &str, offset: u64) -> Args {
        json!({"url": url, "offset": offset}).as_object().unwrap().clone()
    }

    async fn page(kind: &str, body: &str) -> ToolOutput {
        let port = serve(vec![answer(&format!("200 OK\r\nContent-Type: {kind}"), body.as_bytes())]).await;
        tool().execute(&called(&format!("http://a.example:{port}/dir/"), 1)).await
    }

    #[tokio::test]
    async fn a_page_is_text_with_its_links() {
        let output = page("text/html", "<title>T</title><h1>Head</h1><p>See <a href=x>this</a>.").await;
        assert_eq!((output.text.as_str(), output.is_error), ("T\n\n# Head\n\nSee [this](/dir/x).", false));
        let output = page("application/json", "{\"a\":  1}").await;
        assert_eq!((output.text.as_str(), output.is_error), ("{\"a\":  1}", false));
    }

    #[tokio::test]
    async fn what_is_no_text_is_an_error_that_says_what_it_is() {
        let output = page("image/png\r\nContent-Length: 3", "png").await;
        assert!(
            output.is_error && output.text.ends_with("/dir/: it is image/png of 3 bytes"),
            "{}",
            output.text
        );
        let output = tool().execute(&called("file:///etc/hosts", 1)).await;
        assert!(output.text.ends_with("only http:// and https:// addresses are fetched"), "{}", output.text);
        let output = tool().execute(&called(" ", 1)).await;
        assert!(output.is_error && output.text.contains("requires a `url`"), "{}", output.text);
        let output = tool().execute(json!({"url": "http://x.org", "offset": -1}).as_object().unwrap()).await;
        assert!(output.text.contains("`offset` must be 1 or more"), "{}", output.text);
    }

    #[tokio::test]
    async fn where_it_led_is_said() {
        let there = answer("302 Found\r\nLocation: http://b.example:PORT/b", b"");
        let port = serve(vec![there, answer("200 OK", b"words")]).await;
        let output = tool().execute(&called(&format!("http://a.example:{port}/"), 1)).await;
        assert_eq!(output.text, format!("[it led to http://b.example:{port}/b]\n\nwords"));
    }

    #[tokio::test]
    async fn a_long_page_comes_in_parts_and_only_once() {
        let body: String = (0..5_000).map(|n| format!("line {n} é\n")).collect();
        let port =
            serve(vec![answer("200 OK\r\nContent-Type: text/plain; charset=utf-8", body.as_bytes())]).await;
        let (tool, url) = (tool(), format!("http://a.example:{port}/"));
        let context = test_context(Path::new("/w"));
        let is_kept = |offset| match tool.action(&called(&url, offset), &context) {
            Action::Fetch { is_kept, .. } => is_kept,
            other => panic!("{other:?}"),
        };
        assert!(!is_kept(1) && !is_kept(9));
        let (mut whole, mut next, mut parts) = (String::new(), 1, 0);
        while next > 0 {
            let output = tool.execute(&called(&url, next)).await;
            assert!(!output.is_error, "{}", output.text);
            let (part, said) = match output.text.rsplit_once("[characters ") {
                Some((part, said)) => (part, said),
                None => (output.text.as_str(), ""),
            };
            assert!(part.chars().count() <= PART_CHARS && part.ends_with('\n'));
            whole.push_str(part);
            next = said.split("offset ").nth(1).map_or(0, |n| n.trim_end_matches(']').parse().unwrap());
            parts += 1;
            assert!(!is_kept(1) && is_kept(2), "the first part is read anew");
        }
        assert_eq!((whole == body, parts), (true, body.chars().count().div_ceil(PART_CHARS - 20)));
        let behind = tool.execute(&called(&url, 9_000_000)).await;
        assert!(behind.is_error && behind.text.contains("behind its end"), "{}", behind.text);
        for n in 0..MAX_KEPT {
            let port = serve(vec![answer("200 OK", b"x")]).await;
            tool.execute(&called(&format!("http://b.example:{port}/{n}"), 1)).await;
        }
        assert!(!is_kept(2) && tool.lock().len() == MAX_KEPT, "the oldest went");
    }

    #[tokio::test]
    async fn it_stops_at_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://a.example:{}/", listener.local_addr().unwrap().port());
        let (tool, args, context) = (tool(), called(&url, 1), test_context(Path::new("/w")));
        let stop = async {
            let _held = listener.accept().await.unwrap();
            context.line.stop();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            output = tool.run(&args, &context) => assert!(output.text.contains("the user stopped it")),
            () = stop => panic!("it never ends"),
        }
    }

    #[test]
    fn a_part_ends_with_a_line_where_one_is_near() {
        let one_line = "x".repeat(PART_CHARS + 1);
        let cut = part(&one_line, 1).unwrap();
        assert!(
            cut.ends_with("x\n[characters 1-20000 of 20001; for more: offset 20001]"),
            "{}",
            &cut[19_990..]
        );
        assert_eq!(part(&one_line, 20_001).unwrap(), "x");
        assert_eq!(part("", 1).unwrap(), "");
        assert!(part("", 2).is_err());
    }
}
