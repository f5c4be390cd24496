//! One page of the web as text. What comes back is somebody else's text and is marked as such.

use std::{
    collections::VecDeque,
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
    parameters: r#"{"type":"object","properties":{"url":{"type":"string"}},"required":["url"]}"#,
    required: &["url"],
};

/// Reads one page of the public web: HTML as text with its links, other text as it is. A long page comes in parts; those behind the
/// first are read from what came with it, so nothing goes out for them.
///
/// A part is named in the address, as RFC 5147 names a place in a text: `https://a.example/b#char=20000`. An argument of its own would
/// cost its description with every request (measured: 50 tokens for the tool instead of 43), and a fragment is sent to nobody.
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
        let (url, from) = place(args);
        if url.is_empty() {
            return ToolOutput::error(args::missing_argument(SPEC.name, "url"));
        }
        let text = match self.kept(url, from) {
            Some(text) => Ok(text),
            None => self.fetch(url).await,
        };
        match text.and_then(|text| part(&text, from)) {
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
    fn kept(&self, url: &str, from: usize) -> Option<Arc<str>> {
        let found = self.lock().iter().find(|page| page.url == url).map(|page| page.text.clone());
        found.filter(|_| from > 0)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part behind so many characters, and a line that says where the next begins.
fn part(text: &str, from: usize) -> Result<String, String> {
    let total = text.chars().count();
    if from > 0 && from >= total {
        return Err(format!("its text has {total} characters"));
    }
    let rest = text.char_indices().nth(from).map_or("", |(at, _)| &text[at..]);
    let Some((end, _)) = rest.char_indices().nth(PART_CHARS) else { return Ok(rest.to_owned()) };
    let near = rest[..end].char_indices().rev().take(SNAP_CHARS).find(|(_, c)| *c == '\n');
    let part = near.map_or(&rest[..end], |(at, _)| &rest[..=at]);
    let next = from + part.chars().count();
    let gap = if part.ends_with('\n') { "" } else { "\n" };
    Ok(format!("{part}{gap}[{next} of {total} characters; for more: the same url with #char={next}]"))
}

/// The address without its fragment, and how many characters of the page are passed over.
fn place(args: &Args) -> (&str, usize) {
    let url = args.get("url").and_then(Value::as_str).unwrap_or_default().trim();
    let (page, fragment) = url.split_once('#').unwrap_or((url, ""));
    let from = fragment.strip_prefix("char=").and_then(|from| from.trim_end_matches(',').parse().ok());
    (page, from.unwrap_or(0))
}

impl Tool for WebFetch {
    fn spec(&self) -> &ToolSpec {
        &SPEC
    }

    fn action(&self, args: &Args, _ctx: &ToolContext) -> Action {
        let (url, from) = place(args);
        Action::Fetch { url: url.to_owned(), is_kept: self.kept(url, from).is_some() }
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

    fn called(url: &str) -> Args {
        json!({"url": url}).as_object().unwrap().clone()
    }

    async fn page(kind: &str, body: &str) -> ToolOutput {
        let port = serve(vec![answer(&format!("200 OK\r\nContent-Type: {kind}"), body.as_bytes())]).await;
        tool().execute(&called(&format!("http://a.example:{port}/dir/"))).await
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
        let output = tool().execute(&called("file:///etc/hosts")).await;
        assert!(output.text.ends_with("only http:// and https:// addresses are fetched"), "{}", output.text);
        let output = tool().execute(&called(" #char=9")).await;
        assert!(output.is_error && output.text.contains("requires a `url`"), "{}", output.text);
    }

    #[tokio::test]
    async fn where_it_led_is_said() {
        let there = answer("302 Found\r\nLocation: http://b.example:PORT/b", b"");
        let port = serve(vec![there, answer("200 OK", b"words")]).await;
        let output = tool().execute(&called(&format!("http://a.example:{port}/#part"))).await;
        assert_eq!(output.text, format!("[it led to http://b.example:{port}/b]\n\nwords"));
    }

    #[tokio::test]
    async fn a_long_page_comes_in_parts_and_only_once() {
        let body: String = (0..5_000).map(|n| format!("line {n} é\n")).collect();
        let port =
            serve(vec![answer("200 OK\r\nContent-Type: text/plain; charset=utf-8", body.as_bytes())]).await;
        let (tool, url) = (tool(), format!("http://a.example:{port}/"));
        let context = test_context(Path::new("/w"));
        let is_kept = |fragment: &str| match tool.action(&called(&format!("{url}{fragment}")), &context) {
            Action::Fetch { is_kept, url: judged } => is_kept && judged == url,
            other => panic!("{other:?}"),
        };
        assert!(!is_kept("") && !is_kept("#char=9"));
        let (mut whole, mut next, mut parts) = (String::new(), String::new(), 0);
        loop {
            let output = tool.execute(&called(&format!("{url}{next}"))).await;
            assert!(!output.is_error, "{}", output.text);
            parts += 1;
            let Some((part, said)) = output.text.rsplit_once('[') else {
                whole.push_str(&output.text);
                break;
            };
            assert!(part.chars().count() <= PART_CHARS && part.ends_with('\n'));
            whole.push_str(part);
            next = said.split_once("url with ").unwrap().1.trim_end_matches(']').to_owned();
            assert!(!is_kept("") && !is_kept("#part") && is_kept(&next), "the first part is read anew");
        }
        assert_eq!((whole == body, parts), (true, body.chars().count().div_ceil(PART_CHARS - 20)));
        let behind = tool.execute(&called(&format!("{url}#char=9000000"))).await;
        assert!(behind.is_error && behind.text.contains("its text has 58890"), "{}", behind.text);
        for n in 0..MAX_KEPT {
            let port = serve(vec![answer("200 OK", b"x")]).await;
            tool.execute(&called(&format!("http://b.example:{port}/{n}"))).await;
        }
        assert!(!is_kept("#char=9") && tool.lock().len() == MAX_KEPT, "the oldest went");
    }

    #[tokio::test]
    async fn it_stops_at_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://a.example:{}/", listener.local_addr().unwrap().port());
        let (tool, args, context) = (tool(), called(&url), test_context(Path::new("/w")));
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
        let cut = part(&one_line, 0).unwrap();
        let note = "x\n[20000 of 20001 characters; for more: the same url with #char=20000]";
        assert!(cut.ends_with(note), "{}", &cut[19_990..]);
        assert_eq!(part(&one_line, 20_000).unwrap(), "x");
        assert_eq!(part("", 0).unwrap(), "");
        assert!(part("", 1).is_err() && part("x", 1).is_err());
    }
}
