//! What can keep an agent from going on.

/// An error that ends a turn at once.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The recorder failed: going on would act without a trace.
    #[error(
        "the session record could not be written; free space or check the permissions of its folder, then ask again"
    )]
    Record(#[source] std::io::Error),
}
