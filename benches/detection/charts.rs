//! The charts that race each other, all of them production code.

use shewhart::engine::detect::design::bernoulli::{LATTICE, Walk, lattice_weights, patient_limit};
use shewhart::engine::detect::design::sr::MixtureDesign;
use shewhart::engine::detect::{DesignCache, LatticeCusum, Mixture, ProportionChart, ProportionDesign};
use shewhart::engine::units::Timestamp;

use super::study::Xorshift;

/// The drop that the rule says matters.
pub(crate) const DELTA: f64 = 0.02;

/// Charts do not look at time; it only dates changes.
pub(crate) const AT: Timestamp = Timestamp::from_millis(0);

/// Something that sees labels and alarms.
pub(crate) trait Chart: Clone {
    /// Takes a label and says whether the chart is out of control.
    fn take(&mut self, wrong: bool) -> bool;
}

impl Chart for Mixture {
    fn take(&mut self, wrong: bool) -> bool {
        self.update(wrong);
        self.is_out()
    }
}

/// The Bernoulli CUSUM that knows the drop, with the limit for the same promise.
#[derive(Clone)]
pub(crate) struct Oracle {
    chart: LatticeCusum,
    limit: i64,
    walk: Walk,
}

impl Oracle {
    pub(crate) fn new(p0: f64, drop: f64, arl0: f64) -> Self {
        let limit = patient_limit(p0, p0 + drop, arl0);
        let (up, down) = lattice_weights(p0, p0 + drop);
        let walk = Walk { up: up as f64 / LATTICE, down: down as f64 / LATTICE, limit: limit as f64 / LATTICE };
        Self { chart: LatticeCusum::new(p0, p0 + drop), limit, walk }
    }

    /// The exact mean run length from 0 at an error rate of `p`.
    pub(crate) fn arl(&self, p: f64) -> f64 {
        self.walk.arl(p).expect("drops of a point and more are cheap enough for the exact recursion")
    }
}

impl Chart for Oracle {
    fn take(&mut self, wrong: bool) -> bool {
        self.chart.update(wrong) >= self.limit
    }
}

/// The default alarm of a design of single labels: the part of its chart that alarms, without the parts that grade.
pub(crate) fn alarm(design: &ProportionDesign, cache: &mut DesignCache) -> Mixture {
    let phi = design.spread.phi;
    Mixture::designed(&MixtureDesign { p0: design.null(), delta: design.delta, phi, arl0: design.arl0 }, cache)
}

/// Labels to the first alarm at an error rate of `p`; `most` where there is none by then.
pub(crate) fn run_length(chart: &mut impl Chart, p: f64, most: u32, random: &mut Xorshift) -> u32 {
    for n in 1..most {
        if chart.take(random.hit(p)) {
            return n;
        }
    }
    most
}

/// Run lengths of two charts on the same labels.
pub(crate) fn race(one: &mut impl Chart, other: &mut impl Chart, p: f64, random: &mut Xorshift) -> [u32; 2] {
    let (mut lengths, mut n) = ([0, 0], 0);
    while lengths.contains(&0) {
        n += 1;
        let wrong = random.hit(p);
        let [first, second] = &mut lengths;
        if *first == 0 && one.take(wrong) {
            *first = n;
        }
        if *second == 0 && other.take(wrong) {
            *second = n;
        }
    }
    lengths
}

/// The parts of the study take the alarm alone, which is faster; this makes sure that it is the chart's.
pub(crate) fn check_alarm(design: &ProportionDesign, cache: &mut DesignCache, random: &mut Xorshift) {
    let (mut chart, mut alone) = (ProportionChart::new(design, cache), alarm(design, cache));
    let p = design.null() + 0.5 * design.delta;
    for _ in 0..5_000 {
        let wrong = random.hit(p);
        let out = alone.take(wrong);
        chart.update(wrong, AT);
        assert_eq!(out, chart.grade().is_some(), "the alarm is not that of the chart");
        if out {
            break;
        }
        assert_eq!(alone.statistic(), chart.statistic());
    }
}
