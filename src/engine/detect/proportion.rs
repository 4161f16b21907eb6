//! The chart of a Bernoulli measure, written in terms of the bad outcome's probability (error, escalation, slow output).
//!
//! **Definition.** Five statistics see every sample, a case or a batch of cases. (1) The alarm, grade *drifting*: by default
//! the e-SR with null p0* at M >= A; on request the Bernoulli CUSUM p0* -> p0* + delta at its exact limit; for batches that
//! differ more than chance a chart of Laney's z = (x - n p0*) / sqrt(n p0* q0*) / sigma. (2) The stored counts date the
//! change by maximum likelihood. (3) The *size* CUSUM p + delta/2 -> p + 3 delta/2 asks whether the change exceeds delta; at
//! ln 25 it does, and the estimate since that CUSUM's last zero lies beyond delta; so it does where the whole interval of
//! the estimate since the change lies beyond: the grade is *degraded*. (4) The severity e-SR with null p0* + delta makes it
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

use serde::{Deserialize, Serialize};

use super::cusum::LatticeCusum;
use super::design::bernoulli::{LATTICE, lattice_weights, scaled_limit};
use super::design::interval::{clopper_pearson, clopper_pearson_upper, confidence_sequence};
use super::design::sr::MixtureDesign;
use super::design::{DesignCache, ceil4};
use super::dispersion::standardised;
use super::esr::Mixture;
use super::history::History;
use super::standard::{Scheme, Standard, Step};
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
/// Largest reference value of a chart of batches, in standard deviations: several batches must agree, as the far tail
/// of one is not normal.
const MAX_K: f64 = 0.5;
/// Smallest: a change below a tenth of a standard deviation is not told from the baseline's own error.
const MIN_K: f64 = 0.05;
/// A shift below so many standard deviations of batches is hidden by their wander ...
pub const HIDDEN: f64 = 0.2;
/// ... and the chart is tuned to one of half a standard deviation instead.
const HIDDEN_K: f64 = 0.25;
/// A spread estimated from fewer batches is too rough to be taken at its word ...
const BATCHES_WANTED: u64 = 30;
/// ... and is multiplied by this.
const ROUGH_SPREAD: f64 = 1.2;

/// Where the in-control level comes from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Centre {
    /// Estimated: bad outcomes of all, in the baseline.
    Counted(Counts),
    /// Given by the rule (a target or a limit): no sampling error.
    Known(f64),
}

/// How much the baseline's batches differed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Variance of the batches' shares in units of the binomial one; 1 and above.
    pub phi: f64,
    /// Batches that it rests on; 0 where it was not estimated.
    pub batches: u64,
}

impl Spread {
    /// No more than chance.
    pub const BINOMIAL: Self = Self { phi: 1.0, batches: 0 };

    /// The standard deviation of z that charts of batches work with.
    pub fn sigma(self) -> f64 {
        let rough = (1..BATCHES_WANTED).contains(&self.batches);
        self.phi.max(1.0).sqrt() * if rough { ROUGH_SPREAD } else { 1.0 }
    }
}

/// What raises the alarm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Alarm {
    /// The mixture e-detector, case by case: the default.
    Mixture,
    /// The Bernoulli CUSUM, case by case, with head starts.
    Cusum,
    /// The CUSUM of Laney's z of batches.
    Batches(Method),
}

/// Which statistic of standardised values alarms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// The CUSUM.
    Cusum,
    /// The exponentially weighted moving average.
    Ewma,
    /// The single value.
    Shewhart,
}

impl Method {
    /// The scheme of charts tuned to a shift of 2 `k` standard deviations.
    pub(super) const fn scheme(self, k: f64) -> Scheme {
        match self {
            Self::Cusum => Scheme::Cusum(k),
            Self::Ewma => Scheme::Ewma,
            Self::Shewhart => Scheme::Shewhart,
        }
    }

    /// What the chart is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cusum => "CUSUM",
            Self::Ewma => "EWMA",
            Self::Shewhart => "Shewhart chart",
        }
    }
}

/// What a proportion chart is designed from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProportionDesign {
    /// The in-control level of the bad outcome.
    pub centre: Centre,
    /// The rise of the bad outcome's probability that matters.
    pub delta: f64,
    /// The promise: samples (cases, or batches) between false alarms.
    pub arl0: f64,
    /// The probability, over the baseline's own error, that the promise is kept; in (0, 1).
    pub guarantee: f64,
    /// How much batches differ.
    pub spread: Spread,
    /// What raises the alarm.
    pub alarm: Alarm,
    /// Cases in a typical batch; 1 where cases come one by one.
    pub batch: f64,
}

impl ProportionDesign {
    /// The default guarantee.
    pub const GUARANTEE: f64 = 0.75;

    /// The default chart of a baseline: `hits` bad outcomes of `n`.
    pub const fn new(baseline: Counts, delta: f64, arl0: f64) -> Self {
        Self::around(Centre::Counted(baseline), delta, arl0)
    }

    /// The default chart of a known level.
    pub const fn fixed(p0: f64, delta: f64, arl0: f64) -> Self {
        Self::around(Centre::Known(p0), delta, arl0)
    }

    const fn around(centre: Centre, delta: f64, arl0: f64) -> Self {
        let (spread, alarm) = (Spread::BINOMIAL, Alarm::Mixture);
        Self { centre, delta, arl0, guarantee: Self::GUARANTEE, spread, alarm, batch: 1.0 }
    }

    /// The level with its 95 % interval.
    pub fn baseline(&self) -> Estimate {
        match self.centre {
            Centre::Counted(counts) => {
                let interval = clopper_pearson(thinned(counts, self.spread.phi), CONFIDENCE);
                Estimate { value: counts.share().unwrap_or(interval.value), ..interval }
            }
            Centre::Known(p0) => Estimate { value: p0, low: p0, high: p0 },
        }
    }

    /// p0*: the level the chart is designed for.
    pub fn null(&self) -> f64 {
        let level = match self.centre {
            Centre::Counted(counts) => clopper_pearson_upper(thinned(counts, self.spread.phi), self.guarantee),
            Centre::Known(p0) => p0,
        };
        ceil4(level.max(FLOOR)).min(CAP)
    }

    /// p0* + delta: the level that matters.
    pub fn shifted(&self) -> f64 {
        (self.null() + self.delta).min(CAP)
    }

    /// The best guess of the level, never exactly 0.
    pub fn plug_in(&self) -> f64 {
        match self.centre {
            Centre::Counted(Counts { hits: 0, n }) => 0.5 / (n as f64 + 1.0),
            Centre::Counted(counts) => counts.share().unwrap_or(0.5),
            Centre::Known(p0) => p0.max(FLOOR),
        }
        .min(CAP)
    }

    /// Cases that the level rests on; 0 where it is given.
    pub const fn baseline_n(&self) -> u64 {
        match self.centre {
            Centre::Counted(counts) => counts.n,
            Centre::Known(_) => 0,
        }
    }

    /// Half the shift that matters, in standard deviations of batches: the reference value of their charts, rounded so
    /// that streams share designs, and kept within what a chart of batches can do.
    pub fn reference(&self) -> f64 {
        let shift = self.shift();
        // A shift that batches hide is not found either way; larger ones are, sooner.
        let k = if shift < HIDDEN { HIDDEN_K } else { shift / 2.0 };
        ceil4(k.clamp(MIN_K, MAX_K))
    }

    /// The shift that matters, in standard deviations of batches.
    pub fn shift(&self) -> f64 {
        let p = self.null();
        self.delta / (self.spread.sigma() * (p * (1.0 - p) / self.batch.max(1.0)).sqrt())
    }
}

/// As many cases as these are worth when batches differ by `phi` times the binomial variance.
fn thinned(counts: Counts, phi: f64) -> Counts {
    if phi <= 1.0 || !phi.is_finite() || counts.n == 0 {
        return counts;
    }
    let n = ((counts.n as f64 / phi).round() as u64).max(1);
    let hits = (counts.share().unwrap_or(0.0) * n as f64).round() as u64;
    // What was seen at all stays seen.
    Counts { hits: hits.clamp(u64::from(counts.hits > 0), n - u64::from(counts.hits < counts.n && n > 1)), n }
}

/// Baseline cases below which a change of `delta` from `p` cannot honestly be promised: its standard error would exceed
/// delta / 3.
pub fn labels_needed(p: f64, delta: f64) -> u64 {
    (9.0 * p * (1.0 - p) / (delta * delta)).ceil().max(1.0) as u64
}

/// The statistic that raises the alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum AlarmState {
    Mixture(Mixture),
    Cusum { chart: LatticeCusum, limit: i64 },
    Batches(Standard),
}

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
        let mut chart = Self {
            baseline: design.baseline(),
            null,
            alarm: AlarmState::Cusum { chart: LatticeCusum::new(null, shifted), limit: i64::MAX },
            severity: Mixture::guaranteed(shifted, &SEVERE_DROPS.map(|drop| drop * scale), SEVERITY_PROMISE)
                .tempered(phi),
            cusum: LatticeCusum::new(null, shifted),
            size: LatticeCusum::new(plug_in + 0.5 * design.delta, (plug_in + 1.5 * design.delta).min(CAP)),
            size_limit,
            // Seen from the shifted level, the way back is a rise of the good outcome.
            resolve: LatticeCusum::new(1.0 - shifted, 1.0 - null),
            resolve_limit: tempered_limit(1.0 - shifted, 1.0 - null, RESOLVE_PROMISE, phi, cache),
            design,
            seen: 0,
            history: History::new(),
            since: Counts::default(),
            beyond: Counts::default(),
            exceeds: false,
            latched: None,
        };
        match design.alarm {
            Alarm::Mixture => {
                let design = MixtureDesign { p0: null, delta: design.delta, phi, arl0: design.arl0 };
                chart.alarm = AlarmState::Mixture(Mixture::designed(&design, cache));
            }
            Alarm::Cusum => chart.redesign(design.arl0, cache),
            Alarm::Batches(method) => {
                let standard = Standard::new(method.scheme(design.reference()), design.arl0, cache);
                chart.alarm = AlarmState::Batches(standard);
            }
        }
        chart
    }

    /// Changes the promise (the stream's traffic changed); the statistic stays.
    pub fn redesign(&mut self, arl0: f64, cache: &mut DesignCache) {
        self.design.arl0 = arl0.max(1.0);
        match &mut self.alarm {
            AlarmState::Mixture(mixture) => mixture.redesign(self.design.arl0, cache),
            AlarmState::Cusum { limit, .. } => {
                let (null, shifted, phi) = (self.null, self.design.shifted(), self.design.spread.phi);
                *limit = tempered_limit(null, shifted, self.design.arl0, phi, cache);
            }
            AlarmState::Batches(chart) => chart.redesign(self.design.arl0, cache),
        }
    }

    /// Gives charts that can have one a head start of half their limit: a new version is a likely time for a change.
    pub fn head_start(&mut self) {
        match &mut self.alarm {
            AlarmState::Cusum { chart, limit } if self.latched.is_none() => chart.raise_to(*limit / 2),
            AlarmState::Batches(chart) => chart.head_start(),
            AlarmState::Mixture(_) | AlarmState::Cusum { .. } => {}
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
        let one_by_one = !matches!(self.alarm, AlarmState::Batches(_));
        self.seen += if one_by_one { counts.n } else { 1 };
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
        let signalled = match &mut self.alarm {
            AlarmState::Mixture(mixture) => mixture.update_counts(counts) >= mixture.limit(),
            AlarmState::Cusum { chart, limit } => chart.update_counts(counts) >= *limit,
            AlarmState::Batches(chart) => {
                let z = standardised(counts, self.null) / self.design.spread.sigma();
                let step = chart.update(normalised(z, skewness(counts.n, self.null)));
                if step == Step::Back {
                    return true;
                }
                chart.is_out()
            }
        };
        if self.latched.is_some() {
            self.since.merge(counts);
            let back = self.resolve.update_counts(counts.complement()) >= self.resolve_limit;
            return back && !matches!(self.alarm, AlarmState::Batches(_));
        }
        if signalled {
            self.latched = Some(Grade::Drifting);
            let change = self.history.change_point(self.design.plug_in(), self.design.spread.phi);
            self.since = change.map(|change| change.since).unwrap_or_default();
        }
        false
    }

    fn restart(&mut self) {
        match &mut self.alarm {
            AlarmState::Mixture(mixture) => mixture.reset(),
            AlarmState::Cusum { chart, .. } => chart.reset(),
            AlarmState::Batches(chart) => chart.restart(),
        }
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
            unit: if matches!(self.alarm, AlarmState::Batches(_)) { SampleUnit::Batch } else { SampleUnit::Case },
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
            AlarmState::Batches(chart) => {
                let name = match chart.scheme() {
                    Scheme::Cusum(_) => Method::Cusum,
                    Scheme::Ewma => Method::Ewma,
                    Scheme::Shewhart => Method::Shewhart,
                };
                return format!("Laney-z {}, sigma_z {:.2}", name.as_str(), self.design.spread.sigma());
            }
        };
        if phi > 1.0 { format!("{name}, evidence divided by {phi:.2}") } else { name }
    }

    /// Whether its samples are batches.
    pub const fn takes_batches(&self) -> bool {
        matches!(self.alarm, AlarmState::Batches(_))
    }

    /// The design in force.
    pub const fn design(&self) -> &ProportionDesign {
        &self.design
    }

    /// The alarm's statistic: M, or the CUSUM in nats, or the chart of z.
    pub fn statistic(&self) -> f64 {
        match &self.alarm {
            AlarmState::Mixture(mixture) => mixture.statistic(),
            AlarmState::Cusum { chart, .. } => chart.value(),
            AlarmState::Batches(chart) => chart.statistic(),
        }
    }

    /// The alarm's limit.
    pub fn limit(&self) -> f64 {
        match &self.alarm {
            AlarmState::Mixture(mixture) => mixture.limit(),
            AlarmState::Cusum { limit, .. } => *limit as f64 / LATTICE,
            AlarmState::Batches(chart) => chart.limit(),
        }
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
        let (shifted, phi) = (self.design.shifted(), self.design.spread.phi);
        tempered_limit(self.null, shifted, self.design.arl0, phi, cache) as f64 / LATTICE
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

/// The limit of a Bernoulli CUSUM, exact for binomial cases, in the closed form for overdispersed ones (STATISTICS-DETAIL,
/// section 5: h = phi x - (a + b)(1 + p0) / 3 with e^x - x - 1 = ARL0 KL / phi).
fn tempered_limit(p0: f64, p1: f64, arl0: f64, phi: f64, cache: &mut DesignCache) -> i64 {
    if phi <= 1.0 || p1 <= p0 {
        return cache.bernoulli_limit(p0, p1, arl0);
    }
    let (up, _) = lattice_weights(p0, p1);
    ((scaled_limit(p0, p1, arl0, phi) * LATTICE).ceil() as i64).max(up)
}

/// Skewness of a binomial count.
fn skewness(n: u64, p: f64) -> f64 {
    (1.0 - 2.0 * p) / (n.max(1) as f64 * p * (1.0 - p)).sqrt()
}

/// A standardised value of the given skewness brought near to normal: Wilson & Hilferty's cube root for the gamma
/// distribution of that skewness. Growing in z; below the distribution's lower end it stays at that end.
fn normalised(z: f64, skewness: f64) -> f64 {
    if skewness.abs() < 1e-3 {
        return z;
    }
    let base = (1.0 + skewness * z / 2.0).max(0.0);
    6.0 / skewness * (base.cbrt() - 1.0) + skewness / 6.0
}
