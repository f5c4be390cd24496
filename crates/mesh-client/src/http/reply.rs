//! Answers that a server makes up itself.
use hyper::{Response, StatusCode, header};
use tokio::sync::watch;

use super::body::Body;

/// An answer of this kind, which nobody keeps for later.
pub fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

/// Server-sent events that say a number at once and each time that it changes, until nobody listens any more. Numbers that come
/// faster than they are read are left out.
pub fn changes(mut changed: watch::Receiver<u64>) -> Response<Body> {
    let (sender, body) = Body::channel(1);
    tokio::spawn(async move {
        let mut count = *changed.borrow_and_update();
        while sender.send(format!("data: {count}\n\n")).await {
            tokio::select! {
                told = changed.changed() => match told {
                    Ok(()) => count = *changed.borrow_and_update(),
                    Err(_) => return,
                },
                () = sender.closed() => return,
            }
        }
    });
    reply(StatusCode::OK, "text/event-stream", body)
}
