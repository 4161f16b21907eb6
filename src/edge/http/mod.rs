//! /metrics, health and the API, on the loopback interface and on a socket in the file system.

pub mod api;
mod guard;
mod room;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};

use self::api::{Api, Caller};
pub use self::room::Limits;
use self::room::Room;
use super::failpoint::{Point, reach};
use super::telemetry::{Board, Exposition, STANDS, metrics};
use super::{clock, spawn, users};

/// Threads that may wait for the database or the loop at one time.
const WAITING_MAX: usize = 16;

/// Where to answer.
#[derive(Clone, Debug)]
pub struct Places {
    /// On the network.
    pub address: Option<SocketAddr>,
    /// A socket in the file system, for this machine's users as its folder admits them.
    pub socket: Option<PathBuf>,
    /// What a client may take of time and room.
    pub limits: Limits,
}

/// Serves in a thread of its own; returns the address, whose port the system chose where 0 was given. A socket that cannot
/// be had is said in the log: the daemon watches all the same.
///
/// # Errors
/// The address cannot be had.
pub fn serve(places: &Places, api: Api) -> std::io::Result<Option<SocketAddr>> {
    let listener = places.address.map(std::net::TcpListener::bind).transpose()?;
    if let Some(listener) = &listener {
        listener.set_nonblocking(true)?;
    }
    let bound = listener.as_ref().map(std::net::TcpListener::local_addr).transpose()?;
    let socket = places.socket.as_deref().and_then(|path| match listen_on(path) {
        Ok(socket) => Some(socket),
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "no socket: `shewhart ack`, `silence` and `status` will not reach this daemon");
            None
        }
    });
    if bound.is_some() {
        api::look_at_token(&api.access);
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(WAITING_MAX).build()?;
    let limits = places.limits;
    let app = router(api, limits);
    spawn("http", move || {
        runtime.block_on(async move {
            let network = listener.map(|listener| accept(listener, app.clone(), Room::new(limits)));
            // Whoever fills the network's room must not lock this machine's operator out.
            let local = socket.map(|socket| accept_local(socket, app.clone(), Room::new(limits)));
            let network = async {
                if let Some(network) = network {
                    network.await;
                }
            };
            let local = async {
                if let Some(local) = local {
                    local.await;
                }
            };
            tokio::join!(network, local);
        });
    })
    .map_err(std::io::Error::other)?;
    Ok(bound)
}

/// The socket, in place of one that an earlier daemon left: whoever holds the database is the only one.
fn listen_on(path: &Path) -> std::io::Result<std::os::unix::net::UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;
    if path.exists() {
        std::fs::remove_file(path)?;
    }
    let socket = std::os::unix::net::UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The accept loop of our own: the one that comes with the library sets no limit for slow heads.
async fn accept(listener: std::net::TcpListener, app: Router, mut room: Room) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "HTTP cannot be served");
            return;
        }
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => room.admit(stream, app.clone().layer(Extension(Caller::Network))).await,
            Err(error) => refused(&error).await,
        }
    }
}

/// The same for the socket, where the system says who calls.
async fn accept_local(socket: std::os::unix::net::UnixListener, app: Router, mut room: Room) {
    let listener = match tokio::net::UnixListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the socket cannot be served");
            return;
        }
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let user = stream.peer_cred().map_or_else(|_| "unknown".to_owned(), |peer| users::name(peer.uid()));
                room.admit(stream, app.clone().layer(Extension(Caller::Local(user)))).await;
            }
            Err(error) => refused(&error).await,
        }
    }
}

async fn refused(error: &std::io::Error) {
    tracing::warn!(%error, "a connection could not be taken");
    pause().await;
}

/// Out of file descriptors: wait a little instead of spinning.
async fn pause() {
    let wait = tokio::time::timeout(Duration::from_millis(100), std::future::pending::<()>());
    drop(wait.await);
}

fn router(api: Api, limits: Limits) -> Router {
    let board = Arc::clone(&api.board);
    let hosts: Arc<[String]> = api.access.hosts.clone().into();
    Router::new()
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .route("/metrics", get(show_metrics))
        .with_state(board)
        .merge(api::routes(api))
        .layer(from_fn_with_state(limits, guard::whole_body))
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(from_fn_with_state(hosts, guard::only_ours))
        .layer(map_response(guard::shut))
}

pub(super) fn plain(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
    (status, headers, body).into_response()
}

async fn healthy(State(board): State<Arc<Board>>) -> Response {
    if board.read().is_alive(clock::instant()) {
        return plain(StatusCode::OK, "text/plain", "healthy\n".to_owned());
    }
    plain(StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("{STANDS}\n"))
}

async fn ready(State(board): State<Arc<Board>>) -> Response {
    match board.read().not_ready(clock::instant()) {
        None => plain(StatusCode::OK, "text/plain", "ready\n".to_owned()),
        Some(why) => plain(StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("not ready: {why}\n")),
    }
}

async fn show_metrics(State(board): State<Arc<Board>>, headers: HeaderMap) -> Response {
    reach(Point::Request);
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    let format =
        if accept.contains("application/openmetrics-text") { Exposition::OpenMetrics } else { Exposition::Text };
    plain(StatusCode::OK, format.content_type(), metrics(&board.read(), format))
}
