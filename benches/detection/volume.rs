//! The chart of volume on traffic with a rhythm, through the public planning: how often it cries wolf, and how long changes take.
//!
//! Hours bring Poisson counts about a mean that follows the hour and the weekday (`office`: 8 to 18 h with almost nothing at night
//! and a tenth at weekends; `round`: a wave over the day, less at weekends), times a factor of the day (log-normal with sd
//! `day`, autoregressive from day to day) and one of the hour (log-normal with sd `hour`, autoregressive from hour to hour).
//! Every stream has a baseline of its own of 14 or 28 days and runs for a year; after a false alarm the chart begins anew. False
//! alarms are in units of the promise. A change comes on a day of week five at an hour of that day, both by chance, and lasts; the
//! delay counts hours until stream time shows the alarm, all days and nights included.

use std::f64::consts::TAU;

use shewhart::engine::baseline::{Baseline, Profile};
use shewhart::engine::detect::{DesignCache, Detector, VolumeChart};
use shewhart::engine::plan::{Design, plan};
use shewhart::engine::rule::{Amount, Bound, Detect, Grade, Measure, Promise};
use shewhart::engine::units::{Span, Timestamp};

use super::study::{Figure, Study, Xorshift, mean, quantile};

/// Baselines of one repetition: 240 in all.
const STREAMS: u32 = 12;
/// Days that a stream is watched.
const WATCHED: i64 = 364;
/// Days after which a change that is not found is given up.
const MOST: i64 = 120;
/// A Monday.
const MONDAY: i64 = 20_461;

/// What hours bring.
#[derive(Clone, Copy)]
struct Traffic {
    name: &'static str,
    /// Outputs on an average day.
    a_day: f64,
    /// Of days: sd of the logarithm, correlation of neighbours.
    day: (f64, f64),
    /// Of hours.
    hour: (f64, f64),
}

const TRAFFIC: [Traffic; 8] = [
    Traffic { name: "office", a_day: 60.0, day: (0.0, 0.0), hour: (0.0, 0.0) },
    Traffic { name: "office", a_day: 600.0, day: (0.1, 0.0), hour: (0.2, 0.0) },
    Traffic { name: "office", a_day: 600.0, day: (0.15, 0.3), hour: (0.3, 0.5) },
    Traffic { name: "office", a_day: 6_000.0, day: (0.2, 0.7), hour: (0.3, 0.7) },
    Traffic { name: "round", a_day: 20.0, day: (0.1, 0.0), hour: (0.2, 0.0) },
    Traffic { name: "round", a_day: 60.0, day: (0.15, 0.0), hour: (0.2, 0.3) },
    Traffic { name: "round", a_day: 240.0, day: (0.1, 0.0), hour: (0.3, 0.3) },
    Traffic { name: "round", a_day: 2_000.0, day: (0.1, 0.5), hour: (0.2, 0.8) },
];

impl Traffic {
    /// The mean of an hour of a day, counted from 1970.
    fn mean(&self, day: i64, hour: i64) -> f64 {
        let office = self.name == "office";
        let weekday = (day + 3).rem_euclid(7) as usize;
        let of_day = if office { [1.05, 1.1, 1.0, 1.0, 0.9, 0.12, 0.1] } else { [1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.7] };
        let of_hour = |hour: i64| match hour {
            8 | 12 | 17 if office => 0.6,
            9..17 if office => 1.0,
            _ if office => 0.02,
            _ => 1.0 + 0.6 * ((hour - 8) as f64 / 24.0 * TAU).sin(),
        };
        let all: f64 = (0..24).map(of_hour).sum();
        let week: f64 = of_day.iter().sum();
        self.a_day * 7.0 * of_day.get(weekday).copied().unwrap_or(1.0) / week * of_hour(hour) / all
    }
}

/// An autoregression of first order with variance 1.
struct Wander {
    rho: f64,
    now: f64,
}

impl Wander {
    fn new(rho: f64, random: &mut Xorshift) -> Self {
        Self { rho, now: random.normal() }
    }

    fn factor(&mut self, sd: f64, random: &mut Xorshift) -> f64 {
        self.now = self.rho * self.now + (1.0 - self.rho * self.rho).sqrt() * random.normal();
        (sd * self.now - sd * sd / 2.0).exp()
    }
}

/// Knuth's count for small means, the rounded normal with Anscombe's root for others.
fn poisson(mean: f64, random: &mut Xorshift) -> u32 {
    if mean > 30.0 {
        let root = (mean + 0.125).sqrt() + random.normal() / 2.0;
        return (root.max(0.0).powi(2) - 0.375 + 0.5).max(0.0) as u32;
    }
    let (limit, mut product, mut n) = ((-mean).exp(), random.uniform(), 0);
    while product > limit {
        product *= random.uniform();
        n += 1;
    }
    n
}

/// The counts of a stream, hour by hour.
struct Hours<'r> {
    traffic: Traffic,
    random: &'r mut Xorshift,
    day: Wander,
    hour: Wander,
    of_day: f64,
    next: i64,
}

impl<'r> Hours<'r> {
    fn new(traffic: Traffic, random: &'r mut Xorshift) -> Self {
        let (day, hour) = (Wander::new(traffic.day.1, random), Wander::new(traffic.hour.1, random));
        Self { traffic, random, day, hour, of_day: 1.0, next: MONDAY * 24 }
    }

    /// The next hour's begin and count, its mean a multiple of the usual one.
    fn next(&mut self, times: f64) -> (Timestamp, u32) {
        let (day, hour) = (self.next.div_euclid(24), self.next.rem_euclid(24));
        if hour == 0 {
            self.of_day = self.day.factor(self.traffic.day.0, self.random);
        }
        let factor = times * self.of_day * self.hour.factor(self.traffic.hour.0, self.random);
        let at = Timestamp::from_millis(self.next * 3_600_000);
        self.next += 1;
        (at, poisson(factor * self.traffic.mean(day, hour), self.random))
    }
}

fn detect(bound: Bound) -> Detect {
    Detect {
        measure: Measure::Volume,
        bound,
        promise: Promise::Rate { count: 1.0, per: Span::DAY.times(90) },
        grade: Grade::Drifting,
        chart: None,
        guarantee: 0.75,
    }
}

/// Feeds an hour, once the ones before are closed. Returns blocks judged.
fn feed(chart: &mut VolumeChart, (at, n): (Timestamp, u32)) -> u32 {
    let mut judged = 0;
    while let Some((_, one)) = chart.close(at) {
        judged += u32::from(one);
    }
    (0..n).for_each(|_| chart.count(at, at));
    judged
}

/// A chart as planned, hours of a block, and the promise in blocks.
fn planned(bound: Bound, profile: &Profile, cache: &mut DesignCache) -> (VolumeChart, f64, f64) {
    let baseline = Baseline { id: "study".to_owned(), provisional: false, profile: profile.clone() };
    let plan = plan(&detect(bound), Some(&baseline)).expect("a fortnight carries a chart");
    let Design::Volume(design) = &plan.design else { unreachable!("volume has its own design") };
    let hours = f64::from(design.baseline.hours);
    let Some(Detector::Volume(chart)) = plan.build(cache) else { unreachable!("and its own chart") };
    (*chart, hours, plan.arl0())
}

/// Hours from a change to its alarm.
fn delay(fresh: &VolumeChart, times: f64, hours: &mut Hours<'_>) -> f64 {
    let mut chart = fresh.clone();
    let until = 28 * 24 + (hours.random.uniform() * 168.0) as i64;
    for _ in 0..until {
        feed(&mut chart, hours.next(1.0));
        if chart.is_out() {
            chart = fresh.clone();
        }
    }
    for passed in 0..MOST * 24 {
        feed(&mut chart, hours.next(times));
        if chart.is_out() {
            return passed as f64;
        }
    }
    (MOST * 24) as f64
}

/// One stream: hours of a block; false alarms over promised, of a fall by 30 % and of a rise by half; delays of falls by 30 %,
/// 50 % and to nothing and of a rise to twice.
fn stream(traffic: Traffic, days: i64, cache: &mut DesignCache, random: &mut Xorshift) -> [f64; 7] {
    let mut hours = Hours::new(traffic, random);
    let mut profile = Profile::default();
    for _ in 0..days * 24 {
        let (at, n) = hours.next(1.0);
        (0..n).for_each(|_| profile.hours.add(at, at));
    }
    // The records go on before and after: these days are whole, whatever their nights.
    for at in [MONDAY * 86_400_000 - 1, hours.next * 3_600_000].map(Timestamp::from_millis) {
        profile.hours.add(at, at);
    }
    let (falls, block, promise) = planned(Bound::Drop(Amount::Relative(0.3)), &profile, cache);
    let (rises, ..) = planned(Bound::Rise(Amount::Relative(0.5)), &profile, cache);
    let mut charts = [falls.clone(), rises.clone()];
    let mut rates = [(0_u32, 0_u32); 2];
    for _ in 0..WATCHED * 24 {
        let hour = hours.next(1.0);
        for ((chart, fresh), (alarms, judged)) in charts.iter_mut().zip([&falls, &rises]).zip(&mut rates) {
            *judged += feed(chart, hour);
            if chart.is_out() {
                *alarms += 1;
                *chart = fresh.clone();
            }
        }
    }
    let [fall, rise] = rates.map(|(alarms, judged)| f64::from(alarms) * promise / f64::from(judged.max(1)));
    let delays = [(&falls, 0.7), (&falls, 0.5), (&falls, 0.0), (&rises, 2.0)]
        .map(|(chart, times)| delay(chart, times, &mut Hours::new(traffic, hours.random)));
    let [small, half, none, twice] = delays;
    [block, fall, rise, small, half, none, twice]
}

pub(crate) fn run(study: &Study) {
    let mut cache = DesignCache::new();
    let streams = study.runs(STREAMS);
    println!("Volume, one false alarm per 90 days promised, {} baselines each, watched for a year:", 20 * streams);
    println!(
        "  traffic  a day  day        hour       baseline  hours of a block  false alarms: fall  rise         worst tenth  \
         hours to -30 %  -50 %        -100 %       x2"
    );
    let cells = TRAFFIC.into_iter().flat_map(|traffic| [14, 28].map(|days| (traffic, days)));
    for (cell, (traffic, days)) in (0..).zip(cells) {
        let mut rates = Vec::new();
        let figures: [Figure; 7] = study.repeat(cell, |random| {
            let all: Vec<[f64; 7]> = (0..streams).map(|_| stream(traffic, days, &mut cache, random)).collect();
            let column = |at: usize| all.iter().filter_map(|row| row.get(at).copied()).collect::<Vec<f64>>();
            rates.extend(column(1));
            std::array::from_fn(|at| mean(&column(at)))
        });
        let [block, fall, rise, small, half, none, twice] = figures;
        let worst = quantile(&mut rates, 0.9);
        let of = |(sd, rho): (f64, f64)| format!("{sd} ({rho})");
        println!(
            "  {:<8} {:<6} {:<10} {:<10} {days:<9} {block:<17.1} {fall:<19.2} {rise:<12.2} {worst:<12.2} {small:<15} \
             {half:<12} {none:<12} {twice}",
            traffic.name,
            traffic.a_day,
            of(traffic.day),
            of(traffic.hour)
        );
    }
}
