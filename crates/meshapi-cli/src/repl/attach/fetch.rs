//! An image from the web, as tools read the web too: from the addresses that were judged.

use mesh_agent::web::{Wanted, Web, WebError};
use mesh_safety::WebTarget;

use super::image::{Image, ImageError, MAX_BYTES};

/// What we take. A server that negotiates gives nothing newer then.
const WANTED: Wanted = Wanted {
    accept: "image/png, image/jpeg, image/gif, image/webp",
    takes: |kind| kind.starts_with("image/"),
    max_bytes: MAX_BYTES as usize,
    is_answered: false,
};

/// Fetches an image.
///
/// # Errors
/// See [`ImageError`].
///
/// # Cancel safety
/// Dropping the future drops the request.
pub async fn fetch(web: &Web, address: &str) -> Result<Image, ImageError> {
    let fetched = web.fetch(address, &WANTED).await?;
    Image::of(name(&fetched.target), fetched.bytes.to_vec())
}

impl From<WebError> for ImageError {
    fn from(error: WebError) -> ImageError {
        match error {
            WebError::Refused(why) => ImageError::Refused(why),
            WebError::OtherType { kind, .. } => ImageError::OtherType(kind),
            WebError::TooLarge { .. } => ImageError::TooLarge,
            error => ImageError::Fetch(error.to_string()),
        }
    }
}

/// The last part of the path. Seed 15.2.
fn name(target: &WebTarget) -> &str {
    let last = target.url().path_segments().and_then(|mut parts| parts.next_back());
    last.filter(|name| !name.is_empty()).unwrap_or("image")
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use mesh_agent::SharedRules;
    use mesh_safety::rules::{Effect, Rule};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const GIF: &[u8] = b"GIF89a....";

    /// All names lead here, and the user lets `x.example` be reached wherever it is.
    pub(in crate::repl::attach) fn lenient() -> Web {
        let allowed = Rule::parse(Effect::Allow, "host x.example").unwrap();
        let web = Web::resolving(|_, _| Box::pin(async { Ok(vec![LOOPBACK]) }));
        web.with_rules(SharedRules::new([allowed].into_iter().collect()))
    }

    /// Answers one request after the other with these bytes, and then refuses.
    pub(in crate::repl::attach) async fn serve(answers: Vec<Vec<u8>>) -> u16 {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(&answer).await;
            }
        });
        port
    }

    pub(in crate::repl::attach) fn answer(head: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    async fn fetched(head: &str, body: &[u8], path: &str) -> Result<Image, &'static str> {
        let port = serve(vec![answer(head, body)]).await;
        let image = fetch(&lenient(), &format!("http://x.example:{port}/{path}")).await;
        image.map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn an_image_has_the_last_part_of_its_address_as_its_name() {
        for (path, name) in [("dir/a.png?x", "a.png"), ("dir/", "image"), ("", "image")] {
            let image = fetched("200 OK\r\nContent-Type: image/gif; x=y", GIF, path).await.unwrap();
            assert_eq!((image.name.as_str(), image.mime, image.bytes.as_slice()), (name, "image/gif", GIF));
        }
    }

    #[tokio::test]
    async fn what_is_no_image_is_not_taken() {
        for (head, body, want) in [
            ("200 OK\r\nContent-Type: text/html", b"<html>".as_slice(), "not_image"),
            ("200 OK\r\nContent-Type: text/html", GIF, "not_image"),
            ("200 OK\r\nContent-Type: image/png", b"<html>", "not_image"),
            ("200 OK\r\nContent-Type: image/png", b"", "not_image"),
            ("200 OK\r\nContent-Type: image/png\r\nContent-Length: 99999999", b"", "too_large"),
            ("404 Not Found", GIF, "fetch"),
        ] {
            assert_eq!(fetched(head, body, "a.png").await.unwrap_err(), want, "{head}");
        }
        let error = fetch(&lenient(), "http://y.example/a.png").await.unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains("this machine")), ("refused", true), "{error}");
    }
}
