//! The router: crossings and wall time in, messages for receivers out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::alert::{Crossing, Id, State};
use super::units::{Span, Timestamp};

/// Why a message goes out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// The first message of the group.
    First,
    /// An alert of the group fired or resolved since the last message.
    Changed,
    /// Nothing changed, but the repeat interval is over.
    Repeat,
    /// Somebody took the group's alerts on: see [`Note::Acknowledged`].
    Acknowledged,
    /// Nobody took them on in time, so this receiver is told too: see [`Note::Escalated`].
    Escalated,
    /// A silence ended: see [`Note::SilenceEnded`].
    SilenceEnded,
    /// A silence is long and perhaps forgotten: see [`Note::SilenceLong`].
    SilenceLong,
}

/// Something about a message that no crossing of it says. Texts by people are cleaned, and not yet encoded for any sink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Note {
    /// Somebody took alerts of the group on.
    Acknowledged {
        /// Who.
        by: String,
        /// What they said; may be empty.
        note: String,
        /// When.
        at: Timestamp,
        /// How many alerts of the group that firing are theirs now, and how many fire.
        of: (u64, u64),
    },
    /// Nobody took them on.
    Escalated {
        /// Since when the group fires unacknowledged.
        since: Timestamp,
        /// Who was told first.
        told: String,
    },
    /// A silence ended, and this is what it kept quiet.
    SilenceEnded {
        /// The silence.
        silence: SilenceSummary,
        /// Alerts that fired under it.
        fired: u64,
        /// Alerts that ended under it.
        resolved: u64,
        /// Alerts that it kept quiet and that fire still.
        firing: u64,
    },
    /// A silence has lasted long and goes on.
    SilenceLong {
        /// The silence.
        silence: SilenceSummary,
        /// Alerts that it keeps quiet now.
        quiet: u64,
    },
    /// The group holds more alerts than are told one by one: the message's crossings are the worst of them.
    Digest {
        /// How many fire.
        firing: u64,
        /// How many ended since the last message.
        resolved: u64,
        /// How many of both, by the name of the alert.
        by_alert: BTreeMap<String, u64>,
    },
}

/// What a message says of a silence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SilenceSummary {
    /// Its id.
    pub id: String,
    /// Who made it.
    pub author: String,
    /// Why.
    pub comment: String,
    /// What it silences, as matchers: `agent="invoice-triage"`.
    pub matchers: Vec<String>,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
}

/// Whether anything in a message is still wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// At least one alert of the message fires.
    Firing,
    /// All are over.
    Resolved,
}

/// What one receiver is told at one time: the unit of delivery, of retry and of the outbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Computed from the receiver, the group and the crossings (and the count of repeats): the key by which receivers
    /// can tell a second copy.
    pub id: Id,
    /// The id of the first message of this group's incident, for threading mails; equal to `id` in the first.
    pub thread: Id,
    /// The receiver's name in the configuration.
    pub receiver: String,
    /// The group's key, as text, stable over restarts.
    pub group_key: String,
    /// The labels that the group has in common by construction.
    pub group_labels: BTreeMap<String, String>,
    /// Firing or resolved.
    pub status: Status,
    /// Why now.
    pub occasion: Occasion,
    /// The newest crossing of every alert of the group, worst first; the worst of them where [`Note::Digest`] says so.
    pub crossings: Vec<Crossing>,
    /// What no crossing says.
    #[serde(default)]
    pub notes: Vec<Note>,
}

/// How alerts become messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Who is told.
    pub receiver: String,
    /// Alerts that agree in these labels share a message.
    pub group_by: Vec<String>,
    /// How long the first message of a group waits for others to join.
    pub group_wait: Span,
    /// The least time between two messages of a group.
    pub group_interval: Span,
    /// How long a group that still fires stays silent.
    pub repeat_interval: Span,
}

/// Everything that can happen to a router.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// An alert changed its state.
    Crossed(Box<Crossing>),
    /// Wall time passed.
    Tick,
}

/// The alerts that share their messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct GroupState {
    labels: BTreeMap<String, String>,
    /// The newest crossing of every alert that fires, or that ended since the last message.
    alerts: BTreeMap<Id, Crossing>,
    changed: bool,
    flush_at: Timestamp,
    sent_at: Option<Timestamp>,
    sent: u64,
    thread: Option<Id>,
}

/// The second machine: crossings and wall time in, messages out. Its whole state is written down with every commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Router {
    routes: Vec<Route>,
    groups: BTreeMap<String, GroupState>,
}

impl Router {
    /// A router that has told nobody anything. Every route gets every alert.
    pub const fn new(routes: Vec<Route>) -> Self {
        Self { routes, groups: BTreeMap::new() }
    }

    /// Takes up the groups of a router that was written down, under the routes of this one. Alerts that are grouped
    /// otherwise now move to their new groups, as told; groups whose receiver is gone are dropped.
    #[must_use]
    pub fn resume(mut self, written: Self) -> Self {
        for (key, group) in written.groups {
            let Some(route) = self.routes.iter().find(|route| key.starts_with(&prefix(route))) else { continue };
            for (id, crossing) in &group.alerts {
                let (key, labels) = group_of(route, crossing);
                let alerts = BTreeMap::new();
                let moved = self.groups.entry(key).or_insert_with(|| GroupState { labels, alerts, ..group.clone() });
                moved.alerts.insert(*id, crossing.clone());
                moved.changed |= group.changed;
                moved.flush_at = moved.flush_at.min(group.flush_at);
            }
        }
        self
    }

    /// When the router wants to be called again even if nothing crosses.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.groups.values().map(|group| group.flush_at).min()
    }

    /// Lets one thing happen at wall time `now`.
    pub fn step(&mut self, signal: Signal, now: Timestamp, messages: &mut Vec<Message>) {
        if let Signal::Crossed(crossing) = signal {
            self.cross(&crossing, now);
        }
        let due: Vec<String> =
            self.groups.iter().filter(|(_, group)| group.flush_at <= now).map(|(key, _)| key.clone()).collect();
        for key in due {
            self.flush(&key, now, messages);
        }
    }

    fn cross(&mut self, crossing: &Crossing, now: Timestamp) {
        // People are told what fires and what ended after it fired; what only waited is in the database.
        if !matches!(crossing.to, State::Firing | State::Resolved) {
            return;
        }
        for route in &self.routes {
            let (key, labels) = group_of(route, crossing);
            let group = self.groups.entry(key).or_insert_with(|| GroupState {
                labels,
                alerts: BTreeMap::new(),
                changed: false,
                flush_at: now.plus(route.group_wait),
                sent_at: None,
                sent: 0,
                thread: None,
            });
            group.alerts.insert(crossing.alert_id, crossing.clone());
            if let (Some(sent_at), false) = (group.sent_at, group.changed) {
                group.flush_at = now.max(sent_at.plus(route.group_interval));
            }
            group.changed = true;
        }
    }

    fn flush(&mut self, key: &str, now: Timestamp, messages: &mut Vec<Message>) {
        let Some(route) = self.routes.iter().find(|route| key.starts_with(&prefix(route))) else {
            self.groups.remove(key);
            return;
        };
        let Some(group) = self.groups.get_mut(key) else { return };
        messages.push(group.message(route, key));
        group.sent += 1;
        group.sent_at = Some(now);
        group.changed = false;
        group.flush_at = now.plus(route.repeat_interval);
        group.alerts.retain(|_, crossing| crossing.to == State::Firing);
        if group.alerts.is_empty() {
            self.groups.remove(key);
        }
    }
}

impl GroupState {
    fn message(&mut self, route: &Route, key: &str) -> Message {
        let mut crossings: Vec<Crossing> = self.alerts.values().cloned().collect();
        crossings.sort_by_key(|crossing| (crossing.to != State::Firing, severity_rank(crossing), crossing.alert_id));
        let firing = crossings.iter().any(|crossing| crossing.to == State::Firing);
        let repeats = if self.changed { 0 } else { self.sent };
        let mut parts: Vec<Vec<u8>> = vec![route.receiver.as_bytes().to_vec(), key.as_bytes().to_vec()];
        parts.extend(crossings.iter().map(|crossing| crossing.id.0.to_be_bytes().to_vec()));
        parts.push(repeats.to_be_bytes().to_vec());
        let id = Id::of(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        Message {
            id,
            thread: *self.thread.get_or_insert(id),
            receiver: route.receiver.clone(),
            group_key: key.to_owned(),
            group_labels: self.labels.clone(),
            status: if firing { Status::Firing } else { Status::Resolved },
            occasion: match (self.sent, self.changed) {
                (0, _) => Occasion::First,
                (_, true) => Occasion::Changed,
                (_, false) => Occasion::Repeat,
            },
            crossings,
            notes: Vec::new(),
        }
    }
}

/// The group of an alert under a route: its key and what its alerts have in common.
fn group_of(route: &Route, crossing: &Crossing) -> (String, BTreeMap<String, String>) {
    let label = |name: &String| Some((name.clone(), crossing.labels.get(name)?.clone()));
    let labels: BTreeMap<String, String> = route.group_by.iter().filter_map(label).collect();
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    (format!("{}{}", prefix(route), pairs.join(",")), labels)
}

/// What every group key of a route begins with.
fn prefix(route: &Route) -> String {
    format!("{}:", route.receiver)
}

fn severity_rank(crossing: &Crossing) -> usize {
    let severity = crossing.labels.get("severity").map_or("", String::as_str);
    ["critical", "error", "warning", "info"].iter().position(|known| *known == severity).unwrap_or(4)
}

#[cfg(test)]
mod tests {
    use super::super::alert::Reason;
    use super::super::units::{Offset, Partition};
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn crossing(agent: &str, severity: &str, to: State, transition: u32) -> Box<Crossing> {
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let alert_id = Id::of(&[agent.as_bytes()]);
        Box::new(Crossing {
            alert_id,
            id: Id::of(&[agent.as_bytes(), &transition.to_be_bytes()]),
            transition,
            rule: "g/A".to_owned(),
            alert: "A".to_owned(),
            labels: BTreeMap::from([label("agent", agent), label("alertname", "A"), label("severity", severity)]),
            annotations: BTreeMap::new(),
            from: State::Inactive,
            to,
            reason: Reason::Signalled,
            at: at(0),
            started_at: at(0),
            position: (Partition(0), Offset(0)),
            account: None,
        })
    }

    fn router() -> Router {
        Router::new(vec![Route {
            receiver: "ops".to_owned(),
            group_by: vec!["alertname".to_owned()],
            group_wait: Span::from_secs(30),
            group_interval: Span::from_secs(300),
            repeat_interval: Span::HOUR,
        }])
    }

    /// Plays signals and prints every message as `second occasion status [agent:state ...]`, at the router's own deadlines.
    fn play(router: &mut Router, signals: &[(i64, Box<Crossing>)], until: i64) -> Vec<String> {
        let mut told = Vec::new();
        let mut tell = |second: i64, messages: &mut Vec<Message>| {
            for m in messages.drain(..) {
                let who: Vec<String> =
                    m.crossings.iter().map(|c| format!("{}:{}", c.labels["agent"], c.to.as_str())).collect();
                told.push(format!("{second} {:?} {:?} {}", m.occasion, m.status, who.join(" ")));
            }
        };
        let mut messages = Vec::new();
        let mut signals = signals.iter().peekable();
        loop {
            let next_signal = signals.peek().map(|(second, _)| at(*second));
            let next = [next_signal, router.deadline()].into_iter().flatten().min();
            let Some(now) = next.filter(|now| *now <= at(until)) else { return told };
            let signal = match signals.next_if(|(second, _)| at(*second) <= now) {
                Some((_, crossing)) => Signal::Crossed(crossing.clone()),
                None => Signal::Tick,
            };
            router.step(signal, now, &mut messages);
            tell(now.as_millis() / 1_000, &mut messages);
        }
    }

    #[test]
    fn a_group_waits_joins_repeats_and_ends() {
        let signals = [
            (0, crossing("b", "warning", State::Firing, 1)),
            (10, crossing("a", "critical", State::Firing, 1)),
            (60, crossing("c", "info", State::Firing, 1)),
            (4_000, crossing("b", "warning", State::Resolved, 2)),
            (4_001, crossing("a", "critical", State::Resolved, 2)),
            (4_002, crossing("c", "info", State::Resolved, 2)),
        ];
        assert_eq!(
            play(&mut router(), &signals, 100_000),
            [
                "30 First Firing a:firing b:firing",
                "330 Changed Firing a:firing b:firing c:firing",
                "3930 Repeat Firing a:firing b:firing c:firing",
                "4230 Changed Resolved a:resolved b:resolved c:resolved",
            ]
        );
    }

    #[test]
    fn an_alert_that_ends_within_the_wait_is_still_told() {
        let signals =
            [(0, crossing("a", "critical", State::Firing, 1)), (5, crossing("a", "critical", State::Resolved, 2))];
        assert_eq!(play(&mut router(), &signals, 100_000), ["30 First Resolved a:resolved"]);
    }

    #[test]
    fn what_was_written_down_goes_on_where_it_was() {
        let signals = [(0, crossing("a", "critical", State::Firing, 1))];
        let mut whole = router();
        let expected = play(&mut whole, &signals, 10_000);
        let mut first = router();
        let mut told = play(&mut first, &signals, 20);
        let bytes = postcard::to_stdvec(&first).unwrap();
        let mut second = router().resume(postcard::from_bytes(&bytes).unwrap());
        told.extend(play(&mut second, &[], 10_000));
        assert_eq!(told, expected);
        assert_eq!(whole, second);
    }

    #[test]
    fn alerts_that_are_grouped_otherwise_after_a_restart_end_once_and_repeat_no_more() {
        let mut first = router();
        play(&mut first, &[(0, crossing("a", "critical", State::Firing, 1))], 100);
        let mut routes = first.routes.clone();
        routes[0].group_by = vec!["agent".to_owned()];
        let mut second = Router::new(routes).resume(first);
        let signals = [(400, crossing("a", "critical", State::Resolved, 2))];
        assert_eq!(play(&mut second, &signals, 100_000), ["400 Changed Resolved a:resolved"]);
    }

    #[test]
    fn repeats_have_ids_of_their_own_and_the_thread_of_the_first() {
        let mut router = router();
        let mut messages = Vec::new();
        router.step(Signal::Crossed(crossing("a", "critical", State::Firing, 1)), at(0), &mut messages);
        for now in [30, 3_630, 7_230] {
            router.step(Signal::Tick, at(now), &mut messages);
        }
        let ids: std::collections::BTreeSet<Id> = messages.iter().map(|m| m.id).collect();
        assert_eq!((messages.len(), ids.len()), (3, 3));
        assert!(messages.iter().all(|m| m.thread == messages[0].id));
    }
}
