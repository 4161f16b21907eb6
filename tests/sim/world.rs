//! One run: a daemon, its broker, its disk, its clock and its receivers, with everything that can go wrong between them.
//!
//! [`World`] does what `edge::core::Core` does with the real machines and the simulated rest. Time is simulated: the true one
//! never stops, the wall clock jumps.

use std::collections::BTreeMap;
use std::sync::Arc;

use shewhart::engine::route::{Message, Router, Signal};
use shewhart::engine::units::{Offset, Partition, Span, Timestamp};
use shewhart::engine::{Effect, Engine, Input};

use crate::chance::Chance;
use crate::odds::{Count, Odds, Variant};
use crate::receivers::{Flight, Receivers};
use crate::store::{Event, History, Image};
use crate::workload::{HOUR, Log, MINUTE, PARTITIONS, Plan, SECOND, START};

/// A partition without records for this long is idle.
const IDLE_AFTER: i64 = MINUTE;
/// Rule files that do not compile.
pub(crate) const BROKEN: usize = usize::MAX;

/// Why a commit did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// No room: nothing was written, and it is tried again.
    Full,
    /// The process is gone, or ends because it does not know what was written.
    Gone,
}

/// At which commit-point a crash waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    Before,
    Within,
    After,
}

/// What a process knows.
pub(crate) struct Daemon {
    pub(crate) engines: BTreeMap<i32, Engine>,
    /// The next record that the reader hands on.
    read: BTreeMap<i32, i64>,
    history: BTreeMap<i32, History>,
    pub(crate) router: Router,
    rules: usize,
    baselines: usize,
    /// By the monotonic clock.
    heard_at: BTreeMap<i32, i64>,
    next_idle: BTreeMap<i32, i64>,
    pub(crate) flights: BTreeMap<&'static str, Flight>,
}

/// What a commit holds besides the engines.
#[derive(Default)]
pub(crate) struct Change {
    pub(crate) effects: Vec<(i32, Effect)>,
    pub(crate) signals: Vec<Signal>,
    pub(crate) rules: Option<usize>,
}

pub(crate) struct World<'w> {
    pub(crate) plan: &'w Plan,
    pub(crate) log: &'w Log,
    pub(crate) variant: Variant,
    pub(crate) chance: Chance,
    pub(crate) odds: Odds,
    /// Whether things still go wrong.
    pub(crate) faults: bool,
    pub(crate) now: i64,
    /// How far the wall clock is ahead.
    ahead: i64,
    pub(crate) image: Image,
    synced: Image,
    /// Stream times and states that a wrong store mixes in.
    newer: BTreeMap<i32, Option<Timestamp>>,
    late: Option<(u64, Image)>,
    pub(crate) files: usize,
    pub(crate) daemon: Daemon,
    pub(crate) receivers: Receivers,
    armed: Option<Crash>,
    /// When something last happened that routes may gather: an alert changed, or a silence was in force.
    pub(crate) crossed_at: i64,
    pub(crate) count: Count,
    trace: Option<String>,
}

impl<'w> World<'w> {
    pub(crate) fn new(seed: u64, plan: &'w Plan, log: &'w Log, variant: Variant, traced: bool) -> Self {
        let mut chance = Chance::new(seed, 2);
        let odds = Odds::draw(&mut chance);
        let mut world = Self {
            plan,
            log,
            variant,
            chance,
            odds,
            faults: true,
            now: START,
            ahead: 0,
            image: Image::default(),
            synced: Image::default(),
            newer: BTreeMap::new(),
            late: None,
            files: 0,
            daemon: Daemon::new(plan),
            receivers: Receivers::default(),
            armed: None,
            crossed_at: START,
            count: Count::default(),
            trace: traced.then(String::new),
        };
        world.note(|w| format!("odds in 10,000: {:?}", w.odds));
        world.boot();
        world
    }

    /// Writes a line of the trace, where one is asked for.
    pub(crate) fn note(&mut self, text: impl FnOnce(&Self) -> String) {
        if self.trace.is_none() {
            return;
        }
        let line = format!("{:>9.1} s{:+6} s  {}\n", (self.now - START) as f64 / 1e3, self.ahead / SECOND, text(self));
        if let Some(trace) = &mut self.trace {
            trace.push_str(&line);
        }
    }

    pub(crate) fn take_trace(&mut self) -> String {
        self.trace.take().unwrap_or_default()
    }

    /// The wall clock.
    pub(crate) const fn wall(&self) -> Timestamp {
        Timestamp::from_millis(self.now + self.ahead)
    }

    /// The end of a partition's log as of now.
    pub(crate) fn high(&self, partition: i32) -> i64 {
        self.log.get(&partition).map_or(0, |log| log.partition_point(|record| record.appended <= self.now)) as i64
    }

    /// Records that were not read yet, of those that there will ever be.
    pub(crate) fn unread(&self) -> i64 {
        let left = |(partition, log): (&i32, &Vec<_>)| {
            log.len() as i64 - self.daemon.engines.get(partition).map_or(0, |engine| engine.position().next.0)
        };
        self.log.iter().map(left).sum()
    }

    /// One round of the loop, in which something may go wrong.
    pub(crate) fn step(&mut self, pause: i64) {
        self.now += pause;
        if self.faults {
            if self.chance.happens(self.odds.clock) {
                self.jump();
            }
            if self.chance.happens(self.odds.outage) {
                self.begin_outage();
            }
            if self.chance.happens(self.odds.crash) {
                self.armed = self.chance.one_of(&[Crash::Before, Crash::Within, Crash::After]).copied();
            }
        }
        let done = self.round();
        if done.is_err() || self.armed.is_some() {
            self.crash();
        }
    }

    fn round(&mut self) -> Result<(), Failed> {
        if self.faults && self.chance.happens(self.odds.rebalance) {
            self.count.rebalances += 1;
            self.note(|_| "rebalance: all partitions go and come back".to_owned());
            self.keep_late_image();
            self.daemon.engines.clear();
            self.assign()?;
        }
        if self.chance.happens(7_000) {
            self.batch()?;
        }
        self.settle_ended()?;
        if self.faults {
            self.people()?;
        }
        self.tick()
    }

    fn jump(&mut self) {
        self.count.jumps += 1;
        let places = [0, -3 * MINUTE, 10 * MINUTE, 2 * HOUR, 26 * HOUR];
        self.ahead = *self.chance.one_of(&places).unwrap_or(&0);
        self.note(|_| "the wall clock is set".to_owned());
    }

    /// The process is gone. What was on its way may have arrived.
    pub(crate) fn crash(&mut self) {
        self.armed = None;
        self.count.crashes += 1;
        self.note(|_| "the process is gone".to_owned());
        self.interrupt_flights();
        if self.variant == Variant::NewerTime {
            self.newer = self.daemon.engines.iter().map(|(p, engine)| (*p, engine.position().time)).collect();
        }
        self.keep_late_image();
        if self.variant == Variant::NotSynced {
            self.image = self.synced.clone();
        }
        self.now += self.chance.between(1, 60) * SECOND;
        self.boot();
    }

    fn keep_late_image(&mut self) {
        if self.variant == Variant::LateImage && self.late.is_none() {
            // As the old owner knows it, committed or not.
            let mut old = self.image.clone();
            for engine in self.daemon.engines.values_mut() {
                old.write_engine(engine);
            }
            self.late = Some((self.chance.below(10), old));
        }
    }

    /// Starts processes until one stands.
    fn boot(&mut self) {
        loop {
            self.daemon = Daemon::new(self.plan);
            self.daemon.baselines = self.image.promoted;
            if self.files == BROKEN {
                self.daemon.rules = self.image.rules.unwrap_or(0);
            } else {
                self.daemon.rules = self.files;
                self.image.rules = Some(self.files);
            }
            self.restore_router();
            self.note(|w| format!("start under rules {} and baselines {}", w.daemon.rules, w.daemon.baselines));
            if self.assign().is_ok() {
                return;
            }
            self.count.crashes += 1;
            self.armed = None;
        }
    }

    fn restore_router(&mut self) {
        let router = Router::new(self.plan.policy.clone());
        let now = self.wall();
        self.daemon.router = match self.image.router() {
            Some((written, crossings)) => router.resume(written, crossings, now),
            None => router,
        };
    }

    fn assign(&mut self) -> Result<(), Failed> {
        self.daemon.heard_at = (0..PARTITIONS).map(|partition| (partition, self.now)).collect();
        self.with_room(|world| {
            for partition in 0..PARTITIONS {
                if !world.daemon.engines.contains_key(&partition) {
                    world.restore(partition)?;
                }
            }
            Ok(())
        })?;
        self.daemon.read = self.daemon.engines.iter().map(|(p, engine)| (*p, engine.position().next.0)).collect();
        Ok(())
    }

    /// A partition's engine as it was committed, under the rules and baselines in force.
    fn restore(&mut self, partition: i32) -> Result<(), Failed> {
        let (rules, baselines) = (self.daemon.rules, self.daemon.baselines);
        let mut engine = self.plan.engine(partition, rules, baselines);
        let new = || History { first: (rules, baselines), now: (rules, baselines), events: Vec::new() };
        let mut history = self.image.history.get(&partition).cloned().unwrap_or_else(new);
        let Some(mut state) = self.image.partition(partition, self.plan) else {
            self.daemon.engines.insert(partition, engine);
            self.daemon.history.insert(partition, history);
            return Ok(());
        };
        if let Some(time) = self.newer.remove(&partition) {
            state.position.time = time;
        }
        let next = state.position.next.0;
        engine.restore(state.position, state.streams, state.recent.into_iter());
        let mut effects = Vec::new();
        engine.step(Input::Allowance(f64::INFINITY), &mut effects);
        engine.step(Input::Rules(self.plan.rules_of(rules)), &mut effects);
        engine.step(Input::Baselines(self.plan.baselines_of(baselines)), &mut effects);
        // What did not change is no event: for an uninterrupted machine nothing happened.
        if history.now.0 != rules {
            history.events.push((next, Event::Rules(rules)));
        }
        if history.now.1 != baselines {
            history.events.push((next, Event::Baselines(baselines)));
        }
        history.now = (rules, baselines);
        self.daemon.engines.insert(partition, engine);
        self.daemon.history.insert(partition, history);
        let effects = effects.into_iter().map(|effect| (partition, effect)).collect();
        self.commit(&[partition], Change { effects, ..Change::default() })
    }

    /// Throws away everything in memory that was not committed.
    fn reset(&mut self) -> Result<(), Failed> {
        self.restore_router();
        let partitions: Vec<i32> = self.daemon.engines.keys().copied().collect();
        partitions.into_iter().try_for_each(|partition| self.restore(partition))
    }

    /// Does something that ends in a commit; while there is no room, again from the committed state.
    pub(crate) fn with_room(&mut self, mut act: impl FnMut(&mut Self) -> Result<(), Failed>) -> Result<(), Failed> {
        let mut done = act(self);
        while done == Err(Failed::Full) {
            self.now += SECOND;
            done = self.reset().and_then(|()| act(self));
        }
        done
    }

    /// Writes what changed, or nothing of it; or the process does not live to know.
    pub(crate) fn commit(&mut self, partitions: &[i32], change: Change) -> Result<(), Failed> {
        let now = self.wall();
        let mut messages = Vec::new();
        for signal in change.signals {
            self.daemon.router.step(signal, now, &mut messages);
        }
        let crossings = change.effects.iter().filter_map(|(_, effect)| effect.crossing());
        messages.extend(self.daemon.router.pass(crossings, now));
        let router = self.daemon.router.take_unwritten();
        let (kept, failed) = self.fate();
        if kept {
            for partition in partitions {
                let Some(engine) = self.daemon.engines.get_mut(partition) else { continue };
                self.image.write_engine(engine);
                self.image.history.extend(self.daemon.history.get(partition).map(|h| (*partition, h.clone())));
            }
            self.image.write_effects(&change.effects);
            if change.effects.iter().any(|(_, effect)| matches!(effect, Effect::Crossed(_))) {
                self.crossed_at = self.now;
            }
            for message in &messages {
                self.image.outbox.insert(message, now);
            }
            self.image.rules = change.rules.or(self.image.rules);
            if let Some(router) = &router {
                self.image.write_router(router);
            }
        }
        self.distort(partitions, kept, failed, &messages);
        self.note(|_| {
            let crossed = change.effects.iter().filter_map(|(_, effect)| match effect {
                Effect::Crossed(c) => Some(format!(" {} {}->{}", c.alert, c.from.as_str(), c.to.as_str())),
                _ => None,
            });
            let crossed: String = crossed.collect();
            format!("commit of {partitions:?}, {} messages, kept: {kept}, {failed:?}{crossed}", messages.len())
        });
        failed.map_or(Ok(()), Err)
    }

    /// What becomes of a commit.
    pub(crate) fn fate(&mut self) -> (bool, Option<Failed>) {
        self.count.commits += 1;
        if !self.faults {
            return (true, None);
        }
        match self.armed.take() {
            Some(Crash::Before) => return (false, Some(Failed::Gone)),
            Some(Crash::Within) => return (self.chance.happens(5_000), Some(Failed::Gone)),
            Some(Crash::After) => return (true, Some(Failed::Gone)),
            None => {}
        }
        if self.chance.happens(self.odds.write) {
            self.count.rollbacks += 1;
            let full = self.chance.happens(5_000);
            return (false, Some(if full { Failed::Full } else { Failed::Gone }));
        }
        if self.chance.happens(self.odds.sync) {
            return (self.chance.happens(5_000), Some(Failed::Gone));
        }
        (true, None)
    }

    /// What a wrong store does to a commit.
    fn distort(&mut self, partitions: &[i32], kept: bool, failed: Option<Failed>, messages: &[Message]) {
        let gone = failed == Some(Failed::Gone);
        match self.variant {
            Variant::PositionWithoutStates if gone && !kept => {
                for engine in partitions.iter().filter_map(|partition| self.daemon.engines.get(partition)) {
                    self.image.write_position(engine);
                }
            }
            Variant::LostMessages if kept && (gone || self.chance.happens(200)) => {
                for message in messages {
                    self.image.outbox.lose(message.id);
                }
            }
            Variant::NotSynced if self.count.commits.is_multiple_of(8) => self.synced = self.image.clone(),
            Variant::LateImage => {
                if let Some((_, old)) = self.late.take_if(|(left, _)| *left == 0) {
                    let streams: Vec<_> = old.streams.into_iter().collect();
                    let row = self.chance.one_of(&streams).cloned();
                    self.image.streams.extend(row);
                }
                if let Some((left, _)) = &mut self.late {
                    *left -= 1;
                }
            }
            _ => {}
        }
    }

    /// Reads some records, possibly some of them again, and steps and commits them.
    fn batch(&mut self) -> Result<(), Failed> {
        let mut records: Vec<(i32, i64)> = Vec::new();
        for partition in self.daemon.engines.keys().copied().collect::<Vec<_>>() {
            let next = self.daemon.read.get(&partition).copied().unwrap_or(0);
            let most = *self.chance.one_of(&[1, 3, 7, 20, 60]).unwrap_or(&1);
            let end = self.high(partition).min(next + most);
            let mut from = next;
            if self.faults && self.chance.happens(self.odds.redelivery) {
                from = (next - self.chance.between(1, 30)).max(0);
                self.count.redelivered += (next - from).unsigned_abs();
            }
            records.extend((from..end).map(|offset| (partition, offset)));
            self.daemon.read.insert(partition, end.max(next));
        }
        if records.is_empty() {
            return Ok(());
        }
        self.with_room(|world| {
            let effects = world.step_records(&records);
            let mut partitions: Vec<i32> = records.iter().map(|(partition, _)| *partition).collect();
            partitions.dedup();
            world.commit(&partitions, Change { effects, ..Change::default() })
        })?;
        for (partition, _) in &records {
            self.daemon.heard_at.insert(*partition, self.now);
        }
        Ok(())
    }

    fn step_records(&mut self, records: &[(i32, i64)]) -> Vec<(i32, Effect)> {
        let (mut all, mut effects) = (Vec::new(), Vec::new());
        for (partition, offset) in records {
            let record = self.log.get(partition).and_then(|log| log.get(*offset as usize));
            let (Some(engine), Some(record)) = (self.daemon.engines.get_mut(partition), record) else { continue };
            let appended = Some(Timestamp::from_millis(record.appended));
            engine.step(Input::Record { offset: Offset(*offset), appended, payload: &record.payload }, &mut effects);
            all.extend(effects.drain(..).map(|effect| (*partition, effect)));
        }
        all
    }

    /// Commits what changed outside a batch.
    pub(crate) fn commit_all(&mut self, change: Change) -> Result<(), Failed> {
        let partitions: Vec<i32> = self.daemon.engines.keys().copied().collect();
        self.commit(&partitions, change)
    }

    /// What has to be done although nothing happened.
    fn tick(&mut self) -> Result<(), Failed> {
        let now = self.wall();
        if self.daemon.router.deadline().is_some_and(|due| due <= now) {
            self.with_room(|world| world.commit_all(Change::default()))?;
        }
        self.idle()?;
        self.give_due();
        if self.chance.happens(3_000) && self.image.promoted != self.daemon.baselines {
            self.daemon.baselines = self.image.promoted;
            self.with_room(|world| world.step_all(Event::Baselines(world.daemon.baselines), None))?;
        }
        Ok(())
    }

    /// Lets event time go on in partitions that are read to the end and silent.
    fn idle(&mut self) -> Result<(), Failed> {
        let mut due = Vec::new();
        for (partition, engine) in &self.daemon.engines {
            let heard_at = self.daemon.heard_at.get(partition);
            let (Some(time), Some(heard_at)) = (engine.position().time, heard_at) else { continue };
            let idle = self.now - heard_at;
            let read_to_end = self.daemon.read.get(partition) == Some(&self.high(*partition));
            let is_due = self.daemon.next_idle.get(partition).is_none_or(|at| *at <= self.now);
            if idle >= IDLE_AFTER && read_to_end && is_due {
                self.daemon.next_idle.insert(*partition, self.now + IDLE_AFTER);
                due.push((*partition, time.plus(Span::from_millis(idle))));
            }
        }
        self.with_room(|world| {
            let mut all = Vec::new();
            for (partition, now) in &due {
                all.extend(world.step_engine(*partition, Event::Idle(*now)));
            }
            if all.is_empty() { Ok(()) } else { world.commit_all(Change { effects: all, ..Change::default() }) }
        })
    }

    /// Gives every engine the same, and commits it.
    pub(crate) fn step_all(&mut self, event: Event, rules: Option<usize>) -> Result<(), Failed> {
        let partitions: Vec<i32> = self.daemon.engines.keys().copied().collect();
        let effects = partitions.into_iter().flat_map(|partition| self.step_engine(partition, event)).collect();
        self.commit_all(Change { effects, rules, ..Change::default() })
    }

    /// Gives an engine something that is no record, and keeps that for the uninterrupted machine.
    fn step_engine(&mut self, partition: i32, event: Event) -> Vec<(i32, Effect)> {
        let Some(engine) = self.daemon.engines.get_mut(&partition) else { return Vec::new() };
        let history = self.daemon.history.entry(partition).or_default();
        history.events.push((engine.position().next.0, event));
        match event {
            Event::Rules(number) => history.now.0 = number,
            Event::Baselines(number) => history.now.1 = number,
            Event::Idle(_) => {}
        }
        let mut effects = Vec::new();
        engine.step(self.plan.input(event), &mut effects);
        effects.into_iter().map(|effect| (partition, effect)).collect()
    }

    /// Puts rules in force.
    pub(crate) fn take_rules(&mut self, number: usize) -> Result<(), Failed> {
        self.note(|_| format!("the rule files are read: {number}"));
        if number == BROKEN || number == self.daemon.rules {
            return Ok(());
        }
        self.daemon.rules = number;
        self.with_room(|world| world.step_all(Event::Rules(number), Some(number)))
    }
}

impl Daemon {
    fn new(plan: &Plan) -> Self {
        Self {
            engines: BTreeMap::new(),
            read: BTreeMap::new(),
            history: BTreeMap::new(),
            router: Router::new(plan.policy.clone()),
            rules: 0,
            baselines: 0,
            heard_at: BTreeMap::new(),
            next_idle: BTreeMap::new(),
            flights: BTreeMap::new(),
        }
    }
}

impl Plan {
    pub(crate) fn engine(&self, partition: i32, rules: usize, baselines: usize) -> Engine {
        let settings = Arc::clone(&self.settings);
        Engine::new(Partition(partition), settings, self.rules_of(rules), self.baselines_of(baselines))
    }

    pub(crate) fn input(&self, event: Event) -> Input<'static> {
        match event {
            Event::Idle(now) => Input::Idle { now },
            Event::Rules(number) => Input::Rules(self.rules_of(number)),
            Event::Baselines(number) => Input::Baselines(self.baselines_of(number)),
        }
    }
}
