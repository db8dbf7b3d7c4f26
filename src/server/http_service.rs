//! The server as a function from request to answer: the routes, and what surrounds them all.
//!
//! One service rather than a stack of layers: of each layer around its routes, axum makes a copy for each
//! request, on the heap.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{self, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tower::{BoxError, Service, ServiceExt};
use tower_http::cors::Cors;

use super::{ApiError, AppState, cors, mistake, router};
use crate::schemas::Dialect;

/// What an answer depends on wherever pages of other origins may be let in.
const VARY: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers",
);

/// Answers requests; clones share everything.
#[derive(Clone)]
pub struct HttpService(Arc<Parts>);

struct Parts {
    routes: Router,
    /// The routes for pages of other origins.
    foreign: Cors<Router>,
}

impl HttpService {
    /// Makes the service of a state.
    pub fn new(state: AppState) -> Self {
        let cors = cors::layer(&state.settings);
        let routes = router::router(state);
        let foreign = tower::Layer::layer(&cors, routes.clone());
        Self(Arc::new(Parts { routes, foreign }))
    }
}

impl<B> Service<http::Request<B>> for HttpService
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let parts = Arc::clone(&self.0);
        let request = request.map(Body::new);
        Box::pin(async move {
            // A fault of ours costs its own request, not the connection and what else is on it.
            let answer = AssertUnwindSafe(parts.answer(request)).catch_unwind();
            Ok(answer.await.unwrap_or_else(panicked))
        })
    }
}

impl Parts {
    async fn answer(&self, request: Request) -> Response {
        let dialect = Dialect::of_headers(request.headers()).unwrap_or(Dialect::Three);
        let is_foreign =
            request.method() == Method::OPTIONS || request.headers().contains_key(header::ORIGIN);
        let answered = if is_foreign {
            self.foreign.clone().oneshot(request).await
        } else {
            let answered = self.routes.clone().oneshot(request).await;
            answered.map(|mut response| {
                response.headers_mut().append(header::VARY, VARY);
                response
            })
        };
        let Ok(response) = answered;
        // Handlers refuse without asking whom.
        mistake::in_words_of(dialect, response)
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    ApiError::Internal(format!("a handler panicked: {}", text.unwrap_or_default())).into_response()
}
