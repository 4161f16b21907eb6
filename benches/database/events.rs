//! Events of many streams, made on the way from a seed, and a ledger that takes them as the daemon's loop does.

use std::path::Path;
use std::sync::Arc;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use shewhart::edge::ledger::{Commit, Identity, Ledger};
use shewhart::engine::units::{Offset, Partition, Timestamp};
use shewhart::engine::{Effect, Engine, Group, Input, Settings};

/// 2026-01-05T00:00:00Z.
pub(crate) const START: i64 = 1_767_571_200_000;
/// One output in so many gets a verdict, half an hour later.
const LABELLED: u64 = 20;

/// The events of a day: every stream has `outputs` of them, evenly, each at its own second.
pub(crate) struct Day {
    pub(crate) streams: u64,
    pub(crate) outputs: u64,
}

impl Day {
    /// Calls back for each event, in the order of time: outputs and the verdicts on those of half an hour before.
    pub(crate) fn each(&self, mut take: impl FnMut(i64, &[u8])) -> u64 {
        use std::io::Write as _;
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let step = 86_400_000 / self.outputs;
        let late = 1_800_000 / step;
        let (mut line, mut events) = (Vec::new(), 0);
        for round in 0..self.outputs {
            for stream in 0..self.streams {
                let at = START + (round * step + stream * step / self.streams) as i64;
                let confidence: f64 = 1.0 - random.random::<f64>().powi(3) * 0.6;
                let latency = 200.0 * (1.0 + 4.0 * random.random::<f64>() * random.random::<f64>());
                line.clear();
                write!(
                    line,
                    "{{\"type\":\"output\",\"event_id\":\"{stream}-{round}\",\"agent\":\"agent-{stream}\",\"ts\":{at},\
                     \"version\":\"2026-01-04\",\"status\":\"ok\",\"confidence\":{confidence:.4},\"escalated\":{},\
                     \"latency_ms\":{latency:.3},\"tokens_in\":{},\"tokens_out\":{},\"cost_usd\":{:.6}}}",
                    confidence < 0.6,
                    random.random_range(500..4_000),
                    random.random_range(50..500),
                    0.001 + random.random::<f64>() * 0.01,
                )
                .unwrap();
                take(at, &line);
                events += 1;
                if round >= late && (round + stream) % LABELLED == 0 {
                    line.clear();
                    write!(
                        line,
                        "{{\"type\":\"feedback\",\"event_id\":\"{stream}-{}\",\"agent\":\"agent-{stream}\",\"ts\":{at},\
                         \"correct\":{}}}",
                        round - late,
                        random.random::<f64>() < 0.93,
                    )
                    .unwrap();
                    take(at, &line);
                    events += 1;
                }
            }
        }
        events
    }
}

/// An engine under the shipped rules, and its ledger.
pub(crate) struct Writer {
    ledger: Ledger,
    engine: Engine,
    effects: Vec<Effect>,
    next: i64,
}

impl Writer {
    pub(crate) fn new(folder: &Path) -> Self {
        let rules = crate::shipped::shipped();
        let settings = Settings {
            group_by: vec![Group::Agent],
            provisional_outputs: 500,
            streams_per_minute_max: u32::MAX,
            ..Settings::default()
        };
        let identity = Identity { topic: "bench".to_owned(), group_by: "agent".to_owned() };
        Self {
            ledger: Ledger::open(folder, &identity).unwrap(),
            engine: Engine::new(Partition(0), Arc::new(settings), rules, Arc::default()),
            effects: Vec::new(),
            next: 0,
        }
    }

    pub(crate) fn take(&mut self, payload: &[u8]) {
        let input = Input::Record { offset: Offset(self.next), appended: None, payload };
        self.engine.step(input, &mut self.effects);
        self.next += 1;
    }

    pub(crate) fn commit(&mut self, now: i64) {
        let effects: Vec<_> = self.effects.drain(..).map(|effect| (Partition(0), effect)).collect();
        let commit = Commit {
            engines: vec![(&mut self.engine, None)],
            effects: &effects,
            ..Commit::at(Timestamp::from_millis(now))
        };
        self.ledger.commit(commit).unwrap();
    }
}
