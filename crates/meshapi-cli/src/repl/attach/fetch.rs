//! An image from the web: judged, resolved once, judged again, and fetched from the very addresses that were judged; every
//! redirect anew (D-12), by the user's own rules on hosts too. No proxy is used: it would look the name up itself, after the judging.

use std::{fmt, io, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use mesh_agent::SharedRules;
use mesh_client::http::{Body, HttpClient, HttpError, Proxy, Request, StatusCode, Uri, has_proxy, header};
use mesh_safety::{
    Decision, UrlError, WebTarget,
    rules::{Effect, Rules},
};

use super::image::{Image, ImageError, MAX_BYTES};
use crate::exit::with_causes;

/// How long a fetch may take, redirects and all. Seed 15.2.
const LIMIT: Duration = Duration::from_secs(30);

/// What we take. A server that negotiates gives nothing newer then.
const ACCEPT: &str = "image/png, image/jpeg, image/gif, image/webp";

type Answers = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;
/// Says which addresses a host has; asked once for each step.
type Lookup = dyn Fn(String, u16) -> Answers + Send + Sync;

/// The web as far as images may come from it.
#[derive(Clone)]
pub struct Web {
    lookup: Arc<Lookup>,
    judge: fn(&WebTarget, &Rules, &[IpAddr]) -> Decision,
    rules: SharedRules,
    limit: Duration,
    max_bytes: u64,
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web")
            .field("limit", &self.limit)
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

impl Default for Web {
    /// Public addresses only, as the system resolves them.
    fn default() -> Web {
        let lookup = |host: String, port| -> Answers {
            Box::pin(async move {
                let found = tokio::net::lookup_host((host.as_str(), port)).await?;
                Ok(found.map(|address| address.ip()).collect())
            })
        };
        Web {
            lookup: Arc::new(lookup),
            judge: WebTarget::judge_by,
            rules: SharedRules::default(),
            limit: LIMIT,
            max_bytes: MAX_BYTES,
        }
    }
}

/// What one step of a fetch gave.
enum Step {
    Arrived(Image),
    Redirected(WebTarget),
}

impl Web {
    /// The same with the user's rules on hosts. They may change meanwhile.
    #[must_use]
    pub fn with_rules(self, rules: SharedRules) -> Web {
        Web { rules, ..self }
    }

    /// Fetches an image.
    ///
    /// # Errors
    /// See [`ImageError`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the request.
    pub async fn fetch(&self, address: &str) -> Result<Image, ImageError> {
        let late = |_| Err(ImageError::Fetch(format!("no image within {} s", self.limit.as_secs())));
        tokio::time::timeout(self.limit, self.follow(address)).await.unwrap_or_else(late)
    }

    async fn follow(&self, address: &str) -> Result<Image, ImageError> {
        let mut target = WebTarget::parse(address).map_err(refused)?;
        loop {
            match self.step(&target).await? {
                Step::Arrived(image) => return Ok(image),
                Step::Redirected(next) => target = next,
            }
        }
    }

    async fn step(&self, target: &WebTarget) -> Result<Step, ImageError> {
        let addresses = self.addresses(target).await?;
        // One client for each step: a pool must not lend a connection that was judged for another name.
        let client = HttpClient::builder().proxy(Proxy::Direct).pin(addresses).build();
        let request = Request::get(target.url().as_str()).header(header::ACCEPT, ACCEPT).body(Body::empty());
        let request = request.map_err(|error| ImageError::Fetch(error.to_string()))?;
        let uri = request.uri().clone();
        let answer = client.send(request).await.map_err(|error| failed(&uri, &error))?;
        let of =
            |name| answer.headers().get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        let status = answer.status();
        if is_redirect(status) {
            let location = of(header::LOCATION).ok_or_else(|| {
                ImageError::Fetch(format!("{} answered {status} and no Location", target.host()))
            })?;
            return target.redirect(location).map(Step::Redirected).map_err(refused);
        }
        if !status.is_success() {
            return Err(ImageError::Fetch(format!("{} answered {status}", target.host())));
        }
        if let Some(kind) = of(header::CONTENT_TYPE).map(essence).filter(|kind| !kind.starts_with("image/")) {
            return Err(ImageError::OtherType(kind));
        }
        if of(header::CONTENT_LENGTH).and_then(|n| n.parse::<u64>().ok()).is_some_and(|n| n > self.max_bytes)
        {
            return Err(ImageError::TooLarge);
        }
        let limit = usize::try_from(self.max_bytes).unwrap_or(usize::MAX);
        let bytes = answer.into_body().collect(limit).await.map_err(|error| match error {
            HttpError::TooLarge { .. } => ImageError::TooLarge,
            other => failed(&uri, &other),
        })?;
        Image::of(name(target), bytes.to_vec()).map(Step::Arrived)
    }

    /// The addresses that may be connected to; all that the host has, or none.
    async fn addresses(&self, target: &WebTarget) -> Result<Vec<IpAddr>, ImageError> {
        let host = target.host();
        // A name that is ruled out is not even told to a name service.
        if let Some(rule) = self.rules.get().host(&host).filter(|rule| rule.effect() != Effect::Allow) {
            return Err(not_allowed(&Decision::by_rule(rule)));
        }
        let addresses = match host.parse() {
            Ok(literal) => vec![literal],
            Err(_) => (self.lookup)(host.clone(), target.port())
                .await
                .map_err(|error| ImageError::Refused(format!("`{host}` does not resolve: {error}")))?,
        };
        match (self.judge)(target, &self.rules.get(), &addresses) {
            Decision::Allow => Ok(addresses),
            decision @ (Decision::Ask(_) | Decision::Block(_)) => Err(not_allowed(&decision)),
        }
    }
}

fn not_allowed(decision: &Decision) -> ImageError {
    let texts: Vec<&str> = decision.reasons().iter().map(|reason| reason.text.as_str()).collect();
    ImageError::Refused(texts.join("; "))
}

fn refused(error: UrlError) -> ImageError {
    ImageError::Refused(error.to_string())
}

fn failed(uri: &Uri, error: &HttpError) -> ImageError {
    let said = with_causes(error);
    let is_behind_proxy = matches!(error, HttpError::Connect { .. }) && has_proxy(uri);
    ImageError::Fetch(if is_behind_proxy {
        format!("{said} (images come directly, never through the proxy)")
    } else {
        said
    })
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// A content type without its parameters.
fn essence(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The last part of the path. Seed 15.2.
fn name(target: &WebTarget) -> &str {
    let last = target.url().path_segments().and_then(|mut parts| parts.next_back());
    last.filter(|name| !name.is_empty()).unwrap_or("image")
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use mesh_safety::rules::Rule;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const GIF: &[u8] = b"GIF89a....";

    type Asked = Arc<Mutex<Vec<String>>>;

    /// A web whose names all lead here and that lets everything through; tells which names it was asked for.
    pub(in crate::repl::attach) fn lenient() -> (Web, Asked) {
        let (web, asked) = resolving(vec![vec![LOOPBACK]]);
        (Web { judge: |_, _, _| Decision::Allow, ..web }, asked)
    }

    /// The judge of the product, over a resolver that gives these answers in turn, the last one again and again.
    fn resolving(answers: Vec<Vec<IpAddr>>) -> (Web, Asked) {
        let asked = Asked::default();
        let told = Arc::clone(&asked);
        let lookup = move |host: String, _| -> Answers {
            let mut told = told.lock().unwrap();
            let answer = answers[told.len().min(answers.len() - 1)].clone();
            told.push(host);
            Box::pin(async move { Ok(answer) })
        };
        (Web { lookup: Arc::new(lookup), ..Web::default() }, asked)
    }

    /// Answers one request after the other with these bytes, and then refuses; `PORT` in them is its port.
    pub(in crate::repl::attach) async fn serve(answers: Vec<Vec<u8>>) -> u16 {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
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

    pub(in crate::repl::attach) fn answer(head: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    async fn fetched(answers: Vec<Vec<u8>>) -> (Result<Image, &'static str>, Vec<String>) {
        let port = serve(answers).await;
        let (web, asked) = lenient();
        let web = Web { max_bytes: 1000, ..web };
        let image = web.fetch(&format!("http://pictures.example:{port}/dir/a.png?x")).await;
        (image.map_err(|error| error.kind()), asked.lock().unwrap().clone())
    }

    #[tokio::test]
    async fn the_judged_address_is_the_one_that_is_reached() {
        let (image, asked) = fetched(vec![answer("200 OK\r\nContent-Type: image/gif; x=y", GIF)]).await;
        let image = image.unwrap();
        assert_eq!((image.name.as_str(), image.mime, image.bytes.as_slice()), ("a.png", "image/gif", GIF));
        assert_eq!(asked, ["pictures.example"]);
    }

    #[tokio::test]
    async fn every_redirect_is_judged() {
        for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
            let there = answer(&format!("{status}\r\nLocation: http://other.example:PORT/b.gif"), b"");
            let (image, asked) = fetched(vec![there, answer("200 OK", GIF)]).await;
            assert_eq!(image.unwrap().name, "b.gif");
            assert_eq!(asked, ["pictures.example", "other.example"]);
        }
        let again = answer("302 Found\r\nLocation: /again.gif", b"");
        let (image, asked) = fetched(vec![again; 12]).await;
        assert_eq!((image.unwrap_err(), asked.len()), ("refused", 6));
        for (head, want) in [
            ("302 Found\r\nLocation: file:///etc/hosts", "refused"),
            ("302 Found\r\nLocation: http://localhost:PORT/", "refused"),
            ("302 Found\r\nLocation: http://user:pw@other.example/", "refused"),
            ("302 Found", "fetch"),
            ("304 Not Modified\r\nLocation: /b.gif", "fetch"),
        ] {
            assert_eq!(fetched(vec![answer(head, b"")]).await.0.unwrap_err(), want, "{head}");
        }
    }

    #[tokio::test]
    async fn what_is_no_image_is_not_taken() {
        let sized = |length: usize| format!("200 OK\r\nContent-Type: image/gif\r\nContent-Length: {length}");
        let whole = |length: usize| [GIF, &vec![b'.'; length - GIF.len()]].concat();
        let chunked = [b"3e8\r\n".as_slice(), &whole(1000), b"\r\n1\r\n.\r\n0\r\n\r\n"].concat();
        for (head, body, want) in [
            ("200 OK\r\nContent-Type: text/html", b"<html>".to_vec(), "not_image"),
            ("200 OK\r\nContent-Type: text/html", GIF.to_vec(), "not_image"),
            ("200 OK\r\nContent-Type: image/png", b"<html>".to_vec(), "not_image"),
            ("200 OK\r\nContent-Type: image/png", Vec::new(), "not_image"),
            (&sized(1001), whole(1001), "too_large"),
            // Refused by its head, without a byte of it; and by what comes, when the head says nothing.
            (&sized(1 << 40), Vec::new(), "too_large"),
            ("200 OK", whole(1001), "too_large"),
            ("200 OK\r\nTransfer-Encoding: chunked", chunked, "too_large"),
            (&sized(1000), whole(999), "fetch"),
            ("404 Not Found", GIF.to_vec(), "fetch"),
            ("\0", Vec::new(), "fetch"),
        ] {
            assert_eq!(fetched(vec![answer(head, &body)]).await.0.unwrap_err(), want, "{head}");
        }
        let (image, _) = fetched(vec![answer(&sized(1000), &whole(1000))]).await;
        assert_eq!(image.unwrap().bytes.len(), 1000);
        assert_eq!(fetched(vec![]).await.0.unwrap_err(), "fetch");
    }

    #[tokio::test]
    async fn an_answer_that_does_not_come_is_not_waited_for() {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let web = Web { limit: Duration::from_millis(20), ..lenient().0 };
        let error = web.fetch(&format!("http://pictures.example:{port}/a.png")).await.unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains("within")), ("fetch", true));
    }

    #[tokio::test]
    async fn private_addresses_are_refused() {
        let public = IpAddr::from([93, 184, 216, 34]);
        for (address, answers) in [
            ("http://127.0.0.1:9/a.png", vec![public]),
            ("http://2130706433/a.png", vec![public]),
            ("http://localhost/a.png", vec![public]),
            ("http://[::ffff:10.0.0.1]/a.png", vec![public]),
            ("http://user@pictures.example/a.png", vec![public]),
            ("http://pictures.example/a.png", vec![LOOPBACK]),
            ("http://pictures.example/a.png", vec![public, LOOPBACK]),
            ("http://pictures.example/a.png", vec![]),
        ] {
            let error = resolving(vec![answers]).0.fetch(address).await.unwrap_err();
            assert_eq!(error.kind(), "refused", "{address}: {error}");
        }
    }

    #[tokio::test]
    async fn hosts_that_the_user_rules_out_are_not_reached() {
        let rule = |effect, text| Rule::parse(effect, text).unwrap();
        let rules = [
            rule(Effect::Deny, "host *.evil.example"),
            rule(Effect::Ask, "host odd.example"),
            rule(Effect::Allow, "host pictures.example"),
        ];
        let shared = SharedRules::new(rules.into_iter().collect());
        let port = serve(vec![
            answer("200 OK", GIF),
            answer("302 Found\r\nLocation: http://a.evil.example/x.gif", b""),
        ])
        .await;
        let (web, asked) = resolving(vec![vec![LOOPBACK]]);
        let web = web.with_rules(shared.clone());
        // A host that is named is reached wherever it is; where it leads is judged anew.
        let picture = format!("http://pictures.example:{port}/a.gif");
        assert_eq!(web.fetch(&picture).await.unwrap().bytes, GIF);
        let led = web.fetch(&picture).await.unwrap_err();
        assert_eq!(
            (led.kind(), led.to_string().contains("deny `host *.evil.example`")),
            ("refused", true),
            "{led}"
        );
        for address in ["http://odd.example/a.gif", "https://b.evil.example/a.gif"] {
            let error = web.fetch(address).await.unwrap_err();
            assert!(error.kind() == "refused" && error.to_string().contains("your rule"), "{error}");
        }
        // What is ruled out is not even looked up.
        assert_eq!(*asked.lock().unwrap(), ["pictures.example", "pictures.example"]);
        shared.set(Rules::default());
        assert_eq!(web.fetch(&picture).await.unwrap_err().kind(), "refused", "the rules of now count");
    }

    /// A name that changes its answer after the judging is asked for only once, so the change is never seen.
    #[tokio::test]
    async fn a_name_is_looked_up_once_for_each_step() {
        let nowhere = IpAddr::from([127, 0, 0, 9]);
        let port = serve(vec![answer("302 Found\r\nLocation: /b.gif", b"")]).await;
        let (web, asked) = resolving(vec![vec![LOOPBACK], vec![nowhere]]);
        let allows = |_: &WebTarget, _: &Rules, found: &[IpAddr]| match found {
            [LOOPBACK] => Decision::Allow,
            other => Decision::ask_by_check(format!("now {other:?}")),
        };
        let error = Web { judge: allows, ..web }.fetch(&format!("http://a.example:{port}/a.png")).await;
        assert_eq!(error.unwrap_err().kind(), "refused");
        assert_eq!(asked.lock().unwrap().len(), 2);
    }
}
