//! One image: what its bytes say it is, how large it may be, and the part of a message that it becomes.

use std::{
    fmt,
    io::{self, Read},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::sys;

/// Most bytes of an image, this many included. Seed 14.8.
pub const MAX_BYTES: u64 = 20 << 20;

/// An image that is ready to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    /// The last part of its path or address.
    pub name: String,
    /// What its bytes say it is.
    pub mime: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({:?}, {}, {} bytes)", self.name, self.mime, self.bytes.len())
    }
}

/// Why an image is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// There is no such file.
    #[error("not found: {0}")]
    NotFound(String),
    /// A folder, a pipe, a device.
    #[error("not a regular file: {0}")]
    NotRegular(String),
    /// It cannot be read.
    #[error("cannot be read")]
    Unreadable(#[source] io::Error),
    /// Its bytes are no image of a kind that models take.
    #[error("not a PNG, JPEG, GIF or WebP image (text goes in with /file)")]
    NotImage,
    /// The server says that it is something else.
    #[error("not an image but {0}, says the server")]
    OtherType(String),
    /// More than [`MAX_BYTES`].
    #[error("larger than 20 MiB")]
    TooLarge,
    /// The address must not be fetched.
    #[error("the address is refused: {0}")]
    Refused(String),
    /// It could not be fetched.
    #[error("cannot be fetched: {0}")]
    Fetch(String),
}

impl ImageError {
    /// One word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            ImageError::NotFound(_) => "not_found",
            ImageError::NotRegular(_) => "not_regular",
            ImageError::Unreadable(_) => "unreadable",
            ImageError::NotImage | ImageError::OtherType(_) => "not_image",
            ImageError::TooLarge => "too_large",
            ImageError::Refused(_) => "refused",
            ImageError::Fetch(_) => "fetch",
        }
    }
}

impl Image {
    /// Loads a file. Its size is looked at before it is read; its type is what its bytes say, whatever its name.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn load(path: &Path) -> Result<Image, ImageError> {
        let shown = path.display().to_string();
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ImageError::NotFound(shown.clone()),
            _ => ImageError::Unreadable(error),
        };
        let check = |found: std::fs::Metadata| match found.len() {
            _ if !found.is_file() => Err(ImageError::NotRegular(shown.clone())),
            length if length > MAX_BYTES => Err(ImageError::TooLarge),
            _ => Ok(()),
        };
        // Before it is opened, since opening a device may do something; and after, since it may be another one by now.
        std::fs::metadata(path).map_err(unreadable).and_then(check)?;
        let file = sys::open_without_waiting(path).map_err(unreadable)?;
        file.metadata().map_err(unreadable).and_then(check)?;
        let mut bytes = Vec::new();
        // It may grow while it is read.
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(ImageError::Unreadable)?;
        let name = path.file_name().map_or_else(|| "image".into(), |name| name.to_string_lossy());
        Image::of(&name, bytes)
    }

    /// An image of these bytes.
    ///
    /// # Errors
    /// They are too many, or no image.
    pub fn of(name: &str, bytes: Vec<u8>) -> Result<Image, ImageError> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(ImageError::TooLarge);
        }
        let mime = sniff(&bytes).ok_or(ImageError::NotImage)?;
        Ok(Image { name: name.to_owned(), mime, bytes })
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The part of a message, `{"type":"image_url","image_url":{"url":"data:..","detail":..}}`. Seed 15.2.
    pub fn part(&self, detail: &str) -> Value {
        let url = format!("data:{};base64,{}", self.mime, STANDARD.encode(&self.bytes));
        json!({"type": "image_url", "image_url": {"url": url, "detail": detail}})
    }
}

/// The type that the first bytes say.
fn sniff(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_say_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let load = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            Image::load(&path).map(|image| image.mime).map_err(|error| error.kind())
        };
        assert_eq!(load("a.png", b"\x89PNG\r\n\x1a\nrest"), Ok("image/png"));
        assert_eq!(load("gif.png", b"GIF89a..."), Ok("image/gif"));
        assert_eq!(load("x.jpg", b"\xff\xd8\xff\xe0"), Ok("image/jpeg"));
        assert_eq!(load("w", b"RIFF\x1a\0\0\0WEBPVP8L"), Ok("image/webp"));
        assert_eq!(load("fake.png", b"hello"), Err("not_image"));
        assert_eq!(load("empty.png", b""), Err("not_image"));
        assert_eq!(load("short.png", b"\x89PNG"), Err("not_image"));
        let missing = Image::load(&folder.path().join("none.png")).unwrap_err();
        assert_eq!(missing.kind(), "not_found");
        assert_eq!(Image::load(folder.path()).unwrap_err().kind(), "not_regular");
        let big = std::fs::File::create(folder.path().join("big.png")).unwrap();
        big.set_len(MAX_BYTES + 1).unwrap();
        assert_eq!(Image::load(&folder.path().join("big.png")).unwrap_err().kind(), "too_large");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("p.png");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(Image::load(&pipe).unwrap_err().kind(), "not_regular");
        // As if it had come in the place of an image just now.
        assert!(!sys::open_without_waiting(&pipe).unwrap().metadata().unwrap().is_file());
        std::os::unix::fs::symlink(&pipe, folder.path().join("l.png")).unwrap();
        assert_eq!(Image::load(&folder.path().join("l.png")).unwrap_err().kind(), "not_regular");
    }
}
