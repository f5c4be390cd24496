//! The HTTP part alone: TLS, HTTP/2, proxies, the server loop. Everything on loopback.
#![expect(clippy::unwrap_used, reason = "what a test sets up either stands or the test is wrong")]
use std::convert::Infallible;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use mesh_client::http::{
    Body, BodyReader, ConnectFailure, HttpClient, HttpError, Peer, Proxy, Request, Response, ServerOptions,
    serve,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto::ring};

/// Nothing here takes that long; a test that hangs says so.
const HANG: Duration = Duration::from_secs(60);

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

/// A TLS server that answers with the HTTP version it was asked in; returns its port. Ends with the runtime.
async fn tls_server(protocols: &[&str], connections: Arc<Mutex<u32>>) -> u16 {
    let certificate = CertificateDer::from_pem_file(fixture("cert.pem")).unwrap();
    let key = PrivateKeyDer::Pkcs8(std::fs::read(fixture("key.der")).unwrap().into());
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            *connections.lock().unwrap() += 1;
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
                    Ok::<_, Infallible>(Response::new(Body::from(format!("{:?}", request.version()))))
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    port
}

/// A proxy that leads every tunnel to `port`; tells the head of each request made to it.
async fn tunnel_proxy(port: u16) -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let (told, heads) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                let head = read_head(&mut client).await;
                let is_tunnel = head.starts_with("CONNECT ");
                let _ = told.send(head);
                if !is_tunnel {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nopen";
                    client.write_all(answer).await.unwrap();
                    return;
                }
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (own, heads)
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn get(client: &HttpClient, address: &str) -> Result<String, HttpError> {
    let request = Request::get(address).body(Body::empty()).unwrap();
    let exchange = async { client.send(request).await?.into_body().collect(1000).await };
    let body = tokio::time::timeout(HANG, exchange).await.expect("no exchange hangs")?;
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn tls_speaks_what_both_sides_prefer() {
    let rows = [(&["h2", "http/1.1"][..], "HTTP/2.0"), (&["http/1.1"], "HTTP/1.1"), (&[], "HTTP/1.1")];
    for (protocols, wanted) in rows {
        let connections = Arc::new(Mutex::new(0));
        let port = tls_server(protocols, Arc::clone(&connections)).await;
        let client = HttpClient::builder().certificates(fixture("cert.pem")).build();
        for _ in 0..3 {
            assert_eq!(get(&client, &format!("https://localhost:{port}/")).await.unwrap(), wanted);
        }
        assert_eq!(*connections.lock().unwrap(), 1, "{protocols:?}");
    }
}

#[tokio::test]
async fn unknown_certificates_are_refused() {
    let port = tls_server(&["h2"], Arc::default()).await;
    let client = HttpClient::builder().build();
    let error = get(&client, &format!("https://localhost:{port}/")).await.unwrap_err();
    let HttpError::Connect { source: ConnectFailure::Tls(said), .. } = &error else { panic!("{error:?}") };
    assert!(said.contains("UnknownIssuer"), "{said}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn certificates_for_another_name_are_refused() {
    let port = tls_server(&["h2"], Arc::default()).await;
    let (proxy, _heads) = tunnel_proxy(port).await;
    let fixed = Proxy::Fixed { address: format!("http://127.0.0.1:{proxy}"), except: String::new() };
    let client = HttpClient::builder().proxy(fixed).certificates(fixture("cert.pem")).build();
    let error = get(&client, "https://other.test/").await.unwrap_err();
    assert!(matches!(&error, HttpError::Connect { source: ConnectFailure::Tls(_), .. }), "{error:?}");
}

#[tokio::test]
async fn a_pinned_name_leads_to_its_addresses_and_is_still_checked() {
    let port = tls_server(&["http/1.1"], Arc::default()).await;
    // A resolver knows none of these names; nothing listens on the first address.
    let pinned: [IpAddr; 2] = [[127, 0, 0, 9].into(), [127, 0, 0, 1].into()];
    let client = || {
        let pinned = HttpClient::builder().proxy(Proxy::Direct).pin(pinned);
        pinned.certificates(fixture("cert.pem")).build()
    };
    let body = get(&client(), &format!("https://gateway.test:{port}/")).await;
    assert_eq!(body.unwrap(), "HTTP/1.1");
    let error = get(&client(), &format!("https://other.test:{port}/")).await.unwrap_err();
    assert!(matches!(&error, HttpError::Connect { source: ConnectFailure::Tls(_), .. }), "{error:?}");
    let nowhere: [IpAddr; 0] = [];
    let client = HttpClient::builder().proxy(Proxy::Direct).pin(nowhere).build();
    let error = get(&client, &format!("http://gateway.test:{port}/")).await.unwrap_err();
    assert!(matches!(&error, HttpError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn https_goes_through_a_tunnel_of_the_proxy() {
    let port = tls_server(&["h2", "http/1.1"], Arc::default()).await;
    let (proxy, mut heads) = tunnel_proxy(port).await;
    let fixed = Proxy::Fixed { address: format!("http://user:pw@127.0.0.1:{proxy}"), except: String::new() };
    let client = HttpClient::builder().proxy(fixed).certificates(fixture("cert.pem")).build();
    assert_eq!(get(&client, "https://gateway.test/").await.unwrap(), "HTTP/2.0");
    assert_eq!(get(&client, "https://gateway.test/").await.unwrap(), "HTTP/2.0");
    let head = heads.recv().await.unwrap();
    assert!(head.starts_with("CONNECT gateway.test:443 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic dXNlcjpwdw==\r\n"), "{head}");
    assert!(heads.try_recv().is_err(), "the tunnel is kept");
}

#[tokio::test]
async fn http_goes_to_the_proxy_in_absolute_form() {
    let (proxy, mut heads) = tunnel_proxy(1).await;
    let fixed = Proxy::Fixed { address: format!("127.0.0.1:{proxy}"), except: String::new() };
    let client = HttpClient::builder().proxy(fixed).build();
    assert_eq!(get(&client, "http://gateway.test/x?y").await.unwrap(), "open");
    let head = heads.recv().await.unwrap();
    assert!(head.starts_with("GET http://gateway.test/x?y HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn loopback_never_goes_through_a_proxy() {
    let port = tls_server(&["http/1.1"], Arc::default()).await;
    let dead = Proxy::Fixed { address: "http://127.0.0.1:1".into(), except: String::new() };
    let client = HttpClient::builder().proxy(dead).certificates(fixture("cert.pem")).build();
    assert_eq!(get(&client, &format!("https://127.0.0.1:{port}/")).await.unwrap(), "HTTP/1.1");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        read_head(&mut client).await;
        client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await.unwrap();
    });
    let fixed = Proxy::Fixed { address: format!("http://127.0.0.1:{port}"), except: String::new() };
    let client = HttpClient::builder().proxy(fixed).build();
    let error = get(&client, "https://gateway.test/").await.unwrap_err();
    let HttpError::Connect { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(
        source.to_string(),
        "proxy: tunnel error: proxy authorization required; see HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    );
    let socks = Proxy::Fixed { address: "socks5://127.0.0.1:1".into(), except: String::new() };
    let client = HttpClient::builder().proxy(socks).build();
    let error = get(&client, "https://gateway.test/").await.unwrap_err();
    let HttpError::Connect { source, .. } = &error else { panic!("{error:?}") };
    assert!(source.to_string().contains("socks5 is not supported"), "{source}");
}

/// Variables belong to a process, so the test below runs this one in a process of its own.
#[tokio::test]
#[ignore = "only meant to be run by `the_environment_is_read`"]
async fn proxied_by_environment() {
    let client = HttpClient::builder().build();
    assert_eq!(get(&client, "https://gateway.test/").await.unwrap(), "HTTP/2.0");
    let direct = get(&client, "http://0.0.0.0:1/").await.unwrap_err();
    assert!(direct.is_connect(), "NO_PROXY leads past the proxy: {direct:?}");
}

#[tokio::test]
async fn the_environment_is_read() {
    let port = tls_server(&["h2", "http/1.1"], Arc::default()).await;
    let (proxy, mut heads) = tunnel_proxy(port).await;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "proxied_by_environment", "--ignored"]);
    for name in ["ALL_PROXY", "all_proxy", "http_proxy", "https_proxy", "no_proxy", "REQUEST_METHOD"] {
        child.env_remove(name);
    }
    let address = format!("http://127.0.0.1:{proxy}");
    child.env("HTTPS_PROXY", &address).env("HTTP_PROXY", &address).env("NO_PROXY", "other.test, 0.0.0.0");
    child.env("SSL_CERT_FILE", fixture("cert.pem"));
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(heads.recv().await.unwrap().starts_with("CONNECT gateway.test:443 "));
    assert!(heads.try_recv().is_err());
}

#[tokio::test]
async fn a_server_lets_running_requests_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let (open, gate) = tokio::sync::watch::channel(false);
    let handler = move |_: Request<BodyReader>, peer: Peer| {
        let (arrived, mut gate) = (arrived.clone(), gate.clone());
        async move {
            arrived.send(peer.connection).unwrap();
            gate.wait_for(|open| *open).await.unwrap();
            Ok::<_, Infallible>(Response::new(Body::from("done")))
        }
    };
    let stop_signal = async { drop(stopped.await) };
    let server = tokio::spawn(serve(listener, ServerOptions::default(), stop_signal, handler));
    let running =
        tokio::spawn(async move { get(&HttpClient::builder().build(), &format!("http://{address}/")).await });
    assert_eq!(arrivals.recv().await, Some(1));
    stop.send(()).unwrap();
    // The listener is gone while the request still runs.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.is_finished());
    open.send(true).unwrap();
    assert_eq!(running.await.unwrap().unwrap(), "done");
    tokio::time::timeout(HANG, server).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_server_bounds_what_it_reads() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handler = |request: Request<BodyReader>, _: Peer| async move {
        let said = match request.into_body().collect(10).await {
            Ok(body) => format!("{} bytes", body.len()),
            Err(error) => error.to_string(),
        };
        Ok::<_, Infallible>(Response::new(Body::from(said)))
    };
    let server = tokio::spawn(serve(listener, ServerOptions::default(), std::future::pending(), handler));
    let client = HttpClient::builder().build();
    let refused = "the body is longer than the 10 bytes allowed";
    let (sender, chunked) = Body::channel(4);
    for _ in 0..3 {
        sender.send("01234").await;
    }
    drop(sender);
    let rows =
        [(Body::from("0123456789"), "10 bytes"), (Body::from("0123456789x"), refused), (chunked, refused)];
    for (body, wanted) in rows {
        let request = Request::post(format!("http://{address}/")).body(body).unwrap();
        let answer = client.send(request).await.unwrap().into_body().collect(100).await.unwrap();
        assert_eq!(answer, wanted);
    }
    server.abort();
}

#[tokio::test]
async fn an_error_of_the_handler_hangs_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handler = |_: Request<BodyReader>, _: Peer| async { Err::<Response<Body>, _>("no") };
    tokio::spawn(serve(listener, ServerOptions::default(), std::future::pending(), handler));
    let error = get(&HttpClient::builder().build(), &format!("http://{address}/")).await.unwrap_err();
    assert!(matches!(error, HttpError::Closed { .. }), "{error:?}");
}

#[tokio::test]
async fn long_answers_are_cut_at_the_bound() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handler = |_: Request<BodyReader>, _: Peer| async {
        Ok::<_, Infallible>(Response::new(Body::from("x".repeat(2000))))
    };
    tokio::spawn(serve(listener, ServerOptions::default(), std::future::pending(), handler));
    let error = get(&HttpClient::builder().build(), &format!("http://{address}/")).await.unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { limit: 1000 }), "{error:?}");
    let request = Request::get(format!("http://{address}/")).body(Body::empty()).unwrap();
    let answer = HttpClient::builder().build().send(request).await.unwrap();
    assert_eq!(answer.into_body().collect_prefix(10).await, "xxxxxxxxxx");
}
