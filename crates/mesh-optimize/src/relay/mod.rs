//! For who passes requests on and keeps the books: what an answer reports as it passes, what it all cost and saved, what a cap
//! still lets one spend.
//!
//! - `tap`: the usage report of an answer that passes by
//! - `books`: sums by session and model, caps, what is held back for requests under way
//! - `receipt`: receipts of what was not changed, and of what nobody reported
//! - `page`, `metrics`: the sums for people, and as text for Prometheus
mod books;
mod metrics;
mod page;
mod receipt;
mod tap;

pub use books::{Books, Capped, Caps, Day, Session, Span, Sum};
pub use metrics::metrics;
pub use page::html;
pub use receipt::{unchanged, unreported};
pub use tap::{Tap, unpacked};
