//! The trace: `MESHAPI_LOG=FILE` writes one JSON line per event and per ended span. Shape: `docs/formats.md`.
//!
//! Without the variable nothing is installed and a span costs one load of an atomic. The file is made for its owner
//! alone and appended to; secrets are taken out of every text before it is written.

use std::{
    fmt::{self, Write as _},
    fs::{File, OpenOptions},
    io,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use serde_json::{Map, Value, json};
use tracing::{
    Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

use crate::{secret::Redactor, sys};

/// Version of the lines, in their field `v`.
pub const LOG_VERSION: u32 = 1;

/// Which spans and events are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    default: LevelFilter,
    targets: Vec<(String, LevelFilter)>,
}

impl Filter {
    /// Reads `debug`, or `info,mesh_client=trace`: a level for all, and levels for targets that begin so.
    ///
    /// What is not understood is left out. Without any level it is `debug` for our crates and `warn` for others.
    pub fn parse(text: &str) -> Filter {
        let mut filter = Filter { default: LevelFilter::WARN, targets: Vec::new() };
        let mut given = false;
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (target, level) =
                part.split_once('=').map_or((None, part), |(t, l)| (Some(t.trim()), l.trim()));
            let Ok(level) = level.parse::<LevelFilter>() else { continue };
            given = true;
            match target {
                Some(target) => filter.targets.push((target.to_owned(), level)),
                None => filter.default = level,
            }
        }
        if !given {
            filter.targets.push(("mesh".to_owned(), LevelFilter::DEBUG));
        }
        // The longest target decides.
        filter.targets.sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
        filter
    }

    fn allows(&self, metadata: &Metadata<'_>) -> bool {
        let found = self.targets.iter().find(|(target, _)| metadata.target().starts_with(target.as_str()));
        *metadata.level() <= found.map_or(self.default, |(_, level)| *level)
    }

    fn most(&self) -> LevelFilter {
        self.targets.iter().map(|(_, level)| *level).chain([self.default]).max().unwrap_or(LevelFilter::OFF)
    }
}

/// Begins to write the trace of this process to `path`. Call once, before anything is traced.
///
/// # Errors
/// The file cannot be opened, or a trace was begun before.
pub fn start(path: &Path, filter: Filter, redactor: Redactor) -> io::Result<()> {
    let file = open(path)?;
    let subscriber = Registry::default().with(JsonLines { out: Mutex::new(file), filter, redactor });
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)
}

/// Opens the file for appending; it is private from its first moment, and made so if it was there.
fn open(path: &Path) -> io::Result<File> {
    let file = sys::private(OpenOptions::new().create(true).append(true)).open(path)?;
    // A pipe or a device such as /dev/stderr has no mode of ours.
    if file.metadata()?.is_file() {
        sys::tighten_file(&file)?;
    }
    Ok(file)
}

/// Writes what it sees as lines of JSON.
struct JsonLines<W> {
    out: Mutex<W>,
    filter: Filter,
    redactor: Redactor,
}

/// What is kept of an open span.
struct Open {
    fields: Map<String, Value>,
    since: Instant,
}

impl<W: io::Write + 'static> JsonLines<W> {
    fn write(&self, kind: &str, metadata: &Metadata<'_>, spans: Vec<Value>, rest: Map<String, Value>) {
        let mut line = json!({
            "v": LOG_VERSION,
            "time": jiff::Timestamp::now().to_string(),
            "kind": kind,
            "level": level_name(*metadata.level()),
            "target": metadata.target(),
        });
        if let Value::Object(fields) = &mut line {
            if kind == "span" {
                fields.insert("name".into(), metadata.name().into());
            }
            if !spans.is_empty() {
                fields.insert("spans".into(), Value::Array(spans));
            }
            fields.extend(rest);
        }
        let text = format!("{line}\n");
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not stop the run: the trace then has a gap.
        let _ = out.write_all(text.as_bytes());
    }

    fn collect(&self, record: impl FnOnce(&mut Fields<'_>)) -> Map<String, Value> {
        let mut fields = Fields { redactor: &self.redactor, map: Map::new() };
        record(&mut fields);
        fields.map
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: io::Write + 'static,
{
    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        self.filter.allows(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.filter.most())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let fields = self.collect(|visitor| attributes.record(visitor));
            span.extensions_mut().insert(Open { fields, since: Instant::now() });
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let fields = self.collect(|visitor| values.record(visitor));
            if let Some(open) = span.extensions_mut().get_mut::<Open>() {
                open.fields.extend(fields);
            }
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let spans = context
            .event_scope(event)
            .map(|scope| scope.from_root().map(|span| Value::from(span.name())).collect())
            .unwrap_or_default();
        let fields = self.collect(|visitor| event.record(visitor));
        self.write(
            "event",
            event.metadata(),
            spans,
            Map::from_iter([("fields".to_owned(), Value::Object(fields))]),
        );
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(Open { fields, since }) = span.extensions_mut().remove::<Open>() else { return };
        let spans = span.scope().from_root().map(|span| Value::from(span.name())).collect::<Vec<_>>();
        let spans = spans[..spans.len().saturating_sub(1)].to_vec();
        let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        let rest =
            [("elapsed_us".to_owned(), Value::from(micros)), ("fields".to_owned(), Value::Object(fields))];
        self.write("span", span.metadata(), spans, Map::from_iter(rest));
    }
}

/// Fields as JSON, texts redacted.
struct Fields<'a> {
    redactor: &'a Redactor,
    map: Map<String, Value>,
}

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        self.map.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::from(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::from(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::from(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::from(value));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::from(self.redactor.redact(value)));
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.record_str(field, &text);
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, sync::Arc};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn traced(filter: &str, run: impl FnOnce()) -> Vec<Value> {
        let out = Shared::default();
        let layer = JsonLines {
            out: Mutex::new(out.clone()),
            filter: Filter::parse(filter),
            redactor: Redactor::new(["live-key".to_owned()]),
        };
        tracing::subscriber::with_default(Registry::default().with(layer), run);
        let bytes = out.0.lock().unwrap().clone();
        bytes
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| {
                let mut line: Value = serde_json::from_slice(line).unwrap();
                assert!(line["time"].as_str().unwrap().ends_with('Z'));
                line["time"] = "T".into();
                if !line["elapsed_us"].is_null() {
                    line["elapsed_us"] = 0.into();
                }
                line
            })
            .collect()
    }

    #[test]
    fn events_and_ended_spans_are_lines() {
        let lines = traced("trace", || {
            let hop =
                tracing::info_span!(target: "mesh_agent", "hop", number = 1, cost = tracing::field::Empty);
            let _entered = hop.enter();
            let request = tracing::debug_span!(target: "mesh_client", "request", key = "live-key");
            request.in_scope(|| tracing::warn!(target: "mesh_client", status = 503, "again in a moment"));
            drop(request);
            hop.record("cost", 0.5);
            let error = io::Error::other("Bearer rsk_abcdefgh12345");
            tracing::error!(target: "mesh_agent", error = &error as &dyn std::error::Error, ok = false);
        });
        let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
        assert!(!text.contains("live-key") && !text.contains("abcdefgh"), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_filter_lets_through_what_it_names() {
        let seen = |filter: &str| {
            traced(filter, || {
                tracing::debug!(target: "mesh_client::http", "a");
                tracing::info!(target: "mesh_agent", "b");
                tracing::info!(target: "hyper", "c");
            })
            .iter()
            .map(|l| l["fields"]["message"].as_str().unwrap().to_owned())
            .collect::<String>()
        };
        assert_eq!(seen(""), "ab");
        assert_eq!(seen("nonsense,x=y"), "ab");
        assert_eq!(seen("info"), "bc");
        assert_eq!(seen("off,mesh_client=debug"), "a");
        assert_eq!(seen("trace,mesh=off,mesh_agent=info"), "bc");
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_private_and_appended_to() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        open(&path).unwrap().write_all(b"1\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        open(&path).unwrap().write_all(b"2\n").unwrap();
        assert_eq!(sys::mode(&path).unwrap(), Some(0o600));
        assert_eq!(std::fs::read(&path).unwrap(), b"1\n2\n");
        assert!(open(&folder.path().join("missing/trace")).is_err());
    }
}
