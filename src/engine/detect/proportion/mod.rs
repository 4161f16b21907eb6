//! The chart of a Bernoulli measure, written in terms of the bad outcome's probability (error, escalation, slow output).
//!
//! **Definition.** Five statistics see every sample, a case or a batch of cases. (1) The alarm, grade *drifting*: by default
//! the e-SR with null p0* at M >= A; on request the Bernoulli CUSUM p0* -> p0* + delta at its exact limit, or a bank of
//! them; for batches that differ more than chance a chart of Laney's z = (x - n p0*) / sqrt(n p0* q0*) / sigma. (2) The
//! stored counts date the change by maximum likelihood. (3) The *size* CUSUM p + delta/2 -> p + 3 delta/2 asks whether the
//! change exceeds delta; at ln 25 it does, and the estimate since that CUSUM's last zero lies beyond delta; so it does where
//! the whole interval of the estimate since the change lies beyond: the grade is *degraded*. (4) The severity e-SR with null p0* + delta makes it
//! *confirmed*. (5) After an alarm the reversed chart decides when the level is back; then everything restarts. p is
//! the baseline's share, p0* its one-sided Clopper-Pearson bound at the rule's `guarantee`, 75 % by default.
//!
//! **Overdispersion.** phi is the variance of batch shares in units of the binomial one. Every log-likelihood ratio is
//! divided by it, and the baseline counts as n0 / phi cases; sigma = sqrt(phi) standardises batches.
//!
//! **Sources.** See `esr`, `cusum`, `standard`, `history`; the bound: guaranteed conditional performance, Gandy & Kvaloy
//! (2013); z: Laney (2002); the division by phi: quasi-likelihood, Wedderburn (1974). z is taken through the cube root of
//! Wilson & Hilferty (1931), as counts of rare events are skewed.
//!
//! **Classical constants.** Likelihood ratio 25 for the size. "The estimate since the change lies beyond delta", without
//! evidence, pages on bursts.
//!
//! **Bad at.** Samples that depend on each other within a batch, beyond what phi says of whole batches. A level that
//! settles between p0 and p0 + delta alarms and resolves in turn.

mod alarm;
mod design;

use serde::{Deserialize, Serialize};

use self::alarm::{AlarmState, Told};
use self::design::thinned;
pub use self::design::{Alarm, Centre, HIDDEN, Method, ProportionDesign, Spread, labels_needed};
use super::cusum::LatticeCusum;
use super::design::DesignCache;
use super::design::bernoulli::{LATTICE, scaled_limit};
use super::design::interval::confidence_sequence;
use super::esr::Mixture;
use super::history::History;
use super::{Direction, Evidence, Verdict};
use crate::engine::rule::Grade;
use crate::engine::units::{Counts, Estimate, SampleUnit, Timestamp};

/// Changes of the severity's mixture beyond delta, for a delta of [`MIXTURE_DELTA`].
const SEVERE_DROPS: [f64; 4] = [0.01, 0.02, 0.04, 0.08];
/// The delta that the list was measured at; it scales with delta.
const MIXTURE_DELTA: f64 = 0.02;
/// Probabilities above this are not told apart: the likelihood of a good outcome would vanish.
const CAP: f64 = 0.999;
/// "Never" in a rule (p0 = 0) is read as once in a million: with 0 itself no likelihood ratio exists.
const FLOOR: f64 = 1e-6;
/// A of the severity mixture: at a change of exactly delta, one "confirmed" in so many samples.
const SEVERITY_PROMISE: f64 = 20_000.0;
/// In-control run length of the reversed chart at p0* + delta: one mistaken "resolved" in so many samples.
const RESOLVE_PROMISE: f64 = 20_000.0;
/// Likelihood ratio of 3/2 delta against 1/2 delta at which the data say that the change exceeds delta: ln 25.
const SIZE_EVIDENCE: f64 = 3.218_875_824_868_201;
/// Level of the intervals in the evidence.
const CONFIDENCE: f64 = 0.95;
/// Level of the interval that must lie beyond delta: high, as the change point was chosen for being extreme.
const BEYOND: f64 = 0.99;

/// A chart of one Bernoulli measure of one stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProportionChart {
    design: ProportionDesign,
    baseline: Estimate,
    null: f64,
    alarm: AlarmState,
    severity: Mixture,
    cusum: LatticeCusum,
    size: LatticeCusum,
    size_limit: i64,
    resolve: LatticeCusum,
    resolve_limit: i64,
    seen: u64,
    history: History,
    /// Samples since the change point as it was when the alarm was raised.
    since: Counts,
    /// Samples since the last zero of the size CUSUM.
    beyond: Counts,
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
            spread: Spread { phi: design.spread.phi.max(1.0), ..design.spread },
            ..*design
        };
        let (null, shifted, plug_in) = (design.null(), design.shifted(), design.plug_in());
        let phi = design.spread.phi;
        let scale = design.delta / MIXTURE_DELTA;
        let size_limit = (SIZE_EVIDENCE * phi * LATTICE).ceil() as i64;
        Self {
            baseline: design.baseline(),
            null,
            alarm: AlarmState::new(&design, cache),
            severity: Mixture::guaranteed(shifted, &SEVERE_DROPS.map(|drop| drop * scale), SEVERITY_PROMISE)
                .tempered(phi),
            cusum: LatticeCusum::new(null, shifted),
            size: LatticeCusum::new(plug_in + 0.5 * design.delta, (plug_in + 1.5 * design.delta).min(CAP)),
            size_limit,
            // Seen from the shifted level, the way back is a rise of the good outcome.
            resolve: LatticeCusum::new(1.0 - shifted, 1.0 - null),
            resolve_limit: cache.bernoulli_limit(1.0 - shifted, 1.0 - null, RESOLVE_PROMISE, phi),
            design,
            seen: 0,
            history: History::new(),
            since: Counts::default(),
            beyond: Counts::default(),
            exceeds: false,
            latched: None,
        }
    }

    /// Changes the promise (the stream's traffic changed); the statistic stays.
    pub fn redesign(&mut self, arl0: f64, cache: &mut DesignCache) {
        self.design.arl0 = arl0.max(1.0);
        self.alarm.redesign(&self.design, cache);
    }

    /// Gives charts that can have one a head start of half their limit: a new version is a likely time for a change.
    pub fn head_start(&mut self) {
        if self.latched.is_none() {
            self.alarm.head_start();
        }
    }

    /// Takes one case.
    pub fn update(&mut self, bad: bool, at: Timestamp) {
        self.update_counts(Counts { hits: u64::from(bad), n: 1 }, at);
    }

    /// Takes cases that belong together, in no order.
    pub fn update_counts(&mut self, counts: Counts, at: Timestamp) {
        if counts.n == 0 || counts.hits > counts.n {
            return;
        }
        self.seen += if self.alarm.takes_batches() { 1 } else { counts.n };
        let severe = self.severity.update_counts(counts) >= self.severity.limit();
        let size = self.size.update_counts(counts);
        let large = size >= self.size_limit;
        if size == 0 {
            self.beyond = Counts::default();
        } else {
            self.beyond.merge(counts);
        }
        let zero = self.cusum.update_counts(counts) == 0;
        let full = self.history.add(counts, at);
        // What the size said of an excursion that is over does not count for the next.
        self.exceeds = (self.exceeds && !(zero && self.latched.is_none())) || large;
        if self.alarmed(counts) {
            self.restart();
            return;
        }
        if let Some(grade) = self.latched {
            let now = if severe {
                Grade::Confirmed
            // The interval costs a search, so it is looked at once for every cell of the history.
            } else if self.exceeds || (full && grade < Grade::Degraded && self.lies_beyond()) {
                Grade::Degraded
            } else {
                Grade::Drifting
            };
            self.latched = Some(now.max(grade));
        }
    }

    /// Whether the estimate since the alarm's change point lies beyond delta with its whole interval: what shows large
    /// changes first, as the size CUSUM is tuned to those near delta.
    fn lies_beyond(&self) -> bool {
        let bound = self.baseline.value + self.design.delta;
        let since = thinned(self.since, self.design.spread.phi);
        since.share() > Some(bound) && confidence_sequence(since, 1.0 - BEYOND).low > bound
    }

    /// Lets the alarm and its resolution see the cases. Returns whether the level is back.
    fn alarmed(&mut self, counts: Counts) -> bool {
        let told = self.alarm.update(counts, self.null, self.design.spread);
        if told == Told::Back {
            return true;
        }
        if self.latched.is_some() {
            self.since.merge(counts);
            let back = self.resolve.update_counts(counts.complement()) >= self.resolve_limit;
            return back && !self.alarm.takes_batches();
        }
        if told == Told::Out {
            self.latched = Some(Grade::Drifting);
            let change = self.history.change_point(self.design.plug_in(), self.design.spread.phi);
            self.since = change.map(|change| change.since).unwrap_or_default();
        }
        false
    }

    fn restart(&mut self) {
        self.alarm.restart();
        self.severity.reset();
        self.cusum.reset();
        self.size.reset();
        self.resolve.reset();
        self.history.clear();
        self.since = Counts::default();
        self.beyond = Counts::default();
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
        let Some(grade) = self.latched else { return Verdict::InControl };
        let phi = self.design.spread.phi;
        // An alarm is evidence of a stretch above the level; where the store has lost it, everything stored is since.
        let found = self.history.change_point(self.design.plug_in(), phi).or_else(|| self.history.all());
        let Some(change) = found else { return Verdict::InControl };
        let since = self.told(grade, change.since);
        let interval = confidence_sequence(thinned(since, phi), 1.0 - CONFIDENCE);
        let value = since.share().unwrap_or(interval.value);
        Verdict::OutOfControl(Evidence {
            grade,
            method: self.method(),
            statistic: self.statistic(),
            limit: self.limit(),
            arl0: self.design.arl0,
            estimate: Some(Estimate { value, ..interval }),
            baseline: self.baseline,
            baseline_n: self.design.baseline_n(),
            changed_at: change.at,
            changed_between: (change.earliest, change.latest),
            samples: since.n,
            unit: if self.alarm.takes_batches() { SampleUnit::Batch } else { SampleUnit::Case },
            direction: Direction::Up,
            parts: Vec::new(),
        })
    }

    /// The samples that the estimate is taken from: those since the change. A level that fell by and by was near the
    /// baseline at first; then it is those since the last zero of the size CUSUM, where the change exceeds delta.
    fn told(&self, grade: Grade, since: Counts) -> Counts {
        let exceeds = |counts: Counts| counts.share() >= Some(self.baseline.value + self.design.delta);
        if grade >= Grade::Degraded && !exceeds(since) && exceeds(self.beyond) { self.beyond } else { since }
    }

    /// What the chart is, in words.
    pub fn method(&self) -> String {
        let phi = self.design.spread.phi;
        let name = match &self.alarm {
            AlarmState::Mixture(_) => "e-SR mixture".to_owned(),
            AlarmState::Cusum { .. } => "Bernoulli CUSUM".to_owned(),
            AlarmState::Bank(_) => "bank of Bernoulli CUSUMs".to_owned(),
            AlarmState::Batches { method, .. } => {
                return format!("Laney-z {}, sigma_z {:.2}", method.as_str(), self.design.spread.sigma());
            }
        };
        if phi > 1.0 { format!("{name}, evidence divided by {phi:.2}") } else { name }
    }

    /// Whether its samples are batches.
    pub const fn takes_batches(&self) -> bool {
        self.alarm.takes_batches()
    }

    /// The design in force.
    pub const fn design(&self) -> &ProportionDesign {
        &self.design
    }

    /// The alarm's statistic: M, or the CUSUM in nats, or the chart of z.
    pub fn statistic(&self) -> f64 {
        self.alarm.statistic()
    }

    /// The alarm's limit.
    pub fn limit(&self) -> f64 {
        self.alarm.limit()
    }

    /// The in-control level of the bad outcome.
    pub const fn centre(&self) -> f64 {
        self.baseline.value
    }

    /// The statistic of the CUSUM drawn beside the alarm, in nats.
    pub fn cusum(&self) -> f64 {
        self.cusum.value()
    }

    /// The limit of that CUSUM for the same promise, in nats, in the closed form (within 1 %): only drawing needs it.
    pub fn cusum_limit(&self) -> f64 {
        scaled_limit(self.null, self.design.shifted(), self.design.arl0, self.design.spread.phi)
    }

    /// The statistic of the size CUSUM and its limit, in nats.
    pub fn size(&self) -> (f64, f64) {
        (self.size.value(), self.size_limit as f64 / LATTICE)
    }

    /// Samples taken: cases, or batches.
    pub const fn samples_seen(&self) -> u64 {
        self.seen
    }
}
