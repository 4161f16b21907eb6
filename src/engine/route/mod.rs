//! The router: crossings, words of people and wall time in, messages for receivers out.
//!
//! What it knows is the alerts that fire, and what each receiver was told of each of them. From that everything follows:
//! a message goes out when a receiver's knowledge is not up to date and the pace of the route allows it. Silences,
//! inhibitions and mute intervals only hold back; what is held back is looked at again.

mod group;
mod inhibit;
mod interval;
mod matcher;
mod message;
mod people;
mod policy;
#[cfg(test)]
mod route_tests;
mod silence;
mod storm;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::group::{Content, Group, Kind, Member};
use self::inhibit::Inhibited;
use self::people::next_escalation;
use self::policy::LEVEL_KEPT;
use self::storm::Meter;
use super::alert::{Crossing, Id, State};
use super::units::{Span, Timestamp};

pub use self::group::ALERTS_MAX;
pub use self::interval::{Interval, RawInterval, RawTimes};
pub use self::matcher::{Matcher, MatcherError, all_match};
pub use self::message::{Message, Note, Occasion, SilenceSummary, Status};
pub use self::policy::{Escalation, GroupBy, Inhibition, Pace, Policy, Route};
pub use self::silence::{Silence, SilenceError};

/// Alerts that ended while they were held back, kept of each group to be told in the end.
const HELD_MAX: usize = 1_000;
/// How often a group is looked at while a mute interval or a silence holds it back, at most.
const LOOK_EVERY: Span = Span::MINUTE;
/// How long a receiver that keeps alerts itself waits for more of them: a storm becomes one message a second.
const LEVEL_WAIT: Span = Span::SECOND;
/// Never.
const NEVER: Timestamp = Timestamp::MAX;

/// Everything that can happen to a router.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// An alert changed its state.
    Crossed(Box<Crossing>),
    /// Somebody asked not to be told of some alerts for a time.
    Silence(Box<Silence>),
    /// Somebody ended a silence.
    EndSilence {
        /// Which.
        id: Id,
        /// Who.
        by: String,
    },
    /// Somebody took an alert on.
    Acknowledge {
        /// Which.
        alert: Id,
        /// Who and what they said.
        ack: Ack,
    },
    /// Wall time passed.
    Tick,
}

/// That somebody took an alert on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Who.
    pub by: String,
    /// What they said; may be empty.
    pub note: String,
    /// When.
    pub at: Timestamp,
}

/// An alert that fires, or that ended and somebody is still to be told.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    /// Its newest crossing.
    crossing: Crossing,
    ack: Option<Ack>,
    /// The groups that hold it.
    groups: BTreeSet<String>,
}

/// The second machine: crossings and wall time in, messages out.
#[derive(Clone, Debug, PartialEq)]
pub struct Router {
    policy: Policy,
    alerts: BTreeMap<Id, Known>,
    /// What those of them that fire keep quiet.
    inhibited: Inhibited,
    groups: BTreeMap<String, Group>,
    silences: BTreeMap<Id, Silence>,
    /// How many messages each receiver got by each route lately.
    meters: BTreeMap<(String, String), Meter>,
    /// Whether anything changed since it was last written down.
    changed: bool,
}

/// What of a router is written down with every commit that changed it. The crossings themselves are where alerts are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouterMemory {
    alerts: BTreeMap<Id, (Id, Option<Ack>)>,
    groups: BTreeMap<String, Group>,
    silences: BTreeMap<Id, Silence>,
    meters: BTreeMap<(String, String), Meter>,
}

impl RouterMemory {
    /// The silences in force or to come.
    pub fn silences(&self) -> impl Iterator<Item = &Silence> {
        self.silences.values()
    }

    /// The crossings that the router needs: alerts and the ids of their newest crossing.
    pub fn crossings(&self) -> impl Iterator<Item = (Id, Id)> {
        self.alerts.iter().map(|(alert, (crossing, _))| (*alert, *crossing))
    }
}

impl Router {
    /// A router that has told nobody anything.
    pub fn new(policy: Policy) -> Self {
        Self {
            inhibited: Inhibited::new(&policy.inhibitions),
            policy,
            alerts: BTreeMap::new(),
            groups: BTreeMap::new(),
            silences: BTreeMap::new(),
            meters: BTreeMap::new(),
            changed: true,
        }
    }

    /// What is to be written down.
    pub fn memory(&self) -> RouterMemory {
        let alert = |(id, known): (&Id, &Known)| (*id, (known.crossing.id, known.ack.clone()));
        RouterMemory {
            alerts: self.alerts.iter().map(alert).collect(),
            groups: self.groups.clone(),
            silences: self.silences.clone(),
            meters: self.meters.clone(),
        }
    }

    /// Takes up what was written down, under this router's policy. `crossings` has the newest crossing of every alert. Alerts
    /// that are routed or grouped otherwise now move to their new groups, as told: nobody hears twice what he knows.
    #[must_use]
    pub fn resume(mut self, mut written: RouterMemory, mut crossings: BTreeMap<Id, Crossing>, now: Timestamp) -> Self {
        self.silences = written.silences;
        self.meters = written.meters;
        for (id, (_, ack)) in written.alerts {
            let Some(crossing) = crossings.remove(&id) else { continue };
            self.know(crossing);
            self.alerts.entry(id).and_modify(|known| known.ack = ack);
        }
        // Escalations and digests stay what they are while their receiver and route are there.
        let special = |group: &Group| matches!(group.kind, Kind::Escalation | Kind::Digest);
        let kept: Vec<(String, Group)> = written.groups.extract_if(.., |_, group| special(group)).collect();
        for (key, mut group) in kept.into_iter().filter(|(_, group)| self.policy.find(&group.route).is_some()) {
            group.members.retain(|id, _| self.alerts.contains_key(id));
            for id in group.members.keys() {
                self.alerts.entry(*id).and_modify(|known| {
                    known.groups.insert(key.clone());
                });
            }
            self.groups.insert(key, group);
        }
        let mut held: BTreeMap<(&str, Id), &Group> = BTreeMap::new();
        for group in written.groups.values() {
            for id in group.members.keys() {
                held.entry((&group.receiver, *id)).or_insert(group);
            }
        }
        for id in self.alerts.keys().copied().collect::<Vec<_>>() {
            self.join_as_told(id, &written.groups, &held, now);
        }
        self.groups.retain(|_, group| !group.members.is_empty());
        self.alerts.retain(|_, known| known.crossing.to == State::Firing || !known.groups.is_empty());
        self
    }

    /// Puts an alert into its groups of this policy; each receiver knows what it knew. `before` are the groups by their
    /// keys, `held` the first that held an alert for a receiver.
    fn join_as_told(
        &mut self,
        id: Id,
        before: &BTreeMap<String, Group>,
        held: &BTreeMap<(&str, Id), &Group>,
        now: Timestamp,
    ) {
        for key in self.join(id, now) {
            let Some(group) = self.groups.get_mut(&key) else { continue };
            let same = |old: &&Group| old.receiver == group.receiver && old.members.contains_key(&id);
            let elsewhere = || held.get(&(group.receiver.as_str(), id)).copied();
            let Some(old) = before.get(&key).filter(same).or_else(elsewhere) else {
                // One that is over was told here already, or was never this receiver's.
                if let Some(known) = self.alerts.get_mut(&id).filter(|known| known.crossing.to == State::Resolved) {
                    group.members.remove(&id);
                    known.groups.remove(&key);
                }
                continue;
            };
            if let Some(member) = old.members.get(&id) {
                group.members.insert(id, *member);
            }
            if group.sent_at.is_none() {
                group.flush_at = old.flush_at;
            }
            group.flush_at = group.flush_at.min(old.flush_at);
            group.escalate_at = [group.escalate_at, old.escalate_at].into_iter().flatten().min();
            group.sent_at = group.sent_at.max(old.sent_at);
            group.sent = group.sent.max(old.sent);
            group.thread = group.thread.or(old.thread);
            if group.notes.is_empty() {
                group.notes.clone_from(&old.notes);
            }
        }
    }

    /// What is to be written down, where anything changed since this was last asked.
    pub fn take_unwritten(&mut self) -> Option<RouterMemory> {
        std::mem::take(&mut self.changed).then(|| self.memory())
    }

    /// The silences in force or to come.
    pub fn silences(&self) -> impl Iterator<Item = &Silence> {
        self.silences.values()
    }

    /// Whether an alert is known, and by whom it was taken on.
    pub fn alert(&self, id: Id) -> Option<(&Crossing, Option<&Ack>)> {
        self.alerts.get(&id).map(|known| (&known.crossing, known.ack.as_ref()))
    }

    /// What a receiver that keeps alerts itself is to be told again and again: what fires and is not held back, and what
    /// ended within the last quarter of an hour.
    pub fn standing(&self, receiver: &str) -> Vec<&Crossing> {
        let level = self.groups.values().filter(|group| group.kind == Kind::Level && group.receiver == receiver);
        let told = level.flat_map(|group| group.members.iter().filter(|(_, member)| member.told.is_some()));
        told.filter_map(|(id, _)| self.alerts.get(id)).map(|known| &known.crossing).collect()
    }

    /// When the router wants to be called again even if nothing crosses.
    pub fn deadline(&self) -> Option<Timestamp> {
        let groups = self.groups.values().flat_map(|group| [Some(group.flush_at), group.escalate_at]);
        let silences = self
            .silences
            .values()
            .flat_map(|silence| [Some(silence.ends_at), silence.reminder(self.policy.silence_reminder)]);
        groups.chain(silences).flatten().filter(|at| *at < NEVER).min()
    }

    /// Lets crossings happen that come together, and then says what is due.
    pub fn pass<'c>(&mut self, crossings: impl Iterator<Item = &'c Crossing>, now: Timestamp) -> Vec<Message> {
        let mut messages = Vec::new();
        for crossing in crossings {
            self.step(Signal::Crossed(Box::new(crossing.clone())), now, &mut messages);
        }
        self.step(Signal::Tick, now, &mut messages);
        messages
    }

    /// Lets one thing happen at wall time `now`. A crossing sets off only messages of its own groups: after the last of
    /// those that come together follows a [`Signal::Tick`], which looks at all groups once.
    pub fn step(&mut self, signal: Signal, now: Timestamp, messages: &mut Vec<Message>) {
        match signal {
            Signal::Crossed(crossing) => {
                self.end_silences(now);
                let groups = self.cross(*crossing, now);
                self.flush_due(groups, now, messages);
                return;
            }
            Signal::Silence(silence) => {
                self.changed = true;
                self.silences.insert(silence.id, *silence);
            }
            Signal::EndSilence { id, by } => {
                if let Some(silence) = self.silences.get_mut(&id) {
                    self.changed = true;
                    silence.ends_at = silence.ends_at.min(now);
                    silence.ended_by = Some(by);
                }
            }
            Signal::Acknowledge { alert, ack } => self.acknowledge(alert, &ack, now),
            Signal::Tick => self.clamp(now),
        }
        self.end_silences(now);
        self.escalate(now);
        let due = self.groups.iter().filter(|(_, group)| group.flush_at <= now).map(|(key, _)| key.clone()).collect();
        self.flush_due(due, now, messages);
        self.remind(now, messages);
    }

    /// A clock that was ahead and was set back must not keep anybody waiting for a time that is far away.
    fn clamp(&mut self, now: Timestamp) {
        self.meters.retain(|_, meter| meter.since <= now);
        for group in self.groups.values_mut().filter(|group| group.sent_at.is_some_and(|at| at > now)) {
            group.sent_at = Some(now);
            group.flush_at = group.flush_at.min(now.plus(LOOK_EVERY));
        }
    }

    /// Takes note of a crossing, and returns the groups that it makes due.
    fn cross(&mut self, crossing: Crossing, now: Timestamp) -> BTreeSet<String> {
        let mut due = BTreeSet::new();
        // People are told what fires and what ended after it fired; what only waited is in the database.
        if !matches!(crossing.to, State::Firing | State::Resolved) {
            return due;
        }
        self.changed = true;
        let (id, to) = (crossing.alert_id, crossing.to);
        for silence in self.silences.values_mut().filter(|silence| silence.covers(&crossing.labels, now)) {
            silence.fired += u64::from(to == State::Firing);
            silence.resolved += u64::from(to == State::Resolved);
        }
        self.know(crossing);
        // Who never heard that it fired need not hear that it is over.
        if to == State::Firing {
            self.join(id, now);
        }
        let Some(known) = self.alerts.get(&id) else { return due };
        for key in &known.groups {
            let Some(group) = self.groups.get_mut(key) else { continue };
            let soonest = group.sent_at.map_or(group.flush_at, |sent_at| {
                let interval = match (group.kind, to) {
                    (Kind::Level, _) => return now.plus(LEVEL_WAIT),
                    (Kind::Digest, State::Firing) => LOOK_EVERY,
                    _ => self.policy.find(&group.route).map_or(LOOK_EVERY, |route| route.pace.interval),
                };
                now.max(sent_at.plus(interval))
            });
            group.flush_at = group.flush_at.min(soonest);
            // In a storm the group waits for its turn, and is not looked through for each of its alerts.
            let path = (group.receiver.clone(), group.route.clone());
            if let Some(meter) = self.meters.get(&path).filter(|_| group.kind != Kind::Level) {
                let free_at = meter.full_until(self.policy.digest_over, now);
                group.flush_at = free_at.map_or(group.flush_at, |at| group.flush_at.max(at));
            }
            if group.flush_at <= now {
                due.insert(key.clone());
            }
        }
        self.forget_if_told(id);
        due
    }

    /// Takes an alert as it stands now.
    fn know(&mut self, crossing: Crossing) {
        let rules = &self.policy.inhibitions;
        if crossing.to == State::Firing {
            self.inhibited.add(rules, &crossing.labels);
        }
        match self.alerts.entry(crossing.alert_id) {
            Entry::Vacant(place) => {
                place.insert(Known { crossing, ack: None, groups: BTreeSet::new() });
            }
            Entry::Occupied(mut known) => {
                let before = std::mem::replace(&mut known.get_mut().crossing, crossing);
                if before.to == State::Firing {
                    self.inhibited.remove(rules, &before.labels);
                }
            }
        }
    }

    /// Puts an alert into every group that its routes say, and returns those.
    fn join(&mut self, id: Id, now: Timestamp) -> Vec<String> {
        let Some(known) = self.alerts.get_mut(&id) else { return Vec::new() };
        let labels = &known.crossing.labels;
        let mut keys = Vec::new();
        for route in self.policy.routes_of(labels) {
            for receiver in &route.receivers {
                let level = self.policy.level.contains(receiver);
                let (kind, common) =
                    if level { (Kind::Level, BTreeMap::new()) } else { (Kind::Ordinary, route.group_labels(labels)) };
                let digest = Group::key(Kind::Digest, receiver, route, &BTreeMap::new());
                // An alert that went into a summary stays there.
                if known.groups.contains(&digest) {
                    continue;
                }
                let key = Group::key(kind, receiver, route, &common);
                let first = now.plus(if level { LEVEL_WAIT } else { route.pace.wait });
                let new = || Group::new(kind, receiver, route, common, first);
                let group = self.groups.entry(key.clone()).or_insert_with(new);
                if group.sent_at.is_none() {
                    group.flush_at = group.flush_at.min(first);
                }
                group.members.entry(id).or_default();
                known.groups.insert(key.clone());
                keys.push(key);
            }
        }
        keys
    }

    fn flush_due(&mut self, groups: BTreeSet<String>, now: Timestamp, messages: &mut Vec<Message>) {
        let mut due: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for key in groups {
            let Some(group) = self.groups.get(&key) else { continue };
            due.entry((group.receiver.clone(), group.route.clone())).or_default().push(key);
        }
        if due.is_empty() {
            return;
        }
        self.changed = true;
        for (path, keys) in due {
            let mut speaking = Vec::new();
            for key in keys {
                match self.content(&key, now) {
                    Some(content) => speaking.push((key, content)),
                    None => self.rest(&key, now),
                }
            }
            self.pace(path, speaking, now, messages);
        }
    }

    /// What a group has to say now; nothing where its receiver knows everything, or everything is held back.
    fn content(&self, key: &str, now: Timestamp) -> Option<Content> {
        let group = self.groups.get(key)?;
        let route = self.policy.find(&group.route)?;
        let mute = self.policy.is_mute(route, now);
        let mut content = Content { told: Vec::new(), changed: false };
        let mut fires_unacknowledged = false;
        // That somebody has it is told in spite of a silence: pagers elsewhere must stop.
        let taken = group.notes.iter().any(|note| matches!(note.note(), Some(Note::Acknowledged { .. })));
        for (id, member) in &group.members {
            let Some(known) = self.alerts.get(id) else { continue };
            let labels = &known.crossing.labels;
            let quiet =
                || is_silenced(&self.silences, labels, now) || self.inhibited.holds(&self.policy.inhibitions, labels);
            let (fires, knew) = (known.crossing.to == State::Firing, member.told);
            // Who was told that it fires is told that it is over, silence or not: incidents must not stay open.
            let tell = match (fires, knew) {
                _ if mute => false,
                (false, Some(State::Resolved)) => false,
                (false, Some(_)) => true,
                (true, Some(_)) if taken => true,
                (true, _) | (false, None) => !quiet(),
            };
            if !tell {
                continue;
            }
            let news = knew != Some(known.crossing.to);
            content.changed |= news;
            fires_unacknowledged |= fires && known.ack.is_none();
            if news || group.kind != Kind::Level {
                content.told.push(*id);
            }
        }
        let repeat = group.kind != Kind::Level
            && fires_unacknowledged
            && group.sent_at.is_some_and(|sent_at| sent_at.plus(route.pace.repeat) <= now);
        let speaks = content.changed || repeat || (!group.notes.is_empty() && !mute);
        (speaks && !content.told.is_empty()).then_some(content)
    }

    /// Says what a group has to say.
    fn speak(&mut self, key: &str, content: &Content, now: Timestamp, messages: &mut Vec<Message>) {
        let Some(group) = self.groups.get_mut(key) else { return };
        // A receiver that keeps alerts itself wants all of them, in pieces that it can take.
        let (most, piece) = match group.kind {
            Kind::Level => (ALERTS_MAX, ALERTS_MAX),
            Kind::Digest => (self.policy.digest_over, usize::MAX),
            Kind::Ordinary | Kind::Escalation => (ALERTS_MAX, usize::MAX),
        };
        for ids in content.told.chunks(piece) {
            let crossings: Vec<Crossing> =
                ids.iter().filter_map(|id| self.alerts.get(id)).map(|known| known.crossing.clone()).collect();
            messages.push(group.message(key, content, crossings, most));
        }
        group.sent += 1;
        group.sent_at = Some(now);
        for id in &content.told {
            let (Some(known), Some(member)) = (self.alerts.get(id), group.members.get_mut(id)) else { continue };
            let to = known.crossing.to;
            if to == State::Firing && member.told_at.is_none() {
                member.told_at = Some(now);
            }
            if to == State::Resolved && member.told != Some(State::Resolved) {
                member.ended_at = Some(now);
            }
            member.told = Some(to);
        }
        self.rest(key, now);
    }

    /// Lets go of alerts that are over and told, and sets when the group is looked at next.
    fn rest(&mut self, key: &str, now: Timestamp) {
        let Some(group) = self.groups.get_mut(key) else { return };
        let Some(route) = self.policy.find(&group.route) else {
            let members: Vec<Id> = group.members.keys().copied().collect();
            self.groups.remove(key);
            self.let_go(key, &members);
            return;
        };
        let state = |id: &Id| self.alerts.get(id).map_or(State::Resolved, |known| known.crossing.to);
        let kept_until =
            |member: &Member| member.ended_at.filter(|_| group.kind == Kind::Level).map(|at| at.plus(LEVEL_KEPT));
        let mut gone = Vec::new();
        let mut held_over = 0;
        let mut held = false;
        let mut repeats = false;
        let mut until: Option<Timestamp> = None;
        for (id, member) in &group.members {
            let (now_is, knows) = (state(id), member.told);
            if now_is == State::Resolved && knows == Some(State::Resolved) {
                match kept_until(member).filter(|at| *at > now) {
                    Some(at) => until = Some(until.map_or(at, |soonest: Timestamp| soonest.min(at))),
                    None => gone.push(*id),
                }
            } else if knows == Some(now_is) {
                repeats |= self.alerts.get(id).is_some_and(|known| known.ack.is_none());
            } else if now_is == State::Resolved && knows.is_none() {
                // It fired and ended while it was held back: told in the end, as long as they are not too many. What
                // only an inhibition held back is not: what it followed from was told.
                let quiet = |known: &Known| is_silenced(&self.silences, &known.crossing.labels, now);
                let silenced = self.alerts.get(id).is_some_and(quiet);
                held_over += 1;
                if held_over > HELD_MAX || !(silenced || self.policy.is_mute(route, now)) {
                    gone.push(*id);
                } else {
                    held = true;
                }
            } else {
                held = true;
            }
        }
        for id in &gone {
            group.members.remove(id);
        }
        // A reminder that is overdue was held back, and is looked at again like everything that is.
        let repeat_at = |at: Timestamp| at.plus(route.pace.repeat).max(now.plus(LOOK_EVERY));
        let repeat_at = group.sent_at.filter(|_| repeats && group.kind != Kind::Level).map(repeat_at);
        let look_at = held.then(|| now.plus(route.pace.interval.max(Span::from_secs(1)).min(LOOK_EVERY)));
        group.flush_at = [repeat_at, look_at, until].into_iter().flatten().min().unwrap_or(NEVER);
        group.escalate_at = match group.kind {
            Kind::Ordinary | Kind::Digest => next_escalation(group, &self.alerts, route.escalation.as_ref(), now),
            Kind::Escalation | Kind::Level => None,
        };
        if group.members.is_empty() {
            self.groups.remove(key);
        }
        self.let_go(key, &gone);
    }

    /// Alerts that a group no longer holds.
    fn let_go(&mut self, key: &str, ids: &[Id]) {
        for id in ids {
            if let Some(known) = self.alerts.get_mut(id) {
                known.groups.remove(key);
            }
            self.forget_if_told(*id);
        }
    }

    /// Forgets an alert that is over and that nobody is to be told of any more.
    fn forget_if_told(&mut self, id: Id) {
        let told = |known: &Known| known.crossing.to == State::Resolved && known.groups.is_empty();
        if self.alerts.get(&id).is_some_and(told) {
            self.alerts.remove(&id);
        }
    }
}

/// Whether a silence keeps an alert with these labels quiet.
fn is_silenced(silences: &BTreeMap<Id, Silence>, labels: &BTreeMap<String, String>, now: Timestamp) -> bool {
    silences.values().any(|silence| silence.covers(labels, now))
}
