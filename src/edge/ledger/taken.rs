//! What changed of a partition, taken out of its engine: it can be written down while the engine goes on.

use std::sync::Arc;

use super::accuracy::contradicted;
use super::blob;
use super::rows::ProfileSummary;
use super::write::{Anchor, stream_id};
use crate::engine::baseline::Profile;
use crate::engine::budget::Promised;
use crate::engine::cause::Contradiction;
use crate::engine::recent::{self, Recent};
use crate::engine::stream::Stream;
use crate::engine::units::{Partition, Timestamp};
use crate::engine::window::Changes;
use crate::engine::{Engine, Position};

/// What changed of a partition since it was last written down.
#[derive(Debug)]
pub struct Taken {
    pub(super) streams: Vec<StreamRow>,
    pub(super) rest: Rest,
}

impl Taken {
    /// Takes it. It is no longer known to be unwritten: where it cannot be written, drop the engine and restore it.
    pub fn from(engine: &mut Engine, anchor: Option<Anchor>) -> Self {
        let dirty = engine.take_dirty();
        Self {
            streams: dirty.into_iter().filter_map(|index| StreamRow::take(engine, index)).collect(),
            rest: Rest::take(engine, anchor),
        }
    }
}

/// What of a partition belongs to no stream.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) partition: Partition,
    pub(super) position: Position,
    /// The last record reflected, where there was one.
    pub(super) anchor: Option<Anchor>,
    /// Changes of the memory of recent outputs, and how many outputs it holds.
    pub(super) recent: (Vec<recent::Op>, usize),
}

impl Rest {
    pub(super) fn take(engine: &mut Engine, anchor: Option<Anchor>) -> Self {
        let (partition, position) = (engine.partition(), *engine.position());
        let recent: &mut Recent = engine.recent_mut();
        Self { partition, position, anchor, recent: (recent.take_unwritten(), recent.capacity()) }
    }
}

/// A stream that changed: its row, its baseline where it learnt one, its panes.
#[derive(Debug)]
pub(super) struct StreamRow {
    pub(super) id: i64,
    pub(super) partition: Partition,
    pub(super) index: u32,
    pub(super) key: Arc<str>,
    pub(super) outputs: u64,
    pub(super) labels: u64,
    pub(super) version: Option<String>,
    pub(super) first_seen: Timestamp,
    pub(super) last_seen: Timestamp,
    pub(super) baseline: Option<String>,
    /// Its memory as bytes, not compressed yet.
    pub(super) state: Vec<u8>,
    pub(super) newest_pane: Option<Timestamp>,
    pub(super) promised: Promised,
    pub(super) contradicted: Option<Contradiction>,
    /// The baseline that it learnt, where that is not written yet.
    pub(super) provisional: Option<(ProfileSummary, Vec<u8>)>,
    pub(super) changes: Changes,
}

impl StreamRow {
    /// Takes what changed of the stream of that index; nothing where there is none.
    pub(super) fn take(engine: &mut Engine, index: u32) -> Option<Self> {
        let partition = engine.partition();
        let stream = engine.stream_at_mut(index)?;
        let changes = stream.window.take_unwritten();
        let provisional = stream.unwritten_baseline().map(|baseline| written(&baseline.profile));
        let memory = &stream.memory;
        Some(Self {
            id: stream_id(partition, index),
            partition,
            index,
            key: Arc::clone(&stream.key),
            outputs: memory.outputs,
            labels: memory.labels,
            version: version(stream).map(str::to_owned),
            first_seen: memory.first_seen,
            last_seen: memory.last_seen,
            baseline: stream.baseline.as_ref().map(|baseline| baseline.id.clone()),
            state: blob::encode(memory),
            newest_pane: stream.window.newest(),
            promised: stream.promised(memory.last_seen),
            contradicted: contradicted(memory),
            provisional,
            changes,
        })
    }

    /// What it takes of memory, about a kilobyte each: its state, and its panes.
    pub(super) const fn weight(&self) -> usize {
        2 + self.changes.whole.len() + self.changes.late.len()
    }
}

/// The version that its labels name, or else its events.
fn version(stream: &Stream) -> Option<&str> {
    stream.value_of("version").or(stream.memory.version.as_deref())
}

fn written(profile: &Profile) -> (ProfileSummary, Vec<u8>) {
    (ProfileSummary::of(profile), blob::encode(profile))
}
