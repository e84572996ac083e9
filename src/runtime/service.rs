//! An engine as a service of `tower`.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tower_service::Service;

use super::Elpis;
use super::interface::{BoxFuture, ChatRequest, InferenceEngine, Reservation};
use crate::engine::GenerationStream;
use crate::error::Error;
use crate::inference::Completion;

/// A [`tower`](https://docs.rs/tower) service over an [`InferenceEngine`], for stacks of timeouts,
/// limits and load balancers.
///
/// It responds to a [`ChatRequest`] with the whole [`Completion`], or [piece by
/// piece](Self::streaming). A ready service has reserved a place in the engine for the next call:
/// while all of `runtime.n_parallel` and `runtime.queue_limit` are in use, the service is not
/// ready, and a call of a ready service is never [overloaded]. Dropping the service releases the
/// place. A clone has its own reservation; a call without readiness requests a place and may be
/// refused.
///
/// A call whose future is dropped, for example by a timeout, is cancelled within one token.
///
/// [overloaded]: crate::EngineError::Overloaded
///
/// ```no_run
/// use std::time::Duration;
///
/// use elpis::{ChatMessage, ChatRequest, Elpis, EngineService, Settings};
/// use tower::{Service, ServiceBuilder, ServiceExt};
///
/// # async fn run() -> Result<(), tower::BoxError> {
/// let elpis = Elpis::start(Settings::default()).await?;
/// let mut service = ServiceBuilder::new()
///     .concurrency_limit(4)
///     .timeout(Duration::from_secs(60))
///     .service(EngineService::from(elpis));
/// let request = ChatRequest {
///     session: "ada".to_owned(),
///     messages: vec![ChatMessage::user("Tell me about trains.")],
///     options: Default::default(),
/// };
/// let reply = service.ready().await?.call(request).await?;
/// println!("{}", reply.text);
/// # Ok(())
/// # }
/// ```
pub struct EngineService<E: ?Sized, R = Completion> {
    engine: Arc<E>,
    readiness: Readiness,
    reply: PhantomData<fn() -> R>,
}

/// The state of the reservation for the next call.
enum Readiness {
    Idle,
    Waiting(BoxFuture<'static, Result<Reservation, Error>>),
    Ready(Reservation),
}

impl<E: InferenceEngine + ?Sized + 'static> EngineService<E> {
    /// Creates a service that responds with whole replies.
    pub fn new(engine: Arc<E>) -> Self {
        Self::over(engine)
    }

    /// Creates a service of the same engine that responds with a stream of the reply. The call's
    /// future completes when the generation is submitted; dropping the stream ends the generation.
    #[must_use]
    pub fn streaming(self) -> EngineService<E, GenerationStream> {
        EngineService::over(self.engine)
    }
}

impl<E: InferenceEngine + ?Sized + 'static, R> EngineService<E, R> {
    fn over(engine: Arc<E>) -> Self {
        Self {
            engine,
            readiness: Readiness::Idle,
            reply: PhantomData,
        }
    }

    fn poll_place(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            match &mut self.readiness {
                Readiness::Ready(_) => return Poll::Ready(Ok(())),
                Readiness::Idle => {
                    let engine = Arc::clone(&self.engine);
                    let place = Box::pin(async move { engine.reserve().await });
                    self.readiness = Readiness::Waiting(place);
                }
                Readiness::Waiting(place) => {
                    let place = ready!(place.as_mut().poll(context));
                    self.readiness = Readiness::Idle;
                    self.readiness = Readiness::Ready(place?);
                }
            }
        }
    }

    fn submit(
        &mut self,
        request: ChatRequest,
    ) -> BoxFuture<'static, Result<GenerationStream, Error>> {
        let engine = Arc::clone(&self.engine);
        let place = match std::mem::replace(&mut self.readiness, Readiness::Idle) {
            Readiness::Ready(place) => place,
            Readiness::Idle | Readiness::Waiting(_) => Reservation::default(),
        };
        Box::pin(async move { engine.chat_completion_stream_in(place, request).await })
    }
}

impl From<Elpis> for EngineService<Elpis> {
    fn from(elpis: Elpis) -> Self {
        Self::new(Arc::new(elpis))
    }
}

impl<E: ?Sized, R> Clone for EngineService<E, R> {
    fn clone(&self) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            readiness: Readiness::Idle,
            reply: PhantomData,
        }
    }
}

impl<E: ?Sized, R> fmt::Debug for EngineService<E, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_ready = matches!(self.readiness, Readiness::Ready(_));
        f.debug_struct("EngineService")
            .field("is_ready", &is_ready)
            .finish_non_exhaustive()
    }
}

impl<E: InferenceEngine + ?Sized + 'static> Service<ChatRequest> for EngineService<E> {
    type Response = Completion;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Completion, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_place(context)
    }

    fn call(&mut self, request: ChatRequest) -> Self::Future {
        let stream = self.submit(request);
        Box::pin(async move { Ok(stream.await?.completion().await?) })
    }
}

impl<E: InferenceEngine + ?Sized + 'static> Service<ChatRequest>
    for EngineService<E, GenerationStream>
{
    type Response = GenerationStream;
    type Error = Error;
    type Future = BoxFuture<'static, Result<GenerationStream, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_place(context)
    }

    fn call(&mut self, request: ChatRequest) -> Self::Future {
        self.submit(request)
    }
}
