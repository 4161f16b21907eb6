//! /metrics and health on the loopback interface.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;

use super::telemetry::{Board, Exposition, metrics};
use super::{clock, spawn};

/// How long a client may take to send the head of a request, and the whole exchange may take.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
const DONE_WITHIN: Duration = Duration::from_secs(30);
/// Connections at one time.
const CONNECTIONS_MAX: usize = 64;
/// The loop counts as alive while its last round is younger than this.
const ALIVE_WITHIN: crate::engine::units::Span = crate::engine::units::Span::from_secs(30);

/// Serves in a thread of its own; returns the address, whose port the system chose where 0 was given.
///
/// # Errors
/// The address cannot be had.
pub fn serve(address: SocketAddr, board: Arc<Board>) -> std::io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let app = router(board);
    spawn("http", move || runtime.block_on(accept(listener, app))).map_err(std::io::Error::other)?;
    Ok(bound)
}

/// The accept loop of our own: the one that comes with the library sets no limit for slow heads.
async fn accept(listener: std::net::TcpListener, app: Router) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "HTTP cannot be served");
            return;
        }
    };
    let room = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                pause().await;
                continue;
            }
        };
        let service = TowerToHyperService::new(app.clone());
        connections.spawn(async move {
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            // What a client does to its own connection is its own affair.
            drop(tokio::time::timeout(DONE_WITHIN, connection).await);
            drop(permit);
        });
    }
}

/// Out of file descriptors: wait a little instead of spinning.
async fn pause() {
    let wait = tokio::time::timeout(Duration::from_millis(100), std::future::pending::<()>());
    drop(wait.await);
}

fn router(board: Arc<Board>) -> Router {
    Router::new()
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .route("/metrics", get(show_metrics))
        .with_state(board)
}

/// Headers that every answer carries.
fn plain(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    ];
    (status, headers, body).into_response()
}

async fn healthy(State(board): State<Arc<Board>>) -> Response {
    let ticked = board.read().ticked_at;
    match ticked {
        Some(at) if clock::now().since(at) < ALIVE_WITHIN => {
            plain(StatusCode::OK, "text/plain", "healthy\n".to_owned())
        }
        _ => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "text/plain",
            "the main loop has not gone round for 30 s\n".to_owned(),
        ),
    }
}

async fn ready(State(board): State<Arc<Board>>) -> Response {
    let snapshot = board.read();
    if snapshot.ready {
        return plain(StatusCode::OK, "text/plain", "ready\n".to_owned());
    }
    plain(StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("not ready: {}\n", snapshot.not_ready_because))
}

async fn show_metrics(State(board): State<Arc<Board>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    let format =
        if accept.contains("application/openmetrics-text") { Exposition::OpenMetrics } else { Exposition::Text };
    plain(StatusCode::OK, format.content_type(), metrics(&board.read(), format))
}
