//! The chart of a Bernoulli measure, written in terms of the bad outcome's probability (error, escalation, slow output).
//!
//! **Definition.** Five statistics see every sample. (1) The e-SR with null p0* raises the alarm at M >= A = ARL0: grade
//! *drifting*. (2) The CUSUM p0* -> p0* + delta dates the change: the first sample after its last zero. (3) The *size*
//! CUSUM p + delta/2 -> p + 3 delta/2 asks whether the change exceeds delta; at ln 25 the grade is *degraded*. (4) The
//! severity e-SR with null p0* + delta makes it *confirmed*. (5) After an alarm the reversed CUSUM decides when the level
//! is back; then everything restarts at 0. p is the baseline's share, p0* its one-sided 75 % Clopper-Pearson bound.
//!
//! **Sources.** See `esr` and `cusum`; the bound: guaranteed conditional performance, Gandy & Kvaloy (2013).
//!
//! **Classical constants.** Drops 1, 2, 3, 5, 8, 12 points for a delta of 2; likelihood ratio 25 for the size. "The
//! estimate since the change lies beyond delta", without evidence, pages on bursts.
//!
//! **Bad at.** Rates that wander between hours or days more than binomial: the promise holds for independent samples.
//! A level that settles between p0 and p0 + delta alarms and resolves in turn.

use serde::{Deserialize, Serialize};

use super::cusum::LatticeCusum;
use super::design::bernoulli::LATTICE;
use super::design::interval::{clopper_pearson, clopper_pearson_upper, confidence_sequence};
use super::design::{DesignCache, ceil4};
use super::esr::Mixture;
use super::{Direction, Evidence, Verdict};
use crate::engine::rule::Grade;
use crate::engine::units::{Counts, Estimate, Timestamp};

/// Changes of the alarm's mixture, for a delta of [`MIXTURE_DELTA`].
const DROPS: [f64; 6] = [0.01, 0.02, 0.03, 0.05, 0.08, 0.12];
/// Changes of the severity's mixture beyond delta, for a delta of [`MIXTURE_DELTA`].
const SEVERE_DROPS: [f64; 4] = [0.01, 0.02, 0.04, 0.08];
/// The delta that both lists were measured at; they scale with delta.
const MIXTURE_DELTA: f64 = 0.02;
/// Probabilities above this are not told apart: the likelihood of a good outcome would vanish.
const CAP: f64 = 0.999;
/// "Never" in a rule (p0 = 0) is read as once in a million: with 0 itself no likelihood ratio exists.
const FLOOR: f64 = 1e-6;
/// Confidence of the bound p0* that stands for an estimated baseline.
const BASELINE_CONFIDENCE: f64 = 0.75;
/// A of the severity mixture: at a change of exactly delta, one "confirmed" in so many samples.
const SEVERITY_PROMISE: f64 = 20_000.0;
/// In-control run length of the reversed chart at p0* + delta: one mistaken "resolved" in so many samples.
const RESOLVE_PROMISE: f64 = 20_000.0;
/// Likelihood ratio of 3/2 delta against 1/2 delta at which the data say that the change exceeds delta: ln 25.
const SIZE_EVIDENCE: f64 = 3.218_875_824_868_201;
/// Level of the intervals in the evidence.
const CONFIDENCE: f64 = 0.95;

/// Where the in-control level comes from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Centre {
    /// Estimated: bad outcomes of all, in the baseline.
    Counted(Counts),
    /// Given by the rule (a target or a limit): no sampling error.
    Known(f64),
}

/// What a proportion chart is designed from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProportionDesign {
    /// The in-control level of the bad outcome.
    pub centre: Centre,
    /// The rise of the bad outcome's probability that matters.
    pub delta: f64,
    /// The promise: samples between false alarms.
    pub arl0: f64,
}

impl ProportionDesign {
    /// A design from a baseline: `hits` bad outcomes of `n`.
    pub const fn new(baseline: Counts, delta: f64, arl0: f64) -> Self {
        Self { centre: Centre::Counted(baseline), delta, arl0 }
    }

    /// A design from a known level.
    pub const fn fixed(p0: f64, delta: f64, arl0: f64) -> Self {
        Self { centre: Centre::Known(p0), delta, arl0 }
    }

    /// The level with its 95 % interval.
    pub fn baseline(&self) -> Estimate {
        match self.centre {
            Centre::Counted(counts) => clopper_pearson(counts, CONFIDENCE),
            Centre::Known(p0) => Estimate { value: p0, low: p0, high: p0 },
        }
    }

    /// p0*: the level the chart is designed for.
    pub fn null(&self) -> f64 {
        let level = match self.centre {
            Centre::Counted(counts) => clopper_pearson_upper(counts, BASELINE_CONFIDENCE),
            Centre::Known(p0) => p0,
        };
        ceil4(level.max(FLOOR)).min(CAP)
    }

    /// The best guess of the level, never exactly 0.
    fn plug_in(&self) -> f64 {
        match self.centre {
            Centre::Counted(Counts { hits: 0, n }) => 0.5 / (n as f64 + 1.0),
            Centre::Counted(counts) => counts.share().unwrap_or(0.5),
            Centre::Known(p0) => p0.max(FLOOR),
        }
        .min(CAP)
    }

    fn baseline_n(&self) -> u64 {
        match self.centre {
            Centre::Counted(counts) => counts.n,
            Centre::Known(_) => 0,
        }
    }
}

/// Baseline cases below which a change of `delta` from `p` cannot honestly be promised: its standard error would exceed
/// delta / 3.
pub fn labels_needed(p: f64, delta: f64) -> u64 {
    (9.0 * p * (1.0 - p) / (delta * delta)).ceil().max(1.0) as u64
}

/// A chart of one Bernoulli measure of one stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProportionChart {
    design: ProportionDesign,
    baseline: Estimate,
    null: f64,
    alarm: Mixture,
    severity: Mixture,
    cusum: LatticeCusum,
    size: LatticeCusum,
    resolve: LatticeCusum,
    resolve_limit: i64,
    seen: u64,
    since: Counts,
    changed_at: Option<Timestamp>,
    exceeds: bool,
    latched: Option<Grade>,
}

impl ProportionChart {
    /// A chart that has seen nothing.
    pub fn new(design: &ProportionDesign, cache: &mut DesignCache) -> Self {
        let design = ProportionDesign {
            // A change of nothing, or no number at all, is not a design; the rule compiler lets neither through.
            delta: design.delta.clamp(FLOOR, 1.0).max(FLOOR),
            arl0: design.arl0.max(1.0),
            ..*design
        };
        let null = design.null();
        let scale = design.delta / MIXTURE_DELTA;
        let shifted = (null + design.delta).min(CAP);
        let plug_in = design.plug_in();
        Self {
            baseline: design.baseline(),
            null,
            alarm: Mixture::new(null, &DROPS.map(|drop| drop * scale), CAP),
            severity: Mixture::new(shifted, &SEVERE_DROPS.map(|drop| drop * scale), CAP),
            cusum: LatticeCusum::new(null, shifted),
            size: LatticeCusum::new(plug_in + 0.5 * design.delta, (plug_in + 1.5 * design.delta).min(CAP)),
            // Seen from the shifted level, the way back is a rise of the good outcome.
            resolve: LatticeCusum::new(1.0 - shifted, 1.0 - null),
            resolve_limit: cache.bernoulli_limit(1.0 - shifted, 1.0 - null, RESOLVE_PROMISE),
            design,
            seen: 0,
            since: Counts::default(),
            changed_at: None,
            exceeds: false,
            latched: None,
        }
    }

    /// Changes the promise (the stream's traffic changed); the statistic stays.
    pub const fn redesign(&mut self, arl0: f64) {
        self.design.arl0 = arl0.max(1.0);
    }

    /// Takes one sample.
    pub fn update(&mut self, bad: bool, at: Timestamp) {
        self.seen += 1;
        let evidence = self.alarm.update(bad);
        let severe = self.severity.update(bad) >= SEVERITY_PROMISE;
        let large = self.size.update(bad) >= (SIZE_EVIDENCE * LATTICE).ceil() as i64;
        let cusum = self.cusum.update(bad);
        if cusum == 0 && self.latched.is_none() {
            self.since = Counts::default();
            self.changed_at = None;
            self.exceeds = false;
        } else {
            // After an alarm the change point stands until the chart resolves, even when the CUSUM returns to 0.
            self.changed_at.get_or_insert(at);
            self.since.add(bad);
        }
        self.exceeds |= large;
        if self.latched.is_none() && evidence >= self.design.arl0 {
            self.latched = Some(Grade::Drifting);
            self.changed_at.get_or_insert(at);
        } else if self.latched.is_some() && self.resolve.update(!bad) >= self.resolve_limit {
            self.restart();
            return;
        }
        if let Some(grade) = &mut self.latched {
            let now = if severe {
                Grade::Confirmed
            } else if self.exceeds {
                Grade::Degraded
            } else {
                Grade::Drifting
            };
            *grade = now.max(*grade);
        }
    }

    fn restart(&mut self) {
        self.alarm.reset();
        self.severity.reset();
        self.cusum.reset();
        self.size.reset();
        self.resolve.reset();
        self.since = Counts::default();
        self.changed_at = None;
        self.exceeds = false;
        self.latched = None;
    }

    /// How sure the chart is, while out of control.
    pub const fn grade(&self) -> Option<Grade> {
        self.latched
    }

    /// What the chart says now.
    pub fn verdict(&self) -> Verdict {
        if let Centre::Counted(Counts { n: 0, .. }) = self.design.centre {
            // No baseline, no promise: as many labels as the least favourable level would need.
            return Verdict::Learning { seen: 0, needed: labels_needed(0.5, self.design.delta) };
        }
        let (Some(grade), Some(changed_at)) = (self.latched, self.changed_at) else { return Verdict::InControl };
        Verdict::OutOfControl(Evidence {
            grade,
            statistic: self.alarm.mean(),
            limit: self.design.arl0,
            arl0: self.design.arl0,
            estimate: (self.since.n > 0).then(|| confidence_sequence(self.since, 1.0 - CONFIDENCE)),
            baseline: self.baseline,
            baseline_n: self.design.baseline_n(),
            changed_at,
            samples: self.since.n,
            direction: Direction::Up,
        })
    }

    /// The alarm's statistic M.
    pub const fn statistic(&self) -> f64 {
        self.alarm.mean()
    }

    /// The alarm's limit A.
    pub const fn limit(&self) -> f64 {
        self.design.arl0
    }

    /// The in-control level of the bad outcome.
    pub const fn centre(&self) -> f64 {
        self.baseline.value
    }

    /// The statistic of the CUSUM drawn beside the alarm, in nats.
    pub fn cusum(&self) -> f64 {
        self.cusum.value()
    }

    /// The limit of that CUSUM for the same promise, in nats; solved here because only drawing needs it.
    pub fn cusum_limit(&self, cache: &mut DesignCache) -> f64 {
        let shifted = (self.null + self.design.delta).min(CAP);
        cache.bernoulli_limit(self.null, shifted, self.design.arl0) as f64 / LATTICE
    }

    /// The statistic of the size CUSUM and its limit, in nats.
    pub fn size(&self) -> (f64, f64) {
        (self.size.value(), SIZE_EVIDENCE)
    }

    /// Samples taken.
    pub const fn samples_seen(&self) -> u64 {
        self.seen
    }
}
