//! Which failures pass, how long to wait, and when to stop. Pure: jitter and clock are arguments.
use crate::error::{ClientError, ErrorKind, NetworkKind};
use std::time::Duration;

/// Longest Retry-After that we sit through. From the retry policy of "beyond the seed" D: 90 s.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(90);

/// First step of the backoff. From the same policy: 1 s.
pub const BACKOFF_BASE: Duration = Duration::from_secs(1);

/// Longest step of the backoff. From the same policy: 30 s.
pub const BACKOFF_CAP: Duration = Duration::from_secs(30);

/// Statuses that pass by themselves. From the same policy.
const TRANSIENT_STATUSES: [u16; 7] = [408, 429, 500, 502, 503, 504, 529];

/// Fields that a request can do without when a model refuses them.
const DISPENSABLE_FIELDS: [&str; 1] = ["reasoning_effort"];

/// How often an empty or unreadable answer is asked for again.
const EMPTY_RETRIES: u32 = 1;

/// How hard to try.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Streaming requests in all, the first one included.
    pub max_attempts: u32,
    /// First step of the backoff.
    pub backoff_base: Duration,
    /// Longest step of the backoff.
    pub backoff_cap: Duration,
    /// Longest Retry-After to sit through; a longer one ends the attempts at once.
    pub retry_after_max: Duration,
    /// Whether one non-streaming request follows when the attempts are used up: the gateway itself retries and falls back on those.
    pub whole_request_fallback: bool,
}

/// What to do after a failed request.
#[derive(Clone, Debug, PartialEq)]
pub enum RetryStep {
    /// Wait, then send the same request: attempt number `attempt` (2 is the first retry).
    Wait {
        /// How long to wait.
        delay: Duration,
        /// Number of the attempt that follows.
        attempt: u32,
    },
    /// Send it at once without this field.
    DropField(String),
    /// Send it at once with this `max_tokens`.
    AdjustMaxTokens(u64),
    /// Send the request's own bytes at once, and instead of the optimised ones from now on.
    Raw,
    /// Send it once more without streaming.
    Whole,
    /// Nothing will help: report the error.
    GiveUp,
}

/// The failures of one completion so far.
#[derive(Clone, Debug)]
pub struct RetryState {
    policy: RetryPolicy,
    attempts: u32,
    empty_answers: u32,
    was_adjusted: bool,
    dropped: Vec<String>,
    whole_was_sent: bool,
    /// Optimised bytes are sent, and the request's own are still there to fall back on.
    has_raw_in_reserve: bool,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            max_attempts: 5,
            backoff_base: BACKOFF_BASE,
            backoff_cap: BACKOFF_CAP,
            retry_after_max: RETRY_AFTER_MAX,
            whole_request_fallback: true,
        }
    }
}

impl RetryPolicy {
    /// One request, whatever comes.
    pub fn never() -> RetryPolicy {
        RetryPolicy { max_attempts: 1, whole_request_fallback: false, ..RetryPolicy::default() }
    }

    /// The wait that a Retry-After asks for, when it is one that this policy sits through.
    pub fn accept(&self, retry_after: Option<Duration>) -> Option<Duration> {
        retry_after.filter(|wait| *wait <= self.retry_after_max)
    }
}

impl RetryState {
    /// No failure yet; the first attempt is under way.
    pub fn new(policy: RetryPolicy) -> RetryState {
        RetryState {
            policy,
            attempts: 1,
            empty_answers: 0,
            was_adjusted: false,
            dropped: Vec::new(),
            whole_was_sent: false,
            has_raw_in_reserve: false,
        }
    }

    /// What is sent are optimised bytes: when they are refused, the request's own follow once, whatever the policy says.
    #[must_use]
    pub fn with_raw_in_reserve(mut self) -> RetryState {
        self.has_raw_in_reserve = true;
        self
    }

    /// Number of the attempt under way, 1 for the first.
    pub fn attempt(&self) -> u32 {
        self.attempts
    }

    /// Says what follows after this error. `jitter` is a random number from 0 to 1.
    pub fn failed(&mut self, error: &ClientError, jitter: f64) -> RetryStep {
        if self.has_raw_in_reserve && error.is_rejection() {
            self.has_raw_in_reserve = false;
            return RetryStep::Raw;
        }
        if self.whole_was_sent || self.policy.max_attempts <= 1 {
            return RetryStep::GiveUp;
        }
        if let Some(step) = self.mend(error) {
            // The mended request is sent in its own bytes.
            self.has_raw_in_reserve = false;
            return step;
        }
        if !error.is_retryable() {
            return RetryStep::GiveUp;
        }
        let asked = error.retry_after();
        if asked.is_some() && self.policy.accept(asked).is_none() {
            return RetryStep::GiveUp;
        }
        if matches!(error.kind(), ErrorKind::Empty | ErrorKind::Malformed) {
            self.empty_answers += 1;
            if self.empty_answers > EMPTY_RETRIES {
                return self.last_resort(error);
            }
        }
        if self.attempts >= self.policy.max_attempts {
            return self.last_resort(error);
        }
        let delay = asked.unwrap_or_else(|| {
            backoff_between(self.attempts, jitter, self.policy.backoff_base, self.policy.backoff_cap)
        });
        self.attempts += 1;
        RetryStep::Wait { delay, attempt: self.attempts }
    }

    /// A changed request for an error that says what to change; each change once.
    fn mend(&mut self, error: &ClientError) -> Option<RetryStep> {
        match error {
            ClientError::MaxTokensOverflow { overflow, .. } if !self.was_adjusted => {
                let max_tokens = overflow.adjusted()?;
                self.was_adjusted = true;
                Some(RetryStep::AdjustMaxTokens(max_tokens))
            }
            ClientError::UnsupportedField { field, .. }
                if DISPENSABLE_FIELDS.contains(&field.as_str()) && !self.dropped.contains(field) =>
            {
                self.dropped.push(field.clone());
                Some(RetryStep::DropField(field.clone()))
            }
            _ => None,
        }
    }

    fn last_resort(&mut self, error: &ClientError) -> RetryStep {
        // Nobody listens there: another kind of request to the same door is a waste.
        let is_unreachable = matches!(error, ClientError::Network { kind: NetworkKind::Connect, .. });
        if !self.policy.whole_request_fallback || is_unreachable {
            return RetryStep::GiveUp;
        }
        self.whole_was_sent = true;
        RetryStep::Whole
    }
}

/// Whether a status passes by itself, so that the same request may succeed later.
pub fn is_transient_status(status: u16) -> bool {
    TRANSIENT_STATUSES.contains(&status)
}

/// How long to wait after attempt number `attempt` failed: min(30, 2^(attempt-1)) s, times 0.5 to 1.0 by `jitter`.
pub fn backoff(attempt: u32, jitter: f64) -> Duration {
    backoff_between(attempt, jitter, BACKOFF_BASE, BACKOFF_CAP)
}

fn backoff_between(attempt: u32, jitter: f64, base: Duration, cap: Duration) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    let step = base.saturating_mul(1 << doublings).min(cap);
    let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.5 };
    step.mul_f64(0.5 + jitter / 2.0)
}

/// Reads a Retry-After header, seconds or an HTTP date, against the clock (seconds since 1970). A date that has passed is no wait.
pub fn parse_retry_after(header: &str, now_epoch: f64) -> Option<Duration> {
    let header = header.trim();
    let seconds = match header.parse::<f64>() {
        Ok(seconds) => seconds,
        Err(_) => http_date(header)? - now_epoch,
    };
    if seconds.is_nan() || seconds.is_infinite() {
        return None;
    }
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

/// The three date forms of HTTP (RFC 9110, 5.6.7), as seconds since 1970.
fn http_date(text: &str) -> Option<f64> {
    if let Ok(zoned) = jiff::fmt::rfc2822::parse(text) {
        return Some(zoned.timestamp().as_second() as f64);
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .iter()
        .find_map(|form| jiff::civil::DateTime::strptime(form, text).ok())
        .and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .map(|zoned| zoned.timestamp().as_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::ResponseHeaders;
    use crate::error::{classify_inband, classify_status};
    use serde_json::json;

    fn status(status: u16) -> ClientError {
        classify_status(status, &ResponseHeaders::default(), b"{}", 0.0)
    }

    fn network(kind: NetworkKind) -> ClientError {
        ClientError::network(kind, "gateway", None)
    }

    fn empty() -> ClientError {
        ClientError::Empty { finish_reason: None, request_id: None }
    }

    /// The steps after each of these failures, without jitter.
    fn steps(policy: RetryPolicy, errors: &[ClientError]) -> Vec<RetryStep> {
        let mut state = RetryState::new(policy);
        errors.iter().map(|error| state.failed(error, 1.0)).collect()
    }

    fn wait(seconds: u64, attempt: u32) -> RetryStep {
        RetryStep::Wait { delay: Duration::from_secs(seconds), attempt }
    }

    #[test]
    fn five_attempts_then_one_whole_request() {
        let errors: Vec<ClientError> = [500, 502, 429, 529, 503, 500].map(status).into();
        let want = [wait(1, 2), wait(2, 3), wait(4, 4), wait(8, 5), RetryStep::Whole, RetryStep::GiveUp];
        assert_eq!(steps(RetryPolicy::default(), &errors), want);
    }

    #[test]
    fn what_stays_is_not_tried_again() {
        for error in [400, 401, 402, 403, 404, 413, 422].map(status) {
            let steps = steps(RetryPolicy::default(), std::slice::from_ref(&error));
            assert_eq!(steps, [RetryStep::GiveUp], "{error}");
        }
        let inband = classify_inband(&json!({"code": 400, "message": "no"}), None);
        assert_eq!(steps(RetryPolicy::default(), &[inband]), [RetryStep::GiveUp]);
    }

    #[test]
    fn never_means_one_request() {
        assert_eq!(steps(RetryPolicy::never(), &[status(500)]), [RetryStep::GiveUp]);
    }

    #[test]
    fn an_empty_answer_is_asked_for_once_more() {
        assert_eq!(steps(RetryPolicy::default(), &[empty(), empty()]), [wait(1, 2), RetryStep::Whole]);
    }

    #[test]
    fn a_door_that_nobody_opens_gets_no_whole_request() {
        let errors = [NetworkKind::Connect; 5].map(network);
        assert_eq!(steps(RetryPolicy::default(), &errors).last(), Some(&RetryStep::GiveUp));
        let errors = [NetworkKind::Reset; 5].map(network);
        assert_eq!(steps(RetryPolicy::default(), &errors).last(), Some(&RetryStep::Whole));
    }

    #[test]
    fn the_gateway_says_how_long() {
        let limited = |seconds: &str| {
            let headers = ResponseHeaders::from_pairs([("Retry-After", seconds)]);
            classify_status(429, &headers, b"", 0.0)
        };
        assert_eq!(steps(RetryPolicy::default(), &[limited("7")]), [wait(7, 2)]);
        assert_eq!(steps(RetryPolicy::default(), &[limited("90")]), [wait(90, 2)]);
        assert_eq!(steps(RetryPolicy::default(), &[limited("91")]), [RetryStep::GiveUp]);
        let inband = classify_inband(&json!({"code": 429, "retry_after_seconds": 3}), None);
        assert_eq!(steps(RetryPolicy::default(), &[inband]), [wait(3, 2)]);
    }

    #[test]
    fn a_request_is_mended_once_in_each_way() {
        let overflow = "input length and `max_tokens` exceed context limit: 190000 + 64000 > 200000";
        let overflow = classify_inband(&json!(overflow), None);
        let field = classify_inband(&json!("reasoning_effort is not supported by this model"), None);
        let tools = classify_inband(&json!("tools are not supported by this model"), None);
        let adjusted = RetryStep::AdjustMaxTokens(9744);
        let dropped = RetryStep::DropField("reasoning_effort".to_owned());
        let errors = [overflow.clone(), field.clone(), status(500)];
        assert_eq!(steps(RetryPolicy::default(), &errors), [adjusted.clone(), dropped.clone(), wait(1, 2)]);
        assert_eq!(
            steps(RetryPolicy::default(), &[overflow.clone(), overflow]),
            [adjusted, RetryStep::GiveUp]
        );
        assert_eq!(steps(RetryPolicy::default(), &[field.clone(), field]), [dropped, RetryStep::GiveUp]);
        assert_eq!(steps(RetryPolicy::default(), &[tools]), [RetryStep::GiveUp]);
    }

    #[test]
    fn refused_optimised_bytes_are_followed_by_raw_ones_once_and_cost_no_attempt() {
        let steps = |policy, errors: &[ClientError]| {
            let mut state = RetryState::new(policy).with_raw_in_reserve();
            errors.iter().map(|error| state.failed(error, 1.0)).collect::<Vec<_>>()
        };
        for refused in [400, 403, 404, 409, 413, 422].map(status) {
            let want = [RetryStep::Raw, RetryStep::GiveUp];
            assert_eq!(steps(RetryPolicy::default(), &[refused.clone(), status(400)]), want, "{refused}");
            assert_eq!(steps(RetryPolicy::never(), &[refused.clone(), status(500)]), want, "{refused}");
            let then_busy = steps(RetryPolicy::default(), &[refused, status(500)]);
            assert_eq!(then_busy, [RetryStep::Raw, wait(1, 2)]);
        }
        for kept in [401, 402].map(status) {
            assert_eq!(steps(RetryPolicy::default(), &[kept]), [RetryStep::GiveUp]);
        }
        for passing in [408, 429, 500, 503].map(status) {
            let want = [wait(1, 2), RetryStep::Raw];
            assert_eq!(steps(RetryPolicy::default(), &[passing, status(400)]), want);
        }
    }

    #[test]
    fn jitter_outside_of_its_range_is_harmless() {
        assert_eq!(backoff(1, -1.0), Duration::from_millis(500));
        assert_eq!(backoff(1, 7.0), Duration::from_secs(1));
        assert_eq!(backoff(1, f64::NAN), Duration::from_millis(750));
        assert_eq!(backoff(u32::MAX, 1.0), BACKOFF_CAP);
        assert_eq!(backoff(0, 1.0), BACKOFF_BASE);
    }

    #[test]
    fn all_three_forms_of_a_date() {
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse_retry_after(date, 784_111_770.0), Some(Duration::from_secs(7)), "{date}");
        }
        for nonsense in ["", "soon", "1_0", "١", "inf", "nan", "7;x", "1e400"] {
            assert_eq!(parse_retry_after(nonsense, 0.0), None, "{nonsense}");
        }
    }
}
