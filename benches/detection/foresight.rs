//! Confidence and labels together: how soon a drop is found, by what, and what keeps its promise.
//!
//! Streams are those of `world`: accuracy 0.92, confidence of a quality R2, one case in 20 labelled at random, 200 cases an
//! hour. The promise is one false alarm in 400,000 cases, 20,000 labels. "Alone" is the default chart of labels with all of
//! it; in the joint one the chart of labels has 90 % and the chart of predicted accuracy 10 %, and what counts is the first
//! alarm or suspicion. The map is learnt from so many labels that it is as good as known, unless said otherwise.
//! Changes come at random times of a long run in control, in which every chart begins anew after a false alarm of its own.
#![expect(clippy::indexing_slicing, reason = "places are drawn below the lengths")]

use shewhart::engine::detect::design::interval::normal_quantile;
use shewhart::engine::detect::{
    AdjustedChart, AdjustedDesign, CalibrationMap, DesignCache, Direction, EstimateChart, EstimateDesign, Form,
    MeanDesign, Method, Mixture, ProportionDesign, Rung, Validity,
};

use super::charts::{AT, DELTA, alarm};
use super::study::{Figure, Study, Xorshift, mean, quantile};
use super::world::{ACCURACY, Kind, Mechanism, World, expit, logit, solve};

const QUALITIES: [f64; 3] = [0.05, 0.2, 0.5];
const DROPS: [f64; 2] = [0.02, 0.05];
/// Share of cases that are labelled.
const LABELLED: f64 = 0.05;
/// Cases in an hour.
const HOUR: u32 = 200;
/// The promise in labels.
const ARL0: f64 = 20_000.0;
/// The part of the confidence chart in the joint promise.
const PART: f64 = 0.1;
/// Cases after which a delay is cut.
const MOST: u64 = 200_000;
/// Changes in a repetition, and cases in control between two of them.
const CHANGES: u32 = 60;
const SPACING: u32 = 40_000;
/// Cases in control that one repetition counts alarms over.
const CONTROL: u32 = 20_000_000;
/// The same where hours wander.
const WANDERING: u32 = 6_000_000;
/// Standard deviations of the hourly mean of confidence.
const WANDERS: [f64; 3] = [0.0025, 0.005, 0.01];
/// Runs of the tripwire in a repetition, and maps of it that are learnt from few labels.
const RUNS: u32 = 40;
const MAPS: u32 = 4;
/// Labels of a repetition's map, watched for so many promises.
const LABELS: [u32; 3] = [2_000, 5_000, 20_000];
const PROMISES: f64 = 30.0;
/// A liar: what it says, and how often it is right.
const SAID: f64 = 0.994;
const RIGHT: f64 = 0.547;

/// What a world's charts are designed from.
struct Designs {
    world: World,
    map: CalibrationMap,
    /// Mean and standard deviation of what the map says.
    level: (f64, f64),
}

/// The map of labels in a hundred rungs of as many kinds each.
fn fit(world: &World, label: impl Fn(usize, f64) -> (u64, u64)) -> Option<CalibrationMap> {
    let rung = |(place, kinds): (usize, &[Kind])| {
        let of = |f: fn(&Kind) -> f64| mean(&kinds.iter().map(f).collect::<Vec<f64>>());
        let (n, right) = label(place, of(|kind| kind.truth));
        Rung { confidence: of(|kind| kind.stated), n, right }
    };
    CalibrationMap::fit(&world.kinds.chunks(world.kinds.len() / 100).enumerate().map(rung).collect::<Vec<Rung>>())
}

impl Designs {
    fn new(quality: f64) -> Self {
        let world = World::new(quality);
        let map =
            fit(&world, |_, truth| (10_000_000, (truth * 1e7).round() as u64)).expect("confidence knows something");
        let said: Vec<f64> = world.kinds.iter().map(|kind| map.accuracy(kind.stated)).collect();
        let level = mean(&said);
        let deviation = mean(&said.iter().map(|g| (g - level).powi(2)).collect::<Vec<f64>>()).sqrt();
        Self { world, map, level: (level, deviation) }
    }

    /// The chart of predicted accuracy, its promise in cases, where hourly means have this standard deviation beyond that of
    /// their cases.
    fn estimate(&self, form: Form, promise: f64, wander: f64, cache: &mut DesignCache) -> EstimateChart {
        let (mu, deviation) = self.level;
        let hour = f64::from(HOUR);
        let mean = MeanDesign {
            mu,
            sigma: (deviation * deviation / hour + wander * wander).sqrt(),
            buckets: 1_000_000_000,
            delta: DELTA,
            direction: Direction::Down,
            arl0: if form == Form::Hourly { promise / hour } else { promise },
            guarantee: 0.5,
            method: Method::Cusum,
            known: false,
        };
        let stated: Vec<(f64, u64)> = self.world.kinds.iter().map(|kind| (kind.stated, 1_000_000)).collect();
        let (values, tripwire) = (self.map.values(&stated), AdjustedDesign::new(self.map.clone(), DELTA, ARL0));
        EstimateChart::new(&EstimateDesign { form, mean, values, confidences: 1_000_000_000, tripwire }, cache)
    }
}

/// A chart of predicted accuracy with the hour that is open.
#[derive(Clone)]
struct Foresight {
    chart: EstimateChart,
    sum: f64,
    n: u32,
}

impl Foresight {
    const fn new(chart: EstimateChart) -> Self {
        Self { chart, sum: 0.0, n: 0 }
    }

    /// Takes a case and says whether there is a suspicion.
    fn take(&mut self, confidence: f64) -> bool {
        if self.chart.form() == Form::Cases {
            self.chart.case(confidence, AT);
            return self.chart.is_out();
        }
        self.sum += self.chart.predict(confidence);
        self.n += 1;
        if self.n == HOUR {
            self.chart.update(self.sum / f64::from(HOUR), u64::from(HOUR), AT);
            (self.sum, self.n) = (0.0, 0);
        }
        self.chart.is_out()
    }
}

/// All charts that see the same stream.
#[derive(Clone)]
struct Racers {
    alone: Mixture,
    joint: Mixture,
    cases: Foresight,
    hourly: Foresight,
}

/// Which of them have alarmed: alone, label chart of the joint, cases, hourly, risk-adjusted.
type Alarms = [bool; 5];

impl Racers {
    fn new(designs: &Designs, cache: &mut DesignCache) -> Self {
        let labels =
            |arl0: f64, cache: &mut DesignCache| alarm(&ProportionDesign::fixed(1.0 - ACCURACY, DELTA, arl0), cache);
        let promise = ARL0 / LABELLED / PART;
        Self {
            alone: labels(ARL0, cache),
            joint: labels(ARL0 / (1.0 - PART), cache),
            cases: Foresight::new(designs.estimate(Form::Cases, promise, 0.0, cache)),
            hourly: Foresight::new(designs.estimate(Form::Hourly, promise, 0.0, cache)),
        }
    }

    /// Takes a case.
    fn take(&mut self, confidence: f64, right: Option<bool>) -> Alarms {
        let mut alarms = [false; 5];
        if let Some(right) = right {
            self.label(confidence, right);
            alarms = [self.alone.is_out(), self.joint.is_out(), false, false, self.cases.chart.tripwire().is_out()];
        }
        alarms[2] = self.cases.take(confidence);
        alarms[3] = self.hourly.take(confidence);
        alarms
    }

    fn label(&mut self, confidence: f64, right: bool) {
        self.alone.update(!right);
        self.joint.update(!right);
        self.cases.chart.label(confidence, right, AT);
        self.hourly.chart.label(confidence, right, AT);
    }

    /// Goes on in control, every chart anew after its alarm, which is counted.
    fn control(&mut self, fresh: &Self, world: &World, cases: u32, random: &mut Xorshift) -> [f64; 5] {
        let mut counts = [0.0; 5];
        for _ in 0..cases {
            let kind = world.draw(random);
            let right = random.hit(LABELLED).then(|| random.hit(kind.truth));
            let alarms = self.take(kind.stated, right);
            for (count, alarm) in counts.iter_mut().zip(alarms) {
                *count += f64::from(u8::from(alarm));
            }
            let [alone, joint, cases, hourly, tripped] = alarms;
            if alone {
                self.alone = fresh.alone.clone();
            }
            if joint {
                self.joint = fresh.joint.clone();
            }
            if cases || tripped {
                self.cases = fresh.cases.clone();
            }
            if hourly || tripped {
                self.hourly = fresh.hourly.clone();
            }
        }
        counts
    }

    /// Cases from a change to every chart's alarm.
    fn delays(mut self, world: &World, random: &mut Xorshift) -> [f64; 5] {
        let mut found = [None; 5];
        let mut n = 0;
        while n < MOST && found.iter().any(Option::is_none) {
            // Where only labels are waited for, the cases between them need not be looked at.
            let [alone, joint, cases, hourly, _] = found;
            let decided = alone.is_some() && joint.is_some();
            if decided || cases.is_some() && hourly.is_some() {
                n += 1 + (random.uniform().ln() / (1.0 - LABELLED).ln()) as u64;
                let kind = world.draw(random);
                self.label(kind.stated, random.hit(kind.truth));
                let out =
                    [self.alone.is_out(), self.joint.is_out(), false, false, self.cases.chart.tripwire().is_out()];
                note(&mut found, out, n);
                if decided {
                    // What never suspected is not waited for.
                    found[2] = found[2].or(Some(MOST));
                    found[3] = found[3].or(Some(MOST));
                }
                continue;
            }
            n += 1;
            let kind = world.draw(random);
            let right = random.hit(LABELLED).then(|| random.hit(kind.truth));
            let out = self.take(kind.stated, right);
            note(&mut found, out, n);
        }
        found.map(|found| found.unwrap_or(MOST).min(MOST) as f64)
    }
}

fn note(found: &mut [Option<u64>; 5], out: Alarms, n: u64) {
    for (found, out) in found.iter_mut().zip(out) {
        if out && found.is_none() {
            *found = Some(n);
        }
    }
}

/// The table of delays.
fn delays(study: &Study) {
    println!("Delays in cases, one false alarm in 400,000; {LABELLED} labelled; cut at {MOST}:");
    println!(
        "  R2    change  drop   label chart   its own in the joint   slower         joint, cases   joint, hourly   \
         risk-adjusted"
    );
    for (row, quality) in (0..).zip(QUALITIES) {
        let designs = Designs::new(quality);
        let mut cache = DesignCache::new();
        let fresh = Racers::new(&designs, &mut cache);
        let mut starts: Vec<Vec<Racers>> = Vec::new();
        let [_] = study.repeat(100 * row, |random| {
            let mut racers = fresh.clone();
            let starts_now = (0..study.runs(CHANGES)).map(|_| {
                racers.control(&fresh, &designs.world, SPACING, random);
                racers.clone()
            });
            starts.push(starts_now.collect());
            [0.0]
        });
        let cells = Mechanism::ALL.into_iter().flat_map(|mechanism| DROPS.map(|drop| (mechanism, drop)));
        for (cell, (mechanism, drop)) in (1..).zip(cells) {
            let world = designs.world.after(mechanism, drop);
            let mut repetition = starts.iter();
            let figures: [Figure; 6] = study.repeat(100 * row + cell, |random| {
                let starts = repetition.next().map_or(&[][..], Vec::as_slice);
                let all: Vec<[f64; 5]> = starts.iter().map(|racers| racers.clone().delays(&world, random)).collect();
                let column = |of: &dyn Fn(&[f64; 5]) -> f64| mean(&all.iter().map(of).collect::<Vec<f64>>());
                let (alone, joint) = (column(&|row| row[0]), column(&|row| row[1]));
                let (cases, hourly) = (column(&|row| row[1].min(row[2])), column(&|row| row[1].min(row[3])));
                [alone, joint, joint / alone, cases, hourly, column(&|row| row[4])]
            });
            let [alone, joint, slower, cases, hourly, adjusted] = figures;
            println!(
                "  {quality:<5} {:<7} {:<6} {alone:<13} {joint:<22} {slower:<14.3} {cases:<14} {hourly:<15} {adjusted}",
                mechanism.name(),
                drop * 100.0
            );
        }
    }
}

/// False alarms where one was promised, in control.
fn promises(study: &Study) {
    println!("False alarms over the promise, in control:");
    println!(
        "  R2 asked  R2      AUROC   labels alone   labels, joint   cases         hourly        joint, cases   joint, hourly"
    );
    for (row, quality) in (0..).zip(QUALITIES) {
        let designs = Designs::new(quality);
        let mut cache = DesignCache::new();
        let fresh = Racers::new(&designs, &mut cache);
        let cases = study.runs(CONTROL);
        let figures: [Figure; 6] = study.repeat(1_000 + row, |random| {
            let counts = fresh.clone().control(&fresh, &designs.world, cases, random);
            let promised = f64::from(cases) * LABELLED / ARL0;
            let [alone, joint, single, hourly, _] = counts.map(|count| count / promised);
            [alone, joint / (1.0 - PART), single / PART, hourly / PART, joint + single, joint + hourly]
        });
        let [alone, joint, single, hourly, both, both_hourly] = figures;
        let (r2, auroc) = designs.world.quality();
        println!(
            "  {quality:<9} {r2:<7.3} {auroc:<7.3} {alone:<14.3} {joint:<15.3} {single:<13.3} {hourly:<13.3} {both:<14.3} {both_hourly:.3}"
        );
    }
}

/// The same of the two forms where the mean of confidence wanders from hour to hour.
fn wander(study: &Study) {
    println!(
        "False suspicions over the promise, one in 400,000 cases, where confidence wanders from hour to hour, R2 0.2:"
    );
    println!("  sd of the hourly mean   cases          hourly");
    let designs = Designs::new(0.2);
    let mut cache = DesignCache::new();
    let logits: Vec<f64> = designs.world.kinds.iter().map(|kind| logit(kind.stated)).collect();
    let slope = mean(&designs.world.kinds.iter().map(|kind| kind.stated * (1.0 - kind.stated)).collect::<Vec<f64>>());
    for (row, sd) in (0..).zip(WANDERS) {
        let promise = ARL0 / LABELLED;
        let fresh =
            [Form::Cases, Form::Hourly].map(|form| Foresight::new(designs.estimate(form, promise, sd, &mut cache)));
        let cases = study.runs(WANDERING);
        // Shifts up and down do not cancel on the logit scale; the mean over hours is to be that of the baseline.
        let centre = centred(&logits, sd / slope);
        let figures: [Figure; 2] = study.repeat(2_000 + row, |random| {
            let mut charts = fresh.clone();
            let mut alarms = [0.0; 2];
            for _ in 0..cases / HOUR {
                let shift = centre + sd / slope * random.normal();
                for _ in 0..HOUR {
                    let place = (random.uniform() * logits.len() as f64) as usize;
                    let stated = expit(logits[place] + shift);
                    for ((chart, fresh), alarms) in charts.iter_mut().zip(&fresh).zip(&mut alarms) {
                        if chart.take(stated) {
                            *alarms += 1.0;
                            chart.clone_from(fresh);
                        }
                    }
                }
            }
            alarms.map(|alarms| alarms / (f64::from(cases) / promise))
        });
        let [single, hourly] = figures;
        println!("  {:<23} {single:<14.2} {hourly:.2}", format!("{} points", sd * 100.0));
    }
}

/// The shift that keeps the mean where shifts of this standard deviation are added.
fn centred(logits: &[f64], deviation: f64) -> f64 {
    let normal = |i: u32| normal_quantile((f64::from(i) + 0.5) / 41.0) * deviation;
    let of = |by: f64| mean(&logits.iter().map(|x| expit(x + by)).collect::<Vec<f64>>());
    let wanted = of(0.0);
    solve(-1.0, 1.0, wanted, |by| mean(&(0..41).map(|i| of(by + normal(i))).collect::<Vec<f64>>()))
}

/// The tripwire: labels until confidence that lies is told, and trips in control.
fn tripwire(study: &Study) {
    let designs = Designs::new(0.2);
    let fresh =
        AdjustedChart::new(&AdjustedDesign { guarantee: 0.5, ..AdjustedDesign::new(designs.map.clone(), DELTA, ARL0) });
    println!(
        "The tripwire, ARL0 {ARL0} labels, R2 0.2: labels from the start to the trip where accuracy is below what confidence says:"
    );
    for (row, points) in (0..).zip([2.0, 5.0, 10.0, 37.3]) {
        let world = designs.world.after(Mechanism::Silent, points / 100.0);
        let [labels] = study.repeat(3_000 + row, |random| {
            let runs = (0..study.runs(RUNS)).map(|_| trip(&fresh, &world, random).0);
            [mean(&runs.collect::<Vec<f64>>())]
        });
        println!("  {points:>4} points: {labels}");
    }
    let [length] = study.repeat(3_100, |random| {
        // M - n is a martingale: the mean run length is that of M at the alarm, which varies far less.
        let ends = (0..study.runs(RUNS) / 4).map(|_| trip(&fresh, &designs.world, random).1 / ARL0);
        [mean(&ends.collect::<Vec<f64>>())]
    });
    println!("  in control: ARL0 over the promise {length:.3}");
    println!(
        "  a map learnt from    trips over the promise   broken         worst tenth   with harder inputs   2 points      5 points"
    );
    for (row, n) in (0..).zip(LABELS) {
        let mut rates = Vec::new();
        let figures: [Figure; 5] = study.repeat(3_200 + row, |random| {
            let all: Vec<[f64; 4]> = (0..study.runs(MAPS)).map(|_| learnt(&designs, n, random)).collect();
            let column = |at: usize| all.iter().map(|row| row[at]).collect::<Vec<f64>>();
            rates.extend(column(0));
            let broken = column(0).iter().map(|rate| f64::from(u8::from(*rate > 1.0))).collect::<Vec<f64>>();
            [mean(&column(0)), mean(&broken), mean(&column(1)), mean(&column(2)), mean(&column(3))]
        });
        let [rate, broken, harder, small, large] = figures;
        let worst = quantile(&mut rates, 0.9);
        println!("  {n:<20} {rate:<24.2} {broken:<14.2} {worst:<13.2} {harder:<20.2} {small:<13} {large}");
    }
}

/// Labels to the trip, and the statistic there.
fn trip(fresh: &AdjustedChart, world: &World, random: &mut Xorshift) -> (f64, f64) {
    let mut chart = fresh.clone();
    while !chart.is_out() {
        let kind = world.draw(random);
        chart.update(kind.stated, random.hit(kind.truth), AT);
    }
    (chart.samples_seen() as f64, chart.statistic())
}

/// One map from `n` labels, at the default guarantee: trips in control over the promise, the same with inputs 2 points harder,
/// labels to the trip at 2 and 5 points.
fn learnt(designs: &Designs, n: u32, random: &mut Xorshift) -> [f64; 4] {
    let each = designs.world.kinds.len() / 100;
    let mut counts = [(0_u64, 0_u64); 100];
    for _ in 0..n {
        let place = (random.uniform() * designs.world.kinds.len() as f64) as usize;
        let (all, right) = &mut counts[place / each];
        *all += 1;
        *right += u64::from(random.hit(designs.world.kinds[place].truth));
    }
    let map = fit(&designs.world, |place, _| counts[place]).expect("confidence knows something");
    let fresh = AdjustedChart::new(&AdjustedDesign::new(map, DELTA, ARL0));
    let mut trips = |world: &World| {
        let (mut chart, mut trips) = (fresh.clone(), 0.0);
        for _ in 0..(PROMISES * ARL0) as u32 {
            let kind = world.draw(random);
            chart.update(kind.stated, random.hit(kind.truth), AT);
            if chart.is_out() {
                trips += 1.0;
                chart.clone_from(&fresh);
            }
        }
        trips / PROMISES
    };
    let calm = trips(&designs.world);
    let harder = trips(&designs.world.after(Mechanism::Harder, DELTA));
    let [small, large] = DROPS.map(|drop| trip(&fresh, &designs.world.after(Mechanism::Silent, drop), random).0);
    [calm, harder, small, large]
}

/// A stream of the kind that stated 99.4 % and was right in 54.7 %: after how many labels nothing is estimated any more.
fn liar(study: &Study) {
    let designs = Designs::new(0.2);
    let mut cache = DesignCache::new();
    let fresh = designs.estimate(Form::Hourly, ARL0 / LABELLED / PART, 0.0, &mut cache);
    let far = |kind: &&Kind| ((fresh.predict(kind.stated) - SAID).abs() * 1e9) as u64;
    let stated = designs.world.kinds.iter().min_by_key(far).map_or(SAID, |kind| kind.stated);
    let [labels] = study.repeat(4_000, |random| {
        let runs = (0..study.runs(RUNS)).map(|_| {
            let (mut chart, mut labels) = (fresh.clone(), 0.0);
            while chart.validity() == Validity::Valid {
                chart.label(stated, random.hit(RIGHT), AT);
                labels += 1.0;
            }
            labels
        });
        [mean(&runs.collect::<Vec<f64>>())]
    });
    println!("  {:.3} said, {RIGHT} right: {labels:.1} labels to invalid", fresh.predict(stated));
}

pub(crate) fn run(study: &Study) {
    promises(study);
    delays(study);
    wander(study);
    tripwire(study);
    liar(study);
}
