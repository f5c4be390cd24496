//! Who answers requests: the gateway through `mesh_client`, or a script in tests.

use std::{future::Future, pin::Pin};

use mesh_client::{
    Answer, ClientError, Completion, Delivery, MeshClient, RetryPolicy, StreamEvent,
    wire::{CompletionRequest, RequestBody},
};

/// A boxed reply.
pub type ReplyFuture<'a> = Pin<Box<dyn Future<Output = Result<Completion, ClientError>> + Send + 'a>>;

/// A boxed reply that says to which bytes it is one.
pub type AnswerFuture<'a> = Pin<Box<dyn Future<Output = Result<Answer, ClientError>> + Send + 'a>>;

/// Takes stream events as they come.
pub type Sink<'a> = &'a mut (dyn FnMut(StreamEvent<'_>) + Send);

/// Answers one request, retries included.
pub trait Model: Send + Sync {
    /// Sends the request and hands out the reply as it comes.
    ///
    /// # Cancel safety
    /// Dropping the future drops the request.
    fn complete<'a>(&'a self, request: CompletionRequest, sink: Sink<'a>) -> ReplyFuture<'a>;

    /// Sends `body`, which says the same as the request in fewer or cheaper bytes, and the request itself when that is refused.
    /// A model that cannot do that sends the request itself.
    ///
    /// # Cancel safety
    /// Dropping the future drops the request.
    fn complete_optimised<'a>(
        &'a self,
        request: CompletionRequest,
        _body: RequestBody,
        sink: Sink<'a>,
    ) -> AnswerFuture<'a> {
        Box::pin(async move {
            let completion = self.complete(request, sink).await?;
            Ok(Answer { completion, delivery: Delivery::Raw })
        })
    }
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

    fn complete_optimised<'a>(
        &'a self,
        request: CompletionRequest,
        body: RequestBody,
        sink: Sink<'a>,
    ) -> AnswerFuture<'a> {
        Box::pin(async move { self.client.complete_optimised(&request, body, &self.retry, sink).await })
    }
}
