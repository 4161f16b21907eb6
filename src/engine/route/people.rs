//! What people do to alerts and what they are to be reminded of: acknowledgements, silences, escalations.

use std::collections::BTreeMap;

use super::super::alert::{Id, State};
use super::super::units::Timestamp;
use super::group::{Group, Kind, Member, Written};
use super::matcher::all_match;
use super::message::{Message, Note, Occasion, Status};
use super::policy::Escalation;
use super::silence::Silence;
use super::{Ack, Known, LOOK_EVERY, Router, is_silenced};

impl Router {
    /// Notes who has an alert, and says so to those who were told of it.
    pub(super) fn acknowledge(&mut self, id: Id, ack: &Ack, now: Timestamp) {
        let Some(known) = self.alerts.get_mut(&id).filter(|known| known.crossing.to == State::Firing) else { return };
        known.ack = Some(ack.clone());
        self.changed = true;
        for key in self.alerts.get(&id).map(|known| known.groups.clone()).unwrap_or_default() {
            let Some(group) = self.groups.get(&key) else { continue };
            let told = group.members.get(&id).is_some_and(|member| member.told == Some(State::Firing));
            if group.kind == Kind::Level || !told {
                continue;
            }
            let mut of = (0, 0);
            let members = group.members.keys().filter_map(|id| self.alerts.get(id));
            for known in members.filter(|known| known.crossing.to == State::Firing) {
                of.0 += u64::from(known.ack.as_ref().is_some_and(|other| other.by == ack.by));
                of.1 += 1;
            }
            let note = Note::Acknowledged { by: ack.by.clone(), note: ack.note.clone(), at: ack.at, of };
            if let Some(group) = self.groups.get_mut(&key) {
                // One message for many acknowledgements at once: the newest says how many are theirs.
                group
                    .notes
                    .retain(|other| !matches!(other.note(), Some(Note::Acknowledged { by, .. }) if by == ack.by));
                group.notes.push(Written::new(&note));
                group.flush_at = now;
            }
        }
    }

    /// Lets what silences kept quiet be told, and forgets silences that are over.
    pub(super) fn end_silences(&mut self, now: Timestamp) {
        let over: Vec<Silence> = self.silences.extract_if(.., |_, s| s.ends_at <= now).map(|(_, s)| s).collect();
        for silence in over {
            self.changed = true;
            // Ended before it began, it kept nothing quiet.
            if silence.starts_at >= silence.ends_at {
                continue;
            }
            // What it covered until a moment ago.
            let covered = |labels: &BTreeMap<String, String>| all_match(&silence.matchers, labels);
            // What was not told of, and what was and still fires.
            let held = |group: &Group| {
                let of = |(id, member): (&Id, &Member)| {
                    self.alerts.get(id).is_some_and(|known| {
                        let news = member.told.is_none() || known.crossing.to == State::Firing;
                        news && covered(&known.crossing.labels)
                    })
                };
                group.kind != Kind::Level && group.members.iter().any(of)
            };
            let firing = self.alerts.values().filter(|known| known.crossing.to == State::Firing);
            let firing = firing.filter(|known| covered(&known.crossing.labels)).count() as u64;
            let note = Note::SilenceEnded {
                silence: silence.summary(),
                fired: silence.fired,
                resolved: silence.resolved,
                firing,
            };
            let keys: Vec<String> =
                self.groups.iter().filter(|(_, group)| held(group)).map(|(key, _)| key.clone()).collect();
            for key in keys {
                if let Some(group) = self.groups.get_mut(&key) {
                    group.notes.push(Written::new(&note));
                    group.flush_at = now;
                }
            }
        }
    }

    /// Tells somebody else of what nobody acknowledged.
    pub(super) fn escalate(&mut self, now: Timestamp) {
        let due = |group: &Group| group.escalate_at.is_some_and(|at| at <= now);
        let keys: Vec<String> = self.groups.iter().filter(|(_, g)| due(g)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.changed = true;
            let Some(group) = self.groups.get_mut(&key) else { continue };
            let Some(route) = self.policy.find(&group.route) else { continue };
            let Some(escalation) = &route.escalation else {
                group.escalate_at = None;
                continue;
            };
            let quiet = |known: &Known| is_silenced(&self.silences, &known.crossing.labels, now);
            let mut late = Vec::new();
            for (id, member) in &mut group.members {
                let Some(known) = self.alerts.get(id) else { continue };
                let open = known.crossing.to == State::Firing && known.ack.is_none() && !member.escalated;
                let Some(told_at) = member.told_at.filter(|at| open && at.plus(escalation.after) <= now) else {
                    continue;
                };
                if !quiet(known) {
                    member.escalated = true;
                    late.push((*id, told_at));
                }
            }
            group.escalate_at = next_escalation(group, &self.alerts, Some(escalation), now);
            let Some(since) = late.iter().map(|(_, told_at)| *told_at).min() else { continue };
            let note = Written::new(&Note::Escalated { since, told: group.receiver.clone() });
            let labels = group.labels.clone();
            let (receivers, route) = (escalation.receivers.clone(), route.clone());
            for receiver in receivers {
                let key = Group::key(Kind::Escalation, &receiver, &route, &labels);
                let new = || Group::new(Kind::Escalation, &receiver, &route, labels.clone(), now);
                let group = self.groups.entry(key.clone()).or_insert_with(new);
                group.flush_at = now;
                if !group.notes.contains(&note) {
                    group.notes.push(note.clone());
                }
                for (id, _) in &late {
                    group.members.entry(*id).or_default();
                    self.alerts.entry(*id).and_modify(|known| {
                        known.groups.insert(key.clone());
                    });
                }
            }
        }
    }

    /// Reminds people of silences that are long.
    pub(super) fn remind(&mut self, now: Timestamp, messages: &mut Vec<Message>) {
        let every = self.policy.silence_reminder;
        for silence in self.silences.values_mut() {
            if silence.reminder(every).is_none_or(|at| at > now) {
                continue;
            }
            silence.reminded_at = Some(now);
            self.changed = true;
            let firing = self.alerts.values().filter(|known| known.crossing.to == State::Firing);
            let quiet = firing.filter(|known| silence.covers(&known.crossing.labels, now)).count() as u64;
            let thread = Id::of(&[b"silence", &silence.id.0.to_be_bytes()]);
            for receiver in self.policy.root().map(|root| root.receivers.as_slice()).unwrap_or_default() {
                if self.policy.level.contains(receiver) {
                    continue;
                }
                let at = now.as_millis().to_be_bytes();
                messages.push(Message {
                    id: Id::of(&[b"silence reminder", &silence.id.0.to_be_bytes(), receiver.as_bytes(), &at]),
                    thread,
                    receiver: receiver.clone(),
                    group_key: format!("{receiver}|silence:{}", silence.id),
                    group_labels: BTreeMap::new(),
                    status: Status::Firing,
                    occasion: Occasion::SilenceLong,
                    crossings: Vec::new(),
                    notes: vec![Note::SilenceLong { silence: silence.summary(), quiet }],
                });
            }
        }
    }
}

/// When somebody else is to be told of the alerts of a group, if nobody acknowledges. What is due and was not told is
/// silenced: it is looked at again, and told when the silence is over.
pub(super) fn next_escalation(
    group: &Group,
    alerts: &BTreeMap<Id, Known>,
    escalation: Option<&Escalation>,
    now: Timestamp,
) -> Option<Timestamp> {
    let after = escalation?.after;
    let open = |id: &Id| alerts.get(id).is_some_and(|k| k.crossing.to == State::Firing && k.ack.is_none());
    let waiting = group.members.iter().filter(|(id, member)| !member.escalated && open(id));
    let next = waiting.filter_map(|(_, member)| member.told_at).map(|at| at.plus(after)).min()?;
    Some(if next > now { next } else { now.plus(LOOK_EVERY) })
}
