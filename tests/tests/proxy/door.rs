//! Who may come in, and how a browser does.

use crate::*;

#[test]
fn strangers_stay_outside() {
    let lab = Lab::new(Script::new(|_| says("hello")));
    let proxy = Proxy::start(&lab, &["--token", "s3cret"]);
    let host = format!("host: {}\r\n", proxy.address);
    for (headers, code) in [
        ("host: example.com\r\nx-proxy-token: s3cret\r\n".to_owned(), 403),
        (format!("{host}origin: https://example.com\r\nx-proxy-token: s3cret\r\n"), 403),
        (format!("{host}origin: null\r\nx-proxy-token: s3cret\r\n"), 403),
        (host.clone(), 403),
        (format!("{host}x-proxy-token: wrong\r\n"), 403),
        (format!("{host}x-proxy-token: s3cret\r\n"), 200),
        ("host: localhost\r\norigin: http://localhost:99\r\nx-proxy-token: s3cret\r\n".to_owned(), 200),
    ] {
        assert_eq!(proxy.get("/stats", &headers).0, code, "{headers}");
    }
    let run = lab.run(&["proxy", "--listen", "0.0.0.0:0"]);
    assert!(run.code == Some(2) && run.err.contains("--token"), "{}", run.err);
}

#[test]
fn a_browser_brings_the_token_in_a_cookie_and_prometheus_as_a_bearer() {
    let lab = Lab::new(Script::new(|_| says("hello")));
    let proxy = Proxy::start(&lab, &["--token", "s3cret"]);
    let host = format!("host: {}\r\n", proxy.address);
    let (head, _) =
        proxy.raw(format!("GET /?token=s3cret HTTP/1.1\r\n{host}connection: close\r\n\r\n").as_bytes());
    assert!(head.starts_with("HTTP/1.1 303") && head.contains("location: /\r\n"), "{head}");
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    for (path, header, code) in [
        ("/", format!("cookie: a=b; {cookie}\r\n"), 200),
        ("/metrics", "authorization: Bearer s3cret\r\n".to_owned(), 200),
        ("/?token=wrong", String::new(), 403),
        // What another page can make a browser send is no key to the gateway.
        ("/v1/models", format!("cookie: {cookie}\r\n"), 403),
        ("/v1/models", "authorization: Bearer s3cret\r\n".to_owned(), 403),
    ] {
        assert_eq!(proxy.get(path, &format!("{host}{header}")).0, code, "{path} {header}");
    }
}
