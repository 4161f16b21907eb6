//! The pure engine: no clock, file, socket, thread, lock or randomness.
//!
//! [`Engine`] is one partition's machine: everything that can happen to it is an [`Input`], everything it asks for an
//! [`Effect`]. Same binary and same inputs give the same effects, to the byte.

pub mod account;
pub mod alert;
pub mod around;
pub mod asking;
pub mod baseline;
pub mod batches;
mod beside;
pub mod bins;
pub mod blob;
pub mod budget;
mod burn;
pub mod cases;
pub mod cause;
pub mod chart;
pub mod charts;
pub mod confidence;
mod contract;
pub mod detect;
mod engines;
pub mod event;
pub mod explain;
mod key;
pub mod labels;
pub mod levels;
pub mod memory;
pub mod pace;
pub mod picks;
pub mod plan;
pub mod rate;
pub mod reach;
pub mod recent;
mod restore;
mod ring;
pub mod route;
pub mod rule;
pub mod sketch;
pub mod sparse;
pub mod standing;
pub mod stream;
mod terms;
pub mod text;
pub mod threshold;
pub mod units;
pub mod vector;
pub mod verdicts;
mod watch;
pub mod window;
mod words;

pub use contract::{AskedWait, Case, Counters, Effect, Group, Input, OVERFLOW, Position, Settings};
pub use engines::Engines;
pub use key::{key_of, labels_of};
pub use restore::Restored;
pub use terms::News;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use indexmap::IndexMap;

use baseline::BaselineSet;
use budget::Promised;
use confidence::{Place, draw};
use detect::DesignCache;
use event::{Decoder, Event, Feedback, Output, Rejection, Why};
use key::write_key;
use labels::{Came, Label};
use recent::{Entry, Known, Op, Recent};
use rule::RuleSet;
use stream::{Context, Said, Stream};
use terms::Terms;
use units::{Offset, Partition, Span, Timestamp};
use watch::Watches;

/// One partition's machine.
#[derive(Debug)]
pub struct Engine {
    partition: Partition,
    settings: Arc<Settings>,
    rules: Arc<RuleSet>,
    baselines: Arc<BaselineSet>,
    streams: IndexMap<Arc<str>, Box<Stream>>,
    per_agent: IndexMap<String, u32>,
    recent: Recent,
    /// False alarms that one output may cost, once that is known.
    allowance: Option<f64>,
    position: Position,
    wakes: BTreeSet<(Timestamp, u32)>,
    /// Of each stream.
    due: Vec<Due>,
    cache: DesignCache,
    decoder: Decoder,
    watches: Watches,
    terms: Terms,
    /// Streams that changed since the last commit.
    dirty: Vec<u32>,
    said: Vec<Said>,
    /// The key of the stream that is looked up: kept, so that no record needs memory of its own for it.
    key: String,
}

/// What an engine has yet to do for a stream.
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    /// When to look at it again.
    look: Option<Timestamp>,
    /// Whether it has to be written down.
    write: bool,
    /// The number of what it has met.
    met: u32,
}

impl Engine {
    /// An engine that has seen nothing.
    pub fn new(
        partition: Partition,
        settings: Arc<Settings>,
        rules: Arc<RuleSet>,
        baselines: Arc<BaselineSet>,
    ) -> Self {
        Self {
            partition,
            recent: Recent::new(settings.recent_outputs),
            allowance: None,
            settings,
            rules,
            baselines,
            streams: IndexMap::new(),
            per_agent: IndexMap::new(),
            position: Position::default(),
            wakes: BTreeSet::new(),
            due: Vec::new(),
            cache: DesignCache::default(),
            decoder: Decoder::default(),
            watches: Watches::default(),
            terms: Terms::default(),
            dirty: Vec::new(),
            said: Vec::new(),
            key: String::new(),
        }
    }

    /// Gives a stream that begins the promoted baseline, or lets it learn its own.
    fn refer(&self, stream: &mut Stream) {
        match self.baselines.of(&stream.key) {
            Some(baseline) => stream.set_baseline(Some(Box::new(baseline))),
            None if !stream.counted_only => stream.begin_learning(),
            None => {}
        }
    }

    /// Gives its memory of designed limits for another. Both may hold anything: a limit is a function of what it promises.
    const fn trade_designs(&mut self, designs: &mut DesignCache) {
        std::mem::swap(&mut self.cache, designs);
    }

    /// Lets one thing happen. Total: bad bytes are an effect.
    pub fn step(&mut self, input: Input<'_>, effects: &mut Vec<Effect>) {
        match input {
            Input::Record { offset, appended, payload } => self.record(offset, appended, payload, effects),
            Input::Idle { now } => self.wake_until(now, effects),
            Input::Rules(rules) => self.announce_and_meet(News::Rules(rules), effects),
            Input::Allowance(allowance) => self.announce_and_meet(News::Allowance(allowance), effects),
            Input::Baselines(baselines) => self.announce_and_meet(News::Baselines(baselines), effects),
        }
    }

    fn record(&mut self, offset: Offset, appended: Option<Timestamp>, payload: &[u8], effects: &mut Vec<Effect>) {
        if offset < self.position.next {
            self.position.counters.skipped += 1;
            return;
        }
        self.position.next = Offset(offset.0.saturating_add(1));
        self.position.appended = appended.or(self.position.appended);
        self.position.counters.records += 1;
        let done = match self.decoder.decode(payload) {
            Ok(Event::Output(Output { agent, .. }) | Event::Feedback(Feedback { agent, .. })) if agent == OVERFLOW => {
                Err(Rejection::new(Why::Malformed, "this agent's name is reserved"))
            }
            Ok(Event::Output(mut output)) => {
                output.ts = self.advance(output.ts, appended, effects);
                self.output(offset, &output, effects)
            }
            Ok(Event::Feedback(feedback)) => {
                self.advance(feedback.ts, appended, effects);
                self.feedback(offset, &feedback, effects)
            }
            Err(rejection) => Err(rejection),
        };
        if let Err(rejection) = done {
            self.count_rejection(offset, rejection, effects);
        }
    }

    /// Passes over a record that must not be read, for a reason that the driver knows.
    pub fn reject(&mut self, offset: Offset, rejection: Rejection, effects: &mut Vec<Effect>) {
        if offset >= self.position.next {
            self.position.next = Offset(offset.0.saturating_add(1));
            self.position.counters.records += 1;
            self.count_rejection(offset, rejection, effects);
        }
    }

    /// Goes on from another offset: there is a hole in the log, or another log under the same name.
    pub const fn go_on_from(&mut self, next: Offset) {
        self.position.next = next;
    }

    fn count_rejection(&mut self, offset: Offset, rejection: Rejection, effects: &mut Vec<Effect>) {
        let at = Why::ALL.iter().position(|why| *why == rejection.why).unwrap_or(0);
        if let Some(count) = self.position.counters.rejected.get_mut(at) {
            *count += 1;
        }
        effects.push(Effect::Rejected { offset, rejection });
    }

    /// Moves stream time on to an event's time, never further ahead of the broker's than the skew allowed, and lets
    /// everything happen that was due before. Returns the event's time as it counts.
    fn advance(&mut self, ts: Timestamp, appended: Option<Timestamp>, effects: &mut Vec<Effect>) -> Timestamp {
        let bound = appended.map_or(Timestamp::MAX, |appended| appended.plus(self.settings.skew_max));
        let counted = ts.min(bound);
        if counted < ts {
            self.position.counters.early += 1;
        }
        if self.position.time.is_none_or(|time| counted > time) {
            self.wake_until(counted, effects);
            self.position.time = Some(counted);
        }
        counted
    }

    /// Lets every alert change that was due by `now`, each at its own time.
    fn wake_until(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        while let Some((due, index)) = self.wakes.first().copied().filter(|(due, _)| *due <= now) {
            self.wakes.remove(&(due, index));
            if let Some(due) = self.due.get_mut(index as usize) {
                due.look = None;
            }
            self.meet(index, effects);
            let real = self.streams.get_index(index as usize).and_then(|(_, stream)| stream.deadline(&self.rules));
            if real.is_some_and(|real| real <= due) {
                self.with_stream(index, due, effects, Stream::judge);
            }
            self.schedule(index);
        }
    }

    fn output(&mut self, offset: Offset, output: &Output<'_>, effects: &mut Vec<Effect>) -> Result<(), Rejection> {
        let key = recent::key(&output.agent, &output.event_id);
        if self.recent.get(key).is_some() {
            return Err(Rejection::new(Why::Duplicate, "this agent and event_id were seen before"));
        }
        self.position.counters.outputs += 1;
        let index = self.stream_of(output, effects);
        let now = self.position.time.unwrap_or(output.ts);
        let override_known = output.flags.iter().any(|(name, _)| name == "overridden");
        let mut in_baseline = false;
        let mut kept = true;
        let (mut task, mut covered, mut share) = (0, false, None);
        let place = Place::of(output.confidence, output.escalated);
        self.with_stream(index, now, effects, |stream, ctx, said| {
            // Before the output: what it says must not decide whether it is kept.
            share = stream.case_share(ctx.rules);
            in_baseline = stream.in_baseline();
            stream.memory.applied = offset;
            kept = stream.output(output, ctx, said);
            task = stream.task_number(output.task.as_deref());
            covered = stream.covers(place, draw(key as u64), now);
            if output.correct.is_some() {
                let at = output.ts;
                let (correct, joined) = (output.correct, true);
                let label = Label { correct, at, joined, in_baseline, covered, place, task, ..Label::NOTHING };
                stream.label(&label, ctx, said);
            }
        });
        self.position.counters.late += u64::from(!kept);
        let case = Case::of(output, key, share).map(Box::new);
        let is_case = Known::CASE.when(case.is_some());
        effects.extend(case.map(|case| Effect::Case { stream: index, case }));
        let known = Known::IN_BASELINE
            .when(in_baseline)
            .and(Known::LABELLED.when(output.correct.is_some()))
            .and(Known::OVERRIDE.when(override_known))
            .and(Known::COVERED.when(covered))
            .and(is_case);
        self.recent.apply(Op::Insert(Entry { key, stream: index, ts: output.ts, place, task, known }));
        Ok(())
    }

    fn feedback(
        &mut self,
        offset: Offset,
        feedback: &Feedback<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Rejection> {
        let key = recent::key(&feedback.agent, &feedback.event_id);
        let known = self.recent.get(key).copied();
        let before = known.map_or(Known::default(), |entry| entry.known);
        // The first word counts: a verdict that was judged is never taken back.
        let correct = feedback.correct.filter(|_| !before.has(Known::LABELLED));
        let overridden = feedback.overridden.filter(|_| !before.has(Known::OVERRIDE));
        if correct.is_none() && overridden.is_none() {
            return Err(Rejection::new(Why::Relabelled, "this output had its verdict before"));
        }
        self.position.counters.feedback += 1;
        if known.is_none() {
            self.position.counters.unjoined += 1;
        }
        if correct.is_some() && known.is_some() {
            self.recent.apply(Op::Labelled(key));
        }
        if let (Some(correct), Some(entry)) = (correct, known.filter(|_| before.has(Known::CASE))) {
            let (stream, at, judged_at) = (entry.stream, entry.ts, feedback.ts);
            effects.push(Effect::Judged { stream, at, key, judged_at, correct });
        }
        if overridden.is_some() && known.is_some() {
            self.recent.apply(Op::OverrideKnown(key));
        }
        let index = match known {
            Some(entry) => entry.stream,
            None => self.stream_of_agent(feedback, effects),
        };
        let at = known.map_or(feedback.ts, |entry| entry.ts);
        let label = Label {
            correct,
            overridden,
            at,
            joined: known.is_some(),
            in_baseline: before.has(Known::IN_BASELINE),
            covered: before.has(Known::COVERED),
            came: Came::Later,
            place: known.map_or(Place::NONE, |entry| entry.place),
            task: known.map_or(0, |entry| entry.task),
        };
        let now = self.position.time.unwrap_or(feedback.ts);
        self.with_stream(index, now, effects, |stream, ctx, said| {
            stream.memory.applied = offset;
            let usual = feedback.sampled.is_none_or(|sampled| stream.memory.picks.takes(sampled, picks::draw_of(key)));
            let came = if usual { Came::Later } else { Came::Picked };
            stream.label(&Label { came, ..label }, ctx, said);
        });
        Ok(())
    }

    /// The stream of an output, opened where it is new.
    fn stream_of(&mut self, output: &Output<'_>, effects: &mut Vec<Effect>) -> u32 {
        let value = |group: Group| match group {
            Group::Agent => Some(output.agent.as_ref()),
            Group::Task => output.task.as_deref(),
            Group::Version => output.version.as_deref(),
        };
        // In the order in which a restored stream computes its key.
        let labels = Group::ALL.map(|group| self.settings.group_by.contains(&group).then(|| value(group)).flatten());
        self.stream(labels, output.ts, effects)
    }

    /// The stream that counts what cannot be joined to an output: the agent's own.
    fn stream_of_agent(&mut self, feedback: &Feedback<'_>, effects: &mut Vec<Effect>) -> u32 {
        let agent = |group: Group| {
            (group == Group::Agent && self.settings.group_by.contains(&group)).then_some(&*feedback.agent)
        };
        self.stream(Group::ALL.map(agent), feedback.ts, effects)
    }

    /// The stream of these values, by [`Group::ALL`].
    fn stream(&mut self, values: [Option<&str>; 3], at: Timestamp, effects: &mut Vec<Effect>) -> u32 {
        let labels = || Group::ALL.iter().zip(values).filter_map(|(group, value)| Some((group.as_str(), value?)));
        write_key(&mut self.key, labels());
        if let Some(index) = self.streams.get_index_of(self.key.as_str()) {
            return index as u32;
        }
        let agent = labels().find(|(name, _)| *name == "agent").map_or("", |(_, value)| value);
        if !self.has_room(agent, at) {
            self.position.counters.overflow += 1;
            let overflow = [("agent", OVERFLOW)];
            write_key(&mut self.key, overflow.into_iter());
            return match self.streams.get_index_of(self.key.as_str()) {
                Some(index) => index as u32,
                None => self.open(overflow.into_iter(), at, effects),
            };
        }
        self.open(labels(), at, effects)
    }

    /// Whether one more stream may be opened. Counts it where it may.
    fn has_room(&mut self, agent: &str, at: Timestamp) -> bool {
        let minute = self.position.time.unwrap_or(at).floor(Span::MINUTE);
        let (counted, opened) = &mut self.position.opened;
        if *counted != minute {
            (*counted, *opened) = (minute, 0);
        }
        let of_agent = self.per_agent.get(agent).copied().unwrap_or(0);
        let room = self.streams.len() < self.settings.streams_max
            && (agent.is_empty() || of_agent < self.settings.streams_per_agent_max)
            && *opened < self.settings.streams_per_minute_max;
        *opened += u32::from(room);
        room
    }

    fn open<'l>(
        &mut self,
        labels: impl Iterator<Item = (&'l str, &'l str)>,
        at: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> u32 {
        let labels: BTreeMap<String, String> =
            labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut stream = Stream::new(key_of(&labels).into(), at, is_overflow(&labels));
        stream.asked_wait = self.settings.asked_wait(&labels);
        self.refer(&mut stream);
        let index = self.admit(stream);
        // Its first output may be late: charts begin at stream time.
        let now = self.position.time.unwrap_or(at);
        self.with_stream(index, now, effects, Stream::take_rules);
        index
    }

    fn admit(&mut self, stream: Stream) -> u32 {
        let agent = stream.value_of("agent").unwrap_or_default().to_owned();
        *self.per_agent.entry(agent).or_default() += 1;
        let (index, _) = self.streams.insert_full(Arc::clone(&stream.key), Box::new(stream));
        self.due.push(Due { met: self.terms.number, ..Due::default() });
        index as u32
    }

    /// The false alarms that the charts of all streams promise.
    pub fn promised(&self) -> Promised {
        let mut all = Promised::default();
        let now = self.position.time.unwrap_or(Timestamp::MIN);
        for stream in self.streams.values() {
            all.merge(stream.promised(now));
        }
        all
    }

    /// Lets a stream change at stream time `now`, after it has met what is in force.
    fn with_stream(
        &mut self,
        index: u32,
        now: Timestamp,
        effects: &mut Vec<Effect>,
        change: impl FnOnce(&mut Stream, &mut Context<'_>, &mut Vec<Said>),
    ) {
        self.meet(index, effects);
        self.change(index, (now, Offset(self.position.next.0 - 1)), effects, change);
    }

    /// Lets a stream change at a stream time and a record, passes on what it says, and plans when to look at it again.
    fn change(
        &mut self,
        index: u32,
        (now, at): (Timestamp, Offset),
        effects: &mut Vec<Effect>,
        change: impl FnOnce(&mut Stream, &mut Context<'_>, &mut Vec<Said>),
    ) {
        let Some((_, stream)) = self.streams.get_index_mut(index as usize) else { return };
        let mut context = Context {
            rules: &self.rules,
            cache: &mut self.cache,
            watches: &mut self.watches,
            provisional_outputs: self.settings.provisional_outputs,
            allowance: self.allowance,
            now,
            position: (self.partition, at),
        };
        change(stream, &mut context, &mut self.said);
        if let Some(due) = self.due.get_mut(index as usize)
            && !std::mem::replace(&mut due.write, true)
        {
            self.dirty.push(index);
        }
        effects.extend(self.said.drain(..).map(|said| match said {
            Said::Crossed(crossing) => Effect::Crossed(crossing),
            Said::Learnt => Effect::Learnt { stream: index },
            Said::Version { from, to, at } => Effect::Version { stream: index, from, to, at },
            Said::Drawn(point) => Effect::Drawn { stream: index, point },
        }));
        self.schedule(index);
    }

    /// Plans the next look at a stream. A look that comes too early finds nothing and plans the next one, so only an
    /// earlier deadline needs a new plan.
    fn schedule(&mut self, index: u32) {
        let Some((_, stream)) = self.streams.get_index(index as usize) else { return };
        let Some(deadline) = stream.deadline(&self.rules) else { return };
        let Some(due) = self.due.get_mut(index as usize) else { return };
        if due.look.is_some_and(|planned| planned <= deadline) {
            return;
        }
        if let Some(planned) = due.look.replace(deadline) {
            self.wakes.remove(&(planned, index));
        }
        self.wakes.insert((deadline, index));
    }

    /// The partition.
    pub const fn partition(&self) -> Partition {
        self.partition
    }

    /// Where the engine stands.
    pub const fn position(&self) -> &Position {
        &self.position
    }

    /// The rules in force.
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// The streams, in the order in which they were first seen; a stream's index is its place.
    pub fn streams(&self) -> impl ExactSizeIterator<Item = &Stream> {
        self.streams.values().map(|stream| &**stream)
    }

    /// The stream of an index.
    pub fn stream_at(&self, index: u32) -> Option<&Stream> {
        self.streams.get_index(index as usize).map(|(_, stream)| &**stream)
    }

    /// The stream of an index, for those who write down its panes.
    pub fn stream_at_mut(&mut self, index: u32) -> Option<&mut Stream> {
        self.streams.get_index_mut(index as usize).map(|(_, stream)| &mut **stream)
    }

    /// Takes the indexes of the streams that changed since the last commit.
    pub fn take_dirty(&mut self) -> Vec<u32> {
        for index in &self.dirty {
            if let Some(due) = self.due.get_mut(*index as usize) {
                due.write = false;
            }
        }
        std::mem::take(&mut self.dirty)
    }

    /// How many streams changed since the last commit.
    pub const fn unwritten(&self) -> usize {
        self.dirty.len()
    }

    /// Says that nothing has to be written down: for drivers without a store.
    pub fn forget_unwritten(&mut self) {
        for index in self.take_dirty() {
            if let Some(stream) = self.stream_at_mut(index) {
                drop(stream.window.take_unwritten());
            }
        }
        drop(self.recent.take_unwritten());
    }

    /// The recent outputs.
    pub fn recent_mut(&mut self) -> &mut Recent {
        &mut self.recent
    }
}

/// Whether these are the labels of the overflow stream. No agent may have its name, so no other stream has them.
fn is_overflow(labels: &BTreeMap<String, String>) -> bool {
    labels.len() == 1 && labels.get("agent").is_some_and(|agent| agent == OVERFLOW)
}
