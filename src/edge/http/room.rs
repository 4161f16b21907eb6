//! How long a client may take and how many there may be at one time, so that no number of them keeps anybody out.
//!
//! Everybody on a loopback address has the same address, and so has everybody behind a proxy: a share for each address
//! would be a share for all of them together, and one of them could use it up. So there are no shares. When the room is
//! full, who has asked for nothing yet goes, whoever came first among them: a health check that asks at once gets its
//! answer while a thousand connections hang.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{AbortHandle, JoinSet};

/// What a client may take of time and room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long the head of a request may take, and a pause between two requests.
    pub head: Duration,
    /// How long the body of a request may take.
    pub body: Duration,
    /// How long a connection may last in all.
    pub total: Duration,
    /// Connections at one time.
    pub connections: usize,
    /// The longest body, in bytes.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            total: Duration::from_secs(30),
            connections: 256,
            body_bytes: 64 << 10,
        }
    }
}

/// A connection.
#[derive(Debug)]
struct Guest {
    task: AbortHandle,
    /// Whether a request of it is being answered.
    asked: Arc<AtomicBool>,
}

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Room {
    limits: Limits,
    tasks: JoinSet<()>,
    /// In the order in which they came.
    guests: Vec<Guest>,
}

impl Room {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, tasks: JoinSet::new(), guests: Vec::new() }
    }

    /// Takes a connection in, for which another may have to go.
    pub(super) async fn admit<S>(&mut self, stream: S, app: Router)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        while self.tasks.try_join_next().is_some() {}
        self.guests.retain(|guest| !guest.task.is_finished());
        if self.guests.len() >= self.limits.connections
            && let Some(at) = first_to_go(&self.guests)
        {
            self.guests.remove(at).task.abort();
            // The connection closes when its task is next looked at.
            tokio::task::yield_now().await;
        }
        let asked = Arc::new(AtomicBool::new(false));
        let task = self.tasks.spawn(talk(stream, app, self.limits, Arc::clone(&asked)));
        self.guests.push(Guest { task, asked });
    }
}

/// The place of the first that has asked for nothing, or of the first of all.
fn first_to_go(guests: &[Guest]) -> Option<usize> {
    (0..guests.len()).min_by_key(|at| guests.get(*at).map(|guest| guest.asked.load(Ordering::Relaxed)))
}

async fn talk<S>(stream: S, app: Router, limits: Limits, asked: Arc<AtomicBool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |request| {
        asked.store(true, Ordering::Relaxed);
        let (answer, asked) = (app.call(request), Arc::clone(&asked));
        async move {
            let answer = answer.await;
            asked.store(false, Ordering::Relaxed);
            answer
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    // What a client does to its own connection is its own affair.
    drop(tokio::time::timeout(limits.total, connection).await);
}
