//! Images of a session: those that a prompt names, those that wait for the next prompt, and what may still be sent.
//!
//! - [`scan`]: where a prompt names images
//! - [`image`]: one image from a file; its type is what its bytes say
//! - [`fetch`]: one image from the web, from the addresses that were judged
pub mod fetch;
pub mod image;
pub mod scan;

use std::path::{Path, PathBuf};

use mesh_agent::{SharedRules, web::Web};
use mesh_client::wire::Content;
use serde_json::{Value, json};

use crate::{
    exit::with_causes,
    repl::paths,
    ui::line::{Line, Style},
};

use image::{Image, ImageError};

/// Most bytes of all images of a session. Seed 14.8.
const SESSION_BYTES: u64 = 100 << 20;

/// Most addresses of one prompt that are fetched by themselves: a pasted log must not set off hundreds of requests.
const MOST_FETCHES: usize = 20;

/// The images of a session.
#[derive(Clone, Debug)]
pub struct Attachments {
    cwd: PathBuf,
    home: Option<PathBuf>,
    web: Web,
    queue: Vec<Image>,
    /// Bytes that were sent with earlier prompts.
    sent: u64,
    limit: u64,
}

/// A prompt as it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// Text, or text and images.
    pub content: Content,
    /// What a person is told about it.
    pub lines: Vec<Line>,
}

impl Attachments {
    /// No images yet; paths start in `cwd`.
    pub fn new(cwd: &Path, home: Option<&Path>) -> Attachments {
        let (cwd, home) = (cwd.to_owned(), home.map(Path::to_owned));
        Attachments { cwd, home, web: Web::default(), queue: Vec::new(), sent: 0, limit: SESSION_BYTES }
    }

    /// The same under the user's rules on hosts.
    #[must_use]
    pub fn with_rules(self, rules: SharedRules) -> Attachments {
        let web = self.web.with_rules(rules);
        Attachments { web, ..self }
    }

    /// The same with another limit for the session, in bytes.
    #[must_use]
    pub fn with_limit(self, limit: u64) -> Attachments {
        Attachments { limit, ..self }
    }

    /// Images that wait for the next prompt.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Bytes that were sent, and those that wait.
    pub fn session_bytes(&self) -> u64 {
        self.sent + self.queue.iter().map(Image::size).sum::<u64>()
    }

    /// Whether making this prompt ready takes the web, and so may take long.
    pub fn goes_to_web(&self, prompt: &str) -> bool {
        self.find(prompt).iter().any(|found| scan::is_url(&found.source))
    }

    /// Loads one image from an address, or from a path as it stands.
    ///
    /// # Errors
    /// See [`ImageError`].
    ///
    /// # Cancel safety
    /// Nothing is queued.
    pub async fn load(&self, source: &str) -> Result<Image, ImageError> {
        if scan::is_url(source) {
            fetch::fetch(&self.web, source).await
        } else {
            Image::load(&paths::local(source, &self.cwd, self.home.as_deref()))
        }
    }

    /// Loads an image now and queues it for the next prompt; says how that went. A path may stand as a terminal drops it: in
    /// quotes, with backslashes, as `file://`.
    ///
    /// # Cancel safety
    /// Nothing is queued.
    pub async fn queue(&mut self, source: &str) -> Vec<Line> {
        let dropped = (!scan::is_url(source)).then(|| paths::meant(source, &self.cwd, self.home.as_deref()));
        let loaded = match dropped.flatten() {
            Some(path) => Image::load(&path),
            None => self.load(source).await,
        };
        let line = match loaded {
            Ok(image) if self.has_room_for(&image, &[]) => {
                let line = attached(&image);
                self.queue.push(image);
                line
            }
            Ok(image) => Line::prose(Style::Bad, &format!("Can't attach: {}", self.over_budget(&image))),
            Err(error) => Line::prose(Style::Bad, &format!("Can't attach: {}", with_causes(&error))),
        };
        vec![line]
    }

    /// Drops what waits; its bytes may be sent again.
    pub fn clear(&mut self) -> Vec<Line> {
        let text = match std::mem::take(&mut self.queue).len() {
            0 => "Nothing queued.".to_owned(),
            count => format!("Dropped {count} queued attachment(s)."),
        };
        vec![Line::prose(Style::Dim, &text)]
    }

    /// Makes a prompt ready: images that it names become `[Image #N]`, by their place in the text (D-25), behind those that wait.
    /// One that cannot be had is told once, and its name stays in the text.
    ///
    /// # Cancel safety
    /// What waits still waits, and nothing counts as sent.
    pub async fn prepare(&mut self, prompt: &str) -> Prepared {
        let mut lines = Vec::new();
        let mut text = String::with_capacity(prompt.len());
        let mut new: Vec<Image> = Vec::new();
        // What was tried, and its place among the new ones if it is there.
        let mut tried: Vec<(String, Option<usize>)> = Vec::new();
        let mut fetches = 0;
        let mut copied = 0;
        for found in self.find(prompt) {
            let known = tried.iter().find(|(source, _)| *source == found.source).map(|(_, place)| *place);
            let place = match known {
                Some(place) => place,
                None => {
                    fetches += usize::from(scan::is_url(&found.source));
                    let taken = if fetches > MOST_FETCHES && scan::is_url(&found.source) {
                        Err(not_fetched(&found.source))
                    } else {
                        self.take(&found.source, &new).await
                    };
                    let place = taken.as_ref().ok().map(|_| new.len());
                    match taken {
                        Ok(image) => {
                            lines.push(attached(&image));
                            new.push(image);
                        }
                        Err(line) => lines.push(line),
                    }
                    tried.push((found.source, place));
                    place
                }
            };
            if let Some(place) = place {
                text.push_str(&prompt[copied..found.span.start]);
                text.push_str(&format!("[Image #{}]", self.queue.len() + place + 1));
                copied = found.span.end;
            }
        }
        text.push_str(&prompt[copied..]);
        if self.queue.is_empty() && new.is_empty() {
            return Prepared { content: Content::Text(text), lines };
        }
        let mut parts: Vec<Value> = vec![json!({"type": "text", "text": text})];
        for image in std::mem::take(&mut self.queue).into_iter().chain(new) {
            self.sent += image.size();
            parts.push(image.part("auto"));
        }
        lines.push(Line::prose(
            Style::Dim,
            &format!("→ sending {} image(s) with this prompt", parts.len() - 1),
        ));
        Prepared { content: Content::Parts(parts), lines }
    }

    fn find(&self, prompt: &str) -> Vec<scan::Found> {
        scan::find(prompt, &self.cwd, self.home.as_deref())
    }

    async fn take(&self, source: &str, new: &[Image]) -> Result<Image, Line> {
        let image = self.load(source).await.map_err(|error| {
            Line::prose(Style::Warn, &format!("Couldn't auto-attach {source}: {}", with_causes(&error)))
        })?;
        if self.has_room_for(&image, new) {
            Ok(image)
        } else {
            Err(Line::prose(Style::Bad, &format!("Skipping {}", self.over_budget(&image))))
        }
    }

    fn has_room_for(&self, image: &Image, new: &[Image]) -> bool {
        self.session_bytes() + new.iter().map(Image::size).sum::<u64>() + image.size() <= self.limit
    }

    fn over_budget(&self, image: &Image) -> String {
        format!("{}: would exceed session image budget ({} MB).", image.name, self.limit >> 20)
    }
}

fn not_fetched(source: &str) -> Line {
    Line::prose(
        Style::Warn,
        &format!("Not fetched: {source}: {MOST_FETCHES} addresses of a prompt are; /image takes more"),
    )
}

fn attached(image: &Image) -> Line {
    let kilobytes = (image.bytes.len() / 1024).max(1);
    Line::prose(Style::Good, &format!("📎 attached {} ({kilobytes} KB, {})", image.name, image.mime))
}

#[cfg(test)]
mod tests {
    use super::{
        fetch::tests::{answer, lenient, serve},
        *,
    };

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
    const GIF: &[u8] = b"GIF89a";

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> (Place, Attachments) {
            let place = Place(tempfile::tempdir().unwrap());
            for (name, bytes) in
                [("a.png", PNG), ("aa.png", GIF), ("b/a.png", GIF), ("c d.png", PNG), ("no.png", b"text")]
            {
                let path = place.0.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
            let attachments = Attachments::new(place.0.path(), Some(place.0.path()));
            (place, Attachments { web: lenient(), ..attachments })
        }
    }

    fn words(lines: &[Line]) -> Vec<String> {
        lines.iter().map(|line| line.plain().into_owned()).collect()
    }

    /// The text, and the types of the images behind it.
    fn shown(prepared: &Prepared) -> (String, Vec<String>) {
        let Content::Parts(parts) = &prepared.content else {
            let Content::Text(text) = &prepared.content else { panic!("{prepared:?}") };
            return (text.clone(), Vec::new());
        };
        let address = |part: &Value| part["image_url"]["url"].as_str().unwrap()[11..].to_owned();
        let types = parts[1..].iter().map(|part| address(part).split_once(';').unwrap().0.to_owned());
        (parts[0]["text"].as_str().unwrap().to_owned(), types.collect())
    }

    #[tokio::test]
    async fn images_are_replaced_where_they_stand() {
        for (prompt, text, types) in [
            ("plain", "plain", &[][..]),
            ("aa.png a.png", "[Image #1] [Image #2]", &["gif", "png"]),
            ("a.png b/a.png, xa.png", "[Image #1] [Image #2], xa.png", &["png", "gif"]),
            ("a.png 'a.png' a.png.", "[Image #1] [Image #1] [Image #1].", &["png"]),
            ("no.png a.png no.png", "no.png [Image #1] no.png", &["png"]),
            ("é 'c d.png'\n日a.png a.png", "é [Image #1]\n日a.png [Image #2]", &["png", "png"]),
        ] {
            let (_place, mut attachments) = Place::new();
            let prepared = attachments.prepare(prompt).await;
            let types: Vec<String> = types.iter().map(|t| (*t).to_owned()).collect();
            assert_eq!(shown(&prepared), (text.to_owned(), types), "{prompt}");
            let failed = words(&prepared.lines).iter().filter(|line| line.starts_with("Couldn't")).count();
            assert_eq!(failed, usize::from(prompt.contains("no.png")), "told once");
        }
    }

    #[tokio::test]
    async fn what_waits_goes_first_and_only_once() {
        let (place, mut attachments) = Place::new();
        attachments.queue("aa.png").await;
        let dropped = format!("'{}/c d.png'", place.0.path().display());
        assert_eq!(words(&attachments.queue(&dropped).await), ["📎 attached c d.png (1 KB, image/png)"]);
        attachments.queue("no.png").await;
        assert_eq!((attachments.queued(), attachments.session_bytes()), (2, 14));
        let prepared = attachments.prepare("what is b/a.png").await;
        assert_eq!(shown(&prepared).0, "what is [Image #3]");
        assert_eq!(words(&prepared.lines).last().unwrap(), "→ sending 3 image(s) with this prompt");
        assert_eq!((attachments.queued(), attachments.session_bytes()), (0, 20));
        assert_eq!(shown(&attachments.prepare("and now?").await), ("and now?".to_owned(), vec![]));
        assert_eq!(words(&attachments.clear()), ["Nothing queued."]);
    }

    #[tokio::test]
    async fn the_budget_is_of_the_session() {
        let (_place, attachments) = Place::new();
        let mut attachments = attachments.with_limit(14);
        attachments.queue("a.png").await;
        assert!(words(&attachments.queue("a.png").await)[0].contains("budget"));
        assert_eq!(words(&attachments.clear()), ["Dropped 1 queued attachment(s)."]);
        let prepared = attachments.prepare("a.png aa.png b/a.png").await;
        assert_eq!(shown(&prepared).0, "[Image #1] [Image #2] b/a.png");
        assert_eq!((prepared.lines[2].spans()[0].style(), attachments.session_bytes()), (Style::Bad, 14));
        assert_eq!(shown(&attachments.prepare("aa.png").await).0, "aa.png");
    }

    #[tokio::test]
    async fn addresses_are_fetched_once_and_not_without_end() {
        let (_place, mut attachments) = Place::new();
        let port = serve(vec![answer("200 OK", GIF), answer("404 Not Found", b"")]).await;
        let both = format!("http://x.example:{port}/a.gif http://x.example:{port}/b.gif");
        let prompt = format!("{both} and again {both}");
        assert!(attachments.goes_to_web(&prompt) && !attachments.goes_to_web("a.png"));
        let prepared = attachments.prepare(&prompt).await;
        let rest = format!("[Image #1] http://x.example:{port}/b.gif");
        assert_eq!(shown(&prepared).0, format!("{rest} and again {rest}"));
        assert_eq!(prepared.lines.len(), 3);
        let many: String = (0..MOST_FETCHES + 2).map(|n| format!("http://x.example:1/{n}.png ")).collect();
        let lines = words(&attachments.prepare(&many).await.lines);
        assert_eq!(lines.iter().filter(|line| line.starts_with("Not fetched")).count(), 2);
        assert_eq!(lines.len(), MOST_FETCHES + 2);
    }

    #[tokio::test]
    async fn a_prompt_that_is_stopped_leaves_what_waits() {
        let (_place, mut attachments) = Place::new();
        attachments.queue("a.png").await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let prompt = format!("http://x.example:{}/a.png", listener.local_addr().unwrap().port());
        tokio::select! {
            _ = attachments.prepare(&prompt) => panic!("nobody answers"),
            _ = listener.accept() => {}
        }
        assert_eq!((attachments.queued(), attachments.session_bytes()), (1, 8));
    }
}
