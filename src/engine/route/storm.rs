//! Storms: more groups of a route with something to say than a person can read.
//!
//! Up to [`Policy::digest_over`](super::Policy) messages of a route go out in a minute. When more are due at once, their
//! alerts move into one group, which tells numbers and the worst of them, and lives on as any other group does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::alert::Id;
use super::super::units::Timestamp;
use super::group::{Content, Group, Kind, Member};
use super::{LOOK_EVERY, Router, Turn};

/// Messages to one receiver by one route within a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meter {
    since: Timestamp,
    sent: usize,
}

impl Router {
    /// Lets the groups of one route speak, one by one, later, or together.
    pub(super) fn pace(&mut self, path: (String, String), speaking: Vec<(String, Content)>, turn: &mut Turn<'_>) {
        if speaking.is_empty() {
            return;
        }
        let now = turn.now;
        let level = speaking.iter().any(|(key, _)| self.groups.get(key).is_some_and(|group| group.kind == Kind::Level));
        let most = self.policy.digest_over;
        self.meters.retain(|_, meter| now.since(meter.since) < LOOK_EVERY);
        let meter = self.meters.entry(path).or_insert(Meter { since: now, sent: 0 });
        if level || meter.sent + speaking.len() <= most {
            meter.sent += if level { 0 } else { speaking.len() };
            for (key, content) in speaking {
                self.speak(&key, &content, now, turn.messages);
            }
            return;
        }
        if meter.sent > 0 {
            let next = meter.since.plus(LOOK_EVERY);
            for (key, _) in speaking {
                self.groups.entry(key).and_modify(|group| group.flush_at = next);
            }
            return;
        }
        meter.sent = most;
        self.speak_together(speaking, turn);
    }

    /// Moves everything that these groups hold into one, which speaks for them.
    fn speak_together(&mut self, speaking: Vec<(String, Content)>, turn: &mut Turn<'_>) {
        let now = turn.now;
        let mut members: BTreeMap<Id, Member> = BTreeMap::new();
        let mut notes = Vec::new();
        let mut place = None;
        for (key, _) in speaking {
            let Some(group) = self.groups.remove(&key) else { continue };
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
        match self.content(&key, turn.inhibited, now) {
            Some(content) => self.speak(&key, &content, now, turn.messages),
            None => self.rest(&key, now),
        }
    }
}
