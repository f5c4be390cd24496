//! Pure: what came from the web as text, by its type and its character set.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::{Fetched, Wanted, WebError, html};

/// Most bytes of a page. Ours: what people write is far below it, and a page of it is text in a blink.
const MAX_BYTES: usize = 5 << 20;

/// Most bytes of a page's text. Ours: what is behind it nobody pages to.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// Bytes in which a document says its character set. From the HTML standard, "determining the character encoding": 1024.
const PRESCAN_BYTES: usize = 1024;

/// Characters that are looked at to tell what is no text.
const SNIFF_CHARS: usize = 8 * 1024;

/// A page that a model can read.
pub(crate) const PAGE: Wanted = Wanted {
    accept: "text/html, text/plain, text/markdown, application/json, application/xml;q=0.9, */*;q=0.5",
    takes,
    max_bytes: MAX_BYTES,
    is_answered: true,
};

/// A page as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// The text.
    pub(crate) text: String,
    /// What a reader of it has to know, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// Types that are text, whatever they are called. What says nothing is looked at when it is there.
fn takes(kind: &str) -> bool {
    let (group, name) = kind.split_once('/').unwrap_or((kind, ""));
    group == "text" || kind.is_empty() || name.ends_with("+json") || name.ends_with("+xml") || is_named(name)
}

fn is_named(name: &str) -> bool {
    matches!(
        name.strip_prefix("x-").unwrap_or(name),
        "json"
            | "xml"
            | "ndjson"
            | "jsonlines"
            | "javascript"
            | "ecmascript"
            | "typescript"
            | "yaml"
            | "toml"
            | "sql"
            | "sh"
            | "shellscript"
            | "octet-stream"
    )
}

impl Page {
    /// Reads what was fetched.
    ///
    /// # Errors
    /// It is no text, whatever its type says.
    pub(crate) fn of(fetched: &Fetched) -> Result<Page, WebError> {
        let (kind, label) = split(fetched.content_type.as_deref().unwrap_or_default());
        let mut notes = Vec::new();
        let text = decode(&fetched.bytes, label, &mut notes);
        if text.chars().take(SNIFF_CHARS).any(|c| c == '\0') {
            let kind = if kind.is_empty() { "no text".to_owned() } else { format!("no text, though {kind}") };
            return Err(WebError::OtherType { kind, size: Some(fetched.bytes.len() as u64) });
        }
        if !is_html(&kind, &text) {
            return Ok(Page { text, notes }.bounded());
        }
        let html::Text { text, is_cut, outside } = html::text(&text, fetched.target.url(), MAX_TEXT_BYTES);
        if outside > 0 {
            notes.push(format!("{outside} characters around the main part are left out"));
        }
        if is_cut {
            notes.push("the page goes on, its text is cut here".to_owned());
        }
        if text.is_empty() {
            notes.push("the page has no text without its scripts".to_owned());
        }
        Ok(Page { text, notes })
    }

    fn bounded(mut self) -> Page {
        if self.text.len() > MAX_TEXT_BYTES {
            self.text.truncate(self.text.floor_char_boundary(MAX_TEXT_BYTES));
            self.notes.push("the text goes on, it is cut here".to_owned());
        }
        self
    }
}

/// The type in lower case, and the character set that it names.
fn split(content_type: &str) -> (String, Option<&str>) {
    let mut parts = content_type.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let label = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']))
    });
    (kind, label)
}

/// The text in its character set: that of its mark, of the server, of the document itself; else UTF-8 if it is that, else what
/// browsers take it for.
fn decode(bytes: &[u8], label: Option<&str>, notes: &mut Vec<String>) -> String {
    let named = label.and_then(|label| Encoding::for_label(label.as_bytes()));
    if let (Some(label), None) = (label, named) {
        let label: String = label.chars().take(40).collect();
        notes.push(format!("its character set `{label}` is not known"));
    }
    let encoding = named
        .or_else(|| declared(bytes))
        .unwrap_or_else(|| if std::str::from_utf8(bytes).is_ok() { UTF_8 } else { WINDOWS_1252 });
    // A byte order mark goes before all that is said.
    let (text, encoding, is_broken) = encoding.decode(bytes);
    if is_broken {
        notes.push(format!("some of it is no {}, and is shown as \u{fffd}", encoding.name()));
    }
    text.into_owned()
}

/// The character set that a document names itself, in a `meta` or in the head of XML.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(PRESCAN_BYTES)]).to_ascii_lowercase();
    if !head.trim_start().starts_with('<') {
        return None;
    }
    let after = |name: &str| head.split_once(name).map(|(_, rest)| rest.trim_start());
    let rest = after("charset=").or_else(|| after("encoding="))?.trim_start_matches(['"', '\'']);
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_:.".contains(c))).unwrap_or(rest.len());
    let encoding = Encoding::for_label(&rest.as_bytes()[..end])?;
    // It was read as ASCII: it cannot be what it says.
    Some(if encoding == UTF_16LE || encoding == UTF_16BE { UTF_8 } else { encoding })
}

fn is_html(kind: &str, text: &str) -> bool {
    match kind {
        "text/html" | "application/xhtml+xml" => true,
        "" | "application/octet-stream" => {
            let head: String = text.trim_start().chars().take(15).collect::<String>().to_ascii_lowercase();
            head.starts_with("<!doctype html") || head.starts_with("<html")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mesh_safety::WebTarget;

    use super::*;

    fn page(content_type: &str, bytes: &[u8]) -> Result<Page, WebError> {
        let content_type = Some(content_type.to_owned()).filter(|kind| !kind.is_empty());
        let target = WebTarget::parse("https://a.example/dir/page").unwrap();
        Page::of(&Fetched { target, content_type, bytes: Bytes::copy_from_slice(bytes) })
    }

    #[track_caller]
    fn check(content_type: &str, bytes: &[u8], text: &str, note: &str) {
        let page = page(content_type, bytes).unwrap();
        assert_eq!(page.text, text, "{content_type}");
        match note {
            "" => assert_eq!(page.notes, [""; 0], "{content_type}"),
            note => assert!(page.notes.iter().any(|said| said.contains(note)), "{:?}", page.notes),
        }
    }

    #[test]
    fn text_comes_as_it_is() {
        check("text/plain", b"a <b>\n\tc  d\r\n", "a <b>\n\tc  d\r\n", "");
        check("application/json; charset=utf-8", b"{\"a\": [1,  2]}", "{\"a\": [1,  2]}", "");
        check("application/atom+xml", b"<feed/>", "<feed/>", "");
        check("application/octet-stream", b"[package]\nname = \"x\"", "[package]\nname = \"x\"", "");
        check("", b"words", "words", "");
        check("", b" <!DOCTYPE html><p>words</p>", "words", "");
        check("text/html", b"<script>x()</script>", "", "no text without its scripts");
    }

    #[test]
    fn character_sets_are_those_of_mark_server_and_document() {
        let utf16: Vec<u8> = "\u{feff}gr\u{fc}n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (content_type, bytes, note) in [
            ("text/plain; charset=iso-8859-1", b"gr\xfcn".as_slice(), ""),
            ("text/plain; Charset=\"ISO-8859-1\"", b"gr\xfcn", ""),
            ("text/plain; charset=iso-8859-1", b"\xef\xbb\xbfgr\xc3\xbcn", ""),
            ("text/plain", b"gr\xfcn", ""),
            ("text/plain", b"gr\xc3\xbcn", ""),
            ("text/plain; charset=utf-16", &utf16, ""),
            ("text/plain; charset=klingon", b"gr\xc3\xbcn", "`klingon` is not known"),
            ("text/html", b"<meta charset='iso-8859-1'>gr\xfcn", ""),
            ("text/html", b"<meta http-equiv=x content='text/html; charset=latin1'>gr\xfcn", ""),
            ("text/html; charset=utf-8", b"<meta charset=latin1>gr\xc3\xbcn", ""),
            ("text/html", b"<meta charset=utf-16>gr\xc3\xbcn", ""),
        ] {
            check(content_type, bytes, "gr\u{fc}n", note);
        }
        check("text/plain; charset=utf-8", b"gr\xfcn", "gr\u{fffd}n", "no UTF-8");
        check("text/xml", b"<?xml encoding='latin1'?>\xfc", "<?xml encoding='latin1'?>\u{fc}", "");
        check("text/plain", b"charset=latin1 \xc3\xbc", "charset=latin1 \u{fc}", "");
    }

    #[test]
    fn what_is_no_text_is_not_shown() {
        let error = page("text/plain", b"\x7fELF\0\0\x01").unwrap_err();
        assert_eq!(error.to_string(), "it is no text, though text/plain of 7 bytes");
        assert_eq!(page("", b"a\0").unwrap_err().to_string(), "it is no text of 2 bytes");
        for kind in ["text/css", "application/x-yaml", "image/svg+xml", "application/ld+json", ""] {
            assert!(takes(kind), "{kind}");
        }
        for kind in ["image/png", "application/pdf", "application/zip", "video/mp4", "json"] {
            assert!(!takes(kind), "{kind}");
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let long = "é".repeat(MAX_TEXT_BYTES);
        let cut = page("text/plain", long.as_bytes()).unwrap();
        assert_eq!(cut.text.len(), MAX_TEXT_BYTES);
        assert_eq!(cut.notes, ["the text goes on, it is cut here"]);
    }
}
