//! What stands around an alert: what else moved, which tasks carry it, how the measure went, what is not known yet.
//!
//! **Definition.** With w the share of a task among the labelled outputs and a its accuracy, 0 in the baseline and 1 since
//! the change, A1 - A0 = sum (w1 - w0) (a0 + a1) / 2 + sum (a1 - a0) (w0 + w1) / 2: what the mix of tasks does, and what
//! happens within tasks (Kitagawa 1955, Components of a difference between two rates). For single tasks the mean of A0 and
//! A1 is taken off (a0 + a1) / 2: the sum stays, as the w1 - w0 sum to 0, and a task worse than most that grows counts
//! as a loss. A task that one side lacks has no change within; all of it is mix.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::cause::Cause;
use super::units::{Counts, Estimate, Span, Timestamp};

/// What stands around an alert. Empty for alerts that were written down before there was any of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Around {
    /// Outputs since the change began, as far back as panes reach.
    pub outputs: u64,
    /// Those of them whose verdict has not come.
    pub labels_missing: u64,
    /// From when on those two count: the beginning of the pane that holds the change, or of the oldest pane there is.
    pub counted_from: Option<Timestamp>,
    /// What else moved between the baseline and that time, the largest z first, at most four.
    pub beside: Vec<Beside>,
    /// What was compared in the same way and did not move.
    pub steady: Vec<Aspect>,
    /// Versions of the stream with the time from which each ran, oldest first, at most eight.
    pub versions: Vec<Release>,
    /// Which tasks carry a change of accuracy, where the stream holds several.
    pub tasks: Option<Kitagawa>,
    /// How the measure went up to this moment.
    pub course: Option<Course>,
    /// How accurate the stream was since then, for alerts about accuracy.
    #[serde(default)]
    pub standing: Option<Standing>,
    /// For measures of accuracy: which charts spoke, and what that means.
    #[serde(default)]
    pub cause: Option<Cause>,
}

impl Around {
    /// Adds what the charts of accuracy say together. Where labels contradict confidence, there is no estimate from it.
    pub fn take_cause(&mut self, cause: Option<Cause>) {
        if let Some(contradiction) = cause.as_ref().and_then(|cause| cause.contradicted.as_ref()) {
            let invalid = |standing: Standing| standing.without_estimate(contradiction.told());
            self.standing = self.standing.take().map(invalid);
        }
        self.cause = cause;
    }
}

/// How accurate a stream is over a span of time, as far as verdicts and confidences say. Shares lie in [0, 1], intervals are
/// 95 % ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Outputs.
    pub outputs: u64,
    /// Those of them whose verdict is in.
    pub labelled: u64,
    /// The share of them whose verdict would be in by now if verdicts came as in the baseline, where that is known.
    pub usual: Option<f64>,
    /// Accuracy of the labelled outputs. Nothing where there are none.
    pub labels: Option<Estimate>,
    /// Accuracy of all outputs: what to go by. Nothing where there are no labels, and where it is `invalid`.
    pub estimate: Option<Estimate>,
    /// What the estimate was made from.
    pub how: How,
    /// As many labels, picked evenly and without any confidence, would say as much: for `Powered` by the variance, for
    /// `Stratified` Kish's number from the weights of the labels.
    pub effective: f64,
    /// In what the labelled outputs are unlike the others. Where that is anything, accuracy of the labelled outputs alone is not
    /// accuracy of all.
    pub differ: Option<Differ>,
    /// Why confidences cannot be gone by here, in words; then there is no estimate.
    pub invalid: Option<String>,
}

impl Standing {
    /// The same, but confidences cannot be gone by, for this reason: no estimate is given, the labels stay.
    #[must_use]
    pub fn without_estimate(self, why: String) -> Self {
        Self { estimate: None, how: How::LabelsOnly, effective: self.labelled as f64, invalid: Some(why), ..self }
    }

    /// The same without any number that is not to be shown: what is invalid has no estimate, whoever found that out.
    #[must_use]
    pub fn shown(self) -> Self {
        match self.invalid.clone() {
            Some(why) => self.without_estimate(why),
            None => self,
        }
    }

    /// The share of outputs whose verdict is in.
    pub fn label_share(&self) -> Option<f64> {
        Counts { hits: self.labelled, n: self.outputs }.share()
    }
}

/// What an estimate of accuracy was made from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Verdicts alone: confidences say nothing about accuracy, or there are too few verdicts to tell.
    #[default]
    LabelsOnly,
    /// Verdicts, and the confidence of all outputs with this weight in (0, 1] (PPI++).
    Powered {
        /// The weight.
        lambda: f64,
    },
    /// Verdicts, weighted so that confidence and escalation are as in all outputs.
    Stratified,
}

/// In what labelled outputs are unlike all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Differ {
    /// Mean confidence, where it differs.
    pub confidence: Option<Versus>,
    /// Share of outputs handed to a person, where it differs.
    pub escalated: Option<Versus>,
}

/// A level of the labelled outputs beside that of all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Versus {
    /// Of the labelled.
    pub labelled: f64,
    /// Of all.
    pub all: f64,
}

/// A side of an agent that is compared beside the measure of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Share of right outputs among the labelled.
    Accuracy,
    /// Mean stated confidence, in [0, 1].
    Confidence,
    /// Share of outputs handed to a person.
    Escalation,
    /// Share of outputs that a person overrode.
    Overrides,
    /// Share of outputs with a status other than `ok`.
    Errors,
    /// 95 % quantile of latency in milliseconds.
    Latency,
    /// Mean cost of an output in USD.
    Cost,
    /// Outputs an hour.
    Volume,
}

impl Aspect {
    /// The words used in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Confidence => "mean confidence",
            Self::Escalation => "escalation rate",
            Self::Overrides => "override rate",
            Self::Errors => "error rate",
            Self::Latency => "latency p95",
            Self::Cost => "cost per output",
            Self::Volume => "outputs per hour",
        }
    }

    /// The same in one word, for lists.
    pub const fn short(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Confidence => "confidence",
            Self::Escalation => "escalation",
            Self::Overrides => "overrides",
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::Cost => "cost",
            Self::Volume => "volume",
        }
    }
}

/// Something else that moved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    /// What.
    pub what: Aspect,
    /// Its level since the change began, in the unit that [`Aspect`] names.
    pub level: f64,
    /// Its level in the baseline.
    pub baseline: f64,
    /// The difference in its standard errors; above is positive.
    pub z: f64,
}

/// A version and when it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Event time of its first output.
    pub at: Timestamp,
    /// Its name; cleaned text from agents.
    pub version: String,
}

/// How a measure went, in short stretches of time: what a picture is drawn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// How long a stretch is.
    pub width: Span,
    /// The level of the baseline, in the measure's unit.
    pub centre: f64,
    /// The level beyond which the rule wants to be told, where it is one number.
    pub bound: Option<f64>,
    /// One point for each stretch that held any cases, oldest first, at most 48.
    pub points: Vec<CoursePoint>,
}

/// One point of a course, with the limits within which it lies while all is well.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoursePoint {
    /// When its stretch begins.
    pub at: Timestamp,
    /// Cases.
    pub n: u64,
    /// Their share or mean, in the measure's unit.
    pub value: f64,
    /// Lower limit for so many cases: three standard deviations below the centre.
    pub low: f64,
    /// Upper limit.
    pub high: f64,
}

/// A change of accuracy, taken apart by task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kitagawa {
    /// The whole change of the share of right outputs; falls are negative.
    pub total: f64,
    /// The part that the mix of tasks does.
    pub mix: f64,
    /// The part that happens within tasks.
    pub within: f64,
    /// Tasks, the largest part first.
    pub tasks: Vec<TaskPart>,
}

/// The part of one task in a change of accuracy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskPart {
    /// The task; cleaned text from agents, empty for all that have none or that there was no room for.
    pub task: String,
    /// Its share of the labelled outputs of the baseline.
    pub weight_before: f64,
    /// Its share of those since the change.
    pub weight_now: f64,
    /// Its accuracy in the baseline, where it had any labelled outputs.
    pub before: Option<f64>,
    /// Its accuracy since.
    pub now: Option<f64>,
    /// Labelled outputs since.
    pub n: u64,
    /// What its share of the outputs does to the whole.
    pub mix: f64,
    /// What its own accuracy does to the whole.
    pub within: f64,
}

impl TaskPart {
    /// What the task does to the whole.
    pub fn part(&self) -> f64 {
        self.mix + self.within
    }
}

impl Kitagawa {
    /// Takes the change between two counts by task apart: labelled outputs, and how many of them were right. Nothing where
    /// a side is empty or there are no two tasks.
    pub fn of(before: &BTreeMap<String, Counts>, now: &BTreeMap<String, Counts>) -> Option<Self> {
        let whole = |counts: &BTreeMap<String, Counts>| {
            let mut all = Counts::default();
            for one in counts.values() {
                all.merge(*one);
            }
            Some((all.share()?, all.n as f64))
        };
        let ((a0, n0), (a1, n1)) = (whole(before)?, whole(now)?);
        let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        if names.len() < 2 {
            return None;
        }
        let mean = f64::midpoint(a0, a1);
        let part = |task: &String| {
            let of = |counts: &BTreeMap<String, Counts>| counts.get(task).copied().unwrap_or_default();
            let (c0, c1) = (of(before), of(now));
            let (w0, w1) = (c0.n as f64 / n0, c1.n as f64 / n1);
            let (before, now) = (c0.share(), c1.share());
            // At least one side has the task.
            let (b, n) = (before.or(now).unwrap_or(mean), now.or(before).unwrap_or(mean));
            let mix = (w1 - w0) * (f64::midpoint(b, n) - mean);
            let within = (n - b) * f64::midpoint(w0, w1);
            TaskPart { task: task.clone(), weight_before: w0, weight_now: w1, before, now, n: c1.n, mix, within }
        };
        let mut tasks: Vec<TaskPart> = names.into_iter().map(part).collect();
        tasks.sort_by(|a, b| b.part().abs().total_cmp(&a.part().abs()));
        let sum = |of: &dyn Fn(&TaskPart) -> f64| tasks.iter().map(of).sum::<f64>();
        Some(Self { total: a1 - a0, mix: sum(&|t| t.mix), within: sum(&|t| t.within), tasks })
    }

    /// The tasks that carry the change: those whose part is at least 15 % of it, in its direction.
    pub fn carriers(&self) -> impl Iterator<Item = &TaskPart> {
        const CARRIES: f64 = 0.15;
        self.tasks.iter().filter(|task| self.total.abs() > 1e-9 && task.part() / self.total >= CARRIES)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::cause::Contradiction;
    use super::*;

    fn counts(rows: &[(&str, u64, u64)]) -> BTreeMap<String, Counts> {
        rows.iter().map(|(task, hits, n)| ((*task).to_owned(), Counts { hits: *hits, n: *n })).collect()
    }

    /// Two tasks, by hand: a: 60 % of outputs at 0.95, then 40 % at 0.90; b: 40 % at 0.80, then 60 % at 0.80. The whole goes
    /// from 0.89 to 0.84. Mix: -0.2 * 0.925 + 0.2 * 0.80 = -0.025. Within: -0.05 * 0.5 + 0 = -0.025.
    #[test]
    fn a_worked_example_by_hand() {
        let before = counts(&[("a", 570, 600), ("b", 320, 400)]);
        let now = counts(&[("a", 180, 200), ("b", 240, 300)]);
        let found = Kitagawa::of(&before, &now).unwrap();
        for (is, expected) in [(found.total, -0.05), (found.mix, -0.025), (found.within, -0.025)] {
            assert!((is - expected).abs() < 1e-12, "{found:?}");
        }
        // Less the mean of 0.89 and 0.84: a is better than most and shrinks, b is worse and grows.
        let mix = |task: &str| found.tasks.iter().find(|t| t.task == task).map(|t| t.mix).unwrap();
        assert!((mix("a") - -0.2 * (0.925 - 0.865)).abs() < 1e-12 && (mix("b") - 0.2 * (0.8 - 0.865)).abs() < 1e-12);
        assert_eq!(found.carriers().map(|t| t.task.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_drop_within_one_task_is_that_task_and_a_new_task_is_mix() {
        let before = counts(&[("a", 900, 1_000), ("b", 900, 1_000)]);
        let found = Kitagawa::of(&before, &counts(&[("a", 180, 200), ("b", 140, 200)])).unwrap();
        assert!((found.within - -0.1).abs() < 1e-12 && found.mix.abs() < 1e-12, "{found:?}");
        assert_eq!(found.carriers().map(|t| t.task.as_str()).collect::<Vec<_>>(), ["b"]);
        let found = Kitagawa::of(&before, &counts(&[("a", 90, 100), ("b", 90, 100), ("c", 100, 200)])).unwrap();
        assert!((found.mix - -0.2).abs() < 1e-12 && found.within.abs() < 1e-12, "{found:?}");
        assert_eq!(found.carriers().next().map(|t| t.task.as_str()), Some("c"));
    }

    #[test]
    fn one_task_or_no_counts_are_not_taken_apart() {
        let one = counts(&[("a", 9, 10)]);
        assert_eq!(Kitagawa::of(&one, &one), None);
        assert_eq!(Kitagawa::of(&counts(&[]), &counts(&[("a", 1, 2), ("b", 1, 2)])), None);
    }

    proptest! {
        #[test]
        fn the_parts_sum_to_the_whole(before in side(), now in side()) {
            if let Some(found) = Kitagawa::of(&before, &now) {
                let parts: f64 = found.tasks.iter().map(TaskPart::part).sum();
                prop_assert!((found.total - parts).abs() < 1e-9 && (found.mix + found.within - found.total).abs() < 1e-9);
                // Kitagawa's sums over tasks that both sides have, without the mean taken off.
                if before.keys().eq(now.keys()) {
                    let mix: f64 = found.tasks.iter().map(|t| (t.weight_now - t.weight_before) * f64::midpoint(t.before.unwrap(), t.now.unwrap())).sum();
                    prop_assert!((mix - found.mix).abs() < 1e-9);
                }
            }
        }
    }

    fn side() -> impl Strategy<Value = BTreeMap<String, Counts>> {
        let counts = (0_u64..100, 1_u64..100).prop_map(|(hits, n)| Counts { hits: hits.min(n), n });
        proptest::collection::btree_map("[a-e]", counts, 0..6)
    }

    #[test]
    fn where_labels_contradict_confidence_there_is_no_estimate_and_the_labels_stay() {
        let number = Estimate { value: 0.9, low: 0.88, high: 0.92 };
        let standing = Standing { labels: Some(number), estimate: Some(number), labelled: 40, ..Standing::default() };
        let mut around = Around { standing: Some(standing.clone()), ..Around::default() };
        around.take_cause(Some(Cause::default()));
        assert_eq!(around.standing, Some(standing));
        let since = Timestamp::from_millis(1_767_571_200_000);
        let contradicted =
            Contradiction { since, labels: 212, shortfall: Estimate { value: 0.04, low: 0.01, high: 0.07 } };
        around.take_cause(Some(Cause { contradicted: Some(contradicted), ..Cause::default() }));
        let found = around.standing.unwrap();
        assert_eq!((found.estimate, found.labels), (None, Some(number)));
        assert_eq!(found.invalid, Some(contradicted.told()));
        // A number that was left standing is not shown either.
        let left = Standing { estimate: Some(number), ..found.clone() };
        assert_eq!(left.shown(), found);
    }
}
