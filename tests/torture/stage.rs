//! A daemon, its broker and its receivers; who starts and ends it, and the comparison with a run that nothing disturbed.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use shewhart::edge::clock;
use shewhart::edge::kafka::produce::ProducerSettings;
use shewhart::simulate::SimulatedEvent;

use crate::check;
use crate::trial::Trial;
use crate::world::broker::BrokerProcess;
use crate::world::copies::{email, webhook};
use crate::world::daemon::{Daemon, PATIENCE, Place, STOP_WITHIN, status, tail};
use crate::world::fake_http::{FakeHttp, Reply};
use crate::world::fake_smtp::{FakeSmtp, Mode, Script};
use crate::world::fleet::RULES;
use crate::world::rules::one_file;
use crate::world::secrets::{CANARY, secret};
use crate::world::state::Left;
use crate::world::workload::{Feeder, TOPIC};

/// The numbers of the signals of `abort()` and `kill -9`.
pub(crate) const SIGABRT: i32 = 6;
pub(crate) const SIGKILL: i32 = 9;

/// The whole scene.
pub(crate) struct Stage {
    pub(crate) broker: BrokerProcess,
    pub(crate) place: Place,
    /// A webhook and a mail server that say yes to everything; besides them mails go into a folder.
    pub(crate) hook: FakeHttp,
    pub(crate) post: FakeSmtp,
    daemon: Option<Daemon>,
    /// How often a daemon was ended while it may have been telling somebody something.
    pub(crate) interrupted: usize,
    /// The largest resident set of any of them, in KiB.
    pub(crate) peak_kib: u64,
}

/// What there is to deliver with.
pub(crate) struct Receivers {
    pub(crate) hook: FakeHttp,
    pub(crate) post: FakeSmtp,
    /// Where the daemon looks for the two of them.
    pub(crate) at: [SocketAddr; 2],
}

impl Receivers {
    /// Both say yes.
    pub(crate) fn willing() -> Self {
        let hook = FakeHttp::start(Reply::Head("HTTP/1.1 204 No Content".to_owned()));
        let post = FakeSmtp::start(Mode::Plain, vec![Script::new()]);
        let at = [hook.addr(), post.addr()];
        Self { hook, post, at }
    }
}

impl Stage {
    /// So many brokers, willing receivers, the shipped rules.
    pub(crate) fn set(brokers: i32, partitions: i32) -> Self {
        Self::with(BrokerProcess::start(brokers, TOPIC, partitions, &[]), Receivers::willing())
    }

    /// One broker, these receivers, the shipped rules.
    pub(crate) fn set_with(receivers: Receivers) -> Self {
        Self::with(BrokerProcess::start(1, TOPIC, 4, &[]), receivers)
    }

    /// The same under the rules of a [`Fleet`](crate::world::fleet::Fleet).
    pub(crate) fn for_a_fleet(receivers: Receivers) -> Self {
        let mut stage = Self::with(BrokerProcess::start(1, TOPIC, 1, &[]), receivers);
        one_file(&mut stage.place, RULES);
        stage
    }

    fn with(broker: BrokerProcess, receivers: Receivers) -> Self {
        let mut place = Place::new(broker.bootstrap(), TOPIC);
        // The group waits for a daemon that was killed for a second less. A new group waits three seconds for more members,
        // and with a shorter session forgets the first before it answers.
        place.session_ms = 3_300;
        let Receivers { hook, post, at: [hook_at, post_at] } = receivers;
        let key = format!(" secret_file: {},", secret(&place, "hook-key", &format!("{CANARY}-key")));
        secret(&place, "token", &format!("{CANARY}-token-0123456789"));
        let told = webhook("hook", hook_at).replace("webhook: {", &format!("webhook: {{{key}"));
        ", token_file: token".clone_into(&mut place.http_keys);
        place.more = format!(
            "baseline: {{ provisional_outputs: 500 }}\nreceivers:\n  - {{ name: mail, folder: {{ path: mail }} }}\n{told}{}\
             route: {{ receiver: [mail, hook, post], group_wait: 0s, group_interval: 0s }}\ndigest_over: 500\n",
            email("post", post_at)
        );
        Self { broker, place, hook, post, daemon: None, interrupted: 0, peak_kib: 0 }
    }

    /// Begins to produce, with nothing let.
    pub(crate) fn feed(&self, events: Vec<SimulatedEvent>) -> (Feeder, usize) {
        // Compressed, for the mock broker keeps 5 MiB of a partition.
        let producer = ProducerSettings::new(self.broker.bootstrap()).with("compression.type", "gzip");
        let total = events.len();
        (Feeder::start(vec![producer], events), total)
    }

    /// A place for another daemon of the same group, with a database of its own.
    pub(crate) fn another(&self) -> Place {
        let mut other = Place::new(self.broker.bootstrap(), TOPIC);
        other.session_ms = self.place.session_ms;
        other
    }

    /// Starts the daemon.
    pub(crate) fn start(&mut self) {
        self.start_with("");
    }

    /// Starts it with failpoints.
    pub(crate) fn start_with(&mut self, failpoints: &str) {
        assert!(self.daemon.is_none(), "one is running");
        self.place.environment.retain(|(name, _)| *name != "SHEWHART_FAILPOINTS");
        self.place.environment.push(("SHEWHART_FAILPOINTS", failpoints.to_owned()));
        self.daemon = Some(self.place.start());
    }

    /// Waits until that is so, while the daemon runs.
    pub(crate) fn wait(&mut self, what: &str, reached: impl FnMut(&Place) -> bool) {
        self.place.wait_asking(what, self.daemon.as_mut().unwrap(), Duration::from_millis(50), reached);
    }

    /// Waits until so many records are counted.
    pub(crate) fn wait_committed(&mut self, records: u64) {
        self.wait("records", |place| place.committed() >= records);
    }

    /// Waits until the daemon is ready.
    pub(crate) fn wait_ready(&mut self) {
        self.place.wait_ready(self.daemon.as_mut().unwrap());
    }

    /// Lets some time go by in which the daemon has to live.
    pub(crate) fn live(&mut self, time: Duration) {
        let until = clock::instant() + time;
        while clock::instant() < until {
            assert!(self.daemon.as_mut().unwrap().runs(), "it ended by itself:\n{}", tail(&self.place.log()));
            clock::sleep(Duration::from_millis(20).min(until.saturating_duration_since(clock::instant())));
        }
    }

    /// Notes how large the daemon has become.
    pub(crate) fn measure(&mut self) {
        let pid = self.daemon.as_ref().unwrap().pid();
        self.peak_kib = self.peak_kib.max(status(pid, "VmHWM:").unwrap_or(0));
    }

    /// The process.
    pub(crate) fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().unwrap()
    }

    /// Ends it as the power would. It must have been running. A record that two daemons died on is let pass first: where nothing is
    /// optimised and little time is given, one that ends a baseline takes so long that it is hit a third time, and a third death is
    /// proof.
    pub(crate) fn kill(&mut self) {
        let in_doubt = "SELECT count(*) FROM inflight i LEFT JOIN partitions p ON p.partition = i.partition
                        WHERE i.deaths > 1 AND i.offset >= coalesce(p.next_offset, 0)";
        self.wait("the record that two died on", |place| place.ask(in_doubt).is_none_or(|records| records == 0));
        self.measure();
        assert!(self.daemon().runs(), "it ended by itself:\n{}", tail(&self.place.log()));
        self.daemon.take().unwrap().kill();
        self.interrupted += 1;
    }

    /// Stops it with these signals, and takes nothing but a clean end in time.
    pub(crate) fn stop_by(&mut self, signals: &[&str]) -> Duration {
        self.measure();
        let mut daemon = self.daemon.take().unwrap();
        assert!(daemon.runs(), "it ended by itself:\n{}", tail(&self.place.log()));
        let begun = clock::instant();
        for (at, signal) in signals.iter().enumerate() {
            // The second may come when the first has done its work.
            if at == 0 || daemon.runs() {
                daemon.signal(signal);
            }
        }
        let ended = daemon.ended(STOP_WITHIN * 2);
        let status = ended.unwrap_or_else(|| panic!("still running after {signals:?}:\n{}", tail(&self.place.log())));
        assert_eq!(status.code(), Some(0), "{status}:\n{}", tail(&self.place.log()));
        self.interrupted += 1;
        begun.elapsed()
    }

    /// Stops it as an operator does.
    pub(crate) fn stop(&mut self) -> Duration {
        self.stop_by(&["TERM"])
    }

    /// Waits until this signal has ended it, as was planned; meanwhile `urge` does what brings it there.
    pub(crate) fn wait_ended(&mut self, signal: i32, mut urge: impl FnMut()) {
        let mut daemon = self.daemon.take().unwrap();
        let deadline = clock::instant() + PATIENCE;
        let status = loop {
            if let Some(status) = daemon.ended(Duration::from_millis(50)) {
                break status;
            }
            assert!(clock::instant() < deadline, "it was not ended:\n{}", tail(&self.place.log()));
            urge();
        };
        assert_eq!(status.signal(), Some(signal), "{status}:\n{}", tail(&self.place.log()));
        self.interrupted += 1;
    }

    /// Lets the daemon come to the end of so many records, stops it, and compares all with an uninterrupted run.
    pub(crate) fn end(&mut self, trial: &mut Trial, sent: u64) {
        self.reach_the_end(sent);
        self.compare(trial, sent);
    }

    /// Starts a daemon where there is none and lets it come to the end of so many records.
    pub(crate) fn reach_the_end(&mut self, sent: u64) {
        if self.daemon.is_none() {
            self.start();
        }
        self.place.wait_for_end(self.daemon.as_mut().unwrap(), sent);
        check::pages(&self.place);
        self.stop();
    }

    /// Compares what the stopped daemon left behind with an uninterrupted run.
    pub(crate) fn compare(&mut self, trial: &mut Trial, sent: u64) {
        let calm = self.calm();
        let mut oracle = calm.start();
        calm.wait_for_end(&mut oracle, sent);
        calm.stop(oracle);
        check::all(self, &Left::behind(&calm), sent, trial);
    }

    /// The same daemon elsewhere, telling only a folder.
    pub(crate) fn calm(&self) -> Place {
        let mut calm = Place::new(self.broker.bootstrap(), TOPIC);
        calm.group = "calm";
        calm.rules.clone_from(&self.place.rules);
        "baseline: { provisional_outputs: 500 }\nreceivers: [ { name: mail, folder: { path: mail } } ]\n\
                     route: { receiver: mail, group_wait: 0s, group_interval: 0s }\ndigest_over: 500\n"
            .clone_into(&mut calm.more);
        calm
    }
}
