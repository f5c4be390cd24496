//! One completion, whatever it takes: attempts, visible waits, and one whole request as the last resort.
use std::borrow::Cow;
use std::time::Duration;

use tracing::Instrument as _;

use crate::client::MeshClient;
use crate::completion::{Completion, Delta, Flow};
use crate::error::{ClientError, ErrorKind};
use crate::retry::{RetryPolicy, RetryState, RetryStep};
use crate::stream::hand_on;
use crate::wire::{CompletionRequest, RequestBody};

/// What happens while a completion comes about.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum StreamEvent<'a> {
    /// The gateway has begun to answer an attempt. What the attempt costs can be looked up by its id, also when it
    /// breaks off later; a refused one (status 400 or more) never started and costs nothing.
    Started {
        /// `x-request-id`, when the gateway gives one.
        request_id: Option<&'a str>,
    },
    /// More text: all that came in one step, as one piece.
    Text(&'a str),
    /// More reasoning.
    Reasoning(&'a str),
    /// More of a refusal.
    Refusal(&'a str),
    /// A tool call grows.
    ToolArguments {
        /// Name of the tool; empty while it is not known.
        name: &'a str,
        /// Characters of arguments so far.
        chars: usize,
    },
    /// An attempt failed and another one follows. Told before the wait.
    Retry {
        /// Number of the attempt that follows, from 2.
        attempt: u32,
        /// Most attempts there will be.
        of: u32,
        /// How long the wait is; zero when the request was changed and is sent at once.
        wait: Duration,
        /// Why the last attempt failed.
        error: &'a ClientError,
        /// Whether text of a failed attempt was handed on: the next one starts it again from the beginning.
        text_shown: bool,
    },
    /// The attempts are used up; one request for a whole answer follows.
    WholeRequest {
        /// Why the last attempt failed.
        error: &'a ClientError,
        /// Whether text of a failed attempt was handed on.
        text_shown: bool,
    },
}

/// Which bytes of a request were answered.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// The request's own. Where there were optimised ones, they were not to blame that they failed: the connection, the key or
    /// a limit was.
    Raw,
    /// The optimised ones.
    Optimised,
    /// The request's own, after the gateway had answered the optimised ones with this error.
    RawAfter(ClientError),
}

/// A completion, and to what.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What the model answered.
    pub completion: Completion,
    /// To which bytes.
    pub delivery: Delivery,
}

/// Where events go. A plain closure does.
pub type EventSink<'s> = &'s mut (dyn FnMut(StreamEvent<'_>) + Send);

impl MeshClient {
    /// Gets one completion: streaming attempts with waits between them as `policy` says, then one request for a
    /// whole answer. Events are handed on as they happen.
    ///
    /// # Errors
    /// The error of the last attempt.
    ///
    /// # Cancel safety
    /// Dropping the future drops the request or the wait at once; what was handed on stays with the caller.
    pub async fn complete(
        &self,
        request: &CompletionRequest,
        policy: &RetryPolicy,
        sink: EventSink<'_>,
    ) -> Result<Completion, ClientError> {
        Ok(self.completed(request, None, policy, sink).await?.completion)
    }

    /// Gets one completion like [`MeshClient::complete`], but sends `optimised` instead of the request's own bytes while that
    /// goes well: bytes that say the same in a cheaper way, and ask for a stream.
    ///
    /// When they are refused ([`ClientError::is_rejection`]) the request's own bytes follow at once, whatever the policy says,
    /// and the attempts go on with these. The last request, for a whole answer, is always the request's own.
    ///
    /// # Errors
    /// The error of the last attempt.
    ///
    /// # Cancel safety
    /// As [`MeshClient::complete`].
    pub async fn complete_optimised(
        &self,
        request: &CompletionRequest,
        optimised: RequestBody,
        policy: &RetryPolicy,
        sink: EventSink<'_>,
    ) -> Result<Answer, ClientError> {
        self.completed(request, Some(optimised), policy, sink).await
    }

    async fn completed(
        &self,
        request: &CompletionRequest,
        optimised: Option<RequestBody>,
        policy: &RetryPolicy,
        sink: EventSink<'_>,
    ) -> Result<Answer, ClientError> {
        let mut request = Cow::Borrowed(request);
        let mut state = RetryState::new(policy.clone());
        let mut sent = match optimised {
            Some(optimised) => {
                state = state.with_raw_in_reserve();
                Sent { body: optimised, is_optimised: true, blame: None }
            }
            None => Sent { body: request.encode(true), is_optimised: false, blame: None },
        };
        let mut text_shown = false;
        loop {
            let span = tracing::info_span!(
                target: "mesh_client::request", "request",
                attempt = state.attempt(), model = %request.model, bytes = sent.body.len(),
            );
            let attempt = self.attempt(sent.body.clone(), &mut text_shown, sink);
            let error = match attempt.instrument(span).await {
                Ok(completion) => return Ok(sent.answered_with(completion)),
                Err(error) => error,
            };
            sent.failed_with(&error);
            match state.failed(&error, fastrand::f64()) {
                RetryStep::Wait { delay, attempt } => {
                    announce(policy, attempt, delay, &error, text_shown, sink);
                    tokio::time::sleep(delay).await;
                    continue;
                }
                RetryStep::DropField(field) => drop_field(request.to_mut(), &field),
                RetryStep::AdjustMaxTokens(max_tokens) => request.to_mut().max_tokens = Some(max_tokens),
                RetryStep::Raw => tracing::warn!(target: "mesh_client::retry", "optimised bytes refused"),
                RetryStep::Whole => {
                    tracing::warn!(target: "mesh_client::retry", error = %error, "asking for a whole answer");
                    sink(StreamEvent::WholeRequest { error: &error, text_shown });
                    sent.send_own(request.encode(false));
                    let completion = self.whole_attempt(sent.body.clone(), sink).await?;
                    return Ok(sent.answered_with(completion));
                }
                RetryStep::GiveUp => {
                    tracing::warn!(target: "mesh_client::retry", error = %error, "giving up");
                    return Err(error);
                }
            }
            announce(policy, state.attempt() + 1, Duration::ZERO, &error, text_shown, sink);
            sent.send_own(request.encode(true));
        }
    }

    /// Sends one streaming request and hands on what comes.
    async fn attempt(
        &self,
        body: RequestBody,
        text_shown: &mut bool,
        sink: EventSink<'_>,
    ) -> Result<Completion, ClientError> {
        let mut stream = self.stream(body).await?;
        let request_id = stream.headers().request_id.clone();
        tracing::debug!(target: "mesh_client::request", request_id, "answer begins");
        sink(StreamEvent::Started { request_id: request_id.as_deref() });
        let mut on_delta = |delta: Delta<'_>| {
            *text_shown |= matches!(delta, Delta::Text(_) | Delta::Refusal(_));
            sink(delta.into());
        };
        while stream.next(&mut on_delta).await == Flow::Continue {}
        let outcome = stream.finish().await;
        match &outcome {
            Ok(completion) => tracing::debug!(
                target: "mesh_client::request",
                finish_reason = completion.finish_reason.as_deref(),
                malformed = completion.malformed,
                "answer ends"
            ),
            Err(error) => tracing::debug!(target: "mesh_client::request", error = %error, "answer fails"),
        }
        outcome
    }

    async fn whole_attempt(&self, body: RequestBody, sink: EventSink<'_>) -> Result<Completion, ClientError> {
        let outcome = self.whole(body).await;
        if let Ok(completion) = &outcome {
            sink(StreamEvent::Started { request_id: completion.headers.request_id.as_deref() });
            hand_on(completion, &mut |delta| sink(delta.into()));
        }
        outcome
    }
}

impl<'a> From<Delta<'a>> for StreamEvent<'a> {
    fn from(delta: Delta<'a>) -> StreamEvent<'a> {
        match delta {
            Delta::Text(text) => StreamEvent::Text(text),
            Delta::Reasoning(text) => StreamEvent::Reasoning(text),
            Delta::Refusal(text) => StreamEvent::Refusal(text),
            Delta::ToolArguments { name, chars } => StreamEvent::ToolArguments { name, chars },
        }
    }
}

fn announce(
    policy: &RetryPolicy,
    attempt: u32,
    wait: Duration,
    error: &ClientError,
    text_shown: bool,
    sink: EventSink<'_>,
) {
    tracing::warn!(
        target: "mesh_client::retry",
        attempt, wait_ms = wait.as_millis() as u64, error = %error, "trying again"
    );
    sink(StreamEvent::Retry { attempt, of: policy.max_attempts, wait, error, text_shown });
}

/// The bytes of an attempt.
struct Sent {
    body: RequestBody,
    is_optimised: bool,
    /// What optimised bytes were answered with, as far as that may be their fault.
    blame: Option<ClientError>,
}

impl Sent {
    fn failed_with(&mut self, error: &ClientError) {
        if self.is_optimised {
            let is_theirs =
                error.is_rejection() || matches!(error.kind(), ErrorKind::Upstream | ErrorKind::Unexpected);
            self.blame = Some(error).filter(|error| is_theirs && error.status() != Some(408)).cloned();
        } else if error.is_rejection() {
            // The request's own bytes are refused as well.
            self.blame = None;
        }
    }

    fn send_own(&mut self, body: RequestBody) {
        (self.body, self.is_optimised) = (body, false);
    }

    fn answered_with(self, completion: Completion) -> Answer {
        let delivery = match (self.is_optimised, self.blame) {
            (true, _) => Delivery::Optimised,
            (false, Some(error)) => Delivery::RawAfter(error),
            (false, None) => Delivery::Raw,
        };
        Answer { completion, delivery }
    }
}

/// Takes out a field that the model refuses.
fn drop_field(request: &mut CompletionRequest, field: &str) {
    match field {
        "reasoning_effort" => request.reasoning_effort = None,
        "max_tokens" => request.max_tokens = None,
        "route" => request.route = None,
        _ => {}
    }
    request.extra.shift_remove(field);
}
