//! Storms: more groups of a route with something to say than a person can read.
//!
//! Up to [`Policy::digest_over`](super::Policy) messages of a route go out in a minute. When more groups are due at once
//! of which nobody was told yet, their alerts move into one, which tells numbers and the worst of them, and lives on as
//! any other group does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::alert::Id;
use super::super::units::Timestamp;
use super::group::{Content, Group, Kind, Member};
use super::message::Message;
use super::{LOOK_EVERY, Router};

/// Messages to one receiver by one route within a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meter {
    pub(super) since: Timestamp,
    sent: usize,
}

impl Meter {
    /// Until when nothing more goes out, where that much is too much.
    pub(super) fn full_until(&self, most: usize, now: Timestamp) -> Option<Timestamp> {
        let until = self.since.plus(LOOK_EVERY);
        (self.sent >= most && now < until).then_some(until)
    }
}

impl Router {
    /// Lets the groups of one route speak, one by one, later, or together.
    pub(super) fn pace(
        &mut self,
        path: (String, String),
        speaking: Vec<(String, Content)>,
        now: Timestamp,
        messages: &mut Vec<Message>,
    ) {
        if speaking.is_empty() {
            return;
        }
        let kind = |key: &String| self.groups.get(key).map(|group| group.kind);
        if speaking.iter().any(|(key, _)| kind(key) == Some(Kind::Level)) {
            for (key, content) in speaking {
                self.speak(&key, &content, now, messages);
            }
            return;
        }
        // Who was told of a group alone is told alone how it goes on: elsewhere each may be an incident that must end.
        let told = |(key, _): &(String, Content)| self.groups.get(key).is_some_and(|group| group.sent > 0);
        let (told, new): (Vec<_>, Vec<_>) = speaking.into_iter().partition(told);
        let most = self.policy.digest_over;
        self.meters.retain(|_, meter| now.since(meter.since) < LOOK_EVERY);
        let meter = *self.meters.entry(path.clone()).or_insert(Meter { since: now, sent: 0 });
        let mut room = most.saturating_sub(meter.sent);
        let mut later = Vec::new();
        if new.len() <= room {
            room -= new.len();
            for (key, content) in new {
                self.speak(&key, &content, now, messages);
            }
        } else if meter.sent == 0 {
            room -= 1;
            self.speak_together(new, now, messages);
        } else {
            later.extend(new);
        }
        for (key, content) in told {
            if room == 0 {
                later.push((key, content));
            } else {
                room -= 1;
                self.speak(&key, &content, now, messages);
            }
        }
        for (key, _) in later {
            self.groups.entry(key).and_modify(|group| group.flush_at = meter.since.plus(LOOK_EVERY));
        }
        self.meters.insert(path, Meter { sent: most - room.min(most), ..meter });
    }

    /// Moves everything that these groups hold into one, which speaks for them.
    fn speak_together(&mut self, speaking: Vec<(String, Content)>, now: Timestamp, messages: &mut Vec<Message>) {
        let mut members: BTreeMap<Id, Member> = BTreeMap::new();
        let mut notes = Vec::new();
        let mut place = None;
        for (key, _) in speaking {
            let Some(mut group) = self.groups.remove(&key) else { continue };
            // Who was told because nobody acknowledged is not told so again.
            if group.kind == Kind::Escalation {
                group.members.values_mut().for_each(|member| member.escalated = true);
            }
            for id in group.members.keys() {
                self.alerts.entry(*id).and_modify(|known| {
                    known.groups.remove(&key);
                });
            }
            members.extend(group.members);
            notes.extend(group.notes);
            place.get_or_insert((group.receiver, group.route));
        }
        let Some((receiver, route)) = place else { return };
        let Some(route) = self.policy.find(&route) else { return };
        let key = Group::key(Kind::Digest, &receiver, route, &BTreeMap::new());
        let new = || Group::new(Kind::Digest, &receiver, route, BTreeMap::new(), now);
        let group = self.groups.entry(key.clone()).or_insert_with(new);
        for (id, member) in members {
            group.members.insert(id, member);
            self.alerts.entry(id).and_modify(|known| {
                known.groups.insert(key.clone());
            });
        }
        notes.retain(|note| !group.notes.contains(note));
        group.notes.extend(notes);
        match self.content(&key, now) {
            Some(content) => self.speak(&key, &content, now, messages),
            None => self.rest(&key, now),
        }
    }
}
