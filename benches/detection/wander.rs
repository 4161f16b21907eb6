//! The whole chain where days differ: Phase I of 60 days, what the planner makes of it, and how often the chart then
//! cries wolf.
//!
//! Labels come evenly over the day; the error rate of a day is normal about 0.08 with sd tau, kept within 0.1 % and
//! 99.9 %. Every stream has a Phase I of its own, goes through `plan`, and runs for 100 times the promise; it is
//! "broken" when it raised more than one alarm per promise, which chance blurs by a tenth. Drops come at the start of a
//! fresh chart.

use shewhart::engine::baseline::{Baseline, Profile};
use shewhart::engine::confidence::Place;
use shewhart::engine::detect::{DesignCache, Detector, Mixture};
use shewhart::engine::plan::{BatchSize, Design, Plan, plan};
use shewhart::engine::rule::{Amount, Bound, Detect, Grade, Measure, Promise};
use shewhart::engine::units::{Counts, Span, Timestamp};

use super::charts::{AT, Chart as _, DELTA, alarm};
use super::study::{Figure, Study, Xorshift, mean, quantile};

const P0: f64 = 0.08;
const ARL0: f64 = 20_000.0;
const TAUS: [f64; 4] = [0.0, 0.005, 0.01, 0.02];
const LABELS_A_DAY: [u32; 3] = [100, 500, 2_000];
const DAYS: u32 = 60;
/// Streams of one repetition.
const STREAMS: u32 = 8;
/// Promises that one stream is observed for.
const PROMISES: f64 = 100.0;
/// Labels after which a drop counts as not seen.
const MOST: u32 = 100_000;

/// Labels of a stream whose days differ.
struct Days<'r> {
    random: &'r mut Xorshift,
    tau: f64,
    a_day: u32,
    drop: f64,
    n: u32,
    rate: f64,
}

impl<'r> Days<'r> {
    fn new(random: &'r mut Xorshift, (tau, a_day): (f64, u32), drop: f64) -> Self {
        Self { random, tau, a_day, drop, n: 0, rate: P0 }
    }

    /// The next label and its time.
    fn next(&mut self) -> (Timestamp, bool) {
        if self.n.is_multiple_of(self.a_day) {
            self.rate = (P0 + self.drop + self.tau * self.random.normal()).clamp(0.001, 0.999);
        }
        let at = AT.plus(Span::from_millis(i64::from(self.n) * 86_400_000 / i64::from(self.a_day)));
        self.n += 1;
        (at, self.random.hit(self.rate))
    }
}

/// A planned chart with what feeds it.
#[derive(Clone)]
enum Fed {
    Cases(Mixture),
    Batches { chart: Detector, size: BatchSize, open: Counts, start: Option<Timestamp> },
}

impl Fed {
    fn new(plan: &Plan, cache: &mut DesignCache) -> Self {
        let Design::Proportion(design) = &plan.design else { unreachable!("accuracy is a proportion") };
        match plan.batch {
            None => Self::Cases(alarm(design, cache)),
            Some(size) => {
                let chart = plan.build(cache).expect("a proportion has a chart");
                Self::Batches { chart, size, open: Counts::default(), start: None }
            }
        }
    }

    /// Takes a label and says whether the chart is out of control. Batches close as those of a stream do: with the
    /// first label of a later stretch of time.
    fn take(&mut self, at: Timestamp, wrong: bool) -> bool {
        match self {
            Self::Cases(mixture) => mixture.take(wrong),
            Self::Batches { chart, size, open, start } => {
                if size.closes(*start, open.n, at) {
                    if let Detector::Proportion(chart) = chart {
                        chart.update_counts(*open, at);
                    }
                    (*open, *start) = (Counts::default(), None);
                }
                start.get_or_insert(at);
                open.add(wrong);
                chart.grade().is_some()
            }
        }
    }

    /// Labels to the alarm.
    fn delay(mut self, mut days: Days<'_>) -> f64 {
        while days.n < MOST {
            let (at, wrong) = days.next();
            if self.take(at, wrong) {
                break;
            }
        }
        f64::from(days.n)
    }
}

/// Phase I through the public planning: labels by the hour as a stream's baseline keeps them.
fn planned(mut days: Days<'_>) -> Plan {
    let mut profile = Profile { first: Some(AT), ..Profile::default() };
    while days.n < DAYS * days.a_day {
        let (at, wrong) = days.next();
        profile.verdict((at, Span::ZERO), Place::NONE, !wrong);
        profile.last = Some(at);
    }
    let detect = Detect {
        measure: Measure::Accuracy,
        bound: Bound::Drop(Amount::Points(DELTA)),
        promise: Promise::Arl0(ARL0),
        grade: Grade::Drifting,
        chart: None,
        guarantee: 0.75,
    };
    let baseline = Baseline { id: "study".to_owned(), provisional: false, profile };
    plan(&detect, Some(&baseline)).expect("60 days of labels carry a chart")
}

/// One stream: whether its chart is one of cases and one of batches, its phi, the promise in labels, false alarms over
/// the promised ones, delays at 2 and 5 points.
fn stream(wander: (f64, u32), cache: &mut DesignCache, random: &mut Xorshift) -> [f64; 7] {
    let plan = planned(Days::new(random, wander, 0.0));
    let Design::Proportion(design) = &plan.design else { unreachable!("accuracy is a proportion") };
    let fresh = Fed::new(&plan, cache);
    let promise = plan.arl0() * plan.cases;
    let (mut chart, mut alarms) = (fresh.clone(), 0_u32);
    let mut days = Days::new(random, wander, 0.0);
    while f64::from(days.n) < PROMISES * promise {
        let (at, wrong) = days.next();
        if chart.take(at, wrong) {
            alarms += 1;
            chart = fresh.clone();
        }
    }
    let [small, large] = [0.02, 0.05].map(|drop| fresh.clone().delay(Days::new(random, wander, drop)));
    let tempered = f64::from(u8::from(plan.batch.is_none() && design.spread.phi > 1.0));
    let batches = f64::from(u8::from(plan.batch.is_some()));
    [tempered, batches, design.spread.phi, promise, f64::from(alarms) / PROMISES, small, large]
}

pub(crate) fn run(study: &Study) {
    let mut cache = DesignCache::new();
    let streams = study.runs(STREAMS);
    println!(
        "Days that differ, accuracy 0.92, ARL0 {ARL0}, Phase I of {DAYS} days; false alarms in units of the promise:"
    );
    println!(
        "  a day  tau     tempered     batches      phi          promise        false alarms  broken       \
         worst tenth  2 pp          5 pp"
    );
    let cells = LABELS_A_DAY.into_iter().flat_map(|a_day| TAUS.map(|tau| (tau, a_day)));
    for (cell, wander) in (0..).zip(cells) {
        let mut rates = Vec::new();
        let figures: [Figure; 8] = study.repeat(cell, |random| {
            let all: Vec<[f64; 7]> = (0..streams).map(|_| stream(wander, &mut cache, random)).collect();
            let column = |at: usize| all.iter().filter_map(|row| row.get(at).copied()).collect::<Vec<f64>>();
            let rate = column(4);
            rates.extend(&rate);
            let broken = mean(&rate.iter().map(|rate| f64::from(u8::from(*rate > 1.0))).collect::<Vec<f64>>());
            let [tempered, batches, phi, promise, small, large] = [0, 1, 2, 3, 5, 6].map(|at| mean(&column(at)));
            [tempered, batches, phi, promise, mean(&rate), broken, small, large]
        });
        let [tempered, batches, phi, promise, rate, broken, small, large] = figures;
        let worst = quantile(&mut rates, 0.9);
        println!(
            "  {:<6} {:<7} {tempered:<12.2} {batches:<12.2} {phi:<12.2} {promise:<14} {rate:<13.2} {broken:<12.2} \
             {worst:<12.2} {small:<13} {large}",
            wander.1, wander.0
        );
    }
}
