//! The simulated database: the tables that machines and deliveries need, every state in it as the bytes that the ledger writes.
//!
//! It is what `edge::ledger` does without SQLite: `write.rs` and `rows.rs` are [`Image::write_engine`] and
//! [`Image::write_effects`], `restore.rs` is [`Image::partition`]. Columns for people are left out.

use std::collections::BTreeMap;

use indexmap::IndexSet;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shewhart::engine::alert::{Crossing, Id};
use shewhart::engine::baseline::{Baseline, Profile};
use shewhart::engine::blob::{decode, encode};
use shewhart::engine::memory::Memory;
use shewhart::engine::recent::{Entry, Op, Recent};
use shewhart::engine::route::RouterMemory;
use shewhart::engine::sketch::Pane;
use shewhart::engine::units::{Counts, Partition, Span, Timestamp};
use shewhart::engine::window::{Arrival, Change, Changes, Level, Window};
use shewhart::engine::{Effect, Engine, Position, Restored};

use crate::outbox::Outbox;
use crate::workload::Plan;

/// A stream, by its partition and index.
pub(crate) type StreamId = (i32, u32);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamRow {
    labels: String,
    memory: Vec<u8>,
    baseline: Option<String>,
    newest: Option<i64>,
}

/// What happened to a partition besides its records: kept so that an uninterrupted machine can be given the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Time went on without records.
    Idle(Timestamp),
    /// Another rule set, by its number.
    Rules(usize),
    /// Another set of baselines, by its number.
    Baselines(usize),
}

/// The same with the offset of the record before which it happened, and what a partition began with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    /// Rules and baselines in force when the partition was first taken up.
    pub(crate) first: (usize, usize),
    /// The same now.
    pub(crate) now: (usize, usize),
    /// What happened, in order.
    pub(crate) events: Vec<(i64, Event)>,
}

/// Everything that is durable.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Image {
    pub(crate) streams: BTreeMap<StreamId, StreamRow>,
    provisional: BTreeMap<StreamId, Vec<u8>>,
    pub(crate) panes: BTreeMap<(StreamId, Level, i64), Vec<u8>>,
    pub(crate) arrivals: BTreeMap<(StreamId, Arrival), Counts>,
    /// By partition and number: how many inserts there were up to here, and the changes.
    recent: BTreeMap<(i32, u64), (u64, Vec<u8>)>,
    pub(crate) positions: BTreeMap<i32, Vec<u8>>,
    /// Crossings as JSON.
    pub(crate) crossings: BTreeMap<Id, String>,
    pub(crate) rejected: BTreeMap<(i32, i64), String>,
    pub(crate) versions: BTreeMap<(StreamId, i64), (Option<String>, String)>,
    pub(crate) points: BTreeMap<(StreamId, Id, i64), String>,
    router: Option<Vec<u8>>,
    pub(crate) outbox: Outbox,
    /// The number of the last good rule set.
    pub(crate) rules: Option<usize>,
    /// The number of the promoted baselines.
    pub(crate) promoted: usize,
    pub(crate) history: BTreeMap<i32, History>,
}

/// A partition as it was written down.
pub(crate) struct PartitionState {
    pub(crate) position: Position,
    pub(crate) streams: Vec<Restored>,
    pub(crate) recent: Vec<Op>,
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> T {
    decode(bytes).expect("what the simulated store keeps is what was written")
}

pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data has a form in JSON")
}

impl Image {
    /// Writes what changed of an engine since it was last written down.
    pub(crate) fn write_engine(&mut self, engine: &mut Engine) {
        self.write_states(engine);
        self.write_position(engine);
    }

    pub(crate) fn write_states(&mut self, engine: &mut Engine) {
        let partition = engine.partition().0;
        for index in engine.take_dirty() {
            self.write_stream((partition, index), engine);
        }
        let recent = engine.recent_mut();
        let capacity = recent.capacity() as u64;
        let ops = recent.take_unwritten();
        if ops.is_empty() {
            return;
        }
        let inserts = ops.iter().filter(|op| matches!(op, Op::Insert(_))).count() as u64;
        let last = self.recent.range((partition, 0)..=(partition, u64::MAX)).next_back();
        let (number, before) = last.map_or((0, 0), |((_, number), (inserts, _))| (*number, *inserts));
        let all = before + inserts;
        self.recent.insert((partition, number + 1), (all, encode(&ops)));
        self.recent.retain(|(p, _), (inserts, _)| *p != partition || *inserts + capacity > all);
    }

    pub(crate) fn write_position(&mut self, engine: &Engine) {
        self.positions.insert(engine.partition().0, encode(engine.position()));
    }

    fn write_stream(&mut self, id: StreamId, engine: &mut Engine) {
        let Some(stream) = engine.stream_at_mut(id.1) else { return };
        let row = StreamRow {
            labels: json(&stream.labels()),
            memory: encode(&stream.memory),
            baseline: stream.baseline.as_ref().map(|baseline| baseline.id.clone()),
            newest: stream.window.newest().map(Timestamp::as_millis),
        };
        self.streams.insert(id, row);
        if let Some(baseline) = stream.unwritten_baseline() {
            self.provisional.insert(id, encode(&baseline.profile));
        }
        let Changes { whole, late, arrivals } = stream.window.take_unwritten();
        for Change { level, start, pane } in whole {
            self.panes.insert((id, level, start.as_millis()), encode(&pane));
        }
        for Change { level, start, pane } in late {
            let row = self.panes.entry((id, level, start.as_millis())).or_default();
            if row.is_empty() {
                *row = encode(&pane);
            } else {
                let mut both: Pane = read(row);
                both.merge(&pane);
                *row = encode(&both);
            }
        }
        for (arrival, counts) in arrivals {
            let row = self.arrivals.entry((id, arrival)).or_default();
            row.n += counts.n;
            row.hits += counts.hits;
        }
    }

    pub(crate) fn write_effects(&mut self, effects: &[(i32, Effect)]) {
        for (partition, effect) in effects {
            match effect {
                Effect::Crossed(crossing) => {
                    self.crossings.entry(crossing.id).or_insert_with(|| json(crossing));
                }
                Effect::Rejected { offset, rejection } => {
                    self.rejected.insert((*partition, offset.0), rejection.to_string());
                }
                Effect::Version { stream, from, to, at } => {
                    let key = ((*partition, *stream), at.as_millis());
                    self.versions.entry(key).or_insert_with(|| (from.clone(), to.clone()));
                }
                Effect::Drawn { stream, point } => {
                    let key = ((*partition, *stream), point.chart, point.at.as_millis());
                    self.points.entry(key).or_insert_with(|| format!("{point:?}"));
                }
                Effect::Learnt { .. } | Effect::Case { .. } | Effect::Judged { .. } => {}
            }
        }
    }

    pub(crate) fn write_router(&mut self, router: &RouterMemory) {
        self.router = Some(encode(router));
    }

    /// Reads one partition, or nothing where it was never written.
    pub(crate) fn partition(&self, partition: i32, plan: &Plan) -> Option<PartitionState> {
        let position = read(self.positions.get(&partition)?);
        let rows = self.streams.range((partition, 0)..=(partition, u32::MAX));
        let streams = rows.map(|(id, row)| self.stream(*id, row, plan)).collect();
        let changes = self.recent.range((partition, 0)..=(partition, u64::MAX));
        let recent = changes.flat_map(|(_, (_, ops))| read::<Vec<Op>>(ops)).collect();
        Some(PartitionState { position, streams, recent })
    }

    fn stream(&self, id: StreamId, row: &StreamRow, plan: &Plan) -> Restored {
        let labels = serde_json::from_str(&row.labels).expect("labels are JSON");
        let memory: Memory = read(&row.memory);
        let key = shewhart::engine::key_of(&labels);
        let baseline = row.baseline.as_ref().and_then(|name| {
            if name != "provisional" {
                return plan.baseline(name, &key);
            }
            let profile: Profile = read(self.provisional.get(&id)?);
            Some(Box::new(Baseline { id: name.clone(), provisional: true, profile }))
        });
        Restored { key: key.into(), memory: Ok(memory), window: self.window(id, row.newest), baseline }
    }

    fn window(&self, id: StreamId, newest: Option<i64>) -> Window {
        let Some(newest) = newest.map(Timestamp::from_millis) else { return Window::default() };
        let find = |level: Level, from: Timestamp, back: i64| -> BTreeMap<Timestamp, Pane> {
            let starts = (0..back).map(|n| from.minus(level.span().times(n)));
            starts.filter_map(|at| Some((at, read(self.panes.get(&(id, level, at.as_millis()))?)))).collect()
        };
        let minutes = find(Level::Minute, newest, 60);
        let hours = find(Level::Hour, newest.floor(Span::HOUR), 24);
        Window::restore(minutes, hours, Some(newest))
    }

    /// The router as it was written down, with the newest crossing of every alert in it.
    pub(crate) fn router(&self) -> Option<(RouterMemory, BTreeMap<Id, Crossing>)> {
        let memory: RouterMemory = read(self.router.as_ref()?);
        let crossing = |(alert, id): (Id, Id)| {
            let text = self.crossings.get(&id).expect("the router's crossings are written with it");
            (alert, serde_json::from_str(text).expect("crossings are JSON"))
        };
        let crossings = memory.crossings().map(crossing).collect();
        Some((memory, crossings))
    }

    /// A partition's recent outputs, in the order in which they came.
    pub(crate) fn recent_outputs(&self, partition: i32, capacity: usize) -> Vec<Entry> {
        let mut recent = Recent::new(capacity);
        let changes = self.recent.range((partition, 0)..=(partition, u64::MAX));
        let mut keys = IndexSet::new();
        for op in changes.flat_map(|(_, (_, ops))| read::<Vec<Op>>(ops)) {
            if let Op::Insert(entry) = op {
                keys.insert(entry.key);
            }
            recent.fold(op);
        }
        keys.into_iter().filter_map(|key| recent.get(key).copied()).collect()
    }

    /// What the streams of a partition learnt of themselves, where that is still in force.
    pub(crate) fn profiles(&self, partition: i32) -> BTreeMap<StreamId, Profile> {
        let rows = self.provisional.range((partition, 0)..=(partition, u32::MAX));
        let is_used =
            |id: &StreamId| self.streams.get(id).and_then(|row| row.baseline.as_deref()) == Some("provisional");
        rows.filter(|(id, _)| is_used(id)).map(|(id, bytes)| (*id, read(bytes))).collect()
    }

    /// Where a partition stands. What was skipped depends on what came twice, so it is not compared.
    pub(crate) fn position(&self, partition: Partition) -> Option<Position> {
        let mut position: Position = read(self.positions.get(&partition.0)?);
        position.counters.skipped = 0;
        Some(position)
    }
}
