//! One image: what its bytes say it is, how large it may be, and the part of a message that it becomes.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// Most bytes of an image, this many included. Seed 14.8.
pub const MAX_BYTES: u64 = 20 << 20;

/// An image that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The last part of its path or address.
    pub name: String,
    /// What its bytes say it is.
    pub mime: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
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
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// Its bytes are no image of a kind that models take.
    #[error("not a PNG, JPEG, GIF or WebP image (text goes in with /file)")]
    NotImage,
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
            ImageError::NotImage => "not_image",
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
        let found = std::fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ImageError::NotFound(shown.clone()),
            _ => ImageError::Unreadable(error),
        })?;
        if !found.is_file() {
            return Err(ImageError::NotRegular(shown));
        }
        if found.len() > MAX_BYTES {
            return Err(ImageError::TooLarge);
        }
        let file = File::open(path).map_err(ImageError::Unreadable)?;
        let mut bytes = Vec::new();
        // The file may have grown since.
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
        let missing = Image::load(&folder.path().join("none.png")).unwrap_err();
        assert_eq!(missing.kind(), "not_found");
        assert_eq!(Image::load(folder.path()).unwrap_err().kind(), "not_regular");
        let big = File::create(folder.path().join("big.png")).unwrap();
        big.set_len(MAX_BYTES + 1).unwrap();
        assert_eq!(Image::load(&folder.path().join("big.png")).unwrap_err().kind(), "too_large");
    }
}
