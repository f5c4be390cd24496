//! Both error shapes to one [`ClientError`]: by status and code where there is one, else by whole words.
//!
//! The order matters: numbers of an overflow first, then what the code says, corrected by words where codes are known to be vague
//! (`upstream_error` around a provider's "prompt is too long"), then words alone.
use super::report::GatewayReport;
use super::words::Words;
use super::{ClientError, MaxTokensOverflow};
use crate::completion::ResponseHeaders;
use crate::retry::{is_transient_status, parse_retry_after};
use serde_json::Value;

/// What sort of refusal it is, before the details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Unauthorized,
    Forbidden,
    Spend,
    Rate,
    Context,
    NotFound,
    Invalid,
    Transient,
    Unexpected,
}

/// Codes and types by which gateways and providers name a class. Sorted by class.
const CODES: &[(&str, Class)] = &[
    ("authentication_error", Class::Unauthorized),
    ("invalid_api_key", Class::Unauthorized),
    ("invalid_token", Class::Unauthorized),
    ("unauthenticated", Class::Unauthorized),
    ("unauthorized", Class::Unauthorized),
    ("forbidden", Class::Forbidden),
    ("permission_denied", Class::Forbidden),
    ("permission_error", Class::Forbidden),
    ("billing_error", Class::Spend),
    ("billing_hard_limit_reached", Class::Spend),
    ("budget_exceeded", Class::Spend),
    ("insufficient_balance", Class::Spend),
    ("insufficient_credits", Class::Spend),
    ("insufficient_quota", Class::Spend),
    ("payment_required", Class::Spend),
    ("spend_limit_exceeded", Class::Spend),
    ("rate_limit_error", Class::Rate),
    ("rate_limit_exceeded", Class::Rate),
    ("rate_limited", Class::Rate),
    ("resource_exhausted", Class::Rate),
    ("throttlingexception", Class::Rate),
    ("too_many_requests", Class::Rate),
    ("context_length_exceeded", Class::Context),
    ("request_too_large", Class::Context),
    ("model_not_found", Class::NotFound),
    ("not_found", Class::NotFound),
    ("not_found_error", Class::NotFound),
    ("bad_request", Class::Invalid),
    ("conflict", Class::Invalid),
    ("content_filter", Class::Invalid),
    ("content_policy_violation", Class::Invalid),
    ("invalid_api_version", Class::Invalid),
    ("invalid_argument", Class::Invalid),
    ("invalid_request", Class::Invalid),
    ("invalid_request_error", Class::Invalid),
    ("unknown_parameter", Class::Invalid),
    ("unsupported_parameter", Class::Invalid),
    ("unsupported_value", Class::Invalid),
    ("validation_error", Class::Invalid),
    ("validationexception", Class::Invalid),
    ("api_error", Class::Transient),
    ("bad_gateway", Class::Transient),
    ("deadline_exceeded", Class::Transient),
    ("gateway_timeout", Class::Transient),
    ("internal_error", Class::Transient),
    ("internal_server_error", Class::Transient),
    ("overloaded", Class::Transient),
    ("overloaded_error", Class::Transient),
    ("server_error", Class::Transient),
    ("service_unavailable", Class::Transient),
    ("timeout", Class::Transient),
    ("timeout_error", Class::Transient),
    ("unavailable", Class::Transient),
    ("upstream_error", Class::Transient),
    ("upstream_timeout", Class::Transient),
];

const UNAUTHORIZED_WORDS: &[&str] = &[
    "unauthorized",
    "unauthenticated",
    "invalid api key",
    "incorrect api key",
    "missing api key",
    "no api key",
    "bad api key",
    "invalid key",
    "authentication failed",
    "authentication error",
    "authentication required",
    "invalid authentication",
    "invalid token",
    "expired token",
];
const FORBIDDEN_WORDS: &[&str] = &["forbidden", "permission denied", "access denied", "not authorized"];
const SPEND_WORDS: &[&str] = &[
    "insufficient quota",
    "insufficient credits",
    "insufficient credit",
    "insufficient balance",
    "insufficient funds",
    "exceeded your current quota",
    "billing hard limit",
    "billing",
    "spend limit",
    "spending limit",
    "payment required",
    "credit balance",
    "out of credits",
    "budget exceeded",
];
const RATE_WORDS: &[&str] = &[
    "rate limit",
    "rate limits",
    "rate limited",
    "rate limiting",
    "ratelimit",
    "ratelimited",
    "too many requests",
    "throttled",
    "throttling",
    "throttle",
    "throttlingexception",
    "toomanyrequests",
    "toomanyrequestsexception",
    "per minute",
    "per second",
    "resource exhausted",
    "slow down",
];
const NOT_FOUND_WORDS: &[&str] = &["not found", "does not exist", "no such model", "unknown model"];
const INVALID_WORDS: &[&str] = &[
    "validationexception",
    "validation error",
    "validation failed",
    "invalid request",
    "invalid value",
    "invalid parameter",
    "invalid argument",
    "bad request",
    "malformed request",
    "content policy",
    "content filter",
    "must be",
    "is required",
    "unsupported",
    "not supported",
];
const TRANSIENT_WORDS: &[&str] = &[
    "overloaded",
    "overload",
    "temporary",
    "temporarily",
    "timeout",
    "timeouts",
    "time out",
    "timed out",
    "deadline exceeded",
    "context canceled",
    "context cancelled",
    "capacity",
    "unavailable",
    "try again",
    "retry",
    "please retry",
    "bad gateway",
    "gateway timeout",
    "internal server error",
    "internal error",
    "internal failure",
    "server error",
    "server busy",
    "service busy",
    "is busy",
    "upstream error",
    "upstream failure",
    "connection reset",
    "reset by peer",
    "connection refused",
    "connection closed",
    "connection aborted",
    "connection error",
    "connection lost",
    "broken pipe",
    "socket hang up",
    "network error",
    "econnreset",
    "econnrefused",
    "etimedout",
    "epipe",
    "took too long",
    "taking too long",
    "internalservererror",
    "internalserverexception",
    "serviceunavailable",
    "serviceunavailableexception",
    "modelnotreadyexception",
    "modeltimeoutexception",
];

/// With "context", these speak of its size.
const CONTEXT_SIZE_WORDS: &[&str] = &[
    "length",
    "window",
    "limit",
    "limits",
    "size",
    "maximum",
    "max",
    "exceed",
    "exceeds",
    "exceeded",
    "exceeding",
    "overflow",
    "overflowed",
    "long",
    "large",
    "token",
    "tokens",
    "full",
    "budget",
];
const CONTEXT_WORDS: &[&str] = &[
    "token limit",
    "token limits",
    "too many tokens",
    "too many input tokens",
    "input length",
    "input tokens exceed",
    "input token count",
    "maximum number of tokens",
    "reduce the length",
    "prompt length",
    "maximum prompt",
];
const LENGTHY_THINGS: &[&str] = &[
    "prompt",
    "input",
    "message",
    "messages",
    "conversation",
    "request",
    "content",
    "token",
    "tokens",
    "string",
    "text",
    "history",
    "body",
];

const UNSUPPORTED_WORDS: &[&str] = &[
    "unsupported",
    "not supported",
    "not support",
    "doesn t support",
    "isn t supported",
    "aren t supported",
    "unrecognized",
    "unrecognised",
    "unknown parameter",
    "unknown field",
    "unknown argument",
    "unknown name",
    "not permitted",
    "not allowed",
    "not accepted",
    "unexpected keyword",
    "unexpected field",
    "extra inputs",
    "extra fields",
    "not available for",
];

/// Fields that models are known to refuse, and how messages write them. `tools` has more names than one.
const FIELDS: &[(&str, &[&str])] = &[
    ("reasoning_effort", &["reasoning effort"]),
    ("max_completion_tokens", &["max completion tokens"]),
    ("max_tokens", &["max tokens"]),
    ("temperature", &["temperature"]),
    ("top_p", &["top p"]),
    ("response_format", &["response format"]),
    ("tool_choice", &["tool choice"]),
    ("parallel_tool_calls", &["parallel tool calls"]),
    ("stream_options", &["stream options"]),
    ("cache_control", &["cache control"]),
    ("session_id", &["session id"]),
    ("tools", &["tools", "tool use", "tool calling", "tool calls", "function calling", "functions"]),
];

/// Types an error that came as an HTTP status. `now_epoch` (seconds since 1970) is for a Retry-After that is a date.
pub fn classify_status(status: u16, headers: &ResponseHeaders, body: &[u8], now_epoch: f64) -> ClientError {
    let mut report = GatewayReport::from_body(status, body);
    report.request_id = headers.request_id.clone().or(report.request_id);
    let asked = headers.retry_after.as_deref().and_then(|header| parse_retry_after(header, now_epoch));
    report.retry_after = asked.or(report.retry_after);
    let by_status = class_of_status(status);
    let class = match (by_status, class_of_codes(&report)) {
        // These statuses leave no doubt.
        (Class::Unauthorized | Class::Forbidden | Class::Spend | Class::NotFound, _) | (_, None) => by_status,
        // A status that passes or a status that stays is stronger than a code that says the contrary.
        (Class::Rate | Class::Transient, Some(Class::Invalid)) | (Class::Invalid, Some(Class::Transient)) => {
            by_status
        }
        (_, Some(by_code)) => by_code,
    };
    refine(Some(class), report)
}

/// Types an error that came inside a stream or a whole body: the value of `error`, an object or text.
pub fn classify_inband(error: &Value, request_id: Option<&str>) -> ClientError {
    let mut report = GatewayReport::from_error(error);
    report.request_id = request_id.map(str::to_owned);
    refine(class_of_codes(&report), report)
}

/// Reads the numbers of "input length and `max_tokens` exceed context limit: N + M > L".
pub fn parse_max_tokens_overflow(message: &str) -> Option<MaxTokensOverflow> {
    let words = Words::new(message);
    if !words.has("max tokens") || !words.has_any(&["context limit", "context length", "context window"]) {
        return None;
    }
    message.match_indices('>').find_map(|(at, _)| {
        let (left, limit) = (&message[..at], leading_number(&message[at + 1..])?);
        let (input, max) = left.rsplit_once('+')?;
        if max.trim().is_empty() || !max.trim().bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let max_tokens = max.trim().parse().ok()?;
        Some(MaxTokensOverflow { input_tokens: trailing_number(input)?, max_tokens, context_limit: limit })
    })
}

fn leading_number(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

fn trailing_number(text: &str) -> Option<u64> {
    let text = text.trim_end();
    let start = text
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    text[start..].parse().ok()
}

/// Corrects a class by what the message says, and builds the error.
fn refine(class: Option<Class>, report: GatewayReport) -> ClientError {
    let said = [Some(report.message.as_str()), report.provider_error.as_deref()];
    let said = said.into_iter().flatten().collect::<Vec<_>>().join("\n");
    let words = Words::new(&said);
    let is_vague =
        matches!(class, None | Some(Class::Invalid | Class::Transient | Class::Context | Class::Unexpected));
    if is_vague {
        if let Some(overflow) = parse_max_tokens_overflow(&said) {
            return ClientError::MaxTokensOverflow { overflow, report: report.into() };
        }
        if class == Some(Class::Context) || speaks_of_context(&words) {
            return ClientError::ContextOverflow { report: report.into() };
        }
        if let Some(field) = unsupported_field(class, &words, &report) {
            return ClientError::UnsupportedField { field, report: report.into() };
        }
    }
    let class = match class {
        None => class_of_words(&words),
        Some(Class::Rate | Class::Transient) if words.has_any(SPEND_WORDS) => Class::Spend,
        // A provider's refusal in the wrapping of a failure.
        Some(Class::Transient) if words.has_any(&["validationexception", "invalid request error"]) => {
            Class::Invalid
        }
        Some(class) => class,
    };
    build(class, report)
}

fn build(class: Class, report: GatewayReport) -> ClientError {
    let retry_after = report.retry_after;
    let report = Box::new(report);
    match class {
        Class::Unauthorized => ClientError::Unauthorized { report },
        Class::Forbidden => ClientError::Forbidden { report },
        Class::Spend => ClientError::SpendLimit { report },
        Class::Rate => ClientError::RateLimited { report, retry_after },
        Class::Context => ClientError::ContextOverflow { report },
        Class::NotFound => ClientError::NotFound { report },
        Class::Invalid => ClientError::InvalidRequest { report },
        Class::Transient => ClientError::Upstream { report, retry_after },
        Class::Unexpected => ClientError::Unexpected { report },
    }
}

fn class_of_status(status: u16) -> Class {
    match status {
        401 => Class::Unauthorized,
        402 => Class::Spend,
        403 => Class::Forbidden,
        404 => Class::NotFound,
        413 => Class::Context,
        429 => Class::Rate,
        _ if is_transient_status(status) => Class::Transient,
        400..=499 => Class::Invalid,
        _ => Class::Unexpected,
    }
}

/// The class that `code` names, else the one that `type` names.
fn class_of_codes(report: &GatewayReport) -> Option<Class> {
    [&report.code, &report.family].into_iter().flatten().find_map(|code| class_of_code(code))
}

fn class_of_code(code: &str) -> Option<Class> {
    let code = code.trim().to_ascii_lowercase();
    if let Ok(status) = code.parse::<u16>() {
        return (400..600).contains(&status).then(|| class_of_status(status));
    }
    CODES.iter().find(|(name, _)| *name == code).map(|(_, class)| *class)
}

fn class_of_words(words: &Words) -> Class {
    let by_phrase = [
        (UNAUTHORIZED_WORDS, Class::Unauthorized),
        (SPEND_WORDS, Class::Spend),
        (RATE_WORDS, Class::Rate),
        (FORBIDDEN_WORDS, Class::Forbidden),
    ];
    if let Some((_, class)) = by_phrase.iter().find(|(phrases, _)| words.has_any(phrases)) {
        return *class;
    }
    let by_status = words.statuses().filter(|status| (400..600).contains(status)).map(class_of_status).next();
    if let Some(class) = by_status.filter(|class| *class != Class::Unexpected) {
        return class;
    }
    let rest = [
        (INVALID_WORDS, Class::Invalid),
        (TRANSIENT_WORDS, Class::Transient),
        (NOT_FOUND_WORDS, Class::NotFound),
    ];
    rest.iter().find(|(phrases, _)| words.has_any(phrases)).map_or(Class::Invalid, |(_, class)| *class)
}

/// Whether a message says that the conversation is too long. "context deadline exceeded" and "invalid context id" do not.
fn speaks_of_context(words: &Words) -> bool {
    if words.has_any(RATE_WORDS)
        || words.has_any(&["deadline", "took too long", "taking too long", "waited too long"])
    {
        return false;
    }
    let is_context =
        words.only() == Some("context") || (words.has("context") && words.has_any(CONTEXT_SIZE_WORDS));
    let is_lengthy = words.has_any(&["too long", "too large"])
        && (words.has_any(LENGTHY_THINGS) || words.has("context"))
        && !words.has_any(&["name", "names", "id", "ids", "uri", "url", "file", "image"]);
    is_context || is_lengthy || words.has_any(CONTEXT_WORDS)
}

/// The field that the model does not take. `reasoning_effort` is dispensable, so that naming it in a refusal is enough.
fn unsupported_field(class: Option<Class>, words: &Words, report: &GatewayReport) -> Option<String> {
    let is_refusal = words.has_any(UNSUPPORTED_WORDS)
        || matches!(
            report.code.as_deref(),
            Some("unsupported_parameter" | "unsupported_value" | "unknown_parameter")
        );
    let named = |field: &(&'static str, &[&str])| {
        let is_param =
            report.param.as_deref().is_some_and(|param| param.split('.').any(|part| part == field.0));
        let place = field.1.iter().filter_map(|phrase| words.position(phrase)).min();
        let counts = is_refusal || (field.0 == "reasoning_effort" && class != Some(Class::Transient));
        let place = if is_param { Some(0) } else { place };
        place.filter(|_| counts).map(|place| (place, field.0))
    };
    FIELDS.iter().filter_map(named).min_by_key(|(place, _)| *place).map(|(_, field)| field.to_owned())
}
