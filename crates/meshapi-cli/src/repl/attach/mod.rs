//! Images of a session: those that a prompt names, those that wait for the next prompt, and what may still be sent.
//!
//! - [`scan`]: where a prompt names images
//! - [`image`]: one image from a file; its type is what its bytes say
//! - [`fetch`]: one image from the web, from an address that was judged
pub mod fetch;
pub mod image;
pub mod scan;

use std::path::{Path, PathBuf};

use mesh_client::wire::Content;
use serde_json::{Value, json};

use crate::ui::line::{Line, Style};

use fetch::PublicOnly;
use image::{Image, ImageError};

/// Most bytes of all images of a session. Seed 14.8.
const SESSION_BYTES: u64 = 100 << 20;

/// The images of a session.
#[derive(Clone, Debug)]
pub struct Attachments {
    cwd: PathBuf,
    home: Option<PathBuf>,
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
        Attachments { cwd, home, queue: Vec::new(), sent: 0, limit: SESSION_BYTES }
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
        self.sent + self.queue.iter().map(|image| image.bytes.len() as u64).sum::<u64>()
    }

    /// Loads one image from a path or an address.
    ///
    /// # Errors
    /// See [`ImageError`].
    ///
    /// # Cancel safety
    /// Nothing is queued.
    pub async fn load(&self, source: &str) -> Result<Image, ImageError> {
        if scan::is_url(source) {
            fetch::fetch(source, &PublicOnly).await
        } else {
            Image::load(&scan::local_path(source, &self.cwd, self.home.as_deref()))
        }
    }

    /// Loads an image now and queues it for the next prompt; says how that went.
    ///
    /// # Cancel safety
    /// Nothing is queued.
    pub async fn queue(&mut self, source: &str) -> Vec<Line> {
        let line = match self.load(source).await {
            Ok(image) if self.has_room_for(&image) => {
                let line = attached(&image);
                self.queue.push(image);
                line
            }
            Ok(image) => {
                let text =
                    format!("Can't attach: {} would exceed session image budget (100 MB).", image.name);
                Line::of(Style::Bad, &text)
            }
            Err(error) => Line::of(Style::Bad, &format!("Can't attach: {error}")),
        };
        vec![line]
    }

    /// Drops what waits; its bytes may be sent again.
    pub fn clear(&mut self) -> Vec<Line> {
        let text = match std::mem::take(&mut self.queue).len() {
            0 => "Nothing queued.".to_owned(),
            count => format!("Dropped {count} queued attachment(s)."),
        };
        vec![Line::of(Style::Dim, &text)]
    }

    /// Makes a prompt ready: images that it names become `[Image #N]`, by their place in the text (D-25), behind those that wait.
    ///
    /// # Cancel safety
    /// What waits still waits.
    pub async fn prepare(&mut self, prompt: &str) -> Prepared {
        let mut lines = Vec::new();
        let mut text = String::with_capacity(prompt.len());
        let mut new: Vec<(String, Image)> = Vec::new();
        let mut copied = 0;
        for found in scan::find(prompt, &self.cwd, self.home.as_deref()) {
            let place = match new.iter().position(|(source, _)| *source == found.source) {
                Some(place) => place,
                None => match self.take(&found.source, &new).await {
                    Ok(image) => {
                        lines.push(attached(&image));
                        new.push((found.source, image));
                        new.len() - 1
                    }
                    Err(line) => {
                        lines.push(line);
                        continue;
                    }
                },
            };
            text.push_str(&prompt[copied..found.span.start]);
            text.push_str(&format!("[Image #{}]", self.queue.len() + place + 1));
            copied = found.span.end;
        }
        text.push_str(&prompt[copied..]);
        let images: Vec<Image> = std::mem::take(&mut self.queue)
            .into_iter()
            .chain(new.into_iter().map(|(_, image)| image))
            .collect();
        if images.is_empty() {
            return Prepared { content: Content::Text(text), lines };
        }
        self.sent += images.iter().map(|image| image.bytes.len() as u64).sum::<u64>();
        lines.push(Line::of(Style::Dim, &format!("→ sending {} image(s) with this prompt", images.len())));
        let mut parts: Vec<Value> = vec![json!({"type": "text", "text": text})];
        parts.extend(images.iter().map(|image| image.part("auto")));
        Prepared { content: Content::Parts(parts), lines }
    }

    async fn take(&self, source: &str, new: &[(String, Image)]) -> Result<Image, Line> {
        let image = self
            .load(source)
            .await
            .map_err(|error| Line::of(Style::Warn, &format!("Couldn't auto-attach {source}: {error}")))?;
        let taken: u64 = new.iter().map(|(_, image)| image.bytes.len() as u64).sum();
        if self.session_bytes() + taken + image.bytes.len() as u64 > self.limit {
            let text = format!("Skipping {}: would exceed session image budget (100 MB).", image.name);
            return Err(Line::of(Style::Bad, &text));
        }
        Ok(image)
    }

    fn has_room_for(&self, image: &Image) -> bool {
        self.session_bytes() + image.bytes.len() as u64 <= self.limit
    }
}

fn attached(image: &Image) -> Line {
    let kilobytes = (image.bytes.len() / 1024).max(1);
    Line::of(Style::Good, &format!("📎 attached {} ({kilobytes} KB, {})", image.name, image.mime))
}
