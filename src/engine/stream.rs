//! All state of one monitored stream.

mod cause;
mod keep;
mod verdict;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::account::Facts;
use super::alert::{Account, Alert, Change, Crossing, Id, Reason, State, Timing};
use super::baseline::{Baseline, BaselineSet, Profile};
use super::beside::{Scene, release};
use super::budget::Promised;
use super::burn;
use super::chart::{Chart, Point};
use super::detect::{DesignCache, Verdict};
use super::event::Output;
use super::key::labels_of;
use super::labels::OpenLabels;
use super::memory::Memory;
use super::rate::Rate;
use super::rule::{Bound, Measure, Promise, Rule, RuleSet};
use super::sketch::Histogram;
use super::sparse::Sparse;
use super::units::{Offset, Partition, Span, Timestamp};
use super::watch::{Watched, Watches};
use super::window::Window;

/// One monitored stream.
#[derive(Clone, Debug)]
pub struct Stream {
    /// `name␟value` pairs of its labels, in the order of their names: the stream's identity.
    pub key: Arc<str>,
    /// What is written down.
    pub memory: Memory,
    /// The rolling windows.
    pub window: Window,
    /// The frozen reference, where there is one.
    pub baseline: Option<Box<Baseline>>,
    /// The rules that watch this stream.
    watched: Arc<[Watched]>,
    /// Whether the stream is only counted: the overflow of names beyond the cap.
    pub counted_only: bool,
    /// Whether all its outputs are of one task.
    one_task: bool,
    /// Whether the provisional baseline changed since it was last written down.
    baseline_unwritten: bool,
    /// The age at which the settings ask for outputs to be judged.
    pub(super) asked_wait: Option<Span>,
    /// The share of outputs that the agent answered in the baseline, where a rule asks for accuracy at that coverage.
    coverage: Option<f64>,
}

/// What a stream needs to know to judge: shared by all streams of an engine.
pub(super) struct Context<'e> {
    pub(super) rules: &'e RuleSet,
    pub(super) cache: &'e mut DesignCache,
    pub(super) watches: &'e mut Watches,
    pub(super) provisional_outputs: u64,
    /// False alarms that one output may cost, once that is known.
    pub(super) allowance: Option<f64>,
    /// Stream time of the partition.
    pub(super) now: Timestamp,
    pub(super) position: (Partition, Offset),
}

/// What a stream has to say after a step.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    Crossed(Box<Crossing>),
    Learnt,
    Version { from: Option<String>, to: String, at: Timestamp },
    Drawn(Point),
}

impl Stream {
    pub(super) fn new(key: Arc<str>, at: Timestamp, counted_only: bool) -> Self {
        let one_task = labels_of(&key).any(|(name, _)| name == "task");
        Self {
            key,
            counted_only,
            one_task,
            memory: Memory::new(at),
            window: Window::default(),
            baseline: None,
            watched: Arc::default(),
            baseline_unwritten: false,
            asked_wait: None,
            coverage: None,
        }
    }

    pub(super) fn restore(key: Arc<str>, memory: Memory, window: Window) -> Self {
        let at = memory.first_seen;
        Self { memory, window, ..Self::new(key, at, false) }
    }

    /// Its labels, made from its key.
    pub fn labels(&self) -> BTreeMap<String, String> {
        labels_of(&self.key).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The value of one of its labels.
    pub fn value_of(&self, name: &str) -> Option<&str> {
        labels_of(&self.key).find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Takes the rules that watch this stream. Charts whose definition stays keep their state; alerts whose rule is gone
    /// end, and say why.
    pub(super) fn take_rules(&mut self, ctx: &mut Context<'_>, said: &mut Vec<Said>) {
        if self.counted_only {
            return;
        }
        self.watch(ctx.rules, ctx.watches);
        let watched = Arc::clone(&self.watched);
        let gone = self.memory.charts.take_unless(|definition| watched.iter().any(|kept| kept.chart == *definition));
        self.memory.promised += gone.iter().map(Chart::promised).sum::<f64>();
        for Watched { rule, chart: definition, .. } in &*watched {
            if let (Some(rule), false) = (ctx.rules.rules.get(*rule), self.memory.charts.contains_key(definition)) {
                let chart = Chart::design(&rule.detect, self.baseline.as_deref(), ctx.now, ctx.cache);
                self.memory.charts.put(*definition, chart);
            }
        }
        let kept = |id: &str| watched.iter().any(|at| ctx.rules.rules.get(at.rule).is_some_and(|rule| rule.id == id));
        let gone: Vec<String> = self.memory.alerts.keys().filter(|id| !kept(id)).cloned().collect();
        for rule in gone {
            if let Some(mut alert) = self.memory.alerts.remove(&rule)
                && let Some(change) = alert.end(Reason::RuleRemoved)
            {
                said.push(Said::Crossed(Box::new(self.crossing_of_gone(&rule, &alert, change, ctx))));
            }
        }
        self.take_wait(ctx);
        self.take_allowance(ctx);
        self.end_redefined(ctx, said);
    }

    /// Ends alerts whose rule now asks for another chart: that chart knows nothing of them and must not give an all-clear.
    fn end_redefined(&mut self, ctx: &Context<'_>, said: &mut Vec<Said>) {
        for Watched { rule, chart: definition, .. } in &*Arc::clone(&self.watched) {
            let Some(rule) = ctx.rules.rules.get(*rule) else { continue };
            if self.memory.alerts.get(&rule.id).is_none_or(|alert| alert.definition == *definition) {
                continue;
            }
            let Some(mut alert) = self.memory.alerts.remove(&rule.id) else { continue };
            let reason = alert.parted();
            if let Some(change) = alert.end(reason) {
                let account = alert.account.as_deref().cloned();
                said.push(Said::Crossed(Box::new(self.crossing(rule, &alert, (change, account), ctx))));
            }
        }
    }

    /// Finds the rules that watch this stream.
    pub(super) fn watch(&mut self, rules: &RuleSet, watches: &mut Watches) {
        if !self.counted_only {
            self.watched = watches.of(rules, &self.labels());
            self.take_coverage(rules);
        }
    }

    /// Puts another baseline in force: every chart is designed anew, and alerts against the old one end.
    pub(super) fn take_baseline(
        &mut self,
        baseline: Option<Box<Baseline>>,
        ctx: &mut Context<'_>,
        said: &mut Vec<Said>,
    ) {
        if baseline.as_ref().map(|b| &b.id) == self.baseline.as_ref().map(|b| &b.id) {
            return;
        }
        let replaced = self.baseline.is_some();
        self.set_baseline(baseline);
        if self.baseline.as_ref().is_some_and(|b| !b.provisional) {
            self.memory.learning = None;
            self.memory.open = OpenLabels::default();
        }
        self.memory.pace = Sparse::default();
        self.memory.wait_from(self.wait(), ctx.now);
        self.redesign_all(ctx);
        if !replaced {
            return;
        }
        for Watched { rule, .. } in &*Arc::clone(&self.watched) {
            let compared = |rule: &&Rule| rule.detect.measure != Measure::Silence && rule.detect.burn().is_none();
            let Some(rule) = ctx.rules.rules.get(*rule).filter(compared) else { continue };
            let Some(mut alert) = self.memory.alerts.remove(&rule.id) else { continue };
            if let Some(change) = alert.end(Reason::BaselineReplaced) {
                said.push(Said::Crossed(Box::new(self.crossing(rule, &alert, (change, None), ctx))));
            }
        }
    }

    /// Puts the promoted baseline in force, where there is one of this stream.
    pub(super) fn take_promoted(&mut self, baselines: &BaselineSet, ctx: &mut Context<'_>, said: &mut Vec<Said>) {
        let known = self.baseline.as_ref().is_some_and(|baseline| baseline.id == baselines.id);
        if let (false, Some(baseline)) = (known, baselines.of(&self.key)) {
            self.take_baseline(Some(Box::new(baseline)), ctx, said);
        }
    }

    /// Puts the frozen reference there, without designing anything anew.
    pub(super) fn set_baseline(&mut self, mut baseline: Option<Box<Baseline>>) {
        if let Some(baseline) = &mut baseline {
            baseline.profile.settle(self.asked_wait);
        }
        self.baseline = baseline;
    }

    fn redesign_all(&mut self, ctx: &mut Context<'_>) {
        self.take_coverage(ctx.rules);
        self.redesign(ctx, |_| true);
        if let (None, Some(baseline)) = (self.memory.traffic.per_day(), &self.baseline) {
            let days = baseline.profile.span().as_days_f64();
            if days >= 1.0 {
                self.memory.traffic = Rate::known(baseline.profile.pane.outputs as f64 / days, days);
            }
        }
        self.take_allowance(ctx);
    }

    /// Gives every chart its share of what the stream's outputs may cost.
    pub(super) fn take_allowance(&mut self, ctx: &mut Context<'_>) {
        self.share_promise(ctx);
        // Until the shares are known, every chart keeps the one that it had.
        let Some(each) = ctx.allowance else { return };
        let charts = self.memory.charts.values().filter(|chart| chart.arl0().is_some()).count().max(1) as f64;
        let allowed = self.memory.traffic.per_day().map(|outputs| each * outputs / charts);
        let days = allowed.filter(|allowed| *allowed > 0.0 && allowed.is_finite()).map(|allowed| 1.0 / allowed);
        for Watched { rule, chart, place, .. } in &*self.watched {
            if let (Some(rule), Some(chart)) = (ctx.rules.rules.get(*rule), self.memory.charts.at_mut(*place, chart)) {
                chart.take_share(&rule.detect, days, ctx.cache);
            }
        }
    }

    /// Splits the promise of accuracy between its chart and one of predicted accuracy that has no promise of its own: rates of
    /// false alarms add up, so nine tenths and one tenth of them are what was promised.
    fn share_promise(&mut self, ctx: &mut Context<'_>) {
        let rules = ctx.rules;
        let charts = || self.watched.iter().filter_map(|at| Some((rules.rules.get(at.rule)?, at.chart)));
        let runs = |definition: &Id| self.memory.charts.get(definition).is_some_and(|chart| chart.arl0().is_some());
        let shared: Vec<(&Rule, Id)> =
            charts().filter(|(rule, id)| rule.detect.promise == Promise::Shared && runs(id)).collect();
        let accuracy: Vec<(&Rule, Id)> = charts()
            .filter(|(rule, id)| rule.detect.measure == Measure::Accuracy && rule.detect.burn().is_none() && runs(id))
            .collect();
        for (rule, definition) in &accuracy {
            if let Some(chart) = self.memory.charts.get_mut(definition) {
                chart.shares(&rule.detect, !shared.is_empty(), ctx.cache);
            }
        }
        let Some(first) = accuracy.first().and_then(|(_, id)| self.memory.charts.get(id)).cloned() else { return };
        for (rule, definition) in shared {
            if let Some(chart) = self.memory.charts.get_mut(&definition) {
                chart.take_tenth(&rule.detect, &first, ctx.cache);
            }
        }
    }

    /// The false alarms that the stream's charts promise, as of `now`: a stream that is gone promises none.
    pub fn promised(&self, now: Timestamp) -> Promised {
        let mut promised = Promised {
            so_far: self.memory.promised,
            raised: self.memory.raised,
            traffic: self.memory.traffic.per_day_at(now).unwrap_or_default(),
            ..Promised::default()
        };
        for chart in self.memory.charts.values() {
            promised.so_far += chart.promised();
            promised.per_week += chart.per_week(now);
        }
        promised
    }

    /// Begins to learn a provisional baseline, where the stream has no reference at all.
    pub(super) fn begin_learning(&mut self) {
        self.memory.learning = Some(Box::default());
        self.memory.open = OpenLabels { correct: Some(Sparse::default()), overridden: Some(Sparse::default()) };
    }

    /// Whether the next output still belongs to the provisional baseline.
    pub(super) const fn in_baseline(&self) -> bool {
        self.memory.learning.is_some() && self.baseline.is_none()
    }

    /// Counts one output: windows, baseline or charts.
    /// Returns whether the output's minute was still in memory.
    pub(super) fn output(&mut self, output: &Output<'_>, ctx: &mut Context<'_>, said: &mut Vec<Said>) -> bool {
        self.memory.outputs += 1;
        self.memory.last_seen = self.memory.last_seen.max(output.ts);
        let kept = self.window.update(output.ts, |pane| pane.absorb(output));
        if self.counted_only {
            return kept;
        }
        self.version(output, said);
        if self.memory.traffic.add(output.ts) {
            if ctx.allowance.is_some_and(f64::is_finite) {
                self.take_allowance(ctx);
            } else {
                self.share_promise(ctx);
            }
        }
        if self.in_baseline() {
            self.learn(output, ctx, said);
        } else {
            self.each_chart(ctx, said, output.ts, |rule, chart, ctx| {
                chart.output(&rule.detect, (output, ctx.now), ctx.cache)
            });
        }
        self.judge(ctx, said);
        kept
    }

    fn version(&mut self, output: &Output<'_>, said: &mut Vec<Said>) {
        let Some(version) = &output.version else { return };
        if self.memory.version.as_deref() == Some(version.as_ref()) {
            return;
        }
        // Two versions side by side would change with every output: a change within an hour of the last waits its hour.
        if self.memory.version_at.is_some_and(|at| output.ts.since(at) < Span::HOUR) {
            return;
        }
        self.memory.version_at = Some(output.ts);
        release(&mut self.memory.releases, output.ts, version);
        let from = self.memory.version.replace(version.clone().into_owned());
        said.push(Said::Version { from: from.clone(), to: version.clone().into_owned(), at: output.ts });
        if from.is_some() {
            self.memory.version_before = from;
        }
        // A release is a likely time for a change: charts that can start half way to their limit do. Not so when a version
        // comes back, as two side by side do every hour.
        let first = self.memory.versions.is_empty();
        if self.memory.is_new_version(version) && !first {
            self.memory.charts.values_mut().for_each(Chart::head_start);
        }
    }

    fn learn(&mut self, output: &Output<'_>, ctx: &mut Context<'_>, said: &mut Vec<Said>) {
        let Some(learning) = &mut self.memory.learning else { return };
        learning.absorb(output, ctx.now);
        if learning.pane.outputs < ctx.provisional_outputs {
            return;
        }
        let Some(mut profile) = self.memory.learning.take() else { return };
        profile.pane.settle();
        profile.components.iter_mut().for_each(Histogram::settle);
        let baseline = Baseline { id: "provisional".to_owned(), provisional: true, profile: *profile };
        self.set_baseline(Some(Box::new(baseline)));
        self.redesign_all(ctx);
        self.baseline_unwritten = true;
        said.push(Said::Learnt);
    }

    /// Lets every alert of this stream take its verdict at the context's stream time.
    pub(super) fn judge(&mut self, ctx: &mut Context<'_>, said: &mut Vec<Said>) {
        self.judge_waiting(ctx, said);
        self.end_contradicted(ctx, said);
        // Nearly always.
        let calm = self.memory.alerts.is_empty() && self.memory.charts.values().all(|chart| chart.grade().is_none());
        for Watched { rule, chart: definition, place, .. } in self.watched.iter().filter(|one| one.timed || !calm) {
            let Some(rule) = ctx.rules.rules.get(*rule) else { continue };
            // Other charts were fed with the event itself.
            if rule.detect.burn().is_some()
                && let Some(chart) = self.memory.charts.at_mut(*place, definition)
            {
                burn::judge(chart, &rule.detect, &self.window, ctx.now);
            }
            // Volume falls by what does not come.
            if rule.detect.measure == Measure::Volume
                && let Some(chart) = self.memory.charts.at_mut(*place, definition)
                && chart.pass(&rule.detect, ctx.now, ctx.cache)
            {
                draw(*definition, rule, chart, ctx.now, said);
            }
            let active = if let Bound::Absence(span) = rule.detect.bound {
                self.silent_from(span).is_some_and(|from| ctx.now >= from)
            } else {
                self.memory
                    .charts
                    .at(*place, definition)
                    .grade_for(&rule.detect)
                    .is_some_and(|g| g >= rule.detect.grade)
            };
            let known = self.memory.alerts.get(&rule.id);
            if known.is_none() && !active {
                continue;
            }
            let mut alert = known.cloned().unwrap_or_default();
            let incident = self.memory.incidents + 1;
            let start = |at: Timestamp| {
                let number = incident.to_be_bytes();
                Id::of(&[rule.id.as_bytes(), self.key.as_bytes(), &at.as_millis().to_be_bytes(), &number])
            };
            let was_open = alert.state != State::Inactive;
            let change = alert.step(active, ctx.now, timing(rule), start);
            if let Some(change) = change {
                self.memory.raised += u64::from(change.to == State::Firing);
                if !was_open {
                    alert.definition = *definition;
                    self.memory.incidents = incident;
                }
                if let Some(account) = self.account(rule, definition, ctx) {
                    alert.account = Some(Box::new(account));
                }
                let mut account = alert.account.as_deref().cloned();
                // How it went is told with every change of state, and not kept with the alert.
                if let Some(account) = &mut account {
                    account.around.course = self.scene(rule).course(account);
                }
                said.push(Said::Crossed(Box::new(self.crossing(rule, &alert, (change, account), ctx))));
            }
            if alert.state == State::Inactive {
                self.memory.alerts.remove(&rule.id);
            } else {
                self.memory.alerts.insert(rule.id.clone(), alert);
            }
        }
    }

    /// The next stream time at which an alert of this stream changes even if no record comes.
    pub(super) fn deadline(&self, rules: &RuleSet) -> Option<Timestamp> {
        let of = |Watched { rule, chart, place, .. }: &Watched| {
            let rule = rules.rules.get(*rule)?;
            let alert = self.memory.alerts.get(&rule.id);
            let timed = alert.and_then(|alert| alert.deadline(timing(rule)));
            match (rule.detect.bound, alert) {
                (Bound::Absence(span), None) => self.silent_from(span),
                (bound, _) if matches!(bound, Bound::Burn(_)) || rule.detect.measure == Measure::Volume => {
                    timed.into_iter().chain(self.memory.charts.at(*place, chart).deadline()).min()
                }
                _ => timed,
            }
        };
        let calm = self.memory.alerts.is_empty();
        self.watched.iter().filter(|watched| watched.timed || !calm).filter_map(of).chain(self.verdicts_due()).min()
    }

    /// When the stream counts as silent: after the rule's time, or after twice the longest pause of the baseline where that
    /// is longer (an agent that works office hours is not missed every night). Never while the baseline is learnt.
    fn silent_from(&self, span: Span) -> Option<Timestamp> {
        let usual = self.baseline.as_ref()?.profile.longest_gap;
        Some(self.memory.last_seen.plus(span.max(usual.times(2))))
    }

    fn facts(&self) -> Facts {
        let Memory { outputs, labels, version, version_before, .. } = &self.memory;
        Facts { outputs: *outputs, labels: *labels, version: version.clone(), version_before: version_before.clone() }
    }

    fn account(&self, rule: &Rule, definition: &Id, ctx: &Context<'_>) -> Option<Account> {
        if let Bound::Absence(_) = rule.detect.bound {
            return Some(Account::silence(self.memory.last_seen, self.facts()));
        }
        let chart = self.memory.charts.get(definition)?;
        match chart.verdict() {
            Verdict::OutOfControl(evidence) => {
                let burns = rule.detect.burn().is_some();
                let baseline = self.baseline.as_deref().filter(|_| !burns);
                let account = Account::new(&rule.detect, &evidence, baseline, self.facts());
                // A burn rate makes no promise, so there is nothing that one could count.
                let unit = account.unit.filter(|_| !burns);
                let mut around = self.scene(rule).around(&account);
                around.take_cause(self.cause(rule, account.changed_at, ctx.rules));
                let false_alarms_per_week = chart.per_week(self.memory.last_seen);
                Some(Account { false_alarms_per_week, unit, around, ..account })
            }
            Verdict::InControl | Verdict::Learning { .. } => None,
        }
    }

    fn scene<'s>(&'s self, rule: &'s Rule) -> Scene<'s> {
        let profile = self.baseline.as_ref().map(|baseline| &baseline.profile);
        Scene { detect: &rule.detect, window: &self.window, profile, releases: &self.memory.releases }
    }

    /// The number of an output's task, by which its verdict finds it again; 0 where the stream is one task's own.
    pub(super) fn task_number(&mut self, task: Option<&str>) -> u8 {
        let one = self.counted_only || self.one_task;
        task.filter(|task| !one && !task.is_empty()).map_or(0, |task| self.memory.task_number(task))
    }

    fn crossing(&self, rule: &Rule, alert: &Alert, (change, account): Turn, ctx: &Context<'_>) -> Crossing {
        let mut labels = self.labels();
        labels.extend(rule.labels.clone());
        labels.insert("alertname".to_owned(), rule.alert.clone());
        let mut context = account.as_ref().map(Account::context).unwrap_or_default();
        context.extend(labels.clone());
        context.insert("alert".to_owned(), rule.alert.clone());
        context.insert("stream".to_owned(), self.name());
        Crossing {
            alert_id: alert.incident,
            id: alert.crossing_id(),
            transition: alert.transition,
            rule: rule.id.clone(),
            alert: rule.alert.clone(),
            annotations: rule.annotate(&context),
            labels,
            from: change.from,
            to: change.to,
            reason: change.reason,
            at: ctx.now,
            started_at: alert.started_at,
            position: ctx.position,
            account,
        }
    }

    /// The crossing of an alert whose rule is no longer there to describe it.
    fn crossing_of_gone(&self, rule: &str, alert: &Alert, change: Change, ctx: &Context<'_>) -> Crossing {
        let name = rule.rsplit_once('/').map_or(rule, |(_, name)| name);
        let mut labels = self.labels();
        labels.insert("alertname".to_owned(), name.to_owned());
        Crossing {
            alert_id: alert.incident,
            id: alert.crossing_id(),
            transition: alert.transition,
            rule: rule.to_owned(),
            alert: name.to_owned(),
            annotations: BTreeMap::new(),
            labels,
            from: change.from,
            to: change.to,
            reason: change.reason,
            at: ctx.now,
            started_at: alert.started_at,
            position: ctx.position,
            account: None,
        }
    }

    /// Takes the provisional baseline, where it changed since it was last written down.
    pub fn unwritten_baseline(&mut self) -> Option<&Baseline> {
        let unwritten = std::mem::take(&mut self.baseline_unwritten);
        self.baseline.as_deref().filter(|baseline| unwritten && baseline.provisional)
    }

    /// What the stream has learnt so far of its baseline, with the verdicts that came in: for `baseline learn`, which
    /// never freezes one by itself.
    pub fn learnt_so_far(&self) -> Option<Profile> {
        let mut profile = (**self.memory.learning.as_ref()?).clone();
        let OpenLabels { correct, overridden } = &self.memory.open;
        for (open, measure) in [(correct, Measure::Accuracy), (overridden, Measure::OverrideRate)] {
            if let Some(open) = open {
                open.add_to(&mut profile, &measure);
            }
        }
        profile.settle(self.asked_wait);
        (profile.pane.outputs > 0).then_some(profile)
    }

    /// The stream's labels as people read them: `agent=invoice-triage, task=invoices`.
    pub fn name(&self) -> String {
        let pairs: Vec<String> = labels_of(&self.key).map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join(", ")
    }

    /// The charts of this stream with their rules, for those who want to look.
    pub fn charts<'s>(&'s self, rules: &'s RuleSet) -> impl Iterator<Item = (&'s Rule, &'s Chart)> {
        self.watched
            .iter()
            .filter_map(|at| Some((rules.rules.get(at.rule)?, self.memory.charts.at(at.place, &at.chart))))
    }
}

/// A change of state, with what it rests on.
type Turn = (Change, Option<Account>);

fn timing(rule: &Rule) -> Timing {
    Timing { hold: rule.hold, keep: rule.keep_firing_for }
}

/// Draws a point where one is due: every hour with samples.
fn draw(definition: Id, rule: &Rule, chart: &mut Chart, at: Timestamp, said: &mut Vec<Said>) {
    if !chart.point_due(at) {
        return;
    }
    let Some(detector) = &chart.detector else { return };
    let point = Point {
        chart: definition,
        measure: rule.detect.measure.clone(),
        at,
        statistic: detector.statistic(),
        limit: detector.limit(),
        centre: detector.centre(),
        samples: detector.samples_seen(),
        out: detector.grade().is_some(),
        method: detector.method(),
    };
    let beside = detector.beside().map(|(method, statistic, limit)| Point {
        chart: Id::of(&[&definition.0.to_be_bytes(), b"beside"]),
        statistic,
        limit,
        out: statistic > limit,
        method: method.to_owned(),
        ..point.clone()
    });
    said.extend(std::iter::once(point).chain(beside).map(Said::Drawn));
}
