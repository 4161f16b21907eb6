//! What becomes known about an output later: verdicts and overrides, for the baseline while it is open, for charts then.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::baseline::Profile;
use super::batches::Batches;
use super::confidence::{Cell, Place};
use super::rule::Measure;
use super::sketch::{add_tasks, count_task};
use super::sparse::{Empty, Sparse};
use super::units::{Counts, Span, Timestamp};
use super::verdicts::Delays;

/// What became known later about an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) correct: Option<bool>,
    pub(super) overridden: Option<bool>,
    /// When the output happened.
    pub(super) at: Timestamp,
    /// Whether the output is remembered; otherwise `at` is when its verdict was given.
    pub(super) joined: bool,
    /// Whether the output belongs to the provisional baseline.
    pub(super) in_baseline: bool,
    /// Whether it lies within the baseline's coverage.
    pub(super) covered: bool,
    /// How it came.
    pub(super) came: Came,
    /// Where the output stands in its stream's table of confidence.
    pub(super) place: Place,
    /// The number of the output's task in its stream; 0 for none.
    pub(super) task: u8,
}

/// How it became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// With the output.
    AtOnce,
    /// After it, by feedback.
    Later,
    /// The same of an output that was picked with more than the usual chance, and is left out of baselines and charts for it.
    Picked,
}

impl Label {
    /// About an output of which nothing is known.
    pub(super) const NOTHING: Self = Self {
        correct: None,
        overridden: None,
        at: Timestamp::MIN,
        joined: false,
        in_baseline: false,
        covered: false,
        came: Came::AtOnce,
        place: Place::NONE,
        task: 0,
    };
}

/// What is known later about the outputs of a baseline, each kind until word on a later output comes and closes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenLabels {
    /// Right and labelled.
    pub correct: Option<Sparse<OpenCounts>>,
    /// Overridden and known to be or not.
    pub overridden: Option<Sparse<OpenCounts>>,
}

/// Counts of a baseline that is still open, with their batches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCounts {
    /// All of them.
    pub counts: Counts,
    /// The bad ones by batches.
    pub bad: Batches,
    /// All of them by task, where the stream holds several.
    pub tasks: BTreeMap<String, Counts>,
    /// Verdicts by when they came and by confidence.
    pub delays: Delays,
}

impl Empty for OpenCounts {
    fn empty() -> &'static Self {
        static EMPTY: LazyLock<OpenCounts> = LazyLock::new(OpenCounts::default);
        &EMPTY
    }
}

impl OpenCounts {
    pub(super) fn add_to(&self, profile: &mut Profile, measure: &Measure) {
        if *measure == Measure::Accuracy {
            profile.pane.correct.merge(self.counts);
            add_tasks(&mut profile.pane.tasks, &self.tasks);
            for (place, counts) in self.delays.places() {
                let (labelled, right) = (counts.n as u32, counts.hits as u32);
                profile.pane.by_confidence.add(place, Cell { outputs: 0, labelled, right });
            }
            profile.shares.wrong.merge(&self.bad);
            profile.delays.merge(&self.delays);
        } else {
            profile.pane.overridden.merge(self.counts);
            profile.shares.overridden.merge(&self.bad);
        }
    }

    /// Adds the verdict on an output of that age.
    pub(super) fn verdict(&mut self, (at, age): (Timestamp, Span), place: Place, right: bool, task: Option<&str>) {
        self.add(at, right, !right, task);
        self.delays.add(age, place, right);
    }

    /// Adds a case: whether what is counted happened, and whether that is bad.
    fn add(&mut self, at: Timestamp, happened: bool, bad: bool, task: Option<&str>) {
        self.counts.add(happened);
        self.bad.add(at, bad);
        count_task(&mut self.tasks, task, happened);
    }
}

/// What to do with something that became known about an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Take {
    /// It belongs to the baseline, or to nothing that is judged.
    Kept,
    /// It is judged.
    Judge,
    /// It is judged, and the baseline is closed with these counts.
    Close(Sparse<OpenCounts>),
}

impl OpenLabels {
    pub(super) fn take(
        open: &mut Option<Sparse<OpenCounts>>,
        (value, bad): (bool, bool),
        (label, task): (&Label, Option<&str>),
        (frozen, enough): (bool, u64),
    ) -> Take {
        match open {
            None if label.in_baseline => Take::Kept,
            None => Take::Judge,
            Some(counts) if label.in_baseline => {
                counts.add(label.at, value, bad, task);
                Take::Kept
            }
            // While outputs are still being learnt this can only be about one that nobody remembers: not the baseline's.
            Some(_) if !frozen => Take::Kept,
            Some(counts) if counts.counts.n < enough => {
                counts.add(label.at, value, bad, task);
                Take::Kept
            }
            Some(_) => Take::Close(open.take().unwrap_or_default()),
        }
    }
}
