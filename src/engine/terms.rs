//! What is in force: rules, promoted baselines, what a false alarm may cost. It changes at one moment of the log for all streams, but
//! there may be a hundred thousand of them, and records do not wait: every stream meets it before anything else happens to it, and
//! those to which nothing happens, a few at a time.
//!
//! A stream meets it at the stream time and the record of that moment. Nothing has happened to the stream since, so that it comes
//! out as if all had met it at once.

use std::sync::Arc;

use super::baseline::BaselineSet;
use super::rule::RuleSet;
use super::units::{Offset, Timestamp};
use super::{Effect, Engine};

/// What changes of it.
#[derive(Clone, Debug)]
pub enum News {
    /// Other rules.
    Rules(Arc<RuleSet>),
    /// Other promoted baselines.
    Baselines(Arc<BaselineSet>),
    /// Another share of a budget: false alarms that one output may cost.
    Allowance(f64),
    /// Nothing, but all streams were just restored, and may be written down under other rules and baselines than the engine's.
    Restored(Option<f64>),
}

/// Which streams have met what is in force.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// How often it changed.
    pub(super) number: u32,
    /// When that was.
    at: (Timestamp, Offset),
    /// Streams below this one have met it.
    next: u32,
    /// Whether streams have to be written down that met it. Those that were restored meet it anew whenever they are restored,
    /// and come out the same.
    written: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self { number: 0, at: (Timestamp::MIN, Offset(0)), next: u32::MAX, written: true }
    }
}

impl Engine {
    /// Puts something in force. Its streams meet it before anything else happens to them; see [`Engine::meet_some`].
    pub fn announce(&mut self, news: News, effects: &mut Vec<Effect>) {
        self.meet_some(usize::MAX, effects);
        let written = !matches!(news, News::Restored(_));
        match news {
            News::Rules(rules) => self.rules = rules,
            News::Baselines(baselines) => self.baselines = baselines,
            News::Allowance(allowance) => self.allowance = Some(allowance),
            News::Restored(allowance) => self.allowance = allowance.or(self.allowance),
        }
        let at = (self.position.time.unwrap_or(Timestamp::MIN), Offset(self.position.next.0 - 1));
        self.terms = Terms { number: self.terms.number.wrapping_add(1), at, next: 0, written };
    }

    /// Lets so many streams meet what is in force. Returns whether all have by now.
    pub fn meet_some(&mut self, streams: usize, effects: &mut Vec<Effect>) -> bool {
        let all = self.streams.len() as u32;
        let next = self.terms.next.saturating_add(u32::try_from(streams).unwrap_or(u32::MAX)).min(all);
        for index in self.terms.next..next {
            self.meet(index, effects);
        }
        self.terms.next = next.max(self.terms.next);
        self.have_all_met()
    }

    /// Whether all streams have met what is in force.
    pub fn have_all_met(&self) -> bool {
        self.terms.next as usize >= self.streams.len()
    }

    pub(super) fn announce_and_meet(&mut self, news: News, effects: &mut Vec<Effect>) {
        self.announce(news, effects);
        self.meet_some(usize::MAX, effects);
    }

    /// Lets a stream meet what is in force, where it has not.
    pub(super) fn meet(&mut self, index: u32, effects: &mut Vec<Effect>) {
        let Terms { number, at, written, .. } = self.terms;
        let Some(due) = self.due.get_mut(index as usize).filter(|due| due.met != number) else { return };
        due.met = number;
        let (unwritten, said) = (due.write, effects.len());
        let baselines = Arc::clone(&self.baselines);
        self.change(index, at, effects, |stream, ctx, said| {
            stream.take_rules(ctx, said);
            stream.take_promoted(&baselines, ctx, said);
        });
        let silent = !written && !unwritten && effects.len() == said;
        if let (true, Some(due)) = (silent, self.due.get_mut(index as usize)) {
            due.write = false;
            self.dirty.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rule::{Source, compile};
    use crate::engine::units::Partition;
    use crate::engine::{Group, Input, Settings};

    fn rules(text: &str) -> Arc<RuleSet> {
        let text = format!("groups:\n  - name: g\n    rules:\n{text}");
        let compiled = compile(&[Source { name: "rules.yaml".to_owned(), text }]);
        Arc::new(compiled.rules.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics)))
    }

    fn step(engine: &mut Engine, nth: i64, (agent, fails): (&str, bool), effects: &mut Vec<Effect>) {
        let ts = 1_767_571_200_000 + nth * 1_000;
        let status = if fails { "error" } else { "ok" };
        let json = format!(
            r#"{{"event_id":"e{nth}","agent":"{agent}","ts":{ts},"confidence":0.9,"latency_ms":{},"status":"{status}"}}"#,
            nth % 97
        );
        engine.step(Input::Record { offset: Offset(nth), appended: None, payload: json.as_bytes() }, effects);
    }

    fn seen(engine: &Engine) -> Vec<String> {
        engine.streams().map(|stream| format!("{stream:?}")).collect()
    }

    /// Ten agents that fail at first; then other rules, after which only half of the agents go on.
    #[test]
    fn streams_that_meet_rules_later_come_out_as_if_they_had_met_them_at_once() {
        let old =
            rules("      - { alert: Failing, detect: { measure: availability, target: 99%, burn_rate: 14.4 } }\n");
        let new = "      - { alert: Slow, detect: { measure: latency, quantile: p95, rise: 5pp } }
      - { alert: Quiet, detect: { measure: silence, absent: 2m } }
      - { alert: Traffic, detect: { measure: volume, drop: 50% } }\n";
        let settings = Settings { group_by: vec![Group::Agent], provisional_outputs: 20, ..Settings::default() };
        let settings = Arc::new(settings);
        let run = |slice: usize| {
            let mut engine = Engine::new(Partition(0), Arc::clone(&settings), Arc::clone(&old), Arc::default());
            let mut effects = Vec::new();
            for nth in 0..400 {
                step(&mut engine, nth, (&format!("a{}", nth % 10), nth < 300), &mut effects);
            }
            assert!(effects.iter().any(|effect| effect.crossing().is_some()), "some fire before");
            engine.announce(News::Rules(rules(new)), &mut effects);
            for nth in 400..900 {
                engine.meet_some(slice, &mut effects);
                step(&mut engine, nth, (&format!("a{}", nth % 5), false), &mut effects);
            }
            engine.meet_some(usize::MAX, &mut effects);
            let told = effects.iter().filter_map(|effect| Some(format!("{:?}", effect.crossing()?)));
            let mut told: Vec<String> = told.collect();
            told.sort();
            (seen(&engine), told, engine.take_dirty().len())
        };
        let at_once = run(usize::MAX);
        assert!(
            at_once.1.iter().any(|told| told.contains("RuleRemoved"))
                && at_once.1.iter().any(|told| told.contains("Quiet"))
        );
        for slice in [0, 1, 3] {
            assert!(run(slice) == at_once, "{slice} at a time");
        }
    }

    #[test]
    fn streams_that_were_restored_are_written_down_only_where_they_have_something_to_say() {
        let old =
            rules("      - { alert: Failing, detect: { measure: availability, target: 99%, burn_rate: 14.4 } }\n");
        let mut engine = Engine::new(Partition(0), Arc::default(), Arc::clone(&old), Arc::default());
        let mut effects = Vec::new();
        for nth in 0..300 {
            let of = if nth % 2 == 0 { ("bad", true) } else { ("good", false) };
            step(&mut engine, nth, of, &mut effects);
        }
        engine.forget_unwritten();
        engine.announce(News::Restored(None), &mut effects);
        assert!(!engine.have_all_met());
        assert!(engine.meet_some(10, &mut effects) && engine.take_dirty().is_empty());
        engine.rules = rules("      - { alert: Slow, detect: { measure: latency, quantile: p95, rise: 5pp } }\n");
        engine.announce(News::Restored(None), &mut effects);
        assert!(engine.meet_some(10, &mut effects));
        assert_eq!(engine.take_dirty(), [0], "its alert is over");
    }
}
