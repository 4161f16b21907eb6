//! `shewhart demo`: the whole thing on one machine: broker, agents, daemon, mails.

mod show;
mod story;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use self::story::Story;
use super::args::DemoArgs;
use super::{Invalid, OK, print, say};
use crate::config::{Access, Config, REFRESH_EVERY};
use crate::edge::kafka::produce::{Outgoing, Producer, ProducerSettings};
use crate::edge::kafka::{KafkaSettings, Tuning};
use crate::edge::ledger::{Act, Baselines, Retention};
use crate::edge::mock::MockBroker;
use crate::edge::notify::{FolderSettings, Receiver};
use crate::edge::telemetry::Board;
use crate::edge::{self, Control, clock};
use crate::engine::route::{Pace, Policy, Route};
use crate::engine::units::{Span, Timestamp};
use crate::engine::{Group, Settings};

const TOPIC: &str = "agent-events";
/// Partitions of the demo's topic: enough that agents are spread.
const PARTITIONS: i32 = 4;
/// Records that the daemon may be behind before the agents wait: the embedded broker keeps 5 MiB of a partition and no more.
const BEHIND_MAX: u64 = 10_000;
/// How long the demo waits for the daemon to get its partitions, and to read the last record.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) fn demo(args: &DemoArgs) -> anyhow::Result<u8> {
    if !(args.speed.is_finite() && args.speed > 0.0) {
        return Err(Invalid(format!("--speed is {}; expected days of event time a second, above 0", args.speed)).into());
    }
    let folder = Folder::make(args.keep.as_deref())?;
    let interrupted = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&interrupted))?;
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&interrupted))?;

    let story = Story::tell(args.seed, clock::now());
    print(&show::opening(&story, args.speed));
    validate(&story, &folder.path)?;

    let broker = MockBroker::start(TOPIC, PARTITIONS)?;
    let config = config(broker.bootstrap(), &folder.path, args.port);
    let (tell, told) = sync_channel::<(Control, Arc<Board>)>(1);
    let daemon = thread::Builder::new().name("daemon".to_owned()).spawn(move || {
        edge::run(config, move |control, board| {
            // The demo waits for it, unless it has failed and says so itself.
            drop(tell.send((control, board)));
        })
    })?;
    let played = match told.recv() {
        Ok((control, board)) => {
            let played = play(&story, &broker, &board, (args, &folder.path, &interrupted));
            control.stop();
            played
        }
        // The daemon ended before it started: its own error says why.
        Err(_) => Ok(()),
    };
    let Ok(ended) = daemon.join() else { anyhow::bail!("the daemon's thread panicked; what it said is above") };
    ended?;
    played?;
    if interrupted.load(Ordering::SeqCst) {
        say("interrupted; the database is whole up to the last batch");
    }
    print(&show::closing(&story, &folder.path)?);
    if args.keep.is_none() {
        folder.keep();
    }
    Ok(OK)
}

/// Where the demo keeps its things.
struct Folder {
    path: PathBuf,
    made: Option<Made>,
}

/// A temporary folder that is removed unless the demo came to its end.
struct Made(PathBuf);

impl Drop for Made {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            say(&format!("{} is left behind: {error}", self.0.display()));
        }
    }
}

impl Folder {
    fn make(keep: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = keep else {
            let name = format!("shewhart-demo-{}-{}", std::process::id(), clock::now().as_millis());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
            return Ok(Self { made: Some(Made(path.clone())), path });
        };
        std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        if path.read_dir()?.next().is_some() {
            return Err(Invalid(format!("{} is not empty; name a new folder with --keep", path.display())).into());
        }
        Ok(Self { path: path.to_owned(), made: None })
    }

    /// The summary names files in it, so it stays.
    fn keep(mut self) {
        if let Some(made) = self.made.take() {
            std::mem::forget(made);
        }
    }
}

/// Phase I: writes down what validation saw, learns the baseline from it and puts it in force.
fn validate(story: &Story, folder: &Path) -> anyhow::Result<()> {
    let file = folder.join("validation.jsonl");
    story.write_validation(&file).with_context(|| format!("cannot write {}", file.display()))?;
    let streams = super::baseline::learn(&[file], &[Group::Agent])?;
    let mut baselines = Baselines::open(&folder.join("shewhart.db"))?;
    let act = Act { now: clock::now(), who: "demo", why: "the demo's validation" };
    let id = baselines.learn("demo", "validation.jsonl", &streams, &act)?;
    baselines.promote(&id, &act)?;
    print(&show::validated(&id, &streams));
    Ok(())
}

fn config(brokers: &str, folder: &Path, port: u16) -> Config {
    let pace = Pace { wait: Span::from_millis(500), interval: Span::SECOND, ..Pace::default() };
    Config {
        budget: None,
        retention: Retention::default(),
        kafka: KafkaSettings {
            brokers: brokers.to_owned(),
            topic: TOPIC.to_owned(),
            group: "shewhart-demo".to_owned(),
            instance_id: None,
            properties: edge::kafka::Properties::default(),
            properties_files: std::collections::BTreeMap::new(),
            on_gap: edge::kafka::OnGap::default(),
            start: edge::kafka::Start::default(),
            // Event time is compressed: a second of waiting for a full batch would be half a day of it.
            tuning: Tuning {
                linger: Duration::from_millis(100),
                marks_every: Duration::from_secs(1),
                ..Tuning::default()
            },
        },
        data_dir: folder.to_owned(),
        rules: vec![write_rules(folder)],
        engine: Settings { group_by: vec![Group::Agent], ..Settings::default() },
        listen: Some(std::net::SocketAddr::from(([127, 0, 0, 1], port))),
        access: Access::default(),
        receivers: vec![("operations".to_owned(), Receiver::Folder(FolderSettings { path: folder.join("mail") }))],
        policy: Policy::new(vec![Route::to("operations", &["alertname", "agent"], pace)]),
        dead_letters: None,
        refresh_every: REFRESH_EVERY,
    }
}

/// The shipped rules as files, so that they can be read and edited while the demo runs.
fn write_rules(folder: &Path) -> PathBuf {
    let rules = folder.join("rules");
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(&rules)?;
        for source in super::input::shipped() {
            let name = Path::new(&source.name).file_name().unwrap_or_default().to_owned();
            std::fs::write(rules.join(name), &source.text)?;
        }
        Ok(())
    };
    if let Err(error) = write() {
        say(&format!("the rules cannot be written to {}: {error}", rules.display()));
    }
    rules
}

/// Phase II: produces the story through a real producer, at its speed, and says what the daemon sees.
fn play(
    story: &Story,
    broker: &MockBroker,
    board: &Board,
    (args, folder, interrupted): (&DemoArgs, &Path, &AtomicBool),
) -> anyhow::Result<()> {
    let stopped = || interrupted.load(Ordering::SeqCst);
    wait(|| board.read().ready || stopped());
    if let Some(address) = board.address() {
        print(&format!("daemon ready: http://{address}/metrics\n\n"));
    }
    let producer = Producer::new(&ProducerSettings::new(broker.bootstrap()).with("linger.ms", "20"))?;
    let mut reporter = show::Reporter::new(folder, story)?;
    let began = clock::instant();
    let first = story.production_start();
    let at = |wall: Duration| first.plus(Span::from_millis((wall.as_secs_f64() * args.speed * 86_400_000.0) as i64));
    let mut events = story.production().iter().peekable();
    let mut sent = 0_u64;
    let read = || board.read().counters.values().map(|c| c.records).sum::<u64>();
    while events.peek().is_some() && !stopped() {
        let now = at(began.elapsed());
        let room = (read() + BEHIND_MAX).saturating_sub(sent);
        for _ in 0..room {
            let Some(event) = events.next_if(|event| event.ts <= now) else { break };
            producer.send(&Outgoing::new(TOPIC, &event.agent, event.json.as_bytes()))?;
            sent += 1;
        }
        reporter.report(now)?;
        clock::sleep(Duration::from_millis(50));
    }
    producer.flush(Duration::from_secs(30))?;
    wait(|| read() >= sent || stopped());
    // The router waits half a second before it writes, and the folder takes its time.
    clock::sleep(Duration::from_millis(1_500));
    wait(|| board.read().outbox.values().all(|(pending, _)| *pending == 0) || stopped());
    reporter.report(Timestamp::MAX)
}

fn wait(mut done: impl FnMut() -> bool) {
    let deadline = clock::instant() + PATIENCE;
    while !done() && clock::instant() < deadline {
        clock::sleep(Duration::from_millis(50));
    }
}
