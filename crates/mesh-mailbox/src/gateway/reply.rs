//! Answers, good and bad. Every refusal has a status and a `detail`; what can be tried again says when.

use std::time::Duration;

use bytes::Bytes;
use mesh_client::http::{Body, Response, StatusCode, header};
use serde_json::{Value, json};

use super::directory::{Denied, Unknown};
use super::draft::DraftError;
use super::engine::EngineError;
use super::fault::Faults;
use super::store::{Refusal, StoreError};

/// When to try again what found the gateway busy.
const BUSY_PAUSE: Duration = Duration::from_secs(1);
/// When to try again what found no room: somebody has to make some first.
const FULL_PAUSE: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// What kind of text it is.
    pub content_type: &'static str,
    /// The text.
    pub body: Body,
}

const JSON: &str = "application/json";

impl Reply {
    /// A JSON text that is already written.
    pub fn raw(body: impl Into<Bytes>) -> Reply {
        Reply { status: 200, headers: Vec::new(), content_type: JSON, body: Body::from(body.into()) }
    }

    /// A value as JSON.
    pub fn json(value: &Value) -> Reply {
        Reply::raw(value.to_string())
    }

    /// The same with a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    /// As the server sends it.
    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(self.body);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(self.content_type));
        for (name, value) in self.headers {
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// What a refusal has to do with the gateway's picture of who is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// Nothing.
    Irrelevant,
    /// It follows from it; where other gateways change the store too, a newer one may say otherwise.
    PerhapsOld,
    /// It follows from its being out of date.
    Old,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Its status.
    pub status: u16,
    /// What is wrong: a text, or a list of faults.
    pub detail: Value,
    /// When it may go better.
    pub retry_after: Option<Duration>,
    /// The methods that there are, where the one used is not among them.
    pub allow: Option<&'static str>,
    /// Whether a newer picture of who is known may say otherwise.
    pub picture: Picture,
}

impl Problem {
    /// A refusal with a text.
    pub fn new(status: u16, detail: impl Into<String>) -> Problem {
        Problem {
            status,
            detail: Value::from(detail.into()),
            retry_after: None,
            allow: None,
            picture: Picture::Irrelevant,
        }
    }

    /// Something of that name is not known.
    pub fn unknown(detail: impl Into<String>) -> Problem {
        Problem { picture: Picture::PerhapsOld, ..Problem::new(404, detail) }
    }

    /// The gateway has too much to do.
    pub fn busy() -> Problem {
        Problem { retry_after: Some(BUSY_PAUSE), ..Problem::new(503, "the gateway is busy; try again") }
    }

    /// One peer sends too much.
    pub fn too_fast(pause: Duration) -> Problem {
        Problem { retry_after: Some(pause), ..Problem::new(429, "too many messages; slow down") }
    }

    /// A body is larger than allowed.
    pub fn too_large(limit: usize) -> Problem {
        Problem::new(413, format!("the body is larger than {limit} bytes"))
    }

    /// What swarph has and this gateway lacks.
    pub fn not_here(what: &str) -> Problem {
        Problem::new(501, format!("{what} is not part of this gateway"))
    }

    /// The body of the answer.
    pub fn body(&self) -> Value {
        json!({ "detail": self.detail })
    }

    /// As it is answered.
    pub fn into_reply(self) -> Reply {
        let mut reply = Reply::json(&self.body());
        reply.status = self.status;
        if let Some(pause) = self.retry_after {
            reply = reply.with("retry-after", pause.as_secs_f64().ceil().max(1.0).to_string());
        }
        if let Some(allow) = self.allow {
            reply = reply.with("allow", allow);
        }
        if self.status == 401 {
            reply = reply.with("www-authenticate", "Bearer");
        }
        reply
    }
}

impl From<Faults> for Problem {
    fn from(faults: Faults) -> Problem {
        let detail = faults.into_body()["detail"].take();
        Problem { status: 422, detail, retry_after: None, allow: None, picture: Picture::Irrelevant }
    }
}

impl From<DraftError> for Problem {
    fn from(error: DraftError) -> Problem {
        match error {
            DraftError::Faults(faults) => faults.into(),
            DraftError::Refused(text) => Problem::new(400, text),
        }
    }
}

impl From<Unknown> for Problem {
    fn from(unknown: Unknown) -> Problem {
        match unknown {
            Unknown::Missing => Problem::new(401, "missing bearer token"),
            Unknown::Bad => Problem { picture: Picture::PerhapsOld, ..Problem::new(401, "bad token") },
        }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Problem {
        let problem = match denied {
            Denied::NotYours { what } => Problem::new(403, format!("this token may not {what}")),
            Denied::OperatorOnly => Problem::new(403, "only the operator's token may do this"),
            Denied::InviteOnly => Problem::new(403, "an invitation is only good for registering"),
            Denied::NotRegistered { name, near } => {
                let hint = if near.is_empty() {
                    String::new()
                } else {
                    format!("; did you mean {}?", near.join(", "))
                };
                Problem::new(404, format!("peer '{name}' not registered{hint}"))
            }
        };
        Problem { picture: Picture::PerhapsOld, ..problem }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        match refusal {
            Refusal::NotFound => Problem::new(404, "message not found"),
            Refusal::NotYours => Problem::new(403, "this message is in another's inbox"),
            Refusal::Stale(stale) => Problem::new(409, stale.to_string()),
            Refusal::KeyConflict => Problem::new(409, "idempotency_key conflicts with an existing message"),
            Refusal::Full { inbox } => Problem {
                retry_after: Some(FULL_PAUSE),
                ..Problem::new(507, format!("the inbox of {inbox} is full; it has to read first"))
            },
            Refusal::BadInvite => {
                Problem::new(403, "this invitation was used, has ended, or is for another name")
            }
            Refusal::NotDead => Problem::new(409, "the message was not given up"),
            Refusal::Changed => Problem {
                picture: Picture::Old,
                ..Problem::new(409, "somebody else changed it at the same moment; try again")
            },
        }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Problem {
        let EngineError::Store(error) = error else { return Problem::busy() };
        match &*error {
            StoreError::DiskFull => {
                Problem { retry_after: Some(FULL_PAUSE), ..Problem::new(507, error.to_string()) }
            }
            StoreError::Locked => {
                Problem { retry_after: Some(BUSY_PAUSE), ..Problem::new(503, error.to_string()) }
            }
            // What SQLite says may name files: that is for the gateway's log.
            _ => Problem {
                retry_after: Some(FULL_PAUSE),
                ..Problem::new(503, "the gateway cannot reach its store; its log says why")
            },
        }
    }
}
