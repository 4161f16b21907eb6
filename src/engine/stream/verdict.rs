//! What a stream does with verdicts: for the baseline while it is open, then for the charts, when their outputs are old enough.

use super::super::baseline::Profile;
use super::super::chart::Chart;
use super::super::confidence::{ConfidenceTable, Place};
use super::super::labels::{Came, Label, OpenCounts, OpenLabels, Take};
use super::super::memory::task_of;
use super::super::plan::{CASES_MIN, LABELS_MIN};
use super::super::rule::{Measure, Rule, RuleSet};
use super::super::units::{Span, Timestamp};
use super::super::verdicts::{Batch, USUAL_WAIT, Wait, longest};
use super::super::watch::Watched;
use super::{Context, Said, Stream, draw};

impl Stream {
    /// How long verdicts are waited for: what the settings ask, or what the verdicts of the baseline need.
    pub fn wait(&self) -> Wait {
        let own = match (&self.memory.open.correct, &self.baseline) {
            (Some(open), _) => open.delays.wait(),
            (None, Some(baseline)) => return baseline.profile.wait,
            (None, None) => Wait::default(),
        };
        self.asked_wait.map_or(own, |age| Wait { age, ..own })
    }

    /// Goes over to the wait that the settings ask for by now.
    pub(super) fn take_wait(&mut self, ctx: &mut Context<'_>) {
        if self.memory.open.correct.is_none() && self.memory.wait_from(self.wait(), ctx.now) {
            self.redesign(ctx, Measure::is_of_verdicts);
        }
    }

    /// Whether an output belongs to those that the agent is surest of lately, as many as it answered in the baseline; `draw`
    /// decides at the edge. Looked up once an hour, and only where a rule asks.
    pub(in super::super) fn covers(&mut self, place: Place, draw: f64, now: Timestamp) -> bool {
        // Without a confidence on any output of the day there is nothing to keep, and it would be looked up every time.
        let Some(share) = self.coverage.filter(|_| place.bin().is_some()) else { return false };
        let hour = now.floor(Span::HOUR);
        if self.memory.surest.is_none_or(|(at, _)| at != hour) {
            let mut lately = ConfidenceTable::default();
            self.window.panes(now, Span::DAY).for_each(|(_, pane)| lately.merge(&pane.by_confidence));
            self.memory.surest = lately.surest(share).map(|surest| (hour, surest));
        }
        self.memory.surest.is_some_and(|(_, surest)| surest.holds(place, draw))
    }

    /// Finds out whether a rule asks for accuracy at the baseline's coverage, and what that is.
    pub(super) fn take_coverage(&mut self, rules: &RuleSet) {
        let asks = |at: &Watched| {
            rules.rules.get(at.rule).is_some_and(|rule| rule.detect.measure == Measure::AccuracyAtCoverage)
        };
        let coverage = self.baseline.as_ref().and_then(|baseline| baseline.profile.coverage());
        let coverage = coverage.filter(|_| self.watched.iter().any(asks));
        if self.coverage.is_some() && self.coverage != coverage {
            self.memory.surest = None;
        }
        self.coverage = coverage;
    }

    /// Counts what became known later about an output of this stream: at the time of the output, for the baseline while
    /// its verdicts are open, for the charts after that.
    pub(in super::super) fn label(&mut self, label: &Label, ctx: &mut Context<'_>, said: &mut Vec<Said>) {
        self.memory.labels += u64::from(label.correct.is_some());
        let task = task_of(&self.memory.tasks, label.task);
        let known = (label.correct, label.overridden);
        self.window.update(label.at, |pane| pane.label(known, label.place, task));
        if let Some(right) = label.correct {
            let came_at = if label.came == Came::AtOnce { label.at } else { ctx.now };
            self.window.arrived(label.joined.then_some(label.at), came_at, right);
        }
        if self.counted_only {
            return;
        }
        if let Some(right) = label.correct {
            self.verdict(label, right, ctx, said);
        }
        if let Some(overridden) = label.overridden {
            self.overridden(label, overridden, ctx, said);
        }
        self.judge(ctx, said);
    }

    fn verdict(&mut self, label: &Label, right: bool, ctx: &mut Context<'_>, said: &mut Vec<Said>) {
        if label.came == Came::Picked {
            return;
        }
        let late = label.came != Came::AtOnce;
        let age = if late { ctx.now.since(label.at) } else { Span::ZERO };
        let task = task_of(&self.memory.tasks, label.task);
        if label.in_baseline {
            if let Some(open) = &mut self.memory.open.correct {
                open.verdict((label.at, age), label.place, right, task);
            } else if label.joined && self.baseline.as_ref().is_some_and(|baseline| baseline.provisional) {
                self.memory.pace.later(age, right);
            }
            return;
        }
        // While outputs are still being learnt this can only be about one that nobody remembers: not the baseline's.
        if self.in_baseline() {
            return;
        }
        let wait = self.ripen(ctx, said);
        if label.joined && self.paced_from().is_some_and(|from| ctx.now >= from) {
            self.memory.pace.add(age, right);
        }
        let at_once = !late && wait.at_once;
        let waited = self.has_waited(wait, ctx.now);
        if let Some(open) = &mut self.memory.open.correct {
            if at_once && waited {
                // Too few were labelled.
                open.verdict((label.at, age), label.place, right, task_of(&self.memory.tasks, label.task));
            } else if label.at >= self.memory.judged_from {
                self.memory.waiting.add_unsettled((label.at, age), label.place, label.covered, right);
            }
        } else if at_once {
            let mut batch = Batch::default();
            batch.add(label.place, label.covered, right);
            self.chart_verdicts(label.at, &batch, ctx, said);
        } else if age <= wait.age && label.at >= self.memory.judged_from {
            self.memory.waiting.add(label.at, label.place, label.covered, right);
        }
    }

    /// From when the newest verdicts tell when they come: the first ones on outputs that are judged are the early ones.
    fn paced_from(&self) -> Option<Timestamp> {
        let baseline = self.baseline.as_ref().filter(|_| self.memory.open.correct.is_none())?;
        let own = baseline.profile.last.filter(|_| baseline.provisional);
        Some(own.unwrap_or(self.memory.first_seen).plus(baseline.profile.all_in))
    }

    /// Judges the verdicts whose outputs are old enough by now; those on outputs after a baseline with too few belong to it.
    pub(super) fn judge_waiting(&mut self, ctx: &mut Context<'_>, said: &mut Vec<Said>) {
        while !self.memory.waiting.is_empty() {
            let wait = self.ripen(ctx, said);
            if self.memory.open.correct.is_some() && !self.has_waited(wait, ctx.now) {
                return;
            }
            let Some((at, taken)) = self.memory.waiting.take(ctx.now, wait) else { return };
            if let Some(open) = &mut self.memory.open.correct {
                let task = task_of(&self.memory.tasks, 0);
                for (age, batch) in &taken {
                    for (place, counts) in &batch.places {
                        for n in 0..counts.n {
                            open.verdict((at, longest(*age)), *place, n < counts.hits, task);
                        }
                    }
                }
            } else {
                let mut batch = Batch::default();
                for (_, taken) in &taken {
                    batch.merge(taken);
                }
                self.chart_verdicts(at, &batch, ctx, said);
            }
        }
    }

    /// When verdicts that wait are judged, or counted for the baseline, though nothing else comes.
    pub(super) fn verdicts_due(&self) -> Option<Timestamp> {
        if self.memory.waiting.is_empty() {
            return None;
        }
        let wait = self.wait();
        let due = self.memory.waiting.due(wait)?;
        if self.memory.open.correct.is_none() { Some(due) } else { Some(due.max(self.waits_until(wait)?)) }
    }

    /// Closes the verdicts of the baseline where they are in. How long verdicts are waited for by then.
    fn ripen(&mut self, ctx: &mut Context<'_>, said: &mut Vec<Said>) -> Wait {
        let wait = self.wait();
        let open = self.memory.open.correct.as_ref().filter(|_| self.baseline.is_some());
        if open.is_some_and(|open| self.is_ripe(open, wait, ctx.now))
            && let Some(open) = self.memory.open.correct.take()
        {
            self.close(&Measure::Accuracy, &open, ctx, said);
            for (at, batch) in self.memory.waiting.settle(self.memory.wait) {
                self.chart_verdicts(at, &batch, ctx, said);
            }
            return self.wait();
        }
        wait
    }

    /// Whether the verdicts of the baseline are in. Where they are too few, those on later outputs are taken too.
    fn is_ripe(&self, open: &OpenCounts, wait: Wait, now: Timestamp) -> bool {
        let outputs = self.baseline.as_ref().map_or(0, |baseline| baseline.profile.pane.outputs);
        let within = open.delays.within(wait.age);
        within.n >= LABELS_MIN && within.hits > 0 && (open.counts.n >= outputs || self.has_waited(wait, now))
    }

    fn has_waited(&self, wait: Wait, now: Timestamp) -> bool {
        self.waits_until(wait).is_some_and(|until| now >= until)
    }

    /// Until when the verdicts of a baseline are waited for. How long they take is known once the first outputs have been
    /// waited for: what comes with its output may be all errors, or all of one kind. They are in once the last ones have, of
    /// which what comes with its output keeps no one waiting.
    fn waits_until(&self, wait: Wait) -> Option<Timestamp> {
        // While only wrong ones are known, confirmations have yet to come: a chart whose level is 100 % would never speak.
        if self.memory.open.correct.as_ref().is_some_and(|open| open.delays.all().hits == 0) {
            return None;
        }
        let Profile { first, last, .. } = self.baseline.as_ref()?.profile;
        let known = first?.plus(USUAL_WAIT);
        if wait.at_once { Some(known) } else { Some(known.max(last?.plus(wait.age))) }
    }

    fn overridden(&mut self, label: &Label, bad: bool, ctx: &mut Context<'_>, said: &mut Vec<Said>) {
        if label.came == Came::Picked {
            return;
        }
        let task = task_of(&self.memory.tasks, label.task);
        let frozen = self.baseline.is_some();
        let take = OpenLabels::take(&mut self.memory.open.overridden, (bad, bad), (label, task), (frozen, CASES_MIN));
        if take == Take::Kept {
            return;
        }
        if let Take::Close(counts) = take {
            self.close(&Measure::OverrideRate, &counts, ctx, said);
        }
        self.each_chart(ctx, said, label.at, |rule, chart, ctx| {
            rule.detect.measure == Measure::OverrideRate
                && chart.case(&rule.detect, (label.at, label.came != Came::AtOnce), bad, ctx.cache)
        });
    }

    /// Closes the baseline of a measure that is learnt from feedback: from here on it is judged.
    fn close(&mut self, measure: &Measure, open: &OpenCounts, ctx: &mut Context<'_>, said: &mut Vec<Said>) {
        let Some(baseline) = &mut self.baseline else { return };
        open.add_to(&mut baseline.profile, measure);
        if *measure == Measure::Accuracy {
            // The same wait as before: what waits was let in by it.
            baseline.profile.settle(self.asked_wait);
            self.memory.wait = baseline.profile.wait;
            self.redesign(ctx, Measure::is_of_verdicts);
        } else {
            self.redesign(ctx, |measure| *measure == Measure::OverrideRate);
        }
        self.take_allowance(ctx);
        self.baseline_unwritten = true;
        said.push(Said::Learnt);
    }

    /// Designs the charts of some measures anew. Burn rates need no baseline: they go on where they were.
    pub(super) fn redesign(&mut self, ctx: &mut Context<'_>, of: impl Fn(&Measure) -> bool) {
        for Watched { rule, chart: definition, .. } in &*self.watched {
            let Some(rule) = ctx.rules.rules.get(*rule) else { continue };
            if of(&rule.detect.measure) && rule.detect.burn().is_none() {
                let chart = Chart::design(&rule.detect, self.baseline.as_deref(), ctx.now, ctx.cache);
                let before = self.memory.charts.put(*definition, chart);
                self.memory.promised += before.map_or(0.0, |chart| chart.promised());
            }
        }
    }

    /// Feeds verdicts on outputs of one stretch of time to the charts.
    fn chart_verdicts(&mut self, at: Timestamp, batch: &Batch, ctx: &mut Context<'_>, said: &mut Vec<Said>) {
        self.each_chart(ctx, said, at, |rule, chart, ctx| match rule.detect.measure {
            Measure::Accuracy => chart.cases(&rule.detect, at, batch.wrong(), ctx.cache),
            Measure::AccuracyAtCoverage => chart.cases(&rule.detect, at, batch.covered, ctx.cache),
            Measure::Calibration | Measure::EstimatedAccuracy => {
                chart.verdicts(&rule.detect, at, &batch.places, ctx.cache)
            }
            _ => false,
        });
    }

    /// Feeds every chart once, by the first of the rules that share it (they differ only in grade), and draws those that took
    /// something.
    pub(super) fn each_chart(
        &mut self,
        ctx: &mut Context<'_>,
        said: &mut Vec<Said>,
        at: Timestamp,
        feed: impl Fn(&Rule, &mut Chart, &mut Context<'_>) -> bool,
    ) {
        for Watched { rule, chart: definition, place, .. } in self.watched.iter().filter(|watched| watched.first) {
            let rules = ctx.rules;
            if let (Some(rule), Some(chart)) = (rules.rules.get(*rule), self.memory.charts.at_mut(*place, definition))
                && feed(rule, chart, ctx)
            {
                draw(*definition, rule, chart, at, said);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::engine::baseline::BaselineSet;
    use crate::engine::rule::RuleSet;
    use crate::engine::stream::Stream;
    use crate::engine::units::Partition;
    use crate::engine::{Engine, Group, Input, Settings};

    const MINUTE: i64 = 60_000;

    fn engine(provisional_outputs: u64) -> Engine {
        let settings = Settings { group_by: vec![Group::Agent], provisional_outputs, ..Settings::default() };
        Engine::new(
            Partition(0),
            Arc::new(settings),
            Arc::new(RuleSet::new(Vec::new())),
            Arc::new(BaselineSet::default()),
        )
    }

    fn only(engine: &Engine) -> &Stream {
        engine.streams().next().unwrap()
    }

    /// Outputs without a confidence, a minute apart, and what the verdict says that comes so many minutes later.
    fn run(engine: &mut Engine, outputs: i64, verdict: impl Fn(i64) -> Option<(i64, String)>) {
        let mut records: Vec<(i64, String)> = Vec::new();
        for nth in 0..outputs {
            let (at, whose) = ((30_000_000 + nth) * MINUTE, format!(r#""event_id":"e{nth}","agent":"a""#));
            records.push((at, format!(r#"{{"type":"output",{whose},"ts":{at}}}"#)));
            if let Some((minutes, said)) = verdict(nth) {
                let at = at + minutes * MINUTE;
                records.push((at, format!(r#"{{"type":"feedback",{whose},"ts":{at},{said}}}"#)));
            }
        }
        records.sort_by_key(|(at, _)| *at);
        for (_, json) in records {
            let offset = engine.position().next;
            engine.step(Input::Record { offset, appended: None, payload: json.as_bytes() }, &mut Vec::new());
            engine.forget_unwritten();
        }
    }

    #[test]
    fn what_was_picked_for_its_doubts_is_no_part_of_the_baseline() {
        // One output in five is doubtful and wrong half of the time; it is picked ten times as often as others, which are right.
        let verdict = |nth: i64| {
            let doubtful = nth % 5 == 0;
            let (sampled, right) = if doubtful { (0.5, nth % 2 == 0) } else { (0.05, true) };
            let picked = nth * 7_919 % 1_000 < (1_000.0 * sampled) as i64;
            picked.then(|| (60, format!(r#""correct":{right},"sampled":{sampled}"#)))
        };
        let mut engine = engine(10_000);
        run(&mut engine, 15_000, verdict);
        let found = only(&engine).baseline.as_ref().unwrap().profile.delays.all().complement();
        assert!(found.n > 300 && (found.share().unwrap() - 0.1).abs() < 0.06, "{found:?}");
    }

    #[test]
    fn another_pace_is_noticed_without_confidence() {
        let verdict = |nth: i64| {
            let right = nth % 10 > 0;
            let sooner = !right && nth >= 10_000;
            Some((if sooner { 10 } else { 120 }, format!(r#""correct":{right}"#)))
        };
        let mut engine = engine(5_000);
        run(&mut engine, 16_000, verdict);
        let stream = only(&engine);
        let profile = &stream.baseline.as_ref().unwrap().profile;
        let change = stream.memory.pace.change(&profile.delays).unwrap();
        assert!(!change.right && change.now > 0.9, "{change:?}");
    }

    #[test]
    fn errors_alone_close_no_baseline() {
        // Wrong ones are reported after an hour, right ones confirmed after three days.
        let verdict = |nth: i64| {
            let right = nth % 10 > 0;
            Some((if right { 3 * 1_440 - nth % 100 } else { 60 }, format!(r#""correct":{right}"#)))
        };
        let mut engine = engine(2_000);
        run(&mut engine, 12_000, verdict);
        let profile = &only(&engine).baseline.as_ref().unwrap().profile;
        let found = profile.delays.within(profile.wait.age).complement();
        assert!(found.n > 1_900 && (found.share().unwrap() - 0.1).abs() < 0.01, "{found:?} {:?}", profile.wait);
    }
}
