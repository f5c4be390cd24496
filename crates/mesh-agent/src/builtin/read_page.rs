//! `read_file` where it is given an address: one page of the web as text, which is somebody else's and marked as such.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mesh_safety::Action;

use super::{
    files::path_arg,
    read_file::{PARAMETERS, READ_FILE, ReadFile, is_later_part, read_text},
    run_bash::shown,
};
use crate::{
    tool::{Args, Tool, ToolContext, ToolFuture, ToolOutput, ToolSpec},
    web::{PAGE, Page, Web},
};

/// Characters of a page in one result. Ours: about 5,000 tokens, between a command's output and a file; the rest is a call away.
const PART_CHARS: usize = 20_000;

/// A longer line of a page, in characters, is broken, so that parts can be counted in lines. Ours: a fifth of a part.
const LINE_CHARS: usize = 4_000;

/// Pages whose later parts are at hand. Ours: what a turn goes back and forth between.
const MAX_KEPT: usize = 4;

const SPEC: ToolSpec = ToolSpec {
    name: READ_FILE,
    description: "Read a text file, or a web page by URL. For a part: offset = first line (from 1), limit = lines.",
    parameters: PARAMETERS,
    required: &["path"],
};

/// Reads what a path or an address names: a text file, or one page of the public web, HTML as text with its links and other text as
/// it is. Later parts of a page are read from what came with the first, so nothing goes out for them.
///
/// One tool for both: a second one would cost its description with every request (measured: 43 tokens of o200k; this way it is 7).
#[derive(Clone, Debug)]
pub struct Reader {
    web: Web,
    kept: Arc<Mutex<VecDeque<Kept>>>,
}

/// A page that was read.
#[derive(Clone, Debug)]
struct Kept {
    url: String,
    text: Arc<str>,
}

impl Reader {
    /// The tool on top of the web.
    pub fn new(web: Web) -> Reader {
        Reader { web, kept: Arc::default() }
    }

    async fn page(&self, url: &str, args: &Args) -> ToolOutput {
        let text = match self.kept(url, args) {
            Some(text) => Ok(text),
            None => self.fetch(url).await,
        };
        match text {
            Ok(text) => read_text(&text, args, PART_CHARS),
            Err(problem) => {
                ToolOutput::error(format_args!("cannot read {}: {problem}", shown(args, "path", 500)))
            }
        }
    }

    async fn fetch(&self, url: &str) -> Result<Arc<str>, String> {
        let fetched = self.web.fetch(url, &PAGE).await.map_err(|error| error.to_string())?;
        let from = fetched.target.url().clone();
        // Five megabytes of tags take a while.
        let page = tokio::task::spawn_blocking(move || Page::of(&fetched));
        let page = page.await.map_err(|_| "it could not be made text".to_owned())?;
        let Page { text, mut notes } = page.map_err(|error| error.to_string())?;
        if from.host_str() != url::Url::parse(url).ok().as_ref().and_then(url::Url::host_str) {
            notes.insert(0, format!("it led to {from}"));
        }
        let mut text = broken(text, &mut notes);
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
    fn kept(&self, url: &str, args: &Args) -> Option<Arc<str>> {
        let found = self.lock().iter().find(|page| page.url == url).map(|page| page.text.clone());
        found.filter(|_| is_later_part(args))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text with its longest lines broken, which is noted.
fn broken(text: String, notes: &mut Vec<String>) -> String {
    let is_long = |line: &str| line.len() > LINE_CHARS && line.chars().count() > LINE_CHARS;
    if !text.split('\n').any(is_long) {
        return text;
    }
    notes.push(format!("lines are broken after {LINE_CHARS} characters"));
    let mut whole = String::with_capacity(text.len() + text.len() / LINE_CHARS);
    let mut length = 0;
    for c in text.chars() {
        length = if c == '\n' { 0 } else { length + 1 };
        if length > LINE_CHARS {
            whole.push('\n');
            length = 1;
        }
        whole.push(c);
    }
    whole
}

/// The address that a call names instead of a file, without its fragment.
fn address(args: &Args) -> Option<&str> {
    let path = path_arg(args)?.trim();
    let has = |scheme: &str| path.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let page = path.split_once('#').map_or(path, |(page, _)| page);
    (has("http://") || has("https://")).then_some(page)
}

impl Tool for Reader {
    fn spec(&self) -> &ToolSpec {
        &SPEC
    }

    fn action(&self, args: &Args, ctx: &ToolContext) -> Action {
        match address(args) {
            Some(url) => Action::Fetch { url: url.to_owned(), is_kept: self.kept(url, args).is_some() },
            None => ReadFile.action(args, ctx),
        }
    }

    fn summary(&self, args: &Args) -> String {
        ReadFile.summary(args)
    }

    fn run<'a>(&'a self, args: &'a Args, ctx: &'a ToolContext) -> ToolFuture<'a> {
        let Some(url) = address(args) else { return ReadFile.run(args, ctx) };
        Box::pin(async move {
            tokio::select! {
                output = self.page(url, args) => output,
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

    fn tool() -> Reader {
        Reader::new(lenient(&["a.example", "b.example"]).0)
    }

    fn called(url: &str) -> Args {
        json!({"path": url}).as_object().unwrap().clone()
    }

    fn from_line(url: &str, offset: u64) -> Args {
        json!({"path": url, "offset": offset}).as_object().unwrap().clone()
    }

    async fn run(tool: &Reader, args: &Args) -> ToolOutput {
        tool.run(args, &test_context(Path::new("/w"))).await
    }

    async fn page(kind: &str, body: &str) -> ToolOutput {
        let port = serve(vec![answer(&format!("200 OK\r\nContent-Type: {kind}"), body.as_bytes())]).await;
        run(&tool(), &called(&format!("http://a.example:{port}/dir/"))).await
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
    }

    #[test]
    fn only_the_addresses_of_the_web_are_pages() {
        for (path, want) in [
            ("https://a.example/b#c", Some("https://a.example/b")),
            (" HTTP://a.example ", Some("HTTP://a.example")),
            ("http:/a.example", None),
            ("file:///etc/hosts", None),
            ("src/http://x", None),
            ("é", None),
        ] {
            assert_eq!(address(&called(path)), want, "{path}");
        }
        let file = tool().action(&called("file:///etc/hosts"), &test_context(Path::new("/w")));
        assert!(matches!(file, Action::Read { .. }), "{file:?}");
    }

    #[tokio::test]
    async fn where_it_led_is_said() {
        let there = answer("302 Found\r\nLocation: http://b.example:PORT/b", b"");
        let port = serve(vec![there, answer("200 OK", b"words")]).await;
        let output = run(&tool(), &called(&format!("http://a.example:{port}/#part"))).await;
        assert_eq!(output.text, format!("[it led to http://b.example:{port}/b]\n\nwords"));
    }

    #[tokio::test]
    async fn a_long_page_comes_in_parts_and_only_once() {
        let body: String = (0..500).map(|n| format!("{n:98}é\n")).collect();
        let port =
            serve(vec![answer("200 OK\r\nContent-Type: text/plain; charset=utf-8", body.as_bytes())]).await;
        let (tool, url) = (tool(), format!("http://a.example:{port}/"));
        let context = test_context(Path::new("/w"));
        let is_kept = |args: &Args| match tool.action(args, &context) {
            Action::Fetch { is_kept, url: judged } => is_kept && judged == url,
            other => panic!("{other:?}"),
        };
        assert!(!is_kept(&called(&url)) && !is_kept(&from_line(&url, 9)));
        let mut whole = String::new();
        for first in [1, 201, 401] {
            let output = run(&tool, &from_line(&url, first)).await;
            let (part, note) = output.text.rsplit_once('[').unwrap();
            assert!(
                part.chars().count() <= PART_CHARS && note.starts_with(&format!("lines {first}-")),
                "{note}"
            );
            whole.push_str(part);
            assert!(!is_kept(&called(&url)) && is_kept(&from_line(&url, 2)), "the first part is read anew");
        }
        assert_eq!(whole, body);
        let behind = run(&tool, &from_line(&url, 9_000)).await;
        assert!(behind.is_error && behind.text.contains("it has 500 lines"), "{}", behind.text);
        for n in 0..MAX_KEPT {
            let port = serve(vec![answer("200 OK", b"x")]).await;
            run(&tool, &called(&format!("http://b.example:{port}/{n}"))).await;
        }
        assert!(!is_kept(&from_line(&url, 9)) && tool.lock().len() == MAX_KEPT, "the oldest went");
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
    fn long_lines_are_broken_so_that_all_of_them_can_be_read() {
        let mut notes = Vec::new();
        let short = "é".repeat(LINE_CHARS) + "\n" + &"x".repeat(LINE_CHARS);
        assert_eq!((broken(short.clone(), &mut notes), notes.len()), (short, 0));
        let text = broken("é".repeat(2 * LINE_CHARS + 1) + "\nend\n", &mut notes);
        let lengths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!((lengths, notes.len()), (vec![LINE_CHARS, LINE_CHARS, 1, 3], 1));
    }
}
