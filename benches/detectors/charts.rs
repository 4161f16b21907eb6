//! The charts that are measured, and the samples they take.

use ndarray::{Array1, Array2};
use shewhart::engine::detect::design::ewma::EwmaLimits;
use shewhart::engine::detect::design::sr::MixtureDesign;
use shewhart::engine::detect::{
    AdjustedChart, AdjustedDesign, Alarm, CalibrationMap, DesignCache, Direction, DistanceChart, DistanceDesign,
    EstimateChart, EstimateDesign, Ewma, Form, MeanChart, MeanDesign, Method, Mixture, PhaseOne, ProportionChart,
    ProportionDesign, Rung, Spread, TabularCusum, TabularDesign, VectorChart,
};
use shewhart::engine::rule::Characteristic;
use shewhart::engine::units::{Counts, Timestamp};

pub(crate) const SEED: u64 = 20_261_126;
pub(crate) const P0: f64 = 0.08;
pub(crate) const DELTA: f64 = 0.02;
pub(crate) const ARL0: f64 = 20_000.0;
/// Samples in one iteration.
pub(crate) const SAMPLES: usize = 10_000;
/// Cases in a batch, where charts take batches.
pub(crate) const BATCH: u64 = 50;

/// Samples from a fixed sequence, made before the clock runs.
pub(crate) struct Samples(u64);

impl Samples {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.uniform()).cos()
    }

    pub(crate) fn many<T>(count: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut samples = Self(SEED);
        (0..count).map(|_| one(&mut samples)).collect()
    }

    pub(crate) fn labels(count: usize) -> Vec<bool> {
        Self::many(count, |samples| samples.uniform() < P0)
    }

    pub(crate) fn batches(count: usize) -> Vec<Counts> {
        Self::many(count, |samples| {
            let mut counts = Counts::default();
            (0..BATCH).for_each(|_| counts.add(samples.uniform() < P0));
            counts
        })
    }

    /// Confidences, most of them high, and whether the output was right: as often as it says.
    pub(crate) fn stated(count: usize) -> Vec<(f64, bool)> {
        Self::many(count, |samples| {
            let confidence = 1.0 - 0.4 * samples.uniform() * samples.uniform() * samples.uniform();
            (confidence, samples.uniform() < confidence)
        })
    }

    pub(crate) fn means(count: usize) -> Vec<f64> {
        Self::many(count, Self::normal)
    }

    pub(crate) fn bins(count: usize) -> Vec<usize> {
        Self::many(count, |samples| (samples.uniform() * 100.0) as usize)
    }

    pub(crate) fn vectors(count: usize) -> Vec<[f64; 4]> {
        Self::many(count, |samples| std::array::from_fn(|_| samples.normal()))
    }
}

pub(crate) const fn at(n: usize) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + 1_000 * n as i64)
}

pub(crate) fn mixture() -> Mixture {
    let design = MixtureDesign { p0: P0, delta: DELTA, phi: 1.0, arl0: ARL0 };
    Mixture::designed(&design, &mut DesignCache::new())
}

pub(crate) fn severity() -> Mixture {
    Mixture::guaranteed(P0 + DELTA, &[0.01, 0.02, 0.04, 0.08], ARL0)
}

pub(crate) fn proportion(alarm: Alarm) -> ProportionChart {
    let fixed = ProportionDesign::fixed(P0, DELTA, ARL0);
    let (spread, batch) = match alarm {
        Alarm::Batches(_) => (Spread { phi: 2.0, batches: 60 }, BATCH as f64),
        Alarm::Mixture | Alarm::Cusum | Alarm::Bank => (fixed.spread, fixed.batch),
    };
    ProportionChart::new(&ProportionDesign { alarm, spread, batch, ..fixed }, &mut DesignCache::new())
}

pub(crate) fn mean(method: Method) -> MeanChart {
    let design = MeanDesign {
        mu: 0.0,
        sigma: 1.0,
        buckets: 500,
        delta: 1.0,
        direction: Direction::Up,
        arl0: 1_000.0,
        guarantee: 0.75,
        method,
        known: false,
    };
    MeanChart::new(&design, &mut DesignCache::new())
}

pub(crate) fn distance() -> DistanceChart {
    DistanceChart::new(&DistanceDesign { bins: vec![500; 100], window: 500, arl0: 1_000.0 })
}

pub(crate) fn vector() -> VectorChart {
    use Characteristic::{Confidence, Cost, Escalation, Latency};
    let phase = PhaseOne {
        characteristics: vec![Confidence, Escalation, Latency, Cost],
        mean: Array1::zeros(4),
        covariance: Array2::eye(4),
        successive: Array2::eye(4),
        buckets: 500,
        cases: 60.0,
    };
    VectorChart::new(&phase, 1_000.0, &mut DesignCache::new()).expect("four characteristics make a chart")
}

/// The map of 10,000 labels in a hundred rungs.
fn map() -> CalibrationMap {
    let mut rungs: Vec<Rung> =
        (0..100).map(|i| Rung { confidence: (f64::from(i) + 0.5) / 100.0, n: 0, right: 0 }).collect();
    for (confidence, right) in Samples::stated(10_000) {
        if let Some(rung) = rungs.get_mut((confidence * 99.99) as usize) {
            rung.n += 1;
            rung.right += u64::from(right);
        }
    }
    CalibrationMap::fit(&rungs).expect("confidence is calibrated")
}

pub(crate) fn adjusted() -> AdjustedChart {
    AdjustedChart::new(&AdjustedDesign::new(map(), DELTA, ARL0))
}

/// Values that the map says, with how often it does.
pub(crate) fn values() -> Vec<(f64, u64)> {
    map().values(&Samples::stated(10_000).iter().map(|(confidence, _)| (*confidence, 1)).collect::<Vec<(f64, u64)>>())
}

pub(crate) fn estimate(form: Form) -> EstimateChart {
    let mean = MeanDesign {
        mu: 0.95,
        sigma: 0.005,
        buckets: 500,
        delta: DELTA,
        direction: Direction::Down,
        arl0: if form == Form::Hourly { 2_000.0 } else { 400_000.0 },
        guarantee: 0.75,
        method: Method::Cusum,
        known: false,
    };
    let tripwire = AdjustedDesign::new(map(), DELTA, ARL0);
    let design = EstimateDesign { form, mean, values: values(), confidences: 10_000, tripwire };
    EstimateChart::new(&design, &mut DesignCache::new())
}

pub(crate) const fn tabular() -> TabularCusum {
    TabularCusum::new(TabularDesign { target: 0.0, k: 0.5, h: 5.0, head_start: 0.0 })
}

pub(crate) fn ewma() -> Ewma {
    Ewma::new(0.1, 2.814, EwmaLimits::Fixed)
}
