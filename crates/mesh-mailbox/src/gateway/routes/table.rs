//! Which address is what. Pure.

use std::borrow::Cow;

use mesh_client::http::Method;

/// Something that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `GET /health`.
    Health,
    /// `GET /ready`.
    Ready,
    /// `GET /metrics`.
    Metrics,
    /// `GET /messages`.
    Fetch,
    /// `POST /messages`.
    Send,
    /// `POST /messages:batch`.
    Batch,
    /// `GET /messages/stream`.
    Stream,
    /// `POST /messages/claim`.
    Claim,
    /// `GET /messages/{id}`.
    Message(String),
    /// `POST /messages/{id}/ACTION`.
    Work(String, Work),
    /// `GET /peers`.
    Peers,
    /// `GET /peers/{name}`.
    Peer(String),
    /// `DELETE /peers/{name}`.
    Disable(String),
    /// `POST /peers/{name}/unrevoke`.
    Enable(String),
    /// `POST /peers/register`.
    Register,
    /// `POST /peers/{name}/token`.
    Rotate(String),
    /// `DELETE /peers/{name}/token`.
    Revoke(String),
    /// `POST /invites`.
    Invite,
    /// `PUT /presence`.
    Presence,
    /// `GET /threads`.
    Threads,
    /// `POST /threads`.
    MintThread,
    /// `GET /threads/{uuid}`.
    Thread(String),
    /// `GET /groups`.
    Groups,
    /// `POST /groups`.
    PutGroup,
    /// `DELETE /groups/{name}`.
    DropGroup(String),
    /// `GET /groups/{name}/members`.
    Members(String),
    /// `POST /groups/{name}/members`.
    AddMember(String),
    /// `DELETE /groups/{name}/members/{peer}`.
    RemoveMember(String, String),
}

/// What can be done with one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Read,
    Ack,
    Nack,
    Extend,
    Requeue,
}

/// Why an address is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    /// No such address.
    NotFound,
    /// Another method is wanted.
    Method(&'static str),
    /// The Python gateway has it, this one has not.
    NotHere(String),
}

/// First steps of the Python gateway's addresses that this gateway lacks. From its own list of routes, 0.45.2.
const ELSEWHERE: [&str; 19] = [
    "api",
    "authz",
    "brain",
    "channels",
    "council-batch",
    "council-claim",
    "council-complete",
    "council-fail",
    "council-reclaim-stuck",
    "features",
    "lanes",
    "migration-status",
    "peer-health-events",
    "scheduled-events",
    "services",
    "sessions",
    "tasks",
    "observations",
    "events",
];

/// The same below a peer.
const ELSEWHERE_OF_PEERS: [&str; 5] = ["health", "ratifications", "observations", "observed-by", "grants"];

/// Finds what an address asks for.
pub(crate) fn find(method: &Method, path: &str) -> Result<Route, Miss> {
    let steps: Vec<Cow<'_, str>> = path.strip_prefix('/').unwrap_or(path).split('/').map(decoded).collect();
    let steps: Vec<&str> = steps.iter().map(AsRef::as_ref).collect();
    let name = |text: &str| text.to_owned();
    let work = |id: &str, work: Work| Route::Work(id.to_owned(), work);
    let choices: Vec<(Method, Route)> = match steps.as_slice() {
        ["health"] => vec![(Method::GET, Route::Health)],
        ["ready"] => vec![(Method::GET, Route::Ready)],
        ["metrics"] => vec![(Method::GET, Route::Metrics)],
        ["messages"] => vec![(Method::GET, Route::Fetch), (Method::POST, Route::Send)],
        ["messages:batch"] => vec![(Method::POST, Route::Batch)],
        ["messages", "stream"] => vec![(Method::GET, Route::Stream)],
        ["messages", "claim"] => vec![(Method::POST, Route::Claim)],
        ["messages", id] => vec![(Method::GET, Route::Message(name(id)))],
        ["messages", id, "read"] => vec![(Method::POST, work(id, Work::Read))],
        ["messages", id, "ack"] => vec![(Method::POST, work(id, Work::Ack))],
        ["messages", id, "nack"] => vec![(Method::POST, work(id, Work::Nack))],
        ["messages", id, "extend"] => vec![(Method::POST, work(id, Work::Extend))],
        ["messages", id, "requeue"] => vec![(Method::POST, work(id, Work::Requeue))],
        ["peers"] => vec![(Method::GET, Route::Peers)],
        ["peers", "register"] => vec![(Method::POST, Route::Register)],
        ["peers", _] if *method == Method::PATCH => return Err(Miss::NotHere(format!("PATCH {path}"))),
        ["peers", peer] => {
            vec![(Method::GET, Route::Peer(name(peer))), (Method::DELETE, Route::Disable(name(peer)))]
        }
        ["peers", peer, "unrevoke"] => vec![(Method::POST, Route::Enable(name(peer)))],
        ["peers", peer, "token"] => {
            vec![(Method::POST, Route::Rotate(name(peer))), (Method::DELETE, Route::Revoke(name(peer)))]
        }
        ["peers", _, other] if ELSEWHERE_OF_PEERS.contains(other) => {
            return Err(Miss::NotHere(format!("{method} {path}")));
        }
        ["invites"] => vec![(Method::POST, Route::Invite)],
        ["presence"] => vec![(Method::PUT, Route::Presence)],
        ["threads"] => vec![(Method::GET, Route::Threads), (Method::POST, Route::MintThread)],
        ["threads", uuid] => vec![(Method::GET, Route::Thread(name(uuid)))],
        ["groups"] => vec![(Method::GET, Route::Groups), (Method::POST, Route::PutGroup)],
        ["groups", group] => vec![(Method::DELETE, Route::DropGroup(name(group)))],
        ["groups", group, "members"] => {
            vec![(Method::GET, Route::Members(name(group))), (Method::POST, Route::AddMember(name(group)))]
        }
        ["groups", group, "members", peer] => {
            vec![(Method::DELETE, Route::RemoveMember(name(group), name(peer)))]
        }
        ["groups", _, "grants"] => return Err(Miss::NotHere(format!("{method} {path}"))),
        [first, ..] if ELSEWHERE.contains(first) => return Err(Miss::NotHere(format!("{method} {path}"))),
        _ => return Err(Miss::NotFound),
    };
    let allow = match choices.as_slice() {
        [(only, _)] if *only == Method::GET => "GET",
        [(only, _)] if *only == Method::POST => "POST",
        [(only, _)] if *only == Method::PUT => "PUT",
        [(only, _)] if *only == Method::DELETE => "DELETE",
        [(_, _), (second, _)] if *second == Method::DELETE => {
            if choices[0].0 == Method::GET {
                "GET, DELETE"
            } else {
                "POST, DELETE"
            }
        }
        _ => "GET, POST",
    };
    choices.into_iter().find(|(known, _)| known == method).map(|(_, route)| route).ok_or(Miss::Method(allow))
}

/// A step with its percent signs resolved.
fn decoded(step: &str) -> Cow<'_, str> {
    if !step.contains('%') {
        return Cow::Borrowed(step);
    }
    let bytes = step.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = step.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_found() {
        for (method, path, want) in [
            (Method::GET, "/messages", Ok(Route::Fetch)),
            (Method::POST, "/messages:batch", Ok(Route::Batch)),
            (Method::POST, "/messages/5/read", Ok(Route::Work("5".into(), Work::Read))),
            (Method::GET, "/peers/Bad%20Name%21", Ok(Route::Peer("Bad Name!".into()))),
            (Method::DELETE, "/messages", Err(Miss::Method("GET, POST"))),
            (Method::GET, "/messages/5/read", Err(Miss::Method("POST"))),
            (Method::GET, "/nope", Err(Miss::NotFound)),
            (Method::GET, "/", Err(Miss::NotFound)),
            (Method::POST, "/tasks/claim", Err(Miss::NotHere("POST /tasks/claim".into()))),
            (Method::POST, "/channels", Err(Miss::NotHere("POST /channels".into()))),
            (Method::PATCH, "/peers/al", Err(Miss::NotHere("PATCH /peers/al".into()))),
        ] {
            assert_eq!(find(&method, path), want, "{method} {path}");
        }
    }

    proptest! {
        #[test]
        fn any_address_gets_an_answer(path in "/?(\\PC{0,6}/?|messages/|peers/|%[0-9a-fG]{0,2}){0,5}") {
            let _ = find(&Method::GET, &path);
        }
    }
}
