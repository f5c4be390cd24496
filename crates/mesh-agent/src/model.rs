//! Who answers requests: the gateway through `mesh_client`, or a script in tests.

use std::{future::Future, pin::Pin};

use mesh_client::{ClientError, Completion, MeshClient, RetryPolicy, StreamEvent, wire::CompletionRequest};

/// A boxed reply.
pub type ReplyFuture<'a> = Pin<Box<dyn Future<Output = Result<Completion, ClientError>> + Send + 'a>>;

/// Takes stream events as they come.
pub type Sink<'a> = &'a mut (dyn FnMut(StreamEvent<'_>) + Send);

/// Answers one request, retries included.
pub trait Model: Send + Sync {
    /// Sends the request and hands out the reply as it comes.
    ///
    /// # Cancel safety
    /// Dropping the future drops the request.
    fn complete<'a>(&'a self, request: CompletionRequest, sink: Sink<'a>) -> ReplyFuture<'a>;
}

/// A gateway with a retry policy.
#[derive(Clone, Debug)]
pub struct GatewayModel {
    /// The connection.
    pub client: MeshClient,
    /// How often and how long to try.
    pub retry: RetryPolicy,
}

impl Model for GatewayModel {
    fn complete<'a>(&'a self, request: CompletionRequest, sink: Sink<'a>) -> ReplyFuture<'a> {
        Box::pin(async move { self.client.complete(&request, &self.retry, sink).await })
    }
}
