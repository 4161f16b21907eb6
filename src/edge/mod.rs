//! Everything that can fail or wait: Kafka, SQLite, mail, HTTP, signals, the clock.
//!
//! [`run`] is one loop over one closed enum of everything that can happen. One thread owns the engines and the
//! router and decides; threads around it only carry: one reads Kafka, one writes records down, one serves HTTP, one for each
//! receiver delivers.

mod budget;
pub mod classical;
pub mod clock;
mod core;
pub mod deliver;
mod draw;
pub mod failpoint;
mod figures;
pub mod http;
pub mod kafka;
pub mod ledger;
pub mod log;
mod markup;
pub mod mock;
pub mod notify;
mod offer;
mod payload;
pub mod reload;
pub mod report;
mod show;
pub mod telemetry;
mod users;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use self::core::Core;
pub use self::core::{Answer, Ask, Command, Happening, NewAck, NewSilence, Refusal};
use self::kafka::EndReason;
use self::ledger::{Identity, Ledger, LedgerError};
use self::telemetry::Board;
use crate::config::{Config, socket_beside};

/// Why the daemon ended, other than because it was told to.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The database cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The Kafka settings cannot be used.
    #[error("kafka: {0}")]
    Settings(#[from] kafka::SettingsError),
    /// There are no rules to start with.
    #[error("no rules to start with: {0}")]
    Rules(String),
    /// A thread or a socket cannot be had.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// The reader ended by itself.
    #[error("reading Kafka ended: {0:?}")]
    Reader(EndReason),
}

impl EdgeError {
    /// The exit code of the process: 1 what the operator can mend, 69 unavailable or fenced, 70 ours.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Ledger(_) | Self::Settings(_) | Self::Rules(_) => 1,
            Self::Reader(EndReason::Gap(_) | EndReason::Fatal(_)) => 69,
            Self::Reader(EndReason::Stalled(_) | EndReason::Stopped) | Self::System { .. } => 70,
        }
    }
}

/// How long the consumer may take to close before the process goes without it.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// A way to stop and to talk to a running daemon.
#[derive(Clone, Debug)]
pub struct Control {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    happenings: SyncSender<Happening>,
}

impl Control {
    /// Asks the daemon to stop.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        // A full channel is no harm: the loop looks at the flag after everything that it handles.
        drop(self.happenings.try_send(Happening::Wake));
    }

    /// Asks the daemon to read its rule files again.
    pub fn reload(&self) {
        self.reload.store(true, Ordering::SeqCst);
        drop(self.happenings.try_send(Happening::Wake));
    }
}

/// Runs the daemon until it is told to stop. `started` gets the way to tell it, and the board it shows itself on.
///
/// # Errors
/// Why it could not start, or could not go on. Everything that was decided is in the database either way.
pub fn run(config: Config, started: impl FnOnce(Control, Arc<Board>)) -> Result<(), EdgeError> {
    let group_by: Vec<&str> = config.engine.group_by.iter().map(|group| group.as_str()).collect();
    let identity = Identity { topic: config.kafka.topic.clone(), group_by: group_by.join(",") };
    let mut ledger = Ledger::open(&config.data_dir, &identity)?;
    ledger.pass_dead_letters_to(config.dead_letters.clone());
    let (send, receive) = sync_channel(4);
    let stop = Arc::new(AtomicBool::new(false));
    let board = Arc::new(Board::default());
    let reload = Arc::new(AtomicBool::new(false));
    let control = Control { stop: Arc::clone(&stop), reload: Arc::clone(&reload), happenings: send.clone() };
    let mut core = Core::start(config, ledger, Arc::clone(&board), (send.clone(), receive), (stop, reload))?;
    let config = core.config();
    let api = http::api::Api {
        board: Arc::clone(&board),
        database: config.database(),
        access: config.access.clone(),
        asks: send.clone(),
    };
    let places = http::Places {
        address: config.listen,
        socket: Some(socket_beside(&config.database())),
        limits: http::Limits::default(),
    };
    let doing = || format!("listening on {} (http.listen)", config.listen.map(|a| a.to_string()).unwrap_or_default());
    let bound = http::serve(&places, api).map_err(|source| EdgeError::System { doing: doing(), source })?;
    if let Some(bound) = bound {
        board.listening(bound);
    }
    let kafka = kafka::start(&config.kafka, forward(send.clone())?)?;
    watch_rules(config.rules.clone(), send)?;
    started(control, board);
    core.read(kafka);
    let ended = core.run();
    core.close(CLOSE_WITHIN);
    ended
}

/// A channel whose events arrive among everything else that happens.
fn forward(happenings: SyncSender<Happening>) -> Result<SyncSender<kafka::KafkaEvent>, EdgeError> {
    let (send, receive) = sync_channel(2);
    spawn("kafka-forward", move || {
        while let Ok(event) = receive.recv() {
            if happenings.send(Happening::Kafka(event)).is_err() {
                return;
            }
        }
    })?;
    Ok(send)
}

fn watch_rules(paths: Vec<PathBuf>, happenings: SyncSender<Happening>) -> Result<(), EdgeError> {
    spawn("rules", move || reload::watch(&paths, || happenings.send(Happening::Reload("file change")).is_ok()))
        .map(drop)
}

/// Starts a named thread.
fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, EdgeError> {
    let system = |source| EdgeError::System { doing: format!("starting the thread {name}"), source };
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(system)
}

/// Tells systemd that the daemon works.
pub fn ready() {
    core::notify_systemd(&[sd_notify::NotifyState::Ready]);
}
