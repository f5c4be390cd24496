//! An image from the web: judged, resolved, judged again, and fetched from the very address that was judged; every redirect
//! anew (D-12).

use std::{net::IpAddr, time::Duration};

use mesh_client::http::{Body, HttpClient, HttpError, Proxy, Request, header};
use mesh_safety::{Decision, WebTarget};

use super::image::{Image, ImageError, MAX_BYTES};
use crate::exit::with_causes;

/// How long a fetch may take, redirects and all. Seed 15.2.
const LIMIT: Duration = Duration::from_secs(30);

/// Looks a host up and says which addresses may be connected to.
pub trait Judge: Sync {
    /// The address to connect to, or why none.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    fn judge(&self, target: &WebTarget) -> impl Future<Output = Result<IpAddr, ImageError>> + Send;
}

/// Public addresses only.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublicOnly;

impl Judge for PublicOnly {
    async fn judge(&self, target: &WebTarget) -> Result<IpAddr, ImageError> {
        let host = target.host();
        let addresses: Vec<IpAddr> = match host.parse() {
            Ok(literal) => vec![literal],
            Err(_) => tokio::net::lookup_host((host.as_str(), target.port()))
                .await
                .map_err(|error| ImageError::Refused(format!("`{host}` does not resolve: {error}")))?
                .map(|address| address.ip())
                .collect(),
        };
        match (target.judge(&addresses), addresses.first()) {
            (Decision::Allow, Some(first)) => Ok(*first),
            (Decision::Ask(reasons) | Decision::Block(reasons), _) => {
                let texts: Vec<&str> = reasons.iter().map(|reason| reason.text.as_str()).collect();
                Err(ImageError::Refused(texts.join("; ")))
            }
            (Decision::Allow, None) => Err(ImageError::Refused(format!("`{host}` does not resolve"))),
        }
    }
}

/// Fetches an image.
///
/// # Errors
/// See [`ImageError`].
///
/// # Cancel safety
/// Dropping the future drops the request.
pub async fn fetch(address: &str, judge: &impl Judge) -> Result<Image, ImageError> {
    tokio::time::timeout(LIMIT, follow(address, judge))
        .await
        .unwrap_or_else(|_| Err(ImageError::Fetch(format!("no image within {} s", LIMIT.as_secs()))))
}

async fn follow(address: &str, judge: &impl Judge) -> Result<Image, ImageError> {
    let refused = |error: mesh_safety::UrlError| ImageError::Refused(error.to_string());
    let mut target = WebTarget::parse(address).map_err(refused)?;
    loop {
        let pinned = judge.judge(&target).await?;
        // One client for each step: its pool must not lend a connection that was judged for another name.
        let client = HttpClient::builder().proxy(Proxy::Direct).pin(pinned).build();
        let request = Request::get(target.url().as_str())
            .header(header::ACCEPT, "image/png, image/jpeg, image/gif, image/webp")
            .body(Body::empty())
            .map_err(|error| ImageError::Fetch(error.to_string()))?;
        let answer = client.send(request).await.map_err(|error| ImageError::Fetch(with_causes(&error)))?;
        let status = answer.status();
        let of = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        if status.is_redirection() {
            let location = of(header::LOCATION)
                .ok_or_else(|| ImageError::Fetch(format!("{status} without a Location")))?;
            target = target.redirect(location).map_err(refused)?;
            continue;
        }
        if !status.is_success() {
            return Err(ImageError::Fetch(format!("{} answered {status}", target.host())));
        }
        if of(header::CONTENT_TYPE)
            .is_some_and(|kind| !kind.trim().to_ascii_lowercase().starts_with("image/"))
        {
            return Err(ImageError::NotImage);
        }
        if of(header::CONTENT_LENGTH).and_then(|n| n.parse::<u64>().ok()).is_some_and(|n| n > MAX_BYTES) {
            return Err(ImageError::TooLarge);
        }
        let limit = usize::try_from(MAX_BYTES).unwrap_or(usize::MAX);
        let bytes = answer.into_body().collect(limit).await.map_err(|error| match error {
            HttpError::TooLarge { .. } => ImageError::TooLarge,
            other => ImageError::Fetch(with_causes(&other)),
        })?;
        let name = target.url().path_segments().and_then(|mut parts| parts.next_back());
        return Image::of(name.filter(|name| !name.is_empty()).unwrap_or("image"), bytes.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Lets everything through to loopback, and writes down whom it was asked about.
    #[derive(Default)]
    struct Lenient(Mutex<Vec<String>>);

    impl Judge for Lenient {
        async fn judge(&self, target: &WebTarget) -> Result<IpAddr, ImageError> {
            self.0.lock().unwrap().push(target.host());
            Ok(IpAddr::from([127, 0, 0, 1]))
        }
    }

    /// Answers one request after the other with these bytes; `PORT` in them is its port.
    async fn serve(answers: Vec<Vec<u8>>) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
                let text = String::from_utf8_lossy(&answer).replace("PORT", &port.to_string());
                let bytes = if answer.windows(4).any(|w| w == b"PORT") { text.into_bytes() } else { answer };
                let _ = stream.write_all(&bytes).await;
            }
        });
        port
    }

    fn answer(head: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    async fn fetched(answers: Vec<Vec<u8>>) -> (Result<Image, &'static str>, Vec<String>) {
        let port = serve(answers).await;
        let judge = Lenient::default();
        let image = fetch(&format!("http://pictures.example:{port}/dir/a.png?x"), &judge).await;
        (image.map_err(|error| error.kind()), judge.0.into_inner().unwrap())
    }

    const GIF: &[u8] = b"GIF89a....";

    #[tokio::test]
    async fn the_judged_address_is_the_one_that_is_reached() {
        let (image, judged) = fetched(vec![answer("200 OK\r\nContent-Type: image/gif", GIF)]).await;
        let image = image.unwrap();
        assert_eq!((image.name.as_str(), image.mime, image.bytes.as_slice()), ("a.png", "image/gif", GIF));
        assert_eq!(judged, ["pictures.example"]);
    }

    #[tokio::test]
    async fn every_redirect_is_judged() {
        let there = answer("302 Found\r\nLocation: http://other.example:PORT/b.gif", b"");
        let (image, judged) = fetched(vec![there.clone(), answer("200 OK", GIF)]).await;
        assert_eq!((image.unwrap().name.as_str(), judged.len()), ("b.gif", 2));
        assert_eq!(judged[1], "other.example");
        let (image, _) = fetched(vec![there; 12]).await;
        assert_eq!(image.unwrap_err(), "refused");
        let inside = answer("302 Found\r\nLocation: file:///etc/hosts", b"");
        assert_eq!(fetched(vec![inside]).await.0.unwrap_err(), "refused");
    }

    #[tokio::test]
    async fn what_is_no_image_is_not_taken() {
        let page = answer("200 OK\r\nContent-Type: text/html", b"<html>");
        assert_eq!(fetched(vec![page]).await.0.unwrap_err(), "not_image");
        let lie = answer("200 OK\r\nContent-Type: image/png", b"<html>");
        assert_eq!(fetched(vec![lie]).await.0.unwrap_err(), "not_image");
        let large = answer("200 OK\r\nContent-Length: 20971521\r\nContent-Type: image/png", b"");
        assert_eq!(fetched(vec![large]).await.0.unwrap_err(), "too_large");
        assert_eq!(fetched(vec![answer("404 Not Found", b"")]).await.0.unwrap_err(), "fetch");
    }

    #[tokio::test]
    async fn private_addresses_are_refused() {
        for address in
            ["http://127.0.0.1:9/a.png", "http://localhost/a.png", "http://[::ffff:10.0.0.1]/a.png"]
        {
            let error = fetch(address, &PublicOnly).await.unwrap_err();
            assert_eq!(error.kind(), "refused", "{address}: {error}");
        }
    }
}
